"""Rules that replace a formula by one that is equal in exact arithmetic and better in floating point.

Where both formulas give a finite number they agree to rounding; where the old one overflows, cancels or divides zero by
zero, the new one gives the limit. A NaN in the input stays a NaN.
"""

from __future__ import annotations

from typing import Any

from tinygraph.graph import Apply
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.inc_subtensor import AdvancedIncSubtensor, IncSubtensor
from tinygraph.ops.layout import BroadcastTo, DimShuffle, Reshape, broadcast_like, same_shape
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.scalar import add, mul, neg, sub, switch
from tinygraph.ops.softmax import LogSoftmax, LogSumExp, Softmax, SoftmaxGrad
from tinygraph.ops.subtensor import AdvancedSubtensor, Subtensor
from tinygraph.ops.transcendental import exp, expm1, log1p, sigmoid, softplus
from tinygraph.rewrite.engine import Rules
from tinygraph.rewrite.match import is_negative_of, made_by, made_by_row, scalar_value

__all__ = ["STABLE"]

STABLE = Rules()

#: Operations that only pick and move elements: log(pick(x)) is pick(log(x)).
_PICKS = (DimShuffle, Reshape, BroadcastTo, Subtensor, AdvancedSubtensor)
#: How deep a cotangent is searched for a division that cancels.
_DEPTH = 12


# --- logarithms ---------------------------------------------------------------------------------------------------


def _one_plus(variable: Any) -> Any:
    """x where the variable is 1 + x, or 1 − x as −x; otherwise None."""
    inputs = made_by_row(variable, "add")
    if inputs is not None:
        for x, other in (inputs, inputs[::-1]):
            if scalar_value(other) == 1 and same_shape(x, variable):
                return x
    inputs = made_by_row(variable, "sub")
    if inputs is not None and scalar_value(inputs[0]) == 1 and same_shape(inputs[1], variable):
        return neg(inputs[1])
    return None


def _log_of(x: Any) -> Any:
    """A better formula for log(x), or None."""
    if (inputs := made_by(x, Softmax)) is not None:
        return LogSoftmax(x.owner.op.axis)(inputs[0])
    if (inputs := made_by_row(x, "sigmoid")) is not None:
        return neg(softplus(neg(inputs[0])))
    if (inputs := _sum_of_exp(x)) is not None:
        return LogSumExp(x.owner.op.axes, x.owner.op.keepdims)(inputs)
    return None


def _sum_of_exp(x: Any) -> Any:
    """y where x is a sum of exp(y) over axes; otherwise None."""
    if x.owner is None or not isinstance(x.owner.op, Reduce) or x.owner.op.kind != "sum":
        return None
    inner = made_by_row(x.owner.inputs[0], "exp")
    same_dtype = x.dtype == x.owner.inputs[0].dtype
    return inner[0] if inner is not None and same_dtype else None


@STABLE.on("log")
def log_of_known(node: Apply) -> Any:
    """log(softmax(x)) → log_softmax(x), log(sigmoid(x)) → −softplus(−x), log Σ exp(x) → logsumexp(x).

    Also where elements were picked in between, as in ``log(softmax(x)[arange(n), t])``.
    """
    source = node.inputs[0]
    path = []
    while source.owner is not None and isinstance(source.owner.op, _PICKS):
        path.append(source.owner)
        source = source.owner.inputs[0]
    result = _log_of(source)
    if result is None:
        return None
    for step in reversed(path):
        result = step.op(result, *step.inputs[1:])
    return result


@STABLE.on("log")
def log_of_one_plus(node: Apply) -> Any:
    """log(1 + x) → log1p(x), and log(1 − x) → log1p(−x)."""
    x = _one_plus(node.inputs[0])
    return None if x is None else log1p(x)


@STABLE.on("log1p")
def log1p_of_exp(node: Apply) -> Any:
    """log1p(exp(x)) → softplus(x), and log1p(−sigmoid(x)) → −softplus(x)."""
    (x,) = node.inputs
    if (inner := made_by_row(x, "exp")) is not None:
        return softplus(inner[0])
    if (inner := made_by_row(x, "neg")) is not None and (inner := made_by_row(inner[0], "sigmoid")) is not None:
        return neg(softplus(inner[0]))
    return None


