"""The README's programs run and print what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
PRELUDE = "import numpy as np\nimport tinygraph as tg, tinygraph.tensor as T\n\n"


def run(code, tmp_path):
    (tmp_path / "model.py").write_text(code)
    return subprocess.run(
        [sys.executable, "model.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )


def test_twenty_lines_learn_the_digits(tmp_path):
    done = run(PYTHON[0], tmp_path)
    cost, accuracy = map(float, done.stdout.split())
    assert cost < 0.2, done.stderr
    assert accuracy > 0.97


def test_the_error_is_the_one_shown(tmp_path):
    done = run(PRELUDE + PYTHON[1], tmp_path)
    (shown,) = [code for language, code in BLOCKS if language == "text"]
    printed = done.stderr.replace(str(tmp_path) + "/", "")
    assert shown.strip() in printed


def test_the_operation_is_right(tmp_path):
    done = run(PYTHON[2], tmp_path)
    assert done.stdout == "[ 6. 24.]\n", done.stderr


def test_the_schedule_trains(tmp_path):
    setup = PYTHON[0].split("from sklearn")[0]
    done = run(f"{setup}\n{PYTHON[3]}\nprint(train(np.zeros((2, 64)), np.array([1, 2], 'int32')))", tmp_path)
    assert 2 < float(done.stdout) < 3, done.stderr


def test_graphs_can_be_looked_at(tmp_path):
    setup = PYTHON[0].split("from sklearn")[0]
    call = "train(np.zeros((2, 64)), np.array([1, 2], 'int32'))"
    code = PYTHON[4] if shutil.which("dot") else PYTHON[4].replace("tg.draw_html", "# tg.draw_html")
    done = run(f"{setup}\n{call}\n{code}\nprint(tg.pprint(y))", tmp_path)
    assert done.stdout.splitlines()[-1] == PYTHON[4].splitlines()[0].split("# ")[1], done.stderr
    assert (tmp_path / "train.html").exists() or not shutil.which("dot")


def test_every_named_file_exists():
    named = set(re.findall(r"`?((?:examples|benchmarks)/\w+\.\w+)`?", TEXT))
    assert len(named) >= 5
    assert not [name for name in named if not (ROOT / name).exists()]


def test_tensorflow_table_names_exist():
    import tinygraph as tg
    import tinygraph.tensor as T

    table = TEXT.split("## Coming from TensorFlow 1")[1].split("##")[0]
    for root, path in re.findall(r"\b(tg|T)\.([A-Za-z_][\w.]*)\(", table):
        value = {"tg": tg, "T": T}[root]
        for part in path.split("."):
            value = getattr(value, part)
        assert callable(value)
