"""Walking, cloning and replacing, with explicit stacks: no graph is too deep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tinygraph.graph.node import Apply, Constant, Variable
from tinygraph.graph.provenance import origin_scope
from tinygraph.graph.shared import SharedVariable

__all__ = ["ancestors", "apply_node", "graph_inputs", "replace", "toposort"]


def toposort(outputs: Iterable[Variable], stop: Collection[Variable] = ()) -> list[Apply]:
    """The Apply nodes that ``outputs`` depend on, each once and after its inputs; ``stop`` is not looked behind.

    The order is that of a depth-first walk, so it is the same every time.
    """
    order: list[Apply] = []
    done: set[Apply] = set()
    stack: list[tuple[Apply, Iterator[Variable]]] = []
    stopped = set(stop)
    for output in outputs:
        if output.owner is None or output in stopped or output.owner in done:
            continue
        done.add(output.owner)
        stack.append((output.owner, iter(output.owner.inputs)))
        while stack:
            node, pending = stack[-1]
            for variable in pending:
                owner = variable.owner
                if owner is not None and owner not in done and variable not in stopped:
                    done.add(owner)
                    stack.append((owner, iter(owner.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def ancestors(outputs: Iterable[Variable], stop: Collection[Variable] = ()) -> list[Variable]:
    """Every variable that ``outputs`` depend on, themselves included, inputs before what they feed."""
    outputs = list(outputs)
    seen: dict[Variable, None] = {}
    for node in toposort(outputs, stop):
        seen.update(dict.fromkeys(node.inputs))
        seen.update(dict.fromkeys(node.outputs))
    seen.update(dict.fromkeys(outputs))
    return list(seen)


def graph_inputs(outputs: Iterable[Variable], stop: Collection[Variable] = ()) -> list[Variable]:
    """The leaves that ``outputs`` depend on, constants and shared variables included."""
    stopped = set(stop)
    return [v for v in ancestors(outputs, stop) if v.owner is None or v in stopped]


def apply_node(node: Apply, inputs: Sequence[Variable]) -> Sequence[Any]:
    """The outputs of a node's operation on other inputs, with the node's source lines, names and tags kept."""
    with origin_scope(node.origin):
        outputs = Apply(node.op, inputs).outputs
    for old, new in zip(node.outputs, outputs, strict=True):
        new.name = old.name
        if "tag" in old.__dict__:
            vars(new.tag).update({key: value for key, value in vars(old.tag).items() if key != "test_value"})
    return outputs


def replace(outputs: Sequence[Variable], replacements: Mapping[Any, Any], share_inputs: bool = True) -> list[Any]:
    """The same expressions with variables replaced; what does not depend on a replaced variable is shared.

    Parameters
    ----------
    outputs
        Expressions.
    replacements
        Variable to variable; keys may be leaves or results in the middle. Replacements are taken as they are: a
        replaced variable inside a replacement stays.
    share_inputs
        False makes new leaves for inputs that are neither constant nor shared.
    """
    new: dict[Variable, Any] = dict(replacements)
    if not share_inputs:
        for leaf in graph_inputs(outputs, new):
            if leaf.owner is None and leaf not in new and not isinstance(leaf, (Constant, SharedVariable)):
                new[leaf] = leaf.clone()
    for node in toposort(outputs, replacements):
        if any(v in new for v in node.inputs):
            results = apply_node(node, [new.get(v, v) for v in node.inputs])
            for old, result in zip(node.outputs, results, strict=True):
                new.setdefault(old, result)
    return [new.get(v, v) for v in outputs]
