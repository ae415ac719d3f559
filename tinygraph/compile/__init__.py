"""Theano's room of everything around ``function``."""

from tinygraph.arguments import In, Out, Param
from tinygraph.arguments import In as SymbolicInput
from tinygraph.arguments import Out as SymbolicOutput
from tinygraph.compile import (
    builders,
    debugmode,
    function_module,
    io,
    mode,
    monitormode,
    nanguardmode,
    ops,
    pfunc,
    profiling,
    sharedvalue,
)
from tinygraph.diagnose import DebugMode, NanGuardMode
from tinygraph.diagnose.monitor import MonitorMode
from tinygraph.errors import UnusedInputError
from tinygraph.extension import FromFunctionOp, ViewOp, as_op
from tinygraph.function import Function, function
from tinygraph.graph import SharedVariable, shared
from tinygraph.modes import FAST_COMPILE, FAST_RUN, Mode, get_default_mode, get_mode, predefined_modes
from tinygraph.opfromgraph import OpFromGraph
from tinygraph.viz.profile import ProfileStats

__all__ = [
    "FAST_COMPILE",
    "FAST_RUN",
    "DebugMode",
    "FromFunctionOp",
    "Function",
    "In",
    "Mode",
    "MonitorMode",
    "NanGuardMode",
    "OpFromGraph",
    "Out",
    "Param",
    "ProfileStats",
    "SharedVariable",
    "SymbolicInput",
    "SymbolicOutput",
    "UnusedInputError",
    "ViewOp",
    "as_op",
    "builders",
    "debugmode",
    "function",
    "function_module",
    "get_default_mode",
    "get_mode",
    "io",
    "mode",
    "monitormode",
    "nanguardmode",
    "ops",
    "pfunc",
    "predefined_modes",
    "profiling",
    "shared",
    "sharedvalue",
]
