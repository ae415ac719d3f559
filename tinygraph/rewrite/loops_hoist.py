"""What the steps of a loop compute from sequences and constants alone is computed before it, for all steps at once.

One product of all rows takes the place of a product at each step. Elementwise operations cost a step little and their
results would take memory for all steps, so they move only along with a product: those that it needs, and those that
follow without making what is kept larger. An output that nothing carried enters leaves the loop as a whole.

What moves is exact, but for products: theirs are sums of the same terms, which may be rounded in another order. Only
operations move that raise nothing over the values they get; what only a branch of a choice needs stays, and so does
everything in a loop that may end early.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinygraph.graph import Apply, Constant, Variable, origin_scope, toposort
from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.inc_subtensor import IncSubtensor
from tinygraph.ops.join import Join, Split
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle, Reshape, Shape, SpecifyShape, SumTo
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.softmax import LogSoftmax, LogSumExp, Softmax, SoftmaxGrad
from tinygraph.ops.subtensor import Subtensor
from tinygraph.rewrite.loops_draft import Draft, Result, affordable, elements, reverse, unreversed
from tinygraph.types import is_discrete

__all__ = ["FIXED", "MEASURED", "ROWS", "costly", "frontier", "hoist", "kinds", "measure", "postpone"]

#: The same at every step; the shape of a row, which is, too; different from step to step.
FIXED, MEASURED, ROWS = range(3)

#: Operations on rows that are vectorised as they are.
_PLAIN = (Cast, DimShuffle, Join, LogSoftmax, LogSumExp, MatMul, Reduce, Softmax, SoftmaxGrad, SpecifyShape, TensorDot)
#: Those whose second input says a shape, which has to be the same at every step.
_SHAPED = (BroadcastTo, Reshape, Split, SumTo)
#: Integer operations that raise for no value.
_SAFE = ("add", "mul", "sub", "neg", "minimum", "maximum", "abs", "switch")


def kinds(draft: Draft) -> dict[Variable, int]:
    """For each inner variable that no carried state enters what it is, where it could be computed before the loop."""
    if draft.stop is not None:
        return {}
    found = {v: FIXED for _, v in draft.constants}
    alone = len(draft.sequences) == 1
    found.update((v, ROWS) for _, v in draft.sequences if alone or draft.long_enough(v))
    for node in draft.order():
        inputs = [FIXED if isinstance(v, Constant) else found.get(v) for v in node.inputs]
        if None in inputs or node in draft.guarded or not _vectorises(node, inputs):
            continue
        measured = isinstance(node.op, (Shape, AxisExtent)) and ROWS in inputs
        found.update(dict.fromkeys(node.outputs, MEASURED if measured else max(inputs)))  # type: ignore[type-var]
    return found


def _vectorises(node: Apply, inputs: Sequence[int | None]) -> bool:
    """True where an operation can be applied to the rows of all steps at once and raises nothing over their values."""
    op: Any = node.op
    if isinstance(op, Elementwise):
        return not is_discrete(node.outputs[0].dtype) or node.outputs[0].dtype == "bool" or op.row in _SAFE
    if type(op) in _SHAPED:
        return inputs[1] != ROWS
    if type(op) in (Subtensor, IncSubtensor):
        return len(node.inputs) == op.leading
    return type(op) in (*_PLAIN, AxisExtent, Shape)


def costly(node: Apply, found: dict[Variable, int]) -> bool:
    """True for a product of rows, or of what never changes, with what never changes."""
    if type(node.op) not in (MatMul, TensorDot) or node.outputs[0] not in found:
        return False
    return sum(found.get(v) == ROWS for v in node.inputs) <= 1


def frontier(draft: Draft, found: dict[Variable, int]) -> list[Any]:
    """The inner variables that are best computed before the loop."""
    order = draft.order()
    wanted = set(draft.wanted())
    moved: set[Apply] = set()

    def move(node: Apply) -> None:
        moved.update(toposort(node.outputs, stop=draft.inner_inputs()))

    for node in order:
        if costly(node, found) and sensible(draft, node.outputs[0]):
            move(node)
    if not moved:
        return []
    readers: dict[Variable, set[Apply]] = {}
    for node in order:
        for v in node.inputs if found.get(node.outputs[0]) != MEASURED else ():
            readers.setdefault(v, set()).add(node)
    for node in order:
        if node in moved or found.get(node.outputs[0]) != ROWS:
            continue
        freed = [
            v
            for v in dict.fromkeys(node.inputs)
            if v.owner in moved and found.get(v) == ROWS and v not in wanted and readers[v] <= {*moved, node}
        ]
        if freed and _no_larger(node.outputs, freed):
            move(node)
    results = [v for node in order if node in moved for v in node.outputs]
    return [v for v in results if v in wanted or not readers.get(v, moved) <= moved]


def _no_larger(new: Sequence[Any], old: Sequence[Any]) -> bool:
    """True where some tensors are known to have no more elements than others, or seem so by their axes."""
    sizes = elements(new), elements(old)
    if sizes[0] is not None and sizes[1] is not None:
        return sizes[0] <= sizes[1]
    return len(new) <= len(old) and max(v.ndim for v in new) <= max(v.ndim for v in old)


def sensible(draft: Draft, variable: Any) -> bool:
    """True where the rows of a variable for all steps take memory in proportion to what the loop reads and writes.

    Extents that are not known decide nothing; then no result on the way may have more axes than what goes in or out.
    """
    order = toposort([variable], stop=draft.inner_inputs())
    read = [v for _, v in draft.sequences if v is variable or any(v in node.inputs for node in order)]
    most = max(v.ndim for v in [*read, variable])
    return all(v.ndim <= most and affordable(draft, [v]) for node in order for v in node.outputs)


def measure(draft: Draft) -> None:
    """Compute the shapes of rows outside; they are known there when a function is specialised, at no cost."""
    found = kinds(draft)
    order = draft.order()
    shapes = {v for node in order for v in node.outputs if found.get(v) == MEASURED and is_discrete(v.dtype)}
    read = {v for node in order if node.outputs[0] not in shapes for v in node.inputs} | set(draft.wanted())
    wanted = [v for node in order for v in node.outputs if v in shapes and v in read]
    draft.constants.extend(zip(_vectorised(draft, wanted, found), wanted, strict=True))


def hoist(draft: Draft) -> None:
    """Compute before the loop what is best computed there."""
    found = kinds(draft)
    whole: list[Result] = []
    if draft.all_long_enough():
        whole = [
            r
            for r in draft.results
            if not r.taps and r.keep is None and r.outer is None and found.get(r.new) == ROWS and sensible(draft, r.new)
        ]
    for result in whole:
        result.outer = result.rows  # for now: it is computed outside
    moved = frontier(draft, found)
    made = _vectorised(draft, [*(r.new for r in whole), *moved], found)
    for result, tensor in zip(whole, made, strict=False):
        result.outer = tensor
    for variable, tensor in zip(moved, made[len(whole) :], strict=True):
        if found[variable] == ROWS:
            draft.add_sequence(tensor, variable)
        else:
            draft.constants.append((tensor, variable))


def postpone(draft: Draft) -> None:
    """Compute after the loop what products with what never changes make of the steps' results for its outputs alone."""
    if draft.stop is not None:
        return
    order = draft.order()
    carried = [r.new for r in draft.results if r.taps]
    needed = {v for node in toposort(carried, stop=draft.inner_inputs()) for v in (*node.inputs, *node.outputs)}
    needed.update(carried)
    outputs = [r for r in draft.results if not r.taps and r.outer is None]
    fixed = {v for _, v in draft.constants}
    found: dict[Variable, int] = dict.fromkeys(fixed, FIXED)
    later: dict[Variable, None] = {}  # what is computed after the loop
    for node in order:
        v = node.outputs[0]
        if any(u in needed for u in node.outputs) or node in draft.guarded or len(node.outputs) > 1:
            continue
        kinds = [FIXED if isinstance(u, Constant) or u in fixed else ROWS for u in node.inputs]
        product = type(node.op) in (MatMul, TensorDot) and kinds.count(ROWS) == 1
        if (product or any(u in later for u in node.inputs)) and _vectorises(node, kinds):
            later[v] = None
            found[v] = ROWS
    wanted = {r.new for r in outputs}
    for node in reversed(order):  # what anything in the loop reads stays in it
        v = node.outputs[0]
        readers = [other for other in order if v in other.inputs] if v in later else []
        if v in later and (
            any(other.outputs[0] not in later for other in readers)
            or any(r.new is v and r.keep is not None for r in outputs)
            or not (readers or v in wanted)
        ):
            del later[v]
    for node in order:  # and so does what no product is before any more
        product = type(node.op) in (MatMul, TensorDot)
        if node.outputs[0] in later and not product and not any(u in later for u in node.inputs):
            del later[node.outputs[0]]
    ends = [r for r in outputs if r.new in later]
    given = {u for node in order if node.outputs[0] in later for u in node.inputs}
    given = {u for u in given if u not in later and u not in fixed and not isinstance(u, Constant)}
    if not ends or any(v.ndim == 0 for v in given) or not affordable(draft, list(given)):
        return
    rows = {v: draft.stacked(v) for v in given}
    for result in ends:
        result.outer, result.after = _for_all(draft, result.new, rows), True


