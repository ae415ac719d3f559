"""Convolution and pooling of signals."""

from tinygraph.tensor.signal import conv, downsample, pool

__all__ = ["conv", "downsample", "pool"]
