"""Training by SciPy's optimisers: conjugate gradient, L-BFGS and their like, on flat vectors of all parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygraph.autodiff import grad
from tinygraph.derivatives import hessian_vector_product
from tinygraph.errors import InputError
from tinygraph.function import function
from tinygraph.graph import SharedVariable
from tinygraph.types import is_float

__all__ = ["minimize_scipy"]

#: Methods that ask for products of the Hessian with vectors.
_SECOND_ORDER = ("newton-cg", "trust-ncg", "trust-krylov")


def minimize_scipy(
    cost: Any,
    params: Sequence[Any],
    inputs: Mapping[Any, Any] | Sequence[Mapping[Any, Any]] | None = None,
    givens: Any = None,
    method: str = "L-BFGS-B",
    callback: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Minimise a cost with ``scipy.optimize.minimize``; the parameters hold the result.

    Parameters
    ----------
    cost
        A float scalar.
    params
        Shared float variables that are varied. SciPy sees them as one flat vector, in their order.
    inputs
        Variables that the cost depends on, with their values; or a list of such mappings, one for each batch: the mean
        of their costs is minimised, as if all were one.
    givens
        As for ``function``.
    method
        ``"CG"``, ``"BFGS"``, ``"L-BFGS-B"``, ``"Newton-CG"``, … . Gradients are handed over, and products with the
        Hessian where a method asks for them.
    callback
        Called after each iteration with the flat vector, when the parameters hold it; StopIteration ends the search.
    options
        Further arguments of ``scipy.optimize.minimize``: ``tol``, ``bounds``, ``options={"maxiter": 100}``, … .

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``fun``, ``x``, ``nit``, ``success`` and ``message``.

    Raises
    ------
    InputError
        If a parameter is no shared float variable, or there are none.

    Whatever is raised on the way, the parameters then hold what they held before.

    >>> import numpy as np, tinygraph as tg, tinygraph.tensor as T
    >>> x, y = T.dmatrix("x"), T.dvector("y")
    >>> w = tg.shared(np.zeros(2), "w")
    >>> cost = T.mean((T.dot(x, w) - y) ** 2)
    >>> result = tg.optim.minimize_scipy(cost, [w], {x: [[1.0, 0.0], [1.0, 1.0]], y: [3.0, 5.0]}, method="CG")
    >>> w.get_value().round(4).tolist()
    [3.0, 2.0]
    """
    import scipy.optimize

    flat = _Flat(params)
    batches = [{}] if inputs is None else [inputs] if isinstance(inputs, Mapping) else list(inputs)
    if not batches:
        raise InputError("there is no batch to minimise the cost on", expected="at least one", actual="[]")
    variables = list(batches[0])
    rows = [[batch[v] for v in variables] for batch in batches]

    value_and_gradient = function(
        variables, [cost, *grad(cost, flat.params)], givens=givens, on_unused_input="ignore", name="minimize_scipy"
    )

    def evaluate(vector: Any) -> tuple[float, Any]:
        flat.assign(vector)
        results = [value_and_gradient(*row) for row in rows]
        return float(np.mean([r[0] for r in results])), np.mean([flat.joined(r[1:]) for r in results], axis=0)

    if method.lower() in _SECOND_ORDER and not {"hess", "hessp"} & set(options):
        directions = [p.type() for p in flat.params]
        product = function(
            [*variables, *directions],
            hessian_vector_product(cost, flat.params, directions),
            givens=givens,
            on_unused_input="ignore",
        )

        def hessp(vector: Any, direction: Any, *args: Any) -> Any:
            flat.assign(vector)
            return np.mean([flat.joined(product(*row, *flat.split(direction))) for row in rows], axis=0)

        options["hessp"] = hessp

    def after(vector: Any) -> Any:
        flat.assign(vector)
        return callback(vector) if callback is not None else None

    start = flat.joined([p.get_value(borrow=True) for p in flat.params])
    found = start
    try:
        result = scipy.optimize.minimize(
            evaluate, start, jac=True, method=method, callback=None if callback is None else after, **options
        )
        found = result.x
    finally:
        flat.assign(found)
    return result


class _Flat:
    """Parameters, and all their elements as one float64 vector."""

    def __init__(self, params: Sequence[Any]) -> None:
        self.params = list(params)
        for p in self.params:
            if not isinstance(p, SharedVariable) or not is_float(p.dtype):
                raise InputError(
                    "the parameters of minimize_scipy are shared float variables",
                    actual=f"{p}: {p.type}" if hasattr(p, "type") else repr(p),
                )
        if not self.params or len(set(self.params)) < len(self.params):
            raise InputError("minimize_scipy needs different parameters to vary", actual=f"{self.params}")
        self.shapes = [p.get_value(borrow=True).shape for p in self.params]

    def joined(self, values: Sequence[Any]) -> Any:
        return np.concatenate([np.asarray(v, dtype="float64").reshape(-1) for v in values])

    def split(self, vector: Any) -> list[Any]:
        """A piece of the vector for each parameter, of its shape and dtype."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        pieces = np.split(np.asarray(vector), ends[:-1])
        return [
            piece.reshape(shape).astype(p.dtype)
            for p, shape, piece in zip(self.params, self.shapes, pieces, strict=True)
        ]

    def assign(self, vector: Any) -> None:
        for p, piece in zip(self.params, self.split(vector), strict=True):
            p.set_value(piece, borrow=True)
