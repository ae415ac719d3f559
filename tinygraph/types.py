"""Types of tensors: dtype and shape, promotion and broadcasting, all that is true before any value exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinygraph.config import config
from tinygraph.errors import DtypeError, ShapeError

__all__ = [
    "DTYPES",
    "Abstract",
    "Extent",
    "Static",
    "TensorType",
    "broadcast_extent",
    "broadcast_shapes",
    "canonical_dtype",
    "is_discrete",
    "is_float",
    "promote",
    "shape_text",
    "weak_dtype",
]

#: One extent of a shape: a number of elements, or None where it is not known yet.
Extent = int | None

#: What is known of a small integer tensor before it runs: a number, or a vector with None for unknown entries.
Static = int | tuple[Extent, ...] | None

DTYPES: tuple[str, ...] = (
    "bool",
    *("int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
_FLOATS = frozenset(("float16", "float32", "float64"))
_NAMES: dict[Any, str] = {name: name for name in DTYPES}
_set = object.__setattr__


def canonical_dtype(dtype: Any) -> str:
    """The name of a dtype given as text, NumPy dtype or type; ``"floatX"`` stands for ``config.floatX``.

    >>> canonical_dtype(np.float32), canonical_dtype("floatX"), canonical_dtype(int)
    ('float32', 'float64', 'int64')
    """
    known = _NAMES.get(dtype) if isinstance(dtype, str) else None
    if known is not None:
        return known
    if isinstance(dtype, str) and dtype == "floatX":
        return config.floatX
    try:
        name = np.dtype(dtype).newbyteorder("=").name
    except TypeError as err:
        raise DtypeError(f"{dtype!r} is no dtype", expected=", ".join(DTYPES), actual=repr(dtype)) from err
    if name not in _NAMES:
        raise DtypeError(f"tensors of dtype {name} are not supported", expected=", ".join(DTYPES), actual=name)
    return name


def is_float(dtype: str) -> bool:
    return dtype in _FLOATS


def is_discrete(dtype: str) -> bool:
    """True for bool and integers, whose values carry no gradient."""
    return dtype not in _FLOATS


_promoted: dict[tuple[str, ...], str] = {}


def promote(*dtypes: str) -> str:
    """NumPy 2's common dtype of arrays of these dtypes.

    >>> promote("int32", "float32"), promote("float16", "int8")
    ('float64', 'float16')
    """
    known = _promoted.get(dtypes)
    if known is None:
        known = _promoted[dtypes] = np.result_type(*map(np.dtype, dtypes)).name
    return known


def weak_dtype(value: bool | int | float, dtype: str) -> str:
    """The dtype that a Python scalar and a tensor of ``dtype`` take together; the scalar only decides the kind.

    As in NumPy 2, except that a float beside integers gives ``config.floatX``.

    >>> weak_dtype(2.5, "float32"), weak_dtype(2, "int8"), weak_dtype(2.5, "int8")
    ('float32', 'int8', 'float64')
    """
    if isinstance(value, (bool, np.bool_)):
        return dtype
    if isinstance(value, (int, np.integer)):
        return "int64" if dtype == "bool" else dtype
    return config.floatX if is_discrete(dtype) else dtype


@dataclass(frozen=True, slots=True, init=False)
class TensorType:
    """A dtype and a shape, with None for every extent that is not known until run time.

    Parameters
    ----------
    dtype
        Any NumPy dtype or its name; ``"floatX"`` stands for ``config.floatX``.
    shape
        Extents; a pattern of bools is read as Theano's ``broadcastable`` (True: extent 1, False: unknown).
    name
        Accepted as in Theano; types are told apart by dtype and shape alone.
    broadcastable
        Theano's name for ``shape``.

    Calling a type makes a symbolic variable of it: ``TensorType("float32", (None, 3))("x")``.

    >>> TensorType("float32", (False, True))
    TensorType('float32', (None, 1))
    """

    dtype: str
    shape: tuple[Extent, ...]

    # The classes of variables of this type; set where the operators are defined (ops/variable.py).
    variable_class: ClassVar[Any] = None
    constant_class: ClassVar[Any] = None
    shared_class: ClassVar[Any] = None

    def __init__(self, dtype: Any, shape: Any = None, name: str | None = None, broadcastable: Any = None) -> None:
        if shape is None:
            shape = () if broadcastable is None else broadcastable
        elif broadcastable is not None:
            raise DtypeError("shape and broadcastable mean the same", expected="one of them", actual="both")
        if type(shape) is not tuple:
            shape = _checked_shape(shape)
        for n in shape:
            if n is not None and (type(n) is not int or n < 0):
                shape = _checked_shape(shape)
                break
        _set(self, "dtype", dtype if dtype in _NAMES else canonical_dtype(dtype))
        _set(self, "shape", shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """Theano's pattern: True where the extent is known to be 1."""
        return tuple(n == 1 for n in self.shape)

    @property
    def known(self) -> bool:
        """True when every extent is known."""
        return None not in self.shape

    def with_shape(self, shape: Sequence[Extent]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: str) -> TensorType:
        return self if dtype == self.dtype else TensorType(dtype, self.shape)

    def accepts(self, other: TensorType) -> bool:
        """True when every value of ``other`` is a value of this type."""
        return (
            self.dtype == other.dtype
            and len(self.shape) == len(other.shape)
            and all(n is None or n == m for n, m in zip(self.shape, other.shape, strict=True))
        )

    def __call__(self, name: str | None = None) -> Any:
        """A new symbolic variable of this type."""
        return self.variable_class(self, name=name)

    def make_variable(self, name: str | None = None) -> Any:
        """A new symbolic variable of this type, as Theano calls it."""
        return self(name)

    def clone(self, dtype: Any = None, broadcastable: Any = None) -> TensorType:
        """The type with another dtype, or another pattern of extents of 1."""
        return TensorType(
            self.dtype if dtype is None else dtype, self.shape if broadcastable is None else broadcastable
        )

    def __str__(self) -> str:
        return f"{self.dtype} {shape_text(self.shape)}"

    def __repr__(self) -> str:
        return f"TensorType({self.dtype!r}, {self.shape})"


