"""Grids of coordinates, written as slices."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_operands
from tinygraph.ops.creation import arange, linspace
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle
from tinygraph.ops.shape import as_shape

__all__ = ["Grid", "mgrid", "ogrid"]


class Grid:
    """Coordinates of the points of a grid, one tensor for each axis.

    ``mgrid[0:5, 0:3]`` is a list of two tensors of shape (5, 3), which hold the row and the column of each point;
    ``ogrid[0:5, 0:3]`` holds the same numbers in tensors of shapes (5, 1) and (1, 3), which broadcast. Bounds and steps
    may be symbolic scalars; an imaginary step is a number of points, of which the last is the upper bound. A single
    slice gives a single vector. As in NumPy all coordinates have one dtype.

    Raises
    ------
    DtypeError
        For anything but slices with an upper bound.

    >>> import tinygraph.tensor as T
    >>> [g.eval().tolist() for g in T.mgrid[0:2, 5:8]]
    [[[0, 0, 0], [1, 1, 1]], [[5, 6, 7], [5, 6, 7]]]
    >>> [g.eval().tolist() for g in T.ogrid[0:2, 0:1:3j]]
    [[[0.0], [1.0]], [[0.0, 0.5, 1.0]]]
    """

    def __init__(self, name: str, sparse: bool) -> None:
        self._name = name
        self._sparse = sparse

    def __repr__(self) -> str:
        return self._name

    def __getitem__(self, slices: Any) -> Any:
        if isinstance(slices, slice):
            return self._points(slices)
        points, _ = as_operands([self._points(part) for part in (slices if isinstance(slices, tuple) else (slices,))])
        axes = range(len(points))
        grid = [DimShuffle(tuple(0 if i == axis else "x" for i in axes))(p) for axis, p in enumerate(points)]
        if self._sparse:
            return grid
        shape = as_shape([AxisExtent(0)(p) for p in points], self._name)
        return [BroadcastTo()(g, shape) for g in grid]

    def _points(self, part: Any) -> Any:
        if not isinstance(part, slice) or part.stop is None:
            raise located(
                DtypeError("a grid is made of slices", expected="from:to:step", actual=repr(part)), self._name
            )
        start = 0 if part.start is None else part.start
        if isinstance(part.step, complex):
            return linspace(start, part.stop, int(abs(part.step)))
        return arange(start, part.stop, 1 if part.step is None else part.step)


mgrid = Grid("mgrid", sparse=False)
ogrid = Grid("ogrid", sparse=True)
