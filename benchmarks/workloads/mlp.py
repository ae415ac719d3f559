"""Matrix products and memory traffic."""

import numpy as np

from benchmarks.nets import classifier, noise

WORKLOAD = classifier(
    "MLP: batch 128, 784-500-10, tanh, SGD",
    sizes=[784, 500, 10],
    x=noise(128, 784),
    targets=np.arange(128) % 10,
    rate=0.1,
)
