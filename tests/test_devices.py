"""Backends with devices: where values live and functions run, what may not be mixed, what happens where kernels fail.

Most of it runs on a stand-in for CuPy, which proves where arrays are made and nothing about a GPU.
"""

import importlib.util
import pickle

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tests.cuda import standin
from tests.cuda.emulator import GPP, Emulator
from tests.test_dlpack import Foreign
from tinygraph import arrays, compiling, probes
from tinygraph.backends import ReferenceExecutable
from tinygraph.backends.cuda.executable import CudaExecutable
from tinygraph.errors import BackendError, InputError, OutOfMemoryError
from tinygraph.tensor.shared_randomstreams import RandomStreams

pytestmark = pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
needs_gpp = pytest.mark.skipif(GPP is None, reason="g++ is not installed: no kernel was executed on the CPU")


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in; functions are interpreted."""
    with tg.config.change_flags(linker="reference"):
        yield standin.install(monkeypatch)


def _step(backend):
    """A training step with everything that makes arrays: rules with memory, random numbers, constants."""
    x = T.dmatrix("x")
    w = tg.shared(np.full((3, 2), 0.5), "w", backend=backend)
    noise = RandomStreams(3).uniform((2,), dtype="float64")
    cost = (T.tanh(x.dot(w) + noise + np.arange(2.0)) ** 2).sum()
    updates = tg.optim.adam(cost, [w], learning_rate=0.1)
    return tg.function([x], [cost, w], updates=updates, backend=backend), w


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_device_has_an_array_module(cupy):
    assert arrays.get("cupy") is arrays.get("cupy:0")
    assert [arrays.get(n).backend for n in ("numpy", "cupy", "cupy:1")] == ["numpy", "cupy", "cupy:1"]
    assert [arrays.get(n).number for n in ("numpy", "cupy", "cupy:1")] == [None, 0, 1]
    assert [arrays.get(n).name for n in ("numpy", "cupy", "cupy:1")] == ["numpy", "cupy", "cupy"]
    with standin.Device(1):
        assert arrays.module_of(cupy.ones(2)) is arrays.get("cupy:1")


def test_a_device_that_is_not_there(cupy):
    with pytest.raises(BackendError, match="no device 2") as caught:
        tg.shared(0.0, backend="cupy:2")
    assert caught.value.expected == "'cupy' to 'cupy:1'"
    with pytest.raises(BackendError, match="no backend 'cupy:one'"):
        tg.shared(0.0, backend="cupy:one")


# --- where things are -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cupy", "cupy:1"])
@pytest.mark.parametrize("current", [0, 1])
def test_everything_is_on_the_device_that_was_chosen(cupy, backend, current):
    number = arrays.get(backend).number
    given = np.arange(6.0).reshape(2, 3)
    with standin.Device(current), tg.config.change_flags(backend=backend):
        f, w = _step(None)
        results = [f(given) for _ in range(3)]
        assert f.backend == w.backend == backend
        for variable in f.get_shared():
            assert isinstance(variable.container.value, standin.Array)
            assert variable.container.value.number == number
        for result in results[-1]:
            assert isinstance(result, standin.Array)
            assert result.number == number
        assert w.get_value(return_internal_type=True).number == number
        assert w.clone_with_value().container.value.number == number
        w.set_value(np.ones((3, 2)))
        assert w.container.value.number == number
    assert standin.Device().id == 0
    with tg.config.change_flags(backend="numpy"):
        on_host, _ = _step(None)
        wanted = [on_host(given) for _ in range(3)]
    for have, want in zip(results, wanted, strict=True):
        for found, right in zip(have, want, strict=True):
            np.testing.assert_allclose(found.get(), right, rtol=1e-12)


def test_two_devices_at_once(cupy):
    made = []
    for backend in ("cupy", "cupy:1"):
        with tg.config.change_flags(backend=backend):
            made.append(_step(None))
    (f, v), (g, w) = made
    given = np.ones((2, 3))
    for _ in range(3):
        first, second = f(given), g(given)
    assert (first[0].number, second[0].number) == (0, 1)
    assert (v.container.value.number, w.container.value.number) == (0, 1)


def test_what_was_pickled_comes_back_where_it_was(cupy):
    x = T.dvector("x")
    w = tg.shared(np.ones(2), backend="cupy:1")
    f = pickle.loads(pickle.dumps(tg.function([x], x * w, backend="cupy:1")))
    assert f.backend == "cupy:1"


# --- mixing -----------------------------------------------------------------------------------------------------------


def test_states_and_functions_of_two_devices_do_not_mix(cupy):
    w = tg.shared(np.ones(2), "w", backend="cupy:1")
    with pytest.raises(BackendError, match="shared variable w lives on cupy:1, the function runs on cupy") as caught:
        tg.function([], w * 2, backend="cupy:0")
    assert "backend='cupy'" in caught.value.hint


def test_arguments_of_another_device_are_refused(cupy):
    x = T.dvector("x")
    f, g = tg.function([x], x * 2, backend="cupy:1"), tg.function([x], x * 2, backend="numpy")
    theirs = cupy.ones(2)
    with pytest.raises(InputError, match="input 0 'x' of the function: the Array is on another device") as caught:
        f(theirs)
    assert caught.value.expected == "the host's memory, or that of device 1"
    assert caught.value.actual == "a CUDA device, number 0"
    with pytest.raises(InputError, match="is on another device") as caught:
        g(theirs)
    assert "x.get() in CuPy" in caught.value.hint
    assert "backend='cupy'" in caught.value.hint
    for wrong in (lambda: tg.shared(theirs, backend="cupy:1"), lambda: tg.shared(theirs, backend="numpy")):
        with pytest.raises(InputError, match="is on another device"):
            wrong()
    with standin.Device(1):
        mine = cupy.ones(2)
    np.testing.assert_array_equal(f(mine).get(), [2, 2])


def test_tensors_of_the_same_device_are_not_copied(cupy):
    with standin.Device(1):
        theirs = cupy.ones(2)
    xp = arrays.get("cupy:1")
    assert xp.taken(Foreign(theirs, (2, 1))) is theirs
    w = tg.shared(Foreign(theirs, (2, 1)), backend="cupy:1")
    tg.function([], updates=[(w, w + 1)], backend="cupy:1")()
    np.testing.assert_array_equal(theirs.get(), [1, 1])
    np.testing.assert_array_equal(w.get_value(), [2, 2])


def test_constants_may_come_from_a_device(cupy):
    x = T.dvector("x")
    f = tg.function([x], x * cupy.asarray(np.arange(2.0)), backend="cupy")
    np.testing.assert_array_equal(f([1.0, 1.0]).get(), [0, 1])


def test_results_as_they_are_asked_for(cupy):
    x = T.dvector("x")
    f, g = tg.function([x], x * 2, backend="cupy:1"), tg.function([x], x * 2, backend="numpy")
    there, here = f([1.0], as_="numpy"), g([1.0], as_="cupy")
    assert (type(there), type(here), here.number) == (np.ndarray, standin.Array, 0)
    assert f([1.0], as_="cupy").number == 1
    assert f([1.0], as_="dlpack").__dlpack_device__() == (2, 1)
    assert type(g([1.0], as_="dlpack")) is np.ndarray


# --- kernels, as g++ compiles them ------------------------------------------------------------------------------------


class Emulated(Emulator):
    """The emulated device with arrays of the stand-in."""

    backend = "cupy"

    def empty(self, shape, dtype):
        return standin.Array(super().empty(shape, dtype))

    def holds(self, value):
        return isinstance(value, standin.Array)

    def copy(self, source, target):
        np.copyto(target.host, source.host if self.holds(source) else source)


class Refusing(Emulated):
    """Launches go wrong from some launch on."""

    def __init__(self, after=0):
        super().__init__()
        self.after = after

    def launch(self, function, launch, arguments):
        if len(self.launches) >= self.after:
            raise BackendError("CUDA could not launch a kernel: no such thing")
        super().launch(function, launch, arguments)


class Lost(Emulated):
    """What was wrong shows when everything has run."""

    def wait(self):
        raise RuntimeError("no such thing")


class Full(Emulated):
    """There is room for so many bytes."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def empty(self, shape, dtype):
        self.room -= int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self.room < 0:
            raise MemoryError("Out of memory allocating 1,000 bytes")
        return super().empty(shape, dtype)


