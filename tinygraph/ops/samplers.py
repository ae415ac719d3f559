"""Operations that draw random numbers: pure functions of a state, a shape and the parameters of a distribution.

What a state is says ``philox``. The same state gives the same numbers; whoever draws takes the next state afterwards.
Parameters are 0-d, or have the shape of the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError, TinygraphError
from tinygraph.graph import Constant, Op
from tinygraph.ops import rejection
from tinygraph.ops.axes import located
from tinygraph.ops.implicit import LogGammaSlope
from tinygraph.ops.layout import BroadcastTo, ints, sum_to_like
from tinygraph.ops.philox import places, quantiles, uniforms, words, words_at
from tinygraph.ops.scalar import mul
from tinygraph.types import Abstract, TensorType, shape_text

__all__ = [
    "Binomial",
    "Categorical",
    "InDomain",
    "Integers",
    "LogGamma",
    "Multinomial",
    "Normal",
    "ParameterError",
    "Poisson",
    "Uniform",
    "WithoutReplacement",
    "in_domain",
]

Vjp = Sequence[Any]

#: Elements whose variates are made together on a CPU, which bounds the memory for what is in between.
_TOGETHER = 1 << 16


class ParameterError(TinygraphError, ValueError):
    """A parameter that its distribution does not have."""


# --- parameters ---------------------------------------------------------------------------------------------------


class InDomain(Op):
    """The tensor itself, whose elements must lie between two bounds; infinity and NaN do not."""

    what: str
    low: float
    high: float
    above: bool

    view = True
    structural = True

    @property
    def name(self) -> str:
        return f"check of {self.what}"

    def infer(self, x: Abstract) -> Abstract:
        return x

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any) -> Any:
        self.check(x)
        return x

    def check(self, x: Any) -> None:
        """Raise ParameterError unless all elements of this array are in the domain."""
        good = (x > self.low) if self.above else (x >= self.low)
        good &= (x < self.high) if math.isinf(self.high) else (x <= self.high)
        if not bool(good.all()):
            raise ParameterError(
                f"the distribution has no such parameter {self.what}",
                expected=f"{self.low:g} {'<' if self.above else '<='} {self.what}"
                + (" < inf" if math.isinf(self.high) else f" <= {self.high:g}"),
                actual=f"{x[~good].reshape(-1)[0]}",
            )

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [cotangents[0]]


def in_domain(x: Any, op: str, what: str, low: float, high: float = math.inf, above: bool = False) -> Any:
    """A tensor whose elements are checked to lie between bounds: a constant at once, others when the function runs.

    Parameters
    ----------
    x
        A tensor.
    op, what
        Names of the distribution and of its parameter, for errors.
    low, high
        The bounds, which are included unless infinite; ``above`` excludes ``low``.
    """
    domain = InDomain(what, low, high, above)
    if not isinstance(x, Constant):
        return domain(x)
    try:
        domain.check(x.data)
    except ParameterError as err:
        raise located(err, op) from None
    return x


def _rows_of(p: Any) -> Any:
    """Weights of categories as float64 of shape (rows, categories); one row where p is a vector."""
    p = p.astype("float64").reshape(math.prod(p.shape[:-1]), p.shape[-1])
    if not bool(((p >= 0) & (p < math.inf)).all()):
        raise ParameterError("weights of categories are finite and not negative", actual=f"{p[~(p >= 0)].tolist()[:1]}")
    return p


def _check_sums(total: Any, tolerance: float) -> None:
    wrong = abs(total - 1) > tolerance
    if bool(wrong.any()):
        raise ParameterError(
            "probabilities of categories must add up to 1",
            expected=f"1 within {tolerance:.1g}",
            actual=f"{float(total[wrong].reshape(-1)[0]):.9g}",
            hint="divide them by their sum",
        )


def _tolerance(dtype: str) -> float:
    """How far from 1 the sum of probabilities of a dtype may be: the root of its precision, as in NumPy."""
    return {"float16": 2.0**-5, "float32": 2.0**-11.5}.get(dtype, 2.0**-26)


# --- one number for each element ----------------------------------------------------------------------------------


class Sampler(Op):
    """Base: the inputs are a state, a shape and parameters."""

    dtype: str

    host = (1,)

    def infer(self, state: Abstract, size: Abstract, *params: Abstract) -> TensorType:
        extents = _sampled_shape(state, size)
        for param in params:
            if param.ndim and not _agree(param.shape, extents):
                raise ShapeError(
                    "a parameter needs the shape of the result",
                    expected=shape_text(extents),
                    actual=shape_text(param.shape),
                )
        return TensorType(self.dtype, extents)

    def shape_like(self, inputs: Vjp) -> Any:
        return BroadcastTo().shape_like(inputs)  # it has its shape in the same place

    def compute(self, xp: Any, state: Any, size: Any, *params: Any) -> Any:
        shape = ints(size)
        flat = [p.reshape(-1) if p.ndim else p for p in params]
        return self.draw(xp, state, math.prod(shape), *flat).astype(self.dtype, copy=False).reshape(shape)

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        """A vector of ``count`` numbers; parameters are 0-d or as long."""
        raise NotImplementedError

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [None] * len(inputs)


def _sampled_shape(state: Abstract, size: Abstract) -> tuple[int | None, ...]:
    if state.dtype != "uint64" or state.shape not in ((2,), (None,)):
        raise DtypeError("the state of a random stream has 2 entries", expected="uint64 (2,)", actual=str(state.type))
    extents = size.extents()
    if any(n is not None and n < 0 for n in extents):
        raise ShapeError("an extent is at least 0", actual=shape_text(extents))
    return extents


def _agree(shape: Sequence[int | None], extents: Sequence[int | None]) -> bool:
    return len(shape) == len(extents) and all(n == m or None in (n, m) for n, m in zip(shape, extents, strict=True))


def _variates(xp: Any, state: Any, count: int, method: Callable[..., Any], params: Sequence[Any]) -> Any:
    """``method`` of all places, a part at a time."""
    out = xp.empty(count, dtype="float64")
    wide = [p.astype("float64", copy=False) for p in params]
    start = 0
    for place in places(xp, count, _TOGETHER):
        part = slice(start, start + place.size)
        out[part] = method(xp, state, place, *[p[part] if p.ndim else xp.broadcast_to(p, place.shape) for p in wide])
        start += place.size
    return out


class Uniform(Sampler):
    """Uniform between 0 and 1, both excluded."""

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        return uniforms(xp, state, count, self.dtype)


class Normal(Sampler):
    """Normal with mean 0 and standard deviation 1 before it is truncated at plus and minus ``bound``."""

    bound: float

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        inverse = xp.special.ndtri
        if math.isinf(self.bound):
            return quantiles(xp, state, count, self.dtype, inverse)
        outside = 0.5 * math.erfc(self.bound / math.sqrt(2))
        return quantiles(xp, state, count, self.dtype, lambda u: inverse(outside + (1 - 2 * outside) * u))


class Integers(Sampler):
    """Integers from the third input to the fourth, both included, all equally likely."""

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        low, high = params
        if bool((high < low).any()):
            raise ParameterError("a range of integers must not be empty", expected="low <= high", actual="high < low")
        first = low.astype("uint64")
        span = high.astype("uint64") - first + 1  # 0 stands for all 2 ** 64
        # The first of the 2 ** 64 words are left out, so that as many as remain fall on each integer.
        least = (0 - span) % xp.maximum(span, 1)
        out = words(xp, state, count)
        start = 0
        for place in places(xp, count, _TOGETHER):
            part = slice(start, start + place.size)
            mine = [p[part] if p.ndim else p for p in (span, least, first)]
            out[part] = _in_range(xp, state, place, out[part], *mine)
            start += place.size
        return out.astype("int64")


def _in_range(xp: Any, state: Any, place: Any, bits: Any, span: Any, least: Any, first: Any) -> Any:
    """Words as integers, evenly, from ``first`` on; words that would make some more likely are drawn again."""
    out, over = _scaled(xp, bits, span)
    waiting = xp.nonzero(over < least)[0]
    for attempt in itertools.count(1):
        if not waiting.size:
            break
        bits = words_at(xp, state, place[waiting], attempt)[0]
        out[waiting], over = _scaled(xp, bits, _at(span, waiting))
        waiting = waiting[over < _at(least, waiting)]
    return out + first


def _at(param: Any, index: Any) -> Any:
    return param[index] if param.ndim else param


def _scaled(xp: Any, bits: Any, span: Any) -> tuple[Any, Any]:
    """The high and the low half of a product of 64-bit integers; for ``span`` 0, which is 2 ** 64, the bits and 0."""
    mask = 0xFFFFFFFF
    high, low = bits >> 32, bits & mask
    wide, narrow = span >> 32, span & mask
    across, along = high * narrow, low * wide
    carry = ((low * narrow) >> 32) + (across & mask) + (along & mask)
    out = high * wide + (across >> 32) + (along >> 32) + (carry >> 32)
    return xp.where(span == 0, bits, out), bits * span


class Binomial(Sampler):
    """Successes among as many trials as the third input says, with the probability that the fourth says."""

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        return _variates(xp, state, count, rejection.binomial, params)


class Poisson(Sampler):
    """Counts whose mean is the third input."""

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        return _variates(xp, state, count, rejection.poisson, params)


class LogGamma(Sampler):
    """Logarithms of gamma variates whose shape parameter is the third input, of the same dtype.

    The gradient is that along a fixed quantile.
    """

    def draw(self, xp: Any, state: Any, count: int, *params: Any) -> Any:
        return _variates(xp, state, count, rejection.log_gamma, params)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        a, (out,), (g,) = inputs[2], outputs, cotangents
        return [None, None, lambda: sum_to_like(mul(g, LogGammaSlope(1)(a, out)), a, out)]


# --- categories ---------------------------------------------------------------------------------------------------


class Categorical(Sampler):
    """Numbers of categories, whose probabilities are the rows of the third input: one row, or one for each element."""

    def infer(self, state: Abstract, size: Abstract, *params: Abstract) -> TensorType:
        extents = _sampled_shape(state, size)
        _check_rows(params[0], extents)
        return TensorType(self.dtype, extents)

    def compute(self, xp: Any, state: Any, size: Any, *params: Any) -> Any:
        shape = ints(size)
        count = math.prod(shape)
        below = xp.cumsum(_rows_of(params[0]), axis=-1)
        total = below[:, -1:]
        _check_sums(total, _tolerance(params[0].dtype.name))
        # Rounding must not lead beyond the last category that has a probability.
        reached = xp.minimum(uniforms(xp, state, count, "float64")[:, None] * total, xp.nextafter(total, 0.0))
        if len(below) == 1:
            out = xp.searchsorted(below[0], reached[:, 0], side="right")
        else:
            out = xp.sum(below <= reached, axis=-1)
        return out.astype(self.dtype, copy=False).reshape(shape)


class Multinomial(Sampler):
    """How often each category comes up in as many draws as the third input says; the fourth holds probabilities."""

    def infer(self, state: Abstract, size: Abstract, *params: Abstract) -> TensorType:
        extents = _sampled_shape(state, size)
        n, p = params
        Sampler.infer(self, state, size, n)
        _check_rows(p, extents)
        return TensorType(self.dtype, (*extents, p.shape[-1]))

    def shape_like(self, inputs: Vjp) -> Any:
        return None

    def compute(self, xp: Any, state: Any, size: Any, *params: Any) -> Any:
        shape = ints(size)
        count = math.prod(shape)
        n, p = params
        p = _rows_of(p)
        rest = xp.cumsum(p[:, ::-1], axis=-1)[:, ::-1]
        _check_sums(rest[:, :1], _tolerance(params[1].dtype.name))
        share = xp.minimum(p / xp.where(rest > 0, rest, 1.0), 1.0)
        categories = p.shape[-1]
        out = xp.zeros((count, categories), dtype="float64")
        left = xp.broadcast_to(n.reshape(-1) if n.ndim else n, (count,)).astype("float64")
        # The count of each category is binomial given those before it.
        for j in range(categories - 1):
            for place in places(xp, count, _TOGETHER):
                part = slice(int(place[0]), int(place[0]) + place.size)
                chance = share[part, j] if len(share) > 1 else xp.broadcast_to(share[0, j], place.shape)
                out[part, j] = rejection.binomial(xp, state, place * categories + j, left[part], chance)
            left -= out[:, j]
        out[:, -1] = left
        return out.astype(self.dtype).reshape(*shape, categories)


class WithoutReplacement(Sampler):
    """Numbers of distinct categories along the last axis, drawn one after the other with probabilities in proportion to
    the weights of those that remain; the third input holds rows of weights.
    """

    def infer(self, state: Abstract, size: Abstract, *params: Abstract) -> TensorType:
        extents = _sampled_shape(state, size)
        _check_rows(params[0], extents[:-1])
        k, n = extents[-1], params[0].shape[-1]
        if k is not None and n is not None and k > n:
            raise _too_few(k, n)
        return TensorType(self.dtype, extents)

    def compute(self, xp: Any, state: Any, size: Any, *params: Any) -> Any:
        shape = ints(size)
        count = math.prod(shape[:-1])
        p = _rows_of(params[0])
        possible = xp.sum(p > 0, axis=-1)
        if bool((possible < shape[-1]).any()):
            raise _too_few(shape[-1], int(possible.min()))
        # The categories in the order of exponential waiting times.
        times = -xp.log(uniforms(xp, state, count * p.shape[-1], "float64")).reshape(count, p.shape[-1]) / p
        order = xp.argsort(times, axis=-1)[:, : shape[-1]]
        return order.astype(self.dtype, copy=False).reshape(shape)


def _check_rows(p: Abstract, extents: Sequence[int | None]) -> None:
    if p.ndim != 1 and (p.ndim == 0 or not _agree(p.shape[:-1], extents)):
        raise ShapeError(
            "probabilities are given as one row, or as one for each draw",
            expected=f"{shape_text((*extents, None))}, or one row",
            actual=shape_text(p.shape),
        )
    if p.shape[-1] == 0:
        raise ShapeError("there is nothing to choose from", expected="at least one category", actual="0")


def _too_few(k: int, n: int) -> ParameterError:
    return ParameterError(
        "there are not enough categories to draw from without replacement",
        expected=f"at least {k} of positive weight",
        actual=f"{n}",
    )
