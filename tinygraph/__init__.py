"""Reverse-mode automatic differentiation on computational graphs, in the way of Theano."""

from tinygraph import gradient, tensor
from tinygraph.arguments import In, Out
from tinygraph.autodiff import Lop, grad
from tinygraph.config import config
from tinygraph.function import Function, clone, function
from tinygraph.graph import Apply, Constant, Op, SharedVariable, Variable, shared

__all__ = [
    "Apply",
    "Constant",
    "Function",
    "In",
    "Lop",
    "Op",
    "Out",
    "SharedVariable",
    "Variable",
    "clone",
    "config",
    "function",
    "grad",
    "gradient",
    "shared",
    "tensor",
]
__version__ = "0.1.0"
