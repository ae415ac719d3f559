"""Theano's streams of random numbers."""

from tinygraph.streams import RandomStateSharedVariable, RandomStreams

__all__ = ["RandomStateSharedVariable", "RandomStreams"]
