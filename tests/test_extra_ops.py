"""Extra operations, choices, checks and Theano's module paths, beyond the op table."""

import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, IndexingError, NullTypeGradError, ShapeError
from tinygraph.graph import toposort
from tinygraph.ops.checks import LoadError
from tinygraph.types import TensorType

RNG = np.random.default_rng(0)


# --- values -------------------------------------------------------------------------------------------------------


def test_extents_that_depend_on_data_are_not_known():
    x, i, c = T.matrix("x"), T.ivector("i"), T.tensor("bool", (None,))
    assert T.unique(T.zeros((2, 3))).type.shape == (None,)
    assert [v.type.shape for v in T.unique(T.zeros((2, 3)), True, True, True)] == [(None,), (None,), (6,), (None,)]
    assert T.unique(T.zeros((2, 3)), axis=1).type.shape == (2, None)
    assert T.bincount(i).type.shape == (None,)
    assert T.compress(c, T.zeros((4, 3)), axis=0).type.shape == (None, 3)
    assert T.topk(T.zeros((4, 3)), 2, axis=0).type.shape == (2, 3)
    assert T.topk(x, T.lscalar()).type.shape == (None, None)


def test_unique_as_theanos_class():
    x = T.vector("x")
    values, first, numbers = T.extra_ops.Unique(True, True, False)(x)
    given = {x: [1, 2, 3, 4, 3, 2, 1]}
    assert values.eval(given).tolist() == [1, 2, 3, 4]
    assert first.eval(given).tolist() == [0, 1, 2, 3]
    assert numbers.eval(given).tolist() == [0, 1, 2, 3, 2, 1, 0]
    assert T.extra_ops.Unique(False, False, False)(x).eval(given).tolist() == [1, 2, 3, 4]


def test_gradient_of_unique_goes_to_the_first_of_each_value():
    x = T.matrix("x")
    g = tg.grad((T.unique(x) * [1.0, 10.0, 100.0]).sum(), x)
    assert g.eval({x: [[3, 1], [3, 2]]}).tolist() == [[100, 1], [0, 10]]


def test_masks_go_through_unique_and_choose():
    x = T.vector("x")
    root = T.unique(T.sqrt(x))
    assert tg.grad(T.switch(root > 0, root, 0).sum(), x).eval({x: [0.0, 4.0]}).tolist() == [0, 0.25]
    chosen = T.choose([0, 1], [x, T.sqrt(x - 1)])
    assert tg.grad(chosen.sum(), x).eval({x: [1.0, 2.0]}).tolist() == [1, 0.5]


@given(st.data())
def test_isclose_is_numpys(data):
    numbers = st.sampled_from([0.0, -0.0, 1.0, 1.000001, 1.1, 1e300, np.inf, -np.inf, np.nan])
    a, b = (np.array(data.draw(st.lists(numbers, min_size=4, max_size=4))) for _ in range(2))
    nan = data.draw(st.booleans())
    x, y = T.vectors("x", "y")
    assert T.isclose(x, y, equal_nan=nan).eval({x: a, y: b}).tolist() == np.isclose(a, b, equal_nan=nan).tolist()


def test_nan_counts_as_the_largest():
    values, places = T.topk_and_argtopk([1.0, np.nan, 2.0], 2)
    assert places.eval().tolist() == [1, 2]
    assert np.isnan(values.eval()[0])
    assert T.topk([1.0, np.nan, 2.0], -2).eval().tolist() == [1, 2]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.data())
def test_topk_is_the_end_of_the_sorted_list(numbers, data):
    k = data.draw(st.integers(1, len(numbers)))
    assert T.topk(numbers, k).eval().tolist() == sorted(numbers, reverse=True)[:k]
    assert T.topk(numbers, -k).eval().tolist() == sorted(numbers)[:k]


def test_one_hot_rows_have_floats_by_default():
    assert T.extra_ops.to_one_hot([1], 2).dtype == "float64"
    with tg.config.change_flags(floatX="float32"):
        assert T.extra_ops.to_one_hot([1], 2).dtype == "float32"
    assert T.extra_ops.to_one_hot(T.zeros((2, 3), "int64"), 4).type.shape == (2, 3, 4)


