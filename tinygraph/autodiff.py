"""Reverse-mode differentiation: gradients are built as ordinary graph, so they can be differentiated again.

A cotangent travels together with a mask of the lanes that it can be non-zero in. The mask is born where an operation
selects (``switch``, ``maximum``, ``minimum``, ``clip``, ``relu``); behind it, lanes that were not selected are set to
exactly zero after every multiplication by a derivative, so that an infinite derivative there gives 0 and not NaN.
Behind a choice (``ifelse``) it travels with the branch that it lies in, and is set to zero outside where it leaves it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tinygraph.errors import DisconnectedInputError, DtypeError, GradientError, NullTypeGradError, ShapeError
from tinygraph.graph import (
    Apply,
    Composite,
    Constant,
    Origin,
    Variable,
    describe,
    many_nodes,
    origin_scope,
    parts_of,
    services,
    toposort,
)
from tinygraph.graph.provenance import capture
from tinygraph.ops.convert import Cast, as_tensor, cast
from tinygraph.ops.elementwise import ROWS, Elementwise
from tinygraph.ops.ifelse import zero_unless
from tinygraph.ops.layout import broadcast_like, sum_to_like, zeros_of
from tinygraph.ops.scalar import add, and_, or_, switch
from tinygraph.types import is_float, shape_text

__all__ = ["DisconnectedType", "Lop", "NullGradient", "derived", "grad"]


class DisconnectedType:
    """Returned for a disconnected variable by ``grad(…, return_disconnected="Disconnected")``.

    Theano tells the variable ``DisconnectedType()()`` from its type; here one object is both.
    """

    def __call__(self, name: str | None = None) -> DisconnectedType:
        return self

    @property
    def type(self) -> DisconnectedType:
        return self

    def __repr__(self) -> str:
        return "<disconnected>"


class NullGradient:
    """Returned for an undefined gradient by ``grad(…, null_gradients="return")``; ``why`` is the error.

    As for ``DisconnectedType``, one object is both the variable and the type that Theano makes of a text.
    """

    def __init__(self, why: NullTypeGradError | str = "the gradient is undefined") -> None:
        self.why = why if isinstance(why, NullTypeGradError) else NullTypeGradError(why)

    def __call__(self, name: str | None = None) -> NullGradient:
        return self

    @property
    def type(self) -> NullGradient:
        return self

    def __repr__(self) -> str:
        return f"<undefined gradient: {self.why.problem}>"


#: The branches of choices that a cotangent lies in, outermost first; outside them it is zero.
_Path = tuple[tuple[Any, bool], ...]


class _Cotangent:
    """Contributions to the cotangent of one variable.

    Each has its mask (None: any lane may be non-zero) and the path of branches that it lies in: what is needed for it
    runs only where these are taken.
    """

    __slots__ = ("null", "parts")

    def __init__(self) -> None:
        self.parts: list[tuple[Any, Any, _Path]] = []
        self.null: NullGradient | None = None

    def total(self, variable: Variable) -> tuple[Any, Any, _Path]:
        """The sum of the contributions, the lanes in which any of them may be non-zero, and their common path."""
        if len(self.parts) > 1:
            common = _common([path for _, _, path in self.parts])
            groups: dict[_Path, list[tuple[Any, Any]]] = {}
            for value, mask, path in self.parts:
                groups.setdefault(path, []).append((value, mask))
            sums = [_out_of((*_sum(group), path), len(common), variable) for path, group in groups.items()]
            self.parts = [(*_sum(sums), common)]
        return self.parts[0]


def _sum(contributions: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    value, mask = contributions[0]
    for other, other_mask in contributions[1:]:
        value = add(value, other)
        mask = None if mask is None or other_mask is None else or_(mask, other_mask)
    return value, mask


def _common(paths: Sequence[_Path]) -> _Path:
    """The beginning that all paths share."""
    common: list[tuple[Any, bool]] = []
    for steps in zip(*paths, strict=False):
        if any(step != steps[0] for step in steps):
            break
        common.append(steps[0])
    return tuple(common)


def _out_of(part: tuple[Any, Any, _Path], depth: int, variable: Variable) -> tuple[Any, Any]:
    """A contribution and its mask outside all branches but the first few: zero where the others are not taken."""
    value, mask, path = part
    steps = path[depth:]
    return zero_unless(value, steps, variable), None if mask is None else zero_unless(mask, steps, variable)


def grad(
    cost: Any,
    wrt: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Any, Any] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
) -> Any:
    """Symbolic gradients of a scalar cost.

    Parameters
    ----------
    cost
        A 0-d float variable, or None where ``known_grads`` gives everything.
    wrt
        A float variable, or a list or tuple of them; they may be leaves or results in the middle of the graph.
    consider_constant
        Variables behind which no gradient is looked for.
    disconnected_inputs
        ``"raise"``, ``"warn"`` or ``"ignore"``: what to do where the cost does not depend on a variable in a
        differentiable way.
    add_names
        Name each gradient ``d<cost>/d<variable>`` where both have names.
    known_grads
        Variable to its known gradient; the search starts from these as well as from the cost.
    return_disconnected
        What stands for a disconnected variable: ``"zero"``, ``"None"`` or ``"Disconnected"``.
    null_gradients
        ``"raise"`` or ``"return"``: what to do where a gradient is undefined.

    Returns
    -------
    variable, list or tuple
        As ``wrt``: for each variable a gradient of its dtype and shape.

    Raises
    ------
    GradientError
        If the cost is no float scalar or ``wrt`` holds an integer.
    DisconnectedInputError
        Names the operation that cut the path from a variable to the cost.
    NullTypeGradError
        Names the operation whose gradient is undefined.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> float(tg.grad(tg.grad(x**3, x), x).eval({x: 2.0}))
    12.0
    """
    _one_of("disconnected_inputs", disconnected_inputs, ("raise", "warn", "ignore"))
    _one_of("return_disconnected", return_disconnected, ("zero", "None", "Disconnected"))
    _one_of("null_gradients", null_gradients, ("raise", "return"))
    asked = list(wrt) if isinstance(wrt, (list, tuple)) else [wrt]
    targets = [t.parts[0] if isinstance(t, Composite) else t for t in asked]
    _check_targets(targets)
    constant = parts_of(consider_constant or ())
    seeds = _seeds(cost, known_grads)
    order = toposort(seeds, stop=constant)
    influenced, cuts = _influenced(order, targets)
    with many_nodes():
        found = _backward(order, seeds, influenced, cuts)

    results: list[Any] = []
    for target in targets:
        cotangent = found.get(target)
        if cotangent is None:
            results.append(_disconnected(cost, target, order, cuts, disconnected_inputs, return_disconnected))
        elif cotangent.null is not None:
            if null_gradients == "raise":
                raise cotangent.null.why
            results.append(cotangent.null)
        else:
            value, _ = _out_of(cotangent.total(target), 0, target)
            if add_names and isinstance(cost, Variable) and cost.name and target.name and value.owner is not None:
                value.name = value.name or f"d{cost.name}/d{target.name}"
            results.append(value if cost is None else derived(value, cost))
    pairs = zip(asked, results, strict=True)
    results = [a.with_first(r) if isinstance(a, Composite) and isinstance(r, Variable) else r for a, r in pairs]
    if isinstance(wrt, tuple):
        return tuple(results)
    return results if isinstance(wrt, list) else results[0]


def Lop(
    f: Any,
    wrt: Any,
    eval_points: Any,
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
) -> Any:
    """The vector-Jacobian product: ``eval_points``, shaped as ``f``, times the Jacobian of ``f``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, v = T.dvectors("x", "v")
    >>> tg.Lop(x**2, x, v).eval({x: [1.0, 2.0], v: [1.0, 1.0]}).tolist()
    [2.0, 4.0]
    """
    outputs = list(f) if isinstance(f, (list, tuple)) else [f]
    points = list(eval_points) if isinstance(eval_points, (list, tuple)) else [eval_points]
    if len(outputs) != len(points):
        raise GradientError(
            "Lop needs one evaluation point for each output", expected=str(len(outputs)), actual=str(len(points))
        )
    return grad(
        None,
        wrt,
        consider_constant=consider_constant,
        disconnected_inputs=disconnected_inputs,
        known_grads=dict(zip(outputs, points, strict=True)),
    )


def derived(value: Any, *sources: Any) -> Any:
    """A derivative that remembers what it comes from.

    As in Theano a function that computes it uses what its sources depend on, even where it has become a constant.
    """
    value.tag.derived_from = sources
    return value


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _check_targets(targets: Sequence[Any]) -> None:
    for target in targets:
        if not isinstance(target, Variable):
            raise DtypeError(
                "wrt must be a variable or a list or tuple of variables",
                actual=f"{target!r} of {type(target).__name__}",
            )
        if not is_float(target.dtype):
            error = GradientError(
                f"cannot differentiate with respect to {target}: its values are no floats",
                expected="a float variable",
                actual=str(target.type),
                hint="differentiate with respect to a float tensor, or cast the variable with .astype(config.floatX)",
            )
            error.locate("grad", (), target.origin.trace())
            raise error


def _seeds(cost: Any, known_grads: Mapping[Any, Any] | None) -> dict[Variable, Any]:
    """The variables whose cotangents are given, and these cotangents."""
    seeds: dict[Variable, Any] = {}
    for variable, value in (known_grads or {}).items():
        cotangent = as_tensor(value)
        if cotangent.ndim != variable.ndim:
            raise GradientError(
                f"the known gradient of {variable} has the wrong number of dimensions",
                expected=str(variable.type),
                actual=str(cotangent.type),
            )
        seeds[variable] = cast(cotangent, variable.dtype)
    if cost is None:
        if not seeds:
            raise GradientError("grad needs a cost or known_grads", actual="neither")
        return seeds
    if not isinstance(cost, Variable):
        raise DtypeError("the cost must be a symbolic variable", actual=f"{cost!r} of {type(cost).__name__}")
    if cost.ndim != 0 or not is_float(cost.dtype):
        error = GradientError(
            "the cost must be a float scalar",
            expected="0 dimensions, a float dtype",
            actual=str(cost.type),
            hint="reduce it to one number first, for instance with .mean() or .sum()",
        )
        error.locate("grad", (), cost.origin.trace())
        raise error
    seeds.setdefault(cost, cost.type.constant_class(cost.type, 1))
    return seeds


def _influenced(order: Sequence[Apply], targets: Sequence[Variable]) -> tuple[set[Variable], set[Apply]]:
    """The float variables that depend on a target, and the nodes at which such a dependence turns discrete."""
    influenced = set(targets)
    cuts: set[Apply] = set()
    for node in order:
        if any(v in influenced for v in node.inputs):
            for output in node.outputs:
                if is_float(output.dtype):
                    influenced.add(output)
                else:
                    cuts.add(node)
    return influenced, cuts


def _backward(
    order: Sequence[Apply], seeds: Mapping[Variable, Any], influenced: set[Variable], cuts: set[Apply]
) -> dict[Variable, _Cotangent]:
    found: dict[Variable, _Cotangent] = {}
    for variable, value in seeds.items():
        if variable in influenced:
            found[variable] = _Cotangent()
            found[variable].parts.append((value, None, ()))
    here = capture().frames
    for node in reversed(order):
        arrived = [found.get(output) for output in node.outputs]
        wanted = [v in influenced for v in node.inputs]
        if not any(wanted) or all(c is None for c in arrived):
            continue
        null = next((c.null for c in arrived if c is not None and c.null is not None), None)
        with origin_scope(Origin(here, node.origin)):
            path, totals = _arrived(node, arrived) if null is None else ((), [])
            contributions = [null] * len(wanted) if null is not None else _node_vjp(node, totals, wanted)
        for i, (variable, contribution, is_wanted) in enumerate(zip(node.inputs, contributions, wanted, strict=True)):
            if not is_wanted:
                continue
            if contribution is None:
                cuts.add(node)
                continue
            cotangent = found.setdefault(variable, _Cotangent())
            if isinstance(contribution, NullGradient):
                cotangent.null = cotangent.null or contribution
            else:
                value, mask = contribution
                branch = ((node.inputs[0], i == 1),) if node.op.chooses else ()
                cotangent.parts.append((_fitting(node, variable, value), mask, path + branch))
    return found


def _arrived(node: Apply, cotangents: Sequence[_Cotangent | None]) -> tuple[_Path, list[tuple[Any, Any]]]:
    """The path that the cotangents of a node's outputs share, and each of them with its mask."""
    totals = [None if c is None else c.total(v) for v, c in zip(node.outputs, cotangents, strict=True)]
    common = _common([total[2] for total in totals if total is not None])
    return common, [
        (None, None) if total is None else _out_of(total, len(common), v)
        for v, total in zip(node.outputs, totals, strict=True)
    ]


