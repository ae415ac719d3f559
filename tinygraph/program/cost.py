"""What an instruction costs: floating-point operations and bytes moved, counted from shapes.

Both are conventions rather than measurements: an element of an elementwise operation counts as one operation however
long it takes, and every operand is read and every result written once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinygraph.ops.convolution import Conv, ConvInputs, ConvWeights
from tinygraph.ops.decompositions import Cholesky
from tinygraph.ops.einsum import Einsum
from tinygraph.ops.layout import SumTo
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.ops.matrix_functions import Det, SlogDet
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.solve import MatrixInverse, Solve
from tinygraph.program.ir import Buffer, Instruction, Program
from tinygraph.types import is_float

__all__ = ["Cost", "cost"]


@dataclass(frozen=True)
class Cost:
    """What one run of an instruction takes; 0 for what depends on extents that are not known.

    Attributes
    ----------
    flops
        Floating-point operations.
    bytes
        Bytes read and written; views move none.
    """

    flops: int
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)


def cost(instruction: Instruction, program: Program) -> Cost:
    """The cost of an instruction of a Program; of the inner Programs of a loop that of one turn.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, y = T.dmatrices("x", "y")
    >>> f = tg.function([x, y], x.dot(y))
    >>> value = f([[1.0, 2.0]], [[1.0], [2.0]])
    >>> cost(f.program.instructions[0], f.program)
    Cost(flops=4, bytes=40)
    """
    inputs = [program.buffers[n] for n in instruction.inputs]
    outputs = [program.buffers[n] for n in instruction.outputs]
    if instruction.inner:
        return sum((cost(step, inner) for inner in instruction.inner for step in inner.instructions), Cost(0, 0))
    if any(b.root != b.index and b.type.dtype == inputs[0].type.dtype for b in outputs):
        alone = isinstance(instruction.op, SumTo) and _elements(inputs[0]) != _elements(outputs[0])
        if not alone:
            return Cost(0, 0)
    count = _PRODUCTS.get(type(instruction.op), _per_element)
    return Cost(count(instruction.op, inputs, outputs), _moved(instruction.op, inputs, outputs))


def _moved(op: Any, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
    sizes = [b.nbytes or 0 for b in inputs]
    written = sum(b.nbytes or 0 for b in outputs)
    if op.structural and sizes:
        sizes[0] = min(sizes[0], written) if not isinstance(op, _ADDING) else sizes[0]  # only what is taken is read
    return sum(sizes) + written


#: Structural operations that read all of their input and add it up.
_ADDING = (Reduce, SumTo)


def _elements(buffer: Buffer) -> int:
    return math.prod(buffer.type.shape) if buffer.type.known else 0  # type: ignore[arg-type]


def _per_element(op: Any, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
    """One operation for each element of the largest tensor; none where values are only moved."""
    if not any(is_float(b.type.dtype) for b in (*inputs, *outputs)):
        return 0
    if op.structural and not isinstance(op, _ADDING):
        return 0
    return max(map(_elements, (*inputs, *outputs)), default=0)


def _matmul(op: MatMul, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
    return 2 * _elements(outputs[0]) * (inputs[0].type.shape[-1] or 0)


def _tensordot(op: TensorDot, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
    return 2 * _elements(outputs[0]) * math.prod(inputs[0].type.shape[axis] or 0 for axis in op.x_axes)


def _einsum(op: Einsum, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
    extents: dict[str, int] = {}
    for labels, buffer in zip(op.terms, inputs, strict=True):
        for label, n in zip(labels, buffer.type.shape, strict=True):
            extents[label] = max(extents.get(label, 0), n or 0)
    return len(inputs) * math.prod(extents.values())


def _convolution(filters: int, output: int) -> Callable[..., int]:
    """For the three operations of a convolution: every element of its output takes a product with one filter."""

    def count(op: Any, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
        tensors = (*inputs[:2], outputs[0])
        taps = math.prod(n or 0 for n in tensors[filters].type.shape[-1 - op.spatial :])
        return 2 * taps * _elements(tensors[output])

    return count


def _factorised(factor: float) -> Callable[..., int]:
    """For square matrices of n rows, ``factor`` · n³, as the textbooks count."""

    def count(op: Any, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> int:
        return round(factor * _elements(inputs[0]) * (inputs[0].type.shape[-1] or 0))

    return count


_PRODUCTS: dict[type, Callable[..., int]] = {
    MatMul: _matmul,
    TensorDot: _tensordot,
    Einsum: _einsum,
    Conv: _convolution(filters=1, output=2),
    ConvInputs: _convolution(filters=1, output=0),
    ConvWeights: _convolution(filters=2, output=1),
    Cholesky: _factorised(1 / 3),
    Det: _factorised(2 / 3),
    SlogDet: _factorised(2 / 3),
    Solve: _factorised(2 / 3),
    MatrixInverse: _factorised(2),
}
