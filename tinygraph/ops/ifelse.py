"""Choosing between two tensors by a condition, so that only the one that is chosen is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Op
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_operands, as_tensor, cast, is_weak
from tinygraph.ops.layout import zeros_of
from tinygraph.ops.scalar import neq
from tinygraph.types import Abstract, TensorType, shape_text

__all__ = ["IfElse", "ifelse", "zero_unless"]

Vjp = Sequence[Any]


class IfElse(Op):
    """The second input where the first, a 0-d bool, is true, else the third; of the two only one is computed."""

    chooses = True

    def infer(self, condition: Abstract, then: Abstract, other: Abstract) -> Abstract:
        if condition.value is not None:
            return then if condition.value else other
        shape = tuple(n if n == m else None for n, m in zip(then.shape, other.shape, strict=True))
        return Abstract(TensorType(then.dtype, shape), then.value if then.value == other.value else None)

    def compute(self, xp: Any, condition: Any, then: Any, other: Any) -> Any:
        return xp.array(then if condition else other)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        condition, then, other = inputs
        (g,) = cotangents
        return [
            None,
            lambda: zero_unless(g, ((condition, True),), then),
            lambda: zero_unless(g, ((condition, False),), other),
        ]

    def jvp(self, inputs: Vjp, outputs: Vjp, tangents: Vjp) -> Vjp:
        _, *branches = [zeros_of(v) if t is None else t for v, t in zip(inputs, tangents, strict=True)]
        return [IfElse()(inputs[0], *branches)]


def zero_unless(value: Any, conditions: Sequence[tuple[Any, bool]], model: Any) -> Any:
    """A value where all of some conditions hold, else zeros of the shape of ``model``.

    Parameters
    ----------
    value
        A tensor that is wanted only where they hold.
    conditions
        0-d bools, each with the value that it must have, outermost first.
    model
        A tensor of the shape of ``value``.
    """
    for condition, wanted in reversed(conditions):
        zeros = zeros_of(model, value.dtype)
        value = IfElse()(condition, value, zeros) if wanted else IfElse()(condition, zeros, value)
    return value


def ifelse(condition: Any, then_branch: Any, else_branch: Any, name: str | None = None) -> Any:
    """One of two expressions, of which only the one that is chosen is computed.

    What only the other branch needs does not run, so it may be expensive, or fail. ``T.switch`` chooses element by
    element instead, and computes both.

    Parameters
    ----------
    condition
        A 0-d tensor of any dtype; anything but zero is true.
    then_branch, else_branch
        A tensor each, or lists or tuples of as many tensors each; those in the same place have one dtype and one number
        of dimensions. They may differ in shape.
    name
        For messages and pictures.

    Returns
    -------
    variable, list or tuple
        As ``then_branch``. Gradients flow to the branch that is taken; that of the other one is zero, and not computed.

    Raises
    ------
    DtypeError, ShapeError
        If the condition is no scalar, or the branches do not fit each other.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> f = tg.function([x], ifelse(x > 0, T.log(x), -x))
    >>> float(f(1.0)), float(f(-3.0))
    (0.0, 3.0)
    """
    several = isinstance(then_branch, (list, tuple))
    thens = list(then_branch) if several else [then_branch]
    others = list(else_branch) if isinstance(else_branch, (list, tuple)) else [else_branch]
    decided = as_tensor(condition)
    if decided.ndim:
        raise located(
            ShapeError(
                "the condition of ifelse is one number",
                expected="0 dimensions",
                actual=str(decided.type),
                hint="reduce it with .any() or .all(), or choose element by element with T.switch",
            ),
            "ifelse",
        )
    if len(thens) != len(others):
        raise located(
            ShapeError(
                "the branches of ifelse must have as many values each",
                expected=str(len(thens)),
                actual=str(len(others)),
            ),
            "ifelse",
        )
    if decided.dtype != "bool":
        decided = neq(decided, 0)
    chosen = [IfElse()(decided, *_matching(a, b), name=name) for a, b in zip(thens, others, strict=True)]
    return type(then_branch)(chosen) if several else chosen[0]


def _matching(then: Any, other: Any) -> tuple[Any, Any]:
    """The two branches as tensors of one dtype and number of dimensions; only scalars give way."""
    if is_weak(then) != is_weak(other):
        strong = as_tensor(other if is_weak(then) else then)
        if as_operands([then, other])[1] == strong.dtype:
            then, other = (cast(branch, strong.dtype) for branch in (then, other))
    a, b = as_tensor(then), as_tensor(other)
    if a.dtype != b.dtype:
        raise located(
            DtypeError(
                "the branches of ifelse must have one dtype",
                expected=a.dtype,
                actual=b.dtype,
                hint=f"cast the other branch: .astype({a.dtype!r})",
            ),
            "ifelse",
        )
    if a.ndim != b.ndim:
        raise located(
            ShapeError(
                "the branches of ifelse must have the same number of dimensions",
                expected=shape_text(a.type.shape),
                actual=shape_text(b.type.shape),
            ),
            "ifelse",
        )
    return a, b
