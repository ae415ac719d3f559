"""The benchmarks: their own checks can fail, and a short run ends in a table."""

import json

import pytest

from benchmarks import __main__, report, runner
from benchmarks.worker import load
from benchmarks.workloads import chain

VARIANTS_OF_XOR = """
from benchmarks.workload import Steps
from benchmarks.workloads import xor

def impatient():
    build = xor.WORKLOAD.variants["numpy"]
    return build.func(lambda x, targets, layers, rate: build.args[0](x, targets, layers, 1.001 * rate))

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
    file = tmp_path / "out.json"
    options = ["--quick", "--rounds", "1", "--threads", "1", "--markdown", "--json", str(file)]
    assert __main__.main(["xor", *options]) == 0
    out, err = capsys.readouterr()
    assert "tinygraph, numpy compute the same losses" in err
    measured = json.loads(file.read_text())
    assert all(rate > 1e6 for rate in measured["limits"].values())
    times = measured["workloads"]["xor"]["times"]
    assert times.keys() == {"tinygraph", "numpy"}
    for name in ("step", "first result"):
        ratio = times["numpy"][name] / times["tinygraph"][name]
        assert ratio > 0
        assert f"{ratio:.2f}" in out
    written = (tmp_path / "RESULTS.md").read_text()
    assert written.startswith("# Results\n\n## 20")
    assert "| XOR: batch 4, 2-8-2, tanh, SGD | tinygraph |" in written


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
    assert {"chain", "import", "limits", "mlp", "softmax", "xor"} <= set(runner.names())
    for name in runner.names():
        assert load(name).title


def test_an_unknown_workload_is_an_error_that_lists_the_known(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["xro"])
    assert "there is no workload 'xro'; there are chain," in capsys.readouterr().err


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