@pytest.fixture
def device(cupy, monkeypatch):
    """Functions on CuPy run on the emulated device that is put into this list."""
    devices = [Emulated()]
    monkeypatch.setattr(
        compiling, "cuda_backend", lambda: lambda program, targets: CudaExecutable(program, targets, devices[-1])
    )
    with tg.config.change_flags(linker="native", backend="cupy"):
        yield devices


def _trained(name="w"):
    x = T.dmatrix("x")
    w = tg.shared(np.full((3, 2), 0.5), name)
    cost = (T.tanh(x.dot(w)) ** 2).sum()
    return tg.function([x], cost, updates=[(w, w - 0.1 * tg.grad(cost, w))], name="train"), w


@needs_gpp
def test_kernels_run_by_default_on_cupy(device):
    f, w = _trained()
    with tg.config.change_flags(linker="reference"):
        g, v = _trained()
    given = np.arange(6.0).reshape(2, 3)
    for _ in range(4):
        assert float(f(given)) == pytest.approx(float(g(given)), rel=1e-12)
    np.testing.assert_allclose(w.get_value(), v.get_value(), rtol=1e-12)
    made = f.stats()[-1].executable
    assert isinstance(made.executable, CudaExecutable)
    assert made.stats()["replayed"] > 0
    assert made.stats()["not compiled"] == ""
    assert isinstance(g.stats()[-1].executable, ReferenceExecutable)


