"""Rows of a matrix: a softmax, a reduction, and the gradient through both."""

from typing import Any

import numpy as np

from benchmarks.rules import SGD, Rule
from benchmarks.training import Array, Arrays, Step, noise, variants
from benchmarks.workload import Steps, Target
from benchmarks.workloads.logsumexp import COLUMNS, ROWS, softmax


def in_jax(jax: Any, params: Any, weights: Any) -> Any:
    return (jax.nn.softmax(params[0], axis=1) * weights).sum(axis=1).mean()


def in_torch(torch: Any, params: Any, weights: Any) -> Any:
    return (torch.softmax(params[0], 1) * weights).sum() / ROWS  # by rows first, torch.compile 2.13 fails


def in_numpy(params: Arrays, rule: Rule, weights: Array) -> Step:
    """In blocks of rows that stay in the cache."""
    pieces = zip(np.array_split(params[0], ROWS // 32), np.array_split(weights, ROWS // 32), strict=True)
    blocks = [(part, w, rule.in_numpy([part]), np.empty_like(part), np.empty_like(part)) for part, w in pieces]

    def step() -> float:
        total = 0.0
        for part, w, descend, y, buffer in blocks:
            softmax(part, y)
            np.multiply(y, w, out=buffer)
            means = buffer.sum(1, keepdims=True)
            np.subtract(w, means, out=buffer)
            buffer *= y
            buffer /= ROWS
            descend([buffer])
            total += float(means.sum())
        return total / ROWS

    return step


WORKLOAD = Steps(
    "Softmax of rows and gradient: 4096 x 1000",
    variants(
        lambda: ([noise(ROWS, COLUMNS) * 10], [noise(ROWS, COLUMNS, seed=7) + np.float32(1)]),
        SGD(1e5),
        symbolic=lambda lib, params, weights: (lib.softmax(params[0]) * weights).sum(axis=1).mean(),
        jax=in_jax,
        torch=in_torch,
        numpy=in_numpy,
    ),
    moved=12 * ROWS * COLUMNS,  # the matrix is read and written, the weights are read
    target=Target(1.3),
)
