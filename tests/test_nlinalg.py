"""Linear algebra, einsum and Fourier transforms: what the op table does not say."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, NullTypeGradError, ShapeError, TinygraphError
from tinygraph.ops.einsum import Einsum
from tinygraph.testing import check_grad

N, S = T.nlinalg, T.slinalg
LinAlgError = np.linalg.LinAlgError
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])


def spd(n, seed=0, stack=()):
    a = np.random.default_rng(seed).uniform(-1, 1, (*stack, n, n))
    return a @ np.swapaxes(a, -1, -2) + np.eye(n)


# --- failures while a function runs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "value", "words"),
    [
        (N.matrix_inverse, SINGULAR, "matrix_inverse of float64 (2, 2)"),
        (lambda x: S.solve(x, T.ones(2)), SINGULAR, "solve of float64 (2, 2)"),
        (lambda x: S.solve_lower_triangular(x, T.ones(2)), np.zeros((2, 2)), "solve of float64 (2, 2)"),
        (lambda x: S.solve_lower_triangular(x, T.ones((2, 1))), np.zeros((3, 2, 2)), "solve of float64 (3, 2, 2)"),
        (S.cholesky, -np.eye(2), "cholesky of float64 (2, 2)"),
        (lambda x: N.svd(x)[1], np.full((2, 2), np.nan), "svd of float64 (2, 2)"),
    ],
)
def test_linalg_errors_stay_what_they_are_and_tell_the_place(build, value, words):
    x = T.tensor("float64", (None,) * value.ndim)
    compiled = tg.function([x], build(x))
    with pytest.raises(LinAlgError) as err:
        compiled(value)
    assert type(err.value) is LinAlgError
    (note,) = err.value.__notes__
    assert words in note
    assert __file__ in note


def test_complex_eigenvalues_are_an_error_and_no_wrong_number():
    x = T.dmatrix("x")
    compiled = tg.function([x], N.eig(x))
    with pytest.raises(DtypeError) as err:
        compiled([[0.0, 1.0], [-1.0, 0.0]])
    assert "not real" in err.value.problem
    assert "eigh" in err.value.hint


def test_cholesky_may_give_nan_instead():
    x = T.dtensor3("x")
    factor = S.cholesky(x, on_error="nan")
    g = tg.grad(factor.sum(), x)
    values, slopes = tg.function([x], [factor, g])(np.stack([np.eye(2), -np.eye(2)]))
    np.testing.assert_array_equal(values[0], np.eye(2))
    assert np.isnan(values[1]).all()
    np.testing.assert_allclose(slopes[0], [[0.5, 0.0], [1.0, 0.5]])
    assert np.isnan(slopes[1]).any()
    assert np.isnan(S.cholesky(-np.eye(3), on_error="nan").eval()).all()


# --- failures when the graph is built -----------------------------------------------------------------------------

SQUARE = [
    *(N.matrix_inverse, N.det, N.slogdet, N.logdet, N.eig, N.eigh),
    *(S.cholesky, S.expm, S.eigvalsh, lambda x: N.matrix_power(x, 2), lambda x: S.solve(x, T.ones(2))),
]


@pytest.mark.parametrize("build", SQUARE)
def test_square_matrices(build):
    with pytest.raises(ShapeError) as err:
        build(T.tensor("float64", (2, 3)))
    assert "square" in err.value.problem
    x = T.dmatrix("x")
    compiled = tg.function([x], build(x))
    with pytest.raises(ShapeError) as err:
        compiled(np.ones((2, 3)))
    assert err.value.op


@pytest.mark.parametrize("build", [*SQUARE, N.svd, N.qr, N.pinv, lambda x: N.lstsq(x, x)])
def test_a_vector_is_no_matrix(build):
    with pytest.raises(ShapeError) as err:
        build(T.dvector("x"))
    assert "matri" in err.value.problem


@pytest.mark.parametrize("build", [N.matrix_inverse, N.svd, S.cholesky, lambda x: S.solve(x, x)])
def test_float16_is_not_taken(build):
    with pytest.raises(DtypeError) as err:
        build(T.tensor("float16", (2, 2)))
    assert "float32" in err.value.hint


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda x: S.solve(x, T.ones(3)), ShapeError, "2 rows, the right-hand side 3"),
        (lambda x: S.solve(x, 1.0), ShapeError, "scalar"),
        (lambda x: S.solve(x, x, "blue"), DtypeError, "structure"),
        (lambda x: S.solve(x, x, assume_a=3), DtypeError, "structure"),
        (lambda x: S.Solve("blue"), ShapeError, "structure"),
        (lambda x: S.solve_triangular(x, x, trans=5), DtypeError, "system"),
        (lambda x: S.cholesky(x, on_error="shrug"), DtypeError, "error"),
        (lambda x: N.qr(x, "economic"), DtypeError, "mode"),
        (lambda x: N.eigh(x, "left"), DtypeError, "triangle"),
        (lambda x: N.lstsq(x, T.ones(3)), ShapeError, "rows"),
        (lambda x: N.lstsq(T.dtensor3(), x), ShapeError, "one matrix"),
        (lambda x: N.lstsq(x, x, "small"), DtypeError, "rcond"),
        (lambda x: N.pinv(x, T.dscalar()), DtypeError, "rcond"),
        (lambda x: N.tensorinv(x, 0), ShapeError, "axes"),
        (lambda x: N.tensorinv(T.tensor("float64", (2, 3, 4)), 2), ShapeError, "square"),
        (lambda x: N.tensorsolve(x, T.dtensor3()), ShapeError, "few axes"),
        (lambda x: N.tensorsolve(x, T.dvector(), axes=(5,)), ShapeError, "axis 5"),
        (lambda x: N.matrix_power(x, 1.5), DtypeError, "integer"),
        (lambda x: N.matrix_dot(), ShapeError, "matrices"),
        (lambda x: N.norm(x, "far"), DtypeError, "norm"),
        (lambda x: N.norm(x, 3), DtypeError, "norm"),
        (lambda x: N.norm(x, True), DtypeError, "norm"),
        (lambda x: N.norm(T.dvector(), "fro"), DtypeError, "norm"),
        (lambda x: N.norm(T.dtensor3(), 2), ShapeError, "norm"),
        (lambda x: N.norm(x, 2, (0, 1, 1)), ShapeError, "twice"),
        (lambda x: N.norm(T.dtensor3(), 2, (0, 1, 2)), ShapeError, "one axis or two"),
        (lambda x: N.alloc_diag(T.dscalar()), ShapeError, "vector"),
        (lambda x: N.alloc_diag(x, axis1=5), ShapeError, "axis 5"),
        (lambda x: T.fft.rfft(T.dvector()), ShapeError, "first axis"),
        (lambda x: T.fft.rfft(x, norm="forward"), DtypeError, "norm"),
        (lambda x: T.fft.rfft(T.tensor("float64", (2, 0))), ShapeError, "nothing"),
        (T.fft.irfft, ShapeError, "real and imaginary"),
        (lambda x: T.fft.irfft(T.tensor("float64", (2, 3, 3))), ShapeError, "real and imaginary"),
        (lambda x: T.fft.irfft(T.tensor("float64", (2, 1, 2))), ShapeError, "nothing"),
        (lambda x: T.fft.irfft(T.dtensor3(), is_odd=2), DtypeError, "is_odd"),
    ],
)
def test_wrong_arguments(build, error, words):
    with pytest.raises(error) as err:
        build(T.tensor("float64", (2, 2)))
    assert words in err.value.problem
    assert err.value.op
    assert err.value.trace or build.__name__


# --- dtypes and names ---------------------------------------------------------------------------------------------


def test_results_keep_the_dtype_and_integers_become_floats():
    x = T.fmatrix("x")
    outputs = [
        N.det(x),
        *N.svd(x),
        *N.slogdet(x),
        S.expm(x),
        S.solve(x, x),
        N.pinv(x),
        N.norm(x, "nuc"),
        *N.lstsq(x, x),
    ]
    assert {out.dtype for out in outputs} == {"float32", "int64"}
    assert N.det(T.imatrix()).dtype == tg.config.floatX
    assert S.solve(T.imatrix(), T.fmatrix()).dtype == "float64"
    assert N.lstsq(x, x)[2].dtype == "int64"


def test_theano_names_of_operations():
    a, b = spd(3), np.arange(3.0)
    x, v = T.dmatrix("x"), T.dvector("v")
    calls = [
        (N.MatrixInverse()(x), np.linalg.inv(a)),
        (N.MatrixPinv()(x), np.linalg.pinv(a)),
        (N.Det()(x), np.linalg.det(a)),
        (N.SVD(False, False)(x), np.linalg.svd(a, compute_uv=False)),
        (N.Eigh("U")(x)[0], np.linalg.eigvalsh(a)),
        (N.Eig()(x)[0].sum(), np.trace(a)),
        (N.QRFull("reduced")(x)[1], np.linalg.qr(a)[1]),
        (N.QRIncomplete("r")(x), np.linalg.qr(a, "r")),
        (N.ExtractDiag(view=True)(x), np.diag(a)),
        (N.AllocDiag()(v), np.diag(b)),
        (N.TensorInv(1)(x), np.linalg.inv(a)),
        (N.TensorSolve()(x, v), np.linalg.solve(a, b)),
        (S.Cholesky(lower=True)(x), np.linalg.cholesky(a)),
        (
            S.Solve("lower_triangular", lower=True, overwrite_b=True)(x, v),
            scipy.linalg.solve_triangular(a, b, lower=True),
        ),
        (S.Solve()(x, v), np.linalg.solve(a, b)),
        (S.Expm()(x), scipy.linalg.expm(a)),
        (S.Eigvalsh()(x), np.linalg.eigvalsh(a)),
        (S.Eigvalsh(lower=True)(x, x + 1), scipy.linalg.eigvalsh(a, a + 1)),
        (x.trace(), np.trace(a)),
    ]
    results = tg.function([x, v], [symbolic for symbolic, _ in calls])(a, b)
    for result, (_, expected) in zip(results, calls, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


def test_the_old_path_leads_to_the_same():
    from tinygraph.sandbox import linalg

    for name in linalg.__all__:
        assert getattr(linalg, name) is getattr(N, name, None) or getattr(linalg, name) is getattr(S, name)


def test_norm_orders_may_be_text_as_in_theano():
    x = np.array([[1.0, -5.0], [2.0, 3.0]])
    for order in ("inf", "-inf"):
        assert N.norm(x, order).eval() == np.linalg.norm(x, float(order))
        assert N.norm(x[0], order).eval() == np.linalg.norm(x[0], float(order))


def test_known_shapes_are_known():
    x = T.tensor("float64", (5, 4, 3))
    u, s, vh = N.svd(x)
    assert [v.type.shape for v in (u, s, vh)] == [(5, 4, 4), (5, 3), (5, 3, 3)]
    assert [v.type.shape for v in N.qr(x, "complete")] == [(5, 4, 4), (5, 4, 3)]
    assert N.lstsq(T.tensor("float64", (2, 3)), T.tensor("float64", (2,)))[1].type.shape == (0,)
    assert N.matrix_inverse(T.tensor("float64", (None, 3))).type.shape == (3, 3)
    assert S.solve(T.dmatrix(), T.tensor("float64", (4, 2))).type.shape == (4, 2)
    assert N.tensorinv(T.tensor("float64", (4, 6, 8, 3))).type.shape == (8, 3, 4, 6)
    assert T.fft.rfft(T.tensor("float32", (2, 5, 7))).type.shape == (2, 5, 4, 2)
    assert T.fft.irfft(T.tensor("float32", (2, 4, 2)), is_odd=True).type.shape == (2, 7)


# --- gradients in special places ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_the_gradient_of_det_is_right_where_the_matrix_is_singular(rank):
    rng = np.random.default_rng(rank)
    a = rng.uniform(-1, 1, (3, rank)) @ rng.uniform(-1, 1, (rank, 3))
    x = T.dmatrix("x")
    found = tg.function([x], tg.grad(N.det(x), x))(a)
    minors = np.array(
        [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    )
    np.testing.assert_allclose(found, minors, atol=1e-14)


def test_third_derivatives():
    x = np.array([[1.5, 0.2], [-0.3, 0.9]])
    for build in (N.det, N.matrix_inverse, lambda x: N.slogdet(x)[1], S.expm, S.cholesky, N.pinv):
        check_grad(lambda x, build=build: T.sum(build(x) ** 3), x, order=3, seed=1)


def test_a_matrix_function_by_its_eigenvalues():
    def through(x):
        w, v = N.eigh((x + x.T) / 2)
        return T.dot(v * T.exp(w), v.T)

    a = np.array([[1.0, 0.3, 0.1], [0.3, 0.5, -0.2], [0.1, -0.2, 2.0]])
    check_grad(through, a, seed=1)
    np.testing.assert_allclose(through(T.constant(a)).eval(), scipy.linalg.expm(a))


def test_where_eigenvalues_are_equal_only_their_own_gradient_is_defined():
    x = T.dmatrix("x")
    w, v = N.eigh(x)
    np.testing.assert_allclose(tg.function([x], tg.grad(w.sum(), x))(np.eye(3)), np.eye(3), atol=1e-14)
    assert np.isnan(tg.function([x], tg.grad(T.sum(v**2 * w), x))(np.eye(3))).any()
    u, s, _ = N.svd(x)
    np.testing.assert_allclose(tg.function([x], tg.grad(s.sum(), x))(np.eye(3)), np.eye(3), atol=1e-14)
    assert np.isnan(tg.function([x], tg.grad(T.sum(u**2 * s), x))(np.eye(3))).any()


@pytest.mark.parametrize("known", [True, False])
def test_vectors_of_a_square_matrix_with_a_zero_singular_value(known):
    x = T.tensor("float64", (2, 2) if known else (None, None))
    u, s, vh = N.svd(x)
    g = tg.grad(T.sum(T.dot(u * s, vh)), x)
    np.testing.assert_allclose(tg.function([x], g)(SINGULAR), np.ones((2, 2)), atol=1e-12)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_gradients_of_norms_at_zero_are_finite(order):
    x = T.dmatrix("x")
    compiled = tg.function([x], tg.grad(N.norm(x, order), x))
    for shape in ((2, 3), (3, 2), (1, 1)):
        assert np.isfinite(compiled(np.zeros(shape))).all()


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, np.inf, -np.inf])
def test_gradients_of_vector_norms_at_zero_are_finite(order):
    x = T.dvector("x")
    assert np.isfinite(tg.function([x], tg.grad(N.norm(x, order), x, disconnected_inputs="ignore"))(np.zeros(3))).all()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda x: N.eig(x)[0].sum(), "eigh"),
        (lambda x: N.qr(x, "raw")[0].sum(), "reduced"),
        (lambda x: N.lstsq(x, x)[1].sum(), "sqr"),
    ],
)
def test_what_has_no_gradient_says_so(build, words):
    x = T.dmatrix("x")
    with pytest.raises(NullTypeGradError) as err:
        tg.grad(build(x), x)
    assert words in err.value.hint


def test_gradients_of_a_part_of_the_outputs():
    x = np.array([[1.0, 0.2], [0.3, 2.0], [0.5, -1.0]])
    for part in (
        lambda x: T.sqr(N.svd(x, False)[0]),
        lambda x: T.sqr(N.svd(x, False)[2]),
        lambda x: N.svd(x, False)[1],
        lambda x: N.qr(x)[0],
        lambda x: N.qr(x)[1],
        lambda x: N.qr(x, "complete")[1],
        lambda x: N.slogdet(x[:2])[1],
        lambda x: N.eigh(x[:2])[0],
        lambda x: T.sqr(N.eigh(x[:2])[1]),
        lambda x: N.lstsq(x, T.ones(3))[3],
    ):
        check_grad(part, x, order=1, seed=1)
    sign = T.dmatrix("x")
    np.testing.assert_array_equal(tg.grad(N.slogdet(sign)[0], sign).eval({sign: x[:2]}), np.zeros((2, 2)))


@pytest.mark.parametrize(
    "build",
    [
        N.matrix_inverse,
        S.cholesky,
        S.expm,
        lambda x: N.eigh(x)[0],
        lambda x: N.svd(x)[1],
        lambda x: N.qr(x)[1],
        lambda x: T.einsum("ij,kj->ik", x, x),
        T.fft.rfft,
    ],
)
def test_jacobians_and_directional_derivatives(build):
    x, direction = T.dmatrix("x"), T.dmatrix("direction")
    a, d = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([[0.5, -1.0], [0.25, 2.0]])
    out = build(x).flatten()
    rows, along = tg.function([x, direction], [tg.gradient.jacobian(out, x), tg.gradient.Rop(out, x, direction)])(a, d)
    value = tg.function([x], out)
    for step in np.eye(4).reshape(4, 2, 2):
        slope = (value(a + 1e-6 * step) - value(a - 1e-6 * step)) / 2e-6
        np.testing.assert_allclose(np.sum(rows * step, axis=(1, 2)), slope, atol=1e-7)
    np.testing.assert_allclose(np.sum(rows * d, axis=(1, 2)), along, atol=1e-12)


def test_triangles_that_are_not_read_do_not_matter():
    a = spd(3)
    half = np.tril(a)
    nan_above = half + np.triu(np.full((3, 3), np.nan), 1)
    np.testing.assert_array_equal(S.cholesky(nan_above).eval(), S.cholesky(a).eval())
    np.testing.assert_array_equal(N.eigh(nan_above)[0].eval(), N.eigh(a)[0].eval())
    np.testing.assert_array_equal(
        S.solve_lower_triangular(np.stack([nan_above] * 2), np.ones((3, 1))).eval(),
        S.solve_lower_triangular(np.stack([a] * 2), np.ones((3, 1))).eval(),
    )


@pytest.mark.parametrize("lower", [True, False])
def test_stacks_of_triangular_systems_are_as_precise_as_single_ones(lower):
    """Rows of very different sizes, which an elimination with exchanges of rows would treat otherwise."""
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (4, 6, 6)) + 0.1 * np.eye(6)
    a *= 10.0 ** rng.integers(-6, 6, (4, 6, 1))
    b = rng.uniform(-1, 1, (4, 6, 2))
    stacked = S.solve_triangular(a, b, lower=lower).eval()
    single = np.stack([scipy.linalg.solve_triangular(x, y, lower=lower) for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(stacked, single, rtol=1e-13)


def test_a_gaussian_process_likelihood():
    """A program of several of these: log density by Cholesky's factor, and its gradient with respect to the scale."""
    points, values = np.linspace(0, 1, 6), np.sin(np.arange(6.0))
    scale = T.dscalar("scale")

    def likelihood(scale):
        distances = T.sqr(T.constant(points)[:, None] - T.constant(points)[None, :])
        covariance = T.exp(-distances / T.sqr(scale)) + 0.1 * T.eye(6)
        factor = S.cholesky(covariance)
        alpha = S.cho_solve((factor, True), values)
        return -T.dot(values, alpha) / 2 - T.log(T.diag(factor)).sum()

    c = np.exp(-((points[:, None] - points) ** 2) / 0.16) + 0.1 * np.eye(6)
    expected = -values @ np.linalg.solve(c, values) / 2 - np.linalg.slogdet(c)[1] / 2
    np.testing.assert_allclose(likelihood(scale).eval({scale: 0.4}), expected)
    check_grad(likelihood, 0.4, seed=1)


