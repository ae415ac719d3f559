"""Profiles and memory plans of compiled functions, and the observers they are made of."""

import gc
import json
import tracemalloc

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.backends import Observer, Observers, ReferenceExecutable, native_backend
from tinygraph.errors import InputError, ShapeError
from tinygraph.program.cost import cost
from tinygraph.viz.profile import ProfileStats


def mlp(**options):
    rng = np.random.default_rng(0)
    x, t = T.dmatrix("x"), T.ivector("t")
    w1, b1 = tg.shared(rng.normal(size=(64, 100)) / 8, "w1"), tg.shared(np.zeros(100), "b1")
    w2, b2 = tg.shared(rng.normal(size=(100, 10)) / 10, "w2"), tg.shared(np.zeros(10), "b2")
    with tg.name_scope("hidden"):
        h = T.tanh(x.dot(w1) + b1)
    y = T.nnet.softmax(h.dot(w2) + b2)
    cost = -T.log(y[T.arange(t.shape[0]), t]).mean()
    params = [w1, b1, w2, b2]
    updates = [(p, p - 0.1 * g) for p, g in zip(params, tg.grad(cost, params), strict=True)]
    return tg.function([x, t], cost, updates=updates, **options)


def batch(n):
    rng = np.random.default_rng(1)
    return rng.random((n, 64)), rng.integers(0, 10, n).astype("int32")


# --- observers -----------------------------------------------------------------------------------------------------


class Log(Observer):
    def __init__(self):
        self.events = []

    def start(self, program, values):
        self.events.append(("start", len(values)))

    def before(self, program, position, inputs):
        values = [None if x is None else x.tolist() for x in inputs]
        self.events.append(("before", program.instructions[position].op.name, values))

    def after(self, program, position, inputs, outputs, seconds):
        assert seconds > 0
        self.events.append(("after", program.instructions[position].op.name, [x.tolist() for x in outputs]))

    def end(self, program, results):
        self.events.append(("end", [x.tolist() for x in results]))


def test_an_observer_sees_every_instruction():
    x = T.dvector("x")
    f = tg.function([x], T.exp(x) + 1)
    specialisation, values = f.prepared([0.0])
    log, other = Log(), Log()
    (result,) = specialisation.executable.observed(values, Observers(log, other))
    assert result.tolist() == [2.0]
    assert log.events == [
        ("start", 1),
        ("before", "exp", [[0.0]]),
        ("after", "exp", [[1.0]]),
        ("before", "add", [[1.0], 1.0]),
        ("after", "add", [[2.0]]),
        ("end", [[2.0]]),
    ]
    assert other.events == log.events


