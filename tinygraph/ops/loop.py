"""The loop: one operation that runs an inner graph again and again.

A loop carries states from step to step. The rows of a state, one for each step, stand in one tensor behind its initial
rows, so the values that a step reads, one or several steps back, are rows of the same tensor. Its gradient is another
loop, which runs backwards over these rows and carries cotangents; so loops can be differentiated to any order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinygraph.errors import DtypeError, GradientError, Operand, ShapeError, TinygraphError
from tinygraph.graph import Body, Constant, Op, Variable, guards, replace, services, static_value, toposort
from tinygraph.ops.join import Join
from tinygraph.ops.layout import AxisExtent, DimShuffle, zeros_of
from tinygraph.ops.scalar import add, minimum, sub
from tinygraph.ops.subtensor import SCALAR, IncSubtensor, Subtensor
from tinygraph.types import Abstract, Extent, TensorType, is_discrete, is_float, shape_text

__all__ = ["Carry", "Loop", "loop"]

Vjp = Sequence[Any]

#: A loop that may stop early makes room for this many rows first, and for more when they are needed.
_ROOM = 64


@dataclass
class Carry:
    """A state that a loop carries.

    Parameters
    ----------
    initial
        Its rows before the first step, oldest first: a tensor with a leading axis for them.
    taps
        How many steps back each reading goes, as negative numbers.
    read
        The inner variable of each tap.
    new
        The inner expression of the new row.
    """

    initial: Any
    taps: tuple[int, ...]
    read: Sequence[Variable]
    new: Any

    @property
    def depth(self) -> int:
        return -min(self.taps)


def loop(
    n: Any,
    carries: Sequence[Carry] = (),
    sequences: Sequence[tuple[Any, Variable]] = (),
    outputs: Sequence[Any] = (),
    stop: Any = None,
    constants: Mapping[Variable, Any] | None = None,
    truncate: int = -1,
    label: str = "loop",
) -> tuple[list[Any], list[Any]]:
    """A loop over a step that is given as expressions.

    Whatever a step needs that does not change from step to step is computed before the loop.

    Parameters
    ----------
    n
        Number of steps, a 0-d integer.
    carries
        The states.
    sequences
        Pairs of a tensor and the inner variable that stands for its row at each step.
    outputs
        Inner expressions whose value at each step is wanted.
    stop
        An inner 0-d bool; the loop ends with the first step where it is true.
    constants
        Inner variables that stand for tensors outside, where they are not these tensors themselves.
    truncate
        Gradients go back this many steps; -1 for all.
    label
        Name for messages.

    Returns
    -------
    tuple of lists
        For each state its initial rows and the new ones, in one tensor; for each output its rows.
    """
    results = [*(c.new for c in carries), *outputs, *([] if stop is None else [stop])]
    given = dict(constants or {})
    changing = {v for c in carries for v in c.read} | {v for _, v in sequences}
    fixed = _fixed(results, changing, given)
    outside = replace(fixed, {v: tensor for v, tensor in given.items() if tensor is not v})
    used = set().union(*(v.inputs for v in toposort(results, stop={*changing, *fixed})), results)
    rows = [(tensor, v) for tensor, v in sequences if v in used]
    body = Body([*(v for c in carries for v in c.read), *(v for _, v in rows), *fixed], results)
    op = Loop(body, tuple(c.taps for c in carries), len(rows), stop is not None, truncate, label=label)
    made = op.make_node(n, *(c.initial for c in carries), *(tensor for tensor, _ in rows), *outside).outputs
    return list(made[: len(carries)]), list(made[len(carries) :])


def _fixed(results: Sequence[Any], changing: set[Variable], given: Mapping[Variable, Any]) -> list[Variable]:
    """The variables at which a step's graph ends: what does not change, except what only a branch of a choice needs."""
    order = toposort(results, stop={*changing, *given})
    guarded = guards(order, results)
    inside = set()
    varying = set(changing)
    for node in order:
        if any(v in varying for v in node.inputs):
            varying.update(node.outputs)
            inside.add(node)
        elif node in guarded:
            inside.add(node)
    found: dict[Variable, None] = {}
    seen = set()
    stack = list(reversed(results))
    while stack:
        variable = stack.pop()
        if variable in seen or variable in changing or isinstance(variable, Constant):
            continue
        seen.add(variable)
        if variable.owner in inside and variable not in given:
            stack.extend(reversed(variable.owner.inputs))
        else:
            found[variable] = None
    return list(found)


