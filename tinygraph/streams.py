"""Streams of random numbers: every draw has a state of its own in a shared variable, which functions move on."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.config import config
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops import choosing, philox
from tinygraph.ops import random as draws
from tinygraph.ops.convert import as_tensor
from tinygraph.ops.variable import TensorSharedVariable
from tinygraph.types import TensorType, shape_text

__all__ = ["MRG_RandomStreams", "RandomStateSharedVariable", "RandomStreams", "StreamState"]


def _first_state(seed: Any) -> np.ndarray[Any, Any]:
    """A state whose key depends on every bit of a seed: an integer from 0 on, or a sequence of them."""
    try:
        key = np.random.SeedSequence(secrets.randbits(128) if seed is None else seed).generate_state(1, "uint64")
    except (TypeError, ValueError) as err:
        raise DtypeError(
            "this is no seed", expected="an integer from 0 on, or a sequence of them", actual=repr(seed)
        ) from err
    return np.concatenate([key, np.zeros(1, "uint64")])


def _checked_state(state: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(state)
    if array.dtype != "uint64" or array.shape != (2,):
        raise ShapeError("a state has 2 entries", expected="uint64 (2,)", actual=f"{array.dtype} {array.shape}")
    return array.copy()


class StreamState(np.ndarray[Any, Any]):
    """The value of a stream: its key and how often it was drawn from, with NumPy's methods of a random state."""

    def seed(self, seed: Any = None) -> None:
        """Start anew from a seed."""
        self[...] = _first_state(seed)

    def get_state(self) -> np.ndarray[Any, Any]:
        """Key and number of draws, as a plain array."""
        return np.array(self)

    def set_state(self, state: Any) -> None:
        """Take over what ``get_state`` gave."""
        self[...] = _checked_state(state)


class RandomStateSharedVariable(TensorSharedVariable):
    """The state of one stream: uint64 of two entries, the key and the number of draws."""

    __slots__ = ()

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """A copy of the state, as a ``StreamState`` unless the internal type is asked for."""
        value = super().get_value(False, return_internal_type)
        return value if return_internal_type else value.view(StreamState)


