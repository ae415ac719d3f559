"""Softmax, its logarithm, and the logarithm of a sum of exponentials, shifted so that nothing overflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import axis_indices, merge_axes, reduced_shape, restore_axes
from tinygraph.ops.convert import as_operands
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.scalar import mul, sub
from tinygraph.ops.transcendental import exp
from tinygraph.types import Abstract, TensorType

__all__ = ["LogSoftmax", "LogSumExp", "Softmax", "SoftmaxGrad", "logsumexp"]

Vjp = Sequence[Any]


def _with_top(xp: Any, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """``x``, float16 as float32, and its maximum over ``axes``."""
    if x.dtype.itemsize == 2:
        x = x.astype("float32")
    return x, xp.max(x, axis=axes, keepdims=True)


def _shifted(xp: Any, x: Any, axis: int) -> Any:
    """``x`` minus its maximum along an axis."""
    x, top = _with_top(xp, x, (axis,))
    return x - top


def _total(x: Any, axis: int) -> Any:
    return Reduce("sum", (axis,), True, x.dtype)(x)


class _AlongAxis(Op):
    """Base of operations along one axis, whose result has the type of their last input."""

    axis: int

    analytic = True

    def infer(self, *inputs: Abstract) -> TensorType:
        x = inputs[-1]
        if not 0 <= self.axis < x.ndim:
            raise ShapeError(f"there is no axis {self.axis}", actual=str(x.type))
        return x.type

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[-1]


class Softmax(_AlongAxis):
    """exp(x) / Σ exp(x) along an axis."""

    axis: int

    def compute(self, xp: Any, x: Any) -> Any:
        if not x.size:
            return xp.zeros_like(x)
        e = xp.exp(_shifted(xp, x, self.axis))
        return (e / xp.sum(e, axis=self.axis, keepdims=True)).astype(x.dtype, copy=False)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [SoftmaxGrad(self.axis)(cotangents[0], outputs[0])]


class SoftmaxGrad(_AlongAxis):
    """y · (g − Σ g · y) along an axis: what softmax, with output y, makes of a cotangent g."""

    axis: int

    @property
    def name(self) -> str:
        return "softmax_grad"

    def compute(self, xp: Any, g: Any, y: Any) -> Any:
        return y * (g - xp.sum(g * y, axis=self.axis, keepdims=True))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (g, y), (h,) = inputs, cotangents

        def to_y() -> Any:
            return sub(mul(h, sub(g, _total(mul(g, y), self.axis))), mul(g, _total(mul(h, y), self.axis)))

        return [SoftmaxGrad(self.axis)(h, y), to_y]  # in g it is linear and symmetric


class LogSoftmax(_AlongAxis):
    """x − log Σ exp(x) along an axis."""

    axis: int

    def compute(self, xp: Any, x: Any) -> Any:
        if not x.size:
            return xp.zeros_like(x)
        shifted = _shifted(xp, x, self.axis)
        out = shifted - xp.log(xp.sum(xp.exp(shifted), axis=self.axis, keepdims=True))
        return out.astype(x.dtype, copy=False)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (g,) = cotangents
        return [sub(g, mul(exp(outputs[0]), _total(g, self.axis)))]


class LogSumExp(Op):
    """log Σ exp(x) over ``axes``."""

    axes: tuple[int, ...]
    keepdims: bool

    analytic = True

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_shape(reduced_shape(x.shape, self.axes, self.keepdims))

    def compute(self, xp: Any, x: Any) -> Any:
        if not x.size:
            return xp.full(reduced_shape(x.shape, self.axes, self.keepdims), -xp.inf, dtype=x.dtype)
        x_wide, top = _with_top(xp, x, self.axes)
        top = xp.where(xp.isfinite(top), top, 0)  # an infinite or NaN maximum shows in the sum itself
        out = xp.log(xp.sum(xp.exp(x_wide - top), axis=self.axes, keepdims=True)) + top
        return out.astype(x.dtype, copy=False).reshape(reduced_shape(x.shape, self.axes, self.keepdims))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,) = inputs
        g = restore_axes(cotangents[0], self.axes, x.ndim)
        if not self.axes:
            return [g]
        if len(self.axes) == 1:
            return [mul(g, Softmax(self.axes[0])(x))]
        merged, undo = merge_axes(x, self.axes)
        return [mul(g, undo(Softmax(merged.ndim - 1)(merged)))]


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The logarithm of the sum of exponentials over axes, without overflow.

    Parameters
    ----------
    x
        A tensor of any shape; integers are read as ``config.floatX``.
    axis
        None for all axes, an integer, or a sequence of integers.
    keepdims
        Leave the reduced axes in the result, with extent 1.

    The gradient is the softmax. Over no elements the result is -inf.

    Raises
    ------
    ShapeError
        If there is no such axis.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> float(T.logsumexp(x).eval({x: [1000.0, 1000.0]}))
    1000.6931471805599
    """
    (x,), _ = as_operands([x], as_float=True)
    return LogSumExp(axis_indices(axis, x.ndim, "logsumexp"), bool(keepdims))(x)
