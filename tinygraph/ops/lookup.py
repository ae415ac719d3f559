"""Layers and counts that look rows up: embeddings, hierarchical softmax, confusion matrices."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.axes import flat, located
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.counting import unique
from tinygraph.ops.creation import arange, zeros
from tinygraph.ops.inc_subtensor import inc_subtensor
from tinygraph.ops.indexing import subtensor, take
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle, Reshape
from tinygraph.ops.linalg import batched_dot, dot, tensordot
from tinygraph.ops.nnet import softmax
from tinygraph.ops.pieces import concatenate
from tinygraph.ops.reduce import sum as sum_over
from tinygraph.ops.scalar import add, int_div, mod, mul
from tinygraph.ops.shape import as_shape, extent, specify_shape
from tinygraph.types import is_discrete

__all__ = [
    "confusion_matrix",
    "embedding",
    "h_softmax",
    "prepend_0_to_each_row",
    "prepend_1_to_each_row",
    "prepend_scalar_to_each_row",
    "sparse_block_dot",
]


def embedding(W: Any, indices: Any) -> Any:
    """The rows of ``W`` that ``indices`` name.

    Parameters
    ----------
    W
        One row for each word: a matrix, or a tensor of more dimensions.
    indices
        Integers, a tensor of any shape.

    Returns
    -------
    variable
        ``W[indices]``: the shape of ``indices``, then that of a row.

    No one-hot matrix is made. The gradient towards ``W`` adds the rows of the cotangent up where they were read; to
    touch only these rows in an update, differentiate towards the result and write ``inc_subtensor(rows, -rate * g)``.

    Raises
    ------
    IndexingError
        If an index is out of bounds.
    DtypeError
        If the indices are no integers.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> W, words = tg.shared([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), T.lvector("words")
    >>> rows = T.nnet.embedding(W, words)
    >>> step = T.inc_subtensor(rows, -0.5 * tg.grad(rows.sum(), rows))
    >>> train = tg.function([words], updates=[(W, step)])
    >>> _ = train([1, 1])
    >>> W.get_value().tolist()
    [[0.0, 0.0], [0.0, 0.0], [2.0, 2.0]]
    """
    indices = as_tensor(indices)
    if not is_discrete(indices.dtype) or indices.dtype == "bool":
        raise located(
            DtypeError("rows are named by integers", expected="integers", actual=str(indices.type)), "embedding"
        )
    return take(W, indices, axis=0)


def h_softmax(
    x: Any,
    batch_size: Any,
    n_outputs: Any,
    n_classes: Any,
    n_outputs_per_class: Any,
    W1: Any,
    b1: Any,
    W2: Any,
    b2: Any,
    target: Any = None,
) -> Any:
    """A softmax of two levels: probabilities of classes, times those of the outputs within each class.

    Parameters
    ----------
    x
        Features, of shape (batch_size, number of features).
    batch_size, n_outputs, n_classes, n_outputs_per_class
        Sizes; ``n_classes * n_outputs_per_class`` is at least ``n_outputs``, and what is beyond is left out.
    W1, b1
        Weights (features, n_classes) and biases (n_classes,) of the classes.
    W2, b2
        Weights (n_classes, features, n_outputs_per_class) and biases (n_classes, n_outputs_per_class) of the outputs.
    target
        For each example the number of one output, an integer vector or column; then only these probabilities are
        computed, which takes n_classes + n_outputs_per_class steps instead of their product.

    Returns
    -------
    variable
        Probabilities of shape (batch_size, n_outputs); with ``target`` a vector of batch_size probabilities.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    IndexingError
        If a target is beyond all classes.

    >>> import numpy as np, tinygraph.tensor as T
    >>> W1, W2 = np.zeros((5, 2)), np.zeros((2, 5, 3))
    >>> x = T.matrix("x")
    >>> T.nnet.h_softmax(x, 1, 6, 2, 3, W1, [0, 0], W2, np.zeros((2, 3))).eval({x: np.ones((1, 5))}).round(3)
    array([[0.167, 0.167, 0.167, 0.167, 0.167, 0.167]])
    """
    x, W1, b1, W2, b2 = (as_tensor(v) for v in (x, W1, b1, W2, b2))
    classes = softmax(add(dot(x, W1), b1))
    if target is None:
        inside = softmax(add(tensordot(x, W2, [[1], [1]]), b2), axis=-1)
        joint = mul(DimShuffle((0, 1, "x"))(classes), inside)
        out = Reshape()(joint, as_shape((batch_size, -1), "h_softmax"))
        return subtensor(out, (slice(None), slice(None, n_outputs)))
    target = flat(as_tensor(target))
    of_class = int_div(target, n_outputs_per_class)
    inside = softmax(add(batched_dot(x, take(W2, of_class, axis=0)), take(b2, of_class, axis=0)))
    rows = arange(AxisExtent(0)(x))
    return mul(
        subtensor(classes, (rows, of_class)),
        subtensor(inside, (rows, mod(target, n_outputs_per_class))),
    )


def sparse_block_dot(W: Any, h: Any, inputIdx: Any, b: Any, outputIdx: Any) -> Any:
    """A product of which only some blocks are computed, plus a bias.

    Parameters
    ----------
    W
        Blocks of weights, of shape (input blocks, output blocks, input size, output size).
    h
        Activations of the input blocks that are used, of shape (batch, used inputs, input size).
    inputIdx
        Which input blocks these are, an integer matrix (batch, used inputs).
    b
        Biases, of shape (output blocks, output size).
    outputIdx
        The output blocks that are wanted, an integer matrix (batch, wanted outputs).

    Returns
    -------
    variable
        For each example the sums over its used inputs of ``h @ W``, plus the biases, of shape (batch, wanted outputs,
        output size).

    Raises
    ------
    ShapeError
        If the numbers of dimensions or the extents do not fit.

    >>> import numpy as np, tinygraph.tensor as T
    >>> W = np.arange(6.0).reshape((3, 2, 1, 1))
    >>> T.nnet.sparse_block_dot(W, [[[1.0], [10.0]]], [[0, 2]], np.zeros((2, 1)), [[1]]).eval().tolist()
    [[[51.0]]]
    """
    W, h, inputs, b, outputs = (as_tensor(v) for v in (W, h, inputIdx, b, outputIdx))
    for v, name, ndim in ((W, "W", 4), (h, "h", 3), (inputs, "inputIdx", 2), (b, "b", 2), (outputs, "outputIdx", 2)):
        if v.ndim != ndim:
            raise located(
                ShapeError(f"{name} has the wrong number of dimensions", expected=f"{ndim}", actual=str(v.type)),
                "sparse_block_dot",
            )
    blocks = subtensor(W, (DimShuffle((0, 1, "x"))(inputs), DimShuffle((0, "x", 1))(outputs)))
    products = mul(DimShuffle((0, 1, "x", 2, "x"))(h), blocks)
    return add(sum_over(products, axis=(1, 3)), take(b, outputs, axis=0))


def confusion_matrix(actual: Any, pred: Any) -> list[Any]:
    """How often each label was predicted as which.

    Parameters
    ----------
    actual, pred
        The right labels and the predicted ones, two vectors of one length.

    Returns
    -------
    list
        The matrix of counts, int64, in which ``[i, j]`` counts label i predicted as label j; and the labels that occur,
        in ascending order, which the rows and columns stand for.

    Raises
    ------
    ShapeError
        If they are no vectors of one length.

    >>> import tinygraph.tensor as T
    >>> counts, labels = T.nnet.confusion_matrix([2, 0, 2, 2, 0, 1], [0, 0, 2, 2, 0, 2])
    >>> counts.eval().tolist(), labels.eval().tolist()
    ([[2, 0, 0], [0, 0, 1], [1, 0, 2]], [0, 1, 2])
    """
    actual, pred = as_tensor(actual), as_tensor(pred)
    if actual.ndim != 1 or pred.ndim != 1:
        raise located(
            ShapeError("labels are vectors", expected="1 dimension", actual=f"{actual.type} and {pred.type}"),
            "confusion_matrix",
        )
    half = extent(actual, 0)
    labels, places = unique(concatenate([actual, specify_shape(pred, (half,))]), return_inverse=True)
    rows, columns = subtensor(places, slice(half)), subtensor(places, slice(half, None))
    count = extent(labels, 0)
    pairs = subtensor(zeros((count, count), "int64"), (rows, columns))
    return [inc_subtensor(pairs, 1), labels]


def prepend_scalar_to_each_row(val: Any, mat: Any) -> Any:
    """The matrix ``mat`` with a column in front that holds the number ``val``.

    >>> import tinygraph.tensor as T
    >>> T.nnet.prepend_scalar_to_each_row(7, [[1, 2], [3, 4]]).eval().tolist()
    [[7, 1, 2], [7, 3, 4]]
    """
    mat = as_tensor(mat)
    if mat.ndim != 2:
        raise located(
            ShapeError("a matrix is needed", expected="2 dimensions", actual=str(mat.type)),
            "prepend_scalar_to_each_row",
        )
    column = BroadcastTo()(cast(val, mat.dtype), as_shape((extent(mat, 0), 1), "prepend_scalar_to_each_row"))
    return concatenate([column, mat], axis=1)


def prepend_0_to_each_row(mat: Any) -> Any:
    """The matrix with a column of zeros in front."""
    return prepend_scalar_to_each_row(0, mat)


def prepend_1_to_each_row(mat: Any) -> Any:
    """The matrix with a column of ones in front."""
    return prepend_scalar_to_each_row(1, mat)
