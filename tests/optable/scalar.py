"""Op table: comparison, logic, arithmetic, rounding and choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES", "EMPTY", "in_float64", "operation"]

#: Zero-size shapes of one, two and three operands, broadcasting included.
EMPTY = {
    1: (((0,),), ((2, 0, 3),)),
    2: (((0,), (0,)), ((2, 0), (2, 1)), ((0,), ())),
    3: (((0,), (0,), (0,)), ((2, 0), (1,), ())),
}
INTEGERS = ("int8", "int64", "uint8")
ANYTHING = ("bool", *INTEGERS)
#: Operands away from each other and from 0, so that no kink is near.
LARGE, SMALL = Arg(low=1.5, high=2.0), Arg(low=0.5, high=1.0)


def operation(function: str, reference: Callable[..., Any], *args: Arg, name: str = "", **fields: Any) -> Case:
    """A case of an elementwise function that is called on its operands alone."""

    def build(*inputs: Any) -> Any:
        out: Any = T
        for part in function.split("."):
            out = getattr(out, part)
        return out(*inputs)

    fields.setdefault("empty", EMPTY[len(args)])
    fields.setdefault("special", True)
    fields.setdefault("broadcasts", len(args) > 1)
    return Case(name or function, function, build, reference, args, **fields)


def in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """The reference of a function that makes floats of integers; NumPy's own are narrow for narrow integers."""

    def reference(*arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*[np.asarray(a, "float64") for a in arrays])

    return reference


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """The reference of a rounding function, which leaves integers alone."""
    return lambda x: function(x) if x.dtype.kind == "f" else x


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.where(x < low, low, np.where(x > high, high, x))


def _half_away_from_zero(x: Any) -> Any:
    whole = np.trunc(x)
    with np.errstate(invalid="ignore"):
        return np.copysign(whole + np.where(abs(x - whole) >= 0.5, np.sign(x), 0), x)


ARITHMETIC = [
    operation("add", np.add, Arg(), Arg(), integers=ANYTHING),
    operation("sub", np.subtract, Arg(), Arg(), integers=INTEGERS),
    operation("mul", np.multiply, Arg(), Arg(), integers=ANYTHING),
    operation("true_div", in_float64(np.true_divide), Arg(), LARGE, integers=ANYTHING),
    operation("true_div", np.true_divide, Arg(), Arg(low=-2.0, high=-0.5), name="true_div: by negatives"),
    operation("int_div", np.floor_divide, Arg(low=0.1, high=0.9), LARGE, integers=INTEGERS),
    operation("mod", np.remainder, Arg(low=3.1, high=3.9), Arg(low=1.6, high=1.9), name="mod: between the jumps"),
    operation(
        "mod", np.remainder, Arg(low=-1.4, high=-0.1), LARGE, name="mod: negative by positive", integers=INTEGERS
    ),
    operation("pow", np.power, SMALL, Arg()),
    operation(
        "pow",
        np.power,
        Arg(),
        Arg(draw=lambda rng, shape: rng.integers(0, 4, shape)),
        name="pow: whole exponents",
        wrt=(0,),
    ),
    operation(
        "pow",
        np.power,
        Arg(dtype="int64", low=-3, high=3),
        Arg(dtype="int64", low=0, high=4),
        name="pow: integers",
        special=False,
    ),
    *[
        Case(
            f"pow: constant exponent {n}",
            "pow",
            lambda x, n=n: T.pow(x, n),
            lambda x, n=n: np.power(x, n),
            (Arg(low=0.5, high=2.0) if n != int(n) or n < 0 else Arg(),),
            empty=EMPTY[1],
            order=3,
        )
        for n in (-2.0, -0.5, 0, 0.5, 1, 2, 3)
    ],
    Case("pow: constant base", "pow", lambda y: T.pow(2.0, y), lambda y: np.power(2.0, y), order=3),
    operation("neg", np.negative, Arg(), integers=INTEGERS),
    operation("abs_", np.abs, Arg(low=0.1), integers=ANYTHING),
    operation("abs_", np.abs, Arg(high=-0.1), name="abs_: of negatives"),
    operation("sgn", np.sign, Arg(low=0.1), integers=INTEGERS),
    operation("sqr", np.square, Arg(), integers=INTEGERS),
    operation("sqrt", in_float64(np.sqrt), Arg(low=0.2), integers=("bool", "int64", "uint8")),
    operation("inv", in_float64(np.reciprocal), LARGE, integers=("int64",)),
    operation("inv", in_float64(np.reciprocal), Arg(low=-2.0, high=-0.5), name="inv: of negatives"),
]

