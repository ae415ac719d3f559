"""Memory that the compiled plans of one function share."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Arena"]

#: Room behind what was asked for, so that it can begin at a line of the cache and be followed by guards.
_SPARE = 128


class Arena:
    """Memory for the temporaries of executables that never run at the same time, and for copies that products make."""

    def __init__(self) -> None:
        self._memory = np.empty(_SPARE, dtype="uint8")
        self._scratch = np.empty(_SPARE, dtype="uint8")

    def memory(self, size: int) -> Any:
        """At least so many bytes for temporaries, and a few to align them."""
        self._memory = _at_least(self._memory, size)
        return self._memory

    def scratch(self, size: int) -> Any:
        """At least so many bytes, and a few to align them, which nobody relies on from one step to the next."""
        self._scratch = _at_least(self._scratch, size)
        return self._scratch


def _at_least(memory: Any, size: int) -> Any:
    if memory.size >= size + _SPARE:
        return memory
    return np.empty(max(size, 2 * memory.size) + _SPARE, dtype="uint8")
