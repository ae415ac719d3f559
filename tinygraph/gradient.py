"""Theano's module of derivatives: ``grad`` and its kin, and operations that change what flows back."""

from tinygraph.autodiff import DisconnectedType, Lop, NullGradient, grad
from tinygraph.errors import DisconnectedInputError, NullTypeGradError
from tinygraph.ops.gradient import (
    consider_constant,
    disconnected_grad,
    grad_clip,
    grad_scale,
    undefined_grad,
    zero_grad,
)

__all__ = [
    "DisconnectedInputError",
    "DisconnectedType",
    "Lop",
    "NullGradient",
    "NullTypeGradError",
    "consider_constant",
    "disconnected_grad",
    "grad",
    "grad_clip",
    "grad_scale",
    "undefined_grad",
    "zero_grad",
]
