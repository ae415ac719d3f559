"""What ``python -m tinygraph doctor`` tries, each in a process of its own; never imported by the package.

A probe returns the name and the version of what works. Whatever it raises is what is wrong.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def probe_numpy() -> dict[str, str]:
    import numpy as np

    _at_least("NumPy", np.__version__, 2)
    if float((np.ones((2, 2)) @ np.ones((2, 2))).sum()) != 8:
        raise RuntimeError("a matrix product is wrong")
    return {"NumPy": np.__version__}


def probe_scipy() -> dict[str, str]:
    import scipy
    import scipy.linalg
    import scipy.special

    _at_least("SciPy", scipy.__version__, 1, 13)
    scipy.special.gammaln(1.5)
    return {"SciPy": scipy.__version__}


def probe_llvmlite() -> dict[str, str]:
    import llvmlite
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    target.create_target_machine()
    version = ".".join(map(str, binding.llvm_version_info))
    return {"llvmlite": f"{llvmlite.__version__}, LLVM {version}, {binding.get_host_cpu_name()}"}


def probe_cupy() -> dict[str, str]:
    from importlib.metadata import distributions

    wheels = sorted({d.name for d in distributions() if d.name and re.fullmatch(r"cupy(-cuda\w+|-rocm\S+)?", d.name)})
    if len(wheels) > 1:
        raise RuntimeError(f"several CuPy packages are installed: {', '.join(wheels)}; they overwrite each other")
    import cupy

    return {"CuPy": " ".join([cupy.__version__, *wheels])}


def probe_device() -> dict[str, str]:
    import cupy

    runtime = cupy.cuda.runtime
    driver, version = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    count = runtime.getDeviceCount()
    properties = runtime.getDeviceProperties(0)
    name = properties["name"].decode()
    memory = properties["totalGlobalMem"] / 2**30
    level = f"{properties['major']}.{properties['minor']}"
    return {
        "CUDA driver": f"for CUDA {_cuda(driver)}; CuPy uses CUDA {_cuda(version)}",
        "CUDA device": f"{count} × {name}, {memory:.0f} GiB, compute capability {level}",
    }


def probe_nvrtc() -> dict[str, str]:
    import cupy

    cupy.ElementwiseKernel("float32 x", "float32 y", "y = x * 3 + 1", "tinygraph_doctor")(cupy.ones(4, "float32"))
    return {"NVRTC": ".".join(map(str, cupy.cuda.nvrtc.getVersion()))}


def probe_cublas() -> dict[str, str]:
    import cupy

    if float((cupy.ones((8, 8)) @ cupy.ones((8, 8))).sum()) != 512:
        raise RuntimeError("a matrix product is wrong")
    return {"cuBLAS": str(cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle()))}


def probe_kernels() -> dict[str, str]:
    import warnings

    import numpy as np

    import tinygraph as tg

    def trained(backend: str, linker: str) -> list[Any]:
        with tg.config.change_flags(linker=linker, backend=backend):
            x = tg.tensor.fmatrix("x")
            w = tg.shared(np.linspace(-1, 1, 40, dtype="float32").reshape(8, 5), backend=backend)
            y = tg.tensor.nnet.softmax(tg.tensor.tanh(x.dot(w)))
            cost = -tg.tensor.log(y[:, 0]).mean()
            step = tg.function([x], cost, updates=[(w, w - 0.5 * tg.grad(cost, w))], backend=backend)
            given = np.linspace(-2, 2, 256, dtype="float32").reshape(32, 8)
            costs = [step(given, as_="numpy") for _ in range(3)]
            stats: dict[str, Any] = getattr(step.stats()[-1].executable, "stats", dict)()
            return [np.array([*map(float, costs), *w.get_value().ravel()]), stats]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, stats = trained("cupy", "native")
    wanted, _ = trained("numpy", "reference")
    apart = float(np.abs(found - wanted).max())
    if not apart < 1e-4:
        raise RuntimeError(f"three training steps differ from NumPy's by {apart:.1e}")
    graphs = stats["not captured"] or f"{stats['replayed']} graphs replayed"
    return {"kernels": f"three training steps are NumPy's to {apart:.0e}; {graphs}"}


def probe_graphviz() -> dict[str, str]:
    import graphviz

    graphviz.Digraph().node("a")
    return {"graphviz": graphviz.__version__}


def probe_hypothesis() -> dict[str, str]:
    import hypothesis

    return {"Hypothesis": hypothesis.__version__}


def probe_backend() -> dict[str, str]:
    import tinygraph as tg

    x = tg.tensor.vector("x")
    f = tg.function([x], [x.dot(x), tg.grad(x.dot(x), x)])
    value, gradient = f([1.0, 2.0])
    if float(value) != 5 or [float(g) for g in gradient] != [2, 4]:
        raise RuntimeError(f"1·1 + 2·2 gives {value}, and its gradient {gradient}")
    return {"tinygraph": f"{tg.__version__}, backend {tg.config.backend}, {tg.config.floatX}"}


def _at_least(name: str, version: str, *wanted: int) -> None:
    have = tuple(int(n) for n in re.findall(r"\d+", version)[: len(wanted)])
    if have < wanted:
        raise RuntimeError(f"{name} {version} is too old; {'.'.join(map(str, wanted))} is needed")


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def answer(name: str) -> dict[str, Any]:
    """What one probe found, or what is wrong."""
    try:
        return {"found": globals()[f"probe_{name}"]()}
    except ModuleNotFoundError as err:
        return {"missing": err.name or str(err), "wrong": str(err)}
    except (Exception, SystemExit) as err:  # a broken package may raise anything
        return {"wrong": f"{type(err).__name__}: {err}".strip().splitlines()[0]}


if __name__ == "__main__":
    print(json.dumps(answer(sys.argv[1])), flush=True)
