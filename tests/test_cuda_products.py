"""CUDA: what cuBLAS is asked for, products of all dtypes and layouts, and float16 in kernels.

cuBLAS itself needs a GPU. ``cuda/blas.cpp`` stands for it here: functions of the same names and arguments, which refuse
what cuBLAS's reference says they refuse.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tests.cuda.emulator import GPP, Emulator, cublas, seen
from tests.cuda.graphs import built
from tinygraph.backends.cuda import blas, module, nvrtc, rows
from tinygraph.backends.cuda.blas import Blas, gemm_of
from tinygraph.backends.cuda.executable import CudaExecutable
from tinygraph.backends.cuda.kernel import launches_of
from tinygraph.backends.native import rows as native_rows
from tinygraph.backends.reference import ReferenceExecutable
from tinygraph.errors import BackendError
from tinygraph.ops.reduce import Reduce
from tinygraph.program.lowerings import plan_of
from tinygraph.program.plan import NestCall
from tinygraph.program.steps import Call, Product, Storage, View
from tinygraph.tensor.shared_randomstreams import RandomStreams

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
FEW = max(1, settings().max_examples // 3)

#: Bits of the fraction; bfloat16 numbers are kept as their bits, uint16.
DIGITS = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
#: Of what is added up.
SUMS = {"float16": 23, "bfloat16": 23, "float32": 23, "float64": 52}
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77

needs_gpp = pytest.mark.skipif(GPP is None, reason="g++ is not installed: nothing stands for cuBLAS")


def _memory(dtype, values):
    """Numbers as a dtype, rounded."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    bits = values.astype("float32").view("uint32").astype("uint64")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("uint16")


def _numbers(dtype, memory):
    if dtype != "bfloat16":
        return memory.astype("float64")
    return (memory.astype("uint32") << 16).view("float32").astype("float64")


def _ready(tf32=False, old=False):
    """A handle with a stream and a workspace, and what holds the workspace."""
    made = Blas(tf32, cublas(old))
    workspace = np.empty(1024, "uint8")
    place = workspace.ctypes.data
    made.use(5, place + -place % 256, 256)
    return made, workspace


def _view(shape, strides, offset=0):
    return View(Storage(0, "input", "float32", 1 << 20), shape, strides, offset)


# --- cuBLAS -----------------------------------------------------------------------------------------------------------


def test_products_are_cublas_products():
    """Flags and distances of operands that are transposed, broadcast over a stack, or parts of larger ones."""
    gemm = gemm_of(_view((2, 3, 4), (0, 1, 3)), _view((2, 4, 5), (40, 10, 1)), _view((2, 3, 5), (15, 5, 1)))
    assert (gemm.turned_x, gemm.ldx, gemm.turned_y, gemm.ldy) == (True, 3, False, 10)
    assert (gemm.columns, gemm.rows, gemm.inner, gemm.stack, gemm.steps) == (5, 3, 4, 2, (40, 0, 15))


@st.composite
def _stacks(draw, stack, rows, columns):
    """Strides and size of a stack of matrices that cuBLAS takes as they are."""
    turned = draw(st.booleans())
    short, long = (rows, columns) if turned else (columns, rows)
    distance = max(short, 1) + draw(st.integers(0, 3))
    inside = (1, distance) if turned else (distance, 1)
    step = 0 if draw(st.booleans()) else distance * long + draw(st.integers(0, 5))
    return (step, *inside), step * (stack - 1) + distance * long


