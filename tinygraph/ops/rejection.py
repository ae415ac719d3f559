"""Binomial, Poisson and gamma variates: inversion for small means, otherwise rejection.

Every element has its own counters, numbered by its place and the attempt, so no element's value depends on how often
another one was rejected. All vectors here are float64; all parameters are vectors as long as ``place``.

The methods: W. Hörmann, "The generation of binomial random variates" and "The transformed rejection method for
generating Poisson random variables" (1993); G. Marsaglia and W. Tsang, "A simple method for generating gamma
variables" (2000).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from tinygraph.ops.philox import pairs

__all__ = ["binomial", "log_gamma", "poisson"]

#: Means from which on the transformed rejection methods hold.
_LARGE = 10.0

#: Probabilities below this do not matter beside uniform numbers of 52 bits.
_NEGLIGIBLE = 2.0**-64


def _accepted(
    xp: Any,
    state: Any,
    place: Any,
    propose: Callable[..., Any],
    params: Sequence[Any],
    decide: Callable[..., Any] | None = None,
    first: int = 0,
) -> Any:
    """The first accepted proposal of every place.

    Parameters
    ----------
    propose
        From two uniform vectors and the parameters to values, and where they are accepted.
    params
        Vectors.
    decide
        Where it is given, ``propose`` also returns where values are possible, and this, from values, the uniform
        vectors and the parameters, says which of those that are possible but not accepted yet are accepted.
    first
        Number of the first attempt.
    """
    out = xp.empty(place.size, dtype="float64")
    waiting = xp.arange(place.size)
    for attempt in itertools.count(first):
        mine = [p[waiting] for p in params]
        u, v = pairs(xp, state, place[waiting], attempt)
        values, good, *possible = propose(u, v, *mine)
        if decide is not None:
            open_ = xp.nonzero(possible[0] & ~good)[0]
            good[open_] = decide(values[open_], u[open_], v[open_], *[p[open_] for p in mine])
        out[waiting[good]] = values[good]
        waiting = waiting[~good]
        if not waiting.size:
            break
    return out


def _inverted(xp: Any, u: Any, probability: Any, ratio: Callable[..., Any], params: Sequence[Any]) -> Any:
    """How many of the probabilities p(0), p(1) … are used up before their sum reaches ``u``.

    ``probability`` is p(0), and ``ratio(k, *params)`` is p(k + 1) / p(k).
    """
    out = xp.zeros(u.size, dtype="float64")
    beyond = u > probability
    waiting, rest, probability = xp.nonzero(beyond)[0], (u - probability)[beyond], probability[beyond]
    for k in itertools.count():
        if not waiting.size:
            break
        params = [p[beyond] for p in params]
        out[waiting] += 1
        probability = probability * ratio(k, *params)
        beyond = (rest > probability) & (probability > _NEGLIGIBLE)
        waiting, rest, probability = waiting[beyond], (rest - probability)[beyond], probability[beyond]
    return out


def _by_mean(
    xp: Any, state: Any, place: Any, mean: Any, small: Callable[..., Any], large: Callable[..., Any], params: Any
) -> Any:
    """``small`` of the elements whose mean is small, ``large`` of the others."""
    out = xp.empty(place.size, dtype="float64")
    for method, mask in ((small, mean < _LARGE), (large, mean >= _LARGE)):
        chosen = xp.nonzero(mask)[0]
        if chosen.size:
            out[chosen] = method(xp, state, place[chosen], *[p[chosen] for p in params])
    return out


def _stirling_rest(xp: Any, k: Any) -> Any:
    """log k! less (k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2."""
    n = k + 1
    near = xp.minimum(n, 64.0)
    exact = xp.special.gammaln(near) - ((near - 0.5) * xp.log(near) - near + 0.5 * math.log(2 * math.pi))
    square = n * n
    series = (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / n
    return xp.where(n < 64, exact, series)


def _deviance(xp: Any, x: Any, mean: Any) -> Any:
    """x log(x / mean) + mean - x, without large terms that cancel."""
    beyond = x - mean
    return x * xp.log1p(beyond / mean) - beyond


# --- binomial -----------------------------------------------------------------------------------------------------


def binomial(xp: Any, state: Any, place: Any, n: Any, p: Any) -> Any:
    """Successes among ``n`` trials of probability ``p``."""
    flipped = p > 0.5
    rarer = xp.where(flipped, 1 - p, p)
    out = _by_mean(xp, state, place, n * rarer, _few_successes, _many_successes, (n, rarer))
    return xp.where(flipped, n - out, out)


def _few_successes(xp: Any, state: Any, place: Any, n: Any, p: Any) -> Any:
    u, _ = pairs(xp, state, place, 0)
    odds = p / (1 - p)
    return _inverted(xp, u, xp.exp(n * xp.log1p(-p)), lambda k, n, odds: (n - k) / (k + 1) * odds, (n, odds))


def _many_successes(xp: Any, state: Any, place: Any, n: Any, p: Any) -> Any:
    deviation = xp.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * deviation
    expected = (n + 2) * p

    def log_probability(k: Any, n: Any, expected: Any) -> Any:
        """Less a constant, by Stirling's formula."""
        hits, misses = k + 1, n - k + 1
        out = 0.5 * xp.log(hits * misses) - _stirling_rest(xp, k) - _stirling_rest(xp, n - k)
        return out - _deviance(xp, hits, expected) - _deviance(xp, misses, n + 2 - expected)

    mode = xp.floor((n + 1) * p)
    peak = log_probability(mode, n, expected)

    def propose(u: Any, v: Any, n: Any, p: Any, a: Any, b: Any, *_: Any) -> Any:
        left = 0.5 - xp.abs(u - 0.5)
        k = xp.floor((2 * a / left + b) * (u - 0.5) + n * p + 0.5)
        possible = (k >= 0) & (k <= n)
        return k, possible & (left >= 0.07) & (v <= 0.92 - 4.2 / b), possible

    def decide(k: Any, u: Any, v: Any, n: Any, p: Any, a: Any, b: Any, alpha: Any, expected: Any, peak: Any) -> Any:
        left = 0.5 - xp.abs(u - 0.5)
        return xp.log(v * alpha / (a / (left * left) + b)) <= log_probability(k, n, expected) - peak

    return _accepted(xp, state, place, propose, (n, p, a, b, alpha, expected, peak), decide)


# --- Poisson ------------------------------------------------------------------------------------------------------


def poisson(xp: Any, state: Any, place: Any, mean: Any) -> Any:
    """Counts of mean ``mean``."""
    return _by_mean(xp, state, place, mean, _few_events, _many_events, (mean,))


def _few_events(xp: Any, state: Any, place: Any, mean: Any) -> Any:
    u, _ = pairs(xp, state, place, 0)
    return _inverted(xp, u, xp.exp(-mean), lambda k, mean: mean / (k + 1), (mean,))


def _many_events(xp: Any, state: Any, place: Any, mean: Any) -> Any:
    b = 0.931 + 2.53 * xp.sqrt(mean)
    a = -0.059 + 0.02483 * b
    weight = 1.1239 + 1.1328 / (b - 3.4)

    def propose(u: Any, v: Any, mean: Any, a: Any, b: Any, weight: Any) -> Any:
        left = 0.5 - xp.abs(u - 0.5)
        k = xp.floor((2 * a / left + b) * (u - 0.5) + mean + 0.43)
        possible = (k >= 0) & ((left >= 0.013) | (v <= left))
        return k, possible & (left >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2)), possible

    def decide(k: Any, u: Any, v: Any, mean: Any, a: Any, b: Any, weight: Any) -> Any:
        left = 0.5 - xp.abs(u - 0.5)
        # log of the probability: -mean + k log(mean) - log k!, by Stirling's formula
        bound = 0.5 * xp.log((k + 1) / (2 * math.pi)) - xp.log(mean) - _deviance(xp, k + 1, mean)
        return xp.log(v * weight / (a / (left * left) + b)) <= bound - _stirling_rest(xp, k)

    return _accepted(xp, state, place, propose, (mean, a, b, weight), decide)


# --- gamma --------------------------------------------------------------------------------------------------------


def log_gamma(xp: Any, state: Any, place: Any, shape: Any) -> Any:
    """Logarithms of gamma variates of scale 1; they stay finite where the variate itself is too small for a float."""
    low = shape < 1
    d = xp.where(low, shape + 1, shape) - 1 / 3
    c = 1 / (3 * xp.sqrt(d))

    def propose(u: Any, v: Any, d: Any, c: Any) -> Any:
        x = xp.special.ndtri(u)
        root = 1 + c * x
        inside = root > 0
        log_cube = 3 * xp.log(xp.where(inside, root, 1.0))
        good = xp.log(v) < 0.5 * x * x + d * (1 - root * root * root + log_cube)
        return xp.log(d) + log_cube, inside & good

    out = _accepted(xp, state, place, propose, (d, c), first=1)
    lowered = xp.nonzero(low)[0]
    if lowered.size:  # a variate of shape + 1, times a uniform number to the power 1 / shape
        u, _ = pairs(xp, state, place[lowered], 0)
        out[lowered] += xp.log(u) / shape[lowered]
    return out
