"""A loop nest as a kernel in CUDA C.

A kernel's arguments are the words that ``Slots`` lays out: extents, strides and addresses, so that other sizes run the
same code; ``module`` says how they come to it.

Nothing here is atomic: each sum is added up by certain threads in a certain order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tinygraph.backends.cuda import rows
from tinygraph.backends.cuda.kernel import BLOCK, WARP, Kernel
from tinygraph.backends.cuda.rows import TYPE, memory

__all__ = ["print_kernel"]


def print_kernel(kernel: Kernel, name: str) -> str:
    """The text of a nest, as a function of the device; ``rows.PRELUDE`` has to come before it.

    It takes the words and computes what the ``block``-th of ``blocks`` blocks has to.
    """
    return _Printer(kernel).text(name)


class _Printer:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.nest = kernel.nest
        self.schedule = kernel.nest.schedule
        self.slots = kernel.nest.slots
        self.index = "long long" if kernel.wide else "int"
        self.lines: list[str] = []
        self.depth = 1
        #: The names of values that are the same for all lanes of a row, and of those of the lane at hand.
        self.row_values: dict[int, str] = {}
        self.done: set[int] = set()
        self.lane_axis = self.nest.outer if self.nest.vertical else self.nest.axes - 1

    # --- text ---------------------------------------------------------------------------------------------------------

    def put(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.put(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    def text(self, name: str) -> str:
        kernel = self.kernel
        for i in range(self.nest.axes):
            self.put(f"const {self.index} n{i} = ({self.index})w.at[{self.slots.extents + i}];")
        {"map": self._map, "turns": self._turns, "rows": self._rows, "columns": self._columns}[kernel.form]()
        return rows.body(name, self.lines)

    # --- places -------------------------------------------------------------------------------------------------------

    def _stride(self, k: int, axis: int) -> str:
        return f"w.at[{self.slots.strides[k] + axis}]"

    def _unravel(self, number: str, axes: range, letter: str, bound: bool = True) -> None:
        """Names for the indices along axes, from a number that counts places in C order."""
        if not axes:
            return
        rest = number
        for i in reversed(axes[1:]):
            self.put(f"const {self.index} {letter}{i} = {rest} % n{i}, q{letter}{i} = {rest} / n{i};")
            rest = f"q{letter}{i}"
        self.put(f"const {self.index} {letter}{axes[0]} = {rest};")

    def _bases(self, outer: range) -> None:
        """For each operand its place at the indices of the outer axes."""
        for k, access in enumerate(self.nest.accesses):
            steps = "".join(f" + (long long)o{i} * {self._stride(k, i)}" for i in outer)
            if access.role == "index":
                self.put(f"const long long p{k} = w.at[{k}]{steps};")
            else:
                self.put(f"char *const p{k} = (char *)w.at[{k}]{steps};")

    def _place(self, k: int, lane: str | None, reduced: bool) -> str:
        """An operand's place at a lane, and at the indices of the other reduced axes."""
        nest, access = self.nest, self.nest.accesses[k]
        text = f"p{k}"
        if reduced and access.moves:
            first = nest.outer + nest.vertical
            for i in range(first, nest.axes):
                if i != self.lane_axis:
                    text += f" + (long long)r{i} * {self._stride(k, i)}"
        if lane is not None and access.inner != "same":
            step = self._stride(k, self.lane_axis)
            if access.inner == "unit":
                step = "1" if access.role == "index" else str(np.dtype(access.dtype).itemsize)
            text += f" + (long long)({lane}) * {step}"
        return text

    def _aligned(self, k: int, lane: str, vector: int) -> str:
        """An operand's place at a lane, where a vector of elements begins."""
        size = vector * np.dtype(self.nest.accesses[k].dtype).itemsize
        return f"TG_ALIGNED({self._place(k, lane, True)}, {size})"

    def _loaded(self, k: int, lane: str | None, reduced: bool) -> str:
        access, place = self.nest.accesses[k], self._place(k, lane, reduced)
        if access.role == "index":
            return place
        return rows.loaded(access.dtype, f"*(const {memory(access.dtype)} *)({place})")

    def _stored(self, k: int, lane: str | None, reduced: bool, value: str) -> str:
        dtype = self.nest.accesses[k].dtype
        return f"*({memory(dtype)} *)({self._place(k, lane, reduced)}) = {rows.stored(dtype, value)};"

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _expression(self, n: int, args: list[str]) -> str:
        node = self.nest.nodes[n]
        if node.op == "const":
            return rows.constant(node.dtype, node.attr)
        if node.op == "cast":
            return rows.cast(self.nest.nodes[node.args[0]].dtype, node.dtype, args[0])
        if node.op == "philox":
            return rows.drawn(node.attr, node.dtype, *args)
        return rows.row(node.op, self.nest.nodes[node.args[-1]].dtype, *args)

    def _compute(self, n: int, name: str, args: list[str], lane: str | None, reduced: bool, on: str) -> None:
        """Give a node's value a name, which is declared here unless it has an index."""
        node = self.nest.nodes[n]
        kind = "" if "[" in name else f"{TYPE[node.dtype]} "
        if node.op in ("load", "index"):
            self.put(f"{kind}{name} = {self._loaded(node.attr, lane, reduced)};")
        elif node.op == "gather":
            self._gather(n, f"{kind}{name}", args, lane, reduced, on)
        elif node.op == "check":
            self.put(f"if ({on}!{args[0]}) *(volatile long long *)w.at[{self.slots.error}] = 1;")
            self.put(f"{kind}{name} = {args[0]};")
        else:
            self.put(f"{kind}{name} = {self._expression(n, args)};")

    def _gather(self, n: int, name: str, args: list[str], lane: str | None, reduced: bool, on: str) -> None:
        """An element at indices that are values; one that is out of bounds is an error and reads as 0."""
        node = self.nest.nodes[n]
        access = self.nest.accesses[node.attr]
        offsets, inside = [], []
        for d, arg in enumerate(args):
            extent = f"w.at[{self.slots.dims[node.attr] + 2 * d}]"
            self.put(f"long long g{n}_{d} = (long long){arg};")
            self.put(f"if (g{n}_{d} < 0) g{n}_{d} += {extent};")
            inside.append(f"g{n}_{d} >= 0 && g{n}_{d} < {extent}")
            offsets.append(f" + g{n}_{d} * w.at[{self.slots.dims[node.attr] + 2 * d + 1}]")
        self.put(f"const bool in{n} = {' && '.join(inside)};")
        self.put(f"if ({on}!in{n}) *(volatile long long *)w.at[{self.slots.error}] = 1;")
        place = self._place(node.attr, lane, reduced) + "".join(offsets)
        found = rows.loaded(access.dtype, f"*(const {memory(access.dtype)} *)({place})")
        self.put(f"{name} = in{n} ? {found} : ({TYPE[access.dtype]})0;")

    def _row_nodes(self, number: int, lane: str | None, on: str) -> None:
        """The values of rows that become known before a pass."""
        nest, schedule = self.nest, self.schedule
        for i, node in enumerate(nest.nodes):
            if schedule.lane[i] or schedule.ready[i] != number or node.op in ("reduce", "pick") or i in self.row_values:
                continue
            name = self.row_values[i] = f"v{i}"
            self._compute(i, name, [self.row_values[a] for a in node.args], lane, False, on)

    def _row_stores(self, lane: str | None) -> None:
        for n, k in self.nest.stores:
            if not self.nest.accesses[k].moves:
                self.put(self._stored(k, lane, False, self.row_values[n]))

    # --- lanes --------------------------------------------------------------------------------------------------------

    def _reductions(self, number: int) -> list[int]:
        return [
            i for i, n in enumerate(self.nest.nodes) if n.op in ("reduce", "pick") and self.schedule.ready[i] == number
        ]

    def _accumulators(self, number: int) -> None:
        for i in self._reductions(number):
            node = self.nest.nodes[i]
            if node.op == "pick":
                self.put(f"{_bits_type(node.dtype)} a{i} = 0;")
            else:
                self.put(
                    f"{TYPE[node.dtype]} a{i} = {rows.constant(node.dtype, rows.identity(node.attr, node.dtype))};"
                )

    def _lanes(self, number: int, i: str, vector: int, on: str = "") -> None:
        """One pass over the elements from lane ``i`` on, as many as a vector has.

        ``on`` guards what fails, for lanes that are there only to keep others company.
        """
        kernel, nest, schedule = self.kernel, self.nest, self.schedule
        held = kernel.held
        needed = [n for n in schedule.needed(number) if n not in self.done] if held else schedule.needed(number)
        kept = {} if held else {n: k for n, k in schedule.kept.items() if schedule.ready[n] == number}
        reloaded = {n: schedule.kept[n] for n in needed if not held and schedule.reloaded(n, number)}
        stores = [*schedule.writes(number), *kept.items()]
        if vector > 1:
            for n in needed:
                k = reloaded.get(n, nest.nodes[n].attr if nest.nodes[n].op == "load" else None)
                if k is not None and nest.accesses[k].inner == "unit":
                    kind = f"tg_vector<{memory(nest.accesses[k].dtype)}, {vector}>"
                    self.put(f"const {kind} l{n} = *(const {kind} *){self._aligned(k, i, vector)};")
            for _, k in stores:
                if nest.accesses[k].inner == "unit":
                    self.put(f"tg_vector<{memory(nest.accesses[k].dtype)}, {vector}> s{k};")
        if vector > 1:
            self.put("#pragma unroll")
            with self.block(f"for (int j = 0; j < {vector}; ++j)"):
                self._elements(number, needed, reloaded, stores, f"{i} + j", vector, on)
        else:
            self._elements(number, needed, reloaded, stores, i, vector, on)
        if vector > 1:
            for _, k in stores:
                if nest.accesses[k].inner == "unit":
                    kind = f"tg_vector<{memory(nest.accesses[k].dtype)}, {vector}>"
                    self.put(f"*({kind} *){self._aligned(k, i, vector)} = s{k};")
        if held:
            self.done.update(needed)

    def _elements(
        self,
        number: int,
        needed: list[int],
        reloaded: dict[int, int],
        stores: list[tuple[int, int]],
        lane: str,
        vector: int,
        on: str,
    ) -> None:
        """What is done with the element at a lane."""
        nest = self.nest

        def value(n: int) -> str:
            if not self.schedule.lane[n]:
                return self.row_values[n]
            return f"v{n}[{'j' if vector > 1 else '0'}]" if self.kernel.held else f"v{n}"

        for n in needed:
            node = nest.nodes[n]
            k = reloaded.get(n, node.attr if node.op == "load" else None)
            if k is not None and vector > 1 and nest.accesses[k].inner == "unit":
                kind = "" if self.kernel.held else f"{TYPE[node.dtype]} "
                self.put(f"{kind}{value(n)} = {rows.loaded(nest.accesses[k].dtype, f'l{n}.at[j]')};")
            elif n in reloaded:
                self.put(f"{TYPE[node.dtype]} {value(n)} = {self._loaded(reloaded[n], lane, True)};")
            else:
                self._compute(n, value(n), [value(a) for a in node.args], lane, True, on)
        for i in self._reductions(number):
            node = nest.nodes[i]
            args = [value(a) for a in node.args]
            if node.op == "pick":
                self.put(f"if ({args[1]} == {args[2]}) a{i} |= {_to_bits(node.dtype, args[0])};")
            else:
                self.put(f"a{i} = {rows.combine(node.attr, node.dtype, f'a{i}', args[0])};")
        for n, k in stores:
            if vector > 1 and nest.accesses[k].inner == "unit":
                self.put(f"s{k}.at[j] = {rows.stored(nest.accesses[k].dtype, value(n))};")
            else:
                self.put(self._stored(k, lane, True, value(n)))

    # --- maps ---------------------------------------------------------------------------------------------------------

    def _map(self) -> None:
        nest, index, vector = self.nest, self.index, self.kernel.vector
        last = nest.axes - 1
        count = f"((n{last} + {vector - 1}) / {vector})" if vector > 1 else f"n{last}"
        self.put(f"const {index} count = {count};")
        self.put(f"const {index} total = count{''.join(f' * n{i}' for i in range(nest.outer))};")
        first = f"({index})block * {BLOCK} + ({index})threadIdx.x"
        with self.block(f"for ({index} at = {first}; at < total; at += ({index})blocks * {BLOCK})"):
            where = "at"
            if nest.outer:
                self.put(f"const {index} row = at / count;")
                where = "(at - row * count)"
            self.put(f"const {index} i = {where}{f' * {vector}' if vector > 1 else ''};")
            self._unravel("row", range(nest.outer), "o")
            self._bases(range(nest.outer))
            self._row_nodes(0, None, "")
            if vector > 1 and not nest.outer:
                with self.block(f"if (i + {vector} <= n{last})"):
                    self._lanes(0, "i", vector)
                with self.block("else"), self.block(f"for ({index} t = i; t < n{last}; ++t)"):
                    self._lanes(0, "t", 1)
            else:
                self._lanes(0, "i", vector)
            self._row_nodes(1, None, "")
            if any(not nest.accesses[k].moves for _, k in nest.stores):
                with self.block("if (i == 0)"):
                    self._row_stores(None)

    # --- turns --------------------------------------------------------------------------------------------------------

    def _turns(self) -> None:
        nest, index, vector, lead = self.nest, self.index, self.kernel.vector, self.kernel.lead
        axes, last = range(lead, nest.axes), nest.axes - 1
        for i in axes:
            self.put(f"const {index} b{i} = ({index})w.at[{self.slots.count + i}], t{i} = (n{i} + b{i} - 1) / b{i};")
        self.put(f"const {index} turns = {' * '.join(f't{i}' for i in axes)};")
        self.put(f"const {index} total = {' * '.join(f'n{i}' for i in range(lead))};")
        with self.block(f"for ({index} row = ({index})block; row < total; row += ({index})blocks)"):
            self._unravel("row", range(lead), "o")
            with self.block(f"for ({index} turn = 0; turn < turns; ++turn)"):
                rest = "turn"
                for i in reversed(axes):
                    self.put(f"const {index} s{i} = {rest} % t{i} * b{i}, q{i} = {rest} / t{i};")
                    self.put(f"const {index} c{i} = n{i} - s{i} < b{i} ? n{i} - s{i} : b{i};")
                    rest = f"q{i}"
                self.put(f"const {index} count = c{last} / {vector};")
                size = " * ".join(["count", *(f"c{i}" for i in axes[:-1])])
                with self.block(f"for ({index} at = ({index})threadIdx.x; at < {size}; at += {self.kernel.threads})"):
                    self.put(f"const {index} i = s{last} + at % count * {vector}, around{last} = at / count;")
                    for i in reversed(axes[:-1]):
                        rest = f"around{i + 1}"
                        self.put(f"const {index} o{i} = s{i} + {rest} % c{i}, around{i} = {rest} / c{i};")
                    self._bases(range(nest.outer))
                    self._row_nodes(0, None, "")
                    self._lanes(0, "i", vector)
                self.put("__syncthreads();")

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _rows(self) -> None:
        nest, kernel, index = self.nest, self.kernel, self.index
        group, each = kernel.group, kernel.threads // kernel.group
        reduced = range(nest.outer, nest.axes)
        self.put(f"const {index} rows = {' * '.join(f'n{i}' for i in range(nest.outer)) or '1'};")
        length = " * ".join(f"n{i}" for i in reduced)
        self.put(f"const {index} full = {length};")
        self._shared()
        mine = "" if each == 1 else f" + ({index})(threadIdx.x / {group})"
        self.put(f"const {index} lane = ({index})(threadIdx.x % {group}) * {kernel.vector};")
        head = f"for ({index} first = ({index})block * {each}; first < rows; first += ({index})blocks * {each})"
        with self.block(head):
            # Groups beyond the last row compute it once more and store nothing: all threads of a block meet.
            self.put(f"const bool live = first{mine} < rows;")
            self.put(f"const {index} row = live ? first{mine} : rows - 1;")
            self._unravel("row", range(nest.outer), "o")
            self._bases(range(nest.outer))
            if nest.flat:
                self.put(f"const long long rest = w.at[{self.slots.piece}] - (long long)row * n1;")
                self.put(f"const {index} length = rest < full ? ({index})rest : full;")
            else:
                self.put(f"const {index} length = full;")
            self._passes()

    def _passes(self) -> None:
        nest, schedule, kernel = self.nest, self.schedule, self.kernel
        if kernel.held:
            self.put("const bool on = live && lane < length;")
            for n, lane in enumerate(schedule.lane):
                if lane:
                    self.put(f"{TYPE[nest.nodes[n].dtype]} v{n}[{kernel.vector}];")
        for number in range(schedule.passes):
            self._row_nodes(number, None, "live && ")
            if schedule.sinks(number) or schedule.writes(number) or self._reductions(number):
                self._accumulators(number)
                if kernel.held:
                    with self.block("if (on)"):
                        self._reduced_lane(number, "lane")
                else:
                    step = kernel.group * kernel.vector
                    with self.block(f"for ({self.index} e = lane; live && e < length; e += {step})"):
                        self._reduced_lane(number, "e")
                self._across(number)
        self._row_nodes(schedule.passes, None, "live && ")
        if any(not nest.accesses[k].moves for _, k in nest.stores) or kernel.group > WARP:
            # Every thread has read what is overwritten now, and what the next row's sums are put over.
            if kernel.group > WARP:
                self.put("__syncthreads();")
            elif kernel.group > 1:
                self.put("__syncwarp();")
        if any(not nest.accesses[k].moves for _, k in nest.stores):
            with self.block("if (live && lane == 0)"):
                self._row_stores(None)

    def _reduced_lane(self, number: int, place: str) -> None:
        """A pass at a place of the reduced axes, which are counted as one."""
        nest = self.nest
        if nest.reduced == 1:
            self._lanes(number, place, self.kernel.vector)
            return
        last = nest.axes - 1
        self.put(f"const {self.index} i = {place} % n{last}, around = {place} / n{last};")
        self._unravel("around", range(nest.outer, last), "r")
        self._lanes(number, "i", self.kernel.vector)

    def _shared(self) -> None:
        if self.kernel.group > WARP:
            for i, node in enumerate(self.nest.nodes):
                if node.op in ("reduce", "pick"):
                    kind = _bits_type(node.dtype) if node.op == "pick" else rows.accumulated(node.dtype)
                    self.put(f"__shared__ {kind} h{i}[{self.kernel.group // WARP}];")

    def _across(self, number: int) -> None:
        """The results of a group's threads as one, pairwise, known to all of them."""
        group = self.kernel.group
        found = self._reductions(number)
        for i in found:
            self._folded(i, min(group, WARP))
        if group > WARP:
            with self.block("if (threadIdx.x % 32 == 0)"):
                for i in found:
                    self.put(f"h{i}[threadIdx.x / 32] = a{i};")
            self.put("__syncthreads();")
            for i in found:
                self.put(f"a{i} = ({self._kind(i)})h{i}[threadIdx.x % {group // WARP}];")
                self._folded(i, group // WARP)
        if group > 1:
            for i in found:
                self.put(f"a{i} = ({self._kind(i)})tg_first(({self._shuffled(i)})a{i}, {min(group, WARP)});")
        self._known(found)

    def _known(self, found: list[int]) -> None:
        """The results of reductions as values of the row."""
        for i in found:
            if self.nest.nodes[i].op == "pick":
                self._picked(i)
            else:
                self.row_values[i] = f"a{i}"

    def _combined(self, i: int) -> str:
        """Two partial results, ``a`` and ``b``, as one."""
        node = self.nest.nodes[i]
        return f"a{i} | b" if node.op == "pick" else rows.combine(node.attr, node.dtype, f"a{i}", "b")

    def _kind(self, i: int) -> str:
        node = self.nest.nodes[i]
        return _bits_type(node.dtype) if node.op == "pick" else TYPE[node.dtype]

    def _shuffled(self, i: int) -> str:
        node = self.nest.nodes[i]
        return _bits_type(node.dtype) if node.op == "pick" else rows.accumulated(node.dtype)

    def _folded(self, i: int, width: int) -> None:
        kind = self._kind(i)
        by = width // 2
        while by:
            with self.block(""):
                self.put(f"const {kind} b = ({kind})tg_down(({self._shuffled(i)})a{i}, {by}, {width});")
                self.put(f"a{i} = {self._combined(i)};")
            by //= 2

    def _picked(self, i: int) -> None:
        """The element that was picked, from its bits."""
        node = self.nest.nodes[i]
        name = self.row_values[i] = f"v{i}"
        if TYPE[node.dtype] in ("float", "double"):
            self.put(f"{TYPE[node.dtype]} {name}; tg_from_bits({name}, a{i});")
        else:
            self.put(f"{TYPE[node.dtype]} {name} = ({TYPE[node.dtype]})a{i};")

    # --- columns ------------------------------------------------------------------------------------------------------

    def _columns(self) -> None:
        nest, kernel, index = self.nest, self.kernel, self.index
        lane, group, tile = nest.outer, kernel.group, kernel.tile
        reduced = range(lane + 1, nest.axes)
        if group > 1:
            for i, node in enumerate(nest.nodes):
                if node.op in ("reduce", "pick"):
                    self.put(f"__shared__ {self._shuffled(i)} h{i}[{group}][{tile}];")
        self.put(f"const {index} tiles = (n{lane} + {tile - 1}) / {tile};")
        self.put(f"const {index} total = tiles{''.join(f' * n{i}' for i in range(nest.outer))};")
        self.put(f"const {index} rows = {' * '.join(f'n{i}' for i in reduced)};")
        self.put(f"const {index} column = ({index})(threadIdx.x % {tile}), slice = ({index})(threadIdx.x / {tile});")
        with self.block(f"for ({index} at = ({index})block; at < total; at += ({index})blocks)"):
            if nest.outer:
                self.put(f"const {index} row = at / tiles;")
            here = "(at - row * tiles)" if nest.outer else "at"
            self.put(f"const {index} place = {here} * {tile} + column;")
            # Threads beyond the last column compute it once more and store nothing: all threads of a block meet.
            self.put(f"const bool live = place < n{lane};")
            self.put(f"const {index} i = live ? place : n{lane} - 1;")
            self._unravel("row", range(nest.outer), "o")
            self._bases(range(nest.outer))
            for number in range(self.schedule.passes):
                self._row_nodes(number, "i", "live && ")
                found = self._reductions(number)
                if not (self.schedule.sinks(number) or self.schedule.writes(number) or found):
                    continue
                self._accumulators(number)
                with self.block(f"for ({index} e = slice; live && e < rows; e += {group})"):
                    self._unravel("e", reduced, "r")
                    self._lanes(number, "i", 1)
                self._over_slices(found)
            self._row_nodes(self.schedule.passes, "i", "live && ")
            with self.block("if (live && slice == 0)" if group > 1 else "if (live)"):
                self._row_stores("i")

    def _over_slices(self, found: list[int]) -> None:
        """The results of the threads that share a column, in the order of these threads."""
        group = self.kernel.group
        if group > 1:
            for i in found:
                self.put(f"h{i}[slice][column] = a{i};")
            self.put("__syncthreads();")
            for i in found:
                kind = self._kind(i)
                self.put(f"a{i} = ({kind})h{i}[0][column];")
                with self.block(f"for (int s = 1; s < {group}; ++s)"):
                    self.put(f"const {kind} b = ({kind})h{i}[s][column];")
                    self.put(f"a{i} = {self._combined(i)};")
            self.put("__syncthreads();")
        self._known(found)


def _bits_type(dtype: str) -> str:
    return "unsigned long long" if dtype in ("float64", "int64", "uint64") else "unsigned int"


def _to_bits(dtype: str, value: str) -> str:
    return f"tg_bits({value})" if TYPE[dtype] in ("float", "double") else f"({_bits_type(dtype)}){value}"
