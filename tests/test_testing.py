"""The tools for tests, tested: gradients that are wrong must be found, right ones must pass."""

import importlib
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import DtypeError, GradientError
from tinygraph.testing import GradientReport, OpError, check_grad, check_ops, verify_grad
from tinygraph.testing import strategies as tst
from tinygraph.types import Abstract, TensorType

RNG = np.random.default_rng(0)
MATRIX = RNG.uniform(0.5, 1.5, (3, 4))


class Faulty(tg.Op):
    """A function of one input whose derivative is right or wrong in one of many ways.

    ``kind`` says what it computes, ``fault`` what is wrong with its vjp.
    """

    kind: str
    fault: str = ""

    def infer(self, x):
        return x.type.with_shape(x.shape[::-1]) if self.kind == "transpose" else x.type

    def compute(self, xp, x):
        return {"sin": xp.sin, "square": xp.square, "transpose": lambda v: v.T.copy(), "scale": lambda v: 3 * v}[
            self.kind
        ](x)

    def vjp(self, inputs, outputs, cotangents):
        (x,), (g,) = inputs, cotangents
        right = {
            "sin": lambda: g * T.cos(x),
            "square": lambda: g * 2 * x,
            "transpose": lambda: g.T,
            "scale": lambda: 3 * g,
        }
        return [FAULTS[self.fault](right[self.kind](), x)]


def _few(g, x):
    """0.05 % off in one corner."""
    return T.inc_subtensor(g[0, :1], 0.0005 * g[0, :1]) if x.ndim == 2 else T.inc_subtensor(g[7:8], 0.0005 * g[7:8])


FAULTS = {
    "": lambda g, x: g,
    "a little": lambda g, x: 1.0005 * g,
    "sign": lambda g, x: -g,
    "zero": lambda g, x: 0 * g,
    "detached": lambda g, x: None,
    "a few": _few,
    "added": lambda g, x: g + 0.0005,
    "not a number": lambda g, x: g * np.nan,
}
KINDS = ("sin", "square", "transpose", "scale")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_gradients_pass(kind, dtype):
    report = check_grad(Faulty(kind), MATRIX.astype(dtype))
    assert isinstance(report, GradientReport)
    assert report.excluded == ()
    assert report.checked == 12 + 24


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [name for name in FAULTS if name])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wrong_gradients_fail(kind, fault, dtype):
    with pytest.raises(GradientError, match="first derivative with respect to x0"):
        check_grad(Faulty(kind, fault), MATRIX.astype(dtype))


@pytest.mark.parametrize("fault", ["a little", "sign", "zero", "a few"])
def test_wrong_gradients_of_large_inputs_fail(fault):
    x = RNG.uniform(0.5, 1.5, 3000)
    assert check_grad(Faulty("sin"), x, coordinates=30).checked == 3 * 3000
    with pytest.raises(GradientError, match=re.escape("at index (7,)") if fault == "a few" else "wrong"):
        check_grad(Faulty("sin", fault), x, coordinates=30)


def test_a_fault_of_the_second_order_only():
    class Slope(tg.Op):
        """cos(x), as the derivative of sin; its own derivative is wrong."""

        factor: float

        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return xp.cos(x)

        def vjp(self, inputs, outputs, cotangents):
            return [-self.factor * cotangents[0] * T.sin(inputs[0])]

    class Sine(tg.Op):
        factor: float

        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return xp.sin(x)

        def vjp(self, inputs, outputs, cotangents):
            return [cotangents[0] * Slope(self.factor)(inputs[0])]

    check_grad(Sine(1.0), MATRIX)
    check_grad(Sine(1.0005), MATRIX, order=1)
    with pytest.raises(GradientError, match="second derivative with respect to x0"):
        check_grad(Sine(1.0005), MATRIX)


