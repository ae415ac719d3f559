"""Depth: 1 - y and 1 / y in turn come back to where they began every six nodes, so no value or slope ever vanishes."""

import time
from itertools import pairwise

import numpy as np

from benchmarks.workload import Growth, best


def phases(nodes: int) -> dict[str, float]:
    import tinygraph as tg
    import tinygraph.tensor as T

    x = T.dvector("x")
    clock = [time.perf_counter()]
    y = x
    for i in range(nodes):
        y = 1 / y if i % 2 else 1 - y
    clock.append(time.perf_counter())
    slope = tg.grad(y.sum(), x)
    clock.append(time.perf_counter())
    f = tg.function([x], [y, slope])
    value = np.linspace(0.2, 0.8, 4)
    results = f(value)
    clock.append(time.perf_counter())
    np.testing.assert_allclose(results, by_hand(value, nodes % 6), rtol=1e-6)
    names = ("build", "gradient", "function and first call")
    times = {name: b - a for name, (a, b) in zip(names, pairwise(clock), strict=True)}
    return times | {"run": best(lambda: f(value), 0.1)}


def by_hand(y: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Value and slope."""
    slope = np.ones_like(y)
    for i in range(nodes):
        y, slope = (1 / y, -slope / y**2) if i % 2 else (1 - y, -slope)
    return y, slope


WORKLOAD = Growth("A chain of elementwise nodes", (1_000, 10_000, 100_000), phases)
