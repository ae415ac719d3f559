"""A graph as an operation of its own, with gradients of one's own if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygraph.autodiff import DisconnectedType, NullGradient
from tinygraph.derivatives import Rop
from tinygraph.errors import DtypeError, GradientError, InputError
from tinygraph.extension import as_vjp_entry
from tinygraph.graph import Apply, Body, Constant, Op, SharedVariable, Variable, graph_inputs, replace, services
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.layout import zeros_of
from tinygraph.types import Abstract, is_float, promote

__all__ = ["OpFromGraph"]

Vjp = Sequence[Any]

#: What replaces a derivative: nothing, one function for all, or an entry for each input or output.
Override = Any


class OpFromGraph(Op):
    """An operation that stands for a graph.

    It is applied to other variables like any operation, as often as one likes.

    Parameters
    ----------
    inputs
        The variables of the graph that stand for what it is applied to.
    outputs
        A list of expressions of them; shared variables in them are found.
    inline
        True: compiled functions hold the graph and not the operation. False: they run it as one step.
    lop_overrides, grad_overrides
        Instead of the gradient: a function of the lists of inputs, (``lop_overrides`` only) outputs and gradients of
        outputs, which returns a list with a gradient for each input; an ``OpFromGraph`` of all of them; or a list with
        an entry for each input, which is ``"default"``, a function or ``OpFromGraph`` that gives one gradient,
        ``DisconnectedType()()`` or what ``grad_undefined`` makes.
    rop_overrides
        Instead of what ``Rop`` needs: a function of the lists of inputs and directions, which returns a list with a
        derivative for each output; or as above.
    connection_pattern
        For each input a list that says which outputs depend on it in a differentiable way.
    name
        For messages and pictures.
    kwargs
        Arguments of ``function``, accepted as in Theano.

    Raises
    ------
    InputError
        If inputs or outputs are no variables, or the outputs depend on something else that has no value.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> hypotenuse = tg.OpFromGraph([x, y], [T.sqrt(x**2 + y**2)])
    >>> float((hypotenuse(x, y) + hypotenuse(y, 2 * y)).eval({x: 3.0, y: 4.0}))
    13.94427190999916
    """

    body: Body
    is_inline: bool
    lop: Override
    grad: Override
    rop: Override
    connection: tuple[tuple[bool, ...], ...] | None
    label: str

    def __init__(
        self,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        inline: bool = False,
        lop_overrides: Override = "default",
        grad_overrides: Override = "default",
        rop_overrides: Override = "default",
        connection_pattern: Sequence[Sequence[bool]] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check(inputs, outputs, kwargs)
        if not _is_default(lop_overrides) and not _is_default(grad_overrides):
            raise InputError("lop_overrides and grad_overrides say the same", expected="one of them", actual="both")
        shared = [v for v in graph_inputs(outputs, stop=inputs) if isinstance(v, SharedVariable) and v not in inputs]
        stands = {v: v.type(v.name) for v in (*inputs, *shared)}
        body = Body(list(stands.values()), replace(outputs, stands))
        pattern = None if connection_pattern is None else tuple(map(tuple, connection_pattern))
        overrides = map(_hashable, (lop_overrides, grad_overrides, rop_overrides))
        super().__init__(body, bool(inline), *overrides, pattern, name or "OpFromGraph")
        self.__dict__["shared_inputs"] = shared
        for variable in graph_inputs(body.outputs):
            if variable not in body.inputs and not isinstance(variable, Constant):
                raise InputError(
                    f"the outputs depend on {variable}, which is no input",
                    actual=f"{variable}: {variable.type}",
                    hint="add it to the inputs",
                )

    def __reduce__(self) -> Any:
        return _restored, (type(self), self.__getstate__())

    @property
    def name(self) -> str:
        return self.label

    def __str__(self) -> str:
        return f"{self.label}{{inline={self.is_inline}}}"

    @property
    def inline(self) -> bool:  # type: ignore[override]
        """Compiled functions hold the graph and not the operation."""
        return self.is_inline

    @property
    def local_inputs(self) -> list[Any]:
        """The inputs of the inner graph; those that stand for shared variables come last."""
        return list(self.body.inputs)

    @property
    def local_outputs(self) -> list[Any]:
        """The outputs of the inner graph."""
        return list(self.body.outputs)

    def make_node(self, *inputs: Any) -> Apply:
        shared = self.__dict__["shared_inputs"]
        wanted = self.body.inputs[: len(self.body.inputs) - len(shared)]
        if len(inputs) != len(wanted):
            raise InputError(
                f"{self.label} takes {len(wanted)} inputs",
                expected=", ".join(f"{v}: {v.type}" for v in wanted),
                actual=f"{len(inputs)} inputs",
            )
        return Apply(self, [*map(_fitting, inputs, wanted), *shared])

    # --- what the graph asks ----------------------------------------------------------------------------------------

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def inner(self, *inputs: Abstract) -> Sequence[Sequence[Abstract]]:
        return [inputs]

    def infer(self, *inputs: Abstract) -> Any:
        return self.body.infer(inputs)

    def compute(self, xp: Any, *inputs: Any) -> Any:
        return self.run(xp, (self.body.interpreted(xp),), *inputs)

    def run(self, xp: Any, bodies: Sequence[Any], *inputs: Any) -> Any:
        return tuple(bodies[0](inputs))

    def expanded(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs without the operation: the graph on these inputs."""
        return replace(self.body.outputs, dict(zip(self.body.inputs, inputs, strict=True)))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        kind, override = ("lop", self.lop) if _is_default(self.grad) else ("grad", self.grad)
        given = [zeros_of(v) if g is None else g for v, g in zip(outputs, cotangents, strict=True)]
        groups = [list(inputs), list(outputs), given] if kind == "lop" else [list(inputs), given]
        found = _overridden(override, groups, len(inputs))
        if any(entry is _DEFAULT for entry in found):
            pulled = self._pulled(inputs, cotangents)
            found = [p if entry is _DEFAULT else entry for entry, p in zip(found, pulled, strict=True)]
        if self.connection is not None:
            linked = [any(row) for row in self.connection]
            found = [g if i >= len(linked) or linked[i] else None for i, g in enumerate(found)]
        return [as_vjp_entry(g) for g in found]

    def _pulled(self, inputs: Vjp, cotangents: Vjp) -> list[Any]:
        """The gradient of each input by the rules of calculus, None where there is none."""
        wanted = [v for v in self.body.inputs if is_float(v.dtype)]
        seeds = [(v, g) for v, g in zip(self.body.outputs, cotangents, strict=True) if g is not None]
        pulled = services.call("pullback", [v for v, _ in seeds], wanted, [g for _, g in seeds])
        found = dict(zip(wanted, self._outside(pulled, inputs, [g for _, g in seeds]), strict=True))
        return [found.get(v) for v in self.body.inputs]

    def _outside(self, inner: Sequence[Any], inputs: Vjp, fixed: Iterable[Any]) -> list[Any]:
        """Expressions of inner variables and of ``fixed`` ones as expressions of what the operation is applied to."""
        made = [v for v in inner if v is not None]
        swap = {v: v for v in fixed} | dict(zip(self.body.inputs, inputs, strict=True))
        outside = iter(replace(made, swap))
        return [None if v is None else next(outside) for v in inner]

    def jvp(self, inputs: Vjp, outputs: Vjp, tangents: Vjp) -> Vjp:
        points = [zeros_of(v) if t is None else t for v, t in zip(inputs, tangents, strict=True)]
        found = _overridden(self.rop, [list(inputs), points], len(outputs))
        if any(entry is _DEFAULT for entry in found):
            moving = {v: t for v, t in zip(self.body.inputs, tangents, strict=True) if t is not None}
            pushed = Rop(list(self.body.outputs), list(moving), list(moving.values()), "ignore", "None")
            pushed = self._outside(pushed, inputs, moving.values())
            found = [p if entry is _DEFAULT else entry for entry, p in zip(found, pushed, strict=True)]
        return [None if isinstance(t, DisconnectedType) else t for t in found]


