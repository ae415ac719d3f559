"""Theano's extra operations: differences, diagonals, comparisons with a tolerance, covariances, windows."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.axes import axis_indices, flat, located, one_axis, restore_axes
from tinygraph.ops.convert import as_operands, as_tensor, cast, is_weak
from tinygraph.ops.creation import NotScalarConstantError, arange, get_scalar_constant_value
from tinygraph.ops.indexing import flatnonzero, subtensor, take
from tinygraph.ops.layout import DimShuffle, SpecifyShape
from tinygraph.ops.linalg import dot
from tinygraph.ops.pieces import concatenate
from tinygraph.ops.positions import counted
from tinygraph.ops.reduce import all as all_over
from tinygraph.ops.reduce import sum as sum_over
from tinygraph.ops.scalar import (
    abs_,
    add,
    and_,
    eq,
    isfinite,
    isnan,
    le,
    maximum,
    mul,
    or_,
    sub,
    switch,
    true_div,
    xor,
)
from tinygraph.ops.shape import as_size, extent, known_size, specify_shape, squeeze, transpose
from tinygraph.types import is_discrete

__all__ = [
    "allclose",
    "bartlett",
    "compress",
    "cov",
    "diff",
    "extract_constant",
    "fill_diagonal",
    "fill_diagonal_offset",
    "is_flat",
    "isclose",
    "makeKeepDims",
    "tensor_copy",
    "transfer",
]


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along an axis: each element minus the one before it.

    Parameters
    ----------
    x
        A tensor of at least one dimension; of bools the result says where neighbours differ.
    n
        How many times the differences are taken, from 0.
    axis
        The axis; negative ones count from the end.

    Raises
    ------
    ShapeError
        If there is no such axis, or ``n`` is negative.

    >>> import tinygraph.tensor as T
    >>> T.diff([1, 4, 9, 16]).eval(), T.diff([1, 4, 9, 16], n=2).eval()
    (array([3, 5, 7]), array([2, 2]))
    """
    x, times = as_tensor(x), known_size(n, "diff")
    before = (slice(None),) * one_axis(axis, x.ndim, "diff")
    if times < 0:
        raise located(ShapeError("differences are taken a number of times", expected="from 0", actual=str(n)), "diff")
    less = xor if x.dtype == "bool" else sub
    for _ in range(times):
        x = less(subtensor(x, (*before, slice(1, None))), subtensor(x, (*before, slice(None, -1))))
    return x


def compress(condition: Any, x: Any, axis: int | None = None) -> Any:
    """The slices of ``x`` along an axis for which the condition holds.

    Parameters
    ----------
    condition
        A vector of bools, or of numbers that hold where they are not 0; slices beyond its end are left out.
    x
        A tensor.
    axis
        The axis; None picks from the flattened tensor.

    Raises
    ------
    ShapeError
        If the condition is no vector, or there is no such axis.
    IndexingError
        When the function runs, if the condition holds beyond the end of ``x``.

    >>> import tinygraph.tensor as T
    >>> T.compress([True, False, True], [[1, 2, 3], [4, 5, 6]], axis=1).eval().tolist()
    [[1, 3], [4, 6]]
    """
    condition = as_tensor(condition)
    if condition.ndim != 1:
        raise located(
            ShapeError("the condition is a vector", expected="1 dimension", actual=str(condition.type)), "compress"
        )
    return take(x, flatnonzero(condition), axis)


# --- diagonals ----------------------------------------------------------------------------------------------------


def fill_diagonal(a: Any, val: Any) -> Any:
    """``a`` with every element whose indices are all equal replaced by ``val``.

    Parameters
    ----------
    a
        A matrix; or a tensor of more dimensions, whose extents must all be equal.
    val
        A number, or a 0-d tensor, whose dtype can become that of ``a`` without changing its kind.

    Raises
    ------
    ShapeError
        If ``a`` has fewer than two dimensions or, having more, different extents; or ``val`` is no scalar.
    DtypeError
        If the dtype of ``val`` does not fit.

    >>> import tinygraph.tensor as T
    >>> T.fill_diagonal([[1, 2], [3, 4], [5, 6]], 0).eval().tolist()
    [[0, 2], [3, 0], [5, 6]]
    """
    a = as_tensor(a)
    if a.ndim < 2:
        raise located(
            ShapeError("a diagonal needs a matrix", expected="at least 2 dimensions", actual=str(a.type)),
            "fill_diagonal",
        )
    if a.ndim > 2:
        a = specify_shape(a, (extent(a, 0),) * a.ndim)
    numbers = [counted(a, axis) for axis in range(a.ndim)]
    on = eq(numbers[0], numbers[1])
    for number in numbers[2:]:
        on = and_(on, eq(numbers[0], number))
    return _filled(a, val, on, "fill_diagonal")


