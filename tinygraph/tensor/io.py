"""Theano's module of arrays in files."""

from tinygraph.ops.checks import Load as LoadFromDisk
from tinygraph.ops.checks import load

__all__ = ["LoadFromDisk", "load"]
