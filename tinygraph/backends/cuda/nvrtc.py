"""NVIDIA's run-time compiler, by ctypes: CUDA C to machine code for any architecture, with or without a GPU.

CuPy's own way of compiling adds ``-ftz=true`` to whatever options it is given, so that small float32 numbers would be
taken as 0. Here the options are those below and no others.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import os
import re
from pathlib import Path

from tinygraph.errors import BackendError

__all__ = ["OPTIONS", "Compiler", "compiler", "is_available"]

#: Denormal numbers are numbers, division and roots are rounded as IEEE 754 says, and so is each product of a sum.
OPTIONS = (
    "--std=c++17",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--fmad=false",
    "--extra-device-vectorization",
    "-default-device",
    "--diag-suppress=177,186,550",  # names that are not used, and comparisons of unsigned numbers with 0
)


class Compiler:
    """One NVRTC library.

    Parameters
    ----------
    path
        Of the shared library.

    Attributes
    ----------
    version
        Major and minor.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._library = ctypes.CDLL(path)
        # What it opens by name when it compiles lies beside it, where the loader does not look.
        for beside in sorted(Path(path).resolve().parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(beside))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = (major.value, minor.value)

    def _check(self, status: int, log: str = "") -> None:
        if status:
            text = self._library.nvrtcGetErrorString(status).decode()
            raise BackendError(f"NVRTC does not compile a kernel: {text}", actual=log)

    def architectures(self) -> tuple[int, ...]:
        """The compute capabilities that it compiles for, as 80 for 8.0."""
        count = ctypes.c_int()
        self._check(self._library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        found = (ctypes.c_int * count.value)()
        self._check(self._library.nvrtcGetSupportedArchs(found))
        return tuple(found)

    def compile(self, source: str, capability: int) -> bytes:
        """Machine code (a cubin) for devices of a compute capability.

        Raises
        ------
        BackendError
            With NVRTC's words, if the source is no CUDA C: a fault of the printer.
        """
        library, program = self._library, ctypes.c_void_p()
        status = library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"tinygraph.cu", 0, None, None)
        self._check(status)
        try:
            options = [f"--gpu-architecture=sm_{capability}".encode(), *(option.encode() for option in OPTIONS)]
            status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
            if status:
                self._check(status, self._log(program))
            size = ctypes.c_size_t()
            self._check(library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
            code = ctypes.create_string_buffer(size.value)
            self._check(library.nvrtcGetCUBIN(program, code))
            return code.raw
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))

    def _log(self, program: ctypes.c_void_p) -> str:
        size = ctypes.c_size_t()
        self._library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(max(size.value, 1))
        self._library.nvrtcGetProgramLog(program, log)
        return log.value.decode(errors="replace")


def _candidates() -> list[str]:
    """Where NVRTC may be: in the wheels that CuPy's ``[ctk]`` brings, then in a CUDA toolkit; the newest first."""
    folders: list[str] = []
    package = importlib.util.find_spec("nvidia")
    for root in package.submodule_search_locations or () if package is not None else ():
        folders += [str(path) for path in sorted(Path(root).glob("cu*/lib"), reverse=True)]
        folders.append(str(Path(root) / "cuda_nvrtc" / "lib"))
    toolkit = os.environ.get("CUDA_PATH") or os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    folders += [os.path.join(toolkit, "lib64"), os.path.join(toolkit, "lib")]
    found = [path for folder in folders for path in glob.glob(os.path.join(folder, "libnvrtc.so*"))]
    return sorted(found, key=lambda path: (folders.index(os.path.dirname(path)), -_number(path), len(path)))


def _number(path: str) -> int:
    found = re.search(r"\.so\.(\d+)", path)
    return int(found[1]) if found else 0


def is_available() -> bool:
    """Whether there is an NVRTC library on this machine."""
    return bool(_candidates())


@functools.cache
def compiler() -> Compiler:
    """The NVRTC library of this machine.

    Raises
    ------
    BackendError
        Where there is none.
    """
    wrong = "no libnvrtc.so was found"
    for path in _candidates():
        try:
            return Compiler(path)
        except OSError as err:
            wrong = str(err)
    raise BackendError(
        "the cuda backend needs NVRTC, NVIDIA's run-time compiler", actual=wrong, hint="pip install nvidia-cuda-nvrtc"
    )
