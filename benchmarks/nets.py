"""Nets of dense layers, in all libraries."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.rules import Rule
from benchmarks.training import Array, Arrays, Step, noise, variants
from benchmarks.workload import Steps, Target


def classifier(
    title: str,
    sizes: Sequence[int],
    x: Array,
    targets: Array,
    rule: Rule,
    *,
    activation: str = "tanh",
    target: Target | None = None,
    tolerance: float = 1e-5,
) -> Steps:
    """The workload of training a net of these layer sizes on one batch.

    One unit at the end answers yes or no, with a sigmoid; several share a softmax. The cost is the cross-entropy.
    """
    batch, pairs, dtype = len(x), list(pairwise(sizes)), x.dtype

    def start() -> tuple[Arrays, Arrays]:
        params: Arrays = []
        for n, m in pairs:
            params += [(noise(n, m) * (4 / n**0.5)).astype(dtype), np.zeros(m, dtype)]
        return params, [x, targets]

    products = sum(2 * batch * n * m for n, m in pairs)
    weights = sum(n * m + m for n, m in pairs)
    cost = Net(activation, binary=sizes[-1] == 1)
    return Steps(
        title,
        variants(start, rule, symbolic=cost.symbolic, jax=cost.jax, torch=cost.torch, numpy=cost.numpy),
        flops=3 * products - 2 * batch * sizes[0] * sizes[1],  # the batch itself needs no gradient
        moved=x.itemsize * (x.size + 2 * (1 + rule.slots) * weights),  # weights and slots are read and written
        target=target,
        tolerance=tolerance,
    )


class Net:
    """The cost of one net, in the terms of each library."""

    def __init__(self, activation: str, binary: bool) -> None:
        self.activation = activation
        self.binary = binary

    def symbolic(self, lib: Any, params: Sequence[Any], x: Any, t: Any) -> Any:
        T = lib.T
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = lib.relu(x.dot(w) + b) if self.activation == "relu" else T.tanh(x.dot(w) + b)
        z = x.dot(params[-2]) + params[-1]
        if self.binary:
            y = lib.sigmoid(z[:, 0])
            return -T.mean(t * T.log(y) + (1 - t) * T.log(1 - y))
        return -T.mean(T.log(lib.softmax(z)[T.arange(t.shape[0]), t]))

    def jax(self, jax: Any, params: Sequence[Any], x: Any, t: Any) -> Any:
        jnp = jax.numpy
        act = jax.nn.relu if self.activation == "relu" else jnp.tanh
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = act(x @ w + b)
        z = x @ params[-2] + params[-1]
        if self.binary:
            return jnp.mean(jax.nn.softplus(z[:, 0]) - t * z[:, 0])
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(t)), t])

    def torch(self, torch: Any, params: Sequence[Any], x: Any, t: Any) -> Any:
        act = torch.relu if self.activation == "relu" else torch.tanh
        for i in range(0, len(params) - 2, 2):
            x = act(torch.addmm(params[i + 1], x, params[i]))
        z = torch.addmm(params[-1], x, params[-2])
        if self.binary:
            return torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], t)
        return torch.nn.functional.cross_entropy(z, t)

    def numpy(self, params: Arrays, rule: Rule, x: Array, t: Array) -> Step:
        """Into standing buffers, in place where that is possible."""
        layers = list(zip(params[::2], params[1::2], strict=True))
        hidden = [np.empty((len(x), len(b)), x.dtype) for _, b in layers[:-1]]
        backs = [np.empty_like(h) for h in hidden]
        z = np.empty((len(x), len(params[-1])), x.dtype)
        grads = [np.empty_like(p) for p in params]
        rows = np.arange(len(x))
        update = rule.in_numpy(params)
        relu = self.activation == "relu"

        def step() -> float:
            below = x
            for (w, b), h in zip(layers, hidden, strict=False):
                np.matmul(below, w, out=h)
                h += b
                if relu:
                    np.maximum(h, 0, out=h)
                else:
                    np.tanh(h, out=h)
                below = h
            np.matmul(below, params[-2], out=z)
            z.__iadd__(params[-1])
            loss = sigmoid_in_numpy(z, t) if self.binary else softmax_in_numpy(z, rows, t)
            delta = z
            for i in range(len(layers) - 1, -1, -1):
                below = hidden[i - 1] if i else x
                np.matmul(below.T, delta, out=grads[2 * i])
                np.add.reduce(delta, 0, out=grads[2 * i + 1])
                if i:
                    delta = np.matmul(delta, layers[i][0].T, out=backs[i - 1])
                    if relu:
                        delta *= below > 0
                    else:
                        below *= below
                        np.subtract(1, below, out=below)
                        delta *= below
            update(grads)
            return loss

        return step


def softmax_in_numpy(z: Array, rows: Array, targets: Array) -> float:
    """The mean cross-entropy of logits, which become its gradient."""
    z -= z.max(1, keepdims=True)
    picked = z[rows, targets].mean()
    np.exp(z, out=z)
    total = z.sum(1, keepdims=True)
    loss = float(np.log(total).mean() - picked)
    z /= total
    z[rows, targets] -= 1
    z /= len(z)
    return loss


def sigmoid_in_numpy(z: Array, targets: Array) -> float:
    """The same for one unit that says yes or no."""
    column = z[:, 0]
    smaller = np.exp(-np.abs(column))
    loss = float((np.maximum(column, 0) - column * targets + np.log1p(smaller)).mean())
    np.divide(np.where(column >= 0, 1, smaller), 1 + smaller, out=column)
    column -= targets
    column /= len(column)
    return loss
