"""Values that a graph holds as several tensors, such as sparse matrices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinygraph.graph.node import Variable

__all__ = ["Composite", "paired", "parts_of"]


class Composite:
    """A symbolic value of several parts, each an ordinary variable.

    Operations, gradients and Programs see the parts only. Where a user hands such a value to ``function`` or ``grad``,
    or a value to a compiled function, it is taken apart, and results are put together again.

    Attributes
    ----------
    name
        A name for messages, or None.
    parts
        The variables; the first holds what gradients are taken of.
    """

    name: str | None
    parts: tuple[Variable, ...]

    def split(self, value: Any) -> Sequence[Any]:
        """What a user passes for this value, as one array for each part; InputError where it does not fit."""
        raise NotImplementedError

    def joined(self, arrays: Sequence[Any]) -> Any:
        """The value that a user gets, from one array for each part."""
        raise NotImplementedError

    def outline(self) -> Any:
        """The same with parts of its own that depend on nothing: enough to put results together."""
        raise NotImplementedError

    def with_first(self, first: Variable) -> Any:
        """The same with another first part, such as its gradient."""
        raise NotImplementedError

    def fitted(self, other: Any) -> Any:
        """``other`` as a composite that can stand for this one; InputError where it cannot."""
        raise NotImplementedError


def parts_of(values: Iterable[Any]) -> list[Any]:
    """The values, with the parts of composites in their place."""
    return [part for value in values for part in (value.parts if isinstance(value, Composite) else (value,))]


def paired(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Pairs of variables and what replaces them, with composites part by part."""
    out: list[tuple[Any, Any]] = []
    for key, value in pairs:
        if isinstance(key, Composite):
            out += zip(key.parts, key.fitted(value).parts, strict=True)
        else:
            out.append((key, value))
    return out
