"""The kernels of a plan as one module of CUDA C, and its machine code, kept by content."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinygraph.backends.cuda.kernel import Kernel, launches_of
from tinygraph.backends.cuda.nvrtc import OPTIONS, compiler
from tinygraph.backends.cuda.printer import print_kernel
from tinygraph.backends.cuda.rows import PRELUDE
from tinygraph.program.plan import Plan

__all__ = ["binary", "kernels_of", "names_of", "source_of"]

_binaries: dict[str, bytes] = {}


def kernels_of(plan: Plan) -> list[Kernel]:
    """The kernels that a plan's nests need, each once."""
    return list(dict.fromkeys(launch.kernel for _, launch in launches_of(plan)))


def names_of(kernels: Sequence[Kernel]) -> list[str]:
    """What the kernels of a module are called."""
    return [f"tg_{kernel.form}{i}" for i, kernel in enumerate(kernels)]


def source_of(kernels: Sequence[Kernel]) -> str:
    """Kernels as one module of CUDA C."""
    printed = (print_kernel(kernel, name) for kernel, name in zip(kernels, names_of(kernels), strict=True))
    return "\n".join([PRELUDE, *printed])


def binary(source: str, capability: int) -> bytes:
    """Machine code for devices of a compute capability; compiled once for each text, and kept on disk.

    The folder is ``TINYGRAPH_CACHE``, or ``tinygraph`` in the user's cache; where it cannot be written to, nothing is
    kept.
    """
    made = compiler()
    text = "\n".join([*OPTIONS, str(capability), str(made.version), source])
    key = hashlib.sha256(text.encode()).hexdigest()
    if key not in _binaries:
        path = _folder() / f"{key}.cubin"
        try:
            _binaries[key] = path.read_bytes()
        except OSError:
            _binaries[key] = made.compile(source, capability)
            _keep(path, _binaries[key])
    return _binaries[key]


def _folder() -> Path:
    given = os.environ.get("TINYGRAPH_CACHE")
    if given:
        return Path(given) / "cuda"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygraph" / "cuda"


def _keep(path: Path, code: bytes) -> None:
    """Write a file so that whoever reads it sees all of it or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        os.replace(name, path)
    except OSError:
        return
