"""How far results may lie apart: graphs run again with every rounding disturbed.

Two ways of computing one graph round differently, and what that does to a result depends on the graph: after a
cancellation it may be everything. So tolerances are measured. The graph is run as it was written, one operation at a
time, and then several times with each result of each operation moved at random by a few units in the last place, with
the terms of sums in random order. What an entry moves by is the error that is to be expected of it. An entry that
becomes infinite, NaN or another whole number in some of these runs says nothing about any way of computing it. (Such
disturbed runs are known as Monte Carlo arithmetic: D. S. Parker, 1997.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.graph import Apply, Constant, Op, SharedVariable, Variable, graph_inputs, toposort
from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.inc_subtensor import AdvancedIncSubtensor, IncSubtensor
from tinygraph.ops.linalg import MatMul
from tinygraph.ops.loop import Loop
from tinygraph.ops.reduce import Reduce

__all__ = ["Disturbance", "Expected", "expected"]

Array = np.ndarray[Any, Any]

#: Elementwise operations whose results are exact numbers.
_EXACT = {
    *("neg", "abs", "maximum", "minimum", "switch", "clip", "relu", "ceil", "floor", "trunc", "sgn"),
    *("round_half_to_even", "round_half_away_from_zero"),
}
#: Those of them that jump: where their results differ between runs, an input was at a jump.
_JUMPS = {"ceil", "floor", "trunc", "sgn", "round_half_to_even", "round_half_away_from_zero"}
#: Elementwise operations that give 0 for inputs other than 0 when the result is too small.
_UNDERFLOW = {"mul", "true_div", "inv", "exp", "exp2", "sqr", "pow", "sigmoid", "softplus", "erfc"}
#: Other operations that only move numbers; of the rest each result is rounded.
_MOVES = {
    *("DimShuffle", "Reshape", "BroadcastTo", "Subtensor", "AdvancedSubtensor", "Join", "Split", "SpecifyShape"),
    *("SpecifySymbolicShape", "Permute", "Sort", "Diagonal", "PlaceDiagonal", "Shift", "RepeatEach", "IfElse"),
    *("DisconnectedGrad", "ZeroGrad", "FitMask", "Uniform", "Loop"),
}


class Disturbance:
    """One run's random errors.

    Parameters
    ----------
    seed
        Of the random numbers.
    ulps
        Size of an elementwise operation's error, in units in the last place; sums get a few times more. With 0 there
        are no errors.

    Attributes
    ----------
    decisions
        The bytes of every result that can only jump, in the order they were computed.
    """

    def __init__(self, seed: int, ulps: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.ulps = ulps
        self.decisions: list[bytes] = []

    def of(self, op: Op, inputs: Sequence[Any], compute: Any) -> list[Any]:
        """The results of an operation for disturbed inputs, disturbed."""
        if not self.ulps or not self._rounds(op, inputs):
            results = _listed(compute(*inputs))
        elif isinstance(op, Elementwise):
            results = [self._moved(r, 1) if _float(r) else r for r in _listed(compute(*inputs))]
            if op.row in _UNDERFLOW:
                results = [self._underflown(r, inputs) for r in results]
        else:
            # The terms of a sum are rounded one by one, and their sums once more.
            largest = max((np.size(x) for x in inputs), default=1)
            factor = 2 + np.log2(largest + 1)
            terms = [self._moved(x, factor) if _float(x) else x for x in self._shuffled(op, inputs)]
            results = [self._signed(self._moved(r, factor)) if _float(r) else r for r in _listed(compute(*terms))]
        self._note(op, results)
        return results

    def _rounds(self, op: Op, inputs: Sequence[Any]) -> bool:
        if isinstance(op, Elementwise):
            return op.row not in _EXACT
        if isinstance(op, Cast):
            return not np.can_cast(inputs[0].dtype, op.dtype, "safe")
        if isinstance(op, Reduce):
            return op.kind not in ("max", "min", "any", "all")
        if isinstance(op, (IncSubtensor, AdvancedIncSubtensor)):
            return not op.set
        return type(op).__name__ not in _MOVES

    def _note(self, op: Op, results: Sequence[Any]) -> None:
        jumps = isinstance(op, Elementwise) and op.row in _JUMPS
        for result in results:
            if jumps or not _float(result):
                self.decisions.append(np.asarray(result).tobytes())

    def _moved(self, x: Any, factor: float) -> Any:
        """Each number moved by between half and all of ``factor · ulps`` units in its last place."""
        limits = np.finfo(x.dtype)
        shape = np.shape(x)
        size = self.rng.uniform(0.5, 1.0, shape) * self.rng.choice((-1.0, 1.0), shape)
        relative = (1 + float(limits.eps) * factor * self.ulps * size).astype(x.dtype)
        # Below the normal numbers, the unit in the last place is always the same.
        absolute = float(limits.smallest_subnormal) * np.rint(2 * factor * self.ulps * size)
        with np.errstate(all="ignore"):
            small = (x != 0) & (np.abs(x) < limits.tiny / limits.eps)
            return np.where(small, x + absolute.astype(x.dtype), x * relative).astype(x.dtype)

    def _signed(self, x: Any) -> Any:
        """Zeros of either sign: what a sum begins with decides which it is where all its terms are -0."""
        return np.where(x == 0, np.copysign(x, self.rng.choice((-1.0, 1.0), np.shape(x))), x).astype(x.dtype)

    def _underflown(self, result: Any, inputs: Sequence[Any]) -> Any:
        """Zeros that are rounded numbers become the smallest ones now and then."""
        if not _float(result):
            return result
        rounded = np.asarray(result == 0)
        for x in inputs:
            rounded = rounded & (x != 0) & np.isfinite(x)
        if not rounded.any():
            return result
        tiny = np.finfo(result.dtype).smallest_subnormal
        return np.where(rounded, tiny * self.rng.integers(0, 4, np.shape(result)), result).astype(result.dtype)

    def _shuffled(self, op: Op, inputs: Sequence[Any]) -> Sequence[Any]:
        """The terms of sums in another order: whether a sum overflows depends on it."""
        if isinstance(op, Reduce):
            (x,) = inputs
            for axis in op.axes:
                x = np.take(x, self.rng.permutation(x.shape[axis]), axis=axis)
            return [x]
        if isinstance(op, MatMul):
            x, y = inputs
            order = self.rng.permutation(x.shape[-1])
            return [np.take(x, order, axis=-1), np.take(y, order, axis=0 if y.ndim == 1 else -2)]
        return inputs


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _float(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(bool)).kind == "f"


def _evaluated(
    inputs: Sequence[Variable], outputs: Sequence[Variable], disturbance: Disturbance, values: Sequence[Any]
) -> list[Any]:
    """The outputs of a graph, one operation at a time; what a choice does not take is computed, too."""
    known: dict[Variable, Any] = dict(zip(inputs, values, strict=True))

    def value(variable: Variable) -> Any:
        if isinstance(variable, Constant) and variable not in known:
            return variable.data
        return known[variable]

    for node in toposort(outputs, stop=inputs):
        operands = [value(v) for v in node.inputs]
        compute = partial(_computed, node, disturbance)
        for variable, result in zip(node.outputs, disturbance.of(node.op, operands, compute), strict=True):
            known[variable] = np.asarray(result)
    return [value(v) for v in outputs]


def _computed(node: Apply, disturbance: Disturbance, *operands: Any) -> Any:
    xp = arrays.get("numpy")
    if not isinstance(node.op, Loop):
        return node.op.compute(xp, *operands)
    bodies = [partial(_evaluated, body.inputs, body.outputs, disturbance) for body in node.op.bodies]
    return node.op.run(xp, bodies, *operands)


class Expected:
    """What a call must give.

    Attributes
    ----------
    value
        The value of the graph as it was written.
    tolerance
        For each entry how far a result may lie from it: 0 for what is exact, infinity where nothing can be said.
    """

    def __init__(self, value: Array, near: Sequence[Array], far: Sequence[Array], decided: bool) -> None:
        self.value = value
        self.tolerance = np.zeros(value.shape)
        if value.dtype.kind != "f":
            for other in (*near, *far):
                self.tolerance[np.asarray(other != value)] = np.inf
            return
        exact = value.astype("float64")
        with np.errstate(all="ignore"):
            for others, scale in ((near, _SAFETY), (far, _SAFETY / _FAR if decided else _SAFETY)):
                for other in others:
                    moved = np.abs(other.astype("float64") - exact)
                    finite = np.isfinite(exact)
                    same = np.isnan(other) == np.isnan(exact)
                    same &= (other == exact) | np.isnan(other) | (finite & np.isfinite(other))
                    moved = np.where(finite, moved, 0.0)
                    self.tolerance = np.where(same, np.fmax(self.tolerance, scale * moved), np.inf)


#: Error of one operation, in units in the last place.
_ULPS = 3.0
#: Runs with small errors and with large ones, how much larger the latter are, and how much more a result may be wrong.
_RUNS, _FAR, _SAFETY = 4, 16.0, 4.0


def expected(built: tuple[Any, ...], calls: Sequence[Sequence[Array]]) -> list[list[Expected]]:
    """For each call, what its outputs and the states after it must be.

    Parameters
    ----------
    built
        A program's graph: inputs, states, outputs and updates come first.
    calls
        The arguments of each call; states go from one to the next.
    """
    inputs, states, outputs, updates = built[:4]
    new = dict(updates)
    leaves = [v for v in graph_inputs([*outputs, *new.values(), *states]) if isinstance(v, SharedVariable)]
    for variable in leaves:
        if variable not in new and variable.default_update is not None:
            new[variable] = variable.default_update
    scales = [0.0] + [_ULPS] * _RUNS + [_ULPS * _FAR] * (_RUNS - 1)
    runs = [_run(inputs, states, outputs, new, leaves, calls, scale, i) for i, scale in enumerate(scales)]
    decided = all(decisions == runs[0][1] for _, decisions in runs[1:])
    found = []
    for i in range(len(calls)):
        rows = [results[i] for results, _ in runs]
        found.append([Expected(v, c[:_RUNS], c[_RUNS:], decided) for v, *c in zip(*rows, strict=True)])
    return found


def _run(
    inputs: Sequence[Any],
    states: Sequence[Any],
    outputs: Sequence[Any],
    new: Mapping[Any, Any],
    leaves: Sequence[Any],
    calls: Sequence[Sequence[Array]],
    ulps: float,
    seed: int,
) -> tuple[list[list[Array]], list[bytes]]:
    """The results of every call and the states after it, and every decision on the way."""
    disturbance = Disturbance(seed, ulps)
    values = {v: np.asarray(v.get_value(return_internal_type=True)) for v in leaves}
    results = []
    with arrays.ignore_floating_point():
        for arguments in calls:
            given = [*(np.asarray(a, v.dtype) for v, a in zip(inputs, arguments, strict=True)), *values.values()]
            found = _evaluated([*inputs, *values], [*outputs, *new.values()], disturbance, given)
            values.update(zip(new, (np.array(x) for x in found[len(outputs) :]), strict=True))
            results.append([np.array(x) for x in found[: len(outputs)]] + [values[p] for p in states])
    return results, disturbance.decisions
