"""Products of vectors, matrices and tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Composite, Op, services
from tinygraph.ops.axes import flat, located, one_axis
from tinygraph.ops.convert import as_operands
from tinygraph.ops.layout import DimShuffle, sum_to_like
from tinygraph.ops.scalar import mul
from tinygraph.types import Abstract, Extent, TensorType, broadcast_shapes, shape_text

__all__ = ["MatMul", "TensorDot", "batched_dot", "batched_tensordot", "dot", "matmul", "outer", "tensordot"]

Vjp = Sequence[Any]


class MatMul(Op):
    """The product of two matrices, vectors (a row on the left, a column on the right) or stacks of matrices.

    As ``np.matmul``: the axes before the last two are broadcast.
    """

    analytic = True

    def infer(self, x: Abstract, y: Abstract) -> TensorType:
        _check_dtypes(x, y)
        if not x.ndim or not y.ndim:
            raise ShapeError("a matrix product needs at least vectors", actual=f"{x.type} and {y.type}")
        columns, rows = x.shape[-1], y.shape[0 if y.ndim == 1 else -2]
        if _differ(columns, rows):
            left = f"left {'columns' if x.ndim > 1 else 'elements'} {columns}"
            right = f"right {'rows' if y.ndim > 1 else 'elements'} {rows}"
            raise ShapeError(
                f"the inner extents of a matrix product differ: {left}, {right}",
                expected="as many columns on the left as rows on the right",
                actual=f"{shape_text(x.shape)} and {shape_text(y.shape)}",
                hint=_hint(x.shape, y.shape),
            )
        batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
        return TensorType(x.dtype, (*batch, *x.shape[-2:-1], *(y.shape[-1:] if y.ndim > 1 else ())))

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.matmul(x, y)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x, y), (g,) = inputs, cotangents
        if x.ndim == y.ndim == 1:
            return [lambda: mul(g, y), lambda: mul(g, x)]
        if x.ndim == 1 and y.ndim == 2:
            return [lambda: MatMul()(y, g), lambda: _outer(x, g)]
        if x.ndim == 2 and y.ndim == 1:
            return [lambda: _outer(g, y), lambda: MatMul()(_swapped(x), g)]
        # In a stack, a vector takes part as a matrix of one row or column, and so does the cotangent.
        left = _with_axis(x, 0) if x.ndim == 1 else x
        right = _with_axis(y, 1) if y.ndim == 1 else y
        if x.ndim == 1:
            g = _with_axis(g, g.ndim - 1)
        if y.ndim == 1:
            g = _with_axis(g, g.ndim)

        def to_x() -> Any:
            full = MatMul()(g, _swapped(right))
            full = full if y.ndim <= 2 else sum_to_like(full, left)
            return DimShuffle((1,))(full) if x.ndim == 1 else full

        def to_y() -> Any:
            full = MatMul()(_swapped(left), g)
            full = full if x.ndim <= 2 else sum_to_like(full, right)
            return DimShuffle((0,))(full) if y.ndim == 1 else full

        return [to_x, to_y]


def _check_dtypes(x: Abstract, y: Abstract) -> None:
    if x.dtype != y.dtype:
        raise DtypeError("the operands of a product need one dtype", actual=f"{x.dtype} and {y.dtype}")


def _differ(n: Extent, m: Extent) -> bool:
    return n is not None and m is not None and n != m


def _hint(x: Sequence[Extent], y: Sequence[Extent]) -> str:
    """What to transpose so that two shapes fit, if that is all that is wrong."""
    rows = y[0 if len(y) == 1 else -2]
    if len(y) > 1 and x[-1] == y[-1]:
        return f"transpose the right operand: {'.T' if len(y) == 2 else '.swapaxes(-1, -2)'}"
    if len(x) > 1 and x[-2] == rows:
        return f"transpose the left operand: {'.T' if len(x) == 2 else '.swapaxes(-1, -2)'}"
    if len(x) > 1 and len(y) > 1 and x[-2] == y[-1]:
        return "exchange the operands, or transpose both"
    return ""


def _swapped(x: Any) -> Any:
    """A stack of matrices, each transposed."""
    return DimShuffle((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))(x)


def _with_axis(x: Any, position: int) -> Any:
    return DimShuffle((*range(position), "x", *range(position, x.ndim)))(x)


def _outer(x: Any, y: Any) -> Any:
    return mul(_with_axis(x, 1), _with_axis(y, 0))


class TensorDot(Op):
    """Products of two tensors, summed over pairs of axes.

    The result has the shared leading axes, then the other axes of the first tensor, then those of the second.

    Parameters
    ----------
    x_axes, y_axes
        The axes that are summed over, pair by pair.
    batch
        How many leading axes are shared: both tensors have them, and they are neither summed over nor doubled.
    """

    x_axes: tuple[int, ...]
    y_axes: tuple[int, ...]
    batch: int = 0

    analytic = True

    @property
    def name(self) -> str:
        return "tensordot"

    def _free(self, ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(axis for axis in range(self.batch, ndim) if axis not in axes)

    def infer(self, x: Abstract, y: Abstract) -> TensorType:
        _check_dtypes(x, y)
        shared = tuple(range(self.batch))
        for i, j in zip((*shared, *self.x_axes), (*shared, *self.y_axes), strict=True):
            if _differ(x.shape[i], y.shape[j]):
                raise ShapeError(
                    f"axis {i} of the left operand and axis {j} of the right one differ: {x.shape[i]} and {y.shape[j]}",
                    expected="equal extents of the axes that belong together",
                    actual=f"{shape_text(x.shape)} and {shape_text(y.shape)}",
                )
        batch = [y.shape[axis] if x.shape[axis] is None else x.shape[axis] for axis in shared]
        x_free = (x.shape[axis] for axis in self._free(x.ndim, self.x_axes))
        y_free = (y.shape[axis] for axis in self._free(y.ndim, self.y_axes))
        return TensorType(x.dtype, (*batch, *x_free, *y_free))

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        shared = tuple(range(self.batch))
        x_free, y_free = self._free(x.ndim, self.x_axes), self._free(y.ndim, self.y_axes)
        x = xp.transpose(x, (*shared, *x_free, *self.x_axes))
        y = xp.transpose(y, (*shared, *self.y_axes, *y_free))
        x_split, y_split = self.batch + len(x_free), self.batch + len(self.y_axes)
        batch, rows, columns = x.shape[: self.batch], x.shape[self.batch : x_split], y.shape[y_split:]
        inner = math.prod(x.shape[x_split:])
        left = x.reshape((*batch, math.prod(rows), inner))
        right = y.reshape((*batch, inner, math.prod(columns)))
        return xp.matmul(left, right).reshape((*batch, *rows, *columns))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x, y), (g,) = inputs, cotangents
        shared = tuple(range(self.batch))
        x_free, y_free = self._free(x.ndim, self.x_axes), self._free(y.ndim, self.y_axes)
        middle = self.batch + len(x_free)
        g_x, g_y = tuple(range(self.batch, middle)), tuple(range(middle, g.ndim))

        def to_x() -> Any:
            summed = TensorDot(g_y, y_free, self.batch)(g, y)
            behind = [self.x_axes[self.y_axes.index(axis)] for axis in sorted(self.y_axes)]
            return _ordered(summed, (*shared, *x_free, *behind))

        def to_y() -> Any:
            summed = TensorDot(x_free, g_x, self.batch)(x, g)
            before = [self.y_axes[self.x_axes.index(axis)] for axis in sorted(self.x_axes)]
            return _ordered(summed, (*shared, *before, *y_free))

        return [to_x, to_y]


def _ordered(x: Any, axes: tuple[int, ...]) -> Any:
    """``x``, whose axes stand for ``axes``, with these in ascending order."""
    if list(axes) == sorted(axes):
        return x
    return DimShuffle(tuple(axes.index(axis) for axis in range(len(axes))))(x)


def dot(a: Any, b: Any) -> Any:
    """The dot product, as ``np.dot``.

    Parameters
    ----------
    a, b
        Of two vectors the inner product; of matrices, or a matrix and a vector, the matrix product; of a scalar and
        anything the elementwise product. Otherwise the sum of products over the last axis of ``a`` and the second to
        last of ``b`` (the only one of a vector), with the other axes of ``a`` and then of ``b`` in the result.

    Raises
    ------
    ShapeError
        If the axes that are summed over differ; with a hint where a transpose would fit.

    >>> import tinygraph.tensor as T
    >>> x, w = T.matrix("x"), T.vector("w")
    >>> T.dot(x, w).eval({x: [[1, 2], [3, 4]], w: [1, 10]})
    array([21., 43.])
    """
    if isinstance(a, Composite) or isinstance(b, Composite):
        return services.call("sparse_dot", a, b)
    (a, b), _ = as_operands([a, b])
    if a.ndim == 0 or b.ndim == 0:
        return mul(a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return MatMul()(a, b)
    return TensorDot((a.ndim - 1,), (max(b.ndim - 2, 0),))(a, b)


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, as ``np.matmul`` and ``a @ b``.

    Parameters
    ----------
    a, b
        Matrices, vectors, or stacks of matrices, whose axes before the last two are broadcast.

    Raises
    ------
    ShapeError
        If the inner extents differ, the stacks do not broadcast, or an operand is a scalar.

    >>> import tinygraph.tensor as T
    >>> T.matmul(T.tensor("float64", (5, 2, 3)), T.tensor("float64", (3, 4))).type.shape
    (5, 2, 4)
    """
    (a, b), _ = as_operands([a, b])
    if a.ndim > 2 and b.ndim in (1, 2):
        # The same as one product of matrices, whose gradient is one, too.
        return TensorDot((a.ndim - 1,), (0,))(a, b)
    return MatMul()(a, b)


