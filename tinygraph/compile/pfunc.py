"""Theano's module of ``function`` and its parameters."""

from tinygraph.arguments import In, Param
from tinygraph.function import function as pfunc
from tinygraph.graph import shared

__all__ = ["In", "Param", "pfunc", "shared"]
