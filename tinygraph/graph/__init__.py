"""Nodes and how they are walked; no operation in particular."""

from tinygraph.graph import services
from tinygraph.graph.body import Body, Guard, guards, infer_graph
from tinygraph.graph.bulk import many_nodes
from tinygraph.graph.composite import Composite, paired, parts_of
from tinygraph.graph.flat import Flat, flattened
from tinygraph.graph.node import Apply, Constant, Op, Variable, as_variable, describe, infer, static_value
from tinygraph.graph.provenance import Origin, name_scope, origin_scope
from tinygraph.graph.shared import IN_USE, STATE_LOCK, SharedVariable, shared
from tinygraph.graph.testvalues import copy_test_value, get_test_value, no_test_values
from tinygraph.graph.walk import ancestors, apply_node, graph_inputs, replace, toposort

__all__ = [
    "IN_USE",
    "STATE_LOCK",
    "Apply",
    "Body",
    "Composite",
    "Constant",
    "Flat",
    "Guard",
    "Op",
    "Origin",
    "SharedVariable",
    "Variable",
    "ancestors",
    "apply_node",
    "as_variable",
    "copy_test_value",
    "describe",
    "flattened",
    "get_test_value",
    "graph_inputs",
    "guards",
    "infer",
    "infer_graph",
    "many_nodes",
    "name_scope",
    "no_test_values",
    "origin_scope",
    "paired",
    "parts_of",
    "replace",
    "services",
    "shared",
    "static_value",
    "toposort",
]
