"""Theano's names for looking at graphs: ``debugprint``, ``pprint``, ``pydotprint`` and ``Print``."""

from tinygraph.ops.printing import Print
from tinygraph.viz import debugprint, min_informative_str, pprint, pydotprint

__all__ = ["Print", "debugprint", "dprint", "min_informative_str", "pp", "pprint", "pydotprint"]

pp = pprint
dprint = debugprint
