"""``python -m tinygraph doctor``: what is installed and usable, and the command that mends what is not.

Only the standard library is imported here, and every package is tried in a process of its own (``probes.py``), so that
nothing that is missing or broken can stop the report.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["Finding", "examine", "main"]

#: The probes that run on every machine, and those that need CuPy with the names of what they find.
_PROBES = ("numpy", "scipy", "backend", "llvmlite", "cupy", "graphviz", "hypothesis")
_ON_DEVICE = {
    "device": ("CUDA driver", "CUDA device"),
    "nvrtc": ("NVRTC",),
    "cublas": ("cuBLAS",),
    "kernels": ("kernels",),
}
_DRIVER = "nvidia-smi    # if it fails, install the driver of your GPU from https://www.nvidia.com/drivers"
_INTERPRETED = "export TINYGRAPH_LINKER=reference    # functions on CuPy run one array call after the other"

_HERE = os.path.dirname(os.path.abspath(__file__))

#: Seconds after which a package that does not answer counts as broken; the first use of a GPU takes some.
_PATIENCE = 120


@dataclass(frozen=True)
class Finding:
    """What is known of one thing.

    Parameters
    ----------
    name
        What it is.
    state
        ``ok``, ``missing``, ``broken``, or ``unknown`` where something else must be mended first.
    detail
        Version and whatever else tells it from others, or what is wrong.
    purpose
        What it is needed for.
    fix
        A command that mends it; "" where nothing needs mending.
    needed
        The default backend does not work without it.
    """

    name: str
    state: str
    detail: str = ""
    purpose: str = ""
    fix: str = ""
    needed: bool = False


def _pip(*what: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *what])


def _start(name: str) -> subprocess.Popen[str]:
    # -P: modules beside this file must not stand in for those of the standard library.
    command = [sys.executable, "-P", os.path.join(_HERE, "probes.py"), name]
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), os.path.dirname(_HERE)]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, err = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"wrong": f"no answer after {_PATIENCE} s"}
    for line in reversed(out.splitlines()):
        if line.startswith("{"):
            return dict(json.loads(line))
    last = err.strip().splitlines()[-1:] or [""]
    return {"wrong": f"the process ended with code {process.returncode} {last[0]}".rstrip()}


def examine() -> list[Finding]:
    """Look at everything, in a few seconds.

    Returns
    -------
    list
        One finding for each thing, in the order of the report.
    """
    processes = {name: _start(name) for name in _PROBES}
    answers = {name: _answer(process) for name, process in processes.items()}
    if "found" in answers["cupy"]:
        answers |= {name: _answer(process) for name, process in [(n, _start(n)) for n in _ON_DEVICE]}
    gpu = os.environ.get("TINYGRAPH_BACKEND", "numpy").startswith("cupy")
    wheel = f"cupy-cuda{_cuda_major()}x[ctk]>=14"
    numpy = _package(answers["numpy"], "NumPy", "arrays", "numpy>=2", True)
    scipy = _package(answers["scipy"], "SciPy", "special functions", "scipy>=1.13", True)
    cupy = _cupy(answers["cupy"], wheel, gpu)
    mend = [f.fix for f in (numpy, scipy, cupy) if f.needed and f.fix]
    again = _pip("--upgrade", "--force-reinstall", "numpy>=2", "scipy>=1.13")
    what = "a function and its gradient on the default backend"
    findings = [
        _python(),
        numpy,
        scipy,
        _finding(answers["backend"], "tinygraph", what, next(iter(mend), again), True),
        _package(answers["llvmlite"], "llvmlite", "native code", "llvmlite"),
        cupy,
    ]
    for probe, names in _ON_DEVICE.items():
        for name in names:
            if probe in answers:
                fix = {"device": _DRIVER, "kernels": _INTERPRETED}.get(probe, _pip("--upgrade", wheel))
                purpose = "compiled functions on the cupy backend" if probe == "kernels" else "the cupy backend"
                findings.append(_finding(answers[probe], name, purpose, fix, gpu and probe != "kernels"))
            else:
                findings.append(
                    Finding(name, "unknown", "needs CuPy", "the cupy backend", "", gpu and probe != "kernels")
                )
    findings += [
        _package(answers["graphviz"], "graphviz", "pictures: tg.draw", "graphviz"),
        _dot(),
        _package(answers["hypothesis"], "Hypothesis", "strategies for tests", "hypothesis"),
    ]
    return findings


def _finding(answer: dict[str, Any], name: str, purpose: str, fix: str, needed: bool = False) -> Finding:
    if "found" in answer:
        return Finding(name, "ok", answer["found"].get(name, ""), purpose, "", needed)
    state = "missing" if answer.get("missing", "").lower() == name.lower() else "broken"
    return Finding(name, state, answer["wrong"], purpose, fix, needed)


def _package(answer: dict[str, Any], name: str, purpose: str, requirement: str, needed: bool = False) -> Finding:
    """What is known of a package that pip installs."""
    finding = _finding(answer, name, purpose, _pip("--upgrade", requirement), needed)
    if finding.state == "broken" and "too old" not in finding.detail:
        return replace(finding, fix=_pip("--upgrade", "--force-reinstall", requirement))
    return finding


def _python() -> Finding:
    detail = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    return Finding("Python", "ok", detail, "everything", "", True)


def _cupy(answer: dict[str, Any], wheel: str, needed: bool) -> Finding:
    finding = _package(answer, "CuPy", "the cupy backend", wheel, needed)
    several = re.search(r"several CuPy packages are installed: ([^;]*)", finding.detail)
    if several is None:
        return finding
    away = shlex.join([sys.executable, "-m", "pip", "uninstall", "-y", *several[1].split(", ")])
    return replace(finding, fix=f"{away} && {_pip(wheel)}")


def _cuda_major() -> int:
    """The newest CUDA that the driver supports and CuPy is built for."""
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi is None:
        return 13
    text = _output([nvidia_smi])
    found = re.search(r"CUDA (?:UMD )?Version:\s*(\d+)", text)
    return 12 if found is not None and int(found[1]) < 13 else 13


def _output(command: Sequence[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as err:
        return str(err)
    return ran.stdout + ran.stderr


def _dot() -> Finding:
    program = shutil.which("dot")
    if program is None:
        return Finding("dot", "missing", "no program of this name on the path", "layout of pictures", _dot_fix())
    text = _output([program, "-V"])
    found = re.search(r"version (\S+)", text)
    if found is None:
        return Finding("dot", "broken", text.strip().splitlines()[0] if text.strip() else "", "pictures", _dot_fix())
    return Finding("dot", "ok", f"{found[1]}, {program}", "layout of pictures")


def _dot_fix() -> str:
    managers = {
        "brew": "brew install graphviz",
        "winget": "winget install graphviz",
        "apt-get": "sudo apt-get install graphviz",
        "dnf": "sudo dnf install graphviz",
        "pacman": "sudo pacman -S graphviz",
        "apk": "sudo apk add graphviz",
        "conda": "conda install graphviz",
    }
    return next((fix for name, fix in managers.items() if shutil.which(name)), "see https://graphviz.org/download")


def _text(findings: Sequence[Finding]) -> str:
    width = max(len(f.name) for f in findings)
    marks = {"ok": "ok", "missing": "--", "broken": "!!", "unknown": "? "}
    rows = []
    for f in findings:
        rows.append(f"{marks[f.state]:2}  {f.name:{width}}  {f.detail}".rstrip())
        if f.state in ("missing", "broken"):
            need = "needed for" if f.needed else "optional, for"
            rows.append(f"    {'':{width}}  {f.state}; {need} {f.purpose}")
        if f.fix:
            rows.append(f"    {'':{width}}  fix: {f.fix}")
    wrong = [f.name for f in findings if f.needed and f.state != "ok"]
    rows.append("")
    rows.append(f"the default backend does not work: see {', '.join(wrong)}" if wrong else "the default backend works")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 where the default backend works and 1 where it does not."""
    parser = argparse.ArgumentParser(prog="python -m tinygraph", description="tinygraph's own commands")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="what is installed and usable, and how to mend what is not")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    given = parser.parse_args(arguments)
    findings = examine()
    works = all(f.state == "ok" for f in findings if f.needed)
    if given.json:
        print(json.dumps({"works": works, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        print(_text(findings))
    return 0 if works else 1
