"""Hypothesis strategies for shapes, dtypes, arrays, axes and indices.

>>> from hypothesis import given
>>> from tinygraph.testing import strategies as tst
>>> @given(tst.arrays("float64", special=True))
... def test_negation_is_its_own_inverse(x):
...     np.testing.assert_array_equal(-(-x), x)
>>> test_negation_is_its_own_inverse()
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.types import DTYPES

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as err:
    raise ImportError("tinygraph.testing.strategies needs Hypothesis: pip install hypothesis") from err

__all__ = [
    "advanced_indices",
    "arrays",
    "axes",
    "basic_indices",
    "broadcasting_shapes",
    "dtypes",
    "elements",
    "layouts",
    "shapes",
    "special_values",
    "variants",
]

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Shapes; by default scalars and zero-size tensors are among them."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def broadcasting_shapes(
    count: int, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """As many shapes as asked for, which broadcast together."""
    together = hnp.mutually_broadcastable_shapes(
        num_shapes=count, min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )
    return together.map(lambda found: found.input_shapes)


def dtypes(kinds: str = "biuf") -> st.SearchStrategy[str]:
    """Names of dtypes of the given kinds: b bool, i integers, u unsigned integers, f floats; float16 is left out."""
    return st.sampled_from([name for name in DTYPES if np.dtype(name).kind in kinds and name != "float16"])


def special_values(dtype: str) -> tuple[Any, ...]:
    """The values of a dtype at which arithmetic has its corners, as a tuple of scalars."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return (False, True)
    if kind in "iu":
        info = np.iinfo(dtype)
        return (0, 1, info.max, info.min, *((-1,) if kind == "i" else ()))
    limits = np.finfo(dtype)
    positive = (0.0, 1.0, math.inf, float(limits.max), float(limits.tiny), float(limits.smallest_subnormal))
    return (*positive, *(-x for x in positive), math.nan)


def elements(
    dtype: str, special: bool = False, low: float | None = None, high: float | None = None
) -> st.SearchStrategy[Any]:
    """Numbers of a dtype.

    Parameters
    ----------
    special
        Also draw ``special_values``: signed zeros, infinities, NaN, the largest and the smallest numbers.
    low, high
        Bounds of the others; by default -10 and 10, or 0 and 10 for unsigned integers.
    """
    kind = np.dtype(dtype).kind
    if kind == "b":
        return st.booleans()
    low = (0 if kind == "u" else -10) if low is None else low
    high = 10 if high is None else high
    ordinary: st.SearchStrategy[Any]
    if kind in "iu":
        ordinary = st.integers(math.ceil(low), math.floor(high))
    else:
        # Multiples of 2**-12 are exact in every float dtype, and short to read.
        ordinary = st.integers(math.ceil(low * 4096), math.floor(high * 4096)).map(lambda n: n / 4096)
    return st.one_of(ordinary, st.sampled_from(special_values(dtype))) if special else ordinary


def arrays(
    dtype: str | st.SearchStrategy[str] | None = None,
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    special: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> st.SearchStrategy[Array]:
    """Arrays.

    Parameters
    ----------
    dtype, shape
        A value or a strategy; by default any of ``dtypes()`` and ``shapes()``.
    special, low, high
        As for ``elements``.
    """

    @st.composite
    def drawn(draw: st.DrawFn) -> Array:
        chosen = _drawn(draw, dtype, dtypes())
        extents = _drawn(draw, shape, shapes())
        size = math.prod(extents)
        numbers = draw(st.lists(elements(chosen, special, low, high), min_size=size, max_size=size))
        return np.array(numbers, dtype=chosen).reshape(extents)

    return drawn()


def _drawn(draw: st.DrawFn, value: Any, default: st.SearchStrategy[Any]) -> Any:
    if value is None:
        return draw(default)
    return draw(value) if isinstance(value, st.SearchStrategy) else value


def variants(array: Array) -> dict[str, Array]:
    """The same values laid out in memory in other ways: each must give the same results as the array itself.

    >>> sorted(variants(np.zeros((2, 3))))
    ['big-endian', 'fortran', 'read-only', 'reversed', 'strided', 'unaligned']
    """
    every = (slice(None, None, -1),) * array.ndim
    spread = np.zeros(tuple(2 * n + 1 for n in array.shape), array.dtype)
    strided = spread[(slice(1, None, 2),) * array.ndim] if array.ndim else spread[()]
    strided = strided if array.ndim else np.array(array)
    strided[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    bytes_ = np.zeros(array.nbytes + 1, "uint8")
    unaligned = bytes_[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    return {
        "fortran": np.array(array, order="F"),
        "reversed": np.ascontiguousarray(array[every])[every].reshape(array.shape),
        "strided": strided,
        "unaligned": unaligned,
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "read-only": read_only,
    }


def layouts(array: Array) -> st.SearchStrategy[Array]:
    """The array, or one of its ``variants``."""
    return st.sampled_from([array, *variants(array).values()])


def axes(ndim: int, none: bool = True) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """Axis arguments for a tensor of ``ndim`` dimensions: an axis, a tuple of them, negative ones too, and None."""
    choices: list[st.SearchStrategy[Any]] = [hnp.valid_tuple_axes(ndim)]
    if ndim:
        choices.append(st.integers(-ndim, ndim - 1))
    return st.one_of(st.none(), *choices) if none else st.one_of(*choices)


def basic_indices(shape: Shape) -> st.SearchStrategy[Any]:
    """Index expressions of integers, slices of any step, ``...`` and ``np.newaxis``."""
    return hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=len(shape) + 2)


@st.composite
def advanced_indices(draw: st.DrawFn, shape: Shape, masks: bool = True) -> Any:
    """Index expressions that hold arrays: integers of either sign, repeated ones too, or one mask of bools.

    Beside the arrays there are slices, integers, ``...`` and ``np.newaxis``. Axes that are indexed by integers must
    not be empty, so empty ones are sliced.
    """
    parts: list[Any] = []
    axis = 0
    if masks and shape and draw(st.booleans()):
        first = draw(st.integers(0, len(shape) - 1))
        last = draw(st.integers(first + 1, len(shape)))
        parts += [draw(st.slices(n)) for n in shape[:first]]
        parts.append(draw(arrays("bool", shape[first:last])))
        axis = last
        parts += [draw(st.slices(n)) for n in shape[axis : draw(st.integers(axis, len(shape)))]]
    else:
        count = draw(st.integers(min(1, len(shape)), len(shape)))
        target = draw(shapes(max_dims=2, max_side=3, min_side=1))
        for n in shape[:count]:
            parts.append(draw(_part(n, target)))
    if draw(st.booleans()) and len(parts) < len(shape) + 1:
        parts.append(Ellipsis)
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), None)
    return tuple(parts)


def _part(extent: int, target: Sequence[int]) -> st.SearchStrategy[Any]:
    if not extent:
        return st.slices(extent)
    along = st.tuples(*[st.sampled_from(sorted({1, n})) for n in target])
    indices = along.flatmap(lambda shape: arrays("int64", shape, low=-extent, high=extent - 1))
    return st.one_of(indices, indices, st.slices(extent), st.integers(-extent, extent - 1))
