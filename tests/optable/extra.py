"""Op table: Theano's extra operations, choices, ranks, grids and checks."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

NUMBERS = ("int8", "int64", "uint8")
ANYTHING = ("bool", *NUMBERS)


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(0, 3, shape)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Numbers far enough from one another for the order to stand when one of them is moved a little."""
    return rng.permutation(np.arange(np.prod(shape, dtype=int))).reshape(shape) / 4


# --- differences, diagonals, covariances --------------------------------------------------------------------------


def _fill_offset(a: Any, v: Any, offset: int) -> Any:
    on = np.arange(a.shape[0])[:, None] + offset == np.arange(a.shape[1])
    return np.where(on, np.asarray(v).astype(a.dtype), a)


def _fill(a: Any, v: Any) -> Any:
    out = a.copy()
    np.fill_diagonal(out, v)
    return out


def _cov(label: str, *args: Arg, **how: Any) -> Case:
    weights = [name for name in ("fweights", "aweights") if how.get(name)]
    rest = {name: value for name, value in how.items() if name not in weights}

    def split(inputs: Any) -> tuple[Any, dict[str, Any]]:
        count = len(inputs) - len(weights)
        return inputs[:count], {**rest, **dict(zip(weights, inputs[count:], strict=True))}

    def build(*inputs: Any) -> Any:
        plain, keywords = split(inputs)
        return T.cov(*plain, **keywords)

    def reference(*inputs: Any) -> Any:
        plain, keywords = split(inputs)
        return np.cov(*plain, **keywords).astype(plain[0].dtype)

    return Case(f"cov: {label}", "cov", build, reference, args, rtol=(2e-4, 1e-10))


ARRAYS = [
    *(
        Case(
            f"diff: n {n}, axis {axis}",
            "diff",
            lambda x, n=n, axis=axis: T.diff(x, n, axis),
            lambda x, n=n, axis=axis: np.diff(x, n, axis),
            (Arg((3, 4, 5)),),
            integers=ANYTHING,
            empty=(((0, 2, 3),), ((2, 1, 1),)),
        )
        for n, axis in ((1, -1), (2, 0), (0, 1), (3, 1), (4, 1))
    ),
    *(
        Case(
            f"compress: axis {axis}, {condition.dtype}",
            "compress",
            lambda c, x, axis=axis: T.compress(c, x, axis),
            lambda c, x, axis=axis: np.compress(c, x, axis),
            (condition, Arg((3, 4))),
            integers=("int8",),
        )
        for axis, condition in (
            (None, Arg((9,), dtype="bool")),
            (0, Arg((3,), dtype="bool")),
            (-1, Arg((3,), 0, 2, "int32")),
        )
    ),
    *(
        Case(
            f"fill_diagonal: {shape}",
            "fill_diagonal",
            T.fill_diagonal,
            _fill,
            (Arg(shape), Arg(())),
            integers=("int64",),
        )
        for shape in ((3, 3), (2, 4), (5, 2), (3, 3, 3))
    ),
    *(
        Case(
            f"fill_diagonal_offset: {offset}, {shape}",
            "fill_diagonal_offset",
            lambda a, v, offset=offset: T.fill_diagonal_offset(a, v, offset),
            lambda a, v, offset=offset: _fill_offset(a, v, offset),
            (Arg(shape), Arg(())),
            empty=(((0, 3), ()),),
        )
        for offset, shape in ((0, (3, 4)), (2, (3, 4)), (-1, (4, 2)), (7, (2, 2)))
    ),
    Case(
        "fill_diagonal_offset: symbolic offset",
        "fill_diagonal_offset",
        T.fill_diagonal_offset,
        lambda a, v, k: _fill_offset(a, v, int(k)),
        (Arg((3, 4)), Arg(()), Arg((), -2, 2, "int64")),
    ),
    _cov("rows", Arg((3, 5))),
    _cov("columns, biased", Arg((5, 3)), rowvar=False, bias=True),
    _cov("two tables, ddof 2", Arg((2, 5)), Arg((1, 5)), ddof=2),
    _cov("a vector", Arg((5,))),
    _cov("frequencies", Arg((2, 5)), Arg((5,), 1, 4, "int64"), fweights=True),
    _cov("weights", Arg((2, 5)), Arg((5,), 0.5, 2.0, "float64", lambda rng, s: np.linspace(0.5, 2, 5)), aweights=True),
    _cov("both weights, biased", Arg((2, 4)), Arg((4,), 1, 3, "int64"), Arg((4,), 1, 5, "int32"), fweights=True,
         aweights=True, bias=True),
    *(
        Case(f"bartlett: {n}", "bartlett", lambda n=n: T.bartlett(n), lambda n=n: np.bartlett(n), ())
        for n in (-1, 0, 1, 2, 5, 8)
    ),
    Case("bartlett: symbolic", "bartlett", T.bartlett, np.bartlett, (Arg((), 1, 9, "int64"),)),
]  # fmt: skip

