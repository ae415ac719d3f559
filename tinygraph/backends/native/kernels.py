"""Compiled nests, by their structure."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from tinygraph.backends.native.emit import Module
from tinygraph.backends.native.printer import print_nest
from tinygraph.backends.native.toolchain import target
from tinygraph.program.nest import Nest

__all__ = ["kernels"]

_known: dict[Nest, int] = {}
_lock = threading.Lock()


def kernels(nests: Iterable[Nest]) -> dict[Nest, int]:
    """The address of each nest's kernel; those that are not known yet are compiled together."""
    wanted = list(dict.fromkeys(nests))
    with _lock:
        new = [n for n in wanted if n not in _known]
        if new:
            made = target()
            module = Module()
            names = [f"nest{len(_known) + i}" for i in range(len(new))]
            for name, nest in zip(names, new, strict=True):
                print_nest(module, name, nest, made.vector)
            code = made.compile(str(module))
            _known.update(zip(new, made.load(code, names), strict=True))
        return {n: _known[n] for n in wanted}
