"""Theano's graph-of-functions: nodes, and what can be asked of graphs."""

from tinygraph.autodiff import NullGradient as NullType
from tinygraph.extension import Op
from tinygraph.gof import fg, graph, null_type, op, type, utils
from tinygraph.gof.fg import FunctionGraph, MissingInputError
from tinygraph.gof.graph import Apply, Constant, Variable, inputs, io_toposort
from tinygraph.types import TensorType

__all__ = [
    "Apply",
    "Constant",
    "FunctionGraph",
    "MissingInputError",
    "NullType",
    "Op",
    "TensorType",
    "Variable",
    "fg",
    "graph",
    "inputs",
    "io_toposort",
    "null_type",
    "op",
    "type",
    "utils",
]
