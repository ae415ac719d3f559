"""Theano's module of operations made of graphs."""

from tinygraph.opfromgraph import OpFromGraph

__all__ = ["OpFromGraph"]
