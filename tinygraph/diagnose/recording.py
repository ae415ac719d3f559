"""A run of a Program with every value kept, so that parts of it can be run again with other numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends import Observer, ReferenceExecutable
from tinygraph.errors import TinygraphError
from tinygraph.program import Instruction, Program

__all__ = ["Recording", "narrowed", "record", "turns"]

Array = np.ndarray[Any, Any]


class _Recorder(Observer):
    def __init__(self, program: Program) -> None:
        self._program = program
        self.values: dict[int, Any] = {}

    def start(self, program: Program, values: Sequence[Any]) -> None:
        if program is self._program:
            self.values.update(zip(program.inputs, values, strict=True))

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        if program is self._program:
            self.values.update(zip(program.instructions[position].outputs, outputs, strict=True))


class Recording:
    """The values of one run.

    Attributes
    ----------
    program
        What ran.
    values
        Every buffer that has a value: not those that were passed over.
    maker
        The position of the instruction that makes a buffer.
    """

    def __init__(self, program: Program, values: Mapping[int, Any], backend: str) -> None:
        self.program = program
        self.backend = backend
        self.xp = arrays.get(backend)
        self.values = dict(values)
        for buffer in program.buffers:
            if buffer.kind == "constant":
                self.values[buffer.index] = self.xp.asarray(buffer.value)
        self.maker = {n: i for i, step in enumerate(program.instructions) for n in step.outputs}

    def inputs(self, position: int) -> list[Any]:
        """What an instruction was given; None in place of what was not needed."""
        return [self.values.get(n) for n in self.program.instructions[position].inputs]

    def ran(self, position: int) -> bool:
        return self.program.instructions[position].outputs[0] in self.values

    def again(self, position: int, inputs: Sequence[Any]) -> list[Any] | None:
        """What an instruction gives for other inputs; None where it fails on them."""
        step = self.program.instructions[position]
        try:
            with arrays.ignore_floating_point():
                result = step.op.compute(self.xp, *inputs)
        except (TinygraphError, ValueError, ArithmeticError, IndexError):
            return None
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        return None if any(x.dtype.kind == "O" for x in outputs) else outputs  # it needed what was not computed

    def results(self, changed: Mapping[int, Any]) -> list[Any] | None:
        """The outputs of the Program if some buffers had other values; None where an instruction fails on them.

        Only what depends on these is computed again. Operations with effects keep what they gave.
        """
        new = dict(changed)
        for position, step in enumerate(self.program.instructions):
            touched = any(n in new for n in step.reads) and not any(n in changed for n in step.outputs)
            if not touched or step.op.effects or not self.ran(position):
                continue
            outputs = self.again(position, [new.get(n, self.values.get(n)) for n in step.inputs])
            if outputs is None:
                return None
            new.update(zip(step.outputs, outputs, strict=True))
        return [new.get(n, self.values.get(n)) for n in self.program.outputs]


def record(program: Program, values: Sequence[Any], backend: str) -> Recording:
    """Run a Program on the reference backend and keep everything; what it raises is raised."""
    recorder = _Recorder(program)
    ReferenceExecutable(program, backend).observed(values, recorder)
    return Recording(program, recorder.values, backend)


class _Turns(Observer):
    """The inputs of the turns of inner Programs after which a condition holds."""

    def __init__(self, programs: Sequence[Program], wrong: Callable[[Any], bool]) -> None:
        self._ids = {id(p): i for i, p in enumerate(programs)}
        self._wrong = wrong
        self._turn = dict.fromkeys(self._ids, -1)
        self._now: dict[int, list[Any]] = {}
        self.found: list[tuple[int, int, list[Any]]] = []

    def start(self, program: Program, values: Sequence[Any]) -> None:
        if id(program) in self._ids:
            self._turn[id(program)] += 1
            self._now[id(program)] = list(values)

    def end(self, program: Program, results: Sequence[Any]) -> None:
        if id(program) in self._ids and any(self._wrong(result) for result in results):
            self.found.append((self._ids[id(program)], self._turn[id(program)], self._now[id(program)]))


def turns(
    step: Instruction, inputs: Sequence[Any], backend: str, wrong: Callable[[Any], bool], limit: int = 100
) -> list[tuple[int, Recording]]:
    """The turns of a loop after which a result is wrong, in the order of time: number and recording."""
    bodies = [ReferenceExecutable(program, backend) for program in step.inner]
    watch = _Turns(step.inner, wrong)
    with arrays.ignore_floating_point():
        step.op.run(arrays.get(backend), [partial(body.observed, observer=watch) for body in bodies], *inputs)
    return [(turn, record(step.inner[which], values, backend)) for which, turn, values in watch.found[:limit]]


def narrowed(count: int, holds: Callable[[Array], bool]) -> int:
    """One number below ``count`` that alone makes ``holds`` true of a set, where halving finds one; else the first."""
    chosen = np.arange(count)
    while len(chosen) > 1:
        half = len(chosen) // 2
        chosen = next((part for part in (chosen[:half], chosen[half:]) if holds(part)), chosen[:1])
    return int(chosen[0])
