"""The examples, run as a stranger runs them: from another directory, as programs of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.datasets import load_digits

EXAMPLES = Path(__file__).parent.parent / "examples"
PIXELS = 28 * 28
HEADER = ["label", *(f"pixel{i}" for i in range(PIXELS))]


def run(directory, name, *arguments):
    """Run an example in a directory, without a display; a warning of bad arithmetic is an error.

    One thread for matrix products: several would wait for one another where tests run side by side.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-W", "error::RuntimeWarning", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False
    )


def succeeded(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_row(output):
    """Cost and accuracy on the test set, as an example printed them."""
    return tuple(map(float, re.search(r"^test +(\d+\.\d+) +(\d+\.\d+) ", output, re.MULTILINE).groups()))


test_row.__test__ = False


def check_picture(path, rows, columns):
    """A picture of a decent size in which every one of rows × columns parts shows something."""
    picture = imread(path)[..., :3]
    assert picture.shape[0] >= 800
    assert picture.shape[1] >= 1200
    for band in np.array_split(picture, rows, axis=0):
        for part in np.array_split(band, columns, axis=1):
            assert part.std() > 0.03
            assert len(np.unique((part * 16).astype(int).reshape(-1, 3), axis=0)) > 8


@pytest.mark.parametrize(("name", "accuracy", "cost"), [("softmax_digits", 0.93, 0.4), ("mlp_digits", 0.97, 0.15)])
def test_digits_are_learned(tmp_path, name, accuracy, cost):
    result = run(tmp_path, name, "--quick")
    output = succeeded(result)
    reached_cost, reached_accuracy = test_row(output)
    assert reached_accuracy >= accuracy
    assert 0 < reached_cost < cost
    assert f"picture: {name}.png" in output
    assert "epoch/s" in result.stderr  # the progress bar
    check_picture(tmp_path / f"{name}.png", 2, 2)


def test_the_seed_decides_everything(tmp_path):
    def outcome(seed, out):
        output = succeeded(run(tmp_path, "mlp_digits", "--epochs", 2, "--seed", seed, "--out", out))
        return output.replace(out, ""), (tmp_path / out).read_bytes()

    first = outcome(5, "first.png")
    assert outcome(5, "again.png") == first
    assert outcome(6, "other.png")[0] != first[0]


def test_xor_and_donut(tmp_path):
    output = succeeded(run(tmp_path, "xor_donut", "--quick"))
    rows = re.findall(r"^(XOR|Donut) +(\S.*\S) +(\d+\.\d+) +(\d+\.\d+)$", output, re.MULTILINE)
    assert [(problem, model) for problem, model, *_ in rows] == [
        ("XOR", "logistic regression on x, y"),
        ("XOR", "logistic regression on x, y, x·y"),
        ("XOR", "10 hidden units on x, y"),
        ("Donut", "logistic regression on x, y"),
        ("Donut", "logistic regression on x, y, r"),
        ("Donut", "10 hidden units on x, y"),
    ]
    for _, model, cost, accuracy in rows:
        if model == "logistic regression on x, y":
            assert float(accuracy) < 0.75
            assert float(cost) > 0.5
        else:
            assert float(accuracy) >= 0.98
            assert float(cost) < 0.1
    check_picture(tmp_path / "xor_donut.png", 2, 3)


# --- MNIST in Kaggle's layout ---------------------------------------------------------------------------------------


def digits(count):
    """Rows of a label and 784 pixels: scikit-learn's digits, three times as large, with a margin."""
    data = load_digits()
    images = np.kron(data.images[:count], np.ones((3, 3))) * 255 / 16
    pixels = np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(count, PIXELS).astype(int)
    return [[label, *row] for label, row in zip(data.target.tolist(), pixels.tolist(), strict=False)]


def write(path, lines):
    path.write_text("".join(",".join(map(str, cells)) + "\n" for cells in lines), encoding="utf-8")


def test_mnist(tmp_path):
    write(tmp_path / "train.csv", [HEADER, *digits(800)])
    arguments = ("--csv", "train.csv", "--epochs", 8, "--hidden", 60, "--batch", 30, "--out", "picture.png")
    output = succeeded(run(tmp_path, "mnist", *arguments))
    assert "685 to train on, 115 to test on" in output
    assert test_row(output)[1] >= 0.9
    check_picture(tmp_path / "picture.png", 2, 2)


def test_mnist_takes_a_file_as_spreadsheets_write_it(tmp_path):
    """A byte-order mark, quoted cells, Windows line ends, blank lines at the end, and hardly any digits."""
    text = "\r\n".join(",".join(f'"{cell}"' for cell in cells) for cells in [HEADER, *digits(12)]) + "\r\n\r\n\r\n"
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert "10 to train on, 2 to test on" in succeeded(run(tmp_path, "mnist", "--csv", "train.csv", "--epochs", 1))


def spoiled(row, column, value):
    """Lines of a file of five digits with one cell replaced."""
    lines = [HEADER, *digits(5)]
    lines[row] = [*lines[row][:column], value, *lines[row][column + 1 :]]
    return lines


MALFORMED = {
    "columns missing": (
        [HEADER, *digits(3), digits(1)[0][:-1]],
        ["wrong number of columns", "train.csv, line 5", "785", "784"],
    ),
    "columns to spare": (
        [HEADER, [*digits(1)[0], 0], *digits(3)],
        ["wrong number of columns", "train.csv, line 2", "785", "786"],
    ),
    "text in a pixel": (
        spoiled(3, 8, "black"),
        ["bad value of pixel7", "train.csv, line 4", "a whole number from 0 to 255 in column 9", "'black'"],
    ),
    "a pixel left out": (
        spoiled(2, 784, ""),
        ["bad value of pixel783", "train.csv, line 3", "a whole number from 0 to 255 in column 785", "''"],
    ),
    "a pixel too bright": (
        spoiled(1, 1, 256),
        ["bad value of pixel0", "train.csv, line 2", "a whole number from 0 to 255 in column 2", "'256'"],
    ),
    "a label out of range": (
        spoiled(5, 0, 10),
        ["bad value of label", "train.csv, line 6", "a whole number from 0 to 9 in column 1", "'10'"],
    ),
    "a negative label": (
        spoiled(1, 0, -1),
        ["bad value of label", "train.csv, line 2", "a whole number from 0 to 9 in column 1", "'-1'"],
    ),
    "digits without labels": (
        [HEADER[1:], *(row[1:] for row in digits(3))],
        ["no header", "train.csv, line 1", "785 columns: label, pixel0", "784 columns that begin with 'pixel0'"],
    ),
    "no header": (
        digits(3),
        ["no header", "train.csv, line 1", "785 columns: label, pixel0", "785 columns that begin with '0'"],
    ),
    "an empty file": ([], ["no header", "train.csv, line 1", "785 columns: label, pixel0", "an empty file"]),
    "a header and no digits": ([HEADER], ["too few digits", "train.csv, line 1", "2 digits or more", "0"]),
}


def check_refusal(result, expected, directory):
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    problem, place, wanted, found = expected
    rows = [line.strip() for line in result.stderr.splitlines()]
    assert rows[0].startswith("mnist.py: ")
    assert problem in rows[0]
    assert [row.split()[0] for row in rows[1:]] == ["file", "expected", "actual"]
    assert rows[1].endswith(place)
    assert wanted in rows[2]
    assert found in rows[3]
    assert not list(directory.glob("*.png"))


@pytest.mark.parametrize("name", MALFORMED)
def test_mnist_says_what_is_wrong_with_a_file(tmp_path, name):
    lines, expected = MALFORMED[name]
    write(tmp_path / "train.csv", lines)
    check_refusal(run(tmp_path, "mnist", "--csv", "train.csv"), expected, tmp_path)


def test_mnist_without_its_file(tmp_path):
    expected = ["cannot be read", "train.csv", "a readable file", "No such file or directory"]
    check_refusal(run(tmp_path, "mnist", "--csv", "train.csv"), expected, tmp_path)


def test_mnist_of_a_file_that_is_no_text(tmp_path):
    (tmp_path / "train.csv").write_bytes(b"\x1f\x8b\x08\x00" + bytes(range(256)))
    expected = ["no text", "train.csv", "comma-separated values", "can't decode byte 0x8b"]
    check_refusal(run(tmp_path, "mnist", "--csv", "train.csv"), expected, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 0), "expected a whole number from 1 up, got '0'"),
        (("--seed", -1), "expected a whole number from 0 to 4294967295, got '-1'"),
        (("--out", "nowhere/picture.png"), "expected a file in a directory that can be written to"),
        (("--out", "picture.gif"), "expected a name that ends in .png, got 'picture.gif'"),
    ],
)
def test_bad_options_are_refused_before_any_work(tmp_path, arguments, message):
    result = run(tmp_path, "xor_donut", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""
