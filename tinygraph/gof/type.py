"""Theano's module of types, of which there is one here: tensors."""

from tinygraph.types import TensorType
from tinygraph.types import TensorType as Type

__all__ = ["TensorType", "Type"]