class RandomStreams:
    """Random variables for graphs.

    Every call of a method makes a variable with a stream of its own: ``.rng``, a shared variable, holds its state, and
    ``.update`` is the pair of it and its next state. Functions that use the variable apply this update by themselves,
    unless ``no_default_updates`` says otherwise. Where a variable is used several times in one call of a function it
    has one value. The same seed gives the same numbers, in the order in which the variables were made, on every
    backend.

    Parameters
    ----------
    seed
        An integer from 0 on, a sequence of them, or None for a seed that is different each time.

    Attributes
    ----------
    state_updates
        The pairs of states and their next states of all streams.
    rstate
        From what the keys of further streams are drawn: a state like theirs.

    Raises
    ------
    DtypeError
        If ``seed`` is something else.

    >>> import tinygraph as tg
    >>> srng = RandomStreams(seed=234)
    >>> f = tg.function([], srng.uniform((2, 2)))
    >>> bool((f() != f()).all())
    True
    """

    def __init__(self, seed: Any = None) -> None:
        self.state_updates: list[tuple[Any, Any]] = []
        self.default_instance_seed = seed
        self.rstate = _first_state(seed)

    @property
    def rstate(self) -> np.ndarray[Any, Any]:
        return self._rstate

    @rstate.setter
    def rstate(self, state: Any) -> None:
        self._rstate = _checked_state(state)

    def _next(self) -> np.ndarray[Any, Any]:
        """The first state of a further stream."""
        key = philox.words(arrays.get("numpy"), self._rstate, 1)
        self._rstate = self._rstate + np.array([0, 1], "uint64")
        return np.concatenate([key, np.zeros(1, "uint64")])

    def gen(self, op: Callable[..., tuple[Any, Any]], *args: Any, **kwargs: Any) -> Any:
        """A variable with a stream of its own.

        Parameters
        ----------
        op
            A function like those of ``tensor.raw_random``: from a state, and the other arguments, to the next state
            and a sample.
        """
        before = self._rstate
        xp = arrays.get(config.backend)
        state = RandomStateSharedVariable(TensorType("uint64", (2,)), xp.taken(self._next()), xp.backend)
        state.tag.is_rng = True
        try:
            following, sample = op(state, *args, **kwargs)
        except Exception:
            self._rstate = before  # what could not be built changes nothing
            raise
        state.default_update = following
        sample.rng = sample.rstate = state
        sample.update = (state, following)
        self.state_updates.append(sample.update)
        return sample

    def updates(self) -> list[tuple[Any, Any]]:
        """The pairs of states and their next states of all streams, for ``function(…, updates=…)``."""
        return list(self.state_updates)

    def seed(self, seed: Any = None) -> None:
        """Start all streams anew: they and those to come give what those of ``RandomStreams(seed)`` give.

        ``seed`` is by default the one that the object was made with.
        """
        self.set_rstate(self.default_instance_seed if seed is None else seed)
        for state, _ in self.state_updates:
            state.set_value(self._next())

    def set_rstate(self, seed: Any) -> None:
        """Draw the keys of further streams from a seed, or from a state where ``seed`` is one."""
        state = np.asarray(seed)
        self.rstate = state if state.dtype == "uint64" and state.shape == (2,) else _first_state(seed)

    def get_state(self) -> np.ndarray[Any, Any]:
        """The states of all streams, a row for each, in the order in which they were made."""
        rows = [state.get_value() for state, _ in self.state_updates]
        return np.array(rows, "uint64").reshape(len(rows), 2)

    def set_state(self, states: Any) -> None:
        """Take over what ``get_state`` gave, of this object or of another one with as many streams.

        Raises
        ------
        ShapeError
            If there are more or fewer streams.
        """
        rows = np.asarray(states)
        if rows.shape != (len(self.state_updates), 2):
            raise ShapeError(
                "there must be a state for each stream",
                expected=shape_text((len(self.state_updates), 2)),
                actual=shape_text(rows.shape),
            )
        checked = [_checked_state(row) for row in rows]
        for (state, _), row in zip(self.state_updates, checked, strict=True):
            state.set_value(row)

    def __getitem__(self, item: Any) -> Any:
        """The value of a stream's state."""
        return item.get_value()

    def __setitem__(self, item: Any, val: Any) -> None:
        item.set_value(val)

    # What each distribution means, and its errors, say the functions of the same names in ``tensor.raw_random``.

    def uniform(self, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        """Uniform between ``low`` and ``high``."""
        return self.gen(draws.uniform, size, low, high, ndim, dtype)

    def normal(self, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        """Normal with mean ``avg`` and standard deviation ``std``."""
        return self.gen(draws.normal, size, avg, std, ndim, dtype)

    def truncated_normal(
        self, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: Any = None, dtype: Any = None
    ) -> Any:
        """Normal, cut off on both sides, with mean ``avg`` and standard deviation ``std``."""
        return self.gen(draws.truncated_normal, size, avg, std, ndim, dtype)

    def exponential(self, size: Any = None, scale: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        """Exponential with mean ``scale``."""
        return self.gen(draws.exponential, size, scale, ndim, dtype)

    def gamma(self, size: Any = None, shape: Any = 1.0, scale: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        """Gamma with mean ``shape * scale``."""
        return self.gen(draws.gamma, size, shape, scale, ndim, dtype)

    def beta(self, size: Any = None, a: Any = 1.0, b: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        """Beta with mean ``a / (a + b)``."""
        return self.gen(draws.beta, size, a, b, ndim, dtype)

    def gumbel(self, size: Any = None, loc: Any = 0.0, scale: Any = 1.0, ndim: Any = None, dtype: Any = None) -> Any:
        """Gumbel with mode ``loc``."""
        return self.gen(draws.gumbel, size, loc, scale, ndim, dtype)

    def binomial(
        self, size: Any = None, n: Any = 1, p: Any = 0.5, ndim: Any = None, dtype: Any = "int64", prob: Any = None
    ) -> Any:
        """Successes among ``n`` trials of probability ``p``."""
        return self.gen(draws.binomial, size, n, p, ndim, dtype, prob)

    def bernoulli(self, size: Any = None, p: Any = 0.5, ndim: Any = None, dtype: Any = "int64") -> Any:
        """1 with probability ``p``, otherwise 0."""
        return self.gen(draws.bernoulli, size, p, ndim, dtype)

    def random_integers(
        self, size: Any = None, low: Any = 0, high: Any = 1, ndim: Any = None, dtype: Any = "int64"
    ) -> Any:
        """Integers from ``low`` to ``high``, both included."""
        return self.gen(draws.random_integers, size, low, high, ndim, dtype)

    def poisson(self, size: Any = None, lam: Any = 1.0, ndim: Any = None, dtype: Any = "int64") -> Any:
        """Numbers of events of which ``lam`` are expected."""
        return self.gen(draws.poisson, size, lam, ndim, dtype)

    def choice(
        self, size: Any = None, a: Any = 2, replace: Any = True, p: Any = None, ndim: Any = None, dtype: Any = None
    ) -> Any:
        """Entries of the vector ``a``, or integers below the number ``a``, with probabilities ``p``."""
        return self.gen(choosing.choice, size, a, replace, p, ndim, dtype)

    def permutation(self, size: Any = None, n: Any = 1, ndim: Any = None, dtype: Any = None) -> Any:
        """The integers below ``n`` in random orders."""
        return self.gen(choosing.permutation, size, n, ndim, dtype)

    def multinomial(
        self, size: Any = None, n: Any = 1, pvals: Any = (0.5, 0.5), ndim: Any = None, dtype: Any = "int64"
    ) -> Any:
        """How often each category, with probabilities ``pvals``, comes up in ``n`` draws."""
        return self.gen(choosing.multinomial, size, n, pvals, ndim, dtype)

    def multinomial_wo_replacement(
        self, size: Any = None, n: Any = 1, pvals: Any = None, ndim: Any = None, dtype: Any = "int64"
    ) -> Any:
        """``n`` distinct categories for each row of weights."""
        return self.gen(choosing.multinomial_wo_replacement, size, n, pvals, ndim, dtype)

    def shuffle_row_elements(self, input: Any) -> Any:
        """The rows of ``input``, each in a random order; the orders are the result's ``.permutation``."""
        return self.gen(choosing.shuffle_row_elements, input)


class MRG_RandomStreams(RandomStreams):
    """The same under Theano's other name, with that one's arguments.

    ``nstreams`` and ``target`` are accepted without effect: numbers that depend on a counter need no parallel streams,
    and a state lives where the backend computes.

    Parameters
    ----------
    seed
        An integer from 0 on, a sequence of them, or None for a seed that is different each time.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.fmatrix("x")
    >>> mask = MRG_RandomStreams(1).binomial(x.shape, p=0.5, dtype="float32")
    >>> tg.function([x], x * mask)([[2, 2, 2, 2]]).shape
    (1, 4)
    """

    def __init__(self, seed: Any = 12345) -> None:
        super().__init__(seed)

    def uniform(
        self,
        size: Any = None,
        low: Any = 0.0,
        high: Any = 1.0,
        ndim: Any = None,
        dtype: Any = None,
        nstreams: Any = None,
        target: Any = None,
    ) -> Any:
        """Uniform between ``low`` and ``high``."""
        return super().uniform(size, low, high, ndim, dtype)

    def normal(
        self,
        size: Any = None,
        avg: Any = 0.0,
        std: Any = 1.0,
        ndim: Any = None,
        dtype: Any = None,
        nstreams: Any = None,
        truncate: bool = False,
        target: Any = None,
    ) -> Any:
        """Normal with mean ``avg`` and deviation ``std``, the latter before ``truncate`` cuts it off at 2 of them."""
        return self.gen(draws.normal, size, avg, std, ndim, dtype, truncate)

    def truncated_normal(
        self,
        size: Any = None,
        avg: Any = 0.0,
        std: Any = 1.0,
        ndim: Any = None,
        dtype: Any = None,
        nstreams: Any = None,
        target: Any = None,
    ) -> Any:
        """Normal, cut off on both sides, with mean ``avg`` and standard deviation ``std``."""
        return super().truncated_normal(size, avg, std, ndim, dtype)

    def binomial(
        self,
        size: Any = None,
        n: Any = 1,
        p: Any = 0.5,
        ndim: Any = None,
        dtype: Any = "int64",
        nstreams: Any = None,
        target: Any = None,
    ) -> Any:
        """Successes among ``n`` trials of probability ``p``."""
        return super().binomial(size, n, p, ndim, dtype)

    def multinomial(
        self,
        size: Any = None,
        n: Any = 1,
        pvals: Any = None,
        ndim: Any = None,
        dtype: Any = "int64",
        nstreams: Any = None,
        target: Any = None,
    ) -> Any:
        """How often each category, with probabilities ``pvals``, comes up in ``n`` draws."""
        return super().multinomial(size, n, pvals, ndim, dtype)

    def multinomial_wo_replacement(
        self,
        size: Any = None,
        n: Any = 1,
        pvals: Any = None,
        ndim: Any = None,
        dtype: Any = "int64",
        nstreams: Any = None,
        target: Any = None,
    ) -> Any:
        """``n`` distinct categories for each row of weights."""
        return super().multinomial_wo_replacement(size, n, pvals, ndim, dtype)

    def choice(
        self,
        size: Any = 1,
        a: Any = None,
        replace: Any = True,
        p: Any = None,
        ndim: Any = None,
        dtype: Any = None,
        nstreams: Any = None,
        target: Any = None,
    ) -> Any:
        """``size`` numbers of categories for each row of a matrix ``p``; otherwise as in ``RandomStreams``.

        Parameters
        ----------
        size
            How many for each row of weights; the shape of the result where ``p`` is no matrix.
        a
            None for the numbers of the categories; otherwise a vector or a number to choose from.
        replace
            False draws no category of a row twice.
        p
            Weights, a row for each line of the result; or one row of probabilities; or None where all are the same.
        """
        if a is None and p is not None and as_tensor(p).ndim > 1:
            return self.gen(choosing.choice_of_rows, size, replace, p, ndim, "int64" if dtype is None else dtype)
        return super().choice(size, a, replace, p, ndim, dtype)
