"""Functions that act on the stored values of a sparse matrix and leave its pattern as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygraph.tensor as T
from tinygraph.errors import ShapeError
from tinygraph.ops.convert import as_tensor, is_weak
from tinygraph.sparse.variable import SparseVariable, as_sparse_variable

__all__ = [
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cast",
    "ceil",
    "conj",
    "deg2rad",
    "expm1",
    "floor",
    "log1p",
    "neg",
    "rad2deg",
    "rint",
    "sgn",
    "sin",
    "sinh",
    "sqr",
    "sqrt",
    "structured_add",
    "structured_exp",
    "structured_log",
    "structured_maximum",
    "structured_minimum",
    "structured_pow",
    "structured_sigmoid",
    "tan",
    "tanh",
    "transpose",
    "trunc",
]


def _of_one(name: str, function: Callable[..., Any]) -> Callable[[Any], SparseVariable]:
    def structured(x: Any) -> SparseVariable:
        x = as_sparse_variable(x)
        return x.with_data(function(x.data))

    structured.__name__ = structured.__qualname__ = name
    structured.__doc__ = f"``{name.removeprefix('structured_')}`` of the stored values of a sparse matrix."
    return structured


def _of_two(name: str, function: Callable[..., Any]) -> Callable[[Any, Any], SparseVariable]:
    def structured(x: Any, y: Any) -> SparseVariable:
        x = as_sparse_variable(x)
        if not is_weak(y):
            y = as_tensor(y)
            if y.ndim:
                raise ShapeError(f"sparse.{name} takes a sparse matrix and a number", actual=str(y.type))
        return x.with_data(function(x.data, y))

    structured.__name__ = structured.__qualname__ = name
    structured.__doc__ = f"``{name.removeprefix('structured_')}`` of the stored values of a sparse matrix and a number."
    return structured


structured_sigmoid = _of_one("structured_sigmoid", T.nnet.sigmoid)
structured_exp = _of_one("structured_exp", T.exp)
structured_log = _of_one("structured_log", T.log)
structured_pow = _of_two("structured_pow", T.power)
structured_minimum = _of_two("structured_minimum", T.minimum)
structured_maximum = _of_two("structured_maximum", T.maximum)
structured_add = _of_two("structured_add", T.add)

# Functions that are zero at zero: the result is that of the whole matrix.
arcsin = _of_one("arcsin", T.arcsin)
arcsinh = _of_one("arcsinh", T.arcsinh)
arctan = _of_one("arctan", T.arctan)
arctanh = _of_one("arctanh", T.arctanh)
ceil = _of_one("ceil", T.ceil)
conj = _of_one("conj", T.conj)
deg2rad = _of_one("deg2rad", T.deg2rad)
expm1 = _of_one("expm1", T.expm1)
floor = _of_one("floor", T.floor)
log1p = _of_one("log1p", T.log1p)
neg = _of_one("neg", T.neg)
rad2deg = _of_one("rad2deg", T.rad2deg)
rint = _of_one("rint", T.round_half_to_even)
sgn = _of_one("sgn", T.sgn)
sin = _of_one("sin", T.sin)
sinh = _of_one("sinh", T.sinh)
sqr = _of_one("sqr", T.sqr)
sqrt = _of_one("sqrt", T.sqrt)
tan = _of_one("tan", T.tan)
tanh = _of_one("tanh", T.tanh)
trunc = _of_one("trunc", T.trunc)


def cast(variable: Any, dtype: Any) -> SparseVariable:
    """A sparse matrix with values of another dtype."""
    return as_sparse_variable(variable).astype(dtype)


def transpose(x: Any) -> SparseVariable:
    """The transpose of a sparse matrix; CSR gives CSC and the other way round."""
    return as_sparse_variable(x).T
