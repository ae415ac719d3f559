"""Closing a graph: inputs, givens, updates and shared variables sorted out and checked, before anything is compiled."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from tinygraph.arguments import In, Out, declared
from tinygraph.errors import DtypeError, InputError, MissingInputError, UnusedInputError, UpdateError
from tinygraph.graph import (
    Composite,
    Constant,
    Flat,
    SharedVariable,
    Variable,
    ancestors,
    flattened,
    graph_inputs,
    paired,
    parts_of,
    replace,
    shared,
)
from tinygraph.ops.convert import as_tensor, cast, constant
from tinygraph.types import TensorType

__all__ = ["Closed", "close", "replaced"]


class Composites(NamedTuple):
    """Which inputs and outputs are taken apart: the composite for each of them, or None."""

    inputs: list[Any]
    outputs: list[Any]

    def split(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, with one array for each part of a composite."""
        flat: list[Any] = []
        for i, value in enumerate(args):
            composite = self.inputs[i] if i < len(self.inputs) else None
            flat += [value] if composite is None else composite.split(value)
        named = dict(kwargs)
        for composite in self.inputs:
            if composite is not None and composite.name in named:
                parts = composite.split(named.pop(composite.name))
                named.update({v.name: part for v, part in zip(composite.parts, parts, strict=True)})
        return flat, named

    def joined(self, results: Sequence[Any]) -> list[Any]:
        """The outputs of a call, put together from what was computed."""
        out, at = [], 0
        for composite in self.outputs:
            n = 1 if composite is None else len(composite.parts)
            out.append(results[at] if composite is None else composite.joined(results[at : at + n]))
            at += n
        return out


def _composites(inputs: Sequence[Any], outputs: Sequence[Any]) -> Composites | None:
    if not any(isinstance(v, Composite) for v in (*inputs, *outputs)):
        return None
    taken = [v if isinstance(v, Composite) else None for v in inputs]
    return Composites(taken, [v.outline() if isinstance(v, Composite) else None for v in outputs])


@dataclass(eq=False)
class Closed:
    """A graph whose every leaf is an input, a shared variable or a constant.

    Attributes
    ----------
    specs
        The declared inputs.
    inputs
        The leaf that stands for each of them.
    defaults
        For each input None, or a private shared variable with the value it has where a call gives none.
    names
        None for one output, () for a list, or the keys of a dict.
    outputs
        Output expressions.
    targets, values
        Shared variables that are updated, and their new values.
    shared
        Every shared variable that is read or updated.
    composites
        What users hand in and get as one value and the graph holds as several; None where there is nothing of it.
    """

    specs: list[In]
    inputs: list[Variable]
    defaults: list[Any]
    names: tuple[str, ...] | None
    outputs: list[Any]
    targets: list[Any]
    values: list[Any]
    shared: list[Any]
    composites: Composites | None = None

    @property
    def bare(self) -> bool:
        """Whether a call gives its first result as it is."""
        return self.names is None and self.composites is None

    @property
    def leaves(self) -> list[Variable]:
        return [*self.inputs, *self.shared]

    @property
    def roots(self) -> list[Any]:
        """Everything that a call computes: outputs, then new values."""
        return [*self.outputs, *self.values]

    def __reduce__(self) -> Any:
        # The graph goes as a list: copies and pickles of deep graphs do not recurse.
        roots = ("outputs", "values")
        rest = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in roots}
        return _restored, (flattened(self.roots, self.leaves), len(self.outputs), rest)

    def swapped(self, swap: Mapping[Any, Any], delete_updates: bool) -> Closed:
        """The same with shared variables replaced and, if asked, without updates; its defaults are its own."""
        roots = replace(self.roots, replaced(swap, strict=True))
        n = len(self.outputs)
        own = {old: old.clone_with_value() for old in self.defaults if old is not None}
        pairs = [(own.get(t, swap.get(t, t)), v) for t, v in zip(self.targets, roots[n:], strict=True)]
        pairs = [] if delete_updates else pairs
        closed = Closed(
            self.specs,
            self.inputs,
            [None if d is None else own[d] for d in self.defaults],
            self.names,
            roots[:n],
            [t for t, _ in pairs],
            [v for _, v in pairs],
            [],
            self.composites,
        )
        closed.shared = _shared(closed)
        return closed


def _restored(graph: Flat, n_outputs: int, rest: dict[str, Any]) -> Closed:
    roots = graph.restored()
    return Closed(outputs=roots[:n_outputs], values=roots[n_outputs:], **rest)


