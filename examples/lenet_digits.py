"""A convolutional net in the manner of LeNet on handwritten digits.

Two layers of convolution, rectification and max pooling turn scikit-learn's images of 8 by 8 pixels into 32 maps of
2 by 2; a hidden layer and a softmax read the digit off them. Training is gradient descent with Nesterov's momentum, on
images moved by up to one pixel, drawn anew for each mini-batch.

    python lenet_digits.py
    python lenet_digits.py --quick --out digits.png
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from common import BLUE, GREY, INK, ORANGE, STYLE, command_line, report
from digits import CLASSES, SIDE, batches, curves, first_result, moved, split_digits, tiles, weights, zeros
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim
from tinygraph.tensor.nnet import conv2d
from tinygraph.tensor.signal.pool import pool_2d

MAPS = (16, 32)
HIDDEN = 100
LEARNING_RATE = 0.05
WEIGHT_DECAY = 5e-4
BATCH = 32


def main() -> None:
    options = command_line(__doc__, out="lenet_digits.png", epochs=40, quick=12).parse_args()
    rng = np.random.default_rng(options.seed)
    train_x, test_x, train_t, test_t = split_digits(options.seed)
    train_x, test_x = train_x.reshape(-1, 1, SIDE, SIDE), test_x.reshape(-1, 1, SIDE, SIDE)
    print(f"handwritten digits: {len(train_x)} to train on, {len(test_x)} to test on")

    X, t = T.tensor4("X"), T.lvector("t")
    inside, params, layers, channels = X, [], [], 1
    for i, maps in enumerate(MAPS, start=1):
        W = weights(rng, maps, channels, 3, 3, fan_in=channels * 9, name=f"W{i}")
        b = zeros(maps, name=f"b{i}")
        rectified = T.nnet.relu(conv2d(inside, W, border_mode="half") + b.dimshuffle("x", 0, "x", "x"))
        inside = pool_2d(rectified, (2, 2), ignore_border=True)
        params += [W, b]
        layers += [rectified, inside]
        channels = maps
    size = channels * (SIDE // 4) ** 2
    V1, c1 = weights(rng, size, HIDDEN, fan_in=size, name="V1"), zeros(HIDDEN, name="c1")
    V2, c2 = weights(rng, HIDDEN, CLASSES, fan_in=HIDDEN, name="V2"), zeros(CLASSES, name="c2")
    params += [V1, c1, V2, c2]

    hidden = T.nnet.relu(inside.flatten(2).dot(V1) + c1)
    probability = T.nnet.softmax(hidden.dot(V2) + c2)
    prediction = T.argmax(probability, axis=1)
    cost = T.mean(T.nnet.categorical_crossentropy(probability, t))
    accuracy = T.mean(T.eq(prediction, t))

    began = perf_counter()
    rate = optim.CosineDecay(LEARNING_RATE, options.epochs * -(-len(train_x) // BATCH))
    penalty = WEIGHT_DECAY * optim.l2([p for p in params if p.ndim > 1])
    step = tg.function([X, t], [cost, accuracy], updates=optim.nesterov(cost + penalty, params, rate, momentum=0.9))
    step(train_x[:BATCH], train_t[:BATCH])
    first_result(began)
    evaluate = tg.function([X, t], [cost, accuracy, prediction, probability])
    look_inside = tg.function([X], layers)

    history = []
    for _ in (bar := tqdm(range(options.epochs), unit="epoch")):
        seen = [step(moved(train_x[rows], rng), train_t[rows]) for rows in batches(rng, len(train_x), BATCH)]
        test_cost, test_accuracy, predicted, belief = evaluate(test_x, test_t)
        history.append([*np.mean(seen, axis=0), test_cost, test_accuracy])
        bar.set_postfix(test_cost=f"{test_cost:.4f}", test_accuracy=f"{test_accuracy:.4f}", refresh=False)

    report(history, wrong=np.sum(predicted != test_t), total=len(test_t))
    shown = int(np.flatnonzero(test_t == 3)[0])
    draw(options.out, np.array(history), params[0].get_value(), test_x[shown], look_inside(test_x[[shown]]),
         test_x[:, 0], test_t, belief)  # fmt: skip
    print(f"picture: {options.out}")


def draw(path: Path, history: np.ndarray, filters: np.ndarray, image: np.ndarray, layers: Any, images: np.ndarray,
         target: np.ndarray, belief: np.ndarray) -> None:  # fmt: skip
    """How the training went, what one digit becomes on its way through the net, and which ones were hard."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 7.4), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.03))
        right = np.mean(belief.argmax(axis=1) == target)
        figure.suptitle(f"A convolutional net on handwritten digits: {right:.1%} of the test set right",
                        x=0.012, ha="left", fontsize=14, fontweight="bold")  # fmt: skip
        axes = figure.subplot_mosaic(
            [["cost", "image", "conv1", "pool1"], ["cost", "filters", "conv2", "pool2"], ["hard"] * 4],
            width_ratios=[1.35, 1, 1, 1], height_ratios=[1, 1, 0.6],
        )  # fmt: skip
        curves(axes["cost"], [("training", GREY, history[:, 0]), ("test", BLUE, history[:, 2])], log=True)
        axes["cost"].set_title("Cost")
        tiles(axes["image"], image, 1)
        axes["image"].set_title("A digit, …")
        tiles(axes["filters"], filters[:, 0, ::-1, ::-1], 4, signed=True, gap=0.6)
        axes["filters"].set_title("The first filters")
        for name, title, maps, columns in zip(
            ("conv1", "pool1", "conv2", "pool2"),
            ("filtered, rectified", "pooled", "filtered again", "pooled again"),
            layers, (4, 4, 6, 6), strict=True,
        ):  # fmt: skip
            tiles(axes[name], maps[0] / maps[0].max(), columns)
            axes[name].set_title(f"… {title}")
        hardest(axes["hard"], images, target, belief)
        figure.savefig(path)


def hardest(axes: Any, images: np.ndarray, target: np.ndarray, belief: np.ndarray, count: int = 12) -> None:
    """The digits of the test set that the net gave the least probability."""
    given = belief[np.arange(len(target)), target]
    order = np.argsort(given)[:count]
    tiles(axes, images[order], count, gap=3)
    for place, i in enumerate(order):
        guess = belief[i].argmax()
        wrong = guess != target[i]
        verdict = f"{target[i]}: {given[i]:.0%}" + (f"\n{guess}: {belief[i, guess]:.0%}" if wrong else "")
        axes.text(place * (SIDE + 3) + SIDE / 2, SIDE + 0.8, verdict, ha="center", va="top",
                  color=ORANGE if wrong else INK)  # fmt: skip
    axes.set_title(
        "The hardest of the test set: the true digit, and under it the one it was taken for, with their probabilities"
    )
    axes.set_ylim(SIDE + 3.2, 0)


if __name__ == "__main__":
    main()
