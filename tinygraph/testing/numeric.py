"""Derivatives measured from values alone: the complex step, and central differences with an error estimate.

A measurement is made to judge a claim. Where a first, cheap estimate agrees with the claim closely, two independent
ways have given the same number and nothing more is asked; only a disagreement is looked at with smaller and smaller
steps, until the measurement has settled, or shows that there is no derivative to be measured.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.graph import Constant, Op, SharedVariable, Variable, ancestors, toposort
from tinygraph.ops.elementwise import Elementwise
from tinygraph.types import is_float

__all__ = ["ComplexGraph", "Direction", "Line", "Tolerance", "Verdict", "complex_graph", "resolution_of"]

Array = np.ndarray[Any, Any]
Evaluate = Callable[[Sequence[Array]], list[Array]]

#: Halvings of the step before a disagreement is final, how many more there are near a kink, and the columns of the
#: extrapolation table.
_STEPS, _MORE, _COLUMNS = 16, 24, 4
#: How often a step that leaves the domain of the function is divided by 16.
_RETREATS = 14
#: Size of the imaginary step; small enough that its square is lost beside 1.
_IMAGINARY = 2.0**-70


@dataclass(frozen=True)
class Direction:
    """Entries of one input that are moved together, each by its weight."""

    position: int
    entries: Array
    weights: Array

    def moved(self, values: Sequence[Array], step: complex) -> list[Array]:
        """The values with this input moved by ``step``."""
        out = list(values)
        moved = np.array(values[self.position], dtype=np.result_type(values[self.position], type(step)), order="C")
        moved.reshape(-1)[self.entries] += step * self.weights
        out[self.position] = moved
        return out

    def halves(self) -> list[Direction]:
        middle = len(self.entries) // 2
        cuts = (slice(None, middle), slice(middle, None))
        return [Direction(self.position, self.entries[cut], self.weights[cut]) for cut in cuts]


@dataclass(frozen=True)
class Tolerance:
    """How far a claim may be from a measurement.

    Parameters
    ----------
    rtol, atol
        Relative to the larger of the two, and absolute; the larger of both counts.
    largest
        The largest entry of the claimed gradient: beside it, entries that cancel to almost nothing have an error that
        is not small relative to themselves.
    """

    rtol: float
    atol: float
    largest: float

    def allowed(self, claim: float, value: float) -> float:
        return max(self.atol, self.rtol * max(abs(claim), abs(value)), 1e-12 * self.largest)

    def agree(self, claim: float, value: float, error: float, floor: float) -> bool:
        """Whether a claim agrees with a measured value.

        The error of the measurement excuses a difference as far as it is well below 0.05 %, and nothing is asked of
        derivatives below ``floor``, which are lost in the rounding of the function.
        """
        larger = max(abs(claim), abs(value))
        if not math.isfinite(larger):
            return False
        excuse = min(error, 1e-4 * larger + 1e-7 * self.largest)
        return larger <= floor or abs(claim - value) <= self.allowed(claim, value) + excuse


@dataclass(frozen=True)
class Verdict:
    """What a measurement says of a claim.

    Attributes
    ----------
    kind
        ``agrees``, ``differs``, ``kink`` (the one-sided derivatives differ and the claim is one of those between),
        ``edge`` (the function is not finite on one side), or ``unsettled`` (no step gives a measurement that is
        precise enough to judge).
    value, error
        The measured derivative and the estimate of its error.
    method
        How it was measured.
    """

    kind: str
    value: float
    error: float
    method: str


class ComplexGraph:
    """Expressions evaluated with complex inputs, through ``compute`` of each operation."""

    def __init__(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._order = toposort(outputs, stop=inputs)
        self._fixed: dict[Variable, Any] = {}
        for variable in ancestors(outputs, stop=inputs):
            if isinstance(variable, Constant):
                self._fixed[variable] = variable.data
            elif isinstance(variable, SharedVariable):
                self._fixed[variable] = variable.get_value(borrow=True)

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        xp = arrays.get("numpy")
        env = dict(self._fixed)
        env.update(zip(self._inputs, values, strict=True))
        with arrays.ignore_floating_point():
            for node in self._order:
                result = node.op.compute(xp, *_of_one_kind([env[v] for v in node.inputs]))
                parts = result if isinstance(result, (tuple, list)) else (result,)
                env.update(zip(node.outputs, parts, strict=True))
        return [np.asarray(env[v]) for v in self._outputs]


def _of_one_kind(values: list[Array]) -> list[Array]:
    """Floats beside complex numbers as complex numbers: operations expect their inputs to have one dtype."""
    if not any(v.dtype.kind == "c" for v in values):
        return values
    return [v.astype("complex128") if v.dtype.kind == "f" else v for v in values]


def complex_graph(
    inputs: Sequence[Variable], moving: Sequence[Variable], outputs: Sequence[Variable]
) -> ComplexGraph | None:
    """The expressions as functions of complex numbers, or None where an operation on the way is not holomorphic."""
    reached = set(moving)
    for node in toposort(outputs, stop=inputs):
        if any(v in reached for v in node.inputs):
            floats = [v for v in node.outputs if is_float(v.dtype)]
            if floats and not _analytic(node.op):
                return None
            reached.update(floats)
    return ComplexGraph(inputs, outputs)


def _analytic(op: Op) -> bool:
    return op.spec.analytic if isinstance(op, Elementwise) else op.analytic or op.structural


def resolution_of(outputs: Sequence[Variable]) -> float:
    """The relative rounding error of the least precise float on the way to these expressions."""
    dtypes = {v.dtype for v in ancestors(outputs) if is_float(v.dtype)}
    return max(float(np.finfo(dtype).eps) for dtype in dtypes)


class Line:
    """A projection ``Σ u·f`` of a function's outputs, looked at along directions through one point.

    Parameters
    ----------
    evaluate
        The function: list of input arrays -> list of output arrays.
    values, cotangents
        The point, and one array ``u`` for each output.
    epsilon
        Relative rounding error of the function's values.
    complex_evaluate
        The same function for complex inputs, where there is one.
    first_step
        Where central differences begin, relative to max(1, abs(x)); None chooses it from ``epsilon``.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        values: Sequence[Array],
        cotangents: Sequence[Array],
        epsilon: float,
        complex_evaluate: ComplexGraph | None = None,
        first_step: float | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._values = values
        self._cotangents = cotangents
        self._epsilon = epsilon
        self._complex = complex_evaluate
        # Extrapolated twice, truncation and rounding errors balance near the power 1/7 of the rounding error.
        self._first = 2.0 ** round(math.log2(epsilon) / 7.5) if first_step is None else first_step
        self.centre = evaluate(values)
        # Derivatives this small beside the function are lost in its rounding, however they are computed.
        sizes = [np.abs(u * out) for u, out in zip(cotangents, self.centre, strict=True)]
        self._floor = 4 * epsilon * _total(sizes) / self._first

    def judge(self, direction: Direction, claim: float, tolerance: Tolerance) -> Verdict:
        """Measure the derivative along a direction and compare it with what is claimed."""
        if self._complex is not None:
            value, size = self._complex_step(direction)
            if tolerance.agree(claim, value, 64 * self._epsilon * size, self._floor):
                return Verdict("agrees", value, 0.0, "complex step")
        verdict = self._differences(direction, claim, tolerance, 1.0)
        if verdict.kind != "differs":
            return verdict
        # An extrapolation can settle by accident where the steps miss what goes on between them; not twice.
        again = self._differences(direction, claim, tolerance, 0.7)
        apart = abs(verdict.value - again.value)
        if again.kind != "differs" or not apart <= 10 * (verdict.error + again.error):
            return again if again.kind != "differs" else Verdict("unsettled", again.value, apart, again.method)
        return verdict

    def _complex_step(self, direction: Direction) -> tuple[float, float]:
        assert self._complex is not None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                outputs = self._complex(direction.moved(self._values, 1j * _IMAGINARY))
        except (TypeError, ValueError, np.exceptions.ComplexWarning):
            self._complex = None  # an operation takes no complex numbers after all: differences will do
            return math.nan, 0.0
        slopes = [u * (np.imag(out) / _IMAGINARY) for u, out in zip(self._cotangents, outputs, strict=True)]
        return _total(slopes), _total([np.abs(s) for s in slopes])

    def _differences(self, direction: Direction, claim: float, tolerance: Tolerance, scale: float) -> Verdict:
        search = _Search(claim, tolerance, self._floor)
        x = self._values[direction.position].reshape(-1)[direction.entries]
        # The weights of several entries that move together already hold their sizes.
        size = abs(float(x[0])) if len(x) == 1 else 1.0
        step = scale * self._first * max(1.0, size)
        smallest = 16 * float(np.finfo("float64").eps) * size  # less would hardly move x
        retreats = 0
        while search.unfinished() and retreats < _RETREATS and step > smallest:
            plus, minus = (self._evaluate(direction.moved(self._values, s)) for s in (step, -step))
            if not all(np.isfinite(out).all() for out in (*plus, *minus)):
                retreats += 1
                step /= 16
                search = _Search(claim, tolerance, self._floor)
                continue
            if search.add(*self._slope(plus, minus, step)):
                return Verdict("agrees", search.rows[-1][-1], search.error, "central differences")
            step /= 2
        return search.verdict()

    def _slope(self, plus: list[Array], minus: list[Array], step: float) -> tuple[float, float, float]:
        """The central difference, the gap between the one-sided ones, and the rounding error of both."""
        rise, bend, size = [], [], []
        for u, high, low, here in zip(self._cotangents, plus, minus, self.centre, strict=True):
            rise.append(u * (high - low))
            bend.append(u * ((high - here) - (here - low)))
            moved = (high != here) | (low != here)  # the others add no rounding error
            size.append(np.where(moved, np.abs(u) * (np.abs(high) + np.abs(low)), 0.0))
        noise = 2 * self._epsilon * _total(size) / step
        return _total(rise) / (2 * step), _total(bend) / step, noise


