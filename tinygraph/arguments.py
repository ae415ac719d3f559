"""What a compiled function takes and gives: declarations of inputs and outputs, and the check of one call argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.errors import InputError, TinygraphError
from tinygraph.graph import Constant, SharedVariable, Variable
from tinygraph.types import TensorType, is_float, promote, shape_text

__all__ = ["Argument", "In", "Out", "Param", "bound", "declared"]

_NAMES = {0: "scalar", 1: "vector", 2: "matrix"}


class In:
    """An input of a function, with what can be said of it beyond its variable.

    Parameters
    ----------
    variable
        The symbolic variable; it may be a result in the middle of a graph.
    name
        The keyword it may be passed by; by default the variable's name.
    value
        The value it has where a call does not give one.
    update
        An expression that ``value`` is replaced by after each call: state of the function's own.
    mutable, borrow, autoname, implicit
        Accepted as in Theano; inputs are never written to.
    strict
        Take only arrays of exactly the input's dtype.
    allow_downcast
        True converts any dtype; False only those that lose nothing; None also takes Python floats.

    Raises
    ------
    InputError
        If the variable is a constant or shared, or ``update`` comes without ``value``.
    """

    def __init__(
        self,
        variable: Any,
        name: str | None = None,
        value: Any = None,
        update: Any = None,
        mutable: bool | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        autoname: bool = True,
        implicit: bool | None = None,
        borrow: bool | None = None,
    ) -> None:
        if not isinstance(variable, Variable):
            raise InputError(
                "an input of a function must be a symbolic variable",
                expected="a variable, such as T.matrix('X')",
                actual=f"{variable!r} of {type(variable).__name__}",
            )
        if isinstance(variable, SharedVariable):
            raise InputError(
                f"the shared variable {variable} cannot be an input: its value lives between calls",
                hint="leave it out of the inputs, or replace it for this function with givens={variable: …}",
            )
        if isinstance(variable, Constant):
            raise InputError(f"the constant {variable} cannot be an input", actual=str(variable.type))
        if update is not None and value is None:
            raise InputError(f"input {variable} has an update but no value to start from", hint="give In(…, value=…)")
        self.variable = variable
        self.name = name if name is not None else variable.name
        self.value = value
        self.update = update
        self.strict = strict
        self.allow_downcast = allow_downcast

    def __repr__(self) -> str:
        return f"In({self.variable})"


class Param(In):
    """Theano's older way to declare an input; its ``default`` is the ``value`` of ``In``."""

    def __init__(
        self,
        variable: Any,
        default: Any = None,
        name: str | None = None,
        mutable: bool | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        implicit: bool | None = None,
        borrow: bool | None = None,
    ) -> None:
        super().__init__(variable, name=name, value=default, strict=strict, allow_downcast=allow_downcast)


def declared(given: Any) -> Any:
    """The declaration that an input of ``function`` stands for.

    Parameters
    ----------
    given
        An ``In``, a variable, or one of Theano's tuples: ``(x, value)`` and ``((x, update), value)``, either with a
        name before the rest, and ``(name, x)``.
    """
    if not isinstance(given, (tuple, list)):
        return given
    parts = list(given)
    name = parts.pop(0) if parts and isinstance(parts[0], str) else None
    update = None
    if parts and isinstance(parts[0], (tuple, list)) and len(parts[0]) == 2:
        parts[0], update = parts[0]
    if len(parts) not in (1, 2):
        raise InputError(
            "this tuple does not declare an input",
            expected="(x, value), ((x, update), value), or one of these with a name before it",
            actual=f"{given!r}",
            hint="write In(x, name=…, value=…, update=…)",
        )
    return In(parts[0], name=name, value=parts[1] if len(parts) == 2 else None, update=update)


class Out:
    """An output of a function; ``borrow`` is accepted as in Theano, and the caller always owns what is returned."""

    def __init__(self, variable: Any, borrow: bool = False) -> None:
        self.variable = variable
        self.borrow = borrow


