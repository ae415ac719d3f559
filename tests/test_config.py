"""Settings: Theano's names, the environment, test values and warnings of float64."""

import subprocess
import sys

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.config import Config, ConfigError, config
from tinygraph.errors import DtypeError, InputError, ShapeError, TinygraphError
from tinygraph.flags import IDLE
from tinygraph.graph import get_test_value
from tinygraph.graph.testvalues import MissingTestValueError


@pytest.fixture(autouse=True)
def _as_before():
    """Nothing that a test sets outlives it."""
    with config.change_flags():
        yield


def read(**environment):
    return Config(environment)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_flags_from_the_environment():
    made = read(
        TINYGRAPH_FLAGS=" floatX=float32, mode = FAST_COMPILE,exception_verbosity=low,", TINYGRAPH_BACKEND="cupy:1"
    )
    assert (made.floatX, made.mode, made.backend) == ("float32", "FAST_COMPILE", "cupy:1")
    assert read(TINYGRAPH_FLAGS="floatX=float32", TINYGRAPH_FLOATX="float16").floatX == "float16"
    assert read(TINYGRAPH_DEVICE="cpu").backend == "numpy"


def test_flags_reach_a_new_process():
    code = "import tinygraph as tg; print(tg.config.floatX, tg.config.mode)"
    environment = {"TINYGRAPH_FLAGS": "floatX=float32,optimizer=fast_compile"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.split() == ["float32", "FAST_COMPILE"]


@pytest.mark.parametrize(
    ("flags", "near"),
    [
        ("floatx=float32", "floatX"),
        ("exception_verbose=high", "exception_verbosity"),
        ("warn.rounding=True", "warn.round"),
        ("seterr_all=raise", "numpy.seterr_all"),
    ],
)
def test_unknown_flags_name_their_neighbours(flags, near):
    with pytest.raises(ConfigError) as err:
        read(TINYGRAPH_FLAGS=flags)
    assert near in err.value.hint


def test_flags_that_are_none():
    with pytest.raises(ConfigError) as err:
        read(TINYGRAPH_FLAGS="floatX")
    assert "sets nothing" in err.value.problem
    with pytest.raises(ConfigError):
        config.warn.no_such_thing = True
    with pytest.raises(ConfigError):
        print(config.no_such_thing)
    assert not hasattr(config, "no_such_thing")


# --- Theano's settings -----------------------------------------------------------------------------------------------


def test_the_device_is_the_backend():
    assert config.device == "cpu"
    for device in ("gpu", "cuda"):
        config.device = device
        assert (config.backend, config.device) == ("cupy", "cuda")
    for device in ("gpu12", "cuda12"):
        config.device = device
        assert (config.backend, config.device) == ("cupy:12", "cuda12")
    config.device = "cpu"
    assert config.backend == "numpy"
    for device in ("opencl0:0", "cuda1x", "cuda:1"):
        with pytest.raises(ConfigError):
            config.device = device


def test_backends_have_names():
    for backend in ("cupy", "cupy:0", "cupy:3", "numpy"):
        config.backend = backend
        assert config.backend == backend
    for backend in ("torch", "cupy:", "cupy:-1", "cupy:x", "numpy:1", ""):
        with pytest.raises(ConfigError, match=r"config\.backend cannot be"):
            config.backend = backend
    assert config.backend == "numpy"


def test_the_optimizer_is_the_mode():
    assert config.optimizer == "fast_run"
    for optimizer in ("fast_compile", "None", None):
        config.optimizer = "fast_run"
        config.optimizer = optimizer
        assert config.mode == "FAST_COMPILE"
    config.mode = "Mode"
    assert config.mode == "FAST_RUN"


def test_settings_without_meaning_warn_once_with_the_reason():
    own = read()
    with pytest.warns(UserWarning, match=r"gcc\.cxxflags has no effect: no C\+\+ compiler") as caught:
        own.gcc.cxxflags = "-O3"
    assert caught[0].filename == __file__
    own.gcc.cxxflags = "-O2"  # no second warning, which would be an error here
    assert own.gcc.cxxflags == ""


def test_settings_that_ask_for_what_happens_anyway_are_silent():
    config.warn.subtensor_merge_bug = False
    config.numpy.seterr_all = "ignore"
    config.int_division = "floatX"
    config.profile = False
    read(TINYGRAPH_FLAGS="profile=False,warn.round=0,allow_gc=True,on_opt_error=raise,lib.cnmem=0")


def test_every_idle_setting_can_be_read_and_set():
    own = read()
    for name, (value, _) in IDLE.items():
        assert own.get(name) == value
        own.set(name, value)
        holder = own
        for part in name.split("."):
            holder = getattr(holder, part)
        assert holder == value
    assert "round" in dir(own.warn)
    assert {"warn", "floatX", "device"} <= set(dir(own))


def test_change_flags_takes_names_with_dots_and_decorates():
    with config.change_flags({"warn.round": False, "floatX": "float32"}, mode="FAST_COMPILE"):
        assert (config.floatX, config.mode) == ("float32", "FAST_COMPILE")
    assert (config.floatX, config.mode) == ("float64", "FAST_RUN")

    @tg.config.change_flags(floatX="float16")
    def inside():
        return config.floatX

    assert inside() == "float16"
    assert config.floatX == "float64"


def test_long_messages():
    x = T.dvector("x")
    y = T.dmatrix("y")
    with pytest.raises(TinygraphError) as err:
        T.dot(x, y[:, :, None, None].reshape((3, 2)))[1, 1, 1]
    short = str(err.value)
    config.exception_verbosity = "high"
    assert str(err.value) == err.value.explain()
    config.exception_verbosity = "low"
    assert str(err.value) == short != err.value.explain()


def test_float64_is_reported_on_the_line_that_makes_it():
    x = T.fvector("x")
    config.warn_float64 = "warn"
    x * np.float32(2)
    with pytest.warns(UserWarning, match="warn_float64"):
        x * np.arange(3.0)
    config.warn_float64 = "raise"
    with pytest.raises(DtypeError, match=r"x \* np"):
        x * np.arange(3.0)


# --- test values -----------------------------------------------------------------------------------------------------


def with_value(variable, value):
    variable.tag.test_value = value
    return variable


def test_results_are_computed_on_their_lines():
    config.compute_test_value = "raise"
    x = with_value(T.dmatrix("x"), np.ones((2, 3)))
    w = tg.shared(np.full((3, 1), 2.0), "w")
    y = T.dot(x, w)
    np.testing.assert_array_equal(y.tag.test_value, [[6.0], [6.0]])
    assert get_test_value(y + 1).tolist() == [[7.0], [7.0]]
    gradient = tg.grad(y.sum(), w)
    np.testing.assert_array_equal((2 * gradient).tag.test_value, [[4.0]] * 3)
    np.testing.assert_array_equal(tg.function([x], y)(np.zeros((1, 3))), [[0.0]])


def test_a_wrong_shape_shows_on_its_line():
    config.compute_test_value = "raise"
    x = with_value(T.dmatrix("x"), np.ones((2, 3)))
    y = with_value(T.dmatrix("y"), np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"T\.dot\(x, y\)") as err:
        T.dot(x, y)
    assert "(2, 3)" in str(err.value)
    config.compute_test_value = "off"
    T.dot(x, y)


def test_a_failure_that_depends_on_values_shows_on_its_line():
    config.compute_test_value = "raise"
    i = with_value(T.lvector("i"), np.array([0, 7]))
    with pytest.raises(TinygraphError, match="out of bounds"):
        T.constant(np.arange(3))[i]


def test_missing_values():
    x = T.dscalar("x")
    config.compute_test_value = "raise"
    with pytest.raises(MissingTestValueError, match="x has no test value") as err:
        x + 1
    assert isinstance(err.value, AttributeError)
    config.compute_test_value = "warn"
    with pytest.warns(UserWarning, match="x has no test value"):
        y = x + 1
    config.compute_test_value = "ignore"
    assert not hasattr((y * 2).tag, "test_value")


def test_values_of_another_type():
    config.compute_test_value = "raise"
    x = with_value(T.fvector("x"), np.ones(3))
    with pytest.raises(DtypeError):
        x + 1
    x.tag.test_value = np.ones((3, 1), "float32")
    with pytest.raises(ShapeError):
        x + 1
    x.tag.test_value = [1, 2]
    assert (x + 1).tag.test_value.tolist() == [2.0, 3.0]
    assert isinstance(InputError("x"), TinygraphError)


def test_values_go_into_scan_and_out_again():
    config.compute_test_value = "raise"
    xs = with_value(T.dmatrix("xs"), np.ones((4, 2)))
    start = with_value(T.dvector("start"), np.zeros(2))
    out, _ = tg.scan(lambda x, s: s + 2 * x, sequences=xs, outputs_info=start)
    np.testing.assert_array_equal((out[-1] + 0).tag.test_value, [8.0, 8.0])
    gradient = tg.grad(out[-1].sum(), xs)
    np.testing.assert_array_equal((gradient + 0).tag.test_value, np.full((4, 2), 2.0))


def test_values_survive_cloning():
    x = with_value(T.dscalar("x"), 3.0)
    assert x.clone().tag.test_value == 3.0
    y = x + 1
    y.tag.mark = "here"
    assert tg.clone(y, {x: x * 2}).tag.mark == "here"
