"""Submodules that load when they are first asked for, as ``T.extra_ops`` or ``T.nnet.bn``."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

__all__ = ["submodules"]


def submodules(package: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package whose submodules are attributes even before anybody imports them."""

    def load(name: str) -> Any:
        path = f"{package}.{name}"
        if name.startswith("_") or importlib.util.find_spec(path) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(path)

    return load
