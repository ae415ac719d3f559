"""Every description of an operation in terms of nests, products and loops; importing this registers them."""

import tinygraph.program.lower_diagonal
import tinygraph.program.lower_indexing
import tinygraph.program.lower_loops
import tinygraph.program.lower_more
import tinygraph.program.lower_pool
import tinygraph.program.lower_random
import tinygraph.program.lower_softmax
import tinygraph.program.lower_turned
import tinygraph.program.lower_windows  # noqa: F401
from tinygraph.program.plan import plan_of

__all__ = ["plan_of"]
