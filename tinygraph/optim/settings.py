"""Settings of update rules: which values are taken for them, and what they are beside a parameter."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinygraph.errors import DtypeError, ShapeError, TinygraphError, UpdateError
from tinygraph.graph import Variable
from tinygraph.graph.provenance import capture
from tinygraph.ops.convert import cast

__all__ = ["checked", "in_dtype", "located"]

_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class _Range:
    text: str
    fits: Callable[[float], bool]
    symbolic: bool = True
    whole: bool = False


_FROM_ZERO = _Range("a finite number from 0", lambda x: 0 <= x <= _LARGEST)
_BELOW_ONE = _Range("a number from 0, below 1", lambda x: 0 <= x < 1)
_FIXED = _Range("a finite number from 0", _FROM_ZERO.fits, symbolic=False)
_COUNT = _Range("a whole number from 1", lambda x: x >= 1, symbolic=False, whole=True)
_NOT_NAN = _Range("a number", lambda x: not math.isnan(x))

#: The range of each setting, by the name under which users know it.
_RANGES = {
    "learning_rate": _FROM_ZERO,
    "momentum": _Range("a number from 0 to 1", lambda x: 0 <= x <= 1),
    "decay": _BELOW_ONE,
    "rho": _BELOW_ONE,
    "beta1": _BELOW_ONE,
    "beta2": _BELOW_ONE,
    "epsilon": _FROM_ZERO,
    "weight_decay": _FROM_ZERO,
    "rate": _FROM_ZERO,
    "every": _COUNT,
    "drop": _FIXED,
    "slope": _FIXED,
    "steps": _COUNT,
    "lowest": _FIXED,
    "norm": _Range("a finite number above 0", lambda x: 0 < x <= _LARGEST),
    "low": _NOT_NAN,
    "high": _NOT_NAN,
}


def located(err: TinygraphError, op: str) -> TinygraphError:
    """The error with the name of what was called and the user's lines."""
    err.locate(op, (), capture().trace())
    return err


def checked(name: str, value: Any, op: str) -> Any:
    """A setting as a Python number, or as the scalar variable that it is.

    Parameters
    ----------
    name
        Of the setting; it decides the range, and whether a variable will do. A variable's value is not looked at.
    op
        What the setting was given to, for errors.

    Raises
    ------
    DtypeError
        If it is neither.
    ShapeError
        If it is a tensor of one dimension or more.
    UpdateError
        If a number is outside the setting's range.

    >>> checked("momentum", 0.9, "sgd")
    0.9
    """
    allowed = _RANGES[name]
    expected = f"{allowed.text}, or a scalar variable" if allowed.symbolic else allowed.text
    if getattr(value, "ndim", 0):
        raise located(
            ShapeError(f"{name} must be one number", expected=expected, actual=f"{value.ndim} dimensions"), op
        )
    if isinstance(value, Variable) and allowed.symbolic and value.dtype != "bool":
        return value
    number = value.item() if hasattr(value, "item") and not isinstance(value, Variable) else value
    if not isinstance(number, int if allowed.whole else (int, float)) or isinstance(number, bool):
        actual = f"{value} of {type(value).__name__}"
        raise located(DtypeError(f"{name} cannot be {value}", expected=expected, actual=actual), op)
    if not allowed.fits(number):
        raise located(UpdateError(f"{name} is out of range", expected=expected, actual=repr(number)), op)
    return number if allowed.whole else float(number)


def in_dtype(value: Any, dtype: str) -> Any:
    """A checked setting beside tensors of ``dtype``: Python floats give way to them anyway, variables are cast."""
    return cast(value, dtype) if isinstance(value, Variable) else value
