"""Batch and layer normalisation, composed of means and elementwise operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Constant
from tinygraph.ops.axes import axis_indices, element_count, located
from tinygraph.ops.convert import as_operands, as_tensor, cast, is_weak
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.scalar import add, inv, maximum, mul, sqr, sqrt, sub, true_div
from tinygraph.ops.shape import addbroadcast
from tinygraph.ops.statistics import mean as mean_over

__all__ = ["batch_normalization", "batch_normalization_test", "batch_normalization_train", "layer_norm"]


def batch_normalization(inputs: Any, gamma: Any, beta: Any, mean: Any, std: Any, mode: str = "low_mem") -> Any:
    """``(inputs - mean) * gamma / std + beta``, elementwise.

    Parameters
    ----------
    inputs
        A batch of activations.
    gamma, beta, mean, std
        Scales, biases, means and standard deviations, which broadcast with ``inputs``.
    mode
        ``"low_mem"`` divides by ``std`` first, ``"high_mem"`` divides ``gamma`` by it, which is less work.

    Raises
    ------
    DtypeError
        For another mode.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.bn.batch_normalization(x, 2.0, 1.0, mean=3.0, std=0.5).eval({x: [3, 4]})
    array([1., 5.])
    """
    if mode == "low_mem":
        return add(mul(true_div(sub(inputs, mean), std), gamma), beta)
    if mode == "high_mem":
        return add(mul(sub(inputs, mean), true_div(gamma, std)), beta)
    raise located(
        DtypeError("there is no such mode", expected="'low_mem' or 'high_mem'", actual=repr(mode)),
        "batch_normalization",
    )


def batch_normalization_train(
    inputs: Any,
    gamma: Any,
    beta: Any,
    axes: Any = "per-activation",
    epsilon: Any = 1e-4,
    running_average_factor: Any = 0.1,
    running_mean: Any = None,
    running_var: Any = None,
) -> tuple[Any, ...]:
    """Normalise a batch by its own mean and variance, then scale and shift it.

    Parameters
    ----------
    inputs
        A batch of activations.
    gamma, beta
        Scales and biases: of the shape of ``inputs`` with extent 1 along ``axes``, or with these axes left out.
    axes
        Over which axes means are taken: an integer or several, ``"per-activation"`` for (0,), or ``"spatial"`` for all
        axes but the second.
    epsilon
        Added to the variance; a number from 1e-5 on.
    running_average_factor
        How much of the batch goes into the running averages.
    running_mean, running_var
        Averages so far, laid out as ``gamma``; either both or none.

    Returns
    -------
    tuple
        ``(inputs - mean) * gamma * invstd + beta``; ``mean``; ``invstd``, which is ``1 / sqrt(var + epsilon)``; and,
        where running averages are given, their new values ``running * (1 - factor) + factor * batch``, in which the
        variance of the batch is the unbiased one (of a single element, which has none, it is 0). All but the first are
        laid out as ``gamma``.

    Raises
    ------
    ShapeError
        If there is no such axis, a parameter has another number of dimensions or another shape, or only one running
        average is given.
    DtypeError
        If ``epsilon`` is no number from 1e-5 on.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> out, mean, invstd = T.nnet.bn.batch_normalization_train(x, T.ones(2), T.zeros(2), epsilon=1e-5)
    >>> mean.eval({x: [[1, 2], [3, 6]]}), out.eval({x: [[1, 2], [3, 6]]}).round(3)
    (array([2., 4.]), array([[-1., -1.],
        [ 1.,  1.]]))
    """
    op = "batch_normalization_train"
    if (running_mean is None) != (running_var is None):
        raise located(ShapeError("running_mean and running_var go together", expected="both or none"), op)
    running = [] if running_mean is None else [running_mean, running_var]
    (x, gamma, beta, *running), dtype = as_operands([inputs, gamma, beta, *running], as_float=True)
    over = _axes(axes, x.ndim, op)
    names = ("gamma", "beta", "running_mean", "running_var")
    laid = [_laid(p, name, x.ndim, over, op) for p, name in zip([gamma, beta, *running], names, strict=False)]
    wide = cast(x, "float32") if dtype == "float16" else x
    mean, var, invstd = _moments(wide, over, _checked_epsilon(epsilon, op))
    out = add(mul(sub(wide, mean), mul(laid[0], invstd)), laid[1])
    stats = [mean, invstd]
    if running:
        count = element_count(wide, over, wide.dtype)
        factor = running_average_factor
        unbiased = mul(var, true_div(count, maximum(sub(count, 1), 1)))
        stats += [
            add(mul(old, sub(1.0, factor)), mul(new, factor))
            for old, new in zip(laid[2:], (mean, unbiased), strict=True)
        ]
    if gamma.ndim != x.ndim:
        kept = tuple(axis for axis in range(x.ndim) if axis not in over)
        stats = [DimShuffle(kept)(s) for s in stats]
    return tuple(cast(result, dtype) for result in (out, *stats))


def batch_normalization_test(
    inputs: Any, gamma: Any, beta: Any, mean: Any, var: Any, axes: Any = "per-activation", epsilon: Any = 1e-4
) -> Any:
    """Normalise by a given mean and variance: ``(inputs - mean) * gamma / sqrt(var + epsilon) + beta``.

    Parameters
    ----------
    inputs, gamma, beta, axes, epsilon
        As for ``batch_normalization_train``.
    mean, var
        Laid out as ``gamma``; usually the running averages of the training.

    Raises
    ------
    ShapeError, DtypeError
        As for ``batch_normalization_train``.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> T.nnet.bn.batch_normalization_test(x, [1.0], [0.0], [1.0], [4.0]).eval({x: [[5]]}).round(3)
    array([[2.]])
    """
    op = "batch_normalization_test"
    (x, *parameters), dtype = as_operands([inputs, gamma, beta, mean, var], as_float=True)
    over = _axes(axes, x.ndim, op)
    names = ("gamma", "beta", "mean", "var")
    laid = [_laid(p, name, x.ndim, over, op) for p, name in zip(parameters, names, strict=True)]
    std = sqrt(add(laid[3], _checked_epsilon(epsilon, op)))
    return cast(add(mul(sub(x, laid[2]), true_div(laid[0], std)), laid[1]), dtype)


def layer_norm(x: Any, gamma: Any = None, beta: Any = None, axes: Any = -1, epsilon: Any = 1e-5) -> Any:
    """Normalise each example by its own mean and variance, then scale and shift it.

    Parameters
    ----------
    x
        A tensor of activations.
    gamma, beta
        Scales and biases, which broadcast with ``x``, or None for none.
    axes
        Over which axes means are taken: an integer or several; negative ones count from the end.
    epsilon
        Added to the variance; a positive number.

    Raises
    ------
    ShapeError
        If there is no such axis.
    DtypeError
        If ``epsilon`` is no positive number.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> T.nnet.layer_norm(x).eval({x: [[1, 3], [0, 100]]}).round(3)
    array([[-1.,  1.], [-1.,  1.]])
    """
    given = [p for p in (gamma, beta) if p is not None]
    (x, *_), dtype = as_operands([x, *given], as_float=True)
    wide = cast(x, "float32") if dtype == "float16" else x
    mean, _, invstd = _moments(
        wide, axis_indices(axes, x.ndim, "layer_norm"), _checked_epsilon(epsilon, "layer_norm", 0)
    )
    out = mul(sub(wide, mean), invstd)
    out = out if gamma is None else mul(out, gamma)
    return cast(out if beta is None else add(out, beta), dtype)


def _moments(x: Any, axes: Sequence[int], epsilon: Any) -> tuple[Any, Any, Any]:
    """Mean, variance and 1 / sqrt(variance + epsilon) over axes, which stay with extent 1."""
    mean = mean_over(x, axes, keepdims=True)
    var = mean_over(sqr(sub(x, mean)), axes, keepdims=True)
    return mean, var, inv(sqrt(add(var, epsilon)))


def _axes(axes: Any, ndim: int, op: str) -> tuple[int, ...]:
    if isinstance(axes, str):
        if axes not in ("per-activation", "spatial"):
            raise located(
                ShapeError("there are no such axes", expected="'per-activation', 'spatial' or axes", actual=repr(axes)),
                op,
            )
        axes = (0,) if axes == "per-activation" else (0, *range(2, ndim))
    over = axis_indices(axes, ndim, op)
    if not over:
        raise located(ShapeError("a batch is normalised over at least one axis", actual=str(axes)), op)
    return over


def _laid(parameter: Any, name: str, ndim: int, axes: Sequence[int], op: str) -> Any:
    """A parameter with an axis for each axis of the inputs, of extent 1 where means are taken."""
    if parameter.ndim == ndim:
        return addbroadcast(parameter, *axes)
    if parameter.ndim != ndim - len(axes):
        raise located(
            ShapeError(
                f"{name} has the wrong number of dimensions",
                expected=f"{ndim - len(axes)}, the axes that are not normalised, or {ndim}, as the inputs",
                actual=str(parameter.type),
            ),
            op,
        )
    kept = iter(range(parameter.ndim))
    return DimShuffle(tuple("x" if axis in axes else next(kept) for axis in range(ndim)))(parameter)


def _checked_epsilon(epsilon: Any, op: str, least: float = 1e-5) -> Any:
    value = as_tensor(epsilon) if not is_weak(epsilon) else epsilon
    number = float(value.data) if isinstance(value, Constant) and value.ndim == 0 else value
    # Rounded to float32, 1e-5 is a little less than itself.
    if not isinstance(number, (int, float)) or not number >= least * (1 - 1e-6) or number == 0:
        raise located(
            DtypeError(
                "epsilon must be a number",
                expected=f"from {least} on" if least else "above 0",
                actual=str(epsilon),
            ),
            op,
        )
    return float(number)
