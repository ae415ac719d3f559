"""Update rules: from a cost, or its gradients, to the new values of parameters and of what the rule remembers of them.

Every rule takes a scalar cost, or a list with one gradient for each parameter, and the parameters, and returns a dict
from shared variables to their new values, for ``updates=`` of a function. A learning rate, or any other setting, is a
number, a scalar variable (an input or a shared variable, to be changed between steps) or a schedule. What a rule
remembers has the dtype, shape and place of its parameter, starts at zero, and is named after it.

In the formulas g is the gradient, p the parameter, and everything is elementwise; a prime marks a new value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.autodiff import grad
from tinygraph.errors import DtypeError, ShapeError, UpdateError
from tinygraph.graph import SharedVariable, Variable, shared
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.scalar import abs_, maximum, sqr, sqrt
from tinygraph.ops.transcendental import expm1, log
from tinygraph.optim.schedules import Schedule
from tinygraph.optim.settings import checked, in_dtype, located
from tinygraph.types import is_float, promote

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "apply_momentum",
    "apply_nesterov_momentum",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
]

Updates = dict[Any, Any]


# --- what every rule begins with ------------------------------------------------------------------------------------


def _begun(op: str, cost_or_grads: Any, params: Any, **settings: Any) -> tuple[list[tuple[Any, Any, Any]], Updates]:
    """Each parameter with its gradient and the settings in its dtype, and the updates so far: those of schedules."""
    known = {name: v if isinstance(v, Schedule) else checked(name, v, op) for name, v in settings.items()}
    targets = _parameters(op, params)
    gradients = _gradients(op, cost_or_grads, targets)
    by_dtype = {dtype: _settings(known, dtype) for dtype in {p.dtype for p in targets}}
    rows = [(p, g, by_dtype[p.dtype]) for p, g in zip(targets, gradients, strict=True)]
    new: Updates = {}
    for value in known.values():
        if isinstance(value, Schedule):
            new.update(value.advance())
    return rows, new


def _settings(known: Mapping[str, Any], dtype: str) -> SimpleNamespace:
    values = {k: v.value(dtype) if isinstance(v, Schedule) else in_dtype(v, dtype) for k, v in known.items()}
    if "epsilon" in values:
        # An epsilon that rounds to zero would let a gradient of zero be divided by zero.
        epsilon, least = values["epsilon"], float(np.finfo(dtype).tiny)
        values["epsilon"] = maximum(epsilon, least) if isinstance(epsilon, Variable) else max(epsilon, least)
    return SimpleNamespace(**values)


def _parameters(op: str, params: Any) -> list[Any]:
    targets = [params] if isinstance(params, Variable) else list(params)
    if not targets:
        raise located(UpdateError("there are no parameters to update", expected="at least one shared variable"), op)
    for i, target in enumerate(targets):
        if not isinstance(target, SharedVariable):
            error = UpdateError(
                f"parameter {i} is no shared variable, so it cannot be updated",
                expected="a shared variable",
                actual=f"{target} of {type(target).__name__}",
                hint="make parameters with tg.shared(…)",
            )
            raise located(error, op)
        if not is_float(target.dtype):
            error = UpdateError(
                f"parameter {target} holds no floats", expected="a float dtype", actual=str(target.type)
            )
            raise located(error, op)
        if target in targets[:i]:
            raise located(UpdateError(f"parameter {target} is listed twice", hint="list each parameter once"), op)
    return targets


def _gradients(op: str, cost_or_grads: Any, targets: Sequence[Any]) -> list[Any]:
    if not isinstance(cost_or_grads, (list, tuple)):
        return list(grad(cost_or_grads, targets))
    if len(cost_or_grads) != len(targets):
        error = UpdateError(
            "there must be one gradient for each parameter",
            expected=f"{len(targets)} gradients",
            actual=f"{len(cost_or_grads)} gradients",
        )
        raise located(error, op)
    return [_fitting(op, p, g) for p, g in zip(targets, cost_or_grads, strict=True)]


def _fitting(op: str, param: Any, gradient: Any) -> Any:
    """A given gradient as a tensor of its parameter's dtype."""
    try:
        found = as_tensor(gradient)
    except DtypeError as err:
        raise located(DtypeError(f"the gradient of {param} is no tensor", actual=repr(gradient)), op) from err
    shapes = list(zip(found.type.shape, param.type.shape, strict=False))
    if found.ndim != param.ndim or any(n is not None and m is not None and n != m for n, m in shapes):
        error = ShapeError(
            f"the gradient of {param} does not have its shape", expected=str(param.type), actual=str(found.type)
        )
        raise located(error, op)
    return cast(found, param.dtype)