def outer(x: Any, y: Any) -> Any:
    """The matrix of all products of an element of ``x`` with one of ``y``; both are flattened first.

    >>> import tinygraph.tensor as T
    >>> T.outer(T.constant([1, 2]), T.constant([10, 20, 30])).eval()
    array([[10, 20, 30],
           [20, 40, 60]])
    """
    (x, y), _ = as_operands([x, y])
    return _outer(flat(x), flat(y))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Products of two tensors, summed over pairs of axes, as ``np.tensordot``.

    Parameters
    ----------
    a, b
        Tensors of any shape.
    axes
        A number n: the last n axes of ``a`` with the first n of ``b``. Or two axes, or two lists of axes of one length:
        those of ``a``, and those of ``b`` that belong to them.

    The result has the other axes of ``a``, then those of ``b``.

    Raises
    ------
    ShapeError
        If axes that belong together differ in extent, or there are no such axes.

    >>> import tinygraph.tensor as T
    >>> a, b = T.tensor("float64", (3, 4, 5)), T.tensor("float64", (4, 3, 2))
    >>> T.tensordot(a, b, axes=[[1, 0], [0, 1]]).type.shape
    (5, 2)
    """
    (a, b), _ = as_operands([a, b])
    return TensorDot(*_axis_pairs(a.ndim, b.ndim, axes, 0, "tensordot"))(a, b)


def batched_tensordot(x: Any, y: Any, axes: Any = 2) -> Any:
    """``tensordot`` of each ``x[i]`` with ``y[i]``.

    Parameters
    ----------
    x, y
        Tensors whose first axes have one extent.
    axes
        As for ``tensordot``, counted with the first axis, which is not summed over; a number n stands for the last n
        axes of ``x`` and the first n of ``y`` behind the first.

    Raises
    ------
    ShapeError
        If axes that belong together differ in extent, or there are no such axes.

    >>> import tinygraph.tensor as T
    >>> x, y = T.tensor("float64", (7, 3, 4)), T.tensor("float64", (7, 4, 3, 2))
    >>> T.batched_tensordot(x, y, axes=[[1, 2], [2, 1]]).type.shape
    (7, 2)
    """
    (x, y), _ = as_operands([x, y])
    _check_batches(x, y, "batched_tensordot")
    return TensorDot(*_axis_pairs(x.ndim, y.ndim, axes, 1, "batched_tensordot"), 1)(x, y)


def batched_dot(a: Any, b: Any) -> Any:
    """``dot`` of each ``a[i]`` with ``b[i]``, as Theano's: a vector gives a factor for each ``i``.

    Parameters
    ----------
    a, b
        Tensors whose first axes have one extent.

    Raises
    ------
    ShapeError
        If the extents of the first axes or of those that are summed over differ, or an operand is a scalar.

    >>> import tinygraph.tensor as T
    >>> T.batched_dot(T.tensor("float64", (7, 2, 3)), T.tensor("float64", (7, 3, 4))).type.shape
    (7, 2, 4)
    """
    (a, b), _ = as_operands([a, b])
    _check_batches(a, b, "batched_dot")
    if a.ndim == 1 or b.ndim == 1:
        a, b = (DimShuffle((0, *["x"] * (other.ndim - 1)))(v) if v.ndim == 1 else v for v, other in ((a, b), (b, a)))
        return mul(a, b)
    return TensorDot((a.ndim - 1,), (max(1, b.ndim - 2),), 1)(a, b)


def _check_batches(a: Any, b: Any, op: str) -> None:
    if not a.ndim or not b.ndim:
        raise located(
            ShapeError("each operand needs a first axis to run over", actual=f"{a.type} and {b.type}"),
            op,
        )
    n, m = a.type.shape[0], b.type.shape[0]
    if _differ(n, m):
        raise located(
            ShapeError(
                f"the operands hold different numbers of items: {n} and {m}",
                expected="equal extents of the first axes",
                actual=f"{shape_text(a.type.shape)} and {shape_text(b.type.shape)}",
            ),
            op,
        )


def _axis_pairs(a_ndim: int, b_ndim: int, axes: Any, batch: int, op: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of both operands that are summed over together, counted from 0."""
    if hasattr(axes, "tolist"):
        axes = axes.tolist()
    if isinstance(axes, int) and not isinstance(axes, bool):
        if not 0 <= axes <= min(a_ndim, b_ndim) - batch:
            raise located(
                ShapeError(
                    f"cannot sum over {axes} pairs of axes",
                    expected=f"0 to {min(a_ndim, b_ndim) - batch}",
                    actual=f"operands of {a_ndim} and {b_ndim} dimensions",
                ),
                op,
            )
        return tuple(range(a_ndim - axes, a_ndim)), tuple(range(batch, batch + axes))
    if not isinstance(axes, (list, tuple)) or len(axes) != 2:
        raise located(
            DtypeError(
                "axes is a number, or the axes of both operands",
                expected="an integer, or two integers or lists of integers",
                actual=repr(axes),
            ),
            op,
        )
    sides = []
    for ndim, side in zip((a_ndim, b_ndim), axes, strict=True):
        items = side if isinstance(side, (list, tuple)) else [side]
        sides.append(tuple(one_axis(item, ndim, op) for item in items))
    if len(sides[0]) != len(sides[1]) or any(
        len(set(side)) < len(side) or min(side, default=batch) < batch for side in sides
    ):
        raise located(
            ShapeError(
                "axes does not pair the operands' axes",
                expected="as many axes of one operand as of the other, each once"
                + (", not the first" if batch else ""),
                actual=repr(axes),
            ),
            op,
        )
    return sides[0], sides[1]
