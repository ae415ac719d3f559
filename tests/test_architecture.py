"""How the package is built: imports go down the floors and never in a circle, operations know no array library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tinygraph"

#: The rooms, floor by floor; a module or package imports from its own floor and the ones below.
FLOORS = (
    ("errors",),
    ("config", "flags", "types", "arrays", "paths"),
    ("graph",),
    ("ops",),
    ("autodiff", "batching", "derivatives", "extension", "opfromgraph", "rewrite", "streams", "surgery"),
    ("program",),
    ("backends",),
    ("arguments", "closed", "compiling", "function", "modes", "results"),
    (
        *("compat", "compile", "configdefaults", "configparser", "gof", "misc", "raise_op", "scalar"),
        "gradient",
        "tensor",
        "optim",
        "printing",
        "viz",
        "testing",
        "ifelse",
        "updates",
        "scan_module",
        "sandbox",
        "gpuarray",
        "sparse",
        "diagnose",
        "doctor",
    ),
    ("__init__", "__main__", "probes"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

#: Libraries that load when first needed, never with the package.
LATE = ("scipy", "cupy", "cupyx", "hypothesis", "graphviz", "matplotlib", "llvmlite", "sklearn", "tqdm", "pytest")


def _module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _imports(module, path):
    """Every module that a file imports, anywhere in it, as (name, line); ``from package import module`` too."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _called(node) == "import_module":
            yield from ((a.value, node.lineno) for a in node.args[:1] if isinstance(a, ast.Constant))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            modules = [name for name in names if name in FILES]
            yield from ((name, node.lineno) for name in modules)
            if len(modules) < len(names):
                yield base, node.lineno


def _called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


IMPORTS = {module: list(_imports(module, path)) for module, path in FILES.items()}


def test_imports_are_seen():
    seen = {name for name, _ in IMPORTS["tinygraph.gradient"]}
    assert {"tinygraph.autodiff", "tinygraph.ops.gradient", "tinygraph.testing"} <= seen


def test_every_room_has_a_floor():
    rooms = {_room(module) for module in FILES}
    assert rooms <= set(FLOOR), "a new room needs a floor"


def test_no_import_goes_up():
    upward = [
        f"{FILES[module]}:{line}: {_room(module)} imports {_room(name)}"
        for module, imported in IMPORTS.items()
        for name, line in imported
        if name.partition(".")[0] == "tinygraph" and FLOOR[_room(name)] > FLOOR[_room(module)]
    ]
    assert upward == []


def test_no_import_goes_round_in_a_circle():
    edges = {m: {name for name, _ in imported if name in FILES} for m, imported in IMPORTS.items()}
    assert _circle(edges) is None


def _circle(edges):
    """A list of modules, each importing the next and the last the first; None where there is none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return None
        path.append(module)
        found = next(filter(None, map(visit, sorted(edges[module]))), None)
        path.pop()
        done.add(module)
        return found

    return next(filter(None, map(visit, sorted(edges))), None)


def test_a_circle_is_seen():
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


@pytest.mark.parametrize("module", [m for m in FILES if _room(m) == "ops"])
def test_operations_import_no_array_library(module):
    allowed = {"numpy"} if module == "tinygraph.ops.convert" else set()  # what users hand in is made an array there
    libraries = {name.partition(".")[0] for name, _ in IMPORTS[module]} & {"numpy", "scipy", "cupy", "cupyx"}
    assert libraries <= allowed


@pytest.mark.parametrize("module", [m for m in FILES if _room(m) == "ops"])
def test_operations_reach_no_array_library_by_another_name(module):
    """``arrays.get`` hands out array modules, and ``ops`` must wait to be given one."""
    assert "tinygraph.arrays" not in {name for name, _ in IMPORTS[module]}


@pytest.mark.parametrize("module", FILES)
def test_no_file_is_too_long_to_read_in_one_sitting(module):
    assert len(FILES[module].read_text("utf-8").splitlines()) <= 650


def test_importing_the_package_loads_little():
    code = (
        "import sys; import numpy; before = set(sys.modules)\n"
        "import tinygraph, tinygraph.tensor, tinygraph.testing\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "tinygraph" in loaded
    assert loaded & set(LATE) == set()


@pytest.mark.parametrize(
    "module", ["opfromgraph", "program.memory", "rewrite.loops", "scan_module", "sparse", "backends.native", "viz"]
)
def test_what_few_programs_need_loads_when_it_is_asked_for(module):
    code = f"import sys, tinygraph, tinygraph.tensor; print('tinygraph.{module}' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"tinygraph.{module}" in FILES
    assert ran.stdout.strip() == "False"
