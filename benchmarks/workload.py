"""Kinds of workloads: what one process measures, and how often.

Little is imported here, so that the time to a first result is that of the implementation alone.
"""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


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
    """

    table = "comparison"
    flops = 0
    moved = 0

    def __init__(self, title: str, variants: Mapping[str, Any]) -> None:
        self.title = title
        self.variants = variants

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
    """A training step: each variant is a function that builds what it needs and returns ``step() -> loss``."""

    checked = 10

    def __init__(self, title: str, variants: Mapping[str, Any], flops: int = 0, moved: int = 0) -> None:
        super().__init__(title, variants)
        self.flops = flops
        self.moved = moved

    def measure(self, variant: str, seconds: float, started: float) -> dict[str, Any]:
        step = self.variants[variant]()
        losses = [float(step())]
        first = time.monotonic() - started
        losses += [float(step()) for _ in range(self.checked - 1)]
        times = {"step": best(step, seconds), "first result": first} if seconds else {}
        return {"losses": losses, "times": times}


class Growth(Workload):
    """Times that should grow in proportion to a size: ``phases(size)`` returns them by name."""

    table = "growth"

    def __init__(self, title: str, sizes: Sequence[int], phases: Callable[[int], dict[str, float]]) -> None:
        super().__init__(title, {str(size): size for size in sizes})
        self.phases = phases

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
