"""Theano's module of profiles."""

from tinygraph.viz.profile import ProfileStats

__all__ = ["ProfileStats"]
