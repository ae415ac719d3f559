"""Array modules: NumPy and CuPy behind one name, loaded when first needed.

``compute(xp, …)`` of every operation gets one of these as ``xp``. It is the array module itself, attribute by
attribute, plus the few things the two libraries spell differently. Each device has one of its own: ``cupy`` is the
first, ``cupy:1`` the second.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from typing import Any

import numpy as np

from tinygraph.errors import BackendError, InputError

__all__ = ["NAMES", "ArrayModule", "LinAlgError", "get", "ignore_floating_point", "module_of", "to_numpy"]

#: What backends are called.
NAMES = re.compile(r"numpy|cupy(?::(\d+))?", re.ASCII)

#: DLPack's numbers for memory that the host reads, and for that of CUDA devices; the others with their names.
_ON_HOST, _ON_CUDA = (1, 3), (2, 13)
_DEVICES = {2: "a CUDA device", 7: "a Vulkan device", 8: "a Metal device", 10: "a ROCm device", 13: "a CUDA device"}

_NO_CONTEXT = contextlib.nullcontext()


#: What both libraries raise for a matrix that is singular, not positive definite, or has no converging decomposition.
LinAlgError = np.linalg.LinAlgError


class ArrayModule:
    """An array library as operations see it.

    Attributes other than the ones defined here are those of the library: ``xp.exp``, ``xp.ndarray`` … They make arrays
    on the library's current device; ``with xp.here():`` makes that this one.

    Attributes
    ----------
    name
        ``numpy`` or ``cupy``.
    backend
        The same with the device, if it is not the first: ``cupy:1``.
    number
        The device's number; None for NumPy.
    """

    def __init__(self, name: str, module: Any, scipy: str, number: int | None = None) -> None:
        self.name = name
        self.backend = f"{name}:{number}" if number else name
        self.number = number
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

    # --- devices, and arrays of others ------------------------------------------------------------------------------

    def here(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which new arrays are made on this device, and work is queued there."""
        return _NO_CONTEXT if self.number is None else self._module.cuda.Device(self.number)

    def holds(self, value: Any) -> bool:
        """Whether a value is an array of this library on this device."""
        if not isinstance(value, self._module.ndarray):
            return False
        return self.number is None or bool(value.device.id == self.number)

    def received(self, value: Any) -> Any:
        """A value as an array of this device, or as a NumPy array where it is in the host's memory.

        What other libraries hold is taken through DLPack, without a copy. Nothing is copied from a device to the host,
        or from one device to another.

        Raises
        ------
        InputError
            If the array is on another device, requires a gradient, or is of a kind that DLPack cannot hand over.
        ValueError, TypeError
            From the library, if the value is no array.
        """
        if self.number is not None and self.holds(value):
            return value
        if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
            return np.asarray(value)
        if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
            return self._exported(value)
        with self.here():
            return self._module.asarray(value)

    def taken(self, value: Any) -> Any:
        """The same on this device: what is in the host's memory is copied to where it is not already."""
        array = self.received(value)
        if self.number is None or self.holds(array):
            return array
        with self.here():
            return self._module.asarray(array)

    def copies(self, value: Any) -> bool:
        """Whether ``taken`` surely makes an array of this value that nobody else can write to."""
        if self.number is not None and isinstance(value, np.ndarray):
            return True
        return isinstance(value, (bool, int, float, list, tuple, np.generic))

    def _exported(self, value: Any) -> Any:
        """An array of another library."""
        kind = type(value).__name__
        if getattr(value, "requires_grad", False) is True:
            raise InputError(
                f"the {kind} requires a gradient, and no gradient flows through here",
                expected="a tensor without history",
                actual=f"{kind} with requires_grad=True",
                hint="pass x.detach()",
            )
        if hasattr(value, "is_neg") and value.is_neg():  # PyTorch's views with other signs, which DLPack cannot tell
            value = value.resolve_neg()
        dtype = str(getattr(value, "dtype", "unknown dtype"))
        try:
            place, number = (int(n) for n in value.__dlpack_device__())
            if place in _ON_HOST:
                return np.from_dlpack(value)
            if place in _ON_CUDA and number == self.number:
                with self.here():
                    return self._module.from_dlpack(value)
        except (BufferError, RuntimeError, ValueError) as err:
            raise InputError(
                f"the {kind} cannot be handed over through DLPack: {err}",
                expected="a dense array of a dtype that NumPy has",
                actual=f"{kind} of {dtype}",
                hint="x.float() in PyTorch and x.astype('float32') in JAX convert it" if "bfloat" in dtype else "",
            ) from err
        there = f"{_DEVICES.get(place, f'a device of kind {place}')}, number {number}"
        copies = "x.cpu() in PyTorch, numpy.asarray(x) in JAX, x.get() in CuPy"
        also = ", or work there: backend='cupy" + (f":{number}'" if number else "'") if place in _ON_CUDA else ""
        raise InputError(
            f"the {kind} is on another device",
            expected="the host's memory" + ("" if self.number is None else f", or that of device {self.number}"),
            actual=there,
            hint=f"copy it to the host ({copies}){also}",
        )

    # --- what the libraries spell differently -----------------------------------------------------------------------

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
        return f"<array module {self.backend}>"


