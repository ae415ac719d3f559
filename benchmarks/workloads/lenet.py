"""A convolutional net. PyTensor 3 has neither convolutions of images in batches nor pooling, so it has no part."""

from typing import Any

import numpy as np

from benchmarks.nets import softmax_in_numpy
from benchmarks.rules import SGD, Rule
from benchmarks.training import Array, Arrays, Step, noise, variants
from benchmarks.workload import Steps, Target

BATCH, SIDE, KERNEL, MAPS, HIDDEN, CLASSES = 128, 28, 5, (20, 50), 500, 10
#: Sides of the images after each convolution, and after pooling them.
SIDES = (24, 8)
FLAT = MAPS[1] * (SIDES[1] // 2) ** 2


def start() -> tuple[Arrays, Arrays]:
    """Filters are correlated with the images, as most libraries have it; Theano's way is to turn them round."""
    params = [
        noise(MAPS[0], 1, KERNEL, KERNEL) * np.float32(0.8),
        np.zeros(MAPS[0], "float32"),
        noise(MAPS[1], MAPS[0], KERNEL, KERNEL, seed=3) * np.float32(0.2),
        np.zeros(MAPS[1], "float32"),
        noise(FLAT, HIDDEN) * np.float32(0.15),
        np.zeros(HIDDEN, "float32"),
        noise(HIDDEN, CLASSES) * np.float32(0.2),
        np.zeros(CLASSES, "float32"),
    ]
    return params, [noise(BATCH, 1, SIDE, SIDE), np.arange(BATCH, dtype="int32") % CLASSES]


def in_symbolic(lib: Any, params: Any, x: Any, t: Any) -> Any:
    from importlib import import_module

    T = lib.T
    pool_2d = import_module(f"{lib.name}.tensor.signal.pool").pool_2d
    for w, b in (params[:2], params[2:4]):
        x = T.nnet.conv2d(x, w, filter_flip=False)
        x = T.tanh(pool_2d(x, (2, 2), ignore_border=True) + b.dimshuffle("x", 0, "x", "x"))
    hidden = T.tanh(x.flatten(2).dot(params[4]) + params[5])
    y = lib.softmax(hidden.dot(params[6]) + params[7])
    return -T.mean(T.log(y[T.arange(t.shape[0]), t]))


def in_jax(jax: Any, params: Any, x: Any, t: Any) -> Any:
    jnp, lax = jax.numpy, jax.lax
    for w, b in (params[:2], params[2:4]):
        x = lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        x = jnp.tanh(x + b[:, None, None])
    hidden = jnp.tanh(x.reshape(len(x), -1) @ params[4] + params[5])
    z = hidden @ params[6] + params[7]
    return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(t)), t])


def in_torch(torch: Any, params: Any, x: Any, t: Any) -> Any:
    F = torch.nn.functional
    for w, b in (params[:2], params[2:4]):
        x = torch.tanh(F.max_pool2d(F.conv2d(x, w, b), 2))
    hidden = torch.tanh(torch.addmm(params[5], x.flatten(1), params[4]))
    return F.cross_entropy(torch.addmm(params[7], hidden, params[6]), t)


