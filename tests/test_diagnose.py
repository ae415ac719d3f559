"""The first wrong number, modes that check what runs, and values on the way."""

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.diagnose import DebugMode, DebugModeError, NanGuardError, NanGuardMode
from tinygraph.errors import InputError, MissingInputError
from tinygraph.rewrite import RULES, Rules

nan, inf = np.nan, np.inf


def vector():
    return T.dvector("x")


# --- why_nan ---------------------------------------------------------------------------------------------------------


def test_the_first_wrong_number():
    x, y = T.dmatrix("x"), T.dvector("y")
    f = tg.function([x, y], (T.log(x - y) * 2).sum(axis=0))
    why = tg.why_nan(f, [[1.0, 5.0], [2.0, 5.0]], [1.0, 6.0])
    assert why
    assert (why.op, why.index) == ("log", (0, 1))  # NaN comes before infinities
    assert np.isnan(why.value)
    assert "test_diagnose.py" in why.line.filename
    assert "T.log(x - y)" in why.line.text()
    assert "log" in str(why)
    assert "%0 = input x : float64 (2, 2), 1 to 5" in str(why)
    assert repr(why) == str(why)


@pytest.mark.parametrize(
    ("expression", "value", "op", "index", "operands"),
    [
        (lambda x: T.log(x - 1).sum(), [3.0, 1.0], "log", (1,), {"#0 sub[1]": "0.0"}),
        (lambda x: T.exp(x * 2) + 1, [0.0, 400.0], "exp", (1,), {"#0 mul[1]": "800.0"}),
        (lambda x: (1 / x).dot(x), [1.0, 0.0, 2.0], "reciprocal|true_div", (1,), None),
        (lambda x: T.sqrt(x)[::-1] + x, [1.0, -4.0, 4.0], "sqrt", (1,), {"x[1]": "-4.0"}),
        (lambda x: T.cumsum(T.log(x)), [1.0, 0.0, 4.0], "log", (1,), {"x[1]": "0.0"}),
        (lambda x: x[T.argmax(x) :].sum() + T.arccosh(x).max(), [1.0, 0.5], "arccosh", (1,), {"x[1]": "0.5"}),
    ],
)
def test_where_it_was_made(expression, value, op, index, operands):
    x = vector()
    f = tg.function([x], expression(x), mode="FAST_COMPILE")
    why = tg.why_nan(f, value)
    assert why.op in op.split("|")
    assert why.index == index
    assert operands is None or why.operands == operands


def test_infinities_that_become_nan():
    x = T.dmatrix("x")
    e = T.exp(x)
    f = tg.function([x], e / e.sum(axis=1, keepdims=True), mode="FAST_COMPILE")
    why = tg.why_nan(f, [[1.0, 2.0], [3.0, 800.0]])
    assert (why.op, why.index, why.value) == ("exp", (1, 1), inf)
    assert why.operands == {"x[1, 1]": "800.0"}
    assert why.turned == "true_div gives nan at index (1, 1)"
    assert "#1 sum[1, 0] = inf" in str(why)


def test_infinities_that_were_given_are_not_blamed():
    x = T.dmatrix("x")
    mask = T.constant(np.array([[0.0, -inf]]))
    f = tg.function([x], [T.nnet.softmax(x + mask), T.exp(x + mask - x.max()) * 0 + (x + mask).min() * 0])
    why = tg.why_nan(f, [[1.0, 2.0]])
    assert why.result == "output 1"
    assert why.op == "mul"
    assert why.given == ""
    assert not tg.why_nan(tg.function([x], T.nnet.softmax(x + mask)), [[1.0, 2.0]])


def test_gradients_name_what_they_differentiate():
    x = vector()
    cost = T.sqrt(x).sum()
    f = tg.function([x], tg.grad(cost, x))
    why = tg.why_nan(f, [1.0, 0.0])
    assert why.forward_op == "sqrt"
    assert "cost = T.sqrt(x).sum()" in why.gradient_of.text()
    assert "in the gradient of sqrt" in str(why)
    assert why.index == (1,)