def test_a_vjp_that_is_wrong_towards_its_cotangent():
    class Product(tg.Op):
        """g times h, differentiated rightly towards h only."""

        def infer(self, g, h):
            return g.type

        def compute(self, xp, g, h):
            return g * h

        def vjp(self, inputs, outputs, cotangents):
            return [1.0005 * cotangents[0] * inputs[1], cotangents[0] * inputs[0]]

    class Square(tg.Op):
        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return x * x

        def vjp(self, inputs, outputs, cotangents):
            return [Product()(cotangents[0], 2 * inputs[0])]

    check_grad(Square(), MATRIX, order=1)
    with pytest.raises(GradientError, match="second derivative with respect to the first cotangent 0"):
        check_grad(Square(), MATRIX)


def test_a_missing_sum_over_broadcast_axes():
    class Sum(tg.Op):
        summed: bool

        def infer(self, x, y):
            return x.type

        def compute(self, xp, x, y):
            return x + y

        def vjp(self, inputs, outputs, cotangents):
            (g,) = cotangents
            return [g, g.sum(axis=0, keepdims=True) if self.summed else g]

    x, y = np.ones((3, 4)), np.ones((1, 4))
    check_grad(Sum(True), x, y)
    with pytest.raises(GradientError, match="with respect to x1 has the wrong shape") as caught:
        check_grad(Sum(False), x, y)
    assert "(1, 4)" in caught.value.expected
    assert "(3, 4)" in caught.value.actual


def test_a_transposed_gradient():
    class Product(tg.Op):
        transposed: bool

        def infer(self, x, y):
            return x.type

        def compute(self, xp, x, y):
            return x @ y

        def vjp(self, inputs, outputs, cotangents):
            x, y = inputs
            (g,) = cotangents
            return [T.dot(g, y if self.transposed else y.T), T.dot(x.T, g)]

    x, y = RNG.normal(size=(2, 3, 3))
    check_grad(Product(False), x, y)
    with pytest.raises(GradientError, match="entries of 9 are wrong"):
        check_grad(Product(True), x, y)


def test_the_message_says_what_is_wrong_and_where():
    def model(weights, bias):
        return Faulty("square", "a little")(weights) + bias  # the user's line

    with pytest.raises(GradientError) as caught:
        check_grad(model, MATRIX, np.float32(2.0), seed=1234)
    text = str(caught.value)
    index = eval(re.search(r"with respect to weights at index (\(\d, \d\))", text).group(1))
    claim = float(re.search(r"actual +(\S+),", text).group(1))
    measured = float(re.search(r"expected +(\S+) ", text).group(1))
    assert 0 <= index[0] < 3
    assert claim == pytest.approx(1.0005 * measured, rel=1e-8)
    assert "relative error 0.0005" in text
    assert "12 entries of 12 are wrong, each by the factor 1.0005" in text
    assert "seed=1234" in text
    assert "test_testing.py" in text
    assert "# the user's line" in text


def test_the_seed_repeats_a_check():
    def failing(**options):
        with pytest.raises(GradientError) as caught:
            check_grad(Faulty("sin", "a little"), MATRIX, **options)
        return str(caught.value)

    first = failing()
    seed = int(re.search(r"seed=(\d+)", first).group(1))
    assert re.sub(r":\d+ in", ": in", failing(seed=seed)) == re.sub(r":\d+ in", ": in", first)
    assert failing(seed=seed + 1) != first


def test_the_complex_step_is_used_where_it_can_be():
    assert set(check_grad(lambda x: T.exp(x) * x, MATRIX).methods) == {"complex step"}
    assert set(check_grad(lambda x: T.dot(x, x.T)[:2].sum(), MATRIX).methods) == {"complex step"}
    assert set(check_grad(abs, MATRIX).methods) == {"central differences"}
    assert check_grad(lambda x: T.exp(25 * x), [1.0, -1.0]).excluded == ()


def test_an_operation_that_only_claims_to_be_holomorphic():
    class Floats(tg.Op):
        analytic = True

        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return xp.array(x, dtype="float64")

        def vjp(self, inputs, outputs, cotangents):
            return [cotangents[0]]

    assert set(check_grad(Floats(), MATRIX, order=1).methods) == {"central differences"}


# --- kinks and edges ----------------------------------------------------------------------------------------------