def _memory(param: Any, label: str) -> Any:
    """A shared variable of zeros with the type, shape and place of a parameter."""
    shape = param.get_value(borrow=True, return_internal_type=True).shape
    zeros = arrays.get(param.backend).taken(np.zeros(shape, param.dtype))
    return type(param)(param.type, zeros, param.backend, f"{param.name} {label}" if param.name else label)


def _counter(param: Any, label: str) -> Any:
    return shared(np.zeros((), "int64"), label, backend=param.backend)


def _one_minus_power(beta: Any, t: Any) -> Any:
    """``1 - beta ** t``, without the cancellation that float32 would suffer where beta is close to 1."""
    if isinstance(beta, Variable):
        return -expm1(t * log(beta))
    return -expm1(t * (math.log(beta) if beta else -math.inf))


# --- plain steps, and momentum --------------------------------------------------------------------------------------


def sgd(cost_or_grads: Any, params: Any, learning_rate: Any = 0.01) -> Updates:
    """Gradient descent: ``p' = p - learning_rate * g``.

    Robbins & Monro (1951), A stochastic approximation method.

    Parameters
    ----------
    cost_or_grads
        A 0-d float variable, or a list of one gradient for each parameter.
    params
        A list of float shared variables, or one.
    learning_rate
        A number from 0, a scalar variable or a schedule.

    Returns
    -------
    dict
        Shared variable to new value, in order.

    Raises
    ------
    UpdateError
        If a parameter is not shared, holds no floats or comes twice, if there are more or fewer gradients than
        parameters, or if a setting is out of range.
    GradientError
        If the cost is no float scalar, or does not depend on a parameter.
    DtypeError, ShapeError
        If a setting is no number, or a gradient does not have its parameter's shape.

    >>> import tinygraph as tg
    >>> w = tg.shared(1.0, "w")
    >>> step = tg.function([], w**2, updates=tg.optim.sgd(w**2, [w], learning_rate=0.25))
    >>> [float(step()) for _ in range(3)]
    [1.0, 0.25, 0.0625]
    """
    rows, new = _begun("sgd", cost_or_grads, params, learning_rate=learning_rate)
    for p, g, s in rows:
        new[p] = p - s.learning_rate * g
    return new


def momentum(cost_or_grads: Any, params: Any, learning_rate: Any = 0.01, momentum: Any = 0.9) -> Updates:
    """Gradient descent with momentum: ``v' = momentum * v - learning_rate * g``, ``p' = p + v'``.

    Polyak (1964), Some methods of speeding up the convergence of iteration methods. The learning rate is part of the
    velocity, as Theano programs and Lasagne have it, so a change of the rate acts on new gradients only.

    Parameters
    ----------
    cost_or_grads, params, learning_rate
        As for ``sgd``, and the same errors.
    momentum
        The part of the velocity that is kept, from 0 to 1.

    >>> import tinygraph as tg
    >>> w = tg.shared(1.0, "w")
    >>> updates = tg.optim.momentum(w**2, [w], learning_rate=0.25, momentum=0.5)
    >>> [v.name for v in updates]
    ['w velocity', 'w']
    """
    rows, new = _begun("momentum", cost_or_grads, params, learning_rate=learning_rate, momentum=momentum)
    for p, g, s in rows:
        _pushed(new, p, -s.learning_rate * g, s.momentum)
    return new


