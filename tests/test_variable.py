"""Operators and methods of variables: NumPy's results and dtypes, and errors that say what to write."""

import copy
import math
import operator

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError, TinygraphError
from tinygraph.types import DTYPES, TensorType

x, y = T.dvectors("x", "y")
X = T.dmatrix("X")
n = T.lscalar("n")

NUMBERS = [dtype for dtype in DTYPES if dtype != "bool"]
DISCRETE = [dtype for dtype in DTYPES if not dtype.startswith("float")]


def variable(array, name="a"):
    return TensorType(array.dtype.name, (None,) * array.ndim)(name)


def same(actual, expected):
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-3 if expected.dtype == "float16" else 1e-6)


# --- operators against NumPy ------------------------------------------------------------------------------------------

ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "lt", "le", "gt", "ge"]
LOGIC = ["and_", "or_", "xor"]

shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)


def drawn(data, dtype, shape):
    """Small positive numbers: no operator overflows, divides by zero or leaves a dtype's range."""
    return data.draw(
        hnp.arrays(dtype, shape, elements=st.integers(0 if dtype == "bool" else 1, 1 if dtype == "bool" else 5))
    )


def numpy_result(f, *operands):
    """NumPy's result, with what it computes in half precision for small integers made ``config.floatX``."""
    out = f(*operands)
    discrete = all(np.asarray(v).dtype.kind in "biu" for v in operands)
    return np.asarray(out).astype("float64") if discrete and out.dtype.kind == "f" else np.asarray(out)


@given(st.data(), st.sampled_from(ARITHMETIC), st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), shapes)
def test_operators(data, name, first, second, shapes):
    f = getattr(operator, name)
    a, b = (drawn(data, dtype, shape) for dtype, shape in zip((first, second), shapes.input_shapes, strict=True))
    if name == "sub":
        a = np.asarray(a + a.dtype.type(5))  # an array of no dimensions would become a scalar, which gives way
    expected = numpy_result(f, a, b)
    va, vb = variable(a, "a"), variable(b, "b")
    same(f(va, vb).eval({va: a, vb: b}), expected)
    same(f(va, b).eval({va: a}), expected)
    same(f(a, vb).eval({vb: b}), expected)  # NumPy's operator must leave this to ours


@given(st.data(), st.sampled_from(LOGIC), st.sampled_from(DISCRETE), st.sampled_from(DISCRETE), shapes)
def test_logic(data, name, first, second, shapes):
    f = getattr(operator, name)
    if np.result_type(first, second).kind == "f":
        return
    a, b = (drawn(data, dtype, shape) for dtype, shape in zip((first, second), shapes.input_shapes, strict=True))
    va, vb = variable(a, "a"), variable(b, "b")
    same(f(va, vb).eval({va: a, vb: b}), np.asarray(f(a, b)))
    same(f(a, vb).eval({vb: b}), np.asarray(f(a, b)))


@given(st.data(), st.sampled_from(ARITHMETIC), st.sampled_from(NUMBERS), st.sampled_from([1, 2, 2.5, 0.5]))
def test_python_scalars_are_weak(data, name, dtype, scalar):
    f = getattr(operator, name)
    a = drawn(data, dtype, (3,)) + np.dtype(dtype).type(2)
    va = variable(a)
    same(f(va, scalar).eval({va: a}), numpy_result(f, a, scalar))
    if not (name == "sub" and dtype.startswith("u")):
        same(f(scalar, va).eval({va: a}), numpy_result(f, scalar, a))


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "float64"])
@pytest.mark.parametrize("exponent", [2, 3, 0.5])
def test_power(dtype, exponent):
    a = np.array([1, 2, 4], dtype)
    va = variable(a)
    same((va**exponent).eval({va: a}), a**exponent)
    same((exponent**va).eval({va: a}), exponent**a)
    same((va**va).eval({va: a}), a**a)


