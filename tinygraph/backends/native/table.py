"""The words of a plan: entries that native functions walk through, and where addresses go in them."""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import numpy as np

from tinygraph.backends.native import gemm, gemv, rounds, sharing
from tinygraph.backends.native.arena import Arena
from tinygraph.backends.native.kernels import kernels
from tinygraph.backends.native.pool import pool, threads
from tinygraph.backends.native.printer import grain
from tinygraph.backends.native.runtime import NEST_HEAD, entrance, entry_points
from tinygraph.program import ProgramError
from tinygraph.program.nest import COSTLY
from tinygraph.program.plan import NestCall, Plan, read, written
from tinygraph.program.rounds import Moving, Rounds, parts
from tinygraph.program.steps import Call, Product, Scan, Storage, View

__all__ = ["Segment", "Table"]

_ALIGNED = 64

#: In every byte of memory that was not written to, where it is guarded.
_POISON = 0xFF

#: Work from which a call lets go of Python's lock.
_LONG = 400_000

_CONTIGUOUS, _BEHAVED = 0x101, 0x501  # flags of NumPy: in C order and aligned; and writeable


class Segment:
    """Entries that run one after the other, and the instruction that is run by itself after them.

    Attributes
    ----------
    start, end
        Words of the table.
    call
        The instruction, or None.
    enter
        Runs the entries on a tuple of values and one of outputs.
    """

    def __init__(self, start: int, end: int, call: Call | None) -> None:
        self.start = start
        self.end = end
        self.call = call
        self.enter: Any = None
        #: Buffers that only single instructions know, and that nothing reads any more after this segment.
        self.frees: list[int] = []


