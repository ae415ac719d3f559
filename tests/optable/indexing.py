"""Rows for reading and writing parts of tensors."""

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

DISCRETE = ("bool", "int8", "int32", "int64", "uint8")


def _apart(rng, shape):
    """Numbers away from 0, about a third of them 0 exactly: a small step makes no element appear."""
    values = rng.choice([-1.0, 1.0], shape) * (0.5 + rng.random(shape))
    return np.where(rng.random(shape) < 0.35, 0.0, values)


def _signs(rng, shape):
    return rng.choice([-1.0, 1.0], shape) * (0.5 + rng.random(shape))


def _set(x, y, index):
    out = np.array(x)
    out[index] = y
    return out


def _inc(x, y, index):
    out = np.array(x)
    np.add.at(out, index, y)
    return out


def _read(name, index, shape=(3, 4), empty=(), integers=DISCRETE):
    return Case(
        f"getitem: {name}",
        "TensorVariable.__getitem__",
        lambda x: x[index],
        lambda x: x[index],
        args=(Arg(shape),),
        integers=integers,
        empty=empty,
    )


def _read_by(name, index, *extra, shape=(3, 4), empty=()):
    """A read whose index is made of further inputs."""
    return Case(
        f"getitem: {name}",
        "TensorVariable.__getitem__",
        lambda x, *rest: x[index(*rest)],
        lambda x, *rest: x[index(*rest)],
        args=(Arg(shape), *extra),
        integers=DISCRETE,
        empty=empty,
    )


def _writes(name, index, y, shape=(3, 4), empty=()):
    """Setting and incrementing the same part."""
    return [
        Case(
            f"{function}: {name}",
            function,
            lambda x, y, write=write: write(x[index], y),
            lambda x, y, reference=reference: reference(x, y, index),
            args=(Arg(shape), Arg(y)),
            integers=DISCRETE,
            empty=empty,
        )
        for function, write, reference in (
            ("set_subtensor", T.set_subtensor, _set),
            ("inc_subtensor", T.inc_subtensor, _inc),
        )
    ]


def _writes_by(name, index, y, *extra, shape=(3, 4), empty=()):
    return [
        Case(
            f"{function}: {name}",
            function,
            lambda x, y, *rest, write=write: write(x[index(*rest)], y),
            lambda x, y, *rest, reference=reference: reference(x, y, index(*rest)),
            args=(Arg(shape), Arg(y), *extra),
            integers=DISCRETE,
            empty=empty,
        )
        for function, write, reference in (
            ("set_subtensor", T.set_subtensor, _set),
            ("inc_subtensor", T.inc_subtensor, _inc),
        )
    ]


def _take(name, indices, axis, mode, *extra, shape=(3, 4), empty=()):
    return Case(
        f"take: {name}",
        "take",
        lambda x, *rest: T.take(x, indices(*rest), axis=axis, mode=mode),
        lambda x, *rest: np.take(x, indices(*rest), axis=axis, mode=mode),
        args=(Arg(shape), *extra),
        integers=DISCRETE,
        empty=empty,
    )


def _integers(shape, low, high, dtype="int64"):
    return Arg(shape, low, high, dtype)


ALL = slice(None)
MASK = np.array([True, False, True])

