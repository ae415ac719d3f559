"""``draw_html``: what the file contains, and what it does in a real browser."""

import json
import re
import shutil

import numpy as np
import pytest

import tinygraph as tg
import tinygraph.tensor as T
from tests.chrome import PROGRAM, Chrome
from tinygraph.viz import DotMissingError, DrawError, DrawPathError

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is not installed")
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")


class Net:
    """A classifier whose cost is rewritten in several steps."""

    def __init__(self):
        self.X, self.t = T.matrix("X"), T.ivector("t")
        with tg.name_scope("hidden"):
            self.W = tg.shared(np.full((4, 3), 0.1), "W")
            self.h = T.tanh(self.X.dot(self.W))
        self.h.name = "h"
        self.cost = -T.log(T.nnet.softmax(self.h)[T.arange(self.t.shape[0]), self.t]).mean()
        self.grad = tg.grad(self.cost, self.W)
        self.train = tg.function([self.X, self.t], self.cost, updates=[(self.W, self.W - self.grad)], name="train")
        self.data = (np.ones((5, 4)), np.zeros(5, "int32"))


@pytest.fixture(scope="module")
def net():
    net = Net()
    net.train(*net.data)
    return net


@pytest.fixture(scope="module")
def page(net, tmp_path_factory):
    """A page with everything on it."""
    path = tmp_path_factory.mktemp("page") / "train.html"
    count = len(net.train.program.instructions)
    values = {"X": net.data[0], **net.train.trace(*net.data), net.cost: np.array([1.0, np.nan])}
    overlays = {"time": np.linspace(1, 2, count), "weight": {"h": 7.0}}
    assert tg.draw_html(net.train, path, values=values, overlays=overlays) == str(path)
    return path


def read(path):
    text = path.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def node(view, text):
    """The only box of a view whose first line is so."""
    (found,) = [n for n in view["nodes"].values() if n["text"] == text]
    return found


# --- the file -----------------------------------------------------------------------------------------------------


@needs_dot
def test_the_file_needs_nothing_else(page):
    text = page.read_text("utf-8")
    assert not re.search(r'(?:src|href)="(?!#)', text)
    outside = {url for url in re.findall(r"https?://[^\s\"'<>\\]+", text) if "www.w3.org" not in url}
    assert outside == set()
    assert text.count("</script>") == 2


@needs_dot
def test_views_and_steps(page, net):
    data = read(page)
    labels = [view["label"] for view in data["views"]]
    steps = [label for label in labels if label.startswith("step ")]
    assert labels[0] == "as written"
    assert labels[-1] == "program"
    assert labels[-2] == f"rewritten, {len(steps)} steps"
    assert any("softmax" in label for label in steps)
    assert data["slider"] == list(range(len(labels) - 1))
    assert data["program"] == len(labels) - 1
    for view in data["views"]:
        for id in view["nodes"]:
            assert f'id="{id}"' in view["svg"]
        for tail, head, _, id in view["edges"]:
            assert {tail, head} <= set(view["nodes"])
            assert f'id="{id}"' in view["svg"]
    for view in data["views"][1:-2]:
        step = view["step"]
        assert step["old"] != step["new"]
        assert step["rule"].replace("_", " ").strip() in view["label"]
        assert {n[0] for n in view["nodes"]} == {"a", "b"}
    assert any(view["step"]["doc"] for view in data["views"][1:-2])
    assert any(view["step"]["nodes"] for view in data["views"][1:-2])
    assert data["views"][-1]["text"] == str(net.train.program)


@needs_dot
def test_what_is_said_of_a_box(page, net):
    first = read(page)["views"][0]
    tanh = node(first, "tanh")
    assert ["type", "float64 (?, ?)"] in tanh["rows"]
    assert ["name", "h"] in tanh["rows"]
    assert ["part", "hidden"] in tanh["rows"]
    assert tanh["expression"] == ["tanh(X·W)"]
    line = tanh["source"][0]
    assert line["text"] == "self.h = T.tanh(self.X.dot(self.W))"
    assert line["text"][slice(*line["columns"])] == "T.tanh(self.X.dot(self.W))"
    assert ["min", f"{net.train.trace(*net.data)['h'].min():.6g}"] in tanh["stats"]
    assert tanh["heat"] == {"weight": 7.0, "NaN": 0.0}
    grad = next(n for n in first["nodes"].values() if n["text"] == "softmax_grad")
    assert first["nodes"][grad["partner"]]["text"] == "softmax"
    assert "T.nnet.softmax(self.h)" in grad["forward"][0]["text"]
    assert "tg.grad" in grad["source"][0]["text"]
    neg = next(n for n in first["nodes"].values() if n["text"] == "neg" and n["stats"])
    assert ["NaN", "1"] in neg["stats"]
    assert neg["heat"]["NaN"] == 1.0
    assert ["min", "1"] in node(first, "X")["stats"]