def close(
    inputs: Any,
    outputs: Any,
    updates: Any,
    givens: Any,
    *,
    no_default_updates: bool | Sequence[Any],
    rebuild_strict: bool,
    on_unused_input: str,
    label: str,
    backend: str,
) -> Closed:
    """Check what ``function`` was given and bring it into one form; see there for the arguments."""
    listed = _listed(inputs)
    specs = [x if isinstance(x, In) else In(x) for x in parts_of(listed)]
    variables = [spec.variable for spec in specs]
    given = replaced(_pairs(givens, "givens"), rebuild_strict)
    _check_distinct(variables, given, label)
    names, roots = _named(outputs)
    composites = _composites(listed, roots)
    roots = parts_of(roots)
    defaults = [None if s.value is None else _default(s, backend) for s in specs]
    new: dict[Any, Any] = {}
    for target, value in _pairs(updates, "updates").items():
        new[target] = _checked_update(target, value)
    for spec, default in zip(specs, defaults, strict=True):
        if spec.update is not None:
            new[default] = _checked_update(default, spec.update)
    n = len(roots)
    roots = replace([*roots, *new.values()], given)
    new = dict(zip(new, roots[n:], strict=True))
    roots = roots[:n]
    _add_default_updates(roots, new, no_default_updates)
    # An input may be a result in the middle of a graph; a fresh leaf stands for it.
    fresh = {v: v.clone() for v in variables if v.owner is not None}
    closed_roots = replace([*roots, *new.values()], fresh)
    closed = Closed(
        specs,
        [fresh.get(v, v) for v in variables],
        defaults,
        names,
        closed_roots[:n],
        list(new),
        closed_roots[n:],
        [],
        composites,
    )
    closed.shared = _shared(closed)
    _check_used(closed, on_unused_input, label)
    return closed


def _listed(inputs: Any) -> list[Any]:
    if isinstance(inputs, (list, tuple)):
        return [declared(x) for x in inputs]
    raise InputError("the inputs of a function are given as a list", expected="[x, y]", actual=type(inputs).__name__)


def _pairs(pairs: Any, what: str) -> dict[Any, Any]:
    """A mapping, or a list of pairs, as a dict; a key that comes twice is an error."""
    if pairs is None:
        return {}
    items = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
    error = InputError if what == "givens" else UpdateError
    if not isinstance(items, Iterable) or isinstance(items, Variable):
        raise error(f"{what} must be pairs or a mapping", actual=f"{pairs!r}")
    found: dict[Any, Any] = {}
    for item in items:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise error(f"{what} must be pairs (variable, expression)", actual=f"{item!r}")
        if item[0] in found:
            raise error(
                f"{what} name {item[0]} twice", hint="combine the two expressions into one" if what == "updates" else ""
            )
        found[item[0]] = item[1]
    return dict(paired(found.items()))


def _named(outputs: Any) -> tuple[tuple[str, ...] | None, list[Any]]:
    if outputs is None:
        return (), []
    if isinstance(outputs, Mapping):
        for key in outputs:
            if not isinstance(key, str):
                raise InputError("the keys of a dict of outputs must be strings", actual=f"{key!r}")
        return tuple(outputs), [_output(v) for v in outputs.values()]
    if isinstance(outputs, (list, tuple)):
        return (), [_output(v) for v in outputs]
    return None, [_output(outputs)]


def _output(value: Any) -> Any:
    if isinstance(value, Out):
        value = value.variable
    if isinstance(value, Composite):
        return value
    try:
        return as_tensor(value)
    except DtypeError as err:
        raise InputError("an output of a function must be an expression", actual=f"{value!r}") from err


def replaced(pairs: Mapping[Any, Any], strict: bool) -> dict[Variable, Variable]:
    """Checked replacements: each value as a variable of its key's dtype that can stand in for it.

    Raises
    ------
    InputError
        If a key is no variable, or the replacement has other dimensions or, with ``strict``, another dtype.
    """
    out: dict[Variable, Variable] = {}
    for key, value in pairs.items():
        if not isinstance(key, Variable):
            raise InputError("only a variable can be replaced", actual=f"{key!r} of {type(key).__name__}")
        new = value if isinstance(value, Variable) else constant(value, dtype=key.dtype)
        same = new.ndim == key.ndim and (new.dtype == key.dtype or not strict)
        if not same or any(
            n is not None and m is not None and n != m for n, m in zip(key.type.shape, new.type.shape, strict=True)
        ):
            error = InputError(
                f"{key} cannot be replaced by {new}: they differ in type",
                expected=str(key.type),
                actual=str(new.type),
                hint=f"cast the replacement with .astype({key.dtype!r}), or pass rebuild_strict=False"
                if new.ndim == key.ndim
                else "",
            )
            error.locate("", (), new.origin.trace())
            raise error
        out[key] = cast(new, key.dtype)
    return out


def _check_distinct(variables: Sequence[Variable], given: Mapping[Variable, Any], label: str) -> None:
    seen: set[Variable] = set()
    for variable in variables:
        if variable in seen:
            raise InputError(f"{label} has the input {variable} twice", hint="list each input once")
        if variable in given:
            raise InputError(
                f"{variable} is an input of {label} and is replaced by givens, too", hint="leave it out of one of them"
            )
        seen.add(variable)