@STABLE.on("sub", "add")
def exp_minus_one(node: Apply) -> Any:
    """exp(x) − 1 → expm1(x)."""
    sign = 1 if node.op.name == "sub" else -1
    pairs = [node.inputs] if sign == 1 else [node.inputs, node.inputs[::-1]]
    for x, other in pairs:
        inner = made_by_row(x, "exp")
        if inner is not None and scalar_value(other) == sign and same_shape(x, node.outputs[0]):
            return expm1(inner[0])
    return None


# --- the logistic function ----------------------------------------------------------------------------------------


@STABLE.on("sub")
def one_minus_sigmoid(node: Apply) -> Any:
    """1 − sigmoid(x) → sigmoid(−x), which does not cancel where sigmoid(x) is near 1."""
    one, x = node.inputs
    inner = made_by_row(x, "sigmoid")
    if inner is None or scalar_value(one) != 1 or not same_shape(x, node.outputs[0]):
        return None
    return sigmoid(neg(inner[0]))


@STABLE.on("true_div", "inv")
def over_one_plus_exp(node: Apply) -> Any:
    """a / (1 + exp(x)) → a · sigmoid(−x), which does not divide by infinity."""
    inner = _one_plus(node.inputs[-1])
    inner = None if inner is None else made_by_row(inner, "exp")
    if inner is None:
        return None
    result = sigmoid(neg(inner[0]))
    return result if node.op.name == "inv" else mul(node.inputs[0], result)


@STABLE.on("mul")
def sigmoid_times_exp(node: Apply) -> Any:
    """a · sigmoid(−x) · exp(x) → a · sigmoid(x), where exp(x) may overflow."""
    for product, e in (node.inputs, node.inputs[::-1]):
        inner = made_by_row(e, "exp")
        if inner is not None:
            result = _exp_absorbed(product, inner[0], _DEPTH)
            if result is not None:
                return result
    return None


def _exp_absorbed(g: Any, x: Any, depth: int) -> Any:
    """g · exp(x) without exp(x), where a factor sigmoid(−x) of g takes it up; otherwise None."""
    inner = made_by_row(g, "sigmoid")
    if inner is not None and is_negative_of(inner[0], x):
        return sigmoid(x)
    if depth == 0:
        return None
    if (inner := made_by_row(g, "neg")) is not None:
        inside = _exp_absorbed(inner[0], x, depth - 1)
        return None if inside is None else neg(inside)
    if (inner := made_by_row(g, "mul")) is not None:
        for factor, other in (inner, inner[::-1]):
            inside = _exp_absorbed(factor, x, depth - 1)
            if inside is not None:
                return mul(inside, other)
    for row, combine in (("add", add), ("sub", sub)):
        if (inner := made_by_row(g, row)) is not None:
            parts = [_exp_absorbed(part, x, depth - 1) for part in inner]
            return None if any(part is None for part in parts) else combine(*parts)
    return None


# --- cotangents that divide by what they are multiplied with ------------------------------------------------------


@STABLE.on(SoftmaxGrad)
def softmax_minus_target(node: Apply) -> Any:
    """The gradient of softmax for a cotangent g = G / y: G − y · Σ G, which for a cross-entropy is y − target."""
    g, y = node.inputs
    product = _times(g, y, _DEPTH)
    if product is None:
        return None
    axis = node.op.axis % y.ndim  # type: ignore[attr-defined]
    total = Reduce("sum", (axis,), True, y.dtype)(broadcast_like(product, y))
    if (inner := made_by(y, Softmax)) is not None:
        y = exp(LogSoftmax(axis)(inner[0]))  # the logarithm is there already, for the cost
    return sub(product, mul(y, total))


@STABLE.on("mul")
def division_cancels(node: Apply) -> Any:
    """(a / s) · s → a for s = sigmoid(x), which may be 0 where the quotient is not wanted."""
    for g, y in (node.inputs, node.inputs[::-1]):
        if made_by_row(y, "sigmoid") is not None:
            product = _times(g, y, _DEPTH)
            if product is not None:
                return broadcast_like(product, node.outputs[0])
    return None


