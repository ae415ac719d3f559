"""Small matrix products between small elementwise work."""

import numpy as np

from benchmarks.nets import classifier, noise

WORKLOAD = classifier(
    "Softmax regression: batch 128, 784-10, SGD",
    sizes=[784, 10],
    x=noise(128, 784),
    targets=np.arange(128) % 10,
    rate=0.1,
)
