"""The native backend as its users meet it: state, memory, threads, processes, and code that is kept."""

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.backends.native import cache, kernels
from tinygraph.program import ProgramError
from tinygraph.program.plan_check import verify_plan
from tinygraph.program.steps import Call

LONG = os.environ.get("TINYGRAPH_LONG", "") not in ("", "0")


def executable(f):
    return f.stats()[-1].executable


def classifier(dtype="float64", sizes=(6, 8, 3)):
    rng = np.random.default_rng(0)
    x, t = T.matrix("x", dtype=dtype), T.ivector("t")
    params, h = [], x
    for n, m in pairwise(sizes):
        w, b = tg.shared(rng.normal(size=(n, m)).astype(dtype), "w"), tg.shared(np.zeros(m, dtype), "b")
        params += [w, b]
        h = T.tanh(h.dot(w) + b)
    cost = -T.log(T.nnet.softmax(h)[T.arange(t.shape[0]), t]).mean()
    rate = np.dtype(dtype).type(0.1)
    updates = [(p, p - rate * g) for p, g in zip(params, tg.grad(cost, params), strict=True)]
    return tg.function([x, t], cost, updates=updates), params


def batch(n, dtype="float64"):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 6)).astype(dtype), rng.integers(0, 3, n).astype("int32")


# --- plans ------------------------------------------------------------------------------------------------------------


def test_a_training_step_is_one_call_that_updates_in_place():
    f, params = classifier()
    before = [p.get_value(borrow=True) for p in params]
    f(*batch(5))
    plan = executable(f).plan
    assert not any(isinstance(step, Call) for step in plan.steps)
    assert len(plan.updated) == len(params)
    assert all(p.get_value(borrow=True) is old for p, old in zip(params, before, strict=True))
    text = str(plan)
    assert "product" in text or "nest" in text
    assert "in place: " in text
    assert f"# {len(plan.steps)} steps, arena" in text


def test_the_check_of_plans_finds_what_is_wrong():
    f, _ = classifier(sizes=(6, 40, 3))
    f(*batch(50))
    plan = executable(f).plan
    verify_plan(plan)
    steps, offsets = list(plan.steps), dict(plan.offsets)
    plan.steps[:2] = steps[1::-1]
    with pytest.raises(ProgramError, match="before it is written"):
        verify_plan(plan)
    plan.steps[:] = [*steps[3:], *steps[:3]]
    with pytest.raises(ProgramError, match=r"before it is written|can fail after|overwritten"):
        verify_plan(plan)
    plan.steps[:] = steps
    plan.offsets.update(dict.fromkeys(offsets, 0))
    with pytest.raises(ProgramError, match="alive together"):
        verify_plan(plan)


def test_another_batch_size_compiles_nothing():
    f, _ = classifier()
    f(*batch(40))
    known = len(kernels._known)
    f(*batch(57))
    assert len(kernels._known) == known
    assert len(f.stats()) == 2


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["float32", "float64"]))
def test_softmax_rows_of_any_length(rows, columns, dtype):
    x = T.matrix("x", dtype=dtype)
    value = np.random.default_rng(rows).normal(size=(rows, columns)).astype(dtype) * 30
    got = tg.function([x], [T.nnet.softmax(x), T.nnet.logsoftmax(x), T.logsumexp(x, axis=0), x.mean(axis=0)])(value)
    wide = value.astype("float64")
    e = np.exp(wide - wide.max(1, keepdims=True))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        got[0], e / e.sum(1, keepdims=True), rtol=200 * eps, atol=0 if dtype == "float64" else 1e-37
    )
    logs = wide - wide.max(1, keepdims=True) - np.log(e.sum(1, keepdims=True))
    np.testing.assert_allclose(got[1], logs, rtol=50 * eps, atol=50 * eps)
    top = wide.max(0)
    np.testing.assert_allclose(got[2], np.log(np.exp(wide - top).sum(0)) + top, rtol=50 * eps, atol=50 * eps)
    np.testing.assert_allclose(got[3], wide.mean(0), rtol=0, atol=60 * eps * 30)


