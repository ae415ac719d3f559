"""CUDA: every kernel compiles for several architectures, and gives on a CPU what the reference backend gives.

Three rungs of a ladder, each skipped visibly where it cannot be had: NVRTC compiles, g++ executes, a GPU runs.
"""

import importlib.util
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tests.cuda import emulator
from tests.cuda.emulator import GPP, Emulator
from tests.cuda.graphs import GRAPHS, built
from tinygraph import arrays
from tinygraph.backends.cuda import kernel, module, nvrtc, rows
from tinygraph.backends.cuda.executable import CudaExecutable
from tinygraph.backends.cuda.kernel import _apart, launches_of
from tinygraph.backends.cuda.segments import Segments
from tinygraph.backends.reference import ReferenceExecutable
from tinygraph.errors import BackendError, TinygraphError
from tinygraph.function import Function
from tinygraph.ops.elementwise import ROWS, apply_row
from tinygraph.program.lowerings import plan_of
from tinygraph.tensor.shared_randomstreams import RandomStreams
from tinygraph.testing.agreement import Way, check_program
from tinygraph.testing.programs import programs
from tinygraph.types import TensorType

ARCHITECTURES = (80, 90, 100)
DTYPES = ("float32", "float64")
SLOW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]
FEW = max(1, settings().max_examples // 3)

needs_nvrtc = pytest.mark.skipif(
    not nvrtc.is_available(), reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc): no kernel was compiled"
)
needs_gpp = pytest.mark.skipif(GPP is None, reason="g++ is not installed: no kernel was executed on the CPU")


def _prepared(function, arguments):
    """Program, targets and values of a call."""
    known, values = function.prepared(*arguments)
    leaves = function._closed.leaves
    targets = [None] * len(function._closed.outputs) + [leaves.index(v) for v in function._closed.targets]
    return known.program, targets, values


def _plan(name, dtype):
    program, targets, _ = _prepared(*built(name, dtype))
    return plan_of(program, targets, rows.is_known, launched=True)


def _copies(values):
    return [v.copy() for v in values]


# --- NVRTC ------------------------------------------------------------------------------------------------------------


@needs_nvrtc
@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_all_kernels_compile(capability):
    if capability not in nvrtc.compiler().architectures():
        pytest.skip(f"NVRTC {nvrtc.compiler().version} does not compile for {capability}")
    plans = [_plan(name, dtype) for name in GRAPHS for dtype in (DTYPES if capability == 90 else DTYPES[:1])]
    kernels = list(dict.fromkeys(code for plan in plans for code in Segments(plan).kernels))
    assert {k.form for k in kernels} == {"map", "turns", "rows", "columns", "together", "scatter_few"}
    parts = [part for k in kernels for part in k.parts if isinstance(part, kernel.Kernel)]
    assert {k.form for k in parts} == {"map", "turns", "rows", "columns"}
    assert {k.vector for k in parts} >= {1, 2, 4}
    assert {k.held for k in parts if k.form == "rows"} == {True, False}
    assert nvrtc.compiler().compile(module.source_of(kernels), capability).startswith(b"\x7fELF")


@needs_nvrtc
def test_all_rows_compile():
    text, count = [rows.PRELUDE], 0
    for name, dtype in itertools.product(ROWS, rows.TYPE):
        if not rows.is_known(name, dtype):
            continue
        names = "abc"[: ROWS[name].arity]
        first = ["bool" if name == "switch" else rows.TYPE[dtype], *[rows.TYPE[dtype]] * 2]
        taken = ", ".join(f"{kind} *{x}_" for kind, x in zip(first, names, strict=False))
        loads = " ".join(f"{kind} {x} = *{x}_;" for kind, x in zip(first, names, strict=False))
        out = rows.TYPE["bool" if ROWS[name].dtypes in ("compare", "test") else dtype]
        text.append(f"__global__ void f{count}({out} *z, {taken}) {{ {loads} *z = {rows.row(name, dtype, *names)}; }}")
        count += 1
    assert count > 250
    nvrtc.compiler().compile("\n".join(text), 90)


