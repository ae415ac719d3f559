"""Means, variances and norms, composed of sums."""

from __future__ import annotations

import math
from typing import Any

from tinygraph.config import config
from tinygraph.errors import DtypeError
from tinygraph.ops.axes import axis_indices, element_count, located
from tinygraph.ops.convert import as_operands, as_tensor, cast, is_weak
from tinygraph.ops.reduce import max as max_over
from tinygraph.ops.reduce import min as min_over
from tinygraph.ops.reduce import sum as sum_over
from tinygraph.ops.scalar import abs_, eq, maximum, mul, neq, power, sqr, sqrt, sub, switch, true_div
from tinygraph.types import canonical_dtype, is_discrete

__all__ = ["mean", "norm", "std", "var"]


def mean(
    input: Any,
    axis: Any = None,
    dtype: Any = None,
    op: bool = False,
    keepdims: bool = False,
    acc_dtype: Any = None,
) -> Any:
    """The mean over axes.

    Parameters
    ----------
    input
        A tensor of any shape and dtype.
    axis, keepdims, acc_dtype
        As for ``sum``.
    dtype
        Of the result, if a float dtype; by default that of ``input``, or ``config.floatX`` for integers and bools.
        float16 is added up in float32.
    op
        Accepted as in Theano; it makes no difference.

    Over no elements the result is NaN.

    Raises
    ------
    ShapeError
        If there is no such axis.
    DtypeError
        If ``acc_dtype`` is narrower than the dtype of ``input``.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> T.mean(x, axis=0).eval({x: [[1, 2], [3, 4]]})
    array([2., 3.])
    """
    x = as_tensor(input)
    result = x.dtype if dtype is None else canonical_dtype(dtype)
    total = sum_over(x, axis, "float32" if result == "float16" else dtype, keepdims, acc_dtype)
    if is_discrete(result):
        result = config.floatX
    wide = "float32" if result == "float16" else result
    count = element_count(x, axis_indices(axis, x.ndim, "mean"), wide)
    return cast(true_div(cast(total, wide), count), result)


def _as_floats(x: Any) -> tuple[Any, str]:
    """``x`` as floats of at least float32, and the dtype that a result made of them is given."""
    (x,), dtype = as_operands([x], as_float=True)
    return cast(x, "float32" if dtype == "float16" else dtype), dtype


def var(input: Any, axis: Any = None, ddof: Any = 0, keepdims: bool = False, corrected: bool = False) -> Any:
    """The variance over axes, from the differences to the mean.

    Parameters
    ----------
    input
        A tensor of any shape; integers are read as ``config.floatX``.
    axis, keepdims
        As for ``sum``.
    ddof
        What is subtracted from the number of elements to get the divisor; 1 gives the unbiased estimate.
    corrected
        Also subtract what rounding of the mean has added.

    Raises
    ------
    ShapeError
        If there is no such axis.
    DtypeError
        If ``ddof`` is no number.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> float(T.var(x, ddof=1).eval({x: [1, 2, 3]}))
    1.0
    """
    x, dtype = _as_floats(input)
    return cast(_variance(x, axis, ddof, keepdims, corrected, "var"), dtype)


def _variance(x: Any, axis: Any, ddof: Any, keepdims: bool, corrected: bool, op: str) -> Any:
    if isinstance(ddof, bool) or not is_weak(ddof):
        raise located(DtypeError("ddof is a number", expected="an integer or a float", actual=repr(ddof)), op)
    axes = axis_indices(axis, x.ndim, op)
    count = element_count(x, axes, x.dtype)
    divisor = maximum(sub(count, ddof), 0) if ddof else count
    differences = sub(x, mean(x, axes, keepdims=True))
    variance = true_div(sum_over(sqr(differences), axes, keepdims=keepdims), divisor)
    if corrected:
        rest = sqr(sum_over(differences, axes, keepdims=keepdims))
        variance = sub(variance, true_div(rest, mul(count, divisor)))
    return variance


def std(input: Any, axis: Any = None, ddof: Any = 0, keepdims: bool = False, corrected: bool = False) -> Any:
    """The standard deviation over axes; arguments and errors as for ``var``.

    Where it is 0, so is its gradient.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> tg.grad(T.std(x), x).eval({x: [2, 2]})
    array([0., 0.])
    """
    x, dtype = _as_floats(input)
    return cast(_root(_variance(x, axis, ddof, keepdims, corrected, "std"), 2), dtype)


def _root(x: Any, p: Any) -> Any:
    """The p-th root, with a gradient of 0 at 0."""
    return switch(eq(x, 0), 0, sqrt(x) if p == 2 else power(x, 1 / p))


def norm(x: Any, L: Any = 2, axis: Any = None, keepdims: bool = False, *, ord: Any = None) -> Any:
    """The vector norm over axes.

    Parameters
    ----------
    x
        A tensor of any shape; integers are read as ``config.floatX``.
    L
        Which norm: (Σ |x| ** L) ** (1 / L); inf: the largest absolute value, -inf: the smallest; 0: how many elements
        are not 0.
    axis, keepdims
        As for ``sum``. Over two axes this is still the norm of all elements, as in Theano, and no matrix norm.
    ord
        NumPy's name for ``L``.

    Where an element is 0, so is its gradient, also where the whole norm is 0.

    Raises
    ------
    ShapeError
        If there is no such axis, or no element whose absolute value is the largest or smallest.
    DtypeError
        If ``L`` is no number.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> tg.grad(T.norm(x), x).eval({x: [0, 0]})
    array([0., 0.])
    """
    p = L if ord is None else ord
    if isinstance(p, bool) or not is_weak(p) or math.isnan(p):
        raise located(DtypeError("a norm has a number", expected="0, 1, 2, inf or any other", actual=repr(p)), "norm")
    x, dtype = _as_floats(x)
    axes = axis_indices(axis, x.ndim, "norm")
    return cast(_norm(x, float(p), axes, keepdims), dtype)


def _norm(x: Any, p: float, axes: tuple[int, ...], keepdims: bool) -> Any:
    if p == 0:
        return sum_over(cast(neq(x, 0), x.dtype), axes, keepdims=keepdims)
    if p == 2:
        return _root(sum_over(sqr(x), axes, keepdims=keepdims), 2)
    size = abs_(x)
    if math.isinf(p):
        return (max_over if p > 0 else min_over)(size, axes, keepdims)
    if p == 1:
        return sum_over(size, axes, keepdims=keepdims)
    if p < 0:
        return power(sum_over(power(size, p), axes, keepdims=keepdims), 1 / p)
    return _root(sum_over(switch(eq(size, 0), 0, power(size, p)), axes, keepdims=keepdims), p)
