"""Small functions of Theano's made of elementwise operations."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.ops.axes import located
from tinygraph.ops.convert import cast
from tinygraph.ops.scalar import add, int_div, maximum, minimum, mod, neq

__all__ = ["ceil_intdiv", "divmod", "largest", "smallest"]


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """The pair ``(x // y, x % y)``, elementwise."""
    return int_div(x, y), mod(x, y)


def ceil_intdiv(a: Any, b: Any) -> Any:
    """``a / b`` rounded up, elementwise, in the dtype of ``a // b``: exact for integers of any size.

    >>> import tinygraph.tensor as T
    >>> T.ceil_intdiv([6, 7], 3).eval().tolist()
    [2, 3]
    """
    whole = int_div(a, b)
    return add(whole, cast(neq(mod(a, b), 0), whole.dtype))


def largest(*args: Any) -> Any:
    """The largest of several tensors that broadcast together, elementwise.

    >>> import tinygraph.tensor as T
    >>> T.largest([1, 5], 2, [3, 3]).eval().tolist()
    [3, 5]
    """
    return _folded(maximum, args, "largest")


def smallest(*args: Any) -> Any:
    """The smallest of several tensors that broadcast together, elementwise."""
    return _folded(minimum, args, "smallest")


def _folded(function: Any, args: tuple[Any, ...], op: str) -> Any:
    if len(args) < 2:
        raise located(ShapeError(f"{op} compares several tensors", expected="two or more", actual=f"{len(args)}"), op)
    out = args[0]
    for x in args[1:]:
        out = function(out, x)
    return out
