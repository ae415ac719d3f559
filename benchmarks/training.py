"""Training steps: from a cost, written once for each library, to what is timed.

tinygraph, Theano and PyTensor share one program: they differ in few names, which ``Symbolic`` evens out.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.rules import Rule

Array = np.ndarray[Any, Any]
Arrays = list[Array]
Step = Callable[[], Any]

LETTERS = {"float32": "f", "float64": "d", "int32": "i"}
KINDS = ("scalar", "vector", "matrix", "tensor3", "tensor4")


def noise(*shape: int, seed: int = 1) -> Array:
    """Numbers from -0.5 to 0.5 that look random, without the import of a generator."""
    k = np.arange(seed, seed + np.prod(shape))
    return (np.modf(np.sin(k) * 43758.5453)[0] / 2).reshape(shape).astype("float32")


def variants(
    start: Callable[[], tuple[Arrays, Arrays]],
    rule: Rule,
    *,
    symbolic: Callable[..., Any] | None = None,
    jax: Callable[..., Any] | None = None,
    torch: Callable[..., Any] | None = None,
    numpy: Callable[..., Step] | None = None,
) -> dict[str, Callable[[], Step]]:
    """A training step in every library.

    Parameters
    ----------
    start
        Returns the parameters' first values, and the data.
    rule
        Updates the parameters.
    symbolic
        ``symbolic(lib, params, *inputs)`` is the cost as an expression, given a ``Symbolic``.
    jax, torch
        The same on arrays, given the package: ``jax(jax, params, *data)``.
    numpy
        ``numpy(params, rule, *data)`` returns the step, written by hand.
    """

    def builder(build: Callable[..., Step], *what: Any) -> Callable[[], Step]:
        def begin() -> Step:
            params, data = start()
            return build(*what, rule, params, data)

        return begin

    found: dict[str, Callable[[], Step]] = {}
    if symbolic:
        found["tinygraph"] = builder(train_symbolic, "tinygraph", symbolic)
    if numpy:
        found["numpy"] = builder(lambda rule, params, data: numpy(params, rule, *data))
    if jax:
        found["jax"] = builder(train_jax, jax)
    if torch:
        found["torch"] = builder(train_torch, torch)
        found["torch compiled"] = builder(train_torch_compiled, torch)
    if symbolic:
        found["pytensor"] = builder(train_symbolic, "pytensor", symbolic)
        found["theano"] = builder(train_symbolic, "theano", symbolic)
    return found


class Symbolic(SimpleNamespace):
    """The names that tinygraph, Theano and PyTensor have in common.

    Attributes
    ----------
    name
        The package.
    T
        Its ``tensor`` module.
    shared, grad, scan, jacobian, RandomStreams
        As in Theano.
    softmax, sigmoid, relu
        Activations; ``softmax`` of the last axis of a matrix.
    """

    def function(self, inputs: Sequence[Any], outputs: Any, updates: Sequence[Any] = ()) -> Callable[..., Any]:
        """A compiled function that trusts its arguments."""
        function = self.package.function(inputs, outputs, updates=list(updates))
        function.trust_input = True
        return function

    def input(self, like: Array) -> Any:
        """A variable for arrays of this dtype and number of dimensions, which is all it knows of them."""
        return getattr(self.T, LETTERS[str(like.dtype)] + KINDS[like.ndim])()


def symbolic(name: str) -> Symbolic:
    """One of the three libraries."""
    if name == "theano":
        theano_blas()
    package = import_module(name)
    T = import_module(f"{name}.tensor")
    common = {"name": name, "package": package, "T": T, "shared": package.shared, "scan": package.scan}
    common["grad"] = package.grad
    if name == "pytensor":
        return Symbolic(
            **common,
            softmax=partial(T.special.softmax, axis=-1),
            sigmoid=T.sigmoid,
            relu=lambda x: T.maximum(x, 0),
            jacobian=partial(package.gradient.jacobian, vectorize=True),
        )
    nnet = T.nnet
    return Symbolic(
        **common, softmax=nnet.softmax, sigmoid=nnet.sigmoid, relu=nnet.relu, jacobian=package.gradient.jacobian
    )


def theano_blas() -> None:
    """Theano links against a BLAS; SciPy's own is at hand and, once SciPy has loaded it, in the process."""
    import scipy.linalg  # noqa: F401

    folder = Path(import_module("scipy").__file__).parent.parent / "scipy.libs"
    for library in folder.glob("libopenblas*"):
        flags = f"blas.ldflags=-L{folder} -l:{library.name}"
        os.environ["THEANO_FLAGS"] = f"{os.environ.get('THEANO_FLAGS', '')},{flags}".lstrip(",")


