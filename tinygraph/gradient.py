"""Theano's module of derivatives: ``grad`` and its kin, and operations that change what flows back."""

import importlib
from typing import Any

from tinygraph.autodiff import DisconnectedType, Lop, NullGradient, grad
from tinygraph.derivatives import (
    Rop,
    grad_not_implemented,
    grad_undefined,
    hessian,
    hessian_vector_product,
    jacobian,
    subgraph_grad,
)
from tinygraph.errors import DisconnectedInputError, NullTypeGradError
from tinygraph.ops.gradient import (
    DisconnectedGrad,
    GradClip,
    GradScale,
    UndefinedGrad,
    ZeroGrad,
    consider_constant,
    disconnected_grad,
    grad_clip,
    grad_scale,
    undefined_grad,
    zero_grad,
)

__all__ = [
    "DisconnectedGrad",
    "DisconnectedInputError",
    "DisconnectedType",
    "GradClip",
    "GradScale",
    "Lop",
    "NullGradient",
    "NullTypeGradError",
    "Rop",
    "UndefinedGrad",
    "ZeroGrad",
    "consider_constant",
    "disconnected_grad",
    "disconnected_type",
    "grad",
    "grad_clip",
    "grad_not_implemented",
    "grad_scale",
    "grad_undefined",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "subgraph_grad",
    "undefined_grad",
    "verify_grad",  # noqa: F822 (made by __getattr__)
    "zero_grad",
]

#: The type, and the only variable, of what is disconnected.
disconnected_type = DisconnectedType()


def __getattr__(name: str) -> Any:
    if name == "verify_grad":  # the checker loads when it is first asked for
        return importlib.import_module("tinygraph.testing").verify_grad
    raise AttributeError(f"module 'tinygraph.gradient' has no attribute {name!r}")
