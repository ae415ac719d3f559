"""Pooling and neighbourhoods, beyond the op table."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tests.optable.conv import neighbourhoods, pool
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.testing import check_grad
from tinygraph.types import TensorType

SMALL = settings(max_examples=max(60, settings().max_examples), deadline=None)
MODES = ("max", "sum", "average_inc_pad", "average_exc_pad")
pool_2d, pool_3d = T.signal.pool.pool_2d, T.signal.pool.pool_3d


def value(output: Any, givens: dict[Any, Any]) -> Any:
    return tg.function(list(givens), output)(*givens.values())


@st.composite
def poolings(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    """Images and the arguments of ``pool``."""
    spatial = draw(st.integers(2, 3))

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=spatial, max_size=spatial)))

    lead = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
    ws, ignore_border = numbers(1, 4), draw(st.booleans())
    stride = draw(st.one_of(st.none(), st.just(numbers(1, 4))))
    pad = tuple(draw(st.integers(0, n - 1)) for n in ws) if ignore_border else None
    shape = (*lead, *numbers(0 if ignore_border and not any(pad or ()) else 1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-3, 4, shape).astype("float64")  # with ties
    return x, {"ws": ws, "ignore_border": ignore_border, "stride": stride, "pad": pad}


@SMALL
@given(poolings(), st.sampled_from(MODES), st.sampled_from(["float32", "float64"]), st.booleans())
def test_values(case: Any, mode: str, dtype: str, known: bool) -> None:
    x, how = case
    xs = TensorType(dtype, x.shape if known else (None,) * x.ndim)()
    y = (pool_2d if len(how["ws"]) == 2 else pool_3d)(xs, **how, mode=mode)
    expected = pool(x, **how, mode=mode)
    if known:
        assert y.type.shape == expected.shape
    got = value(y, {xs: x.astype(dtype)})
    assert got.dtype == y.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == "float32" else 1e-13)


@SMALL
@given(poolings(), st.booleans())
def test_every_largest_element_gets_the_gradient(case: Any, known: bool) -> None:
    x, how = case
    how = {
        **how,
        "ws": how["ws"][:2],
        "stride": how["stride"] and how["stride"][:2],
        "pad": how["pad"] and how["pad"][:2],
    }
    xs = TensorType("float64", x.shape if known else (None,) * x.ndim)()
    y = pool_2d(xs, **how)
    expected = pool(x, **how)
    rng = np.random.default_rng(0)
    g, h = rng.integers(1, 9, expected.shape).astype("float64"), rng.integers(1, 9, x.shape).astype("float64")
    gs, hs = y.type(), xs.type()
    gx = tg.Lop(y, xs, gs)
    got, second = value([gx, tg.Lop(gx, gs, hs)], {xs: x, gs: g, hs: h})
    wanted, read = np.zeros(x.shape), np.zeros(expected.shape)
    for place, inside in _windows(x.shape[-2:], expected.shape[-2:], how):
        chosen = x[(..., *inside)] == expected[(..., *place)][..., None, None]
        wanted[(..., *inside)] += chosen * g[(..., *place)][..., None, None]
        read[(..., *place)] = np.sum(chosen * h[(..., *inside)], axis=(-2, -1))
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(second, read)


def _windows(shape: Any, pooled: Any, how: dict[str, Any]) -> Any:
    stride, pad = how["stride"] or how["ws"], how["pad"] or (0, 0)
    for place in itertools.product(*map(range, pooled)):
        starts = [i * step - width for i, step, width in zip(place, stride, pad, strict=True)]
        yield place, [slice(max(s, 0), min(s + n, m)) for s, n, m in zip(starts, how["ws"], shape, strict=True)]


@settings(max_examples=20, deadline=None)
@given(poolings(), st.sampled_from(MODES))
def test_derivatives(case: Any, mode: str) -> None:
    x, how = case
    x = np.random.default_rng(0).permutation(x.size).reshape(x.shape) * 0.37  # far from ties
    network = pool_2d if len(how["ws"]) == 2 else pool_3d
    if pool(x, **how).size:
        check_grad(lambda x: T.sqr(network(x, **how, mode=mode)), x, order=3 if mode == "max" else 2, coordinates=5)


# --- special values -----------------------------------------------------------------------------------------------


def test_special_values() -> None:
    x = T.dmatrix()
    y = pool_2d(x, (1, 2), ignore_border=True)
    data = np.array([[np.nan, 1.0, -np.inf, -np.inf, np.inf, 3.0, -0.0, -5.0]])
    got, gradient = value([y, tg.grad(y.sum(), x)], {x: data})
    np.testing.assert_array_equal(got, [[np.nan, -np.inf, np.inf, 0.0]])
    np.testing.assert_array_equal(gradient, [[0, 0, 1, 1, 1, 0, 1, 0]])


def test_an_infinite_cotangent_stays_where_it_belongs() -> None:
    x, g = T.dmatrix(), T.dmatrix()
    gx = tg.Lop(pool_2d(x, (2, 2), ignore_border=True), x, g)
    got = value(gx, {x: np.array([[1.0, 2.0, 7.0, 8.0], [3.0, 4.0, 6.0, 5.0]]), g: np.array([[np.inf, np.nan]])})
    np.testing.assert_array_equal(got, [[0, 0, 0, np.nan], [0, np.inf, 0, 0]])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64"])
def test_integers(dtype: str) -> None:
    x = T.tensor(dtype, (None, None))
    data = np.random.default_rng(0).integers(0, 100, (4, 6)).astype(dtype)
    high, total, mean = (pool_2d(x, (2, 3), ignore_border=True, mode=mode) for mode in MODES[:3])
    got = value([high, total, mean], {x: data})
    np.testing.assert_array_equal(got[0], pool(data, (2, 3), True))
    assert got[0].dtype == dtype
    np.testing.assert_array_equal(got[1], pool(data.astype("int64"), (2, 3), True, mode="sum"))
    assert got[2].dtype == tg.config.floatX
    np.testing.assert_allclose(got[2], pool(data, (2, 3), True, mode="average_inc_pad"), rtol=1e-12)


# --- arguments ----------------------------------------------------------------------------------------------------


def test_arguments_in_every_form() -> None:
    x = T.dtensor4()
    forms = [
        pool_2d(x, (2, 2), True, (1, 1), (1, 1)),
        pool_2d(x, ds=(2, 2), ignore_border=True, st=(1, 1), padding=(1, 1)),
        pool_2d(x, ws=[2, 2], ignore_border=1, stride=1, pad=[1, 1]),
        pool_2d(x, np.array([2, 2]), True, T.constant([1, 1]), (1, 1), "max_deterministic"),
        T.signal.downsample.max_pool_2d(x, 2, True, 1, 1),
    ]
    ops = [(v.owner.op, v.owner.inputs[0].owner.op) for v in forms]
    assert len(set(ops)) == 1
    assert ops[0][0].fields() == (3, 2, 1, 1, False)
    assert pool_2d(x, (2, 2)).owner.op.fields() == pool_2d(x, (2, 2), False, None, None).owner.op.fields()
    assert pool_2d(x, (2, 2), True, padding=(1, 1)).owner.op.pad == 1
    assert pool_2d([[1, 2], [3, 4]], (2, 2)).eval().tolist() == [[4]]


def test_extents_that_follow() -> None:
    x = T.tensor("float32", (None, 3, 9, None))
    assert pool_2d(x, (2, 2), True).type.shape == (None, 3, 4, None)
    assert pool_2d(x, (2, 2), False).type.shape == (None, 3, 5, None)
    assert pool_2d(x, (3, 3), False, (2, 2)).type.shape == (None, 3, 4, None)
    assert pool_2d(x, (20, 1), True).type.shape == (None, 3, 0, None)
    gradient = tg.grad(pool_2d(x, (2, 2), False, mode="average_inc_pad").sum(), x)
    assert gradient.type.shape == x.type.shape
    assert gradient.like is x.like


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (pool_2d, "a window needs extents"),
        (lambda x: pool_2d(x, (2, 2), ds=(2, 2)), "ws and ds mean the same"),
        (lambda x: pool_2d(x, (2, 2), True, (1, 1), st=(1, 1)), "stride and st mean the same"),
        (lambda x: pool_2d(x, (2, 2), True, pad=(1, 1), padding=(1, 1)), "pad and padding mean the same"),
        (lambda x: pool_2d(x, (2, 2), pad=(1, 1)), "padding needs ignore_border=True"),
        (lambda x: pool_2d(x, (2, 2), True, pad=(0, 2)), "padding must be less than the window"),
        (lambda x: pool_2d(x, (2, 2, 2)), "ws needs one integer"),
        (lambda x: pool_2d(x, (2, 0)), "ws needs one integer"),
        (lambda x: pool_2d(x, (2, 2), True, (0, 1)), "stride needs one integer"),
        (lambda x: pool_2d(x, (2, 2), True, pad=(-1, 0)), "pad needs one integer"),
        (lambda x: pool_2d(x[0, 0, 0], (2, 2)), "at least 2 dimensions"),
        (lambda x: pool_3d(x[0, 0], (2, 2, 2)), "at least 3 dimensions"),
        (lambda x: pool_2d(x[:, :, :0], (2, 2), False), "an empty axis has nothing in its windows"),
        (lambda x: T.signal.pool.max_pool_2d_same_size(x, (2,)), "patch_size needs one integer"),
    ],
)
def test_what_does_not_fit_is_said(call: Any, said: str) -> None:
    with pytest.raises(ShapeError) as err:
        call(T.zeros((2, 3, 4, 5)))
    assert said in err.value.problem
    assert "test_pool.py" in str(err.value)


def test_wrong_kinds() -> None:
    with pytest.raises(DtypeError) as mode:
        pool_2d(T.dmatrix(), (2, 2), mode="min")
    assert "no pooling mode" in mode.value.problem
    with pytest.raises(DtypeError):
        pool_2d(T.dmatrix(), (2.0, 2.0))
    with pytest.raises(DtypeError) as symbolic:
        T.signal.pool.max_pool_2d_same_size(T.dmatrix(), T.lvector())
    assert "known when the graph is built" in symbolic.value.problem


def test_the_same_size_keeps_the_gradient_of_what_it_keeps() -> None:
    x = T.dtensor4()
    y = T.signal.pool.max_pool_2d_same_size(x, (2, 3))
    data = np.random.default_rng(0).normal(size=(2, 1, 5, 7))
    got, gradient = value([y, tg.grad(T.sqr(y).sum() / 2, x)], {x: data})
    np.testing.assert_array_equal(got, gradient)
    assert np.count_nonzero(got) == 2 * 2 * 2
    np.testing.assert_array_equal(got[got != 0], data[got != 0])


# --- neighbourhoods -----------------------------------------------------------------------------------------------


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[np.ndarray, Any, Any, str]:
    mode = draw(st.sampled_from(["valid", "ignore_borders", "wrap_centered", "half", "full"]))
    sizes = [draw(st.sampled_from([1, 3]) if mode == "wrap_centered" else st.integers(1, 3)) for _ in range(2)]
    steps = sizes if draw(st.booleans()) else [draw(st.integers(1, 3)) for _ in range(2)]
    extents = []
    for size, step in zip(sizes, steps, strict=True):
        border = {"half": 2 * (size // 2), "full": 2 * (size - 1)}.get(mode, 0)
        free = mode in ("ignore_borders", "wrap_centered")
        fits = range(size, size + 4) if free else [n for n in range(1, 9) if n + border >= size]
        fits = [n for n in fits if free or (n + border - size) % step == 0]
        extents.append(draw(st.sampled_from(fits)))
    batch, channels = draw(st.integers(0, 2)), draw(st.integers(1, 2))
    data = np.random.default_rng(0).normal(size=(batch, channels, *extents))
    return data, tuple(sizes), tuple(steps), mode


@SMALL
@given(neighbours(), st.booleans())
def test_neighbourhoods(case: Any, known: bool) -> None:
    data, sizes, steps, mode = case
    x = TensorType("float64", data.shape if known else (None,) * 4)()
    rows = T.nnet.neighbours.images2neibs(x, sizes, steps, mode)
    expected = neighbourhoods(data, sizes, steps, mode)
    if known:
        assert rows.type.shape == expected.shape
    g = np.random.default_rng(1).normal(size=expected.shape)
    got, gradient = value([rows, tg.grad((rows * g).sum(), x)], {x: data})
    np.testing.assert_array_equal(got, expected)
    places = neighbourhoods(np.arange(1, data.size + 1.0).reshape(data.shape), sizes, steps, mode).astype(int)
    wanted = np.zeros(data.size + 1)  # what lies in a border of zeros goes to the first
    np.add.at(wanted, places, g)
    np.testing.assert_allclose(gradient, wanted[1:].reshape(data.shape), atol=1e-12)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("mode", "sizes", "steps", "shape"),
    [
        ("valid", (2, 2), None, (1, 1, 4, 3)),
        ("valid", (2, 2), None, (1, 1, 4, 1)),
        ("valid", (2, 2), (2, 3), (1, 1, 4, 4)),
        ("half", (3, 3), None, (1, 1, 5, 4)),
        ("full", (2, 2), (1, 3), (1, 1, 4, 4)),
        ("ignore_borders", (2, 5), None, (1, 1, 4, 4)),
        ("wrap_centered", (3, 3), (1, 1), (1, 1, 2, 4)),
    ],
)
def test_neighbourhoods_that_do_not_fit(mode: str, sizes: Any, steps: Any, shape: Any, known: bool) -> None:
    def rows() -> Any:
        x = TensorType("float64", shape if known else (None,) * 4)()
        return x, T.nnet.neighbours.images2neibs(x, sizes, steps, mode)

    if known:
        with pytest.raises(ShapeError):
            rows()
    else:
        x, output = rows()
        with pytest.raises(ShapeError):
            value(output, {x: np.zeros(shape)})


def test_neighbourhoods_of_another_kind() -> None:
    images2neibs, neibs2images = T.nnet.neighbours.images2neibs, T.nnet.neighbours.neibs2images
    with pytest.raises(ShapeError, match="4 dimensions"):
        images2neibs(T.dmatrix(), (2, 2))
    with pytest.raises(ShapeError, match="needs a middle"):
        images2neibs(T.dtensor4(), (2, 3), mode="wrap_centered")
    with pytest.raises(DtypeError, match="no mode"):
        images2neibs(T.dtensor4(), (2, 2), mode="same")
    with pytest.raises(DtypeError, match="no mode"):
        neibs2images(T.dmatrix(), (2, 2), (1, 1, 4, 4), mode="half")
    with pytest.raises(ShapeError):
        neibs2images(T.zeros((4, 4)), (2, 2), (1, 1, 4, 5))


@pytest.mark.parametrize("mode", ["valid", "ignore_borders"])
def test_neighbourhoods_and_back(mode: str) -> None:
    x = T.dtensor4()
    rows = T.nnet.neighbours.images2neibs(x, (2, 3), mode=mode)
    back = T.nnet.neighbours.neibs2images(rows, (2, 3), x.shape, mode)
    data = np.random.default_rng(0).normal(size=(2, 3, 4 + (mode != "valid"), 6))
    expected = data.copy()
    expected[:, :, 4:] = 0
    np.testing.assert_array_equal(value(back, {x: data}), expected)


# --- extents that are known when the function runs -----------------------------------------------------------------


@SMALL
@given(poolings(), st.sampled_from(MODES), st.booleans())
def test_symbolic_windows(case: Any, mode: str, vectors: bool) -> None:
    x, how = case
    if not x.size:
        return
    spatial = len(how["ws"])
    numbers = {name: n for name, n in how.items() if name in ("ws", "stride", "pad") and n is not None}
    if vectors:
        symbols: Any = {name: T.ivector(name) for name in numbers}
        leaves = list(symbols.values())
    else:
        symbols = {name: (T.lscalar(name), *numbers[name][1:]) for name in numbers}
        leaves = [entries[0] for entries in symbols.values()]
    values = [np.array(n, "int32") if vectors else n[0] for n in numbers.values()]
    reduced = pool_2d if spatial == 2 else pool_3d
    xs = TensorType("float64", (None,) * x.ndim)()
    outputs = []
    for given_ in (how, how | symbols):
        y = reduced(xs, **given_, mode=mode)
        weights = T.arange(y.size).reshape(y.shape) + 1.0
        outputs += [y, tg.grad((weights * y).sum(), xs)]
    run = tg.function([xs, *leaves], outputs, on_unused_input="ignore")
    y, g, ys, gs = run(x, *values)
    np.testing.assert_allclose(ys, y, rtol=1e-13)
    np.testing.assert_allclose(gs, g, rtol=1e-12, atol=1e-12)


def test_symbolic_windows_of_the_image() -> None:
    x, n = T.tensor4("x"), T.lscalar("n")
    whole = pool_2d(x, x.shape[2:], ignore_border=True, mode="average_exc_pad")
    image = np.arange(12.0).reshape((1, 1, 3, 4))
    np.testing.assert_allclose(whole.eval({x: image}), image.mean((2, 3), keepdims=True))
    assert pool_2d(T.itensor4(), n, mode="max").dtype == "int32"
    f = tg.function([x, n], pool_2d(x, (n, 2), ignore_border=False, pad=(0, 0)))
    assert f(image, 2).shape == (1, 1, 2, 2)
    for wrong in (0, -1):
        with pytest.raises(AssertionError, match="at least 1"):
            f(image, wrong)
    with pytest.raises(AssertionError, match="ignore_border"):
        tg.function([x, n], pool_2d(x, (2, 2), ignore_border=False, pad=(n, 0)))(image, 1)
    with pytest.raises(ShapeError):
        pool_2d(x, (n, 2, 2))
    with pytest.raises(ShapeError):
        pool_2d(x, (n, 2), pad=(n, 0), padding=(1, 1))
