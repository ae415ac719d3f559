"""A plan in segments: what is launched without the host, in the order in which it is launched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygraph.backends.cuda.kernel import Code, Launch, launches_of
from tinygraph.backends.cuda.scatter import launches_of_scatter
from tinygraph.backends.cuda.together import together
from tinygraph.program.plan import NestCall, Plan, read, written
from tinygraph.program.rounds import parts
from tinygraph.program.steps import Batch, Call, Scan, Scatter

__all__ = ["Segment", "Segments"]


@dataclass
class Segment:
    """Steps that follow one another without the host.

    Attributes
    ----------
    steps
        What is launched, in order.
    call
        The instruction that is run by itself afterwards.
    moving
        Storages whose addresses may differ from call to call.
    checked
        Whether the host waits afterwards and looks whether an index was out of bounds.
    known
        By stream and addresses: the launches, and a graph of them where one could be captured.
    """

    steps: list[Any]
    call: Call | None
    moving: list[int]
    checked: bool
    known: dict[tuple[int, ...], list[Callable[[], None]]] = field(default_factory=dict)


class Segments:
    """A plan cut up.

    A segment ends where an instruction is run by itself, and after the last kernel that can find an index out of
    bounds.

    Attributes
    ----------
    all
        The segments, in order.
    launches
        Of nests and scatters, of the plan and of its loops, by the identity of the step.
    together
        Nests of a step that share launches, by the identity of the step.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.launches: dict[int, list[Launch]] = {id(step): launches for step, launches in launches_of(plan)}
        self.launches |= {id(step): launches_of_scatter(step) for step in _steps(plan) if isinstance(step, Scatter)}
        self.all: list[Segment] = []
        self.together = {
            id(step): list(together(step, self.launches)) for step in _steps(plan) if isinstance(step, Batch)
        }
        fallible = max((i for i, s in enumerate(plan.steps) if _checks(s)), default=-1)
        current: list[Any] = []
        for i, step in enumerate(plan.steps):
            if isinstance(step, Call):
                self._end(current, step, any(_checks(s) for s in current))
            else:
                current.append(step)
                if i == fallible:
                    self._end(current, None, True)
        self._end(current, None, False)

    def _end(self, steps: list[Any], call: Call | None, checked: bool) -> None:
        self.all.append(Segment(list(steps), call, self._moving(steps), checked))
        steps.clear()

    @property
    def kernels(self) -> list[Code]:
        """All that are launched, each once."""
        several = [each for found in self.together.values() for each in found]
        inside = {id(call) for each in several for call in each.calls}
        alone = [launch for step, launches in self.launches.items() if step not in inside for launch in launches]
        return list(dict.fromkeys(launch.kernel for launch in (*(each.launch for each in several), *alone)))

    def _moving(self, steps: Sequence[Any]) -> list[int]:
        """The storages of some steps that are not at the same address in every call."""
        plan, found = self.plan, dict[int, None]()
        for step in steps:
            for number in (*read(step), *written(step)):
                storage = plan.home(plan.storages[number])
                if storage.kind == "input" or storage.index in plan.fresh:
                    found[storage.index] = None
        return list(found)


def _steps(plan: Plan) -> Iterator[Any]:
    """The steps of a plan and of the plans of its loops."""
    for step in plan.steps:
        yield step
        if isinstance(step, Scan):
            yield from _steps(step.plan)


def _checks(step: Any) -> bool:
    """Whether a step can find an index out of bounds."""
    if isinstance(step, Scan):
        return bool(step.plan.fallible)
    return any(isinstance(part, NestCall) and part.nest.checks for part in parts(step))
