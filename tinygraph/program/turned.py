"""Values whose axes are in another order in memory than in the Program: images with their channels last."""

from __future__ import annotations

from collections.abc import Sequence

from tinygraph.program.fuse import Builder
from tinygraph.program.steps import Shape, Value

__all__ = ["Turned", "turned"]


class Turned(Value):
    """A value that is computed with its axes in another order.

    Attributes
    ----------
    inner
        The value with its axes in that order.
    order
        For each axis of ``inner`` the axis of the Program's value.
    """

    __slots__ = ("_plain", "inner", "order")

    def __init__(self, inner: Value, order: Sequence[int], plain: Value | None = None) -> None:
        self.order = tuple(order)
        self.inner = inner
        shape = [0] * len(self.order)
        for n, axis in zip(inner.shape, self.order, strict=True):
            shape[axis] = n
        super().__init__(inner.dtype, tuple(shape), uniform=inner.uniform)
        self._plain = plain

    def plain(self, builder: Builder) -> Value:
        """The same in the Program's order: other strides in the same memory."""
        if self._plain is None:
            self._plain = builder.transpose(self.inner, [self.order.index(i) for i in range(len(self.order))])
        return self._plain


def turned(builder: Builder, value: Value, order: Sequence[int]) -> Value:
    """A value with its axes in an order; axes that it lacks at the front have extent 1."""
    if isinstance(value, Turned):
        if value.order == tuple(order):
            return value.inner
        value = value.plain(builder)
    lead = len(order) - len(value.shape)
    return builder.transpose(value, ["x" if a < lead else a - lead for a in order])


def outside(shape: Shape, order: Sequence[int]) -> Shape:
    """A shape with its axes in an order."""
    return tuple(shape[a] for a in order)
