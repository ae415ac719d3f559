"""``python -m tinygraph doctor``: run as its users run it, with packages that are missing and broken in every way."""

import json
import os
import subprocess
import sys

import pytest

from tinygraph import doctor

CHECKED = {"Python", "NumPy", "SciPy", "tinygraph", "llvmlite", "CuPy", "graphviz", "dot", "Hypothesis"}


def run(*arguments, path=None, **environment):
    paths = [str(path)] if path else []
    variables = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "tinygraph", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def findings(*arguments, **environment):
    ran = run("doctor", "--json", *arguments, **environment)
    found = json.loads(ran.stdout)
    assert ran.returncode == (0 if found["works"] else 1)
    return found["works"], {f["name"]: f for f in found["findings"]}


def test_a_machine_that_works():
    works, found = findings()
    assert works
    assert set(found) >= CHECKED
    for name in ("Python", "NumPy", "SciPy", "tinygraph"):
        assert found[name]["state"] == "ok"
        assert found[name]["needed"]
    assert "backend numpy" in found["tinygraph"]["detail"]
    for finding in found.values():
        assert finding["state"] in ("ok", "missing", "broken", "unknown")
        assert bool(finding["fix"]) == (finding["state"] in ("missing", "broken"))


def test_the_report_as_text(monkeypatch, capsys):
    ok = doctor.Finding("NumPy", "ok", "2.4.6", "arrays", "", True)
    wrong = doctor.Finding("SciPy", "broken", "no such file", "special functions", "pip install scipy", True)
    absent = doctor.Finding("CuPy", "missing", "no module", "the cupy backend", "pip install cupy")
    monkeypatch.setattr(doctor, "examine", lambda: [ok, absent])
    assert doctor.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok  NumPy  2.4.6",
        "--  CuPy   no module",
        "           missing; optional, for the cupy backend",
        "           fix: pip install cupy",
        "",
        "the default backend works",
    ]
    monkeypatch.setattr(doctor, "examine", lambda: [ok, wrong, absent])
    assert doctor.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "broken; needed for special functions" in text
    assert text.endswith("the default backend does not work: see SciPy\n")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('raise ImportError("libopenblas.so: cannot open shared object file")', "libopenblas"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with code -9"),
        ('print("noise"); raise SystemExit("no")', "SystemExit"),
    ],
)
def test_a_broken_package_is_reported(tmp_path, source, says):
    (tmp_path / "cupy.py").write_text(source)
    works, _ = findings(path=tmp_path)
    assert works  # it is not needed
    (tmp_path / "llvmlite.py").write_text(source)
    _, found = findings(path=tmp_path)
    for name in ("llvmlite", "CuPy"):
        assert found[name]["state"] == "broken"
        assert says in found[name]["detail"]
        assert "pip install --upgrade --force-reinstall" in found[name]["fix"]


def test_a_broken_numpy_does_not_stop_the_doctor(tmp_path):
    (tmp_path / "numpy.py").write_text('raise AttributeError("half an installation")')
    works, found = findings(path=tmp_path)
    assert not works
    assert found["NumPy"]["state"] == found["tinygraph"]["state"] == "broken"
    assert "numpy>=2" in found["NumPy"]["fix"]
    (tmp_path / "other.py").write_text("import tinygraph")
    command = [sys.executable, "-m", "other", "doctor"]
    plain = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "half an installation" in plain.stderr  # only the doctor comes instead of the error
    assert plain.stdout == ""


def test_a_missing_package_is_told_from_a_broken_one(tmp_path):
    (tmp_path / "scipy.py").write_text("raise ModuleNotFoundError(\"No module named 'scipy'\", name='scipy')")
    (tmp_path / "hypothesis.py").write_text("import a_module_that_is_not_there")
    works, found = findings(path=tmp_path)
    assert not works
    assert found["SciPy"]["state"] == "missing"
    assert "scipy>=1.13" in found["SciPy"]["fix"]
    assert found["Hypothesis"]["state"] == "broken"
    assert "a_module_that_is_not_there" in found["Hypothesis"]["detail"]


def test_an_old_numpy(tmp_path):
    (tmp_path / "numpy.py").write_text('__version__ = "1.26.4"')
    _, found = findings(path=tmp_path)
    assert "too old" in found["NumPy"]["detail"]
    assert "--force-reinstall" not in found["NumPy"]["fix"]


def test_a_default_backend_without_its_library(tmp_path):
    (tmp_path / "cupy.py").write_text("raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')")
    works, found = findings(path=tmp_path, TINYGRAPH_BACKEND="cupy")
    assert not works
    assert found["CuPy"]["state"] == "missing"
    assert found["CuPy"]["needed"]
    assert found["CUDA device"]["state"] == "unknown"
    assert "cupy-cuda" in found["tinygraph"]["fix"]  # what must be mended first


def test_a_default_backend_that_is_none():
    works, found = findings(TINYGRAPH_BACKEND="abacus")
    assert not works
    assert "abacus" in found["tinygraph"]["detail"]


CUPY = """
from types import SimpleNamespace as N
__version__ = "14.0.1"
def _no_device(*args):
    raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
cuda = N(runtime=N(driverGetVersion=lambda: 12040, runtimeGetVersion=lambda: 12090, getDeviceCount=_no_device))
ElementwiseKernel = ones = _no_device
"""


def test_a_machine_without_a_device(tmp_path):
    (tmp_path / "cupy.py").write_text(CUPY)
    works, found = findings(path=tmp_path)
    assert works
    assert found["CuPy"]["state"] == "ok"
    for name in ("CUDA device", "CUDA driver", "NVRTC", "cuBLAS"):
        assert found[name]["state"] == "broken"
        assert "cudaErrorNoDevice" in found[name]["detail"]
    assert "nvidia-smi" in found["CUDA device"]["fix"]
    assert "[ctk]" in found["NVRTC"]["fix"]
    assert found["kernels"]["state"] == "broken"
    assert not found["kernels"]["needed"]
    assert "TINYGRAPH_LINKER=reference" in found["kernels"]["fix"]


def test_the_fix_for_cuda_follows_the_driver(tmp_path, monkeypatch):
    for version, wheel in (("12.4", 12), ("13.0", 13), ("11.8", 12)):
        script = tmp_path / "nvidia-smi"
        script.write_text(f"#!/bin/sh\necho '| NVIDIA-SMI 550.54  Driver Version: 550.54  CUDA Version: {version} |'\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert doctor._cuda_major() == wheel
    script.unlink()
    assert doctor._cuda_major() == 13


def test_dot_that_is_missing_or_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._dot().state == "missing"
    assert "graphviz" in doctor._dot().fix
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    assert doctor._dot().fix == "sudo apt-get install graphviz"
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho 'libgvc.so.6: cannot open shared object file' >&2\nexit 127\n")
    dot.chmod(0o755)
    assert doctor._dot().state == "broken"
    assert "libgvc" in doctor._dot().detail
    dot.write_text("#!/bin/sh\necho 'dot - graphviz version 2.43.0 (0)' >&2\n")
    assert doctor._dot().detail.startswith("2.43.0")


def test_several_cupy_packages():
    answer = {"wrong": "RuntimeError: several CuPy packages are installed: cupy-cuda12x, cupy-cuda13x; they overwrite"}
    finding = doctor._cupy(answer, "cupy-cuda13x", False)
    assert "uninstall -y cupy-cuda12x cupy-cuda13x && " in finding.fix


def test_the_command_line():
    assert run().returncode == 2
    assert "doctor" in run("--help").stdout
    assert run("surgeon").returncode == 2
