"""grad: options, masks, errors, and derivatives of any order."""

from collections import OrderedDict

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DisconnectedInputError, GradientError, NullTypeGradError
from tinygraph.gradient import (
    DisconnectedType,
    NullGradient,
    disconnected_grad,
    grad_clip,
    grad_scale,
    undefined_grad,
    zero_grad,
)

MODES = ("FAST_RUN", "FAST_COMPILE")


def value(expression, **given):
    names = {v.name: v for v in tg.graph.graph_inputs([expression]) if v.name in given}
    return tg.function(list(names.values()), expression)(*[given[name] for name in names])


def test_results_take_the_form_of_wrt():
    x, y = T.dscalars("x", "y")
    cost = x * y
    assert isinstance(tg.grad(cost, [x, y]), list)
    assert isinstance(tg.grad(cost, (x, y)), tuple)
    assert float(value(tg.grad(cost, x), y=3.0)) == 3.0


def test_gradients_are_named():
    x = T.dscalar("x")
    cost = x * T.dscalar("y")
    cost.name = "cost"
    assert tg.grad(cost**2, x).name is None
    cost = x**2
    cost.name = "cost"
    assert tg.grad(cost, x).name == "dcost/dx"


def test_gradient_of_an_intermediate_result():
    x = T.dvector("x")
    h = T.tanh(x)
    np.testing.assert_allclose(value(tg.grad((h**2).sum(), h), x=[0.5, 1.0]), 2 * np.tanh([0.5, 1.0]))


def test_a_variable_used_many_times():
    x = T.dscalar("x")
    total = x
    for _ in range(9):
        total = total + x
    assert value(tg.grad(total * x, x), x=2.0) == 40.0


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_higher_orders(order):
    x = T.dscalar("x")
    y, expected = T.exp(2 * x) + x**5, None
    for _ in range(order):
        y = tg.grad(y, x)
    expected = 2**order * np.exp(1.0) + np.prod(5 - np.arange(order)) * 0.5 ** (5 - order)
    np.testing.assert_allclose(value(y, x=0.5), expected)


def test_unknown_extents_of_one_are_summed_in_the_gradient():
    x, y = T.dmatrices("x", "y")
    f = tg.function([x, y], tg.grad((x * y).sum(), [x, y]))
    a, b = np.arange(3.0)[None, :], np.arange(6.0).reshape(2, 3)
    gx, gy = f(a, b)
    np.testing.assert_allclose(gx, b.sum(0, keepdims=True))
    np.testing.assert_allclose(gy, np.broadcast_to(a, (2, 3)))
    gx, gy = f(b, b)
    np.testing.assert_allclose(gx, b)


def test_known_grads():
    x = T.dvector("x")
    h = x**2
    g = tg.grad(None, x, known_grads=OrderedDict({h: T.constant([1.0, 10.0])}))
    np.testing.assert_allclose(value(g, x=[3.0, 4.0]), [6.0, 80.0])
    both = tg.grad(h.sum(), x, known_grads={h: T.constant([1.0, 10.0])})
    np.testing.assert_allclose(value(both, x=[3.0, 4.0]), [12.0, 88.0])


def test_lop_is_the_vector_jacobian_product():
    x, v = T.dvectors("x", "v")
    w = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(tg.Lop(T.dot(w, x), x, v).eval({v: [1.0, 2.0]}), w.T @ [1.0, 2.0])


def test_consider_constant_stops_the_search():
    x = T.dscalar("x")
    h = x**2
    assert value(tg.grad(h * x, x, consider_constant=[h]), x=3.0) == 9.0


# --- operations that change gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("through", "expected"),
    [
        (disconnected_grad, 3.0),
        (zero_grad, 3.0),
        (lambda v: grad_clip(v, -0.5, 0.5), 3.5),
        (lambda v: grad_scale(v, -2.0), 3.0 - 6.0),
    ],
)
def test_pass_through_operations(through, expected):
    x = T.dscalar("x")
    cost = x * through(x)
    assert value(cost, x=3.0) == 9.0
    assert value(tg.grad(cost, x), x=3.0) == expected


def test_zero_grad_stays_connected():
    x = T.dscalar("x")
    assert value(tg.grad(zero_grad(x), x), x=1.0) == 0
    with pytest.raises(DisconnectedInputError):
        tg.grad(disconnected_grad(x), x)


# --- masks ------------------------------------------------------------------------------------------------------------

