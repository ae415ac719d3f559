"""Groups as nests: axes put in order, merged where all operands allow it, and lanes laid along one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinygraph.program.nest import EXACT, Access, Nest
from tinygraph.program.steps import PIECE, Group, Operand, Shape

__all__ = ["NestCall", "finished"]

#: Rows up to this length are computed in registers, in vectors of one of these lengths.
_SINGLE = (4, 8, 16)

#: Rows up to these many elements have a lane each, however they lie in memory, where they are at least so many: nothing
#: has to be added up across lanes. Where rows are gone through once only, they have to be shorter.
_FEW, _FEW_ROWS = 16, 4
_SHORT, _SHORT_ONCE, _SHORT_ROWS = 64, 32, 32


@dataclass
class NestCall:
    """A nest on operands of known places and sizes.

    Attributes
    ----------
    nest
        Its structure.
    operands
        A view for each access.
    extents
        Of all axes: outer, lanes of a vertical nest, reduced.
    strides
        For each access a stride for each axis, in elements.
    total
        Of a flat nest the extent of the whole vector.
    """

    nest: Nest
    operands: list[Operand]
    extents: Shape
    strides: list[Shape]
    total: int = 0

    @property
    def elements(self) -> int:
        return math.prod(self.extents)


def finished(group: Group, launched: bool = False) -> NestCall:
    """A group as a nest: axes put in order and merged where all operands allow it.

    ``launched`` says that it runs on a device: several threads share a short row there, and read it side by side.
    """
    extents = list(group.shape)
    reduced = set(group.axes if group.axes is not None else ())
    nodes, operands, stores = _pruned(group)
    strides = [list(o.strides) for o in operands]
    if group.flat:
        pieces = [-(-extents[0] // PIECE), min(PIECE, extents[0])]
        wide = [
            [s[0], 0] if o.role == "store" and not _lane_store(nodes, stores, operands, k) else [s[0] * PIECE, s[0]]
            for k, (o, s) in enumerate(zip(operands, strides, strict=True))
        ]
        return _nest(group, nodes, operands, stores, [pieces[0]], [pieces[1]], [[s[0]] for s in wide],
                     [[s[1]] for s in wide], vertical=False)  # fmt: skip
    keep = [i for i, n in enumerate(extents) if n != 1]
    if group.axes is None:
        outer = keep
        inner: list[int] = []
    else:
        outer = [i for i in keep if i not in reduced]
        inner = [i for i in keep if i in reduced]
    outer_extents, outer_strides = _merged([extents[i] for i in outer], [[s[i] for i in outer] for s in strides])
    inner_extents, inner_strides = _merged([extents[i] for i in inner], [[s[i] for i in inner] for s in strides])
    vertical, short = False, 0
    if group.axes is None or not inner_extents:
        # A map: lanes run over the last axis.
        inner_extents = outer_extents[-1:] or [1]
        inner_strides = [s[-1:] or [0] for s in outer_strides]
        outer_extents, outer_strides = outer_extents[:-1], [s[:-1] for s in outer_strides]
    elif outer_extents:
        vertical = _is_vertical(outer_strides, inner_strides, operands)
        once = _one_pass(nodes, [(n, k) for n, k in stores if any(inner_strides[k])])
        length, rows = math.prod(inner_extents), outer_extents[-1]
        few = length <= _FEW and rows >= _FEW_ROWS
        # Random numbers that lie side by side are drawn together.
        drawn = any(n.op == "philox" for n in nodes)
        many = length <= (_SHORT_ONCE if once else _SHORT) and rows >= _SHORT_ROWS and not drawn
        if (few or many) and len(inner_extents) == 1 and not (vertical and once) and not launched:
            vertical, short = True, length if length <= EXACT else _FEW if length <= _FEW else _SHORT
        elif few and once:
            vertical = True
    return _nest(
        group, nodes, operands, stores, outer_extents, inner_extents, outer_strides, inner_strides, vertical, short
    )


def _pruned(group: Group) -> tuple[list[Any], list[Operand], list[tuple[int, int]]]:
    """The nodes that something is stored or checked of, and their operands."""
    needed = {n for n, _ in group.stores} | {i for i, n in enumerate(group.nodes) if n.op == "check"}
    for i in range(len(group.nodes) - 1, -1, -1):
        if i in needed:
            needed.update(group.nodes[i].args)
    number = {old: new for new, old in enumerate(sorted(needed))}
    accesses: dict[int, int] = {}
    nodes = []
    for i in sorted(needed):
        node = group.nodes[i]
        attr = node.attr
        if node.op in ("load", "index", "gather"):
            attr = accesses.setdefault(node.attr, len(accesses))
        nodes.append(node._replace(args=tuple(number[a] for a in node.args), attr=attr))
    stores = [(number[n], accesses.setdefault(k, len(accesses))) for n, k in group.stores]
    operands = [group.operands[k] for k in accesses]
    return nodes, operands, stores


def _lane_store(nodes: Sequence[Any], stores: Sequence[tuple[int, int]], operands: Sequence[Operand], k: int) -> bool:
    """Whether a flat group stores an element of the vector there, not one of its pieces' results."""
    node = next(n for n, access in stores if access == k)
    pending = [node]
    while pending:
        n = nodes[pending.pop()]
        if n.op in ("reduce", "pick"):
            return False
        pending.extend(n.args)
    return True


