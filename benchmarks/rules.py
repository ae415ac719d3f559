"""Update rules, each written for libraries of expressions, in place for NumPy, and in terms of PyTorch's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
InPlace = Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class SGD:
    """p ← p - rate · g."""

    rate: float
    slots = 0

    def __call__(self, sqrt: Callable[[Any], Any], p: Any, g: Any, state: Sequence[Any], time: Any) -> list[Any]:
        """The new parameter, and the new values of its slots; ``time`` counts from 1."""
        return [p - self.rate * g]

    def in_numpy(self, params: Sequence[Array]) -> InPlace:
        """What updates the parameters, and may overwrite the gradients."""

        def update(grads: Sequence[Array]) -> None:
            for p, g in zip(params, grads, strict=True):
                np.multiply(g, self.rate, out=g)
                np.subtract(p, g, out=p)

        return update

    def in_torch(self, torch: Any, params: Sequence[Any]) -> InPlace:
        def update(grads: Sequence[Any]) -> None:
            with torch.no_grad():
                torch._foreach_add_(params, grads, alpha=-self.rate)

        return update


@dataclass(frozen=True)
class RMSprop:
    """c ← decay · c + (1 - decay) · g²,  v ← momentum · v + g / (√c + epsilon),  p ← p - rate · v."""

    rate: float
    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1e-6
    slots = 2

    def __call__(self, sqrt: Callable[[Any], Any], p: Any, g: Any, state: Sequence[Any], time: Any) -> list[Any]:
        c, v = state
        c = self.decay * c + (1 - self.decay) * g**2
        v = self.momentum * v + g / (sqrt(c) + self.epsilon)
        return [p - self.rate * v, c, v]

    def in_numpy(self, params: Sequence[Array]) -> InPlace:
        slots = [(p, np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in params]

        def update(grads: Sequence[Array]) -> None:
            for (p, c, v, buffer), g in zip(slots, grads, strict=True):
                np.multiply(g, g, out=buffer)
                buffer *= 1 - self.decay
                c *= self.decay
                c += buffer
                np.sqrt(c, out=buffer)
                buffer += self.epsilon
                g /= buffer
                v *= self.momentum
                v += g
                np.multiply(v, self.rate, out=buffer)
                p -= buffer

        return update

    def in_torch(self, torch: Any, params: Sequence[Any]) -> InPlace:
        kind = torch.optim.RMSprop
        return stepped(params, kind(params, self.rate, self.decay, self.epsilon, momentum=self.momentum, foreach=True))


@dataclass(frozen=True)
class Adam:
    """As by Kingma and Ba, arXiv:1412.6980, algorithm 1."""

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots = 2

    def __call__(self, sqrt: Callable[[Any], Any], p: Any, g: Any, state: Sequence[Any], time: Any) -> list[Any]:
        m, v = state
        m = self.beta1 * m + (1 - self.beta1) * g
        v = self.beta2 * v + (1 - self.beta2) * g**2
        step = self.rate / (1 - self.beta1**time)
        return [p - step * m / (sqrt(v / (1 - self.beta2**time)) + self.epsilon), m, v]

    def in_numpy(self, params: Sequence[Array]) -> InPlace:
        slots = [(p, np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in params]
        clock = 0

        def update(grads: Sequence[Array]) -> None:
            nonlocal clock
            clock += 1
            step, scale = self.rate / (1 - self.beta1**clock), (1 - self.beta2**clock) ** -0.5
            for (p, m, v, buffer), g in zip(slots, grads, strict=True):
                np.multiply(g, 1 - self.beta1, out=buffer)
                m *= self.beta1
                m += buffer
                g *= g
                g *= 1 - self.beta2
                v *= self.beta2
                v += g
                np.sqrt(v, out=buffer)
                buffer *= scale
                buffer += self.epsilon
                np.divide(m, buffer, out=buffer)
                buffer *= step
                p -= buffer

        return update

    def in_torch(self, torch: Any, params: Sequence[Any]) -> InPlace:
        kind = torch.optim.Adam
        return stepped(params, kind(params, self.rate, (self.beta1, self.beta2), self.epsilon, fused=True))


Rule = SGD | RMSprop | Adam


def stepped(params: Sequence[Any], optimizer: Any) -> InPlace:
    """A PyTorch optimizer, fed with gradients."""

    def update(grads: Sequence[Any]) -> None:
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        optimizer.step()

    return update
