"""Small nests that know nothing of one another as one launch, as the updates of all parameters by an optimizer.

A launch takes a device a few microseconds, more than a small nest does. So the steps of a segment are put into another
order, in which nests wait until something needs what they make, or needs their memory; those that can run then share a
launch, whatever they compute. Each is given the blocks it would have by itself: results are the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygraph.backends.cuda.kernel import Code, Kernel, Launch, words_of
from tinygraph.program.plan import NestCall, Plan, read, written

__all__ = ["Batch", "Together", "gathered"]

#: Elements of a nest up to which it waits for others; larger ones find what was just written in the cache.
_SMALL = 1 << 20

#: Nests in a launch, at most.
_MOST = 64


@dataclass(frozen=True)
class Together(Code):
    """Nests that different blocks compute; those of one kernel follow one another.

    The words are the number of blocks up to the end of each nest, then the words of the nests.
    """

    kernels: tuple[Kernel, ...]

    form = "together"

    @property
    def threads(self) -> int:
        return self.kernels[0].threads

    @property
    def count(self) -> int:
        return len(self.kernels) + sum(kernel.count for kernel in self.kernels)

    @property
    def parts(self) -> tuple[Code, ...]:
        return self.kernels


class Batch:
    """Nests that are launched together.

    Attributes
    ----------
    calls, launches
        The nests, and the launch that each would have by itself.
    launch
        That of all of them.
    """

    def __init__(self, calls: Sequence[NestCall], launches: Sequence[Launch]) -> None:
        kernels = list(dict.fromkeys(launch.kernel for launch in launches))
        order = sorted(range(len(calls)), key=lambda i: kernels.index(launches[i].kernel))
        self.calls = [calls[i] for i in order]
        self.launches = [launches[i] for i in order]
        together = Together(tuple(launch.kernel for launch in self.launches))  # type: ignore[misc]
        self.launch = Launch(together, sum(launch.blocks for launch in launches), (), ())

    def words(self, addresses: Sequence[Sequence[int]], error: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The arguments, given the addresses of the operands of each nest."""
        ends = np.cumsum([launch.blocks for launch in self.launches], dtype="int64")
        found = zip(self.calls, self.launches, addresses, strict=True)
        return np.concatenate([ends, *(words_of(call, launch, places, error) for call, launch, places in found)])


def gathered(plan: Plan, steps: Sequence[Any], launches: Mapping[int, Sequence[Launch]]) -> list[Any]:
    """Steps in an order in which nests are launched together, these as a ``Batch``.

    ``launches`` has those of each nest, by its identity.
    """
    waiting = {i: launch for i, step in enumerate(steps) if (launch := _small(step, launches)) is not None}
    if len(waiting) < 2:
        return list(steps)
    before = _before(plan, steps)
    done: set[int] = set()
    order: list[Any] = []

    def run(wanted: Iterable[int]) -> None:
        """Run nests that wait, and what they need before; others that can run, too, go with them."""
        left = {i for i in wanted if i not in done}
        pending = list(left)
        while pending:
            new = {j for j in before[pending.pop()] if j not in done and j not in left}
            left |= new
            pending += new
        while left:
            ready = [i for i in waiting if i not in done and before[i] <= done]
            threads = waiting[next(i for i in ready if i in left)].kernel.threads
            chosen = [i for i in ready if waiting[i].kernel.threads == threads]
            chosen = sorted(chosen, key=lambda i: (i not in left, i))[:_MOST]
            done.update(chosen)
            left.difference_update(chosen)
            order.append(_batch([steps[i] for i in chosen], [waiting[i] for i in chosen]))

    for i, step in enumerate(steps):
        if i not in waiting:
            run(before[i])
            order.append(step)
            done.add(i)
    run(waiting)
    return order


def _batch(calls: Sequence[NestCall], launches: Sequence[Launch]) -> Any:
    return calls[0] if len(calls) == 1 else Batch(calls, launches)


def _small(step: Any, launches: Mapping[int, Sequence[Launch]]) -> Launch | None:
    """The launch of a nest that may share it."""
    if not isinstance(step, NestCall) or step.elements > _SMALL:
        return None
    found = launches[id(step)]
    return found[0] if len(found) == 1 and found[0].blocks else None


def _before(plan: Plan, steps: Sequence[Any]) -> list[set[int]]:
    """For each step those that have to run before it: they write what it reads, or use memory that it writes to."""
    shared = _shared(plan, steps)
    writers: dict[int, list[int]] = {}
    readers: dict[int, list[int]] = {}
    found: list[set[int]] = []
    for i, step in enumerate(steps):
        reads, writes = (_homes(plan, numbers(step)) for numbers in (read, written))
        needed: set[int] = set()
        for home in reads | writes:
            for other in shared[home]:
                needed.update(writers.get(other, ()))
                if home in writes:
                    needed.update(readers.get(other, ()))
        for home in writes:
            writers.setdefault(home, []).append(i)
        for home in reads:
            readers.setdefault(home, []).append(i)
        found.append(needed)
    return found


def _homes(plan: Plan, numbers: Iterable[int]) -> set[int]:
    return {plan.home(plan.storages[number]).index for number in numbers}


def _shared(plan: Plan, steps: Sequence[Any]) -> dict[int, list[int]]:
    """For each storage those that have memory in common with it, itself among them."""
    homes = {home for step in steps for home in _homes(plan, (*read(step), *written(step)))}
    places = {
        home: (start := plan.offsets[home], start + plan.storages[home].nbytes) for home in homes & {*plan.offsets}
    }
    found = {home: [home] for home in homes}
    ordered = sorted(places, key=lambda home: places[home])
    for at, home in enumerate(ordered):
        for other in ordered[at + 1 :]:
            if places[other][0] >= places[home][1]:
                break
            found[home].append(other)
            found[other].append(home)
    return found
