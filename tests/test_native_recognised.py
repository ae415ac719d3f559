"""What lowering recognises by what made its operands: products with diagonal matrices, exponentials that are there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.program.steps import Product

SPECIAL = st.sampled_from([0.0, -0.0, 1.0, -2.5, 30.0, 1000.0, -1000.0, np.inf, -np.inf, np.nan])


def both(inputs, outputs, *values):
    """What compiled and interpreted functions give, and the compiled one's plan."""
    f = tg.function(inputs, outputs)
    with tg.config.change_flags(linker="reference"):
        g = tg.function(inputs, outputs)
    return f(*values), g(*values), f.stats()[-1].executable.plan


def _products(plan):
    return sum(isinstance(step, Product) for step in plan.steps)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 9), st.integers(1, 9), st.booleans(), st.booleans(),
    st.sampled_from(["none", "row", "column", "number"]),
    st.sampled_from(["dot", "tensordot"]), st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_products_with_diagonal_matrices(n, m, first, turned, scale, how, dtype):
    rng = np.random.default_rng(n + 10 * m)
    v, x = T.vector(dtype=dtype), T.matrix(dtype=dtype)
    diagonal = T.eq(T.arange(n).dimshuffle(0, "x"), T.arange(n)).astype(dtype)
    factor = {"row": v, "column": v.dimshuffle(0, "x"), "number": v[0], "none": None}[scale]
    if factor is not None:
        diagonal = diagonal * factor
    matrix = x.T if turned else x
    if how == "dot":
        out = T.dot(diagonal, matrix) if first else T.dot(matrix, diagonal)
    else:
        # The other axis of the diagonal matrix: it is the same.
        out = T.tensordot(diagonal, matrix, [[0], [0]]) if first else T.tensordot(matrix, diagonal, [[1], [1]])
    shape = (n, m) if first else (m, n)
    value = rng.standard_normal(shape[::-1] if turned else shape).astype(dtype)
    got, want, plan = both([v, x], [out, out.T * 2 + v[0]], rng.standard_normal(n).astype(dtype), value)
    assert _products(plan) == 0
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_a_matrix_that_only_looks_diagonal_is_multiplied():
    x = T.fmatrix()
    off = T.eq(T.arange(1, 7).dimshuffle(0, "x"), T.arange(6)).astype("float32")
    both_ways = T.eq(T.arange(6), T.arange(6)).astype("float32") * T.ones((6, 1), "float32")
    value = np.random.default_rng(0).standard_normal((6, 6)).astype("float32")
    got, want, plan = both([x], [T.dot(x, off), T.dot(x, both_ways)], value)
    assert _products(plan) + sum("sum" in str(getattr(s, "nest", "")) for s in plan.steps) >= 1
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_jacobian_of_layers_has_one_product_for_each_but_the_last():
    rng = np.random.default_rng(0)
    a, b = (tg.shared(rng.standard_normal((30, 30)) / 5) for _ in range(2))
    x = T.dvector()
    y = T.tanh(a.dot(T.tanh(b.dot(x))))
    value = rng.standard_normal(30)
    got, want, plan = both([x], tg.gradient.jacobian(y, x), value)
    matrices = [s for s in plan.steps if isinstance(s, Product) and 1 not in s.out.shape[1:]]
    assert len(matrices) == 1
    np.testing.assert_allclose(got, want, rtol=1e-12)
    inner, outer = np.tanh(b.get_value() @ value), np.tanh(a.get_value() @ np.tanh(b.get_value() @ value))
    by_hand = (1 - outer**2)[:, None] * a.get_value() @ ((1 - inner**2)[:, None] * b.get_value())
    np.testing.assert_allclose(got, by_hand, rtol=1e-10)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_exponentials_less_the_logarithm_of_their_sum(data):
    rows, columns = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([1, 2, 5, 17, 70]))
    axis = data.draw(st.sampled_from([0, 1, (0, 1)]))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    value = np.random.default_rng(0).standard_normal((rows, columns)).astype(dtype) * 3
    for _ in range(data.draw(st.integers(0, 3))):
        i, j = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
        value[i, j] = data.draw(SPECIAL)
    x = T.matrix(dtype=dtype)
    kept = data.draw(st.booleans())
    total = T.logsumexp(x, axis=axis, keepdims=kept)
    wide = total if kept or axis == 0 else total.dimshuffle(0, "x") if axis == 1 else total
    logs = T.nnet.logsoftmax(x)
    got, want, plan = both([x], [T.exp(x - wide), total, T.exp(logs), logs], value)
    exps = [sum(n.op == "exp" for n in s.nest.nodes) for s in plan.steps if hasattr(s, "nest")]
    assert sum(exps) <= 3
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4 if dtype == "float32" else 1e-12, atol=4 * np.finfo(dtype).eps)


