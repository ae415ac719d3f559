"""From a Program to what a function calls: machine code where that can be had, and what is kept of each signature."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinygraph.arguments import In
from tinygraph.backends import ReferenceExecutable, Trial, cuda_backend, native_backend, shortage
from tinygraph.errors import BackendError
from tinygraph.program import Program
from tinygraph.surgery import FunctionGraph

__all__ = ["Compiler", "Maker", "Specialisation"]


class Maker(NamedTuple):
    """What a function was made of.

    Attributes
    ----------
    fgraph
        The graph after rewriting, from inputs and shared variables to outputs and new values.
    mode
        As ``function`` took it.
    inputs
        The declared inputs.
    """

    fgraph: FunctionGraph
    mode: Any
    inputs: list[In]


@dataclass(eq=False)
class Specialisation:
    """One signature that a function was compiled for.

    Attributes
    ----------
    signature
        Name and type of every input and shared variable.
    seconds
        Time that checking, specialising and preparing took.
    program
        What runs.
    executable
        The same, ready to be called on arrays.
    run
        What a call calls: the executable, or what watches it.
    long
        Whether a call lets go of Python's lock while it runs.
    """

    signature: str
    seconds: float
    program: Program
    executable: Any
    run: Callable[[Sequence[Any]], list[Any]]
    long: bool = False


class Compiler:
    """What makes the executables of one function.

    Parameters
    ----------
    backend
        Where they run: ``numpy``, ``cupy``, or ``cupy:1`` and so on.
    compiles
        Whether machine code is wanted, and not an interpreter.
    """

    def __init__(self, backend: str, compiles: bool) -> None:
        self.backend = backend
        self._compiles = compiles
        self._arena: Any = None

    def __call__(self, program: Program, targets: Sequence[int | None]) -> Any:
        """A Program ready to be called.

        Parameters
        ----------
        program
            What to run.
        targets
            For each output the position of the input that it is the new value of, which may be written to; or None.

        Raises
        ------
        OutOfMemoryError
            If there is no room for what it holds between calls.
        """
        try:
            return self._made(program, targets)
        except MemoryError as err:
            raise shortage(program, str(err)) from err

    def memory(self, program: Program, targets: Sequence[int | None]) -> Any:
        """The memory that a call takes, a ``MemoryPlan``; nothing is compiled, and no device is needed."""
        backend = None
        if self._compiles:
            backend = native_backend() if self.backend == "numpy" else cuda_backend()
        if backend is not None:
            return backend.memory(program, targets)
        from tinygraph.program.memory import plan  # few ask

        return plan(program)

    def _made(self, program: Program, targets: Sequence[int | None]) -> Any:
        if self._compiles and self.backend == "numpy":
            native = native_backend()
            if native is not None:
                if self._arena is None:
                    self._arena = native.arena()
                return native(program, targets, self._arena)
        elif self._compiles:
            try:
                return Trial(cuda_backend()(program, targets), targets, self.backend)
            except BackendError as err:
                warnings.warn(
                    f"no kernels for {self.backend}, functions run one array call after the other: {err.problem}; "
                    "`python -m tinygraph doctor` says what lacks, config.linker = 'reference' silences this",
                    stacklevel=2,
                )
        return ReferenceExecutable(program, self.backend)
