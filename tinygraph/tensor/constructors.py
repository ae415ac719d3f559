"""Theano's ways to declare inputs.

``matrix("x")`` makes a variable of dtype ``config.floatX``. A letter in front fixes the dtype: ``b`` int8, ``w`` int16,
``i`` int32, ``l`` int64, ``f`` float32, ``d`` float64. As in Theano these are types, which make a variable when they
are called: ``imatrix("x").type == imatrix``. Every constructor has a plural, which makes several variables at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygraph.config import config
from tinygraph.errors import DtypeError
from tinygraph.types import Extent, TensorType

# fmt: off
__all__ = [
    "bcol", "bcols", "bmatrices", "bmatrix", "brow", "brows", "bscalar", "bscalars", "btensor3", "btensor3s",
    "btensor4", "btensor4s", "btensor5", "btensor5s", "btensor6", "btensor6s", "btensor7", "btensor7s", "bvector",
    "bvectors", "col", "cols", "dcol", "dcols", "dmatrices", "dmatrix", "drow", "drows", "dscalar", "dscalars",
    "dtensor3", "dtensor3s", "dtensor4", "dtensor4s", "dtensor5", "dtensor5s", "dtensor6", "dtensor6s", "dtensor7",
    "dtensor7s", "dvector", "dvectors", "fcol", "fcols", "fmatrices", "fmatrix", "frow", "frows", "fscalar", "fscalars",
    "ftensor3", "ftensor3s", "ftensor4", "ftensor4s", "ftensor5", "ftensor5s", "ftensor6", "ftensor6s", "ftensor7",
    "ftensor7s", "fvector", "fvectors", "icol", "icols", "imatrices", "imatrix", "irow", "irows", "iscalar", "iscalars",
    "itensor3", "itensor3s", "itensor4", "itensor4s", "itensor5", "itensor5s", "itensor6", "itensor6s", "itensor7",
    "itensor7s", "ivector", "ivectors", "lcol", "lcols", "lmatrices", "lmatrix", "lrow", "lrows", "lscalar", "lscalars",
    "ltensor3", "ltensor3s", "ltensor4", "ltensor4s", "ltensor5", "ltensor5s", "ltensor6", "ltensor6s", "ltensor7",
    "ltensor7s", "lvector", "lvectors", "matrices", "matrix", "row", "rows", "scalar", "scalars", "tensor", "tensor3",
    "tensor3s", "tensor4", "tensor4s", "tensor5", "tensor5s", "tensor6", "tensor6s", "tensor7", "tensor7s", "vector",
    "vectors", "wcol", "wcols", "wmatrices", "wmatrix", "wrow", "wrows", "wscalar", "wscalars", "wtensor3", "wtensor3s",
    "wtensor4", "wtensor4s", "wtensor5", "wtensor5s", "wtensor6", "wtensor6s", "wtensor7", "wtensor7s", "wvector",
    "wvectors",
]
# fmt: on


def tensor(
    dtype: Any,
    shape: Sequence[Extent | bool] | None = None,
    name: str | None = None,
    broadcastable: Sequence[bool] | None = None,
) -> Any:
    """A variable of any dtype and shape.

    Parameters
    ----------
    dtype
        A dtype; ``"floatX"`` stands for ``config.floatX``.
    shape
        Extents, None where unknown; or Theano's pattern of bools, in which True is an extent of 1 and False an unknown
        one.
    name
        For messages and pictures.
    broadcastable
        Theano's name for ``shape``.

    >>> import tinygraph.tensor as T
    >>> T.tensor("float32", (None, 3)).type, T.tensor("int8", (False, True)).type
    (TensorType('float32', (None, 3)), TensorType('int8', (None, 1)))
    """
    if shape is not None and broadcastable is not None:
        raise DtypeError("shape and broadcastable mean the same", expected="one of them", actual="both")
    extents = broadcastable if shape is None else shape
    return TensorType(dtype, () if extents is None else tuple(extents))(name)


def _variable(name: str | None, dtype: Any, shape: tuple[Extent, ...]) -> Any:
    return TensorType(config.floatX if dtype is None else dtype, shape)(name)


def scalar(name: str | None = None, dtype: Any = None) -> Any:
    """A 0-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, ())


def vector(name: str | None = None, dtype: Any = None) -> Any:
    """A 1-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None,))


def row(name: str | None = None, dtype: Any = None) -> Any:
    """A matrix of one row, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (1, None))


def col(name: str | None = None, dtype: Any = None) -> Any:
    """A matrix of one column, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None, 1))


def matrix(name: str | None = None, dtype: Any = None) -> Any:
    """A 2-d variable, by default of dtype ``config.floatX``.

    >>> import tinygraph.tensor as T
    >>> T.matrix("x", dtype="int32").type
    TensorType('int32', (None, None))
    """
    return _variable(name, dtype, (None,) * 2)


def tensor3(name: str | None = None, dtype: Any = None) -> Any:
    """A 3-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None,) * 3)


def tensor4(name: str | None = None, dtype: Any = None) -> Any:
    """A 4-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None,) * 4)


def tensor5(name: str | None = None, dtype: Any = None) -> Any:
    """A 5-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None,) * 5)


