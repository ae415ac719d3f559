"""Counting and finding values: distinct values, bins, places in a sorted vector, one-hot rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.config import config
from tinygraph.errors import DtypeError, IndexingError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import flat, located, one_axis
from tinygraph.ops.convert import as_operands, as_tensor, cast, constant
from tinygraph.ops.creation import arange, zeros
from tinygraph.ops.inc_subtensor import inc_subtensor, set_subtensor
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import AxisExtent, Reshape, Shape, zeros_of
from tinygraph.ops.scalar import maximum
from tinygraph.ops.shape import as_shape, as_size, extents, integer_vector
from tinygraph.types import Abstract, TensorType, is_discrete

__all__ = ["BinsNeeded", "SearchSorted", "Unique", "bincount", "searchsorted", "to_one_hot", "unique"]

Vjp = Sequence[Any]


def _integers(x: Any, what: str, op: str) -> Any:
    """``x`` as a tensor of integers; a DtypeError for anything else."""
    x = as_tensor(x)
    if not is_discrete(x.dtype) or x.dtype == "bool":
        hint = "cast it with .astype('int64')"
        raise located(DtypeError(f"{what} are integers", expected="integers", actual=str(x.type), hint=hint), op)
    return x


# --- distinct values ----------------------------------------------------------------------------------------------


class Unique(Op):
    """The distinct values of a tensor in ascending order, or its distinct slices along an axis.

    Parameters
    ----------
    return_index
        Also give for each value where it comes first.
    return_inverse
        Also give for each element, in C order, the number of its value.
    return_counts
        Also give for each value how often it comes.
    axis
        None for the elements of the whole tensor.
    """

    return_index: bool = False
    return_inverse: bool = False
    return_counts: bool = False
    axis: int | None = None

    structural = True

    def infer(self, x: Abstract) -> list[TensorType]:
        if self.axis is None:
            length, values = None, x.type.with_shape((None,))
            size: int | None = 1
            for n in x.shape:
                size = None if n is None or size is None else size * n
        else:
            axis = one_axis(self.axis, x.ndim, self.name)
            length, size = None, x.shape[axis]
            values = x.type.with_shape((*x.shape[:axis], None, *x.shape[axis + 1 :]))
        places = TensorType("int64", (length,))
        flags = (self.return_index, self.return_inverse, self.return_counts)
        extra = (places, TensorType("int64", (size,)), places)
        return [values, *(type for type, wanted in zip(extra, flags, strict=True) if wanted)]

    def compute(self, xp: Any, x: Any) -> Any:
        found = xp.unique(x, self.return_index, self.return_inverse, self.return_counts, axis=self.axis)
        if not isinstance(found, tuple):
            return found
        return (found[0], *(a.reshape(-1).astype("int64", copy=False) for a in found[1:]))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,), g = inputs, cotangents[0]
        if g is None:
            return [None]

        def to_x() -> Any:
            _, first = Unique(return_index=True, axis=self.axis)(x)
            if self.axis is None:
                lines = zeros_of(flat(x), g.dtype)
                return Reshape()(inc_subtensor(subtensor(lines, first), g), Shape()(x))
            index = (*[slice(None)] * one_axis(self.axis, x.ndim, self.name), first)
            return inc_subtensor(subtensor(zeros_of(x, g.dtype), index), g)

        return [to_x]


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
) -> Any:
    """The distinct values of ``ar`` in ascending order, or its distinct slices along an axis.

    Parameters
    ----------
    ar
        A tensor of any shape and dtype.
    return_index
        Also return for each value where it comes first.
    return_inverse
        Also return for each element the number of its value, as a vector (elements in C order), as in Theano.
    return_counts
        Also return for each value how often it comes.
    axis
        None for the elements of the whole tensor.

    Returns
    -------
    variable, or list of variables
        The values, and what was asked for, as int64 vectors. How many there are is known when the function runs. The
        gradient flows to the element that comes first of each value.

    Raises
    ------
    ShapeError
        If there is no such axis.

    >>> import tinygraph.tensor as T
    >>> values, counts = T.unique([3, 1, 3], return_counts=True)
    >>> values.eval(), counts.eval()
    (array([1, 3]), array([1, 2]))
    """
    x = as_tensor(ar)
    at = None if axis is None else one_axis(axis, x.ndim, "unique")
    return Unique(bool(return_index), bool(return_inverse), bool(return_counts), at)(x)


# --- bins ---------------------------------------------------------------------------------------------------------


class BinsNeeded(Op):
    """One more than the largest of some integers, which must not be negative; 0 where there are none."""

    @property
    def name(self) -> str:
        return "bincount"

    def infer(self, x: Abstract) -> TensorType:
        return TensorType("int64")

    def compute(self, xp: Any, x: Any) -> Any:
        if not x.size:
            return xp.asarray(0, dtype="int64")
        least = int(xp.min(x))
        if least < 0:
            raise IndexingError("there is no bin for a negative number", expected="numbers from 0", actual=str(least))
        return xp.max(x).astype("int64") + xp.asarray(1, dtype="int64")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


def bincount(x: Any, weights: Any = None, minlength: Any = None, assert_nonneg: bool = False) -> Any:
    """How often each number from 0 on comes in ``x``.

    Parameters
    ----------
    x
        A vector of integers from 0 on.
    weights
        A vector of the same length; the weights of each number are added up instead.
    minlength
        The least number of bins, an integer that may be symbolic; there are as many as the largest number needs.
    assert_nonneg
        Accepted as in Theano; negative numbers are always an error.

    Returns
    -------
    variable
        A vector of int64, or of the dtype of the weights, to which the gradient flows.

    Raises
    ------
    IndexingError
        When the function runs, if a number is negative.
    ShapeError, DtypeError
        If ``x`` is no vector of integers, or the weights are no vector of that length.

    >>> import tinygraph.tensor as T
    >>> T.bincount([0, 2, 2], minlength=4).eval(), T.bincount([0, 2, 2], [1.0, 0.5, 0.5]).eval()
    (array([1, 0, 2, 0]), array([1., 0., 1.]))
    """
    x = cast(_integers(x, "the numbers that are counted", "bincount"), "int64")
    weights = constant(1, dtype="int64") if weights is None else as_tensor(weights)
    if x.ndim != 1 or weights.ndim > 1:
        raise located(ShapeError("vectors are needed", expected="1 dimension", actual=f"{x.type}"), "bincount")
    bins = BinsNeeded()(x)
    if minlength is not None:
        bins = maximum(bins, as_size(minlength, "bincount"))
    dtype = "int64" if weights.dtype == "bool" else weights.dtype
    return inc_subtensor(subtensor(zeros((bins,), dtype), x), cast(weights, dtype))


def to_one_hot(y: Any, nb_class: Any, dtype: Any = None) -> Any:
    """For each integer a row with a one in its place and zeros elsewhere.

    Parameters
    ----------
    y
        Integers below ``nb_class``, a tensor of any shape; negative ones count from the end.
    nb_class
        The length of a row, an integer that may be symbolic.
    dtype
        By default ``config.floatX``.

    Returns
    -------
    variable
        The shape of ``y``, and a last axis of extent ``nb_class``.

    Raises
    ------
    IndexingError
        When the function runs, if an integer is out of bounds.
    DtypeError
        If ``y`` does not hold integers.

    >>> import tinygraph.tensor as T
    >>> T.extra_ops.to_one_hot([2, 0], 3).eval().tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    y = _integers(y, "places", "to_one_hot")
    columns, places = as_size(nb_class, "to_one_hot"), flat(y)
    rows = zeros((AxisExtent(0)(places), columns), dtype or config.floatX)
    out = set_subtensor(subtensor(rows, (arange(AxisExtent(0)(places)), places)), 1)
    return out if y.ndim == 1 else Reshape()(out, as_shape([*extents(y), columns], "to_one_hot"))