CLOSE = [
    Case(
        f"{name}: equal_nan {equal_nan}",
        name,
        lambda a, b, name=name, equal_nan=equal_nan: getattr(T, name)(a, b, 0.1, 0.2, equal_nan),
        lambda a, b, name=name, equal_nan=equal_nan: getattr(np, name)(a, b, 0.1, 0.2, equal_nan),
        (Arg((3, 4)), Arg((3, 4))),
        wrt=(),
        integers=("int64",),
        empty=(((0, 2), (1, 2)),),
        special=name == "isclose",
        broadcasts=True,
    )
    for name in ("isclose", "allclose")
    for equal_nan in (False, True)
]


# --- counting and finding -----------------------------------------------------------------------------------------


def _unique(flags: dict[str, bool], axis: int | None) -> Any:
    def reference(x: Any) -> Any:
        out = np.unique(x, axis=axis, **flags)
        return [out[0], *(o.reshape(-1) for o in out[1:])] if flags else out

    return reference


def _one_hot(y: Any, n: int) -> Any:
    return np.eye(n)[y]


COUNTING = [
    *(
        Case(
            f"unique: {', '.join(flags) or 'values'}, axis {axis}, {'ties' if draw is _ties else 'distinct'}",
            "unique",
            lambda x, flags=flags, axis=axis: T.unique(x, axis=axis, **flags),
            _unique(flags, axis),
            (Arg((4, 3), draw=draw),),
            integers=ANYTHING if draw is _ties else (),
            wrt=() if draw is _ties else None,
            empty=(((0, 2),),) if axis is None else (),
        )
        for flags in (
            {},
            {"return_index": True},
            {"return_inverse": True},
            {"return_index": True, "return_inverse": True, "return_counts": True},
        )
        for axis, draw in ((None, _ties), (0, _ties), (None, _distinct), (-1, _distinct))
    ),
    Case(
        "bincount",
        "bincount",
        T.bincount,
        np.bincount,
        (Arg((9,), 0, 5, "int64"),),
        empty=(((0,),),),
    ),
    Case(
        "bincount: at least 8 bins",
        "bincount",
        lambda x: T.bincount(x, minlength=8),
        lambda x: np.bincount(x, minlength=8),
        (Arg((9,), 0, 5, "uint8"),),
        empty=(((0,),),),
    ),
    Case(
        "bincount: weights",
        "bincount",
        lambda x, w: T.bincount(x, w, 3),
        lambda x, w: np.bincount(x, w, 3),
        (Arg((9,), 0, 5, "int32"), Arg((9,))),
        empty=(((0,), (0,)),),
    ),
    *(
        Case(
            f"to_one_hot: {shape}",
            "to_one_hot",
            lambda y: T.extra_ops.to_one_hot(y, 4),
            lambda y: _one_hot(y, 4),
            (Arg(shape, -1, 3, "int64"),),
            empty=(((0,),),),
        )
        for shape in ((5,), (2, 3), ())
    ),
    Case(
        "to_one_hot: symbolic width, int8",
        "to_one_hot",
        lambda y, n: T.extra_ops.to_one_hot(y, n, "int8"),
        lambda y, n: _one_hot(y, int(n)).astype("int8"),
        (Arg((5,), 0, 3, "uint8"), Arg((), 4, 6, "int64")),
    ),
    *(
        Case(
            f"searchsorted: {side}, {shape}",
            "searchsorted",
            lambda x, v, side=side: T.searchsorted(x, v, side),
            lambda x, v, side=side: np.searchsorted(x, v, side),
            (Arg((6,), draw=lambda rng, s: np.sort(_ties(rng, s))), Arg(shape, draw=_ties)),
            wrt=(),
            integers=("int64",),
            empty=(((0,), (2,)), ((3,), (0, 2))),
        )
        for side in ("left", "right")
        for shape in ((5,), (2, 3), ())
    ),
    Case(
        "searchsorted: sorter",
        "searchsorted",
        lambda x, v: T.searchsorted(x, v, sorter=T.argsort(x)),
        lambda x, v: np.searchsorted(x, v, sorter=np.argsort(x)),
        (Arg((6,)), Arg((4,))),
        wrt=(),
    ),
]


