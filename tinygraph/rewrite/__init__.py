"""Replacing expressions by equal ones: exactly equal (canonical, pieces) or better in floating point (stable)."""

from collections.abc import Sequence
from typing import Any

from tinygraph.graph import Variable, toposort
from tinygraph.ops.loop import Loop
from tinygraph.rewrite.canonical import CANONICAL
from tinygraph.rewrite.engine import RewriteError, Rules, Step, run
from tinygraph.rewrite.pieces import PIECES
from tinygraph.rewrite.stable import STABLE

__all__ = ["CANONICAL", "PIECES", "RULES", "STABLE", "RewriteError", "Rules", "Step", "rewrite"]

#: The rules of ``mode="FAST_RUN"``.
RULES = Rules(CANONICAL, PIECES, STABLE)


def rewrite(roots: Sequence[Variable], leaves: Sequence[Variable], steps: list[Step] | None = None) -> list[Any]:
    """The roots with duplicates merged, constants folded and every rule applied, also in the steps of loops.

    Parameters
    ----------
    roots
        Expressions.
    leaves
        Variables that are taken as given: inputs and shared variables.
    steps
        A list that every application of a rule is added to.
    """
    simpler = run(roots, leaves, RULES, steps)
    if not any(isinstance(node.op, Loop) for node in toposort(simpler, stop=leaves)):
        return simpler
    from tinygraph.rewrite.loops import rewrite_loops  # many programs have none, and start sooner without its rules

    lighter = rewrite_loops(simpler, leaves, lambda results, inputs: rewrite(results, inputs, steps))
    if all(new is old for new, old in zip(lighter, simpler, strict=True)):
        return simpler
    return run(lighter, leaves, RULES, steps)  # what loops left to be done around them may be there already
