"""Expressions as mathematics: ``softmax(tanh(X·W1 + b1)·W2 + b2)``."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tinygraph.graph import Apply, Constant, Op, Variable
from tinygraph.ops.convert import Cast
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.join import Join
from tinygraph.ops.layout import AxisExtent, DimShuffle, Shape
from tinygraph.ops.linalg import MatMul
from tinygraph.ops.reduce import ArgReduce, Reduce
from tinygraph.ops.softmax import LogSoftmax, LogSumExp, Softmax, SoftmaxGrad
from tinygraph.ops.subtensor import AdvancedIncSubtensor, AdvancedSubtensor, IncSubtensor, Indexing, Subtensor
from tinygraph.program.text import value_text
from tinygraph.types import shape_text
from tinygraph.viz.subject import subject_of

__all__ = [
    "Formula",
    "array_text",
    "body_rows",
    "formula_rows",
    "formulas",
    "leaf_text",
    "letters",
    "op_words",
    "options_of",
    "pprint",
]

#: How tightly operators bind, as in Python; a product of matrices binds like any product.
_PRECEDENCE = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 10),
    "|": 20,
    "^": 25,
    "&": 30,
    "+": 40,
    "-": 40,
    **dict.fromkeys(("*", "/", "//", "%", "·"), 50),
    "**": 70,
}
_UNARY, _ATOM = 60, 100
_UNARY_SIGNS = {"neg": "-", "invert": "~"}

#: Longer results that are used more than once get a name of their own; so does what would make a line longer.
_SHORT, _LONG = 16, 160

#: A piece of the text of a node: text, or a variable with the least precedence that needs no parentheses.
Piece = str | tuple[Variable, int]
Pieces = tuple[list[Piece], int]


def pprint(expression: Any, stop: Mapping[Variable, str] | None = None) -> str:
    """Expressions as mathematics.

    Parameters
    ----------
    expression
        A variable, an Apply node, or a list, tuple or dict of variables. Of a compiled function: what it computes, as
        it was rewritten.
    stop
        Variables that are not looked behind, with the text that stands for each.

    Named results, and what is used more than once, stand in lines of their own.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> X, W, b = T.matrix("X"), T.matrix("W"), T.vector("b")
    >>> print(pprint(T.nnet.softmax(T.tanh(X.dot(W) + b) ** 2)))
    softmax(tanh(X·W + b)²)
    >>> h = T.tanh(X.dot(W))
    >>> h.name = "h"
    >>> print(pprint(-T.log(h).mean()))
    -mean(log(h))
      where h = tanh(X·W)
    """
    roots = subject_of(expression).roots
    found = formulas([root.variable for root in roots], stop or {}, [root.label for root in roots])
    rows = [f"{root.label} = {text}" if root.label else text for root, text in zip(roots, found.results, strict=True)]
    for i, (name, text) in enumerate(found.where):
        rows.append(f"  {'where' if i == 0 else '     '} {name} = {text}")
    return "\n".join(rows)


class Formula:
    """The text of some expressions, and of what they refer to by name.

    Attributes
    ----------
    results
        A text for each expression.
    where
        Pairs of a name and its text, each after what refers to it.
    """

    def __init__(self, results: list[str], where: list[tuple[str, str]]) -> None:
        self.results = results
        self.where = where


def formulas(roots: Sequence[Variable], stop: Mapping[Variable, str], labels: Sequence[str] = ()) -> Formula:
    """The text of expressions; ``stop`` says which variables are not looked behind, and what they are called."""
    return _Writer(roots, stop, labels).written()


def formula_rows(roots: Sequence[Variable], stop: Mapping[Variable, str], most: int = 6) -> list[str]:
    """The text of expressions in lines, at most so many."""
    found = formulas(roots, stop)
    rows = [*found.results, *(f"{name} = {text}" for name, text in found.where)]
    return [*rows[:most], *(["…"] if len(rows) > most else [])]


def letters(variables: Iterable[Variable]) -> dict[Variable, str]:
    """What to call variables whose expressions are not shown: their names, or letters."""
    variables = list(dict.fromkeys(variables))
    used = {v.name for v in variables}
    free = (x for x in string.ascii_lowercase if x not in used)
    found: dict[Variable, str] = {}
    for variable in variables:
        if isinstance(variable, Constant):
            found[variable] = leaf_text(variable)[0]
        else:
            found[variable] = (variable.name or "").rpartition("/")[2] or next(free, "…")
    return found


def body_rows(op: Op) -> list[str]:
    """What the inner graphs of an operation compute from their inputs."""
    return [row for body in op.bodies for row in formula_rows(body.outputs, letters(body.inputs))]


class _Writer:
    def __init__(self, roots: Sequence[Variable], stop: Mapping[Variable, str], labels: Sequence[str]) -> None:
        self.roots = roots
        self.text: dict[Variable, tuple[str, int]] = {v: (text, _ATOM) for v, text in stop.items()}
        self.labels = dict(zip(roots, labels, strict=False))
        self.taken = {*labels, *stop.values()}
        self.pieces: dict[Variable, Pieces] = {}
        self.uses: dict[Variable, int] = {}
        self.counter = 0

    def written(self) -> Formula:
        order = self._demanded()
        self.taken.update(v.name for v in order if v.owner is None and v.name)
        where: list[tuple[str, str]] = []
        results: dict[Variable, str] = {}
        for variable in order:
            if variable in self.text:
                continue
            if variable.owner is None:
                self.text[variable] = leaf_text(variable)
                continue
            pieces, precedence = self.pieces[variable]
            text = "".join(piece if isinstance(piece, str) else self._wrapped(*piece) for piece in pieces)
            if len(pieces) == 1 and isinstance(pieces[0], tuple):
                precedence = self.text[pieces[0][0]][1]
            used = self.uses.get(variable, 0)
            named = variable.name is not None or len(text) > (_SHORT if used > 1 else _LONG)
            label = self.labels.get(variable)
            if label:
                results[variable] = text
                self.text[variable] = (label, _ATOM)
            elif used and named:
                name = self._name(variable)
                self.taken.add(name)
                where.append((name, text))
                self.text[variable] = (name, _ATOM)
            else:
                self.text[variable] = (text, precedence)
        return Formula([results.get(v, self.text[v][0]) for v in self.roots], where[::-1])

    def _demanded(self) -> list[Variable]:
        """Every variable whose text is needed, each after what it is made of; counts their uses."""
        order: list[Variable] = []
        seen: set[Variable] = set()
        for root in self.roots:
            stack: list[tuple[Variable, bool]] = [(root, False)]
            while stack:
                variable, done = stack.pop()
                if done:
                    order.append(variable)
                if done or variable in seen:
                    continue
                seen.add(variable)
                stack.append((variable, True))
                if variable.owner is None or variable in self.text:
                    continue
                pieces = self.pieces[variable] = _pieces(variable.owner, variable.index)
                parts = [piece[0] for piece in pieces[0] if isinstance(piece, tuple)]
                for part in parts:
                    self.uses[part] = self.uses.get(part, 0) + 1
                stack.extend((part, False) for part in reversed(parts))
        return order

    def _wrapped(self, variable: Variable, least: int) -> str:
        text, precedence = self.text[variable]
        return text if precedence >= least else f"({text})"

    def _name(self, variable: Variable) -> str:
        name = variable.name or ""
        if name and name not in self.taken:
            return name
        while not name or name in self.taken:
            self.counter += 1
            name = f"{variable.name or 't'}{self.counter}"
        return name


def leaf_text(variable: Variable) -> tuple[str, int]:
    """The text of a leaf and its precedence."""
    if isinstance(variable, Constant) and variable.name is None:
        text = array_text(variable.data)
        return text, _UNARY if text.startswith("-") else _ATOM
    return str(variable), _ATOM


def array_text(data: Any) -> str:
    """A constant's value in a few characters."""
    if data.ndim == 0:
        return str(data.item()) if data.dtype.kind in "biu" else f"{data.item():.6g}"
    if data.size > 4 and (data == data.flat[0]).all():
        return f"full({shape_text(data.shape)}, {data.flat[0].item():.6g})"
    text = value_text(data, longest=40)
    return f"<constant {data.dtype.name} {shape_text(data.shape)}>" if text == "…" else text


