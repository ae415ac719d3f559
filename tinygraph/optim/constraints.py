"""What keeps gradients and parameters small: clipping, limits on norms, and penalties to add to a cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph.errors import DtypeError, ShapeError, UpdateError
from tinygraph.graph import Variable
from tinygraph.ops.axes import axis_indices
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.reduce import sum as sum_of
from tinygraph.ops.scalar import abs_, clip, floor, maximum, minimum, sqr, sqrt
from tinygraph.ops.transcendental import exp2, log2
from tinygraph.optim.settings import checked, in_dtype, located
from tinygraph.types import is_float

__all__ = ["clip_by_norm", "clip_by_value", "l1", "l2", "max_norm", "total_norm"]


def _tensors(op: str, values: Any) -> list[Any]:
    items = [as_tensor(x) for x in (values if isinstance(values, (list, tuple)) else [values])]
    if not items:
        raise located(UpdateError("there are no tensors", expected="at least one float tensor"), op)
    for x in items:
        if not is_float(x.dtype):
            raise located(DtypeError(f"{x} holds no floats", expected="float tensors", actual=str(x.type)), op)
    return items


def _like(values: Any, results: list[Any]) -> Any:
    """Results in the form in which the values came: a list, a tuple or one variable."""
    if isinstance(values, tuple):
        return tuple(results)
    return results if isinstance(values, list) else results[0]


def _plus(terms: Sequence[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def clip_by_value(grads: Any, low: Any, high: Any) -> Any:
    """Every element brought into the range from ``low`` to ``high``.

    Parameters
    ----------
    grads
        A float tensor, or a list or tuple of them; the result has the same form and dtypes.
    low, high
        Numbers or scalar variables. Infinite elements are clipped, too; NaN stays NaN.

    Raises
    ------
    UpdateError
        If ``low`` is above ``high`` or one of them is NaN, or there are no tensors.
    DtypeError, ShapeError
        If a tensor holds no floats, or a bound is no number.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> (g,) = tg.optim.clip_by_value([T.constant([-3.0, 0.5, 2.0])], -1, 1)
    >>> g.eval().tolist()
    [-1.0, 0.5, 1.0]
    """
    op = "clip_by_value"
    low, high = checked("low", low, op), checked("high", high, op)
    if not isinstance(low, Variable) and not isinstance(high, Variable) and low > high:
        raise located(UpdateError("the range is empty", expected="low <= high", actual=f"{low} and {high}"), op)
    items = _tensors(op, grads)
    return _like(grads, [clip(g, in_dtype(low, g.dtype), in_dtype(high, g.dtype)) for g in items])


def clip_by_norm(grads: Any, norm: Any) -> Any:
    """All gradients scaled by one factor, so that their total norm is ``norm`` at most.

    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks: where n, the root of the
    sum of squares over all gradients, is above ``norm``, each is multiplied by ``norm / n``; otherwise they stay as
    they are. If a gradient holds an infinity or NaN, there is no direction to keep, and all of them become NaN, so that
    it cannot be overlooked. Squares that would overflow or vanish in the gradients' dtype do no harm.

    Parameters
    ----------
    grads
        A float tensor, or a list or tuple of them; the result has the same form and dtypes.
    norm
        A number above 0 or a scalar variable.

    Raises
    ------
    UpdateError
        If ``norm`` is not above 0, or there are no tensors.
    DtypeError, ShapeError
        If a tensor holds no floats, or ``norm`` is no number.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> a, b = tg.optim.clip_by_norm([T.constant([3.0, 0.0]), T.constant(4.0)], 1.0)
    >>> a.eval().round(3).tolist(), float(b.eval().round(3))
    ([0.6, 0.0], 0.8)
    """
    limit = checked("norm", norm, "clip_by_norm")
    items = _tensors("clip_by_norm", grads)
    size, root = _split_norm(items)
    factor = minimum(in_dtype(limit, size.dtype) / size / root, 1)
    return _like(grads, [g * cast(factor, g.dtype) for g in items])


def total_norm(grads: Any) -> Any:
    """The root of the sum of squares over all tensors, as one symbolic scalar; for watching gradients.

    Parameters
    ----------
    grads
        A float tensor, or a list or tuple of them.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> float(tg.optim.total_norm([T.constant([3.0, 0.0]), T.constant(4.0)]).eval())
    5.0
    """
    size, root = _split_norm(_tensors("total_norm", grads))
    return size * root


def _split_norm(items: Sequence[Any]) -> tuple[Any, Any]:
    """The total norm as a product of two: a power of two near the sum of absolute values, and the rest.

    Dividing by the first before squaring keeps squares within the dtype, and rounds nothing.
    """
    total = _plus([cast(sum_of(abs_(g)), g.dtype) for g in items])
    size = maximum(exp2(floor(log2(total)) - 1), float(np.finfo(total.dtype).tiny))
    return size, sqrt(_plus([sum_of(sqr(g / size)) for g in items]))


def max_norm(tensor_or_updates: Any, norm: Any, axes: Any = None, params: Any = None) -> Any:
    """Vectors of a tensor scaled down to a norm of at most ``norm``; those within it stay as they are.

    Srivastava et al. (2014), Dropout: A simple way to prevent neural networks from overfitting. Theano's programs and
    Lasagne (``norm_constraint``) apply it to the new values of weights.

    Parameters
    ----------
    tensor_or_updates
        A float tensor, or a list or tuple of them; or updates, as a rule returned them, in which the new values of
        ``params`` are then limited.
    norm
        A number above 0 or a scalar variable.
    axes
        The axes along which a vector lies. Default: 0 for matrices, so that columns, the weights into one unit, are
        limited; all but 0 for tensors of three dimensions or more, the filters of a convolution.
    params
        With updates, the parameters to limit.

    Returns
    -------
    variable, list, tuple or dict
        As the first argument.

    Raises
    ------
    UpdateError
        If ``norm`` is not above 0, a parameter has no update, or ``params`` does not go with the first argument.
    ShapeError
        If there is no such axis, or ``axes`` is left out for a scalar or vector.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> W = T.constant([[3.0, 0.1], [4.0, 0.2]])
    >>> tg.optim.max_norm(W, 1.0).eval().round(3).tolist()
    [[0.6, 0.1], [0.8, 0.2]]
    """
    op = "max_norm"
    limit = checked("norm", norm, op)
    if not isinstance(tensor_or_updates, Mapping):
        if params is not None:
            raise located(UpdateError("params goes with updates only", actual="a tensor and params"), op)
        return _like(tensor_or_updates, [_limited(op, x, limit, axes) for x in _tensors(op, tensor_or_updates)])
    if params is None:
        error = UpdateError(
            "with updates, the parameters to limit must be named",
            expected="params=[W, …]",
            hint="updates also hold what a rule remembers, which must not be scaled",
        )
        raise located(error, op)
    new = dict(tensor_or_updates)
    for p in [params] if isinstance(params, Variable) else params:
        if p not in new:
            raise located(UpdateError(f"parameter {p} has no update to limit"), op)
        new[p] = _limited(op, as_tensor(new[p]), limit, axes)
    return new


def _limited(op: str, x: Any, limit: Any, axes: Any) -> Any:
    if axes is None:
        if x.ndim < 2:
            error = ShapeError(
                f"which axes the norms of {x} are taken along must be said",
                expected="axes=…, or a tensor of two dimensions or more",
                actual=str(x.type),
            )
            raise located(error, op)
        axes = 0 if x.ndim == 2 else tuple(range(1, x.ndim))
    norms = sqrt(sum_of(sqr(x), axis=axis_indices(axes, x.ndim, op), keepdims=True))
    return x * cast(minimum(in_dtype(limit, x.dtype) / norms, 1), x.dtype)


def l1(params: Any) -> Any:
    """The sum of absolute values over all tensors: a penalty that drives parameters to zero.

    Parameters
    ----------
    params
        A float tensor, or a list or tuple of them.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> float(tg.optim.l1([T.constant([1.0, -2.0]), T.constant(-3.0)]).eval())
    6.0
    """
    return _penalty("l1", params, abs_)


def l2(params: Any) -> Any:
    """The sum of squares over all tensors, without a factor of a half: a penalty that keeps parameters small.

    Parameters
    ----------
    params
        A float tensor, or a list or tuple of them.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> float(tg.optim.l2([T.constant([1.0, -2.0]), T.constant(-3.0)]).eval())
    14.0
    """
    return _penalty("l2", params, sqr)


def _penalty(op: str, params: Any, measure: Callable[[Any], Any]) -> Any:
    return _plus([sum_of(measure(x)) for x in _tensors(op, params)])
