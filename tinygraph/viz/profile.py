"""Where the time of a compiled function goes: by instruction, source line, operation and scope."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TextIO

from tinygraph.backends import Observer, Observers
from tinygraph.errors import SourceLine
from tinygraph.graph import Apply, Origin, services
from tinygraph.program import Program
from tinygraph.program.cost import cost

__all__ = ["InstructionProfile", "ProfileStats"]

#: How many rows of each table are shown.
_SHOWN = 15


@dataclass
class InstructionProfile:
    """What was measured of one node of a compiled graph, over all signatures.

    Attributes
    ----------
    node
        The node of the graph.
    label
        Operation, name and type of the result, as seen last.
    calls, seconds
        How often it ran, and how long without what inner instructions took.
    flops, bytes
        Counted, not measured: over all its calls.
    depth
        How many loops it is inside of.
    """

    node: Apply
    label: str = ""
    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    bytes: int = 0
    depth: int = 0

    @property
    def place(self) -> str:
        """The user's line; for a gradient the line that it is the gradient of."""
        line = _line(_told(self.node.origin))
        return f"{os.path.basename(line.filename)}:{line.line}" if line is not None else "unknown"

    @property
    def line(self) -> str:
        """The place and the text of the line."""
        line = _line(_told(self.node.origin))
        return f"{self.place}  {line.text()}".rstrip() if line is not None else self.place

    @property
    def is_gradient(self) -> bool:
        return self.node.origin.forward is not None

    @property
    def scope(self) -> str:
        return _told(self.node.origin).scope


def _told(origin: Origin) -> Origin:
    return origin.forward or origin


def _line(origin: Origin) -> SourceLine | None:
    return _line_of(origin.frames[0]) if origin.frames else None


@lru_cache(maxsize=4096)
def _line_of(frame: Any) -> SourceLine:
    return Origin((frame,)).trace()[0]


#: What time is summed by.
_KEYS: dict[str, Callable[[InstructionProfile], str]] = {
    "line": lambda row: row.line,
    "op": lambda row: row.node.op.name,
    "scope": lambda row: row.scope or "(none)",
}


