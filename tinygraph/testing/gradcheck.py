"""Gradient checks: what ``grad`` says against what can be measured."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.autodiff import Lop
from tinygraph.errors import DtypeError, GradientError
from tinygraph.function import function
from tinygraph.graph import Variable
from tinygraph.ops.convert import as_tensor
from tinygraph.testing.numeric import Direction, Line, Tolerance, Verdict, complex_graph, resolution_of
from tinygraph.types import TensorType, is_float, shape_text

__all__ = ["GradientReport", "WrongGradientError", "check_grad", "verify_grad"]

Array = np.ndarray[Any, Any]

#: Measurements that may be spent on finding out which entries of a group are at a kink.
_EXTRA = 200


class WrongGradientError(GradientError):
    """A gradient that differs from what was measured, or has another shape than its input."""


@dataclass(frozen=True)
class GradientReport:
    """What a gradient check that passed has looked at.

    Attributes
    ----------
    seed
        Repeats the check with the same random projections.
    checked
        Number of entries whose derivatives agree, over all orders.
    methods
        How many measurements were made by ``complex step`` and by ``central differences``.
    excluded
        One line for each entry that could not be checked because it is at a kink or at the edge of the domain.
    """

    seed: int
    checked: int
    methods: dict[str, int]
    excluded: tuple[str, ...]


def check_grad(
    f: Callable[..., Any],
    *values: Any,
    order: int = 2,
    rtol: float = 1e-6,
    atol: float = 0.0,
    seed: int | None = None,
    wrt: Sequence[int] | None = None,
    coordinates: int = 100,
    mode: str | None = None,
) -> GradientReport:
    """Check the gradients of ``f`` against measured ones.

    The outputs are projected on random numbers, and the derivative of that one number is compared with its measured
    value along every coordinate of the inputs: by the complex step where every operation on the way allows it, else by
    extrapolated central differences with an error estimate. A gradient that is wrong by 0.05 % fails. For the second
    order the gradient is checked in the same way as a function of the inputs and of the random numbers it was
    projected on, and so on.

    Parameters
    ----------
    f
        Takes one symbolic variable for each value and returns a symbolic output of any shape, or a list of them.
        Outputs that are no floats carry no gradient and are left out.
    values
        The point: arrays, nested lists or numbers. Floats of any precision are checked in float64; integers and bools
        are passed as they are.
    order
        Highest order of derivative that is checked.
    rtol, atol
        Tolerance, relative to the larger of claim and measurement, and absolute; the larger one counts. The estimated
        error of a measurement is added, as far as it is much smaller than 0.05 %.
    seed
        Of the random numbers; by default a new one each time, which the error shows.
    wrt
        Positions of the inputs that are checked; by default every float input.
    coordinates
        With more entries than this, entries are grouped and each group is moved along a random direction.
    mode
        As for ``function``.

    Returns
    -------
    GradientReport
        What was checked. Entries at a kink, where the one-sided derivatives differ and the gradient is one of those
        between, are listed there and count as not checked.

    Raises
    ------
    GradientError
        If a gradient is wrong; it names the input, the index, both numbers and the seed. Also if it has the wrong
        shape, if ``f`` is not finite at this point, or if nothing at all could be checked.

    >>> import tinygraph.tensor as T
    >>> report = check_grad(lambda x, y: T.tanh(x) * y, [0.5, -1.0], [2.0, 3.0])
    >>> report.checked, report.excluded
    (10, ())
    """
    points = [_point(value, i) for i, value in enumerate(values)]
    names = _names(f, len(points))
    variables = [TensorType(p.dtype.name, (None,) * p.ndim)(name) for p, name in zip(points, names, strict=True)]
    return _check(f, variables, points, order, rtol, atol, seed, wrt, coordinates, mode)


def verify_grad(
    fun: Callable[..., Any],
    pt: Sequence[Any],
    n_tests: int = 2,
    rng: Any = None,
    eps: float | None = None,
    out_type: str | None = None,
    abs_tol: float | None = None,
    rel_tol: float | None = None,
    mode: str | None = None,
    cast_to_output_type: bool = False,
    no_debug_ref: bool = True,
) -> None:
    """Theano's gradient check: the first order of ``check_grad`` for several random projections.

    Parameters
    ----------
    fun
        Takes one variable for each array and returns one variable; an ``Op`` will do.
    pt
        A list of float arrays. Extents of 1 are known to be 1, so these axes broadcast.
    n_tests
        Number of random projections.
    rng
        Source of their seeds: ``numpy.random``, a ``RandomState`` or a ``Generator``; None takes new ones.
    eps
        First step of central differences; None chooses it from the precision.
    abs_tol, rel_tol
        A gradient passes if either holds; the defaults are those of ``check_grad`` whatever the dtype, as everything
        is computed in float64.
    mode
        As for ``function``.
    out_type, cast_to_output_type, no_debug_ref
        Accepted as in Theano, without effect here.

    Raises
    ------
    DtypeError
        If an array does not hold floats or ``fun`` returns several outputs.
    GradientError
        If the gradient is wrong; ``verify_grad.E_grad`` is its Theano name.

    >>> import numpy as np, tinygraph.tensor as T
    >>> verify_grad(T.tanh, [np.array([[2.0, 3.0], [-1.0, 3.3]])], rng=np.random)
    """
    if not isinstance(pt, (list, tuple)):
        raise DtypeError("verify_grad takes a list of arrays", expected="[x, y]", actual=type(pt).__name__)
    points = [_point(value, i) for i, value in enumerate(pt)]
    for i, point in enumerate(points):
        if not is_float(point.dtype.name):
            raise DtypeError(f"verify_grad takes float arrays; input {i} is none", actual=point.dtype.name)

    def single(*variables: Any) -> Any:
        out = fun(*variables)
        if isinstance(out, (list, tuple)):
            raise DtypeError("verify_grad takes a function with one output", actual=f"{len(out)} outputs")
        return out

    for _ in range(n_tests):
        shapes = [tuple(1 if n == 1 else None for n in p.shape) for p in points]
        variables = [
            TensorType("float64", shape)(name) for shape, name in zip(shapes, _names(fun, len(points)), strict=True)
        ]
        tolerance = 1e-6 if rel_tol is None else rel_tol, 0.0 if abs_tol is None else abs_tol
        _check(single, variables, points, 1, *tolerance, _seed_from(rng), None, 100, mode, eps)


verify_grad.E_grad = GradientError  # type: ignore[attr-defined]


def _seed_from(rng: Any) -> int | None:
    if rng is None:
        return None
    draw = rng.integers if hasattr(rng, "integers") else rng.randint
    return int(draw(2**31 - 1))


def _point(value: Any, position: int) -> Array:
    array = np.asarray(arrays.to_numpy(value))
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"input {position} of a gradient check is no array of numbers", actual=str(array.dtype))
    native = array.dtype.newbyteorder("=") if array.dtype.kind != "f" else np.dtype("float64")
    return array.astype(native)


def _names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of f's parameters, or x0, x1, … where it has none to show."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return named[:count] if len(named) >= count else [f"x{i}" for i in range(count)]


@dataclass
class _Level:
    """One order of derivative: a function, and what it is differentiated with respect to."""

    order: int
    inputs: list[Any]
    values: list[Array]
    names: list[str]
    outputs: list[Any]
    wrt: list[int]


@dataclass
class _Finding:
    """A disagreement, or an entry that could not be judged, in one input."""

    position: int
    direction: Direction
    claim: float
    verdict: Verdict

    @property
    def size(self) -> float:
        """The relative error of the claim."""
        largest = max(abs(self.claim), abs(self.verdict.value))
        error = abs(self.claim - self.verdict.value)
        return error / largest if math.isfinite(error) and largest else math.inf


def _check(
    f: Callable[..., Any],
    variables: list[Any],
    points: list[Array],
    order: int,
    rtol: float,
    atol: float,
    seed: int | None,
    wrt: Sequence[int] | None,
    coordinates: int,
    mode: str | None,
    first_step: float | None = None,
) -> GradientReport:
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    built = f(*variables)
    outputs = [as_tensor(out) for out in (built if isinstance(built, (list, tuple)) else [built])]
    outputs = [out for out in outputs if is_float(out.dtype)]
    floats = [i for i, p in enumerate(points) if p.dtype.kind == "f"]
    positions = floats if wrt is None else list(wrt)
    if not outputs or not positions or not set(positions) <= set(floats) or order < 1:
        raise GradientError(
            "there is nothing to differentiate",
            expected="a float output, positions of float inputs, an order from 1",
            actual=f"{len(outputs)} float outputs, positions {positions} of {len(points)} inputs, order {order}",
        )
    check = _Check(rtol, atol, seed, coordinates, mode, first_step, outputs[0])
    level = _Level(1, variables, points, [v.name for v in variables], outputs, positions)
    for _ in range(order):
        level = check.run(level)
        if check.excluded and not check.checked:
            raise check.error("every entry is at a kink or at the edge of the domain", hint="choose another point")
    return GradientReport(seed, check.checked, dict(check.methods), tuple(check.excluded))


@dataclass
class _Check:
    rtol: float
    atol: float
    seed: int
    coordinates: int
    mode: str | None
    first_step: float | None
    output: Variable
    checked: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    excluded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def error(self, problem: str, kind: type[GradientError] = GradientError, **sides: str) -> GradientError:
        error = kind(problem, **sides)
        error.hint = ", and ".join(filter(None, (error.hint, f"repeat this check with seed={self.seed}")))
        error.locate("", (), self.output.origin.trace())
        return error

    def run(self, level: _Level) -> _Level:
        """Check one order; the next order is a function of these inputs and of the numbers projected on."""
        evaluate = self._compiled(level.inputs, level.outputs)
        here = evaluate(level.values)
        for i, out in enumerate(here):
            if not np.isfinite(out).all():
                what = f"output {i}" if level.order == 1 else f"{_nth(level.order - 1)} derivative {i}"
                raise self.error(
                    f"{what} of the function is not finite at this point",
                    actual=np.array2string(out, threshold=6, edgeitems=2),
                    hint="choose a point inside the domain",
                )
        cotangents = [self._weights(out.shape) for out in here]
        projected = [TensorType("float64", v.type.shape)(f"cotangent {i}") for i, v in enumerate(level.outputs)]
        targets = [level.inputs[i] for i in level.wrt]
        gradients = Lop(level.outputs, targets, projected, disconnected_inputs="ignore")
        claims = self._compiled([*level.inputs, *projected], gradients)([*level.values, *cotangents])
        epsilon = resolution_of(level.outputs)
        holomorphic = complex_graph(level.inputs, targets, level.outputs)
        line = Line(evaluate, level.values, cotangents, epsilon, holomorphic, self.first_step)
        for position, claim in zip(level.wrt, claims, strict=True):
            self._check_input(level, position, claim, line)
        start = len(level.inputs)
        return _Level(
            level.order + 1,
            [*level.inputs, *projected],
            [*level.values, *cotangents],
            [*level.names, *[f"the {_nth(level.order)} cotangent {i}" for i in range(len(projected))]],
            gradients,
            [*level.wrt, *range(start, start + len(projected))],
        )

    def _compiled(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[Sequence[Array]], list[Array]]:
        compiled = function(list(inputs), list(outputs), mode=self.mode, on_unused_input="ignore")
        return lambda values: [arrays.to_numpy(out).astype("float64") for out in compiled(*values)]

    def _weights(self, shape: tuple[int, ...]) -> Array:
        """Random numbers of both signs, none of them small, which float32 represents exactly."""
        return self.random.integers(512, 1536, shape) / 1024 * self.random.choice((-1.0, 1.0), shape)

    def _check_input(self, level: _Level, position: int, claim: Array, line: Line) -> None:
        x = level.values[position]
        if claim.shape != x.shape:
            raise self.error(
                f"the {_nth(level.order)} derivative with respect to {level.names[position]} has the wrong shape",
                WrongGradientError,
                expected=shape_text(x.shape),
                actual=shape_text(claim.shape),
            )
        flat = claim.reshape(-1)
        finite = flat[np.isfinite(flat)]
        tolerance = Tolerance(self.rtol, self.atol, float(np.max(np.abs(finite), initial=0.0)))
        wrong: list[_Finding] = []
        self._extra = _EXTRA
        for direction in self._directions(level, position):
            found = self._judged(direction, flat, line, tolerance)
            wrong.extend(f for f in found if f.verdict.kind in ("differs", "unsettled"))
            for finding in found:
                if finding.verdict.kind in ("kink", "edge"):
                    self.excluded.append(f"{self._where(level, finding, x.shape)}: {_REASONS[finding.verdict.kind]}")
            if wrong and len(direction.entries) > 1:
                break
        if wrong:
            raise self._wrong(level, wrong, x.shape)

    def _directions(self, level: _Level, position: int) -> Iterator[Direction]:
        """Every coordinate where there are few, else random directions through groups of them."""
        x = level.values[position]
        total = sum(level.values[i].size for i in level.wrt)
        if total <= self.coordinates:
            for i in range(x.size):
                yield Direction(position, np.array([i]), np.ones(1))
        elif x.size:
            count = min(x.size, max(1, round(self.coordinates * x.size / total)))
            for entries in np.array_split(self.random.permutation(x.size), count):
                sizes = np.maximum(1.0, np.abs(x.reshape(-1)[entries]))
                yield Direction(position, entries, sizes * self.random.choice((-1.0, 1.0), len(entries)))

    def _judged(self, direction: Direction, claims: Array, line: Line, tolerance: Tolerance) -> list[_Finding]:
        """What is found along a direction; a group that does not agree is searched by halving it."""
        claim = float(np.sum(claims[direction.entries] * direction.weights))
        verdict = line.judge(direction, claim, tolerance)
        self.methods[verdict.method] += 1
        if verdict.kind == "agrees":
            self.checked += len(direction.entries)
            return []
        own = [_Finding(direction.position, direction, claim, verdict)]
        if len(direction.entries) == 1 or self._extra <= 0:
            return own
        self._extra -= 2
        before = self.checked
        parts: list[_Finding] = []
        for half in direction.halves():
            parts.extend(self._judged(half, claims, line, tolerance))
            if any(part.verdict.kind == "differs" for part in parts):
                break
        if parts:
            return parts
        if verdict.kind == "differs":  # too little in each half, too much together
            self.checked = before
            return own
        return []

    def _where(self, level: _Level, finding: _Finding, shape: tuple[int, ...]) -> str:
        entries = finding.direction.entries
        what = f"{_nth(level.order)} derivative with respect to {level.names[finding.position]}"
        if len(entries) > 1:
            return f"{what} along a direction through {len(entries)} entries"
        index = tuple(int(i) for i in np.unravel_index(int(entries[0]), shape))
        return f"{what} at index {index}" if shape else what

    def _wrong(self, level: _Level, findings: Sequence[_Finding], shape: tuple[int, ...]) -> GradientError:
        worst = max(findings, key=lambda finding: finding.size)
        value, verdict = worst.verdict.value, worst.verdict
        where = self._where(level, worst, shape)
        if verdict.kind == "unsettled":
            return self.error(
                f"the {where} cannot be measured well enough to be judged",
                expected=f"{value:.10g} ± {verdict.error:.2g}, by {verdict.method}",
                actual=f"{worst.claim:.10g}",
                hint="choose a point where the function changes less abruptly",
            )
        count = len(findings)
        others = f"; {count} entries of {math.prod(shape)} are wrong" if count > 1 else ""
        return self.error(
            f"the {where} is wrong",
            WrongGradientError,
            expected=f"{value:.10g} ± {verdict.error:.2g}, by {verdict.method}",
            actual=f"{worst.claim:.10g}, relative error {worst.size:.3g}{others}{_ratio(findings)}",
        )


_REASONS = {
    "kink": "at a kink, the one-sided derivatives differ",
    "edge": "at the edge of the domain, the function is not finite on one side",
}


def _nth(order: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(order, f"{order}th")


def _ratio(findings: Sequence[_Finding]) -> str:
    """The factor by which all wrong entries are off, where there is one."""
    ratios = [f.claim / f.verdict.value for f in findings if f.verdict.value]
    if len(ratios) < 2 or len(ratios) < len(findings) or not np.allclose(ratios, ratios[0], rtol=1e-5, atol=0):
        return ""
    return f", each by the factor {ratios[0]:.6g}"
