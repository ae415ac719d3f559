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
from tinygraph.surgery import equal_computations
from tinygraph.updates import OrderedUpdates

__all__ = ["Step", "clone", "equal_computations", "returned", "until"]

#: The parts of what a step returns, in their order.
_NOTHING, _OUTPUTS, _UPDATES, _CONDITION = range(4)


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
        Expressions, alone or in lists or tuples; updates as a dict or a list of pairs; ``until(condition)``; or a tuple
        of some of these, in this order.

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
    before = _NOTHING
    for part in parts:
        kind = _kind(part)
        if kind is None or 0 < kind < before or kind == before > _OUTPUTS:
            raise located(
                InputError(
                    "the step of a scan returned something that has no meaning there",
                    expected="outputs, then updates as a dict or pairs, then until(condition); each may be left out",
                    actual=repr(result),
                ),
                "scan",
            )
        if kind == _OUTPUTS:
            step.outputs += [as_tensor(part)] if _is_output(part) else [as_tensor(v) for v in part]
        elif kind == _UPDATES:
            step.updates.update(part)
        elif kind == _CONDITION:
            step.condition = part.condition
        before = max(before, kind)
    return step


def _kind(part: Any) -> int | None:
    """Which of the things that a step may return a part is; None for anything else."""
    if isinstance(part, until):
        return _CONDITION
    if _is_output(part) or (isinstance(part, (list, tuple)) and part and all(map(_is_output, part))):
        return _OUTPUTS
    if _is_updates(part) and part:
        return _UPDATES
    return _NOTHING if part is None or _is_updates(part) else None


def _is_output(value: Any) -> bool:
    return isinstance(value, Variable) or is_weak(value) or hasattr(value, "__array__")


def _is_updates(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], SharedVariable) for pair in value
    )
