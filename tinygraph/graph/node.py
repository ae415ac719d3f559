"""Variables, Apply nodes and the protocol of operations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from tinygraph import arrays
from tinygraph.config import config
from tinygraph.errors import DtypeError, NullTypeGradError, Operand, TinygraphError
from tinygraph.graph import services
from tinygraph.graph.provenance import Origin, capture
from tinygraph.types import Abstract, Static, TensorType, is_discrete, shape_text

__all__ = ["Apply", "Constant", "Op", "Variable", "as_variable", "describe", "infer"]

#: The longest integer vector whose value is followed at build time: shapes and permutations are this short.
_STATIC_LIMIT = 64


class Scratchpad:
    """A free place for a user's own attributes, as in Theano: ``x.tag.test_value = …``."""


class Variable:
    """A symbolic value: what a user declares, or one output of an Apply node.

    Variables are compared by identity. Users meet the subclass ``TensorVariable``, which adds operators and methods.

    Attributes
    ----------
    type
        Its ``TensorType``.
    owner, index
        The Apply node that computes it and which of that node's outputs it is; None and 0 for a leaf.
    name
        A name for messages and pictures, or None.
    like
        A variable that certainly has the same shape, whatever it turns out to be: one and the same for all that do by
        construction.
    """

    __slots__ = ("__dict__", "__weakref__", "_origin", "abstract", "index", "like", "name", "owner")

    #: What messages call such a leaf.
    kind: ClassVar[str] = "input"

    def __init__(
        self,
        type: TensorType | Abstract,
        owner: Apply | None = None,
        index: int = 0,
        name: str | None = None,
    ) -> None:
        self.abstract = type if isinstance(type, Abstract) else Abstract(type)
        self.owner = owner
        self.index = index
        self.name = name
        self.like: Variable = self
        self._origin = capture() if owner is None else None

    @property
    def type(self) -> TensorType:
        return self.abstract.type

    @property
    def dtype(self) -> str:
        return self.abstract.type.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions, known for every variable."""
        return len(self.abstract.type.shape)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        return self.abstract.type.broadcastable

    @property
    def origin(self) -> Origin:
        """Where the user made it."""
        if self.owner is not None:
            return self.owner.origin
        assert self._origin is not None
        return self._origin

    @property
    def tag(self) -> Any:
        """A place for attributes of one's own; of these ``test_value`` is read where ``compute_test_value`` is set."""
        return self.__dict__.setdefault("tag", Scratchpad())

    def clone(self) -> Any:
        """A new leaf variable of the same type and name, with a copy of the tag."""
        new = self.type(self.name)
        if "tag" in self.__dict__:
            vars(new.tag).update(vars(self.tag))
        return new

    def __copy__(self) -> Any:
        return self.clone()

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        if self.owner is not None:
            index = f".{self.index}" if len(self.owner.outputs) > 1 else ""
            return f"{self.owner.op.name}{index}"
        return f"<{self.type}>"

    def __repr__(self) -> str:
        return str(self)


class Constant(Variable):
    """A value fixed when the graph is built.

    Parameters
    ----------
    type
        Its type; the data are converted to its dtype.
    data
        The value; it is copied and cannot be written to.

    Attributes
    ----------
    counts_as
        The dtype for which it counts beside other tensors, where that is not its own.
    """

    __slots__ = ("data",)

    kind = "constant"
    counts_as: str | None = None

    def __init__(self, type: TensorType | None, data: Any, name: str | None = None) -> None:
        array = np.array(arrays.to_numpy(data), dtype=None if type is None else type.dtype)
        array.flags.writeable = False
        # Its own extents are known, whatever a type that was given says of them.
        super().__init__(Abstract(TensorType(array.dtype.name, array.shape), static_value(array)), name=name)
        self.data = array

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The data, as Theano's constants call it."""
        return self.data

    def clone(self) -> Any:
        return self

    def equals(self, other: object) -> bool:
        """True for a constant of the same type and bits."""
        return isinstance(other, Constant) and self.signature() == other.signature()

    def signature(self) -> tuple[str, tuple[int, ...], bytes]:
        """What two constants that may be merged have in common: dtype, shape and bytes."""
        return self.data.dtype.name, self.data.shape, self.data.tobytes()

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        if self.data.ndim == 0:
            return str(self.data)
        text = np.array2string(self.data, threshold=6, edgeitems=2, separator=", ")
        return text if len(text) <= 40 and "\n" not in text else f"<constant {self.type}>"