def fill_diagonal_offset(a: Any, val: Any, offset: Any) -> Any:
    """The matrix ``a`` with a diagonal replaced by ``val``.

    Parameters
    ----------
    a, val
        As for ``fill_diagonal``; ``a`` has two dimensions.
    offset
        Which diagonal, an integer that may be symbolic: 0 for the main one, positive above it, negative below.

    Raises
    ------
    ShapeError, DtypeError
        As for ``fill_diagonal``.

    >>> import tinygraph.tensor as T
    >>> T.fill_diagonal_offset([[1, 2], [3, 4]], 0, 1).eval().tolist()
    [[1, 0], [3, 4]]
    """
    a = as_tensor(a)
    if a.ndim != 2:
        raise located(
            ShapeError("a matrix is needed", expected="2 dimensions", actual=str(a.type)), "fill_diagonal_offset"
        )
    on = eq(add(counted(a, 0), as_size(offset, "fill_diagonal_offset")), counted(a, 1))
    return _filled(a, val, on, "fill_diagonal_offset")


def _filled(a: Any, val: Any, where: Any, op: str) -> Any:
    value = val if is_weak(val) else as_tensor(val)
    if not is_weak(value) and value.ndim:
        raise located(ShapeError("a diagonal is filled with one number", expected="0-d", actual=str(value.type)), op)
    (_, value), common = as_operands([a, value])
    if common != a.dtype and (is_weak(val) or is_discrete(a.dtype)):
        raise located(DtypeError(f"{a.dtype} cannot hold the value", expected=a.dtype, actual=common), op)
    return switch(where, cast(value, a.dtype), a)