# --- positions ----------------------------------------------------------------------------------------------------

POSITIONS = [
    *(
        Case(
            f"unravel_index: {order}, {dims}, {shape}",
            "unravel_index",
            lambda i, dims=dims, order=order: T.unravel_index(i, dims, order),
            lambda i, dims=dims, order=order: list(np.unravel_index(i, dims, order)),
            (Arg(shape, 0, 23, "int64"),),
            empty=(((0, 2),),),
        )
        for order in ("C", "F")
        for dims, shape in (((2, 3, 4), (5,)), ((24,), (2, 2)), ((4, 6), ()))
    ),
    Case(
        "unravel_index: symbolic shape",
        "unravel_index",
        lambda i, x: T.unravel_index(i, x.shape),
        lambda i, x: list(np.unravel_index(i, x.shape)),
        (Arg((5,), 0, 11, "int32"), Arg((3, 4))),
        wrt=(),
    ),
    *(
        Case(
            f"ravel_multi_index: {mode}, {order}",
            "ravel_multi_index",
            lambda i, j, mode=mode, order=order: T.ravel_multi_index((i, j), (3, 4), mode, order),
            lambda i, j, mode=mode, order=order: np.ravel_multi_index((i, j), (3, 4), mode, order),
            (Arg((5,), low, high, "int64"), Arg((2, 1), low, high, "int64")),
            empty=(((0,), (1,)),),
        )
        for mode, low, high in (("raise", 0, 2), ("wrap", -9, 9), ("clip", -9, 9), (("clip", "wrap"), -9, 9))
        for order in ("C", "F")
    ),
    Case(
        "broadcast_shape",
        "extra_ops.broadcast_shape",
        lambda x, y: T.stack(list(T.extra_ops.broadcast_shape(x, y))),
        lambda x, y: np.array(np.broadcast_shapes(x.shape, y.shape)),
        (Arg((2, 1, 4)), Arg((3, 1))),
        wrt=(),
        empty=(((0, 1, 2), (3, 1)),),
    ),
    Case(
        "broadcast_shape_iter: of shapes",
        "extra_ops.broadcast_shape_iter",
        lambda x, y: T.stack(
            list(T.extra_ops.broadcast_shape_iter([x.shape, (y.shape[0], 1)], arrays_are_shapes=True))
        ),
        lambda x, y: np.array([3, 4]),
        (Arg((1, 4)), Arg((3,))),
        wrt=(),
    ),
]