@needs_nvrtc
@settings(max_examples=FEW, suppress_health_check=SLOW)
@given(programs(most=10), st.sampled_from(ARCHITECTURES))
def test_kernels_of_random_programs_compile(program, capability):
    inputs, _, outputs, updates, calls = program.build()[:5]
    function = tg.function(inputs, outputs, updates=updates, on_unused_input="ignore")
    try:
        plan = plan_of(*_prepared(function, calls[0])[:2], rows.is_known, launched=True)
    except TinygraphError:
        return  # a program that refuses its arguments
    kernels = Segments(plan).kernels
    if kernels:
        nvrtc.compiler().compile(module.source_of(kernels), capability)


@needs_nvrtc
def test_what_is_no_cuda_is_an_error_with_the_compilers_words():
    with pytest.raises(BackendError, match="NVRTC") as caught:
        nvrtc.compiler().compile("__global__ void f() { nonsense; }", 90)
    assert "nonsense" in str(caught.value.explain())


@needs_nvrtc
def test_machine_code_is_kept(tmp_path, monkeypatch):
    source = "__global__ void kept() {}"
    with tg.config.change_flags(cache_dir=str(tmp_path)):
        monkeypatch.setattr(module, "_binaries", {})
        code = module.binary(source, 90)
        monkeypatch.setattr(module, "_binaries", {})
        monkeypatch.setattr(nvrtc.Compiler, "compile", lambda *_: pytest.fail("compiled again"))
        assert module.binary(source, 90) == code
        with pytest.raises(pytest.fail.Exception):
            module.binary(source, 80)


@needs_nvrtc
def test_no_approximations():
    """Division and roots are rounded as IEEE 754 says, and denormals are numbers: none of the quick instructions."""
    source = module.source_of([]) + (
        'extern "C" __global__ void f(float *x) { x[0] = x[1] / x[2]; x[3] = sqrtf(x[4]); x[5] = x[6] * x[7] + x[8]; }'
    )
    options = [o for o in nvrtc.OPTIONS if o.startswith(("--ftz", "--prec", "--fmad"))]
    assert sorted(options) == ["--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"]
    assert nvrtc.compiler().compile(source, 90)


# --- on the CPU -------------------------------------------------------------------------------------------------------


def _close(found, wanted, dtype):
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        have, want = np.asarray(have), np.asarray(want)
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        if want.dtype.kind != "f":
            np.testing.assert_array_equal(have, want)
        else:
            scale = float(np.max(np.abs(want), initial=1e-3))
            np.testing.assert_allclose(have, want, rtol=0, atol=scale * (3e-5 if dtype == "float32" else 1e-11))


@needs_gpp
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_give_what_the_reference_gives(name, dtype):
    program, targets, values = _prepared(*built(name, dtype))
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    device = Emulator()
    executable = CudaExecutable(program, targets, device)
    for _ in range(2):
        _close(executable(_copies(values)), wanted, dtype)
    turned = CudaExecutable(program, targets, Emulator(backwards=True))(_copies(values))
    for have, want in zip(turned, executable(_copies(values)), strict=True):
        assert np.asarray(have).tobytes() == np.asarray(want).tobytes(), "results depend on the order of threads"
    assert device.launches


@needs_gpp
def test_many_arguments_lie_in_a_table(monkeypatch):
    monkeypatch.setattr(kernel, "_BY_VALUE", 0)
    monkeypatch.setattr(Emulator, "_libraries", {})
    program, targets, values = _prepared(*built("mlp", "float32"))
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    assert "*table" in module.source_of(Segments(_plan("mlp", "float32")).kernels)
    _close(CudaExecutable(program, targets, Emulator())(_copies(values)), wanted, "float32")


@needs_gpp
def test_kernels_of_every_form_were_executed():
    found = [launch for name in GRAPHS for _, made in launches_of(_plan(name, "float32")) for launch in made]
    launches = [launch.kernel for launch in found if launch.blocks]
    forms = {(k.form, k.held, k.vector > 1, k.group > 32) for k in launches}
    rowwise = {("rows", True, True, False), ("rows", True, False, True), ("rows", False, True, True)}
    assert (
        forms >= {("map", False, True, False), ("map", False, False, False), ("columns", False, False, False)} | rowwise
    )
    columns = [k for k in launches if k.form == "columns"]
    assert {k.group for k in columns} >= {1, 8, 16, 64}
    assert {k.tile for k in columns} >= {8, 32}
    assert {k.group for k in columns if k.nest.schedule.passes > 2} >= {1, 8, 16}


