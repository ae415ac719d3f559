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

__all__ = ["pairs", "philox", "places", "quantiles", "uniforms", "words", "words_at"]

_MASK = 0xFFFFFFFF
_FACTORS = (0xD2511F53, 0xCD9E8D57)
_BUMPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

#: Blocks made at once where arrays live in the CPU's caches.
_CACHED = 8192

#: Bits that a float in [0.5, 1) holds.
_PRECISION = {"float16": 11, "float32": 24, "float64": 53}


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
    for i in range(_ROUNDS):
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

    factors = uint64(_FACTORS).reshape(2, 1)
    bumps = uint64([[[i * bump & _MASK] for bump in _BUMPS] for i in range(_ROUNDS)])
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


def words(xp: Any, state: Any, count: int, dtype: str) -> Any:
    """A vector of random integers of all the bits of ``dtype``, uint32 or uint64."""
    each = 4 if dtype == "uint32" else 2
    out = xp.empty((-(-count // each), each), dtype=dtype)
    for place in places(xp, len(out), _CACHED):
        even, odd = _blocks(xp, state, place, 0)
        rows = out[int(place[0]) : int(place[0]) + place.size]
        if dtype == "uint32":
            rows[:, 0::2] = even.T
            rows[:, 1::2] = odd.T
        else:
            rows[...] = ((even << 32) | odd).T
    return out.reshape(-1)[:count]


def uniforms(xp: Any, state: Any, count: int, dtype: str) -> Any:
    """A vector of uniform floats between 0 and 1, both excluded, with all the bits that ``dtype`` holds below 1."""
    bits = _PRECISION[dtype]
    width = 64 if bits > 32 else 32
    drawn = words(xp, state, count, f"uint{width}") >> (width - bits)
    drawn = drawn.astype(dtype)
    drawn *= xp.asarray(2.0**-bits, dtype=dtype)
    # Half a step stands for 0, so that a logarithm is finite.
    return xp.maximum(drawn, xp.asarray(2.0 ** -(bits + 1), dtype=dtype), out=drawn)


def _centred(xp: Any, bits: Any, width: int) -> Any:
    """Unsigned integers as float64 between 0 and 1, both excluded, evenly spaced and symmetric about 1/2."""
    kept = min(width, 52)
    out = (bits >> (width - kept)).astype("float64")
    out += 0.5
    out *= 2.0**-kept
    return out


def quantiles(xp: Any, state: Any, count: int, dtype: str, inverse: Callable[[Any], Any]) -> Any:
    """A vector of values of ``inverse``, an inverse distribution function, at uniform numbers: a word for each.

    Parameters
    ----------
    dtype
        float64 takes words of 64 bits, narrower floats of 32.
    inverse
        From float64 in (0, 1) to float64.
    """
    width = 64 if dtype == "float64" else 32
    drawn = words(xp, state, count, f"uint{width}")
    return inverse(_centred(xp, drawn, width)).astype(dtype, copy=False)


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
    return _centred(xp, words_at(xp, state, place, attempt), 64)
