"""Graphs as operations, and graphs taken apart: what programs do with Theano's gof and OpFromGraph."""

import pickle

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import OpFromGraph
from tinygraph.errors import DtypeError, GradientError, InputError
from tinygraph.gradient import DisconnectedType, grad_undefined
from tinygraph.testing import check_grad

X, Y, Z = T.dscalars("X", "Y", "Z")


def close(actual, desired):
    np.testing.assert_allclose(actual, desired, rtol=1e-12)


def at(values, made):
    """The value of an expression, or of several, that need not depend on every variable."""
    return tg.function(list(values), made, on_unused_input="ignore")(*values.values())


# --- OpFromGraph -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_used_twice_with_gradients(inline, mode):
    x, y, z = T.dmatrices("x", "y", "z")
    op = OpFromGraph([x, y, z], [x + y * z], inline=inline)
    made = op(x, y, z) - op(z, y, x)
    f = tg.function([x, y, z], [made, *tg.grad(made.sum(), [x, y, z])], mode=mode)
    a, b, c = (np.random.default_rng(i).normal(size=(2, 3)) for i in range(3))
    for got, want in zip(f(a, b, c), [a + b * c - c - b * a, 1 - b, c - a, b - 1], strict=True):
        close(got, want)
    assert ("OpFromGraph" in str(f.program)) == (not inline or mode == "FAST_COMPILE")


def test_the_same_variable_twice():
    x, y = T.dscalars("x", "y")
    op = OpFromGraph([x, y], [x**2 * y])
    close(tg.grad(op(x, x), x).eval({x: 2.0}), 12.0)
    close(tg.Rop(op(x, x), x, y).eval({x: 2.0, y: 10.0}), 120.0)
    close(at({x: 2.0, y: 3.0}, tg.grad(op(y, x), x)), 9.0)
    check_grad(lambda v: op(v, v * 2) + op(v, v), np.array(0.7))


def test_shared_variables_come_along():
    x = T.dvector("x")
    w = tg.shared(np.array([1.0, 2.0]), "w")
    op = OpFromGraph([x], [x * w, (x * w).sum()])
    product, total = op(x + 1)
    f = tg.function([x], [product, tg.grad(total, w)], updates=[(w, w * 2)])
    close(f([0.0, 1.0])[0], [1.0, 4.0])
    got = f([0.0, 1.0])
    close(got[0], [2.0, 8.0])
    close(got[1], [1.0, 2.0])


def test_second_derivatives_and_other_shapes():
    x = T.dvector("x")
    op = OpFromGraph([x], [T.sin(x).prod()])
    close(T.hessian(op(x), x).eval({x: [0.5, 1.0]}), T.hessian(T.sin(x).prod(), x).eval({x: [0.5, 1.0]}))
    assert op(x[:0]).eval({x: [1.0]}) == 1.0


def test_nested():
    x = T.dscalar("x")
    inner = OpFromGraph([x], [x**2], name="square")
    outer = OpFromGraph([x], [inner(inner(x)) + 1])
    close(tg.grad(outer(x), x).eval({x: 2.0}), 32.0)
    f = tg.function([x], outer(x))
    f(2.0)
    assert "square" in str(f.program)


def test_equal_operations_are_merged():
    x = T.dscalar("x")
    ops = [OpFromGraph([v], [T.exp(v) * v]) for v in T.dscalars("a", "b")]
    assert ops[0] == ops[1]
    f = tg.function([x], ops[0](x) + ops[1](x))
    close(f(1.0), 2 * np.e)
    assert str(f.program).count("OpFromGraph") == 1


def test_gradient_of_one_input_replaced():
    def doubled(inputs, gradients):
        return gradients[0] * inputs[2] * 2

    op = OpFromGraph([X, Y, Z], [X + Y * Z], grad_overrides=["default", doubled, "default"])
    made = op(X, Y, Z)
    close(at({X: 2.0, Y: 3.0, Z: 4.0}, tg.grad(made, [X, Y, Z])), [1.0, 8.0, 3.0])


