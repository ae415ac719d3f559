"""A loop that keeps few of its steps and makes the others again for its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygraph.errors import InputError
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, cast
from tinygraph.ops.creation import arange, zeros
from tinygraph.ops.indexing import subtensor
from tinygraph.ops.join import Join
from tinygraph.ops.scalar import minimum
from tinygraph.scan_module.calls import scan
from tinygraph.updates import OrderedUpdates

__all__ = ["scan_checkpoints"]


def scan_checkpoints(
    fn: Any,
    sequences: Any = (),
    outputs_info: Any = None,
    non_sequences: Any = (),
    name: str | None = "checkpoints",
    n_steps: Any = None,
    save_every_N: int = 10,
    padding: bool = True,
) -> tuple[Any, OrderedUpdates]:
    """As ``scan``, but only every ``save_every_N``-th step is kept; its gradient makes those between once more.

    For ``n`` steps the memory of the gradient is that of ``n / save_every_N + save_every_N`` steps instead of ``n``.

    Parameters
    ----------
    fn, outputs_info, non_sequences, name, n_steps
        As for ``scan``; there are no taps.
    sequences
        Tensors of one length: that of the loop.
    save_every_N
        How many steps are made between those that are kept.
    padding
        True takes any number of steps, for which the sequences are copied; False needs a multiple of ``save_every_N``.

    Returns
    -------
    outputs, updates
        As ``scan``; of each output the steps that are kept: number ``save_every_N``, twice that, … and the last.

    Raises
    ------
    InputError
        If there are taps, or neither ``n_steps`` nor a sequence is given.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> totals, _ = tg.scan_module.scan_checkpoints(
    ...     lambda x, total: total + x, T.arange(1, 8), T.constant(0), save_every_N=3
    ... )
    >>> totals.eval().tolist()
    [6, 21, 28]
    """
    rows, infos, fixed = (_listed(given) for given in (sequences, outputs_info, non_sequences))
    if any(isinstance(given, Mapping) and given.get("taps") not in (None, [-1], [0]) for given in (*rows, *infos)):
        raise located(InputError("scan_checkpoints works without taps", hint="use scan"), "scan_checkpoints")
    rows = [as_tensor(given["input"] if isinstance(given, Mapping) else given) for given in rows]
    if n_steps is None and not rows:
        raise located(
            InputError("scan_checkpoints does not know how many steps to make", expected="n_steps or a sequence"),
            "scan_checkpoints",
        )
    n = cast(rows[0].shape[0] if n_steps is None else as_tensor(n_steps), "int64")
    count = (n + (save_every_N - 1)) // save_every_N
    lengths = minimum(save_every_N, n - arange(count) * save_every_N)

    def chunk(*arguments: Any) -> Any:
        parts, (length, *others) = arguments[: len(rows)], arguments[len(rows) :]
        states = iter(others)
        starts = [None if _is_open(info) else next(states) for info in infos]
        results, updates = scan(
            fn, list(parts), starts, list(states), n_steps=length, name=f"{name}: steps", return_list=True
        )
        return [subtensor(x, -1) for x in results], updates

    chunks = [_chunks(x, n, count, save_every_N, padding) for x in rows]
    return scan(chunk, [*chunks, lengths], infos, fixed, n_steps=count, name=name)


def _listed(values: Any) -> list[Any]:
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _is_open(info: Any) -> bool:
    """True for an output that is not fed back."""
    return info is None or (isinstance(info, Mapping) and info.get("initial") is None)


def _chunks(x: Any, n: Any, count: Any, every: int, padding: bool) -> Any:
    """A sequence with its rows in chunks, the last one filled up with zeros."""
    rest = [x.shape[axis] for axis in range(1, x.ndim)]
    if padding:
        x = Join(0)(subtensor(x, slice(n)), zeros((count * every - n, *rest), x.dtype))
    return x.reshape((count, every, *rest))
