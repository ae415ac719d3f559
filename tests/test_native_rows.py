"""Rows and columns that are gone through several times: a lane for each short row, and for each column."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.program.plan import NestCall
from tinygraph.program.plan_check import verify_plan
from tinygraph.tensor.shared_randomstreams import RandomStreams

FLOATS = ("float32", "float64")
#: How a matrix lies in memory, and how many times as wide what it is part of is: as it is, its rows apart, its elements
#: apart, backwards, columns side by side, one row again and again.
LAYOUTS = {
    "rows": (1, lambda x: x),
    "parts of rows": (2, lambda x: x[:, : x.shape[1] // 2]),
    "apart": (2, lambda x: x[:, ::2]),
    "backwards": (1, lambda x: x[::-1, ::-1]),
    "columns": (1, lambda x: (x.T + 0).T),
    "one row": (1, lambda x: T.zeros_like(x) + x[:1]),
}


def matrix(dtype, name="x"):
    return T.TensorType(dtype, (False, False))(name)


def numbers(rows, columns, dtype, seed, odd=False):
    rng = np.random.default_rng(seed)
    value = (rng.standard_normal((rows, columns)) * 3).astype(dtype)
    if odd:
        tiny = np.finfo(dtype).smallest_subnormal
        few = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, tiny, np.finfo(dtype).max / 200], dtype)
        value = np.where(rng.random(value.shape) < 0.1, rng.choice(few, value.shape), value)
    return value


def nests(f):
    """The nests of what a function has run last, checked."""
    plan = f.stats()[-1].executable.plan
    verify_plan(plan)
    return [step for step in plan.steps if isinstance(step, NestCall)]


def both(inputs, outputs, values, accuracy):
    """Compare the compiled function with the reference backend."""
    f = tg.function(inputs, outputs, on_unused_input="ignore")
    have = f(*values)
    nests(f)
    again = f(*values)
    with tg.config.change_flags(linker="reference"):
        want = tg.function(inputs, outputs, on_unused_input="ignore")(*values)
    for one, same, other in zip(have, again, want, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == same.tobytes()
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=accuracy, atol=accuracy)
        else:
            np.testing.assert_array_equal(one, other)


def classified(x, scores, t):
    """What is usually done with scores, and its gradient with respect to x, of which they are part."""
    p, logs = T.nnet.softmax(scores), T.nnet.logsoftmax(scores)
    loss = -T.log(p)[T.arange(t.shape[0]), t]
    total = T.logsumexp(scores, axis=1)
    return [p, logs, loss, total, tg.grad(loss.sum(), x), tg.grad(T.sqr(total).sum(), x)]


def normalised(x, y, axis):
    """An activation normalised, and the gradient with respect to x, of which it is made."""
    centred = y - y.mean(axis=axis, keepdims=True)
    z = centred / T.sqrt(T.sqr(centred).mean(axis=axis, keepdims=True) + np.asarray(0.01, x.dtype))
    return [z, tg.grad((z * T.tanh(y)).sum(), x), y.max(axis=axis), T.sqr(y).sum(axis=axis)]


# --- values -----------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 90),
    columns=st.integers(2, 70),
    dtype=st.sampled_from(FLOATS),
    layout=st.sampled_from(sorted(LAYOUTS)),
    seed=st.integers(0, 99),
)
@example(rows=33, columns=64, dtype="float32", layout="parts of rows", seed=0)
@example(rows=5, columns=2, dtype="float32", layout="rows", seed=0)
@example(rows=4, columns=16, dtype="float64", layout="columns", seed=0)
def test_scores_of_rows_of_any_length(rows, columns, dtype, layout, seed):
    x, t = matrix(dtype), T.ivector("t")
    wider, shown = LAYOUTS[layout]
    places = np.random.default_rng(seed).integers(-1, 1, rows).astype("int32")
    both(
        [x, t],
        classified(x, shown(x), t),
        [numbers(rows, wider * columns, dtype, seed), places],
        200 * np.finfo(dtype).eps,
    )


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(2, 150),
    columns=st.integers(2, 70),
    axis=st.integers(0, 1),
    dtype=st.sampled_from(FLOATS),
    layout=st.sampled_from(sorted(LAYOUTS)),
    seed=st.integers(0, 99),
)
@example(rows=128, columns=64, axis=0, dtype="float32", layout="rows", seed=0)
@example(rows=129, columns=5, axis=0, dtype="float64", layout="rows", seed=0)
@example(rows=64, columns=33, axis=1, dtype="float64", layout="backwards", seed=0)
def test_rows_and_columns_that_are_normalised(rows, columns, axis, dtype, layout, seed):
    assume(axis == 1 or layout != "one row")  # whose columns vary by rounding alone
    x = matrix(dtype)
    wider, shown = LAYOUTS[layout]
    values = [numbers(rows, wider * columns, dtype, seed)]
    both([x], normalised(x, shown(x), axis), values, 5000 * np.finfo(dtype).eps)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(2, 40),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 99),
)
def test_special_numbers_stay_in_their_rows(rows, columns, dtype, seed):
    x = matrix(dtype)
    outputs = [T.nnet.softmax(x), x - x.max(axis=1, keepdims=True), x * x.min(axis=1, keepdims=True), x.sum(axis=1)]
    outputs += [x - x.max(axis=0), x / x.sum(axis=0)]
    both([x], outputs, [numbers(rows, columns, dtype, seed, odd=True)], 200 * np.finfo(dtype).eps)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(4, 70),
    columns=st.integers(2, 40),
    dtype=st.sampled_from(["bool", "int8", "uint8", "int16", "int64", "uint64"]),
    seed=st.integers(0, 99),
)
def test_numbers_that_are_no_floats(rows, columns, dtype, seed):
    """Of one byte and of eight, read across and written across."""
    x = matrix(dtype)
    value = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 100, (rows, columns)).astype(dtype)
    top = T.max(x, axis=1, keepdims=True)
    both([x], [T.eq(x, top), T.eq(x, top) & T.neq(x, T.min(x, axis=1, keepdims=True)), T.max(x, axis=1)], [value], 0)
    both([x], [T.maximum(x, T.cast(top, dtype)), T.minimum(x, x.max(axis=0))], [value], 0)


@settings(max_examples=30, deadline=None)
@given(stack=st.integers(1, 5), rows=st.integers(4, 40), columns=st.integers(2, 20), dtype=st.sampled_from(FLOATS))
def test_stacks_of_rows(stack, rows, columns, dtype):
    x = T.TensorType(dtype, (False,) * 3)("x")
    value = np.random.default_rng(rows).standard_normal((stack, rows, columns)).astype(dtype)
    for axis in (0, 1, 2):
        e = T.exp(x - x.max(axis=axis, keepdims=True))
        outputs = [e / e.sum(axis=axis, keepdims=True), T.nnet.softmax(x.dimshuffle(1, 0, 2), axis=axis)]
        both([x], outputs, [value], 200 * np.finfo(dtype).eps)


def test_sums_of_short_rows_lose_little():
    """64 numbers one after the other: the error bound of such a sum, against float64."""
    value = np.random.default_rng(0).random((1000, 64), dtype="float32")
    x = T.fmatrix("x")
    f = tg.function([x], x / x.sum(axis=1, keepdims=True))
    wide = value.astype("float64")
    np.testing.assert_allclose(f(value), wide / wide.sum(axis=1, keepdims=True), rtol=64 * 2.0**-24)
    assert [step.nest.short for step in nests(f)] == [64]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("rows", "columns", "short"), [(100, 10, 16), (37, 3, 3), (64, 40, 0)])
def test_rows_draw_and_collect_numbers(rows, columns, short, dtype):
    """The random numbers are the same whatever the lanes, and so are rows of a table."""
    x, w, i = matrix(dtype), matrix(dtype, "w"), T.lvector("i")
    streams = RandomStreams(3)
    u = streams.uniform((rows, columns), dtype=dtype)
    values = [numbers(rows, columns, dtype, 0), numbers(7, columns, dtype, 1), np.arange(rows) % 14 - 7]
    found = []
    for linker in ("reference", "native"):
        streams.seed(3)
        with tg.config.change_flags(linker=linker):
            f = tg.function([x, w, i], [T.nnet.softmax(x * (u < 0.5)), T.nnet.softmax(w[i]), T.nnet.softmax(w[i] + x)])
            found.append(f(*values))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=200 * np.finfo(dtype).eps)
    assert {call.nest.short for call in nests(f) if any(n.op == "philox" for n in call.nest.nodes)} == {short}


# --- plans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "columns", "short"),
    [(1000, 2, 2), (128, 10, 16), (4, 3, 3), (3, 3, 0), (31, 17, 0), (32, 17, 64), (100, 64, 64), (100, 65, 0)],
)
def test_which_rows_are_short(rows, columns, short):
    x = T.fmatrix("x")
    f = tg.function([x], T.nnet.softmax(x))
    f(np.zeros((rows, columns), "float32"))
    (call,) = nests(f)
    assert call.nest.short == short
    assert call.nest.vertical == (short > 0)
    assert ("across" in {a.inner for a in call.nest.accesses}) == (short > 0)


def test_rows_of_other_lengths_run_the_same_code():
    x = T.fmatrix("x")
    f = tg.function([x], T.nnet.softmax(x))
    found = set()
    for columns in range(5, 17):
        f(np.zeros((100, columns), "float32"))
        found.add(nests(f)[0].nest)
    assert len(found) == 1


@pytest.mark.parametrize(("rows", "count"), [(128, 1), (129, 4)])
def test_columns_are_normalised_in_one_nest(rows, count):
    x = T.fmatrix("x")
    f = tg.function([x], normalised(x, x, 0)[0])
    f(np.zeros((rows, 64), "float32"))
    assert len(nests(f)) <= count
    assert (len(nests(f)) == 1) == (count == 1)


# --- memory and threads -----------------------------------------------------------------------------------------------


def test_a_value_is_written_over_what_was_read():
    """The rows of a temporary are read before others are written to their place."""
    x = T.fmatrix("x")
    w = tg.shared(np.zeros((37, 5), "float32"))
    f = tg.function([x], [], updates=[(w, T.nnet.softmax(w + x))])
    value = numbers(37, 5, "float32", 0)
    expected = np.zeros((37, 5))
    for _ in range(3):
        f(value)
        e = np.exp(expected + value)
        expected = e / e.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(w.get_value(), expected, rtol=1e-5)


def test_guarded_memory_is_left_alone():
    for rows, columns, dtype in ((37, 5, "float32"), (33, 3, "float64"), (5, 16, "float32"), (45, 33, "float64")):
        with tg.config.change_flags(guard_memory="yes"):
            x, t = matrix(dtype), T.ivector("t")
            y = T.tanh(x) * 2
            f = tg.function([x, t], [T.nnet.softmax(y).sum(), tg.grad(classified(x, y, t)[2].sum(), x)])
            f(numbers(rows, columns, dtype, 0), np.zeros(rows, "int32"))
            f(numbers(rows, columns, dtype, 1), np.zeros(rows, "int32"))


@pytest.mark.parametrize("shape", [(50_003, 10), (40_001, 2), (20_000, 33), (100, 3001)], ids=str)
def test_threads_change_no_bits(shape):
    x = T.fmatrix("x")
    value = numbers(*shape, "float32", 0)
    outputs = [T.nnet.softmax(x), *normalised(x, x, 0 if shape[0] == 100 else 1)]
    found = []
    for threads in (1, 2, 3):
        with tg.config.change_flags(threads=threads):
            found.append(tg.function([x], outputs)(value))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert one.tobytes() == two.tobytes()


def test_an_index_out_of_bounds_in_a_short_row():
    x, t = T.dmatrix("x"), T.ivector("t")
    w = tg.shared(np.ones((21, 3)))
    loss = -T.log(T.nnet.softmax(x * w))[T.arange(t.shape[0]), t]
    f = tg.function([x, t], loss.sum(), updates=[(w, w - tg.grad(loss.sum(), w))])
    places = np.zeros(21, "int32")
    assert np.isfinite(f(numbers(21, 3, "float64", 0), places))
    before = w.get_value()
    for wrong in (3, -4):
        places[20] = wrong
        with pytest.raises(IndexError, match="out of bounds"):
            f(numbers(21, 3, "float64", 0), places)
        np.testing.assert_array_equal(w.get_value(), before)