# --- einsum -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error", "words"),
    [
        ("ij,jk->ik", [(2, 3)], DtypeError, "2 terms for 1 operands"),
        ("ij", [(2, 3), (2, 3)], DtypeError, "1 terms for 2 operands"),
        ("ijk->i", [(2, 3)], ShapeError, "2 dimensions"),
        ("i->i", [(2, 3)], ShapeError, "2 dimensions"),
        ("ij->ii", [(2, 3)], DtypeError, "each label"),
        ("ij->ik", [(2, 3)], DtypeError, "each label"),
        ("...i->i", [(2, 3)], DtypeError, "ellipsis"),
        ("i.j->i", [(2, 3)], DtypeError, "no list of labels"),
        ("i1->i", [(2, 3)], DtypeError, "no list of labels"),
        ("i...j...->i", [(2, 3)], DtypeError, "no list of labels"),
        ("i->->i", [(2,)], DtypeError, "no list of labels"),
        ("ii->i", [(2, 3)], ShapeError, "diagonal"),
        ("ii->i", [(1, 3)], ShapeError, "diagonal"),
        ("ij,jk->ik", [(2, 3), (4, 2)], ShapeError, "label 'j'"),
        ("...i,...i", [(2, 3), (4, 3)], ShapeError, "extents"),
    ],
)
def test_einsum_that_does_not_fit(subscripts, shapes, error, words):
    with pytest.raises(ValueError):
        np.einsum(subscripts, *map(np.ones, shapes))
    with pytest.raises(error) as err:
        T.einsum(subscripts, *[T.tensor("float64", shape) for shape in shapes])
    assert words in err.value.problem
    assert err.value.op == "einsum"
    operands = [T.tensor("float64", (None,) * len(shape)) for shape in shapes]
    with pytest.raises(TinygraphError):
        tg.function(operands, T.einsum(subscripts, *operands))(*map(np.ones, shapes))