def nesterov(cost_or_grads: Any, params: Any, learning_rate: Any = 0.01, momentum: Any = 0.9) -> Updates:
    """Nesterov's accelerated gradient: ``v' = momentum * v - learning_rate * g``,
    ``p' = p + momentum * v' - learning_rate * g``.

    Nesterov (1983), A method of solving a convex programming problem with convergence rate O(1/k²); as momentum in
    Sutskever et al. (2013), On the importance of initialization and momentum in deep learning. There the gradient is
    taken at p + momentum * v; here, as in Lasagne, p stands for that point, so that it is taken at p.

    Parameters
    ----------
    cost_or_grads, params, learning_rate, momentum
        As for ``momentum``, and the same errors.
    """
    rows, new = _begun("nesterov", cost_or_grads, params, learning_rate=learning_rate, momentum=momentum)
    for p, g, s in rows:
        _pushed(new, p, -s.learning_rate * g, s.momentum, ahead=True)
    return new


def _pushed(new: Updates, p: Any, step: Any, momentum: Any, ahead: bool = False) -> None:
    """Add the updates of a parameter that a step would move, and of the velocity which that step goes into."""
    v = _memory(p, "velocity")
    new[v] = momentum * v + step
    new[p] = p + momentum * new[v] + step if ahead else p + new[v]


def apply_momentum(updates: Mapping[Any, Any], params: Any = None, momentum: Any = 0.9) -> Updates:
    """Updates with momentum added: ``v' = momentum * v + (q - p)``, ``p' = p + v'``, where q was the new value of p.

    Parameters
    ----------
    updates
        As another rule returned them.
    params
        The parameters to which momentum is added; each must have an update. Default: all that ``updates`` has, which is
        right only for a rule without a memory, such as ``sgd``.
    momentum
        The part of the velocity that is kept, from 0 to 1.

    >>> import tinygraph as tg
    >>> w = tg.shared(1.0, "w")
    >>> updates = tg.optim.apply_momentum(tg.optim.adagrad(w**2, [w]), [w], momentum=0.5)
    >>> [v.name for v in updates]
    ['w sum of squares', 'w', 'w velocity']
    """
    return _applied("apply_momentum", updates, params, momentum, ahead=False)


def apply_nesterov_momentum(updates: Mapping[Any, Any], params: Any = None, momentum: Any = 0.9) -> Updates:
    """Updates with Nesterov's momentum added: ``v' = momentum * v + (q - p)``, ``p' = p + momentum * v' + (q - p)``,
    where q was the new value of p.

    Parameters
    ----------
    updates, params, momentum
        As for ``apply_momentum``.
    """
    return _applied("apply_nesterov_momentum", updates, params, momentum, ahead=True)


def _applied(op: str, updates: Mapping[Any, Any], params: Any, momentum: Any, ahead: bool) -> Updates:
    known = checked("momentum", momentum, op)
    new = dict(updates)
    for p in _parameters(op, list(new) if params is None else params):
        if p not in new:
            raise located(UpdateError(f"parameter {p} has no update to add momentum to"), op)
        _pushed(new, p, new[p] - p, in_dtype(known, p.dtype), ahead)
    return new


# --- steps scaled by past gradients ---------------------------------------------------------------------------------


def adagrad(cost_or_grads: Any, params: Any, learning_rate: Any = 0.01, epsilon: Any = 1e-6) -> Updates:
    """Adagrad: ``s' = s + g²``, ``p' = p - learning_rate * g / sqrt(s' + epsilon)``.

    Duchi, Hazan & Singer (2011), Adaptive subgradient methods for online learning and stochastic optimization. Epsilon
    is under the root, as in Lasagne.

    Parameters
    ----------
    cost_or_grads, params, learning_rate
        As for ``sgd``, and the same errors.
    epsilon
        A number from 0. It is raised to the least normal number of the parameter's dtype, so a gradient of zero moves
        nothing, whatever epsilon is.
    """
    rows, new = _begun("adagrad", cost_or_grads, params, learning_rate=learning_rate, epsilon=epsilon)
    for p, g, s in rows:
        total = _memory(p, "sum of squares")
        new[total] = total + sqr(g)
        new[p] = p - s.learning_rate * g / sqrt(new[total] + s.epsilon)
    return new


