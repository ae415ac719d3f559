"""Matrix products of our own, as LLVM text: tiles of the result in registers, operands packed where that pays.

The scheme is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a tile of six
rows and two vectors of columns is added up in registers, from numbers of the first operand that are broadcast and from
vectors of the second. The second operand is read where it is, or copied before to panels as wide as a tile; the first
one is read with any strides, or copied as well. Each element of the result is added up in one order, which
depends on the extent that is summed over alone: not on threads, nor on how the result is cut up.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from tinygraph.backends.native.gemm_text import FIELDS, Tiles, product_text
from tinygraph.backends.native.kernels import built
from tinygraph.backends.native.toolchain import target

__all__ = ["FIELDS", "Cut", "cut", "kernel", "tiles"]

#: How much of the inner extent is added up at a time, at most: a panel of it and a few rows fit into the first cache.
_DEPTH = 320

#: Bytes of the first operand that a cell reads again and again, at most: about half of the second cache.
_BLOCK = 1 << 19

#: Up to so many rows the second operand is read where it is, unless that is spread over more than so many bytes.
_FEW_ROWS, _SPREAD = 48, 1 << 19

#: Strides that are a multiple of so many bytes crowd the same lines of the cache; with so many columns it pays to copy.
_CROWDED, _MANY_COLUMNS = 2048, 256


@dataclass(frozen=True)
class Cut:
    """How a product is computed: the words that are no addresses, and what there is of parts and memory.

    Attributes
    ----------
    words
        By name, as in ``FIELDS``.
    parts
        How many parts threads may take.
    memory
        Bytes that all parts together need for copies.
    """

    words: dict[str, int]
    parts: int
    memory: int


def cut(dtype: str, shape: tuple[int, int, int, int], strides: Sequence[tuple[int, ...]], parts: int) -> Cut:
    """How to compute a stack of products.

    Parameters
    ----------
    dtype
        ``float32`` or ``float64``.
    shape
        Number of matrices, rows, columns and inner extent, none of the first three 0.
    strides
        Those of both operands and of the result, in bytes: away, down, across. Rows of the result lie side by side, and
        either rows or columns of the second operand do.
    parts
        About how many parts of equal size there should be, at most.
    """
    t = tiles(dtype)
    stack, m, n, k = shape
    a, b, c = strides
    depth = -(-k // max(1, -(-k // _DEPTH))) or 1
    rows, columns = min(m, max(_BLOCK // (depth * t.size), t.rows)), n
    if stack < parts:
        # Panels are divided rather than rows: nothing of the second operand is copied twice.
        panels = -(-n // t.columns)
        across = min(parts, panels)
        columns = -(-panels // across) * t.columns
        if across * 2 <= parts:
            rows = min(rows, max(t.rows, -(-m // (parts // across) // t.rows) * t.rows))
    down_cells, across_cells = -(-m // rows), -(-n // columns)
    cells = stack * down_cells * across_cells
    each = -(-cells // max(1, min(parts, cells)))
    by_columns = b[2] != t.size and n > 1
    direct = not by_columns and m <= _FEW_ROWS and b[1] * depth <= _SPREAD
    pack_a = n >= _MANY_COLUMNS and max(a[1] if m > 1 else 0, a[2] if k > 1 else 0) % _CROWDED == 0
    scratch_a = t.beside + depth * t.columns * t.size
    size = -(-(scratch_a + pack_a * rows * depth * t.size) // 64) * 64
    found = {
        "m": m,
        "n": n,
        "k": k,
        "rows": rows,
        "columns": columns,
        "down_cells": down_cells,
        "across_cells": across_cells,
        "cells": cells,
        "each": each,
        "pack_a": int(pack_a),
        "pack_b": 2 if by_columns else 0 if direct else 1,
        "depth": depth,
        "scratch_size": size,
        "scratch_a": scratch_a,
    }
    for letter, steps in (("a", a), ("b", b), ("c", c)):
        found.update(zip((f"{letter}_away", f"{letter}_down", f"{letter}_across"), steps, strict=True))
    count = -(-cells // each)
    return Cut(found, count, count * size)


@functools.cache
def tiles(dtype: str) -> Tiles:
    """The tiles of this machine for ``float32`` or ``float64``."""
    kind, size = ("float", 4) if dtype == "float32" else ("double", 8)
    return Tiles(kind, target().vector // size)


@functools.cache
def kernel(dtype: str) -> int:
    """The address of the function that computes parts of a product, called as kernels of nests are."""
    return built(product_text(tiles(dtype)), ["product"])[0]