def _for_all(draft: Draft, target: Any, rows: Mapping[Variable, Any]) -> Any:
    """An inner variable for all steps, from the rows of others, which it depends on."""
    outside: dict[Variable, Any] = {v: x for x, v in draft.constants}
    outside.update(rows)
    n = AxisExtent(0)(next(iter(rows.values())))
    changing = set(rows)
    for node in toposort([target], stop=outside):
        _apply(node, outside, changing, n)
    return outside[target]


def _vectorised(draft: Draft, targets: Sequence[Any], found: dict[Variable, int]) -> list[Any]:
    """Inner variables for all steps, as expressions outside; those that are the same at every step once."""
    if not targets:
        return []
    order = toposort(targets, stop=draft.inner_inputs())
    used = {*targets, *(v for node in order for v in node.inputs)}
    outside: dict[Variable, Any] = {v: x for x, v in draft.constants if v in used}
    sequences = {v: draft.sequence(v) for _, v in draft.sequences if v in used}
    backwards = {v: unreversed(x) for v, x in sequences.items()}
    turned = bool(sequences) and all(x is not None for x in backwards.values())
    outside.update(backwards if turned else sequences)
    n = AxisExtent(0)(outside[next(iter(sequences))]) if sequences else None
    changing = {v for v in used if found.get(v) == ROWS}
    for node in order:
        _apply(node, outside, changing, n)
    return [reverse(outside[v]) if turned and v in changing else outside[v] for v in targets]


