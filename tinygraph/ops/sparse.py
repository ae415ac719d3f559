"""Sparse matrices as tensors: stored values, their column in each row, and where each row begins.

These operations know one layout, compressed rows; compressed columns are the same of the transpose. The ones that work
on patterns give integers only, so that values and their gradients are left to gathering, scattering and two products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import IndexingError, ShapeError
from tinygraph.graph import Op
from tinygraph.types import Abstract, Extent, TensorType, shape_text

__all__ = ["CheckedPattern", "MergeEntries", "PairEntries", "SampledDot", "SparseDot", "StoredRows", "pattern_error"]

Vjp = Sequence[Any]

#: How many numbers ``SampledDot`` gathers at a time.
_GATHERED = 1 << 18

#: What the libraries' own products take on every device.
_PRODUCT_DTYPES = ("float32", "float64")


def _spread(xp: Any, pointers: Any, n: int) -> Any:
    """For each of ``n`` entries the row it is in, where row ``i`` has those from ``pointers[i]`` on."""
    starts = xp.zeros(n + 1, "int64")
    xp.scatter_add(starts, pointers[1:-1], 1)
    return xp.cumsum(starts)[:n]


def pattern_error(xp: Any, n: int, indices: Any, indptr: Any, n_rows: Any, n_columns: Any) -> ShapeError | None:
    """What is wrong with a pattern of ``n`` stored values in compressed rows, or None."""
    rows = indptr.shape[0] - 1
    if rows != n_rows:
        return ShapeError(
            "there must be one pointer more than rows (for CSC: columns)",
            expected=f"indptr of shape {shape_text((int(n_rows) + 1,))}",
            actual=shape_text(indptr.shape),
        )
    if indices.shape[0] != n or int(indptr[0]) != 0 or int(indptr[-1]) != n or bool(xp.any(indptr[1:] < indptr[:-1])):
        return ShapeError(
            "the pointers do not divide the stored values into rows (for CSC: columns)",
            expected=f"indptr rising from 0 to {n}, and as many indices",
            actual=f"{n} values, {indices.shape[0]} indices, indptr from {int(indptr[0])} to {int(indptr[-1])}",
        )
    if n and (int(indices.min()) < 0 or int(indices.max()) >= n_columns):
        return ShapeError(
            "an index of a stored value is out of range",
            expected=f"0 to {int(n_columns) - 1}",
            actual=f"{int(indices.min())} to {int(indices.max())}",
        )
    return None


class CheckedPattern(Op):
    """Column indices and row pointers as int32, after a check that they fit the number of values and the shape."""

    host = (3, 4)

    def infer(self, data: Abstract, indices: Abstract, indptr: Abstract, n_rows: Abstract, n_columns: Abstract) -> Any:
        stored, pointers = indices.shape[0], indptr.shape[0]
        if None not in (stored, data.shape[0]) and stored != data.shape[0]:
            raise ShapeError(
                "a sparse matrix needs one index for each stored value",
                expected=f"indices of shape {shape_text(data.shape)}",
                actual=shape_text(indices.shape),
            )
        if isinstance(n_rows.value, int):
            if pointers is not None and pointers != n_rows.value + 1:
                raise ShapeError(
                    "there must be one pointer more than rows (for CSC: columns)",
                    expected=f"indptr of shape {shape_text((n_rows.value + 1,))}",
                    actual=shape_text(indptr.shape),
                )
            pointers = n_rows.value + 1
        stored = data.shape[0] if stored is None else stored
        return TensorType("int32", (stored,)), TensorType("int32", (pointers,))

    def compute(self, xp: Any, data: Any, indices: Any, indptr: Any, n_rows: Any, n_columns: Any) -> Any:
        error = pattern_error(xp, data.shape[0], indices, indptr, n_rows, n_columns)
        if error is not None:
            raise error
        return indices.astype("int32"), indptr.astype("int32")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None] * 5


class StoredRows(Op):
    """The row of each stored value, from the column indices and the row pointers."""

    def infer(self, indices: Abstract, indptr: Abstract) -> TensorType:
        return TensorType("int32", indices.shape)

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, indices: Any, indptr: Any) -> Any:
        return _spread(xp, indptr, indices.shape[0]).astype("int32")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None]


class MergeEntries(Op):
    """The pattern that holds entries given by row and column, in any order.

    Outputs: the order in which the entries come; the place of each among the stored values; column indices; pointers.

    Parameters
    ----------
    sums
        True gives entries of one row and column one place; False gives each its own.
    """

    sums: bool

    host = (2,)

    def infer(self, rows: Abstract, columns: Abstract, n_rows: Abstract) -> Any:
        n = rows.shape[0]
        pointers = n_rows.value + 1 if isinstance(n_rows.value, int) else None
        places = TensorType("int64", (n,))
        return places, places, TensorType("int32", (None if self.sums else n,)), TensorType("int32", (pointers,))

    def compute(self, xp: Any, rows: Any, columns: Any, n_rows: Any) -> Any:
        order = xp.stable_order(columns)
        order = order[xp.stable_order(rows[order])]
        rows, columns = rows[order], columns[order]
        first = xp.ones(rows.shape, bool)
        if self.sums:
            first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
        place = xp.empty(rows.shape, "int64")
        place[order] = xp.cumsum(first) - 1
        indptr = xp.searchsorted(rows[first], xp.arange(int(n_rows) + 1))
        return order.astype("int64"), place, columns[first].astype("int32"), indptr.astype("int32")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None, None]


class PairEntries(Op):
    """Every stored value of a list of rows, row after row.

    Inputs: the rows wanted, and the matrix's pointers. Outputs: for each value the position in the list of the row that
    it is from, and its place among the stored values.
    """

    def infer(self, wanted: Abstract, indptr: Abstract) -> Any:
        return TensorType("int64", (None,)), TensorType("int64", (None,))

    def compute(self, xp: Any, wanted: Any, indptr: Any) -> Any:
        n = indptr.shape[0] - 1
        if wanted.shape[0] and (int(wanted.min()) < -n or int(wanted.max()) >= n):
            raise IndexingError(
                "there is no such row (for CSC: column) in the sparse matrix",
                expected=f"{-n} to {n - 1}",
                actual=f"{int(wanted.min())} to {int(wanted.max())}",
            )
        wanted = xp.where(wanted < 0, wanted + n, wanted)
        starts = indptr[wanted].astype("int64")
        ends = xp.zeros(wanted.shape[0] + 1, "int64")
        xp.cumsum(indptr[wanted + 1] - starts, out=ends[1:])
        total = int(ends[-1])
        position = _spread(xp, ends, total)
        return position, xp.arange(total) - ends[position] + starts[position]

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None]


def _rows_of(indptr: Abstract) -> Extent:
    return None if indptr.shape[0] is None else indptr.shape[0] - 1


class SparseDot(Op):
    """The product of a sparse matrix in compressed rows and a dense one.

    Inputs: stored values, column indices, pointers, number of columns, dense matrix.

    Parameters
    ----------
    transposed
        True multiplies with the transpose of the sparse matrix.
    """

    transposed: bool

    host = (3,)

    @property
    def name(self) -> str:
        return "sparse dot"

    def infer(self, data: Abstract, indices: Abstract, indptr: Abstract, n_columns: Abstract, dense: Abstract) -> Any:
        known = n_columns.value if isinstance(n_columns.value, int) else None
        shape: tuple[Extent, Extent] = (_rows_of(indptr), known)
        m, n = reversed(shape) if self.transposed else shape
        if None not in (n, dense.shape[0]) and n != dense.shape[0]:
            raise _inner_extents((m, n), dense.shape)
        return TensorType(data.dtype, (m, dense.shape[1]))

    def compute(self, xp: Any, data: Any, indices: Any, indptr: Any, n_columns: Any, dense: Any) -> Any:
        rows, columns = indptr.shape[0] - 1, int(n_columns)
        m, n = (columns, rows) if self.transposed else (rows, columns)
        if dense.shape[0] != n:
            raise _inner_extents((m, n), dense.shape)
        if data.dtype.name in _PRODUCT_DTYPES:
            layout = xp.sparse.csc_matrix if self.transposed else xp.sparse.csr_matrix
            return xp.ascontiguousarray(layout((data, indices, indptr), shape=(m, n)) @ dense)
        major = _spread(xp, indptr, data.shape[0])
        into, of = (indices, major) if self.transposed else (major, indices)
        out = xp.zeros((m, dense.shape[1]), data.dtype)
        xp.scatter_add(out, into, data[:, None] * dense[of])
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        data, indices, indptr, n_columns, dense = inputs
        g = cotangents[0]
        by_row, by_column = (dense, g) if self.transposed else (g, dense)
        return [
            lambda: SampledDot()(by_row, by_column, indices, indptr),
            None,
            None,
            None,
            lambda: SparseDot(not self.transposed)(data, indices, indptr, n_columns, g),
        ]


def _inner_extents(sparse: Sequence[Extent], dense: Sequence[Extent]) -> ShapeError:
    return ShapeError(
        "the inner extents of a product with a sparse matrix differ",
        expected=f"{shape_text(sparse)} times {shape_text((sparse[1], None))}",
        actual=f"{shape_text(sparse)} times {shape_text(dense)}",
    )


class SampledDot(Op):
    """For each stored value of a pattern the inner product of a row of ``x`` and a row of ``y``.

    They are picked by the row and the column of the value: these are entries of ``x @ y.T``.
    """

    @property
    def name(self) -> str:
        return "sampled dot"

    def infer(self, x: Abstract, y: Abstract, indices: Abstract, indptr: Abstract) -> TensorType:
        rows, k = _rows_of(indptr), (x.shape[1], y.shape[1])
        if None not in k and k[0] != k[1]:
            raise ShapeError(
                "the rows of the two matrices differ in length",
                expected=shape_text(x.shape),
                actual=shape_text(y.shape),
            )
        if None not in (rows, x.shape[0]) and rows != x.shape[0]:
            raise _other_pattern(rows, x.shape)
        return TensorType(x.dtype, indices.shape)

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[2]

    def compute(self, xp: Any, x: Any, y: Any, indices: Any, indptr: Any) -> Any:
        n, k, rows = indices.shape[0], x.shape[1], indptr.shape[0] - 1
        if x.shape[0] != rows:
            raise _other_pattern(rows, x.shape)
        if n and int(indices.max()) >= y.shape[0]:
            raise _other_pattern(int(indices.max()) + 1, y.shape)
        major = _spread(xp, indptr, n)
        out = xp.empty(n, x.dtype)
        step = max(1, _GATHERED // max(1, k))
        for start in range(0, n, step):
            part = slice(start, start + step)
            out[part] = xp.einsum("ek,ek->e", x[major[part]], y[indices[part]])
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        x, y, indices, indptr = inputs
        g, n_columns = cotangents[0], y.shape[0]
        return [
            lambda: SparseDot(False)(g, indices, indptr, n_columns, y),
            lambda: SparseDot(True)(g, indices, indptr, n_columns, x),
            None,
            None,
        ]


def _other_pattern(rows: Extent, shape: Sequence[Extent]) -> ShapeError:
    return ShapeError(
        "a matrix does not fit the pattern that its products are taken at",
        expected=f"at least {rows} rows",
        actual=shape_text(shape),
    )
