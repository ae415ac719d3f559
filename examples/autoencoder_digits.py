"""A denoising autoencoder on handwritten digits, and what it is worth when labels are few.

A layer of sigmoids learns to restore scikit-learn's images of 8 by 8 pixels after a third of their pixels has been
blackened at random; its weights are tied: decoded with the transpose of what encoded. No label is used. Then nets with
the same hidden layer learn to classify from five labelled digits of each class, once from random weights and once from
the autoencoder's, on several random choices of the labelled digits.

    python autoencoder_digits.py
    python autoencoder_digits.py --quick --out restored.png
"""

from pathlib import Path
from time import perf_counter

import matplotlib as mpl
import numpy as np
from common import BLUE, STYLE, command_line
from digits import (
    PIXELS,
    SIDE,
    batches,
    compare_on_few_labels,
    curves,
    draw_comparison,
    first_result,
    split_digits,
    tiles,
    weights,
    zeros,
)
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim
from tinygraph.tensor.shared_randomstreams import RandomStreams

HIDDEN = 100
KEPT = 0.67
LEARNING_RATE = 0.003
BATCH = 50


def main() -> None:
    options = command_line(__doc__, out="autoencoder_digits.png", epochs=80, quick=25).parse_args()
    rng = np.random.default_rng(options.seed)
    train_x, test_x, train_t, test_t = split_digits(options.seed)
    print(f"handwritten digits: {len(train_x)} without labels to train on, {len(test_x)} to test on")

    X = T.matrix("X")
    W = weights(rng, PIXELS, HIDDEN, fan_in=PIXELS, gain=1, name="W")
    b, c = zeros(HIDDEN, name="b"), zeros(PIXELS, name="c")
    chance = RandomStreams(options.seed)
    damaged = X * chance.binomial(X.shape, p=KEPT, dtype=tg.config.floatX)
    restored = T.nnet.sigmoid(T.dot(T.nnet.sigmoid(T.dot(damaged, W) + b), W.T) + c)
    cost = T.nnet.binary_crossentropy(restored, X).sum(axis=1).mean()

    began = perf_counter()
    step = tg.function([X], cost, updates=optim.adam(cost, [W, b, c], LEARNING_RATE))
    step(train_x[:BATCH])
    first_result(began)
    restore = tg.function([X], [damaged, restored])

    history = []
    for _ in (bar := tqdm(range(options.epochs), unit="epoch")):
        history.append(np.mean([step(train_x[rows]) for rows in batches(rng, len(train_x), BATCH)]))
        bar.set_postfix(cost=f"{history[-1]:.3f}", refresh=False)

    before, after = restore(test_x)
    print("mean squared error of a pixel of the test set")
    print(f"damaged   {np.mean((before - test_x) ** 2):.4f}")
    print(f"restored  {np.mean((after - test_x) ** 2):.4f}")
    scores = compare_on_few_labels(rng, W.get_value(), b.get_value(), (train_x, train_t), (test_x, test_t))
    draw(options.out, history, W.get_value(), np.stack([test_x, before, after])[:, :12], scores)
    print(f"picture: {options.out}")


def draw(path: Path, history: list[float], filters: np.ndarray, images: np.ndarray, scores: np.ndarray) -> None:
    """The filters, images as they were, damaged and restored, and what the filters are worth."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 8.4), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
        figure.suptitle("A denoising autoencoder on handwritten digits", x=0.012, ha="left", fontsize=14, weight="bold")
        axes = figure.subplot_mosaic(
            [["filters", "cost"], ["filters", "few"], ["images", "images"]],
            width_ratios=[1.25, 1],
            height_ratios=[1, 1, 0.95],
        )
        tiles(axes["filters"], filters.T.reshape(-1, SIDE, SIDE), 10, signed=True)
        axes["filters"].set_title("What each hidden unit looks for")
        curves(axes["cost"], [("training", BLUE, history)])
        axes["cost"].set_title("Cross-entropy of a damaged image restored")
        draw_comparison(axes["few"], scores, "autoencoder")
        tiles(axes["images"], images.reshape(-1, SIDE, SIDE), 12, gap=1)
        axes["images"].set_title("Digits of the test set, never seen in training: as they were, damaged, restored")
        figure.savefig(path)


if __name__ == "__main__":
    main()
