"""Depth of a net: a step should take twice as long for twice as many layers, and so should compiling it."""

import time

import numpy as np

from benchmarks.nets import Net
from benchmarks.rules import SGD
from benchmarks.training import noise, symbolic, updated
from benchmarks.workload import Growth, best

BATCH, UNITS = 32, 64


def phases(layers: int) -> dict[str, float]:
    lib = symbolic("tinygraph")
    params = []
    for _ in range(layers):
        params += [lib.shared(noise(UNITS, UNITS) / 2), lib.shared(np.zeros(UNITS, "float32"))]
    x, t = noise(BATCH, UNITS), np.arange(BATCH, dtype="int32")
    inputs = [lib.input(x), lib.input(t)]
    begin = time.perf_counter()
    cost = Net("tanh", binary=False).symbolic(lib, params, *inputs)
    step = lib.function(inputs, cost, updated(lib, SGD(0.01), params, lib.grad(cost, params)))
    first = float(step(x, t))
    compiled = time.perf_counter() - begin
    if not float(step(x, t)) < first:
        raise AssertionError(f"a net of {layers} layers does not learn")
    return {"graph, function and first step": compiled, "step": best(lambda: step(x, t), 0.2)}


WORKLOAD = Growth(f"Layers of {UNITS} units, batch {BATCH}, SGD", (5, 10, 20, 40, 80, 160), phases)
