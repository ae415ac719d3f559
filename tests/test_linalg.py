"""Products of vectors, matrices and tensors, beyond the op table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import toposort
from tinygraph.ops.linalg import MatMul, TensorDot

SMALL = settings(max_examples=60, deadline=None)


def value(output: Any, givens: dict[Any, Any]) -> Any:
    return tg.function(list(givens), output)(*givens.values())


# --- against NumPy ------------------------------------------------------------------------------------------------


@st.composite
def contractions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    pairs = draw(st.integers(0, 2))
    inner = draw(st.lists(st.integers(0, 3), min_size=pairs, max_size=pairs))
    sides = []
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for _ in range(2):
        free = draw(st.lists(st.integers(0, 3), max_size=2))
        ndim = pairs + len(free)
        places = draw(st.permutations(range(ndim)))
        shape = [0] * ndim
        for place, extent in zip(places, (*inner, *free), strict=True):
            shape[place] = extent
        axes = [place - ndim * draw(st.booleans()) for place in places[:pairs]]
        sides.append((rng.integers(-3, 4, shape).astype("float64"), axes))
    (x, x_axes), (y, y_axes) = sides
    return x, y, [x_axes, y_axes]


@SMALL
@given(contractions())
def test_tensordot_and_its_gradients(case: tuple[np.ndarray, np.ndarray, list[list[int]]]) -> None:
    x, y, axes = case
    a, b = T.tensor("float64", (None,) * x.ndim), T.tensor("float64", (None,) * y.ndim)
    out = T.tensordot(a, b, axes)
    expected = np.tensordot(x, y, axes)
    weights = np.random.default_rng(0).integers(-3, 4, expected.shape).astype("float64")
    got, gx, gy = value([out, *tg.Lop(out, [a, b], T.constant(weights))], {a: x, b: y})
    np.testing.assert_array_equal(got, expected)
    # The product is linear in each operand, so its derivative along the operand itself is the product again.
    np.testing.assert_array_equal((gx * x).sum(), (weights * expected).sum())
    np.testing.assert_array_equal((gy * y).sum(), (weights * expected).sum())
    assert gx.shape == x.shape
    assert gy.shape == y.shape


@st.composite
def stacks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Operands of matmul whose stacks broadcast."""
    m, k, n = (draw(st.integers(0, 3)) for _ in range(3))
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def operand(matrix: tuple[int, int], vector: tuple[int]) -> np.ndarray:
        if draw(st.integers(0, 4)) == 0:
            return rng.integers(-3, 4, vector).astype("float64")
        kept = batch[draw(st.integers(0, len(batch))) :]
        return rng.integers(-3, 4, [*(draw(st.sampled_from([1, e])) for e in kept), *matrix]).astype("float64")

    return operand((m, k), (k,)), operand((k, n), (k,))


@SMALL
@given(stacks())
def test_matmul_and_its_gradients(case: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = case
    # Extents of 1 are not known to be 1 before the function runs.
    a, b = T.tensor("float64", (None,) * x.ndim), T.tensor("float64", (None,) * y.ndim)
    expected = np.matmul(x, y)
    for out in (T.matmul(a, b), MatMul()(a, b), a @ b):
        weights = np.random.default_rng(0).integers(-3, 4, np.shape(expected)).astype("float64")
        got, gx, gy = value([out, *tg.Lop(out, [a, b], T.constant(weights))], {a: x, b: y})
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal((gx * x).sum(), (weights * expected).sum())
        np.testing.assert_array_equal((gy * y).sum(), (weights * expected).sum())
        assert gx.shape == x.shape
        assert gy.shape == y.shape


def test_second_order_through_a_broadcast_stack() -> None:
    x, y = T.tensor3("x"), T.matrix("y")
    cost = (MatMul()(x, y) ** 3).sum()
    gy = tg.grad(cost, y)
    gxy = tg.grad((gy**2).sum(), x)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 2))
    f = tg.function([x, y], (gy**2).sum())
    got = tg.function([x, y], gxy)(a, b)
    step = 1e-6
    moved = a.copy()
    moved[1, 2, 3] += step
    np.testing.assert_allclose(got[1, 2, 3], (f(moved, b) - f(a, b)) / step, rtol=1e-4)


