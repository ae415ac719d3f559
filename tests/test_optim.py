"""Update rules, schedules, clipping and penalties, against NumPy loops written from the published formulas."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim
from tinygraph.errors import DisconnectedInputError, DtypeError, GradientError, ShapeError, UpdateError

SHAPES = [(), (3,), (2, 3), (0, 2), (1, 2, 1, 2)]
FLOATS = ("float32", "float64")


# --- the published formulas, one parameter at a time, in float64 -----------------------------------------------------


def np_sgd(p, grads, learning_rate):
    for g in grads:
        p = p - learning_rate * g
        yield p


def np_momentum(p, grads, learning_rate, momentum):
    v = 0.0 * p
    for g in grads:
        v = momentum * v - learning_rate * g
        p = p + v
        yield p


def np_nesterov(p, grads, learning_rate, momentum):
    v = 0.0 * p
    for g in grads:
        v = momentum * v - learning_rate * g
        p = p + momentum * v - learning_rate * g
        yield p


def np_adagrad(p, grads, learning_rate, epsilon):
    seen = []
    for g in grads:
        seen.append(g)
        p = p - learning_rate / np.sqrt(sum(h**2 for h in seen) + epsilon) * g
        yield p


def np_rmsprop(p, grads, learning_rate, decay, momentum, epsilon):
    cache, v = 0.0 * p, 0.0 * p
    for g in grads:
        cache = decay * cache + (1 - decay) * g * g
        v = momentum * v - learning_rate * g / np.sqrt(cache + epsilon)
        p = p + v
        yield p


def np_adadelta(p, grads, learning_rate, rho, epsilon):
    mean, moved = 0.0 * p, 0.0 * p
    for g in grads:
        mean = rho * mean + (1 - rho) * g**2
        d = -np.sqrt(moved + epsilon) / np.sqrt(mean + epsilon) * g
        moved = rho * moved + (1 - rho) * d**2
        p = p + learning_rate * d
        yield p


def np_adam(p, grads, learning_rate, beta1, beta2, epsilon, weight_decay=0.0, greatest=False):
    m, v, w = 0.0 * p, 0.0 * p, 0.0 * p
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = np.maximum(w, v) if greatest else v
        a = learning_rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        p = p - a * m / (np.sqrt(w) + epsilon) - learning_rate * weight_decay * p
        yield p


def np_amsgrad(p, grads, **settings):
    return np_adam(p, grads, **settings, greatest=True)


def np_adamax(p, grads, learning_rate, beta1, beta2, epsilon):
    m, u = 0.0 * p, 0.0 * p
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, abs(g))
        p = p - learning_rate / (1 - beta1**t) * m / (u + epsilon)
        yield p


RATES = st.floats(0.0, 2.0, width=32)
KEPT = st.floats(0.0, 0.999)
EPSILONS = st.sampled_from([1e-8, 1e-6, 1e-3, 1.0])
ADAM = {"learning_rate": RATES, "beta1": KEPT, "beta2": KEPT, "epsilon": EPSILONS}
#: name -> the loop, strategies for its settings, the class, and a rate that suits a quadratic
RULES = {
    "sgd": (np_sgd, {"learning_rate": RATES}, optim.SGD, 0.1),
    "momentum": (np_momentum, {"learning_rate": RATES, "momentum": st.floats(0, 1)}, optim.Momentum, 0.02),
    "nesterov": (np_nesterov, {"learning_rate": RATES, "momentum": st.floats(0, 1)}, optim.Nesterov, 0.02),
    "adagrad": (np_adagrad, {"learning_rate": RATES, "epsilon": EPSILONS}, optim.Adagrad, 0.5),
    "rmsprop": (
        np_rmsprop,
        {"learning_rate": RATES, "decay": KEPT, "momentum": st.just(0.0) | st.floats(0, 1), "epsilon": EPSILONS},
        optim.RMSprop,
        0.02,
    ),
    "adadelta": (np_adadelta, {"learning_rate": RATES, "rho": KEPT, "epsilon": EPSILONS}, optim.Adadelta, 50.0),
    "adam": (np_adam, ADAM, optim.Adam, 0.05),
    "adamax": (np_adamax, ADAM, optim.Adamax, 0.05),
    "amsgrad": (np_amsgrad, ADAM, optim.AMSGrad, 0.05),
    "adamw": (np_adam, {**ADAM, "weight_decay": st.floats(0.0, 0.5)}, optim.AdamW, 0.05),
}


def rule_of(name):
    return getattr(optim, name)


def defaults(name):
    """The settings of a rule, with their defaults."""
    return {k: p.default for k, p in list(inspect.signature(rule_of(name)).parameters.items())[2:]}


def random_values(dtype, seed=0, steps=3):
    """For each shape a first value and some gradients."""
    rng = np.random.default_rng(seed)
    starts = [rng.normal(size=s).astype(dtype) for s in SHAPES]
    return starts, [[rng.normal(size=s).astype(dtype) for s in SHAPES] for _ in range(steps)]


def trained(make_updates, starts, grads, inputs=(), values=()):
    """Parameters after each step, with gradients that are inputs: one list of arrays for each step."""
    params = [tg.shared(p, f"p{i}") for i, p in enumerate(starts)]
    symbols = [T.tensor(dtype=p.dtype.name, shape=(None,) * p.ndim) for p in starts]
    step = tg.function([*symbols, *inputs], [], updates=make_updates(symbols, params))
    found = []
    for row in grads:
        step(*row, *values)
        found.append([p.get_value() for p in params])
    return found


def assert_steps(found, expected, dtype):
    """``found[t][i]`` against ``expected[i][t]``, with room for the rounding of the dtype."""
    rounding = {"float32": 3e-5, "float64": 1e-10}[dtype]
    for i, loop in enumerate(expected):
        for t, want in enumerate(loop):
            got = found[t][i]
            assert got.dtype == dtype
            assert got.shape == want.shape
            size = max(1.0, np.abs(want).max(initial=0.0))
            np.testing.assert_allclose(got, want, rtol=rounding, atol=rounding * size)


@st.composite
def runs(draw, name):
    """Settings of a rule, a dtype, first values and gradients, many of them zero."""
    dtype = draw(st.sampled_from(FLOATS))
    known = {k: draw(s) for k, s in RULES[name][1].items()}
    element = st.sampled_from([0.0, 0.0, 1.0, -1.0]) | st.floats(-100, 100, width=32).map(lambda x: round(x, 3))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    rows = [[draw(hnp.arrays(dtype, s, elements=element)) for s in shapes] for _ in range(4)]
    return dtype, known, rows[0], rows[1:]


@pytest.mark.parametrize("name", RULES)
def test_rule_is_the_published_formula(name):
    loop = RULES[name][0]

    @settings(max_examples=12, deadline=None)
    @given(runs(name))
    def check(run):
        dtype, known, starts, grads = run
        found = trained(lambda g, p: rule_of(name)(g, p, **known), starts, grads)
        wide = [p.astype("float64") for p in starts]
        expected = [loop(p, [np.float64(row[i]) for row in grads], **known) for i, p in enumerate(wide)]
        assert_steps(found, expected, dtype)

    check()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", RULES)
def test_class_and_symbolic_settings_give_the_same_steps(name, dtype):
    starts, grads = random_values(dtype)
    known = {k: {"learning_rate": 0.1}.get(k, 0.25) for k in defaults(name)}
    plain = trained(lambda g, p: rule_of(name)(g, p, **known), starts, grads)
    by_class = trained(lambda g, p: RULES[name][2](*known.values()).minimize(g, p), starts, grads)
    assert_steps(by_class, [[row[i] for row in plain] for i in range(len(starts))], dtype)
    # Settings may be variables of any dtype; parameters keep theirs.
    symbols = {k: T.scalar(k, dtype=d) for k, d in zip(known, itertools.cycle(["float64", "float32"]), strict=False)}
    symbolic = trained(
        lambda g, p: rule_of(name)(g, p, **symbols), starts, grads, list(symbols.values()), list(known.values())
    )
    assert_steps(symbolic, [[row[i] for row in plain] for i in range(len(starts))], dtype)


@pytest.mark.parametrize("name", RULES)
def test_class_has_the_settings_of_the_function(name):
    cls = RULES[name][2]
    assert (
        list(inspect.signature(cls).parameters.values())
        == list(inspect.signature(rule_of(name)).parameters.values())[2:]
    )
    assert cls().settings == {k: float(v) for k, v in defaults(name).items()}
    with pytest.raises(TypeError, match="speed"):
        cls(speed=1)
    with pytest.raises(UpdateError, match="learning_rate"):
        cls(-1.0)


@pytest.mark.parametrize("name", RULES)
def test_zero_gradients_move_nothing(name):
    settings = {"epsilon": 0.0} if "epsilon" in defaults(name) else {}
    if name == "adamw":
        settings["weight_decay"] = 0.0
    for dtype in ("float16", *FLOATS):
        starts = [np.ones(s, dtype) for s in SHAPES]
        zeros = [np.zeros(s, dtype) for s in SHAPES]
        for known in (settings, {}) if name != "adamw" else (settings,):
            for row in trained(lambda g, p, known=known: rule_of(name)(g, p, **known), starts, [zeros] * 3):
                for got, want in zip(row, starts, strict=True):
                    assert got.dtype == dtype
                    np.testing.assert_array_equal(got, want)


def test_epsilon_that_is_a_variable_cannot_be_zero_either():
    epsilon = T.scalar("epsilon")
    zeros = [np.zeros(s) for s in SHAPES]
    found = trained(lambda g, p: optim.adagrad(g, p, epsilon=epsilon), zeros, [zeros], [epsilon], [0.0])
    assert all(np.array_equal(got, want) for got, want in zip(found[0], zeros, strict=True))


@pytest.mark.parametrize("name", RULES)
def test_nan_gradient_is_not_hidden(name):
    found = trained(rule_of(name), [np.ones(2)], [[np.array([np.nan, 1.0])]])
    assert np.isnan(found[0][0][0])
    assert np.isfinite(found[0][0][1])


@pytest.mark.parametrize("name", RULES)
def test_minimises_a_quadratic(name):
    rng = np.random.default_rng(1)
    target = [rng.normal(size=(3,)), rng.normal(size=(2, 2))]
    params = [tg.shared(np.zeros(3), "a"), tg.shared(np.zeros((2, 2)), "B")]
    cost = sum(T.sum(T.sqr(p - c)) for p, c in zip(params, target, strict=True))
    known = {"weight_decay": 0.0} if name == "adamw" else {}
    train = tg.function([], cost, updates=rule_of(name)(cost, params, RULES[name][3], **known))
    first = float(train())
    for _ in range(300):
        last = float(train())
    assert last < 0.01 * first


def test_trains_a_logistic_regression():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 2))
    t = (x @ [2.0, -1.0] + 0.5 > 0).astype("float64")
    X, target = T.matrix("X"), T.vector("t")
    w, b = tg.shared(np.zeros(2), "w"), tg.shared(0.0, "b")
    y = T.nnet.sigmoid(T.dot(X, w) + b)
    cost = T.mean(T.nnet.binary_crossentropy(y, target)) + 1e-4 * optim.l2([w])
    train = tg.function([X, target], cost, updates=optim.Adam(0.1).minimize(cost, [w, b]))
    costs = [float(train(x, t)) for _ in range(150)]
    right = tg.function([X, target], T.mean(T.eq(y > 0.5, target)))(x, t)
    assert costs[-1] < 0.2 * costs[0]
    assert float(right) >= 0.95


# --- what a rule remembers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_memory_is_like_its_parameter(name):
    p = tg.shared(np.ones((1, 3), "float32"), "W", broadcastable=(True, False))
    other = tg.shared(np.ones(2))
    updates = rule_of(name)(T.sum(T.sqr(p)) + T.sum(other), [p, other])
    assert type(updates) is dict
    memory = [v for v in updates if v not in (p, other)]
    for v in memory:
        if v.name.startswith("W "):
            assert v.type == p.type
            assert v.backend == p.backend
            np.testing.assert_array_equal(v.get_value(), np.zeros((1, 3), "float32"))
        else:
            assert v.dtype == other.dtype if v.ndim else v.dtype == "int64"
    assert all(new.dtype == v.dtype and new.ndim == v.ndim for v, new in updates.items())
    tg.function([], [], updates=list(updates.items()))()
    assert p.get_value().shape == (1, 3)


def test_rmsprop_without_momentum_has_no_velocity():
    w = tg.shared(np.ones(2), "w")
    assert [v.name for v in optim.rmsprop(T.sum(w), [w])] == ["w mean square", "w"]
    assert [v.name for v in optim.rmsprop(T.sum(w), w, momentum=0.5)] == ["w mean square", "w velocity", "w"]


@pytest.mark.parametrize("name", RULES)
def test_float32_stays_float32_without_a_single_float64(name):
    with tg.config.change_flags(floatX="float32", forbid_dtype="float64"):
        w, b = tg.shared(np.ones((2, 2), "float32"), "w"), tg.shared(np.float32(1), "b")
        cost = T.sum(T.sqr(w)) + b * b + optim.l1([w]) + optim.l2([w, b])
        rate = optim.CosineDecay(0.1, steps=3)
        grads = optim.clip_by_value(optim.clip_by_norm(tg.grad(cost, [w, b]), 1.0), -0.5, 0.5)
        updates = optim.max_norm(rule_of(name)(grads, [w, b], learning_rate=rate), 1.0, params=[w])
        step = tg.function([], cost, updates=updates)
    for _ in range(3):
        step()
    assert w.get_value().dtype == b.get_value().dtype == np.float32
    assert np.isfinite(w.get_value()).all()


@pytest.mark.parametrize("name", ["adam", "adamax", "amsgrad", "adamw"])
def test_bias_correction_is_right_in_float32_at_any_step(name):
    known = {"learning_rate": 0.5, "beta1": 0.99, "beta2": 0.99999, "epsilon": 1e-12}
    if name == "adamw":
        known["weight_decay"] = 0.0
    for t in (1, 2, 1000, 2**24 + 1, 10**9, 10**12):
        w, g = tg.shared(np.zeros(2, "float32"), "w"), T.fvector("g")
        updates = rule_of(name)([g], [w], **known)
        (count,) = [v for v in updates if v.dtype == "int64"]
        count.set_value(t - 1)
        tg.function([g], [], updates=updates)([4.0, -0.25])
        assert int(count.get_value()) == t
        # From empty means, a step at t is that of the first gradient, scaled by the correction of t.
        scale = known["learning_rate"] * 0.01 / (1 - 0.99**t)
        if name != "adamax":
            scale *= np.sqrt((1 - 0.99999**t) / 0.00001)
        np.testing.assert_allclose(w.get_value(), [-scale, scale], rtol=2e-6)


def test_float16_counts_beyond_its_own_range():
    w, g = tg.shared(np.zeros(1, "float16"), "w"), T.tensor(dtype="float16", shape=(None,))
    updates = optim.adamax([g], [w], learning_rate=1000.0, beta1=0.99999)
    (count,) = [v for v in updates if v.dtype == "int64"]
    count.set_value(10**5 - 1)
    tg.function([g], [], updates=updates)(np.array([4], "float16"))
    np.testing.assert_allclose(w.get_value(), [-1000 * 1e-5 / (1 - 0.99999 ** (10**5))], rtol=0.01)
    rate = optim.CosineDecay(1.0, steps=200_000)
    rate.step.set_value(100_000)
    np.testing.assert_allclose(rate.value("float16").eval(), 0.5, rtol=1e-3)


def test_each_minimize_starts_afresh():
    w = tg.shared(1.0, "w")
    optimizer = optim.Momentum(0.1)
    first, second = optimizer.minimize(w**2, [w]), optimizer.minimize(w**2, [w])
    assert set(first) & set(second) == {w}
    assert repr(optimizer) == "Momentum(learning_rate=0.1, momentum=0.9)"


def test_gradients_of_another_dtype_are_cast():
    w = tg.shared(np.ones(2, "float32"), "w")
    step = tg.function([], [], updates=optim.sgd([np.array([1.0, 2.0])], [w], 0.5))
    step()
    np.testing.assert_array_equal(w.get_value(), np.array([0.5, 0.0], "float32"))


@pytest.mark.parametrize("dtype", FLOATS)
def test_momentum_applied_to_sgd_is_momentum(dtype):
    starts, grads = random_values(dtype, steps=5)
    for whole, added in (
        (optim.momentum, optim.apply_momentum),
        (optim.nesterov, optim.apply_nesterov_momentum),
    ):
        found = trained(lambda g, p, added=added: added(optim.sgd(g, p, 0.1), momentum=0.8), starts, grads)
        want = trained(lambda g, p, whole=whole: whole(g, p, 0.1, 0.8), starts, grads)
        assert_steps(found, [[row[i] for row in want] for i in range(len(starts))], dtype)


def test_momentum_applied_to_another_rule():
    w = tg.shared(np.ones(2), "w")
    updates = optim.adam(T.sum(w), [w])
    assert set(optim.apply_momentum(updates, [w])) > set(updates)
    with pytest.raises(UpdateError, match="no floats"):
        optim.apply_momentum(updates)
    with pytest.raises(UpdateError, match="no update"):
        optim.apply_momentum({}, [w])
    with pytest.raises(UpdateError, match="momentum is out of range"):
        optim.apply_nesterov_momentum(updates, [w], momentum=1.5)


# --- learning rates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "rate",
    [
        lambda: 0.25,
        lambda: np.float32(0.25),
        lambda: np.array(0.25),
        lambda: tg.shared(0.25, "rate"),
        lambda: tg.shared(np.float32(0.25), "rate"),
        lambda: T.constant(0.5) / 2,
        lambda: optim.StepDecay(0.25, every=100),
        lambda: optim.StepDecay(tg.shared(0.25), every=100),
    ],
)
def test_learning_rate_in_every_form(rate, dtype):
    starts = [np.ones(3, dtype)]
    found = trained(lambda g, p: optim.sgd(g, p, rate()), starts, starts and [starts])
    np.testing.assert_array_equal(found[0][0], np.full(3, 0.75, dtype))
    assert found[0][0].dtype == dtype


def test_learning_rate_changed_between_steps():
    rate, g = tg.shared(1.0, "rate"), T.scalar("g")
    w = tg.shared(0.0, "w")
    step = tg.function([g], [], updates=optim.momentum([g], [w], rate, momentum=0.5))
    step(1.0)
    rate.set_value(0.0)
    step(1.0)
    assert float(w.get_value()) == -1.5


SCHEDULES = {
    "StepDecay": ({"every": 3, "drop": 0.5}, lambda t, every, drop: drop ** (t // every)),
    "InverseDecay": ({"slope": 0.3}, lambda t, slope: 1 / (1 + slope * t)),
    "ExponentialDecay": ({"slope": 0.2}, lambda t, slope: np.exp(-slope * t)),
    "CosineDecay": (
        {"steps": 6, "lowest": 0.1},
        lambda t, steps, lowest: lowest + (1 - lowest) * (1 + np.cos(np.pi * min(t, steps) / steps)) / 2,
    ),
}


@pytest.mark.parametrize("dtype", ["float16", *FLOATS])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_is_its_formula(name, dtype):
    known, factor = SCHEDULES[name]
    schedule = getattr(optim, name)(0.7, **known)
    rate = schedule.value(dtype)
    assert rate.dtype == dtype
    assert schedule.step.dtype == "int64"
    step = tg.function([], rate, updates=schedule.advance())
    rounding = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-14}[dtype]
    for t in range(9):
        np.testing.assert_allclose(step(), 0.7 * factor(t, **known), rtol=rounding, atol=rounding)
    for t in (10**5, 2**24 + 1, 10**10):
        schedule.step.set_value(t)
        np.testing.assert_allclose(step(), 0.7 * factor(t, **known), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_drives_a_rule(name):
    known, factor = SCHEDULES[name]
    schedule = getattr(optim, name)(0.5, **known)
    w = tg.shared(np.zeros(2, "float32"), "w")
    updates = optim.SGD(schedule).minimize(T.sum(w), [w])
    assert list(updates) == [schedule.step, w]
    step = tg.function([], schedule.value(), updates=updates)
    total = 0.0
    for t in range(5):
        rate = float(step())
        np.testing.assert_allclose(rate, 0.5 * factor(t, **known), rtol=1e-12)
        total += rate
        np.testing.assert_allclose(w.get_value(), [-total, -total], rtol=1e-6)
    assert int(schedule.step.get_value()) == 5


def test_one_step_count_for_several_uses():
    step = tg.shared(np.int64(4), "steps")
    rate = optim.InverseDecay(1.0, slope=1.0, step=step)
    decay = optim.StepDecay(0.5, every=2, drop=0.5, step=step)
    w, b = tg.shared(np.zeros(2), "w"), tg.shared(np.zeros(2, "float32"), "b")
    cost = T.sum(w) + T.sum(b)
    both = optim.adamw(cost, [w, b], rate, weight_decay=decay)
    assert list(both).count(step) == 1
    joined = {**optim.sgd(cost, [w], rate), **optim.sgd(cost, [b], decay)}
    tg.function([], [], updates=joined)()
    assert int(step.get_value()) == 5
    np.testing.assert_allclose(w.get_value(), -1 / 5)
    np.testing.assert_allclose(b.get_value(), -1 / 8)


def test_schedule_only_advances_where_it_is_updated():
    rate = optim.StepDecay(1.0, every=1, drop=0.5)
    watch = tg.function([], rate.value())
    assert [float(watch()) for _ in range(3)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: optim.StepDecay(-1.0, every=2), UpdateError),
        (lambda: optim.StepDecay(float("nan"), every=2), UpdateError),
        (lambda: optim.StepDecay(1.0, every=0), UpdateError),
        (lambda: optim.StepDecay(1.0, every=2.5), DtypeError),
        (lambda: optim.StepDecay(1.0, every=2, drop=-0.5), UpdateError),
        (lambda: optim.StepDecay(1.0, every=2, drop=T.scalar("d")), DtypeError),
        (lambda: optim.InverseDecay(1.0, slope=-1), UpdateError),
        (lambda: optim.InverseDecay("fast", slope=1), DtypeError),
        (lambda: optim.ExponentialDecay(T.vector("rates"), slope=1), ShapeError),
        (lambda: optim.CosineDecay(1.0, steps=-1), UpdateError),
        (lambda: optim.CosineDecay(1.0, steps=True), DtypeError),
        (lambda: optim.CosineDecay(1.0, steps=5, lowest=float("inf")), UpdateError),
        (lambda: optim.CosineDecay(1.0, steps=5, step=tg.shared(0.0)), UpdateError),
        (lambda: optim.CosineDecay(1.0, steps=5, step=3), UpdateError),
        (lambda: optim.CosineDecay(1.0, steps=5, step=tg.shared(np.zeros(2, int))), UpdateError),
    ],
)
def test_schedule_refuses(make, error):
    with pytest.raises(error) as caught:
        make()
    assert "Decay: " in str(caught.value)
    assert "expected" in str(caught.value)


# --- clipping, limits and penalties ----------------------------------------------------------------------------------


ELEMENTS = st.sampled_from([0.0, -0.0, 1.0, -2.0]) | st.floats(-1e3, 1e3, width=32).map(lambda x: round(x, 4))


@st.composite
def gradients(draw):
    dtype = draw(st.sampled_from(FLOATS))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    return [draw(hnp.arrays(dtype, s, elements=ELEMENTS)) for s in shapes]


def computed(build, arrays):
    """The values of a list of expressions of gradients."""
    symbols = [T.tensor(dtype=a.dtype.name, shape=(None,) * a.ndim) for a in arrays]
    return tg.function(symbols, build(symbols))(*arrays)


@settings(max_examples=20, deadline=None)
@given(gradients(), st.floats(0.01, 1e4))
def test_clip_by_norm(grads, limit):
    rounding = {"float32": 1e-5, "float64": 1e-12}[grads[0].dtype.name]
    norm = np.sqrt(sum(np.sum(g.astype("float64") ** 2) for g in grads))
    factor = min(1.0, limit / norm) if norm else 1.0
    *found, seen = computed(lambda s: [*optim.clip_by_norm(s, limit), optim.total_norm(s)], grads)
    for got, g in zip(found, grads, strict=True):
        assert got.dtype == g.dtype
        np.testing.assert_allclose(got, g.astype("float64") * factor, rtol=rounding)
        if norm < 0.999 * limit:
            np.testing.assert_array_equal(got, g)
    np.testing.assert_allclose(seen, norm, rtol=rounding)


@pytest.mark.parametrize("dtype", FLOATS)
def test_clip_by_norm_at_the_ends_of_the_dtype(dtype):
    info = np.finfo(dtype)
    huge, small = np.array([3, -4], dtype) * (info.max / 8), np.array([3.0, 4.0], dtype) * info.tiny
    least = np.array([info.smallest_subnormal, 0], dtype)
    np.testing.assert_array_equal(computed(lambda s: optim.clip_by_norm(s, 1.0), [least])[0], least)
    np.testing.assert_allclose(computed(lambda s: optim.clip_by_norm(s, 1.0), [huge])[0], [0.6, -0.8], rtol=1e-5)
    np.testing.assert_array_equal(computed(lambda s: optim.clip_by_norm(s, 1.0), [small])[0], small)
    np.testing.assert_allclose(computed(optim.total_norm, [small]), 5 * info.tiny, rtol=1e-5)
    for bad in (np.inf, -np.inf, np.nan):
        first, second = computed(lambda s: optim.clip_by_norm(s, 1.0), [np.array([bad, 1], dtype), np.ones(2, dtype)])
        assert np.isnan(first).all()
        assert np.isnan(second).all()


def test_clip_by_norm_of_mixed_dtypes():
    for zeros in computed(lambda s: optim.clip_by_norm(s, 1.0), [np.zeros(2, "float32"), np.zeros(2)]):
        np.testing.assert_array_equal(zeros, [0, 0])
    first, second = computed(lambda s: optim.clip_by_norm(s, 1.0), [np.float32([3, 0]), np.float64([0, 4])])
    assert (first.dtype, second.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose([*first, *second], [0.6, 0, 0, 0.8], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(gradients(), st.floats(-10, 0), st.floats(0, 10))
def test_clip_by_value(grads, low, high):
    for got, g in zip(computed(lambda s: optim.clip_by_value(s, low, high), grads), grads, strict=True):
        assert got.dtype == g.dtype
        np.testing.assert_array_equal(got, np.clip(g, g.dtype.type(low), g.dtype.type(high)))


def test_clip_by_value_of_special_values_and_forms():
    x = T.vector("x")
    clipped = optim.clip_by_value(x, -1, tg.shared(np.float32(2)))
    np.testing.assert_array_equal(clipped.eval({x: [np.inf, -np.inf, np.nan, 1.5]}), [2, -1, np.nan, 1.5])
    assert isinstance(optim.clip_by_value((x, x), -1, 1), tuple)
    assert isinstance(optim.clip_by_norm([x], 1), list)
    np.testing.assert_array_equal(optim.clip_by_value(x, -np.inf, 1).eval({x: [-np.inf, 2]}), [-np.inf, 1])


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(st.sampled_from(FLOATS), st.tuples(st.integers(0, 4), st.integers(0, 4)), elements=ELEMENTS),
    st.floats(0.01, 100),
    st.sampled_from([None, 0, 1, -1, (0, 1), [0]]),
)
def test_max_norm(x, limit, axes):
    rounding = {"float32": 1e-5, "float64": 1e-12}[x.dtype.name]
    (got,) = computed(lambda s: [optim.max_norm(s[0], limit, axes)], [x])
    axis = 0 if axes is None else tuple(axes) if isinstance(axes, list) else axes
    norms = np.sqrt(np.sum(x.astype("float64") ** 2, axis=axis, keepdims=True))
    factor = np.minimum(1.0, limit / np.where(norms > 0, norms, limit))
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got, x * factor, rtol=rounding)
    inside = np.broadcast_to(norms < 0.999 * limit, x.shape)
    np.testing.assert_array_equal(got[inside], x[inside])


def test_max_norm_of_filters_and_of_updates():
    filters = np.random.default_rng(3).normal(size=(4, 3, 2, 2))
    (got,) = computed(lambda s: [optim.max_norm(s[0], 1.0)], [filters])
    np.testing.assert_allclose(np.sqrt(np.sum(got**2, axis=(1, 2, 3))), 1.0)
    small, same = optim.max_norm([T.constant(filters), T.constant(filters / 100)], 1.0)
    np.testing.assert_allclose(small.eval(), got, rtol=1e-14)  # sums of a few terms, in another order
    np.testing.assert_array_equal(same.eval(), filters / 100)
    W, b = tg.shared(np.full((3, 2), 2.0), "W"), tg.shared(np.full(2, 2.0), "b")
    updates = optim.momentum(T.sum(W) + T.sum(b), [W, b], 0.1)
    limited = optim.max_norm(updates, 1.0, params=[W])
    assert list(limited) == list(updates)
    assert [v for v in updates if updates[v] is not limited[v]] == [W]
    tg.function([], [], updates=limited)()
    np.testing.assert_allclose(W.get_value(), np.full((3, 2), 1 / np.sqrt(3)))
    np.testing.assert_allclose(b.get_value(), [1.9, 1.9])


@settings(max_examples=20, deadline=None)
@given(gradients())
def test_penalties_and_their_gradients(arrays):
    def build(s):
        return [optim.l1(s), optim.l2(s), *tg.grad(optim.l1(s), s), *tg.grad(optim.l2(s), s)]

    n = len(arrays)
    first, second, *grads = computed(build, arrays)
    wide = [a.astype("float64") for a in arrays]
    np.testing.assert_allclose(first, sum(np.abs(a).sum() for a in wide), rtol=1e-5)
    np.testing.assert_allclose(second, sum((a**2).sum() for a in wide), rtol=1e-5)
    for a, sign, twice in zip(arrays, grads[:n], grads[n:], strict=True):
        np.testing.assert_array_equal(sign, np.sign(a))
        np.testing.assert_array_equal(twice, 2 * a)


# --- bad arguments ---------------------------------------------------------------------------------------------------


w, b, whole = tg.shared(np.ones(2), "w"), tg.shared(1.0, "b"), tg.shared(np.ones(2, int), "whole")
x = T.vector("x")
WRONG = [
    (lambda: optim.sgd(T.sum(w), [w, x]), UpdateError, "parameter 1 is no shared variable"),
    (lambda: optim.sgd(T.sum(w), [1.0]), UpdateError, "no shared variable"),
    (lambda: optim.sgd(T.sum(w), []), UpdateError, "no parameters"),
    (lambda: optim.sgd(T.sum(w), [w, b, w]), UpdateError, "w is listed twice"),
    (lambda: optim.sgd(T.sum(w), [whole]), UpdateError, "whole holds no floats"),
    (lambda: optim.sgd([w], [w, b]), UpdateError, "one gradient for each"),
    (lambda: optim.sgd([w, None], [w, b]), DtypeError, "gradient of b"),
    (lambda: optim.sgd([b], [w]), ShapeError, "gradient of w"),
    (lambda: optim.sgd(w, [w]), GradientError, "scalar"),
    (lambda: optim.sgd(T.sum(x), [w]), DisconnectedInputError, "w"),
    (lambda: optim.sgd(1.0, [w]), DtypeError, "the cost must be a symbolic variable"),
    (lambda: optim.sgd(T.sum(w), [w], -0.1), UpdateError, "learning_rate is out of range"),
    (lambda: optim.sgd(T.sum(w), [w], float("nan")), UpdateError, "learning_rate is out of range"),
    (lambda: optim.sgd(T.sum(w), [w], float("inf")), UpdateError, "learning_rate is out of range"),
    (lambda: optim.sgd(T.sum(w), [w], 10**400), UpdateError, "learning_rate is out of range"),
    (lambda: optim.sgd(T.sum(w), [w], x), ShapeError, "learning_rate must be one number"),
    (lambda: optim.sgd(T.sum(w), [w], np.ones(2)), ShapeError, "learning_rate must be one number"),
    (lambda: optim.sgd(T.sum(w), [w], "0.1"), DtypeError, "learning_rate cannot be 0.1"),
    (lambda: optim.sgd(T.sum(w), [w], None), DtypeError, "learning_rate cannot be None"),
    (lambda: optim.sgd(T.sum(w), [w], True), DtypeError, "learning_rate cannot be True"),
    (lambda: optim.sgd(T.sum(w), [w], T.bscalar("n") > 0), DtypeError, "learning_rate cannot be"),
    (lambda: optim.momentum(T.sum(w), [w], momentum=1.1), UpdateError, "momentum is out of range"),
    (lambda: optim.nesterov(T.sum(w), [w], momentum=-0.1), UpdateError, "momentum is out of range"),
    (lambda: optim.adagrad(T.sum(w), [w], epsilon=-1e-6), UpdateError, "epsilon is out of range"),
    (lambda: optim.rmsprop(T.sum(w), [w], decay=1.0), UpdateError, "decay is out of range"),
    (lambda: optim.rmsprop(T.sum(w), [w], momentum=float("nan")), UpdateError, "momentum is out of range"),
    (lambda: optim.adadelta(T.sum(w), [w], rho=1), UpdateError, "rho is out of range"),
    (lambda: optim.adam(T.sum(w), [w], beta1=1.0), UpdateError, "beta1 is out of range"),
    (lambda: optim.adamax(T.sum(w), [w], beta2=-0.5), UpdateError, "beta2 is out of range"),
    (lambda: optim.amsgrad(T.sum(w), [w], beta2=2), UpdateError, "beta2 is out of range"),
    (lambda: optim.adamw(T.sum(w), [w], weight_decay=-1), UpdateError, "weight_decay is out of range"),
    (lambda: optim.Adam(beta2=1), UpdateError, "Adam: beta2 is out of range"),
    (lambda: optim.clip_by_norm([w], 0), UpdateError, "norm is out of range"),
    (lambda: optim.clip_by_norm([], 1), UpdateError, "no tensors"),
    (lambda: optim.clip_by_norm([whole], 1), DtypeError, "whole holds no floats"),
    (lambda: optim.clip_by_value([w], 1, -1), UpdateError, "range is empty"),
    (lambda: optim.clip_by_value([w], float("nan"), 1), UpdateError, "low is out of range"),
    (lambda: optim.max_norm(w, 1), ShapeError, "which axes"),
    (lambda: optim.max_norm(w, 1, axes=1), ShapeError, "no axis 1"),
    (lambda: optim.max_norm(w, -1, axes=0), UpdateError, "norm is out of range"),
    (lambda: optim.max_norm(w, 1, axes=0, params=[w]), UpdateError, "updates only"),
    (lambda: optim.max_norm({w: w}, 1, axes=0), UpdateError, "must be named"),
    (lambda: optim.max_norm({w: w}, 1, axes=0, params=[b]), UpdateError, "b has no update"),
    (lambda: optim.l1([]), UpdateError, "no tensors"),
    (lambda: optim.l2([whole]), DtypeError, "whole holds no floats"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG)
def test_refuses(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)
    if not text.startswith("the cost"):
        assert __file__ in str(caught.value)  # the user's line
