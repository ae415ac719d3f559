"""CUDA: what is launched for a graph, and how often; whatever shares a launch gives the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings

import tinygraph as tg
import tinygraph.tensor as T
from tests.cuda.emulator import Emulator
from tests.cuda.graphs import built
from tests.test_cuda_kernels import DTYPES, FEW, SLOW, _copies, _plan, _prepared, needs_gpp
from tinygraph import optim
from tinygraph.backends.cuda import kernel, rows, segments
from tinygraph.backends.cuda.executable import CudaExecutable
from tinygraph.backends.cuda.segments import Segments
from tinygraph.errors import TinygraphError
from tinygraph.program.lowerings import plan_of
from tinygraph.program.plan_check import verify_plan
from tinygraph.program.rounds import Rounds, parts
from tinygraph.program.steps import Batch, Product
from tinygraph.tensor.signal.pool import pool_2d
from tinygraph.testing.programs import programs


@needs_gpp
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["deep", "layer_norm", "lstm", "optimizers"])
def test_nests_that_are_launched_together_give_the_same_bits(name, dtype, monkeypatch):
    program, targets, values = _prepared(*built(name, dtype))
    device, single = Emulator(), Emulator()
    found = CudaExecutable(program, targets, device)(_copies(values))
    monkeypatch.setattr(segments, "together", lambda batch, launches: [])
    wanted = CudaExecutable(program, targets, single)(_copies(values))
    assert len(device.launches) < len(single.launches)
    for have, want in zip(found, wanted, strict=True):
        assert np.asarray(have).tobytes() == np.asarray(want).tobytes()


def _steps(inputs, outputs, *arguments):
    program, targets, _ = _prepared(tg.function(inputs, outputs), arguments)
    return plan_of(program, targets, rows.is_known, launched=True).steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_and_their_gradients_go_through_rows_once(dtype):
    x, y = T.matrix("x", dtype=dtype), T.ivector("y")
    values, classes = np.zeros((4000, 300), dtype), np.zeros(4000, "int32")
    p = T.nnet.softmax(x)
    for cost in (
        -T.mean(T.log(p)[T.arange(y.shape[0]), y]),
        T.nnet.categorical_crossentropy(p, y).mean(),
        T.nnet.categorical_crossentropy(p, y).sum(),
    ):
        rowwise, _ = _steps([x, y], [cost, tg.grad(cost, x)], values, classes)
        assert len(rowwise.nest.stores) == 2
        assert sum(o.role == "load" and any(s) for o, s in zip(rowwise.operands, rowwise.strides, strict=True)) == 2
    mean = x.mean(axis=1, keepdims=True)
    normed = (x - mean) / T.sqrt(T.sqr(x - mean).mean(axis=1, keepdims=True) + 1e-5)
    for out in (p, T.nnet.logsoftmax(x), T.logsumexp(x, axis=1), normed):
        assert len(_steps([x], [out], values)) == 1
    t = T.matrix("t", dtype=dtype)
    for out, most in ((p, 1), (T.nnet.logsoftmax(x), 2), (normed, 1)):
        assert len(_steps([x, t], [out, *tg.grad(None, [x], known_grads={out: t})], values, values)) <= most


@needs_gpp
def test_turns_give_the_same_bits_as_launches(monkeypatch):
    program, targets, values = _prepared(*built("windows", "float32"))
    device, several = Emulator(), Emulator()
    found = CudaExecutable(program, targets, device)(_copies(values))
    monkeypatch.setattr(kernel, "_BLOCKS", 1 << 30)
    wanted = CudaExecutable(program, targets, several)(_copies(values))
    assert len(device.launches) < len(several.launches)
    for have, want in zip(found, wanted, strict=True):
        assert np.asarray(have).tobytes() == np.asarray(want).tobytes()


def test_updates_of_many_parameters_are_few_launches():
    """Of 40 parameters, whose updates are 4 nests of the same form for each, or parts of some."""
    plan = _plan("optimizers", "float32")
    (segment,) = Segments(plan).all
    nests = [nest for step in plan.steps for nest in parts(step)]
    assert len(nests) > 40
    assert len(segment.steps) <= 3
    assert sum(len(step.calls) for step in segment.steps if isinstance(step, Batch)) >= len(nests) - 1


@settings(max_examples=FEW, suppress_health_check=SLOW)
@given(program=programs(most=15))
def test_plans_of_random_programs_keep_their_rules(program):
    inputs, _, outputs, updates, calls = program.build()[:5]
    function = tg.function(inputs, outputs, updates=updates, on_unused_input="ignore")
    try:
        prepared = _prepared(function, calls[0])[:2]
    except TinygraphError:
        return  # a program that refuses its arguments
    verify_plan(plan_of(*prepared, rows.is_known, launched=True))


def _launched(plan):
    """How many launches a plan takes, products among them."""
    found = Segments(plan)

    def count(step):
        if isinstance(step, Rounds):
            return step.count * sum(map(count, step.body))
        if isinstance(step, Batch):
            several = found.together[id(step)]
            inside = {i for each in several for i in each.places}
            return len(several) + sum(count(call) for i, call in enumerate(step.calls) if i not in inside)
        return 1 if isinstance(step, Product) else len(found.launches[id(step)])

    return sum(map(count, plan.steps))


@pytest.mark.parametrize(("batch", "most"), [(128, 40), (4096, 80)])
def test_a_step_of_lenet_takes_few_launches(batch, most):
    """Nothing grows with the images but the memory of a launch."""
    rng = np.random.default_rng(0)
    shapes = [(20, 1, 5, 5), (20,), (50, 20, 5, 5), (50,), (800, 500), (500, 10)]
    x, y = T.tensor4("x", dtype="float32"), T.ivector("y")
    parameters = [tg.shared((0.1 * rng.standard_normal(shape)).astype("float32")) for shape in shapes]
    h = x
    for w, b in (parameters[:2], parameters[2:4]):
        h = T.tanh(pool_2d(T.nnet.conv2d(h, w), (2, 2), ignore_border=True) + b.dimshuffle("x", 0, "x", "x"))
    h = T.tanh(T.dot(h.flatten(2), parameters[4]))
    cost = T.nnet.categorical_crossentropy(T.nnet.softmax(T.dot(h, parameters[5])), y).mean()
    function = tg.function([x, y], cost, updates=optim.sgd(cost, parameters, 0.1))
    values = np.zeros((batch, 1, 28, 28), "float32"), np.zeros(batch, "int32")
    program, targets, _ = _prepared(function, values)
    assert _launched(plan_of(program, targets, rows.is_known, launched=True)) <= most


@pytest.mark.parametrize(("rows_", "columns", "least"), [(16384, 10, 32), (10**6, 3, 1000), (16384, 512, 500)])
def test_sums_over_rows_have_many_blocks(rows_, columns, least):
    """And in each block most threads have a column."""
    (first, *_), *_ = (
        found for found in Segments(_sum_plan((rows_, columns))).launches.values() if found[0].kernel.form == "columns"
    )
    assert first.blocks >= least
    assert first.kernel.tile < 2 * max(columns, 4)
    assert first.kernel.threads >= 128


def _sum_plan(shape):
    x = T.matrix("x", dtype="float32")
    program, targets, _ = _prepared(tg.function([x], x.sum(axis=0)), (np.zeros(shape, "float32"),))
    return plan_of(program, targets, rows.is_known, launched=True)


def test_a_sum_of_everything_is_made_in_two_stages():
    x = T.vector("x", dtype="float32")
    function = tg.function([x], x.sum())
    program, targets, _ = _prepared(function, (np.zeros(10**8, "float32"),))
    launches = [
        found[0] for found in Segments(plan_of(program, targets, rows.is_known, launched=True)).launches.values()
    ]
    assert [launch.blocks > 1000 for launch in launches] == [True, False]
    assert launches[0].kernel.vector == 4
