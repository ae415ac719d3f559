"""Graphs as text: mathematics, trees, Programs, and Print, which prints while a function runs."""

import io
import shutil
import time

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.printing import Print, debugprint, min_informative_str, pp, pprint, pydotprint
from tinygraph.testing import check_grad
from tinygraph.viz import DrawError

x, y, z = T.vectors("x", "y", "z")
X, W = T.matrices("X", "W")
n = T.lscalar("n")
i = T.lvector("i")


# --- mathematics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (x + y * z, "x + y * z"),
        ((x + y) * z, "(x + y) * z"),
        (x - (y - z), "x - (y - z)"),
        (x - y - z, "x - y - z"),
        (x / (y * z), "x / (y * z)"),
        (x / y * z, "x / y * z"),
        (-(x + y), "-(x + y)"),
        (-x * y, "-x * y"),
        (-(x * y), "-(x * y)"),
        ((-x) ** 2, "(-x)²"),
        (-(x**2), "-x²"),
        (x**3, "x³"),
        (x**y**z, "x**y**z"),
        ((x**y) ** z, "(x**y)**z"),
        (x**-1.5, "x**(-1.5)"),
        (T.sqr(x + 1), "(x + 1)²"),
        (2 - x, "2 - x"),
        (x + 0.1, "x + 0.1"),
        (x > y + 1, "x > y + 1"),
        (T.eq(x, y), "x == y"),
        ((x > 0) & (y > 0), "(x > 0) & (y > 0)"),
        (~(x > 0), "~(x > 0)"),
        (x // y % z, "x // y % z"),
        (abs(x), "abs(x)"),
        (T.switch(x > 0, x, y), "switch(x > 0, x, y)"),
        (X.dot(W), "X·W"),
        (X.dot(W).dot(X), "X·W·X"),
        (X.dot(W.dot(X)), "X·(W·X)"),
        ((X + W).dot(x), "(X + W)·x"),
        (X.dot(W) + x, "X·W + x"),
        (X.T.dot(W), "X.T·W"),
        ((X + W).T, "(X + W).T"),
        (x.dimshuffle("x", 0) + X, "x + X"),
        (x.dimshuffle(0, "x") + X, "x[:, None] + X"),
        (X.sum(), "sum(X)"),
        (X.sum(axis=0), "sum(X, axis=0)"),
        (X.max(axis=1, keepdims=True), "max(X, axis=1, keepdims=True)"),
        (X.mean(), "mean(X)"),
        (X.mean(axis=0), "mean(X, axis=0)"),
        (T.tensor("float64", (2, 3), "F").mean(), "mean(F)"),
        (T.tensor("float64", (2, None), "F").mean(), "mean(F)"),
        (X.sum() / X.shape[0], "sum(X) / float64(X.shape[0])"),
        (X.sum(axis=0) / 3, "sum(X, axis=0) / 3"),
        (T.argmax(X, axis=1), "argmax(X, axis=1)"),
        (T.nnet.softmax(X), "softmax(X)"),
        (T.log(T.nnet.softmax(X)), "log(softmax(X))"),
        (T.logsumexp(X, axis=1), "logsumexp(X, axis=1)"),
        (X[0], "X[0]"),
        (X[1:, n], "X[1:, n]"),
        (X[::2, :-1], "X[::2, :-1]"),
        (X[n:, 1], "X[n:, 1]"),
        (x[i], "x[i]"),
        ((x + y)[0], "(x + y)[0]"),
        (T.set_subtensor(x[:2], 0.0), "set_subtensor(x[:2], 0)"),
        (T.inc_subtensor(x[i], y), "inc_subtensor(x[i], y)"),
        (X.shape, "X.shape"),
        (X.shape[1], "X.shape[1]"),
        (x.astype("float32"), "float32(x)"),
        (T.concatenate([x, y]), "concatenate([x, y])"),
        (T.concatenate([X, W], axis=1), "concatenate([X, W], axis=1)"),
        (T.cumsum(x, axis=0), "cumsum(x, axis=0)"),
        (T.constant([1.0, 2.0]) * x[:2], "[1., 2.] * x[:2]"),
        (T.constant(np.ones((50, 2))) + 1, "full((50, 2), 1) + 1"),
        (x, "x"),
        (T.constant(-2.0) * x, "-2 * x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pprint(expression, text):
    assert pprint(expression) == text


def test_the_mlp_reads_as_mathematics():
    W1, b1, W2, b2 = (
        tg.shared(np.zeros(s), name) for s, name in [((2, 3), "W1"), (3, "b1"), ((3, 2), "W2"), (2, "b2")]
    )
    out = T.nnet.softmax(T.tanh(X.dot(W1) + b1).dot(W2) + b2)
    assert tg.pprint(out) == "softmax(tanh(X·W1 + b1)·W2 + b2)"
    assert tg.pp(out) == pp(out) == pprint(out)


def test_named_results_and_repeated_ones_have_lines_of_their_own():
    h = T.tanh(X.dot(W))
    h.name = "h"
    assert pprint(T.log(h) + h).splitlines() == ["log(h) + h", "  where h = tanh(X·W)"]
    assert pprint(h) == "tanh(X·W)"
    long = T.exp(T.tanh(X.dot(W) + 1))
    assert pprint(long * long).splitlines() == ["t1 * t1", "  where t1 = exp(tanh(X·W + 1))"]
    assert pprint(T.exp(x) * T.exp(x)) == "exp(x) * exp(x)"
    other = T.sin(h)
    other.name = "h"  # a second variable of that name
    assert pprint(other + h).splitlines() == ["h1 + h", "  where h1 = sin(h)", "        h = tanh(X·W)"]


def test_several_expressions():
    h = T.tanh(X.dot(W))
    assert pprint({"h": h, "s": h.sum()}).splitlines() == ["h = tanh(X·W)", "s = sum(h)"]
    assert pprint([x + 1, y]).splitlines() == ["x + 1", "y = y"]
    w = tg.shared(0.0, "w")
    f = tg.function([x], T.log(T.nnet.softmax(X.dot(x).dimshuffle("x", 0))), updates=[(w, w + 1)], givens={X: T.eye(2)})
    assert "w = w + 1" in pprint(f)
    assert "log_softmax(" in pprint(f)


def test_several_outputs():
    a, b = T.split(x, [1, 2], 2)
    assert pprint(b + a[0]) == "split(x, [1, 2], axis=0, parts=2)[1] + split(x, [1, 2], axis=0, parts=2)[0][0]"


def test_parentheses_say_what_the_graph_says():
    """Texts of pure arithmetic, read by Python again, are the same function."""
    rng = np.random.default_rng(0)
    leaves = [x, y, z]
    values = {"x": 1.3, "y": 0.7, "z": 2.1}
    symbols = [T.scalar(name) for name in "xyz"]
    assert [v.name for v in leaves] == list(values)
    for _ in range(60):
        pool = list(symbols)
        for _ in range(6):
            a, b = (pool[k] for k in rng.integers(len(pool), size=2))
            kind = rng.integers(6)
            pool.append([a + b, a - b, a * b, a / (b * b + 1), -a, a**2.0][kind])
        expression = pool[-1]
        lines = pprint(expression).splitlines()
        scope = dict(values)
        for line in reversed(lines[1:]):
            name, _, text = line.removeprefix("  where ").strip().partition(" = ")
            scope[name] = eval(text.replace("²", "**2"), {}, scope)
        got = eval(lines[0].replace("²", "**2"), {}, scope)
        given = {s: values[s.name] for s in symbols if s in tg.graph.graph_inputs([expression])}
        np.testing.assert_allclose(got, expression.eval(given), rtol=1e-12)


# --- trees --------------------------------------------------------------------------------------------------------


def _example():
    a, b, d, e = (T.matrix(name) for name in "ABDE")
    c = a + b
    c.name = "C"
    return c + (d + e)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"ids": "int"},
            "add [id 0]\n ├─ add [id 1] 'C'\n │   ├─ A [id 2]\n │   └─ B [id 3]\n └─ add [id 4]\n"
            "     ├─ D [id 5]\n     └─ E [id 6]\n",
        ),
        (
            {"stop_on_name": True},
            "add [id A]\n ├─ add [id B] 'C'\n └─ add [id C]\n     ├─ D [id D]\n     └─ E [id E]\n",
        ),
        ({"ids": "", "depth": 2}, "add\n ├─ add 'C'\n └─ add\n"),
        ({"ids": "", "depth": 1, "print_type": True}, "add <float64 (?, ?)>\n"),
        ({"depth": 0}, ""),
    ],
)
def test_debugprint(options, text):
    assert debugprint(_example(), file="str", **options) == text