class Layer:
    """Convolution as one product over all windows, pooling and tanh, in NumPy; maps come last."""

    def __init__(self, w: Array, b: Array, channels: int, side: int) -> None:
        self.w, self.b = w, b
        shape = BATCH, side, side
        self.windows = np.empty((*shape, channels, KERNEL, KERNEL), "float32")
        self.out = np.empty((*shape, len(b)), "float32")
        self.back = np.zeros((*shape, len(b)), "float32")
        self.rows = self.windows.reshape(-1, channels * KERNEL**2)

    def forward(self, x: Array) -> Array:
        windows = np.lib.stride_tricks.sliding_window_view(x, (KERNEL, KERNEL), (1, 2))
        np.copyto(self.windows, windows)
        np.matmul(self.rows, self.w.reshape(len(self.w), -1).T, out=self.out.reshape(-1, len(self.b)))
        parts = [self.out[:, i::2, j::2] for i in range(2) for j in range(2)]
        most = np.maximum(np.maximum(parts[0], parts[1]), np.maximum(parts[2], parts[3]))
        self.y = np.tanh(most + self.b)
        self.most = most
        return self.y

    def backward(self, delta: Array, gw: Array, gb: Array) -> Array:
        """Overwrites ``delta``; returns the gradient of every window."""
        delta *= 1 - self.y**2
        np.sum(delta, axis=(0, 1, 2), out=gb)
        for i in range(2):
            for j in range(2):
                np.multiply(delta, self.out[:, i::2, j::2] == self.most, out=self.back[:, i::2, j::2])
        back = self.back.reshape(-1, len(self.b))
        np.matmul(back.T, self.rows, out=gw.reshape(len(self.w), -1))
        return back

    def to_inputs(self, back: Array, x: Array) -> Array:
        side = x.shape[1] - KERNEL + 1
        cells = (back @ self.w.reshape(len(self.w), -1)).reshape(*x.shape[:1], side, side, x.shape[3], KERNEL, KERNEL)
        total = np.zeros_like(x)
        for i in range(KERNEL):
            for j in range(KERNEL):
                total[:, i : i + side, j : j + side] += cells[..., i, j]
        return total


def in_numpy(params: Arrays, rule: Rule, x: Array, t: Array) -> Step:
    w1, b1, w2, b2, w3, b3, w4, b4 = params
    first, second = Layer(w1, b1, 1, SIDES[0]), Layer(w2, b2, MAPS[0], SIDES[1])
    images, rows = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), np.arange(BATCH)
    grads = [np.empty_like(p) for p in params]
    update = rule.in_numpy(params)

    def step() -> float:
        inner = first.forward(images)
        outer = second.forward(inner)
        flat = outer.transpose(0, 3, 1, 2).reshape(BATCH, -1)
        hidden = flat @ w3
        hidden += b3
        np.tanh(hidden, out=hidden)
        z = hidden @ w4
        z += b4
        loss = softmax_in_numpy(z, rows, t)
        np.matmul(hidden.T, z, out=grads[6])
        np.sum(z, axis=0, out=grads[7])
        delta = z @ w4.T
        delta *= 1 - hidden**2
        np.matmul(flat.T, delta, out=grads[4])
        np.sum(delta, axis=0, out=grads[5])
        delta = (delta @ w3.T).reshape(BATCH, MAPS[1], SIDES[1] // 2, -1).transpose(0, 2, 3, 1).copy()
        delta = second.to_inputs(second.backward(delta, grads[2], grads[3]), inner)
        first.backward(delta, grads[0], grads[1])
        update(grads)
        return loss

    return step


PEERS = variants(start, SGD(0.1), symbolic=in_symbolic, jax=in_jax, torch=in_torch, numpy=in_numpy)
del PEERS["pytensor"]

PRODUCTS = [  # of each layer, forward, and how often it is needed again for gradients
    (2 * BATCH * SIDES[0] ** 2 * MAPS[0] * KERNEL**2, 1),
    (2 * BATCH * SIDES[1] ** 2 * MAPS[1] * MAPS[0] * KERNEL**2, 2),
    (2 * BATCH * FLAT * HIDDEN, 2),
    (2 * BATCH * HIDDEN * CLASSES, 2),
]

WORKLOAD = Steps(
    f"LeNet: batch {BATCH}, 28x28, {MAPS[0]}@5x5, {MAPS[1]}@5x5, {HIDDEN}, {CLASSES}, SGD",
    PEERS,
    flops=sum(count * (1 + again) for count, again in PRODUCTS),
    moved=4 * BATCH * SIDE**2,
    target=Target(1.0),
    tolerance=1e-4,
)
