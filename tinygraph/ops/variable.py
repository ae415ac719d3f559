"""Variables with NumPy's operators and methods.

Most methods are the functions of the same name, with the variable as their first argument.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tinygraph.errors import DtypeError, TinygraphError
from tinygraph.graph import Constant, SharedVariable, Variable, ancestors, apply_node, services, toposort
from tinygraph.ops import (
    arithmetic,
    counting,
    creation,
    cumulative,
    extra,
    indexing,
    linalg,
    matrices,
    pieces,
    reduce,
    scalar,
    selecting,
    sorting,
    special,
    statistics,
    transcendental,
)
from tinygraph.ops import shape as shapes
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, cast, constant
from tinygraph.ops.elementwise import Elementwise
from tinygraph.ops.layout import Shape, SpecifyShape
from tinygraph.types import TensorType

__all__ = ["TensorConstant", "TensorMethods", "TensorSharedVariable", "TensorVariable"]

#: The operations whose results have no truth value, with what to write for a chain of them.
_COMPARISONS = {"eq": "==", "neq": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _takes(other: Any) -> bool:
    """True for what an operator makes a tensor of; anything else may know how to combine itself with a variable."""
    if isinstance(other, (Variable, bool, int, float, list, tuple)):
        return True
    kind = type(other)
    is_array = hasattr(kind, "__array__") or hasattr(kind, "__dlpack__")
    return is_array and getattr(kind, "__array_ufunc__", 0) is not None


def _operators(function: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The method of a binary operator, and that of its reflection."""

    def forward(self: Any, other: Any) -> Any:
        return function(self, other) if _takes(other) else NotImplemented

    def reflected(self: Any, other: Any) -> Any:
        return function(other, self) if _takes(other) else NotImplemented

    forward.__doc__ = reflected.__doc__ = function.__doc__
    return forward, reflected