@needs_gpp
@settings(max_examples=3 * settings().max_examples, suppress_health_check=SLOW)
@given(
    st.data(),
    st.sampled_from(sorted(DIGITS)),
    st.integers(1, 3),
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.sampled_from([1.0, -1.0, 0.0, 0.1, -3.5]),
    st.sampled_from([0.0, 1.0]),
    st.booleans(),
)
def test_products_of_any_layout_and_dtype(data, dtype, stack, extents, alpha, beta, on_device):
    """Each element up to what rounding each product and sum, and once the result, may cost."""
    height, inner, width = extents
    (sx, size_x), (sy, size_y) = data.draw(_stacks(stack, height, inner)), data.draw(_stacks(stack, inner, width))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, y, out = (_memory(dtype, rng.standard_normal(n) * 3) for n in (size_x, size_y, stack * height * width))
    if not beta:
        out[:] = 0x7FFF if dtype == "bfloat16" else np.nan  # what is not read cannot matter

    def parts(memory, shape, strides):
        return np.lib.stride_tricks.as_strided(_numbers(dtype, memory), shape, [8 * s for s in strides])

    shape, steps = (stack, height, width), (height * width, width, 1)
    left, right = parts(x, (stack, height, inner), sx), parts(y, (stack, inner, width), sy)
    before = parts(out, shape, steps).copy() if beta else np.zeros(shape)
    scalar = "float64" if dtype == "float64" else "float32"
    scalars = np.array([alpha, beta], scalar)
    factor = float(scalars[0])
    gemm = gemm_of(_view((stack, height, inner), sx), _view((stack, inner, width), sy), _view(shape, steps))
    gemm = replace(gemm, dtype=dtype, into=dtype)
    made, workspace = _ready()
    given_ = (scalars.ctypes.data, beta, scalars.ctypes.data + scalars.itemsize) if on_device else (alpha, beta)
    made.multiply(gemm, y.ctypes.data, x.ctypes.data, out.ctypes.data, *given_)
    assert (seen().pointers, seen().stack) == (int(on_device), stack)
    assert seen().workspace == workspace.ctypes.data + -workspace.ctypes.data % 256
    have, want = parts(out, shape, steps), factor * (left @ right) + beta * before
    size = abs(factor) * (np.abs(left) @ np.abs(right)) + np.abs(before)
    bound = (inner + 3) * size * 2.0 ** -SUMS[dtype] + np.abs(want) * 2.0 ** -(DIGITS[dtype] + 1) + 2.0**-24
    assert (np.abs(have - want) <= bound * 1.01).all()


@needs_gpp
def test_sums_of_small_dtypes_are_made_in_float32():
    """4096 ones and a little: float16 counts to 2048, bfloat16 to 256."""
    n = 4096
    for dtype, rounded in (("float16", 4096.0), ("bfloat16", 4096.0)):
        ones = _memory(dtype, np.ones(n))
        out = np.zeros(1, ones.dtype)
        gemm = gemm_of(_view((1, 1, n), (0, n, 1)), _view((1, n, 1), (0, 1, 1)), _view((1, 1, 1), (0, 1, 1)))
        gemm = replace(gemm, dtype=dtype, into=dtype)
        made, _ = _ready()
        made.multiply(gemm, ones.ctypes.data, ones.ctypes.data, out.ctypes.data, 1.0, 0.0)
        assert _numbers(dtype, out)[0] == rounded
        # The parts of a sum are float32 numbers, too (CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION).
        assert (seen().compute, seen().mode, seen().algorithm) == (COMPUTE_32F, 16, -1)


@needs_gpp
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_dtypes_may_give_float32(dtype):
    """What several products are added up in, as the gradients of filters are."""
    rng = np.random.default_rng(9)
    x, y = (_memory(dtype, rng.standard_normal(n)) for n in (6, 12))
    out = np.ones((2, 4), "float32")
    gemm = gemm_of(_view((1, 2, 3), (0, 3, 1)), _view((1, 3, 4), (0, 4, 1)), _view((1, 2, 4), (0, 4, 1)))
    made, _ = _ready()
    gemm = replace(gemm, dtype=dtype, into="float32")
    made.multiply(gemm, y.ctypes.data, x.ctypes.data, out.ctypes.data, 1.0, 1.0)
    want = 1 + _numbers(dtype, x).reshape(2, 3) @ _numbers(dtype, y).reshape(3, 4)
    np.testing.assert_allclose(out, want, rtol=0, atol=1e-6)
    with pytest.raises(BackendError, match="status 15"):
        made.multiply(replace(gemm, into="float64"), y.ctypes.data, x.ctypes.data, out.ctypes.data, 1.0, 1.0)


