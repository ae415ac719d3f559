"""The table of elementwise operations, continued: exponentials, logarithms, angles and hyperbolic functions.

As in ``scalar``, ``g`` is the cotangent of the output ``z``. Constants in derivatives are Python floats, which give
way to the dtype of the tensors beside them. Derivatives are written so that they neither cancel nor overflow on the way
to a value that is a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygraph.ops.elementwise import define
from tinygraph.ops.scalar import sqrt

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cos",
    "cosh",
    "deg2rad",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "rad2deg",
    "sigmoid",
    "sin",
    "sinh",
    "softplus",
    "tan",
    "tanh",
]

# --- exponentials and logarithms ----------------------------------------------------------------------------------

exp = define("exp", 1, "exp", vjp=lambda g, z, x: g * z, analytic=True, doc="e ** x, elementwise.")
exp2 = define("exp2", 1, "exp2", vjp=lambda g, z, x: g * (z * math.log(2)), analytic=True, doc="2 ** x, elementwise.")
expm1 = define(
    "expm1",
    1,
    "expm1",
    vjp=lambda g, z, x: g * exp(x),
    analytic=True,
    doc="e ** x - 1, elementwise, exact to rounding for x near 0.",
)
log = define("log", 1, "log", vjp=lambda g, z, x: g / x, analytic=True, doc="The natural logarithm, elementwise.")
log2 = define(
    "log2",
    1,
    "log2",
    vjp=lambda g, z, x: g / (x * math.log(2)),
    analytic=True,
    doc="The logarithm to base 2, elementwise.",
)
log10 = define(
    "log10",
    1,
    "log10",
    vjp=lambda g, z, x: g / (x * math.log(10)),
    analytic=True,
    doc="The logarithm to base 10, elementwise.",
)
log1p = define(
    "log1p",
    1,
    "log1p",
    vjp=lambda g, z, x: g / (1 + x),
    analytic=True,
    doc="log(1 + x), elementwise, exact to rounding for x near 0.",
)

# --- angles -------------------------------------------------------------------------------------------------------

sin = define("sin", 1, "sin", vjp=lambda g, z, x: g * cos(x), analytic=True, doc="The sine, elementwise.")
cos: Callable[..., Any] = define(
    "cos", 1, "cos", vjp=lambda g, z, x: -(g * sin(x)), analytic=True, doc="The cosine, elementwise."
)
tan = define("tan", 1, "tan", vjp=lambda g, z, x: g * (1 + z * z), analytic=True, doc="The tangent, elementwise.")
arcsin = define(
    "arcsin",
    1,
    "arcsin",
    vjp=lambda g, z, x: g / sqrt((1 - x) * (1 + x)),
    analytic=True,
    doc="The angle in [-pi/2, pi/2] with sine x, elementwise.",
)
arccos = define(
    "arccos",
    1,
    "arccos",
    vjp=lambda g, z, x: -(g / sqrt((1 - x) * (1 + x))),
    analytic=True,
    doc="The angle in [0, pi] with cosine x, elementwise.",
)
arctan = define(
    "arctan",
    1,
    "arctan",
    vjp=lambda g, z, x: g / (1 + x * x),
    analytic=True,
    doc="The angle in [-pi/2, pi/2] with tangent x, elementwise.",
)
hypot = define(
    "hypot",
    2,
    "hypot",
    vjp=[lambda g, z, x, y: g * (x / z), lambda g, z, x, y: g * (y / z)],
    doc="sqrt(x * x + y * y), elementwise, without overflow in between.",
)


def _arctan2_slope(leg: Any, other: Any) -> Any:
    """``leg / (leg**2 + other**2)``; the squares themselves may be too large or too small for the dtype."""
    radius = hypot(leg, other)
    return leg / radius / radius


arctan2 = define(
    "arctan2",
    2,
    "arctan2",
    vjp=[lambda g, z, y, x: g * _arctan2_slope(x, y), lambda g, z, y, x: -(g * _arctan2_slope(y, x))],
    doc="The angle in [-pi, pi] of the point (y, x): the first operand is the ordinate, as in NumPy.",
)
deg2rad = define(
    "deg2rad",
    1,
    "deg2rad",
    vjp=lambda g, z, x: g * (math.pi / 180),
    tame=True,
    doc="Degrees as radians, elementwise.",
)
rad2deg = define(
    "rad2deg",
    1,
    "rad2deg",
    vjp=lambda g, z, x: g * (180 / math.pi),
    tame=True,
    doc="Radians as degrees, elementwise.",
)

# --- hyperbolic functions -----------------------------------------------------------------------------------------

sinh = define(
    "sinh", 1, "sinh", vjp=lambda g, z, x: g * cosh(x), analytic=True, doc="The hyperbolic sine, elementwise."
)
cosh: Callable[..., Any] = define(
    "cosh", 1, "cosh", vjp=lambda g, z, x: g * sinh(x), analytic=True, doc="The hyperbolic cosine, elementwise."
)
tanh = define(
    "tanh", 1, "tanh", vjp=lambda g, z, x: g * (1 - z * z), analytic=True, doc="The hyperbolic tangent, elementwise."
)
arcsinh = define(
    "arcsinh",
    1,
    "arcsinh",
    vjp=lambda g, z, x: g / hypot(x, 1),
    analytic=True,
    doc="The inverse of sinh, elementwise.",
)
arccosh = define(
    "arccosh",
    1,
    "arccosh",
    vjp=lambda g, z, x: g / (sqrt(x - 1) * sqrt(x + 1)),
    analytic=True,
    doc="The inverse of cosh, elementwise, for x from 1 on.",
)
arctanh = define(
    "arctanh",
    1,
    "arctanh",
    vjp=lambda g, z, x: g / ((1 - x) * (1 + x)),
    analytic=True,
    doc="The inverse of tanh, elementwise, for x in (-1, 1).",
)


def _sigmoid(xp: Any, x: Any) -> Any:
    # e / (1 + e) keeps the whole tail for negative x. For x beyond the limit the result is 1 in every dtype, and
    # exp(limit) does not overflow; float16 ends at exp(11.09).
    e = xp.exp(xp.minimum(x, 11.0 if x.dtype.itemsize == 2 else 40.0))
    e /= 1 + e  # e is this function's own array
    return e


sigmoid: Callable[..., Any] = define(
    "sigmoid",
    1,
    _sigmoid,
    vjp=lambda g, z, x: g * z * sigmoid(-x),  # 1 - z would cancel where z is near 1
    analytic=True,
    doc="The logistic function 1 / (1 + exp(-x)), elementwise.",
)
softplus = define(
    "softplus",
    1,
    lambda xp, x: xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x))),
    vjp=lambda g, z, x: g * sigmoid(x),
    doc="log(1 + exp(x)), elementwise, without overflow.",
)
