"""Random numbers of many distributions, as functions of the state of a stream.

Each returns the next state and the sample. Most users meet them as methods of ``RandomStreams``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygraph.config import config
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import Constant
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_tensor, cast, constant, is_weak
from tinygraph.ops.indexing import take
from tinygraph.ops.layout import BroadcastTo, Shape
from tinygraph.ops.positions import BroadcastShape
from tinygraph.ops.samplers import (
    Binomial,
    Integers,
    LogGamma,
    Normal,
    Poisson,
    Uniform,
    in_domain,
)
from tinygraph.ops.scalar import add, lt, mul, neg, sub, true_div
from tinygraph.ops.shape import as_shape, known_size
from tinygraph.ops.transcendental import exp, log, sigmoid
from tinygraph.types import canonical_dtype, is_discrete, promote

__all__ = [
    "COUNTS",
    "Drawn",
    "advance",
    "bernoulli",
    "beta",
    "binomial",
    "exponential",
    "gamma",
    "gumbel",
    "integers",
    "normal",
    "poisson",
    "random_integers",
    "sized",
    "truncated_normal",
    "uniform",
]

Drawn = tuple[Any, Any]

#: Up to here all whole numbers are floats; numbers of trials and of events go no further.
COUNTS = 2.0**53

#: Where truncated normals are cut off, in units of the deviation before that, and their deviation after it.
_BOUND = 2.0
_TRUNCATED = math.sqrt(
    1 - 2 * _BOUND * math.exp(-_BOUND * _BOUND / 2) / math.sqrt(2 * math.pi) / math.erf(_BOUND / math.sqrt(2))
)


def advance(random_state: Any, calls: int = 1) -> Any:
    """The state of a stream after a number of calls.

    >>> import numpy as np, tinygraph as tg
    >>> advance(tg.shared(np.array([7, 0], "uint64")), 2).eval().tolist()
    [7, 2]
    """
    return add(random_state, constant([0, calls], dtype="uint64"))


# --- shapes, dtypes and parameters --------------------------------------------------------------------------------


def sized(op: str, size: Any, ndim: Any, params: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The shape of a sample as an int64 vector, and its parameters broadcast to it, save scalars.

    Without ``size`` it is the shape that the parameters broadcast to; a -1 in it stands for their extent there.
    """
    length = None if ndim is None else known_size(ndim, op)
    wide = [p for p in params if p.ndim]
    if size is None:
        shape = _common_shape(wide)
        if length not in (None, shape.type.shape[0]):
            raise located(
                ShapeError(
                    "ndim is not the number of dimensions of the parameters",
                    expected=f"{shape.type.shape[0]}",
                    actual=f"{length}",
                ),
                op,
            )
    else:
        if isinstance(size, (list, tuple)) and any(isinstance(n, int) and n == -1 for n in size):
            size = _completed(op, size, wide)
        shape = as_shape(size, op, length)
    return shape, [p if p.ndim == 0 else BroadcastTo()(p, shape) for p in params]


def _common_shape(tensors: Sequence[Any]) -> Any:
    if not tensors:
        return constant([], dtype="int64")
    shapes = [Shape()(v) for v in tensors]
    return shapes[0] if len(shapes) == 1 else BroadcastShape()(*shapes)


def _completed(op: str, size: Sequence[Any], wide: Sequence[Any]) -> list[Any]:
    shape = _common_shape(wide)
    lead = len(size) - int(shape.type.shape[0])
    done = []
    for axis, n in enumerate(size):
        if isinstance(n, int) and n == -1:
            if axis < lead or lead < 0:
                raise located(ShapeError("a size of -1 needs a parameter with such an axis", actual=f"{size}"), op)
            n = take(shape, axis - lead)
        done.append(n)
    return done


def _dtypes(dtype: Any, *params: Any) -> tuple[str, str]:
    """The dtype of a result that is by nature a float, and the float dtype in which it is drawn."""
    if dtype is None:
        out = promote(config.floatX, *[as_tensor(p).dtype for p in params if not is_weak(p)])
    else:
        out = canonical_dtype(dtype)
    return out, config.floatX if is_discrete(out) else out


