"""Positions of elements, their numbers, and the shapes that tensors broadcast to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, IndexingError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.creation import arange
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import AxisExtent, DimShuffle, ints
from tinygraph.ops.shape import as_shape, shape
from tinygraph.types import Abstract, TensorType, broadcast_shapes, is_discrete, shape_text

__all__ = [
    "BroadcastShape",
    "RavelMultiIndex",
    "UnravelIndex",
    "broadcast_shape",
    "broadcast_shape_iter",
    "counted",
    "ravel_multi_index",
    "unravel_index",
]

Vjp = Sequence[Any]


def counted(x: Any, axis: int) -> Any:
    """The positions along an axis of ``x``, laid along that axis of a tensor of as many dimensions."""
    return DimShuffle(tuple(0 if i == axis else "x" for i in range(x.ndim)))(arange(AxisExtent(axis)(x)))


# --- numbers of elements ----------------------------------------------------------------------------------


class UnravelIndex(Op):
    """The positions, one index for each axis, of elements that are numbered; the second input is the shape."""

    ndim: int
    order: str = "C"

    host = (1,)

    @property
    def name(self) -> str:
        return "unravel_index"

    def infer(self, indices: Abstract, dims: Abstract) -> list[TensorType]:
        if len(dims.extents()) != self.ndim:
            raise ShapeError("the shape has another number of axes", expected=str(self.ndim), actual=str(dims.type))
        return [indices.type.with_dtype("int64")] * self.ndim

    def compute(self, xp: Any, indices: Any, dims: Any) -> Any:
        sizes = ints(dims)
        size = 1
        for n in sizes:
            size *= n
        if any(n < 0 for n in sizes) or (indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < size):
            raise IndexingError(
                f"a tensor of shape {shape_text(sizes)} has no such elements",
                expected=f"numbers from 0 to {size - 1}",
                actual=f"{int(indices.min())} to {int(indices.max())}" if indices.size else "",
            )
        rest, found = indices.astype("int64"), []
        for n in reversed(sizes) if self.order == "C" else sizes:
            found.append(rest % max(n, 1))
            rest = rest // max(n, 1)
        found = [xp.asarray(index) for index in (reversed(found) if self.order == "C" else found)]
        return tuple(found) if len(found) > 1 else found[0]

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None, None]


def unravel_index(indices: Any, dims: Any, order: str = "C", ndim: int | None = None) -> tuple[Any, ...]:
    """The positions of elements that are numbered in C or Fortran order.

    Parameters
    ----------
    indices
        Numbers of elements, an integer tensor of any shape.
    dims
        The shape of the tensor whose elements they number: sizes, or an integer vector.
    order
        ``"C"``: the last index changes fastest; ``"F"``: the first does.
    ndim
        Number of axes; needed where ``dims`` is a vector of unknown length.

    Returns
    -------
    tuple
        For each axis an int64 tensor of the shape of ``indices``; together they can index.

    Raises
    ------
    IndexingError
        When the function runs, if there is no such element.
    ShapeError, DtypeError
        If an argument is of the wrong kind, or there are no axes.

    >>> import tinygraph.tensor as T
    >>> [i.eval().tolist() for i in T.unravel_index([0, 4, 5], (2, 3))]
    [[0, 1, 1], [0, 1, 2]]
    """
    indices, sizes = _numbers(indices, "unravel_index"), as_shape(dims, "unravel_index", ndim)
    _check_order(order, "unravel_index")
    axes = sizes.type.shape[0]
    if not axes:
        raise located(ShapeError("a position needs axes", expected="at least one", actual=str(dims)), "unravel_index")
    return tuple(UnravelIndex(axes, order).make_node(indices, sizes).outputs)


class RavelMultiIndex(Op):
    """The numbers of elements whose positions are given, one input for each axis; the last input is the shape.

    Parameters
    ----------
    mode
        For each axis ``raise``, ``wrap`` or ``clip``: what an index out of bounds does.
    order
        ``C`` or ``F``: which index changes fastest, the last or the first.
    """

    mode: tuple[str, ...]
    order: str = "C"

    @property
    def name(self) -> str:
        return "ravel_multi_index"

    @property
    def host(self) -> tuple[int, ...]:
        """The shape."""
        return (len(self.mode),)

    def infer(self, *inputs: Abstract) -> TensorType:
        *index, dims = inputs
        if len(dims.extents()) != len(index) or len(self.mode) != len(index):
            raise ShapeError(
                "a position has an index for each axis", expected=f"{len(dims.extents())}", actual=f"{len(index)}"
            )
        return TensorType("int64", broadcast_shapes(*[i.shape for i in index]))

    def compute(self, xp: Any, *inputs: Any) -> Any:
        *index, dims = inputs
        sizes, number, step = ints(dims), 0, 1
        places = list(zip(index, sizes, self.mode, strict=True))
        for i, n, mode in reversed(places) if self.order == "C" else places:
            i = i.astype("int64")
            if mode == "wrap" and n:
                i = i % n
            elif mode == "clip" and n:
                i = xp.clip(i, 0, n - 1)
            elif i.size and (n == 0 or int(i.min()) < 0 or int(i.max()) >= n):
                raise IndexingError(
                    f"a tensor of shape {shape_text(sizes)} has no such position",
                    expected=f"indices from 0 to {n - 1}",
                    actual=f"{int(i.min())} to {int(i.max())}",
                )
            number, step = number + i * step, step * n
        return xp.asarray(number, dtype="int64")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None] * len(inputs)


def ravel_multi_index(multi_index: Any, dims: Any, mode: str | Sequence[str] = "raise", order: str = "C") -> Any:
    """The numbers, in C or Fortran order, of elements whose positions are given.

    Parameters
    ----------
    multi_index
        A tuple with the indices for each axis, integer tensors that broadcast together.
    dims
        The shape of the tensor whose elements are numbered: sizes, or an integer vector.
    mode
        What an index out of bounds does, for all axes or one for each: ``"raise"``, ``"wrap"`` around, or be
        ``"clip"``-ped, which makes negative ones 0.
    order
        ``"C"``: the last index changes fastest; ``"F"``: the first does.

    Raises
    ------
    IndexingError
        When the function runs, if an index is out of bounds, or for an unknown mode.
    ShapeError, DtypeError
        If an argument is of the wrong kind.

    >>> import tinygraph.tensor as T
    >>> T.ravel_multi_index(([0, 1, 1], [0, 1, 5]), (2, 3), mode=("raise", "clip")).eval()
    array([0, 4, 5])
    """
    op = "ravel_multi_index"
    if not isinstance(multi_index, (tuple, list)) or not multi_index:
        raise located(DtypeError("a tuple of indices is needed, one for each axis", actual=str(multi_index)), op)
    index = [_numbers(i, op) for i in multi_index]
    modes = (mode,) * len(index) if isinstance(mode, str) else tuple(mode)
    if len(modes) != len(index) or any(m not in ("raise", "wrap", "clip") for m in modes):
        raise located(
            IndexingError(
                "there is no such mode", expected="'raise', 'wrap' or 'clip' for each axis", actual=repr(mode)
            ),
            op,
        )
    _check_order(order, op)
    return RavelMultiIndex(modes, order)(*index, as_shape(dims, op, len(index)))


def _numbers(x: Any, op: str) -> Any:
    x = as_tensor(x)
    if not is_discrete(x.dtype) or x.dtype == "bool":
        raise located(DtypeError("positions are integers", expected="integers", actual=str(x.type)), op)
    return x


def _check_order(order: str, op: str) -> None:
    if order not in ("C", "F"):
        raise located(DtypeError("there is no such order", expected="'C' or 'F'", actual=repr(order)), op)


# --- shapes -------------------------------------------------------------------------------------------------------


class BroadcastShape(Op):
    """The shape that tensors of the given shapes, integer vectors of known lengths, broadcast to."""

    @property
    def name(self) -> str:
        return "broadcast_shape"

    def infer(self, *shapes: Abstract) -> Abstract:
        out = broadcast_shapes(*[s.extents() for s in shapes])
        return Abstract(TensorType("int64", (len(out),)), out)

    def compute(self, xp: Any, *shapes: Any) -> Any:
        return xp.asarray(broadcast_shapes(*[ints(s) for s in shapes]), dtype="int64")

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None] * len(inputs)


def broadcast_shape(*arrays: Any, arrays_are_shapes: bool = False) -> tuple[Any, ...]:
    """The shape that tensors broadcast to, as a tuple of sizes.

    Parameters
    ----------
    arrays
        Tensors, or with ``arrays_are_shapes`` shapes: tuples of sizes or integer vectors of known length.

    Returns
    -------
    tuple
        For each axis a Python int where the extent is known, else an int64 scalar.

    Raises
    ------
    ShapeError
        If they do not broadcast: here where that is known already, else when the function runs.

    >>> import tinygraph.tensor as T
    >>> T.extra_ops.broadcast_shape(T.zeros((3, 1)), T.zeros(4))
    (3, 4)
    """
    return broadcast_shape_iter(arrays, arrays_are_shapes)


def broadcast_shape_iter(arrays: Any, arrays_are_shapes: bool = False) -> tuple[Any, ...]:
    """``broadcast_shape`` of tensors in a list."""
    op = "broadcast_shape"
    shapes = [as_shape(a, op) if arrays_are_shapes else shape(a) for a in arrays]
    if not shapes:
        raise located(ShapeError("there is nothing to broadcast", expected="at least one tensor"), op)
    common = BroadcastShape()(*shapes)
    known = common.abstract.value
    return tuple(n if n is not None else subtensor(common, axis) for axis, n in enumerate(known))
