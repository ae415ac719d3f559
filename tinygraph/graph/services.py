"""What a variable can be asked for that is built on a higher floor.

``x.eval()`` needs the compiler, which needs operations, which need variables. The higher room registers its function
here when it is imported; variables call it by name, and imports stay one-way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["call", "provide"]

_services: dict[str, Callable[..., Any]] = {}


def provide(name: str, function: Callable[..., Any]) -> None:
    """Register the function that serves ``name``."""
    _services[name] = function


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call the function that serves ``name``."""
    return _services[name](*args, **kwargs)
