"""Reverse-mode automatic differentiation on computational graphs, in the way of Theano.

>>> import tinygraph as tg, tinygraph.tensor as T
>>> x = T.dscalar("x")
>>> f = tg.function([x], [x**2, tg.grad(x**2, x)])
>>> [float(v) for v in f(3.0)]
[9.0, 6.0]
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.argv[:2] == ["-m", "doctor"] and sys.orig_argv[-len(sys.argv)] == "tinygraph":
    # python -m tinygraph doctor: it comes before everything that may be missing or broken.
    from tinygraph.doctor import main

    sys.exit(main(sys.argv[1:]))

from tinygraph import errors, gradient, ifelse, tensor
from tinygraph.arguments import In, Out, Param
from tinygraph.autodiff import Lop, grad
from tinygraph.config import config
from tinygraph.derivatives import Rop, subgraph_grad
from tinygraph.extension import Op, as_op
from tinygraph.function import Function, clone, function
from tinygraph.graph import Apply, Constant, SharedVariable, Variable, name_scope, services, shared
from tinygraph.misc.safe_asarray import _asarray
from tinygraph.modes import Mode
from tinygraph.surgery import map_variables
from tinygraph.tensor import dot, get_scalar_constant_value
from tinygraph.updates import OrderedUpdates

if TYPE_CHECKING:  # found when they are first asked for; see _FOUND_IN
    from tinygraph.opfromgraph import OpFromGraph
    from tinygraph.scan_module import foldl, foldr, map, reduce, scan, scan_checkpoints

__all__ = [
    "Apply",
    "Constant",
    "Function",
    "In",
    "Lop",
    "Mode",
    "Op",
    "OpFromGraph",
    "OrderedUpdates",
    "Out",
    "Param",
    "Rop",
    "SharedVariable",
    "Variable",
    "_asarray",
    "as_op",
    "change_flags",
    "clone",
    "compile",
    "config",
    "debugprint",
    "diagnose",
    "dot",
    "dprint",
    "draw",
    "draw_html",
    "errors",
    "example",
    "foldl",
    "foldr",
    "function",
    "get_scalar_constant_value",
    "gof",
    "grad",
    "gradient",
    "ifelse",
    "map",
    "map_variables",
    "misc",
    "name_scope",
    "optim",
    "pp",
    "pprint",
    "printing",
    "reduce",
    "scalar",
    "scan",
    "scan_checkpoints",
    "scan_module",
    "shared",
    "sparse",
    "subgraph_grad",
    "tensor",
    "testing",
    "viz",
    "why_nan",
]
__version__ = "0.1.0"

change_flags = config.change_flags

#: Modules that many programs do without; they load when they are first asked for.
_LATER = (
    *("compat", "compile", "configdefaults", "configparser", "diagnose", "gof", "misc", "optim", "printing"),
    *("raise_op", "scalar", "scan_module", "sparse", "testing", "viz"),
)
#: Names that are found in such a module.
_FOUND_IN = {
    "OpFromGraph": "tinygraph.opfromgraph",
    **dict.fromkeys(("example", "why_nan"), "tinygraph.diagnose"),
    **dict.fromkeys(("debugprint", "draw", "draw_html", "pprint"), "tinygraph.viz"),
    **dict.fromkeys(("dprint", "pp"), "tinygraph.printing"),
    **dict.fromkeys(("foldl", "foldr", "map", "reduce", "scan", "scan_checkpoints"), "tinygraph.scan_module"),
}

services.later("tinygraph.viz.profile", "profile")
services.later("tinygraph.viz", "debugprint", "repr_html", "repr_svg")
services.later("tinygraph.diagnose", "trace", "NanGuardMode", "DebugMode")
services.later("tinygraph.sparse", "shared_sparse")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"tinygraph.{name}")
    if name in _FOUND_IN:
        return getattr(importlib.import_module(_FOUND_IN[name]), name)
    raise AttributeError(f"module 'tinygraph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_FOUND_IN})
