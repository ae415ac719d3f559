"""Op table: sparse matrices, whose stored values are an argument and whose pattern is fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from tests.optable.case import Arg, Case
from tinygraph import sparse

__all__ = ["CASES"]

SHAPE = (4, 5)
#: An empty row, an unsorted one, and a place that is stored twice.
INDICES = np.array([3, 0, 1, 1, 4, 2], "int32")
INDPTR = np.array([0, 2, 2, 5, 6], "int32")
#: The same shape with another pattern.
INDICES_2 = np.array([0, 1, 2, 4], "int32")
INDPTR_2 = np.array([0, 1, 2, 4, 4], "int32")
PATTERNS = {"csr": (SHAPE, INDICES, INDPTR), "csc": (SHAPE[::-1], INDICES, INDPTR)}
#: Where each value is stored, in the order of storage.
MAJOR = np.repeat(np.arange(4), np.diff(INDPTR))


def _sparse(data: Any, format: str) -> Any:
    shape, indices, indptr = PATTERNS[format]
    return (sparse.CSR if format == "csr" else sparse.CSC)(data, indices, indptr, shape)


def _dense(data: Any, format: str, indices: Any = INDICES, indptr: Any = INDPTR) -> Any:
    """The dense matrix; written without SciPy, which has no float16 and copies what it pleases."""
    out = np.zeros(SHAPE, data.dtype)
    np.add.at(out, (np.repeat(np.arange(4), np.diff(indptr)), indices), data)
    return out if format == "csr" else out.T


def _second(data: Any, format: str) -> Any:
    shape = PATTERNS[format][0]
    return (sparse.CSR if format == "csr" else sparse.CSC)(data, INDICES_2, INDPTR_2, shape)


def _cases(format: str) -> list[Case]:
    rows, columns = PATTERNS[format][0]
    data = Arg((6,), 0.2, 2.0)
    other = Arg((4,), 0.2, 2.0)

    def case(name: str, build: Callable[..., Any], reference: Callable[..., Any], *more: Arg, **options: Any) -> Case:
        return Case(
            f"sparse {name}: {format}",
            f"sparse.{name.partition(',')[0]}",
            lambda d, *xs: build(_sparse(d, format), *xs),
            lambda d, *xs: reference(_dense(d, format), *xs),
            (data, *more),
            **options,
        )

    def both(name: str, build: Callable[..., Any], reference: Callable[..., Any]) -> Case:
        return Case(
            f"sparse {name}: {format}",
            f"sparse.{name.partition(',')[0]}",
            lambda d, e: build(_sparse(d, format), _second(e, format)).toarray(),
            lambda d, e: reference(_dense(d, format), _dense(e, format, INDICES_2, INDPTR_2)),
            (data, other),
        )

    return [
        case("dot", sparse.dot, np.dot, Arg((columns, 3)), integers=("int8", "int64")),
        case("dot, vector", sparse.dot, np.dot, Arg((columns,))),
        case("dot, dense first", lambda x, y: sparse.dot(y, x), lambda x, y: y @ x, Arg((3, rows))),
        case("dense_from_sparse", sparse.dense_from_sparse, lambda x: x, integers=("int8", "bool")),
        case("sp_sum", sparse.sp_sum, lambda x: x.sum()),
        case("sp_sum, rows", lambda x: sparse.sp_sum(x, 0), lambda x: x.sum(0)),
        case("sp_sum, columns", lambda x: sparse.sp_sum(x, -1), lambda x: x.sum(1)),
        case("row_scale", lambda x, s: sparse.row_scale(x, s).toarray(), lambda x, s: x * s[:, None], Arg((rows,))),
        case("col_scale", lambda x, s: sparse.col_scale(x, s).toarray(), lambda x, s: x * s, Arg((columns,))),
        case("add, dense", sparse.add, np.add, Arg((rows, columns))),
        case("sub, dense first", lambda x, y: y - x, lambda x, y: y - x, Arg((columns,))),
        case("mul, dense", lambda x, y: (x * y).toarray(), np.multiply, Arg((rows, columns))),
        case("mul, column", lambda x, y: (x * y).toarray(), np.multiply, Arg((rows, 1))),
        case("transpose", lambda x: sparse.transpose(x).toarray(), np.transpose),
        case("ensure_sorted_indices", lambda x: sparse.ensure_sorted_indices(x).toarray(), lambda x: x),
        case("hstack", lambda x: sparse.hstack([x, x, 2.0 * x]).toarray(), lambda x: np.hstack([x, x, 2 * x])),
        case("structured_pow", lambda x: sparse.structured_pow(x.sum_duplicates(), 3).toarray(), lambda x: x**3),
        both("add", sparse.add, np.add),
        both("mul", sparse.mul, np.multiply),
        both("true_dot", lambda x, y: sparse.true_dot(x, y.T), lambda x, y: x @ y.T),
        both("structured_dot", lambda x, y: sparse.structured_dot(x.T, y), lambda x, y: x.T @ y),
        Case(
            f"sparse sampling_dot: {format}",
            "sparse.sampling_dot",
            lambda x, y, d: sparse.sampling_dot(x, y, _sparse(d, format)).toarray(),
            lambda x, y, d: (x @ y.T) * _dense(d, format),
            (Arg((rows, 3)), Arg((columns, 3)), data),
        ),
    ]


CASES: list[Case] = [
    *_cases("csr"),
    *_cases("csc"),
    Case(
        "sparse square_diagonal",
        "sparse.square_diagonal",
        lambda d: sparse.square_diagonal(d).toarray(),
        np.diag,
        (Arg((4,)),),
        empty=(((0,),),),
    ),
    Case(
        "sparse diag",
        "sparse.diag",
        lambda d: sparse.diag(sparse.CSR(d, INDICES % 4, INDPTR, (4, 4))),
        lambda d: scipy.sparse.csr_matrix((d, INDICES % 4, INDPTR), shape=(4, 4)).diagonal(),
        (Arg((6,)),),
    ),
]
