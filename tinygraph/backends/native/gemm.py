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
from typing import NamedTuple

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

#: A transposed result is stored number by number: that pays where so many products are added up for each, and so much
#: more of the tiles is used.
_LONG_SUM, _MUCH = 32, 1.25


class Cut(NamedTuple):
    """How a product is computed: the words that are no addresses, and what there is of parts and memory.

    Attributes
    ----------
    words
        By name, as in ``FIELDS``.
    turned
        The transpose is computed, from the transposes: the second operand is ``a``, the first one ``b``.
    parts
        How many parts threads may take.
    memory
        Bytes that all parts together need for copies.
    """

    words: dict[str, int]
    turned: bool
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
        Those of both operands and of the result, in bytes: away, down, across. Either rows or columns of each operand
        lie side by side.
    parts
        About how many parts of equal size there should be, at most.
    """
    t = tiles(dtype)
    stack, m, n, k = shape
    a, b, c = strides
    turned = _is_better_turned(t, m, n, k, c)
    if turned:
        m, n = n, m
        a, b, c = ((away, across, down) for away, down, across in (b, a, c))
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
    return Cut(found, turned, count, count * size)


def _is_better_turned(t: Tiles, m: int, n: int, k: int, c: tuple[int, ...]) -> bool:
    """Whether the transpose is computed in less time, because its tiles hang less over the edge of the result."""
    if n == 1 and c[1] == t.size:
        return True  # a column is a row, too
    if c[2] != t.size and n > 1:
        return c[1] == t.size
    return k >= _LONG_SUM and m > t.columns and _overhang(t, n) > _MUCH * _overhang(t, m)


def _overhang(t: Tiles, columns: int) -> float:
    return -(-columns // t.columns) * t.columns / columns


@functools.cache
def tiles(dtype: str) -> Tiles:
    """The tiles of this machine for ``float32`` or ``float64``."""
    kind, size = ("float", 4) if dtype == "float32" else ("double", 8)
    return Tiles(kind, target().vector // size)


@functools.cache
def kernel(dtype: str) -> int:
    """The address of the function that computes parts of a product, called as kernels of nests are."""
    return built(product_text(tiles(dtype)), ["product"])[0]
