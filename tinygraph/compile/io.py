"""Theano's module of declarations of inputs and outputs."""

from tinygraph.arguments import In, Out
from tinygraph.arguments import In as SymbolicInput
from tinygraph.arguments import Out as SymbolicOutput

__all__ = ["In", "Out", "SymbolicInput", "SymbolicOutput"]
