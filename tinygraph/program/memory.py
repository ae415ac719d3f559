"""How much memory a Program takes, and who holds it, worked out from its buffers before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tinygraph.graph import Op
from tinygraph.ops.layout import DimShuffle, Reshape, SumTo
from tinygraph.program.ir import Program
from tinygraph.program.workspace import workspace

__all__ = ["Holder", "MemoryPlan", "bytes_text", "described", "kinds", "plan"]

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Holder:
    """One piece of memory that is alive at the peak.

    Parameters
    ----------
    buffer
        The number of its buffer, views of which are no holders of their own; -1 where it belongs to none.
    nbytes
        Its size.
    what
        Its type and the operation or copy that made it, in words.
    place
        The user's line, or "".
    """

    buffer: int
    nbytes: int
    what: str
    place: str


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of one call.

    Attributes
    ----------
    peak
        The most bytes that a call holds at any time beside its arguments and the shared variables.
    at
        Position of the instruction at which this is, or the number of instructions where it is at the copying of
        results at the end.
    holders
        What is alive then, the largest first.
    arguments, shared, constants
        Bytes that are there before and after a call, too.
    results
        Bytes that a call hands back or puts into shared variables.
    unknown
        Buffers whose size depends on values; they are counted as empty.
    title
        ``at`` in words.
    """

    peak: int
    at: int
    holders: tuple[Holder, ...]
    arguments: int
    shared: int
    constants: int
    results: int
    unknown: tuple[int, ...]
    title: str = ""

    def __str__(self) -> str:
        rows = [
            f"peak       {bytes_text(self.peak)} at {self.title}",
            f"results    {bytes_text(self.results)}",
            f"arguments  {bytes_text(self.arguments)}, shared {bytes_text(self.shared)}, "
            f"constants {bytes_text(self.constants)}",
        ]
        if self.unknown:
            rows.append(f"unknown    {', '.join(f'%{n}' for n in self.unknown)}: their sizes depend on values")
        rows.append("held at the peak")
        for holder in self.holders[:_SHOWN]:
            place = f"  {holder.place}" if holder.place else ""
            number = f"%{holder.buffer} " if holder.buffer >= 0 else ""
            rows.append(f"  {bytes_text(holder.nbytes):>10}  {number}{holder.what}{place}")
        rest = self.holders[_SHOWN:]
        if rest:
            rows.append(f"  {bytes_text(sum(h.nbytes for h in rest)):>10}  in {len(rest)} more")
        return "\n".join(rows)

    def __repr__(self) -> str:
        return str(self)


#: How many holders are printed.
_SHOWN = 12


def bytes_text(n: float) -> str:
    """A number of bytes for a reader.

    >>> bytes_text(12), bytes_text(1234567)
    ('12 B', '1.23 MB')
    """
    power = 0
    while n >= 1000 and power < 4:
        n, power = n / 1000, power + 1
    return f"{n:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def plan(program: Program) -> MemoryPlan:
    """The memory that a call of the Program takes.

    A buffer lives from the instruction that makes it to the last one that reads it or a view of it; results live on,
    and those that must be copied are there twice at the end. Memory that a single operation takes and gives back while
    it runs is not seen, except that of inner Programs.
    """
    sizes = {b.index: b.nbytes or 0 for b in program.buffers}
    timeline = list(_timeline(program, sizes))
    most, at, total = -1, 0, 0
    for position, taken, given, extra in timeline:
        total += sum(sizes[n] for n in taken)
        if total + extra > most:
            most, at = total + extra, position
        total -= sum(sizes[n] for n in given)
    held: dict[int, None] = {}
    for position, taken, given, _ in timeline[: at + 1]:
        held.update(dict.fromkeys(taken))
        for n in given if position < at else ():
            held.pop(n, None)
    copies = {n for n, copied in zip(program.outputs, program.copied, strict=True) if copied}
    made = {n: step.node for step in program.instructions for n in step.outputs}
    holders = [Holder(n, sizes[n], *described(program, n)) for n in held]
    if at == len(program.instructions):
        holders += [Holder(n, sizes[n], f"copy of a result : {program.buffers[n].type}", "") for n in sorted(copies)]
        title = "the copying of results"
    else:
        title = f"instruction {at}, {program.instructions[at].op.name}"
        inner = timeline[at][3]
        if inner:
            step = program.instructions[at]
            holders.append(Holder(step.outputs[0], inner, f"inside {step.op.name}", ""))
    counted = kinds(program)
    return MemoryPlan(
        most,
        at,
        tuple(sorted(holders, key=lambda h: -h.nbytes)),
        counted["input"],
        counted["shared"],
        counted["constant"],
        sum(sizes[n] for n in program.outputs),
        tuple(n for n in made if program.buffers[n].nbytes is None),
        title,
    )


