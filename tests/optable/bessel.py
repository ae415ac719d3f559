"""Op table: x log y, Bessel functions, incomplete gamma functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

#: Orders of functions, which carry no gradient.
ORDERS = Arg((3, 1), draw=lambda rng, shape: rng.uniform(0.5, 3.0, shape))
REAL = Arg((3, 4), -4.0, 4.0)
POSITIVE = Arg((3, 4), low=0.3, high=4.0)
EMPTY = {1: (((0,),), ((2, 0),)), 2: (((0,), (1,)), ((2, 1), (0,)))}
#: ((float32), (float64)): SciPy's accuracy in single precision.
LOOSE = (2e-4, 1e-9)


def _in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that is computed in float64, in the dtype of floats."""

    def wide(*inputs: Any) -> Any:
        out = function(*[np.asarray(x, "float64") for x in inputs])
        return out.astype(inputs[-1].dtype) if inputs[-1].dtype.kind == "f" else out

    return wide


def _one(name: str, function: Callable[..., Any], arg: Arg = REAL, **fields: Any) -> Case:
    return Case(
        name, name.partition(":")[0], getattr(T, name.partition(":")[0]), _in_float64(function), (arg,),
        integers=("int64",), empty=EMPTY[1], rtol=LOOSE, **fields,
    )  # fmt: skip


CASES: list[Case] = [
    Case(
        "xlogx.xlogx",
        "xlogx.xlogx",
        T.xlogx.xlogx,
        _in_float64(lambda x: scipy.special.xlogy(x, x)),
        (Arg((3, 4), low=0.1),),
        integers=("uint8",),
        empty=EMPTY[1],
        special=True,
    ),
    Case(
        "xlogx.xlogy0",
        "xlogx.xlogy0",
        T.xlogx.xlogy0,
        _in_float64(scipy.special.xlogy),
        (Arg((3, 4)), Arg((4,), low=0.1)),
        empty=EMPTY[2],
        broadcasts=True,
        special=True,
    ),
    _one("erfcx", scipy.special.erfcx),
    _one("erfcx: large", scipy.special.erfcx, Arg((5,), 20.0, 90.0)),
    _one("j0", scipy.special.j0),
    _one("j1", scipy.special.j1),
    _one("i0", scipy.special.i0),
    _one("i1", scipy.special.i1),
    *(
        Case(
            name,
            name,
            getattr(T, name),
            _in_float64(getattr(scipy.special, name)),
            (ORDERS, POSITIVE),
            wrt=(1,),
            empty=EMPTY[2],
            rtol=LOOSE,
        )
        for name in ("jv", "iv", "gammainc", "gammaincc")
    ),
    Case(
        "gammal",
        "gammal",
        T.gammal,
        _in_float64(lambda k, x: scipy.special.gammainc(k, x) * scipy.special.gamma(k)),
        (ORDERS, POSITIVE),
        wrt=(1,),
        rtol=LOOSE,
    ),
    Case(
        "gammau",
        "gammau",
        T.gammau,
        _in_float64(lambda k, x: scipy.special.gammaincc(k, x) * scipy.special.gamma(k)),
        (ORDERS, POSITIVE),
        wrt=(1,),
        rtol=LOOSE,
    ),
    Case(
        "chi2sf",
        "chi2sf",
        T.chi2sf,
        _in_float64(scipy.stats.chi2.sf),
        (POSITIVE, Arg((3, 1), draw=lambda rng, shape: rng.uniform(0.5, 3.0, shape))),
        wrt=(0,),
        rtol=LOOSE,
    ),
]
