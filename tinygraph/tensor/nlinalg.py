"""Linear algebra under NumPy's names, and Theano's names of operations."""

from tinygraph.ops.decompositions import SVD, Eig, Eigh, eig, eigh, qr, svd
from tinygraph.ops.linalg_classes import (
    AllocDiag,
    ExtractDiag,
    QRFull,
    QRIncomplete,
    TensorInv,
    TensorSolve,
    alloc_diag,
)
from tinygraph.ops.matrices import diag
from tinygraph.ops.matrices import diagonal as extract_diag
from tinygraph.ops.matrix_functions import (
    Det,
    det,
    kron,
    logdet,
    matrix_dot,
    matrix_power,
    norm,
    slogdet,
    trace,
)
from tinygraph.ops.solve import MatrixInverse, matrix_inverse
from tinygraph.ops.systems import MatrixPinv, lstsq, pinv, tensorinv, tensorsolve

__all__ = [
    "SVD",
    "AllocDiag",
    "Det",
    "Eig",
    "Eigh",
    "ExtractDiag",
    "MatrixInverse",
    "MatrixPinv",
    "QRFull",
    "QRIncomplete",
    "TensorInv",
    "TensorSolve",
    "alloc_diag",
    "det",
    "diag",
    "eig",
    "eigh",
    "extract_diag",
    "kron",
    "logdet",
    "lstsq",
    "matrix_dot",
    "matrix_inverse",
    "matrix_power",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "svd",
    "tensorinv",
    "tensorsolve",
    "trace",
]
