"""A variational autoencoder that lays handwritten digits out on a plane.

The encoder gives each image of 8 by 8 pixels a Gaussian over two latent coordinates, the decoder makes an image of a
point. A draw from the Gaussian is written as mean plus deviation times standard normal noise, so that the gradient of
the evidence's lower bound flows through the draw into the encoder. No label is used; the colours of the map are put on
afterwards.

    python vae_digits.py
    python vae_digits.py --quick --out plane.png
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from common import BLUE, GREY, STYLE, command_line
from digits import CLASSES, PIXELS, SIDE, batches, curves, first_result, split_digits, tiles, weights, zeros
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from scipy.stats import norm
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim
from tinygraph.tensor.shared_randomstreams import RandomStreams

HIDDEN = 128
LATENT = 2
LEARNING_RATE = 0.003
BATCH = 50
GRID = 15


def main() -> None:
    options = command_line(__doc__, out="vae_digits.png", epochs=120, quick=30).parse_args()
    rng = np.random.default_rng(options.seed)
    train_x, test_x, _, test_t = split_digits(options.seed)
    print(f"handwritten digits: {len(train_x)} to train on, {len(test_x)} to test on")

    sizes = {"V": (PIXELS, HIDDEN), "M": (HIDDEN, LATENT), "S": (HIDDEN, LATENT), "D": (LATENT, HIDDEN),
             "O": (HIDDEN, PIXELS)}  # fmt: skip
    params = {name: weights(rng, *size, fan_in=size[0], gain=1, name=name) for name, size in sizes.items()}
    params |= {name.lower(): zeros(size[1], name=name.lower()) for name, size in sizes.items()}

    def layer(x: Any, name: str) -> Any:
        return T.dot(x, params[name]) + params[name.lower()]

    X, Z = T.matrix("X"), T.matrix("Z")
    code = T.tanh(layer(X, "V"))
    mean, log_variance = layer(code, "M"), layer(code, "S")
    noise = RandomStreams(options.seed).normal(mean.shape)
    drawn = mean + T.exp(0.5 * log_variance) * noise

    def decode(z: Any) -> Any:
        return T.nnet.sigmoid(layer(T.tanh(layer(z, "D")), "O"))

    restoration = T.nnet.binary_crossentropy(decode(drawn), X).sum(axis=1).mean()
    divergence = -0.5 * (1 + log_variance - mean**2 - T.exp(log_variance)).sum(axis=1).mean()
    bound = restoration + divergence  # the negative of the evidence's lower bound

    began = perf_counter()
    rate = optim.CosineDecay(LEARNING_RATE, options.epochs * -(-len(train_x) // BATCH))
    step = tg.function([X], bound, updates=optim.adam(bound, list(params.values()), rate))
    step(train_x[:BATCH])
    first_result(began)
    evaluate = tg.function([X], [bound, restoration, divergence, mean])
    imagine = tg.function([Z], decode(Z))

    history = []
    for _ in (bar := tqdm(range(options.epochs), unit="epoch")):
        train_bound = np.mean([step(train_x[rows]) for rows in batches(rng, len(train_x), BATCH)])
        test_bound, test_restoration, test_divergence, place = evaluate(test_x)
        history.append([train_bound, test_bound])
        bar.set_postfix(test_bound=f"{test_bound:.3f}", refresh=False)

    same = neighbours_agree(place, test_t)
    print("             bound = restoration + divergence, in nats")
    print(f"training  {train_bound:8.3f}")
    print(f"test      {test_bound:8.3f}   {test_restoration:11.3f}   {test_divergence:10.3f}")
    print(f"nearest neighbour on the plane of the same class: {same:.1%} of the test set")
    line = norm.ppf(np.linspace(0.03, 0.97, GRID))
    points = np.stack(np.meshgrid(line, -line), axis=-1).reshape(-1, LATENT)
    draw(options.out, np.array(history), place, test_t, imagine(points))
    print(f"picture: {options.out}")


def neighbours_agree(place: np.ndarray, target: np.ndarray) -> float:
    """The share of the points whose nearest other point is of their class."""
    distance = np.linalg.norm(place[:, None] - place, axis=2)
    np.fill_diagonal(distance, np.inf)
    return float(np.mean(target[distance.argmin(axis=1)] == target))


def draw(path: Path, history: np.ndarray, place: np.ndarray, target: np.ndarray, images: np.ndarray) -> None:
    """Where the digits of the test set lie on the plane, and what the decoder makes of a grid of points."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13.5, 7.4), dpi=140, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
        title = "A variational autoencoder lays digits out on a plane"
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, weight="bold")
        axes = figure.subplot_mosaic([["map", "grid"], ["bound", "grid"]], width_ratios=[1, 1.3], height_ratios=[2, 1])
        colours = mpl.colormaps["tab10"]
        for digit in range(CLASSES):
            points = place[target == digit]
            axes["map"].scatter(*points.T, s=14, color=colours(digit), alpha=0.55, lw=0)
        for digit in range(CLASSES):
            x, y = np.median(place[target == digit], axis=0)
            badge = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": colours(digit), "lw": 2}
            axes["map"].text(x, y, str(digit), ha="center", va="center", fontsize=13, weight="bold", bbox=badge)
        axes["map"].set_title("The test set: a point for each image, labels at the medians")
        axes["map"].spines[["top", "right"]].set_visible(False)
        axes["map"].set_aspect("equal", "datalim")
        curves(axes["bound"], [("training", GREY, history[:, 0]), ("test", BLUE, history[:, 1])])
        axes["bound"].set_title("Upper bound of the negative log-likelihood, in nats")
        tiles(axes["grid"], images.reshape(-1, SIDE, SIDE), GRID, gap=0.5)
        axes["grid"].set_title("What the decoder makes of the plane (equal shares of the prior)")
        figure.savefig(path)


if __name__ == "__main__":
    main()
