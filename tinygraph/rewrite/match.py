"""Small patterns that rules share: what made a variable, and is it this number."""

from __future__ import annotations

from typing import Any

from tinygraph.graph import Constant, Op, Variable
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.layout import BroadcastTo

__all__ = ["is_negative_of", "made_by", "made_by_row", "scalar_value"]


def made_by(variable: Any, *ops: type[Op]) -> tuple[Variable, ...] | None:
    """The inputs of the node that made a variable, if its operation is of one of these classes."""
    if variable.owner is not None and isinstance(variable.owner.op, ops):
        return variable.owner.inputs
    return None


def made_by_row(variable: Any, row: str) -> tuple[Any, ...] | None:
    """The inputs of the node that made a variable, if it is this elementwise operation."""
    owner = variable.owner
    if owner is not None and isinstance(owner.op, Elementwise) and owner.op.row == row:
        return owner.inputs
    return None


def scalar_value(variable: Any) -> Any:
    """The one number that a constant holds throughout, also under a broadcast, or None."""
    inner = made_by(variable, BroadcastTo)
    if inner is not None:
        variable = inner[0]
    if isinstance(variable, Constant) and variable.data.size == 1:
        return variable.data.reshape(())[()]
    return None


def is_negative_of(a: Any, b: Any) -> bool:
    """True where one is the other with its sign changed, by construction."""
    for x, y in ((a, b), (b, a)):
        inner = made_by_row(x, "neg")
        if inner is not None and inner[0] is y:
            return True
    return False
