"""Long bodies in stages compute the same bits as in one go, whatever is stored, reduced or overwritten."""

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.backends.native import kernels, stages

STEPS = {
    "tanh": T.tanh,
    "exp": lambda x: T.exp(-abs(x)),
    "sigmoid": T.nnet.sigmoid,
    "log1p": lambda x: T.log1p(abs(x)),
    "square": lambda x: x * x,
    "quotient": lambda x: x / (1 + x * x),
    "sin": T.sin,
}
LENGTHS = st.sampled_from([1, 7, 8, 255, 256, 257, 300, 1100])


@st.composite
def _bodies(draw):
    """What to do with the values so far, as (step, operand, other operand)."""
    count = draw(st.integers(3, 9))
    return [
        (draw(st.sampled_from(sorted(STEPS))), draw(st.integers(0, i)), draw(st.integers(0, i))) for i in range(count)
    ]


def _function(body, sums, dtype, rows, length):
    x = tg.shared(np.random.default_rng(0).standard_normal((rows, length)).astype(dtype), "x")
    b = tg.shared(np.random.default_rng(1).standard_normal(length).astype(dtype), "b")
    values = [x + b]
    for name, i, j in body:
        values.append(STEPS[name](values[i]) + values[j])
    outputs = [values[-1] * 2, values[-1].sum(axis=-1), values[len(values) // 2].max(axis=-1)]
    if sums:  # what a row is scaled by needs a second pass over it
        outputs.append(values[-1] / (1 + abs(values[-2]).sum(axis=-1, keepdims=True)))
    return tg.function([], outputs, updates=[(x, values[-1] + x)]), x


@settings(deadline=None)
@given(_bodies(), st.booleans(), st.sampled_from(["float32", "float64"]), st.integers(1, 3), LENGTHS)
def test_stages_compute_the_same_bits(body, sums, dtype, rows, length):
    found, cut = [], []
    for whole in (10**9, 0):
        with mock.patch.object(stages, "_WHOLE", whole), mock.patch.object(kernels, "_known", {}):
            f, x = _function(body, sums, dtype, rows, length)
            results = [f(), f()]
            plan = f.stats()[-1].executable.plan
            nests = [s.nest for s in plan.steps if hasattr(s, "nest")]
            cut.append(max(len(stages.stages(n, k)) for n in nests for k in range(n.schedule.passes)))
        found.append([*results[0], *results[1], x.get_value()])
    assert cut[0] == 1
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_of_functions_is_cut():
    x = T.fvector()
    f = tg.function([x], T.tanh(T.exp(T.tanh(T.sin(x) + x) + x)).sum())
    f(np.zeros(5, "float32"))
    nest = f.stats()[-1].executable.plan.steps[0].nest
    steps = stages.stages(nest, 0)
    assert len(steps) == 4
    assert [step.last for step in steps] == [False, False, False, True]
    assert sorted(n for step in steps for n in step.left) == sorted({n for step in steps for n in step.taken})