def _node_vjp(node: Apply, totals: Sequence[tuple[Any, Any]], wanted: Sequence[bool]) -> list[Any]:
    """For each input the contribution ``(value, mask)``, None, or a NullGradient."""
    if node.op.chooses:
        return [None, *[totals[0] if is_wanted else None for is_wanted in wanted[1:]]]
    if isinstance(node.op, Elementwise):
        spec = ROWS[node.op.row]
        if totals[0][1] is not None or spec.masks:
            return _masked_elementwise(node, totals[0][0], totals[0][1], wanted)
    try:
        values = node.op.vjp(node.inputs, node.outputs, [value for value, _ in totals])
        if len(values) != len(node.inputs):
            raise GradientError(
                "vjp must return one entry for each input", expected=str(len(node.inputs)), actual=str(len(values))
            )
    except NullTypeGradError as err:
        describe(err, node)
        return [NullGradient(err)] * len(wanted)
    except GradientError as err:
        describe(err, node)
        raise
    masks = _input_masks(node, totals, wanted)
    out: list[Any] = []
    for value, mask, is_wanted in zip(values, masks, wanted, strict=True):
        if value is None or not is_wanted:
            out.append(None)
            continue
        try:
            made = value() if callable(value) else value
        except NullTypeGradError as err:
            describe(err, node)
            out.append(NullGradient(err))
        else:
            out.append((made, _chosen(made) if mask is None else mask))
    return out