class Argument:
    """The check and conversion of one call argument.

    Parameters
    ----------
    spec
        The input's declaration.
    position
        Its place among the inputs, from 0.
    label
        The function's name, for messages.
    backend
        Name of the array library that will take it, which arrays may be on the device of; what is in the host's memory
        stays there, and the backend brings it to its device.
    allow_downcast
        What the function says of conversions, where the input's own declaration says nothing.
    """

    def __init__(self, spec: In, position: int, label: str, backend: str, allow_downcast: bool | None = None) -> None:
        self.spec = spec
        self._allow_downcast = allow_downcast if spec.allow_downcast is None else spec.allow_downcast
        self.position = position
        self.type: TensorType = spec.variable.type
        self._label = label
        self._xp = arrays.get(backend)
        self._array: Any = self._xp.ndarray
        self._elsewhere = self._xp.number is not None
        self._dtype = np.dtype(self.type.dtype)
        self._ndim = self.type.ndim
        self._free = all(n is None for n in self.type.shape)

    def convert(self, value: Any) -> Any:
        """The value as an array of the input's type; an array that already is one is passed on as it is.

        Raises
        ------
        InputError
            With the input's name and both sides, if the number of dimensions, a fixed extent or the dtype do not fit,
            or the array is on another device.
        """
        if (
            type(value) is self._array
            and value.dtype == self._dtype
            and value.ndim == self._ndim
            and (self._free or self._fits(value.shape))
            and not (self._elsewhere and not self._xp.holds(value))
        ):
            return value
        return self._converted(value)

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == self._ndim and all(
            n is None or n == m for n, m in zip(self.type.shape, shape, strict=True)
        )

    def _converted(self, value: Any) -> Any:
        if isinstance(value, Variable):
            raise self._error(
                "a symbolic variable was passed where a value is needed",
                f"the variable {value}",
                "pass an array; to replace a variable in the graph use givens or tg.clone",
            )
        array = self._as_array(value)
        if array.ndim != self._ndim:
            raise self._error(
                "wrong number of dimensions", f"{array.dtype} {shape_text(array.shape)}", self._ndim_hint(array.ndim)
            )
        if not self._fits(array.shape):
            raise self._error("wrong shape", f"{array.dtype} {shape_text(array.shape)}")
        if array.dtype != self._dtype:
            array = self._cast(value, array)
        return array

    def _as_array(self, value: Any) -> Any:
        try:
            array = self._xp.received(value)
        except InputError as err:
            raise self._error(err.problem, err.actual, err.hint, err.expected) from err
        except (ValueError, TypeError) as err:
            raise self._error(f"the value is no array: {err}", type(value).__name__) from err
        if array.dtype.kind not in "biuf":
            raise self._error("the value is no array of numbers", f"{array.dtype} from {type(value).__name__}")
        return array

    def _cast(self, value: Any, array: Any) -> Any:
        have, want = array.dtype.newbyteorder("=").name, self.type.dtype
        downcast = self._allow_downcast
        if self.spec.strict:
            raise self._error("wrong dtype, and the input is strict", have)
        is_array = (isinstance(value, np.generic) and not isinstance(value, float)) or hasattr(value, "__dlpack__")
        if downcast or have == want or _safe(have, want):
            return array.astype(want)
        if not is_array and downcast is None and is_float(want):
            return array.astype(want)  # Python floats and lists of them give way, as weak scalars do
        if not is_array:
            with arrays.ignore_floating_point():
                converted = array.astype(want)
            if bool((converted == array).all()):
                return converted
        raise self._error(
            f"{want} cannot hold values of {have} without losing precision",
            have,
            f"convert the value with .astype({want!r}), or pass allow_input_downcast=True to function",
        )

    def _ndim_hint(self, ndim: int) -> str:
        if ndim == self._ndim - 1:
            return "for a single example add an axis: x[None, :]" if ndim == 1 else "add an axis with x[None]"
        return ""

    def _error(self, problem: str, actual: str, hint: str = "", expected: str = "") -> TinygraphError:
        name = f" {self.spec.name!r}" if self.spec.name else ""
        kind = _NAMES.get(self._ndim, f"{self._ndim}-d tensor")
        error = InputError(
            f"input {self.position}{name} of {self._label}: {problem}",
            expected=expected or f"{self.type.dtype} {kind} {shape_text(self.type.shape)}",
            actual=actual,
            hint=hint,
        )
        error.locate("", (), self.spec.variable.origin.trace())
        return error


def bound(
    specs: Sequence[In], defaults: Sequence[Any], args: Sequence[Any], kwargs: Mapping[str, Any], label: str
) -> list[Any]:
    """One value for each input of a call.

    Parameters
    ----------
    specs, defaults
        The declared inputs, and for each the shared variable with the value that it has where a call gives none, or
        None.
    args, kwargs
        What the call gives.
    label
        The function's name, for messages.

    Raises
    ------
    InputError
        If an input has no value or two, or a value no input.
    """
    if len(args) > len(specs):
        raise InputError(f"{label} got too many arguments", expected=f"at most {len(specs)}", actual=str(len(args)))
    given = dict(enumerate(args))
    positions = {spec.name: i for i, spec in enumerate(specs) if spec.name}
    for key, value in kwargs.items():
        if key not in positions:
            names = ", ".join(map(repr, positions)) or "none by name"
            raise InputError(f"{label} has no input {key!r}", expected=names, actual=repr(key))
        if positions[key] in given:
            raise InputError(f"{label} got two values for its input {key!r}")
        given[positions[key]] = value
    for i, default in enumerate(defaults):
        if i not in given and default is not None:
            given[i] = default.get_value(borrow=True, return_internal_type=True)
    lacking = [str(spec.variable) for i, spec in enumerate(specs) if i not in given]
    if lacking:
        raise InputError(
            f"{label} got no value for {', '.join(lacking)}",
            expected=f"{len(specs)} arguments: {', '.join(str(s.variable) for s in specs)}",
            actual=f"{len(given)} arguments",
        )
    return [given[i] for i in range(len(specs))]


def _safe(have: str, want: str) -> bool:
    return promote(have, want) == want
