"""Theano's loops: ``scan`` and its kin, as calls of one loop operation."""

from tinygraph.function import clone
from tinygraph.scan_module import scan_utils
from tinygraph.scan_module.calls import scan
from tinygraph.scan_module.checkpoints import scan_checkpoints
from tinygraph.scan_module.scan_utils import until
from tinygraph.scan_module.views import foldl, foldr, map, reduce

__all__ = ["clone", "foldl", "foldr", "map", "reduce", "scan", "scan_checkpoints", "scan_utils", "until"]