@needs_gpp
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_tf32_only_where_it_is_asked_for(dtype):
    """And for float32 alone; its operands have 10 bits of fraction then."""
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal((20, 20)).astype(dtype) for _ in range(2))
    exact = x.astype("float64") @ y.astype("float64")
    errors = {}
    for tf32 in (False, True):
        program, targets, values = _prepared(*_product(x, y))
        (have,) = CudaExecutable(program, targets, Emulator(tf32=tf32))(values)
        errors[tf32] = float(np.abs(have.astype("float64") - exact).max())
        fast = tf32 and dtype == "float32"
        assert seen().compute == (COMPUTE_32F_FAST_TF32 if fast else COMPUTE_64F if dtype == "float64" else COMPUTE_32F)
    assert errors[True] <= 20 * 2.0**-10
    assert (errors[True] > 50 * errors[False]) == (dtype == "float32")


@needs_gpp
def test_extents_beyond_32_bits():
    """One row of a matrix whose rows are 2³¹ + 8 elements apart, which only cuBLAS 12 and later know."""
    distance = 2**31 + 8
    y = np.zeros(distance + 3, "float16")  # no memory but for what is written to
    y[:3], y[distance:] = (1, 2, 3), (4, 5, 6)
    x, out = np.array([1, 10], "float16"), np.zeros(3, "float16")
    gemm = gemm_of(_view((1, 1, 2), (0, 2, 1)), _view((1, 2, 3), (0, distance, 1)), _view((1, 1, 3), (0, 3, 1)))
    gemm = replace(gemm, dtype="float16", into="float16")
    assert gemm.ldy == distance
    made, _ = _ready()
    made.multiply(gemm, y.ctypes.data, x.ctypes.data, out.ctypes.data, 1.0, 0.0)
    np.testing.assert_array_equal(out, [41, 52, 63])
    older, _ = _ready(old=True)
    with pytest.raises(BackendError, match="too large"):
        older.multiply(gemm, y.ctypes.data, x.ctypes.data, out.ctypes.data, 1.0, 0.0)


@needs_gpp
def test_an_older_cublas_multiplies():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5))
    out = np.zeros((2, 3, 5))
    gemm = gemm_of(_view((2, 3, 4), (12, 4, 1)), _view((2, 4, 5), (20, 5, 1)), _view((2, 3, 5), (15, 5, 1)))
    made, _ = _ready(old=True)
    gemm = replace(gemm, dtype="float64", into="float64")
    made.multiply(gemm, y.ctypes.data, x.ctypes.data, out.ctypes.data, 2.0, 0.0)
    np.testing.assert_allclose(out, 2 * x @ y, rtol=1e-14)
    assert seen(old=True).stack == 2


@needs_gpp
def test_what_cublas_refuses_is_an_error():
    gemm = gemm_of(_view((1, 3, 4), (0, 4, 1)), _view((1, 4, 5), (0, 5, 1)), _view((1, 3, 5), (0, 5, 1)))
    made, _ = _ready()
    with pytest.raises(BackendError, match="status 7"):
        made.multiply(replace(gemm, ldy=4), 0, 0, 0, 1.0, 0.0)


# --- capturing --------------------------------------------------------------------------------------------------------


class _NoWorkspace(Emulator):
    """A device whose cuBLAS has to allocate."""

    def multiply(self, gemm, y, x, out, alpha, beta, on_device):
        if self._capturing:
            self._blas.use(self.stream(), 0, 0)
            self._blas.multiply(gemm, y, x, out, alpha, beta, on_device)
        else:
            super().multiply(gemm, y, x, out, alpha, beta, on_device)