def test_xlogy0_where_both_are_0():
    x, y = T.vectors("x", "y")
    z = T.xlogx.xlogy0(x, y)
    at = {x: [0.0, 0.0, 2.0], y: [0.0, 2.0, 0.5]}
    assert tg.grad(z.sum(), y).eval(at).tolist() == [0, 0, 4]
    mixed = tg.grad(tg.grad(z.sum(), y).sum(), x)
    assert mixed.eval(at)[1:].tolist() == [0.5, 2.0]
    entropy = tg.grad(T.xlogx.xlogx(x).sum(), x)
    assert entropy.eval({x: [1.0, 0.0]}).tolist() == [1, -np.inf]


def test_the_order_of_a_function_has_no_gradient():
    k, x = T.dscalars("k", "x")
    for function in (T.gammainc, T.gammaincc, T.jv, T.iv):
        with pytest.raises(NullTypeGradError) as err:
            tg.grad(function(k, x), k)
        assert function.__name__ in err.value.problem
        assert np.isfinite(tg.grad(function(k, x), x).eval({k: 1.5, x: 2.0}))


def test_gelu_and_swish_far_from_0():
    x = T.fvector("x")
    for function in (T.nnet.gelu, lambda v: T.nnet.gelu(v, approximate=True), T.nnet.swish):
        cost = function(x).sum()
        assert function(x).eval({x: [-300, 300]}).tolist() == [0, 300]
        assert tg.grad(cost, x).eval({x: [-300, 300]}).tolist() == [0, 1]


def test_stack_by_keyword():
    a, b = T.vectors("a", "b")
    assert T.stack(tensors=[a, b], axis=1).eval({a: [1, 2], b: [3, 4]}).tolist() == [[1, 3], [2, 4]]
    assert T.stack(tensors=(a, b)).ndim == T.stack([a, b], 1).ndim == T.stack(a, b).ndim == 2


def test_methods():
    x, i = T.vector("x"), T.ivector("i")
    assert x.transfer("cpu") is x
    assert x.searchsorted(2.5, side="right").eval({x: [1, 2, 3]}) == 2
    assert i.choose([x, 2 * x]).eval({i: [0, 1], x: [1, 2]}).tolist() == [1, 4]
    assert i.compress(x).eval({i: [0, 1], x: [1, 2]}).tolist() == [2]


# --- sizes that must fit ------------------------------------------------------------------------------------------


def test_broadcast_shape_says_what_is_known():
    x, y = T.tensor("float64", (None, 3)), T.tensor("float64", (4, 1, 1))
    first, rows, columns = T.extra_ops.broadcast_shape(x, y)
    assert (first, columns) == (4, 3)
    assert rows.eval({x: np.ones((2, 3)), y: np.ones((4, 1, 1))}) == 2
    a, b = T.vectors("a", "b")
    (n,) = T.extra_ops.broadcast_shape(a, b)
    with pytest.raises(ShapeError) as err:
        n.eval({a: [1, 2], b: [1, 2, 3]})
    assert "broadcast" in err.value.problem
    assert n.eval({a: [1, 2], b: [1]}) == 2


