"""Linear algebra under SciPy's names, and Theano's names of operations."""

from tinygraph.ops.decompositions import Cholesky, cholesky, eigvalsh
from tinygraph.ops.linalg_classes import Eigvalsh
from tinygraph.ops.matrix_functions import Expm, expm, kron
from tinygraph.ops.solve import (
    MATRIX_STRUCTURES,
    Solve,
    solve_lower_triangular,
    solve_triangular,
    solve_upper_triangular,
)
from tinygraph.ops.systems import cho_solve, solve, solve_symmetric

__all__ = [
    "MATRIX_STRUCTURES",
    "Cholesky",
    "Eigvalsh",
    "Expm",
    "Solve",
    "cho_solve",
    "cholesky",
    "eigvalsh",
    "expm",
    "kron",
    "solve",
    "solve_lower_triangular",
    "solve_symmetric",
    "solve_triangular",
    "solve_upper_triangular",
]
