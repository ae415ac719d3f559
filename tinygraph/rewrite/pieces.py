"""Tensors put together from pieces, and rows read from where they were put: mostly what gradients leave behind.

These rules are exact, but for the sign of a zero: where a piece that holds −0.0 was added to zeros, 0.0 came out, and
the piece itself keeps its sign.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from tinygraph.graph import Apply
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.inc_subtensor import IncSubtensor
from tinygraph.ops.join import Join
from tinygraph.ops.layout import BroadcastTo, DimShuffle, broadcast_like, same_shape
from tinygraph.ops.subtensor import FULL, Subtensor
from tinygraph.rewrite.engine import Rules
from tinygraph.rewrite.match import made_by, made_by_row, scalar_value

__all__ = ["PIECES"]

PIECES = Rules()

#: Sums of more terms than this are not searched for pieces.
_MANY = 64


@PIECES.on("add")
def join_pieces(node: Apply) -> Any:
    """Pieces written into zeros of one shape, that have nothing in common and leave nothing out, joined."""
    pieces = _pieces(node)
    if not pieces:
        return None
    zeros, axes = pieces[0][2], {p[0] for p in pieces}
    ordered = sorted(pieces, key=lambda p: p[1][0])
    ends = [p[1] for p in ordered]
    if len(axes) > 1 or ends[0][0] != 0 or ends[-1][1] is not None:
        return None
    if any(one[1] != other[0] for one, other in itertools.pairwise(ends)):
        return None
    if not all(p[2] is zeros or same_shape(p[2], zeros) for p in ordered):
        return None
    parts = [broadcast_like(p[3], Subtensor(p[4])(zeros)) for p in ordered]
    return Join(axes.pop())(*parts)


def _pieces(node: Apply) -> list[Any]:
    """The terms of a sum, if all of them are pieces; it is left at the first one that is not."""
    found: list[Any] = []
    pending = [node]
    while pending and len(found) <= _MANY:
        for v in pending.pop().inputs:
            if made_by_row(v, "add") is not None:
                pending.append(v.owner)  # type: ignore[arg-type]
                continue
            piece = _piece(v)
            if piece is None:
                return []
            found.append(piece)
    return [] if pending else found


def _piece(variable: Any) -> tuple[int, tuple[int, int | None], Any, Any, Any] | None:
    """The axis, bounds, zeros, piece and index where a slice along one axis of zeros was written to."""
    source = made_by(variable, IncSubtensor)
    if source is None or variable.dtype == "bool" or len(source) > 2:
        return None
    zeros, piece = source
    value = scalar_value(zeros)
    idx = variable.owner.op.idx
    cut = [axis for axis, entry in enumerate(idx) if entry != FULL]
    if value is None or value != 0 or math.copysign(1, value) < 0 or len(cut) != 1:
        return None
    entry = idx[cut[0]]
    if not isinstance(entry, tuple) or entry[2] not in (None, 1):
        return None
    start, stop = entry[0] or 0, entry[1]
    if not isinstance(start, int) or start < 0 or not (stop is None or (isinstance(stop, int) and stop >= start)):
        return None
    return cut[0], (start, stop), zeros, piece, idx


@PIECES.on("add", "sub", "mul", "true_div", "maximum", "minimum")
def broadcast_in_passing(node: Apply) -> Any:
    """x ∘ broadcast(c) → x ∘ c where x has the shape of the result: the operation itself broadcasts."""
    if not isinstance(node.op, Elementwise) or len(node.inputs) != 2:
        return None
    for i, x in enumerate(node.inputs):
        source = made_by(node.inputs[1 - i], BroadcastTo)
        if source is None or made_by(x, BroadcastTo) is not None or not same_shape(x, node.outputs[0]):
            continue
        new = node.op(*((x, source[0]) if i == 0 else (source[0], x)))
        return new if same_shape(new, x) else None
    return None


@PIECES.on(Subtensor)
def read_the_only_row(node: Apply) -> Any:
    """x[None][0] → x, and the same for −1 and under other new axes behind the first."""
    op: Any = node.op
    source = made_by(node.inputs[0], DimShuffle)
    if source is None or op.idx not in ((0,), (-1,)):
        return None
    pattern = node.inputs[0].owner.op.pattern  # type: ignore[union-attr]
    return DimShuffle(pattern[1:])(source[0]) if pattern[0] == "x" else None


@PIECES.on(Subtensor)
def reverse_twice(node: Apply) -> Any:
    """x[::-1][::-1] → x."""
    op: Any = node.op
    backwards = ((None, None, -1),)
    source = made_by(node.inputs[0], Subtensor)
    if source is None or op.idx != backwards or node.inputs[0].owner.op.idx != backwards:  # type: ignore[union-attr]
        return None
    return source[0]
