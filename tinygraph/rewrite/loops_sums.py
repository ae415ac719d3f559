"""Sums that a loop carries from step to step, and of which only the end is read, are taken after the loop.

A state that each step adds something to is the sum of what the steps add. Where these are products of matrices, such
as the gradient of a weight matrix, their sum is one product of all rows; where they are sums, it is one sum. The terms
are the same and are added in another order, so results differ by rounding, the sign of a zero included; where partial
sums overflow, or infinities of both signs meet, the one may be finite or infinite where the other is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import reduce
from typing import Any

from tinygraph.graph import Constant, Variable
from tinygraph.ops.convert import cast
from tinygraph.ops.join import Join
from tinygraph.ops.layout import AxisExtent, BroadcastTo, DimShuffle, Shape, SumTo, broadcast_like
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.ops.reduce import Reduce
from tinygraph.ops.scalar import add, minimum
from tinygraph.ops.subtensor import Subtensor
from tinygraph.rewrite.loops_draft import Draft, Result, affordable, unreversed
from tinygraph.rewrite.match import made_by, scalar_value

__all__ = ["sum_afterwards"]


@dataclass(eq=False)
class _Sum:
    """A sum over the steps: of which inner variables all rows are needed, and how it is computed from them."""

    rows: tuple[Any, ...]
    of: Callable[..., Any]


def sum_afterwards(draft: Draft, ends: Collection[Variable]) -> None:
    """Take the sums of which the end alone is read after the loop.

    Parameters
    ----------
    draft
        The loop.
    ends
        The variables of which the last row alone is read.
    """
    if draft.stop is not None:
        return
    readers = _readers(draft)
    found: dict[Result, list[Any]] = {}
    for result in draft.results:
        if result.taps == (-1,) and result.keep is not None and result.old in ends and result.new.dtype != "bool":
            terms = _terms(draft, result, readers)
            if terms:
                found[result] = terms
    products = {term: _product(draft, term) for terms in found.values() for term in terms}
    # Rows that the products need anyway are there for other sums, too.
    there = {_base(draft, v)[0] for product in products.values() if product is not None for v in product.rows}
    there |= {v for _, v in draft.sequences} | {r.new for r in draft.results if not r.taps and r.keep is None}
    for result, terms in found.items():
        plans = [products[term] or _other(draft, term, there) for term in terms]
        _apart(draft, result, terms, plans)


def _readers(draft: Draft) -> dict[Variable, int]:
    """How often each inner variable is read."""
    found: dict[Variable, int] = {}
    for v in [*draft.wanted(), *(v for node in draft.order() for v in node.inputs)]:
        found[v] = found.get(v, 0) + 1
    return found


def _terms(draft: Draft, result: Result, readers: dict[Variable, int]) -> list[Any]:
    """What a step adds to a state that it reads only for this; [] where it does anything else."""
    (state,) = result.read
    if readers.get(state) != 1:
        return []
    terms = []
    stack = [result.new]
    while stack:
        v = stack.pop()
        both = draft.made_by_row(v, "add") if readers[v] == 1 else None
        if both is None:
            terms.append(v)
        else:
            stack.extend(reversed(both))
    return [v for v in terms if v is not state] if state in terms else []


def _apart(draft: Draft, result: Result, terms: list[Any], plans: list[_Sum | None]) -> None:
    """Sum the terms with a plan after the loop; the others stay in it."""
    stay = [term for term, plan in zip(terms, plans, strict=True) if plan is None]
    if len(stay) == len(terms):
        return
    total = reduce(add, [_carried_out(draft, plan) for plan in plans if plan is not None])
    if stay:
        result.new = reduce(add, stay, result.read[0])
        row = Subtensor((-1,))(result.rows)
    else:
        draft.results.remove(result)
        row = Subtensor((0,))(result.initial)
    total = total if not stay and _zero(result.initial) else add(row, total)
    # The shape is that of the state, which would not let the loop change it.
    end = DimShuffle(("x", *range(row.ndim)))(broadcast_like(total, row))
    if result.keep != 1:  # other rows count, but nobody reads what is in them
        kept = minimum(add(draft.steps, 1), result.keep)
        end = BroadcastTo()(end, Join(0)(DimShuffle(("x",))(cast(kept, "int64")), Shape()(row)))
    draft.ends[result.old] = end


def _zero(initial: Any) -> bool:
    inner = made_by(initial, DimShuffle)
    return bool(scalar_value(initial if inner is None else inner[0]) == 0)


def _carried_out(draft: Draft, plan: _Sum) -> Any:
    bases = [_base(draft, v) for v in plan.rows]
    stacks = [draft.stacked(v) for v, _ in bases]
    turned = [unreversed(x) for x in stacks]
    if all(x is not None for x in turned):
        stacks = turned  # a sum goes either way
    rows = []
    for x, (_, shapes) in zip(stacks, bases, strict=True):
        for shape in shapes:
            x = SumTo()(x, Join(0)(DimShuffle(("x",))(AxisExtent(0)(x)), shape))
        rows.append(x)
    return plan.of(*rows)


def _base(draft: Draft, variable: Any) -> tuple[Any, list[Any]]:
    """The rows behind sums to shapes that are known outside, mostly their own, and these shapes."""
    shapes: list[Any] = []
    outside = {v: x for x, v in draft.constants}
    while True:
        source = draft.made_by(variable, SumTo)
        if source is None or source[0].ndim != variable.ndim:
            return variable, shapes[::-1]
        shape = outside.get(source[1], source[1] if isinstance(source[1], Constant) else None)
        if shape is None:
            return variable, shapes[::-1]
        shapes.append(shape)
        variable = source[0]


def _product(draft: Draft, term: Any) -> _Sum | None:
    """The sum of a product of matrices or vectors: one product, over all rows."""
    shuffled = draft.made_by(term, DimShuffle)
    if shuffled is not None:
        op, inner = term.owner.op, _product(draft, shuffled[0])
        return None if inner is None else _Sum(inner.rows, lambda *rows: op(inner.of(*rows)))
    both = draft.made_by(term, MatMul)
    axes: list[tuple[int, ...]] = []
    if both is not None and all(v.ndim <= 2 for v in both) and max(v.ndim for v in both) == 2:
        axes = [(both[0].ndim - 1,), (0,)]
    if both is None:
        both = draft.made_by_row(term, "mul")
        if both is not None and [_pattern(draft, v) for v in both] == [(0, "x"), ("x", 0)]:
            axes = [(), ()]
            both = tuple(v.owner.inputs[0] for v in both)
    if both is None or not axes:
        return None
    rows: list[Any] = []
    places: list[tuple[int, ...]] = []
    for v, own in zip(both, axes, strict=True):
        turned = _pattern(draft, v) == (1, 0)
        rows.append(v.owner.inputs[0] if turned else v)
        places.append((0, *(2 - axis if turned else axis + 1 for axis in own)))
    fixed = {v for _, v in draft.constants}
    if any(isinstance(v, Constant) or v in fixed for v in rows) or not affordable(draft, rows):
        return None
    return _Sum(tuple(rows), TensorDot(places[0], places[1]))


def _pattern(draft: Draft, v: Any) -> Any:
    return v.owner.op.pattern if draft.made_by(v, DimShuffle) is not None else None


def _other(draft: Draft, term: Any, there: set[Variable]) -> _Sum | None:
    """The sum of anything else, where the rows to be summed are there or take little memory."""
    source = draft.made_by(term, SumTo)
    if source is not None and _base(draft, source[0])[0] in there:
        outside = {v: x for x, v in draft.constants}
        shape = outside.get(source[1], source[1] if isinstance(source[1], Constant) else None)
        if shape is not None:
            return _Sum((source[0],), lambda rows: SumTo()(rows, shape))
    source = draft.made_by(term, Reduce)
    if source is not None and term.owner.op.kind == "sum" and _base(draft, source[0])[0] in there:
        op: Any = term.owner.op
        behind = Reduce("sum", (0, *(axis + 1 for axis in op.axes)), False, op.dtype)
        if not op.keepdims:
            return _Sum((source[0],), behind)
    small = term.ndim == 0 or source is not None or draft.made_by(term, SumTo) is not None
    if term in there or (small and affordable(draft, [term])):
        return _Sum((term,), Reduce("sum", (0,), False, term.dtype))
    return None
