"""Graphs looked at and taken apart: what Theano's programs ask of ``gof.graph``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygraph.errors import DtypeError
from tinygraph.graph import (
    Apply,
    Body,
    Constant,
    SharedVariable,
    Variable,
    apply_node,
    graph_inputs,
    origin_scope,
    replace,
    toposort,
)
from tinygraph.graph import ancestors as _ancestors

__all__ = [
    "FunctionGraph",
    "ancestors",
    "clone",
    "clone_get_equiv",
    "equal_computations",
    "inputs",
    "io_toposort",
    "is_in_ancestors",
    "is_same_graph",
    "list_of_nodes",
    "map_variables",
    "ops",
    "orphans",
    "variables",
    "variables_and_orphans",
]

# --- looking --------------------------------------------------------------------------------------------------------


def ancestors(variable_list: Iterable[Variable], blockers: Iterable[Variable] | None = None) -> list[Any]:
    """Every variable that the given ones depend on, and these; nothing is looked for behind ``blockers``.

    The order is Theano's, which programs use to tell parameters apart: each variable stands before what it depends on,
    the first input of a node before the others, and the last of the given variables before the others.
    """
    stop = set(blockers or ())
    found: dict[Any, None] = {}
    waiting = list(variable_list)
    while waiting:
        variable = waiting.pop()
        if variable not in found:
            found[variable] = None
            if variable.owner is not None and variable not in stop:
                waiting.extend(reversed(variable.owner.inputs))
    return list(found)


def inputs(variable_list: Iterable[Variable], blockers: Iterable[Variable] | None = None) -> list[Any]:
    """The variables without owner that the given ones depend on: inputs, shared variables and constants.

    >>> import tinygraph.tensor as T
    >>> x, w = T.dscalars("x", "w")
    >>> inputs([x * w + x])
    [x, w]
    """
    return [v for v in ancestors(variable_list, blockers) if v.owner is None]


def variables(i: Iterable[Variable], o: Iterable[Variable]) -> set[Any]:
    """The variables between inputs ``i`` and outputs ``o``, and these themselves."""
    return {*_ancestors(list(o), list(i)), *i}


def orphans(i: Iterable[Variable], o: Iterable[Variable]) -> set[Any]:
    """The variables without owner that outputs ``o`` depend on beside the inputs ``i``."""
    given = set(i)
    return {v for v in variables(given, o) if v.owner is None and v not in given}


def variables_and_orphans(i: Iterable[Variable], o: Iterable[Variable]) -> tuple[list[Any], list[Any]]:
    """Both of what ``variables`` and ``orphans`` give, in the order in which they are needed."""
    given = list(i)
    found = list(dict.fromkeys([*given, *_ancestors(list(o), given)]))
    return found, [v for v in found if v.owner is None and v not in set(given)]


def ops(i: Iterable[Variable], o: Iterable[Variable]) -> set[Apply]:
    """The nodes between inputs ``i`` and outputs ``o``."""
    return set(io_toposort(i, o))


def io_toposort(inputs: Iterable[Variable], outputs: Iterable[Variable], orderings: Any = None) -> list[Apply]:
    """The nodes between inputs and outputs, each after those that it needs.

    ``orderings`` is accepted as in Theano; no operation here writes to its inputs, so there are none.
    """
    return toposort(list(outputs), list(inputs))


def list_of_nodes(inputs: Iterable[Variable], outputs: Iterable[Variable]) -> list[Apply]:
    """The nodes between inputs and outputs, those nearest the outputs first."""
    return io_toposort(inputs, outputs)[::-1]


def is_in_ancestors(l_node: Apply, f_node: Apply) -> bool:
    """True where a node needs another one, or is it."""
    return f_node in toposort(l_node.outputs)


# --- comparing ------------------------------------------------------------------------------------------------------


def is_same_graph(var1: Variable, var2: Variable, givens: Any = None, debug: bool = False) -> bool:
    """True where two variables are computed in the same way from the same inputs.

    Parameters
    ----------
    var1, var2
        Expressions.
    givens
        Variables and what replaces them, in both.
    debug
        Accepted as in Theano.

    >>> import tinygraph.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> is_same_graph(x + 1, x + 1), is_same_graph(x + 1, y + 1), is_same_graph(x + 1, y + 1, {x: y})
    (True, False, True)
    """
    first, second = replace([var1, var2], dict(givens or {}))
    return equal_computations([first], [second])


def equal_computations(
    xs: Sequence[Any], ys: Sequence[Any], in_xs: Sequence[Any] | None = None, in_ys: Sequence[Any] | None = None
) -> bool:
    """True where each of ``xs`` is computed as that of ``ys``, when the inputs ``in_xs`` stand for ``in_ys``."""
    if len(xs) != len(ys):
        return False
    numbers: dict[Any, int] = {}
    known: dict[Variable, int] = {}

    def number(key: Any) -> int:
        return numbers.setdefault(key, len(numbers))

    for x, y in zip(in_xs or (), in_ys or (), strict=True):
        if (x.dtype, x.ndim) != (y.dtype, y.ndim):
            return False
        known[x] = known[y] = number(x)
    for node in toposort([*xs, *ys], stop=set(known)):
        for v in node.inputs:
            if v not in known:
                known[v] = number(v.signature() if isinstance(v, Constant) else v)
        made = (node.op, *(known[v] for v in node.inputs))
        known.update((v, number((made, i))) for i, v in enumerate(node.outputs))
    ends = [known.get(v, v.signature() if isinstance(v, Constant) else v) for v in (*xs, *ys)]
    return ends[: len(xs)] == ends[len(xs) :]


# --- changing -------------------------------------------------------------------------------------------------------


def clone(i: Sequence[Any], o: Sequence[Any], copy_inputs: bool = True) -> tuple[list[Any], list[Any]]:
    """The graph between inputs and outputs again: its inputs, copied unless ``copy_inputs`` is False, and outputs."""
    equivalent = clone_get_equiv(i, o, copy_inputs)
    return [equivalent[v] for v in i], [equivalent[v] for v in o]


def clone_get_equiv(
    inputs: Sequence[Any], outputs: Sequence[Any], copy_inputs: bool = True, copy_orphans: bool = True
) -> dict[Any, Any]:
    """For each variable and node between inputs and outputs its copy.

    Constants and shared variables stand for themselves; other orphans are copied if ``copy_orphans``.
    """
    found: dict[Any, Any] = {v: v.clone() if copy_inputs else v for v in inputs}
    for orphan in variables_and_orphans(inputs, outputs)[1]:
        kept = isinstance(orphan, (Constant, SharedVariable)) or not copy_orphans
        found[orphan] = orphan if kept else orphan.clone()
    for node in io_toposort(inputs, outputs):
        results = apply_node(node, [found[v] for v in node.inputs])
        found[node] = results[0].owner
        found.update((old, new) for old, new in zip(node.outputs, results, strict=True) if old not in found)
    return found


def map_variables(
    replacer: Callable[[Any], Any], graphs: Iterable[Any], additional_inputs: Iterable[Any] = ()
) -> list[Any]:
    """The expressions with variables replaced, inside loops and ``OpFromGraph``, too.

    Parameters
    ----------
    replacer
        Gets each variable, and returns it or what stands in its place, of the same dtype and number of dimensions.
        Replacements are taken as they are.
    graphs
        Expressions.
    additional_inputs
        Accepted as in Theano; replacements may depend on anything.

    Raises
    ------
    DtypeError
        If a replacement is of another type.

    >>> import tinygraph.tensor as T
    >>> a, b, c = T.dscalars("a", "b", "c")
    >>> total = a + b
    >>> (new,) = map_variables(lambda v: a * b if v is total else v, [total + c])
    >>> float(new.eval({a: 2.0, b: 3.0, c: 1.0}))
    7.0
    """
    return _mapped(replacer, list(graphs), ())


def _mapped(replacer: Callable[[Any], Any], outputs: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    new: dict[Variable, Any] = {v: v for v in given}

    def place(old: Variable, default: Any) -> None:
        found = replacer(old)
        found = default if found is old else found
        if not isinstance(found, Variable) or (found.dtype, found.ndim) != (old.dtype, old.ndim):
            raise DtypeError(
                f"{old} cannot be replaced by something of another type",
                expected=str(old.type),
                actual=str(getattr(found, "type", type(found).__name__)),
            )
        new[old] = found

    for leaf in graph_inputs(outputs, given):
        if leaf not in new:
            place(leaf, leaf)
    for node in toposort(outputs, given):
        made = _mapped_node(replacer, node, [new[v] for v in node.inputs])
        for old, default in zip(node.outputs, made, strict=True):
            place(old, default)
    return [new[v] for v in outputs]


def _mapped_node(replacer: Callable[[Any], Any], node: Apply, inputs: Sequence[Any]) -> Sequence[Any]:
    """The node's outputs on these inputs, with what its inner graph holds replaced, too."""
    same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
    if len(node.op.bodies) == 1 and "body" in node.op._fields:
        (body,) = node.op.bodies
        outputs = _mapped(replacer, body.outputs, body.inputs)
        if any(new is not old for new, old in zip(outputs, body.outputs, strict=True)):
            return _with_body(node, body, outputs, inputs)
    return node.outputs if same else apply_node(node, inputs)


