"""Theano's module of the lazy choice."""

from tinygraph.ops.ifelse import IfElse, ifelse

__all__ = ["IfElse", "ifelse"]
