"""The reference backend: a Program interpreted with plain array calls. It is what every Program means."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinygraph import arrays
from tinygraph.backends.observer import Observer
from tinygraph.errors import ShapeError, TinygraphError
from tinygraph.graph import describe
from tinygraph.program import Instruction, Program
from tinygraph.types import Abstract, TensorType

__all__ = ["ReferenceExecutable", "located"]


class ReferenceExecutable:
    """A Program ready to be called on arrays of one library.

    Parameters
    ----------
    program
        What to run.
    backend
        ``"numpy"``, ``"cupy"``, or ``"cupy:1"`` and so on.
    """

    def __init__(self, program: Program, backend: str) -> None:
        self.program = program
        self.backend = backend
        self._xp = arrays.get(backend)
        self._registers: list[Any] = [None] * len(program.buffers)
        for buffer in program.buffers:
            if buffer.kind == "constant":
                self._registers[buffer.index] = self._xp.taken(buffer.value)
        self._bodies = [tuple(ReferenceExecutable(p, backend) for p in step.inner) for step in program.instructions]
        self._steps = [
            (_compute(step, bodies), self._sources(step), step.outputs, step.frees, step.guard)
            for step, bodies in zip(program.instructions, self._bodies, strict=True)
        ]

    def _sources(self, step: Instruction) -> tuple[int, ...]:
        """The registers that an instruction reads: sizes and bounds that are constants stay on the host."""
        sources = list(step.inputs)
        for position in step.op.host if self._xp.name != "numpy" else ():
            buffer = self.program.buffers[sources[position]]
            if buffer.kind == "constant":
                sources[position] = len(self._registers)
                self._registers.append(buffer.value)
        return tuple(sources)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The outputs of the Program for these inputs, as arrays of the device that nobody else holds.

        Inputs are arrays of the device or NumPy's.

        Raises
        ------
        ShapeError
            Where shapes that depend on values do not fit, with the user's line. Other errors of the array library are
            raised as they are, with the operation and the line in a note.
        """
        xp = self._xp
        registers = self._filled(values)
        done = 0
        try:
            with self._xp.here(), arrays.ignore_floating_point():
                for compute, inputs, outputs, frees, guard in self._steps:
                    if not guard or _holds(guard, registers):
                        result = compute(xp, *[registers[n] for n in inputs])
                        if len(outputs) == 1 and not isinstance(result, (tuple, list)):
                            registers[outputs[0]] = result
                        else:
                            for number, part in zip(outputs, result, strict=True):
                                registers[number] = part
                    for number in frees:
                        registers[number] = None
                    done += 1
        except Exception as err:  # whatever a computation raises is raised again, with its place added
            step = self.program.instructions[done]
            shown = located(err, step, [registers[n] for n in step.inputs])
            if shown is err:
                raise
            raise shown from err
        return self._results(registers)

    def observed(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        """As a call, with an observer that is told of every instruction; what it raises ends the run."""
        program = self.program
        registers = self._filled(values)
        observer.start(program, [registers[n] for n in program.inputs])
        with self._xp.here(), arrays.ignore_floating_point():
            for position, (compute, sources, outputs, frees, guard) in enumerate(self._steps):
                if not guard or _holds(guard, registers):
                    inputs = [registers[n] for n in sources]
                    observer.before(program, position, inputs)
                    try:
                        parts, seconds = self._timed(position, compute, inputs, observer)
                    except Exception as err:  # raised again, as in a call
                        step = program.instructions[position]
                        shown = located(err, step, [registers[n] for n in step.inputs])
                        if shown is err:
                            raise
                        raise shown from err
                    for number, part in zip(outputs, parts, strict=True):
                        registers[number] = part
                    observer.after(program, position, inputs, parts, seconds)
                    del inputs, parts
                for number in frees:
                    registers[number] = None
            observer.end(program, [registers[n] for n in program.outputs])
        return self._results(registers)

    def _timed(
        self, position: int, compute: Callable[..., Any], inputs: Sequence[Any], observer: Observer
    ) -> tuple[Sequence[Any], float]:
        """The outputs of one instruction and how long it took."""
        if self._bodies[position]:
            bodies = [partial(body.observed, observer=observer) for body in self._bodies[position]]
            compute = _compute(self.program.instructions[position], bodies)
        start = time.perf_counter()
        result = compute(self._xp, *inputs)
        if self._xp.name == "cupy":
            self._xp.cuda.get_current_stream().synchronize()  # it has only been queued
        seconds = time.perf_counter() - start
        return (result if isinstance(result, (tuple, list)) else (result,)), seconds

    def _filled(self, values: Sequence[Any]) -> list[Any]:
        """The registers before the first instruction."""
        registers = self._registers.copy()
        for number, value in zip(self.program.inputs, values, strict=True):
            registers[number] = value if self._xp.number is None else self._xp.taken(value)
        return registers

    def _results(self, registers: Sequence[Any]) -> list[Any]:
        xp = self._xp
        with xp.here():
            return [
                xp.array(registers[n]) if copied else xp.asarray(registers[n])
                for n, copied in zip(self.program.outputs, self.program.copied, strict=True)
            ]


def located(err: Exception, step: Instruction, inputs: Sequence[Any]) -> Exception:
    """An error that an instruction raised on these arrays, with the operation and the user's line added to it."""
    known = [Abstract(TensorType(v.dtype, tuple(x.shape))) for v, x in zip(step.node.inputs, inputs, strict=True)]
    if isinstance(err, ValueError) and not isinstance(err, (TinygraphError, arrays.LinAlgError)):
        err = ShapeError(f"the operation failed: {err}")
    if isinstance(err, TinygraphError):
        describe(err, step.node, known)
    else:
        lines = "\n".join(line.render() for line in step.node.origin.trace()[:1])
        err.add_note(f"in {step.op.name} of {', '.join(str(a.type) for a in known)}\n{lines}")
    return err


def _compute(step: Instruction, bodies: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """What computes an instruction, given its inner Programs as functions."""
    return step.op.compute if not bodies else lambda xp, *inputs: step.op.run(xp, bodies, *inputs)


def _holds(guard: Sequence[tuple[int, bool]], registers: Sequence[Any]) -> bool:
    """True where every condition has its value; one that was not needed itself has none."""
    return all(registers[n] is not None and bool(registers[n]) == value for n, value in guard)