def _one_pass(nodes: Sequence[Any], stores: Sequence[tuple[int, int]]) -> bool:
    """Whether nothing that is reduced is needed to reduce or store an element."""
    behind: set[int] = set()
    for i, node in enumerate(nodes):
        reduces = node.op in ("reduce", "pick")
        if reduces or not behind.isdisjoint(node.args):
            if reduces and not behind.isdisjoint(node.args):
                return False
            behind.add(i)
    return all(n not in behind for n, _ in stores)


def _is_vertical(outer: Sequence[Sequence[int]], inner: Sequence[Sequence[int]], operands: Sequence[Operand]) -> bool:
    """Whether neighbours in memory lie along the last kept axis rather than the last reduced one."""
    across = along = 0
    for o, kept, gone in zip(operands, outer, inner, strict=True):
        if o.role in ("load", "store") and any(gone):
            weight = 4 if kept[-1] and gone[-1] else 1  # what moves along both is most of the memory
            across += weight * (kept[-1] == 1 or (kept[-1] == 0 and gone[-1] != 1))
            along += weight * (gone[-1] == 1)
    return across > along


def _merged(extents: list[int], strides: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Neighbouring axes as one, where every operand walks through both in one stride."""
    i = len(extents) - 2
    while i >= 0:
        if all(s[i] == s[i + 1] * extents[i + 1] for s in strides):
            extents[i : i + 2] = [extents[i] * extents[i + 1]]
            for s in strides:
                del s[i]
        i -= 1
    return extents, strides


def _nest(
    group: Group,
    nodes: Sequence[Any],
    operands: Sequence[Operand],
    stores: Sequence[tuple[int, int]],
    outer_extents: list[int],
    inner_extents: list[int],
    outer_strides: list[list[int]],
    inner_strides: list[list[int]],
    vertical: bool,
    short: int = 0,
) -> NestCall:
    lane = [outer[-1] if vertical else inner[-1] for outer, inner in zip(outer_strides, inner_strides, strict=True)]
    accesses = []
    for o, step, inner in zip(operands, lane, inner_strides, strict=True):
        kind = "unit" if step == 1 else "same" if step == 0 else "strided"
        if short and kind == "strided" and inner[-1] == 1 and o.role in ("load", "store"):
            kind = "across"
        accesses.append(Access(o.view.dtype, kind, any(inner), o.role, len(o.dims)))
    single = 0
    lanes = outer_extents[-1] if vertical else inner_extents[-1] if outer_extents else 0
    if not group.flat and (vertical or len(inner_extents) == 1):
        single = next((n for n in _SINGLE if 0 < lanes <= n), 0)
    nest = Nest(
        len(outer_extents) - vertical,
        len(inner_extents),
        vertical,
        group.flat,
        single,
        tuple(accesses),
        tuple(nodes),
        tuple(stores),
        short,
    )
    strides = [(*o, *i) for o, i in zip(outer_strides, inner_strides, strict=True)]
    total = group.shape[0] if group.flat else 0
    return NestCall(nest, list(operands), (*outer_extents, *inner_extents), strides, total)
