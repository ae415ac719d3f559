"""Op table: what passes a value on and prints it."""

import numpy as np

from tests.optable.case import Case
from tinygraph.printing import Print

CASES = [
    Case(
        "Print",
        "printing.Print",
        Print("value", global_fn=lambda op, value: None),
        np.array,
        integers=("bool", "int64", "uint8"),
        empty=(((0,),), ((2, 0, 3),)),
    ),
]
