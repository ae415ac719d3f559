"""The sizes of a convolution, and its way through images and positions, a tile at a time.

What filters meet at a position is a row, images have their channels last: so rows are copied from memory in long
pieces, and what comes after runs along the channels. A few images, or some rows of positions of one, are a tile: then
the rows are still in the cache when they are multiplied.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygraph.config import config
from tinygraph.ops.convolution import Convolution, conv_pads
from tinygraph.program.lower import Lowering
from tinygraph.program.rounds import Moving, Rounds
from tinygraph.program.steps import Group, Product, Shape, Unsupported, Value, View, packed
from tinygraph.program.turned import Turned, turned

__all__ = ["LAUNCHED_TILE", "PARTS", "SUMS", "TILE", "Tile", "Windows", "transposed"]

#: Bytes of rows that are made at a time, measured: they share the second cache with what BLAS makes of matrices.
TILE = 1 << 19

#: The same on a device, which has thousands of threads to keep at work, and needs time for each launch.
LAUNCHED_TILE = 1 << 27

#: Threads that share the rounds of a convolution, at most; and partial sums of filters, whatever the threads.
PARTS, SUMS = 8, 4


class Windows:
    """The sizes of a convolution, and what it reaches in its operands.

    Parameters
    ----------
    lowering
        Where steps go.
    op
        What is done.
    x, w, y
        Shapes of images, filters and output.
    dtype
        Of all of them.

    Attributes
    ----------
    wide
        The dtype in which sums are made over several products: float32 for float16.
    images, out, kernel
        Number of images, extents of positions, extents of the filters.
    groups, taken, made
        Number of groups; channels and filters of each.
    before, reach
        For each spatial axis the zeros before it, and how many elements, zeros included, the filters reach.
    """

    def __init__(self, lowering: Lowering, op: Convolution, x: Shape, w: Shape, y: Shape, dtype: str) -> None:
        if op.unshared or not dtype.startswith("float") or 0 in (*x, *w, *y):
            raise Unsupported
        self.lowering = lowering
        self.builder = lowering.builder
        self.op = op
        self.dtype = dtype
        self.wide = "float32" if dtype == "float16" else dtype
        self.spatial = op.spatial
        self.images, self.channels, self.filters = x[0], x[1], y[1]
        self.extents, self.out, self.kernel = x[2:], y[2:], w[2:]
        self.groups = op.groups
        self.taken, self.made = x[1] // op.groups, y[1] // op.groups
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, op.dilation, strict=True)]
        self.before = tuple(conv_pads(b, span)[0] for b, span in zip(op.borders, spans, strict=True))
        self.reach = tuple((o - 1) * s + span for o, s, span in zip(self.out, op.strides, spans, strict=True))
        self.order = (0, *range(2, 2 + self.spatial), 1)
        self.inner = self.taken * math.prod(self.kernel)
        self.pointwise = set(self.kernel) | set(op.strides) == {1} and not any(self.before) and self.out == self.extents
        # Along a single channel windows have no long pieces, so what stands at one place of all of them is a row.
        self.across = self.channels == 1 and op.strides[-1] == 1 and self.out[-1] > self.kernel[-1]

    # --- operands -----------------------------------------------------------------------------------------------------

    def last(self, n: int) -> View:
        """A buffer of images with their channels last, contiguous; others find it so, too."""
        lowering, builder = self.lowering, self.builder
        value = lowering.found(n)
        assert value is not None
        inner = turned(builder, value, self.order)
        view = builder.view(inner)
        if not view.contiguous:
            inner = builder.copied(view)
            view = builder.view(inner)
        view = View(view.storage, view.shape, packed(view.shape), view.offset)
        if not isinstance(value, Turned):
            lowering.values[n] = Turned(Value(view.dtype, view.shape, view=view), self.order, value)
        return view

    def padded(self, n: int) -> View:
        """A buffer of images, channels last, with zeros around them where filters reach further than they do."""
        if not self.is_padded:
            return self.last(n)
        value = self.lowering.found(n)
        assert value is not None
        view = self.builder.view(turned(self.builder, value, self.order))
        wide = self.builder.temporary(self.dtype, (self.images, *self.reach, self.channels))
        self.builder.write(self.zero, wide)
        here, there = self.common(view, wide)
        self.builder.write(Value(self.dtype, here.shape, view=here), there)
        return wide

    @property
    def zero(self) -> Value:
        return Value(self.dtype, (), uniform=np.zeros((), self.dtype)[()])

    @property
    def is_padded(self) -> bool:
        return any(b or r > n for b, r, n in zip(self.before, self.reach, self.extents, strict=True))

    def common(self, view: View, wide: View) -> tuple[View, View]:
        """The parts of images, and of what stands for them with zeros around, that are the same."""
        sizes = [max(0, min(n, r - b)) for n, r, b in zip(self.extents, self.reach, self.before, strict=True)]
        shape = (self.images, *sizes, self.channels)
        start = sum(b * s for b, s in zip(self.before, wide.strides[1:-1], strict=True))
        return View(view.storage, shape, view.strides, view.offset), View(
            wide.storage, shape, wide.strides, wide.offset + start
        )

    def given(self, n: int) -> View:
        """A buffer in memory as it is."""
        value = self.lowering.value(n)
        assert value is not None
        return self.builder.view(value)

    def matrices(self, n: int) -> View:
        """Filters by (group, filter, what stands in a row), contiguous."""
        view = self.given(n)
        flipped = self.flipped(view)
        shape = (self.groups, self.made, *self.kernel, self.taken)
        made, taken, *kernel = flipped.strides
        wide = View(view.storage, shape, (self.made * made, made, *kernel, taken), flipped.offset)
        if not wide.contiguous:
            wide = self.builder.view(self.builder.copied(wide))
        return View(wide.storage, (self.groups, self.made, self.inner), (*packed(shape)[:2], 1), wide.offset)

    def filters_of(self, sums: View) -> Value:
        """Filters from matrices by (group, what stands in a row, filter)."""
        *kernel, channel, _ = packed((*self.kernel, self.taken, self.made))
        shape = (self.groups, self.made, self.taken, *self.kernel)
        view = View(sums.storage, shape[1:], (1, channel, *kernel))
        flipped = self.flipped(view)
        if self.groups == 1:
            return self.builder.cast(self.dtype, Value(sums.dtype, flipped.shape, view=flipped))
        wide = View(sums.storage, shape, (sums.strides[0], *flipped.strides), flipped.offset)
        found = self.builder.cast(self.dtype, Value(sums.dtype, shape, view=wide))
        return self.builder.reshape(found, (self.filters, *shape[2:]))

    def flipped(self, filters: View) -> View:
        """Filters turned round where the operation asks for it; a view."""
        if not self.op.flip:
            return filters
        offset = filters.offset + sum((n - 1) * s for n, s in zip(filters.shape[2:], filters.strides[2:], strict=True))
        strides = (*filters.strides[:2], *(-s for s in filters.strides[2:]))
        return View(filters.storage, filters.shape, strides, offset)

    def flat(self, view: View) -> View:
        """A tensor with channels or filters last as matrices (group, place, channel)."""
        width = view.shape[-1] // self.groups
        places = math.prod(view.shape[:-1])
        return View(view.storage, (self.groups, places, width), (width, view.shape[-1], 1), view.offset)

    # --- tiles --------------------------------------------------------------------------------------------------------

    def tiled(self, make: Callable[[Tile], Sequence[Any]], sums: int = 0, overlap: bool = False) -> None:
        """Go through all images and positions, ``make`` says by which steps for a tile of them.

        Where all tiles add to the same memory, there are ``sums`` copies of it; ``overlap``: those of one image do.
        """
        self.sums = sums
        launched = self.lowering.launched
        self.parts = sums or (1 if launched else min(PARTS, _threads()))
        tile = LAUNCHED_TILE if launched else TILE
        item = np.dtype(self.dtype).itemsize
        line = max(1, self.groups * self.inner * math.prod(self.out[1:]) * item)
        rows = max(1, min(self.out[0], tile // line))
        if rows == self.out[0]:
            images = max(1, min(self.images, tile // (line * rows)))
            images = -(-self.images // -(-self.images // images))  # as even as can be
            whole, rest = divmod(self.images, images)
            self._repeat(whole, make(Tile(self, images, self.out[0], 0, 0, (images,), (0,))))
            if rest:
                self._repeat(1, make(Tile(self, rest, self.out[0], whole * images, 0, (0,), (0,))))
            return
        whole, rest = divmod(self.out[0], rows)
        if self.images == 1 and not overlap:
            self._repeat(whole, make(Tile(self, 1, rows, 0, 0, (0,), (rows,))))
            if rest:
                self._repeat(1, make(Tile(self, 1, rest, 0, whole * rows, (0,), (0,))))
            return
        body: list[Any] = [Rounds(whole, make(Tile(self, 1, rows, 0, 0, (1, 0), (0, rows))))]
        if rest:
            body += make(Tile(self, 1, rest, 0, whole * rows, (1,), (0,)))
        self._repeat(self.images, body)

    def _repeat(self, count: int, body: Sequence[Any]) -> None:
        self.builder.append(Rounds(count, body, min(count, self.parts), bool(self.sums)))


class Tile:
    """Some images, or some rows of positions of one, in one of the rounds.

    Parameters
    ----------
    windows
        What it is a part of.
    images, rows
        How many images and how many rows of positions it has.
    image, row
        The first of them in the first round.
    image_steps, row_steps
        How far the first of them moves on, for each repetition.
    """

    def __init__(
        self, windows: Windows, images: int, rows: int, image: int, row: int, image_steps: Shape, row_steps: Shape
    ) -> None:
        self.windows = windows
        self.images = images
        self.out = (rows, *windows.out[1:])
        self.image, self.row = image, row
        self.image_steps, self.row_steps = image_steps, row_steps
        self.places = images * math.prod(self.out)
        self.index = len(windows.builder.steps)

    def part(self, base: View, shape: Shape, strides: Shape, image: int, row: int) -> View:
        """A part of a tensor whose images and rows of positions are so far from each other."""
        steps = tuple(i * image + r * row for i, r in zip(self.image_steps, self.row_steps, strict=True))
        return Moving(base.storage, shape, strides, base.offset + self.image * image + self.row * row, steps)

    def stay(self, base: View, part: int = 0, lasting: bool = True) -> View:
        """A view that is the same in all rounds of a part."""
        steps = (0,) * len(self.image_steps)
        return Moving(base.storage, base.shape, base.strides, base.offset, steps, part, lasting)

    def output(self, y: View) -> View:
        """The output as matrices (group, place, filter)."""
        w = self.windows
        return self.part(y, (w.groups, self.places, w.made), (w.made, y.strides[-2], 1), y.strides[0], y.strides[1])

    def patches(self, x: View, axes: tuple[int, ...]) -> tuple[View, Shape]:
        """What filters meet in images, by (group, image, position …, element …, channel), in another order of axes."""
        w = self.windows
        batch, *space, channel = x.strides
        across = [s * n for s, n in zip(space, w.op.strides, strict=True)]
        within = [s * n for s, n in zip(space, w.op.dilation, strict=True)]
        shape = (w.groups, self.images, *self.out, *w.kernel, w.taken)
        strides = (w.taken * channel, batch, *across, *within, channel)
        view = self.part(x, tuple(shape[a] for a in axes), tuple(strides[a] for a in axes), batch, across[0])
        return view, shape

    def columns(self, dtype: str) -> tuple[View, View, tuple[int, ...]]:
        """Memory for patches: with its axes in the order that memory has, as matrices, and that order of axes."""
        w = self.windows
        shape = (w.groups, self.images, *self.out, *w.kernel, w.taken)
        places, elements = range(1, 2 + w.spatial), range(2 + w.spatial, len(shape))
        axes = (0, *elements, *places) if w.across else tuple(range(len(shape)))
        size = self.places * w.inner
        room = w.builder.temporary(dtype, (w.parts, w.groups * size))
        inner = tuple(shape[a] for a in axes)
        memory = View(room.storage, inner, packed(inner))
        strides = (size, 1, self.places) if w.across else (size, w.inner, 1)
        return (
            self.stay(memory, w.groups * size, False),
            self.stay(View(memory.storage, (w.groups, self.places, w.inner), strides), w.groups * size, False),
            axes,
        )

    def gather(self, x: View) -> tuple[Group, View]:
        """The step that copies patches, and the matrices that it makes of them."""
        memory, matrix, axes = self.columns(self.windows.dtype)
        source, _ = self.patches(x, axes)
        group = Group(self.index, source.shape)
        node = group.load(source, source.strides)
        group.store(node, memory, memory.strides)
        return group, matrix

    def product(self, x: View, y: View, out: View, beta: float = 0.0) -> Product:
        out.storage.writer = max(out.storage.writer, self.index)
        return Product(x, y, out, 1.0, beta)


def transposed(view: View) -> View:
    """Matrices with rows for columns."""
    stack, rows, columns = view.shape
    strides = (view.strides[0], view.strides[2], view.strides[1])
    shape = (stack, columns, rows)
    if isinstance(view, Moving):
        return Moving(view.storage, shape, strides, view.offset, view.steps, view.part, view.lasting)
    return View(view.storage, shape, strides, view.offset)


def _threads() -> int:
    """How many threads there may be, for the memory that they need."""
    if config.threads:
        return config.threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
