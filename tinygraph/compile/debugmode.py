"""Theano's module of the mode that checks everything."""

from tinygraph.diagnose import DebugMode, DebugModeError

__all__ = ["DebugMode", "DebugModeError"]
