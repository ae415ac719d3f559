"""function: what it takes, what it gives back, when state changes, and what it says when something is wrong."""

import importlib.util
import pickle
import threading
from collections import OrderedDict

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import (
    BackendError,
    InputError,
    MissingInputError,
    ShapeError,
    UnusedInputError,
    UpdateError,
)

x, y = T.dvectors("x", "y")
X = T.dmatrix("X")


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_forms_of_outputs():
    assert isinstance(tg.function([x], x.sum())([1, 2]), np.ndarray)
    assert [float(v) for v in tg.function([x], [x.sum(), x.prod()])([2, 3])] == [5, 6]
    assert tg.function([x], {"a": x.sum(), "b": x[0]})([2, 3]) == {"a": 5, "b": 2}
    assert tg.function([], [])() == []
    assert tg.function([], None)() == []
    assert tg.function([x], tg.Out(x * 2, borrow=True))([1.0]).tolist() == [2.0]
    assert tg.function([], 3.0)() == 3.0


def test_returned_arrays_belong_to_the_caller():
    s = tg.shared(np.zeros(3), "s")
    c = T.constant(np.zeros(3))
    f = tg.function([x], [x, x[::-1], s, c, x * 2, x.T, s.reshape((3, 1)), x + 0, x + 0])
    given = np.zeros(3)
    for result in (first := f(given)):
        result += 1
    assert not given.any()
    assert not s.get_value().any()
    assert not any(r.any() for r in f(given))
    assert len({r.__array_interface__["data"][0] for r in first}) == len(first)


def test_shared_values_never_alias_inputs_or_each_other():
    a, b = tg.shared(np.zeros(2), "a"), tg.shared(np.zeros(2), "b")
    given = np.ones(2)
    tg.function([x], updates=[(a, x), (b, x)])(given)
    given += 1
    a.get_value(borrow=True)[0] = 9
    assert b.get_value().tolist() == [1, 1]
    assert a.get_value().tolist() == [9, 1]


# --- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        (1.0, 2),
        np.array([1, 2], "int32"),
        np.array([1, 2], "float32"),
        np.array([1.0, 2.0]).astype(">f8"),
        np.array([[1.0, 9], [2, 9]], order="F")[:, 0],
        np.array([2.0, 1.0])[::-1],
        [True, 2],
    ],
)
def test_values_that_lose_nothing_are_taken(value):
    f = tg.function([x], x * 2)
    result = f(value)
    assert result.dtype == np.float64
    assert result.tolist() == [2, 4]


def test_read_only_arrays_are_taken_and_inputs_never_written_to():
    array = np.arange(3.0)
    array.flags.writeable = False
    assert tg.function([x], T.inc_subtensor(x[0], 5.0))(array).tolist() == [5, 1, 2]


def test_nan_and_empty_inputs():
    f = tg.function([X], [X.sum(axis=0), X.mean()])
    assert np.isnan(f(np.full((2, 2), np.nan))[1])
    total, mean = f(np.empty((0, 3)))
    assert total.tolist() == [0, 0, 0]
    assert np.isnan(mean)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (T.dmatrix("M"), np.zeros(3), r"'M'.*wrong number of dimensions[\s\S]*matrix \(\?, \?\)[\s\S]*\(3,\)"),
        (T.fvector("f"), np.zeros(3), r"'f'.*float32 cannot hold values of float64[\s\S]*allow_input_downcast"),
        (T.ivector("i"), np.zeros(3, "int64"), "int32 cannot hold values of int64"),
        (T.ivector("i"), [0.5], "int32 cannot hold values of float64"),
        (T.bscalar("b"), 300, "int8 cannot hold"),
        (T.dvector("v"), "text", "no array of numbers"),
        (T.dvector("v"), [[1, 2], [3]], "no array"),
        (T.dvector("v"), None, "no array of numbers"),
        (T.dvector("v"), np.zeros(2, complex), "no array of numbers"),
        (T.tensor("float64", (None, 3), name="t"), np.zeros((2, 4)), r"wrong shape[\s\S]*\(\?, 3\)[\s\S]*\(2, 4\)"),
        (T.row("r", dtype="float64"), np.zeros((2, 4)), "wrong shape"),
        (T.dvector("v"), T.dvector("w"), "symbolic variable was passed"),
    ],
)
def test_values_that_do_not_fit(variable, value, message):
    s = tg.shared(0, "s")
    f = tg.function([variable], variable.sum(), updates=[(s, s + 1)])
    with pytest.raises(InputError, match=message):
        f(value)
    assert s.get_value() == 0


