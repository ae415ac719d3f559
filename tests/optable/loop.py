"""Op table: loops and choices."""

from tests.optable.case import Arg, Case
from tinygraph.ifelse import ifelse

INTEGERS = ("bool", "int8", "int64", "uint8")


CASES: list[Case] = [
    Case(
        "ifelse: by a value",
        "ifelse.ifelse",
        lambda x, y: ifelse(x[0, 0] > 5, x * 2, y),
        lambda x, y: x * 2 if x[0, 0] > 5 else y,
        (Arg(), Arg()),
    ),
    Case(
        "ifelse: lists",
        "ifelse.ifelse",
        lambda c, x, y: ifelse(c, [x * y, x], [x + y, y]),
        lambda c, x, y: [x * y, x] if c else [x + y, y],
        (Arg((), dtype="bool"), Arg((3,)), Arg((3,))),
        empty=(((), (0,), (0,)),),
    ),
    Case(
        "ifelse: integers",
        "ifelse.ifelse",
        lambda c, x: ifelse(c, x, x[::-1]),
        lambda c, x: x if c else x[::-1],
        (Arg((), dtype="int8"), Arg((3,))),
        integers=INTEGERS,
    ),
]