def evaluated(expression, **values):
    inputs = [v for v in tg.graph.graph_inputs([expression]) if v.name in values]
    return expression.eval({v: values[v.name] for v in inputs})


def test_division_with_rest():
    a, b = np.array([7, -7]), np.array([3, -2])
    va, vb = variable(a, "a"), variable(b, "b")
    pairs = [(divmod(va, vb), divmod(a, b)), (divmod(9, vb), divmod(9, b)), (divmod(a, vb), divmod(a, b))]
    for symbolic, known in pairs:
        assert isinstance(symbolic, tuple)
        for out, expected in zip(symbolic, known, strict=True):
            same(evaluated(out, a=a, b=b), expected)


def test_matrix_product():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    va, vb = variable(a, "a"), variable(b, "b")
    for product in (va @ b, a @ vb, va @ vb, va.dot(b), np.matmul(a, vb), np.dot(va, b)):
        np.testing.assert_array_equal(evaluated(product, a=a, b=b), a @ b)


def test_unary_operators():
    a = np.array([-1.5, 0.0, 2.5])
    for f in (operator.neg, operator.pos, abs, math.floor, math.ceil, math.trunc):
        expected = f(a) if f not in (math.floor, math.ceil, math.trunc) else getattr(np, f.__name__)(a)
        same(f(x).eval({x: a}), expected)
    m = np.array([True, False])
    v = variable(m)
    same((~v).eval({v: m}), ~m)


def test_numpy_scalars_on_the_left_stay_weak():
    f = T.fvector("f")
    for expression in (np.sqrt(2) * f, f * np.sqrt(2), np.float64(2) - f, np.int64(2) + f, np.float32(1) / f):
        assert expression.dtype == "float32"
    assert (np.ones(2) * f).dtype == "float64"


def test_an_integer_that_does_not_fit():
    with pytest.raises(DtypeError, match="does not fit int8"):
        T.bvector("b") + 300


def test_foreign_objects_are_left_to_themselves():
    class Reflected:
        def __radd__(self, other):
            return "reflected"

        def __gt__(self, other):
            return "greater"

    class Array:
        """An array type that asks NumPy, and us, to leave operators to it."""

        __array_ufunc__ = None

        def __array__(self, dtype=None, copy=None):
            raise AssertionError("must not be converted")

        def __rmul__(self, other):
            return "multiplied"

    assert x + Reflected() == "reflected"
    assert (x < Reflected()) == "greater"
    assert x * Array() == "multiplied"
    for foreign in (None, "text", {}, 1j, object()):
        with pytest.raises(TypeError, match="unsupported operand"):
            x + foreign


def test_lists_are_operands():
    np.testing.assert_array_equal((x * [1, 2]).eval({x: [2.0, 2.0]}), [2, 4])
    np.testing.assert_array_equal(([1, 2] - x).eval({x: [1.0, 1.0]}), [0, 1])


def test_equality_and_hash_are_those_of_the_object():
    assert (x == y) is False
    assert (x != y) is True
    assert {x: 1, y: 2}[x] == 1
    assert (x == 1.0) is False
    assert x in [y, x]


# --- NumPy's functions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ufunc", [np.exp, np.tanh, np.sqrt, np.square, np.negative, np.sign, np.rint, np.isnan, np.log1p]
)
def test_ufuncs(ufunc):
    a = np.array([0.5, 1.5, 4.0])
    same(ufunc(x).eval({x: a}), ufunc(a))


@pytest.mark.parametrize("ufunc", [np.add, np.power, np.maximum, np.arctan2, np.hypot, np.not_equal, np.logical_and])
def test_binary_ufuncs(ufunc):
    a, b = np.array([0.5, 0.0]), np.array([2.0, 0.0])
    same(ufunc(x, b).eval({x: a}), ufunc(a, b))
    same(ufunc(a, y).eval({y: b}), ufunc(a, b))