def _default(spec: In, backend: str) -> Any:
    """A private shared variable with the value of an input that a call may leave out."""
    type: TensorType = spec.variable.type
    value = spec.value.get_value() if isinstance(spec.value, SharedVariable) else spec.value
    held = shared(value, name=spec.name, dtype=type.dtype, backend=backend)
    if held.ndim != type.ndim:
        raise InputError(
            f"the value of input {spec.variable} does not fit it", expected=str(type), actual=str(held.type)
        )
    return held


def _checked_update(target: Any, value: Any) -> Any:
    if not isinstance(target, SharedVariable):
        raise UpdateError(
            "only a shared variable can be updated",
            expected="(shared variable, new value)",
            actual=f"{target!r} of {type(target).__name__}",
            hint="keep state in tg.shared(…)",
        )
    new = value if isinstance(value, Variable) else constant(value, dtype=target.dtype)
    compatible = new.ndim == target.ndim and all(
        n is None or m is None or n == m for n, m in zip(target.type.shape, new.type.shape, strict=True)
    )
    if new.dtype != target.dtype or not compatible:
        error = UpdateError(
            f"the update of shared variable {target} does not have its type",
            expected=str(target.type),
            actual=str(new.type),
            hint=f"cast the new value: .astype({target.dtype!r})" if compatible else "",
        )
        error.locate("", (), new.origin.trace())
        raise error
    return new


def _add_default_updates(roots: Sequence[Any], new: dict[Any, Any], without: bool | Sequence[Any]) -> None:
    """Default updates of every shared variable in sight, also of those that default updates bring in."""
    if without is True:
        return
    excluded = set(without) if without else set()
    pending = [*roots, *new.values()]
    while pending:
        found = [v for v in graph_inputs(pending) if isinstance(v, SharedVariable)]
        pending = []
        for variable in found:
            if variable.default_update is not None and variable not in new and variable not in excluded:
                new[variable] = _checked_update(variable, as_tensor(variable.default_update))
                pending.append(new[variable])


def _shared(closed: Closed) -> list[Any]:
    """The shared variables that are read or updated; any other leaf that is no input is an error."""
    known = set(closed.inputs)
    found: dict[Any, None] = {}
    for leaf in graph_inputs(closed.roots, stop=closed.inputs):
        if isinstance(leaf, SharedVariable):
            found[leaf] = None
        elif leaf not in known and not isinstance(leaf, Constant):
            error = MissingInputError(
                f"the graph depends on {leaf}, which is neither an input nor shared",
                expected=", ".join(map(str, closed.inputs)) or "no inputs",
                actual=f"{leaf}: {leaf.type}",
                hint="add it to the inputs, or replace it with givens",
            )
            error.locate("", (), leaf.origin.trace())
            raise error
    private = {d for d in closed.defaults if d is not None}
    found.update(dict.fromkeys(t for t in closed.targets if t not in private))
    return list(found)


def _used(closed: Closed) -> set[Variable]:
    """The variables that the results depend on; a derivative uses what its source depends on, too."""
    used: set[Variable] = set()
    pending: list[Any] = list(closed.roots)
    while pending and not used.issuperset(closed.inputs):
        new = [v for v in ancestors(pending, stop=closed.inputs) if v not in used]
        used.update(new)
        pending = [s for v in new for s in getattr(v.__dict__.get("tag"), "derived_from", ())]
    return used


def _check_used(closed: Closed, what: str, label: str) -> None:
    if what not in ("raise", "warn", "ignore"):
        raise ValueError(f"on_unused_input must be 'raise', 'warn' or 'ignore', not {what!r}")
    used = _used(closed)
    for variable, leaves, origin in _declared(closed):
        if what == "ignore" or not used.isdisjoint(leaves):
            continue
        error = UnusedInputError(
            f"{label} does not use its input {variable}",
            actual=f"{variable}: {variable.type}",
            hint="leave it out, or pass on_unused_input='ignore'",
        )
        error.locate("", (), origin.trace())
        if what == "raise":
            raise error
        warnings.warn(str(error), stacklevel=4)


def _declared(closed: Closed) -> Iterable[tuple[Any, list[Variable], Any]]:
    """Each input as it was declared, the leaves that stand for it, and where it was made."""
    pairs = iter(zip(closed.specs, closed.inputs, strict=True))
    wholes = [None] * len(closed.specs) if closed.composites is None else closed.composites.inputs
    for whole in wholes:
        group = list(itertools.islice(pairs, 1 if whole is None else len(whole.parts)))
        first = group[0][0].variable
        yield first if whole is None else whole, [leaf for _, leaf in group], first.origin
