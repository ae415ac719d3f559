"""Running workloads: every measurement in a process of its own, losses compared first, then rounds A B A B."""

import json
import math
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import workloads
from benchmarks.worker import load

ROOT = Path(__file__).parent.parent
#: Relative difference from which two losses count as different, unless a workload says otherwise.
TOLERANCE = 1e-5
#: How the libraries are told their number of threads; ``NPROC`` is XLA's.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TINYGRAPH_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
    "NPROC",
)
#: How the libraries are told where to keep what they have compiled.
CACHES = {
    "TINYGRAPH_CACHE_DIR": "{}/tinygraph",
    "TORCHINDUCTOR_CACHE_DIR": "{}/inductor",
    "TRITON_CACHE_DIR": "{}/triton",
    "NUMBA_CACHE_DIR": "{}/numba",
    "PYTENSOR_FLAGS": "floatX=float32,base_compiledir={}/pytensor",
    "THEANO_FLAGS": "floatX=float32,base_compiledir={}/theano",
}
#: The time to the first result of the process that began with empty caches; later ones find them filled.
COLD, WARM = "first result, cold", "first result"


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
    wanted: Callable[[str], bool] = lambda variant: True,
    pythons: Mapping[str, str] | None = None,
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
    wanted
        Which variants of the comparisons to run.
    pythons
        The interpreter of each package, and at ``""`` that of all others; this one where nothing is said.

    Returns
    -------
    dict
        For each workload what it is ``about``, ``rounds`` (variant → name → all values), ``times`` (the same,
        medians), ``versions`` (package → version), and ``failed`` and ``missing`` (variant → reason). A variant that
        failed has no times, and there are none at all if losses differ or tinygraph failed.
    """
    loaded = {name: load(name) for name in chosen}
    plans = {name: workload.plan(rounds, quick) for name, workload in loaded.items()}
    empty: tuple[str, ...] = ("rounds", "times", "versions", "failed", "missing")
    results: dict[str, dict[str, Any]] = {n: w.about() | {key: {} for key in empty} for n, w in loaded.items()}

    with tempfile.TemporaryDirectory(prefix="benchmarks") as caches:

        def measured(name: str, variant: str, for_seconds: float) -> dict[str, Any]:
            folder = Path(caches, Path(name).stem, variant.replace(" ", "-"))
            if loaded[name].cold:
                with tempfile.TemporaryDirectory(prefix="cold", dir=caches) as fresh:
                    outcome = process(name, variant, for_seconds, threads, fresh, pythons or {})
            else:
                folder.mkdir(parents=True, exist_ok=True)
                outcome = process(name, variant, for_seconds, threads, str(folder), pythons or {})
            results[name]["versions"] |= outcome.get("versions", {})
            for reason in outcome.keys() & {"failed", "missing"}:
                results[name][reason][variant] = outcome[reason]
                say(f"{name}: {variant} {reason}: {outcome.get('trace', outcome[reason])}")
            return outcome

        for name, (variants, _) in plans.items():
            if results[name]["table"] == "comparison":
                variants[:] = [variant for variant in variants if wanted(variant)]
            outcomes = {variant: measured(name, variant, 0) for variant in variants}
            losses = {variant: outcome["losses"] for variant, outcome in outcomes.items() if "losses" in outcome}
            problem = disagreement(losses, loaded[name].tolerance)
            if problem:
                results[name]["failed"]["losses"] = problem
                say(f"{name}: {problem}")
            elif len(losses) > 1:
                say(f"{name}: {', '.join(losses)} compute the same losses")
            for variant, outcome in outcomes.items():
                if WARM in outcome.get("times", {}):
                    results[name]["rounds"][variant] = {"step": [], COLD: [outcome["times"][WARM]]}

        for number in range(max(count for _, count in plans.values())):
            say(f"round {number + 1}")
            for name, (variants, count) in plans.items():
                entry = results[name]
                for variant in variants if number < count else ():
                    if spoilt(entry) or variant in entry["missing"] or variant in entry["failed"]:
                        continue
                    for key, value in measured(name, variant, seconds).get("times", {}).items():
                        entry["rounds"].setdefault(variant, {}).setdefault(key, []).append(value)

    for entry in results.values():
        if spoilt(entry):
            entry["rounds"] = {}
        complete = {v: s for v, s in entry["rounds"].items() if v not in entry["failed"] and all(s.values())}
        entry["times"] = {v: {k: statistics.median(s) for k, s in series.items()} for v, series in complete.items()}
    return results


def spoilt(entry: Mapping[str, Any]) -> bool:
    """Whether nothing that is measured could be believed or compared."""
    return "losses" in entry["failed"] or "tinygraph" in entry["failed"]


def process(
    name: str, variant: str, seconds: float, threads: int, caches: str, pythons: Mapping[str, str]
) -> dict[str, Any]:
    """What one fresh process measures; ``failed`` and its ``trace`` if it fails."""
    python = pythons.get(variant.partition(" ")[0]) or pythons.get("") or sys.executable
    env = os.environ | dict.fromkeys(THREADS, str(threads)) | {key: path.format(caches) for key, path in CACHES.items()}
    command = [python, "-m", "benchmarks.worker", name, variant, str(seconds), str(time.monotonic())]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        trace = done.stderr.strip() or f"exit status {done.returncode}"
        return {"failed": trace.splitlines()[-1], "trace": trace}
    return json.loads(done.stdout.splitlines()[-1])


def disagreement(losses: Mapping[str, Sequence[float]], tolerance: float = TOLERANCE) -> str:
    """Where the losses of two implementations differ, or are not finite; empty if nowhere."""
    (first, expected), *others = losses.items() or [("", ())]
    for step, loss in enumerate(expected):
        if not math.isfinite(loss):
            return f"at step {step} {first} has the loss {loss}"
        for other, values in others:
            if not abs(values[step] - loss) <= tolerance * abs(loss):
                return f"at step {step} {first} has the loss {loss:.8g}, {other} {values[step]:.8g}"
    return ""
