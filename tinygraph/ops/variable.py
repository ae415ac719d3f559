"""Variables with NumPy's operators and methods."""

from __future__ import annotations

from typing import Any

from tinygraph.graph import Constant, SharedVariable, Variable
from tinygraph.ops import scalar
from tinygraph.types import TensorType

__all__ = ["TensorConstant", "TensorMethods", "TensorSharedVariable", "TensorVariable"]


class TensorMethods:
    """Operators and methods of every tensor variable."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return scalar.add(self, other)

    def __mul__(self, other: Any) -> Any:
        return scalar.mul(self, other)

    def __truediv__(self, other: Any) -> Any:
        return scalar.true_div(self, other)


class TensorVariable(TensorMethods, Variable):
    """A symbolic tensor."""

    __slots__ = ()


class TensorConstant(TensorMethods, Constant):
    """A tensor whose value is fixed when the graph is built."""

    __slots__ = ()


class TensorSharedVariable(TensorMethods, SharedVariable):
    """A tensor whose value lives between calls."""

    __slots__ = ()


TensorType.variable_class = TensorVariable
TensorType.constant_class = TensorConstant
TensorType.shared_class = TensorSharedVariable
