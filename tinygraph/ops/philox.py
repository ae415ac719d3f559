"""Philox 4x32-10: random bits as a pure function of a key and a counter (Salmon et al., SC 2011).

A state is a uint64 vector of two entries: the key of a stream and the number of the call. The 128 bits of a counter are
the call (64), the attempt of samplers that reject (16) and the place within the sample (48). So one call never needs
more than its own number, the next state is the state plus one call, and a value depends on nothing but the state and
its place in C order. Only integer arithmetic that is exact makes the bits, so they are the same on every backend.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = [
    "BUMPS",
    "FACTORS",
    "PRECISION",
    "ROUNDS",
    "pairs",
    "philox",
    "places",
    "quantiles",
    "uniforms",
    "words",
    "words_at",
]

_MASK = 0xFFFFFFFF
FACTORS = (0xD2511F53, 0xCD9E8D57)
BUMPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

#: Blocks made at once where arrays live in the CPU's caches.
_CACHED = 8192

#: Bits that a float in [0.5, 1) holds.
PRECISION = {"float16": 11, "float32": 24, "float64": 53}

#: Bits of the words that they are made of.
_WIDTH = {"float16": 32, "float32": 32, "float64": 64}


def philox(xp: Any, even: Any, odd: Any, key: Any) -> tuple[Any, Any]:
    """The ten rounds, on 32-bit numbers in uint64 arrays.

    Parameters
    ----------
    even, odd
        Words 0 and 2, and words 1 and 3, of the counters: shape (2, n), or (2, 1) where all blocks share them.
    key
        The two words of the key, shape (2, 1).

    Returns
    -------
    tuple
        Words 0 and 2, and words 1 and 3, of the random blocks.
    """
    factors, bumps, width, mask = _constants(xp)
    keys = (key + bumps) & mask
    for i in range(ROUNDS):
        product = (factors * even)[::-1]
        odd = odd ^ keys[i]
        even = product >> width
        even ^= odd
        odd = product & mask
    return even, odd


@functools.cache
def _constants(xp: Any) -> tuple[Any, Any, Any, Any]:
    """The factors, what is added to the key in each round, 32 and the mask of 32 bits, as arrays."""

    def uint64(values: Any) -> Any:
        return xp.asarray(values, dtype="uint64")

    factors = uint64(FACTORS).reshape(2, 1)
    bumps = uint64([[[i * bump & _MASK] for bump in BUMPS] for i in range(ROUNDS)])
    return factors, bumps, uint64(32), uint64(_MASK)


def _blocks(xp: Any, state: Any, place: Any, attempt: int) -> tuple[Any, Any]:
    """The blocks at these places: words 0 and 2, and words 1 and 3, in two arrays of shape (2, n)."""
    _, _, width, mask = _constants(xp)
    halves = xp.stack([state & mask, state >> width])  # row: low, high; column: key, call
    even = xp.empty((2, place.size), dtype="uint64")
    even[0] = place & mask
    even[1] = halves[0, 1]
    odd = xp.empty((2, place.size), dtype="uint64")
    odd[0] = (place >> width) | (attempt << 16)
    odd[1] = halves[1, 1]
    return philox(xp, even, odd, halves[:, :1])


def places(xp: Any, count: int, chunk: int) -> list[Any]:
    """The places 0 to ``count - 1`` as uint64 vectors; on a CPU of ``chunk`` entries each, elsewhere one vector."""
    step = chunk if xp.name == "numpy" else max(count, 1)
    return [xp.arange(i, min(i + step, count), dtype="uint64") for i in range(0, count, step)]


def _filled(xp: Any, state: Any, count: int, width: int, dtype: str, convert: Callable[[Any], Any]) -> Any:
    """A vector of what ``convert`` makes of words of ``width`` bits, 32 or 64, which it gets in uint64 arrays."""
    each = 128 // width
    out = xp.empty((-(-count // each), each), dtype=dtype)
    start = 0
    for place in places(xp, len(out), _CACHED):
        even, odd = _blocks(xp, state, place, 0)
        rows = out[start : start + place.size]
        if width == 32:
            rows[:, 0::2] = convert(even).T
            rows[:, 1::2] = convert(odd).T
        else:
            rows[...] = convert((even << 32) | odd).T
        start += place.size
    return out.reshape(-1)[:count]


def words(xp: Any, state: Any, count: int) -> Any:
    """A vector of random 64-bit integers, uint64."""
    return _filled(xp, state, count, 64, "uint64", lambda bits: bits)


def uniforms(xp: Any, state: Any, count: int, dtype: str) -> Any:
    """A vector of uniform floats between 0 and 1, both excluded, with all the bits that ``dtype`` holds below 1.

    float64 takes words of 64 bits, narrower floats of 32.
    """
    bits, width = PRECISION[dtype], _WIDTH[dtype]
    step = xp.asarray(2.0**-bits, dtype=dtype)
    least = xp.asarray(2.0 ** -(bits + 1), dtype=dtype)  # stands for 0, so that a logarithm is finite

    def convert(drawn: Any) -> Any:
        return xp.maximum((drawn >> (width - bits)).astype(dtype) * step, least)

    return _filled(xp, state, count, width, dtype, convert)


def quantiles(xp: Any, state: Any, count: int, dtype: str, inverse: Callable[[Any], Any]) -> Any:
    """A vector of values of ``inverse``, an inverse distribution function on float64, at uniform numbers.

    float64 takes words of 64 bits, narrower floats of 32.
    """
    width = _WIDTH[dtype]
    return _filled(xp, state, count, width, dtype, lambda drawn: inverse(_centred(drawn, width)))


def _centred(bits: Any, width: int) -> Any:
    """Unsigned integers as float64 between 0 and 1, both excluded, evenly spaced and symmetric about 1/2."""
    kept = min(width, 52)
    out = (bits >> (width - kept)).astype("float64")
    out += 0.5
    out *= 2.0**-kept
    return out


def words_at(xp: Any, state: Any, place: Any, attempt: int) -> Any:
    """Two random 64-bit integers for each of these places at this attempt: uint64 of shape (2, n)."""
    step = _CACHED if xp.name == "numpy" else max(place.size, 1)
    out = xp.empty((2, place.size), dtype="uint64")
    for i in range(0, place.size, step):
        even, odd = _blocks(xp, state, place[i : i + step], attempt)
        out[:, i : i + step] = (even << 32) | odd
    return out


def pairs(xp: Any, state: Any, place: Any, attempt: int) -> Any:
    """The same as uniform numbers between 0 and 1, both excluded: float64 of shape (2, n)."""
    return _centred(words_at(xp, state, place, attempt), 64)