@needs_gpp
def test_products_are_captured_with_their_workspace():
    """One handle, made before; its workspace set again each time the stream is; alpha and beta kept by the graph."""
    program, targets, values = _prepared(*built("deep", "float32"))
    device = Emulator()
    executable = CudaExecutable(program, targets, device)
    calls = seen().calls
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    for have, want in zip(executable(_copies(values)), wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=0, atol=3e-5 * max(1e-3, float(np.abs(want).max(initial=0))))
    assert executable.stats()["not captured"] == ""
    products = sum(isinstance(s, Product) for s in executable.plan.steps)
    assert products
    assert seen().calls - calls == 2 * products  # once to run, once to be captured
    assert seen().workspace
    assert seen().pointers == 0


@needs_gpp
def test_what_would_allocate_is_launched_between_captured_parts():
    program, targets, values = _prepared(*built("deep", "float32"))
    wanted = ReferenceExecutable(program, "numpy")(_copies(values))
    executable = CudaExecutable(program, targets, _NoWorkspace())
    values = _copies(values)
    for round_ in range(2):
        found = executable(values)
        for have, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(have, want, rtol=0, atol=3e-5 * max(1e-3, float(np.abs(want).max(initial=0))))
        stats = executable.stats()
        assert stats["not captured"] == "BackendError: cuBLAS failed with status 14"
        assert stats["captured"] > stats["segments"]
        assert stats["replayed"] == round_ * stats["segments"]
        wanted = ReferenceExecutable(program, "numpy")(_copies(values))


@needs_gpp
def test_a_handle_cannot_be_made_while_a_stream_is_captured():
    """So it must exist before: a segment runs once before it is captured."""
    state = seen()
    state.capturing = 1
    try:
        with pytest.raises(BackendError, match="status 14"):
            Blas(False, cublas())
    finally:
        state.capturing = 0


# --- layouts ----------------------------------------------------------------------------------------------------------


def _prepared(function, arguments):
    known, values = function.prepared(*arguments)
    leaves = function._closed.leaves
    targets = [None] * len(function._closed.outputs) + [leaves.index(v) for v in function._closed.targets]
    return known.program, targets, values


def _copies(values):
    return [v.copy() for v in values]


def _product(x, y):
    """A function that multiplies, and its arguments."""
    a, b = T.TensorType(x.dtype.name, (None,) * x.ndim)("a"), T.TensorType(y.dtype.name, (None,) * y.ndim)("b")
    return tg.function([a, b], T.dot(a, b) if x.ndim <= 2 else T.batched_dot(a, b)), (x, y)


def _dots(a, b, axes):
    return T.batched_dot(a.transpose(*axes), b.transpose(*axes))


_N = 40  # beyond products that are nests

