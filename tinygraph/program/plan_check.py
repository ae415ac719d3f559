"""A plan held against its own rules: a check for tests, since only a fault of the planner breaks them."""

from __future__ import annotations

from tinygraph.program.ir import ProgramError
from tinygraph.program.nest import Nest
from tinygraph.program.plan import NestCall, Plan, read, written
from tinygraph.program.rounds import Rounds, parts
from tinygraph.program.steps import Batch, Call, Scan, Storage

__all__ = ["verify_plan"]


def verify_plan(plan: Plan) -> None:
    """Check the plan, and those of its loops.

    Values are written before they are read; what is alive at the same time does not share memory; an input is written
    to only where it is a target, after the last step that can fail, and is not read by later steps; the nodes of a
    nest come after their arguments, and its accesses and strides are as many as its axes ask for.

    Raises
    ------
    ProgramError
        Naming the step that breaks a rule.
    """
    known = {s.index for s in plan.storages if s.kind in ("input", "constant", "result")}
    targets = set(plan.updated.values())
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    overwritten: dict[int, int] = {}
    for i, step in enumerate(plan.steps):
        where = f"step {i}"
        for k in read(step):
            home = plan.home(plan.storages[k])
            if home.index not in known and home.index not in first and not isinstance(step, (Scan, Rounds)):
                raise ProgramError(f"{where} reads {home} before it is written")
            if home.kind == "input" and plan.storages[k] is home and overwritten.get(home.data, i) != i:
                raise ProgramError(f"{where} reads {home}, which step {overwritten[home.data]} has overwritten")
        for k in written(step):
            home = plan.home(plan.storages[k])
            if home.kind == "input":
                if home.data not in targets:
                    raise ProgramError(f"{where} writes to {home}, which is no target")
                overwritten.setdefault(home.data, i)
            elif home.kind != "temporary":
                raise ProgramError(f"{where} writes to {home}")
        for k in (*read(step), *written(step)):
            home = plan.home(plan.storages[k])
            if home.kind == "temporary":
                first.setdefault(home.index, i)
                last[home.index] = i
        nests = [part for part in parts(step) if isinstance(part, NestCall)]
        if overwritten and (isinstance(step, Call) or any(call.nest.checks for call in nests)):
            raise ProgramError(f"{where} can fail after an input was overwritten")
        for call in nests:
            _verify_nest(call.nest, call, where)
        if isinstance(step, Batch):
            _verify_batch(step, plan, where)
        if isinstance(step, Scan):
            verify_plan(step.plan)
    _verify_places(plan, first, last)


def _verify_batch(batch: Batch, plan: Plan, where: str) -> None:
    """No nest writes to what another one reads or writes."""
    users: dict[int, set[int]] = {}
    for i, call in enumerate(batch.calls):
        for k in (*read(call), *written(call)):
            users.setdefault(plan.home(plan.storages[k]).index, set()).add(i)
    for call in batch.calls:
        for k in written(call):
            home = plan.home(plan.storages[k])
            if len(users[home.index]) > 1:
                raise ProgramError(f"{where}: nests that run at the same time share {home}, and one writes to it")


def _verify_nest(nest: Nest, call: NestCall, where: str) -> None:
    for i, node in enumerate(nest.nodes):
        if any(a >= i for a in node.args):
            raise ProgramError(f"{where}: node {i}, {node.op}, comes before its arguments")
    if len(call.extents) != nest.axes or any(len(s) != nest.axes for s in call.strides):
        raise ProgramError(f"{where}: {len(call.extents)} extents for {nest.axes} axes")
    if not len(call.operands) == len(call.strides) == len(nest.accesses):
        raise ProgramError(f"{where}: {len(call.operands)} operands for {len(nest.accesses)} accesses")


def _verify_places(plan: Plan, first: dict[int, int], last: dict[int, int]) -> None:
    """No two temporaries in the arena that are alive at the same time overlap, and all are inside."""
    alive: list[Storage] = []
    for storage in sorted((plan.storages[k] for k in plan.offsets if k in first), key=lambda s: first[s.index]):
        start = plan.offsets[storage.index]
        if start + storage.nbytes > plan.arena:
            raise ProgramError(f"{storage} ends behind the arena")
        alive = [other for other in alive if last[other.index] >= first[storage.index]]
        for other in alive:
            place = plan.offsets[other.index]
            if start < place + other.nbytes and place < start + storage.nbytes:
                raise ProgramError(f"{storage} and {other} are alive together in one place")
        alive.append(storage)
