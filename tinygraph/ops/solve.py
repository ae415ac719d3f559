"""Inverses of matrices and systems of linear equations, one by one and in stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Apply, Op
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_operands, as_tensor
from tinygraph.ops.creation import ones_like
from tinygraph.ops.layout import DimShuffle, sum_to_like
from tinygraph.ops.linalg import matmul
from tinygraph.ops.matrices import eye, tri, tril, triu
from tinygraph.ops.scalar import mul, neg, switch
from tinygraph.ops.shape import extent, swapaxes
from tinygraph.types import Abstract, Extent, TensorType, broadcast_shapes, shape_text

__all__ = [
    "MATRIX_STRUCTURES",
    "MatrixInverse",
    "MatrixOp",
    "Solve",
    "as_matrices",
    "check_matrices",
    "check_square",
    "matrix_inverse",
    "solve_lower_triangular",
    "solve_triangular",
    "solve_upper_triangular",
    "transposed",
    "triangle_weights",
]

Vjp = Sequence[Any]


# --- what operations on matrices have in common -------------------------------------------------------------------


class MatrixOp(Op):
    """Base of the operations that LAPACK computes, on float32 or float64 matrices in the last two axes.

    Applied to integers, or to operands of several dtypes, it casts them first.
    """

    def make_node(self, *inputs: Any) -> Apply:
        return Apply(self, as_operands(inputs, as_float=True)[0])


def check_matrices(x: Abstract) -> tuple[Extent, ...]:
    """The extents before the last two; an error if ``x`` holds no matrices, or is of a dtype that LAPACK lacks."""
    if x.dtype not in ("float32", "float64"):
        raise DtypeError(
            f"linear algebra is not defined for {x.dtype}",
            expected="float32 or float64",
            actual=x.dtype,
            hint="cast the operand first, for instance with .astype('float32')",
        )
    if x.ndim < 2:
        raise ShapeError("a matrix is needed, or a stack of them", expected="at least 2 dimensions", actual=str(x.type))
    return x.shape[:-2]


def check_square(x: Abstract) -> Extent:
    """The number of rows and of columns; an error if they are known to differ."""
    check_matrices(x)
    rows, columns = x.shape[-2:]
    if rows is not None and columns is not None and rows != columns:
        raise ShapeError(
            "a square matrix is needed", expected="as many rows as columns", actual=f"{rows} rows, {columns} columns"
        )
    return columns if rows is None else rows


def as_matrices(x: Any, op: str) -> Any:
    """``x`` as a tensor of at least two dimensions; the error names ``op``."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise located(
            ShapeError("a matrix is needed, or a stack of them", expected="at least 2 dimensions", actual=str(x.type)),
            op,
        )
    return x


def transposed(x: Any) -> Any:
    """The matrices in the last two axes of ``x``, each transposed."""
    return swapaxes(x, -1, -2)


def triangle_weights(x: Any, lower: bool = True) -> Any:
    """Ones in one triangle of a square matrix like those of ``x``, halves on the diagonal and zeros elsewhere.

    This is how what belongs to a pair of elements of a symmetric matrix is laid on the one of them that is read.
    """
    n = extent(x, -1)
    weights = mul(tri(n, n, 0, x.dtype) + tri(n, n, -1, x.dtype), 0.5)
    return weights if lower else transposed(weights)


# --- the inverse --------------------------------------------------------------------------------------------------


class MatrixInverse(MatrixOp):
    """The inverse of each matrix."""

    analytic = True

    @property
    def name(self) -> str:
        return "matrix_inverse"

    def infer(self, x: Abstract) -> TensorType:
        n = check_square(x)
        return x.type.with_shape((*x.shape[:-2], n, n))

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.linalg.inv(x)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        inverse = transposed(outputs[0])
        return [neg(matmul(matmul(inverse, cotangents[0]), inverse))]


