"""The table of elementwise operations, a last part: x log y, Bessel functions, incomplete gamma functions.

As in ``scalar``, ``g`` is the cotangent of the output ``z``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygraph.errors import BackendError, NullTypeGradError
from tinygraph.ops.convert import constant
from tinygraph.ops.elementwise import define
from tinygraph.ops.scalar import and_, eq, mul, switch
from tinygraph.ops.special import gamma, gammaln
from tinygraph.ops.transcendental import exp, log

__all__ = [
    "chi2sf",
    "erfcx",
    "gammainc",
    "gammaincc",
    "gammal",
    "gammau",
    "i0",
    "i1",
    "iv",
    "j0",
    "j1",
    "jv",
    "xlogx",
    "xlogy0",
]


def _special(name: str) -> Callable[..., Any]:
    """SciPy's special function; it has no float16 of its own."""

    def compute(xp: Any, *inputs: Any) -> Any:
        function = getattr(xp.special, name, None)
        if function is None:
            raise BackendError(f"the library {xp.name} has no function {name}", hint="use backend='numpy'")
        return function(*inputs).astype(inputs[0].dtype, copy=False)

    return compute


def _undefined(operation: str, name: str) -> Callable[..., Any]:
    """The lane rule of an input towards which the derivative is not known in closed form."""

    def rule(*_: Any) -> Any:
        raise NullTypeGradError(
            f"the gradient of {operation} towards its {name} is not defined",
            hint="stop the gradient there with disconnected_grad",
        )

    return rule


# --- x log y ------------------------------------------------------------------------------------------------------

xlogx = define(
    "xlogx",
    1,
    lambda xp, x: _special("xlogy")(xp, x, x),
    vjp=lambda g, z, x: g * (1 + log(x)),
    analytic=True,
    doc="x * log(x), elementwise, and 0 where x is 0; its derivative there is -inf.",
)
xlogy0 = define(
    "xlogy0",
    2,
    _special("xlogy"),
    vjp=[
        lambda g, z, x, y: g * log(y),
        # 0 / 0, where both are 0, is 0; elsewhere the quotient stays what it is for derivatives of this one.
        lambda g, z, x, y: g * (x / switch(and_(eq(x, 0), eq(y, 0)), constant(1, dtype=y.dtype), y)),
    ],
    analytic=True,
    doc="x * log(y), elementwise, and 0 where x is 0.",
)

# --- the scaled error function ------------------------------------------------------------------------------------

erfcx: Callable[..., Any] = define(
    "erfcx",
    1,
    _special("erfcx"),
    vjp=lambda g, z, x: g * (2 * x * z - 2 / math.sqrt(math.pi)),
    analytic=True,
    doc="exp(x * x) * erfc(x), elementwise, without overflow for large x.",
)

# --- Bessel functions ---------------------------------------------------------------------------------------------

jv: Callable[..., Any] = define(
    "jv",
    2,
    _special("jv"),
    vjp=[_undefined("jv", "order"), lambda g, z, v, x: g * (0.5 * (jv(v - 1, x) - jv(v + 1, x)))],
    doc="The Bessel function of the first kind of real order v, elementwise; jv(v, x) carries a gradient to x only.",
)
j0: Callable[..., Any] = define(
    "j0",
    1,
    _special("j0"),
    vjp=lambda g, z, x: -(g * j1(x)),
    doc="The Bessel function of the first kind of order 0, elementwise.",
)
j1: Callable[..., Any] = define(
    "j1",
    1,
    _special("j1"),
    vjp=lambda g, z, x: g * (0.5 * (j0(x) - jv(2, x))),
    doc="The Bessel function of the first kind of order 1, elementwise.",
)
iv: Callable[..., Any] = define(
    "iv",
    2,
    _special("iv"),
    vjp=[_undefined("iv", "order"), lambda g, z, v, x: g * (0.5 * (iv(v - 1, x) + iv(v + 1, x)))],
    doc="The modified Bessel function of the first kind of real order v, elementwise; iv(v, x) carries a gradient to x "
    "only.",
)
i0: Callable[..., Any] = define(
    "i0",
    1,
    _special("i0"),
    vjp=lambda g, z, x: g * i1(x),
    doc="The modified Bessel function of the first kind of order 0, elementwise.",
)
i1: Callable[..., Any] = define(
    "i1",
    1,
    _special("i1"),
    vjp=lambda g, z, x: g * (0.5 * (i0(x) + iv(2, x))),
    doc="The modified Bessel function of the first kind of order 1, elementwise.",
)

# --- incomplete gamma functions -----------------------------------------------------------------------------------


def _gamma_density(k: Any, x: Any) -> Any:
    """The derivative of ``gammainc`` towards ``x``."""
    return exp((k - 1) * log(x) - x - gammaln(k))


gammainc = define(
    "gammainc",
    2,
    _special("gammainc"),
    vjp=[_undefined("gammainc", "parameter k"), lambda g, z, k, x: g * _gamma_density(k, x)],
    doc="The regularised lower incomplete gamma function, elementwise; gammainc(k, x) carries a gradient to x only.",
)
gammaincc = define(
    "gammaincc",
    2,
    _special("gammaincc"),
    vjp=[_undefined("gammaincc", "parameter k"), lambda g, z, k, x: -(g * _gamma_density(k, x))],
    doc="1 - gammainc(k, x), elementwise, without cancellation; it carries a gradient to x only.",
)


def gammal(k: Any, x: Any) -> Any:
    """The lower incomplete gamma function, ``gammainc(k, x) * gamma(k)``, elementwise."""
    return mul(gammainc(k, x), gamma(k))


def gammau(k: Any, x: Any) -> Any:
    """The upper incomplete gamma function, ``gammaincc(k, x) * gamma(k)``, elementwise."""
    return mul(gammaincc(k, x), gamma(k))


def chi2sf(x: Any, k: Any) -> Any:
    """The probability that a chi-squared number with ``k`` degrees of freedom is above ``x``, elementwise.

    >>> import tinygraph.tensor as T
    >>> float(T.chi2sf(0.0, 3).eval())
    1.0
    """
    return gammaincc(mul(k, 0.5), mul(x, 0.5))
