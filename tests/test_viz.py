"""Pictures: what is drawn, how it is told apart, what stands for the rest, and what happens where things are missing.

``tests/golden`` holds DOT texts as they should be; ``UPDATE_GOLDEN=1`` writes them anew, to be looked at and committed.
"""

import os
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.viz import DotMissingError, DrawError, DrawPathError, GraphvizMissingError, picture_of
from tinygraph.viz.dot import dot_text, heat_color, quoted, render
from tinygraph.viz.model import Picture

GOLDEN = Path(__file__).parent / "golden"
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is not installed")


# --- models -------------------------------------------------------------------------------------------------------


class Mlp:
    """A small net with its cost, gradients and training function."""

    def __init__(self, mode="FAST_RUN"):
        self.X, self.t = T.matrix("X"), T.matrix("t")
        rng = np.random.default_rng(0)
        self.W1, self.b1 = tg.shared(rng.normal(size=(4, 5)), "W1"), tg.shared(np.zeros(5), "b1")
        self.W2, self.b2 = tg.shared(rng.normal(size=(5, 3)), "W2"), tg.shared(np.zeros(3), "b2")
        self.params = [self.W1, self.b1, self.W2, self.b2]
        self.y = T.nnet.softmax(T.tanh(self.X.dot(self.W1) + self.b1).dot(self.W2) + self.b2)
        self.cost = ((self.y - self.t) ** 2).sum()
        self.cost.name = "cost"
        self.grads = tg.grad(self.cost, self.params)
        updates = [(p, p - 0.1 * g) for p, g in zip(self.params, self.grads, strict=True)]
        self.train = tg.function([self.X, self.t], self.cost, updates=updates, name="train", mode=mode)

    def step(self):
        return self.train(np.ones((2, 4)), np.zeros((2, 3)))


@pytest.fixture
def mlp():
    return Mlp()


def layers(count=3):
    """A net whose layers are built under a name each."""
    h = T.matrix("X")
    params = []
    for i in range(count):
        with tg.name_scope(f"layer{i + 1}"):
            W = tg.shared(np.zeros((4, 4)), "W")
            h = T.tanh(h.dot(W))
        params.append(W)
    return h, params


# --- reading DOT --------------------------------------------------------------------------------------------------

_NODE = re.compile(r'^\s*(\w+) \[id=(\w+), class="(\w+) order(\d+)", label="((?:[^"\\]|\\.)*)", (.*)\]$')
_EDGE = re.compile(r'^\s*(\w+) -> (\w+) \[id=e\d+, (?:label="((?:[^"\\]|\\.)*)", )?class=(\w+), (.*)\]$')
_CLUSTER = re.compile(r'^\s*subgraph "cluster_((?:[^"\\]|\\.)*)" \{$')


def _plain(label):
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "l": "\n"}.get(found[1], found[1]), label)


class Dot:
    """The nodes, edges and clusters of a DOT text; every line must be one that is known."""

    def __init__(self, source):
        self.nodes, self.edges, self.clusters = {}, [], {}
        lines = source.rstrip("\n").split("\n")
        assert lines[0] == "digraph {"
        assert lines[-1] == "}"
        inside = []
        for line in lines[1:-1]:
            if found := _NODE.match(line):
                id, again, kind, order, label, look = found.groups()
                assert id == again
                assert id not in self.nodes
                self.nodes[id] = (kind, int(order), _plain(label).split("\n"), look, tuple(inside))
            elif found := _EDGE.match(line):
                tail, head, label, kind, look = found.groups()
                self.edges.append((tail, head, _plain(label or "").strip(), kind, look))
            elif found := _CLUSTER.match(line):
                inside.append(found[1])
                self.clusters[found[1]] = []
            elif line.strip() == "}":
                inside.pop()
            else:
                assert re.match(r"^\s*(rankdir|node|edge|label)\b", line), line
        assert not inside
        for tail, head, *_ in self.edges:
            assert tail in self.nodes
            assert head in self.nodes

    def texts(self, kind, order=None):
        return sorted(n[2][0] for n in self.nodes.values() if n[0] == kind and order in (None, n[1]))

    def of(self, kind):
        return [id for id, node in self.nodes.items() if node[0] == kind]

    def looks(self, kind):
        return {re.sub(r', color="#\w+", penwidth=2', "", n[3]) for n in self.nodes.values() if n[0] == kind}


