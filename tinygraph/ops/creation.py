"""New tensors: ranges, and one value in any shape.

A tensor of one value repeated is a broadcast scalar, which takes no memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygraph.config import config
from tinygraph.errors import ShapeError, TinygraphError
from tinygraph.graph import Constant, Op, Variable
from tinygraph.ops.axes import located
from tinygraph.ops.convert import Cast, as_operands, as_tensor, cast, constant, is_weak
from tinygraph.ops.layout import (
    BroadcastTo,
    DimShuffle,
    Reshape,
    Shape,
    SpecifyShape,
    sum_to_like,
    zeros_of,
)
from tinygraph.ops.scalar import add, eq, floor, maximum, mul, sub, switch, true_div
from tinygraph.ops.shape import as_shape, as_size, extent
from tinygraph.types import Abstract, TensorType, canonical_dtype, is_discrete, is_float

__all__ = [
    "NotScalarConstantError",
    "alloc",
    "arange",
    "empty",
    "fill",
    "full",
    "full_like",
    "get_scalar_constant_value",
    "linspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

Vjp = Sequence[Any]

# --- one value, repeated ------------------------------------------------------------------------------------------


def alloc(value: Any, *shape: Any) -> Any:
    """``value`` broadcast to a shape.

    Parameters
    ----------
    value
        A number or a tensor.
    shape
        Sizes, which may be symbolic, one by one or as a tuple; or an integer vector.

    >>> import tinygraph.tensor as T
    >>> T.alloc(7.0, T.lscalar("n"), 3).type.shape
    (None, 3)
    """
    if len(shape) == 1:
        (shape,) = shape
    return BroadcastTo()(as_tensor(value), as_shape(shape, "alloc"))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of a shape (a size, a tuple of sizes or an integer vector) filled with ``fill_value``.

    ``dtype`` is by default that of the value; Python floats take ``config.floatX``.
    """
    value = as_tensor(fill_value) if dtype is None else cast(fill_value, dtype)
    return BroadcastTo()(value, as_shape(shape, "full"))


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros of a shape; they take no memory until they are written to.

    Parameters
    ----------
    shape
        A size, a tuple of sizes, which may be symbolic, or an integer vector.
    dtype
        By default ``config.floatX``.

    >>> import tinygraph.tensor as T
    >>> T.zeros((2, T.lscalar("n"))).type
    TensorType('float64', (2, None))
    """
    return BroadcastTo()(constant(0, dtype=dtype or config.floatX), as_shape(shape, "zeros"))


def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones of a shape; the arguments are those of ``zeros``."""
    return BroadcastTo()(constant(1, dtype=dtype or config.floatX), as_shape(shape, "ones"))


def empty(shape: Any, dtype: Any = None) -> Any:
    """``zeros``: memory whose values nobody has set is not handed out."""
    return zeros(shape, dtype)


def zeros_like(model: Any, dtype: Any = None, opt: bool = False) -> Any:
    """Zeros of the shape of ``model`` and, unless another is given, its dtype.

    ``opt`` is accepted as in Theano.
    """
    return zeros_of(as_tensor(model), None if dtype is None else canonical_dtype(dtype))


def ones_like(model: Any, dtype: Any = None, opt: bool = False) -> Any:
    """Ones of the shape of ``model`` and, unless another is given, its dtype.

    ``opt`` is accepted as in Theano.
    """
    return full_like(model, 1, dtype)


def full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    """``fill_value`` in the shape of ``a`` and, unless another is given, its dtype."""
    a = as_tensor(a)
    return fill(a, cast(fill_value, dtype or a.dtype))


def fill(a: Any, b: Any) -> Any:
    """``b`` broadcast to the shape of ``a``, in the dtype of ``b``.

    >>> import tinygraph.tensor as T
    >>> T.fill(T.matrix("x"), 7).dtype
    'int64'
    """
    a, b = as_tensor(a), as_tensor(b)
    return b if a.ndim == b.ndim == 0 else BroadcastTo()(b, Shape()(a))


class NotScalarConstantError(TinygraphError, ValueError):
    """A tensor that is not one number known when the graph is built."""


def get_scalar_constant_value(v: Any) -> Any:
    """The one number that a tensor holds, as a 0-d array, where it is known when the graph is built.

    Raises
    ------
    NotScalarConstantError
        If ``v`` depends on inputs, or holds different numbers.

    >>> import tinygraph.tensor as T
    >>> float(T.get_scalar_constant_value(T.ones((2, 3)).dimshuffle(1, 0)))
    1.0
    """
    v = as_tensor(v)
    x = v
    while True:
        if isinstance(x, Constant):
            if x.data.size == 1:
                return constant(x.data.reshape(()), dtype=v.dtype).data
            break
        if isinstance(x.abstract.value, int):
            return constant(x.abstract.value, dtype=v.dtype).data
        if x.owner is None or not isinstance(x.owner.op, (Cast, BroadcastTo, DimShuffle, Reshape, SpecifyShape)):
            break
        if isinstance(x.owner.op, Cast) and is_discrete(x.dtype):
            break  # the cast changes the number
        x = x.owner.inputs[0]
    raise NotScalarConstantError(
        "this is not one number that is known when the graph is built",
        expected="a constant, or one repeated",
        actual=f"{v}: {v.type}",
    )