#: name -> (shapes of the operands, their product, kernels besides cuBLAS's)
_LAYOUTS = {
    "transposed": ([(_N, 20), (_N, 30)], lambda a, b: a.T.dot(b), 0),
    "both transposed": ([(20, _N), (_N, 20)], lambda a, b: a.T.dot(b.T), 0),
    "part of a larger one": ([(_N, 50), (60, 70)], lambda a, b: a[3:30, 2:22].dot(b[5:25, 7:50]), 0),
    "every second row": ([(80, 20), (20, _N)], lambda a, b: a[::2].dot(b), 0),
    "vector": ([(90, 80), (80,)], lambda a, b: a.dot(b), 0),
    "every third element of a vector": ([(90, 80), (240,)], lambda a, b: a.dot(b[::3]), 0),
    "vector first": ([(80,), (80, 90)], lambda a, b: a.dot(b), 0),
    "column of a matrix": ([(90, 80), (80, 7)], lambda a, b: a.dot(b[:, 3]), 0),
    "outer": ([(90,), (80,)], T.outer, 1),
    "scaled": ([(_N, 20), (20, 30)], lambda a, b: -0.5 * a.dot(b), 0),
    "stack": ([(3, 20, 30), (3, 30, 10)], T.batched_dot, 0),
    "stack, transposed": ([(3, 30, 20), (3, 10, 30)], lambda a, b: _dots(a, b, (0, 2, 1)), 0),
    "stack along the second axis": ([(20, 3, 30), (30, 3, 10)], lambda a, b: _dots(a, b, (1, 0, 2)), 0),
    "stack that is shared": ([(1, 20, 30), (3, 30, 10)], lambda a, b: T.matmul(a[0], b), 0),
    "stack times one matrix": ([(3, 20, 30), (30, 10)], T.matmul, 0),
    "every second column": ([(_N, 40), (20, 30)], lambda a, b: a[:, ::2].dot(b), 1),
    "backwards": ([(_N, 20), (20, 30)], lambda a, b: a[::-1].dot(b), 1),
    "repeated": ([(20,), (20, 30)], lambda a, b: T.dot(T.broadcast_to(a, (_N, 20)), b), 1),
    "stack backwards": ([(3, 20, 30), (3, 30, 10)], lambda a, b: T.batched_dot(a[::-1], b), 1),
}  # fmt: skip


