"""Fourier transforms of real tensors; complex numbers are pairs of reals along a last axis of extent 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import element_count, located
from tinygraph.ops.convert import as_operands, as_tensor, cast
from tinygraph.ops.creation import arange
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.scalar import eq, mod, mul, sqrt, switch, true_div
from tinygraph.ops.shape import extent
from tinygraph.types import Abstract, TensorType

__all__ = ["IRFFT", "RFFT", "irfft", "rfft"]

Vjp = Sequence[Any]


class RFFT(Op):
    """The discrete Fourier transform over all axes but the first: the half of it that says all, as pairs."""

    def infer(self, x: Abstract) -> TensorType:
        if x.ndim < 2:
            raise ShapeError(
                "the first axis runs over the tensors that are transformed",
                expected="at least 2 dimensions",
                actual=str(x.type),
                hint="x[None] transforms a single one",
            )
        if 0 in x.shape[1:]:
            raise ShapeError("there is nothing to transform", expected="extents from 1", actual=str(x.type))
        last = x.shape[-1]
        return x.type.with_shape((*x.shape[:-1], None if last is None else last // 2 + 1, 2))

    def compute(self, xp: Any, x: Any) -> Any:
        pairs = xp.ascontiguousarray(xp.fft.rfftn(x, axes=tuple(range(1, x.ndim))))
        return pairs.view(pairs.real.dtype).reshape((*pairs.shape, 2)).astype(x.dtype, copy=False)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        n = extent(inputs[0], -1)
        # The inverse counts each frequency twice that stands for its opposite, too.
        return [lambda: IRFFT()(mul(cotangents[0], _weights(outputs[0], n, 0.5)), as_tensor(n))]


class IRFFT(Op):
    """The inverse of ``RFFT``, times the number of elements; the second input is the last extent of the result."""

    host = (1,)

    def infer(self, x: Abstract, n: Abstract) -> TensorType:
        if x.ndim < 3 or x.shape[-1] not in (None, 2):
            raise ShapeError(
                "the last axis holds real and imaginary parts, the first runs over transforms",
                expected="at least 3 dimensions, the last of extent 2",
                actual=str(x.type),
            )
        last = n.value if isinstance(n.value, int) else None
        if 0 in x.shape[1:] or (last is not None and last < 1):
            raise ShapeError("there is nothing to transform back", expected="extents from 1", actual=str(x.type))
        if last is not None and x.shape[-2] not in (None, last // 2 + 1):
            raise ShapeError(
                "the number of frequencies does not fit the extent of the result",
                expected=f"{last // 2 + 1} for {last}",
                actual=f"{x.shape[-2]}",
            )
        return x.type.with_shape((*x.shape[:-2], last))

    def compute(self, xp: Any, x: Any, n: Any) -> Any:
        sizes = (*x.shape[1:-2], int(n))
        z = x[..., 0] + 1j * x[..., 1]
        out = xp.fft.irfftn(z, s=sizes, axes=tuple(range(1, z.ndim)), norm="forward")
        return out.astype(x.dtype, copy=False)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        x, n = inputs
        return [lambda: mul(RFFT()(cotangents[0]), _weights(x, n, 2.0)), None]


def _weights(pairs: Any, n: Any, factor: float) -> Any:
    """1 for the frequencies of ``pairs`` that are their own opposites among ``n``, ``factor`` for the others."""
    frequencies = arange(extent(pairs, -2))
    own = eq(mod(mul(frequencies, 2), n), 0)
    return DimShuffle((0, "x"))(cast(switch(own, 1.0, factor), pairs.dtype))


_NORMS = (None, "ortho", "no_norm")


def _as_floats(inp: Any, norm: Any, op: str) -> Any:
    if not isinstance(norm, str | None) or norm not in _NORMS:
        raise located(DtypeError("there is no such norm", expected=", ".join(map(repr, _NORMS)), actual=repr(norm)), op)
    return as_operands([inp], as_float=True)[0][0]


def rfft(inp: Any, norm: str | None = None) -> Any:
    """The discrete Fourier transform of real tensors.

    Parameters
    ----------
    inp
        A tensor of shape (m, …, n): m tensors, each of which is transformed over all its axes.
    norm
        None or ``"no_norm"``: the plain sum; ``"ortho"``: divided by the root of the number of elements, so that
        lengths stay as they are.

    Returns
    -------
    variable
        Of shape (m, …, n // 2 + 1, 2): the half of the transform that the other half repeats, real and imaginary parts
        along the last axis.

    Raises
    ------
    ShapeError
        If there are fewer than two dimensions, or nothing to transform.
    DtypeError
        If there is no such norm.

    >>> import tinygraph.tensor as T
    >>> T.fft.rfft([[1.0, 0.0, 0.0, 0.0]]).eval().tolist()
    [[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]]
    """
    x = _as_floats(inp, norm, "rfft")
    pairs = RFFT()(x)
    return true_div(pairs, sqrt(element_count(x, range(1, x.ndim), x.dtype))) if norm == "ortho" else pairs


def irfft(inp: Any, norm: str | None = None, is_odd: bool = False) -> Any:
    """The inverse of ``rfft``.

    Parameters
    ----------
    inp
        A tensor of shape (m, …, n // 2 + 1, 2), as ``rfft`` gives it.
    norm
        None: divided by the number of elements, so that ``irfft(rfft(x))`` is x; ``"ortho"``: by its root;
        ``"no_norm"``: the plain sum.
    is_odd
        n is odd, which the shape does not tell.

    Returns
    -------
    variable
        Of shape (m, …, n).

    Raises
    ------
    ShapeError
        If there are fewer than three dimensions, the last extent is not 2, or there is nothing to transform.
    DtypeError
        If there is no such norm, or ``is_odd`` is no bool.

    >>> import tinygraph.tensor as T
    >>> T.fft.irfft([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]]).eval().tolist()
    [[1.0, 0.0, 0.0, 0.0]]
    """
    x = _as_floats(inp, norm, "irfft")
    if is_odd not in (True, False):
        raise located(DtypeError("is_odd is True or False", actual=repr(is_odd)), "irfft")
    n = (extent(x, -2) - 1) * 2 + int(is_odd) if x.ndim > 1 else 0
    points = IRFFT()(x, as_tensor(n))
    if norm == "no_norm":
        return points
    count = element_count(points, range(1, points.ndim), x.dtype)
    return true_div(points, sqrt(count) if norm == "ortho" else count)