def train_symbolic(name: str, cost: Callable[..., Any], rule: Rule, params: Arrays, data: Arrays) -> Step:
    lib = symbolic(name)
    inputs = [lib.input(array) for array in data]
    shared = [lib.shared(p) for p in params]
    loss = cost(lib, shared, *inputs)
    updates = updated(lib, rule, shared, lib.grad(loss, shared))
    train = lib.function(inputs, loss, updates)
    return lambda: train(*data)


def updated(lib: Symbolic, rule: Rule, shared: Sequence[Any], grads: Sequence[Any]) -> list[tuple[Any, Any]]:
    """The pairs of shared variables and new values."""
    updates: list[tuple[Any, Any]] = []
    time = None
    if rule.slots:
        clock = lib.shared(np.zeros((), "float32"))
        time = clock + np.float32(1)
        updates = [(clock, time)]
    for p, g in zip(shared, grads, strict=True):
        slots = [lib.shared(np.zeros_like(p.get_value())) for _ in range(rule.slots)]
        updates += zip([p, *slots], rule(lib.T.sqrt, p, g, slots, time), strict=True)
    return updates


def train_jax(cost: Callable[..., Any], rule: Rule, params: Arrays, data: Arrays) -> Step:
    import jax

    if any(p.dtype == np.float64 for p in params):
        jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    arrays = [jnp.asarray(array) for array in data]
    slots = [[jnp.zeros_like(p) for _ in range(rule.slots)] for p in params]
    state = [jnp.asarray(p) for p in params], slots, jnp.zeros((), "float32")

    def advance(state: Any, *data: Any) -> Any:
        params, slots, time = state
        loss, grads = jax.value_and_grad(partial(cost, jax))(params, *data)
        time = time + 1
        new = [rule(jnp.sqrt, p, g, s, time) for p, g, s in zip(params, grads, slots, strict=True)]
        return loss, ([p for p, *_ in new], [s for _, *s in new], time)

    compiled = jax.jit(advance, donate_argnums=0)

    def step() -> float:
        nonlocal state
        loss, state = compiled(state, *arrays)
        return float(loss)

    return step


def torch_tensors(torch: Any, arrays: Arrays) -> list[Any]:
    """PyTorch wants indices as long integers."""
    return [torch.from_numpy(a.astype("int64") if a.dtype == np.int32 else np.ascontiguousarray(a)) for a in arrays]


def train_torch(cost: Callable[..., Any], rule: Rule, params: Arrays, data: Arrays) -> Step:
    import torch

    tensors, inputs = torch_tensors(torch, params), torch_tensors(torch, data)
    for p in tensors:
        p.requires_grad_()
    update = rule.in_torch(torch, tensors)

    def step() -> float:
        loss = cost(torch, tensors, *inputs)
        update(torch.autograd.grad(loss, tensors))
        return loss.item()

    return step


def train_torch_compiled(cost: Callable[..., Any], rule: Rule, params: Arrays, data: Arrays) -> Step:
    """Cost, gradients and updates in one compiled graph."""
    import torch

    tensors, inputs = torch_tensors(torch, params), torch_tensors(torch, data)
    slots = [[torch.zeros_like(p) for _ in range(rule.slots)] for p in tensors]
    time = torch.zeros(())

    @torch.compile(fullgraph=True, dynamic=False)
    def advance(params: Any, slots: Any, time: Any, *data: Any) -> Any:
        grads, loss = torch.func.grad_and_value(partial(cost, torch))(params, *data)
        time.add_(1)
        for p, g, s in zip(params, grads, slots):  # noqa: B905
            for old, new in zip([p, *s], rule(torch.sqrt, p, g, s, time)):  # noqa: B905
                old.copy_(new)
        return loss

    def step() -> float:
        with torch.no_grad():
            return advance(tensors, slots, time, *inputs).item()

    return step


def flat(layers: Sequence[Sequence[Array]]) -> Arrays:
    return list(chain.from_iterable(layers))