def tensor6(name: str | None = None, dtype: Any = None) -> Any:
    """A 6-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None,) * 6)


def tensor7(name: str | None = None, dtype: Any = None) -> Any:
    """A 7-d variable, by default of dtype ``config.floatX``."""
    return _variable(name, dtype, (None,) * 7)


_DTYPES = ("int8", "int16", "int32", "int64", "float32", "float64")


def _types(*shape: Extent) -> list[TensorType]:
    return [TensorType(dtype, shape) for dtype in _DTYPES]


bscalar, wscalar, iscalar, lscalar, fscalar, dscalar = _types()
bvector, wvector, ivector, lvector, fvector, dvector = _types(None)
brow, wrow, irow, lrow, frow, drow = _types(1, None)
bcol, wcol, icol, lcol, fcol, dcol = _types(None, 1)
bmatrix, wmatrix, imatrix, lmatrix, fmatrix, dmatrix = _types(None, None)
btensor3, wtensor3, itensor3, ltensor3, ftensor3, dtensor3 = _types(*[None] * 3)
btensor4, wtensor4, itensor4, ltensor4, ftensor4, dtensor4 = _types(*[None] * 4)
btensor5, wtensor5, itensor5, ltensor5, ftensor5, dtensor5 = _types(*[None] * 5)
btensor6, wtensor6, itensor6, ltensor6, ftensor6, dtensor6 = _types(*[None] * 6)
btensor7, wtensor7, itensor7, ltensor7, ftensor7, dtensor7 = _types(*[None] * 7)


def _plural(one: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """The function that makes several variables with the constructor ``one``."""

    def several(*names: Any) -> Any:
        if len(names) == 1:
            (names,) = names
        if isinstance(names, int):
            return [one() for _ in range(names)]
        if isinstance(names, str):
            names = tuple(names.split() if " " in names.strip() or len(names) == 1 else names)
        return one(names[0]) if len(names) == 1 else [one(name) for name in names]

    several.__name__ = several.__qualname__ = kind
    several.__doc__ = f"""Several variables at once.

    ``{kind}("x", "y")``, ``{kind}("x y")`` and, as in Theano, ``{kind}("xy")`` make a list of the two variables x and
    y; ``{kind}(2)`` makes two without names. A single name makes the variable itself.
    """
    return several


scalars, vectors = _plural(scalar, "scalars"), _plural(vector, "vectors")
rows, cols = _plural(row, "rows"), _plural(col, "cols")
matrices, tensor3s = _plural(matrix, "matrices"), _plural(tensor3, "tensor3s")
tensor4s, tensor5s = _plural(tensor4, "tensor4s"), _plural(tensor5, "tensor5s")
tensor6s, tensor7s = _plural(tensor6, "tensor6s"), _plural(tensor7, "tensor7s")

bscalars, wscalars = _plural(bscalar, "bscalars"), _plural(wscalar, "wscalars")
iscalars, lscalars = _plural(iscalar, "iscalars"), _plural(lscalar, "lscalars")
fscalars, dscalars = _plural(fscalar, "fscalars"), _plural(dscalar, "dscalars")
bvectors, wvectors = _plural(bvector, "bvectors"), _plural(wvector, "wvectors")
ivectors, lvectors = _plural(ivector, "ivectors"), _plural(lvector, "lvectors")
fvectors, dvectors = _plural(fvector, "fvectors"), _plural(dvector, "dvectors")
brows, wrows = _plural(brow, "brows"), _plural(wrow, "wrows")
irows, lrows = _plural(irow, "irows"), _plural(lrow, "lrows")
frows, drows = _plural(frow, "frows"), _plural(drow, "drows")
bcols, wcols = _plural(bcol, "bcols"), _plural(wcol, "wcols")
icols, lcols = _plural(icol, "icols"), _plural(lcol, "lcols")
fcols, dcols = _plural(fcol, "fcols"), _plural(dcol, "dcols")
bmatrices, wmatrices = _plural(bmatrix, "bmatrices"), _plural(wmatrix, "wmatrices")
imatrices, lmatrices = _plural(imatrix, "imatrices"), _plural(lmatrix, "lmatrices")
fmatrices, dmatrices = _plural(fmatrix, "fmatrices"), _plural(dmatrix, "dmatrices")
btensor3s, wtensor3s = _plural(btensor3, "btensor3s"), _plural(wtensor3, "wtensor3s")
itensor3s, ltensor3s = _plural(itensor3, "itensor3s"), _plural(ltensor3, "ltensor3s")
ftensor3s, dtensor3s = _plural(ftensor3, "ftensor3s"), _plural(dtensor3, "dtensor3s")
btensor4s, wtensor4s = _plural(btensor4, "btensor4s"), _plural(wtensor4, "wtensor4s")
itensor4s, ltensor4s = _plural(itensor4, "itensor4s"), _plural(ltensor4, "ltensor4s")
ftensor4s, dtensor4s = _plural(ftensor4, "ftensor4s"), _plural(dtensor4, "dtensor4s")
btensor5s, wtensor5s = _plural(btensor5, "btensor5s"), _plural(wtensor5, "wtensor5s")
itensor5s, ltensor5s = _plural(itensor5, "itensor5s"), _plural(ltensor5, "ltensor5s")
ftensor5s, dtensor5s = _plural(ftensor5, "ftensor5s"), _plural(dtensor5, "dtensor5s")
btensor6s, wtensor6s = _plural(btensor6, "btensor6s"), _plural(wtensor6, "wtensor6s")
itensor6s, ltensor6s = _plural(itensor6, "itensor6s"), _plural(ltensor6, "ltensor6s")
ftensor6s, dtensor6s = _plural(ftensor6, "ftensor6s"), _plural(dtensor6, "dtensor6s")
btensor7s, wtensor7s = _plural(btensor7, "btensor7s"), _plural(wtensor7, "wtensor7s")
itensor7s, ltensor7s = _plural(itensor7, "itensor7s"), _plural(ltensor7, "ltensor7s")
ftensor7s, dtensor7s = _plural(ftensor7, "ftensor7s"), _plural(dtensor7, "dtensor7s")