def test_logsumexp_and_its_gradient_take_one_exponential():
    x = T.fmatrix()
    cost = T.log(T.exp(x).sum(axis=1)).mean()
    value = np.random.default_rng(0).standard_normal((20, 300)).astype("float32")
    got, want, plan = both([x], [cost, tg.grad(cost, x)], value)
    assert sum(n.op == "exp" for s in plan.steps for n in s.nest.nodes) == 1
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_nothing_to_add_up(shape):
    x = T.dmatrix()
    f = tg.function([x], T.exp(x - T.logsumexp(x, axis=1, keepdims=True)))
    assert f(np.zeros(shape)).shape == shape


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_sums_of_pieces(data):
    """What slices of one value leave behind as its gradient, and what else is added to zeros."""
    n, m = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    axis = data.draw(st.integers(0, 1))
    x = T.matrix(dtype="float32")
    total = zeros = T.zeros_like(x)
    for _ in range(data.draw(st.integers(1, 4))):
        start, stop = sorted(data.draw(st.lists(st.integers(-m, m), min_size=2, max_size=2)))
        cut = (slice(None), slice(start, stop)) if axis else (slice(start, stop), slice(None))
        piece = zeros[cut]
        new = T.inc_subtensor(piece, T.tanh(x[cut])) if data.draw(st.booleans()) else T.set_subtensor(piece, x[cut])
        total = total + new if data.draw(st.booleans()) else new + total
    value = np.random.default_rng(n).standard_normal((n, m) if axis else (m, n)).astype("float32")
    got, want, _ = both([x], [total, total.sum(axis=0), T.dot(total.T, x)], value)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_gradients_of_gates_are_written_where_they_belong():
    x = T.fmatrix()
    gates = [x[:, 4 * i : 4 * i + 4] for i in range(4)]
    cost = (T.nnet.sigmoid(gates[0]) * T.tanh(gates[1]) + T.nnet.sigmoid(gates[2]) * gates[3]).sum()
    value = np.random.default_rng(0).standard_normal((3, 16)).astype("float32")
    got, want, plan = both([x], [cost, tg.grad(cost, x)], value)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    # Each piece is stored once; no matrix of zeros, and none of sums, is made.
    stores = [s.extents for s in plan.steps if hasattr(s, "nest") for _ in s.nest.stores if s.elements >= 48]
    assert stores == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(1, 4), st.booleans(), st.booleans())
def test_products_and_sums_of_what_is_backwards(turned, n, wide, second):
    x, y = T.tensor3(dtype="float32"), T.tensor3(dtype="float32")
    steps = [slice(None, None, -1) if b else slice(None) for b in turned]
    left, right = x[steps[0], steps[1]], y[steps[2], steps[3]]
    product_ = T.tensordot(left, right, [[0, 1], [0, 1]])
    rng = np.random.default_rng(n)
    values = rng.standard_normal((3, n, 7 if wide else 2)), rng.standard_normal((3, n, 2 if wide else 7))
    axes = (0, 1) if second else (1,)
    outputs = [product_, left.sum(axis=axes), right.max(axis=axes), T.tensordot(left[:, :, ::-1], right, [[1], [1]])]
    got, want, _ = both([x, y], outputs, *(v.astype("float32") for v in values))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
