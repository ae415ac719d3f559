"""What each operation is in terms of maps, reductions, views, copies and products.

An operation that is not described here is run by itself, by its own ``compute``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.graph import Op
from tinygraph.ops.convert import Cast
from tinygraph.ops.creation import ARange
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.join import Join
from tinygraph.ops.layout import BroadcastTo, DimShuffle, Reshape, SpecifyShape, SumTo
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.subtensor import IncSubtensor, Subtensor
from tinygraph.program.fuse import Builder
from tinygraph.program.ir import Buffer, Instruction, Program
from tinygraph.program.pieces import Pieces, piece_of
from tinygraph.program.steps import Shape, Unsupported, Value, View, packed
from tinygraph.program.turned import Turned

__all__ = ["DTYPES", "Lowering", "Pending", "lowers", "lowers_turned", "part"]

#: Those that nests compute with; float16 is one of them where the backend has operations on it.
DTYPES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
)

#: (lowering, operation, inputs, output buffers) -> values
Rule = Callable[["Lowering", Any, Sequence[Value], Sequence[Buffer]], Sequence[Value]]

#: The description of each operation, by its class.
RULES: dict[type[Op], Rule] = {}


def lowers(*ops: type[Op]) -> Callable[[Rule], Rule]:
    """Register the description of operations."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


#: What an elementwise operation becomes where it depends on what made its operand; None where it does not, by its row.
ROW_RULES: dict[str, Callable[[Lowering, Value], Value | None]] = {}

#: (lowering, instruction) -> values, or None where the description of the operation serves
TurnedRule = Callable[["Lowering", Instruction], Sequence[Value] | None]

#: What becomes of operations on values whose axes are in another order in memory, by class.
TURNED_RULES: dict[type[Op], TurnedRule] = {}


def lowers_turned(*ops: type[Op]) -> Callable[[TurnedRule], TurnedRule]:
    """Register what becomes of operations whose operands, as ``Lowering.found`` has them, may be ``Turned``."""

    def register(rule: TurnedRule) -> TurnedRule:
        TURNED_RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


#: Multiplications up to which a product is a nest of its own, which takes in what is done with its result: of matrices
#: with vectors, and of matrices.
_SMALL_PRODUCT, _SMALL_PRODUCT_OF_MATRICES = 4096, 512


class Pending(Value):
    """A matrix product that is not made yet: it may be added to something, or be multiplied by a number."""

    __slots__ = ("alpha", "x", "y")

    def __init__(self, dtype: str, shape: Shape, x: View, y: View, alpha: Any = 1.0) -> None:
        super().__init__(dtype, shape)
        self.x = x
        self.y = y
        self.alpha = alpha


