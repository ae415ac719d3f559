"""Shape operations: what is known when the graph is built, errors, dtypes, and masks that travel through."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError, TinygraphError

X = T.dmatrix("X")
v = T.dvector("v")
n = T.lscalar("n")
K = T.tensor("float64", (2, 3, 4), name="K")
half = T.tensor("float64", (None, 3), name="half")


# --- what is known when the graph is built ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("built", "shape"),
    [
        (lambda: K.reshape((4, -1)), (4, 6)),
        (lambda: K.reshape((K.shape[0], -1)), (2, 12)),
        (lambda: half.reshape((half.shape[0], 3, 1)), (None, 3, 1)),
        (lambda: half.reshape((3, -1)), (3, None)),
        (lambda: half.flatten(2), (None, 3)),
        (lambda: T.tensor("int8", (None, 3, 4)).flatten(2), (None, 12)),
        (K.flatten, (24,)),
        (lambda: K.dimshuffle(2, "x", 0, 1), (4, 1, 2, 3)),
        (lambda: K.T, (4, 3, 2)),
        (lambda: half.T, (3, None)),
        (lambda: T.concatenate([half, half], axis=1), (None, 6)),
        (lambda: T.concatenate([half, half], axis=0), (None, 3)),
        (lambda: T.concatenate([X, half], axis=0), (None, 3)),
        (lambda: T.stack([half, X], axis=1), (None, 2, 3)),
        (lambda: T.split(K, [1, 3], 2, axis=-1)[1], (2, 3, 3)),
        (lambda: T.tile(K, (2, 1, 1, 2)), (2, 2, 3, 8)),
        (lambda: T.tile(half, (n, 2)), (None, 6)),
        (lambda: T.tile(X, K.shape[:2]), (None, None)),
        (lambda: T.repeat(K, 2, axis=1), (2, 6, 4)),
        (lambda: T.repeat(K, [1, 0, 5], axis=1), (2, 6, 4)),
        (lambda: T.repeat(half, n, axis=1), (None, None)),
        (lambda: T.roll(half, n, axis=0), (None, 3)),
        (lambda: T.flip(half, 0), (None, 3)),
        (lambda: T.diagonal(K, 1), (4, 2)),
        (lambda: T.diagonal(half), (None,)),
        (lambda: T.diag(T.ones(3), -2), (5, 5)),
        (lambda: T.specify_shape(half, (7, None)), (7, 3)),
        (lambda: T.specify_shape(X, (n, 5)), (None, 5)),
        (lambda: T.specify_shape(X, half.shape), (None, 3)),
        (lambda: T.broadcast_to(half, (n, 3)), (None, 3)),
        (lambda: T.squeeze(T.row() + T.col()), (None, None)),
        (lambda: T.squeeze(T.tensor("int8", (1, 5, 1))), (5,)),
        (lambda: T.zeros(half.shape), (None, 3)),
        (lambda: T.zeros_like(K), (2, 3, 4)),
        (lambda: T.alloc(0.0, n, K.shape[1]), (None, 3)),
        (lambda: T.arange(K.shape[2]), (4,)),
        (lambda: T.arange(2, K.shape[2] * 3, 4), (3,)),
        (lambda: T.arange(0.5, 2.0, 0.25), (6,)),
        (lambda: T.arange(n), (None,)),
        (lambda: T.linspace(0, 1, 7), (7,)),
        (lambda: T.linspace(v, v, 7), (7, None)),
        (lambda: T.eye(3, K.shape[2]), (3, 4)),
        (lambda: T.tri(n, 2), (None, 2)),
        (lambda: T.tril(K), (2, 3, 4)),
        (lambda: T.identity_like(half), (None, 3)),
        (lambda: K.shape[1:], (2,)),
    ],
)
def test_known_extents(built, shape):
    assert built().type.shape == shape


def test_shapes_have_known_values():
    assert T.shape(K).abstract.value == (2, 3, 4)
    assert T.concatenate([half.shape, K.shape]).abstract.value == (None, 3, 2, 3, 4)
    assert T.stack([K.shape[0], half.shape[1] + 1]).abstract.value == (2, 4)
    assert T.get_vector_length(T.shape(half)) == 2


def test_broadcast_values_take_no_memory():
    assert T.zeros((10**9, 10**9))[3, :2].eval().tolist() == [0, 0]
    assert T.ones_like(T.zeros((10**9, 10**9)))[3, :2].eval().tolist() == [1, 1]
    out = T.ones((2, 3)).eval()
    out[0, 0] = 5.0  # what a function returns belongs to its caller, broadcast or not
    assert out.tolist() == [[5, 1, 1], [1, 1, 1]]


# --- properties -------------------------------------------------------------------------------------------------------

tensors = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def filled(shape):
    return np.arange(float(math.prod(shape))).reshape(shape)


@given(st.data(), tensors)
def test_axes(data, shape):
    a = filled(shape)
    order = data.draw(st.permutations(range(a.ndim)))
    x = T.tensor("float64", (None,) * a.ndim)
    y = x.transpose(tuple(order)).flatten()
    np.testing.assert_array_equal(y.eval({x: a}), a.transpose(order).ravel())
    if a.ndim:
        k = data.draw(st.integers(1, a.ndim))
        kept = a.shape[: k - 1]
        np.testing.assert_array_equal(x.flatten(k).eval({x: a}), a.reshape((*kept, math.prod(a.shape[k - 1 :]))))
        source, target = (data.draw(st.integers(-a.ndim, a.ndim - 1)) for _ in range(2))
        np.testing.assert_array_equal(T.moveaxis(x, source, target).eval({x: a}), np.moveaxis(a, source, target))
        np.testing.assert_array_equal(T.flip(x, source).eval({x: a}), np.flip(a, source))


@given(st.data(), tensors)
def test_repeating(data, shape):
    a = filled(shape)
    x = T.tensor("float64", (None,) * a.ndim)
    reps = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    np.testing.assert_array_equal(T.tile(x, reps).eval({x: a}), np.tile(a, reps))
    counts = data.draw(hnp.arrays("int64", a.size, elements=st.integers(0, 3)))
    symbolic = T.lvector("counts")
    np.testing.assert_array_equal(T.repeat(x, symbolic).eval({x: a, symbolic: counts}), np.repeat(a, counts))
    shift = data.draw(st.integers(-9, 9))
    np.testing.assert_array_equal(T.roll(x, n).eval({x: a, n: shift}), np.roll(a, shift))


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-6, 6).filter(bool))
def test_integer_ranges(start, stop, step):
    expected = np.arange(start, stop, step)
    known = T.arange(start, stop, step)
    assert known.type == T.TensorType("int64", expected.shape)
    np.testing.assert_array_equal(known.eval(), expected)
    a, b, c = T.lscalars("a", "b", "c")
    np.testing.assert_array_equal(T.arange(a, b, c).eval({a: start, b: stop, c: step}), expected)


numbers = st.floats(-10, 10, allow_nan=False)


@given(numbers, numbers, st.floats(0.1, 3), st.booleans())
def test_float_ranges(start, stop, step, down):
    step = -step if down else step
    expected = np.arange(start, stop, step)
    known = T.arange(start, stop, step)
    assert known.type.shape == expected.shape
    np.testing.assert_array_equal(known.eval(), expected)


@given(hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4), st.integers(-4, 4), st.data())
def test_diagonals(shape, offset, data):
    a = filled(shape)
    x = T.tensor("float64", (None,) * a.ndim)
    first, second, *_ = data.draw(st.permutations(range(a.ndim)))
    d = T.diagonal(x, offset, first, second)
    np.testing.assert_array_equal(d.eval({x: a}), np.diagonal(a, offset, first, second))
    g = tg.grad((d * d).sum(), x).eval({x: a})
    picked = np.zeros(shape, bool)
    rows = np.moveaxis(picked, (first, second), (-2, -1))
    i = np.arange(np.diagonal(a, offset, first, second).shape[-1])
    rows[..., i + max(-offset, 0), i + max(offset, 0)] = True
    np.testing.assert_array_equal(g, np.where(picked, 2 * a, 0))


# --- dtypes -----------------------------------------------------------------------------------------------------------


def test_dtypes_of_ranges():
    assert T.arange(T.bscalar()).dtype == T.arange(T.wscalar(), 300).dtype == "int64"
    assert T.arange(T.fscalar()).dtype == T.arange(T.fscalar(), 3, 0.5).dtype == "float32"
    assert T.arange(T.iscalar(), T.fscalar()).dtype == "float64"  # as NumPy promotes these
    assert T.arange(3, dtype="int8").dtype == "int8"
    with tg.config.change_flags(floatX="float32"):
        assert T.arange(0.0, 1.0).dtype == T.linspace(0, 1).dtype == T.zeros(2).dtype == T.eye(2).dtype == "float32"
        assert T.full(2, 1.5).dtype == "float32"
    assert T.full(2, True).dtype == "bool"
    assert T.alloc(np.int8(1), 2).dtype == "int8"


def test_joined_dtypes_are_promoted():
    assert T.concatenate([T.ivector(), T.fvector()]).dtype == "float64"
    assert T.stack([T.bscalar(), 1]).dtype == "int8"


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: K.reshape((5, 5)), ShapeError, "24 elements"),
        (lambda: K.reshape((5, -1)), ShapeError, "24 elements"),
        (lambda: K.reshape((-1, -1)), ShapeError, "at most one -1"),
        (lambda: X.reshape(T.lvector("s")), ShapeError, "ndim="),
        (lambda: X.reshape((2, 3), ndim=3), ShapeError, "another number of entries"),
        (lambda: X.reshape((X.shape[0] / 2, 2)), DtypeError, "//"),
        (lambda: X.reshape((v, 2)), DtypeError, "a size is an integer"),
        (lambda: X.reshape((T.lvector(), 2)), ShapeError, "a size is a scalar"),
        (lambda: X.reshape(v), DtypeError, "integer vector"),
        (lambda: T.zeros((2, True)), DtypeError, "a size is an integer"),
        (lambda: T.zeros((-1, 2)), ShapeError, "broadcast"),
        (lambda: X.flatten(3), ShapeError, "ndim from 1 to 2"),
        (lambda: X.flatten(0), ShapeError, "ndim from 1 to 2"),
        (lambda: X.flatten(n), DtypeError, "known when the graph is built"),
        (lambda: T.flatten(X, ndim=2, outdim=2), ShapeError, "one of them"),
        (lambda: X.dimshuffle(0, 2), ShapeError, "axes 0 to 1"),
        (lambda: X.dimshuffle(0, "y", 1), DtypeError, "'x'"),
        (lambda: K.dimshuffle(0, 1), ShapeError, "axis 2 has extent 4"),
        (lambda: X.transpose(0, 0), ShapeError, "every axis once"),
        (lambda: X.transpose((0,)), ShapeError, "every axis once"),
        (lambda: X.swapaxes(0, 2), ShapeError, "no axis 2"),
        (lambda: T.moveaxis(X, (0, 1), 0), ShapeError, "one destination"),
        (lambda: T.moveaxis(X, (0, 0), (0, 1)), ShapeError, "one destination"),
        (lambda: T.expand_dims(X, 3), ShapeError, "no axis 3"),
        (lambda: T.squeeze(K, 1), ShapeError, "extent 3"),
        (lambda: T.squeeze(X, 2), ShapeError, "no axis 2"),
        (lambda: T.broadcast_to(K, (2, 3, 5)), ShapeError, "broadcast"),
        (lambda: T.specify_shape(K, (2, 2, None)), ShapeError, "specified shape"),
        (lambda: T.specify_shape(K, (2, 3)), ShapeError, "specified shape"),
        (lambda: T.addbroadcast(K, 0), ShapeError, "specified shape"),
        (lambda: T.addbroadcast(K, 3), ShapeError, "no axis 3"),
        (lambda: T.unbroadcast(K, 3), ShapeError, "no axis 3"),
        (lambda: T.patternbroadcast(K, (True, False)), ShapeError, "specified shape"),
        (lambda: T.concatenate(X), DtypeError, "concatenate([a, b], axis=0)"),
        (lambda: T.concatenate([]), ShapeError, "nothing to join"),
        (lambda: T.concatenate([n, n]), ShapeError, "no axis 0"),
        (lambda: T.concatenate([X, v]), ShapeError, "one number of dimensions"),
        (lambda: T.concatenate([half, K[0]]), ShapeError, "agree on the other axes"),
        (lambda: T.stack([]), ShapeError, "empty list"),
        (lambda: T.stack([X, X], axis=4), ShapeError, "no such axis"),
        (lambda: T.split(K, [1, 1], 2, axis=1), ShapeError, "sum of 3"),
        (lambda: T.split(K, [1, 1, 1], 2, axis=1), ShapeError, "another number of entries"),
        (lambda: T.split(K, [1, 2], n, axis=1), DtypeError, "known when the graph is built"),
        (lambda: T.tile(X, T.lvector()), ShapeError, "ndim="),
        (lambda: T.tile(X, (2, 2, 2), ndim=2), ShapeError, "at least 3"),
        (lambda: T.tile(X, 1.5), DtypeError, "a size is an integer"),
        (lambda: T.repeat(K, [1, 2], axis=1), ShapeError, "broadcast"),
        (lambda: T.repeat(K, [1, -2, 1], axis=1), ShapeError, "negative"),
        (lambda: T.repeat(X, v), DtypeError, "integer vector"),
        (lambda: T.repeat(X, 2, axis=2), ShapeError, "no axis 2"),
        (lambda: T.roll(X, (1, 2), (0,)), ShapeError, "one shift"),
        (lambda: T.roll(X, 1.5), DtypeError, "a size is an integer"),
        (lambda: T.flip(X, (0, 0)), ShapeError, "named twice"),
        (lambda: T.diagonal(v), ShapeError, "no axis 1"),
        (lambda: T.diagonal(X, 0, 1, -1), ShapeError, "two different axes"),
        (lambda: T.diag(n), ShapeError, "no axis"),
        (lambda: T.diag(v, n), DtypeError, "known when the graph is built"),
        (lambda: T.tril(v), ShapeError, "at least 2 dimensions"),
        (lambda: T.eye(2.5), DtypeError, "a size is an integer"),
        (lambda: T.identity_like(v), ShapeError, "2 dimensions"),
        (lambda: T.arange(0, 5, 0), ShapeError, "must not be 0"),
        (lambda: T.arange(v), ShapeError, "0 dimensions"),
        (lambda: T.linspace(0, 1, -2), ShapeError, "must not be negative"),
        (lambda: T.get_vector_length(v), ShapeError, "known length"),
        (lambda: T.largest(v), ShapeError, "two or more"),
    ],
)
def test_errors_when_the_graph_is_built(call, kind, says):
    with pytest.raises(kind) as caught:
        call()
    assert says in str(caught.value)
    assert "test_shape.py" in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "given_values", "says"),
    [
        (X.reshape((5, -1)), {X: np.zeros((2, 3))}, "6 elements"),
        (X.reshape((n, 2)), {X: np.zeros((2, 3)), n: 4}, "6 elements"),
        (T.squeeze(X, 0), {X: np.zeros((2, 3))}, "extent 2"),
        (T.specify_shape(X, (2, 2)), {X: np.zeros((2, 3))}, "specified shape"),
        (T.specify_shape(X, (n, None)), {X: np.zeros((2, 3)), n: 4}, "specified shape"),
        (T.addbroadcast(X, 0), {X: np.zeros((2, 3))}, "specified shape"),
        (T.concatenate([X, K[0]]), {X: np.zeros((2, 3)), K: np.zeros((2, 3, 4))}, "agree on the other axes"),
        (T.split(v, [1, 2], 2)[0], {v: np.zeros(4)}, "sum of 4"),
        (T.split(v, [n, 2], 2)[0], {v: np.zeros(4), n: 1}, "sum of 4"),
        (T.repeat(v, T.shape(X) - 3), {v: np.zeros(2), X: np.zeros((2, 3))}, "negative"),
        (T.repeat(v, T.cast(X[0], "int64")), {v: np.zeros(3), X: -np.ones((1, 3))}, "negative"),
        (T.arange(0.0, v[0], 0.5), {v: np.array([np.inf])}, "finite"),
        (T.arange(0.0, 1.0, v[0]), {v: np.array([0.0])}, "must not be 0"),
        (T.tile(X, X[0].astype("int64"), ndim=2), {X: np.ones((1, 3))}, "another number|specified shape|broadcast"),
    ],
)
def test_errors_when_the_function_runs(expression, given_values, says):
    with pytest.raises(TinygraphError, match=says):
        expression.eval(given_values)


# --- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved",
    [
        lambda r: T.reshape(r, (3, 2)),
        T.flatten,
        lambda r: r.T,
        lambda r: T.tile(r, (2, 2)),
        lambda r: T.repeat(r, 2, axis=0),
        lambda r: T.repeat(r, [2, 1, 0], axis=1),
        lambda r: T.roll(r, 1),
        T.flip,
        lambda r: T.diagonal(r, 1),
        lambda r: T.diag(r[0], 1),
        lambda r: T.concatenate([r, r], axis=1),
        lambda r: T.split(r, [1, 2], 2, axis=1)[1],
        lambda r: T.specify_shape(r, (2, 3)),
        lambda r: T.specify_shape(r, (n, None)),
        lambda r: r.copy(),
        T.tril,
    ],
)
def test_masks_travel_back(moved):
    a = np.array([[0.0, 1.0, 4.0], [0.0, 9.0, 0.0]])
    root = T.sqrt(X)  # its derivative at 0 is infinite
    chosen = moved(root)
    g = tg.grad(T.switch(chosen > 0, chosen, 0).sum(), X)
    used = {n: 2} if n in tg.graph.graph_inputs([g]) else {}
    result = g.eval({X: a, **used})
    assert np.isfinite(result).all()
    assert (result[a == 0] == 0).all()
    assert (result != 0).any()