def matrix_inverse(x: Any) -> Any:
    """The inverse of a square matrix, or of each matrix of a stack.

    Parameters
    ----------
    x
        Square matrices in the last two axes, float32 or float64; integers are read as ``config.floatX``.

    To solve equations, ``slinalg.solve`` is faster and more precise than a product with the inverse.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If one is singular, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.matrix_inverse([[2.0, 0.0], [0.0, 4.0]]).eval().tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return MatrixInverse()(x)


# --- linear equations ---------------------------------------------------------------------------------------------

#: Theano's words for what is known of a matrix. All but the triangular ones are solved like a general one.
MATRIX_STRUCTURES = (
    "general",
    "symmetric",
    "lower_triangular",
    "upper_triangular",
    "hermitian",
    "banded",
    "diagonal",
    "toeplitz",
)
_TRANSPOSED = {"lower_triangular": "upper_triangular", "upper_triangular": "lower_triangular"}


class Solve(MatrixOp):
    """The solution x of a x = b.

    As in NumPy 2, a ``b`` of one dimension is a vector, and any other holds matrices; axes before the last two are
    broadcast.

    Parameters
    ----------
    A_structure
        One of ``MATRIX_STRUCTURES``; of a triangular matrix only its triangle is read.
    lower, overwrite_A, overwrite_b
        Accepted as in Theano; they make no difference.
    """

    structure: str

    def __init__(
        self, A_structure: str = "general", lower: bool = False, overwrite_A: bool = False, overwrite_b: bool = False
    ) -> None:
        if A_structure not in MATRIX_STRUCTURES:
            raise located(
                ShapeError(
                    "there is no such structure", expected=", ".join(MATRIX_STRUCTURES), actual=repr(A_structure)
                ),
                "solve",
            )
        super().__init__(A_structure if A_structure in _TRANSPOSED else "general")

    analytic = True

    def infer(self, a: Abstract, b: Abstract) -> TensorType:
        n = check_square(a)
        if not b.ndim:
            raise ShapeError("the right-hand side is a scalar", expected="a vector or matrices", actual=str(b.type))
        rows = b.shape[-1 if b.ndim == 1 else -2]
        if n is not None and rows is not None and n != rows:
            raise ShapeError(
                f"the matrix has {n} rows, the right-hand side {rows}",
                expected=f"a right-hand side of {n} rows",
                actual=shape_text(b.shape),
            )
        n = rows if n is None else n
        if b.ndim == 1:
            return b.type.with_shape((*a.shape[:-2], n))
        return b.type.with_shape((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), n, b.shape[-1]))

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[1] if inputs[0].ndim == 2 else None

    def compute(self, xp: Any, a: Any, b: Any) -> Any:
        if b.ndim == 1 < a.ndim - 1:
            return self.compute(xp, a, b[:, None])[..., 0]
        if self.structure == "general":
            return xp.linalg.solve(a, b)
        lower = self.structure == "lower_triangular"
        if a.ndim == 2 and b.ndim <= 2:
            return xp.scipy_linalg.solve_triangular(a, b, lower=lower, check_finite=False)
        # In a stack, Gaussian elimination of an upper triangular matrix has nothing to eliminate and never exchanges
        # rows: what it does is to substitute. A lower one is upper triangular from its other end.
        if lower:
            return xp.linalg.solve(xp.triu(a[..., ::-1, ::-1]), b[..., ::-1, :])[..., ::-1, :]
        return xp.linalg.solve(xp.triu(a), b)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (a, b), (x,), (g,) = inputs, outputs, cotangents
        if b.ndim == 1:
            x, g = _column(x), _column(g)
        back = Solve(_TRANSPOSED.get(self.structure, self.structure))(transposed(a), g)

        def to_a() -> Any:
            full = sum_to_like(neg(matmul(back, transposed(x))), a)
            if self.structure == "general":
                return full
            return tril(full) if self.structure == "lower_triangular" else triu(full)

        def to_b() -> Any:
            return sum_to_like(DimShuffle(tuple(range(back.ndim - 1)))(back) if b.ndim == 1 else back, b)

        return [to_a, to_b]


def _column(x: Any) -> Any:
    return DimShuffle((*range(x.ndim), "x"))(x)


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """The solution x of a x = b for a triangular ``a``, as ``scipy.linalg.solve_triangular``.

    Parameters
    ----------
    a
        A square matrix, or a stack of them; the other triangle is not read.
    b
        A vector, or matrices of as many rows.
    trans
        0 or "N": solve a x = b; 1, 2, "T" or "C": solve aᵀ x = b.
    lower
        Read the lower triangle of ``a`` instead of the upper.
    unit_diagonal
        Take the diagonal of ``a`` to be ones, without reading it.

    Raises
    ------
    ShapeError
        If ``a`` is not square, or ``b`` has another number of rows.
    numpy.linalg.LinAlgError
        If there is a zero on the diagonal, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.slinalg.solve_triangular([[2.0, 0.0], [1.0, 1.0]], [2.0, 3.0], lower=True).eval().tolist()
    [1.0, 2.0]
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise located(
            DtypeError("there is no such system", expected="0, 1, 2, 'N', 'T' or 'C'", actual=repr(trans)),
            "solve_triangular",
        )
    a = as_matrices(a, "solve_triangular")
    if unit_diagonal:
        n = extent(a, -1)
        a = switch(eye(n, n, 0, "bool"), ones_like(a), a)
    if trans not in (0, "N"):
        a, lower = transposed(a), not lower
    return Solve("lower_triangular" if lower else "upper_triangular")(a, b)


def solve_lower_triangular(a: Any, b: Any) -> Any:
    """The solution x of a x = b where ``a`` is lower triangular; operands and errors as for ``solve_triangular``."""
    return Solve("lower_triangular")(a, b)


def solve_upper_triangular(a: Any, b: Any) -> Any:
    """The solution x of a x = b where ``a`` is upper triangular; operands and errors as for ``solve_triangular``."""
    return Solve("upper_triangular")(a, b)
