"""Fifty batch sizes in turn: what a new shape costs. Compiled once for all of them, or once for each."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.nets import Net
from benchmarks.rules import SGD
from benchmarks.training import Array, Arrays, Step, noise, symbolic, torch_tensors, updated
from benchmarks.workload import Steps, Target

SIZES = range(10, 110, 2)
WIDTHS = (784, 100, 10)
RULE = SGD(0.01)
NET = Net("tanh", binary=False)


def start() -> tuple[Arrays, list[tuple[Array, Array]]]:
    params: Arrays = []
    for n, m in pairwise(WIDTHS):
        params += [noise(n, m) * np.float32(4 / n**0.5), np.zeros(m, "float32")]
    x, t = noise(max(SIZES), WIDTHS[0]), np.arange(max(SIZES), dtype="int32") % WIDTHS[-1]
    return params, [(x[:size], t[:size]) for size in SIZES]


def in_turn(step: Callable[..., float], batches: Sequence[Any]) -> Step:
    """One step on each batch; the loss is the mean."""
    return lambda: sum([float(step(*batch)) for batch in batches]) / len(batches)


def in_symbolic(name: str) -> Callable[[], Step]:
    def begin() -> Step:
        lib = symbolic(name)
        first, batches = start()
        params = [lib.shared(p) for p in first]
        inputs = [lib.input(array) for array in batches[0]]
        cost = NET.symbolic(lib, params, *inputs)
        return in_turn(lib.function(inputs, cost, updated(lib, RULE, params, lib.grad(cost, params))), batches)

    return begin


def in_numpy() -> Step:
    """With standing buffers for each size."""
    params, batches = start()
    steps = [NET.numpy(params, RULE, *batch) for batch in batches]
    return lambda: sum([step() for step in steps]) / len(steps)


def in_jax() -> Step:
    import jax

    def advance(params: Any, x: Any, t: Any) -> Any:
        loss, grads = jax.value_and_grad(partial(NET.jax, jax))(params, x, t)
        return loss, [p - RULE.rate * g for p, g in zip(params, grads, strict=True)]

    first, batches = start()
    params = list(map(jax.numpy.asarray, first))
    compiled = jax.jit(advance, donate_argnums=0)

    def step(x: Any, t: Any) -> float:
        nonlocal params
        loss, params = compiled(params, x, t)
        return float(loss)

    return in_turn(step, [tuple(map(jax.numpy.asarray, batch)) for batch in batches])


def in_torch(compiled: bool) -> Callable[[], Step]:
    """Compiled, the number of rows is dynamic from its second value on."""

    def begin() -> Step:
        import torch

        first, batches = start()
        params = torch_tensors(torch, first)
        if not compiled:
            for p in params:
                p.requires_grad_()
        update = RULE.in_torch(torch, params)

        def eager(x: Any, t: Any) -> float:
            loss = NET.torch(torch, params, x, t)
            update(torch.autograd.grad(loss, params))
            return loss.item()

        @torch.compile(fullgraph=True)
        def advance(params: Any, x: Any, t: Any) -> Any:
            grads, loss = torch.func.grad_and_value(partial(NET.torch, torch))(params, x, t)
            for p, g in zip(params, grads):  # noqa: B905
                p.sub_(RULE.rate * g)
            return loss

        def as_one(x: Any, t: Any) -> float:
            with torch.no_grad():
                return advance(params, x, t).item()

        return in_turn(as_one if compiled else eager, [torch_tensors(torch, list(batch)) for batch in batches])

    return begin


WORKLOAD = Steps(
    f"{len(SIZES)} batch sizes in turn: {'-'.join(map(str, WIDTHS))}, SGD",
    {
        "tinygraph": in_symbolic("tinygraph"),
        "numpy": in_numpy,
        "jax": in_jax,
        "torch": in_torch(compiled=False),
        "torch compiled": in_torch(compiled=True),
        "pytensor": in_symbolic("pytensor"),
        "theano": in_symbolic("theano"),
    },
    flops=sum(2 * size * (2 * WIDTHS[0] * WIDTHS[1] + 3 * WIDTHS[1] * WIDTHS[2]) for size in SIZES),
    moved=8 * len(SIZES) * sum(n * m for n, m in pairwise(WIDTHS)),
    target=Target(5.0, of="first result, cold", without=("numpy",)),  # NumPy compiles nothing
    tolerance=1e-4,
)
