"""From a Program to something that can be called; each module knows one device or code generator."""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

from tinygraph.backends.observer import Observer, Observers
from tinygraph.backends.reference import ReferenceExecutable
from tinygraph.backends.shortage import shortage
from tinygraph.backends.trial import Trial

__all__ = ["Observer", "Observers", "ReferenceExecutable", "Trial", "cuda_backend", "native_backend", "shortage"]


@functools.cache
def native_backend() -> Any:
    """The class of native executables; None, and a warning once, where llvmlite is not installed."""
    try:
        importlib.import_module("llvmlite.binding")
    except (ImportError, OSError) as err:
        warnings.warn(
            f"llvmlite cannot be used ({err}): functions run one array call after the other; "
            "`pip install llvmlite` compiles them, config.linker = 'reference' silences this",
            stacklevel=2,
        )
        return None
    from tinygraph.backends.native.executable import NativeExecutable

    return NativeExecutable


def cuda_backend() -> Any:
    """The class of executables of kernels for CuPy; it has not run on a device yet."""
    from tinygraph.backends.cuda.executable import CudaExecutable

    return CudaExecutable
