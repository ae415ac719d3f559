"""Convolutions of each channel with a filter of its own: nothing to multiply matrices for, lanes run along channels."""

from __future__ import annotations

import math

from tinygraph.program.steps import Group, Shape, Value, View, packed
from tinygraph.program.windows import Windows

__all__ = ["fits", "inputs", "outputs", "weights"]

#: Elements that one nest adds up, at most.
_LONG = 1024


def fits(sizes: Windows) -> bool:
    """Whether each channel has one filter, of a size that one nest can add up."""
    return sizes.taken == sizes.made == 1 < sizes.groups and math.prod(sizes.kernel) <= _LONG


def outputs(sizes: Windows, images: View, filters: View) -> Value:
    """The output, channels last, from images with their zeros around them and filters (channel, 1, element)."""
    builder = sizes.builder
    batch, *space, channel = images.strides
    across = [s * n for s, n in zip(space, sizes.op.strides, strict=True)]
    within = [s * n for s, n in zip(space, sizes.op.dilation, strict=True)]
    shape = (sizes.images, *sizes.out, *sizes.kernel, sizes.channels)
    met = View(images.storage, shape, (batch, *across, *within, channel), images.offset)
    return builder.cast(sizes.dtype, _weighted(sizes, met, filters, len(sizes.out) + 1))


def inputs(sizes: Windows, given: View, filters: View) -> Value:
    """Images, channels last, from the output (contiguous): what each image's element was met by, weighted."""
    op, builder = sizes.op, sizes.builder
    before = [(k - 1) * d for k, d in zip(sizes.kernel, op.dilation, strict=True)]
    wide = [b + max(r, p + n) for b, r, p, n in zip(before, sizes.reach, sizes.before, sizes.extents, strict=True)]
    apart = builder.temporary(sizes.dtype, (sizes.images, *wide, sizes.channels))
    batch, *space, channel = apart.strides
    builder.write(sizes.zero, apart)
    places = View(
        apart.storage,
        given.shape,
        (batch, *(s * n for s, n in zip(space, op.strides, strict=True)), channel),
        sum(s * b for s, b in zip(space, before, strict=True)),
    )
    builder.write(Value(sizes.dtype, given.shape, view=given), places)
    offset = sum(s * (b + p) for s, b, p in zip(space, before, sizes.before, strict=True))
    back = [-s * d for s, d in zip(space, op.dilation, strict=True)]
    shape = (sizes.images, *sizes.extents, *sizes.kernel, sizes.channels)
    met = View(apart.storage, shape, (batch, *space, *back, channel), offset)
    return builder.cast(sizes.dtype, _weighted(sizes, met, filters, len(sizes.extents) + 1))


def weights(sizes: Windows, images: View, given: View) -> Value:
    """Filters by (element …, channel) from images with their zeros around them and the output, both channels last."""
    op, builder = sizes.op, sizes.builder
    batch, *space, channel = images.strides
    across = [s * n for s, n in zip(space, op.strides, strict=True)]
    within = [s * n for s, n in zip(space, op.dilation, strict=True)]
    shape = (*sizes.kernel, sizes.images, *sizes.out, sizes.channels)
    met = View(images.storage, shape, (*within, batch, *across, channel), images.offset)
    # The last axes of positions, as many as one nest adds up; then the others.
    start = last = len(shape) - 1
    while start > len(sizes.kernel) and (start == last or math.prod(shape[start - 1 : last]) <= _LONG):
        start -= 1
    value = _summed(sizes, met, given.broadcast(shape), tuple(range(start, last)))
    return builder.cast(sizes.dtype, builder.reduce("sum", value, range(len(sizes.kernel), start), False))


def _weighted(sizes: Windows, met: View, filters: View, first: int) -> Value:
    """Sums over the elements of filters, axes of ``met`` from ``first`` on, of what they meet times filters."""
    builder = sizes.builder
    flipped = sizes.flipped(filters)
    shape: Shape = (*sizes.kernel, sizes.channels)
    turned = View(flipped.storage, shape, (*flipped.strides[2:], flipped.strides[0]), flipped.offset)
    if turned.strides != packed(shape):
        turned = builder.view(builder.copied(turned))
    return _summed(sizes, met, turned.broadcast(met.shape), tuple(range(first, first + len(sizes.kernel))))


def _summed(sizes: Windows, x: View, y: View, axes: tuple[int, ...]) -> Value:
    """Products of two views summed over axes, in a nest of its own: the products are many more than the elements."""
    builder, dtype, shape = sizes.builder, sizes.wide, x.shape
    target = tuple(n for i, n in enumerate(shape) if i not in axes)
    axes = tuple(i for i in axes if shape[i] != 1)
    if not axes:
        factors = [builder.cast(dtype, Value(v.dtype, shape, view=v)) for v in (x, y)]
        return builder.reshape(builder.map("mul", dtype, shape, *factors), target)
    group = Group(len(builder.steps), shape)
    builder.append(group)
    group.axes = axes
    nodes = [group.load(v, v.strides) for v in (x, y)]
    if dtype != sizes.dtype:
        nodes = [group.add("cast", dtype, (n,)) for n in nodes]
    product = group.add("mul", dtype, nodes)
    total = group.add("reduce", dtype, (product,), "sum")
    group.row_nodes.add(total)
    return Value(dtype, target, group=group, node=total, row=True)
