"""What belongs to a matrix: determinant, trace, norms, powers, the exponential, Kronecker products."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.axes import axis_indices, located, one_axis
from tinygraph.ops.convert import as_operands, as_tensor, is_weak
from tinygraph.ops.creation import zeros_like
from tinygraph.ops.decompositions import SVD
from tinygraph.ops.join import Join
from tinygraph.ops.layout import DimShuffle, zeros_of
from tinygraph.ops.linalg import dot, matmul
from tinygraph.ops.matrices import diagonal, eye
from tinygraph.ops.reduce import max as max_over
from tinygraph.ops.reduce import min as min_over
from tinygraph.ops.reduce import sum as sum_over
from tinygraph.ops.scalar import abs_, add, mul, sub
from tinygraph.ops.shape import extent, extents, known_size, moveaxis, reshape, shape_padright
from tinygraph.ops.solve import MatrixInverse, MatrixOp, as_matrices, check_square, transposed
from tinygraph.ops.statistics import norm as vector_norm
from tinygraph.types import Abstract, TensorType

__all__ = [
    "Cofactors",
    "Det",
    "Expm",
    "SlogDet",
    "det",
    "expm",
    "kron",
    "logdet",
    "matrix_dot",
    "matrix_power",
    "norm",
    "slogdet",
    "trace",
]

Vjp = Sequence[Any]

# --- determinants -------------------------------------------------------------------------------------------------


class Det(MatrixOp):
    """The determinant of each matrix."""

    analytic = True

    def infer(self, x: Abstract) -> TensorType:
        check_square(x)
        return x.type.with_shape(x.shape[:-2])

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.det(x)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [mul(shape_padright(cotangents[0], 2), Cofactors()(inputs[0]))]


class Cofactors(MatrixOp):
    """The cofactors of each matrix: the derivatives of its determinant, also where it is singular.

    Their own derivatives are written with the inverse.
    """

    def infer(self, x: Abstract) -> TensorType:
        n = check_square(x)
        return x.type.with_shape((*x.shape[:-2], n, n))

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any) -> Any:
        u, s, vh = xp.linalg.svd(x)
        ones = xp.ones_like(s[..., :1])
        before = xp.cumprod(xp.concatenate((ones, s[..., :-1]), axis=-1), axis=-1)
        behind = xp.cumprod(xp.concatenate((ones, s[..., :0:-1]), axis=-1), axis=-1)[..., ::-1]
        sign = xp.linalg.det(u) * xp.linalg.det(vh)
        return xp.matmul(u * (sign[..., None] * before * behind)[..., None, :], vh)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,), (cofactors,), (g,) = inputs, outputs, cotangents
        inverse = transposed(MatrixInverse()(x))
        along = shape_padright(sum_over(mul(g, cofactors), axis=(-2, -1)), 2)
        return [sub(mul(along, inverse), matmul(matmul(inverse, transposed(g)), cofactors))]


def det(x: Any) -> Any:
    """The determinant of a square matrix, or of each matrix of a stack.

    Parameters
    ----------
    x
        Square matrices in the last two axes, float32 or float64; integers are read as ``config.floatX``.

    The gradient is that of the cofactors, also where the matrix is singular; second derivatives need an inverse.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.det([[2.0, 1.0], [0.0, 3.0]]).eval().round(6).item()
    6.0
    """
    return Det()(x)


class SlogDet(MatrixOp):
    """The sign of each determinant, and the logarithm of its absolute value."""

    def infer(self, x: Abstract) -> list[TensorType]:
        check_square(x)
        return [x.type.with_shape(x.shape[:-2])] * 2

    def compute(self, xp: Any, x: Any) -> Any:
        return tuple(xp.linalg.slogdet(x))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,), g = inputs, cotangents[1]
        if g is None:
            return [zeros_of(x)]
        return [lambda: mul(shape_padright(g, 2), transposed(MatrixInverse()(x)))]


def slogdet(x: Any) -> Any:
    """The sign of the determinant and the logarithm of its absolute value, which neither overflow nor underflow.

    Parameters
    ----------
    x
        Square matrices in the last two axes.

    Returns
    -------
    list
        ``[sign, logarithm]``; of a singular matrix 0 and -inf. The sign has a gradient of zero.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    >>> import tinygraph.tensor as T
    >>> sign, logarithm = T.nlinalg.slogdet([[-1.0, 0.0], [0.0, 1.0]])
    >>> sign.eval().item(), logarithm.eval().item()
    (-1.0, 0.0)
    """
    return SlogDet()(x)


def logdet(x: Any) -> Any:
    """The logarithm of the absolute value of the determinant; as ``slogdet``.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.logdet([[1.0, 0.0], [0.0, -1.0]]).eval().item()
    0.0
    """
    return SlogDet()(x)[1]


# --- sums of elements, and norms ----------------------------------------------------------------------------------


def trace(X: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal; arguments and errors as for ``diagonal``.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.trace([[1.0, 2.0], [3.0, 4.0]]).eval().item()
    5.0
    """
    return sum_over(diagonal(X, offset, axis1, axis2), axis=-1)