# --- the text of one operation --------------------------------------------------------------------------------------


def _pieces(node: Apply, index: int = 0) -> Pieces:
    write = _WRITERS.get(type(node.op), _call)
    pieces, precedence = write(node)
    if len(node.outputs) > 1:
        return [*pieces, f"[{index}]"], _ATOM
    return pieces, precedence


def _joined(parts: Iterable[Variable | str]) -> list[Piece]:
    pieces: list[Piece] = []
    for part in parts:
        if pieces:
            pieces.append(", ")
        pieces.append(part if isinstance(part, str) else (part, 0))
    return pieces


def _called(name: str, parts: Iterable[Variable | str]) -> Pieces:
    return [f"{name}(", *_joined(parts), ")"], _ATOM


def _call(node: Apply) -> Pieces:
    return _called(node.op.name, [*node.inputs, *options_of(node)])


def options_of(node: Apply) -> list[str]:
    """``field=value`` for the fields of an operation, without those that have their default or that the types tell."""
    op = node.op
    if isinstance(op, (Reduce, ArgReduce, LogSumExp)):
        return _axes_text(op, node.inputs[0])
    if isinstance(op, (Softmax, LogSoftmax, SoftmaxGrad)):
        return [] if op.axis == node.inputs[-1].ndim - 1 else [f"axis={op.axis}"]
    options: list[str] = []
    for field in op._fields if not op.bodies else ():
        value = getattr(op, field)
        plain = isinstance(value, (bool, int, float, str, tuple)) and len(str(value)) <= 24
        if plain and field not in ("dtype", "label", "row") and value != getattr(type(op), field, None):
            options.append(f"{field}={value!r}")
    return options