class Loop(Op):
    """An inner graph run ``n`` times.

    The inputs are ``n``, the initial rows of each state, the sequences, and tensors that stay as they are. The inputs
    of the body are the taps of each state, a row of each sequence, and the latter. It computes a new row of each state,
    a row of each further output, and where ``stop`` is set the bool that ends the loop.

    Parameters
    ----------
    body
        One step.
    taps
        For each state how many steps back its readings go.
    sequences
        Number of sequences; each has at least as many rows as there are steps.
    stop
        The last output of the body ends the loop where it is true.
    truncate
        Number of steps that gradients go back; -1 for all.
    keep
        For each output the number of its last rows that are kept, None for all; () where all outputs are kept whole.
    label
        Name for messages.
    """

    body: Body
    taps: tuple[tuple[int, ...], ...]
    sequences: int = 0
    stop: bool = False
    truncate: int = -1
    keep: tuple[int | None, ...] = ()
    label: str = "loop"

    host = (0,)

    @property
    def name(self) -> str:
        return self.label

    def __str__(self) -> str:
        return self.label

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    @property
    def depths(self) -> tuple[int, ...]:
        """For each state how many rows it has before the first step."""
        return tuple(-min(taps) for taps in self.taps)

    @property
    def kept(self) -> tuple[int | None, ...]:
        """For each output the number of last rows that are kept, None for all."""
        return self.keep or (None,) * (len(self.body.outputs) - self.stop)

    def split(self, rest: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """What follows the number of steps: initial rows, sequences, constants."""
        first, second = len(self.taps), len(self.taps) + self.sequences
        return rest[:first], rest[first:second], rest[second:]

    # --- types ------------------------------------------------------------------------------------------------------

    def inner(self, n: Abstract, *rest: Abstract) -> Sequence[Sequence[Abstract]]:
        initials, sequences, constants = self.split(rest)
        states = [_row(a) for a, taps in zip(initials, self.taps, strict=True) for _ in taps]
        return [[*states, *map(_row, sequences), *constants]]

    def infer(self, n: Abstract, *rest: Abstract) -> list[TensorType]:
        self._check(n, rest)
        initials, _, _ = self.split(rest)
        (known,) = self.inner(n, *rest)
        results = self.body.infer(known)
        states = len(self.taps)
        types = []
        for i, (initial, result) in enumerate(zip(initials, results, strict=False)):
            row = self._same_type(i, _row(initial).type, result.type)
            types.append(row.with_shape((self._extent(n.value, i), *row.shape)))
        for i, result in enumerate(results[states : len(self.kept)], states):
            types.append(TensorType(result.dtype, (self._extent(n.value, i), *result.shape)))
        return types

    def _extent(self, n: Any, output: int) -> Extent:
        """The number of rows of an output."""
        if n is None or (self.stop and n > 0):
            return None
        rows = n + (self.depths[output] if output < len(self.taps) else 0)
        keep = self.kept[output]
        return rows if keep is None else min(rows, keep)

    def _check(self, n: Abstract, rest: Sequence[Abstract]) -> None:
        if n.ndim or not is_discrete(n.dtype) or n.dtype == "bool":
            raise DtypeError("the number of steps is one integer", expected="a 0-d integer", actual=str(n.type))
        initials, sequences, _ = self.split(rest)
        if isinstance(n.value, int):
            _check_steps(n.value, [s.shape[0] for s in sequences])
        for initial, depth in zip(initials, self.depths, strict=True):
            _check_initial(initial.shape, depth)

    def _same_type(self, state: int, before: TensorType, after: TensorType) -> TensorType:
        """The type of a state's rows, of which the initial ones and the new ones must be."""
        known = zip(before.shape, after.shape, strict=False)
        if (
            before.dtype == after.dtype
            and before.ndim == after.ndim
            and all(n is None or m is None or n == m for n, m in known)
        ):
            return before.with_shape([m if n is None else n for n, m in zip(before.shape, after.shape, strict=True)])
        new = self.body.outputs[state]
        error: TinygraphError = _changes(before.shape, after.shape)
        if before.dtype != after.dtype:
            error = DtypeError(
                "the dtype of a state changes from step to step",
                expected=f"{before.dtype}, as the initial value",
                actual=after.dtype,
                hint=f"give the initial value dtype {after.dtype}, or end the step with .astype({before.dtype!r})",
            )
        source = new.kind if new.owner is None else f"result of {new.owner.op.name}"
        error.locate(self.label, [Operand(str(new), str(after), source)], new.origin.trace())
        raise error

    # --- values -----------------------------------------------------------------------------------------------------

    def compute(self, xp: Any, n: Any, *rest: Any) -> Any:
        return self.run(xp, (self.body.interpreted(xp),), n, *rest)

    def run(self, xp: Any, bodies: Sequence[Any], n: Any, *rest: Any) -> Any:
        (step,) = bodies
        steps = int(n)
        initials, sequences, constants = self.split(rest)
        _check_steps(steps, [s.shape[0] for s in sequences])
        for initial, depth in zip(initials, self.depths, strict=True):
            _check_initial(initial.shape, depth)
        room = min(steps, _ROOM) if self.stop else steps
        rows = [_Rows(xp, keep, room, x) for keep, x in zip(self.kept, initials, strict=False)]
        rows += [_Rows(xp, keep, room) for keep in self.kept[len(rows) :]]
        reads = [(rows[i], tap) for i, taps in enumerate(self.taps) for tap in taps]
        t = 0
        try:
            for t in range(steps):
                now = [state.row(tap) for state, tap in reads]
                now += [s[t, ...] for s in sequences]
                results = step([*now, *constants])
                for row, result in zip(rows, results, strict=False):
                    row.append(result)
                if self.stop and results[-1]:
                    break
        except Exception as err:  # raised again: only the step is added
            err.add_note(f"at step {t} of {self.label}")
            raise
        if any(row.shape is None for row in rows):  # no step was made that would show what a row is like
            for row, made in zip(rows, self.infer(_abstract(n), *map(_abstract, rest)), strict=True):
                row.shape = tuple(extent or 0 for extent in made.shape[1:])
                row.dtype = made.dtype
        return tuple(row.result() for row in rows)

    # --- gradient ---------------------------------------------------------------------------------------------------

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        if self.keep:
            raise GradientError("a loop that does not keep all of its states has no gradient")
        return _Backward(self, inputs, outputs, cotangents).gradients()


def _abstract(x: Any) -> Abstract:
    return Abstract(TensorType(x.dtype.name, tuple(x.shape)), static_value(x))


def _row(a: Abstract) -> Abstract:
    """What is known of each row of a tensor."""
    if a.ndim == 0:
        raise ShapeError(
            "a loop goes over the first axis of its sequences, and initial rows have an axis, too; a scalar has none",
            expected="at least 1 dimension",
            actual=str(a.type),
        )
    return Abstract(a.type.with_shape(a.shape[1:]))


def _check_steps(n: int, lengths: Sequence[Extent]) -> None:
    if n < 0:
        raise ShapeError("a loop cannot make a negative number of steps", expected="0 or more", actual=str(n))
    short = [length for length in lengths if length is not None and length < n]
    if short:
        raise ShapeError(
            f"a sequence is too short for {n} steps",
            expected=f"at least {n} rows",
            actual=f"{short[0]} rows",
            hint="leave n_steps out to go as far as the shortest sequence; taps make a sequence shorter",
        )


def _check_initial(shape: Sequence[Extent], depth: int) -> None:
    if shape[0] not in (None, depth):
        raise ShapeError(
            "a state starts from as many rows as it is read steps back",
            expected=f"{depth} rows",
            actual=f"{shape[0]} rows",
        )


def _changes(before: Sequence[Extent], after: Sequence[Extent]) -> ShapeError:
    return ShapeError(
        "the shape of a state changes from step to step",
        expected=f"{shape_text(before)}, as before the step",
        actual=shape_text(after),
        hint="give the initial value the shape of the result: broadcast it, or reshape one of them",
    )


class _Rows:
    """The rows of one output as they are made: all of them in one array, or the last few."""

    def __init__(self, xp: Any, keep: int | None, room: int, initial: Any = None) -> None:
        self.xp = xp
        self.keep = keep
        self.room = room
        self.count = 0
        self.shape: tuple[int, ...] | None = None
        self.dtype: Any = None
        self.last: deque[Any] = deque(maxlen=keep)
        self.all: Any = None
        if initial is not None:
            self.room += len(initial)
            for i in range(len(initial)):
                self.append(initial[i, ...])

    def append(self, row: Any) -> None:
        if self.shape is None:
            self.shape, self.dtype = row.shape, row.dtype
            if self.keep is None:
                self.all = self.xp.empty((self.room, *self.shape), self.dtype)
        elif row.shape != self.shape:
            raise _changes(self.shape, row.shape)
        if self.keep is not None:
            self.last.append(row)
            return
        if self.count == len(self.all):
            grown = self.xp.empty((2 * self.count, *self.shape), self.dtype)
            grown[: self.count] = self.all
            self.all = grown
        self.all[self.count] = row
        self.count += 1

    def row(self, tap: int) -> Any:
        return self.last[tap] if self.keep is not None else self.all[self.count + tap, ...]

    def result(self) -> Any:
        if self.keep is None and self.all is not None:
            return self.all if self.count == len(self.all) else self.all[: self.count].copy()
        if self.last:
            return self.xp.stack([self.xp.asarray(row) for row in self.last])
        return self.xp.empty((0, *(self.shape or ())), self.dtype)


# --- gradient -----------------------------------------------------------------------------------------------------


class _Backward:
    """The gradient of a loop: another loop, from the last step to the first.

    At each step the cotangents of the body's outputs are known: for a new row of a state, what came from later steps
    and from outside. The body's vector-Jacobian product carries them to its inputs: for the taps of a state they wait
    until the loop comes to the rows that were read, for sequences they are rows of the gradient, and for constants they
    add up.
    """

    def __init__(self, op: Loop, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> None:
        self.op = op
        self.outputs = outputs
        self.cotangents = cotangents
        self.initials, self.sequences, self.constants = op.split(inputs[1:])
        inner = iter(op.body.inputs)
        self.taps = [[next(inner) for _ in taps] for taps in op.taps]
        self.elements = [next(inner) for _ in self.sequences]
        self.fixed = list(inner)
        self.steps = inputs[0]
        if op.stop:
            self.steps = sub(AxisExtent(0)(outputs[0]), self._depth(0))
        self.count = self.steps if op.truncate < 0 else minimum(self.steps, op.truncate)
        #: For each output with a cotangent the inner variable of a row of it.
        self.given = {i: _row_variable(g) for i, g in enumerate(cotangents) if g is not None}
        #: For each state with a cotangent what waits for its rows: number j is for the row j steps before this one.
        self.waiting: dict[int, list[Any]] = {}
        self.found = self._carried_back()

    def gradients(self) -> Vjp:
        """One entry for each input of the loop."""
        rowed = [j for j, v in enumerate(self.elements) if v in self.found]
        summed = [k for k, v in enumerate(self.fixed) if v in self.found]
        carries = [carry for i in self.waiting for carry in self._waiting(i)]
        carries += [self._total(self.constants[k], self.found[self.fixed[k]]) for k in summed]
        if not carries and not rowed:
            return [None] * (1 + len(self.op.body.inputs))
        known = self._known()
        results = replace([*(c.new for c in carries), *(self.found[self.elements[j]] for j in rowed)], known)
        for carry, new in zip(carries, results, strict=False):
            carry.new = new
        finals, stacked = loop(
            self.count,
            carries,
            self._sequences(known),
            results[len(carries) :],
            constants=dict(zip(self.fixed, self.constants, strict=True)),
            label=f"gradient of {self.op.label}",
        )
        ends = iter(finals)
        initials: list[Any] = [None] * len(self.initials)
        sequences: list[Any] = [None] * len(self.sequences)
        constants: list[Any] = [None] * len(self.constants)
        for i, waiting in self.waiting.items():
            initials[i] = self._initial(i, [next(ends) for _ in waiting])
        for k in summed:
            constants[k] = Subtensor((-1,))(next(ends))
        for j, made in zip(rowed, stacked, strict=True):
            sequences[j] = self._placed(self.sequences[j], _reversed(made))
        return [None, *initials, *sequences, *constants]

    def _depth(self, output: int) -> int:
        """How many rows of an output stand before those of the steps."""
        return self.op.depths[output] if output < len(self.op.taps) else 0

    def _carried_back(self) -> dict[Variable, Any]:
        """The cotangent of every input of the body that has one; through its taps a state may turn out to have one."""
        body = self.op.body
        wanted = [v for v in body.inputs if is_float(v.dtype)]
        states = [i for i in self.given if i < len(self.op.taps)]
        while True:
            for i in states:
                self.waiting[i] = [_row_variable(self.outputs[i]) for _ in range(self.op.depths[i])]
            seeds = {i: waiting[0] for i, waiting in self.waiting.items()}
            for i, g in self.given.items():
                seeds[i] = add(seeds[i], g) if i in seeds else g
            carried = services.call("pullback", [body.outputs[i] for i in seeds], wanted, list(seeds.values()))
            found = {v: g for v, g in zip(wanted, carried, strict=True) if g is not None}
            states = [i for i, taps in enumerate(self.taps) if i not in self.waiting and any(v in found for v in taps)]
            if not states:
                return found

    def _waiting(self, i: int) -> list[Carry]:
        """What waits for the rows of a state: what waited before the step, one row nearer, and what the step adds."""
        waiting = self.waiting[i]
        added = {-tap: self.found[v] for tap, v in zip(self.op.taps[i], self.taps[i], strict=True) if v in self.found}
        zeros = _first(zeros_of(Subtensor((0,))(self.initials[i])))
        carries = []
        for j, variable in enumerate(waiting):
            parts = [*waiting[j + 1 : j + 2], *([added[j + 1]] if j + 1 in added else [])]
            new = zeros_of(variable) if not parts else add(*parts) if len(parts) == 2 else parts[0]
            carries.append(Carry(zeros, (-1,), [variable], new))
        return carries

    def _total(self, constant: Any, added: Any) -> Carry:
        """A sum over the steps, of the type of a constant."""
        total = constant.type()
        return Carry(_first(zeros_of(constant)), (-1,), [total], add(total, added))

    def _known(self) -> dict[Variable, Variable]:
        """For results of a step, which the loop kept and need not be computed again, the variable of a row of them."""
        known: dict[Variable, Variable] = {}
        for new, kept in zip(self.op.body.outputs, self.outputs, strict=False):
            if new.owner is not None and new not in self.op.body.inputs:
                known.setdefault(new, _row_variable(kept))
        return known

    def _sequences(self, known: dict[Variable, Variable]) -> list[tuple[Any, Variable]]:
        """Everything that changes from step to step, last step first, with the inner variable of its rows."""
        rows: list[tuple[Any, Variable]] = []
        for i, (taps, read) in enumerate(zip(self.op.taps, self.taps, strict=True)):
            depth = self._depth(i)
            rows += [(_part(self.outputs[i], depth + tap or None, tap), v) for tap, v in zip(taps, read, strict=True)]
        for sequence, element in zip(self.sequences, self.elements, strict=True):
            exact = self._exact(sequence)
            rows.append((sequence if exact else Subtensor(((None, SCALAR, None),))(sequence, self.steps), element))
        rows += [(_part(self.cotangents[i], self._depth(i) or None), v) for i, v in self.given.items()]
        seen = set()
        for i, (new, kept) in enumerate(zip(self.op.body.outputs, self.outputs, strict=False)):
            if new in known and new not in seen:
                seen.add(new)
                rows.append((_part(kept, self._depth(i) or None), known[new]))
        return [(_reversed(tensor), v) for tensor, v in rows]

    def _exact(self, sequence: Any) -> bool:
        """True where a sequence is known to have as many rows as there are steps."""
        steps = self.steps
        value = steps.abstract.value
        if value is not None:
            return bool(value == sequence.type.shape[0])
        owner = steps.owner
        return owner is not None and owner.op == AxisExtent(0) and owner.inputs[0] is sequence

    def _initial(self, i: int, finals: Sequence[Any]) -> Any:
        """The gradient of the initial rows: what still waits after the first step, and what came from outside."""
        depth = self._depth(i)
        last = [Subtensor(((-1, None, None),))(final) for final in reversed(finals)]
        rows = last[0] if depth == 1 else Join(0)(*last)
        if self.op.truncate >= 0:  # the loop may have ended before it came to the first step
            left = minimum(sub(self.steps, self.count), depth)
            near = Subtensor(((None, SCALAR, None),))(rows, sub(depth, left))
            rows = IncSubtensor(((SCALAR, None, None),), set=True)(zeros_of(rows), near, left)
        if i not in self.given:
            return rows
        return add(rows, _part(self.cotangents[i], None, depth))

    def _placed(self, sequence: Any, rows: Any) -> Any:
        """The gradient of a sequence, from its rows for the steps that the backward loop made."""
        if self.op.truncate < 0 and self._exact(sequence):
            return rows
        first = sub(self.steps, self.count)
        return IncSubtensor(((SCALAR, SCALAR, None),), set=True)(zeros_of(sequence), rows, first, self.steps)


def _row_variable(x: Any) -> Any:
    """An inner variable for the rows of a tensor."""
    return x.type.with_shape(x.type.shape[1:])()


def _first(row: Any) -> Any:
    """One row as the initial rows of a state that is read one step back."""
    return DimShuffle(("x", *range(row.ndim)))(row)


def _part(x: Any, start: int | None, stop: int | None = None) -> Any:
    return x if start is None and stop is None else Subtensor(((start, stop, None),))(x)


def _reversed(x: Any) -> Any:
    return Subtensor(((None, None, -1),))(x)
