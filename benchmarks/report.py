"""Tables of what was measured, as text and as Markdown."""

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

#: The implementation that all others are compared with.
OURS = "tinygraph"
#: What the geometric mean over all targets must reach.
GEOMETRIC_MEAN = 2.0

Table = tuple[list[str], list[list[str]]]


def context(threads: int, load: float, results: Mapping[str, Any]) -> dict[str, Any]:
    """When, where and with what; ``load`` is how many processes kept the machine busy before the run."""
    versions: dict[str, str] = {}
    for entry in results.values():
        versions |= entry["versions"]
    return {
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "commit": commit(),
        "machine": f"{processor()}, {os.cpu_count()} processors, {platform.system()}",
        "threads": threads,
        "load": load,
        "versions": dict(sorted(versions.items())),
        "limits": {limit: times["rate"] for limit, times in results["limits"]["times"].items()},
    }


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def headline(about: Mapping[str, Any]) -> list[str]:
    """The lines above the tables."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    limits = about["limits"]
    lines = [f"Commit {about['commit']}; {about['machine']}; threads: {about['threads']}; {versions}"]
    if limits:
        lines.append(f"Limits: sgemm {limits['sgemm'] / 1e9:.4g} GFLOP/s, copy {limits['copy'] / 1e9:.3g} GB/s")
    if about["load"] > 0.5:
        lines.append(f"The machine was busy with other work, a load of {about['load']:.1f}: the times are unreliable")
    return [
        *lines,
        "÷ ours: an implementation's time over tinygraph's; above 1, tinygraph is faster",
        "First result: from the start of a process, imports included; cold: the caches of compiled code were empty",
        "Of the limit: the least time that products and traffic take at the rates above ÷ the time of a step",
    ]


def tables(results: Mapping[str, Any], limits: Mapping[str, float]) -> list[Table]:
    """One table for all workloads that measure the same things, and one for each growth."""
    compared = [e for e in results.values() if e["table"] == "comparison" and OURS in e["times"]]
    kinds = dict.fromkeys(tuple(entry["times"][OURS]) for entry in compared)
    grown = [e for e in results.values() if e["table"] == "growth" and e["times"]]
    aimed = [e for e in compared if e["target"]]
    return [
        *([targets(aimed, limits)] if aimed else []),
        *(comparison(kind, [e for e in compared if tuple(e["times"][OURS]) == kind], limits) for kind in kinds),
        *map(growth, grown),
    ]


def comparison(kind: Sequence[str], entries: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> Table:
    """One row for each implementation, beside ours; at the end the geometric mean of the best peers' ratios."""
    header = ["workload", "implementation", *(h for name in kind for h in (name, "÷ ours"))]
    rows = []
    best: dict[str, list[float]] = {name: [] for name in kind}
    for entry in entries:
        ours = entry["times"][OURS]
        for variant, times in entry["times"].items():
            cells = [c for name in kind for c in (duration(times[name]), f"{times[name] / ours[name]:.2f}")]
            rows.append([entry["title"] if variant == OURS else "", variant, *cells, share(entry, times, limits)])
        for name in kind:
            peers = [times[name] for variant, times in entry["times"].items() if variant != OURS]
            best[name] += [min(peers) / ours[name]] if peers else []
    if len(entries) > 1 and all(best.values()):
        cells = [c for ratios in best.values() for c in ("", f"{math.prod(ratios) ** (1 / len(ratios)):.2f}")]
        rows.append(["Geometric mean", "best peer", *cells, ""])
    if not any(row[-1] for row in rows):
        return header, [row[:-1] for row in rows]
    return [*header, "of the limit"], rows


def rival(entry: Mapping[str, Any]) -> tuple[str, float]:
    """The best peer in the time that the target of a workload names, and its ratio; ("", nan) where there is none."""
    target, times = entry["target"], entry["times"]
    of = target["of"]
    peers = {v: t[of] for v, t in times.items() if v != OURS and v.split()[0] not in target["without"]}
    best = min(peers, key=peers.__getitem__, default="")
    return best, peers[best] / times[OURS][of] if best else math.nan


def targets(entries: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> Table:
    """What was to be reached, and whether it was; at the end the geometric mean of the ratios."""
    header = [
        "target",
        "time",
        "tinygraph",
        "implementation",
        "its time",
        "ratio",
        "to reach",
        "of the limit",
        "reached",
    ]
    rows, ratios = [], []
    for entry in entries:
        aim, ours = entry["target"], entry["times"][OURS]
        best, ratio = rival(entry)
        part = near(entry, ours, limits) if aim["of"] == "step" else None
        enough = part is None or part >= aim["limit"]
        cells = [duration(entry["times"][best][aim["of"]]), f"{ratio:.2f}"] if best else ["", ""]
        asked = f" (≥ {aim['limit']:.0%})" if aim["limit"] else ""
        verdict = ("yes" if ratio >= aim["ratio"] and enough else "no") if best else "no peer"
        close = "" if part is None else f"{part:.1%}{asked}"
        time = duration(ours[aim["of"]])
        rows.append([entry["title"], aim["of"], time, best or "none", *cells, f"{aim['ratio']:g}", close, verdict])
        ratios += [ratio] if best else []
    if len(ratios) > 1:
        mean = math.prod(ratios) ** (1 / len(ratios))
        verdict = "yes" if mean >= GEOMETRIC_MEAN else "no"
        rows.append(["Geometric mean", "", "", "best peer", "", f"{mean:.2f}", f"{GEOMETRIC_MEAN:g}", "", verdict])
    return header, rows


def share(entry: Mapping[str, Any], times: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """How near a step comes to the least time that its matrix products and memory traffic take on this machine."""
    part = near(entry, times, limits)
    return "" if part is None else f"{part:.1%}"


def near(entry: Mapping[str, Any], times: Mapping[str, float], limits: Mapping[str, float]) -> float | None:
    """The same as a number; None where it is not known."""
    if not limits or not (entry["flops"] or entry["moved"]) or "step" not in times:
        return None
    return max(entry["flops"] / limits["sgemm"], entry["moved"] / limits["copy"]) / times["step"]


def growth(entry: Mapping[str, Any]) -> Table:
    """One row for each phase, with the exponent of its growth from each size to the next."""
    sizes = {int(variant): times for variant, times in entry["times"].items()}
    header = [entry["title"], *(f"{n:,}" for n in sizes), *(f"exponent to {n:,}" for n in list(sizes)[1:])]
    rows = []
    show = duration if entry.get("unit", "seconds") == "seconds" else volume
    for phase in next(iter(sizes.values())):
        exponents = [math.log(sizes[n][phase] / sizes[m][phase]) / math.log(n / m) for m, n in pairwise(sizes)]
        rows.append([phase, *(show(times[phase]) for times in sizes.values()), *(f"{e:.2f}" for e in exponents)])
    return header, rows


def volume(count: float) -> str:
    return f"{count / 1e6:.4g} MB"


def duration(seconds: float) -> str:
    unit, value = (
        ("s", seconds) if seconds >= 1 else ("ms", seconds * 1e3) if seconds >= 1e-3 else ("µs", seconds * 1e6)
    )
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    words = [i == 0 or name == "implementation" for i, name in enumerate(header)]
    lines = (
        "  ".join(c.ljust(n) if w else c.rjust(n) for c, n, w in zip(row, widths, words, strict=True))
        for row in (header, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
