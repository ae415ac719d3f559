"""Which of the user's lines made a node.

A node keeps code objects and instruction offsets, a few pointers each; files, line numbers and columns are worked out
only when an error or a picture asks for them.
"""

from __future__ import annotations

import os
import sys
import threading
from types import CodeType
from typing import Any

from tinygraph.errors import SourceLine

__all__ = ["Origin", "capture", "is_derived", "name_scope", "origin_scope"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: How many of the user's frames are kept for a node, innermost first.
DEPTH = 4

_is_ours: dict[str, bool] = {}


class Origin:
    """Where a node was made.

    Attributes
    ----------
    frames
        The user's frames, innermost first.
    forward
        For a gradient node the origin of what it differentiates.
    scope
        The names of the enclosing ``name_scope`` blocks, joined by slashes.
    """

    __slots__ = ("forward", "frames", "scope")

    def __init__(
        self,
        frames: tuple[tuple[CodeType, int] | SourceLine, ...],
        forward: Origin | None = None,
        scope: str = "",
    ) -> None:
        self.frames = frames
        self.forward = forward
        self.scope = scope

    def trace(self) -> list[SourceLine]:
        """The user's lines, innermost first."""
        return [frame if isinstance(frame, SourceLine) else _source_line(*frame) for frame in self.frames]

    def __reduce__(self) -> Any:
        # Code objects cannot be pickled; the lines they stand for can.
        return Origin, (tuple(self.trace()), self.forward, self.scope)

    def __repr__(self) -> str:
        lines = self.trace()
        return f"<made at {lines[0].place()}>" if lines else "<of unknown origin>"


def _source_line(code: CodeType, offset: int) -> SourceLine:
    start = end = line = end_line = None
    for i, position in enumerate(code.co_positions()):
        if i == offset // 2:
            line, end_line, start, end = position
            break
    columns = None
    if line is not None and line == end_line and start is not None and end is not None:
        columns = (start, end)
    return SourceLine(code.co_filename, line or code.co_firstlineno, code.co_name, columns)


class _Scope(threading.local):
    origin: Origin | None = None
    name: str = ""


_scope = _Scope()


def capture() -> Origin:
    """The origin of a node made now: that of the enclosing ``origin_scope``, or the caller's lines."""
    if _scope.origin is not None:
        return _scope.origin
    frame: Any = sys._getframe(1)
    frames: list[tuple[CodeType, int] | SourceLine] = []
    while frame is not None:
        code = frame.f_code
        filename = code.co_filename
        ours = _is_ours.get(filename)
        if ours is None:
            ours = _is_ours[filename] = filename.startswith((_PACKAGE, "<frozen "))  # not the import system's frames
        if not ours:
            frames.append((code, frame.f_lasti))
            if len(frames) == DEPTH:
                break
        frame = frame.f_back
    return Origin(tuple(frames), None, _scope.name)


def is_derived() -> bool:
    """True where nodes are made from others, by differentiating or rewriting, and not by a line of the user's."""
    return _scope.origin is not None


class origin_scope:
    """Give every node made inside the ``with`` block this origin: rewrites keep the user's lines this way."""

    __slots__ = ("_old", "_origin")

    def __init__(self, origin: Origin | None) -> None:
        self._origin = origin

    def __enter__(self) -> None:
        self._old = _scope.origin
        _scope.origin = self._origin

    def __exit__(self, *exception: object) -> None:
        _scope.origin = self._old


class name_scope:
    """Name a part of a model: pictures and profiles group what is built inside the ``with`` block.

    Parameters
    ----------
    name
        The name; blocks inside one another, and slashes, make parts of parts.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> with tg.name_scope("layer1"):
    ...     h = T.tanh(x)
    >>> h.origin.scope
    'layer1'
    """

    __slots__ = ("_name", "_old")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip("/"):
            raise ValueError(f"a scope has a name, not {name!r}")
        self._name = name.strip("/")

    def __enter__(self) -> None:
        self._old = _scope.name
        _scope.name = f"{self._old}/{self._name}" if self._old else self._name

    def __exit__(self, *exception: object) -> None:
        _scope.name = self._old
