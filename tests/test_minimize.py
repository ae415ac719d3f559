"""Training by SciPy's optimisers."""

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import InputError

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(60, 3))
TARGET = (DATA @ [1.0, -2.0, 0.5] + 0.3 > 0).astype("int64")


def logistic():
    """A regularised classifier: its cost, parameters and inputs."""
    x, y = T.dmatrix("x"), T.lvector("y")
    w, b = tg.shared(np.zeros((3, 2)), "w"), tg.shared(np.zeros(2, "float32"), "b")
    p = T.nnet.softmax(T.dot(x, w) + b)
    return T.nnet.categorical_crossentropy(p, y).mean() + 0.01 * T.sqr(w).sum(), [w, b], {x: DATA, y: TARGET}


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg"])
def test_methods_agree(method):
    cost, params, inputs = logistic()
    result = tg.optim.minimize_scipy(cost, params, inputs, method=method)
    at_end = tg.function(list(inputs), [cost, *tg.grad(cost, params)])(*inputs.values())
    assert abs(result.fun - 0.2731442) < 1e-6  # the cost is convex: where its gradient is zero is its minimum
    np.testing.assert_allclose(at_end[0], result.fun, rtol=1e-6)
    assert max(abs(g).max() for g in at_end[1:]) < 1e-4
    assert params[1].get_value().dtype == "float32"
    np.testing.assert_allclose(result.x[:6], params[0].get_value().ravel(), rtol=1e-6)


def test_batches_are_averaged():
    cost, params, inputs = logistic()
    whole = tg.optim.minimize_scipy(cost, params, inputs)
    cost, params, inputs = logistic()
    x, y = inputs
    batches = [{x: DATA[i : i + 20], y: TARGET[i : i + 20]} for i in (0, 20, 40)]
    parts = tg.optim.minimize_scipy(cost, params, batches)
    assert abs(whole.fun - parts.fun) < 1e-6


def test_callback_sees_the_parameters():
    cost, params, inputs = logistic()
    seen = []

    def callback(vector):
        np.testing.assert_allclose(params[0].get_value().ravel(), vector[:6])
        seen.append(vector)
        if len(seen) == 3:
            raise StopIteration

    result = tg.optim.minimize_scipy(cost, params, inputs, method="L-BFGS-B", callback=callback)
    assert len(seen) == 3 == result.nit


def test_givens_and_options():
    cost, params, inputs = logistic()
    x, y = inputs
    result = tg.optim.minimize_scipy(
        cost, params, givens={x: T.constant(DATA), y: T.constant(TARGET)}, method="CG", options={"maxiter": 2}
    )
    assert result.nit == 2
    bounded = tg.optim.minimize_scipy(cost, params, inputs, bounds=[(-0.1, 0.1)] * 8)
    assert abs(bounded.x).max() <= 0.1


def test_a_failure_leaves_everything_as_it_was():
    cost, params, inputs = logistic()

    def callback(vector):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError):
        tg.optim.minimize_scipy(cost, params, inputs, callback=callback)
    assert not params[0].get_value().any()
    assert not params[1].get_value().any()


def test_a_gradient_that_misses_data():
    w = tg.shared(2.0)
    tg.optim.minimize_scipy((w - 3) ** 2, [w])
    np.testing.assert_allclose(w.get_value(), 3.0)


def test_what_cannot_be_varied():
    x = T.dscalar("x")
    w = tg.shared(1.0)
    for params in ([], [x], [tg.shared(3)], [w, w]):
        with pytest.raises(InputError):
            tg.optim.minimize_scipy(w**2, params)
    with pytest.raises(InputError):
        tg.optim.minimize_scipy(w**2, [w], [])
