"""Op table: loops and choices."""

import numpy as np

import tinygraph as tg
import tinygraph.tensor as T
from tests.optable.case import Arg, Case
from tinygraph.ifelse import ifelse

INTEGERS = ("bool", "int8", "int64", "uint8")


def _states(step, first, rows):
    """The states of a recurrence, in NumPy."""
    states = [first]
    for row in rows:
        states.append(step(row, states[-1]))
    return np.stack(states)[1:]


def _fibonacci(x, start):
    states = list(start)
    for row in x:
        states.append(row * states[-1] + np.sin(states[-3]))
    return np.stack(states)[3:]


def _lstm(x, w, u, start):
    c = h = start
    out = []
    for row in x:
        i, f, o, g = np.split(row @ w + h @ u, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        out.append(h)
    return np.stack(out)


def _lstm_step(row, c, h, w, u):
    i, f, o, g = T.split(T.dot(row, w) + T.dot(h, u), [2, 2, 2, 2], 4)
    c = T.nnet.sigmoid(f) * c + T.nnet.sigmoid(i) * T.tanh(g)
    return c, T.nnet.sigmoid(o) * T.tanh(c)


def _running(x):
    total, out = 0.0 * x[0], []
    for row in x:
        total = total + row
        out.append(total * 2)
        if total.sum() > 3:
            break
    return np.stack(out)


CASES: list[Case] = [
    Case(
        "ifelse: by a value",
        "ifelse.ifelse",
        lambda x, y: ifelse(x[0, 0] > 5, x * 2, y),
        lambda x, y: x * 2 if x[0, 0] > 5 else y,
        (Arg(), Arg()),
    ),
    Case(
        "ifelse: lists",
        "ifelse.ifelse",
        lambda c, x, y: ifelse(c, [x * y, x], [x + y, y]),
        lambda c, x, y: [x * y, x] if c else [x + y, y],
        (Arg((), dtype="bool"), Arg((3,)), Arg((3,))),
        empty=(((), (0,), (0,)),),
    ),
    Case(
        "ifelse: integers",
        "ifelse.ifelse",
        lambda c, x: ifelse(c, x, x[::-1]),
        lambda c, x: x if c else x[::-1],
        (Arg((), dtype="int8"), Arg((3,))),
        integers=INTEGERS,
    ),
    Case(
        "scan: recurrence",
        "scan",
        lambda x, w, h: tg.scan(lambda row, h, w: T.tanh(row + T.dot(h, w)), x, h, w)[0],
        lambda x, w, h: _states(lambda row, h: np.tanh(row + h @ w), h, x),
        (Arg((4, 3)), Arg((3, 3)), Arg((3,))),
        empty=(((4, 0), (0, 0), (0,)),),
    ),
    Case(
        "scan: taps",
        "scan",
        lambda x, s: tg.scan(lambda a, p, q: a * q + T.sin(p), x, {"initial": s, "taps": [-3, -1]})[0],
        _fibonacci,
        (Arg((4, 2)), Arg((3, 2))),
        empty=(((2, 0), (3, 0)),),
    ),
    Case(
        "scan: lstm",
        "scan",
        lambda x, w, u, h: tg.scan(_lstm_step, x, [h, h], [w, u])[0][1],
        _lstm,
        (Arg((3, 3)), Arg((3, 8)), Arg((2, 8)), Arg((2,))),
    ),
    Case(
        "scan: until",
        "scan",
        lambda x: tg.scan(
            lambda row, s: (s + row, 2 * (s + row), tg.scan_module.until((s + row).sum() > 3)), x, [0.0 * x[0], None]
        )[0][1],
        _running,
        (Arg((5, 2), low=0.4, high=1.2),),
    ),
    Case(
        "map: rows backwards",
        "map",
        lambda x: tg.map(lambda row: (row**2).sum(), x, go_backwards=True)[0],
        lambda x: (x**2).sum(1)[::-1],
        (Arg((4, 3)),),
        empty=(((0, 3),), ((3, 0),)),
    ),
    Case(
        "reduce: integers",
        "reduce",
        lambda x: tg.reduce(lambda row, s: s + row, x, T.zeros_like(x[0]))[0],
        lambda x: x.sum(0, dtype=x.dtype),
        (Arg((4, 3)),),
        integers=("int8", "int64", "uint8"),
    ),
    Case(
        "foldl: products",
        "foldl",
        lambda x, s: tg.foldl(lambda row, s: s * row + 1, x, s)[0],
        lambda x, s: _states(lambda row, s: s * row + 1, s, x)[-1],
        (Arg((3, 2)), Arg((2,))),
    ),
    Case(
        "foldr: products",
        "foldr",
        lambda x, s: tg.foldr(lambda row, s: s * row + 1, x, s)[0],
        lambda x, s: _states(lambda row, s: s * row + 1, s, x[::-1])[-1],
        (Arg((3, 2)), Arg((2,))),
    ),
    Case(
        "scan_checkpoints: every second",
        "scan_checkpoints",
        lambda x, s: tg.scan_checkpoints(lambda row, s: T.tanh(s * row + 1), x, s, save_every_N=2)[0],
        lambda x, s: _states(lambda row, s: np.tanh(s * row + 1), s, x)[[1, 3, 4]],
        (Arg((5, 2)), Arg((2,))),
    ),
]
