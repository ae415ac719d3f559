"""Op table: casts."""

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

VALUES = Arg()
EMPTY = (((0,),), ((2, 0, 3),))


def _cast(dtype, arg=VALUES, **fields):
    name = f"cast: {arg.dtype} to {dtype}" + (" 0-d" if arg.shape == () else "")
    if dtype[0] in "iub":
        fields["wrt"] = ()
    return Case(name, "cast", lambda x: T.cast(x, dtype), lambda x: x.astype(dtype), (arg,), empty=EMPTY, **fields)


CASES = [
    _cast("float64", integers=("bool", "int8", "int64", "uint8")),
    _cast("float64", Arg(())),
    _cast("float32", integers=("bool", "int8", "int64", "uint8")),
    _cast("float16", wrt=(), rtol=(1e-3, 1e-3)),
    _cast("int32", Arg(low=-9, high=9), integers=("bool", "int8", "int64", "uint8")),
    _cast("int8", Arg(dtype="int64", low=-1000, high=1000)),
    _cast("uint8", Arg(low=0, high=200)),
    _cast("bool", Arg(dtype="int8")),
    _cast("bool", integers=("int8", "int64", "uint8")),
]
