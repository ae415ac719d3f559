"""Theano's scalars, of which programs use the common dtype of several."""

from tinygraph.scalar import basic
from tinygraph.scalar.basic import upcast

__all__ = ["basic", "upcast"]
