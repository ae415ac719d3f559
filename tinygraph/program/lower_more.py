"""Places of extrema, conditions, and operations that move elements, in terms of nests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.ops.checks import Assert
from tinygraph.ops.cumulative import Shift
from tinygraph.ops.join import Split
from tinygraph.ops.matrices import Diagonal, PlaceDiagonal
from tinygraph.ops.pieces import RepeatEach
from tinygraph.ops.reduce import ArgReduce
from tinygraph.ops.sorting import Permute
from tinygraph.ops.subtensor import Enumerate
from tinygraph.program.ir import Buffer
from tinygraph.program.lower import Lowering, lowers
from tinygraph.program.lower_random import checked
from tinygraph.program.steps import Shape, Unsupported, Value, View, packed

__all__: list[str] = []


def _number(dtype: str, number: Any) -> Value:
    return Value(dtype, (), uniform=np.dtype(dtype).type(number))


# --- places and conditions --------------------------------------------------------------------------------------------


@lowers(ArgReduce)
def _arg_reduce(lowering: Lowering, op: ArgReduce, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    """The least place at which there is the extremum, or NaN where there is one."""
    (x,), builder = inputs, lowering.builder
    shape = x.shape
    if 0 in shape:
        raise Unsupported
    if x.uniform is not None or math.prod(shape[i] for i in op.axes) == 1:
        return [Value("int64", outputs[0].type.shape, uniform=np.int64(0))]  # type: ignore[arg-type]
    top = builder.reduce(op.kind[3:], x, op.axes, True)
    if max(i for i, n in enumerate(shape) if n != 1) not in op.axes:
        # Lanes run over the last axis, and so does each lane over the others: once for each reduction.
        x, top = (Value(v.dtype, v.shape, view=builder.view(v)) for v in (x, top))
    found = builder.map("eq", "bool", shape, x, top)
    if np.dtype(x.dtype).kind == "f":
        found = builder.map("or_", "bool", shape, found, builder.map("isnan", "bool", shape, x))
    steps = iter(packed(tuple(shape[i] for i in op.axes)))
    strides = tuple(next(steps) if i in op.axes else 0 for i in range(len(shape)))
    place = builder.index(shape, strides, near=[found])
    if math.prod(shape[i] for i in op.axes) < 2**31:
        place = builder.map("cast", "int32", shape, place)  # twice as many lanes, and the processor has their minimum
    behind = _number(place.dtype, np.iinfo(place.dtype).max)
    place = builder.reduce("min", builder.map("switch", place.dtype, shape, found, place, behind), op.axes, op.keepdims)
    return [builder.map("cast", "int64", place.shape, place) if place.dtype != "int64" else place]


@lowers(Assert)
def _assert(lowering: Lowering, op: Assert, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, *conditions = inputs
    builder = lowering.builder
    for c in conditions:
        if 0 in c.shape:
            continue
        if c.uniform is not None:
            if not c.uniform:
                raise Unsupported
        elif c.dtype == "bool":
            checked(builder.map("and_", "bool", c.shape, c, c))
        else:
            checked(builder.map("neq", "bool", c.shape, c, _number(c.dtype, 0)))
    return [x]


@lowers(Enumerate)
def _enumerate(lowering: Lowering, op: Enumerate, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    shape = inputs[0].shape
    return [lowering.builder.index(shape, packed(shape))]


# --- views ------------------------------------------------------------------------------------------------------------


@lowers(Split)
def _split(lowering: Lowering, op: Split, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, builder = inputs[0], lowering.builder
    shapes: list[Shape] = [out.type.shape for out in outputs]  # type: ignore[misc]
    if sum(shape[op.axis] for shape in shapes) != x.shape[op.axis]:
        raise Unsupported
    if x.uniform is not None:
        return [Value(x.dtype, shape, uniform=x.uniform) for shape in shapes]
    view = builder.view(x)
    parts = []
    start = view.offset
    for shape in shapes:
        parts.append(Value(x.dtype, shape, view=View(view.storage, shape, view.strides, start)))
        start += shape[op.axis] * view.strides[op.axis]
    return parts


def _on_diagonal(view: View, offset: int, axis1: int, axis2: int) -> View:
    """The elements ``[i, i + offset]`` of two axes, along a new last axis."""
    rest = [i for i in range(len(view.shape)) if i not in (axis1, axis2)]
    down, across = view.strides[axis1], view.strides[axis2]
    length = max(0, min(view.shape[axis1] + min(offset, 0), view.shape[axis2] - max(offset, 0)))
    start = view.offset + (max(-offset, 0) * down + max(offset, 0) * across if length else 0)
    shape = (*(view.shape[i] for i in rest), length)
    return View(view.storage, shape, (*(view.strides[i] for i in rest), down + across), start)


@lowers(Diagonal)
def _diagonal(lowering: Lowering, op: Diagonal, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (x,) = inputs
    if x.uniform is not None:
        return [Value(x.dtype, outputs[0].type.shape, uniform=x.uniform)]  # type: ignore[arg-type]
    view = _on_diagonal(lowering.builder.view(x), op.offset, op.axis1, op.axis2)
    return [Value(x.dtype, view.shape, view=view)]


@lowers(RepeatEach)
def _repeat_each(lowering: Lowering, op: RepeatEach, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, counts = inputs
    builder, axis = lowering.builder, op.axis
    if counts.uniform is None or counts.uniform < 0 or counts.shape != x.shape[axis : axis + 1]:
        raise Unsupported
    front, back = x.shape[: axis + 1], x.shape[axis + 1 :]
    wide = builder.broadcast(builder.reshape(x, (*front, 1, *back)), (*front, int(counts.uniform), *back))
    return [builder.reshape(wide, outputs[0].type.shape)]  # type: ignore[arg-type]


# --- copies -----------------------------------------------------------------------------------------------------------


@lowers(PlaceDiagonal)
def _place_diagonal(lowering: Lowering, op: PlaceDiagonal, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    values, builder = inputs[0], lowering.builder
    out = builder.temporary(values.dtype, outputs[0].type.shape)  # type: ignore[arg-type]
    builder.write(_number(values.dtype, 0), out)
    into = _on_diagonal(out, op.offset, op.axis1, op.axis2)
    if into.shape != values.shape:
        raise Unsupported
    builder.write(values, into)
    return [Value(out.dtype, out.shape, view=out)]


@lowers(Shift)
def _shift(lowering: Lowering, op: Shift, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    (x,), builder, axis = inputs, lowering.builder, op.axis
    n = x.shape[axis]
    if 0 in x.shape:
        return [x]
    out = builder.temporary(x.dtype, x.shape)
    view = builder.view(x)
    forward = op.step == 1
    builder.write(_number(x.dtype, 0), _part(out, axis, 0 if forward else n - 1, 1))
    moved = _part(view, axis, 0 if forward else 1, n - 1)
    builder.write(Value(x.dtype, moved.shape, view=moved), _part(out, axis, 1 if forward else 0, n - 1))
    return [Value(x.dtype, x.shape, view=out)]


def _part(view: View, axis: int, start: int, count: int) -> View:
    shape = (*view.shape[:axis], count, *view.shape[axis + 1 :])
    return View(view.storage, shape, view.strides, view.offset + start * view.strides[axis])


@lowers(Permute)
def _permute(lowering: Lowering, op: Permute, inputs: Sequence[Value], outputs: Sequence[Buffer]) -> Any:
    x, order = inputs
    view = lowering.builder.view(x)
    if 0 in x.shape or order.dtype == "bool" or order.uniform is not None or order.shape != x.shape:
        raise Unsupported
    strides = tuple(0 if i == op.axis else s for i, s in enumerate(view.strides))
    return [lowering.builder.gather(x.shape, view, strides, ((x.shape[op.axis], view.strides[op.axis]),), [order])]
