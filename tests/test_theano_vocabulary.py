"""What programs written for Theano do with its vocabulary beyond building graphs: copies, pickles, top-level names."""

import copy
import pickle

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.sandbox.rng_mrg import MRG_RandomStreams


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


class Model:
    """A model as programs write it: parameters and functions as attributes."""

    def __init__(self):
        self.w = tg.shared(np.ones(3), "w")
        x = T.dvector("x")
        self.train = tg.function([x], (x * self.w).sum(), updates=[(self.w, self.w + 1)], name="train")
        self.predict = tg.function([x], {"total": (x * self.w).sum(), "most": (x * self.w).max()})


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copied_model_has_parameters_of_its_own_and_functions_over_them(copied):
    model = Model()
    other = copied(model)
    assert float(other.train([1, 1, 1])) == 3.0
    assert other.w.get_value().tolist() == [2, 2, 2]
    assert model.w.get_value().tolist() == [1, 1, 1]
    assert float(other.predict([1, 2, 0])["total"]) == 6.0
    assert float(model.predict([1, 2, 0])["total"]) == 3.0
    assert other.train.name == "train"


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copied_function_of_a_deep_graph(copied):
    x = T.dscalar("x")
    y = x
    for _ in range(2000):
        y = T.sin(y) + 1
    f = tg.function([x], [y, tg.grad(y, x)])
    np.testing.assert_array_equal(copied(f)(0.5), f(0.5))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copied_function_with_a_loop_of_many_operations(copied):
    xs = T.dvector("xs")

    def step(x, h):
        for _ in range(300):
            h = T.tanh(h + x)
        return h

    hs, _ = tg.scan(step, sequences=xs, outputs_info=T.zeros(()))
    f = tg.function([xs], [hs, tg.grad(hs.sum(), xs)])
    for got, wanted in zip(copied(f)([0.1, 0.2]), f([0.1, 0.2]), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copied_function_draws_the_same_numbers_from_a_state_of_its_own(copied):
    f = tg.function([], MRG_RandomStreams(3).normal((2,)))
    g = copied(f)
    first, second = f(), f()
    np.testing.assert_array_equal(g(), first)
    np.testing.assert_array_equal(g(), second)
    assert (first != second).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_what_was_said_of_a_function_is_copied(copied):
    x, total = T.dscalar("x"), T.dscalar("total")
    add = tg.function([x, tg.In(total, value=1.0, update=total + x)], total, mode="FAST_COMPILE", profile=True)
    add.trust_input = True
    other = copied(add)
    assert (other.mode, other.trust_input, other.profile is None) == ("FAST_COMPILE", True, False)
    other.trust_input = False
    assert [float(other(2.0)), float(other["total"])] == [1.0, 3.0]
    assert float(add["total"]) == 1.0


def test_several_outputs_and_names_survive():
    x = T.dvector("x")
    values, where = T.max_and_argmax(x, axis=0)
    values.name = "largest"
    f = tg.function([x], [where, values])
    g = pickled(f)
    assert [float(v) for v in g([1, 5, 2])] == [1.0, 5.0]
    assert [v.name for v in g.closed.outputs] == [None, "largest"]


def test_inputs_are_declared_by_tuples():
    x, w = T.dscalars("x", "w")
    step = tg.function([("first", x), ((w, w + x), 10.0)], w * 2)
    assert [float(step(1)), float(step(first=2)), float(step["w"])] == [20.0, 22.0, 13.0]
    step.value[w] = 99.0
    assert (float(step.container[w].value), float(step.container["w"].value)) == (99.0, 99.0)
    assert float(step(0, w=1)) == 2.0
    named = tg.function([x, ("second", w, 5.0)], x + w)
    assert [float(named(1)), float(named(1, second=2))] == [6.0, 3.0]
    assert float(tg.function([[x, 3.0]], x)()) == 3.0


@pytest.mark.parametrize("wrong", [(), ("x",), (T.dscalar("x"), 1.0, 2.0), (1.0, 2.0)])
def test_other_tuples_are_errors(wrong):
    with pytest.raises(tg.errors.InputError):
        tg.function([wrong], 1)


def test_settings_of_debug_mode_for_c_code_are_accepted():
    x = T.dscalar("x")
    assert float(tg.function([x], 10 * x, mode=tg.diagnose.DebugMode(check_c_code=False))(5)) == 50.0
    with pytest.raises(TypeError, match="no setting check_d_code"):
        tg.diagnose.DebugMode(check_d_code=False)
