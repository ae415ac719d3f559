"""Rows of a matrix: a reduction, and a gradient that is a softmax."""

from typing import Any

import numpy as np

from benchmarks.rules import SGD, Rule
from benchmarks.training import Array, Arrays, Step, noise, variants
from benchmarks.workload import Steps, Target

ROWS, COLUMNS = 4096, 1000


def in_jax(jax: Any, params: Any) -> Any:
    return jax.nn.logsumexp(params[0], axis=1).mean()


def in_numpy(params: Arrays, rule: Rule) -> Step:
    """In blocks of rows that stay in the cache."""
    (x,) = params
    blocks = [(part, rule.in_numpy([part]), np.empty_like(part)) for part in np.array_split(x, ROWS // 32)]

    def step() -> float:
        total = 0.0
        for part, descend, e in blocks:
            total += softmax(part, e)
            e /= ROWS
            descend([e])
        return total / ROWS

    return step


def softmax(x: Array, out: Array) -> float:
    """The softmax of rows into ``out``; returns the sum of their logsumexp."""
    most = x.max(1, keepdims=True)
    np.subtract(x, most, out=out)
    np.exp(out, out=out)
    total = out.sum(1, keepdims=True)
    out /= total
    return float((np.log(total) + most).sum())


WORKLOAD = Steps(
    "logsumexp of rows and gradient: 4096 x 1000",
    variants(
        lambda: ([noise(ROWS, COLUMNS) * 10], []),
        SGD(1e4),
        symbolic=lambda lib, params: lib.T.log(lib.T.exp(params[0]).sum(axis=1)).mean(),
        jax=in_jax,
        torch=lambda torch, params: torch.logsumexp(params[0], 1).mean(),
        numpy=in_numpy,
    ),
    moved=8 * ROWS * COLUMNS,  # the matrix is read and written
    target=Target(1.3),
)
