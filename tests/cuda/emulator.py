"""A device for the cuda backend that executes its kernels on the CPU, through g++ and ``shim.hpp``."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tinygraph.backends.cuda.blas import Blas
from tinygraph.backends.cuda.module import names_of, source_of

GPP = shutil.which("g++")
_SHIM = Path(__file__).with_name("shim.hpp")
_BLAS = Path(__file__).with_name("blas.cpp")
_WORKSPACE = 1 << 10
_MARGIN = 64
_CANARY = 0xA5


class Emulator:
    """NumPy's memory, kernels that g++ compiles, and products by the backend's ``Blas`` from what stands for cuBLAS.

    Parameters
    ----------
    backwards
        Blocks, and threads between two barriers, run in the opposite order.
    captures
        Whether a sequence of launches can be captured, given whether there is a product among them.
    tf32
        Whether float32 products may round their operands to TF32.
    """

    backend = "numpy"
    _libraries = {}
    _folder = tempfile.TemporaryDirectory(prefix="tinygraph-cuda-")

    def __init__(self, backwards=False, captures=lambda product: True, tf32=False):
        self.backwards = backwards
        self.captures = captures
        self.launches = []
        self._capturing = False
        self._guarded = []
        self._blas = Blas(tf32, cublas())
        self._workspace = np.empty(2 * _WORKSPACE, "uint8")

    # --- memory -------------------------------------------------------------------------------------------------------

    def empty(self, shape, dtype):
        """New memory between margins that nobody may write to, full of what is no number."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        memory = np.full(size + 3 * _MARGIN, _CANARY, dtype="uint8")
        start = _MARGIN + -(memory.ctypes.data + _MARGIN) % _MARGIN
        self._guarded = self._guarded[-200:]
        self._guarded.append((memory, start, size))
        inside = memory[start : start + size]
        inside[...] = 0xFF
        return np.ndarray(shape, dtype, memory, start)

    def check_margins(self):
        for memory, start, size in self._guarded:
            assert (memory[:start] == _CANARY).all(), "a kernel wrote before the beginning of an array"
            assert (memory[start + size :] == _CANARY).all(), "a kernel wrote beyond the end of an array"

    def error_word(self):
        word = np.zeros(1, "int64")
        return word.ctypes.data, word

    def holds(self, value):
        return True

    def address(self, array):
        return array.ctypes.data

    def copy(self, source, target):
        np.copyto(target, source)

    def out_of_memory(self):
        return MemoryError

    # --- kernels ------------------------------------------------------------------------------------------------------

    def functions(self, kernels):
        new = [k for k in dict.fromkeys(kernels) if k not in self._libraries]
        if new:
            self._libraries.update(zip(new, _compiled(new, Path(self._folder.name)), strict=True))
        return {k: self._libraries[k] for k in kernels}

    def arguments(self, kernel, words):
        return words

    def launch(self, function, launch, arguments):
        if self._capturing:
            return
        self.launches.append(launch)
        if function(arguments.ctypes.data, launch.blocks, launch.kernel.threads, int(self.backwards)):
            raise AssertionError(f"threads do not meet, or a vector is not aligned: {launch.kernel}")
        self.check_margins()

    def multiply(self, gemm, y, x, out, alpha, beta, on_device):
        if self._capturing and not self.captures(True):
            raise RuntimeError("products are not captured here")
        if not self._capturing:
            self.launches.append(gemm)
        workspace = self._workspace.ctypes.data
        self._blas.use(self.stream(), workspace + -workspace % 256, _WORKSPACE)
        self._blas.multiply(gemm, y, x, out, alpha, beta, on_device)

    # --- order --------------------------------------------------------------------------------------------------------

    def wait(self):
        pass

    def stream(self):
        return 0

    def capture(self, launches):
        if not self.captures(False):
            raise RuntimeError("nothing is captured here")
        self._capturing = True
        seen().capturing = 1
        try:
            for launch in launches:
                launch()
        finally:
            self._capturing = False
            seen().capturing = 0

        def replay():
            for launch in launches:
                launch()

        return replay


class Seen(ctypes.Structure):
    """What stands for cuBLAS was asked for last."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("calls", "compute", "algorithm", "mode", "stack", "pointers", "stream", "workspace", "capturing")
    ]


@functools.cache
def cublas(old=False):
    """What stands for cuBLAS, or for one before 12, whose integers have 32 bits; compiled once."""
    library = Path(Emulator._folder.name) / f"libcublas{'_old' if old else ''}.so"
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", *(["-DOLD"] if old else [])]
    ran = subprocess.run([GPP, *flags, str(_BLAS), "-o", str(library)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[:4000]
    return ctypes.CDLL(str(library))


def seen(old=False):
    return Seen.in_dll(cublas(old), "seen")


def _compiled(kernels, folder):
    """Functions ``(words, blocks, threads, backwards) -> failed``."""
    parts = [f'#include "{_SHIM}"', source_of(kernels)]
    names = names_of(kernels)
    for kernel, name in zip(kernels, names, strict=True):
        given = f"*(const words_{name} *)words" if kernel.by_value else f"(const words_{name} *)words"
        parts.append(
            f'extern "C" int run_{name}(const void *words, unsigned blocks, unsigned threads, int backwards) {{\n'
            f"  return shim::launch(blocks, threads, backwards, [=] {{ {name}({given}); }});\n}}"
        )
    number = len(list(folder.iterdir()))
    source, library = folder / f"module{number}.cpp", folder / f"module{number}.so"
    source.write_text("\n".join(parts))
    flags = [
        "-std=c++17",
        "-O0",
        "-fPIC",
        "-shared",
        "-w",
        "-ffp-contract=off",
        "-fno-strict-aliasing",
        "-U_FORTIFY_SOURCE",
    ]
    ran = subprocess.run([GPP, *flags, str(source), "-o", str(library)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[:4000]
    loaded = ctypes.CDLL(str(library))
    functions = [getattr(loaded, f"run_{name}") for name in names]
    for function in functions:
        function.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int]
    return functions
