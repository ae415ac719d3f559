"""Systems of linear equations of every kind: exact, in the least squares sense, and between tensors."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, NullTypeGradError, ShapeError
from tinygraph.graph import Constant
from tinygraph.ops.axes import located, one_axis
from tinygraph.ops.convert import as_operands, is_weak
from tinygraph.ops.decompositions import SVD, Cholesky
from tinygraph.ops.linalg import matmul
from tinygraph.ops.scalar import add, mul, sub
from tinygraph.ops.shape import expand_dims, extents, flatten, known_size, reshape, squeeze, transpose
from tinygraph.ops.solve import (
    MATRIX_STRUCTURES,
    MatrixInverse,
    MatrixOp,
    Solve,
    check_matrices,
    solve_lower_triangular,
    solve_upper_triangular,
    transposed,
)
from tinygraph.types import Abstract, TensorType, shape_text

__all__ = [
    "LeastSquares",
    "MatrixPinv",
    "cho_solve",
    "lstsq",
    "pinv",
    "solve",
    "solve_symmetric",
    "tensorinv",
    "tensorsolve",
]

Vjp = Sequence[Any]

# --- a x = b ------------------------------------------------------------------------------------------------------

#: SciPy's words for what is known of a matrix, beside Theano's.
_STRUCTURES = {
    **{name: name for name in MATRIX_STRUCTURES},
    **dict.fromkeys(("gen", "sym", "her", "tridiagonal"), "general"),
    "lower triangular": "lower_triangular",
    "upper triangular": "upper_triangular",
    **dict.fromkeys(("pos", "positive definite"), "positive definite"),
}


def solve(a: Any, b: Any, assume_a: str = "general", lower: bool = False, *, A_structure: str | None = None) -> Any:
    """The solution x of a x = b.

    Parameters
    ----------
    a
        A square matrix, or a stack of them.
    b
        A vector, or matrices of as many rows; as in NumPy 2, only a ``b`` of one dimension is a vector.
    assume_a
        What is known of ``a``. ``"lower_triangular"``, ``"upper_triangular"``: only this triangle is read.
        ``"positive definite"`` or ``"pos"``: solved by Cholesky's factor, and only one triangle is read. Any other name
        that Theano or SciPy have (``"symmetric"``, ``"diagonal"``, ``"gen"``, …) is accepted and solved like a general
        matrix.
    lower
        The triangle of a positive definite matrix that is read: the lower, or else the upper one.
    A_structure
        Theano's name for ``assume_a``.

    Raises
    ------
    ShapeError
        If ``a`` is not square, or ``b`` has another number of rows.
    DtypeError
        If there is no such structure.
    numpy.linalg.LinAlgError
        If ``a`` is singular, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.slinalg.solve([[2.0, 1.0], [1.0, 1.0]], [3.0, 2.0]).eval().round(6).tolist()
    [1.0, 1.0]
    """
    given = assume_a if A_structure is None else A_structure
    structure = _STRUCTURES.get(given) if isinstance(given, str) else None
    if structure is None:
        raise located(
            DtypeError("there is no such structure", expected=", ".join(sorted(_STRUCTURES)), actual=repr(given)),
            "solve",
        )
    if structure == "positive definite":
        return cho_solve((Cholesky(bool(lower))(a), lower), b)
    return Solve(structure)(a, b)


def solve_symmetric(a: Any, b: Any) -> Any:
    """The solution x of a x = b, as ``solve``; that ``a`` is symmetric makes no difference."""
    return Solve()(a, b)


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """The solution x of a x = b by the Cholesky factor of ``a``.

    Parameters
    ----------
    c_and_lower
        The factor, and whether it is the lower one: what ``(cholesky(a, lower), lower)`` gives. The factor's other
        triangle is not read.
    b
        A vector, or matrices of as many rows.

    >>> import tinygraph.tensor as T
    >>> factor = T.slinalg.cholesky([[4.0, 0.0], [0.0, 1.0]])
    >>> T.slinalg.cho_solve((factor, True), [4.0, 3.0]).eval().tolist()
    [1.0, 3.0]
    """
    factor, lower = c_and_lower
    (factor, b), _ = as_operands([factor, b], as_float=True)
    if not lower:
        factor = transposed(factor)
    column = b.ndim == 1
    x = solve_lower_triangular(factor, expand_dims(b, 1) if column else b)
    x = solve_upper_triangular(transposed(factor), x)
    return squeeze(x, -1) if column else x


# --- in the least squares sense -----------------------------------------------------------------------------------


class MatrixPinv(MatrixOp):
    """The pseudo-inverse of each matrix; ``rcond`` as for ``pinv``."""

    rcond: float | None = None

    @property
    def name(self) -> str:
        return "pinv"

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_shape((*check_matrices(x), x.shape[-1], x.shape[-2]))

    def compute(self, xp: Any, x: Any) -> Any:
        rcond = max(x.shape[-2:]) * float(xp.finfo(x.dtype).eps) if self.rcond is None else self.rcond
        return xp.linalg.pinv(x, rcond)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [lambda: _pinv_cotangent(inputs[0], outputs[0], cotangents[0])]


def _pinv_cotangent(a: Any, p: Any, g: Any) -> Any:
    """The cotangent of ``a``, from that of its pseudo-inverse ``p``, where the rank does not change."""
    rows = matmul(matmul(p, transposed(p)), g)
    columns = matmul(matmul(g, transposed(p)), p)
    outside = add(sub(rows, matmul(matmul(rows, a), p)), sub(columns, matmul(p, matmul(a, columns))))
    return transposed(sub(outside, matmul(matmul(p, transposed(g)), p)))


def pinv(x: Any, rcond: float | None = None) -> Any:
    """The Moore–Penrose pseudo-inverse of a matrix, or of each matrix of a stack.

    Parameters
    ----------
    x
        Matrices of any shape in the last two axes.
    rcond
        Singular values up to this part of the largest count as zero; by default the larger extent times the rounding
        error of the dtype.

    The gradient is that at constant rank.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.pinv([[2.0], [0.0]]).eval().tolist()
    [[0.5, 0.0]]
    """
    return MatrixPinv(_ratio(rcond, "pinv"))(x)


def _ratio(rcond: Any, op: str) -> float | None:
    if isinstance(rcond, Constant) and rcond.ndim == 0:
        rcond = rcond.data.item()
    if rcond is not None and (isinstance(rcond, bool) or not is_weak(rcond)):
        raise located(DtypeError("rcond is a number", expected="None or a float", actual=repr(rcond)), op)
    return None if rcond is None or rcond < 0 else float(rcond)


class LeastSquares(MatrixOp):
    """What ``lstsq`` gives: the solution, the residuals, the rank and the singular values."""

    rcond: float | None = None

    @property
    def name(self) -> str:
        return "lstsq"

    def infer(self, a: Abstract, b: Abstract) -> list[TensorType]:
        check_matrices(a)
        if a.ndim != 2 or b.ndim not in (1, 2):
            raise ShapeError(
                "least squares are for one matrix", expected="2 dimensions, and 1 or 2", actual=f"{a.type} and {b.type}"
            )
        m, n = a.shape
        if m is not None and b.shape[0] not in (None, m):
            raise ShapeError(
                f"the matrix has {m} rows, the right-hand side {b.shape[0]}",
                expected="as many rows",
                actual=f"{shape_text(a.shape)} and {shape_text(b.shape)}",
            )
        underdetermined = m is not None and n is not None and m <= n
        return [
            b.type.with_shape((n, *b.shape[1:])),
            b.type.with_shape((0 if underdetermined else None,)),
            TensorType("int64"),
            a.type.with_shape((None if m is None or n is None else min(m, n),)),
        ]

    def compute(self, xp: Any, a: Any, b: Any) -> Any:
        x, residuals, rank, values = xp.linalg.lstsq(a, b, rcond=self.rcond)
        return x, residuals, xp.asarray(rank, dtype="int64"), values

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (a, b), (g, g_residuals, _, g_values) = inputs, cotangents
        if g_residuals is not None:
            raise NullTypeGradError(
                "the residuals of lstsq have no gradient: whether there are any depends on the rank",
                hint="write them as T.sqr(b - T.dot(a, x)).sum(0), with the solution x",
            )
        pseudo = MatrixPinv(self.rcond)(a)

        def to_a() -> Any:
            parts = []
            if g is not None:
                right, left = (b, g) if b.ndim == 2 else (expand_dims(b, 1), expand_dims(g, 1))
                parts.append(_pinv_cotangent(a, pseudo, matmul(left, transposed(right))))
            if g_values is not None:
                u, _, vh = SVD(False)(a)
                parts.append(matmul(mul(u, g_values), vh))
            return parts[0] if len(parts) == 1 else add(*parts)

        return [to_a, None if g is None else lambda: matmul(transposed(pseudo), g)]


def lstsq(a: Any = None, b: Any = None, rcond: float | None = None) -> Any:
    """The least squares solution of a x = b, the smallest of them where there are several.

    Parameters
    ----------
    a
        A matrix of m rows and n columns.
    b
        A vector of m elements, or a matrix of m rows: several systems.
    rcond
        Singular values of ``a`` up to this part of the largest count as zero; by default the larger extent times the
        rounding error of the dtype.

    Without arguments it gives itself, which is how Theano's programs call it: ``lstsq()(a, b, rcond)``.

    Returns
    -------
    list
        The solution; the sum of squared residuals of each system, empty where the rank is below n or m ≤ n, without a
        gradient; the rank of ``a``; its singular values. The gradient is that at constant rank.

    Raises
    ------
    ShapeError
        If the shapes are others.

    >>> import tinygraph.tensor as T
    >>> x, residuals, rank, values = T.nlinalg.lstsq([[1.0], [1.0]], [1.0, 3.0])
    >>> x.eval().round(6).tolist(), residuals.eval().round(6).tolist()
    ([2.0], [2.0])
    """
    if a is None and b is None:
        return lstsq
    return LeastSquares(_ratio(rcond, "lstsq"))(a, b)


# --- between tensors ----------------------------------------------------------------------------------------------


def _product(sizes: Sequence[Any]) -> Any:
    return functools.reduce(operator.mul, sizes, 1)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of a tensor as a linear map from its last axes to the first ``ind``, as ``np.linalg.tensorinv``.

    Parameters
    ----------
    a
        A tensor whose first ``ind`` extents have the same product as the others.
    ind
        How many of the first axes; at least 1.

    The result has the last axes of ``a`` first.

    Raises
    ------
    ShapeError
        If the products differ, or there are not so many axes.
    numpy.linalg.LinAlgError
        If the map is singular, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.tensorinv(T.tensor("float64", (4, 6, 8, 3)), ind=2).type.shape
    (8, 3, 4, 6)
    """
    (a,), _ = as_operands([a], as_float=True)
    count = known_size(ind, "tensorinv")
    if not 1 <= count <= a.ndim:
        raise located(
            ShapeError("the map needs axes to lead to", expected=f"ind from 1 to {a.ndim}", actual=str(count)),
            "tensorinv",
        )
    sizes = extents(a)
    matrix = reshape(a, (_product(sizes[:count]), _product(sizes[count:])))
    return reshape(MatrixInverse()(matrix), (*sizes[count:], *sizes[:count]))


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The tensor x whose products with ``a``, summed over all axes of x, give ``b``, as ``np.linalg.tensorsolve``.

    Parameters
    ----------
    a
        A tensor of shape ``b.shape + Q``, where the product of Q is that of the shape of ``b``.
    b
        A tensor of any shape.
    axes
        Axes of ``a`` to move to the end first.

    The result has the shape Q.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there are no such axes.
    numpy.linalg.LinAlgError
        If the system is singular, when the function runs.

    >>> import tinygraph.tensor as T
    >>> a, b = T.tensor("float64", (6, 4, 2, 3, 4)), T.tensor("float64", (6, 4))
    >>> T.nlinalg.tensorsolve(a, b).type.shape
    (2, 3, 4)
    """
    (a, b), _ = as_operands([a, b], as_float=True)
    if axes is not None:
        last = [one_axis(axis, a.ndim, "tensorsolve") for axis in (axes if isinstance(axes, (list, tuple)) else [axes])]
        a = transpose(a, [axis for axis in range(a.ndim) if axis not in last] + last)
    if a.ndim < b.ndim:
        raise located(
            ShapeError("the map has too few axes", expected=f"at least {b.ndim}", actual=f"{a.ndim}"), "tensorsolve"
        )
    sizes = extents(a)
    matrix = reshape(a, (_product(sizes[: b.ndim]), _product(sizes[b.ndim :])))
    return reshape(Solve()(matrix, flatten(b)), tuple(sizes[b.ndim :]))