def test_special_functions_of_scipy():
    a = np.array([-0.5, 0.5])
    for f in (scipy.special.expit, scipy.special.erf, scipy.special.erfinv):
        same(f(x).eval({x: a}), f(a))


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: np.add.reduce(x), "T.sum"),
        (lambda: np.exp(x, out=np.zeros(2)), "leave out= away"),
        (lambda: operator.iadd(np.zeros(2), x), "y = a + x"),
        (lambda: np.exp(x, where=np.ones(2, bool)), "T.switch"),
        (lambda: np.spacing(x), "known are"),
        (lambda: np.histogram(x), "x.eval"),
        (lambda: np.asarray(x), "x.eval"),
        (lambda: np.array([x, y]), "T.stack([x, y])"),
    ],
)
def test_what_numpy_cannot_do_is_refused(call, hint):
    with pytest.raises(DtypeError) as caught:
        call()
    assert hint in str(caught.value)


def test_numpy_functions():
    a = np.arange(6.0).reshape(2, 3)
    for f in (np.sum, np.mean, np.std, np.argmax, np.transpose, np.ravel, np.cumsum, np.tril, np.zeros_like, np.shape):
        np.testing.assert_allclose(f(X).eval({X: a}), f(a))
    for f in (
        lambda v: np.sum(v, axis=0, keepdims=True),
        lambda v: np.concatenate([v, a], axis=1),
        lambda v: np.stack((v, v)),
        lambda v: np.where(v > 2, v, -v),
        lambda v: np.clip(v, 1, 3),
        lambda v: np.reshape(v, (3, 2)),
        lambda v: np.expand_dims(v, 1),
        lambda v: np.roll(v, 1),
    ):
        np.testing.assert_allclose(f(X).eval({X: a}), f(a))
    assert np.ndim(X) == 2


# --- what Python asks of containers and numbers -----------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_truth_of_comparisons(sign):
    for text in (f"x {sign} y {sign} 1", f"bool(x {sign} 0)", f"1 if 0 {sign} x else 2"):
        with pytest.raises(DtypeError) as caught:
            eval(text)
        assert "T.switch" in str(caught.value)
        assert "T.and_" in str(caught.value)


def test_truth():
    for comparison in (T.eq(x, y), T.neq(x, 1), T.constant(1) < 2):
        with pytest.raises(TypeError, match="not known before the function runs"):
            bool(comparison)
    for other in (x, x + y, T.constant(0), tg.shared(0.0), T.and_(x > 0, y > 0)):
        assert bool(other) is True
    assert x or False


def test_length():
    assert len(x.reshape((2, 3))) == 2
    assert len(X.shape) == 2
    with pytest.raises(TypeError) as caught:
        len(x)
    assert "x.shape[0]" in str(caught.value)
    with pytest.raises(TypeError, match="0-d tensor has no length"):
        len(n)


def test_iteration():
    rows, columns = X.shape
    np.testing.assert_array_equal((rows * columns).eval({X: np.zeros((3, 5))}), 15)
    _, second = X.reshape((2, 3))
    np.testing.assert_array_equal(second.eval({X: np.arange(6.0).reshape(3, 2)}), [3, 4, 5])
    for unknown in (x, n):
        with pytest.raises(TypeError, match="cannot iterate") as caught:
            list(unknown)
        assert "T.sum" in str(caught.value)
    with pytest.raises(TypeError, match="cannot iterate"):
        sum(x)


def test_assignment_and_membership():
    with pytest.raises(TypeError) as caught:
        x[0] = 1.0
    assert "x = T.set_subtensor(x[i], y)" in str(caught.value)
    with pytest.raises(TypeError, match=r"T\.inc_subtensor"):
        X[:, 0] += 1.0
    with pytest.raises(TypeError, match=r"T\.any"):
        1.0 in x