def _total(parts: Sequence[Array]) -> float:
    return float(sum(float(np.sum(part, dtype="float64")) for part in parts))


class _Search:
    """Central differences for ever smaller steps, extrapolated to the step 0."""

    def __init__(self, claim: float, tolerance: Tolerance, floor: float) -> None:
        self._claim = claim
        self._tolerance = tolerance
        self._floor = floor
        self.rows: list[list[float]] = []
        self.error = math.inf
        self._best = math.nan
        self._gaps: list[tuple[float, float]] = []

    def add(self, slope: float, gap: float, noise: float) -> bool:
        """Take up the difference for the next step; True when the extrapolation agrees with the claim."""
        row = [slope]
        if self.rows:
            above = self.rows[-1]
            for j in range(1, min(len(above), _COLUMNS - 1) + 1):
                row.append((4**j * row[j - 1] - above[j - 1]) / (4**j - 1))
                error = max(abs(row[j] - row[j - 1]), abs(row[j] - above[j - 1]), noise)
                if error < self.error:
                    self.error, self._best = error, row[j]
        self.rows.append(row)
        self._gaps.append((gap, noise))
        return len(row) > 1 and self._agrees(row[-1], noise)

    def unfinished(self) -> bool:
        """Whether smaller steps may still tell more: some always, others where a kink may turn out to lie beside."""
        count = len(self.rows)
        if count < _STEPS:
            return True
        # When a kink is passed, the differences from then on are those of a smooth function: a few are needed.
        return count < _STEPS + _MORE and any(self._rough(row) for row in range(count - _COLUMNS, count))

    def _agrees(self, value: float, error: float) -> bool:
        return self._tolerance.agree(self._claim, value, error, self._floor)

    def verdict(self) -> Verdict:
        """The judgement when no step has brought agreement."""
        kind = "edge" if not self.rows else "unsettled"
        if self.rows and self._agrees(self._best, 5 * self.error):
            kind = "agrees"
        elif self._at_kink():
            kind = "kink"
        elif self.rows and not abs(self._claim - self._best) <= 10 * self.error:
            kind = "differs"
        return Verdict(kind, self._best, self.error, "central differences")

    def _at_kink(self) -> bool:
        """There is no derivative here, however small the step, and the claim is no contradiction to what there is.

        The gap between the one-sided differences is proportional to the step where a function is smooth, and constant
        at a kink; there the claim must lie between them. At a jump or a cusp the differences themselves grow.
        """
        if len(self.rows) < _STEPS or math.isnan(self._claim):
            return False
        last = max((row for row in range(_STEPS - 1, len(self.rows)) if self._rough(row)), default=None)
        if last is None:
            return False
        slope, gap = self.rows[last][0], self._gaps[last][0]
        if last < len(self.rows) - 1 and 16 * self._gaps[last + 1][1] < max(abs(slope), abs(gap)):
            return False  # smaller steps have passed it, and rounding errors are not the reason
        off = abs(self._claim - slope)
        return self._grows(last) or not off > 0.5005 * abs(gap) + self._tolerance.allowed(self._claim, slope)

    def _rough(self, row: int) -> bool:
        """What is seen at this step is no rounding error, and not what a smooth function shows."""
        gap, noise = self._gaps[row]
        return abs(gap) > max(8 * noise, 0.6 * abs(self._gaps[row - 2][0])) or self._grows(row)

    def _grows(self, row: int) -> bool:
        return abs(self.rows[row][0]) > max(8 * self._gaps[row][1], 1.5 * abs(self.rows[row - 2][0]))
