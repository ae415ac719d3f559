"""Softmax regression on handwritten digits.

A linear model with ten classes learns scikit-learn's 1797 digits of 8 by 8 pixels by mini-batch gradient descent. The
cost and its gradients are symbolic; one compiled function makes a step, its updates written out as a list of pairs.

    python softmax_digits.py
    python softmax_digits.py --quick --out digits.png
"""

import numpy as np
from common import command_line, report, training_picture
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T

LEARNING_RATE = 0.5
WEIGHT_DECAY = 1e-4
BATCH = 100


def main() -> None:
    options = command_line(__doc__, out="softmax_digits.png", epochs=60, quick=20).parse_args()
    rng = np.random.default_rng(options.seed)
    digits = load_digits()
    train_x, test_x, train_t, test_t = train_test_split(
        digits.data / 16, digits.target, test_size=360, stratify=digits.target, random_state=options.seed
    )
    print(f"handwritten digits: {len(train_x)} to train on, {len(test_x)} to test on")

    # The model: P(class | x) = softmax(x W + b), and the mean negative log-likelihood of the true classes.
    X, t = T.matrix("X"), T.lvector("t")
    W = tg.shared(np.zeros((64, 10)), "W")
    b = tg.shared(np.zeros(10), "b")
    probability = T.nnet.softmax(T.dot(X, W) + b)
    prediction = T.argmax(probability, axis=1)
    cost = -T.mean(T.log(probability[T.arange(t.shape[0]), t]))
    accuracy = T.mean(T.eq(prediction, t))

    gW, gb = tg.grad(cost + WEIGHT_DECAY * T.sum(W**2), [W, b])
    step = tg.function([X, t], updates=[(W, W - LEARNING_RATE * gW), (b, b - LEARNING_RATE * gb)])
    evaluate = tg.function([X, t], [cost, accuracy])
    predict = tg.function([X], prediction)

    history = []
    for _ in (bar := tqdm(range(options.epochs), unit="epoch")):
        order = rng.permutation(len(train_x))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            step(train_x[rows], train_t[rows])
        history.append([*evaluate(train_x, train_t), *evaluate(test_x, test_t)])
        bar.set_postfix(test_cost=f"{history[-1][2]:.4f}", test_accuracy=f"{history[-1][3]:.4f}", refresh=False)

    predicted = predict(test_x)
    report(history, wrong=np.sum(predicted != test_t), total=len(test_t))
    training_picture(options.out, "Softmax regression on handwritten digits", history, test_t, predicted)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
