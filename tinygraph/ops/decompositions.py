"""Factorisations of matrices: Cholesky, QR, singular values and eigenvalues, one by one and in stacks.

Where a factorisation leaves a choice (the signs of vectors, or a basis of a space that belongs to one eigenvalue), the
gradients are those of quantities that do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, NullTypeGradError
from tinygraph.ops.convert import as_operands
from tinygraph.ops.join import Join
from tinygraph.ops.layout import zeros_of
from tinygraph.ops.linalg import matmul
from tinygraph.ops.matrices import eye
from tinygraph.ops.scalar import add, eq, minimum, mul, sub, switch, true_div
from tinygraph.ops.shape import expand_dims, extent
from tinygraph.ops.solve import (
    MatrixOp,
    as_matrices,
    check_matrices,
    check_square,
    solve_lower_triangular,
    solve_upper_triangular,
    transposed,
    triangle_weights,
)
from tinygraph.types import Abstract, Extent, TensorType

__all__ = ["QR", "SVD", "Cholesky", "Eig", "Eigh", "cholesky", "eig", "eigh", "eigvalsh", "qr", "svd"]

Vjp = Sequence[Any]


def _one_of(value: Any, allowed: Sequence[Any], what: str) -> None:
    if value not in allowed:
        raise DtypeError(f"there is no such {what}", expected=", ".join(map(repr, allowed)), actual=repr(value))


def _columns_times(matrices: Any, factors: Any) -> Any:
    """The columns of matrices, each times its factor."""
    return mul(matrices, expand_dims(factors, -2))


def _total(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = add(total, part)
    return total


def _inverse_gaps(values: Any, squared: bool = False) -> Any:
    """The matrix of 1 / (values[j] - values[i]), or of their squares, with zeros on the diagonal."""
    n = extent(values, -1)
    diagonal = eye(n, n, 0, "bool")
    row, column = expand_dims(values, -2), expand_dims(values, -1)
    gaps = mul(sub(row, column), add(row, column)) if squared else sub(row, column)
    return switch(diagonal, 0, true_div(1, switch(diagonal, 1, gaps)))


# --- Cholesky -----------------------------------------------------------------------------------------------------


class Cholesky(MatrixOp):
    """The triangular factor of each symmetric positive definite matrix, of which one triangle is read.

    Parameters
    ----------
    lower
        The factor is L with L Lᵀ = x, and the lower triangle of x is read; else U with Uᵀ U = x, and the upper one.
    on_error
        For a matrix that is not positive definite ``"raise"`` LinAlgError, or give ``"nan"`` for its factor.
    """

    lower: bool = True
    on_error: str = "raise"

    def infer(self, x: Abstract) -> TensorType:
        _one_of(self.on_error, ("raise", "nan"), "way to treat an error")
        n = check_square(x)
        return x.type.with_shape((*x.shape[:-2], n, n))

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any) -> Any:
        if not self.lower:
            x = xp.swapaxes(x, -1, -2)
        factor = xp.linalg.cholesky(x) if self.on_error == "raise" else _cholesky_or_nan(xp, x)
        return factor if self.lower else xp.swapaxes(factor, -1, -2)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (factor,), (g,) = outputs, cotangents
        if not self.lower:
            factor, g = transposed(factor), transposed(g)
        upper = transposed(factor)
        inner = mul(matmul(upper, g), triangle_weights(factor))
        half = solve_upper_triangular(upper, transposed(solve_upper_triangular(upper, transposed(inner))))
        return [mul(add(half, transposed(half)), triangle_weights(factor, self.lower))]


def _cholesky_or_nan(xp: Any, x: Any) -> Any:
    """The lower factors, NaN where there is none."""
    try:
        return xp.linalg.cholesky(x)
    except ValueError:  # which LinAlgError is a kind of; in a stack, each matrix is tried on its own
        if x.ndim == 2:
            return xp.full_like(x, xp.nan)
        return xp.stack([_cholesky_or_nan(xp, matrix) for matrix in x])


def cholesky(x: Any, lower: bool = True, on_error: str = "raise") -> Any:
    """The Cholesky factor of a symmetric positive definite matrix, or of each matrix of a stack.

    Parameters
    ----------
    x
        Symmetric matrices in the last two axes, of which only one triangle is read.
    lower
        The factor is lower triangular, L with L Lᵀ = x, and the lower triangle is read; else U with Uᵀ U = x.
    on_error
        ``"raise"``, or ``"nan"``: a matrix that is not positive definite has a factor of NaN.

    The gradient belongs to the triangle that is read; what the other one would have is added to it.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If one is not positive definite, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.slinalg.cholesky([[4.0, 2.0], [2.0, 5.0]]).eval().tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    return Cholesky(bool(lower), on_error)(x)


