"""Products of our own: every layout, size and cut gives what float64 gives, and writes nothing beside the result."""

import ctypes
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.backends.native import gemm, gemv
from tinygraph.program.steps import Product, Storage, View

DTYPES = ("float32", "float64")
SIZES = st.one_of(st.integers(1, 20), st.sampled_from([23, 31, 32, 33, 48, 49, 64, 100, 330]))


def _bits(dtype, value):
    code = "<f" if dtype == "float32" else "<d"
    return int.from_bytes(struct.pack(code, value).ljust(8, b"\0"), "little", signed=True)


def product(a, b, c, alpha=1.0, beta=0.0, parts=1, copied=False):
    """``alpha · a · b + beta · c`` for stacks of matrices, over ``c``; parts are computed last to first.

    ``copied``: the first operand is copied, even where that does not pay.
    """
    dtype = a.dtype.name
    made = gemm.cut(dtype, (*a.shape[:2], b.shape[2], a.shape[2]), (a.strides, b.strides, c.strides), parts)
    own = dict(made.words)
    if copied:
        own["pack_a"] = 1
        own["scratch_size"] = -(-(own["scratch_a"] + own["rows"] * own["depth"] * a.itemsize) // 64) * 64
    memory = own["scratch_size"] * made.parts
    scratch = np.full(memory + 192, 0x7F, dtype="uint8")
    start = -(-scratch.ctypes.data // 64) * 64
    alphas = np.array(alpha, dtype=dtype)
    words = {
        **own,
        "a": (b if made.turned else a).ctypes.data,
        "b": (a if made.turned else b).ctypes.data,
        "c": c.ctypes.data,
        "given": alphas.ctypes.data if parts % 2 else 0,
        "alpha": 0 if parts % 2 else _bits(dtype, alpha),
        "beta": _bits(dtype, beta),
        "scratch": start,
    }
    table = np.array([words[name] for name in gemm.FIELDS], dtype="int64")
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(gemm.kernel(dtype))
    for part in reversed(range(made.parts)):
        run(table.ctypes.data, part, part + 1)
    behind = start - scratch.ctypes.data + memory
    assert (scratch[behind:] == 0x7F).all()
    return made


def _matrices(rng, dtype, stack, rows, columns, layout):
    """A stack of matrices whose rows or columns lie side by side, perhaps with gaps between them."""
    turned, gap = layout
    shape = (columns, rows) if turned else (rows, columns)
    whole = rng.standard_normal((stack, shape[0], shape[1] + gap)).astype(dtype)
    x = whole[:, :, : shape[1]]
    return x.transpose(0, 2, 1) if turned else x


LAYOUTS = st.tuples(st.booleans(), st.sampled_from([0, 3]))


@settings(max_examples=150)
@given(
    st.sampled_from(DTYPES), st.integers(1, 3), SIZES, SIZES, st.one_of(st.just(0), SIZES), LAYOUTS, LAYOUTS,
    st.sampled_from([1.0, -0.5, 0.0]), st.sampled_from([0.0, 1.0, 0.25]), st.integers(1, 9), st.booleans(),
    st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_products(dtype, stack, m, n, k, layout_a, layout_b, alpha, beta, parts, copied, turned_c, seed):
    rng = np.random.default_rng(seed)
    a = _matrices(rng, dtype, stack, m, k, layout_a)
    b = _matrices(rng, dtype, stack, k, n, layout_b)
    room = np.full((stack, n + 5, m + 1) if turned_c else (stack, m + 1, n + 5), 7.0, dtype=dtype)
    room = room.transpose(0, 2, 1) if turned_c else room
    c = room[:, :m, :n]
    c[...] = rng.standard_normal(c.shape) if beta else np.nan
    wide = a.astype("float64") @ b.astype("float64")
    with np.errstate(invalid="ignore"):
        want = alpha * wide + (beta * c.astype("float64") if beta else 0.0)
    bound = abs(alpha) * (abs(a).astype("float64") @ abs(b).astype("float64")) + (abs(beta * c) if beta else 0.0)
    made = product(a, b, c, alpha, beta, parts, copied)
    assert made.parts <= max(parts, 1)
    assert (room[:, m:] == 7).all()
    assert (room[:, :, n:] == 7).all()
    assert (abs(c - want) <= (k + 2) * np.finfo(dtype).eps * bound).all()


@settings(max_examples=40)
@given(st.sampled_from(DTYPES), SIZES, SIZES, st.integers(1, 700), LAYOUTS, LAYOUTS, st.integers(2, 12))
def test_bits_do_not_depend_on_parts(dtype, m, n, k, layout_a, layout_b, parts):
    rng = np.random.default_rng(k)
    a, b = _matrices(rng, dtype, 1, m, k, layout_a), _matrices(rng, dtype, 1, k, n, layout_b)
    results = []
    for count in (1, parts):
        results.append(np.zeros((1, m, n), dtype=dtype))
        product(a, b, results[-1], parts=count)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_reach_the_sums_they_belong_to(dtype):
    a, b = np.ones((1, 9, 5), dtype=dtype), np.ones((1, 5, 21), dtype=dtype)
    a[0, 3, 2], b[0, 1, 17] = np.nan, np.inf
    c = np.zeros((1, 9, 21), dtype=dtype)
    product(a, b, c)
    assert np.isnan(c[0, 3]).all()
    assert np.isfinite(np.delete(np.delete(c[0], 3, 0), 17, 1)).all()
    assert (np.delete(c[0, :, 17], 3) == np.inf).all()


def test_large_matrices_are_copied_where_rows_crowd_the_cache():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1, 70, 1024)).astype("float32"), rng.standard_normal((1, 1024, 300)).astype("float32")
    c = np.zeros((1, 70, 300), dtype="float32")
    assert product(a, b, c, parts=4).words["pack_a"]
    np.testing.assert_allclose(c, a.astype("float64") @ b, rtol=1e-3, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.booleans(), st.booleans())
def test_functions(m, n, k, stack, turned_x, turned_y):
    rng = np.random.default_rng(m)
    x, y = T.tensor3(dtype="float32"), T.matrix(dtype="float32")
    left = x.dimshuffle(0, 2, 1) if turned_x else x
    right = y.T if turned_y else y
    f = tg.function([x, y], [T.dot(left, right), T.dot(left[0], right) * 2 + 1])
    a = rng.standard_normal((stack, k, m) if turned_x else (stack, m, k)).astype("float32")
    b = rng.standard_normal((n, k) if turned_y else (k, n)).astype("float32")
    product_ = (a.transpose(0, 2, 1) if turned_x else a).astype("float64") @ (b.T if turned_y else b)
    for got, want in zip(f(a, b), (product_, product_[0] * 2 + 1), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(DTYPES), st.one_of(st.integers(1, 40), st.sampled_from([511, 513, 1100, 5000])),
    st.one_of(st.integers(1, 40), st.sampled_from([127, 1030, 5000])), st.booleans(), st.sampled_from([0.0, 0.5]),
    st.sampled_from([1, 2]),
)  # fmt: skip
def test_products_with_vectors(dtype, m, n, turned, beta, threads):
    rng = np.random.default_rng(m + 7 * n)
    a, c = rng.standard_normal((m, n)).astype(dtype), rng.standard_normal(n).astype(dtype)
    x = T.matrix(dtype=dtype)
    v, w = T.vector(dtype=dtype), T.vector(dtype=dtype)
    matrix = x.T if turned else x
    half = np.dtype(dtype).type(0.5)
    bias = T.vector(dtype=dtype)
    with tg.config.change_flags(threads=threads):
        sums = T.dot(w, matrix) * half
        f = tg.function(
            [x, v, w, bias], [T.dot(matrix, v), sums + bias * half.dtype.type(beta), T.dot(matrix[:, ::2], v[::2])]
        )
        u = rng.standard_normal(m).astype(dtype)
        got = f(np.ascontiguousarray(a.T) if turned else a, c, u, c)
    wide = a.astype("float64")
    wanted = [wide @ c, 0.5 * (u @ wide) + beta * c, wide[:, ::2] @ c[::2]]
    bounds = [abs(wide) @ abs(c), abs(u) @ abs(wide) + abs(c), abs(wide) @ abs(c)]
    for one, want, bound in zip(got, wanted, bounds, strict=True):
        # Far less than the number of terms: sums are blocked.
        assert (abs(one - want) <= (4 + min(n, m, 200)) * np.finfo(dtype).eps * bound).all()


def test_vectors_in_every_layout_have_a_kernel():
    storage = Storage(0, "temporary", "float32", 10**6)

    def view(shape, strides):
        return View(storage, shape, strides)

    row, column = view((1, 1, 40), (0, 40, 1)), view((1, 40, 1), (0, 1, 1))
    plain, turned = view((1, 30, 40), (0, 40, 1)), view((1, 30, 40), (0, 1, 30))
    result = view((1, 30, 1), (0, 1, 1))
    assert gemv.form(Product(plain, column, result, 1.0, 0.0)).name == "dots"
    assert gemv.form(Product(turned, column, result, 1.0, 0.0)).name == "sums"
    spread = view((1, 40, 1), (0, 3, 1))
    assert gemv.form(Product(plain, spread, result, 1.0, 0.0)) is None
    assert gemv.form(Product(turned, spread, result, 1.0, 0.0)).x_step == 3
    across = view((1, 1, 30), (0, 30, 1))
    assert gemv.form(Product(row, view((1, 40, 30), (0, 30, 1)), across, 1.0, 0.0)).name == "sums"
    assert gemv.form(Product(row, view((1, 40, 30), (0, 1, 40)), across, 1.0, 0.0)).name == "dots"
    assert gemv.form(Product(plain, view((1, 40, 2), (0, 2, 1)), view((1, 30, 2), (0, 2, 1)), 1.0, 0.0)) is None
