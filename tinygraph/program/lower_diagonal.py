"""Products with a diagonal matrix, as Jacobians begin with, are multiplications of rows or columns.

Infinities and NaN of the other matrix stay where they are; adding up their products with zeros would spread NaN over
rows or columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.layout import BroadcastTo, DimShuffle
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.program.ir import Instruction
from tinygraph.program.lower import Lowering, lowers_turned
from tinygraph.program.steps import Value
from tinygraph.program.turned import Turned


@lowers_turned(MatMul, TensorDot)
def _product(lowering: Lowering, step: Instruction) -> Sequence[Value] | None:
    shapes = [lowering.program.buffers[n].type.shape for n in step.inputs]
    if any(len(shape) != 2 for shape in shapes):
        return None
    axes = (1, 0)
    if isinstance(step.op, TensorDot):
        if len(step.op.x_axes) != 1:
            return None
        axes = (step.op.x_axes[0], step.op.y_axes[0])
    for at, (n, other) in enumerate((step.inputs[::-1], step.inputs)):
        diagonal = _diagonal(lowering, n)
        matrix = None if diagonal is None else lowering.value(other)
        if diagonal is None or matrix is None or matrix.dtype not in ("float32", "float64"):
            continue
        builder, axis = lowering.builder, axes[at]
        # The first operand keeps its free axis in front, the second one behind; the diagonal goes with the other axis.
        turned = axis != (1, 0)[at]
        operand = builder.transpose(matrix, (1, 0)) if turned else matrix
        scale = builder.reshape(diagonal, (1, diagonal.shape[0]) if at == 0 else (diagonal.shape[0], 1))
        shape = operand.shape
        if operand.view is None or operand.view.strides[0] != 1:
            return [builder.map("mul", matrix.dtype, shape, operand, builder.broadcast(scale, shape))]
        # Columns lie side by side: lanes run along them.
        operand, scale = builder.transpose(operand, (1, 0)), builder.transpose(scale, (1, 0))
        inner = builder.map("mul", matrix.dtype, shape[::-1], operand, builder.broadcast(scale, shape[::-1]))
        return [Turned(inner, (1, 0))]
    return None


def _diagonal(lowering: Lowering, n: int) -> Value | None:
    """The diagonal of a matrix that is 0 beside it for certain, because of what made it; otherwise None."""
    buffer, step = lowering.program.buffers[n], lowering.maker(n)
    (size, columns), dtype = buffer.type.shape, buffer.type.dtype
    if size != columns or size is None or size < 2 or not dtype.startswith("float"):
        return None
    source = lowering.program.buffers[step.inputs[0]] if step is not None and isinstance(step.op, Cast) else buffer
    if source.kind == "constant":
        numbers = np.diagonal(source.value).astype(dtype)
        beside = np.count_nonzero(source.value) - np.count_nonzero(numbers)
        return None if beside else lowering.builder.constant(numbers)
    if step is None:
        return None
    if isinstance(step.op, Cast):
        if not _is_identity(lowering, step.inputs[0], size):
            return None
        return Value(dtype, (size,), uniform=np.ones((), dtype)[()])
    if isinstance(step.op, Elementwise) and step.op.row == "mul":
        for inner, factor in (step.inputs, step.inputs[::-1]):
            repeated = lowering.maker(factor)
            if repeated is not None and isinstance(repeated.op, BroadcastTo):
                factor = repeated.inputs[0]
            shape = lowering.program.buffers[factor].type.shape
            if lowering.program.buffers[inner].type.shape != (size, size) or shape.count(size) > 1:
                continue
            diagonal, value = _diagonal(lowering, inner), lowering.value(factor)
            if diagonal is not None and value is not None:
                builder = lowering.builder
                vector = builder.reshape(value, (size,) if size in shape else ())
                return builder.map("mul", dtype, (size,), diagonal, builder.broadcast(vector, (size,)))
    return None


def _is_identity(lowering: Lowering, n: int, size: int) -> bool:
    """Whether a matrix of bools compares 0, 1, … along one axis with the same along the other."""
    step = lowering.maker(n)
    if step is None or not isinstance(step.op, Elementwise) or step.op.row != "eq":
        return False
    return sorted(_ranges_along(lowering, m, size) for m in step.inputs) == [0, 1]


def _ranges_along(lowering: Lowering, n: int, size: int) -> int:
    """The axis of a matrix along which a value is 0, 1, …, the same for all places of the other axis; -1 if none."""
    axis = 1
    step = lowering.maker(n)
    if step is not None and isinstance(step.op, DimShuffle) and step.op.pattern in ((0, "x"), ("x", 0)):
        n, axis = step.inputs[0], step.op.pattern.index(0)
    elif lowering.program.buffers[n].type.shape == (size, 1):
        axis = 0
    data = lowering.program.buffers[n].value
    counted = data is not None and data.dtype.kind in "iu" and data.size == size and data.ndim <= 2
    if not counted or not np.array_equal(np.ravel(data), np.arange(size)):
        return -1
    return axis
