"""A long short-term memory reads handwritten digits row by row.

Each of scikit-learn's images of 8 by 8 pixels is a sequence of eight rows. After every row the net says how probable
each digit is; the cost is the mean over all eight answers, so that it learns to guess early and to be right late.
``scan`` makes the loop over the rows, and the gradient goes back through it.

    python lstm_digits.py
    python lstm_digits.py --quick --out rows.png
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from common import BLUE, GREY, INK, STYLE, command_line, report
from digits import CLASSES, PAPER, SIDE, batches, curves, first_result, moved, split_digits, weights, zeros
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim

HIDDEN = 64
LEARNING_RATE = 0.01
BATCH = 50


def main() -> None:
    options = command_line(__doc__, out="lstm_digits.png", epochs=40, quick=12).parse_args()
    rng = np.random.default_rng(options.seed)
    train_x, test_x, train_t, test_t = split_digits(options.seed)
    train_x, test_x = train_x.reshape(-1, SIDE, SIDE), test_x.reshape(-1, SIDE, SIDE)
    print(f"handwritten digits: {len(train_x)} to train on, {len(test_x)} to test on")

    X, t = T.tensor3("X"), T.lvector("t")
    W = weights(rng, SIDE, 4 * HIDDEN, fan_in=SIDE, gain=1, name="W")
    U = weights(rng, HIDDEN, 4 * HIDDEN, fan_in=HIDDEN, gain=1, name="U")
    # What is in memory stays there at first: the forget gates begin open.
    b = tg.shared(np.repeat([0.0, 1.0, 0.0, 0.0], HIDDEN), "b")
    V, c = weights(rng, HIDDEN, CLASSES, fan_in=HIDDEN, gain=1, name="V"), zeros(CLASSES, name="c")
    params = [W, U, b, V, c]

    def read(row: Any, state: Any, memory: Any, U: Any) -> list[Any]:
        gates = row + state.dot(U)
        take, keep, show = (T.nnet.sigmoid(gates[:, i * HIDDEN : (i + 1) * HIDDEN]) for i in range(3))
        memory = keep * memory + take * T.tanh(gates[:, 3 * HIDDEN :])
        return [show * T.tanh(memory), memory]

    rows = T.dot(X.dimshuffle(1, 0, 2), W) + b  # time first; what does not depend on the state is outside of the loop
    nothing = T.zeros((X.shape[0], HIDDEN))
    (states, _), _ = tg.scan(read, sequences=rows, outputs_info=[nothing, nothing], non_sequences=U)
    answers = T.nnet.softmax(T.dot(states, V) + c)  # rows × images × classes
    loss = -T.log(answers[:, T.arange(t.shape[0]), t])
    right = T.eq(T.argmax(answers, axis=2), t.dimshuffle("x", 0)).mean(axis=1)
    cost, accuracy = loss[-1].mean(), right[-1]

    began = perf_counter()
    rate = optim.CosineDecay(LEARNING_RATE, options.epochs * -(-len(train_x) // BATCH))
    grads = optim.clip_by_norm(tg.grad(loss.mean(), params), 1.0)
    step = tg.function([X, t], [cost, accuracy], updates=optim.adam(grads, params, rate))
    step(train_x[:BATCH], train_t[:BATCH])
    first_result(began)
    evaluate = tg.function([X, t], [cost, accuracy, right, answers])

    history = []
    for _ in (bar := tqdm(range(options.epochs), unit="epoch")):
        seen = [step(moved(train_x[some], rng), train_t[some]) for some in batches(rng, len(train_x), BATCH)]
        test_cost, test_accuracy, by_row, belief = evaluate(test_x, test_t)
        history.append([*np.mean(seen, axis=0), test_cost, test_accuracy])
        bar.set_postfix(test_cost=f"{test_cost:.4f}", test_accuracy=f"{test_accuracy:.4f}", refresh=False)

    report(history, wrong=np.sum(belief[-1].argmax(axis=1) != test_t), total=len(test_t))
    print("right after each row: " + "  ".join(f"{share:.1%}" for share in by_row))
    shown = [np.flatnonzero(test_t == digit)[1] for digit in range(CLASSES)]
    draw(options.out, np.array(history), by_row, test_x[shown], belief[:, shown])
    print(f"picture: {options.out}")


def draw(path: Path, history: np.ndarray, by_row: np.ndarray, images: np.ndarray, belief: np.ndarray) -> None:
    """How the training went, what each row adds, and what the net believes of ten digits while it reads them."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 7), dpi=140, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
        figure.suptitle(f"A memory that reads digits row by row: {by_row[-1]:.1%} of the test set right",
                        x=0.012, ha="left", fontsize=14, fontweight="bold")  # fmt: skip
        left, right = figure.subfigures(1, 2, width_ratios=[1, 2.5])
        cost, rows = left.subplots(2, 1)
        curves(cost, [("training", GREY, history[:, 0]), ("test", BLUE, history[:, 2])], log=True)
        cost.set_title("Cost after the last row")
        rows.bar(np.arange(1, SIDE + 1), 100 * by_row, color=BLUE, width=0.75)
        for i, share in enumerate(by_row, start=1):
            rows.text(i, 100 * share + 1.5, f"{100 * share:.0f}", ha="center")
        rows.axhline(10, color=GREY, lw=1, ls="--")
        rows.set(ylim=(0, 108), xticks=range(1, SIDE + 1), xlabel="rows read")
        rows.set_title("Test set right in percent, by rows read")
        rows.spines[["top", "right"]].set_visible(False)

        right.suptitle("Ten digits of the test set, and the belief after each of their rows",
                       x=0.03, ha="left", fontsize=11, fontweight="bold")  # fmt: skip
        blues = LinearSegmentedColormap.from_list("", ["#f7f9fb", "#9dbcd9", BLUE])
        panels = right.subplots(4, 5).reshape(2, 2, 5).swapaxes(1, 2).reshape(-1, 2)
        for i, axes in enumerate(panels):
            axes[0].imshow(images[i], cmap=PAPER, vmin=0, vmax=1)
            axes[0].set(xticks=[], yticks=[])
            axes[0].spines[:].set_visible(False)
            axes[1].imshow(belief[:, i], cmap=blues, vmin=0, vmax=1, aspect="auto")
            best = belief[:, i].argmax(axis=1)
            axes[1].plot(best, np.arange(SIDE), "-", color=INK, lw=0.8, alpha=0.7)
            axes[1].set(xticks=range(CLASSES), yticks=[])
            axes[1].tick_params(length=0)
            axes[1].spines[:].set_color("#d5dade")
        figure.savefig(path)


if __name__ == "__main__":
    main()
