"""Operations written in Theano's way, beside those in tinygraph's own."""

import copy
import pickle

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, NullTypeGradError, ShapeError
from tinygraph.gradient import DisconnectedType, grad_undefined
from tinygraph.testing import check_grad


class Double(tg.Op):
    __props__ = ()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return tg.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        assert node.op == self
        output_storage[0][0] = inputs[0] * 2

    def infer_shape(self, node, i0_shapes):
        return i0_shapes

    def grad(self, inputs, output_grads):
        return [output_grads[0] * 2]

    def R_op(self, inputs, eval_points):
        if eval_points[0] is None:
            return eval_points
        return self.grad(inputs, eval_points)


class ByTypes(tg.Op):
    __props__ = ()
    itypes = (T.dmatrix, T.dvector)
    otypes = (T.dvector,)

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = inputs[0].dot(inputs[1])


class Affine(tg.Op):
    """Computes a * x + b."""

    __props__ = ("a", "b")

    def __init__(self, a, b):
        self.a = a
        self.b = b
        super().__init__()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return tg.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = np.asarray(self.a * inputs[0] + self.b, dtype=node.outputs[0].dtype)

    def L_op(self, inputs, outputs, output_grads):
        return [self.a * output_grads[0] + 0 * outputs[0]]


class SumAndSquare(tg.Op):
    """Two outputs, and an input without influence on the gradient."""

    def make_node(self, x, scale):
        x, scale = map(T.as_tensor_variable, (x, scale))
        return tg.Apply(self, [x, scale], [x.type(), T.dscalar()])

    def perform(self, node, inputs, output_storage):
        x, scale = inputs
        output_storage[0][0] = x**2
        output_storage[1][0] = np.asarray(x.sum() * scale)

    def grad(self, inputs, output_grads):
        x, scale = inputs
        squared, total = output_grads
        return [2 * x * squared + total * scale * T.ones_like(x), DisconnectedType()()]


class NoGradient(Double):
    __props__ = ()

    def grad(self, inputs, output_grads):
        return [grad_undefined(self, 0, inputs[0], "on purpose")]


def test_values_gradients_and_rop():
    x, v = T.dmatrix("x"), T.dmatrix("v")
    y = Double()(x)
    value = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(tg.function([x], y)(value), 2 * value)
    np.testing.assert_array_equal(tg.grad((y**2).sum(), x).eval({x: value}), 8 * value)
    np.testing.assert_array_equal(tg.Rop(y**2, x, v).eval({x: value, v: value}), 8 * value * value)
    check_grad(lambda x: Double()(x) ** 2, value)


def test_dtype_and_dimensions_follow_each_use():
    double = Double()
    a, b = T.fvector("a"), T.dtensor3("b")
    assert double(a).type == a.type
    assert double(b).type == b.type
    f = tg.function([a, b], [double(a), double(b)])
    made = f(np.ones(2, "float32"), np.ones((1, 2, 3)))
    assert [m.dtype.name for m in made] == ["float32", "float64"]
    assert made[1].shape == (1, 2, 3)


def test_types_instead_of_make_node():
    m, v = T.dmatrix("m"), T.dvector("v")
    product = ByTypes()(m, v)
    np.testing.assert_array_equal(tg.function([m, v], product)(np.eye(2), [1.0, 2.0]), [1.0, 2.0])
    with pytest.raises(DtypeError) as err:
        ByTypes()(v, v)
    assert "input 0" in err.value.problem
    with pytest.raises(DtypeError) as err:
        ByTypes()(m)
    assert err.value.actual == "1"
    with pytest.raises(NullTypeGradError):
        tg.grad(product.sum(), v)


def test_properties_make_operations_equal():
    assert Affine(1, 2) == Affine(1, 2) != Affine(1, 3)
    assert hash(Affine(1, 2)) == hash(Affine(1, 2))
    assert SumAndSquare() != SumAndSquare()
    assert str(Affine(1, 2)) == "Affine{a=1, b=2}"
    x = T.dscalar("x")
    f = tg.function([x], Affine(2, 1)(x) + Affine(2, 1)(x))
    f(1.0)
    assert str(f.program).count("Affine") == 1
    assert pickle.loads(pickle.dumps(Affine(1, 2))) == Affine(1, 2)
    assert copy.deepcopy(Affine(1, 2)).a == 1


def test_l_op_sees_the_outputs():
    x = T.dvector("x")
    assert tg.grad(Affine(3.0, 1.0)(x).sum(), x).eval({x: [1.0, 2.0]}).tolist() == [3.0, 3.0]


def test_several_outputs_and_disconnected_inputs():
    x, s = T.dvector("x"), T.dscalar("s")
    squared, total = SumAndSquare()(x, s)
    f = tg.function([x, s], [squared, total, tg.grad(total, x), tg.grad(squared.sum() + total, x)])
    got = f([1.0, 2.0], 10.0)
    np.testing.assert_array_equal(got[0], [1.0, 4.0])
    assert got[1] == 30.0
    np.testing.assert_array_equal(got[2], [10.0, 10.0])
    np.testing.assert_array_equal(got[3], [12.0, 14.0])
    with pytest.raises(tg.gradient.DisconnectedInputError):
        tg.grad(total, s)


