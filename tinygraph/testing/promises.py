"""What every operation promises, checked on the operations of a graph as they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.errors import TinygraphError
from tinygraph.graph import Apply, Constant, SharedVariable, Variable, ancestors, describe, infer, toposort
from tinygraph.graph.node import static_value
from tinygraph.types import Abstract, TensorType

__all__ = ["OpError", "check_ops"]

Array = np.ndarray[Any, Any]


class OpError(TinygraphError, AssertionError):
    """An operation that breaks a promise of ``Op``."""


def check_ops(inputs: Sequence[Variable], outputs: Sequence[Variable], values: Sequence[Any]) -> list[Array]:
    """Run a graph with NumPy, one operation at a time, and check what each of them promises.

    ``compute`` does not write to its inputs, returns one array for each output, of the dtype and shape that ``infer``
    announced for symbolic and for concrete inputs, shares no memory with an input unless the operation is a ``view``
    of its first, and is the first input itself where ``is_identity`` says so.

    Parameters
    ----------
    inputs, values
        The variables that are given, and an array of the right dtype for each.
    outputs
        Expressions.

    Returns
    -------
    list
        The values of ``outputs``.

    Raises
    ------
    OpError
        Naming the operation, its operands and the promise.

    >>> import tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> check_ops([x], [x.sum() + 1], [[1.0, 2.0]])
    [array(4.)]
    """
    env: dict[Variable, Array] = {}
    for variable in ancestors(outputs, stop=inputs):
        if isinstance(variable, Constant):
            env[variable] = variable.data
        elif isinstance(variable, SharedVariable):
            env[variable] = _locked(variable.get_value())
    for variable, value in zip(inputs, values, strict=True):
        env[variable] = _locked(np.array(value, dtype=variable.dtype))
    known = {v: Abstract(TensorType(a.dtype.name, a.shape)) for v, a in env.items() if not isinstance(v, Constant)}
    for node in toposort(outputs, stop=inputs):
        abstracts = [known.get(v, v.abstract) for v in node.inputs]
        try:
            results = _run(node, [env[v] for v in node.inputs])
            inferred = infer(node.op, abstracts)
            for variable, result, abstract in zip(node.outputs, results, inferred, strict=True):
                _check_type("a variable of it is", variable.abstract, result)
                _check_type("for these inputs infer says", abstract, result)
                env[variable], known[variable] = _locked(result), abstract
            _check_identity(node, abstracts, env)
        except TinygraphError as err:
            describe(err, node, abstracts)
            raise
    return [env[v] for v in outputs]


def _locked(array: Any) -> Array:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _run(node: Apply, inputs: Sequence[Array]) -> list[Array]:
    before = [x.tobytes() for x in inputs]
    try:
        with arrays.ignore_floating_point():
            result = node.op.compute(arrays.get("numpy"), *inputs)
    except ValueError as err:
        if "read-only" in str(err):
            raise OpError("compute writes to one of its inputs") from err
        raise
    if any(x.tobytes() != old for x, old in zip(inputs, before, strict=True)):
        raise OpError("compute writes to one of its inputs")
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    if len(results) != len(node.outputs):
        raise OpError(
            "compute must return one array for each output", expected=str(len(node.outputs)), actual=str(len(results))
        )
    for result in results:
        if not isinstance(result, (np.ndarray, np.generic)):
            raise OpError("compute must return arrays", actual=type(result).__name__)
        for i, x in enumerate(inputs):
            if np.shares_memory(result, x) and not (node.op.view and i == 0):
                raise OpError(
                    f"a result shares memory with input {i}",
                    hint="declare view = True if that is the first input, or copy",
                )
    return [np.asarray(result) for result in results]


def _check_type(says: str, abstract: Abstract, array: Array) -> None:
    have = Abstract(TensorType(array.dtype.name, array.shape), static_value(array))
    if not abstract.type.accepts(have.type):
        raise OpError(f"a result is not of the type announced: {says} {abstract.type}", actual=str(have.type))
    value = abstract.value
    if isinstance(value, tuple):
        actual = array.tolist()
        agrees = len(value) == len(actual) and all(v is None or v == a for v, a in zip(value, actual, strict=True))
    else:
        agrees = value is None or value == int(array)
    if not agrees:
        raise OpError(f"a result is not the value announced: {says} {value}", actual=str(array))


def _check_identity(node: Apply, abstracts: Sequence[Abstract], env: dict[Variable, Array]) -> None:
    if not node.op.is_identity(*abstracts):
        return
    first, result = env[node.inputs[0]], env[node.outputs[0]]
    if first.dtype != result.dtype or not np.array_equal(first, result, equal_nan=first.dtype.kind == "f"):
        raise OpError("is_identity says that the first output is the first input, and it is not")
