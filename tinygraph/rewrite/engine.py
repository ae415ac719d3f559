"""The rewrite engine: one walk from the inputs up, with rules that look down.

Every node is rebuilt on its rewritten inputs, merged with an equal node where there is one, folded where everything is
constant, and then offered to the rules of its operation until none applies. Rules say nothing about order and keep
no state; a rule returns an equal expression or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygraph import arrays
from tinygraph.errors import TinygraphError
from tinygraph.graph import Apply, Constant, Op, Variable, origin_scope, toposort
from tinygraph.ops.elementwise import Elementwise
from tinygraph.types import TensorType

__all__ = ["RewriteError", "Rule", "Rules", "Step", "run"]

#: A rule gets a node and returns an expression equal to its only output, or None.
Rule = Callable[[Apply], Any]

#: Rules that apply to one expression in turn; more than this many means that two rules undo each other.
_LIMIT = 100
#: Constants are folded up to this many elements, or the size of what they are made of.
_FOLDED = 4096


class RewriteError(AssertionError):
    """A rule that changes a type or never ends: a fault of the rule, never of the user."""


class Step(NamedTuple):
    """One application of a rule: its name, what was there and what stands there now."""

    rule: str
    old: Variable
    new: Variable


class Rules:
    """A set of rules, by the operation of the node that they look at.

    >>> rules = Rules()
    >>> @rules.on("neg")
    ... def double_negation(node):
    ...     inner = node.inputs[0].owner
    ...     return inner.inputs[0] if inner is not None and inner.op == node.op else None
    >>> len(rules)
    1
    """

    def __init__(self, *others: Rules) -> None:
        self._by_key: dict[Any, list[Rule]] = {}
        for other in others:
            for key, rules in other._by_key.items():
                self._by_key.setdefault(key, []).extend(rules)

    def on(self, *keys: str | type[Op]) -> Callable[[Rule], Rule]:
        """Register a rule for elementwise operations by name, and for others by class."""

        def register(rule: Rule) -> Rule:
            for key in keys:
                self._by_key.setdefault(key, []).append(rule)
            return rule

        return register

    def of(self, op: Op) -> Sequence[Rule]:
        """The rules that look at nodes of this operation."""
        return self._by_key.get(op.row if isinstance(op, Elementwise) else type(op), ())

    def __len__(self) -> int:
        return len({rule for rules in self._by_key.values() for rule in rules})

    def __iter__(self) -> Any:
        return iter(dict.fromkeys(rule for rules in self._by_key.values() for rule in rules))


def run(
    roots: Sequence[Variable], leaves: Sequence[Variable], rules: Rules, steps: list[Step] | None = None
) -> list[Any]:
    """The roots, rewritten.

    Parameters
    ----------
    roots
        Expressions.
    leaves
        Variables that are taken as given.
    rules
        What may be replaced by what.
    steps
        A list that every application of a rule is added to.
    """
    return _Run(leaves, rules, steps).rewritten(roots)


class _Run:
    def __init__(self, leaves: Sequence[Variable], rules: Rules, steps: list[Step] | None) -> None:
        self.rules = rules
        self.steps = steps
        self.done: dict[Variable, Variable] = {leaf: leaf for leaf in leaves}
        self.nodes: dict[Any, Apply] = {}
        self.constants: dict[Any, Constant] = {}

    def rewritten(self, roots: Sequence[Variable], depth: int = 0) -> list[Any]:
        for node in toposort(roots, stop=self.done):
            self._visit(node, depth)
        return [self._of(v) for v in roots]

    def _of(self, variable: Variable) -> Variable:
        known = self.done.get(variable)
        if known is None:
            known = self._merged_constant(variable) if isinstance(variable, Constant) else variable
            self.done[variable] = known
        return known

    def _merged_constant(self, constant: Constant) -> Constant:
        if constant.data.size > _FOLDED:
            return constant
        return self.constants.setdefault(constant.signature(), constant)

    def _visit(self, node: Apply, depth: int) -> None:
        inputs = [self._of(v) for v in node.inputs]
        if node.op.inline:
            self.done.update(zip(node.outputs, self.rewritten(node.op.expanded(inputs), depth), strict=True))
            return
        merged = self._merged(node, inputs)
        for old, new in zip(node.outputs, merged.outputs, strict=True):
            self.done[old] = new
            self.done.setdefault(new, new)
        if len(node.outputs) == 1:
            old, new = node.outputs[0], merged.outputs[0]
            if merged is not node and self.done[new] is not new:
                self.done[old] = self.done[new]  # an equal node was here before
                return
            self.done[old] = self.done[new] = self._improved(new, depth)

    def _merged(self, node: Apply, inputs: list[Variable]) -> Apply:
        """The node itself, an equal one that stands already, or a copy of it on these inputs."""
        key = (id(node) if node.op.effects else node.op, *map(id, inputs))
        known = self.nodes.get(key)
        if known is None:
            known = node
            if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
                with origin_scope(node.origin):
                    known = Apply(node.op, inputs)
                for old, new in zip(node.outputs, known.outputs, strict=True):
                    new.name = old.name
            self.nodes[key] = known
        return known

    def _improved(self, variable: Variable, depth: int) -> Variable:
        """What an expression becomes when rules are applied to it until none does."""
        node = variable.owner
        assert node is not None
        folded = _folded(node)
        if folded is not None:
            return self._merged_constant(folded)
        for rule in self.rules.of(node.op):
            with origin_scope(node.origin):
                new = rule(node)
            if new is None or new is variable:
                continue
            name = getattr(rule, "__name__", "rule")
            if new.dtype != variable.dtype or new.ndim != variable.ndim:
                raise RewriteError(f"{name} turned {variable.type} into {new.type} at {node}")
            if depth >= _LIMIT:
                raise RewriteError(f"{name} was applied without end at {node}")
            if new.name is None and new.owner is not None:
                new.name = variable.name
            if self.steps is not None:
                self.steps.append(Step(name, variable, new))
            return self.rewritten([new], depth + 1)[0]
        return variable


def _folded(node: Apply) -> Any:
    """The constant that a node of constants computes, or None."""
    data = [v.data for v in node.inputs if isinstance(v, Constant)]
    if not data or len(data) < len(node.inputs) or node.op.bodies or node.op.effects:
        return None
    output = node.outputs[0]
    size = output.abstract.type.shape
    if None in size or int(np.prod(size, dtype=float)) > max([_FOLDED, *(d.size for d in data)]):
        return None
    with arrays.ignore_floating_point():
        try:
            value = node.op.compute(arrays.get("numpy"), *data)
        except (TinygraphError, ValueError, IndexError, ArithmeticError):
            return None  # it fails at run time, where the error has its place
    return TensorType.constant_class(None, value)
