"""Theano's module of indexing."""

from tinygraph.ops.inc_subtensor import inc_subtensor, set_subtensor
from tinygraph.ops.indexing import take
from tinygraph.ops.subtensor import AdvancedIncSubtensor, AdvancedSubtensor, IncSubtensor, Subtensor

__all__ = [
    "AdvancedIncSubtensor",
    "AdvancedSubtensor",
    "IncSubtensor",
    "Subtensor",
    "inc_subtensor",
    "set_subtensor",
    "take",
]
