"""Pooling along an axis as elementwise operations of what stands at one place of all windows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.ops.pool import MaxPool, MaxPoolGrad, MaxPoolRead, Pool, SumPool, SumPoolGrad
from tinygraph.program.ir import Instruction
from tinygraph.program.lower import Lowering, lowers_turned
from tinygraph.program.steps import Shape, Unsupported, Value, View
from tinygraph.program.turned import Turned, turned

#: Windows up to this size are written out; larger ones are reduced in a loop.
_WINDOW = 16


class _Pooling:
    """One pooling operation, with axes in the order that the operand ``lead`` has them in.

    Attributes
    ----------
    axis, extent, windows
        The axis that windows slide along, how long it is, and how many windows there are.
    """

    def __init__(self, lowering: Lowering, step: Instruction, n: int, lead: int) -> None:
        buffers = lowering.program.buffers
        shape: Shape = buffers[n].type.shape  # type: ignore[assignment]
        if any(0 in buffers[n].type.shape for n in (*step.inputs, *step.outputs)):
            raise Unsupported
        self.lowering = lowering
        self.builder = lowering.builder
        assert isinstance(step.op, Pool)
        self.op = step.op
        value = lowering.found(lead)
        self.order = value.order if isinstance(value, Turned) else tuple(range(len(shape)))
        self.axis = self.order.index(self.op.axis)
        self.extent = shape[self.op.axis]
        self.windows: int = self.op.windows(self.extent)  # type: ignore[assignment]
        self.reach = (self.windows - 1) * self.op.stride + self.op.window

    def operand(self, n: int) -> Value:
        value = self.lowering.found(n)
        assert value is not None
        return turned(self.builder, value, self.order)

    def result(self, value: Value) -> Value:
        return Turned(value, self.order) if self.order != tuple(range(len(self.order))) else value

    @property
    def apart(self) -> bool:
        """Whether no element is in two windows."""
        return self.op.stride >= self.op.window

    def padded(self, value: Value, number: Any) -> View:
        """An operand, with a number wherever windows reach farther than it does."""
        view = self.builder.view(value)
        pad = self.op.pad
        if pad == 0 and self.reach <= self.extent:
            return view
        wide = self.builder.temporary(value.dtype, self._with(view.shape, self.reach))
        self.builder.write(Value(value.dtype, (), uniform=np.asarray(number, value.dtype)[()]), wide)
        count = min(self.extent, self.reach - pad)
        inside = self._part(view, 0, count, 1)
        self.builder.write(Value(value.dtype, inside.shape, view=inside), self._part(wide, pad, count, 1))
        return wide

    def blank(self, dtype: str, shape: Shape) -> tuple[View, View]:
        """Memory for all elements that windows reach, and the part of it that is the result.

        It is zero where windows are not, and where they overlap; elsewhere it is still to be written.
        """
        pad = self.op.pad
        wide = self.builder.temporary(dtype, self._with(shape, max(self.reach, pad + self.extent)))
        if not self.apart:
            blanks = [wide]
        else:
            # These parts have nothing in common with what is written, so it does not matter what comes first.
            between = range(self.op.window, self.op.stride) if self.windows > 1 else ()
            blanks = [self._part(wide, i, self.windows - 1, self.op.stride) for i in between]
            if wide.shape[self.axis] > self.reach:
                blanks.append(self._part(wide, self.reach, wide.shape[self.axis] - self.reach, 1))
        for part in blanks:
            self.builder.write(Value(dtype, (), uniform=np.zeros((), dtype)[()]), part)
        return wide, self._part(wide, pad, self.extent, 1)

    def at(self, view: View, i: int) -> View:
        """Element ``i`` of all windows."""
        return self._part(view, i, self.windows, self.op.stride)

    def values(self, view: View) -> list[Value]:
        """All windows' first elements, their second ones, and so on."""
        parts = [self.at(view, i) for i in range(self.op.window)]
        return [Value(view.dtype, part.shape, view=part) for part in parts]

    def together(self, view: View) -> View:
        """Windows as an axis of their own behind that of their number."""
        part = self.at(view, 0)
        k = self.axis + 1
        shape = (*part.shape[:k], self.op.window, *part.shape[k:])
        return View(part.storage, shape, (*part.strides[:k], view.strides[self.axis], *part.strides[k:]), part.offset)

    def store(self, values: Sequence[Value], into: View) -> None:
        """Write, for each element of a window, its values of all windows."""
        for i, value in enumerate(values):
            place = self.at(into, i)
            assert value.group is not None
            value.group.store(value.node, place, place.strides)

    def add(self, value: Value, place: View) -> None:
        """Add values to a part of memory."""
        before = Value(value.dtype, place.shape, view=place)
        row = "or_" if value.dtype == "bool" else "add"
        total = self.builder.map(row, value.dtype, place.shape, before, value)
        assert total.group is not None
        total.group.store(total.node, place, place.strides)

    def chosen(self, part: Value, largest: Value, value: Value) -> Value:
        """Values where an element is the largest of its window, else 0."""
        builder, shape = self.builder, largest.shape
        here = builder.map("eq", "bool", shape, part, largest)
        zero = Value(value.dtype, (), uniform=np.zeros((), value.dtype)[()])
        return builder.map("switch", value.dtype, shape, here, value, zero)

    def _with(self, shape: Shape, extent: int) -> Shape:
        return (*shape[: self.axis], extent, *shape[self.axis + 1 :])

    def _part(self, view: View, start: int, count: int, step: int) -> View:
        stride = view.strides[self.axis]
        strides = (*view.strides[: self.axis], stride * step, *view.strides[self.axis + 1 :])
        return View(view.storage, self._with(view.shape, count), strides, view.offset + start * stride)


