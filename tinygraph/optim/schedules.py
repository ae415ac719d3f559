"""Learning rates that change with the number of steps taken.

A schedule is given wherever a learning rate is. It counts in a shared variable; the rule that uses the schedule returns
the count's update along with its own, under one key however often the schedule is used.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from tinygraph.errors import UpdateError
from tinygraph.graph import SharedVariable, shared
from tinygraph.ops.convert import cast
from tinygraph.ops.scalar import int_div, minimum, power
from tinygraph.ops.transcendental import cos, exp
from tinygraph.optim.settings import checked, in_dtype, located
from tinygraph.types import canonical_dtype, is_discrete, promote

__all__ = ["CosineDecay", "ExponentialDecay", "InverseDecay", "Schedule", "StepDecay"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A learning rate times a factor that depends on the number of steps taken; subclasses say how.

    Parameters
    ----------
    rate
        The learning rate before the first step: a number or a scalar variable.
    step
        Shared integer scalar that counts the steps taken so far. By default a new int64 one, from 0; schedules that are
        given the same one keep the same time, and setting it continues an earlier run.

    Raises
    ------
    UpdateError, DtypeError, ShapeError
        If a setting is out of range, of the wrong kind, or no scalar.
    """

    rate: Any
    _: KW_ONLY
    step: Any = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        step = shared(np.zeros((), "int64"), "step count") if self.step is None else self.step
        if not isinstance(step, SharedVariable) or step.ndim or not is_discrete(step.dtype) or step.dtype == "bool":
            actual = f"{step}: {step.type}" if isinstance(step, SharedVariable) else repr(step)
            raise located(
                UpdateError("steps are counted in a shared integer", expected="a shared int64 scalar", actual=actual),
                name,
            )
        values = {f.name: checked(f.name, getattr(self, f.name), name) for f in fields(self) if f.name != "step"}
        for field, value in {**values, "step": step}.items():
            object.__setattr__(self, field, value)

    def factor(self, dtype: str) -> Any:
        """What the rate is multiplied by at the present step count, as a scalar of ``dtype``."""
        raise NotImplementedError(f"{type(self).__name__}.factor")

    def value(self, dtype: Any = "floatX") -> Any:
        """The learning rate at the present step count, as a symbolic scalar.

        It may be an output of a function: within a training step it is the rate of that very step.
        """
        dtype = canonical_dtype(dtype)
        # float16 cannot count far.
        wide = promote(dtype, "float32")
        return cast(in_dtype(self.rate, wide) * self.factor(wide), dtype)

    def advance(self) -> dict[Any, Any]:
        """The update that counts one step, for functions whose other updates come from no rule."""
        return {self.step: self.step + 1}


@dataclass(frozen=True, eq=False)
class StepDecay(Schedule):
    """``rate * drop ** floor(t / every)``: constant, then multiplied by ``drop`` after every so many steps.

    Parameters
    ----------
    every
        How many steps the rate stays the same.
    drop
        What it is then multiplied by.

    >>> import tinygraph as tg
    >>> rate = tg.optim.StepDecay(0.8, every=2, drop=0.5)
    >>> step = tg.function([], rate.value(), updates=rate.advance())
    >>> [float(step()) for _ in range(5)]
    [0.8, 0.8, 0.4, 0.4, 0.2]
    """

    every: int
    drop: float = 0.1

    def factor(self, dtype: str) -> Any:
        return power(self.drop, cast(int_div(self.step, self.every), dtype))


@dataclass(frozen=True, eq=False)
class InverseDecay(Schedule):
    """``rate / (1 + slope * t)``, the 1/t decay.

    >>> import tinygraph as tg
    >>> rate = tg.optim.InverseDecay(1.0, slope=0.5)
    >>> step = tg.function([], rate.value(), updates=rate.advance())
    >>> [round(float(step()), 3) for _ in range(4)]
    [1.0, 0.667, 0.5, 0.4]
    """

    slope: float

    def factor(self, dtype: str) -> Any:
        return 1 / (1 + self.slope * cast(self.step, dtype))


@dataclass(frozen=True, eq=False)
class ExponentialDecay(Schedule):
    """``rate * exp(-slope * t)``.

    For a rate that is multiplied by r over n steps, ``slope`` is ``-log(r) / n``.

    >>> import tinygraph as tg
    >>> rate = tg.optim.ExponentialDecay(1.0, slope=0.1)
    >>> step = tg.function([], rate.value(), updates=rate.advance())
    >>> [round(float(step()), 3) for _ in range(4)]
    [1.0, 0.905, 0.819, 0.741]
    """

    slope: float

    def factor(self, dtype: str) -> Any:
        return exp(-self.slope * cast(self.step, dtype))


@dataclass(frozen=True, eq=False)
class CosineDecay(Schedule):
    """``rate * (lowest + (1 - lowest) * (1 + cos(pi * min(t, steps) / steps)) / 2)``.

    Half a period of the cosine, from 1 down to ``lowest``, where it stays: Loshchilov & Hutter (2017), SGDR: Stochastic
    gradient descent with warm restarts, with the one period and no restart.

    Parameters
    ----------
    steps
        How many steps it takes.
    lowest
        Where it ends, as a fraction of the first rate.

    >>> import tinygraph as tg
    >>> rate = tg.optim.CosineDecay(1.0, steps=4)
    >>> step = tg.function([], rate.value(), updates=rate.advance())
    >>> [round(float(step()), 3) for _ in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    steps: int
    lowest: float = 0.0

    def factor(self, dtype: str) -> Any:
        angle = cast(minimum(self.step, self.steps), dtype) * (math.pi / self.steps)
        return self.lowest + (1 - self.lowest) * (0.5 + 0.5 * cos(angle))