# --- QR -----------------------------------------------------------------------------------------------------------


class QR(MatrixOp):
    """x = q r with orthonormal columns of q and an upper triangular r; ``mode`` as for ``qr``."""

    mode: str = "reduced"

    def infer(self, x: Abstract) -> list[TensorType]:
        batch = check_matrices(x)
        m, n = x.shape[-2:]
        k = _smaller(m, n)
        shapes: dict[str, list[tuple[Extent, ...]]] = {
            "reduced": [(m, k), (k, n)],
            "complete": [(m, m), (m, n)],
            "r": [(k, n)],
            "raw": [(n, m), (k,)],
        }
        _one_of(self.mode, tuple(shapes), "mode")
        return [x.type.with_shape((*batch, *shape)) for shape in shapes[self.mode]]

    def compute(self, xp: Any, x: Any) -> Any:
        result = xp.linalg.qr(x, self.mode)
        return result if self.mode == "r" else tuple(result)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,) = inputs
        if self.mode == "raw":
            raise NullTypeGradError(
                "Householder reflections have no gradient here", hint="use the mode 'reduced', which has one"
            )
        if self.mode == "r":
            (q, r), gq, gr = QR()(x), None, cotangents[0]
        else:
            (q, r), (gq, gr) = outputs, cotangents
        if self.mode == "complete":
            q, r, gq, gr = _reduced(x, q, r, gq, gr)
        return [lambda: _qr_cotangent(x, q, r, gq, gr)]


def _smaller(m: Extent, n: Extent) -> Extent:
    if m is None or n is None:
        return 0 if 0 in (m, n) else None
    return min(m, n)


def _reduced(x: Any, q: Any, r: Any, gq: Any, gr: Any) -> tuple[Any, Any, Any, Any]:
    """The reduced factors of a complete factorisation, and their cotangents."""
    k = _least_extent(x)
    thin = q[..., :, :k]
    if gq is not None:
        # The other columns stay orthogonal to these, and are not turned among themselves.
        gq = sub(gq[..., :, :k], matmul(q[..., :, k:], matmul(transposed(gq[..., :, k:]), thin)))
    return thin, r[..., :k, :], gq, None if gr is None else gr[..., :k, :]


def _least_extent(x: Any) -> Any:
    """The smaller one of the last two extents."""
    m, n = extent(x, -2), extent(x, -1)
    return min(m, n) if isinstance(m, int) and isinstance(n, int) else minimum(m, n)


def _qr_cotangent(x: Any, q: Any, r: Any, gq: Any, gr: Any) -> Any:
    """The cotangent of x = q r; of a wide x the first columns, which are q times a square u, decide q."""
    gq = zeros_of(q) if gq is None else gq
    gr = zeros_of(r) if gr is None else gr
    k = extent(q, -1)
    if k == x.type.shape[-1]:
        return _tall_qr_cotangent(q, r, gq, gr)
    rest = gr[..., :, k:]
    gq = add(gq, matmul(x[..., :, k:], transposed(rest)))
    return Join(x.ndim - 1)(_tall_qr_cotangent(q, r[..., :, :k], gq, gr[..., :, :k]), matmul(q, rest))


def _tall_qr_cotangent(q: Any, r: Any, gq: Any, gr: Any) -> Any:
    inner = sub(matmul(r, transposed(gr)), matmul(transposed(gq), q))
    folded = mul(inner, triangle_weights(inner))
    back = add(gq, matmul(q, add(folded, transposed(folded))))
    return transposed(solve_upper_triangular(r, transposed(back)))


def qr(a: Any, mode: str = "reduced") -> Any:
    """The QR factorisation of a matrix, or of each matrix of a stack: a = q r.

    Parameters
    ----------
    a
        Matrices of m rows and n columns in the last two axes; k is the smaller of m and n.
    mode
        ``"reduced"``: q of shape (m, k) and r of shape (k, n); ``"complete"``: (m, m) and (m, n); ``"r"``: only r of
        shape (k, n); ``"raw"``: the reflections and factors of LAPACK, without a gradient.

    The gradient is defined where the first k columns are linearly independent.

    Returns
    -------
    list or variable
        ``[q, r]``, or r alone.

    >>> import tinygraph.tensor as T
    >>> q, r = T.nlinalg.qr(T.tensor("float64", (5, 3)))
    >>> q.type.shape, r.type.shape
    ((5, 3), (3, 3))
    """
    return QR(mode)(a)