@needs_gpp
def test_kernels_run_on_the_device_that_was_chosen(device):
    device[0].backend = "cupy:1"
    with tg.config.change_flags(backend="cupy:1"):
        f, w = _trained()
    for _ in range(2):
        assert f(np.ones((2, 3))).number == 1
    assert w.container.value.number == 1
    assert isinstance(f.stats()[-1].executable.executable, CudaExecutable)


@needs_gpp
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NanGuardMode", "DebugMode"])
def test_modes_on_cupy(device, mode):
    x = T.dvector("x")
    f = tg.function([x], (x * 2).sum(), mode=mode)
    assert float(f([1.0, 2.0])) == 6
    profiled = tg.function([x], (x * 2).sum(), profile=True)
    assert float(profiled([1.0, 2.0])) == 6
    assert profiled.profile.calls == 1


@needs_gpp
@pytest.mark.parametrize("make", [lambda: Refusing(0), lambda: Refusing(1), Lost], ids=["first", "second", "late"])
def test_kernels_that_do_not_run_are_replaced_and_nothing_is_lost(device, make):
    given = np.arange(6.0).reshape(2, 3)
    device.append(make())
    f, w = _trained()
    with tg.config.change_flags(linker="reference"):
        g, v = _trained()
    with pytest.warns(UserWarning, match="do not run .*no such thing"):
        first = f(given)
    assert float(first) == pytest.approx(float(g(given)), rel=1e-12)
    for _ in range(3):
        assert float(f(given)) == pytest.approx(float(g(given)), rel=1e-12)
    np.testing.assert_allclose(w.get_value(), v.get_value(), rtol=1e-12)
    assert "no such thing" in f.stats()[-1].executable.stats()["not compiled"]
    assert isinstance(f.stats()[-1].executable.executable, ReferenceExecutable)


def test_what_cannot_be_compiled_is_interpreted(cupy, monkeypatch):
    def refuse():
        raise BackendError("NVRTC cannot be loaded")

    monkeypatch.setattr(compiling, "cuda_backend", refuse)
    with tg.config.change_flags(linker="native", backend="cupy"):
        f, _ = _trained()
        with pytest.warns(UserWarning, match="no kernels for cupy.*NVRTC cannot be loaded.*doctor"):
            f(np.ones((2, 3)))
    assert isinstance(f.stats()[-1].executable, ReferenceExecutable)


@needs_gpp
def test_the_doctor_tries_kernels(device):
    with tg.config.change_flags(linker="reference", backend="numpy"):
        assert "three training steps are NumPy's" in probes.probe_kernels()["kernels"]
        device.append(Refusing())
        with pytest.raises(UserWarning, match="no such thing"):
            probes.probe_kernels()

        class Idle(Emulated):
            def launch(self, function, launch, arguments):
                pass

        device.append(Idle())
        with pytest.raises(RuntimeError, match="differ from NumPy's"):
            probes.probe_kernels()


class Refused(tg.Op):
    """An operation of a user's, which raises what kernels that do not run raise, too."""

    def infer(self, x):
        return x.type

    def compute(self, xp, x):
        raise RuntimeError("no such number")


