"""Theano's module of x log x and x log y."""

from tinygraph.ops.bessel import xlogx, xlogy0

__all__ = ["xlogx", "xlogy0"]
