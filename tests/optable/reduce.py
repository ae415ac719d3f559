"""Op table: reductions, cumulative sums and products, statistics."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

INTEGERS = ("bool", "int8", "int64", "uint8")
CUBE = Arg((3, 3, 4))
POSITIVE = Arg((3, 3, 4), low=0.5, high=2.0)

#: Every form of an axis argument for three dimensions: how it is written for us, and for NumPy.
AXES: tuple[tuple[Any, Any], ...] = (
    (None, None),
    (1, 1),
    (-1, -1),
    ((0, 2), (0, 2)),
    ([2, 1], (1, 2)),
    ((), ()),
    (np.int64(0), 0),
    (np.array([0, 1]), (0, 1)),
)
EMPTY = (((0,),), ((2, 0),), ((0, 3),))


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference whose warnings about empty and infinite inputs are not wanted."""

    def reference(*arrays: Any) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*arrays)

    return reference


def over_axes(name: str, reference: Callable[..., Any], arg: Arg = CUBE, alone: int = 2, **fields: Any) -> list[Case]:
    """A reduction in each axis form, keeping dimensions in turn; ``alone``: the order checked for single elements."""
    function = getattr(T, name)
    cases = []
    for i, (axis, numpy_axis) in enumerate(AXES):
        keepdims = bool(i % 2)
        if name.startswith("arg") and isinstance(numpy_axis, tuple):
            continue
        cases.append(
            Case(
                f"{name}: axis {axis!r}{', keepdims' if keepdims else ''}",
                name,
                lambda x, axis=axis, keepdims=keepdims: function(x, axis=axis, keepdims=keepdims),
                quiet(lambda x, axis=numpy_axis, keepdims=keepdims: reference(x, axis=axis, keepdims=keepdims)),
                (arg,),
                order=alone if numpy_axis == () else 2,
                **fields,
            )
        )
    cases.append(Case(f"{name}: 0-d", name, function, reference, (Arg((), arg.low, arg.high),), order=alone, **fields))
    return cases


def one(
    name: str, label: str, build: Callable[..., Any], reference: Callable[..., Any], *args: Arg, **fields: Any
) -> Case:
    return Case(f"{name}: {label}", name, build, quiet(reference), args or (CUBE,), **fields)