# --- singular values ----------------------------------------------------------------------------------------------


class SVD(MatrixOp):
    """x = u diag(s) vh with orthonormal columns of u and rows of vh, and descending s; fields as for ``svd``."""

    full_matrices: bool = True
    compute_uv: bool = True

    def infer(self, x: Abstract) -> list[TensorType]:
        batch = check_matrices(x)
        m, n = x.shape[-2:]
        k = _smaller(m, n)
        values = x.type.with_shape((*batch, k))
        if not self.compute_uv:
            return [values]
        left, right = (m, n) if self.full_matrices else (k, k)
        return [x.type.with_shape((*batch, m, left)), values, x.type.with_shape((*batch, right, n))]

    def compute(self, xp: Any, x: Any) -> Any:
        result = xp.linalg.svd(x, full_matrices=bool(self.full_matrices), compute_uv=bool(self.compute_uv))
        return tuple(result) if self.compute_uv else result

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        if not self.compute_uv:
            u, _, vh = SVD(False)(inputs[0])
            return [matmul(_columns_times(u, cotangents[0]), vh)]
        return [lambda: self._cotangent(outputs, cotangents)]

    def _cotangent(self, outputs: Vjp, cotangents: Vjp) -> Any:
        (u, s, vh), (gu, gs, gvh) = outputs, cotangents
        k = extent(s, -1)
        v, gv = transposed(vh), None if gvh is None else transposed(gvh)
        left, right = (u[..., :, :k], v[..., :, :k]) if self.full_matrices else (u, v)
        parts = [] if gs is None else [matmul(_columns_times(left, gs), transposed(right))]
        if gu is not None:
            parts.append(matmul(_turned(left, gu, s, u if self.full_matrices else None), transposed(right)))
        if gv is not None:
            parts.append(matmul(left, transposed(_turned(right, gv, s, v if self.full_matrices else None))))
        return _total(parts)


