"""Sums of products over named axes."""

from __future__ import annotations

import functools
import itertools
import math
import string
from collections.abc import Iterable, Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError, TinygraphError
from tinygraph.graph import Op
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_operands
from tinygraph.ops.layout import BroadcastTo, DimShuffle, Shape, SumTo
from tinygraph.ops.matrices import diagonal
from tinygraph.ops.reduce import any as any_over
from tinygraph.ops.reduce import sum as sum_over
from tinygraph.ops.scalar import eq, switch
from tinygraph.ops.shape import as_shape, extent, specify_shape
from tinygraph.types import Abstract, Extent, TensorType, broadcast_extent, shape_text

__all__ = ["Einsum", "einsum"]

Vjp = Sequence[Any]


class Einsum(Op):
    """The sum, over all labels that the output lacks, of the products of elements with equal labels.

    An axis of extent 1 is broadcast against the axes of its label in other operands.

    Parameters
    ----------
    terms
        For each operand, of which there are at least two, one letter for each axis: its label. None is repeated.
    output
        The labels of the result, each of which is in a term.
    """

    terms: tuple[str, ...]
    output: str

    analytic = True

    def __str__(self) -> str:
        return f"einsum({','.join(self.terms)}->{self.output})"

    def infer(self, *operands: Abstract) -> TensorType:
        found: dict[str, list[Extent]] = {}
        for label, n in zip("".join(self.terms), itertools.chain(*[x.shape for x in operands]), strict=True):
            found.setdefault(label, []).append(n)
        extents: dict[str, Extent] = {}
        for label, sizes in found.items():
            try:
                extents[label] = broadcast_extent(sizes)
            except ValueError as err:
                raise ShapeError(
                    f"the label {label!r} stands for the extents {err}",
                    expected="equal extents, or 1, for each label",
                    actual=", ".join(f"{t}: {shape_text(x.shape)}" for t, x in zip(self.terms, operands, strict=True)),
                ) from None
        return TensorType(operands[0].dtype, tuple(extents[label] for label in self.output))

    def compute(self, xp: Any, *operands: Any) -> Any:
        live = list(zip(operands, self.terms, strict=True))
        for i, j in _order(self.terms, self.output, tuple(x.shape for x in operands)):
            second, first = live.pop(j), live.pop(i)
            live.append(_product(xp, *first, *second, "".join(term for _, term in live) + self.output))
        ((result, term),) = live
        return xp.transpose(result, tuple(map(term.index, self.output)))

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        def cotangent(position: int) -> Any:
            x, own = inputs[position], self.terms[position]
            others = [i for i in range(len(inputs)) if i != position]
            terms = (self.output, *[self.terms[i] for i in others])
            found = "".join(label for label in own if any(label in term for term in terms))
            g = Einsum(terms, found)(cotangents[0], *[inputs[i] for i in others])
            if found != own:
                g = DimShuffle(tuple(found.index(label) if label in found else "x" for label in own))(g)
            if any(label not in self.output for label in own):
                g = _repeated(g, x)
            return g if g.type.known and g.type.shape == x.type.shape else SumTo()(g, Shape()(x))

        return [functools.partial(cotangent, i) for i in range(len(inputs))]


def _repeated(g: Any, x: Any) -> Any:
    """``g``, each axis of which has the extent of ``x`` or one of them is 1, repeated where that of ``g`` is 1."""
    shape: Any = [m if n == 1 else n for n, m in zip(g.type.shape, x.type.shape, strict=True)]
    if None in (*shape, *g.type.shape):
        shape = switch(eq(Shape()(g), 1), Shape()(x), Shape()(g))
    elif tuple(shape) == g.type.shape:
        return g
    return BroadcastTo()(g, as_shape(shape, "einsum", g.ndim))


# --- computing it: pair by pair, each by one matrix product -------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _order(terms: tuple[str, ...], output: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, int], ...]:
    """Which two operands to multiply next; their product comes last among those that are left.

    Of all pairs the one is taken that leaves the least to hold, then the one with the least to compute.
    """
    sizes: dict[str, int] = {}
    for label, n in zip("".join(terms), itertools.chain(*shapes), strict=True):
        sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]

    def volume(labels: Iterable[str]) -> int:
        return math.prod(sizes[label] for label in labels)

    live = [frozenset(term) for term in terms]
    order = []
    while len(live) > 1:
        ranked = []
        for i, j in itertools.combinations(range(len(live)), 2):
            both = live[i] | live[j]
            kept = both & frozenset(output).union(*[term for k, term in enumerate(live) if k not in (i, j)])
            ranked.append((volume(kept) - volume(live[i]) - volume(live[j]), volume(both), i, j, kept))
        *_, i, j, kept = min(ranked, key=lambda entry: entry[:4])
        order.append((i, j))
        live = [term for k, term in enumerate(live) if k not in (i, j)] + [kept]
    return tuple(order)


