"""``function``: a graph compiled into something that can be called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.arguments import Argument, bound
from tinygraph.backends import shortage
from tinygraph.closed import Closed, close, replaced
from tinygraph.compiling import Compiler, Maker, Specialisation
from tinygraph.config import config
from tinygraph.errors import BackendError, InputError, OutOfMemoryError
from tinygraph.graph import (
    IN_USE,
    STATE_LOCK,
    Variable,
    guards,
    infer_graph,
    many_nodes,
    no_test_values,
    services,
    static_value,
    toposort,
)
from tinygraph.graph import replace as replace_variables
from tinygraph.ops.convert import as_tensor
from tinygraph.program import Program, specialise, verify
from tinygraph.results import converter
from tinygraph.rewrite import rewrite
from tinygraph.surgery import FunctionGraph
from tinygraph.types import Abstract, TensorType

__all__ = ["Function", "clone", "function"]

#: How many specialisations a function keeps; the oldest goes first.
_KEPT = 512


def function(
    inputs: Sequence[Any],
    outputs: Any = None,
    mode: Any = None,
    updates: Any = None,
    givens: Any = None,
    no_default_updates: bool | Sequence[Any] = False,
    accept_inplace: bool = False,
    name: str | None = None,
    rebuild_strict: bool = True,
    allow_input_downcast: bool | None = None,
    profile: Any = None,
    on_unused_input: str | None = None,
    backend: str | None = None,
) -> Function:
    """Compile a graph.

    Parameters
    ----------
    inputs
        Variables, or ``In`` declarations, in the order of the call's arguments.
    outputs
        An expression, a list or tuple, a dict from names to expressions, or None.
    mode
        ``"FAST_RUN"`` rewrites the graph first; ``"FAST_COMPILE"`` runs it as it was written. ``"NanGuardMode"``,
        ``"DebugMode"`` and objects of these classes of ``tinygraph.diagnose`` check what runs. Default ``config.mode``.
    updates
        Pairs ``(shared variable, new value)``, or a mapping. All new values are computed from the old ones and
        committed together when the call succeeds.
    givens
        Pairs or a mapping of variables to what replaces them in this function.
    no_default_updates
        True, or a list of shared variables: do not apply their ``default_update``.
    accept_inplace
        Accepted as in Theano, without effect here.
    name
        For messages.
    profile
        True to measure every instruction; ``f.profile.summary()`` shows what was found. A ``ProfileStats`` collects
        several functions in one.
    rebuild_strict
        True demands replacements of the same dtype; False casts them to it.
    allow_input_downcast
        True converts inputs of any dtype; False only those that lose nothing; None also takes Python floats.
    on_unused_input
        ``"raise"``, ``"warn"`` or ``"ignore"``; default ``config.on_unused_input``.
    backend
        ``"numpy"``, ``"cupy"``, or ``"cupy:1"`` and so on; default ``config.backend``.

    Raises
    ------
    InputError, UnusedInputError, MissingInputError, UpdateError, BackendError
        Each names the variable concerned.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.dvector("x")
    >>> total = tg.shared(0.0, "total")
    >>> f = tg.function([x], x.sum(), updates=[(total, total + x.sum())])
    >>> float(f([1, 2, 3])), float(f([4.0])), float(total.get_value())
    (6.0, 4.0, 10.0)
    """
    where = arrays.get(backend or config.backend).backend
    with no_test_values():
        closed = close(
            inputs,
            outputs,
            updates,
            givens,
            no_default_updates=no_default_updates,
            rebuild_strict=rebuild_strict,
            on_unused_input=on_unused_input or config.on_unused_input,
            label=_label(name),
            backend=where,
        )
        return _made(closed, _checked_mode(mode), name, allow_input_downcast, where, profile)


def _made(closed: Closed, mode: Any, name: str | None, downcast: bool | None, backend: str, profile: Any) -> Function:
    profile = config.profile if profile is None else profile
    if profile is False:
        return Function(closed, mode, name, downcast, backend)
    return _Profiled(closed, mode, name, downcast, backend, profile)


def _linker(mode: Any) -> str:
    """The linker that a mode asks for, or the setting."""
    own = getattr(mode, "linker", None)
    return "reference" if own == "py" else config.linker


def _label(name: str | None) -> str:
    return f"function {name!r}" if name else "the function"


def _checked_mode(mode: Any) -> Any:
    mode = config.mode if mode is None else mode
    if mode in ("FAST_RUN", "FAST_COMPILE") or (not isinstance(mode, (str, type)) and hasattr(mode, "runner")):
        return mode
    if mode in ("NanGuardMode", "DebugMode"):
        return services.call(mode)
    raise ValueError(f"mode must be 'FAST_RUN', 'FAST_COMPILE', 'NanGuardMode' or 'DebugMode', not {mode!r}")


class Function:
    """A compiled graph; made by ``function``.

    Calls on one Function wait for each other; different Functions run in parallel.

    Attributes
    ----------
    name
        For messages.
    mode
        ``"FAST_RUN"``, ``"FAST_COMPILE"``, or an object that checks what runs.
    profile
        What was measured, a ``ProfileStats``; None unless the function was made with ``profile=True``.
    trust_input
        True skips the checks and conversions of arguments: they must be arrays of the right dtype and dimensions.
    """

    profile: Any = None

    def __init__(self, closed: Closed, mode: Any, name: str | None, allow_downcast: bool | None, backend: str) -> None:
        self.name = name
        self.mode = mode
        self.backend = backend
        self.trust_input = False
        self._xp = arrays.get(backend)
        self._compiler = Compiler(backend, mode != "FAST_COMPILE" and _linker(mode) != "reference")
        self._closed = closed
        self._allow_downcast = allow_downcast
        for variable in closed.shared:
            if variable.backend != backend:
                raise BackendError(
                    f"shared variable {variable} lives on {variable.backend}, the function runs on {backend}",
                    hint=f"make both with one backend: shared(…, backend={backend!r}), or set config.backend",
                )
        self._arguments = [
            Argument(spec, i, _label(name), backend, allow_downcast) for i, spec in enumerate(closed.specs)
        ]
        with many_nodes():
            self._roots = closed.roots if mode == "FAST_COMPILE" else rewrite(closed.roots, closed.leaves)
        self._written = toposort(closed.roots, stop=closed.leaves)
        self._guarded = guards(self._written, closed.roots)
        self._containers = [v.container for v in closed.shared]
        self._targets = [v.container for v in closed.targets]
        self._fixed = [(i, v) for i, v in enumerate(closed.targets) if any(n is not None for n in v.type.shape)]
        self._specialisations: dict[tuple[tuple[int, ...], ...], Specialisation] = {}
        self._use = (frozenset(self._containers) - frozenset(self._targets), frozenset(self._targets))
        self._quick: Any = None
        self._last: Specialisation | None = None
        self._bare = False
        self._count = len(closed.specs)
        self._long = False
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function.

        The keyword ``as_`` says what results are, wherever they were computed: ``"numpy"``, ``"cupy"``, or
        ``"dlpack"`` for arrays of their own, where they were computed, that PyTorch or JAX takes by ``from_dlpack``
        without a copy; nothing here writes to them again. Without it they are arrays of the function's backend.

        Raises
        ------
        InputError
            If the arguments do not fit the inputs, or ``as_`` is used where an input has that name, too.
        OutOfMemoryError
            If there is not enough memory, with how much the call needs and for what.
        ShapeError
            If their shapes do not fit each other; raised at the first call with these shapes, before anything is
            computed. Whenever a call raises, no shared variable has changed.
        """
        with self._lock:
            try:
                quick = self._quick
                if quick is not None and not kwargs and len(args) == self._count and not IN_USE.calls:
                    results = quick((*args, *[c.value for c in self._containers]))
                    if results is not None:
                        return results[0] if self._bare else self._handed_out(results)
                if "as_" in kwargs:
                    return self._called_as(kwargs.pop("as_"), args, kwargs)
                with self._xp.here():
                    return self._called(args, kwargs)
            except MemoryError as err:
                if self._last is None or isinstance(err, OutOfMemoryError):
                    raise
                raise shortage(self._last.program, str(err), getattr(self._last.executable, "plan", None)) from err

    def _called(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A call with arguments of any kind."""
        values = args
        if kwargs or len(args) != len(self._arguments):
            values = self._bound(args, kwargs)
        if not self.trust_input:
            values = [argument.convert(value) for argument, value in zip(self._arguments, values, strict=True)]
        while True:
            known, results = self._run(values)
            if results is not None:
                self._quick = getattr(known.run, "quick", None) if not known.long else None
                self._bare = getattr(known.run, "settled", False) and self._closed.bare
                return self._handed_out(results)

    def _called_as(self, as_: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A call whose results are wanted as ``as_`` says."""
        convert = converter(as_, [spec.name for spec in self._closed.specs], _label(self.name))
        results = Function.__call__(self, *args, **kwargs)
        if isinstance(results, dict):
            return {name: convert(result) for name, result in results.items()}
        return [convert(result) for result in results] if isinstance(results, list) else convert(results)

    def _run(self, values: Sequence[Any]) -> tuple[Specialisation, list[Any] | None]:
        """The specialisation for these arguments and its results; None if the call must wait for others first."""
        alone = not (self._long or IN_USE)
        if not alone:
            IN_USE.enter(self._use)
        try:
            with STATE_LOCK:
                everything = [*values, *[container.value for container in self._containers]]
            known = self._last = self._specialisations.get(tuple([value.shape for value in everything]))
            if known is None:
                known = self._last = self._specialised(tuple([value.shape for value in everything]), everything)
            if known.long and alone:
                self._long = True
                return known, None
            quick = getattr(known.run, "quick", None)
            results = quick(tuple(everything)) if quick is not None else None
            return known, known.run(everything) if results is None else results
        finally:
            if not alone:
                IN_USE.leave(self._use)

    def _handed_out(self, results: list[Any]) -> Any:
        """What a call returns, once new values are in their places."""
        if self._targets:
            self._commit(results[-len(self._targets) :])
        if self._closed.composites is not None:
            results = self._closed.composites.joined(results)
        names = self._closed.names
        if names is None:
            return results[0]
        outputs = results[: len(self._closed.outputs)]
        return dict(zip(names, outputs, strict=True)) if names else outputs

    def _commit(self, new: Sequence[Any]) -> None:
        changed = [i for i, c in enumerate(self._targets) if c.value is not new[i]]  # others were written to
        if not changed:
            return
        for i, variable in self._fixed:
            variable.check_shape(new[i].shape)
        with STATE_LOCK:
            for i in changed:
                self._targets[i].value = new[i]

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """One value for each input, from positional arguments, keywords and defaults."""
        if self._closed.composites is not None:
            args, kwargs = self._closed.composites.split(args, kwargs)
        return bound(self._closed.specs, self._closed.defaults, args, kwargs, _label(self.name))

    def _specialised(self, key: tuple[tuple[int, ...], ...], values: Sequence[Any]) -> Specialisation:
        start = time.perf_counter()
        leaves = self._closed.leaves
        types = [TensorType(value.dtype.name, tuple(value.shape)) for value in values]
        # The graph is checked as the user wrote it. Integer scalars are known here, and with them symbolic slices.
        seen = [Abstract(t, static_value(v) if t.ndim == 0 else None) for t, v in zip(types, values, strict=True)]
        with many_nodes():
            infer_graph(self._written, dict(zip(leaves, seen, strict=True)), self._guarded)
            program = specialise(leaves, self._roots, [Abstract(t) for t in types])
        if config.verify_programs == "yes":
            verify(program)
        for i, variable in self._fixed:
            type = program.buffers[program.outputs[len(self._closed.outputs) + i]].type
            if type.known:
                variable.check_shape(type.shape)
        signature = ", ".join(f"{v}: {t}" for v, t in zip(leaves, types, strict=True))
        executable = self._compiled(program)
        run = self._runner(executable)
        made = Specialisation(signature, time.perf_counter() - start, program, executable, run)
        made.long = getattr(executable, "long", False)
        if len(self._specialisations) >= _KEPT:
            del self._specialisations[next(iter(self._specialisations))]
        self._specialisations[key] = made
        return made

    def _compiled(self, program: Program) -> Any:
        """A Program ready to be called."""
        return self._compiler(program, self._overwritten(program))

    def _overwritten(self, program: Program) -> list[int | None]:
        """For each output of a Program the position of the input that it is the new value of, or None."""
        leaves = {v: i for i, v in enumerate(self._closed.leaves)}
        first = len(self._closed.outputs)
        targets: list[int | None] = [None] * first
        targets += [leaves.get(v) for v in self._closed.targets]
        if not all(program.buffers[program.outputs[first + i]].type.known for i, _ in self._fixed):
            targets = [None] * len(targets)  # whether these fit shows at the end only
        return targets

    def _runner(self, executable: Any) -> Callable[[Sequence[Any]], list[Any]]:
        return executable if isinstance(self.mode, str) else self.mode.runner(self._closed, executable)

    def prepared(self, *args: Any, **kwargs: Any) -> tuple[Specialisation, list[Any]]:
        """What a call with these arguments would run, and the values of its inputs and shared variables; nothing runs.

        Raises
        ------
        InputError, ShapeError
            As the call would.
        """
        given = self._bound(args, kwargs)
        with self._lock, self._xp.here():
            values = [argument.convert(value) for argument, value in zip(self._arguments, given, strict=True)]
            with STATE_LOCK:
                values += [container.value for container in self._containers]
            key = tuple([value.shape for value in values])
            return self._specialisations.get(key) or self._specialised(key, values), values

    def trace(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The value of every named result in the graph, for these arguments; no shared variable changes.

        The graph runs as it was written. What only a branch needs that is not taken is left out; of results with one
        name the later ones are called ``name#2`` and so on.

        >>> import tinygraph as tg, tinygraph.tensor as T
        >>> x = T.dvector("x")
        >>> h = T.tanh(x)
        >>> h.name = "h"
        >>> f = tg.function([x], h.sum())
        >>> f.trace([0.0, 0.0])
        {'h': array([0., 0.])}
        """
        return services.call("trace", self, args, kwargs)

    def memory(self, *examples: Any) -> Any:
        """How much memory a call takes at its peak and who holds it, worked out without running anything.

        Parameters
        ----------
        examples
            For each input an array of its shape, or the shape as a tuple; without any, the signature called last.

        Raises
        ------
        InputError
            If the examples do not fit the inputs, or there are none and nothing was called yet.
        ShapeError
            If their shapes do not fit each other.

        >>> import tinygraph as tg, tinygraph.tensor as T
        >>> x = T.dmatrix("x")
        >>> tg.function([x], T.exp(x) + T.exp(x.T)).memory((100, 100)).peak
        80000
        """
        specs, label = self._closed.specs, _label(self.name)
        if not examples and specs:
            if not self._specialisations:
                raise InputError(
                    f"{label} was not called yet", hint="give the shape of each input: f.memory((50, 784))"
                )
            return self._compiler.memory(self.program, self._overwritten(self.program))
        if len(examples) != len(specs):
            raise InputError(
                f"{label}.memory takes one shape for each input", expected=str(len(specs)), actual=str(len(examples))
            )
        types = [_example_type(spec.variable, example, label) for spec, example in zip(specs, examples, strict=True)]
        types += [TensorType(v.dtype, tuple(v.container.value.shape)) for v in self._closed.shared]
        program = specialise(self._closed.leaves, self._roots, [Abstract(t) for t in types])
        return self._compiler.memory(program, self._overwritten(program))

    @property
    def closed(self) -> Closed:
        """The graph as it was written: inputs, outputs, shared variables and their new values."""
        return self._closed

    @property
    def program(self) -> Program:
        """The Program made last; there is one for each signature of input shapes, from its first call on."""
        if not self._specialisations:
            raise ValueError("there is no Program yet: it is made at the first call, from the shapes of the inputs")
        return next(reversed(self._specialisations.values())).program

    @property
    def maker(self) -> Maker:
        """What it was made of, for programs that inspect it as Theano's do."""
        return Maker(FunctionGraph(self._closed.leaves, self._roots), self.mode, self._closed.specs)

    @property
    def roots(self) -> list[Any]:
        """What a call computes, outputs before new values, as expressions of the leaves of ``closed``, rewritten."""
        return list(self._roots)

    def stats(self) -> list[Specialisation]:
        """One entry for each signature that the function was compiled for, oldest first."""
        return list(self._specialisations.values())

    def get_shared(self) -> list[Any]:
        """The shared variables that the function reads or updates."""
        return list(self._closed.shared)

    def copy(
        self,
        share_memory: bool = False,
        swap: Mapping[Any, Any] | None = None,
        delete_updates: bool = False,
        name: str | None = None,
        profile: Any = None,
    ) -> Function:
        """Another function over the same graph.

        Parameters
        ----------
        share_memory
            Accepted as in Theano, without effect here.
        profile
            As for ``function``.
        swap
            Shared variables to replace by others of the same type, in expressions and as targets of updates.
        delete_updates
            True leaves all updates out.
        name
            The copy's name.
        """
        with no_test_values():
            closed = self._closed.swapped(swap or {}, delete_updates)
            return _made(closed, self.mode, name or self.name, self._allow_downcast, self.backend, profile)

    def __reduce__(self) -> Any:
        # What was compiled is made again; shared variables are copied with what else is copied or pickled.
        profile = self.profile is not None
        made = (self._closed, self.mode, self.name, self._allow_downcast, self.backend, profile)
        return _made, made, {"trust_input": self.trust_input}

    def __getitem__(self, key: Any) -> Any:
        """The value that an input declared with ``In(…, value=…)`` has now; by variable or name."""
        return self._default(key).get_value()

    def __setitem__(self, key: Any, value: Any) -> None:
        self._default(key).set_value(value)

    @property
    def value(self) -> Function:
        """The function itself: ``f.value[x]`` is ``f[x]``."""
        return self

    @property
    def container(self) -> dict[Any, Any]:
        """The places of those values, each with an attribute ``value``; by variable, and by name where there is one."""
        pairs = zip(self._closed.specs, self._closed.defaults, strict=True)
        own = [(spec, default.container) for spec, default in pairs if default is not None]
        return {spec.variable: place for spec, place in own} | {spec.name: place for spec, place in own if spec.name}

    def _default(self, key: Any) -> Any:
        for spec, default in zip(self._closed.specs, self._closed.defaults, strict=True):
            if default is not None and (spec.variable is key or (isinstance(key, str) and spec.name == key)):
                return default
        raise KeyError(f"{_label(self.name)} has no input {key} with a value of its own")

    def __repr__(self) -> str:
        return f"<{_label(self.name)}({', '.join(str(spec.variable) for spec in self._closed.specs)})>"

    def _repr_html_(self) -> str:
        return str(services.call("repr_html", self))

    def _repr_svg_(self) -> str | None:
        svg: str | None = services.call("repr_svg", self)
        return svg


class _Profiled(Function):
    """A function that measures itself; the others are not burdened with it."""

    def __init__(
        self, closed: Closed, mode: Any, name: str | None, allow_downcast: bool | None, backend: str, profile: Any
    ) -> None:
        self.profile = services.call("profile", profile, _label(name))
        super().__init__(closed, mode, name, allow_downcast, backend)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start, before = time.perf_counter(), self.profile.compile_seconds
        try:
            return super().__call__(*args, **kwargs)
        finally:
            self.profile.count_call(time.perf_counter() - start - (self.profile.compile_seconds - before))

    def _specialised(self, key: tuple[tuple[int, ...], ...], values: Sequence[Any]) -> Specialisation:
        made = super()._specialised(key, values)
        self.profile.compile_seconds += made.seconds
        return made

    def _runner(self, executable: Any) -> Callable[[Sequence[Any]], list[Any]]:
        return super()._runner(self.profile.watching(executable))


def _example_type(variable: Variable, example: Any, label: str) -> TensorType:
    """The type of an input that is given as an array or as a shape."""
    shape = example if isinstance(example, tuple) else np.shape(arrays.to_numpy(example))
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
        raise InputError(
            f"an example for {variable} is an array, or its shape as a tuple of ints", actual=f"{example!r}"
        )
    type = TensorType(variable.dtype, tuple(int(n) for n in shape))
    if not variable.type.accepts(type):
        raise InputError(
            f"an example for input {variable} of {label} does not fit it", expected=str(variable.type), actual=str(type)
        )
    return type


def clone(
    output: Any, replace: Any = None, strict: bool = True, share_inputs: bool = True, copy_inputs: Any = None
) -> Any:
    """An expression, or a list of them, with variables replaced.

    Parameters
    ----------
    output
        A variable or a list or tuple of variables.
    replace
        Mapping, or pairs, of variables to their replacements.
    strict
        True demands replacements of the same dtype; False casts them to it.
    share_inputs, copy_inputs
        True keeps the other inputs; False makes new ones. ``copy_inputs`` is Theano's old name.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, y = T.dscalars("x", "y")
    >>> float(tg.clone(x * 2, replace={x: y + 1}).eval({y: 3.0}))
    8.0
    """
    outputs = list(output) if isinstance(output, (list, tuple)) else [output]
    pairs = replaced(dict(replace or {}), strict)
    keep = share_inputs if copy_inputs is None else copy_inputs
    copies = replace_variables([as_tensor(v) for v in outputs], pairs, keep)
    return copies if isinstance(output, (list, tuple)) else copies[0]


def evaluate(variable: Any, inputs_to_values: Mapping[Any, Any] | None = None) -> Any:
    """The value of an expression for given values of its inputs; the compiled function is kept with the variable."""
    given = dict(inputs_to_values or {})
    compiled = variable.__dict__.setdefault("_evaluators", {})
    key = tuple(given)
    if key not in compiled:
        compiled[key] = function(list(given), variable, name="eval")
    return compiled[key](*given.values())


services.provide("evaluate", evaluate)
