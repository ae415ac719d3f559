"""ifelse: one branch runs, gradients go through it, and it says what does not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, IndexingError, ShapeError
from tinygraph.graph import Op
from tinygraph.ifelse import ifelse
from tinygraph.ops.ifelse import IfElse
from tinygraph.program import verify

c = T.iscalar("c")
x, y = T.dvectors("x", "y")
i, j = T.iscalars("i", "j")

MODES = pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])


class Counted(Op):
    """The input; every run is counted under a name."""

    label: str

    def infer(self, x):
        return x.type

    def compute(self, xp, x):
        RAN[self.label] = RAN.get(self.label, 0) + 1
        return x.copy()

    def vjp(self, inputs, outputs, cotangents):
        return [Counted(f"gradient of {self.label}")(cotangents[0])]


RAN: dict[str, int] = {}


@pytest.fixture(autouse=True)
def _count_from_zero():
    RAN.clear()


def ran():
    counts = dict(RAN)
    RAN.clear()
    return counts


def compiled(inputs, outputs, mode="FAST_RUN"):
    f = tg.function(inputs, outputs, mode=mode, on_unused_input="ignore")

    def run(*args):
        results = f(*args)
        verify(f.program)
        return results

    return run


# --- laziness -----------------------------------------------------------------------------------------------------


@MODES
def test_only_the_branch_taken_runs(mode):
    f = compiled([c, x], ifelse(c, Counted("then")(x) + 1, Counted("else")(x) * 2), mode)
    assert f(1, [3.0]).tolist() == [4.0]
    assert ran() == {"then": 1}
    assert f(0, [3.0]).tolist() == [6.0]
    assert ran() == {"else": 1}


@MODES
def test_what_is_needed_elsewhere_runs_once(mode):
    shared = Counted("shared")(x)
    f = compiled([c, x], [ifelse(c, shared + 1, Counted("else")(x)), shared], mode)
    f(0, [3.0])
    assert ran() == {"shared": 1, "else": 1}
    both = compiled([c, x], ifelse(c, shared + 1, shared * 2), mode)
    both(0, [3.0])
    assert ran() == {"shared": 1}


@MODES
def test_what_several_choices_by_one_condition_share_runs_once_or_not_at_all(mode):
    shared, k = Counted("then")(x), c > 0
    f = compiled([c, x], [ifelse(k, shared + 1, x), ifelse(k, shared * 2, x), *ifelse(k, [shared], [x])], mode)
    f(1, [3.0])
    assert ran() == {"then": 1}
    f(0, [3.0])
    assert ran() == {}


@MODES
def test_nested_choices(mode):
    inner = ifelse(i, Counted("a")(x), Counted("b")(x))
    f = compiled([c, i, x], ifelse(c, inner, Counted("c")(x)), mode)
    for values, expected in (((1, 1), "a"), ((1, 0), "b"), ((0, 1), "c"), ((0, 0), "c")):
        f(*values, [1.0])
        assert ran() == {expected: 1}


@MODES
def test_the_condition_of_a_choice_that_is_not_needed_does_not_run(mode):
    condition = Counted("condition")(x).sum() > 0
    f = compiled([c, x], ifelse(c, ifelse(condition, Counted("a")(x), Counted("b")(x)), x), mode)
    f(0, [1.0])
    assert ran() == {}
    f(1, [-1.0])
    assert ran() == {"condition": 1, "b": 1}


@MODES
def test_a_branch_that_fails_does_not_matter_where_it_is_not_taken(mode):
    f = compiled([c, x, i], ifelse(c, x[i], x.sum()), mode)
    assert f(0, [1.0, 2.0], 7) == 3.0
    with pytest.raises(IndexingError, match="index 7 is out of bounds"):
        f(1, [1.0, 2.0], 7)


@MODES
def test_shapes_that_do_not_fit_do_not_matter_where_they_are_not_needed(mode):
    f = compiled([x, y], ifelse(x.sum() > 0, x + y + 1, x), mode)
    assert f([-1.0, -2.0], [1.0, 2.0, 3.0]).tolist() == [-1.0, -2.0]
    with pytest.raises(ShapeError, match=r"x \+ y \+ 1"):
        f([1.0, 2.0], [1.0, 2.0, 3.0])


@MODES
def test_shapes_that_only_one_branch_can_take(mode):
    """The condition is known as soon as shapes are, and then the other branch is not even looked at."""
    f = compiled([x], ifelse(x.shape[0] > 0, x[-1:], x), mode)
    assert f([1.0, 2.0]).tolist() == [2.0]
    first = compiled([x], ifelse(T.gt(x.shape[0], 0), x[0], T.constant(-1.0)), mode)
    assert first([]) == -1.0
    assert first([5.0]) == 5.0


@MODES
def test_its_gradient_is_lazy(mode):
    cost = (ifelse(c, Counted("then")(x).prod(), Counted("else")(x).sum()) ** 2).sum()
    f = compiled([c, x], [cost, tg.grad(cost, x)], mode)
    value, gradient = f(1, [2.0, 3.0])
    assert (value, gradient.tolist()) == (36.0, [36.0, 24.0])
    assert ran() == {"then": 1, "gradient of then": 1}
    value, gradient = f(0, [2.0, 3.0])
    assert (value, gradient.tolist()) == (25.0, [10.0, 10.0])
    assert ran() == {"else": 1, "gradient of else": 1}


# --- values and gradients -----------------------------------------------------------------------------------------


def test_a_derivative_that_is_infinite_in_the_other_branch_does_not_matter():
    cost = ifelse(x.sum() > 0, T.log(x).sum(), (x**2).sum())
    f = compiled([x], [cost, tg.grad(cost, x)])
    value, gradient = f([0.0, 0.0])
    assert (value, gradient.tolist()) == (0.0, [0.0, 0.0])


@given(
    st.booleans(), st.booleans(), st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.sampled_from(["then", "else"])
)
def test_gradients_are_those_of_the_branch_taken(first, second, values, where):
    """A composite with nested choices that share nodes, against the same expression with its branches picked."""

    def build(choose, a, b):
        h = T.tanh(x)
        inner = choose(b, h * x, T.exp(h))
        pair = choose(a, [inner.sum(), (h**2).sum()], [(h * 3).sum(), inner.prod()])
        last = choose(a, inner * pair[0], x) if where == "then" else choose(a, x, inner * pair[1])
        return (last * pair[1]).sum() + pair[0]

    lazy = build(ifelse, c, i)
    plain = build(lambda condition, a, b: a if condition else b, first, second)
    expected = [plain, tg.grad(plain, x)]
    actual = [lazy, tg.grad(lazy, x)]
    for costs in (expected, actual):
        costs.append(tg.grad((costs[1] ** 2).sum(), x, disconnected_inputs="ignore"))
    want = compiled([x], expected)(values)
    for mode in ("FAST_RUN", "FAST_COMPILE"):
        have = compiled([c, i, x], actual, mode)(first, second, values)
        for a, b in zip(have, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_branches_may_differ_in_shape():
    f = compiled([c, x], ifelse(c, x[:2], x))
    assert [f(k, [1.0, 2.0, 3.0]).size for k in (0, 1)] == [3, 2]


def test_a_result_belongs_to_the_caller():
    value = np.ones(3)
    result = compiled([c, x], ifelse(c, x, x[::-1]))(1, value)
    assert not np.shares_memory(result, value)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64"])
def test_conditions_of_any_dtype(dtype):
    condition = T.scalar("k", dtype)
    f = compiled([condition], ifelse(condition, 1.0, 2.0))
    assert f(np.array(1, dtype)) == 1.0
    assert f(np.array(0, dtype)) == 2.0
    assert compiled([], ifelse(np.float32(0.5), 1.0, 2.0))() == 1.0
    assert compiled([], ifelse(True, 1.0, 2.0))() == 1.0


def test_forms_of_results():
    assert isinstance(ifelse(c, x, y), tg.Variable)
    assert isinstance(ifelse(c, [x], [y]), list)
    assert isinstance(ifelse(c, (x, x), (y, y)), tuple)
    assert ifelse(c, x, y, name="z").name == "z"
    assert tg.ifelse.ifelse is ifelse


def test_scalars_give_way():
    single = T.fscalar("single")
    assert ifelse(c, single, 0).dtype == "float32"
    assert ifelse(c, 1.5, single).dtype == "float32"
    assert ifelse(c, i, 3).dtype == "int32"


def test_updates():
    state = tg.shared(1.0, "state")
    f = tg.function([c], [], updates=[(state, ifelse(c, state * 2, Counted("else")(state) + 5))])
    f(1)
    assert (state.get_value(), ran()) == (2.0, {})
    f(0)
    assert (state.get_value(), ran()) == (7.0, {"else": 1})


# --- what does not fit --------------------------------------------------------------------------------------------


def test_a_condition_is_one_number():
    with pytest.raises(ShapeError, match="the condition of ifelse is one number"):
        ifelse(x, x, y)


def test_branches_have_one_dtype():
    with pytest.raises(DtypeError, match="must have one dtype"):
        ifelse(c, x, T.fvector("f"))
    with pytest.raises(DtypeError, match="must have one dtype"):
        ifelse(c, i, 1.5)


def test_branches_have_one_number_of_dimensions():
    with pytest.raises(ShapeError, match="same number of dimensions"):
        ifelse(c, x, T.dmatrix("m"))


def test_branches_have_as_many_values():
    with pytest.raises(ShapeError, match="as many values"):
        ifelse(c, [x, y], [x])


def test_a_choice_that_is_known_leaves_no_trace():
    f = tg.function([x, c], ifelse(T.gt(x.shape[0], 2), x * 2, x[c] * x))
    f(np.ones(3), 0)
    assert not any(isinstance(step.op, IfElse) for step in f.program.instructions)
