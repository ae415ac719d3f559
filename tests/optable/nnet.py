"""Op table: activations and losses of neural networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES"]

#: Away from the kink at 0.
POSITIVE, NEGATIVE = Arg(low=0.2, high=2.0), Arg(low=-2.0, high=-0.2)
PROBABILITIES = Arg((3, 4), low=0.05, high=0.95)
LOGITS = Arg((3, 4), low=-3.0, high=3.0)
PLACES = Arg((3,), low=0, high=3, dtype="int32")
#: ((float32), (float64)): cancellation in the references.
LOOSE = (5e-5, 1e-9)


def activation(name: str, reference: Callable[..., Any], *args: Arg, label: str = "", **fields: Any) -> list[Case]:
    """An elementwise function, in each of several domains."""
    function = getattr(T.nnet, name)
    fields.setdefault("empty", (((0,),), ((2, 0),)))
    return [
        Case(f"nnet.{name}: {label}{arg.low} to {arg.high}", f"nnet.{name}", function, reference, (arg,), **fields)
        for arg in args or (Arg((3, 4), -4.0, 4.0),)
    ]


def _ultra_fast(x: Any) -> Any:
    half = np.abs(0.5 * x)
    steep, line = 1.5 * half / (1 + half), 0.935409070603099 + 0.0458812946797165 * (half - 1.7)
    tanh = np.where(half < 1.7, steep, np.where(half < 3, line, 0.99505475368673))
    return 0.5 * (1 + np.sign(x) * tanh)


def _elu(x: Any, alpha: float = 1.0) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that is narrow for narrow integers, made wide."""
    return lambda x, **how: function(np.asarray(x, "float64"), **how)


def _one_row(function: Callable[..., Any]) -> Callable[..., Any]:
    """Theano's promise for a vector: a matrix of one row."""
    return lambda x: function(x, axis=-1)[None, :]


ACTIVATIONS = [
    *activation("sigmoid", in_float64(scipy.special.expit), integers=("int8", "int64")),
    *activation("softplus", in_float64(lambda x: np.logaddexp(0, x)), integers=("int8", "int64")),
    *activation("softsign", lambda x: x / (1 + np.abs(x)), POSITIVE, NEGATIVE),
    *activation("ultra_fast_sigmoid", _ultra_fast, Arg(low=-3.3, high=3.3), Arg(low=3.5, high=5.9)),
    *activation("ultra_fast_sigmoid", _ultra_fast, Arg(low=6.1, high=20.0), Arg(low=-9.0, high=-6.1)),
    *activation("hard_sigmoid", lambda x: np.clip(0.2 * x + 0.5, 0, 1), Arg(low=-2.4, high=2.4), Arg(low=2.6, high=4)),
    *activation("relu", lambda x: np.maximum(x, 0), POSITIVE, NEGATIVE),
    *activation("elu", _elu, POSITIVE, NEGATIVE),
    *activation("selu", lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772), POSITIVE, NEGATIVE),
    *(
        Case(
            f"nnet.relu: alpha {alpha}, {arg.low} to {arg.high}",
            "nnet.relu",
            lambda x, alpha=alpha: T.nnet.relu(x, alpha),
            lambda x, alpha=alpha: np.where(x > 0, x, alpha * x),
            (arg,),
        )
        for alpha in (0.1, 1, 2.0, -0.5)
        for arg in (POSITIVE, NEGATIVE)
    ),
    *(
        Case(
            f"nnet.relu: learned alpha, {arg.low} to {arg.high}",
            "nnet.relu",
            T.nnet.relu,
            lambda x, alpha: np.where(x > 0, x, alpha * x),
            (arg, Arg((4,), 0.1, 0.9)),
        )
        for arg in (POSITIVE, NEGATIVE)
    ),
    Case("nnet.elu: alpha 0.5", "nnet.elu", lambda x: T.nnet.elu(x, 0.5), lambda x: _elu(x, 0.5), (NEGATIVE,)),
]


def _softmaxes(name: str, reference: Callable[..., Any]) -> list[Case]:
    function = getattr(T.nnet, name)
    long = f"nnet.{name}"
    cases = [
        Case(f"{long}: vector", long, function, _one_row(reference), (Arg((4,)),), integers=("int8", "int64")),
        Case(
            f"{long}: matrix",
            long,
            function,
            lambda x: reference(x, axis=1) if x.size else x,
            (LOGITS,),
            integers=("int8", "int64"),
            empty=(((0, 3),), ((3, 0),)),
        ),
        Case(f"{long}: third order", long, function, lambda x: reference(x, axis=1), (Arg((1, 3)),), order=3),
        Case(f"{long}: large", long, function, lambda x: reference(x, axis=1), (Arg((2, 4), 9.99e3, 1e4),)),
        Case(f"{long}: 3-d", long, function, lambda x: reference(x, axis=-1), (Arg((2, 3, 2)),)),
    ]
    cases += [
        Case(
            f"{long}: axis {axis}",
            long,
            lambda x, axis=axis: function(x, axis=axis),
            lambda x, axis=axis: reference(x, axis=axis),
            (Arg((2, 3, 2)),),
        )
        for axis in (0, 1, -1)
    ]
    cases.append(
        Case(
            f"{long}: vector, axis 0", long, lambda x: function(x, axis=0), lambda x: reference(x, axis=0), (Arg((4,)),)
        )
    )
    return cases


SOFTMAX = [
    *_softmaxes("softmax", in_float64(scipy.special.softmax)),
    *_softmaxes("logsoftmax", in_float64(scipy.special.log_softmax)),
    Case(
        "nnet.softmax_with_bias",
        "nnet.softmax_with_bias",
        T.nnet.softmax_with_bias,
        lambda x, b: scipy.special.softmax(x + b, axis=1),
        (LOGITS, Arg((4,))),
    ),
]