@needs_dot
def test_what_is_said_of_an_instruction(page):
    program = read(page)["views"][-1]
    matmul = node(program, "0: matmul")
    assert matmul["heat"] == {"FLOPs": 120.0, "bytes moved": 376.0, "memory": 120.0, "time": 1.0}
    assert any(value.endswith("float64 (5, 3)") for name, value in matmul["rows"] if name == "type")
    assert program["program"] is True


@needs_dot
def test_variables_and_functions_before_their_first_call(tmp_path):
    x = T.vector("x")
    path = tmp_path / "plain.html"
    tg.draw_html(T.exp(x) * 2, path)
    data = read(path)
    assert data["program"] == -1
    assert data["views"][0]["label"] == "as written"
    f = tg.function([x], T.exp(x), mode="FAST_COMPILE")
    tg.draw_html(f, path)
    assert [view["label"] for view in read(path)["views"]] == ["as written"]
    f([1.0])
    tg.draw_html(f.program, path)
    data = read(path)
    assert (data["program"], data["slider"]) == (0, [0])
    tg.draw_html({"a": x, "b": T.log(T.nnet.softmax(T.matrix("M")))}, path, limit=3)
    assert read(path)["views"][0]["text"].startswith("a = x\nb = log(softmax(M))")


@needs_dot
def test_nothing_in_a_name_gets_out(tmp_path):
    nasty = '</script><script>alert("1")</script>@TITLE@&lt;'
    x = T.vector(nasty)
    f = tg.function([x], T.exp(x), name=nasty)
    f([1.0])
    path = tmp_path / "nasty.html"
    tg.draw_html(f, path)
    assert path.read_text("utf-8").count("</script>") == 2
    data = read(path)
    assert data["title"] == nasty
    assert node(data["views"][0], nasty.rpartition("/")[2])["rows"]


def test_errors(tmp_path, monkeypatch):
    x = T.vector("x")
    y = T.exp(x)
    for bad in (3, None, "text", object()):
        with pytest.raises(DrawError):
            tg.draw_html(bad, tmp_path / "a.html")
    with pytest.raises(DrawError):
        tg.draw_html(y, 3)
    f = tg.function([x], y)
    f([1.0])
    for numbers in ([1.0, 2.0, 3.0], "abc", 1.0):
        with pytest.raises(DrawError) as err:
            tg.draw_html(f, tmp_path / "a.html", overlays={"time": numbers})
        assert "'time'" in err.value.problem
    if shutil.which("dot"):
        with pytest.raises(DrawPathError):
            tg.draw_html(y, tmp_path / "nowhere" / "a.html")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DotMissingError):
        tg.draw_html(y, tmp_path / "a.html")


# --- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def chrome(page, tmp_path):
    with Chrome(tmp_path / "profile") as chrome:
        chrome.open(page)
        yield chrome
        assert chrome.problems == []
        assert {url.partition(":")[0] for url in chrome.requests} == {"file"}


def _find(chrome, start):
    return chrome.run(f"Object.keys(view.nodes).find(id => view.nodes[id].text.startsWith({json.dumps(start)}))")


@needs_dot
@needs_browser
def test_a_box_is_clicked(chrome):
    drawn = chrome.run("document.querySelectorAll('#canvas g.node').length")
    assert drawn == chrome.run("Object.keys(view.nodes).length") > 20
    id = _find(chrome, "softmax_grad")
    chrome.click(f"#{id}")
    panel = chrome.run("panel.innerText")
    for words in ("softmax_grad", "operation of the gradient", "float64 (?, ?)", "source line", "tg.grad(self.cost"):
        assert words in panel
    partner = chrome.run(f"view.nodes[{json.dumps(id)}].partner")
    assert chrome.run(f"svg.getElementById({json.dumps(partner)}).classList.contains('partner')")
    chrome.run("[...panel.querySelectorAll('a')].find(a => a.textContent === 'softmax').click()")
    assert chrome.run("selected") == partner
    assert "its gradient" in chrome.run("panel.innerText")
    assert chrome.screenshot().startswith(b"\x89PNG")


