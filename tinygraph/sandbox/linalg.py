"""Linear algebra under the path of Theano's first programs."""

from tinygraph.tensor.nlinalg import (
    alloc_diag,
    det,
    diag,
    eig,
    eigh,
    extract_diag,
    matrix_inverse,
    trace,
)
from tinygraph.tensor.slinalg import cholesky, eigvalsh, solve

__all__ = [
    "alloc_diag",
    "cholesky",
    "det",
    "diag",
    "eig",
    "eigh",
    "eigvalsh",
    "extract_diag",
    "matrix_inverse",
    "solve",
    "trace",
]
