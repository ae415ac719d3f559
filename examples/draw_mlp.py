"""Pictures of a small net: what was written, its gradient, and what a training step runs.

    python draw_mlp.py                     # writes mlp_cost.svg, mlp_gradient.svg and mlp_step.svg
    python draw_mlp.py --out pictures      # into a folder of their own

Needs the ``dot`` program of Graphviz; without it the DOT texts are written instead.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph.errors import TinygraphError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures (default: this one)")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)

    X, t = T.matrix("X"), T.ivector("t")
    W1, b1 = tg.shared(rng.normal(size=(64, 100)) / 8, "W1"), tg.shared(np.zeros(100), "b1")
    W2, b2 = tg.shared(rng.normal(size=(100, 10)) / 10, "W2"), tg.shared(np.zeros(10), "b2")
    params = [W1, b1, W2, b2]
    with tg.name_scope("hidden"):
        hidden = T.tanh(X.dot(W1) + b1)
    with tg.name_scope("output"):
        y = T.nnet.softmax(hidden.dot(W2) + b2)
    with tg.name_scope("cost"):
        cost = T.nnet.categorical_crossentropy(y, t).mean()
    gradients = tg.grad(cost, params)
    step = tg.function([X, t], cost, updates=[(p, p - 0.1 * g) for p, g in zip(params, gradients, strict=True)])
    step(rng.normal(size=(50, 64)), rng.integers(0, 10, 50).astype("int32"))

    print("p(class) =", tg.pprint(y))
    for name, shown in [("mlp_cost", cost), ("mlp_gradient", gradients[0]), ("mlp_step", step)]:
        picture = tg.draw(shown, shapes=False, collapse=True)
        try:
            written = folder / f"{name}.svg"
            written.write_bytes(picture.pipe(format="svg"))
        except TinygraphError as missing:
            written = folder / f"{name}.dot"
            written.write_text(picture.source)
            print(missing)
        print("picture:", written)


if __name__ == "__main__":
    main()
