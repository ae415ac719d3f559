"""Jacobian-vector products, Jacobians and Hessians, against finite differences and against each other."""

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.batching import _RULES
from tinygraph.errors import DisconnectedInputError, DtypeError, GradientError, NullTypeGradError
from tinygraph.graph import toposort
from tinygraph.ops.loop import Loop

RNG = np.random.default_rng(0)
H = 1e-6

#: name -> (expression of a 3×4 matrix x and a 4-vector w, whether the Jacobian needs a loop)
EXPRESSIONS = {
    "elementwise": (lambda x, w: T.tanh(x * w) + x**2, False),
    "broadcast": (lambda x, w: w.dimshuffle("x", 0) * T.exp(x[:, :1]), False),
    "matmul": (T.dot, False),
    "matmul 2-2": (lambda x, w: T.dot(x, x.T), False),
    "vector-matrix": (lambda x, w: T.dot(w, x.T), False),
    "stack": (lambda x, w: T.matmul(T.stack([x, 2 * x]), T.stack([x.T, x.T + 1])), False),
    "stack-vector": (lambda x, w: T.matmul(T.stack([x, 2 * x]), w), False),
    "vector-stack": (lambda x, w: T.matmul(w, T.stack([x.T, x.T * x.T])), False),
    "stack, broadcast": (lambda x, w: T.matmul(x, T.stack([x.T, x.T * x.T])), False),
    "tensordot": (lambda x, w: T.tensordot(T.stack([x, x**2]), x, [[2, 1], [1, 0]]), False),
    "batched_dot": (lambda x, w: T.batched_dot(x, T.stack([x, x * w, x + w], axis=2)), False),
    "outer": (lambda x, w: T.outer(w, w), False),
    "inner": (lambda x, w: w.dot(w) * w, False),
    "sum": (lambda x, w: (x * w).sum(axis=0, keepdims=True), False),
    "mean, var": (lambda x, w: T.stack([x.mean(), x.var()]), False),
    "prod": (lambda x, w: x.prod(axis=1), False),
    "max": (lambda x, w: x.max(axis=1), False),
    "reshape": (lambda x, w: T.sqr(x).reshape((2, 6)), False),
    "flatten": (lambda x, w: T.sqr(x).flatten(), False),
    "dimshuffle": (lambda x, w: T.sqr(x).dimshuffle(1, "x", 0), False),
    "softmax": (lambda x, w: T.nnet.softmax(x * w), False),
    "logsoftmax": (lambda x, w: T.nnet.logsoftmax(x) * w, False),
    "logsumexp": (lambda x, w: T.logsumexp(x, axis=0), False),
    "slices": (lambda x, w: x[::2, 1:] * w[1:], False),
    "rows": (lambda x, w: x[[0, 2, 0]] * w, False),
    "pairs": (lambda x, w: x[[0, 1], [3, 3]] ** 2, False),
    "separated": (lambda x, w: T.stack([x, x**2])[[0, 1], :, [2, 0]], True),
    "element": (lambda x, w: x[1] * x[1, 2], False),
    "set_subtensor": (lambda x, w: T.set_subtensor(x[1], T.exp(w)), False),
    "inc_subtensor": (lambda x, w: T.inc_subtensor(x[[0, 0]], w), False),
    "join, split": (lambda x, w: T.concatenate([x, x * w], axis=1), False),
    "cumsum": (lambda x, w: T.cumsum(x * w, axis=1), False),
    "cumprod": (lambda x, w: T.cumprod(x, axis=1), False),
    "sort": (lambda x, w: T.sort(x * 3, axis=1), False),
    "diagonal": (lambda x, w: T.diag(T.dot(x, x.T)), False),
    "diag": (lambda x, w: T.diag(w**2), False),
    "switch": (lambda x, w: T.switch(x > 0, T.sqrt(abs(x)), w), False),
    "clip": (lambda x, w: T.clip(x, -0.5, w), False),
    "ifelse": (lambda x, w: tg.ifelse.ifelse(w.sum() > 1e9, x, x * w), False),
    "inverse": (lambda x, w: T.nlinalg.matrix_inverse(T.dot(x, x.T) + 3 * T.eye(3)), False),
    "repeat": (lambda x, w: T.repeat(x, [1, 0, 2], axis=0), True),
    "cast": (lambda x, w: T.cast(T.cast(x * w, "float64"), "float64"), False),
    "specify_shape": (lambda x, w: T.specify_shape(x, (3, 4)) ** 2, False),
    "zero": (lambda x, w: T.ones_like(w) + 0 * w, False),
}


