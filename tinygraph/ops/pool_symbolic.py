"""Pooling in windows whose extents are known only when the function runs, put together from other operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.graph import Variable
from tinygraph.ops.axes import located, wide_dtype
from tinygraph.ops.checks import Assert
from tinygraph.ops.conv_arguments import steps
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.creation import arange
from tinygraph.ops.gradient import consider_constant
from tinygraph.ops.indexing import subtensor, take
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.reduce import max as largest
from tinygraph.ops.reduce import sum as total
from tinygraph.ops.scalar import and_, clip, eq, ge, int_div, lt, maximum, mul, switch, true_div
from tinygraph.ops.shape import as_shape, as_size, extent

__all__ = ["is_symbolic", "pooled", "sizes"]


def is_symbolic(given: Any) -> bool:
    """True for numbers, one for each axis or one for all, of which some are not known yet."""
    entries = given if isinstance(given, (tuple, list)) else (given,)
    known = [entry.abstract.value for entry in entries if isinstance(entry, Variable)]
    return any(value is None or (isinstance(value, tuple) and None in value) for value in known)


def sizes(given: Any, spatial: int, what: str, op: str, least: int = 1) -> Sequence[Any]:
    """One number for each spatial axis, an int or a 0-d int64 variable."""
    if not is_symbolic(given):
        return steps(given, spatial, what, op, least)
    if isinstance(given, (tuple, list)):
        if len(given) != spatial:
            raise located(
                ShapeError(f"{what} needs one integer for each spatial axis", expected=f"{spatial}", actual=f"{given}"),
                op,
            )
        return [as_size(n, op) for n in given]
    if given.ndim == 0:
        return [as_size(given, op)] * spatial
    vector = as_shape(given, op, spatial)
    return [as_size(subtensor(vector, i), op) for i in range(spatial)]


def pooled(x: Any, windows: Sequence[Any], strides: Sequence[Any], pads: Sequence[Any], whole: bool, mode: str) -> Any:
    """The last axes of ``x`` pooled; ``whole`` leaves out windows that are not wholly inside."""
    first = x.ndim - len(windows)
    axes = list(enumerate(zip(windows, strides, pads, strict=True), first))
    if mode == "max":
        for axis, how in axes:
            part, inside = _parts(x, axis, *how, whole)
            # What stands for an element that is not there repeats one that is, and carries no gradient.
            x = largest(switch(inside, part, consider_constant(part)), axis + 1)
        return x
    y = cast(x, wide_dtype(x.dtype))
    size: Any = 1
    for axis, how in axes:
        part, inside = _parts(y, axis, *how, whole)
        y = total(switch(inside, part, 0), axis + 1)
        counted = how[0] if whole and mode == "average_inc_pad" else total(inside, 1)
        size = mul(size, counted)
    return y if mode == "sum" else true_div(y, cast(size, y.dtype))


def _parts(x: Any, axis: int, window: Any, stride: Any, pad: Any, whole: bool) -> tuple[Any, Any]:
    """An axis as two, windows and their elements; and which of these are elements of ``x``.

    For others the nearest of their window stands in.
    """
    sound = and_(and_(ge(window, 1), ge(stride, 1)), and_(ge(pad, 0), lt(pad, window)))
    sound = sound if whole else and_(sound, eq(pad, 0))
    stride = Assert(
        "pooling needs windows and strides of at least 1, padding less than the window, and ignore_border=True for it"
    )(as_tensor(stride), sound)
    n = extent(x, axis)
    room = n + 2 * pad - window
    if whole:
        count = maximum(int_div(room, stride) + 1, 0)
    else:
        count = switch(ge(stride, window), int_div(n - 1, stride), maximum(int_div(room - 1, stride) + 1, 0)) + 1
    starts = DimShuffle((0, "x"))(arange(count) * stride - pad)
    places = starts + DimShuffle(("x", 0))(arange(window))
    inside = and_(ge(places, 0), lt(places, n))
    part = take(x, clip(places, 0, n - 1), axis)
    return part, DimShuffle((0, 1, *["x"] * (x.ndim - 1 - axis)))(inside)