def test_wrong_numbers_in_inputs_and_shared_variables():
    x = T.dmatrix("x")
    w = tg.shared(np.array([[1.0, 2.0], [nan, 4.0]]), "w")
    f = tg.function([x], x.dot(w))
    why = tg.why_nan(f, np.ones((1, 2)))
    assert (why.op, why.given, why.index) == ("", "w", (1, 0))
    assert "it was in shared variable w: nan at index (1, 0)" in str(why)
    w.set_value(np.ones((2, 2)))
    why = tg.why_nan(f, [[1.0, 2.0], [3.0, nan]])
    assert (why.given, why.index) == ("x", (1, 1))
    assert why.line is None
    x = vector()
    assert tg.why_nan(tg.function([x], x + 1), [inf]).given == "x"


def test_masked_numbers_are_no_alarm():
    x = vector()
    cost = T.switch(x > 0, T.log(x), 0.0).sum()
    f = tg.function([x], [cost, tg.grad(cost, x)])
    why = tg.why_nan(f, [1.0, -1.0])
    assert not why
    assert why.op == why.result == ""
    assert "none of them gets there" in str(why)
    g = tg.function([x], T.switch(x > 0, T.log(x), T.log(-x - 1)).sum())
    why = tg.why_nan(g, [1.0, -1.0])  # the one that is not masked is found
    assert why.operands == {"#0 sub[1]": "0.0"}
    assert str(tg.why_nan(f, [1.0, 2.0])) == "no output or update holds a NaN or an infinity"


def test_updates_are_looked_at_and_not_made():
    x = vector()
    state = tg.shared(1.0, "state")
    f = tg.function([x], [], updates=[(state, state + T.log(x).sum())])
    why = tg.why_nan(f, [0.0])
    assert why.result == "the new value of state"
    assert why.op == "log"
    assert state.get_value() == 1.0


def test_several_causes_name_the_earliest():
    x = vector()
    f = tg.function([x], {"late": 1 / (T.exp(x) - 1), "early": T.log(x)}, mode="FAST_COMPILE")
    order = [step.op.name for step in f.prepared([1.0])[0].program.instructions]
    why = tg.why_nan(f, [0.0])
    assert why.op == min(("log", "true_div"), key=order.index)
    assert why.result in ("output late", "output early")


def test_inside_a_loop():
    x = vector()
    states, _ = tg.scan(lambda a, s: T.log(a) + s * 0, sequences=[x], outputs_info=[T.constant(1.0)])
    f = tg.function([x], states * 2)
    why = tg.why_nan(f, [1.0, 2.0, 0.0, 3.0])
    assert why.op == "log"
    assert "at step 2 of scan" in str(why)
    assert why.value == -inf
    assert "T.log(a)" in why.line.text()
    assert why.turned == "at step 3 of scan, mul gives nan at index ()"
    why = tg.why_nan(f, [1.0, nan, 2.0])
    assert (why.given, why.index) == ("x", (1,))


def test_products_and_many_wrong_numbers():
    x, y = T.dmatrices("x", "y")
    f = tg.function([x, y], T.log(x).dot(y).sum())
    a = np.ones((60, 50))
    a[10:, 7:] = 0
    why = tg.why_nan(f, a, np.ones((50, 40)))
    assert why.op == "log"
    assert a[why.index] == 0
    assert why.value == -inf
    why = tg.why_nan(tg.function([x, y], T.log(x).dot(y * 2)), a, np.ones((50, 40)))
    assert (why.op, why.index) == ("log", (10, 7))  # in the row that the first wrong product is of


def test_a_branch_that_is_not_taken():
    x, c = vector(), T.bscalar("c")
    f = tg.function([c, x], tg.ifelse.ifelse(c, T.log(x), x))
    assert not tg.why_nan(f, 0, [0.0])
    assert tg.why_nan(f, 1, [0.0]).op == "log"


def test_what_why_nan_takes():
    x = vector()
    with pytest.raises(InputError) as err:
        tg.why_nan(x, [1.0])
    assert "compile expressions first" in err.value.hint
    f = tg.function([x], x)
    with pytest.raises(InputError):
        tg.why_nan(f, [[1.0]])
    assert tg.why_nan(f, x=[nan]).given == "x"


