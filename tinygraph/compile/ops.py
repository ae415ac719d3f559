"""Theano's module of operations that belong to no type."""

from tinygraph.extension import FromFunctionOp, ViewOp, as_op

__all__ = ["FromFunctionOp", "ViewOp", "as_op"]
