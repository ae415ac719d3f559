"""Op table: sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

INTEGERS = ("bool", "int8", "int64", "uint8")
SHAPE = (3, 4, 2)


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(0, 3, shape)


def _cases(axis: int | None) -> list[Case]:
    return [
        Case(
            f"sort: axis {axis}",
            "sort",
            lambda x: T.sort(x, axis),
            lambda x: np.sort(x, axis),
            (Arg(SHAPE),),
            integers=INTEGERS,
            empty=(((0, 2, 3),), ((2, 0, 3),)),
        ),
        Case(
            f"argsort: axis {axis}",
            "argsort",
            lambda x: T.argsort(x, axis),
            lambda x: np.argsort(x, axis),
            (Arg(SHAPE),),
            wrt=(),
            empty=(((0, 2, 3),), ((2, 0, 3),)),
        ),
        Case(
            f"argsort: axis {axis}, stable",
            "argsort",
            lambda x: T.argsort(x, axis, kind="stable"),
            lambda x: np.argsort(x, axis, kind="stable"),
            (Arg(SHAPE, draw=_ties),),
            wrt=(),
            integers=INTEGERS,
        ),
    ]


CASES: list[Case] = [
    *(case for axis in (-1, 0, 1, None) for case in _cases(axis)),
    Case("sort: twice", "sort", lambda x: T.sort(T.sort(x, 0), 1), lambda x: np.sort(np.sort(x, 0), 1), (Arg((3, 4)),)),
]
