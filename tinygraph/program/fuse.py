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

from tinygraph.program.nest import COSTLY
from tinygraph.program.steps import (
    PIECE,
    Call,
    Group,
    Product,
    Scan,
    Shape,
    Step,
    Storage,
    Value,
    View,
    counter,
    packed,
)

__all__ = ["Builder"]

#: Rows that are added up one after the other, at most; sums of more rows are sums of sums.
_RUN = 512

#: Rows up to which columns are gone through several times in one nest: with more of them they leave the cache.
_COLUMN = 128

#: Elements from which a sum over rows no longer shares a nest with what makes the rows.
_LARGE = 1 << 20


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

    def cast(self, dtype: str, value: Value, shape: Shape | None = None) -> Value:
        """A value in another dtype; where that is computed, it may be broadcast to a shape."""
        if value.dtype == dtype:
            return value
        if value.uniform is not None:
            with np.errstate(all="ignore"):
                return Value(dtype, value.shape, uniform=value.uniform.astype(dtype))
        return self.map("cast", dtype, value.shape if shape is None else shape, value)

    def wide(self, value: Value, shape: Shape | None = None) -> Value:
        """A value in the dtype in which sums are made: float16 as float32, which ``cast`` may broadcast to a shape."""
        return self.cast("float32", value, shape) if value.dtype == "float16" else value

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
        if value.dtype == "float16" and kind in ("sum", "prod"):
            return self.cast("float16", self.reduce(kind, self.wide(value), axes, keepdims))
        shape = value.shape
        target = tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
        axes = tuple(i for i in axes if shape[i] != 1)
        if not axes:
            return self.reshape(value, target)
        if value.view is not None:  # in the order of memory
            behind = [i for i in axes if value.view.strides[i] < 0]
            value = Value(value.dtype, shape, view=value.view.backwards(behind)) if behind else value
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
        """A matrix in which one element of each row is ``new``, of shape (n, 1), at column ``index``, else ``old``."""
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
        group = value.group if value.view is None and value.row else None
        if group is not None and group.is_row_shape(value.shape) and group.is_row_shape(shape):
            return Value(value.dtype, shape, group=group, node=value.node, row=True)
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
        row = value.view is None and value.row
        if row and group is not None and shape == group.shape and group.aligned(value.shape) and _repeats(group):
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
            return wide and _repeats(group)
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

        def moves(i: int) -> bool:
            if i in source.stored:
                return True
            node = source.nodes[i]  # a row, or a column, that is repeated stays in the cache
            steps = source.operands[node.attr].strides if node.op == "load" else ()
            return any(steps) and all(s for s, n in zip(steps, source.shape, strict=True) if n != 1)

        loads = [i for i in leaves if moves(i)]
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
            least, number = value.view.storage.writer + 1, value.view.storage.index
            late = [g for g in reversed(self.by_shape.get(shape, ())) if g.index >= least and g.shape == shape]
            # One that reduces over these axes may have what is asked for already.
            for reduced in (axes, None):
                for known in late:
                    if known.axes == reduced and not known.flat and known.room and number in known.reads:
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


def _repeats(group: Group) -> bool:
    """Whether a group can go through its elements again, with what it has reduced."""
    reduced = math.prod(group.shape[i] for i in group.axes or ())
    return not group.flat and (not group.vertical or reduced <= _COLUMN)


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
