"""A mode that calls functions of the user's before and after every step of a compiled function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.backends import Observer
from tinygraph.closed import Closed
from tinygraph.program import Program

__all__ = ["MonitorMode", "Step", "detect_nan"]

_Watcher = Callable[[int, Any, "Step"], Any]


class Step:
    """What a monitoring function sees of a step.

    Attributes
    ----------
    inputs, outputs
        For each a list of one entry, its value; before the step the outputs' entries are None.
    """

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.inputs = [[x] for x in inputs]
        self.outputs = [[x] for x in outputs]


class MonitorMode:
    """A mode for ``function``: it is told of every step that a call makes.

    Parameters
    ----------
    pre_func, post_func
        Functions of the step's number, its node of the graph, and a ``Step`` with the values; called before and after.
    optimizer, linker
        Accepted as in Theano, without effect here.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> def show(i, node, fn):
    ...     print(i, node, [float(x[0]) for x in fn.inputs], "->", float(fn.outputs[0][0]))
    >>> x = T.dscalar("x")
    >>> f = tg.function([x], 5 * x, mode=MonitorMode(post_func=show))
    >>> float(f(3.0))
    0 mul(5.0, x) [5.0, 3.0] -> 15.0
    15.0
    """

    def __init__(
        self,
        pre_func: _Watcher | None = None,
        post_func: _Watcher | None = None,
        optimizer: Any = "default",
        linker: Any = None,
    ) -> None:
        self.pre_func = pre_func
        self.post_func = post_func

    def including(self, *tags: str) -> MonitorMode:
        """The mode itself: every step is seen as it is, whatever rewrites are chosen."""
        return self

    excluding = requiring = including

    def runner(self, closed: Closed, executable: Any) -> Callable[[Sequence[Any]], list[Any]]:
        """What a call runs in place of the executable."""
        watch = _Watch(executable.program, self.pre_func, self.post_func)
        return lambda values: executable.observed(values, watch)


class _Watch(Observer):
    """Hands on the steps of one Program; those of inner ones belong to the step that runs them."""

    def __init__(self, program: Program, before: _Watcher | None, after: _Watcher | None) -> None:
        self._program = program
        self._before = before
        self._after = after

    def before(self, program: Program, position: int, inputs: Sequence[Any]) -> None:
        if self._before is not None and program is self._program:
            step = program.instructions[position]
            self._before(position, step.node, Step(inputs, [None] * len(step.outputs)))

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        if self._after is not None and program is self._program:
            self._after(position, program.instructions[position].node, Step(inputs, outputs))


def detect_nan(i: int, node: Any, fn: Step) -> None:
    """For ``post_func``: print the step, its inputs and outputs where an output holds NaN."""
    inputs, outputs = ([arrays.to_numpy(cell[0]) for cell in cells] for cells in (fn.inputs, fn.outputs))
    if any(np.isnan(x).any() for x in outputs if x.dtype.kind == "f"):
        print(f"*** NaN detected ***\n{i} {node}\nInputs : {inputs}\nOutputs: {outputs}")
