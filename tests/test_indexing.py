"""Indexing against NumPy, for every kind of index, given as a constant and as a symbolic input."""

import contextlib
import re

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import arrays
from tinygraph.errors import DtypeError, IndexingError, ShapeError
from tinygraph.ops.indexing import subtensor

several = settings(max_examples=2 * settings().max_examples)


# --- drawing and checking -----------------------------------------------------------------------------------------


def numbers(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape)


@st.composite
def mixed_indices(draw, shape):
    """Integers, slices, None, an ellipsis, integer arrays that broadcast, and a mask, in any order."""
    block = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    parts, axis, masked = [], 0, False
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "slice", "array", "mask", "stop"]))
        if kind == "stop":
            break
        if kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            parts.append(draw(st.slices(n)))
        elif kind == "array" or masked:
            side = draw(st.sampled_from([block, block[-1:], (1,)]))
            dtype = draw(st.sampled_from([np.int64, np.int8, np.int32]))
            parts.append(draw(hnp.arrays(dtype, side, elements=st.integers(-n, n - 1))))
        else:
            mask = np.zeros(shape[axis : axis + 2], bool)
            count = draw(st.sampled_from([1, block[-1]]))  # what broadcasts with the arrays
            mask.flat[: count if count <= mask.size else 1] = True
            parts.append(mask)
            masked = True
            axis += mask.ndim - 1
        axis += 1
    for extra in draw(st.lists(st.just(None), max_size=2)):
        parts.insert(draw(st.integers(0, len(parts))), extra)
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), ...)
    return tuple(parts)


