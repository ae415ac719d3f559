"""Update rules as classes: settings first, cost and parameters later, as TensorFlow 1 has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from tinygraph.optim.rules import (
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    amsgrad,
    momentum,
    nesterov,
    rmsprop,
    sgd,
)
from tinygraph.optim.schedules import Schedule
from tinygraph.optim.settings import checked

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
]


class Optimizer:
    """An update rule with its settings; subclasses name the rule.

    Parameters
    ----------
    settings
        Those of the rule's function, in its order and with its defaults.

    Raises
    ------
    UpdateError, DtypeError, ShapeError
        If a setting is out of range, of the wrong kind, or no scalar.
    """

    rule: ClassVar[Callable[..., dict[Any, Any]]]

    def __init_subclass__(cls) -> None:
        of_rule = list(inspect.signature(cls.rule).parameters.values())[2:]
        cls.__signature__ = inspect.Signature(of_rule)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **settings: Any) -> None:
        name = type(self).__name__
        bound = inspect.signature(type(self)).bind(*args, **settings)
        bound.apply_defaults()
        self.settings = {k: v if isinstance(v, Schedule) else checked(k, v, name) for k, v in bound.arguments.items()}

    def minimize(self, cost: Any, params: Any) -> dict[Any, Any]:
        """Updates that make one step; what the rule remembers belongs to them, so each call starts afresh.

        Parameters
        ----------
        cost
            A 0-d float variable, or a list of one gradient for each parameter.
        params
            A list of float shared variables, or one.

        Returns
        -------
        dict
            Shared variable to new value, for ``updates=`` of a function.

        Raises
        ------
        UpdateError, GradientError, DtypeError, ShapeError
            As the rule's function.
        """
        return type(self).rule(cost, params, **self.settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.settings.items())})"


class SGD(Optimizer):
    """Gradient descent; see ``sgd``.

    >>> import tinygraph as tg
    >>> w = tg.shared(1.0, "w")
    >>> train = tg.function([], w**2, updates=tg.optim.SGD(0.25).minimize(w**2, [w]))
    >>> [float(train()) for _ in range(3)]
    [1.0, 0.25, 0.0625]
    """

    rule = staticmethod(sgd)


class Momentum(Optimizer):
    """Gradient descent with momentum; see ``momentum``."""

    rule = staticmethod(momentum)


class Nesterov(Optimizer):
    """Nesterov's accelerated gradient; see ``nesterov``."""

    rule = staticmethod(nesterov)


class Adagrad(Optimizer):
    """Steps scaled by the sum of all past squares; see ``adagrad``."""

    rule = staticmethod(adagrad)


class RMSprop(Optimizer):
    """Steps scaled by the mean of recent squares; see ``rmsprop``."""

    rule = staticmethod(rmsprop)


class Adadelta(Optimizer):
    """Steps of the size of recent steps; see ``adadelta``."""

    rule = staticmethod(adadelta)


class Adam(Optimizer):
    """Mean gradients scaled by mean squares; see ``adam``.

    >>> import tinygraph as tg
    >>> tg.optim.Adam(0.01, beta1=0.8)
    Adam(learning_rate=0.01, beta1=0.8, beta2=0.999, epsilon=1e-08)
    """

    rule = staticmethod(adam)


class Adamax(Optimizer):
    """Adam with the greatest gradient in the place of the mean square; see ``adamax``."""

    rule = staticmethod(adamax)


class AMSGrad(Optimizer):
    """Adam with mean squares that never shrink; see ``amsgrad``."""

    rule = staticmethod(amsgrad)


class AdamW(Optimizer):
    """Adam with decay of the weights apart from the step; see ``adamw``."""

    rule = staticmethod(adamw)
