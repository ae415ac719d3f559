"""Memory of a training step: what its plan says beside what the process takes."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.nets import Net
from benchmarks.rules import SGD
from benchmarks.training import noise, symbolic, updated
from benchmarks.workload import Growth

WIDTHS = (256, 512, 512, 10)


def phases(batch: int) -> dict[str, float]:
    """The function is compiled by a call on a small batch, so that what follows is memory for numbers alone."""
    lib = symbolic("tinygraph")
    params = []
    for n, m in pairwise(WIDTHS):
        params += [lib.shared(noise(n, m) / 8), lib.shared(np.zeros(m, "float32"))]
    x, t = noise(batch, WIDTHS[0]), np.arange(batch, dtype="int32") % WIDTHS[-1]
    inputs = [lib.input(x), lib.input(t)]
    cost = Net("tanh", binary=False).symbolic(lib, params, *inputs)
    step = lib.function(inputs, cost, updated(lib, SGD(0.01), params, lib.grad(cost, params)))
    step(x[:2], t[:2])
    _kept = x @ params[0].get_value()  # a first large product makes the BLAS take its own memory
    Path("/proc/self/clear_refs").write_text("5")  # the mark of the most that was resident begins anew
    before = resident("VmRSS")
    step(x, t)
    return {"planned": step.memory(x, t).peak, "measured": resident("VmHWM") - before}


def resident(what: str) -> int:
    """Bytes, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


WORKLOAD = Growth(
    f"Peak memory of a training step beside arguments and parameters, {'-'.join(map(str, WIDTHS))}, by batch size",
    (1_000, 4_000, 16_000),
    phases,
    unit="bytes",
)
