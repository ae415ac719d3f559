"""Bilinear interpolation between the elements of images."""

from __future__ import annotations

import math
from typing import Any

from tinygraph.errors import ShapeError
from tinygraph.ops.axes import located
from tinygraph.ops.conv_arguments import steps
from tinygraph.ops.conv_gradients import conv2d_grad_wrt_inputs
from tinygraph.ops.convert import as_tensor, cast, constant
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.pieces import concatenate
from tinygraph.ops.scalar import mul
from tinygraph.ops.shape import extents, reshape
from tinygraph.types import is_float

__all__ = ["bilinear_kernel_1D", "bilinear_kernel_2D", "bilinear_upsampling"]


def bilinear_kernel_1D(ratio: int, normalize: bool = True) -> Any:
    """The triangle that interpolates between neighbours ``ratio`` elements apart, as a vector of ``config.floatX``.

    Parameters
    ----------
    ratio
        The distance, known when the graph is built.
    normalize
        True for a peak of 1, False for one of ``ratio``.

    >>> bilinear_kernel_1D(2).eval()
    array([0.5, 1. , 0.5])
    """
    (n,) = steps(ratio, 1, "ratio", "bilinear_kernel_1D")
    return constant([min(i, 2 * n - i) / (n if normalize else 1) for i in range(1, 2 * n)], dtype="floatX")


def bilinear_kernel_2D(ratio: Any, normalize: bool = True) -> Any:
    """The product of two triangles, one along the rows and one along the columns, as a matrix.

    ``ratio`` is a number, or a pair (rows, columns); ``normalize`` as for ``bilinear_kernel_1D``.

    >>> bilinear_kernel_2D((2, 1)).eval()
    array([[0.5],
           [1. ],
           [0.5]])
    """
    rows, columns = steps(ratio, 2, "ratio", "bilinear_kernel_2D")
    down, across = bilinear_kernel_1D(rows, normalize), bilinear_kernel_1D(columns, normalize)
    return mul(DimShuffle((0, "x"))(down), DimShuffle(("x", 0))(across))


def bilinear_upsampling(
    input: Any,
    ratio: Any = None,
    frac_ratio: Any = None,
    batch_size: int | None = None,
    num_input_channels: int | None = None,
    use_1D_kernel: bool = True,
) -> Any:
    """Images made larger by bilinear interpolation.

    Parameters
    ----------
    input
        (batch, channels, rows, columns).
    ratio
        How many times larger, an integer known when the graph is built.
    frac_ratio
        Instead of ``ratio`` a fraction, (numerator, denominator), or a pair of them for rows and columns.
    batch_size, num_input_channels
        Theano's hints, without effect here.
    use_1D_kernel
        True interpolates along rows and columns one after the other, False along both at once; the result is the same.

    Returns
    -------
    tensor
        (batch, channels, rows * ratio, columns * ratio), with fractions rounded up. Border elements are repeated; for
        even ratios there is one more of the last than of the first.

    Raises
    ------
    ShapeError
        If ``input`` has not four dimensions, or not exactly one of ``ratio`` and ``frac_ratio`` is given.

    >>> import tinygraph.tensor as T
    >>> T.nnet.abstract_conv.bilinear_upsampling([[[[0.0, 2.0]]]], ratio=2).eval()
    array([[[[0., 1., 2., 2.],
             [0., 1., 2., 2.]]]])
    """
    op = "bilinear_upsampling"
    x = as_tensor(input)
    if x.ndim != 4:
        raise located(
            ShapeError("images have 4 dimensions", expected="(batch, channels, rows, columns)", actual=str(x.type)), op
        )
    if (ratio is None) == (frac_ratio is None):
        raise located(ShapeError("exactly one of ratio and frac_ratio is needed"), op)
    if frac_ratio is None:
        times, keep = steps(ratio, 2, "ratio", op), (1, 1)
    else:
        times, keep = _fractions(frac_ratio, op)
    x = x if is_float(x.dtype) else cast(x, "floatX")
    batch, channels, rows, columns = extents(x)
    out = _upsampled(reshape(x, (batch * channels, 1, rows, columns)), times, (rows, columns), use_1D_kernel)
    if keep != (1, 1):
        out = subtensor(out, (..., slice(None, None, keep[0]), slice(None, None, keep[1])))
    return reshape(out, (batch, channels, *extents(out)[2:]))


def _fractions(given: Any, op: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Numerators and denominators, for rows and columns, in lowest terms."""
    is_pair = isinstance(given, (tuple, list)) and len(given) == 2
    both = given if is_pair and isinstance(given[0], (tuple, list)) else (given, given)
    pairs = [steps(fraction, 2, "frac_ratio", op) for fraction in both]
    (up, down), (right, left) = ((n // math.gcd(n, m), m // math.gcd(n, m)) for n, m in pairs)
    return (up, right), (down, left)


def _upsampled(x: Any, times: tuple[int, ...], size: tuple[Any, Any], one_by_one: bool) -> Any:
    """Images without channels, (batch, 1, rows, columns), interpolated by integer factors."""
    for axis in (2, 3):
        first, last = ((slice(None),) * axis + (end,) for end in (slice(1), slice(-1, None)))
        x = concatenate([subtensor(x, first), x, subtensor(x, last)], axis=axis)
    # The repeated elements are in the middle of what the triangle reaches before the first element.
    pads = [2 * n - (n - 1) // 2 - 1 for n in times]
    rows, columns = (n * factor for n, factor in zip(size, times, strict=True))
    if not one_by_one:
        kernel = DimShuffle(("x", "x", 0, 1))(cast(bilinear_kernel_2D(times), x.dtype))
        return conv2d_grad_wrt_inputs(x, kernel, (None, 1, rows, columns), border_mode=tuple(pads), subsample=times)
    down, across = (cast(bilinear_kernel_1D(n), x.dtype) for n in times)
    kernel = DimShuffle(("x", "x", 0, "x"))(down)
    x = conv2d_grad_wrt_inputs(
        x, kernel, (None, 1, rows, extents(x)[3]), border_mode=(pads[0], 0), subsample=(times[0], 1)
    )
    kernel = DimShuffle(("x", "x", "x", 0))(across)
    return conv2d_grad_wrt_inputs(
        x, kernel, (None, 1, rows, columns), border_mode=(0, pads[1]), subsample=(1, times[1])
    )
