"""Compiled nests, by their structure."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from tinygraph.backends.native import cache
from tinygraph.backends.native.emit import Module
from tinygraph.backends.native.printer import print_nest
from tinygraph.backends.native.toolchain import target
from tinygraph.program.nest import Nest

__all__ = ["built", "kernels"]

_known: dict[Nest, int] = {}
_lock = threading.Lock()


def kernels(nests: Iterable[Nest]) -> dict[Nest, int]:
    """The address of each nest's kernel; those that are not known yet are compiled together."""
    wanted = list(dict.fromkeys(nests))
    with _lock:
        new = [n for n in wanted if n not in _known]
        if new:
            module = Module()
            names = [f"nest{i}" for i in range(len(new))]
            for name, nest in zip(names, new, strict=True):
                print_nest(module, name, nest, target().vector)
            _known.update(zip(new, built(str(module), names), strict=True))
        return {n: _known[n] for n in wanted}


def built(text: str, names: Sequence[str]) -> list[int]:
    """The addresses of functions of a module, given as text; from the cache on disk where it is there."""
    made = target()
    code = cache.load(text, made.name)
    if code is None:
        code = made.compile(text)
        cache.store(text, made.name, code)
    return made.load(code, names)
