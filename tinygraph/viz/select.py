"""Which boxes of a large picture are shown, and what stands for the rest.

Graphs and Programs are walked in the same way: each box reads values, and each value comes from one box.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygraph.graph import Apply
from tinygraph.viz.model import Edge, Node, Picture

__all__ = ["Builder", "Read", "Unit"]

#: A variable of a graph, or the number of a Program's buffer.
Value = Any


@dataclass(frozen=True)
class Read:
    """A value that a box reads; ``kind`` is that of the edge, ``text`` stands before its type."""

    value: Value
    kind: str = "data"
    text: str = ""


@dataclass(eq=False)
class Unit:
    """What one box stands for: a value that is given, or nodes that compute, of which it may be several.

    Attributes
    ----------
    nodes
        The nodes, each after its inputs.
    leaf
        The given value, or None.
    title
        The name of the cluster that is folded into the box, or "".
    reads
        What it reads from other boxes.
    """

    nodes: list[Apply] = field(default_factory=list)
    leaf: Any = None
    title: str = ""
    reads: list[Read] = field(default_factory=list)


class Builder(ABC):
    """Makes a picture of the boxes nearest some results.

    Parameters
    ----------
    title
        Heading of the picture.
    results
        The values that the picture is about.
    depth
        How many operations behind a result are shown; None for all.
    limit
        How many boxes are shown, those nearest the results first; None for all.
    """

    def __init__(self, title: str, results: Sequence[Value], depth: int | None, limit: int | None) -> None:
        self.picture = Picture(title)
        self.results = results
        self.depth = depth
        self.limit = limit
        self.boxes: dict[Unit, Node] = {}

    @abstractmethod
    def unit(self, value: Value) -> Unit:
        """The unit that a value comes from."""

    @abstractmethod
    def box(self, unit: Unit) -> Node:
        """Add the box of a unit to the picture."""

    @abstractmethod
    def edge(self, tail: Node, head: Node, read: Read) -> Edge:
        """The line along which a value flows."""

    @abstractmethod
    def is_number(self, value: Value) -> bool:
        """True for numbers, which are drawn beside each box that reads them: they connect nothing."""

    @abstractmethod
    def add_results(self) -> None:
        """Add what stands for the results, where they are used."""

    def build(self) -> Picture:
        """The picture."""
        self.shown = self._nearest()
        self.counted = set(self.shown)
        self._stubs: dict[tuple[Unit, ...], Node] = {}
        for unit in self._in_order():
            if unit.leaf is None or not self.is_number(unit.leaf):
                self._add(unit)
        self.add_results()
        self.picture.tie()
        return self.picture

    def _add(self, unit: Unit) -> None:
        sources: list[tuple[Node, Read]] = []
        hidden: dict[Unit, None] = {}
        for read in unit.reads:
            source = self.unit(read.value)
            if source not in self.shown:
                hidden[source] = None
            else:
                sources.append((self.source(read.value), read))
        head = self.boxes[unit] = self.box(unit)
        for tail, read in sources:
            self.picture.edges.append(self.edge(tail, head, read))
            if self.is_number(read.value):
                tail.scope = head.scope
        if hidden:
            self.picture.edges.append(Edge(self.stub(tuple(hidden)).id, head.id))

    def source(self, value: Value) -> Node:
        """The box that a shown value comes from; a new one for a number."""
        unit = self.unit(value)
        if self.is_number(value):
            return self.box(unit)
        if unit not in self.boxes:  # folded clusters may read each other
            self._add(unit)
        return self.boxes[unit]

    def stub(self, hidden: tuple[Unit, ...]) -> Node:
        """The box "… 37 more" for what is not shown behind some units, without what another one counts."""
        if hidden in self._stubs:
            return self._stubs[hidden]
        count = 0
        stack = list(hidden)
        while stack:
            unit = stack.pop()
            if unit not in self.counted:
                self.counted.add(unit)
                count += 1
                stack.extend(self.unit(read.value) for read in unit.reads)
        self._stubs[hidden] = self.picture.add("more", f"… {count} more" if count else "…")
        return self._stubs[hidden]

    def result(self, value: Value) -> Node:
        """The box that a result comes from, or what stands for it."""
        unit = self.unit(value)
        return self.source(value) if unit in self.shown else self.stub((unit,))

    def _nearest(self) -> Mapping[Unit, None]:
        """The units nearest the results, as many as depth and limit allow."""
        shown: dict[Unit, None] = {}
        queue = deque((value, 0) for value in self.results)
        while queue:
            value, level = queue.popleft()
            unit = self.unit(value)
            if unit in shown or (self.limit is not None and len(shown) >= self.limit):
                continue
            if self.depth is not None and level >= self.depth and unit.leaf is None:
                continue
            shown[unit] = None
            queue.extend((read.value, level + 1) for read in unit.reads)
        return shown

    def _in_order(self) -> list[Unit]:
        """The shown units, each after what it reads."""
        order: dict[Unit, None] = {}
        entered: set[Unit] = set()
        for value in self.results:
            stack: list[tuple[Unit, bool]] = [(self.unit(value), False)]
            while stack:
                unit, done = stack.pop()
                if done:
                    order[unit] = None
                elif unit in self.shown and unit not in entered:
                    entered.add(unit)
                    stack.append((unit, True))
                    stack.extend((self.unit(read.value), False) for read in reversed(unit.reads))
        return list(order)


def heat_note(values: Sequence[float], hottest: float, node: Any) -> None:
    """Show the sum of some numbers as the heat of a box."""
    if values and hottest > 0:
        node.heat = sum(values) / hottest
        node.notes.append(f"{sum(values):.3g}")
