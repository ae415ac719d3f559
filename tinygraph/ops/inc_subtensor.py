"""Writing to a part of a tensor: a new tensor, in which the part is replaced or incremented."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, ShapeError, TinygraphError
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_operands, as_tensor, cast, constant, is_weak
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.subtensor import AdvancedIncSubtensor, AdvancedSubtensor, IncSubtensor, Subtensor
from tinygraph.types import shape_text

__all__ = [
    "advanced_inc_subtensor",
    "advanced_inc_subtensor1",
    "advanced_set_subtensor",
    "advanced_set_subtensor1",
    "inc_subtensor",
    "set_subtensor",
]


def inc_subtensor(
    x: Any,
    y: Any,
    inplace: bool = False,
    set_instead_of_inc: bool = False,
    tolerate_inplace_aliasing: bool = False,
) -> Any:
    """The tensor that ``x`` was indexed from, with this part of it incremented by ``y``.

    Parameters
    ----------
    x
        The result of indexing, ``a[index]``; any index that reads can be written to.
    y
        A tensor, or a number, that broadcasts to ``a[index]`` and whose dtype can become that of ``a`` without
        changing its kind (no floats into integers).
    inplace, tolerate_inplace_aliasing
        Theano's; they change no result. Memory is reused where that is safe.
    set_instead_of_inc
        As ``set_subtensor``.

    Returns
    -------
    tensor
        Of the type of ``a``; ``a`` itself is unchanged. Where an index repeats, the increments add up.

    Raises
    ------
    DtypeError
        If ``x`` is not the result of indexing, or the dtype of ``y`` does not fit.
    ShapeError
        If ``y`` does not broadcast to ``x``.

    >>> import tinygraph.tensor as T
    >>> a = T.zeros(4)
    >>> T.inc_subtensor(a[[0, 2, 2]], 1.5).eval().tolist()
    [1.5, 0.0, 3.0, 0.0]
    """
    name = "set_subtensor" if set_instead_of_inc else "inc_subtensor"
    try:
        part = as_tensor(x)
        value = _value(y, part.dtype)
        if value.ndim > part.ndim:
            raise ShapeError(
                "the value has more dimensions than the part it is written to",
                expected=f"at most {part.ndim} dimensions, that broadcast to {shape_text(part.type.shape)}",
                actual=shape_text(value.type.shape),
            )
        owner = part.owner
        if owner is not None and isinstance(owner.op, DimShuffle) and _only_inserts(owner.op, owner.inputs[0]):
            value = _without_new_axes(value, owner.op.pattern)
            part = owner.inputs[0]
            owner = part.owner
            if owner is None or not isinstance(owner.op, (Subtensor, AdvancedSubtensor)):
                return IncSubtensor((), set_instead_of_inc)(part, value)
        if owner is None or not isinstance(owner.op, (Subtensor, AdvancedSubtensor)):
            raise DtypeError(
                "only the result of indexing says what to write to",
                expected="a[index]",
                actual=str(part),
                hint=f"write {name}(a[index], y); for the whole tensor, a[:]",
            )
    except TinygraphError as err:
        located(err, name)
        raise
    base, *indices = owner.inputs
    op = IncSubtensor if isinstance(owner.op, Subtensor) else AdvancedIncSubtensor
    return op(owner.op.idx, set_instead_of_inc)(base, value, *indices)


def set_subtensor(x: Any, y: Any, inplace: bool = False, tolerate_inplace_aliasing: bool = False) -> Any:
    """The tensor that ``x`` was indexed from, with this part of it replaced by ``y``.

    Parameters and errors are those of ``inc_subtensor``. Where an index repeats, the last value in C order stays, and
    it alone gets a gradient.

    >>> import tinygraph.tensor as T
    >>> a = T.zeros((2, 3))
    >>> T.set_subtensor(a[:, 1], [1, 2]).eval().tolist()
    [[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]]
    """
    return inc_subtensor(x, y, inplace, True, tolerate_inplace_aliasing)


def advanced_inc_subtensor(x: Any, y: Any, *args: Any) -> Any:
    """``inc_subtensor(x[args], y)``.

    >>> import tinygraph.tensor as T
    >>> T.advanced_inc_subtensor(T.zeros(3), 1, [0, 0]).eval().tolist()
    [2.0, 0.0, 0.0]
    """
    return inc_subtensor(subtensor(x, args), y)


def advanced_set_subtensor(x: Any, y: Any, *args: Any) -> Any:
    """``set_subtensor(x[args], y)``."""
    return set_subtensor(subtensor(x, args), y)


def advanced_inc_subtensor1(x: Any, y: Any, ilist: Any) -> Any:
    """``inc_subtensor(x[ilist], y)``."""
    return advanced_inc_subtensor(x, y, ilist)


def advanced_set_subtensor1(x: Any, y: Any, ilist: Any) -> Any:
    """``set_subtensor(x[ilist], y)``."""
    return advanced_set_subtensor(x, y, ilist)


#: Ranks of kinds of dtypes, by first letter: what is written has no higher rank than what it is written to.
_RANKS = {"b": 0, "i": 1, "u": 1, "f": 2}


def _value(y: Any, dtype: str) -> Any:
    """What is to be written, as a tensor of ``dtype``."""
    if is_weak(y):
        (_, value), common = as_operands([constant(0, dtype=dtype), y])
        if common == dtype:
            return value
    else:
        value = as_tensor(y)
        if _RANKS[value.dtype[0]] <= _RANKS[dtype[0]]:
            return cast(value, dtype)
    raise DtypeError(
        f"{value.dtype} values cannot be written into a tensor of {dtype}",
        expected=dtype,
        actual=value.dtype,
        hint=f"cast one of them: the value with .astype('{dtype}'), or the tensor before it is indexed",
    )


def _only_inserts(op: DimShuffle, x: Any) -> bool:
    """True for what ``None`` in an index does: axes added, the others as they were."""
    return tuple(axis for axis in op.pattern if axis != "x") == tuple(range(x.ndim))


def _without_new_axes(y: Any, pattern: tuple[int | str, ...]) -> Any:
    """A value for a part with axes added by this pattern, as a value for the part without them."""
    lead = len(pattern) - y.ndim
    axes = tuple(place - lead if place >= lead else "x" for place, axis in enumerate(pattern) if axis != "x")
    return DimShuffle(axes)(y)
