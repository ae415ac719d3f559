"""The table of elementwise operations: comparison, logic, arithmetic, rounding and choice.

Each entry gives the array-module function and, for each input, how the cotangent ``g`` of the output ``z`` reaches it.
Derivatives are written with these same operations, so they can be differentiated again. Where a function has a kink,
the subgradient is Theano's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tinygraph.errors import DtypeError
from tinygraph.graph import Constant, describe
from tinygraph.ops.convert import as_tensor, cast, is_weak
from tinygraph.ops.elementwise import apply_row, define
from tinygraph.types import is_discrete

__all__ = [
    "NegativePowerError",
    "abs_",
    "add",
    "and_",
    "ceil",
    "clip",
    "eq",
    "floor",
    "ge",
    "gt",
    "int_div",
    "inv",
    "invert",
    "iround",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "leaky_relu",
    "lt",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "neg",
    "neq",
    "or_",
    "power",
    "relu",
    "round_",
    "round_half_away_from_zero",
    "round_half_to_even",
    "sgn",
    "sqr",
    "sqrt",
    "sub",
    "switch",
    "true_div",
    "trunc",
    "where",
    "xor",
]

# --- comparison and logic -----------------------------------------------------------------------------------------

eq = define("eq", 2, "equal", dtypes="compare", symbol="==", doc="x == y, elementwise, as bools.")
neq = define("neq", 2, "not_equal", dtypes="compare", symbol="!=", doc="x != y, elementwise, as bools.")
lt = define("lt", 2, "less", dtypes="compare", symbol="<", doc="x < y, elementwise, as bools.")
le = define("le", 2, "less_equal", dtypes="compare", symbol="<=", doc="x <= y, elementwise, as bools.")
gt = define("gt", 2, "greater", dtypes="compare", symbol=">", doc="x > y, elementwise, as bools.")
ge = define("ge", 2, "greater_equal", dtypes="compare", symbol=">=", doc="x >= y, elementwise, as bools.")
isnan = define("isnan", 1, "isnan", dtypes="test", doc="True where x is not a number, elementwise.")
isinf = define("isinf", 1, "isinf", dtypes="test", doc="True where x is inf or -inf, elementwise.")
isfinite = define(
    "isfinite", 1, "isfinite", dtypes="test", doc="True where x is neither infinite nor NaN, elementwise."
)
and_ = define(
    "and_",
    2,
    "bitwise_and",
    dtypes="same",
    kinds="biu",
    symbol="&",
    doc="x & y, elementwise: the logical and of bools, bit by bit for integers.",
)
or_ = define(
    "or_",
    2,
    "bitwise_or",
    dtypes="same",
    kinds="biu",
    symbol="|",
    doc="x | y, elementwise: the logical or of bools, bit by bit for integers.",
)
xor = define(
    "xor",
    2,
    "bitwise_xor",
    dtypes="same",
    kinds="biu",
    symbol="^",
    doc="x ^ y, elementwise: the exclusive or of bools, bit by bit for integers.",
)
invert = define(
    "invert",
    1,
    "invert",
    dtypes="same",
    kinds="biu",
    doc="~x, elementwise: the logical not of bools, bit by bit for integers.",
)

# --- arithmetic ---------------------------------------------------------------------------------------------------

add = define(
    "add",
    2,
    "add",
    dtypes="same",
    vjp=[lambda g, z, x, y: g, lambda g, z, x, y: g],
    tame=True,
    analytic=True,
    symbol="+",
    doc="x + y, elementwise.",
)
sub = define(
    "sub",
    2,
    "subtract",
    dtypes="same",
    kinds="iuf",
    vjp=[lambda g, z, x, y: g, lambda g, z, x, y: -g],
    tame=True,
    analytic=True,
    symbol="-",
    doc="x - y, elementwise.",
)
mul = define(
    "mul",
    2,
    "multiply",
    dtypes="same",
    vjp=[lambda g, z, x, y: g * y, lambda g, z, x, y: g * x],
    analytic=True,
    symbol="*",
    doc="x * y, elementwise.",
)
true_div = define(
    "true_div",
    2,
    "true_divide",
    dtypes="float",
    vjp=[lambda g, z, x, y: g / y, lambda g, z, x, y: -(g * z) / y],
    analytic=True,
    symbol="/",
    doc="x / y, elementwise; integers give config.floatX.",
)
int_div = define(
    "int_div",
    2,
    "floor_divide",
    dtypes="same",
    kinds="iuf",
    bools_as="int8",
    zero=True,
    tame=True,
    symbol="//",
    doc="The largest whole number up to x / y, elementwise; an integer divided by zero gives 0.",
)
mod = define(
    "mod",
    2,
    "remainder",
    dtypes="same",
    kinds="iuf",
    bools_as="int8",
    vjp=[lambda g, z, x, y: g, lambda g, z, x, y: -(g * int_div(x, y))],
    symbol="%",
    doc="The remainder of x // y, elementwise, with the sign of y; of an integer divided by zero it is 0.",
)
neg = define(
    "neg",
    1,
    "negative",
    dtypes="same",
    kinds="iuf",
    vjp=lambda g, z, x: -g,
    tame=True,
    analytic=True,
    doc="-x, elementwise.",
)
sgn = define(
    "sgn",
    1,
    "sign",
    dtypes="same",
    kinds="iuf",
    zero=True,
    tame=True,
    doc="The sign, elementwise: -1, 0 or 1.",
)
abs_ = define(
    "abs",
    1,
    "abs",
    dtypes="same",
    vjp=lambda g, z, x: g * sgn(x),
    doc="The absolute value, elementwise; its derivative at 0 is 0.",
)
sqr = define(
    "sqr",
    1,
    "square",
    dtypes="same",
    kinds="iuf",
    vjp=lambda g, z, x: g * (2 * x),
    analytic=True,
    doc="x * x, elementwise.",
)
sqrt = define(
    "sqrt",
    1,
    "sqrt",
    vjp=lambda g, z, x: g / (2 * z),
    analytic=True,
    doc="The square root, elementwise; its derivative at 0 is inf.",
)
inv = define(
    "inv",
    1,
    "reciprocal",
    vjp=lambda g, z, x: -(g * z * z),
    analytic=True,
    doc="1 / x, elementwise.",
)


class NegativePowerError(DtypeError, ValueError):
    """An integer raised to a negative integer, which is no integer."""

    def __init__(self) -> None:
        super().__init__(
            "integers to negative integer powers are no integers",
            expected="exponents from 0, or floats",
            actual="a negative exponent",
            hint="cast the base first, for instance .astype(config.floatX)",
        )


def _power(xp: Any, x: Any, y: Any) -> Any:
    if y.dtype.kind == "i" and bool((y < 0).any()):
        raise NegativePowerError
    return xp.power(x, y)


def _never_zero(x: Any) -> bool:
    return isinstance(x, Constant) and bool(x.data.all())


def _flat(x: Any, y: Any, below: Any) -> Any:
    """The lanes in which the slope ``y * below`` of x ** y reads 0 * inf: there x ** 0 is 1 all around."""
    return and_(eq(y, 0), invert(isfinite(below)))


def _below(x: Any, y: Any) -> Any:
    """The power ``x ** (y - 1)``."""
    # A constant exponent stays one, so that it is known to be 0 when its order of derivative is reached.
    return power(x, y.type.constant_class(None, y.data - 1) if isinstance(y, Constant) else y - 1)


def _power_to_base(g: Any, z: Any, x: Any, y: Any) -> Any:
    if isinstance(y, Constant) and not y.data.any():
        return g * (0 * z)  # z is 1 throughout; the path to x stays, for derivatives of this one
    below = _below(x, y)
    slope = y * below
    return g * (slope if _never_zero(y) else switch(_flat(x, y, below), 0, slope))


def _power_to_exponent(g: Any, z: Any, x: Any, y: Any) -> Any:
    slope = z * apply_row("log", (x,))
    return g * (slope if _never_zero(x) else switch(eq(x, 0), 0, slope))


_pow = define(
    "pow",
    2,
    _power,
    dtypes="same",
    kinds="iuf",
    bools_as="int8",
    vjp=[_power_to_base, _power_to_exponent],
    masks=(
        lambda z, x, y: None if _never_zero(y) else invert(_flat(x, y, _below(x, y))),
        lambda z, x, y: None if _never_zero(x) else neq(x, 0),
    ),
    analytic=True,
    symbol="**",
    doc="x ** y, elementwise.",
)


def power(x: Any, y: Any) -> Any:
    """``x ** y``, elementwise.

    Parameters
    ----------
    x, y
        Integers or floats; integers to integer powers stay integers.

    The derivative towards ``x`` is 0 where ``y`` is 0, and that towards ``y`` is 0 where ``x`` is 0.

    Raises
    ------
    NegativePowerError
        For integers to a negative integer power, a ``DtypeError`` and a ``ValueError``: at once where the exponent is
        known, otherwise when it is computed.

    >>> import tinygraph.tensor as T
    >>> T.power(T.ivector("n"), 2).dtype
    'int32'
    """
    out = _pow(x, y)
    exponent = out.owner.inputs[1].abstract
    known = exponent.value if isinstance(exponent.value, tuple) else (exponent.value,)
    if is_discrete(exponent.dtype) and any(n is not None and n < 0 for n in known):
        err = NegativePowerError()
        describe(err, out.owner)
        raise err
    return out


# --- rounding -----------------------------------------------------------------------------------------------------


def _half_away_from_zero(xp: Any, x: Any) -> Any:
    whole = xp.trunc(x)  # x + 0.5 would be rounded itself: 0.49999999999999994 + 0.5 is 1
    return whole + xp.copysign(abs(x - whole) >= 0.5, x)


def _rounding(name: str, compute: str | Callable[..., Any], doc: str) -> Callable[[Any], Any]:
    """A row for floats, and the function that leaves integers, whole as they are, alone."""
    on_floats = define(name, 1, compute, dtypes="same", kinds="f", zero=True, tame=True, doc=doc)

    @functools.wraps(on_floats)
    def function(x: Any) -> Any:
        x = as_tensor(x)
        return x if is_discrete(x.dtype) else on_floats(x)

    return function


floor = _rounding("floor", "floor", "The largest whole number up to x, elementwise; integers stay as they are.")
ceil = _rounding("ceil", "ceil", "The smallest whole number from x on, elementwise; integers stay as they are.")
trunc = _rounding("trunc", "trunc", "x without its fraction, elementwise; integers stay as they are.")
round_half_to_even = _rounding(
    "round_half_to_even", "rint", "The nearest whole number, elementwise; halves go to the even neighbour, as in NumPy."
)
round_half_away_from_zero = _rounding(
    "round_half_away_from_zero",
    _half_away_from_zero,
    "The nearest whole number, elementwise; halves go away from zero, as in C.",
)

_ROUND_MODES = {"half_to_even": round_half_to_even, "half_away_from_zero": round_half_away_from_zero}


def round_(a: Any, mode: str | None = None) -> Any:
    """The nearest whole number, elementwise, in the dtype of ``a``.

    Parameters
    ----------
    a
        A tensor of any shape and dtype; integers stay as they are.
    mode
        Where halves go: ``"half_to_even"``, also None, or ``"half_away_from_zero"``.

    Raises
    ------
    DtypeError
        For any other mode.

    >>> import tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> T.round(x, mode="half_away_from_zero").eval({x: [0.5, 1.5, -2.5]})
    array([ 1.,  2., -3.])
    """
    function = _ROUND_MODES.get(mode or "half_to_even")
    if function is None:
        raise DtypeError("there is no such way of rounding", expected=" or ".join(_ROUND_MODES), actual=repr(mode))
    return function(a)


def iround(a: Any, mode: str | None = None) -> Any:
    """``round_(a, mode)`` as int64."""
    return cast(round_(a, mode), "int64")


# --- choice -------------------------------------------------------------------------------------------------------


def _selecting(*lanes: Callable[..., Any] | None) -> dict[str, Any]:
    """Derivative and masks of an operation whose output is, lane by lane, one of its inputs.

    Each of ``lanes`` says, as a bool tensor, in which lanes of the output that input is chosen.
    """

    def rule(chosen: Callable[..., Any]) -> Callable[..., Any]:
        return lambda g, z, *inputs: switch(chosen(z, *inputs), g, 0)

    return {"vjp": [chosen and rule(chosen) for chosen in lanes], "masks": lanes, "tame": True}


_switch = define(
    "switch",
    3,
    "where",
    dtypes="choose",
    doc="x where the condition holds, y elsewhere.",
    **_selecting(None, lambda z, c, x, y: c, lambda z, c, x, y: invert(c)),
)
maximum = define(
    "maximum",
    2,
    "maximum",
    dtypes="same",
    doc="The larger of x and y, elementwise, or NaN where one is; in a tie the gradient goes to x.",
    **_selecting(lambda z, x, y: ge(x, y), lambda z, x, y: invert(ge(x, y))),
)
minimum = define(
    "minimum",
    2,
    "minimum",
    dtypes="same",
    doc="The smaller of x and y, elementwise, or NaN where one is; in a tie the gradient goes to x.",
    **_selecting(lambda z, x, y: le(x, y), lambda z, x, y: invert(le(x, y))),
)


def _clipped(xp: Any, x: Any, low: Any, high: Any) -> Any:
    if low.ndim == high.ndim == 0 and bool(low <= high):
        return xp.minimum(xp.maximum(x, low), high)
    return xp.where(x < low, low, xp.where(x > high, high, x))


_clip = define(
    "clip",
    3,
    _clipped,
    dtypes="same",
    kinds="iuf",
    doc="low where x < low, else high where x > high, else x.",
    **_selecting(
        lambda z, x, low, high: and_(ge(x, low), le(x, high)),
        lambda z, x, low, high: lt(x, low),
        lambda z, x, low, high: and_(gt(x, high), ge(x, low)),
    ),
)
relu = define(
    "relu",
    1,
    lambda xp, x: xp.maximum(x, 0),
    vjp=lambda g, z, x: switch(gt(x, 0), g, switch(lt(x, 0), 0, 0.5 * g)),
    masks=(lambda z, x: invert(lt(x, 0)),),
    tame=True,
    doc="x where it is positive, else 0; its derivative at 0 is 1/2.",
)


def _not_flattened(x: Any, alpha: Any) -> Any:
    """The lanes in which the slope of a leaky relu is not 0."""
    return invert(and_(lt(x, 0), eq(alpha, 0)))


def _leaky_relu_to_x(g: Any, z: Any, x: Any, alpha: Any) -> Any:
    lane = switch(gt(x, 0), g, g * switch(lt(x, 0), alpha, 0.5 + 0.5 * alpha))
    return lane if _never_zero(alpha) else switch(_not_flattened(x, alpha), lane, 0)


_leaky_relu = define(
    "leaky_relu",
    2,
    lambda xp, x, alpha: xp.where(x > 0, x, alpha * x),
    vjp=[_leaky_relu_to_x, lambda g, z, x, alpha: switch(le(x, 0), -(g * relu(-x)), 0)],
    masks=(
        lambda z, x, alpha: None if _never_zero(alpha) else _not_flattened(x, alpha),
        lambda z, x, alpha: le(x, 0),
    ),
    doc="x where it is positive, else alpha * x.",
)


def switch(cond: Any, ift: Any, iff: Any) -> Any:
    """``ift`` where the condition holds, ``iff`` elsewhere, elementwise.

    Parameters
    ----------
    cond
        Bools; numbers hold where they are not 0.
    ift, iff
        What to choose from, of any dtypes; the three are broadcast together.

    In lanes that were not chosen the gradient is exactly 0, whatever the derivatives behind them are.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> float(tg.grad(T.switch(x > 0, T.sqrt(x), 0), x).eval({x: 0.0}))
    0.0
    """
    return _switch(cond, ift, iff)


def where(condition: Any, x: Any, y: Any) -> Any:
    """NumPy's name for ``switch``: ``x`` where the condition holds, ``y`` elsewhere."""
    return _switch(condition, x, y)


def clip(x: Any, min: Any, max: Any) -> Any:
    """``x`` limited to the interval from ``min`` to ``max``, elementwise.

    Parameters
    ----------
    x, min, max
        Integers or floats of any shapes that broadcast. Where ``min`` is larger than ``max`` the result is ``min`` for
        ``x`` below ``min``, and ``max`` for any other.

    The gradient goes to ``x`` inside the interval and on its ends, and to the bound that holds elsewhere.

    >>> import tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> T.clip(x, -1, 1).eval({x: [-3.0, 0.5, 2.0]})
    array([-1. ,  0.5,  1. ])
    """
    return _clip(x, min, max)


def leaky_relu(x: Any, alpha: Any) -> Any:
    """``x`` where it is positive, else ``alpha * x``; the derivative towards ``x`` at 0 is (1 + alpha) / 2.

    Parameters
    ----------
    x, alpha
        Tensors that broadcast; ``alpha`` may be learned.
    """
    if is_weak(alpha) and alpha == 0:
        return relu(x)
    return _leaky_relu(x, alpha)
