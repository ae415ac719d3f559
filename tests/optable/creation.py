"""Op table: new tensors, ranges, diagonals and triangles."""

from __future__ import annotations

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case
from tests.optable.shape import moves, number

__all__ = ["CASES"]

X = Arg((3, 4))
CUBE = Arg((2, 3, 4))
SCALAR = Arg(())
NONE: tuple[Arg, ...] = ()

FILLED = [
    Case("zeros", "zeros", lambda: T.zeros((2, 3)), lambda: np.zeros((2, 3)), NONE),
    Case("zeros: number", "zeros", lambda: T.zeros(4, dtype="int8"), lambda: np.zeros(4, "int8"), NONE),
    Case("zeros: 0-d", "zeros", lambda: T.zeros(()), lambda: np.zeros(()), NONE),
    Case(
        "zeros: symbolic",
        "zeros",
        lambda x, n: T.zeros((n, x.shape[1]), "float64"),
        lambda x, n: np.zeros((int(n), x.shape[1])),
        (X, number(2)),
        wrt=(),
    ),
    Case("zeros: vector", "zeros", lambda x: T.zeros(x.shape, x.dtype), np.zeros_like, (X,), wrt=()),
    Case("ones", "ones", lambda n: T.ones((n, 2), dtype="bool"), lambda n: np.ones((int(n), 2), bool), (number(3),)),
    Case("empty", "empty", lambda: T.empty((2, 0)), lambda: np.zeros((2, 0)), NONE),
    Case("full", "full", lambda: T.full((2, 3), 7), lambda: np.full((2, 3), 7), NONE),
    moves("full: symbolic", lambda x: T.full((2, 3), x), lambda x: np.full((2, 3), x), SCALAR),
    moves("alloc", lambda x: T.alloc(x, 3, 2), lambda x: np.full((3, 2), x), SCALAR),
    moves(
        "alloc: broadcast",
        lambda x, n: T.alloc(x, n, 3, 4),
        lambda x, n: np.broadcast_to(x, (int(n), 3, 4)),
        Arg((3, 1)),
        number(2),
    ),
    moves("alloc: vector", lambda x, y: T.alloc(x, y.shape), lambda x, y: np.full(y.shape, x), SCALAR, X, wrt=(0,)),
    moves("zeros_like", T.zeros_like, np.zeros_like, wrt=(), empty=(((0, 4),),)),
    moves("zeros_like: dtype", lambda x: T.zeros_like(x, "int16"), lambda x: np.zeros_like(x, "int16"), wrt=()),
    moves("ones_like", T.ones_like, np.ones_like, wrt=(), empty=(((0, 4),),)),
    moves("ones_like: 0-d", lambda x: T.ones_like(x, opt=True), np.ones_like, SCALAR, wrt=()),
    moves("full_like", lambda x: T.full_like(x, 1), lambda x: np.full_like(x, 1), wrt=()),
    moves(
        "full_like: dtype", lambda x: T.full_like(x, 2.5, "float64"), lambda x: np.full_like(x, 2.5, "float64"), wrt=()
    ),
    moves("fill", T.fill, lambda a, b: np.broadcast_to(b, a.shape), X, SCALAR, wrt=(1,)),
    moves("fill: row", T.fill, lambda a, b: np.broadcast_to(b, a.shape), X, Arg((4,)), wrt=(1,)),
    moves("second", T.second, lambda a, b: np.broadcast_to(b, a.shape), X, SCALAR, wrt=(1,)),
]

RANGES = [
    Case("arange", "arange", lambda: T.arange(5), lambda: np.arange(5), NONE),
    Case("arange: bounds", "arange", lambda: T.arange(9, -3, -2), lambda: np.arange(9, -3, -2), NONE),
    Case("arange: nothing", "arange", lambda: T.arange(3, 1), lambda: np.arange(3, 1), NONE),
    Case("arange: floats", "arange", lambda: T.arange(0.5, 3, 0.25), lambda: np.arange(0.5, 3, 0.25), NONE),
    Case("arange: dtype", "arange", lambda: T.arange(4, dtype="float32"), lambda: np.arange(4, dtype="float32"), NONE),
    Case(
        "arange: symbolic",
        "arange",
        T.arange,
        np.arange,
        (number(2), number(11), number(3)),
    ),
    Case(
        "arange: small integers",
        "arange",
        T.arange,
        np.arange,
        (Arg((), low=7, high=7, dtype="int8"),),
    ),
    Case(
        "arange: differentiable",
        "arange",
        lambda a, b: T.arange(a, 8.5, b),
        lambda a, b: a + b * np.arange(np.ceil((8.5 - a) / b)).astype(a.dtype),
        (Arg((), low=0.1, high=0.2), Arg((), low=1.1, high=1.12)),
    ),
    Case("linspace", "linspace", lambda: T.linspace(-1, 2, 7), lambda: np.linspace(-1, 2, 7), NONE),
    Case("linspace: default", "linspace", lambda: T.linspace(0, 1), lambda: np.linspace(0, 1), NONE),
    Case("linspace: one", "linspace", lambda: T.linspace(3, 4, 1), lambda: np.linspace(3, 4, 1), NONE),
    Case("linspace: none", "linspace", lambda: T.linspace(3, 4, 0), lambda: np.linspace(3, 4, 0), NONE),
    Case(
        "linspace: no endpoint",
        "linspace",
        lambda: T.linspace(0, 10, 4, endpoint=False),
        lambda: np.linspace(0, 10, 4, endpoint=False),
        NONE,
    ),
    Case(
        "linspace: integers",
        "linspace",
        lambda: T.linspace(-3, 3, 5, dtype="int64"),
        lambda: np.linspace(-3, 3, 5, dtype="int64"),
        NONE,
    ),
    Case(
        "linspace: symbolic",
        "linspace",
        T.linspace,
        lambda a, b, n: np.linspace(a, b, int(n)),
        (SCALAR, Arg((2,)), number(4)),
    ),
]

