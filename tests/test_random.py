"""Random numbers: bits against published vectors, distributions against SciPy, gradients."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import arrays
from tinygraph.ops import philox
from tinygraph.ops.implicit import LogGammaSlope
from tinygraph.sandbox.rng_mrg import MRG_RandomStreams
from tinygraph.tensor.shared_randomstreams import RandomStreams

XP = arrays.get("numpy")
BOTH = pytest.mark.parametrize("streams", [RandomStreams, MRG_RandomStreams])
N = 40_000


def draw(build, seed=1234):
    """One call's values of a random variable of a fresh stream."""
    return tg.function([], build(RandomStreams(seed)))()


def fits(pvalue):
    """The seeds are fixed, so a test that passes once passes for ever."""
    return pvalue > 1e-3


# --- bits ---------------------------------------------------------------------------------------------------------


def _words(counter, key):
    as_columns = [np.array(v, "uint64").reshape(2, 1) for v in (counter[0::2], counter[1::2], key)]
    even, odd = philox.philox(XP, *as_columns)
    return [int(w) for w in (even[0, 0], odd[0, 0], even[1, 0], odd[1, 0])]


ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    assert tuple(_words(counter, key)) == expected


def test_a_place_decides_its_bits():
    state = np.array([5, 2**40 + 7], "uint64")
    many = philox.words(XP, state, 100_000)
    np.testing.assert_array_equal(philox.words(XP, state, 77_777), many[:77_777])
    np.testing.assert_array_equal(philox.uniforms(XP, state, 200_000, "float32")[0::2], (many >> 40) * 2.0**-24)
    np.testing.assert_array_equal(philox.uniforms(XP, state, 100_000, "float64"), (many >> 11) * 2.0**-53)
    place = np.array([49_999, 3], "uint64")
    np.testing.assert_array_equal(philox.words_at(XP, state, place, 0).T.ravel(), [*many[-2:], *many[6:8]])
    assert len({*philox.words_at(XP, state, place, 1).ravel(), *many}) == 100_004


def test_every_bit_of_state_place_and_attempt_counts():
    base, seen = np.array([0, 0], "uint64"), set()
    for entry in (0, 1):
        for bit in range(64):
            state = base.copy()
            state[entry] = 1 << bit
            seen.add(int(philox.words(XP, state, 1)[0]))
    for bit in range(48):
        seen.add(int(philox.words_at(XP, base, np.array([1 << bit], "uint64"), 0)[0, 0]))
    for bit in range(16):
        seen.add(int(philox.words_at(XP, base, np.array([0], "uint64"), 1 << bit)[0, 0]))
    assert len(seen) == 128 + 48 + 16


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("float32", 24), ("float64", 53)])
def test_uniform_floats_are_open_and_use_all_bits(dtype, bits, monkeypatch):
    u = philox.uniforms(XP, np.array([1, 2], "uint64"), 200_001, dtype)
    assert u.dtype == dtype
    assert 0 < u.min() < u.max() < 1
    steps = u.astype("float64") * 2.0**bits
    assert set(np.unique(steps % 1)) <= {0.0, 0.5}
    assert (steps % 2 == 1).mean() == pytest.approx(0.5, abs=0.01)
    for word, expected in ((0, 2.0 ** -(bits + 1)), (2**32 - 1, 1 - 2.0**-bits)):
        block = np.full((2, 1), word, "uint64")
        monkeypatch.setattr(philox, "_blocks", lambda *_, block=block: (block, block))
        assert philox.uniforms(XP, None, 1, dtype)[0] == expected


# --- distributions ------------------------------------------------------------------------------------------------

