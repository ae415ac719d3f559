"""A Program on a GPU: nests as kernels, products through cuBLAS, and whole steps replayed as graphs.

A call runs the plan's segments in order. A segment ends where an instruction is run by itself, and after the last
kernel that can find an index out of bounds: only then may anything be overwritten, so the host waits there and looks. A
segment whose addresses were seen before is a captured graph, launched at once. Capturing that fails is no error: the
segment is launched piece by piece, and ``stats`` says why.

The tests run all of this on a device that executes the kernels on the CPU; it has not run on a GPU yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends.cuda import rows
from tinygraph.backends.cuda.blas import gemm_of
from tinygraph.backends.cuda.device import Device, gpu
from tinygraph.backends.cuda.frame import Frame, constants_of
from tinygraph.backends.cuda.kernel import ALIGNED, Launch, words_of
from tinygraph.backends.cuda.scatter import scatter_words
from tinygraph.backends.cuda.segments import Segment, Segments
from tinygraph.backends.observer import Observer
from tinygraph.backends.reference import ReferenceExecutable, located
from tinygraph.backends.shortage import shortage
from tinygraph.config import config
from tinygraph.errors import OutOfMemoryError
from tinygraph.program import Program
from tinygraph.program.compiled_memory import compiled_memory
from tinygraph.program.lowerings import plan_of
from tinygraph.program.memory import MemoryPlan
from tinygraph.program.plan import Plan
from tinygraph.program.steps import Batch, Call, Product, Scatter, Storage, View

__all__ = ["CudaExecutable"]

#: Inputs and outputs up to this size are copied into and out of memory that stays where it is, so that one graph serves
#: all of them; larger ones are used where they are.
_SMALL = 1 << 20

#: Launches that are kept for each segment, by addresses; the oldest go first.
_KEPT = 16


class CudaExecutable:
    """A Program ready to be called on arrays of a device.

    Parameters
    ----------
    program
        What to run.
    targets
        For each output the position of the input that it is the new value of, None for the others. Such inputs may be
        written to: then the output is the input itself.
    device
        Where; by default the current device of CuPy.
    """

    def __init__(self, program: Program, targets: Sequence[int | None], device: Device | None = None) -> None:
        self.program = program
        self.plan: Plan = plan_of(program, targets, rows.is_known, launched=True)
        self.device: Device = gpu(config.allow_tf32) if device is None else device
        self._reference: ReferenceExecutable | None = None
        self._lock = threading.Lock()
        segments = Segments(self.plan)
        self._segments = segments.all
        self._launches = segments.launches
        self._together = segments.together
        self._functions = self.device.functions(segments.kernels)
        self._error_address, self._error = self.device.error_word()
        self._inputs_at = {s.data: s for s in self.plan.storages if s.kind == "input"}
        self._results_at = {s.data: s for s in self.plan.storages if s.kind == "result"}
        self._fresh_at = {position: index for index, position in self.plan.fresh.items()}
        self._static: dict[int, Any] = {}
        self._landing: dict[int, Any] = {}
        self._bases: dict[int, int] = {}
        self._held: list[Any] = []
        self._frame: Frame | None = None
        self._stream: int | None = None
        self._counts = {"replayed": 0, "captured": 0, "launched": 0}
        self._whole_fails = self._parts_fail = ""
        self._bodies = {
            position: tuple(CudaExecutable(body, [None] * len(body.outputs), self.device) for body in step.inner)
            for position, step in enumerate(program.instructions)
            if step.inner and any(isinstance(s, Call) and s.position == position for s in self.plan.steps)
        }

    @staticmethod
    def memory(program: Program, targets: Sequence[int | None]) -> MemoryPlan:
        """How much memory a call would take on a device, and who holds it; none is needed to say so."""
        return compiled_memory(plan_of(program, targets, rows.is_known, launched=True))

    # --- what it says of itself ---------------------------------------------------------------------------------------

    @property
    def reference(self) -> ReferenceExecutable:
        """The same Program interpreted: for what watches it, and for the words of its errors."""
        if self._reference is None:
            self._reference = ReferenceExecutable(self.program, self.device.backend)
        return self._reference

    def stats(self) -> dict[str, Any]:
        """How many segments were launched for the first time, captured and replayed, and why some are no graphs."""
        return {
            **self._counts,
            "segments": len(self._segments),
            "kernels": len(self._functions),
            "arena": self.plan.arena,
            "not captured": self._parts_fail or self._whole_fails,
        }

    def observed(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        """As a call, on the reference backend, with an observer that is told of every instruction."""
        return self.reference.observed(values, observer)

    # --- preparing ----------------------------------------------------------------------------------------------------

    def _allocate(self) -> Frame:
        """Memory that stays: the arena, constants, results of instructions by themselves, small inputs and outputs."""
        device, plan = self.device, self.plan
        arena = device.empty((max(plan.arena, 1),), "uint8")
        self._held = [arena]
        constants: dict[Storage, int] = {}
        for storage in constants_of(plan):
            constants[storage] = device.address(self._kept(np.ascontiguousarray(storage.data)))
        self._betas = {
            (dtype, beta): device.address(self._kept(np.asarray(beta, dtype=dtype)))
            for dtype in ("float32", "float64")
            for beta in (0.0, 1.0)
        }
        for storage in plan.storages:
            small = storage.nbytes <= _SMALL
            if storage.kind == "result":
                self._stay(storage, (storage.size,))
            elif storage.kind == "input" and small and not self._is_shared(storage):
                self._stay(storage, self.program.buffers[self.program.inputs[storage.data]].type.shape)
            elif storage.index in plan.fresh and small:
                view = plan.results[plan.fresh[storage.index]]
                assert view is not None
                self._stay(storage, view.shape)
        return Frame(plan, self._bases, device.address(arena), constants)

    def _kept(self, array: Any) -> Any:
        """An array of the host on the device, for good."""
        made = self.device.empty(array.shape, array.dtype.name)
        self.device.copy(array, made)
        self._held.append(made)
        return made

    def _stay(self, storage: Storage, shape: Any) -> None:
        self._static[storage.index] = made = self.device.empty(shape, storage.dtype)
        self._bases[storage.index] = self.device.address(made)

    def _is_shared(self, storage: Storage) -> bool:
        return self.program.buffers[self.program.inputs[storage.data]].kind == "shared"

    # --- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The outputs of the Program for these inputs, fresh arrays of the device.

        Raises
        ------
        as the reference backend does, and OutOfMemoryError where the device's memory does not suffice; whenever it
        raises, no input has been written to.
        """
        with self._lock:
            try:
                return self._call(values)
            except self.device.out_of_memory() as err:
                if isinstance(err, OutOfMemoryError):
                    raise
                raise shortage(self.program, str(err), self.plan) from err

    def _call(self, values: Sequence[Any]) -> list[Any]:
        self._frame = self._frame or self._allocate()
        held = self._inputs(values)
        fresh = self._fresh()
        stream = self.device.stream()
        if self._stream not in (None, stream):
            self.device.wait()
        self._stream = stream
        registers: dict[int, Any] = {}
        copies: dict[int, Any] = {}
        for segment in self._segments:
            if segment is self._segments[-1]:
                copies = self._copies(registers)  # nothing takes memory once inputs are overwritten
            self._run(segment, self._frame)
            if segment.checked:
                self.device.wait()
                if self._error[0]:
                    self._error[0] = 0
                    return self.reference(values)  # it raises an error that says what is wrong
            if segment.call is not None:
                self._called(segment.call, held, registers)
        return self._results(held, fresh, registers | copies)

    def _inputs(self, values: Sequence[Any]) -> list[Any]:
        """The inputs on the device, contiguous; those that are written to share memory with no other."""
        device = self.device
        held: list[Any] = []
        for position, value in enumerate(values):
            storage = self._inputs_at.get(position)
            static = None if storage is None else self._static.get(storage.index)
            if static is not None:
                device.copy(value, static)
                held.append(static)
                continue
            if not device.holds(value):
                value = self._landed(position, value)
            elif storage is not None and not (value.flags.c_contiguous and device.address(value) % ALIGNED == 0):
                value = self._copied(value)
            held.append(value)
        for target in self.plan.updated.values():
            mine = held[target]
            if any(i != target and _overlap(device, mine, v) for i, v in enumerate(held)):
                held[target] = self._copied(mine)
        for position, storage in self._inputs_at.items():
            self._bases[storage.index] = device.address(held[position])
        return held

    def _landed(self, position: int, value: Any) -> Any:
        """A value of the host's in memory that stays for this input, so that its address is that of earlier calls."""
        if position not in self._landing:
            self._landing[position] = self.device.empty(value.shape, value.dtype.name)
        self.device.copy(value, self._landing[position])
        return self._landing[position]

    def _copied(self, value: Any) -> Any:
        made = self.device.empty(value.shape, value.dtype.name)
        self.device.copy(value, made)
        return made

    def _fresh(self) -> dict[int, Any]:
        """Arrays for the outputs, by their position."""
        made: dict[int, Any] = {}
        for position, index in self._fresh_at.items():
            view = self.plan.results[position]
            assert view is not None
            made[position] = self.device.empty(view.shape, view.dtype)
            if index not in self._static:
                self._bases[index] = self.device.address(made[position])
        return made

    def _run(self, segment: Segment, frame: Frame) -> None:
        """Launch a segment, as a graph where there is one for these addresses."""
        if not segment.steps:
            return
        key = (self.device.stream(), *(self._bases[k] for k in segment.moving))
        known = segment.known.get(key)
        if known is not None:
            self._counts["replayed"] += 1
            for launch in known:
                launch()
            return
        launches: list[Callable[[], None]] = []
        products: list[bool] = []
        for step, addresses in frame.work(segment.steps):
            made = self._product(step, addresses) if isinstance(step, Product) else self._kernels(step, addresses)
            launches += made
            products += [isinstance(step, Product)] * len(made)
        for launch in launches:
            launch()
        self._counts["launched"] += 1
        if len(segment.known) >= _KEPT:
            segment.known.pop(next(iter(segment.known)))
        # What has run once has loaded its code, and has been given all of its memory: now it may be captured.
        segment.known[key] = self._captured(launches, products)

    def _captured(self, launches: list[Callable[[], None]], products: list[bool]) -> list[Callable[[], None]]:
        """Launches as one graph; or graphs of what lies between products; or as they are, where nothing is captured."""
        if self._parts_fail:
            return launches
        if not (True in products and self._whole_fails):
            try:
                return [self._capture(launches)]
            except RuntimeError as err:  # CUDA's errors and this package's own
                self._whole_fails = f"{type(err).__name__}: {err}"
        if True not in products:
            self._parts_fail = self._whole_fails
            return launches
        captured: list[Callable[[], None]] = []
        start = 0
        try:
            for i, product in enumerate([*products, True]):
                if product:
                    between = launches[start:i]
                    captured += [self._capture(between)] if len(between) > 1 else between
                    captured += launches[i : i + 1]
                    start = i + 1
        except RuntimeError as err:
            self._parts_fail = f"{type(err).__name__}: {err}"
            return launches
        return captured

    def _capture(self, launches: Sequence[Callable[[], None]]) -> Callable[[], None]:
        graph = self.device.capture(launches)
        self._counts["captured"] += 1
        return graph

    def _kernels(self, step: Any, addresses: Sequence[Any]) -> list[Callable[[], None]]:
        """The launches of a nest, or of several as one, at these addresses."""
        error = self._error_address
        if isinstance(step, Batch):
            several = self._together[id(step)]
            inside = {i for each in several for i in each.places}
            made = [self._launch(each.launch, each.words(addresses, error)) for each in several]
            for i, call in enumerate(step.calls):
                made += [] if i in inside else self._kernels(call, addresses[i])
            return made
        launches = [launch for launch in self._launches[id(step)] if launch.blocks]
        if isinstance(step, Scatter):
            return [self._launch(launch, scatter_words(step, launch, addresses)) for launch in launches]
        return [self._launch(launch, words_of(step, launch, addresses, error)) for launch in launches]

    def _launch(self, launch: Launch, words: Any) -> Callable[[], None]:
        arguments = self.device.arguments(launch.kernel, words)
        return partial(self.device.launch, self._functions[launch.kernel], launch, arguments)

    def _product(self, product: Product, addresses: Sequence[Any]) -> list[Callable[[], None]]:
        """The launch of a product at these addresses."""
        gemm = gemm_of(product.x, product.y, product.out)
        if 0 in (gemm.rows, gemm.columns, gemm.stack):
            return []
        x, y, out, *given = addresses
        alpha, on_device = (given[0], self._betas[gemm.dtype, product.beta]) if given else (product.alpha, 0)
        return [partial(self.device.multiply, gemm, y, x, out, alpha, product.beta, on_device)]

    # --- instructions by themselves -----------------------------------------------------------------------------------

    def _called(self, call: Call, held: Sequence[Any], registers: dict[int, Any]) -> None:
        """Run one instruction by itself, unless its guard forbids it; what the plan knows goes where it expects it."""
        step = self.program.instructions[call.position]
        host = {len(step.guard) + i for i in step.op.host}
        operands = [self._array(x, i in host, held, registers) for i, x in enumerate(call.inputs)]
        conditions, inputs = operands[: len(step.guard)], operands[len(step.guard) :]
        if any(c is None or bool(c) != value for c, (_, value) in zip(conditions, step.guard, strict=True)):
            return
        xp = arrays.get(self.device.backend)
        bodies = self._bodies.get(call.position)
        try:
            with arrays.ignore_floating_point():
                result = step.op.run(xp, bodies, *inputs) if bodies else step.op.compute(xp, *inputs)
        except Exception as err:  # raised again, with its place added
            shown = located(err, step, inputs)
            if shown is err:
                raise
            raise shown from err
        made = result if isinstance(result, (tuple, list)) else (result,)
        for number, part in zip(step.outputs, made, strict=True):
            registers[number] = xp.array(part) if step.op.view else xp.asarray(part)
            storage = self._results_at.get(number)
            if storage is not None:
                self.device.copy(xp.ascontiguousarray(part).reshape(-1), self._static[storage.index])

    def _array(self, x: View | int, host: bool, held: Sequence[Any], registers: dict[int, Any]) -> Any:
        """An operand of an instruction that is run by itself, as an array; None where its guard did not hold."""
        if isinstance(x, int):
            return registers.get(x)
        home = self.plan.home(x.storage)
        strided: Any = arrays.get(self.device.backend).lib.stride_tricks.as_strided
        if home.kind == "input":
            base = held[home.data].reshape(-1)
        elif home.kind == "constant":
            if host:
                return np.lib.stride_tricks.as_strided(home.data.reshape(-1)[x.offset :], x.shape, _strides(x))
            base = arrays.get(self.device.backend).asarray(home.data).reshape(-1)
        elif home.kind == "result" and home.data not in registers:
            return None
        elif home.index in self._static:
            base = self._static[home.index].reshape(-1)
        else:
            start = self.plan.offsets[home.index]
            base = self._held[0][start : start + home.nbytes].view(home.dtype)
        return strided(base[x.offset :], x.shape, _strides(x))

    def _copies(self, registers: dict[int, Any]) -> dict[int, Any]:
        """Copies of outputs that instructions by themselves have made and others may hold, by their numbers."""
        outputs = zip(self.program.outputs, self.plan.results, self.program.copied, strict=True)
        return {number: registers[number].copy() for number, view, copied in outputs if view is None and copied}

    def _results(self, held: Sequence[Any], fresh: dict[int, Any], registers: dict[int, Any]) -> list[Any]:
        """The outputs; small ones are taken out of the memory that stays."""
        results: list[Any] = []
        for position, view in enumerate(self.plan.results):
            if view is None:
                results.append(registers[self.program.outputs[position]])
            elif position in self.plan.updated:
                results.append(held[self.plan.updated[position]])
            else:
                static = self._static.get(self._fresh_at[position])
                if static is not None:
                    self.device.copy(static, fresh[position])
                results.append(fresh[position])
        return results


def _strides(view: View) -> tuple[int, ...]:
    """In bytes."""
    item = np.dtype(view.dtype).itemsize
    return tuple(s * item for s in view.strides)


def _overlap(device: Device, a: Any, b: Any) -> bool:
    """Whether two contiguous arrays have memory in common."""
    first, second = device.address(a), device.address(b)
    return bool(a.nbytes and b.nbytes and first < second + b.nbytes and second < first + a.nbytes)
