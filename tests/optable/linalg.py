"""Op table: products of vectors, matrices and tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

INTEGERS = ("bool", "int8", "int64", "uint8")
#: Without bool, whose products NumPy's einsum adds up differently.
NUMBERS = ("int8", "int64", "uint8")
Shape = tuple[int, ...]


def product(name: str, reference: Callable[..., Any], x: Shape, y: Shape, empty: Any = (), **fields: Any) -> Case:
    return Case(
        f"{name}: {x} and {y}",
        name,
        getattr(T, name),
        reference,
        (Arg(x), Arg(y)),
        integers=fields.pop("integers", INTEGERS),
        empty=empty,
        **fields,
    )


def contraction(name: str, x: Shape, y: Shape, axes: Any, reference: Callable[..., Any]) -> Case:
    return Case(
        f"{name}: {x} and {y}, axes {axes}",
        name,
        lambda a, b: getattr(T, name)(a, b, axes),
        reference,
        (Arg(x), Arg(y)),
        integers=NUMBERS,
    )


DOT = [
    product("dot", np.dot, (), ()),
    product("dot", np.dot, (), (2, 3)),
    product("dot", np.dot, (2, 3), ()),
    product("dot", np.dot, (3,), (3,), (((0,), (0,)),)),
    product("dot", np.dot, (2, 3), (3,), (((0, 3), (3,)), ((2, 0), (0,)))),
    product("dot", np.dot, (3,), (3, 2), (((0,), (0, 2)), ((3,), (3, 0)))),
    product("dot", np.dot, (2, 3), (3, 4), (((0, 3), (3, 4)), ((2, 0), (0, 4)), ((2, 3), (3, 0)))),
    product("dot", np.dot, (2, 3, 4), (4, 5), (((0, 3, 4), (4, 5)), ((2, 3, 0), (0, 5)))),
    product("dot", np.dot, (2, 3, 4), (4,)),
    product("dot", np.dot, (4,), (2, 4, 3)),
    product("dot", np.dot, (3, 4), (2, 4, 3)),
    product("dot", np.dot, (2, 3, 4), (5, 4, 2)),
]
MATMUL = [
    product("matmul", np.matmul, x, y)
    for x, y in (
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (4, 5)),
        ((4,), (2, 4, 3)),
        ((3, 4), (2, 4, 3)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((1, 3, 4), (2, 4, 3)),
    )
]
MATMUL.append(product("matmul", np.matmul, (2, 2, 3), (2, 3, 2), (((0, 2, 3), (0, 3, 2)), ((2, 2, 0), (2, 0, 2)))))

TENSORDOT = [
    contraction("tensordot", x, y, axes, lambda a, b, axes=axes: np.tensordot(a, b, axes))
    for x, y, axes in (
        ((2, 3), (2, 3), 0),
        ((2, 3), (3, 4), 1),
        ((2, 3, 4), (3, 4, 5), 2),
        ((2, 3), (2, 3), [[0, 1], [0, 1]]),
        ((2, 3, 4), (4, 2, 3), [[0, 1, 2], [1, 2, 0]]),
        ((2, 3, 4), (5, 6, 4, 3), [[1, 2], [3, 2]]),
        ((2, 3, 4), (5, 3), (1, 1)),
        ((2, 3, 4), (5, 3), [[-2], [-1]]),
        ((3,), (3,), 1),
    )
]
TENSORDOT.append(product("tensordot", np.tensordot, (2, 3, 4), (3, 4, 2), (((2, 0, 4), (0, 4, 2)),)))


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: np.stack([function(x, y) for x, y in zip(a, b, strict=True)])


BATCHED = [
    product("batched_dot", _each(np.dot), x, y, integers=NUMBERS)
    for x, y in (
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((3, 2, 2), (3,)),
        ((3, 2), (3, 2)),
        ((3, 2, 4), (3, 4)),
        ((3, 4), (3, 4, 2)),
        ((3, 2, 4), (3, 4, 2)),
        ((2, 3, 2, 4), (2, 3, 4, 2)),
    )
]
BATCHED += [
    contraction("batched_tensordot", x, y, axes, _each(lambda a, b, inner=inner: np.tensordot(a, b, inner)))
    for x, y, axes, inner in (
        ((2, 3, 4), (2, 4, 3), 1, 1),
        ((2, 3, 4), (2, 3, 4), 2, 2),
        ((2, 3, 4), (2, 4, 5, 3), [[1, 2], [3, 1]], [[0, 1], [2, 0]]),
        ((2, 3, 4), (2, 5, 4), (2, 2), (1, 1)),
    )
]

OUTER = [
    product("outer", np.outer, (3,), (4,), (((0,), (2,)),)),
    product("outer", np.outer, (2, 3), (2,)),
    product("outer", np.outer, (), (2,)),
]

CASES: list[Case] = [*DOT, *MATMUL, *TENSORDOT, *BATCHED, *OUTER]
