"""Theano's module of indexing."""

from tinygraph.ops.inc_subtensor import (
    advanced_inc_subtensor,
    advanced_inc_subtensor1,
    advanced_set_subtensor,
    advanced_set_subtensor1,
    inc_subtensor,
    set_subtensor,
)
from tinygraph.ops.indexing import advanced_subtensor, advanced_subtensor1, take
from tinygraph.ops.subtensor import AdvancedIncSubtensor, AdvancedSubtensor, IncSubtensor, Subtensor

__all__ = [
    "AdvancedIncSubtensor",
    "AdvancedSubtensor",
    "IncSubtensor",
    "Subtensor",
    "advanced_inc_subtensor",
    "advanced_inc_subtensor1",
    "advanced_set_subtensor",
    "advanced_set_subtensor1",
    "advanced_subtensor",
    "advanced_subtensor1",
    "inc_subtensor",
    "set_subtensor",
    "take",
]
