"""The kernels of a plan as one module of CUDA C, and its machine code, kept by content.

Arguments are 64-bit words. They are passed by value, as one struct: so they lie in constant memory, which all threads
of a warp read at once, no table has to be copied before a launch, and a captured graph holds its own. Only where
they are more than 4096 bytes they are read from a table on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tinygraph.backends.cuda.kernel import Code, Kernel
from tinygraph.backends.cuda.nvrtc import OPTIONS, compiler
from tinygraph.backends.cuda.printer import print_kernel
from tinygraph.backends.cuda.rows import PRELUDE
from tinygraph.backends.cuda.scatter import SCATTER, ScatterCode, print_scatter
from tinygraph.backends.native import cache

__all__ = ["binary", "names_of", "source_of"]

_binaries: dict[tuple[str, str], bytes] = {}


def names_of(kernels: Sequence[Code]) -> list[str]:
    """What the kernels of a module are called."""
    return [f"tg_{kernel.form}{i}" for i, kernel in enumerate(kernels)]


def source_of(kernels: Sequence[Code]) -> str:
    """Kernels as one module of CUDA C."""
    parts = dict.fromkeys(part for kernel in kernels for part in kernel.parts)
    bodies = {part: f"tg_part{i}" for i, part in enumerate(parts)}
    scatters = any(isinstance(part, ScatterCode) for part in parts)
    text = [PRELUDE, SCATTER if scatters else "", *(_printed(part, name) for part, name in bodies.items())]
    text += [_entry(kernel, name, bodies) for kernel, name in zip(kernels, names_of(kernels), strict=True)]
    return "\n".join(text)


def _printed(part: Code, name: str) -> str:
    if isinstance(part, ScatterCode):
        return print_scatter(part, name)
    assert isinstance(part, Kernel)
    return print_kernel(part, name)


def _entry(kernel: Code, name: str, bodies: dict[Code, str]) -> str:
    """What is launched: where there are several parts, each block finds its own."""
    lines = [f"struct words_{name} {{ long long at[{kernel.count}]; }};"]
    taken = "const __grid_constant__ words_{} w" if kernel.by_value else "const words_{} *table"
    bounds = f"__launch_bounds__({kernel.threads})"
    lines.append(f'extern "C" __global__ void {bounds} {name}({taken.format(name)}) {{')
    if not kernel.by_value:
        lines.append(f"  const words_{name} &w = *table;")
    count = len(kernel.parts)
    if count == 1:
        lines.append(f"  {bodies[kernel.parts[0]]}({{w.at}}, blockIdx.x, gridDim.x);")
    else:
        lines += [
            f"  int part = 0, last = {count - 1};",
            "  while (part < last) {",
            "    const int middle = (part + last) / 2;",
            "    if (blockIdx.x < w.at[middle]) last = middle; else part = middle + 1;",
            "  }",
            "  const unsigned int before = part ? (unsigned int)w.at[part - 1] : 0u;",
            "  const unsigned int block = blockIdx.x - before, blocks = (unsigned int)w.at[part] - before;",
        ]
        first, start = 0, count
        for same, run in groupby(kernel.parts):
            behind = first + len(list(run))
            words = f"w.at + {start} + (part - {first}) * {same.count}"
            head = f"if (part < {behind}) " if behind < count else ""
            lines.append(f"  {'else ' if first else ''}{head}{bodies[same]}({{{words}}}, block, blocks);")
            start += (behind - first) * same.count
            first = behind
    return "\n".join([*lines, "}\n"])


def binary(source: str, capability: int) -> bytes:
    """Machine code for devices of a compute capability; compiled once for each text, and kept on disk."""
    made = compiler()
    target = " ".join([f"sm_{capability}", "NVRTC", *map(str, made.version), *OPTIONS])
    key = (source, target)
    if key not in _binaries:
        code = cache.load(source, target)
        if code is None:
            code = made.compile(source, capability)
            cache.store(source, target, code)
        _binaries[key] = code
    return _binaries[key]