def _apply(node: Apply, outside: dict[Variable, Any], changing: set[Variable], n: Any) -> None:
    """Add what stands outside for the outputs of an inner node, to what stands for its inputs."""
    from tinygraph.batching import applied  # its rules name many operations, and few programs need them

    inputs = [outside.get(v, v) for v in node.inputs]
    has_axis = [v in changing for v in node.inputs]
    results: Sequence[Any]
    with origin_scope(node.origin):
        if not any(has_axis):
            results = Apply(node.op, inputs).outputs
        elif isinstance(node.op, Shape):
            results = [Subtensor(((1, None, None),))(Shape()(inputs[0]))]
        elif isinstance(node.op, AxisExtent):
            results = [AxisExtent(node.op.axis + 1)(inputs[0])]
        else:
            results = applied(*_rows_first(node, inputs, has_axis), n)
            changing.update(node.outputs)
    outside.update(zip(node.outputs, results, strict=True))


def _rows_first(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool]) -> tuple[Apply, Any, Any]:
    """W · x as x · Wᵀ for a vector x that changes, so that the rows of the products follow one another."""
    if not isinstance(node.op, MatMul) or has_axis[0] or [v.ndim for v in node.inputs] != [2, 1]:
        return node, inputs, has_axis
    turn = DimShuffle((1, 0))
    turned = Apply(node.op, [node.inputs[1], turn(node.inputs[0])])
    return turned, [inputs[1], turn(inputs[0])], [True, False]
