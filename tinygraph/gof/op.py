"""Theano's module of operations."""

from tinygraph.extension import Op
from tinygraph.extension import Op as PureOp
from tinygraph.graph import get_test_value

__all__ = ["Op", "PureOp", "get_test_value"]