def kinds(program: Program) -> Counter[str]:
    """Bytes of the buffers of each kind."""
    counted: Counter[str] = Counter()
    for buffer in program.buffers:
        counted[buffer.kind] += buffer.nbytes or 0
    return counted


def described(program: Program, n: int) -> tuple[str, str]:
    """What a buffer holds, and the user's line that it comes from, or ""."""
    buffer = program.buffers[n]
    name = f"{buffer.name} = " if buffer.name else ""
    node = next((step.node for step in program.instructions if n in step.outputs), None)
    if node is None:
        return f"{name}{buffer.kind} : {buffer.type}", ""
    origin = node.origin.forward or node.origin
    line = next((f"{line.filename}:{line.line}" for line in origin.trace()), "")
    gradient = "gradient of " if line and node.origin.forward is not None else ""
    return f"{name}{node.op.name} : {buffer.type}", gradient + line


def _timeline(program: Program, sizes: dict[int, int]) -> Iterator[tuple[int, list[int], list[int], int]]:
    """For each instruction the memory that it takes and gives back, and what it needs besides while it runs.

    The last row is the copying of results.
    """
    owner = _owners(program)
    users: Counter[int] = Counter()
    for position, step in enumerate(program.instructions):
        users.update(owner[n] for n in step.outputs)
        taken = [n for n in step.outputs if owner[n] == n]
        given: list[int] = []
        for n in step.frees:
            users[owner[n]] -= 1
            if not users[owner[n]] and program.buffers[owner[n]].kind == "temporary":
                given.append(owner[n])
        yield position, taken, given, sum(plan(p).peak for p in step.inner) + workspace(step, program)
    copies = sum(sizes[n] for n, copied in zip(program.outputs, program.copied, strict=True) if copied)
    yield len(program.instructions), [], [], copies


def _owners(program: Program) -> list[int]:
    """For each buffer the one whose memory it uses.

    Operations that may return views copy where the dtype changes or values are added up, and where they stand in an
    order that the view cannot have.
    """
    owner = [b.index for b in program.buffers]
    packed = [True] * len(owner)
    for step in program.instructions:
        for n in step.outputs:
            if program.buffers[n].root == n:
                continue
            source, result = program.buffers[step.inputs[0]], program.buffers[n]
            summed = isinstance(step.op, SumTo) and source.type.shape != result.type.shape
            moved = isinstance(step.op, Reshape) and not packed[source.index]
            if source.type.dtype == result.type.dtype and not summed and not moved:
                owner[n] = owner[source.index]
                packed[n] = packed[source.index] and _keeps_order(step.op, source.type.shape, result.type.shape)
    return owner


def _keeps_order(op: Op, before: Shape, after: Shape) -> bool:
    """Whether a view leaves values one behind the other, as they stand in memory."""
    if isinstance(op, DimShuffle):
        kept = [axis for axis in op.pattern if isinstance(axis, int) and before[axis] != 1]
        return kept == sorted(kept)
    return isinstance(op, Reshape) or before == after or before[1:] in (after, after[1:])