_INFINITIES = {"inf": math.inf, "-inf": -math.inf}
_MATRIX_ORDERS = (None, "fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm of vectors or matrices, as ``np.linalg.norm``.

    Parameters
    ----------
    x
        A tensor; integers are read as ``config.floatX``.
    ord
        None: the root of the sum of squares. Of vectors a number p: (Σ |x| ** p) ** (1 / p), with the largest and the
        smallest absolute value for inf and -inf, and the number of elements that are not zero for 0. Of matrices
        ``"fro"``: as None; ``"nuc"``: the sum of the singular values; 2 and -2: the largest and smallest of these; 1
        and -1: the largest and smallest sum of absolute values in a column; inf and -inf: in a row. As in Theano,
        ``"inf"`` and ``"-inf"`` may be text.
    axis
        An integer: vectors along this axis. Two integers: matrices with these rows and columns. None: the only vector
        or matrix that there is; without an order, all elements.
    keepdims
        Leave the axes in the result, with extent 1.

    Where a norm has no derivative, the gradient is finite: 0 for a root of 0.

    Raises
    ------
    ShapeError
        If there are no such axes.
    DtypeError
        If there is no such norm.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.norm([3.0, 4.0]).eval().item(), T.nlinalg.norm([[1.0, 2.0], [3.0, 4.0]], 1).eval().item()
    (5.0, 6.0)
    """
    x = as_tensor(x)
    order = _INFINITIES.get(ord, ord) if isinstance(ord, str) else ord
    if axis is None:
        if order is None:
            return vector_norm(x, 2, None, keepdims)
        if x.ndim not in (1, 2):
            raise located(
                ShapeError(
                    "this norm is one of a vector or a matrix",
                    expected="1 or 2 dimensions, or axis=",
                    actual=str(x.type),
                ),
                "norm",
            )
        axis = tuple(range(x.ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    if len(axes) == 1:
        if isinstance(order, str):
            raise located(
                DtypeError("there is no such norm of vectors", expected="None or a number", actual=repr(ord)), "norm"
            )
        return vector_norm(x, 2 if order is None else order, axes, keepdims)
    if len(axis_indices(axes, x.ndim, "norm")) != 2:
        raise located(ShapeError("a norm is over one axis or two", expected="1 or 2 axes", actual=str(axis)), "norm")
    if isinstance(order, bool) or not (isinstance(order, str | None) or is_weak(order)) or order not in _MATRIX_ORDERS:
        raise located(
            DtypeError(
                "there is no such norm of matrices",
                expected=", ".join(map(repr, _MATRIX_ORDERS)),
                actual=repr(ord),
            ),
            "norm",
        )
    return _matrix_norm(x, order, [one_axis(a, x.ndim, "norm") for a in axes], keepdims)


def _matrix_norm(x: Any, order: Any, axes: Sequence[int], keepdims: bool) -> Any:
    if order in (None, "fro"):
        return vector_norm(x, 2, tuple(axes), keepdims)
    (x,), _ = as_operands([x], as_float=True)
    matrices = moveaxis(x, axes, (-2, -1))
    if order in ("nuc", 2, -2):
        sizes = SVD(True, False)(matrices)
    else:
        sizes = sum_over(abs_(matrices), axis=-2 if order in (1, -1) else -1)
    combined = sum_over if order == "nuc" else max_over if order > 0 else min_over
    result = combined(sizes, -1)
    if not keepdims:
        return result
    kept = iter(range(result.ndim))
    return DimShuffle(tuple("x" if axis in axes else next(kept) for axis in range(x.ndim)))(result)


# --- products -----------------------------------------------------------------------------------------------------


def matrix_dot(*args: Any) -> Any:
    """The product of several matrices, from left to right.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.matrix_dot([[1.0, 2.0]], [[3.0], [4.0]], [[2.0]]).eval().tolist()
    [[22.0]]
    """
    if not args:
        raise located(ShapeError("a product needs matrices", expected="at least one", actual="none"), "matrix_dot")
    return functools.reduce(dot, args[1:], as_tensor(args[0]))


def matrix_power(M: Any, n: int) -> Any:
    """A square matrix, or each matrix of a stack, multiplied with itself ``n`` times.

    Parameters
    ----------
    M
        Square matrices in the last two axes.
    n
        An integer; 0 gives the identity, and negative ones powers of the inverse.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If ``n`` is negative and a matrix is singular, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.matrix_power([[1, 1], [0, 1]], 5).eval().tolist()
    [[1, 5], [0, 1]]
    """
    M = as_matrices(M, "matrix_power")
    count = known_size(n, "matrix_power")
    rows, columns = M.type.shape[-2:]
    if rows is not None and columns is not None and rows != columns:
        raise located(
            ShapeError("a square matrix is needed", expected="as many rows as columns", actual=str(M.type)),
            "matrix_power",
        )
    if count == 0:
        size = extent(M, -1)
        return add(zeros_like(M), eye(size, size, dtype=M.dtype))
    square = MatrixInverse()(M) if count < 0 else M
    power = None
    for digit in reversed(f"{abs(count):b}"):
        if digit == "1":
            power = square if power is None else matmul(power, square)
        square = matmul(square, square)
    return power


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: every element of ``a`` times all of ``b``, as ``np.kron``.

    Parameters
    ----------
    a, b
        Matrices, or tensors of any shape; the one of fewer dimensions gets leading axes of extent 1.

    The result has the products of the extents.

    >>> import tinygraph.tensor as T
    >>> T.slinalg.kron([[1, 2]], [[1], [10]]).eval().tolist()
    [[1, 2], [10, 20]]
    """
    (a, b), _ = as_operands([a, b])
    ndim = max(a.ndim, b.ndim)
    a, b = (DimShuffle((*["x"] * (ndim - v.ndim), *range(v.ndim)))(v) for v in (a, b))
    left = DimShuffle(tuple(p for axis in range(ndim) for p in (axis, "x")))(a)
    right = DimShuffle(tuple(p for axis in range(ndim) for p in ("x", axis)))(b)
    return reshape(mul(left, right), tuple(n * m for n, m in zip(extents(a), extents(b), strict=True)))


# --- the exponential ----------------------------------------------------------------------------------------------


class Expm(MatrixOp):
    """The exponential of each matrix."""

    analytic = True

    def infer(self, x: Abstract) -> TensorType:
        n = check_square(x)
        return x.type.with_shape((*x.shape[:-2], n, n))

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.scipy_linalg.expm(x)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        # The derivative along g is what stands beside the diagonal in the exponential of a matrix of blocks.
        x, g, n = transposed(inputs[0]), cotangents[0], extent(inputs[0], -1)
        last = x.ndim - 1
        above = Join(last)(x, g)
        below = Join(last)(zeros_of(x), x)
        return [Expm()(Join(last - 1)(above, below))[..., :n, n:]]


def expm(A: Any) -> Any:
    """The exponential of a square matrix, or of each matrix of a stack: the sum of Aᵏ / k!.

    Parameters
    ----------
    A
        Square matrices in the last two axes, float32 or float64; integers are read as ``config.floatX``.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    >>> import tinygraph.tensor as T
    >>> T.slinalg.expm([[0.0, 3.0], [0.0, 0.0]]).eval().round(6).tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    return Expm()(A)