def test_an_observed_run_gives_what_a_call_gives():
    f = mlp()
    specialisation, values = f.prepared(*batch(20))
    plain = specialisation.executable([v.copy() for v in values])  # shared variables are written to
    observed = specialisation.executable.observed(values, Observer())
    for a, b in zip(plain, observed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_an_observer_sees_the_steps_of_a_loop():
    x = T.dvector("x")
    total, _ = tg.scan(lambda a, s: s + a, sequences=[x], outputs_info=[T.constant(0.0)])
    specialisation, values = tg.function([x], total).prepared([1.0, 2.0, 3.0])
    log = Log()
    specialisation.executable.observed(values, log)
    steps = [event for event in log.events if event[0] == "end"][:-1]
    assert [float(step[1][0]) for step in steps] == [1.0, 3.0, 6.0]


def test_instructions_that_are_passed_over_are_not_reported():
    c, x = T.bscalar("c"), T.dvector("x")
    f = tg.function([c, x], tg.ifelse.ifelse(c, T.exp(x), T.log(x)))
    specialisation, values = f.prepared(1, [1.0])
    log = Log()
    specialisation.executable.observed(values, log)
    names = [event[1] for event in log.events if event[0] == "after"]
    assert "exp" in names
    assert "log" not in names
    assert log.events[-3][2][2] is None  # nobody has computed it


def test_what_an_instruction_raises_keeps_its_place():
    x, i = T.dvector("x"), T.lvector("i")
    specialisation, values = tg.function([x, i], x[i + 1]).prepared(np.arange(99.0), np.arange(99))
    with pytest.raises(IndexError) as plain:
        specialisation.executable(values)
    with pytest.raises(IndexError) as observed:
        specialisation.executable.observed(values, Observer())
    assert str(observed.value) == str(plain.value)
    assert "test_profile.py" in str(observed.value)


def test_a_function_that_is_not_watched_runs_the_executable_itself():
    f = mlp()
    f(*batch(5))
    (made,) = f.stats()
    assert made.run is made.executable
    assert type(made.executable) is native_backend()
    assert f.profile is None
    with tg.config.change_flags(linker="reference"):
        g = mlp()
    g(*batch(5))
    assert type(g.stats()[0].run) is ReferenceExecutable


# --- profiles --------------------------------------------------------------------------------------------------------


def test_profile_counts_calls_flops_and_bytes():
    f = mlp(profile=True, name="train")
    for n in (20, 20, 30):
        f(*batch(n))
    assert f.profile.calls == 3
    rows = f.profile.instructions()
    assert all(row.calls == 3 for row in rows)  # both signatures in one row
    (hidden,) = (row for row in rows if row.scope == "hidden" and row.node.op.name == "tanh")
    assert hidden.flops == 70 * 100
    assert hidden.bytes == 2 * 70 * 100 * 8
    products = [row for row in rows if row.node.op.name == "matmul" and not row.is_gradient]
    assert sorted(row.flops for row in products) == [2 * 70 * 100 * 10, 2 * 70 * 64 * 100]
    inside = f.profile.instruction_seconds
    assert 0 < inside < f.profile.run_seconds < f.profile.call_seconds
    assert f.profile.compile_seconds == pytest.approx(sum(s.seconds for s in f.stats()))


def test_groups_add_up():
    f = mlp(profile=True)
    f(*batch(10))
    inside = f.profile.instruction_seconds
    for by in ("line", "op", "scope"):
        groups = f.profile.grouped(by)
        assert sum(group[1] for group in groups) == pytest.approx(inside)
        assert all(0 <= gradient <= seconds for _, seconds, gradient, _ in groups)
    lines = {name: gradient for name, _, gradient, _ in f.profile.grouped("line")}
    (hidden,) = (name for name in lines if "T.tanh(x.dot(w1) + b1)" in name)
    assert lines[hidden] > 0  # its gradient counts to the line that it differentiates
    assert {name for name, *_ in f.profile.grouped("scope")} == {"hidden", "(none)"}
    with pytest.raises(ValueError, match="by must be one of"):
        f.profile.grouped("colour")


def test_profile_as_text(capsys):
    f = mlp(profile=True, name="train")
    assert "not called yet" in f.profile.summary()
    f(*batch(10))
    text = f.profile.summary(rows=5)
    for part in ("function 'train'", "1 calls", "in instructions", "in Python", "by instruction, 5 of", "GFLOP/s"):
        assert part in text
    for part in ("by source line", "by operation", "by scope", "test_profile.py:", "gradient of", "matmul"):
        assert part in text
    assert repr(text) == str(text)  # readable where an interactive session shows it
    f.profile.print_summary(rows=5)
    assert capsys.readouterr().out == str(text) + "\n"


def test_profile_as_json():
    f = mlp(profile=True, name="train")
    f(*batch(10))
    found = json.loads(f.profile.to_json())
    assert found["calls"] == 1
    assert sum(row["seconds"] for row in found["instructions"]) == pytest.approx(found["instruction_seconds"])
    assert {"op", "line", "scope", "gradient", "flops", "bytes"} <= set(found["instructions"][0])


def test_profile_as_a_picture():
    graphviz = pytest.importorskip("graphviz")
    f = mlp(profile=True)
    with pytest.raises(ValueError, match="before the first call"):
        f.profile.draw()
    f(*batch(10))
    picture = f.profile.draw()
    assert isinstance(picture, graphviz.Digraph)
    assert "matmul" in picture.source
    assert picture.source != tg.draw(f).source  # it has heat


def test_profile_of_a_loop_tells_its_steps_apart():
    x = T.dvector("x")
    total, _ = tg.scan(lambda a, s: T.tanh(s) + a, sequences=[x], outputs_info=[T.constant(0.0)])
    f = tg.function([x], total, profile=True)
    f([1.0, 2.0, 3.0])
    rows = f.profile.instructions()
    inside = {row.node.op.name: row for row in rows if row.depth == 1}
    assert inside["tanh"].calls == 3
    assert all(row.seconds >= 0 for row in rows)
    assert "in a loop: " in f.profile.summary()
    assert sum(row.seconds for row in rows) <= f.profile.run_seconds


def test_one_profile_of_several_functions():
    both = ProfileStats()
    x = T.dvector("x")
    f = tg.function([x], x + 1, profile=both, name="f")
    g = tg.function([x], T.exp(x), profile=both, name="g")
    f([1.0])
    g([1.0])
    assert f.profile is g.profile is both
    assert both.calls == 2
    assert {row.node.op.name for row in both.instructions()} == {"add", "exp"}
    assert "function 'f', function 'g'" in both.summary()


def test_a_copy_is_profiled_on_its_own():
    f = mlp(profile=True)
    f(*batch(5))
    assert f.copy().profile is None
    g = f.copy(profile=True)
    g(*batch(5))
    assert (f.profile.calls, g.profile.calls) == (1, 1)


def test_profiles_and_guards_go_together():
    x = T.dvector("x")
    f = tg.function([x], T.log(x), profile=True, mode="NanGuardMode")
    f([1.0])
    with pytest.raises(AssertionError):
        f([0.0])
    (row,) = f.profile.instructions()
    assert row.calls == 2  # what looks for the cause is not counted
    assert f.profile.calls == 2


def test_profile_takes_no_other_values():
    x = T.dvector("x")
    with pytest.raises(ValueError, match="ProfileStats"):
        tg.function([x], x, profile="yes")


# --- costs -----------------------------------------------------------------------------------------------------------


def costs(inputs, output, *values):
    f = tg.function(inputs, output, mode="FAST_COMPILE")
    f(*values)
    return {step.op.name: cost(step, f.program) for step in f.program.instructions}


def test_costs_of_kinds_of_operations():
    x, y, i = T.fmatrix("x"), T.fmatrix("y"), T.lvector("i")
    a, b = np.ones((3, 4), "float32"), np.ones((4, 5), "float32")
    found = costs([x, y], T.tanh(x).dot(y).T.sum(axis=0), a, b)
    assert (found["tanh"].flops, found["tanh"].bytes) == (12, 2 * 48)
    assert (found["matmul"].flops, found["matmul"].bytes) == (2 * 3 * 4 * 5, 4 * (12 + 20 + 15))
    assert (found["sum"].flops, found["sum"].bytes) == (15, 4 * (15 + 3))
    transposed = next(c for name, c in found.items() if "dimshuffle" in name or "transpose" in name)
    assert (transposed.flops, transposed.bytes) == (0, 0)
    (taken,) = costs([x, i], x[i], np.ones((1000, 4), "float32"), [1, 2]).values()
    assert taken.flops == 0
    assert taken.bytes == 2 * (2 * 4 * 4) + 2 * 8  # the rows that are taken, not those that are there


def test_costs_of_convolutions_and_matrices():
    images, filters = T.dtensor4("images"), T.dtensor4("filters")
    out = T.nnet.conv2d(images, filters)
    f = tg.function([images, filters], tg.grad((out**2).sum(), [images, filters]))
    f(np.ones((2, 3, 8, 8)), np.ones((5, 3, 3, 3)))
    found = [cost(step, f.program).flops for step in f.program.instructions if "conv" in step.op.name]
    assert found == [2 * (2 * 5 * 6 * 6) * (3 * 3 * 3)] * 3  # the gradients take as much as the convolution
    x, y = T.dmatrices("x", "y")
    (product,) = costs([x, y], T.einsum("ij,jk->ik", x, y), np.ones((3, 4)), np.ones((4, 5))).values()
    assert product.flops == 2 * 3 * 4 * 5
    (inverse,) = costs([x], T.nlinalg.matrix_inverse(x), np.eye(6)).values()
    assert inverse.flops == 2 * 6**3


# --- memory ----------------------------------------------------------------------------------------------------------


def measured(f, args):
    """The most memory that a call takes at any time, by tracemalloc."""
    f(*args)
    gc.collect()
    tracemalloc.start()
    try:
        f(*args)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        results = f(*args)
        peak = tracemalloc.get_traced_memory()[1] - before
        del results
        return peak
    finally:
        tracemalloc.stop()


def chain(x):
    return T.exp(T.tanh(x) + 1) * x


def classifier_gradient(x):
    return tg.grad(-T.log(T.nnet.softmax(x))[:, 0].mean(), x)


def recurrence(x):
    states, _ = tg.scan(lambda a, s: T.tanh(s + a), sequences=[x], outputs_info=[T.zeros(x.shape[1])])
    return tg.grad(states.sum(), x)


MEMORY = {
    "chain": chain,
    "views": lambda x: [(x + 1)[10:20], (x + 2).T],
    "copies of views": lambda x: [T.exp(x.T.flatten()), x.T.flatten() + 1],
    "reductions": lambda x: tg.grad(x.max(axis=1).sum() + (x**2).sum(), x),
    "joined": lambda x: T.concatenate([x + 1, x * 2]).sum(axis=0),
    "product": lambda x: x.dot(x.T).dot(x),
    "classifier": classifier_gradient,
    "softmax": T.nnet.softmax,
    "sigmoid": lambda x: tg.grad((T.nnet.sigmoid(x) * 2).sum(), x),
    "cast": lambda x: x.astype("float32") * 2,
    "loop": recurrence,
    "branch": lambda x: tg.ifelse.ifelse(T.lt(x[0, 0], 2.0), T.exp(x) + 1, x),
}


@pytest.mark.parametrize("name", MEMORY)
@pytest.mark.parametrize("shape", [(300, 200), (1500, 400)], ids=str)
def test_planned_memory_is_what_is_measured(name, shape):
    x = T.dmatrix("x")
    with tg.config.change_flags(linker="reference"):  # whose temporaries come and go
        f = tg.function([x], MEMORY[name](x))
    planned = f.memory(shape)
    assert planned.peak == pytest.approx(measured(f, [np.random.default_rng(0).random(shape)]), rel=0.1)
    assert sum(holder.nbytes for holder in planned.holders) == pytest.approx(planned.peak, rel=0.1)


@pytest.mark.parametrize("name", [name for name in MEMORY if name != "branch"])  # branches run as array calls
def test_planned_memory_of_compiled_functions(name):
    """An arena that is kept, what products copy, and outputs: all that a signature takes from its first call on."""
    x = T.dmatrix("x")
    shape = (3000, 400)
    f = tg.function([x], MEMORY[name](x))
    planned = f.memory(shape)
    value = np.random.default_rng(0).random(shape)
    f(value[:3, :2])  # loads what compiles
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        f(value)
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert 0.95 * planned.peak <= taken <= 1.05 * planned.peak + (1 << 20)
    held = sum(holder.nbytes for holder in planned.holders)
    assert held <= planned.peak + 64 * len(planned.holders)


@pytest.mark.parametrize("n", [50, 2000])
def test_planned_memory_of_a_training_step(n):
    with tg.config.change_flags(linker="reference"):
        f = mlp()
    planned = f.memory((n, 64), (n,))
    assert not f.stats()  # nothing was compiled for a call, and nothing ran
    assert planned.peak == pytest.approx(measured(f, batch(n)), rel=0.1)
    assert f.memory().peak == planned.peak  # of the last call
    assert planned.shared == 8 * (64 * 100 + 100 + 100 * 10 + 10)
    assert planned.arguments == n * 64 * 8 + n * 4
    assert planned.results == 8 + planned.shared


def test_memory_plans_name_who_holds_it():
    with tg.config.change_flags(linker="reference"):
        f = mlp()
    planned = f.memory(np.zeros((2000, 64)), np.zeros(2000, "int32"))
    largest = planned.holders[0]
    assert largest.nbytes == 2000 * 100 * 8
    assert any("tanh" in holder.what and "test_profile.py" in holder.place for holder in planned.holders)
    text = str(planned)
    assert text.startswith("peak       6.5")
    assert "gradient of" in text
    assert "1.6 MB" in text
    fused = mlp().memory((2000, 64), (2000,))
    assert fused.peak < 4e6
    assert any("matmul" in h.what and "test_profile.py" in h.place for h in fused.holders[:2])
    assert "copies of operands" in str(fused)


def test_memory_of_values_of_unknown_size():
    x = T.dvector("x")
    planned = tg.function([x], x[x > 0] * 2).memory((10,))
    assert planned.unknown
    assert "depend on values" in str(planned)


def test_memory_asks_for_shapes():
    x, y = T.dmatrix("x"), T.dvector("y")
    f = tg.function([x, y], x + y)
    with pytest.raises(InputError) as err:
        f.memory()
    assert "not called yet" in err.value.problem
    with pytest.raises(InputError):
        f.memory((2, 3))
    with pytest.raises(InputError) as err:
        f.memory((2, 3), (3, 1))
    assert "does not fit" in err.value.problem
    with pytest.raises(InputError):
        f.memory((2, 3), (3.5,))
    with pytest.raises(ShapeError):
        f.memory((2, 3), (4,))
    assert f.memory((2, 3), (3,)).peak == 48