V, M, I = T.vector("v"), T.matrix("m"), T.ivector("i")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: T.diff(T.scalar()), ShapeError, "axis"),
        (lambda: T.diff(V, -1), ShapeError, "number of times"),
        (lambda: T.compress(M, V), ShapeError, "vector"),
        (lambda: T.fill_diagonal(V, 0), ShapeError, "matrix"),
        (lambda: T.fill_diagonal(M, V), ShapeError, "one number"),
        (lambda: T.fill_diagonal(T.zeros((2, 3, 2)), 0), ShapeError, "specified shape"),
        (lambda: T.fill_diagonal(T.imatrix(), 0.5), DtypeError, "cannot hold"),
        (lambda: T.fill_diagonal(T.imatrix(), T.dscalar()), DtypeError, "cannot hold"),
        (lambda: T.fill_diagonal_offset(T.tensor3(), 0, 1), ShapeError, "matrix"),
        (lambda: T.fill_diagonal_offset(M, 0, 1.5), DtypeError, "size is an integer"),
        (lambda: T.bincount(V), DtypeError, "integers"),
        (lambda: T.bincount(T.imatrix()), ShapeError, "vectors"),
        (lambda: T.bincount(I, M), ShapeError, "vectors"),
        (lambda: T.unique(M, axis=2), ShapeError, "axis"),
        (lambda: T.extra_ops.to_one_hot(V, 3), DtypeError, "integers"),
        (lambda: T.extra_ops.to_one_hot([3], 3), IndexingError, "out of bounds"),
        (lambda: T.searchsorted(M, 1), ShapeError, "vector"),
        (lambda: T.searchsorted(V, 1, side="middle"), DtypeError, "side"),
        (lambda: T.searchsorted(V, 1, sorter=V), DtypeError, "integer vector"),
        (lambda: T.unravel_index(V, (2, 3)), DtypeError, "integers"),
        (lambda: T.unravel_index(I, (2, 3), order="A"), DtypeError, "order"),
        (lambda: T.unravel_index(I, ()), ShapeError, "axes"),
        (lambda: T.unravel_index(I, I), ShapeError, "number of dimensions"),
        (lambda: T.ravel_multi_index(I, (2, 3)), DtypeError, "tuple"),
        (lambda: T.ravel_multi_index((I, V), (2, 3)), DtypeError, "integers"),
        (lambda: T.ravel_multi_index((I, I, I), (2, 3)), ShapeError, "entries"),
        (lambda: T.ravel_multi_index((I, I), (2, 3), mode=("wrap",)), IndexingError, "mode"),
        (T.extra_ops.broadcast_shape, ShapeError, "nothing"),
        (lambda: T.extra_ops.broadcast_shape(T.zeros(2), T.zeros(3)), ShapeError, "broadcast"),
        (lambda: T.cov(T.tensor3()), ShapeError, "matrix"),
        (lambda: T.cov(M, aweights=M), ShapeError, "weight"),
        (lambda: T.topk(V, 0), ShapeError, "at least one"),
        (lambda: T.topk(T.zeros(3), 4), ShapeError, "4 elements"),
        (lambda: T.topk(T.scalar(), 1), ShapeError, "axis"),
        (lambda: T.argtopk(V, 1, idx_dtype="float32"), DtypeError, "integers"),
        (lambda: T.choose(V, [V]), DtypeError, "integers"),
        (lambda: T.choose(I, []), ShapeError, "nothing"),
        (lambda: T.choose(I, T.scalar()), ShapeError, "axis"),
        (lambda: T.choose(I, [V], mode="bounce"), IndexingError, "mode"),
        (lambda: T.choose(I, [V], out=np.zeros(3)), DtypeError, "new tensors"),
        (lambda: T.permute_row_elements(V, V), DtypeError, "integers"),
        (lambda: T.mgrid[3, 2:4], DtypeError, "slices"),
        (lambda: T.ogrid[:], DtypeError, "slices"),
        (lambda: T.load(3, "int64", ()), DtypeError, "path"),
        (lambda: T.load("x.npy", "int64", (), mmap_mode="r"), DtypeError, "mode"),
        (lambda: T.nnet.maxout(M, 0), ShapeError, "pieces"),
        (lambda: T.nnet.maxout(T.zeros((2, 5)), 2), ShapeError, "reshape"),
        (lambda: T.nnet.embedding(M, V), DtypeError, "integers"),
        (lambda: T.nnet.embedding(T.zeros((3, 2)), [3]), IndexingError, "out of bounds"),
        (lambda: T.nnet.confusion_matrix(M, V), ShapeError, "vectors"),
        (lambda: T.nnet.confusion_matrix(T.zeros(1), T.zeros(5)), ShapeError, "specified shape"),
        (lambda: T.nnet.sparse_block_dot(M, M, M, M, M), ShapeError, "W has"),
        (lambda: T.nnet.prepend_1_to_each_row(V), ShapeError, "matrix"),
        (lambda: T.is_flat(V, 1, 1), ShapeError, "same"),
        (lambda: TensorType("int8", (1,), broadcastable=(True,)), DtypeError, "same"),
    ],
)
def test_errors_when_the_graph_is_built(call, error, words):
    with pytest.raises(error) as err:
        call()
    assert words in err.value.problem