def test_kinks_are_reported_and_left_out():
    report = check_grad(T.nnet.relu, [-1.0, 0.0, 2.0, 1e-9], order=1)
    assert report.checked == 4  # the derivative 1/2 at 0 is what central differences give
    report = check_grad(lambda x: T.maximum(x, 0), [-1.0, 0.0, 2.0, 1e-9], order=1)
    assert report.checked == 3
    (line,) = report.excluded
    assert "at index (1,)" in line
    assert "kink" in line


def test_a_gradient_outside_the_one_sided_ones_is_no_kink():
    class Hinge(tg.Op):
        slope: float

        def infer(self, x):
            return x.type

        def compute(self, xp, x):
            return xp.maximum(x, 0)

        def vjp(self, inputs, outputs, cotangents):
            return [cotangents[0] * T.switch(inputs[0] > 0, 1, T.switch(inputs[0] < 0, 0, self.slope))]

    for slope in (0.0, 0.5, 1.0):
        check_grad(Hinge(slope), [1.0, 0.0], order=1)
    for slope in (-0.01, 1.01, 3.0, np.nan):
        with pytest.raises(GradientError, match=re.escape("at index (1,)")):
            check_grad(Hinge(slope), [1.0, 0.0], order=1)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-9, 1e-11])
def test_a_wrong_gradient_beside_a_kink_is_found(distance):
    check_grad(lambda x: abs(x - distance), [0.0])
    with pytest.raises(GradientError, match="wrong"):
        check_grad(lambda x: abs(Faulty("scale", "a little")(x) - 3 * distance), [0.0], order=1)


def test_jumps_are_no_derivatives():
    report = check_grad(T.floor, [0.5, 1.0, -1.5], order=1)
    assert report.checked == 2
    assert "kink" in report.excluded[0]


def test_the_edge_of_the_domain_is_left_out():
    report = check_grad(lambda x: T.switch(x > 1, 1, T.arcsin(x)), [0.5, -1.0], order=1)
    assert report.checked == 1
    assert "edge" in report.excluded[0]


def test_a_small_domain_is_no_edge():
    assert check_grad(T.log, [1e-8, 1e-3, 1.0, 1e8]).excluded == ()
    assert check_grad(lambda x: T.sqrt(x) * T.floor(x + 1), [1e-8, 0.3]).excluded == ()


def test_nothing_left_to_check():
    with pytest.raises(GradientError, match="every entry is at a kink"):
        check_grad(lambda x: T.maximum(x, 0), [0.0, 0.0])


def test_kinks_in_groups_are_singled_out():
    x = RNG.uniform(0.5, 1.5, 500)
    x[[3, 77]] = 0.0
    report = check_grad(lambda x: T.maximum(x, 0), x, order=1, coordinates=10)
    assert len(report.excluded) == 2
    assert report.checked == 498


# --- arguments ----------------------------------------------------------------------------------------------------


def test_discrete_inputs_are_passed_as_they_are():
    def f(x, places, mask):
        assert (places.dtype, mask.dtype) == ("int32", "bool")
        return T.switch(mask, x[places], 2 * x[places])

    assert check_grad(f, MATRIX, np.array([0, 2, 2], "int32"), np.array([[True], [False], [True]])).excluded == ()


def test_several_outputs_and_inputs():
    report = check_grad(lambda x, y: [x * y, x.sum(), T.argmax(y)], MATRIX, MATRIX + 1, order=1)
    assert report.checked == 24
    assert check_grad(lambda x, y: x * T.floor(y), MATRIX, MATRIX, wrt=[0], order=1).checked == 12


def test_scalars_lists_and_empty_arrays():
    assert check_grad(lambda x: x**3, 2.0).checked == 3
    assert check_grad(lambda x: (x**3).sum(), [[1.0, 2.0]]).checked == 2 + 3
    assert check_grad(lambda x: (x**3).sum(), np.zeros((0, 3))).checked == 1  # the cotangent of the sum


def test_third_order():
    assert check_grad(lambda x: T.exp(x) * T.sin(x), [0.3, 1.0], order=3).excluded == ()
    assert check_grad(lambda x, y: T.nnet.softmax(x).dot(y), MATRIX, MATRIX[0], order=3).excluded == ()


