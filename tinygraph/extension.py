"""Operations that users write: by tinygraph's small protocol, or in Theano's way.

Theano's operations make their node themselves (``make_node``), compute into storage (``perform``) and differentiate
by ``grad`` or ``L_op``. The class here answers the questions of the graph by asking these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tinygraph import arrays
from tinygraph.autodiff import DisconnectedType, NullGradient
from tinygraph.config import config
from tinygraph.errors import DtypeError, NullTypeGradError, ShapeError
from tinygraph.graph import Apply, Constant, Variable, no_test_values
from tinygraph.graph import Op as _Op
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.layout import zeros_of
from tinygraph.types import Abstract, TensorType, is_float, shape_text

__all__ = ["FromFunctionOp", "Op", "ViewOp", "as_op", "as_vjp_entry"]


class Op(_Op):
    """Base of users' operations.

    There are two ways to write one. tinygraph's has three methods that know nothing of each other: ``infer`` (types
    from types), ``compute`` (arrays from arrays, on any array library) and ``vjp`` (gradients from gradients); see
    ``tinygraph.graph.Op``. Theano's is a class with ``perform``, and with it these:

    make_node(*inputs)
        ``Apply(self, inputs, outputs)``, with new variables for outputs; or the lists of types ``itypes`` and
        ``otypes`` instead.
    perform(node, inputs, output_storage)
        Puts an array in ``output_storage[i][0]`` for each output. It gets NumPy arrays whatever the backend is.
    grad(inputs, output_gradients), or L_op(inputs, outputs, output_gradients)
        A variable for each input, or ``DisconnectedType()()``, or what ``grad_undefined`` makes.
    R_op(inputs, eval_points)
        For ``Rop``; by default it follows from the gradient.
    infer_shape(node, input_shapes)
        A shape for each output; without it shapes are known when ``perform`` has run.
    __props__
        Names of the attributes that make two operations of the class the same; without it each is its own.
    view_map, destroy_map
        As in Theano; inputs that are destroyed are copied first.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> class Double(tg.Op):
    ...     __props__ = ()
    ...     def make_node(self, x):
    ...         x = T.as_tensor_variable(x)
    ...         return tg.Apply(self, [x], [x.type()])
    ...     def perform(self, node, inputs, output_storage):
    ...         output_storage[0][0] = inputs[0] * 2
    ...     def grad(self, inputs, output_gradients):
    ...         return [output_gradients[0] * 2]
    >>> x = T.dvector("x")
    >>> f = tg.function([x], tg.grad((Double()(x) ** 2).sum(), x))
    >>> f([1.0, 2.0]).tolist()
    [8.0, 16.0]
    """

    #: True for a class in Theano's way.
    _performs: ClassVar[bool] = False

    default_output: ClassVar[int | None] = None
    view_map: ClassVar[dict[int, list[int]]] = {}
    destroy_map: ClassVar[dict[int, list[int]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._performs = callable(getattr(cls, "perform", None))
        if cls._performs:
            cls._fields = tuple(getattr(cls, "__props__", None) or ())

    # --- identity ---------------------------------------------------------------------------------------------------

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self._performs:
            super().__init__(*args, **kwargs)
        elif args or set(kwargs) - {"use_c_code"}:
            raise TypeError(f"{type(self).__name__} takes no arguments")

    def __setattr__(self, name: str, value: Any) -> None:
        if self._performs:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if self._performs and getattr(self, "__props__", None) is None:
            return self is other
        return super().__eq__(other)

    def __hash__(self) -> int:
        if not self._performs:
            return super().__hash__()
        if getattr(self, "__props__", None) is None:
            return object.__hash__(self)
        return hash((type(self), *self._values()))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_nodes"}

    @property
    def name(self) -> str:
        """The operation in a reader's words, for messages and pictures."""
        own = self.__dict__.get("name")
        return str(own) if own else type(self).__name__ if self._performs else super().name

    @property
    def view(self) -> bool:  # type: ignore[override]
        """The first output may share memory with the first input."""
        return self.view_map.get(0) == [0]

    # --- nodes ------------------------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, name: str | None = None, return_list: bool = False, **kwargs: Any) -> Any:
        """Apply the operation: one variable, or a list where it has several outputs."""
        node = self.make_node(*inputs, **kwargs)
        if self._performs:
            self._remember(node)
        outputs = list(node.outputs)
        if self.default_output is not None:
            outputs = [outputs[self.default_output]]
        if len(outputs) > 1 or return_list:
            return outputs
        outputs[0].name = name or outputs[0].name
        return outputs[0]

    def make_node(self, *inputs: Any) -> Apply:
        """The node of this operation on these inputs; by default by ``itypes`` and ``otypes``."""
        itypes, otypes = getattr(self, "itypes", None), getattr(self, "otypes", None)
        if itypes is None or otypes is None:
            if self._performs:
                raise DtypeError(f"{self.name} has neither make_node nor itypes and otypes")
            return super().make_node(*inputs)
        if len(inputs) != len(itypes):
            raise DtypeError(
                f"{self.name} takes {len(itypes)} inputs", expected=", ".join(map(str, itypes)), actual=f"{len(inputs)}"
            )
        variables = [as_tensor(x) for x in inputs]
        for i, (variable, wanted) in enumerate(zip(variables, itypes, strict=True)):
            if not wanted.accepts(variable.type):
                raise DtypeError(
                    f"input {i} of {self.name} has the wrong type", expected=str(wanted), actual=str(variable.type)
                )
        return Apply(self, variables, [wanted() for wanted in otypes])

    def _node_of(self, types: Sequence[TensorType]) -> Apply:
        """A node of this operation on inputs of these types: one that was made for such, or a new one."""
        known = self._known_node(types)
        if known is not None:
            return known
        with no_test_values():
            node = self.make_node(*[t() for t in types])
        if [v.dtype for v in node.inputs] != [t.dtype for t in types]:
            raise DtypeError(
                f"{self.name} has another node for inputs of these types",
                expected=", ".join(str(v.type) for v in node.inputs),
                actual=", ".join(map(str, types)),
            )
        return self._remember(node)

    def _known_node(self, types: Sequence[TensorType]) -> Apply | None:
        for node in self.__dict__.get("_nodes", ()):
            inputs = node.inputs
            if len(inputs) == len(types) and all(v.type.accepts(t) for v, t in zip(inputs, types, strict=True)):
                return node
        return None

    def _remember(self, node: Apply) -> Apply:
        """Keep a node of these types, apart from the graph that it stands in."""
        known = self._known_node([v.type for v in node.inputs])
        if known is None:
            inputs = [v if isinstance(v, Constant) else v.type() for v in node.inputs]
            with no_test_values():
                known = Apply(self, inputs, [v.type() for v in node.outputs])
            self.__dict__.setdefault("_nodes", []).append(known)
        return known

    # --- what the graph asks ----------------------------------------------------------------------------------------

    def infer(self, *inputs: Abstract) -> Any:
        if not self._performs:
            return super().infer(*inputs)
        node = self._node_of([a.type for a in inputs])
        types = [v.type for v in node.outputs]
        infer_shape = getattr(self, "infer_shape", None)
        if infer_shape is None or not all(a.type.known for a in inputs):
            return types
        with no_test_values():
            shapes = infer_shape(node, [tuple(map(as_tensor, a.shape)) for a in inputs])
            return [_with_extents(self, t, shape) for t, shape in zip(types, shapes, strict=True)]

    def compute(self, xp: Any, *inputs: Any) -> Any:
        if not self._performs:
            return super().compute(xp, *inputs)
        values = [np.asarray(arrays.to_numpy(x)) for x in inputs]
        node = self._node_of([TensorType(x.dtype.name, x.shape) for x in values])
        destroyed = {i for places in self.destroy_map.values() for i in places}
        values = [x.copy() if i in destroyed else x for i, x in enumerate(values)]
        storage: list[list[Any]] = [[None] for _ in node.outputs]
        self.perform(node, values, storage)  # type: ignore[attr-defined]
        results = [self._result(node, i, cell[0], values) for i, cell in enumerate(storage)]
        made = tuple(x if xp.name == "numpy" else xp.asarray(x) for x in results)
        return made if len(made) > 1 else made[0]

    def _result(self, node: Apply, position: int, value: Any, inputs: Sequence[Any]) -> Any:
        """What ``perform`` left for one output, checked; memory that it does not own is copied."""
        wanted = node.outputs[position].type
        if value is None:
            raise ShapeError(f"perform of {self.name} left nothing for output {position}", expected=str(wanted))
        array = np.asarray(value)
        if array.dtype.name != wanted.dtype or not _fits(array.shape, wanted):
            kind = DtypeError if array.dtype.name != wanted.dtype else ShapeError
            raise kind(
                f"perform of {self.name} left a value of another type for output {position}",
                expected=str(wanted),
                actual=f"{array.dtype} {shape_text(array.shape)}",
                hint=f"convert it: np.asarray(…, dtype={wanted.dtype!r})" if kind is DtypeError else "",
            )
        shares = any(np.may_share_memory(array, x) for x in inputs)
        return array.copy() if shares and not (self.view and position == 0) else array

    def vjp(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
        given = [_zero_gradient(v) if g is None else g for v, g in zip(outputs, cotangents, strict=True)]
        if hasattr(self, "L_op"):
            found = self.L_op(list(inputs), list(outputs), given)
        elif hasattr(self, "grad"):
            found = self.grad(list(inputs), given)
        else:
            return super().vjp(inputs, outputs, cotangents)
        if not isinstance(found, (list, tuple)):
            raise DtypeError(
                f"the gradient of {self.name} is a list, with an entry for each input", actual=type(found).__name__
            )
        return [as_vjp_entry(g) for g in found]

    def jvp(self, inputs: Sequence[Any], outputs: Sequence[Any], tangents: Sequence[Any]) -> Sequence[Any] | None:
        if not hasattr(self, "R_op"):
            return None
        points = [zeros_of(v) if t is None else t for v, t in zip(inputs, tangents, strict=True)]
        return [None if isinstance(t, DisconnectedType) else t for t in self.R_op(list(inputs), points)]


def _fits(shape: Sequence[int], type: TensorType) -> bool:
    return len(shape) == type.ndim and all(n in (None, m) for n, m in zip(type.shape, shape, strict=True))


def _with_extents(op: Op, type: TensorType, shape: Any) -> TensorType:
    """The type with the extents that ``infer_shape`` gives, as far as they are known."""
    if shape is None:
        return type
    extents = [as_tensor(n).abstract.value for n in shape]
    if len(extents) != type.ndim:
        raise ShapeError(
            f"infer_shape of {op.name} gives another number of dimensions than its node has",
            expected=str(type.ndim),
            actual=str(len(extents)),
        )
    return type.with_shape([n if m is None else m for n, m in zip(type.shape, extents, strict=True)])


def _zero_gradient(output: Variable) -> Any:
    return zeros_of(output, output.dtype if is_float(output.dtype) else config.floatX)


def as_vjp_entry(g: Any) -> Any:
    """An entry of what Theano's ``grad`` returns, as ``vjp`` returns it."""
    if isinstance(g, NullGradient):

        def refuse() -> None:
            raise NullTypeGradError(g.why.problem, hint=g.why.hint)

        return refuse
    return None if isinstance(g, DisconnectedType) else g


class ViewOp(Op):
    """The input as it is; a base for operations of which only the gradient matters.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> class Reverse(tg.compile.ViewOp):
    ...     def grad(self, inputs, output_gradients):
    ...         return [-g for g in output_gradients]
    >>> x = T.dscalar("x")
    >>> float(tg.grad(Reverse()(x) ** 2, x).eval({x: 3.0}))
    -6.0
    """

    __props__: ClassVar[tuple[str, ...]] = ()
    view_map = {0: [0]}

    def make_node(self, x: Any) -> Apply:
        x = as_tensor(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        """Hand the input on."""
        output_storage[0][0] = inputs[0]

    def infer_shape(self, node: Apply, input_shapes: Sequence[Any]) -> Sequence[Any]:
        """The shape of the input."""
        return input_shapes

    def grad(self, inputs: Sequence[Any], output_gradients: Sequence[Any]) -> Sequence[Any]:
        """The gradient as it comes."""
        return list(output_gradients)


class FromFunctionOp(Op):
    """A Python function of arrays as an operation; made by ``as_op``."""

    __props__ = ("fn",)

    def __init__(
        self, fn: Callable[..., Any], itypes: Any, otypes: Any, infer_shape: Callable[..., Any] | None
    ) -> None:
        super().__init__()
        self.fn = fn
        self.itypes = itypes
        self.otypes = otypes
        if infer_shape is not None:
            self.infer_shape = infer_shape
        self.__dict__["name"] = getattr(fn, "__name__", "function")

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        """Call the function; of several outputs it returns a list or tuple."""
        results = self.fn(*inputs)
        several = isinstance(results, (list, tuple))
        for cell, result in zip(output_storage, results if several else [results], strict=True):
            cell[0] = result


def as_op(
    itypes: Any, otypes: Any, infer_shape: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], FromFunctionOp]:
    """Decorator that makes an operation of a Python function of NumPy arrays.

    Parameters
    ----------
    itypes, otypes
        A type, or a list of types, of its inputs and outputs.
    infer_shape
        Function of the node and the shapes of the inputs that gives those of the outputs.

    The operation has no gradient.

    >>> import numpy as np, tinygraph as tg, tinygraph.tensor as T
    >>> @tg.as_op(itypes=[T.dmatrix], otypes=[T.dvector])
    ... def medians(x):
    ...     return np.median(x, axis=0)
    >>> x = T.dmatrix("x")
    >>> medians(x).eval({x: [[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]}).tolist()
    [3.0, 4.0]
    """
    inputs, outputs = (list(t) if isinstance(t, (list, tuple)) else [t] for t in (itypes, otypes))
    for types in (inputs, outputs):
        if not all(isinstance(t, TensorType) for t in types):
            raise DtypeError("as_op takes types of tensors", expected="such as T.dmatrix", actual=repr(types))

    def make(fn: Callable[..., Any]) -> FromFunctionOp:
        return FromFunctionOp(fn, inputs, outputs, infer_shape)

    return make