def test_gradients_of_all_inputs_replaced():
    whole = OpFromGraph([X, Y], [X * Y], grad_overrides=lambda inputs, gradients: [gradients[0] * 5, inputs[0]])
    close(at({X: 2.0, Y: 3.0}, tg.grad(whole(X, Y), [X, Y])), [5.0, 2.0])
    with_outputs = OpFromGraph([X], [X**2], lop_overrides=lambda inputs, outputs, gradients: [outputs[0] + 1])
    close(tg.grad(with_outputs(X), X).eval({X: 3.0}), 10.0)
    x, g = T.dscalars("x", "g")
    by_op = OpFromGraph([X], [X**2], grad_overrides=OpFromGraph([x, g], [x * g * 7]))
    close(tg.grad(by_op(X), X).eval({X: 3.0}), 21.0)


def test_gradients_that_are_not_there():
    op = OpFromGraph([X, Y], [X * Y], grad_overrides=[DisconnectedType()(), grad_undefined("op", 1, Y)])
    with pytest.raises(tg.gradient.DisconnectedInputError):
        tg.grad(op(X, Y), X)
    with pytest.raises(tg.gradient.NullTypeGradError):
        tg.grad(op(X, Y), Y)
    cut = OpFromGraph([X, Y], [X * Y], connection_pattern=[[True], [False]])
    with pytest.raises(tg.gradient.DisconnectedInputError):
        tg.grad(cut(X, Y), Y)
    close(at({X: 2.0, Y: 3.0}, tg.grad(cut(X, Y), X)), 3.0)


def test_rop():
    u, v = T.dscalars("u", "v")
    op = OpFromGraph([X, Y], [X * Y, X + Y])
    values = {X: 2.0, Y: 3.0, u: 1.0, v: 10.0}
    close(sum(tg.Rop(op(X, Y), [X, Y], [u, v])).eval(values), 3 + 20 + 11)
    own = OpFromGraph([X, Y], [X * Y], rop_overrides=lambda inputs, points: [inputs[0] * points[1]])
    close(tg.Rop(own(X, Y), [X, Y], [u, v]).eval({X: 2.0, v: 10.0}), 20.0)
    one = OpFromGraph([X, Y], [X * Y, X + Y], rop_overrides=["default", lambda inputs, points: points[0]])
    close(sum(tg.Rop(one(X, Y), [X, Y], [u, v])).eval(values), 3 + 20 + 1)


def test_integers_beside_floats():
    x, n = T.dvector("x"), T.lscalar("n")
    op = OpFromGraph([x, n], [x[:n] ** 2])
    close(tg.grad(op(x, 2).sum(), x).eval({x: [1.0, 2.0, 3.0]}), [2.0, 4.0, 0.0])


def test_applied_to_what_does_not_fit():
    op = OpFromGraph([X], [X + 1])
    assert op(T.fscalar()).dtype == "float64"
    for wrong in (T.dvector(), "text"):
        with pytest.raises(DtypeError):
            op(wrong)
    with pytest.raises(InputError):
        op(X, Y)


def test_faults_in_its_definition():
    for arguments in (([X], X), ([X], [1.0]), ([X, X], [X]), ([X], [X + Y])):
        with pytest.raises(InputError):
            OpFromGraph(*arguments)
    with pytest.raises(InputError):
        OpFromGraph([X], [X], givens={})
    with pytest.raises(InputError):
        OpFromGraph([X], [X + 1], grad_overrides=lambda i, g: g, lop_overrides=lambda i, o, g: g)
    with pytest.raises(GradientError):
        tg.grad(OpFromGraph([X], [X + 1], grad_overrides=3)(X), X)
    with pytest.raises(GradientError):
        tg.grad(OpFromGraph([X], [X + 1], grad_overrides=lambda i, g: [g[0], g[0]])(X), X)


def test_pickled():
    op = pickle.loads(pickle.dumps(OpFromGraph([X], [X**2], name="square")))
    close(op(Y).eval({Y: 3.0}), 9.0)
    assert str(op) == "square{inline=False}"


# --- looking at graphs -----------------------------------------------------------------------------------------------


def graph():
    """A graph, its leaves and its steps."""
    x, y = T.dscalars("x", "y")
    w = tg.shared(2.0, "w")
    product = x * w
    return x, y, w, product, product + y