def test_debugprint_to_files(capsys):
    stream = io.StringIO()
    assert debugprint(_example(), file=stream) is stream
    assert debugprint(_example()) is None
    assert capsys.readouterr().out == stream.getvalue()
    _example().dprint(depth=1)
    assert capsys.readouterr().out == "add [id A]\n"
    assert tg.dprint is tg.debugprint is debugprint


def test_shared_nodes_are_referred_to_by_id():
    e = T.exp(x)
    assert debugprint(e * e, file="str").splitlines() == [
        "mul [id A]",
        " ├─ exp [id B]",
        " │   └─ x [id C]",
        " └─ exp [id B]",
        "     └─ ···",
    ]
    done = {}
    debugprint(e, file="str", done=done)
    assert " └─ ···" in debugprint(e, file="str", done=done)


def test_debugprint_of_functions_lists_and_numbers():
    w = tg.shared(np.arange(3.0), "w")
    f = tg.function([x], T.exp(x) + w, updates=[(w, w * 2)])
    text = debugprint(f, file="str", ids="", print_storage=True)
    assert text.splitlines() == [
        "add 1",
        " ├─ exp 0",
        " │   └─ x",
        " └─ w [0., 1., 2.]",
        "mul 2",
        " ├─ w [0., 1., 2.]",
        " └─ 2.0",
    ]
    assert debugprint([x, 3, np.float64(2.5)], file="str", ids="").splitlines() == ["3", "2.5", "x"]
    assert debugprint((x + 1).owner, file="str", ids="").startswith("add")
    f([1.0, 2.0, 3.0])
    assert debugprint(f.program, file="str") == str(f.program) + "\n"