@needs_gpp
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", _LAYOUTS)
def test_layouts_are_multiplied_where_they_are(name, dtype):
    """Only where no stride can be the distance of rows, or of columns, one kernel copies the operand."""
    shapes, made, kernels = _LAYOUTS[name]
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    inputs = [T.TensorType(dtype, (None,) * len(shape))() for shape in shapes]
    program, targets, values = _prepared(tg.function(inputs, made(*inputs)), arrays)
    device = Emulator()
    executable = CudaExecutable(program, targets, device)
    (have,) = executable(values)
    with tg.config.change_flags(linker="reference"):
        want = tg.function(inputs, made(*inputs))(*[a.astype("float64").astype(dtype) for a in arrays])
        wide = [T.TensorType("float64", (None,) * len(shape))() for shape in shapes]
        exact = tg.function(wide, made(*wide))(*[a.astype("float64") for a in arrays])
    assert not any(isinstance(s, Call) for s in executable.plan.steps)
    assert sum(isinstance(s, NestCall) for s in executable.plan.steps) == kernels
    assert (have.dtype, have.shape) == (want.dtype, want.shape)
    scale = float(np.abs(exact).max())
    near = {"float16": 2.0**-11, "float32": 1e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(
        have.astype("float64"), exact, rtol=near * 1.01, atol=scale * 2e-6 if near > 1e-9 else scale * 1e-14
    )


@needs_gpp
def test_products_of_one_term_are_no_products():
    """A column times a row, as a gradient of one example is, belongs to the nest that uses it."""
    x, y, w = T.matrix("x"), T.matrix("y"), T.matrix("w")
    rng = np.random.default_rng(5)
    values = [rng.standard_normal(shape) for shape in ((1, 90), (1, 80), (90, 80))]
    program, targets, arguments = _prepared(tg.function([x, y, w], w - 0.1 * x.T.dot(y)), values)
    executable = CudaExecutable(program, targets, Emulator())
    assert [type(s) for s in executable.plan.steps] == [NestCall]
    np.testing.assert_allclose(executable(arguments)[0], values[2] - 0.1 * values[0].T @ values[1], rtol=0, atol=1e-15)


# --- float16 ----------------------------------------------------------------------------------------------------------

_HALVES = (
    "mlp",
    "rmsprop",
    "deep",
    "softmax_rows",
    "logsumexp",
    "layer_norm",
    "chain",
    "columns",
    "layouts",
    "gathers",
)


@needs_gpp
@pytest.mark.parametrize("name", [*_HALVES, "lstm", "lenet"])
def test_float16_graphs_are_as_near_as_the_reference(name):
    """In kernels and products throughout; the error, of float64's result, is not larger than the reference's."""
    program, targets, values = _prepared(*built(name, "float16"))
    executable = CudaExecutable(program, targets, Emulator())
    assert not any(isinstance(s, Call) for s in executable.plan.steps)
    found = executable(_copies(values))
    reference = ReferenceExecutable(program, "numpy")(_copies(values))
    wide = [v.astype("float64") if v.dtype == "float16" else v for v in values]
    exact = ReferenceExecutable(_prepared(*built(name, "float64"))[0], "numpy")(wide)
    assert len(found) == len(reference)
    for have, near, want in zip(found, reference, exact, strict=True):
        assert (have.dtype, have.shape) == (near.dtype, near.shape)
        if near.dtype != "float16":
            np.testing.assert_array_equal(have, near)
            continue
        fine = np.isfinite(near)
        np.testing.assert_array_equal(have[~fine], near[~fine])
        have, near, want = have[fine], near[fine], want[fine]
        ulp = float(np.spacing(np.abs(near).max(initial=np.float16(1e-3))))
        theirs, ours = (float(np.abs(v.astype("float64") - want).max(initial=0)) for v in (near, have))
        assert ours <= theirs + 2 * ulp
        assert ours <= 0.05 * max(1.0, float(np.abs(want).max(initial=0)))


@pytest.mark.skipif(not nvrtc.is_available(), reason="NVRTC is not installed: no kernel was compiled")
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_float16_kernels_compile(capability):
    """PTX has instructions for float16 numbers; no header is included."""
    if capability not in nvrtc.compiler().architectures():
        pytest.skip(f"NVRTC {nvrtc.compiler().version} does not compile for {capability}")
    kernels = []
    for name in _HALVES:
        program, targets, _ = _prepared(*built(name, "float16"))
        plan = plan_of(program, targets, rows.is_known, launched=True)
        kernels += [launch.kernel for _, launches in launches_of(plan) for launch in launches]
    assert 8 in {k.vector for k in kernels}
    source = module.source_of(list(dict.fromkeys(kernels)))
    assert "cvt.rn.f16.f32" in source
    assert "#include" not in source
    assert nvrtc.compiler().compile(source, capability).startswith(b"\x7fELF")


@needs_gpp
def test_float16_is_rounded_after_each_operation():
    """Elementwise chains of exactly rounded operations: NumPy's bits, special values included."""
    x, y = T.TensorType("float16", (None,))("x"), T.TensorType("float16", (None,))("y")
    everything = np.arange(1 << 16, dtype="uint16").view("float16")
    other = np.random.default_rng(6).permutation(everything)
    outputs = [x + y, x * y - x, x / y, T.sqrt(abs(x)) + 1, (x + y) * 0.1, T.maximum(x, y) - y, T.floor(x) - x, -x * x]
    outputs += [x.astype("float32"), x.astype("float64") * 3, T.sgn(x), x < y, T.eq(x, y), T.clip(x, -1, 2)]
    program, targets, values = _prepared(tg.function([x, y], outputs), (everything, other))
    executable = CudaExecutable(program, targets, Emulator())
    assert all(isinstance(s, NestCall) for s in executable.plan.steps)
    for have, want in zip(executable(values), ReferenceExecutable(program, "numpy")(values), strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have, want)


@needs_gpp
@pytest.mark.parametrize("source", ["bool", "int8", "int64", "uint64", "float32", "float64"])
def test_numbers_become_float16_in_one_rounding(source):
    """float64 numbers between two float16 numbers, which rounding to float32 first would take to the wrong one."""
    values = {
        "float64": np.array([1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-11, 65519.999, 65520.0, 2.0**-25, 2.0**-25 + 2.0**-60]),
        "float32": np.array([1 + 2.0**-11, 1 + 2.0**-11 + 2.0**-20, 1e6, -0.0, np.nan, -np.inf, 3e-8, 1e-45]),
        "bool": np.array([True, False]),
    }.get(source, np.array([0, 1, 7, 100, 127] if source == "int8" else [0, 2049, 2051, 65519, 65520, 1 << 40]))
    values = values.astype(source)
    x = T.TensorType(source, (None,))("x")
    program, targets, given_ = _prepared(tg.function([x], x.astype("float16")), (values,))
    (have,) = CudaExecutable(program, targets, Emulator())(given_)
    with np.errstate(over="ignore"):
        want = values.astype("float16")
    np.testing.assert_array_equal(have.view("uint16"), want.view("uint16"))


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=3),
    st.integers(1, 7),
    st.sampled_from(["sum", "prod", "max", "min"]),
    st.booleans(),
)
def test_float16_is_reduced_in_float32(shape, axes, kind, transposed):
    """One rounding of what float32 gives, however many kernels that takes."""
    chosen = tuple(i for i in range(len(shape)) if axes >> i & 1) or (0,)
    x = T.TensorType("float16", (None,) * len(shape))("x")
    out = getattr(T, kind)((x.T if transposed else x), axis=chosen)
    rng = np.random.default_rng(7)
    values = (1 + 0.1 * rng.standard_normal(shape)).astype("float16")
    program, targets, given_ = _prepared(tg.function([x], out), (values,))
    executable = CudaExecutable(program, targets, Emulator())
    assert not any(isinstance(s, Call) for s in executable.plan.steps)
    (have,) = executable(given_)
    want = getattr(np, kind)((values.T if transposed else values).astype("float64"), axis=chosen)
    assert have.dtype == "float16"
    with np.errstate(over="ignore"):
        nearest = want.astype("float16")
    np.testing.assert_allclose(have.astype("float64"), nearest.astype("float64"), rtol=2.0**-10, atol=2.0**-24)


