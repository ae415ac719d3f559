"""All derivatives of 256 numbers by 256 others."""

from collections.abc import Callable

import numpy as np

from benchmarks.training import Array, Step, noise, symbolic, torch_tensors
from benchmarks.workload import Steps, Target

SIZE = 256


def start() -> list[Array]:
    scale = np.float32(4 / SIZE**0.5)
    return [noise(SIZE), noise(SIZE, SIZE) * scale, noise(SIZE, SIZE, seed=3) * scale]


def in_symbolic(name: str) -> Callable[[], Step]:
    def begin() -> Step:
        lib = symbolic(name)
        at, a, b = start()
        x, A, B = lib.input(at), lib.shared(a), lib.shared(b)
        f = lib.function([x], lib.jacobian(lib.T.tanh(A.dot(lib.T.tanh(B.dot(x)))), x))
        return lambda: f(at)

    return begin


def in_numpy() -> Step:
    x, a, b = start()

    def step() -> Array:
        h = np.tanh(b @ x)
        y = np.tanh(a @ h)
        inner = (1 - h * h)[:, None] * b
        result = a @ inner
        result *= (1 - y * y)[:, None]
        return result

    return step


def in_jax() -> Step:
    import jax

    x, a, b = map(jax.numpy.asarray, start())
    tanh = jax.numpy.tanh
    f = jax.jit(jax.jacrev(lambda x: tanh(a @ tanh(b @ x))))
    return lambda: np.asarray(f(x))


def in_torch(compiled: bool) -> Callable[[], Step]:
    def begin() -> Step:
        import torch

        x, a, b = torch_tensors(torch, start())
        f = torch.func.jacrev(lambda x: torch.tanh(a @ torch.tanh(b @ x)))
        f = torch.compile(f, fullgraph=True) if compiled else f
        return lambda: f(x).numpy()

    return begin


def checksum(jacobian: Array) -> float:
    """One number that every element has a part in."""
    return float((np.asarray(jacobian, "float64") * (1 + noise(SIZE, SIZE))).sum())


WORKLOAD = Steps(
    f"Jacobian: {SIZE} numbers by {SIZE}",
    {
        "tinygraph": in_symbolic("tinygraph"),
        "numpy": in_numpy,
        "jax": in_jax,
        "torch": in_torch(compiled=False),
        "torch compiled": in_torch(compiled=True),
        "pytensor": in_symbolic("pytensor"),
        "theano": in_symbolic("theano"),
    },
    flops=2 * SIZE**3 + 4 * SIZE**2,
    moved=4 * 3 * SIZE**2,
    target=Target(1.0),
    loss=checksum,
    tolerance=1e-4,  # of a sum that all but cancels
)
