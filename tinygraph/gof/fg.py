"""Theano's module of graphs that are compiled."""

from tinygraph.errors import MissingInputError
from tinygraph.surgery import FunctionGraph

__all__ = ["FunctionGraph", "MissingInputError"]
