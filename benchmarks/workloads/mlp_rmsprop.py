"""The net of ``mlp`` with rectifiers and an update rule that reads and writes three times as much."""

import numpy as np

from benchmarks.nets import classifier
from benchmarks.rules import RMSprop
from benchmarks.training import noise
from benchmarks.workload import Target

WORKLOAD = classifier(
    "MLP: batch 128, 784-500-10, relu, RMSprop with momentum",
    sizes=[784, 500, 10],
    x=noise(128, 784),
    targets=np.arange(128, dtype="int32") % 10,
    rule=RMSprop(1e-4),
    activation="relu",
    target=Target(1.3),
    tolerance=1e-4,
)
