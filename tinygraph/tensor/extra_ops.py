"""Theano's module of extra operations."""

from tinygraph.ops.convert import as_tensor as cpu_contiguous
from tinygraph.ops.counting import Unique, bincount, searchsorted, to_one_hot, unique
from tinygraph.ops.cumulative import cumprod, cumsum
from tinygraph.ops.extra import bartlett, compress, diff, fill_diagonal, fill_diagonal_offset
from tinygraph.ops.pieces import repeat
from tinygraph.ops.positions import broadcast_shape, broadcast_shape_iter, ravel_multi_index, unravel_index
from tinygraph.ops.shape import squeeze

__all__ = [
    "Unique",
    "bartlett",
    "bincount",
    "broadcast_shape",
    "broadcast_shape_iter",
    "compress",
    "cpu_contiguous",
    "cumprod",
    "cumsum",
    "diff",
    "fill_diagonal",
    "fill_diagonal_offset",
    "ravel_multi_index",
    "repeat",
    "searchsorted",
    "squeeze",
    "to_one_hot",
    "unique",
    "unravel_index",
]