@settings(max_examples=4 * settings().max_examples)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([-3, 0, 1, 1, 2, 3, 4, 5, 12, 24])), min_size=1, max_size=4)
)
def test_places_that_are_written_several_times_are_apart(axes):
    """Boxes cover all places, and in none of them two places have one address."""
    extents, strides = zip(*axes, strict=True)
    sides = _apart(extents, strides)
    assert all(1 <= side <= n for side, n in zip(sides, extents, strict=True))
    places = np.stack(np.meshgrid(*map(range, sides), indexing="ij")).reshape(len(sides), -1)
    addresses = np.array(strides) @ places
    assert len(np.unique(addresses)) == len(addresses)


def _through(executables):
    """A function's way to compile: ``executables`` makes them."""

    def compiled(self, program):
        if self.mode == "FAST_COMPILE" or tg.config.linker == "reference":
            return ReferenceExecutable(program, self.backend)
        leaves = {v: i for i, v in enumerate(self._closed.leaves)}
        targets = [None] * len(self._closed.outputs) + [leaves.get(v) for v in self._closed.targets]
        return executables(program, targets)

    return compiled


@pytest.fixture
def emulated(monkeypatch):
    """Functions run on the emulated device."""
    monkeypatch.setattr(
        Function, "_compiled", _through(lambda program, targets: CudaExecutable(program, targets, Emulator()))
    )


EMULATED_WAYS = (Way("reference", flags={"linker": "reference"}), Way("emulated CUDA", flags={"linker": "native"}))


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW)
@given(program=programs(most=10))
def test_random_programs_agree(emulated, program):
    check_program(program, EMULATED_WAYS)


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW)
@given(program=programs(most=6, special=True, kinds=("unary", "binary", "reduce", "row", "switch", "compare")))
def test_random_programs_agree_at_special_values(emulated, program):
    check_program(program, EMULATED_WAYS)


_FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.0,
    1e-3,
    -7.25,
    20.0,
    1e30,
    -1e30,
    np.inf,
    -np.inf,
    np.nan,
]
_TINY = {
    "float16": [6e-8, -1e-6, 65504.0, 2049.0],
    "float32": [1e-40, -1e-45, 3.4e38],
    "float64": [5e-324, -1e-310, 1.7e308],
}
#: Rows that are the nearest numbers, the others are functions of a library; their units in the last place.
_EXACT = set(rows._RULES) | set(rows._WHOLE) | set(rows._FLOAT_RULES) - {"xlogx", "xlogy0", "deg2rad", "rad2deg"}


def _values(dtype):
    if dtype == "bool":
        return np.array([False, True])
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            return np.array([*_FLOATS, *_TINY[dtype]], dtype)
    info = np.iinfo(dtype)
    return np.array([0, 1, 2, 3, 5, 100, info.max, info.max - 1, info.min, *([-1, -2, -7] if info.min else [])], dtype)


@needs_gpp
@pytest.mark.parametrize("dtype", rows.TYPE)
def test_rows_are_numpys(dtype, emulated):
    """Every row on every pair of special values: the same numbers, signs of zeros and NaN included."""
    base = _values(dtype)
    kind = "f" if np.dtype(dtype).kind == "f" else np.dtype(dtype).kind
    names = [n for n in ROWS if rows.is_known(n, dtype) and kind in ROWS[n].kinds]
    names = [n for n in names if kind == "f" or ROWS[n].dtypes != "float"]
    for arity in (1, 2, 3):
        chosen = [n for n in names if ROWS[n].arity == arity]
        grid = [g.ravel() for g in np.meshgrid(*[base] * min(arity, 2), indexing="ij")]
        grid += [np.roll(grid[0], 7)] if arity == 3 else []
        variables = [TensorType(dtype, (None,))() for _ in grid]
        condition = TensorType("bool", (None,))()
        outputs = [apply_row(n, [condition, *variables[1:]] if n == "switch" else variables) for n in chosen]
        arguments = [*grid, grid[0] > grid[-1]]
        have = tg.function([*variables, condition], outputs, on_unused_input="ignore")(*arguments)
        with tg.config.change_flags(linker="reference"):
            want = tg.function([*variables, condition], outputs, on_unused_input="ignore")(*arguments)
        for name, found, right in zip(chosen, have, want, strict=True):
            _same_row(name, found, right, grid)


