"""What is trained on a GPU: parameters, data and cost of each workload, in the terms of each library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.nets import Net
from benchmarks.rules import SGD, Adam, RMSprop, Rule
from benchmarks.training import Arrays, noise

OURS = "tinygraph"
PEERS = ("cupy", "torch", "torch compiled", "jax")


@dataclass(frozen=True)
class Case:
    """One workload.

    Attributes
    ----------
    title
        For tables.
    start
        Returns the parameters' first values, and the data.
    rule
        Updates the parameters.
    symbolic, jax, torch
        The cost, as ``benchmarks.training`` wants it.
    numpy
        A step by hand on the CPU, ``numpy(params, rule, *data)``; None where there is none.
    cupy
        Loss and gradients by hand, ``cupy(cp, params, *data)``; None where there is none.
    flops, moved
        Operations in products and bytes to and from memory that no implementation can avoid, per step.
    tolerance
        Relative difference from which two losses count as different.
    tf32
        float32 products may round their operands to TF32.
    ratio
        What the best peer's time ÷ ours is to reach: 2 where launches take longest, else 1.
    limit
        What part of the card's own rate is to be reached.
    """

    title: str
    start: Callable[[], tuple[Arrays, Arrays]]
    rule: Rule
    symbolic: Callable[..., Any]
    jax: Callable[..., Any]
    torch: Callable[..., Any]
    numpy: Callable[..., Any] | None = None
    cupy: Callable[..., Any] | None = None
    flops: float = 0
    moved: float = 0
    tolerance: float = 1e-3
    tf32: bool = False
    ratio: float = 1.0
    limit: float = 0.0

    @property
    def variants(self) -> list[str]:
        """Ours first."""
        return [OURS, *(p for p in PEERS if p != "cupy" or self.cupy), *(["numpy"] if self.numpy else [])]


# --- workloads --------------------------------------------------------------------------------------------------------


def net(title: str, sizes: Sequence[int], batch: int, rule: Rule, activation: str = "tanh", **fields: Any) -> Case:
    """Training a classifier of dense layers on one batch."""
    pairs = list(pairwise(sizes))

    def start() -> tuple[Arrays, Arrays]:
        params: Arrays = []
        for n, m in pairs:
            params += [noise(n, m) * np.float32(4 / n**0.5), np.zeros(m, "float32")]
        return params, [noise(batch, sizes[0]), np.arange(batch, dtype="int32") % sizes[-1]]

    cost = Net(activation, binary=False)
    products = sum(2 * batch * n * m for n, m in pairs)
    weights = sum(n * m + m for n, m in pairs)
    return Case(
        title,
        start,
        rule,
        cost.symbolic,
        cost.jax,
        cost.torch,
        cost.numpy,
        partial(net_in_cupy, activation),
        flops=3 * products - 2 * batch * sizes[0] * sizes[1],
        moved=4 * (batch * sizes[0] + 2 * (1 + rule.slots) * weights),
        **fields,
    )


def net_in_cupy(activation: str, cp: Any, params: Sequence[Any], x: Any, t: Any) -> tuple[Any, list[Any]]:
    layers = [x]
    for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        z = layers[-1] @ w
        z += b
        layers.append(cp.maximum(z, 0) if activation == "relu" else cp.tanh(z))
    z = layers[-1] @ params[-2] + params[-1]
    z -= z.max(axis=1, keepdims=True)
    e = cp.exp(z)
    total = e.sum(axis=1, keepdims=True)
    rows = cp.arange(len(x))
    loss = cp.log(total).mean() - z[rows, t].mean()
    delta = e / total
    delta[rows, t] -= 1
    delta /= len(x)
    grads: list[Any] = []
    for i in range(len(params) - 2, -1, -2):
        below = layers.pop()
        grads[:0] = [below.T @ delta, delta.sum(axis=0)]
        if i:
            delta = delta @ params[i].T
            delta *= (below > 0) if activation == "relu" else 1 - below * below
    return loss, grads


def elementwise(size: int) -> Case:
    from benchmarks.workloads.elementwise import chain, in_numpy

    def by_hand(cp: Any, params: Sequence[Any]) -> tuple[Any, list[Any]]:
        (x,) = params
        a = cp.tanh(0.5 * x)
        e = cp.exp(a + x)
        b = cp.log(1 + e)
        c = b * a
        slope_a = 0.5 * (1 - a * a)
        slope_b = e / (1 + e) * (1 + slope_a)
        slope_c = slope_b * a + b * slope_a
        d = 1 / (1 + c * c)
        return (d + 1.2 * b).sum(), [1.2 * slope_b - 2 * c * d * d * slope_c]

    return Case(
        f"Elementwise operations with gradient: {size:.0e} elements",
        lambda: ([np.linspace(-1, 1, size, dtype="float32")], []),
        SGD(0.05),
        lambda lib, params: chain(lib.T.tanh, lib.T.exp, lib.T.log, params[0]).sum(),
        lambda jax, params: chain(jax.numpy.tanh, jax.numpy.exp, jax.numpy.log, params[0]).sum(),
        lambda torch, params: chain(torch.tanh, torch.exp, torch.log, params[0]).sum(),
        in_numpy,
        by_hand,
        moved=8 * size,
        limit=0.8,
        tolerance=1e-2,  # sums of so many numbers in float32
    )


def softmax_rows(rows: int, columns: int) -> Case:
    def by_hand(cp: Any, params: Sequence[Any], weights: Any) -> tuple[Any, list[Any]]:
        (x,) = params
        e = cp.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        means = (y * weights).sum(axis=1, keepdims=True)
        return means.mean(), [y * (weights - means) / rows]

    return Case(
        f"Softmax of rows and gradient: {rows} x {columns}",
        lambda: ([noise(rows, columns) * 10], [noise(rows, columns, seed=7) + np.float32(1)]),
        SGD(1e5),
        lambda lib, params, weights: (lib.softmax(params[0]) * weights).sum(axis=1).mean(),
        lambda jax, params, weights: (jax.nn.softmax(params[0], axis=1) * weights).sum(axis=1).mean(),
        lambda torch, params, weights: (torch.softmax(params[0], 1) * weights).sum() / rows,
        cupy=by_hand,
        moved=12 * rows * columns,
        limit=0.8,
    )


def lstm() -> Case:
    from benchmarks.workloads import lstm as cpu

    title = f"LSTM: T {cpu.STEPS}, batch {cpu.BATCH}, {cpu.INPUTS}-{cpu.UNITS}, SGD"
    return Case(title, cpu.start, cpu.RULE, cpu.in_symbolic, cpu.in_jax, cpu.in_torch, cpu.in_numpy, ratio=2.0)


def lenet(batch: int) -> Case:
    from benchmarks.workloads import lenet as cpu

    def start() -> tuple[Arrays, Arrays]:
        params, _ = cpu.start()
        return params, [noise(batch, 1, cpu.SIDE, cpu.SIDE), np.arange(batch, dtype="int32") % cpu.CLASSES]

    products = sum(count * (1 + again) for count, again in cpu.PRODUCTS) * batch / cpu.BATCH
    numpy = cpu.in_numpy if batch == cpu.BATCH else None
    title = f"LeNet: batch {batch}, SGD"
    return Case(title, start, SGD(0.1), cpu.in_symbolic, cpu.in_jax, cpu.in_torch, numpy, flops=products)


MLP = [784, 500, 10]


def cases(tiny: bool = False) -> dict[str, Callable[[], Case]]:
    """The workloads by name; ``tiny`` makes those small that a CPU would take long for."""

    def size(full: int, small: int) -> int:
        return small if tiny else full

    def mlp(batch: int, **fields: Any) -> Case:
        return net(f"MLP: batch {batch}, 784-500-10, SGD", MLP, batch, SGD(0.1), **fields)

    def wide(kind: str, **fields: Any) -> Case:
        n = size(4096, 32)
        return net(f"MLP: batch {n}, {n}-{n}-{n}, {kind}", [n] * 3, n, SGD(0.1), limit=0.9, **fields)

    return {
        "xor": lambda: net("XOR: batch 4, 2-8-2, tanh, SGD", [2, 8, 2], 4, SGD(0.5), ratio=2.0),
        "softmax": lambda: net("Softmax regression: batch 128, 784-10, SGD", [784, 10], 128, SGD(0.1), ratio=2.0),
        "mlp": lambda: mlp(128, ratio=2.0),
        "mlp_1024": lambda: mlp(size(1024, 64)),
        "mlp_16384": lambda: mlp(size(16384, 96)),
        "mlp_rmsprop": lambda: net(
            "MLP: batch 128, 784-500-10, relu, RMSprop", MLP, 128, RMSprop(1e-4), "relu", ratio=2.0
        ),
        "deep": lambda: net("20 layers of 64 units: batch 32, tanh, Adam", [64] * 21 + [10], 32, Adam(1e-3), ratio=2.0),
        "wide": lambda: wide("float32"),
        "wide_tf32": lambda: wide("TF32", tf32=True, tolerance=1e-2),
        "elementwise": lambda: elementwise(size(10**8, 10**4)),
        "softmax_rows": lambda: softmax_rows(size(65_536, 64), 1000),
        "lstm": lstm,
        "lenet": lambda: lenet(size(128, 16)),
        "lenet_4096": lambda: lenet(size(4096, 24)),
    }
