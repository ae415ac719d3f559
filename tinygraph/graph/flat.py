"""A graph written as a list, so that copying and pickling it never recurses however deep it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygraph.graph.node import Apply, Op, Variable
from tinygraph.graph.provenance import Origin, origin_scope
from tinygraph.graph.testvalues import no_test_values
from tinygraph.graph.walk import graph_inputs, toposort

__all__ = ["Flat", "flattened"]


class Flat(NamedTuple):
    """A graph as data: leaves, and operations whose inputs are numbers of variables made before.

    Attributes
    ----------
    leaves
        Variables number 0, 1, 2, …
    steps
        One for each operation, in order: the operation, the numbers of its inputs, where the user made it, and the
        names of its outputs, which get the next numbers.
    roots
        The numbers of the variables that were asked for.
    """

    leaves: tuple[Variable, ...]
    steps: tuple[tuple[Op, tuple[int, ...], Origin, tuple[str | None, ...]], ...]
    roots: tuple[int, ...]

    def restored(self) -> list[Any]:
        """The variables that were asked for, over these leaves."""
        made: list[Any] = list(self.leaves)
        with no_test_values():
            for op, inputs, origin, names in self.steps:
                with origin_scope(origin):
                    outputs = Apply(op, [made[i] for i in inputs]).outputs
                for output, name in zip(outputs, names, strict=True):
                    output.name = name
                made += outputs
        return [made[i] for i in self.roots]


def flattened(roots: Sequence[Variable], leaves: Sequence[Variable] = ()) -> Flat:
    """The graph from ``leaves``, and whatever other leaves there are, to ``roots``, as data."""
    first = tuple(dict.fromkeys([*leaves, *graph_inputs(roots, leaves)]))
    numbers = {v: i for i, v in enumerate(first)}
    steps, count = [], len(first)
    for node in toposort(roots, leaves):
        inputs = tuple(numbers[v] for v in node.inputs)
        steps.append((node.op, inputs, node.origin, tuple(v.name for v in node.outputs)))
        for i, output in enumerate(node.outputs):
            numbers.setdefault(output, count + i)
        count += len(node.outputs)
    return Flat(first, tuple(steps), tuple(numbers[v] for v in roots))
