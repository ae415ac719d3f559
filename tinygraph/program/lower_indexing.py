"""Elements at places that are values: gathers, picks along rows, and scatters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.config import config
from tinygraph.ops.subtensor import ARRAY, FULL, AdvancedIncSubtensor, AdvancedSubtensor
from tinygraph.program.ir import Buffer
from tinygraph.program.lower import Lowering, lowers, part
from tinygraph.program.lower_random import checked
from tinygraph.program.scatter import ScatterSizes
from tinygraph.program.steps import Scatter, Shape, Unsupported, Value, View

__all__: list[str] = []


def _is_range(value: Value, n: int) -> bool:
    """Whether a vector of integers is 0, 1, …, n - 1 for certain."""
    view = value.view
    if value.shape != (n,):
        return False
    if view is not None and view.storage.kind == "constant":
        return bool(np.array_equal(view.storage.data.reshape(-1), np.arange(n)))
    group = value.group
    if group is not None and not value.row and group.nodes[value.node].op == "index":
        counter = group.operands[group.nodes[value.node].attr]
        return counter.view.offset == 0 and counter.strides == (1,)
    return n == 1 and value.uniform is not None and value.uniform == 0


def _arrays(idx: Sequence[Any]) -> tuple[int, int]:
    """The first axis that an array has, and the one behind the last: arrays follow one another, beside slices."""
    axes = [i for i, entry in enumerate(idx) if entry == ARRAY]
    lead, behind = axes[0], axes[-1] + 1
    if len(axes) != behind - lead or not all(entry == ARRAY or isinstance(entry, tuple) for entry in idx):
        raise Unsupported
    return lead, behind


def _sliced(idx: Sequence[Any], view: View) -> View:
    """What the slices beside arrays leave of a view."""
    return part([FULL if entry == ARRAY else entry for entry in idx], view)


@lowers(AdvancedSubtensor)
def _advanced_subtensor(
    lowering: Lowering, op: AdvancedSubtensor, inputs: Sequence[Value], outputs: Sequence[Buffer]
) -> Any:
    x, *indices = inputs
    builder = lowering.builder
    shape: Shape = outputs[0].type.shape  # type: ignore[assignment]
    if any(v.dtype in ("bool", "uint64") for v in indices):
        raise Unsupported
    pairs = op.idx == (ARRAY, ARRAY) and len(x.shape) == 2 and len(indices) == 2
    if pairs and _is_range(indices[0], x.shape[0]) and indices[1].shape == shape and x.view is None and x.group:
        return [builder.pick(x, indices[1])]
    lead, behind = _arrays(op.idx)
    view = _sliced(op.idx, builder.view(x))
    if 0 in view.shape:
        raise Unsupported
    block = np.broadcast_shapes(*(v.shape for v in indices))
    tail = len(shape) - lead - len(block)
    strides = (*view.strides[:lead], *([0] * len(block)), *view.strides[behind:])
    dims = tuple((view.shape[i], view.strides[i]) for i in range(lead, behind))
    wide = [builder.reshape(builder.broadcast(v, block), (*block, *([1] * tail))) for v in indices]
    return [builder.gather(shape, view, strides, dims, wide)]


@lowers(AdvancedIncSubtensor)
def _advanced_inc_subtensor(
    lowering: Lowering, op: AdvancedIncSubtensor, inputs: Sequence[Value], outputs: Sequence[Buffer]
) -> Any:
    x, y, *indices = inputs
    if any(v.dtype in ("bool", "uint64") for v in indices):
        raise Unsupported
    builder = lowering.builder
    rows = op.idx == (ARRAY, ARRAY) and len(x.shape) == 2 and len(indices) == 2 and 0 not in x.shape
    known = x.dtype != "bool" and (op.set or (x.uniform is not None and x.uniform == 0))
    if rows and known and _is_range(indices[0], x.shape[0]) and indices[1].shape == x.shape[:1]:
        n = x.shape[0]
        value = builder.reshape(builder.broadcast(y, (n,)), (n, 1))
        return [builder.at_column(builder.view(indices[1]), value, x, x.shape)]
    if not lowering.launched:
        raise Unsupported  # loops of the processor are as fast one array call after the other
    return [_scattered(lowering, op, x, y, indices)]


def _scattered(lowering: Lowering, op: AdvancedIncSubtensor, x: Value, y: Value, indices: Sequence[Value]) -> Value:
    """A copy of ``x`` with values written or added to places along some of its axes."""
    builder = lowering.builder
    lead, behind = _arrays(op.idx)
    out = builder.temporary(x.dtype, x.shape)
    into = _sliced(op.idx, out)
    if 0 in x.shape:
        raise Unsupported
    block = np.broadcast_shapes(*(v.shape for v in indices))
    extents = x.shape[lead:behind]
    count, targets = math.prod(block), math.prod(extents)
    shape = (*into.shape[:lead], *block, *into.shape[behind:])
    if 0 in shape:
        raise Unsupported
    if max(count, targets) >= 1 << 31:
        raise Unsupported
    runs = (slice(None, lead), slice(lead, behind), slice(behind, None))
    merged = [_merged(View(out.storage, into.shape[run], into.strides[run])) for run in runs]
    sides = tuple(view.shape[0] for view in merged)
    places = builder.contiguous(_places(lowering, indices, extents, block))
    values = builder.view(builder.reshape(builder.broadcast(y, shape), (sides[0], count, sides[2])))
    builder.write(x, out)
    step = Scatter(
        View(out.storage, sides, tuple(view.strides[0] for view in merged), into.offset),
        values,
        View(places.storage, (count,), (1,), places.offset),
        op.set,
        config.deterministic or op.set,
    )
    builder.append(step)
    step.workspace = builder.storage("temporary", "uint8", ScatterSizes.of(step).places()["end"], writer=step.index)
    out.storage.writer = step.index
    return Value(x.dtype, x.shape, view=out)


def _merged(view: View) -> View:
    """Axes as one."""
    found = view.reshaped((math.prod(view.shape),))
    if found is None:
        raise Unsupported
    return found


def _places(lowering: Lowering, indices: Sequence[Value], extents: Shape, block: Shape) -> Value:
    """The number of a place in C order from indices along each axis; out of bounds is an error."""
    builder = lowering.builder

    def number(value: int) -> Value:
        return Value("int64", (), uniform=np.int64(value))

    total: Value | None = None
    for index, extent in zip(indices, extents, strict=True):
        index = builder.map("cast", "int64", block, index)
        negative = builder.map("lt", "bool", block, index, number(0))
        behind = builder.map("add", "int64", block, index, number(extent))
        index = builder.map("switch", "int64", block, negative, behind, index)
        inside = builder.map("ge", "bool", block, index, number(0))
        below = builder.map("lt", "bool", block, index, number(extent))
        checked(builder.map("and_", "bool", block, inside, below))
        if total is not None:
            index = builder.map("add", "int64", block, builder.map("mul", "int64", block, total, number(extent)), index)
        total = index
    assert total is not None
    return builder.map("cast", "int32", block, total)