@pytest.mark.parametrize("shape", [(10**7,), (10**6, 7), (7, 10**6), (3, 5, 10**5)], ids=str)
def test_sums_of_many_numbers_lose_nothing(shape):
    value = np.random.default_rng(0).random(shape, dtype="float32")
    x = T.tensor("float32", (None,) * len(shape))
    for axis in (None, 0, -1):
        got = tg.function([x], x.sum(axis=axis))(value)
        np.testing.assert_allclose(got, value.sum(axis=axis, dtype="float64"), rtol=3e-6)


# --- state ------------------------------------------------------------------------------------------------------------


def test_an_input_may_be_the_memory_that_is_updated():
    w, x = tg.shared(np.arange(6.0), "w"), T.dvector("x")
    f = tg.function([x], x.sum(), updates=[(w, w + x[::-1])])
    for _ in range(3):  # the first call compiles, the next ones take the short way
        old = w.get_value()
        assert f(w.get_value(borrow=True)) == old.sum()
        np.testing.assert_array_equal(w.get_value(), old + old[::-1])


def test_updates_that_read_each_other_use_old_values():
    a, b = tg.shared(np.arange(4.0), "a"), tg.shared(np.ones(4), "b")
    f = tg.function([], [a, b.sum()], updates=[(a, a[::-1] * b), (b, a + b)])
    x, y = np.arange(4.0), np.ones(4)
    for _ in range(3):
        old, total = f()
        np.testing.assert_array_equal(old, x)
        assert total == y.sum()
        x, y = x[::-1] * y, x + y
    np.testing.assert_array_equal(a.get_value(), x)
    np.testing.assert_array_equal(b.get_value(), y)


def test_an_index_out_of_bounds_changes_nothing():
    f, params = classifier()
    x, t = batch(5)
    f(x, t)
    before = [p.get_value() for p in params]
    t[3] = 3
    for _ in range(2):
        with pytest.raises(IndexError, match="index 3 is out of bounds"):
            f(x, t)
    for p, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.get_value(), old)
    t[3] = -3
    assert np.isfinite(f(x, t))


@pytest.mark.parametrize("layout", ["transposed", "strided", "reversed", "list", "float32", "big-endian", "subclass"])
def test_arguments_of_any_kind_after_the_short_way_was_taken(layout):
    x = T.dmatrix("x")
    f = tg.function([x], (x * x).sum(axis=0))
    value = np.arange(12.0).reshape(3, 4)
    expected = f(value)
    f(value)
    other = {
        "transposed": lambda: np.asfortranarray(value),
        "strided": lambda: np.repeat(value, 2, axis=1)[:, ::2],
        "reversed": lambda: value[::-1, ::-1].copy()[::-1, ::-1],
        "list": value.tolist,
        "float32": lambda: value.astype("float32"),
        "big-endian": lambda: value.astype(">f8"),
        "subclass": lambda: value.view(np.recarray),
    }[layout]()
    np.testing.assert_array_equal(f(other), expected)
    np.testing.assert_array_equal(f(value), expected)


def test_results_that_are_held_stay_and_memory_of_others_is_used_again():
    x = T.vector("x", dtype="float32")
    f = tg.function([x], x + 1)
    value = np.zeros(10**6, "float32")
    first = f(value)
    second = f(value + 1)
    assert not np.may_share_memory(first, second)
    assert first[0] == 1
    part = second[5:]
    place = second.ctypes.data
    del second
    third = f(value + 2)  # a view holds the memory
    assert third.ctypes.data != place
    assert part[0] == 2
    place = third.ctypes.data
    del third
    assert f(value).ctypes.data == place


# --- memory -----------------------------------------------------------------------------------------------------------


def test_many_calls_do_not_grow_memory():
    f, _ = classifier()
    arguments = batch(5)
    for _ in range(100):
        f(*arguments)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10**6 if LONG else 20_000):
        f(*arguments)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 4096


def test_guarded_memory_finds_what_writes_elsewhere():
    with tg.config.change_flags(guard_memory="yes"):
        f, _ = classifier()
        f(*batch(5))
    run = executable(f)
    assert run.plan.guards
    table = run._table
    table.poison()
    table.check_guards()
    table._memory[run.plan.guards[0] + table._arena - table._memory.ctypes.data] = 0
    with pytest.raises(ProgramError, match="was written to"):
        table.check_guards()


