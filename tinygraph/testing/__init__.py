"""Tools for tests: gradient checks, checks of the operations in a graph, and Hypothesis strategies.

The strategies are in ``tinygraph.testing.strategies``, which needs Hypothesis and is not imported here.
"""

from tinygraph.testing.gradcheck import GradientReport, check_grad, verify_grad
from tinygraph.testing.promises import OpError, check_ops

__all__ = ["GradientReport", "OpError", "check_grad", "check_ops", "verify_grad"]