def _chosen(value: Any) -> Any:
    """The condition of a cotangent that an operation chose against zero, as ``max`` does: a mask of its own."""
    owner = getattr(value, "owner", None)
    if owner is None or not isinstance(owner.op, Elementwise) or owner.op.row != "switch":
        return None
    condition, _, other = owner.inputs
    is_zero = isinstance(other, Constant) and not other.data.any()
    return broadcast_like(condition, value) if is_zero else None


def _masked_elementwise(node: Apply, g: Any, mask: Any, wanted: Sequence[bool]) -> list[Any]:
    op, inputs, output = node.op, node.inputs, node.outputs[0]
    assert isinstance(op, Elementwise)
    spec = ROWS[op.row]
    out: list[Any] = []
    for i, variable in enumerate(inputs):
        lane = op.lane_vjp(i, inputs, output, g) if wanted[i] else None
        if lane is None:
            out.append(None)
            continue
        own = spec.masks[i](output, *inputs) if spec.masks and spec.masks[i] is not None else None  # type: ignore[misc]
        if mask is not None and not (spec.tame or _times_finite_constant(op, inputs, i)):
            lane = switch(mask, lane, 0)
        lanes = own if mask is None else mask if own is None else and_(mask, own)
        if lanes is not None:
            lanes = sum_to_like(broadcast_like(lanes, output), variable, output)
        out.append((sum_to_like(lane, variable, output), lanes))
    return out


