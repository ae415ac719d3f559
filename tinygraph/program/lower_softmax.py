"""Softmax and its relatives in terms of maps and reductions, which share the exponentials of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.layout import BroadcastTo, DimShuffle
from tinygraph.ops.softmax import LogSoftmax, LogSumExp, Softmax, SoftmaxGrad
from tinygraph.program.fuse import Builder
from tinygraph.program.ir import Buffer
from tinygraph.program.lower import ROW_RULES, Lowering, lowers
from tinygraph.program.steps import Unsupported, Value


def _exponentials(builder: Builder, x: Value, axes: tuple[int, ...]) -> tuple[Value, Value, Value, Value]:
    """The maxima over axes, x less these, the exponentials of that, and their sums."""
    top = builder.reduce("max", x, axes, True)
    shifted = builder.map("sub", x.dtype, x.shape, x, top)
    e = builder.map("exp", x.dtype, x.shape, shifted)
    return top, shifted, e, builder.reduce("sum", e, axes, True)


@lowers(Softmax)
def _softmax(lowering: Lowering, op: Softmax, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    builder = lowering.builder
    x = builder.wide(inputs[0])
    _, _, e, total = _exponentials(builder, x, (op.axis,))
    return [builder.cast(inputs[0].dtype, builder.map("true_div", x.dtype, x.shape, e, total))]


@lowers(LogSoftmax)
def _log_softmax(lowering: Lowering, op: LogSoftmax, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    builder = lowering.builder
    x = builder.wide(inputs[0])
    _, shifted, _, total = _exponentials(builder, x, (op.axis,))
    out = builder.map("sub", x.dtype, x.shape, shifted, builder.map("log", x.dtype, total.shape, total))
    return [builder.cast(inputs[0].dtype, out)]


@lowers(SoftmaxGrad)
def _softmax_grad(lowering: Lowering, op: SoftmaxGrad, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (g, y), builder = inputs, lowering.builder
    total = builder.reduce("sum", builder.map("mul", y.dtype, y.shape, g, y), (op.axis,), True)
    return [builder.map("mul", y.dtype, y.shape, y, builder.map("sub", y.dtype, y.shape, g, total))]


@lowers(LogSumExp)
def _log_sum_exp(lowering: Lowering, op: LogSumExp, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    builder = lowering.builder
    x = builder.wide(inputs[0])
    if 0 in x.shape:
        raise Unsupported
    dtype = x.dtype
    top, _, _, total = _exponentials(builder, x, op.axes)
    out = builder.map("add", dtype, top.shape, builder.map("log", dtype, top.shape, total), top)
    # A maximum that is not finite is the result; the exponentials, which a softmax of x shares, are NaN then.
    finite = builder.map("isfinite", "bool", top.shape, top)
    out = builder.map("switch", dtype, top.shape, finite, out, top)
    return [builder.cast(inputs[0].dtype, builder.reshape(out, outputs[0].type.shape))]  # type: ignore[arg-type]


# --- exponentials that are there already ------------------------------------------------------------------------------


def _exp(lowering: Lowering, inner: Value) -> Value | None:
    """exp(x − logsumexp(x)) and exp(log_softmax(x)): the exponentials over their sum."""
    source = lowering.maker(lowering.current.inputs[0])
    if source is None or inner.dtype == "float16" or 0 in inner.shape:
        return None
    if isinstance(source.op, LogSoftmax):
        return _over_sum(lowering, source.inputs[0], (source.op.axis,), False)
    if not isinstance(source.op, Elementwise) or source.op.row != "sub":
        return None
    n, other = source.inputs
    found = _log_sum_of(lowering, n, other)
    return None if found is None else _over_sum(lowering, n, found, True)


def _over_sum(lowering: Lowering, n: int, axes: tuple[int, ...], guarded: bool) -> Value | None:
    x = lowering.value(n)
    if x is None:
        return None
    builder = lowering.builder
    top, _, e, total = _exponentials(builder, x, axes)
    if guarded:
        # Below an infinite maximum, numbers less the logarithm of the sum are -inf, not NaN.
        finite = builder.map("isfinite", "bool", top.shape, top)
        one = Value(x.dtype, (), uniform=np.ones((), x.dtype)[()])
        total = builder.map("switch", x.dtype, top.shape, finite, total, one)
    return builder.map("true_div", x.dtype, x.shape, e, total)


def _log_sum_of(lowering: Lowering, n: int, other: int) -> tuple[int, ...] | None:
    """The axes where a buffer is the logsumexp of another one, over these axes and repeated along them."""
    buffers = lowering.program.buffers
    shape = buffers[n].type.shape
    source = lowering.maker(other)
    if source is not None and isinstance(source.op, BroadcastTo):
        source = lowering.maker(source.inputs[0])
    restored = None
    if source is not None and isinstance(source.op, DimShuffle):
        restored, source = source.op.pattern, lowering.maker(source.inputs[0])
    if source is None or not isinstance(source.op, LogSumExp) or source.inputs[0] != n:
        return None
    axes = source.op.axes
    if restored is None:
        return axes if source.op.keepdims else None
    kept = iter(range(len(shape)))
    pattern = tuple("x" if i in axes else next(kept) for i in range(len(shape)))
    return axes if not source.op.keepdims and restored == pattern else None


ROW_RULES["exp"] = _exp
