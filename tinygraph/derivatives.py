"""Derivatives beyond ``grad``: Jacobians times vectors, whole Jacobians and Hessians, and Hessians times vectors."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tinygraph.autodiff import DisconnectedType, Lop, NullGradient, derived, grad
from tinygraph.errors import DisconnectedInputError, DtypeError, GradientError, NullTypeGradError
from tinygraph.graph import Apply, Origin, Variable, ancestors, describe, many_nodes, origin_scope, toposort
from tinygraph.graph.provenance import capture
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.gradient import disconnected_grad
from tinygraph.ops.join import Join
from tinygraph.ops.layout import AxisExtent, DimShuffle, Reshape, Shape, broadcast_like, zeros_of
from tinygraph.ops.matrices import eye
from tinygraph.ops.reduce import prod
from tinygraph.ops.scalar import add, switch
from tinygraph.types import is_float

__all__ = [
    "Rop",
    "grad_not_implemented",
    "grad_undefined",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "subgraph_grad",
]

# --- Jacobian times vector ------------------------------------------------------------------------------------------


def Rop(
    f: Any, wrt: Any, eval_points: Any, disconnected_outputs: str = "raise", return_disconnected: str = "zero"
) -> Any:
    """The Jacobian-vector product: the Jacobian of ``f`` times ``eval_points``, shaped as ``f``.

    It is the derivative of ``f`` where ``wrt`` moves in the direction of ``eval_points``, and costs about as much as
    ``f`` itself.

    Parameters
    ----------
    f
        A float variable, or a list or tuple of them.
    wrt
        Variables that ``f`` depends on, one or a list.
    eval_points
        A direction for each of them, of its shape.
    disconnected_outputs
        ``"raise"``, ``"warn"`` or ``"ignore"``: what to do where an output depends on none of ``wrt``.
    return_disconnected
        What stands for such an output: ``"zero"``, ``"None"`` or ``"Disconnected"``.

    Returns
    -------
    variable, list or tuple
        As ``f``.

    Raises
    ------
    GradientError
        If there is not one direction of the right number of dimensions for each variable.
    DisconnectedInputError, NullTypeGradError
        As for ``grad``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> tg.Rop(x**2, x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]}).tolist()
    [2.0, 40.0]
    """
    for name, value, allowed in (
        ("disconnected_outputs", disconnected_outputs, ("raise", "warn", "ignore")),
        ("return_disconnected", return_disconnected, ("zero", "None", "Disconnected")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    outputs = [as_tensor(v) for v in (f if isinstance(f, (list, tuple)) else [f])]
    tangents = _directions(wrt, eval_points)
    with many_nodes():
        moved = _forward(outputs, tangents)
    results = []
    for output in outputs:
        if output in moved:
            results.append(derived(moved[output], output))
            continue
        if _is_constant_derivative(output, tangents):
            results.append(zeros_of(output))
            continue
        if disconnected_outputs != "ignore":
            error = DisconnectedInputError(
                f"{output} does not depend on the variables of Rop in a differentiable way",
                actual=f"{output}: {output.type}",
                hint="leave it out, or pass disconnected_outputs='ignore' for a derivative of zero",
            )
            error.locate("Rop", (), output.origin.trace())
            if disconnected_outputs == "raise":
                raise error
            warnings.warn(str(error), stacklevel=2)
        standing = {"zero": zeros_of, "None": lambda _: None, "Disconnected": lambda _: DisconnectedType()}
        results.append(standing[return_disconnected](output))
    return _as(f, results)


def _is_constant_derivative(output: Any, targets: Iterable[Any]) -> bool:
    """True for the derivative of something linear in the targets: it does not move, and that is no fault."""
    sources = getattr(output.__dict__.get("tag"), "derived_from", ())
    return not set(ancestors(sources)).isdisjoint(targets)


def _as(model: Any, results: Sequence[Any]) -> Any:
    """The results as a list, a tuple or alone, as the argument they belong to came."""
    if isinstance(model, tuple):
        return tuple(results)
    return list(results) if isinstance(model, list) else results[0]


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _directions(wrt: Any, points: Any) -> dict[Variable, Any]:
    targets, directions = _listed(wrt), [as_tensor(v) for v in _listed(points)]
    if len(targets) != len(directions):
        raise GradientError(
            "each variable needs one direction", expected=str(len(targets)), actual=str(len(directions))
        )
    found: dict[Variable, Any] = {}
    for target, direction in zip(targets, directions, strict=True):
        if not isinstance(target, Variable) or not is_float(target.dtype):
            raise DtypeError(
                "a derivative is taken with respect to float variables",
                actual=str(target.type) if isinstance(target, Variable) else repr(target),
            )
        if target.ndim != direction.ndim:
            raise GradientError(
                f"the direction for {target} has another number of dimensions",
                expected=str(target.type),
                actual=str(direction.type),
            )
        found[target] = cast(direction, target.dtype)
    return found


def _forward(outputs: Sequence[Any], tangents: Mapping[Variable, Any]) -> dict[Variable, Any]:
    """The derivative of every variable, from its inputs on; those that do not move are left out."""
    found = dict(tangents)
    here = capture().frames
    for node in toposort(outputs, stop=tangents):
        arrived = [found.get(v) for v in node.inputs]
        if all(t is None for t in arrived):
            continue
        with origin_scope(Origin(here, node.origin)):
            try:
                results = _pushed(node, arrived)
            except GradientError as err:
                describe(err, node)
                raise
        found.update((v, t) for v, t in zip(node.outputs, results, strict=True) if t is not None)
    return found


def _pushed(node: Apply, tangents: Sequence[Any]) -> Sequence[Any]:
    """The derivatives of a node's outputs, given those of its inputs."""
    if isinstance(node.op, Elementwise):
        return [_elementwise(node, node.op, tangents)]
    if not any(is_float(v.dtype) for v in node.outputs):
        return [None] * len(node.outputs)
    own = node.op.jvp(node.inputs, node.outputs, tangents)
    if own is not None:
        return [None if t is None else cast(as_tensor(t), v.dtype) for t, v in zip(own, node.outputs, strict=True)]
    return _transposed(node, tangents)


