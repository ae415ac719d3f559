"""Sparse matrices in compressed rows (CSR) or columns (CSC), under Theano's names.

A symbolic sparse matrix is an object over four ordinary tensors, so that gradients, rewriting and Programs know nothing
of it. Compiled functions take and give SciPy's matrices. The gradient of a sparse matrix is that of its stored values.

>>> import numpy as np, scipy.sparse, tinygraph as tg, tinygraph.tensor as T
>>> x, w = tg.sparse.csr_matrix("x"), T.matrix("w")
>>> f = tg.function([x, w], tg.grad(tg.sparse.dot(x, w).sum(), w))
>>> f(scipy.sparse.csr_matrix([[0.0, 2.0], [3.0, 0.0]]), np.ones((2, 1)))
array([[3.],
       [2.]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygraph.tensor as T
from tinygraph.graph import services
from tinygraph.sparse.calls import (
    add,
    clean,
    col_scale,
    compared,
    csc_from_dense,
    csm_data,
    csm_indices,
    csm_indptr,
    csm_properties,
    csm_shape,
    csr_from_dense,
    dense_from_sparse,
    diag,
    dot,
    ensure_sorted_indices,
    hstack,
    item,
    mul,
    remove0,
    row_scale,
    sampling_dot,
    sp_ones_like,
    sp_sum,
    sp_zeros_like,
    square_diagonal,
    structured_dot,
    sub,
    true_dot,
    usmm,
    vstack,
)
from tinygraph.sparse.structured import (
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    cast,
    ceil,
    conj,
    deg2rad,
    expm1,
    floor,
    log1p,
    neg,
    rad2deg,
    rint,
    sgn,
    sin,
    sinh,
    sqr,
    sqrt,
    structured_add,
    structured_exp,
    structured_log,
    structured_maximum,
    structured_minimum,
    structured_pow,
    structured_sigmoid,
    tan,
    tanh,
    transpose,
    trunc,
)
from tinygraph.sparse.variable import (
    CSC,
    CSR,
    SparseSharedVariable,
    SparseType,
    SparseVariable,
    as_sparse,
    as_sparse_or_tensor_variable,
    as_sparse_variable,
    of_type,
    shared_sparse,
)

__all__ = [
    "CSC",
    "CSR",
    "SparseSharedVariable",
    "SparseType",
    "SparseVariable",
    "add",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "as_sparse",
    "as_sparse_or_tensor_variable",
    "as_sparse_variable",
    "cast",
    "ceil",
    "clean",
    "col_scale",
    "conj",
    "constant",
    "csc_dmatrix",
    "csc_fmatrix",
    "csc_from_dense",
    "csc_matrix",
    "csm_data",
    "csm_indices",
    "csm_indptr",
    "csm_properties",
    "csm_shape",
    "csr_dmatrix",
    "csr_fmatrix",
    "csr_from_dense",
    "csr_matrix",
    "deg2rad",
    "dense_from_sparse",
    "diag",
    "dot",
    "ensure_sorted_indices",
    "eq",
    "expm1",
    "floor",
    "ge",
    "gt",
    "hstack",
    "le",
    "log1p",
    "lt",
    "matrix",
    "mul",
    "neg",
    "neq",
    "rad2deg",
    "remove0",
    "rint",
    "row_scale",
    "sampling_dot",
    "sgn",
    "shared",
    "sin",
    "sinh",
    "sp_ones_like",
    "sp_sum",
    "sp_zeros_like",
    "sqr",
    "sqrt",
    "square_diagonal",
    "structured_add",
    "structured_dot",
    "structured_exp",
    "structured_log",
    "structured_maximum",
    "structured_minimum",
    "structured_pow",
    "structured_sigmoid",
    "sub",
    "tan",
    "tanh",
    "transpose",
    "true_dot",
    "trunc",
    "usmm",
    "vstack",
]

constant = as_sparse_variable
shared = shared_sparse

csr_fmatrix, csr_dmatrix = SparseType("csr", "float32"), SparseType("csr", "float64")
csc_fmatrix, csc_dmatrix = SparseType("csc", "float32"), SparseType("csc", "float64")


def matrix(format: str, name: str | None = None, dtype: Any = None) -> SparseVariable:
    """A sparse matrix of a format, ``"csr"`` or ``"csc"``; its dtype is ``config.floatX`` where none is given."""
    return of_type(format, name, dtype)


def csr_matrix(name: str | None = None, dtype: Any = None) -> SparseVariable:
    """A sparse matrix in compressed rows; its dtype is ``config.floatX`` where none is given."""
    return of_type("csr", name, dtype)


def csc_matrix(name: str | None = None, dtype: Any = None) -> SparseVariable:
    """A sparse matrix in compressed columns; its dtype is ``config.floatX`` where none is given."""
    return of_type("csc", name, dtype)


def _comparison(name: str, sign: str) -> Callable[[Any, Any], SparseVariable]:
    function = getattr(T, name)

    def comparison(x: Any, y: Any) -> SparseVariable:
        return compared(function, x, y)

    comparison.__name__ = comparison.__qualname__ = name
    comparison.__doc__ = f"``x {sign} y``, as a sparse matrix of uint8 that stores ones; it is computed densely."
    return comparison


eq, neq = _comparison("eq", "=="), _comparison("neq", "!=")
lt, le = _comparison("lt", "<"), _comparison("le", "<=")
gt, ge = _comparison("gt", ">"), _comparison("ge", ">=")

#: Operators and methods; the functions need the class, so it gets them here.
_METHODS: dict[str, Callable[..., Any]] = {
    "__add__": add,
    "__radd__": add,
    "__sub__": sub,
    "__rsub__": lambda self, other: sub(other, self),
    "__mul__": mul,
    "__rmul__": mul,
    "__matmul__": structured_dot,
    "__rmatmul__": lambda self, other: structured_dot(other, self),
    "__neg__": neg,
    "__lt__": lt,
    "__le__": le,
    "__gt__": gt,
    "__ge__": ge,
    "__getitem__": item,
    "dot": dot,
    "sum": sp_sum,
    "multiply": mul,
    "zeros_like": sp_zeros_like,
}
for _name, _method in _METHODS.items():
    setattr(SparseVariable, _name, _method)

services.provide("sparse_dot", structured_dot)