def _turned(thin: Any, g: Any, s: Any, full: Any) -> Any:
    """What the cotangent ``g`` of singular vectors adds to that of the matrix, without the other side's vectors.

    The vectors turn among themselves and out of the space that they span; where ``full`` has vectors of the rest of
    space, these turn the opposite way.
    """
    rows, k = extent(thin, -2), extent(s, -1)
    g_thin = g if full is None else g[..., :, :k]
    inner = matmul(transposed(thin), g_thin)
    gaps = _inverse_gaps(s, squared=True)
    among = matmul(thin, _columns_times(mul(gaps, sub(inner, transposed(inner))), s))
    if isinstance(rows, int) and rows == k:
        return among
    outwards = sub(g_thin, matmul(thin, inner))
    if full is not None:
        outwards = sub(outwards, matmul(full[..., :, k:], matmul(transposed(g[..., :, k:]), thin)))
    # Vectors that span all of space have nowhere else to turn, and may belong to a zero.
    return add(among, switch(eq(rows, k), 0, true_div(outwards, expand_dims(s, -2))))


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition of a matrix, or of each matrix of a stack: a = u diag(s) vh.

    Parameters
    ----------
    a
        Matrices of m rows and n columns in the last two axes; k is the smaller of m and n.
    full_matrices
        u and vh are square; else of shapes (m, k) and (k, n).
    compute_uv
        Compute the vectors, too, and not the singular values alone.

    The gradient through the vectors is defined where the singular values are distinct and, unless the matrix is square,
    not zero, for quantities that do not depend on the signs of vectors.

    Returns
    -------
    list or variable
        ``[u, s, vh]`` with descending s, or s alone.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.svd([[0.0, 3.0], [4.0, 0.0]], compute_uv=False).eval().tolist()
    [4.0, 3.0]
    """
    return SVD(bool(full_matrices), bool(compute_uv))(a)


# --- eigenvalues --------------------------------------------------------------------------------------------------


class Eig(MatrixOp):
    """Eigenvalues of each matrix, and their vectors as columns, where all of them are real."""

    def infer(self, x: Abstract) -> list[TensorType]:
        n = check_square(x)
        return [x.type.with_shape((*x.shape[:-2], n)), x.type.with_shape((*x.shape[:-2], n, n))]

    def compute(self, xp: Any, x: Any) -> Any:
        values, vectors = xp.linalg.eig(x)
        if values.dtype.kind == "c":
            if (values.imag != 0).any():
                raise DtypeError(
                    "the matrix has eigenvalues that are not real, and tensors hold real numbers",
                    expected="a matrix with real eigenvalues, such as a symmetric one",
                    hint="of a symmetric matrix, eigh computes the eigenvalues",
                )
            values, vectors = values.real.copy(), vectors.real.copy()
        return values, vectors

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        raise NullTypeGradError(
            "the gradient of the eigenvalues of a general matrix is not defined: they may become complex",
            hint="of a symmetric matrix, eigh has a gradient",
        )


def eig(a: Any) -> Any:
    """Eigenvalues and right eigenvectors of a square matrix, or of each matrix of a stack, without a gradient.

    Returns
    -------
    list
        ``[w, v]``: the eigenvalues, and the vectors as the columns of v.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DtypeError
        If an eigenvalue is not real, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.eig([[2.0, 1.0], [0.0, 3.0]])[0].eval().tolist()
    [2.0, 3.0]
    """
    return Eig()(a)


class Eigh(MatrixOp):
    """Eigenvalues of each symmetric matrix in ascending order, and their vectors as columns.

    Parameters
    ----------
    UPLO
        The triangle that is read, ``"L"`` or ``"U"``.
    """

    UPLO: str = "L"

    def infer(self, x: Abstract) -> list[TensorType]:
        _one_of(self.UPLO, ("L", "U"), "triangle")
        n = check_square(x)
        return [x.type.with_shape((*x.shape[:-2], n)), x.type.with_shape((*x.shape[:-2], n, n))]

    def compute(self, xp: Any, x: Any) -> Any:
        return tuple(xp.linalg.eigh(x, self.UPLO))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (values, vectors), (g_values, g_vectors) = outputs, cotangents

        def to_x() -> Any:
            parts = [] if g_values is None else [_columns_times(vectors, g_values)]
            if g_vectors is not None:
                inner = mul(_inverse_gaps(values), matmul(transposed(vectors), g_vectors))
                parts.append(matmul(vectors, inner))
            full = matmul(_total(parts), transposed(vectors))
            return mul(add(full, transposed(full)), triangle_weights(full, self.UPLO == "L"))

        return [to_x]


def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of a symmetric matrix, or of each matrix of a stack.

    Parameters
    ----------
    a
        Symmetric matrices in the last two axes, of which only one triangle is read.
    UPLO
        The triangle: ``"L"`` or ``"U"``.

    The gradient belongs to the triangle that is read; what the other one would have is added to it. Through the vectors
    it is defined where the eigenvalues are distinct, for quantities that do not depend on the signs of vectors.

    Returns
    -------
    list
        ``[w, v]``: the eigenvalues in ascending order, and the vectors as the columns of v.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.eigh([[2.0, 1.0], [1.0, 2.0]])[0].eval().round(6).tolist()
    [1.0, 3.0]
    """
    return Eigh(UPLO)(a)


def eigvalsh(a: Any, b: Any = None, lower: bool = True) -> Any:
    """The eigenvalues w of a symmetric ``a``, or of a pair of matrices: a x = w b x for some x.

    Parameters
    ----------
    a
        Symmetric matrices in the last two axes.
    b
        None, or symmetric positive definite matrices.
    lower
        Read the lower triangles of the matrices; else the upper ones.

    Returns
    -------
    variable
        The eigenvalues in ascending order.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``b`` is not positive definite, when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.slinalg.eigvalsh([[2.0, 0.0], [0.0, 6.0]], [[2.0, 0.0], [0.0, 2.0]]).eval().round(6).tolist()
    [1.0, 3.0]
    """
    if b is None:
        return Eigh("L" if lower else "U")(a)[0]
    (a, b), _ = as_operands([as_matrices(a, "eigvalsh"), as_matrices(b, "eigvalsh")], as_float=True)
    # With b = l lᵀ these are the eigenvalues of l⁻¹ a l⁻ᵀ.
    factor = Cholesky(bool(lower))(b)
    factor = factor if lower else transposed(factor)
    inner = solve_lower_triangular(factor, mul(a, triangle_weights(a, lower)))
    inner = transposed(solve_lower_triangular(factor, transposed(inner)))
    return Eigh()(add(inner, transposed(inner)))[0]
