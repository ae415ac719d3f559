"""Tools for tests: gradient checks, checks of the operations in a graph, and Hypothesis strategies.

The strategies are in ``tinygraph.testing.strategies`` (arrays, shapes, indices) and ``tinygraph.testing.programs``
(whole programs), which need Hypothesis and are not imported here. What runs programs loads when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from tinygraph.testing.gradcheck import GradientReport, check_grad, verify_grad
from tinygraph.testing.promises import OpError, check_ops

if TYPE_CHECKING:
    from tinygraph.testing.agreement import WAYS, DisagreementError, Way, check_program
    from tinygraph.testing.script import Program

__all__ = [
    "WAYS",
    "DisagreementError",
    "GradientReport",
    "OpError",
    "Program",
    "Way",
    "check_grad",
    "check_ops",
    "check_program",
    "verify_grad",
]


def __getattr__(name: str) -> Any:
    if name == "Program":
        from tinygraph.testing.script import Program

        return Program
    if name in __all__:
        from tinygraph.testing import agreement

        return getattr(agreement, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
