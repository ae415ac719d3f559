"""A program while it is drawn: what is there so far, with the shapes it has in each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygraph.errors import TinygraphError
from tinygraph.graph import Variable
from tinygraph.streams import RandomStreams
from tinygraph.testing.script import Input, State, Step, array_text, names
from tinygraph.types import TensorType

try:
    from hypothesis import strategies as st
except ImportError as err:
    raise ImportError("tinygraph.testing.programs needs Hypothesis: pip install hypothesis") from err

__all__ = ["DTYPES", "Draft", "Extent", "Value"]

Array = np.ndarray[Any, Any]
#: The length of an axis in calls of the first and of the second batch size.
Extent = tuple[int, int]
Draw = Callable[[st.SearchStrategy[Any]], Any]

#: Which batch size each call has.
CALLS = (0, 1, 0)
DTYPES = ("float64", "float32", "int64", "bool", "int32", "uint8")
#: Expressions of an array laid out in memory in another way, for one that has an axis.
LAYOUTS = (
    "{}",
    "np.asfortranarray({})",
    "np.flip(np.flip({}).copy())",
    "np.repeat({}, 2, axis=-1)[..., ::2]",
    "np.broadcast_to({}[:1], {shape})",
)
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0)


@dataclass(frozen=True)
class Value:
    """A variable of the draft: its name, its dtype, and its extents in both batch sizes."""

    name: str
    dtype: str
    shape: tuple[Extent, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def float(self) -> bool:
        return self.dtype.startswith("float")

    @property
    def number(self) -> bool:
        return self.dtype != "bool"

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Its shape in each batch size."""
        return tuple(n for n, _ in self.shape), tuple(n for _, n in self.shape)


