"""Elementwise operations beyond the op table: special values, kinks, masked lanes, dtypes and errors."""

from __future__ import annotations

import math
import operator
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.arrays import get, ignore_floating_point
from tinygraph.config import config
from tinygraph.errors import DisconnectedInputError, DtypeError, ShapeError
from tinygraph.ops.elementwise import ROWS, Elementwise
from tinygraph.ops.scalar import NegativePowerError, iround, isfinite, leaky_relu, relu
from tinygraph.ops.transcendental import hypot, sigmoid, softplus

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 1e-310, 1e-40, 1e30, -1e30, 1e300)


def evaluate(build, *arrays):
    """The value of a graph on arrays, unrewritten: what the operations themselves compute."""
    arrays = [np.asarray(a) for a in arrays]
    inputs = [T.tensor(dtype=a.dtype.name, shape=(None,) * a.ndim) for a in arrays]
    return tg.function(inputs, build(*inputs), mode="FAST_COMPILE", on_unused_input="ignore")(*arrays)


def gradients(build, *arrays, order=1):
    """Gradients of the sum of ``build`` towards its first input, up to an order, in each lane."""
    arrays = [np.asarray(a) for a in arrays]
    inputs = [T.tensor(dtype=a.dtype.name, shape=(None,) * a.ndim) for a in arrays]
    ones = T.tensor(dtype=arrays[0].dtype.name, shape=(None,) * arrays[0].ndim)
    out, found = build(*inputs), []
    for _ in range(order):
        out = tg.grad(None, inputs[0], known_grads={out: ones})
        found.append(out)
    run = tg.function([*inputs, ones], found, mode="FAST_COMPILE", on_unused_input="ignore")
    values = run(*arrays, np.ones_like(arrays[0]))
    return values[0] if order == 1 else values


def ulps(got, exact):
    """Distance in units in the last place of the dtype of ``got``; 0 for the right infinity or NaN."""
    want = got.dtype.type(exact)
    if np.array_equal(got, want, equal_nan=True):
        return 0.0
    if not np.isfinite(got) or not np.isfinite(want):
        return np.inf
    return abs(float((mpmath.mpf(float(got)) - exact) / mpmath.mpf(float(np.spacing(abs(want))))))


# --- values -------------------------------------------------------------------------------------------------------

UNARY = {
    "neg": np.negative,
    "abs": np.abs,
    "sgn": np.sign,
    "sqr": np.square,
    "sqrt": np.sqrt,
    "inv": np.reciprocal,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round_half_to_even": np.rint,
    "relu": lambda x: np.maximum(x, 0),
    **{
        name: getattr(np, name)
        for name in (
            *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos"),
            *("arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "deg2rad", "rad2deg"),
        )
    },
    **{name: getattr(scipy.special, name) for name in ("erf", "erfc", "erfinv", "erfcinv", "gamma", "gammaln", "psi")},
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "true_div": np.true_divide,
    "int_div": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "eq": np.equal,
    "neq": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "arctan2": np.arctan2,
    "hypot": np.hypot,
}


def special_values(dtype):
    with np.errstate(over="ignore", under="ignore"):
        return np.array(SPECIAL).astype(dtype).tolist()


def float_arrays(*shapes):
    """Arrays of these shapes, all float32 or all float64, rich in special values."""

    def of(dtype):
        values = st.floats(width=int(dtype[5:])) | st.sampled_from(special_values(dtype))
        return st.tuples(*[hnp.arrays(dtype, shape, elements=values) for shape in shapes])

    return st.sampled_from(FLOATS).flatmap(of)


def row(name, *inputs):
    return Elementwise(name)(*inputs)


def agree(got, want, signed_zeros=True):
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-6 if got.dtype == np.float32 else 1e-14, atol=0)
    if signed_zeros and got.dtype.kind == "f":
        zero = got == 0
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_unary_values_are_numpys_on_every_float(name, data):
    (x,) = data.draw(float_arrays((7,)))
    with np.errstate(all="ignore"):
        want = UNARY[name](x)
    agree(evaluate(lambda x: row(name, x), x), want, signed_zeros=name != "relu")


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_binary_values_are_numpys_on_every_float(name, data):
    x, y = data.draw(float_arrays((3, 1), (1, 4)))
    with np.errstate(all="ignore"):
        want = BINARY[name](x, y)
    got = evaluate(lambda x, y: row(name, x, y), x, y)
    agree(got, want, signed_zeros=name not in ("maximum", "minimum"))


