"""From a Program to a plan: nests and products in order, and a place in memory for each value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinygraph.graph import services
from tinygraph.program.ir import Program
from tinygraph.program.lower import Lowering
from tinygraph.program.nested import NestCall, finished
from tinygraph.program.rounds import Rounds, parts
from tinygraph.program.steps import Batch, Call, Group, Product, Scan, Scatter, Step, Storage, Value, View
from tinygraph.program.together import gathered

__all__ = ["NestCall", "Plan", "plan_of", "read", "written"]

#: Every value begins at a multiple of this many bytes.
_ALIGNED = 64


@dataclass
class Plan:
    """What runs, and where values are.

    Attributes
    ----------
    program
        What it does.
    steps
        ``NestCall``, ``Product`` and ``Call``, in order.
    offsets
        For each temporary storage its place in the arena, in bytes, by the storage's number.
    arena
        Bytes of the arena.
    homes
        For storages that are no longer separate, the storage whose memory they use.
    results
        For each output of the Program: its view, or None where only a call by itself knows it.
    updated
        For outputs that are written straight into an input: the position of the output -> that of the input.
    fresh
        Storages that outputs are handed over in, by the position of the output.
    storages
        All of them, by number.
    guards
        Places in the arena behind which nobody may write for the rest of a line and one more; empty where none are
        left free.
    made
        For storages the number of the buffer whose value they hold; memory for intermediate steps is not among them.
    """

    program: Program
    steps: list[Any]
    offsets: dict[int, int]
    arena: int
    homes: dict[int, Storage]
    results: list[View | None]
    updated: dict[int, int]
    fresh: dict[int, int]
    storages: list[Storage]
    guards: list[int]
    made: dict[int, int]

    def __str__(self) -> str:
        return str(services.call("plan_text", self))

    @property
    def fallible(self) -> bool:
        """Whether running it can find an index out of bounds."""
        return any(
            part.nest.checks if isinstance(part, NestCall) else isinstance(part, Scan) and part.plan.fallible
            for step in self.steps
            for part in parts(step)
        )

    def home(self, storage: Storage) -> Storage:
        """The storage whose memory a storage uses."""
        while storage.index in self.homes:
            storage = self.homes[storage.index]
        return storage


def plan_of(
    program: Program,
    targets: Sequence[int | None],
    elementwise: Callable[[str, str], bool],
    guarded: bool = False,
    launched: bool = False,
) -> Plan:
    """Fuse a Program, and give everything a place.

    Parameters
    ----------
    program
        What to run.
    targets
        For each output the position of the input that it is the new value of, None for the others.
    elementwise
        Whether the backend has an elementwise operation on operands of a dtype.
    guarded
        Leave words that nobody may write to behind every temporary, and use no memory twice.
    launched
        Whether steps are launched on a device: small nests that know nothing of one another are one step.
    """
    return _Planner(program, targets, elementwise, launched).plan(guarded)


class _Planner:
    def __init__(
        self,
        program: Program,
        targets: Sequence[int | None],
        elementwise: Callable[[str, str], bool],
        launched: bool,
    ) -> None:
        self.program = program
        self.targets = targets
        self.launched = launched
        self.lowering = Lowering(program, elementwise, launched)
        self.builder = self.lowering.builder
        self.homes: dict[int, Storage] = {}
        self.updated: dict[int, int] = {}
        self.fresh: dict[int, int] = {}

    def plan(self, guarded: bool) -> Plan:
        results = self._results()
        steps = _sunk(self._alive(results))
        self._update(steps, results)
        steps = [s for s in steps if not self._is_void(s)]
        called = [_nested(s, self.launched) for s in steps]
        if self.launched:
            called = self._gathered(called)
        self._share(called, results)
        offsets, size = self._places(called, results)
        storages = self.builder.storages
        guards = []
        if guarded:
            size = 0
            for k in offsets:
                offsets[k] = size
                size += _rounded(storages[k].nbytes) + _ALIGNED
                guards.append(offsets[k] + storages[k].nbytes)
        made: dict[int, int] = {}
        for n, value in self.lowering.values.items():
            if value is not None and value.view is not None:
                made.setdefault(value.view.storage.index, n)
        return Plan(
            self.program, called, offsets, size, self.homes, results, self.updated, self.fresh, storages, guards, made
        )

    # --- results ------------------------------------------------------------------------------------------------------

    def _results(self) -> list[View | None]:
        """The outputs in memory of their own; what belongs to an input, a constant or another output is copied."""
        taken: set[int] = set()
        results: list[View | None] = []
        for n in self.program.outputs:
            value = self.lowering.value(n)
            if value is None:
                results.append(None)
                continue
            view = self.builder.view(value)
            own = view.storage.kind == "temporary" and view.whole and view.storage.index not in taken
            if not own:
                copy = self.builder.temporary(view.dtype, view.shape)
                self.builder.write(Value(view.dtype, view.shape, view=view), copy)
                view = copy
            taken.add(view.storage.index)
            self.fresh[view.storage.index] = len(results)
            results.append(view)
        return results

    def _alive(self, results: Sequence[View | None]) -> list[Step]:
        """The steps that something depends on."""
        wanted = {v.storage.index for v in results if v is not None}
        kept: list[Step] = []
        for step in reversed(self.builder.steps):
            checks = isinstance(step, Group) and any(n.op == "check" for n in step.nodes)
            if isinstance(step, Call) or checks or not wanted.isdisjoint(written(step)):
                kept.append(step)
                wanted.update(read(step))
        return kept[::-1]

    def _update(self, steps: Sequence[Step], results: Sequence[View | None]) -> None:
        """Write new values of shared variables straight over the old ones, where nobody reads these any more."""
        last_failure = max((i for i, s in enumerate(steps) if _can_fail(s)), default=-1)
        first_write: dict[int, int] = {}
        readers: dict[int, list[int]] = {}
        for i, step in enumerate(steps):
            for k in written(step):
                first_write.setdefault(k, i)
            for k in read(step):
                readers.setdefault(k, []).append(i)
        inputs = {s.data: s for s in self.builder.storages if s.kind == "input"}
        for position, (target, view) in enumerate(zip(self.targets, results, strict=True)):
            if target is None or view is None or self.program.inputs.count(self.program.inputs[target]) != 1:
                continue
            storage, old = view.storage, inputs.get(target)
            at = first_write.get(storage.index)
            if old is None or at is None or at <= last_failure or storage.dtype != old.dtype:
                continue
            if storage.size != old.size or self.targets.count(target) != 1:
                continue
            late = [i for i in readers.get(old.index, ()) if i >= at]
            if all(i == at and _elementwise_reads(steps[i], old, view, self.launched) for i in late):
                self.homes[storage.index] = old
                self.updated[position] = target
                del self.fresh[storage.index]

    def _is_void(self, step: Step) -> bool:
        """Whether a step copies something onto itself."""
        if not isinstance(step, Group) or len(step.stores) != 1 or len(step.nodes) != 1:
            return False
        (node, k) = step.stores[0]
        if step.nodes[node].op != "load":
            return False
        source, into = step.operands[step.nodes[node].attr], step.operands[k]
        home = self.homes.get(into.view.storage.index)
        same = source.strides == into.strides and source.view.offset == into.view.offset
        return home is source.view.storage and same

    def _gathered(self, steps: Sequence[Any]) -> list[Any]:
        """The steps with small nests together; none passes one that runs by itself, or the last one that can fail."""
        fallible = max((i for i, s in enumerate(steps) if any(map(_can_fail, parts(s)))), default=-1)
        order: list[Any] = []
        start = 0

        def homes(numbers: Callable[[Any], list[int]]) -> Callable[[Any], set[int]]:
            return lambda step: {self._home(k) for k in numbers(step)}

        for i, step in enumerate(steps):
            alone = isinstance(step, Call)
            if alone or i == fallible:
                order += gathered(steps[start : i + 1 - alone], homes(read), homes(written))
                order += [step] * alone
                start = i + 1
        return order + gathered(steps[start:], homes(read), homes(written))

    # --- memory -------------------------------------------------------------------------------------------------------

    def _home(self, index: int) -> int:
        while index in self.homes:
            index = self.homes[index].index
        return index

    def _share(self, steps: Sequence[Any], results: Sequence[View | None]) -> None:
        """Let a nest write a result over an operand that it is the last to read."""
        last: dict[int, int] = {}
        for i, step in enumerate(steps):
            for k in (*read(step), *written(step)):
                last[self._home(k)] = i
        first: dict[int, int] = {}
        for i in range(len(steps) - 1, -1, -1):
            for k in written(steps[i]):
                first[self._home(k)] = i
        held = {self._home(v.storage.index) for v in results if v is not None}
        storages = self.builder.storages
        for i, step in enumerate(steps):
            if not isinstance(step, NestCall):
                continue
            used: set[int] = set()
            for k, into in enumerate(step.operands):
                new = into.view.storage
                if into.role != "store" or new.kind != "temporary" or new.index in self.homes or not into.view.whole:
                    continue
                if first[new.index] != i or new.index in held:
                    continue
                for j, source in enumerate(step.operands):
                    if source.role != "load":
                        continue
                    old = storages[self._home(source.view.storage.index)]
                    free = old.kind == "temporary" and old.index not in held and last[old.index] == i
                    if not free or old.index in used or old.nbytes != new.nbytes or not source.view.whole:
                        continue
                    if old.dtype == new.dtype and _may_overwrite(step, k, j, self._home):
                        used.add(old.index)
                        self.homes[new.index] = old
                        last[old.index] = max(i, last.get(new.index, i))
                        break

    def _places(self, steps: Sequence[Any], results: Sequence[View | None]) -> tuple[dict[int, int], int]:
        """A place in the arena for each temporary storage; what is needed at the same time is in different places."""
        storages = self.builder.storages
        outside = set(self.fresh)
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for i, step in enumerate(steps):
            for k in (*read(step), *written(step)):
                k = self._home(k)
                if storages[k].kind == "temporary" and k not in outside:
                    first.setdefault(k, i)
                    last[k] = i
        offsets: dict[int, int] = {}
        size = 0
        free: list[tuple[int, int]] = []  # gaps: (offset, bytes), by offset
        ending: dict[int, list[int]] = {}
        for k, i in last.items():
            ending.setdefault(i, []).append(k)
        starting: dict[int, list[int]] = {}
        for k, i in first.items():
            starting.setdefault(i, []).append(k)
        for i in range(len(steps)):
            for k in sorted(starting.get(i, ()), key=lambda k: -storages[k].nbytes):
                need = _rounded(storages[k].nbytes)
                fitting = [gap for gap in free if gap[1] >= need]
                if fitting:
                    gap = min(fitting, key=lambda gap: gap[1])
                    free.remove(gap)
                    offsets[k] = gap[0]
                    if gap[1] > need:
                        free.append((gap[0] + need, gap[1] - need))
                else:
                    tail = next((gap for gap in free if gap[0] + gap[1] == size), None)
                    if tail is not None:
                        free.remove(tail)
                        size = tail[0]
                    offsets[k] = size
                    size += need
            for k in ending.get(i, ()):
                _released(free, offsets[k], _rounded(storages[k].nbytes))
        return offsets, size


def _released(free: list[tuple[int, int]], start: int, size: int) -> None:
    """Add a gap, joined with its neighbours."""
    for gap in list(free):
        if gap[0] + gap[1] == start:
            free.remove(gap)
            start, size = gap[0], size + gap[1]
        elif start + size == gap[0]:
            free.remove(gap)
            size += gap[1]
    free.append((start, size))


def _rounded(size: int) -> int:
    return -(-max(size, 1) // _ALIGNED) * _ALIGNED


def read(step: Any) -> list[int]:
    """Numbers of the storages that a step reads."""
    if isinstance(step, (Rounds, Batch)):
        return [k for part in parts(step) for k in read(part)]
    if isinstance(step, Product):
        views = [step.x, step.y]
        if isinstance(step.alpha, View):
            views.append(step.alpha)
        if step.beta:
            views.append(step.out)
        return [v.storage.index for v in views]
    if isinstance(step, Scatter):
        return [v.storage.index for v in (step.out, step.values, step.places)]
    if isinstance(step, Call):
        return [v.storage.index for v in step.inputs if isinstance(v, View)]
    if isinstance(step, Scan):
        return [b.view.storage.index for b in step.bindings]
    return [o.view.storage.index for o in step.operands if o.role in ("load", "gather")]


def written(step: Any) -> list[int]:
    """Numbers of the storages that a step writes to."""
    if isinstance(step, (Rounds, Batch)):
        return [k for part in parts(step) for k in written(part)]
    if isinstance(step, Product):
        return [step.out.storage.index]
    if isinstance(step, Scatter):
        return [step.out.storage.index, step.workspace.index]
    if isinstance(step, Call):
        return []
    if isinstance(step, Scan):
        over = step.plan.updated.values()
        return [b.view.storage.index for b in step.bindings if not b.read or b.position in over] + [
            step.workspace.index
        ]
    return [o.view.storage.index for o in step.operands if o.role == "store"]


def _can_fail(step: Any) -> bool:
    if isinstance(step, Scan):
        return bool(step.plan.fallible)
    if isinstance(step, NestCall):
        return step.nest.checks
    return isinstance(step, Call) or (
        isinstance(step, Group) and any(n.op in ("check", "pick", "gather") for n in step.nodes)
    )


def _sunk(steps: list[Step]) -> list[Step]:
    """The steps with those that can fail as early as possible, so that nothing has been overwritten when they do."""
    last = max((i for i, s in enumerate(steps) if _can_fail(s)), default=-1)
    if last < 0:
        return steps
    needed: set[int] = set()
    early: set[int] = set()
    for i in range(last, -1, -1):
        if _can_fail(steps[i]) or not needed.isdisjoint(written(steps[i])):
            early.add(i)
            needed.update(read(steps[i]))
    order = [s for i, s in enumerate(steps[: last + 1]) if i in early]
    order += [s for i, s in enumerate(steps[: last + 1]) if i not in early]
    return order + steps[last + 1 :]


def _elementwise_reads(step: Step, old: Storage, new: View, launched: bool) -> bool:
    """Whether a step reads ``old`` only where it writes ``new``, each element before it is written."""
    if not isinstance(step, Group):
        return False
    into = [o for o in step.operands if o.role == "store" and o.view.storage is new.storage]
    if len(into) != 1 or not new.whole:
        return False
    for o in step.operands:
        if o.role == "gather" and o.view.storage is old:
            return False
        apart = o.strides != into[0].strides or o.view.offset != into[0].view.offset
        if o.role == "load" and o.view.storage is old and apart:
            return False
    call = finished(step, launched)
    k = next(i for i, o in enumerate(call.operands) if o.role == "store" and o.view.storage is new.storage)
    loads = [i for i, o in enumerate(call.operands) if o.role == "load" and o.view.storage is old]
    return all(_in_time(call, k, j) for j in loads)


def _may_overwrite(call: NestCall, store: int, load: int, home: Callable[[int], int]) -> bool:
    """Whether a nest may write to the memory that one of its operands is in."""
    same = home(call.operands[load].view.storage.index)
    for j, o in enumerate(call.operands):
        if j == store or o.role == "index" or home(o.view.storage.index) != same:
            continue
        if o.role != "load" or call.strides[j] != call.strides[store]:
            return False
        if o.view.offset != call.operands[store].view.offset or not _in_time(call, store, j):
            return False
    return True


def _in_time(call: NestCall, store: int, load: int) -> bool:
    """Whether each element is read for the last time before it is overwritten."""
    nest = call.nest
    if nest.accesses[store].moves != nest.accesses[load].moves:
        return False
    return nest.schedule.last_read(load) <= nest.schedule.first_write(store)


def _nested(step: Any, launched: bool) -> Any:
    """A step with its groups as nests."""
    if isinstance(step, Rounds):
        return Rounds(step.count, [_nested(inner, launched) for inner in step.body], step.parts, step.fixed)
    return finished(step, launched) if isinstance(step, Group) else step