CONTINUOUS = {
    "uniform": (lambda s, n: s.uniform((n,), -1, 3), stats.uniform(-1, 4)),
    "uniform float32": (lambda s, n: s.uniform((n,), dtype="float32"), stats.uniform()),
    "normal": (lambda s, n: s.normal((n,), 2, 3), stats.norm(2, 3)),
    "normal float32": (lambda s, n: s.normal((n,), dtype="float32"), stats.norm()),
    "truncated normal": (
        lambda s, n: s.truncated_normal((n,), 1, 0.5),
        stats.truncnorm(-2, 2, 1, 0.5 / stats.truncnorm.std(-2, 2)),
    ),
    "exponential": (lambda s, n: s.exponential((n,), 2.5), stats.expon(scale=2.5)),
    "gumbel": (lambda s, n: s.gumbel((n,), 1.0, 2.0), stats.gumbel_r(1, 2)),
    "gamma 0.2": (lambda s, n: s.gamma((n,), 0.2, 3.0), stats.gamma(0.2, scale=3)),
    "gamma 1": (lambda s, n: s.gamma((n,), 1), stats.gamma(1)),
    "gamma 7.5": (lambda s, n: s.gamma((n,), 7.5), stats.gamma(7.5)),
    "gamma 1e6": (lambda s, n: s.gamma((n,), 1e6), stats.gamma(1e6)),
    "gamma float32": (lambda s, n: s.gamma((n,), 2, dtype="float32"), stats.gamma(2)),
    "beta": (lambda s, n: s.beta((n,), 0.5, 2.0), stats.beta(0.5, 2)),
    "beta, both large": (lambda s, n: s.beta((n,), 30.0, 20.0), stats.beta(30, 20)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name):
    build, distribution = CONTINUOUS[name]
    x = draw(lambda s: build(s, N))
    assert fits(stats.kstest(x, distribution.cdf).pvalue)
    error = distribution.std() / math.sqrt(N)
    assert abs(x.mean(dtype="float64") - distribution.mean()) < 4 * error
    assert x.std(dtype="float64") == pytest.approx(distribution.std(), rel=0.05)


def test_truncated_normals_stay_inside():
    x = draw(lambda s: s.truncated_normal((N,)))
    bound = 2 / stats.truncnorm.std(-2, 2)
    assert bound - 0.01 < np.abs(x).max() <= bound
    assert x.std() == pytest.approx(1, rel=0.02)
    y = tg.function([], MRG_RandomStreams(3).normal((N,), truncate=True, dtype="float32"))()
    assert 1.99 < np.abs(y).max() <= 2


def test_tails_of_normals_are_there():
    x = draw(lambda s: s.normal((2_000_000,), dtype="float32"))
    assert x.max() > 4.7
    assert x.min() < -4.7
    assert (np.abs(x) > 4).sum() == pytest.approx(2_000_000 * 2 * stats.norm.sf(4), rel=0.35)


DISCRETE = {
    "bernoulli": (lambda s, n: s.bernoulli((n,), 0.3), stats.bernoulli(0.3)),
    "binomial(1)": (lambda s, n: s.binomial((n,), 1, 0.9, dtype="float32"), stats.bernoulli(0.9)),
    "binomial(7, 0.2)": (lambda s, n: s.binomial((n,), 7, 0.2), stats.binom(7, 0.2)),
    "binomial(1000, 0.995)": (lambda s, n: s.binomial((n,), 1000, 0.995), stats.binom(1000, 0.995)),
    "binomial(20, 0.5)": (lambda s, n: s.binomial((n,), 20, 0.5), stats.binom(20, 0.5)),
    "binomial(400, 0.3)": (lambda s, n: s.binomial((n,), 400, 0.3), stats.binom(400, 0.3)),
    "binomial(30, 0.6)": (lambda s, n: s.binomial((n,), 30, 0.6), stats.binom(30, 0.6)),
    "poisson(0.05)": (lambda s, n: s.poisson((n,), 0.05), stats.poisson(0.05)),
    "poisson(4)": (lambda s, n: s.poisson((n,), 4), stats.poisson(4)),
    "poisson(10)": (lambda s, n: s.poisson((n,), 10), stats.poisson(10)),
    "poisson(250)": (lambda s, n: s.poisson((n,), 250.0), stats.poisson(250)),
    "integers": (lambda s, n: s.random_integers((n,), -3, 9), stats.randint(-3, 10)),
    "choice": (lambda s, n: s.choice((n,), 6), stats.randint(0, 6)),
    "choice by weight": (
        lambda s, n: s.choice((n,), 4, p=[0.1, 0.2, 0.3, 0.4]),
        stats.rv_discrete(values=(range(4), (0.1, 0.2, 0.3, 0.4))),
    ),
}


def chi_square(x, distribution):
    """The p-value of counts against a distribution; rare values are put together."""
    low, high = (int(distribution.ppf(q)) for q in (1e-12, 1 - 1e-12))
    values = np.arange(low - 1, high + 2)
    expected = distribution.pmf(values) * len(x)
    assert x.min() >= low - 1
    assert x.max() <= high + 1
    counts = np.bincount(x.astype("int64") - low + 1, minlength=len(values))
    common = expected >= 5
    rare = expected[~common].sum()
    observed, expected = [*counts[common], counts[~common].sum()], [*expected[common], rare]
    if rare < 1:  # too few for a place of their own
        assert observed.pop() < 10
        expected.pop()
    return stats.chisquare(observed, np.array(expected) * (sum(observed) / sum(expected))).pvalue


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name):
    build, distribution = DISCRETE[name]
    assert fits(chi_square(draw(lambda s: build(s, N)), distribution))


