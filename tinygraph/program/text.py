"""A Program as text, one instruction a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.graph import services
from tinygraph.program.cost import Cost, cost
from tinygraph.program.ir import Instruction, Program
from tinygraph.program.memory import bytes_text

__all__ = ["cost_text", "flops_text", "program_text", "value_text"]

#: Columns are padded up to this width; what is wider pushes the rest of its line to the right.
_WIDEST = 44


def program_text(program: Program) -> str:
    """Inputs and constants, then the instructions with types, FLOPs and bytes, then what is returned."""
    rows: list[Sequence[str]] = []
    for number in program.inputs:
        buffer = program.buffers[number]
        rows.append((f"{buffer} = {buffer.kind} {buffer.name}".rstrip(), str(buffer.type)))
    for buffer in program.buffers:
        if buffer.kind == "constant":
            rows.append((f"{buffer} = constant {value_text(buffer.value)}", str(buffer.type)))
    total = Cost(0, 0)
    for instruction in program.instructions:
        spent = cost(instruction, program)
        total += spent
        left = ", ".join(f"%{n}" for n in instruction.outputs)
        right = ", ".join(f"%{n}" for n in instruction.inputs)
        types = ", ".join(str(program.buffers[n].type) for n in instruction.outputs)
        notes = "; ".join(_notes(program, instruction))
        rows.append((f"{left} = {instruction.op}({right})", types, cost_text(spent), notes))
        for inner in instruction.inner:
            rows.extend((f"    {row}",) for row in program_text(inner).splitlines())
    outs = (f"copy %{n}" if copied else f"%{n}" for n, copied in zip(program.outputs, program.copied, strict=True))
    returned = f"return {', '.join(outs)}"
    steps = len(program.instructions)
    plural = "" if steps == 1 else "s"
    return "\n".join([*_aligned(rows), returned, f"# {steps} instruction{plural}: {cost_text(total)}"])


def _notes(program: Program, instruction: Instruction) -> list[str]:
    notes = [f"view of %{program.buffers[n].root}" for n in instruction.outputs if program.buffers[n].root != n]
    notes.extend(f"if {'' if value else 'not '}%{n}" for n, value in instruction.guard)
    if instruction.inner:
        notes.append("cost of one turn")
    if instruction.frees:
        notes.append("frees " + " ".join(f"%{n}" for n in instruction.frees))
    return notes


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines ``left : type  # cost; notes`` in columns."""
    full = [row for row in rows if len(row) > 1]
    first = min(max((len(row[0]) for row in full), default=0), _WIDEST)
    second = min(max((len(row[1]) for row in full if len(row) > 2), default=0), _WIDEST)
    lines = []
    for row in rows:
        line = row[0]
        if len(row) > 1:
            line = f"{row[0]:<{first}} : {row[1]}"
        if len(row) > 2:
            line = f"{row[0]:<{first}} : {row[1]:<{second}}  # {'; '.join(filter(None, row[2:]))}"
        lines.append(line)
    return lines


def value_text(value: Any, longest: int = 60) -> str:
    """An array in one line, with "…" in the place of one that would be too long."""
    text = np.array2string(value, threshold=6, edgeitems=2, separator=", ")
    text = " ".join(text.split()).replace("[ ", "[")
    return text if len(text) <= longest else "…"


def flops_text(n: float) -> str:
    """A number of floating-point operations for a reader.

    >>> flops_text(12), flops_text(1234567)
    ('12 FLOP', '1.23 MFLOP')
    """
    power = 0
    while n >= 1000 and power < 4:
        n, power = n / 1000, power + 1
    return f"{n:.3g} {('', 'k', 'M', 'G', 'T')[power]}FLOP"


def cost_text(spent: Cost) -> str:
    """FLOPs and bytes, for a reader."""
    return f"{flops_text(spent.flops)}, {bytes_text(spent.bytes)}"


services.provide("program_text", program_text)
