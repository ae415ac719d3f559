"""Array modules: NumPy and CuPy behind one name, loaded when first needed.

``compute(xp, …)`` of every operation gets one of these as ``xp``. It is the array module itself, attribute by
attribute, plus the few things the two libraries spell differently.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

import numpy as np

from tinygraph.errors import BackendError

__all__ = ["ArrayModule", "LinAlgError", "get", "ignore_floating_point", "module_of", "to_numpy"]


#: What both libraries raise for a matrix that is singular, not positive definite, or has no converging decomposition.
LinAlgError = np.linalg.LinAlgError


class ArrayModule:
    """An array library as operations see it.

    Attributes other than the ones defined here are those of the library: ``xp.exp``, ``xp.ndarray`` …
    """

    def __init__(self, name: str, module: Any, scipy: str) -> None:
        self.name = name
        self._module = module
        self._scipy = scipy

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._module, attribute)
        setattr(self, attribute, value)  # found directly from now on
        return value

    @property
    def special(self) -> Any:
        """SciPy's special functions for this library's arrays."""
        return importlib.import_module(f"{self._scipy}.special")

    @property
    def scipy_linalg(self) -> Any:
        """SciPy's linear algebra for this library's arrays: what ``linalg`` of the library itself does not have."""
        return importlib.import_module(f"{self._scipy}.linalg")

    @property
    def sparse(self) -> Any:
        """SciPy's sparse matrices over this library's arrays."""
        return importlib.import_module(f"{self._scipy}.sparse")

    def stable_order(self, keys: Any) -> Any:
        """The order that sorts whole numbers from 0 on, keeping that of equal ones; by counting where that pays."""
        n = keys.shape[0]
        bound = int(keys.max()) + 1 if n else 0
        if self.name != "numpy" or bound > 4 * n:
            return self._module.argsort(keys, kind="stable")
        # SciPy counts when it turns rows into columns; here each number is a row with one entry.
        index = np.int32 if n < 2**31 else np.int64
        one_a_row = (np.arange(n), keys.astype(index), np.arange(n + 1, dtype=index))
        return self.sparse.csr_matrix(one_a_row, shape=(n, bound)).tocsc().data

    def scatter_add(self, target: Any, index: Any, values: Any) -> None:
        """``target[index] += values`` in place, with repeated indices accumulating."""
        if self.name == "numpy":
            np.add.at(target, index, values)
        else:
            self._module.add.at(target, index, values)

    def __repr__(self) -> str:
        return f"<array module {self.name}>"


_modules: dict[str, ArrayModule] = {"numpy": ArrayModule("numpy", np, "scipy")}


def get(name: str) -> ArrayModule:
    """The array module called ``numpy`` or ``cupy``.

    Raises
    ------
    BackendError
        If the name is unknown, CuPy is not installed, or there is no usable GPU.
    """
    known = _modules.get(name)
    if known is not None:
        return known
    if name != "cupy":
        raise BackendError(f"there is no backend {name!r}", expected="'numpy' or 'cupy'", actual=repr(name))
    _modules[name] = ArrayModule("cupy", _usable_cupy(), "cupyx.scipy")
    return _modules[name]


def _usable_cupy() -> Any:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as err:
        raise BackendError(
            "the backend 'cupy' needs the package CuPy, which cannot be imported",
            actual=str(err),
            hint="pip install 'tinygraph[cuda13]' (CUDA 13) or 'tinygraph[cuda12]' (CUDA 12)",
        ) from err
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as err:
        raise BackendError(
            "the backend 'cupy' found no usable GPU",
            actual=str(err),
            hint="install NVIDIA's driver (nvidia-smi must list a GPU), or use backend='numpy'",
        ) from err
    return cupy


def module_of(array: Any) -> ArrayModule:
    """The array module that an array belongs to."""
    if isinstance(array, (np.ndarray, np.generic)):
        return _modules["numpy"]
    return get("cupy")


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """A NumPy array with the same values; the array itself where it already is one."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy.asnumpy(array)
    return np.asarray(array)


def ignore_floating_point() -> contextlib.AbstractContextManager[Any]:
    """A context in which overflow, division by zero and invalid values give inf and NaN without a warning."""
    return np.errstate(all="ignore")
