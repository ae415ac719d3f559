"""The smallest net: all of it is the cost of a call."""

import numpy as np

from benchmarks.nets import classifier
from benchmarks.rules import SGD
from benchmarks.workload import Target

WORKLOAD = classifier(
    "XOR: batch 4, 2-8-2, tanh, SGD",
    sizes=[2, 8, 2],
    x=np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32"),
    targets=np.array([0, 1, 1, 0], "int32"),
    rule=SGD(0.1),
    target=Target(2.5),
)
