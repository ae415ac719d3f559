"""Rewrites: every rule changes what it should, keeps values and gradients, and hides no error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.graph import Apply, graph_inputs, toposort
from tinygraph.rewrite import CANONICAL, PIECES, RULES, STABLE, RewriteError, Rules, Step, rewrite
from tinygraph.rewrite.engine import run

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, -3.25, np.inf, -np.inf, np.nan, 5e-324, 1e-310, 1e308]


def op_names(variable):
    return [node.op.name for node in toposort([variable])]


def run_names(expression, leaves, values, mode="FAST_RUN"):
    """Names of the operations that run, and the result."""
    used = [v for v in leaves if v in graph_inputs([expression])]
    f = tg.function(used, expression, mode=mode)
    result = f(*[values[v] for v in used])
    return [i.op.name for i in f.program.instructions], result


def rewritten(expression, *leaves):
    steps: list[Step] = []
    (new,) = rewrite([expression], leaves, steps)
    return new, {step.rule for step in steps}


x, y = T.dvector("x"), T.dvector("y")
X = T.dmatrix("X")

#: rule -> (the expression it applies to, operations that must be gone, operations that must be there)
EXACT = {
    "times_one": [(lambda: x * 1, {"mul"}, set()), (lambda: -1.0 * x, {"mul"}, {"neg"})],
    "over_one": [(lambda: x / 1, {"true_div"}, set()), (lambda: x / -1, {"true_div"}, {"neg"})],
    "plus_nothing": [(lambda: x + -0.0, {"add"}, set())],
    "minus_nothing": [(lambda: x - 0, {"sub"}, set())],
    "small_powers": [(lambda: x**1, {"pow"}, set()), (lambda: x**2, {"pow"}, {"sqr"})],
    "double_negation": [(lambda: T.neg(T.neg(x)), {"neg"}, set())],
    "sign_does_not_matter": [(lambda: abs(-x), {"neg"}, {"abs"}), (lambda: T.sqr(-x), {"neg"}, {"sqr"})],
    "add_negative": [(lambda: x + -y, {"neg", "add"}, {"sub"}), (lambda: -x + y, {"neg", "add"}, {"sub"})],
    "subtract_negative": [(lambda: x - -y, {"neg", "sub"}, {"add"})],
    "move_sign_to_constant": [(lambda: -x * 3, {"neg"}, {"mul"}), (lambda: -x * -y, {"neg"}, {"mul"})],
    "cast_there_and_back": [
        (lambda: T.cast(T.cast(T.cast(x, "float32"), "float64"), "float32").astype("float64"), set(), set())
    ],
    "read_what_was_written": [
        (lambda: T.set_subtensor(x[1:], y[1:])[1:], {"set_subtensor"}, set()),
        (lambda: T.set_subtensor(x[1:], 5.0)[1:], {"set_subtensor"}, set()),
        (lambda: T.set_subtensor(x[1:], y[1:] * 2)[:1], {"set_subtensor", "mul"}, set()),
        (lambda: T.inc_subtensor(x[:1], 1.0)[1:], {"inc_subtensor"}, set()),
        (lambda: T.inc_subtensor(T.zeros_like(x)[1:], y[1:])[1:], {"inc_subtensor"}, {"add"}),
    ],
    "merge_dimshuffles": [(lambda: x.dimshuffle("x", 0).T.T, set(), {"dimshuffle"})],
}

#: rule -> (the expression, operations gone, operations there)
BETTER = {
    "log_of_known": [
        (lambda: T.log(T.nnet.softmax(X)), {"softmax", "log"}, {"logsoftmax"}),
        (lambda: T.log(T.nnet.softmax(X)[T.arange(2), [0, 1]]), {"softmax", "log"}, {"logsoftmax"}),
        (lambda: T.log(T.nnet.sigmoid(x)), {"sigmoid", "log"}, {"softplus"}),
        (lambda: T.log(T.exp(X).sum(axis=1)), {"exp", "log", "sum"}, {"logsumexp"}),
        (lambda: T.log(T.exp(X).sum(axis=0, keepdims=True)), {"exp", "log", "sum"}, {"logsumexp"}),
    ],
    "log_of_one_plus": [
        (lambda: T.log(1 + x), {"log", "add"}, {"log1p"}),
        (lambda: T.log(x + 1), {"log", "add"}, {"log1p"}),
        (lambda: T.log(1 - x), {"log", "sub"}, {"log1p"}),
    ],
    "log1p_of_exp": [
        (lambda: T.log1p(T.exp(x)), {"log1p", "exp"}, {"softplus"}),
        (lambda: T.log(1 + T.exp(x)), {"log", "exp"}, {"softplus"}),
        (lambda: T.log1p(-T.nnet.sigmoid(x)), {"log1p", "sigmoid"}, {"softplus"}),
    ],
    "exp_minus_one": [(lambda: T.exp(x) - 1, {"exp"}, {"expm1"}), (lambda: -1 + T.exp(x), {"exp"}, {"expm1"})],
    "one_minus_sigmoid": [(lambda: 1 - T.nnet.sigmoid(x), {"sub"}, {"sigmoid"})],
    "over_one_plus_exp": [
        (lambda: 1 / (1 + T.exp(-x)), {"true_div", "exp"}, {"sigmoid"}),
        (lambda: T.inv(1 + T.exp(-x)), {"inv", "exp"}, {"sigmoid"}),
    ],
    "sigmoid_times_exp": [(lambda: T.exp(x) / (1 + T.exp(x)), {"true_div", "exp"}, {"sigmoid"})],
    "softmax_minus_target": [
        (lambda: tg.grad(-T.log(T.nnet.softmax(X))[T.arange(2), [0, 1]].mean(), X), {"softmax_grad"}, set()),
        (lambda: tg.grad(-T.log(T.nnet.softmax(X)[T.arange(2), [0, 1]]).mean(), X), {"softmax_grad"}, set()),
        (lambda: tg.grad(-(np.eye(2) * T.log(T.nnet.softmax(X))).sum(), X), {"softmax_grad"}, set()),
    ],
    "division_cancels": [(lambda: tg.grad(T.log(T.nnet.sigmoid(x)).sum(), x), {"true_div"}, set())],
    "exp_over_its_sum": [(lambda: tg.grad(T.log(T.exp(X).sum(axis=1)).sum(), X), {"true_div"}, {"logsumexp"})],
}


def cases(table):
    return [pytest.param(rule, *case, id=f"{rule}-{i}") for rule, rows in table.items() for i, case in enumerate(rows)]


def test_every_rule_has_a_case():
    assert {rule.__name__ for rule in CANONICAL} == set(EXACT)
    assert {rule.__name__ for rule in STABLE} == set(BETTER)
    assert len(RULES) == len(EXACT) + len(BETTER) + len(PIECES)  # test_loop_rewrites.py has the cases of the last


@pytest.mark.parametrize(("rule", "build", "gone", "there"), cases({**EXACT, **BETTER}))
def test_rule_applies(rule, build, gone, there):
    expression = build()
    _, applied = rewritten(expression, x, y, X)
    assert rule in applied
    names = set(run_names(expression, (x, y, X), {x: np.ones(2), y: np.ones(2), X: np.ones((2, 2))})[0])
    assert not gone & names
    assert there <= names


@pytest.mark.parametrize(("rule", "build", "gone", "there"), cases(EXACT))
def test_exact_rules_keep_every_bit(rule, build, gone, there):
    expression = build()
    a = np.array([v for v in SPECIAL for _ in SPECIAL])
    b = np.array(SPECIAL * len(SPECIAL))
    old, new = (run_names(expression, (x, y), {x: a, y: b}, mode)[1] for mode in ("FAST_COMPILE", "FAST_RUN"))
    np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(np.signbit(old[~np.isnan(old)]), np.signbit(new[~np.isnan(new)]))


@pytest.mark.parametrize(("rule", "build", "gone", "there"), cases(BETTER))
@given(st.integers(0, 2**32 - 1))
def test_better_rules_agree_where_both_are_finite(rule, build, gone, there, seed):
    rng = np.random.default_rng(seed)
    values = {x: rng.uniform(-0.9, 0.9, 5), X: rng.normal(size=(2, 2))}
    expression = build()
    old, new = (run_names(expression, (x, X), values, mode)[1] for mode in ("FAST_COMPILE", "FAST_RUN"))
    np.testing.assert_allclose(old, new, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("rule", "build", "gone", "there"), cases(BETTER))
def test_better_rules_keep_nan(rule, build, gone, there):
    values = {x: np.full(3, np.nan), X: np.full((2, 2), np.nan)}
    assert np.isnan(run_names(build(), (x, X), values)[1]).all()


# --- extreme logits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1000.0), ("float32", 1e4), ("float32", 1000.0)])
@pytest.mark.parametrize("form", ["log then pick", "pick then log", "one-hot", "crossentropy", "crossentropy one-hot"])
def test_softmax_cross_entropy_of_extreme_logits(dtype, size, form):
    logits = T.matrix("logits", dtype=dtype)
    t = T.ivector("t")
    p = T.nnet.softmax(logits)
    hot = T.eq(t.dimshuffle(0, "x"), np.arange(3)).astype(dtype)
    cost = {
        "log then pick": lambda: -T.mean(T.log(p)[T.arange(t.shape[0]), t]),
        "pick then log": lambda: -T.log(p[T.arange(t.shape[0]), t]).mean(),
        "one-hot": lambda: -T.mean(T.sum(hot * T.log(p), axis=1)),
        "crossentropy": lambda: T.nnet.categorical_crossentropy(p, t).mean(),
        "crossentropy one-hot": lambda: T.nnet.categorical_crossentropy(p, hot).mean(),
    }[form]()
    f = tg.function([logits, t], [cost, tg.grad(cost, logits)])
    a = np.array([[size, 0, -size], [-size, size, 0], [0.5, -0.5, 0]], dtype)
    labels = np.array([1, 1, 2], "int32")
    value, gradient = f(a, labels)
    wide = a.astype(np.float64)
    shifted = wide - wide.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    np.testing.assert_allclose(value, -log_p[np.arange(3), labels].mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient, (np.exp(log_p) - np.eye(3)[labels]) / 3, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1e3, 1e4, 30.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_of_extreme_logits(dtype, size):
    z, t = T.vector("z", dtype=dtype), T.vector("t", dtype=dtype)
    cost = T.nnet.binary_crossentropy(T.nnet.sigmoid(z), t).sum()
    f = tg.function([z, t], [cost, tg.grad(cost, z)])
    logits = np.array([size, -size, size, -size], dtype)
    targets = np.array([0, 1, 1, 0], dtype)
    value, gradient = f(logits, targets)
    np.testing.assert_allclose(value, 2 * (size + np.log1p(np.exp(-size))) + 2 * np.log1p(np.exp(-size)), rtol=1e-6)
    np.testing.assert_allclose(gradient, [1, -1, 0, 0], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "derivative", "atol"),
    [
        (lambda v: T.log(1 + T.exp(v)), lambda a: 1 / (1 + np.exp(-a)), 0),
        (lambda v: 1 / (1 + T.exp(-v)), lambda a: np.exp(-abs(a)) / (1 + np.exp(-abs(a))) ** 2, 0),
        # s - s * s, as this formula is differentiated, cancels where s is near 1
        (lambda v: T.exp(v) / (1 + T.exp(v)), lambda a: np.exp(-abs(a)) / (1 + np.exp(-abs(a))) ** 2, 2e-16),
        (lambda v: T.log(T.nnet.sigmoid(v)), lambda a: 1 / (1 + np.exp(a)), 0),
        (lambda v: T.log(1 - T.nnet.sigmoid(v)), lambda a: -1 / (1 + np.exp(-a)), 0),
    ],
)
def test_gradients_of_written_out_logistics_stay_finite(build, derivative, atol):
    f = tg.function([x], tg.grad(build(x).sum(), x))
    a = np.array([-1000.0, -750, -30, -1, 0, 1, 30, 750, 1000])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(f(a), derivative(a), rtol=1e-10, atol=atol)


def test_logsumexp_by_hand_is_stable():
    cost = T.log(T.exp(X).sum(axis=1)).sum()
    value, gradient = tg.function([X], [cost, tg.grad(cost, X)])(np.array([[1000.0, 1000.0], [-1000.0, -999.0]]))
    np.testing.assert_allclose(value, 1000 + np.log(2) - 999 + np.log1p(np.exp(-1)))
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(gradient, [[0.5, 0.5], [1 - p, p]])


# --- the engine -------------------------------------------------------------------------------------------------------


def test_duplicates_are_merged_and_constants_folded():
    (new,) = rewrite([T.exp(x) * T.exp(x) + T.constant(2.0) * T.constant(3.0)], [x])
    assert op_names(new).count("exp") == 1
    assert op_names(new).count("mul") == 1


def test_signed_zero_and_nan_constants_are_not_confused():
    zero, minus = T.constant(0.0), T.constant(-0.0)
    a, b = rewrite([x * zero, x * minus], [x])
    assert a is not b
    assert not np.signbit(a.owner.inputs[1].data)
    assert np.signbit(b.owner.inputs[1].data)


def test_large_constants_are_not_made():
    (new,) = rewrite([T.zeros((1000, 1000)) + 1], [])
    assert op_names(new)


def test_what_is_not_needed_is_dropped():
    f = tg.function([x], T.exp(x).shape[0] * 1, on_unused_input="ignore")
    assert f(np.ones(3)) == 3
    assert not f.program.instructions


@pytest.mark.parametrize(
    "build",
    [
        lambda: T.inc_subtensor(x[1:], y[1:])[1:],
        lambda: T.set_subtensor(x[1:], y[1:])[:2],
        lambda: T.set_subtensor(x[-1:], y[-1:])[:-1],
        lambda: T.set_subtensor(x[1:], y[1:])[::2],
    ],
)
def test_what_was_written_is_not_confused_with_what_was_there(build):
    _, applied = rewritten(build(), x, y)
    assert "read_what_was_written" not in applied


def test_plus_zero_is_kept_for_floats():
    f = tg.function([x], x + 0.0)
    assert not np.signbit(f(np.array([-0.0])))[0]


def test_wrong_rule_is_reported():
    rules = Rules()

    @rules.on("exp")
    def to_integers(node: Apply):
        return node.inputs[0].astype("int64")

    with pytest.raises(RewriteError, match="to_integers turned float64"):
        run([T.exp(x)], [x], rules)


def test_endless_rules_are_reported():
    rules = Rules()

    @rules.on("exp")
    def again(node: Apply):
        return T.exp(node.inputs[0] + 1)

    with pytest.raises(RewriteError, match="without end"):
        run([T.exp(x)], [x], rules)


def test_rewrites_hide_no_shape_error():
    W = tg.shared(np.ones((3, 2)), "W")
    product = T.dot(X, W)
    f = tg.function([X], T.zeros_like(product) + product.shape[1])
    with pytest.raises(tg.errors.ShapeError):
        f(np.ones((4, 5)))


def test_rewritten_nodes_keep_the_users_line():
    p = T.nnet.softmax(X)
    cost = T.log(p)
    (new,) = rewrite([cost], [X])
    assert new.owner.op.name == "logsoftmax"
    assert new.owner.origin.trace()[0].text() == "cost = T.log(p)"


def test_steps_are_recorded():
    steps: list[Step] = []
    rewrite([T.log(1 + T.exp(x))], [x], steps)
    assert [step.rule for step in steps] == ["log_of_one_plus", "log1p_of_exp"]
    assert all(step.old.type.dtype == step.new.type.dtype for step in steps)
