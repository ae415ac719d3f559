"""The operations of indexing: reading parts of a tensor, and the functional forms of writing to them.

An index expression is kept as a template, a tuple with one entry for each part of the expression, and inputs for what
is symbolic or an array in it. ``x[0, i:, rows]`` is the template ``(0, ("int", None, None), "array")`` with the inputs
``i`` and ``rows``. With integers and slices alone the result is a view; as soon as there is an array, NumPy's rules of
advanced indexing hold.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from types import EllipsisType
from typing import Any, ClassVar

from tinygraph.errors import DtypeError, IndexingError, ShapeError, TinygraphError
from tinygraph.graph import Op
from tinygraph.ops.convert import constant
from tinygraph.ops.layout import BroadcastTo, ints, sum_to_like, zeros_of
from tinygraph.ops.scalar import eq, switch
from tinygraph.types import Abstract, Extent, TensorType, broadcast_shapes, shape_text

__all__ = [
    "ARRAY",
    "FULL",
    "SCALAR",
    "AdvancedIncSubtensor",
    "AdvancedSubtensor",
    "Entry",
    "FitMask",
    "IncSubtensor",
    "Nonzero",
    "Subtensor",
    "Template",
    "too_many",
]

#: Stands in a template for an input: a 0-d integer, read on the host, or an integer array.
SCALAR = "int"
ARRAY = "array"

Bound = int | str | None
Entry = int | str | None | EllipsisType | tuple[Bound, Bound, Bound]
Template = tuple[Entry, ...]

FULL = (None, None, None)

Vjp = Sequence[Any]


# --- templates ----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _markers(idx: Template) -> tuple[str, ...]:
    """The kinds of the index inputs, in their order."""
    flat: list[Any] = []
    for entry in idx:
        flat.extend(entry if isinstance(entry, tuple) else (entry,))
    return tuple(e for e in flat if isinstance(e, str))


def _with_slices(entries: Iterable[Any]) -> tuple[Any, ...]:
    """Filled entries as Python indexes."""
    index = []
    for entry in entries:
        if isinstance(entry, tuple):
            _check_step(entry[2])
            entry = slice(*entry)
        index.append(entry)
    return tuple(index)


@functools.lru_cache(maxsize=1024)
def _fixed_index(idx: Template) -> tuple[Any, ...]:
    """The index of a template without inputs."""
    return _with_slices(idx)


def _fill(idx: Template, values: Iterable[Any]) -> list[Any]:
    """The template with its inputs filled in; a value None, for "not known", leaves the marker in its place."""
    pending = iter(values)

    def put(entry: Any) -> Any:
        if isinstance(entry, tuple):
            return tuple(map(put, entry))
        if isinstance(entry, str):
            value = next(pending)
            return entry if value is None else value
        return entry

    return [put(entry) for entry in idx]


def _text(idx: Template) -> str:
    def part(entry: Entry) -> str:
        if isinstance(entry, tuple):
            start, stop, step = ("" if b is None else str(b) for b in entry)
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return "..." if entry is Ellipsis else str(entry)

    return f"[{', '.join(map(part, idx))}]"


def _out_of_bounds(index: int, axis: int, extent: int) -> IndexingError:
    return IndexingError(
        f"index {index} is out of bounds for axis {axis} of extent {extent}",
        expected=f"{-extent} to {extent - 1}" if extent else "no index: the axis is empty",
        actual=str(index),
    )


def too_many(ndim: int, wanted: int) -> ShapeError:
    return ShapeError(
        f"too many indices: the tensor has {ndim} dimensions, the index is for {wanted}",
        expected=f"at most {ndim} indices; a mask counts as many as it has dimensions",
        actual=str(wanted),
        hint="x[None] or x.dimshuffle adds a dimension",
    )


def _check_step(step: Any) -> None:
    if isinstance(step, int) and step == 0:
        raise IndexingError("the step of a slice cannot be zero", expected="a step other than 0", actual="0")


def _slice_extent(bounds: tuple[Any, Any, Any], extent: Extent) -> Extent:
    _check_step(bounds[2])
    if bounds == FULL:
        return extent
    if extent is None or any(isinstance(b, str) for b in bounds):
        return None
    return len(range(extent)[slice(*bounds)])


def _check_known(entry: Any, axis: int, extent: Extent) -> None:
    """Raise where an integer, or an entry of a short index vector, is known to be out of bounds."""
    value = entry.value if isinstance(entry, Abstract) else entry
    known = value if isinstance(value, tuple) else (value,)
    for index in known if extent is not None else ():
        if isinstance(index, int) and not -extent <= index < extent:  # type: ignore[operator]
            raise _out_of_bounds(index, axis, extent)  # type: ignore[arg-type]


def _indexed_shape(entries: Sequence[Any], shape: Sequence[Extent]) -> tuple[Extent, ...]:
    """The shape of ``x[entries]`` for an ``x`` of this shape; arrays are given as what is known of them.

    The broadcast shape of the arrays stands where the first of them stood if integers and arrays follow one another,
    else in front.
    """
    kept: list[Extent] = []
    arrays: list[tuple[Extent, ...]] = []
    places: list[int] = []
    axis = position = 0
    for place, entry in enumerate(entries):
        if entry is None:
            kept.append(1)
        if entry is None or entry is Ellipsis:
            continue
        if axis == len(shape):
            raise too_many(len(shape), sum(e is not None and e is not Ellipsis for e in entries))
        if isinstance(entry, tuple):
            kept.append(_slice_extent(entry, shape[axis]))
        else:
            _check_known(entry, axis, shape[axis])
            if isinstance(entry, Abstract):
                arrays.append(entry.shape)
            if not places:
                position = len(kept)
            places.append(place)
        axis += 1
    if places and places[-1] - places[0] >= len(places):
        position = 0
    block = broadcast_shapes(*arrays) if arrays else ()
    return (*kept[:position], *block, *kept[position:], *shape[axis:])


def _wrong_index(xp: Any, shape: tuple[int, ...], index: Iterable[Any]) -> IndexingError | None:
    """What to say of the first index that is out of bounds for an array of this shape; None where there is none."""
    axis = 0
    for entry in index:
        if entry is None or entry is Ellipsis:
            continue
        extent = shape[axis]
        if not isinstance(entry, slice):
            array = xp.asarray(entry, dtype="int64")
            wrong = array[(array < -extent) | (array >= extent)]
            if wrong.size:
                return _out_of_bounds(int(wrong.reshape(-1)[0]), axis, extent)
        axis += 1
    return None


def _explained(err: Exception, xp: Any, shape: tuple[int, ...], index: tuple[Any, ...], value: Any) -> TinygraphError:
    """NumPy's failure to index an array of this shape, in our words."""
    if isinstance(err, ValueError):
        return ShapeError(
            "the value does not broadcast to the part it is written to",
            expected="the shape of the indexed part, or extents of 1",
            actual=shape_text(value.shape),
        )
    return _wrong_index(xp, shape, index) or ShapeError(
        "the index arrays do not broadcast together",
        expected="equal extents, or 1, counted from the last axis",
        actual=" and ".join(shape_text(e.shape) for e in index if hasattr(e, "shape")),
    )