class Apply:
    """One operation applied to inputs; its outputs are new variables.

    Parameters
    ----------
    op
        The operation.
    inputs
        Variables.
    outputs
        The new variables, where the caller has made them, as ``make_node`` of an operation in Theano's way does; by
        default they are made of the types that the operation infers.
    """

    __slots__ = ("__weakref__", "inputs", "op", "origin", "outputs")

    def __init__(self, op: Op, inputs: Sequence[Variable], outputs: Sequence[Any] | None = None) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.origin = capture()
        try:
            abstracts = infer(op, [v.abstract for v in self.inputs]) if outputs is None else _declared(op, outputs)
            if config.forbid_dtype or config.warn_float64 != "ignore":
                _check_dtypes(abstracts, self.inputs)
        except TinygraphError as err:
            describe(err, self)
            raise
        self.outputs: tuple[Any, ...]
        if outputs is None:
            self.outputs = tuple(a.type.variable_class(a, self, i) for i, a in enumerate(abstracts))
        else:
            self.outputs = tuple(outputs)
            for i, output in enumerate(outputs):
                output.owner, output.index = self, i
        model = op.shape_like(self.inputs)
        if model is not None:
            self.outputs[0].like = model.like
        if config.compute_test_value != "off":
            services.call("test_values", self)

    @property
    def out(self) -> Any:
        """The only output."""
        (out,) = self.outputs
        return out

    def __repr__(self) -> str:
        return f"{self.op.name}({', '.join(map(str, self.inputs))})"


