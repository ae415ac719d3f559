"""Theano's dictionary of updates."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from tinygraph.errors import UpdateError
from tinygraph.graph import SharedVariable

__all__ = ["OrderedUpdates"]


class OrderedUpdates(OrderedDict[Any, Any]):
    """New values of shared variables, in order; ``scan`` returns one and ``function`` takes it as ``updates``.

    It is a dictionary whose keys are shared variables, and ``+`` joins two of them.

    Raises
    ------
    UpdateError
        If a key is no shared variable, or ``update`` or ``+`` would give one of them a second new value.

    >>> import tinygraph as tg
    >>> a, b = tg.shared(0.0, "a"), tg.shared(0.0, "b")
    >>> updates = OrderedUpdates([(a, a + 1)]) + {b: a * 2}
    >>> tg.function([], [], updates=updates)()
    []
    >>> float(a.get_value()), float(b.get_value())
    (1.0, 0.0)
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, SharedVariable):
            raise UpdateError("only a shared variable can be updated", actual=f"{key!r} of {type(key).__name__}")
        super().__setitem__(key, value)

    def update(self, other: Any = None) -> None:  # type: ignore[override]
        """Add the updates of another dictionary, or of pairs."""
        pairs: Iterable[tuple[Any, Any]] = other.items() if isinstance(other, Mapping) else other or ()
        for key, value in pairs:
            if key in self and self[key] is not value:
                raise UpdateError(
                    f"shared variable {key} has two different new values",
                    hint="write updates[variable] = value to replace the first",
                )
            self[key] = value

    def __add__(self, other: Any) -> OrderedUpdates:
        joined = OrderedUpdates(self)
        joined.update(other)
        return joined

    def __radd__(self, other: Any) -> OrderedUpdates:
        return OrderedUpdates(other) + self
