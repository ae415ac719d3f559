"""Where a plan's values are on a device, and what is launched to run it, loops taken apart into their turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph.backends.cuda.kernel import ALIGNED, bound
from tinygraph.program.plan import NestCall, Plan
from tinygraph.program.rounds import Moving, Rounds
from tinygraph.program.steps import Batch, Product, Scan, Scatter, Storage, View

__all__ = ["Frame", "constants_of"]

#: A nest, a product or a scatter, with the addresses of its operands (a product: of x, y, out, and of alpha where it is
#: a view; a scatter: of out, values, places and workspace); or several nests, with those of each.
Work = (
    tuple[NestCall, list[int]] | tuple[Product, list[int]] | tuple[Batch, list[list[int]]] | tuple[Scatter, list[int]]
)


def constants_of(plan: Plan) -> Iterator[Storage]:
    """The constants of a plan and of the plans of its loops."""
    yield from (s for s in plan.storages if s.kind == "constant")
    for step in plan.steps:
        if isinstance(step, Scan):
            yield from constants_of(step.plan)


class Frame:
    """A plan and the addresses of its storages.

    Parameters
    ----------
    plan
        What runs.
    bases
        Where storages begin, by their numbers; those of the arena and constants are found without it.
    arena
        Where temporaries begin.
    constants
        Where constants are, by their storages.
    """

    def __init__(self, plan: Plan, bases: Mapping[int, int], arena: int, constants: Mapping[Storage, int]) -> None:
        self.plan = plan
        self.bases = bases
        self.arena = arena
        self.constants = constants

    def address(self, view: View, rounds: Sequence[int] = ()) -> int:
        """The address of a view's first element; ``rounds`` are the numbers of the rounds around it."""
        storage = self.plan.home(view.storage)
        if storage.kind == "constant":
            base = self.constants[storage]
        elif storage.index in self.plan.offsets:
            base = self.arena + self.plan.offsets[storage.index]
        else:
            base = self.bases[storage.index]
        moved = sum(n * i for n, i in zip(view.steps, rounds, strict=True)) if isinstance(view, Moving) else 0
        return base + (view.offset + moved) * np.dtype(view.dtype).itemsize

    def work(self, steps: Sequence[Any], rounds: tuple[int, ...] = ()) -> Iterator[Work]:
        """What steps consist of, in the order in which it has to run."""
        for step in steps:
            if isinstance(step, Rounds):
                for i in range(step.count):
                    yield from self.work(step.body, (*rounds, i))
            elif isinstance(step, Scan):
                for turn in range(step.count):
                    yield from self._turn(step, turn).work(step.plan.steps)
            elif isinstance(step, NestCall):
                yield step, self._operands(step, rounds)
            elif isinstance(step, Batch):
                yield step, [self._operands(call, rounds) for call in step.calls]
            elif isinstance(step, Scatter):
                views = [step.out, step.values, step.places, View(step.workspace, (), ())]
                yield step, [self.address(v, rounds) for v in views]
            else:
                views = [step.x, step.y, step.out, *([step.alpha] if isinstance(step.alpha, View) else [])]
                yield step, [self.address(v, rounds) for v in views]

    def _operands(self, call: NestCall, rounds: Sequence[int]) -> list[int]:
        return [0 if o.role == "index" else self.address(o.view, rounds) for o in call.operands]

    def _turn(self, step: Scan, turn: int) -> Frame:
        """The step of a loop at one of its turns."""
        bases: dict[int, int] = {}
        for b in step.bindings:
            row = b.first + turn
            row = row % b.modulus if b.modulus else row
            place = self.address(b.view) + row * b.stride * np.dtype(b.view.dtype).itemsize
            for number in bound(step.plan, b.position, b.read):
                bases[number] = place
        start = self.plan.home(step.workspace)
        workspace = self.address(View(start, (), ()))
        return Frame(step.plan, bases, -(-workspace // ALIGNED) * ALIGNED, self.constants)
