"""Theano's path to its first convolution."""

from tinygraph.ops.conv import legacy_conv2d as conv2d

__all__ = ["conv2d"]
