"""Dropout and batch normalisation on handwritten digits, beside a plain net.

Three nets with two hidden layers begin with the same weights and learn from 300 of scikit-learn's digits, in the same
mini-batches. One is plain. One loses half of its hidden units, other ones for every image. One normalises what enters
its hidden units by the mean and variance of the mini-batch, and in testing by running averages of them, which are
updates of the training function like the weights.

    python dropout_batchnorm_digits.py
    python dropout_batchnorm_digits.py --quick --out three.png
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from common import BLUE, GREY, ORANGE, STYLE, command_line
from digits import CLASSES, PIXELS, batches, curves, first_result, split_digits, zeros
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim
from tinygraph.sandbox.rng_mrg import MRG_RandomStreams
from tinygraph.tensor.nnet.bn import batch_normalization_test, batch_normalization_train

FEW = 300
HIDDEN = 128
KEPT = 0.5
LEARNING_RATE = 0.05
BATCH = 30
COLOURS = {"plain": GREY, "dropout": ORANGE, "batch norm": BLUE}


def net(
    kind: str, start: list[np.ndarray], seed: int, steps: int, first: tuple[np.ndarray, np.ndarray]
) -> tuple[Callable, Callable]:
    """The training step, made once on a first mini-batch, and the evaluation, which gives cost and accuracy."""
    X, t = T.matrix("X"), T.lvector("t")
    chance = MRG_RandomStreams(seed)
    learning, testing = X, X
    params, averages = [], []
    for i, W0 in enumerate(start[:-1], start=1):
        W, b = tg.shared(W0, f"W{i}"), zeros(HIDDEN, name=f"b{i}")
        params += [W, b]
        learning, testing = T.dot(learning, W), T.dot(testing, W)
        if kind == "batch norm":
            gamma = tg.shared(np.ones(HIDDEN), f"gamma{i}")
            mean, variance = zeros(HIDDEN, name=f"mean{i}"), tg.shared(np.ones(HIDDEN), f"variance{i}")
            learning, _, _, new_mean, new_variance = batch_normalization_train(
                learning, gamma, b, running_mean=mean, running_var=variance
            )
            testing = batch_normalization_test(testing, gamma, b, mean, variance)
            params.append(gamma)
            averages += [(mean, new_mean), (variance, new_variance)]
        else:
            learning, testing = learning + b, testing + b
        learning, testing = T.nnet.relu(learning), T.nnet.relu(testing)
        if kind == "dropout":
            mask = chance.binomial(learning.shape, p=KEPT, dtype=tg.config.floatX)
            learning = learning * mask / KEPT  # so that the units of the whole net need no other scale in testing
    V, c = tg.shared(start[-1], "V"), zeros(CLASSES, name="c")
    params += [V, c]

    def cost_of(hidden: Any) -> tuple[Any, Any]:
        probability = T.nnet.softmax(T.dot(hidden, V) + c)
        accuracy = T.mean(T.eq(T.argmax(probability, axis=1), t))
        return T.mean(T.nnet.categorical_crossentropy(probability, t)), accuracy

    began = perf_counter()
    cost, _ = cost_of(learning)
    descent = optim.momentum(cost, params, learning_rate=optim.CosineDecay(LEARNING_RATE, steps), momentum=0.9)
    step = tg.function([X, t], cost, updates=[*descent.items(), *averages])
    step(*first)
    print(f"{kind:10}  ", end="")
    first_result(began)
    return step, tg.function([X, t], list(cost_of(testing)))


def main() -> None:
    options = command_line(__doc__, out="dropout_batchnorm_digits.png", epochs=60, quick=20).parse_args()
    rng = np.random.default_rng(options.seed)
    train_x, test_x, train_t, test_t = split_digits(options.seed, test=1797 - FEW)
    print(f"handwritten digits: {len(train_x)} to train on, {len(test_x)} to test on")
    sizes = [(PIXELS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, CLASSES)]
    start = [rng.normal(size=size) * np.sqrt(2 / size[0]) for size in sizes]
    steps = options.epochs * -(-len(train_x) // BATCH)
    first = train_x[:BATCH], train_t[:BATCH]
    nets = {kind: net(kind, start, options.seed, steps, first) for kind in COLOURS}

    history: dict[str, list] = {kind: [] for kind in nets}
    for _ in (bar := tqdm(range(options.epochs), unit="epoch")):
        parts = list(batches(rng, len(train_x), BATCH))
        for kind, (step, evaluate) in nets.items():
            for rows in parts:
                step(train_x[rows], train_t[rows])
            history[kind].append([*evaluate(train_x, train_t), *evaluate(test_x, test_t)])
        bar.set_postfix({kind: f"{rows[-1][3]:.4f}" for kind, rows in history.items()}, refresh=False)

    print("            training cost  accuracy   test cost  accuracy   wrong")
    for kind, rows in history.items():
        a, b, c, d = rows[-1]
        print(f"{kind:10}  {a:13.4f}  {b:8.4f}  {c:10.4f}  {d:8.4f}   {round((1 - d) * len(test_t)):5}")
    draw(options.out, {kind: np.array(rows) for kind, rows in history.items()})
    print(f"picture: {options.out}")


def draw(path: Path, history: dict[str, np.ndarray]) -> None:
    """Cost and errors of the three nets, in training and in testing."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 7.4), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
        title = f"Dropout and batch normalisation beside a plain net, on {FEW} handwritten digits"
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, weight="bold")
        axes = figure.subplots(2, 2)
        for row, (name, column, scale) in enumerate((("Cost", 0, 1), ("Wrong in percent", 1, 100))):
            for axis, where, offset in zip(axes[row], ("training set", "test set"), (0, 2), strict=True):
                lines = [(kind, COLOURS[kind], rows[:, column + offset]) for kind, rows in history.items()]
                if row:
                    lines = [(kind, colour, scale * (1 - values)) for kind, colour, values in lines]
                curves(axis, lines, log=row == 0)
                axis.set_title(f"{name}, {where}")
        top = 100 * max(1 - rows[len(rows) // 10 :, 3].min() for rows in history.values())
        for axis in axes[1]:
            axis.set_ylim(-0.02 * top, 1.15 * top)
        figure.savefig(path)


if __name__ == "__main__":
    main()