def test_tolerances():
    check_grad(Faulty("sin", "a little"), MATRIX, rtol=1e-3)
    check_grad(Faulty("sin", "a little"), MATRIX, atol=1e-2)


def test_nothing_to_differentiate():
    for f, x in ((T.argmax, MATRIX), (lambda x: x + 1.5, np.arange(3)), (lambda x: 2, MATRIX)):
        with pytest.raises(GradientError, match="nothing to differentiate"):
            check_grad(f, x)
    for options in ({"wrt": [1]}, {"wrt": []}, {"wrt": [2]}, {"order": 0}):
        with pytest.raises(GradientError, match="nothing to differentiate"):
            check_grad(lambda x, n: x * n, MATRIX, 3, **options)
    with pytest.raises(DtypeError, match="input 1 of a gradient check is no array of numbers"):
        check_grad(lambda x, y: x, 1.0, "text")


def test_a_function_that_is_not_finite():
    with pytest.raises(GradientError, match="not finite at this point"):
        check_grad(T.log, [1.0, -1.0])


def test_a_function_too_rough_to_judge():
    assert check_grad(lambda x: T.sin(1e12 * x), [0.3, 0.5], order=1).methods == {"complex step": 2}
    with pytest.raises(GradientError, match="cannot be measured well enough"):
        check_grad(lambda x: T.sin(1e12 * abs(x)), [0.3, 0.5], order=1)


def test_a_derivative_far_below_the_function_is_not_excused():
    check_grad(lambda x: x + 1e9, [0.3, 0.5])
    with pytest.raises(GradientError, match=r"wrong|well enough"):
        check_grad(lambda x: Faulty("scale", "a little")(x) + 1e9, [0.3, 0.5], order=1)
    check_grad(lambda x: 1 + 1e-60 * x, [0.3, 0.5])


# --- verify_grad --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rng", [None, np.random, np.random.RandomState(3), np.random.default_rng(3)])
def test_verify_grad(rng):
    verify_grad(T.tanh, [MATRIX], rng=rng)
    verify_grad(Faulty("sin"), (MATRIX.astype("float32"),), 3, rng)
    with pytest.raises(verify_grad.E_grad, match="wrong"):
        verify_grad(Faulty("sin", "a little"), [MATRIX], rng=rng)
    verify_grad(Faulty("sin", "a little"), [MATRIX], rng=rng, rel_tol=1e-3)
    verify_grad(Faulty("sin", "a little"), [MATRIX], rng=rng, abs_tol=1e-2, eps=1e-3)
    assert tg.gradient.verify_grad is verify_grad


def test_verify_grad_knows_extents_of_one():
    seen = []

    def f(x):
        seen.append(x.broadcastable)
        return x.dimshuffle(1) * 2

    verify_grad(f, [np.ones((1, 3))], n_tests=1)
    assert seen == [(True, False)]


def test_verify_grad_refuses():
    with pytest.raises(DtypeError, match="float arrays"):
        verify_grad(T.tanh, [np.arange(3)])
    with pytest.raises(DtypeError, match="list of arrays"):
        verify_grad(T.tanh, MATRIX)
    with pytest.raises(DtypeError, match="one output"):
        verify_grad(lambda x: [x, x], [MATRIX])


# --- promises of operations ---------------------------------------------------------------------------------------


class Liar(tg.Op):
    """The identity, with one broken promise."""

    about: str

    @property
    def view(self):
        return self.about != "view"

    def infer(self, x):
        if self.about == "shape":
            return TensorType(x.dtype, (7, *x.shape[1:]))
        if self.about == "dtype":
            return TensorType("float32", x.shape)
        if self.about == "value":
            return Abstract(TensorType("int64"), 7)
        return x.type

    def is_identity(self, x):
        return self.about == "identity"

    def compute(self, xp, x):
        if self.about == "writing":
            x[...] = 0
        if self.about == "identity":
            return x + 1
        if self.about == "count":
            return x, x
        if self.about == "value":
            return xp.asarray(8)
        return [1.0] if self.about == "arrays" else x


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("shape", "not of the type announced"),
        ("dtype", "not of the type announced"),
        ("value", "not the value announced"),
        ("view", "shares memory with input 0"),
        ("identity", "is_identity says"),
        ("writing", "writes to one of its inputs"),
        ("count", "one array for each output"),
        ("arrays", "must return arrays"),
    ],
)
def test_broken_promises(about, message):
    x = T.dvector("x")
    with pytest.raises(OpError, match=message) as caught:
        check_ops([x], [Liar(about)(x)], [[1.0, 2.0]])
    assert "liar" in str(caught.value)
    assert "test_testing.py" in str(caught.value)


