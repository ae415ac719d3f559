"""Operations that leave values as they are and change what flows back through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import NullTypeGradError
from tinygraph.graph import Op
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.layout import zeros_of
from tinygraph.ops.scalar import clip
from tinygraph.types import Abstract

__all__ = ["consider_constant", "disconnected_grad", "grad_clip", "grad_scale", "undefined_grad", "zero_grad"]

Vjp = Sequence[Any]


class PassThrough(Op):
    """Base of the operations whose output is their input."""

    view = True

    def infer(self, x: Abstract) -> Abstract:
        return x

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def is_identity(self, x: Abstract) -> bool:
        return True

    def compute(self, xp: Any, x: Any) -> Any:
        return x


class DisconnectedGrad(PassThrough):
    """No gradient flows back: what is behind counts as disconnected."""

    @property
    def name(self) -> str:
        return "disconnected_grad"

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None]


class ZeroGrad(PassThrough):
    """A gradient of zero flows back."""

    @property
    def name(self) -> str:
        return "zero_grad"

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [zeros_of(inputs[0])]


class UndefinedGrad(PassThrough):
    """Asking for the gradient through this raises an error."""

    @property
    def name(self) -> str:
        return "undefined_grad"

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        raise NullTypeGradError("the gradient was declared undefined here by undefined_grad")


class GradClip(PassThrough):
    """The gradient is clipped to an interval on its way back."""

    lower: float
    upper: float

    @property
    def name(self) -> str:
        return "grad_clip"

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [clip(cotangents[0], self.lower, self.upper)]


class GradScale(PassThrough):
    """The gradient is multiplied by a number on its way back."""

    multiplier: float

    @property
    def name(self) -> str:
        return "grad_scale"

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [cotangents[0] * self.multiplier]


def disconnected_grad(x: Any) -> Any:
    """``x``, through which no gradient flows; what is behind it counts as disconnected.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> float(tg.grad(x * tg.gradient.disconnected_grad(x), x).eval({x: 3.0}))
    3.0
    """
    return DisconnectedGrad()(as_tensor(x))


def zero_grad(x: Any) -> Any:
    """``x``, through which a gradient of zero flows: it stays connected."""
    return ZeroGrad()(as_tensor(x))


def consider_constant(x: Any) -> Any:
    """Theano's older name for ``zero_grad``."""
    return zero_grad(x)


def undefined_grad(x: Any) -> Any:
    """``x``; asking for a gradient through it raises ``NullTypeGradError``."""
    return UndefinedGrad()(as_tensor(x))


def grad_clip(x: Any, lower_bound: float, upper_bound: float) -> Any:
    """``x``, whose gradient is clipped elementwise to ``[lower_bound, upper_bound]``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> float(tg.grad(tg.gradient.grad_clip(x, -1, 1) ** 2, x).eval({x: 3.0}))
    1.0
    """
    return GradClip(float(lower_bound), float(upper_bound))(as_tensor(x))


def grad_scale(x: Any, multiplier: float) -> Any:
    """``x``, whose gradient is multiplied by ``multiplier``; -1 reverses it, as in adversarial training."""
    return GradScale(float(multiplier))(as_tensor(x))
