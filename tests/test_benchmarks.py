"""The benchmarks: their own checks can fail, and a short run ends in a table."""

import json
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks import __main__, chart, gpu, gpu_cases, report, runner
from benchmarks.worker import load
from benchmarks.workloads import chain

VARIANTS_OF_XOR = """
import numpy as np

from benchmarks.nets import classifier
from benchmarks.rules import SGD
from benchmarks.workload import Steps
from benchmarks.workloads import xor

def impatient():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    targets = np.array([0, 1, 1, 0], "int32")
    return classifier("", [2, 8, 2], x, targets, SGD(0.1001)).variants["numpy"]()

def absent():
    import a_package_that_nobody_has

WORKLOAD = Steps("XOR", {"tinygraph": xor.WORKLOAD.variants["tinygraph"], %s})
"""


@pytest.fixture
def variant_of_xor(tmp_path):
    def write(peer):
        path = tmp_path / "variant.py"
        path.write_text(VARIANTS_OF_XOR % peer)
        return str(path)

    return write


def run(path):
    said = []
    results = runner.run([path], rounds=1, seconds=0.01, threads=1, quick=True, say=said.append)
    return results[path], "\n".join(said)


def test_a_quick_run_of_xor(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(__main__, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(__main__, "CHART", tmp_path / "results.svg")
    file = tmp_path / "out.json"
    options = ["--quick", "--rounds", "1", "--threads", "1", "--markdown", "--json", str(file)]
    options += ["--peers", "numpy", "--chart"]
    assert __main__.main(["xor", *options]) == 0
    out, err = capsys.readouterr()
    assert "tinygraph, numpy compute the same losses" in err
    measured = json.loads(file.read_text())
    assert all(rate > 1e6 for rate in measured["limits"].values())
    times = measured["workloads"]["xor"]["times"]
    assert times.keys() == {"tinygraph", "numpy"}
    for name in ("step", "first result", "first result, cold"):
        ratio = times["numpy"][name] / times["tinygraph"][name]
        assert ratio > 0
        assert f"{ratio:.2f}" in out
    written = (tmp_path / "RESULTS.md").read_text()
    assert written.startswith("# Results\n\n## 20")
    assert "| XOR: batch 4, 2-8-2, tanh, SGD | tinygraph |" in written
    assert "| XOR: batch 4, 2-8-2, tanh, SGD | step |" in written
    drawn = ElementTree.fromstring((tmp_path / "results.svg").read_text()).itertext()
    assert f"{times['numpy']['step'] / times['tinygraph']['step']:.3g}" in list(drawn)


def test_a_wrong_implementation_is_caught_before_it_is_timed(variant_of_xor):
    entry, said = run(variant_of_xor('"numpy": impatient'))
    assert "at step 1 tinygraph has the loss 0.75" in entry["failed"]["losses"]
    assert entry["times"] == entry["rounds"] == {}
    assert "compute the same losses" not in said


def test_a_peer_that_is_not_installed_is_skipped_visibly(variant_of_xor):
    entry, said = run(variant_of_xor('"absent": absent'))
    assert entry["failed"] == {}
    assert entry["times"].keys() == {"tinygraph"}
    assert "absent missing: No module named 'a_package_that_nobody_has'" in said


def test_an_implementation_that_crashes_fails_with_its_traceback(variant_of_xor):
    entry, said = run(variant_of_xor('"numpy": lambda: 1 / 0'))
    assert entry["failed"] == {"numpy": "ZeroDivisionError: division by zero"}
    assert "Traceback" in said


@pytest.mark.parametrize(
    ("losses", "problem"),
    [
        ({}, ""),
        ({"a": [2.0, 1.0]}, ""),
        ({"a": [2.0, 1.0], "b": [2.0, 1.000001]}, ""),
        ({"a": [2.0, 1.0], "b": [2.0, 1.0001]}, "at step 1 a has the loss 1, b 1.0001"),
        ({"a": [2.0], "b": [2.0], "c": [float("nan")]}, "at step 0 a has the loss 2, c nan"),
        ({"a": [float("nan")], "b": [float("nan")]}, "at step 0 a has the loss nan"),
        ({"a": [0.0], "b": [0.0]}, ""),
    ],
)
def test_disagreement(losses, problem):
    assert runner.disagreement(losses) == problem


def test_every_workload_is_found_by_the_name_of_its_file():
    assert {"chain", "import", "jacobian", "lenet", "limits", "lstm", "mlp", "rbm", "xor"} <= set(runner.names())
    for name in runner.names():
        assert load(name).title


def test_an_unknown_workload_is_an_error_that_lists_the_known(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["xro"])
    assert "there is no workload 'xro'; there are batches, chain," in capsys.readouterr().err


def test_the_exponents_of_growth():
    times = {str(n): {"straight": n * 1e-6, "square": n**2 * 1e-9} for n in (1000, 10_000, 100_000)}
    header, rows = report.growth({"title": "chain", "times": times})
    assert header == ["chain", "1,000", "10,000", "100,000", "exponent to 10,000", "exponent to 100,000"]
    assert rows[0] == ["straight", "1 ms", "10 ms", "100 ms", "1.00", "1.00"]
    assert rows[1] == ["square", "1 ms", "100 ms", "10 s", "2.00", "2.00"]


def test_the_chain_checks_its_own_values(monkeypatch):
    assert all(seconds > 0 for seconds in chain.phases(100).values())
    monkeypatch.setattr(chain, "by_hand", lambda y, nodes: (y, y))
    with pytest.raises(AssertionError):
        chain.phases(100)


def test_ratios_and_the_share_of_the_limit():
    times = {"tinygraph": {"step": 2e-3}, "a": {"step": 1e-3}, "b": {"step": 8e-3}}
    entry = {"title": "net", "times": times, "flops": 1e6, "moved": 1e3}
    header, rows = report.comparison(("step",), [entry, entry], {"sgemm": 1e9, "copy": 1e9})
    assert header == ["workload", "implementation", "step", "÷ ours", "of the limit"]
    assert rows[:3] == [
        ["net", "tinygraph", "2 ms", "1.00", "50.0%"],
        ["", "a", "1 ms", "0.50", "100.0%"],
        ["", "b", "8 ms", "4.00", "12.5%"],
    ]
    assert rows[-1] == ["Geometric mean", "best peer", "", "0.50", ""]
    assert report.text(header, rows).splitlines()[2] == "                a               1 ms    0.50        100.0%"


def measured(target, **seconds):
    times = {name.replace("_", " "): {"step": time} for name, time in seconds.items()}
    entry = {"title": "net", "table": "comparison", "flops": 1e6, "moved": 1e3, "times": times}
    return entry | {"target": {"of": "step", "without": (), "limit": 0.0} | target}


def test_targets_are_reached_against_the_best_peer_and_the_limit():
    limits = {"sgemm": 1e9, "copy": 1e9}
    entries = [
        measured({"ratio": 1.5, "limit": 0.4}, tinygraph=2e-3, numpy=3e-3, torch_compiled=9e-3),
        measured({"ratio": 1.5, "limit": 0.6}, tinygraph=2e-3, numpy=3e-3),
        measured({"ratio": 1.6}, tinygraph=2e-3, numpy=3e-3),
        measured({"ratio": 4.0, "without": ("numpy",)}, tinygraph=2e-3, numpy=1e-3, torch=12e-3),
        measured({"ratio": 1.0}, tinygraph=2e-3),
    ]
    _, rows = report.targets(entries, limits)
    assert rows[0] == ["net", "step", "2 ms", "numpy", "3 ms", "1.50", "1.5", "50.0% (≥ 40%)", "yes"]
    assert [row[-1] for row in rows] == ["yes", "no", "no", "yes", "no peer", "yes"]
    assert rows[3][3] == "torch"
    assert rows[-1][5] == f"{(1.5**3 * 6) ** 0.25:.2f}"


def test_the_chart_is_drawn_to_scale():
    results = {"a": measured({"ratio": 2.0}, tinygraph=1.0, numpy=10.0, jax=0.1, **{"torch_compiled": 1.0})}
    about = {"machine": "M & N", "threads": 2, "commit": "c", "date": "d"}
    picture = ElementTree.fromstring(chart.draw(results, about))
    bars = {}
    for bar in picture.iter("{http://www.w3.org/2000/svg}rect"):
        for title in bar.iter("{http://www.w3.org/2000/svg}title"):
            bars[title.text] = float(bar.get("x")), float(bar.get("width"))
    one = bars["numpy: 10.00"][0]
    assert bars["jax: 0.10"][0] + bars["jax: 0.10"][1] == pytest.approx(one, abs=0.2)
    assert bars["jax: 0.10"][1] == pytest.approx(bars["numpy: 10.00"][1], abs=0.2)
    assert bars["torch compiled: 1.00"][0] == one
    assert "right of 1 tinygraph is faster; M & N, 2 threads, commit c, d" in list(picture.itertext())


def test_each_package_runs_under_its_own_interpreter(tmp_path):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nTINYGRAPH_TOLD=yes exec {sys.executable} "$@"\n')
    other.chmod(0o755)
    path = tmp_path / "told.py"
    path.write_text(
        "import os\nfrom benchmarks.workload import Steps\n"
        "told = lambda: lambda: float('TINYGRAPH_TOLD' in os.environ)\n"
        "WORKLOAD = Steps('told', {'tinygraph': told, 'numpy': told, 'numpy twice': told})\n"
    )
    outcomes = [
        runner.process(str(path), variant, 0, 1, str(tmp_path), {"numpy": str(other)})["losses"][0]
        for variant in ("tinygraph", "numpy", "numpy twice")
    ]
    assert outcomes == [0.0, 1.0, 1.0]
    assert runner.process(str(path), "tinygraph", 0, 1, str(tmp_path), {"": str(other)})["losses"][0] == 1.0


def test_caches_are_empty_at_first_and_kept_for_later_rounds(tmp_path):
    path = tmp_path / "cached.py"
    path.write_text(
        "import os\nfrom pathlib import Path\nfrom benchmarks.workload import FirstResult, Steps\n"
        "def begin():\n"
        "    folder = Path(os.environ['TINYGRAPH_CACHE_DIR'])\n"
        "    folder.mkdir(parents=True, exist_ok=True)\n"
        "    (folder / str(len(list(folder.iterdir())))).touch()\n"
        "    print(len(list(folder.iterdir())), file=open(KEPT, 'a'))\n"
        "    return lambda: 1.0\n"
        "KEPT = __file__ + '.log'\n"
        "WORKLOAD = Steps('cached', {'tinygraph': begin})\n"
    )
    for cold, found in (False, "1 2 3"), (True, "1 1 1"):
        if cold:
            path.write_text(path.read_text() + "WORKLOAD = FirstResult(WORKLOAD, 'cold')\n")
        log = tmp_path / "cached.py.log"
        log.unlink(missing_ok=True)
        runner.run([str(path)], rounds=2, seconds=0.001, threads=1, say=lambda line: None)
        assert log.read_text().split() == found.split()


# --- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["xor", "elementwise", "softmax_rows"])
def test_the_gpus_benchmark_runs_dry(name, capsys, monkeypatch, tmp_path):
    """Everything but the device: the same program with small workloads on the CPU, which leaves no record."""
    monkeypatch.setattr(gpu, "RESULTS", tmp_path / "results.md")
    monkeypatch.setattr(gpu, "CHART", tmp_path / "chart.svg")
    kept = tmp_path / "kept.json"
    options = ["--dry", "--without", "torch,torch compiled,jax", "--markdown", "--chart", "--json", str(kept)]
    assert gpu.main([name, *options]) == 0
    table = capsys.readouterr().out
    assert "a dry run on the CPU" in table
    assert gpu_cases.cases(tiny=True)[name]().title in table
    found = json.loads(kept.read_text())["workloads"][name]
    assert found["cupy"]["losses"] == pytest.approx(found["tinygraph"]["losses"], rel=1e-2)
    assert found["tinygraph"]["losses"][0] != found["tinygraph"]["losses"][-1]
    assert not list(tmp_path.glob("results.md")) + list(tmp_path.glob("chart.svg"))


def test_what_a_gpus_row_says():
    case = replace(gpu_cases.cases(tiny=True)["wide"](), title="wide", ratio=1.0, limit=0.9, flops=9.5e6, moved=0)
    found = {
        "tinygraph": {"seconds": 1e-5, "losses": [1.0, 0.5]},
        "cupy": {"seconds": 2e-5, "losses": [1.0, 0.6]},
        "torch": {"seconds": 1.5e-5, "losses": [1.0, 0.5]},
        "jax": {"wrong": "this JAX has no GPU"},
        "numpy": {"seconds": 1e-9, "losses": [1.0, 0.5]},
    }
    card = {"flops float32": 1e12, "flops TF32": 1e13, "bandwidth": 1e9, "device": "a card", "cuda": "13"}
    cells, notes = gpu.row(case, found, card)
    assert dict(zip(gpu.HEADER, cells, strict=True)) == {
        "µs a step": "wide",
        "tinygraph": "10.0",
        "cupy": "20.0",
        "torch": "15.0",
        "torch compiled": "–",
        "jax": "–",
        "numpy (CPU)": "0.0",
        "best peer ÷ ours": "1.50",
        "to reach": "1, 90% of the limit",
        "of the card's limit": "95%",
        "reached": "yes",
    }
    assert notes == ["jax: this JAX has no GPU", "cupy: losses differ by 2.0e-01"]
    assert gpu.row(replace(case, tf32=True), found, card)[0][-2:] == ["9%", "no"]
    assert gpu.row(case, {"tinygraph": found["tinygraph"]}, card)[0][-1] == "no peer"
    drawn = gpu.picture({"wide": (case, found)}, card, "2026-01-01")
    assert "torch: 1.50" in drawn
    assert "numpy" not in drawn
    assert ElementTree.fromstring(drawn) is not None


def test_without_a_gpu_the_benchmark_says_so(capsys, monkeypatch):
    monkeypatch.setattr(gpu, "asked", lambda *_: {"wrong": "No module named 'cupy'"})
    assert gpu.main(["xor"]) == 2
    assert "no GPU that CuPy can use: No module named 'cupy'" in capsys.readouterr().err
