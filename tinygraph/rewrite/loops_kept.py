"""What a loop computes from the states that another loop went through, and the other had computed then, is kept there.

The gradient of a loop computes the intermediate results of every step again from the states. Those behind a product
are worth their memory: the first loop gives their rows as one more output, and the second one reads them. This is
exact: it is the same computation, made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygraph.graph import Apply, Constant, Variable, toposort
from tinygraph.ops.loop import Loop
from tinygraph.ops.subtensor import Subtensor
from tinygraph.rewrite.loops_draft import Draft, Result, count, reverse, rows, unreversed
from tinygraph.rewrite.loops_hoist import costly, frontier, kinds
from tinygraph.rewrite.match import made_by

__all__ = ["Kept", "kept_results"]


@dataclass
class Kept:
    """Which inner variables of loops become outputs, and which of other loops are their rows."""

    #: Loop -> the inner variables whose rows it gives.
    given: dict[Apply, dict[Variable, None]] = field(default_factory=dict)
    #: Loop -> for inner variables the loop that computed them before, the variable there, and whether in reverse.
    read: dict[Apply, list[tuple[Any, Apply, Any, bool]]] = field(default_factory=dict)

    def give(self, draft: Draft) -> dict[Any, Any]:
        """Add the outputs to a loop; the results that they are."""
        made = {v: Result(v) for v in self.given.get(draft.node, ())}
        draft.results.extend(made.values())
        return made

    def take(self, draft: Draft, rows_of: dict[tuple[Apply, Any], Any]) -> None:
        """Let a loop read rows that other loops give."""
        for variable, source, there, turned in self.read.get(draft.node, ()):
            tensor = rows_of[source, there]
            draft.add_sequence(reverse(tensor) if turned else tensor, variable, count(source.inputs[0]))


def kept_results(loops: Sequence[Apply]) -> Kept:
    """What to keep of some loops, each of which comes after those that it depends on."""
    kept = Kept()
    before: set[Apply] = set()
    for node in loops:
        draft = Draft(node, {})
        found = kinds(draft)
        wanted = frontier(draft, found)
        for source, turned in _sources(draft) if wanted else ():
            if source not in before:
                continue
            same = _matched(draft, source, turned)
            for variable in _highest(draft, found, wanted, same):
                kept.given.setdefault(source, {})[same[variable]] = None
                kept.read.setdefault(node, []).append((variable, source, same[variable], turned))
            wanted = [v for v in wanted if v not in same]
        before.add(node)
    return kept


def _highest(draft: Draft, found: dict[Variable, int], wanted: Sequence[Any], same: dict[Any, Any]) -> list[Any]:
    """The inner variables nearest to those wanted that the other loop computed, and that take a product."""
    inputs = draft.inner_inputs()
    chosen: dict[Any, None] = {}
    seen = set()
    stack = list(wanted)
    while stack:
        v = stack.pop()
        if v in seen or v.owner is None or v in inputs:
            continue
        seen.add(v)
        behind = toposort([v], stop=inputs)
        if not any(costly(node, found) for node in behind):
            continue
        if v in same:
            chosen[v] = None
        else:
            stack.extend(v.owner.inputs)
    return list(chosen)


def _sources(draft: Draft) -> list[tuple[Apply, bool]]:
    """The loops whose results are sequences of this one, and whether it reads them in reverse."""
    found: dict[tuple[Apply, bool], None] = {}
    for tensor, _ in draft.sequences:
        inner = unreversed(tensor)
        source = _result_rows(tensor if inner is None else inner)
        if source is not None and not source[0].op.stop:  # type: ignore[attr-defined]
            found[source[0], inner is not None] = None
    return list(found)


def _result_rows(tensor: Any) -> tuple[Apply, int, int] | None:
    """The loop, the output and the offset where a tensor holds, for each step, the row of an output at an offset.

    The offset is 0 for what the step makes and negative for what it reads.
    """
    cut = (0, 0)
    part = made_by(tensor, Subtensor)
    if part is not None and len(tensor.owner.op.idx) == 1 and isinstance(tensor.owner.op.idx[0], tuple):
        start, stop, step = tensor.owner.op.idx[0]
        if step is not None or any(b is not None and not isinstance(b, int) for b in (start, stop)) or stop == 0:
            return None
        cut = start or 0, stop or 0
        tensor = part[0]
    node = tensor.owner
    if node is None or not isinstance(node.op, Loop) or node.op.kept[tensor.index] is not None:
        return None
    depth = node.op.depths[tensor.index] if tensor.index < len(node.op.taps) else 0
    start, stop = cut
    return (node, tensor.index, stop) if stop <= 0 <= start and start - stop == depth else None


def _matched(draft: Draft, source: Apply, turned: bool) -> dict[Any, Any]:
    """For inner variables of a loop those of an earlier one that have the same value at the step it goes over."""
    other = Draft(source, {})
    same: dict[Any, Any] = {}
    steps = count(source.inputs[0])
    for tensor, v in draft.sequences:
        inner = unreversed(tensor) if turned else tensor
        if inner is None:
            continue
        place = _result_rows(inner)
        if place is not None and place[0] is source:
            result = other.results[place[1]]
            if place[2] == 0:
                same[v] = result.new
            elif place[2] in result.taps:
                same[v] = result.read[result.taps.index(place[2])]
        elif rows(inner) == steps:
            element = next((e for x, e in other.sequences if x is inner or other.sequence(e) is inner), None)
            if element is not None:
                same[v] = element
    for tensor, v in draft.constants:
        inner = next((c for x, c in other.constants if x is tensor), None)
        if inner is not None:
            same[v] = inner
    nodes = {(node.op, *map(_key, node.inputs)): node for node in other.order() if node not in other.guarded}
    for node in draft.order():
        if node.op.effects or not all(v in same or isinstance(v, Constant) for v in node.inputs):
            continue
        twin = nodes.get((node.op, *(_key(same.get(v, v)) for v in node.inputs)))
        if twin is not None:
            same.update(zip(node.outputs, twin.outputs, strict=True))
    return same


def _key(variable: Any) -> Any:
    return variable.signature() if isinstance(variable, Constant) and variable.data.size <= 64 else variable
