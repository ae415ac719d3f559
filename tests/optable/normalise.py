"""Op table: normalisation, activations that came after Theano, layers that look rows up."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

EPSILON = 1e-3
#: ((float32), (float64)): differences to means, and their squares.
LOOSE = (2e-4, 1e-9)


# --- normalisation ------------------------------------------------------------------------------------------------


def _over(axes: Any, ndim: int) -> tuple[int, ...]:
    if isinstance(axes, str):
        return (0,) if axes == "per-activation" else (0, *range(2, ndim))
    return tuple(axis % ndim for axis in (axes if isinstance(axes, tuple) else (axes,)))


def _laid(p: Any, ndim: int, axes: tuple[int, ...]) -> Any:
    return p if p.ndim == ndim else np.expand_dims(p, axes)


def _train(axes: Any, factor: float = 0.1) -> Any:
    def reference(x: Any, gamma: Any, beta: Any, *running: Any) -> list[Any]:
        over = _over(axes, x.ndim)
        mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
        invstd = 1 / np.sqrt(var + EPSILON)
        out = (x - mean) * invstd * _laid(gamma, x.ndim, over) + _laid(beta, x.ndim, over)
        stats = [mean, invstd]
        if running:
            old = [_laid(r, x.ndim, over) for r in running]
            unbiased = x.var(over, keepdims=True, ddof=1)
            stats += [old[0] * (1 - factor) + mean * factor, old[1] * (1 - factor) + unbiased * factor]
        shaped = [s if gamma.ndim == x.ndim else s.reshape(gamma.shape) for s in stats]
        return [r.astype(x.dtype) for r in (out, *shaped)]

    return reference


def _test(axes: Any) -> Any:
    def reference(x: Any, *parameters: Any) -> Any:
        gamma, beta, mean, var = (_laid(p, x.ndim, _over(axes, x.ndim)) for p in parameters)
        return ((x - mean) * gamma / np.sqrt(var + EPSILON) + beta).astype(x.dtype)

    return reference


#: (axes, shape of the inputs, shape of the parameters)
LAYOUTS: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    ("per-activation", (4, 3), (3,)),
    ("per-activation", (3, 2, 2), (1, 2, 2)),
    ("spatial", (2, 3, 2, 2), (3,)),
    ("spatial", (2, 3, 2, 2), (1, 3, 1, 1)),
    (1, (2, 4), (2,)),
    ((0, -1), (2, 3, 2), (3,)),
    ((0, 1), (3, 2), ()),
]

NORMALISATION = [
    Case(
        f"nnet.bn.batch_normalization: {mode}",
        "nnet.batch_normalization",
        lambda x, g, b, m, s, mode=mode: T.nnet.batch_normalization(x, g, b, m, s, mode=mode),
        lambda x, g, b, m, s: (x - m) * g / s + b,
        (Arg((4, 3)), Arg((3,)), Arg((3,)), Arg((1, 3)), Arg((3,), low=0.5)),
        empty=(((0, 3), (3,), (3,), (1, 3), (3,)),),
    )
    for mode in ("low_mem", "high_mem")
]
for _axes, _shape, _laid_out in LAYOUTS:
    _parameters = (Arg(_laid_out), Arg(_laid_out))
    NORMALISATION += [
        Case(
            f"nnet.batch_normalization_train: {_axes}, {_shape}, {_laid_out}",
            "nnet.batch_normalization_train",
            lambda x, g, b, axes=_axes: T.nnet.batch_normalization_train(x, g, b, axes, EPSILON),
            _train(_axes),
            (Arg(_shape), *_parameters),
            rtol=LOOSE,
        ),
        Case(
            f"nnet.batch_normalization_test: {_axes}, {_shape}, {_laid_out}",
            "nnet.batch_normalization_test",
            lambda x, g, b, m, v, axes=_axes: T.nnet.batch_normalization_test(x, g, b, m, v, axes, EPSILON),
            _test(_axes),
            (Arg(_shape), *_parameters, Arg(_laid_out), Arg(_laid_out, low=0.5)),
            rtol=LOOSE,
        ),
    ]
NORMALISATION += [
    Case(
        f"nnet.batch_normalization_train: running averages, {axes}, factor {factor}",
        "nnet.batch_normalization_train",
        lambda x, g, b, m, v, axes=axes, factor=factor: T.nnet.batch_normalization_train(
            x, g, b, axes, EPSILON, running_average_factor=factor, running_mean=m, running_var=v
        ),
        _train(axes, factor),
        (Arg((4, 3, 2)), *[Arg(shape)] * 3, Arg(shape, low=0.5)),
        rtol=LOOSE,
    )
    for axes, shape, factor in (("per-activation", (3, 2), 0.1), ("spatial", (3,), 1.0), ("spatial", (1, 3, 1), 0.3))
]


def _layer_norm(axes: Any) -> Any:
    def reference(x: Any, gamma: Any = None, beta: Any = None) -> Any:
        out = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPSILON)
        out = out if gamma is None else out * gamma
        return (out if beta is None else out + beta).astype(x.dtype)

    return reference


NORMALISATION += [
    Case(
        f"nnet.layer_norm: axes {axes}, {len(parameters)} parameters",
        "nnet.layer_norm",
        lambda *inputs, axes=axes: T.nnet.layer_norm(*inputs, axes=axes, epsilon=EPSILON),
        _layer_norm(axes),
        (Arg((2, 3, 4), draw=lambda rng, shape: rng.normal(size=shape)), *[Arg(shape) for shape in parameters]),
        rtol=LOOSE,
        empty=(((0, 3, 4), *parameters),),
    )
    for axes, parameters in ((-1, ((4,), (4,))), ((1, 2), ((3, 4), (3, 4))), (1, ((3, 1),)), (-1, ()))
]


# --- activations --------------------------------------------------------------------------------------------------


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _wide(function: Any) -> Any:
    """A reference that is narrow for narrow integers, made wide."""
    return lambda x: function(np.asarray(x, "float64" if x.dtype.kind != "f" else x.dtype))


EMPTY = (((0,),), ((2, 0),))
INTEGERS = ("int8", "int64")
ACTIVATIONS = [
    *(
        Case(f"nnet.{name}", f"nnet.{name}", getattr(T.nnet, name), reference, integers=INTEGERS, empty=EMPTY)
        for name, reference in {
            "swish": _wide(lambda x: x * scipy.special.expit(x)),
            "silu": _wide(lambda x: x * scipy.special.expit(x)),
            "gelu": _wide(lambda x: x * scipy.special.ndtr(x)),
        }.items()
    ),
    Case(
        "nnet.gelu: far from 0",
        "nnet.gelu",
        T.nnet.gelu,
        lambda x: x * scipy.special.ndtr(x),
        (Arg((9,), -12.0, 12.0),),
    ),
    Case(
        "nnet.gelu: approximate",
        "nnet.gelu",
        lambda x: T.nnet.gelu(x, approximate=True),
        _gelu_tanh,
        (Arg((3, 4), -3.0, 3.0),),
        rtol=(1e-4, 1e-10),
    ),
    Case(
        "nnet.swish: learned beta",
        "nnet.swish",
        T.nnet.swish,
        lambda x, beta: x * scipy.special.expit(beta * x),
        (Arg((3, 4)), Arg((4,))),
    ),
    *(
        Case(
            f"nnet.leaky_relu: {label}",
            "nnet.leaky_relu",
            build,
            lambda x, alpha=alpha: np.where(x > 0, x, np.asarray(alpha, x.dtype) * x),
            (Arg(low=0.2) if label == "positive" else Arg(high=-0.2),),
            empty=EMPTY,
        )
        for label, build, alpha in (
            ("positive", T.nnet.leaky_relu, 0.01),
            ("negative", T.nnet.leaky_relu, 0.01),
            ("slope", lambda x: T.nnet.leaky_relu(x, 0.3), 0.3),
        )
    ),
    *(
        Case(
            f"nnet.maxout: axis {axis}",
            "nnet.maxout",
            lambda x, pieces=pieces, axis=axis: T.nnet.maxout(x, pieces, axis),
            lambda x, shape=shape, axis=axis: x.reshape(shape).max(axis % 3 + 1),
            (Arg((2, 6, 4)),),
            integers=("int64",),
        )
        for pieces, axis, shape in ((2, -1, (2, 6, 2, 2)), (3, 1, (2, 2, 3, 4)), (2, 0, (1, 2, 6, 4)))
    ),
]


# --- rows that are looked up --------------------------------------------------------------------------------------


def _h_softmax(x: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    classes = scipy.special.softmax(x @ W1 + b1, axis=1)
    inside = scipy.special.softmax(np.einsum("bf,cfo->bco", x, W2) + b2, axis=2)
    return (classes[:, :, None] * inside).reshape((len(x), -1))


#: Features, and weights and biases of 3 classes of 4 outputs each.
H_ARGS = (Arg((2, 5)), Arg((5, 3)), Arg((3,)), Arg((3, 5, 4)), Arg((3, 4)))


def _blocks(W: Any, h: Any, inputs: Any, b: Any, outputs: Any) -> Any:
    return np.einsum("bif,biofg->bog", h, W[inputs[:, :, None], outputs[:, None, :]]) + b[outputs]


def _confusion(actual: Any, pred: Any) -> list[Any]:
    labels = np.unique(np.concatenate([actual, pred]))
    counts = [[np.sum((actual == a) & (pred == p)) for p in labels] for a in labels]
    return [np.array(counts, dtype="int64").reshape((len(labels), len(labels))), labels]


LABELS = Arg((7,), low=-1, high=3, dtype="int32")

LOOKUPS = [
    *(
        Case(
            f"nnet.embedding: {places.shape}",
            "nnet.embedding",
            T.nnet.embedding,
            lambda W, i: W[i],
            (Arg(rows), places),
            empty=((rows, (0,)),) if len(places.shape) == 1 else (),
        )
        for rows, places in (
            ((5, 3), Arg((6,), -5, 4, "int32")),
            ((5, 3), Arg((2, 3), 0, 4, "int64")),
            ((4, 2, 2), Arg((), 0, 3, "uint8")),
        )
    ),
    Case(
        "nnet.h_softmax: all outputs",
        "nnet.h_softmax",
        lambda x, W1, b1, W2, b2: T.nnet.h_softmax(x, 2, 12, 3, 4, W1, b1, W2, b2),
        _h_softmax,
        H_ARGS,
        order=1,
    ),
    Case(
        "nnet.h_softmax: some outputs",
        "nnet.h_softmax",
        lambda x, W1, b1, W2, b2: T.nnet.h_softmax(x, x.shape[0], 10, 3, 4, W1, b1, W2, b2),
        lambda *inputs: _h_softmax(*inputs)[:, :10],
        H_ARGS,
        order=1,
    ),
    *(
        Case(
            f"nnet.h_softmax: targets {target.shape}",
            "nnet.h_softmax",
            lambda x, W1, b1, W2, b2, t: T.nnet.h_softmax(x, 2, 12, 3, 4, W1, b1, W2, b2, t),
            lambda x, W1, b1, W2, b2, t: _h_softmax(x, W1, b1, W2, b2)[[0, 1], t.reshape(-1)],
            (*H_ARGS, target),
        )
        for target in (Arg((2,), 0, 11, "int32"), Arg((2, 1), 0, 11, "int64"))
    ),
    Case(
        "nnet.sparse_block_dot",
        "nnet.sparse_block_dot",
        T.nnet.sparse_block_dot,
        _blocks,
        (Arg((3, 2, 2, 3)), Arg((2, 2, 2)), Arg((2, 2), 0, 2, "int64"), Arg((2, 3)), Arg((2, 2), 0, 1, "int64")),
    ),
    Case(
        "nnet.confusion_matrix: integers",
        "nnet.confusion_matrix",
        T.nnet.confusion_matrix,
        _confusion,
        (LABELS, LABELS),
        empty=(((0,), (0,)),),
    ),
    Case(
        "nnet.confusion_matrix: floats",
        "nnet.confusion_matrix",
        lambda a, p: T.nnet.confusion_matrix(a, p)[0],
        lambda a, p: _confusion(a, p)[0],
        (Arg((5,), draw=lambda rng, shape: rng.integers(0, 3, shape)),) * 2,
        wrt=(),
    ),
    Case(
        "nnet.prepend_scalar_to_each_row",
        "nnet.prepend_scalar_to_each_row",
        T.nnet.prepend_scalar_to_each_row,
        lambda v, x: np.concatenate([np.full((len(x), 1), v, x.dtype), x], axis=1),
        (Arg(()), Arg((3, 2))),
        empty=(((), (0, 2)),),
    ),
    *(
        Case(
            f"nnet.prepend_{n}_to_each_row",
            f"nnet.prepend_{n}_to_each_row",
            getattr(T.nnet, f"prepend_{n}_to_each_row"),
            lambda x, n=n: np.concatenate([np.full((len(x), 1), n, x.dtype), x], axis=1),
            (Arg((3, 2)),),
            integers=("int8",),
        )
        for n in (0, 1)
    ),
]

CASES: list[Case] = [*NORMALISATION, *ACTIVATIONS, *LOOKUPS]