class _Default:
    """Stands for a derivative that nothing replaces."""


_DEFAULT = _Default()


def _restored(cls: type[OpFromGraph], state: dict[str, Any]) -> OpFromGraph:
    op = cls.__new__(cls)
    op.__setstate__(state)
    return op


def _is_default(override: Override) -> bool:
    return override is None or (isinstance(override, str) and override == "default")


def _hashable(override: Override) -> Override:
    return tuple(override) if isinstance(override, list) else "default" if override is None else override


def _check(inputs: Any, outputs: Any, kwargs: Any) -> None:
    if not isinstance(outputs, (list, tuple)) or not isinstance(inputs, (list, tuple)):
        raise InputError("OpFromGraph takes a list of inputs and a list of outputs", actual=f"{inputs!r}, {outputs!r}")
    for variable in (*inputs, *outputs):
        if not isinstance(variable, Variable):
            raise InputError("inputs and outputs must be variables", actual=f"{variable!r}")
    if len(set(inputs)) < len(inputs):
        raise InputError("an input of OpFromGraph is listed twice", actual=", ".join(map(str, inputs)))
    for name in ("updates", "givens"):
        if name in kwargs:
            raise InputError(f"an operation has no {name}", hint="give them to function")


def _fitting(value: Any, wanted: Any) -> Any:
    variable = as_tensor(value)
    if variable.ndim != wanted.ndim or promote(variable.dtype, wanted.dtype) != wanted.dtype:
        raise DtypeError(
            f"this cannot stand for the input {wanted}",
            expected=str(wanted.type),
            actual=f"{variable}: {variable.type}",
        )
    return cast(variable, wanted.dtype)


def _overridden(override: Override, groups: Sequence[list[Any]], count: int) -> list[Any]:
    """``count`` derivatives by an override; those that it leaves alone are ``_DEFAULT``."""
    if _is_default(override):
        return [_DEFAULT] * count
    if isinstance(override, tuple):
        found = [_entry(item, groups) for item in override]
    else:
        made = _called(override, groups)
        found = list(made) if isinstance(made, (list, tuple)) else [made]
    if len(found) > count:
        raise GradientError("an override gives too many derivatives", expected=str(count), actual=str(len(found)))
    return [*found, *[_DEFAULT] * (count - len(found))]  # shared variables may be left out


def _entry(item: Any, groups: Sequence[list[Any]]) -> Any:
    if _is_default(item):
        return _DEFAULT
    if isinstance(item, (DisconnectedType, NullGradient)):
        return item
    return _called(item, groups)


def _called(override: Callable[..., Any], groups: Sequence[list[Any]]) -> Any:
    if isinstance(override, OpFromGraph):
        return override(*[v for group in groups for v in group])
    if not callable(override):
        raise GradientError(
            "an override is 'default', a function, an OpFromGraph, or a list of such", actual=repr(override)
        )
    return override(*groups)
