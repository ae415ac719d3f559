"""Loop nests: what backends print as kernels.

A nest runs over *outer* axes; at each place of these it runs over *reduced* axes, once or in several passes, each of
which may need what an earlier one has reduced. In a row nest the last reduced axis is the one whose neighbours stand
side by side in memory, and it is computed on in vector lanes; a softmax over rows is such a nest, and so is a map,
which has one pass and reduces nothing. In a *vertical* nest lanes run over an axis that is kept, and each lane reduces
on its own: where that axis lies innermost in memory, and where rows are too short to fill vectors.

A ``Nest`` holds structure alone. Extents, strides and addresses are arguments of the kernel, so that other sizes run
the same machine code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

__all__ = ["COSTLY", "EXACT", "Access", "Nest", "Node", "Schedule"]

#: Rows up to this length have code for just their length.
EXACT = 4


class Node(NamedTuple):
    """One operation of a nest's body.

    ``load`` (attr: number of the access), ``index`` (attr: the same; the access is a counter, not memory), ``const``
    (attr: the value), ``cast``, ``reduce`` (attr: kind), ``pick`` (of a value along a row and a row's index: the value
    there; the third argument counts along the row), ``gather`` (attr: number of the access; args: an index for each of
    its dimensions), ``check`` (of a bool, which must hold), ``philox`` (of a place, a key and a call: random numbers,
    attr: their form, as ``backends.native.philox`` says), or the name of an elementwise row.
    """

    op: str
    dtype: str
    args: tuple[int, ...] = ()
    attr: Any = None


class Access(NamedTuple):
    """How a nest reaches one operand.

    ``inner`` is the step from lane to lane: ``unit``, ``same``, ``strided``, or ``across``, which is strided, too, with
    the elements of a short row side by side. ``moves`` says whether it changes along a reduced axis. ``role`` is
    ``load``, ``store``, ``index`` or ``gather``; ``dims`` is the number of indices of a gather.
    """

    dtype: str
    inner: str
    moves: bool
    role: str
    dims: int = 0


#: Operations that are rather stored than computed twice.
COSTLY = frozenset(
    [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "arctan2",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "sigmoid",
        "softplus",
        "pow",
        "erf",
        "erfc",
        "hypot",
        "gather",
        "pick",
        "mod",
        "int_div",
        "philox",
        "normal_quantile",
    ]
)

#: Operations that are rather held than computed twice, but not rather stored.
_DIVISIONS = frozenset(["true_div", "inv", "sqrt"])


@dataclass(frozen=True)
class Nest:
    """The structure of a kernel.

    Parameters
    ----------
    outer
        Number of outer axes.
    reduced
        Number of reduced axes; in a row nest the last of them is that of the lanes, so there is at least one.
    vertical
        Lanes run over a kept axis, which follows the outer ones.
    flat
        The one outer axis counts pieces of a long vector, the last of which may be shorter.
    single
        Where lanes run over no more elements than a vector has, the number of its lanes: in a row nest every value
        lives in registers from pass to pass. Otherwise 0.
    accesses
        Operands, in the order of their addresses.
    nodes
        The body, each node after its arguments.
    stores
        Pairs of a node and the access it is written to.
    short
        In a vertical nest with one short reduced axis, the most elements it may have, up to ``EXACT`` of them exactly
        as many as it has: every value of a lane's row is held from pass to pass. Otherwise 0.
    """

    outer: int
    reduced: int
    vertical: bool
    flat: bool
    single: int
    accesses: tuple[Access, ...]
    nodes: tuple[Node, ...]
    stores: tuple[tuple[int, int], ...]
    short: int = 0

    @cached_property
    def schedule(self) -> Schedule:
        """What is computed when."""
        return Schedule(self)

    @cached_property
    def slots(self) -> Slots:
        """Where a kernel finds its arguments."""
        return Slots(self)

    @property
    def checks(self) -> bool:
        """Whether it can find an index out of bounds."""
        return any(node.op in ("gather", "pick", "check") for node in self.nodes)

    @property
    def axes(self) -> int:
        """Number of all axes: outer, lanes of a vertical nest, reduced."""
        return self.outer + self.vertical + self.reduced

    def __str__(self) -> str:
        kind = "vertical nest" if self.vertical else "nest"
        kind += f" of up to {self.short} elements a row," * (self.short > 0)
        lines = [f"{kind} of {self.outer} outer and {self.reduced} reduced axes"]
        for i, node in enumerate(self.nodes):
            args = ", ".join(f"%{a}" for a in node.args)
            attr = "" if node.attr is None else f" {node.attr}"
            level = "lanes" if self.schedule.lane[i] else "row"
            lines.append(f"  %{i} = {node.op}{attr}({args}) : {node.dtype}  # {level}, pass {self.schedule.ready[i]}")
        lines += [f"  store %{n} to {k} : {self.accesses[k].inner}" for n, k in self.stores]
        return "\n".join(lines)


class Slots:
    """The layout of a kernel's arguments, 64-bit words.

    First the address of each access (an index starts from a number instead), then the extents of all axes, for a flat
    nest the extent of the whole vector in place of that of its pieces and their extent, then for each access its
    strides in bytes (of an index: what it counts) along all axes, of a gather also the extent and stride of each
    dimension, and the address of the word that is set when an index is out of bounds.
    """

    def __init__(self, nest: Nest) -> None:
        at = len(nest.accesses)
        self.extents = at
        at += nest.axes
        self.piece = at
        at += nest.flat
        self.strides = []
        self.dims = []
        for access in nest.accesses:
            self.strides.append(at)
            at += nest.axes
            self.dims.append(at)
            at += 2 * access.dims
        self.error = at
        self.count = at + 1


class Schedule:
    """Which node is computed at which level, and in which pass.

    Attributes
    ----------
    lane
        For each node whether it has a value for each lane of a pass; otherwise it has one for each row (in a vertical
        nest: for each lane, after the reduced axes).
    ready
        For each node the pass in which it can be computed first; a reduction is complete after the pass ``ready``.
    passes
        Number of passes.
    kept
        Lane values that a later pass needs and that would cost much to compute again: node -> the access that holds
        them from one pass to the next, into which a result is written later. Short rows hold whatever is needed again
        on their own: node -> -1.
    """

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        nodes = nest.nodes
        self.lane = [False] * len(nodes)
        self.ready = [0] * len(nodes)
        for i, node in enumerate(nodes):
            if node.op in ("load", "index"):
                self.lane[i] = nest.accesses[node.attr].moves
            elif node.op in ("reduce", "pick"):
                self.ready[i] = self.available(node.args[0]) if node.args else 0
                for a in node.args[1:]:
                    self.ready[i] = max(self.ready[i], self.available(a))
            else:
                moves = node.op == "gather" and nest.accesses[node.attr].moves
                self.lane[i] = moves or any(self.lane[a] for a in node.args)
                self.ready[i] = max((self.available(a) for a in node.args), default=0)
        last = [self.available(n) for n, k in nest.stores if nest.accesses[k].moves]
        last += [self.ready[i] for i, node in enumerate(nodes) if node.op in ("reduce", "pick")]
        last += [self.ready[i] for i, node in enumerate(nodes) if node.op == "check" and self.lane[i]]
        self.passes = 1 + max(last, default=0)
        self.kept: dict[int, int] = {}
        if nest.short:
            self._hold()
        elif nest.vertical or not nest.single:
            self._keep()

    def available(self, node: int) -> int:
        """The first pass that can use a node."""
        return self.ready[node] + (self.nest.nodes[node].op in ("reduce", "pick"))

    def sinks(self, number: int) -> list[int]:
        """The lane nodes that a pass stores or reduces."""
        nodes = self.nest.nodes
        found = [n for n, k in self.writes(number) if self.lane[n]]
        for i, node in enumerate(nodes):
            if node.op in ("reduce", "pick") and self.ready[i] == number:
                found.extend(a for a in node.args if self.lane[a])
            elif node.op == "check" and self.lane[i] and self.ready[i] == number:
                found.append(i)
        return found + [n for n in self.kept if self.ready[n] == number]

    def reduces(self, number: int) -> bool:
        """Whether a pass reduces anything, be it the same value in all lanes."""
        nodes = enumerate(self.nest.nodes)
        return any(node.op in ("reduce", "pick") and self.ready[i] == number for i, node in nodes)

    def writes(self, number: int) -> list[tuple[int, int]]:
        """The stores of lanes that a pass makes."""
        accesses = self.nest.accesses
        return [(n, k) for n, k in self.nest.stores if accesses[k].moves and self.available(n) == number]

    def needed(self, number: int) -> list[int]:
        """The lane nodes that a pass computes, in order; those that are kept from an earlier one are loads."""
        wanted = set(self.sinks(number))
        for i in range(len(self.nest.nodes) - 1, -1, -1):
            if i in wanted and not self.reloaded(i, number):
                wanted.update(a for a in self.nest.nodes[i].args if self.lane[a])
        return sorted(wanted)

    def reloaded(self, node: int, number: int) -> bool:
        """Whether a pass loads a node that an earlier one has kept."""
        return node in self.kept and self.ready[node] < number

    def _keep(self) -> None:
        """Find costly lane values that a later pass needs, and results whose places can hold them until then."""
        places = [
            (self.ready[n], k) for n, k in self.nest.stores if self.lane[n] and self.nest.accesses[k].inner == "unit"
        ]
        for number in range(1, self.passes):
            for i in self.needed(number):
                node = self.nest.nodes[i]
                if node.op not in COSTLY or self.ready[i] >= number or i in self.kept:
                    continue
                for ready, k in places:
                    free = k not in self.kept.values() and self.nest.accesses[k].dtype == node.dtype
                    if free and ready >= self._last_use(i):
                        self.kept[i] = k
                        break

    def _hold(self) -> None:
        """Find what later passes of short rows need and would have to compute, or to collect, once more."""
        nodes, accesses = self.nest.nodes, self.nest.accesses

        def dear(i: int) -> bool:
            if nodes[i].op == "load":
                return accesses[nodes[i].attr].inner in ("across", "strided")
            return nodes[i].op in COSTLY or nodes[i].op in _DIVISIONS

        for number in range(1, self.passes):
            wanted = set(self.sinks(number))
            for i in range(len(nodes) - 1, -1, -1):
                if i in wanted:
                    if self.ready[i] < number and dear(i):
                        self.kept[i] = -1
                    else:
                        wanted.update(a for a in nodes[i].args if self.lane[a])

    def first_write(self, access: int) -> int:
        """The pass in which a nest writes to an access first; ``passes`` where it does after all of them."""
        moves = self.nest.accesses[access].moves
        writes = [self.available(n) if moves else self.passes for n, k in self.nest.stores if k == access]
        return min([*writes, *(self.ready[n] for n, k in self.kept.items() if k == access)])

    def last_read(self, access: int) -> int:
        """The pass in which a nest reads an access last; -1 where it does before all of them."""
        reads = [i for i, node in enumerate(self.nest.nodes) if node.op in ("load", "gather") and node.attr == access]
        used = [p for p in range(self.passes) for i in self.needed(p) if i in reads and not self.reloaded(i, p)]
        return max(used, default=-1)

    def _last_use(self, node: int) -> int:
        return max(p for p in range(self.passes) if node in self.needed(p))
