"""Elementwise operations: one class, and a table with a row for each.

A row says how dtypes follow, which array-module function computes the values, and how the cotangent of the output is
carried to each input, lane by lane. Broadcasting is undone in one place, here, and nowhere in the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygraph.errors import DtypeError, TinygraphError
from tinygraph.graph import Op
from tinygraph.graph.provenance import capture
from tinygraph.ops.convert import as_operands, as_tensor, cast, is_weak
from tinygraph.ops.layout import common_shape, sum_to_like, zeros_of
from tinygraph.types import Abstract, TensorType, broadcast_shapes, is_discrete

__all__ = ["ROWS", "Elementwise", "Row", "apply_row", "define"]

#: (cotangent, output, *inputs) -> the lane's cotangent for one input
LaneRule = Callable[..., Any]


class Row(NamedTuple):
    """One elementwise operation.

    Parameters
    ----------
    name
        Its name, unique in the table.
    arity
        Number of inputs.
    compute
        Name of the array-module function, or a function ``(xp, *arrays) -> array``.
    dtypes
        How dtypes follow. ``same``: inputs promoted, output alike. ``float``: the same, with integers made
        ``config.floatX``. ``compare``: inputs promoted, output bool. ``test``: any input, output bool. ``choose``: the
        first input is a condition, the others are promoted.
    kinds
        NumPy kind letters of the common dtype that it is defined for: b bool, i and u integers, f floats.
    bools_as
        The dtype that bools are taken as, where it is defined for integers and not for bools.
    vjp
        For each input its lane rule, or None where the derivative is zero or undefined everywhere it is taken.
    zero
        The derivative exists and is 0 almost everywhere (``floor``, ``sgn``): the input is connected, with gradient 0.
    masks
        For each input None, or a function ``(output, *inputs) -> bool tensor`` that is False in lanes from which no
        cotangent flows to that input; it may return None where it knows of no such lane.
    tame
        Every lane rule keeps a zero cotangent zero for any input (it multiplies by nothing that can be inf or NaN).
    analytic
        ``compute`` is the holomorphic function on complex arrays, so the complex-step check applies.
    symbol
        How it is printed between its operands, where it is infix.
    doc
        One line for the docstring.
    """

    name: str
    arity: int
    compute: str | Callable[..., Any]
    dtypes: str
    kinds: str
    bools_as: str = ""
    vjp: tuple[LaneRule | None, ...] = ()
    zero: bool = False
    masks: tuple[Callable[..., Any] | None, ...] = ()
    tame: bool = False
    analytic: bool = False
    symbol: str = ""
    doc: str = ""


#: Every elementwise operation by name.
ROWS: dict[str, Row] = {}


class Elementwise(Op):
    """The operation of one row, applied to every element of its broadcast inputs."""

    row: str

    @property
    def name(self) -> str:
        return self.row

    def __str__(self) -> str:
        return self.row

    @property
    def spec(self) -> Row:
        return ROWS[self.row]

    def infer(self, *inputs: Abstract) -> TensorType:
        row = ROWS[self.row]
        first = inputs[0].type
        dtype = "bool" if row.dtypes in ("compare", "test") else inputs[-1].dtype
        if len(inputs) == 1:
            return first.with_dtype(dtype)
        if any(x.type.dtype != inputs[-1].type.dtype for x in inputs[row.dtypes == "choose" : -1]):
            raise DtypeError(
                "the operands need one dtype",
                actual=", ".join(x.dtype for x in inputs),
                hint="use the function, which casts",
            )
        shape = broadcast_shapes(*[x.type.shape for x in inputs])
        return first if shape == first.shape and dtype == first.dtype else TensorType(dtype, shape)

    def shape_like(self, inputs: Sequence[Any]) -> Any:
        return inputs[0] if len(inputs) == 1 else common_shape(inputs)

    def compute(self, xp: Any, *inputs: Any) -> Any:
        function = ROWS[self.row].compute
        if isinstance(function, str):
            return getattr(xp, function)(*inputs)
        return function(xp, *inputs)

    def lane_vjp(self, position: int, inputs: Sequence[Any], output: Any, cotangent: Any) -> Any:
        """The cotangent of one input in each lane of the output, before broadcasting is undone, or None."""
        row = ROWS[self.row]
        if row.zero:
            return zeros_of(output)
        rule = row.vjp[position] if row.vjp else None
        return None if rule is None else rule(cotangent, output, *inputs)

    def vjp(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
        def lane(position: int) -> Callable[[], Any] | None:
            row = ROWS[self.row]
            if not row.zero and (not row.vjp or row.vjp[position] is None):
                return None
            return lambda: sum_to_like(
                self.lane_vjp(position, inputs, outputs[0], cotangents[0]), inputs[position], outputs[0]
            )

        return [lane(i) for i in range(len(inputs))]


def apply_row(name: str, operands: Sequence[Any]) -> Any:
    """The operation called ``name`` on operands of any kind, converted as its row says.

    Raises
    ------
    DtypeError
        If the common dtype is one that the operation is not defined for.
    """
    row = ROWS[name]
    try:
        inputs = _converted(row, operands)
    except TinygraphError as err:
        if not err.op:
            err.locate(name, (), capture().trace())
        raise
    return Elementwise(name)(*inputs)


def _converted(row: Row, operands: Sequence[Any]) -> list[Any]:
    if row.dtypes == "choose":
        condition = as_tensor(operands[0])
        if condition.dtype != "bool":
            condition = apply_row("neq", (condition, 0))
        values, dtype = as_operands(operands[1:])
        inputs = [condition, *values]
    elif row.dtypes == "compare" and any(is_weak(x) for x in operands):
        inputs, dtype = _compared(operands)
    else:
        inputs, dtype = as_operands(operands, as_float=row.dtypes == "float")
    if dtype == "bool" and row.bools_as:
        inputs, dtype = [cast(x, row.bools_as) for x in inputs], row.bools_as
    kind = "f" if not is_discrete(dtype) else dtype[0]
    if kind not in row.kinds:
        names = {"b": "bool", "i": "integers", "u": "unsigned integers", "f": "floats"}
        raise DtypeError(
            f"not defined for {dtype}",
            expected=", ".join(names[k] for k in row.kinds),
            actual=dtype,
            hint="cast the operand first, for instance .astype(config.floatX)",
        )
    return inputs


def _compared(operands: Sequence[Any]) -> tuple[list[Any], str]:
    """Operands of a comparison; a Python integer beyond the tensor's dtype widens both sides instead of failing."""
    try:
        return as_operands(operands)
    except DtypeError:
        variables = [as_tensor(x) for x in operands]
        dtype = "float64" if any(v.dtype == "uint64" for v in variables) else "int64"
        return [cast(v, dtype) for v in variables], dtype


def define(
    name: str,
    arity: int,
    compute: str | Callable[..., Any],
    *,
    dtypes: str = "float",
    kinds: str = "biuf",
    vjp: LaneRule | Sequence[LaneRule | None] | None = None,
    doc: str,
    **fields: Any,
) -> Callable[..., Any]:
    """Add a row to the table and return the function that applies it."""
    if vjp is None:
        rules: tuple[LaneRule | None, ...] = ()
    elif callable(vjp):
        rules = (vjp,)
    else:
        rules = tuple(vjp)
    ROWS[name] = Row(name, arity, compute, dtypes, kinds, vjp=rules, doc=doc, **fields)

    if arity == 1:

        def function(x: Any) -> Any:
            return apply_row(name, (x,))

    elif arity == 2:

        def function(x: Any, y: Any) -> Any:  # type: ignore[misc]
            return apply_row(name, (x, y))

    else:

        def function(*operands: Any) -> Any:  # type: ignore[misc]
            if len(operands) != arity:
                raise TypeError(f"{name}() takes {arity} operands, got {len(operands)}")
            return apply_row(name, operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function