@dataclass_transform(frozen_default=True)
class Op:
    """An operation: how types follow from types, values from values, and gradients from gradients.

    A subclass declares its parameters as fields, like a frozen dataclass (and may be decorated as one). The fields give
    it its constructor, equality, hash and text, so equal operations on the same inputs are merged. An operation knows
    no array library; ``compute`` is handed one.

    Class attributes
    ----------------
    view
        The first output may share memory with the first input.
    structural
        Values are only moved, repeated or added up, so ``vjp`` also carries a mask of bools back to the inputs (there
        "added" means "or").
    analytic
        ``compute`` is the holomorphic function on complex arrays, so gradient checks may use the complex step; implied
        by ``structural``.
    chooses
        The inputs are a 0-d bool and two tensors, of which the bool decides which one is read: the first where it is
        true. The other is not computed unless something else needs it, and ``compute`` gets None for it.
    inline
        Rewriting puts the expressions that ``expanded`` makes in the place of the node.
    effects
        ``compute`` does more than give a value, such as printing: it runs each time the function does, once for each
        node, whatever is known of its inputs.

    Example
    -------
    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> class Power(tg.Op):
    ...     n: int
    ...     def infer(self, x):
    ...         return x.type
    ...     def compute(self, xp, x):
    ...         return x**self.n
    ...     def vjp(self, inputs, outputs, cotangents):
    ...         return [self.n * inputs[0] ** (self.n - 1) * cotangents[0]]
    >>> x = T.dscalar("x")
    >>> float(tg.grad(Power(3)(x), x).eval({x: 2.0}))
    12.0
    >>> Power(3) == Power(3), str(Power(n=4))
    (True, 'power{n=4}')
    """

    view: ClassVar[bool] = False
    structural: ClassVar[bool] = False
    analytic: ClassVar[bool] = False
    chooses: ClassVar[bool] = False
    inline: ClassVar[bool] = False
    effects: ClassVar[bool] = False
    host: ClassVar[tuple[int, ...]] = ()

    #: Names of the declared fields, those of base classes first.
    _fields: ClassVar[tuple[str, ...]] = ()

    # Written here once rather than generated for each class: half of the time to import the package went into
    # generating the methods of dataclasses.

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = (name for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind))
        cls._fields = tuple(dict.fromkeys((*cls._fields, *declared)))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = self._fields
        if len(args) != len(names) or kwargs:
            args = self._bound(args, kwargs)
        self.__dict__.update(zip(names, args, strict=True))

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """One value for each field, from positional arguments, keywords and defaults."""
        given = dict(zip(self._fields, args, strict=False))
        wrong = [name for name in kwargs if name not in self._fields or name in given]
        given.update(kwargs)
        lacking = [name for name in self._fields if name not in given and not hasattr(type(self), name)]
        if wrong or lacking or len(args) > len(self._fields):
            raise TypeError(
                f"{type(self).__name__} takes {', '.join(self._fields) or 'no arguments'}; "
                f"got {len(args)} by position and {', '.join(kwargs) or 'none'} by name"
            )
        return tuple(given[name] if name in given else getattr(type(self), name) for name in self._fields)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self._values() == other._values()

    def __hash__(self) -> int:
        known = self.__dict__.get("_hash")
        if known is None:
            known = self.__dict__["_hash"] = hash((type(self), *self._values()))
        return known

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an operation is never changed; make another {type(self).__name__} instead")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}  # hashes of text differ

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self._fields)})"

    @property
    def name(self) -> str:
        """The operation in a reader's words, for messages and pictures."""
        return type(self).__name__.lower()

    def infer(self, *inputs: Abstract) -> Any:
        """The type of the output, or a sequence of types for several outputs.

        Parameters
        ----------
        inputs
            What is known of each input: ``.type``, ``.dtype``, ``.shape`` (with None for unknown extents), ``.ndim``,
            and ``.value`` for small integer tensors that are already known. An ``Abstract`` may be returned instead of
            a type where more is known of the output's value.

        Raises
        ------
        ShapeError, DtypeError
            If the inputs do not fit; operands and source lines are added by the caller.
        """
        raise NotImplementedError(f"{type(self).__name__}.infer")

    def shape_like(self, inputs: Sequence[Variable]) -> Variable | None:
        """A variable whose shape the first output has in every case, or None where there is none to name."""
        return None

    def is_identity(self, *inputs: Abstract) -> bool:
        """True when, for inputs of these types, the first output is the first input as it is."""
        return False

    def compute(self, xp: Any, *inputs: Any) -> Any:
        """The output array, or a tuple of arrays for several outputs; inputs must not be written to.

        Parameters
        ----------
        xp
            The array module: ``numpy`` or ``cupy``, plus ``xp.special`` and ``xp.scatter_add``.
        inputs
            Arrays (or NumPy scalars) of the dtypes that ``infer`` saw.
        """
        raise NotImplementedError(f"{type(self).__name__}.compute")

    @property
    def bodies(self) -> tuple[Any, ...]:
        """Inner graphs (each a ``Body``) that the operation runs, such as one step of a loop; most have none."""
        return ()

    def inner(self, *inputs: Abstract) -> Sequence[Sequence[Abstract]]:
        """For each body what is known of its inputs, from what is known of the operation's."""
        return ()

    def expanded(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs as expressions of other operations."""
        raise NotImplementedError(f"{type(self).__name__}.expanded")

    def run(self, xp: Any, bodies: Sequence[Any], *inputs: Any) -> Any:
        """As ``compute``, with the bodies compiled: each takes a list of arrays and returns a list of arrays."""
        raise NotImplementedError(f"{type(self).__name__}.run")

    def vjp(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
        """The vector-Jacobian product, written symbolically.

        Parameters
        ----------
        inputs, outputs
            The node's variables.
        cotangents
            One variable for each output, of its type, or None where nothing depends on that output.

        Returns
        -------
        list
            For each input a variable of that input's type, None where it has no influence that could be
            differentiated, or a function without arguments that makes the variable if it turns out to be needed.
        """
        raise NullTypeGradError(
            f"the gradient of {self.name} is not defined",
            hint="give the operation a vjp method, or stop the gradient there with disconnected_grad",
        )

    def jvp(self, inputs: Sequence[Any], outputs: Sequence[Any], tangents: Sequence[Any]) -> Sequence[Any] | None:
        """The Jacobian-vector product, written symbolically, where it is simpler than what follows from ``vjp``.

        Parameters
        ----------
        inputs, outputs
            The node's variables.
        tangents
            For each input the derivative that it comes with, or None where it does not move; one of them is not None.

        Returns
        -------
        list or None
            For each output its derivative, or None where it does not move. None leaves everything to ``vjp``.
        """
        return None

    def make_node(self, *inputs: Any) -> Apply:
        """The Apply node of this operation on these inputs; numbers and arrays become constants."""
        return Apply(self, [as_variable(x) for x in inputs])

    def __call__(self, *inputs: Any, name: str | None = None) -> Any:
        """Apply the operation: one variable, or a list where it has several outputs."""
        outputs = self.make_node(*inputs).outputs
        if len(outputs) == 1:
            outputs[0].name = name
            return outputs[0]
        return list(outputs)

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{self.name}{{{inner}}}" if inner else self.name


def as_variable(x: Any) -> Any:
    """A variable as it is; a number or an array as a constant of its own dtype."""
    if isinstance(x, Variable):
        return x
    array = np.asarray(arrays.to_numpy(x))
    if array.dtype.kind not in "biufc":
        raise DtypeError(
            f"cannot make a tensor of {x!r}", expected="a variable, a number or an array", actual=type(x).__name__
        )
    if isinstance(x, float) and not isinstance(x, np.generic):
        array = array.astype(config.floatX)
    return TensorType.constant_class(None, array)


def static_value(array: Any) -> Static:
    """The value of a small integer array as ``Abstract`` keeps it, or None for any other array."""
    if array.dtype.kind not in "iub" or array.ndim > 1 or array.size > _STATIC_LIMIT:
        return None
    return int(array) if array.ndim == 0 else tuple(int(n) for n in array)


def infer(op: Op, inputs: Sequence[Abstract]) -> tuple[Abstract, ...]:
    """What is known of an operation's outputs from what is known of its inputs.

    The value of small integer tensors follows too: where all inputs are known, by computing it.
    """
    result = op.infer(*inputs)
    if isinstance(result, (TensorType, Abstract)):
        result = (result,)
    outputs = tuple(r if isinstance(r, Abstract) else Abstract(r) for r in result)
    if len(outputs) == 1 and outputs[0].value is None and not op.effects and _followable(outputs[0].type):
        values = [_array(a) for a in inputs]
        if all(v is not None for v in values):
            with arrays.ignore_floating_point():
                array = np.asarray(op.compute(arrays.get("numpy"), *values))
            return (Abstract(outputs[0].type, static_value(array)),)
    return outputs


def _declared(op: Op, outputs: Sequence[Any]) -> Sequence[Abstract]:
    """What is known of outputs that were made for a new node."""
    for output in outputs:
        if not isinstance(output, Variable) or output.owner is not None or isinstance(output, Constant):
            raise DtypeError(
                f"the outputs of a node of {op} must be new variables", expected="x.type()", actual=repr(output)
            )
    return [output.abstract for output in outputs]


def _followable(type: TensorType) -> bool:
    if len(type.shape) > 1 or not is_discrete(type.dtype):
        return False
    return not type.shape or (type.shape[0] is not None and type.shape[0] <= _STATIC_LIMIT)


def _array(a: Abstract) -> np.ndarray[Any, Any] | None:
    if a.value is None or (isinstance(a.value, tuple) and None in a.value):
        return None
    return np.array(a.value, dtype=a.dtype)


def _check_dtypes(abstracts: Sequence[Abstract], inputs: Sequence[Variable]) -> None:
    """Refuse, or warn of, results of a dtype that a setting excludes."""
    settings = (("forbid_dtype", config.forbid_dtype, "raise"), ("warn_float64", "float64", config.warn_float64))
    for flag, dtype, action in settings:
        if action == "ignore" or all(a.dtype != dtype for a in abstracts):
            continue
        error = DtypeError(
            f"this produces {dtype}, which config.{flag} excludes",
            actual=", ".join(f"{v} is {v.dtype}" for v in inputs),
            hint="cast the operand of that dtype, for instance with .astype(config.floatX)",
        )
        if action == "raise":
            raise error
        error.locate("", (), capture().trace())
        warnings.warn(str(error), stacklevel=2)


def describe(
    err: TinygraphError,
    node: Apply,
    abstracts: Sequence[Abstract] | None = None,
    known: Mapping[Variable, Abstract] | None = None,
) -> None:
    """Add a node's operation, operands and source lines to an error.

    Parameters
    ----------
    err
        The error; an operation nearer the failure that was added before stays.
    node
        The node that failed.
    abstracts
        What is known of its inputs, where that is more than their static types.
    known
        The same for any variable, so that the inputs and shared variables behind an operand show their shapes.
    """
    types = abstracts if abstracts is not None else [v.abstract for v in node.inputs]
    operands = [
        Operand(v.name or f"#{i}", str(a.type), _source(v, known or {}), v.origin.trace())
        for i, (v, a) in enumerate(zip(node.inputs, types, strict=True))
    ]
    forward = node.origin.forward
    err.locate(node.op.name, operands, node.origin.trace(), forward.trace() if forward is not None else ())


#: How many inputs and shared variables behind an operand an error names.
_NAMED_LEAVES = 4


def _source(variable: Variable, known: Mapping[Variable, Abstract]) -> str:
    """How a variable came about, in a few words: its kind, or the operation, the line and the leaves behind it."""
    if variable.owner is None:
        return f"constant {variable}" if isinstance(variable, Constant) and variable.ndim == 0 else variable.kind
    line = next(iter(variable.origin.trace()), None)
    made = f"result of {variable.owner.op.name}" + (f" at {line.filename}:{line.line}" if line is not None else "")
    leaves = [v for v in _leaves(variable) if not isinstance(v, Constant)]
    shown = [f"{v.kind} {v} {shape_text(known.get(v, v.abstract).shape)}" for v in leaves[:_NAMED_LEAVES]]
    if len(leaves) > _NAMED_LEAVES:
        shown.append(f"{len(leaves) - _NAMED_LEAVES} more")
    return f"{made}, from {', '.join(shown)}" if shown else made


def _leaves(variable: Variable) -> list[Variable]:
    seen: dict[Variable, None] = {variable: None}
    stack = [variable]
    while stack:
        owner = stack.pop().owner
        for v in owner.inputs if owner is not None else ():
            if v not in seen:
                seen[v] = None
                stack.append(v)
    return [v for v in seen if v.owner is None]