def drawn(shown, **options):
    return Dot(tg.draw(shown, **options).source)


# --- graphs -------------------------------------------------------------------------------------------------------


def test_kinds_have_their_own_looks(mlp):
    dot = drawn(mlp.train, stage="rewritten")
    assert dot.texts("input") == ["X", "t"]
    assert dot.texts("shared") == ["W1", "W2", "b1", "b2"]
    assert dot.texts("update") == ["W1 ←", "W2 ←", "b1 ←", "b2 ←"]
    assert dot.texts("output") == ["cost"]
    assert "0.1" in dot.texts("constant")
    looks = [dot.looks(kind) for kind in ("input", "shared", "update", "output", "constant", "op")]
    for i, mine in enumerate(looks):
        assert mine
        for other in looks[i + 1 :]:
            assert not mine & other


def test_every_node_is_drawn_once_and_edges_say_types():
    x = T.matrix("x")
    e = T.exp(x)
    dot = drawn(e * e + T.sum(e))
    assert dot.texts("op") == ["add", "exp", "mul", "sum"]
    (exp,) = [id for id in dot.of("op") if dot.nodes[id][2][0] == "exp"]
    assert [label for tail, _, label, kind, _ in dot.edges if tail == exp] == ["float64 (?, ?)"] * 2
    assert len(dot.of("input")) == 1


def test_sharing_costs_nothing():
    x = T.matrix("x")
    for _ in range(60):
        x = x + x  # a tree of 2 ** 60 nodes
    assert len(drawn(x).of("op")) == 60


def test_gradients_are_told_apart_and_tied(mlp):
    dot = drawn([mlp.cost, *mlp.grads])
    assert "tanh" in dot.texts("op", order=0)
    assert not {"softmax_grad", "sum_to"} & set(dot.texts("op", order=0))
    assert dot.texts("op", order=1).count("matmul") == 3
    assert dot.texts("op", order=0).count("matmul₁") == 1
    ties = [(tail, head) for tail, head, _, kind, _ in dot.edges if kind == "tie"]
    for tail, head in ties:
        assert dot.nodes[tail][1] == 0
        assert dot.nodes[head][1] == 1
        assert f"∂ {dot.nodes[tail][2][0].partition('[')[0]}" in dot.nodes[head][2]
    assert {dot.nodes[tail][2][0] for tail, _ in ties} >= {"matmul₁", "matmul₂", "tanh", "softmax", "sub"}
    for id in dot.of("op"):
        _, order, lines, *_ = dot.nodes[id]
        assert any(line.startswith("∂ ") for line in lines) == (order == 1)


def test_what_is_not_in_the_picture_is_named_by_its_line(mlp):
    (notes,) = [lines[1:] for _, order, lines, *_ in drawn(mlp.grads[0], depth=1).nodes.values() if order]
    assert re.fullmatch(r"∂ test_viz\.py:\d+", notes[-1])


def test_gradients_of_gradients_are_a_third_kind():
    x = T.dscalar("x")
    y = T.exp(x * 3)
    first = tg.grad(y, x)
    second = tg.grad(first, x)
    dot = drawn([y, first, second])
    assert {node[1] for node in dot.nodes.values()} == {0, 1, 2}
    assert len(dot.looks("op")) == 3


