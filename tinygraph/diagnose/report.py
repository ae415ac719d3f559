"""What ``why_nan`` says: the first wrong number, how it came about, and what it became."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.diagnose.blame import Blame, Spot, blame, first_wrong, is_wrong
from tinygraph.diagnose.recording import Recording, record
from tinygraph.errors import InputError, SourceLine
from tinygraph.function import Function
from tinygraph.graph import Apply, Op, Origin, toposort
from tinygraph.ops.elementwise import Elementwise
from tinygraph.program import Program

__all__ = ["WrongNumber", "operands_at", "place_of", "why_nan"]

#: How many instructions of the slice back to the inputs are shown.
_SHOWN = 12


class WrongNumber:
    """The answer of ``why_nan``; its text tells everything, and it is false where nothing is wrong.

    Attributes
    ----------
    result
        The output or update that holds a NaN or an infinity, in words; "" where none does.
    op
        Name of the operation that made the first one; "" where it was given to the function.
    given
        Name of the input or shared variable that it was in; "" where an operation made it.
    index, value
        Where in that operation's result or that variable it is, and what it is.
    operands
        The values of the operands there: name to text.
    line, gradient_of
        The user's line, and for a node of a gradient the line that it is the gradient of; or None.
    forward_op
        For a node of a gradient the operation that it differentiates; "" where it is none.
    turned
        Where infinite operands became NaN, in words; "" where that is not what happened.
    """

    def __init__(
        self, found: Blame | None = None, result: str = "", masked: int = 0, forward: Mapping[Origin, Op] | None = None
    ) -> None:
        self.result = result
        self.op = self.given = self.turned = self.forward_op = ""
        self.index: tuple[int, ...] = ()
        self.value = 0.0
        self.operands: dict[str, str] = {}
        self.line: SourceLine | None = None
        self.gradient_of: SourceLine | None = None
        self._found = found
        self._masked = masked
        self._forward = forward or {}
        if found is not None:
            self._tell(found)

    def _tell(self, found: Blame) -> None:
        origin = found.origin
        self.index, self.value = origin.index, origin.value
        program = origin.run.program
        if origin.position is None:
            self.given = program.buffers[origin.buffer].name or f"%{origin.buffer}"
            return
        node = program.instructions[origin.position].node
        self.op, self.operands = node.op.name, operands_at(origin)
        self.line = next(iter(node.origin.trace()), None)
        if node.origin.forward is not None:
            self.gradient_of = next(iter(node.origin.forward.trace()), None)
            self.forward_op = self._forward_name(node)
        if found.turned is not None:
            self.turned = _sentence(found.turned)

    def _forward_name(self, node: Apply) -> str:
        op = self._forward.get(node.origin.forward) if node.origin.forward is not None else None
        return op.name if op is not None else ""

    def _place(self, spot: Spot) -> list[str]:
        node = spot.run.program.instructions[spot.position or 0].node
        return place_of(node, self._forward_name(node))

    def __bool__(self) -> bool:
        return self._found is not None

    def __str__(self) -> str:
        if self._found is None:
            masked = f"; {self._masked} values on the way do, and none of them gets there" if self._masked else ""
            return f"no output or update holds a NaN or an infinity{masked}"
        found, origin = self._found, self._found.origin
        rows = [f"{self.result} holds {_number(found.result.value)} at index {_index(found.result.index)}"]
        if origin.position is None:
            kind = {"shared": "shared variable"}.get(origin.kind, origin.kind)
            rows.append(f"it was in {kind} {self.given}: {_number(self.value)} at index {_index(self.index)}")
            return "\n".join(rows)
        rows.append(f"the first wrong number: {_sentence(origin)}")
        rows += [f"    {name} = {text}" for name, text in self.operands.items()]
        rows += self._place(origin)
        if found.turned is not None:
            rows.append(f"it became NaN: {self.turned}")
            rows += [f"    {name} = {text}" for name, text in operands_at(found.turned).items()]
            rows += self._place(found.turned)
        rows.append("how it was computed, from the inputs on")
        rows += [f"  {row}" for row in _slice(origin)]
        return "\n".join(rows)

    def __repr__(self) -> str:
        return str(self)


def why_nan(f: Function, *inputs: Any, **named: Any) -> WrongNumber:
    """Where the first NaN or infinity in the results of a function comes from.

    The function runs once with everything recorded, and no shared variable changes. A wrong number in an output or an
    update is followed back, element by element, to the first instruction whose result is wrong although its inputs are
    not: a number counts as explained if the result is right once the wrong numbers among the inputs are replaced. So
    NaNs that ``switch`` masks are no alarm, and infinities that were given on purpose are not blamed.

    Parameters
    ----------
    f
        A compiled function.
    inputs, named
        Arguments, as for a call.

    Returns
    -------
    WrongNumber
        Print it; it is false where no output or update holds a NaN or an infinity.

    Raises
    ------
    InputError
        If ``f`` is no compiled function, or the arguments do not fit it.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> f = tg.function([x], T.log(x - 1).sum())
    >>> why = tg.why_nan(f, [3.0, 1.0])
    >>> why.op, why.index, why.value, why.operands
    ('log', (1,), -inf, {'#0 sub[1]': '0.0'})
    """
    if not isinstance(f, Function):
        raise InputError(
            "why_nan takes a compiled function and its arguments",
            actual=type(f).__name__,
            hint="compile expressions first: tg.why_nan(tg.function([x], y), value)",
        )
    specialisation, values = f.prepared(*inputs, **named)
    program = specialisation.program
    run = record(program, values, f.backend)
    found: list[tuple[int, Blame, str]] = []
    for number, name in zip(program.outputs, _result_names(f), strict=True):
        for wrong in (is_wrong(run.xp, inf=False), is_wrong(run.xp)):
            index = first_wrong(run.values[number], wrong)
            if index is not None:
                why = blame(Spot(run, number, index))
                found.append((_time(run, why.origin), why, name))
                break
    if found:
        _, why, name = min(found, key=lambda item: item[0])
        return WrongNumber(why, name, forward={n.origin: n.op for n in toposort(f.closed.roots, stop=f.closed.leaves)})
    wrong = is_wrong(run.xp)
    masked = [n for n in run.maker if n in run.values and first_wrong(run.values[n], wrong) is not None]
    return WrongNumber(masked=len(masked))


def _result_names(f: Function) -> list[str]:
    closed = f.closed
    names = list(closed.names or [str(i) for i in range(len(closed.outputs))])
    outputs = [
        f"output {name}" + (f" ({v.name})" if v.name and v.name != name else "")
        for name, v in zip(names, closed.outputs, strict=True)
    ]
    return outputs + [f"the new value of {target}" for target in closed.targets]


def _time(run: Recording, spot: Spot) -> int:
    """When a value was made; what was given comes before everything."""
    if spot.run is run:
        return -1 if spot.position is None else spot.position
    inner = spot.run.program
    return next(i for i, step in enumerate(run.program.instructions) if _holds(step.inner, inner))


def _holds(programs: tuple[Program, ...], inner: Program) -> bool:
    return any(p is inner or any(_holds(step.inner, inner) for step in p.instructions) for p in programs)


def operands_at(spot: Spot) -> dict[str, str]:
    """What the operands of an instruction hold where they make one element, or the range of their values."""
    assert spot.position is not None
    step = spot.run.program.instructions[spot.position]
    shape = spot.run.values[spot.buffer].shape
    found = {}
    for i, (variable, value) in enumerate(zip(step.node.inputs, spot.run.inputs(spot.position), strict=True)):
        if value is None:
            continue
        name = variable.name or (f"#{i} {variable.owner.op.name}" if variable.owner is not None else f"#{i}")
        aligned = isinstance(step.op, Elementwise) or value.shape == shape
        if aligned:
            index = tuple(
                0 if n == 1 else at for n, at in zip(value.shape, spot.index[len(shape) - value.ndim :], strict=True)
            )
            found[f"{name}[{', '.join(map(str, index))}]" if index else name] = _number(value[index])
        else:
            found[name] = _range(value)
    return found


def place_of(node: Apply, forward_op: str = "") -> list[str]:
    """The user's line that made a node, as rows of text."""
    lines, forward = node.origin.trace(), node.origin.forward
    rows = []
    if forward is not None:
        rows.append(f"  in the gradient of {forward_op}".rstrip())
        lines = forward.trace()
    return rows + [line.render() for line in lines[:1]]