GRIDS = [
    Case("mgrid: one", "mgrid", lambda: T.mgrid[2:9:3], lambda: np.mgrid[2:9:3], ()),
    Case("mgrid: two", "mgrid", lambda: T.mgrid[:2, 5:8], lambda: list(np.mgrid[:2, 5:8]), ()),
    Case("mgrid: points", "mgrid", lambda: T.mgrid[0:1:3j, 0:2], lambda: list(np.mgrid[0:1:3j, 0:2]), ()),
    Case(
        "mgrid: symbolic",
        "mgrid",
        lambda n: T.mgrid[0:n, 0:3],
        lambda n: list(np.mgrid[0 : int(n), 0:3]),
        (Arg((), 1, 4, "int64"),),
    ),
    Case("ogrid: two", "ogrid", lambda: T.ogrid[0:5, 0.0:1.0:0.25], lambda: list(np.ogrid[0:5, 0.0:1.0:0.25]), ()),
    Case("ogrid: one", "ogrid", lambda: T.ogrid[-1:1:5j], lambda: np.ogrid[-1:1:5j], ()),
]


# --- selecting ----------------------------------------------------------------------------------------------------


def _choose(mode: str) -> Any:
    return lambda a, *choices: np.choose(a, choices, mode=mode)


def _top(k: int, axis: int | None, places: bool) -> Any:
    def reference(x: Any) -> Any:
        x, at = (x.reshape(-1), 0) if axis is None else (x, axis)
        ranks = np.argsort(x if k < 0 else -x.astype("float64"), axis=at, kind="stable")
        best = np.take(ranks, range(abs(k)), axis=at)
        return best if places else np.take_along_axis(x, best, at)

    return reference


def _permute(x: Any, y: Any, inverse: bool) -> Any:
    x, y = np.broadcast_arrays(x, y)
    return np.take_along_axis(x, np.argsort(y, axis=-1) if inverse else y, axis=-1)


PERMUTATIONS = lambda rng, shape: np.argsort(rng.random(shape), axis=-1)  # noqa: E731

SELECTING = [
    *(
        Case(
            f"choose: {mode}",
            "choose",
            lambda a, *choices, mode=mode: T.choose(a, choices, mode=mode),
            _choose(mode),
            (Arg((3, 4), low, high, "int64"), Arg((3, 4)), Arg((4,)), Arg(())),
            empty=(((0, 4), (1, 4), (4,), ()),),
        )
        for mode, low, high in (("raise", 0, 2), ("wrap", -7, 7), ("clip", -7, 7))
    ),
    Case(
        "choose: from one",
        "choose",
        lambda a, x: T.choose(a, [x], mode="clip"),
        lambda a, x: np.choose(a, [x], mode="clip"),
        (Arg((3, 1), -1, 1, "int8"), Arg((4,))),
    ),
    *(
        Case(
            f"choose: from a tensor, {mode}, {shape}",
            "choose",
            lambda a, choices, mode=mode: T.choose(a, choices, mode=mode),
            lambda a, choices, mode=mode: np.choose(a, choices, mode=mode),
            (Arg(shape, low, high, "int32"), Arg((3, 2, 1))),
        )
        for mode, low, high in (("raise", 0, 2), ("wrap", -7, 7))
        for shape in ((2, 4), (4,), (), (2, 2, 2))
    ),
    *(
        Case(
            f"{name}: {k}, axis {axis}, {label}",
            name,
            lambda x, name=name, k=k, axis=axis: getattr(T, name)(x, k, axis),
            _top(k, axis, name == "argtopk"),
            (Arg((3, 4), draw=draw),),
            wrt=None if draw is _distinct and name == "topk" else (),
            integers=NUMBERS,
        )
        for name in ("topk", "argtopk")
        for k, axis in ((2, -1), (3, 0), (-2, 1), (5, None))
        for label, draw in (("distinct", _distinct), ("ties", _ties))
    ),
    Case(
        "topk_and_argtopk: symbolic",
        "topk_and_argtopk",
        lambda x, k: T.topk_and_argtopk(x, k, idx_dtype="int32"),
        lambda x, k: [_top(int(k), -1, False)(x), _top(int(k), -1, True)(x).astype("int32")],
        (Arg((3, 4), draw=_distinct), Arg((), 2, 3, "int64")),
        empty=(((0, 4), ()),),
    ),
    *(
        Case(
            f"permute_row_elements: inverse {inverse}, {shapes}",
            "permute_row_elements",
            lambda x, y, inverse=inverse: T.permute_row_elements(x, y, inverse),
            lambda x, y, inverse=inverse: _permute(x, y, inverse),
            (Arg(shapes[0]), Arg(shapes[1], dtype="int64", draw=PERMUTATIONS)),
        )
        for inverse in (False, True)
        for shapes in (((3, 4), (4,)), ((3, 4), (3, 4)), ((4,), (2, 4)))
    ),
    Case(
        "inverse_permutation",
        "inverse_permutation",
        T.inverse_permutation,
        lambda p: np.argsort(p, axis=-1).astype(p.dtype),
        (Arg((2, 5), dtype="int32", draw=PERMUTATIONS),),
    ),
]