class _Text(str):
    """Text that an interactive session shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass
class _Measured:
    """Calls and seconds of every instruction of one Program."""

    program: Program
    calls: list[int]
    seconds: list[float]


@dataclass
class ProfileStats(Observer):
    """What was measured of one or several functions; made by ``function(…, profile=True)``.

    Parameters
    ----------
    label
        Of what it is, for the title.

    Attributes
    ----------
    calls, call_seconds
        Calls, and the time they took without compiling.
    run_seconds
        The part of it spent in running Programs; the rest went into arguments, results and updates.
    compile_seconds
        Time spent on specialising for new signatures.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dmatrix("x")
    >>> f = tg.function([x], T.tanh(x).sum(), profile=True)
    >>> value = f([[1.0, 2.0]])
    >>> [(row.node.op.name, row.calls) for row in sorted(f.profile.instructions(), key=lambda row: row.node.op.name)]
    [('sum', 1), ('tanh', 1)]
    """

    label: str = ""
    calls: int = 0
    call_seconds: float = 0.0
    run_seconds: float = 0.0
    compile_seconds: float = 0.0
    _measured: dict[int, _Measured] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    # --- collecting -------------------------------------------------------------------------------------------------

    def count_call(self, seconds: float) -> None:
        """Take up one call of a function."""
        with self._lock:
            self.calls += 1
            self.call_seconds += seconds

    def watching(self, executable: Any) -> Any:
        """The executable, with its instructions measured."""
        return _Watched(executable, self)

    def start(self, program: Program, values: Sequence[Any]) -> None:
        if id(program) not in self._measured:
            n = len(program.instructions)
            self._measured.setdefault(id(program), _Measured(program, [0] * n, [0.0] * n))

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        measured = self._measured[id(program)]
        measured.calls[position] += 1
        measured.seconds[position] += seconds

    # --- looking ----------------------------------------------------------------------------------------------------

    def instructions(self) -> list[InstructionProfile]:
        """A row for each node of the compiled graph, the slowest first."""
        inner = {id(p) for m in self._measured.values() for step in m.program.instructions for p in step.inner}
        rows: dict[Apply, InstructionProfile] = {}
        pending = [(m, 0) for key, m in self._measured.items() if key not in inner]
        while pending:
            measured, depth = pending.pop()
            for position, step in enumerate(measured.program.instructions):
                calls = measured.calls[position]
                row = rows.setdefault(step.node, InstructionProfile(step.node, depth=depth))
                row.label = _label(measured.program, position)
                row.calls += calls
                row.seconds += measured.seconds[position]
                if not step.inner:
                    each = cost(step, measured.program)
                    row.flops += calls * each.flops
                    row.bytes += calls * each.bytes
                for part in [self._measured[id(p)] for p in step.inner if id(p) in self._measured]:
                    row.seconds -= sum(part.seconds)
                    pending.append((part, depth + 1))
        return sorted((row for row in rows.values() if row.calls), key=lambda row: -row.seconds)

    @property
    def instruction_seconds(self) -> float:
        """Time spent inside instructions."""
        return sum(row.seconds for row in self.instructions())

    def grouped(self, by: str) -> list[tuple[str, float, float, int]]:
        """Seconds by ``"line"``, ``"op"`` or ``"scope"``: name, seconds in all, those of gradients, and calls."""
        if by not in _KEYS:
            raise ValueError(f"by must be one of {', '.join(map(repr, _KEYS))}, not {by!r}")
        return self._sums(self.instructions(), _KEYS[by])

    def _sums(
        self, rows: Sequence[InstructionProfile], key: Callable[[InstructionProfile], str]
    ) -> list[tuple[str, float, float, int]]:
        sums: dict[str, tuple[float, float, int]] = {}
        for row in rows:
            total, gradient, calls = sums.get(key(row), (0.0, 0.0, 0))
            total, calls = total + row.seconds, calls + row.calls
            sums[key(row)] = (total, gradient + (row.seconds if row.is_gradient else 0.0), calls)
        return sorted(((name, *values) for name, values in sums.items()), key=lambda row: -row[1])

    def summary(self, rows: int = _SHOWN) -> str:
        """Tables of where the time went, with at most ``rows`` rows each."""
        if not self.calls:
            return _Text(f"profile of {self.label}: not called yet")
        found = self.instructions()
        inside = sum(row.seconds for row in found)
        total = self.call_seconds or 1.0
        text = [
            f"profile of {self.label}: {self.calls} calls in {_seconds(self.call_seconds)}, "
            f"{_seconds(self.call_seconds / self.calls)} each; compiling took {_seconds(self.compile_seconds)}",
            f"  {inside / total:6.1%}  in instructions",
            f"  {(self.run_seconds - inside) / total:6.1%}  in Python between them, measuring included",
            f"  {(self.call_seconds - self.run_seconds) / total:6.1%}  in Python for arguments, results and updates",
            "",
            "by instruction" if len(found) <= rows else f"by instruction, {rows} of {len(found)}",
            f"  {'share':>6} {'time/call':>10} {'calls':>7} {'GFLOP/s':>8} {'GB/s':>7}  instruction",
        ]
        for row in found[:rows]:
            text.append(
                f"  {row.seconds / total:6.1%} {_seconds(row.seconds / row.calls):>10} {row.calls:7d} "
                f"{_rate(row.flops, row.seconds):>8} {_rate(row.bytes, row.seconds):>7}  "
                f"{'in a loop: ' if row.depth else ''}{row.label}  "
                f"{'gradient of ' if row.is_gradient else ''}{row.place}"
            )
        titles = {"line": "by source line", "op": "by operation", "scope": "by scope"}
        for by, title in titles.items():
            groups = self._sums(found, _KEYS[by])
            if by == "scope" and len(groups) == 1:
                continue
            text += ["", title, f"  {'share':>6} {'forward':>10} {'gradient':>10} {'calls':>7}"]
            for key, seconds, gradient, calls in groups[:rows]:
                shares = f"{seconds / total:6.1%} {_seconds(seconds - gradient):>10} {_seconds(gradient):>10}"
                text.append(f"  {shares} {calls:7d}  {key}")
            if len(groups) > rows:
                text.append(f"  {sum(g[1] for g in groups[rows:]) / total:6.1%}  in {len(groups) - rows} more")
        return _Text("\n".join(text))

    def print_summary(self, file: TextIO | None = None, rows: int = _SHOWN) -> None:
        """Print ``summary()``."""
        print(self.summary(rows), file=file)

    def draw(self, path: Any = None, format: str | None = None, **options: Any) -> Any:
        """The Program that took the most time as a picture, its instructions the warmer the longer they took.

        The numbers in the boxes are percent of the time spent in instructions.

        Parameters
        ----------
        path, format, options
            As for ``tg.draw``.

        Raises
        ------
        ValueError
            If nothing was called yet.
        """
        from tinygraph.viz.draw import draw  # pictures load when they are asked for

        inner = {id(p) for m in self._measured.values() for step in m.program.instructions for p in step.inner}
        outer = [m for key, m in self._measured.items() if key not in inner]
        if not outer:
            raise ValueError(f"profile of {self.label}: there is nothing to draw before the first call")
        hottest = max(outer, key=lambda m: sum(m.seconds))
        total = sum(hottest.seconds) or 1.0
        return draw(hottest.program, path, format, heat=[100 * s / total for s in hottest.seconds], **options)

    def to_json(self) -> str:
        """Everything that was measured, as JSON text."""
        fields = ("calls", "call_seconds", "run_seconds", "instruction_seconds", "compile_seconds")
        rows = [
            {
                "op": str(row.node.op),
                "label": row.label,
                "line": row.line,
                "scope": row.scope,
                "gradient": row.is_gradient,
                "depth": row.depth,
                **{name: getattr(row, name) for name in ("calls", "seconds", "flops", "bytes")},
            }
            for row in self.instructions()
        ]
        return json.dumps({"label": self.label, **{f: getattr(self, f) for f in fields}, "instructions": rows})

    def __str__(self) -> str:
        return self.summary()


class _Watched:
    """An executable whose instructions are measured, whoever else observes them."""

    def __init__(self, executable: Any, profile: ProfileStats) -> None:
        self.program = executable.program
        self.backend = executable.backend
        self._executable = executable
        self._profile = profile

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        return self._run(values, self._profile)

    def observed(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        return self._run(values, Observers(self._profile, observer))

    def _run(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        start = time.perf_counter()
        try:
            return self._executable.observed(values, observer)
        finally:
            self._profile.run_seconds += time.perf_counter() - start


def _label(program: Program, position: int) -> str:
    step = program.instructions[position]
    buffers = [program.buffers[n] for n in step.outputs]
    name = "".join(f"{b.name} = " for b in buffers if b.name)
    return f"{name}{step.op.name} : {', '.join(str(b.type) for b in buffers)}"


def _seconds(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _rate(amount: float, seconds: float) -> str:
    return f"{amount / seconds / 1e9:.3g}" if seconds > 0 and amount else ""


def _profile(given: Any, label: str) -> ProfileStats:
    """The profile that ``function`` was asked for."""
    if isinstance(given, ProfileStats):
        known = given.label.split(", ") if given.label else []
        given.label = ", ".join(dict.fromkeys([*known, label]))
        return given
    if given is True or given == 1:
        return ProfileStats(label)
    raise ValueError(f"profile must be True, False or a ProfileStats, not {given!r}")


services.provide("profile", _profile)