def _sentence(spot: Spot) -> str:
    assert spot.position is not None
    node = spot.run.program.instructions[spot.position].node
    inside = "".join(f"at step {turn} of {loop}, " for loop, turn in spot.turns)
    return f"{inside}{node.op.name} gives {_number(spot.value)} at index {_index(spot.index)}"


def _number(value: Any) -> str:
    return str(arrays.to_numpy(value)[()])


def _index(index: tuple[int, ...]) -> str:
    return str(index)


def _range(value: Any) -> str:
    """Shape and range of an array, in a few words."""
    array = arrays.to_numpy(value)
    if array.size == 1:
        return str(array.reshape(-1)[0])
    text = f"{array.dtype} {tuple(array.shape)}"
    if not array.size or array.dtype.kind == "b":
        return text
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size:
        text += f", {finite.min():.4g} to {finite.max():.4g}"
    odd = array.size - finite.size
    return f"{text}, {odd} not finite" if odd else text


def _slice(spot: Spot) -> list[str]:
    """The instructions that a value was computed by, the last ones of them, and what they start from."""
    program, run = spot.run.program, spot.run
    needed, order = {spot.buffer}, []
    for position in range(spot.position or 0, -1, -1):
        step = program.instructions[position]
        if run.ran(position) and any(n in needed for n in step.outputs):
            needed.update(step.inputs)
            order.append(position)
    shown = order[:_SHOWN]
    used = {n for position in shown for n in program.instructions[position].inputs}
    rows = [
        f"%{n} = {_given(program, n)} : {_range(run.values[n])}"
        for n in sorted(used)
        if n not in run.maker and program.buffers[n].type.ndim + (program.buffers[n].kind != "constant")
    ]
    if len(order) > len(shown):
        rows.append(f"… {len(order) - len(shown)} more instructions")
    for position in reversed(shown):
        step = program.instructions[position]
        left = ", ".join(f"%{n}" for n in step.outputs)
        right = ", ".join(_short(program, n) for n in step.inputs)
        name = next((f"{v.name} = " for v in step.node.outputs if v.name), "")
        rows.append(f"{left} = {name}{step.op.name}({right}) : {_range(run.values[step.outputs[0]])}")
    return rows


def _given(program: Program, number: int) -> str:
    buffer = program.buffers[number]
    return f"{buffer.kind} {buffer.name}".rstrip()


def _short(program: Program, number: int) -> str:
    buffer = program.buffers[number]
    return str(buffer.value) if buffer.kind == "constant" and buffer.type.ndim == 0 else f"%{number}"
