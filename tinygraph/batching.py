"""A graph applied to a whole batch: expressions of one value become expressions of many, along a new first axis.

Most operations take the new axis in their stride; those without a rule run once for each entry, in a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinygraph.graph import Apply, Op, Variable, origin_scope, toposort
from tinygraph.ops.convert import Cast
from tinygraph.ops.cumulative import CumProd, CumSum, LinearRecurrence, Shift
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.gradient import PassThrough
from tinygraph.ops.ifelse import IfElse
from tinygraph.ops.join import Join, Split
from tinygraph.ops.layout import (
    AxisExtent,
    BroadcastTo,
    DimShuffle,
    Reshape,
    Shape,
    SpecifyShape,
    SumTo,
)
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.ops.loop import loop
from tinygraph.ops.matrices import Diagonal, PlaceDiagonal
from tinygraph.ops.reduce import ArgReduce, Reduce
from tinygraph.ops.softmax import LogSoftmax, LogSumExp, Softmax, SoftmaxGrad
from tinygraph.ops.solve import MatrixInverse
from tinygraph.ops.sorting import ArgSort, Permute, Sort
from tinygraph.ops.subtensor import (
    ARRAY,
    FULL,
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
)

__all__ = ["applied", "batched"]

#: A rule gets a node, its inputs, which of them have the new axis, and the length of this axis. It returns the node's
#: outputs with the axis, or None where only a loop will do.
Rule = Callable[[Apply, Sequence[Any], Sequence[bool], Any], Any]

_RULES: dict[type[Op], Rule] = {}


def batched(outputs: Sequence[Any], given: Mapping[Any, Any]) -> list[Any]:
    """The outputs for every entry of a batch.

    Parameters
    ----------
    outputs
        Expressions.
    given
        Variables that they depend on, each with its values along a new first axis, all of one length.

    Returns
    -------
    list
        For each output its values along a new first axis.
    """
    n = AxisExtent(0)(next(iter(given.values())))
    new: dict[Variable, Any] = dict(given)
    alone: dict[Variable, Any] = {}  # what comes out the same for every entry, such as shapes
    for node in toposort(outputs, stop=given):
        if not any(v in new or v in alone for v in node.inputs):
            continue
        inputs = [new.get(v, alone.get(v, v)) for v in node.inputs]
        with origin_scope(node.origin):
            if not any(v in new for v in node.inputs):
                alone.update(zip(node.outputs, Apply(node.op, inputs).outputs, strict=True))
            elif isinstance(node.op, Shape):
                alone[node.outputs[0]] = Subtensor(((1, None, None),))(Shape()(inputs[0]))
            elif isinstance(node.op, AxisExtent):
                alone[node.outputs[0]] = AxisExtent(node.op.axis + 1)(inputs[0])
            else:
                results = applied(node, inputs, [v in new for v in node.inputs], n)
                new.update(zip(node.outputs, results, strict=True))
    return [new[v] if v in new else _repeated(alone.get(v, v), n) for v in outputs]


def applied(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Sequence[Any]:
    """The outputs of one node for every entry of a batch.

    Parameters
    ----------
    node
        The operation on one entry.
    inputs
        What stands for its inputs.
    has_axis
        Which of them have the values of all entries along a new first axis; at least one does.
    n
        How many entries there are, a 0-d integer.
    """
    rule = next((_RULES[kind] for kind in type(node.op).__mro__ if kind in _RULES), None)
    results = None if rule is None else rule(node, inputs, has_axis, n)
    if results is None:
        return _looped(node, inputs, has_axis, n)
    return results if isinstance(results, list) else [results]


def _looped(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Sequence[Any]:
    """The operation applied to one entry after the other."""
    rows = {x: x.type.with_shape(x.type.shape[1:])() for x, has in zip(inputs, has_axis, strict=True) if has}
    step = Apply(node.op, [rows[x] if has else x for x, has in zip(inputs, has_axis, strict=True)])
    _, results = loop(n, (), list(rows.items()), step.outputs, label=node.op.name)
    return results


# --- helpers --------------------------------------------------------------------------------------------------------


def _lengths(n: Any, shape: Any) -> Any:
    """The shape with the new axis in front, as an integer vector."""
    return Join(0)(DimShuffle(("x",))(n), shape)


def _repeated(x: Any, n: Any) -> Any:
    """The same values for every entry."""
    return BroadcastTo()(x, _lengths(n, Shape()(x)))


def _full(inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> list[Any]:
    return [x if has else _repeated(x, n) for x, has in zip(inputs, has_axis, strict=True)]


def _padded(x: Any, ndim: int) -> Any:
    """A batch of tensors, each with axes of extent 1 in front, so that it has ``ndim`` of its own."""
    missing = ndim + 1 - x.ndim
    return x if missing == 0 else DimShuffle((0, *["x"] * missing, *range(1, x.ndim)))(x)


def _moved(x: Any, source: int, target: int) -> Any:
    """``x`` with one axis at another place."""
    order = [axis for axis in range(x.ndim) if axis != source]
    order.insert(target, source)
    return x if source == target else DimShuffle(tuple(order))(x)


def _with(op: Op, **changes: Any) -> Any:
    """An operation of the same class with some fields changed."""
    return type(op)(**{name: changes.get(name, getattr(op, name)) for name in op._fields})


def _behind(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _on(*kinds: type[Op]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return register


# --- rules ----------------------------------------------------------------------------------------------------------


@_on(Elementwise)
def _elementwise(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    ndim = node.outputs[0].ndim
    return node.op(*[_padded(x, ndim) if has else x for x, has in zip(inputs, has_axis, strict=True)])


@_on(Cast, PassThrough, MatrixInverse)
def _unchanged(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    return node.op(*inputs)


@_on(IfElse)
def _chosen(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    if has_axis[0]:
        return None
    return node.op(inputs[0], *_full(inputs[1:], has_axis[1:], n))


@_on(CumProd, CumSum, LinearRecurrence, Shift, LogSoftmax, Softmax, SoftmaxGrad, ArgSort, Permute, Sort, Join)
def _along_axis(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return _with(op, axis=op.axis + 1)(*_full(inputs, has_axis, n))


@_on(Reduce, ArgReduce, LogSumExp)
def _over_axes(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return _with(op, axes=_behind(op.axes))(inputs[0])


@_on(Split)
def _split(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return None if has_axis[1] else list(Apply(_with(op, axis=op.axis + 1), inputs).outputs)


@_on(DimShuffle)
def _shuffled(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return DimShuffle((0, *(axis if axis == "x" else axis + 1 for axis in op.pattern)))(inputs[0])


@_on(Reshape)
def _reshaped(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    return None if has_axis[1] else Reshape()(inputs[0], _lengths(n, inputs[1]))


@_on(BroadcastTo)
def _broadcast(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    if has_axis[1]:
        return None
    return BroadcastTo()(_padded(inputs[0], node.outputs[0].ndim), _lengths(n, inputs[1]))


@_on(SumTo)
def _summed(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    if has_axis[1]:
        return None
    lead = node.inputs[0].ndim - node.outputs[0].ndim
    return SumTo()(_moved(inputs[0], 0, lead), _lengths(n, inputs[1]))


@_on(SpecifyShape)
def _specified(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return SpecifyShape((None, *op.shape))(inputs[0])


@_on(Diagonal, PlaceDiagonal)
def _diagonal(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return None if any(has_axis[1:]) else type(op)(op.offset, op.axis1 + 1, op.axis2 + 1)(*inputs)


@_on(MatMul)
def _product(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    x, y = inputs
    x_ndim, y_ndim = (v.ndim for v in node.inputs)
    if not has_axis[1] and y_ndim <= 2:
        return TensorDot((x_ndim,), (0,))(x, y)
    if not has_axis[0] and x_ndim <= 2 and y_ndim <= 2:
        product = TensorDot((x_ndim - 1,), (1,))(x, y)
        return _moved(product, x_ndim - 1, 0)
    # Vectors become matrices; the axes of the stacks come behind the new one.
    x = DimShuffle((*range(x.ndim - 1), "x", x.ndim - 1))(x) if x_ndim == 1 else x
    y = DimShuffle((*range(y.ndim), "x"))(y) if y_ndim == 1 else y
    ndim = max(x_ndim, y_ndim, 2)
    x, y = (_padded(v, ndim) if has else v for v, has in zip((x, y), has_axis, strict=True))
    product = MatMul()(x, y)
    dropped = {product.ndim - 2} if x_ndim == 1 else set()
    dropped |= {product.ndim - 1} if y_ndim == 1 else set()
    return DimShuffle(tuple(axis for axis in range(product.ndim) if axis not in dropped))(product)


@_on(TensorDot)
def _tensor_product(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    x, y = inputs
    if op.batch or all(has_axis):
        return TensorDot(_behind(op.x_axes), _behind(op.y_axes), op.batch + 1)(*_full(inputs, has_axis, n))
    if has_axis[0]:
        return TensorDot(_behind(op.x_axes), op.y_axes)(x, y)
    return _moved(TensorDot(op.x_axes, _behind(op.y_axes))(x, y), x.ndim - len(op.x_axes), 0)


@_on(Subtensor)
def _part(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return None if any(has_axis[1:]) else Subtensor((FULL, *op.idx))(*inputs)


@_on(AdvancedSubtensor)
def _rows(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    return None if any(has_axis[1:]) or not _adjacent(op.idx) else AdvancedSubtensor((FULL, *op.idx))(*inputs)


@_on(IncSubtensor, AdvancedIncSubtensor)
def _written(node: Apply, inputs: Sequence[Any], has_axis: Sequence[bool], n: Any) -> Any:
    op: Any = node.op
    x, y, *indices = inputs
    if any(has_axis[2:]) or not _adjacent(op.idx):
        return None
    if has_axis[1]:
        reader = Subtensor if isinstance(op, IncSubtensor) else AdvancedSubtensor
        y = _padded(y, reader(op.idx)(node.inputs[0], *indices).ndim)
    (x,) = _full([x], has_axis[:1], n)
    return _with(op, idx=(FULL, *op.idx))(x, y, *indices)


def _adjacent(idx: Sequence[Any]) -> bool:
    """True where the axes that arrays index stand side by side, so that what they give stays in their place."""
    places = [i for i, entry in enumerate(idx) if isinstance(entry, (str, int))]
    return ARRAY not in idx or places == list(range(places[0], places[-1] + 1))
