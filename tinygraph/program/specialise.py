"""From a graph and the types of its inputs to a Program.

Every type is inferred again with concrete shapes, so that all shape arithmetic becomes constants and every shape error
is raised before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.errors import TinygraphError
from tinygraph.graph import Apply, Constant, Guard, SharedVariable, Variable, guards, infer_graph, toposort
from tinygraph.program.ir import Buffer, Instruction, Program
from tinygraph.types import Abstract

__all__ = ["specialise"]

#: Results of constants are computed once and kept, up to this many elements; views of constants cost nothing anyway.
_FOLDED, _FOLDED_VIEW = 4096, 64


def specialise(inputs: Sequence[Variable], outputs: Sequence[Variable], types: Sequence[Abstract]) -> Program:
    """The Program that computes ``outputs`` for inputs of these types.

    Parameters
    ----------
    inputs
        The variables that are given at each call, shared ones included.
    outputs
        Expressions of them.
    types
        What is known of each input, normally its whole shape.

    Raises
    ------
    ShapeError, DtypeError
        Where the types do not fit together.
    """
    order = toposort(outputs, stop=inputs)
    env = infer_graph(order, dict(zip(inputs, types, strict=True)), guards(order, outputs))
    return _Builder(inputs, outputs, env).build(order)


class _Builder:
    def __init__(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], env: Mapping[Variable, Abstract]
    ) -> None:
        self.env = env
        self.outputs = outputs
        self.buffers: list[Buffer] = []
        self.number: dict[Variable, int] = {}
        self.constants: dict[tuple[Any, ...], int] = {}
        for variable in inputs:
            kind = "shared" if isinstance(variable, SharedVariable) else "input"
            self.number[variable] = self._new(variable, kind)
        self.inputs = tuple(self.number[v] for v in inputs)

    def build(self, order: Sequence[Apply]) -> Program:
        steps: list[Instruction] = []
        needed = self._needed(order)
        guarded = guards(needed, self.outputs, self._alias)
        for node in self._conditions_first(needed, guarded) if guarded else needed:
            ins = tuple(self._number(v) for v in node.inputs)
            if self._folded(node, ins):
                continue
            outs = []
            for i, variable in enumerate(node.outputs):
                root = self.buffers[ins[0]].root if node.op.view and ins else -1
                outs.append(self._new(variable, "temporary", root=root))
                self.number[variable] = outs[i]
            guard = sorted((self._number(v), value) for v, value in guarded.get(node, ()))
            steps.append(Instruction(node.op, ins, tuple(outs), (), node, tuple(guard), self._inner(node)))
        results = tuple(self._number(v) for v in self.outputs)
        return Program(tuple(self.buffers), _with_frees(steps, results), self.inputs, results, self._copied(results))

    def _alias(self, variable: Variable) -> Variable:
        """The variable whose value it is, looking through operations that leave theirs as it is."""
        while variable not in self.number and variable.owner is not None and not self._value_known(variable):
            node = variable.owner
            known = [self._abstract(v) for v in node.inputs]
            if node.op.chooses and known[0].value is not None:
                variable = node.inputs[1 if known[0].value else 2]
            elif variable.index == 0 and node.op.is_identity(*known):
                variable = node.inputs[0]
            else:
                break
        return variable

    def _abstract(self, variable: Variable) -> Abstract:
        return self.env.get(variable, variable.abstract)

    def _value_known(self, variable: Variable) -> bool:
        value = self._abstract(variable).value
        return variable.owner is not None and value is not None and not (isinstance(value, tuple) and None in value)

    def _needed(self, order: Sequence[Apply]) -> list[Apply]:
        """The nodes that must run: not those whose results are known, or that only their shape was asked of."""
        wanted: set[Apply] = set()

        def want(variable: Variable) -> None:
            source = self._alias(variable)
            if source.owner is not None and source not in self.number and not self._value_known(source):
                wanted.add(source.owner)

        for variable in self.outputs:
            want(variable)
        needed = []
        for node in reversed(order):
            if node in wanted:
                needed.append(node)
                for variable in node.inputs:
                    want(variable)
        return needed[::-1]

    def _conditions_first(self, needed: Sequence[Apply], guarded: Mapping[Apply, Guard]) -> list[Apply]:
        """The nodes in an order in which each comes after its inputs and its conditions."""
        pending = set(needed)
        order = []
        for node in needed:
            stack = [node]
            while stack:
                reads = (*stack[-1].inputs, *(c for c, _ in guarded.get(stack[-1], ())))
                before = [owner for v in reads if (owner := self._alias(v).owner) in pending]
                if before and stack[-1] in pending:
                    stack.extend(before)
                    continue
                node = stack.pop()
                if node in pending:
                    pending.discard(node)
                    order.append(node)
        return order

    def _inner(self, node: Apply) -> tuple[Program, ...]:
        """The Programs of an operation's inner graphs."""
        if not node.op.bodies:
            return ()
        types = node.op.inner(*[self._abstract(v) for v in node.inputs])
        return tuple(specialise(b.inputs, b.outputs, t) for b, t in zip(node.op.bodies, types, strict=True))

    def _folded(self, node: Apply, ins: Sequence[int]) -> bool:
        """Make constants of what a node of small constants computes, such as 1 / the number of rows."""
        values = [self.buffers[n].value for n in ins]
        types = [self._abstract(v).type for v in node.outputs]
        limit = _FOLDED_VIEW if node.op.view else _FOLDED
        small = all(t.known and math.prod(t.shape) <= limit for t in types)  # type: ignore[arg-type]
        foldable = small and len(types) == 1 and not node.op.bodies and not node.op.effects
        if not foldable or not values or any(v is None for v in values):
            return False
        with arrays.ignore_floating_point():
            try:
                result = np.asarray(node.op.compute(arrays.get("numpy"), *values))
            except (TinygraphError, ValueError, IndexError, ArithmeticError):
                return False  # it fails when it runs, where the error has its place
        self.number[node.outputs[0]] = self._new(node.outputs[0], "constant", value=result)
        return True

    def _number(self, variable: Variable) -> int:
        variable = self._alias(variable)
        known = self.number.get(variable)
        if known is None:
            known = self.number[variable] = self._constant(variable)
        return known

    def _constant(self, variable: Variable) -> int:
        if isinstance(variable, Constant):
            data = variable.data
        else:
            abstract = self._abstract(variable)
            data = np.array(abstract.value, dtype=abstract.dtype)
        key = (data.dtype.name, data.shape, data.tobytes()) if data.size <= 64 else (id(variable),)
        if key not in self.constants:
            self.constants[key] = self._new(variable, "constant", value=data)
        return self.constants[key]

    def _new(self, variable: Variable, kind: str, value: Any = None, root: int = -1) -> int:
        index = len(self.buffers)
        type = self._abstract(variable).type
        root = index if root < 0 else root
        self.buffers.append(Buffer(index, type, kind, variable.name or "", value, root))
        return index

    def _copied(self, results: Sequence[int]) -> tuple[bool, ...]:
        """Which results do not own their memory alone; the first temporary result of a piece of memory keeps it."""
        taken: set[int] = set()
        copied = []
        for number in results:
            root = self.buffers[number].root
            copied.append(root in taken or self.buffers[root].kind != "temporary")
            taken.add(root)
        return tuple(copied)


def _with_frees(steps: Sequence[Instruction], results: Sequence[int]) -> tuple[Instruction, ...]:
    made = {n for step in steps for n in step.outputs}
    seen = set(results)
    instructions = []
    for step in reversed(steps):
        used = {*step.reads, *step.outputs}
        frees = tuple(sorted(n for n in used if n in made and n not in seen))
        seen.update(used)
        instructions.append(step._replace(frees=frees))
    return tuple(reversed(instructions))