def integers(x: Any, op: str, what: str) -> Any:
    """A tensor of integers as int64; a DtypeError for floats."""
    x = as_tensor(x)
    if not is_discrete(x.dtype):
        raise located(DtypeError(f"{what} must be integers", expected="an integer dtype", actual=str(x.type)), op)
    return cast(x, "int64")


def _probability(p: Any, op: str) -> Any:
    """A probability, or a tensor of them, as floats that are checked."""
    p = as_tensor(p)
    return in_domain(cast(p, config.floatX) if is_discrete(p.dtype) else p, op, "p", 0.0, 1.0)


def _is(x: Any, number: float) -> bool:
    """True for a scalar that is known to be this number."""
    return is_weak(x) and x == number


# --- floats -------------------------------------------------------------------------------------------------------


def uniform(
    random_state: Any, size: Any = None, low: Any = 0.0, high: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Drawn:
    """Numbers uniform between ``low`` and ``high``, which carry a gradient.

    Parameters
    ----------
    random_state
        The state of a stream, uint64 of shape (2,).
    size
        The shape: a size, a tuple of sizes, which may be symbolic, or an integer vector. By default the shape that the
        parameters broadcast to; where it is given they must broadcast to it. An entry of -1 stands for their extent.
    low, high
        Numbers or tensors. Both bounds are excluded but for rounding; 0 and 1 themselves never come up.
    ndim
        Number of dimensions; needed where ``size`` is a vector of unknown length.
    dtype
        By default the common dtype of the parameters and ``config.floatX``.

    Returns
    -------
    tuple
        The next state, and the sample.

    Raises
    ------
    ShapeError, DtypeError
        If a shape or a dtype does not fit.

    >>> import numpy as np, tinygraph as tg
    >>> _, u = uniform(tg.shared(np.array([7, 0], "uint64")), (2, 3))
    >>> u.type, bool((u.eval() < 1).all())
    (TensorType('float64', (2, 3)), True)
    """
    out, work = _dtypes(dtype, low, high)
    shape, (a, b) = sized("uniform", size, ndim, [cast(low, work), cast(high, work)])
    u = Uniform(work)(random_state, shape)
    if not (_is(low, 0) and _is(high, 1)):
        u = add(mul(u, sub(b, a)), a)
    return advance(random_state), cast(u, out)


def normal(
    random_state: Any,
    size: Any = None,
    avg: Any = 0.0,
    std: Any = 1.0,
    ndim: int | None = None,
    dtype: Any = None,
    truncate: bool = False,
) -> Drawn:
    """Normal numbers of mean ``avg`` and standard deviation ``std``, which carry a gradient.

    Parameters
    ----------
    random_state, size, ndim, dtype
        As for ``uniform``.
    avg, std
        Numbers or tensors; ``std`` must not be negative.
    truncate
        True cuts the distribution off at two standard deviations, which makes its own deviation smaller.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape, a dtype or ``std`` does not fit.

    >>> import numpy as np, tinygraph as tg, tinygraph.tensor as T
    >>> mean = T.dvector("mean")
    >>> _, x = normal(tg.shared(np.array([7, 0], "uint64")), avg=mean, std=0.1)
    >>> tg.grad(x.sum(), mean).eval({mean: [1.0, 2.0]}).tolist()
    [1.0, 1.0]
    """
    return _normal("normal", random_state, size, avg, std, ndim, dtype, truncate)


def truncated_normal(
    random_state: Any, size: Any = None, avg: Any = 0.0, std: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Drawn:
    """Normal numbers of mean ``avg`` cut off on both sides, so that ``std`` is their standard deviation.

    The cut is at 2 standard deviations of the whole normal distribution, about 2.27 ``std``. Arguments and errors are
    those of ``normal``.
    """
    out, _ = _dtypes(dtype, avg, std)
    whole = std / _TRUNCATED if is_weak(std) else true_div(std, _TRUNCATED)
    return _normal("truncated_normal", random_state, size, avg, whole, ndim, out, True)


def _normal(op: str, random_state: Any, size: Any, avg: Any, std: Any, ndim: Any, dtype: Any, truncate: bool) -> Drawn:
    out, work = _dtypes(dtype, avg, std)
    deviation = in_domain(cast(std, work), op, "std", 0.0)
    shape, (mean, deviation) = sized(op, size, ndim, [cast(avg, work), deviation])
    z = Normal(work, _BOUND if truncate else math.inf)(random_state, shape)
    if not _is(std, 1):
        z = mul(z, deviation)
    if not _is(avg, 0):
        z = add(z, mean)
    return advance(random_state), cast(z, out)


def exponential(
    random_state: Any, size: Any = None, scale: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Drawn:
    """Exponential numbers of mean ``scale``, which carry a gradient.

    Parameters
    ----------
    random_state, size, ndim, dtype
        As for ``uniform``.
    scale
        A number or a tensor, not negative.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape, a dtype or ``scale`` does not fit.
    """
    out, work = _dtypes(dtype, scale)
    factor = in_domain(cast(scale, work), "exponential", "scale", 0.0)
    shape, (factor,) = sized("exponential", size, ndim, [factor])
    e = neg(log(Uniform(work)(random_state, shape)))
    return advance(random_state), cast(e if _is(scale, 1) else mul(e, factor), out)


def gumbel(
    random_state: Any, size: Any = None, loc: Any = 0.0, scale: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Drawn:
    """Numbers of Gumbel's distribution of maxima, which carry a gradient.

    Added to the logarithms of weights, their largest is at a category drawn in proportion to the weights.

    Parameters
    ----------
    random_state, size, ndim, dtype
        As for ``uniform``.
    loc, scale
        Mode and scale, numbers or tensors; ``scale`` must not be negative.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape, a dtype or ``scale`` does not fit.
    """
    out, work = _dtypes(dtype, loc, scale)
    factor = in_domain(cast(scale, work), "gumbel", "scale", 0.0)
    shape, (mode, factor) = sized("gumbel", size, ndim, [cast(loc, work), factor])
    g = neg(log(neg(log(Uniform(work)(random_state, shape)))))
    return advance(random_state), cast(add(mul(g, factor), mode), out)


def gamma(
    random_state: Any, size: Any = None, shape: Any = 1.0, scale: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Drawn:
    """Numbers of the gamma distribution, which carry a gradient: along fixed quantiles for ``shape``.

    Parameters
    ----------
    random_state, size, ndim, dtype
        As for ``uniform``.
    shape, scale
        Numbers or tensors, not negative. The mean is ``shape * scale``.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape, a dtype or a parameter does not fit.

    >>> import numpy as np, tinygraph as tg
    >>> _, x = gamma(tg.shared(np.array([7, 0], "uint64")), (10000,), 3.0, 2.0)
    >>> bool(abs(x.eval().mean() - 6) < 0.1)
    True
    """
    out, work = _dtypes(dtype, shape, scale)
    form = in_domain(cast(shape, work), "gamma", "shape", 0.0)
    factor = in_domain(cast(scale, work), "gamma", "scale", 0.0)
    sizes, (form, factor) = sized("gamma", size, ndim, [form, factor])
    g = exp(LogGamma(work)(random_state, sizes, form))
    return advance(random_state), cast(g if _is(scale, 1) else mul(g, factor), out)


def beta(
    random_state: Any, size: Any = None, a: Any = 1.0, b: Any = 1.0, ndim: int | None = None, dtype: Any = None
) -> Drawn:
    """Numbers of the beta distribution, which carry a gradient.

    Parameters
    ----------
    random_state, size, ndim, dtype
        As for ``uniform``.
    a, b
        Numbers or tensors, positive. The mean is ``a / (a + b)``.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape, a dtype or a parameter does not fit.
    """
    out, work = _dtypes(dtype, a, b)
    forms = [in_domain(cast(x, work), "beta", name, 0.0, above=True) for x, name in ((a, "a"), (b, "b"))]
    shape, (first, second) = sized("beta", size, ndim, forms)
    drawn = LogGamma(work)(random_state, shape, first), LogGamma(work)(advance(random_state), shape, second)
    return advance(random_state, 2), cast(sigmoid(sub(*drawn)), out)


# --- integers -----------------------------------------------------------------------------------------------------


def random_integers(
    random_state: Any, size: Any = None, low: Any = 0, high: Any = 1, ndim: int | None = None, dtype: Any = "int64"
) -> Drawn:
    """Integers from ``low`` to ``high``, both included, all equally likely.

    Parameters
    ----------
    random_state, size, ndim
        As for ``uniform``.
    low, high
        Integers, or tensors of them.
    dtype
        To which dtype the result is converted.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape or a dtype does not fit, or ``high`` is less than ``low``.

    >>> import numpy as np, tinygraph as tg
    >>> _, die = random_integers(tg.shared(np.array([7, 0], "uint64")), (1000,), 1, 6)
    >>> sorted(set(die.eval().tolist()))
    [1, 2, 3, 4, 5, 6]
    """
    bounds = [integers(low, "random_integers", "low"), integers(high, "random_integers", "high")]
    shape, bounds = sized("random_integers", size, ndim, bounds)
    return advance(random_state), cast(Integers("int64")(random_state, shape, *bounds), dtype)


def binomial(
    random_state: Any,
    size: Any = None,
    n: Any = 1,
    p: Any = 0.5,
    ndim: int | None = None,
    dtype: Any = "int64",
    prob: Any = None,
) -> Drawn:
    """Numbers of successes among ``n`` trials that succeed with probability ``p``.

    Parameters
    ----------
    random_state, size, ndim
        As for ``uniform``.
    n, p
        Numbers or tensors.
    dtype
        To which dtype the result is converted; floats are fine for masks.
    prob
        An older name for ``p``.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape or a dtype does not fit, ``n`` is negative or ``p`` is not between 0 and 1.

    >>> import numpy as np, tinygraph as tg
    >>> _, mask = binomial(tg.shared(np.array([7, 0], "uint64")), (2, 4), n=1, p=0.5, dtype="float32")
    >>> mask.type
    TensorType('float32', (2, 4))
    """
    return _binomial("binomial", random_state, size, n, p if prob is None else prob, ndim, dtype)


def bernoulli(
    random_state: Any, size: Any = None, p: Any = 0.5, ndim: int | None = None, dtype: Any = "int64"
) -> Drawn:
    """1 with probability ``p``, otherwise 0: ``binomial`` with one trial."""
    return _binomial("bernoulli", random_state, size, 1, p, ndim, dtype)


def _binomial(op: str, random_state: Any, size: Any, n: Any, p: Any, ndim: Any, dtype: Any) -> Drawn:
    chance = _probability(p, op)
    count = integers(n, op, "n")
    if isinstance(count, Constant) and count.ndim == 0 and count.data == 1:
        shape, (chance,) = sized(op, size, ndim, [chance])
        return advance(random_state), cast(lt(Uniform(chance.dtype)(random_state, shape), chance), dtype)
    count = in_domain(count, op, "n", 0, COUNTS)
    shape, params = sized(op, size, ndim, [count, chance])
    return advance(random_state), cast(Binomial("int64")(random_state, shape, *params), dtype)


def poisson(
    random_state: Any, size: Any = None, lam: Any = 1.0, ndim: int | None = None, dtype: Any = "int64"
) -> Drawn:
    """Numbers of events of which ``lam`` are expected.

    Parameters
    ----------
    random_state, size, ndim
        As for ``uniform``.
    lam
        A number or a tensor, not negative.
    dtype
        To which dtype the result is converted.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If a shape, a dtype or ``lam`` does not fit.
    """
    mean = in_domain(cast(lam, "float64"), "poisson", "lam", 0.0, COUNTS)
    shape, (mean,) = sized("poisson", size, ndim, [mean])
    return advance(random_state), cast(Poisson("int64")(random_state, shape, mean), dtype)
