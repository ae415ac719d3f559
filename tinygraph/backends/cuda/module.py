"""The kernels of a plan as one module of CUDA C, and its machine code, kept by content."""

from __future__ import annotations

from collections.abc import Sequence

from tinygraph.backends.cuda.kernel import Kernel, launches_of
from tinygraph.backends.cuda.nvrtc import OPTIONS, compiler
from tinygraph.backends.cuda.printer import print_kernel
from tinygraph.backends.cuda.rows import PRELUDE
from tinygraph.backends.native import cache
from tinygraph.program.plan import Plan

__all__ = ["binary", "kernels_of", "names_of", "source_of"]

_binaries: dict[tuple[str, str], bytes] = {}


def kernels_of(plan: Plan) -> list[Kernel]:
    """The kernels that a plan's nests need, each once."""
    return list(dict.fromkeys(launch.kernel for _, launches in launches_of(plan) for launch in launches))


def names_of(kernels: Sequence[Kernel]) -> list[str]:
    """What the kernels of a module are called."""
    return [f"tg_{kernel.form}{i}" for i, kernel in enumerate(kernels)]


def source_of(kernels: Sequence[Kernel]) -> str:
    """Kernels as one module of CUDA C."""
    printed = (print_kernel(kernel, name) for kernel, name in zip(kernels, names_of(kernels), strict=True))
    return "\n".join([PRELUDE, *printed])


def binary(source: str, capability: int) -> bytes:
    """Machine code for devices of a compute capability; compiled once for each text, and kept on disk."""
    made = compiler()
    target = " ".join([f"sm_{capability}", "NVRTC", *map(str, made.version), *OPTIONS])
    key = (source, target)
    if key not in _binaries:
        code = cache.load(source, target)
        if code is None:
            code = made.compile(source, capability)
            cache.store(source, target, code)
        _binaries[key] = code
    return _binaries[key]
