"""What somebody asked to see, whatever it was given as: expressions, a compiled function or a Program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinygraph.arguments import In, Out
from tinygraph.errors import TinygraphError
from tinygraph.function import Function
from tinygraph.graph import Apply, Variable
from tinygraph.program import Program

__all__ = ["DrawError", "Root", "Subject", "subject_of"]


class DrawError(TinygraphError, TypeError, ValueError):
    """Something that cannot be shown, or cannot be shown in this way."""


@dataclass(frozen=True)
class Root:
    """One result: an output, or the new value of a shared variable.

    Parameters
    ----------
    variable
        The expression.
    label
        What it is called: the key of a dict, its name, the name of the updated variable; "" where it has none.
    target
        The shared variable that it becomes the value of, or None.
    """

    variable: Variable
    label: str = ""
    target: Any = None


@dataclass
class Subject:
    """What is shown.

    Attributes
    ----------
    roots
        The results.
    leaves
        Variables that are taken as given.
    title
        A few words for a heading.
    program
        What runs, where it was asked for and is known.
    function
        The compiled function, where it was one.
    """

    roots: list[Root]
    leaves: list[Variable] = field(default_factory=list)
    title: str = ""
    program: Program | None = None
    function: Function | None = None

    @property
    def variables(self) -> list[Variable]:
        return [root.variable for root in self.roots]


def subject_of(shown: Any, stage: str = "rewritten") -> Subject:
    """What is to be shown.

    Parameters
    ----------
    shown
        A variable, an Apply node, an ``In`` or ``Out``, a list, tuple or dict of variables, a compiled function or a
        Program.
    stage
        Of a function: ``"written"``, as its graph was given, ``"rewritten"``, as it was compiled, or ``"program"``,
        what the last call ran.

    Raises
    ------
    DrawError
        For anything else, and for the Program of a function that was not called yet.
    """
    if isinstance(shown, Function):
        return _function(shown, stage)
    if isinstance(shown, Program):
        return Subject([], title="program", program=shown)
    if isinstance(shown, Mapping):
        roots = [Root(_variable(value), str(key)) for key, value in shown.items()]
    elif isinstance(shown, (list, tuple, set, frozenset)):
        roots = [Root(v, v.name or "") for item in shown for v in _variables(item)]
    else:
        roots = [Root(v) for v in _variables(shown)]
    if not roots:
        raise DrawError("there is nothing to show", expected="at least one variable", actual=repr(shown))
    return Subject(roots)


def _variables(item: Any) -> list[Variable]:
    return list(item.outputs) if isinstance(item, Apply) else [_variable(item)]


def _variable(item: Any) -> Variable:
    if isinstance(item, (In, Out)):
        item = item.variable
    if not isinstance(item, Variable):
        raise DrawError(
            f"this is no graph: {item!r:.60}",
            expected="a variable, a list or dict of variables, a compiled function or a Program",
            actual=type(item).__name__,
        )
    return item


def _function(function: Function, stage: str) -> Subject:
    closed = function.closed
    roots = closed.roots if stage == "written" else function.roots
    count = len(closed.outputs)
    labels = list(closed.names or [v.name or "" for v in closed.outputs])
    found = [Root(v, label) for v, label in zip(roots, labels, strict=False)]
    found += [Root(v, str(t), t) for v, t in zip(roots[count:], closed.targets, strict=True)]
    title = function.name or "function"
    program = None
    if stage == "program":
        if not function.stats():
            raise DrawError(
                "there is no Program yet: it is made at the first call, from the shapes of the inputs",
                hint="call the function once, or draw it with stage='rewritten'",
            )
        program = function.program
    return Subject(found, list(closed.leaves), title, program, function)
