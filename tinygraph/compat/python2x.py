"""Theano's older place of these names."""

from collections import OrderedDict

__all__ = ["OrderedDict"]
