"""Theano's module of small helpers, of which programs use errors."""

from tinygraph.errors import NullTypeGradError as MethodNotDefined
from tinygraph.graph.testvalues import MissingTestValueError as TestValueError

__all__ = ["MethodNotDefined", "TestValueError"]
