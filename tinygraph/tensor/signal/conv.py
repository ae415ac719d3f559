"""Convolution of images without channels."""

from tinygraph.ops.conv import signal_conv2d as conv2d

__all__ = ["conv2d"]