@pytest.fixture(params=EXPRESSIONS)
def case(request):
    """Inputs, an expression, values and the Jacobians by central differences; and whether a loop is needed."""
    build, looped = EXPRESSIONS[request.param]
    x, w = T.dmatrix("x"), T.dvector("w")
    expression = build(x, w)
    values = [RNG.normal(size=(3, 4)), RNG.normal(size=4)]
    f = tg.function([x, w], expression, on_unused_input="ignore")
    jacobians = []
    for i, value in enumerate(values):
        columns = []
        for k in range(value.size):
            step = np.zeros(value.size)
            step[k] = H
            ends = [[v if j != i else v + s * step.reshape(v.shape) for j, v in enumerate(values)] for s in (1, -1)]
            columns.append((f(*ends[0]) - f(*ends[1])) / (2 * H))
        jacobians.append(np.stack(columns, axis=-1).reshape(np.shape(f(*values)) + value.shape))
    return [x, w], expression, values, jacobians, looped


def test_jacobian(case):
    inputs, expression, values, expected, looped = case
    made = tg.gradient.jacobian(expression, inputs, disconnected_inputs="ignore")
    for got, want in zip(tg.function(inputs, made, on_unused_input="ignore")(*values), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert any(isinstance(node.op, Loop) for node in toposort(made)) == looped


def test_rop(case):
    inputs, expression, values, jacobians, _ = case
    points = [v.type() for v in inputs]
    made = tg.Rop(expression, inputs, points, disconnected_outputs="ignore")
    directions = [RNG.normal(size=v.shape) for v in values]
    expected = sum(np.tensordot(j, d, axes=d.ndim) for j, d in zip(jacobians, directions, strict=True))
    got = tg.function([*inputs, *points], made, on_unused_input="ignore")(*values, *directions)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_every_rule_for_batches_is_exercised():
    seen = set()
    x, w = T.dmatrix("x"), T.dvector("w")
    for build, _ in EXPRESSIONS.values():
        for node in toposort(tg.gradient.jacobian(build(x, w), [x, w], disconnected_inputs="ignore")):
            seen.update(type(node.op).__mro__)
    lacking = {kind.__name__ for kind in _RULES} - {kind.__name__ for kind in seen}
    assert lacking <= {"PassThrough", "ArgReduce", "ArgSort", "Softmax", "LogSoftmax", "LogSumExp"}  # only in values


def test_jacobian_of_a_scalar_is_its_gradient():
    x = T.dvector("x")
    np.testing.assert_array_equal(tg.gradient.jacobian((x**2).sum(), x).eval({x: [1.0, 3.0]}), [2.0, 6.0])


def test_jacobian_keeps_the_form_of_wrt():
    x, y = T.dvectors("x", "y")
    assert isinstance(T.jacobian(x * y, (x, y)), tuple)
    assert isinstance(T.jacobian(x * y, [x, y]), list)
    assert T.jacobian(x * y, x).ndim == 2


def test_jacobian_of_nothing():
    x = T.dvector("x")
    assert T.jacobian(x**2, x).eval({x: []}).shape == (0, 0)


def test_jacobian_holds_no_loop_and_one_pass_for_a_net():
    x, w1, w2 = T.dvector("x"), T.dmatrix("w1"), T.dmatrix("w2")
    y = T.nnet.softmax(T.dot(T.tanh(T.dot(x, w1)), w2))
    order = toposort([T.jacobian(y, x)])
    assert not any(isinstance(node.op, Loop) for node in order)
    assert len(order) < 40


def test_jacobian_through_a_scan():
    x = T.dvector("x")
    states, _ = tg.scan(lambda previous: previous * x, outputs_info=[T.ones_like(x)], n_steps=3)
    np.testing.assert_allclose(T.jacobian(states[-1], x).eval({x: [1.0, 2.0]}), np.diag([3.0, 12.0]))


def test_rop_through_a_scan():
    x, v = T.dvectors("x", "v")
    states, _ = tg.scan(lambda previous: previous * x, outputs_info=[T.ones_like(x)], n_steps=3)
    got = tg.Rop(states[-1], x, v).eval({x: [1.0, 2.0], v: [1.0, 10.0]})
    np.testing.assert_allclose(got, [3.0, 120.0])


def test_jacobian_refuses_what_has_no_derivative():
    x = T.ivector("x")
    with pytest.raises(GradientError):
        T.jacobian(x, x)
    with pytest.raises(GradientError):
        T.jacobian([1.0], x)


def test_disconnected_jacobian():
    x, y = T.dvectors("x", "y")
    with pytest.raises(DisconnectedInputError):
        T.jacobian(x**2, y)
    got = T.jacobian(x**2, y, disconnected_inputs="ignore").eval({x: [1.0, 2.0], y: [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(got, np.zeros((2, 3)))


def test_hessian():
    x = T.dvector("x")
    got = T.hessian(T.sin(x).prod(), x).eval({x: [0.5, 1.0]})
    s, c = np.sin([0.5, 1.0]), np.cos([0.5, 1.0])
    np.testing.assert_allclose(got, [[-s[0] * s[1], c[0] * c[1]], [c[0] * c[1], -s[0] * s[1]]])


def test_hessian_of_a_matrix_and_of_a_linear_cost():
    w = T.dmatrix("w")
    value = RNG.normal(size=(2, 3))
    np.testing.assert_allclose(T.hessian((w**3).sum(), w).eval({w: value}).reshape(6, 6), np.diag(6 * value.ravel()))
    np.testing.assert_array_equal(T.hessian(w.sum(), w).eval({w: value}), np.zeros((2, 3, 2, 3)))


def test_hessian_vector_product_mixes_variables():
    x, y, u, v = T.dscalars("x", "y", "u", "v")
    products = tg.gradient.hessian_vector_product(x**2 * y, [x, y], [u, v])
    got = tg.function([x, y, u, v], products)(3.0, 5.0, 1.0, 10.0)
    np.testing.assert_allclose(got, [2 * 5 + 10 * 2 * 3, 2 * 3])


def test_hessian_vector_product_is_rop_of_the_gradient():
    x, v = T.dvectors("x", "v")
    cost = T.exp(T.sqr(x).sum() / 3)
    both = [tg.gradient.hessian_vector_product(cost, x, v), tg.Rop(tg.grad(cost, x), x, v)]
    a, b = tg.function([x, v], both)([1.0, 2.0], [0.5, -1.0])
    np.testing.assert_allclose(a, b)


def test_gauss_newton_product():
    x, v = T.dvectors("x", "v")
    f = T.stack([x[0] * x[1], T.sin(x[0])])
    product = tg.Lop(f, x, tg.Rop(f, x, v))
    j = np.array([[2.0, 1.0], [np.cos(1.0), 0.0]])
    np.testing.assert_allclose(product.eval({x: [1.0, 2.0], v: [1.0, -1.0]}), j.T @ j @ [1.0, -1.0])


def test_rop_forms():
    x, v = T.dvectors("x", "v")
    assert isinstance(tg.Rop([x, x**2], [x], [v]), list)
    assert isinstance(tg.Rop((x,), x, v), tuple)
    assert tg.Rop(x, x, v) is v
    assert not any(leaf not in (x, v) for leaf in tg.graph.graph_inputs([tg.Rop(T.exp(x), x, v)]) if leaf.name)


def test_rop_checks_its_directions():
    x, v, m = T.dvector("x"), T.dvector("v"), T.dmatrix("m")
    with pytest.raises(GradientError) as err:
        tg.Rop(x, [x], [v, v])
    assert err.value.actual == "2"
    with pytest.raises(GradientError):
        tg.Rop(x, x, m)
    with pytest.raises(DtypeError):
        tg.Rop(x, T.ivector(), v)
    with pytest.raises(ValueError, match="disconnected_outputs"):
        tg.Rop(x, x, v, disconnected_outputs="no")


def test_rop_of_what_does_not_move():
    x, v, y = T.dvectors("x", "v", "y")
    with pytest.raises(DisconnectedInputError):
        tg.Rop(y, x, v)
    with pytest.warns(UserWarning, match="does not depend"):
        zero = tg.Rop(y, x, v, disconnected_outputs="warn")
    np.testing.assert_array_equal(zero.eval({y: [1.0, 2.0]}), [0.0, 0.0])
    assert tg.Rop(y, x, v, disconnected_outputs="ignore", return_disconnected="None") is None
    made = tg.Rop(y, x, v, disconnected_outputs="ignore", return_disconnected="Disconnected")
    assert isinstance(made.type, tg.gradient.DisconnectedType)
    with pytest.raises(DisconnectedInputError):
        tg.Rop(T.cast(x, "int64"), x, v)


def test_rop_in_lanes_that_are_not_chosen():
    x, v = T.dvectors("x", "v")
    safe = T.switch(x > 0, T.log(x), 0)
    np.testing.assert_array_equal(tg.Rop(safe, x, v).eval({x: [0.0, 2.0], v: [1.0, 1.0]}), [0.0, 0.5])
    np.testing.assert_array_equal(tg.Rop(T.maximum(T.sqrt(x), 1), x, v).eval({x: [0.0, 4.0], v: [1.0, 1.0]}), [0, 0.25])


def test_rop_through_operations_that_change_gradients():
    x, v = T.dvectors("x", "v")
    clipped = tg.gradient.grad_clip(x, -1, 1)
    np.testing.assert_array_equal(tg.Rop(clipped, x, v).eval({x: [0.0], v: [5.0]}), [5.0])
    np.testing.assert_array_equal(tg.Rop(tg.gradient.zero_grad(x), x, v).eval({x: [0.0]}), [0.0])
    with pytest.raises(DisconnectedInputError):
        tg.Rop(tg.gradient.disconnected_grad(x), x, v)
    with pytest.raises(NullTypeGradError):
        tg.Rop(tg.gradient.undefined_grad(x), x, v)


def test_rop_in_float32_stays_there():
    x, v = T.fvector("x"), T.dvector("v")
    assert tg.Rop(T.exp(x), x, v).dtype == "float32"


def test_rop_of_a_long_chain_takes_linear_time():
    x, v = T.dscalars("x", "v")
    y = x
    for _ in range(3000):
        y = T.tanh(y) + T.stack([y, y]).sum() * 0.1
    assert np.isfinite(tg.Rop(y, x, v).eval({x: 0.1, v: 1.0}))


def test_gradients_that_are_not_there():
    op = "op"
    undefined = tg.gradient.grad_undefined(op, 0, None, "no limit")
    assert "no limit" in undefined.why.problem
    assert "not implemented" in tg.gradient.grad_not_implemented(op, 1, None).why.problem


def test_subgraph_grad_in_two_pieces():
    x, w1, w2 = T.dscalars("x", "w1", "w2")
    h = T.tanh(w1 * x)
    cost = (w2 * h) ** 2
    (d2,), (dh,) = tg.gradient.subgraph_grad([w2], [h], cost=cost)
    (d1,), _, start, own = tg.gradient.subgraph_grad([w1], [x], start={h: dh}, cost=w1**2, details=True)
    want = tg.grad(cost + w1**2, [w1, w2])
    got = tg.function([x, w1, w2], [d1, d2, *want])(0.3, 0.5, 2.0)
    np.testing.assert_allclose(got[:2], got[2:])
    assert len(start) == len(own) == 2
    with pytest.raises(GradientError):
        tg.gradient.subgraph_grad([w1], [x])


def test_a_derivative_uses_what_its_source_depends_on():
    x, v = T.dscalars("x", "v")
    y = T.dvector("y")
    assert tg.function([x], tg.grad(3 * x, x))(1.0) == 3.0
    assert tg.function([x], tg.grad(tg.grad(3 * x**2, x), x) + 0)(1.0) == 6.0
    assert tg.function([x, v], tg.Rop(3 * x, x, v))(1.0, 2.0) == 6.0
    np.testing.assert_array_equal(tg.function([y], T.jacobian(2 * y, y))([1.0, 1.0]), 2 * np.eye(2))
    assert tg.function([v], tg.grad(3 * x, v, disconnected_inputs="ignore"))(1.0) == 0.0
    assert not tg.function([v], T.jacobian(y, v, disconnected_inputs="ignore").sum(), givens={y: [1.0]})(1.0)
    with pytest.raises(tg.errors.UnusedInputError):
        tg.function([x, v], tg.grad(3 * x, x))


def test_rop_of_a_gradient_that_is_constant():
    x, v = T.dvectors("x", "v")
    np.testing.assert_array_equal(tg.Rop(tg.grad((2 * x).sum(), x), x, v).eval({x: [1.0, 2.0]}), [0.0, 0.0])
