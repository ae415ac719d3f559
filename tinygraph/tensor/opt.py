"""Theano's module of rewrites, of which programs use the assertions."""

from tinygraph.ops.checks import Assert, assert_op
from tinygraph.ops.checks import assert_op as assert_

__all__ = ["Assert", "assert_", "assert_op"]
