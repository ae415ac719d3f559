"""Steps that are run several times, each time on other parts of memory.

A convolution goes through its images a few at a time, so that what it makes of them stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.program.steps import Batch, Shape, Step, Storage, View

__all__ = ["Moving", "Rounds", "parts"]


class Moving(View):
    """A view that moves on from round to round.

    Attributes
    ----------
    steps
        By how many elements, for each of the repetitions around it, the outermost first.
    part
        By how many elements from one part of the outermost rounds to the next.
    lasting
        Whether what is there matters after the round; if not, parts that run one after the other need not differ.
    """

    __slots__ = ("lasting", "part", "steps")

    def __init__(
        self,
        storage: Storage,
        shape: Shape,
        strides: Shape,
        offset: int,
        steps: Shape,
        part: int = 0,
        lasting: bool = True,
    ) -> None:
        super().__init__(storage, shape, strides, offset)
        self.steps = steps
        self.part = part
        self.lasting = lasting


class Rounds(Step):
    """Steps that are run ``count`` times.

    Attributes
    ----------
    body
        Groups, products and repetitions.
    parts
        The rounds may be divided into so many parts that know nothing of each other, each with memory of its own where
        views say so.
    fixed
        They are always divided so, however many threads there are: sums depend on it.
    """

    def __init__(self, count: int, body: Sequence[Any], parts: int = 1, fixed: bool = False) -> None:
        self.count = count
        self.body = list(body)
        self.parts = parts
        self.fixed = fixed


def parts(step: Any) -> list[Any]:
    """The groups, nests and products that a step consists of."""
    if isinstance(step, Batch):
        return step.calls
    if not isinstance(step, Rounds):
        return [step]
    return [part for inner in step.body for part in parts(inner)]
