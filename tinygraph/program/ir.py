"""The Program: a short list of instructions over numbered buffers, with every shape known that can be.

Backends, printers and pictures read it; only this package writes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygraph.graph import Apply, Op, services
from tinygraph.types import Abstract, TensorType

__all__ = ["Buffer", "Instruction", "Program", "ProgramError", "verify"]


class ProgramError(AssertionError):
    """A Program that breaks its own rules: a fault of the compiler, never of its user."""


class Buffer(NamedTuple):
    """One value of a Program.

    Parameters
    ----------
    index
        Its number.
    type
        dtype and shape; an extent is None only where it depends on values (``nonzero``, a symbolic slice).
    kind
        ``input``, ``shared``, ``constant`` or ``temporary``.
    name
        The variable's name, for printing.
    value
        The array of a constant.
    root
        The buffer whose memory this one may share: itself unless it is a view.
    """

    index: int  # type: ignore[assignment]  # its number, where tuples have a method
    type: TensorType
    kind: str
    name: str = ""
    value: Any = None
    root: int = -1

    @property
    def nbytes(self) -> int | None:
        """Bytes of its elements, None where an extent is unknown."""
        if not self.type.known:
            return None
        return math.prod(self.type.shape) * np.dtype(self.type.dtype).itemsize  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"%{self.index}"


class Instruction(NamedTuple):
    """One operation on buffers.

    Parameters
    ----------
    op
        What is computed.
    inputs, outputs
        Numbers of buffers.
    frees
        Buffers that nothing reads after this instruction.
    node
        The graph node it comes from, which knows the user's line.
    guard
        Buffers of 0-d bools, each with the value that it must have, else the instruction is passed over.
    inner
        Programs of the operation's inner graphs.
    """

    op: Op
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    frees: tuple[int, ...]
    node: Apply
    guard: tuple[tuple[int, bool], ...] = ()
    inner: tuple[Program, ...] = ()

    @property
    def reads(self) -> tuple[int, ...]:
        """Every buffer that it reads: those of its guard, then its inputs."""
        return (*(n for n, _ in self.guard), *self.inputs)


@dataclass(frozen=True)
class Program:
    """What one function does for inputs of one signature.

    Parameters
    ----------
    buffers
        Every value, by number.
    instructions
        In the order they run.
    inputs
        Buffers that the caller fills: the function's inputs, then its shared variables.
    outputs
        Buffers handed back: the function's outputs, then the new values of updated shared variables.
    copied
        For each output whether it must be copied because its memory belongs to an input, a constant, a shared
        variable or another output.
    """

    buffers: tuple[Buffer, ...]
    instructions: tuple[Instruction, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    copied: tuple[bool, ...]

    def __str__(self) -> str:
        return str(services.call("program_text", self))

    def _repr_html_(self) -> str:
        return str(services.call("repr_html", self))

    def _repr_svg_(self) -> str | None:
        svg: str | None = services.call("repr_svg", self)
        return svg


def verify(program: Program, abstracts: Sequence[Abstract] = ()) -> None:
    """Check a Program against its own rules.

    Every buffer is written once and before it is read; none is read after it was freed; what an operation infers from
    the types of its inputs is the type of its outputs; a view's root is of an earlier buffer; outputs are alive.

    Raises
    ------
    ProgramError
        Naming the first instruction that breaks a rule.
    """
    alive = {b.index for b in program.buffers if b.kind == "constant"} | set(program.inputs)
    written = set(alive)
    for position, instruction in enumerate(program.instructions):
        where = f"instruction {position}, {instruction.op}"
        for number in instruction.reads:
            if number not in alive:
                state = "after it was freed" if number in written else "before it is written"
                raise ProgramError(f"{where}: reads %{number} {state}")
        for number in instruction.outputs:
            if number in written:
                raise ProgramError(f"{where}: writes %{number} a second time")
            root = program.buffers[number].root
            if root != number and root not in written:
                raise ProgramError(f"{where}: %{number} is a view of %{root}, which does not exist yet")
        alive.update(instruction.outputs)
        written.update(instruction.outputs)
        for number in instruction.frees:
            if number not in alive:
                raise ProgramError(f"{where}: frees %{number}, which is not alive")
            alive.discard(number)
        _verify_types(program, instruction, where)
        for inner in instruction.inner:
            verify(inner)
    for number in program.outputs:
        if number not in alive:
            raise ProgramError(f"output %{number} is not alive at the end")


def _verify_types(program: Program, instruction: Instruction, where: str) -> None:
    for number, variable in zip(instruction.outputs, instruction.node.outputs, strict=True):
        have, static = program.buffers[number].type, variable.type
        if have.dtype != static.dtype or have.ndim != static.ndim:
            raise ProgramError(f"{where}: %{number} is {have}, but its variable is {static}")
        if any(n is not None and m is not None and n != m for n, m in zip(have.shape, static.shape, strict=True)):
            raise ProgramError(f"{where}: %{number} is {have}, but its variable is {static}")
