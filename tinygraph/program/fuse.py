"""Fusion: values of a Program gathered into groups that are computed in one loop nest each.

Operations are described to a ``Builder`` in terms of maps, reductions, views, copies and products. A value is in
memory, is the same number everywhere, or exists in the lanes of a group only; it is stored when somebody outside its
group asks for it. Groups run in the order of their numbers, and an operation joins a group only when everything else it
reads is made by groups before that one, so there can be no cycles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.program.nest import COSTLY, Node

__all__ = ["Binding", "Builder", "Call", "Group", "Product", "Scan", "Step", "Storage", "Unsupported", "Value", "View"]

Shape = tuple[int, ...]

#: Nodes in one nest, at most: registers are few, and compiling takes more than linear time.
_ROOM = 72

#: Elements from which the sum of a long vector is split into pieces, and the size of a piece.
PIECE = 16384

#: Rows that are added up one after the other, at most; sums of more rows are sums of sums.
_RUN = 512

#: Elements from which a sum over rows no longer shares a nest with what makes the rows.
_LARGE = 1 << 20


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
        return self.axes is not None and _without_ones(shape) == _without_ones(self.row_shape)

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


def _without_ones(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


class Builder:
    """Takes descriptions of operations and puts them into groups."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.storages: list[Storage] = []
        self.by_shape: dict[Shape, list[Group]] = {}
        self._constants: dict[Any, Storage] = {}

    # --- memory -----------------------------------------------------------------------------------------------------

    def storage(self, kind: str, dtype: str, size: int, data: Any = None, writer: int = -1) -> Storage:
        made = Storage(len(self.storages), kind, dtype, size, data, writer)
        self.storages.append(made)
        return made

    def temporary(self, dtype: str, shape: Shape) -> View:
        """New memory for a tensor, contiguous."""
        return View(self.storage("temporary", dtype, math.prod(shape)), shape, packed(shape))

    def constant(self, array: Any) -> Value:
        """A value that is known; one number everywhere where that is so."""
        array = np.asarray(array)
        dtype = array.dtype.name
        if array.size and (array.size == 1 or _all_same(array)):
            return Value(dtype, array.shape, uniform=array.reshape(-1)[0])
        return Value(dtype, array.shape, view=self._constant_view(np.ascontiguousarray(array)))

    def _constant_view(self, array: Any) -> View:
        key = (array.dtype.name, array.shape, array.tobytes()) if array.size <= 64 else id(array)
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self.storage("constant", array.dtype.name, array.size, array)
        return View(found, array.shape, packed(array.shape))

    def view(self, value: Value) -> View:
        """A value in memory; it is stored by its group if it is not there yet."""
        if value.view is not None:
            return value.view
        if value.uniform is not None:
            value.view = self._constant_view(np.asarray(value.uniform).reshape(())).broadcast(value.shape)
            return value.view
        group = value.group
        assert group is not None
        shape = group.row_shape if value.row else group.shape
        stored = group.stored.get(value.node)
        if stored is None:
            made = self.temporary(value.dtype, shape)
            stored = group.stored[value.node] = made.storage
            group.store(value.node, made, group.row_strides(made) if value.row else made.strides)
        base = View(stored, shape, packed(shape))
        if value.row and value.shape == group.shape and not group.is_row_shape(value.shape):
            value.view = View(stored, value.shape, group.row_strides(base))
        else:
            value.view = View(stored, value.shape, packed(value.shape))
        return value.view

    def contiguous(self, value: Value) -> View:
        """A value in memory in C order, copied if it is not."""
        view = self.view(value)
        return view if view.contiguous else self.view(self.copied(view))

    def copied(self, view: View) -> Value:
        """A copy of a view, contiguous."""
        group = self._group(view.shape, (Value(view.dtype, view.shape, view=view),), fresh=True)
        return Value(view.dtype, view.shape, group=group, node=group.load(view, view.strides))

    def write(self, value: Value, target: View) -> None:
        """Copy a value, broadcast to the target's shape, into a part of memory."""
        source = self.view(value) if value.uniform is None else None
        reads = (value,) if source is None else (Value(value.dtype, source.shape, view=source),)
        group = self._group(target.shape, reads, fresh=True, after=target.storage.writer + 1)
        if source is None:
            node = group.add("const", value.dtype, (), _number(value.uniform))
        else:
            node = group.load(source, source.broadcast(target.shape).strides)
        group.store(node, target, target.strides)

    # --- operations -------------------------------------------------------------------------------------------------

    def map(self, op: str, dtype: str, shape: Shape, *values: Value, attr: Any = None) -> Value:
        """An elementwise operation of values that broadcast to a shape."""
        simple = _simplified(op, shape, values)
        if simple is not None:
            return simple
        group = self._group(shape, values)
        rows = shape != group.shape
        nodes = [self._used(group, v, shape, rows) for v in values]
        node = group.add(op, dtype, nodes, attr)
        if rows:
            group.row_nodes.add(node)
        return Value(dtype, shape, group=group, node=node, row=rows)

    def index(self, shape: Shape, strides: Shape, start: int = 0, near: Sequence[Value] = ()) -> Value:
        """An int64 tensor that counts: ``start`` plus the place along each axis times a stride."""
        group = self._group(shape, near)
        node = group.load(counter(shape, strides, start), strides, "index")
        return Value("int64", shape, group=group, node=node)

    def gather(
        self, shape: Shape, source: View, strides: Shape, dims: tuple[tuple[int, int], ...], indices: Sequence[Value]
    ) -> Value:
        """Elements of a view: its place moves by ``strides`` along the axes of ``shape``, and by indices times strides.

        ``dims`` has the extent and the stride that go with each index; indices broadcast to ``shape``.
        """
        anchor = Value(source.dtype, source.shape, view=source)
        group = self._group(shape, [*indices, anchor], fresh=not any(v.group for v in indices))
        if shape != group.shape:
            group = self._group(shape, [anchor], fresh=True)
        nodes = [self._used(group, v, shape, False) for v in indices]
        return Value(source.dtype, shape, group=group, node=group.gather(source, strides, dims, nodes))

    def reduce(self, kind: str, value: Value, axes: Sequence[int], keepdims: bool) -> Value:
        """One value for each place outside ``axes``: ``sum``, ``prod``, ``max``, ``min``, ``any`` or ``all``."""
        shape = value.shape
        target = tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
        axes = tuple(i for i in axes if shape[i] != 1)
        if not axes:
            return self.reshape(value, target)
        # What lies innermost in memory is reduced first, axes that are apart from each other one after the other.
        groups = _runs(axes, shape)
        if len(groups) > 1:
            value = self.reduce(kind, value, groups[-1], True)
            return self.reshape(self.reduce(kind, value, [i for run in groups[:-1] for i in run], True), target)
        count = math.prod(shape[i] for i in axes)
        last = max(i for i, n in enumerate(shape) if n != 1)
        if axes[-1] != last and count > 2 * _RUN:
            return self.reshape(self._in_runs(kind, value, axes), target)
        if axes[-1] == last and count > 2 * PIECE and count == math.prod(shape):
            if len(axes) > 1:
                value = self.reduce(kind, value, axes[1:], True)
                return self.reshape(self.reduce(kind, value, axes[:1], True), target)
            return self._in_pieces(kind, value, axes[0], target)
        return self._reduced(kind, value, axes, target)

    def pick(self, value: Value, index: Value) -> Value:
        """For each row of a matrix the element at a column; out of bounds is an error.

        ``value`` has shape (n, m), ``index`` (n,) integers, the result (n,).
        """
        group = self._reducing(value, (1,))
        node = self._used(group, value, value.shape, False)
        view = self.view(index)
        if view.storage.writer >= group.index:
            group = self._new(value.shape)
            group.axes = (1,)
            node = self._used(group, value, value.shape, False)
        place, column = self._column(group, view)
        found = group.add("pick", value.dtype, (node, place, column))
        group.row_nodes.add(found)
        return Value(value.dtype, value.shape[:1], group=group, node=found, row=True)

    def at_column(self, index: View, new: Value, old: Value, shape: Shape) -> Value:
        """A matrix with one element of each row replaced: ``new``, of shape (n, 1), at column ``index``, else ``old``."""
        sources = [Value(v.dtype, v.shape, view=self.view(v)) for v in (new, old) if v.uniform is None]
        group = self._group(shape, [Value("int64", index.shape, view=index), *sources])
        place, column = self._column(group, index)
        here = group.add("eq", "bool", (place, column))
        nodes = [self._used(group, v, shape, False) for v in (new, old)]
        found = group.add("switch", new.dtype, (here, *nodes))
        return Value(new.dtype, shape, group=group, node=found)

    def _column(self, group: Group, index: View) -> tuple[int, int]:
        """For a group over a matrix the column that an index vector names in each row, and the one at hand."""
        place = group.add("cast", "int64", (group.load(index, (index.strides[0], 0)),))
        extent = group.load(self._scalar_view("int64", group.shape[1]), (0, 0))
        negative = group.add("lt", "bool", (place, group.add("const", "int64", (), 0)))
        place = group.add("switch", "int64", (negative, group.add("add", "int64", (place, extent)), place))
        from_zero = group.add("ge", "bool", (place, group.add("const", "int64", (), 0)))
        group.add("check", "bool", (group.add("and_", "bool", (from_zero, group.add("lt", "bool", (place, extent)))),))
        return place, group.load(counter(group.shape, (0, 1)), (0, 1), "index")

    def _scalar_view(self, dtype: str, number: Any) -> View:
        return self._constant_view(np.asarray(number, dtype=dtype))

    def reshape(self, value: Value, shape: Shape) -> Value:
        """The same elements in C order under another shape."""
        if shape == value.shape:
            return value
        if value.uniform is not None:
            return Value(value.dtype, shape, uniform=value.uniform)
        if value.group is not None and value.view is None and value.row and value.group.is_row_shape(value.shape):
            if value.group.is_row_shape(shape):
                return Value(value.dtype, shape, group=value.group, node=value.node, row=True)
        view = self.view(value)
        new = view.reshaped(shape)
        return Value(value.dtype, shape, view=new) if new else self.reshape(self.copied(view), shape)

    def broadcast(self, value: Value, shape: Shape) -> Value:
        """A value repeated to a shape."""
        if shape == value.shape:
            return value
        if value.uniform is not None:
            return Value(value.dtype, shape, uniform=value.uniform)
        group = value.group
        if group is not None and value.view is None and value.row and shape == group.shape:
            if group.aligned(value.shape) and not group.vertical:
                return Value(value.dtype, shape, group=group, node=value.node, row=True)
        return Value(value.dtype, shape, view=self.view(value).broadcast(shape))

    def transpose(self, value: Value, pattern: Sequence[int | str]) -> Value:
        """Axes in another order, new ones where the pattern has ``"x"``; those left out have extent 1."""
        shape = tuple(1 if a == "x" else value.shape[a] for a in pattern)  # type: ignore[index]
        kept = [a for a in pattern if isinstance(a, int) and value.shape[a] != 1]
        if kept == sorted(kept) and (value.view is None or value.uniform is not None):
            return self.reshape(value, shape)
        view = self.view(value)
        strides = tuple(0 if a == "x" else view.strides[a] for a in pattern)  # type: ignore[index]
        return Value(value.dtype, shape, view=View(view.storage, shape, strides, view.offset))

    def product(self, x: View, y: View, out: View, alpha: Any = 1.0, beta: float = 0.0) -> None:
        if 0 in x.shape or 0 in y.shape:
            if not beta:
                self.write(Value(out.dtype, out.shape, uniform=np.zeros((), out.dtype)[()]), out)
            return
        step = Product(x, y, out, alpha, beta)
        self.append(step)
        out.storage.writer = step.index

    def scan(self, step: Scan) -> None:
        self.append(step)
        step.workspace = self.storage("temporary", "uint8", step.plan.arena + 64, writer=step.index)
        for b in step.bindings:
            if not b.read or b.position in step.plan.updated.values():
                b.view.storage.writer = step.index

    def call(
        self, position: int, inputs: Sequence[Value | int], outputs: Sequence[tuple[str, Shape, int]]
    ) -> list[Value]:
        """An instruction by itself: its outputs as (dtype, shape, number of buffer)."""
        step = Call(position, [v if isinstance(v, int) else self.view(v) for v in inputs])
        self.append(step)
        values = []
        for dtype, shape, number in outputs:
            made = self.storage("result", dtype, math.prod(shape), number, step.index)
            values.append(Value(dtype, shape, view=View(made, shape, packed(shape))))
        return values

    # --- groups -----------------------------------------------------------------------------------------------------

    def append(self, step: Step) -> None:
        step.index = len(self.steps)
        self.steps.append(step)

    def _new(self, shape: Shape) -> Group:
        group = Group(len(self.steps), shape)
        self.append(group)
        self.by_shape.setdefault(shape, []).append(group)
        return group

    def _group(self, shape: Shape, values: Sequence[Value], fresh: bool = False, after: int = 0) -> Group:
        """The group in which an operation of this shape on these values is computed."""
        least, best = after, None
        for v in values:
            if v.group is None or (v.view is not None and v.group.index + 1 < len(self.steps) and not v.group.room):
                least = max(least, -1 if v.view is None else v.view.storage.writer + 1)
            elif self._fits(v, shape):
                least = max(least, v.group.index)
                if best is None or v.group.index > best.index:
                    best = v.group
            else:
                least = max(least, v.group.index + 1)
        if best is not None and best.index >= least and best.room and not fresh:
            return best
        reads = {v.view.storage.index for v in values if v.view is not None}
        for group in reversed(self.by_shape.get(shape, ())):
            if group.index < least:
                break
            if group.room and not fresh and group.shape == shape and not reads.isdisjoint(group.reads):
                return group
        return self._new(shape)

    def _fits(self, value: Value, shape: Shape) -> bool:
        """Whether an operation of this shape can read a value of a group inside that group."""
        group = value.group
        assert group is not None
        if not value.row:
            return shape == group.shape == value.shape
        if shape == group.shape and not (group.is_row_shape(shape) and value.shape == shape):
            wide = value.shape == group.shape or group.aligned(value.shape)
            return wide and not group.vertical and not group.flat
        return value.shape == shape and group.is_row_shape(shape) and not group.flat

    def _used(self, group: Group, value: Value, shape: Shape, rows: bool) -> int:
        """The node of a value in a group, for an operation of this shape."""
        if value.group is group and self._fits(value, shape):
            return value.node
        if value.uniform is not None:
            number = _number(value.uniform)
            if number in (0, 1, -1, 2, 0.5) and not (number == 0 and math.copysign(1, number) < 0):
                return group.add("const", value.dtype, (), number)
        if value.group is not None and value.view is None and not rows and value.shape == shape == group.shape:
            again = self._again(value, group)
            if again is not None:
                return again
        view = self.view(value).broadcast(shape)
        return group.load(view, group.row_strides(view) if rows else view.strides)

    def _again(self, value: Value, group: Group) -> int | None:
        """The node of a value of another group computed once more, where that is cheaper than to store and load it."""
        source = value.group
        assert source is not None
        if value.row or source is group or source.shape != group.shape:
            return None
        wanted: list[int] = []
        leaves: set[int] = set()
        pending = [value.node]
        while pending:
            i = pending.pop()
            node = source.nodes[i]
            if i in source.row_nodes:
                return None
            if i in source.stored or node.op in ("load", "index"):
                leaves.add(i)
            elif node.op in COSTLY or node.op in ("reduce", "check") or len(wanted) > 12:
                return None
            elif i not in wanted:
                wanted.append(i)
                pending.extend(node.args)
        loads = [
            i
            for i in leaves
            if i in source.stored or (source.nodes[i].op == "load" and any(source.operands[source.nodes[i].attr].strides))
        ]
        if len(loads) > 1 or value.node in leaves:
            return None
        made: dict[int, int] = {}
        for i in sorted({*wanted, *leaves}):
            node = source.nodes[i]
            if i in source.stored:
                view = View(source.stored[i], source.shape, packed(source.shape))
                made[i] = group.load(view, view.strides)
            elif i in leaves:
                operand = source.operands[node.attr]
                if operand.view.storage.writer >= group.index:
                    return None
                made[i] = group.load(operand.view, operand.strides, operand.role)
            else:
                made[i] = group.add(node.op, node.dtype, [made[a] for a in node.args], node.attr)
        return made[value.node]

    def _register(self, group: Group) -> None:
        """Make a group known under the shapes of its row values."""
        self.by_shape.setdefault(group.row_shape, []).append(group)

    def _reducing(self, value: Value, axes: tuple[int, ...]) -> Group:
        """The group in which a value is reduced over these axes: its own, if that reduces nothing else."""
        group, shape = value.group, value.shape
        if group is not None and not value.row and group.shape == shape and group.room and not group.flat:
            vertical = max((i for i, n in enumerate(shape) if n != 1), default=axes[0]) not in axes
            if group.axes == axes or (group.axes is None and not (vertical and math.prod(shape) > _LARGE)):
                if group.axes is None:
                    group.axes = axes
                return group
        least = 0
        if value.view is not None:
            least = value.view.storage.writer + 1
            for known in reversed(self.by_shape.get(shape, ())):
                if known.index < least:
                    break
                same = known.shape == shape and known.axes in (None, axes) and not known.flat and known.room
                if same and value.view.storage.index in known.reads:
                    known.axes = axes
                    return known
        group = self._new(shape)
        group.axes = axes
        return group

    def _reduced(self, kind: str, value: Value, axes: tuple[int, ...], target: Shape) -> Value:
        group = self._reducing(value, axes)
        node = self._used(group, value, value.shape, False)
        found = group.add("reduce", value.dtype, (node,), kind)
        group.row_nodes.add(found)
        return Value(value.dtype, target, group=group, node=found, row=True)

    def _in_pieces(self, kind: str, value: Value, axis: int, target: Shape) -> Value:
        """A long vector reduced in pieces, whose results are reduced in turn."""
        shape = (value.shape[axis],)
        if value.shape != shape:
            value = self.reshape(value, shape)
        group = value.group
        if group is None or value.row or group.shape != shape or group.axes not in (None, (0,)) or not group.room:
            group = self._new(shape)
        if group.axes is not None and not group.flat:
            group = self._new(shape)
        group.axes = (0,)
        group.flat = True
        node = self._used(group, value, shape, False)
        found = group.add("reduce", value.dtype, (node,), kind)
        group.row_nodes.add(found)
        part = Value(value.dtype, group.row_shape, group=group, node=found, row=True)
        parts = Value(part.dtype, part.shape, view=self.view(part))
        return self.reshape(self.reduce(kind, parts, (0,), False), target)

    def _in_runs(self, kind: str, value: Value, axes: tuple[int, ...]) -> Value:
        """Many rows reduced a few hundred at a time, and then what these gave; axes that were reduced have extent 1."""
        view = self.contiguous(value)
        first, last = axes[0], axes[-1]
        count = math.prod(view.shape[first : last + 1])
        before, behind = view.shape[:first], view.shape[last + 1 :]
        step = packed(view.shape)[last]
        runs, rest = divmod(count, _RUN)
        lead = packed((*before, count * math.prod(behind)))[: len(before)]
        target = self.temporary(value.dtype, (*before, runs + (rest > 0), *behind))

        def part(rows: tuple[int, ...], offset: int, place: slice) -> None:
            shape = (*before, *rows, *behind)
            strides = (*lead, *[step * m for m in packed(rows)], *packed(behind))
            source = Value(value.dtype, shape, view=View(view.storage, shape, strides, view.offset + offset))
            axis = len(before) + len(rows) - 1
            result = self._reduced(kind, source, (axis,), tuple(n for i, n in enumerate(shape) if i != axis))
            group = result.group
            assert group is not None
            into = View(
                target.storage,
                (*before, *rows[:-1], *behind),
                (*target.strides[: len(before)], *target.strides[len(before) :][: len(rows) - 1],
                 *target.strides[len(before) + 1 :]),
                target.strides[len(before)] * place.start,
            )  # fmt: skip
            group.store(result.node, into, group.row_strides(into))

        part((runs, _RUN), 0, slice(0, runs))
        if rest:
            part((rest,), runs * _RUN * step, slice(runs, runs + 1))
        parts = Value(value.dtype, target.shape, view=target)
        out = self.reduce(kind, parts, (len(before),), True)
        kept = tuple(1 if i in axes else n for i, n in enumerate(value.shape))
        return self.reshape(out, kept)


def _runs(axes: Sequence[int], shape: Shape) -> list[list[int]]:
    """Axes in runs of neighbours, axes of extent 1 not counted."""
    order = [i for i, n in enumerate(shape) if n != 1]
    runs: list[list[int]] = []
    for i in axes:
        if runs and order.index(i) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _all_same(array: Any) -> bool:
    """Whether all elements are the same number, with the same sign where it is zero."""
    first = array.reshape(-1)[0]
    if array.dtype.kind == "f":
        return bool((array == first).all() and (np.signbit(array) == np.signbit(first)).all())
    return bool((array == first).all())


def _simplified(op: str, shape: Shape, values: Sequence[Value]) -> Value | None:
    """One of the operands where the operation gives just that, exactly."""
    if len(values) == 2:
        x, y = values
        if op == "mul" and x.uniform is not None and x.uniform == 1 and y.shape == shape:
            return y
        one = y.uniform is not None and y.uniform == 1 and op in ("mul", "true_div")
        nothing = y.uniform is not None and y.uniform == 0 and op == "sub" and not np.signbit(y.uniform)
        if (one or nothing) and x.shape == shape:
            return x
    return None