@pytest.mark.parametrize("arguments", [([1, 2], [0]), ([1.0], [-1]), ([1.0], [52]), ([1.0], ["i"]), ([1.0], 0)])
def test_einsum_lists_that_do_not_fit(arguments):
    with pytest.raises(TinygraphError):
        T.einsum(np.ones((2, 2)), *arguments)


def test_einsum_takes_scalars_and_mixed_dtypes():
    x = T.fvector("x")
    assert T.einsum("i,->i", x, 2.0).dtype == "float32"
    assert T.einsum("i,i->i", x, T.lvector()).dtype == "float64"
    assert T.einsum("i,i", np.arange(3), [1, 2, 3], optimize=False).eval() == 8


@st.composite
def contractions(draw):
    """Subscripts, and shapes that fit them, with extents of 1 in places."""
    extents = {label: draw(st.integers(1, 3)) for label in "abcd"}
    terms = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=4))
    shapes = []
    for term in terms:
        broadcast = {label for label in term if draw(st.integers(0, 5)) == 0}
        shapes.append(tuple(1 if label in broadcast else extents[label] for label in term))
    used = sorted(set("".join(terms)))
    output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
    return ",".join(terms) + "->" + "".join(output), shapes


@given(contractions(), st.booleans())
def test_einsum_is_that_of_numpy(contraction, known):
    subscripts, shapes = contraction
    rng = np.random.default_rng(0)
    values = [rng.uniform(-1, 1, shape) for shape in shapes]
    operands = [T.tensor("float64", s if known else (None,) * len(s)) for s in shapes]
    out = T.einsum(subscripts, *operands)
    cotangent = out.type()
    expected = np.einsum(subscripts, *values)
    results = tg.function([*operands, cotangent], [out, *tg.Lop(out, operands, cotangent)], on_unused_input="ignore")(
        *values, np.ones_like(expected)
    )
    np.testing.assert_allclose(results[0], expected, rtol=1e-12, atol=1e-12)
    # The result is linear in each operand: its sum is the product of the operand and the gradient.
    for value, gradient in zip(values, results[1:], strict=True):
        assert gradient.shape == value.shape
        np.testing.assert_allclose(np.sum(value * gradient), expected.sum(), rtol=1e-9, atol=1e-9)