class Lowering:
    """A Program taken apart into steps.

    Attributes
    ----------
    builder
        Holds the steps.
    values
        What has become of each buffer; None where only running shows its shape, or nests do not know its dtype.
    current
        The instruction at hand.
    """

    def __init__(self, program: Program, elementwise: Callable[[str, str], bool], launched: bool = False) -> None:
        """``elementwise`` says of an operation and the dtype of its operands whether the backend has it in lanes.

        ``launched`` says whether steps are launched on a device.
        """
        self.program = program
        self.launched = launched
        self.elementwise = elementwise
        self.dtypes = DTYPES | {"float16"} if elementwise("add", "float16") else DTYPES
        self.builder = Builder()
        self.values: dict[int, Value | None] = {}
        self.uses = [0] * len(program.buffers)
        for step in program.instructions:
            for n in step.reads:
                self.uses[n] += 1
        for n in program.outputs:
            self.uses[n] += 2
        for position, n in enumerate(program.inputs):
            self._enter(n, "input", position)
        self._makers: dict[int, Instruction] = {}
        for position, step in enumerate(program.instructions):
            self._lower(position, step)

    def _enter(self, n: int, kind: str, data: Any) -> None:
        type = self.program.buffers[n].type
        shape: Shape = type.shape  # type: ignore[assignment]
        if not type.known or type.dtype not in self.dtypes:
            self.values[n] = None
            return
        storage = self.builder.storage(kind, type.dtype, math.prod(shape), data)
        self.values[n] = Value(type.dtype, shape, view=View(storage, shape, packed(shape)))

    def value(self, n: int) -> Value | None:
        """The value of a buffer."""
        if n not in self.values:
            data = self.program.buffers[n].value
            self.values[n] = self.builder.constant(data) if data.dtype.name in self.dtypes else None
        value = self.values[n]
        if isinstance(value, Pending):
            value = self.values[n] = self.made(value)
        if isinstance(value, Pieces):
            value = self.values[n] = value.joined(self.builder)
        return value.plain(self.builder) if isinstance(value, Turned) else value

    def maker(self, n: int) -> Instruction | None:
        """The instruction whose one output a buffer is; None for what enters."""
        if not self._makers:
            self._makers = {step.outputs[0]: step for step in self.program.instructions if len(step.outputs) == 1}
        return self._makers.get(n)

    def found(self, n: int) -> Value | None:
        """The value of a buffer, which may be ``Turned``."""
        value = self.values.get(n)
        return value if isinstance(value, Turned) else self.value(n)

    def _lower(self, position: int, step: Instruction) -> None:
        buffers = self.program.buffers
        outputs = [buffers[n] for n in step.outputs]
        rule = RULES.get(type(step.op))
        plain = not step.guard and not step.op.effects
        self.current = step
        typed = all(
            b.type.known and b.type.dtype in self.dtypes for b in (*outputs, *(buffers[n] for n in step.inputs))
        )
        if (rule is not None or type(step.op) in TURNED_RULES) and plain and typed:
            fused = self._accumulated(step)
            if fused is not None:
                self.values[step.outputs[0]] = fused
                return
            if self._turned(step):
                return
            inputs = [self.value(n) for n in step.inputs]
            if rule is not None and None not in inputs:
                try:
                    results = rule(self, step.op, inputs, outputs)  # type: ignore[arg-type]
                except Unsupported:
                    pass
                else:
                    self.values.update(zip(step.outputs, results, strict=True))
                    return
        self._call(position, step, outputs)

    def _turned(self, step: Instruction) -> bool:
        """Whether an operation is done with its axes in another order."""
        rule = TURNED_RULES.get(type(step.op))
        if rule is None or any(self.found(n) is None for n in step.inputs):
            return False
        try:
            results = rule(self, step)
        except Unsupported:
            return False
        if results is not None:
            self.values.update(zip(step.outputs, results, strict=True))
        return results is not None

    def _call(self, position: int, step: Instruction, outputs: Sequence[Buffer]) -> None:
        """Leave an instruction to be run by itself; its inputs are brought to memory."""
        inputs = [v if (v := self.value(n)) is not None else n for n in step.reads]
        known = [b for b in outputs if b.type.known and b.type.dtype in self.dtypes]
        made = self.builder.call(position, inputs, [(b.type.dtype, b.type.shape, b.index) for b in known])  # type: ignore[misc]
        self.values.update(dict.fromkeys(step.outputs))
        for b, v in zip(known, made, strict=True):
            self.values[b.index] = v

    # --- products -----------------------------------------------------------------------------------------------------

    def made(self, pending: Pending, beta_of: Value | None = None) -> Value:
        """A product in memory, added to a value if one is given."""
        builder = self.builder
        out = builder.temporary(pending.dtype, pending.shape)
        beta = 0.0
        if isinstance(beta_of, Pending):
            self._product(beta_of, out, 0.0)
            beta = 1.0
        elif beta_of is not None:
            builder.write(beta_of, out)
            beta = 1.0
        self._product(pending, out, beta)
        return Value(pending.dtype, pending.shape, view=out)

    def _product(self, pending: Pending, out: View, beta: float) -> None:
        rows, columns = pending.x.shape[1], pending.y.shape[2]
        stack = pending.x.shape[0]
        shaped = View(out.storage, (stack, rows, columns), (rows * columns, columns, 1), out.offset)
        self.builder.product(pending.x, pending.y, shaped, pending.alpha, beta)

    def _accumulated(self, step: Instruction) -> Value | None:
        """Sums and multiples of products that one product takes in: ``w - 0.1 * x.dot(y)``, ``x.dot(y) + a.dot(b)``."""
        op = step.op
        found = [self.values.get(n) for n in step.inputs]
        if isinstance(op, DimShuffle) and op.pattern == (1, 0):
            (product,) = found
            return _turned(product) if isinstance(product, Pending) and self.uses[step.inputs[0]] == 1 else None
        if not isinstance(op, Elementwise) or op.row not in ("mul", "neg", "add", "sub"):
            return None
        if op.row == "add" and all(isinstance(v, Pieces) for v in found) and step.inputs[0] != step.inputs[1]:
            return found[0].with_(found[1])  # type: ignore[union-attr]
        if not any(isinstance(v, Pending) and self.uses[n] == 1 for v, n in zip(found, step.inputs, strict=True)):
            return None
        shape = self.program.buffers[step.outputs[0]].type.shape
        if op.row == "neg":
            return _scaled(found[0], -1.0)  # type: ignore[arg-type]
        x, y = (v if isinstance(v, Pending) else self.value(n) for v, n in zip(found, step.inputs, strict=True))
        if x is None or y is None or any(isinstance(v, Pending) and v.shape != shape for v in (x, y)):
            return None
        if op.row == "mul":
            for a, b in ((x, y), (y, x)):
                if isinstance(a, Pending) and b.uniform is not None and not isinstance(b, Pending):
                    return _scaled(a, float(b.uniform))
            return None
        if op.row == "sub" and (not isinstance(y, Pending) or self.uses[step.inputs[1]] != 1):
            return None
        if op.row == "sub":
            assert isinstance(y, Pending)
            return self.made(_scaled(y, -1.0), x)
        if not isinstance(y, Pending) or self.uses[step.inputs[1]] != 1:
            x, y = y, x
        if isinstance(x, Pending) and self.uses[step.inputs[found.index(x)]] != 1:
            return None
        assert isinstance(y, Pending)
        return self.made(y, x) if isinstance(x, Pending) or x.shape == shape else None

    def matrix(self, view: View) -> View:
        """A stack of matrices in a layout that products take: rows or columns side by side."""
        _, rows, columns = view.shape
        down, across = view.strides[1:]
        plain = (across == 1 or columns == 1) and (down >= columns or rows == 1)
        turned = (down == 1 or rows == 1) and (across >= rows or columns == 1)
        if (view.strides[0] >= 0 and (plain or turned)) or view.storage.size == 0:
            return view
        return self.builder.view(self.builder.copied(view))


