"""Arrays of other libraries come in through DLPack, and results go out as callers ask for them."""

import importlib.util

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import arrays
from tinygraph.errors import BackendError, DtypeError, InputError, UpdateError
from tinygraph.testing import strategies
from tinygraph.types import TensorType

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64"]


class Foreign:
    """An array of a library that nobody knows: DLPack is all that it has."""

    requires_grad = False

    def __init__(self, array, device=(1, 0)):
        self.array = array
        self.device = device

    def __dlpack__(self, **options):
        if self.requires_grad:
            raise BufferError("detach first")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


class Learning(Foreign):
    requires_grad = True


# --- in ---------------------------------------------------------------------------------------------------------------


@given(strategies.arrays(dtype=st.sampled_from(DTYPES), special=True).flatmap(strategies.layouts))
def test_an_array_of_another_library_is_the_same_array(array):
    assume(array.dtype.isnative)  # DLPack knows no other byte order
    variable = TensorType(array.dtype.name, (None,) * array.ndim)("x")
    f = tg.function([variable], variable)
    np.testing.assert_array_equal(f(Foreign(array)), f(array))


def test_nothing_is_copied_on_the_way_in():
    array = np.arange(6.0).reshape(2, 3).T
    xp = arrays.get("numpy")
    taken = xp.received(Foreign(array))
    assert np.shares_memory(taken, array)
    assert taken.strides == array.strides
    held = tg.shared(Foreign(array[:, 0]), borrow=True)
    assert np.shares_memory(held.get_value(borrow=True), array)


def test_arguments_are_not_written_to_and_states_are_copies():
    theirs = np.ones((2, 2))
    w = tg.shared(Foreign(theirs), "w")
    x = T.dmatrix("x")
    f = tg.function([x], x.sum(), updates=[(w, w + x)])
    for _ in range(3):
        f(Foreign(theirs))
    np.testing.assert_array_equal(theirs, np.ones((2, 2)))
    np.testing.assert_array_equal(w.get_value(), np.full((2, 2), 4.0))
    w.set_value(Foreign(theirs))
    f(theirs)
    np.testing.assert_array_equal(theirs, np.ones((2, 2)))


@pytest.mark.parametrize(
    "make", [memoryview, lambda a: type("Has", (), {"__array_interface__": a.__array_interface__})()]
)
def test_states_do_not_share_memory_with_anything_that_was_given(make):
    theirs = np.zeros(3)
    w = tg.shared(make(theirs))
    tg.function([], updates=[(w, w + 1)])()
    v = tg.shared(np.ones(3))
    v.set_value(make(theirs))
    tg.function([], updates=[(v, v + 1)])()
    np.testing.assert_array_equal(theirs, np.zeros(3))


def test_constants_keep_what_they_were():
    theirs = np.arange(3.0)
    x = T.dvector("x")
    f = tg.function([x], x * Foreign(theirs) + T.constant(Foreign(theirs), dtype="float64"))
    theirs[:] = 7
    np.testing.assert_array_equal(f([1.0, 1.0, 1.0]), [0, 2, 4])


def test_an_array_is_no_list_of_numbers():
    """What would lose precision is refused, as for NumPy's arrays; lists of floats give way."""
    x = T.fvector("x")
    f = tg.function([x], x)
    assert f([0.1]).dtype == "float32"
    with pytest.raises(InputError, match="without losing precision"):
        f(Foreign(np.array([0.1])))
    assert tg.function([x], x, allow_input_downcast=True)(Foreign(np.array([0.1])))[0] == np.float32(0.1)
    w = tg.shared(np.zeros(1, "float32"))
    with pytest.raises(UpdateError, match="without losing precision"):
        w.set_value(Foreign(np.array([0.1])))


def test_a_tensor_that_requires_a_gradient_is_refused():
    theirs = Learning(np.ones(2))
    x = T.dvector("x")
    w = tg.shared(np.zeros(2))
    f = tg.function([x], x, name="f")
    with pytest.raises(InputError, match="input 0 'x' of function 'f': the Learning requires a gradient") as caught:
        f(theirs)
    assert "x.detach()" in str(caught.value)
    assert "test_dlpack.py" in str(caught.value)
    for taking in (tg.shared, w.set_value, T.constant, lambda v: x + v):
        with pytest.raises(InputError, match="requires a gradient") as caught:
            taking(theirs)
        assert "x.detach()" in caught.value.hint


@pytest.mark.parametrize(
    ("device", "says", "hint"),
    [
        ((2, 1), "a CUDA device, number 1", "backend='cupy:1'"),
        ((2, 0), "a CUDA device, number 0", "backend='cupy'"),
        ((13, 0), "a CUDA device, number 0", "backend='cupy'"),
        ((8, 0), "a Metal device, number 0", "x.cpu() in PyTorch"),
        ((77, 2), "a device of kind 77, number 2", "x.cpu() in PyTorch"),
    ],
)
def test_a_tensor_on_a_device_is_not_copied_unasked(device, says, hint):
    theirs = Foreign(np.ones(2), device)
    x = T.dvector("x")
    w = tg.shared(np.zeros(2))
    for taking in (tg.function([x], x), tg.shared, w.set_value, lambda v: x + v):
        with pytest.raises(InputError, match="is on another device") as caught:
            taking(theirs)
        assert says in caught.value.actual
        assert caught.value.expected == "the host's memory"
        assert "x.cpu()" in caught.value.hint
        assert hint in caught.value.hint
    assert ("backend" in caught.value.hint) == (device[0] in (2, 13))


