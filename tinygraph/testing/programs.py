"""A Hypothesis strategy for whole programs.

>>> from hypothesis import given, settings
>>> from tinygraph.testing.agreement import check_program
>>> from tinygraph.testing.programs import programs
>>> @settings(max_examples=3, database=None)
... @given(programs(most=3))
... def test_ways_of_compiling_agree(program):
...     check_program(program)
>>> test_ways_of_compiling_agree()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.testing.draft import DTYPES, Draft, Value
from tinygraph.testing.script import Program
from tinygraph.testing.steps import KINDS, WEIGHTS, cost

try:
    from hypothesis import strategies as st
except ImportError as err:
    raise ImportError("tinygraph.testing.programs needs Hypothesis: pip install hypothesis") from err

__all__ = ["programs"]

#: Floats are what most programs are about.
_DTYPES = ("float64", "float32", "float32", "float64", *DTYPES[2:])


@st.composite
def programs(
    draw: st.DrawFn,
    most: int = 20,
    special: bool | None = None,
    kinds: Sequence[str] | None = None,
    gradients: bool = True,
) -> Program:
    """Programs over the operations of the package; they shrink to few steps over small inputs.

    Parameters
    ----------
    most
        Highest number of steps that are drawn.
    special
        Whether arrays hold infinities, NaN, denormal and huge numbers, too; None draws this.
    kinds
        Names of the kinds of steps, of those in ``tinygraph.testing.steps.KINDS``; None for all of them.
    gradients
        Whether the gradient of a cost with respect to every float input and state is often among the outputs.

    Raises
    ------
    KeyError
        If there is no kind of such a name.
    """
    chosen = {name: KINDS[name] for name in kinds} if kinds is not None else KINDS
    odd = draw(st.sampled_from([False, False, False, True])) if special is None else special
    draft = Draft(draw, odd)
    draft.input(draw(st.sampled_from(_DTYPES)), draft.shape())
    for _ in range(draw(st.integers(0, 3))):
        draft.input(draw(st.sampled_from(_DTYPES)), draft.shape())
    for _ in range(draw(st.integers(0, 2))):
        draft.state(draw(st.sampled_from(_DTYPES)), draft.shape(fixed=True))
    for half in (most // 2, most - most // 2):  # the lists of Hypothesis are short
        draw(st.lists(_step(draft, chosen), min_size=min(2, half), max_size=half))
    outputs = draw(_outputs(draft, gradients))
    updates = draw(_updates(draft, outputs))
    return Program(tuple(draft.inputs), tuple(draft.states), tuple(draft.steps), outputs, updates).pruned()


@st.composite
def _step(draw: st.DrawFn, draft: Draft, kinds: dict[str, Any]) -> None:
    """Perhaps one step more."""
    draft.draw = draw
    kinds[draw(st.sampled_from([name for name in kinds for _ in range(WEIGHTS.get(name, 1))]))](draft)


@st.composite
def _outputs(draw: st.DrawFn, draft: Draft, gradients: bool) -> tuple[str, ...]:
    draft.draw = draw
    made = [v for v in draft.values if v.name not in draft.leaves] or draft.values
    used = set(
        " ".join(step.text for step in draft.steps).replace("(", " ").replace(")", " ").replace(",", " ").split()
    )
    ends = [v.name for v in made[:-1] if v.name not in used]
    names = [made[-1].name, *ends[len(ends) - min(len(ends), draw(st.integers(0, 4))) :]]
    names += draw(st.lists(st.sampled_from([v.name for v in draft.values]), max_size=2))
    floats = [v for v in made if v.float]
    leaves = [v.name for v in draft.values if v.float and v.name in draft.leaves]
    if gradients and floats and leaves and draw(st.sampled_from([False, True, True])):
        total = " + ".join(cost(draft, v) for v in floats[-draw(st.integers(1, 2)) :])
        wrt = leaves[0] if len(leaves) == 1 else f"[{', '.join(leaves)}]"
        names += [v.name for v in draft.step(f'tg.grad({total}, {wrt}, disconnected_inputs="ignore")', len(leaves))]
    return tuple(names)


@st.composite
def _updates(draw: st.DrawFn, draft: Draft, outputs: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    draft.draw = draw
    values = {v.name: v for v in draft.values}
    updates = []
    for state in draft.states:
        fits = [v for v in draft.values if _same(v, values[state.name]) and v.name != state.name]
        # An output, the old value of another state, or any other result of this type as it is.
        fits += [values[name] for name in outputs if values[name] in fits]
        way = draw(st.sampled_from(["none", "add", "grad", "value", "value"]))
        text = f"{state.name} + 1" if values[state.name].number else f"~{state.name}"
        if way == "grad" and values[state.name].float:
            floats = [v for v in draft.values if v.float and v.name not in draft.leaves]
            if floats:
                a = draw(st.sampled_from(floats))
                text = f'{state.name} - 0.1 * tg.grad({cost(draft, a)}, {state.name}, disconnected_inputs="ignore")'
        if way == "value" and fits:
            updates.append((state.name, draw(st.sampled_from(fits)).name))
        elif way != "none":
            new = draft.step(text)
            if new and _same(new[0], values[state.name]):
                updates.append((state.name, new[0].name))
    return tuple(updates)


def _same(a: Value, b: Value) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape
