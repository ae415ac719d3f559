"""Elements selected by place or by rank: choose, the largest elements, permutations of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import flat, located, one_axis
from tinygraph.ops.convert import as_operands, as_tensor, cast
from tinygraph.ops.creation import arange
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle
from tinygraph.ops.positions import broadcast_shape_iter, counted, ravel_multi_index
from tinygraph.ops.scalar import eq, switch
from tinygraph.ops.shape import as_shape, as_size, extents
from tinygraph.ops.sorting import ArgSort, Permute
from tinygraph.types import Abstract, TensorType, canonical_dtype, is_discrete

__all__ = [
    "ArgTopK",
    "argtopk",
    "choose",
    "inverse_permutation",
    "permute_row_elements",
    "topk",
    "topk_and_argtopk",
]

Vjp = Sequence[Any]


# --- the largest elements -----------------------------------------------------------------------------------------


class ArgTopK(Op):
    """The places of the largest elements along an axis, the largest first; or of the smallest, the smallest first.

    The second input says how many: a positive number of the largest, or a negative number of the smallest. Of equal
    elements the first comes first, and NaN counts as the largest.
    """

    axis: int
    dtype: str

    host = (1,)

    @property
    def name(self) -> str:
        return "argtopk"

    def infer(self, x: Abstract, kth: Abstract) -> TensorType:
        k, n = kth.value, x.shape[self.axis]
        if isinstance(k, int):
            _check_count(k, n)
        count = abs(k) if isinstance(k, int) else None
        return TensorType(self.dtype, (*x.shape[: self.axis], count, *x.shape[self.axis + 1 :]))

    def compute(self, xp: Any, x: Any, kth: Any) -> Any:
        k, n = int(kth), x.shape[self.axis]
        _check_count(k, n)
        first = (*[slice(None)] * self.axis, slice(abs(k)))
        if k < 0:
            order = xp.argsort(x, axis=self.axis, kind="stable")[first]
        else:
            # Descending, equal elements in their own order: the ascending order of the reversed elements, reversed.
            order = xp.argsort(xp.flip(x, self.axis), axis=self.axis, kind="stable")
            order = n - 1 - xp.flip(order, self.axis)[first]
        return order.astype(self.dtype)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None]


def _check_count(k: int, n: int | None) -> None:
    if k == 0 or (n is not None and abs(k) > n):
        raise ShapeError(
            f"there are no {abs(k)} elements to select" if k else "at least one element must be selected",
            expected="1 or more, or -1 or less" if n is None else f"1 to {n}, or -{n} to -1",
            actual=str(k),
        )


def topk_and_argtopk(
    x: Any, kth: Any, axis: int | None = -1, sorted: bool = True, idx_dtype: Any = "int64"
) -> tuple[Any, Any]:
    """The largest elements along an axis, and their places.

    Parameters
    ----------
    x
        A tensor of at least one dimension.
    kth
        How many, an integer that may be symbolic; a negative number of elements are the smallest ones.
    axis
        The axis; None selects from the flattened tensor.
    sorted
        Accepted as in Theano: the order is descending (of the smallest, ascending) in any case.
    idx_dtype
        The integer dtype of the places.

    Of equal elements the first comes first. The gradient flows to the elements that were selected.

    Raises
    ------
    ShapeError
        If there is no such axis, ``kth`` is 0, or there are not so many elements.
    DtypeError
        If ``idx_dtype`` is no integer dtype.

    >>> import tinygraph.tensor as T
    >>> values, places = T.topk_and_argtopk([4, 1, 7, 5], 2)
    >>> values.eval(), places.eval()
    (array([7, 5]), array([2, 3]))
    """
    x, places, at = _largest(x, kth, axis, idx_dtype, "topk_and_argtopk")
    return _along(x, places, at), places


def topk(x: Any, kth: Any, axis: int | None = -1, sorted: bool = True, idx_dtype: Any = "int64") -> Any:
    """The largest elements along an axis, in descending order; arguments and errors as for ``topk_and_argtopk``.

    >>> import tinygraph.tensor as T
    >>> T.topk([4, 1, 7, 5], 2).eval(), T.topk([4, 1, 7, 5], -2).eval()
    (array([7, 5]), array([1, 4]))
    """
    return _along(*_largest(x, kth, axis, idx_dtype, "topk"))


def argtopk(x: Any, kth: Any, axis: int | None = -1, sorted: bool = True, idx_dtype: Any = "int64") -> Any:
    """The places of the largest elements along an axis; arguments and errors as for ``topk_and_argtopk``."""
    return _largest(x, kth, axis, idx_dtype, "argtopk")[1]


def _largest(x: Any, kth: Any, axis: int | None, idx_dtype: Any, op: str) -> tuple[Any, Any, int]:
    x, dtype = as_tensor(x), canonical_dtype(idx_dtype)
    if not is_discrete(dtype) or dtype == "bool":
        raise located(DtypeError("places are integers", expected="an integer dtype", actual=dtype), op)
    if axis is None:
        x, axis = flat(x), 0
    at = one_axis(axis, x.ndim, op)
    return x, ArgTopK(at, dtype)(x, as_size(kth, op)), at


def _along(x: Any, places: Any, axis: int) -> Any:
    """The elements of each line of ``x`` along an axis that ``places`` names, line by line."""
    index = [places if i == axis else counted(x, i) for i in range(x.ndim)]
    return subtensor(x, tuple(index))


# --- choice by number ---------------------------------------------------------------------------------------------


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """For each integer in ``a``, the element at its own position in the choice of that number.

    Parameters
    ----------
    a
        Integers from 0 to one less than the number of choices.
    choices
        A list of tensors that broadcast with ``a``; or a tensor, whose first axis counts the choices.
    out
        Only None: results are new tensors.
    mode
        What an integer out of bounds does: ``"raise"``, ``"wrap"`` around, or be ``"clip"``-ped.

    The gradient flows to the elements that were chosen.

    Raises
    ------
    IndexingError
        When the function runs, if an integer is out of bounds, or for an unknown mode.
    ShapeError
        If the tensors do not broadcast, or there are no choices.
    DtypeError
        If ``a`` does not hold integers, or ``out`` is not None.

    >>> import tinygraph.tensor as T
    >>> T.choose([0, 1, 0], [[1, 2, 3], [10, 20, 30]]).eval()
    array([ 1, 20,  3])
    """
    if out is not None:
        raise located(DtypeError("results are new tensors", expected="out=None", actual=repr(out)), "choose")
    a = as_tensor(a)
    a = cast(a, "int64") if a.dtype == "bool" else a
    if isinstance(choices, (list, tuple)):
        parts, _ = as_operands(choices)
        if not parts:
            raise located(ShapeError("there is nothing to choose from", expected="at least one choice"), "choose")
        number = ravel_multi_index((a,), (len(parts),), mode)
        numbered = list(enumerate(parts))
        chosen = parts[0]
        for i, part in numbered[1:] or numbered:
            chosen = switch(eq(number, i), part, chosen)
        return chosen
    table = as_tensor(choices)
    if not table.ndim:
        raise located(ShapeError("choices are counted by an axis", expected="at least 1-d", actual="0-d"), "choose")
    shape = broadcast_shape_iter([a, subtensor(table, 0)])
    number = BroadcastTo()(ravel_multi_index((a,), (AxisExtent(0)(table),), mode), as_shape(shape, "choose"))
    count, *inner = extents(table)
    padded = DimShuffle((0, *["x"] * (len(shape) - len(inner)), *range(1, table.ndim)))(table)
    every = BroadcastTo()(padded, as_shape((count, *shape), "choose"))
    return subtensor(every, (number, *(counted(number, axis) for axis in range(number.ndim))))


# --- permutations -------------------------------------------------------------------------------------------------


def permute_row_elements(x: Any, y: Any, inverse: Any = 0) -> Any:
    """The elements of each row of ``x``, along its last axis, in the order that a row of ``y`` gives.

    Parameters
    ----------
    x
        A tensor of at least one dimension.
    y
        Permutations along its last axis, integers; ``x`` and ``y`` are broadcast together.
    inverse
        True undoes the permutations: element i goes to place ``y[i]``.

    Raises
    ------
    ShapeError
        If they do not broadcast together.
    DtypeError
        If ``y`` does not hold integers.

    >>> import tinygraph.tensor as T
    >>> T.permute_row_elements([[10, 20, 30]], [2, 0, 1]).eval().tolist()
    [[30, 10, 20]]
    """
    x, y = as_tensor(x), as_tensor(y)
    if not is_discrete(y.dtype) or y.dtype == "bool" or not x.ndim or not y.ndim:
        raise located(
            DtypeError("rows of integers are needed", expected="integers, at least 1-d", actual=f"{x.type}, {y.type}"),
            "permute_row_elements",
        )
    shape = as_shape(broadcast_shape_iter([x, y]), "permute_row_elements")
    x, y = BroadcastTo()(x, shape), BroadcastTo()(y, shape)
    last = x.ndim - 1
    return Permute(last)(x, ArgSort(last, stable=False)(y) if inverse else cast(y, "int64"))


def inverse_permutation(perm: Any) -> Any:
    """The inverses of permutations, which are the rows of ``perm`` along its last axis.

    >>> import tinygraph.tensor as T
    >>> T.inverse_permutation([2, 0, 1]).eval()
    array([1, 2, 0])
    """
    perm = as_tensor(perm)
    return permute_row_elements(arange(AxisExtent(perm.ndim - 1)(perm), dtype=perm.dtype), perm, inverse=True)
