"""Theano's odds and ends."""

from tinygraph.misc import safe_asarray

__all__ = ["safe_asarray"]