def test_clusters_from_scopes_and_names():
    h, params = layers(2)
    dot = drawn(h)
    assert list(dot.clusters) == ["layer1", "layer2"]
    assert sorted((n[2][0], n[4]) for n in dot.nodes.values() if n[0] != "output") == [
        ("W", ("layer1",)),
        ("W", ("layer2",)),
        ("X", ()),
        ("matmul", ("layer1",)),
        ("matmul", ("layer2",)),
        ("tanh", ("layer1",)),
        ("tanh", ("layer2",)),
    ]
    w = tg.shared(np.zeros(2), "encoder/attention/W")
    assert drawn(T.exp(w)).nodes["n0"][2:] == (["W"], drawn(T.exp(w)).nodes["n0"][3], ("encoder", "encoder/attention"))
    grads = drawn([h.sum(), *tg.grad(h.sum(), params)])
    assert set(grads.clusters) == {"layer1", "layer2", "∂ layer1", "∂ layer2"}


def test_scopes_nest_and_survive_rewriting_and_replacing():
    x = T.matrix("x")
    with tg.name_scope("a"), tg.name_scope("b/c"):
        y = T.log(T.nnet.softmax(x))
    assert y.origin.scope == "a/b/c"
    assert T.exp(x).origin.scope == ""
    (changed,) = tg.function([x], [y]).roots
    assert changed.owner.op.name == "logsoftmax"
    assert changed.origin.scope == "a/b/c"
    assert tg.clone(y, replace={x: x + 1}).origin.scope == "a/b/c"
    for bad in ("", "//", 3, None):
        with pytest.raises(ValueError, match="scope"):
            tg.name_scope(bad)


def test_clusters_fold():
    h, _ = layers(3)
    dot = drawn(h, fold=True)
    assert dot.texts("op") == ["layer1", "layer2", "layer3"]
    assert next(n[2] for n in dot.nodes.values() if n[0] == "op") == ["layer1", "2 operations"]
    assert len(dot.edges) == 4
    one = drawn(h, fold=["layer2"])
    assert one.texts("op") == ["layer2", "matmul", "matmul", "tanh", "tanh"]
    assert list(one.clusters) == ["layer1", "layer3"]


def test_limits_leave_stubs_that_count_the_rest():
    x = T.vector("x")
    y = x
    for _ in range(50):
        y = T.tanh(y)
    dot = drawn(y, limit=10)
    assert len(dot.of("op")) == 10
    assert dot.texts("more") == ["… 41 more"]
    dot = drawn(y, depth=3)
    assert len(dot.of("op")) == 3
    assert dot.texts("more") == ["… 48 more"]
    assert drawn(y, limit=0).texts("more") == ["… 51 more"]
    assert drawn(y, depth=0).texts("op") == []
    assert drawn(y, limit=None).texts("more") == []


def test_stubs_count_each_hidden_box_once(mlp):
    whole = drawn(mlp.grads, limit=None)
    boxes = sum(kind in ("op", "input", "shared", "constant") for kind, *_ in whole.nodes.values())
    some = drawn(mlp.grads, limit=12)
    shown = sum(kind in ("op", "input", "shared", "constant") for kind, *_ in some.nodes.values())
    hidden = sum(int(text.split()[1]) for text in some.texts("more") if text != "…")
    distinct = len({id(n) for n in picture_of(mlp.grads, limit=None).nodes if n.kind != "output"})
    assert distinct == boxes
    # Numbers are drawn beside each reader, and are hidden once each.
    assert shown + hidden <= boxes
    assert shown + hidden >= boxes - whole.texts("constant").count("1")


def test_a_node_of_many_inputs_is_limited_too():
    many = T.concatenate([T.vector(f"x{i}") for i in range(500)])
    dot = drawn(many, limit=20)
    assert len(dot.of("input")) == 19
    assert dot.texts("more") == ["… 481 more"]


def test_chains_collapse_into_their_expression():
    x, y, b = T.vector("x"), T.vector("y"), T.vector("b")
    z = T.tanh(T.dot(T.matrix("W"), x) * y + b)
    dot = drawn(z.sum(), collapse=True)
    assert dot.texts("op") == ["matmul", "sum", "tanh"]
    (chain,) = [node for node in dot.nodes.values() if node[2][0] == "tanh"]
    assert chain[2][1] == "tanh(a * y + b)"
    assert "a: float64 (?,)" in [label for _, _, label, *_ in dot.edges]
    kept = x * 2
    kept.name = "kept"
    assert drawn(T.exp(kept), collapse=True).texts("op") == ["exp", "mul"], "what has a name stays to be seen"


