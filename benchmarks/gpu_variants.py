"""Training steps on a device, ours and those of the peers, and how their time is taken.

On a GPU time is taken by device events where the library has them, otherwise by the clock around many steps and one
synchronisation. A dry run does the same on the CPU, with NumPy in CuPy's place.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu_cases import OURS, Case
from benchmarks.training import Arrays, symbolic, updated

#: A step: queues work, returns the loss where it is.
Step = Callable[[], Any]


@dataclass
class Running:
    """A variant that is ready.

    Attributes
    ----------
    step
        Queues a step and returns its loss, where that is.
    fetch
        Its value.
    seconds
        How long so many steps take.
    about
        What they ran on, once they have.
    """

    step: Step
    fetch: Callable[[Any], float]
    seconds: Callable[[int], float]
    about: Callable[[], dict[str, Any]]


def by_clock(step: Step, wait: Callable[[Any], Any]) -> Callable[[int], float]:
    def seconds(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            last = step()
        wait(last)
        return time.perf_counter() - start

    return seconds


def by_cupy_events(step: Step) -> Callable[[int], float]:
    import cupy

    def seconds(count: int) -> float:
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        for _ in range(count):
            step()
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end)) / 1e3

    return seconds


def array_module(dry: bool, tf32: bool = False) -> Any:
    """CuPy, told what its products may do; NumPy in a dry run."""
    if dry:
        return np
    os.environ["CUPY_TF32"] = str(int(tf32))  # read at the first product of a process
    import cupy

    return cupy


def timed(step: Step, dry: bool) -> Callable[[int], float]:
    """How long steps on CuPy's arrays take."""
    return by_clock(step, lambda _: None) if dry else by_cupy_events(step)


def about_device(dry: bool) -> dict[str, Any]:
    if dry:
        return {"device": "a dry run on the CPU", "driver": "none", "cuda": "none", "version": np.__version__}
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "device": properties["name"].decode(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "version": cupy.__version__,
    }


def in_tinygraph(case: Case, dry: bool) -> Running:
    xp = array_module(dry, case.tf32)
    import tinygraph

    tinygraph.config.backend = "numpy" if dry else "cupy"
    tinygraph.config.allow_tf32 = case.tf32
    lib = symbolic("tinygraph")
    params, data = case.start()
    shared = [lib.shared(p) for p in params]
    inputs = [lib.input(array) for array in data]
    loss = case.symbolic(lib, shared, *inputs)
    train = lib.function(inputs, loss, updated(lib, case.rule, shared, lib.grad(loss, shared)))
    held = [xp.asarray(array) for array in data]

    def step() -> Any:
        return train(*held)

    def about() -> dict[str, Any]:
        executable = train.stats()[-1].executable  # type: ignore[attr-defined]
        runs = {"runs": type(getattr(executable, "executable", executable)).__name__}
        return about_device(dry) | runs | ({"stats": executable.stats()} if hasattr(executable, "stats") else {})

    return Running(step, float, timed(step, dry), about)


def in_cupy(case: Case, dry: bool) -> Running:
    xp = array_module(dry, case.tf32)
    assert case.cupy is not None
    params, data = ([xp.asarray(a) for a in arrays] for arrays in case.start())
    slots = [[xp.zeros_like(p) for _ in range(case.rule.slots)] for p in params]
    clock = 0

    def step() -> Any:
        nonlocal clock
        clock += 1
        loss, grads = case.cupy(xp, params, *data)  # type: ignore[misc]
        for p, g, s in zip(params, grads, slots, strict=True):
            for old, new in zip([p, *s], case.rule(xp.sqrt, p, g, s, clock), strict=True):
                old[...] = new
        return loss

    return Running(step, float, timed(step, dry), partial(about_device, dry))


