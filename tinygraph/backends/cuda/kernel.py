"""How a nest is spread over threads: which form of kernel, how many threads a row, how wide a load, how many blocks.

Everything here follows from the nest, its extents and its strides alone, never from the device or how busy it is: sums
are added up in one order, and results are the same bits from call to call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinygraph.errors import BackendError
from tinygraph.program.nest import Nest
from tinygraph.program.plan import NestCall, Plan
from tinygraph.program.rounds import Moving, parts
from tinygraph.program.steps import Scan, View

__all__ = ["ALIGNED", "BLOCK", "Code", "Kernel", "Launch", "launches_of", "launches_of_nest", "words_of"]

#: Storages of a function begin at multiples of so many bytes.
ALIGNED = 16

#: Threads in a block, where a row does not ask for more; threads of a warp.
BLOCK = 128
WARP = 32

#: Threads that share a row, at most, where each holds its part in registers, and where it runs over it in a loop.
_HELD, _LOOPING = 1024, 512

#: Bytes that one thread loads at once, and elements.
_BYTES, _ELEMENTS = 16, 8

#: Bytes that the threads of a block can share.
_SHARED = 48 << 10

#: Blocks from which on what is written to the same places is done in turns.
_BLOCKS = 16

#: From so many sums on, columns are added up by one thread each.
_MANY = 1 << 18


#: Bytes of arguments that are passed by value; more of them lie in a table on the device.
_BY_VALUE = 4096


class Code:
    """What a kernel's text follows from.

    Attributes
    ----------
    form
        What it is, in a word.
    threads
        Threads of a block.
    count
        Words of arguments.
    """

    form: str

    @property
    def threads(self) -> int:
        raise NotImplementedError

    @property
    def count(self) -> int:
        raise NotImplementedError

    @property
    def parts(self) -> tuple[Code, ...]:
        """What different blocks do."""
        return (self,)

    @property
    def by_value(self) -> bool:
        """Whether the arguments are passed by value, not as the address of a table."""
        return 8 * self.count <= _BY_VALUE


@dataclass(frozen=True)
class Kernel(Code):
    """A nest and how threads share it.

    Attributes
    ----------
    nest
        What is computed.
    form
        ``map`` (a thread for each vector of elements), ``turns`` (the same, but a block does all that is written to the
        same places, one box after the other), ``rows`` (a group of threads for each row) or ``columns`` (a thread for
        each kept column, or several that share its rows).
    vector
        Elements that a thread loads and stores at once.
    group
        Threads that share a row, or a column.
    held
        Each thread of a group has one vector of the row, in registers from pass to pass.
    wide
        Elements are counted in 64 bits.
    lead
        In turns the number of outer axes along which blocks lie.
    tile
        Columns of a block.
    """

    nest: Nest
    form: str
    vector: int = 1
    group: int = 1
    held: bool = False
    wide: bool = False
    lead: int = 0
    tile: int = 0

    @property
    def threads(self) -> int:
        if self.form == "turns":
            return 2 * BLOCK
        if self.form == "columns":
            return self.tile * self.group
        return (
            self.group if self.group > WARP else BLOCK
        )  # several warps have their block, and its memory, to themselves

    @property
    def count(self) -> int:
        return self.nest.slots.count + (self.nest.axes if self.form == "turns" else 0)


@dataclass(frozen=True)
class Launch:
    """A kernel on part of a nest's places, as a rule all of them.

    Attributes
    ----------
    kernel
        What runs.
    blocks
        How many; 0 where there is nothing to compute.
    starts, extents
        The part: the first place along each axis, and how many there are.
    sides
        Of turns: the extents of boxes in which no two places are the same.
    """

    kernel: Code
    blocks: int
    starts: tuple[int, ...]
    extents: tuple[int, ...]
    sides: tuple[int, ...] = ()


def launches_of(plan: Plan, aligned: Mapping[int, int] | None = None) -> Iterator[tuple[NestCall, list[Launch]]]:
    """The nests of a plan, and of the plans of its loops, with the launches of each, in order.

    ``aligned`` has the alignment of storages that do not begin at multiples of ``ALIGNED`` bytes, by their numbers.
    """

    def alignment(view: View) -> int:
        storage = plan.home(view.storage)
        item = np.dtype(view.dtype).itemsize
        steps = view.steps if isinstance(view, Moving) else ()
        return math.gcd((aligned or {}).get(storage.index, ALIGNED), *(n * item for n in (view.offset, *steps)))

    for step in plan.steps:
        if isinstance(step, Scan):
            inside: dict[int, int] = {}
            for b in step.bindings:
                row = math.gcd(alignment(b.view), b.stride * np.dtype(b.view.dtype).itemsize)
                for number in bound(step.plan, b.position, b.read):
                    inside[number] = row
            yield from launches_of(step.plan, inside)
            continue
        for part in parts(step):
            if isinstance(part, NestCall):
                yield part, launches_of_nest(part, alignment)


def bound(plan: Plan, position: int, read: bool) -> list[int]:
    """The number of the storage of an input or an output of a plan; none where it does not use it."""
    if read:
        return [s.index for s in plan.storages if s.kind == "input" and s.data == position]
    view = plan.results[position]
    return [] if view is None else [view.storage.index]


def launches_of_nest(call: NestCall, alignment: Callable[[View], int] | None = None) -> list[Launch]:
    """How a nest of these sizes is run; ``alignment`` says at multiples of how many bytes a view begins.

    A nest that writes to some places several times, as when overlapping windows are added up, does so in turns; where
    nothing keeps blocks apart it becomes several launches, each of which writes to a place once.
    """
    extents, nest = call.extents, call.nest
    whole = [_launch(call, (0,) * len(extents), extents, alignment, True)]
    if 0 in extents:
        return whole
    free = len(extents) if _is_map(call) else nest.outer
    sides = list(extents)
    for k, access in enumerate(nest.accesses):
        if access.role == "store":
            steps = call.strides[k]
            apart = _apart(extents, steps)
            if any(side < n for side, n, s in zip(apart[free:], extents[free:], steps[free:], strict=True) if s):
                raise BackendError("a kernel would write to a place from several threads", actual=str(nest))
            sides[:free] = map(min, sides[:free], apart[:free])
    if tuple(sides) == extents:
        return whole
    lead = _lead(call)
    if lead and math.prod(extents[:lead]) >= _BLOCKS:
        vector = _vector(call, alignment, whole=True)
        while sides[-1] % vector:
            vector //= 2
        kernel = Kernel(nest, "turns", vector, wide=_is_wide(call), lead=lead)
        return [Launch(kernel, math.prod(extents[:lead]), (0,) * len(extents), extents, tuple(sides))]
    made: list[Launch] = []
    for starts in itertools.product(*(range(0, n, side) for n, side in zip(extents, sides, strict=True))):
        part = tuple(min(side, n - i) for i, n, side in zip(starts, extents, sides, strict=True))
        made.append(_launch(call, starts, part, None, False))
    return made


def _lead(call: NestCall) -> int:
    """The number of outer axes such that no two places that differ along them are the same; 0 where there are none."""
    nest = call.nest
    if not _is_map(call) or any(a.role == "store" and not a.moves for a in nest.accesses):
        return 0
    stores = [call.strides[k] for k, a in enumerate(nest.accesses) if a.role == "store"]
    for i in range(nest.outer):
        for steps in stores:
            reach = sum((n - 1) * abs(s) for n, s in zip(call.extents[i + 1 :], steps[i + 1 :], strict=True))
            if abs(steps[i]) <= reach and call.extents[i] > 1:
                return i
    return nest.outer


def _is_wide(call: NestCall) -> bool:
    return math.prod(call.extents) >= 1 << 30 or call.total >= 1 << 30


def _is_map(call: NestCall) -> bool:
    """Whether a nest computes each element by itself."""
    nest = call.nest
    crossing = any(n.op in ("reduce", "pick") for n in nest.nodes)
    return not (crossing or nest.vertical or nest.flat) and nest.schedule.passes == 1 and nest.reduced == 1


def _apart(extents: Sequence[int], strides: Sequence[int]) -> list[int]:
    """The sides of boxes within which no two places have the same address, as large as is easily found."""
    sides = [n if s else 1 for n, s in zip(extents, strides, strict=True)]
    order = sorted((i for i, n in enumerate(sides) if n > 1), key=lambda i: (abs(strides[i]), extents[i]))
    for at, axis in enumerate(order):
        step = abs(strides[axis])
        smaller = order[:at]
        # What the axes with smaller steps reach must end before the next place along this one.
        for i in reversed(smaller):
            reach = sum((sides[j] - 1) * abs(strides[j]) for j in smaller)
            if reach < step:
                break
            rest = reach - (sides[i] - 1) * abs(strides[i])
            sides[i] = max(1, (step - 1 - rest) // abs(strides[i]) + 1)
    return sides


def _launch(
    call: NestCall,
    starts: tuple[int, ...],
    extents: tuple[int, ...],
    alignment: Callable[[View], int] | None,
    vectors: bool,
) -> Launch:
    nest = call.nest
    wide = _is_wide(call)
    if nest.vertical:
        columns, count = math.prod(extents[: nest.outer]), extents[nest.outer]
        rows = math.prod(extents[nest.outer + 1 :])
        narrow = max(4, 1 << (count - 1).bit_length())
        tile, group = min(narrow, WARP), 8 if rows < 128 else 16
        if rows < 16 or (columns * count >= _MANY and narrow >= WARP):
            tile, group = min(max(narrow, WARP), BLOCK), 1
        elif tile < WARP:
            # Neighbours in memory are those of the next row: more of a block's threads share a column.
            group = min(group * WARP // tile, 64, 1 << rows.bit_length() - 1)
        reductions = sum(n.op in ("reduce", "pick") for n in nest.nodes)
        while 8 * tile * group * reductions > _SHARED and group > 1:
            group //= 2
        kernel = Kernel(nest, "columns", 1, group, False, wide, 0, tile)
        return Launch(kernel, columns * -(-count // kernel.tile), starts, extents)
    if _is_map(call):
        vector = _vector(call, alignment, whole=nest.outer > 0) if vectors else 1
        total = math.prod(extents[:-1]) * -(-extents[-1] // vector)
        return Launch(Kernel(nest, "map", vector, 1, False, wide), -(-total // BLOCK), starts, extents)
    vector = _vector(call, alignment, whole=True) if vectors else 1
    rows, length = math.prod(extents[: nest.outer]), math.prod(extents[nest.outer :])
    share = -(-length // vector)
    held = share <= _HELD and not nest.flat
    group = 1 << max(share - 1, 0).bit_length() if held else _LOOPING
    kernel = Kernel(nest, "rows", vector, group, held, wide)
    return Launch(kernel, -(-rows // (kernel.threads // group)), starts, extents)


def _vector(call: NestCall, alignment: Callable[[View], int] | None, whole: bool) -> int:
    """Elements that can be loaded at once: all operands whose neighbours are side by side lie at multiples of that.

    ``whole`` says that the lanes' extent must be a multiple, too.
    """
    nest = call.nest
    units = [k for k, a in enumerate(nest.accesses) if a.inner == "unit" and a.role in ("load", "store") and a.moves]
    if not units:
        return 1
    largest = max(np.dtype(nest.accesses[k].dtype).itemsize for k in units)
    vector = min(_BYTES // largest, _ELEMENTS)
    length = call.total if nest.flat else call.extents[-1]
    lane = nest.axes - 1

    def fits(vector: int) -> bool:
        if whole and length % vector:
            return False
        for k in units:
            moving = [s for i, s in enumerate(call.strides[k]) if i != lane and call.extents[i] > 1]
            view = call.operands[k].view
            begins = view.offset * np.dtype(view.dtype).itemsize if alignment is None else alignment(view)
            if begins % (vector * np.dtype(view.dtype).itemsize) or any(s % vector for s in moving):
                return False
        return length >= vector

    while vector > 1 and not fits(vector):
        vector //= 2
    return vector


def words_of(
    call: NestCall, launch: Launch, addresses: Sequence[int], error: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The arguments of a kernel, laid out as ``Slots`` says.

    Parameters
    ----------
    call, launch
        The nest with its operands, and which part of it is computed.
    addresses
        Of the first element of each access; of counters nothing.
    error
        The address of the word that is set where an index is out of bounds.
    """
    nest, slots = call.nest, call.nest.slots
    words = np.zeros(launch.kernel.count, dtype="int64")
    words[slots.count :] = launch.sides
    for k, (operand, access) in enumerate(zip(call.operands, nest.accesses, strict=True)):
        counter = access.role == "index"
        size = 1 if counter else np.dtype(access.dtype).itemsize
        moved = sum(i * s for i, s in zip(launch.starts, call.strides[k], strict=True))
        words[k] = operand.view.offset + moved if counter else addresses[k] + moved * size
        for axis, stride in enumerate(call.strides[k]):
            words[slots.strides[k] + axis] = stride * size
        for d, (extent, stride) in enumerate(operand.dims):
            words[slots.dims[k] + 2 * d] = extent
            words[slots.dims[k] + 2 * d + 1] = stride * size
    words[slots.extents : slots.extents + nest.axes] = launch.extents
    if nest.flat:
        words[slots.piece] = call.total
    words[slots.error] = error
    return words
