"""Op table: operations that leave values as they are and change what flows back.

What flows back is no derivative of the values, so none is checked here.
"""

import numpy as np

import tinygraph as tg
from tests.optable.case import Case

INTEGERS = ("bool", "int8", "int64", "uint8")
EMPTY = (((0,),), ((2, 0, 3),))


def _unchanged(name, *arguments):
    function = getattr(tg.gradient, name)
    return Case(
        f"gradient.{name}",
        f"gradient.{name}",
        lambda x: function(x, *arguments),
        np.array,
        wrt=(),
        integers=INTEGERS,
        empty=EMPTY,
    )


CASES = [
    _unchanged("consider_constant"),
    _unchanged("disconnected_grad"),
    _unchanged("zero_grad"),
    _unchanged("undefined_grad"),
    _unchanged("grad_clip", -1.0, 1.0),
    _unchanged("grad_scale", -1.0),
]
