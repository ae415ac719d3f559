"""Running workloads: every measurement in a process of its own, losses compared first, then rounds A B A B."""

import json
import math
import os
import pkgutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import workloads
from benchmarks.worker import load

ROOT = Path(__file__).parent.parent
#: Relative difference from which two losses count as different.
TOLERANCE = 1e-5
#: How the libraries are told their number of threads.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TINYGRAPH_THREADS",
)


def names() -> list[str]:
    """Every workload, by the name of its file; a trailing underscore keeps a file's name off Python's keywords."""
    return sorted(module.name.rstrip("_") for module in pkgutil.iter_modules(workloads.__path__))


def run(
    chosen: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    threads: int,
    quick: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """Measure workloads.

    Parameters
    ----------
    chosen
        Names, or paths of files that define a ``WORKLOAD``.
    rounds, quick
        Passed to each workload's ``plan``.
    seconds
        How long one process measures.
    threads
        Given to every process, with as many processors.
    say
        Called with a line on each step of the way.

    Returns
    -------
    dict
        For each workload ``title``, ``table``, ``flops``, ``moved``, ``rounds`` (variant → name → all values),
        ``times`` (the same, medians), and ``failed`` and ``missing`` (variant → reason). What failed has no times.
    """
    loaded = {name: load(name) for name in chosen}
    plans = {name: workload.plan(rounds, quick) for name, workload in loaded.items()}
    results: dict[str, dict[str, Any]] = {
        name: {key: getattr(workload, key) for key in ("title", "table", "flops", "moved")}
        | {"rounds": {}, "times": {}, "failed": {}, "missing": {}}
        for name, workload in loaded.items()
    }

    def measured(name: str, variant: str, for_seconds: float) -> dict[str, Any]:
        outcome = process(name, variant, for_seconds, threads)
        for reason in outcome.keys() & {"failed", "missing"}:
            results[name][reason][variant] = outcome[reason]
            say(f"{name}: {variant} {reason}: {outcome.get('trace', outcome[reason])}")
        return outcome

    for name, (variants, _) in plans.items():
        outcomes = {variant: measured(name, variant, 0) for variant in variants}
        losses = {variant: outcome["losses"] for variant, outcome in outcomes.items() if "losses" in outcome}
        problem = disagreement(losses)
        if problem:
            results[name]["failed"]["losses"] = problem
        elif len(losses) > 1:
            say(f"{name}: {', '.join(losses)} compute the same losses")

    for number in range(max(count for _, count in plans.values())):
        say(f"round {number + 1}")
        for name, (variants, count) in plans.items():
            entry = results[name]
            for variant in variants if number < count else ():
                if entry["failed"] or variant in entry["missing"]:
                    continue
                for key, value in measured(name, variant, seconds).get("times", {}).items():
                    entry["rounds"].setdefault(variant, {}).setdefault(key, []).append(value)

    for entry in results.values():
        if not entry["failed"]:
            medians = {v: {k: statistics.median(s) for k, s in series.items()} for v, series in entry["rounds"].items()}
            entry["times"] = medians
    return results


def process(name: str, variant: str, seconds: float, threads: int) -> dict[str, Any]:
    """What one fresh process measures; ``failed`` and its ``trace`` if it fails."""
    command = [sys.executable, "-m", "benchmarks.worker", name, variant, str(seconds), str(time.monotonic())]
    env = os.environ | dict.fromkeys(THREADS, str(threads))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        trace = done.stderr.strip() or f"exit status {done.returncode}"
        return {"failed": trace.splitlines()[-1], "trace": trace}
    return json.loads(done.stdout.splitlines()[-1])


def disagreement(losses: Mapping[str, Sequence[float]]) -> str:
    """Where the losses of two implementations differ, or are not finite; empty if nowhere."""
    (first, expected), *others = losses.items() or [("", ())]
    for step, loss in enumerate(expected):
        if not math.isfinite(loss):
            return f"at step {step} {first} has the loss {loss}"
        for other, values in others:
            if not abs(values[step] - loss) <= TOLERANCE * abs(loss):
                return f"at step {step} {first} has the loss {loss:.8g}, {other} {values[step]:.8g}"
    return ""
