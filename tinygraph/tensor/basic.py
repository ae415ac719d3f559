"""Theano's module of basic operations: every name of the tensor namespace."""

from tinygraph.tensor import *  # noqa: F403
from tinygraph.tensor import __all__  # noqa: F401
