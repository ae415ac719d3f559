"""A Program as a table of words that native functions walk through."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends.native import blas, rows
from tinygraph.backends.native.kernels import kernels
from tinygraph.backends.native.printer import grain
from tinygraph.backends.native.runtime import entry_points
from tinygraph.backends.observer import Observer
from tinygraph.backends.reference import ReferenceExecutable, located
from tinygraph.program import Program
from tinygraph.program.fuse import Call, Product, Storage, View
from tinygraph.program.plan import NestCall, Plan, plan_of

__all__ = ["NativeExecutable"]

_ALIGNED = 64


class NativeExecutable:
    """A Program ready to be called on NumPy arrays, compiled.

    Parameters
    ----------
    program
        What to run.
    targets
        For each output the position of the input that it is the new value of, None for the others. Such inputs may be
        written to: then the output is the input itself.
    """

    def __init__(self, program: Program, targets: Sequence[int | None]) -> None:
        self.program = program
        self.plan = plan_of(program, targets, rows.is_known)
        self._reference: ReferenceExecutable | None = None
        self._table = _Table(self.plan)
        self._bodies = {
            position: tuple(NativeExecutable(body, [None] * len(body.outputs)) for body in step.inner)
            for position, step in enumerate(program.instructions)
            if step.inner
        }
        self._lock = threading.Lock()
        self._run = _run()

    @property
    def reference(self) -> ReferenceExecutable:
        """The same Program interpreted: for what watches it, and for the words of its errors."""
        if self._reference is None:
            self._reference = ReferenceExecutable(self.program, "numpy")
        return self._reference

    def observed(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        """As a call, on the reference backend, with an observer that is told of every instruction."""
        return self.reference.observed(values, observer)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The outputs of the Program for these inputs.

        Raises
        ------
        as the reference backend does; whenever it raises, no input has been written to.
        """
        with self._lock:
            held = self._inputs(values)
            table = self._table
            for position, value in enumerate(held):
                table.place_input(position, value)
            fresh = [np.empty(shape, dtype) for shape, dtype in table.fresh_types]
            for number, array in zip(table.fresh, fresh, strict=True):
                table.place(number, array.ctypes.data)
            memory = dict(zip(table.fresh, fresh, strict=True))
            registers: dict[int, Any] = {}
            for start, end, call in table.segments:
                if end > start:
                    self._run(table.address + 8 * start, table.address + 8 * end)
                    if table.error[0]:
                        table.error[0] = 0
                        return self.reference(values)  # it raises an error that says what is wrong
                if call is not None:
                    self._call(call, held, memory, registers)
            return self._results(held, fresh, registers)

    def _inputs(self, values: Sequence[Any]) -> list[Any]:
        """The inputs as contiguous arrays; those that are written to share memory with no other."""
        held = [v if v.flags.carray or _is_plain(v) else np.array(v, order="C") for v in values]
        for target in self.plan.updated.values():
            mine = held[target]
            shared = any(i != target and np.may_share_memory(mine, v) for i, v in enumerate(held))
            if shared or not mine.flags.writeable:
                held[target] = np.array(mine, order="C")
        return held

    def _call(self, call: Call, held: Sequence[Any], memory: dict[int, Any], registers: dict[int, Any]) -> None:
        """Run one instruction by itself, unless its guard forbids it."""
        step = self.program.instructions[call.position]
        arrays_of = [self._array(x, held, memory, registers) for x in call.inputs]
        conditions, inputs = arrays_of[: len(step.guard)], arrays_of[len(step.guard) :]
        holds = (c is not None and bool(c) == value for c, (_, value) in zip(conditions, step.guard, strict=True))
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
            array = np.array(part, order="C") if step.op.view else np.asarray(part, order="C")
            registers[number] = array
            storage = self._table.results.get(number)
            if storage is not None:
                memory[storage] = array
                self._table.place(storage, array.ctypes.data)

    def _array(self, x: View | int, held: Sequence[Any], memory: dict[int, Any], registers: dict[int, Any]) -> Any:
        """An operand of an instruction that is run by itself, as an array."""
        if isinstance(x, int):
            return registers.get(x)
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
        item = np.dtype(x.dtype).itemsize
        return np.ndarray(x.shape, x.dtype, base, x.offset * item, [s * item for s in x.strides])

    def _results(self, held: Sequence[Any], fresh: Sequence[Any], registers: dict[int, Any]) -> list[Any]:
        results: list[Any] = []
        given = iter(fresh)
        for position, view in enumerate(self.plan.results):
            if view is None:
                array = registers[self.program.outputs[position]]
                results.append(array.copy() if self.program.copied[position] else array)
            elif position in self.plan.updated:
                results.append(held[self.plan.updated[position]])
            else:
                results.append(next(given))
        return results


def _is_plain(value: Any) -> bool:
    return bool(value.flags.c_contiguous and value.flags.aligned)


_prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def _run() -> Any:
    return _prototype(entry_points()["run"])


