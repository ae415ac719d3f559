"""Making many nodes at once."""

from __future__ import annotations

import gc

__all__ = ["many_nodes"]


class many_nodes:
    """Pause the garbage collector inside a ``with`` block that makes a great many nodes, all of which stay alive.

    The collector would look through the growing graph again and again and find nothing; half of the time to compile a
    large graph went there.
    """

    __slots__ = ("_was_enabled",)

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *exception: object) -> None:
        if self._was_enabled:
            gc.enable()
