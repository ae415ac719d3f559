"""One measurement: ``python -m benchmarks.worker WORKLOAD VARIANT SECONDS STARTED`` prints one line of JSON."""

import importlib
import json
import keyword
import os
import runpy
import sys

from benchmarks.workload import Workload


def load(name: str) -> Workload:
    """The workload of a name, or of a Python file elsewhere."""
    if not name.endswith(".py"):
        stem = f"{name}_" if keyword.iskeyword(name) else name
        return importlib.import_module(f"benchmarks.workloads.{stem}").WORKLOAD
    return runpy.run_path(name)["WORKLOAD"]


def pin() -> None:
    """Keep to as many processors as there are threads: not every library can be told."""
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, usable[: int(os.environ.get("OMP_NUM_THREADS", len(usable)))])


def main(name: str, variant: str, seconds: str, started: str) -> None:
    pin()
    try:
        result = load(name).measure(variant, float(seconds), float(started))
    except ModuleNotFoundError as err:
        if variant == "tinygraph" or (err.name or "").partition(".")[0] in ("tinygraph", "benchmarks", "numpy"):
            raise
        result = {"missing": str(err)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
