"""Powers: floats through double arithmetic, doubles through logarithms of twice the precision."""

from __future__ import annotations

import math

from tinygraph.backends.native import vecmath_coefficients as fit
from tinygraph.backends.native.emit import Lanes
from tinygraph.backends.native.vecmath_base import Floats

__all__ = ["power"]

_INF = math.inf
_LOG2_E = 1.4426950408889634


def power(e: Lanes, kind: str, x: str, y: str) -> str:
    """``x ** y`` with the special cases of C's ``pow``."""
    m = Floats(e, kind)
    a = m.abs(x)
    magnitude = _of_floats(e, a, y) if m.single else _of_doubles(m, a, y)
    whole = e.fcmp("oeq", kind, e.intrinsic("rint", kind, y), y)
    half = m.mul(y, 0.5)
    odd = m.both(whole, e.fcmp("une", kind, e.intrinsic("rint", kind, half), half))
    # 1 ** NaN and NaN ** 0 are 1, and so is (-1) ** inf
    unit = m.both(m.test("oeq", a, 1.0), m.test("oeq", m.abs(y), _INF))
    one = m.either(m.either(m.test("oeq", x, 1.0), m.test("oeq", y, 0.0)), unit)
    out = m.choose(one, 1.0, magnitude)
    negative = m.both(m.test("olt", x, 0.0), m.test("ogt", x, -_INF))
    nowhere = m.both(negative, m.lanes.op("xor", "i1", whole, e.constant("i1", True)))
    out = m.choose(nowhere, math.nan, out)
    sign = e.select(m.integer, odd, m.sign(x), e.constant(m.integer, 0))
    return m.with_sign(out, sign)


def _of_floats(e: Lanes, a: str, y: str) -> str:
    """``a ** y`` for positive floats, by 2 ** (y * log2(a)) in doubles: denormal floats are none there."""
    m = Floats(e, "double")
    a, y = (e.cast("fpext", "float", "double", v) for v in (a, y))
    k, u, _ = m.parted(a, m.usual)
    f = m.sub(u, 1.0)
    s = m.div(f, m.add(f, 2.0))
    z = m.mul(s, s)
    log = m.mul(s, m.fma(z, m.polynomial(z, fit.LOG_POW), 2.0))
    w = m.mul(y, _at_ends(m, a, m.fma(log, _LOG2_E, k)))
    w = m.at_least(m.at_most(w, 200.0), -200.0)
    return e.cast("fptrunc", "double", "float", m.exp2_normal(w, fit.EXP2_POW))


def _at_ends(m: Floats, a: str, log: str) -> str:
    """The logarithm of a positive number, also where that is 0, inf or NaN."""
    log = m.choose(m.test("olt", a, _INF), log, a)
    return m.choose(m.test("oeq", a, 0.0), -_INF, log)


def _of_doubles(m: Floats, a: str, y: str) -> str:
    """``a ** y`` for positive doubles, by exp(y * log(a)), of which the exponent has an error below 2**-54."""
    k, u, _ = m.parted(*m.normal(a))
    log, log_tail = _log_in_two(m, k, u)
    log = _at_ends(m, a, log)
    w = m.mul(y, log)
    tail = m.fma(y, log_tail, m.fms(y, log, w))
    tail = m.choose(m.test("olt", m.abs(w), 800.0), tail, 0.0)  # it may be inf or NaN beyond
    w = m.at_least(m.at_most(w, 710.0), -746.0)
    shifted = m.fma(w, _LOG2_E, m.magic + 2 * m.bias)
    n = m.sub(shifted, m.magic + 2 * m.bias)
    r = m.fma(n, -math.log(2), w)
    r = m.add(r, m.fma(n, -2.3190468138462996e-17, tail))
    p = m.fma(m.mul(r, r), m.polynomial(r, fit.EXP["double"]), r)
    return m.scaled(m.add(p, 1.0), n, shifted)


#: 2/3, and log(2) with 42 bits, so that multiples up to 2**11 are exact; each with what is left.
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_LN2 = (0.6931471805598903, 5.497923018708371e-14)


def _log_in_two(m: Floats, k: str, u: str) -> tuple[str, str]:
    """``k * log(2) + log(u)`` as the sum of two doubles, to about 2**-65 of it.

    With f = u - 1 and s = f / (2 + f), log(u) is 2*s + 2/3*s**3 + …: these two terms are computed in two doubles
    each, what follows is below 2**-12 of them.
    """
    d = m.add(u, 1.0)
    d_tail = m.sub(u, m.sub(d, 1.0))
    inverse = m.div(1.0, d)
    f = m.sub(u, 1.0)
    s = m.mul(f, inverse)
    minus_s = m.neg(s)
    s_tail = m.mul(m.fma(minus_s, d_tail, m.fma(minus_s, d, f)), inverse)
    z = m.mul(s, s)
    z_tail = m.fma(m.add(s, s), s_tail, m.fms(s, s, z))
    cube = m.mul(s, z)
    cube_tail = m.fma(s, z_tail, m.fma(s_tail, z, m.fms(s, z, cube)))
    third = m.mul(cube, _TWO_THIRDS[0])
    third_tail = m.fma(cube_tail, _TWO_THIRDS[0], m.fma(cube, _TWO_THIRDS[1], m.fms(cube, _TWO_THIRDS[0], third)))
    rest = m.fma(m.mul(cube, z), m.polynomial(z, fit.LOG_TAIL), third_tail)
    rest = m.add(rest, m.add(s_tail, s_tail))
    first = m.add(s, s)
    near = m.add(first, third)
    rest = m.add(rest, m.sub(third, m.sub(near, first)))
    whole = m.mul(k, _LN2[0])
    total = m.add(whole, near)
    rest = m.add(rest, m.fma(k, _LN2[1], m.sub(near, m.sub(total, whole))))
    # the two may overlap by a few bits: part them again
    log = m.add(total, rest)
    return log, m.sub(rest, m.sub(log, total))
