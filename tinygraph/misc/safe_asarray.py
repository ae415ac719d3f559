"""Theano's conversion of values to arrays."""

from numpy import asarray as _asarray

__all__ = ["_asarray"]
