"""A loop nest as a function in LLVM's language.

A kernel is called as ``kernel(arguments, begin, end)``: the arguments are laid out as ``Slots`` says, and this call
computes the part of the first axis from ``begin`` to ``end``, so that threads can share a nest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinygraph.backends.native import philox, rows
from tinygraph.backends.native.emit import ELEMENT, Lanes, Module
from tinygraph.backends.native.operands import in_memory, size_of
from tinygraph.backends.native.short import ShortRows
from tinygraph.backends.native.stages import STRIP, Stage, stages
from tinygraph.program.nest import Nest

__all__ = ["grain", "print_nest"]

#: Elements of a row that are added up before the sum is added to that of the row.
_BLOCK = 4096


def print_nest(module: Module, name: str, nest: Nest, vector: int) -> None:
    """Add the kernel of a nest to a module.

    Parameters
    ----------
    module
        Where it goes.
    name
        Of the function.
    nest
        What it computes.
    vector
        Bytes in a vector register.
    """
    _Printer(module, nest, vector).print(name)


def grain(nest: Nest) -> str:
    """What ``begin`` and ``end`` count: ``outer`` places, ``lanes`` of a vector axis, or nothing (``whole``)."""
    if nest.outer:
        return "outer"
    plain = nest.schedule.passes == 1 and not any(n.op in ("reduce", "pick") for n in nest.nodes)
    return "lanes" if nest.vertical or (plain and nest.reduced == 1) else "whole"


class _Printer(ShortRows):
    """The nest itself: passes, rows and lanes."""

    # --- the function -------------------------------------------------------------------------------------------------

    def print(self, name: str) -> None:
        nest = self.nest
        self._arguments()
        kind = grain(nest)
        if kind == "lanes":
            self._row(list(self.bases), "%begin", "%end")
        elif kind == "whole":
            self._row(list(self.bases), "0", self.extents[nest.outer] if nest.vertical else self.extents[-1])
        else:
            self._outer(0, list(self.bases))
        body = "\n".join([*self.entry, *self.lines])
        self.module.functions.append(
            f"define void @{name}(ptr %args, i64 %begin, i64 %end) {{\nentry:\n{body}\n  ret void\n}}"
        )

    def _outer(self, axis: int, bases: list[str]) -> None:
        nest = self.nest
        if axis == nest.outer:
            extent = self.extents[nest.outer] if nest.vertical else self.extents[-1]
            self._row(bases, "0", extent)
            return
        start, end = ("%begin", "%end") if axis == 0 else ("0", self.extents[axis])
        with self.loop(start, end, "1") as i:
            if nest.flat:
                before = self.put(f"mul i64 {i}, {self.extents[1]}")
                rest = self.put(f"sub i64 {self.total}, {before}")
                self._row(self._moved(bases, 0, i), "0", self.smaller(rest, self.extents[1]))
            else:
                self._outer(axis + 1, self._moved(bases, axis, i))

    def _row(self, bases: list[str], start: str, end: str) -> None:
        """What is done at one place of the outer axes."""
        if self.nest.short:
            self._short(bases, start, end)
        elif self.nest.vertical:
            self._vertical(bases, start, end)
        elif self.nest.single:
            self._single(bases, end)
        else:
            self._passes(bases, start, end)

    # --- row nests ----------------------------------------------------------------------------------------------------

    def _passes(self, bases: list[str], start: str, end: str) -> None:
        schedule = self.schedule
        self.row_values, self.splats = {}, {}
        for number in range(schedule.passes):
            self._row_nodes(number, bases, None)
            if schedule.sinks(number) or schedule.writes(number) or schedule.reduces(number):
                self._pass(number, bases, start, end)
        self._row_nodes(schedule.passes, bases, None)
        self._row_stores(bases, None)

    def _pass(self, number: int, bases: list[str], start: str, end: str) -> None:
        """One run over the reduced axes."""
        nest = self.nest
        self.splats = {}
        self._before_lanes(number)
        reduces = [i for i, n in enumerate(nest.nodes) if n.op == "reduce" and self.schedule.ready[i] == number]
        picks = [i for i, n in enumerate(nest.nodes) if n.op == "pick" and self.schedule.ready[i] == number]
        totals = {i: self._accumulator(i) for i in reduces}
        found = {i: self._accumulator(i) for i in picks}
        blocked = any(self._in_blocks(i) for i in reduces)

        def inner(bases: list[str]) -> None:
            if not blocked:
                self._vectors(number, bases, start, end, {**totals, **found})
                return
            with self.loop(start, end, str(_BLOCK)) as b:
                top = self.smaller(self.put(f"add i64 {b}, {_BLOCK}"), end)
                parts = {i: self._accumulator(i) if self._in_blocks(i) else totals[i] for i in reduces}
                self._vectors(number, bases, b, top, {**parts, **found})
                for i in reduces:
                    if parts[i] is not totals[i]:
                        self._combine(i, totals[i], self.lanes.put(self._load(i, parts[i])))

        self._reduced_axes(nest.outer, nest.axes - 1, bases, inner)
        for i in reduces:
            self.row_values[i] = self._across(i, self.put(self._load(i, totals[i])))
        for i in picks:
            self.row_values[i] = self._picked(i, self.put(self._load(i, found[i])))

    def _reduced_axes(self, axis: int, last: int, bases: list[str], inner: Callable[[list[str]], None]) -> None:
        """Loops over the reduced axes before the last, around ``inner``."""
        if axis == last:
            inner(bases)
            return
        with self.loop("0", self.extents[axis], "1") as i:
            self._reduced_axes(axis + 1, last, self._moved(bases, axis, i), inner)

    def _vectors(self, number: int, bases: list[str], start: str, end: str, into: dict[int, str]) -> None:
        """The loop over lanes: whole vectors, and at the end what is left in part of one; in strips, if in stages."""
        steps = stages(self.nest, number)
        if len(steps) == 1:
            self._stage(number, steps[0], bases, start, end, end, into, {})
            return
        type = {n: self.lanes.type(ELEMENT[self.nest.nodes[n].dtype]) for step in steps for n in step.left}
        room = {n: self.variable(f"[{STRIP // self.width} x {type[n]}]") for n in type}
        with self.loop(start, end, str(STRIP)) as b:
            top = self.smaller(self.put(f"add i64 {b}, {STRIP}"), end)
            for step in steps:
                self._stage(number, step, bases, b, top, end, into, room)

    def _stage(
        self, number: int, stage: Stage, bases: list[str], start: str, top: str, end: str, into: dict[int, str],
        room: dict[int, str],
    ) -> None:  # fmt: skip
        width = self.width
        with self.loop(start, top, str(width)) as i:
            rest = self.put(f"sub i64 {end}, {i}")
            whole = self.put(f"icmp sge i64 {rest}, {width}")
            places: dict[int, str] = {}
            if stage.taken or stage.left:
                place = self.put(f"sdiv exact i64 {self.put(f'sub i64 {i}, {start}')}, {width}")
                for n in (*stage.taken, *stage.left):
                    type = self.lanes.type(ELEMENT[self.nest.nodes[n].dtype])
                    places[n] = self.put(f"getelementptr {type}, ptr {room[n]}, i64 {place}")
            values = self._loaded(stage.nodes, number, bases, i, rest, whole)
            for n in stage.taken:
                values[n] = self.put(f"load {self.lanes.type(ELEMENT[self.nest.nodes[n].dtype])}, ptr {places[n]}")
            mask = self._mask(rest)
            self._lane_nodes(stage.nodes, values, bases, i, mask)
            for n in stage.left:
                self.do(f"store {self.lanes.type(ELEMENT[self.nest.nodes[n].dtype])} {values[n]}, ptr {places[n]}")
            here = {k: x for k, x in into.items() if self._reduced_in(k, stage)}
            self._reduce_lanes(number, values, mask, here)
            if stage.last:
                self._store_lanes(number, values, bases, i, mask, whole)

    def _reduced_in(self, k: int, stage: Stage) -> bool:
        """Whether a reduction belongs to a stage: the first that has all that is reduced."""
        args = [a for a in self.nest.nodes[k].args if self.schedule.lane[a]]
        if not args:
            return stage.last
        return all(a in stage.nodes or a in stage.taken for a in args) and any(a in stage.nodes for a in args)

    def _mask(self, rest: str) -> str:
        """The lanes that are in use where ``rest`` elements are left."""
        count = self.smaller(rest, str(self.width))
        small = self.put(f"trunc i64 {count} to i32")
        places = ", ".join(f"i32 {i}" for i in range(self.width))
        return self.lanes.icmp("ult", "i32", f"<{places}>", self.lanes.splat("i32", small))

    def _single(self, bases: list[str], end: str) -> None:
        """Rows that fit into a vector: no loops, and nothing is loaded twice."""
        schedule = self.schedule
        self.row_values, self.splats = {}, {}
        mask = self._mask(end)
        values: dict[int, str] = {}
        for number in range(schedule.passes):
            self._row_nodes(number, bases, None)
            self._before_lanes(number)
            for node in schedule.needed(number):
                if node not in values and self.nest.nodes[node].op in ("load", "index"):
                    values[node] = self._lane_load(self.nest.nodes[node].attr, bases, "0", mask)
            self._lane_nodes(schedule.needed(number), values, bases, "0", mask)
            into = {i: self._accumulator(i) for i in self._reductions(number)}
            self._reduce_lanes(number, values, mask, into)
            for i, place in into.items():
                total = self.put(self._load(i, place))
                pick = self.nest.nodes[i].op == "pick"
                self.row_values[i] = self._picked(i, total) if pick else self._across(i, total)
            for n, k in schedule.writes(number):
                value = values[n] if schedule.lane[n] else self._splat(n)
                self._lane_store(k, value, bases, "0", mask)
        self._row_nodes(schedule.passes, bases, None)
        self._row_stores(bases, None)

    # --- vertical nests -----------------------------------------------------------------------------------------------

    def _vertical(self, bases: list[str], start: str, end: str) -> None:
        """Lanes along a kept axis, each of which runs over the reduced axes."""
        schedule, width = self.schedule, self.width
        with self.loop(start, end, str(width)) as j:
            rest = self.put(f"sub i64 {end}, {j}")
            whole = self.put(f"icmp sge i64 {rest}, {width}")
            mask = self._mask(rest)
            self.row_values, self.splats = {}, {}
            for number in range(schedule.passes):
                self._row_nodes(number, bases, (j, mask))
                if schedule.sinks(number) or schedule.writes(number) or schedule.reduces(number):
                    self._vertical_pass(number, bases, j, rest, whole, mask)
            self._row_nodes(schedule.passes, bases, (j, mask))
            self._row_stores(bases, (j, mask))

    def _vertical_pass(self, number: int, bases: list[str], j: str, rest: str, whole: str, mask: str) -> None:
        nest = self.nest
        self._before_lanes(number)
        totals = {i: self._accumulator(i) for i in self._reductions(number)}

        def inner(places: list[str]) -> None:
            wanted = self.schedule.needed(number)
            values = self._loaded(wanted, number, places, j, rest, whole)
            self._lane_nodes(wanted, values, places, j, mask)
            self._reduce_lanes(number, values, None, totals)
            self._store_lanes(number, values, places, j, mask, whole)

        self._reduced_axes(nest.outer + 1, nest.axes, bases, inner)
        for i, place in totals.items():
            self.row_values[i] = self.put(self._load(i, place))

    # --- short rows ---------------------------------------------------------------------------------------------------

    def _short(self, bases: list[str], start: str, end: str) -> None:
        """Lanes along a kept axis, each of which holds a row."""
        schedule, width = self.schedule, self.width
        last = self.put(f"sub i64 {end}, 1")
        self.held = {}
        with self.loop(start, end, str(width)) as j:
            rest = self.put(f"sub i64 {end}, {j}")
            whole = self.put(f"icmp sge i64 {rest}, {width}")
            mask = self._mask(rest)
            rows = self._row_places(bases, j, last)
            self.row_values, self.splats = {}, {}
            for number in range(schedule.passes):
                self._row_nodes(number, bases, (j, mask))
                if schedule.sinks(number) or schedule.writes(number) or schedule.reduces(number):
                    self._short_pass(number, bases, rows, j, rest, whole, mask)
            self._row_nodes(schedule.passes, bases, (j, mask))
            self._row_stores(bases, (j, mask))

    def _short_pass(
        self, number: int, bases: list[str], rows: dict[int, list[str]], j: str, rest: str, whole: str, mask: str
    ) -> None:
        nodes, schedule = self.nest.nodes, self.schedule
        self._before_lanes(number)
        needed = schedule.needed(number)
        held = {n for n in needed if schedule.reloaded(n, number)}
        for n in needed:
            if n not in held and nodes[n].op == "load" and nodes[n].attr in rows:
                self._read_rows(n, nodes[n].dtype, rows[nodes[n].attr])
                held.add(n)
        rest_of = [n for n in needed if n not in held]
        written = [(n, k) for n, k in schedule.writes(number) if k in rows]
        totals = {i: self._accumulator(i) for i in self._reductions(number)}

        def do(r: str) -> None:
            here = self._moved(bases, self.nest.outer + 1, r)
            values = {n: self._fetch(n, r) for n in sorted(held)}
            values |= self._loaded(rest_of, number, here, j, rest, whole)
            self._lane_nodes(rest_of, values, here, j, mask)
            self._reduce_lanes(number, values, None, totals)
            for n in schedule.kept:
                if schedule.ready[n] == number and n not in held:
                    self._hold(n, nodes[n].dtype, r, values[n])
            for n, k in written:
                self._hold(-1 - k, nodes[n].dtype, r, values[n] if schedule.lane[n] else self._splat(n))
            self._store_lanes(number, values, here, j, mask, whole)

        self._each(1, do)
        for i, place in totals.items():
            self.row_values[i] = self.put(self._load(i, place))
        for n, k in written:
            self._write_rows(-1 - k, nodes[n].dtype, rows[k])

    # --- values of rows -----------------------------------------------------------------------------------------------

    def _row_nodes(self, number: int, bases: list[str], lanes: tuple[str, str] | None) -> None:
        """Compute the row values that become known before a pass."""
        nest, schedule = self.nest, self.schedule
        for i, node in enumerate(nest.nodes):
            if schedule.lane[i] or schedule.ready[i] != number or node.op in ("reduce", "pick") or i in self.row_values:
                continue
            if node.op == "load":
                self.row_values[i] = self._row_load(node.attr, bases, lanes)
            elif node.op == "index":
                self.row_values[i] = self._row_index(node.attr, bases, lanes)
            elif node.op == "gather":
                indices = [self.row_values[a] for a in node.args]
                at, mask = lanes if lanes else ("0", None)
                self.row_values[i] = self._gather(self.row, node.attr, indices, bases, at, mask)
            else:
                args = [self.row_values[a] for a in node.args]
                self.row_values[i] = self._computed(self.row, i, args, lanes[1] if lanes else None)

    def _row_load(self, k: int, bases: list[str], lanes: tuple[str, str] | None) -> str:
        access = self.nest.accesses[k]
        if lanes is not None and access.inner != "same":
            return self._lane_load(k, bases, *lanes)
        memory = in_memory(access.dtype)
        value = self.put(f"load {memory}, ptr {bases[k]}, align {size_of(access.dtype)}")
        if access.dtype == "bool":
            value = self.put(f"icmp ne i8 {value}, 0")
        return self.row.splat(ELEMENT[access.dtype], value)

    def _row_index(self, k: int, bases: list[str], lanes: tuple[str, str] | None) -> str:
        if lanes is not None and self.nest.accesses[k].inner != "same":
            return self._counted(k, bases, lanes[0])
        return self.row.splat("i64", bases[k])

    def _row_stores(self, bases: list[str], lanes: tuple[str, str] | None) -> None:
        for n, k in self.nest.stores:
            access = self.nest.accesses[k]
            if access.moves:
                continue
            value = self.row_values[n]
            if lanes is not None:
                self._lane_store(k, value, bases, *lanes)
                continue
            memory = in_memory(access.dtype)
            if access.dtype == "bool":
                value = self.put(f"zext i1 {value} to i8")
            self.do(f"store {memory} {value}, ptr {bases[k]}, align {size_of(access.dtype)}")

    def _row_arguments(self, number: int) -> list[int]:
        """The row values that lanes of a pass need."""
        schedule = self.schedule
        found = {a for i in schedule.needed(number) for a in self.nest.nodes[i].args if not schedule.lane[a]}
        found |= {n for n, _ in schedule.writes(number) if not schedule.lane[n]}
        for i, node in enumerate(self.nest.nodes):
            if node.op in ("reduce", "pick") and schedule.ready[i] == number:
                found |= {a for a in node.args if not schedule.lane[a]}
        return sorted(found)

    def _before_lanes(self, number: int) -> None:
        """What all lanes of a pass share, computed before its loops."""
        for node in self._row_arguments(number):
            self._splat(node)
        self._philox_constants(number)

    def _splat(self, node: int) -> str:
        if node not in self.splats:
            if self.nest.vertical:
                self.splats[node] = self.row_values[node]
            else:
                kind = ELEMENT[self.nest.nodes[node].dtype]
                self.splats[node] = self.lanes.splat(kind, self.row_values[node])
        return self.splats[node]

    # --- lanes --------------------------------------------------------------------------------------------------------

    def _loaded(
        self, wanted: Sequence[int], number: int, bases: list[str], i: str, rest: str, whole: str
    ) -> dict[int, str]:
        """What a pass loads: whole vectors at once, otherwise the lanes that are left."""
        nodes, schedule = self.nest.nodes, self.schedule
        loads: list[tuple[int, int]] = []
        values: dict[int, str] = {}
        for n in wanted:
            if schedule.reloaded(n, number):
                loads.append((n, schedule.kept[n]))
            elif nodes[n].op == "load":
                loads.append((n, nodes[n].attr))
            elif nodes[n].op == "index":
                values[n] = self._counted(nodes[n].attr, bases, i)
        if not loads:
            return values
        full, part, join = self.fresh("full"), self.fresh("part"), self.fresh("join")
        self.do(f"br i1 {whole}, label %{full}, label %{part}")
        self.label(full)
        ones = [self._lane_load(k, bases, i, None) for _, k in loads]
        self.do(f"br label %{join}")
        self.label(part)
        mask = self._mask(rest)
        others = [self._lane_load(k, bases, i, mask) for _, k in loads]
        self.do(f"br label %{join}")
        self.label(join)
        for (n, k), one, other in zip(loads, ones, others, strict=True):
            type = self.lanes.type(ELEMENT[self.nest.accesses[k].dtype])
            values[n] = self.put(f"phi {type} [ {one}, %{full} ], [ {other}, %{part} ]")
        return values

    def _lane_nodes(self, wanted: Sequence[int], values: dict[int, str], bases: list[str], i: str, mask: str) -> None:
        for n in wanted:
            if n in values:
                continue
            node = self.nest.nodes[n]
            args = [values[a] if self.schedule.lane[a] else self._splat(a) for a in node.args]
            if node.op == "gather":
                values[n] = self._gather(self.lanes, node.attr, args, bases, i, mask)
            else:
                values[n] = self._computed(self.lanes, n, args, mask)

    def _computed(self, e: Lanes, n: int, args: list[str], mask: str | None) -> str:
        node = self.nest.nodes[n]
        if node.op == "const":
            return e.constant(ELEMENT[node.dtype], node.attr)
        if node.op == "cast":
            return rows.cast(e, self.nest.nodes[node.args[0]].dtype, node.dtype, args[0])
        if node.op == "check":
            wrong = e.op("xor", "i1", args[0], e.constant("i1", True))
            self._fail(e, wrong if mask is None else e.op("and", "i1", wrong, mask))
            return args[0]
        if node.op == "philox":
            near = self._side_by_side(n) and e.width > 1
            fixed = self.philox.get(n) or self._philox_fixed(e, n, args[1:], near)
            return philox.drawn(e, node.attr, node.dtype, args[0], fixed, near, self.variable)
        return rows.row(e, node.op, self.nest.nodes[node.args[-1]].dtype, *args)

    def _side_by_side(self, n: int) -> bool:
        """Whether the places of random numbers follow one another from lane to lane."""
        place = self.nest.nodes[self.nest.nodes[n].args[0]]
        return place.op == "index" and self.nest.accesses[place.attr].inner == "unit"

    def _philox_fixed(self, e: Lanes, n: int, state: list[str], near: bool) -> list[str]:
        node = self.nest.nodes[n]
        if e.width > 1:
            state = [self.put(f"extractelement {e.type('i64')} {x}, i64 0") for x in state]
        return philox.constants(e, node.attr, node.dtype, state[0], state[1], near)

    def _philox_constants(self, number: int) -> None:
        """Compute before the lanes of a pass what all random numbers of a state share."""
        self.philox = {}
        for n in self.schedule.needed(number):
            node = self.nest.nodes[n]
            if node.op == "philox" and not self.schedule.reloaded(n, number):
                state = [self._splat(a) for a in node.args[1:]]
                self.philox[n] = self._philox_fixed(self.lanes, n, state, self._side_by_side(n))

    def _reduce_lanes(self, number: int, values: dict[int, str], mask: str | None, into: dict[int, str]) -> None:
        for i, place in into.items():
            node = self.nest.nodes[i]
            args = [values[a] if self.schedule.lane[a] else self._splat(a) for a in node.args]
            e, kind = self.lanes, ELEMENT[node.dtype]
            if node.op == "pick":
                here = e.icmp("eq", "i64", args[1], args[2])
                if mask is not None:
                    here = e.op("and", "i1", here, mask)
                before = self.put(self._load(i, place))
                self.do(f"store {e.type(kind)} {e.select(kind, here, args[0], before)}, ptr {place}")
                continue
            value = args[0]
            if mask is not None:
                value = e.select(kind, mask, value, e.constant(kind, rows.identity(node.attr, node.dtype)))
            self._combine(i, place, value)

    def _store_lanes(
        self, number: int, values: dict[int, str], bases: list[str], i: str, mask: str, whole: str
    ) -> None:
        schedule = self.schedule
        writes = [(n, k) for n, k in schedule.writes(number) if self.nest.accesses[k].inner != "across"]
        stores = [(values[n] if schedule.lane[n] else self._splat(n), k) for n, k in writes]
        stores += [(values[n], k) for n, k in schedule.kept.items() if schedule.ready[n] == number and k >= 0]
        if not stores:
            return
        full, part, join = self.fresh("full"), self.fresh("part"), self.fresh("join")
        self.do(f"br i1 {whole}, label %{full}, label %{part}")
        self.label(full)
        for value, k in stores:
            self._lane_store(k, value, bases, i, None)
        self.do(f"br label %{join}")
        self.label(part)
        for value, k in stores:
            self._lane_store(k, value, bases, i, mask)
        self.do(f"br label %{join}")
        self.label(join)

    # --- reductions ---------------------------------------------------------------------------------------------------

    def _reductions(self, number: int) -> list[int]:
        """What a pass reduces or picks."""
        ready = self.schedule.ready
        return [i for i, n in enumerate(self.nest.nodes) if n.op in ("reduce", "pick") and ready[i] == number]

    def _in_blocks(self, i: int) -> bool:
        node = self.nest.nodes[i]
        return node.attr == "sum" and node.dtype.startswith("float")

    def _accumulator(self, i: int) -> str:
        node = self.nest.nodes[i]
        kind = ELEMENT[node.dtype]
        place = self.variable(self.lanes.type(kind))
        start = 0 if node.op == "pick" else rows.identity(node.attr, node.dtype)
        self.do(f"store {self.lanes.type(kind)} {self.lanes.constant(kind, start)}, ptr {place}")
        return place

    def _load(self, i: int, place: str) -> str:
        return f"load {self.lanes.type(ELEMENT[self.nest.nodes[i].dtype])}, ptr {place}"

    def _combine(self, i: int, place: str, value: str) -> None:
        node, e = self.nest.nodes[i], self.lanes
        before = self.put(self._load(i, place))
        after = rows.combine(e, node.attr, node.dtype, before, value)
        self.do(f"store {e.type(ELEMENT[node.dtype])} {after}, ptr {place}")

    def _across(self, i: int, value: str) -> str:
        """All lanes of a partial result as one, pairwise."""
        node = self.nest.nodes[i]
        kind = ELEMENT[node.dtype]
        width = self.width
        while width > 1:
            half = width // 2
            type = f"<{width} x {kind}>"
            parts = []
            for first in (0, half):
                places = ", ".join(f"i32 {first + lane}" for lane in range(half))
                parts.append(self.put(f"shufflevector {type} {value}, {type} poison, <{half} x i32> <{places}>"))
            width = half
            if width == 1:
                parts = [self.put(f"extractelement <1 x {kind}> {p}, i64 0") for p in parts]
            value = rows.combine(self.scalar.at(width), node.attr, node.dtype, *parts)
        return value

    def _picked(self, i: int, value: str) -> str:
        """The lane that was picked: the others hold the bits of 0."""
        node = self.nest.nodes[i]
        kind = ELEMENT[node.dtype]
        bits = f"i{8 * size_of(node.dtype)}"
        if kind in ("float", "double"):
            value = self.lanes.cast("bitcast", kind, bits, value)
        elif kind == "i1":
            value = self.lanes.cast("zext", "i1", bits, value)
        name = f"llvm.vector.reduce.or.v{self.width}{bits}"
        type = self.lanes.type(bits)
        self.module.declare(name, bits, [type])
        one = self.put(f"call {bits} @{name}({type} {value})")
        if kind == "i1":
            return self.put(f"icmp ne {bits} {one}, 0")
        return self.put(f"bitcast {bits} {one} to {kind}") if kind in ("float", "double") else one
