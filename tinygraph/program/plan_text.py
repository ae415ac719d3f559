"""A plan as text: what is fused, what a step costs, and what is written over what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.graph import services
from tinygraph.program.cost import Cost
from tinygraph.program.memory import bytes_text
from tinygraph.program.plan import NestCall, Plan
from tinygraph.program.rounds import Rounds
from tinygraph.program.steps import Batch, Call, Product, Scan, Scatter, View
from tinygraph.program.text import cost_text

__all__ = ["plan_text", "step_cost"]

_SILENT = ("load", "index", "const", "cast")


def step_cost(step: Any) -> Cost:
    """Floating-point operations and bytes of a step; of what runs several times those of all its turns.

    An operation on an element counts as one, and every operand is read and every result written once.
    """
    if isinstance(step, NestCall):
        flops = sum(n.op not in _SILENT for n in step.nest.nodes) * step.elements
        moved = 0
        for operand, strides in zip(step.operands, step.strides, strict=True):
            places = math.prod(n for n, s in zip(step.extents, strides, strict=True) if s)
            moved += 0 if operand.role == "index" else places * np.dtype(operand.view.dtype).itemsize
        return Cost(flops, moved)
    if isinstance(step, Product):
        (stack, rows, inner), columns = step.x.shape, step.y.shape[2]
        size = np.dtype(step.out.dtype).itemsize
        elements = rows * inner + inner * columns + rows * columns * (2 if step.beta else 1)
        return Cost(2 * stack * rows * inner * columns, stack * elements * size)
    if isinstance(step, Scatter):
        elements, size = math.prod(step.values.shape), np.dtype(step.out.dtype).itemsize
        return Cost(0 if step.set else elements, elements * size * (2 if step.set else 3) + 4 * step.places.shape[0])
    if isinstance(step, Scan):
        turn = sum((step_cost(s) for s in step.plan.steps), Cost(0, 0))
        return Cost(step.count * turn.flops, step.count * turn.bytes)
    return Cost(0, 0)


def plan_text(plan: Plan) -> str:
    """One line for each step, then where results are and the size of the arena."""
    lines = _lines(plan.steps, plan)
    updated = [f"%{plan.program.outputs[i]} over %{plan.program.inputs[t]}" for i, t in plan.updated.items()]
    if updated:
        lines.append(f"in place: {', '.join(updated)}")
    lines.append(f"# {len(plan.steps)} steps, arena {bytes_text(plan.arena)}")
    return "\n".join(lines)


def _lines(steps: Sequence[Any], plan: Plan) -> list[str]:
    lines = []
    for step in steps:
        spent = step_cost(step)
        cost = f"  # {cost_text(spent)}" if spent.bytes else ""
        lines.append(f"{_described(step, plan)}{cost}")
        if isinstance(step, Scan):
            lines += [f"    {line}" for line in _lines(step.plan.steps, step.plan)]
        if isinstance(step, Batch):
            lines += [f"    {line}" for line in _lines(step.calls, plan)]
    return lines


def _described(step: Any, plan: Plan) -> str:
    if isinstance(step, NestCall):
        counted = Counter(n.attr if n.op == "reduce" else n.op for n in step.nest.nodes if n.op not in _SILENT)
        body = ", ".join(f"{n} {op}" if n > 1 else op for op, n in counted.items()) or "copy"
        over = [_place(o.view, plan) for o in step.operands if o.role == "store"]
        kind = "vertical nest" if step.nest.vertical else "nest"
        return f"{kind} {'×'.join(map(str, step.extents))}: {body} -> {', '.join(over)}"
    if isinstance(step, Product):
        scale = "" if not isinstance(step.alpha, View) and step.alpha == 1 else "α · "
        also = " + out" if step.beta else ""
        x, y = ("×".join(map(str, v.shape[v.shape[0] == 1 :])) for v in (step.x, step.y))
        return f"product {scale}{x} · {y}{also} -> {_place(step.out, plan)}"
    if isinstance(step, Scan):
        return f"loop of {step.count} turns"
    if isinstance(step, Scatter):
        to, what = ("×".join(map(str, v.shape)) for v in (step.out, step.values))
        return f"scatter {what} {'over' if step.set else 'to'} {to} -> {_place(step.out, plan)}"
    if isinstance(step, Rounds):
        return "rounds over images"
    if isinstance(step, Batch):
        return f"{len(step.calls)} nests together"
    assert isinstance(step, Call)
    return f"by itself: {plan.program.instructions[step.position].op}"


def _place(view: View, plan: Plan) -> str:
    home = plan.home(view.storage)
    if home.kind == "input":
        return f"%{plan.program.inputs[home.data]}"
    return f"output {plan.fresh[home.index]}" if home.index in plan.fresh else f"m{home.index}"


services.provide("plan_text", plan_text)
