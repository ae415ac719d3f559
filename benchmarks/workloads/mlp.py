"""Matrix products and memory traffic."""

import numpy as np

from benchmarks.nets import classifier
from benchmarks.rules import SGD
from benchmarks.training import noise
from benchmarks.workload import Target

WORKLOAD = classifier(
    "MLP: batch 128, 784-500-10, tanh, SGD",
    sizes=[784, 500, 10],
    x=noise(128, 784),
    targets=np.arange(128, dtype="int32") % 10,
    rule=SGD(0.1),
    target=Target(1.05, limit=0.85),
)