def test_weak_scalars_are_taken():
    a = T.fscalar("a")
    assert tg.function([a], a)(0.1).dtype == np.float32
    assert tg.function([a], a)(np.float64(0.1)).dtype == np.float32
    v = T.fvector("v")
    assert tg.function([v], v)([0.1, 0.2]).dtype == np.float32
    k = T.iscalar("k")
    assert tg.function([k], k)(3).dtype == np.int32
    assert tg.function([k], k)(3.0) == 3


def test_downcast_on_request():
    f = tg.function([T.fvector("f"), T.ivector("i")], [], allow_input_downcast=True, on_unused_input="ignore")
    f(np.array([0.1]), np.array([1.5]))
    a = T.fscalar("a")
    strict = tg.function([tg.In(a, strict=True)], a)
    with pytest.raises(InputError, match="strict"):
        strict(np.float64(1))
    with pytest.raises(InputError, match="cannot hold"):
        tg.function([a], a, allow_input_downcast=False)(0.1)


def test_keywords_defaults_and_wrong_calls():
    k = T.dscalar()
    f = tg.function([x, tg.In(y, value=np.ones(2)), tg.In(k, name="k", value=2.0)], [x + y, k])
    assert f([1, 2])[0].tolist() == [2, 3]
    assert f([1, 2], y=[5, 5])[0].tolist() == [6, 7]
    assert f(y=[1, 1], x=[0, 0], k=1)[0].tolist() == [1, 1]
    with pytest.raises(InputError, match="no input 'z'"):
        f([1, 2], z=3)
    with pytest.raises(InputError, match="two values for its input 'x'"):
        f([1, 2], x=[1, 2])
    with pytest.raises(InputError, match="too many arguments"):
        f([1], [2], 3, 4)
    with pytest.raises(InputError, match="no value for x"):
        f()


def test_inputs_with_state_of_their_own():
    n = T.lscalar("n")
    f = tg.function([tg.In(n, value=10, update=n + 1)], n)
    assert [int(f()), int(f())] == [10, 11]
    assert int(f(100)) == 100
    assert int(f()) == 101
    assert f["n"] == 102
    f[n] = 0
    assert int(f()) == 0
    g = f.copy()
    assert int(g()) == 1
    assert int(g()) == 2
    assert int(f()) == 1
    with pytest.raises(KeyError):
        f["m"]


def test_intermediate_results_as_inputs():
    h = x * 2
    f = tg.function([h], h + 1)
    assert f([5.0]).tolist() == [6.0]


def test_inputs_that_cannot_be():
    s = tg.shared(1.0, "s")
    for bad, message in [(s, "shared variable s"), (T.constant(1), "constant"), ("x", "symbolic variable")]:
        with pytest.raises(InputError, match=message):
            tg.function([bad], s)
    with pytest.raises(InputError, match="x twice"):
        tg.function([x, x], x)
    with pytest.raises(InputError, match="as a list"):
        tg.function(x, x)
    with pytest.raises(MissingInputError, match=r"depends on y[\s\S]*add it to the inputs"):
        tg.function([x], x + y)
    with pytest.raises(UnusedInputError, match="does not use its input y"):
        tg.function([x, y], x)
    with pytest.warns(UserWarning, match="does not use"):
        tg.function([x, y], x, on_unused_input="warn")
    tg.function([x, y], x, on_unused_input="ignore")
    with pytest.raises(ValueError, match="on_unused_input"):
        tg.function([x, y], x, on_unused_input="perhaps")
    with pytest.raises(ValueError, match="mode must be"):
        tg.function([x], x, mode="FASTEST")
    with pytest.raises(InputError, match="must be an expression"):
        tg.function([x], object())


def test_trust_input_skips_checks():
    f = tg.function([x], x.sum())
    f.trust_input = True
    assert f(np.ones(3)) == 3


# --- updates ----------------------------------------------------------------------------------------------------------


def test_updates_are_computed_from_old_values():
    a, b = tg.shared(1.0, "a"), tg.shared(2.0, "b")
    f = tg.function([], a + b, updates=[(a, b), (b, a)])
    assert f() == 3
    assert (a.get_value(), b.get_value()) == (2, 1)
    tg.function([], updates={a: a * 10})()
    tg.function([], updates=OrderedDict([(b, b * 10)]))()
    tg.function([], updates=[[a, a + 1]])()
    assert (a.get_value(), b.get_value()) == (21, 10)


