"""Op table: convolution, pooling, neighbourhoods and bilinear interpolation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.signal

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES", "conv", "conv_gradients", "pool"]

# --- references, written as plain loops ---------------------------------------------------------------------------


def widths(border: Any, sizes: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    """How many zeros a border mode puts before and behind each axis."""
    modes = border if isinstance(border, tuple) else (border,) * len(sizes)
    out = []
    for mode, size, gap in zip(modes, sizes, dilation, strict=True):
        reach = (size - 1) * gap + 1
        named = {"valid": 0, "half": reach // 2, "full": reach - 1}
        width = named[mode] if isinstance(mode, str) else mode
        out.append(width if isinstance(width, tuple) else (width, width))
    return out


def conv(
    x: Any,
    w: Any,
    border: Any = "valid",
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip: bool = True,
    unshared: bool = False,
) -> np.ndarray:
    """The convolution, position by position."""
    spatial = x.ndim - 2
    stride, dilation = ((n,) * spatial if isinstance(n, int) else n for n in (stride, dilation))
    sizes = w.shape[-spatial:]
    padded = np.pad(x, [(0, 0), (0, 0), *widths(border, sizes, dilation)])
    if flip:
        w = w[(..., *[slice(None, None, -1)] * spatial)]
    reaches = [(size - 1) * gap + 1 for size, gap in zip(sizes, dilation, strict=True)]
    counts = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reaches, stride, strict=True)]
    out = np.zeros((len(x), len(w), *counts), np.result_type(x, w))
    channels, filters = x.shape[1] // groups, len(w) // groups
    for position in np.ndindex(*counts):
        window = tuple(
            slice(p * s, p * s + r, gap) for p, s, r, gap in zip(position, stride, reaches, dilation, strict=True)
        )
        for f in range(len(w)):
            kernel = w[(f, *position)] if unshared else w[f]
            first = f // filters * channels
            patch = padded[(slice(None), slice(first, first + channels), *window)]
            out[(slice(None), f, *position)] = (patch * kernel).sum(axis=tuple(range(1, 2 + spatial)))
    return out


def conv_gradients(x_shape: Any, w_shape: Any, y: Any, x: Any = None, w: Any = None, **how: Any) -> np.ndarray:
    """The transpose of ``conv`` for given filters or given images, one element after the other."""
    shape = x_shape if x is None else w_shape
    out = np.zeros(shape)
    for place in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[place] = 1
        out[place] = np.sum(y * (conv(unit, w, **how) if x is None else conv(x, unit, **how)))
    return out


def pool(
    x: np.ndarray,
    ws: Sequence[int],
    ignore_border: bool,
    stride: Sequence[int] | None = None,
    pad: Sequence[int] | None = None,
    mode: str = "max",
) -> np.ndarray:
    """Pooling of the last axes, window by window."""
    stride, pad = stride or ws, pad or (0,) * len(ws)
    lead = x.shape[: x.ndim - len(ws)]
    counts, bounds = [], []
    for n, size, step, width in zip(x.shape[len(lead) :], ws, stride, pad, strict=True):
        if ignore_border:
            count = max((n + 2 * width - size) // step + 1, 0)
        elif step >= size:
            count = (n - 1) // step + 1
        else:
            count = max(0, (n - 1 - size + step) // step) + 1
        counts.append(count)
        bounds.append([(max(i * step - width, 0), min(i * step - width + size, n)) for i in range(count)])
    average = mode.startswith("average")
    out = np.zeros((*lead, *counts), float if average else x.dtype)
    for position in np.ndindex(*counts):
        inside = [axis[i] for axis, i in zip(bounds, position, strict=True)]
        window = x[(..., *[slice(*ends) for ends in inside])]
        axes = tuple(range(-len(ws), 0))
        value = window.max(axis=axes) if mode == "max" else window.sum(axis=axes)
        if average:
            whole = mode == "average_inc_pad" and ignore_border
            value = value / (math.prod(ws) if whole else math.prod(stop - start for start, stop in inside))
        out[(..., *position)] = value
    return out


def same_size(x: np.ndarray, ws: Sequence[int]) -> np.ndarray:
    out = np.zeros_like(x)
    for i, j in itertools.product(range(x.shape[-2] // ws[0]), range(x.shape[-1] // ws[1])):
        window = (..., slice(i * ws[0], (i + 1) * ws[0]), slice(j * ws[1], (j + 1) * ws[1]))
        part = x[window]
        out[window] = np.where(part == part.max(axis=(-2, -1), keepdims=True), part, 0)
    return out


def neighbourhoods(x: np.ndarray, size: Sequence[int], step: Sequence[int], mode: str) -> np.ndarray:
    sides = {"half": [n // 2 for n in size], "full": [n - 1 for n in size], "wrap_centered": [n // 2 for n in size]}
    pads = [(0, 0), (0, 0), *[(n, n) for n in sides.get(mode, [0, 0])]]
    x = np.pad(x, pads, mode="wrap" if mode == "wrap_centered" else "constant")
    rows = range(0, x.shape[2] - size[0] + 1, step[0])
    columns = range(0, x.shape[3] - size[1] + 1, step[1])
    flat = [
        image[i : i + size[0], j : j + size[1]].reshape(-1)
        for stack in x
        for image in stack
        for i in rows
        for j in columns
    ]
    return np.array(flat).reshape(-1, size[0] * size[1])


def interpolated(x: np.ndarray, up: Sequence[int], down: Sequence[int] = (1, 1)) -> np.ndarray:
    """Linear interpolation along one axis after the other; places beyond the ends are clamped."""
    for axis, times, keep in zip((-2, -1), up, down, strict=True):
        n = x.shape[axis]
        # The middle of the triangle for an even factor lies half a step to the left.
        places = np.arange(0, n * times, keep) / times - ((times - 1) // 2) / times
        places = np.clip(places, 0, n - 1)
        low = np.minimum(np.floor(places).astype(int), n - 1)
        high = np.minimum(low + 1, n - 1)
        shape = [1] * x.ndim
        shape[axis] = -1
        part = (places - low).reshape(shape)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


# --- rows ---------------------------------------------------------------------------------------------------------

IMAGES, FILTERS = Arg((2, 2, 5, 4)), Arg((3, 2, 3, 2))
LOOSE = (1e-4, 1e-9)

CONV2D = [
    Case(
        f"nnet.conv2d: {label}",
        "nnet.conv2d",
        lambda x, w, how=how: T.nnet.conv2d(x, w, **how),
        lambda x, w, ref=ref: conv(x, w, **ref),
        (x, w),
        empty=empty,
        integers=integers,
        rtol=LOOSE,
    )
    for label, how, ref, (x, w), empty, integers in [
        ("valid", {}, {}, (IMAGES, FILTERS), (((0, 2, 5, 4), (3, 2, 3, 2)), ((2, 0, 5, 4), (3, 0, 3, 2))), ("int64",)),
        ("full", {"border_mode": "full"}, {"border": "full"}, (IMAGES, FILTERS), (((2, 2, 5, 4), (0, 2, 3, 2)),), ()),
        ("half", {"border_mode": "half"}, {"border": "half"}, (IMAGES, FILTERS), (), ()),
        ("half, even filters", {"border_mode": "half"}, {"border": "half"}, (IMAGES, Arg((1, 2, 2, 4))), (), ()),
        ("border 1", {"border_mode": 1}, {"border": 1}, (IMAGES, FILTERS), (), ()),
        ("border pair", {"border_mode": (2, (0, 1))}, {"border": (2, (0, 1))}, (IMAGES, FILTERS), (), ()),
        ("strides", {"subsample": (2, 3)}, {"stride": (2, 3)}, (Arg((2, 2, 6, 7)), FILTERS), (), ()),
        ("correlation", {"filter_flip": False}, {"flip": False}, (IMAGES, FILTERS), (), ()),
        ("dilation", {"filter_dilation": (2, 1)}, {"dilation": (2, 1)}, (IMAGES, FILTERS), (), ()),
        ("groups", {"num_groups": 2}, {"groups": 2}, (Arg((2, 4, 4, 3)), Arg((2, 2, 2, 2))), (), ()),
        ("one element", {}, {}, (IMAGES, Arg((3, 2, 1, 1))), (((2, 0, 5, 4), (3, 0, 1, 1)),), ()),
        (
            "known shapes",
            {"input_shape": (2, 2, None, 4), "filter_shape": (3, 2, 3, 2)},
            {},
            (IMAGES, FILTERS),
            (),
            (),
        ),
        (
            "unshared groups with strides and a border",
            {"unshared": True, "num_groups": 2, "subsample": (2, 1), "border_mode": ((1, 0), 0)},
            {"unshared": True, "groups": 2, "stride": (2, 1), "border": ((1, 0), 0)},
            (Arg((2, 2, 4, 3)), Arg((2, 2, 2, 1, 2, 2))),
            (),
            (),
        ),
    ]
]

OTHER_CONVOLUTIONS = [
    Case(
        "nnet.conv1d: half, stride 2",
        "nnet.conv1d",
        lambda x, w: T.nnet.conv1d(x, w, border_mode="half", subsample=2),
        lambda x, w: conv(x, w, "half", 2),
        (Arg((2, 2, 7)), Arg((3, 2, 3))),
    ),
    Case(
        "nnet.abstract_conv.causal_conv1d",
        "nnet.abstract_conv.causal_conv1d",
        lambda x, w: T.nnet.abstract_conv.causal_conv1d(x, w, (3, 2, 3), filter_dilation=2),
        lambda x, w: conv(x, w, ((4, 0),), dilation=2),
        (Arg((2, 2, 6)), Arg((3, 2, 3))),
    ),
    Case(
        "nnet.conv3d: strides and a border",
        "nnet.conv3d",
        lambda x, w: T.nnet.conv3d(x, w, border_mode=(0, 1, (0, 1)), subsample=(1, 2, 1)),
        lambda x, w: conv(x, w, (0, 1, (0, 1)), (1, 2, 1)),
        (Arg((2, 1, 3, 4, 3)), Arg((2, 1, 2, 3, 2))),
        rtol=LOOSE,
    ),
    Case(
        "nnet.abstract_conv.conv2d: arguments by position",
        "nnet.abstract_conv.conv2d",
        lambda x, w: T.nnet.abstract_conv.conv2d(x, w, None, None, "full", (2, 1), False, (1, 2)),
        lambda x, w: conv(x, w, "full", (2, 1), (1, 2), flip=False),
        (IMAGES, FILTERS),
    ),
    Case(
        "nnet.conv.conv2d: full",
        "nnet.conv.conv2d",
        lambda x, w: T.nnet.conv.conv2d(x, w, (2, 2, 5, 4), (3, 2, 3, 2), "full", (2, 2), unroll_batch=1),
        lambda x, w: conv(x, w, "full", 2),
        (IMAGES, FILTERS),
    ),
    *(
        Case(
            f"nnet.separable_conv{spatial}d",
            f"nnet.separable_conv{spatial}d",
            lambda x, d, p, name=f"separable_conv{spatial}d": getattr(T.nnet, name)(x, d, p, 2, border_mode="half"),
            lambda x, d, p: conv(conv(x, d, "half", groups=2), p),
            (Arg((2, 2, *[3] * spatial)), Arg((4, 1, *[2] * spatial)), Arg((3, 4, *[1] * spatial))),
            rtol=LOOSE,
        )
        for spatial in (2, 3)
    ),
    *(
        Case(
            f"signal.conv.conv2d: {x.shape} by {w.shape}",
            "signal.conv.conv2d",
            lambda x, w: T.signal.conv.conv2d(x, w, border_mode="full"),
            lambda x, w: np.array(
                [[scipy.signal.convolve2d(i, f) for f in w.reshape(-1, *w.shape[-2:])] for i in x.reshape(-1, 4, 3)]
            ).reshape(*x.shape[:-2], *w.shape[:-2], 3 + w.shape[-2], 2 + w.shape[-1]),
            (x, w),
        )
        for x, w in itertools.product((Arg((4, 3)), Arg((2, 4, 3))), (Arg((2, 3)), Arg((3, 2, 3))))
    ),
]

HOW = {"border": (1, (0, 1)), "stride": (2, 1), "groups": 2}
TRANSPOSES = [
    Case(
        "nnet.conv2d_grad_wrt_inputs: strides, groups and a border",
        "nnet.conv2d_grad_wrt_inputs",
        lambda g, w: T.nnet.conv2d_grad_wrt_inputs(
            g, w, (None, None, 4, 3), border_mode=(1, (0, 1)), subsample=(2, 1), num_groups=2
        ),
        lambda g, w: conv_gradients((2, 4, 4, 3), w.shape, g, w=w, **HOW),
        (Arg((2, 2, 2, 3)), Arg((2, 2, 3, 2))),
        rtol=LOOSE,
    ),
    Case(
        "nnet.conv2d_grad_wrt_weights: strides, groups and a border",
        "nnet.conv2d_grad_wrt_weights",
        lambda x, g: T.nnet.conv2d_grad_wrt_weights(
            x, g, (2, None, 3, 2), border_mode=(1, (0, 1)), subsample=(2, 1), num_groups=2
        ),
        lambda x, g: conv_gradients(x.shape, (2, 2, 3, 2), g, x=x, **HOW),
        (Arg((2, 4, 4, 3)), Arg((2, 2, 2, 3))),
        rtol=LOOSE,
    ),
    Case(
        "nnet.conv2d_transpose: a symbolic shape",
        "nnet.conv2d_transpose",
        lambda x, w: T.nnet.conv2d_transpose(
            x, w, (None, None, 2 * x.shape[2], 2 * x.shape[3]), border_mode="half", input_dilation=(2, 2)
        ),
        lambda x, w: conv_gradients((2, 2, 4, 6), w.shape, x, w=w, border="half", stride=2),
        (Arg((2, 3, 2, 3)), Arg((3, 2, 3, 3))),
        rtol=LOOSE,
    ),
    Case(
        "nnet.conv2d_transpose: one element",
        "nnet.conv2d_transpose",
        lambda x, w: T.nnet.conv2d_transpose(x, w, (None, 2, 2, 3)),
        lambda x, w: conv_gradients((2, 2, 2, 3), w.shape, x, w=w),
        (Arg((2, 3, 2, 3)), Arg((3, 2, 1, 1))),
        rtol=LOOSE,
    ),
    Case(
        "nnet.conv3d_grad_wrt_inputs",
        "nnet.conv3d_grad_wrt_inputs",
        lambda g, w: T.nnet.conv3d_grad_wrt_inputs(g, w, (None, None, 3, 3, 2), filter_dilation=(2, 1, 1)),
        lambda g, w: conv_gradients((1, 2, 3, 3, 2), w.shape, g, w=w, dilation=(2, 1, 1)),
        (Arg((1, 2, 1, 2, 2)), Arg((2, 2, 2, 2, 1))),
        rtol=LOOSE,
    ),
    Case(
        "nnet.conv3d_grad_wrt_weights",
        "nnet.conv3d_grad_wrt_weights",
        lambda x, g: T.nnet.conv3d_grad_wrt_weights(x, g, (None, None, 2, 2, 1), filter_dilation=(2, 1, 1)),
        lambda x, g: conv_gradients(x.shape, (2, 2, 2, 2, 1), g, x=x, dilation=(2, 1, 1)),
        (Arg((1, 2, 3, 3, 2)), Arg((1, 2, 1, 2, 2))),
        rtol=LOOSE,
    ),
]

POOLS = [
    Case(
        f"signal.pool.pool_2d: {mode}, {', '.join(map(str, how))}",
        "signal.pool.pool_2d",
        lambda x, mode=mode, how=how: T.signal.pool.pool_2d(x, *how, mode=mode),
        lambda x, mode=mode, how=how: pool(x, *how, mode=mode),
        (Arg((2, 1, 5, 6)),),
        integers=integers,
        empty=(((0, 1, 5, 6),),),
        rtol=LOOSE,
    )
    for mode in ("max", "sum", "average_inc_pad", "average_exc_pad")
    for how, integers in [
        (((2, 2), True), ("int64",) if mode != "max" else ("bool", "uint8", "int64")),
        (((2, 3), False), ()),
        (((3, 2), True, (1, 3), (2, 1)), ()),
        (((3, 3), False, (2, 1)), ()),
        (((2, 2), False, (3, 4)), ()),
    ]
]

OTHER_POOLS = [
    Case(
        f"signal.pool.pool_3d: {mode}",
        "signal.pool.pool_3d",
        lambda x, mode=mode: T.signal.pool.pool_3d(x, (2, 2, 1), False, mode=mode),
        lambda x, mode=mode: pool(x, (2, 2, 1), False, mode=mode),
        (Arg((1, 3, 4, 2)),),
    )
    for mode in ("max", "average_exc_pad")
]
OTHER_POOLS += [
    Case(
        "signal.downsample.max_pool_2d: older names",
        "signal.downsample.max_pool_2d",
        lambda x: T.signal.downsample.max_pool_2d(x, ds=(2, 2), ignore_border=True, st=(1, 1), padding=(1, 0)),
        lambda x: pool(x, (2, 2), True, (1, 1), (1, 0)),
        (Arg((2, 3, 4)),),
    ),
    Case(
        "signal.pool.max_pool_2d_same_size",
        "signal.pool.max_pool_2d_same_size",
        lambda x: T.signal.pool.max_pool_2d_same_size(x, (2, 2)),
        lambda x: same_size(x, (2, 2)),
        (Arg((2, 4, 5)),),
    ),
]

NEIGHBOURS = [
    Case(
        f"nnet.neighbours.images2neibs: {mode}, {size}, {step}",
        "nnet.neighbours.images2neibs",
        lambda x, how=(size, step, mode): T.nnet.neighbours.images2neibs(x, *how),
        lambda x, how=(size, step or size, mode): neighbourhoods(x, *how),
        (Arg(shape),),
        integers=("int8",),
    )
    for mode, size, step, shape in [
        ("valid", (2, 3), None, (2, 2, 4, 3)),
        ("valid", (3, 1), (1, 2), (2, 1, 5, 3)),
        ("ignore_borders", (2, 2), None, (1, 2, 5, 4)),
        ("ignore_borders", (3, 2), (2, 1), (1, 2, 6, 3)),
        ("half", (3, 2), (1, 1), (1, 2, 4, 3)),
        ("full", (2, 3), (1, 2), (1, 1, 3, 3)),
        ("wrap_centered", (3, 1), (1, 1), (1, 2, 4, 3)),
        ("wrap_centered", (3, 3), (2, 2), (1, 1, 5, 4)),
    ]
]
NEIGHBOURS += [
    Case(
        f"nnet.neighbours.neibs2images: {mode}",
        "nnet.neighbours.neibs2images",
        lambda x, mode=mode, shape=shape: T.nnet.neighbours.neibs2images(x, (2, 2), shape, mode),
        lambda x, shape=shape: np.pad(
            x.reshape(2, 1, 2, 1, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 1, 4, 2),
            [(0, 0), (0, 0), (0, shape[2] - 4), (0, shape[3] - 2)],
        ),
        (Arg((4, 4)),),
        integers=("int8",),
    )
    for mode, shape in [("valid", (2, 1, 4, 2)), ("ignore_borders", (2, 1, 5, 3))]
]

UPSAMPLING = [
    Case(
        f"nnet.abstract_conv.bilinear_upsampling: {how}",
        "nnet.abstract_conv.bilinear_upsampling",
        lambda x, how=how: T.nnet.abstract_conv.bilinear_upsampling(x, **how),
        lambda x, up=up, down=down: interpolated(x, up, down),
        (Arg((1, 2, 3, 2)),),
        rtol=LOOSE,
    )
    for how, up, down in [
        ({"ratio": 2}, (2, 2), (1, 1)),
        ({"ratio": 3, "use_1D_kernel": False}, (3, 3), (1, 1)),
        ({"frac_ratio": (6, 4)}, (3, 3), (2, 2)),
        ({"frac_ratio": ((4, 3), (2, 1)), "use_1D_kernel": False}, (4, 2), (3, 1)),
    ]
]

CASES: list[Case] = [*CONV2D, *OTHER_CONVOLUTIONS, *TRANSPOSES, *POOLS, *OTHER_POOLS, *NEIGHBOURS, *UPSAMPLING]
