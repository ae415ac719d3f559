"""Values that are zeros but for pieces of them, which are put in their places at the end: slices' gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygraph.program.fuse import Builder
from tinygraph.program.steps import Shape, Value, View

__all__ = ["Piece", "Pieces", "piece_of"]


class Piece(NamedTuple):
    """Places from ``start`` to below ``stop`` along an axis, and what is there."""

    start: int
    stop: int
    value: Value


class Pieces(Value):
    """A value with pieces along one axis that have nothing in common, in order, and zeros between them."""

    __slots__ = ("axis", "pieces")

    def __init__(self, dtype: str, shape: Shape, axis: int, pieces: Sequence[Piece]) -> None:
        super().__init__(dtype, shape)
        self.axis = axis
        self.pieces = sorted(pieces, key=lambda p: p.start)

    def with_(self, other: Pieces) -> Pieces | None:
        """The sum of two, where their pieces have nothing in common."""
        if (self.shape, self.axis) != (other.shape, other.axis):
            return None
        both = Pieces(self.dtype, self.shape, self.axis, [*self.pieces, *other.pieces])
        apart = all(a.stop <= b.start for a, b in zip(both.pieces, both.pieces[1:], strict=False))
        return both if apart else None

    def joined(self, builder: Builder) -> Value:
        """The same in memory."""
        out = builder.temporary(self.dtype, self.shape)
        zero = Value(self.dtype, (), uniform=np.zeros((), self.dtype)[()])
        end = 0
        for piece in [*self.pieces, Piece(self.shape[self.axis], self.shape[self.axis], zero)]:
            if piece.start > end:
                builder.write(zero, self._part(out, end, piece.start))
            if piece.stop > piece.start:
                builder.write(piece.value, self._part(out, piece.start, piece.stop))
            end = piece.stop
        return Value(self.dtype, self.shape, view=out)

    def _part(self, out: View, start: int, stop: int) -> View:
        shape = tuple(stop - start if i == self.axis else n for i, n in enumerate(out.shape))
        return View(out.storage, shape, out.strides, out.offset + start * out.strides[self.axis])


def piece_of(x: Value, y: Value, idx: Sequence[Any]) -> Pieces | None:
    """What adding to a slice along one axis of zeros gives; None where it is no such slice, or these are no zeros."""
    if x.uniform is None or x.uniform != 0 or np.signbit(np.asarray(x.uniform, "float64")):
        return None
    cut = [i for i, entry in enumerate(idx) if entry != (None, None, None)]
    if len(cut) != 1 or not isinstance(idx[cut[0]], tuple) or any(isinstance(b, str) for b in idx[cut[0]]):
        return None
    places = range(x.shape[cut[0]])[slice(*idx[cut[0]])]
    if places.step != 1:
        return None
    return Pieces(x.dtype, x.shape, cut[0], [Piece(places.start, places.stop, y)])