v = T.dvector("v")
MASKED = {
    "switch sqrt": (T.switch(v > 0, T.sqrt(v), 0), [0, 4.0, 0], [0, 0.25, 0]),
    "switch log": (T.switch(v > 0, T.log(v), 0), [0, 4.0, -1], [0, 0.25, 0]),
    "where": (T.where(T.isnan(v), 0.0, v**3), [np.nan, 2.0, 1.0], [0, 12.0, 3.0]),
    "where nan": (T.where(T.isnan(v), 0.0, T.exp(T.tanh(v) * v)), [np.nan, 0.0, np.nan], [0, 0.0, 0]),
    "maximum": (T.maximum(T.log(v), 0.0), [0, 0.5, 2.0], [0, 0, 0.5]),
    "minimum": (T.minimum(1 / v, 3.0), [0.0, 0.1, 2.0], [0, 0, -0.25]),
    "clip": (T.clip(1 / v, -1, 1), [0.0, 0.1, 2.0], [0, 0, -0.25]),
    "relu": (T.nnet.relu(T.log(v)), [0.0, 0.1, 2.0], [0, 0, 0.5]),
    "relu of a quotient": (T.nnet.relu(-1 / v), [0.0, 0.5, -2.0], [0, 0, 0.25]),
    "chain": (T.switch(v > 0, T.sqrt(T.log(v) * 2 + 1) ** 0.5, 0.0), [0.0, 1.0, -1.0], [0, 0.5, 0]),
    "nested": (T.switch(v > 1, T.switch(v > 2, T.sqrt(v - 2), 0), T.log(v)), [0.5, 2.0, 3.0], [2.0, 0, 0.5]),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MASKED)
