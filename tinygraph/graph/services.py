"""What a variable can be asked for that is built on a higher floor.

``x.eval()`` needs the compiler, which needs operations, which need variables. The higher room registers its function
here when it is imported; variables call it by name, and imports stay one-way. Of rooms that many programs do without,
only the module is registered, and it is imported when its service is first asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["call", "later", "provide"]

_services: dict[str, Callable[..., Any]] = {}
_modules: dict[str, str] = {}


def provide(name: str, function: Callable[..., Any]) -> None:
    """Register the function that serves ``name``."""
    _services[name] = function


def later(module: str, *names: str) -> None:
    """Register a module that provides these services once it is imported."""
    _modules.update(dict.fromkeys(names, module))


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call the function that serves ``name``."""
    if name not in _services and name in _modules:
        importlib.import_module(_modules[name])
    return _services[name](*args, **kwargs)