# --- operations ---------------------------------------------------------------------------------------------------


class Indexing(Op):
    """Base of the operations that have an index."""

    idx: Template
    structural = True
    #: Number of inputs before the inputs of the index.
    leading: ClassVar[int] = 1

    @property
    def host(self) -> tuple[int, ...]:
        """The scalars of the index: they decide which part is read."""
        return tuple(i for i, kind in enumerate(_markers(self.idx), self.leading) if kind == SCALAR)

    def __str__(self) -> str:
        return self.name + _text(self.idx)

    def known(self, indices: Sequence[Abstract]) -> list[Any]:
        """The entries of the index with what is known of its inputs."""
        return _fill(self.idx, [a if a.ndim else a.value for a in indices])

    def index(self, xp: Any, shape: tuple[int, ...], indices: Sequence[Any]) -> tuple[Any, ...]:
        """The index into an array of this shape, as an array library takes it."""
        kinds = _markers(self.idx)
        if not kinds:
            return _fixed_index(self.idx)
        entries = _fill(self.idx, [int(i) if kind == SCALAR else i for kind, i in zip(kinds, indices, strict=True)])
        index = _with_slices(entries)
        if xp.name != "numpy" and (wrong := _wrong_index(xp, shape, index)):
            raise wrong  # NumPy looks for itself, CuPy would wrap the index around
        return index


class Subtensor(Indexing):
    """``x[…]`` with integers and slices: a view."""

    idx: Template

    view = True

    def infer(self, x: Abstract, *indices: Abstract) -> Abstract:
        entries = self.known(indices)
        shape = _indexed_shape(entries, x.shape)
        value = x.value
        if isinstance(value, tuple) and entries:
            (entry,) = entries
            if isinstance(entry, tuple):
                value = None if SCALAR in entry else value[slice(*entry)]
            else:
                value = None if entry == SCALAR else value[entry]
        return Abstract(x.type.with_shape(shape), value)

    def is_identity(self, x: Abstract, *indices: Abstract) -> bool:
        return all(
            entry == FULL
            or (
                isinstance(entry, tuple)
                and n is not None
                and SCALAR not in entry
                and range(n)[slice(*entry)] == range(n)
            )
            for entry, n in zip(self.known(indices), x.shape, strict=False)
        )

    def compute(self, xp: Any, x: Any, *indices: Any) -> Any:
        index = self.index(xp, x.shape, indices)
        try:
            return x[(*index, ...)]  # with the ellipsis a single element, too, is an array and a view
        except IndexError as err:
            raise _explained(err, xp, x.shape, index, None) from err

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        x, *indices = inputs
        (g,) = cotangents
        return [lambda: IncSubtensor(self.idx)(zeros_of(x, g.dtype), g, *indices), *[None] * len(indices)]


