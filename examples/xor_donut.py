"""XOR and the donut: two problems that no straight line solves.

Logistic regression on the raw coordinates fails at both. Given one derived feature, the product of the coordinates for
XOR and the distance from the centre for the donut, it solves both. A net with one hidden layer solves both on the raw
coordinates: it finds its own features. The six models are one symbolic graph with different features and an optional
layer, trained on all points at once by gradient descent with momentum, written out by hand.

    python xor_donut.py
    python xor_donut.py --quick --out boundaries.png
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from common import BLUE, GREY, INK, ORANGE, STYLE, command_line
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T

LEARNING_RATE = 0.3
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-3
HIDDEN = 10
POINTS = 400
EXTENT = 2.25

Sample = tuple[np.ndarray, np.ndarray]


def xor(rng: np.random.Generator) -> Sample:
    """Four clouds in the corners of a square; opposite corners are of one class."""
    corner = rng.choice([-1.0, 1.0], size=(POINTS, 2))
    return corner + rng.normal(scale=0.32, size=(POINTS, 2)), (corner[:, 0] != corner[:, 1]).astype("int64")


def donut(rng: np.random.Generator) -> Sample:
    """A disc and the ring around it."""
    target = rng.integers(2, size=POINTS)
    radius = np.where(target == 1, rng.normal(1.7, 0.15, POINTS), np.sqrt(rng.uniform(0, 1, POINTS)))
    angle = rng.uniform(0, 2 * np.pi, POINTS)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), target


def raw(X: Any) -> Any:
    return X


def with_product(X: Any) -> Any:
    return T.concatenate([X, X[:, 0:1] * X[:, 1:2]], axis=1)


def with_radius(X: Any) -> Any:
    return T.concatenate([X, T.sqrt(T.sum(X**2, axis=1, keepdims=True))], axis=1)


PROBLEMS = {"XOR": (xor, with_product, "x·y"), "Donut": (donut, with_radius, "r")}


def train(sample: Sample, features: Callable, hidden: int, epochs: int, rng: np.random.Generator) -> Callable:
    """Train a model; the function returned gives the cost, and the probability of class 1 at each point."""
    X, t = T.tensor("float64", (None, 2), name="X"), T.lvector("t")
    inside, weights, biases = features(X), [], []
    size = inside.type.shape[1]
    if hidden:
        V = tg.shared(rng.normal(size=(size, hidden)), "V")
        c = tg.shared(rng.normal(size=hidden), "c")
        inside, size, weights, biases = T.tanh(T.dot(inside, V) + c), hidden, [V], [c]
    w = tg.shared(rng.normal(size=size) / np.sqrt(size), "w")
    b = tg.shared(0.0, "b")
    params = [*weights, w, *biases, b]

    probability = T.nnet.sigmoid(T.dot(inside, w) + b)
    cost = T.mean(T.nnet.binary_crossentropy(probability, t))
    penalty = WEIGHT_DECAY * sum(T.sum(p**2) for p in [*weights, w])

    updates = []
    for p, g in zip(params, tg.grad(cost + penalty, params), strict=True):
        v = tg.shared(np.zeros_like(p.get_value()), f"velocity of {p.name}")
        new_v = MOMENTUM * v - LEARNING_RATE * g
        updates += [(v, new_v), (p, p + new_v)]
    step = tg.function([X, t], updates=updates)
    for _ in tqdm(range(epochs), unit="epoch", leave=False):
        step(*sample)
    return tg.function([X, t], [cost, probability])


def draw(path: Path, panels: Sequence[tuple[str, str, Callable, Sample]]) -> None:
    """Two rows of three panels: the probability of class 1 as colour, the boundary at one half, the test points."""
    line = np.linspace(-EXTENT, EXTENT, 240)
    x, y = np.meshgrid(line, line)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    shades = LinearSegmentedColormap.from_list("", ["#8fb9dd", "#ffffff", "#f3b58f"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 8), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        figure.suptitle("Two problems that no straight line solves", x=0.008, ha="left", fontsize=14, weight="bold")
        axes = figure.subplots(2, 3)
        for panel, (_, model, evaluate, (points, target)) in zip(axes.flat, panels, strict=True):
            p = evaluate(grid, np.zeros(len(grid), "int64"))[1].reshape(x.shape)
            panel.imshow(p, extent=(-EXTENT, EXTENT) * 2, origin="lower", cmap=shades, vmin=0, vmax=1)
            if p.min() < 0.5 < p.max():
                panel.contour(x, y, p, levels=[0.5], colors=INK, linewidths=1.6)
            for label, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "D")):
                panel.scatter(*points[target == label].T, s=16, c=colour, marker=marker, ec="white", lw=0.5)
            right = accuracy(evaluate, (points, target))
            panel.set(xticks=[], yticks=[])
            panel.set_title(model, fontsize=10.5, fontweight="normal")
            panel.set_title(f"{right:.1%} right", loc="right", color=BLUE if right > 0.9 else ORANGE)
            panel.spines[:].set_color(GREY)
        for panel, (name, *_) in zip(axes[:, 0], panels[::3], strict=True):
            panel.set_ylabel(name, fontsize=12, fontweight="bold")
        figure.savefig(path)


def accuracy(evaluate: Callable, sample: Sample) -> float:
    return float(np.mean((evaluate(*sample)[1] > 0.5) == sample[1]))


def main() -> None:
    options = command_line(__doc__, out="xor_donut.png", epochs=1000, quick=300).parse_args()
    rng = np.random.default_rng(options.seed)
    panels = []
    print("problem  model                                test cost  test accuracy")
    for name, (problem, derived, feature) in PROBLEMS.items():
        sample, test = problem(rng), problem(rng)
        for model, features, hidden in (
            ("logistic regression on x, y", raw, 0),
            (f"logistic regression on x, y, {feature}", derived, 0),
            (f"{HIDDEN} hidden units on x, y", raw, HIDDEN),
        ):
            evaluate = train(sample, features, hidden, options.epochs, rng)
            panels.append((name, model, evaluate, test))
            print(f"{name:7}  {model:35}  {float(evaluate(*test)[0]):9.4f}  {accuracy(evaluate, test):13.4f}")
    draw(options.out, panels)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