# --- comparing floats ---------------------------------------------------------------------------------------------


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """``|a - b| <= atol + rtol * |b|``, elementwise, as bools; infinities are close to themselves alone.

    Parameters
    ----------
    a, b
        Tensors that broadcast.
    rtol, atol
        The relative and the absolute tolerance.
    equal_nan
        Whether NaN is close to NaN.

    >>> import tinygraph.tensor as T
    >>> T.isclose([1.0, 2.0], [1.000001, 2.1]).eval()
    array([ True, False])
    """
    (a, b), _ = as_operands([a, b], as_float=True)
    near = and_(le(abs_(sub(a, b)), add(atol, mul(rtol, abs_(b)))), isfinite(b))
    close = or_(near, eq(a, b))
    return or_(close, and_(isnan(a), isnan(b))) if equal_nan else close


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether ``isclose`` holds for all elements, as one bool; arguments as there.

    >>> import tinygraph.tensor as T
    >>> bool(T.allclose([1.0, 2.0], [1.000001, 2.0]).eval())
    True
    """
    return all_over(isclose(a, b, rtol, atol, equal_nan))


# --- statistics and windows ---------------------------------------------------------------------------------------


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Any:
    """The covariances of some quantities.

    Parameters
    ----------
    m
        One row for each quantity, with its observations; a vector is one quantity.
    y
        More quantities, laid out alike.
    rowvar
        False: quantities are columns, observations rows.
    bias
        Divide by the number of observations, instead of one less.
    ddof
        What is subtracted from the number of observations to get the divisor; it overrides ``bias``.
    fweights, aweights
        For each observation how often it was made (whole numbers), and how much it counts.

    Returns
    -------
    variable
        A matrix; of what is known to be one quantity, its variance.

    Raises
    ------
    ShapeError
        If ``m`` or ``y`` has more than two dimensions, or weights are no vectors.

    >>> import tinygraph.tensor as T
    >>> T.cov([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]).eval()
    array([[ 1., -1.], [-1.,  1.]])
    """
    given = [m] if y is None else [m, y]
    tables = [_quantities(as_tensor(v), rowvar) for v in given]
    (x,), dtype = as_operands([tables[0] if y is None else concatenate(tables, axis=0)], as_float=True)
    frequency, importance = (
        None if w is None else cast(_observation_weights(as_tensor(w)), dtype) for w in (fweights, aweights)
    )
    weights = [w for w in (frequency, importance) if w is not None]
    degrees = (0 if bias else 1) if ddof is None else ddof
    if not weights:
        count = cast(extent(x, 1), dtype)
        centred = sub(x, true_div(sum_over(x, axis=1, keepdims=True), count))
        weighted, divisor = centred, sub(count, degrees)
    else:
        w = mul(*weights) if len(weights) == 2 else weights[0]
        total = sum_over(w)
        centred = sub(x, true_div(sum_over(mul(x, w), axis=1, keepdims=True), total))
        weighted = mul(centred, w)
        lost = degrees if importance is None else mul(degrees, true_div(sum_over(mul(w, importance)), total))
        divisor = sub(total, lost)
    return squeeze(true_div(dot(weighted, transpose(centred)), maximum(divisor, 0)))


def _quantities(x: Any, rowvar: bool) -> Any:
    if x.ndim > 2:
        raise located(
            ShapeError("observations are a matrix", expected="at most 2 dimensions", actual=str(x.type)), "cov"
        )
    if x.ndim < 2:
        return DimShuffle(("x", 0))(flat(x))
    return x if rowvar or x.type.shape[0] == 1 else transpose(x)


def _observation_weights(w: Any) -> Any:
    if w.ndim != 1:
        raise located(ShapeError("there is a weight for each observation", expected="1-d", actual=str(w.type)), "cov")
    return w


def bartlett(M: Any) -> Any:
    """The triangular window of ``M`` points: from 0 up to 1 in the middle and back, as float64.

    ``M`` is an integer that may be symbolic; up to 0 there are no points, and the window of one point is 1.

    >>> import tinygraph.tensor as T
    >>> T.bartlett(5).eval()
    array([0. , 0.5, 1. , 0.5, 0. ])
    """
    points = maximum(as_size(M, "bartlett"), 0)
    last = maximum(sub(points, 1), 1)
    slope = true_div(mul(2.0, arange(points)), cast(last, "float64"))
    ramp = sub(1.0, abs_(sub(slope, 1.0)))
    return cast(switch(eq(points, 1), 1.0, ramp), "float64")


# --- what Theano names and needs no operation ---------------------------------------------------------------------


def tensor_copy(x: Any) -> Any:
    """``x`` as a variable of its own."""
    x = as_tensor(x)
    return SpecifyShape((None,) * x.ndim)(x)


def transfer(var: Any, target: Any = "cpu") -> Any:
    """``var`` as it is: the backend of a function says where it runs, so a graph needs no transfers."""
    return as_tensor(var)


def is_flat(var: Any, ndim: int | None = None, outdim: int | None = None) -> bool:
    """True where ``var`` has ``ndim`` dimensions, 1 by default; ``outdim`` is Theano's older name."""
    if ndim is not None and outdim is not None:
        raise located(ShapeError("ndim and outdim mean the same", expected="one of them", actual="both"), "is_flat")
    wanted = outdim if ndim is None else ndim
    return bool(as_tensor(var).ndim == (1 if wanted is None else wanted))


def extract_constant(x: Any, elemwise: bool = True, only_process_constants: bool = False) -> Any:
    """The number that ``x`` holds where that is known when the graph is built, as a 0-d array; else ``x`` itself.

    ``elemwise`` and ``only_process_constants`` are accepted as in Theano.

    >>> import tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> float(T.extract_constant(T.zeros(3))), T.extract_constant(x) is x
    (0.0, True)
    """
    try:
        return get_scalar_constant_value(x)
    except NotScalarConstantError:
        return x


def makeKeepDims(x: Any, y: Any, axis: Any) -> Any:
    """``y``, made by reducing ``axis`` of ``x``, with the axes it lost as axes of extent 1.

    >>> import tinygraph.tensor as T
    >>> x = T.tensor("float64", (2, 3))
    >>> T.makeKeepDims(x, x.sum(axis=1), 1).type.shape
    (2, 1)
    """
    x = as_tensor(x)
    return restore_axes(as_tensor(y), axis_indices(axis, x.ndim, "makeKeepDims"), x.ndim)
