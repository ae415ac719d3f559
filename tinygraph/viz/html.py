"""``draw_html``: one file that shows a graph, how it was rewritten and what runs, in any browser, without a network."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.errors import SourceLine
from tinygraph.graph import Apply, Origin, Variable, graph_inputs
from tinygraph.program import Buffer, Instruction
from tinygraph.program.cost import cost
from tinygraph.rewrite import RULES, Step, rewrite
from tinygraph.viz.dot import dot_text, render_all
from tinygraph.viz.draw import LIMIT, write
from tinygraph.viz.graph import graph_picture
from tinygraph.viz.maths import formula_rows, pprint
from tinygraph.viz.model import Edge, Node, Picture
from tinygraph.viz.program import program_picture
from tinygraph.viz.subject import DrawError, Root, Subject, subject_of

__all__ = ["draw_html"]

#: How many steps of rewriting are drawn, and how much of each.
_STEPS, _STEP_DEPTH, _STEP_LIMIT = 300, 3, 16
#: How many operations the expression of a box goes back.
_NEAR = 4


def draw_html(
    shown: Any,
    path: Any,
    *,
    depth: int | None = None,
    limit: int | None = LIMIT,
    shapes: bool = True,
    values: Mapping[Any, Any] | None = None,
    overlays: Mapping[str, Any] | None = None,
) -> str:
    """Write a page to look at a graph in a browser: one file, which needs no network.

    Drag moves the picture and the wheel zooms; a search finds names, operations and source lines; a click on a box
    shows its type, the user's line, the values and the gradient it belongs to. A slider goes through the steps of
    rewriting, each with the rule and what it changed. For a function that was called there is a second picture, of what
    runs.

    Parameters
    ----------
    shown
        A variable, a list or dict of variables, or a compiled function.
    path
        The file to write.
    depth, limit, shapes
        As for ``draw``.
    values
        Recorded arrays, whose statistics are shown: by variable or by name, as ``f.trace`` gives them, or by number of
        a buffer of the Program.
    overlays
        Numbers to colour boxes by, by name of the overlay, such as ``"time"``: for each a mapping from variables or
        names, or one number for each instruction of the Program. FLOPs and bytes of a Program, and the number of
        elements that are no finite numbers where there are values, are offered anyway.

    Returns
    -------
    str
        The absolute path of the file.

    Raises
    ------
    DrawError
        If that cannot be drawn.
    DrawPathError
        If the file cannot be written.
    DotMissingError
        If the ``dot`` program, which lays the pictures out, is not installed.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise DrawError("a path is needed", expected="text or pathlib.Path", actual=repr(path))
    page = _Page(shown, values or {}, overlays or {})
    page.add_graphs(depth, limit, shapes)
    page.add_program(depth, limit)
    write(path, page.text().encode())
    return os.path.abspath(os.fspath(path))


