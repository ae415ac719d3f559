"""Functions of the BLAS that SciPy brings, by address: products of matrices with vectors."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import Any

__all__ = ["address"]


@functools.cache
def _module() -> Any:
    """``scipy.linalg.cython_blas``, without the rest of ``scipy.linalg``, whose import takes ten times as long."""
    name = "scipy.linalg.cython_blas"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("scipy")
    for folder in package.submodule_search_locations or () if package is not None else ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / "linalg" / f"cython_blas{suffix}"
            if path.exists():
                spec = importlib.util.spec_from_file_location(name, path)
                if spec is not None and spec.loader is not None:
                    module = importlib.util.module_from_spec(spec)
                    sys.modules[name] = module  # a second import would fail
                    spec.loader.exec_module(module)
                    return module
    return importlib.import_module(name)


@functools.cache
def address(name: str) -> int:
    """The address of a BLAS function, for instance ``sgemv``, with Fortran's arguments and 32-bit integers.

    >>> address("dgemv") > 0
    True
    """
    capsule = _module().__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)))
