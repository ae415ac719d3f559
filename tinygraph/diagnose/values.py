"""Looking at values: of every named result in a function, and of an expression for examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinygraph import arrays
from tinygraph.diagnose.recording import record
from tinygraph.errors import InputError
from tinygraph.function import Function, function
from tinygraph.graph import Variable, guards, toposort
from tinygraph.program import specialise
from tinygraph.types import Abstract, TensorType

__all__ = ["example", "trace"]


def example(expression: Any, values: Mapping[Any, Any] | None = None) -> Any:
    """The value of any expression for example values.

    Parameters
    ----------
    expression
        A variable, or a list, tuple or dict of them.
    values
        Variable to value; a result in the middle of the graph may be given, too. Values of any dtype are converted.

    Returns
    -------
    array, list or dict
        As ``expression``. Nothing is updated, whatever the expression contains.

    Raises
    ------
    InputError, MissingInputError
        If a key is no variable, or a variable that is needed has no value.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> X = T.dmatrix("X")
    >>> tg.example(X.sum(axis=0), {X: [[1, 2], [3, 4]]})
    array([4., 6.])
    """
    given = dict(values or {})
    for key in given:
        if not isinstance(key, Variable):
            raise InputError(
                "the keys of example values are variables",
                actual=f"{key!r} of {type(key).__name__}",
                hint="tg.example(y, {x: array})",
            )
    compiled = function(
        list(given),
        expression,
        mode="FAST_COMPILE",
        no_default_updates=True,
        allow_input_downcast=True,
        on_unused_input="ignore",
        name="example",
    )
    return compiled(*given.values())


def trace(f: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``Function.trace`` returns."""
    _, values = f.prepared(*args, **kwargs)
    leaves, roots = f.closed.leaves, f.closed.roots
    order = toposort(roots, stop=leaves)
    sometimes = guards(order, roots)
    named = [v for node in order for v in node.outputs if v.name]
    always = [v for v in named if v.owner not in sometimes]
    types = [Abstract(TensorType(value.dtype.name, tuple(value.shape))) for value in values]
    program = specialise(leaves, [*roots, *always], types)
    number = {v: n for step in program.instructions for v, n in zip(step.node.outputs, step.outputs, strict=True)}
    number.update(zip(always, program.outputs[len(roots) :], strict=True))
    run = record(program, values, f.backend)
    found: dict[str, Any] = {}
    for variable in named:
        if number.get(variable) in run.values:
            name, count = variable.name, 2
            while name in found:
                name, count = f"{variable.name}#{count}", count + 1
            found[name] = arrays.to_numpy(run.values[number[variable]])
    return found
