"""What the cuda backend asks of a device, and a GPU seen through CuPy.

CuPy holds memory, streams and graphs; kernels are loaded and launched through the driver's own interface, by ctypes, as
a kernel's arguments are one struct that is made once. ``Gpu`` has not run on hardware yet; the tests run the rest of
the backend on a device that executes kernels on the CPU.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tinygraph import arrays
from tinygraph.backends.cuda.blas import Blas, Gemm
from tinygraph.backends.cuda.kernel import Code, Launch
from tinygraph.backends.cuda.module import binary, names_of, source_of
from tinygraph.errors import BackendError

__all__ = ["Device", "Gpu", "gpu"]

#: Bytes that cuBLAS may use besides its operands (NVIDIA's advice for Hopper, enough for others).
_WORKSPACE = 32 << 20


class Device(Protocol):
    """Memory, kernels and products of one device."""

    backend: str

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """An array whose first element lies at a multiple of 16 bytes."""

    def error_word(self) -> tuple[int, Any]:
        """An int64 that kernels may set: its address for them, and an array through which the host reads it."""

    def address(self, array: Any) -> int: ...

    def holds(self, value: Any) -> bool:
        """Whether a value is an array of this device."""

    def copy(self, source: Any, target: Any) -> None:
        """Copy an array, of this device or NumPy's, over one of this device."""

    def functions(self, kernels: Sequence[Code]) -> dict[Code, Any]:
        """Compiled kernels; those that are not known yet are compiled together."""

    def arguments(self, kernel: Code, words: Any) -> Any:
        """Words as a launch takes them."""

    def launch(self, function: Any, launch: Launch, arguments: Any) -> None: ...

    def multiply(self, gemm: Gemm, y: int, x: int, out: int, alpha: Any, beta: float, on_device: int) -> None: ...

    def wait(self) -> None:
        """Return when everything that was launched has run."""

    def stream(self) -> int:
        """Where work is queued."""

    def capture(self, launches: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Launches as one, which launches all of them again; RuntimeError where that cannot be."""

    def out_of_memory(self) -> type[BaseException]: ...


class Gpu:
    """A CUDA device through CuPy, the current one when it is made.

    Parameters
    ----------
    tf32
        Whether float32 products may round their operands to TF32.

    Raises
    ------
    BackendError
        If there is no CuPy, no device, no NVRTC or no cuBLAS.
    """

    def __init__(self, tf32: bool = False) -> None:
        device = arrays.get("cupy").cuda.Device()
        self.number = int(device.id)
        self._cupy = arrays.get(f"cupy:{self.number}")
        self.backend = self._cupy.backend
        self.capability = int(device.compute_capability)
        self._cupy.zeros(1)  # makes the context that the driver's functions work in
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._tf32 = tf32
        self._blas: Blas | None = None
        self._workspaces: dict[int, Any] = {}
        self._known: dict[Code, Any] = {}
        self._lock = threading.Lock()
        self._capture_lock = threading.Lock()
        self._staged: dict[int, tuple[Any, Any]] = {}
        self._capturing = self._cupy.cuda.Stream(non_blocking=True)

    def _check(self, status: int, what: str) -> None:
        if status:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(status, ctypes.byref(text))
            raise BackendError(f"CUDA could not {what}: {(text.value or b'').decode()}")

    # --- memory -------------------------------------------------------------------------------------------------------

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        return self._cupy.empty(tuple(shape), dtype)

    def error_word(self) -> tuple[int, Any]:
        """Pinned memory of the host, which kernels write to as it is: nothing has to be copied to look at it."""
        memory = self._cupy.cuda.alloc_pinned_memory(8)
        word = np.frombuffer(memory, dtype="int64", count=1)
        word[0] = 0
        return int(memory.ptr), word

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def holds(self, value: Any) -> bool:
        return not isinstance(value, np.ndarray)

    def copy(self, source: Any, target: Any) -> None:
        if not isinstance(source, np.ndarray):
            self._cupy.copyto(target, source)
            return
        stream = self._cupy.cuda.get_current_stream()
        staged, sent = self._staging(target)
        sent.synchronize()  # what was staged for this array before is on its way no longer
        staged[...] = source
        target.set(staged, stream=stream)
        sent.record(stream)

    def _staging(self, target: Any) -> tuple[Any, Any]:
        """Pinned memory from which an array is filled, and the event of its last copy."""
        address = self.address(target)
        known = self._staged.get(address)
        if known is None or known[0].shape != target.shape or known[0].dtype != target.dtype:
            memory = self._cupy.cuda.alloc_pinned_memory(max(target.nbytes, 1))
            staged = np.frombuffer(memory, dtype=target.dtype, count=target.size).reshape(target.shape)
            known = self._staged[address] = (staged, self._cupy.cuda.Event(disable_timing=True))
        return known

    def out_of_memory(self) -> type[BaseException]:
        found: type[BaseException] = self._cupy.cuda.memory.OutOfMemoryError
        return found

    # --- kernels ------------------------------------------------------------------------------------------------------

    def functions(self, kernels: Sequence[Code]) -> dict[Code, Any]:
        with self._lock:
            new = [k for k in dict.fromkeys(kernels) if k not in self._known]
            if new:
                code = binary(source_of(new), self.capability)
                module = ctypes.c_void_p()
                self._check(self._driver.cuModuleLoadData(ctypes.byref(module), code), "load kernels")
                for kernel, name in zip(new, names_of(new), strict=True):
                    function = ctypes.c_void_p()
                    status = self._driver.cuModuleGetFunction(ctypes.byref(function), module, name.encode())
                    self._check(status, "find a kernel")
                    self._known[kernel] = function
            return {k: self._known[k] for k in kernels}

    def arguments(self, kernel: Code, words: Any) -> Any:
        """The array of pointers to arguments, and what they point to."""
        if kernel.by_value:
            held: Any = np.ascontiguousarray(words)
            pointer = ctypes.c_void_p(held.ctypes.data)
            return (ctypes.c_void_p * 1)(pointer), held
        table = self._cupy.asarray(words)
        place = ctypes.c_void_p(self.address(table))
        return (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(place), ctypes.c_void_p)), (table, place)

    def launch(self, function: Any, launch: Launch, arguments: Any) -> None:
        stream = ctypes.c_void_p(self.stream())
        blocks, threads = min(launch.blocks, 2**31 - 1), launch.kernel.threads
        status = self._driver.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, arguments[0], None)
        self._check(status, "launch a kernel")

    def multiply(self, gemm: Gemm, y: int, x: int, out: int, alpha: Any, beta: float, on_device: int) -> None:
        with self._lock:
            if self._blas is None:
                self._blas = Blas(self._tf32)
            workspace = self._workspace(self.stream())
            self._blas.use(self.stream(), workspace, _WORKSPACE)
            self._blas.multiply(gemm, y, x, out, alpha, beta, on_device)

    def _workspace(self, stream: int) -> int:
        """Memory for cuBLAS: work that is queued one after the other shares it."""
        if stream not in self._workspaces:
            self._workspaces[stream] = self._cupy.empty(_WORKSPACE, "uint8")
        return self.address(self._workspaces[stream])

    # --- order --------------------------------------------------------------------------------------------------------

    def wait(self) -> None:
        self._cupy.cuda.get_current_stream().synchronize()

    def stream(self) -> int:
        return int(self._cupy.cuda.get_current_stream().ptr)

    def capture(self, launches: Sequence[Callable[[], None]]) -> Callable[[], None]:
        stream = self._capturing
        with self._capture_lock:
            self._workspace(self.stream())
            self._workspaces[int(stream.ptr)] = self._workspaces[self.stream()]
            with stream:
                stream.begin_capture()
                try:
                    for launch in launches:
                        launch()
                finally:
                    graph = stream.end_capture()

        def replay(held: Sequence[Callable[[], None]] = launches) -> None:
            # A graph has addresses, but not what lies there: the launches hold their tables of arguments.
            graph.launch(stream=self._cupy.cuda.get_current_stream())

        return replay


_gpus: dict[tuple[int, bool], Gpu] = {}


def gpu(tf32: bool = False) -> Gpu:
    """The current device."""
    number = int(arrays.get("cupy").cuda.Device().id)
    if (number, tf32) not in _gpus:
        _gpus[number, tf32] = Gpu(tf32)
    return _gpus[number, tf32]
