"""Index expressions: what stands between the brackets of ``x[…]``, and reading by it."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, IndexingError, TinygraphError
from tinygraph.graph import Constant, Variable
from tinygraph.ops.axes import flat, located, one_axis
from tinygraph.ops.convert import as_tensor, cast, stack
from tinygraph.ops.layout import AxisExtent, DimShuffle, Shape
from tinygraph.ops.scalar import clip, mod, sub
from tinygraph.ops.subtensor import (
    ARRAY,
    FULL,
    SCALAR,
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    Entry,
    FitMask,
    IncSubtensor,
    Nonzero,
    Subtensor,
    Template,
    too_many,
)
from tinygraph.types import is_discrete

__all__ = [
    "AdvancedIncSubtensor",
    "AdvancedSubtensor",
    "IncSubtensor",
    "Nonzero",
    "Subtensor",
    "advanced_subtensor",
    "advanced_subtensor1",
    "flatnonzero",
    "nonzero",
    "nonzero_values",
    "subtensor",
    "take",
]


def subtensor(x: Any, index: Any) -> Any:
    """``x[index]``, as NumPy indexes.

    Parameters
    ----------
    x
        A tensor.
    index
        What stands between the brackets: integers, slices, ``None``, ``...``, symbolic 0-d integers (also as bounds of
        slices), integer arrays (lists, arrays or symbolic), boolean masks (lists, arrays or symbolic), or a tuple of
        these; a list with slices in it is taken for a tuple, as in Theano. With integers, slices, ``None`` and ``...``
        alone the result is a view, which costs nothing.

    The gradient flows to the elements that were picked; an element picked several times gets the sum.

    Raises
    ------
    IndexingError
        If an index is out of bounds: here where it is known already, else when the function runs.
    ShapeError
        If there are more indices than dimensions, index arrays do not broadcast, or a mask has other extents than the
        axes it indexes.
    DtypeError
        If something in the index is no integer and no mask.

    >>> import tinygraph.tensor as T
    >>> x = T.tensor("float64", (5, 4, 3))
    >>> subtensor(x, (slice(None, None, -2), None, [0, 2])).type.shape
    (3, 1, 2, 3)
    """
    x = as_tensor(x)
    try:
        idx, inputs = _template(x, index)
    except TinygraphError as err:
        located(err, "subtensor")
        raise
    if ARRAY in idx:
        return AdvancedSubtensor(idx)(x, *inputs)
    basic = tuple(entry for entry in idx if entry is not None)
    if len(basic) == len(idx):
        return Subtensor(basic)(x, *inputs)
    part = x if all(entry == FULL for entry in basic) else Subtensor(basic)(x, *inputs)
    axes = iter(range(part.ndim))
    pattern = ["x" if entry is None else next(axes) for entry in idx if entry is None or isinstance(entry, tuple)]
    return DimShuffle((*pattern, *axes))(part)


def _template(x: Any, index: Any) -> tuple[Template, list[Any]]:
    """The template of an index into ``x``, and its inputs; trailing full slices are left out."""
    if isinstance(index, list) and any(isinstance(item, slice) for item in index):
        index = tuple(index)
    items = [_item(item) for item in (index if isinstance(index, tuple) else (index,))]
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexingError("an index can hold only one Ellipsis (...)", expected="one", actual=str(index))
    wanted = sum(_axes(item) for item in items)
    if wanted > x.ndim:
        raise too_many(x.ndim, wanted)
    rest = x.ndim - wanted
    advanced = any(isinstance(item, Variable) and item.ndim for item in items)
    idx: list[Entry] = []
    inputs: list[Any] = []
    axis = 0
    for item in items:
        if item is Ellipsis:
            # In NumPy an ellipsis separates arrays even where it stands for no axis.
            idx.extend([FULL] * rest if rest or not advanced else [Ellipsis])
            axis += rest
            continue
        if isinstance(item, tuple):
            idx.append(tuple(SCALAR if isinstance(b, Variable) else b for b in item))  # type: ignore[arg-type]
            inputs.extend(b for b in item if isinstance(b, Variable))
        elif not isinstance(item, Variable):
            idx.append(item)
        elif item.dtype == "bool":
            vectors = nonzero(_fitted(item, x, axis))
            idx.extend([ARRAY] * len(vectors))
            inputs.extend(vectors)
        else:
            idx.append(ARRAY if item.ndim else SCALAR)
            inputs.append(item)
        axis += _axes(item)
    while idx and idx[-1] == FULL and Ellipsis not in idx:
        idx.pop()
    return tuple(idx), inputs


def _axes(item: Any) -> int:
    """How many axes a part of an index is for."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, Variable) and item.dtype == "bool" else 1


def _item(item: Any) -> Any:
    """One part of an index: None, Ellipsis, an int, a tuple of bounds, or a variable of integers or bools."""
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        start, stop, step = (_bound(b) for b in (item.start, item.stop, item.step))
        step = None if isinstance(step, int) and step == 1 else step
        start = None if isinstance(start, int) and start == 0 and step is None else start
        return (start, stop, step)
    if type(item) is int:
        return item
    index = as_tensor(item)
    if isinstance(index, Constant) and index.data.size == 0 and index.dtype != "bool":
        index = cast(index, "int64")  # an empty list, to NumPy one of floats
    if index.ndim == 0:
        return _integer(index, "an index")
    if index.dtype != "bool" and not is_discrete(index.dtype):
        raise _not_integer(index, "an array in an index", " or bools")
    return index


