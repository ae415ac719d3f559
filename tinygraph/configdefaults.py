"""Theano's module of the values that settings have first."""

from tinygraph.config import config

__all__ = ["config"]