# --- NanGuardMode ----------------------------------------------------------------------------------------------------


def guarded(expression, *values, mode="NanGuardMode"):
    x = vector()
    f = tg.function([x], expression(x), mode=mode)
    return f(*values)


@pytest.mark.parametrize(
    ("expression", "value", "op"),
    [
        (T.log, [1.0, 0.0], "log"),
        (T.log, [1.0, -1.0], "log"),
        (lambda x: x * x, [1.0, 1e6], "mul"),
        (lambda x: T.argmax(T.log(x)), [-1.0, 1.0], "log"),  # no output holds the NaN, but depends on it
        (lambda x: T.log(x).sum() + T.exp(T.log(x)).sum(), [0.0], "log"),
        (lambda x: T.log(T.tanh(T.log(x))) * 0, [-1.0], "log"),  # NaN either way, with the first one or without
    ],
)
def test_guard_names_the_instruction(expression, value, op):
    with pytest.raises(NanGuardError) as err:
        guarded(expression, value)
    assert isinstance(err.value, AssertionError)
    assert err.value.op == op
    assert "the result holds" in err.value.problem
    assert "test_diagnose.py" in str(err.value)


def test_guard_lets_right_and_masked_numbers_pass():
    assert guarded(T.log, [1.0]).tolist() == [0.0]
    assert guarded(lambda x: T.switch(x > 0, T.log(x), 0.0), [1.0, -1.0]).tolist() == [0.0, 0.0]
    assert guarded(lambda x: T.nnet.softmax(x + np.array([0.0, -inf])), [1.0, 2.0]).tolist() == [[1.0, 0.0]]
    with pytest.raises(NanGuardError) as err:
        guarded(lambda x: T.switch(x > 0, T.log(x), T.log(-x - 1)), [-0.5, 2.0, -1.0])
    assert "index (0,)" in err.value.problem


@pytest.mark.parametrize(
    ("flags", "value", "raises"),
    [
        ((True, False, False), [-1.0], True),
        ((True, False, False), [0.0], False),
        ((False, True, False), [0.0], True),
        ((False, True, False), [-1.0], False),
        ((False, False, True), [-1.0], False),
        ((False, False, True), [1e11], True),
        ((True, True, False), [1e11], False),
    ],
)
def test_guard_looks_for_what_it_is_told(flags, value, raises):
    mode = NanGuardMode(nan_is_error=flags[0], inf_is_error=flags[1], big_is_error=flags[2])
    if raises:
        with pytest.raises(NanGuardError):
            guarded(lambda x: T.log(x) + x, value, mode=mode)
    else:
        guarded(lambda x: T.log(x) + x, value, mode=mode)


def test_guard_looks_at_inputs_and_keeps_state():
    x = vector()
    state = tg.shared(1.0, "state")
    f = tg.function([x], [], updates=[(state, state + x.sum())], mode="NanGuardMode")
    with pytest.raises(NanGuardError) as err:
        f([1.0, nan])
    assert err.value.problem == "input x holds nan at index (1,)"
    assert state.get_value() == 1.0
    f([1.0])
    assert state.get_value() == 2.0
    state.set_value(nan)
    with pytest.raises(NanGuardError) as err:
        f([1.0])
    assert "shared variable state" in err.value.problem


def test_guard_as_the_default_mode_and_bad_modes():
    x = vector()
    with tg.config.change_flags(mode="NanGuardMode"):
        f = tg.function([x], T.log(x))
    with pytest.raises(NanGuardError):
        f([0.0])
    assert "nan_is_error=True" in repr(f.mode)
    with pytest.raises(NanGuardError):
        f.copy()([0.0])
    with pytest.raises(ValueError, match="needs one of"):
        NanGuardMode(False, False, False)
    with pytest.raises(ValueError, match="'NanGuardMode'"):
        tg.function([x], x, mode="NaNGuard")
    with pytest.raises(ValueError, match="mode must be"):
        tg.function([x], x, mode=NanGuardMode)  # the class, not an object of it


# --- DebugMode -------------------------------------------------------------------------------------------------------