class _Page:
    def __init__(self, shown: Any, values: Mapping[Any, Any], overlays: Mapping[str, Any]) -> None:
        self.shown = shown
        self.subject = subject_of(shown, "written")
        self.values = values
        self.overlays = overlays
        self.views: list[dict[str, Any]] = []
        self.pictures: list[Picture] = []
        self.program = -1
        self.slider: list[int] = []

    def add_graphs(self, depth: int | None, limit: int | None, shapes: bool) -> None:
        """The graph as written, each step of rewriting, and the graph as rewritten."""
        subject = self.subject
        if not subject.roots:
            return
        first = graph_picture(subject, depth, limit, shapes=shapes)
        self._add(first, "as written", _heading(subject, "as written"), formula=subject)
        function = subject.function
        steps: list[Step] = []
        if function is None or function.mode == "FAST_RUN":
            roots = rewrite(subject.variables, subject.leaves or graph_inputs(subject.variables), steps)
        if steps:
            for i, step in enumerate(steps[:_STEPS]):
                self._add_step(step, f"step {i + 1} of {len(steps)}: {_words(step.rule)}", first)
            new = [Root(v, r.label, r.target) for v, r in zip(roots, subject.roots, strict=True)]
            last = Subject(new, subject.leaves, subject.title)
            self._add(
                graph_picture(last, depth, limit, shapes=shapes),
                f"rewritten, {len(steps)} steps",
                _heading(subject, "as rewritten"),
                formula=last,
            )
        self.slider = list(range(len(self.views)))

    def _add_step(self, step: Step, label: str, graph: Picture) -> None:
        picture = Picture("")
        for name, variable, prefix in (("before", step.old, "b"), ("after", step.new, "a")):
            part = graph_picture(Subject([Root(variable)]), _STEP_DEPTH, _STEP_LIMIT, shapes=False)
            _merge(picture, part, name, prefix)
        self._add(picture, label, _words(step.rule))
        rule = next((rule for rule in RULES if getattr(rule, "__name__", "") == step.rule), None)
        origin = step.old.origin
        self.views[-1]["step"] = {
            "rule": step.rule,
            "doc": " ".join((rule.__doc__ or "").split()) if rule is not None else "",
            "old": "\n".join(_expression(step.old)),
            "new": "\n".join(_expression(step.new)),
            "source": _lines(origin),
            "nodes": [node.id for node in graph.nodes if any(m.origin is origin for m in node.members)],
        }

    def add_program(self, depth: int | None, limit: int | None) -> None:
        """What the last call ran, where there was one."""
        function = self.subject.function
        if function is not None and function.stats():
            subject = subject_of(function, "program")
        elif self.subject.program is not None:
            subject = self.subject
        else:
            return
        assert subject.program is not None
        self.program = len(self.views)
        self._add(program_picture(subject, depth, limit), "program", _heading(subject, "what runs"))
        view = self.views[-1]
        view["program"] = True
        view["text"] = str(subject.program)
        if not self.slider:
            self.slider = [self.program]

    def _add(self, picture: Picture, label: str, heading: str, formula: Subject | None = None) -> None:
        operations = [node for node in picture.nodes if node.kind in ("op", "view")]
        facts = [["operations", str(len(operations))]]
        gradient = sum(node.order > 0 for node in operations)
        if gradient:
            facts.append(["of the gradient", str(gradient)])
        facts.extend(["", note] for note in picture.notes)
        picture.title, picture.notes = "", []
        self.pictures.append(picture)
        self.views.append(
            {
                "label": label,
                "heading": heading,
                "facts": facts,
                "text": pprint({r.label or "result": r.variable for r in formula.roots}) if formula else "",
                "nodes": {node.id: self._node(node) for node in picture.nodes},
                "edges": [[e.tail, e.head, e.kind, f"e{i}"] for i, e in enumerate(picture.edges)],
                "program": False,
                "step": None,
            }
        )

    # --- one box ----------------------------------------------------------------------------------------------------

    def _node(self, node: Node) -> dict[str, Any]:
        subject = node.subject
        apply_node = subject.node if isinstance(subject, Instruction) else subject
        computes = isinstance(apply_node, Apply) and node.kind in ("op", "view")
        rows = [["kind", _KINDS.get(node.kind, node.kind) if not node.order else _ORDERS[min(node.order, 2)]]]
        outputs: Sequence[Variable] = ()
        origin: Origin | None = None
        if computes:
            outputs, origin = apply_node.outputs, apply_node.origin
            rows.append(["operation", str(apply_node.op)])
        elif isinstance(subject, Variable):
            outputs, origin = [subject], subject.origin
        rows.extend(["type", text] for text in self._types(subject, outputs))
        names = [v.name for v in outputs if v.name]
        if names:
            rows.append(["name", ", ".join(names)])
        if node.scope:
            rows.append(["part", "/".join(node.scope)])
        rows.extend(["", note] for note in node.notes if isinstance(subject, (Instruction, Buffer)))
        value = self._value(subject, outputs)
        source = _lines(origin) if origin is not None else []
        forward = _lines(origin.forward) if origin is not None and origin.forward is not None else []
        found = [node.text, *node.notes, *names, *(line["place"] for line in (*source, *forward))]
        return {
            "text": node.text,
            "rows": rows,
            "expression": _expression(outputs[0]) if computes else [],
            "source": source,
            "forward": forward,
            "partner": node.partner.id if node.partner is not None else None,
            "stats": [] if value is None else _statistics(value),
            "heat": self._heat(node, subject, outputs, value),
            "found": " ".join(found).lower(),
        }

    def _types(self, subject: Any, outputs: Sequence[Variable]) -> list[str]:
        if isinstance(subject, Buffer):
            return [str(subject.type)]
        program = self._program_of(subject)
        if program is not None:
            return [f"%{n} {program.buffers[n].type}" for n in subject.outputs]
        return [str(v.type) for v in outputs]

    def _program_of(self, subject: Any) -> Any:
        if not isinstance(subject, Instruction):
            return None
        function = self.subject.function
        return function.program if function is not None else self.subject.program

    def _value(self, subject: Any, outputs: Sequence[Variable]) -> Any:
        """The recorded array of what a box computes, or None."""
        keys: list[Any] = [*outputs, *(v.name for v in outputs if v.name)]
        if isinstance(subject, Instruction):
            keys += subject.outputs
        elif isinstance(subject, Buffer):
            keys += [subject.index, subject.name]
        found = next((self.values[key] for key in keys if key in self.values), None)
        return None if found is None else np.asarray(arrays.to_numpy(found))

    def _heat(self, node: Node, subject: Any, outputs: Sequence[Variable], value: Any) -> dict[str, float]:
        heat: dict[str, float] = {}
        keys: list[Any] = [*outputs, *node.members, *(v.name for v in outputs if v.name)]
        for name, numbers in self.overlays.items():
            if isinstance(numbers, Mapping):
                heat.update((name, float(numbers[key])) for key in keys if key in numbers)
        program = self._program_of(subject)
        if program is not None:
            spent = cost(subject, program)
            heat["FLOPs"], heat["bytes moved"] = float(spent.flops), float(spent.bytes)
            heat["memory"] = float(
                sum(program.buffers[n].nbytes or 0 for n in subject.outputs if program.buffers[n].root == n)
            )
            position = next(i for i, step in enumerate(program.instructions) if step is subject)
            for name, numbers in self.overlays.items():
                if not isinstance(numbers, Mapping):
                    heat[name] = float(_checked(name, numbers, len(program.instructions))[position])
        if value is not None and value.dtype.kind == "f":
            heat["NaN"] = float(value.size - np.isfinite(value).sum())
        return heat

    # --- the file ---------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The whole page."""
        for picture, view, svg in zip(
            self.pictures, self.views, render_all([dot_text(p) for p in self.pictures], "svg"), strict=True
        ):
            view["svg"] = svg[svg.index("<svg") :]
            assert len(picture.nodes) == len(view["nodes"])
        title = self.subject.title or "graph"
        data = {"title": title, "views": self.views, "slider": self.slider, "program": self.program}
        page = resources.files("tinygraph.viz").joinpath("page.html").read_text("utf-8")
        head, tail = page.split("@DATA@")
        # No text in the data may end the element that holds them.
        text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
        return head.replace("@TITLE@", html.escape(title)) + text + tail


