"""Many small layers and many small parameters."""

import numpy as np

from benchmarks.nets import classifier
from benchmarks.rules import Adam
from benchmarks.training import noise
from benchmarks.workload import Target

WORKLOAD = classifier(
    "20 layers of 64 units: batch 32, tanh, Adam",
    sizes=[64] * 21 + [10],
    x=noise(32, 64),
    targets=np.arange(32, dtype="int32") % 10,
    rule=Adam(1e-3),
    target=Target(2),
    tolerance=1e-3,
)