# --- places in a sorted vector ------------------------------------------------------------------------------------


class SearchSorted(Op):
    """Where values would have to be put into a sorted vector; a third input gives the order that sorts it."""

    side: str

    @property
    def name(self) -> str:
        return "searchsorted"

    def infer(self, x: Abstract, v: Abstract, sorter: Abstract | None = None) -> TensorType:
        if x.ndim != 1 or (sorter is not None and sorter.ndim != 1):
            raise ShapeError("only a vector is searched", expected="1 dimension", actual=str(x.type))
        if sorter is not None and None not in (*x.shape, *sorter.shape) and x.shape != sorter.shape:
            raise ShapeError("the order has a place for each entry", expected=str(x.shape), actual=str(sorter.shape))
        return v.type.with_dtype("int64")

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[1]

    def compute(self, xp: Any, x: Any, v: Any, sorter: Any = None) -> Any:
        if sorter is not None and (sorter.shape != x.shape or bool(((sorter < 0) | (sorter >= x.size)).any())):
            raise IndexingError("the order must name each entry of the vector", expected=f"0 to {x.size - 1}, once")
        return xp.asarray(xp.searchsorted(x, v, side=self.side, sorter=sorter), dtype="int64")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None] * len(inputs)


def searchsorted(x: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where the values ``v`` would have to be put into the sorted vector ``x`` to keep it sorted.

    Parameters
    ----------
    x
        A vector in ascending order, or in any order where ``sorter`` is given.
    v
        A tensor of any shape.
    side
        ``"left"``: in front of entries that are equal; ``"right"``: behind them.
    sorter
        The result of ``argsort(x)``.

    Returns
    -------
    variable
        int64, of the shape of ``v``; it carries no gradient.

    Raises
    ------
    ShapeError
        If ``x`` is no vector.
    DtypeError
        If ``side`` is something else, or ``sorter`` holds no integers.

    >>> import tinygraph.tensor as T
    >>> T.searchsorted([1, 2, 3], [0, 2, 9]).eval()
    array([0, 1, 3])
    """
    if side not in ("left", "right"):
        raise located(
            DtypeError("there is no such side", expected="'left' or 'right'", actual=repr(side)), "searchsorted"
        )
    (x, v), _ = as_operands([as_tensor(x), v])
    order = [] if sorter is None else [integer_vector(as_tensor(sorter), "searchsorted")]
    return SearchSorted(side)(x, v, *order)
