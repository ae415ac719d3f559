"""A restricted Boltzmann machine on handwritten digits, and what it is worth when labels are few.

Binary hidden units and pixels that are probabilities of being ink, trained by persistent contrastive divergence: the
gradient of the difference in free energy between the data and the state of Markov chains that run on from step to
step. ``scan`` runs the chains, and the random draws inside it come back as updates. The chains then dream digits. Last,
nets with the same hidden layer learn to classify from five labelled digits of each class, once from random weights and
once from the machine's, on several random choices of the labelled digits.

    python rbm_digits.py
    python rbm_digits.py --quick --out dreams.png
"""

from pathlib import Path
from time import perf_counter
from typing import Any

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
from tinygraph.tensor.shared_randomstreams import RandomStreams

HIDDEN = 100
LEARNING_RATE = 0.5
STEPS = 5
BATCH = 50


def main() -> None:
    options = command_line(__doc__, out="rbm_digits.png", epochs=60, quick=20).parse_args()
    rng = np.random.default_rng(options.seed)
    train_x, test_x, train_t, test_t = split_digits(options.seed)
    print(f"handwritten digits: {len(train_x)} without labels to train on, {len(test_x)} to test on")

    X, rate = T.matrix("X"), T.scalar("rate")
    W = weights(rng, PIXELS, HIDDEN, fan_in=PIXELS, gain=0.1, name="W")
    ink = np.clip(train_x.mean(axis=0), 0.01, 0.99)
    b, c = zeros(HIDDEN, name="b"), tg.shared(np.log(ink / (1 - ink)), "c")
    chains = tg.shared(train_x[:BATCH].round(), "chains")
    chance = RandomStreams(options.seed)

    def hidden(v: Any) -> Any:
        return T.nnet.sigmoid(T.dot(v, W) + b)

    def visible(h: Any) -> Any:
        return T.nnet.sigmoid(T.dot(h, W.T) + c)

    def free_energy(v: Any) -> Any:
        return -T.dot(v, c) - T.nnet.softplus(T.dot(v, W) + b).sum(axis=1)

    def gibbs(v: Any) -> list[Any]:
        """One draw of the hidden units and one of the pixels, and the probabilities of the latter."""
        h = hidden(v)
        p = visible(chance.binomial(h.shape, p=h, dtype=tg.config.floatX))
        return [chance.binomial(p.shape, p=p, dtype=tg.config.floatX), p]

    (path, dreams), draws = tg.scan(gibbs, outputs_info=[chains, None], n_steps=STEPS)
    params = [W, b, c]
    cost = T.mean(free_energy(X)) - T.mean(free_energy(path[-1]))
    error = T.mean((visible(hidden(X)) - X) ** 2)

    began = perf_counter()
    grads = tg.grad(cost, params, consider_constant=[path[-1]])
    descent = [(p, p - rate * g) for p, g in zip(params, grads, strict=True)]
    step = tg.function([X, rate], error, updates=[*descent, (chains, path[-1]), *draws.items()])
    step(train_x[:BATCH], LEARNING_RATE)
    first_result(began)
    dream = tg.function([], dreams[-1], updates=[(chains, path[-1]), *draws.items()])
    restore = tg.function([X], visible(hidden(X)))

    history = []
    for epoch in (bar := tqdm(range(options.epochs), unit="epoch")):
        now = LEARNING_RATE * (1 - epoch / options.epochs)
        history.append(np.mean([step(train_x[rows], now) for rows in batches(rng, len(train_x), BATCH)]))
        bar.set_postfix(error=f"{history[-1]:.4f}", refresh=False)

    print(f"mean squared error of a pixel of the test set, down to the hidden units and up again: "
          f"{np.mean((restore(test_x) - test_x) ** 2):.4f}")  # fmt: skip
    chains.set_value(test_x[:12].round())
    frames = [test_x[:12]] + [[dream() for _ in range(count)][-1] for count in (1, 10, 100)]
    scores = compare_on_few_labels(rng, W.get_value(), b.get_value(), (train_x, train_t), (test_x, test_t))
    draw(options.out, history, W.get_value(), np.stack(frames), scores)
    print(f"picture: {options.out}")


def draw(path: Path, history: list[float], filters: np.ndarray, images: np.ndarray, scores: np.ndarray) -> None:
    """The filters, chains that leave the digits they began at, and what the filters are worth."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 9), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
        title = "A restricted Boltzmann machine on handwritten digits"
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, weight="bold")
        axes = figure.subplot_mosaic(
            [["filters", "cost"], ["filters", "few"], ["images", "images"]],
            width_ratios=[1.25, 1],
            height_ratios=[1, 1, 1.25],
        )
        tiles(axes["filters"], filters.T.reshape(-1, SIDE, SIDE), 10, signed=True)
        axes["filters"].set_title("What each hidden unit looks for")
        curves(axes["cost"], [("training", BLUE, history)])
        axes["cost"].set_title("Mean squared error of a pixel restored")
        draw_comparison(axes["few"], scores, "Boltzmann machine")
        tiles(axes["images"], images.reshape(-1, SIDE, SIDE), 12, gap=1)
        axes["images"].set_title(
            f"Chains that begin at digits of the test set: after 0, {STEPS}, {11 * STEPS} and {111 * STEPS} draws"
        )
        figure.savefig(path)


if __name__ == "__main__":
    main()
