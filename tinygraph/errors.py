"""Exceptions, and how a failure is shown to its reader.

Every error says what was expected, what came, where it came from and what to do about it. ``str(err)`` is short;
``err.explain()`` adds the whole call path of every operand.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

__all__ = [
    "BackendError",
    "DisconnectedInputError",
    "DtypeError",
    "GradientError",
    "IndexingError",
    "InputError",
    "MissingInputError",
    "NullTypeGradError",
    "Operand",
    "OutOfMemoryError",
    "ShapeError",
    "SourceLine",
    "TinygraphError",
    "UnusedInputError",
    "UpdateError",
]


class SourceLine(NamedTuple):
    """One place in the user's program.

    Parameters
    ----------
    filename, line, function
        The file, its 1-based line and the name of the enclosing function.
    columns
        0-based character columns ``(start, end)`` of the expression on that line, or None where they are unknown or
        the expression spans several lines.
    """

    filename: str
    line: int
    function: str
    columns: tuple[int, int] | None = None

    def place(self) -> str:
        """``file:line in function``."""
        return f"{self.filename}:{self.line} in {self.function}"

    def raw(self) -> str:
        """The line's own text, or "" where the source cannot be read."""
        return linecache.getline(self.filename, self.line).rstrip("\n")

    def text(self) -> str:
        """The line's own text without its indentation, or "" where the source cannot be read."""
        return self.raw().strip()

    def render(self, indent: str = "  ") -> str:
        """The place, the line's text and a caret row under the expression."""
        raw = self.raw()
        text = raw.strip()
        if not text:
            return f"{indent}{self.place()}"
        rows = [f"{indent}{self.place()}", f"{indent}    {text}"]
        if self.columns is not None:
            shift = len(raw) - len(raw.lstrip())
            start, end = (column - shift for column in self.columns)
            if 0 <= start < end and end - start < len(text):
                rows.append(f"{indent}    {' ' * start}{'^' * (end - start)}")
        return "\n".join(rows)


class Operand(NamedTuple):
    """What an error says of one operand: its label, its type and shape as text, and where it came from."""

    label: str
    type: str
    source: str = ""
    trace: Sequence[SourceLine] = ()

    def render(self) -> str:
        return f"{self.label}: {self.type}" + (f"  ({self.source})" if self.source else "")


class _Report(NamedTuple):
    op: str = ""
    operands: Sequence[Operand] = ()
    trace: Sequence[SourceLine] = ()
    gradient_of: Sequence[SourceLine] = ()


class TinygraphError(Exception):
    """Base of every error that tinygraph raises on purpose.

    Parameters
    ----------
    problem
        One sentence that says what is wrong.
    expected, actual
        The two sides, where the failure has two.
    hint
        What to do about it.

    Class attributes
    ----------------
    verbose
        True makes ``str(err)`` as long as ``err.explain()``.
    """

    verbose: ClassVar[bool] = False

    def __init__(self, problem: str, *, expected: str = "", actual: str = "", hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.actual = actual
        self.hint = hint
        self._report = _Report()

    def locate(
        self,
        op: str,
        operands: Sequence[Operand],
        trace: Sequence[SourceLine],
        gradient_of: Sequence[SourceLine] = (),
    ) -> None:
        """Add the operation, its operands and the user's lines; the first call, made nearest the failure, wins."""
        if not self._report.op:
            self._report = _Report(op, list(operands), trace, gradient_of)

    @property
    def op(self) -> str:
        """Name of the operation that failed, or ""."""
        return self._report.op

    @property
    def trace(self) -> Sequence[SourceLine]:
        """The user's lines that built the failing node, innermost first."""
        return self._report.trace

    def _head(self) -> list[str]:
        report = self._report
        rows = [f"{report.op}: {self.problem}" if report.op else self.problem]
        if self.expected:
            rows.append(f"  expected  {self.expected}")
        if self.actual:
            rows.append(f"  actual    {self.actual}")
        rows.extend(f"  operand   {operand.render()}" for operand in report.operands)
        return rows

    def __str__(self) -> str:
        if self.verbose:
            return self.explain()
        report = self._report
        rows = self._head()
        if report.gradient_of:
            rows.append("in the gradient of")
            rows.append(report.gradient_of[0].render())
        elif report.trace:
            rows.append(report.trace[0].render())
        if self.hint:
            rows.append(f"  hint: {self.hint}")
        return "\n".join(rows)

    def explain(self) -> str:
        """The long form: the call path of the failing node and of each operand, innermost line first."""
        report = self._report
        rows = self._head()
        for title, trace in (("built at", report.trace), ("in the gradient of", report.gradient_of)):
            if trace:
                rows.append(title)
                rows.extend(line.render() for line in trace)
        for operand in report.operands:
            if operand.trace:
                rows.append(f"operand {operand.label} comes from")
                rows.extend(line.render() for line in operand.trace)
        if self.hint:
            rows.append(f"hint: {self.hint}")
        return "\n".join(rows)


class ShapeError(TinygraphError, ValueError):
    """Shapes that do not fit together."""


class IndexingError(TinygraphError, IndexError):
    """An index that is out of bounds, or an index expression that has no meaning."""


class DtypeError(TinygraphError, TypeError):
    """A dtype, or a kind of value, that an operation does not take."""


class InputError(TinygraphError, TypeError, ValueError):
    """A compiled function was called with something that its input cannot hold."""


class UpdateError(TinygraphError, TypeError, ValueError):
    """An update that its shared variable cannot take."""


class GradientError(TinygraphError, ValueError):
    """A gradient that cannot be taken, or one that a check found wrong."""


class DisconnectedInputError(GradientError):
    """The cost does not depend on a variable in a differentiable way."""


class NullTypeGradError(GradientError, TypeError):
    """The gradient is undefined at an operation on the path."""


class UnusedInputError(TinygraphError, ValueError):
    """A function input that no output or update depends on."""


class MissingInputError(TinygraphError, ValueError):
    """A graph depends on a variable that is neither an input, a constant nor shared."""


class BackendError(TinygraphError, RuntimeError):
    """A backend that is unknown, not installed, or without a usable device."""


class OutOfMemoryError(BackendError, MemoryError):
    """A call for which memory does not suffice."""
