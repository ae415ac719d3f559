"""Op table: error functions, the gamma function and its logarithmic derivatives."""

from __future__ import annotations

import scipy.special

import tinygraph.tensor as T
from tests.optable.case import Arg, Case
from tests.optable.scalar import EMPTY, in_float64, operation

__all__ = ["CASES"]

POSITIVE = Arg(low=0.5, high=4.0)
#: Between the poles at 0 and -1.
NEGATIVE = Arg(low=-0.8, high=-0.2)

CASES: list[Case] = [
    operation("erf", in_float64(scipy.special.erf), Arg(), integers=("int64",)),
    operation("erfc", in_float64(scipy.special.erfc), Arg(), integers=("int64",)),
    operation("erfinv", scipy.special.erfinv, Arg(low=-0.9, high=0.9)),
    operation("erfcinv", scipy.special.erfcinv, Arg(low=0.1, high=1.9)),
    operation("gamma", in_float64(scipy.special.gamma), POSITIVE, integers=("uint8",)),
    operation("gammaln", in_float64(scipy.special.gammaln), POSITIVE, integers=("uint8",)),
    operation("psi", scipy.special.psi, POSITIVE),
    operation("tri_gamma", lambda x: scipy.special.polygamma(1, x), POSITIVE, special=False),
    *[
        operation(name, reference, NEGATIVE, name=f"{name}: of negatives", special=False)
        for name, reference in {
            "gamma": scipy.special.gamma,
            "gammaln": scipy.special.gammaln,
            "psi": scipy.special.psi,
            "tri_gamma": lambda x: scipy.special.polygamma(1, x),
        }.items()
    ],
    *[
        Case(
            f"polygamma: order {n}",
            "polygamma",
            lambda x, n=n: T.polygamma(n, x),
            lambda x, n=n: scipy.special.polygamma(n, x),
            (POSITIVE,),
            empty=EMPTY[1],
            rtol=(2e-4, 1e-9),
        )
        for n in range(4)
    ],
    operation(
        "polygamma",
        scipy.special.polygamma,
        Arg(dtype="float64", draw=lambda rng, shape: rng.integers(0, 4, shape)),
        POSITIVE,
        name="polygamma: orders in a tensor",
        wrt=(1,),
        special=False,
    ),
]
