"""Convolutions as products of matrices with what filters meet, and depthwise ones as nests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.ops.convolution import Conv, ConvInputs, Convolution, ConvWeights
from tinygraph.program import depthwise
from tinygraph.program.ir import Instruction
from tinygraph.program.lower import Lowering, lowers_turned
from tinygraph.program.steps import Group, Value, View
from tinygraph.program.turned import Turned
from tinygraph.program.windows import SUMS, Tile, Windows, transposed

#: Bytes of all partial sums of filters, at most.
_SUMS = 1 << 22


def _windows(lowering: Lowering, step: Instruction, x: int, w: int, y: int) -> Windows:
    """The sizes of an instruction, by the numbers of images, filters and output."""
    images, filters, output = (lowering.program.buffers[n].type for n in (x, w, y))
    assert isinstance(step.op, Convolution)
    return Windows(lowering, step.op, images.shape, filters.shape, output.shape, images.dtype)  # type: ignore[arg-type]


@lowers_turned(Conv)
def _conv(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    (x, w), (y,) = step.inputs, step.outputs
    sizes, builder = _windows(lowering, step, x, w, y), lowering.builder
    dtype = sizes.dtype
    if depthwise.fits(sizes):
        return [Turned(depthwise.outputs(sizes, sizes.padded(x), sizes.given(w)), sizes.order)]
    source, filters = sizes.padded(x), sizes.matrices(w)
    out = builder.temporary(dtype, (sizes.images, *sizes.out, sizes.filters))
    if sizes.pointwise:
        builder.product(sizes.flat(source), transposed(filters), sizes.flat(out))
    else:

        def make(tile: Tile) -> list[Any]:
            copy, rows = tile.gather(source)
            return [copy, tile.product(rows, tile.stay(transposed(filters)), tile.output(out))]

        sizes.tiled(make)
    return [Turned(Value(dtype, out.shape, view=out), sizes.order)]


@lowers_turned(ConvWeights)
def _conv_weights(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    (x, y, _), (w,) = step.inputs, step.outputs
    sizes, builder = _windows(lowering, step, x, w, y), lowering.builder
    dtype = sizes.dtype
    source, given = sizes.padded(x), sizes.last(y)
    # Products of this form are faster than those that give their transposes.
    if depthwise.fits(sizes):
        found = builder.view(depthwise.weights(sizes, source, given))
        *kernel, channel = found.strides
        wide = View(found.storage, (sizes.channels, 1, *sizes.kernel), (channel, 1, *kernel), found.offset)
        return [Value(dtype, wide.shape, view=sizes.flipped(wide))]
    size = sizes.groups * sizes.inner * sizes.made
    room = max(1, min(SUMS, sizes.images, _SUMS // (size * np.dtype(sizes.wide).itemsize)))
    room = 1 if sizes.pointwise or lowering.launched else room
    parts = builder.temporary(sizes.wide, (room, sizes.groups, sizes.inner, sizes.made))
    sums = View(parts.storage, parts.shape[1:], parts.strides[1:])

    def make(tile: Tile) -> list[Any]:
        copy, rows = tile.gather(source)
        return [copy, tile.product(transposed(rows), tile.output(given), tile.stay(sums, size), 1.0)]

    if sizes.pointwise:
        builder.product(transposed(sizes.flat(source)), sizes.flat(given), sums)
    else:
        builder.write(builder.cast(sizes.wide, sizes.zero), parts)
        sizes.tiled(make, room)
    if room > 1:
        sums = builder.view(builder.reduce("sum", Value(parts.dtype, parts.shape, view=parts), (0,), False))
    return [sizes.filters_of(sums)]


@lowers_turned(ConvInputs)
def _conv_inputs(lowering: Lowering, step: Instruction) -> Sequence[Value]:
    (y, w, _), (x,) = step.inputs, step.outputs
    sizes, builder = _windows(lowering, step, x, w, y), lowering.builder
    dtype = sizes.dtype
    if depthwise.fits(sizes):
        return [Turned(depthwise.inputs(sizes, sizes.last(y), sizes.given(w)), sizes.order)]
    given, filters = sizes.last(y), sizes.matrices(w)
    shape = (sizes.images, *sizes.extents, sizes.channels)
    wide = builder.temporary(sizes.wide, (sizes.images, *sizes.reach, sizes.channels) if sizes.is_padded else shape)

    def make(tile: Tile) -> list[Any]:
        memory, rows, axes = tile.columns(sizes.wide)
        into, _ = tile.patches(wide, axes)
        add = Group(tile.index, into.shape)
        total = add.add("add", sizes.wide, (add.load(into, into.strides), add.load(memory, memory.strides)))
        add.store(total, into, into.strides)
        if sizes.across:
            product = tile.product(tile.stay(transposed(filters)), transposed(tile.output(given)), transposed(rows))
        else:
            product = tile.product(tile.output(given), tile.stay(filters), rows)
        return [product, add]

    if sizes.pointwise:
        builder.product(sizes.flat(given), filters, sizes.flat(wide))
    else:
        builder.write(builder.cast(sizes.wide, sizes.zero), wide)
        sizes.tiled(make, overlap=True)
    if sizes.is_padded:
        out = builder.temporary(dtype, shape)
        builder.write(sizes.zero, out)
        here, there = sizes.common(out, wide)
        builder.write(builder.cast(dtype, Value(wide.dtype, there.shape, view=there)), here)
        wide = out
    return [Turned(builder.cast(dtype, Value(wide.dtype, shape, view=wide)), sizes.order)]