def _same_row(name, have, want, grid):
    assert have.dtype == want.dtype
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(have, want, err_msg=name)
        return
    with np.errstate(all="ignore"):
        limit = 0 if name in _EXACT else 4
        apart = np.abs(have.astype("float64") - want.astype("float64"))
        near = (apart <= limit * np.spacing(np.abs(want)).astype("float64")) & np.isfinite(want)
    same = near | (have == want) | (np.isnan(have) & np.isnan(want))
    assert same.all(), f"{name}{[g[~same][:3] for g in grid]}: {have[~same][:3]}, not {want[~same][:3]}"
    if name in _EXACT - {"maximum", "minimum", "clip", "relu"}:  # whose zeros NumPy takes as they come
        zeros = want == 0
        np.testing.assert_array_equal(np.signbit(have[zeros]), np.signbit(want[zeros]), err_msg=name)


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW)
@given(
    shape=st.lists(st.integers(0, 70), min_size=1, max_size=3).map(tuple),
    axes=st.integers(1, 7),
    kind=st.sampled_from(["sum", "prod", "max", "min", "any"]),
    dtype=st.sampled_from(["float32", "float64", "int8", "int64", "bool"]),
)
def test_reductions_over_any_axes(emulated, shape, axes, kind, dtype):
    chosen = tuple(i for i in range(len(shape)) if axes >> i & 1) or (0,)
    if kind in ("max", "min") and 0 in [shape[i] for i in chosen]:
        return
    x = TensorType(dtype, (None,) * len(shape))("x")
    values = (np.random.default_rng(1).standard_normal(shape) * 1.2).astype(dtype)
    out = getattr(T, kind)(x, axis=chosen)
    have = tg.function([x], out)(values)
    with tg.config.change_flags(linker="reference"):
        want = tg.function([x], out)(values)
    np.testing.assert_allclose(
        have, want, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-4 if dtype == "float32" else 1e-12
    )


@needs_gpp
def test_an_index_out_of_bounds_raises_and_changes_nothing(emulated):
    w = tg.shared(np.ones((4, 3)))
    i = T.lvector("i")
    f = tg.function([i], w[i].sum(), updates=[(w, w * 2)])
    f(np.array([0, -4]))
    np.testing.assert_array_equal(w.get_value(), np.full((4, 3), 2.0))
    with pytest.raises(IndexError):
        f(np.array([0, 4]))
    np.testing.assert_array_equal(w.get_value(), np.full((4, 3), 2.0))
    f(np.array([3]))
    np.testing.assert_array_equal(w.get_value(), np.full((4, 3), 4.0))


@needs_gpp
def test_results_are_fresh_and_arguments_left_alone(emulated):
    x = T.vector("x")
    f = tg.function([x], [x * 2, x.sum()])
    argument = np.arange(5.0)
    first = f(argument)
    second = f(argument + 1)
    np.testing.assert_array_equal(first[0], argument * 2)
    np.testing.assert_array_equal(argument, np.arange(5.0))
    assert second[1] == 15


@needs_gpp
@pytest.mark.parametrize("dtype", DTYPES)
def test_random_bits_are_those_of_every_backend(emulated, dtype):
    """Uniform numbers bit by bit, wherever a place falls in the generator's blocks; normal ones up to rounding."""
    streams = RandomStreams(11)
    draws = [
        streams.uniform((5, 7), dtype=dtype),
        streams.normal((33,), dtype=dtype),
        streams.uniform((1,), dtype=dtype),
    ]
    have = tg.function([], draws)()
    streams.seed(11)
    with tg.config.change_flags(linker="reference"):
        want = tg.function([], draws)()
    assert have[0].tobytes() == want[0].tobytes()
    assert have[2].tobytes() == want[2].tobytes()
    np.testing.assert_allclose(have[1], want[1], rtol=2e-7 if dtype == "float32" else 1e-12)


@needs_gpp
def test_a_second_call_replays():
    program, targets, values = _prepared(*built("softmax_rows", "float32"))
    executable = CudaExecutable(program, targets, Emulator())
    for _ in range(3):
        executable(values)
    stats = executable.stats()
    assert (stats["launched"], stats["captured"], stats["replayed"]) == (1, 1, 2)
    assert stats["not captured"] == ""


@needs_gpp
@pytest.mark.parametrize("parts", [True, False], ids=["between products", "nothing"])
def test_what_is_not_captured_is_launched(parts):
    program, targets, values = _prepared(*built("deep", "float32"))
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    executable = CudaExecutable(program, targets, Emulator(captures=lambda product: parts and not product))
    values = _copies(values)
    _close(executable(values), wanted, "float32")
    stats = executable.stats()
    assert (stats["captured"] > 0) == parts
    assert stats["not captured"].startswith("RuntimeError: ")
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    _close(executable(values), wanted, "float32")


