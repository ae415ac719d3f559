"""Quantiles of the normal distribution in lanes, for the numbers that random words make.

The approximations are rational functions, fitted for this project to the exact quantiles with 60 digits: least squares,
with weights that were moved until the largest relative error, below 4e-18, was least. Rounding included, results are
within 4 units in the last place of the exact ones, about as SciPy's are; ``tests/test_native_random.py`` measures it.
"""

from __future__ import annotations

from tinygraph.backends.native.emit import ELEMENT, Lanes
from tinygraph.backends.native.vecmath import FUNCTIONS
from tinygraph.backends.native.vecmath_base import Floats

__all__ = ["normal_quantile"]

#: The centre reaches so far from 1/2. There the quantile is q * P(v) / Q(v), q = u - 1/2, v = _HALF**2 - q**2.
_HALF = 0.4
_SQUARE = 0.16

#: In the tails it is P(z) / Q(z), z = sqrt(-log(p)) - 1.5, p the smaller one of u and 1 - u, down to 2**-54.
_START = 1.5

_CENTRE_P = (
    float.fromhex("0x1.9a18b449b087fp+1"),
    float.fromhex("0x1.949116cc6d7c0p+6"),
    float.fromhex("0x1.2f6d7a7c61276p+10"),
    float.fromhex("0x1.b11dad48c2986p+12"),
    float.fromhex("0x1.2d4103caa4a8bp+14"),
    float.fromhex("0x1.75e725e3b9128p+14"),
    float.fromhex("0x1.41e820f1db85fp+13"),
    float.fromhex("0x1.57384d951c3fcp+9"),
)
_CENTRE_Q = (
    float.fromhex("0x1.0000000000000p+0"),
    float.fromhex("0x1.1002a25a09342p+5"),
    float.fromhex("0x1.bf94b7ba0b346p+8"),
    float.fromhex("0x1.67e9d0bb784b8p+11"),
    float.fromhex("0x1.261176fe7bce0p+13"),
    float.fromhex("0x1.ccbc3b083247fp+13"),
    float.fromhex("0x1.22bb9144cdf35p+13"),
    float.fromhex("0x1.763603e307846p+10"),
)
_TAIL_P = (
    float.fromhex("0x1.4059f9ed66519p+0"),
    float.fromhex("0x1.1bfab8491a9ebp+2"),
    float.fromhex("0x1.7dad49d4084d4p+2"),
    float.fromhex("0x1.074cfb950cf78p+2"),
    float.fromhex("0x1.a0e8326c2eae8p+0"),
    float.fromhex("0x1.898f28b25a1acp-2"),
    float.fromhex("0x1.b028f49f87597p-5"),
    float.fromhex("0x1.e8d3ea02c0cd7p-9"),
    float.fromhex("0x1.9660934f4eaf9p-14"),
)
_TAIL_Q = (
    float.fromhex("0x1.0000000000000p+0"),
    float.fromhex("0x1.147c7be3c00e9p+1"),
    float.fromhex("0x1.e2ad769f0ed3ep+0"),
    float.fromhex("0x1.bac90040cc8e3p-1"),
    float.fromhex("0x1.cfb07ed80a5f4p-3"),
    float.fromhex("0x1.1402949e209e5p-5"),
    float.fromhex("0x1.4c4411c01aff3p-9"),
    float.fromhex("0x1.1f535bb9b1474p-14"),
    float.fromhex("0x1.d321b94334704p-35"),
)


def normal_quantile(e: Lanes, dtype: str, u: str) -> str:
    """The inverse of the normal distribution function for 2**-54 <= u <= 1 - 2**-54, float64."""
    m = Floats(e, ELEMENT[dtype])
    q = m.sub(u, 0.5)
    inner = m.test("ole", m.abs(q), _HALF)
    other = m.sub(1.0, u)
    p = m.choose(m.test("olt", u, other), u, other)
    root = e.intrinsic("sqrt", m.kind, m.neg(FUNCTIONS["log"](e, m.kind, p)))
    z, v = m.sub(root, _START), m.fma(m.neg(q), q, _SQUARE)
    above = m.choose(inner, m.mul(m.abs(q), m.polynomial(v, _CENTRE_P)), m.polynomial(z, _TAIL_P))
    below = m.choose(inner, m.polynomial(v, _CENTRE_Q), m.polynomial(z, _TAIL_Q))
    return m.with_sign(m.div(above, below), m.sign(q))
