"""One plain model of a picture: nodes, edges and clusters, whatever is shown and however it is drawn."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygraph.errors import SourceLine
from tinygraph.graph import Origin

__all__ = ["Edge", "Node", "Picture", "order_of", "scope_of", "update_text"]

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass
class Node:
    """One box.

    Parameters
    ----------
    id
        Its name within the picture.
    kind
        ``input``, ``constant``, ``shared``, ``op``, ``view``, ``output``, ``update`` or ``more``: what is not shown.
    text
        The first line: an operation in the reader's words, a name, a value.
    notes
        Further lines.
    order
        0 for what the user wrote, 1 for what belongs to its gradient, 2 for the gradient of that, and so on.
    scope
        The clusters around it, outermost first.
    memory
        A number that the boxes whose values share memory have in common, None where the memory is its own.
    heat
        Share of the largest value of an overlay, from 0 to 1, or None.
    subject
        The variable, Apply node or instruction that it stands for.
    members
        The Apply nodes that it stands for.
    partner
        For a gradient box the box that it differentiates.
    """

    id: str
    kind: str
    text: str
    notes: list[str] = field(default_factory=list)
    order: int = 0
    scope: tuple[str, ...] = ()
    memory: int | None = None
    heat: float | None = None
    subject: Any = None
    members: Sequence[Any] = ()
    partner: Node | None = None


@dataclass
class Edge:
    """A line between two boxes.

    Parameters
    ----------
    tail, head
        The boxes' ids.
    text
        dtype and shape of what flows.
    kind
        ``data``; ``size`` where only a shape or an index bound is read; ``tie`` between a gradient node and what it
        differentiates.
    memory
        As for a node.
    """

    tail: str
    head: str
    text: str = ""
    kind: str = "data"
    memory: int | None = None


@dataclass
class Picture:
    """Boxes in an order in which each comes after what it reads, and the lines between them."""

    title: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str, **attributes: Any) -> Node:
        """Add a box and return it."""
        node = Node(f"n{len(self.nodes)}", kind, text, **attributes)
        self.nodes.append(node)
        return node

    def tie(self) -> None:
        """Tie gradient boxes to the boxes that they differentiate.

        Each says in a note what it differentiates, where boxes that are called alike are numbered for that; where that
        box is not in the picture, the user's line. A line goes from each differentiated box to the last box of its
        gradient.
        """
        forward: dict[Origin, Node] = {}
        for node in self.nodes:
            for member in node.members:
                forward[member.origin] = node
        for node in self.nodes:
            origins = [m.origin.forward for m in node.members if m.origin.forward is not None]
            node.partner = next((forward[o] for o in reversed(origins) if o in forward), None)
        alike: dict[str, dict[str, Node]] = {}
        last: dict[str, tuple[Node, Node]] = {}
        for node in self.nodes:
            if node.partner is not None:
                alike.setdefault(_base(node.partner.text), {})[node.partner.id] = node.partner
                last[node.partner.id] = (node.partner, node)
        for base, nodes in alike.items():
            for i, node in enumerate(sorted(nodes.values(), key=self.nodes.index) if len(nodes) > 1 else (), 1):
                node.text = base + str(i).translate(_SUBSCRIPT) + node.text.removeprefix(base)
        for node in self.nodes:
            if node.partner is not None:
                node.notes.append(f"∂ {_base(node.partner.text)}")
            elif node.order and node.members:
                node.notes.extend(f"∂ {os.path.basename(line.filename)}:{line.line}" for line in _forward_line(node))
        self.edges.extend(Edge(tail.id, head.id, kind="tie") for tail, head in last.values())


def order_of(origin: Origin) -> int:
    """How often a node was differentiated: 0 for what the user wrote."""
    order = 0
    while origin.forward is not None:
        origin = origin.forward
        order += 1
    return order


def scope_of(origin: Origin, name: str | None) -> tuple[tuple[str, ...], str]:
    """The clusters around a node, from its ``name_scope`` and the slashes in its name, and what remains of the name.

    A gradient is grouped as what it differentiates is, in a cluster of its own beside it.
    """
    order = 0
    while origin.forward is not None:
        origin = origin.forward
        order += 1
    path = origin.scope.split("/") if origin.scope else []
    # The name of a gradient, dcost/dW, is no path.
    *prefix, last = [name or ""] if order else [part for part in (name or "").split("/") if part] or [""]
    if prefix[: len(path)] == path:
        path = []
    path = [*path, *prefix]
    if path and order:
        path[0] = f"{'∂' * order} {path[0]}"
    return tuple(path), last


def update_text(root: Any) -> str:
    """What the box of a new value says: the whole name of the shared variable, for it stands in no cluster."""
    path, name = scope_of(root.target.origin, root.label)
    return f"{'/'.join([*path, name])} ←"


def _forward_line(node: Node) -> list[SourceLine]:
    """The innermost line of what a gradient box differentiates."""
    forward = node.members[-1].origin.forward
    return forward.trace()[:1] if forward is not None else []


def _base(text: str) -> str:
    """An operation's text without what it says in brackets or behind a comma."""
    return re.split(r"[\[({,]", text, maxsplit=1)[0]