def _bound(bound: Any) -> Any:
    """A bound of a slice: None, an int, or a symbolic integer."""
    return bound if bound is None or type(bound) is int else _integer(as_tensor(bound), "a bound of a slice")


def _integer(index: Any, what: str) -> Any:
    if index.ndim or index.dtype == "bool" or not is_discrete(index.dtype):
        raise _not_integer(index, what)
    return int(index.data) if isinstance(index, Constant) else index


def _not_integer(index: Any, what: str, also: str = "") -> DtypeError:
    hint = "cast it, as in x[i.astype('int64')]"
    if index.dtype == "bool":
        hint = "x[None] adds an axis; a mask has at least one dimension; T.switch chooses by a scalar condition"
    if index.ndim and not also:
        hint = "give one element of it, as i[0]"
    return DtypeError(
        f"{what} must be made of integers{also}" if also else f"{what} must be one integer",
        expected=f"integers{also}" if also else "a 0-d integer",
        actual=str(index.type),
        hint=hint,
    )


def _fitted(mask: Any, x: Any, axis: int) -> Any:
    """A mask for the axes of ``x`` from ``axis`` on, checked, now or when the function runs, to have their extents."""
    wanted = x.type.shape[axis : axis + mask.ndim]
    if mask.type.known and mask.type.shape == wanted:
        return mask
    return FitMask()(mask, Subtensor(((axis or None, axis + mask.ndim, None),))(Shape()(x)))


def advanced_subtensor(x: Any, *args: Any) -> Any:
    """``x[args]``, as a function."""
    return subtensor(x, args)


def advanced_subtensor1(x: Any, ilist: Any) -> Any:
    """``x[ilist]`` for an integer vector, as a function."""
    return take(x, ilist, axis=0)


def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    """Elements of ``a``, or whole slices along an axis, picked by integers.

    Parameters
    ----------
    a
        A tensor.
    indices
        Integers, a tensor of any shape.
    axis
        The axis to pick along; None picks from the flattened tensor.
    mode
        What an index out of bounds does: ``"raise"``, ``"wrap"`` around, or be ``"clip"``-ped, which makes negative
        indices 0.

    Returns
    -------
    tensor
        The shape of ``a`` with the axis replaced by the shape of ``indices``.

    Raises
    ------
    IndexingError
        If an index is out of bounds, or the mode is unknown.
    ShapeError
        If there is no such axis.
    DtypeError
        If the indices are no integers.

    >>> import tinygraph.tensor as T
    >>> T.take(T.arange(6).reshape((2, 3)), [2, 0], axis=1).eval().tolist()
    [[2, 0], [5, 3]]
    """
    a = as_tensor(a)
    if axis is None:
        a, axis = flat(a), 0
    axis = one_axis(axis, a.ndim, "take")
    try:
        if mode not in ("raise", "wrap", "clip"):
            raise IndexingError(f"unknown mode {mode!r}", expected="'raise', 'wrap' or 'clip'", actual=repr(mode))
        index = _item(as_tensor(indices))
        if isinstance(index, Variable) and index.dtype == "bool":
            raise DtypeError("take needs integers, not a mask", actual=str(index.type), hint="write a[mask]")
    except TinygraphError as err:
        located(err, "take")
        raise
    if mode != "raise":
        extent = AxisExtent(axis)(a)
        index = cast(index, "int64")
        index = mod(index, extent) if mode == "wrap" else clip(index, 0, sub(extent, 1))
    return subtensor(a, (*[slice(None)] * axis, index))


def nonzero(a: Any, return_matrix: bool = False) -> Any:
    """The indices of the elements that are not zero.

    Parameters
    ----------
    a
        A tensor of any dtype, with at least one dimension.
    return_matrix
        False: a tuple with a vector for each axis, as in NumPy, which can index ``a``. True: these vectors as the rows
        of a matrix.

    >>> import tinygraph.tensor as T
    >>> [i.eval().tolist() for i in T.nonzero(T.constant([[0, 7], [8, 9]]))]
    [[0, 1, 1], [1, 0, 1]]
    """
    vectors = Nonzero().make_node(as_tensor(a)).outputs
    return stack(list(vectors)) if return_matrix else vectors


def flatnonzero(a: Any) -> Any:
    """The indices of the elements of the flattened tensor that are not zero, as a vector.

    >>> import tinygraph.tensor as T
    >>> T.flatnonzero(T.constant([[0, 7], [8, 9]])).eval().tolist()
    [1, 2, 3]
    """
    return nonzero(flat(as_tensor(a)))[0]


def nonzero_values(a: Any) -> Any:
    """The elements that are not zero, as a vector.

    >>> import tinygraph.tensor as T
    >>> T.nonzero_values(T.constant([[0, 7], [8, 9]])).eval().tolist()
    [7, 8, 9]
    """
    a = flat(as_tensor(a))
    return subtensor(a, nonzero(a))
