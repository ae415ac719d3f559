"""The vectorised functions of the native backend: errors in units in the last place, special values, lanes."""

import ctypes
import math
import os

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygraph.backends.native import vecmath
from tinygraph.backends.native import vecmath_coefficients as fit
from tinygraph.backends.native.emit import Lanes, Module

llvm = pytest.importorskip("llvmlite.binding")
special = pytest.importorskip("scipy.special")

#: How many bit patterns of float32, evenly spread, each function is tried at; 2**32 is all of them.
POINTS = int(os.environ.get("TINYGRAPH_VECMATH_POINTS", str(2**17)))

KINDS = {"float": np.float32, "double": np.float64}
WIDTHS = {"float": 8, "double": 4}
WIDER = {"float": np.float64, "double": np.longdouble}
PAIRS = ("arctan2", "hypot", "pow")

#: The largest error of each function, float and double, in units in the last place; the table in ``vecmath`` says what
#: was found over more points than are tried here.
LIMITS = {
    "arccos": (1.4, 1.4),
    "arccosh": (2.4, 2.4),
    "arcsin": (2.6, 2.6),
    "arcsinh": (2.0, 2.0),
    "arctan2": (2.5, 2.5),
    "arctanh": (2.5, 2.5),
    "arctan": (2.0, 2.0),
    "cos": (1.7, 1.7),
    "cosh": (1.6, 1.6),
    "erf": (1.25, 1.25),
    "erfc": (0.52, 4.8),
    "exp": (1.1, 1.1),
    "exp2": (1.0, 1.2),
    "expm1": (1.6, 2.1),
    "hypot": (0.51, 1.3),
    "log": (0.95, 0.95),
    "log10": (1.1, 1.1),
    "log1p": (1.6, 1.6),
    "log2": (1.1, 1.1),
    "pow": (0.51, 1.7),
    "sigmoid": (1.6, 1.6),
    "sin": (1.7, 1.7),
    "sinh": (1.8, 1.8),
    "softplus": (2.2, 2.2),
    "sqrt": (0.5, 0.5),
    "tan": (3.9, 3.9),
    "tanh": (1.4, 1.4),
}


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def _sigmoid(x):
    tail = np.exp(-abs(x))
    return np.where(x < 0, tail, np.ones_like(x)) / (1 + tail)


_BY_MPMATH = {"erf": mp.erf, "erfc": mp.erfc}


def _reference(name, *arrays):
    """The function in a wider dtype than the one under test."""
    with np.errstate(all="ignore"):
        if name in _BY_MPMATH and arrays[0].dtype == np.longdouble:
            with mp.workprec(90):
                exact = [_BY_MPMATH[name](mp.mpf(float(v))) for v in np.clip(arrays[0], -200, 200)]
            texts = ["0" if abs(v) < mp.mpf("1e-4900") else mp.nstr(v, 25) for v in exact]
            out = np.array([np.longdouble(text) for text in texts])
            return np.copysign(out, arrays[0]) if name == "erf" else out
        own = {"sigmoid": _sigmoid, "softplus": _softplus, "pow": np.power, "erf": special.erf, "erfc": special.erfc}
        return own.get(name, getattr(np, name, None))(*arrays)


def _widened(array, dtype):
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return array.astype(dtype)


_CACHE = {}