class AdvancedSubtensor(Indexing):
    """``x[…]`` with at least one integer array."""

    idx: Template

    @property
    def name(self) -> str:
        return "advanced_subtensor"

    def infer(self, x: Abstract, *indices: Abstract) -> TensorType:
        return x.type.with_shape(_indexed_shape(self.known(indices), x.shape))

    def compute(self, xp: Any, x: Any, *indices: Any) -> Any:
        index = self.index(xp, x.shape, indices)
        *before, last = self.idx
        try:
            if last == ARRAY and all(entry == FULL for entry in before) and x.flags.c_contiguous:
                return xp.take(x, index[-1], axis=len(before))  # the same, faster
            return x[index]
        except IndexError as err:
            raise _explained(err, xp, x.shape, index, None) from err

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        x, *indices = inputs
        (g,) = cotangents
        return [lambda: AdvancedIncSubtensor(self.idx)(zeros_of(x, g.dtype), g, *indices), *[None] * len(indices)]


class Writing(Indexing):
    """Base of the operations that give ``x`` with ``x[…]`` replaced by ``y`` (``set``) or incremented by it.

    Bools are incremented by "or".
    """

    set: bool
    leading = 2

    def infer(self, x: Abstract, y: Abstract, *indices: Abstract) -> TensorType:
        if x.dtype != y.dtype:
            raise DtypeError("what is written has the dtype of the tensor", expected=x.dtype, actual=y.dtype)
        part = _indexed_shape(self.known(indices), x.shape)
        BroadcastTo().infer(y, Abstract(TensorType("int64", (len(part),)), part))  # raises where it does not fit
        return x.type

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]


class IncSubtensor(Writing):
    """``x`` after ``x[…] += y`` or ``x[…] = y``, with integers and slices."""

    idx: Template
    set: bool = False

    @property
    def name(self) -> str:
        return "set_subtensor" if self.set else "inc_subtensor"

    def compute(self, xp: Any, x: Any, y: Any, *indices: Any) -> Any:
        out = xp.array(x, order="C")
        index = self.index(xp, out.shape, indices)
        try:
            part = out[(*index, ...)]
            if self.set:
                part[...] = y
            else:
                xp.add(part, y, out=part)
        except (IndexError, ValueError) as err:
            raise _explained(err, xp, out.shape, index, y) from err
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        _, y, *indices = inputs
        (g,) = cotangents
        return [
            (lambda: IncSubtensor(self.idx, set=True)(g, constant(0, dtype=g.dtype), *indices)) if self.set else g,
            lambda: sum_to_like(Subtensor(self.idx)(g, *indices), y),
            *[None] * len(indices),
        ]


class AdvancedIncSubtensor(Writing):
    """``x`` after ``x[…] += y`` or ``x[…] = y``, with at least one integer array.

    Where positions repeat, increments add up, and of the values set the last in C order stays.
    """

    idx: Template
    set: bool = False

    @property
    def name(self) -> str:
        return "advanced_set_subtensor" if self.set else "advanced_inc_subtensor"

    def compute(self, xp: Any, x: Any, y: Any, *indices: Any) -> Any:
        out = xp.array(x, order="C")
        index = self.index(xp, out.shape, indices)
        try:
            if self.set:
                _set_elements(xp, out, index, y)
            elif self.idx == (ARRAY,) and out.ndim > 1:
                _add_rows(xp, out, index[0], y)
            else:
                _add_elements(xp, out, index, y)
        except (IndexError, ValueError) as err:
            raise _explained(err, xp, out.shape, index, y) from err
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        x, y, *indices = inputs
        (g,) = cotangents

        def gx() -> Any:
            return AdvancedIncSubtensor(self.idx, set=True)(g, constant(0, dtype=g.dtype), *indices)

        def gy() -> Any:
            part = AdvancedSubtensor(self.idx)(g, *indices)
            if self.set and not _distinct(indices):
                part = switch(self._stays(x, part, indices), part, constant(0, dtype=g.dtype))
            return sum_to_like(part, y)

        return [gx if self.set else g, gy, *[None] * len(indices)]

    def _stays(self, x: Any, part: Any, indices: Sequence[Any]) -> Any:
        """Which elements of the part are not overwritten by a later one: each writes its number, and looks for it."""
        numbers = Enumerate()(part)
        written = AdvancedIncSubtensor(self.idx, set=True)(zeros_of(x, "int64"), numbers, *indices)
        return eq(AdvancedSubtensor(self.idx)(written, *indices), numbers)


