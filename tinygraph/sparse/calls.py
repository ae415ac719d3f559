"""Functions of sparse matrices: products, sums, sparse and dense operands together, stacking, parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tinygraph.tensor as T
from tinygraph.errors import DtypeError, IndexingError, ShapeError
from tinygraph.ops.checks import Assert
from tinygraph.ops.convert import as_operands, as_tensor, cast
from tinygraph.ops.sparse import PairEntries, SampledDot, SparseDot
from tinygraph.sparse.variable import (
    CSC,
    SparseVariable,
    as_sparse_or_tensor_variable,
    as_sparse_variable,
    assembled,
    checked_format,
    is_sparse,
    merged,
)
from tinygraph.types import canonical_dtype, promote

__all__ = [
    "add",
    "clean",
    "col_scale",
    "csc_from_dense",
    "csm_data",
    "csm_indices",
    "csm_indptr",
    "csm_properties",
    "csm_shape",
    "csr_from_dense",
    "dense_from_sparse",
    "diag",
    "dot",
    "ensure_sorted_indices",
    "hstack",
    "item",
    "mul",
    "remove0",
    "row_scale",
    "sampling_dot",
    "sp_ones_like",
    "sp_sum",
    "sp_zeros_like",
    "square_diagonal",
    "structured_dot",
    "sub",
    "true_dot",
    "usmm",
    "vstack",
]


def csm_properties(csm: Any) -> list[Any]:
    """The stored values, indices, pointers and shape of a sparse matrix, each a vector; all but the values int32."""
    x = as_sparse_variable(csm)
    return [x.data, x.indices, x.indptr, cast(x.shape, "int32")]


def csm_data(csm: Any) -> Any:
    """The stored values of a sparse matrix."""
    return csm_properties(csm)[0]


def csm_indices(csm: Any) -> Any:
    """The column (CSC: row) of each stored value."""
    return csm_properties(csm)[1]


def csm_indptr(csm: Any) -> Any:
    """Where each row (CSC: column) begins among the stored values, and the end of the last."""
    return csm_properties(csm)[2]


def csm_shape(csm: Any) -> Any:
    """The shape of a sparse matrix."""
    return csm_properties(csm)[3]


# --- to and from dense matrices -------------------------------------------------------------------------------------


def dense_from_sparse(x: Any) -> Any:
    """The dense matrix with the same values; its gradient reaches the stored values.

    >>> import scipy.sparse, tinygraph as tg
    >>> tg.sparse.dense_from_sparse(scipy.sparse.eye(2)).eval()
    array([[1., 0.],
           [0., 1.]])
    """
    return as_sparse_variable(x).toarray()


def csr_from_dense(x: Any) -> SparseVariable:
    """The CSR matrix that stores what is not zero in a dense matrix; a vector is taken as one row.

    The gradient reaches the values that are stored.
    """
    return _from_dense(x, "csr")


def csc_from_dense(x: Any) -> SparseVariable:
    """The CSC matrix that stores what is not zero in a dense matrix; see ``csr_from_dense``."""
    return _from_dense(x, "csc")


def _from_dense(x: Any, format: str) -> SparseVariable:
    x = as_tensor(x)
    if x.ndim > 2:
        raise ShapeError("only matrices can be sparse", expected="at most 2 dimensions", actual=str(x.type))
    x = as_tensor(x, ndim=2)
    rows, columns = T.nonzero(x)
    return assembled(format, rows, columns, x[rows, columns], x.shape[0], x.shape[1])


def sp_ones_like(x: Any) -> SparseVariable:
    """Ones wherever ``x`` stores a value."""
    x = as_sparse_variable(x)
    return x.with_data(T.ones_like(x.data))


def sp_zeros_like(x: Any) -> SparseVariable:
    """A matrix of the shape of ``x`` that stores nothing."""
    x = as_sparse_variable(x)
    none = T.zeros(0, "int32")
    return SparseVariable(x.format, T.zeros(0, x.dtype), none, T.zeros_like(x.indptr), x.minor)


# --- products -------------------------------------------------------------------------------------------------------


def dot(x: Any, y: Any) -> Any:
    """The product of two matrices, of which one at least is sparse, as a dense matrix.

    Parameters
    ----------
    x, y
        Sparse or dense matrices; a dense vector is taken as in ``np.dot``.

    Raises
    ------
    ShapeError
        If the inner extents differ.
    DtypeError
        If both are dense.

    The gradient of a sparse operand is that of its stored values.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, w = tg.sparse.csr_matrix("x"), T.matrix("w")
    >>> f = tg.function([x, w], tg.sparse.dot(x, w))
    >>> import numpy as np, scipy.sparse
    >>> f(scipy.sparse.eye(2, format="csr"), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    x, y = _operands(x, y, "dot")
    if isinstance(x, SparseVariable) and isinstance(y, SparseVariable):
        return true_dot(x, y).toarray()
    if not isinstance(x, SparseVariable):
        return dot(y.T, x.T).T
    if y.ndim not in (1, 2):
        raise ShapeError(
            "a sparse matrix is multiplied with a matrix or a vector", expected="1 or 2 dimensions", actual=str(y.type)
        )
    dense = y if y.ndim == 2 else y.dimshuffle(0, "x")
    out = SparseDot(x.format == "csc")(*x.parts, dense)
    return out if y.ndim == 2 else out[:, 0]


def structured_dot(x: Any, y: Any) -> Any:
    """As ``dot``, but the product of two sparse matrices is sparse."""
    x, y = _operands(x, y, "structured_dot")
    both = isinstance(x, SparseVariable) and isinstance(y, SparseVariable)
    return true_dot(x, y) if both else dot(x, y)


def true_dot(x: Any, y: Any, grad_preserves_dense: bool = True) -> SparseVariable:
    """The product of two matrices, of which one at least is sparse, as a sparse matrix.

    It has the format of ``x``, or that of ``y`` where ``x`` is dense. ``grad_preserves_dense`` is accepted as in
    Theano: gradients of dense operands are dense.
    """
    x, y = _operands(x, y, "true_dot")
    if not (isinstance(x, SparseVariable) and isinstance(y, SparseVariable)):
        return _from_dense(dot(x, y), (x if isinstance(x, SparseVariable) else y).format)
    _same_extent(x, 1, y, 0)
    y = y.tocsr()
    rows, inner = x.coordinates
    entry, other = PairEntries()(inner, y.indptr)
    values = x.data[entry] * y.data[other]
    return assembled(x.format, rows[entry], y.indices[other], values, x.shape[0], y.shape[1], sums=True)


def sampling_dot(x: Any, y: Any, p: Any) -> SparseVariable:
    """``p * dot(x, y.T)``, computed only where ``p`` stores a value.

    Parameters
    ----------
    x, y
        Dense matrices with rows of one length.
    p
        A sparse matrix.
    """
    p = as_sparse_variable(p)
    x, y, p = _of_one_dtype(x, y, p)
    by_row, by_column = (x, y) if p.format == "csr" else (y, x)
    return p.with_data(p.data * SampledDot()(by_row, by_column, p.indices, p.indptr))


def usmm(alpha: Any, x: Any, y: Any, z: Any) -> Any:
    """``alpha * dot(x, y) + z``, dense."""
    return alpha * dot(x, y) + z


def _operands(x: Any, y: Any, name: str) -> list[Any]:
    """Two operands of one dtype, of which one at least is sparse."""
    if not is_sparse(x) and not is_sparse(y):
        raise DtypeError(f"sparse.{name} needs a sparse operand", hint=f"T.{name} combines dense tensors")
    return _of_one_dtype(x, y)


def _of_one_dtype(*operands: Any) -> list[Any]:
    """Sparse and dense operands as variables with values of one dtype, to which plain numbers give way."""
    known = [as_sparse_variable(x) if is_sparse(x) else x for x in operands]
    values, _ = as_operands([x.data if isinstance(x, SparseVariable) else x for x in known])
    return [x.with_data(v) if isinstance(x, SparseVariable) else v for x, v in zip(known, values, strict=True)]


def _same_extent(x: SparseVariable, i: int, y: SparseVariable, j: int) -> None:
    """Make ``x`` fit ``y``: raise now where the extents are known to differ."""
    n, m = x.shape[i].abstract.value, y.shape[j].abstract.value
    if isinstance(n, int) and isinstance(m, int) and n != m:
        raise ShapeError(
            "the extents of two sparse matrices differ",
            expected=f"axis {j} of extent {n}, as axis {i} of the other",
            actual=str(m),
        )


# --- sums and diagonals ---------------------------------------------------------------------------------------------


def sp_sum(x: Any, axis: int | None = None, sparse_grad: bool = False) -> Any:
    """The sum over an axis or, without one, of everything, as a dense vector or number.

    Parameters
    ----------
    x
        A sparse matrix.
    axis
        0, 1, -1, -2 or None.
    sparse_grad
        Accepted as in Theano; gradients always are those of the stored values.
    """
    x = as_sparse_variable(x)
    if axis is None:
        return cast(x.data.sum(), x.dtype)
    if axis not in (0, 1, -1, -2):
        raise ShapeError("a matrix has no such axis", expected="0, 1 or None", actual=repr(axis))
    kept = 1 - axis % 2
    return T.inc_subtensor(T.zeros(x.shape[kept], x.dtype)[x.coordinates[kept]], x.data)


def diag(x: Any) -> Any:
    """The diagonal of a square sparse matrix, as a dense vector; another shape is an error when the function runs."""
    x = as_sparse_variable(x)
    n = Assert("only a square sparse matrix has a diagonal here")(x.shape[0], T.eq(x.shape[0], x.shape[1]))
    rows, columns = x.coordinates
    on = T.switch(T.eq(rows, columns), x.data, T.zeros_like(x.data))
    return T.inc_subtensor(T.zeros(n, x.dtype)[rows], on)


def square_diagonal(diag: Any) -> SparseVariable:
    """The square CSC matrix with a vector on its diagonal."""
    diag = as_tensor(diag)
    if diag.ndim != 1:
        raise ShapeError("a diagonal is a vector", expected="1 dimension", actual=str(diag.type))
    n = diag.shape[0]
    return CSC(diag, T.arange(n), T.arange(n + 1), (n, n))


# --- elementwise, with other operands -------------------------------------------------------------------------------


def add(x: Any, y: Any) -> Any:
    """``x + y``: sparse where both are sparse, else dense; a dense operand broadcasts to the sparse one's shape."""
    x, y = _operands(x, y, "add")
    if not isinstance(x, SparseVariable):
        x, y = y, x
    if not isinstance(y, SparseVariable):
        if x.dtype == "bool":
            return T.add(x.toarray(), y)
        whole = T.zeros((x.shape[0], x.shape[1]), x.dtype) + y
        whole = T.specify_shape(whole, (x.shape[0], x.shape[1]))
        return T.inc_subtensor(whole[x.coordinates], x.data)
    rows, columns, values, n_rows, n_columns = _both(x, y)
    return assembled(x.format, rows, columns, values, n_rows, n_columns, sums=True)


def sub(x: Any, y: Any) -> Any:
    """``x - y``: sparse where both are sparse, else dense."""
    return add(x, _negative(y))


def _negative(x: Any) -> Any:
    x = as_sparse_or_tensor_variable(x)
    return x.with_data(-x.data) if isinstance(x, SparseVariable) else -x


def mul(x: Any, y: Any) -> SparseVariable:
    """``x * y``, elementwise and sparse.

    Parameters
    ----------
    x, y
        One is a sparse matrix. The other is a sparse or dense matrix of its shape, a dense vector that multiplies the
        columns, a matrix of one row or one column, or a number.
    """
    x, y = _operands(x, y, "mul")
    if not isinstance(x, SparseVariable):
        x, y = y, x
    if not isinstance(y, SparseVariable):
        return x.with_data(x.data * _at(y, x))
    rows, columns, _, n_rows, n_columns = _both(x, y)
    _, place, *pattern = merged(x.format, rows, columns, n_rows, n_columns, True)
    n, stored = x.data.shape[0], pattern[0].shape[0]

    def on_union(values: Any, places: Any) -> Any:
        return T.inc_subtensor(T.zeros(stored, values.dtype)[places], values)

    def present(places: Any) -> Any:
        return T.set_subtensor(T.zeros(stored, "int8")[places], 1)

    product = SparseVariable(x.format, on_union(x.data, place[:n]) * on_union(y.data, place[n:]), *pattern)
    return _kept(product, T.eq(present(place[:n]) * present(place[n:]), 1))


def _both(x: SparseVariable, y: SparseVariable) -> tuple[Any, ...]:
    """The entries of two matrices of one shape, and the shape."""
    _same_extent(x, 0, y, 0)
    _same_extent(x, 1, y, 1)
    same = Assert("the shapes of two sparse matrices differ")
    n_rows, n_columns = (same(x.shape[i], T.eq(x.shape[i], y.shape[i])) for i in (0, 1))
    rows, columns = (T.concatenate([a, b]) for a, b in zip(x.coordinates, y.coordinates, strict=True))
    return rows, columns, T.concatenate([x.data, y.data]), n_rows, n_columns


def _at(y: Any, x: SparseVariable) -> Any:
    """The elements of a dense tensor at the places of a sparse matrix's stored values."""
    rows, columns = x.coordinates
    if y.ndim > 2:
        raise ShapeError(
            "a sparse matrix combines with at most a matrix", expected="at most 2 dimensions", actual=str(y.type)
        )
    index = []
    fits = Assert("the shapes of a sparse matrix and what it is multiplied with do not broadcast")
    for axis, at in enumerate((rows, columns)[2 - y.ndim :]):
        n, wanted = y.shape[axis], x.shape[2 - y.ndim + axis]
        at = fits(at, T.or_(T.eq(n, 1), T.eq(n, wanted)))
        index.append(T.switch(T.eq(n, 1), 0, at))  # one entry serves all
    return y[tuple(index)] if index else y


def row_scale(x: Any, s: Any) -> SparseVariable:
    """``x`` with each row multiplied by the entry of the vector ``s`` for it."""
    return col_scale(as_sparse_variable(x).T, s).T


def col_scale(x: Any, s: Any) -> SparseVariable:
    """``x`` with each column multiplied by the entry of the vector ``s`` for it."""
    x, s = _of_one_dtype(as_sparse_variable(x), s)
    if s.ndim != 1:
        raise ShapeError("the factors of rows or columns are a vector", expected="1 dimension", actual=str(s.type))
    return x.with_data(x.data * T.specify_shape(s, (x.shape[1],))[x.coordinates[1]])


# --- patterns -------------------------------------------------------------------------------------------------------


def ensure_sorted_indices(x: Any) -> SparseVariable:
    """The same matrix, whose stored values come in the order of rows and columns."""
    x = as_sparse_variable(x)
    rows, columns = x.coordinates
    return assembled(x.format, rows, columns, x.data, x.shape[0], x.shape[1])


def remove0(x: Any) -> SparseVariable:
    """The same matrix without stored zeros, and sorted."""
    x = as_sparse_variable(x)
    return _kept(x, T.neq(x.data, 0))


clean = remove0


def _kept(x: SparseVariable, mask: Any) -> SparseVariable:
    (kept,) = T.nonzero(mask)
    rows, columns = x.coordinates
    return assembled(x.format, rows[kept], columns[kept], x.data[kept], x.shape[0], x.shape[1])


def hstack(blocks: Sequence[Any], format: str | None = None, dtype: Any = None) -> SparseVariable:
    """Sparse matrices side by side.

    Parameters
    ----------
    blocks
        Sparse matrices with one number of rows.
    format
        ``"csr"`` or ``"csc"``, the default.
    dtype
        dtype of the result; by default the common one.
    """
    return _stacked(blocks, format, dtype, 1)


def vstack(blocks: Sequence[Any], format: str | None = None, dtype: Any = None) -> SparseVariable:
    """Sparse matrices of one number of columns, one above the other; see ``hstack``."""
    return _stacked(blocks, format, dtype, 0)


def _stacked(blocks: Sequence[Any], format: str | None, dtype: Any, axis: int) -> SparseVariable:
    parts = [as_sparse_variable(b) for b in blocks]
    if not parts:
        raise ShapeError("cannot stack an empty list of sparse matrices", expected="at least one")
    wanted = promote(*[p.dtype for p in parts]) if dtype is None else canonical_dtype(dtype)
    extents, total = [], as_tensor(0)
    places: list[list[Any]] = [[], []]
    across = parts[0].shape[1 - axis]
    for part in parts:
        _same_extent(parts[0], 1 - axis, part, 1 - axis)
        across = Assert("the extents of stacked sparse matrices differ")(across, T.eq(across, part.shape[1 - axis]))
        for i, at in enumerate(part.coordinates):
            places[i].append(at + total if i == axis else at)
        extents.append(part.shape[axis])
        total = total + part.shape[axis]
    shape = (across, total) if axis else (total, across)
    data = T.concatenate([part.astype(wanted).data for part in parts])
    rows, columns = map(T.concatenate, places)
    return assembled(checked_format(format or "csc"), rows, columns, data, shape[0], shape[1])


# --- parts ----------------------------------------------------------------------------------------------------------


def item(x: Any, index: Any) -> Any:
    """``x[index]``: a number for two integers, a vector for two lists, else a sparse matrix.

    Parameters
    ----------
    x
        A sparse matrix.
    index
        For rows and columns an integer, a slice or a list or vector of integers, which may be symbolic; rows alone
        leave all columns.
    """
    x = as_sparse_variable(x)
    index = index if isinstance(index, tuple) else (index, slice(None))
    if len(index) != 2 or any(i is None or i is Ellipsis for i in index):
        raise IndexingError("a sparse matrix is indexed by rows and columns", actual=repr(index))
    wanted: list[Any] = [i if isinstance(i, slice) else as_tensor(i) for i in index]
    for w in wanted:
        if not isinstance(w, slice) and (w.dtype[0] not in "iu" or w.ndim > 1):
            raise IndexingError(
                "rows and columns of a sparse matrix are picked by integers or slices", actual=str(w.type)
            )
    if not any(isinstance(w, slice) for w in wanted):
        rows, columns = wanted
        if rows.ndim == columns.ndim:
            picked = _points(x, as_tensor(rows, ndim=1), as_tensor(columns, ndim=1))
            return picked[0] if rows.ndim == 0 else picked
    for axis, w in enumerate(wanted):
        if isinstance(w, slice) and w == slice(None):
            continue
        x = _taken(x, T.arange(x.shape[axis])[w] if isinstance(w, slice) else as_tensor(w, ndim=1), axis)
    return x


def _taken(x: SparseVariable, wanted: Any, axis: int) -> SparseVariable:
    if axis == 1:
        return _taken(x.T, wanted, 0).T
    by_row = x.tocsr()
    position, entry = PairEntries()(cast(wanted, "int64"), by_row.indptr)
    return assembled(x.format, position, by_row.indices[entry], by_row.data[entry], wanted.shape[0], x.shape[1])


def _points(x: SparseVariable, rows: Any, columns: Any) -> Any:
    """The elements of a sparse matrix at these places, as a dense vector."""
    by_row = x.tocsr()
    n = x.shape[1]
    inside = Assert("there is no such column in the sparse matrix")
    columns = inside(columns, T.and_(T.ge(columns, -n), T.lt(columns, n)))
    columns = T.switch(T.lt(columns, 0), columns + n, columns)
    position, entry = PairEntries()(cast(rows, "int64"), by_row.indptr)
    hit = T.eq(by_row.indices[entry], T.specify_shape(columns, rows.shape)[position])
    found = T.switch(hit, by_row.data[entry], T.zeros_like(by_row.data[entry]))
    return T.inc_subtensor(T.zeros(rows.shape[0], x.dtype)[position], found)


def compared(function: Callable[[Any, Any], Any], x: Any, y: Any) -> SparseVariable:
    """Where a comparison holds, as a sparse matrix of uint8 that stores ones; it is computed densely."""
    first = x if is_sparse(x) else y
    x, y = (dense_from_sparse(v) if is_sparse(v) else v for v in (x, y))
    return _from_dense(cast(function(x, y), "uint8"), as_sparse_variable(first).format)
