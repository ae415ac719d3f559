"""scan: against loops in Python and against graphs with every step written out."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import (
    DisconnectedInputError,
    DtypeError,
    GradientError,
    InputError,
    MissingInputError,
    NullTypeGradError,
    ShapeError,
    UpdateError,
)
from tinygraph.graph import toposort
from tinygraph.ifelse import ifelse
from tinygraph.ops.loop import Loop
from tinygraph.program import verify
from tinygraph.scan_module import until

x, y = T.dvectors("x", "y")
X, W, U = T.dmatrices("X", "W", "U")
h0 = T.dvector("h0")
n = T.iscalar("n")

MODES = ("FAST_RUN", "FAST_COMPILE")


def values_of(inputs, outputs, *values, modes=MODES, **options):
    """What a graph gives in every mode; the modes agree and their Programs are valid."""
    several = isinstance(outputs, (list, tuple))
    found = []
    for mode in modes:
        f = tg.function(inputs, list(outputs) if several else [outputs], mode=mode, **options)
        found.append(f(*values))
        verify(f.program)
    for a, b in zip(found[0], found[-1], strict=True):
        single = np.asarray(a).dtype == "float32"
        np.testing.assert_allclose(a, b, rtol=1e-6 if single else 1e-10, atol=1e-6 if single else 1e-12)
    return found[0] if several else found[0][0]


def loops(*outputs):
    return [node for node in toposort(outputs) if isinstance(node.op, Loop)]


def same(actual, expected, rtol=1e-9, atol=1e-10):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape)


# --- sums, powers, Fibonacci ----------------------------------------------------------------------------------------


def test_powers():
    a, k = T.dvector("a"), T.iscalar("k")
    result, updates = tg.scan(lambda prior, a: prior * a, outputs_info=T.ones_like(a), non_sequences=a, n_steps=k)
    assert updates == {}
    f = tg.function([a, k], result[-1], updates=updates)
    assert f([0.0, 1.0, 2.0], 5).tolist() == [0.0, 1.0, 32.0]
    assert f([3.0], 2).tolist() == [9.0]


def test_polynomial():
    coefficients, z = T.dvector("coefficients"), T.dscalar("z")
    terms, _ = tg.scan(lambda c, power, z: c * z**power, [coefficients, T.arange(1000)], None, z)
    assert values_of([coefficients, z], terms.sum(), [1.0, 0.0, 2.0], 3.0) == 19.0


@given(st.integers(2, 12))
def test_fibonacci(steps):
    result, _ = tg.scan(lambda a, b: a + b, outputs_info={"initial": T.constant([1, 1]), "taps": [-2, -1]}, n_steps=n)
    expected = [1, 1]
    while len(expected) < steps + 2:
        expected.append(expected[-2] + expected[-1])
    assert tg.function([n], result)(steps).tolist() == expected[2:]


def test_a_generator_needs_no_sequence():
    result, _ = tg.scan(lambda a: a * 2, outputs_info=np.float64(1.0), n_steps=n)
    assert tg.function([n], result)(4).tolist() == [2, 4, 8, 16]


def test_map_reduce_and_folds():
    doubled, _ = tg.map(lambda a, b: a * 2 + b, x, non_sequences=y[0])
    assert values_of([x, y], doubled, [1.0, 2.0], [5.0]).tolist() == [7.0, 9.0]
    backwards, _ = tg.map(lambda a: a, x, go_backwards=True)
    assert values_of([x], backwards, [1.0, 2.0]).tolist() == [2.0, 1.0]
    total, _ = tg.reduce(lambda a, s: s + a, x, 0.0)
    assert values_of([x], total, [1.0, 2.0, 4.0]) == 7.0
    both, _ = tg.reduce(lambda a, s, p: [s + a, p * a], x, [0.0, 1.0])
    assert [float(v) for v in values_of([x], both, [1.0, 2.0, 4.0])] == [7.0, 8.0]
    left, _ = tg.foldl(lambda a, s: s / 2 + a, x, 0.0)
    right, _ = tg.foldr(lambda a, s: s / 2 + a, x, 0.0)
    assert [float(v) for v in values_of([x], [left, right], [1.0, 2.0, 4.0])] == [5.25, 3.0]


# --- taps -----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(-4, -1), min_size=1, max_size=3, unique=True),
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_taps(sequence_taps, output_taps, steps, backwards, count_steps, data):
    """A recurrence with taps on both sides, against a loop in Python: values, gradients and second derivatives."""
    first, last, depth = min(0, *sequence_taps), max(0, *sequence_taps), -min(output_taps)
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    spare = data.draw(st.integers(0, 2)) if count_steps else 0
    sequence = rng.normal(size=(steps + last - first + spare, 2))
    single = output_taps == [-1]
    initial = rng.normal(size=(2,) if single else (depth, 2))
    weights = rng.normal(size=(2, 2))

    def step(*arguments):
        rows, states, w = arguments[: len(sequence_taps)], arguments[len(sequence_taps) : -1], arguments[-1]
        total = sum((k + 1.5) * row for k, row in enumerate(rows))
        for k, state in enumerate(states):
            total = total + T.dot(state, w) * (0.5 - k) + state[::-1]
        return T.tanh(total)

    start = T.TensorType("float64", (None,) * initial.ndim)("start")
    info = start if single else {"initial": start, "taps": output_taps}
    result, updates = tg.scan(
        step,
        {"input": X, "taps": sequence_taps},
        [info],
        [W],
        n_steps=T.constant(steps) + 0 * n if count_steps else None,
        go_backwards=backwards,
    )
    assert not updates
    assert result.ndim == 2

    def written_out():
        rows = [[X[t + k - first] for k in sequence_taps] for t in range(steps + spare)][:: -1 if backwards else 1]
        states = [start] if single else [start[i] for i in range(depth)]
        for t in range(steps):
            states.append(step(*rows[t], *[states[t + depth + k] for k in output_taps], W))
        return T.stack(states[depth:]) if steps else T.zeros((0, 2))

    def with_gradients(out):
        cost = (out * T.arange(1, steps + 1).dimshuffle(0, "x")).sum() ** 2
        wrt = [X, start, W]
        first_order = tg.grad(cost, wrt, disconnected_inputs="ignore")
        second = tg.grad(sum((g**2).sum() for g in first_order), wrt, disconnected_inputs="ignore")
        return [out, *first_order, *second]

    arguments = [sequence, initial, weights]
    expected = tg.function([X, start, W], with_gradients(written_out()), on_unused_input="ignore")(*arguments)
    for mode in MODES:
        f = tg.function([X, start, W, n], with_gradients(result), mode=mode, on_unused_input="ignore")
        same(f(*arguments, 0), expected, rtol=1e-8, atol=1e-8)
        verify(f.program)


def test_the_order_of_arguments():
    seen = []

    def step(*arguments):
        seen.extend(str(a) for a in arguments)
        return arguments[0], arguments[4], arguments[0]

    a, b, p, q, c = T.dmatrix("a"), T.dmatrix("b"), T.dmatrix("p"), T.dvector("q"), T.dscalar("c")
    tg.scan(
        step,
        [{"input": a, "taps": [-3, 2, -1]}, b],
        [{"initial": p, "taps": [-3, -1]}, q, None],
        [c],
    )
    assert seen == ["a[t-3]", "a[t+2]", "a[t-1]", "b[t]", "p[t-3]", "p[t-1]", "q[t-1]", "c"]


def test_taps_of_one_number_and_an_initial_value_that_is_too_long():
    result, _ = tg.scan(lambda a, s: a + s, {"input": x, "taps": 1}, {"initial": y, "taps": -2})
    assert values_of([x, y], result, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 99.0]).tolist() == [12.0, 23.0, 16.0]


# --- recurrent networks ----------------------------------------------------------------------------------------------


def _rnn(steps):
    def step(row, state, w, u):
        return T.tanh(T.dot(row, w) + T.dot(state, u))

    looped, _ = tg.scan(step, X, h0, [W, U])
    state, states = h0, []
    for t in range(steps):
        state = step(X[t], state, W, U)
        states.append(state)
    return looped, T.stack(states)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_rnn(steps):
    looped, unrolled = _rnn(steps)
    arguments = [normal(steps, 3), normal(4), normal(3, 4), normal(4, 4)]
    wrt = [X, h0, W, U]

    def outputs(states):
        cost = (states[-1] ** 2).sum() + states.sum()
        gradients = tg.grad(cost, wrt)
        return [states, *gradients, *tg.grad(sum((g**3).sum() for g in gradients), wrt)]

    same(values_of(wrt, outputs(looped), *arguments), values_of(wrt, outputs(unrolled), *arguments))


@settings(max_examples=8)
@given(st.integers(0, 5), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))
def test_lstm(steps, batch, size_in, size):
    """Two states, gates cut out of one product, weights as shared variables that are captured."""
    rng = np.random.default_rng(steps + 10 * batch)
    w, u = (tg.shared(rng.normal(size=(k, 4 * size)), name) for k, name in ((size_in, "w"), (size, "u")))
    b = tg.shared(rng.normal(size=4 * size), "b")
    rows = T.dtensor3("rows")

    def step(row, c, h):
        z = T.dot(row, w) + T.dot(h, u) + b
        i, f, o, g = (z[:, k * size : (k + 1) * size] for k in range(4))
        c = T.nnet.sigmoid(f) * c + T.nnet.sigmoid(i) * T.tanh(g)
        return c, T.nnet.sigmoid(o) * T.tanh(c)

    zeros = T.zeros((rows.shape[1], size))
    (_, looped), updates = tg.scan(step, rows, [zeros, zeros])
    assert not updates
    c = h = zeros
    states = []
    for t in range(steps):
        c, h = step(rows[t], c, h)
        states.append(h)
    unrolled = T.stack(states) if states else T.zeros((0, rows.shape[1], size))

    def outputs(h):
        gradients = tg.grad((h**2).sum(), [w, u, b, rows], disconnected_inputs="ignore")
        return [h, *gradients, tg.grad((gradients[0] ** 2).sum(), u, disconnected_inputs="ignore")]

    value = rng.normal(size=(steps, batch, size_in))
    same(values_of([rows], outputs(looped), value), values_of([rows], outputs(unrolled), value))


def test_float32_stays_float32():
    a, s = T.fmatrix("a"), T.fvector("s")
    states, _ = tg.scan(lambda row, state: T.tanh(row * 2.5 + state), a, s)
    gradients = tg.grad(states.sum(), [a, s])
    assert [v.dtype for v in (states, *gradients)] == ["float32"] * 3
    values_of([a, s], [states, *gradients], np.ones((3, 2), "float32"), np.ones(2, "float32"))


def test_a_thousand_steps_of_an_lstm():
    """Neither recursion nor memory beyond the states that are kept."""
    size, steps = 8, 1000
    w, u = tg.shared(normal(4, 4 * size) / 4, "w"), tg.shared(normal(size, 4 * size) / 4, "u")
    rows = T.dmatrix("rows")

    def step(row, c, h):
        z = T.dot(row, w) + T.dot(h, u)
        i, f, o, g = (z[k * size : (k + 1) * size] for k in range(4))
        c = T.nnet.sigmoid(f) * c + T.nnet.sigmoid(i) * T.tanh(g)
        return c, T.nnet.sigmoid(o) * T.tanh(c)

    (_, h), _ = tg.scan(step, rows, [T.zeros(size), T.zeros(size)])
    f = tg.function([rows], tg.grad((h[-1] ** 2).sum(), [w, u]))
    value = normal(steps, 4)
    f(value[:3])
    f(value)
    gc.collect()
    tracemalloc.start()
    f(value)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    states = 2 * steps * size * 8
    assert peak < 6 * states


# --- numbers of steps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_zero_steps(mode):
    total, _ = tg.scan(lambda a, s: (s + a, a * 2), X, [h0, None], n_steps=n)
    f = tg.function([X, h0, n], [*total, *tg.grad(total[0].sum() + total[1].sum(), [X, h0])], mode=mode)
    states, doubled, gx, gh = f(np.ones((3, 2)), np.ones(2), 0)
    assert states.shape == doubled.shape == (0, 2)
    assert gx.tolist() == np.zeros((3, 2)).tolist()
    assert gh.tolist() == [0.0, 0.0]
    last = tg.function([X, h0, n], total[0][-1], mode=mode)
    assert last(np.ones((3, 2)), np.ones(2), 2).tolist() == [3.0, 3.0]
    with pytest.raises(IndexError):
        last(np.ones((3, 2)), np.ones(2), 0)


def test_one_step_is_no_loop():
    state = tg.shared(0.0, "state")
    total, updates = tg.scan(lambda a, s: (a + s, {state: state + 1}), X, h0, n_steps=1)
    assert not loops(total, *updates.values())
    f = tg.function([X, h0], total, updates=updates)
    assert f(np.ones((3, 2)), [1.0, 2.0]).tolist() == [[2.0, 3.0]]
    assert state.get_value() == 1.0
    backwards, _ = tg.scan(lambda a: a, X, n_steps=1, go_backwards=True)
    assert values_of([X], backwards, np.arange(6.0).reshape(3, 2)).tolist() == [[4.0, 5.0]]
    with pytest.warns(UserWarning, match="stopping condition has no effect"):
        tg.scan(lambda a: (a, until(a > 0)), x, n_steps=1)
    taps, _ = tg.scan(lambda a, b: a * 10 + b, outputs_info={"initial": x, "taps": [-1, -3]}, n_steps=1)
    assert values_of([x], taps, [1.0, 2.0, 3.0]).tolist() == [31.0]


def test_as_many_steps_as_the_shortest_sequence_allows():
    pairs, _ = tg.scan(lambda a, b, c: a + b + c, [x, y, {"input": y, "taps": [2]}])
    assert values_of([x, y], pairs, [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]).tolist() == [41.0, 62.0]


@pytest.mark.parametrize("steps", [3, 3.0, np.int32(3), np.array(3), T.constant(3, dtype="int8")])
def test_forms_of_n_steps(steps):
    assert tg.scan(lambda a: a + 1, outputs_info=0.0, n_steps=steps)[0].eval().tolist() == [1.0, 2.0, 3.0]


def test_too_many_steps():
    total, _ = tg.scan(lambda a: a * 2, x, n_steps=n)
    f = tg.function([x, n], total)
    assert f([1.0, 2.0, 3.0], 2).tolist() == [2.0, 4.0]
    with pytest.raises(ShapeError, match="a sequence is too short for 4 steps"):
        f([1.0, 2.0, 3.0], 4)
    with pytest.raises(ShapeError, match="negative number of steps"):
        f([1.0], -1)
    with pytest.raises(ShapeError, match="a sequence is too short for 4 steps"):
        tg.scan(lambda a: a * 2, T.constant([1.0]), n_steps=4)


# --- until -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 80), st.sampled_from([None, 3]))
def test_until(limit, truncate):
    """Outputs end with the step at which the condition holds, and so do gradients."""
    condition = T.iscalar("limit")
    squares, _ = tg.scan(
        lambda a, k: (a * a, until(a > k)), x, non_sequences=condition, truncate_gradient=truncate or -1
    )
    sequence = np.arange(75.0)
    made = min(limit + 2, 75)
    gradient = np.where(np.arange(75) < made, 2 * sequence, 0)
    if truncate:
        gradient[: max(made - truncate, 0)] = 0
    value, found = values_of([x, condition], [squares, tg.grad(squares.sum(), x)], sequence, limit)
    same([value, found], [sequence[:made] ** 2, gradient])


def test_until_with_states():
    total, _ = tg.scan(lambda a, s: (s + a, until(s + a >= 6)), x, 0.0)
    cost = (total**2).sum()
    value, gradient, second = values_of(
        [x],
        [total, tg.grad(cost, x), tg.grad(tg.grad(cost, x).prod(), x, disconnected_inputs="ignore")],
        [1.0, 2.0, 4.0, 8.0],
    )
    assert value.tolist() == [1.0, 3.0, 7.0]
    assert gradient.tolist() == [22.0, 20.0, 14.0, 0.0]
    assert second.shape == (4,)


def test_until_in_every_form():
    counter = tg.shared(0, "counter")
    for form in (
        lambda a: (a, until(a > 1)),
        lambda a: ([a], until(a > 1)),
        lambda a: ([a], {counter: counter + 1}, until(a > 1)),
        lambda a: (a, [(counter, counter + 1)], until(a > 1)),
    ):
        out, updates = tg.scan(form, x)
        assert tg.function([x], out, updates=updates)([1.0, 2.0, 3.0]).tolist() == [1.0, 2.0]
    assert counter.get_value() == 4
    _, updates = tg.scan(lambda a: ({counter: counter + 1}, until(a > 1)), x)
    tg.function([x], [], updates=updates)([1.0, 2.0, 3.0])
    assert counter.get_value() == 6


# --- shared variables and updates -------------------------------------------------------------------------------------


def test_updates_happen_at_every_step():
    a, b = tg.shared(np.array([1.0, 1.0]), "a"), tg.shared(0, "b")
    out, updates = tg.scan(lambda row: (row * a, {a: a + row, b: b + 1}), X)
    f = tg.function([X], out, updates=updates)
    assert f([[1.0, 2.0], [3.0, 4.0]]).tolist() == [[1.0, 2.0], [6.0, 12.0]]
    assert (a.get_value().tolist(), int(b.get_value())) == ([5.0, 7.0], 2)
    assert list(updates) == [a, b]


def test_only_updates():
    state = tg.shared(3.0, "state")
    out, updates = tg.scan(lambda: {state: 2 * state}, n_steps=n)
    assert out is None
    tg.function([n], [], updates=updates)(3)
    assert state.get_value() == 24.0
    tg.function([n], [], updates=updates)(0)
    assert state.get_value() == 24.0


def test_gradients_through_updates():
    state = tg.shared(3.0, "state")
    out, updates = tg.scan(lambda a: (a * state, [(state, state * a)]), x)
    s = 3.0 * x[0] * x[1]
    cost, written_out = out.sum() + updates[state], 3.0 * x[0] + s + s * x[2] * 2
    same(
        values_of([x], [cost, tg.grad(cost, x)], [2.0, 5.0, 7.0]),
        values_of([x], [written_out, tg.grad(written_out, x)], [2.0, 5.0, 7.0]),
    )
    assert values_of([x], tg.grad(updates[state], state), [2.0, 5.0, 7.0]) == 70.0


def test_an_update_through_what_depends_on_the_variable():
    state = tg.shared(1.0, "state")
    double = state * 2
    inside, updates = tg.scan(lambda: (double, {state: state + 1}), n_steps=3)
    assert tg.function([], inside, updates=updates)().tolist() == [2.0, 4.0, 6.0]
    passed, _ = tg.scan(lambda d: (d + 0, {state: state + 1}), non_sequences=double, n_steps=3)
    assert tg.function([], passed)().tolist() == [8.0, 8.0, 8.0]


def test_default_updates_happen_at_every_step():
    counter = tg.shared(np.int64(5), "counter")
    counter.default_update = counter + 10
    follower = tg.shared(np.int64(0), "follower")
    follower.default_update = follower + counter
    out, updates = tg.scan(lambda: counter + follower, n_steps=3)
    assert list(updates) == [counter, follower]
    f = tg.function([], out, updates=updates)
    assert f().tolist() == [5, 20, 45]
    assert (counter.get_value(), follower.get_value()) == (35, 45)
    once = T.cast(counter, "float64") * 1
    kept, updates = tg.scan(lambda a: a + 0, non_sequences=once, n_steps=3)
    assert not updates
    assert tg.function([], kept)().tolist() == [35.0] * 3


def test_random_numbers_in_a_gradient_are_those_of_the_step():
    """The state of a stream is carried, and so are its numbers back to the step that drew them."""
    seed = tg.shared(np.int64(1), "seed")
    seed.default_update = (seed * 1103515245 + 12345) % 2147483648
    noise = seed / 2147483648.0
    out, updates = tg.scan(lambda a, s: s * noise + a, x, 1.0)
    f = tg.function([x], [out, tg.grad(out[-1], x)], updates=updates)
    for _ in range(2):
        state, drawn = int(seed.get_value()), []
        for _ in range(3):
            drawn.append(state / 2147483648.0)
            state = (state * 1103515245 + 12345) % 2147483648
        value, gradient = f([1.0, 2.0, 3.0])
        np.testing.assert_allclose(value[-1], ((drawn[0] + 1) * drawn[1] + 2) * drawn[2] + 3)
        np.testing.assert_allclose(gradient, [drawn[1] * drawn[2], drawn[2], 1.0])
        assert seed.get_value() == state


def test_the_dictionary_of_updates():
    a, b = tg.shared(0.0, "a"), tg.shared(0.0, "b")
    _, updates = tg.scan(lambda: {a: a + 1}, n_steps=2)
    updates[b] = b + 5
    updates.update({b: updates[b]})
    updates.update(None)
    joined = updates + {} + tg.OrderedUpdates()
    tg.function([], [], updates=joined)()
    assert (a.get_value(), b.get_value()) == (2.0, 5.0)
    assert isinstance({} + updates, tg.OrderedUpdates)
    with pytest.raises(UpdateError, match="two different new values"):
        updates.update([(b, b + 6)])
    with pytest.raises(UpdateError, match="only a shared variable"):
        updates["a"] = a


def test_what_a_step_may_return():
    state = tg.shared(0.0, "state")
    two = {state: state + 2}
    forms = [
        (lambda a: a, 1, 0),
        (lambda a: [a], 1, 0),
        (lambda a: (a, a), 2, 0),
        (lambda a: (a, {}), 1, 0),
        (lambda a: ([a, a], []), 2, 0),
        (lambda a: (a, two), 1, 2),
        (lambda a: ([a], list(two.items())), 1, 2),
        (lambda a: ([], two), 0, 2),
        (lambda a: two, 0, 2),
        (lambda a: list(two.items()), 0, 2),
        (lambda a: (a, None, until(a > 5)), 1, 0),
        (lambda a: (a, tg.OrderedUpdates(two), until(a > 5)), 1, 2),
        (lambda a: (a, a, until(a > 5)), 2, 0),
    ]
    for form, outputs, change in forms:
        out, updates = tg.scan(form, x, return_list=True)
        state.set_value(0.0)
        found = tg.function([x], out, updates=updates, on_unused_input="ignore")([1.0, 2.0])
        assert [v.tolist() for v in found] == [[1.0, 2.0]] * outputs
        assert state.get_value() == 2 * change


def test_strict():
    w = tg.shared(2.0, "w")
    assert values_of([x], tg.scan(lambda a, w: a * w, x, None, [w], strict=True)[0], [1.0]).tolist() == [2.0]
    with pytest.raises(MissingInputError, match="shared variable w"):
        tg.scan(lambda a: a * w, x, strict=True)


# --- what does not change from step to step --------------------------------------------------------------------------


def test_invariants_are_computed_before_the_loop():
    out, _ = tg.scan(lambda a, s: a + s + T.exp(W).sum() + x.shape[0], x, 0.0)
    (node,) = loops(out)
    assert [inner.op.name for inner in node.op.body.order] == ["add", "add", "add"]
    np.testing.assert_allclose(values_of([x, W], out, [1.0, 2.0], np.zeros((2, 2))), [1 + 4 + 2.0, 3 + 8 + 4.0])


def test_a_result_outside_can_be_captured_and_differentiated():
    square = W**2
    out, _ = tg.scan(lambda a, s: T.dot(s, square) + a * square.sum(), X, h0)
    state, states = h0, []
    for t in range(3):
        state = T.dot(state, square) + X[t] * square.sum()
        states.append(state)
    arguments = [normal(3, 2), normal(2), normal(2, 2)]
    found, expected = (
        values_of([X, h0, W], [v, *tg.grad(v.sum(), [X, h0, W, square])], *arguments) for v in (out, T.stack(states))
    )
    same(found, expected)


def test_an_output_may_be_anything():
    out, _ = tg.scan(lambda a: [a, W, T.constant(2.0), y, 1.5], x)
    values = values_of([x, W, y], out, [1.0, 2.0], np.ones((1, 2)), [5.0])
    assert [v.shape for v in values] == [(2,), (2, 1, 2), (2,), (2, 1), (2,)]


def test_givens_and_clone_reach_into_loops():
    w = tg.shared(2.0, "w")
    out, _ = tg.scan(lambda a: a * w, x)
    assert tg.function([x], out, givens={w: T.constant(5.0)})([1.0]).tolist() == [5.0]
    assert tg.clone(out, {x: x + 1}).eval({x: [1.0]}).tolist() == [4.0]


def test_equal_loops_are_one():
    def build():
        return tg.scan(lambda a, s: T.tanh(s * 2 + a), x, 0.0)[0]

    f = tg.function([x], [build(), build() + 1])
    f([1.0])
    assert sum(isinstance(step.op, Loop) for step in f.program.instructions) == 1
    other = tg.scan(lambda a, s: T.tanh(s * 3 + a), x, 0.0)[0]
    assert loops(build())[0].op == loops(build())[0].op != loops(other)[0].op


# --- nested loops and choices -----------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 3), st.integers(0, 3))
def test_nested(rows, columns):
    """A sum of products, with a state in both loops and a shared variable updated in the inner one."""
    count = tg.shared(0, "count")

    def outer(row, total):
        products, updates = tg.scan(lambda a, p: (T.sin(a * p), {count: count + 1}), row, total + 1.0)
        return total + products.sum(), updates

    total, updates = tg.scan(outer, X, T.constant(0.5))
    value = np.random.default_rng(rows).normal(size=(rows, columns))
    state, states = T.constant(0.5), []
    for i in range(rows):
        p, s = state + 1.0, state
        for j in range(columns):
            p = T.sin(X[i, j] * p)
            s = s + p
        state = s
        states.append(state)
    unrolled = T.stack(states) if states else T.zeros(0)

    def outputs(v):
        gradient = tg.grad((v**2).sum(), X, disconnected_inputs="ignore")
        return [v, gradient, tg.grad((gradient**2).sum(), X, disconnected_inputs="ignore")]

    same(values_of([X], outputs(total), value), values_of([X], outputs(unrolled), value, on_unused_input="ignore"))
    tg.function([X], [], updates=updates)(value)
    assert count.get_value() == rows * columns


def test_a_hessian_by_scan():
    cost = (x**3).sum() + x[0] * x[1]
    g = tg.grad(cost, x)
    hessian, _ = tg.scan(lambda i, g, x: tg.grad(g[i], x), T.arange(x.shape[0]), None, [g, x])
    same([values_of([x], hessian, [1.0, 2.0])], [np.array([[6.0, 1.0], [1.0, 12.0]])])


def test_choices_in_a_loop():
    out, _ = tg.scan(lambda a, s: ifelse(a > 0, s * a, s - X[5, 5]), x, 1.0)
    f = tg.function([x, X], [out, tg.grad(out.sum(), x)])
    value, gradient = f([2.0, 3.0], np.ones((1, 1)))
    assert value.tolist() == [2.0, 6.0]
    assert gradient.tolist() == [4.0, 2.0]
    with pytest.raises(IndexError):
        f([2.0, -3.0], np.ones((1, 1)))


def test_a_loop_in_a_choice():
    out, _ = tg.scan(lambda a, s: s + a, x, 0.0)
    f = tg.function([x, n], [ifelse(n, out[-1], x[0]), tg.grad(ifelse(n, out[-1], x[0]), x)])
    assert [v.tolist() for v in f([1.0, 2.0], 0)] == [1.0, [1.0, 0.0]]
    assert [v.tolist() for v in f([1.0, 2.0], 1)] == [3.0, [1.0, 1.0]]


def test_two_loops_in_a_row():
    first, _ = tg.scan(lambda a, s: T.tanh(a + s), x, 0.1)
    second, _ = tg.scan(lambda a, s: a * s, first, 1.0, go_backwards=True)
    states, s = [], T.constant(0.1)
    for t in range(3):
        s = T.tanh(x[t] + s)
        states.append(s)
    product = states[0] * states[1] * states[2]
    arguments = [0.3, -0.4, 0.5]
    same(
        values_of([x], [second[-1], tg.grad(second[-1], x)], arguments),
        values_of([x], [product, tg.grad(product, x)], arguments),
    )


# --- gradients --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(1, 3), st.integers(1, 6))
def test_truncated_gradients(steps, depth, truncate):
    """Only the last steps are differentiated: in the others every input counts as a constant."""
    rng = np.random.default_rng(steps)
    sequence, initial, weight = rng.normal(size=steps), rng.normal(size=depth), rng.normal(size=())
    w = T.dscalar("w")
    taps = list(range(-depth, 0))

    def step(a, *arguments):
        *states, w = arguments
        return T.tanh(a + w * sum((k + 1) * s for k, s in enumerate(states)))

    info = y[0] if depth == 1 else {"initial": y, "taps": taps}
    out, _ = tg.scan(step, x, info, w, truncate_gradient=truncate, n_steps=n)
    start = [y[i] for i in range(depth)]
    states = list(start)
    cut = tg.gradient.disconnected_grad
    reached = max(steps - truncate, 0)
    for t in range(steps):
        arguments = [x[t], *states[-depth:], w]
        if t < reached:
            arguments = list(map(cut, arguments))
        states.append(step(*arguments))
    unrolled = T.stack(states[depth:])
    wrt = [x, y, w]

    def outputs(v):
        return [v, *tg.grad((v * T.arange(1, steps + 1)).sum(), wrt, disconnected_inputs="ignore")]

    arguments = [sequence, initial, weight]
    expected = tg.function(wrt, outputs(unrolled))(*arguments)
    for mode in MODES:
        same(tg.function([*wrt, n], outputs(out), mode=mode)(*arguments, steps), expected)


def test_disconnected_inputs():
    (states, indices), _ = tg.scan(lambda a, b, s: (s * a, T.cast(b, "int64")), [x, y], [1.0, None])
    assert tg.grad(states.sum(), y, disconnected_inputs="ignore").eval({y: [1.0, 2.0]}).tolist() == [0.0, 0.0]
    with pytest.raises(DisconnectedInputError):
        tg.grad(states.sum(), y)
    del indices
    stopped, _ = tg.scan(lambda a, s: tg.gradient.disconnected_grad(s) + a, x, h0[0])
    assert values_of([x, h0], tg.grad(stopped.sum(), x), [1.0, 2.0], [1.0]).tolist() == [1.0, 1.0]


def test_undefined_gradients():
    out, _ = tg.scan(lambda a: tg.gradient.undefined_grad(a) * 2, x)
    with pytest.raises(NullTypeGradError):
        tg.grad(out.sum(), x)


def test_an_output_that_comes_twice():
    def build():
        a, b, c = tg.scan(lambda r, s: (v := T.sin(r + s), v, r), x, [0.5, None, None])[0]
        return (a * 2).sum() + (b * 3).sum() + c.sum()

    s, cost = T.constant(0.5), T.constant(0.0)
    for t in range(2):
        s = T.sin(x[t] + s)
        cost = cost + s * 5 + x[t]
    same(
        values_of([x], [build(), tg.grad(build(), x)], [0.1, 0.2]),
        values_of([x], [cost, tg.grad(cost, x)], [0.1, 0.2]),
    )


def test_integer_states_beside_float_ones():
    (states, counts), _ = tg.scan(lambda a, s, k: (s * a + k, k + 1), x, [1.0, T.constant(0)])
    value, gradient = values_of([x], [states, tg.grad(states[-1], x)], [2.0, 3.0, 4.0])
    assert value.tolist() == [2.0, 7.0, 30.0]
    assert gradient.tolist() == [12.0, 8.0, 7.0]
    assert values_of([x], counts, [2.0, 3.0]).tolist() == [1, 2]


# --- checkpoints ------------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(1, 9), st.integers(1, 4))
def test_checkpoints(steps, every):
    def step(a, s, w):
        return T.tanh(T.dot(s, w) + a)

    rng = np.random.default_rng(steps)
    arguments = [rng.normal(size=(steps, 2)), rng.normal(size=2), rng.normal(size=(2, 2))]
    plain, _ = tg.scan(step, X, h0, W)
    kept, updates = tg.scan_checkpoints(step, X, h0, W, save_every_N=every)
    assert not updates
    expected = values_of([X, h0, W], [plain, *tg.grad((plain[-1] ** 2).sum(), [X, h0, W])], *arguments)
    expected[0] = expected[0][[*range(every - 1, steps - 1, every), steps - 1]]
    same(values_of([X, h0, W], [kept, *tg.grad((kept[-1] ** 2).sum(), [X, h0, W])], *arguments), expected)


def test_checkpoints_without_padding_and_with_more_outputs():
    (s, d), _ = tg.scan_checkpoints(lambda a, s: (s + a, a * 2), [x], [0.0, None], save_every_N=2, padding=False)
    assert [v.tolist() for v in values_of([x], [s, d], [1.0, 2.0, 3.0, 4.0])] == [[3.0, 10.0], [4.0, 8.0]]
    with pytest.raises(InputError, match="without taps"):
        tg.scan_checkpoints(lambda a: a, {"input": x, "taps": [1]})
    with pytest.raises(InputError, match="how many steps"):
        tg.scan_checkpoints(lambda a: a, outputs_info=1.0)


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_a_state_that_changes_its_dtype():
    with pytest.raises(DtypeError, match="the dtype of a state changes") as caught:
        tg.scan(lambda a, s: s + a, x, T.constant(0))
    assert "lambda a, s: s + a" in str(caught.value)
    with pytest.raises(DtypeError, match="float32"):
        tg.scan(lambda a, s: s + a, x, np.float32(0).reshape(()))


def test_a_state_that_changes_its_shape():
    with pytest.raises(ShapeError, match="the shape of a state changes") as caught:
        tg.scan(lambda row, s: row + s, X, T.constant(0.0))
    assert "lambda row, s: row + s" in str(caught.value)
    out, _ = tg.scan(lambda row, s: row + s, X, h0)
    f = tg.function([X, h0], out)
    assert f(np.ones((2, 3)), np.ones(3)).shape == (2, 3)
    with pytest.raises(ShapeError, match="the shape of a state changes"):
        f(np.ones((2, 3)), np.ones(1))
    growing, _ = tg.scan(lambda k, s: s[s > k], T.arange(3), x)
    with pytest.raises(ShapeError, match="the shape of a state changes"):
        tg.function([x], growing)([0.5, 1.5])


def test_a_failure_in_a_step_shows_its_line():
    out, _ = tg.scan(lambda i, s: s + x[i], T.arange(4), 0.0)
    with pytest.raises(IndexError, match="index 2 is out of bounds") as caught:
        tg.function([x], out)([1.0, 2.0])
    assert "s + x[i]" in str(caught.value)
    assert "at step 2 of scan" in caught.value.__notes__
    product, _ = tg.scan(lambda row, s: T.dot(s, W) + row, X, h0)
    with pytest.raises(ShapeError) as caught:
        tg.function([X, h0, W], product)(np.ones((2, 3)), np.ones(3), np.ones((2, 3)))
    assert "T.dot(s, W) + row" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.scan(lambda: T.constant(1.0)), "how many steps"),
        (lambda: tg.scan(lambda a: a, T.dscalar("a")), "a scalar has none"),
        (lambda: tg.scan(lambda a: a, {"taps": [1]}), "needs the key 'input'"),
        (lambda: tg.scan(lambda a, s: (a, s), x, [None, 0.0, None]), "one entry for each output"),
        (lambda: tg.scan(lambda s: s, outputs_info={"initial": x, "taps": [0]}, n_steps=3), "different negative"),
        (lambda: tg.scan(lambda s: s, outputs_info={"initial": x, "taps": [-1, -1]}, n_steps=3), "different negative"),
        (lambda: tg.scan(lambda s: s, outputs_info={"taps": [-1]}, n_steps=3), "needs an initial value"),
        (lambda: tg.scan(lambda s: s, outputs_info={"initial": 1.0, "taps": [-2]}, n_steps=3), "has a leading axis"),
        (lambda: tg.scan(lambda s: s, outputs_info={"initial": x, "taps": ["a"]}, n_steps=3), "whole numbers"),
        (lambda: tg.scan(lambda a: "a", x), "has no meaning there"),
        (lambda: tg.scan(lambda a: ({tg.shared(0): a}, a), x), "has no meaning there"),
        (lambda: tg.scan(lambda a: (until(a > 0), a), x), "has no meaning there"),
    ],
)
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_arguments_of_the_wrong_type():
    with pytest.raises(DtypeError, match="one integer"):
        tg.scan(lambda a: a, x, n_steps=T.dscalar("k"))
    with pytest.raises(ShapeError, match="a stopping condition is one number"):
        tg.scan(lambda a: (a, until(x > 0)), x)
    with pytest.raises(UpdateError, match="only a shared variable"):
        tg.scan(lambda a: (a, {x: a}), x)


def test_a_missing_input_is_named():
    increment = T.dscalar("increment")
    count = tg.shared(0.0, "count")
    _, updates = tg.scan(lambda: {count: count + increment}, n_steps=20)
    with pytest.raises(MissingInputError, match="increment"):
        tg.function([], [], updates=updates)


def test_initial_values_that_are_too_short():
    out, _ = tg.scan(lambda a, b: a + b, outputs_info={"initial": x, "taps": [-2, -1]}, n_steps=3)
    with pytest.raises(ShapeError, match="as many rows as it is read steps back"):
        tg.function([x], out)([1.0])


def test_a_loop_that_was_cut_has_no_gradient():
    (node,) = loops(tg.scan(lambda a, s: s + a, x, 0.0)[0])
    cut = Loop(node.op.body, node.op.taps, node.op.sequences, keep=(2,))(*node.inputs)
    assert cut.eval({x: [1.0, 2.0, 3.0]}).tolist() == [3.0, 6.0]
    with pytest.raises(GradientError, match="has no gradient"):
        tg.grad(cut.sum(), x)


# --- what a loop keeps ----------------------------------------------------------------------------------------------


def program_loops(f):
    return [step for step in f.program.instructions if isinstance(step.op, Loop)]


def test_of_what_is_read_at_the_end_only_the_end_is_kept():
    (a, b, c), _ = tg.scan(lambda r, p, q: (p + q + r, p, r * 2), x, [1.0, 0.0, None])
    f = tg.function([x], [a[-1], c[-3:]])
    assert [v.tolist() for v in f([1.0, 2.0, 3.0, 4.0])] == [19.0, [4.0, 6.0, 8.0]]
    assert program_loops(f)[0].op.keep == (2, 1, 3)
    assert [v.tolist() for v in f([1.0, 2.0])] == [5.0, [2.0, 4.0]]
    whole = tg.function([x], [a[-1], a.shape[0], b[-2]])
    assert [v.tolist() for v in whole([1.0, 2.0, 3.0])] == [10.0, 3, 2.0]
    assert program_loops(whole)[0].op.keep == (None, 3)
    with pytest.raises(IndexError):
        f([])


def test_what_nobody_reads_is_left_out():
    ran = []

    class Seen(tg.Op):
        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            ran.append(x)
            return x.copy()

    (a, _, c), updates = tg.scan(lambda r, p, q: (p + r, Seen()(q), Seen()(r)), x, [0.0, 1.0, None])
    assert tg.function([x], a)([1.0, 2.0]).tolist() == [1.0, 3.0]
    assert ran == []
    assert tg.function([x], c)([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert len(ran) == 2
    assert not updates


def test_a_step_is_rewritten():
    out, _ = tg.scan(lambda a, s: T.log(T.exp(a) * 1) + s * 1, x, 0.0)
    plain, fast = (tg.function([x], out, mode=mode) for mode in ("FAST_COMPILE", "FAST_RUN"))
    for f in (plain, fast):
        assert f([1.0, 2.0]).tolist() == [1.0, 3.0]
    counts = [len(program_loops(f)[0].inner[0].instructions) for f in (plain, fast)]
    assert counts[1] < counts[0]


def test_short_sequences_are_found_also_where_nobody_reads_them():
    out, _ = tg.scan(lambda a, b: (a, b), [x, y], n_steps=n)
    with pytest.raises(ShapeError, match="too short for 3 steps"):
        tg.function([x, y, n], out[0], on_unused_input="ignore")([1.0, 2.0, 3.0], [1.0], 3)


def test_memory_of_a_long_loop_that_is_read_at_its_end():
    state, _ = tg.scan(lambda s: T.tanh(s) + 1, outputs_info=T.zeros(1000), n_steps=n)
    f = tg.function([n], state[-1])
    f(3)
    tracemalloc.start()
    f(500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 8000


def test_memory_of_checkpoints():
    def peak(scan, **options):
        states, _ = scan(lambda s, w: T.tanh(s * w), outputs_info=T.ones(1000), non_sequences=x, n_steps=400, **options)
        f = tg.function([x], tg.grad(states[-1].sum(), x))
        value = np.linspace(0, 2, 1000)
        f(value)
        tracemalloc.start()
        result = f(value)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result, found

    with tg.config.change_flags(linker="reference"):  # whose temporaries come and go
        plain, much = peak(tg.scan)
        sparse, little = peak(tg.scan_checkpoints, save_every_N=20)
    np.testing.assert_allclose(sparse, plain)
    assert little < much / 3
