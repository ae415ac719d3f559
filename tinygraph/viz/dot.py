"""Pictures as DOT text, and DOT text as SVG, PNG or PDF by the ``dot`` program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from tinygraph.errors import TinygraphError
from tinygraph.viz.model import Edge, Node, Picture
from tinygraph.viz.subject import DrawError

__all__ = ["FORMATS", "DotMissingError", "dot_body", "dot_text", "quoted", "render", "render_all"]

FORMATS = ("svg", "png", "pdf")


class DotMissingError(TinygraphError, RuntimeError):
    """The program that lays pictures out is not installed.

    Attributes
    ----------
    source
        The DOT text that it was to draw.
    """

    def __init__(self, source: str = "") -> None:
        super().__init__(
            "the program dot, which lays pictures out, was not found",
            hint="install Graphviz (apt install graphviz, brew install graphviz, conda install graphviz, or "
            "https://graphviz.org/download); the DOT text itself is in .source",
        )
        self.source = source


# --- looks ----------------------------------------------------------------------------------------------------------

#: Fill and border of operations, by how often they were differentiated.
_ORDERS = (("#e8f0fb", "#5b7fb5"), ("#fdecd9", "#c98440"), ("#efe3f7", "#8b5fae"))
_LOOKS = {
    "input": 'shape=box, style="rounded,filled,bold", fillcolor="#d7f0dc", color="#3f9655"',
    "shared": 'shape=cylinder, style=filled, fillcolor="#fff3b8", color="#b39213"',
    "constant": 'shape=plaintext, fontcolor="#666666", fontsize=10, margin="0.04,0.02", height=0.2, width=0.2',
    "output": 'shape=box, style="filled,bold", peripheries=2, fillcolor="#d3e2f7", color="#2f5a9b"',
    "update": 'shape=cylinder, style="filled,dashed", fillcolor="#fff9dc", color="#b39213"',
    "more": 'shape=box, style="rounded,dashed", color="#999999", fontcolor="#666666", fontsize=10',
}
#: One for each piece of memory that several values share.
_MEMORY = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#1f78b4", "#b15928", "#6a3d9a", "#e31a1c")
_EDGES = {
    "data": 'color="#555555"',
    "size": 'color="#b5b5b5", style=dashed, arrowsize=0.6',
    "tie": 'color="#e0b283", style=dotted, arrowhead=none, constraint=false',
}
_FONT = 'fontname="Helvetica,Arial,sans-serif"'
_CLUSTER = 'style=rounded; color="#9a9a9a"; bgcolor="#fafafa"'
_INDENT = "  "
_XML = "<?xml"


def quoted(text: str, align: str = "") -> str:
    r"""A DOT string: quotes and backslashes escaped, lines joined by ``\n`` (or ``\l`` for left-aligned ones).

    >>> quoted('say "hi"')
    '"say \\"hi\\""'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", align or "\\n") + (align if "\n" in text else "") + '"'


def heat_color(share: float) -> str:
    """From white over yellow to red."""
    share = min(max(share, 0.0), 1.0)
    green = 255 - round(150 * max(0.0, share * 2 - 1)) - round(25 * min(1.0, share * 2))
    blue = 235 - round(165 * min(1.0, share * 2))
    return f"#ff{green:02x}{blue:02x}"


def _node(node: Node) -> str:
    label = quoted("\n".join([node.text, *node.notes]))
    look = _LOOKS.get(node.kind)
    if look is None:
        fill, border = _ORDERS[min(node.order, len(_ORDERS) - 1)]
        style = '"rounded,filled,dashed"' if node.kind == "view" else '"rounded,filled"'
        look = f'shape=box, style={style}, fillcolor="{fill}", color="{border}"'
    if node.memory is not None:
        look += f', color="{_MEMORY[node.memory % len(_MEMORY)]}", penwidth=2'
    if node.heat is not None:
        look += f', fillcolor="{heat_color(node.heat)}"'
    return f'{node.id} [id={node.id}, class="{node.kind} order{node.order}", label={label}, {look}]'


def _edge(edge: Edge, number: int) -> str:
    look = _EDGES[edge.kind]
    if edge.memory is not None:
        color = _MEMORY[edge.memory % len(_MEMORY)]
        look = f'color="{color}", fontcolor="{color}", penwidth=1.6'
    label = f"label={quoted(' ' + edge.text + ' ')}, " if edge.text else ""
    return f"{edge.tail} -> {edge.head} [id=e{number}, {label}class={edge.kind}, {look}]"


def dot_body(picture: Picture) -> list[str]:
    """The lines between the braces of the DOT text."""
    lines = [
        "rankdir=TB; nodesep=0.25; ranksep=0.35",
        f'node [{_FONT}, fontsize=12, margin="0.12,0.05", height=0.3]',
        f'edge [{_FONT}, fontsize=9, fontcolor="#555555", arrowsize=0.7]',
    ]
    if picture.title or picture.notes:
        label = quoted("\n".join([picture.title, *picture.notes]), "\\l" if picture.notes else "")
        lines.append(f"label={label}; labelloc=t; labeljust=l; {_FONT}; fontsize=13")
    lines.extend(_clusters(picture.nodes))
    lines.extend(_edge(edge, i) for i, edge in enumerate(picture.edges))
    return lines


def _clusters(nodes: Sequence[Node], path: tuple[str, ...] = ()) -> list[str]:
    """The lines of all nodes below a cluster, with clusters inside it as subgraphs."""
    lines: list[str] = []
    inner: dict[tuple[str, ...], list[Node]] = {}
    for node in nodes:
        if len(node.scope) == len(path):
            lines.append(_node(node))
        else:
            inner.setdefault(node.scope[: len(path) + 1], []).append(node)
    for below, members in inner.items():
        lines.append(f"subgraph {quoted('cluster_' + '/'.join(below))} {{")
        lines.append(f"{_INDENT}label={quoted(below[-1])}; labeljust=l; {_FONT}; {_CLUSTER}")
        lines.extend(_INDENT + line for line in _clusters(members, below))
        lines.append("}")
    return lines


def dot_text(picture: Picture) -> str:
    """The DOT text of a picture."""
    return "\n".join(["digraph {", *(_INDENT + line for line in dot_body(picture)), "}", ""])


# --- dot, the program -----------------------------------------------------------------------------------------------


def render_all(sources: Sequence[str], format: str) -> list[str]:
    """Several pictures as text, such as SVG, by one run of ``dot``; it starts each with an XML declaration."""
    together = render("".join(sources), format).decode()
    parts = [_XML + part for part in together.split(_XML)[1:]]
    if len(parts) != len(sources):
        raise DrawError(f"dot drew {len(parts)} of {len(sources)} pictures")
    return parts


def render(source: str, format: str) -> bytes:
    """A picture in another format, made from DOT text by the ``dot`` program.

    Raises
    ------
    DrawError
        If there is no such format, or dot refuses the text.
    DotMissingError
        If dot is not installed; the text is in its ``source``.
    """
    if format not in FORMATS:
        raise DrawError(f"there is no format {format!r}", expected=", ".join(FORMATS), actual=repr(format))
    program = shutil.which("dot")
    if program is None:
        raise DotMissingError(source)
    ran = subprocess.run([program, f"-T{format}"], input=source.encode(), capture_output=True, check=False)
    if ran.returncode:
        raise DrawError(f"dot could not draw this: {ran.stderr.decode(errors='replace').strip()}")
    return ran.stdout
