"""Random numbers, and the checks of their parameters, in terms of nests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.samplers import InDomain, Normal, ParameterError, Uniform
from tinygraph.program.ir import Buffer
from tinygraph.program.lower import Lowering, lowers
from tinygraph.program.steps import Shape, Unsupported, Value, View, packed

__all__ = ["checked"]

#: How many operations further on an operand is looked for that random numbers may share a nest with.
_AHEAD = 6


@lowers(Uniform)
def _uniform(lowering: Lowering, op: Uniform, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    return [_philox(lowering, "uniform", op.dtype, inputs[0], outputs[0])]


@lowers(Normal)
def _normal(lowering: Lowering, op: Normal, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    """Quantiles of evenly spaced numbers, in float64 and rounded.

    The last places of a quantile are those of its approximation. Narrower floats have none of them; float64 numbers are
    left to the operation itself, so that every backend draws the same.
    """
    if op.dtype == "float64":
        raise Unsupported
    builder = lowering.builder
    shape: Shape = outputs[0].type.shape  # type: ignore[assignment]
    u = _philox(lowering, "centred", "float64", inputs[0], outputs[0])
    if not math.isinf(op.bound):
        outside = 0.5 * math.erfc(op.bound / math.sqrt(2))
        for row, number in (("mul", 1 - 2 * outside), ("add", outside)):
            u = builder.map(row, "float64", shape, u, Value("float64", (), uniform=np.float64(number)))
    return [builder.map("cast", op.dtype, shape, builder.map("normal_quantile", "float64", shape, u))]


def checked(good: Value) -> None:
    """Let a call fail where any element of a bool, which is in the lanes of a group, does not hold."""
    group = good.group
    assert group is not None
    node = group.add("check", "bool", (good.node,))
    if good.row:
        group.row_nodes.add(node)


def _philox(lowering: Lowering, form: str, dtype: str, state: Value, out: Buffer) -> Value:
    """Random numbers for all places of an output."""
    builder = lowering.builder
    shape: Shape = out.type.shape  # type: ignore[assignment]
    view = builder.view(state)
    key, call = (
        Value("uint64", (), view=View(view.storage, (), (), view.offset + i * view.strides[0])) for i in (0, 1)
    )
    places = builder.index(shape, packed(shape), near=[key, call, *_beside(lowering, out.index, shape)])
    return builder.map("philox", dtype, shape, places, key, call, attr=form)


def _beside(lowering: Lowering, n: int, shape: Shape) -> Iterator[Value]:
    """Values in lanes that are known already and will be combined with buffer ``n``."""
    steps = lowering.program.instructions
    made = {m: step for step in steps for m in step.outputs}
    for _ in range(_AHEAD):
        if lowering.uses[n] != 1:
            return
        step = next((s for s in steps if n in s.inputs), None)
        if step is None or not isinstance(step.op, (Elementwise, Cast, InDomain)):
            return
        for other in step.inputs:
            source = made.get(other)
            if source is not None and isinstance(source.op, InDomain):
                other = source.inputs[0]
            value = lowering.values.get(other)
            if value is not None and value.shape == shape and value.group is not None and not value.row:
                yield value
        n = step.outputs[0]


@lowers(InDomain)
def _in_domain(lowering: Lowering, op: InDomain, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (x,), builder = inputs, lowering.builder
    kind = np.dtype(x.dtype).type
    if x.uniform is not None:
        try:
            op.check(np.full(1, x.uniform))
        except ParameterError:
            raise Unsupported from None
        return [x]
    bounds = [("gt" if op.above else "ge", op.low)]
    if not math.isinf(op.high):
        bounds.append(("le", op.high))
    elif np.dtype(x.dtype).kind == "f":
        bounds.append(("lt", op.high))
    tests = [builder.map(row, "bool", x.shape, x, Value(x.dtype, (), uniform=kind(bound))) for row, bound in bounds]
    checked(builder.map("and_", "bool", x.shape, *tests) if len(tests) > 1 else tests[0])
    return [x]