def test_einsum_multiplies_in_an_order_that_keeps_results_small():
    """A chain of products with a vector at its end is a chain of matrix-vector products."""
    seen = []

    class Watched:
        def __getattr__(self, name):
            return getattr(np, name)

        def matmul(self, x, y):
            seen.append((x.shape, y.shape))
            return np.matmul(x, y)

    values = [np.ones((50, 50)), np.ones((50, 50)), np.ones((50, 50)), np.ones(50)]
    result = Einsum(("ab", "bc", "cd", "d"), "a").compute(Watched(), *values)
    np.testing.assert_array_equal(result, np.full(50, 125000.0))
    assert len(seen) == 3
    assert max(np.prod(x) * y[-1] for x, y in seen) == 2500


# --- Fourier transforms -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.sampled_from([None, "ortho", "no_norm"]))
def test_transforms_undo_each_other(sizes, norm):
    x = np.random.default_rng(0).uniform(-1, 1, (2, *sizes))
    v = T.tensor("float64", (None,) * x.ndim)
    pairs = T.fft.rfft(v, norm)
    back = tg.function([v], [pairs, T.fft.irfft(pairs, norm, is_odd=bool(sizes[-1] % 2))])
    if sizes[-1] == 1 or sizes[-1] % 2 or sizes[-1] > 1:
        found, again = back(x)
        np.testing.assert_allclose(again, x * (np.prod(sizes) if norm == "no_norm" else 1), atol=1e-12)
        if norm == "ortho" and len(sizes) == 1:
            full = np.fft.fft(x, norm="ortho")
            np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], full[:, : sizes[-1] // 2 + 1], atol=1e-12)


def test_a_transform_of_unknown_shape_that_does_not_fit():
    x = T.dtensor3("x")
    with pytest.raises(ShapeError):
        tg.function([x], T.fft.irfft(x))(np.ones((2, 3, 3)))


def test_float16_transforms_come_back_as_float16():
    x = np.ones((1, 4), dtype="float16")
    out = T.fft.irfft(T.fft.rfft(x))
    assert out.dtype == "float16"
    np.testing.assert_array_equal(out.eval(), x)


def test_a_filter_learned_through_its_spectrum():
    """A convolution as a product of spectra has the gradient of the convolution."""

    def filtered(x, w):
        a, b = T.fft.rfft(x), T.fft.rfft(w)
        real = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1]
        imag = a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
        return T.fft.irfft(T.stack([real, imag], axis=-1))

    rng = np.random.default_rng(0)
    x, w = rng.uniform(-1, 1, (1, 6)), rng.uniform(-1, 1, (1, 6))
    circular = scipy.linalg.circulant(w[0]) @ x[0]
    np.testing.assert_allclose(filtered(T.constant(x), T.constant(w)).eval()[0], circular, atol=1e-12)
    check_grad(filtered, x, w, seed=1)