_KINDS = {
    "op": "operation",
    "view": "operation, another look at the same memory",
    "shared": "shared variable",
    "output": "result",
    "update": "new value of a shared variable",
    "more": "what is not shown",
}
_ORDERS = ("operation", "operation of the gradient", "operation of a gradient of the gradient")


def _heading(subject: Subject, stage: str) -> str:
    return f"{subject.title}, {stage}" if subject.title else f"The graph {stage}"


def _words(rule: str) -> str:
    return rule.strip("_").replace("_", " ")


def _merge(picture: Picture, part: Picture, cluster: str, prefix: str) -> None:
    """Add all of a picture to another one, inside a cluster."""
    for node in part.nodes:
        node.id = prefix + node.id
        node.scope = (cluster, *node.scope)
        picture.nodes.append(node)
    picture.edges.extend(Edge(prefix + e.tail, prefix + e.head, e.text, e.kind) for e in part.edges)


def _expression(variable: Variable) -> list[str]:
    """What a variable is computed by, some operations back."""
    stop: dict[Variable, str] = {}
    level = [variable]
    for distance in range(_NEAR + 1):
        behind: dict[Variable, None] = {}
        for v in level:
            if distance and v.owner is not None and (distance == _NEAR or v.name):
                stop[v] = v.name or "…"
            elif v.owner is not None:
                behind.update(dict.fromkeys(v.owner.inputs))
        level = list(behind)
    return formula_rows([variable], stop)


def _lines(origin: Origin) -> list[dict[str, Any]]:
    return [_line(line) for line in origin.trace()]


def _line(line: SourceLine) -> dict[str, Any]:
    raw, text = line.raw(), line.text()
    columns = None
    if line.columns is not None and text:
        shift = len(raw) - len(raw.lstrip())
        columns = [max(column - shift, 0) for column in line.columns]
    return {
        "place": f"{os.path.basename(line.filename)}:{line.line} in {line.function}",
        "text": text,
        "columns": columns,
    }


def _statistics(value: Any) -> list[list[str]]:
    rows = [["shape", str(value.shape)], ["dtype", str(value.dtype)]]
    if value.dtype.kind == "f":
        finite = value[np.isfinite(value)]
        bad = value.size - finite.size
        rows += [["NaN", str(int(np.isnan(value).sum()))], ["inf", str(int(np.isinf(value).sum()))]] if bad else []
    else:
        finite = value.astype("float64").ravel() if value.dtype.kind == "b" else value.ravel()
    if finite.size:
        for name in ("min", "mean", "max", "std"):
            rows.append([name, f"{float(getattr(finite, name)()):.6g}"])
    if 0 < value.size <= 8:
        rows.append(["values", " ".join(f"{x:.6g}" for x in value.ravel().tolist())])
    return rows


def _checked(name: str, numbers: Any, count: int) -> Sequence[float]:
    if isinstance(numbers, (str, bytes)) or not hasattr(numbers, "__len__") or len(numbers) != count:
        raise DrawError(
            f"overlay {name!r} needs a mapping, or one number for each instruction",
            expected=f"{count} numbers",
            actual=f"{numbers!r:.60}",
        )
    return numbers
