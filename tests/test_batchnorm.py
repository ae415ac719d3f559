"""Normalisation beyond the op table: running averages, dtypes, statistics of the result, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.tensor.nnet.bn import batch_normalization, batch_normalization_test, batch_normalization_train

RNG = np.random.default_rng(0)


def test_theanos_paths_lead_to_the_same():
    assert T.nnet.bn.batch_normalization is T.nnet.batch_normalization is batch_normalization
    assert T.nnet.batch_normalization_train is batch_normalization_train


@given(st.data())
def test_outputs_have_mean_0_and_variance_1(data):
    shape = tuple(data.draw(st.lists(st.integers(2, 4), min_size=1, max_size=4)))
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True).map(tuple))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).normal(3.0, 10.0, shape)
    kept = [n for axis, n in enumerate(shape) if axis not in axes]
    x = T.tensor("float64", (None,) * len(shape))
    out, mean, invstd = batch_normalization_train(x, np.ones(kept), np.zeros(kept), axes, 1e-5)
    result, m, s = tg.function([x], [out, mean, invstd])(values)
    np.testing.assert_allclose(result.mean(axes), 0, atol=1e-9)
    np.testing.assert_allclose(result.var(axes), 1 - 1e-5 * s**2, atol=1e-9)
    np.testing.assert_allclose(m, values.mean(axes))
    assert m.shape == s.shape == tuple(kept)


def test_running_averages_as_programs_keep_them():
    x, gamma, beta = T.matrix("x"), T.ones(3), T.zeros(3)
    mean, var = tg.shared(np.zeros(3), "mean"), tg.shared(np.ones(3), "var")
    out, _, _, new_mean, new_var = batch_normalization_train(
        x, gamma, beta, axes="per-activation", running_average_factor=0.5, running_mean=mean, running_var=var
    )
    train = tg.function([x], out, updates=[(mean, new_mean), (var, new_var)])
    test = tg.function([x], batch_normalization_test(x, gamma, beta, mean, var))
    batch = RNG.normal(2.0, 3.0, (50, 3))
    for _ in range(40):
        train(batch)
    np.testing.assert_allclose(mean.get_value(), batch.mean(0))
    np.testing.assert_allclose(var.get_value(), batch.var(0, ddof=1))
    np.testing.assert_allclose(test(batch), train(batch), atol=0.05)


def test_running_variance_stays_finite_for_a_single_element():
    x = T.matrix("x")
    results = batch_normalization_train(x, [1.0], [0.0], running_mean=T.zeros(1), running_var=T.ones(1))
    assert [float(r.eval({x: [[5.0]]}).squeeze()) for r in results] == [0.0, 5.0, pytest.approx(100.0), 0.5, 0.9]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_results_have_the_dtype_of_the_inputs(dtype):
    x, p, v = T.tensor(dtype, (None, None)), T.tensor(dtype, (None,)), T.tensor(dtype, (None,))
    values = RNG.normal(300.0, 300.0, (64, 3)).astype(dtype)  # whose squares float16 cannot hold
    ones = np.ones(3, dtype)
    results = batch_normalization_train(x, p, p, running_mean=p, running_var=v)
    assert {r.dtype for r in results} == {dtype}
    out = results[0].eval({x: values, p: ones})
    wide = values.astype("float64")
    np.testing.assert_allclose(out, (wide - wide.mean(0)) / wide.std(0) + 1, atol=5e-3)
    assert T.nnet.layer_norm(x, p, p).dtype == batch_normalization_test(x, p, p, p, p).dtype == dtype
    np.testing.assert_allclose(T.nnet.layer_norm(x).eval({x: values}).std(1), 1, atol=5e-3)


def test_integers_are_normalised_as_floats():
    x = T.imatrix("x")
    assert T.nnet.layer_norm(x).dtype == "float64"
    np.testing.assert_allclose(T.nnet.layer_norm(x).eval({x: [[1, 3]]}), [[-1, 1]], atol=1e-4)


def test_unchanging_features_have_finite_gradients():
    x = T.matrix("x")
    cost = (batch_normalization_train(x, T.ones(2), T.zeros(2))[0] ** 3).sum() + T.nnet.layer_norm(x).sum()
    assert np.isfinite(tg.grad(cost, x).eval({x: np.full((4, 2), 7.0)})).all()


X, P = T.tensor4("x"), T.vector("p")


def _train(*args, **how):
    return batch_normalization_train(X, P, P, *args, **how)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: _train("spacial"), ShapeError, "no such axes"),
        (lambda: _train(4), ShapeError, "axis"),
        (lambda: _train(()), ShapeError, "at least one axis"),
        (lambda: _train((0, 0)), ShapeError, "twice"),
        (lambda: _train("per-activation"), ShapeError, "gamma has the wrong number of dimensions"),
        (lambda: _train("spatial", running_mean=P), ShapeError, "go together"),
        (lambda: _train("spatial", running_mean=P, running_var=T.matrix()), ShapeError, "running_var"),
        (lambda: _train("spatial", epsilon=1e-6), DtypeError, "epsilon must be a number"),
        (lambda: _train("spatial", epsilon=T.scalar()), DtypeError, "epsilon must be a number"),
        (lambda: _train("spatial", epsilon=float("nan")), DtypeError, "epsilon must be a number"),
        (lambda: batch_normalization_test(X, P, P, P, T.scalar(), "spatial"), ShapeError, "var has the wrong number"),
        (lambda: batch_normalization(X, P, P, P, P, mode="fast"), DtypeError, "no such mode"),
        (lambda: T.nnet.layer_norm(X, axes=7), ShapeError, "axis"),
        (lambda: T.nnet.layer_norm(X, epsilon=0), DtypeError, "epsilon"),
        (lambda: batch_normalization_train(X, T.ones((2, 1, 3, 1)), 0.0, "spatial"), ShapeError, "specified shape"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error) as err:
        call()
    assert words in err.value.problem
    assert "test_batchnorm.py" in str(err.value)


def test_the_least_epsilon_may_be_float32():
    assert _train("spatial", epsilon=np.float32(1e-5))[0].ndim == 4


def test_parameters_of_other_extents_are_refused():
    with pytest.raises(ShapeError):
        batch_normalization_train(T.tensor("float64", (5, 3)), T.ones(4), T.zeros(4))
    out = _train("spatial")[0]
    with pytest.raises(ShapeError):
        out.eval({X: np.ones((2, 3, 2, 2)), P: np.ones(4)})