def _checked_shape(shape: Any) -> tuple[Extent, ...]:
    if not isinstance(shape, (tuple, list)):
        raise ShapeError("a shape is a tuple of extents", expected="e.g. (None, 3)", actual=repr(shape))
    out: list[Extent] = []
    for n in shape:
        if isinstance(n, (bool, np.bool_)):
            out.append(1 if n else None)
        elif n is None:
            out.append(None)
        elif isinstance(n, (int, np.integer)) and n >= 0:
            out.append(int(n))
        else:
            raise ShapeError(
                f"an extent is a whole number from 0, or None where unknown; got {n!r}", actual=repr(tuple(shape))
            )
    return tuple(out)


def shape_text(shape: Sequence[Extent]) -> str:
    """A shape as text, with ``?`` for unknown extents.

    >>> shape_text((None, 3)), shape_text((5,)), shape_text(())
    ('(?, 3)', '(5,)', '()')
    """
    inner = ", ".join("?" if n is None else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


@dataclass(frozen=True, slots=True)
class Abstract:
    """What is known of a tensor before it runs: its type and, for small integer tensors, its value.

    This is the argument of ``Op.infer``. ``value`` is an int for a known scalar, a tuple with None for unknown entries
    for a vector, and None when nothing is known; this is how ``x.reshape((x.shape[0], -1))`` gets its type.
    """

    type: TensorType
    value: Static = None

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def shape(self) -> tuple[Extent, ...]:
        return self.type.shape

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    def extents(self) -> tuple[Extent, ...]:
        """This vector of sizes, read as a shape: one entry for each extent, None where unknown.

        Raises
        ------
        ShapeError
            If it is no vector, or its length, which decides the number of dimensions, is unknown.
        """
        if isinstance(self.value, tuple):
            return self.value
        if self.ndim != 1 or self.shape[0] is None:
            raise ShapeError(
                "a symbolic shape must have a known number of entries, one for each dimension",
                actual=str(self.type),
                hint="write the shape as a tuple of scalars, such as (n, 3)",
            )
        return (None,) * self.shape[0]


def broadcast_extent(extents: Sequence[Extent]) -> Extent:
    """The common extent under NumPy's rule, with None for "not known yet".

    An unknown extent beside a known one other than 1 must turn out equal to it or 1, so the result is known.

    Raises
    ------
    ValueError
        If two known extents differ and neither is 1.
    """
    out: Extent = 1
    unknown = False
    for n in extents:
        if n is None:
            unknown = True
        elif n != 1:
            if out not in (1, n):
                raise ValueError(f"{out} and {n}")
            out = n
    return None if unknown and out == 1 else out


def broadcast_shapes(*shapes: Sequence[Extent]) -> tuple[Extent, ...]:
    """The shape that these shapes broadcast to, aligned at the last dimension as in NumPy.

    >>> broadcast_shapes((None, 1), (5,)), broadcast_shapes((None,), (1,))
    ((None, 5), (None,))

    Raises
    ------
    ShapeError
        If they do not broadcast.
    """
    shapes = tuple(shape for shape in shapes if len(shape)) or ((),)  # scalars change nothing
    if len(shapes) == 1:
        return tuple(shapes[0])
    ndim = max(map(len, shapes))
    padded = [(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes]
    out = []
    for axis, extents in enumerate(zip(*padded, strict=True)):
        try:
            out.append(broadcast_extent(extents))
        except ValueError as err:
            raise ShapeError(
                f"shapes do not broadcast: extents {err} meet at axis {axis - ndim}",
                expected="equal extents, or 1, counted from the last axis",
                actual=" and ".join(shape_text(shape) for shape in shapes),
            ) from None
    return tuple(out)
