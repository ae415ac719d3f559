"""How a gamma variate moves with its shape parameter, its quantile held fixed."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError
from tinygraph.graph import Op
from tinygraph.ops.layout import sum_to_like
from tinygraph.ops.scalar import add, mul, neg, sub
from tinygraph.ops.special import polygamma, psi
from tinygraph.ops.transcendental import exp
from tinygraph.types import Abstract, TensorType, broadcast_shapes, is_float

__all__ = ["LogGammaSlope"]

Vjp = Sequence[Any]

#: The logarithm of a factor that makes an integrand negligible.
_NEGLIGIBLE = 40.0

_NODES = 40


class LogGammaSlope(Op):
    """For the logarithm y of a gamma variate of shape a: the ``order``-th derivative by a of its distribution function
    P(a, exp(y)), divided by the density of y, with the sign changed.

    With ``order`` 1 this is the derivative of y by a along a fixed quantile: dP/da + dP/dy dy/da = 0.
    """

    order: int

    @property
    def name(self) -> str:
        return "log_gamma_slope"

    def infer(self, a: Abstract, y: Abstract) -> TensorType:
        if a.dtype != y.dtype or not is_float(a.dtype):
            raise DtypeError("both operands need one float dtype", actual=f"{a.dtype} and {y.dtype}")
        return TensorType(y.dtype, broadcast_shapes(a.shape, y.shape))

    def compute(self, xp: Any, a: Any, y: Any) -> Any:
        """Quadrature over one tail of the distribution.

        With t = exp(y + x) the derivative of the density of log t, divided by the density at y, is exp(a x - z (exp(x)
        - 1)) times a polynomial in y + x - psi(a), where z = exp(y). P is its integral over x < 0 and P - 1 minus that
        over x > 0. The tail is taken in which the terms have one sign; where that would be the upper one and z is
        very small, the lower one, which is then all but an exponential function.
        """
        shape, dtype = broadcast_shapes(a.shape, y.shape), y.dtype
        a, y = (xp.broadcast_to(v.astype("float64"), shape).reshape(-1) for v in (a, y))
        z = xp.exp(y)
        moments = [xp.special.psi(a), *(xp.special.polygamma(n, a) for n in range(1, self.order))]
        upper = (y > moments[0]) & (z > 1e-6)
        sign = xp.where(upper, 1.0, -1.0)
        length = _tail(xp, a, z, upper)
        total = xp.zeros(a.shape, dtype="float64")
        for node, weight in _gauss_legendre(_NODES):
            x = sign * length * node
            total += weight * xp.exp(a * x - z * xp.expm1(x)) * _bell(y + x, moments)
        return (sign * length * total).reshape(shape).astype(dtype, copy=False)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        (a, y), (out,), (g,) = inputs, outputs, cotangents
        centred = sub(y, psi(a))

        def by_shape() -> Any:
            return sum_to_like(mul(g, sub(LogGammaSlope(self.order + 1)(a, y), mul(out, centred))), a, out)

        def by_value() -> Any:
            moments = [psi(a), *(polygamma(n, a) for n in range(1, self.order))]
            return sum_to_like(mul(g, neg(add(_bell(y, moments), mul(out, sub(a, exp(y)))))), y, out)

        return [by_shape, by_value]


def _bell(y: Any, moments: Sequence[Any]) -> Any:
    """The derivative of order ``len(moments)`` of exp(a y) / gamma(a) by a, divided by it: Bell's polynomial.

    ``moments`` are psi(a) and its derivatives.
    """
    cumulants = [y - moments[0], *(-m for m in moments[1:])]
    rows: list[Any] = [1.0]
    for n in range(len(moments)):
        rows.append(sum(math.comb(n, k) * rows[n - k] * cumulants[k] for k in range(n + 1)))
    return rows[-1]


def _tail(xp: Any, a: Any, z: Any, upper: Any) -> Any:
    """The x from which on exp(a x - z (exp(x) - 1)), in the tail that is taken, is negligible; not much more."""
    level = _NEGLIGIBLE
    sign = xp.where(upper, 1.0, -1.0)
    normal = xp.sqrt(3 * level / z)
    far = xp.where(upper, xp.maximum(xp.log1p(2.5 * level / z), 1.0), (level + z) / a)
    x = xp.where(upper | (normal <= 1), xp.minimum(normal, far), far)
    for _ in range(4):  # Newton's method: from the right, on a concave function, it never goes too far
        value = a * x * sign - z * xp.expm1(x * sign) + level
        x = x - value / (sign * (a - z * xp.exp(x * sign)))
    return x


@functools.cache
def _gauss_legendre(count: int) -> tuple[tuple[float, float], ...]:
    """Nodes and weights of Gauss and Legendre on (0, 1)."""
    rule = []
    for i in range(count):
        x, slope = math.cos(math.pi * (i + 0.75) / (count + 0.5)), 1.0
        for _ in range(8):
            before, value = 0.0, 1.0
            for n in range(count):
                before, value = value, ((2 * n + 1) * x * value - n * before) / (n + 1)
            slope = count * (x * value - before) / (x * x - 1)
            x -= value / slope
        rule.append(((1 - x) / 2, 1 / ((1 - x * x) * slope * slope)))
    return tuple(rule)
