"""What the examples on scikit-learn's digits share: the data, the time to the first result, a small labelled set."""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from common import BLUE, GREY, INK, ORANGE
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim

SIDE = 8
PIXELS = SIDE * SIDE
CLASSES = 10

PAPER = LinearSegmentedColormap.from_list("paper", ["#f4f6f8", INK])
SIGNED = LinearSegmentedColormap.from_list("signed", [ORANGE, "#f7f7f7", BLUE])

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def split_digits(seed: int, test: int = 360) -> Split:
    """Images (n × 64, from 0 to 1) to train on and to test on, and their labels, all classes in equal shares."""
    data = load_digits()
    return tuple(train_test_split(data.data / 16, data.target, test_size=test, stratify=data.target, random_state=seed))


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images (… × 8 × 8), each moved by -1, 0 or 1 pixels down and to the right."""
    margin = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(margin, (SIDE, SIDE), axis=(1, 2))
    return windows[np.arange(len(margin)), *rng.integers(3, size=(2, len(margin)))].reshape(images.shape)


def batches(rng: np.random.Generator, count: int, size: int) -> Iterator[np.ndarray]:
    """The numbers below ``count`` in random order, ``size`` at a time."""
    order = rng.permutation(count)
    return (order[start : start + size] for start in range(0, count, size))


def first_result(began: float) -> None:
    """Print how long it took to find the gradient, to compile and to make the first call."""
    print(f"first result after {perf_counter() - began:.2f} s")


def weights(rng: np.random.Generator, *shape: int, fan_in: int, name: str, gain: float = 2.0) -> Any:
    """Shared normal weights of variance gain / fan_in; a gain of 2 keeps the scale of rectified units."""
    return tg.shared(rng.normal(size=shape) * np.sqrt(gain / fan_in), name)


def zeros(*shape: int, name: str) -> Any:
    return tg.shared(np.zeros(shape), name)


# --- a small labelled set -------------------------------------------------------------------------------------------


def labelled_few(rng: np.random.Generator, target: np.ndarray, each: int) -> np.ndarray:
    """The places of ``each`` examples of every class."""
    return np.concatenate([rng.choice(np.flatnonzero(target == c), each, replace=False) for c in range(CLASSES)])


def classifier_on_few_labels(hidden: int, rate: float, steps: int) -> Callable[..., float]:
    """A net with one hidden layer of sigmoids, compiled once, trained again on every call.

    The function returned takes the weights to begin with, the labelled set and the test set, and gives the share of
    the test set that is right in the end.
    """
    X, t = T.matrix("X"), T.lvector("t")
    W, b = zeros(PIXELS, hidden, name="W"), zeros(hidden, name="b")
    V, c = zeros(hidden, CLASSES, name="V"), zeros(CLASSES, name="c")
    probability = T.nnet.softmax(T.nnet.sigmoid(X.dot(W) + b).dot(V) + c)
    cost = T.mean(T.nnet.categorical_crossentropy(probability, t)) + 1e-4 * optim.l2([W, V])
    optimizer = optim.momentum(cost, [W, b, V, c], learning_rate=rate, momentum=0.9)
    velocities = [variable for variable in optimizer if variable not in (W, b, V, c)]
    step = tg.function([X, t], updates=optimizer)
    accuracy = tg.function([X, t], T.mean(T.eq(T.argmax(probability, axis=1), t)))

    def train(start: tuple[np.ndarray, np.ndarray], few: tuple[Any, Any], test: tuple[Any, Any]) -> float:
        for variable, value in zip((W, b), start, strict=True):
            variable.set_value(value)
        for variable in (V, c, *velocities):
            variable.set_value(np.zeros_like(variable.get_value()))
        for _ in range(steps):
            step(*few)
        return float(accuracy(*test))

    return train


def compare_on_few_labels(
    rng: np.random.Generator,
    W: np.ndarray,
    b: np.ndarray,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    each: int = 5,
    trials: int = 8,
) -> np.ndarray:
    """Accuracies on the test set (trials × 2) from random weights and from given ones, and a table of them printed."""
    images, target = train
    fit = classifier_on_few_labels(W.shape[1], rate=0.1, steps=300)
    scores = []
    for _ in range(trials):
        few = labelled_few(rng, target, each)
        chance = rng.normal(size=W.shape) / np.sqrt(len(W)), np.zeros_like(b)
        scores.append([fit(start, (images[few], target[few]), test) for start in (chance, (W, b))])
    result = np.array(scores)
    print(f"{each} labels of each class, {trials} choices of them: accuracy on the test set")
    print("                      mean    least   most")
    for name, values in zip(("from random weights", "from what it learned"), result.T, strict=True):
        print(f"{name:20}  {values.mean():.4f}  {values.min():.4f}  {values.max():.4f}")
    gain = result[:, 1] - result[:, 0]
    print(f"gain                 {gain.mean():+.4f}, better in {np.sum(gain > 0)} of {trials}")
    return result


# --- pictures -------------------------------------------------------------------------------------------------------


def tiles(axes: Axes, images: np.ndarray, columns: int, *, signed: bool = False, gap: float = 1) -> None:
    """Images (n × height × width) in rows; ``signed`` ones in two colours about zero, each on a scale of its own."""
    count, height, width = images.shape
    rows = -(-count // columns)
    high, wide = height + gap, width + gap
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        extent = (column * wide, column * wide + width, row * high + height, row * high)
        most = max(float(np.abs(image).max()), 1e-12) if signed else 1
        axes.imshow(image, extent=extent, cmap=SIGNED if signed else PAPER, vmin=-most if signed else 0, vmax=most)
    axes.set(xlim=(0, columns * wide - gap), ylim=(rows * high - gap, 0), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def curves(axes: Axes, lines: Sequence[tuple[str, str, Sequence[float]]], *, log: bool = False) -> None:
    """Lines over the epochs: name, colour, values."""
    for name, colour, values in lines:
        axes.plot(np.arange(1, len(values) + 1), values, "-o", markevery=[-1], ms=4.5, color=colour, lw=2, label=name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GREY, alpha=0.25, lw=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if len(lines) > 1:
        axes.legend()


def draw_comparison(axes: Axes, scores: np.ndarray, name: str) -> None:
    """A line for each choice of the labelled digits, from random weights to learned ones."""
    percent = 100 * scores
    axes.plot([0, 1], percent.T, "-o", color=GREY, alpha=0.55, lw=1, ms=4)
    axes.plot([0, 1], percent.mean(axis=0), "-o", color=BLUE, lw=2.4, ms=7)
    for x, mean, side in zip((0, 1), percent.mean(axis=0), ("right", "left"), strict=True):
        axes.text(x + (0.05 if x else -0.05), mean, f"{mean:.1f}", ha=side, va="center", color=BLUE, weight="bold")
    axes.set(xlim=(-0.45, 1.45), xticks=[0, 1], xticklabels=["from random weights", f"from the {name}"])
    axes.set_title("Five labels a class: percent of the test set right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