def op_words(node: Apply) -> str:
    """An operation in the reader's words, for the first line of a box.

    >>> import tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> op_words(x.T.owner), op_words(x.sum(axis=0).owner), op_words(x[0].owner)
    ('transpose', 'sum, axis=0', 'subtensor[0]')
    """
    op = node.op
    if isinstance(op, Elementwise):
        return op.row.rstrip("_")
    if isinstance(op, DimShuffle):
        reversed_axes = tuple(reversed(range(node.inputs[0].ndim)))
        return "transpose" if len(op.pattern) > 1 and op.pattern == reversed_axes else str(op)
    if isinstance(op, Indexing):
        return str(op).removeprefix("advanced_")
    name = {"logsoftmax": "log_softmax"}.get(op.name, op.name)
    plain = isinstance(op, (Cast, AxisExtent)) or op.bodies
    return ", ".join([name, *([] if plain else options_of(node))])


def _infix(x: Variable, sign: str, y: Variable) -> Pieces:
    level = _PRECEDENCE[sign]
    space = "" if sign in ("·", "**") else " "
    return [(x, level), f"{space}{sign}{space}", (y, level + 1)], level


def _elementwise(node: Apply) -> Pieces:
    row = node.op.spec  # type: ignore[attr-defined]
    x = node.inputs[0]
    if row.name in _UNARY_SIGNS:
        return [_UNARY_SIGNS[row.name], (x, _UNARY)], _UNARY
    if row.name == "sqr":
        return [(x, _PRECEDENCE["**"] + 1), "²"], _PRECEDENCE["**"]
    if row.name == "inv":
        return ["1 / ", (x, _PRECEDENCE["/"] + 1)], _PRECEDENCE["/"]
    if row.name == "true_div" and (mean := _mean(node)) is not None:
        return mean
    if row.name == "pow":
        return _power(x, node.inputs[1])
    if row.symbol and len(node.inputs) == 2:
        return _infix(x, row.symbol, node.inputs[1])
    return _called(row.name.rstrip("_"), node.inputs)


def _power(x: Variable, y: Variable) -> Pieces:
    level = _PRECEDENCE["**"]
    raised = {2: "²", 3: "³"}.get(y.data.item()) if isinstance(y, Constant) and y.ndim == 0 else None
    if raised:
        return [(x, level + 1), raised], level
    return [(x, level + 1), "**", (y, level)], level


def _mean(node: Apply) -> Pieces | None:
    """A sum divided by the number of elements summed over."""
    total, count = (_uncast(v) for v in node.inputs)
    if total.name is not None or total.owner is None or not isinstance(total.owner.op, Reduce):
        return None
    op, (x,) = total.owner.op, total.owner.inputs
    if op.kind != "sum" or not op.axes or not _counts(count, x, op.axes):
        return None
    return _called("mean", [x, *_axes_text(op, x)])


def _uncast(variable: Variable) -> Variable:
    while variable.owner is not None and isinstance(variable.owner.op, Cast) and variable.name is None:
        variable = variable.owner.inputs[0]
    return variable


