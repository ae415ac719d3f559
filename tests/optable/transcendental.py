"""Op table: exponentials, logarithms, angles, hyperbolic functions, sigmoid and softplus."""

from __future__ import annotations

import numpy as np
import scipy.special

from tests.optable.case import Arg, Case
from tests.optable.scalar import in_float64, operation

__all__ = ["CASES"]

ANYTHING = ("bool", "int64", "uint8")
INNER = Arg(low=-0.9, high=0.9)
LEG = Arg(low=0.5, high=2.0)
POSITIVE = Arg(low=0.2, high=3.0)

_DOMAINS = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sin", "cos", "sinh", "cosh", "tanh", "arctan", "arcsinh"), Arg()),
    **dict.fromkeys(("deg2rad", "rad2deg"), Arg()),
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), INNER),
    **dict.fromkeys(("log", "log2", "log10"), POSITIVE),
    "tan": Arg(low=-1.2, high=1.2),
    "log1p": Arg(low=-0.8, high=3.0),
    "arccosh": Arg(low=1.2, high=3.0),
}

CASES: list[Case] = [
    *[operation(name, in_float64(getattr(np, name)), domain, integers=ANYTHING) for name, domain in _DOMAINS.items()],
    *[
        operation(
            "arctan2", np.arctan2, Arg(low=a, high=a + 1.5), Arg(low=b, high=b + 1.5), name=f"arctan2: {quadrant}"
        )
        for quadrant, a, b in (
            ("first quadrant", 0.5, 0.5),
            ("second quadrant", 0.5, -2.0),
            ("third quadrant", -2.0, -2.0),
            ("fourth quadrant", -2.0, 0.5),
        )
    ],
    operation("hypot", in_float64(np.hypot), LEG, LEG, integers=ANYTHING),
    *[
        case
        for function, reference in {
            "nnet.sigmoid": in_float64(scipy.special.expit),
            "nnet.softplus": in_float64(lambda x: np.logaddexp(0, x)),
        }.items()
        for case in (
            operation(function, reference, Arg(low=-4.0, high=4.0), integers=ANYTHING),
            operation(function, reference, Arg(low=-30.0, high=-20.0), name=f"{function}: tail"),
        )
    ],
]
