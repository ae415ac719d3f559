"""Random categories and orders, as functions of the state of a stream: each returns the next state and the sample."""

from __future__ import annotations

from typing import Any

from tinygraph.config import config
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Constant, Variable
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, cast, constant
from tinygraph.ops.creation import arange, ones
from tinygraph.ops.indexing import take
from tinygraph.ops.join import Join
from tinygraph.ops.layout import BroadcastTo, DimShuffle, Reshape, Shape
from tinygraph.ops.random import COUNTS, Drawn, advance, integers, sized
from tinygraph.ops.samplers import Categorical, Integers, Multinomial, Uniform, WithoutReplacement, in_domain
from tinygraph.ops.scalar import eq, mul, sub
from tinygraph.ops.shape import as_shape, as_size, extent
from tinygraph.ops.sorting import ArgSort, Permute
from tinygraph.types import is_discrete

__all__ = [
    "choice",
    "choice_of_rows",
    "multinomial",
    "multinomial_wo_replacement",
    "permutation",
    "shuffle_row_elements",
]


def _row_shape(op: str, size: Any, ndim: Any, n: Any, pvals: Any) -> tuple[Any, Any, Any]:
    """The shape of draws from rows of probabilities, and ``n`` and the rows broadcast to it, save scalars."""
    if pvals is None:
        raise located(DtypeError("there are no weights to draw by", expected="a tensor", actual="None"), op)
    pvals = _floats(pvals)
    if pvals.ndim == 0:
        raise located(ShapeError("probabilities of categories are at least a vector", actual=str(pvals.type)), op)
    first = take(pvals, 0, axis=-1) if pvals.ndim > 1 else constant(0.0)  # it only lends its shape
    shape, (n, _) = sized(op, size, ndim, [n, first])
    if pvals.ndim > 1:
        pvals = BroadcastTo()(pvals, _appended(shape, extent(pvals, -1)))
    return shape, n, pvals


def _appended(shape: Any, n: Any) -> Any:
    """A shape with one more extent at its end."""
    return Join(0)(shape, as_shape((n,), "random"))


def _floats(x: Any) -> Any:
    """Weights as a tensor of floats."""
    x = as_tensor(x)
    return cast(x, config.floatX) if is_discrete(x.dtype) else x


def multinomial(
    random_state: Any,
    size: Any = None,
    n: Any = 1,
    pvals: Any = (0.5, 0.5),
    ndim: int | None = None,
    dtype: Any = "int64",
) -> Drawn:
    """How often each category comes up in ``n`` draws.

    Parameters
    ----------
    random_state
        As for ``uniform``.
    size, ndim
        Shape and number of dimensions of the result without its last axis; by default what ``n`` and the rows of
        ``pvals`` broadcast to.
    n
        Numbers of draws.
    pvals
        Probabilities along the last axis, which add up to 1.
    dtype
        To which dtype the result is converted.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape or a dtype does not fit, ``n`` is negative, or ``pvals`` are no probabilities.

    >>> import numpy as np, tinygraph as tg
    >>> _, counts = multinomial(tg.shared(np.array([7, 0], "uint64")), n=10, pvals=[[0.2, 0.8], [1.0, 0.0]])
    >>> counts.eval().sum(axis=1).tolist()
    [10, 10]
    """
    count = integers(n, "multinomial", "n")
    shape, count, rows = _row_shape("multinomial", size, ndim, count, pvals)
    if isinstance(count, Constant) and count.ndim == 0 and count.data == 1:
        drawn = Categorical("int64")(random_state, shape, rows)
        places = arange(extent(rows, -1))
        counts = eq(DimShuffle((*range(drawn.ndim), "x"))(drawn), places)
    else:
        counts = Multinomial("int64")(random_state, shape, in_domain(count, "multinomial", "n", 0, COUNTS), rows)
    return advance(random_state), cast(counts, dtype)


