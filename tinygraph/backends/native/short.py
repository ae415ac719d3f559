"""Short rows: lanes lie across them, and each lane has a row of its own on the stack.

Rows are read and written in squares, which are turned in registers: neighbours in a row are neighbours in memory, those
in lanes are not.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygraph.backends.native.emit import ELEMENT
from tinygraph.backends.native.operands import Operands, in_memory, size_of
from tinygraph.program.nest import EXACT

__all__ = ["ShortRows"]


class ShortRows(Operands):
    """Values that rows hold, and how they come from memory and get there.

    Attributes
    ----------
    held
        For each value that is held its array on the stack, a vector of lanes for each element of a row: nodes by their
        number, what is stored to an access by ``-1 - k``.
    """

    held: dict[int, tuple[str, str]]

    def _each(self, step: int, do: Callable[[str], None]) -> None:
        """Do something at every element of the rows, or at the first of so many; the last ones may overlap."""
        n = self.nest.short
        if n <= EXACT:
            for first in range(0, n, step):
                do(str(min(first, n - step)))
            return
        last = self.put(f"sub i64 {self.extents[-1]}, {step}")
        with self.loop("0", self.extents[-1], str(step)) as r:
            do(r if step == 1 else self.smaller(r, last))

    def _hold(self, what: int, dtype: str, r: str, value: str) -> None:
        """Put a value where element ``r`` of the rows has it."""
        kind = ELEMENT[dtype]
        if dtype == "bool":
            kind, value = "i8", self.lanes.cast("zext", "i1", "i8", value)
        type = self.lanes.type(kind)
        if what not in self.held:
            self.held[what] = self.variable(f"[{self.nest.short} x {type}]"), dtype
        place = self.put(f"getelementptr {type}, ptr {self.held[what][0]}, i64 {r}")
        self.do(f"store {type} {value}, ptr {place}")

    def _fetch(self, what: int, r: str) -> str:
        """The reverse."""
        array, dtype = self.held[what]
        kind = "i8" if dtype == "bool" else ELEMENT[dtype]
        type = self.lanes.type(kind)
        place = self.put(f"getelementptr {type}, ptr {array}, i64 {r}")
        value = self.put(f"load {type}, ptr {place}")
        return self.lanes.icmp("ne", "i8", value, self.lanes.constant("i8", 0)) if dtype == "bool" else value

    def _row_places(self, bases: list[str], j: str, last: str) -> dict[int, list[str]]:
        """For each access that goes across, and each lane from ``j`` on, where its row begins.

        Lanes behind the last row have that one, and what they make of it is written over.
        """
        at = [self.smaller(self.put(f"add i64 {j}, {lane}"), last) for lane in range(self.width)]
        places = {}
        for k, access in enumerate(self.nest.accesses):
            if access.inner == "across":
                steps = [self.put(f"mul i64 {i}, {self.strides[k][self.nest.outer]}") for i in at]
                places[k] = [self.put(f"getelementptr i8, ptr {bases[k]}, i64 {step}") for step in steps]
        return places

    def _side(self, dtype: str) -> int:
        """How many columns are turned at a time."""
        n, side = self.nest.short, 1
        while 2 * side <= min(n, EXACT, self.width, 16 // size_of(dtype)):
            side *= 2
        return side

    def _read_rows(self, what: int, dtype: str, rows: list[str]) -> None:
        """Hold what stands in memory in these rows."""
        memory, side = in_memory(dtype), self._side(dtype)

        def do(r: str) -> None:
            parts = []
            for row in rows:
                place = self.put(f"getelementptr {memory}, ptr {row}, i64 {r}")
                parts.append(self.put(f"load <{side} x {memory}>, ptr {place}, align {size_of(dtype)}"))
            joined = [self._joined(memory, side, parts[i::side]) for i in range(side)]
            for i, column in enumerate(self._turned(memory, joined)):
                if dtype == "bool":
                    column = self.lanes.icmp("ne", "i8", column, self.lanes.constant("i8", 0))
                self._hold(what, dtype, self._plus(r, i), column)

        self._each(side, do)

    def _write_rows(self, what: int, dtype: str, rows: list[str]) -> None:
        """The reverse."""
        memory, side = in_memory(dtype), self._side(dtype)
        type = self.lanes.type(memory)

        def do(r: str) -> None:
            columns = [self._fetch(what, self._plus(r, i)) for i in range(side)]
            if dtype == "bool":
                columns = [self.lanes.cast("zext", "i1", "i8", c) for c in columns]
            turned = self._turned(memory, columns)
            for lane, row in reversed(list(enumerate(rows))):  # its own lane is the last to write to a row
                first = lane // side * side
                mask = ", ".join(f"i32 {first + c}" for c in range(side))
                part = self.put(f"shufflevector {type} {turned[lane % side]}, {type} poison, <{side} x i32> <{mask}>")
                place = self.put(f"getelementptr {memory}, ptr {row}, i64 {r}")
                self.do(f"store <{side} x {memory}> {part}, ptr {place}, align {size_of(dtype)}")

        self._each(side, do)

    def _plus(self, r: str, i: int) -> str:
        if not r.startswith("%"):
            return str(int(r) + i)
        return self.put(f"add i64 {r}, {i}") if i else r

    def _joined(self, memory: str, width: int, parts: list[str]) -> str:
        """Vectors one behind the other."""
        while len(parts) > 1:
            type, mask = f"<{width} x {memory}>", ", ".join(f"i32 {i}" for i in range(2 * width))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.put(f"shufflevector {type} {a}, {type} {b}, <{2 * width} x i32> <{mask}>") for a, b in pairs]
            width *= 2
        return parts[0]

    def _turned(self, memory: str, vectors: list[str]) -> list[str]:
        """As many vectors as a square has rows with each square in them turned.

        The halves of the list are shuffled like cards until each has been dealt to its place.
        """
        side, width = len(vectors), self.width
        type = self.lanes.type(memory)
        for _ in range(side.bit_length() - 1):
            half, shuffled = side // 2, []
            for a, b in zip(vectors[:half], vectors[half:], strict=True):
                for first in (0, half):
                    places = [
                        square + first + i // 2 + i % 2 * width for square in range(0, width, side) for i in range(side)
                    ]
                    mask = ", ".join(f"i32 {i}" for i in places)
                    shuffled.append(self.put(f"shufflevector {type} {a}, {type} {b}, <{width} x i32> <{mask}>"))
            vectors = shuffled
        return vectors