def _elementwise(node: Apply, op: Elementwise, tangents: Sequence[Any]) -> Any:
    """Lane by lane a derivative is a number, so the rule for cotangents is the rule for tangents, too."""
    (output,) = node.outputs
    if not is_float(output.dtype):
        return None
    total = None
    for i, tangent in enumerate(tangents):
        lane = None if tangent is None else op.lane_vjp(i, node.inputs, output, broadcast_like(tangent, output))
        if lane is None:
            continue
        selects = op.spec.masks[i] if op.spec.masks else None
        mask = selects(output, *node.inputs) if selects is not None and not op.spec.tame else None
        lane = lane if mask is None else switch(mask, lane, 0)
        total = lane if total is None else add(total, lane)
    return total


def _transposed(node: Apply, tangents: Sequence[Any]) -> Sequence[Any]:
    """The vjp is linear in the cotangents; its own vjp is the Jacobian-vector product, whatever they are."""
    cotangents = [disconnected_grad(zeros_of(v)) if is_float(v.dtype) else None for v in node.outputs]
    pulled = node.op.vjp(node.inputs, node.outputs, cotangents)
    seeds: dict[Variable, Any] = {}
    for tangent, back in zip(tangents, pulled, strict=True):
        if tangent is None or back is None:
            continue
        made = as_tensor(back() if callable(back) else back)
        if is_float(made.dtype):
            seeds[made] = add(seeds[made], tangent) if made in seeds else tangent
    if not seeds:
        return [None] * len(cotangents)
    wanted = [c for c in cotangents if c is not None]
    found = grad(
        None,
        wanted,
        consider_constant=[*wanted, *node.inputs, *node.outputs],
        disconnected_inputs="ignore",
        add_names=False,
        known_grads=seeds,
        return_disconnected="None",
    )
    # What flows back may be zero whatever arrives, as behind zero_grad: that is a derivative, too.
    results = iter(zeros_of(c) if t is None else t for c, t in zip(wanted, found, strict=True))
    return [None if c is None else next(results) for c in cotangents]


# --- whole Jacobians ------------------------------------------------------------------------------------------------


