"""Shared variables: the only state, changed only by updates and ``set_value``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.config import config
from tinygraph.errors import DtypeError, UpdateError
from tinygraph.graph import services
from tinygraph.graph.node import Variable
from tinygraph.types import TensorType, canonical_dtype, shape_text

__all__ = ["IN_USE", "STATE_LOCK", "SharedVariable", "shared"]

#: Held while values are read together before a call and committed together after it, so that no function ever sees
#: half of another's updates.
STATE_LOCK = threading.Lock()


class _Container:
    """The place of a value; clones of a shared variable share it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


#: What a call reads besides what it writes to, and what it writes to.
Use = tuple[frozenset[_Container], frozenset[_Container]]


class InUse:
    """The values that are in use while Python's lock may be let go of; truth says whether there are any."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Use]] = []  # each with its thread
        self._changed = threading.Condition()

    def __bool__(self) -> bool:
        return bool(self.calls)

    @contextlib.contextmanager
    def held(self, use: Use) -> Iterator[None]:
        """A call for the length of a ``with`` block."""
        self.enter(use)
        try:
            yield
        finally:
            self.leave(use)

    def enter(self, use: Use) -> None:
        """Begin a call; waits while other threads write to what it reads, or use what it writes to."""
        reads, writes = use
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(
                lambda: all(
                    writes.isdisjoint(read) and writes.isdisjoint(written) and reads.isdisjoint(written)
                    for other, (read, written) in self.calls
                    if other != me
                )
            )
            self.calls.append((me, use))

    def leave(self, use: Use) -> None:
        """End a call."""
        with self._changed:
            self.calls.remove((threading.get_ident(), use))
            self._changed.notify_all()


IN_USE = InUse()


class SharedVariable(Variable):
    """A variable with a value that lives between calls.

    Attributes
    ----------
    default_update
        An expression that every function using the variable updates it with, unless it is given another update.
    backend
        Name of the array library that holds the value, with the device where that is not the first.
    """

    __slots__ = ("backend", "container", "default_update")

    kind = "shared variable"

    def __init__(self, type: TensorType, value: Any, backend: str, name: str | None = None) -> None:
        super().__init__(type, name=name)
        self.backend = backend
        self.container = _Container(value)
        self.default_update: Any = None

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """The current value.

        Parameters
        ----------
        borrow
            False gives a copy; True gives the array that is held now, which must not be written to, and which later
            updates may overwrite.
        return_internal_type
            True gives a CuPy array where the value lives on a GPU; otherwise it is a NumPy array.
        """
        if borrow:
            value = self.container.value
            return value if return_internal_type else arrays.to_numpy(value)
        with IN_USE.held((frozenset((self.container,)), frozenset())):  # while it is copied nobody may write to it
            value = self.container.value
            if return_internal_type:
                return self._copied(value)
            host = arrays.to_numpy(value)
            return host.copy() if host is value else host

    def set_value(self, new_value: Any, borrow: bool = False) -> None:
        """Replace the value; ``borrow=True`` keeps the given array itself where it already fits.

        On a device a value of the same shape is written over the old one, so that steps that were captured stay good.

        Raises
        ------
        UpdateError
            If the value's number of dimensions, fixed extents or dtype do not fit; the old value stays.
        InputError
            If it is an array on another device, or requires a gradient.
        """
        value = self.checked(new_value, borrow)
        xp = arrays.get(self.backend)
        with IN_USE.held((frozenset(), frozenset((self.container,)))), STATE_LOCK:
            old = self.container.value
            if xp.number is not None and not borrow and old.shape == value.shape:
                with xp.here():
                    xp.copyto(old, value)
            else:
                self.container.value = value

    def checked(self, value: Any, borrow: bool) -> Any:
        """The value as this variable would hold it."""
        xp = arrays.get(self.backend)
        taken = array = xp.taken(value)
        if array.dtype.name != self.dtype and np.result_type(array.dtype, self.dtype) != np.dtype(self.dtype):
            is_array = isinstance(value, np.generic) or hasattr(value, "__dlpack__")
            if is_array or not _is_exact(xp, array, self.dtype):
                raise UpdateError(
                    f"shared variable {self} cannot take this value without losing precision",
                    expected=self.dtype,
                    actual=array.dtype.name,
                    hint=f"convert it first: value.astype({self.dtype!r})",
                )
        self.check_shape(array.shape)
        with xp.here():
            array = xp.ascontiguousarray(array, dtype=self.dtype).reshape(array.shape)
        return array if borrow else _own(xp, array, taken, value)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise UpdateError unless a value of this shape fits the type."""
        fixed = self.type.shape
        if len(shape) != len(fixed) or any(n is not None and n != m for n, m in zip(fixed, shape, strict=True)):
            raise UpdateError(
                f"shared variable {self} cannot take a value of this shape",
                expected=f"{self.ndim} dimensions, {shape_text(fixed)}",
                actual=f"{len(shape)} dimensions, {shape_text(shape)}",
            )

    def zero(self, borrow: bool = False) -> None:
        """Set every element to zero."""
        self.set_value(np.zeros(self.container.value.shape, self.dtype), borrow=True)

    def _copied(self, value: Any) -> Any:
        with arrays.get(self.backend).here():
            return value.copy()

    def clone_with_value(self) -> Any:
        """Another variable with a copy of the value."""
        other = type(self)(self.type, self._copied(self.container.value), self.backend, self.name)
        other.default_update = self.default_update
        return other

    def clone(self) -> Any:
        """Another variable over the same value."""
        other = type(self)(self.type, None, self.backend, self.name)
        other.container = self.container
        return other


