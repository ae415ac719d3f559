"""Convolutions and their transposes, beyond the op table."""

from __future__ import annotations

import importlib
import tracemalloc
from typing import Any
from unittest import mock

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tests.optable.conv import conv, conv_gradients, widths
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops import windows
from tinygraph.ops.conv import get_conv_output_shape, get_conv_shape_1axis
from tinygraph.ops.convolution import Conv, ConvInputs, ConvWeights
from tinygraph.testing import check_grad
from tinygraph.types import TensorType

SMALL = settings(max_examples=max(40, settings().max_examples), deadline=None)
NETWORKS = (T.nnet.conv1d, T.nnet.conv2d, T.nnet.conv3d)


def value(output: Any, givens: dict[Any, Any]) -> Any:
    return tg.function(list(givens), output)(*givens.values())


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, dict[str, Any], int]:
    """Images and filters that fit, the arguments of ``conv``, and the size of a tile."""
    spatial = draw(st.integers(1, 3))
    few = st.integers(1, 3 if spatial < 3 else 2)
    groups = draw(st.integers(1, 2))
    sizes = draw(st.lists(few, min_size=spatial, max_size=spatial))
    stride, dilation = (tuple(draw(st.lists(few, min_size=spatial, max_size=spatial))) for _ in range(2))
    width = st.integers(0, 2)
    axis = st.one_of(width, st.tuples(width, width))
    border = draw(st.one_of(st.sampled_from(["valid", "half", "full"]), width, st.tuples(*[axis] * spatial)))
    ends = widths(border, sizes, dilation)
    reaches = [(size - 1) * gap + 1 for size, gap in zip(sizes, dilation, strict=True)]
    spare = draw(st.lists(st.integers(0, 3), min_size=spatial, max_size=spatial))
    extents = [max(r - sum(pair), 0) + n for r, pair, n in zip(reaches, ends, spare, strict=True)]
    channels, filters, batch = groups * draw(few), groups * draw(few), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-4, 5, (batch, channels, *extents)).astype("float64")
    unshared = draw(st.booleans())
    padded = [n + sum(pair) for n, pair in zip(extents, ends, strict=True)]
    counts = [(n - r) // s + 1 for n, r, s in zip(padded, reaches, stride, strict=True)]
    w = rng.integers(-4, 5, (filters, *(counts if unshared else []), channels // groups, *sizes)).astype("float64")
    how = {"border": border, "stride": stride, "dilation": dilation, "groups": groups, "unshared": unshared}
    return x, w, {**how, "flip": draw(st.booleans())}, draw(st.sampled_from([1, 500, 3000, 3 << 19]))


def arguments(how: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the reference under the names that programs use."""
    names = {"border": "border_mode", "stride": "subsample", "dilation": "filter_dilation", "flip": "filter_flip"}
    return {{**names, "groups": "num_groups"}.get(name, name): value for name, value in how.items()}


def convolve(x: Any, w: Any, how: dict[str, Any]) -> Any:
    return NETWORKS[x.ndim - 3](x, w, **arguments(how))


@SMALL
@given(convolutions(), st.sampled_from(["float32", "float64"]), st.booleans())
def test_values_and_transposes(case: Any, dtype: str, known: bool) -> None:
    x, w, how, tile = case
    xs, ws = (TensorType(dtype, v.shape if known else (None,) * v.ndim)() for v in (x, w))
    y = convolve(xs, ws, how)
    expected = conv(x, w, **how)
    g = np.random.default_rng(0).integers(-3, 4, expected.shape).astype("float64")
    if known:
        assert y.type.shape == expected.shape
    gs = y.type()
    with mock.patch.object(windows, "_TILE", tile):
        outputs = value([y, *tg.Lop(y, [xs, ws], gs)], {v: a.astype(dtype) for v, a in ((xs, x), (ws, w), (gs, g))})
    for got, wanted in zip(outputs, (expected, *_transposed(x, w, g, how)), strict=True):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, wanted)  # sums of small integers are exact


def _transposed(x: Any, w: Any, g: Any, how: dict[str, Any]) -> Any:
    yield conv_gradients(x.shape, w.shape, g, w=w, **how)
    yield conv_gradients(x.shape, w.shape, g, x=x, **how)


@settings(max_examples=25, deadline=None)
@given(convolutions())
def test_second_derivatives(case: Any) -> None:
    x, w, how, tile = case
    if x.size:
        with mock.patch.object(windows, "_TILE", tile):
            check_grad(lambda x, w: convolve(x, w, how), x, w, coordinates=6)


def test_third_derivatives() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 1, 4, 3)), rng.normal(size=(2, 1, 2, 2))
    check_grad(lambda x, w: T.tanh(T.nnet.conv2d(x, w, subsample=(2, 1))), x, w, order=3, coordinates=5)


@pytest.mark.parametrize("mode", ["valid", "full"])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_scipy_gives_the_same(mode: str, spatial: int) -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(1, 1, *range(6, 6 + spatial))), rng.normal(size=(1, 1, *range(2, 2 + spatial)))
    function = NETWORKS[spatial - 1]
    np.testing.assert_allclose(
        function(x, w, border_mode=mode).eval()[0, 0], scipy.signal.convolve(x[0, 0], w[0, 0], mode), atol=1e-12
    )
    np.testing.assert_allclose(
        function(x, w, border_mode=mode, filter_flip=False).eval()[0, 0],
        scipy.signal.correlate(x[0, 0], w[0, 0], mode),
        atol=1e-12,
    )


def test_half_keeps_the_extents_as_same_does_in_scipy() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(6, 7)), rng.normal(size=(3, 5))
    got = T.signal.conv.conv2d(x, w, border_mode="half").eval()
    np.testing.assert_allclose(got, scipy.signal.convolve2d(x, w, "same"), atol=1e-12)


@pytest.mark.parametrize("shape", [(300, 4, 20, 20), (1, 4, 360, 340)])
def test_memory_does_not_grow_with_the_batch_or_the_image(shape: tuple[int, ...]) -> None:
    """The patches of these images together would take 200 MiB and more; each thread has some of them at a time."""
    x = np.ones(shape, "float64")
    w = np.ones((4, 4, 7, 7), "float64")
    xs, ws = T.dtensor4(), T.dtensor4()
    y = T.nnet.conv2d(xs, ws, border_mode="half")
    backward = tg.Lop(y, [xs, ws], xs * 1)
    for outputs, arrays in ((y, 1), (backward[0], 2), (backward[1], 2)):
        with tg.config.change_flags(threads=2):
            run = tg.function([xs, ws], outputs, on_unused_input="ignore")
            run(x[:1, :, :8, :8], w)
        tracemalloc.start()
        try:
            with tg.config.change_flags(threads=2):
                run(x, w)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < arrays * x.nbytes + (12 << 20)


# --- what is known before anything runs ---------------------------------------------------------------------------


def test_extents_that_follow() -> None:
    x, w = T.tensor("float32", (None, 3, 32, None)), T.tensor("float32", (16, None, 5, 5))
    assert T.nnet.conv2d(x, w).type.shape == (None, 16, 28, None)
    assert T.nnet.conv2d(x, w, border_mode="full", subsample=2).type.shape == (None, 16, 18, None)
    assert T.nnet.conv2d(T.ftensor4(), T.ftensor4()).type.shape == (None,) * 4
    hinted = T.nnet.conv2d(T.ftensor4(), T.ftensor4(), (8, 3, None, 9), (4, None, 1, 3))
    assert hinted.type.shape == (8, 4, None, 7)
    assert T.nnet.conv2d(T.ftensor4(), T.ftensor4(), image_shape=(8, 3, None, None)).type.shape[0] == 8
    sixth = T.tensor("float32", (4, 6, None, 3, 3, 3))
    assert T.nnet.conv2d(x, sixth, unshared=True, subsample=(5, 1)).type.shape == (None, 4, 6, None)


def test_gradients_have_the_shapes_of_their_variables() -> None:
    x, w = T.tensor("float64", (2, None, 7, None)), T.tensor("float64", (None, 3, 2, 2))
    y = T.nnet.conv2d(x, w)
    gx, gw = tg.grad(y.sum(), [x, w])
    assert gx.type.shape[0::2] == (2, 7)
    assert gx.like is x.like
    assert gw.type.shape[1:] == (3, 2, 2)
    assert gw.like is w.like


def test_shapes_of_outputs() -> None:
    assert get_conv_output_shape((5, 3, 8, 9), (4, 3, 3, 2), (1, (0, 2)), (2, 1)) == (5, 4, 4, 10)
    assert get_conv_output_shape((5, 3, 8, 9), (4, 6, 8, 3, 3, 2), "valid", (1, 1), (1, 2)) == (5, 4, 6, 7)
    assert get_conv_output_shape((None, 3, 8, None), (None, 3, 3, 2), "half", (1, 1)) == (None, None, 8, None)
    n = T.lscalar("n")
    assert get_conv_shape_1axis(n, 3, "full", 2).eval({n: 7}) == get_conv_shape_1axis(7, 3, "full", 2) == 5
    assert get_conv_shape_1axis(7, 3, None, 1) is None


def test_transposes_with_symbolic_shapes() -> None:
    n = T.lscalar("n")
    y, w = T.dtensor4("y"), T.dtensor4("w")
    x = T.nnet.conv2d_transpose(y, w, (None, None, n, n + 2), input_dilation=(2, 2))
    assert x.type.shape == (None,) * 4
    run = tg.function([y, w, n], x)
    ys, ws = np.ones((1, 2, 2, 3)), np.ones((2, 3, 3, 3))
    for size in (5, 6):  # both have this output
        wanted = conv_gradients((1, 3, size, size + 2), ws.shape, ys, w=ws, stride=2)
        np.testing.assert_array_equal(run(ys, ws, size), wanted)
    with pytest.raises(ShapeError) as err:
        run(ys, ws, 4)
    assert "give an output (1, 2, 1, 2)" in err.value.problem


# --- arguments ----------------------------------------------------------------------------------------------------


def test_operands_of_any_kind() -> None:
    images = [[[[1, 2], [3, 4]]]]
    assert T.nnet.conv2d(images, [[[[1, 1]]]]).eval().tolist() == [[[[3], [7]]]]
    assert T.nnet.conv2d(T.ftensor4(), np.ones((1, 1, 1, 1), "int8")).dtype == "float32"
    assert T.nnet.conv2d(T.ftensor4(), T.dtensor4()).dtype == "float64"
    assert T.nnet.conv2d(T.itensor4(), T.itensor4()).dtype == "int32"
    assert T.nnet.conv2d(T.ftensor4(), T.tensor4(dtype="bool")).dtype == "float32"
    with pytest.raises(DtypeError) as err:
        T.nnet.conv2d(T.tensor4(dtype="bool"), T.tensor4(dtype="bool"))
    assert "numbers" in err.value.problem


def test_settings_in_every_form() -> None:
    x, w = T.ftensor4(), T.tensor("float32", (None, None, 3, 3))
    forms = [
        {"border_mode": 1, "subsample": 2},
        {"border_mode": (1, 1), "subsample": [2, 2]},
        {"border_mode": [(1, 1), 1], "subsample": np.array([2, 2])},
        {"border_mode": (np.int64(1), (1, np.int8(1))), "subsample": (np.int32(2), T.constant(2))},
        {"border_mode": T.constant(1), "subsample": T.constant([2, 2])},
    ]
    assert len({T.nnet.conv2d(x, w, **form).owner.op for form in forms}) == 1
    assert T.nnet.conv2d(x, w, border_mode=0).owner.op == T.nnet.conv2d(x, w, unroll_batch=4).owner.op


def test_operations_that_take_their_settings_first() -> None:
    module = importlib.import_module("tinygraph.tensor.nnet.abstract_conv")
    rng = np.random.default_rng(4)
    x, w, g = rng.normal(size=(2, 3, 5, 5)), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=(2, 4, 3, 3))
    how = {"border_mode": (1, 1), "subsample": (2, 2), "filter_flip": False}
    ref = {"border": 1, "stride": 2, "flip": False}
    forward = module.AbstractConv2d(imshp=(2, 3, None, 5), kshp=w.shape, **how)
    np.testing.assert_allclose(forward(x, w).eval(), conv(x, w, **ref), atol=1e-12)
    backward = module.AbstractConv2d_gradInputs(imshp=(None, None, 5, 5), kshp=None, **how)
    wanted = conv_gradients(x.shape, w.shape, g, w=w, **ref)
    np.testing.assert_allclose(backward(w, g, (5, 5)).eval(), wanted, atol=1e-12)
    np.testing.assert_allclose(backward(w, g, T.as_tensor(x).shape[2:]).eval(), wanted, atol=1e-12)
    weights = module.AbstractConv2d_gradWeights(kshp=w.shape, **how)
    wanted = conv_gradients(x.shape, w.shape, g, x=x, **ref)
    np.testing.assert_allclose(weights(x, g, w.shape[2:]).eval(), wanted, atol=1e-12)
    volume, kernel = np.ones((1, 1, 2, 3, 4)), np.ones((1, 1, 2, 2, 2))
    assert module.AbstractConv3d()(volume, kernel).type.shape == (1, 1, 1, 2, 3)
    output = np.ones((1, 1, 1, 2, 3))
    assert module.AbstractConv3d_gradInputs()(kernel, output, (2, 3, 4)).type.shape == volume.shape
    assert module.AbstractConv3d_gradWeights()(volume, output, (2, 2, 2)).type.shape == kernel.shape


def test_signal_convolution_of_known_shapes() -> None:
    images, filters = T.dtensor3(), T.dmatrix()
    out = T.signal.conv.conv2d(images, filters, image_shape=(2, 6, 6), filter_shape=(3, 3), border_mode="full")
    assert out.type.shape == (2, 8, 8)
    assert T.signal.conv.conv2d(T.dmatrix(), T.dmatrix(), subsample=(2, 2)).ndim == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: T.nnet.conv2d(T.zeros((1, 3, 9, 9)), T.zeros((2, 4, 3, 3))), "3 channels, the filters take 4"),
        (lambda: T.nnet.conv2d(T.zeros((1, 4, 9, 9)), T.zeros((2, 4, 3, 3)), num_groups=2), "take 8 (4 in each of 2"),
        (lambda: T.nnet.conv2d(T.zeros((1, 3, 9, 9)), T.zeros((2, 1, 3, 3)), num_groups=2), "3 channels cannot be"),
        (lambda: T.nnet.conv2d(T.zeros((1, 4, 9, 9)), T.zeros((3, 2, 3, 3)), num_groups=2), "3 filters cannot be"),
        (lambda: T.nnet.conv2d(T.zeros((1, 3, 9, 4)), T.zeros((2, 3, 3, 5))), "spans 5 elements does not fit into 4"),
        (
            lambda: T.nnet.conv2d(T.zeros((1, 1, 9, 3)), T.zeros((2, 1, 3, 4)), filter_dilation=(1, 2), border_mode=1),
            "spans 7 elements does not fit into 5",
        ),
        (lambda: T.nnet.conv2d(T.zeros((1, 1, 9, 3)), T.zeros((2, 1, 0, 2))), "cannot be empty"),
        (lambda: T.nnet.conv2d(T.zeros((1, 3, 9)), T.zeros((2, 3, 3, 3))), "images must have 4 dimensions, not 3"),
        (lambda: T.nnet.conv2d(T.zeros((1, 3, 9, 9)), T.zeros((2, 3))), "filters must have 4 dimensions, not 2"),
        (
            lambda: T.nnet.conv2d(T.zeros((1, 1, 4, 4)), T.zeros((2, 3, 2, 1, 3, 3)), unshared=True),
            "needed for every position",
        ),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), border_mode="same"), "no border mode 'same'"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), border_mode=-1), "no negative width"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), border_mode=(1, 1, 1)), "an entry for each spatial axis"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), border_mode=(1, (1, 1, 1))), "no border mode"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), subsample=(1, 0)), "subsample needs one integer"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), filter_dilation=(1,)), "filter_dilation needs one"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), num_groups=0), "num_groups is a positive"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), (1, 2, 3)), "another number of entries"),
        (lambda: T.nnet.conv2d(T.zeros((1, 1, 4, 4)), T.ftensor4(), (1, 2, 4, 4)), "the specified shape"),
        (lambda: T.nnet.conv2d(T.ftensor4(), T.ftensor4(), (1,) * 4, image_shape=(1,) * 4), "mean the same"),
        (
            lambda: T.nnet.conv2d_grad_wrt_inputs(T.zeros((1, 1, 2, 2)), T.zeros((1, 1, 2, 2)), (None, None, 4, 3)),
            "give an output (1, 1, 3, 2)",
        ),
        (
            lambda: T.nnet.conv2d_grad_wrt_weights(T.zeros((1, 1, 3, 3)), T.zeros((1, 1, 2, 2)), (None, None, 3, 2)),
            "give an output (1, 1, 1, 2)",
        ),
        (lambda: T.nnet.conv2d_grad_wrt_inputs(T.ftensor4(), T.ftensor4(), (None, 1, None, 3)), "the shape is needed"),
        (lambda: T.nnet.conv2d_transpose(T.ftensor4(), T.ftensor4(), (1, 1, 3)), "the shape is needed"),
        (lambda: T.nnet.conv3d_grad_wrt_inputs(T.ftensor4(), T.ftensor4(), (1,) * 5), "output must have 5 dimensions"),
        (lambda: T.nnet.abstract_conv.causal_conv1d(T.ftensor3(), T.ftensor3()), "length of the filters must be known"),
        (lambda: T.signal.conv.conv2d(T.ftensor4(), T.fmatrix()), "the input must have 2 or 3 dimensions"),
        (
            lambda: T.nnet.separable_conv2d(T.zeros((1, 3, 5, 5)), T.zeros((4, 1, 3, 3)), T.ftensor4(), 2),
            "3 channels cannot be divided into 2 groups",
        ),
        (lambda: T.nnet.abstract_conv.bilinear_upsampling(T.ftensor4()), "exactly one of ratio and frac_ratio"),
        (lambda: T.nnet.abstract_conv.bilinear_upsampling(T.ftensor3(), 2), "4 dimensions"),
        (lambda: T.nnet.abstract_conv.bilinear_upsampling(T.ftensor4(), 0), "ratio needs one integer"),
    ],
)
def test_what_does_not_fit_is_said(call: Any, said: str) -> None:
    with pytest.raises(ShapeError) as err:
        call()
    assert said in err.value.problem
    assert err.value.op
    assert "test_conv.py" in str(err.value)


def test_other_names_have_other_meanings() -> None:
    with pytest.raises(ShapeError) as err:
        T.nnet.conv2d(T.ftensor4(), T.ftensor4(), border_mode="same")
    assert "'half'" in err.value.hint
    with pytest.raises(DtypeError) as unknown:
        T.nnet.conv2d(T.ftensor4(), T.ftensor4(), strides=2)
    assert "no argument 'strides'" in unknown.value.problem
    n = T.lscalar("n")
    with pytest.raises(DtypeError) as symbolic:
        T.nnet.conv2d(T.ftensor4(), T.ftensor4(), subsample=(n, n))
    assert "must be known when the graph is built" in symbolic.value.problem


def test_what_does_not_fit_is_said_when_the_function_is_called() -> None:
    x, w = T.dtensor4("x"), T.dtensor4("w")
    run = tg.function([x, w], T.nnet.conv2d(x, w, input_shape=(None, 3, None, None)))
    with pytest.raises(ShapeError) as channels:
        run(np.ones((1, 3, 5, 5)), np.ones((1, 2, 3, 3)))
    assert "3 channels, the filters take 2" in channels.value.problem
    with pytest.raises(ShapeError) as small:
        run(np.ones((1, 3, 5, 2)), np.ones((1, 3, 3, 3)))
    assert "does not fit into 2" in small.value.problem
    with pytest.raises(ShapeError) as claim:
        run(np.ones((1, 2, 5, 5)), np.ones((1, 2, 3, 3)))
    assert "specified shape" in claim.value.problem


# --- the operations -----------------------------------------------------------------------------------------------


def test_one_operation_for_one_meaning() -> None:
    x, w = T.dtensor4(), T.dtensor4()
    names = [
        T.nnet.conv2d(x, w),
        T.nnet.conv2d_grad_wrt_inputs(x, w, x.shape),
        T.nnet.conv2d_grad_wrt_weights(x, w, x.shape),
    ]
    assert [type(v.owner.op) for v in names] == [Conv, ConvInputs, ConvWeights]
    assert [v.owner.op.name for v in names] == ["conv2d", "conv2d_grad_wrt_inputs", "conv2d_grad_wrt_weights"]
    assert T.nnet.conv3d(T.dtensor5(), T.dtensor5()).owner.op.name == "conv3d"


def test_nothing_runs_for_a_gradient_that_nobody_asks_for() -> None:
    x, w = T.dtensor4(), T.dtensor4()
    run = tg.function([x, w], tg.grad(T.nnet.conv2d(x, w).sum(), w))
    run(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
    assert "grad_wrt_weights" in str(run.program)
    assert "grad_wrt_inputs" not in str(run.program)


def test_every_path_leads_to_the_same_functions() -> None:
    from tinygraph.tensor.nnet import conv2d
    from tinygraph.tensor.nnet.abstract_conv import conv2d as abstract
    from tinygraph.tensor.nnet.conv import conv2d as first
    from tinygraph.tensor.signal.conv import conv2d as signal

    assert conv2d is T.nnet.conv2d
    assert len({conv2d, abstract, first, signal}) == 4
    assert T.nnet.abstract_conv2d is abstract is T.nnet.abstract_conv.conv2d


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bilinear_interpolation_keeps_the_dtype(dtype: str) -> None:
    x = T.tensor(dtype, (None, 2, 3, 4))
    out = T.nnet.abstract_conv.bilinear_upsampling(x, ratio=2)
    assert out.dtype == dtype
    assert out.type.shape == (None, 2, 6, 8)
    plane = np.arange(12.0).reshape(1, 1, 3, 4).repeat(2, 1).astype(dtype)
    both = T.nnet.abstract_conv.bilinear_upsampling(x, frac_ratio=(2, 1), use_1D_kernel=False)
    got, other = value([out, both], {x: plane})
    np.testing.assert_allclose(got, other, rtol=1e-6)
    np.testing.assert_allclose(got[0, 0, :5, :7], np.add.outer(np.arange(5) * 2.0, np.arange(7) * 0.5), rtol=1e-6)