def _scaled(pending: Pending, factor: float) -> Pending:
    return Pending(pending.dtype, pending.shape, pending.x, pending.y, pending.alpha * factor)


def _turned(pending: Pending) -> Pending | None:
    """The transpose of a product of two matrices: that of the second with that of the first."""
    if pending.x.shape[0] != 1 or pending.shape != (pending.x.shape[1], pending.y.shape[2]):
        return None

    def transposed(view: View) -> View:
        (stack, rows, columns), (away, down, across) = view.shape, view.strides
        return View(view.storage, (stack, columns, rows), (away, across, down), view.offset)

    shape = (pending.shape[1], pending.shape[0])
    return Pending(pending.dtype, shape, transposed(pending.y), transposed(pending.x), pending.alpha)


# --- elementwise ------------------------------------------------------------------------------------------------------


@lowers(Elementwise)
def _elementwise(lowering: Lowering, op: Elementwise, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    if not lowering.elementwise(op.row, inputs[-1].dtype):
        raise Unsupported
    (out,) = outputs
    if all(x.uniform is not None for x in inputs):
        with np.errstate(all="ignore"):
            number = op.compute(arrays.get("numpy"), *(np.asarray(x.uniform) for x in inputs))
        return [Value(out.type.dtype, out.type.shape, uniform=np.asarray(number, out.type.dtype)[()])]  # type: ignore[arg-type]
    if op.row in ROW_RULES and (found := ROW_RULES[op.row](lowering, inputs[0])) is not None:
        return [found]
    return [lowering.builder.map(op.row, out.type.dtype, out.type.shape, *inputs)]  # type: ignore[arg-type]


@lowers(Cast)
def _cast(lowering: Lowering, op: Cast, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (x,) = inputs
    return [lowering.builder.cast(op.dtype, x)]


# --- layout -----------------------------------------------------------------------------------------------------------


@lowers(BroadcastTo)
def _broadcast(lowering: Lowering, op: BroadcastTo, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    return [lowering.builder.broadcast(inputs[0], outputs[0].type.shape)]  # type: ignore[arg-type]


@lowers(Reshape, SpecifyShape)
def _reshape(lowering: Lowering, op: Reshape, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    return [lowering.builder.reshape(inputs[0], outputs[0].type.shape)]  # type: ignore[arg-type]


@lowers(DimShuffle)
def _dimshuffle(lowering: Lowering, op: DimShuffle, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    return [lowering.builder.transpose(inputs[0], op.pattern)]


@lowers(SumTo)
def _sum_to(lowering: Lowering, op: SumTo, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (x, _), shape = inputs, outputs[0].type.shape
    lead = len(x.shape) - len(shape)
    axes = [i for i, n in enumerate(x.shape) if n != 1 and (i < lead or shape[i - lead] == 1)]
    axes = [i for i in range(len(x.shape)) if i in axes or i < lead]
    kind = "any" if x.dtype == "bool" else "sum"
    return [lowering.builder.reshape(lowering.builder.reduce(kind, x, axes, True), shape)]  # type: ignore[arg-type]


def part(idx: Sequence[Any], x: View) -> View:
    """The part of a view that integers and slices, all of them known, select."""
    strides: list[int] = []
    shape: list[int] = []
    offset, axis = x.offset, 0
    for entry in idx:
        if entry is None or entry is Ellipsis:
            raise Unsupported
        n, step = x.shape[axis], x.strides[axis]
        if isinstance(entry, tuple):
            if any(isinstance(b, str) for b in entry):
                raise Unsupported
            places = range(n)[slice(*entry)]
            shape.append(len(places))
            strides.append(step * places.step)
            offset += step * places.start if places else 0
        elif isinstance(entry, int):
            offset += step * (entry + n if entry < 0 else entry)
        else:
            raise Unsupported
        axis += 1
    return View(x.storage, (*shape, *x.shape[axis:]), (*strides, *x.strides[axis:]), offset)


@lowers(Subtensor)
def _subtensor(lowering: Lowering, op: Subtensor, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, out = inputs[0], outputs[0].type
    if x.uniform is not None:
        return [Value(out.dtype, out.shape, uniform=x.uniform)]  # type: ignore[arg-type]
    view = part(op.idx, lowering.builder.view(x))
    return [Value(out.dtype, view.shape, view=view)]


@lowers(IncSubtensor)
def _inc_subtensor(lowering: Lowering, op: IncSubtensor, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, y = inputs[:2]
    builder = lowering.builder
    if len(inputs) == 2 and (pieces := piece_of(x, y, op.idx)) is not None:
        return [pieces]
    out = builder.temporary(x.dtype, x.shape)
    into = part(op.idx, out)
    if into.shape != x.shape or not op.set:
        builder.write(x, out)
    if not op.set:
        before = Value(x.dtype, into.shape, view=into)
        y = builder.map("or_" if x.dtype == "bool" else "add", x.dtype, into.shape, before, y)
        assert y.group is not None
        y.group.store(y.node, into, into.strides)
    else:
        builder.write(y, into)
    return [Value(x.dtype, x.shape, view=out)]


@lowers(Join)
def _join(lowering: Lowering, op: Join, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    shape: Shape = outputs[0].type.shape  # type: ignore[assignment]
    out = lowering.builder.temporary(outputs[0].type.dtype, shape)
    start = 0
    for x in inputs:
        part = View(out.storage, x.shape, out.strides, out.offset + start * out.strides[op.axis])
        lowering.builder.write(x, part)
        start += x.shape[op.axis]
    return [Value(out.dtype, shape, view=out)]


@lowers(ARange)
def _arange(lowering: Lowering, op: ARange, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    start, _, step = (x.uniform for x in inputs)
    if op.dtype != "int64" or start is None or step is None:
        raise Unsupported
    return [lowering.builder.index(outputs[0].type.shape, (int(step),), int(start))]  # type: ignore[arg-type]


# --- reductions -------------------------------------------------------------------------------------------------------


@lowers(Reduce)
def _reduce(lowering: Lowering, op: Reduce, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (x,), builder = inputs, lowering.builder
    if op.dtype != x.dtype:
        x = builder.map("neq" if op.dtype == "bool" else "cast", op.dtype, x.shape, *_against_zero(op, x))
    return [builder.reduce(op.kind, x, op.axes, op.keepdims)]


def _against_zero(op: Reduce, x: Value) -> Sequence[Value]:
    if op.dtype != "bool":
        return (x,)
    return (x, Value(x.dtype, (), uniform=np.zeros((), x.dtype)[()]))


# --- products ---------------------------------------------------------------------------------------------------------


@lowers(MatMul)
def _matmul(lowering: Lowering, op: MatMul, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, y = inputs
    shape: Shape = outputs[0].type.shape  # type: ignore[assignment]
    if not x.dtype.startswith("float"):
        raise Unsupported
    builder = lowering.builder
    if len(x.shape) == 1:
        x = builder.reshape(x, (1, *x.shape))
    if len(y.shape) == 1:
        y = builder.reshape(y, (*y.shape, 1))
    stack = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    if stack and math.prod(y.shape[:-2]) == 1:
        # One matrix for all of the stack: the stack's rows are rows of one matrix, which is a view as a rule.
        left = builder.reshape(x, (1, math.prod(x.shape[:-1]), x.shape[-1]))
        right = builder.reshape(y, (1, *y.shape[-2:]))
    else:
        left = _stacked(builder, x, stack)
        right = _stacked(builder, y, stack)
    return [_pending(lowering, left, right, shape)]


def _stacked(builder: Builder, x: Value, stack: Shape) -> Value:
    full = builder.broadcast(x, (*stack, *x.shape[-2:]))
    return builder.reshape(full, (math.prod(stack), *x.shape[-2:]))


def _pending(lowering: Lowering, x: Value, y: Value, shape: Shape) -> Value:
    """The product of two stacks of matrices, in a nest where it is small."""
    stack, rows, inner = x.shape
    columns, builder = y.shape[2], lowering.builder
    if stack == inner == 1:
        left, right = builder.reshape(x, (rows, 1)), builder.reshape(y, (1, columns))
        return builder.reshape(builder.map("mul", x.dtype, (rows, columns), left, right), shape)
    if stack == 1 and inner and _is_small(lowering, rows, inner, columns):
        whole = (rows, inner, columns)
        left = builder.wide(builder.reshape(x, (rows, inner, 1)), whole)
        right = builder.wide(builder.reshape(y, (1, inner, columns)), whole)
        terms = builder.map("mul", left.dtype, whole, left, right)
        return builder.reshape(builder.cast(x.dtype, builder.reduce("sum", terms, (1,), False)), shape)
    operands = [lowering.matrix(builder.view(v)) for v in (x, y)]
    return Pending(x.dtype, shape, *operands)


def _flipped(x: Value, y: Value, x_axes: Sequence[int], y_axes: Sequence[int]) -> tuple[Value, Value]:
    """Two operands with both turned round along axes that are summed over, where the larger is backwards in memory.

    What is backwards must be copied: that is left to the smaller one.
    """
    if x.view is None or y.view is None:
        return x, y
    of_large = [y.view.strides[j] for j in y_axes]
    if math.prod(x.shape) > math.prod(y.shape):
        of_large = [x.view.strides[i] for i in x_axes]
    turned = [k for k, stride in enumerate(of_large) if stride < 0]
    if not turned:
        return x, y
    return (
        Value(x.dtype, x.shape, view=x.view.backwards([x_axes[k] for k in turned])),
        Value(y.dtype, y.shape, view=y.view.backwards([y_axes[k] for k in turned])),
    )


def _matrices(builder: Builder, x: Value, batch: Sequence[int], down: Sequence[int], across: Sequence[int]) -> Value:
    """A tensor as a stack of matrices; what must be copied for that keeps its innermost axis innermost."""
    sizes = [math.prod(x.shape[i] for i in axes) for axes in (batch, down, across)]
    turned = builder.transpose(x, (*batch, *down, *across))
    inside = down and x.view is not None and x.view.strides[down[-1]] == 1
    if inside and turned.view is not None and turned.view.reshaped(tuple(sizes)) is None:
        other = builder.reshape(builder.transpose(x, (*batch, *across, *down)), (sizes[0], sizes[2], sizes[1]))
        return builder.transpose(other, (0, 2, 1))
    return builder.reshape(turned, tuple(sizes))


def _is_small(lowering: Lowering, rows: int, inner: int, columns: int) -> bool:
    if lowering.launched:  # a launch costs more than what a kernel of our own loses
        return rows * inner * columns <= _SMALL_PRODUCT or (inner <= 8 and columns <= 32)
    limit = _SMALL_PRODUCT if 1 in (rows, columns) else _SMALL_PRODUCT_OF_MATRICES
    return rows * inner * columns <= limit


@lowers(TensorDot)
def _tensordot(lowering: Lowering, op: TensorDot, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, y = inputs
    if not x.dtype.startswith("float"):
        raise Unsupported
    builder, batch = lowering.builder, tuple(range(op.batch))
    x, y = _flipped(x, y, op.x_axes, op.y_axes)
    x_free = [i for i in range(op.batch, len(x.shape)) if i not in op.x_axes]
    y_free = [i for i in range(op.batch, len(y.shape)) if i not in op.y_axes]
    left = _matrices(builder, x, batch, x_free, op.x_axes)
    right = _matrices(builder, y, batch, op.y_axes, y_free)
    return [_pending(lowering, left, right, outputs[0].type.shape)]  # type: ignore[arg-type]
