"""Diagonals, identity matrices and triangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.config import config
from tinygraph.errors import ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import located, one_axis
from tinygraph.ops.convert import as_tensor, cast, constant
from tinygraph.ops.creation import arange
from tinygraph.ops.layout import DimShuffle, ints
from tinygraph.ops.scalar import add, eq, ge, sub, switch
from tinygraph.ops.shape import as_shape, as_size, extent, known_size
from tinygraph.types import Abstract, Extent, TensorType

__all__ = ["diag", "diagonal", "eye", "identity_like", "tri", "tril", "triu"]

Vjp = Sequence[Any]

# --- diagonals ----------------------------------------------------------------------------------------------------


class Diagonal(Op):
    """The elements ``[i, i + offset]`` of two axes, along a new last axis."""

    offset: int
    axis1: int
    axis2: int

    view = True
    structural = True

    def infer(self, x: Abstract) -> TensorType:
        rest = [n for axis, n in enumerate(x.shape) if axis not in (self.axis1, self.axis2)]
        return x.type.with_shape((*rest, _diagonal_length(x.shape[self.axis1], x.shape[self.axis2], self.offset)))

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.diagonal(x, self.offset, self.axis1, self.axis2)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,) = inputs
        extents = as_shape((extent(x, self.axis1), extent(x, self.axis2)), "diagonal")
        return [PlaceDiagonal(self.offset, self.axis1, self.axis2)(cotangents[0], extents)]


class PlaceDiagonal(Op):
    """Zeros but for the values, which stand at ``[i, i + offset]`` of two axes; their extents are the second input."""

    offset: int
    axis1: int
    axis2: int

    structural = True
    host = (1,)

    @property
    def name(self) -> str:
        return "diag"

    def infer(self, values: Abstract, extents: Abstract) -> TensorType:
        rows, columns = extents.extents()
        length = _diagonal_length(rows, columns, self.offset)
        if length is not None and values.shape[-1] not in (None, length):
            raise ShapeError(
                "the values do not fit the diagonal", expected=f"{length} values", actual=f"{values.shape[-1]}"
            )
        rest = list(values.shape[:-1])
        for axis, n in sorted(((self.axis1, rows), (self.axis2, columns))):
            rest.insert(axis, n)
        return values.type.with_shape(rest)

    def compute(self, xp: Any, values: Any, extents: Any) -> Any:
        out = xp.zeros(values.shape[:-1] + ints(extents), dtype=values.dtype)
        i = xp.arange(values.shape[-1])
        out[..., i + max(-self.offset, 0), i + max(self.offset, 0)] = values
        return xp.moveaxis(out, (-2, -1), (self.axis1, self.axis2))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [Diagonal(self.offset, self.axis1, self.axis2)(cotangents[0]), None]


def _diagonal_length(rows: Extent, columns: Extent, offset: int) -> Extent:
    if rows is None or columns is None:
        return None
    return max(0, min(rows + min(offset, 0), columns - max(offset, 0)))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of the matrices that two axes of ``a`` span, as a view; other axes come first in the result.

    Parameters
    ----------
    a
        A tensor of at least 2 dimensions.
    offset
        0 for the main diagonal, positive above it, negative below.
    axis1, axis2
        Rows and columns of the matrices.

    Raises
    ------
    ShapeError
        If ``a`` has fewer than two dimensions, or the axes are the same.

    >>> import tinygraph.tensor as T
    >>> T.diagonal(T.arange(6).reshape((2, 3)), offset=1).eval().tolist()
    [1, 5]
    """
    a = as_tensor(a)
    first, second = one_axis(axis1, a.ndim, "diagonal"), one_axis(axis2, a.ndim, "diagonal")
    if first == second:
        raise located(
            ShapeError("a diagonal needs two different axes", actual=f"axis {axis1} and axis {axis2}"), "diagonal"
        )
    return Diagonal(known_size(offset, "diagonal"), first, second)(a)


def diag(v: Any, k: int = 0) -> Any:
    """A square matrix with the vector ``v`` on its ``k``-th diagonal; or, of a matrix, its ``k``-th diagonal.

    >>> import tinygraph.tensor as T
    >>> T.diag([1, 2]).eval().tolist(), T.diag([[1, 2], [3, 4]]).eval().tolist()
    ([[1, 0], [0, 2]], [1, 4])
    """
    v = as_tensor(v)
    if v.ndim != 1:
        return diagonal(v, k)
    offset = known_size(k, "diag")
    n = extent(v, 0) + abs(offset)
    return PlaceDiagonal(offset, 0, 1)(v, as_shape((n, n), "diag"))


# --- matrices of ones and zeros -----------------------------------------------------------------------------------


def _diagonals(n: Any, m: Any, k: Any, op: str) -> tuple[Any, Any]:
    """The numbers of the rows, shifted by ``k``, as a column, and those of the columns as a vector."""
    rows = as_size(n, op)
    columns = rows if m is None else as_size(m, op)
    return add(DimShuffle((0, "x"))(arange(rows)), as_size(k, op)), arange(columns)


def eye(n: Any, m: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    """A matrix with ones on a diagonal and zeros elsewhere.

    Parameters
    ----------
    n, m
        Numbers of rows and of columns; by default as many columns as rows.
    k
        The diagonal: 0 for the main one, positive above it.
    dtype
        By default ``config.floatX``.

    >>> import tinygraph.tensor as T
    >>> T.eye(2, 3, 1).eval().tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    rows, columns = _diagonals(n, m, k, "eye")
    return cast(eq(rows, columns), dtype or config.floatX)


def identity_like(x: Any) -> Any:
    """``eye`` with the extents and dtype of the matrix ``x``."""
    x = as_tensor(x)
    if x.ndim != 2:
        raise located(
            ShapeError("identity_like needs a matrix", expected="2 dimensions", actual=str(x.type)), "identity_like"
        )
    return eye(extent(x, 0), extent(x, 1), dtype=x.dtype)


def tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Any:
    """An ``N`` by ``M`` matrix with ones on and below the ``k``-th diagonal and zeros above; arguments as for ``eye``.

    >>> import tinygraph.tensor as T
    >>> T.tri(2, 3, dtype="int64").eval().tolist()
    [[1, 0, 0], [1, 1, 0]]
    """
    rows, columns = _diagonals(N, M, k, "tri")
    return cast(ge(rows, columns), dtype or config.floatX)


def tril(m: Any, k: Any = 0) -> Any:
    """The matrices in the last two axes of ``m`` with zeros above the ``k``-th diagonal.

    >>> import tinygraph.tensor as T
    >>> T.tril([[1, 2], [3, 4]]).eval().tolist()
    [[1, 0], [3, 4]]
    """
    m = _as_matrices(m, "tril")
    return switch(tri(extent(m, -2), extent(m, -1), k, "bool"), m, constant(0, dtype=m.dtype))


def triu(m: Any, k: Any = 0) -> Any:
    """The matrices in the last two axes of ``m`` with zeros below the ``k``-th diagonal.

    >>> import tinygraph.tensor as T
    >>> T.triu([[1, 2], [3, 4]]).eval().tolist()
    [[1, 2], [0, 4]]
    """
    m = _as_matrices(m, "triu")
    below = tri(extent(m, -2), extent(m, -1), sub(as_size(k, "triu"), 1), "bool")
    return switch(below, constant(0, dtype=m.dtype), m)


def _as_matrices(m: Any, op: str) -> Any:
    m = as_tensor(m)
    if m.ndim < 2:
        raise located(ShapeError("a triangle needs a matrix", expected="at least 2 dimensions", actual=str(m.type)), op)
    return m
