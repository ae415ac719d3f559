"""A long body cut into stages, each of which runs over a strip of elements before the next begins.

A processor overlaps the work on one element with that on the next only as far as it looks ahead, a few hundred
instructions. A body of several functions in a row is longer than that: each iteration then waits for the one before.
In stages, many elements are under way at once; what passes from one stage to the next lies in the first cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinygraph.program.nest import COSTLY, Nest

__all__ = ["STRIP", "Stage", "stages"]

#: Elements of a strip.
STRIP = 256

#: Instructions of a costly operation and of another one, about.
_LONG, _SHORT = 25, 1

#: Bodies up to so many instructions are one stage.
_WHOLE = 60

_QUICK = frozenset(["true_div", "sqrt"])


@dataclass(frozen=True)
class Stage:
    """Part of a pass.

    Attributes
    ----------
    nodes
        Those that are computed or loaded, in order.
    taken
        Those that an earlier stage left behind.
    left
        Those that are left behind for later stages.
    last
        Whether results are stored: only then, as they may lie where operands do.
    """

    nodes: tuple[int, ...]
    taken: tuple[int, ...]
    left: tuple[int, ...]
    last: bool


def stages(nest: Nest, number: int) -> list[Stage]:
    """The stages of a pass of a nest; one where its body is short."""
    schedule, nodes = nest.schedule, nest.nodes
    needed = schedule.needed(number)
    inner = set(needed)
    level: dict[int, int] = {}
    for n in needed:
        if schedule.reloaded(n, number):
            level[n] = 0
            continue
        level[n] = max((level[a] + _is_long(nest, a) for a in nodes[n].args if a in inner), default=0)
    count = max(level.values(), default=0) + 1
    weight = sum(_LONG if _is_long(nest, n) else _SHORT for n in needed)
    if count == 1 or weight <= _WHOLE or any(nodes[n].op in ("gather", "check", "philox") for n in needed):
        return [Stage(tuple(needed), (), (), True)]
    # Where each is read: by nodes, by reductions, and by the stores of the last stage.
    reads: dict[int, set[int]] = {n: set() for n in needed}
    for n in needed:
        if not schedule.reloaded(n, number):
            for a in nodes[n].args:
                if a in inner:
                    reads[a].add(level[n])
    for i, node in enumerate(nodes):
        if node.op in ("reduce", "pick") and schedule.ready[i] == number:
            at = max((level[a] for a in node.args if a in inner), default=0)
            for a in node.args:
                if a in inner:
                    reads[a].add(at)
    for n in (*(n for n, _ in schedule.writes(number)), *(n for n in schedule.kept if schedule.ready[n] == number)):
        if n in inner:
            reads[n].add(count - 1)
    for n in needed:
        if nodes[n].op == "load" and reads[n]:
            level[n] = min(reads[n])
    free = {n for n in needed if nodes[n].op in ("const", "index")}
    made = []
    for s in range(count):
        own = tuple(n for n in needed if (level[n] == s if n not in free else s in reads[n]))
        taken = tuple(n for n in needed if n not in free and level[n] < s and s in reads[n])
        left = tuple(n for n in own if n not in free and max(reads[n], default=s) > s)
        made.append(Stage(own, taken, left, s == count - 1))
    return made


def _is_long(nest: Nest, n: int) -> bool:
    op = nest.nodes[n].op
    return op in COSTLY and op not in _QUICK
