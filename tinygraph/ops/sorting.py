"""Sorting along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import flat, located, one_axis
from tinygraph.ops.convert import as_tensor
from tinygraph.types import Abstract, TensorType, shape_text

__all__ = ["ArgSort", "Permute", "Sort", "argsort", "sort"]

Vjp = Sequence[Any]

#: Names of algorithms, and whether equal elements keep their order.
_KINDS = {"quicksort": False, "heapsort": False, "mergesort": True, "stable": True}


class Sort(Op):
    """The elements along an axis in ascending order, NaN last."""

    axis: int

    structural = True

    def infer(self, x: Abstract) -> TensorType:
        return x.type

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.sort(x, axis=self.axis)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        order = ArgSort(self.axis, stable=False)(inputs[0])
        return [Permute(self.axis)(cotangents[0], ArgSort(self.axis, stable=False)(order))]


class ArgSort(Op):
    """The places of the elements along an axis in ascending order of their values, NaN last."""

    axis: int
    stable: bool

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_dtype("int64")

    def compute(self, xp: Any, x: Any) -> Any:
        kind = "stable" if self.stable else None
        return xp.argsort(x, axis=self.axis, kind=kind).astype("int64", copy=False)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


class Permute(Op):
    """Elements along an axis in the order that the second input, a permutation for each line, gives."""

    axis: int

    structural = True

    def infer(self, x: Abstract, order: Abstract) -> TensorType:
        if x.ndim != order.ndim or any(
            n is not None and m is not None and n != m for n, m in zip(x.shape, order.shape, strict=True)
        ):
            raise ShapeError(
                "a permutation needs a place for each element",
                expected=shape_text(x.shape),
                actual=shape_text(order.shape),
            )
        return x.type

    def compute(self, xp: Any, x: Any, order: Any) -> Any:
        return xp.take_along_axis(x, order, axis=self.axis)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        # Sorting a permutation gives its inverse.
        return [Permute(self.axis)(cotangents[0], ArgSort(self.axis, stable=False)(inputs[1])), None]


def sort(a: Any, axis: Any = -1, kind: str = "quicksort", order: None = None) -> Any:
    """The elements in ascending order, NaN last.

    Parameters
    ----------
    a
        A tensor of any dtype.
    axis
        Along which axis to sort; None: all elements, as a vector.
    kind
        ``quicksort``, ``heapsort``, ``mergesort`` or ``stable``; the result is the same.
    order
        Only None: tensors have no fields.

    Raises
    ------
    ShapeError
        If there is no such axis.
    DtypeError
        If ``kind`` or ``order`` is something else.

    >>> import tinygraph.tensor as T
    >>> T.sort(T.constant([3, 1, 2])).eval()
    array([1, 2, 3])
    """
    x, at, _ = _prepared(a, axis, kind, order, "sort")
    return Sort(at)(x)


def argsort(a: Any, axis: Any = -1, kind: str = "quicksort", order: None = None) -> Any:
    """The places of the elements in ascending order of their values, as int64.

    Parameters
    ----------
    a, axis, order
        As for ``sort``.
    kind
        With ``mergesort`` or ``stable`` equal elements keep their order.

    Raises
    ------
    ShapeError, DtypeError
        As for ``sort``.

    >>> import tinygraph.tensor as T
    >>> T.argsort(T.constant([3, 1, 2])).eval()
    array([1, 2, 0])
    """
    x, at, stable = _prepared(a, axis, kind, order, "argsort")
    return ArgSort(at, stable)(x)


def _prepared(a: Any, axis: Any, kind: str, order: None, op: str) -> tuple[Any, int, bool]:
    stable = _KINDS.get(kind or "quicksort") if isinstance(kind, str | None) else None
    if stable is None:
        raise located(DtypeError("there is no such way of sorting", expected=", ".join(_KINDS), actual=repr(kind)), op)
    if order is not None:
        raise located(DtypeError("tensors have no fields to sort by", expected="None", actual=repr(order)), op)
    x = as_tensor(a)
    return (flat(x), 0, stable) if axis is None else (x, one_axis(axis, x.ndim, op), stable)
