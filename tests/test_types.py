"""Types, promotion, broadcasting, configuration and array modules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import arrays
from tinygraph.config import ConfigError, config
from tinygraph.errors import BackendError, DtypeError, ShapeError
from tinygraph.types import DTYPES, TensorType, broadcast_shapes, canonical_dtype, promote, weak_dtype

dtypes = st.sampled_from(DTYPES)


@given(dtypes, dtypes)
def test_promotion_is_numpys(a, b):
    assert promote(a, b) == (np.zeros(1, a) + np.zeros(1, b)).dtype.name if a != "bool" or b != "bool" else "bool"


@given(dtypes, st.sampled_from([True, 3, 2.5]))
def test_weak_scalars_as_in_numpy(dtype, scalar):
    expected = np.result_type(np.zeros(1, dtype), scalar).name
    if isinstance(scalar, float) and np.dtype(dtype).kind in "biu":
        expected = "float64"
    assert weak_dtype(scalar, dtype) == expected


@given(hnp.mutually_broadcastable_shapes(num_shapes=3), st.data())
def test_broadcasting_with_unknown_extents(shapes, data):
    """What is inferred with some extents hidden agrees with NumPy wherever it says something."""
    hidden = [tuple(None if data.draw(st.booleans()) else n for n in shape) for shape in shapes.input_shapes]
    inferred = broadcast_shapes(*hidden)
    assert len(inferred) == len(shapes.result_shape)
    assert all(n in (None, m) for n, m in zip(inferred, shapes.result_shape, strict=True))
    assert broadcast_shapes(*shapes.input_shapes) == shapes.result_shape


@given(st.lists(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), min_size=2, max_size=3))
def test_shapes_that_do_not_broadcast_raise_as_in_numpy(shapes):
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == expected


def test_tensor_types():
    assert TensorType("floatX", (None, 3)).dtype == "float64"
    assert TensorType(np.float32, [True, False]) == TensorType("float32", (1, None))
    assert TensorType("int8", (1, None)).broadcastable == (True, False)
    assert str(TensorType("int8", (1, None))) == "int8 (1, ?)"
    assert TensorType("int8", (None,)).accepts(TensorType("int8", (4,)))
    assert not TensorType("int8", (3,)).accepts(TensorType("int8", (4,)))
    variable = TensorType("int8", (3,))("v")
    assert (variable.name, variable.type) == ("v", TensorType("int8", (3,)))
    for bad in [(-1,), ("a",), (1.5,)]:
        with pytest.raises(ShapeError):
            TensorType("int8", bad)
    with pytest.raises(DtypeError, match="complex64"):
        TensorType("complex64", ())
    with pytest.raises(DtypeError, match="no dtype"):
        canonical_dtype("floaty")


def test_float_x_decides_untyped_constructors_and_weak_floats():
    with config.change_flags(floatX="float32"):
        assert T.matrix().dtype == "float32"
        assert tg.shared(0.5).dtype == "float32"
        assert (T.ivector() * 0.5).dtype == "float32"
        assert T.exp(T.lvector()).dtype == "float32"
        assert (T.fvector() * np.float64(0.5)).dtype == "float32"
    assert T.matrix().dtype == "float64"


def test_forbidden_dtype_raises_on_the_line_that_makes_it():
    a, b = T.fvector("a"), T.ivector("b")
    with config.change_flags(forbid_dtype="float64"), pytest.raises(DtypeError) as caught:
        a * b
    assert "forbid_dtype" in str(caught.value)
    assert "a * b" in str(caught.value)


def test_settings():
    with pytest.raises(ConfigError, match=r"floatY'[\s\S]*did you mean floatX"):
        config.floatY = "float32"
    with pytest.raises(ConfigError, match="did you mean backend"):
        config.backed
    with pytest.raises(ConfigError, match=r"cannot be 'float128'"):
        config.floatX = "float128"
    with pytest.raises(ConfigError), config.change_flags(mode="FAST_COMPILE", floatX="nonsense"):
        pass
    assert config.mode == "FAST_RUN"
    assert "floatX = 'float64'" in repr(config)


def test_array_modules():
    xp = arrays.get("numpy")
    assert xp.exp is np.exp
    assert arrays.module_of(np.zeros(1)) is xp
    target = np.zeros(3)
    xp.scatter_add(target, [0, 0, 2], 1.0)
    assert target.tolist() == [2, 0, 1]
    with pytest.raises(BackendError, match="no backend"):
        arrays.get("jax")