def test_masked_lanes_are_exactly_zero(name, mode):
    expression, at, expected = MASKED[name]
    f = tg.function([v], tg.grad(expression.sum(), v), mode=mode)
    np.testing.assert_allclose(f(np.array(at)), expected, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_masks_follow_reductions_shapes_and_broadcasting(mode):
    m = T.dmatrix("m")
    row = T.log(m).sum(axis=1)
    expressions = [
        T.switch(m.min(axis=1) > 0, row, 0).sum(),
        T.switch((m.min(axis=1) > 0).dimshuffle(0, "x"), T.log(m), 0).sum(),
        T.switch(m.flatten() > 0, T.log(m).flatten(), 0).sum(),
        T.switch(m.T > 0, T.log(m).T, 0).sum(),
        T.switch(m[1:] > 0, T.log(m)[1:], 0).sum(),
    ]
    at = np.array([[0.0, 1.0], [2.0, 4.0]])
    gradients = tg.function([m], [tg.grad(e, m) for e in expressions], mode=mode)(at)
    kept = np.array([[0, 0], [0.5, 0.25]])
    np.testing.assert_allclose(gradients[0], kept)
    np.testing.assert_allclose(gradients[1], kept)
    np.testing.assert_allclose(gradients[2], [[0, 1], [0.5, 0.25]])
    np.testing.assert_allclose(gradients[3], [[0, 1], [0.5, 0.25]])
    np.testing.assert_allclose(gradients[4], kept)


def test_a_broadcast_lane_is_masked_only_where_every_copy_is():
    c, x = T.TensorType("bool", (None,))("c"), T.dscalar("x")
    f = tg.function([c, x], tg.grad(T.switch(c, T.sqrt(x), 0).sum(), x))
    assert f(np.array([False, False]), 0.0) == 0
    assert f(np.array([False, True, True]), 4.0) == 0.5


@pytest.mark.parametrize("mode", MODES)
def test_elements_that_are_not_the_maximum_are_masked(mode):
    m = T.dmatrix("m")
    f = tg.function([m], [tg.grad(T.sqrt(m).max(), m), tg.grad(T.log(m).max(axis=1).sum(), m)], mode=mode)
    of_max, of_rows = f(np.array([[0.0, 4.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(of_max, [[0, 0.25], [0, 0]])
    np.testing.assert_array_equal(of_rows, [[0, 0.25], [0, 1]])


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives_are_masked_too(mode):
    cost = T.switch(v > 0, v**1.5, 0).sum()
    second = tg.grad(tg.grad(cost, v).sum(), v)
    np.testing.assert_allclose(tg.function([v], second, mode=mode)(np.array([0.0, 1.0, -1.0])), [0, 0.75, 0])


@pytest.mark.parametrize("mode", MODES)
def test_norm_and_std_have_finite_gradients_at_zero(mode):
    f = tg.function([v], [tg.grad(v.norm(2), v), tg.grad(v.std(), v)], mode=mode)
    for gradient in f(np.zeros(3)):
        np.testing.assert_array_equal(gradient, 0)
    gradient, _ = f(np.array([3.0, 4.0, 0.0]))
    np.testing.assert_allclose(gradient, [0.6, 0.8, 0])


# --- kinks as Theano defines them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "at", "expected"),
    [
        (abs(v).sum(), [0.0, -0.0, 2.0], [0, 0, 1]),
        (T.maximum(v, 1.0).sum(), [1.0, 2.0, 0.0], [1, 1, 0]),
        (T.maximum(1.0, v).sum(), [1.0, 2.0, 0.0], [0, 1, 0]),
        (T.minimum(v, 1.0).sum(), [1.0, 2.0, 0.0], [1, 0, 1]),
        (T.clip(v, 0, 1).sum(), [0.0, 1.0, 2.0], [1, 1, 0]),
        (T.nnet.relu(v).sum(), [0.0, 1.0, -1.0], [0.5, 1, 0]),
        (T.nnet.relu(v, 0.1).sum(), [0.0, 1.0, -1.0], [0.55, 1, 0.1]),
        (v.max(), [3.0, 3.0, 1.0], [1, 1, 0]),
        (v.min(), [3.0, 1.0, 1.0], [0, 1, 1]),
        (T.sgn(v).sum() + T.floor(v).sum(), [0.0, 1.0, 2.5], [0, 0, 0]),
    ],
)
def test_subgradients(expression, at, expected):
    np.testing.assert_allclose(tg.function([v], tg.grad(expression, v))(np.array(at)), expected)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_cost_must_be_a_float_scalar():
    x = T.dvector("x")
    with pytest.raises(GradientError, match=r"float scalar[\s\S]*float64 \(\?,\)"):
        tg.grad(x * 2, x)
    with pytest.raises(GradientError, match="float scalar"):
        tg.grad(T.iscalar("i") * 2, x)
    with pytest.raises(GradientError, match="cost or known_grads"):
        tg.grad(None, x)
    with pytest.raises(TypeError, match="symbolic variable"):
        tg.grad(3.0, x)


def test_integer_wrt_is_an_error_with_the_users_line():
    k = T.iscalar("k")
    with pytest.raises(GradientError, match=r'no floats[\s\S]*T.iscalar\("k"\)'):
        tg.grad(T.dscalar("x") * k, k)
    with pytest.raises(TypeError, match="wrt must be"):
        tg.grad(T.dscalar("x"), 3)


@pytest.mark.parametrize(
    ("cut", "name"),
    [
        (lambda x: x.shape[0] * 1.0, "shape"),
        (lambda x: T.argmax(x) * 1.0, "argmax"),
        (lambda x: (x > 0).sum() * 1.0, "gt"),
        (lambda x: T.cast(x, "int32").sum() * 1.0, "cast to int32"),
        (lambda x: disconnected_grad(x * 2).sum(), "disconnected_grad"),
    ],
)
def test_disconnected_input_names_the_operation_that_cuts(cut, name):
    x = T.dvector("x")
    with pytest.raises(DisconnectedInputError, match=f"{name} cuts the path"):
        tg.grad(cut(x), x)


def test_disconnected_input_that_does_not_occur():
    x, y = T.dscalars("x", "y")
    with pytest.raises(DisconnectedInputError, match="does not depend on y"):
        tg.grad(x**2, y)
    with pytest.warns(UserWarning, match="does not depend on y"):
        tg.grad(x**2, y, disconnected_inputs="warn")
    assert value(tg.grad(x**2, y, disconnected_inputs="ignore")) == 0
    assert tg.grad(x**2, [x, y], disconnected_inputs="ignore", return_disconnected="None")[1] is None
    out = tg.grad(x**2, y, disconnected_inputs="ignore", return_disconnected="Disconnected")
    assert isinstance(out, DisconnectedType)
    with pytest.raises(ValueError, match="must be one of"):
        tg.grad(x**2, x, disconnected_inputs="maybe")


def test_undefined_gradients():
    x = T.dscalar("x")
    cost = undefined_grad(x) * x
    with pytest.raises(NullTypeGradError, match="declared undefined"):
        tg.grad(cost, x)
    assert isinstance(tg.grad(cost, x, null_gradients="return"), NullGradient)


def test_a_wrong_vjp_is_named():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Broken(tg.Op):
        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return x * 2

        def vjp(self, inputs, outputs, cotangents):
            return [cotangents[0].sum()]

    x = T.dvector("x")
    with pytest.raises(tg.errors.ShapeError, match="vjp of broken"):
        tg.grad(Broken()(x).sum(), x)


def test_an_error_in_a_gradient_shows_the_forward_line():
    x, w = T.dvector("x"), T.dvector("w")
    h = x * w
    g = tg.grad((h**2).sum(), x)
    origin = g.owner.origin
    assert origin.forward.trace()[0].text() == "h = x * w"
    assert origin.trace()[0].text() == "g = tg.grad((h**2).sum(), x)"


def test_deep_chain_is_differentiated_without_recursion():
    x = T.dscalar("x")
    y = x
    for _ in range(5000):
        y = y * 1.0001
    np.testing.assert_allclose(value(tg.grad(y, x), x=1.0), 1.0001**5000, rtol=1e-9)
