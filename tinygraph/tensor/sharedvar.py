"""Theano's module of shared variables."""

from tinygraph.graph import shared as scalar_constructor
from tinygraph.graph import shared as tensor_constructor
from tinygraph.ops.variable import TensorSharedVariable
from tinygraph.ops.variable import TensorSharedVariable as ScalarSharedVariable

__all__ = ["ScalarSharedVariable", "TensorSharedVariable", "scalar_constructor", "tensor_constructor"]
