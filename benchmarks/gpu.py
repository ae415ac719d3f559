"""Training steps on a GPU beside CuPy by hand, PyTorch and JAX: ``python -m benchmarks gpu --markdown --chart``.

Every variant runs in a process of its own. Losses stay on the device while steps are timed. Ratios are a peer's time ÷
ours. The card's own matrix product rate and copy bandwidth are measured first, with CuPy.

This has not been run on a GPU yet; without one it says so and ends. ``--dry`` goes the same way on the CPU with small
workloads, for the sake of this program, not of its numbers.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import chart
from benchmarks.gpu_cases import OURS, PEERS, Case, cases
from benchmarks.gpu_variants import VARIANTS, limits
from benchmarks.report import commit, markdown

RESULTS, CHART = (Path(__file__).parent / name for name in ("RESULTS.md", "results_gpu.svg"))
STEPS_FOR_LOSS = 10
SECONDS, REPEATS = 0.3, 7
DRY_SECONDS, DRY_REPEATS = 0.005, 2

Found = Mapping[str, dict[str, Any]]


# --- processes --------------------------------------------------------------------------------------------------------


def measure(name: str, variant: str, dry: bool = False) -> dict[str, Any]:
    """What one process measures: the losses of the first steps, then time."""
    if name == "limits":
        return limits(dry, tf32=variant == "TF32")
    begin = time.perf_counter()
    running = VARIANTS[variant](cases(dry)[name](), dry)
    losses = [running.fetch(running.step()) for _ in range(STEPS_FOR_LOSS)]
    first = time.perf_counter() - begin
    count = 1
    while running.seconds(count) < (DRY_SECONDS if dry else SECONDS):
        count *= 2
    times = [running.seconds(count) / count for _ in range(DRY_REPEATS if dry else REPEATS)]
    return {
        "seconds": min(times),
        "median": statistics.median(times),
        "until ready": first,
        "losses": losses,
        **running.about(),
    }


def asked(python: str, name: str, variant: str, dry: bool) -> dict[str, Any]:
    """What a fresh process says; ``wrong`` where it failed."""
    command = [python, "-m", "benchmarks.gpu", *(["--dry"] if dry else []), "--worker", name, variant]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        return {"wrong": (ran.stderr.strip().splitlines() or [f"the process ended with {ran.returncode}"])[-1]}
    return dict(json.loads(lines[-1]))


# --- tables -----------------------------------------------------------------------------------------------------------

HEADER = ["µs a step", OURS, *PEERS, "numpy (CPU)", "best peer ÷ ours", "to reach", "of the card's limit", "reached"]


def row(case: Case, found: Found, card: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """A line of the table, and what went wrong."""
    times = {v: f["seconds"] for v, f in found.items() if "seconds" in f}
    cells = [case.title]
    cells += [f"{times[v] * 1e6:,.1f}" if v in times else "–" for v in (OURS, *PEERS, "numpy")]
    rivals = [t for v, t in times.items() if v in PEERS]
    ratio = min(rivals) / times[OURS] if rivals and OURS in times else math.nan
    part = near(case, times[OURS], card) if OURS in times else math.nan
    aim = f"{case.ratio:g}" + (f", {case.limit:.0%} of the limit" if case.limit else "")
    enough = ratio >= case.ratio and (not case.limit or part >= case.limit)
    cells += ["–" if math.isnan(ratio) else f"{ratio:.2f}", aim, "–" if math.isnan(part) else f"{part:.0%}"]
    cells.append("no peer" if math.isnan(ratio) else "yes" if enough else "no")
    return cells, [f"{v}: {f['wrong']}" for v, f in found.items() if "wrong" in f] + apart(case, found)


def near(case: Case, seconds: float, card: Mapping[str, Any]) -> float:
    """The least time that products and traffic take at the card's own rates ÷ the time of a step; NaN if not known."""
    products = case.flops / card.get("flops TF32" if case.tf32 else "flops float32", math.inf)
    least = max(products, case.moved / card.get("bandwidth", math.inf))
    return least / seconds if least else math.nan


def apart(case: Case, found: Found) -> list[str]:
    """Whose losses are not ours."""
    ours = found.get(OURS, {}).get("losses")
    wrong = []
    for variant, other in found.items():
        if "losses" in other and ours is not None:
            worst = np.max(np.abs(np.subtract(other["losses"], ours)) / (np.abs(ours) + 1e-6))
            if not worst <= case.tolerance:
                wrong.append(f"{variant}: losses differ by {worst:.1e}")
    return wrong


def picture(results: Mapping[str, tuple[Case, Found]], card: Mapping[str, Any], date: str) -> str:
    """The ratios as SVG."""
    entries = {
        name: {
            "title": case.title,
            "target": {"of": "step", "ratio": case.ratio},
            "times": {v: {"step": f["seconds"]} for v, f in found.items() if "seconds" in f and v != "numpy"},
        }
        for name, (case, found) in results.items()
    }
    return chart.draw(entries, {"machine": f"{card['device']}, CUDA {card['cuda']}", "commit": commit(), "date": date})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *cases()], metavar="NAME", help=f"of {', '.join(cases())}")
    parser.add_argument("--without", default="", help="variants to leave out, with commas between")
    parser.add_argument(
        "--python", action="append", default=[], metavar="VARIANT=PATH", help="whose interpreter has it"
    )
    parser.add_argument("--markdown", action="store_true", help=f"append the table to {RESULTS.name}")
    parser.add_argument("--chart", action="store_true", help=f"draw the ratios into {CHART.name}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--dry", action="store_true", help="on the CPU, small, without a record")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        print(json.dumps(measure(*options.worker, options.dry)))
        return 0
    pythons = dict(given.split("=", 1) for given in options.python)

    def of(name: str, variant: str, package: str) -> dict[str, Any]:
        return asked(pythons.get(package.split(maxsplit=1)[0], sys.executable), name, variant, options.dry)

    card = of("limits", "float32", OURS)
    if "wrong" in card:
        print(f"no GPU that CuPy can use: {card['wrong']}", file=sys.stderr)
        return 2
    card |= of("limits", "TF32", OURS)
    without = {name.strip() for name in options.without.split(",")}
    results: dict[str, tuple[Case, Found]] = {}
    rows, wrong = [], []
    for name in options.names or cases():
        case = cases(options.dry)[name]()
        found: dict[str, dict[str, Any]] = {}
        for variant in (v for v in case.variants if v not in without):
            found[variant] = of(name, variant, variant)
            seen = found[variant].get("seconds", found[variant].get("wrong"))
            print(f"{name} {variant}: {seen}", file=sys.stderr, flush=True)
        results[name] = case, found
        cells, notes = row(case, found, card)
        rows.append(cells)
        wrong += [f"{name} {note}" for note in notes]
    rates = ", ".join(f"{k} {v:.3g}/s" for k, v in card.items() if k.startswith(("flops", "bandwidth")))
    head = f"{card['device']}, driver {card['driver']}, CUDA {card['cuda']}, commit {commit()}; {rates}"
    text = "\n\n".join([head, markdown(HEADER, rows), *wrong])
    print(text)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    drawn = picture(results, card, date) if options.chart else ""
    if options.json:
        measured = {name: dict(found) for name, (_, found) in results.items()}
        options.json.write_text(json.dumps({"card": card, "workloads": measured}, indent=1) + "\n")
    if options.markdown and not options.dry:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n## GPU, {date}\n\n{text}\n")
    if drawn and not options.dry:
        CHART.write_text(drawn, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
