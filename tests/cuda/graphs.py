"""Functions whose kernels are of every form: name -> (inputs, outputs, updates, arguments), small enough to emulate."""

from itertools import pairwise

import numpy as np

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import optim
from tinygraph.tensor.shared_randomstreams import RandomStreams
from tinygraph.tensor.signal.pool import pool_2d

_RNG = [np.random.default_rng(5)]


def _array(*shape):
    return (_RNG[0].standard_normal(shape) * 0.5).astype(tg.config.floatX)


def _shared(*shape):
    return tg.shared(_array(*shape))


def _classes(batch, count):
    return _RNG[0].integers(0, count, batch).astype("int32")


def _network(batch, sizes, activation, rule, columns=None):
    x, y = T.matrix("x"), T.ivector("y")
    parameters, h = [], x
    for i, (n, m) in enumerate(pairwise(sizes)):
        w, b = _shared(n, m), _shared(m)
        parameters += [w, b]
        h = T.dot(h, w) + b
        h = activation(h) if i < len(sizes) - 2 else h
    p = T.nnet.softmax(h)
    cost = -T.mean(T.log(p)[T.arange(y.shape[0]), y])
    return (
        [x, y],
        [cost, T.argmax(p, axis=1)],
        rule(cost, parameters),
        (_array(batch, sizes[0]), _classes(batch, sizes[-1])),
    )


def xor():
    return _network(
        4, (2, 8, 2), T.tanh, lambda c, ps: [(p, p - 0.1 * g) for p, g in zip(ps, tg.grad(c, ps), strict=True)]
    )


def mlp():
    return _network(20, (36, 33, 10), T.nnet.sigmoid, lambda c, ps: optim.sgd(c, ps, 0.1))


def rmsprop():
    return _network(12, (40, 32, 16), T.nnet.relu, optim.rmsprop)


def deep():
    return _network(24, (16, 16, 16, 16, 8), T.tanh, optim.adam)


def optimizers():
    """Updates of 40 parameters, of all sizes, whose gradients are given."""
    sizes = [(n + 1, m) for n in range(4) for m in (3, 4, 17, 33, 70)]
    parameters = [_shared(*shape) for n, m in sizes for shape in ((n, m), (m,))]
    gradients = [T.TensorType(tg.config.floatX, p.get_value().shape)() for p in parameters]
    return gradients, [], optim.adam(gradients, parameters), tuple(_array(*p.get_value().shape) for p in parameters)


def softmax_rows():
    x, t = T.matrix("x"), T.matrix("t")
    cost = (T.nnet.softmax(x) * t).sum()
    return [x, t], [cost, tg.grad(cost, x), T.nnet.logsoftmax(x)], [], (_array(7, 70), _array(7, 70))


def long_rows():
    """Rows that no block holds in registers."""
    x = T.matrix("x")
    cost = T.nnet.softmax(x)[:, 0].sum() + T.logsumexp(x, axis=1).sum()
    return [x], [cost, tg.grad(cost, x)], [], (_array(2, 4500),)


def logsumexp():
    x = T.matrix("x")
    cost = T.logsumexp(x, axis=1).sum()
    return [x], [cost, tg.grad(cost, x), T.logsumexp(x, axis=0)], [], (_array(9, 37),)


def layer_norm():
    x, scale, shift = T.matrix("x"), T.vector("scale"), T.vector("shift")
    mean = x.mean(axis=1, keepdims=True)
    variance = T.sqr(x - mean).mean(axis=1, keepdims=True)
    out = scale * (x - mean) / T.sqrt(variance + 1e-5) + shift
    cost = T.sqr(out - 1).sum()
    return [x, scale, shift], [out, *tg.grad(cost, [x, scale, shift])], [], (_array(21, 24), _array(24), _array(24))


