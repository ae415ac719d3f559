"""What libraries of layers lean on: names and habits of Theano's that are not mathematics."""

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError


def test_a_list_with_slices_is_an_index_as_a_tuple_is():
    x, n = T.matrix("x"), T.lscalar("n")
    a = np.arange(12.0).reshape((3, 4))
    np.testing.assert_array_equal(x[[slice(None), slice(1, 3)]].eval({x: a}), a[:, 1:3])
    np.testing.assert_array_equal(x[[slice(n, None), 2]].eval({x: a, n: 1}), a[1:, 2])
    np.testing.assert_array_equal(x[[slice(None), [0, 2]]].eval({x: a}), a[:, [0, 2]])
    np.testing.assert_array_equal(T.set_subtensor(x[[slice(1), slice(None)]], 7.0).eval({x: a})[0], [7.0] * 4)
    np.testing.assert_array_equal(x[[0, 2]].eval({x: a}), a[[0, 2]])
    with pytest.raises(DtypeError):
        x[[0.5, 1.0]]


def test_leaves_are_found_in_theanos_order():
    from tinygraph.gof.graph import ancestors, inputs

    x, y, z = T.scalars("x", "y", "z")
    assert inputs([(x + y) + z]) == inputs([x + (y + z)]) == [x, y, z]
    assert inputs([T.exp(z) * y + x * z]) == [z, y, x]
    assert inputs([x, y, z]) == [z, y, x]
    s = x + y
    product = s * z
    assert ancestors([product]) == [product, s, x, y, z]
    assert ancestors([product], blockers=[s]) == [product, s, z]
    w, b = tg.shared(1.0, "w"), tg.shared(2.0, "b")
    assert [v for v in inputs([T.dot(x, w) + b]) if isinstance(v, tg.compile.SharedVariable)] == [w, b]


def test_graphs_are_compared_in_scan_utils():
    from tinygraph.scan_module.scan_utils import equal_computations

    x, y = T.vectors("x", "y")
    assert equal_computations([(x**2).sum() + 1], [(x**2).sum() + 1])
    assert not equal_computations([(x**2).sum()], [(y**2).sum()])
    assert not equal_computations([(x**2).sum()], [(x**3).sum()])


def test_arrays_on_a_gpu_in_theanos_way_are_not_active():
    from tinygraph import gpuarray
    from tinygraph.gpuarray import dnn

    assert gpuarray.pygpu_activated is False
    assert gpuarray.dnn is dnn
    assert not dnn.dnn_present()
    assert not dnn.dnn_available(None)
    assert dnn.dnn_present.avail is False
    assert "cuDNN" in dnn.dnn_present.msg
    with pytest.raises(ImportError):
        from tinygraph.sandbox import cuda  # noqa: F401


def test_an_integer_constant_does_not_widen_what_stands_beside_it():
    x = T.fvector("x")
    one = T.constant(1)
    assert one.dtype == "int64"
    assert (one - x).dtype == (x / T.as_tensor_variable(3)).dtype == "float32"
    assert (one + T.bvector()).dtype == "int8"
    assert (T.constant(300) + T.bvector()).dtype == "int16"
    assert (one + T.lvector()).dtype == "int64"
    assert (T.constant(1, dtype="int64") - x).dtype == "float64"
    assert (T.constant(np.int64(1)) - x).dtype == "float64"
    assert int((T.constant(100) * T.constant(100)).eval()) == 10_000
    t = tg.shared(np.float32(0)) + 1
    rate = 0.1 * T.sqrt(one - 0.9**t) / (one - 0.5**t)
    assert rate.dtype == "float32"
    np.testing.assert_allclose(rate.eval(), 0.1 * np.sqrt(0.1) / 0.5, rtol=1e-6)
