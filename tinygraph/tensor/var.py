"""Theano's module of variables."""

from tinygraph.errors import DtypeError as AsTensorError
from tinygraph.ops.variable import TensorConstant, TensorVariable
from tinygraph.ops.variable import TensorMethods as _tensor_py_operators  # noqa: N813

__all__ = ["AsTensorError", "TensorConstant", "TensorVariable", "_tensor_py_operators"]
