"""Random numbers made inside native loop nests: the bits of the reference backend."""

import ctypes
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.backends.native import rows
from tinygraph.backends.native.kernels import kernels
from tinygraph.ops.samplers import ParameterError, Uniform
from tinygraph.program.lowerings import plan_of
from tinygraph.program.nest import Access, Nest, Node
from tinygraph.program.steps import Call
from tinygraph.sandbox.rng_mrg import MRG_RandomStreams
from tinygraph.tensor.shared_randomstreams import RandomStreams

special = pytest.importorskip("scipy.special")

STREAMS = (RandomStreams, MRG_RandomStreams)
SHAPES = st.lists(st.integers(0, 37), max_size=3).map(tuple)
STATES = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


def both(build, *values, calls=1):
    """The results of a function, compiled and interpreted, call by call; ``build`` returns inputs and outputs."""
    found = []
    for linker in ("native", "reference"):
        with tg.config.change_flags(linker=linker):
            f = tg.function(*build())
            found.append([f(*values) for _ in range(calls)])
    return found


def same(native, reference):
    for one, other in zip(native, reference, strict=True):
        if isinstance(one, list):
            same(one, other)
        else:
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            np.testing.assert_array_equal(one, other)


def alone(f, *values):
    """Names of the operations of a function that no nest computes."""
    spec, _ = f.prepared(*values)
    plan = plan_of(spec.program, [None] * len(spec.program.outputs), rows.is_known)
    return [spec.program.instructions[s.position].op.name for s in plan.steps if isinstance(s, Call)]


def drawn(state, shape, dtype):
    sizes = T.as_tensor_variable(np.array(shape, dtype="int64"))
    return Uniform(dtype)(tg.shared(np.array(state, dtype="uint64")), sizes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=30, deadline=None)
@given(state=STATES, shape=SHAPES)
@example(state=(2**64 - 1, 2**64 - 1), shape=(2, 70001))
@example(state=(0, 0), shape=())
def test_uniform_has_the_bits_of_the_reference(dtype, state, shape):
    same(*both(lambda: ([], drawn(state, shape, dtype))))


@settings(max_examples=30, deadline=None)
@given(state=STATES, rows=st.integers(1, 9), columns=st.integers(1, 70), dtype=st.sampled_from(["float32", "float64"]))
def test_rows_that_begin_inside_a_block(state, rows, columns, dtype):
    """A broadcast factor keeps the axes apart, sums lie along either, and a transpose stands lanes apart."""

    def build():
        u = drawn(state, (rows, columns), dtype)
        v = T.TensorType(dtype, (False,))("v")
        return [v], [u * v, (u < v).sum(axis=1), (u > v).sum(axis=0), u.T + 0, T.max(u, axis=0), u[:, ::2] * 1]

    same(*both(build, np.linspace(0.1, 0.9, columns).astype(dtype)))


def test_numbers_of_other_widths_share_a_nest():
    """float32 and float64 numbers of one shape, in whole vectors and the rest."""
    for n in (3, 16, 61):

        def build(n=n):
            u, v = drawn((1, 2), (n, n), "float32"), drawn((3, 4), (n, n), "float64")
            return [], [u + v, T.cast(v, "float32") < u]

        same(*both(build))


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams_advance_and_agree(streams, dtype):
    """Every distribution that is made of uniform numbers and functions, over several calls."""

    def build():
        s = streams(42)
        x = T.TensorType(dtype, (False, False))("x")
        p = T.nnet.sigmoid(x)
        return [x], [
            s.uniform(size=x.shape, low=-1.0, high=x, dtype=dtype),
            s.binomial(size=x.shape, n=1, p=p, dtype=dtype),
            s.binomial(size=(5, 7), n=1, p=0.3, dtype="int8"),
            s.binomial(size=(0, 7), n=1, p=0.3, dtype=dtype),
        ]

    x = np.random.default_rng(0).standard_normal((11, 13)).astype(dtype)
    native, reference = both(build, x, calls=3)
    for one, other in zip(native, reference, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-5 if dtype == "float32" else 1e-14)
        # A probability may differ by rounding, so a draw may, but hardly ever.
        assert (one[1] != other[1]).sum() <= 1
        same(one[2:], other[2:])
    assert not np.array_equal(native[0][2], native[1][2])


def test_nothing_of_a_sampled_layer_runs_by_itself():
    s = RandomStreams(1)
    x = T.fmatrix("x")
    p = T.nnet.sigmoid(x)
    f = tg.function([x], [s.binomial(size=p.shape, n=1, p=p, dtype="float32").sum(axis=1), s.uniform(x.shape)])
    assert alone(f, np.zeros((8, 9), dtype="float32")) == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wrong", [-1e-30, 1.0001, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 17, 40])
