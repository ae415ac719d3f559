"""Theano's module of products of blocks."""

from tinygraph.ops.lookup import sparse_block_dot

__all__ = ["sparse_block_dot"]