@needs_gpp
def test_an_operation_that_fails_is_no_fault_of_the_kernels(device):
    """An index out of bounds, and what an operation by itself raises, come through; nothing changes or is replaced."""
    i, x = T.lvector("i"), T.dvector("x")
    w = tg.shared(np.ones((2, 2)), "w")
    f = tg.function([i], w[i].sum(), updates=[(w, w * 2)])
    g = tg.function([x], Refused()(x * 2).sum(), updates=[(w, w * 2)])
    for h, given, error in ((f, [5], IndexError), (g, [1.0], RuntimeError)):
        for _ in range(2):
            with pytest.raises(error):
                h(given)
            np.testing.assert_array_equal(w.get_value(), np.ones((2, 2)))
        assert isinstance(h.stats()[-1].executable.executable, CudaExecutable)


@needs_gpp
def test_arguments_of_the_host_land_where_they_did_before(device):
    """Large ones, too: the graph that was captured stays good."""
    x = T.dmatrix("x")
    f = tg.function([x], (x * 2).sum(axis=0))
    for i in range(4):
        np.testing.assert_array_equal(f(np.full((50_000, 4), float(i)), as_="numpy"), [100_000.0 * i] * 4)
    stats = f.stats()[-1].executable.stats()
    assert (stats["launched"], stats["captured"], stats["replayed"]) == (1, 1, 3)


@needs_gpp
def test_values_are_set_where_they_were(device):
    """The captured step stays good; values of other shapes, and borrowed ones, take the place of the old one."""
    x = T.dvector("x")
    w = tg.shared(np.zeros(3), "w")
    f = tg.function([x], (x * w).sum())
    for i in range(4):
        w.set_value(np.full(3, float(i)))
        assert float(f(np.ones(3))) == 3 * i
    assert f.stats()[-1].executable.stats()["replayed"] == 3
    held = w.container.value
    w.set_value(np.ones(2))
    assert w.container.value is not held
    mine = arrays.get("cupy").asarray(np.ones(2))
    w.set_value(mine, borrow=True)
    assert np.shares_memory(w.container.value.host, mine.host)
    w.set_value(np.zeros(2))
    np.testing.assert_array_equal(mine.get(), np.zeros(2))


# --- memory -----------------------------------------------------------------------------------------------------------


@needs_gpp
@pytest.mark.parametrize("room", [0, 100, 3_000, 9_000, 40_000])
def test_memory_that_does_not_suffice(device, room):
    x = T.dmatrix("x")
    w = tg.shared(np.ones((20, 20)), "w")
    f = tg.function([x], T.tanh(x.dot(w)).dot(w), updates=[(w, w + 1)])
    device.append(Full(room))
    states = [w.get_value()]
    for _ in range(2):
        with pytest.raises(OutOfMemoryError, match="memory does not suffice") as caught:
            _called_until_it_fails(f, w, states)
        np.testing.assert_array_equal(w.get_value(), states[-1])
    text = str(caught.value)
    assert "Out of memory allocating 1,000 bytes" in text
    assert "for temporaries" in text
    assert "8 kB  matmul : float64 (50, 20)" in text
    assert "test_devices.py:" in text
    assert isinstance(caught.value, BackendError)
    assert isinstance(caught.value, MemoryError)


def _called_until_it_fails(f, w, states):
    for _ in range(30):
        f(np.ones((50, 20)))
        states.append(w.get_value())


@pytest.mark.parametrize("linker", ["native", "reference"])
def test_memory_of_the_host_that_does_not_suffice(linker):
    x = T.dvector("x")
    w = tg.shared(np.ones(2), "w")
    with tg.config.change_flags(linker=linker):
        f = tg.function([x], T.tanh(T.outer(x, x)).sum(axis=0) + T.outer(x, x)[0], updates=[(w, w + 1)])
    f(np.ones(4))
    for _ in range(2):
        with pytest.raises(OutOfMemoryError, match="memory does not suffice") as caught:
            f(np.ones(10_000_000))
        np.testing.assert_array_equal(w.get_value(), [2, 2])
    assert "800 TB" in str(caught.value)
    assert "test_devices.py:" in str(caught.value)
    assert f(np.ones(4)).shape == (4,)