class TensorMethods(Variable):
    """Operators and methods of every tensor variable.

    ``==`` and ``hash`` are those of the object, as in Theano: variables are keys of dictionaries. ``T.eq(x, y)``
    compares values.
    """

    __slots__ = ()

    # --- operators ------------------------------------------------------------------------------------------------

    __array_priority__ = 1000

    __add__, __radd__ = _operators(scalar.add)
    __sub__, __rsub__ = _operators(scalar.sub)
    __mul__, __rmul__ = _operators(scalar.mul)
    __truediv__, __rtruediv__ = _operators(scalar.true_div)
    __floordiv__, __rfloordiv__ = _operators(scalar.int_div)
    __mod__, __rmod__ = _operators(scalar.mod)
    __divmod__, __rdivmod__ = _operators(arithmetic.divmod)
    __pow__, __rpow__ = _operators(scalar.power)
    __matmul__, __rmatmul__ = _operators(linalg.matmul)
    __and__, __rand__ = _operators(scalar.and_)
    __or__, __ror__ = _operators(scalar.or_)
    __xor__, __rxor__ = _operators(scalar.xor)
    __lt__, __le__ = _operators(scalar.lt)[0], _operators(scalar.le)[0]
    __gt__, __ge__ = _operators(scalar.gt)[0], _operators(scalar.ge)[0]

    __neg__ = scalar.neg
    __abs__ = scalar.abs_
    __invert__ = scalar.invert
    __floor__ = scalar.floor
    __ceil__ = scalar.ceil
    __trunc__ = scalar.trunc

    def __pos__(self) -> Any:
        return self

    # --- what Python asks of containers and numbers ---------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return indexing.subtensor(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise self._refusal(
            "a symbolic tensor cannot be written to",
            "write x = T.set_subtensor(x[i], y), or T.inc_subtensor(x[i], y) for x[i] += y",
        )

    def __len__(self) -> int:
        if not self.ndim or self.type.shape[0] is None:
            raise self._refusal(
                "the length is not known before the function runs" if self.ndim else "a 0-d tensor has no length",
                "x.shape[0] is the symbolic length" if self.ndim else "x.size is its number of elements",
            )
        return self.type.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim or self.type.shape[0] is None:
            raise self._refusal(
                "cannot iterate over a symbolic tensor of unknown length"
                if self.ndim
                else "cannot iterate over a 0-d tensor",
                "T.sum, T.max, T.any and their like work on whole tensors; scan loops over the entries of x; "
                "T.specify_shape(x, (3,)) makes a length known",
            )
        return iter([self[i] for i in range(self.type.shape[0])])

    def __contains__(self, value: Any) -> bool:
        raise self._refusal("whether a symbolic tensor holds a value is not known yet", "write T.any(T.eq(x, value))")

    def __bool__(self) -> bool:
        """True, as in Theano (programs write ``if not x:`` for "no variable given"), but for comparisons an error."""
        op = None if self.owner is None else self.owner.op
        if isinstance(op, Elementwise) and op.row in _COMPARISONS:
            sign = _COMPARISONS[op.row]
            raise self._refusal(
                f"the result of a comparison ({sign}) is not known before the function runs",
                f"write T.switch(a {sign} b, x, y) instead of if, and T.and_(a {sign} b, b {sign} c) instead of "
                f"a {sign} b {sign} c",
            )
        return True

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __index__(self) -> int:
        number = self._number()
        try:
            return operator.index(number)
        except TypeError:
            raise self._refusal("only an integer can be an index", "cast it with .astype('int64')") from None

    def __complex__(self) -> complex:
        return complex(self._number())

    def _number(self) -> Any:
        if isinstance(self, Constant) and not self.ndim:
            return self.data[()]
        shared = isinstance(self, SharedVariable)
        raise self._refusal(
            "a symbolic tensor has no value that Python could use as a number",
            f"{'x.get_value()' if shared else 'x.eval({…})'} gives the value as an array; functions of T, such as "
            "T.sqrt(x), build expressions",
        )

    def _refusal(self, problem: str, hint: str) -> TinygraphError:
        """The error for what a symbolic tensor cannot do, at the user's line."""
        return located(DtypeError(problem, actual=f"{self}: {self.type}", hint=hint), "")

    # --- copies ---------------------------------------------------------------------------------------------------

    def __copy__(self) -> Any:
        """An input or shared variable of the same type (shared ones keep sharing), or the same expression again."""
        return self.clone() if self.owner is None else self.copy(self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """The expression on new inputs, and on shared variables with values of their own."""
        for leaf in ancestors([self]):
            if leaf.owner is None and id(leaf) not in memo:
                memo[id(leaf)] = new = leaf.clone()
                if isinstance(leaf, SharedVariable):
                    new.container = copy.copy(leaf.container)
                    new.container.value = leaf.get_value(return_internal_type=True)
                    new.default_update = copy.deepcopy(leaf.default_update, memo)
        for node in toposort([self]):
            if any(id(v) not in memo for v in node.outputs):
                results = apply_node(node, [memo[id(v)] for v in node.inputs])
                memo.update((id(old), new) for old, new in zip(node.outputs, results, strict=True))
        return memo[id(self)]

    def copy(self, name: str | None = None) -> Any:
        """The same tensor as a variable of its own, with a name of its own."""
        return SpecifyShape((None,) * self.ndim)(self, name=name)

    # --- NumPy's protocols ----------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The data of a constant; for any other variable an error that says what to write."""
        if isinstance(self, Constant):
            return self.data.astype(dtype or self.data.dtype, copy=bool(copy))
        raise self._refusal(
            "a symbolic tensor has no value that NumPy could use as an array",
            "x.eval({…}) gives the value; functions of T build expressions; T.stack([x, y]) makes a tensor of a list",
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Let ``np.exp(x)`` and ``array + x`` build expressions."""
        name = ufunc.__name__
        function = _UFUNCS.get(name)
        if function is not None and method == "__call__" and not kwargs:
            return function(*inputs)
        if method != "__call__":
            problem, hint = f"np.{name}.{method} does not work on symbolic tensors", "T.sum, T.max, T.cumsum do"
        elif "out" in kwargs:
            problem = f"np.{name} cannot write a symbolic result into an array"
            hint = "write y = a + x instead of a += x, and leave out= away"
        elif function is not None:
            problem, hint = f"np.{name} takes no {', '.join(kwargs)} for symbolic tensors", "use T.cast and T.switch"
        else:
            problem, hint = f"np.{name} is not defined for symbolic tensors", f"known are {', '.join(sorted(_UFUNCS))}"
        raise self._refusal(problem, hint)

    def __array_function__(self, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Let ``np.sum(x)``, ``np.concatenate([x, y])`` and others build expressions."""
        function = _FUNCTIONS.get(func.__name__)
        if function is None:
            raise self._refusal(
                f"np.{func.__name__} is not defined for symbolic tensors",
                "use the function of that name in tinygraph.tensor, or x.eval({…}) for the value",
            )
        return function(*args, **kwargs)

    # --- shape ----------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Any:
        """The shape, as a symbolic int64 vector; ``x.type.shape`` says what of it is known already."""
        return Shape()(self)

    @property
    def size(self) -> Any:
        """The number of elements, as a symbolic int64 scalar."""
        size: Any = constant(1, dtype="int64")
        for axis in range(self.ndim):
            size = size * shapes.extent(self, axis)
        return size

    @property
    def T(self) -> Any:
        """The tensor with its axes in reverse order."""
        return shapes.transpose(self)

    def reshape(self, *newshape: Any, shape: Any = None, ndim: int | None = None) -> Any:
        """``T.reshape``; the sizes may come one by one, or as a tuple or vector that ``ndim`` may follow."""
        if shape is not None:
            newshape = (shape, *newshape)
        if newshape and (isinstance(newshape[0], (list, tuple)) or getattr(newshape[0], "ndim", False)):
            sizes, *length = newshape
            return shapes.reshape(self, sizes, *length, **({} if ndim is None else {"ndim": ndim}))
        return shapes.reshape(self, newshape, ndim)

    def transpose(self, *axes: Any) -> Any:
        """``T.transpose``; the axes may come one by one or as a tuple."""
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (list, tuple))):
            (axes,) = axes
        return shapes.transpose(self, axes or None)

    flatten = shapes.flatten
    ravel = shapes.ravel
    dimshuffle = shapes.dimshuffle
    swapaxes = shapes.swapaxes
    squeeze = shapes.squeeze
    repeat = pieces.repeat
    diagonal = matrices.diagonal
    fill = creation.fill
    zeros_like = creation.zeros_like
    ones_like = creation.ones_like
    get_scalar_constant_value = creation.get_scalar_constant_value
    take = indexing.take
    nonzero = indexing.nonzero
    nonzero_values = indexing.nonzero_values
    choose = selecting.choose
    compress = extra.compress
    transfer = extra.transfer

    # --- reductions -----------------------------------------------------------------------------------------------

    sum = reduce.sum
    prod = reduce.prod
    max = reduce.max
    min = reduce.min
    argmax = reduce.argmax
    argmin = reduce.argmin
    any = reduce.any
    all = reduce.all
    ptp = reduce.ptp
    var = statistics.var
    std = statistics.std
    norm = statistics.norm
    cumsum = cumulative.cumsum
    cumprod = cumulative.cumprod

    def mean(self, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Any:
        """``T.mean``: the mean over axes."""
        return statistics.mean(self, axis, dtype, keepdims=keepdims, acc_dtype=acc_dtype)

    # --- linear algebra and order ---------------------------------------------------------------------------------

    dot = linalg.dot

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """The sum of a diagonal."""
        return reduce.sum(matrices.diagonal(self, offset, axis1, axis2), axis=-1)

    sort = sorting.sort
    argsort = sorting.argsort
    searchsorted = counting.searchsorted

    # --- elementwise ----------------------------------------------------------------------------------------------

    arccos = transcendental.arccos
    arccosh = transcendental.arccosh
    arcsin = transcendental.arcsin
    arcsinh = transcendental.arcsinh
    arctan = transcendental.arctan
    arctanh = transcendental.arctanh
    ceil = scalar.ceil
    cos = transcendental.cos
    cosh = transcendental.cosh
    deg2rad = transcendental.deg2rad
    exp = transcendental.exp
    exp2 = transcendental.exp2
    expm1 = transcendental.expm1
    floor = scalar.floor
    log = transcendental.log
    log10 = transcendental.log10
    log1p = transcendental.log1p
    log2 = transcendental.log2
    rad2deg = transcendental.rad2deg
    round = scalar.round_
    sin = transcendental.sin
    sinh = transcendental.sinh
    sqrt = scalar.sqrt
    tan = transcendental.tan
    tanh = transcendental.tanh
    trunc = scalar.trunc
    astype = cast

    def clip(self, a_min: Any, a_max: Any) -> Any:
        """``T.clip``: the tensor limited to the interval from ``a_min`` to ``a_max``."""
        return scalar.clip(self, a_min, a_max)

    def conj(self) -> Any:
        """The tensor itself: there are no complex ones."""
        return self

    conjugate = conj

    @property
    def real(self) -> Any:
        """The tensor itself: there are no complex ones."""
        return self

    @property
    def imag(self) -> Any:
        """Zeros: there are no complex tensors."""
        return creation.zeros_like(self)

    # --- values ---------------------------------------------------------------------------------------------------

    def eval(self, inputs_to_values: Mapping[Any, Any] | None = None) -> Any:
        """The value for given values of the inputs.

        Parameters
        ----------
        inputs_to_values
            Variable to value, for every input that the tensor depends on.

        The compiled function is kept, so that asking again with the same inputs is cheap.

        >>> import tinygraph.tensor as T
        >>> x = T.dscalar("x")
        >>> float((x**2).eval({x: 3.0}))
        9.0
        """
        return services.call("evaluate", self, inputs_to_values)

    # --- looks ----------------------------------------------------------------------------------------------------

    def dprint(self, **options: Any) -> Any:
        """Print the graph behind the tensor as a tree; ``tg.debugprint`` says which options there are."""
        return services.call("debugprint", self, **options)

    def _repr_html_(self) -> str:
        return str(services.call("repr_html", self))

    def _repr_svg_(self) -> str | None:
        svg: str | None = services.call("repr_svg", self)
        return svg


def _truth(x: Any) -> Any:
    x = as_tensor(x)
    return x if x.dtype == "bool" else scalar.neq(x, 0)


#: NumPy's universal functions, by name, and what they build.
_UFUNCS: dict[str, Callable[..., Any]] = {
    "absolute": scalar.abs_,
    "add": scalar.add,
    "arccos": transcendental.arccos,
    "arccosh": transcendental.arccosh,
    "arcsin": transcendental.arcsin,
    "arcsinh": transcendental.arcsinh,
    "arctan": transcendental.arctan,
    "arctan2": transcendental.arctan2,
    "arctanh": transcendental.arctanh,
    "bitwise_and": scalar.and_,
    "bitwise_or": scalar.or_,
    "bitwise_xor": scalar.xor,
    "ceil": scalar.ceil,
    "cos": transcendental.cos,
    "cosh": transcendental.cosh,
    "deg2rad": transcendental.deg2rad,
    "divide": scalar.true_div,
    "divmod": arithmetic.divmod,
    "equal": scalar.eq,
    "erf": special.erf,
    "erfc": special.erfc,
    "erfinv": special.erfinv,
    "exp": transcendental.exp,
    "exp2": transcendental.exp2,
    "expit": transcendental.sigmoid,
    "expm1": transcendental.expm1,
    "fabs": scalar.abs_,
    "floor": scalar.floor,
    "floor_divide": scalar.int_div,
    "gamma": special.gamma,
    "gammaln": special.gammaln,
    "greater": scalar.gt,
    "greater_equal": scalar.ge,
    "hypot": transcendental.hypot,
    "invert": scalar.invert,
    "isfinite": scalar.isfinite,
    "isinf": scalar.isinf,
    "isnan": scalar.isnan,
    "less": scalar.lt,
    "less_equal": scalar.le,
    "log": transcendental.log,
    "log10": transcendental.log10,
    "log1p": transcendental.log1p,
    "log2": transcendental.log2,
    "logical_and": lambda x, y: scalar.and_(_truth(x), _truth(y)),
    "logical_not": lambda x: scalar.invert(_truth(x)),
    "logical_or": lambda x, y: scalar.or_(_truth(x), _truth(y)),
    "logical_xor": lambda x, y: scalar.xor(_truth(x), _truth(y)),
    "matmul": linalg.matmul,
    "maximum": scalar.maximum,
    "minimum": scalar.minimum,
    "multiply": scalar.mul,
    "negative": scalar.neg,
    "not_equal": scalar.neq,
    "positive": as_tensor,
    "power": scalar.power,
    "psi": special.psi,
    "rad2deg": transcendental.rad2deg,
    "reciprocal": scalar.inv,
    "remainder": scalar.mod,
    "rint": scalar.round_half_to_even,
    "sign": scalar.sgn,
    "sin": transcendental.sin,
    "sinh": transcendental.sinh,
    "sqrt": scalar.sqrt,
    "square": scalar.sqr,
    "subtract": scalar.sub,
    "tan": transcendental.tan,
    "tanh": transcendental.tanh,
    "trunc": scalar.trunc,
}

#: NumPy's other functions, by name, and what they build.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "all": reduce.all,
    "any": reduce.any,
    "argmax": reduce.argmax,
    "argmin": reduce.argmin,
    "argsort": sorting.argsort,
    "broadcast_to": shapes.broadcast_to,
    "clip": scalar.clip,
    "concatenate": pieces.concatenate,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "diag": matrices.diag,
    "diagonal": matrices.diagonal,
    "expand_dims": shapes.expand_dims,
    "flip": pieces.flip,
    "full_like": creation.full_like,
    "max": reduce.max,
    "mean": statistics.mean,
    "min": reduce.min,
    "moveaxis": shapes.moveaxis,
    "dot": linalg.dot,
    "ndim": lambda x: x.ndim,
    "nonzero": indexing.nonzero,
    "outer": linalg.outer,
    "ones_like": creation.ones_like,
    "prod": reduce.prod,
    "ptp": reduce.ptp,
    "ravel": shapes.ravel,
    "repeat": pieces.repeat,
    "reshape": shapes.reshape,
    "roll": pieces.roll,
    "round": scalar.round_,
    "shape": shapes.shape,
    "sort": sorting.sort,
    "squeeze": shapes.squeeze,
    "stack": pieces.stack,
    "std": statistics.std,
    "sum": reduce.sum,
    "swapaxes": shapes.swapaxes,
    "take": indexing.take,
    "tensordot": linalg.tensordot,
    "tile": pieces.tile,
    "transpose": shapes.transpose,
    "tril": matrices.tril,
    "triu": matrices.triu,
    "var": statistics.var,
    "where": scalar.where,
    "zeros_like": creation.zeros_like,
}


class TensorVariable(TensorMethods):
    """A symbolic tensor."""

    __slots__ = ()


class TensorConstant(TensorMethods, Constant):
    """A tensor whose value is fixed when the graph is built."""

    __slots__ = ()


class TensorSharedVariable(TensorMethods, SharedVariable):
    """A tensor whose value lives between calls."""

    __slots__ = ()


TensorType.variable_class = TensorVariable
TensorType.constant_class = TensorConstant
TensorType.shared_class = TensorSharedVariable
