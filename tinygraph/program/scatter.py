"""How elements are added to a tensor at places that are values, in memory and in steps of a device.

The places are sorted, stably, by radix: a digit of 8 bits after the other, each time by how often it has each value in
the shares of the list. Then runs of equal places are added up in the order of the list: in chunks, whose results are
added up in turn where a run goes beyond one. Where there are few places nothing is sorted: what is the first to name a
place looks for all others that name it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinygraph.program.steps import Scatter

__all__ = ["DIGIT", "ScatterSizes"]

#: Bits of a digit.
DIGIT = 8

#: Places up to which nothing is sorted however many elements each has, and comparisons up to which nothing is.
_FEW, _COMPARED = 16, 1 << 26

#: Shares of the list in which digits are counted, at most, and places in a share, at least.
_SHARES, _SHARE = 256, 2048

#: Places in a chunk, at least.
_CHUNK = 32


@dataclass(frozen=True)
class ScatterSizes:
    """What a scatter takes.

    Attributes
    ----------
    lead, count, targets, tail
        Extents of ``out[lead, targets, tail]`` and ``values[lead, count, tail]``.
    is_sorted
        Whether the places are sorted before.
    passes
        How often they are sorted by a digit.
    shares, share
        How many shares there are, and how many places are in one.
    chunks, chunk
        The same for chunks.
    sums
        The dtype of what chunks add up to.
    """

    lead: int
    count: int
    targets: int
    tail: int
    is_sorted: bool
    passes: int
    shares: int
    share: int
    chunks: int
    chunk: int
    sums: str

    @staticmethod
    def of(step: Scatter) -> ScatterSizes:
        """The sizes of a step."""
        (lead, targets, tail), count = step.out.shape, step.values.shape[1]
        compared = count * count * lead * tail
        share = max(_SHARE, -(-count // _SHARES))
        chunk = max(_CHUNK, (1 << (count.bit_length() + 1) // 2) // 4)
        return ScatterSizes(
            lead,
            count,
            targets,
            tail,
            step.ordered and count > _FEW and compared > _COMPARED,
            max(1, -(-(targets - 1).bit_length() // DIGIT)),
            -(-count // share),
            share,
            -(-count // chunk),
            chunk,
            "float32" if step.out.dtype == "float16" else step.out.dtype,
        )

    def places(self) -> dict[str, int]:
        """Where in its workspace each array begins, in bytes, and where the last of them ends."""
        if not self.is_sorted:
            return {"end": 0}
        item = np.dtype(self.sums).itemsize
        partial = self.lead * self.chunks * self.tail * item
        found, at = {}, 0
        for name, size in (
            *((f"{kind}{i}", 4 * self.count) for kind in ("keys", "order") for i in (0, 1)),
            ("counts", 4 * self.shares << DIGIT),
            ("heads", partial),
            ("tails", partial),
        ):
            found[name] = at
            at += -(-size // 64) * 64
        return {**found, "end": at}