@pytest.mark.parametrize("mean", [1e6, 1e12, 2.0**52])
def test_large_counts(mean):
    for x, variance in (
        (draw(lambda s: s.poisson((N,), mean)), mean),
        (draw(lambda s: s.binomial((N,), int(mean), 0.25)) + mean * 0.75, mean * 0.1875),
    ):
        centred = (x - mean) / math.sqrt(variance)
        assert abs(centred.mean()) < 4 / math.sqrt(N)
        assert centred.var() == pytest.approx(1, abs=0.03)
        assert fits(stats.kstest(centred, "norm").pvalue)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 2**63 - 1), (-(2**63), 2**63 - 1), (0, 3 * 2**61), (-(2**62), 2**62), (0, 2**32)]
)
def test_wide_ranges_of_integers(low, high):
    x = draw(lambda s: s.random_integers((N,), low, high))
    assert low <= x.min()
    assert x.max() <= high
    assert fits(stats.kstest((x.astype("float64") - low) / (high - low), "uniform").pvalue)


def test_integers_have_no_bias_where_words_must_be_rejected():
    """Three quarters of all words: taken modulo the span, the first third would come up twice as often."""
    high = 3 * 2**62 - 1 - 2**63
    x = draw(lambda s: s.random_integers((N,), -(2**63), high))
    counts = np.bincount(((x.astype("float64") + 2.0**63) / 2.0**62).astype("int64").clip(0, 2))
    assert fits(stats.chisquare(counts).pvalue)
    even = np.bincount((x.astype("uint64") % np.uint64(3)).astype("int64"))
    assert fits(stats.chisquare(even).pvalue)