def normalised_columns():
    """Columns that threads go through several times: each by itself, or several of them."""
    inputs, outputs = [], []
    for name in ("few", "some", "many"):
        x = T.matrix(name)
        out = (x - x.mean(axis=0)) / T.sqrt(x.var(axis=0) + 0.1) + T.eq(x, x.max(axis=0))
        inputs.append(x)
        outputs += [out, tg.grad((out * T.tanh(x)).sum(), x), T.nnet.softmax(x, axis=0)]
    return inputs, outputs, [], (_array(7, 45), _array(60, 33), _array(128, 40))


def chain():
    x = T.vector("x")
    z = x
    for _ in range(3):
        z = T.exp(-T.sqr(T.tanh(z * 0.7 + x))) + z
    cost = z.sum()
    return [x], [cost, tg.grad(cost, x)], [], (_array(40_003),)


def columns():
    """Sums over rows: few, many and very many of them, of narrow and wide matrices."""
    x, y = T.matrix("x"), T.tensor3("y")
    outputs = [x.sum(axis=0), T.exp(x).max(axis=0), y.mean(axis=1), y.min(axis=(0, 1)), (y * 2).sum(axis=(0, 2))]
    return [x, y], outputs, [], (_array(1300, 5), _array(3, 150, 40))


def layouts():
    """What is not contiguous, and counters."""
    x, v = T.matrix("x"), T.vector("v")
    joined = T.concatenate([x[::2, 1:], x[1::2, :-1].T.T * v[1:]], axis=0)
    outputs = [joined, x.T + v.dimshuffle(0, "x"), x[:, ::-1] * T.arange(12), T.set_subtensor(x[2:5], v), x.T.flatten()]
    return [x, v], outputs, [], (_array(8, 12), _array(12))


def gathers():
    x, i, j = T.matrix("x"), T.ivector("i"), T.lvector("j")
    e = T.exp(x)
    cost = T.log(e / e.sum(axis=1, keepdims=True))[T.arange(6), i].sum() + x[i].sum()
    return (
        [x, i, j],
        [x[i], x[i, j], x[:, i] * 2, cost],
        [],
        (_array(6, 9), _classes(6, 6) - 2, _classes(6, 9).astype("int64")),
    )


def scatters():
    """Gradients of elements at places that are values; places that are written several times."""
    x, y, i, j = T.matrix("x"), T.tensor3("y"), T.ivector("i"), T.lvector("j")
    picked = T.sqr(x[i]).sum() + (x[:, j] * T.arange(6)).sum() + (y[:, i, j] * 3).sum() + y[i, 1:].sum()
    twice = T.matrix("i2", dtype="int64")
    outputs = [
        *tg.grad(picked, [x, y]),
        T.inc_subtensor(x[i], 1),
        T.inc_subtensor(x[i, j], x[:6, 0]),
        T.inc_subtensor(y[::2, i, 1:4], 0.5),
        T.set_subtensor(x[twice], y[:, :, None, 0]),
        T.inc_subtensor(T.cast(x * 100, "int8")[i], T.cast(x[:6] * 100, "int8")),
    ]
    places = _RNG[0].integers(-3, 3, (3, 5))
    return (
        [x, y, i, j, twice],
        outputs,
        [],
        (_array(7, 5), _array(3, 5, 5), _classes(6, 6) % 3, _classes(6, 10) - 5, places),
    )


def dtypes():
    b, i, u, f = T.TensorType("bool", (None,))("b"), T.bvector("i"), T.TensorType("uint8", (None,))("u"), T.fvector("f")
    outputs = [
        T.switch(b, i, u),
        i // 3,
        i % 5,
        (u + u).astype("int64"),
        b.any(),
        b.all(),
        u.sum(),
        i.max(),
        f.astype("int8"),
    ]
    arguments = (
        _RNG[0].random(37) < 0.5,
        *(_RNG[0].integers(-9, 100, 37).astype(d) for d in ("int8", "uint8", "float32")),
    )
    return [b, i, u, f], outputs, [], arguments


