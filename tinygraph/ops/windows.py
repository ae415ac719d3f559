"""Windows that slide along an axis: how many there are, and which elements they meet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Patches", "span"]

#: Bytes of patches that are made at a time, measured: more leave the cache, fewer keep the matrix product from its
#: speed. So the memory that is needed depends neither on the batch nor on the size of the images.
_TILE = 3 << 19


def span(offset: int, stride: int, pad: int, extent: int, windows: int) -> tuple[slice, slice]:
    """The windows whose element ``offset`` lies in the array, and where that element of each lies.

    Parameters
    ----------
    offset
        Position in the window.
    stride
        Distance of neighbouring windows.
    pad
        How far the first window begins before the array.
    extent, windows
        Number of elements of the array, and of windows.

    >>> span(0, 2, 1, 5, 3), span(2, 2, 1, 5, 3)
    ((slice(1, 3, None), slice(1, 4, 2)), (slice(0, 2, None), slice(1, 4, 2)))
    """
    first = max(0, -((offset - pad) // stride))
    last = min(windows, (extent - 1 + pad - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset - pad
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)


class Patches(NamedTuple):
    """The patches of a batch of images that a kernel meets, as columns of a matrix, and back.

    The images are handled in tiles: some images, or some rows of one. In a tile the batch is the last axis, so that
    what is copied or added lies side by side in memory, however small the images are.

    Parameters
    ----------
    image
        Shape of the images: channels, then the spatial extents.
    kernel, out
        Spatial extents of the kernel, and of its positions.
    pads
        How far the first position begins before the image, for each axis.
    strides, dilation
        Distances of neighbouring positions, and of neighbouring elements of the kernel.
    filters
        How many numbers belong to each position elsewhere, for the size of tiles.
    """

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    out: tuple[int, ...]
    pads: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    filters: int

    def tiles(self, batch: int, itemsize: int) -> Iterator[tuple[slice, slice]]:
        """Slices of the batch and of the first axis of positions, which together cover everything once."""
        position = max(1, self.image[0] * math.prod(self.kernel), self.filters) * itemsize
        row = position * math.prod(self.out[1:])
        rows = min(self.out[0], max(1, _TILE // row))
        images = max(1, _TILE // (row * self.out[0])) if rows == self.out[0] else 1
        for first in range(0, batch, images):
            for top in range(0, self.out[0], rows):
                yield slice(first, min(first + images, batch)), slice(top, min(top + rows, self.out[0]))

    def _spans(self, rows: slice) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
        """For each element of the kernel the positions, among ``rows``, at which it lies in the image, and where."""
        top = rows.start * self.strides[0]
        pads = (self.pads[0] - top, *self.pads[1:])
        out = (rows.stop - rows.start, *self.out[1:])
        axes = [
            [span(i * self.dilation[axis], self.strides[axis], pads[axis], n, out[axis]) for i in range(size)]
            for axis, (n, size) in enumerate(zip(self.image[1:], self.kernel, strict=True))
        ]
        for element in itertools.product(*map(range, self.kernel)):
            pairs = [axes[axis][i] for axis, i in enumerate(element)]
            yield element, tuple(positions for positions, _ in pairs), tuple(places for _, places in pairs)

    def gather(self, xp: Any, images: Any, rows: slice) -> Any:
        """The patches of some images: (channels, kernel, positions, images); zero where they leave the image."""
        shape = self._shape(rows, len(images))
        images = xp.ascontiguousarray(xp.moveaxis(images, 0, -1))
        patches = (xp.empty if self._inside() else xp.zeros)(shape, images.dtype)
        for element, positions, places in self._spans(rows):
            patches[(slice(None), *element, *positions)] = images[(slice(None), *places)]
        return patches

    def _shape(self, rows: slice, images: int) -> tuple[int, ...]:
        return (self.image[0], *self.kernel, rows.stop - rows.start, *self.out[1:], images)

    def _inside(self) -> bool:
        """True where no patch leaves the image."""
        return not any(self.pads) and all(
            (n - 1) * stride + (size - 1) * gap < extent
            for n, stride, size, gap, extent in zip(
                self.out, self.strides, self.kernel, self.dilation, self.image[1:], strict=True
            )
        )

    def scatter_add(self, xp: Any, patches: Any, images: Any, rows: slice) -> None:
        """Add patches, as ``gather`` makes them, to the places in zeros that they were taken from."""
        patches = patches.reshape(self._shape(rows, len(images)))
        target = xp.moveaxis(images, 0, -1)
        sums = target if len(images) == 1 else xp.zeros(target.shape, target.dtype)
        for element, positions, places in self._spans(rows):
            sums[(slice(None), *places)] += patches[(slice(None), *element, *positions)]
        if sums is not target:
            target[...] = sums
