"""Sparse matrices as symbolic variables: four ordinary tensors behind one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.config import config
from tinygraph.errors import DtypeError, InputError, ShapeError, UpdateError
from tinygraph.graph import Composite, services, shared
from tinygraph.ops.convert import as_tensor, cast, constant, stack
from tinygraph.ops.creation import zeros
from tinygraph.ops.inc_subtensor import inc_subtensor
from tinygraph.ops.sparse import CheckedPattern, MergeEntries, StoredRows, pattern_error
from tinygraph.types import TensorType, canonical_dtype, shape_text

__all__ = [
    "CSC",
    "CSR",
    "SparseSharedVariable",
    "SparseType",
    "SparseVariable",
    "as_sparse",
    "as_sparse_or_tensor_variable",
    "as_sparse_variable",
    "assembled",
    "checked_format",
    "is_sparse",
    "merged",
    "of_type",
    "shared_sparse",
]

#: dtypes that both SciPy's and CuPy's sparse matrices hold.
_ON_DEVICE = ("bool", "float32", "float64")


@dataclass(frozen=True)
class SparseType:
    """The type of a sparse matrix: its format, ``"csr"`` or ``"csc"``, and the dtype of its values.

    >>> SparseType("csr", "float32")("x").format
    'csr'
    """

    format: str
    dtype: str

    ndim = 2
    broadcastable = (False, False)

    def __init__(self, format: str, dtype: Any) -> None:
        object.__setattr__(self, "format", checked_format(format))
        object.__setattr__(self, "dtype", canonical_dtype(dtype))

    def __call__(self, name: str | None = None) -> SparseVariable:
        """A new symbolic variable of this type."""

        def part(what: str, dtype: str, *shape: None) -> Any:
            return TensorType(dtype, shape)(None if name is None else f"{name}.{what}")

        data, indices = part("data", self.dtype, None), part("indices", "int32", None)
        minor = part("columns" if self.format == "csr" else "rows", "int64")
        return SparseVariable(self.format, data, indices, part("indptr", "int32", None), minor, name=name)

    def __str__(self) -> str:
        return f"sparse {self.format} {self.dtype}"


def checked_format(format: Any) -> str:
    """The format, or an error where there is no such thing here."""
    if format not in ("csr", "csc"):
        raise DtypeError("there is no such sparse format", expected="'csr' or 'csc'", actual=repr(format))
    return str(format)


class SparseVariable(Composite):
    """A symbolic sparse matrix.

    Attributes
    ----------
    format
        ``"csr"``, where values are stored row by row, or ``"csc"``, column by column.
    data
        The stored values, a vector.
    indices
        The column of each (CSC: the row), int32.
    indptr
        Where each row (CSC: column) begins among them, and the end of the last, int32.
    minor
        Number of columns (CSC: rows), a 0-d int64.
    name
        A name for messages, or None.

    Values that are not stored are zero; those stored for one place more than once add up. Functions of one matrix act
    on stored values one by one, so where places repeat, call ``sum_duplicates`` first.
    """

    def __init__(
        self, format: str, data: Any, indices: Any, indptr: Any, minor: Any, *, name: str | None = None
    ) -> None:
        self.format = format
        self.data, self.indices, self.indptr, self.minor = data, indices, indptr, minor
        self.name = name

    @property
    def parts(self) -> tuple[Any, ...]:  # type: ignore[override]
        return self.data, self.indices, self.indptr, self.minor

    @property
    def type(self) -> SparseType:
        return SparseType(self.format, self.data.dtype)

    @property
    def dtype(self) -> str:
        return str(self.data.dtype)

    @property
    def ndim(self) -> int:
        return 2

    @property
    def major(self) -> Any:
        """Number of rows (CSC: columns)."""
        return self.indptr.shape[0] - 1

    @property
    def shape(self) -> Any:
        """The shape, as an int64 vector."""
        return stack([self.major, self.minor] if self.format == "csr" else [self.minor, self.major])

    @property
    def size(self) -> Any:
        """How many values are stored."""
        return self.data.size

    @property
    def T(self) -> SparseVariable:
        """The transpose, which shares everything and has the other format."""
        return SparseVariable("csc" if self.format == "csr" else "csr", *self.parts)

    @property
    def coordinates(self) -> tuple[Any, Any]:
        """The row and the column of each stored value."""
        major = StoredRows()(self.indices, self.indptr)
        return (major, self.indices) if self.format == "csr" else (self.indices, major)

    # NumPy's arrays leave operators to this class, and a loop over rows would never end.
    __array_ufunc__ = None
    __array_priority__ = 1000
    __iter__ = None

    def transpose(self) -> SparseVariable:
        """The transpose, as ``x.T``."""
        return self.T

    def with_data(self, data: Any) -> SparseVariable:
        """The same pattern with other values."""
        return SparseVariable(self.format, data, *self.parts[1:])

    def astype(self, dtype: Any) -> SparseVariable:
        """The same with values of another dtype."""
        return self.with_data(cast(self.data, dtype))

    def toarray(self) -> Any:
        """The dense matrix."""
        if self.dtype == "bool":
            return cast(self.astype("int8").toarray(), "bool")
        dense = zeros((self.shape[0], self.shape[1]), self.dtype)
        return inc_subtensor(dense[self.coordinates], self.data)

    def asformat(self, format: str) -> SparseVariable:
        """The same matrix as ``"csr"`` or ``"csc"``; stored values come sorted where it changes."""
        if checked_format(format) == self.format:
            return self
        return assembled(format, *self.coordinates, self.data, self.shape[0], self.shape[1])

    def tocsr(self) -> SparseVariable:
        """The same matrix with values stored row by row."""
        return self.asformat("csr")

    def tocsc(self) -> SparseVariable:
        """The same matrix with values stored column by column."""
        return self.asformat("csc")

    def sum_duplicates(self) -> SparseVariable:
        """The same matrix with one stored value for each place, sorted."""
        return assembled(self.format, *self.coordinates, self.data, self.shape[0], self.shape[1], sums=True)

    # --- what function and grad ask for -------------------------------------------------------------------------------

    def split(self, value: Any) -> Sequence[Any]:
        """The arrays of a sparse matrix, or of anything that SciPy makes one of."""
        given = value
        xp = arrays.get("numpy")
        if not hasattr(value, "tocsr"):
            try:
                value = getattr(xp.sparse, f"{self.format}_matrix")(np.asarray(arrays.to_numpy(value)))
            except (TypeError, ValueError) as err:
                raise self._misfit(f"the value is no sparse matrix: {err}", given) from err
        if len(value.shape) != 2:
            raise self._misfit("the value is no matrix", given)
        matrix = value.asformat(self.format)
        minor = matrix.shape[1 if self.format == "csr" else 0]
        error = pattern_error(
            arrays.module_of(matrix.data),
            len(matrix.data),
            matrix.indices,
            matrix.indptr,
            len(matrix.indptr) - 1,
            minor,
        )
        if error is not None:
            raise self._misfit(f"{error.problem} (expected {error.expected}, got {error.actual})", given)
        if matrix.indices.dtype != "int32" and max(minor, len(matrix.data)) >= 2**31:
            raise self._misfit("the matrix has more columns, rows or values than int32 counts", given)
        return matrix.data, matrix.indices.astype("int32"), matrix.indptr.astype("int32"), minor

    def _misfit(self, problem: str, value: Any) -> InputError:
        error = InputError(
            f"sparse input{f' {self.name!r}' if self.name else ''}: {problem}",
            expected=f"a {self.format} matrix of {self.dtype}",
            actual=_described(value),
        )
        error.locate("", (), self.data.origin.trace())
        return error

    def joined(self, arrays_: Sequence[Any]) -> Any:
        """The SciPy (or CuPy) sparse matrix."""
        xp = arrays.module_of(arrays_[0])
        if xp.name != "numpy" and arrays_[0].dtype.name not in _ON_DEVICE:
            arrays_, xp = [arrays.to_numpy(a) for a in arrays_], arrays.get("numpy")
        data, indices, indptr, minor = arrays_
        shape = (len(indptr) - 1, int(minor))
        layout = getattr(xp.sparse, f"{self.format}_matrix")
        return layout((data, indices, indptr), shape=shape if self.format == "csr" else shape[::-1])

    def outline(self) -> SparseVariable:
        """A matrix of this type that depends on nothing."""
        return self.type(self.name)

    def with_first(self, first: Any) -> SparseVariable:
        """The pattern with other values, such as their gradient."""
        return self.with_data(first)

    def fitted(self, other: Any) -> SparseVariable:
        """A sparse matrix that stands for this one, in this format."""
        return as_sparse_variable(other).asformat(self.format)

    def eval(self, inputs_to_values: Mapping[Any, Any] | None = None) -> Any:
        """The value for given values of the inputs."""
        return services.call("evaluate", self, inputs_to_values)

    def __str__(self) -> str:
        return self.name or f"<{self.type}>"

    __repr__ = __str__


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    kind = f"{type(value).__name__}"
    return kind if shape is None else f"{kind}, {getattr(value, 'dtype', '')} {shape_text(shape)}"


class SparseSharedVariable(SparseVariable):
    """A sparse matrix that lives between calls; ``updates`` change it as they do other shared variables."""

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """The current value, a SciPy sparse matrix (CuPy's, with ``return_internal_type``, on a GPU)."""
        return self.joined([v.get_value(borrow, return_internal_type) for v in self.parts])

    def set_value(self, new_value: Any, borrow: bool = False) -> None:
        """Replace the value.

        Raises
        ------
        UpdateError
            If it is no sparse matrix, or its dtype does not fit; the old value stays.
        """
        if not hasattr(new_value, "tocsr"):
            raise UpdateError(
                f"shared variable {self} takes a sparse matrix", expected=str(self.type), actual=_described(new_value)
            )
        values = [v.checked(part, borrow) for v, part in zip(self.parts, self.split(new_value), strict=True)]
        for variable, value in zip(self.parts, values, strict=True):
            variable.set_value(value, borrow=True)


def shared_sparse(
    value: Any,
    name: str | None = None,
    strict: bool = False,
    allow_downcast: bool | None = None,
    borrow: bool = False,
    format: str | None = None,
    backend: str | None = None,
    dtype: Any = None,
) -> SparseSharedVariable:
    """A shared variable that holds a sparse matrix; ``tg.shared`` calls this.

    Parameters
    ----------
    value
        A SciPy sparse matrix.
    name
        For messages.
    format
        ``"csr"`` or ``"csc"``; by default the value's where it is one of them, else CSR.
    dtype
        Convert the values to this dtype first.
    strict, allow_downcast, borrow
        Accepted as in Theano; the value is copied.
    backend
        ``"numpy"`` or ``"cupy"``; default ``config.backend``.
    """
    if not hasattr(value, "tocsr"):
        raise DtypeError("a sparse shared variable holds a sparse matrix", actual=_described(value))
    kind = SparseType(_format_of(value, format), canonical_dtype(dtype or value.dtype))
    parts = kind(name).split(value)
    names = [v.name for v in kind(name).parts]
    dtypes = (kind.dtype, "int32", "int32", "int64")
    held = [shared(p, n, dtype=d, backend=backend) for p, n, d in zip(parts, names, dtypes, strict=True)]
    data, indices, indptr, minor = held
    return SparseSharedVariable(kind.format, data, indices, indptr, minor, name=name)


services.provide("shared_sparse", shared_sparse)


def _format_of(value: Any, format: str | None = None) -> str:
    return checked_format(format) if format is not None else value.format if value.format in ("csr", "csc") else "csr"


# --- making them ----------------------------------------------------------------------------------------------------


def is_sparse(x: Any) -> bool:
    """True for a sparse variable and for a sparse matrix."""
    return isinstance(x, SparseVariable) or hasattr(x, "tocsr")


def as_sparse_variable(x: Any, name: str | None = None) -> SparseVariable:
    """A sparse variable as it is, or a constant with the values of a sparse matrix.

    Parameters
    ----------
    x
        A sparse variable, or a SciPy sparse matrix of any format; all but CSC become CSR.
    name
        For messages.

    Raises
    ------
    DtypeError
        If ``x`` is dense.

    >>> import scipy.sparse, tinygraph as tg
    >>> tg.sparse.as_sparse_variable(scipy.sparse.eye(3, format="csc")).format
    'csc'
    """
    if isinstance(x, SparseVariable):
        return x
    if not hasattr(x, "tocsr"):
        raise DtypeError(
            "a sparse matrix is needed",
            expected="a sparse variable or a SciPy sparse matrix",
            actual=_described(x),
            hint="sparse.csr_from_dense makes one of a dense matrix",
        )
    kind = SparseType(_format_of(x), x.dtype)
    parts = zip(kind().split(x), (kind.dtype, "int32", "int32", "int64"), strict=True)
    data, indices, indptr, minor = (constant(part, dtype=dtype) for part, dtype in parts)
    return SparseVariable(kind.format, data, indices, indptr, minor, name=name)


as_sparse = as_sparse_variable


def as_sparse_or_tensor_variable(x: Any, name: str | None = None) -> Any:
    """A sparse variable of what is sparse, a tensor of anything else."""
    return as_sparse_variable(x, name) if is_sparse(x) else as_tensor(x, name)


def CSR(data: Any, indices: Any, indptr: Any, shape: Any) -> SparseVariable:
    """The matrix that holds these values in compressed rows.

    Parameters
    ----------
    data
        The values, a vector.
    indices
        The column of each: integers.
    indptr
        Where each row begins among the values, and the end of the last row.
    shape
        Two integers or an integer vector.

    Raises
    ------
    ShapeError
        If the vectors do not fit each other or the shape: at once where lengths are known, else when it is computed.

    The gradient of ``data`` is that of the stored values.

    >>> import tinygraph as tg
    >>> tg.sparse.CSR([5.0, 7.0], [2, 0], [0, 1, 2], (2, 3)).toarray().eval()
    array([[0., 0., 5.],
           [7., 0., 0.]])
    """
    return _from_parts("csr", data, indices, indptr, shape)


def CSC(data: Any, indices: Any, indptr: Any, shape: Any) -> SparseVariable:
    """The matrix that holds these values in compressed columns; see ``CSR``.

    >>> import tinygraph as tg
    >>> tg.sparse.CSC([5.0, 7.0], [1, 0], [0, 1, 1, 2], (2, 3)).toarray().eval()
    array([[0., 0., 7.],
           [5., 0., 0.]])
    """
    return _from_parts("csc", data, indices, indptr, shape)


def _from_parts(format: str, data: Any, indices: Any, indptr: Any, shape: Any) -> SparseVariable:
    data, indices, indptr = as_tensor(data), _integers(indices), _integers(indptr)
    for vector in (data, indices, indptr):
        if vector.ndim != 1:
            raise ShapeError(
                "a sparse matrix is given by three vectors",
                expected="data, indices and indptr of 1 dimension",
                actual=", ".join(str(v.type) for v in (data, indices, indptr)),
            )
    if not isinstance(shape, (list, tuple)):
        shape = as_tensor(shape)
    elif len(shape) != 2:
        raise ShapeError("a sparse matrix has two extents", expected="(rows, columns)", actual=repr(shape))
    rows, columns = (cast(_integers(shape[i]), "int64") for i in (0, 1))
    major, minor = (rows, columns) if format == "csr" else (columns, rows)
    indices, indptr = CheckedPattern()(data, indices, indptr, major, minor)
    return SparseVariable(format, data, indices, indptr, minor)


def _integers(x: Any) -> Any:
    x = as_tensor(x)
    if x.dtype[0] not in "iu":
        if x.type.shape == (0,):
            return cast(x, "int64")  # an empty list
        raise DtypeError("indices, pointers and extents of a sparse matrix are integers", actual=str(x.type))
    return x


def assembled(
    format: str, rows: Any, columns: Any, data: Any, n_rows: Any, n_columns: Any, sums: bool = False
) -> SparseVariable:
    """The matrix that holds entries given by row and column; with ``sums`` those of one place become one value."""
    order, place, indices, indptr, minor = merged(format, rows, columns, n_rows, n_columns, sums)
    data = inc_subtensor(zeros(indices.shape[0], data.dtype)[place], data) if sums else data[order]
    return SparseVariable(format, data, indices, indptr, minor)


def merged(format: str, rows: Any, columns: Any, n_rows: Any, n_columns: Any, sums: bool) -> list[Any]:
    """The pattern of entries: their order, the place of each, indices, pointers, and the extent of the minor axis."""
    entries = (rows, columns, n_rows, n_columns) if format == "csr" else (columns, rows, n_columns, n_rows)
    major, minor, n_major, n_minor = (cast(v, "int64") for v in entries)
    return [*MergeEntries(sums)(major, minor, n_major), n_minor]


def of_type(format: str, name: str | None, dtype: Any) -> SparseVariable:
    """A sparse variable by format; ``config.floatX`` where no dtype is given."""
    return SparseType(format, config.floatX if dtype is None else dtype)(name)
