"""Theano's module of undefined gradients."""

from tinygraph.autodiff import NullGradient as NullType

__all__ = ["NullType"]
