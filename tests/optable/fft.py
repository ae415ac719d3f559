"""Op table: Fourier transforms of real tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

Shape = tuple[int, ...]
#: What NumPy calls our ways to normalise: forward, and back.
FORWARD = {None: "backward", "no_norm": "backward", "ortho": "ortho"}
BACK = {None: "backward", "no_norm": "forward", "ortho": "ortho"}


def _rfft(x: Any, norm: str | None) -> Any:
    z = np.fft.rfftn(x, axes=range(1, x.ndim), norm=FORWARD[norm])
    out = np.stack([z.real, z.imag], axis=-1)
    return out if x.dtype.kind != "f" else out.astype(x.dtype)


def _irfft(x: Any, norm: str | None, is_odd: bool) -> Any:
    z = x[..., 0] + 1j * x[..., 1]
    sizes = (*x.shape[1:-2], 2 * (x.shape[-2] - 1) + is_odd)
    return np.fft.irfftn(z, s=sizes, axes=range(1, z.ndim), norm=BACK[norm])


def forward(shape: Shape, norm: str | None = None, empty: Any = ()) -> Case:
    return Case(
        f"fft.rfft: {shape}, {norm}",
        "fft.rfft",
        lambda x: T.fft.rfft(x, norm),
        lambda x: _rfft(x, norm),
        (Arg(shape),),
        integers=("int8", "int64", "bool"),
        empty=empty,
    )


def back(shape: Shape, norm: str | None = None, is_odd: bool = False, empty: Any = ()) -> Case:
    return Case(
        f"fft.irfft: {shape}, {norm}, {'odd' if is_odd else 'even'}",
        "fft.irfft",
        lambda x: T.fft.irfft(x, norm, is_odd),
        lambda x: _irfft(x, norm, is_odd),
        (Arg(shape),),
        empty=empty,
    )


CASES: list[Case] = [
    forward((2, 4), empty=(((0, 4),),)),
    forward((2, 5), "ortho"),
    forward((2, 1)),
    forward((2, 2), "no_norm"),
    forward((1, 3, 4), "ortho"),
    forward((2, 2, 3)),
    forward((1, 2, 3, 2)),
    back((2, 3, 2), empty=(((0, 3, 2),),)),
    back((2, 3, 2), "ortho", True),
    back((2, 2, 2), "no_norm"),
    back((1, 1, 2), None, True),
    back((1, 3, 3, 2), "ortho"),
    back((2, 2, 2, 2), None, True),
    back((1, 3, 2, 2), "no_norm", True),
]
