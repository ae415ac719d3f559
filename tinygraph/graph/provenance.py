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

__all__ = ["Origin", "capture", "origin_scope"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: How many of the user's frames are kept for a node, innermost first.
DEPTH = 4

_is_ours: dict[str, bool] = {}


class Origin:
    """Where a node was made: the user's frames, and for a gradient node the origin of what it differentiates."""

    __slots__ = ("forward", "frames")

    def __init__(self, frames: tuple[tuple[CodeType, int] | SourceLine, ...], forward: Origin | None = None) -> None:
        self.frames = frames
        self.forward = forward

    def trace(self) -> list[SourceLine]:
        """The user's lines, innermost first."""
        return [frame if isinstance(frame, SourceLine) else _source_line(*frame) for frame in self.frames]

    def __reduce__(self) -> Any:
        # Code objects cannot be pickled; the lines they stand for can.
        return Origin, (tuple(self.trace()), self.forward)

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
            ours = _is_ours[filename] = filename.startswith(_PACKAGE)
        if not ours:
            frames.append((code, frame.f_lasti))
            if len(frames) == DEPTH:
                break
        frame = frame.f_back
    return Origin(tuple(frames))


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
