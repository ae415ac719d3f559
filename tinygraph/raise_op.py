"""Theano's module of assertions in graphs."""

from tinygraph.ops.checks import Assert, assert_op

__all__ = ["Assert", "assert_op"]
