"""What a Program is taken apart into: places in memory, values, and the steps that run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.program.nest import Node

__all__ = [
    "PIECE",
    "Batch",
    "Binding",
    "Call",
    "Group",
    "Operand",
    "Product",
    "Scan",
    "Scatter",
    "Shape",
    "Step",
    "Storage",
    "Unsupported",
    "Value",
    "View",
    "counter",
    "packed",
    "without_ones",
]

Shape = tuple[int, ...]

#: Nodes in one nest, at most: registers are few, and compiling takes more than linear time.
_ROOM = 72

#: Elements from which the sum of a long vector is split into pieces, and the size of a piece.
PIECE = 16384


class Unsupported(Exception):  # noqa: N818
    """An operation that has no description in terms of nests and products; it is run by itself."""


class Storage:
    """A piece of memory.

    Attributes
    ----------
    kind
        ``input`` (of the Program, by position), ``constant``, ``temporary`` or ``result`` (of an operation that is run
        by itself).
    data
        The position, the array of a constant, or the number of the buffer of a result.
    writer
        Number of the last step that writes to it, -1 where none does.
    """

    __slots__ = ("data", "dtype", "index", "kind", "size", "writer")

    def __init__(self, index: int, kind: str, dtype: str, size: int, data: Any = None, writer: int = -1) -> None:
        self.index = index
        self.kind = kind
        self.dtype = dtype
        self.size = size
        self.data = data
        self.writer = writer

    @property
    def nbytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize

    def __repr__(self) -> str:
        return f"{self.kind} {self.index}: {self.dtype} × {self.size}"


class View:
    """Elements of a storage: an offset, and a stride for each axis, counted in elements."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: Storage, shape: Shape, strides: Shape, offset: int = 0) -> None:
        self.storage = storage
        self.shape = shape
        self.strides = strides
        self.offset = offset

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def contiguous(self) -> bool:
        """Whether elements stand in C order, one behind the other."""
        return all(n == 1 or s == t for n, s, t in zip(self.shape, self.strides, packed(self.shape), strict=True))

    @property
    def whole(self) -> bool:
        """Whether it is all of its storage, in C order."""
        return self.contiguous and self.offset == 0 and math.prod(self.shape) == self.storage.size

    def broadcast(self, shape: Shape) -> View:
        """The same repeated to a shape."""
        lead = len(shape) - len(self.shape)
        strides = [0] * lead
        strides += [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return View(self.storage, shape, tuple(strides), self.offset)

    def backwards(self, axes: Sequence[int]) -> View:
        """The same elements with the order along some axes turned round."""
        strides = tuple(-s if i in axes else s for i, s in enumerate(self.strides))
        offset = self.offset + sum(self.strides[i] * (self.shape[i] - 1) for i in axes)
        return View(self.storage, self.shape, strides, offset)

    def reshaped(self, shape: Shape) -> View | None:
        """The same elements in C order under another shape, None where that needs a copy."""
        if self.contiguous:
            return View(self.storage, shape, packed(shape), self.offset)
        item = np.dtype(self.dtype).itemsize
        if 0 in self.shape or any(s < 0 for s in self.strides):
            return None
        model = np.lib.stride_tricks.as_strided(
            np.empty(0, self.dtype), self.shape, [s * item for s in self.strides], writeable=False
        )
        try:
            model.shape = shape
        except AttributeError:
            return None
        return View(self.storage, shape, tuple(s // item for s in model.strides), self.offset)


class Value:
    """One value of a Program while it is put together.

    Attributes
    ----------
    view
        Where it is in memory; None while it is not.
    group, node
        The group that computes it, and the node there.
    row
        Whether it has one element for each row of its group, not one for each element.
    uniform
        The number that every element is; None where they differ.
    """

    __slots__ = ("dtype", "group", "node", "row", "shape", "uniform", "view")

    def __init__(
        self,
        dtype: str,
        shape: Shape,
        view: View | None = None,
        group: Group | None = None,
        node: int = -1,
        row: bool = False,
        uniform: Any = None,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.view = view
        self.group = group
        self.node = node
        self.row = row
        self.uniform = uniform


class Step:
    """Something that runs: a group, a product, or an operation by itself."""

    index = -1


class Call(Step):
    """An instruction of the Program that is run by itself, on arrays."""

    def __init__(self, position: int, inputs: Sequence[View | int]) -> None:
        self.position = position
        #: Where inputs are; for those that only another such instruction knows, the number of their buffer.
        self.inputs = list(inputs)


class Batch(Step):
    """Nests that know nothing of one another, and may run at the same time."""

    def __init__(self, calls: Sequence[Any]) -> None:
        self.calls = list(calls)


class Product(Step):
    """``out = alpha · x · y + beta · out`` for matrices, or stacks of them.

    Attributes
    ----------
    x, y, out
        Views of three axes: stack, rows, columns.
    alpha
        A number, or a view of one.
    beta
        0 or 1.
    """

    def __init__(self, x: View, y: View, out: View, alpha: Any = 1.0, beta: float = 0.0) -> None:
        self.x = x
        self.y = y
        self.out = out
        self.alpha = alpha
        self.beta = beta


class Scatter(Step):
    """``out[i, places[k], j] += values[i, k, j]``, or ``=``, of which the last one stays, for all ``k`` in their order.

    Attributes
    ----------
    out, values
        Views of three axes.
    places
        A contiguous vector of int32 numbers, none of which is out of bounds.
    set
        Whether elements are replaced.
    ordered
        Whether elements are added up in a fixed order.
    workspace
        Memory while it runs.
    """

    workspace: Storage

    def __init__(self, out: View, values: View, places: View, set: bool, ordered: bool) -> None:
        self.out = out
        self.values = values
        self.places = places
        self.set = set
        self.ordered = ordered


class Binding:
    """An input or output of a step that is repeated.

    Attributes
    ----------
    position
        Of the input, or of the output, in the step's Program.
    read
        Whether it is an input.
    view
        Rows of it, or one that stays.
    stride
        Elements from one row to the next.
    first
        The row of the first turn.
    modulus
        Number of rows in a ring; 0 where there is a row for each turn.
    """

    __slots__ = ("first", "modulus", "position", "read", "stride", "view")

    def __init__(self, position: int, read: bool, view: View, stride: int, first: int, modulus: int) -> None:
        self.position = position
        self.read = read
        self.view = view
        self.stride = stride
        self.first = first
        self.modulus = modulus


class Scan(Step):
    """A plan that runs ``count`` times, each time on other rows.

    Attributes
    ----------
    plan
        Of one turn.
    bindings
        Its inputs and outputs; what it writes to one of its inputs has no binding of its own.
    workspace
        Memory for the plan's temporaries.
    """

    workspace: Storage

    def __init__(self, count: int, plan: Any, bindings: Sequence[Binding]) -> None:
        self.count = count
        self.plan = plan
        self.bindings = list(bindings)


class Operand:
    """What a group reads or writes: a view with a stride for each axis of the group, or a counter."""

    __slots__ = ("dims", "role", "strides", "view")

    def __init__(self, view: View, strides: Shape, role: str, dims: tuple[tuple[int, int], ...] = ()) -> None:
        self.view = view
        self.strides = strides
        self.role = role
        self.dims = dims


class Group(Step):
    """Operations over one set of axes.

    Attributes
    ----------
    shape
        Extents of the axes.
    axes
        Those that are reduced; None while nothing is.
    flat
        The one axis is cut into pieces, and reductions give one value for each.
    """

    def __init__(self, index: int, shape: Shape) -> None:
        self.index = index
        self.shape = shape
        self.axes: tuple[int, ...] | None = None
        self.flat = False
        self.nodes: list[Node] = []
        self.known: dict[Node, int] = {}
        self.operands: list[Operand] = []
        self.loads: dict[Any, int] = {}
        self.stores: list[tuple[int, int]] = []
        self.stored: dict[int, Storage] = {}
        self.row_nodes: set[int] = set()
        self.reads: set[int] = set()

    @property
    def room(self) -> bool:
        return len(self.nodes) < _ROOM

    @property
    def row_shape(self) -> Shape:
        """The extents that are kept; of a flat group the number of pieces."""
        if self.flat:
            return (-(-self.shape[0] // PIECE),)
        return tuple(n for i, n in enumerate(self.shape) if i not in (self.axes or ()))

    @property
    def vertical(self) -> bool:
        """Whether lanes will run over a kept axis."""
        kept = [i for i, n in enumerate(self.shape) if i not in (self.axes or ()) and n != 1]
        return bool(self.axes and kept and kept[-1] > max(self.axes))

    def is_row_shape(self, shape: Shape) -> bool:
        """Whether a shape is that of row values, with or without axes of extent 1."""
        return self.axes is not None and without_ones(shape) == without_ones(self.row_shape)

    def aligned(self, shape: Shape) -> bool:
        """Whether row values of this shape broadcast to the group's shape as rows."""
        if self.flat or self.axes is None:
            return False
        kept = tuple(1 if i in self.axes else n for i, n in enumerate(self.shape))
        lead = len(kept) - len(shape)
        return lead >= 0 and kept[lead:] == shape and all(n == 1 for n in kept[:lead])

    def add(self, op: str, dtype: str, args: Sequence[int] = (), attr: Any = None) -> int:
        node = Node(op, dtype, tuple(args), attr)
        known = self.known.get(node)
        if known is None:
            known = self.known[node] = len(self.nodes)
            self.nodes.append(node)
        return known

    def load(self, view: View, strides: Shape, role: str = "load") -> int:
        """The node that reads a view with these strides."""
        key = (view.storage.index, view.offset, strides, role)
        k = self.loads.get(key)
        if k is None:
            k = self.loads[key] = len(self.operands)
            self.operands.append(Operand(view, strides, role))
            if role != "index":
                self.reads.add(view.storage.index)
        return self.add("load" if role == "load" else "index", view.dtype, (), k)

    def gather(self, view: View, strides: Shape, dims: tuple[tuple[int, int], ...], indices: Sequence[int]) -> int:
        """The node that reads a view at indices that are values."""
        k = len(self.operands)
        self.operands.append(Operand(view, strides, "gather", dims))
        self.reads.add(view.storage.index)
        return self.add("gather", view.dtype, indices, k)

    def store(self, node: int, view: View, strides: Shape) -> None:
        self.stores.append((node, len(self.operands)))
        self.operands.append(Operand(view, strides, "store"))
        view.storage.writer = max(view.storage.writer, self.index)

    def row_strides(self, view: View) -> Shape:
        """For a view of the shape of row values its strides along the group's axes."""
        steps = [s for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
        if self.flat:
            return (steps[0] if steps else 0,)
        found = iter(steps)
        axes = self.axes or ()
        return tuple(0 if i in axes or n == 1 else next(found) for i, n in enumerate(self.shape))


def counter(shape: Shape, strides: Shape, start: int = 0) -> View:
    """What an index reads: no memory, but numbers that begin with ``start``."""
    return View(Storage(-1, "counter", "int64", 0), shape, strides, start)


def packed(shape: Shape) -> Shape:
    """The strides of a contiguous array in C order, in elements."""
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def without_ones(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)