def test_leaves_and_ancestors():
    x, y, w, product, total = graph()
    assert tg.gof.graph.inputs([total]) == [x, w, y]
    assert tg.gof.graph.inputs([total], blockers=[product]) == [y]
    assert tg.gof.graph.ancestors([total]) == [total, product, x, w, y]
    assert tg.gof.graph.variables_and_orphans([x], [total]) == ([x, w, product, y, total], [w, y])
    assert tg.gof.graph.variables([x], [product]) == {x, w, product}
    assert tg.gof.graph.orphans([x], [product]) == {w}


def test_nodes_in_order():
    x, y, w, product, total = graph()
    assert tg.gof.graph.io_toposort([x, y, w], [total]) == [product.owner, total.owner]
    assert tg.gof.graph.io_toposort([product], [total]) == [total.owner]
    assert tg.gof.graph.list_of_nodes([x, y, w], [total]) == [total.owner, product.owner]
    assert tg.gof.graph.ops([x, y], [total]) == {product.owner, total.owner}
    assert tg.gof.graph.is_in_ancestors(total.owner, product.owner)
    assert not tg.gof.graph.is_in_ancestors(product.owner, total.owner)


def test_same_graphs():
    x, y = T.dmatrices("x", "y")
    same = tg.gof.graph.is_same_graph
    assert same((x * 2).mean(), (x * 2).mean())
    assert not same((x * 2).mean(), (x * 3).mean())
    assert not same(x + y, y + x)
    assert same(x + y, y + x, {x: y})
    assert same((x + 1) * (x + 1), T.sqr(x + 1)) is False
    one = x + 1
    assert same(one * one, (x + 1) * (x + 1))
    assert same(T.constant(1.0), T.constant(1.0))
    assert not same(T.constant(1.0), T.constant(np.float32(1)))
    equal = tg.gof.graph.equal_computations
    assert equal([x + 1, x], [y + 1, y], [x], [y])
    assert not equal([x + 1], [y + 1, y], [x], [y])
    assert not equal([x], [T.fmatrix()], [x], [T.fmatrix()])


def test_copies():
    x, y, w, product, total = graph()
    (a, b), (copy,) = tg.gof.graph.clone([x, y], [total])
    assert a is not x
    close(copy.eval({a: 3.0, b: 1.0}), 7.0)
    found = tg.gof.graph.clone_get_equiv([x], [total], copy_inputs=False)
    assert found[x] is x
    assert found[w] is w
    assert found[y] is not y
    assert found[product.owner].outputs[0] is found[product]


# --- changing graphs -------------------------------------------------------------------------------------------------


def test_map_variables_by_tags_and_leaves():
    a, b, c = T.dscalars("a", "b", "c")
    ab = a + b
    ab.tag.replacement = a * b
    (v,) = tg.map_variables(lambda graph: getattr(graph.tag, "replacement", graph), [ab + c])
    close(v.eval({a: 2.0, b: 3.0, c: 1.0}), 7.0)
    (v,) = tg.map_variables(lambda graph: b if graph is a else graph, [ab * a])
    close(v.eval({b: 3.0}), 18.0)
    untouched = ab * c
    assert tg.map_variables(lambda graph: graph, [untouched]) == [untouched]


def test_map_variables_goes_into_loops_and_operations():
    x, k = T.dscalar("x"), T.dscalar("k")

    def step(previous):
        doubled = previous * 2
        doubled.tag.outer = True
        return doubled

    states, _ = tg.scan(step, outputs_info=[x], n_steps=3)
    (new,) = tg.map_variables(lambda v: k if getattr(v.tag, "outer", False) else v, [states])
    close(at({x: 1.0, k: 7.0}, new), [7.0, 7.0, 7.0])
    square = Y**2
    op = OpFromGraph([Y], [square + 1])
    (inner,) = op.local_outputs
    (new,) = tg.map_variables(lambda v: v * k if v is inner.owner.inputs[0] else v, [op(x)])
    close(at({x: 3.0, k: 10.0}, new), 91.0)


def test_map_variables_keeps_types():
    x = T.dscalar("x")
    with pytest.raises(DtypeError):
        tg.map_variables(lambda v: T.zeros(3) if v is x else v, [x + 1])


# --- what was compiled -----------------------------------------------------------------------------------------------


