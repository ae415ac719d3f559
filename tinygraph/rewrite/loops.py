"""Loops that do only what is asked of them: outputs that nobody reads are left out, and of those whose last rows alone
are read only these are kept; each step is rewritten like any other graph.

A walk from the roots down finds out how many of its last rows are asked of each variable; readers need not change for
it, since they count from the end. After that, what need not be done step by step is done before or after the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygraph.graph import Apply, Body, Variable, apply_node, origin_scope, replace, toposort
from tinygraph.ops.loop import Loop
from tinygraph.ops.subtensor import Subtensor
from tinygraph.rewrite.loops_draft import Draft
from tinygraph.rewrite.loops_hoist import hoist, measure, postpone
from tinygraph.rewrite.loops_kept import kept_results
from tinygraph.rewrite.loops_sums import sum_afterwards

__all__ = ["rewrite_loops"]

#: Number of last rows that are asked of a variable, None for all.
Rows = int | None


def rewrite_loops(
    roots: Sequence[Variable],
    leaves: Sequence[Variable],
    rewrite: Callable[[Sequence[Variable], Sequence[Variable]], Sequence[Any]],
) -> list[Any]:
    """The roots with every loop rewritten.

    Parameters
    ----------
    roots
        Expressions.
    leaves
        Variables that are taken as given.
    rewrite
        Rewrites the graph of a step: its outputs and inputs to equal outputs.
    """
    order = toposort(roots, stop=leaves)
    plans, asked = _plans(order, roots)
    new: dict[Variable, Any] = {}
    for node in order:
        if node in plans:
            new.update(plans[node].carried_out(node, new, rewrite))
        elif any(v in asked for v in node.outputs) and any(v in new for v in node.inputs):
            results = apply_node(node, [new.get(v, v) for v in node.inputs])
            new.update(zip(node.outputs, results, strict=True))
    return _lightened([new.get(v, v) for v in roots], leaves)


def _lightened(roots: Sequence[Variable], leaves: Sequence[Variable]) -> list[Any]:
    """The roots with less to do in every step of their loops."""
    order = toposort(roots, stop=leaves)
    kept = kept_results([node for node in order if isinstance(node.op, Loop)])
    ends = _only_ends(order, roots)
    new: dict[Variable, Any] = {}
    rows: dict[tuple[Apply, Any], Any] = {}
    for node in order:
        if isinstance(node.op, Loop):
            draft = Draft(node, new)
            given = kept.give(draft)
            kept.take(draft, rows)
            measure(draft)
            sum_afterwards(draft, ends)
            postpone(draft)
            hoist(draft)
            made = draft.made()
            rows.update(((node, v), made[result.rows]) for v, result in given.items())
            new.update((v, made[v]) for v in node.outputs)
        elif any(v in new for v in node.inputs):
            new.update(zip(node.outputs, apply_node(node, [new.get(v, v) for v in node.inputs]), strict=True))
    return [new.get(v, v) for v in roots]


def _only_ends(order: Sequence[Apply], roots: Sequence[Variable]) -> set[Variable]:
    """The variables of which the last row alone is read, however many rows are there."""
    whole = set(roots)
    for node in reversed(order):
        first = node.op.idx[0] if isinstance(node.op, Subtensor) and node.op.idx else None
        if first == -1:
            whole.update(node.inputs[1:])
        elif isinstance(first, tuple) and first[1:] == (None, None) and node.outputs[0] not in whole:
            whole.update(node.inputs[1:])  # the last row of a part up to the end is that of the whole
        else:
            whole.update(node.inputs)
    return {v for node in order for v in node.outputs if v not in whole}


class _Plan(NamedTuple):
    """What of a loop is needed, by position: states, other outputs, sequences, constants; and how many rows of each."""

    states: tuple[int, ...]
    others: tuple[int, ...]
    sequences: tuple[int, ...]
    constants: tuple[int, ...]
    keep: tuple[Rows, ...]

    def inputs(self, node: Apply) -> list[Variable]:
        """The inputs of the loop that are needed."""
        op: Any = node.op
        initials, sequences, constants = op.split(node.inputs[1:])
        return [
            node.inputs[0],
            *(initials[i] for i in self.states),
            *(sequences[j] for j in self.sequences),
            *(constants[k] for k in self.constants),
        ]

    def carried_out(
        self, node: Apply, new: dict[Variable, Any], rewrite: Callable[..., Sequence[Any]]
    ) -> dict[Variable, Any]:
        """The loop that does what is needed: what stands for its outputs."""
        op: Any = node.op
        taps, elements, fixed = _inner(op)
        wanted = [*self.states, *self.others]
        inputs = [v for i in self.states for v in taps[i]]
        inputs += [*(elements[j] for j in self.sequences), *(fixed[k] for k in self.constants)]
        results = [op.body.outputs[i] for i in wanted] + ([op.body.outputs[-1]] if op.stop else [])
        # Rules look behind what has an owner; a step must not see how what it is given was made outside.
        leaves = {v: v.type(v.name) for v in inputs if v.owner is not None}
        results, inputs = replace(results, leaves), [leaves.get(v, v) for v in inputs]
        keep = self.keep if any(rows is not None for rows in self.keep) else ()
        made = Loop(
            Body(inputs, rewrite(results, inputs)),
            tuple(op.taps[i] for i in self.states),
            len(self.sequences),
            op.stop,
            op.truncate,
            keep,
            op.label,
        )
        with origin_scope(node.origin):
            outputs = Apply(made, [new.get(v, v) for v in self.inputs(node)]).outputs
        for i, output in zip(wanted, outputs, strict=True):
            output.name = node.outputs[i].name
        return {node.outputs[i]: output for i, output in zip(wanted, outputs, strict=True)}


def _inner(op: Loop) -> tuple[list[list[Variable]], list[Variable], list[Variable]]:
    """The inner variables of a loop: the taps of each state, the rows of the sequences, the constants."""
    inner = iter(op.body.inputs)
    taps = [[next(inner) for _ in own] for own in op.taps]
    return taps, [next(inner) for _ in range(op.sequences)], list(inner)


def _plans(order: Sequence[Apply], roots: Sequence[Variable]) -> tuple[dict[Apply, _Plan], dict[Variable, Rows]]:
    """What is needed of each loop that is needed, and how many last rows are asked of each variable."""
    asked: dict[Variable, Rows] = {}
    plans: dict[Apply, _Plan] = {}

    def ask(variable: Variable, rows: Rows) -> None:
        before = asked.get(variable, 0)
        asked[variable] = None if before is None or rows is None else max(before, rows)

    for variable in roots:
        ask(variable, None)
    for node in reversed(order):
        if not any(v in asked for v in node.outputs):
            continue
        needed = node.inputs
        if isinstance(node.op, Loop):
            plans[node] = _plan(node.op, [asked.get(v, 0) for v in node.outputs])
            needed = tuple(plans[node].inputs(node))
        elif isinstance(node.op, Subtensor):
            ask(node.inputs[0], _behind(node.op, asked[node.outputs[0]]))
            needed = node.inputs[1:]
        for variable in needed:
            ask(variable, None)
    return plans, asked


def _behind(op: Subtensor, rows: Rows) -> Rows:
    """How many last rows are asked of a tensor when so many are of the result of indexing it."""
    first = op.idx[0] if op.idx else (None, None, None)
    if isinstance(first, int) and first < 0:
        return -first
    if isinstance(first, tuple) and first[1:] == (None, None):
        start = first[0] or 0
        if isinstance(start, int) and start < 0:
            return -start
        if isinstance(start, int) and rows is not None:
            return start + rows
    return None


def _plan(op: Loop, asked: Sequence[Rows]) -> _Plan:
    """What of a loop is needed when so many last rows are asked of its outputs."""
    taps, elements, fixed = _inner(op)
    body = op.body
    states = {i for i in range(len(taps)) if asked[i] != 0}
    others = [i for i in range(len(taps), len(asked)) if asked[i] != 0]
    while True:
        wanted = [body.outputs[i] for i in (*sorted(states), *others)] + ([body.outputs[-1]] if op.stop else [])
        used = {*wanted, *(v for node in toposort(wanted, stop=body.inputs) for v in node.inputs)}
        more = {i for i, own in enumerate(taps) if i not in states and any(v in used for v in own)}
        if not more:
            break
        states |= more
    keep = [_most(asked[i], op.depths[i]) for i in sorted(states)] + [asked[i] for i in others]
    before = op.kept
    return _Plan(
        tuple(sorted(states)),
        tuple(others),
        tuple(j for j, v in enumerate(elements) if v in used),
        tuple(k for k, v in enumerate(fixed) if v in used),
        tuple(_least(rows, before[i]) for rows, i in zip(keep, (*sorted(states), *others), strict=True)),
    )


def _most(rows: Rows, depth: int) -> Rows:
    return None if rows is None else max(rows, depth)


def _least(rows: Rows, others: Rows) -> Rows:
    return others if rows is None else rows if others is None else min(rows, others)
