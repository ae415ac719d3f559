"""The transposes of convolutions: their gradients, upsampling layers, bilinear interpolation."""

from __future__ import annotations

from typing import Any

from tinygraph.ops.conv_arguments import settings, to_inputs, to_weights

__all__ = [
    "conv2d_grad_wrt_inputs",
    "conv2d_grad_wrt_weights",
    "conv2d_transpose",
    "conv3d_grad_wrt_inputs",
    "conv3d_grad_wrt_weights",
]


def conv2d_grad_wrt_inputs(
    output_grad: Any,
    filters: Any,
    input_shape: Any,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """The gradient of ``conv2d`` with respect to its input.

    Parameters
    ----------
    output_grad
        The cotangent of the output, (batch, filters, output rows, output columns).
    filters
        The filters of the convolution.
    input_shape
        Shape of the input, (batch, channels, rows, columns): the first two may be None, the others be symbolic.
    filter_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared
        As for ``conv2d``.

    Raises
    ------
    ShapeError
        If the convolution of an input of this shape has another output than ``output_grad``.

    >>> import tinygraph.tensor as T
    >>> T.nnet.conv2d_grad_wrt_inputs([[[[1.0]]]], [[[[1.0, 2.0]]]], (None, None, 1, 2)).eval()
    array([[[[2., 1.]]]])
    """
    op = "conv2d_grad_wrt_inputs"
    fields = settings(2, op, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return to_inputs(fields, output_grad, filters, input_shape, filter_shape)


def conv3d_grad_wrt_inputs(
    output_grad: Any,
    filters: Any,
    input_shape: Any,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """The gradient of ``conv3d`` with respect to its input; as ``conv2d_grad_wrt_inputs`` for three spatial axes."""
    op = "conv3d_grad_wrt_inputs"
    fields = settings(3, op, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return to_inputs(fields, output_grad, filters, input_shape, filter_shape)


def conv2d_grad_wrt_weights(
    input: Any,
    output_grad: Any,
    filter_shape: Any,
    input_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """The gradient of ``conv2d`` with respect to its filters.

    Parameters
    ----------
    input
        The input of the convolution, (batch, channels, rows, columns).
    output_grad
        The cotangent of the output, (batch, filters, output rows, output columns).
    filter_shape
        Shape of the filters: the last two extents are needed, and may be symbolic; the others may be None.
    input_shape, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared
        As for ``conv2d``.

    Raises
    ------
    ShapeError
        If the convolution with filters of this shape has another output than ``output_grad``.

    >>> import tinygraph.tensor as T
    >>> T.nnet.conv2d_grad_wrt_weights([[[[3.0, 4.0]]]], [[[[1.0]]]], (None, None, 1, 2)).eval()
    array([[[[4., 3.]]]])
    """
    op = "conv2d_grad_wrt_weights"
    fields = settings(2, op, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return to_weights(fields, input, output_grad, filter_shape, input_shape)


def conv3d_grad_wrt_weights(
    input: Any,
    output_grad: Any,
    filter_shape: Any,
    input_shape: Any = None,
    border_mode: Any = "valid",
    subsample: Any = (1, 1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """The gradient of ``conv3d`` with respect to its filters; as ``conv2d_grad_wrt_weights`` for three spatial axes."""
    op = "conv3d_grad_wrt_weights"
    fields = settings(3, op, border_mode, subsample, filter_flip, filter_dilation, num_groups, unshared)
    return to_weights(fields, input, output_grad, filter_shape, input_shape)


def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    filter_shape: Any = None,
    border_mode: Any = "valid",
    input_dilation: Any = (1, 1),
    filter_flip: bool = True,
    filter_dilation: Any = (1, 1),
    num_groups: int = 1,
    unshared: bool = False,
) -> Any:
    """The transpose of ``conv2d``, which maps its outputs to its inputs: a layer that upsamples.

    Parameters
    ----------
    input
        (batch, input channels, rows, columns).
    filters
        (input channels, output channels, rows, columns): the filters of the convolution that this transposes.
    output_shape
        (batch, output channels, rows, columns): the first two may be None, the others be symbolic.
    border_mode
        Of the convolution; what is padding there is cut off here.
    input_dilation
        The stride of the convolution: the factor of upsampling, for each spatial axis.
    filter_shape, filter_flip, filter_dilation, num_groups, unshared
        As for ``conv2d``.

    >>> import tinygraph.tensor as T
    >>> x, w = T.tensor("float32", (None, 8, 7, 7)), T.tensor("float32", (8, 3, 5, 5))
    >>> T.nnet.conv2d_transpose(x, w, (None, None, 14, 14), border_mode="half", input_dilation=(2, 2)).type.shape
    (None, 3, 14, 14)
    """
    return conv2d_grad_wrt_inputs(
        input,
        filters,
        output_shape,
        filter_shape,
        border_mode,
        input_dilation,
        filter_flip,
        filter_dilation,
        num_groups,
        unshared,
    )
