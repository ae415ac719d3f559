"""The picture of a Program: what runs, on which memory, at what cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinygraph.graph import Origin
from tinygraph.program import Buffer, Instruction
from tinygraph.program.cost import Cost, cost
from tinygraph.program.text import cost_text
from tinygraph.viz.maths import array_text, body_rows, op_words
from tinygraph.viz.model import Edge, Node, Picture, order_of, scope_of, update_text
from tinygraph.viz.select import Builder, Read, Unit, heat_note
from tinygraph.viz.subject import Subject

__all__ = ["program_picture"]


def program_picture(
    subject: Subject, depth: int | None = None, limit: int | None = None, heat: Sequence[float] | None = None
) -> Picture:
    """The picture of a Program.

    Each instruction shows its FLOPs and bytes; values that share memory have one colour.

    Parameters
    ----------
    subject
        The Program, and the function that it belongs to, which knows names and updates.
    depth, limit
        As for a graph.
    heat
        A number for each instruction, shown as heat.
    """
    return _ProgramBuilder(subject, depth, limit, heat).build()


class _ProgramBuilder(Builder):
    def __init__(self, subject: Subject, depth: int | None, limit: int | None, heat: Sequence[float] | None) -> None:
        assert subject.program is not None
        self.program = program = subject.program
        super().__init__(subject.title, list(dict.fromkeys(program.outputs)), depth, limit)
        self.subject = subject
        self.heat = heat
        total = sum((cost(step, program) for step in program.instructions), Cost(0, 0))
        self.picture.notes.append(f"{len(program.instructions)} instructions, {cost_text(total)}")
        self.steps: dict[Unit, tuple[int, Instruction]] = {}
        self.units: dict[int, Unit] = {b.index: Unit(leaf=b.index) for b in program.buffers}
        for position, step in enumerate(program.instructions):
            reads = [Read(n, "size", "if" if value else "if not") for n, value in step.guard]
            reads += [Read(n, "size" if i in step.op.host else "data") for i, n in enumerate(step.inputs)]
            unit = Unit([step.node], reads=list(dict.fromkeys(reads)))
            self.steps[unit] = position, step
            self.units.update(dict.fromkeys(step.outputs, unit))
        nowhere = Origin(())
        self.origins = dict.fromkeys(program.inputs, nowhere)
        self.origins.update(zip(program.inputs, (v.origin for v in subject.leaves), strict=False))
        self.colors = self._colors()

    def _colors(self) -> dict[int, int]:
        """A number for each piece of memory that several values share, by buffer."""
        memory = {b.index: b.index for b in self.program.buffers}
        for step in self.program.instructions:
            if self._is_view(step):
                memory[step.outputs[0]] = memory[step.inputs[0]]
        shared = Counter(memory.values())
        numbers: dict[Any, int] = {}
        return {n: numbers.setdefault(key, len(numbers)) for n, key in memory.items() if shared[key] > 1}

    def _is_view(self, step: Instruction) -> bool:
        """True where the result is another look at the memory of the first input: nothing is moved."""
        n = step.outputs[0]
        return self.program.buffers[n].root != n and not cost(step, self.program).bytes

    def unit(self, value: Any) -> Unit:
        return self.units[value]

    def is_number(self, value: Any) -> bool:
        buffer = self.program.buffers[value]
        return buffer.kind == "constant" and buffer.type.ndim == 0

    def box(self, unit: Unit) -> Node:
        if unit.leaf is not None:
            return self._leaf(self.program.buffers[unit.leaf])
        position, step = self.steps[unit]
        node = step.node
        is_view = self._is_view(step)
        notes = [f"view of %{step.inputs[0]}" if is_view else cost_text(cost(step, self.program))]
        names = [scope_of(node.origin, v.name)[1] for v in node.outputs if v.name]
        if names:
            notes.insert(0, f"= {', '.join(names)}")
        if step.inner:
            notes[-1] += " a turn"
        notes.extend(body_rows(step.op))
        box = self.picture.add(
            "view" if is_view else "op",
            f"{position}: {op_words(node)}",
            notes=notes,
            order=order_of(node.origin),
            scope=scope_of(node.origin, next((v.name for v in node.outputs if v.name), None))[0],
            memory=self.colors.get(step.outputs[0]),
            subject=step,
            members=[node],
        )
        if self.heat is not None and position < len(self.heat):
            heat_note([self.heat[position]], max(self.heat), box)
        return box

    def _leaf(self, buffer: Buffer) -> Node:
        if buffer.kind == "constant":
            return self.picture.add("constant", array_text(buffer.value), subject=buffer)
        scope, name = scope_of(self.origins[buffer.index], buffer.name)
        memory = self.colors.get(buffer.index)
        return self.picture.add(buffer.kind, name or str(buffer), scope=scope, memory=memory, subject=buffer)

    def edge(self, tail: Node, head: Node, read: Read) -> Edge:
        return Edge(tail.id, head.id, self._text(read.value, read.text), read.kind, self.colors.get(read.value))

    def _text(self, number: Any, before: str = "") -> str:
        buffer = self.program.buffers[number]
        return " ".join(filter(None, [before, str(buffer) if buffer.kind != "constant" else "", str(buffer.type)]))

    def add_results(self) -> None:
        roots = self.subject.roots
        several = sum(root.target is None for root in roots) > 1 or (not roots and len(self.program.outputs) > 1)
        given = dict(zip(self.subject.leaves, self.program.inputs, strict=False))
        for i, (number, copied) in enumerate(zip(self.program.outputs, self.program.copied, strict=True)):
            source = self.result(number)
            notes = ["copied"] if copied else []
            target = roots[i].target if i < len(roots) else None
            if target is not None:
                if self.program.buffers[number].root == given.get(target):
                    notes = ["in place"]
                box = self.picture.add("update", update_text(roots[i]), notes=notes, subject=target)
            else:
                label = roots[i].label if i < len(roots) else self.program.buffers[number].name
                box = self.picture.add("output", label or (f"output {i}" if several else "output"), notes=notes)
                box.subject = self.program.buffers[number]
            self.picture.edges.append(Edge(source.id, box.id, self._text(number), memory=self.colors.get(number)))
