"""Programs as data: a graph, the arrays it is called with, and the script that shows both.

A program is kept as the lines of Python that a reader would write. They are what builds the graph, so the printed
script cannot differ from what was checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Input", "Program", "State", "Step", "array_text", "names"]

Array = np.ndarray[Any, Any]

_NAMES = re.compile(r"\b[a-z]+\d*\b")

#: What every script begins with.
HEADER = "import numpy as np, tinygraph as tg, tinygraph.tensor as T\n"

#: How a program is run; it stands in the scripts, and the checker runs it, too.
PROTOCOL = '''
def run(build, flags, options):
    """The results of every call, each followed by the states after it, and whether the bad call raised."""
    inputs, states, outputs, updates, calls, bad = build()
    with tg.config.change_flags(flags):
        f = tg.function(inputs, outputs, updates=updates, on_unused_input="ignore", **options)
        results, kept = [], []

        def call(arguments):
            before = [x.tobytes() for x in arguments]
            found = f(*arguments)
            assert [x.tobytes() for x in arguments] == before, "a call wrote to its arguments"
            kept.extend((x, x.copy()) for x in found)
            results.append([x.copy() for x in found] + [p.get_value() for p in states])

        def values():
            return [p.get_value() for p in f.get_shared()]

        for arguments in calls:
            call(arguments)
        assert all(a.tobytes() == b.tobytes() for a, b in kept), "a later call wrote to earlier results"
        old = values()
        for arguments in calls:
            for i, x in enumerate(arguments):
                assert not any(np.may_share_memory(x, a) for a, _ in kept), f"a result shares memory with argument {i}"
        own = [a for a, _ in kept if a.flags.writeable]
        for number, a in enumerate(own):
            a[...] = number % 2
        assert all((a == n % 2).all() for n, a in enumerate(own)), "two results share memory"
        assert all(a.tobytes() == b.tobytes() for a, b in zip(values(), old)), "a result shares memory with a state"
        raised = None
        if bad is not None:
            try:
                f(*bad)
            except (IndexError, ValueError) as err:
                raised = type(err).__name__
                now = values()
                assert all(a.tobytes() == b.tobytes() for a, b in zip(now, old)), "a call that raised changed a state"
            for p, value in zip(f.get_shared(), old):
                p.set_value(value)
        call(calls[0])
    return results, raised
'''


@dataclass(frozen=True)
class Input:
    """An input of a program.

    Parameters
    ----------
    name
        The name of its variable.
    dtype, shape
        Its declared type, with None for an extent that differs from call to call.
    calls
        For each call, the expression of its array.
    bad
        The expression of an array that makes a call raise, or that might; None where there is none.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    calls: tuple[str, ...]
    bad: str | None = None

    @property
    def line(self) -> str:
        return f'{self.name} = T.tensor("{self.dtype}", {self.shape}, "{self.name}")'


@dataclass(frozen=True)
class State:
    """A shared variable of a program: its name and the expression of its first value."""

    name: str
    value: str

    @property
    def line(self) -> str:
        return f'{self.name} = tg.shared({self.value}, "{self.name}")'


@dataclass(frozen=True)
class Step:
    """One line of a program: an expression, and the names its results get."""

    names: tuple[str, ...]
    text: str

    @property
    def line(self) -> str:
        return f"{', '.join(self.names)} = {self.text}"