def test_debugprint_names_clients():
    e = T.exp(x)
    text = debugprint([e, T.sin(e), T.cos(e)], file="str", print_clients=True)
    assert text.splitlines()[0] == "exp [id A] clients: output, [id B], [id C]"


def test_debugprint_shows_inner_graphs():
    rows, _ = tg.scan(lambda row, before: before * 2 + row, sequences=[x], outputs_info=[T.constant(0.0)])
    text = debugprint(rows, file="str")
    assert "Inner graphs:" in text
    assert " > " in text.partition("Inner graphs:")[2]


def test_ids_are_theanos():
    text = debugprint(sum((T.scalar(f"v{k}") for k in range(1, 30)), start=T.scalar("v0")), file="str")
    assert "[id Z]" in text
    assert "[id BA]" in text


@pytest.mark.parametrize("options", [{"depth": "all"}, {"depth": True}, {"ids": "roman"}, {"file": 3}])
def test_debugprint_refuses(options):
    with pytest.raises(DrawError):
        debugprint(x, **options)


def test_foreign_objects_are_refused():
    for function in (debugprint, pprint):
        with pytest.raises(DrawError):
            function(object())


def test_deep_trees_go_on_at_the_margin():
    deep = x
    for _ in range(100):
        deep = T.exp(deep)
    text = debugprint(deep, file="str")
    lines = text.splitlines()
    assert max(map(len, lines)) < 250
    assert sum(line.endswith("↓") for line in lines) == 2
    assert text.count("x [id") == 1
    assert len(lines) == 103


def test_min_informative_str():
    assert min_informative_str(_example()).splitlines() == ["A. add", " B. C", " C. add", "  D. D", "  E. E"]
    e = T.exp(x)
    assert min_informative_str(e + e).splitlines() == ["A. add", " B. exp", "  C. x", " <B>"]
    assert min_informative_str(np.zeros(2)) == "A. <ndarray>"


