"""Running sums and products, and the linear recurrence that their derivatives are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import flat, one_axis, wide_dtype
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.scalar import mul
from tinygraph.types import Abstract, TensorType, canonical_dtype, shape_text

__all__ = ["CumProd", "CumSum", "LinearRecurrence", "Shift", "cumprod", "cumsum"]

Vjp = Sequence[Any]


def _along(axis: int, ndim: int, part: slice) -> tuple[slice, ...]:
    """The index that takes ``part`` of one axis and everything of the others."""
    return (*[slice(None)] * axis, part, *[slice(None)] * (ndim - axis - 1))


class CumSum(Op):
    """Sums of the elements up to each one along an axis; with ``reverse``, from each one to the end.

    Bools are combined by "or".
    """

    axis: int
    reverse: bool = False

    structural = True

    def infer(self, x: Abstract) -> TensorType:
        return x.type

    def compute(self, xp: Any, x: Any) -> Any:
        if self.reverse:
            x = xp.flip(x, self.axis)
        if x.dtype == bool:
            y = xp.cumsum(x, axis=self.axis, dtype="int64") > 0
        else:
            y = xp.cumsum(x, axis=self.axis, dtype=x.dtype)
        return xp.flip(y, self.axis) if self.reverse else y

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [CumSum(self.axis, not self.reverse)(cotangents[0])]


class CumProd(Op):
    """Products of the elements up to each one along an axis; with ``reverse``, from each one to the end.

    With ``exclusive`` the element itself is left out, so the first product (with ``reverse`` the last) is 1.
    """

    axis: int
    exclusive: bool = False
    reverse: bool = False

    analytic = True

    def infer(self, x: Abstract) -> TensorType:
        return x.type

    def compute(self, xp: Any, x: Any) -> Any:
        if self.reverse:
            x = xp.flip(x, self.axis)
        if self.exclusive:
            first = xp.ones_like(x[_along(self.axis, x.ndim, slice(1))])
            x = xp.concatenate([first, x[_along(self.axis, x.ndim, slice(-1))]], axis=self.axis)
        y = xp.cumprod(x, axis=self.axis, dtype=x.dtype)
        return xp.flip(y, self.axis) if self.reverse else y

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        # Without a division, so zeros do no harm: what x[j] adds to y[k] is the product before j, times that between
        # j and k. The first is an exclusive product; the second, weighted by the cotangents and added up over k, is
        # s[j] = g[j] + x[j + 1] * s[j + 1].
        (x,), (g,) = inputs, cotangents
        behind = Shift(self.axis, 1 if self.reverse else -1)
        before = CumProd(self.axis, exclusive=True, reverse=self.reverse)(x)
        after = LinearRecurrence(self.axis, not self.reverse)(behind(x), behind(g) if self.exclusive else g)
        return [mul(before, after)]


class Shift(Op):
    """Elements moved ``step`` places along an axis (1 or -1); the place that falls free is filled with 0."""

    axis: int
    step: int

    structural = True

    def infer(self, x: Abstract) -> TensorType:
        return x.type

    def compute(self, xp: Any, x: Any) -> Any:
        out = xp.zeros_like(x)
        front, back = (_along(self.axis, x.ndim, part) for part in (slice(-1), slice(1, None)))
        if self.step == 1:
            out[back] = x[front]
        else:
            out[front] = x[back]
        return out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [Shift(self.axis, -self.step)(cotangents[0])]


class LinearRecurrence(Op):
    """r[k] = b[k] + a[k] * r[k - 1] along an axis, from r[0] = b[0]; with ``reverse`` from the end, by r[k + 1].

    The inputs are ``a`` and ``b``, of one shape. Its derivatives are recurrences and shifts again.
    """

    axis: int
    reverse: bool = False

    analytic = True

    @property
    def name(self) -> str:
        return "linear_recurrence"

    def infer(self, a: Abstract, b: Abstract) -> TensorType:
        if a.dtype != b.dtype or a.ndim != b.ndim:
            raise DtypeError("a recurrence needs coefficients of the type of its terms", actual=f"{a.type}, {b.type}")
        pairs = list(zip(a.shape, b.shape, strict=True))
        if any(n is not None and m is not None and n != m for n, m in pairs):
            raise ShapeError(
                "a recurrence needs a coefficient for each term",
                expected=shape_text(b.shape),
                actual=shape_text(a.shape),
            )
        return b.type.with_shape([m if n is None else n for n, m in pairs])

    def compute(self, xp: Any, a: Any, b: Any) -> Any:
        a, r = (xp.moveaxis(v, self.axis, 0) for v in (a, b))
        if self.reverse:
            a, r = a[::-1], r[::-1]
        # Windows of doubling length: after the pass with ``step``, r[k] holds the terms of the last 2 * step places
        # and a[k] the product of their coefficients. Few passes over whole arrays, on any device.
        step = 1
        while step < r.shape[0]:
            r = xp.concatenate([r[:step], r[step:] + a[step:] * r[:-step]])
            a = xp.concatenate([a[:step], a[step:] * a[:-step]])
            step *= 2
        r = xp.moveaxis(r[::-1] if self.reverse else r, 0, self.axis)
        return xp.array(r)  # a recurrence of one term would be a view of it

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (a, _), (r,), (g,) = inputs, outputs, cotangents
        step = -1 if self.reverse else 1
        terms = LinearRecurrence(self.axis, not self.reverse)(Shift(self.axis, -step)(a), g)
        return [lambda: mul(terms, Shift(self.axis, step)(r)), terms]


def cumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Sums of the elements up to each one.

    Parameters
    ----------
    x
        A tensor of any shape and dtype.
    axis
        Along which axis; None: of all elements in C order, as a vector.
    dtype
        Of the sums; by default that of ``x``, with bools and small integers widened to 64 bits, as in NumPy.

    Raises
    ------
    ShapeError
        If there is no such axis.

    >>> import tinygraph.tensor as T
    >>> T.cumsum(T.constant([1, 2, 3])).eval()
    array([1, 3, 6])
    """
    x, at = _prepared(x, axis, dtype, "cumsum")
    return CumSum(at)(x)


def cumprod(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Products of the elements up to each one.

    Parameters
    ----------
    x, axis, dtype
        As for ``cumsum``.

    The gradient is right with any number of zeros, to any order.

    Raises
    ------
    ShapeError
        If there is no such axis.

    >>> import tinygraph.tensor as T
    >>> T.cumprod(T.constant([1, 2, 3])).eval()
    array([1, 2, 6])
    """
    x, at = _prepared(x, axis, dtype, "cumprod")
    return CumProd(at)(x)


def _prepared(x: Any, axis: Any, dtype: Any, op: str) -> tuple[Any, int]:
    x = as_tensor(x)
    x = cast(x, wide_dtype(x.dtype) if dtype is None else canonical_dtype(dtype))
    return (flat(x), 0) if axis is None else (x, one_axis(axis, x.ndim, op))
