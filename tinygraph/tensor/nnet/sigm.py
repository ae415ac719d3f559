"""Theano's module of sigmoids."""

from tinygraph.ops.nnet import hard_sigmoid, sigmoid, softplus, ultra_fast_sigmoid
from tinygraph.ops.nnet import sigmoid as scalar_sigmoid
from tinygraph.ops.nnet import sigmoid as sigmoid_inplace
from tinygraph.ops.nnet import softplus as scalar_softplus
from tinygraph.ops.nnet import ultra_fast_sigmoid as ultra_fast_sigmoid_inplace

__all__ = [
    "hard_sigmoid",
    "scalar_sigmoid",
    "scalar_softplus",
    "sigmoid",
    "sigmoid_inplace",
    "softplus",
    "ultra_fast_sigmoid",
    "ultra_fast_sigmoid_inplace",
]