@needs_gpp
def test_memory_that_does_not_suffice_is_an_error_that_says_how_much_is_needed():
    class Full(Emulator):
        def empty(self, shape, dtype):
            raise MemoryError("no room")

    program, targets, values = _prepared(*built("mlp", "float64"))
    before = _copies(values)
    with pytest.raises(BackendError, match="memory does not suffice") as caught:
        CudaExecutable(program, targets, Full())(values)
    assert "for temporaries" in str(caught.value)
    for have, want in zip(values, before, strict=True):
        np.testing.assert_array_equal(have, want)


@needs_gpp
def test_the_emulator_finds_threads_that_do_not_meet(tmp_path):
    """A shuffle that half of a warp takes part in."""

    class Broken:
        by_value = True

    source = "struct words_tg_x0 {{ long long at[1]; }};\nstatic void tg_x0(const words_tg_x0 w) {{ {} }}"
    for body, fails in (("if (threadIdx.x < 16) __syncwarp();", 1), ("__syncwarp(); __syncthreads();", 0)):
        patch = pytest.MonkeyPatch()
        with patch.context() as p:
            p.setattr(emulator, "source_of", lambda kernels, body=body: rows.PRELUDE + source.format(body))
            p.setattr(emulator, "names_of", lambda kernels: ["tg_x0"])
            folder = tmp_path / str(fails)
            folder.mkdir()
            (function,) = emulator._compiled([Broken()], folder)
        assert function(np.zeros(1, "int64").ctypes.data, 2, 64, 0) == fails


# --- on a GPU ---------------------------------------------------------------------------------------------------------


def _why_no_gpu():
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        arrays.get("cupy")
    except BackendError as err:
        return err.problem
    return ""


_WHY_NO_GPU = _why_no_gpu()
on_gpu = pytest.mark.skipif(bool(_WHY_NO_GPU), reason=f"{_WHY_NO_GPU}: no kernel was run on a GPU")


@pytest.fixture
def on_device(monkeypatch):
    """Functions on CuPy run compiled."""
    monkeypatch.setattr(Function, "_compiled", _through(CudaExecutable))
    with tg.config.change_flags(backend="cupy"):
        yield


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GRAPHS)
def test_gpu_runs_graphs(name, dtype):
    import cupy

    program, targets, values = _prepared(*built(name, dtype))
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    executable = CudaExecutable(program, targets)
    first = [cupy.asnumpy(v) for v in executable([cupy.asarray(v) for v in values])]
    _close(first, wanted, dtype)
    again = [cupy.asnumpy(v) for v in executable([cupy.asarray(v) for v in values])]
    for have, want in zip(again, first, strict=True):
        assert have.tobytes() == want.tobytes(), "results differ from call to call"
    assert executable.stats()["not captured"] == ""


@pytest.mark.gpu
@on_gpu
@settings(max_examples=settings().max_examples, suppress_health_check=SLOW)
@given(program=programs(most=15))
def test_gpu_runs_random_programs(on_device, program):
    check_program(program, (Way("CUDA", flags={"linker": "native"}),))


#: Examples that print a cost and an accuracy, and the others.
_MEASURED = ("softmax_digits", "mlp_digits", "lenet_digits")
_OTHERS = ("lstm_digits", "rbm_digits", "vae_digits", "autoencoder_digits", "dropout_batchnorm_digits", "xor_donut")


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("name", [*_MEASURED, *_OTHERS])
def test_gpu_runs_examples(tmp_path, monkeypatch, name):
    """Compiled, without a warning that kernels do not run; the same cost and accuracy as on NumPy."""
    from tests.test_examples import run, succeeded, test_row

    outputs = []
    for backend in ("numpy", "cupy"):
        monkeypatch.setenv("TINYGRAPH_BACKEND", backend)
        monkeypatch.setenv("TINYGRAPH_LINKER", "reference" if backend == "numpy" else "native")
        result = run(tmp_path, name, "--quick")
        outputs.append(succeeded(result))
        assert "one array call after the other" not in result.stderr
    if name in _MEASURED:
        (cost, accuracy), found = (test_row(output) for output in outputs)
        assert found == pytest.approx((cost, accuracy), abs=0.02)
