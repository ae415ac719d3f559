"""Inner graphs, which operations such as loops run; types through a graph; what of a graph only one case needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tinygraph.errors import TinygraphError
from tinygraph.graph.flat import Flat, flattened
from tinygraph.graph.node import Apply, Constant, Variable, describe, infer
from tinygraph.graph.walk import toposort
from tinygraph.types import Abstract

__all__ = ["Body", "Guard", "guards", "infer_graph"]

#: Conditions, 0-d bool variables, each with the value that it must have for something to be needed.
Guard = frozenset[tuple[Variable, bool]]

_ALWAYS: Guard = frozenset()


def infer_graph(
    order: Iterable[Apply], known: Mapping[Variable, Abstract], guarded: Mapping[Apply, Guard] | None = None
) -> dict[Variable, Abstract]:
    """What is known of every variable, given what is known of the leaves.

    Parameters
    ----------
    order
        The nodes, each after its inputs.
    known
        What is known of variables that are given.
    guarded
        The conditions of nodes that are not always needed; where one is known not to hold, nothing is inferred. Such
        nodes raise nothing.

    Raises
    ------
    ShapeError, DtypeError
        At the first node whose inputs do not fit, with their concrete shapes and the user's lines.
    """
    env = dict(known)
    for node in order:
        if guarded and any(_differs(env.get(c), value) for c, value in guarded.get(node, _ALWAYS)):
            continue
        inputs = [env.get(v, v.abstract) for v in node.inputs]
        try:
            results = infer(node.op, inputs)
        except TinygraphError as err:
            if guarded and node in guarded:
                continue  # it may not be needed; if it is, it fails when it runs
            describe(err, node, inputs, env)
            raise
        for variable, abstract in zip(node.outputs, results, strict=True):
            env[variable] = abstract
    return env


def _differs(condition: Abstract | None, value: bool) -> bool:
    return condition is not None and condition.value is not None and bool(condition.value) != value


def guards(
    order: Sequence[Apply], outputs: Iterable[Variable], source: Callable[[Variable], Variable] = lambda v: v
) -> dict[Apply, Guard]:
    """For each node that is not needed in every case, the conditions under which it is.

    What only one branch of a choice reads is needed where its condition has that value; what several choices by the
    same condition read in the same branch, too. Where in doubt a node is needed.

    Parameters
    ----------
    order
        The nodes, each after its inputs.
    outputs
        What is needed in every case.
    source
        The variable that is read in place of another one.
    """
    if not any(node.op.chooses for node in order):
        return {}
    found: dict[Apply, Guard] = {}

    def use(variable: Variable, guard: Guard) -> None:
        owner = source(variable).owner
        if owner is not None:
            found[owner] = found[owner] & guard if owner in found else guard

    for variable in outputs:
        use(variable, _ALWAYS)
    for node in reversed(order):
        guard = found.get(node)
        if guard is None:
            continue
        if node.op.chooses:
            condition, *branches = node.inputs
            use(condition, guard)
            for branch, value in zip(branches, (True, False), strict=True):
                use(branch, guard | {(source(condition), value)})
        else:
            for variable in node.inputs:
                use(variable, guard)
    return {node: guard for node, guard in found.items() if guard}


class Body:
    """An inner graph: expressions of its own inputs, which stand for whatever an operation feeds it.

    Two bodies are equal where they compute the same in the same way, whatever their variables are.

    Parameters
    ----------
    inputs
        Distinct variables that nothing is looked for behind; they may be results of an outer graph.
    outputs
        Expressions of these and of constants.
    """

    __slots__ = ("_hash", "_key", "guarded", "inputs", "order", "outputs")

    def __init__(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.order = toposort(self.outputs, stop=self.inputs)
        self.guarded = guards(self.order, self.outputs)
        self._key = self._structure()
        self._hash = hash(self._key)

    def _structure(self) -> tuple[Any, ...]:
        """The graph with numbers for variables."""
        number: dict[Variable, Any] = {v: i for i, v in enumerate(self.inputs)}

        def named(variable: Variable) -> Any:
            if variable not in number:
                small = isinstance(variable, Constant) and variable.data.size <= 64
                number[variable] = variable.signature() if small else variable  # type: ignore[attr-defined]
            return number[variable]

        rows: list[Any] = []
        for node in self.order:
            rows.append((node.op, *map(named, node.inputs)))
            for output in node.outputs:
                number[output] = -len(number) - 1
        return (*((v.dtype, v.type.shape) for v in self.inputs), *rows, *map(named, self.outputs))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Body):
            return NotImplemented
        return self is other or (self._hash == other._hash and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    def infer(self, inputs: Sequence[Abstract]) -> list[Abstract]:
        """What is known of the outputs, from what is known of the inputs.

        Raises
        ------
        ShapeError, DtypeError
            At the first inner node whose inputs do not fit.
        """
        if all(a is v.abstract or a == v.abstract for a, v in zip(inputs, self.inputs, strict=True)):
            return [v.abstract for v in self.outputs]
        env = infer_graph(self.order, dict(zip(self.inputs, inputs, strict=True)), self.guarded)
        return [env.get(v, v.abstract) for v in self.outputs]

    def interpreted(self, xp: Any) -> Callable[[Sequence[Any]], list[Any]]:
        """The graph as a function of arrays, one operation at a time: the slow way, without a Program."""

        def run(values: Sequence[Any]) -> list[Any]:
            env = dict(zip(self.inputs, values, strict=True))

            def value_of(variable: Variable) -> Any:
                if variable not in env and isinstance(variable, Constant):
                    env[variable] = xp.asarray(variable.data)
                return env.get(variable)  # None where it was not needed

            for node in self.order:
                if any(env.get(c) is None or bool(env[c]) != value for c, value in self.guarded.get(node, _ALWAYS)):
                    continue
                result = node.op.compute(xp, *map(value_of, node.inputs))
                results = result if isinstance(result, (tuple, list)) else (result,)
                env.update(zip(node.outputs, results, strict=True))
            return [value_of(v) for v in self.outputs]

        return run

    def __repr__(self) -> str:
        return f"<body: {len(self.inputs)} inputs, {len(self.order)} operations, {len(self.outputs)} outputs>"

    def __reduce__(self) -> Any:
        return _body, (flattened(self.outputs, self.inputs), len(self.inputs))


def _body(graph: Flat, n_inputs: int) -> Body:
    return Body(graph.leaves[:n_inputs], graph.restored())
