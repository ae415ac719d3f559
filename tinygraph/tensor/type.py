"""Theano's module of types."""

from tinygraph.types import TensorType

__all__ = ["TensorType"]
