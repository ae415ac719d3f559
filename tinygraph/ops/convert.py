"""Making tensors from what users hand in, and casting between dtypes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.config import config
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Constant, Op, Origin, Variable, as_variable, origin_scope
from tinygraph.graph.provenance import capture
from tinygraph.ops.join import Join
from tinygraph.ops.layout import DimShuffle
from tinygraph.types import Abstract, TensorType, canonical_dtype, is_discrete, promote, weak_dtype

__all__ = ["Cast", "Scalar", "as_operands", "as_tensor", "cast", "constant", "is_weak", "stack"]

Scalar = bool | int | float


def is_weak(x: Any) -> bool:
    """True for scalars whose dtype gives way to that of the tensors beside them.

    Python's own, NumPy's integers and ``np.float64`` (which is a Python float): an ``np.sqrt(2)`` in a program must
    not turn float32 into float64.
    """
    return isinstance(x, (bool, int, float, np.bool_, np.integer))


class Cast(Op):
    """Values converted to a dtype; to an integer dtype they are truncated towards zero."""

    dtype: str

    view = True

    @property
    def name(self) -> str:
        return f"cast to {self.dtype}"

    def __str__(self) -> str:
        return self.name

    def infer(self, x: Abstract) -> TensorType:
        return x.type.with_dtype(self.dtype)

    def shape_like(self, inputs: Sequence[Any]) -> Any:
        return inputs[0]

    def is_identity(self, x: Abstract) -> bool:
        return x.dtype == self.dtype

    def compute(self, xp: Any, x: Any) -> Any:
        return x.astype(self.dtype, copy=False)

    def vjp(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
        return [cast(cotangents[0], inputs[0].dtype)]


def cast(x: Any, dtype: Any) -> Any:
    """``x`` converted to ``dtype``; ``x`` itself where it already has it.

    Parameters
    ----------
    x
        A tensor of any shape, or what can become one.
    dtype
        Any dtype name; ``"floatX"`` stands for ``config.floatX``.

    The gradient is cast back to the dtype of ``x``; integers and bools carry none.

    >>> import tinygraph.tensor as T
    >>> T.cast(T.matrix("x"), "int32").dtype
    'int32'
    """
    target = canonical_dtype(dtype)
    if is_weak(x):
        return constant(x, dtype=target)
    x = as_tensor(x)
    if x.dtype == target:
        return x
    if isinstance(x, Constant) and x.owner is None and x.data.ndim == 0:
        return constant(x.data, dtype=target)
    return Cast(target)(x)


def constant(x: Any, name: str | None = None, ndim: int | None = None, dtype: Any = None) -> Any:
    """A constant tensor with a copy of ``x``.

    Parameters
    ----------
    x
        A number, nested list or array, of CuPy or of another library in the host's memory, too. Python floats take
        ``config.floatX``.
    name
        For messages and pictures.
    ndim
        Number of dimensions wanted; leading ones of extent 1 are added.
    dtype
        dtype wanted; by default that of ``x``. Made of a Python integer without one, a constant is int64, but beside
        other tensors it counts as the smallest integers that hold it, as in Theano.

    >>> constant([1, 2, 3]).type
    TensorType('int64', (3,))
    >>> import tinygraph.tensor as T
    >>> (constant(1) - T.fvector("x")).dtype
    'float32'
    """
    if isinstance(x, Variable) and not isinstance(x, Constant):
        raise DtypeError("a constant needs a value", expected="a number or an array", actual=f"the variable {x}")
    out = as_variable(x) if dtype is None else _typed_constant(x, canonical_dtype(dtype))
    if ndim is not None and out.ndim != ndim:
        out = as_variable(np.reshape(out.data, _padded(out.data.shape, ndim)))
    if name is not None:
        out = TensorType.constant_class(None, out.data, name=name)
    if type(x) is int and dtype is None:
        out.counts_as = next((narrow for narrow in _INTEGERS if _fits(x, narrow)), None)
    return out


#: Integer dtypes, the smallest first.
_INTEGERS = ("int8", "int16", "int32", "int64")


def _typed_constant(x: Any, dtype: str) -> Any:
    data = np.asarray(x) if isinstance(x, float) else as_variable(x).data
    with np.errstate(all="ignore"):
        return TensorType.constant_class(None, data.astype(dtype))


def _padded(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    if len(shape) > ndim:
        raise ShapeError(f"cannot make this {ndim}-d", expected=f"at most {ndim} dimensions", actual=str(shape))
    return (1,) * (ndim - len(shape)) + shape


def as_tensor(x: Any, name: str | None = None, ndim: int | None = None, dtype: Any = None) -> Any:
    """``x`` as a tensor variable.

    Parameters
    ----------
    x
        A variable (returned as it is), a number, an array, or a nested list of any of these; lists that hold variables
        are stacked.
    name, ndim, dtype
        As for ``constant``; ``ndim`` adds leading dimensions of extent 1 to a variable, too.

    >>> import tinygraph.tensor as T
    >>> a, b = T.scalars("a", "b")
    >>> T.as_tensor_variable([a, b, 1.0]).type
    TensorType('float64', (3,))
    """
    if isinstance(x, Variable):
        out: Any = x
    elif isinstance(x, (list, tuple)) and _holds_variable(x):
        out = stack(x)
    else:
        return constant(x, name=name, ndim=ndim, dtype=dtype)
    if dtype is not None:
        out = cast(out, dtype)
    if ndim is not None and out.ndim != ndim:
        if out.ndim > ndim:
            raise ShapeError(f"cannot make this {ndim}-d", expected=f"at most {ndim} dimensions", actual=str(out.type))
        out = DimShuffle(("x",) * (ndim - out.ndim) + tuple(range(out.ndim)))(out)
    return out


def stack(*args: Any, axis: int = 0, tensors: Sequence[Any] | None = None) -> Any:
    """Tensors of one shape joined along a new axis.

    Parameters
    ----------
    args, tensors
        A list of tensors, as in NumPy, or the tensors one by one, as in old Theano programs.
    axis
        Position of the new axis in the result; negative ones count from the end.

    Raises
    ------
    ShapeError
        If the shapes differ or there is no such axis.

    >>> import tinygraph.tensor as T
    >>> T.stack([T.vector("a"), T.vector("b")], axis=1).ndim
    2
    """
    items: Sequence[Any] = args if tensors is None else tensors
    if tensors is None and args and isinstance(args[0], (list, tuple)):
        items, *position = args
        axis = position[0] if position else axis
    if not items:
        raise _of_stack(ShapeError("cannot stack an empty list of tensors", expected="at least one tensor"))
    parts, _ = as_operands(items)
    ndim = parts[0].ndim
    if not -ndim - 1 <= axis <= ndim:
        raise _of_stack(ShapeError("there is no such axis", expected=f"{-ndim - 1} to {ndim}", actual=str(axis)))
    at = axis % (ndim + 1)
    pattern = (*range(at), "x", *range(at, ndim))
    return Join(at)(*[DimShuffle(pattern)(part) for part in parts])


def _of_stack(err: ShapeError) -> ShapeError:
    err.locate("stack", (), capture().trace())
    return err


def _holds_variable(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_variable, x))
    return isinstance(x, Variable)


def as_operands(operands: Sequence[Any], as_float: bool = False) -> tuple[list[Any], str]:
    """Operands as tensors of one common dtype, and that dtype.

    Tensors and arrays take NumPy's common dtype, to which scalars give way. With ``as_float`` integers become
    ``config.floatX``.

    Raises
    ------
    DtypeError
        If a Python integer does not fit the common dtype.
    """
    variables = [x if is_weak(x) else as_tensor(x) for x in operands]
    tensors = [v for v in variables if isinstance(v, Variable)]
    narrow = [getattr(v, "counts_as", None) for v in tensors]
    strong = [v.dtype if n is None or all(narrow) else n for v, n in zip(tensors, narrow, strict=True)]
    weak = [x for x in variables if not isinstance(x, Variable)]
    dtype = promote(*strong) if strong else "bool"
    for x in weak:
        dtype = weak_dtype(x, dtype)
    if as_float and is_discrete(dtype):
        dtype = config.floatX
    return [cast(v, dtype) if isinstance(v, Variable) else _scalar(v, dtype) for v in variables], dtype


#: Constants made of scalars beside tensors, which are few and made again and again.
_scalars: dict[tuple[Any, ...], Any] = {}
_NOWHERE = Origin(())


def _scalar(x: Any, dtype: str) -> Any:
    key = (x, dtype, x == 0 and math.copysign(1.0, x))  # 0.0 and -0.0 are equal but not the same
    known = _scalars.get(key)
    if known is None:
        if dtype[0] in "iu" and isinstance(x, (int, np.integer)):
            _check_range(x, dtype)
        with origin_scope(_NOWHERE):
            known = TensorType.constant_class(None, np.array(x, dtype=dtype))
        if len(_scalars) >= 4096:
            _scalars.clear()
        _scalars[key] = known
    return known


def _fits(x: Any, dtype: str) -> bool:
    info = np.iinfo(dtype)
    return bool(info.min <= x <= info.max)


def _check_range(x: Any, dtype: str) -> None:
    if not _fits(x, dtype):
        info = np.iinfo(dtype)
        raise DtypeError(
            f"the integer {x} does not fit {dtype}",
            expected=f"{info.min} to {info.max}",
            actual=str(x),
            hint="cast the tensor beside it to a wider dtype first",
        )
