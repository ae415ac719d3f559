"""A ring around a cluster, told apart by few hidden units in double precision: elementwise functions and calls."""

import numpy as np

from benchmarks.nets import classifier
from benchmarks.rules import SGD
from benchmarks.workload import Target

ANGLE, RADIUS = np.arange(1000) * 2.399963, 5.0 + 5.0 * (np.arange(1000) % 2)

WORKLOAD = classifier(
    "Donut: batch 1000, 2-8-1, tanh, SGD, float64",
    sizes=[2, 8, 1],
    x=(RADIUS * np.stack([np.cos(ANGLE), np.sin(ANGLE)])).T.copy(),
    targets=np.arange(1000) % 2.0,
    rule=SGD(0.1),
    target=Target(1.5),
)
