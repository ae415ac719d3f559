"""Random programs: every way of compiling gives the same, and the checker finds what does not.

``TINYGRAPH_FUZZ=10000`` checks that many programs; without it, how many follows from the Hypothesis profile.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

import tinygraph as tg
from tinygraph.function import Function
from tinygraph.rewrite import RULES, Rules
from tinygraph.testing.agreement import WAYS, DisagreementError, Way, check_program
from tinygraph.testing.programs import programs
from tinygraph.testing.rounding import expected
from tinygraph.testing.script import Input, Program, State, Step, array_text
from tinygraph.testing.steps import KINDS

#: How many programs are checked.
EXAMPLES = int(os.environ.get("TINYGRAPH_FUZZ", "") or 2 * settings().max_examples)
#: The checks of special programs get a smaller number.
FEWER = max(1, EXAMPLES // 5)
REFERENCE = Way("reference", flags={"linker": "reference"})
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=EXAMPLES, suppress_health_check=SLOW)
@given(programs())
def test_ways_of_compiling_agree(program):
    check_program(program)


@settings(max_examples=FEWER, suppress_health_check=SLOW)
@given(programs(most=6, special=True, kinds=("unary", "binary", "reduce", "row", "switch", "compare")))
def test_ways_of_compiling_agree_at_special_values(program):
    check_program(program)


@settings(max_examples=FEWER, suppress_health_check=SLOW)
@given(
    programs(most=8, kinds=("unary", "binary", "slice", "reshape", "shuffle", "join", "gather", "write"), special=False)
)
def test_ways_of_compiling_agree_on_layouts(program):
    check_program(program)


@settings(max_examples=FEWER, suppress_health_check=SLOW)
@given(
    programs(most=6, kinds=("unary", "product", "loop", "recurrence", "gradient", "dropout", "choice"), special=False)
)
def test_ways_of_compiling_agree_on_loops(program):
    check_program(program)


# --- the checker, checked ---------------------------------------------------------------------------------------------


def _executes(script):
    exec(compile(script, "<script>", "exec"), {"__name__": "script"})


def _smallest(strategy, ways=WAYS):
    """The smallest program that fails, as Hypothesis finds it, and how it fails."""

    def fails(program):
        try:
            check_program(program, ways)
        except DisagreementError:
            return True
        return False

    quick = settings(max_examples=500, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink))
    program = find(strategy, fails, settings=settings(quick, deadline=None, suppress_health_check=list(HealthCheck)))
    with pytest.raises(DisagreementError) as caught:
        check_program(program, ways)
    return program, caught.value


def test_a_wrong_rule_is_found(monkeypatch):
    wrong = Rules()

    @wrong.on("tanh")
    def tanh_is_the_identity(node):
        return node.inputs[0]

    with monkeypatch.context() as patch:
        patch.setattr("tinygraph.rewrite.RULES", Rules(RULES, wrong))
        program, error = _smallest(programs(most=4, kinds=("unary",), gradients=False), [WAYS[0], REFERENCE])
        assert error.way.label == "reference"
        assert [step.text for step in program.steps] == ["T.tanh(x0)"]
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            _executes(error.script)
    _executes(error.script)
    check_program(program, [REFERENCE])


class Faults:
    """Faults of kinds that compiled code has, each put behind a function's call: arguments and results come in."""

    @staticmethod
    def forgets_the_last(f, arguments, results):
        for r in results:
            if r.size > 4 and r.dtype.kind == "f" and r.flags.writeable:
                r[(-1,) * r.ndim] = 0
        return results

    @staticmethod
    def rounds(f, arguments, results):
        return [r.astype("float32").astype(r.dtype) if r.dtype == "float64" else r for r in results]

    @staticmethod
    def widens(f, arguments, results):
        return [r.astype("float64") if r.dtype == "float32" else r for r in results]

    @staticmethod
    def reuses_results(f, arguments, results):
        kept = f.__dict__.setdefault("_kept", {})
        for i, r in enumerate(results):
            kept.setdefault((i, r.shape), r)[...] = r
        return [kept[i, r.shape] for i, r in enumerate(results)]

    @staticmethod
    def writes_to_arguments(f, arguments, results):
        for x in arguments:
            if x.flags.writeable:
                x[...] = 0
        return results

    @staticmethod
    def hands_out_arguments(f, arguments, results):
        return [next((x for x in arguments if np.array_equal(x, r)), r) for r in results]

    @staticmethod
    def hands_out_states(f, arguments, results):
        return [f.get_shared()[0].get_value(borrow=True), *results[1:]] if f.get_shared() else results

    @staticmethod
    def one_array_for_two(f, arguments, results):
        return [next(x for x in results if np.array_equal(x, r, equal_nan=r.dtype.kind == "f")) for r in results]

    @staticmethod
    def misses_nan(f, arguments, results):
        return [np.where(np.isnan(r), 1, r).astype(r.dtype) if r.dtype.kind == "f" else r for r in results]

    @staticmethod
    def raises_after_a_change(f, arguments, results):
        if results is None:
            for p in f.get_shared():
                p.set_value(1 - p.get_value())
        return results

    @staticmethod
    def loses_an_update(f, arguments, results):
        if f.get_shared():
            f.get_shared()[-1].set_value(f.get_shared()[-1].get_value() * 0)
        return results


def _behind(fault, call):
    """``Function.__call__`` with a fault behind it, which gets None for the results where the call raises."""

    def faulty(self, *arguments):
        try:
            results = call(self, *arguments)
        except (IndexError, ValueError):
            fault(self, arguments, None)
            raise
        return fault(self, arguments, results)

    return faulty


