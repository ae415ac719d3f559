"""Mathematical functions on lanes of floats: straight-line code from polynomials of our own.

Results are those of C, special values and signs of zeros included; denormal numbers are as good as others. A lane's
result does not depend on its neighbours nor on the number of lanes. There are no branches (but see ``_far_apart``) and
no tables, so the code can stand in any loop, and several functions in one.

The largest errors that were found, in units in the last place of the exact result, over 4 to 118 million floats and
0.9 to 34 million doubles per function (0.1 and 0.2 million for ``erfc`` and ``erf`` of doubles): bit patterns spread
over the whole range, and numbers of the sizes that matter. 0.5 is what rounding costs. Beside them, the time per
element on an AVX2 machine (8,192 elements, 8 or 16 floats or 4 doubles at once), and that of NumPy; of SciPy for the
error functions; of formulas in NumPy for ``sigmoid`` and ``softplus``:

========  =====  ======  =====  =====  ======  ======
          errors, ulps   ns, float     ns, double
--------  -------------  ------------  --------------
function  float  double   here  NumPy    here   NumPy
========  =====  ======  =====  =====  ======  ======
arccos     1.10    1.23    0.5    5.4     1.4     6.8
arccosh    2.03    2.08    1.3    8.7     4.2     9.3
arcsin     2.30    2.21    0.5    4.5     1.3     6.2
arcsinh    1.80    1.67    1.4   12.2     4.4    12.4
arctan     1.83    1.90    0.6    6.3     1.6    10.3
arctan2    2.07    2.37    1.0   12.8     2.6    14.9
arctanh    2.12    2.03    1.2   13.0     3.2    11.5
cos        1.55    1.57    0.6    1.7     1.8    10.9
cosh       1.51    1.46    0.6    7.3     1.6     7.6
erf        1.09    1.11    0.9   11.6     3.7    11.2
erfc       0.51    4.17    2.0   12.0     4.2    11.3
exp        1.05    1.00    0.5    1.3     1.3     5.7
exp2       0.91    1.15    0.4    2.9     1.0     5.1
expm1      1.44    1.98    0.5    9.8     1.2     7.5
hypot      0.50    1.17    0.9    5.0     0.9     8.2
log        0.91    0.85    0.7    1.8     1.7     4.4
log10      0.98    0.97    0.8    6.5     1.8     7.3
log1p      1.52    1.39    0.8    8.2     2.1     6.6
log2       1.05    0.92    0.7    3.3     1.7     4.7
pow        0.51    1.49    3.1    5.3     7.4    12.8
sigmoid    1.45    1.46    0.8    2.0     2.1     6.6
sin        1.55    1.54    0.6    1.7     1.7    10.8
sinh       1.62    1.63    0.8   15.1     2.1    13.7
softplus   2.05    1.98    1.0    8.9     3.0    12.3
sqrt       0.50    0.50    0.3    0.5     0.8     1.6
tan        3.60    3.38    0.7   12.3     1.9    12.0
tanh       1.32    1.30    0.8    1.5     2.1     7.8
========  =====  ======  =====  =====  ======  ======

``sin``, ``cos`` and ``tan`` of numbers from 1e5 on (doubles: 2**40) come from the C library, lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygraph.backends.native import vecmath_coefficients as fit
from tinygraph.backends.native.emit import Lanes
from tinygraph.backends.native.vecmath_angles import arccos, arcsin, arctan, arctan2
from tinygraph.backends.native.vecmath_base import Floats
from tinygraph.backends.native.vecmath_pow import power

__all__ = ["FUNCTIONS"]

_LN2 = math.log(2)
_LN2_TAIL = {"float": -1.9046542121259336e-09, "double": 2.3190468138462996e-17}  # log(2) less its nearest float
_SIGNIFICANT = {"float": 2.0**-30, "double": 2.0**-60}  # below it x is expm1(x), log1p(x) and arctanh(x)
_INF = math.inf


def _near(m: Floats, value: float) -> float:
    """The nearest number of the kind."""
    return float(np.float32(value)) if m.single else value


# --- exponentials -------------------------------------------------------------------------------------------------


def _reduced(m: Floats, x: str, offset: int) -> tuple[str, str, str]:
    """``n``, ``n + magic + offset`` and ``r`` with x = n*log(2) + r, n whole, |r| <= log(2) / 2.

    x - n * log(2), with the leading part of log(2), has no bits below those of x and of that part: it is exact.
    """
    shifted = m.fma(x, 1 / _LN2, m.magic + offset)
    n = m.sub(shifted, m.magic + offset)
    r = m.fma(n, -_near(m, _LN2), x)
    return n, shifted, m.fma(n, -_LN2_TAIL[m.kind], r)


def _expm1_reduced(m: Floats, r: str, coefficients: dict[str, tuple[float, ...]]) -> str:
    q = m.polynomial(r, coefficients[m.kind])
    return m.fma(m.mul(r, r), q, r)


def _exp_of(m: Floats, x: str, halvings: int = 0) -> str:
    """``exp(x) / 2**halvings`` for x that was limited to where n does not leave its field."""
    n, shifted, r = _reduced(m, x, 2 * m.bias - halvings)
    return m.scaled(m.add(_expm1_reduced(m, r, fit.EXP), 1.0), n, shifted)


def _exp(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    low, high = (-104.0, 89.0) if m.single else (-746.0, 710.0)  # beyond, the results are 0 and inf
    return _exp_of(m, m.at_least(m.at_most(x, high), low))


def _exp_minus_abs(m: Floats, x: str) -> str:
    return _exp_of(m, m.at_least(m.neg(m.abs(x)), -104.0 if m.single else -746.0))


def _exp2(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    low, high = (-151.0, 129.0) if m.single else (-1076.0, 1025.0)
    x = m.at_least(m.at_most(x, high), low)
    shifted = m.add(x, m.magic + 2 * m.bias)
    n = m.sub(shifted, m.magic + 2 * m.bias)
    r = m.sub(x, n)
    return m.scaled(m.fma(r, m.polynomial(r, fit.EXP2[kind]), 1.0), n, shifted)


def _expm1(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    low, high = (-18.0, 89.0) if m.single else (-38.0, 710.0)
    limited = m.at_least(m.at_most(x, high), low)
    _, shifted, r = _reduced(m, limited, m.bias - 1)
    half = m.power_of_two(shifted)  # 2**(n - 1): n may be the first exponent that is too large
    y = m.fma(half, _expm1_reduced(m, r, fit.EXPM1), m.sub(half, 0.5))
    return m.choose(m.test("olt", m.abs(x), _SIGNIFICANT[kind]), x, m.add(y, y))


# --- logarithms ---------------------------------------------------------------------------------------------------


def _log1p_quotient(m: Floats, f: str, coefficients: tuple[float, ...]) -> str:
    """``log1p(f) - f`` by way of s = f / (2 + f): f is exact, and the rest is smaller, so its errors are, too."""
    s = m.div(f, m.add(f, 2.0))
    z = m.mul(s, s)
    half_square = m.mul(m.mul(f, 0.5), f)
    return m.fms(s, m.fma(z, m.polynomial(z, coefficients), half_square), half_square)


def _log1p_rest(m: Floats, f: str) -> str:
    """``log1p(f) - f`` for sqrt(1/2) - 1 <= f < sqrt(2) - 1."""
    if m.single:
        return m.mul(m.mul(f, f), m.fma(f, m.polynomial(f, fit.LOG_FLOAT), -0.5))
    return _log1p_quotient(m, f, fit.LOG)


def _log_of_parts(m: Floats, k: str, f: str) -> str:
    rest = _log1p_rest(m, f)
    if not m.single:
        rest = m.fma(k, _LN2_TAIL[m.kind], rest)
    return m.fma(k, _near(m, _LN2), m.add(f, rest))  # the nearest float to log(2) is 16 times nearer than it need be


def _log_domain(m: Floats, x: str, y: str, zero: float) -> str:
    """``y``, or what a logarithm is that is -inf at ``zero``, where ``x`` is NaN, inf, ``zero`` or less."""
    y = m.choose(m.test("olt", x, _INF), y, x)
    below = m.choose(m.test("oeq", x, zero), -_INF, math.nan)
    return m.choose(m.test("ole", x, zero), below, y)


def _log(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    k, u, _ = m.parted(*m.normal(x))
    f = m.sub(u, 1.0)
    return _log_domain(m, x, _log_of_parts(m, k, f), 0.0)


def _log2(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    k, u, _ = m.parted(*m.normal(x))
    f = m.sub(u, 1.0)
    y = m.add(k, _scaled_log1p(m, f, 1.4426950408889634, 2.0355273740931033e-17))
    return _log_domain(m, x, y, 0.0)


def _log10(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    k, u, _ = m.parted(*m.normal(x))
    f = m.sub(u, 1.0)
    near = _scaled_log1p(m, f, 0.4342944819032518, 1.098319650216765e-17)
    step, tail = _split(m, 0.3010299956639812, -2.8037281277851704e-18)
    return _log_domain(m, x, m.fma(k, step, m.fma(k, tail, near)), 0.0)


def _split(m: Floats, head: float, tail: float) -> tuple[float, float]:
    """A constant of twice the precision, from two doubles, in two numbers of the kind."""
    first = _near(m, head)
    return first, (_near(m, head - first) if m.single else tail)


def _scaled_log1p(m: Floats, f: str, head: float, tail: float) -> str:
    head, tail = _split(m, head, tail)
    return m.fma(f, head, m.fma(_log1p_rest(m, f), head, m.mul(f, tail)))


def _log1p(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    u = m.add(x, 1.0)
    back = m.sub(u, 1.0)
    lost = m.add(m.sub(1.0, m.sub(u, back)), m.sub(x, back))  # u + lost is 1 + x, exactly
    k, v, moved = m.parted(u, m.usual)
    field = m.iop("and", moved, -(1 << m.mantissa))
    scale = m.unbits(m.iop("sub", m.lanes.constant(m.integer, m.pattern(2.0) + m.pattern(1.0)), field))  # 2**(1 - k)
    y = _log_of_parts(m, k, m.fma(m.mul(lost, 0.5), scale, m.sub(v, 1.0)))
    y = m.choose(m.test("olt", m.abs(x), _SIGNIFICANT[kind]), x, y)
    return _log_domain(m, x, y, -1.0)


# --- hyperbolic functions and their like --------------------------------------------------------------------------


def _odd(m: Floats, a: str, coefficients: dict[str, tuple[float, ...]]) -> str:
    """``a + a**3 * polynomial(a**2)``."""
    z = m.mul(a, a)
    return m.fma(m.mul(a, z), m.polynomial(z, coefficients[m.kind]), a)


def _tanh(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    magnitude = m.abs(x)
    a = m.at_most(magnitude, 10.0 if m.single else 20.0)
    _, shifted, r = _reduced(m, m.add(a, a), m.bias)
    scale = m.power_of_two(shifted)
    below = m.fma(_expm1_reduced(m, r, fit.EXP), scale, m.add(scale, 1.0))  # exp(2*a) + 1
    large = m.sub(1.0, m.div(2.0, below))
    y = m.choose(m.test("olt", a, 0.5625), _odd(m, a, fit.TANH), large)
    return m.with_sign(y, m.sign(x))


def _sigmoid(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    tail = _exp_minus_abs(m, x)
    above = m.choose(m.test("olt", x, 0.0), tail, 1.0)
    below = m.add(tail, 1.0)
    inverse = m.div(1.0, below)
    y = m.mul(above, inverse)
    # What is left of ``above`` after y * (1 + tail), with what the sum lost, takes the errors of sum and quotient away.
    minus_y = m.neg(y)
    lost = m.sub(tail, m.sub(below, 1.0))
    left = m.fma(minus_y, lost, m.fma(minus_y, below, above))
    return m.fma(left, inverse, y)


def _softplus(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    tail = _exp_minus_abs(m, x)
    log1p = m.add(tail, _log1p_quotient(m, tail, fit.LOG1P[kind]))
    return m.add(m.choose(m.test("ogt", x, 0.0), x, 0.0), log1p)


def _half_exp(m: Floats, a: str) -> str:
    """``exp(a) / 2`` for positive a, which may be finite where ``exp(a)`` is not."""
    return _exp_of(m, m.at_most(a, 90.0 if m.single else 711.0), halvings=1)


def _sinh(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    half = _half_exp(m, a)
    large = m.sub(half, m.div(0.25, half))
    return m.with_sign(m.choose(m.test("olt", a, 1.0), _odd(m, a, fit.SINH), large), m.sign(x))


def _cosh(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    half = _half_exp(m, m.abs(x))
    return m.add(half, m.div(0.25, half))


_HUGE = {"float": 2.0**30, "double": 2.0**60}  # the square, and 1, are nothing beside it


def _log_of_sum(m: Floats, a: str, rest: str) -> str:
    """``log(1 + a + rest)``, or ``log(2 * a)`` where ``a`` is huge and its square may be too large."""
    huge = m.test("oge", a, _HUGE[m.kind])
    y = _log1p(m.lanes, m.kind, m.choose(huge, a, m.add(a, rest)))
    return m.add(y, m.choose(huge, _LN2, 0.0))


def _arcsinh(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    square = m.mul(a, a)
    root = e.intrinsic("sqrt", kind, m.add(square, 1.0))
    return m.with_sign(_log_of_sum(m, a, m.div(square, m.add(root, 1.0))), m.sign(x))


def _arccosh(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    t = m.sub(x, 1.0)
    y = _log_of_sum(m, t, e.intrinsic("sqrt", kind, m.fma(t, t, m.add(t, t))))
    return m.choose(m.test("olt", x, 1.0), math.nan, y)


def _arctanh(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    y = m.mul(_log1p(e, kind, m.div(m.add(a, a), m.sub(1.0, a))), 0.5)
    y = m.choose(m.test("olt", a, _SIGNIFICANT[kind]), a, y)  # halves of denormals
    return m.with_sign(y, m.sign(x))


def _erf(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.at_most(m.abs(x), 4.0 if m.single else 6.0)
    small = m.fma(a, m.polynomial(m.mul(a, a), fit.ERF[kind]), a)
    exponent = m.polynomial(a, fit.ERFC[kind])  # log2(erfc(a)): errors of erfc count little where it is small
    erfc = m.exp2_normal(exponent, fit.EXP2[kind])
    return m.with_sign(m.choose(m.test("olt", a, 1.0), small, m.sub(1.0, erfc)), m.sign(x))


def _erfc(e: Lanes, kind: str, x: str) -> str:
    """``exp(-x * x)`` times a polynomial in (x - 4) / (x + 4), and over x + 4, for positive x."""
    m = Floats(e, "double")
    if kind == "float":
        x = e.cast("fpext", "float", "double", x)
    a = m.at_most(m.abs(x), 10.5 if kind == "float" else 27.4)
    below = m.add(a, 4.0)
    t = m.div(m.sub(a, 4.0), below)
    factor = m.div(m.polynomial(t, fit.ERFC_TAIL[kind]), below)
    square = m.mul(a, a)
    if kind == "float":  # the square is exact
        y = m.mul(m.exp2_normal(m.mul(square, -1 / _LN2), fit.EXP2_POW), factor)
    else:
        n, shifted, r = _reduced(m, m.neg(square), 2 * m.bias)
        r = m.sub(r, m.fms(a, a, square))
        y = m.scaled(m.mul(m.add(_expm1_reduced(m, r, fit.EXP), 1.0), factor), n, shifted)
    y = m.choose(m.test("olt", x, 0.0), m.sub(2.0, y), y)
    if kind == "float":
        return e.cast("fptrunc", "double", "float", y)
    erf = m.fma(x, m.polynomial(m.mul(x, x), fit.ERF[kind]), x)  # errors of t would count for most where x is small
    return m.choose(m.test("olt", a, 0.5), m.sub(1.0, erf), y)


# --- angles -------------------------------------------------------------------------------------------------------

#: pi in three parts, each the nearest number of the kind to what the ones before leave.
_PI = {
    "float": (3.1415927410125732, -8.742277657347586e-08, -3.4302490200117637e-15),
    "double": (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33),
}
#: Arguments of sin and cos from here on are left to the C library.
_FAR = {"float": 1e5, "double": 2.0**40}


def _library(kind: str, name: str) -> str:
    return name + "f" if kind == "float" else name


def _far_apart(e: Lanes, kind: str, name: str, a: str, y: str) -> str:
    """``y``, or what the C library says in lanes where ``a`` is far from 0.

    That is a function of its own with the branch inside, so the code around stays a straight line; LLVM's inliner,
    where it runs, takes it into its callers.
    """
    type, bools = e.type(kind), e.type("i1")
    function = f"tinygraph.{name}.{e.width}.{kind}"
    if function not in e.module.declared:
        lines: list[str] = []
        inner = Lanes(e.module, lines, e.width, [0])
        far = inner.fcmp("oge", kind, "%a", inner.constant(kind, _FAR[kind]))
        some = far
        if e.width > 1:
            reduction = f"llvm.vector.reduce.or.v{e.width}i1"
            e.module.declare(reduction, "i1", [bools])
            some = inner.put(f"call i1 @{reduction}({bools} {far})")
        lines += [f"  br i1 {some}, label %rare, label %done", "rare:"]
        exact = inner.call(_library(kind, name), kind, "%a")
        mixed = inner.select(kind, far, exact, "%y")
        lines += ["  br label %done", "done:"]
        out = inner.put(f"phi {type} [ %y, %entry ], [ {mixed}, %rare ]")
        head = f"define internal {type} @{function}({type} %a, {type} %y) alwaysinline {{\nentry:"
        e.module.declared[function] = "\n".join([head, *lines, f"  ret {type} {out}", "}"])
    return e.put(f"call {type} @{function}({type} {a}, {type} {y})")


def _turned(m: Floats, a: str) -> tuple[str, str, str, str]:
    """Sine and cosine of positive ``a`` less a whole number n of quarter turns, bits with n, and whether n is odd.

    a - n * (pi / 2) takes three steps: the first is exact, as in ``_reduced``; the others are rounded to their results.
    Functions of one ``a`` share this code, once LLVM has found what is common.
    """
    shifted = m.fma(a, 2 / math.pi, m.magic)
    n = m.sub(shifted, m.magic)
    r = a
    for part in _PI[m.kind]:
        r = m.fma(n, -part / 2, r)
    z = m.mul(r, r)
    sine = m.fma(m.mul(r, z), m.polynomial(z, fit.SIN[m.kind]), r)
    cosine = m.fma(m.mul(z, z), m.polynomial(z, fit.COS[m.kind]), m.fma(z, -0.5, 1.0))
    quarter = m.bits(shifted)
    last = m.iop("shl", quarter, m.top)
    return sine, cosine, quarter, m.lanes.icmp("slt", m.integer, last, m.lanes.constant(m.integer, 0))


def _second_half(m: Floats, quarter: str) -> str:
    """The sign bit, in turns of which two quarters, or three, are over."""
    return m.iop("and", m.iop("shl", quarter, m.top - 1), -(1 << m.top))


def _sin(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    sine, cosine, quarter, odd = _turned(m, a)
    y = m.with_sign(m.choose(odd, cosine, sine), _second_half(m, quarter), "xor")
    return m.with_sign(_far_apart(e, kind, "sin", a, y), m.sign(x), "xor")


def _cos(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    sine, cosine, quarter, odd = _turned(m, a)
    y = m.with_sign(m.choose(odd, sine, cosine), _second_half(m, m.iop("add", quarter, 1)), "xor")
    return _far_apart(e, kind, "cos", a, y)


def _tan(e: Lanes, kind: str, x: str) -> str:
    m = Floats(e, kind)
    a = m.abs(x)
    sine, cosine, _, odd = _turned(m, a)
    y = m.div(m.choose(odd, m.neg(cosine), sine), m.choose(odd, sine, cosine))
    return m.with_sign(_far_apart(e, kind, "tan", a, y), m.sign(x), "xor")


# --- others -------------------------------------------------------------------------------------------------------


def _sqrt(e: Lanes, kind: str, x: str) -> str:
    return e.intrinsic("sqrt", kind, x)


def _hypot(e: Lanes, kind: str, x: str, y: str) -> str:
    m = Floats(e, "double")  # squares of floats neither overflow nor underflow there
    if kind == "float":
        x, y = (e.cast("fpext", "float", "double", v) for v in (x, y))
    x, y = m.abs(x), m.abs(y)
    infinite = m.either(m.test("oeq", x, _INF), m.test("oeq", y, _INF))  # even beside NaN
    if kind == "float":
        root = e.intrinsic("sqrt", "double", m.fma(x, x, m.mul(y, y)))
        return e.cast("fptrunc", "double", "float", m.choose(infinite, _INF, root))
    large = m.choose(m.test("ogt", x, y), x, y)
    up, down = m.test("olt", large, 2.0**-450), m.test("ogt", large, 2.0**500)
    factor = m.choose(up, 2.0**600, m.choose(down, 2.0**-600, 1.0))
    back = m.choose(up, 2.0**-600, m.choose(down, 2.0**600, 1.0))
    x, y = m.mul(x, factor), m.mul(y, factor)
    root = e.intrinsic("sqrt", "double", m.fma(x, x, m.mul(y, y)))
    return m.choose(infinite, _INF, m.mul(root, back))


#: By the name of the row of tinygraph's table: writes the function for ``kind`` ``float`` or ``double``, called as
#: ``function(lanes, kind, *operands)``, and returns the register with the result.
FUNCTIONS: dict[str, Callable[..., str]] = {
    "arccos": arccos,
    "arccosh": _arccosh,
    "arcsin": arcsin,
    "arcsinh": _arcsinh,
    "arctan": arctan,
    "arctan2": arctan2,
    "arctanh": _arctanh,
    "cos": _cos,
    "cosh": _cosh,
    "erf": _erf,
    "erfc": _erfc,
    "exp": _exp,
    "exp2": _exp2,
    "expm1": _expm1,
    "hypot": _hypot,
    "log": _log,
    "log10": _log10,
    "log1p": _log1p,
    "log2": _log2,
    "pow": power,
    "sigmoid": _sigmoid,
    "sin": _sin,
    "sinh": _sinh,
    "softplus": _softplus,
    "sqrt": _sqrt,
    "tan": _tan,
    "tanh": _tanh,
}
