"""Training steps on a GPU beside CuPy by hand, PyTorch and JAX: ``python -m benchmarks gpu``.

Every variant runs in a process of its own. Losses stay on the device while steps are timed: by device events where the
library has them, otherwise by the clock around many steps and one synchronisation. Ratios are a peer's time ÷ ours.
The card's own matrix product rate and copy bandwidth are measured first, with CuPy.

This has not been run on a GPU yet; without one it says so and ends.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nets import Net
from benchmarks.rules import SGD, Adam, RMSprop, Rule
from benchmarks.training import Arrays, noise, symbolic, updated

RESULTS = Path(__file__).parent / "RESULTS.md"
OURS = "tinygraph"
PEERS = ("cupy", "torch", "torch compiled", "jax")
STEPS_FOR_LOSS = 10
SECONDS, REPEATS = 0.3, 7

#: A step: queues work, returns the loss where it is.
Step = Callable[[], Any]


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
    )


def lstm() -> Case:
    from benchmarks.workloads import lstm as cpu

    def in_torch(torch: Any, params: Any, x: Any) -> Any:
        W, U, b = params
        h = c = torch.zeros(cpu.BATCH, cpu.UNITS, device=x.device)
        states = []
        for row in x @ W + b:
            take, keep, new, show = torch.addmm(row, h, U).chunk(4, 1)
            c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(new)
            h = torch.sigmoid(show) * torch.tanh(c)
            states.append(h)
        return (torch.stack(states) ** 2).mean()

    title = f"LSTM: T {cpu.STEPS}, batch {cpu.BATCH}, {cpu.INPUTS}-{cpu.UNITS}, SGD"
    return Case(title, cpu.start, cpu.RULE, cpu.in_symbolic, cpu.in_jax, in_torch, cpu.in_numpy)


def lenet(batch: int) -> Case:
    from benchmarks.workloads import lenet as cpu

    def start() -> tuple[Arrays, Arrays]:
        params, _ = cpu.start()
        return params, [noise(batch, 1, cpu.SIDE, cpu.SIDE), np.arange(batch, dtype="int32") % cpu.CLASSES]

    def in_jax(jax: Any, params: Any, x: Any, t: Any) -> Any:
        jnp, lax = jax.numpy, jax.lax
        for w, b in (params[:2], params[2:4]):
            x = lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"))
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            x = jnp.tanh(x + b[:, None, None])
        hidden = jnp.tanh(x.reshape(batch, -1) @ params[4] + params[5])
        z = hidden @ params[6] + params[7]
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(batch), t])

    products = sum(count * (1 + again) for count, again in cpu.PRODUCTS) * batch / cpu.BATCH
    numpy = cpu.in_numpy if batch == cpu.BATCH else None
    title = f"LeNet: batch {batch}, SGD"
    return Case(title, start, SGD(0.1), cpu.in_symbolic, in_jax, cpu.in_torch, numpy, flops=products)


MLP = [784, 500, 10]
CASES: dict[str, Callable[[], Case]] = {
    "xor": lambda: net("XOR: batch 4, 2-8-2, tanh, SGD", [2, 8, 2], 4, SGD(0.5)),
    "softmax": lambda: net("Softmax regression: batch 128, 784-10, SGD", [784, 10], 128, SGD(0.1)),
    "mlp": lambda: net("MLP: batch 128, 784-500-10, SGD", MLP, 128, SGD(0.1)),
    "mlp_1024": lambda: net("MLP: batch 1024, 784-500-10, SGD", MLP, 1024, SGD(0.1)),
    "mlp_16384": lambda: net("MLP: batch 16384, 784-500-10, SGD", MLP, 16384, SGD(0.1)),
    "mlp_rmsprop": lambda: net("MLP: batch 128, 784-500-10, relu, RMSprop", MLP, 128, RMSprop(1e-4), "relu"),
    "deep": lambda: net("20 layers of 64 units: batch 32, tanh, Adam", [64] * 21 + [10], 32, Adam(1e-3)),
    "wide": lambda: net("MLP: batch 4096, 4096-4096-4096, float32", [4096] * 3, 4096, SGD(0.1)),
    "wide_tf32": lambda: net(
        "MLP: batch 4096, 4096-4096-4096, TF32", [4096] * 3, 4096, SGD(0.1), tf32=True, tolerance=1e-2
    ),
    "elementwise": lambda: elementwise(10**8),
    "softmax_rows": lambda: softmax_rows(65_536, 1000),
    "lstm": lstm,
    "lenet": lambda: lenet(128),
    "lenet_4096": lambda: lenet(4096),
}


# --- variants ---------------------------------------------------------------------------------------------------------


@dataclass
class Running:
    """A variant that is ready: its step, how a loss is fetched, how long ``count`` steps take, and what it runs on."""

    step: Step
    fetch: Callable[[Any], float]
    seconds: Callable[[int], float]
    about: dict[str, Any]


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


def cupy_device() -> dict[str, Any]:
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "device": properties["name"].decode(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "version": cupy.__version__,
    }


def in_tinygraph(case: Case) -> Running:
    import cupy

    import tinygraph

    tinygraph.config.backend = "cupy"
    lib = symbolic("tinygraph")
    params, data = case.start()
    shared = [lib.shared(p) for p in params]
    inputs = [lib.input(array) for array in data]
    loss = case.symbolic(lib, shared, *inputs)
    updates = updated(lib, case.rule, shared, lib.grad(loss, shared))
    train = lib.package.function(inputs, loss, updates=updates)
    held = [cupy.asarray(array) for array in data]

    def step() -> Any:
        return train(*held)

    step()
    executable = train.prepared(*held)[0].executable
    about = cupy_device() | {"runs": type(executable).__name__}
    if hasattr(executable, "stats"):
        about |= {"stats": executable.stats()}
    return Running(step, float, by_cupy_events(step), about)


def in_cupy(case: Case) -> Running:
    import cupy

    assert case.cupy is not None
    params, data = ([cupy.asarray(a) for a in arrays] for arrays in case.start())
    slots = [[cupy.zeros_like(p) for _ in range(case.rule.slots)] for p in params]
    clock = 0

    def step() -> Any:
        nonlocal clock
        clock += 1
        loss, grads = case.cupy(cupy, params, *data)  # type: ignore[misc]
        for p, g, s in zip(params, grads, slots, strict=True):
            for old, new in zip([p, *s], case.rule(cupy.sqrt, p, g, s, clock), strict=True):
                old[...] = new
        return loss

    return Running(step, float, by_cupy_events(step), cupy_device())


def in_torch(case: Case, compiled: bool) -> Running:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
    device = torch.device("cuda")

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

        run = torch.compile(advance, fullgraph=True, dynamic=False, mode="reduce-overhead")

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

    about = {"device": torch.cuda.get_device_name(), "version": torch.__version__, "cuda": torch.version.cuda}
    return Running(step, lambda loss: float(loss.item()), seconds, about)


def in_jax(case: Case) -> Running:
    import jax

    jnp = jax.numpy
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if case.tf32 else "highest")
    assert jax.default_backend() == "gpu", "this JAX has no GPU"
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
    return Running(step, float, by_clock(step, lambda _: wait(state)), about)


def in_numpy(case: Case) -> Running:
    params, data = case.start()
    assert case.numpy is not None
    step = case.numpy(params, case.rule, *data)
    return Running(step, float, by_clock(step, lambda _: None), {"version": np.__version__})


VARIANTS: dict[str, Callable[[Case], Running]] = {
    OURS: in_tinygraph,
    "cupy": in_cupy,
    "torch": partial(in_torch, compiled=False),
    "torch compiled": partial(in_torch, compiled=True),
    "jax": in_jax,
    "numpy": in_numpy,
}


# --- processes --------------------------------------------------------------------------------------------------------


def measure(name: str, variant: str) -> dict[str, Any]:
    """What one process measures: the losses of the first steps, then time."""
    if name == "limits":
        return limits()
    begin = time.perf_counter()
    running = VARIANTS[variant](CASES[name]())
    losses = [running.fetch(running.step()) for _ in range(STEPS_FOR_LOSS)]
    first = time.perf_counter() - begin
    count = 1
    while running.seconds(count) < SECONDS:
        count *= 2
    times = [running.seconds(count) / count for _ in range(REPEATS)]
    return {
        "seconds": min(times),
        "median": statistics.median(times),
        "until ready": first,
        "losses": losses,
        **running.about,
    }


def limits() -> dict[str, Any]:
    """The card's own rates: operations per second of large products, bytes per second of copies (read and written)."""
    import cupy

    found: dict[str, Any] = cupy_device()
    for dtype in ("float32", "float64"):
        a, b, c = (cupy.ones((8192, 8192), dtype) for _ in range(3))
        seconds = by_cupy_events(partial(cupy.matmul, a, b, c))
        seconds(2)
        found[f"flops {dtype}"] = 2 * 8192**3 / min(seconds(5) / 5 for _ in range(5))
    a, b = (cupy.ones(1 << 28, "float32") for _ in range(2))
    seconds = by_cupy_events(partial(cupy.copyto, b, a))
    seconds(2)
    found["bandwidth"] = 2 * a.nbytes / min(seconds(20) / 20 for _ in range(5))
    return found


