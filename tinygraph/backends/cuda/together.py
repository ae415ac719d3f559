"""Several nests as one launch.

Each is given the blocks that it would have by itself, so results are the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinygraph.backends.cuda.kernel import Code, Kernel, Launch, words_of
from tinygraph.program.plan import NestCall
from tinygraph.program.steps import Batch

__all__ = ["Several", "Together", "together"]


@dataclass(frozen=True)
class Together(Code):
    """Nests that different blocks compute; those of one kernel follow one another.

    The words are the number of blocks up to the end of each nest, then the words of the nests.
    """

    kernels: tuple[Kernel, ...]

    form = "together"

    @property
    def threads(self) -> int:
        return self.kernels[0].threads

    @property
    def count(self) -> int:
        return len(self.kernels) + sum(kernel.count for kernel in self.kernels)

    @property
    def parts(self) -> tuple[Code, ...]:
        return self.kernels


class Several:
    """Nests that are launched together.

    Attributes
    ----------
    calls, launches
        The nests, and the launch that each would have by itself.
    places
        Their numbers in their step.
    launch
        That of all of them.
    """

    def __init__(self, calls: Sequence[NestCall], launches: Sequence[Launch], places: Sequence[int]) -> None:
        self.calls = calls
        self.launches = launches
        self.places = places
        kernels = tuple(launch.kernel for launch in launches)
        self.launch = Launch(Together(kernels), sum(launch.blocks for launch in launches), (), ())  # type: ignore[arg-type]

    def words(self, addresses: Sequence[Sequence[int]], error: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The arguments, given the addresses of the operands of each nest of the step."""
        ends = np.cumsum([launch.blocks for launch in self.launches], dtype="int64")
        found = zip(self.calls, self.launches, self.places, strict=True)
        return np.concatenate([ends, *(words_of(call, launch, addresses[i], error) for call, launch, i in found)])


def together(batch: Batch, launches: Mapping[int, Sequence[Launch]]) -> Iterator[Several]:
    """A step's nests, by the threads of their blocks; ``launches`` has those of each nest, by its identity.

    Those that have to write to some places one launch after the other are left by themselves.
    """
    single = {i: found[0] for i, call in enumerate(batch.calls) if len(found := launches[id(call)]) == 1}
    kernels = list(dict.fromkeys(launch.kernel for launch in single.values()))
    for threads in dict.fromkeys(kernel.threads for kernel in kernels):
        places = [i for i, launch in single.items() if launch.kernel.threads == threads and launch.blocks]
        places.sort(key=lambda i: kernels.index(single[i].kernel))
        if len(places) > 1:
            yield Several([batch.calls[i] for i in places], [single[i] for i in places], places)
