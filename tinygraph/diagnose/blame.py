"""From a wrong number in a result back to the instruction that made the first one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.diagnose.recording import Recording, narrowed, turns
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.linalg import MatMul

__all__ = ["FILLS", "Blame", "Spot", "Wrong", "blame", "first_wrong", "followed", "is_wrong", "made_wrong"]

#: An array to an array of bools that are true where a number is wrong.
Wrong = Callable[[Any], Any]
Index = tuple[int, ...]
Array = np.ndarray[Any, Any]

#: What is put in the place of a wrong number to see whether a result depends on it: few operations are undefined at
#: all of these.
FILLS = (0.5, 1.5, -0.25, 3.0)


@dataclass(frozen=True)
class Spot:
    """An element of a value in a recorded run.

    Parameters
    ----------
    run
        The run.
    buffer, index
        Which value, and where in it.
    turns
        For a value inside loops the number of the turn, outermost loop first.
    """

    run: Recording
    buffer: int
    index: Index
    turns: tuple[tuple[str, int], ...] = ()

    @property
    def value(self) -> float:
        return float(self.run.values[self.buffer][self.index])

    @property
    def position(self) -> int | None:
        """The instruction that made it, or None for inputs, shared variables and constants."""
        return self.run.maker.get(self.buffer)

    @property
    def kind(self) -> str:
        return self.run.program.buffers[self.buffer].kind


@dataclass(frozen=True)
class Blame:
    """Why a number is wrong.

    Attributes
    ----------
    origin
        The first wrong number: made by an instruction whose inputs do not explain it, or given to the function.
    turned
        Where infinite operands became NaN, if that is how it went.
    result
        The number in the result that the search began with.
    """

    origin: Spot
    turned: Spot | None
    result: Spot


def is_wrong(xp: Any, nan: bool = True, inf: bool = True, above: float | None = None) -> Wrong:
    """Tells wrong numbers: NaN, infinities, and those of a size above a limit."""

    def wrong(x: Any) -> Any:
        found = xp.isnan(x) if nan else xp.zeros(x.shape, dtype="bool")
        found = found | xp.isinf(x) if inf else found
        if above is not None:
            found = found | (xp.isfinite(x) & (xp.abs(x) > above))
        return found

    return wrong


def first_wrong(x: Any, wrong: Wrong) -> Index | None:
    """The index of the first wrong number of an array of floats; None where there is none."""
    if x is None or x.dtype.kind != "f" or not x.size:
        return None
    flat = arrays.to_numpy(wrong(x)).reshape(-1)
    at = int(np.argmax(flat))
    return _index(at, x.shape) if flat[at] else None


def _index(flat: int, shape: Sequence[int]) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, tuple(shape)))


def blame(result: Spot) -> Blame:
    """Follow a NaN or an infinity back to where the first one was made."""
    run = result.run
    if not np.isnan(result.value):
        return Blame(followed(result, is_wrong(run.xp)), None, result)
    spot = followed(result, is_wrong(run.xp, inf=False))
    infinite = None if spot.position is None else _explaining(spot, is_wrong(spot.run.xp))
    if infinite is None:
        return Blame(spot, None, result)
    origin = followed(infinite, is_wrong(spot.run.xp))
    if origin.position is None and origin.turns:  # it came into this turn of a loop; an earlier one may have made it
        origin = followed(result, is_wrong(run.xp))
    # Infinities that were given are meant to be there; what is wrong is what was made of them.
    return Blame(spot, None, result) if origin.position is None else Blame(origin, spot, result)


def followed(spot: Spot, wrong: Wrong) -> Spot:
    """The earliest wrong number that explains this one."""
    while spot.position is not None:
        cause = _explaining(spot, wrong)
        if cause is None:
            return _inside(spot, wrong)
        spot = cause
    return spot


def _explaining(spot: Spot, wrong: Wrong) -> Spot | None:
    """A wrong number among the inputs of the instruction without which this one would be right."""
    run, position = spot.run, spot.position
    assert position is not None
    step = run.program.instructions[position]
    which = step.outputs.index(spot.buffer)
    inputs = run.inputs(position)
    if step.op.effects:  # not done again, only to see; it hands on its input
        same = inputs[0] is not None and inputs[0].shape == run.values[spot.buffer].shape
        return Spot(run, step.inputs[0], spot.index, spot.turns) if same else None
    parts, inner = _needed(step.op, inputs, spot.index)
    given = [x if x is None or part is None else x[part] for x, part in zip(inputs, parts, strict=True)]
    suspects = _Suspects(run, given, wrong)
    if not len(suspects):
        return None
    before = run.values[spot.buffer].shape

    def still_wrong(values: Sequence[Any]) -> bool:
        outputs = run.again(position, values)
        if outputs is None or (inner is None and outputs[which].shape != before):
            return True
        return bool(wrong(outputs[which])[spot.index if inner is None else inner])

    fill = next((fill for fill in FILLS if not still_wrong(suspects.replaced(fill))), None)
    if fill is None:
        return None
    i, index = suspects.place(narrowed(len(suspects), lambda chosen: still_wrong(suspects.replaced(fill, chosen))))
    part = parts[i]
    if part is not None:
        index = tuple(at + cut.start for at, cut in zip(index, part, strict=True))
    return Spot(run, step.inputs[i], index, spot.turns)


#: Which part of an array is looked at, along each axis.
_Part = tuple[slice, ...]


def _needed(op: Any, inputs: Sequence[Any], index: Index) -> tuple[Sequence[_Part | None], Index | None]:
    """The parts of the inputs that one element of the result is computed from, and its index in what they give.

    None stands for whole inputs, where it is not plain which parts these are.
    """
    shapes: list[Any] = [None if x is None else x.shape for x in inputs]
    if isinstance(op, Elementwise) and None not in shapes:
        parts = []
        for shape in shapes:
            own = index[len(index) - len(shape) :] if shape else ()
            starts = [0 if n == 1 else at for n, at in zip(shape, own, strict=True)]
            parts.append(tuple(slice(at, at + 1) for at in starts))
        return parts, (0,) * len(index)
    if isinstance(op, MatMul) and all(len(shape) == 2 for shape in shapes):
        row, column = slice(index[0], index[0] + 1), slice(index[1], index[1] + 1)
        return [(row, slice(0, shapes[0][1])), (slice(0, shapes[1][0]), column)], (0, 0)
    return [None] * len(inputs), None


class _Suspects:
    """The wrong numbers among the inputs of an instruction."""

    def __init__(self, run: Recording, inputs: Sequence[Any], wrong: Wrong) -> None:
        self._xp = run.xp
        self._inputs = inputs
        parts = [
            (i, np.flatnonzero(arrays.to_numpy(wrong(x))))
            for i, x in enumerate(inputs)
            if first_wrong(x, wrong) is not None
        ]
        self._which = np.concatenate([np.full(len(flat), i) for i, flat in parts]) if parts else np.zeros(0, int)
        self._flat = np.concatenate([flat for _, flat in parts]) if parts else np.zeros(0, int)

    def __len__(self) -> int:
        return len(self._flat)

    def place(self, n: int) -> tuple[int, Index]:
        """Which input the n-th is in, and where."""
        i = int(self._which[n])
        return i, _index(int(self._flat[n]), self._inputs[i].shape)

    def replaced(self, fill: float, kept: Array | None = None) -> list[Any]:
        """The inputs with the wrong numbers replaced, except some that are kept."""
        given = list(self._inputs)
        for i in np.unique(self._which):
            given[i] = self._xp.array(given[i], order="C")
            given[i].reshape(-1)[self._flat[self._which == i]] = fill
            if kept is not None:
                mine = self._flat[kept[self._which[kept] == i]]
                given[i].reshape(-1)[mine] = self._inputs[i].reshape(-1)[mine]
        return given


def _inside(spot: Spot, wrong: Wrong) -> Spot:
    """For a number that a loop made the place inside it, else the spot itself."""
    position = spot.position
    assert position is not None
    step = spot.run.program.instructions[position]
    if not step.inner:
        return spot
    bad = turns(step, spot.run.inputs(position), spot.run.backend, lambda x: first_wrong(x, wrong) is not None)
    for turn, run in bad:
        for number in run.program.outputs:
            index = first_wrong(run.values[number], wrong)
            if index is not None:
                inner = Spot(run, number, index, (*spot.turns, (step.op.name, turn)))
                found = followed(inner, wrong)
                if found.position is not None:
                    return found
    return spot


def made_wrong(run: Recording, position: int, output: int, wrong: Wrong) -> Array:
    """Flat indices of an output's wrong numbers that the instruction's inputs do not explain."""
    inputs = run.inputs(position)
    value = run.values[run.program.instructions[position].outputs[output]]
    if first_wrong(value, wrong) is None:
        return np.zeros(0, int)
    own = arrays.to_numpy(wrong(value)).reshape(-1)
    suspects = _Suspects(run, inputs, wrong)
    for fill in FILLS if len(suspects) else ():
        outputs = run.again(position, suspects.replaced(fill))
        if outputs is not None and outputs[output].shape == value.shape:
            own = own & arrays.to_numpy(wrong(outputs[output])).reshape(-1)
    return np.flatnonzero(own)