def test_a_chain_with_several_readers_stays(mlp):
    x = T.vector("x")
    e = T.exp(x)
    assert drawn(T.tanh(e) + T.sin(e), collapse=True).texts("op") == ["add", "exp"]


def test_shape_arithmetic_can_be_left_out(mlp):
    assert "shape" in drawn(mlp.grads).texts("op")
    assert "shape" not in drawn(mlp.grads, shapes=False).texts("op")
    x = T.matrix("x")
    assert "shape" in drawn(T.arange(x.shape[0]), shapes=False).texts("op"), "here the shape is the point"


def test_sizes_and_several_outputs_have_their_edges():
    x = T.matrix("x")
    dot = drawn(x.reshape((-1, 2)))
    assert "size" in [kind for *_, kind, _ in dot.edges]
    parts = T.split(T.vector("v"), [1, 2], 2)
    labels = [label for _, _, label, *_ in drawn(parts[0] + parts[1][:1]).edges]
    assert any(label.startswith("[0] ") for label in labels)
    assert any(label.startswith("[1] ") for label in labels)


def test_names_and_labels_are_shown_and_escaped():
    x = T.vector('a "quoted" \\name')
    y = T.exp(x)
    y.name = "activation"
    source = tg.draw({"first": y, "second": y + 1}).source
    dot = Dot(source)
    assert dot.texts("output") == ["first", "second"]
    assert "= activation" in [line for node in dot.nodes.values() for line in node[2]]
    assert dot.texts("input") == ['a "quoted" \\name']


def test_leaves_and_constants_alone():
    x = T.vector("x")
    dot = drawn(x)
    assert (dot.texts("input"), dot.texts("output"), len(dot.edges)) == (["x"], ["x"], 1)
    assert drawn(T.constant(3.0)).texts("constant") == ["3"]
    assert drawn(T.constant(np.arange(100.0)).sum()).texts("constant") == ["[0., 1., ..., 98., 99.]"]
    assert drawn((x + 1).owner).texts("op") == ["add"]
    assert drawn(tg.In(x)).texts("input") == ["x"]


def test_inner_graphs_are_listed():
    x = T.vector("x")
    rows, _ = tg.scan(lambda row, before: before * 2 + row, sequences=[x], outputs_info=[T.constant(0.0)])
    notes = [line for node in drawn(rows).nodes.values() for line in node[2][1:]]
    assert notes == ["a * 2 + x[t]"]
    f = tg.function([x], rows)
    f([1.0, 2.0])
    (scan,) = [node for node in drawn(f).nodes.values() if node[2][0].endswith("scan")]
    assert scan[2][1:] == ["2 FLOP, 48 B a turn", "a * 2 + x[t]"]


def test_heat():
    x = T.vector("x")
    y = T.exp(x)
    dot = drawn(T.sum(y), heat={y: 0.5})
    hot = [node for node in dot.nodes.values() if heat_color(1.0) in node[3]]
    assert [node[2] for node in hot] == [["exp", "0.5"]]
    assert heat_color(0.0) != heat_color(0.5) != heat_color(1.0)


# --- Programs -----------------------------------------------------------------------------------------------------


def test_a_called_function_shows_what_runs(mlp):
    before = drawn(mlp.train)
    assert "matmul₁" in before.texts("op")
    mlp.step()
    dot = drawn(mlp.train)
    numbers = sorted(int(text.partition(":")[0]) for kind in ("op", "view") for text in dot.texts(kind))
    assert numbers == list(range(len(mlp.train.program.instructions)))
    assert dot.texts("update") == ["W1 ←", "W2 ←", "b1 ←", "b2 ←"]
    assert dot.texts("output") == ["cost"]
    assert any(label.endswith("float64 (2, 5)") and label.startswith("%") for _, _, label, *_ in dot.edges)
    same = Dot(tg.draw(mlp.train.program).source)
    assert same.texts("op") == dot.texts("op")
    assert drawn(mlp.train, stage="written").texts("op") != dot.texts("op")


