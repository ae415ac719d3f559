"""Theano's other streams of random numbers."""

from tinygraph.streams import MRG_RandomStreams

__all__ = ["MRG_RandomStreams"]