def _with_body(node: Apply, body: Body, outputs: Sequence[Any], inputs: Sequence[Any]) -> Sequence[Any]:
    """The node with other expressions in its inner graph; what they need from outside comes in as a constant."""
    own = set(body.inputs)
    needed = [v for v in graph_inputs(outputs, body.inputs) if v not in own and not isinstance(v, Constant)]
    op = object.__new__(type(node.op))
    op.__setstate__({**node.op.__getstate__(), "body": Body([*body.inputs, *needed], outputs)})
    with origin_scope(node.origin):
        return Apply(op, [*inputs, *needed]).outputs


class FunctionGraph:
    """A graph between inputs and outputs, for programs that inspect what was compiled.

    Attributes
    ----------
    inputs, outputs
        Its ends.
    """

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any], features: Any = None, clone: bool = True) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)

    def toposort(self) -> list[Apply]:
        """The nodes, each after those that it needs."""
        return io_toposort(self.inputs, self.outputs)

    @property
    def apply_nodes(self) -> set[Apply]:
        """The nodes."""
        return set(self.toposort())

    @property
    def variables(self) -> set[Any]:
        """Every variable, inputs and outputs among them."""
        return variables(self.inputs, self.outputs)

    def __repr__(self) -> str:
        return f"[{', '.join(map(str, self.toposort()))}]"
