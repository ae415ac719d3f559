"""Short forms of ``scan`` under the names that functional languages give them."""

from __future__ import annotations

from typing import Any

from tinygraph.ops.indexing import subtensor
from tinygraph.scan_module.calls import scan
from tinygraph.updates import OrderedUpdates

__all__ = ["foldl", "foldr", "map", "reduce"]


def map(
    fn: Any,
    sequences: Any,
    non_sequences: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, OrderedUpdates]:
    """A function applied to each row of sequences; ``scan`` without states, whose arguments these are.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> squares, _ = map(lambda x: x**2, T.arange(4))
    >>> squares.eval().tolist()
    [0, 1, 4, 9]
    """
    return scan(
        fn,
        sequences,
        [],
        non_sequences,
        truncate_gradient=truncate_gradient,
        go_backwards=go_backwards,
        mode=mode,
        name=name,
    )


def reduce(
    fn: Any,
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, OrderedUpdates]:
    """What ``scan`` with these arguments gives at its last step; no other step is kept.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> total, _ = reduce(lambda x, total: total + x, T.arange(5), T.constant(0))
    >>> int(total.eval())
    10
    """
    results, updates = scan(fn, sequences, outputs_info, non_sequences, go_backwards=go_backwards, mode=mode, name=name)
    if isinstance(results, list):
        return [subtensor(x, -1) for x in results], updates
    return subtensor(results, -1), updates


def foldl(
    fn: Any, sequences: Any, outputs_info: Any, non_sequences: Any = None, mode: Any = None, name: str | None = None
) -> tuple[Any, OrderedUpdates]:
    """``reduce`` from the first row to the last.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> number, _ = foldl(lambda digit, number: 10 * number + digit, T.constant([1, 2, 3]), T.constant(0))
    >>> int(number.eval())
    123
    """
    return reduce(fn, sequences, outputs_info, non_sequences, False, mode, name)


def foldr(
    fn: Any, sequences: Any, outputs_info: Any, non_sequences: Any = None, mode: Any = None, name: str | None = None
) -> tuple[Any, OrderedUpdates]:
    """``reduce`` from the last row to the first.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> number, _ = foldr(lambda digit, number: 10 * number + digit, T.constant([1, 2, 3]), T.constant(0))
    >>> int(number.eval())
    321
    """
    return reduce(fn, sequences, outputs_info, non_sequences, True, mode, name)