def _product(xp: Any, x: Any, x_term: str, y: Any, y_term: str, wanted: str) -> tuple[Any, str]:
    """The product of two operands, summed over labels that are not wanted any more, and its labels."""
    for label in set(x_term) & set(y_term):
        n, m = x.shape[x_term.index(label)], y.shape[y_term.index(label)]
        if n != m and n == 1:  # an axis that is broadcast counts for nothing
            x, x_term = x.squeeze(x_term.index(label)), x_term.replace(label, "")
        elif n != m:
            y, y_term = y.squeeze(y_term.index(label)), y_term.replace(label, "")
    x, x_term = _summed(x, x_term, y_term + wanted)
    y, y_term = _summed(y, y_term, x_term + wanted)
    shared = [label for label in x_term if label in y_term]
    batch, inner = [a for a in shared if a in wanted], [a for a in shared if a not in wanted]
    left, right = [a for a in x_term if a not in shared], [a for a in y_term if a not in shared]
    x = xp.transpose(x, tuple(map(x_term.index, batch + left + inner)))
    y = xp.transpose(y, tuple(map(y_term.index, batch + inner + right)))
    term = "".join(batch + left + right)
    if not inner:
        spread = (slice(None),) * len(batch) + (None,) * len(left)
        return x[(..., *(None,) * len(right))] * y[spread], term
    ends = len(batch), len(batch) + len(left), len(batch) + len(inner)
    shape = (*x.shape[: ends[1]], *y.shape[ends[2] :])
    stack, count = x.shape[: ends[0]], math.prod(x.shape[ends[1] :])
    rows, columns = math.prod(x.shape[ends[0] : ends[1]]), math.prod(y.shape[ends[2] :])
    product = xp.matmul(x.reshape((*stack, rows, count)), y.reshape((*stack, count, columns)))
    return product.reshape(shape), term


def _summed(x: Any, term: str, wanted: str) -> tuple[Any, str]:
    """``x`` summed over its labels that nobody wants."""
    alone = tuple(axis for axis, label in enumerate(term) if label not in wanted)
    if not alone:
        return x, term
    return x.sum(axis=alone, dtype=x.dtype), "".join(label for label in term if label in wanted)


# --- reading what the user wrote ----------------------------------------------------------------------------------


