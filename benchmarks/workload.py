"""Kinds of workloads: what one process measures, and how often.

Little is imported here, so that the time to a first result is that of the implementation alone.
"""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """What a workload must reach.

    Attributes
    ----------
    ratio
        Time of the best peer ÷ ours, at least this.
    of
        The name of the time that counts.
    without
        Packages that are shown but are no peers here, such as NumPy where compiling is measured: it compiles nothing.
    limit
        The share of what the machine can do at most, at least this; 0 if none is asked for.
    """

    ratio: float
    of: str = "step"
    without: tuple[str, ...] = ()
    limit: float = 0.0


class Workload:
    """Something that is measured in several variants, each in processes of its own.

    Attributes
    ----------
    title
        Its name in tables.
    variants
        What each variant needs, by the variant's name; an implementation is called by its package, as in ``torch`` or
        ``torch compiled``.
    table
        How it is shown: ``comparison``, ``growth``, or not at all.
    flops, moved
        What no implementation can avoid: operations in matrix products, and bytes to and from memory, of one step.
    target
        What tinygraph must reach, if anything.
    tolerance
        Relative difference from which two losses count as different.
    unit
        Of what is measured: ``seconds`` or ``bytes``.
    cold
        Every process begins with empty caches, not the first one alone.
    """

    table = "comparison"
    unit = "seconds"
    cold = False
    flops = 0
    moved = 0
    target: Target | None = None
    tolerance = 1e-5

    def __init__(self, title: str, variants: Mapping[str, Any]) -> None:
        self.title = title
        self.variants = variants

    def about(self) -> dict[str, Any]:
        """What reports need to know."""
        known = {key: getattr(self, key) for key in ("title", "table", "unit", "flops", "moved")}
        return known | {"target": asdict(self.target) if self.target else None}

    def plan(self, rounds: int, quick: bool) -> tuple[list[str], int]:
        """The variants to run and the number of rounds."""
        return list(self.variants), rounds

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        """The ``times`` of one variant, by name, measured in this process, and the ``losses`` if there are any.

        Parameters
        ----------
        variant
            One of the variants.
        seconds
            How long to measure for; 0 asks for the losses alone.
        started
            When the process was started, by ``time.monotonic``.
        """
        raise NotImplementedError


class Steps(Workload):
    """A training step: each variant is a function that builds what it needs and returns ``step() -> loss``.

    Parameters
    ----------
    title, variants, flops, moved, target, tolerance
        See ``Workload``.
    loss
        What turns the result of a step into the number that is compared; it is not timed.
    random
        The implementations draw their own random numbers, so that the mean loss is compared, not each.
    """

    checked = 10

    def __init__(
        self,
        title: str,
        variants: Mapping[str, Any],
        flops: int = 0,
        moved: int = 0,
        target: Target | None = None,
        tolerance: float = 1e-5,
        loss: Callable[[Any], float] = float,
        random: bool = False,
    ) -> None:
        super().__init__(title, variants)
        self.flops = flops
        self.moved = moved
        self.target = target
        self.tolerance = tolerance
        self.loss = loss
        self.random = random

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        step = self.variants[variant]()
        result = step()
        first = time.monotonic() - started
        losses = [self.loss(result), *(self.loss(step()) for _ in range(self.checked - 1))]
        if self.random:
            losses = [sum(losses) / len(losses)]
        times = {"step": best(step, seconds)} if seconds else {}
        return {"losses": losses, "times": times | {"first result": first}}


class FirstResult(Workload):
    """The time from the start of a process to its first result, imports included, all caches empty."""

    cold = True

    def __init__(self, steps: Steps, title: str, target: Target | None = None) -> None:
        super().__init__(title, steps.variants)
        self.steps = steps
        self.target = target
        self.tolerance = steps.tolerance

    def plan(self, rounds: int, quick: bool) -> tuple[list[str], int]:
        return list(self.variants), 1 if quick else min(rounds, 3)

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        result = self.variants[variant]()()
        first = time.monotonic() - started
        return {"losses": [self.steps.loss(result)], "times": {"caches cold": first} if seconds else {}}


class Growth(Workload):
    """Times that should grow in proportion to a size: ``phases(size)`` returns them by name."""

    table = "growth"

    def __init__(
        self, title: str, sizes: Sequence[int], phases: Callable[[int], dict[str, float]], unit: str = "seconds"
    ) -> None:
        super().__init__(title, {str(size): size for size in sizes})
        self.phases = phases
        self.unit = unit

    def plan(self, rounds: int, quick: bool) -> tuple[list[str], int]:
        return list(self.variants)[: -1 if quick else None], min(rounds, 3)

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        return {"times": self.phases(self.variants[variant]) if seconds else {}}


class Imports(Workload):
    """The import of a package in a fresh interpreter; each variant is one."""

    def __init__(self, title: str, packages: Sequence[str]) -> None:
        super().__init__(title, {package: package for package in packages})

    def plan(self, rounds: int, quick: bool) -> tuple[list[str], int]:
        return list(self.variants), 3 if quick else max(rounds, 15)

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        if importlib.util.find_spec(variant) is None:
            raise ModuleNotFoundError(f"No module named {variant!r}", name=variant)
        clock = f"import time; t = time.perf_counter(); import {variant}; print(time.perf_counter() - t)"
        done = subprocess.run([sys.executable, "-c", clock], check=True, stdout=subprocess.PIPE, text=True)
        return {"times": {"import": float(done.stdout)}}


def best(call: Callable[[], object], seconds: float) -> float:
    """Seconds per call: the least of many short blocks of calls, after warming up for as long again."""
    calls, begin = 0, time.perf_counter()
    while not calls or time.perf_counter() < begin + seconds:
        call()
        calls += 1
    block = range(max(1, calls // 200))
    least, end = float("inf"), time.perf_counter() + seconds
    while least == float("inf") or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in block:
            call()
        least = min(least, (time.perf_counter() - begin) / len(block))
    return least