# --- small functions, checks and files ----------------------------------------------------------------------------

FOLDER = tempfile.TemporaryDirectory()
SAVED = os.path.join(FOLDER.name, "saved.npy")
np.save(SAVED, np.arange(6.0).reshape((2, 3)).T)


def _same(x: Any) -> Any:
    return x


def _written(write: Any) -> Any:
    def reference(x: Any, y: Any, i: Any) -> Any:
        out = x.copy()
        write(out, i, y)
        return out

    return reference


SMALL = [
    Case("add: three", "add", T.add, lambda x, y, z: x + y + z, (Arg((3, 4)), Arg((4,)), Arg(()))),
    Case("add: one", "add", lambda x: T.add(x) * 2, lambda x: x * 2),
    Case("mul: three", "mul", T.mul, lambda x, y, z: x * y * z, (Arg((3, 4)), Arg((4,)), Arg(())), order=3),
    *(
        Case(f"{name}: repeated", name, function, reference, (Arg((5, 2)), Arg((4, 2)), Arg((4,), 0, 2, "int64")))
        for kind, reference in {"inc": _written(np.add.at), "set": _written(np.ndarray.__setitem__)}.items()
        for name in (f"advanced_{kind}_subtensor", f"advanced_{kind}_subtensor1")
        for function in (getattr(T, name),)
    ),
    *(
        Case(name, name, getattr(T, name), lambda x, i: x[i], (Arg((5, 2)), Arg((4,), -5, 4, "int32")))
        for name in ("advanced_subtensor", "advanced_subtensor1")
    ),
    Case(
        "advanced_subtensor: two indices",
        "advanced_subtensor",
        T.advanced_subtensor,
        lambda x, i, j: x[i, j],
        (Arg((5, 2)), Arg((3, 1), 0, 4, "int64"), Arg((4,), 0, 1, "int64")),
    ),
    Case("real", "real", lambda x: T.real(x) * 2, lambda x: np.real(x) * 2),
    Case("conj", "conj", lambda x: T.conj(x) * 2, lambda x: np.conj(x) * 2),
    Case("imag", "imag", T.imag, np.imag, wrt=(), integers=("int64",)),
    Case("angle", "angle", T.angle, np.angle, wrt=()),
    Case("tensor_copy", "tensor_copy", T.tensor_copy, _same, integers=ANYTHING, empty=(((0, 2),),)),
    Case("transfer", "transfer", lambda x: T.transfer(x, "cpu") * 2, lambda x: x * 2),
    Case(
        "makeKeepDims",
        "makeKeepDims",
        lambda x: T.makeKeepDims(x, x.sum(axis=(0, 2)), (0, -1)),
        lambda x: x.sum(axis=(0, 2), keepdims=True),
        (Arg((2, 3, 4)),),
    ),
    Case(
        "opt.assert_op",
        "opt.assert_op",
        lambda x: T.opt.assert_op(x * 2, x.shape[0] > 2, T.all(x < 3)),
        lambda x: x * 2,
        integers=("int64",),
    ),
    Case("load", "load", lambda: T.load(SAVED, "float64", (False, False)), lambda: np.load(SAVED), ()),
    Case("load: mapped", "load", lambda: T.load(SAVED, "float64", (3, None), "c") * 2, lambda: np.load(SAVED) * 2, ()),
]

CASES: list[Case] = [*ARRAYS, *CLOSE, *COUNTING, *POSITIONS, *GRIDS, *SELECTING, *SMALL]
