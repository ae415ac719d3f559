"""Tensors joined, split, repeated and rolled."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import axis_indices, flat, located, one_axis
from tinygraph.ops.convert import as_operands, as_tensor, cast, constant, stack
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.join import Join, Split
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle, Reshape, Shape, ints
from tinygraph.ops.scalar import maximum, mod
from tinygraph.ops.shape import as_shape, as_size, extent, extents, integer_vector, known_size
from tinygraph.types import Abstract, Extent, TensorType, shape_text

__all__ = [
    "concatenate",
    "flip",
    "horizontal_stack",
    "join",
    "repeat",
    "roll",
    "split",
    "stack",
    "stacklists",
    "tile",
    "vertical_stack",
]

Vjp = Sequence[Any]

# --- joining and splitting ----------------------------------------------------------------------------------------


def join(axis: int, *tensors_list: Any) -> Any:
    """Tensors one after the other along an existing axis: ``concatenate`` with Theano's order of arguments."""
    return _concatenated(tensors_list, axis, "join")


def concatenate(tensor_list: Sequence[Any], axis: int = 0) -> Any:
    """Tensors one after the other along an existing axis.

    Parameters
    ----------
    tensor_list
        A list or tuple of tensors, whose shapes agree on the other axes; their dtypes are promoted.
    axis
        The axis; negative ones count from the end.

    Raises
    ------
    ShapeError
        If there is no such axis, or other extents differ.

    >>> import tinygraph.tensor as T
    >>> T.concatenate([T.matrix("a"), T.ones((2, 3))], axis=0).type.shape
    (None, 3)
    """
    if not isinstance(tensor_list, (list, tuple)):
        raise located(
            DtypeError(
                "concatenate takes a list of tensors",
                expected="a list or tuple",
                actual=type(tensor_list).__name__,
                hint="write concatenate([a, b], axis=0)",
            ),
            "concatenate",
        )
    return _concatenated(tensor_list, axis, "concatenate")


def _concatenated(tensors: Sequence[Any], axis: int, op: str) -> Any:
    if not tensors:
        raise located(ShapeError("there is nothing to join", expected="at least one tensor"), op)
    parts, _ = as_operands([as_tensor(t) for t in tensors])
    at = one_axis(axis, parts[0].ndim, op)
    return parts[0] if len(parts) == 1 else Join(at)(*parts)


def stacklists(arg: Any) -> Any:
    """A nested list of tensors of one shape as one tensor, whose first axes follow the nesting.

    >>> import tinygraph.tensor as T
    >>> a, b, c, d = T.scalars("abcd")
    >>> T.stacklists([[a, b], [c, d]]).type.shape
    (2, 2)
    """
    return stack([stacklists(item) for item in arg]) if isinstance(arg, (list, tuple)) else arg


def horizontal_stack(*args: Any) -> Any:
    """Matrices side by side: joined along axis 1."""
    return _concatenated(args, 1, "horizontal_stack")


def vertical_stack(*args: Any) -> Any:
    """Matrices below each other: joined along axis 0."""
    return _concatenated(args, 0, "vertical_stack")


def split(x: Any, splits_size: Any, n_splits: int, axis: int = 0) -> Any:
    """``x`` cut along an axis into pieces of the given sizes.

    Parameters
    ----------
    x
        A tensor.
    splits_size
        The sizes: a list of ints and integer scalars, or an integer vector. They must add up to the extent.
    n_splits
        How many pieces there are, known when the graph is built.
    axis
        The axis; negative ones count from the end.

    Returns
    -------
    list
        The pieces; as in Theano, the piece itself where ``n_splits`` is 1.

    >>> import tinygraph.tensor as T
    >>> [part.type.shape for part in T.split(T.ones((5, 2)), [3, 2], 2)]
    [(3, 2), (2, 2)]
    """
    x = as_tensor(x)
    at = one_axis(axis, x.ndim, "split")
    parts = known_size(n_splits, "split")
    return Split(at, parts)(x, as_shape(splits_size, "split", parts))


