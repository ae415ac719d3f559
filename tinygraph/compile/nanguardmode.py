"""Theano's module of the mode that looks for wrong numbers."""

from tinygraph.diagnose import NanGuardMode

__all__ = ["NanGuardMode"]