class Draft:
    """Inputs, states and steps so far.

    Every line is built at once for both batch sizes, with all extents known, so shapes and dtypes are what the package
    says; a line that does not fit is not taken.

    Parameters
    ----------
    draw
        The function that draws.
    special
        Whether arrays hold infinities, NaN, denormal and huge numbers, too.
    """

    def __init__(self, draw: Draw, special: bool) -> None:
        self.draw = draw
        self.special = special
        self.inputs: list[Input] = []
        self.states: list[State] = []
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.leaves: list[str] = []
        batch = draw(st.sampled_from([(2, 3), (3, 1), (1, 4), (5, 2), (0, 2), (3, 0), (7, 17), (16, 5), (40, 33)]))
        #: Axes are of these extents, so that shapes often fit.
        self.extents: list[Extent] = [batch, *((n, n) for n in draw(st.sampled_from(_FIXED)))]
        self._spaces = [self._space(), self._space()]

    def _space(self) -> dict[str, Any]:
        return {**names(), "srng": RandomStreams(1)}

    # --- choosing ---------------------------------------------------------------------------------------------------

    def some(self, fits: Callable[[Value], Any] = lambda _: True) -> Value | None:
        """One of the values that fit, None where none does; smaller programs come from earlier values."""
        fitting = [v for v in self.values if fits(v)]
        # New values are drawn more often, so that chains grow.
        return self.draw(st.sampled_from(fitting + fitting[-2:])) if fitting else None

    def shape(self, most: int = 3, least: int = 0, fixed: bool = False) -> tuple[Extent, ...]:
        """Extents for a new input or state; ``fixed`` leaves out the batch size."""
        chosen = self.extents[1:] if fixed else self.extents
        axis = st.sampled_from([*chosen, *chosen, (1, 1)])
        return tuple(self.draw(st.lists(axis, min_size=least, max_size=most)))

    # --- growing ----------------------------------------------------------------------------------------------------

    def input(self, dtype: str, shape: Sequence[Extent], below: Extent | None = None) -> Value:
        """A new input; ``below`` makes it an index into axes of this extent."""
        name = f"x{len(self.inputs)}"
        sizes = tuple(n for n, _ in shape), tuple(n for _, n in shape)
        seed = self.draw(st.integers(0, 999))
        calls = []
        for i, which in enumerate(CALLS):
            if below is None:
                array = self._array(dtype, sizes[which], seed, i)
                layout = self.draw(st.sampled_from(LAYOUTS)) if array.ndim and array.size else "{}"
            else:
                limit = below[which]
                array = np.random.default_rng(seed + i).integers(-limit if seed else 0, limit, sizes[which])
                layout = "{}"
            calls.append(layout.format(array_text(array.astype(dtype)), shape=array.shape))
        known = self.draw(st.booleans())
        declared = tuple(n if known and n == m else None for n, m in shape)
        bad = None
        if below is not None and all(sizes[0]):
            bad = array_text(np.full(sizes[0], 10**6, dtype))
        elif None in declared and self.draw(st.booleans()):
            wrong = tuple(n + 1 if d is None else n for n, d in zip(sizes[0], declared, strict=True))
            bad = f'np.zeros({wrong}, "{dtype}")'
        self.inputs.append(Input(name, dtype, declared, tuple(calls), bad))
        self._leaf(name, dtype, sizes)
        return self.values[-1]

    def state(self, dtype: str, shape: Sequence[Extent]) -> Value:
        """A new shared variable."""
        name = f"p{len(self.states)}"
        sizes = tuple(n for n, _ in shape), tuple(n for _, n in shape)
        seed = self.draw(st.integers(0, 999))
        self.states.append(State(name, array_text(self._array(dtype, sizes[0], seed))))
        self._leaf(name, dtype, sizes)
        return self.values[-1]

    def _leaf(self, name: str, dtype: str, sizes: Sequence[tuple[int, ...]]) -> None:
        for space, size in zip(self._spaces, sizes, strict=True):
            space[name] = TensorType(dtype, size)(name)
        self.leaves.append(name)
        self._add(name)

    def _add(self, name: str) -> None:
        one, other = (space[name] for space in self._spaces)
        self.values.append(Value(name, one.dtype, tuple(zip(one.type.shape, other.type.shape, strict=True))))

    def step(self, text: str, count: int = 1) -> list[Value]:
        """Add a line with this expression; the new values, none where it does not fit or has no known shape."""
        first = sum(len(step.names) for step in self.steps)
        new = tuple(f"v{first + i}" for i in range(count))
        results = []
        for space in self._spaces:
            try:
                found = eval(text, space)
            except (TinygraphError, ValueError):
                return []
            results.append(list(found) if isinstance(found, (list, tuple)) else [found])
        for found in results:
            if len(found) != count or not all(isinstance(v, Variable) and v.type.known for v in found):
                return []
            if any(v.dtype not in DTYPES or np.prod(v.type.shape) > _LARGEST for v in found):
                return []
        for space, found in zip(self._spaces, results, strict=True):
            space.update(zip(new, found, strict=True))
        self.steps.append(Step(new, text))
        for name in new:
            self._add(name)
        return self.values[-count:]

    def _array(self, dtype: str, shape: tuple[int, ...], seed: int, call: int = 0) -> Array:
        size = int(np.prod(shape))
        if not seed:  # what failures shrink to
            return ((np.arange(size) + call) % 5 + 1).reshape(shape).astype(dtype)
        rng = np.random.default_rng((seed, call))
        kind = np.dtype(dtype).kind
        if kind == "b":
            return rng.random(shape) < 0.5
        if kind in "iu":
            return rng.integers(0 if kind == "u" else -10, 10, shape).astype(dtype)
        numbers = np.rint(rng.normal(size=shape) * 1024) / 1024
        if self.special and size:
            limits = np.finfo(dtype)
            odd = [*SPECIAL, float(limits.smallest_subnormal) * 3, float(limits.tiny) * 1.5, float(limits.max) / 4]
            numbers = np.where(rng.random(shape) < 0.25, rng.choice(odd, shape), numbers)
        return np.asarray(numbers).astype(dtype)


_FIXED = [(3,), (2, 3), (4, 1), (3, 0), (1, 2), (5, 2), (9, 3), (33, 2), (20, 4)]
_LARGEST = 4000