# --- repeating ----------------------------------------------------------------------------------------------------


def tile(x: Any, reps: Any, ndim: int | None = None) -> Any:
    """``x`` as a tile, laid ``reps`` times along each axis.

    Parameters
    ----------
    x
        A tensor.
    reps
        A count, a list of counts or an integer vector; counts may be symbolic. Missing leading counts are 1, and
        missing leading axes of ``x`` are added.
    ndim
        Number of dimensions of the result; needed where ``reps`` is a vector of unknown length.

    Raises
    ------
    ShapeError
        If ``ndim`` is less than the number of counts or dimensions.

    >>> import tinygraph.tensor as T
    >>> T.tile([1, 2], (2, 2)).eval().tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    x = as_tensor(x)
    counts = _counts(reps, ndim)
    wanted = max(len(counts), x.ndim) if ndim is None else known_size(ndim, "tile")
    if wanted < max(len(counts), x.ndim):
        raise located(
            ShapeError("ndim is too small", expected=f"at least {max(len(counts), x.ndim)}", actual=str(ndim)),
            "tile",
        )
    counts = [1] * (wanted - len(counts)) + counts
    sizes = [1] * (wanted - x.ndim) + extents(x)
    axes = ["x"] * (wanted - x.ndim) + list(range(x.ndim))
    spread = DimShuffle(tuple(itertools.chain(*[("x", axis) for axis in axes])))(x)
    pairs = list(zip(counts, sizes, strict=True))
    laid = BroadcastTo()(spread, as_shape(list(itertools.chain(*pairs)), "tile"))
    return Reshape()(laid, as_shape([count * size for count, size in pairs], "tile"))


def _counts(reps: Any, ndim: int | None) -> list[Any]:
    """The entries of ``reps``, ints where they are known."""
    if isinstance(reps, (list, tuple)):
        return [as_size(n, "tile") for n in reps]
    counts = as_tensor(reps)
    if counts.ndim == 0:
        return [as_size(counts, "tile")]
    if counts.ndim == 1 and counts.type.shape[0] is None and ndim is not None:
        missing = as_shape((ndim - AxisExtent(0)(counts),), "tile")
        counts = Join(0)(BroadcastTo()(constant(1), missing), cast(counts, "int64"))
    counts = as_shape(counts, "tile", ndim if counts.type.shape[0] is None else None)
    return [as_size(subtensor(counts, i), "tile") for i in range(counts.type.shape[0])]


class RepeatEach(Op):
    """Each slice along an axis repeated as often as its entry in the second input says."""

    axis: int

    structural = True
    host = (1,)

    @property
    def name(self) -> str:
        return "repeat"

    def infer(self, x: Abstract, repeats: Abstract) -> TensorType:
        counts = repeats.value
        known = counts if isinstance(counts, tuple) else (None,)
        if any(n is not None and n < 0 for n in known):
            raise _negative(known)
        total = None if None in known else sum(known)  # type: ignore[arg-type]
        return x.type.with_shape((*x.shape[: self.axis], total, *x.shape[self.axis + 1 :]))

    def compute(self, xp: Any, x: Any, repeats: Any) -> Any:
        counts = ints(repeats)
        if any(n < 0 for n in counts):
            raise _negative(counts)
        return xp.repeat(x, counts or 0, axis=self.axis)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [SumRuns(self.axis)(cotangents[0], inputs[1]), None]


class SumRuns(Op):
    """Sums of runs of neighbours along an axis, whose lengths the second input says; bools are combined by "or"."""

    axis: int

    structural = True
    host = (1,)

    @property
    def name(self) -> str:
        return "sum of runs"

    def infer(self, g: Abstract, lengths: Abstract) -> TensorType:
        return g.type.with_shape((*g.shape[: self.axis], lengths.shape[0], *g.shape[self.axis + 1 :]))

    def compute(self, xp: Any, g: Any, lengths: Any) -> Any:
        counts = ints(lengths)
        index = xp.repeat(xp.arange(len(counts)), counts or 0)
        shape = (*g.shape[: self.axis], len(counts), *g.shape[self.axis + 1 :])
        values = g.astype("int32") if g.dtype == bool else g
        out = xp.zeros(shape, dtype=values.dtype)
        xp.scatter_add(out, (slice(None),) * self.axis + (index,), values)
        return out != 0 if g.dtype == bool else out

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [RepeatEach(self.axis)(cotangents[0], inputs[1]), None]


def _negative(counts: Sequence[Extent]) -> ShapeError:
    return ShapeError("nothing can be repeated a negative number of times", actual=shape_text(counts))


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element of ``x``, or each slice along an axis, repeated.

    Parameters
    ----------
    x
        A tensor.
    repeats
        How often: an integer, which may be symbolic, or a vector with one count for each element or slice.
    axis
        The axis; None repeats the elements of the flattened tensor.

    Raises
    ------
    ShapeError
        If the number of counts is not the extent, or a count is negative.

    >>> import tinygraph.tensor as T
    >>> T.repeat([1, 2], 2).eval().tolist(), T.repeat([1, 2], [3, 1]).eval().tolist()
    ([1, 1, 2, 2], [1, 1, 1, 2])
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = flat(x), 0
    at = one_axis(axis, x.ndim, "repeat")
    counts = as_shape(repeats, "repeat") if isinstance(repeats, (list, tuple)) else as_tensor(repeats)
    n = extent(x, at)
    if counts.ndim:
        each = BroadcastTo()(integer_vector(counts, "repeat"), as_shape((n,), "repeat"))
        return RepeatEach(at)(x, each)
    times = as_size(counts, "repeat")
    spread = DimShuffle((*range(at + 1), "x", *range(at + 1, x.ndim)))(x)
    before, behind = extents(x)[:at], extents(x)[at + 1 :]
    laid = BroadcastTo()(spread, as_shape([*before, n, times, *behind], "repeat"))
    return Reshape()(laid, as_shape([*before, n * times, *behind], "repeat"))


# --- moving along axes --------------------------------------------------------------------------------------------


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """``x`` moved along axes; what leaves at one end enters at the other.

    Parameters
    ----------
    x
        A tensor.
    shift
        By how many places, an integer that may be symbolic; or one for each axis.
    axis
        An axis, or a tuple of axes; None rolls the elements in C order.

    >>> import tinygraph.tensor as T
    >>> T.roll([1, 2, 3, 4], 1).eval().tolist()
    [4, 1, 2, 3]
    """
    x = as_tensor(x)
    if axis is None:
        return Reshape()(roll(flat(x), shift, 0), Shape()(x))
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    shifts = shift if isinstance(shift, (list, tuple)) else (shift,) * len(axes)
    if len(axes) != len(shifts):
        raise located(
            ShapeError("roll needs one shift for each axis", expected=f"{len(axes)}", actual=f"{len(shifts)}"), "roll"
        )
    for places, one in zip(shifts, axes, strict=True):
        at = one_axis(one, x.ndim, "roll")
        n, by = extent(x, at), as_size(places, "roll")
        by = by % max(n, 1) if isinstance(n, int) and isinstance(by, int) else mod(by, maximum(n, 1))
        front, back = Split(at, 2)(x, as_shape((n - by, by), "roll"))
        x = Join(at)(back, front)
    return x


def flip(x: Any, axis: Any = None) -> Any:
    """``x`` with the order of the elements reversed along an axis, a tuple of axes, or (None) all of them; a view.

    >>> import tinygraph.tensor as T
    >>> T.flip([1, 2, 3]).eval().tolist()
    [3, 2, 1]
    """
    x = as_tensor(x)
    axes = axis_indices(axis, x.ndim, "flip")
    return subtensor(x, tuple(slice(None, None, -1 if i in axes else None) for i in range(x.ndim)))
