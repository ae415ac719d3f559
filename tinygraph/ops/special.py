"""The table of elementwise operations, ended: error functions and the gamma function with its logarithmic derivatives.

As in ``scalar``, ``g`` is the cotangent of the output ``z``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygraph.errors import DtypeError
from tinygraph.ops.convert import is_weak
from tinygraph.ops.elementwise import define
from tinygraph.ops.transcendental import exp

__all__ = ["erf", "erfc", "erfcinv", "erfinv", "gamma", "gammaln", "polygamma", "psi", "tri_gamma"]


def _special(name: str) -> Callable[[Any, Any], Any]:
    """SciPy's special function of one argument; it has no float16 of its own."""
    return lambda xp, x: getattr(xp.special, name)(x).astype(x.dtype, copy=False)


# --- error functions ----------------------------------------------------------------------------------------------

_SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0

erf = define(
    "erf",
    1,
    _special("erf"),
    vjp=lambda g, z, x: g * (_SLOPE * exp(-(x * x))),
    analytic=True,
    doc="The error function, elementwise.",
)
erfc = define(
    "erfc",
    1,
    _special("erfc"),
    vjp=lambda g, z, x: -(g * (_SLOPE * exp(-(x * x)))),
    analytic=True,
    doc="1 - erf(x), elementwise, without cancellation for large x.",
)
erfinv = define(
    "erfinv",
    1,
    _special("erfinv"),
    vjp=lambda g, z, x: g * (1 / _SLOPE * exp(z * z)),
    doc="The inverse of erf, elementwise, for x in (-1, 1).",
)
erfcinv = define(
    "erfcinv",
    1,
    _special("erfcinv"),
    vjp=lambda g, z, x: -(g * (1 / _SLOPE * exp(z * z))),
    doc="The inverse of erfc, elementwise, for x in (0, 2).",
)

# --- the gamma function -------------------------------------------------------------------------------------------

gamma = define(
    "gamma",
    1,
    _special("gamma"),
    vjp=lambda g, z, x: g * (z * psi(x)),
    analytic=True,
    doc="The gamma function, elementwise: (x - 1)! for whole x.",
)
gammaln = define(
    "gammaln",
    1,
    _special("gammaln"),
    vjp=lambda g, z, x: g * psi(x),
    doc="The logarithm of the absolute value of the gamma function, elementwise.",
)
psi: Callable[..., Any] = define(
    "psi",
    1,
    _special("psi"),
    vjp=lambda g, z, x: g * tri_gamma(x),
    analytic=True,
    doc="The derivative of gammaln, elementwise.",
)


def _hurwitz_zeta(xp: Any, s: Any, x: Any) -> Any:
    """The sum of (x + k) ** -s over k = 0, 1, 2 …, for whole s from 2 on and any float64 x."""
    zeta = xp.special.zeta
    negative = x < 0
    if not bool(negative.any()):
        return zeta(s, x)
    # SciPy sums term by term until x + k is positive, for ever where x is large. Instead: the sum over all whole k,
    # which only depends on the distance to the nearest of them, less the sum over the negative k.
    nearest = x - xp.rint(x)
    sign = xp.where(s % 2 == 0, 1.0, -1.0)
    rest = zeta(s, 1 - nearest) - zeta(s, 1 - xp.minimum(x, 0))
    upward = zeta(s, xp.where(negative, 1 + nearest, x))
    return xp.where(negative, nearest**-s + (upward + sign * rest), upward)


def _tri_gamma(xp: Any, x: Any) -> Any:
    return _hurwitz_zeta(xp, xp.asarray(2.0), x.astype("float64")).astype(x.dtype)


def _polygamma(xp: Any, n: Any, x: Any) -> Any:
    order, wide = n.astype("float64"), x.astype("float64")
    factor = -((-1.0) ** order) * xp.special.gamma(order + 1)
    out = xp.where(order == 0, xp.special.psi(wide), factor * _hurwitz_zeta(xp, order + 1, wide))
    return out.astype(x.dtype)


tri_gamma: Callable[..., Any] = define(
    "tri_gamma",
    1,
    _tri_gamma,
    vjp=lambda g, z, x: g * polygamma(2, x),
    doc="The second derivative of gammaln, elementwise.",
)
_polygamma_row = define(
    "polygamma",
    2,
    _polygamma,
    vjp=[None, lambda g, z, n, x: g * polygamma(n + 1, x)],
    doc="The derivative of order n of psi, elementwise.",
)


def polygamma(n: Any, x: Any) -> Any:
    """The derivative of order ``n`` of ``psi``, elementwise.

    Parameters
    ----------
    n
        The order, whole from 0 on: a number, or a tensor that broadcasts with ``x``. It carries no gradient. The result
        is NaN where it is no such number.
    x
        Integers or floats.

    Raises
    ------
    DtypeError
        For an order that is known and no whole number from 0 on.

    >>> import tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> round(float(T.polygamma(1, x).eval({x: 1.0})), 6)  # pi ** 2 / 6
    1.644934
    """
    if is_weak(n) and (n < 0 or n != int(n)):
        raise DtypeError("an order of derivative is a whole number", expected="0, 1, 2 …", actual=repr(n))
    return _polygamma_row(n, x)
