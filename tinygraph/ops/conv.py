"""Convolutions under the names and with the arguments that programs use."""

from __future__ import annotations

from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.axes import located
from tinygraph.ops.conv_arguments import Fields, border, claimed, forward, settings, steps
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.convolution import conv_extent
from tinygraph.ops.layout import DimShuffle

__all__ = [
    "abstract_conv2d",
    "causal_conv1d",
    "conv1d",
    "conv2d",
    "conv3d",
    "get_conv_output_shape",
    "get_conv_shape_1axis",
    "legacy_conv2d",
    "separable_conv2d",
    "separable_conv3d",
    "signal_conv2d",
]

# --- convolutions -------------------------------------------------------------------------------------------------


def conv2d(
    input: Any,
    filters: Any,
    input_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    image_shape: Any = None,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
    **kwargs: Any,
) -> Any:
    """A batch of stacks of images, convolved with filters.

    Parameters
    ----------
    input
        Images, (batch, channels, rows, columns).
    filters
        (filters, channels, rows, columns); with ``num_groups``, the channels of a group; with ``unshared``,
        (filters, output rows, output columns, channels, rows, columns).
    input_shape, filter_shape
        Their shapes, as far as they are known, with None for other extents. They make types more precise and are
        checked when the function runs.
    border_mode
        The zeros around each image: ``"valid"``: none; ``"full"``: as many as let a filter meet the image in one
        element; ``"half"``: half the extent of a filter, rounded down, so that odd filters keep the extents of the
        image; an integer; or for each spatial axis an integer or a pair (before, behind).
    subsample
        The stride, for each spatial axis.
    filter_flip
        True for convolution: filters are reversed along their rows and columns. False for correlation.
    image_shape
        The older name of ``input_shape``.
    filter_dilation
        Distance of neighbouring elements of a filter, for each spatial axis.
    num_groups
        Channels and filters are divided into this many groups; each group of filters sees its group of channels.
    unshared
        Each position has filters of its own (a locally connected layer).
    kwargs
        Settings of Theano's old implementations, such as ``unroll_batch``, without effect here.

    Returns
    -------
    tensor
        (batch, filters, output rows, output columns), where the output has ``(n + padding - reach) // stride + 1``
        elements along an axis; ``reach`` is what a filter spans, ``(extent - 1) * dilation + 1``.

    Raises
    ------
    ShapeError
        If channels, groups or shapes do not fit, or a filter is larger than the padded image.
    DtypeError
        For unknown keywords and bools.

    >>> import tinygraph.tensor as T
    >>> x, w = T.tensor("float32", (None, 3, 32, 32)), T.tensor("float32", (16, 3, 5, 5))
    >>> T.nnet.conv2d(x, w, border_mode="half", subsample=(2, 2)).type.shape
    (None, 16, 16, 16)
    """
    _only_tuning(kwargs, "conv2d")
    if image_shape is not None and input_shape is not None:
        raise located(ShapeError("input_shape and image_shape mean the same", expected="one of them"), "conv2d")
    shape = image_shape if input_shape is None else input_shape
    fields = settings(2, "conv2d", border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return forward(fields, input, filters, shape, filter_shape)


#: Arguments that chose between Theano's implementations.
_TUNING = frozenset(("unroll_batch", "unroll_kern", "unroll_patch", "openmp", "version", "verbose", "direction_hint"))


def _only_tuning(kwargs: dict[str, Any], op: str) -> None:
    unknown = sorted(set(kwargs) - _TUNING)
    if unknown:
        raise located(DtypeError(f"{op} has no argument {unknown[0]!r}", actual=", ".join(unknown)), op)


def conv1d(
    input: Any,
    filters: Any,
    input_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = 1,
    filter_flip: bool = True,
    filter_dilation: Any = 1,
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """A batch of stacks of signals, (batch, channels, time), convolved with filters, (filters, channels, time).

    The arguments are those of ``conv2d`` for one spatial axis.

    >>> import tinygraph.tensor as T
    >>> T.nnet.conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, 1.0]]], border_mode="full").eval()
    array([[[1., 3., 5., 3.]]])
    """
    fields = settings(1, "conv1d", border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return forward(fields, input, filters, input_shape, filter_shape)


def conv3d(
    input: Any,
    filters: Any,
    input_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """A batch of stacks of volumes, (batch, channels, depth, rows, columns), convolved with filters.

    The arguments are those of ``conv2d`` for three spatial axes.

    >>> import tinygraph.tensor as T
    >>> x, w = T.tensor("float32", (2, 3, 8, 9, 10)), T.tensor("float32", (4, 3, 3, 3, 3))
    >>> T.nnet.conv3d(x, w).type.shape
    (2, 4, 6, 7, 8)
    """
    fields = settings(3, "conv3d", border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return forward(fields, input, filters, input_shape, filter_shape)


def causal_conv1d(
    input: Any,
    filters: Any,
    filter_shape: Any = None,
    input_shape: Any = None,
    subsample: Any = 1,
    filter_flip: bool = True,
    filter_dilation: Any = 1,
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """Signals, (batch, channels, time), convolved so that the output at a time depends on no later input.

    The arguments are those of ``conv1d``, in Theano's order; the border is as many zeros before the signal as let the
    output have its length. The length of the filters must be known when the graph is built.

    >>> import tinygraph.tensor as T
    >>> T.nnet.abstract_conv.causal_conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, 10.0]]]).eval()
    array([[[ 1., 12., 23.]]])
    """
    op = "causal_conv1d"
    filters = claimed(as_tensor(filters), filter_shape, op)
    size = filters.type.shape[-1] if filters.ndim else None
    if size is None:
        raise located(
            ShapeError(
                "the length of the filters must be known when the graph is built",
                actual=str(filters.type),
                hint="say it with filter_shape=(None, None, length)",
            ),
            op,
        )
    (gap,) = steps(filter_dilation, 1, "filter_dilation", op)
    border = (((size - 1) * gap, 0),)
    return conv1d(input, filters, input_shape, None, border, subsample, filter_flip, gap, num_groups, unshared)


def separable_conv2d(
    input: Any,
    depthwise_filters: Any,
    pointwise_filters: Any,
    num_channels: int,
    input_shape: Any = None,
    depthwise_filter_shape: Any = None,
    pointwise_filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
) -> Any:
    """Images convolved channel by channel, and then mixed by filters of one element.

    Parameters
    ----------
    input
        Images, (batch, channels, rows, columns).
    depthwise_filters
        (depthwise filters, 1, rows, columns): as many for each channel.
    pointwise_filters
        (filters, depthwise filters, 1, 1).
    num_channels
        The number of channels.
    input_shape, depthwise_filter_shape, pointwise_filter_shape
        Shapes, as for ``conv2d``.
    border_mode, subsample, filter_flip, filter_dilation
        As for ``conv2d``, of the first step.

    >>> import tinygraph.tensor as T
    >>> x, depth, point = (T.ones(shape) for shape in [(1, 2, 5, 5), (4, 1, 3, 3), (7, 4, 1, 1)])
    >>> T.nnet.separable_conv2d(x, depth, point, num_channels=2).type.shape
    (1, 7, 3, 3)
    """
    op = "separable_conv2d"
    fields = settings(2, op, border_mode, subsample, filter_flip, filter_dilation, num_channels, False)
    return _separable(
        fields, input, depthwise_filters, pointwise_filters, input_shape, depthwise_filter_shape, pointwise_filter_shape
    )


def separable_conv3d(
    input: Any,
    depthwise_filters: Any,
    pointwise_filters: Any,
    num_channels: int,
    input_shape: Any = None,
    depthwise_filter_shape: Any = None,
    pointwise_filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
) -> Any:
    """``separable_conv2d`` for volumes, (batch, channels, depth, rows, columns)."""
    op = "separable_conv3d"
    fields = settings(3, op, border_mode, subsample, filter_flip, filter_dilation, num_channels, False)
    return _separable(
        fields, input, depthwise_filters, pointwise_filters, input_shape, depthwise_filter_shape, pointwise_filter_shape
    )


def _separable(fields: Fields, x: Any, depth: Any, point: Any, *shapes: Any) -> Any:
    x_shape, depth_shape, point_shape = shapes
    spatial = len(fields[1])
    mixing = settings(spatial, f"separable_conv{spatial}d", "valid", 1, fields[4], 1, 1, False)
    return forward(mixing, forward(fields, x, depth, x_shape, depth_shape), point, None, point_shape)


# --- older and simpler calls --------------------------------------------------------------------------------------


def abstract_conv2d(
    input: Any,
    filters: Any,
    input_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """``nnet.abstract_conv.conv2d``: ``conv2d`` without its older arguments."""
    fields = settings(2, "conv2d", border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return forward(fields, input, filters, input_shape, filter_shape)


def legacy_conv2d(
    input: Any,
    filters: Any,
    image_shape: Any = None,
    filter_shape: Any = None,
    border_mode: str = "valid",
    subsample: Any = (1, 1),
    **kargs: Any,
) -> Any:
    """``nnet.conv.conv2d``, Theano's first convolution: ``conv2d`` with fewer arguments in another order.

    >>> import tinygraph.tensor as T
    >>> x, w = T.tensor("float32", (5, 3, 8, 8)), T.tensor("float32", (2, 3, 3, 3))
    >>> T.nnet.conv.conv2d(x, w, border_mode="full").type.shape
    (5, 2, 10, 10)
    """
    return conv2d(input, filters, image_shape, filter_shape, border_mode, subsample, **kargs)


def signal_conv2d(
    input: Any,
    filters: Any,
    image_shape: Any = None,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    **kargs: Any,
) -> Any:
    """Each of some images convolved with each of some filters, as ``scipy.signal.convolve2d``.

    Parameters
    ----------
    input
        An image (rows, columns), or several: (images, rows, columns).
    filters
        A filter, or several: (filters, rows, columns).
    image_shape, filter_shape
        Their shapes, as for ``nnet.conv2d``.
    border_mode, subsample, kargs
        As for ``nnet.conv2d``.

    Returns
    -------
    tensor
        (images, filters, rows, columns), without the axes that the operands do not have.

    >>> import tinygraph.tensor as T
    >>> T.signal.conv.conv2d([[1.0, 2.0]], [[1.0, 1.0]], border_mode="full").eval()
    array([[1., 3., 2.]])
    """
    op = "signal.conv2d"
    _only_tuning(kargs, op)
    x, w = as_tensor(input), as_tensor(filters)
    for label, v in (("input", x), ("filters", w)):
        if v.ndim not in (2, 3):
            raise located(ShapeError(f"the {label} must have 2 or 3 dimensions", actual=str(v.type)), op)
    images, stack = (
        DimShuffle(("x",) * (3 - v.ndim) + (0,) * (v.ndim - 2) + ("x", v.ndim - 2, v.ndim - 1))(claimed(v, shape, op))
        for v, shape in ((x, image_shape), (w, filter_shape))
    )
    out = conv2d(images, stack, border_mode=border_mode, subsample=subsample)
    kept = [axis for axis, v in enumerate((x, w)) if v.ndim == 3]
    return DimShuffle((*kept, 2, 3))(out)


# --- shapes -------------------------------------------------------------------------------------------------------


def get_conv_output_shape(
    image_shape: Any, kernel_shape: Any, border_mode: Any, subsample: Any, filter_dilation: Any = None
) -> tuple[Any, ...]:
    """The shape of the output of a convolution.

    Parameters
    ----------
    image_shape, kernel_shape
        (batch, channels, …) and (filters, channels, …), of unshared filters (filters, positions …, channels, …);
        extents are numbers, variables or None.
    border_mode, subsample, filter_dilation
        As for ``conv2d``.

    >>> get_conv_output_shape((None, 3, 32, None), (16, 3, 5, 5), "valid", (2, 2))
    (None, 16, 14, None)
    """
    spatial = len(image_shape) - 2
    borders = border_mode if isinstance(border_mode, (tuple, list)) else (border_mode,) * spatial
    gaps = (1,) * spatial if filter_dilation is None else filter_dilation
    axes = zip(image_shape[2:], kernel_shape[-spatial:], borders, subsample, gaps, strict=True)
    return (image_shape[0], kernel_shape[0], *(get_conv_shape_1axis(*axis) for axis in axes))


def get_conv_shape_1axis(
    image_shape: Any, kernel_shape: Any, border_mode: Any, subsample: Any, dilation: Any = 1
) -> Any:
    """The extent of the output of a convolution along one axis; None if an argument is None.

    >>> get_conv_shape_1axis(32, 5, (2, 1), 1), get_conv_shape_1axis(None, 5, "full", 1)
    (31, None)
    """
    if border_mode is None or subsample is None or dilation is None:
        return None
    (ends,) = border((border_mode,), 1, "get_conv_shape_1axis")
    return conv_extent(image_shape, kernel_shape, ends, subsample, dilation)
