"""Theano's classes of linear algebra that are no single operations here: parameters first, operands later."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.ops.axes import axis_indices, located
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.decompositions import QR, eigvalsh
from tinygraph.ops.matrices import PlaceDiagonal, diagonal
from tinygraph.ops.shape import as_shape, extent, known_size
from tinygraph.ops.systems import tensorinv, tensorsolve

__all__ = ["AllocDiag", "Eigvalsh", "ExtractDiag", "QRFull", "QRIncomplete", "TensorInv", "TensorSolve", "alloc_diag"]

Operation = Callable[..., Any]

#: One operation here, whose ``mode`` says whether it has one result or two.
QRFull = QRIncomplete = QR


def alloc_diag(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Square matrices with the vectors along the last axis of ``x`` on a diagonal, and zeros elsewhere.

    Parameters
    ----------
    x
        A vector, or a tensor of vectors.
    offset
        The diagonal: 0 for the main one, positive above it.
    axis1, axis2
        Axes of the result that hold the rows and columns; the smaller one holds the rows.

    Raises
    ------
    ShapeError
        If ``x`` is a scalar, or there are no such axes.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.alloc_diag([1, 2]).eval().tolist()
    [[1, 0], [0, 2]]
    """
    x = as_tensor(x)
    if not x.ndim:
        raise located(
            ShapeError("a diagonal needs a vector", expected="at least 1 dimension", actual=str(x.type)), "alloc_diag"
        )
    shift = known_size(offset, "alloc_diag")
    axes = axis_indices((axis1, axis2), x.ndim + 1, "alloc_diag")
    n = extent(x, -1) + abs(shift)
    return PlaceDiagonal(shift, *axes)(x, as_shape((n, n), "alloc_diag"))


def AllocDiag(offset: int = 0, axis1: int = 0, axis2: int = 1) -> Operation:
    """``alloc_diag`` with these parameters."""
    return functools.partial(alloc_diag, offset=offset, axis1=axis1, axis2=axis2)


def ExtractDiag(offset: int = 0, axis1: int = 0, axis2: int = 1, view: bool = False) -> Operation:
    """``diagonal`` with these parameters; ``view`` makes no difference, a diagonal is one."""
    return functools.partial(diagonal, offset=offset, axis1=axis1, axis2=axis2)


def Eigvalsh(lower: bool = True) -> Operation:
    """``eigvalsh`` with this parameter."""
    return functools.partial(eigvalsh, lower=lower)


def TensorInv(ind: int = 2) -> Operation:
    """``tensorinv`` with this parameter."""
    return functools.partial(tensorinv, ind=ind)


def TensorSolve(axes: Any = None) -> Operation:
    """``tensorsolve`` with this parameter.

    >>> import tinygraph.tensor as T
    >>> T.nlinalg.TensorSolve()(T.tensor("float64", (6, 2, 3)), T.tensor("float64", (6,))).type.shape
    (2, 3)
    """
    return functools.partial(tensorsolve, axes=axes)
