"""One measurement: ``python -m benchmarks.worker WORKLOAD VARIANT SECONDS STARTED`` prints one line of JSON."""

import importlib
import importlib.metadata
import json
import keyword
import os
import platform
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


def versions(variant: str) -> dict[str, str]:
    """What a variant ran with."""
    package = variant.partition(" ")[0]
    wanted = {"tinygraph": ("tinygraph", "numpy", "scipy", "llvmlite")}.get(package, (package,))
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    python = {"python": platform.python_version()} if package == "tinygraph" else {}
    return python | {name: found[name] for name in wanted if name in found}


def main(name: str, variant: str, seconds: str, started: str) -> None:
    pin()
    workload = load(name)
    try:
        result = workload.measure(variant, float(seconds), float(started))
    except ModuleNotFoundError as err:
        if variant == "tinygraph" or (err.name or "").partition(".")[0] in ("tinygraph", "benchmarks", "numpy"):
            raise
        result = {"missing": str(err)}
    print(json.dumps(result | {"versions": versions(variant)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
