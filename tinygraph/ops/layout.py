"""Operations that only move, repeat or add up values: shape, dimshuffle, reshape, broadcast and its inverse.

The shape arguments of these operations are ordinary integer vectors, so shapes may be computed; when a function is
specialised to concrete input shapes they become constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.graph import Op
from tinygraph.types import Abstract, Extent, TensorType, shape_text

__all__ = [
    "AxisExtent",
    "BroadcastTo",
    "DimShuffle",
    "Reshape",
    "Shape",
    "SpecifyShape",
    "SumTo",
    "broadcast_like",
    "common_shape",
    "ints",
    "same_shape",
    "sum_to_like",
    "zeros_of",
]

#: Variables of one node, by position.
Vjp = Sequence[Any]


def ints(values: Any) -> tuple[int, ...]:
    """The entries of an integer vector as Python ints."""
    return tuple(values.tolist())


class Shape(Op):
    """The shape of a tensor, as an int64 vector."""

    def infer(self, x: Abstract) -> Abstract:
        return Abstract(TensorType("int64", (x.ndim,)), x.shape)

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.asarray(x.shape, dtype="int64")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


class AxisExtent(Op):
    """The extent of one axis, as an int64 scalar."""

    axis: int

    @property
    def name(self) -> str:
        return f"shape[{self.axis}]"

    def __str__(self) -> str:
        return self.name

    def infer(self, x: Abstract) -> Abstract:
        return Abstract(TensorType("int64"), x.shape[self.axis])

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.asarray(x.shape[self.axis], dtype="int64")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


class DimShuffle(Op):
    """Axes reordered, inserted (``"x"``, extent 1) and, where their extent is 1, dropped."""

    pattern: tuple[int | str, ...]

    view = True
    structural = True

    @property
    def name(self) -> str:
        return "dimshuffle"

    def __str__(self) -> str:
        return f"dimshuffle({', '.join(map(str, self.pattern))})"

    def infer(self, x: Abstract) -> Abstract:
        kept = [axis for axis in self.pattern if axis != "x"]
        for axis in kept:
            if not isinstance(axis, int) or not 0 <= axis < x.ndim or kept.count(axis) > 1:
                raise ShapeError(
                    "a dimshuffle pattern names each axis once, or 'x' for a new one",
                    expected=f"axes 0 to {x.ndim - 1} and 'x'",
                    actual=str(self.pattern),
                )
        for axis, n in enumerate(x.shape):
            if axis not in kept and n not in (None, 1):
                raise ShapeError(
                    f"only an axis of extent 1 can be dropped; axis {axis} has extent {n}",
                    expected=f"axis {axis} in the pattern",
                    actual=str(self.pattern),
                )
        shape = tuple(1 if axis == "x" else x.shape[axis] for axis in self.pattern)  # type: ignore[index]
        value = x.value
        if self.pattern == ("x",) and not isinstance(value, tuple):
            value = (value,) if x.dtype[0] in "iub" else None
        elif self.pattern == () and isinstance(value, tuple):
            value = value[0]
        elif self.pattern != (0,):
            value = None
        return Abstract(TensorType(x.dtype, shape), value)

    def is_identity(self, x: Abstract) -> bool:
        return self.pattern == tuple(range(x.ndim))

    def compute(self, xp: Any, x: Any) -> Any:
        kept = [axis for axis in self.pattern if axis != "x"]
        dropped = [axis for axis in range(x.ndim) if axis not in kept]
        if any(x.shape[axis] != 1 for axis in dropped):
            raise ShapeError("only an axis of extent 1 can be dropped", actual=shape_text(x.shape))
        moved = xp.transpose(x, dropped + kept)[(0,) * len(dropped)] if dropped else xp.transpose(x, kept)
        if len(kept) == len(self.pattern):
            return moved
        return moved[tuple(None if axis == "x" else slice(None) for axis in self.pattern)]

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,) = inputs
        position = {axis: i for i, axis in enumerate(self.pattern)}
        return [DimShuffle(tuple(position.get(axis, "x") for axis in range(x.ndim)))(cotangents[0])]


class Reshape(Op):
    """Values in C order under another shape; the second input is the shape, in which one entry may be -1."""

    view = True
    structural = True
    host = (1,)

    def infer(self, x: Abstract, shape: Abstract) -> TensorType:
        extents = list(shape.extents())
        free = [i for i, n in enumerate(extents) if n == -1]
        if len(free) > 1 or any(n is not None and n < -1 for n in extents):
            raise ShapeError("a new shape has extents from 0, and at most one -1", actual=shape_text(extents))
        unknown = [i for i, n in enumerate(extents) if n is None]
        size = math.prod(x.shape) if x.type.known else None  # type: ignore[arg-type]
        known = math.prod(n for n in extents if n is not None and n != -1)
        if size is not None and not unknown:
            if free and known and size % known == 0:
                extents[free[0]] = size // known
            elif free or known != size:
                raise ShapeError(
                    f"cannot reshape {shape_text(x.shape)}, {size} elements, to {shape_text(extents)}",
                    expected=f"a shape of {size} elements",
                    actual=f"{shape_text(extents)}" + ("" if free else f", {known} elements"),
                )
        elif size is not None and len(unknown) == 1 and not free and known and size % known == 0:
            extents[unknown[0]] = size // known
        return x.type.with_shape(tuple(None if n == -1 else n for n in extents))

    def shape_like(self, inputs: Vjp) -> Any:
        return _measured(inputs[1])

    def is_identity(self, x: Abstract, shape: Abstract) -> bool:
        return x.type.known and x.shape == self.infer(x, shape).shape

    def compute(self, xp: Any, x: Any, shape: Any) -> Any:
        return x.reshape(ints(shape))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [Reshape()(cotangents[0], Shape()(inputs[0])), None]


class BroadcastTo(Op):
    """Values repeated along axes of extent 1 and along new leading axes; the second input is the shape."""

    view = True
    structural = True
    host = (1,)

    @property
    def name(self) -> str:
        return "broadcast_to"

    def infer(self, x: Abstract, shape: Abstract) -> TensorType:
        extents = list(shape.extents())
        lead = len(extents) - x.ndim
        fits = lead >= 0 and all(n is None or n >= 0 for n in extents)
        for axis, n in enumerate(x.shape if fits else ()):
            m = extents[lead + axis]
            if m is None and n not in (None, 1):
                extents[lead + axis] = n
            elif m is not None and n not in (None, 1, m):
                fits = False
        if not fits:
            raise ShapeError(
                f"shape {shape_text(x.shape)} does not broadcast to {shape_text(extents)}",
                expected="extents that are equal, or 1, counted from the last axis",
                actual=f"{shape_text(x.shape)} to {shape_text(extents)}",
            )
        return x.type.with_shape(extents)

    def shape_like(self, inputs: Vjp) -> Any:
        return _measured(inputs[1])

    def is_identity(self, x: Abstract, shape: Abstract) -> bool:
        return x.type.known and x.shape == self.infer(x, shape).shape

    def compute(self, xp: Any, x: Any, shape: Any) -> Any:
        return xp.broadcast_to(x, ints(shape))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [sum_to_like(cotangents[0], inputs[0]), None]


class SumTo(Op):
    """Broadcasting undone: sums over the axes along which a tensor of the given shape was repeated.

    Bools are combined by "or".
    """

    structural = True
    view = True
    host = (1,)

    @property
    def name(self) -> str:
        return "sum_to"

    def infer(self, g: Abstract, shape: Abstract) -> TensorType:
        extents = shape.extents()
        lead = g.ndim - len(extents)
        for n, m in zip(g.shape[max(lead, 0) :], extents, strict=False):
            if lead < 0 or (n is not None and m not in (None, 1, n)):
                raise ShapeError(
                    f"{shape_text(g.shape)} is no broadcast of {shape_text(extents)}",
                    expected=shape_text(extents),
                    actual=shape_text(g.shape),
                )
        return g.type.with_shape(extents)

    def shape_like(self, inputs: Vjp) -> Any:
        return _measured(inputs[1])

    def is_identity(self, g: Abstract, shape: Abstract) -> bool:
        return g.type.known and g.shape == shape.value

    def compute(self, xp: Any, g: Any, shape: Any) -> Any:
        extents = ints(shape)
        lead = g.ndim - len(extents)
        axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(extents) if n == 1 and g.shape[lead + i] != 1)
        if not axes:
            return g
        out = xp.any(g, axis=axes) if g.dtype == bool else xp.sum(g, axis=axes, dtype=g.dtype)
        return out.reshape(extents)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [broadcast_like(cotangents[0], inputs[0]), None]


class SpecifyShape(Op):
    """The tensor itself, with extents that the user vouches for; they are checked at run time.

    Parameters
    ----------
    shape
        Extents, None where nothing is claimed.
    """

    shape: tuple[Extent, ...]

    view = True
    structural = True

    @property
    def name(self) -> str:
        return "specify_shape"

    def infer(self, x: Abstract) -> Abstract:
        if not _agree(x.shape, self.shape):
            raise ShapeError(
                "the tensor does not have the specified shape",
                expected=shape_text(self.shape),
                actual=shape_text(x.shape),
            )
        shape = tuple(n if n is not None else m for n, m in zip(self.shape, x.shape, strict=True))
        return Abstract(x.type.with_shape(shape), x.value)

    def is_identity(self, x: Abstract) -> bool:
        return x.type.known

    def compute(self, xp: Any, x: Any) -> Any:
        if not _agree(x.shape, self.shape):
            raise ShapeError(
                "the tensor does not have the specified shape",
                expected=shape_text(self.shape),
                actual=shape_text(x.shape),
            )
        return x

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [cotangents[0]]


def _measured(shape: Any) -> Any:
    """The tensor that a shape vector is the shape of, or None."""
    return shape.owner.inputs[0] if shape.owner is not None and isinstance(shape.owner.op, Shape) else None


def _agree(shape: Sequence[Extent], claimed: Sequence[Extent]) -> bool:
    return len(shape) == len(claimed) and all(
        n is None or m is None or n == m for n, m in zip(shape, claimed, strict=True)
    )


def same_shape(a: Any, b: Any) -> bool:
    """True where two tensors have the same shape in every case."""
    return a.like is b.like or (a.type.known and a.type.shape == b.type.shape)


def common_shape(tensors: Sequence[Any]) -> Any:
    """One of some tensors that all others broadcast to in every case, or None where that depends on their extents."""
    wide = max(tensors, key=lambda v: v.ndim)
    for other in tensors:
        if other.like is not wide.like and any(n != 1 for n in other.type.shape):
            if wide.ndim > other.ndim or any(n != 1 for n in wide.type.shape):
                return None
            wide = other
    return wide


def sum_to_like(g: Any, x: Any, output: Any = None) -> Any:
    """The cotangent ``g`` of a broadcast ``x`` summed to the shape of ``x``; ``g`` itself where nothing was broadcast.

    ``output`` is the tensor that ``g`` is a cotangent of, whose shape ``g`` has.
    """
    return g if same_shape(g, x) or (output is not None and same_shape(output, x)) else SumTo()(g, Shape()(x))


def broadcast_like(x: Any, model: Any) -> Any:
    """``x`` broadcast to the shape of ``model``."""
    if same_shape(x, model):
        return x
    return BroadcastTo()(x, Shape()(model))


def zeros_of(x: Any, dtype: str | None = None) -> Any:
    """Zeros of the shape of ``x``, by default of its dtype; they take no memory until they are written to."""
    zero = x.type.constant_class(TensorType(dtype or x.dtype), 0)
    return zero if x.ndim == 0 else BroadcastTo()(zero, Shape()(x))
