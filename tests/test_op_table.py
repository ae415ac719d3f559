"""The op table: every row of ``tests/optable`` through every test, and a row for every operation."""

import importlib
import importlib.util
import inspect
import pkgutil
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.optable
import tinygraph as tg
import tinygraph.ops
import tinygraph.tensor as T
from tests.optable.case import Case
from tinygraph import arrays
from tinygraph.errors import BackendError, GradientError
from tinygraph.graph import Op, toposort
from tinygraph.ops.elementwise import ROWS, Elementwise
from tinygraph.program import verify
from tinygraph.testing import check_grad, check_ops
from tinygraph.testing import strategies as tst
from tinygraph.types import TensorType, is_float


def _collected():
    modules = sorted(m.name for m in pkgutil.iter_modules(tests.optable.__path__) if m.name != "case")
    return [case for name in modules for case in importlib.import_module(f"tests.optable.{name}").CASES]


CASES: list[Case] = _collected()


def _ids(cases):
    return [case.name for case in cases]


def rows(cases):
    """Run a test for each of these cases."""
    return pytest.mark.parametrize("case", cases, ids=_ids(cases))


def _float_dtypes(case):
    return ("float32", "float64") if any(arg.dtype == "float" for arg in case.args) else ("float64",)


def _rng(case):
    return np.random.default_rng(zlib.crc32(case.name.encode()))


def _sampled(case, dtype, shapes=None, floats="float"):
    """Values for a case; ``dtype`` stands for every argument whose dtype is open."""
    rng = _rng(case)
    shapes = shapes or [None] * len(case.args)
    return [np.asarray(arg.sample(rng, dtype, shape)) for arg, shape in zip(case.args, shapes, strict=True)]


def _listed(result):
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _wrt(case):
    every = tuple(i for i, arg in enumerate(case.args) if arg.dtype in ("float", "float32", "float64"))
    return every if case.wrt is None else case.wrt


def _variables(values, known=False):
    return [TensorType(v.dtype.name, v.shape if known else (None,) * v.ndim)(f"x{i}") for i, v in enumerate(values)]


def _compiled(inputs, outputs, **options):
    return tg.function(inputs, outputs, on_unused_input="ignore", **options)


def _evaluated(case, values, known=False, **options):
    """The case's values, and the variables they are values of."""
    inputs = _variables(values, known)
    outputs = _listed(case.build(*inputs))
    return _compiled(inputs, outputs, **options)(*values), outputs


def _expected(case, values):
    """What the reference says in full precision, and the dtypes that NumPy gives these very arrays."""
    with np.errstate(all="ignore"):
        own = [np.asarray(r) for r in _listed(case.reference(*values))]
        wide = [v.astype("float64") if v.dtype.kind == "f" else v for v in values]
        full = [np.asarray(r) for r in _listed(case.reference(*wide))]
        if any(r.dtype.kind == "f" and r.dtype.itemsize < 8 for r in full):  # narrow integers make narrow floats
            wide = [v if v.dtype == bool else v.astype("float64") for v in values]
            exact = [np.asarray(r) for r in _listed(case.reference(*wide))]
            full = [e if r.dtype.kind == "f" else r for r, e in zip(full, exact, strict=True)]
    return full, [r.dtype for r in own]


def _assert_close(case, actual, expected, dtype="float64", zeros=False):
    """Same shapes and values; relative to the largest entry where a case is no elementwise operation."""
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, e)
            continue
        rtol = case.rtol[dtype != "float32"]
        finite = np.abs(e[np.isfinite(e)])
        largest = float(np.max(finite, initial=0.0))
        atol = 0.0 if case.broadcasts or case.special else rtol * largest
        with np.errstate(over="ignore"):
            e = e.astype(a.dtype)
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol, equal_nan=True)
        if zeros:
            np.testing.assert_array_equal(np.signbit(a[e == 0]), np.signbit(e[e == 0]))


def _assert_types(actual, outputs):
    for a, variable in zip(actual, outputs, strict=True):
        assert isinstance(a, np.ndarray)
        assert variable.type.accepts(TensorType(a.dtype.name, a.shape)), f"{a.dtype} {a.shape} for {variable.type}"


