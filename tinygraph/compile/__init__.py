"""Theano's room of everything around ``function``."""

from tinygraph.arguments import In, Out, Param
from tinygraph.arguments import In as SymbolicInput
from tinygraph.arguments import Out as SymbolicOutput
from tinygraph.compile import builders, function_module, io, mode, ops, pfunc, sharedvalue
from tinygraph.errors import UnusedInputError
from tinygraph.extension import FromFunctionOp, ViewOp, as_op
from tinygraph.function import Function, function
from tinygraph.graph import SharedVariable, shared
from tinygraph.modes import FAST_COMPILE, FAST_RUN, Mode, get_default_mode, get_mode, predefined_modes
from tinygraph.opfromgraph import OpFromGraph
from tinygraph.tensor.faces import submodules

__all__ = [
    "FAST_COMPILE",
    "FAST_RUN",
    "FromFunctionOp",
    "Function",
    "In",
    "Mode",
    "OpFromGraph",
    "Out",
    "Param",
    "SharedVariable",
    "SymbolicInput",
    "SymbolicOutput",
    "UnusedInputError",
    "ViewOp",
    "as_op",
    "builders",
    "function",
    "function_module",
    "get_default_mode",
    "get_mode",
    "io",
    "mode",
    "ops",
    "pfunc",
    "predefined_modes",
    "shared",
    "sharedvalue",
]

__getattr__ = submodules(__name__)
