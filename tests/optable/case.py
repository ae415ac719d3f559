"""What a row of the op table says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Arg:
    """One input of a case.

    ``dtype`` "float" stands for the float dtype under test (float32 and float64 in turn); any other is used as it is.
    Values are drawn uniformly from ``low`` to ``high`` (integers: both ends included), or by ``draw(rng, shape)``.
    """

    shape: tuple[int, ...] = (3, 4)
    low: float = -2.0
    high: float = 2.0
    dtype: str = "float"
    draw: Callable[[np.random.Generator, tuple[int, ...]], Any] | None = None

    def sample(self, rng: np.random.Generator, dtype: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        shape = self.shape if shape is None else shape
        target = dtype if self.dtype == "float" else self.dtype
        if self.draw is not None:
            return np.asarray(self.draw(rng, shape)).astype(target)
        if target == "bool":
            return rng.random(shape) < 0.5
        if target[0] in "iu":
            return rng.integers(int(self.low), int(self.high) + 1, shape).astype(target)
        return (self.low + (self.high - self.low) * rng.random(shape)).astype(target)


@dataclass(frozen=True)
class Case:
    """One row: an operation with its reference and its domain.

    Parameters
    ----------
    name
        Unique; ``"sum: axis 0, keepdims"``.
    function
        The public name it is a row for, below ``tinygraph.tensor``: ``"sum"``, ``"nnet.softmax"``.
    build
        Symbolic inputs -> one symbolic output (or a list of them).
    reference
        NumPy arrays -> the expected array (or list), written with NumPy or SciPy, in float64 where given floats.
    args
        Its inputs.
    wrt
        Positions of the inputs whose gradient is checked; None means every float input. () checks no gradient.
    integers
        Integer and bool dtypes that floats may be replaced by in a values test.
    broadcasts
        Elementwise: the harness also tries drawn shapes that broadcast together.
    empty
        Shapes of zero-size inputs on which reference and graph must agree, one tuple of shapes for each variant.
    special
        Check ±0, ±inf and NaN against the reference as well (elementwise only).
    order
        Highest order of derivative that is checked numerically.
    rtol
        Relative tolerance in float32 and float64.
    """

    name: str
    function: str
    build: Callable[..., Any]
    reference: Callable[..., Any]
    args: tuple[Arg, ...] = (Arg(),)
    wrt: tuple[int, ...] | None = None
    integers: tuple[str, ...] = ()
    broadcasts: bool = False
    empty: tuple[tuple[tuple[int, ...], ...], ...] = field(default=())
    special: bool = False
    order: int = 2
    rtol: tuple[float, float] = (2e-5, 1e-10)