def test_undefined_gradients_say_why():
    x = T.dvector("x")
    with pytest.raises(NullTypeGradError) as err:
        tg.grad(NoGradient()(x).sum(), x)
    assert "on purpose" in err.value.problem
    found = tg.grad(NoGradient()(x).sum(), x, null_gradients="return")
    assert isinstance(found, tg.gradient.NullGradient)


def test_the_cut_of_a_disconnected_output():
    assert isinstance(DisconnectedType()().type, DisconnectedType)


def test_infer_shape_makes_errors_early():
    ran = []

    class Loud(Double):
        __props__ = ()

        def perform(self, node, inputs, output_storage):
            ran.append(self)
            super().perform(node, inputs, output_storage)

    x, y = T.dvector("x"), T.dvector("y")
    f = tg.function([x, y], Loud()(x) + y)
    with pytest.raises(ShapeError):
        f([1.0, 2.0], [1.0, 2.0, 3.0])
    assert not ran


def test_what_perform_leaves_is_checked():
    class Wrong(tg.Op):
        __props__ = ("what",)

        def __init__(self, what):
            self.what = what

        def make_node(self, x):
            return tg.Apply(self, [x], [x.type()])

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = {"dtype": inputs[0] > 0, "ndim": inputs[0].sum(), "nothing": None}[self.what]

    x = T.dvector("x")
    for what, kind in (("dtype", DtypeError), ("ndim", ShapeError), ("nothing", ShapeError)):
        with pytest.raises(kind) as err:
            tg.function([x], Wrong(what)(x))([1.0])
        assert err.value.op == "Wrong"


def test_inputs_are_never_written_to():
    class InPlace(tg.Op):
        __props__ = ()
        destroy_map = {0: [0]}

        def make_node(self, x):
            return tg.Apply(self, [x], [x.type()])

        def perform(self, node, inputs, output_storage):
            inputs[0] += 1
            output_storage[0][0] = inputs[0]

    class Same(InPlace):
        destroy_map = {}

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = inputs[0]

    x = T.dvector("x")
    shared = tg.shared(np.zeros(2))
    assert tg.function([], InPlace()(shared))().tolist() == [1.0, 1.0]
    assert shared.get_value().tolist() == [0.0, 0.0]
    f = tg.function([x], Same()(x))
    value = np.zeros(2)
    f(value)[0] = 5
    assert value.tolist() == [0.0, 0.0]


def test_a_node_may_have_inputs_of_its_own():
    offset = tg.shared(10.0)

    class Offset(tg.Op):
        __props__ = ()

        def make_node(self, x):
            x = T.as_tensor_variable(x)
            return tg.Apply(self, [x, offset], [x.type()])

        def perform(self, node, inputs, output_storage):
            output_storage[0][0] = inputs[0] + inputs[1]

        def grad(self, inputs, output_grads):
            return [output_grads[0], output_grads[0].sum()]

    x = T.dvector("x")
    y = Offset()(x * 1.0)
    np.testing.assert_array_equal(tg.function([x], [y, tg.grad(y.sum(), offset)])([1.0, 2.0])[0], [11.0, 12.0])
    np.testing.assert_array_equal(tg.clone(y, {x: x + 1}).eval({x: [1.0]}), [12.0])


def test_default_output_and_lists():
    class First(SumAndSquare):
        default_output = 0

    x = T.dvector("x")
    assert First()(x, 1.0).ndim == 1
    assert isinstance(Double()(x, return_list=True), list)


def test_outputs_of_a_node_must_be_new():
    x = T.dvector("x")
    with pytest.raises(DtypeError):
        tg.Apply(Double(), [x], [x * 2])


def test_as_op():
    @tg.as_op(itypes=[T.dmatrix, T.dmatrix], otypes=[T.dmatrix], infer_shape=lambda node, shapes: [shapes[0]])
    def add(a, b):
        return a + b

    x, y = T.dmatrices("x", "y")
    made = add(x, y)
    assert str(made.owner.op).startswith("add")
    np.testing.assert_array_equal(made.eval({x: np.ones((2, 2)), y: np.eye(2)}), np.ones((2, 2)) + np.eye(2))

    @tg.as_op(T.dvector, [T.dscalar, T.lscalar])
    def two(x):
        return np.asarray(x.max()), np.asarray(x.argmax())

    v = T.dvector("v")
    assert [float(r) for r in tg.function([v], two(v))([1.0, 5.0])] == [5.0, 1.0]
    with pytest.raises(DtypeError):
        tg.as_op([float], [T.dscalar])


def test_own_protocol_stays_as_it_was():
    class Power(tg.Op):
        n: int

        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return x**self.n

        def vjp(self, inputs, outputs, cotangents):
            return [self.n * inputs[0] ** (self.n - 1) * cotangents[0]]

    x = T.dscalar("x")
    assert float(tg.grad(Power(3)(x), x).eval({x: 2.0})) == 12.0
    assert Power(3) == Power(n=3)
    with pytest.raises(AttributeError):
        Power(3).n = 4
    with pytest.raises(TypeError):
        Power()
    with pytest.raises(TypeError):
        Double(1)
