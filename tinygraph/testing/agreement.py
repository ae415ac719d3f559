"""Ways of compiling held against each other, for one program."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygraph.rewrite import STABLE, Step, rewrite
from tinygraph.testing.rounding import Expected, expected
from tinygraph.testing.script import Program, number_text, positions

__all__ = ["WAYS", "DisagreementError", "Way", "check_program"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Way:
    """One way of compiling.

    Parameters
    ----------
    label
        For messages.
    options
        Arguments of ``function``.
    flags
        Settings, for ``config.change_flags``.
    """

    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rewritten(self) -> bool:
        """Whether the graph is rewritten, which may give numbers where the graph as written overflows."""
        return self.options.get("mode") != "FAST_COMPILE"


#: The graph as it was written, and rewritten: interpreted, and as machine code.
WAYS = (
    Way("as written", {"mode": "FAST_COMPILE"}),
    Way("reference", flags={"linker": "reference"}),
    Way("native", flags={"linker": "native"}),
)


class DisagreementError(AssertionError):
    """A program that one way of compiling gets wrong.

    Attributes
    ----------
    program
        The program.
    way
        What went wrong.
    script
        A script that fails in the same way; it needs NumPy and tinygraph alone.
    """

    def __init__(self, problem: str, program: Program, way: Way, check: str) -> None:
        self.program = program
        self.way = way
        self.script = program.script(way.flags, way.options, check)
        super().__init__(f"{way.label}: {problem}\n\n{self.script}")


def check_program(program: Program, ways: Sequence[Way] = WAYS) -> None:
    """Run a program in several ways, which must agree.

    Each way is held against the graph as it was written, run one operation at a time. Shapes and dtypes must be equal,
    and so must integers, bools, infinities, NaN and floats that were only moved; other floats may differ by what
    rounding does to this graph, which is measured. Where rewriting has put a better formula in place of one that gives
    infinity or NaN, it may give a number, the same in every way that rewrites.

    Results are compared for calls of two batch sizes in turn, with the states after each. Calls must leave alone their
    arguments, and what earlier calls returned; a call that raises must leave states alone.

    Parameters
    ----------
    program
        What to run.
    ways
        How to compile it.

    Raises
    ------
    DisagreementError
        With a script that shows it.

    >>> from tinygraph.testing.script import Input, Step
    >>> x = Input("x0", "float64", (None,), ("np.array([1.0, 2.0])", "np.array([np.inf])"))
    >>> check_program(Program((x,), (), (Step(("v0",), "T.tanh(x0 * 2)"),), ("v0",), ()))
    """
    built = program.build()
    calls = [*built[4], built[4][0]]  # as the protocol does it
    wanted = expected(built, calls)
    model: list[list[Array]] | None = None
    raised: list[tuple[Way, str | None]] = []
    for way in ways:
        try:
            results, error = program.run(way.flags, way.options)
        except Exception as err:  # whatever a way raises is a finding
            where = "" if isinstance(err, AssertionError) else "".join(traceback.format_exception(err)[-3:])
            raise DisagreementError(f"{type(err).__name__}: {err}\n{where}", program, way, "") from err
        raised.append((way, error))
        _check_results(program, way, results, wanted, model, built)
        if way.rewritten and model is None:
            model = results
    for way, error in raised:
        if error is None and any(other is not None for _, other in raised):
            raise DisagreementError("the bad call does not raise", program, way, "assert raised is not None\n")


def _check_results(
    program: Program,
    way: Way,
    results: list[list[Array]],
    wanted: list[list[Expected]],
    model: list[list[Array]] | None,
    built: tuple[Any, ...],
) -> None:
    names = [*program.outputs, *(p.name for p in program.states)]
    for i, (found, call) in enumerate(zip(results, wanted, strict=True)):
        for j, (array, right) in enumerate(zip(found, call, strict=True)):
            array = np.asarray(array)
            what = f"call {i}, {names[j]}"
            place = f"results[{i}][{j}]"
            if array.shape != right.value.shape or array.dtype != right.value.dtype:
                have = f"{array.dtype} {array.shape}"
                want = f"{right.value.dtype} {right.value.shape}"
                check = f'x = {place}\nassert f"{{x.dtype}} {{x.shape}}" == "{want}", f"{{x.dtype}} {{x.shape}}"\n'
                raise DisagreementError(f"{what} is {have}, not {want}", program, way, check)
            exact, tolerance = right.value, right.tolerance
            wrong = _wrong(array, exact, tolerance)
            if way.rewritten and exact.dtype.kind == "f" and (wrong & ~np.isfinite(exact)).any() and _stabler(built):
                better = ~np.isfinite(exact)
                exact = exact.copy() if model is None else np.where(better, model[i][j], exact)
                tolerance = np.where(better, np.inf, tolerance)
                wrong = wrong & ~better
                if model is not None:
                    wrong |= better & (np.isfinite(array) != np.isfinite(exact)) & np.isfinite(right.tolerance)
            if wrong.any():
                place += positions(index := tuple(int(n) for n in np.argwhere(wrong)[0]))
                have, want = number_text(array[index]), number_text(exact[index])
                allowed = float(tolerance[index])
                sides = f"is {have}, not {want}" + (f" ± {allowed:.3g}" if 0 < allowed < np.inf else "")
                check = (
                    f"np.testing.assert_allclose({place}, {want}, rtol=0, atol={allowed if allowed < np.inf else 0})\n"
                )
                raise DisagreementError(f"{what}{positions(index)} {sides}", program, way, check)


def _wrong(array: Array, exact: Array, tolerance: Array) -> Array:
    """Where an entry is neither what it must be nor within its tolerance."""
    same = array == exact
    if array.dtype.kind == "f":
        same |= np.isnan(array) & np.isnan(exact)
        with np.errstate(all="ignore"):
            apart = np.abs(array.astype("float64") - exact.astype("float64"))
        same |= np.isfinite(array) & (apart <= tolerance)
    return np.asarray(~same & np.isfinite(tolerance))


def _stabler(built: tuple[Any, ...]) -> bool:
    """Whether rewriting this graph applies a rule that replaces a formula by one that overflows later."""
    inputs, states, outputs, updates = built[:4]
    steps: list[Step] = []
    rewrite([*outputs, *(new for _, new in updates)], [*inputs, *states], steps)
    return not {step.rule for step in steps}.isdisjoint(rule.__name__ for rule in STABLE)
