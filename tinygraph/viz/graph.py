"""The picture of expressions: chains and clusters that are folded, and every leaf and result in its own look."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tinygraph.graph import Apply, Constant, SharedVariable, Variable, toposort
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.layout import BroadcastTo, Reshape, SumTo
from tinygraph.viz.maths import body_rows, formula_rows, leaf_text, letters, op_words
from tinygraph.viz.model import Edge, Node, Picture, order_of, scope_of, update_text
from tinygraph.viz.select import Builder, Read, Unit, heat_note
from tinygraph.viz.subject import Subject

__all__ = ["graph_picture"]


def graph_picture(
    subject: Subject,
    depth: int | None = None,
    limit: int | None = None,
    collapse: bool = False,
    fold: bool | Collection[str] = False,
    shapes: bool = True,
    heat: Mapping[Any, float] | None = None,
) -> Picture:
    """The picture of expressions.

    Parameters
    ----------
    subject
        The results, and the variables that are taken as given.
    depth
        How many operations behind a result are shown; None for all.
    limit
        How many boxes are shown, those nearest the results first; None for all.
    collapse
        Fold chains of elementwise operations into one box with their expression.
    fold
        True to fold every cluster into one box, or the names of the clusters to fold.
    shapes
        False leaves out what only computes the shape that something is repeated, summed or reshaped to.
    heat
        Numbers for variables or Apply nodes, shown as heat.
    """
    builder = _GraphBuilder(subject, depth, limit, shapes, heat or {})
    builder.group(collapse, fold)
    return builder.build()


class _GraphBuilder(Builder):
    def __init__(
        self, subject: Subject, depth: int | None, limit: int | None, shapes: bool, heat: Mapping[Any, float]
    ) -> None:
        super().__init__(subject.title, subject.variables, depth, limit)
        self.subject = subject
        self.shapes = shapes
        self.heat = heat
        self.hottest = max(heat.values(), default=0.0)
        self.leaves = set(subject.leaves)
        self.order = toposort(subject.variables, stop=self.leaves)
        self.units: dict[Any, Unit] = {}

    # --- units ------------------------------------------------------------------------------------------------------

    def group(self, collapse: bool, fold: bool | Collection[str]) -> None:
        """Make a unit of each node, or of the nodes that are folded into one box."""
        chains = _chains(self.order, self.subject.variables) if collapse else {}
        clusters: dict[str, Unit] = {}
        units: dict[Apply, Unit] = {}

        def cluster(scope: Sequence[str]) -> Unit | None:
            folded = _folded(scope, fold)
            return clusters.setdefault(folded, Unit(title=folded)) if folded else None

        for node in self.order:
            unit = cluster(_node_scope(node)[0]) or units.setdefault(chains.get(node, node), Unit())
            unit.nodes.append(node)
            self.units[node] = unit
            for variable in node.inputs:
                if self._is_leaf(variable) and variable not in self.units and not isinstance(variable, Constant):
                    self.units[variable] = cluster(_leaf_scope(variable)[0]) or Unit(leaf=variable)
        for unit in dict.fromkeys(self.units.values()):
            self._find_reads(unit)

    def _find_reads(self, unit: Unit) -> None:
        reads: dict[tuple[Variable, str], None] = {}
        for node in unit.nodes:
            for i, variable in enumerate(node.inputs):
                host = i in node.op.host
                if host and not self.shapes and isinstance(node.op, (BroadcastTo, Reshape, SumTo)):
                    continue
                folded = unit.title and isinstance(variable, Constant)
                if not folded and self.unit(variable) is not unit:
                    reads[variable, "size" if host else "data"] = None
        inside = len(unit.nodes) > 1 and not unit.title
        names = letters(v for v, _ in reads) if inside else {}
        unit.reads = [Read(v, kind, names.get(v, "")) for v, kind in reads]

    def _is_leaf(self, variable: Variable) -> bool:
        return variable.owner is None or variable in self.leaves

    def unit(self, value: Any) -> Unit:
        key = value if self._is_leaf(value) else value.owner
        known = self.units.get(key)
        if known is None:
            known = self.units[key] = Unit(leaf=value)
        return known

    # --- boxes ------------------------------------------------------------------------------------------------------

    def is_number(self, value: Any) -> bool:
        return isinstance(value, Constant) and value.ndim == 0 and value.name is None

    def box(self, unit: Unit) -> Node:
        if unit.leaf is not None:
            return self._leaf(unit.leaf)
        if unit.title:
            *outer, name = unit.title.split("/")
            count = len(unit.nodes)
            notes = [f"{count} operation{'' if count == 1 else 's'}"]
            box = self.picture.add("op", name, notes=notes, scope=tuple(outer), members=unit.nodes)
        else:
            last = unit.nodes[-1]
            box = self.picture.add("op", op_words(last), notes=_notes(unit), members=unit.nodes)
            box.scope = _node_scope(last)[0]
        if unit.nodes:
            box.subject = unit.nodes[-1]
            box.order = order_of(box.subject.origin)
        values = [self.heat[key] for node in unit.nodes for key in (node, *node.outputs) if key in self.heat]
        heat_note(values, self.hottest, box)
        return box

    def _leaf(self, variable: Any) -> Node:
        if isinstance(variable, Constant):
            return self.picture.add("constant", leaf_text(variable)[0], subject=variable)
        scope, name = _leaf_scope(variable)
        kind = "shared" if isinstance(variable, SharedVariable) else "input"
        return self.picture.add(kind, name or str(variable), scope=scope, subject=variable)

    def edge(self, tail: Node, head: Node, read: Read) -> Edge:
        variable: Any = read.value
        text = str(variable.type)
        if not self._is_leaf(variable) and len(variable.owner.outputs) > 1:
            text = f"[{variable.index}] {text}"
        if read.text and read.text != tail.text:
            text = f"{read.text}: {text}"
        return Edge(tail.id, head.id, text, read.kind)

    def add_results(self) -> None:
        several = sum(root.target is None for root in self.subject.roots) > 1
        for i, root in enumerate(self.subject.roots):
            source = self.result(root.variable)
            if root.target is not None:
                box = self.picture.add("update", update_text(root), subject=root.target)
            else:
                name = root.label or root.variable.name or (f"output {i}" if several else "output")
                box = self.picture.add("output", name, subject=root.variable)
            self.picture.edges.append(Edge(source.id, box.id, str(root.variable.type)))


def _notes(unit: Unit) -> list[str]:
    """The names of the results, the expression of a folded chain, and what an inner graph computes."""
    last = unit.nodes[-1]
    names = [scope_of(last.origin, v.name)[1] for v in last.outputs if v.name]
    notes = [f"= {', '.join(names)}"] if names else []
    if len(unit.nodes) > 1:
        outside: Any = {read.value: read.text for read in unit.reads}
        notes.extend(formula_rows(last.outputs, outside))
    return [*notes, *body_rows(last.op)]


def _node_scope(node: Apply) -> tuple[tuple[str, ...], str]:
    return scope_of(node.origin, next((v.name for v in node.outputs if v.name), None))


def _leaf_scope(variable: Variable) -> tuple[tuple[str, ...], str]:
    return scope_of(variable.origin, variable.name)


def _folded(scope: Sequence[str], fold: bool | Collection[str]) -> str:
    """The outermost cluster around a node that is folded, or ""."""
    if not fold or not scope:
        return ""
    if fold is True:
        return scope[0]
    paths = ("/".join(scope[: i + 1]) for i in range(len(scope)))
    return next((path for path in paths if path in fold), "")


def _chains(order: Sequence[Apply], results: Sequence[Variable]) -> dict[Apply, Apply]:
    """For each elementwise node the last node of its chain.

    A node joins the node that reads it if that is the only one, both are elementwise, it has no name, and both belong
    to the same cluster and order of derivative.
    """
    readers: dict[Variable, set[Apply]] = {}
    for node in order:
        for variable in node.inputs:
            readers.setdefault(variable, set()).add(node)
    kept = set(results)
    head: dict[Apply, Apply] = {}
    for node in reversed(order):
        if not isinstance(node.op, Elementwise):
            continue
        head[node] = node
        output = node.outputs[0]
        around = readers.get(output, set())
        if len(around) != 1 or output in kept or output.name is not None:
            continue
        (only,) = around
        alike = order_of(only.origin) == order_of(node.origin) and _node_scope(only)[0] == _node_scope(node)[0]
        if only in head and alike:
            head[node] = head[only]
    return head
