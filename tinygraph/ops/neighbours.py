"""Neighbourhoods of images as the rows of a matrix, and back."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.axes import located
from tinygraph.ops.conv_arguments import steps
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.creation import arange, zeros
from tinygraph.ops.inc_subtensor import set_subtensor
from tinygraph.ops.indexing import subtensor, take
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.pieces import concatenate
from tinygraph.ops.scalar import add, maximum
from tinygraph.ops.shape import as_shape, as_size, extent, extents, reshape, specify_shape

__all__ = ["images2neibs", "neibs2images"]

_MODES = ("valid", "ignore_borders", "wrap_centered", "half", "full")


def images2neibs(ten4: Any, neib_shape: Any, neib_step: Any = None, mode: str = "valid") -> Any:
    """Neighbourhoods of images, each as a row of a matrix.

    Parameters
    ----------
    ten4
        Images, (batch, channels, rows, columns).
    neib_shape
        Extents of a neighbourhood, (rows, columns), known when the graph is built.
    neib_step
        Distance of neighbouring ones, (rows, columns); by default ``neib_shape``: they do not overlap.
    mode
        ``"valid"``: the neighbourhoods end exactly where the image does; ``"ignore_borders"``: what is left over at
        the end is left out; ``"half"`` and ``"full"``: as ``"valid"``, with half the extents of a neighbourhood, or
        all but one element, of zeros around the image; ``"wrap_centered"``: one around each element, or around every
        ``neib_step``-th; what leaves the image enters it at the other side.

    Returns
    -------
    matrix
        One row for each neighbourhood, in the order of images, channels, rows and columns; its elements in C order.

    Raises
    ------
    ShapeError
        If neighbourhoods do not fit into the image; at run time, where its extents are unknown before.
    DtypeError
        For an unknown mode.

    >>> import tinygraph.tensor as T
    >>> images = T.reshape(T.arange(8), (1, 1, 2, 4))
    >>> T.nnet.neighbours.images2neibs(images, (2, 2)).eval()
    array([[0, 1, 4, 5],
           [2, 3, 6, 7]])
    """
    op = "images2neibs"
    x = as_tensor(ten4)
    if x.ndim != 4:
        raise located(
            ShapeError("images have 4 dimensions", expected="(batch, channels, rows, columns)", actual=str(x.type)), op
        )
    if mode not in _MODES:
        raise located(DtypeError(f"there is no mode {mode!r}", expected=", ".join(_MODES), actual=repr(mode)), op)
    sizes = steps(neib_shape, 2, "neib_shape", op)
    distances = sizes if neib_step is None else steps(neib_step, 2, "neib_step", op)
    for axis, size, step in zip((2, 4), sizes, distances, strict=True):
        x = _windows(_bordered(x, axis, size, mode), axis, size, step, mode in ("valid", "half", "full"))
    batch, channels, rows, height, columns, width = extents(x)
    x = DimShuffle((0, 1, 2, 4, 3, 5))(x)
    return reshape(x, (batch * channels * rows * columns, height * width))


def _bordered(x: Any, axis: int, size: int, mode: str) -> Any:
    """``x`` with what its mode puts before and behind an axis."""
    if mode in ("valid", "ignore_borders"):
        return x
    if mode == "wrap_centered":
        if size % 2 == 0:
            raise located(
                ShapeError("wrap_centered needs a middle", expected="odd extents", actual=f"{size} along axis {axis}"),
                "images2neibs",
            )
        x = _fitting(x, axis, size, 1, True)
        if size == 1:
            return x
        first, last = (
            subtensor(x, (slice(None),) * axis + (end,)) for end in (slice(size // 2), slice(-(size // 2), None))
        )
        return concatenate([last, x, first], axis=axis)
    sizes = extents(x)
    border = zeros((*sizes[:axis], size // 2 if mode == "half" else size - 1, *sizes[axis + 1 :]), x.dtype)
    return concatenate([border, x, border], axis=axis)


def _fitting(x: Any, axis: int, size: int, step: int, exact: bool) -> Any:
    """``x``, on whose axis a neighbourhood fits and, if ``exact``, the last one ends where the axis does."""
    n = x.type.shape[axis]
    if n is None:
        n = extent(x, axis)
        wanted = maximum(n, size)
        if exact:
            wanted = wanted - (wanted - size) % step
        return specify_shape(x, tuple(wanted if i == axis else None for i in range(x.ndim)))
    if n < size or (exact and (n - size) % step):
        raise located(
            ShapeError(
                f"neighbourhoods of {size} elements, {step} apart, do not fit {n}",
                expected=f"{size} elements" + (f", or a multiple of {step} more" if exact else " or more"),
                actual=f"{n} along axis {axis}, borders included",
                hint="mode='ignore_borders' leaves out what is left over" if n > size else "",
            ),
            "images2neibs",
        )
    return x


def _windows(x: Any, axis: int, size: int, step: int, exact: bool) -> Any:
    """``x`` with an axis of neighbourhoods and one of their elements in place of one axis."""
    x = _fitting(x, axis, size, step, exact)
    count = (extent(x, axis) - size) // step + 1
    if size != step:
        starts = DimShuffle((0, "x"))(arange(count) * step)
        return take(x, add(starts, arange(size)), axis=axis)
    sizes = extents(x)
    covered = subtensor(x, (slice(None),) * axis + (slice(count * size),))
    return reshape(covered, (*sizes[:axis], count, size, *sizes[axis + 1 :]))


def neibs2images(neibs: Any, neib_shape: Any, original_shape: Any, mode: str = "valid") -> Any:
    """Images from their neighbourhoods: the inverse of ``images2neibs`` for neighbourhoods that do not overlap.

    Parameters
    ----------
    neibs
        A matrix with one row for each neighbourhood, as ``images2neibs`` gives it.
    neib_shape
        Extents of a neighbourhood, (rows, columns), known when the graph is built.
    original_shape
        Shape of the images, (batch, channels, rows, columns); it may be symbolic.
    mode
        ``"valid"``, or ``"ignore_borders"``, where what neighbourhoods do not cover is zero.

    Raises
    ------
    ShapeError
        If images of this shape have other neighbourhoods.
    DtypeError
        For another mode.

    >>> import tinygraph.tensor as T
    >>> T.nnet.neighbours.neibs2images([[0, 1, 4, 5], [2, 3, 6, 7]], (2, 2), (1, 1, 2, 4)).eval()
    array([[[[0, 1, 2, 3],
             [4, 5, 6, 7]]]])
    """
    op = "neibs2images"
    if mode not in ("valid", "ignore_borders"):
        raise located(
            DtypeError(f"there is no mode {mode!r}", expected="valid or ignore_borders", actual=repr(mode)), op
        )
    height, width = steps(neib_shape, 2, "neib_shape", op)
    shape = as_shape(original_shape, op, 4)
    batch, channels, rows, columns = (as_size(subtensor(shape, i), op) for i in range(4))
    down, across = rows // height, columns // width
    x = reshape(as_tensor(neibs), (batch, channels, down, across, height, width))
    x = DimShuffle((0, 1, 2, 4, 3, 5))(x)
    if mode == "valid":
        return reshape(x, shape)
    x = reshape(x, (batch, channels, down * height, across * width))
    blank = zeros((batch, channels, rows, columns), x.dtype)
    return set_subtensor(subtensor(blank, (..., slice(down * height), slice(across * width))), x)
