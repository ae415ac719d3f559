"""LLVM assembly text, written straight down: lanes of values, and blocks of a function around them.

Text is written rather than objects built, because that takes a tenth of the time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

__all__ = ["ELEMENT", "Lanes", "Module", "literal"]

#: LLVM's type of an element of each dtype as it is computed with; bools are computed with as ``i1``.
ELEMENT = {
    "bool": "i1",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "i8",
    "uint16": "i16",
    "uint32": "i32",
    "uint64": "i64",
    "float32": "float",
    "float64": "double",
}

#: How a type is named in the names of intrinsic functions.
_SUFFIX = {"float": "f32", "double": "f64"}


def literal(kind: str, value: float | int | bool) -> str:
    """A scalar constant of an element type, exactly: floats are written as bits.

    >>> literal("float", 0.1), literal("i32", -1), literal("i1", True)
    ('0x3FB99999A0000000', '-1', 'true')
    """
    if kind == "i1":
        return "true" if value else "false"
    if kind == "float":
        value = float(np.float32(value))  # LLVM writes floats as the doubles of the same value
    if kind in ("float", "double"):
        return "0x" + struct.pack(">d", float(value)).hex().upper()
    return str(int(value))


class Module:
    """Text of a module: functions, and declarations of what they call, each once."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.declared: dict[str, str] = {}

    def declare(self, name: str, result: str, arguments: Sequence[str]) -> None:
        """Declare a function that is called and defined elsewhere."""
        self.declared.setdefault(name, f"declare {result} @{name}({', '.join(arguments)})")

    def __str__(self) -> str:
        return "\n".join([*self.declared.values(), *self.functions])


class Lanes:
    """Writes straight-line code on ``width`` lanes at once, or on scalars where ``width`` is 1.

    Values are named by text: a register or a constant. Every method takes the element type of its operands
    (``float``, ``double``, ``i1``, ``i8`` … ``i64``) and the operands, writes one instruction and returns its register.

    Parameters
    ----------
    module
        Where declarations go.
    lines
        Where instructions go, in order; shared by writers of one function.
    width
        Number of lanes.
    counter
        A list with the number of the next register; shared by writers of one function.
    """

    def __init__(self, module: Module, lines: list[str], width: int, counter: list[int]) -> None:
        self.module = module
        self.lines = lines
        self.width = width
        self.counter = counter

    def at(self, width: int) -> Lanes:
        """A writer of the same function on another number of lanes."""
        return self if width == self.width else Lanes(self.module, self.lines, width, self.counter)

    def type(self, kind: str) -> str:
        """The LLVM type of a value."""
        return kind if self.width == 1 else f"<{self.width} x {kind}>"

    def name(self) -> str:
        """A register that is not used yet."""
        self.counter[0] += 1
        return f"%v{self.counter[0]}"

    def put(self, text: str) -> str:
        """An instruction and the register that gets its result."""
        register = self.name()
        self.lines.append(f"  {register} = {text}")
        return register

    def constant(self, kind: str, value: float | int | bool) -> str:
        """The same constant in every lane."""
        return self._splat(kind, literal(kind, value))

    def bits(self, kind: str, pattern: int) -> str:
        """A float constant given by its bits, those of its own width."""
        code = "<f" if kind == "float" else "<d"
        (value,) = struct.unpack(code, pattern.to_bytes(struct.calcsize(code), "little"))
        return self.constant(kind, value)

    def _splat(self, kind: str, text: str) -> str:
        if self.width == 1:
            return text
        return f"splat ({kind} {text})"

    def splat(self, kind: str, scalar: str) -> str:
        """A scalar register in every lane."""
        if self.width == 1:
            return scalar
        if not scalar.startswith("%"):
            return self._splat(kind, scalar)
        one = self.put(f"insertelement {self.type(kind)} poison, {kind} {scalar}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.put(f"shufflevector {self.type(kind)} {one}, {self.type(kind)} poison, {zeros}")

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def op(self, code: str, kind: str, a: str, b: str) -> str:
        """A binary instruction: ``fadd``, ``fsub``, ``fmul``, ``fdiv``, ``add``, ``and``, ``shl``, ``ashr`` …"""
        return self.put(f"{code} {self.type(kind)} {a}, {b}")

    def fneg(self, kind: str, a: str) -> str:
        return self.put(f"fneg {self.type(kind)} {a}")

    def fcmp(self, predicate: str, kind: str, a: str, b: str) -> str:
        """``oeq``, ``one``, ``olt``, ``ole``, ``ogt``, ``oge``, ``ord``, ``ueq`` …, ``uno``: lanes of ``i1``."""
        return self.put(f"fcmp {predicate} {self.type(kind)} {a}, {b}")

    def icmp(self, predicate: str, kind: str, a: str, b: str) -> str:
        """``eq``, ``ne``, ``slt``, ``sle``, ``sgt``, ``sge``, ``ult`` …: lanes of ``i1``."""
        return self.put(f"icmp {predicate} {self.type(kind)} {a}, {b}")

    def select(self, kind: str, condition: str, a: str, b: str) -> str:
        """``a`` in lanes where the condition holds, else ``b``."""
        return self.put(f"select {self.type('i1')} {condition}, {self.type(kind)} {a}, {self.type(kind)} {b}")

    def cast(self, code: str, source: str, target: str, a: str) -> str:
        """``sitofp``, ``uitofp``, ``fptosi``, ``fptrunc``, ``fpext``, ``trunc``, ``zext``, ``sext``, ``bitcast``."""
        return self.put(f"{code} {self.type(source)} {a} to {self.type(target)}")

    def intrinsic(self, name: str, kind: str, *operands: str) -> str:
        """An intrinsic function of operands of one type: ``fma``, ``sqrt``, ``fabs``, ``rint``, ``copysign`` …"""
        suffix = _SUFFIX.get(kind, kind)
        full = f"llvm.{name}.{suffix}" if self.width == 1 else f"llvm.{name}.v{self.width}{suffix}"
        type = self.type(kind)
        self.module.declare(full, type, [type] * len(operands))
        return self.put(f"call {type} @{full}({', '.join(f'{type} {x}' for x in operands)})")

    def fma(self, kind: str, a: str, b: str, c: str) -> str:
        """``a * b + c``, rounded once."""
        return self.intrinsic("fma", kind, a, b, c)

    def call(self, name: str, kind: str, *operands: str) -> str:
        """A scalar C function of floats, such as ``sin``, in every lane."""
        self.module.declare(name, kind, [kind] * len(operands))
        if self.width == 1:
            return self.put(f"call {kind} @{name}({', '.join(f'{kind} {x}' for x in operands)})")
        type = self.type(kind)
        out = "poison"
        for i in range(self.width):
            lanes = [self.put(f"extractelement {type} {x}, i64 {i}") for x in operands]
            one = self.put(f"call {kind} @{name}({', '.join(f'{kind} {x}' for x in lanes)})")
            out = self.put(f"insertelement {type} {out}, {kind} {one}, i64 {i}")
        return out