COMPARISON = [
    *[
        operation(name, function, Arg(), Arg(), wrt=(), integers=ANYTHING)
        for name, function in {
            "eq": np.equal,
            "neq": np.not_equal,
            "lt": np.less,
            "le": np.less_equal,
            "gt": np.greater,
            "ge": np.greater_equal,
        }.items()
    ],
    operation("isnan", np.isnan, Arg(), wrt=(), integers=ANYTHING),
    operation("isinf", np.isinf, Arg(), wrt=(), integers=ANYTHING),
    operation("isfinite", np.isfinite, Arg(), wrt=(), integers=ANYTHING),
    *[
        operation(
            name,
            function,
            Arg(dtype=dtype, low=0, high=9),
            Arg(dtype=dtype, low=0, high=9),
            name=f"{name}: {dtype}",
            special=False,
        )
        for name, function in {"and_": np.bitwise_and, "or_": np.bitwise_or, "xor": np.bitwise_xor}.items()
        for dtype in ANYTHING
    ],
    *[
        operation("invert", np.invert, Arg(dtype=dtype, low=0, high=9), name=f"invert: {dtype}", special=False)
        for dtype in ANYTHING
    ],
]

ROUNDING = [
    operation(name, _whole(function), Arg(low=0.1, high=0.4), integers=ANYTHING, order=1)
    for name, function in {
        "floor": np.floor,
        "ceil": np.ceil,
        "trunc": np.trunc,
        "round": np.round,
        "round_half_to_even": np.rint,
        "round_half_away_from_zero": _half_away_from_zero,
    }.items()
] + [
    Case(
        f"{name}: halves, {mode}",
        name,
        lambda x, name=name, mode=mode: getattr(T, name)(x, mode=mode),
        lambda x, function=function, dtype=dtype: function(x).astype(dtype or x.dtype),
        (Arg(draw=lambda rng, shape: rng.integers(-8, 9, shape) / 2),),
        wrt=(),
        empty=EMPTY[1],
    )
    for name, dtype in {"round": None, "iround": "int64"}.items()
    for mode, function in {"half_to_even": np.rint, "half_away_from_zero": _half_away_from_zero}.items()
]

CHOICE = [
    operation("maximum", np.maximum, LARGE, SMALL, integers=ANYTHING),
    operation("maximum", np.maximum, SMALL, LARGE, name="maximum: the second"),
    operation("minimum", np.minimum, LARGE, SMALL, integers=ANYTHING),
    operation("minimum", np.minimum, SMALL, LARGE, name="minimum: the second"),
    *[
        operation(
            name,
            np.where,
            Arg(dtype=dtype, low=0, high=1),
            Arg(),
            Arg(),
            name=f"{name}: condition {dtype}",
            special=False,
        )
        for name in ("switch", "where")
        for dtype in ("bool", "int64")
    ],
    operation("clip", _clip, Arg(low=0.6, high=0.9), Arg(high=0.4), Arg(low=1.1), integers=INTEGERS),
    operation("clip", _clip, Arg(low=0.0, high=0.3), Arg(low=0.5, high=0.6), Arg(low=1.1), name="clip: below"),
    operation("clip", _clip, Arg(low=1.5), Arg(low=0.5, high=0.6), Arg(low=1.1, high=1.2), name="clip: above"),
    Case(
        "clip: by numbers",
        "clip",
        lambda x: T.clip(x, -0.5, 1),
        lambda x: _clip(x, -0.5, 1.0),
        (Arg(low=-0.4, high=0.9),),
    ),
]

CASES: list[Case] = [*ARITHMETIC, *COMPARISON, *ROUNDING, *CHOICE]