# --- shape errors -------------------------------------------------------------------------------------------------


def test_mismatch_names_both_sides() -> None:
    x, w = T.tensor("float64", (None, 784), name="x"), T.tensor("float64", (785, 10), name="W")
    with pytest.raises(ShapeError, match="left columns 784, right rows 785") as caught:
        T.dot(x, w)
    text = str(caught.value)
    assert "x: float64 (?, 784)" in text
    assert "W: float64 (785, 10)" in text
    assert "T.dot(x, w)" in text


@pytest.mark.parametrize(
    ("left", "right", "hint"),
    [
        ((2, 3), (4, 3), "transpose the right operand: .T"),
        ((3, 2), (3, 4), "transpose the left operand: .T"),
        ((3, 2), (4, 3), "exchange the operands"),
        ((5, 2, 3), (5, 4, 3), "transpose the right operand: .swapaxes(-1, -2)"),
        ((3,), (4, 3), "transpose the right operand"),
        ((3, 4), (3,), "transpose the left operand"),
        ((3,), (4,), ""),
        ((2, 3), (4, 5), ""),
    ],
)
def test_hints(left: tuple[int, ...], right: tuple[int, ...], hint: str) -> None:
    with pytest.raises(ShapeError, match="the inner extents of a matrix product differ") as caught:
        T.matmul(T.tensor("float64", left), T.tensor("float64", right))
    assert caught.value.hint.startswith(hint)
    assert bool(caught.value.hint) == bool(hint)


def test_mismatch_of_unknown_extents_is_found_when_called() -> None:
    x, w, v = T.matrix("x"), T.matrix("w"), T.tensor3("v")
    f = tg.function([x, w], T.tanh(x).dot(w).sum())
    with pytest.raises(ShapeError, match="left columns 3, right rows 4"):
        f(np.ones((2, 3)), np.ones((4, 2)))
    g = tg.function([v, w], T.tensordot(v, w, [[0, 1], [0, 1]]))
    with pytest.raises(ShapeError, match="axis 0 of the left operand and axis 0 of the right one differ: 2 and 3"):
        g(np.ones((2, 3, 1)), np.ones((3, 2)))  # as many elements, but other pairs


def test_products_that_make_no_sense() -> None:
    x, v, s = T.matrix("x"), T.tensor3("v"), T.scalar("s")
    with pytest.raises(ShapeError, match="at least vectors"):
        T.matmul(s, x)
    with pytest.raises(ShapeError, match="a first axis"):
        T.batched_dot(s, x)
    with pytest.raises(ShapeError, match="different numbers of items: 2 and 3"):
        T.batched_dot(T.tensor("float64", (2, 4)), T.tensor("float64", (3,)))
    with pytest.raises(ShapeError, match="axis 0 of the left operand"):
        value(T.batched_dot(v, x), {v: np.ones((2, 3, 4)), x: np.ones((3, 4))})
    with pytest.raises(ShapeError, match="do not broadcast"):
        T.matmul(T.tensor("float64", (2, 3, 4)), T.tensor("float64", (3, 4, 2)))
    for axes, error, text in (
        (3, ShapeError, "cannot sum over 3 pairs"),
        (-1, ShapeError, "cannot sum over -1 pairs"),
        ([0], DtypeError, "axes is a number"),
        ("01", DtypeError, "axes is a number"),
        ([[0, 1], [0]], ShapeError, "does not pair"),
        ([[0, 0], [0, 1]], ShapeError, "does not pair"),
        ([[5], [0]], ShapeError, "no axis 5"),
        ([[0.5], [0]], DtypeError, "an axis is an integer"),
    ):
        with pytest.raises(error, match=text) as caught:
            T.tensordot(x, v, axes)
        assert caught.value.op == "tensordot"
    for axes in (2, [[0], [0]], [[1], [0]]):
        with pytest.raises(ShapeError):
            T.batched_tensordot(x, x, axes)


