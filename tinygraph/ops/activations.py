"""Activations that came after Theano, and units made of several."""

from __future__ import annotations

import math
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.ops.axes import located, one_axis
from tinygraph.ops.convert import as_operands, as_tensor
from tinygraph.ops.layout import Reshape
from tinygraph.ops.reduce import max as max_over
from tinygraph.ops.scalar import add, int_div, mul, power
from tinygraph.ops.scalar import leaky_relu as sloped_relu
from tinygraph.ops.shape import as_shape, extents, known_size
from tinygraph.ops.special import erfc
from tinygraph.ops.transcendental import sigmoid

__all__ = ["gelu", "leaky_relu", "maxout", "silu", "swish"]


def swish(x: Any, beta: Any = 1) -> Any:
    """``x * sigmoid(beta * x)``; ``beta`` may be a tensor that is learned.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.swish(x).eval({x: [0, 1]})
    array([0.        , 0.73105858])
    """
    (x,), _ = as_operands([x], as_float=True)
    return mul(x, sigmoid(mul(beta, x)))


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``: ``swish`` with ``beta`` 1."""
    return swish(x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x`` times the probability that a standard normal number is below ``x``.

    Parameters
    ----------
    x
        A tensor of any shape; integers are read as ``config.floatX``.
    approximate
        Use ``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`` instead of the error function.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.gelu(x).eval({x: [0, 1]}), T.nnet.gelu(x, approximate=True).eval({x: [0, 1]})
    (array([0.        , 0.84134475]), array([0.        , 0.84119199]))
    """
    (x,), _ = as_operands([x], as_float=True)
    if approximate:
        # (1 + tanh(u)) / 2 is sigmoid(2 * u), which does not cancel for negative u.
        return mul(x, sigmoid(mul(2 * math.sqrt(2 / math.pi), add(x, mul(0.044715, power(x, 3))))))
    return mul(mul(x, 0.5), erfc(mul(x, -math.sqrt(0.5))))


def leaky_relu(x: Any, alpha: Any = 0.01) -> Any:
    """``x`` where it is positive, else ``alpha * x``: ``relu`` with a slope.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> T.nnet.leaky_relu(x).eval({x: [-1, 2]})
    array([-0.01,  2.  ])
    """
    return sloped_relu(x, alpha)


def maxout(x: Any, pieces: int, axis: int = -1) -> Any:
    """The largest of every ``pieces`` neighbours along an axis.

    Parameters
    ----------
    x
        Activations.
    pieces
        How many neighbours make one unit; the extent of the axis is a multiple of it.
    axis
        The axis; negative ones count from the end.

    Raises
    ------
    ShapeError
        If there is no such axis, ``pieces`` is not positive, or the extent is no multiple of it.

    >>> import tinygraph.tensor as T
    >>> T.nnet.maxout(T.constant([[1, 5, 3, 2]]), 2).eval().tolist()
    [[5, 3]]
    """
    x, size = as_tensor(x), known_size(pieces, "maxout")
    at = one_axis(axis, x.ndim, "maxout")
    if size < 1:
        raise located(ShapeError("a unit needs pieces", expected="at least 1", actual=str(size)), "maxout")
    sizes = extents(x)
    sizes[at : at + 1] = [int_div(as_tensor(sizes[at]), size), size]
    return max_over(Reshape()(x, as_shape(sizes, "maxout")), axis=at + 1)
