"""Steps that are run several times, each time on other parts of memory.

A convolution goes through its images a few at a time, so that what it makes of them stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.program.fuse import Shape, Step, Storage, View

__all__ = ["Moving", "Rounds", "parts"]


class Moving(View):
    """A view that moves on from round to round.

    Attributes
    ----------
    steps
        By how many elements, for each of the repetitions around it, the outermost first.
    """

    __slots__ = ("steps",)

    def __init__(self, storage: Storage, shape: Shape, strides: Shape, offset: int, steps: Shape) -> None:
        super().__init__(storage, shape, strides, offset)
        self.steps = steps


class Rounds(Step):
    """Steps that are run ``count`` times, one round after the other.

    Attributes
    ----------
    body
        Groups, products and repetitions.
    """

    def __init__(self, count: int, body: Sequence[Any]) -> None:
        self.count = count
        self.body = list(body)


def parts(step: Any) -> list[Any]:
    """The groups, nests and products that a step consists of."""
    if not isinstance(step, Rounds):
        return [step]
    return [part for inner in step.body for part in parts(inner)]
