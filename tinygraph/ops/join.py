"""Join tensors along an axis, and split them again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.layout import AxisExtent, DimShuffle, ints, zeros_of
from tinygraph.types import Abstract, Extent, TensorType, shape_text

__all__ = ["Join", "Split"]

Vjp = Sequence[Any]


class Join(Op):
    """Tensors of one dtype, one after the other along an existing axis."""

    axis: int

    structural = True

    def infer(self, *inputs: Abstract) -> Abstract:
        first = inputs[0]
        if any(x.dtype != first.dtype for x in inputs):
            raise DtypeError("joined tensors need one dtype", actual=", ".join(x.dtype for x in inputs))
        if any(x.ndim != first.ndim for x in inputs) or not 0 <= self.axis < first.ndim:
            raise ShapeError(
                f"joined tensors need one number of dimensions, above the axis {self.axis}",
                actual=", ".join(str(x.type) for x in inputs),
            )
        shape: list[Extent] = []
        for axis, extents in enumerate(zip(*[x.shape for x in inputs], strict=True)):
            if axis == self.axis:
                shape.append(None if None in extents else sum(extents))
                continue
            known = {n for n in extents if n is not None}
            if len(known) > 1:
                raise ShapeError(
                    f"tensors joined along axis {self.axis} must agree on the other axes",
                    expected=f"one extent of axis {axis}",
                    actual=" and ".join(shape_text(x.shape) for x in inputs),
                )
            shape.append(known.pop() if known else None)
        value = None
        if first.ndim == 1 and first.dtype[0] in "iub" and shape[0] is not None:
            parts = [x.value if isinstance(x.value, tuple) else (None,) * (x.shape[0] or 0) for x in inputs]
            value = tuple(itertools.chain(*parts))
        return Abstract(TensorType(first.dtype, tuple(shape)), value)

    def compute(self, xp: Any, *inputs: Any) -> Any:
        return xp.concatenate(inputs, axis=self.axis)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (g,) = cotangents
        if len(inputs) == 1:
            return [g]
        sizes = Join(0)(*[DimShuffle(("x",))(AxisExtent(self.axis)(x)) for x in inputs])
        return Split(self.axis, len(inputs))(g, sizes)


class Split(Op):
    """A tensor cut along an axis into ``parts`` pieces whose extents are the entries of the second input."""

    axis: int
    parts: int

    structural = True
    view = True
    host = (1,)

    def infer(self, x: Abstract, sizes: Abstract) -> list[TensorType]:
        if not 0 <= self.axis < x.ndim:
            raise ShapeError(f"there is no axis {self.axis} to split", actual=str(x.type))
        extents = sizes.extents()
        total = x.shape[self.axis]
        if len(extents) != self.parts:
            raise ShapeError(
                "a split needs one size for each piece", expected=f"{self.parts} sizes", actual=f"{len(extents)}"
            )
        if None not in extents and total is not None and (sum(extents) != total or min(extents) < 0):  # type: ignore
            raise ShapeError(
                f"the sizes of a split must add up to the extent of axis {self.axis}",
                expected=f"a sum of {total}",
                actual=shape_text(extents),
            )
        return [x.type.with_shape((*x.shape[: self.axis], n, *x.shape[self.axis + 1 :])) for n in extents]

    def compute(self, xp: Any, x: Any, sizes: Any) -> Any:
        ends = list(itertools.accumulate(ints(sizes)))
        if ends[-1] != x.shape[self.axis]:
            raise ShapeError(
                f"the sizes of a split must add up to the extent of axis {self.axis}",
                expected=f"a sum of {x.shape[self.axis]}",
                actual=str(ints(sizes)),
            )
        return tuple(xp.split(x, ends[:-1], axis=self.axis))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        dtype = next(g.dtype for g in cotangents if g is not None)
        parts = [zeros_of(out, dtype) if g is None else g for out, g in zip(outputs, cotangents, strict=True)]
        return [Join(self.axis)(*parts), None]
