"""``scan``: Theano's call for loops, brought into the form that the loop operation takes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from tinygraph.errors import DtypeError, InputError, MissingInputError, TinygraphError
from tinygraph.graph import Constant, SharedVariable, Variable, copy_test_value, graph_inputs
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.layout import AxisExtent, DimShuffle
from tinygraph.ops.loop import Carry, loop
from tinygraph.ops.scalar import minimum, neq
from tinygraph.scan_module.scan_utils import Step, returned
from tinygraph.types import is_discrete
from tinygraph.updates import OrderedUpdates

__all__ = ["scan"]


class _Sequence(NamedTuple):
    """The rows of a sequence that one tap reads, one for each step, and the inner variable of such a row."""

    rows: Any
    element: Any


class _Info(NamedTuple):
    """What ``outputs_info`` says of an output that is fed back: its initial rows, oldest first, and its taps."""

    initial: Any
    taps: tuple[int, ...]
    read: list[Any]


def scan(
    fn: Any,
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
    profile: Any = False,
    allow_gc: Any = None,
    strict: bool = False,
    return_list: bool = False,
) -> tuple[Any, OrderedUpdates]:
    """A loop: ``fn`` describes one step, and ``scan`` gives what it computes at each.

    ``fn`` is called once, with variables, in this order: for each sequence its row at each tap; for each output that is
    fed back its earlier value at each tap; then ``non_sequences``. It returns expressions: one output or a list of
    them, then, if it wants, updates of shared variables (a dict or pairs), then, if it wants, ``until(condition)``.

    Parameters
    ----------
    fn
        The step. It may also use variables that are not passed to it; what of them does not change from step to step is
        computed once.
    sequences
        A tensor, or a list of tensors and ``dict(input=tensor, taps=[…])``, gone through along the first axis. Tap
        ``k`` at step ``t`` is the row ``t + k``; the default is ``[0]``. Negative taps start the loop later, positive
        ones end it earlier.
    outputs_info
        One entry for each output of ``fn``: None for an output that is not fed back; its value before the first step,
        of the shape and dtype of one step; or ``dict(initial=…, taps=[…])`` with negative taps, where for taps other
        than ``[-1]`` the initial value has a leading axis with as many rows as the longest tap goes back. Left out, no
        output is fed back.
    non_sequences
        Further arguments of ``fn``.
    n_steps
        Number of steps, an integer, symbolic or not; by default as many as the shortest sequence allows. With 1 (known)
        there is no loop: the step stands in the graph itself.
    truncate_gradient
        Gradients go back this many steps; -1 for all.
    go_backwards
        Go through the sequences from their ends.
    mode, profile, allow_gc
        Accepted as in Theano, without effect here.
    name
        For messages and pictures.
    strict
        True: a shared variable that ``fn`` uses must be among ``non_sequences``.
    return_list
        True: a list also for one output.

    Returns
    -------
    outputs
        For each output a tensor with a leading axis for the steps; alone where there is one, None where there is none.
    updates
        An ``OrderedUpdates`` with the values of shared variables after the last step: of those that ``fn`` updates, and
        of those with a ``default_update`` that it uses, such as random streams. Pass it to ``function``.

    Raises
    ------
    InputError
        If arguments, or what ``fn`` returns, do not fit each other.
    ShapeError, DtypeError
        If a state changes its shape or dtype from step to step, a sequence is too short, or something in ``fn`` does
        not fit; with the line in ``fn``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> total, _ = tg.scan(lambda x, s: s + x, sequences=T.arange(1, 5), outputs_info=T.constant(0))
    >>> total.eval().tolist()
    [1, 3, 6, 10]
    >>> fibonacci, _ = tg.scan(
    ...     lambda a, b: a + b, outputs_info=dict(initial=T.constant([1, 1]), taps=[-2, -1]), n_steps=5
    ... )
    >>> fibonacci.eval().tolist()
    [2, 3, 5, 8, 13]
    """
    try:
        rows = [s for given in _listed(sequences) for s in _sequence(given, go_backwards)]
        infos = [_info(given) for given in _listed(outputs_info)]
        fixed = [as_tensor(x) for x in _listed(non_sequences)]
        steps = _steps(n_steps, rows)
    except TinygraphError as err:
        raise located(err, "scan") from None
    once = isinstance(steps, Constant) and int(steps.data) == 1
    if once:
        step = returned(fn(*[subtensor(s.rows, 0) for s in rows], *_initial_values(infos), *fixed))
    else:
        step = returned(fn(*[s.element for s in rows], *[v for info in infos if info for v in info.read], *fixed))
    infos = _completed(infos, step)
    if once:
        if step.condition is not None:
            warnings.warn("scan makes one step, so its stopping condition has no effect", stacklevel=2)
        return _results([DimShuffle(("x", *range(v.ndim)))(v) for v in step.outputs], return_list), step.updates
    own = [*(s.element for s in rows), *(v for info in infos if info for v in info.read)]
    passed = [v for v in fixed if not isinstance(v, SharedVariable)]
    _add_default_updates(step, [*own, *passed])
    if strict:
        _check_strict(step, [*own, *fixed])
    carries = [
        Carry(info.initial, info.taps, info.read, new) for info, new in zip(infos, step.outputs, strict=True) if info
    ]
    carries += [Carry(_before(v), (-1,), [v], new) for v, new in step.updates.items()]
    condition = step.condition
    states, stacked = loop(
        steps,
        carries,
        [(s.rows, s.element) for s in rows],
        [new for info, new in zip(infos, step.outputs, strict=True) if not info],
        condition if condition is None or condition.dtype == "bool" else neq(condition, 0),
        {v: v for v in passed if v not in own},
        truncate_gradient,
        name or "scan",
    )
    outputs: list[Any] = []
    rest, made = iter(states), iter(stacked)
    for info in infos:
        outputs.append(subtensor(next(rest), slice(-min(info.taps), None)) if info else next(made))
    updates = OrderedUpdates((v, subtensor(after, -1)) for v, after in zip(step.updates, rest, strict=True))
    return _results(outputs, return_list), updates


def _results(outputs: list[Any], return_list: bool) -> Any:
    if return_list or len(outputs) > 1:
        return outputs
    return outputs[0] if outputs else None


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _taps(taps: Any) -> tuple[int, ...]:
    taps = tuple(_listed(taps))
    if not all(hasattr(tap, "__index__") for tap in taps):
        raise InputError("taps are whole numbers", actual=str(taps))
    return tuple(int(tap) for tap in taps)


def _named(variable: Any, model: Any, tap: int) -> Any:
    """The inner variable with the name of what it reads, such as ``h[t-1]``."""
    if model.name is not None:
        variable.name = f"{model.name}[t{tap:+d}]" if tap else f"{model.name}[t]"
    return variable


# --- sequences ----------------------------------------------------------------------------------------------------


def _sequence(given: Any, backwards: bool) -> list[_Sequence]:
    """The rows that each tap of a sequence reads."""
    taps: tuple[int, ...] = (0,)
    if isinstance(given, Mapping):
        if given.get("input") is None:
            raise InputError("a sequence given as a dict needs the key 'input'", actual=repr(dict(given)))
        taps = (0,) if given.get("taps") is None else _taps(given["taps"])
        given = given["input"]
    whole = as_tensor(given)
    if whole.ndim == 0:
        raise InputError(
            "a sequence has an axis to go along; a scalar has none",
            actual=f"{whole}: {whole.type}",
            hint="pass it among non_sequences, or as n_steps",
        )
    first, last = min((0, *taps)), max((0, *taps))
    found = []
    for tap in taps:
        start, stop = tap - first, tap - last
        rows = subtensor(whole, slice(start or None, stop or None)) if start or stop else whole
        rows = subtensor(rows, slice(None, None, -1)) if backwards else rows
        element = _named(rows.type.with_shape(rows.type.shape[1:])(), whole, tap)
        copy_test_value(element, rows, 0)
        found.append(_Sequence(rows, element))
    return found


def _steps(n_steps: Any, rows: Sequence[_Sequence]) -> Any:
    """The number of steps as an int64 scalar."""
    if n_steps is None:
        if not rows:
            raise InputError(
                "scan does not know how many steps to make", expected="n_steps or a sequence", actual="neither"
            )
        return reduce(minimum, [AxisExtent(0)(s.rows) for s in rows])
    if isinstance(n_steps, float) and n_steps.is_integer():
        n_steps = int(n_steps)
    steps = as_tensor(n_steps)
    if steps.ndim or not is_discrete(steps.dtype) or steps.dtype == "bool":
        raise DtypeError("the number of steps is one integer", expected="a 0-d integer", actual=str(steps.type))
    return cast(steps, "int64")


# --- outputs ------------------------------------------------------------------------------------------------------


def _info(given: Any) -> _Info | None:
    """An entry of ``outputs_info``, or None for an output that is not fed back."""
    taps: tuple[int, ...] = (-1,)
    if isinstance(given, Mapping):
        if given.get("return_steps") is not None:
            raise InputError("return_steps is gone", hint="select steps from the output, as in out[-1]")
        if given.get("taps") is not None:
            taps = _taps(given["taps"])
            if given.get("initial") is None:
                raise InputError(
                    "an output that is read at earlier steps needs an initial value", actual=str(dict(given))
                )
        given = given.get("initial")
    if given is None or not taps:
        return None
    if max(taps) >= 0 or len(set(taps)) < len(taps):
        raise InputError(
            "the taps of an output are different negative numbers: steps back",
            expected="such as [-2, -1]",
            actual=str(taps),
        )
    initial = as_tensor(given)
    row = initial.type
    rows = initial
    if taps == (-1,):
        rows = _before(initial)
    else:
        if initial.ndim == 0:
            raise InputError(
                f"the initial value of an output with taps {list(taps)} has a leading axis with {-min(taps)} rows",
                actual=f"{initial}: {initial.type}",
            )
        row = row.with_shape(row.shape[1:])
        if initial.type.shape[0] != -min(taps):
            rows = subtensor(initial, slice(-min(taps)))
    read = [_named(row(), initial, tap) for tap in taps]
    for tap, variable in zip(taps, read, strict=True):
        copy_test_value(variable, rows, tap - min(taps))
    return _Info(rows, taps, read)


def _before(row: Any) -> Any:
    """The value before the first step, with an axis for the steps."""
    return DimShuffle(("x", *range(row.ndim)))(row)


def _initial_values(infos: Sequence[_Info | None]) -> list[Any]:
    return [subtensor(info.initial, tap - min(info.taps)) for info in infos if info for tap in info.taps]


def _completed(infos: list[_Info | None], step: Step) -> list[_Info | None]:
    """One entry for each output of the step."""
    if not infos:
        return [None] * len(step.outputs)
    if len(infos) != len(step.outputs):
        raise located(
            InputError(
                "outputs_info needs one entry for each output of the step",
                expected=f"{len(step.outputs)} entries",
                actual=f"{len(infos)} entries",
                hint="None stands for an output that is not fed back",
            ),
            "scan",
        )
    return infos


# --- shared variables ---------------------------------------------------------------------------------------------


def _expressions(step: Step) -> list[Any]:
    return [*step.outputs, *step.updates.values(), *([] if step.condition is None else [step.condition])]


def _add_default_updates(step: Step, given: Sequence[Variable]) -> None:
    """Typed updates, and default updates of every shared variable that the step uses, also through other updates."""
    for variable, new in step.updates.items():
        step.updates[variable] = as_tensor(new) if isinstance(new, Variable) else cast(as_tensor(new), variable.dtype)
    pending = _expressions(step)
    while pending:
        leaves = graph_inputs(pending, stop=given)
        pending = []
        for leaf in leaves:
            default = leaf.default_update if isinstance(leaf, SharedVariable) else None
            if default is not None and leaf not in step.updates and leaf not in given:
                step.updates[leaf] = as_tensor(default)
                pending.append(step.updates[leaf])


def _check_strict(step: Step, given: Sequence[Variable]) -> None:
    known = {*given, *step.updates}
    for leaf in graph_inputs(_expressions(step), stop=known):
        if isinstance(leaf, SharedVariable) and leaf not in known:
            error = MissingInputError(
                f"the step uses shared variable {leaf}, which it was not given",
                hint="add it to non_sequences, or leave strict=True out",
            )
            error.locate("scan", (), leaf.origin.trace())
            raise error
