"""Loops: a plan of their step, run again and again over rows of the tensors around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.ops.loop import Loop
from tinygraph.program.ir import Buffer
from tinygraph.program.lower import Lowering, lowers
from tinygraph.program.plan import Plan, plan_of
from tinygraph.program.steps import Binding, Call, Scan, Shape, Unsupported, Value, View

__all__: list[str] = []


@lowers(Loop)
def _loop(lowering: Lowering, op: Loop, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    count, initials, sequences, constants = inputs[0].uniform, *op.split(inputs[1:])
    (body,) = lowering.current.inner
    if count is None or count < 1 or op.stop:
        raise Unsupported
    states = [i for i, taps in enumerate(op.taps) for _ in taps]
    alone = [op.taps[i] == (-1,) and op.kept[i] == 1 for i in range(len(op.taps))]
    targets = [states.index(i) if i < len(alone) and alone[i] else None for i in range(len(outputs))]
    plan = plan_of(body, targets, lowering.elementwise, launched=lowering.launched)
    if any(isinstance(step, Call) for step in plan.steps) or None in plan.results:
        raise Unsupported
    return _Rows(lowering, op, plan, int(count)).lowered(initials, sequences, constants, outputs)


class _Rows:
    """The rows of a loop's outputs: all of them one after the other, or the last few in a ring."""

    def __init__(self, lowering: Lowering, op: Loop, plan: Plan, count: int) -> None:
        self.builder = lowering.builder
        self.op = op
        self.plan = plan
        self.count = count
        self.bindings: list[Binding] = []

    def lowered(
        self,
        initials: Sequence[Value],
        sequences: Sequence[Value],
        constants: Sequence[Value],
        outputs: Sequence[Buffer],
    ) -> list[Value]:
        op, builder = self.op, self.builder
        depths = [*op.depths, *[0] * (len(outputs) - len(op.taps))]
        memory = [self._memory(i, buffer, depths[i]) for i, buffer in enumerate(outputs)]
        for i, initial in enumerate(initials):
            builder.write(initial, _rows(memory[i], 0, depths[i]))
        position = 0
        for i, taps in enumerate(op.taps):
            for tap in taps:
                self._bind(position, True, memory[i], depths[i] + tap)
                position += 1
        for value in sequences:
            view = builder.view(value)
            row = View(view.storage, view.shape[1:], view.strides[1:], view.offset)
            if not row.contiguous:
                view = builder.view(builder.copied(view))
            self._bind(position, True, view, 0, ring=False)
            position += 1
        for value in constants:
            view = builder.contiguous(value)
            self.bindings.append(Binding(position, True, view, 0, 0, 0))
            position += 1
        for i in range(len(outputs)):
            if i not in self.plan.updated:
                self._bind(i, False, memory[i], depths[i])
        builder.scan(Scan(self.count, self.plan, self.bindings))
        return [self._result(memory[i], buffer, depths[i]) for i, buffer in enumerate(outputs)]

    def _memory(self, i: int, buffer: Buffer, depth: int) -> View:
        """Room for rows: for all of them, or for as many as are read or kept at one time."""
        shape: Shape = buffer.type.shape  # type: ignore[assignment]
        rows = self.count + depth
        keep = self.op.kept[i]
        if i in self.plan.updated:
            rows = 1  # the new row is written over the old one
        elif keep is not None:
            rows = min(rows, max(keep, depth) + 1)
        return self.builder.temporary(buffer.type.dtype, (rows, *shape[1:]))

    def _bind(self, position: int, read: bool, memory: View, first: int, ring: bool = True) -> None:
        rows = memory.shape[0]
        modulus = rows if ring and rows < self.count + first else 0
        self.bindings.append(Binding(position, read, memory, memory.strides[0], first, modulus))

    def _result(self, memory: View, buffer: Buffer, depth: int) -> Value:
        shape: Shape = buffer.type.shape  # type: ignore[assignment]
        rows, total = memory.shape[0], self.count + depth
        if rows == shape[0] == total:
            return Value(buffer.type.dtype, shape, view=memory)
        places = [r % rows for r in range(total - shape[0], total)]
        if places == list(range(places[0], places[0] + len(places))):
            return Value(buffer.type.dtype, shape, view=_rows(memory, places[0], len(places)))
        out = self.builder.temporary(buffer.type.dtype, shape)
        for j, place in enumerate(places):
            source = Value(buffer.type.dtype, (1, *shape[1:]), view=_rows(memory, place, 1))
            self.builder.write(source, _rows(out, j, 1))
        return Value(buffer.type.dtype, shape, view=out)


def _rows(memory: View, first: int, count: int) -> View:
    shape = (count, *memory.shape[1:])
    return View(memory.storage, shape, memory.strides, memory.offset + first * memory.strides[0])
