"""Places of extrema, conditions and moved elements inside native loop nests, as the reference backend has them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tests.test_native_random import alone, both, same
from tinygraph.ops.checks import Assert, ConditionError
from tinygraph.ops.cumulative import Shift
from tinygraph.ops.matrices import Diagonal, PlaceDiagonal
from tinygraph.ops.pieces import RepeatEach
from tinygraph.ops.sorting import Permute
from tinygraph.ops.subtensor import Enumerate

DTYPES = ("bool", "int8", "uint8", "int32", "int64", "uint64", "float32", "float64")
SHAPES = st.lists(st.integers(1, 19), min_size=1, max_size=3).map(tuple)


def array(shape, dtype, seed=0):
    """Few different numbers, so that extrema come more than once, with what is odd about a dtype."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    if dtype.startswith("float"):
        odd = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, 2.5], dtype=dtype)
        few = random.choice(odd[:4] if seed % 2 else odd, shape)
        return few.astype(dtype)
    info = np.iinfo(dtype)
    return random.choice(np.array([info.min, info.max, 0, 1], dtype=dtype), shape)


def variable(x, name="x"):
    return T.TensorType(x.dtype.name, (False,) * x.ndim)(name)


def agree(build, *values):
    """Whether both backends agree, bit for bit; ``build`` takes variables and returns outputs."""

    def whole():
        inputs = [variable(v) for v in values]
        return inputs, build(*inputs)

    same(*both(whole, *values))


@settings(max_examples=150, deadline=None)
@given(
    shape=SHAPES,
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
    mask=st.integers(1, 7),
    keepdims=st.booleans(),
)
@example(shape=(70000,), dtype="float32", seed=0, mask=1, keepdims=False)
@example(shape=(3, 40000), dtype="float64", seed=1, mask=2, keepdims=False)
@example(shape=(40000, 3), dtype="int8", seed=1, mask=1, keepdims=True)
def test_first_place_of_an_extremum(shape, dtype, seed, mask, keepdims):
    axes = [i for i in range(len(shape)) if mask & 1 << i] or [0]
    axis = axes[0] if len(axes) == 1 else axes
    agree(
        lambda x: [T.argmax(x, axis=axis, keepdims=keepdims), T.argmin(x, axis=axis, keepdims=keepdims)],
        array(shape, dtype, seed),
    )


def test_nan_is_the_extremum_and_minus_infinity_is_found():
    x = np.array([[1, np.nan, np.nan, 3], [-np.inf] * 4, [2, 3, 3, 1]], dtype="float64")
    f = tg.function(
        [], [T.argmax(tg.shared(x), axis=1), T.argmin(tg.shared(x), axis=1), T.argmax(tg.shared(x.T), axis=0)]
    )
    assert [r.tolist() for r in f()] == [[1, 0, 1], [1, 0, 3], [1, 0, 1]]


def test_places_of_what_a_nest_computes():
    """The usual prediction, and places that are used further on."""

    def build(x, y):
        p = T.nnet.softmax(x)
        k = T.argmax(p, axis=1)
        return [T.mean(T.neq(k, y)), p[T.arange(x.shape[0]), k] - p.max(axis=1), T.max_and_argmax(x * 2, axis=0)[1]]

    x = np.random.default_rng(0).standard_normal((23, 10))
    agree(build, x, np.arange(23, dtype="int32") % 10)
    inputs = [variable(x), variable(np.zeros(23, "int32"), "y")]
    with tg.config.change_flags(linker="native"):
        assert (
            alone(
                tg.function(inputs, T.argmax(T.nnet.softmax(inputs[0]), axis=1) + inputs[1]), x, np.zeros(23, "int32")
            )
            == []
        )


@pytest.mark.parametrize("dtype", ["bool", "int32", "float64"])
def test_conditions(dtype):
    with tg.config.change_flags(linker="native"):
        x, c = T.dvector("x"), T.TensorType(dtype, (False,))("c")
        kept = tg.shared(np.zeros(3))
        out = Assert("c must hold")(x * 2, c, x > 0, T.constant(True))
        f = tg.function([x, c], out, updates=[(kept, kept + out)])
        good, values = np.ones(21, dtype=dtype), np.ones(3)
        assert alone(f, values, good) == []
        assert f(values, good).tolist() == [2, 2, 2]
        assert f(values, good[:0]).tolist() == [2, 2, 2]
        bad = good.copy()
        bad[20] = 0
        for args in ((values, bad), (-values, good)):
            with pytest.raises(ConditionError, match="c must hold"):
                f(*args)
        assert kept.get_value().tolist() == [4, 4, 4]
        with pytest.raises(ConditionError):
            tg.function([x], Assert("never")(x, T.constant(False)))(values)


@settings(max_examples=60, deadline=None)
@given(shape=st.lists(st.integers(0, 9), min_size=2, max_size=3).map(tuple), offset=st.integers(-4, 4), data=st.data())
def test_diagonals(shape, offset, data):
    axis1, axis2 = data.draw(st.permutations(range(len(shape))))[:2]
    rows, columns = shape[axis1], shape[axis2]

    def build(x):
        values = Diagonal(offset, axis1, axis2)(x * 2)
        placed = PlaceDiagonal(offset, axis1, axis2)(values, T.as_tensor_variable(np.array([rows, columns])))
        return [Diagonal(offset, axis1, axis2)(x), values + 1, placed, placed.sum()]

    agree(build, np.random.default_rng(0).integers(-99, 99, shape).astype("float64"))  # whose sums are exact


@settings(max_examples=60, deadline=None)
@given(shape=st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple), data=st.data())
def test_moved_elements(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    dtype = data.draw(st.sampled_from(["bool", "int32", "float32", "float64"]))
    count = data.draw(st.integers(0, 3))
    order = np.argsort(np.random.default_rng(1).random(shape), axis=axis)
    cut = data.draw(st.integers(0, shape[axis]))

    def build(x, order):
        repeats = T.as_tensor_variable(np.full(shape[axis], count))
        parts = T.split(x, [cut, shape[axis] - cut], 2, axis=axis)
        more = [Shift(axis, 1)(x), Shift(axis, -1)(x), RepeatEach(axis)(x, repeats), Enumerate()(x)]
        return [
            *more,
            Permute(axis)(x, order),
            *parts,
            Shift(axis, 1)(Shift(axis, -1)(x)),
            T.concatenate(parts[::-1], axis),
        ]

    agree(build, array(shape, dtype, 3), order)
