"""Theano's module of nodes and walks."""

from tinygraph.graph import Apply, Constant, Variable
from tinygraph.surgery import (
    ancestors,
    clone,
    clone_get_equiv,
    equal_computations,
    inputs,
    io_toposort,
    is_in_ancestors,
    is_same_graph,
    list_of_nodes,
    ops,
    orphans,
    variables,
    variables_and_orphans,
)

__all__ = [
    "Apply",
    "Constant",
    "Variable",
    "ancestors",
    "clone",
    "clone_get_equiv",
    "equal_computations",
    "inputs",
    "io_toposort",
    "is_in_ancestors",
    "is_same_graph",
    "list_of_nodes",
    "ops",
    "orphans",
    "variables",
    "variables_and_orphans",
]
