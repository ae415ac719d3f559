"""The table of elementwise operations: arithmetic, comparison, logic, rounding and choice.

Each entry gives the array-module function and, for each input, how the cotangent ``g`` of the output ``z`` reaches it.
Derivatives are written with these same operations, so they can be differentiated again.
"""

from __future__ import annotations

from typing import Any

from tinygraph.ops.elementwise import define

__all__ = [
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
    "isinf",
    "isnan",
    "le",
    "lt",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "neg",
    "neq",
    "or_",
    "power",
    "round_half_away_from_zero",
    "round_half_to_even",
    "sgn",
    "sqr",
    "sqrt",
    "sub",
    "switch",
    "true_div",
    "trunc",
    "xor",
]

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