def test_kept_promises():
    x, n = T.dmatrix("x"), T.lscalar("n")
    w = tg.shared(np.ones(4))
    out = T.dot(x, w)[:n] + T.arange(n) * 2.0
    (value,) = check_ops([x, n, w], [out], [MATRIX, 2, np.ones(4)])
    np.testing.assert_allclose(value, MATRIX.sum(axis=1)[:2] + np.array([0, 2]))
    (value,) = check_ops([x], [T.dot(x, w)], [MATRIX])
    np.testing.assert_allclose(value, MATRIX.sum(axis=1))
    assert Liar("")(T.dvector()).ndim == 1


# --- strategies ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 4).flatmap(tst.broadcasting_shapes))
def test_broadcasting_shapes_broadcast(shapes):
    np.broadcast_shapes(*shapes)


@given(tst.dtypes().flatmap(lambda dtype: st.tuples(st.just(dtype), tst.arrays(dtype, tst.shapes(), special=True))))
def test_arrays_have_their_dtype(drawn):
    dtype, array = drawn
    assert array.dtype.name == dtype


@given(tst.arrays("float64", (3,), low=1, high=2))
def test_bounds(array):
    assert ((array >= 1) & (array <= 2)).all()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float32", "float64"])
def test_special_values_survive_their_dtype(dtype):
    values = tst.special_values(dtype)
    np.testing.assert_array_equal(np.array(values, dtype).astype("float64"), np.array(values, "float64"))


@given(tst.arrays(special=True))
def test_variants_hold_the_same_values(array):
    for name, variant in tst.variants(array).items():
        assert variant.shape == array.shape, name
        np.testing.assert_array_equal(variant, array, name)


def test_variants_are_laid_out_in_their_way():
    variants = tst.variants(MATRIX)
    assert not variants["read-only"].flags.writeable
    assert not variants["unaligned"].flags.aligned
    assert variants["fortran"].flags.f_contiguous
    assert variants["reversed"].strides[1] < 0
    assert not variants["strided"].flags.contiguous
    assert variants["big-endian"].dtype.byteorder == ">"
    assert not any(np.shares_memory(v, MATRIX) for v in variants.values())


@given(st.data())
def test_layouts(data):
    np.testing.assert_array_equal(data.draw(tst.layouts(MATRIX)), MATRIX)


@given(st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), tst.axes(n))))
def test_axes_are_axes(drawn):
    ndim, axis = drawn
    np.zeros((2,) * ndim).sum(axis=axis)


@given(st.integers(1, 3).flatmap(lambda n: tst.axes(n, none=False)))
def test_axes_without_none(axis):
    assert axis is not None


@given(
    tst.shapes().flatmap(
        lambda s: st.tuples(tst.arrays("int64", s), st.one_of(tst.basic_indices(s), tst.advanced_indices(s)))
    )
)
def test_indices_index(drawn):
    array, index = drawn
    array[index]


def test_hypothesis_is_named_when_it_is_missing():
    code = "import sys; sys.modules['hypothesis'] = None\nimport tinygraph.testing\nimport tinygraph.testing.strategies"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: tinygraph.testing.strategies needs Hypothesis: pip install hypothesis" in ran.stderr


def test_everything_public_is_documented():
    for name in ("tinygraph.testing", "tinygraph.testing.strategies"):
        module = importlib.import_module(name)
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(getattr(module, public).__doc__ for public in module.__all__)
