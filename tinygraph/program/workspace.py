"""The memory that one operation takes and gives back while it runs, found by trying it on small stand-ins."""

from __future__ import annotations

import math
import threading
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.linalg import MatMul
from tinygraph.program.ir import Buffer, Instruction, Program

__all__ = ["workspace"]

#: Elements of the largest stand-in, for the two that are tried.
_SMALL, _LARGE = 2**14, 2**17

#: How many results are kept.
_KEPT = 4096
_known: dict[Any, int] = {}
_lock = threading.Lock()


def workspace(step: Instruction, program: Program) -> int:
    """Bytes that an instruction needs beside its inputs and outputs while it runs; 0 where that cannot be found out.

    Arrays of the shapes of its operands, or smaller ones of the same proportions, are handed to ``compute``, and what
    it allocates is watched. What is found for small arrays is continued in a straight line.
    """
    buffers = [program.buffers[n] for n in (*step.inputs, *step.outputs)]
    if _is_direct(step) or not all(b.type.known for b in buffers):
        return 0
    key = (step.op, *((b.type, b.value.tobytes() if _is_size(b) else None) for b in buffers))
    if key not in _known:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = _estimated(step, buffers)
    return _known[key]


def _is_direct(step: Instruction) -> bool:
    """Whether the operation is one array call that needs nothing, or cannot be tried."""
    op: Any = step.op
    direct = isinstance(op, MatMul) or (isinstance(op, Elementwise) and isinstance(op.spec.compute, str))
    return direct or op.view or op.effects or op.chooses or bool(step.inner)


def _estimated(step: Instruction, buffers: Sequence[Buffer]) -> int:
    largest = max(math.prod(_extents(b)) for b in buffers)
    whole = sum(b.nbytes or 0 for b in buffers)
    if largest <= _LARGE:
        return max(0, _tried(step, buffers, math.inf)[0])
    (few, size), (more, larger) = (_tried(step, buffers, limit) for limit in (_SMALL, _LARGE))
    if few < 0 or more < 0 or larger <= size:
        return 0
    slope = (more - few) / (larger - size)
    return max(0, round(more + slope * (whole - larger)))


def _tried(step: Instruction, buffers: Sequence[Buffer], limit: float) -> tuple[int, int]:
    """Bytes that one trial needed beside its arrays, -1 where it failed, and those of its arrays."""
    smaller = _smaller(buffers, limit)
    inputs = [_stand_in(b, smaller) for b in buffers[: len(step.inputs)]]
    with _lock, arrays.ignore_floating_point():
        mine = not tracemalloc.is_tracing()
        if mine:
            tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            result = step.op.compute(arrays.get("numpy"), *inputs)
            peak = tracemalloc.get_traced_memory()[1] - before
        except (ValueError, TypeError, ArithmeticError, IndexError):  # it does not take stand-ins
            return -1, 0
        finally:
            if mine:
                tracemalloc.stop()
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    own = sum(np.asarray(x).nbytes for x in outputs)
    return max(0, peak - own), own + sum(x.nbytes for x in inputs)


def _smaller(buffers: Sequence[Buffer], limit: float) -> dict[int, int]:
    """What stands for each extent, so that no array is larger than the limit: the same for equal extents."""
    extents = sorted({n for b in buffers for n in _extents(b)}, reverse=True)
    cap = extents[0] if extents else 0
    while True:
        mapped = {n: min(n, cap) for n in extents}
        if max((math.prod(mapped[n] for n in _extents(b)) for b in buffers), default=0) <= limit:
            return mapped
        cap = max(1, cap * 7 // 8)


def _extents(buffer: Buffer) -> tuple[int, ...]:
    return tuple(n or 0 for n in buffer.type.shape)


def _is_size(buffer: Buffer) -> bool:
    """Whether it is a small constant of integers: a shape, a number of rows, a bound."""
    return buffer.value is not None and buffer.value.dtype.kind in "iu" and buffer.value.size <= 64


def _stand_in(buffer: Buffer, smaller: dict[int, int]) -> Any:
    if _is_size(buffer):
        flat = [smaller.get(int(n), int(n)) for n in buffer.value.reshape(-1)]
        return np.array(flat, dtype=buffer.type.dtype).reshape(buffer.value.shape)
    shape = tuple(smaller[n] for n in _extents(buffer))
    return np.full(shape, 0.5 if buffer.type.dtype.startswith("float") else 0, dtype=buffer.type.dtype)