def rmsprop(
    cost_or_grads: Any,
    params: Any,
    learning_rate: Any = 0.001,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-6,
) -> Updates:
    """RMSprop: ``s' = decay * s + (1 - decay) * g²``, then a step of ``-learning_rate * g / sqrt(s' + epsilon)``.

    Tieleman & Hinton (2012), Neural networks for machine learning, lecture 6.5. Epsilon is under the root, as in Theano
    programs, Lasagne and TensorFlow 1. With momentum the step d goes into a velocity: ``v' = momentum * v + d``,
    ``p' = p + v'``; without, ``p' = p + d``.

    Parameters
    ----------
    cost_or_grads, params, learning_rate
        As for ``sgd``, and the same errors.
    decay
        The part of the mean square that is kept, from 0, below 1.
    momentum
        The part of the velocity that is kept, from 0 to 1; the number 0 keeps none, and takes no memory.
    epsilon
        As for ``adagrad``.
    """
    settings = {"learning_rate": learning_rate, "decay": decay, "momentum": momentum, "epsilon": epsilon}
    rows, new = _begun("rmsprop", cost_or_grads, params, **settings)
    for p, g, s in rows:
        mean = _memory(p, "mean square")
        new[mean] = s.decay * mean + (1 - s.decay) * sqr(g)
        step = -s.learning_rate * g / sqrt(new[mean] + s.epsilon)
        if isinstance(s.momentum, Variable) or s.momentum:
            _pushed(new, p, step, s.momentum)
        else:
            new[p] = p + step
    return new


def adadelta(
    cost_or_grads: Any, params: Any, learning_rate: Any = 1.0, rho: Any = 0.95, epsilon: Any = 1e-6
) -> Updates:
    """Adadelta: ``s' = rho * s + (1 - rho) * g²``, ``d = g * sqrt(u + epsilon) / sqrt(s' + epsilon)``,
    ``u' = rho * u + (1 - rho) * d²``, ``p' = p - learning_rate * d``.

    Zeiler (2012), Adadelta: An adaptive learning rate method, where the learning rate is 1.

    Parameters
    ----------
    cost_or_grads, params, learning_rate
        As for ``sgd``, and the same errors.
    rho
        The part of the mean squares that is kept, from 0, below 1.
    epsilon
        As for ``adagrad``; the first steps are of the size of its root.
    """
    rows, new = _begun("adadelta", cost_or_grads, params, learning_rate=learning_rate, rho=rho, epsilon=epsilon)
    for p, g, s in rows:
        mean, moved = _memory(p, "mean square"), _memory(p, "mean square step")
        new[mean] = s.rho * mean + (1 - s.rho) * sqr(g)
        step = g * sqrt(moved + s.epsilon) / sqrt(new[mean] + s.epsilon)
        new[moved] = s.rho * moved + (1 - s.rho) * sqr(step)
        new[p] = p - s.learning_rate * step
    return new


# --- Adam and its kin -----------------------------------------------------------------------------------------------


def adam(
    cost_or_grads: Any,
    params: Any,
    learning_rate: Any = 0.001,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
) -> Updates:
    """Adam: ``m' = beta1 * m + (1 - beta1) * g``, ``v' = beta2 * v + (1 - beta2) * g²``,
    ``p' = p - a * m' / (sqrt(v') + epsilon)`` with ``a = learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t)``.

    Kingma & Ba (2015), Adam: A method for stochastic optimization, in the order of computation that the end of its
    section 2 gives, as Lasagne and TensorFlow 1 have it: epsilon is added before the correction for bias. t counts the
    steps from 1, for all parameters together.

    Parameters
    ----------
    cost_or_grads, params, learning_rate
        As for ``sgd``, and the same errors.
    beta1, beta2
        The parts of the mean gradient and of the mean square that are kept, from 0, below 1.
    epsilon
        A number from 0, raised as for ``adagrad``.
    """
    return _adam("adam", cost_or_grads, params, learning_rate, beta1, beta2, epsilon)