@pytest.mark.parametrize(
    "convert", [float, int, complex, operator.index, math.sqrt, range, lambda v: [1, 2][v], lambda v: np.ones(3)[v]]
)
def test_python_numbers(convert):
    with pytest.raises(TypeError) as caught:
        convert(n)
    assert isinstance(caught.value, TinygraphError)
    assert "eval" in str(caught.value)


def test_numbers_of_constants_and_shared_variables():
    assert float(T.constant(1.5)) == 1.5
    assert int(T.constant(7)) == [*range(9)][T.constant(7)] == 7
    assert complex(T.constant(2.0)) == 2
    with pytest.raises(TypeError, match="only an integer can be an index"):
        operator.index(T.constant(1.5))
    with pytest.raises(TypeError, match="get_value"):
        float(tg.shared(1.0, "s"))
    with pytest.raises(TypeError, match="as a number"):
        float(T.constant([1.0]))
    np.testing.assert_array_equal(np.asarray(T.constant([1, 2])), [1, 2])


def test_errors_show_the_users_line():
    with pytest.raises(DtypeError) as caught:
        bool(x < 1)
    assert "test_variable.py" in str(caught.value)


# --- methods ----------------------------------------------------------------------------------------------------------

A = np.array([[0.3, -0.5, 0.2], [0.9, 0.1, -0.4]])


def words(text):
    return text.split()


NAMES = words("""
    abs sum prod mean var std max min argmax argmin any all ptp cumsum cumprod flatten ravel transpose squeeze sort
    argsort diagonal nonzero_values exp exp2 expm1 log1p sin cos tan arcsin arccos arctan arctanh arcsinh sinh cosh
    tanh deg2rad rad2deg floor ceil trunc round zeros_like ones_like
""")
THEANOS = words("""
    T all any arccos arccosh arcsin arcsinh arctan arctanh argmax argmin argsort astype broadcastable ceil clip conj
    conjugate copy cos cosh cumprod cumsum deg2rad diagonal dimshuffle dot dtype eval exp exp2 expm1 fill flatten floor
    get_scalar_constant_value log log10 log1p log2 max mean min ndim nonzero nonzero_values norm ones_like prod ptp
    rad2deg ravel repeat reshape round shape sin sinh size sort sqrt squeeze std sum swapaxes take tan tanh trace
    transpose trunc var zeros_like
""")


@pytest.mark.parametrize("name", NAMES)
def test_methods_are_the_functions(name):
    method = abs(X) if name == "abs" else getattr(X, name)()
    function = getattr(T, name)(X)
    assert method.type == function.type
    np.testing.assert_array_equal(method.eval({X: A}), function.eval({X: A}))


@pytest.mark.parametrize(
    ("symbolic", "expected"),
    [
        (X.T, A.T),
        (X.dot(A.T), A @ A.T),
        (X.norm(2), np.linalg.norm(A)),
        (X.norm(1, axis=0), np.abs(A).sum(0)),
        (X.sum(1, keepdims=True), A.sum(1, keepdims=True)),
        (X.mean(0, "float64", True), A.mean(0, keepdims=True)),
        (X.clip(-0.1, a_max=0.2), A.clip(-0.1, 0.2)),
        (X.reshape(3, 2), A.reshape(3, 2)),
        (X.reshape((3, -1)), A.reshape(3, 2)),
        (X.reshape([6]), A.reshape(6)),
        (X.reshape(-1), A.reshape(6)),
        (X.reshape((1, 6), 2), A.reshape(1, 6)),
        (X.reshape(X.T.shape), A.reshape(3, 2)),
        (X.reshape(X.shape[::-1], ndim=2), A.reshape(3, 2)),
        (X.reshape(X.shape[1], X.shape[0]), A.reshape(3, 2)),
        (X.reshape(shape=(6, 1)), A.reshape(6, 1)),
        (X.flatten(2), A),
        (X.flatten(ndim=1), A.ravel()),
        (X.dimshuffle(1, "x", 0), A.T[:, None]),
        (X.dimshuffle((1, 0)), A.T),
        (X.transpose(1, 0), A.T),
        (X.transpose((0, 1)), A),
        (X.swapaxes(0, 1), A.T),
        (X.repeat(2, axis=1), A.repeat(2, 1)),
        (X.sort(axis=0), np.sort(A, 0)),
        (X.diagonal(1), A.diagonal(1)),
        (X.trace(), A.trace()),
        (X.trace(offset=-1), A.trace(-1)),
        (X.take([2, 0], axis=1), A.take([2, 0], 1)),
        (X.round("half_away_from_zero"), np.trunc(A + np.copysign(0.5, A))),
        (X.astype("int32"), A.astype("int32")),
        (X.fill(2.5), np.full_like(A, 2.5)),
        (X.zeros_like(dtype="int8"), np.zeros_like(A, "int8")),
        (X.cumsum(axis=1), A.cumsum(1)),
        (X.argmax(axis=1), A.argmax(1)),
        (X.copy(), A),
        (X.conj(), A),
        (X.real, A),
        (X.imag, np.zeros_like(A)),
        (X.size, A.size),
        (X.shape, np.array(A.shape)),
        (X.nonzero()[1], A.nonzero()[1]),
        (X[1, ::-1], A[1, ::-1]),
    ],
)
def test_methods(symbolic, expected):
    actual = symbolic.eval({X: A})
    assert actual.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(actual, expected)