def test_large_graphs_print_fast():
    deep = x
    for k in range(5000):
        deep = T.tanh(deep + x * k)
    for function in (lambda v: debugprint(v, file="str"), pprint, min_informative_str):
        start = time.perf_counter()
        text = function(deep)
        assert time.perf_counter() - start < 5, "under a second where nothing else runs"
        assert len(text) < 5_000_000
    f = tg.function([x], [T.tanh(x + k) for k in range(3000)])
    f([1.0])
    start = time.perf_counter()
    assert str(f.program).count("\n") > 3000
    assert time.perf_counter() - start < 5


# --- Programs -----------------------------------------------------------------------------------------------------


def test_programs_show_buffers_types_and_costs():
    f = tg.function([X, W], X.dot(W).T, mode="FAST_COMPILE")
    f(np.ones((10, 20)), np.ones((20, 30)))
    lines = str(f.program).splitlines()
    assert lines == [
        "%0 = input X              : float64 (10, 20)",
        "%1 = input W              : float64 (20, 30)",
        "%2 = matmul(%0, %1)       : float64 (10, 30)  # 12 kFLOP, 8.8 kB",
        "%3 = dimshuffle(1, 0)(%2) : float64 (30, 10)  # 0 FLOP, 0 B; view of %2; frees %2",
        "return %3",
        "# 2 instructions: 12 kFLOP, 8.8 kB",
    ]


# --- Print --------------------------------------------------------------------------------------------------------


def test_print_prints_when_it_runs(capsys):
    shown = Print("value", attrs=("shape", "sum"))(x)
    f = tg.function([x], shown * 2)
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(f([1.0, 2.0]), [2.0, 4.0])
    assert capsys.readouterr().out == "value shape = (2,)\nvalue sum = 3.0\n"
    f([1.0])
    assert capsys.readouterr().out.count("value") == 2
    Print("whole")(x).eval({x: [1.0]})
    assert capsys.readouterr().out == "whole __str__ = [1.]\n"


def test_print_is_neither_merged_nor_computed_in_advance(capsys):
    first, second = Print("a")(x), Print("a")(x)
    constant = Print("c")(T.constant(3))
    v = T.tensor("float64", (1,), "v")
    known = Print("k")(v.shape[0])
    f = tg.function([x, v], first.sum() + second.sum() + constant + known)
    assert capsys.readouterr().out == ""
    for _ in range(2):
        f([1.0], [1.0])
        assert sorted(line[0] for line in capsys.readouterr().out.splitlines()) == ["a", "a", "c", "k"]


def test_print_does_nothing_where_its_value_is_not_needed(capsys):
    assert Print("shape only")(x).shape[0].eval({x: [1.0, 2.0]}) == 2
    assert capsys.readouterr().out == ""


def test_print_calls_its_function():
    seen = []
    Print("m", global_fn=lambda op, value: seen.append((op.message, value.tolist())))(x).eval({x: [1.0, 2.0]})
    assert seen == [("m", [1.0, 2.0])]


def test_print_is_differentiable(capsys):
    check_grad(lambda v: T.exp(Print("v", global_fn=lambda op, value: None)(v)).sum(), [np.array([0.3, -1.2])])
    g = tg.grad((Print("p")(x) ** 2).sum(), x)
    np.testing.assert_allclose(g.eval({x: [3.0]}), [6.0])
    assert capsys.readouterr().out == "p __str__ = [3.]\n"


def test_print_keeps_a_mask():
    g = tg.grad(T.switch(x > 0, T.log(Print("m", global_fn=lambda op, value: None)(x)), 0.0).sum(), x)
    np.testing.assert_array_equal(g.eval({x: [2.0, 0.0]}), [0.5, 0.0])


# --- pydotprint -----------------------------------------------------------------------------------------------------


def test_pydotprint(tmp_path, capsys):
    if shutil.which("dot") is None:
        pytest.skip("the program dot is not installed")
    path = tmp_path / "graph.png"
    pydotprint(T.exp(x), outfile=str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert str(path) in capsys.readouterr().out
    f = tg.function([x], T.exp(x))
    assert pydotprint(f, format="svg", return_image=True).startswith(b"<?xml")
    pydotprint(f, outfile=tmp_path / "f.svg", format="svg", print_output_file=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(DrawError):
        pydotprint(f, format="bmp")
