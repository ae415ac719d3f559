"""CUDA: elements added at places that are values, in an order that follows from the list of places alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tests.cuda.emulator import Emulator
from tests.test_cuda_kernels import (
    ARCHITECTURES,
    FEW,
    SLOW,
    _copies,
    _prepared,
    emulated,  # noqa: F401
    needs_gpp,
    needs_nvrtc,
    on_gpu,
)
from tinygraph.backends.cuda import module, nvrtc, rows
from tinygraph.backends.cuda.executable import CudaExecutable
from tinygraph.backends.cuda.scatter import ScatterCode
from tinygraph.backends.cuda.segments import Segments
from tinygraph.ops.subtensor import ARRAY, AdvancedIncSubtensor
from tinygraph.program import scatter
from tinygraph.program.lowerings import plan_of
from tinygraph.program.scatter import ScatterSizes
from tinygraph.program.steps import Scatter, Storage, View, packed
from tinygraph.types import TensorType

FORMS = ("few", "chunks", "carries", "last", "atomic", "count", "scan", "place")


def _codes():
    for dtype, form in itertools.product(("float16", *rows.TYPE), FORMS):
        alone = form in ("count", "scan", "place")
        if not (form == "atomic" and dtype not in ("float32", "float64", "int32", "uint32", "int64", "uint64")):
            for wide in (False,) if alone else (False, True):
                yield ScatterCode(f"scatter_{form}", "" if alone else dtype, form == "last", wide)
    yield ScatterCode("scatter_few", "float32", True)


@needs_nvrtc
@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_kernels_compile(capability):
    if capability not in nvrtc.compiler().architectures():
        pytest.skip(f"NVRTC {nvrtc.compiler().version} does not compile for {capability}")
    codes = [c for c in dict.fromkeys(_codes()) if capability == 90 or c.dtype in ("", "float32", "bool")]
    assert nvrtc.compiler().compile(module.source_of(codes), capability).startswith(b"\x7fELF")


@pytest.fixture
def sorting(monkeypatch):
    """Places are sorted however few there are, in shares and chunks that are small."""
    for name, value in {"_FEW": 0, "_COMPARED": 0, "_SHARES": 3, "_SHARE": 5, "_CHUNK": 2}.items():
        monkeypatch.setattr(scatter, name, value)


def _scattered(x, y, indices, set=False, backwards=False):
    """``x`` after ``x[indices] += y`` by emulated kernels, and these."""
    variables = [TensorType(a.dtype.name, (None,) * a.ndim)() for a in (x, y, *indices)]
    out = AdvancedIncSubtensor((ARRAY,) * len(indices), set=set)(*variables)
    program, targets, values = _prepared(tg.function(variables, out), (x, y, *indices))
    executable = CudaExecutable(program, targets, Emulator(backwards=backwards))
    (found,) = executable(_copies(values))
    forms = [launch.kernel.form for launch in executable.device.launches]
    return np.asarray(found), [form for form in forms if form.startswith("scatter")]


def _in_order(x, y, places, chunk):
    """What sorted kernels compute, as they compute it: runs of equal places in chunks, whose sums are added up."""
    out = x.copy()
    order = np.argsort(places, kind="stable")
    for place in np.unique(places):
        run = [n for n, k in enumerate(order) if places[k] == place]
        sums = []
        for _, part in itertools.groupby(run, key=lambda n: n // chunk):
            total, *more = (y[order[n]] for n in part)
            for value in more:
                total = total + value
            sums.append(total)
        total, *more = sums
        for value in more:
            total = total + value
        out[place] = out[place] + total
    return out


def _operands(data, dtype, targets, count, width):
    seed = data.draw(st.integers(0, 1000), label="seed")
    rng = np.random.default_rng(seed)
    x, y = ((rng.standard_normal((n, width)) * 10).astype(dtype) for n in (targets, count))
    places = (
        rng.integers(-targets, targets, count) if data.draw(st.booleans()) else rng.integers(0, 1 + targets // 9, count)
    )
    return x, y, places


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW, deadline=None)
@given(
    data=st.data(), targets=st.sampled_from([1, 2, 9, 300, 70_000]), count=st.integers(1, 40), width=st.integers(1, 3)
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
def test_sorted_places_are_added_up_in_a_fixed_order(sorting, data, dtype, targets, count, width):
    x, y, places = _operands(data, dtype, targets, count, width)
    found, forms = _scattered(x, y, [places])
    passes = 1 if targets <= 256 else 2 if targets <= 65536 else 3
    assert forms == ["scatter_count", "scatter_scan", "scatter_place"] * passes + ["scatter_chunks", "scatter_carries"]
    with np.errstate(over="ignore"):
        wanted = _in_order(x, y, places % targets, max(2, (1 << (count.bit_length() + 1) // 2) // 4))
    assert found.tobytes() == wanted.tobytes()
    turned, _ = _scattered(x, y, [places], backwards=True)
    assert turned.tobytes() == found.tobytes()


@needs_gpp
def test_many_places_in_each_share(monkeypatch):
    """All warps of a block have some, and go over the share more than once."""
    for name, value in {"_COMPARED": 0, "_SHARES": 2, "_SHARE": 5}.items():
        monkeypatch.setattr(scatter, name, value)
    rng = np.random.default_rng(3)
    x, y, places = (
        np.zeros((300, 1), "float32"),
        rng.standard_normal((900, 1)).astype("float32"),
        rng.integers(0, 300, 900),
    )
    places[100:400] = 7
    found, _ = _scattered(x, y, [places])
    assert found.tobytes() == _in_order(x, y, places, 32).tobytes()
    assert _scattered(x, y, [places], backwards=True)[0].tobytes() == found.tobytes()


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW, deadline=None)
@given(data=st.data(), targets=st.integers(1, 9), count=st.integers(1, 12), width=st.integers(1, 3))
@pytest.mark.parametrize("dtype", ["float32", "int16", "bool"])
def test_few_places_are_added_up_as_numpy_does(data, dtype, targets, count, width):
    x, y, places = _operands(data, dtype, targets, count, width)
    found, forms = _scattered(x, y, [places])
    assert forms == ["scatter_few"]
    wanted = x.copy()
    np.add.at(wanted, places, y)
    assert found.tobytes() == wanted.tobytes()


@needs_gpp
@settings(max_examples=FEW, suppress_health_check=SLOW, deadline=None)
@given(data=st.data(), sort=st.booleans(), targets=st.integers(1, 9), count=st.integers(1, 12))
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_last_value_stays(data, dtype, sort, targets, count):
    x, y, places = _operands(data, dtype, targets, count, 2)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FEW", "_COMPARED") if sort else ():
            patch.setattr(scatter, name, 0)
        found, forms = _scattered(x, y, [places], set=True)
    assert forms[-1] == ("scatter_last" if sort else "scatter_few")
    wanted = x.copy()
    for k, place in enumerate(places):
        wanted[place] = y[k]
    assert found.tobytes() == wanted.tobytes()


@needs_gpp
@pytest.mark.parametrize(
    ("dtype", "form"), [("float32", "atomic"), ("float64", "atomic"), ("int64", "atomic"), ("int8", "few")]
)
def test_atomic_additions_where_order_does_not_matter(dtype, form):
    x, y = np.arange(12).reshape(4, 3).astype(dtype), np.arange(18).reshape(6, 3).astype(dtype)
    places = np.array([3, 0, 3, -1, 1, 0])
    with tg.config.change_flags(deterministic="default"):
        found, forms = _scattered(x, y, [places])
    assert forms == [f"scatter_{form}"]
    wanted = x.copy()
    np.add.at(wanted, places, y)
    np.testing.assert_array_equal(found, wanted)


def test_theanos_values_of_the_setting():
    assert tg.config.deterministic is True
    for value, meaning in {"more": True, "default": False, "0": False, True: True}.items():
        with tg.config.change_flags(deterministic=value):
            assert tg.config.deterministic is meaning


@needs_gpp
@pytest.mark.parametrize("sort", [False, True])
def test_an_embedding_learns_in_place_and_errors_change_nothing(emulated, sort, monkeypatch):  # noqa: F811
    for name in ("_FEW", "_COMPARED") if sort else ():
        monkeypatch.setattr(scatter, name, 0)
    start = np.random.default_rng(0).standard_normal((9, 4))
    w, i = tg.shared(start), T.lmatrix("i")
    f = tg.function([i], (w[i] ** 2).sum(), updates=[(w, T.inc_subtensor(w[i], -0.1 * w[i]))])
    wanted = start.copy()
    batch = np.array([[1, 1, -1], [0, 8, 5]])
    np.add.at(wanted, batch, -0.1 * wanted[batch])
    f(batch)
    np.testing.assert_allclose(w.get_value(), wanted, rtol=1e-14)
    before = w.get_value()
    for bad in (9, -10):
        with pytest.raises(IndexError):
            f(np.array([[0, bad]]))
        np.testing.assert_array_equal(w.get_value(), before)
    f(batch)


@needs_gpp
def test_arrays_beside_slices(emulated):  # noqa: F811
    """What is picked, and its gradient, and what is written there."""
    x, i = T.tensor4("x"), T.lvector("i")
    parts = [
        x[i, 1:4],
        x[1:, i],
        x[::2, i, ::-1],
        x[::-1, i, i, 1:],
        x[:, 1:2, i],
        x[i, :, 1],
        x[i, 1:3, i],
        x[2:2, i],
        x[-3:, i, :-2],
    ]
    outputs = [*parts, *(tg.grad(T.sqr(p).sum(), x) for p in parts), *(T.set_subtensor(p, 7) for p in parts)]
    values = np.random.default_rng(0).standard_normal((4, 5, 4, 3)), np.array([1, -2, 0, 1])
    found = tg.function([x, i], outputs)(*values)
    with tg.config.change_flags(linker="reference"):
        wanted = tg.function([x, i], outputs)(*values)
    for have, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-14)


@pytest.mark.gpu
@on_gpu
def test_gpu_scatters_in_a_fixed_order():
    import cupy

    rng = np.random.default_rng(3)
    x, y = np.zeros((5000, 40), "float32"), rng.standard_normal((60_000, 40)).astype("float32")
    places = np.minimum(rng.integers(0, 5000, 60_000), rng.integers(0, 5000, 60_000))
    variables = [TensorType(a.dtype.name, (None,) * a.ndim)() for a in (x, y, places)]
    out = AdvancedIncSubtensor((ARRAY,))(*variables)
    program, targets, values = _prepared(tg.function(variables, out), (x, y, places))
    executable = CudaExecutable(program, targets)
    found = [cupy.asnumpy(executable([cupy.asarray(v) for v in values])[0]) for _ in range(3)]
    wanted = _in_order(x, y, places, 64)
    for have in found:
        assert have.tobytes() == wanted.tobytes()


def test_an_embedding_is_written_to_where_it_lies():
    w, i = tg.shared(np.zeros((9, 4))), T.lvector("i")
    f = tg.function([i], [], updates=[(w, T.inc_subtensor(w[i], 1.5))])
    program, targets, _ = _prepared(f, (np.arange(3),))
    plan = plan_of(program, targets, rows.is_known, launched=True)
    assert list(plan.updated) == [0]
    assert [type(s) for s in plan.steps if isinstance(s, Scatter)] == [Scatter]
    assert "scatter 1×3×4 to 1×9×4" in str(plan)
    assert len(Segments(plan).all) == 2, "the host looks at the error word before anything is overwritten"


def test_sizes_of_large_scatters():
    """Words of a vocabulary: few launches, whose workspace is a small part of the gradient."""
    storage = Storage(0, "temporary", "float32", 1)

    def view(*shape):
        return View(storage, shape, packed(shape))

    step = Scatter(view(1, 50_000, 512), view(1, 16_384, 512), view(16_384), False, True)
    sizes = ScatterSizes.of(step)
    assert (sizes.is_sorted, sizes.passes, sizes.shares, sizes.chunk) == (True, 2, 8, 64)
    assert sizes.places()["end"] < 2 << 20
    assert not ScatterSizes.of(Scatter(view(1, 50_000, 64), view(1, 128, 64), view(128), False, True)).is_sorted