@needs_gpp
def test_long_sums_of_float16_are_rounded_once():
    """Pieces of a long vector, and runs of many rows, are float32 numbers until the end, whatever asks for the sum."""
    x, y = T.TensorType("float16", (None,))("x"), T.TensorType("float16", (None, None))("y")
    bias = T.TensorType("float16", (None,))("bias")
    rng = np.random.default_rng(8)
    arguments = [rng.random(shape).astype("float16") for shape in (50_000, (3000, 3), 3)]
    outputs = [x.sum(), Reduce("sum", (0,), False, "float16")(x), y.sum(axis=0)]
    outputs += [Reduce("sum", (0,), False, "float16")(y), tg.grad(T.sum((y + bias) * 0.5), bias)]
    program, targets, values = _prepared(tg.function([x, y, bias], outputs), arguments)
    executable = CudaExecutable(program, targets, Emulator())
    assert not any(isinstance(s, Call) for s in executable.plan.steps)
    wide = [a.astype("float64") for a in arguments]
    wanted = [wide[0].sum(), wide[0].sum(), wide[1].sum(axis=0), wide[1].sum(axis=0), np.full(3, 1500.0)]
    for have, want in zip(executable(values), wanted, strict=True):
        assert have.dtype == "float16"
        np.testing.assert_allclose(have.astype("float64"), want, rtol=2.0**-11 * 1.01)


@needs_gpp
def test_float16_random_numbers_are_those_of_every_backend():
    streams = RandomStreams(11)
    draws = [streams.uniform((5, 701), dtype="float16"), streams.normal((3333,), dtype="float16")]
    program, targets, values = _prepared(tg.function([], draws), ())
    executable = CudaExecutable(program, targets, Emulator())
    assert not any(isinstance(s, Call) for s in executable.plan.steps)
    have, want = executable(_copies(values)), ReferenceExecutable(program, "numpy")(_copies(values))
    assert have[0].tobytes() == want[0].tobytes()
    np.testing.assert_allclose(have[1].astype("float64"), want[1].astype("float64"), rtol=2.0**-10)
    assert np.mean(have[1] != want[1]) < 1e-3


