"""Theano's module of compiled functions."""

from tinygraph.errors import UnusedInputError
from tinygraph.function import Function, Maker
from tinygraph.function import Maker as FunctionMaker

__all__ = ["Function", "FunctionMaker", "Maker", "UnusedInputError"]