def _times(g: Any, y: Any, depth: int) -> Any:
    """g · y with a division by y inside g cancelled, or None where g divides by y nowhere.

    ``g`` is looked through as far as it is linear: signs, factors, sums, choices, and elements written into zeros. The
    result broadcasts to the shape of g · y, but may be smaller.
    """
    if depth == 0:
        return None
    if (inner := made_by_row(g, "true_div")) is not None:
        if inner[1] is y:
            return inner[0]
        inside = _times(inner[0], y, depth - 1)
        return None if inside is None else Elementwise("true_div")(inside, inner[1])
    if (inner := made_by_row(g, "neg")) is not None:
        inside = _times(inner[0], y, depth - 1)
        return None if inside is None else neg(inside)
    if (inner := made_by_row(g, "mul")) is not None:
        for factor, other in (inner, inner[::-1]):
            inside = _times(factor, y, depth - 1)
            if inside is not None:
                return mul(inside, other)
        return None
    for row, combine in (("add", add), ("sub", sub)):
        if (inner := made_by_row(g, row)) is not None:
            parts = [_times(part, y, depth - 1) for part in inner]
            if all(part is None for part in parts):
                return None
            return combine(*[mul(old, y) if new is None else new for old, new in zip(inner, parts, strict=True)])
    if (inner := made_by_row(g, "switch")) is not None:
        return _times_choice(inner, y, depth)
    if (inner := made_by(g, BroadcastTo)) is not None:
        return _times(inner[0], y, depth - 1)
    return _times_written(g, y)


def _times_choice(inputs: Any, y: Any, depth: int) -> Any:
    condition, *branches = inputs
    parts = [branch if scalar_value(branch) == 0 else _times(branch, y, depth - 1) for branch in branches]
    return None if any(part is None for part in parts) else switch(condition, *parts)


def _times_written(g: Any, y: Any) -> Any:
    """For g = zeros with a / y[index] added at index: zeros with a added there."""
    inputs = made_by(g, IncSubtensor, AdvancedIncSubtensor)
    if inputs is None or g.owner.op.set or scalar_value(inputs[0]) != 0:
        return None
    quotient = _division_by_pick(inputs[1], y, inputs[2:], _DEPTH)
    return None if quotient is None else g.owner.op(inputs[0], quotient, *inputs[2:])


def _division_by_pick(v: Any, y: Any, indices: Any, depth: int) -> Any:
    """a where v is a / y[indices], also under signs and factors; otherwise None."""
    if depth == 0:
        return None
    if (inner := made_by_row(v, "true_div")) is not None:
        picked = made_by(inner[1], Subtensor, AdvancedSubtensor)
        same = picked is not None and picked[0] is y and all(a is b for a, b in zip(picked[1:], indices, strict=True))
        return inner[0] if same else None
    if (inner := made_by_row(v, "neg")) is not None:
        inside = _division_by_pick(inner[0], y, indices, depth - 1)
        return None if inside is None else neg(inside)
    if (inner := made_by_row(v, "mul")) is not None:
        for factor, other in (inner, inner[::-1]):
            inside = _division_by_pick(factor, y, indices, depth - 1)
            if inside is not None:
                return mul(inside, other)
    return None


# --- the gradient of log Σ exp ------------------------------------------------------------------------------------


@STABLE.on("mul")
def exp_over_its_sum(node: Apply) -> Any:
    """(a / Σ exp(x), repeated) · exp(x) → a · exp(x − logsumexp(x)), where the sum may be infinite or 0."""
    for g, e in (node.inputs, node.inputs[::-1]):
        inner = made_by_row(e, "exp")
        if inner is None:
            continue
        path, source = [], g
        while source.owner is not None and isinstance(source.owner.op, (BroadcastTo, DimShuffle)):
            path.append(source.owner)
            source = source.owner.inputs[0]
        quotient = made_by_row(source, "true_div")
        if quotient is None or _sum_of_exp(quotient[1]) is not inner[0]:
            continue
        total = quotient[1].owner.op
        parts = [quotient[0], LogSumExp(total.axes, total.keepdims)(inner[0])]
        parts[0] = broadcast_like(parts[0], source)
        for step in reversed(path):
            parts = [step.op(part, *step.inputs[1:]) for part in parts]
        return mul(parts[0], exp(sub(inner[0], parts[1])))
    return None