@pytest.mark.parametrize("name", [n for n in (*UNARY, *BINARY) if "i" in ROWS[n].kinds and ROWS[n].dtypes != "float"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_integer_values_wrap_as_numpys(name, data):
    dtype = data.draw(st.sampled_from(INTEGERS))
    info = np.iinfo(dtype)
    elements = st.one_of(st.integers(info.min, info.max), st.sampled_from([0, 1, info.min, info.max]))
    low = 0 if name == "pow" else info.min
    x = data.draw(hnp.arrays(dtype, (3, 1), elements=elements))
    y = data.draw(hnp.arrays(dtype, (1, 4), elements=elements.filter(lambda n: n >= low)))
    arrays = (x,) if name in UNARY else (x, y)
    with np.errstate(all="ignore"):
        want = {**UNARY, **BINARY}[name](*arrays)
    got = evaluate(lambda *v: row(name, *v), *arrays)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def sample(name, shape, dtype):
    """Inputs that a row takes: ones for a condition, an order and integers, halves for floats."""
    spec = ROWS[name]
    first = {"switch": np.ones(shape, "bool"), "polygamma": np.ones(shape, dtype)}
    value = np.full(shape, 0.5, dtype) if "f" in spec.kinds else np.ones(shape, "int64")
    return [first.get(name, value), *[value.copy() for _ in range(spec.arity - 1)]]


@pytest.mark.parametrize("name", [n for n, spec in ROWS.items() if "f" in spec.kinds])
def test_float16_and_scalars(name):
    for shape in ((), (3,)):
        half = evaluate(lambda *v: row(name, *v), *sample(name, shape, "float16"))
        double = evaluate(lambda *v: row(name, *v), *sample(name, shape, "float64"))
        assert half.dtype == ("bool" if ROWS[name].dtypes in ("compare", "test") else "float16")
        np.testing.assert_allclose(half.astype("float64"), double, rtol=3e-3)


@pytest.mark.parametrize("name", ROWS)
def test_the_result_is_a_new_array(name):
    inputs = sample(name, (4,), "float64")
    for array in inputs:
        array.flags.writeable = False
    with ignore_floating_point():
        out = Elementwise(name).compute(get("numpy"), *inputs)
    assert not any(np.shares_memory(out, array) for array in inputs)


@settings(max_examples=50, deadline=None)
@given(x=st.sampled_from(FLOATS).flatmap(lambda d: hnp.arrays(d, (5,), elements=st.floats(width=int(d[5:])))))
def test_round_half_away_from_zero(x):
    got = evaluate(lambda x: T.round(x, mode="half_away_from_zero"), x)
    want = [math.copysign(int(abs(Fraction(v)) + Fraction(1, 2)), v) if math.isfinite(v) else v for v in x.tolist()]
    agree(got, np.array(want, x.dtype))


def test_halves_go_where_the_mode_says():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994, 4503599627370497.5])
    away = [-3, -2, -1, 1, 2, 3, 0, 4503599627370498]
    np.testing.assert_array_equal(evaluate(lambda x: T.round(x, "half_away_from_zero"), x), away)
    for mode in (None, "half_to_even"):
        np.testing.assert_array_equal(evaluate(lambda x, mode=mode: T.round(x, mode), x), np.rint(x))
    out = evaluate(iround, x)
    assert out.dtype == "int64"
    np.testing.assert_array_equal(out, np.rint(x).astype("int64"))
    with pytest.raises(DtypeError, match="half_to_even or half_away_from_zero"):
        T.round(T.dvector("x"), mode="up")


@pytest.mark.parametrize("function", [T.floor, T.ceil, T.trunc, T.round])
def test_integers_are_whole_already(function):
    for dtype in ("bool", "int8", "uint64"):
        x = T.tensor(dtype=dtype, shape=(None,))
        assert function(x) is x