def _times_finite_constant(op: Elementwise, inputs: Sequence[Any], position: int) -> bool:
    """True where the derivative is a finite number that is fixed already: ``2 * x``, ``x / 3``."""
    if op.row not in ("mul", "true_div") or (op.row == "true_div" and position == 1):
        return False
    other = inputs[1 - position]
    if not isinstance(other, Constant) or other.data.ndim:
        return False
    factor = float(other.data) if op.row == "mul" else 1.0 / float(other.data or "nan")
    return abs(factor) < float("inf")


def _input_masks(node: Apply, totals: Sequence[tuple[Any, Any]], wanted: Sequence[bool]) -> Sequence[Any]:
    """The masks of the inputs of a node that is no elementwise operation, None where they are not followed."""
    nothing = [None] * len(node.inputs)
    masks = [mask for value, mask in totals if value is not None]  # an output that nobody used masks nothing
    if all(mask is None for mask in masks):
        return nothing
    if isinstance(node.op, Cast):
        return masks
    if not node.op.structural or any(mask is None for mask in masks):
        return nothing
    moved = node.op.vjp(node.inputs, node.outputs, [mask for _, mask in totals])
    made = [m() if callable(m) and use else m for m, use in zip(moved, wanted, strict=True)]
    return [m if isinstance(m, Variable) and m.dtype == "bool" else None for m in made]


