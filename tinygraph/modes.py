"""Theano's objects for modes of compilation."""

from __future__ import annotations

from typing import Any

from tinygraph.config import config
from tinygraph.graph import services

__all__ = ["FAST_COMPILE", "FAST_RUN", "Mode", "get_default_mode", "get_mode", "predefined_modes"]

#: Optimizers of Theano's that leave a graph about as it was written.
_PLAIN = (None, "None", "fast_compile", "merge")


class Mode(str):
    """``"FAST_RUN"`` or ``"FAST_COMPILE"``, with the attributes and methods of Theano's modes.

    Parameters
    ----------
    linker
        Accepted as in Theano; programs run on the backend of their function.
    optimizer
        None, ``"fast_compile"`` or ``"merge"`` leave the graph as it was written; all others rewrite it.

    >>> Mode("py", None), Mode(optimizer="fast_run").excluding("fusion")
    ('FAST_COMPILE', 'FAST_RUN')
    """

    linker: Any
    optimizer: Any

    def __new__(cls, linker: Any = None, optimizer: Any = "default") -> Mode:
        mode = super().__new__(cls, "FAST_COMPILE" if optimizer in _PLAIN else "FAST_RUN")
        mode.linker = linker
        mode.optimizer = optimizer
        return mode

    def including(self, *tags: str) -> Mode:
        """The mode itself: there is one set of rewrites, none of which changes results."""
        return self

    excluding = requiring = including


FAST_RUN = Mode(optimizer="fast_run")
FAST_COMPILE = Mode(optimizer="fast_compile")
predefined_modes = {"FAST_RUN": FAST_RUN, "FAST_COMPILE": FAST_COMPILE}


def get_mode(orig_string: Any) -> Any:
    """The mode of this name; None means the default, and what is no name is a mode already."""
    if orig_string is None:
        return get_default_mode()
    if not isinstance(orig_string, str) or isinstance(orig_string, Mode):
        return orig_string
    if orig_string in ("NanGuardMode", "DebugMode"):
        return services.call(orig_string)
    if orig_string not in predefined_modes:
        raise ValueError(f"there is no mode {orig_string!r}; there are {', '.join(predefined_modes)}")
    return predefined_modes[orig_string]


def get_default_mode() -> Any:
    """The mode that ``config.mode`` names."""
    return get_mode(config.mode)
