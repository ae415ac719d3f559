"""Compiled code that must prove in its first call that it runs; if it does not, its Program is interpreted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tinygraph.backends.observer import Observer
from tinygraph.backends.reference import ReferenceExecutable
from tinygraph.program import Program

__all__ = ["Trial"]


class Trial:
    """A Program on a device, by its kernels, or interpreted once they were found not to run there.

    In the first call kernels write to copies of the shared variables' values, and the device is waited for. Where it
    refuses them the values are what they were, the reference backend gives the results, and a warning says why.

    Parameters
    ----------
    executable
        What was compiled.
    targets
        For each output the position of the input that may be written to, or None.
    backend
        Where both run.

    Attributes
    ----------
    executable
        What runs now.
    """

    def __init__(self, executable: Any, targets: Sequence[int | None], backend: str) -> None:
        self.executable = executable
        self.backend = backend
        self._written = {t for t in targets if t is not None}
        self._runs = False
        self._why = ""

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """As the compiled code, and as the reference backend after that has failed.

        Raises
        ------
        as both do; whenever it raises, no input has been written to.
        """
        if self._runs:
            results: list[Any] = self.executable(values)
            return results
        safe, given = True, values
        try:
            given = [v.copy() if i in self._written else v for i, v in enumerate(values)]
        except MemoryError:
            safe = not self._written  # there is no room for a trial
        try:
            results = self.executable(given)
            self.executable.device.wait()
        except RuntimeError as err:  # CUDA's errors and this package's own
            if isinstance(err, MemoryError) or not safe:
                raise
            results = self._interpreted(values, err)
        self._runs = True
        return results

    def _interpreted(self, values: Sequence[Any], err: RuntimeError) -> list[Any]:
        reference = ReferenceExecutable(self.executable.program, self.backend)
        results = reference(values)  # it raises the same where an operation failed, and not the way it was run
        self._why = f"{type(err).__name__}: {str(err).splitlines()[0]}" if str(err) else type(err).__name__
        self.executable = reference
        warnings.warn(
            f"kernels that were compiled for {self.backend} do not run ({self._why}): this function runs one array "
            "call after the other; config.linker = 'reference' silences this",
            stacklevel=2,
        )
        return results

    @property
    def program(self) -> Program:
        """What runs."""
        program: Program = self.executable.program
        return program

    @property
    def plan(self) -> Any:
        """The plan of what was compiled; None where it is interpreted."""
        return getattr(self.executable, "plan", None)

    def observed(self, values: Sequence[Any], observer: Observer) -> list[Any]:
        """As a call, on the reference backend, with an observer that is told of every instruction."""
        results: list[Any] = self.executable.observed(values, observer)
        return results

    def stats(self) -> dict[str, Any]:
        """What the compiled code says of itself, and as ``not compiled`` why the Program is interpreted."""
        own = self.executable.stats() if hasattr(self.executable, "stats") else {}
        return {**own, "not compiled": self._why}
