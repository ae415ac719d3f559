"""Reductions: sums, products, extrema, any and all over axes, and the places of extrema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import axis_indices, located, merge_axes, reduced_shape, restore_axes, wide_dtype
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.cumulative import CumProd
from tinygraph.ops.layout import BroadcastTo, Shape
from tinygraph.ops.scalar import eq, mul, sub, switch
from tinygraph.types import Abstract, TensorType, canonical_dtype, is_discrete, is_float, promote, shape_text

__all__ = [
    "ArgReduce",
    "Reduce",
    "all",
    "any",
    "argmax",
    "argmin",
    "max",
    "max_and_argmax",
    "min",
    "prod",
    "ptp",
    "sum",
]

Vjp = Sequence[Any]


class Reduce(Op):
    """One value for each position outside ``axes``.

    Parameters
    ----------
    kind
        ``sum``, ``prod``, ``max``, ``min``, ``any`` or ``all``.
    axes
        The axes that are reduced, in ascending order.
    keepdims
        Leave the reduced axes in the result, with extent 1.
    dtype
        Of the accumulation and of the result.
    """

    kind: str
    axes: tuple[int, ...]
    keepdims: bool
    dtype: str

    @property
    def name(self) -> str:
        return self.kind

    def __str__(self) -> str:
        return _text(self.kind, self.axes, self.keepdims)

    @property
    def structural(self) -> bool:
        return self.kind in ("sum", "max", "min")

    @property
    def analytic(self) -> bool:
        return self.kind in ("sum", "prod")

    def infer(self, x: Abstract) -> TensorType:
        if self.kind in ("max", "min"):
            _check_not_empty(self.kind, x.shape, self.axes)
        return TensorType(self.dtype, reduced_shape(x.shape, self.axes, self.keepdims))

    def is_identity(self, x: Abstract) -> bool:
        kept = self.keepdims or not self.axes
        return kept and x.dtype == self.dtype and {x.shape[axis] for axis in self.axes} <= {1}

    def compute(self, xp: Any, x: Any) -> Any:
        if self.kind in ("sum", "prod"):
            dtype = None if x.dtype.kind == "c" else self.dtype  # gradient checks also come with complex numbers
            return getattr(xp, self.kind)(x, axis=self.axes, dtype=dtype, keepdims=self.keepdims)
        if self.kind in ("max", "min") and not x.size:
            _check_not_empty(self.kind, x.shape, self.axes)
            return xp.zeros(reduced_shape(x.shape, self.axes, self.keepdims), dtype=self.dtype)
        return getattr(xp, self.kind)(x, axis=self.axes, keepdims=self.keepdims)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (x,) = inputs
        if is_discrete(x.dtype) or self.kind in ("any", "all"):
            return [None]
        # A cotangent of bools is a mask on its way back, which stays one.
        g = restore_axes(cotangents[0], self.axes, x.ndim)
        if self.kind == "sum":
            return [_repeated(g if g.dtype == "bool" else cast(g, x.dtype), x)]
        if self.kind == "prod":
            return [lambda: _prod_vjp(x, cast(g, x.dtype), self.axes)]
        return [lambda: switch(eq(x, restore_axes(outputs[0], self.axes, x.ndim)), g, False)]


def _text(kind: str, axes: tuple[int, ...], keepdims: bool) -> str:
    return f"{kind}{{axes={axes}{', keepdims' if keepdims else ''}}}"


def _check_not_empty(kind: str, shape: Sequence[int | None], axes: Sequence[int]) -> None:
    if 0 in [shape[axis] for axis in axes]:
        raise ShapeError(
            f"the {kind} of no elements is not defined",
            expected="at least one element along " + ", ".join(f"axis {axis}" for axis in axes),
            actual=shape_text(shape),
        )


def _repeated(g: Any, x: Any) -> Any:
    """``g``, which has the shape of ``x`` or extent 1, repeated to that shape."""
    if x.type.known and g.type.shape == x.type.shape:
        return g
    return BroadcastTo()(g, Shape()(x))


def _prod_vjp(x: Any, g: Any, axes: Sequence[int]) -> Any:
    """``g`` times the product of all other elements: those before times those behind, so that zeros do no harm."""
    if not axes:
        return g
    merged, undo = (x, None) if len(axes) == 1 else merge_axes(x, axes)
    axis = axes[0] if undo is None else merged.ndim - 1
    others = mul(CumProd(axis, exclusive=True)(merged), CumProd(axis, exclusive=True, reverse=True)(merged))
    return mul(g, others if undo is None else undo(others))


class ArgReduce(Op):
    """The place of the first extremum, counted in C order over ``axes``; NaN counts as the extremum.

    Parameters
    ----------
    kind
        ``argmax`` or ``argmin``.
    axes
        The axes that are searched, in ascending order.
    keepdims
        Leave these axes in the result, with extent 1.
    """

    kind: str
    axes: tuple[int, ...]
    keepdims: bool

    @property
    def name(self) -> str:
        return self.kind

    def __str__(self) -> str:
        return _text(self.kind, self.axes, self.keepdims)

    def infer(self, x: Abstract) -> TensorType:
        _check_not_empty(self.kind, x.shape, self.axes)
        return TensorType("int64", reduced_shape(x.shape, self.axes, self.keepdims))

    def compute(self, xp: Any, x: Any) -> Any:
        shape = reduced_shape(x.shape, self.axes, self.keepdims)
        if not x.size:
            _check_not_empty(self.kind, x.shape, self.axes)
            return xp.zeros(shape, dtype="int64")
        kept = reduced_shape(x.shape, self.axes, False)
        last = xp.moveaxis(x, self.axes, tuple(range(len(kept), x.ndim))).reshape((*kept, -1))
        return getattr(xp, self.kind)(last, axis=-1).astype("int64", copy=False).reshape(shape)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


def _reduce(kind: str, x: Any, axis: Any, keepdims: bool, dtype: str | None = None) -> Any:
    x = as_tensor(x)
    return Reduce(kind, axis_indices(axis, x.ndim, kind), bool(keepdims), dtype or x.dtype)(x)


def _accumulate(kind: str, x: Any, axis: Any, dtype: Any, keepdims: bool, acc_dtype: Any) -> Any:
    x = as_tensor(x)
    result = wide_dtype(x.dtype) if dtype is None else canonical_dtype(dtype)
    inner = _accumulator(kind, x.dtype, result, None if acc_dtype is None else canonical_dtype(acc_dtype))
    return cast(_reduce(kind, x, axis, keepdims, inner), result)


def _accumulator(kind: str, dtype: str, result: str, acc_dtype: str | None) -> str:
    """The dtype in which elements of ``dtype`` are added up or multiplied for a result of dtype ``result``."""
    if acc_dtype is not None:
        if promote(dtype, acc_dtype) != acc_dtype and not (is_discrete(dtype) and is_float(acc_dtype)):
            raise located(
                DtypeError(
                    f"accumulating {dtype} in {acc_dtype} would lose precision",
                    expected=f"an acc_dtype at least as wide as {dtype}",
                    actual=acc_dtype,
                    hint="give dtype= instead to convert the result, or cast the tensor first",
                ),
                kind,
            )
        return acc_dtype
    if is_float(dtype):
        wide = promote(dtype, result) if is_float(result) else dtype
    else:
        wide = wide_dtype(result)
    return "float32" if wide == "float16" else wide


def sum(input: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Any:
    """The sum over axes.

    Parameters
    ----------
    input
        A tensor of any shape and dtype.
    axis
        None for all axes, an integer, or a sequence of integers; negative ones count from the end; an empty sequence
        reduces nothing.
    dtype
        Of the result; by default that of ``input``, with bools and small integers widened to 64 bits, as in NumPy.
    keepdims
        Leave the reduced axes in the result, with extent 1.
    acc_dtype
        In which dtype to add up; by default that of the result or the input, whichever is wider, and float32 for
        float16.

    Raises
    ------
    ShapeError
        If there is no such axis.
    DtypeError
        If ``acc_dtype`` is narrower than the dtype of ``input``.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> T.sum(x, axis=0).eval({x: [[1, 2], [3, 4]]})
    array([4., 6.])
    """
    return _accumulate("sum", input, axis, dtype, keepdims, acc_dtype)


def prod(
    input: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    acc_dtype: Any = None,
    no_zeros_in_input: bool = False,
) -> Any:
    """The product over axes.

    Parameters
    ----------
    input, axis, dtype, keepdims, acc_dtype
        As for ``sum``.
    no_zeros_in_input
        Accepted as in Theano; the gradient is right with any number of zeros, to any order, in either case.

    Raises
    ------
    ShapeError, DtypeError
        As for ``sum``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> tg.grad(T.prod(x), x).eval({x: [0, 2, 3]})
    array([6., 0., 0.])
    """
    return _accumulate("prod", input, axis, dtype, keepdims, acc_dtype)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element over axes, or NaN where there is one.

    Parameters
    ----------
    x
        A tensor of any dtype.
    axis, keepdims
        As for ``sum``.

    The gradient goes to every element that equals the largest, in full, as in Theano.

    Raises
    ------
    ShapeError
        If there is no such axis, or there are no elements along it.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> tg.grad(T.max(x), x).eval({x: [1, 3, 3]})
    array([0., 1., 1.])
    """
    return _reduce("max", x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element over axes; otherwise as ``max``.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> T.min(x, axis=1, keepdims=True).eval({x: [[1, 2], [4, 3]]})
    array([[1.],
           [3.]])
    """
    return _reduce("min", x, axis, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """True where any element over axes is true, that is not 0.

    Parameters
    ----------
    x
        A tensor of any dtype.
    axis, keepdims
        As for ``sum``.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> bool(T.any(x > 2).eval({x: [1, 2, 3]}))
    True
    """
    return _reduce("any", x, axis, keepdims, "bool")


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """True where all elements over axes are true, that is not 0; otherwise as ``any``.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> bool(T.all(x > 2).eval({x: [1, 2, 3]}))
    False
    """
    return _reduce("all", x, axis, keepdims, "bool")


def ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest minus the smallest element over axes; arguments and errors as for ``max``.

    >>> import tinygraph.tensor as T
    >>> x = T.vector("x")
    >>> float(T.ptp(x).eval({x: [1, 5, 3]}))
    4.0
    """
    a = as_tensor(a)
    return sub(max(a, axis, keepdims), min(a, axis, keepdims))


def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The place of the largest element as int64; the first of several, or of the NaN where there is one.

    Parameters
    ----------
    x
        A tensor of any dtype.
    axis
        The axis to search; None or several axes: the place in C order over these.
    keepdims
        Leave the searched axes in the result, with extent 1.

    Raises
    ------
    ShapeError
        If there is no such axis, or there are no elements along it.

    >>> import tinygraph.tensor as T
    >>> y = T.matrix("y")
    >>> T.argmax(y, axis=1).eval({y: [[0.1, 0.9], [0.8, 0.2]]})
    array([1, 0])
    """
    return _arg_reduce("argmax", x, axis, keepdims)


def argmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The place of the smallest element; otherwise as ``argmax``.

    >>> import tinygraph.tensor as T
    >>> int(T.argmin(T.constant([3, 1, 2])).eval())
    1
    """
    return _arg_reduce("argmin", x, axis, keepdims)


def _arg_reduce(kind: str, x: Any, axis: Any, keepdims: bool) -> Any:
    x = as_tensor(x)
    return ArgReduce(kind, axis_indices(axis, x.ndim, kind), bool(keepdims))(x)


def max_and_argmax(a: Any, axis: Any = None, keepdims: bool = False) -> list[Any]:
    """The largest element over axes and its place, as ``[max, argmax]``; arguments and errors as for these.

    >>> import tinygraph.tensor as T
    >>> largest, place = T.max_and_argmax(T.constant([3, 5, 4]))
    >>> int(largest.eval()), int(place.eval())
    (5, 1)
    """
    a = as_tensor(a)
    return [max(a, axis, keepdims), argmax(a, axis, keepdims)]
