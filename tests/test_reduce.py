"""Reductions, statistics, cumulative operations and sorting, beyond the op table."""

from __future__ import annotations

import functools
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops.cumulative import CumProd, LinearRecurrence, Shift
from tinygraph.ops.sorting import Permute
from tinygraph.testing import check_grad

SMALL = settings(max_examples=60, deadline=None)
FLOATS = st.floats(-4, 4, width=32)


def value(output: Any, givens: dict[Any, Any]) -> Any:
    return tg.function(list(givens), output)(*givens.values())


def gradient(cost: Any, x: Any, at: Any) -> Any:
    return value(tg.grad(cost, x), {x: at})


@st.composite
def reductions(draw: st.DrawFn) -> tuple[np.ndarray, Any, bool]:
    """An array of up to three dimensions, some perhaps empty, an axis argument and keepdims."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    seed = draw(st.integers(0, 2**32 - 1))
    x = np.random.default_rng(seed).integers(-3, 4, shape) * 0.5
    ndim = len(shape)
    axes = draw(st.lists(st.sampled_from(range(ndim)), unique=True)) if ndim else []
    signed = [axis - ndim * draw(st.booleans()) for axis in axes]
    form = draw(st.sampled_from(["none", "tuple", "list", "array", "int"]))
    if form == "none":
        axis: Any = None
    elif form == "int" and signed:
        axis = draw(st.sampled_from([int, np.int8, np.int64]))(signed[0])
    elif form == "list":
        axis = signed
    elif form == "array" and signed:
        axis = np.array(signed)
    else:
        axis = tuple(signed)
    return x, axis, draw(st.booleans())


def numpy_axis(axis: Any) -> Any:
    return tuple(int(a) for a in axis) if isinstance(axis, (list, tuple, np.ndarray)) else axis


# --- every axis form against NumPy --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "any", "all"])
@SMALL
@given(reductions())
def test_axis_forms(name: str, case: tuple[np.ndarray, Any, bool]) -> None:
    data, axis, keepdims = case
    x = T.tensor("float64", (None,) * data.ndim)
    out = getattr(T, name)(x, axis=axis, keepdims=keepdims)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = getattr(np, name)(data, axis=numpy_axis(axis), keepdims=keepdims)
    got = value(out, {x: data})
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    assert got.shape == np.shape(expected)
    assert out.ndim == got.ndim


@pytest.mark.parametrize("name", ["max", "min", "ptp"])
@SMALL
@given(reductions())
def test_extrema_axis_forms(name: str, case: tuple[np.ndarray, Any, bool]) -> None:
    data, axis, keepdims = case
    x = T.tensor("float64", (None,) * data.ndim)
    out = getattr(T, name)(x, axis=axis, keepdims=keepdims)
    try:
        expected = getattr(np, name)(data, axis=numpy_axis(axis), keepdims=keepdims)
    except ValueError:
        with pytest.raises(ShapeError, match="of no elements is not defined"):
            value(out, {x: data})
    else:
        np.testing.assert_array_equal(value(out, {x: data}), expected)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@SMALL
@given(reductions())
def test_places_axis_forms(name: str, case: tuple[np.ndarray, Any, bool]) -> None:
    data, axis, keepdims = case
    axes = range(data.ndim) if axis is None else [a % data.ndim for a in np.ravel(np.array(axis, int))]
    x = T.tensor("float64", (None,) * data.ndim)
    out = getattr(T, name)(x, axis=axis, keepdims=keepdims)
    kept = [a for a in range(data.ndim) if a not in axes]
    shape = [1 if a in axes else n for a, n in enumerate(data.shape) if keepdims or a not in axes]
    if 0 in [data.shape[a] for a in axes]:
        with pytest.raises(ShapeError, match="of no elements is not defined"):
            value(out, {x: data})
        return
    if not data.size:
        assert value(out, {x: data}).shape == tuple(shape)
        return
    moved = np.transpose(data, (*kept, *sorted(axes))).reshape(*[data.shape[a] for a in kept], -1)
    got = value(out, {x: data})
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, getattr(np, name)(moved, axis=-1).reshape(shape))


@SMALL
@given(reductions())
def test_logsumexp_and_its_gradient(case: tuple[np.ndarray, Any, bool]) -> None:
    data, axis, keepdims = case
    data = data * 1000
    x = T.tensor("float64", (None,) * data.ndim)
    out = T.logsumexp(x, axis=axis, keepdims=keepdims)
    got = value([out, tg.grad(out.sum(), x)], {x: data})
    axes = numpy_axis(axis)
    if data.size:
        np.testing.assert_allclose(
            got[0], scipy.special.logsumexp(data, axis=axes, keepdims=keepdims), rtol=1e-12, atol=1e-15
        )
        np.testing.assert_allclose(got[1], scipy.special.softmax(data, axis=axes), atol=1e-12)
    else:
        assert np.all(got[0] == -np.inf)
        assert got[1].shape == data.shape


def test_a_shape_that_is_known_gives_a_known_shape() -> None:
    x = T.tensor("float32", (2, None, 4))
    assert T.sum(x, axis=(0, -1)).type.shape == (None,)
    assert T.argmax(x, axis=0, keepdims=True).type.shape == (1, None, 4)
    assert T.logsumexp(x, axis=1).type.shape == (2, 4)


def test_one_function_serves_several_shapes() -> None:
    x = T.matrix("x")
    f = tg.function([x], [x.mean(), T.var(x, axis=0), T.prod(x, axis=(0, 1))])
    for shape in ((2, 3), (4, 1), (1, 5)):
        data = np.random.default_rng(0).normal(size=shape)
        mean, var, prod = f(data)
        np.testing.assert_allclose(mean, data.mean())
        np.testing.assert_allclose(var, data.var(axis=0), atol=1e-15)
        np.testing.assert_allclose(prod, data.prod())


# --- axis arguments that make no sense ----------------------------------------------------------------------------


@pytest.mark.parametrize("function", [T.sum, T.max, T.argmin, T.mean, T.std, T.norm, T.logsumexp, T.any])
def test_bad_axes(function: Any) -> None:
    x = T.matrix("x")
    for axis, error, text in (
        (2, ShapeError, "no axis 2"),
        (-3, ShapeError, "no axis -3"),
        ((0, 0), ShapeError, "named twice"),
        ((0, -2), ShapeError, "named twice"),
        (1.0, DtypeError, "an axis is an integer"),
        ("0", DtypeError, "an axis is an integer"),
        (True, DtypeError, "an axis is an integer"),
        (T.iscalar("axis"), DtypeError, "known when the graph is built"),
        ((0, T.iscalar("axis")), DtypeError, "known when the graph is built"),
    ):
        with pytest.raises(error, match=text) as caught:
            function(x, axis=axis)
        assert caught.value.op
        assert "test_reduce.py" in str(caught.value)


@pytest.mark.parametrize("function", [T.cumsum, T.cumprod, T.sort, T.argsort])
def test_bad_single_axes(function: Any) -> None:
    with pytest.raises(ShapeError, match="no axis 2"):
        function(T.matrix("x"), axis=2)
    with pytest.raises(ShapeError, match="exactly one axis"):
        function(T.matrix("x"), axis=(0, 1))
    with pytest.raises(DtypeError, match="an axis is an integer"):
        function(T.matrix("x"), axis=0.5)


def test_a_scalar_has_no_axis() -> None:
    with pytest.raises(ShapeError, match="no axis 0"):
        T.sum(T.scalar("x"), axis=0)
    assert value(T.sum(x := T.scalar("x"), axis=()), {x: 3}) == 3


def test_symbolic_constants_are_axes() -> None:
    x = T.matrix("x")
    assert T.sum(x, axis=T.constant(1)).type == T.sum(x, axis=1).type
    assert T.sum(x, axis=T.constant([0, 1])).ndim == 0


# --- dtypes -------------------------------------------------------------------------------------------------------

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_results(dtype: str) -> None:
    data = np.array([[1, 0], [1, 1]], dtype)
    x = T.tensor(dtype, (None, None))
    for name in ("sum", "prod", "max", "min", "any", "all", "cumsum", "cumprod", "sort", "argmax", "argsort"):
        expected = getattr(np, name)(data)
        got = value(getattr(T, name)(x, axis=None) if "sort" not in name else getattr(T, name)(x), {x: data})
        assert got.dtype == expected.dtype, name
        np.testing.assert_array_equal(got, expected)
    floats = dtype if dtype.startswith("float") else "float64"
    for function in (T.mean, T.var, T.std, T.norm, T.logsumexp):
        assert function(x).dtype == floats


def test_floatx_of_integer_means() -> None:
    with tg.config.change_flags(floatX="float32"):
        x = T.ivector("x")
        for function in (T.mean, T.var, T.std, T.norm, T.logsumexp):
            assert function(x).dtype == "float32"
        np.testing.assert_allclose(value(T.mean(x), {x: [1, 2, 4]}), 7 / 3, rtol=1e-6)
        assert value(T.mean(T.eq(x, 2)), {x: [1, 2, 4, 2]}) == 0.5


def test_dtype_of_sum() -> None:
    x, n = T.fvector("x"), T.ivector("n")
    assert T.sum(x, dtype="float64").dtype == "float64"
    assert T.sum(x, acc_dtype="float64").dtype == "float32"
    assert T.sum(n, dtype="int8").dtype == "int8"
    assert value(T.sum(n, dtype="int8"), {n: [100, 100]}) == np.int8(-56)
    assert value(T.sum(x, dtype="int32"), {x: [1.5, 1.5]}) == 3  # cast after the sum, not before
    assert value(T.prod(n, dtype="float64"), {n: [2**30, 2**30, 2**30]}) == 2.0**90
    assert T.mean(n, dtype="float32").dtype == "float32"
    assert T.mean(x, dtype="float64").dtype == "float64"
    assert T.mean(n, dtype="int32").dtype == "float64"


def test_an_accumulator_must_not_lose_precision() -> None:
    with pytest.raises(DtypeError, match="accumulating float64 in float32 would lose precision") as caught:
        T.sum(T.dvector("x"), acc_dtype="float32")
    assert caught.value.op == "sum"
    with pytest.raises(DtypeError, match="would lose precision"):
        T.mean(T.lvector("x"), acc_dtype="int8")
    assert T.sum(T.lvector("x"), acc_dtype="float32").dtype == "int64"


def test_acc_dtype_accumulates() -> None:
    x = T.fvector("x")
    data = np.array([2.0**25] + [1.0] * 8, "float32")
    wide = value(T.sum(x, acc_dtype="float64"), {x: data})
    assert wide == np.float32(2.0**25 + 8)


def test_float16_is_added_up_in_float32() -> None:
    x = T.tensor("float16", (None,))
    data = np.full(100_000, 2.0, "float16")
    for function, expected in ((T.mean, 2.0), (T.std, 0.0), (T.var, 0.0)):
        got = value(function(x), {x: data})
        assert got.dtype == np.float16
        assert got == expected
    assert value(T.sum(x, dtype="float32"), {x: data}) == 200_000
    assert value(T.norm(x), {x: np.full(100, 1000.0, "float16")}) == np.float16(10_000)


def test_float32_stays_accurate() -> None:
    data = np.random.default_rng(0).normal(3, 1, 400_000).astype("float32")
    x = T.fvector("x")
    for function, reference in ((T.mean, np.mean), (T.var, np.var), (T.std, np.std), (T.norm, np.linalg.norm)):
        got = value(function(x), {x: data})
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, reference(data.astype("float64")), rtol=2e-6)
    np.testing.assert_allclose(
        value(T.logsumexp(x), {x: data}), scipy.special.logsumexp(data.astype("float64")), rtol=2e-6
    )


# --- extrema ------------------------------------------------------------------------------------------------------


def test_ties_each_get_the_whole_gradient() -> None:
    x = T.matrix("x")
    data = [[1, 3, 3], [2, 2, 2]]
    np.testing.assert_array_equal(gradient(T.max(x, axis=1).sum(), x, data), [[0, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(gradient(T.min(x), x, data), [[1, 0, 0], [0, 0, 0]])


def test_nan_is_the_extremum() -> None:
    x = T.matrix("x")
    data = np.array([[1, np.nan, 3], [2, 1, 0]])
    for name in ("max", "min", "argmax", "argmin"):
        got = value(getattr(T, name)(x, axis=1), {x: data})
        np.testing.assert_array_equal(got, getattr(np, name)(data, axis=1))
    np.testing.assert_array_equal(gradient(T.max(x, axis=1)[1], x, data), [[0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_extrema_of_nothing(name: str) -> None:
    function = getattr(T, name)
    known = T.tensor("float64", (3, 0), name="x")
    with pytest.raises(ShapeError, match=f"the {name} of no elements is not defined") as caught:
        function(known, axis=1)
    assert "axis 1" in str(caught.value)
    assert function(known, axis=0).type.shape == (0,)
    unknown = T.matrix("x")
    out = function(unknown, axis=1)
    with pytest.raises(ShapeError, match="of no elements"):
        value(out, {unknown: np.zeros((2, 0))})


def test_max_and_argmax_gradient_goes_through_max_alone() -> None:
    x = T.vector("x")
    largest, place = T.max_and_argmax(x)
    np.testing.assert_array_equal(gradient(largest * place, x, [1, 5, 2]), [0, 1, 0])
    with pytest.raises(tg.gradient.DisconnectedInputError, match="argmax"):
        tg.grad(T.cast(place, "float64"), x)


def test_methods_are_the_functions() -> None:
    x = T.matrix("x")
    data = np.arange(6.0).reshape(2, 3)
    for name in ("sum", "prod", "mean", "var", "std", "max", "min", "argmax", "argmin", "any", "all", "ptp"):
        got = value(getattr(x, name)(axis=0), {x: data})
        np.testing.assert_allclose(got, value(getattr(T, name)(x, axis=0), {x: data}))
    np.testing.assert_allclose(value(x.norm(1, axis=1), {x: data}), [3, 12])


# --- gradients at zero --------------------------------------------------------------------------------------------


def test_norm_and_std_have_finite_gradients_at_zero() -> None:
    x = T.vector("x")
    for cost in (T.norm(x), T.norm(x, 3), T.norm(x, 1.5), T.norm(x, 0.5), T.norm(x, 1), T.std(x), T.std(x, ddof=1)):
        first = tg.grad(cost, x)
        second = tg.grad((first * T.arange(3)).sum(), x)
        for got in value([first, second], {x: np.zeros(3)}):
            np.testing.assert_array_equal(got, np.zeros(3))


def test_norm_of_some_rows_at_zero() -> None:
    x = T.matrix("x")
    data = np.array([[3.0, 4.0], [0.0, 0.0]])
    cost = T.norm(x, axis=1).sum()
    np.testing.assert_allclose(gradient(cost, x, data), [[0.6, 0.8], [0, 0]])
    hessian_row = tg.grad(tg.grad(cost, x)[0, 0], x)
    np.testing.assert_allclose(value(hessian_row, {x: data}), [[16 / 125, -12 / 125], [0, 0]])


def test_elements_at_zero_of_other_norms() -> None:
    x = T.vector("x")
    np.testing.assert_allclose(gradient(T.norm(x, 0.5), x, [4.0, 0.0]), [1.0, 0.0])
    np.testing.assert_allclose(gradient(T.norm(x, 1.5), x, [1.0, 0.0]), [1.0, 0.0])
    assert value(T.norm(x, -1), {x: [1.0, 0.0]}) == 0.0


def test_norms_that_are_none() -> None:
    for bad in ("fro", None, True, np.nan, T.scalar("L")):
        with pytest.raises(DtypeError, match="a norm has a number"):
            T.norm(T.vector("x"), bad)
    with pytest.raises(DtypeError, match="ddof is a number"):
        T.var(T.vector("x"), ddof=True)
    with pytest.raises(DtypeError, match="ddof is a number"):
        T.std(T.vector("x"), ddof=T.iscalar("n"))


def test_ddof_beyond_the_count() -> None:
    x = T.vector("x")
    assert value(T.var(x, ddof=2), {x: [1.0, 2.0]}) == np.inf
    assert np.isnan(value(T.var(x, ddof=3), {x: [2.0]}))


def test_corrected_variance_undoes_the_rounding_of_the_mean() -> None:
    x = T.fvector("x")
    data = (1e6 + np.random.default_rng(0).random(1000)).astype("float32")
    exact = np.var(data.astype("float64"))
    plain, corrected = value([T.var(x), T.var(x, corrected=True)], {x: data})
    assert abs(corrected - exact) <= abs(plain - exact)
    np.testing.assert_allclose(corrected, exact, rtol=1e-3)


# --- products with zeros ------------------------------------------------------------------------------------------


def exact_hessian(x: np.ndarray) -> np.ndarray:
    out = np.zeros((x.size, x.size))
    for i, j in itertools.permutations(range(x.size), 2):
        out[i, j] = np.prod(np.delete(x, [i, j]))
    return out


@SMALL
@given(st.lists(st.sampled_from([0.0, 0.0, 1.0, -2.0, 3.0]), min_size=1, max_size=6))
def test_product_gradients_are_exact_with_zeros(entries: list[float]) -> None:
    data = np.array(entries)
    x = T.vector("x")
    first = tg.grad(T.prod(x), x)
    rows = [tg.grad(first[i], x) for i in range(data.size)]
    got = value([first, *rows], {x: data})
    np.testing.assert_array_equal(got[0], [np.prod(np.delete(data, i)) for i in range(data.size)])
    np.testing.assert_array_equal(np.array(got[1:]), exact_hessian(data))


def test_third_derivative_of_a_product_of_zeros() -> None:
    x = T.vector("x")
    out = T.prod(x)
    for i in (0, 1, 2):
        out = tg.grad(out, x)[i]
    assert value(out, {x: [0.0, 0.0, 0.0, 5.0]}) == 5.0
    assert value(out, {x: [0.0, 0.0, 0.0, 0.0]}) == 0.0


@SMALL
@given(st.integers(0, 9), st.booleans(), st.integers(0, 2**32 - 1))
def test_linear_recurrence_is_the_loop(n: int, reverse: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-2, 3, (2, 3, n)).astype("float64")
    order = range(n - 1, -1, -1) if reverse else range(n)
    expected, state = np.zeros((3, n)), np.zeros(3)
    for k in order:
        state = expected[:, k] = b[:, k] + a[:, k] * state
    x, y = T.dmatrices("x", "y")
    got = value(LinearRecurrence(1, reverse)(x, y), {x: a, y: b})
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_the_ops_behind_products(reverse: bool) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 2, 5))
    x[0, 2] = 0
    check_grad(LinearRecurrence(1, reverse), x, y, order=2, seed=0)
    check_grad(Shift(0, -1 if reverse else 1), x, order=1, seed=0)
    for exclusive in (False, True):
        check_grad(CumProd(1, exclusive, reverse), x, order=2, seed=0)
    assert value(CumProd(0, True, reverse)(v := T.vector("v")), {v: [2, 3]}).tolist() == ([3, 1] if reverse else [1, 2])


def test_long_products() -> None:
    data = np.exp(np.random.default_rng(0).normal(0, 0.01, 20_000))
    x = T.vector("x")
    np.testing.assert_allclose(gradient(T.prod(x), x, data), np.prod(data) / data, rtol=1e-9)
    np.testing.assert_allclose(gradient(T.cumprod(x)[-1], x, data), np.prod(data) / data, rtol=1e-9)


def test_recurrences_need_fitting_operands() -> None:
    with pytest.raises(ShapeError, match="a coefficient for each term"):
        LinearRecurrence(0)(T.tensor("float64", (2,)), T.tensor("float64", (3,)))
    with pytest.raises(DtypeError, match="of the type of its terms"):
        LinearRecurrence(0)(T.fvector("a"), T.dvector("b"))


# --- masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "through",
    [
        T.sum,
        T.mean,
        functools.partial(T.sum, axis=0, keepdims=True),
        T.cumsum,
        lambda v: T.cumsum(v, axis=0),
        T.sort,
        T.max,
        lambda v: T.sum(v, dtype="float64"),
    ],
)
def test_masked_lanes_stay_zero_behind_a_switch(through: Any) -> None:
    x = T.vector("x")
    inner = through(T.sqrt(x))
    cost = T.sum(T.switch(T.ge(T.sum(x), 100), inner, 0))
    np.testing.assert_array_equal(gradient(cost, x, [0.0, 4.0]), [0, 0])
    outer = through(T.switch(x > 0, T.sqrt(x), 0))
    got = gradient(T.sum(outer), x, [0.0, 4.0])
    assert got[0] == 0
    assert np.isfinite(got).all()
    assert got[1] > 0


# --- logsumexp ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_of_special_values(dtype: str) -> None:
    x = T.matrix("x", dtype=dtype)
    inf, nan = np.inf, np.nan
    rows = [[-inf, -inf], [inf, 0], [inf, inf], [nan, 0], [nan, inf], [-inf, 3], [1e4, 1e4], [-1e4, -1e4], [inf, -inf]]
    got = value(T.logsumexp(x, axis=1), {x: np.array(rows, dtype)})
    expected = np.array([-inf, inf, inf, nan, nan, 3, 1e4 + np.log(2), -1e4 + np.log(2), inf], dtype)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_logsumexp_gradient_is_accurate_for_large_float32() -> None:
    x = T.fvector("x")
    data = np.array([1e4, 1e4 - 1, 1e4 - 2], "float32")
    for mode in ("FAST_RUN", "FAST_COMPILE"):
        got = tg.function([x], tg.grad(T.logsumexp(x), x), mode=mode)(data)
        np.testing.assert_allclose(got, scipy.special.softmax([0.0, -1.0, -2.0]), rtol=1e-6)


# --- sorting ------------------------------------------------------------------------------------------------------


@SMALL
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan, np.inf]), min_size=3, max_size=3), max_size=4))
def test_sorting_with_ties_and_nan(rows: list[list[float]]) -> None:
    data = np.array(rows).reshape(-1, 3)
    x = T.matrix("x")
    out = T.sort(x, axis=0)
    weights = np.arange(data.size).reshape(data.shape)
    got = value([out, T.argsort(x, axis=0, kind="stable"), tg.grad((out * weights).sum(), x)], {x: data})
    np.testing.assert_array_equal(got[0], np.sort(data, axis=0))
    np.testing.assert_array_equal(got[1], np.argsort(data, axis=0, kind="stable"))
    np.testing.assert_array_equal(np.sort(got[2], axis=0), weights)  # each weight arrives once


def test_sort_gradient_reaches_what_was_sorted() -> None:
    x = T.vector("x")
    np.testing.assert_array_equal(gradient((T.sort(x) * T.arange(3)).sum(), x, [5.0, 1.0, 3.0]), [2, 0, 1])


def test_arguments_of_sort() -> None:
    x = T.vector("x")
    for kind in ("quicksort", "heapsort", "mergesort", "stable", None):
        assert value(T.sort(x, -1, kind), {x: [2, 1]}).tolist() == [1, 2]
    for bad in ("bogosort", 3):
        with pytest.raises(DtypeError, match="no such way of sorting"):
            T.argsort(x, kind=bad)
    with pytest.raises(DtypeError, match="no fields"):
        T.sort(x, order="field")
    with pytest.raises(ShapeError, match="no axis -1"):
        T.sort(T.scalar("x"))


def test_permutations_must_fit() -> None:
    with pytest.raises(ShapeError, match="a place for each element"):
        Permute(0)(T.tensor("float64", (3,)), T.tensor("int64", (2,)))
