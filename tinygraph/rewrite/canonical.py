"""Rules that are exact in floating point: the same bits, NaN, infinities and signed zeros included.

A rule applies only where the shape of the result cannot depend on what it drops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygraph.graph import Apply, Constant
from tinygraph.ops.convert import Cast, cast
from tinygraph.ops.layout import DimShuffle, broadcast_like
from tinygraph.ops.scalar import add, mul, neg, sqr, sub
from tinygraph.ops.subtensor import IncSubtensor, Subtensor
from tinygraph.rewrite.engine import Rules
from tinygraph.rewrite.match import made_by, made_by_row, scalar_value
from tinygraph.types import is_discrete

__all__ = ["CANONICAL"]

CANONICAL = Rules()


def _number(variable: Any) -> Any:
    """The value of a 0-d constant, which never decides a shape; otherwise None."""
    if isinstance(variable, Constant) and variable.data.ndim == 0:
        return variable.data[()]
    return None


@CANONICAL.on("mul")
def times_one(node: Apply) -> Any:
    """x · 1 → x and x · (−1) → −x."""
    for x, other in (node.inputs, node.inputs[::-1]):
        value = _number(other)
        if value is None or x.dtype == "bool":
            continue
        if value == 1:
            return x
        if value == -1:
            return neg(x)
    return None


@CANONICAL.on("true_div", "int_div")
def over_one(node: Apply) -> Any:
    """x / 1 → x and x / (−1) → −x; x // 1 → x only for integers, since floats are rounded down."""
    x, other = node.inputs
    value = _number(other)
    if value is None or (node.op.name == "int_div" and not is_discrete(x.dtype)):
        return None
    if value == 1:
        return x
    return neg(x) if value == -1 and node.op.name == "true_div" else None


@CANONICAL.on("add")
def plus_nothing(node: Apply) -> Any:
    """x + (−0.0) → x, and x + 0 → x for integers; x + 0.0 stays, since it turns −0.0 into 0.0."""
    for x, other in (node.inputs, node.inputs[::-1]):
        value = _number(other)
        if value is not None and value == 0 and (is_discrete(x.dtype) or math.copysign(1, value) < 0):
            return x if x.dtype != "bool" else None
    return None


@CANONICAL.on("sub")
def minus_nothing(node: Apply) -> Any:
    """x − 0 → x."""
    x, other = node.inputs
    value = _number(other)
    return x if value is not None and value == 0 and math.copysign(1, value) > 0 else None


@CANONICAL.on("pow")
def small_powers(node: Apply) -> Any:
    """x ** 1 → x and x ** 2 → x · x."""
    x, exponent = node.inputs
    value = _number(exponent)
    if value is None:
        return None
    return x if value == 1 else sqr(x) if value == 2 else None


@CANONICAL.on("neg")
def double_negation(node: Apply) -> Any:
    """−(−x) → x."""
    inner = made_by_row(node.inputs[0], "neg")
    return inner[0] if inner is not None else None


@CANONICAL.on("abs", "sqr", "cosh")
def sign_does_not_matter(node: Apply) -> Any:
    """|−x| → |x|, ||x|| → |x|, and the same under the other even functions."""
    (x,) = node.inputs
    if is_discrete(x.dtype):
        return None  # the most negative integer has no opposite
    inner = made_by_row(x, "neg") or made_by_row(x, "abs")
    return node.op(inner[0]) if inner is not None else None


@CANONICAL.on("add")
def add_negative(node: Apply) -> Any:
    """x + (−y) → x − y."""
    x, y = node.inputs
    inner = made_by_row(y, "neg")
    if inner is not None:
        return sub(x, inner[0])
    inner = made_by_row(x, "neg")
    return sub(y, inner[0]) if inner is not None else None


@CANONICAL.on("sub")
def subtract_negative(node: Apply) -> Any:
    """x − (−y) → x + y."""
    x, y = node.inputs
    inner = made_by_row(y, "neg")
    return add(x, inner[0]) if inner is not None else None


@CANONICAL.on("mul")
def move_sign_to_constant(node: Apply) -> Any:
    """(−x) · c → x · (−c) for a number c, and (−x) · (−y) → x · y."""
    x, y = node.inputs
    inner_x, inner_y = made_by_row(x, "neg"), made_by_row(y, "neg")
    if inner_x is not None and inner_y is not None:
        return mul(inner_x[0], inner_y[0])
    for inner, other in ((inner_x, y), (inner_y, x)):
        value = _number(other)
        if inner is not None and value is not None and not is_discrete(other.dtype):
            return mul(inner[0], -value)
    return None


@CANONICAL.on(Cast)
def cast_there_and_back(node: Apply) -> Any:
    """Casts through a dtype that holds every value of the first one."""
    (x,) = node.inputs
    if x.dtype == node.outputs[0].dtype:
        return x
    inner = made_by(x, Cast)
    if inner is not None and _holds(x.dtype, inner[0].dtype):
        return cast(inner[0], node.outputs[0].dtype)
    return None


def _holds(wide: str, narrow: str) -> bool:
    """True where every value of ``narrow`` is a value of ``wide``; NumPy calls int64 to float64 safe, which rounds."""
    if is_discrete(narrow) and not is_discrete(wide):
        return narrow == "bool" or np.iinfo(narrow).bits <= np.finfo(wide).nmant
    return np.can_cast(narrow, wide, "safe")


@CANONICAL.on(DimShuffle)
def merge_dimshuffles(node: Apply) -> Any:
    """One dimshuffle for two, and none for one that changes nothing; a dropped axis stays, as its extent is checked."""
    op: Any = node.op
    x: Any = node.inputs[0]
    if op.pattern == tuple(range(x.ndim)):
        return x
    source = made_by(x, DimShuffle)
    if source is None or _drops(op, x.ndim) or _drops(x.owner.op, source[0].ndim):
        return None
    inner = x.owner.op
    merged = tuple("x" if axis == "x" else inner.pattern[axis] for axis in op.pattern)
    return DimShuffle(merged)(source[0])


def _drops(op: DimShuffle, ndim: int) -> bool:
    return sum(axis != "x" for axis in op.pattern) < ndim


@CANONICAL.on(Subtensor)
def read_what_was_written(node: Apply) -> Any:
    """x[i] of an x in which y was written to x[i] → y; of one in which something was written elsewhere → x before."""
    read: Any = node.op
    x, *places = node.inputs
    source = made_by(x, IncSubtensor)
    if source is None:
        return None
    before, y, *written_places = source
    written: Any = x.owner.op  # type: ignore[union-attr]
    if read.idx == written.idx and places == written_places:
        if written.set:
            return broadcast_like(y, node.outputs[0])
        # Zero is added, which turns −0.0 into 0.0.
        return add(broadcast_like(y, node.outputs[0]), 0) if _zeros(before) else None
    return read(before, *places) if _apart(read.idx, written.idx) else None


def _zeros(variable: Any) -> bool:
    value = scalar_value(variable)
    return value is not None and variable.dtype != "bool" and value == 0 and math.copysign(1, value) > 0


def _apart(one: Any, other: Any) -> bool:
    """True for [:k] and [k:], which have nothing in common."""
    if len(one) != 1 or len(other) != 1 or not isinstance(one[0], tuple) or not isinstance(other[0], tuple):
        return False
    low, high = sorted((one[0], other[0]), key=lambda bounds: bounds[0] is not None)
    k = low[1]
    return low == (None, k, None) and high == (k, None, None) and isinstance(k, int) and k >= 0