def test_the_maker_shows_the_compiled_graph():
    x = T.dmatrix("x")
    w = tg.shared(np.eye(2), "w")
    f = tg.function([x], T.dot(x, w) + 0, updates=[(w, w * 2)])
    fgraph = f.maker.fgraph
    assert fgraph.inputs == [x, w]
    assert len(fgraph.outputs) == 2
    assert {type(node.op).__name__ for node in fgraph.toposort()} >= {"MatMul"}
    assert set(fgraph.toposort()) == fgraph.apply_nodes
    assert set(fgraph.inputs) <= fgraph.variables
    assert "matmul" in repr(fgraph)
    assert f.maker.inputs[0].variable is x


def test_modes():
    mode = tg.compile.get_default_mode()
    assert mode == "FAST_RUN" == tg.compile.mode.get_mode("FAST_RUN").including("a").excluding("b").requiring("c")
    assert tg.Mode(linker="py", optimizer=None) == "FAST_COMPILE"
    assert tg.Mode(linker="py").linker == "py"
    with tg.config.change_flags(mode="FAST_COMPILE"):
        assert tg.compile.get_mode(None) == "FAST_COMPILE"
    assert tg.compile.get_mode(mode) is mode
    assert isinstance(tg.compile.get_mode("NanGuardMode"), tg.compile.nanguardmode.NanGuardMode)
    with pytest.raises(ValueError, match="no mode"):
        tg.compile.get_mode("FAST")
    x = T.dscalar("x")
    f = tg.function([x], x + 0, mode=tg.Mode(optimizer=None))
    f(1.0)
    assert "add" in str(f.program)


def test_monitoring(capsys):
    seen = []

    def before(i, node, fn):
        assert fn.outputs == [[None]]
        seen.append((i, node.op.name, [float(x[0]) for x in fn.inputs]))

    def after(i, node, fn):
        seen.append(float(fn.outputs[0][0]))

    x = T.dscalar("x")
    mode = tg.compile.MonitorMode(pre_func=before, post_func=after).excluding("local_elemwise_fusion", "inplace")
    f = tg.function([x], T.exp(x) * x, mode=mode)
    close(f(1.0), np.e)
    assert [entry[:2] for entry in seen[::2]] == [(0, "exp"), (1, "mul")]
    close(seen[1::2], [np.e, np.e])
    g = tg.function([x], T.log(x) * x, mode=tg.compile.MonitorMode(post_func=tg.compile.monitormode.detect_nan))
    assert np.isnan(g(0.0))
    assert "NaN detected" in capsys.readouterr().out
    close(g(1.0), 0.0)
    assert not capsys.readouterr().out


def test_old_declarations_of_inputs():
    x, y = T.dscalars("x", "y")
    f = tg.function([x, tg.Param(y, default=2.0, name="scale")], x * y)
    close(f(3.0), 6.0)
    close(f(3.0, scale=5.0), 15.0)


def test_gradient_reversal_by_a_view():
    class Reverse(tg.compile.ViewOp):
        __props__ = ("strength",)

        def __init__(self, strength):
            super().__init__()
            self.strength = strength

        def grad(self, inputs, output_gradients):
            return [-self.strength * g for g in output_gradients]

    x = T.dvector("x")
    y = Reverse(2.0)(x)
    f = tg.function([x], [y, tg.grad(T.sqr(y).sum(), x)])
    for got, want in zip(f([1.0, 2.0]), [[1.0, 2.0], [-4.0, -8.0]], strict=True):
        close(got, want)


PATHS = (
    *("compat", "compile", "configdefaults", "configparser", "gof", "misc", "raise_op", "scalar", "compile.debugmode"),
    *("compile.monitormode", "compile.nanguardmode", "compile.profiling", "compile.mode", "compile.function_module"),
    *("compile.builders", "compile.sharedvalue", "compile.ops", "compile.pfunc", "compile.io", "misc.safe_asarray"),
    *("gof.graph", "gof.fg", "gof.op", "gof.type", "gof.null_type", "gof.utils", "compat.python2x", "scalar.basic"),
)


@pytest.mark.parametrize("path", PATHS)
def test_paths_of_theano(path):
    import importlib

    module = importlib.import_module(f"tinygraph.{path}")
    assert all(hasattr(module, name) for name in module.__all__)
    parent = tg
    for part in path.split("."):
        parent = getattr(parent, part)
    assert parent is module