@pytest.mark.parametrize("dtype", ["float16", *FLOATS])
def test_sigmoid_and_softplus_are_right_on_the_whole_range(dtype):
    reach = {"float16": 20, "float32": 110, "float64": 760}[dtype]
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-reach, reach, 300), rng.uniform(-3, 3, 100), [-100, -720, 17, 37]]).astype(dtype)
    bound = 2.0 if dtype == "float64" else 3.0  # NumPy's own exp of float32 is off by up to 2.5
    with mpmath.workdps(50):
        for value, s, p in zip(x.tolist(), evaluate(sigmoid, x), evaluate(softplus, x), strict=True):
            e = mpmath.exp(mpmath.mpf(value))
            assert ulps(s, e / (1 + e)) <= (2.0 if value < -20 else bound), value
            assert ulps(p, mpmath.log1p(e)) <= bound, value
    ends = np.array([1000, -1000, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(evaluate(sigmoid, ends), np.array([1, 0, 1, 0, np.nan], dtype))
    np.testing.assert_array_equal(evaluate(softplus, ends), np.array([1000, 0, np.inf, 0, np.nan], dtype))


def test_polygamma_is_right_on_both_sides_of_zero():
    x = np.array([0.1, 0.5, 1, 2.5, 10, 1e3, -0.1, -0.5, -1.25, -7.75, -30.3, -1e-5])
    for n in range(6):
        want = [float(mpmath.polygamma(n, mpmath.mpf(v))) for v in x.tolist()]
        np.testing.assert_allclose(evaluate(lambda x, n=n: T.polygamma(n, x), x), want, rtol=2e-12)
    np.testing.assert_array_equal(evaluate(T.tri_gamma, x), evaluate(lambda x: T.polygamma(1, x), x))


def test_polygamma_far_from_zero_takes_no_time():
    # Between the poles it has period 1 there; a sum term by term would never end.
    x = np.array([-1e10 + 0.25, -1e6 + 0.25, -1e300, -np.inf, np.nan, np.inf])
    np.testing.assert_allclose(evaluate(T.tri_gamma, x[:2]), 2 * np.pi**2, rtol=1e-5)
    np.testing.assert_array_equal(evaluate(T.tri_gamma, x[2:]), [np.inf, np.nan, np.nan, 0])


def test_polygamma_takes_orders_of_any_kind():
    x = np.array([2.0, 2.0, 2.0, 2.0])
    got = evaluate(T.polygamma, np.array([0.0, 3.0, -1.0, 1.5]), x)
    np.testing.assert_allclose(got[:2], scipy.special.polygamma([0, 3], x[:2]))
    assert np.isnan(got[2:]).all()
    for n in (-1, 0.5):
        with pytest.raises(DtypeError, match="whole number"):
            T.polygamma(n, T.dvector("x"))


def test_clip_with_bounds_the_wrong_way_round():
    x, low, high = np.array([-1.0, 0.5, 3.0]), 1.0, 0.0
    expected = [1.0, 1.0, 0.0]  # min below min, max elsewhere, as Theano
    for bounds in ((low, high), (np.full(3, low), np.full(3, high))):
        np.testing.assert_array_equal(evaluate(T.clip, x, *bounds), expected)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_clip_is_theanos_on_every_float(data):
    x, low, high = data.draw(float_arrays((4, 1), (1, 3), (1, 3)))
    want = np.where(x < low, low, np.where(x > high, high, x))
    np.testing.assert_array_equal(evaluate(T.clip, x, low, high), want)
    for i in range(3):
        np.testing.assert_array_equal(evaluate(T.clip, x, low[0, i], high[0, i]), want[:, i : i + 1])


# --- derivatives --------------------------------------------------------------------------------------------------


def test_derivatives_neither_cancel_nor_overflow():
    def sech2(x):
        return 1 / mpmath.cosh(x) ** 2

    cases = [
        (sigmoid, lambda x: mpmath.exp(-x) / (1 + mpmath.exp(-x)) ** 2, [-700, -40, -1, 0, 1, 17, 40, 700]),
        (softplus, lambda x: 1 / (1 + mpmath.exp(-x)), [-700, -40, 0, 40, 700]),
        (T.expm1, mpmath.exp, [-700, -40, -1e-300, 1, 700]),
        (T.log1p, lambda x: 1 / (1 + x), [-0.999999, -1e-300, 1e-300, 1e300]),
        (T.arcsin, lambda x: 1 / mpmath.sqrt(1 - x * x), [0.999999, -1 + 1e-15, 0, 1e-300, 1 - 1e-15]),
        (T.arccos, lambda x: -1 / mpmath.sqrt(1 - x * x), [0.999999, -1 + 1e-15, 0, 1 - 1e-15]),
        (T.arcsinh, lambda x: 1 / mpmath.sqrt(1 + x * x), [-1e300, -1, 0, 1e-300, 1e300]),
        (T.arccosh, lambda x: 1 / mpmath.sqrt(x * x - 1), [1 + 1e-15, 2, 1e300]),
        (T.arctanh, lambda x: 1 / (1 - x * x), [0.999999, -1 + 1e-15, 0, 1 - 1e-15]),
        (T.tanh, sech2, [-3, 0, 1e-300, 3]),
        (T.inv, lambda x: -1 / x**2, [1e-150, -1, 1e150]),
        (T.erfc, lambda x: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), [-5, 0, 5, 26]),
    ]
    with mpmath.workdps(50):
        for function, exact, points in cases:
            x = np.array(points, "float64")
            want = [float(exact(mpmath.mpf(v))) for v in x.tolist()]
            np.testing.assert_allclose(gradients(function, x), want, rtol=2e-13, atol=0, err_msg=str(function))


@pytest.mark.parametrize("dtype", FLOATS)
def test_arctan2_and_hypot_near_the_limits_of_the_dtype(dtype):
    tiny, huge = (1e-30, 1e30) if dtype == "float32" else (1e-200, 1e200)
    y, x = np.array([3 * tiny, 3 * huge], dtype), np.array([4 * tiny, 4 * huge], dtype)
    slope = gradients(T.arctan2, y, x)
    np.testing.assert_allclose(slope, [0.16 / tiny, 0.16 / huge], rtol=1e-6)
    np.testing.assert_allclose(gradients(lambda x, y: T.arctan2(y, x), x, y), [-0.12 / tiny, -0.12 / huge], rtol=1e-6)
    np.testing.assert_allclose(gradients(hypot, y, x), [0.6, 0.6], rtol=1e-6)


def test_constants_in_derivatives_keep_the_dtype():
    for name in UNARY:
        if not ROWS[name].vjp or ROWS[name].dtypes == "test":
            continue
        for dtype in ("float16", "float32"):
            x = T.tensor(dtype=dtype, shape=(None,))
            g = tg.grad(None, x, known_grads={row(name, x): x})
            assert g.dtype == dtype, name


def test_square_root_at_zero_has_an_infinite_slope():
    np.testing.assert_array_equal(gradients(T.sqrt, [0.0, 4.0]), [np.inf, 0.25])


# --- subgradients at kinks, as Theano has them --------------------------------------------------------------------


def test_abs_at_zero():
    np.testing.assert_array_equal(gradients(T.abs_, [-2.0, 0.0, 3.0]), [-1, 0, 1])


@pytest.mark.parametrize(("function", "first"), [(T.maximum, [0, 1, 1]), (T.minimum, [1, 1, 0])])
def test_ties_go_to_the_first_operand(function, first):
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    np.testing.assert_array_equal(gradients(function, x, y), first)
    np.testing.assert_array_equal(gradients(lambda y, x: function(x, y), y, x), 1 - np.array(first))


def test_clip_passes_the_gradient_on_the_closed_interval():
    x, low, high = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.full(5, -1.0), np.full(5, 1.0)
    np.testing.assert_array_equal(gradients(T.clip, x, low, high), [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(gradients(lambda a, x, b: T.clip(x, a, b), low, x, high), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(gradients(lambda b, x, a: T.clip(x, a, b), high, x, low), [0, 0, 0, 0, 1])
    # Bounds the wrong way round: the gradient goes to the bound that is the value.
    np.testing.assert_array_equal(gradients(lambda b, x, a: T.clip(x, a, b), low, x, high), [0, 0, 0, 1, 1])


def test_rectifiers_at_zero():
    x = np.array([-2.0, 0.0, 3.0])
    np.testing.assert_array_equal(evaluate(relu, [-np.inf, -1, 2, np.inf, np.nan]), [0, 0, 2, np.inf, np.nan])
    np.testing.assert_array_equal(gradients(relu, x), [0, 0.5, 1])
    np.testing.assert_array_equal(gradients(lambda x: leaky_relu(x, 0), x), [0, 0.5, 1])
    np.testing.assert_array_equal(gradients(lambda x: leaky_relu(x, 0.2), x), [0.2, 0.6, 1])
    np.testing.assert_array_equal(gradients(leaky_relu, x, np.full(3, 0.2)), [0.2, 0.6, 1])
    np.testing.assert_array_equal(gradients(lambda a, x: leaky_relu(x, a), np.full(3, 0.2), x), [-2, 0, 0])


def test_mod_and_whole_division():
    x, y = np.array([7.5, -7.5]), np.array([2.0, 2.0])
    np.testing.assert_array_equal(gradients(T.mod, x, y), [1, 1])
    np.testing.assert_array_equal(gradients(lambda y, x: T.mod(x, y), y, x), [-3, 4])
    np.testing.assert_array_equal(gradients(T.int_div, x, y), [0, 0])


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round_half_to_even", "round_half_away_from_zero", "sgn"])
def test_steps_are_connected_with_a_gradient_of_zero(name):
    np.testing.assert_array_equal(gradients(getattr(T, name), [0.5, 1.0, np.nan, np.inf]), [0, 0, 0, 0])


def test_comparisons_cut_the_path():
    x = T.dvector("x")
    for out in (T.lt(x, 0), T.isnan(x), T.eq(x, x)):
        assert out.dtype == "bool"
        with pytest.raises(DisconnectedInputError):
            tg.grad(None, x, known_grads={T.cast(out, "float64"): x})


# --- powers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("constant", [True, False])
def test_powers_of_zero_to_any_order(constant):
    def power(exponent, order):
        x = np.array([0.0, 2.0])
        if constant:
            return gradients(lambda x: T.pow(x, exponent), x, order=order)
        return gradients(T.pow, x, np.full(2, float(exponent)), order=order)

    for exponent in range(5):
        x, coefficient = np.array([0.0, 2.0]), 1.0
        for k, got in enumerate(power(exponent, 4)):
            coefficient *= exponent - k
            want = coefficient * x ** max(exponent - k - 1, 0) if coefficient else np.zeros(2)
            np.testing.assert_allclose(got, want, err_msg=f"x ** {exponent}, derivative {k + 1}")
    np.testing.assert_array_equal(power(0.5, 2)[0], [np.inf, 0.5 * 2**-0.5])


def test_the_mixed_derivative_of_a_power_at_exponent_zero():
    # d/dy d/dx x ** y is 1 / x at y = 0: the zero slope there must not hide it.
    x, y, one = T.dvector("x"), T.dvector("y"), T.dvector("one")
    slope = tg.grad(None, x, known_grads={T.pow(x, y): one})
    mixed = tg.grad(None, y, known_grads={slope: one})
    run = tg.function([x, y, one], [slope, mixed], mode="FAST_COMPILE")
    got = run(np.array([4.0, 0.0, 0.5]), np.zeros(3), np.ones(3))
    np.testing.assert_array_equal(got[0], [0, 0, 0])
    np.testing.assert_allclose(got[1], [0.25, 0, 2])


def test_the_exponents_gradient_at_base_zero():
    x, y = np.array([0.0, 0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 3.0])
    first, second = gradients(lambda y, x: T.pow(x, y), y, x, order=2)
    np.testing.assert_allclose(first, [0, 0, 0, 8 * np.log(2)])
    np.testing.assert_allclose(second, [0, 0, 0, 8 * np.log(2) ** 2])


def test_no_nan_leaks_through_a_flat_power():
    for y in (0, 0.0):
        np.testing.assert_array_equal(gradients(lambda x, y=y: T.pow(T.sqrt(x), y), [0.0, 4.0]), [0, 0])
    np.testing.assert_array_equal(gradients(lambda x, y: T.pow(T.sqrt(x), y), [0.0, 4.0], [0.0, 0.0]), [0, 0])
    np.testing.assert_array_equal(gradients(T.pow, [1e-310, np.nan, np.inf], [0.0, 0.0, 0.0]), [0, 0, 0])


def test_integers_to_negative_powers():
    n = T.lvector("n")
    with pytest.raises(NegativePowerError, match="float") as err:
        T.pow(n, -1)
    assert isinstance(err.value, DtypeError)
    assert isinstance(err.value, ValueError)
    assert "test_elementwise.py" in str(err.value)
    with pytest.raises(NegativePowerError):
        T.pow(n, np.array([1, -2]))
    with pytest.raises(NegativePowerError):
        T.pow(2, -1)
    with pytest.raises(ValueError, match="negative integer powers"):
        evaluate(T.pow, np.array([1, 2]), np.array([1, -1]))
    np.testing.assert_array_equal(evaluate(T.pow, np.array([2.0]), np.array([-1])), [0.5])
    assert T.pow(n, -1.0).dtype == "float64"


# --- masked lanes -------------------------------------------------------------------------------------------------

MASKED = {
    "switch": lambda x: T.switch(T.gt(x, 0), T.sqrt(x), 0),
    "where": lambda x: T.where(T.gt(x, 0), T.log(x), 0),
    "maximum, first": lambda x: T.maximum(-T.sqrt(x), -T.sqrt(x) * 2 + 0.5),
    "maximum": lambda x: T.maximum(T.sqrt(x), 0.5),
    "minimum": lambda x: T.minimum(-T.sqrt(x), -0.5),
    "clip": lambda x: T.clip(T.sqrt(x), 0.5, 10),
    "relu": lambda x: relu(T.sqrt(x) - 0.5),
    "leaky_relu": lambda x: leaky_relu(T.sqrt(x) - 0.5, T.constant(0.0)),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_lanes_have_a_gradient_of_zero(name):
    first, second = gradients(MASKED[name], [0.0, 4.0], order=2)
    assert first[0] == second[0] == 0 or name == "maximum, first"
    assert first[1] != 0
    assert second[1] != 0
    if name == "maximum, first":
        assert first[0] == -np.inf  # there the second operand is chosen, and its slope is infinite


def test_the_first_operand_of_a_condition_is_any_number():
    got = evaluate(T.switch, [0.0, -0.0, 2.0, np.nan], np.ones(4), np.zeros(4))
    np.testing.assert_array_equal(got, [0, 0, 1, 1])
    got = evaluate(T.where, np.array([0, 3]), np.ones(2), np.zeros(2))
    np.testing.assert_array_equal(got, [0, 1])


# --- dtypes and errors --------------------------------------------------------------------------------------------


def test_dtypes_of_results():
    f, i, b = T.fvector("f"), T.ivector("i"), T.tensor(dtype="bool", shape=(None,))
    assert T.add(f, 1.5).dtype == "float32"
    assert T.true_div(i, i).dtype == "float64"
    assert T.exp(i).dtype == "float64"
    assert T.exp(f).dtype == "float32"
    with config.change_flags(floatX="float32"):
        assert T.exp(i).dtype == "float32"
        assert T.true_div(i, 2).dtype == "float32"
    assert T.pow(i, 2).dtype == "int32"
    assert T.pow(i, 2.0).dtype == "float64"
    assert T.add(b, b).dtype == T.mul(b, b).dtype == T.invert(b).dtype == "bool"
    assert T.add(b, 1).dtype == "int64"
    assert T.switch(i, f, 0).dtype == "float32"
    assert T.switch(b, i, 1.5).dtype == "float64"
    assert T.clip(f, 0, 1).dtype == "float32"
    assert T.and_(i, b).dtype == "int32"
    assert isfinite(i).dtype == "bool"
    assert T.polygamma(2, f).dtype == "float32"


@pytest.mark.parametrize("function", [operator.floordiv, operator.mod, operator.pow])
def test_bools_divide_and_have_powers_as_int8(function):
    x, y = (T.tensor(dtype="bool", shape=(None,)) for _ in range(2))
    a, b = np.array([True, False]), np.array([True, True])
    out = function(x, y)
    assert out.dtype == function(a, b).dtype == "int8"
    np.testing.assert_array_equal(out.eval({x: a, y: b}), function(a, b))


@pytest.mark.parametrize("function", [T.neg, T.sgn, lambda b: T.sub(b, b)])
def test_arithmetic_that_bools_do_not_have(function):
    with pytest.raises(DtypeError, match="astype") as err:
        function(T.tensor(dtype="bool", shape=(None,)))
    assert "test_elementwise.py" in str(err.value)


@pytest.mark.parametrize("function", [T.and_, T.or_, T.xor, lambda x, _: T.invert(x)])
def test_floats_have_no_bits(function):
    with pytest.raises(DtypeError, match="not defined for float64"):
        function(T.dvector("x"), T.dvector("y"))


def test_logic_is_bitwise_on_integers():
    x, y = np.array([12, 10, -1]), np.array([10, 10, 5])
    np.testing.assert_array_equal(evaluate(T.and_, x, y), x & y)
    np.testing.assert_array_equal(evaluate(T.or_, x, y), x | y)
    np.testing.assert_array_equal(evaluate(T.xor, x, y), x ^ y)
    np.testing.assert_array_equal(evaluate(T.invert, x), ~x)
    np.testing.assert_array_equal(evaluate(T.invert, np.array([True, False])), [False, True])


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match="do not broadcast"):
        T.maximum(T.tensor(dtype="float64", shape=(2, 3)), T.tensor(dtype="float64", shape=(2,)))
    with pytest.raises(ShapeError, match="do not broadcast"):
        evaluate(T.clip, np.zeros((2, 3)), np.zeros(2), np.zeros(3))