def test_names_are_unique():
    names = _ids(CASES)
    assert sorted(set(names)) == sorted(names)


# --- values and types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "dtype"),
    [pytest.param(case, dtype, id=f"{case.name}-{dtype}") for case in CASES for dtype in _float_dtypes(case)],
)
def test_values_and_dtypes(case, dtype):
    values = _sampled(case, dtype)
    before = [v.copy() for v in values]
    actual, outputs = _evaluated(case, values)
    expected, dtypes = _expected(case, before)
    _assert_close(case, actual, expected, dtype)
    _assert_types(actual, outputs)
    for a, wanted in zip(actual, dtypes, strict=True):
        assert a.dtype.kind == wanted.kind
        assert a.dtype.itemsize <= wanted.itemsize, f"{a.dtype} where NumPy gives {wanted}"
    for value, old in zip(values, before, strict=True):
        np.testing.assert_array_equal(value, old)
        assert not any(np.shares_memory(a, value) for a in actual)


@rows(CASES)
def test_known_extents_change_nothing(case):
    values = _sampled(case, "float64")
    actual, outputs = _evaluated(case, values, known=True)
    _assert_types(actual, outputs)
    _assert_close(case, actual, _expected(case, values)[0])


@pytest.mark.parametrize(
    ("case", "dtype"),
    [pytest.param(case, dtype, id=f"{case.name}-{dtype}") for case in CASES for dtype in case.integers],
)
def test_integers(case, dtype):
    values = _sampled(case, dtype)
    actual, outputs = _evaluated(case, values)
    expected, dtypes = _expected(case, values)
    _assert_types(actual, outputs)
    _assert_close(case, actual, expected)
    for a, wanted in zip(actual, dtypes, strict=True):
        assert a.dtype.kind == wanted.kind
        assert a.dtype == wanted or a.dtype.kind == "f"


@pytest.mark.parametrize(
    ("case", "shapes"),
    [pytest.param(case, shapes, id=f"{case.name}-{shapes}") for case in CASES for shapes in case.empty],
)
def test_zero_size(case, shapes):
    values = _sampled(case, "float64", shapes)
    actual, outputs = _evaluated(case, values)
    _assert_types(actual, outputs)
    _assert_close(case, actual, _expected(case, values)[0])
    for wrt, gradient in _gradients(case, values)[0]:
        assert gradient.shape == values[wrt].shape


@rows([case for case in CASES if case.special])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(case, dtype):
    specials = np.array([0.0, -0.0, 1.0, -1.5, 2.0, np.inf, -np.inf, np.nan])
    grid = np.meshgrid(*[specials] * len(case.args), indexing="ij")
    values = [
        g.reshape(-1).astype(dtype) if arg.dtype == "float" else _typed(g.reshape(-1), arg.dtype)
        for g, arg in zip(grid, case.args, strict=True)
    ]
    actual, _ = _evaluated(case, values)
    _assert_close(case, actual, _expected(case, values)[0], dtype, zeros=True)


def _typed(values, dtype):
    return (np.nan_to_num(values, posinf=1, neginf=-1) != 0 if dtype == "bool" else np.nan_to_num(values)).astype(dtype)


@rows(CASES)
def test_layouts_give_the_same(case):
    values = _sampled(case, "float64")
    inputs = _variables(values)
    compiled = _compiled(inputs, _listed(case.build(*inputs)))
    expected = compiled(*values)
    laid_out = [tst.variants(v) for v in values]
    for kind in tst.variants(np.zeros(1)):
        others = [variants[kind] for variants in laid_out]
        before = [v.copy() for v in others]
        actual = compiled(*others)
        _assert_close(case, actual, expected)
        for value, old in zip(others, before, strict=True):
            np.testing.assert_array_equal(value, old)
            assert not any(np.shares_memory(a, value) for a in actual)


# --- broadcasting -------------------------------------------------------------------------------------------------