# --- ranges -------------------------------------------------------------------------------------------------------


class ARange(Op):
    """Numbers from the first input, in steps of the third, up to the second, which is left out."""

    dtype: str

    host = (0, 1, 2)

    def infer(self, *bounds: Abstract) -> TensorType:
        start, stop, step = (x.value for x in bounds)
        length = None
        if step == 0:
            raise _no_step()
        if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
            length = len(range(start, stop, step))
        return TensorType(self.dtype, (length,))

    def compute(self, xp: Any, start: Any, stop: Any, step: Any) -> Any:
        if step == 0:
            raise _no_step()
        a, b, c = start.item(), stop.item(), step.item()
        if not math.isfinite((b - a) / c):
            raise ShapeError("a range must have a finite length", actual=f"from {a} to {b} in steps of {c}")
        return xp.arange(a, b, c, dtype=self.dtype)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (g,) = cotangents
        if not is_float(self.dtype):
            return [None, None, None]
        # Moving the stop changes how many numbers there are, but none of them.
        return [
            lambda: sum_to_like(g, inputs[0]),
            None,
            lambda: sum_to_like(mul(g, arange(extent(g, 0), dtype=self.dtype)), inputs[2]),
        ]


def _no_step() -> ShapeError:
    return ShapeError("the step of a range must not be 0", actual="0")


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """The numbers from ``start`` on, in steps of ``step``, before ``stop``; from 0 on where one argument is given.

    Parameters
    ----------
    start, stop, step
        Numbers or 0-d tensors. The result has ``ceil((stop - start) / step)`` entries, or none.
    dtype
        By default int64 for integers, else the common dtype of the tensors, or ``config.floatX``.

    The gradient flows to a float ``start`` and ``step``.

    Raises
    ------
    ShapeError
        If a bound is no scalar, or the step is 0.

    >>> import tinygraph.tensor as T
    >>> T.arange(2, 10, 3).eval().tolist(), T.arange(0, 1, 0.25).eval().tolist()
    ([2, 5, 8], [0.0, 0.25, 0.5, 0.75])
    """
    if stop is None:
        start, stop = 0, start
    bounds = [_as_bound(x) for x in (start, stop, step)]
    if all(isinstance(x, int) or (isinstance(x, Variable) and is_discrete(x.dtype)) for x in bounds):
        bounds, common = [cast(x, "int64") for x in bounds], "int64"
    else:
        bounds, common = as_operands(bounds)
    out = ARange(common if dtype is None else canonical_dtype(dtype))(*bounds)
    if common != "int64" and all(isinstance(x, Constant) for x in bounds):
        a, b, c = (x.data.item() for x in bounds)
        if c and math.isfinite((b - a) / c):
            out = SpecifyShape((max(0, math.ceil((b - a) / c)),))(out)
    return out


def _as_bound(x: Any) -> Any:
    if is_weak(x):
        return x
    x = as_tensor(x)
    if x.ndim:
        raise located(
            ShapeError("a bound of a range is a scalar", expected="0 dimensions", actual=str(x.type)), "arange"
        )
    return x


def linspace(start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None) -> Any:
    """``num`` evenly spaced numbers from ``start`` to ``stop``.

    Parameters
    ----------
    start, stop
        Numbers or tensors that broadcast; the numbers are spaced along a new first axis.
    num
        How many, an integer that may be symbolic.
    endpoint
        True: the last number is ``stop``. False: it is one step before.
    dtype
        By default the common float dtype; for an integer dtype the numbers are rounded down.

    >>> import tinygraph.tensor as T
    >>> T.linspace(0, 1, 5).eval().tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    (first, last), _ = as_operands([start, stop], as_float=True)
    count = as_size(num, "linspace")
    if isinstance(count, int) and count < 0:
        raise located(ShapeError("num must not be negative", expected="at least 0", actual=f"{count}"), "linspace")
    steps: Any = sub(count, 1) if endpoint else as_tensor(count)
    numbers = arange(count)
    index = DimShuffle((0, *["x"] * max(first.ndim, last.ndim)))(numbers)
    step = true_div(sub(last, first), cast(maximum(steps, 1), first.dtype))
    out = add(mul(cast(index, first.dtype), step), first)
    if endpoint:
        out = switch(eq(index, maximum(steps, 1)), last, out)  # the very number, without rounding
    if dtype is None:
        return out
    target = canonical_dtype(dtype)
    return cast(floor(out) if is_discrete(target) else out, target)
