"""Axis arguments in every form that users write them, made into sorted tuples of plain ints."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError, TinygraphError
from tinygraph.graph import Constant, Variable
from tinygraph.graph.provenance import capture
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.layout import AxisExtent, DimShuffle, Reshape, Shape
from tinygraph.ops.scalar import mul
from tinygraph.types import Extent, is_float

__all__ = [
    "axis_indices",
    "element_count",
    "flat",
    "located",
    "merge_axes",
    "one_axis",
    "reduced_shape",
    "restore_axes",
    "wide_dtype",
]


def located(err: TinygraphError, op: str) -> TinygraphError:
    """The error with the operation's name and the user's lines, for arguments that no Apply node sees."""
    err.locate(op, (), capture().trace())
    return err


def axis_indices(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """The axes that ``axis`` means for a tensor of ``ndim`` dimensions, in ascending order.

    Parameters
    ----------
    axis
        None for all, an integer, or a sequence of integers; negative ones count from the end. NumPy integers, integer
        arrays and symbolic constants are read like Python's.
    ndim
        Number of dimensions.
    op
        Name of the operation, for errors.

    Raises
    ------
    ShapeError
        If there is no such axis, or one is named twice.
    DtypeError
        If an axis is no integer, or is not known when the graph is built.

    >>> axis_indices(None, 2, "sum"), axis_indices(-1, 2, "sum"), axis_indices([1, 0], 2, "sum")
    ((0, 1), (1,), (0, 1))
    """
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, Constant):
        axis = axis.data
    if getattr(axis, "ndim", 0):
        axis = tuple(axis) if not isinstance(axis, Variable) else (axis,)
    items = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [_index(item, ndim, op) for item in items]
    if len(set(axes)) < len(axes):
        raise located(ShapeError("an axis is named twice", expected="different axes", actual=str(axis)), op)
    return tuple(sorted(axes))


def _index(axis: Any, ndim: int, op: str) -> int:
    if isinstance(axis, Constant):
        axis = axis.data
    if isinstance(axis, (Variable, bool)):
        number = None
    else:
        try:
            number = operator.index(axis)
        except TypeError:
            number = None
    if number is None:
        raise located(
            DtypeError(
                "an axis is an integer that is known when the graph is built",
                expected="None, an integer or a tuple of integers",
                actual=f"{axis!r} of {type(axis).__name__}",
            ),
            op,
        )
    if not -ndim <= number < ndim:
        raise located(
            ShapeError(
                f"there is no axis {number} in a tensor of {ndim} dimensions",
                expected=f"{-ndim} to {ndim - 1}" if ndim else "None or an empty tuple for a 0-d tensor",
                actual=str(number),
            ),
            op,
        )
    return number % ndim


def one_axis(axis: Any, ndim: int, op: str) -> int:
    """The single axis that ``axis`` means; errors as for ``axis_indices``."""
    axes = axis_indices(axis, ndim, op)
    if len(axes) != 1:
        raise located(ShapeError("exactly one axis is needed", expected="an integer", actual=str(axis)), op)
    return axes[0]


def reduced_shape(shape: Sequence[Extent], axes: Sequence[int], keepdims: bool) -> tuple[Extent, ...]:
    """The shape that is left of ``shape`` when ``axes`` are reduced.

    >>> reduced_shape((2, None, 4), (0,), True), reduced_shape((2, None, 4), (0, 2), False)
    ((1, None, 4), (None,))
    """
    if keepdims:
        return tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    return tuple(n for axis, n in enumerate(shape) if axis not in axes)


def restore_axes(reduced: Any, axes: Sequence[int], ndim: int) -> Any:
    """A reduced tensor with the axes it lost as axes of extent 1, so that it broadcasts against the original."""
    if reduced.ndim == ndim:
        return reduced
    kept = iter(range(reduced.ndim))
    return DimShuffle(tuple("x" if axis in axes else next(kept) for axis in range(ndim)))(reduced)


def element_count(x: Any, axes: Sequence[int], dtype: str) -> Any:
    """How many elements ``axes`` of ``x`` hold, as a scalar of ``dtype``: a number where the extents are known."""
    extents = [(axis, x.type.shape[axis]) for axis in axes]
    count: Any = math.prod(n for _, n in extents if n is not None)
    for axis, n in extents:
        if n is None:
            extent = AxisExtent(axis)(x)
            count = extent if isinstance(count, int) and count == 1 else mul(extent, count)
    return cast(count, dtype)


def flat(x: Any) -> Any:
    """``x`` in C order as a vector; ``x`` itself where it is one."""
    return x if x.ndim == 1 else Reshape()(x, as_tensor([-1]))


def merge_axes(x: Any, axes: Sequence[int]) -> tuple[Any, Callable[[Any], Any]]:
    """``x`` with ``axes`` made one last axis, and the function that gives a tensor of that shape the shape of ``x``."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    order = (*kept, *axes)
    moved = DimShuffle(order)(x)
    extents = [AxisExtent(axis)(x) if (n := x.type.shape[axis]) is None else n for axis in kept]
    merged = Reshape()(moved, as_tensor([*extents, element_count(x, axes, "int64")]))

    def undo(y: Any) -> Any:
        back = tuple(order.index(axis) for axis in range(x.ndim))
        return DimShuffle(back)(Reshape()(y, Shape()(moved)))

    return merged, undo


def wide_dtype(dtype: str) -> str:
    """The dtype in which elements are added up: bools and small integers in 64 bits, as in NumPy.

    >>> wide_dtype("bool"), wide_dtype("uint8"), wide_dtype("float32")
    ('int64', 'uint64', 'float32')
    """
    if is_float(dtype):
        return dtype
    return "uint64" if dtype[0] == "u" else "int64"
