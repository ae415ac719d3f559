"""The guide to Theano's module paths is complete and true."""

import ast
import importlib
from pathlib import Path

import pytest

import tinygraph
from tinygraph.paths import PATHS

ROOT = Path(tinygraph.__file__).parent
#: Where Theano's paths begin.
BEGINNINGS = ("compat", "compile", "gof", "gpuarray", "misc", "sandbox", "scalar", "tensor")
SINGLE = ("configdefaults", "configparser", "gradient", "ifelse", "printing", "raise_op")
#: Modules below them that serve the faces and are no faces themselves.
OWN = ("tensor.constructors", "tensor.faces")


def _modules():
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if (name.split(".")[0] in BEGINNINGS or name in SINGLE) and name not in OWN:
            yield name, path


def _sources(name, path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinygraph."):
            source = node.module.removeprefix("tinygraph.")
            if source not in (name, "tensor.faces"):
                yield source


def test_every_path_is_in_the_guide():
    assert sorted(name for name, _ in _modules()) == sorted(PATHS)


@pytest.mark.parametrize(("name", "path"), [pytest.param(*m, id=m[0]) for m in _modules()])
def test_each_path_leads_where_the_guide_says(name, path):
    assert sorted(set(_sources(name, path))) == sorted(PATHS[name])
    module = importlib.import_module(f"tinygraph.{name}")
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert not missing
