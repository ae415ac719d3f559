"""Who computes what: how nests, products and rounds are divided among threads, and what memory that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygraph.backends.native import gemm, gemv
from tinygraph.program.rounds import Rounds
from tinygraph.program.steps import Product, Scan

__all__ = ["SHARED", "copies", "cut_of", "division", "parts", "product_work"]

#: Work, in nodes times elements, from which threads share a nest or a product; of a part, at least, where there is more
#: than one for each thread; and how many there are for each, at most.
SHARED, _PART, _PARTS = 150_000, 70_000, 8

#: Floating-point operations of a product that take as long as one node on one element.
_FLOPS = 8


def parts(work: int, threads: int) -> int:
    """In how many parts threads share work: as many for each, and more than one where there is much."""
    return threads * max(1, min(work // (_PART * threads), _PARTS))


def division(step: Rounds, threads: int) -> tuple[int, int]:
    """In how many parts rounds are divided, and how many rounds each has."""
    wanted = step.parts if step.fixed else min(step.parts, threads)
    each = -(-step.count // wanted)
    return -(-step.count // each), each


def product_work(product: Product) -> int:
    """The work of a product, in nodes times elements."""
    stack, rows, inner = product.x.shape
    return 2 * stack * rows * inner * product.y.shape[2] // _FLOPS


def cut_of(product: Product, threads: int) -> gemm.Cut:
    """How a product of matrices is computed by so many threads."""
    x, y, out = product.x, product.y, product.out
    stack, rows, inner = x.shape
    size = np.dtype(out.dtype).itemsize
    strides = [tuple(s * size for s in v.strides) for v in (x, y, out)]
    work = product_work(product)
    wanted = parts(work, threads) if threads > 1 and work > SHARED else 1
    return gemm.cut(out.dtype, (stack, rows, y.shape[2], inner), strides, wanted)


def copies(steps: Sequence[Any], threads: int, inside: int = 0) -> int:
    """Bytes that the products among steps copy operands to; no two products use them at the same time.

    Parameters
    ----------
    steps
        Of a plan.
    threads
        How many there are.
    inside
        Parts of the rounds that these steps are in, each of which has memory of its own; 0 outside of rounds.
    """
    most = 0
    for step in steps:
        if isinstance(step, Rounds):
            most = max(most, copies(step.body, threads, inside or division(step, threads)[0]))
        elif isinstance(step, Scan):
            most = max(most, copies(step.plan.steps, threads))
        elif isinstance(step, Product) and 0 not in step.out.shape and (inside or gemv.form(step) is None):
            most = max(most, cut_of(step, 1 if inside else threads).memory * max(inside, 1))
    return most