class Sine(tg.Op):
    """A sine whose derivative is off by a factor."""

    factor: float = 1.0

    def infer(self, x):
        return x.type

    def compute(self, xp, x):
        return xp.sin(x)

    def vjp(self, inputs, outputs, cotangents):
        return [cotangents[0] * T.cos(inputs[0]) * self.factor]


class Writer(tg.Op):
    """Writes to its input."""

    def infer(self, x):
        return x.type

    def compute(self, xp, x):
        x += 1
        return x * 2


class Liar(tg.Op):
    """Announces another shape than it gives."""

    def infer(self, x):
        return x.type.with_shape((2,))

    def compute(self, xp, x):
        return xp.concatenate([x, x])


class Moody(tg.Op):
    """Gives something else each time."""

    def infer(self, x):
        return x.type

    def compute(self, xp, x):
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return x + self.__dict__["calls"]


def debug(expression, value, **options):
    x = vector()
    return tg.function([x], expression(x), mode=DebugMode(**options) if options else "DebugMode")(value)


def test_debug_mode_finds_a_wrong_derivative():
    value = np.array([0.5, 1.0])
    np.testing.assert_allclose(debug(Sine(), value), np.sin(value))
    with pytest.raises(DebugModeError) as err:
        debug(lambda x: Sine(1.01)(x * 2), value)
    assert err.value.op == "sine"
    assert "derivative" in err.value.problem
    measured, claimed = float(err.value.expected.split()[0]), float(err.value.actual.split(",")[0])
    assert claimed == pytest.approx(1.01 * measured)
    np.testing.assert_allclose(debug(Sine(1.01), value, gradients=False), np.sin(value))


@pytest.mark.parametrize(
    ("op", "says"), [(Writer(), "writes to its input 0"), (Liar(), "announced"), (Moody(), "again")]
)
def test_debug_mode_finds_broken_promises(op, says):
    with pytest.raises(DebugModeError) as err:
        debug(lambda x: op(x * 2), [1.0, 2.0])
    assert says in err.value.problem
    assert err.value.op == type(op).__name__.lower()
    assert "test_diagnose.py" in str(err.value)


@pytest.fixture
def wrong_rule(monkeypatch):
    """Whatever rules a test adds are gone when it ends."""
    rules = Rules(RULES)
    monkeypatch.setattr("tinygraph.rewrite.RULES", rules)
    return rules


def test_debug_mode_finds_a_wrong_rule(wrong_rule):
    @wrong_rule.on("cosh")
    def cosh_is_sinh(node):
        return T.sinh(node.inputs[0])

    with pytest.raises(DebugModeError) as err:
        debug(lambda x: T.cosh(x) + 1, [1.0, 2.0])
    assert "the rule cosh_is_sinh changes the value at index (0,)" in err.value.problem
    assert float(err.value.expected.split(",")[0]) == pytest.approx(np.cosh(1.0))
    assert float(err.value.actual) == pytest.approx(np.sinh(1.0))
    assert err.value.op == "cosh"


def test_debug_mode_finds_a_rule_that_is_wrong_for_some_values(wrong_rule):
    @wrong_rule.on("abs")
    def abs_is_nothing(node):
        return node.inputs[0] * 1.0

    x = vector()
    f = tg.function([x], abs(x), mode="DebugMode")
    assert f([1.0]).tolist() == [1.0]
    with pytest.raises(DebugModeError) as err:
        f([-1.0])
    assert "abs_is_nothing" in err.value.problem


