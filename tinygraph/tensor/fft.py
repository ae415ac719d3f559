"""Fourier transforms of real tensors, with complex numbers as pairs of reals."""

from tinygraph.ops.fft import irfft, rfft

__all__ = ["irfft", "rfft"]
