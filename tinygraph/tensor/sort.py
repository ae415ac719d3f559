"""Theano's module of sorting and ranking."""

from tinygraph.ops.selecting import argtopk, topk, topk_and_argtopk
from tinygraph.ops.sorting import argsort, sort

__all__ = ["argsort", "argtopk", "sort", "topk", "topk_and_argtopk"]
