"""Test values: results computed while the graph is built, so that a fault shows on the line that makes it."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.config import config
from tinygraph.errors import DtypeError, InputError, ShapeError, TinygraphError
from tinygraph.graph import services
from tinygraph.graph.node import Apply, Constant, Variable, describe, infer, static_value
from tinygraph.graph.provenance import is_derived
from tinygraph.graph.shared import SharedVariable
from tinygraph.types import Abstract, TensorType, promote, shape_text

__all__ = ["MissingTestValueError", "copy_test_value", "get_test_value", "no_test_values"]


class MissingTestValueError(InputError, AttributeError):
    """A variable whose test value is needed has none."""


class _State(threading.local):
    is_off = False


_state = _State()


class no_test_values:
    """Compute no test values inside the ``with`` block: what is built there is no line of the user's."""

    __slots__ = ("_old",)

    def __enter__(self) -> None:
        self._old = _state.is_off
        _state.is_off = True

    def __exit__(self, *exception: object) -> None:
        _state.is_off = self._old


def get_test_value(variable: Any) -> Any:
    """The value that a variable has while the graph is built: a constant's, a shared variable's, or its test value.

    Raises
    ------
    MissingTestValueError
        If it has none.
    ShapeError, DtypeError
        If the value that its tag holds is not of its type.
    """
    if isinstance(variable, Constant):
        return variable.data
    if isinstance(variable, SharedVariable):
        return variable.get_value(borrow=True)
    tag = variable.__dict__.get("tag")
    if not hasattr(tag, "test_value"):
        raise MissingTestValueError(
            f"{variable} has no test value",
            actual=f"{variable}: {variable.type}",
            hint=f"give it one: {variable.name or 'x'}.tag.test_value = …",
        )
    return _fitting(variable, tag.test_value)


def _fitting(variable: Variable, value: Any) -> Any:
    array = np.asarray(arrays.to_numpy(value))
    type = variable.type
    if array.ndim != type.ndim or any(n not in (None, m) for n, m in zip(type.shape, array.shape, strict=True)):
        raise ShapeError(
            f"the test value of {variable} does not have its shape",
            expected=shape_text(type.shape),
            actual=shape_text(array.shape),
        )
    is_array = isinstance(value, (np.ndarray, np.generic))
    if array.dtype.name != type.dtype and is_array and promote(array.dtype.name, type.dtype) != type.dtype:
        raise DtypeError(
            f"the test value of {variable} does not have its dtype",
            expected=type.dtype,
            actual=array.dtype.name,
            hint=f"convert it: value.astype({type.dtype!r})",
        )
    return array.astype(type.dtype, copy=False)


def copy_test_value(target: Variable, source: Any, index: Any = ()) -> None:
    """Give an inner variable the test value of what it stands for, or a part of it, if that has one."""
    if config.compute_test_value == "off" or _state.is_off:
        return
    try:
        value = get_test_value(source)
    except MissingTestValueError:
        return
    lacks_rows = index != () and not len(value)
    target.tag.test_value = np.zeros(value.shape[1:], value.dtype) if lacks_rows else value[index]


def _compute(node: Apply) -> None:
    """Compute the test values of a new node's outputs."""
    if _state.is_off:
        return
    try:
        values = [get_test_value(v) for v in node.inputs]
    except MissingTestValueError as err:
        if config.compute_test_value == "ignore" or is_derived():
            return
        err.locate(node.op.name, (), node.origin.trace())
        if config.compute_test_value == "raise":
            raise
        warnings.warn(str(err), stacklevel=2)
        return
    seen = [Abstract(TensorType(value.dtype.name, value.shape), static_value(value)) for value in values]
    try:
        infer(node.op, seen)
        with arrays.ignore_floating_point():
            results = node.op.compute(arrays.get("numpy"), *values)
    except TinygraphError as err:
        describe(err, node, seen)
        raise
    except Exception as err:  # whatever a computation raises is raised again, with its place added
        err.add_note(f"computing the test value of {node.op.name} of {', '.join(str(a.type) for a in seen)}")
        raise
    results = results if isinstance(results, (tuple, list)) else (results,)
    for output, result in zip(node.outputs, results, strict=True):
        output.tag.test_value = np.array(result)


services.provide("test_values", _compute)
