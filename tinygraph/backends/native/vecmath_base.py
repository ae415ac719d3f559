"""What the functions of ``vecmath`` are made of: floats of one kind with their bits, polynomials, powers of two."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from tinygraph.backends.native.emit import Lanes

__all__ = ["Floats"]


class Floats:
    """Writes arithmetic on floats of one kind; every method writes an instruction or a few and returns the register.

    Parameters
    ----------
    lanes
        The writer.
    kind
        ``float`` or ``double``.

    Attributes
    ----------
    integer
        The kind of integers of the same size.
    top
        The number of the sign bit.
    mantissa
        How many bits of the mantissa are stored.
    bias
        What is added to an exponent to store it.
    magic
        A number whose last bit is worth 1: ``x + magic`` is ``x`` rounded to a whole number, which then stands in the
        low bits. AVX2 has no conversion between doubles and 64-bit integers; this is one.
    usual
        What is to be taken off a float with a stored exponent in its low bits.
    """

    def __init__(self, lanes: Lanes, kind: str) -> None:
        self.lanes = lanes
        self.kind = kind
        self.single = kind == "float"
        self.integer = "i32" if self.single else "i64"
        self.top = 31 if self.single else 63
        self.mantissa = 23 if self.single else 52
        self.bias = 127 if self.single else 1023
        self.magic = 1.5 * 2.0**self.mantissa
        self.usual = 2.0**self.mantissa + self.bias

    # --- floats -------------------------------------------------------------------------------------------------------

    def number(self, value: float) -> str:
        return self.lanes.constant(self.kind, value)

    def _operand(self, a: str | float) -> str:
        return a if isinstance(a, str) else self.number(a)

    def add(self, a: str | float, b: str | float) -> str:
        return self.lanes.op("fadd", self.kind, self._operand(a), self._operand(b))

    def sub(self, a: str | float, b: str | float) -> str:
        return self.lanes.op("fsub", self.kind, self._operand(a), self._operand(b))

    def mul(self, a: str | float, b: str | float) -> str:
        return self.lanes.op("fmul", self.kind, self._operand(a), self._operand(b))

    def div(self, a: str | float, b: str | float) -> str:
        return self.lanes.op("fdiv", self.kind, self._operand(a), self._operand(b))

    def fma(self, a: str | float, b: str | float, c: str | float) -> str:
        """``a * b + c``, rounded once."""
        return self.lanes.fma(self.kind, self._operand(a), self._operand(b), self._operand(c))

    def fms(self, a: str | float, b: str | float, c: str) -> str:
        """``a * b - c``, rounded once."""
        return self.fma(a, b, self.neg(c))

    def neg(self, a: str) -> str:
        return self.lanes.fneg(self.kind, a)

    def abs(self, a: str) -> str:
        return self.lanes.intrinsic("fabs", self.kind, a)

    def test(self, predicate: str, a: str, b: str | float) -> str:
        """Lanes of ``i1``, by one of the predicates of ``fcmp``."""
        return self.lanes.fcmp(predicate, self.kind, a, self._operand(b))

    def both(self, a: str, b: str) -> str:
        return self.lanes.op("and", "i1", a, b)

    def either(self, a: str, b: str) -> str:
        return self.lanes.op("or", "i1", a, b)

    def choose(self, condition: str, a: str | float, b: str | float) -> str:
        return self.lanes.select(self.kind, condition, self._operand(a), self._operand(b))

    def at_most(self, a: str, bound: float) -> str:
        """The smaller one, or NaN where ``a`` is."""
        return self.choose(self.test("ogt", a, bound), bound, a)

    def at_least(self, a: str, bound: float) -> str:
        """The larger one, or NaN where ``a`` is."""
        return self.choose(self.test("olt", a, bound), bound, a)

    # --- bits ---------------------------------------------------------------------------------------------------------

    def pattern(self, value: float) -> int:
        """The bits of a number, as an integer."""
        code = "f" if self.single else "d"
        return int.from_bytes(struct.pack(f"<{code}", value), "little")

    def bits(self, a: str) -> str:
        return self.lanes.cast("bitcast", self.kind, self.integer, a)

    def unbits(self, a: str) -> str:
        return self.lanes.cast("bitcast", self.integer, self.kind, a)

    def iop(self, code: str, a: str, b: str | int) -> str:
        """A binary instruction on integers."""
        b = b if isinstance(b, str) else self.lanes.constant(self.integer, b)
        return self.lanes.op(code, self.integer, a, b)

    def sign(self, a: str) -> str:
        """The sign bit alone, as an integer."""
        return self.iop("and", self.bits(a), -(1 << self.top))

    def with_sign(self, a: str, sign: str, code: str = "or") -> str:
        """``a``, which is positive, with a sign bit; or with its sign changed, where ``code`` is ``xor``."""
        return self.unbits(self.iop(code, self.bits(a), sign))

    # --- larger pieces ------------------------------------------------------------------------------------------------

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        """A polynomial, lowest degree first: Horner's scheme, for the long ones in two chains that run side by side."""
        if len(coefficients) > 7:
            square = self.mul(x, x)
            even = self._horner(square, coefficients[::2])
            return self.fma(x, self._horner(square, coefficients[1::2]), even)
        return self._horner(x, coefficients)

    def _horner(self, x: str, coefficients: Sequence[float]) -> str:
        out: str | float = coefficients[-1]
        for c in reversed(coefficients[:-1]):
            out = self.fma(out, x, c)
        return self._operand(out)

    def parted(self, x: str, offset: str | float) -> tuple[str, str, str]:
        """``k``, ``u`` and bits with x = 2**k * u, sqrt(1/2) <= u < sqrt(2), for normal positive x.

        The bits are ``k + bias`` in its field, with what stands below it. ``offset`` is ``usual``, and more by
        what is to be taken off ``k``.
        """
        least = self.pattern(math.sqrt(0.5))
        moved = self.iop("add", self.bits(x), self.pattern(1.0) - least)
        field = self.iop("lshr", moved, self.mantissa)
        k = self.sub(self.unbits(self.iop("or", field, self.pattern(2.0**self.mantissa))), offset)
        mantissa = self.iop("and", moved, (1 << self.mantissa) - 1)
        return k, self.unbits(self.iop("add", mantissa, least)), moved

    def normal(self, x: str) -> tuple[str, str]:
        """``x`` with denormals lifted to normal numbers, and the ``offset`` of ``parted`` that makes up for it."""
        lift = 25.0 if self.single else 54.0
        tiny = self.test("olt", x, 2.0 ** (1 - self.bias))
        return (
            self.choose(tiny, self.mul(x, 2.0**lift), x),
            self.choose(tiny, self.usual + lift, self.usual),
        )

    def power_of_two(self, shifted: str) -> str:
        """``2**n``, normal, from a register with ``n + bias`` in its low bits, such as ``n + (magic + bias)``."""
        return self.unbits(self.iop("shl", self.bits(shifted), self.mantissa))

    def exp2_normal(self, w: str, coefficients: Sequence[float]) -> str:
        """``2**w`` where that is normal."""
        shifted = self.add(w, self.magic + self.bias)
        r = self.sub(w, self.sub(shifted, self.magic + self.bias))
        scale = self.power_of_two(shifted)
        return self.fma(self.mul(r, self.polynomial(r, coefficients)), scale, scale)

    def scaled(self, y: str, n: str, shifted: str) -> str:
        """``y * 2**m``, by way of two factors, so that ``m`` may go beyond all exponents and the result be denormal.

        ``shifted`` has ``m + 2 * bias`` in its low bits; ``n``, about ``m``, says where to part it.
        """
        half = self.fma(n, 0.5, self.magic + self.bias)
        rest = self.iop("sub", self.bits(shifted), self.bits(half))
        other = self.unbits(self.iop("shl", rest, self.mantissa))
        return self.mul(self.mul(y, self.power_of_two(half)), other)
