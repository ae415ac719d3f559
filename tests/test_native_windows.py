"""Convolutions and pooling in nests and products, against what the same Programs give when they are interpreted."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.backends.native.executable import NativeExecutable
from tinygraph.backends.reference import ReferenceExecutable
from tinygraph.ops.pool import MaxPool, SumPool
from tinygraph.program import depthwise, windows
from tinygraph.program.rounds import Rounds, parts
from tinygraph.program.steps import Call
from tinygraph.tensor.signal.pool import pool_2d

SMALL = settings(max_examples=max(40, settings().max_examples), deadline=None)
DTYPES = ("float32", "float64")


def compiled(outputs: list[Any], givens: dict[Any, np.ndarray], covered: bool = True) -> list[Any]:
    """The steps of a function; what it gives is held against the interpreted Program, for several calls."""
    f = tg.function(list(givens), outputs)
    specialisation, values = f.prepared(*givens.values())
    native = specialisation.executable
    assert isinstance(native, NativeExecutable)
    wanted = ReferenceExecutable(specialisation.program, "numpy")([v.copy() for v in values])
    for _ in range(2):
        for got, want in zip(native([v.copy() for v in values]), wanted, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    if covered:
        assert not any(isinstance(step, Call) for step in native.plan.steps)
    return list(native.plan.steps)


def symbol(array: np.ndarray) -> Any:
    return T.tensor(array.dtype.name, (None,) * array.ndim)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Images and filters of small integers that fit, and the arguments of ``conv1d``, ``conv2d`` or ``conv3d``."""
    spatial = draw(st.integers(1, 3))
    few = st.integers(1, 3 if spatial < 3 else 2)
    groups = draw(st.integers(1, 3))
    per_group = st.just(1) if draw(st.booleans()) else few
    sizes, stride, dilation = (draw(st.tuples(*[few] * spatial)) for _ in range(3))
    width = st.integers(0, 2)
    border = draw(st.sampled_from(["valid", "half", "full"]) | st.tuples(*[st.tuples(width, width)] * spatial))
    reaches = [(size - 1) * gap + 1 for size, gap in zip(sizes, dilation, strict=True)]
    extents = [reach + draw(st.integers(0, 6)) for reach in reaches]
    channels, filters, batch = groups * draw(per_group), groups * draw(per_group), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(DTYPES))
    x = rng.integers(-4, 5, (batch, channels, *extents)).astype(dtype)
    w = rng.integers(-4, 5, (filters, channels // groups, *sizes)).astype(dtype)
    how = {
        "border_mode": border,
        "subsample": stride,
        "filter_dilation": dilation,
        "num_groups": groups,
        "filter_flip": draw(st.booleans()),
    }
    return x, w, how


@SMALL
@given(
    convolutions(),
    st.sampled_from([1, 300, 2000, windows.TILE]),
    st.sampled_from([0, 4, 1024]),
    st.integers(0, 99),
)
def test_convolutions_and_both_their_gradients(drawn, tile, longest, seed):
    x, w, how = drawn
    xs, ws, gs = symbol(x), symbol(w), symbol(x)
    y = (T.nnet.conv1d, T.nnet.conv2d, T.nnet.conv3d)[x.ndim - 3](xs, ws, **how)
    shape = tg.function([xs, ws], y.shape)(x, w)
    g = np.random.default_rng(seed).integers(-3, 4, shape).astype(x.dtype)
    with mock.patch.object(windows, "TILE", tile), mock.patch.object(depthwise, "_LONG", longest):
        compiled([y, *tg.grad((y * gs).sum(), [xs, ws])], {xs: x, ws: w, gs: g})


def test_images_and_rows_are_handled_in_rounds():
    x, w = np.ones((5, 2, 9, 8), "float32"), np.ones((3, 2, 3, 3), "float32")
    xs, ws = symbol(x), symbol(w)
    outputs = [T.nnet.conv2d(xs, ws)]
    for tile, counts in (
        (1 << 20, [1]),
        (2 * 7 * 6 * 18 * 4, [2, 1]),  # images by two, then one
        (3 * 6 * 18 * 4, [5]),  # rows by three, then one, of each image
    ):
        with mock.patch.object(windows, "TILE", tile):
            rounds = [s for s in compiled(outputs, {xs: x, ws: w}) if isinstance(s, Rounds)]
        assert [r.count for r in rounds] == counts
    assert [s.count for s in rounds[0].body if isinstance(s, Rounds)] == [2]
    assert len(parts(rounds[0])) == 4
    with mock.patch.object(windows, "TILE", 3 * 6 * 18 * 4):
        steps = compiled(outputs, {xs: x[:1], ws: w})
    assert [s.count for s in steps if isinstance(s, Rounds)] == [2, 1]


def test_filters_of_each_position_are_run_by_themselves():
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (2, 2, 4, 4)).astype("float32")
    w = rng.integers(-3, 4, (3, 3, 3, 2, 2, 2)).astype("float32")
    xs, ws = symbol(x), symbol(w)
    y = T.nnet.conv2d(xs, ws, unshared=True)
    steps = compiled([T.tanh(y).sum() * 0, y, *tg.grad(y.sum(), [xs, ws])], {xs: x, ws: w}, covered=False)
    assert any(isinstance(step, Call) for step in steps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_products_agree_within_rounding(dtype):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((9, 7, 20, 23)).astype(dtype), rng.standard_normal((11, 7, 5, 3)).astype(dtype)
    xs, ws = symbol(x), symbol(w)
    y = T.nnet.conv2d(xs, ws, border_mode="half")
    f = tg.function([xs, ws], [y, *tg.grad((y**2).sum(), [xs, ws])])
    specialisation, values = f.prepared(x, w)
    wanted = ReferenceExecutable(specialisation.program, "numpy")(values)
    for got, want in zip(specialisation.executable(values), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=500 * np.finfo(dtype).eps * np.abs(want).max())


def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((37, 6, 17, 19)).astype("float32"), rng.standard_normal((8, 6, 3, 3)).astype("float32")
    xs, ws = symbol(x), symbol(w)
    y = T.tanh(T.nnet.conv2d(xs, ws))
    results = []
    for threads in (1, 2, 3):
        with tg.config.change_flags(threads=threads):
            f = tg.function([xs, ws], [y, *tg.grad((y**2).sum(), [xs, ws])])
            results += [f(x, w) for _ in range(3)]
    for result in results[1:]:
        for got, want in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, want)


#: What comparisons find hard: values that are alike, infinities, NaN and both zeros.
HARD = np.array([np.nan, -np.inf, np.inf, 0.0, -0.0, 1.0, 1.0, 2.0])


@st.composite
def pools(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    """Images, and the arguments of ``pool_2d``."""
    sizes = [draw(st.integers(1, 4)) for _ in range(2)]
    strides = [draw(st.integers(1, 5)) for _ in range(2)]
    ignore = draw(st.booleans())
    pads = [draw(st.integers(0, n - 1)) if ignore else 0 for n in sizes]
    extents = [n + draw(st.integers(0, 7)) for n in sizes]
    shape = (*draw(st.sampled_from([(), (2,), (2, 3)])), *extents)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = HARD if draw(st.booleans()) else np.arange(-3.0, 4.0)
    x = rng.choice(values, shape).astype(draw(st.sampled_from(DTYPES)))
    return x, {"ws": sizes, "stride": strides, "pad": pads, "ignore_border": ignore}


@SMALL
@given(pools(), st.sampled_from(["max", "sum", "average_inc_pad", "average_exc_pad"]))
def test_pooling_and_its_gradients_of_both_orders(drawn, mode):
    x, how = drawn
    if mode != "max":
        x = np.nan_to_num(x, nan=3.0, posinf=2.0, neginf=-2.0)
    xs, gs, ks = symbol(x), symbol(x), symbol(x)
    y = pool_2d(xs, mode=mode, **how)
    rng = np.random.default_rng(x.size)
    g = rng.integers(-3, 4, tg.function([xs], y.shape)(x)).astype(x.dtype)
    k = rng.integers(-3, 4, x.shape).astype(x.dtype)
    first = tg.grad((y * gs).sum(), xs)
    outputs = [y, first, tg.grad((first * ks).sum(), gs)]
    _close(outputs, {xs: x, gs: g, ks: k}, exact=mode in ("max", "sum"))


def _close(outputs: list[Any], givens: dict[Any, np.ndarray], exact: bool) -> None:
    if exact:
        compiled(outputs, givens)
        return
    f = tg.function(list(givens), outputs)
    specialisation, values = f.prepared(*givens.values())
    wanted = ReferenceExecutable(specialisation.program, "numpy")(values)
    for got, want in zip(specialisation.executable(values), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=20 * np.finfo(want.dtype).eps * max(1, np.abs(want).max()))


@pytest.mark.parametrize("dtype", ["float32", "int8", "int64", "uint16", "bool"])
@pytest.mark.parametrize("op", [MaxPool, SumPool])
@pytest.mark.parametrize(("window", "stride", "pad", "partial"), [(2, 2, 0, False), (20, 3, 4, False), (3, 2, 0, True)])
def test_pooling_of_every_kind_of_number(op, dtype, window, stride, pad, partial):
    x = np.random.default_rng(2).integers(0, 2 if dtype == "bool" else 7, (3, 31, 5)).astype(dtype)
    for axis in range(1, 3):
        if x.shape[axis] + 2 * pad >= window:
            xs = symbol(x)
            compiled([op(axis, window, stride, pad, partial)(xs)], {xs: x})


@SMALL
@given(convolutions(), st.sampled_from(["max", "sum"]), st.booleans())
def test_layers_of_convolution_pooling_and_activation(drawn, mode, channels_summed):
    x, w, how = drawn
    if x.ndim != 4:
        x, w = x.reshape(*x.shape[:2], x.shape[2], -1), w.reshape(*w.shape[:2], w.shape[2], -1)
        how = {"num_groups": how["num_groups"], "border_mode": "full"}
    xs, ws, bs = symbol(x), symbol(w), T.vector(dtype=x.dtype.name)
    y = T.nnet.conv2d(xs, ws, **how)
    y = pool_2d(y, (2, 1), ignore_border=False, mode=mode) + bs.dimshuffle("x", 0, "x", "x")
    z = T.nnet.relu(y)
    cost = (z.sum(axis=1) if channels_summed else z.reshape((z.shape[0], -1))).sum() + z.max()
    compiled(
        [cost, z, z.sum(axis=(0, 2, 3)), *tg.grad(z.sum(), [xs, ws, bs])],
        {xs: x, ws: w, bs: np.arange(len(w), dtype=x.dtype)},
    )
