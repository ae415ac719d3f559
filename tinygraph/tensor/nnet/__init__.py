"""Activations and losses of neural networks."""

from typing import TYPE_CHECKING

from tinygraph.ops.activations import gelu, leaky_relu, maxout, silu, swish
from tinygraph.ops.conv import abstract_conv2d, conv1d, conv2d, conv3d, separable_conv2d, separable_conv3d
from tinygraph.ops.conv_gradients import (
    conv2d_grad_wrt_inputs,
    conv2d_grad_wrt_weights,
    conv2d_transpose,
    conv3d_grad_wrt_inputs,
    conv3d_grad_wrt_weights,
)
from tinygraph.ops.lookup import (
    confusion_matrix,
    embedding,
    h_softmax,
    prepend_0_to_each_row,
    prepend_1_to_each_row,
    prepend_scalar_to_each_row,
    sparse_block_dot,
)
from tinygraph.ops.nnet import (
    LogSoftmax,
    Softmax,
    SoftmaxGrad,
    binary_crossentropy,
    categorical_crossentropy,
    crossentropy_categorical_1hot,
    crossentropy_softmax_1hot,
    crossentropy_softmax_1hot_with_bias,
    crossentropy_softmax_argmax_1hot_with_bias,
    crossentropy_softmax_max_and_argmax_1hot,
    crossentropy_softmax_max_and_argmax_1hot_with_bias,
    elu,
    hard_sigmoid,
    logsoftmax,
    relu,
    selu,
    sigmoid,
    sigmoid_binary_crossentropy,
    softmax,
    softmax_cross_entropy_with_logits,
    softmax_with_bias,
    softplus,
    softsign,
    ultra_fast_sigmoid,
)
from tinygraph.ops.nnet import logsoftmax as logsoftmax_op
from tinygraph.ops.nnet import sigmoid as scalar_sigmoid
from tinygraph.ops.nnet import sigmoid as sigmoid_inplace
from tinygraph.ops.nnet import softmax as softmax_graph
from tinygraph.ops.nnet import softmax as softmax_op
from tinygraph.ops.normalise import (
    batch_normalization,
    batch_normalization_test,
    batch_normalization_train,
    layer_norm,
)
from tinygraph.tensor.faces import submodules

if not TYPE_CHECKING:
    __getattr__ = submodules(__name__)

__all__ = [
    "LogSoftmax",
    "Softmax",
    "SoftmaxGrad",
    "abstract_conv2d",
    "batch_normalization",
    "batch_normalization_test",
    "batch_normalization_train",
    "binary_crossentropy",
    "categorical_crossentropy",
    "confusion_matrix",
    "conv1d",
    "conv2d",
    "conv2d_grad_wrt_inputs",
    "conv2d_grad_wrt_weights",
    "conv2d_transpose",
    "conv3d",
    "conv3d_grad_wrt_inputs",
    "conv3d_grad_wrt_weights",
    "crossentropy_categorical_1hot",
    "crossentropy_softmax_1hot",
    "crossentropy_softmax_1hot_with_bias",
    "crossentropy_softmax_argmax_1hot_with_bias",
    "crossentropy_softmax_max_and_argmax_1hot",
    "crossentropy_softmax_max_and_argmax_1hot_with_bias",
    "elu",
    "embedding",
    "gelu",
    "h_softmax",
    "hard_sigmoid",
    "layer_norm",
    "leaky_relu",
    "logsoftmax",
    "logsoftmax_op",
    "maxout",
    "prepend_0_to_each_row",
    "prepend_1_to_each_row",
    "prepend_scalar_to_each_row",
    "relu",
    "scalar_sigmoid",
    "selu",
    "separable_conv2d",
    "separable_conv3d",
    "sigmoid",
    "sigmoid_binary_crossentropy",
    "sigmoid_inplace",
    "silu",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softmax_graph",
    "softmax_op",
    "softmax_with_bias",
    "softplus",
    "softsign",
    "sparse_block_dot",
    "swish",
    "ultra_fast_sigmoid",
]
