"""The convolution of stacks of images with filters, for any number of spatial dimensions, and its two transposes.

With ``x`` the images, ``w`` the filters and ``y`` the output, all three operations belong to one trilinear form: each
is the derivative of the other two, so derivatives of any order stay among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.layout import Shape, ints
from tinygraph.ops.windows import Patches
from tinygraph.types import Abstract, Extent, TensorType, shape_text

__all__ = ["Border", "Conv", "ConvInputs", "ConvWeights", "conv_extent", "conv_pads"]

Vjp = Sequence[Any]

#: The border of one axis: ``"full"``, ``"half"``, or how many zeros are before and behind it.
Border = str | tuple[int, int]


def conv_pads(border: Any, span: Any) -> tuple[Any, Any]:
    """How many zeros one axis gets before and behind it, for a filter that spans ``span`` elements."""
    if border == "full":
        return span - 1, span - 1
    return (span // 2, span // 2) if border == "half" else border


def conv_extent(n: Any, size: Any, border: Any, stride: Any, dilation: Any) -> Any:
    """The number of positions of a filter along one axis; None if an extent is None.

    Parameters
    ----------
    n, size
        Extents of the image and of the filter; numbers, variables or None.
    border
        ``"full"``, ``"half"`` or a pair.
    stride, dilation
        Distances of positions, and of elements of the filter.

    >>> conv_extent(7, 3, (0, 0), 1, 1), conv_extent(7, 3, "full", 2, 1), conv_extent(None, 3, "half", 1, 1)
    (5, 5, None)
    """
    if n is None or size is None:
        return None
    reach = (size - 1) * dilation + 1
    before, behind = conv_pads(border, reach)
    room = n + before + behind - reach
    return room // stride + 1


class Convolution(Op):
    """What the three operations share.

    Parameters
    ----------
    borders
        The zeros around the images, for each spatial axis.
    strides, dilation
        For each spatial axis the distance of neighbouring positions, and of neighbouring elements of a filter.
    groups
        Channels and filters are divided into this many groups, that have nothing to do with each other.
    flip
        Filters are reversed along the spatial axes: convolution; else correlation.
    unshared
        Each position has filters of its own.

    The shapes are: images (batch, channels, …), filters (filters, channels of a group, …), output (batch, filters, …);
    unshared filters are (filters, positions …, channels of a group, …).
    """

    borders: tuple[Border, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    flip: bool
    unshared: bool

    analytic = True

    @property
    def spatial(self) -> int:
        """The number of spatial dimensions."""
        return len(self.strides)

    @property
    def name(self) -> str:
        return f"conv{self.spatial}d"

    def fields(self) -> tuple[Any, ...]:
        return self.borders, self.strides, self.dilation, self.groups, self.flip, self.unshared

    # --- shapes ---

    def check(self, **operands: Abstract) -> None:
        """Refuse operands of the wrong number of dimensions or of dtypes that cannot be multiplied."""
        for label, operand in operands.items():
            layout = _LAYOUT["unshared filters" if label == "filters" and self.unshared else label]
            ndim = 2 + self.spatial * layout.count("…")
            if operand.ndim != ndim:
                raise ShapeError(
                    f"the {label} must have {ndim} dimensions, not {operand.ndim}",
                    expected=f"{layout}, with {self.spatial} axes for each …",
                    actual=str(operand.type),
                )
        dtypes = {operand.dtype for operand in operands.values()}
        if len(dtypes) > 1 or dtypes == {"bool"}:
            raise DtypeError(
                "a convolution needs numbers of one dtype", actual=" and ".join(str(o.type) for o in operands.values())
            )

    def output_shape(self, x: Sequence[Extent], w: Sequence[Extent]) -> tuple[Extent, ...]:
        """The shape of the output from those of images and filters; a ShapeError where they do not fit."""
        channels, filters, taken = x[1], w[0], w[-self.spatial - 1]
        for what, n in (("channels", channels), ("filters", filters)):
            if n is not None and n % self.groups:
                raise ShapeError(
                    f"{n} {what} cannot be divided into {self.groups} groups",
                    expected=f"a multiple of {self.groups}",
                    actual=str(n),
                )
        if channels is not None and taken is not None and channels != taken * self.groups:
            each = f" ({taken} in each of {self.groups} groups)" if self.groups > 1 else ""
            raise ShapeError(
                f"the images have {channels} channels, the filters take {taken * self.groups}{each}",
                expected="as many channels in the images as the filters take",
                actual=f"images {shape_text(x)}, filters {shape_text(w)}",
                hint="filters are (filters, channels of a group, …), images (batch, channels, …)",
            )
        out = tuple(
            self._positions(axis, n, size) for axis, (n, size) in enumerate(zip(x[2:], w[-self.spatial :], strict=True))
        )
        if self.unshared:
            given = w[1 : 1 + self.spatial]
            if any(n is not None and m is not None and n != m for n, m in zip(out, given, strict=True)):
                raise ShapeError(
                    "unshared filters are needed for every position",
                    expected=f"filters for {shape_text(out)} positions",
                    actual=shape_text(given),
                )
            out = tuple(m if n is None else n for n, m in zip(out, given, strict=True))
        return (x[0], filters, *out)

    def _positions(self, axis: int, n: Extent, size: Extent) -> Extent:
        if size == 0:
            raise ShapeError("a filter cannot be empty", expected="at least one element along every axis", actual="0")
        border, stride, dilation = self.borders[axis], self.strides[axis], self.dilation[axis]
        positions = conv_extent(n, size, border, stride, dilation)
        if positions is not None and positions < 1:
            reach = (size - 1) * dilation + 1  # type: ignore[operator]
            padded = n + sum(conv_pads(border, reach))
            raise ShapeError(
                f"a filter that spans {reach} elements does not fit into {padded} along spatial axis {axis}",
                expected=f"images of at least {reach} elements there, padding included",
                actual=f"{n} elements" + (f", {padded} with padding" if padded != n else ""),
                hint="use smaller filters, larger images or a wider border",
            )
        return positions

    def agree(self, x: Sequence[Extent], w: Sequence[Extent], y: Sequence[Extent]) -> None:
        """Refuse an output that images and filters of these shapes do not give."""
        wanted = self.output_shape(x, w)
        if any(n is not None and m is not None and n != m for n, m in zip(wanted, y, strict=True)):
            raise ShapeError(
                f"images {shape_text(x)} and filters {shape_text(w)} give an output {shape_text(wanted)}",
                expected=shape_text(wanted),
                actual=shape_text(y),
            )

    # --- values ---

    def _pointwise(self, w: Sequence[int]) -> bool:
        """True where each output depends on one place of the images, the one that it lies at."""
        return (
            not self.unshared
            and set(w[2:]) | set(self.strides) == {1}
            and not any(any(conv_pads(border, 1)) for border in self.borders)
        )

    def _stacked(self, x: Any) -> Any:
        """Values as a matrix (channels, positions) for each image and group; a view."""
        return x.reshape((len(x), self.groups, x.shape[1] // self.groups, math.prod(x.shape[2:])))

    def _patches(self, x: Sequence[int], w: Sequence[int], y: Sequence[int]) -> Patches:
        kernel = tuple(w[-self.spatial :])
        reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, self.dilation, strict=True)]
        pads = tuple(conv_pads(border, n)[0] for border, n in zip(self.borders, reach, strict=True))
        return Patches(tuple(x[1:]), kernel, tuple(y[2:]), pads, self.strides, self.dilation, w[0])

    def _flipped(self, w: Any) -> Any:
        return w[(..., *[slice(None, None, -1)] * self.spatial)] if self.flip else w

    def _matrices(self, xp: Any, w: Any) -> Any:
        """Filters as a matrix for each group; unshared, for each group and position, arranged by rows of positions."""
        w = self._flipped(w)
        positions = (w.shape[1], math.prod(w.shape[2 : 1 + self.spatial])) if self.unshared else ()
        elements = math.prod(w.shape[-self.spatial - 1 :])
        w = w.reshape((self.groups, w.shape[0] // self.groups, *positions, elements))
        return xp.moveaxis(w, 1, 3) if self.unshared else w

    def _rows(self, matrices: Any, rows: slice) -> Any:
        """The matrices that belong to some rows of positions, as a view where filters are shared."""
        if not self.unshared:
            return matrices
        part = matrices[:, rows]
        return part.reshape((self.groups, -1, *part.shape[3:]))

    def _columns(self, xp: Any, x: Any) -> Any:
        """Values by (channel, …, position …, image) as a matrix for each group, or for each group and position."""
        images = x.shape[-1]
        positions = math.prod(x.shape[-1 - self.spatial : -1])
        x = x.reshape((self.groups, -1, positions, images))
        return xp.swapaxes(x, 1, 2) if self.unshared else x.reshape((self.groups, -1, positions * images))

    def _output(self, xp: Any, y: Any, images: slice, rows: slice) -> Any:
        """A tile of the output as columns."""
        return self._columns(xp, xp.moveaxis(y[images, :, rows], 0, -1))


#: The axes of the operands.
_LAYOUT = {
    "images": "(batch, channels, …)",
    "filters": "(filters, channels of a group, …)",
    "unshared filters": "(filters, positions …, channels of a group, …)",
    "output": "(batch, filters, …)",
}


class Conv(Convolution):
    """Images and filters to the output."""

    def infer(self, x: Abstract, w: Abstract) -> TensorType:
        self.check(images=x, filters=w)
        return x.type.with_shape(self.output_shape(x.shape, w.shape))

    def compute(self, xp: Any, x: Any, w: Any) -> Any:
        shape: Any = self.output_shape(x.shape, w.shape)
        patches, matrices = self._patches(x.shape, w.shape, shape), self._matrices(xp, w)
        if self._pointwise(w.shape):
            return xp.matmul(matrices, self._stacked(x)).reshape(shape)
        y = xp.empty(shape, xp.result_type(x.dtype, w.dtype))
        for images, rows in patches.tiles(len(y), y.itemsize):
            columns = self._columns(xp, patches.gather(xp, x[images], rows))
            product = xp.matmul(self._rows(matrices, rows), columns)
            if self.unshared:
                product = xp.swapaxes(product, 1, 2)
            target = xp.moveaxis(y[images, :, rows], 0, -1)
            target[...] = product.reshape(target.shape)
        return y

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x, w), (g,) = inputs, cotangents
        return [
            lambda: ConvInputs(*self.fields())(g, w, Shape()(x)),
            lambda: ConvWeights(*self.fields())(x, g, Shape()(w)),
        ]


class Transpose(Convolution):
    """A transpose of ``Conv``, whose third input is the shape of its result."""

    host = (2,)

    def shape_like(self, inputs: Vjp) -> Any:
        owner = inputs[2].owner
        return owner.inputs[0] if owner is not None and isinstance(owner.op, Shape) else None

    def claimed(self, shape: Abstract, unshared: bool = False) -> tuple[Extent, ...]:
        """The extents that the shape names, as many as the result has dimensions."""
        extents, wanted = shape.extents(), 2 + self.spatial * (2 if unshared else 1)
        if len(extents) != wanted:
            raise ShapeError("the shape has another number of entries", expected=str(wanted), actual=str(len(extents)))
        return extents


class ConvInputs(Transpose):
    """Output and filters to images of a given shape: the transpose of ``Conv`` for fixed filters."""

    @property
    def name(self) -> str:
        return f"conv{self.spatial}d_grad_wrt_inputs"

    def infer(self, y: Abstract, w: Abstract, shape: Abstract) -> TensorType:
        self.check(output=y, filters=w)
        given = self.claimed(shape)
        taken = w.shape[-self.spatial - 1]
        channels = given[1] if given[1] is not None or taken is None else taken * self.groups
        x = (y.shape[0] if given[0] is None else given[0], channels, *given[2:])
        self.agree(x, w.shape, y.shape)
        return y.type.with_shape(x)

    def compute(self, xp: Any, y: Any, w: Any, shape: Any) -> Any:
        x_shape = ints(shape)
        self.agree(x_shape, w.shape, y.shape)
        patches, matrices = self._patches(x_shape, w.shape, y.shape), xp.swapaxes(self._matrices(xp, w), -1, -2)
        if self._pointwise(w.shape):
            return xp.matmul(matrices, self._stacked(y)).reshape(x_shape)
        x = xp.zeros(x_shape, xp.result_type(y.dtype, w.dtype))
        for images, rows in patches.tiles(len(x), x.itemsize):
            columns = xp.matmul(self._rows(matrices, rows), self._output(xp, y, images, rows))
            if self.unshared:
                columns = xp.swapaxes(columns, 1, 2)
            patches.scatter_add(xp, columns, x[images], rows)
        return x

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (y, w, _), (g,) = inputs, cotangents
        return [
            lambda: Conv(*self.fields())(g, w),
            lambda: ConvWeights(*self.fields())(g, y, Shape()(w)),
            None,
        ]


class ConvWeights(Transpose):
    """Images and output to filters of a given shape: the transpose of ``Conv`` for fixed images."""

    @property
    def name(self) -> str:
        return f"conv{self.spatial}d_grad_wrt_weights"

    def infer(self, x: Abstract, y: Abstract, shape: Abstract) -> TensorType:
        self.check(images=x, output=y)
        given = self.claimed(shape, self.unshared)
        channels = x.shape[1]
        known = (
            y.shape[1],
            *(y.shape[2:] if self.unshared else ()),
            None if channels is None else channels // self.groups,
            *[None] * self.spatial,
        )
        w = tuple(m if n is None else n for n, m in zip(given, known, strict=True))
        self.agree(x.shape, w, y.shape)
        return x.type.with_shape(w)

    def compute(self, xp: Any, x: Any, y: Any, shape: Any) -> Any:
        w_shape = ints(shape)
        self.agree(x.shape, w_shape, y.shape)
        w = xp.zeros(w_shape, xp.result_type(x.dtype, y.dtype))
        patches = self._patches(x.shape, w_shape, y.shape)
        sums = self._matrices(xp, w)
        for images, rows in patches.tiles(len(x), x.itemsize):
            columns = self._columns(xp, patches.gather(xp, x[images], rows))
            product = xp.matmul(self._output(xp, y, images, rows), xp.swapaxes(columns, -1, -2))
            part = sums[:, rows] if self.unshared else sums
            part += product.reshape(part.shape)
        return self._filters(xp, sums, w_shape)

    def _filters(self, xp: Any, matrices: Any, shape: Sequence[int]) -> Any:
        """Filters from matrices: the inverse of ``_matrices``."""
        if self.unshared:
            matrices = xp.moveaxis(matrices, 3, 1)
        return xp.ascontiguousarray(self._flipped(matrices.reshape(shape)))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x, y, _), (g,) = inputs, cotangents
        return [
            lambda: ConvInputs(*self.fields())(y, g, Shape()(x)),
            lambda: Conv(*self.fields())(x, g),
            None,
        ]
