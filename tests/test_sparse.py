"""Sparse matrices against SciPy: patterns of every kind, gradients of stored values, functions, errors."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as ss
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import sparse
from tinygraph.errors import DtypeError, IndexingError, InputError, ShapeError, UnusedInputError, UpdateError

FORMATS = st.sampled_from(("csr", "csc"))
DTYPES = st.sampled_from(("float32", "float64"))


@st.composite
def matrices(draw, shape=None, dtype=None, sorted_only=False):
    """Sparse matrices with empty rows, unsorted indices, places stored twice, stored zeros, or nothing stored."""
    format, dtype = draw(FORMATS), dtype or draw(DTYPES)
    rows, columns = shape or (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    major, minor = (rows, columns) if format == "csr" else (columns, rows)
    places = [draw(st.lists(st.integers(0, minor - 1), max_size=4, unique=sorted_only)) for _ in range(major)]
    indices = np.array([i for row in places for i in (sorted(row) if sorted_only else row)], "int32")
    indptr = np.cumsum([0, *map(len, places)]).astype("int32")
    values = st.floats(-4, 4, width=16) if not sorted_only else st.floats(0.5, 4, width=16)
    data = np.array(draw(st.lists(values, min_size=len(indices), max_size=len(indices))), dtype)
    return getattr(ss, f"{format}_matrix")((data, indices, indptr), shape=(rows, columns))


@st.composite
def pairs(draw):
    """Two matrices of one shape and dtype, each of either format."""
    first = draw(matrices())
    return first, draw(matrices(first.shape, first.dtype.name))


def _variable(value, name="x"):
    return sparse.matrix(value.format, name, value.dtype)


def _called(build, *values):
    variables = [
        _variable(v, f"x{i}") if ss.issparse(v) else T.TensorType(v.dtype.name, (None,) * v.ndim)(f"x{i}")
        for i, v in enumerate(values)
    ]
    return tg.function(variables, build(*variables), on_unused_input="ignore")(*values)


def _agree(got, want, rtol=1e-4):
    assert ss.issparse(got) == ss.issparse(want)
    if ss.issparse(got):
        assert got.shape == want.shape
        got, want = got.toarray(), want.toarray()
    np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-5)


# --- values ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(matrices(), st.integers(0, 3))
def test_products_with_dense_matrices(x, k):
    rng = np.random.default_rng(0)
    right, left = rng.normal(size=(x.shape[1], k)).astype(x.dtype), rng.normal(size=(k, x.shape[0])).astype(x.dtype)
    got = _called(sparse.dot, x, right)
    assert got.dtype == x.dtype
    _agree(got, x @ right)
    _agree(_called(lambda x, y: sparse.structured_dot(y, x), x, left), left @ x)
    _agree(_called(lambda x, y: T.dot(y, x), x, left), left @ x)
    _agree(_called(lambda x, y: x.dot(y), x, right[:, :1].sum(1)), x @ right[:, :1].sum(1))


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_two_sparse_matrices(pair):
    x, y = pair
    for got, want in zip(
        _called(lambda x, y: [x + y, x - y, x * y, sparse.true_dot(x, y.T), sparse.true_dot(x.T, y), x @ y.T], x, y),
        [x + y, x - y, x.multiply(y), x @ y.T, x.T @ y, x @ y.T],
        strict=True,
    ):
        _agree(got, want)
        assert got.has_canonical_format
    _agree(_called(lambda x, y: sparse.dot(x, y.T), x, y), (x @ y.T).toarray())
    stacked = _called(lambda x, y: [sparse.hstack([x, y]), sparse.vstack([x, y, x], "csr")], x, y)
    _agree(stacked[0], ss.hstack([x, y]))
    _agree(stacked[1], ss.vstack([x, y, x]))
    assert [s.format for s in stacked] == ["csc", "csr"]


@settings(max_examples=40, deadline=None)
@given(matrices())
def test_conversions_sums_and_parts(x):
    dense = x.toarray()
    results = _called(
        lambda x: [
            *(x.toarray(), x.T, x.tocsr(), x.tocsc(), sparse.sp_sum(x), x.sum(0), x.sum(axis=1), x.shape, x.size),
            *(sparse.ensure_sorted_indices(x), sparse.clean(x), x.sum_duplicates(), -x, 2 * x, x.zeros_like()),
            *(sparse.csc_from_dense(x.toarray()), sparse.csr_from_dense(x.toarray())),
        ],
        x,
    )
    wanted = [
        *(dense, x.T, x, x, dense.sum(), dense.sum(0), dense.sum(1), np.array(x.shape), np.array(len(x.data))),
        *(x, x, x, -x, 2 * x, 0 * x, x, x),
    ]
    for got, want in zip(results, wanted, strict=True):
        _agree(got, want)
    assert results[2].format == "csr"
    assert results[3].format == "csc"
    assert results[9].has_sorted_indices
    assert len(results[9].data) == len(x.data)
    assert (results[10].data != 0).all()
    assert results[11].has_canonical_format
    assert results[14].nnz == 0
    assert results[16].nnz == np.count_nonzero(dense)
    data, indices, indptr, shape = _called(sparse.csm_properties, x)
    for got, want in zip((data, indices, indptr, shape), (x.data, x.indices, x.indptr, x.shape), strict=True):
        np.testing.assert_array_equal(got, want)


@settings(max_examples=40, deadline=None)
@given(matrices(), st.data())
def test_indexing(x, data):
    rows, columns = x.shape
    dense = x.toarray()
    bounds = st.none() | st.integers(-6, 6)
    cut = [slice(data.draw(bounds), data.draw(bounds), data.draw(st.sampled_from((None, 2, -1)))) for _ in range(2)]
    picked = data.draw(st.lists(st.integers(-rows, rows - 1), min_size=1, max_size=4))
    across = [data.draw(st.integers(-columns, columns - 1)) for _ in picked]
    results = _called(
        lambda x: [
            x[cut[0], cut[1]],
            x[picked],
            x[:, across],
            x[picked[0]],
            x[picked[0], across[0]],
            x[picked, across],
        ],
        x,
    )
    wanted = [ss.csr_matrix(dense[cut[0], cut[1]]), *(ss.csr_matrix(d) for d in (dense[picked], dense[:, across]))]
    wanted += [ss.csr_matrix(dense[picked[0]][None]), dense[picked[0], across[0]], dense[picked, across]]
    for got, want in zip(results, wanted, strict=True):
        _agree(got, want)


@settings(max_examples=30, deadline=None)
@given(matrices())
def test_dense_operands_broadcast(x):
    rng = np.random.default_rng(1)
    rows, columns = x.shape
    for shape in [(rows, columns), (1, columns), (rows, 1), (1, 1), (columns,), (1,), ()]:
        y = rng.normal(size=shape).astype(x.dtype)
        total, difference, product = _called(lambda x, y: [x + y, y - x, y * x], x, y)
        _agree(total, x.toarray() + y)
        _agree(difference, y - x.toarray())
        _agree(product, ss.csr_matrix(x.toarray() * y))


@settings(max_examples=30, deadline=None)
@given(matrices(sorted_only=True))
def test_structured_functions_keep_the_pattern(x):
    cases = [
        *((f, getattr(np, f)) for f in ("sin", "tan", "arctan", "sinh", "arcsinh", "tanh", "rint", "ceil", "floor")),
        *((f, getattr(np, f)) for f in ("log1p", "expm1", "deg2rad", "rad2deg", "trunc", "sqrt", "conj")),
        *(("sgn", np.sign), ("sqr", np.square), ("neg", np.negative)),
        *((f"structured_{f}", getattr(np, f)) for f in ("exp", "log")),
        ("structured_sigmoid", lambda d: 1 / (1 + np.exp(-d))),
    ]
    results = _called(lambda x: [getattr(sparse, name)(x) for name, _ in cases], x)
    for got, (_, function) in zip(results, cases, strict=True):
        np.testing.assert_allclose(got.data, function(x.data), rtol=1e-4)
        np.testing.assert_array_equal(got.indices, x.indices)
    results = _called(
        lambda x: [getattr(sparse, f"structured_{n}")(x, 1.5) for n in ("pow", "minimum", "maximum", "add")], x
    )
    for got, function in zip(results, (np.power, np.minimum, np.maximum, np.add), strict=True):
        np.testing.assert_allclose(got.data, function(x.data, 1.5), rtol=1e-4)
        assert got.dtype == x.dtype


def test_comparisons():
    x = ss.csr_matrix([[0.0, 2.0], [-1.0, 0.0]])
    for name in ("eq", "neq", "lt", "le", "gt", "ge"):
        want = getattr(
            np, {"eq": "equal", "neq": "not_equal", "lt": "less", "gt": "greater"}.get(name, f"{name}"), None
        )
        want = want or {"le": np.less_equal, "ge": np.greater_equal}[name]
        got = _called(lambda x, y, name=name: getattr(sparse, name)(x, y), x, np.ones((2, 2)))
        np.testing.assert_array_equal(got.toarray(), want(x.toarray(), 1))
    assert _called(lambda x: x > 0.5, x).dtype == "uint8"


# --- gradients ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(matrices(dtype="float64"))
def test_gradients_are_those_of_the_stored_values(x):
    w = np.random.default_rng(2).normal(size=(x.shape[1], 2))
    s, v = _variable(x), T.dmatrix("w")
    cost = (sparse.dot(s, v) ** 2).sum()
    g_s, g_v = tg.function([s, v], tg.grad(cost, [s, v]))(x, w)
    out = 2 * (x @ w)
    np.testing.assert_allclose(g_v, x.T @ out, atol=1e-9)
    entries = x.tocoo()
    np.testing.assert_allclose(g_s.data, (out @ w.T)[entries.row, entries.col], atol=1e-9)
    assert g_s.format == x.format
    np.testing.assert_array_equal(g_s.indices, x.indices)


def test_second_derivative_through_a_product():
    x = ss.random(4, 3, 0.6, "csr", random_state=3)
    s, v = sparse.csr_matrix("s"), T.dvector("v")
    g = tg.grad((sparse.dot(s, v) ** 3).sum(), v)
    hessian = tg.function([s, v], [tg.grad(g[i], v) for i in range(3)])(x, np.ones(3))
    np.testing.assert_allclose(hessian, x.T @ np.diag(6 * (x @ np.ones(3))) @ x, rtol=1e-10)


def test_logistic_regression_on_bags_of_words():
    rng = np.random.default_rng(4)
    words, documents = 300, 400
    counts = ss.random(
        documents, words, 0.05, "csr", "float64", random_state=5, data_rvs=lambda n: rng.integers(1, 4, n)
    )
    labels = (counts @ rng.normal(size=words) > 0).astype("int64")
    x, y = sparse.csr_matrix("x"), T.lvector("y")
    w, b = tg.shared(np.zeros((words, 2)), "w"), tg.shared(np.zeros(2), "b")
    p = T.nnet.softmax(sparse.dot(x, w) + b)
    cost = T.nnet.categorical_crossentropy(p, y).mean() + 1e-4 * (w**2).sum()
    step = tg.function([x, y], cost, updates=[(v, v - 2.0 * tg.grad(cost, v)) for v in (w, b)])
    predict = tg.function([x], p.argmax(1))
    losses = [float(step(counts[i : i + 50], labels[i : i + 50])) for _ in range(30) for i in range(0, documents, 50)]
    assert losses[-1] < losses[0] / 3
    assert (predict(counts) == labels).mean() > 0.97


# --- functions ------------------------------------------------------------------------------------------------------


def test_functions_take_and_give_sparse_matrices():
    value = ss.random(3, 4, 0.5, "coo", random_state=6)
    x, y = sparse.csr_matrix("x"), T.dscalar("y")
    f = tg.function([y, x], {"scaled": x * y, "sum": x.sum()})
    for out in (
        f(2.0, value),
        f(y=2.0, x=value),
        f(2.0, x=value.toarray()),
        f(2, value.astype("float32").astype(float)),
    ):
        _agree(out["scaled"], 2 * value.tocsr())
        np.testing.assert_allclose(out["sum"], value.sum())
    _agree(tg.function([x], x)(ss.csr_array(value)), value.tocsr())
    _agree(f.copy()(2.0, value)["scaled"], 2 * value.tocsr())
    _agree(sparse.CSC([1.0, 2.0], [0, 1], [0, 1, 2], (3, 2)).eval(), ss.csc_matrix([[1.0, 0], [0, 2.0], [0, 0]]))


def test_a_change_of_columns_alone_is_seen():
    x = sparse.csr_matrix("x")
    f = tg.function([x], [x.sum(0), x.T.toarray()])
    for columns in (4, 7, 3):
        value = ss.csr_matrix(([1.0, 2.0], [0, 2], [0, 1, 2]), shape=(2, columns))
        total, turned = f(value)
        np.testing.assert_array_equal(total, value.toarray().sum(0))
        np.testing.assert_array_equal(turned, value.toarray().T)


def test_givens_and_constants():
    value = ss.random(3, 4, 0.5, "csr", random_state=7)
    x, y = sparse.csr_matrix("x"), sparse.csc_matrix("y")
    f = tg.function([y], sparse.dot(x, np.ones((4, 2))), givens=[(x, y)])
    np.testing.assert_allclose(f(value), value @ np.ones((4, 2)))
    np.testing.assert_allclose(tg.function([], x.sum(), givens={x: value})(), value.sum())
    v = T.dvector("v")
    np.testing.assert_allclose(tg.function([v], sparse.dot(value, v))(np.ones(4)), value @ np.ones(4))


def test_shared_sparse_matrices():
    value = ss.random(3, 4, 0.5, "csc", random_state=8)
    held = tg.shared(value, "held")
    assert isinstance(held, sparse.SparseSharedVariable)
    assert (held.format, held.dtype, str(held)) == ("csc", "float64", "held")
    f = tg.function([], held.sum(), updates=[(held, sparse.remove0(held * 2.0))])
    np.testing.assert_allclose(f(), value.sum())
    _agree(held.get_value(), 2 * value)
    held.set_value(value.T)
    _agree(held.get_value(), value.T)
    np.testing.assert_allclose(f(), value.sum())
    with pytest.raises(UpdateError):
        held.set_value(np.eye(3))
    small = tg.shared(value.astype("float32"))
    with pytest.raises(UpdateError):
        small.set_value(value)
    _agree(small.get_value(), value.astype("float32"))


def test_nothing_large_is_made_dense():
    n = 2**20
    x, v = sparse.csr_matrix("x"), T.dvector("v")
    value = ss.csr_matrix(([1.0, 2.0], ([0, n - 1], [n - 1, 5])), shape=(n, n))
    y = x.tocsc()
    cost = (sparse.dot(x * v, v) ** 2).sum() + (x + y * 2.0).sum() + sparse.true_dot(x, x).sum() + x.sum(0)[5]
    total, g = tg.function([x, v], [cost, tg.grad(cost, v)])(value, np.ones(n))
    np.testing.assert_allclose(total, 1 + 4 + 9 + 2 + 2)
    np.testing.assert_allclose(g[[5, n - 1, 7]], [16, 4, 0])


def test_operators_of_others_give_way():
    x = sparse.csr_matrix("x")
    value = ss.csr_matrix([[0.0, 3.0]])
    f = tg.function([x], [np.ones((1, 2)) + x, np.ones(2) * x, T.constant([1.0, 2.0]) - x, np.float64(2.0) * x])
    for got, want in zip(f(value), [[[1, 4]], [[0, 3]], [[1, -1]], [[0, 6]]], strict=True):
        np.testing.assert_array_equal(got.toarray() if ss.issparse(got) else got, want)
    with pytest.raises(TypeError):
        iter(x)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_arguments_that_do_not_fit():
    x = sparse.csr_matrix("words", "float32")
    f = tg.function([x], x.sum())
    with pytest.raises(InputError) as err:
        f(ss.eye(3))
    assert "words" in str(err.value)
    assert "float32" in str(err.value)
    for wrong in ("text", np.zeros((2, 2, 2), "float32"), None):
        with pytest.raises(InputError):
            f(wrong)
    broken = ss.csr_matrix(np.eye(3, dtype="float32"))
    broken.indices[1] = 7
    with pytest.raises(InputError) as err:
        f(broken)
    assert "out of range" in err.value.problem
    with pytest.raises(InputError) as err:
        f()
    assert "words" in str(err.value)


def test_an_input_that_nothing_uses():
    x, y = sparse.csr_matrix("x"), sparse.csr_matrix("y")
    with pytest.raises(UnusedInputError) as err:
        tg.function([x, y], x.sum())
    assert err.value.problem == "the function does not use its input y"
    assert tg.function([x, y], x.sum(), on_unused_input="ignore")(ss.eye(2), ss.eye(3)) == 2


def test_shapes_that_do_not_fit():
    x, w = sparse.csr_matrix("x"), T.dmatrix("w")
    f = tg.function([x, w], sparse.dot(x, w))
    with pytest.raises(ShapeError) as err:
        f(ss.csr_matrix((2, 3)), np.ones((4, 5)))
    assert "inner" in err.value.problem
    f(ss.csr_matrix((2, 3)), np.ones((3, 5)))
    with pytest.raises(ShapeError):
        f(ss.csr_matrix((2, 4)), np.ones((3, 5)))  # the same arrays but for the number of columns
    with pytest.raises(ShapeError):
        sparse.dot(sparse.CSR([1.0], [0], [0, 1], (1, 3)), np.ones((4, 2)))
    with pytest.raises(ShapeError):
        sparse.dot(x, T.dtensor3("t"))
    with pytest.raises(ShapeError):
        sparse.as_sparse_variable(ss.eye(3)) + ss.eye(4)
    y = sparse.csr_matrix("y")
    for build in (lambda: x + y, lambda: x * y, lambda: sparse.hstack([x, y])):
        g = tg.function([x, y], build())
        with pytest.raises(AssertionError):
            g(ss.eye(3), ss.eye(4))
    with pytest.raises(ShapeError):
        _called(sparse.col_scale, ss.eye(3, format="csr"), np.ones(4))
    with pytest.raises(AssertionError):
        _called(sparse.diag, ss.csr_matrix((2, 3)))


def test_parts_that_do_not_fit():
    with pytest.raises(ShapeError):
        sparse.CSR([1.0, 2.0], [0], [0, 2], (1, 3))
    with pytest.raises(ShapeError):
        sparse.CSR([1.0], [0], [0, 1], (2, 3))
    with pytest.raises(ShapeError):
        sparse.CSR([[1.0]], [0], [0, 1], (1, 3))
    with pytest.raises(DtypeError):
        sparse.CSR([1.0], [0.5], [0, 1], (1, 3))
    data, indices, indptr = T.dvector(), T.ivector(), T.ivector()
    f = tg.function([data, indices, indptr], sparse.CSR(data, indices, indptr, (2, 3)).toarray())
    np.testing.assert_array_equal(f([5.0], [2], [0, 0, 1]), [[0, 0, 0], [0, 0, 5]])
    for wrong in (([5.0], [3], [0, 0, 1]), ([5.0], [-1], [0, 0, 1]), ([5.0], [0], [0, 0, 2]), ([5.0], [0], [0, 2, 1])):
        with pytest.raises(ShapeError):
            f(*wrong)


def test_other_errors():
    x = sparse.csr_matrix("x")
    with pytest.raises(DtypeError):
        sparse.dot(T.dmatrix(), T.dmatrix())
    with pytest.raises(DtypeError):
        sparse.as_sparse_variable(np.eye(3))
    with pytest.raises(DtypeError):
        sparse.matrix("bsr")
    with pytest.raises(ShapeError):
        sparse.csr_from_dense(T.dtensor3())
    with pytest.raises(ShapeError):
        sparse.sp_sum(x, 2)
    with pytest.raises(IndexingError):
        x[0.5]
    with pytest.raises(IndexingError):
        tg.function([x], x[5])(ss.eye(3))
    with pytest.raises(DtypeError):
        T.exp(x)


def test_scipy_sparse_loads_when_first_needed():
    code = (
        "import sys, tinygraph as tg; x = tg.sparse.csr_matrix('x'); tg.grad(x.sum(), x); print('scipy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