def _is_exact(xp: Any, array: Any, dtype: str) -> bool:
    """Whether no element changes when it is converted."""
    with xp.here():
        return bool((array.astype(dtype) == array).all())


def _own(xp: Any, array: Any, taken: Any, value: Any) -> Any:
    """An array, copied if it may be in the memory of the value that it was made of, by way of ``taken``."""
    with xp.here():
        return array.copy() if not xp.copies(value) and xp.may_share_memory(array, taken) else array


def shared(
    value: Any,
    name: str | None = None,
    strict: bool = False,
    allow_downcast: bool | None = None,
    borrow: bool = False,
    broadcastable: Any = None,
    backend: str | None = None,
    dtype: Any = None,
    **kwargs: Any,
) -> Any:
    """A variable whose value lives between calls and is changed by ``updates``.

    Parameters
    ----------
    value
        An array, a nested list or a number; arrays of other libraries are taken through DLPack. Python floats take
        ``config.floatX``; everything else keeps its dtype. A SciPy sparse matrix makes a sparse variable.
    name
        For messages and pictures.
    strict, allow_downcast
        Accepted as in Theano; a value always fits the type that is made from it.
    borrow
        True keeps the given array itself; False (the default) copies it.
    broadcastable
        Pattern of bools; True fixes an extent at 1. By default no extent is fixed, so ``set_value`` may change them.
    backend
        Where the value lives: ``"numpy"``, ``"cupy"``, or ``"cupy:1"`` and so on; default ``config.backend``.
    dtype
        Convert the value to this dtype first.

    Raises
    ------
    DtypeError
        If the value is a symbolic variable or no array of numbers.
    InputError
        If it is an array on another device, or requires a gradient.

    >>> import numpy as np, tinygraph as tg
    >>> w = tg.shared(np.zeros((2, 3)), "w")
    >>> w.get_value().shape, w.type
    ((2, 3), TensorType('float64', (None, None)))
    """
    if kwargs:
        raise TypeError(f"shared() got an unexpected argument {next(iter(kwargs))!r}")
    if isinstance(value, Variable):
        raise DtypeError(
            "a shared variable starts from a value, not from a symbolic expression",
            actual=f"the variable {value}",
            hint="give shared() an array, and the expression as an update of a function",
        )
    where = backend or config.backend
    if hasattr(value, "tocsr"):
        return services.call("shared_sparse", value, name, backend=where, dtype=dtype)
    xp = arrays.get(where)
    taken = array = xp.taken(value)
    if array.dtype.kind not in "biuf":
        raise DtypeError(
            f"cannot make a shared variable of {value!r}", expected="an array or a number", actual=str(array.dtype)
        )
    wanted = array.dtype.newbyteorder("=")
    if dtype is not None:
        wanted = canonical_dtype(dtype)
    elif type(value) is float:
        wanted = config.floatX
    with xp.here():
        array = array.astype(wanted, copy=False)
    if not borrow:
        array = _own(xp, array, taken, value)
    if broadcastable is not None and len(broadcastable) != array.ndim:
        raise DtypeError(
            "broadcastable needs one entry for each dimension",
            expected=f"{array.ndim} entries",
            actual=f"{len(broadcastable)} entries",
        )
    shape = (None,) * array.ndim if broadcastable is None else tuple(1 if b else None for b in broadcastable)
    variable = TensorType.shared_class(TensorType(array.dtype.name, shape), array, xp.backend, name)
    variable.check_shape(array.shape)
    return variable
