"""The command line of the benchmarks."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import chart, gpu, report, runner

RESULTS = Path(__file__).parent / "RESULTS.md"
CHART = Path(__file__).parent / "results.svg"
USABLE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)


def interpreter(text: str) -> tuple[str, str]:
    peer, equals, path = text.rpartition("=")
    if not os.access(path, os.X_OK) or (equals and not peer):
        raise argparse.ArgumentTypeError(f"expected a Python interpreter or PEER=INTERPRETER, got {text!r}")
    return peer, str(Path(path).absolute())


def workload(text: str) -> str:
    if text in runner.names() or (text.endswith(".py") and Path(text).is_file()):
        return str(Path(text).resolve()) if text.endswith(".py") else text
    raise argparse.ArgumentTypeError(f"there is no workload {text!r}; there are {', '.join(runner.names())}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times tinygraph beside its peers: a training step, the first result in a fresh process, growth.",
        epilog="Ratios are a peer's time ÷ ours: above 1, tinygraph is faster. A workload whose losses disagree fails.",
    )
    known = ", ".join(runner.names())
    parser.add_argument("names", nargs="*", type=workload, help=f"{known}, or a file of your own; default: all")
    parser.add_argument("--rounds", type=positive, default=None, metavar="N", help="of fresh processes (5; quick: 2)")
    parser.add_argument("--quick", action="store_true", help="short rounds, no large sizes")
    parser.add_argument("--threads", type=positive, default=USABLE, metavar="N", help=f"of every process ({USABLE})")
    parser.add_argument("--peers", metavar="NAMES", help="which implementations beside tinygraph, with commas between")
    parser.add_argument("--without", metavar="NAMES", default="", help="which not; torch compiled, say, takes long")
    parser.add_argument(
        "--python",
        type=interpreter,
        action="append",
        default=[],
        metavar="[PEER=]PATH",
        help="the interpreter that has a peer, or all that are not named; may be given several times",
    )
    parser.add_argument("--chart", action="store_true", help=f"draw the ratios into {CHART.name}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", action="store_true", help=f"append the tables to {RESULTS.name}")
    options = parser.parse_args(arguments)

    peers, without = (
        [p.strip() for p in (names or "").split(",") if p.strip()] for names in (options.peers, options.without)
    )

    def wanted(variant: str) -> bool:
        return variant == report.OURS or (variant not in without and (options.peers is None or variant in peers))

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    chosen = list(dict.fromkeys(["limits", *(options.names or runner.names())]))
    results = runner.run(
        chosen,
        rounds=options.rounds or (2 if options.quick else 5),
        seconds=0.05 if options.quick else 0.3,
        threads=options.threads,
        quick=options.quick,
        wanted=wanted,
        pythons=dict(options.python),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    about = report.context(options.threads, load, results)
    tables = report.tables(results, about["limits"])
    failed = {f"{name} {variant}": why for name, e in results.items() for variant, why in e["failed"].items()}
    missing = {f"{name} {variant}": why for name, e in results.items() for variant, why in e["missing"].items()}
    notes = [f"FAILED {where}: {why}" for where, why in failed.items()]
    notes += [f"skipped {where}: {why}" for where, why in missing.items()]
    print("\n\n".join(["\n".join(report.headline(about)), *(report.text(*t) for t in tables), *notes]))
    if options.json:
        options.json.write_text(json.dumps(about | {"workloads": results}, indent=1) + "\n")
    if options.markdown:
        parts = [f"## {about['date']}", *report.headline(about), *(report.markdown(*t) for t in tables), *notes]
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(("\n" if file.tell() else "# Results\n\n") + "\n\n".join(parts) + "\n")
    if options.chart:
        CHART.write_text(chart.draw(results, about), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(gpu.main(sys.argv[2:]) if sys.argv[1:2] == ["gpu"] else main())