def test_probabilities_are_checked_in_lanes(dtype, wrong, place):
    with tg.config.change_flags(linker="native"):
        p = T.TensorType(dtype, (False,))("p")
        old = tg.shared(np.zeros(41, dtype=dtype))
        s = RandomStreams(3)
        draw = s.binomial(size=p.shape, n=1, p=p, dtype=dtype)
        f = tg.function([p], draw, updates=[(old, old + draw)])
        values = np.array(np.linspace(0, 1, 41), dtype=dtype)
        before = f(values)
        assert alone(f, values) == []
        np.testing.assert_array_equal(old.get_value(), before)
        values[place] = wrong
        with pytest.raises(ParameterError, match="no such parameter p"):
            f(values)
        np.testing.assert_array_equal(old.get_value(), before)
        values[place] = 0.5
        f(values)


def test_bounds_of_other_parameters():
    """Excluded and infinite bounds, integers, and parameters that are known."""
    s = RandomStreams(3)
    std = T.dvector("std")
    n = T.lvector("n")
    for x, good, bad in (
        (s.normal(avg=0.0, std=std), [0.0, 2.0], [-1e-300, math.inf, math.nan]),
        (s.beta(a=std, b=1.0), [1e-3, 2.0], [0.0, -0.0, math.inf]),
        (s.binomial(n=n, p=0.5), [0, 3, 2**53], [-1, 2**53 + 2]),
    ):
        variable = n if x.dtype == "int64" else std
        f = tg.function([variable], x)
        f(np.array(good, dtype=variable.dtype))
        for number in bad:
            with pytest.raises(ParameterError):
                f(np.array([good[0], number], dtype=variable.dtype))
    with pytest.raises(ParameterError):
        tg.function([], s.uniform((3,)) + s.normal((3,), 0.0, tg.shared(-1.0)))()


# --- normal numbers ---------------------------------------------------------------------------------------------------


def quantiles(u):
    """The native quantiles of numbers between 0 and 1, by a kernel of their own."""
    accesses = tuple(Access("float64", "unit", True, role) for role in ("load", "store"))
    nodes = (Node("load", "float64", (), 0), Node("normal_quantile", "float64", (0,)))
    nest = Nest(0, 1, False, False, 0, accesses, nodes, ((1, 1),))
    out = np.empty_like(u)
    args = np.zeros(nest.slots.count, dtype="int64")
    args[0], args[1], args[nest.slots.extents] = u.ctypes.data, out.ctypes.data, u.size
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(kernels([nest])[nest])
    run(args.ctypes.data, 0, u.size)
    return out


def exact_quantile(u):
    """By Newton's method with many digits, from SciPy's quantile."""
    with mp.workprec(200):
        x, u = mp.mpf(float(special.ndtri(u))), mp.mpf(u)
        for _ in range(3):
            below = mp.erfc(-x / mp.sqrt(2)) / 2 - u if u < 0.5 else (1 - u) - mp.erfc(x / mp.sqrt(2)) / 2
            x -= below * mp.sqrt(2 * mp.pi) * mp.exp(x * x / 2)
        return x


def test_normal_quantiles_against_many_digits():
    random = np.random.default_rng(0)
    tail = 2.0 ** -(random.random(200) * 49 + 3)
    middle = 0.5 + random.standard_normal(50) * 2.0 ** -(random.random(50) * 40 + 3)
    edges = np.array([2.0**-53, 1 - 2.0**-53, 0.1, 0.9, np.nextafter(0.1, 0), np.nextafter(0.9, 1), 0.5 + 2.0**-53])
    u = np.concatenate([random.random(200), tail, 1 - tail, middle, edges])
    found = quantiles(u)
    exact = [exact_quantile(float(p)) for p in u]
    errors = [abs(mp.mpf(float(x)) - y) / np.spacing(abs(float(y))) for x, y in zip(found, exact, strict=True)]
    assert max(errors) < 4
    assert quantiles(np.array([0.5])).tolist() == [0.0]


@pytest.mark.parametrize("streams", STREAMS)
@settings(max_examples=15, deadline=None)
@given(shape=SHAPES, dtype=st.sampled_from(["float32", "float64"]), truncate=st.booleans(), seed=st.integers(0, 9999))
def test_normal_numbers_are_those_of_the_reference(streams, shape, dtype, truncate, seed):
    """Bit for bit: float32 is rounded from quantiles in float64, float64 is made by the same code."""

    def build():
        s = streams(seed)
        return [], [s.normal(shape, dtype=dtype, **({"truncate": truncate} if streams is MRG_RandomStreams else {}))]

    native, reference = both(build, calls=2)
    same(native, reference)


def test_noise_runs_in_the_nest_of_what_it_is_added_to():
    s = RandomStreams(1)
    mean, deviation = T.fmatrix("mean"), T.fmatrix("deviation")
    draw = mean + T.exp(deviation) * s.normal(mean.shape, dtype="float32")
    f = tg.function([mean, deviation], T.nnet.sigmoid(draw))
    assert alone(f, *[np.zeros((8, 9), dtype="float32")] * 2) == []
