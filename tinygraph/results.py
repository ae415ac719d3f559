"""What a call hands out: arrays of the backend, or of what the caller asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygraph import arrays
from tinygraph.errors import InputError

__all__ = ["converter"]


def converter(as_: Any, names: Sequence[str | None], label: str) -> Callable[[Any], Any]:
    """What makes of one result what the keyword ``as_`` of a call asks for.

    Parameters
    ----------
    as_
        ``"numpy"``, ``"cupy"``, ``"dlpack"``, or None for results as they are.
    names
        The names of the function's inputs.
    label
        The function's, for messages.

    Raises
    ------
    InputError
        If it is something else, or the name of an input.
    BackendError
        If CuPy is asked for and there is no GPU that it can use.
    """
    if "as_" in names:
        raise InputError(
            f"{label} has an input named 'as_', which is also the keyword that says what results are",
            hint="pass the input by its place, or give it another name: In(x, name='…')",
        )
    if as_ == "cupy":
        arrays.get("cupy")
    elif as_ not in ("numpy", "dlpack", None):
        raise InputError(
            f"{label} cannot give results as {as_!r}", expected="as_='numpy', 'cupy' or 'dlpack'", actual=repr(as_)
        )

    def convert(result: Any) -> Any:
        if hasattr(result, "tocsr"):
            if as_ == "numpy":
                return result.get() if hasattr(result, "get") else result
            if as_ is not None:
                raise InputError(
                    f"a result of {label} is a sparse matrix, which cannot be given as {as_!r}",
                    hint="as_='numpy' gives SciPy's; return its parts, x.data, x.indices and x.indptr, or x.toarray()",
                )
        if as_ == "numpy":
            return arrays.to_numpy(result)
        if as_ == "cupy" and isinstance(result, np.ndarray):
            return arrays.get("cupy").taken(result)
        return result

    return convert