@rows([case for case in CASES if case.broadcasts])
@settings(max_examples=max(5, settings().max_examples // 5))
@given(data=st.data())
def test_broadcasting(case, data):
    shapes = data.draw(tst.broadcasting_shapes(len(case.args), max_side=3))
    known = data.draw(st.booleans())
    values = _sampled(case, "float64", shapes)
    actual, outputs = _evaluated(case, values, known)
    _assert_types(actual, outputs)
    _assert_close(case, actual, _expected(case, values)[0])
    full = np.broadcast_shapes(*shapes)
    found, cotangents = _gradients(case, values, known)
    whole = dict(_gradients(case, [np.broadcast_to(v, full) for v in values], known, cotangents)[0])
    for wrt, gradient in found:
        assert gradient.shape == shapes[wrt]
        np.testing.assert_allclose(gradient, _summed(whole[wrt], shapes[wrt]), rtol=1e-9, atol=1e-9)


def _summed(g, shape):
    """``g`` summed to ``shape``, with NumPy."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# --- gradients ----------------------------------------------------------------------------------------------------


def _gradient_graph(case, inputs):
    """The case's float outputs, a cotangent variable for each, and the gradients, by position of the input."""
    outputs = [out for out in _listed(case.build(*inputs)) if is_float(out.dtype)]
    cotangents = [out.type(f"cotangent {i}") for i, out in enumerate(outputs)]
    wrt = [i for i in _wrt(case) if is_float(inputs[i].dtype)] if outputs else []
    gradients = tg.Lop(outputs, [inputs[i] for i in wrt], cotangents, disconnected_inputs="ignore") if wrt else []
    return outputs, cotangents, dict(zip(wrt, gradients, strict=True))


def _gradients(case, values, known=False, weights=None, **options):
    """Pairs of an input's position and its gradient, for random cotangents; and these."""
    inputs = _variables(values, known)
    outputs, cotangents, gradients = _gradient_graph(case, inputs)
    if not gradients:
        return [], []
    if weights is None:
        rng = _rng(case)
        shapes = [out.shape for out in _compiled(inputs, outputs, **options)(*values)]
        weights = [rng.uniform(0.5, 1.5, s) for s in shapes]
    weights = [w.astype(c.dtype) for w, c in zip(weights, cotangents, strict=True)]
    found = _compiled([*inputs, *cotangents], list(gradients.values()), **options)(*values, *weights)
    return list(zip(gradients, found, strict=True)), weights


DIFFERENTIABLE = [case for case in CASES if _wrt(case)]


@rows(DIFFERENTIABLE)
def test_gradients(case):
    values = _sampled(case, "float64")
    seed = zlib.crc32(case.name.encode())
    report = check_grad(case.build, *values, order=case.order, wrt=_wrt(case), seed=seed)
    assert report.excluded == (), "choose points away from kinks"


class Skewed(Op):
    """The input, with a gradient that is multiplied by a factor; it is not holomorphic by declaration."""

    factor: float

    def infer(self, x):
        return x.type

    def compute(self, xp, x):
        return x.copy()

    def vjp(self, inputs, outputs, cotangents):
        return [cotangents[0] * self.factor]


@rows(DIFFERENTIABLE)
def test_a_gradient_wrong_by_one_in_two_thousand_is_found(case):
    values = _sampled(case, "float64")
    position = _wrt(case)[0]

    def skewed(factor):
        def build(*inputs):
            inputs = list(inputs)
            inputs[position] = Skewed(factor)(inputs[position])
            return case.build(*inputs)

        return build

    check_grad(skewed(1.0), *values, order=1, wrt=[position], seed=1)
    if any(g.any() for wrt, g in _gradients(case, values)[0] if wrt == position):  # zero is zero, however skewed
        with pytest.raises(GradientError, match="seed=1"):
            check_grad(skewed(1.0005), *values, order=1, wrt=[position], seed=1)


@rows([case for case in DIFFERENTIABLE if len(_float_dtypes(case)) == 2])
def test_single_precision_gradients(case):
    values = _sampled(case, "float32")
    single, weights = _gradients(case, values)
    double, _ = _gradients(
        case,
        [v.astype("float64") if arg.dtype == "float" else v for v, arg in zip(values, case.args, strict=True)],
        weights=weights,
    )
    for (wrt, g), (_, exact) in zip(single, double, strict=True):
        assert g.dtype == values[wrt].dtype
        scale = float(np.max(np.abs(exact), initial=0.0))
        np.testing.assert_allclose(g, exact, rtol=1e-3, atol=2e-5 * scale)


# --- rewriting, Programs and the promises of operations -----------------------------------------------------------


@rows(CASES)
def test_rewriting_changes_nothing(case):
    values = _sampled(case, "float64")
    fast, outputs = _evaluated(case, values, mode="FAST_RUN")
    plain, _ = _evaluated(case, values, mode="FAST_COMPILE")
    _assert_types(plain, outputs)
    _assert_close(case, fast, plain)
    found, weights = _gradients(case, values, mode="FAST_RUN")
    unrewritten, _ = _gradients(case, values, weights=weights, mode="FAST_COMPILE")
    for (_, g), (_, other) in zip(found, unrewritten, strict=True):
        np.testing.assert_allclose(g, other, rtol=1e-8, atol=1e-10 * float(np.max(np.abs(other), initial=0.0)))


@rows(CASES)
@pytest.mark.parametrize("known", [False, True], ids=["unknown extents", "known extents"])
def test_every_operation_keeps_its_promises(case, known):
    values = _sampled(case, "float64")
    inputs = _variables(values, known)
    outputs = _listed(case.build(*inputs))
    results = check_ops(inputs, outputs, values)
    _, cotangents, gradients = _gradient_graph(case, inputs)
    if not gradients:
        return
    weights = [np.ones(r.shape, r.dtype) for r in results if is_float(r.dtype.name)]
    first = list(gradients.values())
    check_ops([*inputs, *cotangents], first, [*values, *weights])
    if case.order > 1:
        again = tg.Lop(first, [inputs[i] for i in gradients], first, disconnected_inputs="ignore")
        check_ops([*inputs, *cotangents], again, [*values, *weights])


@rows(CASES)
def test_programs_are_valid(case):
    assert tg.config.verify_programs == "yes"  # so every other test of this run checks its Programs, too
    values = _sampled(case, "float64")
    inputs = _variables(values)
    _, cotangents, gradients = _gradient_graph(case, inputs)
    outputs = _listed(case.build(*inputs))
    for mode in ("FAST_RUN", "FAST_COMPILE"):
        compiled = _compiled(inputs, outputs, mode=mode)
        results = compiled(*values)
        verify(compiled.program)
        assert str(compiled.program).count("\n") >= len(compiled.program.instructions)
        for buffer, result in zip(compiled.program.outputs, results, strict=True):
            assert compiled.program.buffers[buffer].type.accepts(TensorType(result.dtype.name, result.shape))
        if gradients:
            weights = [np.ones(r.shape, r.dtype) for r in results if is_float(r.dtype.name)]
            backward = _compiled([*inputs, *cotangents], list(gradients.values()), mode=mode)
            backward(*values, *weights)
            verify(backward.program)


# --- nothing without a row ----------------------------------------------------------------------------------------

#: Operations that no public function makes: derivatives emit them, and rows of other operations exercise them there.
ONLY_IN_GRADIENTS = {
    *("Cofactors", "Enumerate", "LinearRecurrence", "MaxPoolRead", "Shift"),
    *("SoftmaxGrad", "SumPoolGrad", "SumRuns", "SumTo"),
}

#: Public functions that make no node of values: they differentiate, check, convert or answer in Python.
NO_OPERATIONS = {
    *("grad", "Lop", "Rop", "jacobian", "hessian", "gradient.verify_grad"),
    *("gradient.grad", "gradient.Lop", "gradient.Rop", "gradient.jacobian", "gradient.hessian"),
    *("gradient.hessian_vector_product", "gradient.subgraph_grad"),
    *("gradient.grad_undefined", "gradient.grad_not_implemented"),
    *("as_tensor_variable", "as_tensor", "constant", "get_scalar_constant_value", "get_vector_length"),
    *("_shared", "extract_constant", "is_flat", "scalar_from_tensor", "tensor_from_scalar"),
}


def _operations():
    """Every concrete operation of the package, by a name that a reader knows."""
    for module in pkgutil.walk_packages(tinygraph.ops.__path__, "tinygraph.ops."):
        importlib.import_module(module.name)
    pending, found = [Op], {}
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        concrete = not cls.__subclasses__() and cls.compute is not Op.compute
        if concrete and cls.__module__.startswith("tinygraph.ops."):
            found[cls.__name__] = cls
    found.pop("Elementwise")
    return {*found, *ROWS}


def _names(outputs):
    return {node.op.row if isinstance(node.op, Elementwise) else type(node.op).__name__ for node in toposort(outputs)}


def test_every_operation_has_a_row():
    forward, backward = set(), set()
    for case in CASES:
        inputs = _variables(_sampled(case, "float64"))
        forward |= _names(_listed(case.build(*inputs)))
        _, _, gradients = _gradient_graph(case, inputs)
        first = list(gradients.values())
        wrt = [inputs[i] for i in gradients]
        backward |= _names([*first, *(tg.Lop(first, wrt, first, disconnected_inputs="ignore") if first else [])])
    assert ", ".join(sorted(_operations() - forward - backward)) == "", "operations without any row"
    assert ", ".join(sorted(_operations() - forward)) == ", ".join(sorted(ONLY_IN_GRADIENTS))


def _public(module, prefix=""):
    for name in module.__all__:
        value = getattr(module, name)
        makes_variables = getattr(value, "__module__", "") == "tinygraph.tensor.constructors"
        if inspect.isfunction(value) and not makes_variables and prefix + name not in NO_OPERATIONS:
            yield prefix + name, value


def test_every_public_function_has_a_row():
    rowed = set()
    for name in {case.function for case in CASES}:
        value = T if hasattr(T, name.partition(".")[0]) else tg
        for part in name.split("."):
            value = getattr(value, part)
        rowed.add(value)
    public = dict([*_public(T), *_public(T.nnet, "nnet."), *_public(tg.gradient, "gradient.")])
    assert ", ".join(sorted(name for name, function in public.items() if function not in rowed)) == ""


# --- the same on a GPU --------------------------------------------------------------------------------------------


def _why_no_gpu():
    """The reason to skip, or "" where CuPy and a device are there; CuPy is not imported unless it is installed."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        arrays.get("cupy")
    except BackendError as err:
        return err.problem
    return ""


_WHY_NO_GPU = _why_no_gpu()
#: One visible skip stands for the whole table.
ON_GPU = (
    [pytest.param(None, id="the op table", marks=pytest.mark.skip(reason=f"{_WHY_NO_GPU}: no row was run on a GPU"))]
    if _WHY_NO_GPU
    else [pytest.param(case, id=case.name) for case in CASES]
)


@pytest.mark.gpu
@pytest.mark.parametrize("linker", ["reference", "native"])
@pytest.mark.parametrize("case", ON_GPU)
def test_gpu_gives_the_same(case, linker, monkeypatch):
    monkeypatch.setattr(tg.config, "linker", linker)
    for dtype in _float_dtypes(case):
        values = _sampled(case, dtype)
        on_gpu, outputs = _evaluated(case, values, backend="cupy")
        actual = [arrays.to_numpy(out) for out in on_gpu]
        _assert_types(actual, outputs)
        _assert_close(case, actual, _expected(case, values)[0], dtype)
        expected, weights = _gradients(case, values)
        found, _ = _gradients(case, values, weights=weights, backend="cupy")
        rtol = 1e-3 if dtype == "float32" else 1e-8
        for (_, g), (_, e) in zip(found, expected, strict=True):
            np.testing.assert_allclose(
                arrays.to_numpy(g), e, rtol=rtol, atol=1e-2 * rtol * float(np.max(np.abs(e), initial=0.0))
            )
