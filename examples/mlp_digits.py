"""A multilayer perceptron on handwritten digits.

A net with one hidden layer of rectified linear units learns scikit-learn's 1797 digits of 8 by 8 pixels in
mini-batches. The updates come from ``optim``: gradient descent with Nesterov's momentum, and a learning rate that falls
along a cosine. The gradients of all four parameters come from the graph; none is derived by hand.

    python mlp_digits.py
    python mlp_digits.py --quick --seed 7 --out digits.png
"""

import numpy as np
from common import command_line, report, training_picture
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim

HIDDEN = 100
LEARNING_RATE = 0.1
WEIGHT_DECAY = 1e-3
BATCH = 32


def main() -> None:
    options = command_line(__doc__, out="mlp_digits.png", epochs=30, quick=15).parse_args()
    rng = np.random.default_rng(options.seed)
    digits = load_digits()
    train_x, test_x, train_t, test_t = train_test_split(
        digits.data / 8 - 1, digits.target, test_size=360, stratify=digits.target, random_state=options.seed
    )
    print(f"handwritten digits: {len(train_x)} to train on, {len(test_x)} to test on")

    X, t = T.matrix("X"), T.lvector("t")
    W1 = tg.shared(rng.normal(size=(64, HIDDEN)) * np.sqrt(2 / 64), "W1")
    b1 = tg.shared(np.zeros(HIDDEN), "b1")
    W2 = tg.shared(rng.normal(size=(HIDDEN, 10)) * np.sqrt(2 / HIDDEN), "W2")
    b2 = tg.shared(np.zeros(10), "b2")
    params = [W1, b1, W2, b2]

    hidden = T.nnet.relu(X.dot(W1) + b1)
    probability = T.nnet.softmax(hidden.dot(W2) + b2)
    prediction = T.argmax(probability, axis=1)
    cost = -T.log(probability[T.arange(t.shape[0]), t]).mean()
    accuracy = T.eq(prediction, t).mean()

    steps = options.epochs * -(-len(train_x) // BATCH)
    updates = optim.nesterov(
        cost + WEIGHT_DECAY * optim.l2([W1, W2]),
        params,
        learning_rate=optim.CosineDecay(LEARNING_RATE, steps),
        momentum=0.9,
    )
    step = tg.function([X, t], updates=updates)
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
    training_picture(options.out, "A multilayer perceptron on handwritten digits", history, test_t, predicted)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
