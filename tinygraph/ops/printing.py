"""An operation that prints what passes through it."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

from tinygraph.graph import Op
from tinygraph.ops.convert import as_tensor
from tinygraph.types import Abstract, TensorType

__all__ = ["Print"]

Vjp = Sequence[Any]


def _print_attributes(op: Any, x: Any) -> None:
    for attribute in op.attrs:
        found = getattr(x, attribute)
        builtins.print(op.message, attribute, "=", found() if callable(found) else found)


class Print(Op):
    """Its input as it is, printed each time the function runs.

    Parameters
    ----------
    message
        What is printed in front.
    attrs
        Attributes and methods without arguments of the array, such as ``"shape"`` and ``"mean"``; each is printed.
    global_fn
        A function ``(op, array)`` that is called instead of printing.

    What would otherwise be computed once and for all, or merged with an equal operation, runs and prints all the same.
    The gradient passes through unprinted. Rules that look for ``log(softmax(x))`` and the like do not see through it.

    >>> import tinygraph.tensor as T
    >>> from tinygraph.printing import Print
    >>> x = T.dvector("x")
    >>> y = Print("x here", attrs=("shape", "__str__"))(x).sum()
    >>> float(y.eval({x: [1.0, 2.0]}))
    x here shape = (2,)
    x here __str__ = [1. 2.]
    3.0
    """

    message: str = ""
    attrs: tuple[str, ...] = ("__str__",)
    global_fn: Callable[[Any, Any], Any] = _print_attributes

    view = True
    structural = True
    effects = True

    def __init__(
        self,
        message: str = "",
        attrs: Sequence[str] = ("__str__",),
        global_fn: Callable[[Any, Any], Any] = _print_attributes,
    ) -> None:
        attrs = (attrs,) if isinstance(attrs, str) else tuple(attrs)
        super().__init__(message, attrs, global_fn)

    def __str__(self) -> str:
        return f"print{{{self.message!r}}}"

    def make_node(self, *inputs: Any) -> Any:
        """The node of one value, which may be anything that becomes a tensor."""
        return super().make_node(*[as_tensor(x) for x in inputs])

    def infer(self, x: Abstract) -> TensorType:
        return x.type

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any) -> Any:
        self.global_fn(self, x)
        return x

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [cotangents[0]]