@needs_dot
@needs_browser
def test_moving_and_zooming(chrome):
    before = chrome.run("({...box})")
    x, y = chrome.place("#canvas")
    chrome.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    chrome.wait(f"box.w < {before['w']}")
    near = chrome.run("({...box})")
    chrome.mouse("mousePressed", x, y, button="left", clickCount=1)
    chrome.mouse("mouseMoved", x + 80, y + 50, button="left")
    chrome.mouse("mouseReleased", x + 80, y + 50, button="left", clickCount=1)
    after = chrome.run("({...box})")
    assert after["x"] < near["x"]
    assert after["y"] < near["y"]
    assert after["w"] == near["w"]
    assert chrome.run("selected") is None, "a drag is no click"
    chrome.click("#fit")
    assert chrome.run("({...box})") == before
    chrome.click("#in")
    assert chrome.run("box.w") < before["w"]


@needs_dot
@needs_browser
def test_searching(chrome):
    chrome.click("#search")
    chrome.type("tanh")
    count = chrome.run("svg.querySelectorAll('g.node.hit').length")
    assert count >= 2, "the operation, and what belongs to its gradient"
    assert chrome.run("el('hits').textContent") == f"{count} found"
    chrome.key("Enter")
    assert "tanh" in chrome.run("panel.innerText")
    chrome.type(" nothing is called so")
    assert chrome.run("el('hits').textContent") == "0 found"


@needs_dot
@needs_browser
def test_the_slider_goes_through_the_steps(chrome):
    last = chrome.run("Number(slider.max)")
    assert chrome.run("el('status').textContent") == "as written"
    assert chrome.run("el('before').disabled")
    for step in range(1, last):
        chrome.click("#after")
        assert chrome.run("el('status').textContent").startswith(f"step {step} of {last - 1}: ")
        assert "became" in chrome.run("panel.innerText")
    with_place = chrome.run("data.views.findIndex(v => v.step && v.step.nodes.length)")
    chrome.run(f"go({with_place})")
    chrome.run("[...panel.querySelectorAll('a')].find(a => a.textContent.startsWith('show it')).click()")
    assert chrome.run("el('status').textContent") == "as written"
    assert chrome.run("svg.querySelectorAll('.changed').length") >= 1
    chrome.run(f"slider.value = {last}; slider.dispatchEvent(new Event('input'))")
    assert chrome.run("el('status').textContent").startswith("rewritten")
    assert chrome.run("el('after').disabled")
    assert _find(chrome, "log_softmax") is not None
    chrome.key("ArrowLeft")
    assert chrome.run("el('status').textContent").startswith("step ")


@needs_dot
@needs_browser
def test_the_program_and_its_overlays(chrome):
    chrome.click('#tabs button[data-program="1"]')
    assert "what runs" in chrome.run("panel.innerText")
    options = chrome.run("[...el('overlay').options].map(o => o.value)")
    assert set(options) >= {"kind", "time", "FLOPs", "memory"}
    id = _find(chrome, "0: matmul")
    fill = f"svg.getElementById({json.dumps(id)}).querySelector('path, polygon, ellipse').getAttribute('fill')"
    plain = chrome.run(fill)
    chrome.run("el('overlay').value = 'FLOPs'; el('overlay').dispatchEvent(new Event('change'))")
    assert chrome.run(fill).startswith("hsl(0 "), "the most work of all"
    chrome.run("el('overlay').value = 'kind'; el('overlay').dispatchEvent(new Event('change'))")
    assert chrome.run(fill) == plain
    chrome.click(f"#{id}")
    assert "FLOPs" in chrome.run("panel.innerText")
    chrome.click('#tabs button[data-program="0"]')
    assert "NaN" in chrome.run("[...el('overlay').options].map(o => o.value)")
    assert "weight" in chrome.run("[...el('overlay').options].map(o => o.value)")


@needs_dot
@needs_browser
def test_names_stay_text(tmp_path):
    x = T.vector('<img src=x onerror="document.title=1">')
    path = tmp_path / "nasty.html"
    tg.draw_html(T.exp(x), path)
    with Chrome(tmp_path / "profile") as chrome:
        chrome.open(path)
        chrome.click(f"#{_find(chrome, '<img')}")
        assert "onerror" in chrome.run("panel.innerText")
        assert chrome.run("document.querySelectorAll('img').length") == 0
        assert chrome.problems == []