def test_instructions_show_their_cost():
    x, w = T.matrix("x"), T.matrix("w")
    f = tg.function([x, w], x.dot(w))
    f(np.ones((10, 20)), np.ones((20, 30)))
    (matmul,) = [node for node in drawn(f).nodes.values() if node[0] == "op"]
    assert matmul[2] == ["0: matmul", "12 kFLOP, 8.8 kB"]


def test_buffers_that_share_memory_have_one_colour():
    x, w = T.matrix("x"), T.matrix("w")
    f = tg.function([x, w], T.exp(x.T).dot(w) + x.T.sum(), mode="FAST_COMPILE")
    f(np.ones((3, 3)), np.ones((3, 3)))
    dot = drawn(f)
    views = {re.search(r'color="(#\w+)", penwidth', node[3])[1] for node in dot.nodes.values() if node[0] == "view"}
    (color,) = {
        re.search(r'color="(#\w+)", penwidth', n[3])[1]
        for n in dot.nodes.values()
        if n[2][0] == "x" and n[0] == "input"
    }
    assert color in views
    assert all("penwidth" not in node[3] for node in dot.nodes.values() if node[2][0] == "w")
    assert any("view of %0" in node[2] for node in dot.nodes.values())


def test_copied_results_guards_and_limits():
    x, c = T.vector("x"), T.scalar("c")
    f = tg.function([x, c], [x, tg.ifelse.ifelse(c > 0, T.exp(x), T.sin(x) * 2)])
    f([1.0], 1.0)
    dot = drawn(f)
    assert "copied" in [line for id in dot.of("output") for line in dot.nodes[id][2]]
    assert any(label.startswith("if ") for _, _, label, *_ in dot.edges)
    assert any(label.startswith("if not ") for _, _, label, *_ in dot.edges)
    assert drawn(f, limit=2).texts("more")


def test_heat_of_a_program(mlp):
    mlp.step()
    count = len(mlp.train.program.instructions)
    dot = drawn(mlp.train, heat=[1.0] + [0.0] * (count - 1))
    assert [n[2][0] for n in dot.nodes.values() if heat_color(1.0) in n[3]] == ["0: matmul"]
    with pytest.raises(DrawError) as err:
        tg.draw(mlp.train, heat=[1.0])
    assert err.value.expected == f"{count} numbers"
    with pytest.raises(DrawError):
        tg.draw(mlp.cost, heat=[1.0])


# --- golden texts -------------------------------------------------------------------------------------------------


def _golden_pictures():
    mlp = Mlp("FAST_COMPILE")
    mlp.step()
    h, _params = layers(2)
    return {
        "mlp": mlp.y,
        "mlp_gradient": dict(zip(["cost", "∂W1", "∂b1", "∂W2", "∂b2"], [mlp.cost, *mlp.grads], strict=True)),
        "mlp_program": mlp.train,
        "layers": h,
    }


@pytest.mark.parametrize("name", ["mlp", "mlp_gradient", "mlp_program", "layers"])
def test_golden(name):
    source = tg.draw(_golden_pictures()[name], shapes=False).source
    path = GOLDEN / f"{name}.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(source, "utf-8")
    assert source == path.read_text("utf-8"), "if the change is meant: UPDATE_GOLDEN=1, and look at the picture"
    Dot(source)


# --- dot, files and what may be missing -----------------------------------------------------------------------------


@needs_dot
@pytest.mark.parametrize("format", ["svg", "png", "pdf"])
def test_formats(format, tmp_path, mlp):
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[format]
    drawing = tg.draw(mlp.cost, format=format)
    assert drawing.pipe().startswith(starts)
    path = tmp_path / f"graph.{format}"
    tg.draw(mlp.cost, path)
    assert path.read_bytes().startswith(starts)
    tg.draw(mlp.cost, tmp_path / "other", format)
    assert (tmp_path / "other").read_bytes().startswith(starts)