@pytest.mark.parametrize(
    "value", [[0.1, 1.0, -2.0], [0.0, 0.0, 0.0], [1e4, -1e4, 0.0], [-40.0, 40.0, 1e-300], [nan, inf, -inf]]
)
def test_debug_mode_accepts_what_is_right(value):
    x = vector()
    outputs = [
        T.log(T.nnet.softmax(x)).sum(),
        T.log(T.nnet.sigmoid(x)),
        T.log(1 + T.exp(x)),
        T.log(T.exp(x).sum()),
        T.switch(x > 0, T.log(x), x**2),
        tg.grad(T.log(T.nnet.softmax(x))[0, 0], x),
        tg.scan(lambda a, s: T.tanh(a + s), sequences=[x], outputs_info=[T.constant(0.5)])[0],
        tg.ifelse.ifelse(T.lt(x.sum(), 0), T.exp(x), x[:2]).sum(),
    ]
    checked = tg.function([x], outputs, mode="DebugMode")(value)
    with tg.config.change_flags(linker="reference"):
        plain = tg.function([x], outputs)(value)
    for a, b in zip(checked, plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_debug_mode_trains(dtype):
    rng = np.random.default_rng(0)
    x, t = T.matrix("x", dtype=dtype), T.ivector("t")
    w, b = tg.shared(rng.normal(size=(6, 4)).astype(dtype), "w"), tg.shared(np.zeros(4, dtype), "b")
    cost = -T.log(T.nnet.softmax(T.tanh(x.dot(w)) + b)[T.arange(t.shape[0]), t]).mean()
    updates = [(p, p - T.cast(0.1, dtype) * g) for p, g in zip([w, b], tg.grad(cost, [w, b]), strict=True)]
    f = tg.function([x, t], cost, updates=updates, mode="DebugMode")
    data = rng.normal(size=(5, 6)).astype(dtype), np.array([0, 1, 2, 3, 0], "int32")
    costs = [float(f(*data)) for _ in range(3)]
    assert costs[2] < costs[0]


# --- values on the way -----------------------------------------------------------------------------------------------


def test_trace_gives_every_named_value():
    x = vector()
    w = tg.shared(2.0, "w")
    h = T.tanh(x * w)
    h.name = "h"
    cost = h.sum()
    cost.name = "cost"
    f = tg.function([x], cost, updates=[(w, w + tg.grad(cost, w))])
    found = f.trace([0.5, 1.0])
    assert list(found) == ["h", "cost", "dcost/dw"]
    np.testing.assert_allclose(found["h"], np.tanh([1.0, 2.0]))
    np.testing.assert_allclose(found["cost"], np.tanh([1.0, 2.0]).sum())
    assert w.get_value() == 2.0


def test_trace_of_names_that_rewriting_would_lose():
    x = vector()
    names = {"a": x * 1, "b": T.log(T.nnet.softmax(x)), "c": T.exp(x)}
    for name, variable in names.items():
        variable.name = name
    twice = T.log(names["c"])
    twice.name = "c"
    f = tg.function([x], [names["a"].sum(), names["b"], twice])
    found = f.trace([1.0, 2.0])
    assert list(found) == ["a", "b", "c", "c#2"]
    np.testing.assert_allclose(found["c"], np.exp([1.0, 2.0]))
    np.testing.assert_allclose(found["c#2"], [1.0, 2.0])


def test_trace_leaves_out_what_does_not_run():
    x, c = vector(), T.bscalar("c")
    taken, other = T.exp(x), T.log(x)
    taken.name, other.name = "taken", "other"
    f = tg.function([c, x], tg.ifelse.ifelse(c, taken, other))
    assert list(f.trace(1, [0.0])) == ["taken"]
    assert list(f.trace(0, [1.0])) == ["other"]
    with pytest.raises(InputError):
        f.trace([1.0])


def test_example_values():
    x, y = T.fmatrix("x"), T.fvector("y")
    h = x + y
    assert tg.example(h.sum(), {x: [[1, 2]], y: np.array([3.0, 4.0])}) == 10
    assert tg.example(h.sum(), {h: np.ones((2, 2))}) == 4
    assert tg.example(T.constant(3) + 4) == 7
    several = tg.example({"h": h, "rows": h.shape[0]}, {x: [[1.0, 2.0]], y: [0, 0]})
    assert several["h"].tolist() == [[1.0, 2.0]]
    assert several["rows"] == 1
    with pytest.raises(MissingInputError) as err:
        tg.example(h, {x: [[1.0]]})
    assert "y" in err.value.problem
    with pytest.raises(InputError) as err:
        tg.example(h, {"x": [[1.0]]})
    assert "'x'" in err.value.actual


def test_example_updates_nothing():
    state = tg.shared(1.0, "state")
    state.default_update = state + 1
    assert tg.example(state * 2) == 2.0
    assert state.get_value() == 1.0