def _at(x: Any, places: Any) -> Any:
    return np.take_along_axis(x, places[..., None], axis=-1)[..., 0]


def _nll(x: Any, places: Any) -> Any:
    return -_at(scipy.special.log_softmax(x, axis=-1), places)


def _softmax(x: Any) -> Any:
    return scipy.special.softmax(x, axis=-1)


def _one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def loss(name: str, label: str, reference: Callable[..., Any], *args: Arg, **fields: Any) -> Case:
    return Case(f"nnet.{name}: {label}", f"nnet.{name}", getattr(T.nnet, name), reference, args, **fields)


def _binary(p: Any, t: Any) -> Any:
    return -(t * np.log(p) + (1 - t) * np.log1p(-p))


def _with_logits(x: Any, t: Any) -> Any:
    return np.logaddexp(0, -np.abs(x)) + x * ((x > 0) - np.asarray(t, "float64"))


CATEGORICAL = lambda p, t: -np.sum(t * np.log(p), axis=-1)  # noqa: E731
LOGIT_ROWS = lambda x, t: -np.sum(t * scipy.special.log_softmax(x, axis=-1), axis=-1)  # noqa: E731
TENSOR, TENSOR_PLACES = Arg((2, 3, 4), 0.05, 0.95), Arg((2, 3), low=0, high=3, dtype="int64")

LOSSES = [
    loss("binary_crossentropy", "probabilities", _binary, PROBABILITIES, Arg((3, 4), 0.0, 1.0), rtol=LOOSE),
    loss("binary_crossentropy", "integers", _binary, PROBABILITIES, Arg((3, 4), 0, 1, "int32"), rtol=LOOSE),
    loss("binary_crossentropy", "bools", _binary, PROBABILITIES, Arg((3, 4), dtype="bool"), rtol=LOOSE),
    loss("sigmoid_binary_crossentropy", "probabilities", _with_logits, LOGITS, Arg((3, 4), 0.0, 1.0), rtol=LOOSE),
    loss("sigmoid_binary_crossentropy", "integers", _with_logits, LOGITS, Arg((3, 4), 0, 1, "int32"), rtol=LOOSE),
    loss("sigmoid_binary_crossentropy", "large", _with_logits, Arg((9,), -1e4, 1e4), Arg((9,), dtype="bool")),
    loss("categorical_crossentropy", "places", lambda p, t: -np.log(_at(p, t)), PROBABILITIES, PLACES, rtol=LOOSE),
    loss("categorical_crossentropy", "rows", CATEGORICAL, PROBABILITIES, Arg((3, 4), 0.0, 1.0), rtol=LOOSE),
    loss("categorical_crossentropy", "one-hot", CATEGORICAL, PROBABILITIES, Arg(dtype="int8", draw=_one_hot)),
    loss("categorical_crossentropy", "3-d", lambda p, t: -np.log(_at(p, t)), TENSOR, TENSOR_PLACES, rtol=LOOSE),
    loss("categorical_crossentropy", "vector", CATEGORICAL, Arg((4,), 0.05, 0.95), Arg((4,), 0.0, 1.0)),
    loss("crossentropy_categorical_1hot", "places", lambda p, t: -np.log(_at(p, t)), PROBABILITIES, PLACES, rtol=LOOSE),
    loss("softmax_cross_entropy_with_logits", "places", _nll, LOGITS, PLACES, rtol=LOOSE),
    loss("softmax_cross_entropy_with_logits", "rows", LOGIT_ROWS, LOGITS, Arg((3, 4), 0.0, 1.0), rtol=LOOSE),
    loss("softmax_cross_entropy_with_logits", "one-hot", LOGIT_ROWS, LOGITS, Arg(dtype="int32", draw=_one_hot)),
    loss("softmax_cross_entropy_with_logits", "3-d", _nll, Arg((2, 3, 4)), TENSOR_PLACES, rtol=LOOSE),
    loss("softmax_cross_entropy_with_logits", "large", _nll, Arg((3, 4), -1e4, 1e4), PLACES),
    loss("crossentropy_softmax_1hot", "", lambda x, t: [_nll(x, t), _softmax(x)], LOGITS, PLACES, rtol=LOOSE),
    loss(
        "crossentropy_softmax_1hot_with_bias",
        "",
        lambda x, b, t: [_nll(x + b, t), _softmax(x + b)],
        LOGITS,
        Arg((4,)),
        PLACES,
        rtol=LOOSE,
    ),
    loss(
        "crossentropy_softmax_argmax_1hot_with_bias",
        "",
        lambda x, b, t: [_nll(x + b, t), _softmax(x + b), np.argmax(x + b, axis=1)],
        LOGITS,
        Arg((4,)),
        PLACES,
        rtol=LOOSE,
    ),
    loss(
        "crossentropy_softmax_max_and_argmax_1hot",
        "",
        lambda x, t: [_nll(x, t), _softmax(x), np.max(_softmax(x), axis=1), np.argmax(x, axis=1)],
        LOGITS,
        PLACES,
        rtol=LOOSE,
    ),
    loss(
        "crossentropy_softmax_max_and_argmax_1hot_with_bias",
        "",
        lambda x, b, t: [_nll(x + b, t), _softmax(x + b), np.max(_softmax(x + b), axis=1), np.argmax(x + b, axis=1)],
        LOGITS,
        Arg((4,)),
        PLACES,
        rtol=LOOSE,
    ),
]

CASES: list[Case] = [*ACTIVATIONS, *SOFTMAX, *LOSSES]