def lstm():
    n, h = 6, 8
    x = T.tensor3("x")
    wx, wh, b = _shared(n, 4 * h), _shared(h, 4 * h), _shared(4 * h)

    def cell(xt, before, c):
        a = T.dot(xt, wx) + T.dot(before, wh) + b
        i, f, o = (T.nnet.sigmoid(a[:, k * h : (k + 1) * h]) for k in range(3))
        c = f * c + i * T.tanh(a[:, 3 * h :])
        return o * T.tanh(c), c

    (states, _), _ = tg.scan(cell, sequences=x, outputs_info=[T.zeros((3, h)), T.zeros((3, h))])
    cost = T.mean(states**2)
    return [x], [cost, states], optim.sgd(cost, [wx, wh, b], 0.1), (_array(5, 3, n),)


def lenet():
    x, y = T.tensor4("x"), T.ivector("y")
    w1, b1, w2, w3 = _shared(3, 1, 3, 3), _shared(3), _shared(4, 3, 3, 3), _shared(16, 5)
    h = T.tanh(pool_2d(T.nnet.conv2d(x, w1), (2, 2), ignore_border=True) + b1.dimshuffle("x", 0, "x", "x"))
    h = T.tanh(pool_2d(T.nnet.conv2d(h, w2), (2, 2), ignore_border=True))
    cost = T.nnet.categorical_crossentropy(T.nnet.softmax(T.dot(h.flatten(2), w3)), y).mean()
    return [x, y], [cost], optim.sgd(cost, [w1, b1, w2, w3], 0.1), (_array(2, 1, 14, 14), _classes(2, 5))


def windows():
    """Overlapping windows of many images are added up, in steps of one and of two."""
    x, w, v = T.tensor4("x"), _shared(3, 4, 3, 3), _shared(2, 1, 3, 3)
    one, two = T.nnet.conv2d(x, w), T.nnet.conv2d(x[:, :1], v, subsample=(2, 2))
    return [x], [tg.grad(T.sqr(one).sum(), x), tg.grad(T.sqr(two).sum(), x)], [], (_array(17, 4, 7, 8),)


def rbm():
    streams = RandomStreams(3)
    x = T.matrix("x")
    w, bv, bh = _shared(14, 10), _shared(14), _shared(10)
    h = streams.binomial(size=(6, 10), n=1, p=T.nnet.sigmoid(T.dot(x, w) + bh), dtype=tg.config.floatX)
    v = streams.binomial(size=(6, 14), n=1, p=T.nnet.sigmoid(T.dot(h, w.T) + bv), dtype=tg.config.floatX)

    def energy(v):
        return -T.dot(v, bv) - T.nnet.softplus(T.dot(v, w) + bh).sum(axis=1)

    cost = T.mean(energy(x)) - T.mean(energy(v))
    updates = [
        (p, p - 0.1 * g) for p, g in zip([w, bv, bh], tg.grad(cost, [w, bv, bh], consider_constant=[v]), strict=True)
    ]
    return [x], [v, cost, streams.normal((5,)), streams.uniform((3, 5))], updates, (_array(6, 14),)


def alone():
    """Instructions that no kernel does, between kernels."""
    x = T.matrix("x")
    y = T.nlinalg.matrix_inverse(T.dot(x, x.T) + T.eye(5)) * 2
    return [x], [T.exp(y).sum(axis=0), T.sort(x, axis=1) + 1, (x > 0).nonzero()[0]], [], (_array(5, 7),)


_ALL = (
    xor,
    mlp,
    rmsprop,
    deep,
    optimizers,
    softmax_rows,
    long_rows,
    logsumexp,
    layer_norm,
    normalised_columns,
    chain,
    columns,
    layouts,
    gathers,
    scatters,
    dtypes,
)
GRAPHS = {f.__name__: f for f in (*_ALL, lstm, lenet, windows, rbm, alone)}


def built(name, dtype):
    """A function of a graph in a float dtype, and its arguments."""
    _RNG[0] = np.random.default_rng(5)
    with tg.config.change_flags(floatX=dtype):
        inputs, outputs, updates, arguments = GRAPHS[name]()
        return tg.function(inputs, outputs, updates=updates, on_unused_input="ignore"), arguments