def amsgrad(
    cost_or_grads: Any,
    params: Any,
    learning_rate: Any = 0.001,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
) -> Updates:
    """AMSGrad: Adam with ``w' = max(w, v')`` in the place of ``v'`` below the step, so that steps never grow again.

    Reddi, Kale & Kumar (2018), On the convergence of Adam and beyond. Their algorithm does not correct for bias; here,
    as in Lasagne, ``a`` and epsilon are those of ``adam``.

    Parameters
    ----------
    cost_or_grads, params, learning_rate, beta1, beta2, epsilon
        As for ``adam``, and the same errors.
    """
    return _adam("amsgrad", cost_or_grads, params, learning_rate, beta1, beta2, epsilon, greatest=True)


def adamw(
    cost_or_grads: Any,
    params: Any,
    learning_rate: Any = 0.001,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
    weight_decay: Any = 0.01,
) -> Updates:
    """AdamW: Adam's step and, apart from it, ``- learning_rate * weight_decay * p``.

    Loshchilov & Hutter (2019), Decoupled weight decay regularization. The learning rate scales the decay too, which
    the paper leaves to the schedule alone: its λ is ``learning_rate * weight_decay`` here. With a decay of 0 it is
    ``adam``.

    Parameters
    ----------
    cost_or_grads, params, learning_rate, beta1, beta2, epsilon
        As for ``adam``, and the same errors.
    weight_decay
        A number from 0. It acts on every parameter given; biases may be given to ``adam`` in another call, and the two
        dicts joined.
    """
    return _adam("adamw", cost_or_grads, params, learning_rate, beta1, beta2, epsilon, weight_decay=weight_decay)


def _adam(
    op: str,
    cost_or_grads: Any,
    params: Any,
    learning_rate: Any,
    beta1: Any,
    beta2: Any,
    epsilon: Any,
    greatest: bool = False,
    weight_decay: Any = 0.0,
) -> Updates:
    settings = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    rows, new = _begun(op, cost_or_grads, params, **settings, weight_decay=weight_decay)
    t = _counter(rows[0][0], f"{op} step count")
    new[t] = t + 1
    scales: dict[str, Any] = {}
    for p, g, s in rows:
        if p.dtype not in scales:
            count = cast(new[t], promote(p.dtype, "float32"))
            bias = sqrt(_one_minus_power(s.beta2, count)) / _one_minus_power(s.beta1, count)
            scales[p.dtype] = s.learning_rate * cast(bias, p.dtype)
        m, v = _memory(p, "mean gradient"), _memory(p, "mean square")
        new[m] = s.beta1 * m + (1 - s.beta1) * g
        new[v] = square = s.beta2 * v + (1 - s.beta2) * sqr(g)
        if greatest:
            w = _memory(p, "greatest mean square")
            new[w] = square = maximum(w, new[v])
        moved = p - scales[p.dtype] * new[m] / (sqrt(square) + s.epsilon)
        decays = isinstance(s.weight_decay, Variable) or s.weight_decay
        new[p] = moved - s.learning_rate * s.weight_decay * p if decays else moved
    return new


def adamax(
    cost_or_grads: Any,
    params: Any,
    learning_rate: Any = 0.002,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
) -> Updates:
    """Adamax: ``m' = beta1 * m + (1 - beta1) * g``, ``u' = max(beta2 * u, |g|)``,
    ``p' = p - learning_rate / (1 - beta1**t) * m' / (u' + epsilon)``.

    Kingma & Ba (2015), Adam: A method for stochastic optimization, section 7.1. Epsilon, which the paper does not have,
    is added as in Lasagne, for gradients that have been zero from the start.

    Parameters
    ----------
    cost_or_grads, params, learning_rate, beta1, beta2, epsilon
        As for ``adam``, and the same errors; beta2 is that of the greatest gradient.
    """
    settings = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    rows, new = _begun("adamax", cost_or_grads, params, **settings)
    t = _counter(rows[0][0], "adamax step count")
    new[t] = t + 1
    for p, g, s in rows:
        count = cast(new[t], promote(p.dtype, "float32"))
        m, u = _memory(p, "mean gradient"), _memory(p, "greatest gradient")
        new[m] = s.beta1 * m + (1 - s.beta1) * g
        new[u] = maximum(s.beta2 * u, abs_(g))
        bias = cast(_one_minus_power(s.beta1, count), p.dtype)
        new[p] = p - s.learning_rate / bias * new[m] / (new[u] + s.epsilon)
    return new