def test_multinomial_counts():
    p = np.array([[0.2, 0.3, 0.5], [0.05, 0.9, 0.05]])
    for n in (1, 5, 300):
        x = draw(lambda s, n=n: s.multinomial((N // 4, 2), n, p))
        assert x.shape == (N // 4, 2, 3)
        assert (x.sum(axis=-1) == n).all()
        for row in (0, 1):
            for j in range(3):
                assert fits(chi_square(x[:, row, j], stats.binom(n, p[row, j])))
        expected = -n * p[0, 0] * p[0, 1]
        assert np.cov(x[:, 0, 0], x[:, 0, 1])[0, 1] == pytest.approx(expected, rel=0.15)


def test_choice_without_replacement_is_successive():
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    x = draw(lambda s: s.multinomial_wo_replacement((N,), 2, weights))
    assert (x[:, 0] != x[:, 1]).all()
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    counts = [((x[:, 0] == i) & (x[:, 1] == j)).sum() for i, j in pairs]
    expected = [weights[i] * weights[j] / (1 - weights[i]) * N for i, j in pairs]
    assert fits(stats.chisquare(counts, expected).pvalue)


def test_permutations_are_equally_likely():
    x = draw(lambda s: s.permutation((N // 4,), 4))
    assert (np.sort(x, axis=1) == np.arange(4)).all()
    counts = np.bincount(np.ravel_multi_index(x.T, (4,) * 4))
    counts = counts[counts > 0]
    assert len(counts) == 24
    assert fits(stats.chisquare(counts).pvalue)


# --- gradients ----------------------------------------------------------------------------------------------------


def test_reparameterised_gradients_estimate_the_gradient_of_an_expectation():
    """d/dp E[x ** 2] from samples, against what is known."""
    a, b = T.dscalar("a"), T.dscalar("b")
    cases = [
        (lambda s: s.normal((N,), a, b), lambda a, b: (2 * a, 2 * b)),
        (lambda s: s.uniform((N,), a, b), lambda a, b: ((2 * a + b) / 3, (a + 2 * b) / 3)),
        (lambda s: s.exponential((N,), a * b), lambda a, b: (4 * a * b * b, 4 * a * a * b)),
        (lambda s: s.gamma((N,), a, b), lambda a, b: (b * b * (2 * a + 1), 2 * b * a * (a + 1))),
    ]
    for build, exact in cases:
        x = build(RandomStreams(3))
        found = tg.function([a, b], tg.grad((x**2).mean(), [a, b]))(1.3, 2.1)
        np.testing.assert_allclose(found, exact(1.3, 2.1), rtol=0.03)
    g = RandomStreams(3).gumbel((N,), a, b)
    found = tg.function([a, b], tg.grad(g.mean(), [a, b]))(1.3, 2.1)
    np.testing.assert_allclose(found, [1, np.euler_gamma], rtol=0.03)
    x = RandomStreams(3).beta((N,), a, b)
    found = tg.function([a, b], tg.grad(x.mean(), [a, b]))(1.3, 2.1)
    np.testing.assert_allclose(found, [2.1 / 3.4**2, -1.3 / 3.4**2], rtol=0.03)


@settings(max_examples=60, deadline=None)
@given(a=st.floats(1e-3, 1e4), p=st.floats(1e-6, 1 - 1e-6))
def test_gamma_gradient_follows_the_quantile(a, p):
    """Against central differences of the inverse distribution function; below it in closed form."""
    z = special.gammaincinv(a, p)
    if z > 1e-200:
        h = 1e-4 * a
        low, high = (special.gammaincinv(a + k * h, p) for k in (-1, 1))
        expected = (math.log(high) - math.log(low)) / (2 * h) if low > 1e-250 else None
        y = math.log(z)
    else:
        y = (math.log(p) + special.gammaln(a + 1)) / a
        expected = (special.psi(a + 1) - y) / a
    if expected is not None:
        with arrays.ignore_floating_point():
            found = LogGammaSlope(1).compute(XP, np.array(a), np.array(y))
        assert float(found) == pytest.approx(expected, rel=1e-5)


def test_gamma_gradient_of_large_shapes():
    for a in (1e6, 1e10):
        x = a + math.sqrt(a)
        found = float(LogGammaSlope(1).compute(XP, np.array(a), np.log(np.array(x)))) * x
        assert found == pytest.approx(1 + 0.5 / math.sqrt(a), rel=1e-6)


def test_gamma_gradient_in_single_precision():
    a = T.fvector("a")
    x = RandomStreams(1).gamma(shape=a, dtype="float32")
    g = tg.grad(x.sum(), a)
    assert g.dtype == "float32"
    value = np.array([0.01, 0.5, 3.0, 100.0], "float32")
    assert np.isfinite(tg.function([a], g)(value)).all()


def test_discrete_samples_carry_no_gradient():
    p = T.vector("p")
    srng = RandomStreams(1)
    for sample in (
        srng.binomial(p=p, dtype="float64"),
        srng.binomial(n=9, p=p, dtype="float64"),
        srng.poisson(lam=p, dtype="float64"),
        srng.multinomial(pvals=p, dtype="float64"),
        srng.choice((2,), 2, p=p, dtype="float64"),
    ):
        found = tg.grad((sample * p).sum(), p)  # only the visible p counts
        f = tg.function([p], [found, sample])
        gradient, value = f(np.array([0.25, 0.75]))
        np.testing.assert_array_equal(gradient, value)
        with pytest.raises(tg.errors.DisconnectedInputError):
            tg.grad(sample.sum(), p)