class Table:
    """A plan as words.

    Parameters
    ----------
    plan
        What to run.
    arena
        Memory for temporaries and for what products copy.
    start
        The address where this plan's temporaries begin, for the plan of a loop's step.
    error
        The word that is set when an index is out of bounds.

    Attributes
    ----------
    segments
        What runs between instructions that are run by themselves.
    fresh
        Shape and dtype of each output that gets memory of its own.
    outside
        The numbers of the storages in the tuple of outputs: fresh outputs, then results of single instructions.
    work
        About how much there is to do, in nodes times elements.
    """

    def __init__(self, plan: Plan, arena: Arena, start: int | None = None, error: Any = None) -> None:
        self.plan = plan
        self.words: list[int] = []
        self.work = 0
        self._patches: dict[int, list[tuple[int, int]]] = {}
        self._shared_arena = arena
        self._memory = arena.memory(plan.arena)
        self._kept: list[Any] = [self._memory]
        self._arena = _aligned(start or self._memory.ctypes.data)
        self._error = np.zeros(8, dtype="int64") if error is None else error
        self._threads = threads()
        self._kernels = kernels([p.nest for s in plan.steps for p in parts(s) if isinstance(p, NestCall)])
        # For each repetition around what is written now: words that move, and by how many bytes from round to round.
        self._moving: list[list[tuple[int, int]]] = []
        # For the outermost of them, words that differ from part to part.
        self._own: list[tuple[int, int]] = []
        self.segments: list[Segment] = []
        views = [v for i, v in enumerate(plan.results) if v is not None and i not in plan.updated]
        self.fresh = [(v.shape, v.dtype) for v in views]
        results = [s for s in plan.storages if s.kind == "result"]
        self.outside = [v.storage.index for v in views] + [s.index for s in results]
        self.results = {s.data: s.index for s in results}
        scratch = arena.scratch(sharing.copies(plan.steps, self._threads))
        self._scratch = _aligned(scratch.ctypes.data)
        self._kept.append(scratch)
        self._build()
        self._free()
        self._outputs: list[tuple[int, Any]] = []
        self._table = np.array(self.words, dtype="int64")
        if start is None:
            for segment in self.segments:
                segment.enter = self._entrance(segment)

    @property
    def long(self) -> bool:
        """Whether a call takes so long that other threads should have Python's lock meanwhile."""
        return self.work > _LONG

    def failed(self) -> bool:
        """Whether an index was out of bounds since the last time this was asked."""
        found = bool(self._error[0])
        self._error[0] = 0
        return found

    def poison(self) -> None:
        """Where memory is guarded: fill it with what no value is computed from by right, NaN for floats."""
        if self.plan.guards:
            self._memory.fill(_POISON)

    def guarded(self, size: int) -> Any:
        """Memory for an output, and some behind it that is looked at after the call."""
        memory = np.full(size + _ALIGNED, _POISON, dtype="uint8")
        self._outputs.append((size, memory))
        return memory

    def check_guards(self) -> None:
        """Where memory is guarded: see that nobody wrote behind a temporary.

        Raises
        ------
        ProgramError
            If somebody did: a fault of the compiler.
        """
        for size, memory in self._outputs:
            if (memory[size:] != _POISON).any():
                raise ProgramError(f"memory behind an output of {size} bytes was written to")
        self._outputs.clear()
        start = self._arena - self._memory.ctypes.data
        for guard in self.plan.guards:
            behind = self._memory[start + guard : start + -(-guard // _ALIGNED) * _ALIGNED + _ALIGNED]
            if (behind != _POISON).any():
                raise ProgramError(f"memory behind byte {guard} of the arena was written to")

    def temporary(self, storage: Storage) -> Any:
        """The memory of a temporary storage, as bytes."""
        start = self._arena + self.plan.offsets[storage.index] - self._memory.ctypes.data
        return self._memory[start : start + max(storage.nbytes, 1)]

    # --- entries ------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        steps = self.plan.steps
        fallible = [i for i, s in enumerate(steps) if _can_fail(s)]
        start = 0
        stop = None
        for i, step in enumerate(steps):
            if isinstance(step, Call):
                self.segments.append(Segment(start, len(self.words), step))
                start = len(self.words)
                if stop is not None and stop >= self.segments[-1].start:
                    self._end_stop(stop)
                    stop = None
            else:
                self._step(step)
            if fallible and i == fallible[-1]:
                stop = len(self.words)
                self.words += [entry_points["stop"], 4, self._error.ctypes.data, 0]
        self.segments.append(Segment(start, len(self.words), None))
        if stop is not None:
            self._end_stop(stop)

    def _step(self, step: Any) -> None:
        if isinstance(step, NestCall):
            self._nest(step)
        elif isinstance(step, Rounds):
            self._rounds(step)
        elif isinstance(step, Scan):
            self._scan(step)
        else:
            self._product(step)

    def _free(self) -> None:
        """Find out after which segment a result of a single instruction is no longer needed."""
        numbers = {s.index: s.data for s in self.plan.storages if s.kind == "result"}
        last: dict[int, int] = {}
        i = 0
        for step in self.plan.steps:
            for k in (*read(step), *written(step)):
                n = numbers.get(self.plan.home(self.plan.storages[k]).index)
                if n is not None:
                    last[n] = i
            if isinstance(step, Call):
                for x in step.inputs:
                    if isinstance(x, int):
                        last[x] = i
                for n in self.plan.program.instructions[step.position].outputs:
                    last.setdefault(n, i)
                i += 1
        kept = set(self.plan.program.outputs)
        for n, k in last.items():
            if n not in kept:
                self.segments[k].frees.append(n)

    def _end_stop(self, stop: int) -> None:
        self.words[stop + 3] = len(self.words) - stop - 4

    def _address(self, view: View, word: int) -> int:
        """The address of a view, if it is known already; otherwise it is put into the word when the plan runs."""
        storage = self.plan.home(view.storage)
        item = np.dtype(view.dtype).itemsize
        offset = view.offset * item
        if isinstance(view, Moving):
            for moving, step in zip(self._moving, view.steps, strict=True):
                moving.append((word, step * item))
            if view.part and (view.lasting or self._threads > 1):
                self._own.append((word, view.part * item))
        if storage.kind == "temporary" and storage.index in self.plan.offsets:
            return self._arena + self.plan.offsets[storage.index] + offset
        if storage.kind == "constant":
            self._kept.append(storage.data)
            return int(storage.data.ctypes.data) + offset
        self._patches.setdefault(storage.index, []).append((word, offset))
        return 0

    def _nest(self, call: NestCall) -> None:
        nest, slots = call.nest, call.nest.slots
        args = [0] * slots.count
        first = len(self.words) + NEST_HEAD
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
        args[slots.error] = self._error.ctypes.data
        kind = grain(nest)
        lanes = call.extents[nest.outer] if nest.vertical else call.extents[-1]
        end = {"outer": call.extents[0], "lanes": lanes}.get(kind, 1)
        work = call.elements * (len(nest.nodes) + 8 * sum(n.op in COSTLY for n in nest.nodes))
        self.work += work
        step = 0
        if self._threads > 1 and not self._moving and work > sharing.SHARED and kind != "whole" and end > 1:
            step = -(-end // sharing.parts(work, self._threads))
            if kind == "lanes":
                step = -(-step // 64) * 64
        run, pool_at = self._runner(0 < step < end)
        self.words += [
            run,
            NEST_HEAD + slots.count,
            self._kernels[nest],
            0,
            end,
            step,
            pool_at,
            *args,
        ]

    def _runner(self, shared: bool) -> tuple[int, int]:
        """The function that runs a kernel, and the pool of the threads that share the work, 0 where one does it all."""
        if not shared:
            return entry_points["nest"], 0
        return entry_points["shared_nest"], pool(self._threads).address

    def _rounds(self, step: Rounds) -> None:
        """Parts of rounds are what a kernel of nests takes; nothing in a round is shared among threads."""
        outermost = not self._moving
        parts, each = sharing.division(step, self._threads) if outermost else (1, step.count)
        head = len(self.words)
        first = head + NEST_HEAD + rounds.HEAD
        if outermost:
            self._own = []
        before, self.work = self.work, 0
        self.words += [0] * (NEST_HEAD + rounds.HEAD)
        self._moving.append([])
        for inner in step.body:
            self._step(inner)
        moving = [(word - first, way) for word, way in self._moving.pop() if way]
        size = len(self.words) - first
        own = [(word - first, way) for word, way in self._own] if outermost else []
        self.words += [number for pair in (*moving, *own) for number in pair]
        work = step.count * self.work
        self.work = before + work
        run, pool_at = self._runner(parts > 1 and self._threads > 1 and work > sharing.SHARED)
        head_words = [run, len(self.words) - head, rounds.kernel(), 0, parts, 1, pool_at]
        self.words[head:first] = [*head_words, size, len(moving), len(own), step.count, each]

    def _scan(self, step: Scan) -> None:
        """A loop: the table of its step, and where the rows of each turn are put into it."""
        home = self.plan.home(step.workspace)
        start = self._arena + self.plan.offsets[home.index]
        body = Table(step.plan, self._shared_arena, start, self._error)
        self._kept.append(body)
        self.work += step.count * body.work
        at = len(self.words)
        patches: list[int] = []
        for b in step.bindings:
            size = np.dtype(b.view.dtype).itemsize
            for word, offset in body.places(b.position, b.read):
                slot = at + 6 + len(patches) + 1
                base = self._address(b.view, slot)
                if not base:
                    # The address comes later; the offset within the step goes with it.
                    self._patches[self.plan.home(b.view.storage).index][-1] = (slot, b.view.offset * size + offset)
                else:
                    base += offset
                patches += [body.word(word), base, b.stride * size, b.first, b.modulus]
        first, last = body.bounds
        self.words += [entry_points["scan"], 6 + len(patches), step.count, first, last, len(patches) // 5, *patches]

    def places(self, position: int, read: bool) -> list[tuple[int, int]]:
        """The words, and offsets from it, that hold the address of an input or of an output."""
        if read:
            number = next((s.index for s in self.plan.storages if s.kind == "input" and s.data == position), -1)
        else:
            view = self.plan.results[position]
            assert view is not None
            number = view.storage.index
        return self._patches.get(number, [])

    def word(self, i: int) -> int:
        """The address of a word."""
        return int(self._table.ctypes.data) + 8 * i

    @property
    def bounds(self) -> tuple[int, int]:
        """The addresses of the first word and behind the last."""
        return self.word(0), self.word(len(self.words))

    def _product(self, product: Product) -> None:
        self.work += sharing.product_work(product)
        if 0 in product.out.shape:
            return
        form = None if self._moving else gemv.form(product)
        if form is None:
            self._matrix_product(product)
        else:
            self._vector_product(product, form)

    def _matrix_product(self, product: Product) -> None:
        x, y, out = product.x, product.y, product.out
        made = sharing.cut_of(product, 1 if self._moving else self._threads)
        first = len(self.words) + NEST_HEAD
        at = {name: first + i for i, name in enumerate(gemm.FIELDS)}
        alpha, given = self._alpha(product, at["given"])
        fields = {
            **made.words,
            "a": self._address(y if made.turned else x, at["a"]),
            "b": self._address(x if made.turned else y, at["b"]),
            "c": self._address(out, at["c"]),
            "given": given,
            "alpha": alpha,
            "beta": _bits(out.dtype, product.beta),
            "scratch": self._scratch,
        }
        if self._moving and self._threads > 1:
            self._own.append((at["scratch"], made.memory))
        run, pool_at = self._runner(made.parts > 1)
        self.words += [
            run,
            NEST_HEAD + len(gemm.FIELDS),
            gemm.kernel(out.dtype),
            0,
            made.parts,
            1,
            pool_at,
            *(fields[name] for name in gemm.FIELDS),
        ]

    def _vector_product(self, product: Product, form: gemv.Form) -> None:
        dtype, size = product.out.dtype, np.dtype(product.out.dtype).itemsize
        units, work = gemv.units(form, dtype), sharing.product_work(product)
        parts = sharing.parts(work, self._threads) if self._threads > 1 and work > sharing.SHARED else 1
        step = -(-units // parts)
        first = len(self.words) + NEST_HEAD
        at = {name: first + i for i, name in enumerate(gemv.FIELDS)}
        alpha, given = self._alpha(product, at["given"])
        fields = {
            "a": self._address(form.matrix, at["a"]),
            "x": self._address(form.vector, at["x"]),
            "y": self._address(product.out, at["y"]),
            "given": given,
            "m": form.m,
            "n": form.n,
            "a_down": form.down * size,
            "x_step": form.x_step * size,
            "y_step": form.y_step * size,
            "alpha": alpha,
            "beta": _bits(dtype, product.beta),
        }
        run, pool_at = self._runner(step < units)
        self.words += [
            run,
            NEST_HEAD + len(gemv.FIELDS),
            gemv.kernel(form.name, dtype),
            0,
            units,
            step,
            pool_at,
            *(fields[name] for name in gemv.FIELDS),
        ]

    def _alpha(self, product: Product, word: int) -> tuple[int, int]:
        """The number that a product is multiplied by, as bits, or the address of it."""
        if isinstance(product.alpha, View):
            return 0, self._address(product.alpha, word)
        return _bits(product.out.dtype, product.alpha), 0

    # --- the call -----------------------------------------------------------------------------------------------------

    def _entrance(self, segment: Segment) -> Any:
        """A function that runs a segment: ``enter(values, outputs)``, both tuples of arrays."""
        plan, base = self.plan, self._table.ctypes.data
        first = segment is self.segments[0]
        records: list[int] = []
        inputs = {s.data: s.index for s in plan.storages if s.kind == "input"}
        written = set(plan.updated.values())
        for position, number in enumerate(plan.program.inputs):
            patches = self._within(segment, inputs.get(position, -1))
            if first or patches:
                flags = _BEHAVED if position in written else _CONTIGUOUS
                type = plan.program.buffers[number].type
                records += _record(0, position, type.dtype, type.shape, flags, patches, base)
        for place, number in enumerate(self.outside):
            storage = plan.storages[number]
            patches = self._within(segment, number)
            if patches:
                shape = self.fresh[place][0] if place < len(self.fresh) else None
                shape = _shape(plan, storage) if shape is None else shape
                records += _record(1, place, storage.dtype, shape, _CONTIGUOUS, patches, base)
        pairs = self._pairs(written) if first else []
        body = np.array(records + pairs, dtype="int64")
        start, middle = body.ctypes.data, body.ctypes.data + 8 * len(records)
        api = ctypes.pythonapi
        locks = (0, 0)
        if self.long:
            locks = tuple(
                ctypes.cast(f, ctypes.c_void_p).value for f in (api.PyEval_SaveThread, api.PyEval_RestoreThread)
            )  # type: ignore[assignment]
        words = np.array(
            [start, middle, base + 8 * segment.start, base + 8 * segment.end, self._error.ctypes.data,
             id(None), id(True), id(False), *locks, middle, start + body.nbytes, id(np.ndarray)], dtype="int64"
        )  # fmt: skip
        self._kept += [body, words]
        return entrance(words)

    def _within(self, segment: Segment, storage: int) -> list[tuple[int, int]]:
        return [(w, o) for w, o in self._patches.get(storage, ()) if segment.start <= w < segment.end]

    def _pairs(self, written: set[int]) -> list[int]:
        """The inputs that must not share memory: those that are written, and all others."""
        types = [self.plan.program.buffers[n].type for n in self.plan.program.inputs]
        sizes = [math.prod(t.shape) * np.dtype(t.dtype).itemsize for t in types]  # type: ignore[arg-type]
        found: list[int] = []
        for i in sorted(written):
            for j in range(len(types)):
                shared = self.plan.program.buffers[self.plan.program.inputs[j]].kind == "shared"
                if j != i and not shared and sizes[i] and sizes[j]:
                    found += [i, sizes[i], j, sizes[j]]
        return found


def _can_fail(step: Any) -> bool:
    if isinstance(step, NestCall):
        return step.nest.checks
    return isinstance(step, Scan) and bool(step.plan.fallible)


def _record(
    source: int, place: int, dtype: str, shape: Any, flags: int, patches: list[tuple[int, int]], base: int
) -> list[int]:
    body = [source, place, id(np.dtype(dtype)), len(shape), flags, len(patches), *shape]
    for word, offset in patches:
        body += [base + 8 * word, offset]
    return [len(body) + 1, *body]


def _shape(plan: Plan, storage: Storage) -> tuple[int, ...]:
    shape: tuple[int, ...] = plan.program.buffers[storage.data].type.shape
    return shape


def _aligned(address: int) -> int:
    return -(-address // _ALIGNED) * _ALIGNED


def _bits(dtype: str, value: float) -> int:
    code = "<f" if dtype == "float32" else "<d"
    return int.from_bytes(struct.pack(code, value).ljust(8, b"\0"), "little", signed=True)
