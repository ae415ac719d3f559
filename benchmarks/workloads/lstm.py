"""A recurrent net: a loop of small matrix products, forth and back."""

from typing import Any

import numpy as np

from benchmarks.rules import SGD, Rule
from benchmarks.training import Array, Arrays, Step, noise, torch_tensors, variants
from benchmarks.workload import Steps, Target

STEPS, BATCH, INPUTS, UNITS = 100, 32, 64, 128
RULE = SGD(1.0)


def start() -> tuple[Arrays, Arrays]:
    """The gates in the order input, forget, cell, output; all sequences begin at a state of zeros."""
    params = [noise(INPUTS, 4 * UNITS) / 4, noise(UNITS, 4 * UNITS, seed=5) / 4, np.zeros(4 * UNITS, "float32")]
    return params, [noise(STEPS, BATCH, INPUTS) * 4]


def in_symbolic(lib: Any, params: Any, x: Any) -> Any:
    T = lib.T
    W, U, b = params

    def cell(row: Any, h: Any, c: Any, U: Any) -> list[Any]:
        gates = row + h.dot(U)
        take, keep, new, show = (gates[:, i * UNITS : (i + 1) * UNITS] for i in range(4))
        c = lib.sigmoid(keep) * c + lib.sigmoid(take) * T.tanh(new)
        return [lib.sigmoid(show) * T.tanh(c), c]

    nothing = T.zeros((x.shape[1], UNITS), dtype="float32")
    rows = T.dot(x, W) + b
    (h, _), _ = lib.scan(cell, sequences=rows, outputs_info=[nothing, nothing], non_sequences=U)
    return T.mean(h**2)


def in_jax(jax: Any, params: Any, x: Any) -> Any:
    jnp = jax.numpy
    W, U, b = params

    def cell(state: Any, row: Any) -> Any:
        h, c = state
        take, keep, new, show = jnp.split(row + h @ U, 4, axis=1)
        c = jax.nn.sigmoid(keep) * c + jax.nn.sigmoid(take) * jnp.tanh(new)
        h = jax.nn.sigmoid(show) * jnp.tanh(c)
        return (h, c), h

    nothing = jnp.zeros((BATCH, UNITS), "float32")
    return jnp.mean(jax.lax.scan(cell, (nothing, nothing), x @ W + b)[1] ** 2)


def in_torch(torch: Any, params: Any, x: Any) -> Any:
    W, U, b = params
    h = c = torch.zeros(BATCH, UNITS, device=x.device)
    states = []
    for row in x @ W + b:
        take, keep, new, show = torch.addmm(row, h, U).chunk(4, 1)
        c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(new)
        h = torch.sigmoid(show) * torch.tanh(c)
        states.append(h)
    return (torch.stack(states) ** 2).mean()


def in_torch_nn() -> Step:
    """The library's own layer, without its second bias."""
    import torch

    (W, U, b), data = start()
    layer = torch.nn.LSTM(INPUTS, UNITS)
    values = torch_tensors(torch, [W.T, U.T, b])
    params = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0]
    with torch.no_grad():
        for p, value in zip(params, values, strict=True):
            p.copy_(value)
        layer.bias_hh_l0.zero_()
    layer.bias_hh_l0.requires_grad_(False)
    (x,) = torch_tensors(torch, data)
    update = RULE.in_torch(torch, params)

    def step() -> float:
        loss = (layer(x)[0] ** 2).mean()
        update(torch.autograd.grad(loss, params))
        return loss.item()

    return step


def in_numpy(params: Arrays, rule: Rule, x: Array) -> Step:
    """The inputs' product before the loop, the weights' gradients after it, each as one product."""
    W, U, b = params
    update = rule.in_numpy(params)
    h, c = (np.zeros((STEPS + 1, BATCH, UNITS), "float32") for _ in range(2))
    squashed = np.empty((STEPS, BATCH, UNITS), "float32")
    gates = np.empty((STEPS, BATCH, 4 * UNITS), "float32")
    flat, inputs = gates.reshape(-1, 4 * UNITS), x.reshape(-1, INPUTS)
    parts = [gates[:, :, i * UNITS : (i + 1) * UNITS] for i in range(4)]
    take, keep, new, show = parts
    grads = [np.empty_like(p) for p in params]

    def step() -> float:
        np.matmul(inputs, W, out=flat)
        flat.__iadd__(b)
        for t in range(STEPS):
            gates[t] += h[t] @ U
            for gate in (take[t], keep[t], show[t]):
                gate *= 0.5
                np.tanh(gate, out=gate)
                gate += 1
                gate *= 0.5
            np.tanh(new[t], out=new[t])
            np.multiply(keep[t], c[t], out=c[t + 1])
            c[t + 1] += take[t] * new[t]
            np.tanh(c[t + 1], out=squashed[t])
            np.multiply(show[t], squashed[t], out=h[t + 1])
        loss = float(np.mean(h[1:] ** 2))
        back, memory = np.zeros((BATCH, UNITS), "float32"), np.zeros((BATCH, UNITS), "float32")
        scale = np.float32(2 / squashed.size)
        for t in range(STEPS - 1, -1, -1):
            back += scale * h[t + 1]
            memory += back * show[t] * (1 - squashed[t] ** 2)
            taken, given = take[t].copy(), new[t].copy()
            np.multiply(back * squashed[t] * show[t], 1 - show[t], out=show[t])
            np.multiply(memory * taken, 1 - given**2, out=new[t])
            np.multiply(memory * given * taken, 1 - taken, out=take[t])
            kept = keep[t].copy()
            np.multiply(memory * c[t] * kept, 1 - kept, out=keep[t])
            memory *= kept
            back = gates[t] @ U.T
        np.matmul(inputs.T, flat, out=grads[0])
        np.matmul(h[:-1].reshape(-1, UNITS).T, flat, out=grads[1])
        flat.sum(0, out=grads[2])
        update(grads)
        return loss

    return step


PRODUCTS = 2 * STEPS * BATCH * 4 * UNITS
VARIANTS = variants(start, RULE, symbolic=in_symbolic, jax=in_jax, torch=in_torch, numpy=in_numpy)

WORKLOAD = Steps(
    f"LSTM: {STEPS} steps, batch {BATCH}, {INPUTS}-{UNITS}, SGD",
    VARIANTS | {"torch nn.LSTM": in_torch_nn},
    flops=PRODUCTS * (2 * INPUTS + 3 * UNITS),
    moved=4 * STEPS * BATCH * INPUTS,
    target=Target(1.0),
    tolerance=1e-4,
)