MATRICES = [
    Case("eye", "eye", lambda: T.eye(3), lambda: np.eye(3), NONE),
    Case("eye: offset", "eye", lambda: T.eye(3, 5, 2, "int32"), lambda: np.eye(3, 5, 2, "int32"), NONE),
    Case(
        "eye: symbolic",
        "eye",
        lambda n, m, k: T.eye(n, m, k, dtype="float64"),
        lambda n, m, k: np.eye(int(n), int(m), int(k)),
        (number(4), number(3), number(-1)),
    ),
    moves("identity_like", T.identity_like, lambda x: np.eye(*x.shape, dtype=x.dtype), wrt=(), empty=(((0, 4),),)),
    Case("tri", "tri", lambda: T.tri(3), lambda: np.tri(3), NONE),
    Case("tri: offset", "tri", lambda: T.tri(3, 5, 1, "bool"), lambda: np.tri(3, 5, 1, "bool"), NONE),
    moves("tril", T.tril, np.tril, empty=(((0, 4),), ((3, 0),))),
    moves("tril: offset", lambda x: T.tril(x, -1), lambda x: np.tril(x, -1), CUBE),
    moves("triu", T.triu, np.triu, empty=(((0, 4),), ((3, 0),))),
    moves("triu: offset", lambda x: T.triu(x, k=1), lambda x: np.triu(x, 1), CUBE),
    moves("triu: symbolic", T.triu, lambda x, k: np.triu(x, int(k)), X, number(2)),
    moves("diag: of a vector", T.diag, np.diag, Arg((3,)), empty=(((0,),),)),
    moves("diag: above", lambda x: T.diag(x, 2), lambda x: np.diag(x, 2), Arg((3,))),
    moves("diag: below", lambda x: T.diag(x, k=-1), lambda x: np.diag(x, -1), Arg((3,))),
    moves("diag: of a matrix", T.diag, np.diag, empty=(((0, 4),), ((3, 0),))),
    moves("diag: of a matrix, above", lambda x: T.diag(x, 1), lambda x: np.diag(x, 1)),
    moves("diagonal", T.diagonal, np.diagonal),
    moves("diagonal: below", lambda x: T.diagonal(x, -1), lambda x: np.diagonal(x, -1)),
    moves("diagonal: outside", lambda x: T.diagonal(x, 9), lambda x: np.diagonal(x, 9)),
    moves(
        "diagonal: axes",
        lambda x: T.diagonal(x, offset=1, axis1=-1, axis2=0),
        lambda x: np.diagonal(x, 1, -1, 0),
        CUBE,
        empty=(((2, 0, 4),),),
    ),
]

INTEGERS = Arg((3, 4), low=-9, high=9, dtype="int64")
DIVISORS = Arg((4,), low=1, high=5, dtype="int64")

ARITHMETIC = [
    Case(
        "ceil_intdiv",
        "ceil_intdiv",
        T.ceil_intdiv,
        lambda a, b: -(-a // b),
        (INTEGERS, DIVISORS),
        empty=(((0, 4), (4,)),),
    ),
    Case("divmod", "divmod", T.divmod, lambda a, b: list(divmod(a, b)), (INTEGERS, DIVISORS)),
    moves("largest", T.largest, lambda x, y, z: np.maximum(np.maximum(x, y), z), X, Arg((4,)), X),
    moves("smallest", T.smallest, np.minimum, X, X),
]

CASES: list[Case] = [*FILLED, *RANGES, *MATRICES, *ARITHMETIC]
