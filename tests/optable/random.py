"""Rows of samplers: the values against a plain Philox in Python integers, the gradients by finite differences."""

import math
from functools import partial

import numpy as np
from scipy import special, stats

import tinygraph.tensor as T
from tests.optable.case import Arg, Case
from tinygraph.ops.implicit import LogGammaSlope
from tinygraph.ops.samplers import LogGamma

STATE = Arg((2,), dtype="uint64", draw=lambda rng, shape: np.array([0x9E3779B97F4A7C15, 3], "uint64"))


def philox(counter, key):
    """The block for four words of counter and two of key, as its authors write it."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def block(state, place, attempt=0):
    key, call = int(state[0]), int(state[1])
    low = 0xFFFFFFFF
    counter = (place & low, (place >> 32) | (attempt << 16), call & low, call >> 32)
    return philox(counter, (key & low, key >> 32))


def words(state, count):
    """64-bit words, in order."""
    out = []
    for place in range(-(-count // 2)):
        a, b, c, d = block(state, place)
        out += [a << 32 | b, c << 32 | d]
    return out[:count]


def uniforms(state, shape):
    values = [max((w >> 11) * 2.0**-53, 2.0**-54) for w in words(state, math.prod(shape))]
    return np.array(values).reshape(shape)


def centred(state, shape):
    return np.array([((w >> 12) + 0.5) * 2.0**-52 for w in words(state, math.prod(shape))]).reshape(shape)


def normals(state, shape):
    return special.ndtri(centred(state, shape))


def integers(state, shape, low, high):
    low, high = (np.broadcast_to(b, shape).reshape(-1) for b in (low, high))
    drawn = zip(words(state, math.prod(shape)), low, high, strict=True)
    return np.array([int(a) + (w * (int(b) - int(a) + 1) >> 64) for w, a, b in drawn]).reshape(shape)


def inverted(distribution, state, shape):
    """Counts by inversion of the distribution function, each from the first word of its own block."""
    u = [((block(state, i)[0] << 32 | block(state, i)[1]) >> 12) + 0.5 for i in range(math.prod(shape))]
    return distribution.ppf(np.array(u).reshape(shape) * 2.0**-52).astype("int64")


def gammas(state, shape, a):
    """Marsaglia and Tsang's method, element by element."""

    def pair(i, attempt):
        w = block(state, i, attempt)
        return [((w[j] << 32 | w[j + 1]) // 2**12 + 0.5) * 2.0**-52 for j in (0, 2)]

    out = []
    for i, form in enumerate(np.broadcast_to(a, shape).reshape(-1)):
        d = form + (form < 1) - 1 / 3
        attempt = 1
        while True:
            u, v = pair(i, attempt)
            x = special.ndtri(u)
            cube = (1 + x / math.sqrt(9 * d)) ** 3
            if cube > 0 and math.log(v) < x * x / 2 + d - d * cube + d * math.log(cube):
                break
            attempt += 1
        out.append(math.log(d * cube) + (math.log(pair(i, 0)[0]) / form if form < 1 else 0.0))
    return np.array(out).reshape(shape)


def later(state, calls=1):
    return state + np.array([0, calls], "uint64")


def row(name, reference, args=(), shape=(3, 4), **options):
    """A row for a sampler ``name``: the next state, and the sample, for parameters given by keyword."""
    function = name.partition(":")[0]
    keywords = options.pop("keywords", ())
    settings = options.pop("settings", {})
    calls = options.pop("calls", 1)

    def build(state, *params):
        given = dict(zip(keywords, params, strict=True))
        return list(getattr(T.raw_random, function)(state, **given, **settings))

    return Case(
        f"random {name}",
        f"raw_random.{function}",
        build,
        lambda state, *params: [later(state, calls), reference(state, shape, *params)],
        (STATE, *args),
        rtol=(1e-4, 1e-9),
        **options,
    )


SIZE = {"size": (3, 4)}
POSITIVE = Arg(low=0.5, high=3.0)
SCALE = Arg((), low=0.5, high=2.0)
WEIGHTS = Arg((3, 5), draw=lambda rng, shape: rng.random(shape) + 0.1)


def _rows(weights):
    return weights / weights.sum(axis=-1, keepdims=True)


def categories(state, shape, p):
    p = _rows(p)
    below = np.cumsum(p, axis=-1)
    return (below <= uniforms(state, p.shape[:-1])[..., None]).sum(-1)


def one_hot(state, shape, p):
    return np.eye(p.shape[-1], dtype="int64")[categories(state, shape, p)]


def multinomials(state, shape, p):
    """20 draws, each count given those before it."""
    p = _rows(p)
    count, n = p.shape
    out = np.zeros((count, n), "int64")
    for i in range(count):
        left = 20
        for j in range(n - 1):
            chance = p[i, j] / p[i, j:].sum()
            flipped = chance > 0.5
            low, high, *_ = block(state, i * n + j)
            u = (((low << 32 | high) >> 12) + 0.5) * 2.0**-52
            k = int(stats.binom(left, 1 - chance if flipped else chance).ppf(u))
            out[i, j] = left - k if flipped else k
            left -= out[i, j]
        out[i, -1] = left
    return out


def first_ones(state, shape, p, k=2):
    times = -np.log(uniforms(state, p.shape)) / p
    return np.argsort(times, axis=-1)[..., :k]


CASES = [
    row("uniform", uniforms, settings=SIZE),
    row(
        "uniform: bounds",
        lambda s, shape, a, b: a + (b - a) * uniforms(s, shape),
        (Arg((4,)), Arg((3, 1), low=3.0, high=4.0)),
        keywords=("low", "high"),
    ),
    row("normal", normals, settings=SIZE),
    row(
        "normal: parameters",
        lambda s, shape, a, b: a + b * normals(s, shape),
        (Arg(), SCALE),
        keywords=("avg", "std"),
    ),
    row(
        "normal: size and broadcasting",
        lambda s, shape, a, b: a + b * normals(s, shape),
        (Arg((4,)), Arg((3, 1), low=0.5, high=2.0)),
        keywords=("avg", "std"),
        settings={"size": (3, -1)},
    ),
    row(
        "truncated_normal",
        lambda s, shape, a, b: (
            a
            + b
            / stats.truncnorm.std(-2, 2)
            * special.ndtri(special.ndtr(-2) + (1 - 2 * special.ndtr(-2)) * centred(s, shape))
        ),
        (Arg((4,)), SCALE),
        keywords=("avg", "std"),
        settings=SIZE,
    ),
    row(
        "exponential",
        lambda s, shape, a: -a * np.log(uniforms(s, shape)),
        (POSITIVE,),
        keywords=("scale",),
    ),
    row(
        "gumbel",
        lambda s, shape, a, b: a - b * np.log(-np.log(uniforms(s, shape))),
        (Arg(), SCALE),
        keywords=("loc", "scale"),
    ),
    row(
        "gamma",
        lambda s, shape, a, b: b * np.exp(gammas(s, shape, a)),
        (Arg(low=0.3, high=3.0), SCALE),
        keywords=("shape", "scale"),
        wrt=(2,),
    ),
    row(
        "beta",
        lambda s, shape, a, b: special.expit(gammas(s, shape, a) - gammas(later(s), shape, b)),
        (Arg(low=0.3, high=3.0), Arg((), low=2.0, high=4.0)),
        keywords=("a", "b"),
        calls=2,
        wrt=(),
    ),
    row(
        "random_integers",
        integers,
        (Arg((4,), low=-5, high=0, dtype="int64"), Arg((3, 1), low=1, high=1000, dtype="int64")),
        keywords=("low", "high"),
    ),
    row(
        "bernoulli",
        lambda s, shape, p: (uniforms(s, shape) < p) * 1,
        (Arg(low=0.0, high=1.0, dtype="float64"),),
        keywords=("p",),
        wrt=(),
    ),
    row(
        "binomial",
        lambda s, shape, p: (uniforms(s, shape) < p) * 1.0,
        (Arg(low=0.0, high=1.0, dtype="float64"),),
        keywords=("p",),
        settings={"dtype": "float64", "n": 1},
        wrt=(),
    ),
    row(
        "binomial: several trials",
        lambda s, shape, n, p: inverted(stats.binom(n, p), s, shape),
        (Arg((4,), low=0, high=20, dtype="int64"), Arg((3, 1), low=0.05, high=0.45)),
        keywords=("n", "p"),
        wrt=(),
    ),
    row(
        "poisson",
        lambda s, shape, lam: inverted(stats.poisson(lam), s, shape),
        (Arg(low=0.5, high=8.0),),
        keywords=("lam",),
        wrt=(),
    ),
    row(
        "multinomial",
        one_hot,
        (WEIGHTS,),
        keywords=("pvals",),
        wrt=(),
    ),
    row("multinomial: several draws", multinomials, (WEIGHTS,), keywords=("pvals",), settings={"n": 20}, wrt=()),
    row(
        "multinomial_wo_replacement",
        first_ones,
        (WEIGHTS,),
        keywords=("pvals",),
        settings={"n": 2},
        wrt=(),
    ),
    row(
        "choice",
        lambda s, shape, a: np.asarray(a)[integers(s, shape, 0, 4)],
        (Arg((5,)),),
        keywords=("a",),
        settings=SIZE,
        wrt=(1,),
    ),
    row(
        "choice_of_rows",
        lambda s, shape, p: first_ones(s, shape, p, 3),
        (WEIGHTS,),
        keywords=("p",),
        settings={"size": 3, "replace": False},
        wrt=(),
    ),
    row(
        "permutation",
        lambda s, shape: np.argsort(uniforms(s, (2, 6)), axis=-1),
        settings={"size": (2,), "n": 6},
    ),
    row(
        "shuffle_row_elements",
        lambda s, shape, x: np.take_along_axis(x, np.argsort(uniforms(s, shape), axis=-1), -1),
        (Arg(),),
        keywords=("input",),
    ),
]


def _with_rows(case):
    """The same, with weights made into probabilities inside the graph where they must be."""
    if "multinomial" not in case.name or "wo_replacement" in case.name:
        return case
    inner = case.build

    def build(state, weights):
        return inner(state, weights / weights.sum(axis=-1, keepdims=True))

    return Case(**{**vars(case), "build": build})


CASES = [_with_rows(case) for case in CASES]


def _slope(a, y):
    """By central differences of the logarithm of the quantile, in steps that are small and yet not too small."""
    z = np.exp(np.asarray(y, "float64"))
    a = np.asarray(a, "float64")
    p = special.gammainc(a, z)
    h = 1e-3 * a
    steps = [special.gammaincinv(a + k * h, p) for k in (-2, -1, 1, 2)]
    lower, low, high, higher = map(np.log, steps)
    return (8 * (high - low) - (higher - lower)) / (12 * h)


CASES += [
    Case(
        "random gamma: slope along a quantile",
        "raw_random.gamma",
        LogGammaSlope(1),
        _slope,
        (Arg(low=0.5, high=4.0), Arg(low=-1.5, high=1.5)),
        rtol=(1e-4, 1e-8),
        broadcasts=True,
    ),
    Case(
        "random gamma: logarithms of small values",
        "raw_random.gamma",
        partial(lambda op, s, a: op(s, T.shape(a), a), LogGamma("float64")),
        lambda s, a: gammas(s, a.shape, a),
        (STATE, Arg((6,), low=0.001, high=0.5, dtype="float64")),
        wrt=(),
    ),
]