FAULTS = {
    "forgets_the_last": "Not equal to tolerance",
    "rounds": "Not equal to tolerance",
    "widens": "float64",
    "reuses_results": "a later call wrote to earlier results|two results share memory",
    "writes_to_arguments": "a call wrote to its arguments",
    "hands_out_arguments": "a result shares memory with argument",
    "hands_out_states": "shares? memory|Not equal|wrote to earlier",
    "one_array_for_two": "two results share memory",
    "misses_nan": "Not equal",
    "raises_after_a_change": "a call that raised changed a state",
    "loses_an_update": "Not equal",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_executable_is_found(fault, monkeypatch):
    special = fault == "misses_nan"
    kinds = ("unary", "gather") if fault.startswith("raises") else ("unary", "binary")
    with monkeypatch.context() as patch:
        patch.setattr(Function, "__call__", _behind(getattr(Faults, fault), Function.__call__))
        program, error = _smallest(programs(most=3, special=special, kinds=kinds, gradients=False), [REFERENCE])
        assert len(program.steps) <= 2
        with pytest.raises(AssertionError, match=FAULTS[fault]):
            _executes(error.script)
    _executes(error.script)
    check_program(program, [REFERENCE])


# --- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of whole programs, for a note that nobody reads
def test_every_kind_of_step_is_drawn(kind):
    quick = settings(max_examples=500, derandomize=True, database=None, phases=(Phase.generate,), deadline=None)
    others = ("unary", "compare", "product", kind)
    find(
        programs(most=6, special=False, kinds=dict.fromkeys(others), gradients=False),
        lambda program: any(_MARKS[kind] in step.text for step in program.steps),
        settings=settings(quick, suppress_health_check=list(HealthCheck)),
    )


#: What a line of each kind holds.
_MARKS = {
    **{"unary": "T.tanh", "binary": "T.maximum", "compare": "T.isnan", "switch": "T.switch", "cast": "T.cast"},
    **{"reduce": "T.mean", "row": "T.nnet.softmax", "product": ".T", "shuffle": "dimshuffle", "reshape": "flatten"},
    **{"slice": "::-1", "gather": "T.arange", "write": "T.inc_subtensor", "join": "T.concatenate", "dropout": "srng"},
    **{"loop": "tg.scan", "recurrence": "tg.scan", "choice": "ifelse", "gradient": "tg.grad"},
}


# --- tolerances -------------------------------------------------------------------------------------------------------


def _program(text, dtype="float64", values=((1.0, 2.0),), states=(), updates=(), extra=()):
    calls = tuple(array_text(np.array(v, dtype)) for v in values)
    x = Input("x0", dtype, (None,), calls)
    return Program((x,), tuple(states), (*extra, Step(("v0",), text)), ("v0",), tuple(updates))


def _tolerances(program):
    built = program.build()
    return [[e.tolerance for e in call] for call in expected(built, built[4])]


def test_what_is_only_moved_must_be_equal():
    assert not _tolerances(_program("T.concatenate([x0[::-1], -x0, T.maximum(x0, 1.5)])"))[0][0].any()


def test_a_cancellation_widens_the_tolerance():
    ((plain,),) = _tolerances(_program("x0 * 3"))
    ((cancelled,),) = _tolerances(_program("(x0 * 3 + 1e6) - 1e6"))
    assert (plain < 3e-14).all()
    assert (plain > 0).all()
    assert (cancelled > 1e5 * plain).all()
    assert (cancelled < 1e-8).all()


def test_the_tolerance_follows_the_dtype():
    ((single,),) = _tolerances(_program("T.exp(x0)", "float32"))
    ((double,),) = _tolerances(_program("T.exp(x0)", "float64"))
    assert (single > 1e8 * double).all()
    assert (single < 1e-4).all()


def test_nothing_is_said_at_the_edge_of_a_comparison():
    values = ((0.1, 0.2, 0.5),)
    ((edge,),) = _tolerances(_program("T.cast(x0 * 3 > 0.1 * 3, 'float64')", values=values))
    assert edge[0] > 1
    assert not edge[1:].any()
    ((given_numbers,),) = _tolerances(_program("T.cast(x0 > 0.1, 'float64')", values=values))
    assert given_numbers.tolist() == [0, 0, 0]


def test_a_sum_that_overflows_in_one_order_only_is_not_judged():
    ((tolerance,),) = _tolerances(_program("T.sum(x0)", values=((1.5e308, 1.5e308, -1.5e308, -1.5e308),)))
    assert np.isinf(tolerance)


def test_errors_add_up_over_calls():
    update = Step(("v1",), "T.sin(p0 * 1.5) + 1")
    program = _program(
        "p0 + x0", values=((1.0,),) * 3, states=[State("p0", "np.array([0.3])")], updates=[("p0", "v1")], extra=[update]
    )
    tolerances = [call[1] for call in _tolerances(program)]
    assert tolerances[0] > 0
    assert tolerances[2] > tolerances[0]


def test_a_better_formula_may_give_a_number():
    overflows = _program("T.log(1 + T.exp(x0))", values=((1000.0, 1.0),))
    check_program(overflows, [WAYS[0], REFERENCE])
    with pytest.raises(DisagreementError, match="as written"):
        check_program(overflows, [Way("as written, and wrong", {"mode": _Finite()})])


class _Finite:
    """A mode that hides infinities."""

    def runner(self, closed, executable):
        return lambda values: [np.full(r.shape, -1.0) for r in executable(values)]


def test_scripts_need_numpy_and_tinygraph_alone():
    program = _program("T.tanh(x0)")
    script = program.script({}, {"mode": "FAST_COMPILE"}, "assert len(results) == 2\n")
    assert [line for line in script.splitlines() if "import" in line] == [
        "import numpy as np, tinygraph as tg, tinygraph.tensor as T"
    ]
    _executes(script)
    assert tg.config.mode == "FAST_RUN"
