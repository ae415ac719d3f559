"""Activations and losses of neural networks, as Theano's ``tensor.nnet`` has them."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.axes import located, one_axis
from tinygraph.ops.convert import as_operands, as_tensor, cast
from tinygraph.ops.creation import arange
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import AxisExtent, DimShuffle
from tinygraph.ops.reduce import argmax, max_and_argmax
from tinygraph.ops.reduce import sum as sum_over
from tinygraph.ops.scalar import abs_, add, clip, gt, leaky_relu, lt, mul, neg, sgn, sub, switch, true_div
from tinygraph.ops.softmax import LogSoftmax, Softmax, SoftmaxGrad
from tinygraph.ops.transcendental import expm1, log, sigmoid, softplus
from tinygraph.types import is_discrete

__all__ = [
    "LogSoftmax",
    "Softmax",
    "SoftmaxGrad",
    "binary_crossentropy",
    "categorical_crossentropy",
    "crossentropy_categorical_1hot",
    "crossentropy_softmax_1hot",
    "crossentropy_softmax_1hot_with_bias",
    "crossentropy_softmax_argmax_1hot_with_bias",
    "crossentropy_softmax_max_and_argmax_1hot",
    "crossentropy_softmax_max_and_argmax_1hot_with_bias",
    "elu",
    "hard_sigmoid",
    "logsoftmax",
    "relu",
    "selu",
    "sigmoid",
    "sigmoid_binary_crossentropy",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softmax_with_bias",
    "softplus",
    "softsign",
    "ultra_fast_sigmoid",
]


# --- activations --------------------------------------------------------------------------------------------------


def relu(x: Any, alpha: Any = 0) -> Any:
    """``x`` where it is positive, else ``alpha * x``.

    Parameters
    ----------
    x
        A tensor of any shape.
    alpha
        The slope for negative ``x``: a number, or a tensor that broadcasts with ``x`` and may be learned.

    At 0 the derivative is the mean of both slopes, (1 + alpha) / 2, as in Theano.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.relu(x, 0.1).eval({x: [-1, 0, 2]})
    array([-0.1,  0. ,  2. ])
    """
    return leaky_relu(x, alpha)


def elu(x: Any, alpha: Any = 1) -> Any:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.elu(x).eval({x: [-1, 2]})
    array([-0.63212056,  2.        ])
    """
    (x,), _ = as_operands([x], as_float=True)
    return switch(gt(x, 0), x, mul(alpha, expm1(x)))


#: Slope and scale for which activations keep mean 0 and variance 1 from layer to layer (Klambauer et al., 2017).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(x: Any) -> Any:
    """The scaled ``elu`` of self-normalising networks.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.selu(x).eval({x: [0, 1]})
    array([0.        , 1.05070099])
    """
    return mul(_SELU_SCALE, elu(x, _SELU_ALPHA))