@pytest.mark.parametrize(
    ("out", "given", "error"),
    [
        (T.bincount(I), {I: [1, -1]}, IndexingError),
        (T.extra_ops.to_one_hot(I, 2), {I: [2]}, IndexingError),
        (T.compress(I, V), {I: [0, 0, 1], V: [1, 2]}, IndexingError),
        (T.topk(V, 3), {V: [1, 2]}, ShapeError),
        (T.topk(V, T.cast(I[0], "int64")), {V: [1, 2], I: [0]}, ShapeError),
        (T.choose(I, [V, V]), {I: [2], V: [1]}, IndexingError),
        (T.choose(I, [V, V]), {I: [-1], V: [1]}, IndexingError),
        (T.choose(I, M), {I: [2], M: [[1], [2]]}, IndexingError),
        (T.ravel_multi_index((I, I), (2, 3)), {I: [2]}, IndexingError),
        (T.unravel_index(I, (2, 3))[0], {I: [6]}, IndexingError),
        (T.unravel_index(I, (2, 3))[0], {I: [-1]}, IndexingError),
        (T.searchsorted(V, 1.0, sorter=I), {V: [1, 2], I: [0, 2]}, IndexingError),
        (T.nnet.confusion_matrix(V, I)[0], {V: [1, 2], I: [0]}, ShapeError),
        (T.fill_diagonal(T.tensor3("t"), 0), None, ShapeError),
    ],
)
def test_errors_when_the_function_runs(out, given, error):
    if given is None:
        (leaf,) = (v for v in tg.graph.graph_inputs([out]) if v.name == "t")
        given = {leaf: np.ones((2, 3, 2))}
    with pytest.raises(error) as err:
        out.eval(given)
    assert "test_extra_ops.py" in str(err.value)


# --- rows that are looked up --------------------------------------------------------------------------------------


def test_updates_of_the_rows_that_were_looked_up():
    start = RNG.normal(size=(6, 3))
    W, words, rate = tg.shared(start, "W"), T.lvector("words"), 0.1
    rows = W[words]
    cost = (rows**2).sum() / 2
    train = tg.function([words], cost, updates=[(W, T.inc_subtensor(rows, -rate * tg.grad(cost, rows)))])
    train([4, 1, 4])
    expected = start.copy()
    np.add.at(expected, [4, 1, 4], -rate * start[[4, 1, 4]])
    np.testing.assert_allclose(W.get_value(), expected)


def test_embeddings_make_no_one_hot_matrix():
    W, words = tg.shared(np.ones((1000, 3)), "W"), T.lvector("words")
    cost = T.sqr(T.nnet.embedding(W, words)).sum()
    g = tg.grad(cost, W)
    names = {type(node.op).__name__ for node in toposort([g])}
    assert "AdvancedIncSubtensor" in names
    assert not names & {"Dot", "Matmul"}
    f = tg.function([words], g)
    result = f(np.array([7, 7, 2]))
    assert max(math.prod(b.type.shape) for b in f.program.buffers) == result.size
    assert result[[7, 2, 0]].tolist() == [[4.0] * 3, [2.0] * 3, [0.0] * 3]


def test_only_the_class_of_the_target_is_computed():
    x, t = T.matrix("x"), T.lvector("t")
    W1, b1, W2, b2 = (RNG.normal(size=s) for s in ((4, 3), (3,), (3, 4, 5), (3, 5)))
    whole = T.nnet.h_softmax(x, x.shape[0], 15, 3, 5, W1, b1, W2, b2)
    picked = T.nnet.h_softmax(x, x.shape[0], 15, 3, 5, W1, b1, W2, b2, t)
    values = RNG.normal(size=(6, 4))
    everything = whole.eval({x: values})
    np.testing.assert_allclose(everything.sum(1), 1)
    targets = np.array([0, 14, 7, 3, 3, 9])
    np.testing.assert_allclose(picked.eval({x: values, t: targets}), everything[np.arange(6), targets])
    with pytest.raises(IndexingError):
        picked.eval({x: values, t: targets + 10})


# --- checks and files ---------------------------------------------------------------------------------------------


def test_assertions_are_checked_when_the_function_runs():
    x = T.vector("x")
    y = T.opt.Assert("x must be positive")(x, T.all(x > 0), x.shape[0] < 3)
    f = tg.function([x], [y * 2, tg.grad((y**2).sum(), x)])
    assert [r.tolist() for r in f([1, 2])] == [[2, 4], [2, 4]]
    for wrong in ([1, -1], [1, 2, 3]):
        with pytest.raises(AssertionError, match="x must be positive") as err:
            f(wrong)
        assert "test_extra_ops.py" in str(err.value)
    with pytest.raises(AssertionError):
        T.opt.assert_op(T.constant(1.0), False).eval()
    n = T.lscalar("n")
    with pytest.raises(AssertionError):
        (T.opt.assert_op(2, n > 0) * n).eval({n: -1})  # a known value does not make the condition go away