def jacobian(
    expression: Any,
    wrt: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The derivatives of every element of an expression.

    Parameters
    ----------
    expression
        A float variable; for a scalar this is ``grad``.
    wrt
        A float variable, or a list or tuple of them.
    consider_constant, disconnected_inputs
        As for ``grad``.

    Returns
    -------
    variable, list or tuple
        As ``wrt``: for each variable a tensor whose shape is that of the expression followed by that of the variable.
        All elements are differentiated in one pass.

    Raises
    ------
    GradientError
        As for ``grad``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> tg.gradient.jacobian(x**2, x).eval({x: [1.0, 2.0]}).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    if not isinstance(expression, Variable) or not is_float(expression.dtype):
        raise GradientError(
            "jacobian needs a float variable to differentiate",
            actual=str(expression.type) if isinstance(expression, Variable) else repr(expression),
        )
    targets = _listed(wrt)
    if expression.ndim == 0:
        found = grad(expression, targets, consider_constant, disconnected_inputs)
        return _as(wrt, found)
    point = disconnected_grad(zeros_of(expression))
    rows = Lop(expression, targets, point, consider_constant, disconnected_inputs)
    from tinygraph.batching import batched  # its rules name many operations, and few programs need them

    with many_nodes():
        results = batched(rows, {point: _units(expression)})
        if expression.ndim > 1:
            shape = Shape()(expression)
            results = [Reshape()(r, Join(0)(shape, Shape()(t))) for r, t in zip(results, targets, strict=True)]
    return _as(wrt, [derived(r, expression, t) for r, t in zip(results, targets, strict=True)])


def _units(x: Any) -> Any:
    """For each element of ``x`` a tensor of its shape that is 1 there and 0 elsewhere, along a new first axis."""
    if x.ndim == 1:
        return eye(AxisExtent(0)(x), dtype=x.dtype)
    shape = Shape()(x)
    size = prod(shape)
    return Reshape()(eye(size, dtype=x.dtype), Join(0)(DimShuffle(("x",))(size), shape))


def hessian(
    cost: Any,
    wrt: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The second derivatives of a scalar cost, a matrix for each vector.

    Parameters
    ----------
    cost
        A float scalar.
    wrt
        A float variable, or a list or tuple of them.
    consider_constant, disconnected_inputs
        As for ``grad``.

    Returns
    -------
    variable, list or tuple
        As ``wrt``: for each variable a tensor whose shape is that of the variable twice. Second derivatives with
        respect to two different variables are not among them.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> tg.gradient.hessian((x[0] * x[1]) ** 2, x).eval({x: [1.0, 2.0]}).tolist()
    [[8.0, 8.0], [8.0, 2.0]]
    """
    targets = _listed(wrt)
    gradients = grad(cost, targets, consider_constant, disconnected_inputs)
    # A gradient may be constant; that is no error.
    results = [jacobian(g, t, consider_constant, "ignore") for g, t in zip(gradients, targets, strict=True)]
    return _as(wrt, [derived(r, cost, t) for r, t in zip(results, targets, strict=True)])


def hessian_vector_product(
    cost: Any,
    wrt: Any,
    vectors: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The Hessian of a scalar cost times a vector, at a few times the price of the gradient.

    Parameters
    ----------
    cost
        A float scalar.
    wrt
        A float variable, or a list or tuple of them.
    vectors
        A tensor of the shape of each.
    consider_constant, disconnected_inputs
        As for ``grad``.

    Returns
    -------
    variable, list or tuple
        As ``wrt``; for several variables the whole Hessian, mixed derivatives included, takes part.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> tg.gradient.hessian_vector_product((x**3).sum(), x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]}).tolist()
    [6.0, 120.0]
    """
    targets = _listed(wrt)
    directions = _directions(targets, vectors)
    gradients = grad(cost, targets, consider_constant, disconnected_inputs)
    points = [directions[t] for t in targets]
    products = Lop(gradients, targets, points, consider_constant, disconnected_inputs="ignore")
    return _as(wrt, [derived(p, cost, t) for p, t in zip(products, targets, strict=True)])


def subgraph_grad(
    wrt: Sequence[Variable],
    end: Sequence[Variable],
    start: Mapping[Any, Any] | None = None,
    cost: Any = None,
    details: bool = False,
) -> Any:
    """Gradients of a piece of a graph: from known ones at its ``start`` back to its ``end``.

    Parameters
    ----------
    wrt
        Variables inside the piece, such as parameters.
    end
        Variables behind which nothing is looked for.
    start
        Variables with their gradients, as ``grad`` gave them for a piece nearer the cost.
    cost
        A further cost that belongs to this piece.
    details
        True adds the gradients that come from ``start`` and those of ``cost``.

    Returns
    -------
    tuple of lists
        The gradients for ``wrt`` and for ``end``; with ``details`` also the two parts, for both together.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, w = T.dscalars("x", "w")
    >>> h = w * x
    >>> _, (g,) = tg.gradient.subgraph_grad([], [h], cost=h**2)
    >>> (dw,), _ = tg.gradient.subgraph_grad([w], [x], start={h: g})
    >>> float(dw.eval({x: 3.0, w: 2.0}))
    36.0
    """
    if cost is None and start is None:
        raise GradientError("subgraph_grad needs a cost or the gradients at the start", actual="neither")
    targets = list(dict.fromkeys([*wrt, *end]))
    parts: list[list[Any] | None] = [
        None if begin == (None, None) else grad(begin[0], targets, list(end), "ignore", known_grads=begin[1])
        for begin in ((None, start), (cost, None))
    ]
    made = [part for part in parts if part is not None]
    totals = dict(zip(targets, (made[0] if len(made) == 1 else map(add, *made)), strict=True))
    found = [totals[v] for v in wrt], [totals[v] for v in end]
    return (*found, *parts) if details else found


# --- gradients that are not there -----------------------------------------------------------------------------------


def grad_undefined(op: Any, x_pos: int, x: Any, comment: str = "") -> NullGradient:
    """For ``Op.grad``: what stands for a gradient that mathematics does not define."""
    return _null("is not defined", op, x_pos, comment)


def grad_not_implemented(op: Any, x_pos: int, x: Any, comment: str = "") -> NullGradient:
    """For ``Op.grad``: what stands for a gradient that nobody has written."""
    return _null("is not implemented", op, x_pos, comment)


def _null(what: str, op: Any, x_pos: int, comment: str) -> NullGradient:
    return NullGradient(
        NullTypeGradError(
            f"the gradient of {op} with respect to input {x_pos} {what}" + (f": {comment}" if comment else "")
        )
    )
