"""Op table: inverses, determinants, factorisations and norms under NumPy's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES", "matrix_case", "regular", "symmetric"]

Shape = tuple[int, ...]
INTEGERS = ("bool", "int8", "int64", "uint8")
NUMBERS = ("int8", "int64", "uint8")
STACKS = (((0, 0),), ((0, 3, 3),), ((2, 0, 0),))


def regular(rng: np.random.Generator, shape: Shape) -> Any:
    """Matrices far from singular, with eigenvalues that differ."""
    steps = np.arange(1, shape[-1] + 1) if shape[-1] else 0
    return rng.uniform(-0.5, 0.5, shape) + 1.5 * np.eye(*shape[-2:]) * steps


def symmetric(rng: np.random.Generator, shape: Shape) -> Any:
    """Symmetric positive definite matrices with eigenvalues that differ."""
    half = regular(rng, shape)
    return half + np.swapaxes(half, -1, -2)


def full_rank(rng: np.random.Generator, shape: Shape) -> Any:
    """Matrices of any shape whose singular values differ and are not small."""
    k = min(shape[-2:])
    u, _, vh = np.linalg.svd(rng.uniform(-1, 1, shape), full_matrices=False)
    return (u * (1.0 + np.arange(k)[::-1])) @ vh


def folded(rng: np.random.Generator, shape: Shape) -> Any:
    """A regular matrix of four rows under another shape; any numbers where they do not fit."""
    size = int(np.prod(shape))
    return (regular(rng, (4, 4)) if size == 16 else rng.uniform(-1, 1, size)).reshape(shape)


def matrix_case(
    name: str,
    build: Callable[..., Any],
    reference: Callable[..., Any],
    *shapes: Shape,
    note: str = "",
    draw: Any = regular,
    **fields: Any,
) -> Case:
    """A case for operands of these shapes, all drawn alike."""
    text = " and ".join(map(str, shapes))
    fields.setdefault("rtol", (2e-4, 1e-10))
    args = tuple(Arg(shape, draw=draw if len(shape) > 1 else None) for shape in shapes)
    return Case(f"{name}: {note + ', ' if note else ''}{text}", name, build, reference, args, **fields)


L = T.nlinalg
INVERSES = [
    matrix_case("nlinalg.matrix_inverse", L.matrix_inverse, np.linalg.inv, (3, 3), empty=STACKS),
    matrix_case("nlinalg.matrix_inverse", L.matrix_inverse, np.linalg.inv, (1, 1)),
    matrix_case("nlinalg.matrix_inverse", L.matrix_inverse, np.linalg.inv, (2, 2, 2)),
    *[
        matrix_case("nlinalg.pinv", L.pinv, np.linalg.pinv, shape, draw=full_rank, empty=empty)
        for shape, empty in (
            ((3, 2), (((0, 3),), ((3, 0),), ((0, 2, 3),))),
            ((2, 3), ()),
            ((2, 2), ()),
            ((2, 3, 2), ()),
        )
    ],
    *[
        matrix_case(
            "nlinalg.tensorinv",
            lambda a, ind=ind: L.tensorinv(a, ind),
            lambda a, ind=ind: np.linalg.tensorinv(a, ind),
            shape,
            draw=folded,
        )
        for ind, shape in ((1, (4, 2, 2)), (2, (2, 2, 4)))
    ],
]

DETERMINANTS = [
    case
    for name, reference in (
        ("det", np.linalg.det),
        ("slogdet", lambda x: list(np.linalg.slogdet(x))),
        ("logdet", lambda x: np.linalg.slogdet(x)[1]),
    )
    for case in (
        matrix_case(f"nlinalg.{name}", getattr(L, name), reference, (3, 3), empty=STACKS),
        matrix_case(f"nlinalg.{name}", getattr(L, name), reference, (1, 1)),
        matrix_case(f"nlinalg.{name}", getattr(L, name), reference, (2, 2, 2)),
    )
]
DETERMINANTS.append(
    Case("nlinalg.det: integers", "nlinalg.det", L.det, np.linalg.det, (Arg((2, 2)),), integers=NUMBERS)
)


def _parts(x: Any, **options: Any) -> list[Any]:
    """Singular values, and what does not depend on the signs of vectors."""
    u, s, vh = np.linalg.svd(x, **options)
    return [u * u, s, vh * vh]


def _symbolic_parts(x: Any, **options: Any) -> list[Any]:
    u, s, vh = L.svd(x, **options)
    return [u * u, s, vh * vh]


SVD = [
    *[
        matrix_case(
            "nlinalg.svd",
            lambda x: _symbolic_parts(x, full_matrices=False),
            lambda x: _parts(x, full_matrices=False),
            shape,
            note="thin",
            draw=full_rank,
            empty=empty,
        )
        for shape, empty in (
            ((3, 2), (((0, 2),), ((2, 0),), ((0, 3, 2),))),
            ((2, 3), ()),
            ((2, 2), ()),
            ((1, 1), ()),
            ((2, 3, 2), ()),
        )
    ],
    *[
        matrix_case("nlinalg.svd", _symbolic_parts, _parts, shape, note="full", draw=full_rank)
        for shape in ((3, 2), (2, 3), (2, 2))
    ],
    # Two directions more than there are singular values: only the plane that they span is determined.
    matrix_case(
        "nlinalg.svd",
        lambda x: _plane(L.svd(x, True, True)[0], T.dot),
        lambda x: _plane(np.linalg.svd(x)[0], np.dot),
        (3, 1),
        note="rest of space",
        draw=full_rank,
    ),
    *[
        matrix_case(
            "nlinalg.svd",
            lambda x: L.svd(x, compute_uv=False),
            lambda x: np.linalg.svd(x, compute_uv=False),
            shape,
            note="values",
            draw=full_rank,
            empty=(((0, 3),),) if len(shape) == 2 else (),
        )
        for shape in ((3, 2), (2, 3), (2, 2, 3))
    ],
]


def _plane(u: Any, product: Any) -> Any:
    return product(u[:, 1:] * 2, u[:, 1:].T)


EIG = [
    matrix_case("nlinalg.eig", L.eig, lambda x: list(np.linalg.eig(x)), (1, 1), wrt=()),
    matrix_case("nlinalg.eig", L.eig, lambda x: list(np.linalg.eig(x)), (2, 2, 2), draw=symmetric, wrt=()),
    matrix_case(
        "nlinalg.eig",
        lambda x: T.sort(L.eig(x)[0]),
        np.linalg.eigvalsh,
        (3, 3),
        draw=symmetric,
        wrt=(),
        empty=STACKS,
    ),
    *[
        matrix_case(
            "nlinalg.eigh",
            lambda x, side=side: _spectral(*L.eigh(x, side)),
            lambda x, side=side: _spectral(*np.linalg.eigh(x, side)),
            shape,
            note=side,
            draw=draw,
            empty=STACKS if shape == (3, 3) else (),
        )
        for side, shape, draw in (
            ("L", (3, 3), regular),
            ("U", (3, 3), regular),
            ("L", (2, 2, 2), regular),
            ("L", (1, 1), regular),
        )
    ],
]


def _spectral(w: Any, v: Any) -> list[Any]:
    """Eigenvalues, and what does not depend on the signs of vectors."""
    return [w, v * v]


QR_SHAPES = ((3, 2), (2, 3), (2, 2), (2, 3, 2))
QR = [
    *[
        matrix_case(
            "nlinalg.qr",
            L.qr,
            lambda x: list(np.linalg.qr(x)),
            shape,
            note="reduced",
            draw=full_rank,
            empty=(((0, 2),), ((2, 0),), ((0, 2, 2),)) if shape == (3, 2) else (),
        )
        for shape in QR_SHAPES
    ],
    *[
        matrix_case(
            "nlinalg.qr",
            lambda x: L.qr(x, "complete"),
            lambda x: list(np.linalg.qr(x, "complete")),
            shape,
            note="complete",
            draw=full_rank,
        )
        for shape in ((3, 2), (2, 3))
    ],
    matrix_case(
        "nlinalg.qr",
        lambda x: _plane(L.qr(x, "complete")[0], T.dot),
        lambda x: _plane(np.linalg.qr(x, "complete")[0], np.dot),
        (3, 1),
        note="rest of space",
        draw=full_rank,
    ),
    *[
        matrix_case("nlinalg.qr", lambda x: L.qr(x, "r"), lambda x: np.linalg.qr(x, "r"), shape, note="r")
        for shape in ((3, 2), (2, 3))
    ],
    matrix_case(
        "nlinalg.qr", lambda x: L.qr(x, "raw"), lambda x: list(np.linalg.qr(x, "raw")), (3, 2), note="raw", wrt=()
    ),
]


def _lstsq(a: Any, b: Any, rcond: float | None = None) -> list[Any]:
    x, residuals, rank, values = np.linalg.lstsq(a, b, rcond)
    return [x, residuals, np.int64(rank), values]


LEAST_SQUARES = [
    *[
        matrix_case(
            "nlinalg.lstsq",
            lambda a, b: [L.lstsq(a, b)[i] for i in (0, 2, 3)],
            lambda a, b: [_lstsq(a, b)[i] for i in (0, 2, 3)],
            a,
            b,
            draw=full_rank,
        )
        for a, b in (((3, 2), (3,)), ((3, 2), (3, 2)), ((2, 3), (2,)), ((2, 2), (2, 1)))
    ],
    matrix_case(
        "nlinalg.lstsq",
        lambda a, b: L.lstsq()(a, b, 1e-6),
        lambda a, b: _lstsq(a, b, 1e-6),
        (4, 2),
        (4,),
        note="everything",
        draw=full_rank,
        wrt=(),
        empty=(((3, 0), (3,)), ((0, 3), (0,))),
    ),
    matrix_case(
        "nlinalg.tensorsolve",
        L.tensorsolve,
        np.linalg.tensorsolve,
        (4, 2, 2),
        (4,),
        draw=folded,
    ),
    matrix_case(
        "nlinalg.tensorsolve",
        lambda a, b: L.tensorsolve(a, b, axes=(0,)),
        lambda a, b: np.linalg.tensorsolve(a, b, axes=(0,)),
        (4, 2, 2),
        (2, 2),
        note="axes (0,)",
        draw=folded,
    ),
]


def norm(shape: Shape, *arguments: Any, empty: Sequence[Any] = (), **fields: Any) -> Case:
    return matrix_case(
        "nlinalg.norm",
        lambda x: L.norm(x, *arguments),
        lambda x: np.linalg.norm(x, *arguments),
        shape,
        note=str(arguments),
        draw=full_rank if len(shape) == 2 else None,
        empty=empty,
        **fields,
    )


NORMS = [
    norm((), integers=NUMBERS),
    norm((3,), integers=INTEGERS, empty=(((0,),),)),
    norm((2, 3, 2), empty=(((0, 3, 2),),)),
    *[norm((3,), ord) for ord in (0, 1, 2, 3, -1, -2.5, np.inf, -np.inf)],
    *[norm((3, 2), ord) for ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
    norm((2, 3), 2),
    norm((2, 3), 2, 1),
    norm((2, 3), None, 0, True),
    norm((2, 3, 2), 1, (2, 0)),
    norm((2, 3, 2), 2, (0, -1), True),
    norm((2, 3, 2), "fro", (0, 1)),
    norm((2, 3, 2), "nuc", (1, 2), True),
    norm((2, 3, 2), np.inf, (1, 0)),
]

PRODUCTS = [
    Case(
        "nlinalg.matrix_dot: three",
        "nlinalg.matrix_dot",
        L.matrix_dot,
        lambda a, b, c: a @ b @ c,
        (Arg((2, 3)), Arg((3, 2)), Arg((2, 4))),
        integers=NUMBERS,
    ),
    Case("nlinalg.matrix_dot: one", "nlinalg.matrix_dot", lambda a: L.matrix_dot(a) * 1, lambda a: a, (Arg((2, 3)),)),
    *[
        matrix_case(
            "nlinalg.matrix_power",
            lambda x, n=n: L.matrix_power(x, n),
            lambda x, n=n: np.linalg.matrix_power(x, n),
            shape,
            note=str(n),
            empty=STACKS if n == 3 else (),
        )
        for n, shape in ((0, (3, 3)), (1, (2, 2)), (2, (2, 2)), (3, (2, 2, 2)), (7, (2, 2)), (-1, (2, 2)), (-3, (2, 2)))
    ],
    Case(
        "nlinalg.matrix_power: integers",
        "nlinalg.matrix_power",
        lambda x: L.matrix_power(x, 3),
        lambda x: np.linalg.matrix_power(x, 3),
        (Arg((2, 2)),),
        integers=NUMBERS,
    ),
    *[
        Case(
            f"nlinalg.kron: {a} and {b}",
            "nlinalg.kron",
            L.kron,
            np.kron,
            (Arg(a), Arg(b)),
            integers=INTEGERS,
            empty=(((0, 2), (2, 3)),) if a == (2, 3) else (),
        )
        for a, b in (((2, 3), (3, 2)), ((2,), (3,)), ((2,), (3, 2)), ((2, 1, 2), (2, 2)), ((), (2,)), ((), ()))
    ],
]


def _placed(x: Any) -> Any:
    """``np.diag`` of the vectors along the last axis, with the matrices in axes 0 and 2."""
    return np.moveaxis(np.stack([np.diag(v, 1) for v in x]), 0, 1)


DIAGONALS = [
    Case("nlinalg.diag: vector", "nlinalg.diag", L.diag, np.diag, (Arg((3,)),), integers=INTEGERS),
    Case("nlinalg.diag: matrix", "nlinalg.diag", L.diag, np.diag, (Arg((2, 3)),), integers=INTEGERS),
    Case("nlinalg.extract_diag", "nlinalg.extract_diag", L.extract_diag, np.diagonal, (Arg((3, 2)),)),
    Case(
        "nlinalg.ExtractDiag: below",
        "nlinalg.extract_diag",
        L.ExtractDiag(-1, 2, 0, view=True),
        lambda x: np.diagonal(x, -1, 2, 0),
        (Arg((2, 3, 4)),),
    ),
    Case("nlinalg.alloc_diag", "nlinalg.alloc_diag", L.alloc_diag, np.diag, (Arg((3,)),), empty=(((0,),),)),
    Case("nlinalg.AllocDiag: above", "nlinalg.alloc_diag", L.AllocDiag(1, 0, 2), _placed, (Arg((2, 3)),)),
    Case("nlinalg.trace", "nlinalg.trace", L.trace, np.trace, (Arg((3, 2)),), integers=NUMBERS),
    Case(
        "nlinalg.trace: above, stack",
        "nlinalg.trace",
        lambda x: L.trace(x, 1, -1, 0),
        lambda x: np.trace(x, 1, -1, 0),
        (Arg((2, 3, 3)),),
    ),
]

CASES: list[Case] = [*INVERSES, *DETERMINANTS, *SVD, *EIG, *QR, *LEAST_SQUARES, *NORMS, *PRODUCTS, *DIAGONALS]