def asked(python: str, name: str, variant: str) -> dict[str, Any]:
    """What a fresh process says; ``wrong`` where it failed."""
    command = [python, "-m", "benchmarks.gpu", "--worker", name, variant]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        return {"wrong": (ran.stderr.strip().splitlines() or [f"the process ended with {ran.returncode}"])[-1]}
    return dict(json.loads(lines[-1]))


def row(case: Case, found: dict[str, dict[str, Any]], card: dict[str, Any]) -> tuple[str, list[str]]:
    """A line of the table, and what went wrong."""
    ours, notes = found.get(OURS, {}), [f"{v}: {f['wrong']}" for v, f in found.items() if "wrong" in f]
    times = {v: f["seconds"] for v, f in found.items() if "seconds" in f}
    cells = [case.title]
    for variant in (OURS, *PEERS, "numpy"):
        cells.append(f"{times[variant] * 1e6:,.1f}" if variant in times else "–")
    rivals = [t for v, t in times.items() if v in PEERS]
    cells.append(f"{min(rivals) / times[OURS]:.2f}" if rivals and OURS in times else "–")
    least = max(case.flops / card.get("flops float32", np.inf), case.moved / card.get("bandwidth", np.inf))
    cells.append(f"{least / times[OURS]:.0%}" if least and OURS in times and not case.tf32 else "–")
    for variant, other in found.items():
        if "losses" in other and "losses" in ours:
            worst = np.max(np.abs(np.subtract(other["losses"], ours["losses"])) / (np.abs(ours["losses"]) + 1e-6))
            if not worst <= case.tolerance:
                notes.append(f"{variant}: losses differ by {worst:.1e}")
    return "| " + " | ".join(cells) + " |", notes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *CASES], metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--without", default="", help="variants to leave out, with commas between")
    parser.add_argument(
        "--python", action="append", default=[], metavar="VARIANT=PATH", help="whose interpreter has it"
    )
    parser.add_argument("--markdown", action="store_true", help=f"append the table to {RESULTS.name}")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        print(json.dumps(measure(*options.worker)))
        return 0
    pythons = dict(given.split("=", 1) for given in options.python)
    card = asked(pythons.get(OURS, sys.executable), "limits", OURS)
    if "wrong" in card:
        print(f"no GPU that CuPy can use: {card['wrong']}", file=sys.stderr)
        return 2
    without = {name.strip() for name in options.without.split(",")}
    heads = ["µs a step", OURS, *PEERS, "numpy (CPU)", "best peer ÷ ours", "of the card's limit"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    wrong: list[str] = []
    for name in options.names or CASES:
        case = CASES[name]()
        found: dict[str, dict[str, Any]] = {}
        for variant in case.variants:
            if variant not in without:
                found[variant] = asked(pythons.get(variant, sys.executable), name, variant)
                print(
                    f"{name} {variant}: {found[variant].get('seconds', found[variant].get('wrong'))}", file=sys.stderr
                )
        line, notes = row(case, found, card)
        lines.append(line)
        wrong += [f"{name} {note}" for note in notes]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    limit = ", ".join(f"{k} {v:.3g}/s" for k, v in card.items() if k.startswith(("flops", "bandwidth")))
    head = f"{card['device']}, driver {card['driver']}, CUDA {card['cuda']}, commit {commit.strip()}; {limit}"
    text = "\n".join([head, "", *lines, "", *wrong])
    print(text)
    if options.markdown:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n## GPU, {datetime.now(UTC):%Y-%m-%d}\n\n{text}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
