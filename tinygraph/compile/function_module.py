"""Theano's module of compiled functions."""

from tinygraph.compiling import Maker
from tinygraph.compiling import Maker as FunctionMaker
from tinygraph.errors import UnusedInputError
from tinygraph.function import Function

__all__ = ["Function", "FunctionMaker", "Maker", "UnusedInputError"]
