"""Activations and losses of neural networks, beyond the op table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.softmax import LogSumExp, Softmax, SoftmaxGrad
from tinygraph.testing import check_grad

SMALL = settings(max_examples=60, deadline=None)
MODES = ("FAST_RUN", "FAST_COMPILE")
BATCHES = hnp.arrays(
    "float32", hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-1e4, 1e4, width=32)
)


def value(output: Any, givens: dict[Any, Any], mode: str = "FAST_RUN") -> Any:
    return tg.function(list(givens), output, mode=mode)(*givens.values())


# --- softmax ------------------------------------------------------------------------------------------------------


@SMALL
@given(BATCHES, st.sampled_from(MODES))
def test_softmax_of_extreme_logits(data: np.ndarray, mode: str) -> None:
    x = T.fmatrix("x")
    y, logs = T.nnet.softmax(x), T.nnet.logsoftmax(x)
    wide = data.astype("float64")
    got = value([y, logs], {x: data}, mode)
    assert got[0].dtype == got[1].dtype == np.float32
    np.testing.assert_allclose(got[0], scipy.special.softmax(wide, axis=1), rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(got[1], scipy.special.log_softmax(wide, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[0].sum(axis=1), 1, rtol=1e-5)


@SMALL
@given(BATCHES, st.sampled_from(MODES), st.integers(0, 2**32 - 1))
def test_cross_entropy_gradient_is_softmax_minus_target(data: np.ndarray, mode: str, seed: int) -> None:
    places = np.random.default_rng(seed).integers(0, data.shape[1], data.shape[0]).astype("int32")
    target = np.eye(data.shape[1])[places]
    wide = data.astype("float64")
    expected_loss = -np.sum(target * scipy.special.log_softmax(wide, axis=1), axis=1)
    x, t = T.fmatrix("x"), T.ivector("t")
    for loss in (
        T.nnet.softmax_cross_entropy_with_logits(x, t),
        T.nnet.softmax_cross_entropy_with_logits(x, T.constant(target.astype("float32")) + 0 * t[:, None]),
        T.nnet.crossentropy_softmax_1hot(x, t)[0],
    ):
        got, gradient = value([loss, tg.grad(loss.sum(), x)], {x: data, t: places}, mode)
        np.testing.assert_allclose(got, expected_loss, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradient, scipy.special.softmax(wide, axis=1) - target, rtol=1e-4, atol=1e-6)


def test_a_vector_gives_one_row_unless_an_axis_is_given() -> None:
    x = T.tensor("float64", (4,))
    for function in (T.nnet.softmax, T.nnet.logsoftmax):
        assert function(x).type.shape == (1, 4)
        assert function(x, axis=0).type.shape == (4,)
        assert function(x, axis=-1).type.shape == (4,)
        assert function(T.tensor3()).ndim == 3


def test_softmax_needs_an_axis() -> None:
    for function in (T.nnet.softmax, T.nnet.logsoftmax):
        with pytest.raises(ShapeError, match="no axis -1"):
            function(T.scalar("x"))
        with pytest.raises(ShapeError, match="no axis 2"):
            function(T.matrix("x"), axis=2)
        with pytest.raises(ShapeError, match="exactly one axis"):
            function(T.matrix("x"), axis=(0, 1))
    with pytest.raises(ShapeError, match="there is no axis 3"):
        Softmax(3)(T.matrix("x"))


def test_integers_become_floatx() -> None:
    with tg.config.change_flags(floatX="float32"):
        x = T.imatrix("x")
        assert T.nnet.softmax(x).dtype == T.nnet.logsoftmax(x).dtype == "float32"
        assert T.nnet.elu(x).dtype == T.nnet.softsign(x).dtype == T.nnet.hard_sigmoid(x).dtype == "float32"


def test_softmax_of_nan_stays_in_its_row() -> None:
    x = T.matrix("x")
    got = value(T.nnet.softmax(x), {x: [[np.nan, 0], [0, 0]]})
    assert np.isnan(got[0]).all()
    np.testing.assert_array_equal(got[1], [0.5, 0.5])


def test_softmax_of_minus_infinity_is_zero() -> None:
    x = T.matrix("x")
    y = T.nnet.softmax(x)
    got = value([y, tg.grad(y[0, 1], x)], {x: [[-np.inf, 0, 0]]})
    np.testing.assert_array_equal(got[0], [[0, 0.5, 0.5]])
    np.testing.assert_array_equal(got[1], [[0, 0.25, -0.25]])


def test_float16_is_computed_in_float32() -> None:
    x = T.tensor("float16", (None, None))
    data = np.zeros((1, 70_000), "float16")
    for out, expected in ((T.nnet.softmax(x), 1 / 70_000), (T.nnet.logsoftmax(x), -np.log(70_000))):
        got = value(out, {x: data})
        assert got.dtype == np.float16
        np.testing.assert_allclose(got[0, 0], expected, rtol=5e-2)
    assert value(LogSumExp((0, 1), False)(x), {x: data}) == np.float16(np.log(70_000))


def test_gradient_ops_of_softmax() -> None:
    rng = np.random.default_rng(0)
    g, y = rng.normal(size=(2, 2, 3))
    check_grad(SoftmaxGrad(1), g, y, order=3, seed=0)
    check_grad(SoftmaxGrad(0), g, y, order=2, seed=0)
    check_grad(LogSumExp((0, 1), True), y, order=3, seed=0)
    x = T.matrix("x")
    (node,) = [v.owner for v in [tg.grad(T.nnet.softmax(x)[0, 0], x)]]
    assert node.op == SoftmaxGrad(1)
    assert node.inputs[1].owner.op == Softmax(1)


# --- activations --------------------------------------------------------------------------------------------------


def test_relu_at_its_kink() -> None:
    x = T.vector("x")
    for alpha, expected in ((0, 0.5), (0.2, 0.6), (T.constant(0.2), 0.6), (1.0, 1.0)):
        got = value(tg.grad(T.nnet.relu(x, alpha).sum(), x), {x: [-1.0, 0.0, 1.0]})
        np.testing.assert_allclose(got[1], expected)
        np.testing.assert_allclose(got[2], 1.0)


def test_relu_learns_its_slope() -> None:
    x, alpha = T.matrix("x"), T.vector("alpha")
    data = np.array([[-1.0, 2.0], [-3.0, -4.0]])
    got = value(tg.grad(T.nnet.relu(x, alpha).sum(), alpha), {x: data, alpha: [0.1, 0.2]})
    np.testing.assert_allclose(got, [-4, -4])


@pytest.mark.parametrize(
    "name", ["sigmoid", "softplus", "softsign", "elu", "selu", "relu", "hard_sigmoid", "ultra_fast_sigmoid"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_and_gradients_of_extreme_values(name: str, dtype: str) -> None:
    x = T.vector("x", dtype=dtype)
    out = getattr(T.nnet, name)(x)
    data = np.array([-1e4, -1000, -100, -30, 0, 30, 100, 1000, 1e4], dtype)
    for mode in MODES:
        for got in value([out, tg.grad(out.sum(), x)], {x: data}, mode):
            assert got.dtype == dtype
            assert np.isfinite(got).all()


def test_ultra_fast_sigmoid_is_near_the_sigmoid() -> None:
    x = T.vector("x")
    data = np.linspace(-15, 15, 301)
    got = value(T.nnet.ultra_fast_sigmoid(x), {x: data})
    assert np.abs(got - scipy.special.expit(data)).max() < 0.03
    slope = value(tg.grad(T.nnet.ultra_fast_sigmoid(x).sum(), x), {x: [0.0, -7.0, 7.0]})
    np.testing.assert_allclose(slope, [0.375, 0, 0])


def test_hard_sigmoid_keeps_float32() -> None:
    x = T.fvector("x")
    for function in (T.nnet.hard_sigmoid, T.nnet.ultra_fast_sigmoid, T.nnet.selu, T.nnet.elu, T.nnet.softsign):
        assert function(x).dtype == "float32"


# --- losses -------------------------------------------------------------------------------------------------------


@SMALL
@given(hnp.arrays("float32", st.integers(0, 9), elements=st.floats(-1e4, 1e4, width=32)), st.sampled_from(MODES))
def test_sigmoid_binary_crossentropy_is_stable(data: np.ndarray, mode: str) -> None:
    x = T.fvector("x")
    wide = data.astype("float64")
    for target in (0.0, 0.25, 1.0):
        loss = T.nnet.sigmoid_binary_crossentropy(x, np.full(data.shape, target, "float32"))
        got, gradient = value([loss, tg.grad(loss.sum(), x)], {x: data}, mode)
        exact = target * np.logaddexp(0, -wide) + (1 - target) * np.logaddexp(0, wide)
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-37)
        np.testing.assert_allclose(gradient, scipy.special.expit(wide) - target, rtol=1e-4, atol=1e-7)


def test_sigmoid_binary_crossentropy_has_no_kink_at_zero() -> None:
    x, t = T.vector("x"), T.vector("t")
    loss = T.nnet.sigmoid_binary_crossentropy(x, t)
    first = tg.grad(loss.sum(), x)
    got = value([first, tg.grad(first.sum(), x), tg.grad(loss.sum(), t)], {x: [0.0, 0.0], t: [0.0, 1.0]})
    np.testing.assert_allclose(got, [[0.5, -0.5], [0.25, 0.25], [0.0, 0.0]])


@pytest.mark.parametrize("target", [0, 1])
def test_binary_crossentropy_of_a_sigmoid(target: int) -> None:
    x = T.fvector("x")
    loss = T.nnet.binary_crossentropy(T.nnet.sigmoid(x), np.full(4, target, "int64"))
    data = np.array([-1e4, -50, 50, 1e4], "float32")
    assert loss.dtype == "float32"
    got, gradient = value([loss, tg.grad(loss.sum(), x)], {x: data})
    wide = data.astype("float64")
    np.testing.assert_allclose(got, np.logaddexp(0, -wide if target else wide), rtol=1e-5)
    exact = -scipy.special.expit(-wide) if target else scipy.special.expit(wide)
    np.testing.assert_allclose(gradient, exact, rtol=1e-5, atol=1e-37)


def test_categorical_crossentropy_of_a_softmax() -> None:
    x, t = T.fmatrix("x"), T.ivector("t")
    y = T.nnet.softmax(x)
    data = np.array([[1e4, 0, -1e4], [1000, -1000, 0], [0, 0, 0]], "float32")
    places = np.array([2, 1, 0], "int32")
    wide = data.astype("float64")
    rows = np.eye(3)[places]
    expected = -np.sum(rows * scipy.special.log_softmax(wide, axis=1), axis=1)
    one_hot = T.constant(np.eye(3, dtype="int8"))[t]
    for loss in (
        T.nnet.categorical_crossentropy(y, t),
        T.nnet.categorical_crossentropy(y, one_hot),
        T.nnet.crossentropy_categorical_1hot(y, t),
        -T.log(y[T.arange(t.shape[0]), t]),
    ):
        assert loss.dtype == "float32"
        got, gradient = value([loss, tg.grad(loss.mean(), x)], {x: data, t: places})
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient, (scipy.special.softmax(wide, axis=1) - rows) / 3, rtol=1e-5, atol=1e-7)


def test_targets_that_do_not_fit() -> None:
    x, p = T.matrix("x"), T.tensor3("p")
    for loss in (T.nnet.categorical_crossentropy, T.nnet.softmax_cross_entropy_with_logits):
        with pytest.raises(ShapeError, match="wrong number of dimensions") as caught:
            loss(x, T.iscalar("t"))
        assert caught.value.op == loss.__name__
        with pytest.raises(ShapeError, match="wrong number of dimensions"):
            loss(x, p)
        with pytest.raises(DtypeError, match="are places") as caught_dtype:
            loss(x, T.vector("t"))
        assert "T.ivector" in caught_dtype.value.hint
    with pytest.raises(DtypeError, match="are places"):
        T.nnet.crossentropy_categorical_1hot(x, T.tensor("bool", (None,)))
    with pytest.raises(ShapeError, match="wrong number of dimensions"):
        T.nnet.crossentropy_softmax_1hot(x, T.imatrix("t"))


def test_places_beyond_the_classes() -> None:
    x, t = T.matrix("x"), T.ivector("t")
    f = tg.function([x, t], T.nnet.softmax_cross_entropy_with_logits(x, t))
    with pytest.raises(IndexError):
        f(np.zeros((2, 3)), np.array([0, 3], "int32"))
    with pytest.raises(ValueError, match="2"):
        f(np.zeros((2, 3)), np.array([0, 1, 2], "int32"))


def test_losses_of_one_row() -> None:
    x = T.vector("x")
    got = value(T.nnet.softmax_cross_entropy_with_logits(x, 1), {x: [0, 0]})
    np.testing.assert_allclose(got, np.log(2))


def test_a_step_of_softmax_regression() -> None:
    rng = np.random.default_rng(0)
    data, places = rng.normal(size=(20, 5)), rng.integers(0, 3, 20)
    x, t = T.matrix("x"), T.lvector("t")
    w, b = tg.shared(np.zeros((5, 3)), "w"), tg.shared(np.zeros(3), "b")
    loss = T.nnet.softmax_cross_entropy_with_logits(x.dot(w) + b, t).mean()
    gw, gb = tg.grad(loss, [w, b])
    step = tg.function([x, t], loss, updates=[(w, w - 0.5 * gw), (b, b - 0.5 * gb)])
    hand_w, hand_b = np.zeros((5, 3)), np.zeros(3)
    for _ in range(5):
        got = step(data, places)
        y = scipy.special.softmax(data @ hand_w + hand_b, axis=1)
        np.testing.assert_allclose(got, -np.log(y[np.arange(20), places]).mean())
        error = (y - np.eye(3)[places]) / 20
        hand_w, hand_b = hand_w - 0.5 * data.T @ error, hand_b - 0.5 * error.sum(axis=0)
        np.testing.assert_allclose(w.get_value(), hand_w, rtol=1e-10)
        np.testing.assert_allclose(b.get_value(), hand_b, rtol=1e-10)
