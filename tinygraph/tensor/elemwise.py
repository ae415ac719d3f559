"""Theano's module of elementwise operations and reductions, whose classes tell the operation of a node."""

from tinygraph.ops.elementwise import Elementwise as Elemwise
from tinygraph.ops.layout import DimShuffle
from tinygraph.ops.reduce import Reduce as CAReduce

__all__ = ["CAReduce", "DimShuffle", "Elemwise"]
