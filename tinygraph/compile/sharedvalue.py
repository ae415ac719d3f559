"""Theano's module of shared variables."""

from tinygraph.graph import SharedVariable, shared

__all__ = ["SharedVariable", "shared"]
