"""A mode that checks the compiler on the data it is used with: operations, rewrites and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends import Observer, ReferenceExecutable
from tinygraph.closed import Closed
from tinygraph.diagnose.recording import Recording, record
from tinygraph.errors import TinygraphError
from tinygraph.graph import Apply, Constant, Variable, describe, graph_inputs
from tinygraph.program import Program, specialise
from tinygraph.rewrite import Step, rewrite
from tinygraph.testing import check_grad
from tinygraph.testing.gradcheck import WrongGradientError
from tinygraph.types import Abstract, TensorType, is_float

__all__ = ["DebugMode", "DebugModeError"]

Array = np.ndarray[Any, Any]

#: How far a rewritten value may be from the one as written, relative to the larger of both. Stable forms differ from
#: what they replace where that has lost its digits, so this is no measure of precision.
_RTOL = {"float16": 0.1, "float32": 1e-2, "float64": 1e-5}
#: Entries of a node's inputs whose derivatives are measured.
_ENTRIES = 12


#: Settings of Theano's mode that concern its C code and its preallocated buffers.
_OF_THEANO = {
    "check_c_code",
    "check_isfinite",
    "check_preallocated_output",
    "check_py_code",
    "require_matching_strides",
    "stability_patience",
}


class DebugModeError(TinygraphError, AssertionError):
    """Two ways to the same value that do not agree, or an operation that breaks a promise."""


class DebugMode:
    """A mode for ``function`` that checks each call, slowly.

    Every instruction must leave its inputs alone, give what its Program announces, and give it again when computed
    anew by the reference. Every application of a rewrite rule must leave the value that it was applied to; where that
    was NaN or infinite, a stable form may give a number. The results must be those of the graph as it was written. On
    the first call of a signature the derivative of every node is compared with a measured one, at the values that the
    node really gets. The first disagreement raises; no shared variable has changed then.

    Parameters
    ----------
    optimizer, linker
        Accepted as in Theano, without effect here.
    rtol
        Relative tolerance; by default 1e-5 for float64 and 1e-2 for float32.
    gradients
        False leaves the derivatives out.
    others
        Theano's other settings, from ``stability_patience`` to ``require_matching_strides``, are accepted by name,
        without effect here.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> tg.function([x], T.log(T.nnet.softmax(x)).sum(), mode="DebugMode")([0.0, 0.0])
    array(-1.38629436)
    """

    def __init__(
        self,
        optimizer: Any = "fast_run",
        linker: Any = None,
        *,
        rtol: float | None = None,
        gradients: bool = True,
        **others: Any,
    ) -> None:
        unknown = sorted(others.keys() - _OF_THEANO)
        if unknown:
            raise TypeError(f"DebugMode has no setting {', '.join(unknown)}")
        self.rtol = rtol
        self.gradients = gradients

    def __repr__(self) -> str:
        return f"DebugMode(rtol={self.rtol}, gradients={self.gradients})"

    def runner(self, closed: Closed, executable: Any) -> Callable[[Sequence[Any]], list[Any]]:
        """What a call runs in place of the executable."""
        return _Checks(self, closed, executable)

    def differ(self, old: Any, new: Any) -> tuple[int, ...] | None:
        """The first index at which a value is not what it was, or None."""
        a, b = np.asarray(arrays.to_numpy(old)), np.asarray(arrays.to_numpy(new))
        if a.shape != b.shape or a.dtype != b.dtype:
            return ()
        if a.dtype.kind != "f":
            wrong = a != b
        else:
            rtol = _RTOL[a.dtype.name] if self.rtol is None else self.rtol
            with np.errstate(all="ignore"):
                sizes = np.maximum(np.abs(a), np.abs(b)).astype("float64")
                largest = np.max(sizes, initial=1.0, where=np.isfinite(sizes))
                lost = 100 * float(np.finfo(a.dtype).eps) * largest
                wrong = np.isfinite(a) & ~(np.abs(a.astype("float64") - b) <= rtol * sizes + lost)
        found = np.argwhere(wrong)
        return tuple(int(i) for i in found[0]) if len(found) else None


class _Checks:
    """The checks of one signature."""

    def __init__(self, mode: DebugMode, closed: Closed, executable: Any) -> None:
        self._mode = mode
        self._closed = closed
        self._executable = executable
        self._backend = executable.backend
        self._gradients = mode.gradients
        steps: list[Step] = []
        rewrite(closed.roots, closed.leaves, steps)
        leaves = set(closed.leaves)
        self._steps = [s for s in steps if _computable((s.old, s.new), leaves)]
        self._programs: dict[str, Program] = {}

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        results = self._executable.observed(values, _Promises(self._mode, self._backend))
        self._check_rules(values)
        run = record(self._program("written", self._closed.roots, values), values, self._backend)
        self._check_results(run, results)
        if self._gradients:
            self._check_gradients(run)
            self._gradients = False
        return results

    def _program(self, key: str, roots: Sequence[Variable], values: Sequence[Any]) -> Program:
        if key not in self._programs:
            types = [Abstract(TensorType(value.dtype.name, tuple(value.shape))) for value in values]
            self._programs[key] = specialise(self._closed.leaves, roots, types)
        return self._programs[key]

    def _check_rules(self, values: Sequence[Any]) -> None:
        both = [v for step in self._steps for v in (step.old, step.new)]
        try:
            found = ReferenceExecutable(self._program("rules", both, values), self._backend)(values)
        except TinygraphError:  # in what only a branch needs that is not taken; the others are looked at one by one
            found = [value for i, step in enumerate(self._steps) for value in self._pair(i, step, values)]
        for i, step in enumerate(self._steps):
            old, new = found[2 * i : 2 * i + 2]
            index = None if old is None else self._mode.differ(old, new)
            if index is not None:
                raise _disagreement(f"the rule {step.rule} changes the value", old, new, index, step.old.owner)

    def _pair(self, i: int, step: Step, values: Sequence[Any]) -> list[Any]:
        try:
            return ReferenceExecutable(self._program(f"rule {i}", (step.old, step.new), values), self._backend)(values)
        except TinygraphError:
            return [None, None]

    def _check_results(self, run: Recording, results: Sequence[Any]) -> None:
        for number, root, new in zip(run.program.outputs, self._closed.roots, results, strict=True):
            old = run.values[number]
            index = self._mode.differ(old, new)
            if index is not None:
                what = f"{root} is not what the graph as written gives"
                raise _disagreement(what, old, new, index, root.owner)

    def _check_gradients(self, run: Recording) -> None:
        seen = set()
        for position, step in enumerate(run.program.instructions):
            op = step.op
            inputs = [arrays.to_numpy(x) for x in run.inputs(position) if x is not None]
            if op.chooses or op.effects or not run.ran(position) or not _differentiable(step.node, inputs):
                continue
            key = (op, *((x.dtype.name, x.shape) for x in inputs))
            if key in seen:
                continue
            seen.add(key)
            wrong = _wrong_gradient(op, inputs)
            # At ties and other corners any slope may be right; what is wrong there is wrong beside it, too.
            if wrong is not None and _wrong_gradient(op, _beside(inputs)) is not None:
                error = DebugModeError(
                    f"the derivative is not what is measured: {wrong.problem}",
                    expected=wrong.expected,
                    actual=wrong.actual,
                )
                describe(error, step.node, [_abstract(x) for x in inputs])
                raise error from wrong


def _wrong_gradient(op: Any, inputs: Sequence[Array]) -> WrongGradientError | None:
    """What a gradient check finds wrong with an operation for these inputs."""
    try:
        with arrays.ignore_floating_point():
            check_grad(_applied(op), *inputs, order=1, seed=0, coordinates=_ENTRIES, mode="FAST_COMPILE")
    except WrongGradientError as err:
        return err
    except TinygraphError:
        return None  # it has no derivative, or none that can be measured here
    return None


def _beside(inputs: Sequence[Array]) -> list[Array]:
    """Floats near these, no two of them equal."""
    rng = np.random.default_rng(0)
    moved = [rng.uniform(0.5e-3, 1e-3, x.shape) * (1 + abs(x)) if x.dtype.kind == "f" else 0 for x in inputs]
    return [(x + step).astype(x.dtype) for x, step in zip(inputs, moved, strict=True)]


def _computable(variables: Sequence[Variable], leaves: set[Variable]) -> bool:
    """Whether expressions depend on nothing but these leaves: not those of the steps of loops."""
    return all(v in leaves or isinstance(v, Constant) for v in graph_inputs(variables, stop=leaves))


def _applied(op: Any) -> Callable[..., Any]:
    return lambda *inputs: list(op.make_node(*inputs).outputs)


def _differentiable(node: Apply, inputs: Sequence[Any]) -> bool:
    if any(not np.isfinite(x).all() for x in inputs) or any(
        v.dtype == "float16" for v in (*node.inputs, *node.outputs)
    ):
        return False  # float16 has too few digits to measure a slope by
    return any(is_float(v.dtype) for v in node.outputs) and any(x.dtype.kind == "f" and x.size for x in inputs)


def _abstract(x: Any) -> Abstract:
    return Abstract(TensorType(x.dtype.name, tuple(x.shape)))


def _disagreement(
    what: str, old: Any, new: Any, index: tuple[int, ...], node: Apply | None, first: str = "as written"
) -> DebugModeError:
    place = f" at index {index}" if index else ""
    a, b = arrays.to_numpy(old), arrays.to_numpy(new)
    same = a.shape == b.shape and a.dtype == b.dtype
    error = DebugModeError(
        what + place,
        expected=f"{a[index]!s}, {first}" if same else f"{a.dtype} {a.shape}",
        actual=f"{b[index]!s}" if same else f"{b.dtype} {b.shape}",
    )
    if node is not None:
        describe(error, node)
    return error


class _Promises(Observer):
    """What every instruction promises: to leave its inputs alone, and to give what is announced, again and again."""

    def __init__(self, mode: DebugMode, backend: str) -> None:
        self._mode = mode
        self._xp = arrays.get(backend)
        self._before: list[list[bytes | None]] = []

    def before(self, program: Program, position: int, inputs: Sequence[Any]) -> None:
        self._before.append(_bytes(inputs))

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        step = program.instructions[position]
        for i, (old, new) in enumerate(zip(self._before.pop(), _bytes(inputs), strict=True)):
            if old != new:
                raise _broken(step.node, f"compute writes to its input {i}", inputs)
        if len(outputs) != len(step.outputs):
            count = f"{len(step.outputs)} outputs"
            raise _broken(step.node, "compute returns another number of arrays", inputs, count, str(len(outputs)))
        for number, value in zip(step.outputs, outputs, strict=True):
            announced = program.buffers[number].type
            actual = TensorType(value.dtype.name, tuple(value.shape))
            if not announced.accepts(actual):
                problem = "the result is not of the type that was announced"
                raise _broken(step.node, problem, inputs, str(announced), str(actual))
        if step.inner or step.op.effects:
            return
        again = step.op.compute(self._xp, *inputs)
        for value, other in zip(outputs, again if isinstance(again, (tuple, list)) else (again,), strict=True):
            index = self._mode.differ(other, value)
            if index is not None:
                problem = "computed again from the same inputs, the result is another"
                raise _disagreement(problem, other, value, index, step.node, "by the reference")


def _bytes(inputs: Sequence[Any]) -> list[bytes | None]:
    return [None if x is None else arrays.to_numpy(x).tobytes() for x in inputs]


def _broken(node: Apply, problem: str, inputs: Sequence[Any], expected: str = "", actual: str = "") -> DebugModeError:
    error = DebugModeError(problem, expected=expected, actual=actual)
    describe(error, node, [v.abstract if x is None else _abstract(x) for v, x in zip(node.inputs, inputs, strict=True)])
    return error
