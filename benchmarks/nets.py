"""Softmax classifiers with no hidden layer or one of tanh units, trained by SGD in float32: one function per peer.

Each takes the batch, the target classes, the layers ``[(W, b), …]`` and the learning rate, and returns ``step()``.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.workload import Steps

Array = np.ndarray[Any, Any]
Layers = list[tuple[Array, Array]]
Step = Callable[[], float]


def noise(*shape: int) -> Array:
    """Numbers from -0.5 to 0.5 that look random, without the import of a generator."""
    k = np.arange(1, np.prod(shape) + 1)
    return (np.modf(np.sin(k) * 43758.5453)[0] / 2).reshape(shape).astype("float32")


def classifier(title: str, sizes: list[int], x: Array, targets: Array, rate: float) -> Steps:
    """The workload of training a classifier of these layer sizes on one batch."""
    batch, pairs = len(x), list(pairwise(sizes))

    def start(build: Callable[..., Step]) -> Step:
        layers = [(noise(n, m) * np.float32(4 / n**0.5), np.zeros(m, "float32")) for n, m in pairs]
        return build(x.astype("float32"), targets.astype("int32"), layers, rate)

    products = sum(2 * batch * n * m for n, m in pairs)
    return Steps(
        title,
        {peer: partial(start, build) for peer, build in PEERS[len(sizes)].items()},
        flops=3 * products - 2 * batch * sizes[0] * sizes[1],  # the batch itself needs no gradient
        moved=4 * (x.size + 2 * sum(n * m + m for n, m in pairs)),  # weights are read and written
    )


def in_tinygraph(x: Array, targets: Array, layers: Layers, rate: float) -> Step:
    import tinygraph as tg
    import tinygraph.tensor as T

    X, t = T.fmatrix("X"), T.ivector("t")
    params = [(tg.shared(w, "W"), tg.shared(b, "b")) for w, b in layers]
    z = X
    for w, b in params[:-1]:
        z = T.tanh(z.dot(w) + b)
    w, b = params[-1]
    y = T.nnet.softmax(z.dot(w) + b)
    cost = -T.log(y[T.arange(t.shape[0]), t]).mean()
    flat = [p for pair in params for p in pair]
    updates = [(p, p - rate * g) for p, g in zip(flat, tg.grad(cost, flat), strict=True)]
    train = tg.function([X, t], cost, updates=updates)
    return lambda: float(train(x, targets))


def linear_in_numpy(x: Array, targets: Array, layers: Layers, rate: float) -> Step:
    ((w, b),) = layers
    rows = np.arange(len(x))

    def step() -> float:
        z = x @ w
        z += b
        loss, delta = softmax_in_numpy(z, rows, targets)
        delta *= rate
        np.subtract(w, x.T @ delta, out=w)
        np.subtract(b, delta.sum(0), out=b)
        return loss

    return step


def hidden_in_numpy(x: Array, targets: Array, layers: Layers, rate: float) -> Step:
    (w1, b1), (w2, b2) = layers
    rows = np.arange(len(x))

    def step() -> float:
        h = x @ w1
        h += b1
        np.tanh(h, out=h)
        z = h @ w2
        z += b2
        loss, delta = softmax_in_numpy(z, rows, targets)
        delta *= rate
        back = delta @ w2.T
        np.subtract(w2, h.T @ delta, out=w2)
        np.subtract(b2, delta.sum(0), out=b2)
        h *= h
        np.subtract(1, h, out=h)
        back *= h
        np.subtract(w1, x.T @ back, out=w1)
        np.subtract(b1, back.sum(0), out=b1)
        return loss

    return step


def softmax_in_numpy(z: Array, rows: Array, targets: Array) -> tuple[float, Array]:
    """The mean cross-entropy of logits, and its gradient in their place."""
    z -= z.max(1, keepdims=True)
    picked = z[rows, targets].mean()
    np.exp(z, out=z)
    total = z.sum(1, keepdims=True)
    loss = float(np.log(total).mean() - picked)
    z /= total
    z[rows, targets] -= 1
    z /= len(z)
    return loss, z


#: By the number of layer sizes: the implementations that can be compared.
PEERS = {
    2: {"tinygraph": in_tinygraph, "numpy": linear_in_numpy},
    3: {"tinygraph": in_tinygraph, "numpy": hidden_in_numpy},
}