@dataclass(frozen=True)
class Program:
    """A function with its inputs, shared variables, steps, outputs and updates, and the arrays it is called with.

    Parameters
    ----------
    inputs, states, steps
        In the order in which they are made.
    outputs
        Names of what the function returns; inputs and states may be among them, and a name may come twice.
    updates
        Pairs of a state's name and the name of its new value.

    >>> x = Input("x0", "float64", (None,), ("np.array([1.0, 2.0])",))
    >>> program = Program((x,), (), (Step(("v0",), "x0 * 2"),), ("v0",), ())
    >>> print(program)
    x0 = T.tensor("float64", (None,), "x0")
    v0 = x0 * 2
    inputs = [x0]
    states = []
    outputs = [v0]
    updates = []
    calls = [
        [np.array([1.0, 2.0])],
    ]
    bad = None
    """

    inputs: tuple[Input, ...]
    states: tuple[State, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    updates: tuple[tuple[str, str], ...]

    def pruned(self) -> Program:
        """The program without what its outputs and updates do not need; one input is left if there were any."""
        needed = {*self.outputs, *(name for name, _ in self.updates), *(name for _, name in self.updates)}
        steps = []
        for step in reversed(self.steps):
            if needed.intersection(step.names):
                needed.update(_NAMES.findall(step.text))
                steps.append(step)
        inputs = tuple(x for x in self.inputs if x.name in needed) or self.inputs[:1]
        states = tuple(p for p in self.states if p.name in needed)
        return replace(self, inputs=inputs, states=states, steps=tuple(reversed(steps)))

    def __str__(self) -> str:
        calls = [[x.calls[i] for x in self.inputs] for i in range(max((len(x.calls) for x in self.inputs), default=1))]
        bad = any(x.bad is not None for x in self.inputs)
        wrong = [x.calls[0] if x.bad is None else x.bad for x in self.inputs]
        random = any("srng" in step.text for step in self.steps)
        lines = [
            *(x.line for x in self.inputs),
            *(p.line for p in self.states),
            *(["srng = T.shared_randomstreams.RandomStreams(1)"] if random else []),
            *(step.line for step in self.steps),
            f"inputs = [{', '.join(x.name for x in self.inputs)}]",
            f"states = [{', '.join(p.name for p in self.states)}]",
            f"outputs = [{', '.join(self.outputs)}]",
            f"updates = [{', '.join(f'({p}, {v})' for p, v in self.updates)}]",
            "calls = [",
            *(f"    [{', '.join(arguments)}]," for arguments in calls),
            "]",
            f"bad = [{', '.join(wrong)}]" if bad else "bad = None",
        ]
        return "\n".join(lines)

    @property
    def definition(self) -> str:
        """A function without arguments that builds the graph, as text."""
        body = "".join(f"    {line}\n" for line in str(self).splitlines())
        return f"def build():\n{body}    return inputs, states, outputs, updates, calls, bad\n"

    def build(self) -> tuple[list[Any], list[Any], list[Any], list[tuple[Any, Any]], list[list[Array]], Any]:
        """A new graph: inputs, states, outputs, updates, the arguments of each call, those of the bad call."""
        built: Any = _executed(self.definition)["build"]()
        return built

    def run(self, flags: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[list[list[Array]], str | None]:
        """Compile with these settings and arguments of ``function``, and run the protocol that scripts show.

        Returns
        -------
        tuple
            For each call its results and the states after it, and the name of what the bad call raised, or None.

        Raises
        ------
        AssertionError
            If a call writes to its arguments or to earlier results, if results share memory with anything else, or if
            a call that raises has changed a state.
        """
        results: Any = _executed(PROTOCOL)["run"](self.build, dict(flags), dict(options))
        return results

    def script(self, flags: Mapping[str, Any], options: Mapping[str, Any], check: str = "") -> str:
        """A script of its own that runs the program in one way.

        Parameters
        ----------
        flags, options
            Settings, and arguments of ``function``.
        check
            Further lines, about ``results`` and ``raised``.
        """
        call = f"results, raised = run(build, {dict(flags)!r}, {dict(options)!r})\n"
        return f"{HEADER}\n\n{self.definition}\n{PROTOCOL}\n\n{call}{check}"


def _executed(source: str) -> dict[str, Any]:
    """The names that a script defines, those of its header among them."""
    found: dict[str, Any] = {}
    exec(compile(HEADER + source, "<program>", "exec"), found)
    return found


def names() -> dict[str, Any]:
    """The names that the lines of programs may use."""
    return _executed("")


def array_text(array: Array) -> str:
    """An expression of an array, exact to the last bit except for the payload of NaN.

    >>> array_text(np.array([[1.0, -0.0, np.nan]], "float32"))
    'np.array([[1.0, -0.0, np.nan]], "float32")'
    >>> array_text(np.zeros((0, 2)))
    'np.zeros((0, 2), "float64")'
    """
    if not array.size:
        return f'np.zeros({array.shape}, "{array.dtype.name}")'
    return f'np.array({_listed(array.tolist())}, "{array.dtype.name}")'


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_listed, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "np.inf", -math.inf: "-np.inf"}.get(value, "np.nan")
    return repr(value)


def number_text(value: Any) -> str:
    """An expression of one number."""
    return _listed(np.asarray(value).item())


def positions(shape: Sequence[int]) -> str:
    """What stands behind an array's name to pick one element: ``[1, 2]``, or ``[()]``."""
    return f"[{', '.join(map(str, shape)) or '()'}]"
