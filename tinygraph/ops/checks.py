"""Conditions that are checked while a function runs, and arrays that are read from files then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, TinygraphError
from tinygraph.graph import Op
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor
from tinygraph.types import Abstract, Extent, TensorType, canonical_dtype, shape_text

__all__ = ["Assert", "ConditionError", "Load", "LoadError", "assert_op", "load"]

Vjp = Sequence[Any]


class ConditionError(TinygraphError, AssertionError):
    """A condition that a program demands does not hold."""


class Assert(Op):
    """The first input as it is, if all others, its conditions, hold; else an error with a message.

    >>> import tinygraph.tensor as T
    >>> x = T.dscalar("x")
    >>> positive = Assert("x must be positive")
    >>> float(T.sqrt(positive(x, x > 0)).eval({x: 4.0}))
    2.0
    """

    msg: str = "Theano Assert failed!"

    view = True
    structural = True

    def infer(self, x: Abstract, *conditions: Abstract) -> TensorType:
        return x.type  # not its value, even if known: a constant in the place of the node would hold no condition

    def shape_like(self, inputs: Vjp) -> Any:
        return inputs[0]

    def compute(self, xp: Any, x: Any, *conditions: Any) -> Any:
        if not all(bool(xp.all(c)) for c in conditions):
            raise ConditionError(self.msg, expected="all conditions true")
        return x

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return [cotangents[0], *[None] * (len(inputs) - 1)]

    def make_node(self, *inputs: Any) -> Any:
        """The node of a value and its conditions, which may be anything that becomes a tensor."""
        return super().make_node(*[as_tensor(x) for x in inputs])


def assert_op(value: Any, *conds: Any) -> Any:
    """``value``, if all conditions hold when the function runs; else an ``AssertionError``."""
    return Assert()(value, *conds)


class LoadError(TinygraphError, OSError):
    """A file that cannot be read, or does not hold the array that was announced."""


class Load(Op):
    """The array in a file, read each time the function runs."""

    path: str
    dtype: str
    shape: tuple[Extent, ...]
    mmap_mode: str | None = None

    effects = True

    def infer(self) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def compute(self, xp: Any) -> Any:
        try:
            array = xp.load(self.path, mmap_mode=self.mmap_mode)
        except (OSError, ValueError, EOFError) as err:
            raise LoadError(f"cannot read {self.path}: {err}", expected="a file that numpy.save wrote") from err
        if not hasattr(array, "dtype"):
            array.close()
            raise LoadError(f"{self.path} holds several arrays", expected="a .npy file", actual="a .npz file")
        found = f"{array.dtype} {shape_text(array.shape)}"
        announced = self.infer()
        if array.dtype.kind not in "biuf" or not announced.accepts(TensorType(array.dtype.name, array.shape)):
            raise LoadError(f"{self.path} holds another array", expected=str(announced), actual=found)
        return array.astype(array.dtype.newbyteorder("="), copy=self.mmap_mode is not None)

    def vjp(self, inputs: Vjp, outputs: Vjp, cotangents: Vjp) -> Vjp:
        return []


def load(path: Any, dtype: Any, broadcastable: Sequence[bool | Extent], mmap_mode: str | None = None) -> Any:
    """The array in a ``.npy`` file, read each time the function runs.

    Parameters
    ----------
    path
        Name of the file.
    dtype
        The dtype of the array.
    broadcastable
        For each axis whether its extent is 1; or the shape, with None for unknown extents.
    mmap_mode
        None, or ``"c"`` to read the file through memory mapping.

    Raises
    ------
    LoadError
        When the function runs, if the file cannot be read or holds something else; it is an ``OSError``.
    DtypeError
        If ``path`` is no name of a file, or for another ``mmap_mode``.

    >>> import os, tempfile, numpy as np, tinygraph.tensor as T
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "numbers.npy")
    ...     np.save(path, np.arange(3))
    ...     (2 * T.load(path, "int64", (False,))).eval()
    array([0, 2, 4])
    """
    if not isinstance(path, (str, os.PathLike)):
        raise located(DtypeError("a path is needed", expected="text or pathlib.Path", actual=repr(path)), "load")
    if mmap_mode not in (None, "c"):
        raise located(DtypeError("there is no such mode", expected="None or 'c'", actual=repr(mmap_mode)), "load")
    type = TensorType(canonical_dtype(dtype), tuple(broadcastable))
    return Load(os.fspath(path), type.dtype, type.shape, mmap_mode)()
