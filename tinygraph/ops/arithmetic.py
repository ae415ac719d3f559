"""Small functions of Theano's made of elementwise operations."""

from __future__ import annotations

import functools
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.ops import scalar
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.layout import zeros_of
from tinygraph.ops.scalar import int_div, maximum, minimum, mod, neq
from tinygraph.ops.transcendental import arctan2

__all__ = ["add", "angle", "ceil_intdiv", "conj", "divmod", "imag", "largest", "mul", "real", "smallest"]


def add(a: Any, *other_terms: Any) -> Any:
    """The sum of one or more tensors that broadcast together, elementwise.

    >>> import tinygraph.tensor as T
    >>> T.add([1, 2], 10, [[100], [200]]).eval().tolist()
    [[111, 112], [211, 212]]
    """
    return functools.reduce(scalar.add, other_terms, a) if other_terms else as_tensor(a)


def mul(a: Any, *other_terms: Any) -> Any:
    """The product of one or more tensors that broadcast together, elementwise.

    >>> import tinygraph.tensor as T
    >>> T.mul([1, 2], 10, 3).eval().tolist()
    [30, 60]
    """
    return functools.reduce(scalar.mul, other_terms, a) if other_terms else as_tensor(a)


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
    return scalar.add(whole, cast(neq(mod(a, b), 0), whole.dtype))


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


def real(z: Any) -> Any:
    """The tensor itself: there are no complex ones."""
    return as_tensor(z)


def conj(z: Any) -> Any:
    """The tensor itself: there are no complex ones."""
    return as_tensor(z)


def imag(z: Any) -> Any:
    """Zeros of the shape and dtype of ``z``: there are no complex tensors."""
    return zeros_of(as_tensor(z))


def angle(z: Any) -> Any:
    """The angle in the complex plane, elementwise: 0, or pi for negative numbers; integers give ``config.floatX``.

    >>> import tinygraph.tensor as T
    >>> T.angle([1.0, -1.0]).eval().round(3)
    array([0.   , 3.142])
    """
    return arctan2(0.0, z)
