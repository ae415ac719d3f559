"""A restricted Boltzmann machine: contrastive divergence with one step of Gibbs sampling, random numbers included.

Every library draws its own, so that what is compared is the mean error of reconstruction.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.training import Array, Step, noise, symbolic, torch_tensors
from benchmarks.workload import Steps, Target

BATCH, VISIBLE, HIDDEN, RATE = 100, 784, 500, 0.1


def start() -> list[Array]:
    """Weights, biases of hidden and visible units, and binary images."""
    biases = [np.zeros(HIDDEN, "float32"), np.zeros(VISIBLE, "float32")]
    return [noise(VISIBLE, HIDDEN) / 10, *biases, (noise(BATCH, VISIBLE) > 0.2).astype("float32")]


def in_symbolic(name: str) -> Callable[[], Step]:
    """The gradient of the difference of free energies, as in Theano's tutorial."""

    def begin() -> Step:
        lib = symbolic(name)
        T = lib.T
        *first, images = start()
        W, b, c = params = [lib.shared(p) for p in first]
        v = lib.input(images)
        draw = sampler(lib)

        def free_energy(v: Any) -> Any:
            return -T.dot(v, c) - T.log(1 + T.exp(T.dot(v, W) + b)).sum(axis=1)

        h = draw(lib.sigmoid(T.dot(v, W) + b))
        mean = lib.sigmoid(T.dot(h, W.T) + c)
        dream = draw(mean)
        cost = T.mean(free_energy(v)) - T.mean(free_energy(dream))
        grads = lib.package.grad(cost, params, consider_constant=[dream])
        updates = [(p, p - RATE * g) for p, g in zip(params, grads, strict=True)]
        train = lib.function([v], T.mean((v - mean) ** 2), updates)
        return lambda: train(images)

    return begin


def sampler(lib: Any) -> Callable[[Any], Any]:
    """Draws ones with the given probabilities, and zeros."""
    if lib.name == "pytensor":
        stream = import_module("pytensor.tensor.random.utils").RandomStream(1)
        return lambda p: stream.bernoulli(p).astype("float32")
    stream = import_module(f"{lib.name}.tensor.shared_randomstreams").RandomStreams(1)
    return lambda p: stream.binomial(size=p.shape, n=1, p=p, dtype="float32")


def in_numpy() -> Step:
    W, b, c, v = start()
    rng = np.random.default_rng(1)
    gradient = np.empty_like(W)

    def sigmoid(x: Array) -> Array:
        x *= 0.5
        np.tanh(x, out=x)
        x += 1
        x *= 0.5
        return x

    def draw(p: Array) -> Array:
        return (rng.random(p.shape, dtype="float32") < p).astype("float32")

    def step() -> float:
        h = sigmoid(v @ W + b)
        mean = sigmoid(draw(h) @ W.T + c)
        dream = draw(mean)
        again = sigmoid(dream @ W + b)
        np.matmul(v.T, h, out=gradient)
        np.subtract(gradient, dream.T @ again, out=gradient)
        np.multiply(gradient, RATE / BATCH, out=gradient)
        np.add(W, gradient, out=W)
        np.add(b, RATE * (h - again).mean(0), out=b)
        np.add(c, RATE * (v - dream).mean(0), out=c)
        return float(((v - mean) ** 2).mean())

    return step


def in_jax() -> Step:
    import jax

    jnp, sigmoid, random = jax.numpy, jax.nn.sigmoid, jax.random

    def advance(W: Any, b: Any, c: Any, key: Any, v: Any) -> Any:
        key, first, second = random.split(key, 3)
        h = sigmoid(v @ W + b)
        mean = sigmoid(random.bernoulli(first, h).astype("float32") @ W.T + c)
        dream = random.bernoulli(second, mean).astype("float32")
        again = sigmoid(dream @ W + b)
        W = W + RATE / BATCH * (v.T @ h - dream.T @ again)
        b, c = b + RATE * (h - again).mean(0), c + RATE * (v - dream).mean(0)
        return jnp.mean((v - mean) ** 2), (W, b, c, key)

    *params, images = map(jnp.asarray, start())
    state = (*params, random.key(1))
    compiled = jax.jit(advance, donate_argnums=(0, 1, 2, 3))

    def step() -> float:
        nonlocal state
        error, state = compiled(*state, images)
        return float(error)

    return step


def in_torch(compiled: bool) -> Callable[[], Step]:
    def begin() -> Step:
        import torch

        torch.manual_seed(1)
        W, b, c, images = torch_tensors(torch, start())

        def advance(W: Any, b: Any, c: Any, v: Any) -> Any:
            h = torch.sigmoid(torch.addmm(b, v, W))
            mean = torch.sigmoid(torch.addmm(c, torch.bernoulli(h), W.T))
            dream = torch.bernoulli(mean)
            again = torch.sigmoid(torch.addmm(b, dream, W))
            W.addmm_(v.T, h, alpha=RATE / BATCH).addmm_(dream.T, again, alpha=-RATE / BATCH)
            b.add_((h - again).mean(0), alpha=RATE)
            c.add_((v - dream).mean(0), alpha=RATE)
            return ((v - mean) ** 2).mean()

        run = torch.compile(advance, fullgraph=True, dynamic=False) if compiled else advance

        def step() -> float:
            with torch.no_grad():
                return run(W, b, c, images).item()

        return step

    return begin


PRODUCT = 2 * BATCH * VISIBLE * HIDDEN

WORKLOAD = Steps(
    f"RBM: CD-1, batch {BATCH}, {VISIBLE}x{HIDDEN}, sampling included",
    {
        "tinygraph": in_symbolic("tinygraph"),
        "numpy": in_numpy,
        "jax": in_jax,
        "torch": in_torch(compiled=False),
        "torch compiled": in_torch(compiled=True),
        "pytensor": in_symbolic("pytensor"),
        "theano": in_symbolic("theano"),
    },
    flops=5 * PRODUCT,
    moved=4 * (BATCH * VISIBLE + 2 * VISIBLE * HIDDEN),
    target=Target(1.5),
    tolerance=0.02,
    random=True,
)