def compiled(name, kind, width):
    """The function over arrays, as machine code on ``width`` lanes; short arrays are filled up with ones."""
    if (name, kind, width) in _CACHE:
        return _CACHE[name, kind, width][0]
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module, lines = Module(), []
    lanes = Lanes(module, lines, width, [0])
    count = 2 if name in PAIRS else 1
    dtype = KINDS[kind]
    operands = []
    for i in range(count):
        at = lanes.put(f"getelementptr {kind}, ptr %x{i}, i64 %i")
        operands.append(lanes.put(f"load {lanes.type(kind)}, ptr {at}, align {dtype().itemsize}"))
    out = vecmath.FUNCTIONS[name](lanes, kind, *operands)
    at = lanes.put(f"getelementptr {kind}, ptr %y, i64 %i")
    lanes.lines.append(f"  store {lanes.type(kind)} {out}, ptr {at}, align {dtype().itemsize}")
    arguments = ", ".join([*(f"ptr %x{i}" for i in range(count)), "ptr %y", "i64 %n"])
    body = "\n".join(lines)
    module.functions.append(
        f"define void @kernel({arguments}) {{\nentry:\n  br label %body\nbody:\n"
        f"  %i = phi i64 [ 0, %entry ], [ %next, %body ]\n{body}\n  %next = add i64 %i, {width}\n"
        "  %more = icmp slt i64 %next, %n\n  br i1 %more, label %body, label %out\nout:\n  ret void\n}"
    )
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    host = {"cpu": llvm.get_host_cpu_name(), "features": llvm.get_host_cpu_features().flatten()}
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2, **host)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    pointers = [ctypes.c_void_p] * (count + 1)
    kernel = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(engine.get_function_address("kernel"))

    def call(*arrays):
        size = arrays[0].size
        full = -(-size // width) * width
        padded = [np.ones(full, dtype) for _ in arrays]
        for array, copy in zip(arrays, padded, strict=True):
            copy[:size] = _widened(array, dtype)
        y = np.empty(full, dtype)
        kernel(*[a.ctypes.data for a in padded], y.ctypes.data, full)
        return y[:size]

    _CACHE[name, kind, width] = call, engine
    return call


def ulps(got, exact):
    """Errors in units in the last place of the exact result, which is of a wider dtype; inf where only one is NaN.

    An infinite result stands for the first power of two that is too large, so overflow a little early or late is a
    small error, and one that is far off is a large one.
    """
    info, wide = np.finfo(got.dtype), exact.dtype
    top = np.ldexp(wide.type(1), info.maxexp)
    limited = np.where(abs(exact) > top, np.copysign(top, exact), exact)
    _, exponent = np.frexp(limited)
    exponent = np.where(limited == 0, info.minexp, np.clip(exponent - 1, info.minexp, info.maxexp - 1))
    found = _widened(got, wide)
    found = np.where(np.isinf(found), np.copysign(top, found), found)
    with np.errstate(invalid="ignore"):
        error = abs(found - limited) / np.ldexp(wide.type(1), exponent - info.nmant)
    error[np.isnan(got) & np.isnan(exact)] = 0
    error[np.isnan(got) != np.isnan(exact)] = np.inf
    return error


def worst(name, kind, *arrays):
    """The largest error, and where it is."""
    if kind == "double" and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no wider than double here")
    got = compiled(name, kind, WIDTHS[kind])(*arrays)
    exact = _reference(name, *(_widened(a, WIDER[kind]) for a in arrays))
    error = ulps(got, exact)
    wrong_sign = (np.signbit(got) != np.signbit(exact)) & ~np.isnan(got)
    assert not wrong_sign.any(), [a[wrong_sign][:5] for a in arrays]
    i = int(np.argmax(error))
    return error[i], tuple(float(a[i]) for a in arrays)


def limit(name, kind):
    return LIMITS[name][kind == "double"]


def patterns(count, kind, start=0):
    """Floats of evenly spread bits: all exponents, signs, denormals, infinities and NaNs."""
    if kind == "float":
        bits = (np.arange(start, start + count, dtype=np.uint64) * max(1, 2**32 // POINTS)) % 2**32
        return bits.astype(np.uint32).view(np.float32)
    step = 0x9E3779B97F4A7C15 | 1  # any odd number takes turns through all bits
    return (np.arange(start, start + count, dtype=np.uint64) * np.uint64(step)).view(np.float64)


def numbers(count, kind, seed=0):
    """Numbers of the sizes that matter: between overflow and underflow of exp, around 0, 1 and -1."""
    rng = np.random.default_rng(seed)
    top = 90 if kind == "float" else 712
    parts = [
        rng.uniform(-top, top, count),
        rng.uniform(-4, 4, count),
        rng.normal(size=count) * 2.0 ** rng.uniform(-12, 6, count),
        1 + rng.uniform(-1, 1, count) * 2.0 ** rng.uniform(-30, 0, count),
        rng.uniform(-1, 1, count) * 2.0 ** rng.uniform(-1074 if kind == "double" else -149, 0, count),
    ]
    return np.concatenate(parts).astype(KINDS[kind])


def powers(count, kind, seed=0):
    """Bases of all sizes and exponents that spread the results over all sizes, too."""
    rng = np.random.default_rng(seed)
    reach = 1074 if kind == "double" else 150
    near = 2.0 ** (rng.uniform(-1, 1, count) * 2.0 ** rng.uniform(-20, 0, count))
    base = np.concatenate([2.0 ** rng.uniform(-reach, reach * 0.85, count), near]).astype(KINDS[kind])
    log = np.log2(base.astype(np.float64))
    exponent = rng.uniform(-1.05, 1.05, 2 * count) * reach / np.where(log == 0, 1, log)
    whole = rng.uniform(size=2 * count) < 0.2
    exponent = np.where(whole, np.rint(exponent), np.clip(exponent, -1e30, 1e30)).astype(KINDS[kind])
    return np.where(whole & (rng.uniform(size=2 * count) < 0.5), -base, base), exponent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(LIMITS))
def test_errors_are_within_the_limit(name, kind):
    count = 400 if name in _BY_MPMATH and kind == "double" else 20_000
    x = np.concatenate([patterns(count, "double"), numbers(count, kind)]) if kind == "double" else numbers(count, kind)
    if name == "pow":
        arrays = powers(2 * count, kind)
    elif name in PAIRS:
        arrays = x, np.random.default_rng(5).permutation(x)
    else:
        arrays = (x,)
    error, where = worst(name, kind, *arrays)
    assert error <= limit(name, kind), where


@pytest.mark.parametrize("name", sorted(set(LIMITS) - set(PAIRS)))
def test_floats_of_all_bit_patterns(name):
    chunk = 2**18
    for start in range(0, POINTS, chunk):
        error, where = worst(name, "float", patterns(min(chunk, POINTS - start), "float", start))
        assert error <= limit(name, "float"), where


_SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    4.0,
    1e300,
    5e-324,
    1e-310,
    2.2250738585072014e-308,
    math.inf,
    math.nan,
]
_SPECIAL += [709.782712893384, 709.7827128933841, 710.4758600739439, 710.5, 745.1332191019411, 745.1332191019412, 1e5]
_SPECIAL += [88.72283172607422, 88.72283935546875, 103.97207641601562, 103.97208404541016, 1e-45, 1e-40, 2.0**40, 22.0]
_SPECIAL += [1e-323, 1.5e-323, 3e-45, 4e-45, 1.7e308, 3e38]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(LIMITS))
def test_special_values(name, kind):
    with np.errstate(over="ignore"):
        x = np.array([*_SPECIAL, *(-v for v in _SPECIAL)]).astype(KINDS[kind])
    arrays = [a.ravel() for a in np.meshgrid(x, x)] if name in PAIRS else [x]
    got = compiled(name, kind, WIDTHS[kind])(*arrays)
    exact = _reference(name, *(_widened(a, WIDER[kind]) for a in arrays))
    with np.errstate(over="ignore", under="ignore"):
        near = exact.astype(got.dtype)
    exceptional = (near == 0) | ~np.isfinite(near) | (abs(near) == 1)
    where = [a[exceptional] for a in arrays]
    np.testing.assert_array_equal(got[exceptional], near[exceptional], err_msg=str(where))
    signs = np.signbit(got) == np.signbit(near)
    assert (signs | np.isnan(near)).all()
    assert (ulps(got, exact) <= limit(name, kind)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_powers_of_two_and_ends_are_exact(kind):
    lowest, highest = (-149, 127) if kind == "float" else (-1074, 1023)
    k = np.arange(lowest, highest + 1).astype(KINDS[kind])
    two = np.ldexp(KINDS[kind](1), k.astype(int))
    width = WIDTHS[kind]
    np.testing.assert_array_equal(compiled("exp2", kind, width)(k), two)
    np.testing.assert_array_equal(compiled("log2", kind, width)(two), k)
    np.testing.assert_array_equal(compiled("pow", kind, width)(np.full_like(k, 2), k), two)
    tens = 10.0 ** np.arange(0, 23 if kind == "double" else 11)  # those that are exact
    np.testing.assert_array_equal(compiled("log10", kind, width)(tens), np.arange(len(tens)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_of_all_sizes(name, kind):
    rng = np.random.default_rng(3)
    far = 2.0 ** rng.uniform(0, 120 if kind == "float" else 1020, 5000)
    halves = np.concatenate([rng.integers(1, 30_000, 5000), 2.0 ** rng.uniform(0, 39, 5000)]).astype(np.int64)
    near_multiples = halves * (math.pi / 2)  # where most digits of the argument cancel
    error, where = worst(name, kind, np.concatenate([far, near_multiples]).astype(KINDS[kind]))
    assert error <= limit(name, kind), where


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(vecmath.FUNCTIONS))
def test_every_number_of_lanes_gives_the_same_bits(name, kind):
    x = np.concatenate([patterns(500, kind), numbers(300, kind)])
    arrays = (x, np.random.default_rng(2).permutation(x)) if name in PAIRS else (x,)
    alone = compiled(name, kind, 1)(*arrays)
    order = np.random.default_rng(4).permutation(len(x))
    for width in (2, 3, 4, 8, 16):
        np.testing.assert_array_equal(compiled(name, kind, width)(*arrays), alone)
        mixed = compiled(name, kind, width)(*(a[order] for a in arrays))  # beside other neighbours
        np.testing.assert_array_equal(mixed, alone[order])
        numeric = ~np.isnan(alone[order])
        np.testing.assert_array_equal(np.signbit(mixed[numeric]), np.signbit(alone[order][numeric]))


def test_what_is_shared_by_calls_is_written_once():
    module = Module()
    lanes = Lanes(module, [], 8, [0])
    for _ in range(2):
        vecmath.FUNCTIONS["sin"](lanes, "float", "%x")
        vecmath.FUNCTIONS["cos"](lanes, "float", "%x")
    assert str(module).count("define internal") == 2


def test_every_function_is_checked():
    assert set(LIMITS) == set(vecmath.FUNCTIONS)


_MPMATH = {
    "arctan": mp.atan,
    "cos": mp.cos,
    "cosh": mp.cosh,
    "erf": mp.erf,
    "erfc": mp.erfc,
    "exp": mp.exp,
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": mp.expm1,
    "log": mp.log,
    "log10": lambda x: mp.log(x) / mp.log(10),
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "sin": mp.sin,
    "sinh": mp.sinh,
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "tan": mp.tan,
    "tanh": mp.tanh,
}
_BELOW = {"log": 0, "log2": 0, "log10": 0, "log1p": -1}  # NaN or infinite from here down
_ENDLESS = ("arctan", "cos", "sin", "tan", *_BELOW)


@pytest.mark.parametrize("name", sorted(_MPMATH))
@settings(max_examples=60, deadline=None)
@given(x=st.floats(-750, 750) | st.floats(-2, 2) | st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_against_many_digits(name, x):
    if name not in _ENDLESS:
        x = min(max(x, -1500.0), 1500.0)
    if x <= _BELOW.get(name, -math.inf):
        return
    got = compiled(name, "double", 1)(np.array([x]))[0]
    with mp.workprec(1400 if abs(x) > 1e9 else 200):
        exact = _MPMATH[name](mp.mpf(x))
        if abs(exact) >= mp.mpf(2) ** 1024:
            assert got == math.copysign(math.inf, exact)
            return
        exponent = max(int(mp.floor(mp.log(abs(exact), 2))), -1022) if exact else -1022
        assert abs(mp.mpf(float(got)) - exact) <= limit(name, "double") * mp.mpf(2) ** (exponent - 52)


# --- the polynomials ----------------------------------------------------------------------------------------------


def _root(function):
    return lambda z: function(mp.sqrt(z))


def _odd(function):
    """Of an odd function: what a polynomial in z = x**2 stands for, and the weight that makes errors relative."""
    return _root(lambda x: (function(x) - x) / x**3), _root(lambda x: x**3 / function(x))


def _log_quotient(s):
    return (2 * mp.atanh(s) - 2 * s) / s**3


def _erfc_factor(x):
    with mp.workdps(45):  # erfc keeps its digits where it is small
        return mp.erfc(x) * mp.exp(x * x) * (x + 4)


with mp.workdps(45):
    LN2 = mp.log(2)
    HALF_LN2 = LN2 / 2
    THIN = (3 - mp.sqrt(8)) ** 2
    EIGHTH = (mp.mpf("1.01") * mp.pi / 4) ** 2

#: What each polynomial stands for, the weight of its errors, the interval, and for each kind log2 of the largest error.
FITS = {
    "EXP": (
        *(lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / mp.expm1(r), -HALF_LN2, HALF_LN2),
        {"float": -25.8, "double": -60.9},
    ),
    "EXPM1": (
        *(lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / mp.expm1(r), -HALF_LN2, HALF_LN2),
        {"float": -28.7, "double": -60.9},
    ),
    "EXP2": (
        *(lambda r: mp.expm1(r * LN2) / r, lambda r: r / mp.mpf(2) ** r, -0.5, 0.5),
        {"float": -26.2, "double": -55.0},
    ),
    "EXP2_POW": (lambda r: mp.expm1(r * LN2) / r, lambda r: r / mp.mpf(2) ** r, -0.5, 0.5, {None: -34.3}),
    "LOG": (_root(_log_quotient), lambda z: z / 2, 0, THIN, {None: -59.3}),
    "LOG_POW": (_root(_log_quotient), lambda z: z / 2, 0, THIN, {None: -44.9}),
    "LOG_TAIL": (
        *(_root(lambda s: (_log_quotient(s) - mp.mpf(2) / 3) / s**2), lambda z: z**2 / 2, 0, THIN),
        {None: -71.5},
    ),
    "LOG_FLOAT": (
        *(lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, lambda f: f**3 / mp.log1p(f)),
        *(mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, {None: -27.3}),
    ),
    "LOG1P": (_root(_log_quotient), lambda z: z / 2, 0, mp.mpf(1) / 9, {"float": -27.7, "double": -59.1}),
    "TANH": (*_odd(mp.tanh), 0, mp.mpf("0.5625") ** 2, {"float": -29.4, "double": -59.3}),
    "SIN": (*_odd(mp.sin), 0, EIGHTH, {"float": -27.8, "double": -57.6}),
    "COS": (
        *(_root(lambda x: (mp.cos(x) - 1 + x * x / 2) / x**4), _root(lambda x: x**4 / mp.cos(x))),
        *(0, EIGHTH, {"float": -32.2, "double": -62.8}),
    ),
    "SINH": (*_odd(mp.sinh), 0, 1, {"float": -31.6, "double": -61.4}),
    "ARCSIN": (*_odd(mp.asin), 0, mp.mpf(1) / 4, {"float": -27.6, "double": -55.7}),
    "ARCTAN": (*_odd(mp.atan), 0, (mp.sqrt(2) - 1) ** 2, {"float": -30.4, "double": -59.1}),
    "ERF": (
        *(_root(lambda x: mp.erf(x) / x - 1), _root(lambda x: x / mp.erf(x)), 0, 1),
        {"float": -29.3, "double": -56.3},
    ),
    "ERFC": (
        *(lambda x: mp.log(mp.erfc(x), 2), lambda x: mp.erfc(x) * LN2 / mp.erf(x), 1, 6),
        {"float": -33.2, "double": -56.6},
    ),
    "ERFC_TAIL": (
        *(lambda t: _erfc_factor(4 * (1 + t) / (1 - t)), lambda t: 1 / _erfc_factor(4 * (1 + t) / (1 - t))),
        *(mp.mpf(-7) / 9, mp.mpf(23.4) / mp.mpf(31.4), {"float": -31.3, "double": -53.5}),
    ),
}


#: Where floats need another interval.
FLOAT_INTERVALS = {"ERFC": (1, 4), "ERFC_TAIL": (-1, mp.mpf(6.1) / mp.mpf(14.1))}
COEFFICIENTS = [(name, kind, bits) for name, (*_, errors) in FITS.items() for kind, bits in errors.items()]


def _nodes(low, high, count):
    middle, radius = (mp.mpf(low) + high) / 2, (mp.mpf(high) - low) / 2
    return [middle - radius * mp.cos(mp.pi * (i + mp.mpf("0.37")) / count) for i in range(count)]


def _polynomial(reverse, t):
    """A polynomial, highest degree first."""
    out = mp.mpf(0)
    for c in reverse:
        out = out * t + c
    return out


def fit_error(name, kind, coefficients, count=200):
    """log2 of the largest weighted error of a polynomial."""
    target, weight, low, high, _ = FITS[name]
    low, high = FLOAT_INTERVALS.get(name, (low, high)) if kind == "float" else (low, high)
    with mp.workdps(45):
        reverse = list(reversed(coefficients))
        largest = max(abs(weight(t) * (target(t) - _polynomial(reverse, t))) for t in _nodes(low, high, count))
        return float(mp.log(largest, 2))


def _stored(name, kind):
    return getattr(fit, name)[kind] if kind else getattr(fit, name)


@pytest.mark.parametrize(("name", "kind", "bits"), COEFFICIENTS)
def test_coefficients_have_the_error_that_is_stated(name, kind, bits):
    assert fit_error(name, kind, _stored(name, kind)) <= bits + 0.1


def test_every_table_of_coefficients_is_checked():
    assert set(FITS) == set(fit.__all__)


@pytest.mark.parametrize(("name", "kind"), [("EXP", "double"), ("TANH", "double"), ("LOG", None), ("SIN", "float")])
def test_a_disturbed_coefficient_has_a_larger_error(name, kind):
    disturbed = list(_stored(name, kind))
    disturbed[1] *= 1 + (2e-6 if kind == "float" else 2e-15)
    assert fit_error(name, kind, disturbed) > FITS[name][4][kind] + 0.1


@pytest.mark.parametrize("name", ["exp", "tanh", "sin"])
def test_a_disturbed_coefficient_shows_in_the_results(name, monkeypatch):
    table = getattr(fit, name.upper())
    disturbed = list(table["double"])
    disturbed[1] *= 1 + 3e-13
    monkeypatch.setitem(table, "double", tuple(disturbed))
    monkeypatch.setattr(f"{__name__}._CACHE", {})
    assert worst(name, "double", numbers(20_000, "double"))[0] > limit(name, "double")


def remez(name, degree, count=300):
    """The polynomial whose largest weighted error is least: Remez's exchange, from an interpolant at Chebyshev's nodes.

    The stored coefficients come from here, rounded; see ``vecmath_coefficients``.
    """
    target, weight, low, high, _ = FITS[name]
    grid = _nodes(low, high, count)
    values, weights = [target(t) for t in grid], [abs(weight(t)) for t in grid]
    floor = max(weights) / 50  # where the weight vanishes, the equations would be singular
    weights = [max(w, floor) for w in weights]
    size = degree + 1

    def solved(points, levels):
        rows = [
            [weights[i] * grid[i] ** k for k in range(size)] + [mp.mpf(level)]
            for i, level in zip(points, levels, strict=True)
        ]
        square = mp.matrix([row[: len(points)] for row in rows])
        return list(mp.lu_solve(square, mp.matrix([weights[i] * values[i] for i in points])))[:size]

    nodes = [int(count * (k + 0.5) / size) for k in range(size)]
    coefficients = solved(nodes, [0] * size)
    for _ in range(12):
        reverse = coefficients[::-1]
        errors = [w * (v - _polynomial(reverse, t)) for w, v, t in zip(weights, values, grid, strict=True)]
        points = []
        for i, error in enumerate(errors):
            if not points or (error > 0) != (errors[points[-1]] > 0):
                points.append(i)
            elif abs(error) > abs(errors[points[-1]]):
                points[-1] = i
        while len(points) > size + 1:
            points.pop(0 if abs(errors[points[0]]) < abs(errors[points[-1]]) else -1)
        coefficients = solved(points, [(-1) ** k for k in range(size + 1)])
    return coefficients


@pytest.mark.parametrize(("name", "kind"), [("TANH", "double"), ("LOG", None), ("ARCTAN", "float")])
def test_the_method_gives_the_coefficients(name, kind):
    stored = _stored(name, kind)
    with mp.workdps(45):
        best = remez(name, len(stored) - 1)
    assert fit_error(name, kind, best) <= fit_error(name, kind, stored) + 0.01
    assert fit_error(name, kind, stored) <= fit_error(name, kind, best) + 0.5  # rounding them costs little
    assert float(best[0]) == pytest.approx(stored[0], rel=1e-6)