def test_what_dlpack_cannot_hand_over_says_so():
    class Odd(Foreign):
        dtype = "bfloat16"

        def __dlpack__(self, **options):
            raise BufferError("no such dtype")

    x = T.dvector("x")
    with pytest.raises(InputError, match="no such dtype") as caught:
        tg.function([x], x)(Odd(np.ones(2)))
    assert "Odd of bfloat16" in str(caught.value)
    assert "x.float()" in str(caught.value)
    with pytest.raises(DtypeError):
        tg.shared(Foreign(np.ones(2, "complex64")))


def test_shapes_are_checked_as_ever():
    x = T.dmatrix("x")
    with pytest.raises(InputError, match="wrong number of dimensions"):
        tg.function([x], x)(Foreign(np.ones(3)))


# --- out --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linker", ["native", "reference"])
@pytest.mark.parametrize("as_", ["numpy", "dlpack", None])
def test_results_as_they_are_asked_for(linker, as_):
    x = T.dvector("x")
    with tg.config.change_flags(linker=linker):
        functions = [
            tg.function([x], x * 2),
            tg.function([x], [x * 2, x.sum()]),
            tg.function([x], {"a": x * 2, "b": x[0], "c": x}),
            tg.function([x], [], on_unused_input="ignore"),
        ]
    for f in functions:
        for argument in ([[1.0, 2.0]], []):
            keywords = {} if argument else {"x": [1.0, 2.0]}
            want, have = f(*argument, **keywords), f(*argument, **keywords, as_=as_)
            assert type(have) is type(want)
            assert list(have) == list(want) if isinstance(want, dict) else True
            pairs = zip(_listed(want), _listed(have), strict=True)
            for right, found in pairs:
                assert isinstance(found, np.ndarray)
                np.testing.assert_array_equal(found, right)
                if as_ == "dlpack":
                    np.testing.assert_array_equal(np.from_dlpack(found), right)


def _listed(results):
    return list(results.values()) if isinstance(results, dict) else results if isinstance(results, list) else [results]


@pytest.mark.parametrize("linker", ["native", "reference"])
@pytest.mark.parametrize("size", [3, 1 << 17])  # large results are made in memory that is used again
def test_what_a_consumer_took_stays_as_it_is(linker, size):
    x = T.dvector("x")
    w = tg.shared(np.zeros(size))
    with tg.config.change_flags(linker=linker):
        f = tg.function([x], [x + 1, w, w + x], updates=[(w, w + x)])
    values = np.arange(float(size))
    taken = [np.from_dlpack(result) for result in f(values, as_="dlpack")]
    copies = [t.copy() for t in taken]
    for i in range(4):
        f(values * i)
    for have, want in zip(taken, copies, strict=True):
        np.testing.assert_array_equal(have, want)


def test_a_wrong_as_is_an_error_and_nothing_runs():
    x = T.dscalar("x")
    w = tg.shared(0.0)
    f = tg.function([x], x, updates=[(w, w + 1)], name="f")
    for wrong in ("torch", 3, "NumPy", ("numpy",)):
        with pytest.raises(InputError, match="function 'f' cannot give results as") as caught:
            f(1.0, as_=wrong)
        assert caught.value.expected == "as_='numpy', 'cupy' or 'dlpack'"
    assert w.get_value() == 0


def test_an_input_of_this_name_is_given_by_its_place():
    x = T.dscalar("as_")
    f = tg.function([x], x + 1)
    assert f(1.0) == 2
    for call in (lambda: f(as_=1.0), lambda: f(1.0, as_="numpy")):
        with pytest.raises(InputError, match="has an input named 'as_'") as caught:
            call()
        assert "by its place" in caught.value.hint


def test_what_measures_itself_counts_a_call_once():
    x = T.dscalar("x")
    f = tg.function([x], x + 1, profile=True)
    f(1.0, as_="numpy")
    assert f.profile.calls == 1


def test_sparse_results():
    import scipy.sparse

    from tinygraph import sparse

    x = sparse.csr_matrix("x")
    f = tg.function([x], x)
    given = scipy.sparse.csr_matrix(np.eye(3))
    assert (f(given, as_="numpy") != given).nnz == 0
    with pytest.raises(InputError, match="sparse"):
        f(given, as_="dlpack")


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
def test_cupy_arrays_need_cupy():
    x = T.dscalar("x")
    w = tg.shared(0.0)
    f = tg.function([x], x, updates=[(w, w + 1)])
    with pytest.raises(BackendError, match="CuPy"):
        f(1.0, as_="cupy")
    assert w.get_value() == 0
