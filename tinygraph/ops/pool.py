"""Pooling: the largest value, the sum or the average in windows that slide over the last axes.

A window is a product of intervals, so its maximum and its sum are taken axis by axis: the operations know one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import located, wide_dtype
from tinygraph.ops.conv_arguments import steps
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.creation import ones
from tinygraph.ops.layout import DimShuffle, Shape, ints
from tinygraph.ops.pool_symbolic import is_symbolic, pooled, sizes
from tinygraph.ops.scalar import mul, true_div
from tinygraph.ops.shape import extent
from tinygraph.ops.windows import span
from tinygraph.types import Abstract, Extent, TensorType, is_float, shape_text

__all__ = [
    "MaxPool",
    "MaxPoolGrad",
    "MaxPoolRead",
    "SumPool",
    "SumPoolGrad",
    "max_pool_2d_same_size",
    "pool_2d",
    "pool_3d",
]

Vjp = Sequence[Any]


class Pool(Op):
    """What the operations share.

    Parameters
    ----------
    axis
        The axis that windows slide along.
    window, stride
        The extent of a window, and the distance of neighbouring ones.
    pad
        How far the first window begins before the axis, and the last one may end behind it.
    partial
        Windows that leave the axis at its end count, too (``ignore_border=False``).
    """

    axis: int
    window: int
    stride: int
    pad: int
    partial: bool

    def fields(self) -> tuple[Any, ...]:
        return self.axis, self.window, self.stride, self.pad, self.partial

    def windows(self, n: Extent) -> Extent:
        """How many windows there are."""
        if n is None:
            return None
        room = n + 2 * self.pad - self.window
        if n == 0 and (self.partial or room >= 0):
            raise ShapeError(
                "an empty axis has nothing in its windows", expected="at least one element", actual=f"axis {self.axis}"
            )
        if not self.partial:
            return max(room // self.stride + 1, 0)
        if self.stride >= self.window:
            return (n - 1) // self.stride + 1
        return max((room - 1) // self.stride + 1, 0) + 1

    def pooled(self, shape: Sequence[Extent]) -> tuple[Extent, ...]:
        """The shape with one element for each window."""
        return (*shape[: self.axis], self.windows(shape[self.axis]), *shape[self.axis + 1 :])

    def parts(self, x: Any, *pooled: Any) -> Iterator[tuple[Any, ...]]:
        """For each element of a window this element of all windows that have it, and what belongs to these windows."""
        before = (slice(None),) * self.axis
        windows: Any = self.windows(x.shape[self.axis])
        for i in range(self.window):
            positions, places = span(i, self.stride, self.pad, x.shape[self.axis], windows)
            yield x[(*before, places)], *(y[(*before, positions)] for y in pooled)

    def agree(self, shape: Sequence[Extent], pooled: Sequence[Extent]) -> None:
        wanted = self.pooled(shape)
        if any(n is not None and m is not None and n != m for n, m in zip(wanted, pooled, strict=True)):
            raise ShapeError(
                f"pooling {shape_text(shape)} gives another shape",
                expected=shape_text(wanted),
                actual=shape_text(pooled),
            )


class MaxPool(Pool):
    """The largest value in each window; NaN where there is one, as in NumPy."""

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_shape(self.pooled(x.shape))

    def compute(self, xp: Any, x: Any) -> Any:
        lowest = -xp.inf if is_float(x.dtype.name) else False if x.dtype == bool else xp.iinfo(x.dtype).min
        y = xp.full(self.pooled(x.shape), lowest, x.dtype)
        for part, target in self.parts(x, y):
            xp.maximum(target, part, out=target)
        return y

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [MaxPoolGrad(*self.fields())(inputs[0], outputs[0], cotangents[0])]


class MaxPoolGrad(Pool):
    """Values of windows given to the elements that are the largest in them: to each of them, where several are."""

    def infer(self, x: Abstract, y: Abstract, g: Abstract) -> TensorType:
        self.agree(x.shape, y.shape)
        self.agree(x.shape, g.shape)
        return g.type.with_shape(x.shape)

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any, y: Any, g: Any) -> Any:
        out = xp.zeros(x.shape, g.dtype)
        for (part, largest, value), (target,) in zip(self.parts(x, y, g), self.parts(out), strict=True):
            target += _where(part == largest, value)
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None, MaxPoolRead(*self.fields())(inputs[0], inputs[1], cotangents[0])]


class MaxPoolRead(Pool):
    """The sum of those elements of the last input at whose places in the first a window has its largest value."""

    def infer(self, x: Abstract, y: Abstract, values: Abstract) -> TensorType:
        self.agree(x.shape, y.shape)
        self.agree(values.shape, y.shape)
        return values.type.with_shape(y.shape)

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[1]

    def compute(self, xp: Any, x: Any, y: Any, values: Any) -> Any:
        out = xp.zeros(y.shape, values.dtype)
        for (part, largest, target), (value,) in zip(self.parts(x, y, out), self.parts(values), strict=True):
            target += _where(part == largest, value)
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None, MaxPoolGrad(*self.fields())(inputs[0], inputs[1], cotangents[0])]


def _where(chosen: Any, values: Any) -> Any:
    """Values where they are chosen and zero elsewhere: also for infinities, and several times faster than ``where``."""
    return (chosen * values.view(f"i{values.itemsize}")).view(values.dtype)


class SumPool(Pool):
    """The sum of each window; bools are combined by "or"."""

    structural = True

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_shape(self.pooled(x.shape))

    def compute(self, xp: Any, x: Any) -> Any:
        y = xp.zeros(self.pooled(x.shape), x.dtype)
        for part, target in self.parts(x, y):
            target += part
        return y

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [SumPoolGrad(*self.fields())(cotangents[0], Shape()(inputs[0]))]


class SumPoolGrad(Pool):
    """Values of windows added to all their elements; the second input is the shape of the result."""

    structural = True
    host = (1,)

    def infer(self, g: Abstract, shape: Abstract) -> TensorType:
        extents = shape.extents()
        self.agree(extents, g.shape)
        return g.type.with_shape(extents)

    def shape_like(self, inputs: Vjp) -> Any:
        owner = inputs[1].owner
        return owner.inputs[0] if owner is not None and isinstance(owner.op, Shape) else None

    def compute(self, xp: Any, g: Any, shape: Any) -> Any:
        out = xp.zeros(ints(shape), g.dtype)
        for target, part in self.parts(out, g):
            target += part
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [SumPool(*self.fields())(cotangents[0]), None]


# --- calls --------------------------------------------------------------------------------------------------------

_MODES = ("max", "sum", "average_inc_pad", "average_exc_pad")


def pool_2d(
    input: Any,
    ws: Any = None,
    ignore_border: bool | None = None,
    stride: Any = None,
    pad: Any = (0, 0),
    mode: str = "max",
    ds: Any = None,
    st: Any = None,
    padding: Any = None,
) -> Any:
    """Windows of the last two axes reduced to one value each.

    Parameters
    ----------
    input
        A tensor of two dimensions or more, (…, rows, columns).
    ws
        Extents of a window: (rows, columns), or one number for both; they may be symbolic, as may ``stride`` and
        ``pad``, which costs memory for the elements of all windows.
    ignore_border
        True leaves out windows that are not wholly inside; False and None, as in Theano, let windows stick out at the
        end and use what is there.
    stride
        Distance of neighbouring windows; by default ``ws``, so that they do not overlap.
    pad
        How many elements are added at both ends of each axis; only with ``ignore_border=True``, and less than ``ws``.
        They never count for "max" and "sum".
    mode
        ``"max"``, ``"sum"``, ``"average_inc_pad"`` (the sum divided by the size of the window) or
        ``"average_exc_pad"`` (by the number of elements in it that are not padding).
    ds, st, padding
        Older names of ``ws``, ``stride`` and ``pad``.

    Returns
    -------
    tensor
        (…, output rows, output columns); averages of integers are ``config.floatX``, and sums of small integers are
        64 bits wide. Where several elements of a window are the largest, each gets the whole gradient.

    Raises
    ------
    ShapeError, DtypeError
        For extents that do not fit together, and an unknown mode.

    >>> import tinygraph.tensor as T
    >>> x = T.reshape(T.arange(12.0), (3, 4))
    >>> T.signal.pool.pool_2d(x, (2, 2), ignore_border=True).eval()
    array([[5., 7.]])
    >>> T.signal.pool.pool_2d(x, (2, 2), ignore_border=False, mode="average_exc_pad").eval()
    array([[ 2.5,  4.5],
           [ 8.5, 10.5]])
    """
    return _pool(2, input, ws, ignore_border, stride, pad, mode, ds, st, padding)


def pool_3d(
    input: Any,
    ws: Any = None,
    ignore_border: bool | None = None,
    stride: Any = None,
    pad: Any = (0, 0, 0),
    mode: str = "max",
    ds: Any = None,
    st: Any = None,
    padding: Any = None,
) -> Any:
    """Windows of the last three axes reduced to one value each; as ``pool_2d`` for volumes.

    >>> import tinygraph.tensor as T
    >>> T.signal.pool.pool_3d(T.tensor("float32", (None, 3, 8, 8, 9)), (2, 2, 2), ignore_border=True).type.shape
    (None, 3, 4, 4, 4)
    """
    return _pool(3, input, ws, ignore_border, stride, pad, mode, ds, st, padding)


def _pool(
    spatial: int,
    input: Any,
    ws: Any,
    ignore_border: bool | None,
    stride: Any,
    pad: Any,
    mode: str,
    ds: Any,
    st: Any,
    padding: Any,
) -> Any:
    op = f"pool_{spatial}d"
    x = _image(input, spatial, op)
    window = _one_of("ws", ws, "ds", ds, op)
    stride = _one_of("stride", stride, "st", st, op)
    stride = window if stride is None else stride
    pad = 0 if pad is None else pad
    if padding is not None:
        given = is_symbolic(pad) or any(steps(pad, spatial, "pad", op, 0))
        pad = _one_of("pad", pad if given else None, "padding", padding, op)
    if mode == "max_deterministic":
        mode = "max"
    if mode not in _MODES:
        raise located(
            DtypeError(f"there is no pooling mode {mode!r}", expected=", ".join(_MODES), actual=repr(mode)), op
        )
    if any(map(is_symbolic, (window, stride, pad))):
        window, stride = sizes(window, spatial, "ws", op), sizes(stride, spatial, "stride", op)
        return pooled(x, window, stride, sizes(pad, spatial, "pad", op, 0), bool(ignore_border), mode)
    window = steps(window, spatial, "ws", op)
    strides = steps(stride, spatial, "stride", op)
    pads = steps(pad, spatial, "pad", op, 0)
    if any(pads) and not ignore_border:
        raise located(
            ShapeError("padding needs ignore_border=True", actual=f"pad={pads}, ignore_border={ignore_border}"), op
        )
    if any(n >= size for n, size in zip(pads, window, strict=True)):
        raise located(ShapeError("padding must be less than the window", expected=f"{window}", actual=f"{pads}"), op)
    first = x.ndim - spatial
    axes = list(zip(range(first, x.ndim), window, strides, pads, [not ignore_border] * spatial, strict=True))
    if mode == "max":
        for fields in axes:
            x = MaxPool(*fields)(x)
        return x
    total = cast(x, wide_dtype(x.dtype))
    for fields in axes:
        total = SumPool(*fields)(total)
    return total if mode == "sum" else true_div(total, _sizes(x, axes, mode == "average_inc_pad"))


def _sizes(x: Any, axes: Sequence[tuple[Any, ...]], padded: bool) -> Any:
    """How many elements windows have: a number, or a tensor that broadcasts against the pooled one."""
    sizes: Any = 1
    for axis, window, stride, pad, partial in axes:
        if partial or (pad and not padded):
            inside = SumPool(0, window, stride, pad, partial)(ones((extent(x, axis),), wide_dtype(x.dtype)))
            sizes = mul(sizes, DimShuffle((0, *["x"] * (x.ndim - 1 - axis)))(inside))
        else:
            sizes = sizes * window
    return sizes


def _image(input: Any, spatial: int, op: str) -> Any:
    x = as_tensor(input)
    if x.ndim < spatial:
        raise located(
            ShapeError(f"{op} needs at least {spatial} dimensions", expected=f"{spatial} or more", actual=str(x.type)),
            op,
        )
    return x


def _one_of(name: str, value: Any, old: str, older: Any, op: str) -> Any:
    """The argument that was given under its name or its older name."""
    if value is not None and older is not None:
        raise located(ShapeError(f"{name} and {old} mean the same", expected="one of them", actual="both"), op)
    given = older if value is None else value
    if given is None and name == "ws":
        raise located(ShapeError("a window needs extents", expected="ws=(2, 2), for instance"), op)
    return given


def max_pool_2d_same_size(input: Any, patch_size: Any) -> Any:
    """``input`` with zeros in place of all elements but the largest of each window; windows do not overlap.

    Parameters
    ----------
    input
        A tensor of two dimensions or more, (…, rows, columns).
    patch_size
        Extents of a window, (rows, columns).

    What no whole window covers is zero.

    >>> import tinygraph.tensor as T
    >>> T.signal.pool.max_pool_2d_same_size([[1.0, 2.0, 5.0], [4.0, 3.0, 6.0]], (2, 2)).eval()
    array([[0., 0., 0.],
           [4., 0., 0.]])
    """
    op = "max_pool_2d_same_size"
    x = _image(input, 2, op)
    rows, columns = steps(patch_size, 2, "patch_size", op)
    down, across = (x.ndim - 2, rows, rows, 0, False), (x.ndim - 1, columns, columns, 0, False)
    high = MaxPool(*down)(x)
    highest = MaxPool(*across)(high)
    return MaxPoolGrad(*down)(x, high, MaxPoolGrad(*across)(high, highest, highest))
