"""Op table: triangular factors, linear equations and matrix functions under SciPy's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

import tinygraph.tensor as T
from tests.optable.case import Arg, Case
from tests.optable.nlinalg import STACKS, matrix_case, regular, symmetric

__all__ = ["CASES"]

L = T.slinalg


def spd(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Positive definite matrices for square shapes, any numbers for others."""
    return symmetric(rng, shape) if shape[-1] == shape[-2] else rng.uniform(-1, 1, shape)


def system(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Regular matrices for square shapes, any numbers for others."""
    return regular(rng, shape) if shape[-1] == shape[-2] else rng.uniform(-1, 1, shape)


def _from_triangle(x: Any, lower: bool) -> Any:
    half = np.tril(x) if lower else np.triu(x)
    return half + np.swapaxes(half, -1, -2) - half * np.eye(x.shape[-1])


def _cholesky(x: Any, lower: bool = True) -> Any:
    """The factor by way of the triangle that is read."""
    factor = np.linalg.cholesky(_from_triangle(x, lower))
    return factor if lower else np.swapaxes(factor, -1, -2)


CHOLESKY = [
    *[
        matrix_case(
            "slinalg.cholesky",
            lambda x, lower=lower: L.cholesky(x, lower),
            lambda x, lower=lower: _cholesky(x, lower),
            shape,
            note="lower" if lower else "upper",
            draw=symmetric,
            empty=STACKS if lower and shape == (3, 3) else (),
        )
        for shape, lower in (((3, 3), True), ((3, 3), False), ((1, 1), True), ((2, 2, 2), True), ((2, 2, 2), False))
    ],
    matrix_case(
        "slinalg.cholesky", lambda x: L.cholesky(x, on_error="nan"), _cholesky, (2, 2), note="or NaN", draw=symmetric
    ),
    matrix_case("slinalg.cholesky", L.Cholesky(lower=False), lambda x: _cholesky(x, False), (2, 2), draw=symmetric),
    *[
        matrix_case(
            "slinalg.cho_solve",
            lambda c, b, lower=lower: L.cho_solve((c, lower), b),
            lambda c, b, lower=lower: scipy.linalg.cho_solve((c, lower), b),
            (3, 3),
            b,
            note="lower" if lower else "upper",
            draw=system,
        )
        for b, lower in (((3,), True), ((3, 2), True), ((3,), False))
    ],
    matrix_case(
        "slinalg.cho_solve",
        lambda c, b: L.cho_solve((c, True), b),
        lambda c, b: np.stack([scipy.linalg.cho_solve((m, True), b) for m in c]),
        (2, 3, 3),
        (3,),
        draw=system,
    ),
]

#: Matrices, right-hand sides and zero-size variants.
SYSTEMS: tuple[Any, ...] = (
    ((3, 3), (3,), (((0, 0), (0,)),)),
    ((3, 3), (3, 2), (((0, 0), (0, 2)), ((3, 3), (3, 0)))),
    ((1, 1), (1,), ()),
    ((2, 3, 3), (3,), (((0, 3, 3), (3,)),)),
    ((2, 3, 3), (3, 2), ()),
    ((3, 3), (2, 3, 2), (((3, 3), (0, 3, 2)),)),
    ((2, 1, 2, 2), (3, 2, 1), ()),
)
SOLVE = [
    matrix_case("slinalg.solve", L.solve, np.linalg.solve, a, b, draw=system, empty=empty) for a, b, empty in SYSTEMS
]
SOLVE += [
    matrix_case(
        "slinalg.solve",
        lambda a, b, kind=kind: L.solve(a, b, kind),
        lambda a, b, read=read: np.linalg.solve(read(a), b),
        (3, 3),
        (3, 2),
        note=kind,
        draw=system,
    )
    for kind, read in (
        ("lower_triangular", np.tril),
        ("upper triangular", np.triu),
        ("symmetric", np.array),
        ("gen", np.array),
        ("diagonal", np.array),
    )
]
SOLVE += [
    matrix_case(
        "slinalg.solve",
        lambda a, b, lower=lower: L.solve(a, b, "pos", lower=lower),
        lambda a, b, lower=lower: np.linalg.solve(_from_triangle(a, lower), b),
        (3, 3),
        b,
        note=f"positive definite, {'lower' if lower else 'upper'}",
        draw=spd,
    )
    for b, lower in (((3,), True), ((3, 2), False))
]
SOLVE += [
    matrix_case("slinalg.solve_symmetric", L.solve_symmetric, np.linalg.solve, (3, 3), (3,), draw=system),
    matrix_case("slinalg.solve", L.Solve(A_structure="general", lower=False), np.linalg.solve, (2, 2), (2,), note="op"),
]

TRIANGULAR = [
    *[
        matrix_case(
            f"slinalg.solve_{side}_triangular",
            getattr(L, f"solve_{side}_triangular"),
            lambda a, b, read=read: np.linalg.solve(read(a), b),
            a,
            b,
            draw=system,
            empty=empty,
        )
        for side, read in (("lower", np.tril), ("upper", np.triu))
        for a, b, empty in SYSTEMS
    ],
    *[
        matrix_case(
            "slinalg.solve_triangular",
            lambda a, b, options=options: L.solve_triangular(a, b, **options),
            lambda a, b, options=options: scipy.linalg.solve_triangular(a, b, **options),
            (3, 3),
            (3, 2),
            note=str(options),
            draw=system,
        )
        for options in (
            {},
            {"trans": 1},
            {"lower": True},
            {"lower": True, "trans": "T"},
            {"unit_diagonal": True},
            {"lower": True, "unit_diagonal": True},
        )
    ],
]


def _pair(a: Any, b: Any, lower: bool) -> Any:
    return scipy.linalg.eigvalsh(a, b, lower=lower)


FUNCTIONS = [
    matrix_case("slinalg.expm", L.expm, scipy.linalg.expm, (3, 3), empty=STACKS),
    matrix_case("slinalg.expm", L.expm, scipy.linalg.expm, (2, 2), draw=None),
    matrix_case("slinalg.expm", L.Expm(), scipy.linalg.expm, (1, 1), note="op"),
    matrix_case("slinalg.expm", L.expm, scipy.linalg.expm, (2, 2, 2), draw=None),
    Case("slinalg.kron", "slinalg.kron", L.kron, np.kron, (Arg((2, 2)), Arg((3, 2))), integers=("int8", "int64")),
    matrix_case("slinalg.eigvalsh", L.eigvalsh, np.linalg.eigvalsh, (3, 3), draw=symmetric),
    matrix_case(
        "slinalg.eigvalsh",
        L.Eigvalsh(lower=False),
        lambda a: np.linalg.eigvalsh(a, "U"),
        (2, 2, 2),
        note="upper",
        draw=regular,
    ),
    *[
        matrix_case(
            "slinalg.eigvalsh",
            lambda a, b, lower=lower: L.eigvalsh(a, b, lower),
            lambda a, b, lower=lower: _pair(a, b, lower),
            (3, 3),
            (3, 3),
            note="lower" if lower else "upper",
            draw=symmetric,
            empty=(((0, 0), (0, 0)),),
        )
        for lower in (True, False)
    ],
]

CASES: list[Case] = [*CHOLESKY, *SOLVE, *TRIANGULAR, *FUNCTIONS]
