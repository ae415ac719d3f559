"""Operations on values whose axes are in another order in memory, done in that order."""

from __future__ import annotations

from collections.abc import Sequence

from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.layout import DimShuffle, SumTo
from tinygraph.ops.reduce import Reduce
from tinygraph.program.ir import Instruction
from tinygraph.program.lower import Lowering, lowers_turned
from tinygraph.program.steps import Shape, Value
from tinygraph.program.turned import Turned, outside, turned


@lowers_turned(Elementwise, Cast)
def _elementwise(lowering: Lowering, step: Instruction) -> Sequence[Value] | None:
    type = lowering.program.buffers[step.outputs[0]].type
    shape: Shape = type.shape  # type: ignore[assignment]
    found = [lowering.values.get(n) for n in step.inputs]
    lead = next((v for v in found if isinstance(v, Turned) and v.shape == shape), None)
    if lead is None:
        return None
    op, builder = step.op, lowering.builder
    row = "cast" if isinstance(op, Cast) else op.row  # type: ignore[attr-defined]
    values = [lowering.found(n) for n in step.inputs]
    dtype = values[-1].dtype  # type: ignore[union-attr]
    if row == "cast" and dtype == type.dtype:
        return [lead]
    if row != "cast" and not lowering.elementwise(row, dtype):
        return None
    inner = [turned(builder, v, lead.order) for v in values]  # type: ignore[arg-type]
    result = builder.map(row, type.dtype, outside(shape, lead.order), *inner)
    return [Turned(result, lead.order)]


@lowers_turned(DimShuffle)
def _turned_back(lowering: Lowering, step: Instruction) -> Sequence[Value] | None:
    """Axes that come in the order that they have in memory."""
    x = lowering.values.get(step.inputs[0])
    assert isinstance(step.op, DimShuffle)
    return [x.inner] if isinstance(x, Turned) and step.op.pattern == x.order else None


@lowers_turned(SumTo, Reduce)
def _reduced(lowering: Lowering, step: Instruction) -> Sequence[Value] | None:
    x = lowering.values.get(step.inputs[0])
    type = lowering.program.buffers[step.outputs[0]].type
    shape: Shape = type.shape  # type: ignore[assignment]
    if not isinstance(x, Turned) or type.dtype != x.dtype or x.dtype == "bool":
        return None
    op, builder = step.op, lowering.builder
    if isinstance(op, SumTo):
        lead = len(x.shape) - len(shape)
        kind = "sum"
        axes = {i for i, n in enumerate(x.shape) if i < lead or (n != 1 and shape[i - lead] == 1)}
    else:
        kind, axes = op.kind, set(op.axes)  # type: ignore[attr-defined]
    total = builder.reduce(kind, x.inner, [i for i, a in enumerate(x.order) if a in axes], True)
    return [builder.reshape(Turned(total, x.order).plain(builder), shape)]
