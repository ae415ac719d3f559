"""Memory traffic: twelve elementwise operations and their gradient in one step of descent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.rules import SGD, Rule
from benchmarks.training import Array, Arrays, Step, variants
from benchmarks.workload import Steps, Target


def workload(title: str, size: int) -> Steps:
    return Steps(
        title,
        variants(
            lambda: ([np.linspace(-1, 1, size, dtype="float32")], []),
            SGD(0.05),
            symbolic=lambda lib, params: chain(lib.T.tanh, lib.T.exp, lib.T.log, params[0]).sum(),
            jax=lambda jax, params: chain(jax.numpy.tanh, jax.numpy.exp, jax.numpy.log, params[0]).sum(),
            torch=lambda torch, params: chain(torch.tanh, torch.exp, torch.log, params[0]).sum(),
            numpy=in_numpy,
        ),
        moved=8 * size,  # the vector is read and written
        target=Target(1.5, limit=0.8),
        tolerance=1e-4,  # sums of so many numbers in float32
    )


def chain(tanh: Any, exp: Any, log: Any, x: Any) -> Any:
    a = tanh(0.5 * x)  # 2 operations
    b = log(1 + exp(a + x))  # 4
    c = b * a
    return 1 / (1 + c * c) + 1.2 * b  # 5


def in_numpy(params: Arrays, rule: Rule) -> Step:
    """In blocks that stay in the cache."""
    (x,) = params
    update = rule.in_numpy
    blocks = [(part, update([part])) for part in np.array_split(x, -(-len(x) // 16384))]

    def step() -> float:
        total = 0.0
        for part, descend in blocks:
            y, slope = with_slope(part)
            total += float(y.sum())
            descend([slope])
        return total

    return step


def with_slope(x: Array) -> Sequence[Array]:
    a = 0.5 * x
    np.tanh(a, out=a)
    slope_a = a * a
    np.subtract(0.5, np.multiply(slope_a, 0.5, out=slope_a), out=slope_a)
    e = np.exp(a + x)
    e1 = 1 + e
    b = np.log(e1)
    slope_b = np.divide(e, e1, out=e)
    slope_b *= 1 + slope_a
    c = b * a
    slope_c = np.multiply(slope_b, a, out=a)
    slope_c += np.multiply(b, slope_a, out=slope_a)
    d = c * c
    d += 1
    np.divide(1, d, out=d)
    slope_c *= c
    slope_c *= d
    slope_c *= d
    slope_c *= -2
    slope_b *= 1.2
    slope_c += slope_b
    b *= 1.2
    d += b
    return d, slope_c


WORKLOAD = workload("12 elementwise operations and gradient: 10⁶ numbers", 10**6)