def _lowest(dtype: str) -> Any:
    """What is not larger than any value."""
    if dtype == "bool":
        return False
    return -np.inf if dtype.startswith("float") else np.iinfo(dtype).min


def _known(lowering: Lowering, dtype: str, *rows: str) -> None:
    if not all(lowering.elementwise(row, dtype) for row in rows):
        raise Unsupported


@lowers_turned(MaxPool, SumPool)
def _pool(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    pooling = _Pooling(lowering, step, step.inputs[0], step.inputs[0])
    x = pooling.operand(step.inputs[0])
    builder, dtype = pooling.builder, x.dtype
    if isinstance(step.op, MaxPool):
        row, kind, view = "maximum", "max", pooling.padded(x, _lowest(dtype))
    else:
        row, kind, view = "add", "sum", pooling.padded(x, 0)
    if dtype == "bool":
        row, kind = "or_", "any"
    _known(lowering, dtype, row)
    if pooling.op.window > _WINDOW:
        wide = pooling.together(view)
        value = builder.reduce(kind, Value(dtype, wide.shape, view=wide), (pooling.axis + 1,), False)
        return [pooling.result(value)]
    values = pooling.values(view)
    shape = values[0].shape
    return [pooling.result(functools.reduce(lambda a, b: builder.map(row, dtype, shape, a, b), values))]


@lowers_turned(MaxPoolGrad)
def _max_pool_grad(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    n, y, g = step.inputs
    pooling = _Pooling(lowering, step, n, n)
    x, largest, given = pooling.operand(n), pooling.operand(y), pooling.operand(g)
    _known(lowering, x.dtype, "eq", "switch")
    _known(lowering, given.dtype, "add", "switch")
    wide, out = pooling.blank(given.dtype, x.shape)
    parts = pooling.values(pooling.padded(x, _lowest(x.dtype)))
    if pooling.apart:
        pooling.store([pooling.chosen(part, largest, given) for part in parts], wide)
    else:
        for i, part in enumerate(parts):
            pooling.add(pooling.chosen(part, largest, given), pooling.at(wide, i))
    return [pooling.result(Value(given.dtype, out.shape, view=out))]


@lowers_turned(MaxPoolRead)
def _max_pool_read(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    n, y, v = step.inputs
    pooling = _Pooling(lowering, step, n, n)
    x, largest, values = pooling.operand(n), pooling.operand(y), pooling.operand(v)
    builder, dtype = pooling.builder, values.dtype
    _known(lowering, x.dtype, "eq", "switch")
    _known(lowering, dtype, "add", "switch")
    parts = pooling.values(pooling.padded(x, _lowest(x.dtype)))
    read = pooling.values(pooling.padded(values, 0))
    chosen = [pooling.chosen(part, largest, value) for part, value in zip(parts, read, strict=True)]
    row = "or_" if dtype == "bool" else "add"
    return [pooling.result(functools.reduce(lambda a, b: builder.map(row, dtype, a.shape, a, b), chosen))]


@lowers_turned(SumPoolGrad)
def _sum_pool_grad(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    pooling = _Pooling(lowering, step, step.outputs[0], step.inputs[0])
    given = pooling.operand(step.inputs[0])
    _known(lowering, given.dtype, "or_" if given.dtype == "bool" else "add")
    wide, out = pooling.blank(given.dtype, pooling._with(given.shape, pooling.extent))
    for i in range(pooling.op.window):
        place = pooling.at(wide, i)
        if pooling.apart:
            pooling.builder.write(given, place)
        else:
            pooling.add(given, place)
    return [pooling.result(Value(given.dtype, out.shape, view=out))]