@st.composite
def indexed(draw):
    """An array and an index into it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)),
            hnp.arrays(bool, shape[: draw(st.integers(1, len(shape)))]),
            mixed_indices(shape),
        )
    )
    x = numbers(shape)
    try:
        x[index]
    except IndexError:  # an ellipsis moved a mask or an integer to another axis
        reject()
    return x, index


def symbolic(index):
    """The index with an input for every number and array in it; the inputs and their values."""
    inputs, values = [], []

    def make(value):
        value = np.asarray(value)
        inputs.append(T.TensorType(value.dtype, (None,) * value.ndim)())
        values.append(value)
        return inputs[-1]

    def part(entry):
        if entry is None or entry is Ellipsis:
            return entry
        if isinstance(entry, slice):
            return slice(*[None if b is None else make(b) for b in (entry.start, entry.stop, entry.step)])
        return make(entry)

    return (tuple(map(part, index)) if isinstance(index, tuple) else part(index)), inputs, values


def prepared(x, index, form):
    """A variable for ``x``, the index, and the further inputs with their values."""
    variable = T.TensorType(x.dtype, x.shape if form == "known" else (None,) * x.ndim)("x")
    return variable, *(symbolic(index) if form == "symbolic" else (index, [], []))


def run(inputs, outputs, *values):
    return tg.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")(*values)


@contextlib.contextmanager
def refused(error, words):
    """The block raises ``error`` with these words, not counting the source line it shows, and a line of this file."""
    with pytest.raises(error) as caught:
        yield
    assert re.search(words, f"{caught.value.problem} / {caught.value.expected} / {caught.value.hint}")
    assert "test_indexing.py" in str(caught.value)


forms = st.sampled_from(["known", "unknown", "symbolic"])


class Writing:
    """What writing means, one element at a time, and its adjoint."""

    def __init__(self, shape, index, set_):
        self.shape, self.set = shape, set_
        self.where = np.arange(int(np.prod(shape))).reshape(shape)[index]
        last = {int(p): k for k, p in enumerate(self.where.flat)}
        self.stays = np.array([last[int(p)] == k for k, p in enumerate(self.where.flat)], bool)

    def __call__(self, x, y):
        out = x.copy().reshape(-1)
        for p, value in zip(self.where.flat, np.broadcast_to(y, self.where.shape).flat, strict=True):
            out[p] = value if self.set else out[p] + value
        return out.reshape(self.shape)

    def adjoint(self, g, y_shape):
        gx, gy = g.copy().reshape(-1), g.reshape(-1)[self.where]
        if self.set:
            gx[self.where] = 0
            gy = np.where(self.stays.reshape(self.where.shape), gy, 0)
        lead = gy.ndim - len(y_shape)
        axes = tuple(a for a in range(gy.ndim) if a < lead or y_shape[a - lead] != gy.shape[a])
        return gx.reshape(self.shape), gy.sum(axes).reshape(y_shape)


# --- reading ------------------------------------------------------------------------------------------------------


@several
@given(indexed(), forms)
@example((numbers((3, 4, 5)), (0, slice(None), [0, 1])), "known")
@example((numbers((3, 4, 5)), (slice(None), [0, 1], Ellipsis, [0, 1])), "known")
@example((numbers((3, 4)), (slice(None, None, -1), None, [[0, -1]])), "known")
@example((numbers((1, 2)), (Ellipsis, [0], slice(None))), "known")
@example((numbers((0, 3)), (slice(None), 1)), "symbolic")
@example((numbers((3,)), 1), "symbolic")
@example((numbers((3,)), []), "known")
@example((numbers((3, 2)), [True, False, True]), "known")
@example((numbers(()), ()), "known")
@example((numbers(()), (None, Ellipsis)), "known")
@example((numbers((2, 3)), np.zeros((2, 3), bool)), "symbolic")
def test_read_is_numpys(pair, form):
    x, index = pair
    variable, idx, inputs, values = prepared(x, index, form)
    part = subtensor(variable, idx)
    expected = x[index]
    assert part.dtype == "float64"
    assert part.ndim == np.ndim(expected)
    assert all(n is None or n == m for n, m in zip(part.type.shape, np.shape(expected), strict=True))
    got = run([variable, *inputs], part, x, *values)
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, expected)


@several
@given(indexed())
def test_shapes_of_constant_indices_are_known_exactly(pair):
    x, index = pair
    part = subtensor(T.TensorType("float64", x.shape)(), index)
    masks = [p for p in (index if isinstance(index, tuple) else (index,)) if np.asarray(p).dtype == bool]
    if not any(np.ndim(mask) > 1 for mask in masks):
        assert part.type.shape == x[index].shape


@several
@given(indexed(), forms)
@example((numbers((3, 2)), [0, 0, 2, 0]), "known")
@example((numbers((3,)), [[0, 0], [1, 0]]), "symbolic")
def test_gradient_of_read_adds_up_repeated_elements(pair, form):
    x, index = pair
    variable, idx, inputs, values = prepared(x, index, form)
    part = subtensor(variable, idx)
    w, v = numbers(np.shape(x[index]), 1), numbers(x.shape, 2)
    first = tg.grad(T.sum(part**3 * w), variable)
    second = tg.grad(T.sum(first * v), variable)
    got = run([variable, *inputs], [first, second], x, *values)
    counts, expected = np.zeros_like(x), np.zeros_like(x)
    np.add.at(counts, index, w)
    np.add.at(expected, index, 3 * w * x[index] ** 2)
    np.testing.assert_allclose(got[0], expected, rtol=1e-12)
    np.testing.assert_allclose(got[1], 6 * v * x * counts, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint16", "uint64"])
def test_every_integer_dtype_indexes(dtype):
    x = numbers((200, 3))
    i, j = T.TensorType(dtype)("i"), T.TensorType(dtype, (None,))("j")
    f = tg.function([i, j], [subtensor(x, i), subtensor(x, (slice(i, None), 0)), subtensor(x, j), subtensor(x, (i, j))])
    got = f(np.array(2, dtype), np.array([1, 0, 2], dtype))
    for value, expected in zip(got, [x[2], x[2:, 0], x[[1, 0, 2]], x[2, [1, 0, 2]]], strict=True):
        np.testing.assert_array_equal(value, expected)


def test_integer_masks_are_integers():
    x = numbers((3,))
    np.testing.assert_array_equal(run([], subtensor(x, np.array([1, 0, 1], "uint8"))), x[[1, 0, 1]])


def test_negative_symbolic_indices():
    x = numbers((4, 3))
    i = T.TensorType("int64")("i")
    f = tg.function([i], [subtensor(x, i), subtensor(x, slice(i, None)), subtensor(x, (slice(None, None, i), -1))])
    for value in (-1, -3):
        for got, expected in zip(f(value), [x[value], x[value:], x[::value, -1]], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_lists_of_symbolic_integers():
    x = numbers((4, 3))
    i, j = T.TensorType("int64")("i"), T.TensorType("int64")("j")
    np.testing.assert_array_equal(run([i, j], subtensor(x, [i, j, 0]), 3, -2), x[[3, -2, 0]])


def test_integers_and_bools_are_indexed_too():
    for x in (np.arange(6, dtype="int16").reshape(2, 3), np.eye(3, dtype=bool)):
        np.testing.assert_array_equal(run([], subtensor(x, (slice(None), [0, 0]))), x[:, [0, 0]])


def test_basic_indexing_is_a_view_and_a_full_slice_no_work():
    x = T.TensorType("float64", (None, None))("x")
    f = tg.function([x], [x[0:, ...], x[:, 1:], x[0]], mode="FAST_COMPILE")
    f(numbers((2, 3)))
    assert len(f.program.instructions) == 2
    assert all(f.program.buffers[n].root == f.program.inputs[0] for n in f.program.outputs)
    y = T.TensorType("float64", (None, 3))()
    assert all(part.owner.op.is_identity(y.abstract) for part in (y[:], y[0:, :3], y[:, -3::1]))
    assert not x[:2].owner.op.is_identity(x.abstract)
    assert x[:2].owner.op.is_identity(T.TensorType("float64", (2, 3))().abstract)


def test_result_of_an_index_does_not_alias_its_input():
    x = T.TensorType("float64", (None,))("x")
    value = numbers((4,))
    got = run([x], subtensor(x, slice(1, 3)), value)
    got[:] = 0
    assert value.all()


def test_one_element_is_an_array_and_a_view():
    value = numbers((3,))
    (node,) = T.TensorType("float64", (3,))("x")[1].owner.outputs
    element = node.owner.op.compute(arrays.get("numpy"), value)
    assert isinstance(element, np.ndarray)
    assert np.shares_memory(element, value)


def test_shape_arithmetic_is_followed():
    x = T.TensorType("float64", (None, 3, 4))("x")
    shape = x.shape
    assert subtensor(shape, 1).abstract.value == 3
    assert subtensor(shape, -1).abstract.value == 4
    assert subtensor(shape, 0).abstract.value is None
    assert subtensor(shape, slice(1, None)).abstract.value == (3, 4)
    assert subtensor(shape, slice(-2, None)).abstract.value == (3, 4)
    assert subtensor(shape, slice(None, None, -1)).abstract.value == (4, 3, None)
    i = T.TensorType("int64")()
    assert subtensor(shape, i).abstract.value is None
    assert x.reshape(subtensor(shape, [2, 1, 0])).ndim == 3
    y = T.TensorType("float64", (2, 3, 4))()
    assert y.reshape(y.shape[[2, 0, 1]]).type.shape == (4, 2, 3)


def test_bounds_that_are_known_give_known_extents():
    x, y = T.TensorType("float64", (10,))(), T.TensorType("float64", (4,))()
    n = y.shape[0]
    assert subtensor(x, slice(n, None)).type.shape == (6,)
    assert subtensor(x, slice(None, 100)).type.shape == (10,)
    assert subtensor(x, slice(None, 2, -3)).type.shape == (3,)
    assert subtensor(x, slice(5, 2)).type.shape == (0,)
    assert subtensor(x, slice(T.TensorType("int64")(), None)).type.shape == (None,)


@several
@given(st.data())
def test_masks_are_their_nonzero_indices(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    x = numbers(shape) - 1.25
    variable = T.TensorType("float64", (None,) * x.ndim)("x")
    positive = T.gt(variable, 0)
    parts = [subtensor(variable, positive), subtensor(variable, T.nonzero(positive))]
    parts.append(T.nonzero_values(T.switch(positive, variable, 0)))
    w = T.switch(T.gt(variable, 1), 2.0, 3.0)
    slopes = [tg.grad(T.sum(part * subtensor(w, positive)), variable) for part in parts[:2]]
    got = run([variable], parts + slopes, x)
    for value in got[:3]:
        np.testing.assert_array_equal(value, x[x > 0])
    for value in got[3:]:
        np.testing.assert_array_equal(value, np.where(x > 0, np.where(x > 1, 2.0, 3.0), 0.0))


# --- writing ------------------------------------------------------------------------------------------------------


@st.composite
def written(draw):
    """An array, an index into it and a value that broadcasts to the indexed part."""
    x, index = draw(indexed())
    shape = np.shape(x[index])
    lead = draw(st.integers(0, len(shape)))
    y_shape = tuple(1 if draw(st.booleans()) and draw(st.booleans()) else n for n in shape[lead:])
    return x, index, numbers(y_shape, 3)


@several
@given(written(), forms, st.booleans())
@example((numbers((3, 2)), [0, 0, 2, 0], numbers((4, 1), 3)), "known", True)
@example((numbers((3, 2)), ([0, 2, 0], [1, 1, 1]), numbers((3,), 3)), "symbolic", True)
@example((numbers((3, 2)), ([[0, 2], [0, 0]], [[1], [1]]), numbers((2, 2), 3)), "unknown", True)
@example((numbers((3, 2)), (None, slice(None), None, [0, 0]), numbers((3, 1, 2), 3)), "known", True)
@example((numbers((3, 2)), (slice(None), None, 1), numbers((3, 1), 3)), "known", False)
@example((numbers((3, 2)), None, numbers((3, 2), 3)), "known", False)
@example((numbers((3,)), [[0, 0], [0, 1]], numbers((2,), 3)), "known", False)
@example((numbers((3,)), [[0, 0], [0, 1]], numbers((), 3)), "known", False)
@example((numbers((3,)), 1, numbers((), 3)), "symbolic", True)
@example((numbers(()), (), numbers((), 3)), "known", True)
@example((numbers((0, 2)), slice(None), numbers((1, 2), 3)), "unknown", True)
def test_write_is_element_by_element(triple, form, set_):
    x, index, y = triple
    variable, idx, inputs, values = prepared(x, index, form)
    value = T.TensorType("float64", y.shape if form == "known" else (None,) * y.ndim)("y")
    write = T.set_subtensor if set_ else T.inc_subtensor
    out = write(subtensor(variable, idx), value)
    assert out.type == variable.type
    reference = Writing(x.shape, index, set_)
    w, vx, vy = numbers(x.shape, 4), numbers(x.shape, 5), numbers(y.shape, 6)
    first = tg.grad(T.sum(out**3 * w), [variable, value], disconnected_inputs="ignore")
    pairing = T.sum(first[0] * vx) + T.sum(first[1] * vy)
    second = tg.grad(pairing, [variable, value], disconnected_inputs="ignore")
    got = run([variable, value, *inputs], [out, *first, *second], x, y, *values)
    z = reference(x, y)
    direction = reference(vx, vy)
    expected = [z, *reference.adjoint(3 * w * z**2, y.shape), *reference.adjoint(6 * w * z * direction, y.shape)]
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12)


@several
@given(written(), st.booleans())
def test_write_leaves_its_inputs_alone(triple, set_):
    x, index, y = triple
    variable, value = T.TensorType("float64", (None,) * x.ndim)(), T.TensorType("float64", (None,) * y.ndim)()
    before = x.copy(), y.copy()
    run([variable, value], (T.set_subtensor if set_ else T.inc_subtensor)(subtensor(variable, index), value), x, y)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_last_value_in_c_order_stays_whatever_the_memory_order(order):
    rows = np.array([[0, 1, 0], [1, 0, 1]])
    y = np.arange(6.0).reshape(2, 3)
    i, v = T.TensorType("int64", (None, None))("i"), T.TensorType("float64", (None, None))("v")
    out = T.set_subtensor(subtensor(np.zeros(3), i), v)
    slope = tg.grad(T.sum(out), v)
    got = run([i, v], [out, slope], np.array(rows, order=order), np.array(y, order=order))
    np.testing.assert_array_equal(got[0], [4, 5, 0])
    np.testing.assert_array_equal(got[1], [[0, 0, 0], [0, 1, 1]])
    turned = T.set_subtensor(subtensor(np.zeros(3), i[0, ::-1]), v[0, ::-1])
    np.testing.assert_array_equal(run([i, v], turned, rows, y), [0, 1, 0])


def test_rows_of_a_table_accumulate():
    table, rows = numbers((50, 4, 3)), np.random.default_rng(0).integers(-50, 50, (7, 30))
    t, r = T.TensorType("float64", (None, None, None))("t"), T.TensorType("int64", (None, None))("r")
    w = numbers((7, 30, 4, 3), 1)
    expected = np.zeros_like(table)
    np.add.at(expected, rows, w)
    got = run([t, r], tg.grad(T.sum(subtensor(t, r) * w), t), table, rows)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@several
@given(written(), st.booleans())
@example((numbers((3, 2)), [0, 0, 2, 0], numbers((4, 1), 3)), True)
@example((numbers((3,)), np.asfortranarray([[0, 1, 0], [1, 0, 1]]), np.asfortranarray(numbers((2, 3), 3))), True)
def test_libraries_whose_writes_race_and_whose_indices_wrap_give_the_same(triple, set_):
    x, index, y = triple
    inputs = [T.TensorType("float64", (None,) * v.ndim)() for v in (x, y)]
    out = (T.set_subtensor if set_ else T.inc_subtensor)(subtensor(inputs[0], index), inputs[1])
    values = run(inputs, list(out.owner.inputs), x, y)
    out = out.owner.op.compute(arrays.ArrayModule("other", np, "scipy.special"), *values)
    np.testing.assert_allclose(out, Writing(x.shape, index, set_)(x, y), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float32"])
@pytest.mark.parametrize("index", [slice(0, 2), [0, 0, 2], ([0, 0], [1, 1])], ids=["basic", "rows", "elements"])
def test_every_dtype_can_be_written(dtype, index):
    x = np.arange(12).reshape(4, 3).astype(dtype)
    expected = x.copy()
    np.add.at(expected, index, np.array(1, dtype))
    one = True if dtype == "bool" else 1
    out = T.inc_subtensor(subtensor(x, index), one)
    assert out.dtype == dtype
    np.testing.assert_array_equal(run([], out), expected)
    expected = x.copy()
    expected[index] = 0
    np.testing.assert_array_equal(
        run([], T.set_subtensor(subtensor(x, index), False if dtype == "bool" else 0)), expected
    )


def test_what_is_written_takes_the_dtype_of_the_tensor():
    x = T.TensorType("float32", (3,))("x")
    for y in (
        1,
        2.5,
        np.float64(0.1),
        np.array([1, 2], "int64"),
        np.array([0.1, 0.2]),
        T.TensorType("float64", (2,))("y"),
    ):
        assert T.set_subtensor(subtensor(x, slice(2)), y).dtype == "float32"


def test_every_argument_of_theano_is_taken():
    x = np.zeros(3)
    np.testing.assert_array_equal(run([], T.inc_subtensor(subtensor(x, 0), 1, False, True, False)), [1, 0, 0])
    np.testing.assert_array_equal(
        run([], T.set_subtensor(subtensor(x, 0), 1, True, tolerate_inplace_aliasing=True)), [1, 0, 0]
    )


def test_writing_to_what_was_read_twice_gives_the_inner_part():
    x = numbers((4, 3))
    out = T.inc_subtensor(subtensor(subtensor(x, slice(1, 3)), 0), 1.0)
    expected = x[1:3].copy()
    expected[0] += 1
    np.testing.assert_array_equal(run([], out), expected)


@pytest.mark.parametrize("index", [slice(0, 2), [0, 1], 0], ids=["slice", "array", "int"])
@pytest.mark.parametrize("kind", ["read", "set", "inc"])
def test_masks_travel_through(index, kind):
    """The lanes that a switch behind masks out are zero, although the derivative there is infinite."""
    x = T.TensorType("float64", (3,))("x")
    root = x**0.5
    if kind == "read":
        part = subtensor(root, index)
        cost = T.sum(T.switch(T.gt(subtensor(x, index), 0), part, 0))
        expected = np.where(np.isin(np.arange(3), np.arange(3)[index]), [0.0, 0.5, 0.25], 0.0)
    else:
        out = (T.set_subtensor if kind == "set" else T.inc_subtensor)(subtensor(root, index), 7.0)
        cost = T.sum(T.switch(T.gt(x, 0), out, 0))
        written = np.isin(np.arange(3), np.arange(3)[index]) & (kind == "set")
        expected = np.where(written, 0.0, [0.0, 0.5, 0.25])
    np.testing.assert_allclose(run([x], tg.grad(cost, x), np.array([0.0, 1.0, 4.0])), expected)


def test_set_over_an_infinite_derivative_is_zero():
    """-log p of chosen classes, as programs write it."""
    p, t = T.TensorType("float64", (None, None))("p"), T.TensorType("int64", (None,))("t")
    cost = -T.sum(T.log(subtensor(p, (np.arange(3), t))))
    got = run([p, t], tg.grad(cost, p), np.full((3, 2), 0.5), np.array([0, 1, 1]))
    np.testing.assert_array_equal(got, [[-2, 0], [0, -2], [0, -2]])


# --- take and nonzero ---------------------------------------------------------------------------------------------


@several
@given(st.data())
def test_take_is_numpys(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    x = numbers(shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    mode = data.draw(st.sampled_from(["raise", "wrap", "clip"]))
    n = x.size if axis is None else shape[axis]
    low, high = (-n, n - 1) if mode == "raise" else (-9, 9)
    side = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    indices = data.draw(hnp.arrays(np.int8, side, elements=st.integers(low, high)))
    variable, given_ = T.TensorType("float64", (None,) * x.ndim)("x"), T.TensorType("int8", (None,) * indices.ndim)("i")
    out = T.take(variable, given_, axis, mode)
    expected = x.take(indices, axis, mode=mode)
    w = numbers(expected.shape, 1)
    got, slope = run([variable, given_], [out, tg.grad(T.sum(out * w), variable)], x, indices)
    np.testing.assert_array_equal(got, expected)
    where = np.arange(x.size).reshape(shape).take(indices, axis, mode=mode)
    back = np.zeros(x.size)
    np.add.at(back, where, w)
    np.testing.assert_allclose(slope, back.reshape(shape), rtol=1e-12)


def test_take_of_constants():
    x = numbers((2, 3))
    np.testing.assert_array_equal(run([], T.take(x, 5)), x.take(5))
    np.testing.assert_array_equal(run([], T.take(x, [0, -1], axis=1)), x.take([0, -1], axis=1))
    np.testing.assert_array_equal(run([], T.take(x, -7, axis=1, mode="clip")), x.take(-7, axis=1, mode="clip"))
    np.testing.assert_array_equal(run([], T.take(np.arange(200), np.uint8(255), mode="wrap")), 55)
    np.testing.assert_array_equal(run([], T.take(x, np.array([7, 2], "uint64"), mode="wrap")), x.take([1, 2]))


@several
@given(hnp.arrays(st.sampled_from([np.float64, np.int8, bool]), hnp.array_shapes(max_dims=3, min_side=0, max_side=3)))
@example(np.array([0.0, np.nan, -0.0, -1.0]))
def test_nonzero_is_numpys(a):
    variable = T.TensorType(a.dtype, (None,) * a.ndim)("a")
    vectors = T.nonzero(variable)
    assert isinstance(vectors, tuple)
    outputs = [*vectors, T.nonzero(variable, return_matrix=True), T.flatnonzero(variable), T.nonzero_values(variable)]
    got = run([variable], outputs, a)
    expected = [*np.nonzero(a), np.array(np.nonzero(a)), np.flatnonzero(a), a[a != 0]]
    for value, wanted in zip(got, expected, strict=True):
        assert value.dtype == wanted.dtype
        np.testing.assert_array_equal(value, wanted)


# --- errors -------------------------------------------------------------------------------------------------------

vector, matrix = T.TensorType("float64", (3,))("v"), T.TensorType("float64", (3, 4))("m")
integer, boolean = T.TensorType("int64")("i"), T.TensorType("bool")("b")


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (3, IndexingError, "index 3 is out of bounds for axis 0 of extent 3"),
        ((0, -5), IndexingError, "index -5 is out of bounds for axis 1 of extent 4"),
        ((slice(None), [0, 4]), IndexingError, "index 4 is out of bounds for axis 1 of extent 4"),
        ((Ellipsis, 0, Ellipsis), IndexingError, "only one Ellipsis"),
        (slice(None, None, 0), IndexingError, "step of a slice cannot be zero"),
        ((0, 0, 0), ShapeError, "too many indices"),
        ((integer, slice(None), None, [0]), ShapeError, "too many indices"),
        ((0, np.ones((3, 4), bool)), ShapeError, "too many indices"),
        (np.ones(4, bool), ShapeError, "a mask has the extents"),
        (np.ones((3, 1), bool), ShapeError, "a mask has the extents"),
        (([0, 1], [0, 1, 2]), ShapeError, "do not broadcast"),
        (1.0, DtypeError, "an index must be one integer"),
        ([0.0, 1.0], DtypeError, "must be made of integers or bools"),
        (vector, DtypeError, r"astype\('int64'\)"),
        (vector[0], DtypeError, "an index must be one integer"),
        (slice(1.5, None), DtypeError, "a bound of a slice must be one integer"),
        (slice(T.TensorType("int64", (1,))(), None), DtypeError, "give one element"),
        (slice(boolean, None), DtypeError, "a bound of a slice"),
        (True, DtypeError, "a mask has at least one dimension"),
        (boolean, DtypeError, "T.switch"),
        ("a", DtypeError, "cannot make a tensor"),
        ((0, "a"), DtypeError, "cannot make a tensor"),
    ],
)
def test_bad_indices_are_refused_when_the_graph_is_built(index, error, words):
    with refused(error, words):
        subtensor(matrix, index)


def test_indexing_errors_are_index_errors():
    with pytest.raises(IndexError):
        vector[7]


x2, i0, i1, y1 = T.dmatrix("x"), T.lscalar("i"), T.lvector("r"), T.dvector("y")
m1, m2 = T.TensorType("bool", (None,))("m"), T.TensorType("bool", (None, None))("mm")


@pytest.mark.parametrize(
    ("inputs", "build", "values", "error", "words"),
    [
        ([x2, i0], lambda: x2[0, i0], [5], IndexingError, "index 5 .* axis 1 of extent 3"),
        ([x2, i1], lambda: x2[i1], [[0, -3]], IndexingError, "index -3 .* axis 0 of extent 2"),
        ([x2, i1], lambda: x2[i1, 0, None], [[2]], IndexingError, "index 2 .* axis 0 of extent 2"),
        ([x2, i1], lambda: T.inc_subtensor(x2[i1], 1), [[9]], IndexingError, "index 9 .* axis 0"),
        ([x2, i1], lambda: T.set_subtensor(x2[i1], 1), [[9]], IndexingError, "index 9 .* axis 0"),
        ([x2, i1], lambda: T.inc_subtensor(x2[i1, i1], 1), [[9]], IndexingError, "index 9 .* axis 0"),
        ([x2, i0], lambda: T.set_subtensor(x2[i0], 1), [-3], IndexingError, "index -3 .* axis 0"),
        ([x2, i1], lambda: T.take(x2, i1, axis=1), [[3]], IndexingError, "index 3 .* axis 1 of extent 3"),
        ([x2, i0], lambda: x2[::i0], [0], IndexingError, "step"),
        ([x2, m1], lambda: x2[m1], [[True]], ShapeError, "a mask has the extents"),
        ([x2, m2], lambda: x2[m2], [np.ones((2, 1), bool)], ShapeError, "a mask has the extents"),
        ([x2, m1, m2], lambda: x2[m1][m2], [[1, 0], np.ones((2, 3), bool)], ShapeError, "a mask has the extents"),
        ([x2, m1], lambda: x2[:, m1], [[True] * 2], ShapeError, "a mask has the extents"),
        ([x2, m1, i1], lambda: x2[m1, i1], [[True] * 2, [0, 1, 2]], ShapeError, "do not broadcast"),
        ([x2, y1], lambda: T.set_subtensor(x2[0], y1), [[1.0, 2.0]], ShapeError, "broadcast"),
        ([x2, y1], lambda: T.inc_subtensor(x2[[0, 1]], y1), [[1.0, 2.0]], ShapeError, "broadcast"),
        ([x2, m1, y1], lambda: T.set_subtensor(x2[m1, 0], y1), [[1, 1], [1, 1, 1]], ShapeError, "broadcast"),
        ([x2, m1, y1], lambda: T.inc_subtensor(x2[m1], y1), [[1, 0], [1, 1]], ShapeError, "broadcast"),
        ([x2, i0, y1], lambda: T.inc_subtensor(x2[0, :i0], y1), [3, [1, 1]], ShapeError, "broadcast"),
    ],
)  # fmt: skip
def test_failures_at_run_time_name_the_index_and_the_line(inputs, build, values, error, words):
    f = tg.function(inputs, build(), mode="FAST_COMPILE")
    with refused(error, words):
        f(numbers((2, 3)), *values)


def test_an_index_that_turns_bad_later_is_found_then():
    f = tg.function([x2, i0], x2[i0])
    f(numbers((2, 3)), 1)
    with refused(IndexingError, "index 2 is out of bounds for axis 0 of extent 2"):
        f(numbers((2, 3)), 2)
    f = tg.function([x2, i0], x2[::i0])
    f(numbers((2, 3)), 1)
    with refused(IndexingError, "step of a slice cannot be zero"):
        f(numbers((2, 3)), 0)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: T.set_subtensor(matrix, 1), DtypeError, r"set_subtensor\(a\[index\], y\)"),
        (lambda: T.inc_subtensor(matrix[0] * 2, 1), DtypeError, "only the result of indexing"),
        (lambda: T.inc_subtensor(matrix[:2].T, 1), DtypeError, "only the result"),
        (lambda: T.set_subtensor(matrix[0], np.ones(3)), ShapeError, "does not broadcast"),
        (lambda: T.set_subtensor(matrix[[0, 1]], np.ones((3, 4))), ShapeError, "does not broadcast"),
        (lambda: T.inc_subtensor(matrix[0, :1], np.ones(4)), ShapeError, "does not broadcast"),
        (lambda: T.inc_subtensor(matrix[0], np.ones((1, 4))), ShapeError, "more dimensions"),
        (lambda: T.set_subtensor(matrix[:, None], np.ones((3, 2, 4))), ShapeError, "extent 1"),
        (lambda: T.set_subtensor(subtensor(np.zeros(3, int), 0), 1.5), DtypeError, "float64 values .* int64"),
        (lambda: T.inc_subtensor(subtensor(np.zeros(3, int), 0), vector), DtypeError, r"\.astype\('int64'\)"),
        (lambda: T.inc_subtensor(subtensor(np.zeros(3, bool), 0), 1), DtypeError, "into a tensor of bool"),
        (lambda: T.set_subtensor(subtensor(np.zeros(3, "int8"), 0), 300), DtypeError, "does not fit int8"),
        (lambda: T.take(matrix, 0, axis=2), ShapeError, "no axis 2"),
        (lambda: T.take(matrix, 0, mode="bounce"), IndexingError, "unknown mode 'bounce'"),
        (lambda: T.take(matrix, [True, False], axis=0), DtypeError, r"write a\[mask\]"),
        (lambda: T.take(matrix, 0.5), DtypeError, "integer"),
        (lambda: T.take(matrix, None), DtypeError, "cannot make a tensor of None"),
        (lambda: T.nonzero(integer), ShapeError, r"x\[None\]"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(build, error, words):
    with refused(error, words):
        build()


def test_a_constant_mask_is_checked_when_extents_are_known_only_at_run_time():
    part = x2[np.array([True, False])]
    np.testing.assert_array_equal(run([x2], part, np.eye(2)), [[1, 0]])
    with refused(ShapeError, "a mask has the extents"):
        run([x2], part, np.eye(3))
