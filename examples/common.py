"""What the examples share: their options on the command line, and the picture of a training run."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

INK, GREY = "#22303c", "#8a949e"
BLUE, ORANGE = "#1f5f99", "#d9692b"
PALE_BLUE, PALE_ORANGE = "#e9f1f8", "#fdeee4"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for ``argparse``: whole numbers from ``least`` to ``most``."""
    wanted = f"from {least} up" if most is None else f"from {least} to {most}"

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {wanted}, got {text!r}")
        return int(text)

    return convert


def picture_file(text: str) -> Path:
    """A type for ``argparse``: a PNG file that can be written, known before the training and not after it."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png, got {text!r}")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"expected a file in a directory that can be written to, got {text!r}")
    return path


def command_line(doc: str, *, out: str, epochs: int, quick: int) -> argparse.ArgumentParser:
    """The parser of an example, with the options that all examples have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(epochs=epochs)
    parser.add_argument("--epochs", type=whole_number(1), metavar="N", help=f"passes over the training set ({epochs})")
    parser.add_argument(
        "--quick", dest="epochs", action="store_const", const=quick, help=f"a short run: {quick} epochs"
    )
    parser.add_argument("--seed", type=whole_number(0, 2**32 - 1), default=0, metavar="N", help="of all chance (0)")
    parser.add_argument("--out", type=picture_file, default=out, metavar="FILE", help=f"where the picture goes ({out})")
    return parser


def report(history: Sequence[Sequence[float]], wrong: int, total: int) -> None:
    """Print the last row of a history as a small table."""
    train_cost, train_accuracy, test_cost, test_accuracy = history[-1]
    print("              cost  accuracy")
    print(f"training  {train_cost:8.4f}  {train_accuracy:8.4f}")
    print(f"test      {test_cost:8.4f}  {test_accuracy:8.4f}   ({wrong} of {total} wrong)")


def training_picture(
    path: Path, title: str, history: Sequence[Sequence[float]], target: np.ndarray, prediction: np.ndarray
) -> None:
    """Draw how cost and accuracy went, and which digits of the test set were taken for which.

    ``history`` holds one row for each epoch: cost and accuracy on the training set, cost and accuracy on the test set.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.6), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.04))
        figure.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold")
        axes = figure.subplot_mosaic([["cost", "table"], ["accuracy", "table"]], width_ratios=[1, 1.08])
        rows = np.asarray(history)
        _curves(axes["cost"], rows[:, 0], rows[:, 2])
        _curves(axes["accuracy"], 100 * rows[:, 1], 100 * rows[:, 3])
        axes["cost"].set(title="Cost", yscale="log")
        axes["cost"].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes["cost"].yaxis.set_major_formatter("{x:g}")
        axes["cost"].yaxis.set_minor_formatter(NullFormatter())
        axes["cost"].tick_params(labelbottom=False)
        axes["cost"].legend()
        axes["accuracy"].set(title="Accuracy in percent", xlabel="epoch")
        _confusion(axes["table"], target, prediction)
        figure.savefig(path)


def _curves(axes: Axes, training: np.ndarray, test: np.ndarray) -> None:
    epochs = np.arange(1, len(test) + 1)
    for values, label, colour, width in ((training, "training", GREY, 1.6), (test, "test", BLUE, 2.2)):
        axes.plot(epochs, values, "-o", markevery=[-1], ms=4.5, color=colour, lw=width, label=label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GREY, alpha=0.25, lw=0.6)
    axes.set_xlim(0, len(test) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _confusion(axes: Axes, target: np.ndarray, prediction: np.ndarray, classes: int = 10) -> None:
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (target, prediction), 1)
    right = np.eye(classes, dtype=bool)
    for cells, colours in ((right, [PALE_BLUE, BLUE]), (~right, [PALE_ORANGE, ORANGE])):
        # Two scales: a class has dozens of hits and a handful of misses, and the misses are what one looks for.
        most = max(counts[cells].max(), 4)
        shown = np.ma.masked_where(~cells | (counts == 0), counts)
        axes.imshow(shown, cmap=LinearSegmentedColormap.from_list("", colours), vmin=0, vmax=most)
        for i, j in np.argwhere(cells & (counts > 0)):
            colour = "white" if counts[i, j] > 0.65 * most else INK
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(classes))
        axis.set_ticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GREY, alpha=0.25, lw=0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color("#d5dade")
    hits = int(counts[right].sum())
    axes.set(
        title=f"Test set: {hits} of {len(target)} right ({hits / len(target):.1%})",
        xlabel="predicted digit",
        ylabel="true digit",
    )