def in_torch(case: Case, dry: bool, compiled: bool) -> Running:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
    device = torch.device("cpu" if dry else "cuda")

    def there(arrays: Arrays) -> list[Any]:
        return [torch.from_numpy(a.astype("int64") if a.dtype == np.int32 else a.copy()).to(device) for a in arrays]

    params, data = map(there, case.start())
    slots = [[torch.zeros_like(p) for _ in range(case.rule.slots)] for p in params]
    clock = torch.zeros((), device=device)
    if compiled:

        def advance(params: Any, slots: Any, clock: Any, *data: Any) -> Any:
            grads, loss = torch.func.grad_and_value(partial(case.torch, torch))(params, *data)
            clock.add_(1)
            for p, g, s in zip(params, grads, slots):  # noqa: B905
                for old, new in zip([p, *s], case.rule(torch.sqrt, p, g, s, clock)):  # noqa: B905
                    old.copy_(new)
            return loss

        graphs = None if dry else "reduce-overhead"  # with CUDA graphs
        run = torch.compile(advance, fullgraph=True, dynamic=False, mode=graphs)

        def step() -> Any:
            with torch.no_grad():
                return run(params, slots, clock, *data)
    else:
        for p in params:
            p.requires_grad_()
        update = case.rule.in_torch(torch, params)

        def step() -> Any:
            loss = case.torch(torch, params, *data)
            update(torch.autograd.grad(loss, params))
            return loss.detach()

    def seconds(count: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(count):
            step()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    about = {"version": torch.__version__, "cuda": torch.version.cuda}
    if dry:
        seconds = by_clock(step, lambda _: None)
    else:
        about["device"] = torch.cuda.get_device_name()
    return Running(step, lambda loss: float(loss.item()), seconds, lambda: about)


def in_jax(case: Case, dry: bool) -> Running:
    import jax

    jnp = jax.numpy
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if case.tf32 else "highest")
    assert dry or jax.default_backend() == "gpu", "this JAX has no GPU"
    params, data = ([jnp.asarray(a) for a in arrays] for arrays in case.start())
    state: Any = params, [[jnp.zeros_like(p) for _ in range(case.rule.slots)] for p in params], jnp.zeros(())

    def advance(state: Any, *data: Any) -> Any:
        params, slots, clock = state
        loss, grads = jax.value_and_grad(partial(case.jax, jax))(params, *data)
        clock = clock + 1
        new = [case.rule(jnp.sqrt, p, g, s, clock) for p, g, s in zip(params, grads, slots, strict=True)]
        return loss, ([p for p, *_ in new], [s for _, *s in new], clock)

    run = jax.jit(advance, donate_argnums=0)

    def step() -> Any:
        nonlocal state
        loss, state = run(state, *data)
        return loss

    wait = jax.block_until_ready
    about = {"device": jax.devices()[0].device_kind, "version": jax.__version__}
    return Running(step, float, by_clock(step, lambda _: wait(state)), lambda: about)


def in_numpy(case: Case, dry: bool) -> Running:
    params, data = case.start()
    assert case.numpy is not None
    step = case.numpy(params, case.rule, *data)
    return Running(step, float, by_clock(step, lambda _: None), lambda: {"version": np.__version__})


VARIANTS: dict[str, Callable[[Case, bool], Running]] = {
    OURS: in_tinygraph,
    "cupy": in_cupy,
    "torch": partial(in_torch, compiled=False),
    "torch compiled": partial(in_torch, compiled=True),
    "jax": in_jax,
    "numpy": in_numpy,
}


def limits(dry: bool, tf32: bool = False) -> dict[str, Any]:
    """The card's own rates: operations per second of large products, bytes per second of copies (read and written)."""
    xp, found, n = array_module(dry, tf32), about_device(dry), 256 if dry else 8192

    def rate(dtype: str) -> float:
        a, b, c = (xp.ones((n, n), dtype) for _ in range(3))
        seconds = timed(lambda: xp.matmul(a, b, out=c), dry)
        seconds(2)
        return float(2 * n**3 / min(seconds(5) / 5 for _ in range(5)))

    if tf32:
        return {"flops TF32": rate("float32")}
    found |= {f"flops {dtype}": rate(dtype) for dtype in ("float32", "float64")}
    a, b = (xp.ones(1 << (16 if dry else 28), "float32") for _ in range(2))
    seconds = timed(partial(xp.copyto, b, a), dry)
    seconds(2)
    return found | {"bandwidth": 2 * a.nbytes / min(seconds(20) / 20 for _ in range(5))}