def test_cublas_has_what_is_called():
    """The functions of the library itself, where it is installed; without a GPU it makes no handle."""
    try:
        library = blas._library()
    except BackendError as err:
        pytest.skip(err.problem)
    names = ("Create_v2", "SetStream_v2", "SetWorkspace_v2", "SetMathMode", "SetPointerMode_v2")
    assert all(hasattr(library, f"cublas{name}") for name in names)
    assert all(blas._functions(library, hasattr(library, "cublasGemmEx_64")))


#: name -> (images, filters, arguments)
_CONVOLUTIONS = {
    "plain": ((5, 3, 12, 11), (4, 3, 3, 3), {}),
    "one channel": ((40, 1, 12, 12), (6, 1, 5, 5), {}),
    "padded, strided": ((3, 4, 9, 10), (5, 4, 3, 2), {"border_mode": (1, 1), "subsample": (2, 1)}),
    "dilated": ((2, 3, 13, 12), (4, 3, 3, 3), {"filter_dilation": (2, 2)}),
    "pointwise": ((6, 8, 7, 7), (5, 8, 1, 1), {}),
    "groups": ((3, 4, 9, 9), (6, 2, 3, 3), {"num_groups": 2}),
    "depthwise": ((3, 6, 9, 9), (6, 1, 3, 3), {"num_groups": 6, "border_mode": "half"}),
}


@needs_gpp
@pytest.mark.parametrize("name", _CONVOLUTIONS)
def test_float16_convolutions_are_added_up_in_float32(name):
    """Outputs and both gradients, in kernels and products alone, rounded once."""
    images, filters, settings_ = _CONVOLUTIONS[name]
    rng = np.random.default_rng(10)
    arguments = [rng.standard_normal(shape).astype("float16") for shape in (images, filters)]

    def function(dtype):
        x, w = T.TensorType(dtype, (None,) * 4)("x"), T.TensorType(dtype, (None,) * 4)("w")
        y = T.nnet.conv2d(x, w, **settings_)
        return tg.function([x, w], [y, *tg.grad(None, [x, w], known_grads={y: T.sgn(y) * 0.5})])

    program, targets, values = _prepared(function("float16"), arguments)
    executable = CudaExecutable(program, targets, Emulator())
    assert not any(isinstance(s, Call) for s in executable.plan.steps)
    wide = [a.astype("float64") for a in arguments]
    exact, *_ = ReferenceExecutable(_prepared(function("float64"), wide)[0], "numpy")(wide)
    y, *gradients = executable(values)
    near = {"rtol": 2.0**-11 * 1.01, "atol": 2.0**-11 * 2e-2}
    np.testing.assert_allclose(y.astype("float64"), exact, **near)
    if not (np.sign(y) == np.sign(exact)).all():
        return  # another cotangent
    _, *wanted = ReferenceExecutable(_prepared(function("float64"), wide)[0], "numpy")(wide)
    for have, want in zip(gradients, wanted, strict=True):
        assert have.dtype == "float16"
        np.testing.assert_allclose(have.astype("float64"), want, **near)


def test_float16_stays_with_calls_where_the_backend_has_none():
    """The CPU's compiled functions run such operations by themselves, and still are the reference's."""
    program, targets, _ = _prepared(*built("softmax_rows", "float16"))
    assert rows.is_known("add", "float16")
    assert not native_rows.is_known("add", "float16")
    assert any(isinstance(s, Call) for s in plan_of(program, targets, native_rows.is_known).steps)
    function, arguments = built("mlp", "float16")
    with tg.config.change_flags(linker="native"):
        have = function(*arguments)
    function, arguments = built("mlp", "float16")
    with tg.config.change_flags(linker="reference"):
        want = function(*arguments)
    for a, b in zip(have, want, strict=True):
        np.testing.assert_array_equal(a, b)