def _fitting(node: Apply, variable: Variable, value: Any) -> Any:
    """A contribution as a tensor of the variable's dtype, or an error that names the operation whose vjp is wrong."""
    value = cast(as_tensor(value), variable.dtype)
    fits = value.ndim == variable.ndim and all(
        n is None or m is None or n == m for n, m in zip(value.type.shape, variable.type.shape, strict=True)
    )
    if not fits:
        error = ShapeError(
            f"the vjp of {node.op.name} gives a cotangent that does not have the shape of its input {variable}",
            expected=shape_text(variable.type.shape),
            actual=shape_text(value.type.shape),
        )
        describe(error, node)
        raise error
    return value


def _disconnected(cost: Any, target: Any, order: Sequence[Apply], cuts: set[Apply], what: str, how: str) -> Any:
    if what != "ignore":
        error = _disconnected_error(cost, target, order, cuts)
        if what == "raise":
            raise error
        warnings.warn(str(error), stacklevel=3)
    if how == "None":
        return None
    return DisconnectedType() if how == "Disconnected" else derived(zeros_of(target), target)


def _disconnected_error(
    cost: Any, target: Variable, order: Sequence[Apply], cuts: set[Apply]
) -> DisconnectedInputError:
    reached: dict[Variable, Apply | None] = {target: None}
    culprit = entry = None
    for node in order:
        entry = next((v for v in node.inputs if v in reached), None)
        if entry is not None:
            if node in cuts:
                culprit = node
                break
            reached.update(dict.fromkeys(node.outputs, node))
    what = "the cost" if cost is None or cost.name is None else f"the cost {cost.name}"
    hint = "leave the variable out of wrt, or pass disconnected_inputs='ignore' for a gradient of zero"
    if culprit is None:
        error = DisconnectedInputError(
            f"{what} does not depend on {target}", actual=f"{target}: {target.type}", hint=hint
        )
        error.locate("grad", (), target.origin.trace())
        return error
    names = []
    while entry is not None and (step := reached[entry]) is not None:
        names.append(step.op.name)
        entry = next(v for v in step.inputs if v in reached)
    path = [str(target), *reversed(names), culprit.op.name]
    error = DisconnectedInputError(
        f"{what} depends on {target} only through operations that carry no gradient; {culprit.op.name} cuts the path",
        expected="a path of differentiable operations",
        actual=" → ".join(path if len(path) <= 8 else [*path[:3], "…", *path[-4:]]),
        hint=hint,
    )
    describe(error, culprit)
    return error


def _pullback(outputs: Sequence[Any], inputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """For each input of a graph the sum of its outputs' cotangents carried back to it, None where it has no influence.

    Nothing is looked for behind the inputs, which may be results of another graph.
    """
    seeds: dict[Any, Any] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        seeds[output] = add(seeds[output], cotangent) if output in seeds else cotangent
    found = grad(
        None, list(inputs), list(inputs), "ignore", add_names=False, known_grads=seeds, return_disconnected="None"
    )
    return list(found)


services.provide("pullback", _pullback)