def test_pooling_without_a_window_writes_nothing():
    x = T.dmatrix("x")
    with tg.config.change_flags(guard_memory="yes"):
        y = T.signal.pool.pool_2d(x, (1, 2), ignore_border=True, stride=(1, 3))
        f = tg.function([x], [y, tg.grad(y.sum(), x)])
        results = f(np.ones((1, 1)))
    assert [r.shape for r in results] == [(1, 0), (1, 1)]


# --- threads and processes --------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_the_number_of_threads():
    x = T.matrix("x", dtype="float32")
    outputs = [T.nnet.softmax(x), x.sum(), T.exp(x).sum(axis=0), T.tanh(x).mean(axis=1), (x**2).sum()]
    value = np.random.default_rng(0).normal(size=(1500, 700)).astype("float32")
    found = []
    for threads in (1, 2, 3):
        with tg.config.change_flags(threads=threads):
            found.append(tg.function([x], outputs)(value))
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


def test_functions_of_several_threads_never_see_half_of_an_update():
    n = 200_000
    w = tg.shared(np.zeros(n), "w")
    step = tg.function([], updates=[(w, w + 1)])
    look = tg.function([], [w.min(), w.max(), T.exp(w * 0).sum()])
    wrong, done = [], threading.Event()

    def watch():
        while not done.is_set():
            low, high, _ = look()
            value = w.get_value()
            if low != high or value.min() != value.max():
                wrong.append((low, high))

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for t in watchers:
        t.start()
    trainers = [threading.Thread(target=lambda: [step() for _ in range(50)]) for _ in range(2)]
    for t in trainers:
        t.start()
    for t in trainers:
        t.join()
    done.set()
    for t in watchers:
        t.join()
    assert not wrong
    assert set(w.get_value()) == {100.0}


def test_what_runs_by_itself_may_look_at_what_its_function_updates():
    w = tg.shared(np.zeros(300_000), "w")
    seen = []

    @tg.as_op([T.dvector], [T.dvector])
    def look(x):
        seen.append(w.get_value()[0])
        return x * 2

    x = T.dvector("x")
    f = tg.function([x], T.exp(look(x)).sum(), updates=[(w, w + T.exp(look(x)))])
    for _ in range(2):
        f(np.zeros(300_000))
    assert seen[-1] == 1


def _in_child(queue, f, value):
    queue.put(float(f(value)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_process_goes_on_without_the_threads():
    x = T.vector("x")
    with tg.config.change_flags(threads=2):
        f = tg.function([x], T.exp(x).sum())
    value = np.zeros(10**6)
    assert f(value) == 10**6
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue, f, value))
    child.start()
    assert queue.get(timeout=60) == 10**6
    child.join()


# --- code on disk -----------------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np, tinygraph as tg, tinygraph.tensor as T
from tinygraph.backends.native import toolchain
made = []
compile = toolchain.Target.compile
toolchain.Target.compile = lambda self, text: made.append(1) or compile(self, text)
x = T.vector("x")
print(float(tg.function([x], (T.tanh(x) * 3).sum())(np.zeros(5))), len(made))
"""


def run(folder):
    environment = {**os.environ, "TINYGRAPH_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    value, compiled = done.stdout.split()
    assert float(value) == 0
    return int(compiled)


def test_code_is_kept_on_disk_and_made_again_where_it_is_damaged(tmp_path):
    assert run(tmp_path) > 0
    assert run(tmp_path) == 0
    for entry in tmp_path.iterdir():
        entry.write_bytes(entry.read_bytes()[:-7])
    assert run(tmp_path) > 0
    assert run(tmp_path) == 0
    for entry in tmp_path.iterdir():
        entry.write_bytes(b"")
    assert run(tmp_path) > 0


def test_processes_that_start_together_share_the_folder(tmp_path):
    environment = {**os.environ, "TINYGRAPH_CACHE_DIR": str(tmp_path)}
    several = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert all(p.communicate(timeout=120)[0].startswith("0.0 ") for p in several)
    assert run(tmp_path) == 0


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path):
    tmp_path.chmod(0o777)
    with tg.config.change_flags(cache_dir=str(tmp_path)):
        assert cache.folder() is None
        cache.store("text", "target", b"code")
        assert not list(tmp_path.iterdir())
    tmp_path.chmod(0o700)
    with tg.config.change_flags(cache_dir=str(tmp_path)):
        cache.store("text", "target", b"code")
        assert cache.load("text", "target") == b"code"
        assert cache.load("text", "another processor") is None