@needs_dot
@pytest.mark.parametrize("name", ["mlp", "mlp_gradient", "mlp_program", "layers"])
def test_every_box_is_on_the_page(name):
    source = tg.draw(_golden_pictures()[name]).source
    svg = render(source, "svg").decode()
    for id in Dot(source).nodes:
        assert f'id="{id}"' in svg


def test_dot_text_needs_no_dot(monkeypatch, tmp_path, mlp):
    monkeypatch.setenv("PATH", str(tmp_path))
    drawing = tg.draw(mlp.cost)
    assert "digraph" in drawing.source
    tg.draw(mlp.cost, tmp_path / "graph.dot")
    assert (tmp_path / "graph.dot").read_text("utf-8") == drawing.source
    for attempt in (
        lambda: drawing.pipe("svg"),
        lambda: drawing.render(tmp_path / "x"),
        drawing._repr_mimebundle_,
        lambda: tg.draw(mlp.cost, tmp_path / "graph.svg"),
    ):
        with pytest.raises(DotMissingError) as err:
            attempt()
        assert "apt install graphviz" in err.value.hint
        assert err.value.source == drawing.source
    assert mlp.cost._repr_svg_() is None
    assert "<pre>" in mlp.cost._repr_html_()


def test_the_package_may_be_missing(monkeypatch, mlp):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(GraphvizMissingError) as err:
        tg.draw(mlp.cost)
    assert "pip install" in err.value.hint
    assert dot_text(picture_of(mlp.cost)).startswith("digraph {")


@pytest.mark.parametrize("shown", [3, "graph", None, [1], [], np.zeros(2), object(), {"a": 1}])
def test_foreign_objects(shown):
    with pytest.raises(DrawError) as err:
        tg.draw(shown)
    assert err.value.expected


def test_bad_arguments(mlp, tmp_path):
    for options in (
        {"format": "bmp"},
        {"path": tmp_path / "graph.jpg"},
        {"path": tmp_path / "graph"},
        {"path": 3},
        {"stage": "cooked"},
        {"depth": -1},
        {"limit": 1.5},
        {"depth": True},
    ):
        with pytest.raises(DrawError):
            tg.draw(mlp.cost, **options)
    with pytest.raises(DrawError) as err:
        tg.draw(mlp.train, stage="program")
    assert "first call" in err.value.problem
    with pytest.raises(DrawPathError) as lost:
        tg.draw(mlp.cost, tmp_path / "nowhere" / "graph.dot")
    assert "cannot write" in lost.value.problem
    with pytest.raises(DrawError):
        render("digraph {}", "bmp")


@needs_dot
def test_what_dot_says_is_passed_on():
    with pytest.raises(DrawError) as err:
        render("digraph {", "svg")
    assert "syntax error" in err.value.problem


def test_quoting():
    assert quoted('a"b\\c') == '"a\\"b\\\\c"'
    assert quoted("a\nb") == '"a\\nb"'
    assert quoted("a\nb", "\\l") == '"a\\lb\\l"'


def test_an_empty_picture_is_a_text():
    assert dot_text(Picture("")).startswith("digraph {")


# --- notebooks and size ---------------------------------------------------------------------------------------------


@needs_dot
def test_notebooks(mlp):
    mlp.step()
    for shown in (mlp.y, mlp.W1, mlp.train, mlp.train.program):
        assert shown._repr_svg_().startswith("<svg")
        page = shown._repr_html_()
        assert page.startswith("<pre>")
        assert "<svg" in page
    assert "tanh(X·W1 + b1)" in mlp.y._repr_html_()
    assert tg.draw(mlp.y)._repr_mimebundle_()["image/svg+xml"]


def test_large_graphs_draw_fast():
    x = T.vector("x")
    y = x
    for i in range(5000):
        y = T.tanh(y + x * i)
    start = time.perf_counter()
    source = tg.draw(y).source
    spent = time.perf_counter() - start
    assert "… " in source
    assert spent < 5, "under a second where nothing else runs"
