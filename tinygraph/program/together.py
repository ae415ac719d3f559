"""Small nests that know nothing of one another as one step, as the updates of all parameters by an optimizer.

A launch takes a device a few microseconds, more than a small nest does. So the steps of a plan are put into another
order, in which nests wait until something needs what they make; those that can run then are one step, whatever they
compute. This is done before values are given places, so that none waits for memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygraph.program.nested import NestCall
from tinygraph.program.steps import Batch

__all__ = ["gathered"]

#: Elements of a nest up to which it waits for others; larger ones find what was just written in the cache.
_SMALL = 1 << 20

#: Nests in a step, at most.
_MOST = 64

#: Numbers of storages, as where a step reads or writes.
Storages = Callable[[Any], Iterable[int]]


def gathered(steps: Sequence[Any], reads: Storages, writes: Storages) -> list[Any]:
    """Steps in an order in which nests run together, these as a ``Batch``.

    Parameters
    ----------
    steps
        None of them runs by itself, or can fail after what it is not to undo: whatever their order, it is right.
    reads, writes
        The storages of a step, those that share memory under one number.
    """
    waiting = [i for i, step in enumerate(steps) if isinstance(step, NestCall) and 0 < step.elements <= _SMALL]
    if len(waiting) < 2:
        return list(steps)
    before = _before(steps, reads, writes)
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
            chosen = sorted(sorted(ready, key=lambda i: (i not in left, i))[:_MOST])
            done.update(chosen)
            left.difference_update(chosen)
            calls = [steps[i] for i in chosen]
            order.append(Batch(calls) if len(calls) > 1 else calls[0])

    for i, step in enumerate(steps):
        if i not in waiting:
            run(before[i])
            order.append(step)
            done.add(i)
    run(waiting)
    return order


def _before(steps: Sequence[Any], reads: Storages, writes: Storages) -> list[set[int]]:
    """For each step those that have to run before it: they write what it reads, or use what it writes to."""
    writers: dict[int, list[int]] = {}
    readers: dict[int, list[int]] = {}
    found: list[set[int]] = []
    for i, step in enumerate(steps):
        needed: set[int] = set()
        for k in reads(step):
            needed.update(writers.get(k, ()))
        for k in writes(step):
            needed.update(writers.get(k, ()))
            needed.update(readers.get(k, ()))
        for k in writes(step):
            writers.setdefault(k, []).append(i)
        for k in reads(step):
            readers.setdefault(k, []).append(i)
        needed.discard(i)
        found.append(needed)
    return found