CASES: list[Case] = [
    # basic
    _read("an integer", 1),
    _read("a negative integer", (ALL, -1), empty=(((0, 4),),)),
    _read("one element", (1, 2)),
    _read("a whole scalar", (), shape=()),
    _read("slices", (slice(1, None), slice(None, 3)), empty=(((0, 4),), ((3, 0),))),
    _read("steps", (slice(None, None, -1), slice(-1, 0, -2)), empty=(((0, 4),),)),
    _read("a slice of nothing", slice(2, 1)),
    _read("bounds beyond the ends", (slice(-10, 10), slice(10, None))),
    _read("ellipsis", (..., 0), shape=(2, 3, 4), empty=(((0, 3, 4),),)),
    _read("new axes", (None, slice(1, None), None, 0), empty=(((1, 4),),)),
    _read("only new axes", (ALL, None), empty=(((0, 4),),)),
    _read_by("a symbolic integer", lambda i: (ALL, i), _integers((), -4, 3), empty=(((0, 4), ()),)),
    _read_by(
        "symbolic bounds",
        lambda a, b, c: (slice(a, b), slice(None, None, c)),
        _integers((), -3, 1, "int8"),
        _integers((), 1, 4, "int32"),
        _integers((), -3, -1),
        empty=(((0, 4), (), (), ()),),
    ),
    # arrays
    _read("a list", [2, 0, 2, -1], empty=(((3, 0),),)),
    _read("an empty list", []),
    _read("a matrix of rows", np.array([[0, 1], [2, 2]])),
    _read("columns", (ALL, [3, 0, 3]), empty=(((0, 4),),)),
    _read("elements", ([0, 2, 0], [1, 3, 1])),
    _read("arrays that broadcast", ([[0], [2]], [1, 3, 1])),
    _read("array, integer and slice", (0, ALL, [2, 0]), shape=(2, 3, 4)),
    _read("array beside an integer", (ALL, [2, 0], 1), shape=(2, 3, 4)),
    _read("array, new axis and slice", (slice(None, None, -1), None, [1, 1]), shape=(2, 3, 4)),
    _read_by("a symbolic vector", lambda r: r, _integers((5,), -3, 2, "int32"), empty=(((3, 4), (0,)), ((3, 0), (2,)))),
    _read_by("a symbolic matrix", lambda r: (ALL, r), _integers((2, 3), -4, 3), empty=(((3, 4), (0, 2)),)),
    _read_by("classes of rows", lambda t: (np.arange(3), t), _integers((3,), 0, 3, "int32")),
    _read_by(
        "vector and integer",
        lambda r, i: (i, slice(1, None), r),
        _integers((3,), 0, 3),
        _integers((), 0, 1),
        shape=(2, 3, 4),
    ),
    # masks
    _read("a constant mask", MASK, empty=(((3, 0),),)),
    _read("mask and slice", (slice(1, None), np.array([True, True, False, True]))),
    _read("mask and integer", (MASK, -1)),
    _read_by("a symbolic mask", lambda m: m, Arg((3,), dtype="bool"), empty=(((0, 4), (0,)),)),
    _read_by("a mask of every element", lambda m: m, Arg((3, 4), dtype="bool"), empty=(((0, 4), (0, 4)),)),
    Case(
        "getitem: positive elements",
        "TensorVariable.__getitem__",
        lambda x: x[T.gt(x, 0)],
        lambda x: x[x > 0],
        args=(Arg((3, 4), draw=_signs),),
        empty=(((0, 4),),),
    ),
    Case(
        "getitem: nonzero of positive elements",
        "TensorVariable.__getitem__",
        lambda x: x[T.gt(x, 0).nonzero()],
        lambda x: x[(x > 0).nonzero()],
        args=(Arg((3, 4), draw=_signs),),
        empty=(((0, 4),),),
    ),
    # writing
    *_writes("a row", 1, (4,)),
    *_writes("a row, value broadcast", -1, ()),
    *_writes("a column", (ALL, 1), (3,), empty=(((0, 4), (0,)),)),
    *_writes("everything", ALL, (1, 4), empty=(((0, 4), (1, 4)),)),
    *_writes("steps", (slice(None, None, -2), slice(3, None, -2)), (2, 2)),
    *_writes("new axis", (ALL, None, slice(1, 3)), (3, 1, 2)),
    *_writes("a whole scalar", (), (), shape=()),
    *_writes("repeated rows", [0, 2, 0], (3, 4), empty=(((3, 0), (3, 0)),)),
    *_writes("repeated rows, value broadcast", [0, 2, 0], (3, 1)),
    *_writes("repeated elements", ([0, 2, 0], [1, 3, 1]), (3,)),
    *_writes("a matrix of elements", ([[0, 2], [0, 2]], [[1, 1], [1, 3]]), (2,)),
    *_writes("columns", (ALL, [3, 0, 3]), (3, 3), empty=(((0, 4), (0, 3)),)),
    *_writes("array, integer and slice", (0, ALL, [2, 0, 2]), (3, 3), shape=(2, 3, 4)),
    *_writes("a constant mask", MASK, (2, 4)),
    *_writes_by("a symbolic integer", lambda i: (ALL, i), (3,), _integers((), -4, 3)),
    *_writes_by("symbolic bounds", lambda a: (slice(a, None), 0), (), _integers((), -3, 2, "int8")),
    *_writes_by(
        "a symbolic vector", lambda r: r, (5, 4), _integers((5,), -3, 2, "int32"), empty=(((3, 4), (0, 4), (0,)),)
    ),
    *_writes_by("a symbolic mask", lambda m: m, (1, 4), Arg((3,), dtype="bool"), empty=(((0, 4), (1, 4), (0,)),)),
    *_writes_by("a mask of every element", lambda m: m, (), Arg((3, 4), dtype="bool")),
    # take
    _take("flattened", lambda: 5, None, "raise"),
    _take("a row", lambda: -1, 0, "raise", empty=(((3, 0),),)),
    _take("rows", lambda r: r, 0, "raise", _integers((5,), -3, 2), empty=(((3, 4), (0,)),)),
    _take(
        "columns of a matrix of indices",
        lambda r: r,
        -1,
        "raise",
        _integers((2, 3), -4, 3, "int32"),
        empty=(((0, 4), (2, 3)),),
    ),
    _take("from a vector", lambda r: r, 0, "raise", _integers((2, 2), 0, 4), shape=(5,)),
    _take("wrapped around", lambda r: r, 1, "wrap", _integers((6,), -9, 9)),
    _take("clipped", lambda r: r, 1, "clip", _integers((6,), -9, 9, "int8")),
    _take("clipped, flattened", lambda: [[-1, 100]], None, "clip"),
    # nonzero
    Case(
        "nonzero",
        "nonzero",
        lambda x: list(T.nonzero(x)),
        lambda x: list(np.nonzero(x)),
        args=(Arg((3, 4), draw=_apart),),
        wrt=(),
        integers=DISCRETE,
        empty=(((0, 4),),),
    ),
    Case(
        "nonzero: matrix",
        "nonzero",
        lambda x: T.nonzero(x, return_matrix=True),
        lambda x: np.array(np.nonzero(x)),
        args=(Arg((2, 3, 4), draw=_apart),),
        wrt=(),
        integers=DISCRETE,
        empty=(((2, 0, 3),),),
    ),
    Case(
        "flatnonzero",
        "flatnonzero",
        T.flatnonzero,
        np.flatnonzero,
        args=(Arg((3, 4), draw=_apart),),
        wrt=(),
        integers=DISCRETE,
        empty=(((0, 4),),),
    ),
    Case(
        "nonzero_values",
        "nonzero_values",
        T.nonzero_values,
        lambda x: x[x != 0],
        args=(Arg((3, 4), draw=_signs),),
        integers=DISCRETE,
        empty=(((0, 4),),),
    ),
]
