"""A multilayer perceptron on MNIST, read from Kaggle's CSV file.

The file is ``train.csv`` of Kaggle's "Digit Recognizer": a header, then one digit a line, its label and its 784 pixels.
One seventh of the digits is kept for testing. The data lie in shared variables, and the training function takes nothing
but the number of a mini-batch: ``givens`` puts the rows of that batch in the place of the model's inputs. The updates
are RMSprop with momentum, everything in float32.

    python mnist.py --csv train.csv
    python mnist.py --csv train.csv --epochs 20 --hidden 500 --out digits.png
"""

import csv
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
from common import command_line, report, training_picture, whole_number
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim

PIXELS = 28 * 28
LEARNING_RATE = 3e-4
DECAY = 0.99
MOMENTUM = 0.9


class BadFileError(Exception):
    """A file that is not what it should be: where, what was expected, what is there."""

    def __init__(self, problem: str, path: Path, line: int | None, expected: str, actual: str) -> None:
        place = f"{path}, line {line}" if line else f"{path}"
        super().__init__(f"{problem}\n  file      {place}\n  expected  {expected}\n  actual    {actual}")


def read_digits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n × 784) and labels (n) of a file in Kaggle's layout, as bytes."""
    table = bytearray()
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            check_header(path, next(reader, None))
            for cells in reader:
                line = reader.line_num
                if cells:  # a blank line, as at the end of many files, has none
                    table += read_row(path, line, cells)
    except OSError as err:
        raise BadFileError("the file cannot be read", path, None, "a readable file", err.strerror or str(err)) from err
    except UnicodeDecodeError as err:  # found while reading ahead, so the line is not known
        raise BadFileError("the file is no text", path, None, "comma-separated values in UTF-8", str(err)) from err
    except csv.Error as err:
        raise BadFileError("the file is no table", path, line + 1, "comma-separated values", str(err)) from err
    rows = np.frombuffer(table, np.uint8).reshape(-1, 1 + PIXELS)
    if len(rows) < 2:
        raise BadFileError("too few digits to train and to test on", path, line, "2 digits or more", f"{len(rows)}")
    return rows[:, 1:], rows[:, 0]


def check_header(path: Path, cells: list[str] | None) -> None:
    if not cells or len(cells) != 1 + PIXELS or cells[0].strip() != "label":
        expected = f"a header of {1 + PIXELS} columns: label, pixel0, …, pixel{PIXELS - 1}"
        actual = "an empty file"
        if cells is not None:
            actual = f"{len(cells)} columns" + (f" that begin with {reprlib.repr(cells[0])}" if cells else "")
        raise BadFileError("no header of labelled digits", path, 1, expected, actual)


def read_row(path: Path, line: int, cells: list[str]) -> bytes:
    """Label and pixels of one line."""
    if len(cells) != 1 + PIXELS:
        raise BadFileError(
            "wrong number of columns", path, line, f"{1 + PIXELS}: the label and {PIXELS} pixels", f"{len(cells)}"
        )
    try:
        row = bytes(map(int, cells))
    except ValueError:
        row = b""
    if row and row[0] <= 9:
        return row
    column = next(i for i, cell in enumerate(cells) if not is_whole(cell, 255 if i else 9))
    name, most = (f"pixel{column - 1}", 255) if column else ("label", 9)
    expected = f"a whole number from 0 to {most} in column {column + 1}"
    raise BadFileError(f"bad value of {name}", path, line, expected, reprlib.repr(cells[column]))


def is_whole(cell: str, most: int) -> bool:
    try:
        return 0 <= int(cell) <= most
    except ValueError:
        return False


def shared_digits(pixels: np.ndarray, labels: np.ndarray, name: str) -> tuple[Any, Any]:
    """Images scaled to [0, 1], and their labels, as shared variables."""
    return tg.shared(pixels / np.float32(255), f"{name} images"), tg.shared(labels.astype("int32"), f"{name} labels")


def shared_layer(rng: np.random.Generator, rows: int, columns: int, name: str) -> tuple[Any, Any]:
    """Weights of variance 2 / rows, which keeps the scale of rectified units from layer to layer, and biases."""
    W = (rng.normal(size=(rows, columns)) * np.sqrt(2 / rows)).astype("float32")
    return tg.shared(W, f"W{name}"), tg.shared(np.zeros(columns, "float32"), f"b{name}")


def main() -> None:
    parser = command_line(__doc__, out="mnist.png", epochs=10, quick=2)
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="the digits, in Kaggle's layout")
    parser.add_argument("--hidden", type=whole_number(1), default=300, metavar="N", help="hidden units (300)")
    parser.add_argument("--batch", type=whole_number(1), default=100, metavar="N", help="digits in a mini-batch (100)")
    options = parser.parse_args()
    try:
        pixels, labels = read_digits(options.csv)
    except BadFileError as err:
        parser.exit(2, f"{parser.prog}: {err}\n")

    rng = np.random.default_rng(options.seed)
    test, train = np.split(rng.permutation(len(labels)), [-(-len(labels) // 7)])
    train_x, train_t = shared_digits(pixels[train], labels[train], "training")
    test_x, test_t = shared_digits(pixels[test], labels[test], "test")
    print(f"handwritten digits: {len(train)} to train on, {len(test)} to test on")

    X, t = T.fmatrix("X"), T.ivector("t")
    W1, b1 = shared_layer(rng, PIXELS, options.hidden, "1")
    W2, b2 = shared_layer(rng, options.hidden, 10, "2")
    hidden = T.nnet.relu(T.dot(X, W1) + b1)
    probability = T.nnet.softmax(T.dot(hidden, W2) + b2)
    prediction = T.argmax(probability, axis=1)
    cost = T.mean(T.nnet.categorical_crossentropy(probability, t))
    accuracy = T.mean(T.eq(prediction, t))

    index = T.lscalar("index")
    rows = slice(index * options.batch, (index + 1) * options.batch)
    step = tg.function(
        [index],
        [cost, accuracy],
        updates=optim.rmsprop(cost, [W1, b1, W2, b2], learning_rate=LEARNING_RATE, decay=DECAY, momentum=MOMENTUM),
        givens={X: train_x[rows], t: train_t[rows]},
    )
    evaluate = tg.function([], [cost, accuracy, prediction], givens={X: test_x, t: test_t})

    batches = -(-len(train) // options.batch)
    history = []
    with tqdm(total=options.epochs * batches, unit="batch") as bar:
        for _ in range(options.epochs):
            seen = []
            for i in rng.permutation(batches):
                seen.append(step(i))
                bar.update()
            test_cost, test_accuracy, predicted = evaluate()
            history.append([*np.mean(seen, axis=0), test_cost, test_accuracy])
            bar.set_postfix(test_cost=f"{test_cost:.4f}", test_accuracy=f"{test_accuracy:.4f}", refresh=False)

    report(history, wrong=np.sum(predicted != labels[test]), total=len(test))
    training_picture(options.out, "A multilayer perceptron on MNIST", history, labels[test], predicted)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
