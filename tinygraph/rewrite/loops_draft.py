"""A loop taken apart, so that rules can change it, and how many rows its sequences are sure to have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygraph.graph import Apply, Body, Constant, Op, Variable, origin_scope, replace, toposort
from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.gradient import PassThrough
from tinygraph.ops.inc_subtensor import IncSubtensor
from tinygraph.ops.layout import AxisExtent, DimShuffle
from tinygraph.ops.linalg import TensorDot
from tinygraph.ops.loop import Loop
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.subtensor import FULL, SCALAR, Subtensor
from tinygraph.rewrite.match import made_by, made_by_row

__all__ = ["Draft", "Result", "affordable", "elements", "reverse", "unreversed"]

_BACKWARDS = (None, None, -1)
_START = (None, SCALAR, None)
#: A number of rows as something and a number added to it; where both are equal, so are the numbers of rows.
Count = tuple[Any, int]


@dataclass(eq=False)
class Result:
    """What a loop computes at each step: the new row of a state, or a row of an output.

    Parameters
    ----------
    new
        The inner expression.
    keep
        How many of its last rows are kept, None for all.
    initial, taps, read
        Of a state: its initial rows outside, how many steps back it is read, and the inner variable of each reading.
    old
        The output of the old loop that it stands for, or None.
    outer
        Where it is computed outside the loop: the expression.
    after
        This expression needs rows of other results.
    """

    new: Any
    keep: int | None = None
    initial: Any = None
    taps: tuple[int, ...] = ()
    read: tuple[Any, ...] = ()
    old: Any = None
    outer: Any = None
    after: bool = False

    def __post_init__(self) -> None:
        #: Stands for its rows in expressions outside, until the loop is made.
        self.rows: Any = self.new.type.with_shape((None, *self.new.type.shape))()


@dataclass(eq=False)
class Draft:
    """A loop whose parts may be changed before it is made again.

    Parameters
    ----------
    node
        The loop as it was.
    new
        Variables outside that others stand for by now.
    """

    node: Apply
    new: Mapping[Variable, Any]
    results: list[Result] = field(init=False)
    #: Pairs of a tensor outside and the inner variable of its row.
    sequences: list[tuple[Any, Any]] = field(init=False)
    #: Pairs of a tensor outside and the inner variable that stands for it.
    constants: list[tuple[Any, Any]] = field(init=False)
    #: For outputs of the old loop that are put together outside: what stands for them, in terms of ``Result.rows``.
    ends: dict[Variable, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        op: Any = self.node.op
        initials, sequences, constants = op.split([self.new.get(v, v) for v in self.node.inputs[1:]])
        inner = iter(op.body.inputs)
        self.results = []
        for i, (new, keep) in enumerate(zip(op.body.outputs, op.kept, strict=False)):
            result = Result(new, keep, old=self.node.outputs[i])
            if i < len(op.taps):
                result.initial, result.taps = initials[i], op.taps[i]
                result.read = tuple(next(inner) for _ in op.taps[i])
            self.results.append(result)
        self.sequences = [(x, next(inner)) for x in sequences]
        self.constants = list(zip(constants, inner, strict=True))
        #: The condition that ends the loop, or None.
        self.stop = op.body.outputs[-1] if op.stop else None
        _, old, _ = op.split(self.node.inputs[1:])
        self._count = count(self.node.inputs[0])
        n = self.node.inputs[0]
        self._rows = {v: (rows(x), at_least(x, n)) for x, (_, v) in zip(old, self.sequences, strict=True)}
        self.guarded = op.body.guarded

    # --- rows of sequences --------------------------------------------------------------------------------------------

    @property
    def steps(self) -> Any:
        return self.new.get(self.node.inputs[0], self.node.inputs[0])

    def exact(self, element: Any) -> bool:
        """True where a sequence is sure to have one row for each step."""
        return self._rows[element][0] == self._count

    def long_enough(self, element: Any) -> bool:
        """True where a sequence is sure to have a row for each step."""
        return self._rows[element][1]

    def sequence(self, element: Any) -> Any:
        """The rows that the steps read, one for each."""
        tensor = next(x for x, v in self.sequences if v is element)
        return tensor if self.exact(element) else Subtensor((_START,))(tensor, self.steps)

    def add_sequence(self, tensor: Any, element: Any, found: Count | None = None) -> None:
        """Give the steps a variable as a row of a tensor, which has one for each step or as many as it is said to."""
        self.sequences.append((tensor, element))
        self._rows[element] = (found or self._count, found is None or _covers(found, self.node.inputs[0], _FAR))

    def all_long_enough(self) -> bool:
        """True where the loop is sure to raise no error over the number of its steps."""
        inner = [v for _, v in self.sequences]
        return all(map(self.long_enough, inner)) and (never_negative(self.steps) or any(map(self.exact, inner)))

    # --- the inner graph ----------------------------------------------------------------------------------------------

    def inner_inputs(self) -> list[Any]:
        """What nothing is looked for behind."""
        read = [v for r in self.results for v in r.read]
        return [*read, *(v for _, v in self.sequences), *(v for _, v in self.constants)]

    def wanted(self) -> list[Any]:
        """The inner expressions that each step computes."""
        return [r.new for r in self.results if r.outer is None] + ([] if self.stop is None else [self.stop])

    def order(self) -> list[Apply]:
        return toposort(self.wanted(), stop=self.inner_inputs())

    def made_by(self, variable: Any, *ops: type[Op]) -> Any:
        """As ``match.made_by`` for an inner variable; nothing is looked for behind what the steps are given."""
        return None if variable in self.inner_inputs() else made_by(variable, *ops)

    def made_by_row(self, variable: Any, row: str) -> Any:
        """As ``match.made_by_row``, in the same way."""
        return None if variable in self.inner_inputs() else made_by_row(variable, row)

    def stacked(self, variable: Any) -> Any:
        """The rows of an inner variable for all steps, outside; it becomes an output where it is none."""
        if any(v is variable for _, v in self.sequences) and self.all_long_enough():
            return self.sequence(variable)
        for result in self.results:
            if result.new is variable and not result.taps and result.keep is None:
                return result.rows
        made = Result(variable)
        self.results.append(made)
        return made.rows

    # --- the new loop -------------------------------------------------------------------------------------------------

    def made(self) -> dict[Variable, Any]:
        """The loop as it is now: for each output of the old one, and for each ``rows``, what stands for it."""
        op: Any = self.node.op
        results = [r for r in self.results if r.outer is None]
        results.sort(key=lambda r: not r.taps)
        found: dict[Variable, Any] = {}
        if results:
            wanted = [r.new for r in results] + ([] if self.stop is None else [self.stop])
            order = toposort(wanted, stop=self.inner_inputs())
            used = {*wanted, *(v for node in order for v in node.inputs)}
            sequences = [(x, v) for x, v in self.sequences if v in used]
            constants = [(x, v) for x, v in self.constants if v in used]
            states = [r for r in results if r.taps]
            inner = [*(v for r in states for v in r.read), *(v for _, v in (*sequences, *constants))]
            keep = tuple(r.keep for r in results)
            loop = Loop(
                Body(inner, wanted),
                tuple(r.taps for r in states),
                len(sequences),
                self.stop is not None,
                op.truncate,
                keep if any(k is not None for k in keep) else (),
                op.label,
            )
            outside = [*(r.initial for r in states), *(x for x, _ in (*sequences, *constants))]
            with origin_scope(self.node.origin):
                outputs = Apply(loop, [self.steps, *outside]).outputs
            found.update((r.rows, output) for r, output in zip(results, outputs, strict=True))
        # What is computed before the loop needs no rows; what is computed after it may need these, too.
        found.update((r.rows, r.outer) for r in self.results if r.outer is not None and not r.after)
        after = [r for r in self.results if r.after]
        found.update(zip([r.rows for r in after], replace([r.outer for r in after], found), strict=True))
        own: dict[Any, Any] = {r.old: r.rows for r in self.results}
        ends = replace([self.ends[v] if v in self.ends else own[v] for v in self.node.outputs], found)
        for old, end in zip(self.node.outputs, ends, strict=True):
            found[old] = end
            if end.name is None:
                end.name = old.name
        return found


# --- how many rows ----------------------------------------------------------------------------------------------------

#: How many operations a number of rows is looked for behind.
_FAR = 30


def count(n: Any, far: int = _FAR) -> Count:
    """A number of steps."""
    if n.abstract.value is not None:
        return "", int(n.abstract.value)
    extent = made_by(n, AxisExtent) if far else None
    if extent is not None and n.owner.op.axis == 0:
        return rows(extent[0], far - 1)
    difference = made_by_row(n, "sub") if far else None
    if difference is not None and isinstance(difference[1], Constant) and difference[1].ndim == 0:
        base, offset = count(difference[0], far - 1)
        return base, offset - int(difference[1].data)
    return n, 0


def rows(x: Any, far: int = _FAR) -> Count:
    """The number of rows of a tensor."""
    if x.type.shape[0] is not None:
        return "", x.type.shape[0]
    if x.like is not x:
        return rows(x.like, far)
    node = x.owner
    if node is None or not far:
        return x, 0
    if isinstance(node.op, Loop):
        return _rows_of_loop(x, far)
    if isinstance(node.op, Subtensor):
        return _rows_of_part(x, far)
    models = [v for v in _models(node) if v.type.shape[0] != 1]
    found = {rows(v, far - 1) for v in models}
    return found.pop() if len(found) == 1 else (x, 0)


def _models(node: Apply) -> Sequence[Any]:
    """The inputs of a node whose rows are those of its output, if their numbers agree."""
    op: Any = node.op
    first = node.inputs[0]
    if isinstance(op, Elementwise):
        return [v for v in node.inputs if v.ndim == node.outputs[0].ndim]
    kept = (
        isinstance(op, (Cast, PassThrough, IncSubtensor))
        or (isinstance(op, DimShuffle) and op.pattern[0] == 0)
        or (isinstance(op, Reduce) and 0 not in op.axes)
        or (isinstance(op, TensorDot) and 0 not in op.x_axes and (first.ndim > len(op.x_axes)))
    )
    return [first] if kept and node.outputs[0].ndim else []


def _rows_of_loop(x: Any, far: int) -> Count:
    made = _made_by_loop(x)
    if made is None:
        return x, 0
    depth = _depth(made.op, x.index)
    if made.op.stop:
        return made, depth
    base, offset = count(made.inputs[0], far - 1)
    return base, offset + depth


def _rows_of_part(x: Any, far: int) -> Count:
    whole, *bounds = x.owner.inputs
    first = x.owner.op.idx[0] if x.owner.op.idx else FULL
    if first in (FULL, _BACKWARDS):
        return rows(whole, far - 1)
    if first == _START and at_least(whole, bounds[0], far - 1):
        return count(bounds[0], far - 1)
    cut = _cut(first)
    base, offset = rows(whole, far - 1)
    # What a loop makes has at least the rows that stand before its steps.
    return (x, 0) if cut is None or cut > offset or base == "" else (base, offset - cut)


def _made_by_loop(x: Any) -> Any:
    """The loop that a tensor holds all rows of a result of, or None."""
    owner = x.owner
    return owner if owner is not None and isinstance(owner.op, Loop) and owner.op.kept[x.index] is None else None


def _depth(op: Any, output: int) -> int:
    """How many rows of an output stand before those of the steps."""
    return int(op.depths[output]) if output < len(op.taps) else 0


def _cut(bounds: Any) -> int | None:
    """How many rows a slice leaves out of a tensor that is long enough, or None where that is not known."""
    if not isinstance(bounds, tuple) or bounds[2] is not None:
        return None
    start, stop = bounds[0] or 0, bounds[1] or 0
    if not isinstance(start, int) or not isinstance(stop, int) or start < 0 or stop > 0 or bounds[1] == 0:
        return None
    return start - stop


def at_least(x: Any, n: Any, far: int = _FAR) -> bool:
    """True where a tensor, if it can be computed at all, has ``n`` rows or more."""
    return _covers(rows(x, far), n, far)


def _covers(found: Count, n: Any, far: int) -> bool:
    """True where a number of rows is ``n`` or more."""
    wanted = count(n, far)
    if wanted[0] == found[0] and (wanted[1] == found[1] or (found[0] == "" and wanted[1] < found[1])):
        return True
    both = made_by_row(n, "minimum") if far else None
    if both is not None:
        return any(_covers(found, m, far - 1) for m in both)
    if isinstance(wanted[0], Apply) and wanted[1] <= 0 and far:  # a loop that may stop makes no more steps than asked
        return _covers(found, wanted[0].inputs[0], far - 1)
    return False


def never_negative(n: Any) -> bool:
    """True for a number of steps that is never negative."""
    both = made_by_row(n, "minimum")
    if both is not None:
        return all(never_negative(m) for m in both)
    base, offset = count(n)
    return offset >= 0 and base is not n


# --- memory -----------------------------------------------------------------------------------------------------------

#: What is kept for all steps may be this many times larger than what a loop reads and keeps anyway.
_LARGER = 16


def affordable(draft: Draft, variables: Sequence[Any]) -> bool:
    """True unless keeping inner variables for all steps is known to take far more memory than the loop takes anyway."""
    size = elements(variables)
    own = elements([*(v for _, v in draft.sequences), *(r.new for r in draft.results if r.keep is None)])
    return size is None or own is None or size <= _LARGER * own


# --- small tools ------------------------------------------------------------------------------------------------------


def unreversed(x: Any) -> Any:
    """The tensor that is read from its last row to its first, or None."""
    source = made_by(x, Subtensor)
    return source[0] if source is not None and x.owner.op.idx == (_BACKWARDS,) else None


def reverse(x: Any) -> Any:
    """The rows of a tensor, the last one first."""
    inner = unreversed(x)
    return Subtensor((_BACKWARDS,))(x) if inner is None else inner


def elements(variables: Sequence[Any]) -> int | None:
    """How many elements some variables have together, or None where that is not known."""
    shapes = [v.type.shape for v in variables]
    return None if any(None in shape for shape in shapes) else sum(math.prod(shape) for shape in shapes)