def test_operations_need_one_dtype() -> None:
    x, y = T.fmatrix("x"), T.dmatrix("y")
    for op in (MatMul(), TensorDot((1,), (0,))):
        with pytest.raises(DtypeError, match="need one dtype"):
            op(x, y)
    assert T.dot(x, y).dtype == "float64"


# --- what may be multiplied ---------------------------------------------------------------------------------------


def test_numbers_lists_and_arrays() -> None:
    x = T.fmatrix("x")
    data = np.array([[1, 2], [3, 4]], "float32")
    assert T.dot(x, 2).dtype == "float32"
    np.testing.assert_array_equal(value(T.dot(2, x), {x: data}), 2 * data)
    np.testing.assert_array_equal(value(T.dot(x, [1, 1]), {x: data}), [3, 7])
    np.testing.assert_array_equal(value(T.dot(data, x), {x: data}), data @ data)
    np.testing.assert_array_equal(value(x.dot(x.T), {x: data}), data @ data.T)
    np.testing.assert_array_equal(value(T.outer([1, 2], x), {x: data}), np.outer([1, 2], data))


def test_products_of_bools_are_logical() -> None:
    x, y = T.bmatrix("x"), T.tensor("bool", (None, None))
    data = np.array([[True, True], [False, False]])
    out = T.dot(y, y)
    assert out.dtype == "bool"
    np.testing.assert_array_equal(value(out, {y: data}), data @ data)
    assert T.dot(x, y).dtype == "int8"


def test_integers_wrap_as_in_numpy() -> None:
    x = T.tensor("int8", (None,))
    assert value(T.dot(x, x), {x: np.array([100, 100], "int8")}) == np.int8(20000 % 256)


def test_static_shapes_of_results() -> None:
    x, y = T.tensor("float64", (None, 3)), T.tensor("float64", (3, 5))
    assert T.dot(x, y).type.shape == (None, 5)
    assert T.dot(x, T.vector()).type.shape == (None,)
    assert T.tensordot(x, y, 1).type.shape == (None, 5)
    assert T.batched_dot(T.tensor("float64", (None, 2, 3)), T.tensor("float64", (7, 3, 4))).type.shape == (7, 2, 4)
    assert T.matmul(T.tensor("float64", (None, 2, 3)), T.tensor("float64", (7, 3, 4))).type.shape == (7, 2, 4)


# --- gradients ----------------------------------------------------------------------------------------------------


def nodes(outputs: list[Any]) -> Counter[str]:
    return Counter(type(node.op).__name__ for node in toposort(outputs))


def test_gradients_of_matrix_products_are_two_products_and_two_views() -> None:
    x, w, g = T.matrices("x", "w", "g")
    assert nodes(tg.Lop(T.dot(x, w), [x, w], g)) == {"MatMul": 2, "DimShuffle": 2}


def test_gradients_of_vector_products_are_small() -> None:
    x, y, w = T.vector("x"), T.vector("y"), T.matrix("w")
    s, g = T.scalar("s"), T.vector("g")
    assert nodes(tg.Lop(T.dot(x, y), [x, y], s)) == {"Elementwise": 2}
    assert nodes(tg.Lop(T.dot(x, w), [x], g)) == {"MatMul": 1}
    assert nodes(tg.Lop(T.dot(w, x), [x], g)) == {"MatMul": 1, "DimShuffle": 1}
    assert nodes(tg.Lop(T.dot(w, x), [w], g)) == {"DimShuffle": 2, "Elementwise": 1}


def test_gradient_of_a_stack_times_a_matrix_is_one_product() -> None:
    x, w, g = T.tensor3("x"), T.matrix("w"), T.tensor3("g")
    assert nodes(tg.Lop(T.matmul(x, w), [w], g)) == {"TensorDot": 1}


def test_integer_operands_carry_no_gradient() -> None:
    x, n = T.matrix("x"), T.imatrix("n")
    got = value(tg.grad(T.dot(x, n).sum(), x), {x: np.ones((2, 2)), n: np.array([[1, 2], [3, 4]], "int32")})
    np.testing.assert_array_equal(got, [[3, 7], [3, 7]])