def _counts(count: Variable, x: Variable, axes: Sequence[int]) -> bool:
    """True where ``count`` is the number of elements along ``axes`` of ``x``."""
    expected = 1
    left = []
    for axis in axes:
        extent = x.type.shape[axis]
        if extent is None:
            left.append(axis)
        else:
            expected *= extent
    known = 1
    stack = [count]
    while stack:
        factor = _uncast(stack.pop())
        owner = factor.owner
        if isinstance(factor, Constant) and factor.ndim == 0:
            known *= factor.data.item()
        elif owner is not None and isinstance(owner.op, Elementwise) and owner.op.row == "mul":
            stack.extend(owner.inputs)
        elif owner is not None and isinstance(owner.op, AxisExtent) and owner.inputs[0].like is x.like:
            if owner.op.axis not in left:
                return False
            left.remove(owner.op.axis)
        else:
            return False
    return not left and known == expected


def _axes_text(op: Any, x: Variable) -> list[str]:
    """The options of a reduction that are not the usual ones."""
    options = []
    if op.axes != tuple(range(x.ndim)):
        options.append(f"axis={op.axes[0] if len(op.axes) == 1 else op.axes}")
    if op.keepdims:
        options.append("keepdims=True")
    return options


def _cast(node: Apply) -> Pieces:
    return _called(node.op.dtype, node.inputs)  # type: ignore[attr-defined]


def _dimshuffle(node: Apply) -> Pieces:
    pattern, (x,) = node.op.pattern, node.inputs  # type: ignore[attr-defined]
    if x.ndim > 1 and pattern == tuple(reversed(range(x.ndim))):
        return [(x, _ATOM), ".T"], _ATOM
    kept = tuple(axis for axis in pattern if axis != "x")
    if kept == tuple(range(x.ndim)) and pattern[len(pattern) - len(kept) :] == kept:
        return [(x, 0)], 0  # new leading axes, which broadcasting adds of itself
    if kept == tuple(range(x.ndim)):
        return [(x, _ATOM), f"[{', '.join('None' if axis == 'x' else ':' for axis in pattern)}]"], _ATOM
    return [(x, _ATOM), f".dimshuffle({', '.join(map(repr, pattern))})"], _ATOM


def _index(idx: Sequence[Any], inputs: Sequence[Variable]) -> list[Piece]:
    pending = iter(inputs)

    def entry(value: Any) -> list[Piece]:
        if isinstance(value, str):
            return [(next(pending), 0)]
        return [] if value is None else ["..." if value is Ellipsis else str(value)]

    pieces: list[Piece] = ["["]
    for i, value in enumerate(idx):
        if i:
            pieces.append(", ")
        if isinstance(value, tuple):
            start, stop, step = map(entry, value)
            pieces.extend([*start, ":", *stop, *([":", *step] if step else [])])
        else:
            pieces.extend(entry(value) or ["None"])
    return [*pieces, "]"]


def _subtensor(node: Apply) -> Pieces:
    x, *indices = node.inputs
    return [(x, _ATOM), *_index(node.op.idx, indices)], _ATOM  # type: ignore[attr-defined]


def _writing(node: Apply) -> Pieces:
    x, y, *indices = node.inputs
    op: Any = node.op
    name = "set_subtensor" if op.set else "inc_subtensor"
    return [f"{name}(", (x, _ATOM), *_index(op.idx, indices), ", ", (y, 0), ")"], _ATOM


def _join(node: Apply) -> Pieces:
    axis = node.op.axis  # type: ignore[attr-defined]
    return ["concatenate([", *_joined(node.inputs), "]", f", axis={axis}" if axis else "", ")"], _ATOM


_WRITERS: dict[type, Callable[[Apply], Pieces]] = {
    Elementwise: _elementwise,
    MatMul: lambda node: _infix(node.inputs[0], "·", node.inputs[1]),
    LogSoftmax: lambda node: _called("log_softmax", [*node.inputs, *options_of(node)]),
    Cast: _cast,
    DimShuffle: _dimshuffle,
    Shape: lambda node: ([(node.inputs[0], _ATOM), ".shape"], _ATOM),
    AxisExtent: lambda node: ([(node.inputs[0], _ATOM), f".shape[{node.op.axis}]"], _ATOM),  # type: ignore[attr-defined]
    Subtensor: _subtensor,
    AdvancedSubtensor: _subtensor,
    IncSubtensor: _writing,
    AdvancedIncSubtensor: _writing,
    Join: _join,
}