def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.softsign(x).eval({x: [-1, 3]})
    array([-0.5 ,  0.75])
    """
    return true_div(x, add(1, abs_(x)))


def hard_sigmoid(x: Any) -> Any:
    """``0.2 * x + 0.5``, clipped to 0 and 1: a rough and fast sigmoid.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.hard_sigmoid(x).eval({x: [-5, 0, 1]})
    array([0. , 0.5, 0.7])
    """
    return clip(add(mul(x, 0.2), 0.5), 0, 1)


def ultra_fast_sigmoid(x: Any) -> Any:
    """A sigmoid of three pieces, off by less than 0.03; its gradient is that of the pieces.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.ultra_fast_sigmoid(x).eval({x: [0, 1]})
    array([0.5 , 0.75])
    """
    half = mul(x, 0.5)
    size, sign = abs_(half), sgn(half)
    steep = mul(1.5, softsign(half))
    line = mul(sign, add(0.935409070603099, mul(0.0458812946797165, sub(size, 1.7))))
    tanh = switch(lt(size, 1.7), steep, switch(lt(size, 3.0), line, mul(sign, 0.99505475368673)))
    return mul(0.5, add(tanh, 1.0))


def softmax(c: Any, axis: Any = None) -> Any:
    """exp(c) / Σ exp(c), without overflow.

    Parameters
    ----------
    c
        A tensor with at least one dimension; integers are read as ``config.floatX``.
    axis
        Along which axis the results add up to 1. By default the last, and a vector gives a matrix of one row, as in
        Theano; with an axis the result has the shape of ``c``.

    Raises
    ------
    ShapeError
        If there is no such axis.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.softmax(x).eval({x: [1000, 1000]})
    array([[0.5, 0.5]])
    >>> T.nnet.softmax(x, axis=0).eval({x: [1000, 1000]})
    array([0.5, 0.5])
    """
    x, at = _rows(c, axis, "softmax")
    return Softmax(at)(x)


def logsoftmax(c: Any, axis: Any = None) -> Any:
    """The logarithm of ``softmax(c, axis)``, also where that is too small for a float; arguments and errors alike.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> T.nnet.logsoftmax(x).eval({x: [[0, 1000]]})
    array([[-1000.,     0.]])
    """
    x, at = _rows(c, axis, "logsoftmax")
    return LogSoftmax(at)(x)


def _rows(c: Any, axis: Any, op: str) -> tuple[Any, int]:
    (x,), _ = as_operands([c], as_float=True)
    at = one_axis(-1 if axis is None else axis, x.ndim, op)
    if axis is None and x.ndim == 1:
        return DimShuffle(("x", 0))(x), 1
    return x, at


def softmax_with_bias(x: Any, b: Any) -> Any:
    """``softmax(x + b)``, row by row.

    >>> import tinygraph.tensor as T
    >>> x, b = T.matrix("x"), T.vector("b")
    >>> T.nnet.softmax_with_bias(x, b).eval({x: [[1, 0]], b: [0, 1]})
    array([[0.5, 0.5]])
    """
    return softmax(add(x, b))


# --- losses -------------------------------------------------------------------------------------------------------


def binary_crossentropy(output: Any, target: Any) -> Any:
    """-(target * log(output) + (1 - target) * log(1 - output)), elementwise.

    Parameters
    ----------
    output
        Probabilities between 0 and 1, both excluded. Where they are a ``sigmoid``, the compiled function has no such
        limit.
    target
        Probabilities from 0 to 1; integers and bools take the dtype of ``output``.

    >>> import tinygraph.tensor as T
    >>> p = T.vector("p")
    >>> T.nnet.binary_crossentropy(p, [1, 0]).eval({p: [0.5, 0.5]})
    array([0.69314718, 0.69314718])
    """
    output, target = _with_target(output, target)
    return neg(add(mul(target, log(output)), mul(sub(1.0, target), log(sub(1.0, output)))))


def sigmoid_binary_crossentropy(output: Any, target: Any) -> Any:
    """``binary_crossentropy(sigmoid(output), target)`` for any ``output``, without overflow or cancellation.

    Parameters
    ----------
    output
        Real numbers (logits).
    target
        Probabilities from 0 to 1; integers and bools take the dtype of ``output``.

    The gradient is ``sigmoid(output) - target``.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.sigmoid_binary_crossentropy(x, [1, 1]).eval({x: [-1000, 1000]})
    array([1000.,    0.])
    """
    output, target = _with_target(output, target)
    return add(mul(target, softplus(neg(output))), mul(sub(1.0, target), softplus(output)))


def categorical_crossentropy(coding_dist: Any, true_dist: Any) -> Any:
    """-Σ true * log(coding) along the last axis.

    Parameters
    ----------
    coding_dist
        Probabilities that add up to 1 along the last axis, such as the result of ``softmax``.
    true_dist
        Probabilities of the same number of dimensions (one-hot rows, for instance), or, with one dimension less,
        integers that give the place of the 1 in each row.

    Returns
    -------
    variable
        One number for each row.

    Raises
    ------
    ShapeError
        If the numbers of dimensions do not fit.
    DtypeError
        If places are no integers.

    >>> import tinygraph.tensor as T
    >>> p = T.matrix("p")
    >>> T.nnet.categorical_crossentropy(p, T.constant([1])).eval({p: [[0.5, 0.5]]})
    array([0.69314718])
    """
    coding, true = _with_distribution(coding_dist, true_dist, "categorical_crossentropy")
    if true.ndim == coding.ndim:
        return neg(sum_over(mul(true, log(coding)), axis=-1))
    return neg(log(_picked(coding, true, "categorical_crossentropy")))


def crossentropy_categorical_1hot(coding_dist: Any, true_one_of_n: Any) -> Any:
    """``-log(coding_dist[i, true_one_of_n[i]])`` for each row i; errors as for ``categorical_crossentropy``.

    >>> import tinygraph.tensor as T
    >>> p, t = T.matrix("p"), T.ivector("t")
    >>> T.nnet.crossentropy_categorical_1hot(p, t).eval({p: [[0.5, 0.5]], t: [0]})
    array([0.69314718])
    """
    coding, true = as_tensor(coding_dist), as_tensor(true_one_of_n)
    return neg(log(_picked(coding, true, "crossentropy_categorical_1hot")))


def softmax_cross_entropy_with_logits(logits: Any, labels: Any) -> Any:
    """The cross-entropy between labels and ``softmax(logits)`` along the last axis, as in TensorFlow.

    Parameters
    ----------
    logits
        Real numbers.
    labels
        Probabilities of the same number of dimensions, or, with one dimension less, integers that give the place of
        the 1 in each row.

    Returns
    -------
    variable
        One number for each row.

    Raises
    ------
    ShapeError, DtypeError
        As for ``categorical_crossentropy``.

    >>> import tinygraph.tensor as T
    >>> x, t = T.matrix("x"), T.ivector("t")
    >>> T.nnet.softmax_cross_entropy_with_logits(logits=x, labels=t).eval({x: [[1000, 0]], t: [1]})
    array([1000.])
    """
    x, true = _with_distribution(logits, labels, "softmax_cross_entropy_with_logits")
    logs = logsoftmax(x, axis=-1)
    if true.ndim == x.ndim:
        return neg(sum_over(mul(true, logs), axis=-1))
    return neg(_picked(logs, true, "softmax_cross_entropy_with_logits"))


def crossentropy_softmax_1hot(x: Any, y_idx: Any) -> tuple[Any, Any]:
    """The cross-entropies and the softmax of the rows of ``x``, as a pair.

    Parameters
    ----------
    x
        A matrix of real numbers, one row for each case.
    y_idx
        For each row the place of the right answer, an integer vector.

    Raises
    ------
    ShapeError, DtypeError
        As for ``categorical_crossentropy``.

    >>> import tinygraph.tensor as T
    >>> x, t = T.matrix("x"), T.ivector("t")
    >>> loss, y = T.nnet.crossentropy_softmax_1hot(x, t)
    >>> loss.eval({x: [[0, 1000]], t: [0]}), y.eval({x: [[0, 1000]]})
    (array([1000.]), array([[0., 1.]]))
    """
    return neg(_picked(logsoftmax(x), as_tensor(y_idx), "crossentropy_softmax_1hot")), softmax(x)


def crossentropy_softmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> tuple[Any, Any]:
    """``crossentropy_softmax_1hot(x + b, y_idx)``."""
    return crossentropy_softmax_1hot(add(x, b), y_idx)


def crossentropy_softmax_argmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> tuple[Any, Any, Any]:
    """As ``crossentropy_softmax_1hot_with_bias``, and third the place of the largest element of each row."""
    shifted = add(x, b)
    return *crossentropy_softmax_1hot(shifted, y_idx), argmax(shifted, axis=-1)


def crossentropy_softmax_max_and_argmax_1hot(x: Any, y_idx: Any) -> tuple[Any, Any, Any, Any]:
    """As ``crossentropy_softmax_1hot``, and then for each row the largest probability and its place."""
    loss, probabilities = crossentropy_softmax_1hot(x, y_idx)
    largest, place = max_and_argmax(probabilities, axis=-1)
    return loss, probabilities, largest, place


def crossentropy_softmax_max_and_argmax_1hot_with_bias(x: Any, b: Any, y_idx: Any) -> tuple[Any, Any, Any, Any]:
    """``crossentropy_softmax_max_and_argmax_1hot(x + b, y_idx)``."""
    return crossentropy_softmax_max_and_argmax_1hot(add(x, b), y_idx)


def _with_target(output: Any, target: Any) -> tuple[Any, Any]:
    """Outputs as floats and targets; targets that are integers or bools take the dtype of the outputs."""
    (output,), dtype = as_operands([output], as_float=True)
    target = as_tensor(target)
    return output, cast(target, dtype) if is_discrete(target.dtype) else target


def _with_distribution(output: Any, target: Any, op: str) -> tuple[Any, Any]:
    """Outputs as floats, and targets that are probabilities or, with one dimension less, places."""
    target = as_tensor(target)
    if target.ndim == as_tensor(output).ndim:
        return _with_target(output, target)
    (output,), _ = as_operands([output], as_float=True)
    return output, target


def _picked(x: Any, places: Any, op: str) -> Any:
    """The element of each row of ``x``, along its last axis, at the place that is given for that row."""
    if places.ndim != x.ndim - 1:
        raise located(
            ShapeError(
                "the targets have the wrong number of dimensions",
                expected=f"{x.ndim} (probabilities) or {x.ndim - 1} (places)",
                actual=str(places.type),
            ),
            op,
        )
    if not is_discrete(places.dtype) or places.dtype == "bool":
        raise located(
            DtypeError(
                "targets with one dimension less than the outputs are places",
                expected="integers",
                actual=str(places.type),
                hint="declare them as T.ivector, or cast them with .astype('int64')",
            ),
            op,
        )
    return subtensor(x, (*(_counted(x, axis) for axis in range(places.ndim)), places))


def _counted(x: Any, axis: int) -> Any:
    """The positions along an axis of ``x``, laid along that axis of places in the others."""
    positions = arange(AxisExtent(axis)(x))
    if x.ndim == 2:
        return positions
    return DimShuffle(tuple(0 if other == axis else "x" for other in range(x.ndim - 1)))(positions)
