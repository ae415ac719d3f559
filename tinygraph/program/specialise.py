"""From a graph and the types of its inputs to a Program.

Every type is inferred again with concrete shapes, so that all shape arithmetic becomes constants and every shape error
is raised before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.errors import TinygraphError
from tinygraph.graph import Apply, Constant, SharedVariable, Variable, describe, infer, toposort
from tinygraph.program.ir import Buffer, Instruction, Program
from tinygraph.types import Abstract

__all__ = ["infer_graph", "specialise"]

#: Results of constants are computed once and kept up to this many elements.
_FOLDED = 64


def infer_graph(order: Iterable[Apply], known: Mapping[Variable, Abstract]) -> dict[Variable, Abstract]:
    """What is known of every variable, given what is known of the leaves.

    Raises
    ------
    ShapeError, DtypeError
        At the first node whose inputs do not fit, with their concrete shapes and the user's lines.
    """
    env = dict(known)
    for node in order:
        inputs = [env.get(v, v.abstract) for v in node.inputs]
        try:
            results = infer(node.op, inputs)
        except TinygraphError as err:
            describe(err, node, inputs, env)
            raise
        for variable, abstract in zip(node.outputs, results, strict=True):
            env[variable] = abstract
    return env


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
    env = infer_graph(order, dict(zip(inputs, types, strict=True)))
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
        steps: list[tuple[Apply, tuple[int, ...], tuple[int, ...]]] = []
        for node in self._needed(order):
            ins = tuple(self._number(v) for v in node.inputs)
            if self._folded(node, ins):
                continue
            outs = []
            for i, variable in enumerate(node.outputs):
                root = self.buffers[ins[0]].root if node.op.view and ins else -1
                outs.append(self._new(variable, "temporary", root=root))
                self.number[variable] = outs[i]
            steps.append((node, ins, tuple(outs)))
        results = tuple(self._number(v) for v in self.outputs)
        return Program(tuple(self.buffers), _with_frees(steps, results), self.inputs, results, self._copied(results))

    def _alias(self, variable: Variable) -> Variable:
        """The variable whose value it is, looking through operations that leave theirs as it is."""
        while variable not in self.number and variable.owner is not None and not self._value_known(variable):
            node = variable.owner
            if variable.index or not node.op.is_identity(*[self._abstract(v) for v in node.inputs]):
                break
            variable = node.inputs[0]
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

    def _folded(self, node: Apply, ins: Sequence[int]) -> bool:
        """Make constants of what a node of small constants computes, such as 1 / the number of rows."""
        values = [self.buffers[n].value for n in ins]
        types = [self._abstract(v).type for v in node.outputs]
        small = all(t.known and math.prod(t.shape) <= _FOLDED for t in types)  # type: ignore[arg-type]
        if not small or len(types) > 1 or not values or any(v is None for v in values):
            return False
        with arrays.ignore_floating_point():
            try:
                result = np.asarray(node.op.compute(arrays.get("numpy"), *values))
            except (ValueError, IndexError, ArithmeticError):
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


def _with_frees(
    steps: Sequence[tuple[Apply, tuple[int, ...], tuple[int, ...]]], results: Sequence[int]
) -> tuple[Instruction, ...]:
    made = {n for _, _, outs in steps for n in outs}
    seen = set(results)
    instructions = []
    for node, ins, outs in reversed(steps):
        frees = sorted({n for n in (*ins, *outs) if n in made and n not in seen})
        seen.update(ins, outs)
        instructions.append(Instruction(node.op, ins, outs, tuple(frees), node))
    return tuple(reversed(instructions))