def multinomial_wo_replacement(
    random_state: Any,
    size: Any = None,
    n: Any = 1,
    pvals: Any = None,
    ndim: int | None = None,
    dtype: Any = "int64",
) -> Drawn:
    """``n`` distinct categories for each row of weights, drawn one after the other.

    Parameters
    ----------
    random_state
        As for ``uniform``.
    size, ndim
        Shape and number of dimensions of the result without its last axis; by default those of the rows of ``pvals``.
    n
        How many, a size.
    pvals
        Weights along the last axis, not negative; each draw is in proportion to the weights that remain.
    dtype
        To which dtype the numbers of categories are converted.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape or a dtype does not fit, a weight is negative, or fewer than ``n`` weights are positive.

    >>> import numpy as np, tinygraph as tg
    >>> _, pick = multinomial_wo_replacement(tg.shared(np.array([7, 0], "uint64")), n=2, pvals=[0.5, 0.0, 0.5])
    >>> sorted(pick.eval().tolist())
    [0, 2]
    """
    shape, _, rows = _row_shape("multinomial_wo_replacement", size, ndim, constant(0), pvals)
    return advance(random_state), _distinct(random_state, shape, n, rows, dtype)


def _distinct(random_state: Any, shape: Any, n: Any, rows: Any, dtype: Any) -> Any:
    """``n`` distinct categories for each row of weights, or for each of ``shape`` where there is one row."""
    sizes = _appended(shape, as_size(n, "choice"))
    if rows.ndim == 1 and sizes.type.shape[0] > 1:
        rows = BroadcastTo()(rows, _appended(shape, extent(rows, -1)))
    return cast(WithoutReplacement("int64")(random_state, sizes, rows), dtype)


def choice(
    random_state: Any,
    size: Any = None,
    a: Any = 2,
    replace: bool = True,
    p: Any = None,
    ndim: int | None = None,
    dtype: Any = None,
) -> Drawn:
    """Entries drawn from a vector.

    Parameters
    ----------
    random_state, size, ndim
        As for ``uniform``; without ``size`` one entry is drawn.
    a
        A vector, or a number that stands for the integers below it; None for as many as ``p`` has entries.
    replace
        False draws no entry twice.
    p
        Probabilities of the entries, by default all the same.
    dtype
        To which dtype the result is converted; by default that of the vector.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape or a dtype does not fit, ``p`` are no probabilities, or there are too few entries.

    >>> import numpy as np, tinygraph as tg
    >>> _, x = choice(tg.shared(np.array([7, 0], "uint64")), (3,), [10, 20, 30], replace=False)
    >>> sorted(x.eval().tolist())
    [10, 20, 30]
    """
    weights = None if p is None else _floats(p)
    if weights is not None and weights.ndim != 1:
        raise located(ShapeError("p is a vector", expected="1 dimension", actual=str(weights.type)), "choice")
    if a is None and weights is None:
        raise located(DtypeError("there is nothing to choose from", expected="a, or p"), "choice")
    entries = as_tensor(extent(weights, 0) if a is None else a)
    if entries.ndim > 1:
        raise located(ShapeError("choose from a vector or a number", actual=str(entries.type)), "choice")
    count = extent(entries, 0) if entries.ndim else as_size(entries, "choice")
    shape, _ = sized("choice", size, ndim, [])
    if _known(replace):
        if weights is None:
            index = Integers("int64")(random_state, shape, constant(0, dtype="int64"), cast(sub(count, 1), "int64"))
        else:
            index = Categorical("int64")(random_state, shape, weights)
    else:
        index = _chosen(random_state, shape, ones((count,), config.floatX) if weights is None else weights)
    drawn = take(entries, index) if entries.ndim else index
    return advance(random_state), drawn if dtype is None else cast(drawn, dtype)