def test_files_are_read_at_each_call(tmp_path):
    path = tmp_path / "saved.npy"
    np.save(path, np.arange(3))
    f = tg.function([], 2 * T.load(path, "int64", (False,)))
    assert f().tolist() == [0, 2, 4]
    np.save(path, np.arange(2))
    assert f().tolist() == [0, 2]


@pytest.mark.parametrize("mmap_mode", [None, "c"])
def test_files_that_hold_something_else(tmp_path, mmap_mode):
    path = tmp_path / "saved.npy"
    f = tg.function([], T.load(str(path), "float32", (False, True), mmap_mode))
    with pytest.raises(OSError, match="No such file"):
        f()
    for wrong in (np.zeros((2, 1)), np.zeros((2, 2), "float32"), np.zeros(2, "float32"), np.array(["text"])):
        np.save(path, wrong)
        with pytest.raises(LoadError) as err:
            f()
        assert "holds another array" in err.value.problem
    path.write_bytes(b"no array")
    with pytest.raises(LoadError):
        f()
    with path.open("wb") as file:
        np.savez(file, np.zeros(2), np.zeros(3))
    with pytest.raises(LoadError) as err:
        f()
    assert "several arrays" in err.value.problem
    np.save(path, np.ones((2, 1), "<f4"))
    assert f().tolist() == [[1], [1]]
    np.save(path, np.ones((2, 1), ">f4"))
    assert f().dtype == np.dtype("float32")


# --- types and module paths ---------------------------------------------------------------------------------------


def test_types_take_broadcastable_by_name():
    assert TensorType("float32", broadcastable=(False, True)) == TensorType("float32", (None, 1))
    assert T.TensorType(dtype="int8", broadcastable=[])().ndim == 0
    assert T.TensorType("floatX", (False,) * 3, name="cube")("x").ndim == 3


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("basic", "as_tensor_variable dot sum var sort TensorType Variable set_subtensor config"),
        ("var", "TensorVariable TensorConstant"),
        ("sharedvar", "TensorSharedVariable"),
        ("elemwise", "Elemwise DimShuffle CAReduce"),
        ("subtensor", "set_subtensor inc_subtensor Subtensor"),
        ("type", "TensorType"),
        ("sort", "sort argsort topk argtopk"),
        ("extra_ops", "cumsum cumprod diff bincount squeeze repeat compress bartlett fill_diagonal to_one_hot unique"),
        ("io", "load"),
        ("nnet.nnet", "nnet.softmax nnet.relu nnet.confusion_matrix nnet.h_softmax nnet.binary_crossentropy"),
        ("nnet.sigm", "nnet.sigmoid nnet.softplus nnet.hard_sigmoid nnet.ultra_fast_sigmoid"),
        ("nnet.bn", "nnet.batch_normalization nnet.batch_normalization_train nnet.batch_normalization_test"),
        ("nnet.blocksparse", "nnet.sparse_block_dot"),
    ],
)
def test_theanos_paths_lead_to_the_same(path, names):
    module = importlib.import_module(f"tinygraph.tensor.{path}")
    for name in names.split():
        here = T
        for part in name.split("."):
            here = getattr(here, part)
        assert getattr(module, name.rpartition(".")[2]) is here
    assert set(module.__all__) <= set(dir(module))


def test_modules_do_not_hide_functions_of_their_names():
    importlib.import_module("tinygraph.tensor.var")
    importlib.import_module("tinygraph.tensor.sort")
    assert T.var(T.constant([1.0, 3.0])).eval() == 1
    assert T.sort(T.constant([3, 1])).eval().tolist() == [1, 3]


def test_submodules_are_attributes():
    assert T.basic.dot is T.dot
    assert T.nnet.nnet.softmax is T.nnet.softmax
    assert T.sharedvar.TensorSharedVariable is type(tg.shared(0.0))
    for package in (T, T.nnet):
        with pytest.raises(AttributeError, match="no_such_thing"):
            package.no_such_thing
        assert not hasattr(package, "__wrapped__")