_modules: dict[str, ArrayModule] = {"numpy": ArrayModule("numpy", np, "scipy")}


def get(name: str) -> ArrayModule:
    """The array module called ``numpy``, ``cupy``, or ``cupy:1`` and so on for other devices than the first.

    Raises
    ------
    BackendError
        If the name is unknown, CuPy is not installed, or there is no such GPU.
    """
    known = _modules.get(name)
    if known is not None:
        return known
    match = NAMES.fullmatch(name)
    if match is None:
        raise BackendError(
            f"there is no backend {name!r}", expected="'numpy', 'cupy', or 'cupy:1' and so on", actual=repr(name)
        )
    number = int(match[1] or 0)
    cupy, count = _usable_cupy()
    if number >= count:
        raise BackendError(
            f"there is no device {number} for the backend {name!r}",
            expected="'cupy'" + (f" to 'cupy:{count - 1}'" if count > 1 else ", the only device"),
            actual=repr(name),
            hint="CUDA_VISIBLE_DEVICES says which devices a process sees",
        )
    made = ArrayModule("cupy", cupy, "cupyx.scipy", number)
    _modules[name] = _modules.setdefault(made.backend, made)
    return _modules[name]


def _usable_cupy() -> tuple[Any, int]:
    """CuPy, and how many devices it sees."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as err:
        raise BackendError(
            "the backend 'cupy' needs the package CuPy, which cannot be imported",
            actual=str(err),
            hint="pip install 'tinygraph[cuda13]' (CUDA 13) or 'tinygraph[cuda12]' (CUDA 12)",
        ) from err
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as err:
        raise BackendError(
            "the backend 'cupy' found no usable GPU",
            actual=str(err),
            hint="install NVIDIA's driver (nvidia-smi must list a GPU), or use backend='numpy'",
        ) from err
    return cupy, count


def module_of(array: Any) -> ArrayModule:
    """The array module that an array belongs to, of NumPy or CuPy."""
    if isinstance(array, (np.ndarray, np.generic)):
        return _modules["numpy"]
    return get(f"cupy:{array.device.id}")


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """A NumPy array with the same values; the array itself where it already is one.

    CuPy's arrays are copied from their device; those of other libraries are taken through DLPack, and raise InputError
    where that cannot be.
    """
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy.asnumpy(array)
    return _modules["numpy"].received(array)


def ignore_floating_point() -> contextlib.AbstractContextManager[Any]:
    """A context in which overflow, division by zero and invalid values give inf and NaN without a warning."""
    return np.errstate(all="ignore")