def einsum(subscripts: Any, *operands: Any, optimize: Any = True) -> Any:
    """Sums of products over named axes, in the whole notation of ``np.einsum``.

    Parameters
    ----------
    subscripts
        For each operand the letters that label its axes, separated by commas. Elements with equal labels are
        multiplied, and a label that one operand repeats stands for its diagonal. ``...`` stands for any number of axes,
        which are broadcast from the right. After ``->`` the labels of the result, summed over all others; without it,
        the labels that occur once, in alphabetical order, behind those of the ellipsis.
    operands
        Tensors of a common dtype. In NumPy's other notation operands and lists of integers take turns, ``...`` being an
        entry like any other, and a last list says the result.
    optimize
        Accepted as in NumPy. Products of three and more are always ordered so that little has to be held and computed.

    Each pair of operands is multiplied by one matrix product. As in NumPy, an axis of extent 1 is broadcast.

    Raises
    ------
    ShapeError
        If the operands do not fit the notation, or each other.
    DtypeError
        If the notation has no meaning.

    >>> import tinygraph.tensor as T
    >>> x, y = T.matrix("x"), T.matrix("y")
    >>> T.einsum("ij,ij->i", x, y).eval({x: [[1, 2], [3, 4]], y: [[1, 1], [10, 0]]}).tolist()
    [3.0, 30.0]
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _written_out((subscripts, *operands))
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise _wrong(f"{len(terms)} terms for {len(operands)} operands", subscripts)
    tensors, dtype = as_operands(operands)
    labels, dots = _labelled(terms, tensors, subscripts)
    once = sorted(label for label in set(inputs) & _LETTERS if inputs.count(label) == 1)
    output = _expanded(result if arrow else "..." + "".join(once), dots, subscripts)
    if len(set(output)) < len(output) or not set(output) <= set("".join(labels)) | set(dots):
        raise _wrong("each label of the result is one of an operand, and there once", subscripts)
    if arrow and "..." not in result and dots:
        raise _wrong("the result lacks the axes of the ellipsis", subscripts)
    for position, term in enumerate(labels):
        tensors[position], labels[position] = _diagonal(tensors[position], term)
    if len(tensors) > 1:
        return Einsum(tuple(labels), output)(*tensors)
    (x,), (term,) = tensors, labels
    alone = [axis for axis, label in enumerate(term) if label not in output]
    if alone:
        x = any_over(x, alone) if dtype == "bool" else sum_over(x, alone, dtype=dtype)
    kept = [label for label in term if label in output]
    return DimShuffle(tuple(map(kept.index, output)))(x)


_LETTERS = frozenset(string.ascii_letters)


def _wrong(problem: str, subscripts: str) -> TinygraphError:
    return located(
        DtypeError(problem, expected="letters and '...', such as 'ij,jk->ik'", actual=repr(subscripts)), "einsum"
    )


def _expanded(term: str, dots: str, subscripts: str) -> str:
    """A term with the labels of an ellipsis written out."""
    head, ellipsis, tail = term.partition("...")
    if not set(head + tail) <= _LETTERS:
        raise _wrong(f"{term!r} is no list of labels", subscripts)
    return head + (dots if ellipsis else "") + tail


def _labelled(terms: Sequence[str], tensors: Sequence[Any], subscripts: str) -> tuple[list[str], str]:
    """A label for each axis of each operand, and those that ellipses stand for."""
    counts = []
    for number, (term, x) in enumerate(zip(terms, tensors, strict=True)):
        named = len(_expanded(term, "", subscripts))
        if named > x.ndim or (named < x.ndim and "..." not in term):
            raise located(
                ShapeError(
                    f"operand {number} has {x.ndim} dimensions, its term {term!r} {named}",
                    expected="a label for each axis, or '...' for the others",
                    actual=repr(subscripts),
                ),
                "einsum",
            )
        counts.append(x.ndim - named)
    longest = max(counts, default=0)
    free = [label for label in string.ascii_letters if label not in subscripts]
    if longest > len(free):
        raise _wrong("there are more axes than letters", subscripts)
    dots = "".join(free[:longest])
    return [_expanded(t, dots[longest - n :], subscripts) for t, n in zip(terms, counts, strict=True)], dots


def _diagonal(x: Any, term: str) -> tuple[Any, str]:
    """``x`` with the diagonals taken that its labels ask for; they are its last axes."""
    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            first = term.index(label)
            second = term.index(label, first + 1)
            n, m = extent(x, first), x.type.shape[second]
            if isinstance(n, int) and m not in (n, None):
                raise located(
                    ShapeError(
                        f"the axes of a diagonal, labelled {label!r}, differ",
                        expected="equal extents",
                        actual=f"{n}, {m}",
                    ),
                    "einsum",
                )
            claimed = [n if axis == second else None for axis in range(x.ndim)]
            x = diagonal(specify_shape(x, claimed), 0, first, second)
            term = "".join(t for axis, t in enumerate(term) if axis not in (first, second)) + label
    return x, term


def _written_out(arguments: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Subscripts as text for operands that take turns with lists of integers."""
    operands = list(arguments[0::2])
    lists = list(arguments[1::2])
    result = operands.pop() if len(operands) > len(lists) else None
    terms = []
    for entries in (*lists, *([] if result is None else [result])):
        if not isinstance(entries, (list, tuple)):
            raise _wrong("operands and lists of labels take turns", repr(entries))
        terms.append("".join("..." if entry is Ellipsis else _letter(entry) for entry in entries))
    arrow = "" if result is None else "->" + terms.pop()
    return ",".join(terms) + arrow, tuple(operands)


def _letter(label: Any) -> str:
    letters = string.ascii_uppercase + string.ascii_lowercase
    if isinstance(label, bool) or not hasattr(label, "__index__") or not 0 <= label < len(letters):
        raise _wrong(f"a label is a number from 0 to {len(letters) - 1}, or ...", repr(label))
    return letters[label]
