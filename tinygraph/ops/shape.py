"""Shapes as arguments and as results: reshape, the order of axes, and what is known of extents."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import axis_indices, located, one_axis
from tinygraph.ops.convert import as_tensor, cast, constant
from tinygraph.ops.join import Join
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle, Reshape, Shape, SpecifyShape, ints
from tinygraph.types import Abstract, is_discrete

__all__ = [
    "addbroadcast",
    "as_shape",
    "as_size",
    "broadcast_to",
    "dimshuffle",
    "expand_dims",
    "extent",
    "extents",
    "flatten",
    "get_vector_length",
    "integer_vector",
    "known_size",
    "moveaxis",
    "patternbroadcast",
    "ravel",
    "reshape",
    "shape",
    "shape_padaxis",
    "shape_padleft",
    "shape_padright",
    "specify_shape",
    "squeeze",
    "swapaxes",
    "transpose",
    "unbroadcast",
]

Vjp = Sequence[Any]

# --- sizes and shapes as arguments --------------------------------------------------------------------------------


def as_size(n: Any, op: str) -> Any:
    """A size as a Python int where it is known, else as an int64 scalar.

    Parameters
    ----------
    n
        An integer, or a 0-d integer variable.
    op
        Name of the operation, for errors.

    Raises
    ------
    DtypeError, ShapeError
        If ``n`` is no integer or no scalar.
    """
    if type(n) is int:
        return n
    size = as_tensor(n)
    if size.dtype == "bool" or not is_discrete(size.dtype):
        raise located(
            DtypeError(
                "a size is an integer",
                expected="an int or a 0-d integer variable",
                actual=str(size.type),
                hint="divide with // instead of /, or cast with .astype('int64')",
            ),
            op,
        )
    if size.ndim:
        raise located(
            ShapeError("a size is a scalar", expected="0 dimensions", actual=f"{size.ndim} dimensions, {size.type}"), op
        )
    return cast(size, "int64") if size.abstract.value is None else size.abstract.value


def known_size(n: Any, op: str) -> int:
    """A size that must be known when the graph is built, as a Python int; errors as for ``as_size``."""
    size = as_size(n, op)
    if not isinstance(size, int):
        raise located(
            DtypeError("this number must be known when the graph is built", expected="an int", actual=f"{n}"), op
        )
    return size


def as_shape(shape: Any, op: str, ndim: int | None = None) -> Any:
    """A shape argument as an int64 vector whose number of entries is known.

    Parameters
    ----------
    shape
        A size, a list or tuple of sizes (ints and 0-d integer variables), or an integer vector.
    op
        Name of the operation, for errors.
    ndim
        Number of entries; needed for a symbolic vector of unknown length.

    Raises
    ------
    ShapeError, DtypeError
        If it is no shape, its length is not known, or it is not ``ndim``.

    >>> import tinygraph.tensor as T
    >>> as_shape((T.lscalar("n"), 3), "reshape").type
    TensorType('int64', (2,))
    """
    if isinstance(shape, (list, tuple)):
        sizes = [as_size(n, op) for n in shape]
        if all(isinstance(n, int) for n in sizes):
            vector = constant(sizes, dtype="int64")
        else:
            vector = Join(0)(*[DimShuffle(("x",))(as_tensor(n)) for n in sizes])
    else:
        given = as_tensor(shape)
        if given.ndim == 0:
            return as_shape((shape,), op, ndim)
        vector = integer_vector(given, op)
    length = vector.type.shape[0]
    if ndim is None:
        if length is None:
            raise located(
                ShapeError(
                    "the number of dimensions is not known: this symbolic shape can have any number of entries",
                    actual=str(vector.type),
                    hint="say how many with ndim=, or write the shape as a tuple of scalars, such as (n, 3)",
                ),
                op,
            )
        return vector
    if length not in (None, ndim):
        raise located(ShapeError("the shape has another number of entries", expected=f"{ndim}", actual=f"{length}"), op)
    return SpecifyShape((ndim,))(vector) if length is None else vector


def integer_vector(v: Any, op: str) -> Any:
    """An integer vector as an int64 vector; a DtypeError for anything else."""
    if v.ndim != 1 or not is_discrete(v.dtype) or v.dtype == "bool":
        raise located(
            DtypeError("this must be an integer vector", expected="1 dimension, integers", actual=str(v.type)), op
        )
    return cast(v, "int64")


def extent(x: Any, axis: int) -> Any:
    """The extent of an axis: a Python int where it is known, else an int64 scalar."""
    n = x.type.shape[axis]
    return AxisExtent(axis % x.ndim)(x) if n is None else n


def extents(x: Any) -> list[Any]:
    """The extent of every axis, as ``extent`` gives it."""
    return [extent(x, axis) for axis in range(x.ndim)]


def shape(x: Any) -> Any:
    """The shape of ``x``, as an int64 vector; it carries no gradient.

    >>> import tinygraph.tensor as T
    >>> rows, columns = T.shape(T.matrix("x"))
    >>> rows.dtype
    'int64'
    """
    return Shape()(as_tensor(x))


def get_vector_length(v: Any) -> int:
    """The number of entries of a symbolic vector, where it is known when the graph is built.

    Raises
    ------
    ShapeError
        If ``v`` is no vector, or its length is not known.

    >>> import tinygraph.tensor as T
    >>> T.get_vector_length(T.tensor3("x").shape)
    3
    """
    v = as_tensor(v)
    if v.ndim != 1 or v.type.shape[0] is None:
        raise located(
            ShapeError("no vector of known length", expected="1 dimension, a known extent", actual=str(v.type)),
            "get_vector_length",
        )
    return int(v.type.shape[0])


# --- reshape and its kin ------------------------------------------------------------------------------------------


def reshape(x: Any, newshape: Any, ndim: int | None = None) -> Any:
    """The values of ``x``, in C order, under another shape.

    Parameters
    ----------
    x
        A tensor of any shape.
    newshape
        A size, a tuple of sizes or an integer vector; sizes may be symbolic, and one may be -1: what remains.
    ndim
        Number of dimensions of the result; needed where ``newshape`` is a vector of unknown length.

    Raises
    ------
    ShapeError
        If the numbers of elements differ.

    >>> import tinygraph.tensor as T
    >>> x = T.tensor("float64", (6, None))
    >>> T.reshape(x, (2, 3, x.shape[1])).type.shape
    (2, 3, None)
    """
    length = None if ndim is None else known_size(ndim, "reshape")
    return Reshape()(as_tensor(x), as_shape(newshape, "reshape", length))


def flatten(x: Any, ndim: int | None = None, outdim: int | None = None) -> Any:
    """``x`` with its last axes made into one.

    Parameters
    ----------
    x
        A tensor of any shape.
    ndim
        Number of dimensions of the result, 1 by default: the first ``ndim - 1`` axes stay as they are.
    outdim
        Theano's older name for ``ndim``.

    Raises
    ------
    ShapeError
        If ``x`` has fewer dimensions, or ``ndim`` is not positive.

    >>> import tinygraph.tensor as T
    >>> T.flatten(T.tensor("float64", (5, 2, 3)), 2).type.shape
    (5, 6)
    """
    x = as_tensor(x)
    if ndim is not None and outdim is not None:
        raise located(ShapeError("ndim and outdim mean the same", expected="one of them", actual="both"), "flatten")
    given = outdim if ndim is None else ndim
    wanted = 1 if given is None else known_size(given, "flatten")
    if not 1 <= wanted <= max(x.ndim, 1):
        raise located(
            ShapeError(
                f"cannot flatten {x.ndim} dimensions to {wanted}",
                expected=f"ndim from 1 to {max(x.ndim, 1)}",
                actual=f"{wanted}",
            ),
            "flatten",
        )
    if wanted == 1:
        return Reshape()(x, as_shape((-1,), "flatten"))
    # The last extent is computed, because -1 has no answer where a leading extent is 0.
    kept, (last, *merged) = extents(x)[: wanted - 1], extents(x)[wanted - 1 :]
    for n in merged:
        last = last * n
    return Reshape()(x, as_shape([*kept, last], "flatten"))


def ravel(x: Any) -> Any:
    """``x`` in C order as a vector."""
    return flatten(x)


def squeeze(x: Any, axis: Any = None) -> Any:
    """``x`` without axes of extent 1.

    Parameters
    ----------
    x
        A tensor.
    axis
        The axes to drop, an int or a tuple; that their extent is 1 is checked, now or when the function runs. None
        drops all axes whose extent is known to be 1 when the graph is built, as in Theano.

    >>> import tinygraph.tensor as T
    >>> T.squeeze(T.row("x")).ndim, T.squeeze(T.matrix("y"), axis=0).ndim
    (1, 1)
    """
    x = as_tensor(x)
    if axis is None:
        dropped = tuple(i for i, n in enumerate(x.type.shape) if n == 1)
    else:
        dropped = axis_indices(axis, x.ndim, "squeeze")
    return DimShuffle(tuple(i for i in range(x.ndim) if i not in dropped))(x)


def expand_dims(x: Any, axis: Any) -> Any:
    """``x`` with new axes of extent 1, at the position or positions ``axis`` of the result.

    >>> import tinygraph.tensor as T
    >>> T.expand_dims(T.tensor("float64", (2, 3)), (0, -1)).type.shape
    (1, 2, 3, 1)
    """
    x = as_tensor(x)
    count = len(axis) if isinstance(axis, (list, tuple)) else 1
    new = axis_indices(axis, x.ndim + count, "expand_dims")
    old = iter(range(x.ndim))
    return DimShuffle(tuple("x" if i in new else next(old) for i in range(x.ndim + count)))(x)


def shape_padleft(t: Any, n_ones: int = 1) -> Any:
    """``t`` with ``n_ones`` new axes of extent 1 in front."""
    t = as_tensor(t)
    return DimShuffle(("x",) * known_size(n_ones, "shape_padleft") + tuple(range(t.ndim)))(t)


def shape_padright(t: Any, n_ones: int = 1) -> Any:
    """``t`` with ``n_ones`` new axes of extent 1 behind."""
    t = as_tensor(t)
    return DimShuffle(tuple(range(t.ndim)) + ("x",) * known_size(n_ones, "shape_padright"))(t)


def shape_padaxis(t: Any, axis: int) -> Any:
    """``t`` with a new axis of extent 1 at the position ``axis`` of the result."""
    return expand_dims(t, axis)


# --- the order of axes --------------------------------------------------------------------------------------------


def dimshuffle(x: Any, *pattern: Any) -> Any:
    """The axes of ``x`` in another order, with new ones.

    Parameters
    ----------
    x
        A tensor.
    pattern
        For each axis of the result an axis of ``x``, or ``"x"`` for a new one of extent 1; one by one, or as a list.
        Axes left out are dropped: their extent must be 1.

    Raises
    ------
    ShapeError
        If an axis is named twice, does not exist, or cannot be dropped.

    >>> import tinygraph.tensor as T
    >>> T.dimshuffle(T.tensor("float64", (2, 3)), 1, "x", 0).type.shape
    (3, 1, 2)
    """
    if len(pattern) == 1 and isinstance(pattern[0], (list, tuple)):
        pattern = tuple(pattern[0])
    axes = []
    for entry in pattern:
        if entry == "x" if isinstance(entry, str) else hasattr(entry, "__index__"):
            axes.append(entry if isinstance(entry, str) else operator.index(entry))
        else:
            raise located(
                DtypeError("a pattern is made of axes and 'x'", expected="integers and 'x'", actual=f"{entry!r}"),
                "dimshuffle",
            )
    return DimShuffle(tuple(axes))(as_tensor(x))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """``x`` with its axes in reverse order, or in the order ``axes``; negative axes count from the end.

    >>> import tinygraph.tensor as T
    >>> T.transpose(T.tensor("float64", (2, 3, 4)), (0, -1, 1)).type.shape
    (2, 4, 3)
    """
    x = as_tensor(x)
    if axes is None:
        return DimShuffle(tuple(reversed(range(x.ndim))))(x)
    order = tuple(one_axis(axis, x.ndim, "transpose") for axis in axes)
    if sorted(order) != list(range(x.ndim)):
        raise located(
            ShapeError(
                "transpose needs every axis once", expected=f"the axes 0 to {x.ndim - 1}", actual=str(tuple(axes))
            ),
            "transpose",
        )
    return DimShuffle(order)(x)


def swapaxes(y: Any, axis1: int, axis2: int) -> Any:
    """``y`` with two axes exchanged."""
    y = as_tensor(y)
    order = list(range(y.ndim))
    first, second = one_axis(axis1, y.ndim, "swapaxes"), one_axis(axis2, y.ndim, "swapaxes")
    order[first], order[second] = second, first
    return DimShuffle(tuple(order))(y)


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """``x`` with the axes ``source`` (an int or a sequence) moved to ``destination``; the others keep their order.

    >>> import tinygraph.tensor as T
    >>> T.moveaxis(T.tensor("float64", (2, 3, 4)), 0, -1).type.shape
    (3, 4, 2)
    """
    x = as_tensor(x)
    sources, destinations = (
        [one_axis(axis, x.ndim, "moveaxis") for axis in (axes if isinstance(axes, (list, tuple)) else [axes])]
        for axes in (source, destination)
    )
    if len(sources) != len(destinations) or len({*sources}) + len({*destinations}) != 2 * len(sources):
        raise located(
            ShapeError(
                "every moved axis needs one destination",
                expected="two sequences of one length without repeats",
                actual=f"{source} to {destination}",
            ),
            "moveaxis",
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for at, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(at, axis)
    return DimShuffle(tuple(order))(x)


# --- broadcasting and what is known of extents --------------------------------------------------------------------


def broadcast_to(x: Any, shape: Any) -> Any:
    """``x`` broadcast to a shape (a size, a tuple of sizes or an integer vector); it takes no memory.

    The gradient is summed over what was repeated.

    >>> import tinygraph.tensor as T
    >>> T.broadcast_to([1.0, 2.0], (3, 2)).type.shape
    (3, 2)
    """
    return BroadcastTo()(as_tensor(x), as_shape(shape, "broadcast_to"))


class SpecifySymbolicShape(Op):
    """The tensor itself, which must have the shape that the second input says."""

    view = True
    structural = True
    host = (1,)

    @property
    def name(self) -> str:
        return "specify_shape"

    def infer(self, x: Abstract, shape: Abstract) -> Abstract:
        return SpecifyShape(shape.extents()).infer(x)

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def is_identity(self, x: Abstract, shape: Abstract) -> bool:
        return x.type.known and None not in shape.extents()

    def compute(self, xp: Any, x: Any, shape: Any) -> Any:
        return SpecifyShape(ints(shape)).compute(xp, x)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [cotangents[0], None]


def specify_shape(x: Any, shape: Any) -> Any:
    """``x``, with a shape that the user vouches for; it is checked when it gets known.

    Parameters
    ----------
    x
        A tensor.
    shape
        For each axis a size, which may be symbolic, or None where nothing is claimed; or an integer vector.

    Raises
    ------
    ShapeError
        If ``x`` has another shape; at build time, or when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.specify_shape(T.matrix("x"), (None, 3)).type.shape
    (None, 3)
    """
    x = as_tensor(x)
    if isinstance(shape, (list, tuple)):
        claimed = [None if n is None else as_size(n, "specify_shape") for n in shape]
        if all(n is None or isinstance(n, int) for n in claimed):
            return SpecifyShape(tuple(claimed))(x)
        shape = [extent(x, axis) if n is None else n for axis, n in enumerate(claimed)]
    return SpecifySymbolicShape()(x, as_shape(shape, "specify_shape", x.ndim))


def addbroadcast(x: Any, *axes: int) -> Any:
    """``x``, whose extents of ``axes`` are 1, which is checked; known extents of 1 make types and gradients simpler.

    >>> import tinygraph.tensor as T
    >>> T.addbroadcast(T.matrix("x"), 1).type.shape
    (None, 1)
    """
    x = as_tensor(x)
    ones = {one_axis(axis, x.ndim, "addbroadcast") for axis in axes}
    return SpecifyShape(tuple(1 if axis in ones else None for axis in range(x.ndim)))(x)


def unbroadcast(x: Any, *axes: int) -> Any:
    """``x`` as it is: any extent may turn out to be 1, so there is nothing to take back."""
    x = as_tensor(x)
    for axis in axes:
        one_axis(axis, x.ndim, "unbroadcast")
    return x


def patternbroadcast(x: Any, broadcastable: Sequence[bool]) -> Any:
    """``x``, whose extent is 1, which is checked, wherever ``broadcastable`` is True.

    >>> import tinygraph.tensor as T
    >>> T.patternbroadcast(T.matrix("x"), (True, False)).type.shape
    (1, None)
    """
    return SpecifyShape(tuple(1 if one else None for one in broadcastable))(as_tensor(x))