def choice_of_rows(
    random_state: Any, size: Any = 1, replace: Any = True, p: Any = None, ndim: None = None, dtype: Any = "int64"
) -> Drawn:
    """``size`` numbers of categories for each row of weights, as ``MRG_RandomStreams.choice`` takes them.

    Parameters
    ----------
    random_state
        As for ``uniform``.
    size
        How many for each row, a size.
    replace
        False draws no category of a row twice.
    p
        Weights along the last axis; with ``replace`` they must add up to 1.
    ndim
        Only None: the rows decide.
    dtype
        To which dtype the result is converted.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape or a dtype does not fit, a weight is negative, or too few of them are positive.

    >>> import numpy as np, tinygraph as tg
    >>> _, x = choice_of_rows(tg.shared(np.array([7, 0], "uint64")), 2, False, [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    >>> np.sort(x.eval(), axis=1).tolist()
    [[0, 1], [1, 2]]
    """
    if ndim is not None:
        raise located(
            ShapeError("the rows decide the number of dimensions", expected="None", actual=f"{ndim}"), "choice"
        )
    if not _known(replace):
        return multinomial_wo_replacement(random_state, None, size, p, None, dtype)
    shape, _, rows = _row_shape("choice", None, None, constant(0), p)
    each, count = _appended(shape, as_size(size, "choice")), extent(rows, -1)
    if rows.ndim > 1:
        lines = DimShuffle((*range(rows.ndim - 1), "x", rows.ndim - 1))(rows)
        rows = BroadcastTo()(lines, _appended(each, count))
    return advance(random_state), cast(Categorical("int64")(random_state, each, rows), dtype)


def _known(replace: Any) -> bool:
    """Whether to draw with replacement, which decides what the graph is."""
    if isinstance(replace, Constant):
        replace = replace.data
    if isinstance(replace, Variable):
        raise located(DtypeError("replace must be known when the graph is built", actual=f"{replace}"), "choice")
    return bool(replace)


def _chosen(random_state: Any, shape: Any, weights: Any) -> Any:
    """Distinct numbers of categories, as many as a tensor of this shape holds, in that shape."""
    number: Any = 1
    for axis in range(int(shape.type.shape[0])):
        number = mul(number, take(shape, axis))
    return Reshape()(_distinct(random_state, constant([], dtype="int64"), number, weights, "int64"), shape)


def permutation(random_state: Any, size: Any = None, n: Any = 1, ndim: int | None = None, dtype: Any = None) -> Drawn:
    """Random orders: the integers below ``n``, or the entries of a tensor along its first axis.

    Parameters
    ----------
    random_state
        As for ``uniform``.
    size, ndim
        How many permutations: the shape of the result without what one of them takes. By default one.
    n
        A number, which may be symbolic, or a tensor.
    dtype
        To which dtype the result is converted; by default int64, or that of the tensor.

    Raises
    ------
    ShapeError, DtypeError
        If a shape or a dtype does not fit.

    >>> import numpy as np, tinygraph as tg
    >>> _, order = permutation(tg.shared(np.array([7, 0], "uint64")), (2,), 4)
    >>> np.sort(order.eval(), axis=1).tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    entries = as_tensor(n)
    count = extent(entries, 0) if entries.ndim else as_size(n, "permutation")
    if size is None or (isinstance(size, (list, tuple)) and not len(size)):
        if ndim not in (None, 0, 1):
            raise located(
                ShapeError("one permutation has one dimension", expected="1", actual=f"{ndim}"), "permutation"
            )
        shape = constant([], dtype="int64")
    else:
        shape, _ = sized("permutation", size, ndim, [])
    keys = Uniform("float64")(random_state, _appended(shape, count))
    order = ArgSort(keys.ndim - 1, stable=False)(keys)
    drawn = take(entries, order, axis=0) if entries.ndim else order
    return advance(random_state), drawn if dtype is None else cast(drawn, dtype)


def shuffle_row_elements(random_state: Any, input: Any) -> Drawn:
    """Every row of a tensor, along its last axis, in a random order of its own; gradients follow.

    Raises
    ------
    ShapeError
        If ``input`` is a scalar.

    >>> import numpy as np, tinygraph as tg
    >>> _, x = shuffle_row_elements(tg.shared(np.array([7, 0], "uint64")), [[1, 2, 3], [4, 5, 6]])
    >>> np.sort(x.eval(), axis=1).tolist()
    [[1, 2, 3], [4, 5, 6]]
    """
    rows = as_tensor(input)
    if rows.ndim == 0:
        raise located(ShapeError("a scalar has no rows", actual=str(rows.type)), "shuffle_row_elements")
    keys = Uniform("float64")(random_state, Shape()(rows))
    order = ArgSort(rows.ndim - 1, stable=False)(keys)
    shuffled = Permute(rows.ndim - 1)(rows, order)
    shuffled.permutation = order
    return advance(random_state), shuffled