def _set_elements(xp: Any, out: Any, index: tuple[Any, ...], values: Any) -> None:
    """``out[index] = values``; where positions repeat, the last value in C order stays."""
    if xp.name == "numpy":
        # It writes in the order in which the index arrays lie in memory.
        out[tuple(xp.asarray(e, order="C") if hasattr(e, "shape") else e for e in index)] = values
        return
    # Elsewhere writes race: only the last to each position may be made.
    positions = xp.arange(out.size).reshape(out.shape)[index]
    values = xp.broadcast_to(values, positions.shape).reshape(-1)
    positions = positions.reshape(-1)
    order = xp.argsort(positions, kind="stable")
    ordered = positions[order]
    is_last = xp.ones(ordered.shape, dtype=bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    last = order[is_last]
    out.reshape(-1)[positions[last]] = values[last]


def _add_rows(xp: Any, out: Any, rows: Any, values: Any) -> None:
    """``out[rows] += values`` with repeated rows; libraries are much faster at this in one dimension."""
    width = math.prod(out.shape[1:])
    starts = (xp.arange(out.shape[0]) * width)[rows]
    elements = starts[..., None] + xp.arange(width)
    values = xp.broadcast_to(values, (*rows.shape, *out.shape[1:]))
    xp.scatter_add(out.reshape(-1), elements.reshape(-1), values.reshape(-1))


def _add_elements(xp: Any, out: Any, index: tuple[Any, ...], values: Any) -> None:
    """``out[index] += values`` with repeated positions."""
    # NumPy (2.4) adds a vector of values wrongly where the index array has more dimensions than the vector.
    missing = max(e.ndim for e in index if hasattr(e, "ndim")) - values.ndim
    xp.scatter_add(out, index, values.reshape((1,) * missing + values.shape) if missing > 0 else values)


def _distinct(indices: Sequence[Any]) -> bool:
    """True for the indices of one mask, of which no two are alike."""
    owner = indices[0].owner
    return owner is not None and isinstance(owner.op, Nonzero) and tuple(indices) == owner.outputs


class Enumerate(Op):
    """The numbers of a tensor's elements in C order, in its shape."""

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_dtype("int64")

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.arange(x.size, dtype="int64").reshape(x.shape)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


class Nonzero(Op):
    """For each axis the indices of the elements that are not zero, as int64 vectors of one length."""

    def infer(self, x: Abstract) -> list[Abstract]:
        if x.ndim == 0:
            raise ShapeError(
                "a scalar has no axis for nonzero to count along",
                expected="at least 1 dimension",
                actual=str(x.type),
                hint="give it an axis first, as x[None]",
            )
        if isinstance(x.value, tuple) and None not in x.value:
            found = tuple(i for i, value in enumerate(x.value) if value)
            return [Abstract(TensorType("int64", (len(found),)), found)]
        return [Abstract(TensorType("int64", (0 if 0 in x.shape else None,)))] * x.ndim

    def compute(self, xp: Any, x: Any) -> Any:
        found = xp.nonzero(x)
        return found[0] if x.ndim == 1 else found

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


class FitMask(Op):
    """A mask, which must have the extents of the axes that it indexes: the second input."""

    view = True
    host = (1,)

    @property
    def name(self) -> str:
        return "mask"

    def infer(self, mask: Abstract, extents: Abstract) -> TensorType:
        wanted = extents.extents()
        shape = [n if m is None else m for n, m in zip(wanted, mask.shape, strict=True)]
        _check_mask(shape, wanted)
        return mask.type.with_shape(shape)

    def is_identity(self, mask: Abstract, extents: Abstract) -> bool:
        return mask.type.known and mask.shape == extents.value

    def compute(self, xp: Any, mask: Any, extents: Any) -> Any:
        _check_mask(mask.shape, ints(extents))
        return mask

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None]


def _check_mask(shape: Sequence[Extent], wanted: Sequence[Extent]) -> None:
    if any(n is not None and n != m for n, m in zip(wanted, shape, strict=True)):
        raise ShapeError(
            "a mask has the extents of the axes that it indexes",
            expected=shape_text(wanted),
            actual=shape_text(shape),
        )
