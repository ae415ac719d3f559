"""A Program that is compiled: what a function calls."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends.native import rows, sharing
from tinygraph.backends.native.arena import Arena
from tinygraph.backends.native.pool import threads
from tinygraph.backends.native.table import Table
from tinygraph.backends.observer import Observer
from tinygraph.backends.reference import ReferenceExecutable, located
from tinygraph.config import config
from tinygraph.program import Program
from tinygraph.program.compiled_memory import compiled_memory
from tinygraph.program.lowerings import plan_of
from tinygraph.program.memory import MemoryPlan
from tinygraph.program.plan_check import verify_plan
from tinygraph.program.steps import Call, View

__all__ = ["NativeExecutable"]

#: Outputs of at least so many bytes are made in the memory of earlier ones that nobody holds any more: to get memory
#: from the system and to give it back takes longer than to fill it.
_REUSED = 1 << 18


class NativeExecutable:
    """A Program ready to be called on NumPy arrays, compiled.

    Parameters
    ----------
    program
        What to run.
    targets
        For each output the position of the input that it is the new value of, None for the others. Such inputs may be
        written to: then the output is the input itself.
    arena
        Where temporaries go; by default memory of its own.
    """

    arena = Arena
    backend = "numpy"

    def __init__(self, program: Program, targets: Sequence[int | None], arena: Arena | None = None) -> None:
        self.program = program
        self._guarded = guarded = config.guard_memory == "yes"
        new = [i for i, target in enumerate(targets) if target is not None]
        self.plan = plan_of(program, targets, rows.is_known, guarded)
        if config.verify_programs == "yes":
            verify_plan(self.plan)
        self._reference: ReferenceExecutable | None = None
        self._table = Table(self.plan, Arena() if guarded or arena is None else arena)
        self._lock = threading.Lock()
        self._bodies = {
            position: tuple(NativeExecutable(body, [None] * len(body.outputs)) for body in step.inner)
            for position, step in enumerate(program.instructions)
            if step.inner
        }
        self._fresh = [(shape, np.dtype(dtype)) for shape, dtype in self._table.fresh]
        self._large = [int(np.prod(shape)) * dtype.itemsize >= _REUSED for shape, dtype in self._fresh]
        self._earlier: list[Any] = [None] * len(self._fresh)
        #: For each output where it comes from: (True, number of a fresh output) or (False, position of an input).
        self._sources: list[tuple[bool, int]] = []
        count = 0
        for position, view in enumerate(self.plan.results):
            into = self.plan.updated.get(position)
            self._sources.append((into is None, count if into is None else into))
            count += into is None and view is not None
        #: Whether every new value is written over the old one.
        self.settled = set(self.plan.updated) == set(new)
        self._plain = len(self._table.segments) == 1 and None not in self.plan.results
        self._enter = self._table.segments[0].enter

    @staticmethod
    def memory(program: Program, targets: Sequence[int | None]) -> MemoryPlan:
        """How much memory a call would take, and who holds it; nothing is compiled."""
        plan = plan_of(program, targets, rows.is_known)
        return compiled_memory(plan, sharing.copies(plan.steps, threads()))

    @property
    def long(self) -> bool:
        """Whether a call lets go of Python's lock."""
        return self._table.long

    @property
    def reference(self) -> ReferenceExecutable:
        """The same Program interpreted: for what watches it, and for the words of its errors."""
        if self._reference is None:
            self._reference = ReferenceExecutable(self.program, "numpy")
        return self._reference

    def observed(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        """As a call, on the reference backend, with an observer that is told of every instruction."""
        return self.reference.observed(values, observer)

    def quick(self, values: tuple[Any, ...]) -> list[Any] | None:
        """As a call, where the values are arrays just as the Program expects them; otherwise None, and nothing is done.

        Calls must not overlap. There must be as many values as inputs.
        """
        if not self._plain:
            return None
        fresh = self._new_outputs()
        if self._guarded:
            self._table.poison()
        done = self._enter(values, fresh)
        if self._guarded:
            self._table.check_guards()
        if done is None:
            return None
        if done is False:
            self._table.failed()
            return self.reference(values)  # it raises an error that says what is wrong
        return [fresh[k] if is_fresh else values[k] for is_fresh, k in self._sources]

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The outputs of the Program for these inputs.

        Raises as the reference backend does; whenever it raises, no input has been written to.
        """
        with self._lock:
            held = self._inputs(values)
            if self._plain:
                results = self.quick(tuple(held))
                assert results is not None, "the arrays do not have the types of the Program's inputs"
                return results
            return self._in_segments(held)

    def _in_segments(self, held: list[Any]) -> list[Any]:
        table = self._table
        table.poison()
        fresh = list(self._new_outputs())
        outside = [*fresh, *[None] * (len(table.outside) - len(fresh))]
        memory: dict[int, Any] = dict(zip(table.outside, fresh, strict=False))
        registers: dict[int, Any] = dict(zip(self.program.inputs, held, strict=True))
        values = tuple(held)
        for segment in table.segments:
            if segment.end > segment.start or segment is table.segments[0]:
                done = segment.enter(values, tuple(outside))
                assert done is not None, "the arrays do not have the types of the Program's inputs"
                if done is False:
                    table.failed()
                    return self.reference(values)
            if segment.call is not None:
                self._call(segment.call, held, memory, registers)
                for place, number in enumerate(table.outside[len(fresh) :], len(fresh)):
                    outside[place] = memory.get(number)
            for n in segment.frees:
                registers.pop(n, None)
                memory.pop(table.results.get(n, -1), None)
        table.check_guards()
        results = []
        for position, (view, (is_fresh, k)) in enumerate(zip(self.plan.results, self._sources, strict=True)):
            if view is None:
                array = self._array(self.program.outputs[position], held, memory, registers)
                results.append(array.copy() if self.program.copied[position] else array)
            else:
                results.append(fresh[k] if is_fresh else held[k])
        return results

    def _guarded_outputs(self) -> tuple[Any, ...]:
        """Outputs with memory behind them that nobody may write to."""
        made = []
        for shape, dtype in self._fresh:
            size = math.prod(shape) * dtype.itemsize
            memory = self._table.guarded(size)
            made.append(np.ndarray(shape, dtype, memory))
        return tuple(made)

    def _new_outputs(self) -> tuple[Any, ...]:
        if self._guarded:
            return self._guarded_outputs()
        if True not in self._large:
            return tuple([np.empty(shape, dtype) for shape, dtype in self._fresh])
        made = []
        for i, (shape, dtype) in enumerate(self._fresh):
            if not self._large[i]:
                made.append(np.empty(shape, dtype))
                continue
            array = self._earlier[i]
            if array is None or sys.getrefcount(array) > 3:  # here: the list, the name and the argument
                array = self._earlier[i] = np.empty(shape, dtype)
            made.append(array)
        return tuple(made)

    def _inputs(self, values: Sequence[Any]) -> list[Any]:
        """The inputs as plain contiguous arrays; those that are written to share memory with no other."""
        held = [_plain(v) for v in values]
        for target in self.plan.updated.values():
            mine = held[target]
            shared = any(i != target and np.may_share_memory(mine, v) for i, v in enumerate(held))
            if shared or not mine.flags.writeable:
                held[target] = np.array(mine, order="C")
        return held

    def _call(self, call: Call, held: Sequence[Any], memory: dict[int, Any], registers: dict[int, Any]) -> None:
        """Run one instruction by itself, unless its guard forbids it."""
        step = self.program.instructions[call.position]
        operands = [self._array(x, held, memory, registers) for x in call.inputs]
        conditions, inputs = operands[: len(step.guard)], operands[len(step.guard) :]
        holds = [c is not None and bool(c) == value for c, (_, value) in zip(conditions, step.guard, strict=True)]
        if not all(holds):
            return
        xp = arrays.get("numpy")
        bodies = self._bodies.get(call.position)
        try:
            with arrays.ignore_floating_point():
                result = step.op.run(xp, bodies, *inputs) if bodies else step.op.compute(xp, *inputs)
        except Exception as err:  # raised again, with its place added
            shown = located(err, step, inputs)
            if shown is err:
                raise
            raise shown from err
        parts = result if isinstance(result, (tuple, list)) else (result,)
        for number, part in zip(step.outputs, parts, strict=True):
            # The memory of a view is used again, or written to, while somebody holds it.
            array = np.array(part, order="C") if step.op.view else _plain(np.asarray(part))
            registers[number] = array
            storage = self._table.results.get(number)
            if storage is not None:
                memory[storage] = array

    def _array(self, x: View | int, held: Sequence[Any], memory: dict[int, Any], registers: dict[int, Any]) -> Any:
        """An operand of an instruction that is run by itself, as an array."""
        if isinstance(x, int):
            buffer = self.program.buffers[x]
            return buffer.value if buffer.kind == "constant" else registers.get(x)
        home = self.plan.home(x.storage)
        if home.kind == "input":
            base = held[home.data]
        elif home.kind == "constant":
            base = home.data
        else:
            base = memory.get(home.index)
            if base is None and home.kind == "result":
                return None  # its guard did not hold
            if base is None:
                base = self._table.temporary(home)
        if 0 in x.shape:
            return np.empty(x.shape, x.dtype)
        item = np.dtype(x.dtype).itemsize
        return np.ndarray(x.shape, x.dtype, base, x.offset * item, [s * item for s in x.strides])


def _plain(array: Any) -> Any:
    """An array in C order, of NumPy's own class, whose dtype is the one object that NumPy has for its name."""
    dtype = np.dtype(array.dtype.name)
    flags = array.flags
    if type(array) is np.ndarray and flags.c_contiguous and flags.aligned and array.dtype is dtype:
        return array
    made = np.array(array, order="C", subok=False)
    return made if made.dtype is dtype else made.astype(dtype)
