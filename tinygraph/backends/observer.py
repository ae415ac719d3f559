"""What watches a Program while it runs: profiles, guards and checks are observers, and operations know none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.program import Program

__all__ = ["Observer", "Observers"]


class Observer:
    """Told of every instruction of a Program that runs, and of those of its inner Programs; does nothing itself.

    Arrays are handed over as they are and must not be written to; None stands for an input that was not computed
    because the branch that it belongs to is not taken. An instruction that is passed over because of its
    guard is not reported. Where an instruction raises, what would have followed is not called.
    """

    def start(self, program: Program, values: Sequence[Any]) -> None:
        """A Program, or one turn of an inner one, begins with these values of its inputs."""

    def before(self, program: Program, position: int, inputs: Sequence[Any]) -> None:
        """The instruction at ``position`` is about to run."""

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        """It has run and taken this long, its inner Programs included."""

    def end(self, program: Program, results: Sequence[Any]) -> None:
        """The Program is done; its outputs are not copied yet."""


class Observers(Observer):
    """Several observers as one, called in order."""

    def __init__(self, *observers: Observer) -> None:
        self._all = observers

    def start(self, program: Program, values: Sequence[Any]) -> None:
        for observer in self._all:
            observer.start(program, values)

    def before(self, program: Program, position: int, inputs: Sequence[Any]) -> None:
        for observer in self._all:
            observer.before(program, position, inputs)

    def after(
        self, program: Program, position: int, inputs: Sequence[Any], outputs: Sequence[Any], seconds: float
    ) -> None:
        for observer in self._all:
            observer.after(program, position, inputs, outputs, seconds)

    def end(self, program: Program, results: Sequence[Any]) -> None:
        for observer in self._all:
            observer.end(program, results)