def _norm(p: float) -> Callable[..., Any]:
    def reference(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        size = np.abs(np.asarray(x, "float64"))
        if np.isinf(p):
            return (np.max if p > 0 else np.min)(size, axis=axis, keepdims=keepdims)
        if p == 0:
            return np.sum(size != 0, axis=axis, keepdims=keepdims)
        return np.sum(size**p, axis=axis, keepdims=keepdims) ** (1 / p)

    return reference


def _argmax_over(x: Any, axes: tuple[int, ...]) -> Any:
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    moved = np.transpose(x, (*kept, *axes))
    return np.argmax(moved.reshape(*moved.shape[: len(kept)], -1), axis=-1)


#: Zeros in all numbers: none, one, two and more in a row, so that every path of the product's gradient is taken.
def _with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    x = rng.uniform(-2, 2, shape)
    flat = x.reshape(-1)
    flat[[1, 4, 6]] = 0
    return x


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(0, 3, shape)


ZEROS = Arg((3, 4), draw=_with_zeros)
#: For values alone: several elements are equal.
TIES = Arg((4, 5), draw=_ties)

SUMS = [
    *over_axes("sum", np.sum, integers=INTEGERS),
    *over_axes("prod", np.prod, integers=INTEGERS),
    *over_axes("mean", np.mean, integers=INTEGERS),
    one("sum", "empty", T.sum, np.sum, empty=EMPTY),
    one("sum", "axis 0 of empty", lambda x: T.sum(x, axis=0), lambda x: np.sum(x, axis=0), empty=EMPTY),
    one("sum", "dtype", lambda x: T.sum(x, 0, dtype="float64"), lambda x: np.sum(x, 0, dtype="float64")),
    one("sum", "acc_dtype", lambda x: T.sum(x, 0, acc_dtype="float64"), lambda x: np.sum(x, 0)),
    one("sum", "integer dtype", lambda x: T.sum(x, dtype="int32"), lambda x: np.int32(np.sum(x)), wrt=()),
    one("sum", "scalars in a list", lambda x, y: T.sum([x, y]), lambda x, y: x + y, Arg(()), Arg(())),
    one("prod", "zeros", lambda x: T.prod(x, axis=1), lambda x: np.prod(x, axis=1), ZEROS),
    one("prod", "zeros, all axes", T.prod, np.prod, Arg((2, 2), draw=lambda rng, shape: [[0, 2], [3, 0]])),
    one("prod", "zeros, third order", T.prod, np.prod, Arg((3,), draw=lambda rng, shape: [0, 0, 2]), order=3),
    one(
        "prod",
        "two of three axes",
        lambda x: T.prod(x, axis=(0, 2), keepdims=True),
        lambda x: np.prod(x, axis=(0, 2), keepdims=True),
        Arg((2, 2, 3)),
    ),
    one("prod", "empty", T.prod, np.prod, empty=EMPTY),
    one("mean", "empty", T.mean, np.mean, empty=EMPTY),
    one("mean", "dtype", lambda x: T.mean(x, dtype="float64"), lambda x: np.mean(x, dtype="float64")),
    one("mean", "acc_dtype", lambda x: T.mean(x, acc_dtype="float64"), np.mean),
]

EXTREMA = [
    *over_axes("max", np.max, integers=INTEGERS),
    *over_axes("min", np.min, integers=INTEGERS),
    *over_axes("ptp", lambda x, **how: np.max(x, **how) - np.min(x, **how), integers=("int8", "int64", "uint8")),
    *over_axes("argmax", np.argmax, wrt=(), integers=INTEGERS),
    *over_axes("argmin", np.argmin, wrt=(), integers=INTEGERS),
    one("max", "axis 0 of empty", lambda x: T.max(x, axis=0), lambda x: np.max(x, axis=0), empty=(((3, 0),),)),
    one("argmax", "ties", lambda x: T.argmax(x, axis=1), lambda x: np.argmax(x, axis=1), TIES, wrt=()),
    one("argmin", "ties", T.argmin, np.argmin, TIES, wrt=()),
    one(
        "argmax",
        "two of three axes",
        lambda x: T.argmax(x, axis=(2, 0)),
        lambda x: _argmax_over(x, (0, 2)),
        wrt=(),
    ),
    *(
        one(
            "max_and_argmax",
            f"axis {axis}",
            lambda x, axis=axis: T.max_and_argmax(x, axis),
            lambda x, axis=axis: [np.max(x, axis), np.argmax(x, axis)],
            integers=INTEGERS,
        )
        for axis in (None, 0, -1)
    ),
    *over_axes("any", np.any, wrt=(), integers=INTEGERS),
    *over_axes("all", np.all, wrt=(), integers=INTEGERS),
    one("any", "empty", T.any, np.any, wrt=(), empty=EMPTY),
    one("all", "empty", T.all, np.all, wrt=(), empty=EMPTY),
]

STATISTICS = [
    *over_axes("var", np.var, integers=INTEGERS),
    *over_axes("std", np.std, integers=INTEGERS),
    *over_axes("norm", _norm(2), integers=("int8", "int64", "uint8"), alone=1),
    *over_axes("logsumexp", scipy.special.logsumexp, integers=("int8", "int64")),
    one("var", "ddof", lambda x: T.var(x, axis=(0, 2), ddof=1), lambda x: np.var(x, axis=(0, 2), ddof=1)),
    one("var", "corrected", lambda x: T.var(x, axis=1, ddof=1, corrected=True), lambda x: np.var(x, axis=1, ddof=1)),
    one("var", "empty", T.var, np.var, empty=EMPTY),
    one("std", "ddof", lambda x: T.std(x, axis=1, ddof=1), lambda x: np.std(x, axis=1, ddof=1)),
    one("logsumexp", "large", T.logsumexp, scipy.special.logsumexp, Arg((5,), 1e4, 1.001e4)),
    one("logsumexp", "third order", T.logsumexp, scipy.special.logsumexp, Arg((3,)), order=3),
    *(
        one("norm", f"L {p}", lambda x, p=p: T.norm(x, p, axis=1), lambda x, p=p: _norm(p)(x, axis=1), POSITIVE)
        for p in (1, 1.5, 3, -1, 0.5, np.inf, -np.inf)
    ),
    one("norm", "L 0", lambda x: T.norm(x, 0), lambda x: np.sum(x != 0, dtype=x.dtype), TIES, wrt=()),
    one("norm", "L 3, both signs", lambda x: T.norm(x, ord=3), _norm(3)),
]


def cumulative(name: str, reference: Callable[..., Any]) -> list[Case]:
    function = getattr(T, name)
    cases = [
        one(
            name,
            f"axis {axis}",
            lambda x, axis=axis: function(x, axis),
            lambda x, axis=axis: reference(x, axis),
            Arg((2, 3, 2)),
            integers=INTEGERS,
            empty=(((0, 3, 2),), ((2, 0, 1),)),
        )
        for axis in (None, 0, 1, -1)
    ]
    return [
        *cases,
        one(name, "dtype", lambda x: function(x, 0, dtype="float64"), lambda x: reference(x, 0, dtype="float64")),
        one(name, "zeros", lambda x: function(x, axis=1), lambda x: reference(x, axis=1), ZEROS),
        one(name, "0-d", function, reference, Arg(())),
    ]


CASES: list[Case] = [
    *SUMS,
    *EXTREMA,
    *STATISTICS,
    *cumulative("cumsum", np.cumsum),
    *cumulative("cumprod", np.cumprod),
]
