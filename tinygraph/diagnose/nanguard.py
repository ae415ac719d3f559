"""A mode in which a wrong number stops the function that computes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends import Observer
from tinygraph.closed import Closed
from tinygraph.diagnose.blame import FILLS, Spot, Wrong, first_wrong, followed, is_wrong, made_wrong
from tinygraph.diagnose.recording import Recording, narrowed, record
from tinygraph.diagnose.report import operands_at
from tinygraph.errors import TinygraphError
from tinygraph.graph import describe
from tinygraph.program import Program
from tinygraph.types import Abstract, TensorType

__all__ = ["NanGuardError", "NanGuardMode"]


class NanGuardError(TinygraphError, AssertionError):
    """A NaN, an infinity or a very large number that the results depend on."""


class NanGuardMode:
    """A mode for ``function``: a call raises where a NaN, an infinity or a very large number comes up.

    The error names the first instruction that makes one out of right numbers, or the input that holds one. Numbers
    that no output and no update depends on, because ``switch`` masks them or nothing uses them, are no errors, and
    neither are constants that are infinite on purpose. As whenever a call raises, no shared variable has changed.

    Parameters
    ----------
    nan_is_error, inf_is_error, big_is_error
        What is looked for; by default everything. Big is what is larger than ``big``.
    optimizer, linker
        Accepted as in Theano, without effect here.
    big
        The size from which a number is too big.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> f = tg.function([x], T.log(x), mode="NanGuardMode")
    >>> try:
    ...     f([0.0])
    ... except AssertionError as err:
    ...     print(err.op, "-", err.problem)
    log - the result holds -inf at index (0,)
    """

    def __init__(
        self,
        nan_is_error: bool | None = None,
        inf_is_error: bool | None = None,
        big_is_error: bool | None = None,
        optimizer: Any = "default",
        linker: Any = None,
        big: float = 1e10,
    ) -> None:
        chosen = [True if flag is None else bool(flag) for flag in (nan_is_error, inf_is_error, big_is_error)]
        if not any(chosen):
            raise ValueError("NanGuardMode needs one of nan_is_error, inf_is_error and big_is_error")
        self.nan_is_error, self.inf_is_error, self.big_is_error = chosen
        self.big = big

    def __repr__(self) -> str:
        flags = ("nan_is_error", "inf_is_error", "big_is_error")
        return f"NanGuardMode({', '.join(f'{name}={getattr(self, name)}' for name in flags)})"

    def runner(self, closed: Closed, executable: Any) -> Callable[[Sequence[Any]], list[Any]]:
        """What a call runs in place of the executable."""

        def run(values: Sequence[Any]) -> list[Any]:
            watch = _Watch(self.big if self.big_is_error else sys.float_info.max)
            results = executable.observed(values, watch)
            if watch.seen:
                self._check(record(executable.program, values, executable.backend))
            return results

        return run

    def _wrong(self, backend: str) -> Wrong:
        return is_wrong(
            arrays.get(backend), self.nan_is_error, self.inf_is_error, self.big if self.big_is_error else None
        )

    def _check(self, run: Recording) -> None:
        wrong = self._wrong(run.backend)
        for number in run.program.outputs:
            index = first_wrong(run.values[number], wrong)
            if index is not None:
                raise self._error(followed(Spot(run, number, index), wrong))
        for number in run.program.inputs:
            if first_wrong(run.values[number], wrong) is not None:
                mask = arrays.to_numpy(wrong(run.values[number])).reshape(-1)
                self._raise_if_used(run, number, np.flatnonzero(mask))
        for position, step in enumerate(run.program.instructions):
            for i, number in enumerate(step.outputs):
                if run.ran(position):
                    self._raise_if_used(run, number, made_wrong(run, position, i, wrong))

    def _raise_if_used(self, run: Recording, number: int, flat: Any) -> None:
        """Raise if the results would be others with other numbers in these places."""
        value = run.values[number]

        def matters(chosen: Any) -> bool:
            for fill in FILLS:
                changed = run.xp.array(value, order="C")
                changed.reshape(-1)[flat[chosen]] = fill
                results = run.results({number: changed})
                if results is None or not all(map(_same, results, run.results({}) or ())):
                    return True
            return False

        if len(flat) and matters(np.arange(len(flat))):
            place = int(flat[narrowed(len(flat), matters)])
            index = tuple(int(i) for i in np.unravel_index(place, value.shape))
            raise self._error(Spot(run, number, index))

    def _error(self, spot: Spot) -> NanGuardError:
        if spot.position is None:
            buffer = spot.run.program.buffers[spot.buffer]
            kind = "shared variable" if spot.kind == "shared" else spot.kind
            return NanGuardError(f"{kind} {buffer.name or buffer} holds {spot.value} at index {spot.index}")
        operands = ", ".join(f"{name} = {text}" for name, text in operands_at(spot).items())
        error = NanGuardError(
            f"the result holds {spot.value} at index {spot.index}",
            actual=operands,
            hint="tg.why_nan(f, …) of the function without this mode shows how NaN and infinities came about",
        )
        step = spot.run.program.instructions[spot.position]
        inputs = spot.run.inputs(spot.position)
        known = [
            v.abstract if x is None else Abstract(TensorType(v.dtype, tuple(x.shape)))
            for v, x in zip(step.node.inputs, inputs, strict=True)
        ]
        describe(error, step.node, known)
        return error


def _same(x: Any, y: Any) -> bool:
    a, b = arrays.to_numpy(x), arrays.to_numpy(y)
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


class _Watch(Observer):
    """Notes whether there was a number anywhere that may be wrong, as cheaply as it can."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.seen = False

    def start(self, program: Program, values: Sequence[Any]) -> None:
        self._look(values)

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        self._look(outputs)

    def _look(self, values: Sequence[Any]) -> None:
        for x in values if not self.seen else ():
            if x.dtype.kind == "f" and x.size and not (x.max() <= self._limit and x.min() >= -self._limit):
                self.seen = True  # NaN is neither above nor below anything
