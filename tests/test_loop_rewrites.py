"""Loops that do less at every step: structure by counting operations, values against graphs that are not rewritten."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import ShapeError
from tinygraph.graph import graph_inputs, toposort
from tinygraph.ifelse import ifelse
from tinygraph.ops.linalg import MatMul, TensorDot
from tinygraph.ops.loop import Loop
from tinygraph.rewrite import PIECES, Step, rewrite
from tinygraph.scan_module import until
from tinygraph.tensor.shared_randomstreams import RandomStreams

X, Y, W, U = T.dmatrices("X", "Y", "W", "U")
x, y, h0, b = T.dvectors("x", "y", "h0", "b")
S3 = T.dtensor3("S3")
n = T.iscalar("n")


def rewritten(*outputs):
    return rewrite(outputs, [v for v in graph_inputs(outputs) if not hasattr(v, "data")])


def loops(outputs):
    return [node for node in toposort(outputs) if isinstance(node.op, Loop)]


def named(order, *names):
    return [node.op.name for node in order if node.op.name in names]


def products(node):
    return [inner for inner in node.op.body.order if isinstance(inner.op, (MatMul, TensorDot))]


def agree(inputs, outputs, *values, rtol=1e-9, atol=1e-10, **options):
    """Both modes give the same, up to the rounding of sums in another order."""
    old, new = (
        tg.function(inputs, outputs, mode=mode, on_unused_input="ignore", **options)(*values)
        for mode in ("FAST_COMPILE", "FAST_RUN")
    )
    for a, c in zip(old, new, strict=True):
        assert a.shape == c.shape
        assert a.dtype == c.dtype
        np.testing.assert_allclose(c, a, rtol=rtol, atol=atol)
    return new


def normal(rng, *shape):
    return rng.normal(size=shape) * 0.7


# --- recurrent networks -----------------------------------------------------------------------------------------------


def rnn(row, h, w, u, k):
    return T.tanh(T.dot(row, w[:, :k]) + T.dot(h, u[:, :k]) + b[:k])


def gru(row, h, w, u, k):
    a, c = T.dot(row, w) + b, T.dot(h, u)
    r, z = T.nnet.sigmoid(a[..., :k] + c[..., :k]), T.nnet.sigmoid(a[..., k : 2 * k] + c[..., k : 2 * k])
    new = T.tanh(a[..., 2 * k : 3 * k] + r * c[..., 2 * k : 3 * k])
    return (1 - z) * new + z * h


def lstm_like(row, h, w, u, k):
    """The gates of an LSTM, with its output fed back alone."""
    a = T.dot(row, w) + T.dot(h, u) + b
    i, f, o, g = (a[..., j * k : (j + 1) * k] for j in range(4))
    c = T.nnet.sigmoid(f) * h + T.nnet.sigmoid(i) * T.tanh(g)
    return T.nnet.sigmoid(o) * T.tanh(c)


CELLS = {"rnn": rnn, "gru": gru, "lstm": lstm_like}


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=12)
@given(
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from(["all", "last", "some"]),
    st.sampled_from([-1, 1, 2]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1000),
)
def test_recurrent_networks(cell, steps, batch, read, truncate, backwards, count, masked, seed):
    """Values, gradients and second derivatives; a batch of 0 stands for vectors without a batch axis."""
    rng = np.random.default_rng(seed)
    size_in, k = 2, 2
    rows, start = (X, h0) if batch == 0 else (S3, Y)
    mask = T.dvector("mask")

    def step(row, m, h):
        new = CELLS[cell](row, h, W, U, k)
        return T.switch(T.gt(m, 0), new, h) if masked else new

    states, _ = tg.scan(
        step, [rows, mask], [start], n_steps=n if count else None, go_backwards=backwards, truncate_gradient=truncate
    )
    lead = () if batch == 0 else (batch,)
    values = [
        normal(rng, steps, *lead, size_in),
        normal(rng, *lead, k),
        normal(rng, size_in, 4 * k),
        normal(rng, k, 4 * k),
        normal(rng, 4 * k),
        normal(rng, steps),
        steps,
    ]
    part = {"all": slice(None), "last": slice(-1, None), "some": slice(1, None)}[read]
    cost = (states[part] ** 2).sum()
    wrt = [rows, start, W, U, b]
    first = tg.grad(cost, wrt)
    second = tg.grad(sum((g**2).sum() for g in first), wrt, disconnected_inputs="ignore")
    agree([*wrt, mask, n], [cost, *first, *second], *values, rtol=1e-8)


def lstm(unknown_sizes=True):
    """A cost, and what it is differentiated by, of an LSTM with two states."""
    k = 3
    wrt = [T.dmatrix("w"), T.dmatrix("u"), T.dvector("bias")]
    w, u, bias = wrt

    def step(row, h, c):
        a = T.dot(row, w) + T.dot(h, u) + bias
        i, f, o = (T.nnet.sigmoid(a[:, j * k : (j + 1) * k]) for j in range(3))
        c = f * c + i * T.tanh(a[:, 3 * k :])
        return o * T.tanh(c), c

    zeros = T.zeros((S3.shape[1], k) if unknown_sizes else (4, k))
    (hs, _), _ = tg.scan(step, S3, [zeros, zeros])
    return (hs**2).mean(), wrt


@pytest.mark.parametrize("unknown_sizes", [True, False])
def test_lstm_makes_one_product_at_each_step(unknown_sizes):
    cost, wrt = lstm(unknown_sizes)
    gradients = tg.grad(cost, wrt)
    outputs = rewritten(cost, *gradients)
    forward, backward = loops(outputs)
    assert len(products(forward)) == 1
    assert len(products(backward)) == 1
    assert named(backward.op.body.order, "inc_subtensor", "join") == ["join"]
    assert len(backward.op.taps) == 2  # what waits for both states; no sum is carried
    assert len(backward.outputs) == 3  # and the cotangents of the gates
    outside = [node for node in toposort(outputs) if isinstance(node.op, (MatMul, TensorDot))]
    assert len([node for node in outside if node in toposort([forward.inputs[-1], *forward.inputs])]) == 1
    rng = np.random.default_rng(3)
    values = [normal(rng, 5, 4, 2), normal(rng, 2, 12), normal(rng, 3, 12), normal(rng, 12)]
    agree([S3, *wrt], [cost, *gradients], *values)
    f = tg.function([S3, *wrt], [cost, *gradients])
    f(*values)
    assert named(f.program.instructions, "tensordot") == ["tensordot"] * 3
    assert named(f.program.instructions, "sum_to", "sum") == ["sum", "sum_to"]
    f = tg.function([S3, *wrt], [cost, *gradients])
    f(*(v[:0] if v.ndim == 3 else v for v in values))


def test_gradients_read_what_the_loop_computed():
    cost, wrt = lstm()
    forward, backward = loops(rewritten(cost, *tg.grad(cost, wrt)))
    assert len(forward.outputs) == 3
    assert forward.op.kept == (None, None, None)
    assert len(loops(rewritten(cost))[0].outputs) == 2  # nothing is kept for nobody
    assert any(forward.outputs[2] in (v.owner.inputs[0], v) for v in backward.inputs if v.owner is not None)


def test_what_both_loops_can_compute_in_advance_is_computed_once():
    states, _ = tg.scan(lambda row, s: s * T.tanh(T.dot(row, W)), X, [h0])
    outputs = rewritten(states, *tg.grad(states.sum(), [h0, X]))
    forward, _ = loops(outputs)
    assert len(forward.outputs) == 1
    made = [node for node in toposort(outputs) if isinstance(node.op, TensorDot) and X in node.inputs]
    assert len(made) == 1


def test_float32_stays_close():
    rng = np.random.default_rng(0)
    cost, wrt = lstm()
    rows = T.ftensor3("rows")
    single = [T.fmatrix("w32"), T.fmatrix("u32"), T.fvector("b32")]
    given = dict(zip([S3, *wrt], [rows.astype("float64"), *(v.astype("float64") for v in single)], strict=True))
    outputs = tg.clone([cost], given)
    gradients = tg.grad(outputs[0], single)
    values = [normal(rng, *s).astype("float32") for s in ((30, 4, 2), (2, 12), (3, 12), (12,))]
    agree([rows, *single], gradients, *values, rtol=1e-5, atol=1e-7)


# --- before the loop --------------------------------------------------------------------------------------------------


def test_a_loop_that_carries_nothing_goes():
    result, _ = tg.scan(lambda row: T.nnet.softmax(T.dot(row, W) + b)[::-1].cumsum() * 2 + T.tanh(row).sum(), X)
    assert len(loops(rewritten(result))) == 1  # running sums are not among what moves
    result, _ = tg.scan(lambda row, v: T.tanh(T.dot(row, W) + b)[::-1] * v + T.sqr(row).sum(), [X, y])
    assert loops(rewritten(result)) == []
    rng = np.random.default_rng(1)
    for rows in (0, 1, 4):
        agree([X, W, b, y], [result], normal(rng, rows, 3), normal(rng, 3, 2), normal(rng, 2), normal(rng, rows))


def test_what_is_larger_than_what_goes_in_and_out_stays():
    result, _ = tg.scan(lambda row: (row.dimshuffle(0, "x") * row).max(axis=0), X)
    (loop,) = loops(rewritten(result))
    assert len(loop.op.body.order) > 2
    wide = tg.shared(np.zeros((2, 4000)))
    narrow = T.TensorType("float64", (None, 2))("narrow")
    result, _ = tg.scan(lambda row, s: s + T.dot(row, wide).sum(), narrow, T.constant(0.0))
    static = T.TensorType("float64", (2, 4000))("static")
    result, _ = tg.scan(lambda row, s, w: s * T.dot(row, w).max(), narrow, T.constant(0.0), [static])
    (loop,) = loops(rewritten(result))
    assert len(products(loop)) == 1


def test_a_loop_that_may_stop_keeps_its_steps():
    def step(row, s):
        new = s + T.dot(row, W)
        return new, until(new.sum() > 3)

    states, _ = tg.scan(step, X, [T.zeros(2)])
    outputs = [states, *tg.grad((states**2).sum(), [X, W])]
    forward, backward = loops(rewritten(*outputs))
    assert len(products(forward)) == 1
    assert products(backward) == []  # which is known not to stop before
    for rows in (1, 2, 6):
        agree([X, W], outputs, np.ones((rows, 2)), np.full((2, 2), 0.4))


def test_what_only_a_branch_needs_stays_in_it():
    def step(row, s):
        return ifelse(T.gt(s.sum(), 0), s + T.dot(row, W), s)

    states, _ = tg.scan(step, X, [h0])
    (loop,) = loops(rewritten(states))
    assert len(products(loop)) == 1
    agree([X, W, h0], [states, *tg.grad(states.sum(), [X, W, h0])], np.ones((3, 2)), np.eye(2), np.array([1.0, -3.0]))


def test_what_may_raise_and_what_is_random_stays():
    ran = []

    class Picky(tg.Op):
        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            ran.append(x)
            if x.sum() < 0:
                raise ValueError("negative")
            return x.copy()

    states, _ = tg.scan(lambda row, s: s + T.dot(Picky()(row), W), X, [h0])
    (loop,) = loops(rewritten(states))
    assert len(products(loop)) == 1
    with pytest.raises(ValueError, match="negative") as caught:
        tg.function([X, W, h0], states)([[1.0], [-1.0]], [[1.0]], [0.0])
    assert any("at step 1" in note for note in caught.value.__notes__)
    stream = RandomStreams(3)
    noisy, updates = tg.scan(lambda row, s: s + T.dot(row + stream.normal((2,)), W), X, [h0])
    runs = [
        tg.function([X, W, h0], noisy, updates=updates, mode=mode)(np.ones((3, 2)), np.eye(2), np.zeros(2))
        for mode in ("FAST_COMPILE",)
    ]
    assert len(products(loops(rewritten(noisy))[0])) == 1
    assert np.isfinite(runs[0]).all()


def test_errors_over_the_number_of_steps_stay():
    states, _ = tg.scan(lambda r, q, s: s + T.dot(r, W) * q, [X, y], [h0], n_steps=n)
    f = tg.function([X, y, W, h0, n], states)
    # One row must not stand for all of them.
    for rows in (1, 2):
        with pytest.raises(ShapeError, match="too short for 3 steps"):
            f(np.ones((3, 2)), np.ones(rows), np.eye(2), np.zeros(2), 3)
    with pytest.raises(ShapeError, match="negative number of steps"):
        f(np.ones((3, 2)), np.ones(3), np.eye(2), np.zeros(2), -1)
    count = T.dscalar("count").astype("int32")
    mapped, _ = tg.scan(lambda r, q: T.dot(r, W) * q, [X, y], n_steps=count)
    total, _ = tg.scan(lambda r, s: s + T.dot(r.dimshuffle(0, "x"), r.dimshuffle("x", 0)), X, [W], n_steps=count)
    for out in (mapped, total[-1]):
        f = tg.function([X, y, W, count.owner.inputs[0]], out, on_unused_input="ignore")
        f(np.ones((3, 2)), np.ones(3), np.eye(2), 2)
        for steps, rows in ((3, 1), (3, 2), (-1, 3)):
            with pytest.raises(ShapeError, match=r"too short for 3 steps|negative number of steps"):
                f(np.ones((rows, 2)), np.ones(rows), np.eye(2), steps)


def test_a_step_does_not_see_how_its_constants_were_made():
    outside = -h0
    states, _ = tg.scan(lambda s: (-s) * outside, outputs_info=y, n_steps=3)
    (loop,) = loops(rewritten(states))
    inner = loop.op.body
    assert set(graph_inputs(inner.outputs, stop=inner.inputs)) <= set(inner.inputs)
    agree([h0, y], [states], np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    turned = W.T
    total, _ = tg.scan(lambda row, s: s + T.dot(turned, row * U), X, [T.zeros_like(W)])
    agree([X, W, U], [total[-1]], np.ones((3, 2)), np.eye(2), np.ones((2, 2)))


# --- after the loop ---------------------------------------------------------------------------------------------------

#: What a step adds, of the type of W, and whether no sum of it is carried.
ADDED = {
    "product": (lambda r, s: T.dot(r.T, T.tanh(r + s)), True),
    "turned": (lambda r, s: T.dot(T.tanh(r + s).T, r), True),
    "both new": (lambda r, s: T.dot(T.tanh(r + s), T.sin(r + s)), True),
    "sequences": (lambda r, s: T.dot(r.T, r), True),
    "two products": (lambda r, s: T.dot(r.T, s) + T.dot(s, r), True),
    "outer": (lambda r, s: T.outer(r[0], s[1]), True),
    "vectors": (lambda r, s: T.dot(r, s[0]), True),
    "sum": (lambda r, s: (r * s).sum(axis=0), True),
    "sum with axis": (lambda r, s: (r * s).sum(axis=1, keepdims=True), True),
    "number": (lambda r, s: (r * s).sum(), True),
    "row itself": (lambda r, s: r, True),
    "state": (lambda r, s: T.exp(-(s**2)), False),
    "product and state": (lambda r, s: T.dot(r.T, s) + T.exp(-(s**2)), False),
}


@pytest.mark.parametrize("case", ADDED)
@settings(max_examples=8)
@given(st.integers(0, 4), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_sums(case, steps, backwards, from_zero, alone, seed):
    added, gone = ADDED[case]
    rng = np.random.default_rng(seed)

    def step(r, s, total):
        return T.tanh(s + r), (added(r, s) + total if seed % 2 else total + added(r, s))

    start = T.zeros_like(W) if from_zero else W
    (s, total), _ = tg.scan(step, S3, [U, start], go_backwards=backwards)
    outputs = [total[-1]] if alone else [total[-1], s]
    if steps == 0:
        outputs[0] = total.sum()
    else:
        states = [len(loop.op.taps) for loop in loops(rewritten(*outputs))]
        assert states in ([[1], []] if gone else [[2]])
    values = [normal(rng, steps, 2, 2), normal(rng, 2, 2), normal(rng, 2, 2)]
    agree([S3, W, U], outputs, *values)
    cost = sum((v**2).sum() for v in outputs)
    first = tg.grad(cost, [S3, W, U], disconnected_inputs="ignore")
    agree([S3, W, U], first, *values, rtol=1e-8)


def test_a_sum_that_is_read_in_between_is_carried():
    (s, total), _ = tg.scan(lambda r, s, t: (s + r + t, t + T.dot(r.T, r)), S3, [U, W])
    (loop,) = loops(rewritten(s[-1], total[-1]))
    assert len(loop.op.taps) == 2
    total, _ = tg.scan(lambda r, t: t + T.dot(r.T, r), S3, [W])
    (loop,) = loops(rewritten(total))
    assert len(loop.op.taps) == 1
    agree([S3, W], [total], np.ones((3, 2, 2)), np.ones((2, 2)))


def test_integers_are_summed_exactly():
    rows, start = T.imatrix("rows"), T.ivector("start")
    total, _ = tg.scan(lambda r, t: t + r, rows, [start])
    assert loops(rewritten(total[-1])) == []
    big = np.full((3, 2), 2**30, "int32")
    agree([rows, start], [total[-1]], big, np.array([1, -5], "int32"), rtol=0, atol=0)


def test_a_sum_must_keep_its_shape():
    total, _ = tg.scan(lambda r, t: t + T.dot(r.T, r), S3, [W])
    for mode in ("FAST_COMPILE", "FAST_RUN"):
        with pytest.raises(ShapeError):
            tg.function([S3, W], total[-1], mode=mode)(np.ones((3, 2, 2)), np.ones((1, 2)))


# --- loops in loops ---------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1000))
def test_nested(outer, inner, seed):
    rng = np.random.default_rng(seed)

    def step(rows, h, w):
        states, _ = tg.scan(lambda row, s, w: T.tanh(T.dot(row, w) + T.dot(s, U)), rows, [h], [w])
        return T.concatenate([h[None], states])[-1] + states.sum(axis=0)

    states, _ = tg.scan(step, S3, [h0], [W])
    wrt = [S3, h0, W, U]
    first = tg.grad((states**2).sum(), wrt)
    second = tg.grad(sum((g**2).sum() for g in first), wrt)
    values = [normal(rng, outer, inner, 2), normal(rng, 2), normal(rng, 2, 2), normal(rng, 2, 2)]
    agree(wrt, [states, *first, *second], *values, rtol=1e-7, atol=1e-9)


def test_several_taps():
    states, _ = tg.scan(
        lambda r0, r2, s3, s1: T.tanh(T.dot(r0, W) + T.dot(r2, W) + T.dot(s3, U) * s1),
        {"input": X, "taps": [0, 2]},
        {"initial": Y, "taps": [-3, -1]},
    )
    rng = np.random.default_rng(5)
    wrt = [X, Y, W, U]
    first = tg.grad((states**2).sum(), wrt)
    second = tg.grad(sum((g**2).sum() for g in first), wrt)
    values = [normal(rng, 6, 2), normal(rng, 3, 2), normal(rng, 2, 2), normal(rng, 2, 2)]
    agree(wrt, [states, *first, *second], *values, rtol=1e-8)
    forward, backward = loops(rewritten(states, *first))
    assert len(products(forward)) == 1
    assert len(products(backward)) == 1


# --- pieces -----------------------------------------------------------------------------------------------------------


def pieces(*cuts, axis=0):
    """Gradients of slices, added up in the order given."""
    zeros = T.zeros_like(X)
    parts = [X[(slice(None),) * axis + (slice(*cut),)] * (i + 2) for i, cut in enumerate(cuts)]
    places = [zeros[(slice(None),) * axis + (slice(*cut),)] for cut in cuts]
    return reduce(T.add, [T.inc_subtensor(place, part) for place, part in zip(places, parts, strict=True)])


RULES = {
    "join_pieces": [
        lambda: pieces((None, 1), (1, 2), (2, None)),
        lambda: pieces((2, None), (0, 1), (1, 2), axis=1),
        lambda: pieces((5, None), (None, 5), axis=1),
        lambda: tg.grad((X[:, :1] * T.exp(X[:, 1:])).sum(), X),
        lambda: T.inc_subtensor(T.zeros_like(X)[:2], x) + T.inc_subtensor(T.zeros_like(X)[2:], X[2:]),
    ],
    "broadcast_in_passing": [lambda: X * T.ones_like(X) + T.zeros_like(X), lambda: T.fill(X, 3.0) / X],
    "read_the_only_row": [lambda: X.dimshuffle("x", 1, 0)[-1], lambda: x.dimshuffle("x", "x", 0)[0]],
    "reverse_twice": [lambda: (X[::-1])[::-1] * 2],
}
CASES = [pytest.param(rule, build, id=f"{rule}-{i}") for rule, rows in RULES.items() for i, build in enumerate(rows)]


def test_every_rule_has_a_case():
    assert {rule.__name__ for rule in PIECES} == set(RULES)


@pytest.mark.parametrize(("rule", "build"), CASES)
def test_rules(rule, build):
    steps: list[Step] = []
    rewrite([build()], [X, x], steps)
    assert rule in {step.rule for step in steps}
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, 5e-324, -2.0, 3.0])
    for value in (special.reshape(3, 3), np.ones((4, 3))):
        with tg.config.change_flags(linker="reference"):  # the same arithmetic on both sides
            old, new = (
                tg.function([X, x], build(), mode=mode, on_unused_input="ignore")(value, special[:3])
                for mode in ("FAST_COMPILE", "FAST_RUN")
            )
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "build",
    [
        lambda: pieces((None, 1), (2, None)),  # a gap
        lambda: pieces((None, 2), (1, None)),  # an overlap
        lambda: pieces((None, 1), (1, 2)),  # no end
        lambda: pieces((1, None), (1, None)),
        lambda: T.inc_subtensor(X[:1], 1.0) + T.inc_subtensor(T.zeros_like(X)[1:], 1.0),
        lambda: T.inc_subtensor(T.zeros_like(X)[:1], X[:1]) + T.inc_subtensor(T.zeros_like(X)[:, 1:], X[:, 1:]),
        lambda: T.inc_subtensor(T.zeros_like(X)[:-1], X[1:]) + T.inc_subtensor(T.zeros_like(X)[-1:], X[:1]),
    ],
)
def test_other_pieces_stay(build):
    steps: list[Step] = []
    rewrite([build()], [X], steps)
    assert "join_pieces" not in {step.rule for step in steps}
    agree([X], [build()], np.arange(12.0).reshape(4, 3), rtol=0, atol=0)


def test_broadcasts_hide_no_shape_error():
    for mode in ("FAST_COMPILE", "FAST_RUN"):
        with pytest.raises(ShapeError):
            tg.function([X, Y], X * T.ones_like(Y), mode=mode)(np.ones((2, 2)), np.ones((3, 2)))
    agree([X, Y], [X * T.ones_like(Y)], np.ones((1, 2)), np.ones((3, 2)))
