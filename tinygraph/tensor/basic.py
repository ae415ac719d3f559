"""Theano's module of basic operations: every name of the tensor namespace."""

from tinygraph.tensor import *  # noqa: F403
