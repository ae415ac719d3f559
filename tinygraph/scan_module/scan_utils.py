"""What the step of a ``scan`` may return, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinygraph.errors import InputError, ShapeError
from tinygraph.function import clone
from tinygraph.graph import SharedVariable, Variable
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, is_weak
from tinygraph.updates import OrderedUpdates

__all__ = ["Step", "clone", "returned", "until"]


class until:
    """Returned last by the step of a ``scan``: the loop ends with the first step where the condition is true.

    Parameters
    ----------
    condition
        A 0-d expression of any dtype; anything but zero is true.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> powers, _ = tg.scan(lambda p: (p * 2, tg.scan_module.until(p * 2 > 20)), outputs_info=1.0, n_steps=100)
    >>> powers.eval().tolist()
    [2.0, 4.0, 8.0, 16.0, 32.0]
    """

    def __init__(self, condition: Any) -> None:
        self.condition = as_tensor(condition)
        if self.condition.ndim:
            raise located(
                ShapeError(
                    "a stopping condition is one number", expected="0 dimensions", actual=str(self.condition.type)
                ),
                "until",
            )


@dataclass
class Step:
    """What a step returned: its outputs, updates of shared variables, and the condition that ends the loop or None."""

    outputs: list[Any]
    updates: OrderedUpdates
    condition: Any


def returned(result: Any) -> Step:
    """Sort out what a step returned.

    Parameters
    ----------
    result
        An expression, or a list or tuple of them; updates as a dict or a list of pairs; ``until(condition)``; or a
        tuple of some of these, in this order.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if _is_output(result):
        return Step([as_tensor(result)], OrderedUpdates(), None)
    if isinstance(result, (list, tuple)) and all(map(_is_output, result)):
        return Step([as_tensor(v) for v in result], OrderedUpdates(), None)
    parts = list(result) if isinstance(result, (list, tuple)) and not _is_updates(result) else [result]
    step = Step([], OrderedUpdates(), None)
    stage = 0
    for part in parts:
        kind = _kind(part)
        if kind is None or kind < stage or (kind == stage == 1 and part):
            raise located(
                InputError(
                    "the step of a scan returned something that has no meaning there",
                    expected="outputs, then updates as a dict or pairs, then until(condition); each may be left out",
                    actual=repr(result),
                ),
                "scan",
            )
        if kind == 0:
            step.outputs.extend([as_tensor(part)] if _is_output(part) else [as_tensor(v) for v in part])
        elif kind == 1:
            step.updates.update(dict(part))
        else:
            step.condition = part.condition
        stage = kind + 1 if kind else stage
    return step


def _kind(part: Any) -> int | None:
    """0 for outputs, 1 for updates, 2 for a condition, None for anything else; an empty list is an empty update."""
    if isinstance(part, until):
        return 2
    if part is None or _is_updates(part):
        return 1
    if _is_output(part) or (isinstance(part, (list, tuple)) and all(map(_is_output, part))):
        return 0
    return None


def _is_output(value: Any) -> bool:
    return isinstance(value, Variable) or is_weak(value) or hasattr(value, "__array__")


def _is_updates(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], SharedVariable) for pair in value
    )