@pytest.mark.parametrize("name", THEANOS)
def test_every_method_of_theano_is_there(name):
    assert hasattr(T.TensorVariable, name)


def test_size_and_shape_follow_what_is_known():
    v = T.tensor("float64", (2, 3))
    assert v.size.abstract.value == 6
    assert v.shape.abstract.value == (2, 3)
    assert T.tensor("float64", (2, None)).shape.abstract.value == (2, None)
    assert float(T.dscalar().zeros_like().size.eval()) == 1


def test_get_scalar_constant_value():
    for v in (T.constant(3), T.constant([3]), T.alloc(3, 2, n), T.constant(3).dimshuffle("x"), X.shape.shape[0] + 1):
        value = v.get_scalar_constant_value()
        assert (value == 3, value.shape, value.dtype) == (True, (), np.dtype("int64"))
    assert T.ones((2, 2), "float32").astype("float64").get_scalar_constant_value().dtype == "float64"
    for v in (x, T.constant([1, 2]), n + 1):
        with pytest.raises(T.NotScalarConstantError):
            v.get_scalar_constant_value()


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copy_is_an_expression():
    twin = copy.copy(x + 1)
    np.testing.assert_array_equal(twin.eval({x: [1.0]}), [2])
    assert x.copy("z").name == "z"
    leaf = copy.copy(x)
    assert leaf is not x
    assert leaf.type == x.type


def test_deepcopy_is_independent():
    s = tg.shared(np.array([1.0, 2.0]), "s")
    model = {"input": x, "weights": s, "output": x * s + T.constant([1.0, 1.0])}
    twin = copy.deepcopy(model)
    assert twin["weights"] is not s
    s.set_value([10.0, 10.0])
    np.testing.assert_array_equal(twin["output"].eval({twin["input"]: [1.0, 1.0]}), [2, 3])
    assert twin["weights"].name == "s"
    np.testing.assert_array_equal(model["output"].eval({x: [1.0, 1.0]}), [11, 11])


def test_deepcopy_of_a_deep_graph():
    total = x
    for _ in range(5000):
        total = total + 1.0
    twin, leaf = copy.deepcopy((total, x))
    np.testing.assert_array_equal(twin.eval({leaf: [0.0]}), [5000])


def test_identity_of_copies_has_a_gradient():
    np.testing.assert_array_equal(tg.grad(x.copy().sum(), x).eval({x: [1.0, 2.0]}), [1, 1])


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match="broadcast"):
        T.tensor("float64", (2,)) + T.tensor("float64", (3,))
