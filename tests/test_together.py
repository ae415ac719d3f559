"""Steps in another order: whatever it is, each step reads what it read before."""

from hypothesis import given
from hypothesis import strategies as st

from tinygraph.program.nested import NestCall
from tinygraph.program.steps import Batch, Call
from tinygraph.program.together import gathered

STORAGES = st.lists(st.integers(0, 5), max_size=3)


def _history(steps, reads, writes):
    """For each step who wrote last to each storage that it reads; and the last to write to each storage."""
    last, seen = {}, {}
    for step in steps:
        seen[id(step)] = [last.get(k) for k in reads(step)]
        last |= dict.fromkeys(writes(step), id(step))
    return seen, last


@given(st.lists(st.tuples(st.booleans(), STORAGES, STORAGES), max_size=14))
def test_no_step_passes_one_that_it_depends_on(described):
    steps = [NestCall(None, [], (1,), []) if nest else Call(0, []) for nest, _, _ in described]
    known = {id(step): row for step, row in zip(steps, described, strict=True)}

    def reads(step):
        return known[id(step)][1]

    def writes(step):
        return known[id(step)][2]

    order = gathered(steps, reads, writes)
    flat = [nest for step in order for nest in (step.calls if isinstance(step, Batch) else [step])]
    assert sorted(map(id, flat)) == sorted(map(id, steps))
    assert _history(flat, reads, writes) == _history(steps, reads, writes)
    for batch in (step for step in order if isinstance(step, Batch)):
        assert len(batch.calls) > 1
        for nest in batch.calls:
            others = {k for other in batch.calls if other is not nest for k in (*reads(other), *writes(other))}
            assert others.isdisjoint(writes(nest))


def test_nests_wait_for_one_another():
    """Nests between steps of another kind, each of which makes what the next nest reads: all of them at the end."""
    steps = [NestCall(None, [], (1,), []) if i % 2 else Call(0, []) for i in range(10)]
    place = {id(step): i for i, step in enumerate(steps)}
    order = gathered(steps, lambda s: [place[id(s)] - 1] if place[id(s)] % 2 else [], lambda s: [place[id(s)]])
    assert order[:5] == steps[::2]
    assert order[5].calls == steps[1::2]


def test_large_nests_stay_where_they_are():
    steps = [NestCall(None, [], (1 << 24,), []), Call(0, []), NestCall(None, [], (1 << 24,), [])]
    assert gathered(steps, lambda s: [], lambda s: []) == steps