def test_nothing_changes_when_a_call_raises():
    a, b = tg.shared(np.zeros(2), "a"), tg.shared(np.zeros((2, 2)), "b")
    i = T.lscalar("i")
    f = tg.function([i, x], updates=[(a, a + 1), (b, b + x[i])])
    with pytest.raises(IndexError):
        f(5, [1.0, 2.0])
    with pytest.raises(ShapeError):
        tg.function([x], updates=[(a, a + 1), (b, b + x)])(np.ones(3))
    fixed = tg.shared(np.zeros((1, 2)), "fixed", broadcastable=(True, False))
    with pytest.raises(UpdateError, match=r"fixed[\s\S]*\(1, \?\)"):
        tg.function([X], updates=[(a, a + 1), (fixed, X)])(np.zeros((3, 2)))
    assert not a.get_value().any()
    assert fixed.get_value().shape == (1, 2)


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        (lambda s: [(s, s.astype("float64") * 2.5)], r"does not have its type[\s\S]*astype\('float32'\)"),
        (lambda s: [(s, s.sum())], r"does not have its type[\s\S]*float32 \(\?,\)[\s\S]*float32 \(\)"),
        (lambda s: [(s, s), (s, s + 1)], "name s twice"),
        (lambda s: [(x, x)], "only a shared variable"),
        (lambda s: [s], "must be pairs"),
        (lambda s: 3, "must be pairs"),
    ],
)
def test_updates_that_cannot_be(updates, message):
    s = tg.shared(np.zeros(2, "float32"), "s")
    with pytest.raises(UpdateError, match=message):
        tg.function([x], x, updates=updates(s))


def test_numbers_as_updates_take_the_variables_type():
    s = tg.shared(np.float32(3), "s")
    tg.function([], updates=[(s, 0)])()
    assert s.get_value().dtype == np.float32


def test_default_updates():
    s, t = tg.shared(0, "s"), tg.shared(0, "t")
    s.default_update = s + t
    t.default_update = t + 1
    f = tg.function([], s)
    f(), f(), f()
    assert (s.get_value(), t.get_value()) == (3, 3)
    tg.function([], s, no_default_updates=True)()
    assert s.get_value() == 3
    tg.function([], s + t, no_default_updates=[s])()
    assert (s.get_value(), t.get_value()) == (3, 4)
    tg.function([], s, updates=[(s, s * 0)])()
    assert (s.get_value(), t.get_value()) == (0, 4)


# --- givens, clone, copy ----------------------------------------------------------------------------------------------


def test_givens():
    s = tg.shared(np.arange(10.0), "s")
    i = T.lscalar("i")
    f = tg.function([i], x.sum(), givens={x: s[2 * i : 2 * i + 2]})
    assert [float(f(k)) for k in range(5)] == [1, 5, 9, 13, 17]
    assert tg.function([], x.sum(), givens=[(x, np.ones(3))])() == 3
    h = T.exp(x)
    assert tg.function([y], h.sum(), givens={h: y})([1.0, 2.0]) == 3
    assert tg.function([], s.sum(), givens={s: T.constant([4.0])})() == 4
    updated = tg.shared(0.0, "u")
    tg.function([], updates=[(updated, x.sum())], givens={x: s})()
    assert updated.get_value() == 45


def test_givens_that_cannot_be():
    with pytest.raises(InputError, match=r"cannot be replaced[\s\S]*float64 \(\?,\)[\s\S]*float32 \(\?,\)"):
        tg.function([T.fvector("f")], x.sum(), givens={x: T.fvector("f")})
    f = T.fvector("f")
    assert tg.function([f], x.sum(), givens={x: f}, rebuild_strict=False)([1.0]).dtype == np.float64
    with pytest.raises(InputError, match="differ in type"):
        tg.function([X], x.sum(), givens={x: X})
    with pytest.raises(InputError, match="replaced by givens, too"):
        tg.function([x], x.sum(), givens={x: np.ones(3)})
    with pytest.raises(InputError, match="only a variable"):
        tg.function([x], x.sum(), givens={"x": 1})


def test_clone_replaces():
    a, b = T.dscalars("a", "b")
    out = a * 2 + b
    assert float(tg.clone(out, replace={a: b}).eval({b: 3.0})) == 9
    assert [float(v.eval({b: 3.0})) for v in tg.clone([out, a], replace=[(a, b * b)])] == [21, 9]
    fresh = tg.clone(out, share_inputs=False)
    assert not {a, b} & set(tg.graph.graph_inputs([fresh]))


