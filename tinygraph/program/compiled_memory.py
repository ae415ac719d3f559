"""How much memory a compiled plan takes, and who holds it."""

from __future__ import annotations

from tinygraph.program.memory import Holder, MemoryPlan, described, kinds
from tinygraph.program.plan import Plan, read, written
from tinygraph.program.steps import Storage

__all__ = ["compiled_memory"]


def compiled_memory(plan: Plan, copies: int = 0) -> MemoryPlan:
    """The memory that a call of a compiled plan takes.

    A call holds its outputs, and the arena, whose size does not change; the arena itself is kept from call to call. The
    holders are what lies in the arena when it is fullest, and the outputs. Instructions run by themselves may take
    more while they run; their results are counted.

    Parameters
    ----------
    plan
        What runs.
    copies
        Bytes that products copy their operands to.
    """
    inside = _alive(plan)
    sizes = [sum(s.nbytes for s in alive) for alive in inside]
    at = max(range(len(sizes)), key=sizes.__getitem__, default=0)
    outputs = {plan.home(plan.storages[k]).index: plan.home(plan.storages[k]) for k in plan.fresh}
    fresh = [s for s in outputs.values() if s.kind != "input"]
    loose = [sum(s.nbytes for s in alive if s.kind == "result") for alive in inside]
    holders = [_holder(plan, s) for s in (*fresh, *(inside[at] if inside else ()))]
    if copies:
        holders.append(Holder(-1, copies, "copies of operands of products", ""))
    program = plan.program
    counted = kinds(program)
    return MemoryPlan(
        plan.arena + copies + sum(s.nbytes for s in fresh) + max(loose, default=0),
        at,
        tuple(sorted(holders, key=lambda h: -h.nbytes)),
        counted["input"],
        counted["shared"],
        counted["constant"],
        sum(program.buffers[n].nbytes or 0 for n in program.outputs),
        tuple(n for step in program.instructions for n in step.outputs if program.buffers[n].nbytes is None),
        f"step {at} of {len(plan.steps)}",
    )


def _alive(plan: Plan) -> list[list[Storage]]:
    """For each step the temporaries, and the results of single instructions, that are needed then or later."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, step in enumerate(plan.steps):
        for k in (*read(step), *written(step)):
            n = plan.home(plan.storages[k]).index
            first.setdefault(n, i)
            last[n] = i
    kept = [plan.storages[n] for n in first if n in plan.offsets or plan.storages[n].kind == "result"]
    return [[s for s in kept if first[s.index] <= i <= last[s.index]] for i in range(len(plan.steps))]


def _holder(plan: Plan, storage: Storage) -> Holder:
    n = plan.made.get(storage.index)
    if n is None:
        return Holder(-1, storage.nbytes, f"{storage.dtype} numbers on the way to a result", "")
    return Holder(n, storage.nbytes, *described(plan.program, n))
