"""Inverse functions of angles, on lanes of floats."""

from __future__ import annotations

import math

from tinygraph.backends.native import vecmath_coefficients as fit
from tinygraph.backends.native.emit import Lanes
from tinygraph.backends.native.vecmath_base import Floats

__all__ = ["arccos", "arcsin", "arctan", "arctan2"]

_LOW, _HIGH = math.tan(math.pi / 8), math.tan(3 * math.pi / 8)
#: pi/2 less its nearest number of the kind.
_TAIL = {"float": -4.371138828673793e-08, "double": 6.123233995736766e-17}


def arctan(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    middle, high = m.test("ogt", a, _LOW), m.test("ogt", a, _HIGH)
    # arctan(a) is pi/4 + arctan((a - 1) / (a + 1)), and pi/2 + arctan(-1 / a)
    above = m.choose(high, -1.0, m.choose(middle, m.sub(a, 1.0), a))
    below = m.choose(high, a, m.choose(middle, m.add(a, 1.0), 1.0))
    base = m.choose(high, math.pi / 2, m.choose(middle, math.pi / 4, 0.0))
    tail = -4.371138828673793e-08 if m.single else 6.123233995736766e-17  # pi/2 less its nearest float
    tails = m.choose(high, tail, m.choose(middle, tail / 2, 0.0))
    q = m.div(above, below)
    z = m.mul(q, q)
    rest = m.fma(m.mul(q, z), m.polynomial(z, fit.ARCTAN[kind]), tails)
    return m.with_sign(m.add(base, m.add(q, rest)), m.sign(x))


def arctan2(e: Lanes, kind: str, y: str, x: str) -> str:
    """The angle of (y, x): that of the smaller of |x| and |y| over the larger, in one of eight places."""
    m = Floats(e, kind)
    up, right = m.abs(y), m.abs(x)
    steep = m.test("ogt", up, right)
    small, large = m.choose(steep, right, up), m.choose(steep, up, right)
    diagonal = m.both(m.test("oeq", small, math.inf), m.test("oeq", large, math.inf))
    small, large = m.choose(diagonal, 1.0, small), m.choose(diagonal, 1.0, large)
    # Sums must not overflow; what underflows beside a number as large is 0 in the quotient, too. Multiples of denormals
    # would be rounded to a few bits.
    raised = m.choose(m.test("olt", large, 2.0 ** (m.mantissa - m.bias)), 2.0 ** (m.mantissa + 2), 1.0)
    factor = m.choose(m.test("oge", large, 2.0 ** (m.bias - 3)), 2.0**-8, raised)
    small, large = m.mul(small, factor), m.mul(large, factor)
    middle = m.test("ogt", small, m.mul(large, _LOW))
    above = m.choose(middle, m.sub(small, large), small)
    below = m.choose(middle, m.add(small, large), large)
    q = m.div(above, m.choose(m.test("oeq", below, 0.0), 1.0, below))
    z = m.mul(q, q)
    angle = m.fma(m.mul(q, z), m.polynomial(z, fit.ARCTAN[kind]), q)
    # mirrored at the diagonal, then at the vertical; ``eighths`` of the circle are added
    left = e.icmp("slt", m.integer, m.bits(x), e.constant(m.integer, 0))
    eighths = m.choose(middle, 1.0, 0.0)
    eighths = m.choose(steep, m.sub(2.0, eighths), eighths)
    eighths = m.choose(left, m.sub(4.0, eighths), eighths)
    mirrored = e.select(m.integer, steep, m.iop("xor", m.sign(x), -(1 << m.top)), m.sign(x))
    angle = m.fma(eighths, _TAIL[kind] / 2, m.with_sign(angle, mirrored, "xor"))
    return m.with_sign(m.fma(eighths, math.pi / 4, angle), m.sign(y))


def _arcsin_in_part(m: Floats, a: str) -> tuple[str, str]:
    """Whether ``a`` is over 1/2, and ``arcsin(sqrt((1 - a) / 2))`` there, ``arcsin(a)`` elsewhere; a is positive."""
    large = m.test("ogt", a, 0.5)
    z = m.choose(large, m.fma(a, -0.5, 0.5), m.mul(a, a))
    s = m.choose(large, m.lanes.intrinsic("sqrt", m.kind, z), a)
    return large, m.fma(m.mul(s, z), m.polynomial(z, fit.ARCSIN[m.kind]), s)


def arcsin(e: Lanes, kind: str, x: str) -> str:
    """pi/2 - 2 * arcsin(sqrt((1 - x) / 2)) for x over 1/2."""
    m = Floats(e, kind)
    large, part = _arcsin_in_part(m, m.abs(x))
    y = m.sub(math.pi / 2, m.sub(m.add(part, part), _TAIL[kind]))
    return m.with_sign(m.choose(large, y, part), m.sign(x))


def arccos(e: Lanes, kind: str, x: str) -> str:
    """pi/2 - arcsin(x) for small x, 2 * arcsin(sqrt((1 - x) / 2)) over 1/2, and pi less that for negative ones."""
    m = Floats(e, kind)
    large, part = _arcsin_in_part(m, m.abs(x))
    signed = m.with_sign(part, m.sign(x), "xor")
    turned = m.sub(math.pi / 2, m.sub(signed, _TAIL[kind]))
    double = m.add(part, part)
    back = m.sub(math.pi, m.sub(double, 2 * _TAIL[kind]))
    return m.choose(large, m.choose(m.test("olt", x, 0.0), back, double), turned)