def test_copy_with_other_shared_variables():
    s, t = tg.shared(1.0, "s"), tg.shared(100.0, "t")
    f = tg.function([x], s + x.sum(), updates=[(s, s + 1)])
    g = f.copy(swap={s: t}, name="g")
    assert g([1.0]) == 101
    assert (s.get_value(), t.get_value()) == (1, 101)
    h = f.copy(delete_updates=True)
    h([1.0])
    assert s.get_value() == 1
    assert "g" in repr(g)


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_shape_errors_come_before_any_arithmetic_and_name_everything():
    W = tg.shared(np.zeros((784, 100)), "W")
    count = tg.shared(0, "count")
    hidden = T.tanh(X.dot(W))
    f = tg.function([X], hidden, updates=[(count, count + 1)])
    with pytest.raises(ShapeError) as caught:
        f(np.zeros((5, 785)))
    text = str(caught.value)
    for part in ("785", "784", "X: float64 (5, 785)", "W: float64 (784, 100)", "shared variable", "X.dot(W)"):
        assert part in text
    assert __file__ in text
    assert "hidden = T.tanh(X.dot(W))" in caught.value.explain()
    assert count.get_value() == 0


def test_operands_name_the_inputs_behind_them():
    b = tg.shared(np.zeros(7), "b")
    f = tg.function([X], T.exp(X) * 2 + b)
    with pytest.raises(ShapeError, match=r"from input X \(5, 3\)"):
        f(np.zeros((5, 3)))


def test_shape_errors_of_symbolic_slices_come_first_too():
    i = T.lscalar("i")
    f = tg.function([i, X, y], X[:i].sum(axis=1) + y)
    assert f(2, np.ones((4, 3)), np.zeros(2)).tolist() == [3, 3]
    with pytest.raises(ShapeError):
        f(3, np.ones((4, 3)), np.zeros(2))
    with pytest.raises(ShapeError):
        f(3, np.ones((4, 4)), np.zeros(2))


def test_one_specialisation_for_each_signature():
    f = tg.function([X], X.sum(axis=0))
    with pytest.raises(ValueError, match="no Program yet"):
        f.program
    for rows in (2, 3, 2, 3):
        f(np.ones((rows, 4)))
    assert [s.signature for s in f.stats()] == ["X: float64 (2, 4)", "X: float64 (3, 4)"]
    assert "sum" in str(f.program)


def test_run_time_errors_keep_their_class_and_name_the_line():
    i = T.lvector("i")
    picked = x[i]
    f = tg.function([x, i], picked)
    with pytest.raises(IndexError, match=r"picked = x\[i\]"):
        f([1.0], [3])


# --- everything else --------------------------------------------------------------------------------------------------


def test_eval():
    assert (x * 2).eval({x: [1.0]}).tolist() == [2.0]
    assert float(tg.shared(3.0).eval()) == 3
    expression = x + y
    assert expression.eval({x: [1.0], y: [2.0]}) == expression.eval({y: [2.0], x: [1.0]}) == 3
    with pytest.raises(MissingInputError):
        expression.eval({x: [1.0]})


def test_backends():
    with pytest.raises(BackendError, match="no backend 'numpyy'"):
        tg.function([x], x, backend="numpyy")
    with pytest.raises(BackendError, match="no backend"):
        tg.shared(0.0, backend="tpu")


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
def test_cupy_that_is_not_installed_says_how_to_install_it():
    for make in (lambda: tg.function([x], x, backend="cupy"), lambda: tg.shared(0.0, backend="cupy")):
        with pytest.raises(BackendError) as caught:
            make()
        assert "pip install 'tinygraph[cuda13]'" in caught.value.hint


def test_threads_see_whole_updates():
    a, b = tg.shared(0, "a"), tg.shared(0, "b")
    step = tg.function([], updates=[(a, a + 1), (b, b + 1)])
    read = tg.function([], [a, b])
    torn = []

    def write():
        for _ in range(300):
            step()

    def look():
        for _ in range(300):
            one, other = read()
            if one != other:
                torn.append((one, other))

    threads = [threading.Thread(target=t) for t in (write, write, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn
    assert a.get_value() == b.get_value() == 600


def test_shared_variables_and_graphs_can_be_pickled():
    s = tg.shared(np.arange(3.0), "s")
    loaded, expression = pickle.loads(pickle.dumps((s, T.exp(s) * 2)))
    np.testing.assert_allclose(expression.eval(), 2 * np.exp([0, 1, 2]))
    loaded.set_value(np.zeros(2))
    assert expression.eval().tolist() == [2, 2]
    assert s.get_value().tolist() == [0, 1, 2]