class _Table:
    """The words of a plan, and where addresses go in them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.words: list[int] = []
        self.patches: dict[int, list[tuple[int, int]]] = {}
        self.segments: list[tuple[int, int, Call | None]] = []
        self.kept: list[Any] = []
        self.fresh = [v.storage.index for i, v in enumerate(plan.results) if v is not None and i not in plan.updated]
        self.fresh_types = [
            (v.shape, v.dtype) for i, v in enumerate(plan.results) if v is not None and i not in plan.updated
        ]
        self.error = np.zeros(8, dtype="int64")
        self.arena = np.empty(plan.arena + _ALIGNED, dtype="uint8")
        start = self.arena.ctypes.data
        self._arena = -(-start // _ALIGNED) * _ALIGNED
        self._kernels = kernels([s.nest for s in plan.steps if isinstance(s, NestCall)])
        self._points = entry_points()
        self._build()
        self.table = np.array(self.words, dtype="int64")
        self.address = self.table.ctypes.data
        self._inputs = {s.data: s.index for s in plan.storages if s.kind == "input"}
        self.results = {s.data: s.index for s in plan.storages if s.kind == "result"}

    def _build(self) -> None:
        steps = self.plan.steps
        fallible = [i for i, s in enumerate(steps) if isinstance(s, NestCall) and s.nest.checks]
        start = 0
        stop_at = None
        for i, step in enumerate(steps):
            if isinstance(step, Call):
                self.segments.append((start, len(self.words), step))
                start = len(self.words)
            elif isinstance(step, NestCall):
                self._nest(step)
            else:
                self._product(step)
            if fallible and i == fallible[-1]:
                stop_at = len(self.words)
                self.words += [self._points["stop"], 4, self.error.ctypes.data, 0]
        self.segments.append((start, len(self.words), None))
        if stop_at is not None:
            self.words[stop_at + 3] = len(self.words) - stop_at - 4

    # --- addresses ----------------------------------------------------------------------------------------------------

    def _address(self, view: View, word: int) -> int:
        """The address of a view, if it is known already; otherwise it is put into the word later."""
        storage = self.plan.home(view.storage)
        offset = view.offset * np.dtype(view.dtype).itemsize
        if storage.kind == "temporary" and storage.index in self.plan.offsets:
            return self._arena + self.plan.offsets[storage.index] + offset
        if storage.kind == "constant":
            self.kept.append(storage.data)
            return int(storage.data.ctypes.data) + offset
        self.patches.setdefault(storage.index, []).append((word, offset))
        return 0

    def place(self, storage: int, address: int) -> None:
        """Say where a storage is."""
        for word, offset in self.patches.get(storage, ()):
            self.table[word] = address + offset

    def place_input(self, position: int, value: Any) -> None:
        storage = self._inputs.get(position)
        if storage is not None and storage in self.patches:
            self.place(storage, value.ctypes.data)

    def temporary(self, storage: Storage) -> Any:
        """The memory of a temporary storage."""
        start = self._arena + self.plan.offsets[storage.index] - self.arena.ctypes.data
        return self.arena[start : start + max(storage.nbytes, 1)]

    # --- entries ------------------------------------------------------------------------------------------------------

    def _nest(self, call: NestCall) -> None:
        nest, slots = call.nest, call.nest.slots
        head = len(self.words)
        args = [0] * slots.count
        first = head + 6
        for k, (operand, access) in enumerate(zip(call.operands, nest.accesses, strict=True)):
            size = 1 if access.role == "index" else np.dtype(access.dtype).itemsize
            args[k] = operand.view.offset if access.role == "index" else self._address(operand.view, first + k)
            for axis, stride in enumerate(call.strides[k]):
                args[slots.strides[k] + axis] = stride * size
            for d, (extent, stride) in enumerate(operand.dims):
                args[slots.dims[k] + 2 * d] = extent
                args[slots.dims[k] + 2 * d + 1] = stride * size
        args[slots.extents : slots.extents + nest.axes] = call.extents
        if nest.flat:
            args[slots.piece] = call.total
        args[slots.error] = self.error.ctypes.data
        kind = grain(nest)
        end = {"outer": call.extents[0], "lanes": call.extents[nest.outer] if nest.vertical else call.extents[-1]}.get(
            kind, 1
        )
        self.words += [self._points["nest"], 6 + slots.count, self._kernels[nest], 0, end, 0, *args]

    def _product(self, product: Product) -> None:
        x, y, out = product.x, product.y, product.out
        stack, rows, inner = x.shape
        columns = y.shape[2]
        dtype = out.dtype
        letter, size = ("s", 4) if dtype == "float32" else ("d", 8)
        alpha = 0 if isinstance(product.alpha, View) else _bits(dtype, product.alpha)
        at = len(self.words)
        turned_x, ldx = _layout(x)
        turned_y, ldy = _layout(y)
        words = [
            self._points["gemm"], 22, blas.address(f"{letter}gemm"),
            ord("T" if turned_y else "N"), ord("T" if turned_x else "N"), columns, rows, inner,
            0, self._address(y, at + 9), ldy, self._address(x, at + 11), ldx, 0,
            self._address(out, at + 14), max(out.strides[1], columns, 1),
            stack, y.strides[0] * size, x.strides[0] * size, out.strides[0] * size, alpha, _bits(dtype, product.beta),
        ]  # fmt: skip
        if isinstance(product.alpha, View):
            words[8] = self._address(product.alpha, at + 8)
        self.words += words


def _layout(view: View) -> tuple[bool, int]:
    """Whether columns rather than rows lie side by side, and the distance from one to the next."""
    _, rows, columns = view.shape
    down, across = view.strides[1:]
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return False, max(down if rows > 1 else columns, columns, 1)
    return True, max(across if columns > 1 else rows, rows, 1)


def _bits(dtype: str, value: float) -> int:
    code = "<f" if dtype == "float32" else "<d"
    return int.from_bytes(struct.pack(code, value).ljust(8, b"\0"), "little", signed=True)
