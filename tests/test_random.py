"""Random streams: bits against published vectors, distributions against SciPy, states, shapes, gradients and errors."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import tinygraph as tg
import tinygraph.tensor as T
from tinygraph import arrays
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.ops import philox
from tinygraph.ops.implicit import LogGammaSlope
from tinygraph.ops.samplers import ParameterError
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
    many = philox.words(XP, state, 100_000, "uint64")
    np.testing.assert_array_equal(philox.words(XP, state, 77_777, "uint64"), many[:77_777])
    halves = philox.words(XP, state, 200_000, "uint32").astype("uint64")
    np.testing.assert_array_equal(halves[0::2] << 32 | halves[1::2], many)
    place = np.array([49_999, 3], "uint64")
    np.testing.assert_array_equal(philox.words_at(XP, state, place, 0).T.ravel(), [*many[-2:], *many[6:8]])
    assert len({*philox.words_at(XP, state, place, 1).ravel(), *many}) == 100_004


def test_every_bit_of_state_place_and_attempt_counts():
    base, seen = np.array([0, 0], "uint64"), set()
    for entry in (0, 1):
        for bit in range(64):
            state = base.copy()
            state[entry] = 1 << bit
            seen.add(int(philox.words(XP, state, 1, "uint64")[0]))
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
    for word, expected in ((0, 2.0 ** -(bits + 1)), (2**64 - 1, 1 - 2.0**-bits)):
        monkeypatch.setattr(
            philox, "words", lambda xp, state, n, kind, w=word: np.full(n, w % 2 ** int(kind[4:]), dtype=kind)
        )
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


def _chi_square(x, distribution):
    """The p-value of counts against a distribution; rare values are put together."""
    low, high = (int(distribution.ppf(q)) for q in (1e-12, 1 - 1e-12))
    values = np.arange(low - 1, high + 2)
    expected = distribution.pmf(values) * len(x)
    assert x.min() >= low - 1
    assert x.max() <= high + 1
    counts = np.bincount(x.astype("int64") - low + 1, minlength=len(values))
    common = expected >= 5
    counts = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], max(len(x) - expected[common].sum(), 1e-9))
    return stats.chisquare(counts, expected * (len(x) / expected.sum())).pvalue


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name):
    build, distribution = DISCRETE[name]
    assert fits(_chi_square(draw(lambda s: build(s, N)), distribution))


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
                assert fits(_chi_square(x[:, row, j], stats.binom(n, p[row, j])))
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


# --- independence and reproduction --------------------------------------------------------------------------------


def _correlations(x, y):
    x, y = x - x.mean(), y - y.mean()
    return np.fft.irfft(np.fft.rfft(x) * np.conj(np.fft.rfft(y)), len(x)) / (x.std() * y.std() * len(x))


def test_calls_streams_and_places_are_independent():
    srng = RandomStreams(7)
    one, two = srng.uniform((4096,)), srng.uniform((4096,))
    f = tg.function([], [one, two])
    a, b = f()
    c, d = f()
    bound = 5 / math.sqrt(4096)  # of thousands of correlations
    for x, y in ((a, b), (a, c), (b, d), (a, d)):
        assert np.abs(_correlations(x, y)).max() < bound
    assert np.abs(_correlations(a, a)[1:]).max() < bound
    assert fits(stats.kstest(np.concatenate([a, b, c, d]), "uniform").pvalue)


def test_neighbouring_seeds_are_independent():
    rows = np.array([draw(lambda s: s.normal((512,)), seed) for seed in range(40)])
    off_diagonal = np.corrcoef(rows)[np.triu_indices(40, 1)]
    assert np.abs(off_diagonal).max() < 5 / math.sqrt(512)
    assert off_diagonal.std() == pytest.approx(1 / math.sqrt(512), rel=0.15)


def test_the_first_numbers_of_many_streams_are_uniform():
    srng = RandomStreams(3)
    f = tg.function([], [srng.uniform() for _ in range(500)])
    assert fits(stats.kstest(f(), "uniform").pvalue)
    keys = srng.get_state()[:, 0]
    assert len(set(keys.tolist())) == 500


@BOTH
def test_a_seed_reproduces(streams):
    def values(seed):
        srng = streams(seed)
        f = tg.function([], [srng.uniform((3,)), srng.normal((2, 2)), srng.gamma((4,), 0.7), srng.permutation(n=5)])
        return np.concatenate([np.ravel(v) for _ in range(2) for v in f()])

    np.testing.assert_array_equal(values(5), values(5))
    assert (values(5) != values(6)).sum() > 20
    np.testing.assert_array_equal(values([1, 2, 3, 4, 5, 6]), values([1, 2, 3, 4, 5, 6]))
    np.testing.assert_array_equal(values(np.int64(9)), values(9))
    assert (values(2**70) != values(2**70 % 2**64)).sum() > 20


def test_no_seed_is_another_seed_each_time():
    assert (draw(lambda s: s.uniform((5,)), None) != draw(lambda s: s.uniform((5,)), None)).all()


def test_shape_is_only_a_view_of_the_order():
    flat = draw(lambda s: s.gamma((12,), 0.6))
    np.testing.assert_array_equal(draw(lambda s: s.gamma((3, 4), 0.6)), flat.reshape(3, 4))
    np.testing.assert_array_equal(draw(lambda s: s.gamma((100_000,), 0.6))[:12], flat)
    np.testing.assert_array_equal(
        draw(lambda s: s.poisson(lam=np.full(70_000, 12.0)))[:5], draw(lambda s: s.poisson((5,), 12.0))
    )


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_modes_give_the_same_numbers(mode):
    x = T.matrix("x")
    f = tg.function([x], RandomStreams(8).normal(avg=x, std=T.exp(x)), mode=mode)
    value = np.zeros((2, 3))
    np.testing.assert_array_equal(f(value), draw(lambda s: s.normal((2, 3)), 8))


# --- states -------------------------------------------------------------------------------------------------------


@BOTH
def test_updates_as_in_the_tutorial(streams):
    srng = streams(seed=234)
    rv_u, rv_n = srng.uniform((2, 2)), srng.normal((2, 2))
    f = tg.function([], rv_u)
    g = tg.function([], rv_n, no_default_updates=True)
    nearly_zeros = tg.function([], rv_u + rv_u - 2 * rv_u)
    assert (f() != f()).all()
    np.testing.assert_array_equal(g(), g())
    assert np.abs(nearly_zeros()).max() < 1e-12
    h = tg.function([], rv_n, no_default_updates=[rv_n.rng])
    np.testing.assert_array_equal(h(), g())
    assert (tg.function([], rv_n)() == g()).all() is np.False_


@BOTH
def test_explicit_and_default_updates_agree(streams):
    def run(updates):
        srng = streams(11)
        u = srng.uniform((3,))
        f = tg.function([], u, updates=updates(srng, u))
        return [f(), f()]

    expected = run(lambda srng, u: None)
    assert (expected[0] != expected[1]).all()
    for updates in (lambda srng, u: srng.updates(), lambda srng, u: [u.update], lambda srng, u: srng.state_updates):
        np.testing.assert_array_equal(run(updates), expected)


def test_seeding_one_stream_as_in_the_tutorial():
    srng = RandomStreams(seed=234)
    rv_u = srng.uniform((2, 2))
    f = tg.function([], rv_u)
    first = f()
    rng_val = rv_u.rng.get_value(borrow=True)
    rng_val.seed(89234)
    rv_u.rng.set_value(rng_val, borrow=True)
    seeded = f()
    assert (seeded != first).all()
    state_after = rv_u.rng.get_value().get_state()
    v1 = f()
    rng = rv_u.rng.get_value(borrow=True)
    rng.set_state(state_after)
    assert (f() != v1).all()  # a value that was got is a copy
    rv_u.rng.set_value(rng, borrow=True)
    np.testing.assert_array_equal(f(), v1)


@BOTH
def test_seed_starts_all_streams_anew(streams):
    srng = streams(902340)
    u, n = srng.uniform((2,)), srng.normal((2,))
    f = tg.function([], [u, n])
    first = f()
    f()
    srng.seed()
    np.testing.assert_array_equal(f(), first)
    srng.seed(902340)
    np.testing.assert_array_equal(f(), first)
    srng.seed(5)
    later = srng.uniform((2,))
    other = streams(5)
    expected = tg.function([], [other.uniform((2,)), other.normal((2,)), other.uniform((2,))])()
    np.testing.assert_array_equal([*f(), tg.function([], later)()], expected)


@BOTH
def test_states_are_carried_over(streams):
    class Model:
        def __init__(self, seed):
            self.rng = streams(seed)
            self.f = tg.function([], [self.rng.uniform((2,)), self.rng.normal((2,))])

    one, two = Model(123), Model(987)
    one.f()
    for (old, _), (new, _) in zip(one.rng.state_updates, two.rng.state_updates, strict=True):
        new.set_value(old.get_value())
    two.rng.rstate = one.rng.rstate
    np.testing.assert_array_equal(one.f(), two.f())
    np.testing.assert_array_equal(one.rng.uniform((3,)).eval(), two.rng.uniform((3,)).eval())
    saved = pickle.loads(pickle.dumps(np.asarray(one.rng.get_state())))
    expected = one.f()
    one.f()
    one.rng.set_state(saved)
    np.testing.assert_array_equal(one.f(), expected)


def test_states_by_item():
    srng = RandomStreams(1)
    u = srng.uniform((4,))
    f = tg.function([], u)
    state = srng[u.rng]
    first = f()
    srng[u.rng] = state
    np.testing.assert_array_equal(f(), first)
    assert state.dtype == "uint64"
    assert u.rng.tag.is_rng


def test_wrong_states_and_seeds():
    srng = RandomStreams(1)
    u = srng.uniform()
    for wrong in (np.zeros((2, 2), "uint64"), np.zeros((1, 3), "uint64")):
        with pytest.raises(ShapeError):
            srng.set_state(wrong)
    with pytest.raises(ShapeError):
        srng.set_state(np.zeros((1, 2), "int64"))
    with pytest.raises(ShapeError):
        srng.rstate = [1, 2, 3]
    with pytest.raises(ValueError, match=r"\(2,\)"):
        u.rng.set_value(np.zeros(3, "uint64"))
    for seed in (-1, 1.5, "x"):
        with pytest.raises(DtypeError):
            RandomStreams(seed)
    with pytest.raises(DtypeError):
        T.raw_random.uniform(T.lvector("state"), (2,))


def test_a_failed_call_changes_nothing():
    srng, other = RandomStreams(1), RandomStreams(1)
    with pytest.raises(ShapeError):
        srng.normal((3,), avg=T.matrix("m"))
    assert srng.state_updates == []
    np.testing.assert_array_equal(srng.uniform((2,)).eval(), other.uniform((2,)).eval())


def test_givens_and_clones():
    srng = RandomStreams(21)
    u = srng.uniform((3,))
    state = u.rng.type("state")
    f = tg.function([state], u, givens={u.rng: state}, no_default_updates=True)
    value = u.rng.get_value()
    np.testing.assert_array_equal(f(value), f(value))
    np.testing.assert_array_equal(f(value), tg.function([], u)())
    copy = u.rng.clone_with_value()
    again = tg.clone(u, replace={u.rng: copy})
    np.testing.assert_array_equal(tg.function([], again, no_default_updates=True)(), tg.function([], u)())
    both = tg.function([], [u, tg.clone(u * 2)])
    a, b = both()
    np.testing.assert_array_equal(2 * a, b)


def test_a_function_and_its_copy_share_the_stream():
    u = RandomStreams(4).uniform((2,))
    f = tg.function([], u)
    g = f.copy()
    assert (f() != g()).all()
    expected = RandomStreams(4).uniform((2,))
    h = tg.function([], expected)
    h(), h()
    np.testing.assert_array_equal(f(), h())


def test_a_failed_function_does_not_draw():
    srng = RandomStreams(2)
    x = T.vector("x")
    f = tg.function([x], srng.uniform((3,)) + x)
    before = srng.get_state()
    with pytest.raises(ShapeError):
        f(np.zeros(2))
    np.testing.assert_array_equal(srng.get_state(), before)
    f(np.zeros(3))
    np.testing.assert_array_equal(srng.get_state(), before + np.array([[0, 1]], "uint64"))


def test_inside_scan():
    srng = RandomStreams(5)

    def step(x):
        return x + srng.normal(x.shape)

    x0 = T.vector("x0")
    path, updates = tg.scan(step, outputs_info=x0, n_steps=200)
    f = tg.function([x0], path, updates=updates)
    first, second = f(np.zeros(30)), f(np.zeros(30))
    steps = np.diff(first, axis=0, prepend=0)
    assert fits(stats.kstest(steps.ravel(), "norm").pvalue)
    assert len(np.unique(steps)) == steps.size
    assert not np.isin(np.diff(second, axis=0), steps).any()


# --- shapes and dtypes --------------------------------------------------------------------------------------------


@BOTH
def test_every_form_of_a_size(streams):
    n, v, x = T.iscalar("n"), T.lvector("v"), T.matrix("x")

    def shape_of(size, **inputs):
        sample = streams(1).uniform(size, ndim=2)
        symbols = {"n": n, "v": v, "x": x}
        return tg.function([symbols[name] for name in inputs], sample)(*inputs.values()).shape

    assert shape_of((2, 3)) == shape_of([2, np.int64(3)]) == shape_of(np.array([2, 3])) == (2, 3)
    assert shape_of((n, 3), n=2) == shape_of([n, n + 1], n=2) == (2, 3)
    assert shape_of(v, v=[2, 3]) == (2, 3)
    assert shape_of(x.shape, x=np.zeros((2, 3))) == (2, 3)
    assert shape_of((x.shape[0], 3), x=np.zeros((2, 5))) == (2, 3)
    assert streams(1).uniform(4).eval().shape == (4,)
    assert streams(1).uniform(np.int32(4)).eval().shape == (4,)
    assert streams(1).uniform(()).eval().shape == streams(1).uniform().eval().shape == ()


def test_known_extents_are_known():
    srng = RandomStreams(1)
    assert srng.uniform((T.lscalar("n"), 1), ndim=2).broadcastable == (False, True)
    assert srng.multinomial((4, T.lscalar("n")), 3, [0.2, 0.8]).type.shape == (4, None, 2)
    assert srng.permutation((3,), 5).type.shape == (3, 5)
    x = T.matrix("x")
    g = tg.grad((x * srng.binomial(x.shape, p=0.5, dtype="float64")).sum(), x)
    assert "sum_to" not in str(tg.printing.debugprint(g, file="str")) if hasattr(tg, "printing") else True


def test_shapes_from_parameters():
    srng = RandomStreams(1)
    a, b = T.vector("a"), T.matrix("b")
    f = tg.function([a, b], [srng.normal(avg=a, std=b), srng.normal((5, -1, -1), a, b), srng.poisson((2, 3), T.exp(a))])
    for x, shape in zip(f(np.zeros(3), np.ones((2, 1))), [(2, 3), (5, 2, 3), (2, 3)], strict=True):
        assert x.shape == shape
    g = tg.function([a], srng.uniform(low=a, size=(3,)))
    assert g(np.zeros(3)).shape == g(np.zeros(1)).shape == (3,)
    with pytest.raises(ValueError, match="broadcast"):
        g(np.zeros(2))


@pytest.mark.parametrize(
    "build",
    [
        lambda s, x: s.uniform((2, 2), ndim=1),
        lambda s, x: s.uniform((3,), low=x),
        lambda s, x: s.uniform(T.lvector("v")),
        lambda s, x: s.uniform(low=x, ndim=3),
        lambda s, x: s.uniform((-1, 3)),
        lambda s, x: s.uniform((-2, 3)),
        lambda s, x: s.normal((2.5,)),
        lambda s, x: s.uniform((x, 2)),
        lambda s, x: s.random_integers(low=0.5, high=3),
        lambda s, x: s.random_integers(high=x),
        lambda s, x: s.binomial((2,), n=x),
        lambda s, x: s.binomial((2,), n=1.5),
        lambda s, x: s.permutation(n=5, ndim=3),
        lambda s, x: s.permutation(n=2.5),
        lambda s, x: s.choice((2,), p=x),
        lambda s, x: s.choice((2,), a=x),
        lambda s, x: s.choice((2,), replace=T.bscalar("r")),
        lambda s, x: s.choice((2,), a=None),
        lambda s, x: s.multinomial(pvals=0.5),
        lambda s, x: s.multinomial((4, 5), pvals=np.full((3, 2), 0.5)),
        lambda s, x: s.multinomial_wo_replacement(n=2),
        lambda s, x: s.multinomial_wo_replacement(n=x, pvals=[0.5, 0.5]),
        lambda s, x: s.shuffle_row_elements(3.0),
        lambda s, x: MRG_RandomStreams(1).multinomial(),
        lambda s, x: MRG_RandomStreams(1).choice(2, p=x, ndim=1),
    ],
)
def test_wrong_shapes_and_dtypes_fail_at_once(build):
    with pytest.raises((ShapeError, DtypeError)) as err:
        build(RandomStreams(1), T.matrix("x"))
    assert err.value.op
    assert err.value.trace


def test_no_complex_numbers():
    with pytest.raises(DtypeError):
        RandomStreams(1).uniform((2,), dtype="complex64")


def test_symbolic_sizes_are_checked_when_they_are_known():
    v, n = T.lvector("v"), T.lscalar("n")
    f = tg.function([v], RandomStreams(1).uniform(v, ndim=2))
    assert f([2, 3]).shape == (2, 3)
    for wrong in ([4], [4, 3, 4, 5]):
        with pytest.raises(ValueError, match="shape"):
            f(wrong)
    g = tg.function([n], RandomStreams(1).poisson((n, 2), 3))
    with pytest.raises(ShapeError):
        g(-1)


@BOTH
def test_dtypes(streams):
    srng = streams(1)
    for dtype in ("float16", "float32", "float64"):
        for sample in (srng.uniform, srng.normal, srng.exponential, srng.gumbel, srng.gamma, srng.beta):
            assert sample((3,), dtype=dtype).eval().dtype == dtype
    for dtype in ("bool", "int8", "uint16", "int32", "int64", "float32", "float64"):
        for sample in (srng.binomial, srng.bernoulli, srng.poisson, srng.random_integers, srng.permutation):
            assert sample((3,), dtype=dtype).eval().dtype == dtype
        assert srng.binomial((3,), 5, 0.5, dtype=dtype).eval().dtype == dtype
        assert srng.multinomial(pvals=np.full((2, 4), 0.25), dtype=dtype).eval().dtype == dtype
    low, high = T.fscalar("low"), T.dscalar("high")
    assert srng.uniform((2,), low, high).dtype == "float64"
    assert srng.uniform((2,), low, high, dtype="float32").dtype == "float32"
    assert srng.random_integers((20,), 255, 257, dtype="int8").eval().min() >= -1
    assert set(srng.uniform((50,), 0, 3, dtype="int32").eval()) == {0, 1, 2}


def test_dtypes_follow_floatx(monkeypatch):
    monkeypatch.setattr(tg.config, "floatX", "float32")
    srng = RandomStreams(1)
    assert srng.uniform((2,)).dtype == srng.normal((2,), 1.0, 2.0).dtype == srng.gamma((2,), 2.5).dtype == "float32"
    assert srng.normal(avg=T.fvector("m"), std=2).dtype == "float32"
    assert srng.normal(avg=T.dvector("m")).dtype == "float64"
    assert srng.truncated_normal((2,), 0.0, 0.1).dtype == "float32"
    p = T.fmatrix("p")
    mask = srng.binomial(size=p.shape, n=1, p=p, dtype=tg.config.floatX)
    assert tg.function([p], mask)(np.full((2, 3), 0.5, "float32")).dtype == "float32"


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2, 2)])
def test_empty_sizes(shape):
    srng = RandomStreams(1)
    samples = [
        *(getattr(srng, name)(shape) for name in ("uniform", "normal", "truncated_normal", "exponential", "gumbel")),
        *(srng.gamma(shape, 2), srng.beta(shape), srng.binomial(shape), srng.binomial(shape, 9, 0.4)),
        *(
            srng.poisson(shape, 20),
            srng.random_integers(shape),
            srng.choice(shape, 3),
            srng.choice(shape, 3, p=[1, 0, 0]),
        ),
        srng.choice(shape, 3, replace=False),
    ]
    for x in tg.function([], samples)():
        assert x.shape == shape
    assert srng.permutation(shape, 4).eval().shape == (*shape, 4)
    assert srng.permutation(n=0).eval().shape == (0,)
    assert srng.multinomial(shape, 3, [0.5, 0.5]).eval().shape == (*shape, 2)
    assert srng.multinomial(pvals=np.zeros((0, 2))).eval().shape == (0, 2)
    assert srng.multinomial_wo_replacement(n=0, pvals=np.ones((2, 2))).eval().shape == (2, 0)
    assert srng.shuffle_row_elements(np.zeros(shape)).eval().shape == shape


# --- parameters ---------------------------------------------------------------------------------------------------


def test_parameters_at_the_edge():
    p = np.array([0.0, 1.0])
    srng = RandomStreams(1)
    for n in (1, 7, 1000, np.array([30, 30])):
        out = tg.function([], srng.binomial((N // 100, 2), n, T.constant(p) * 1))()
        np.testing.assert_array_equal(out, np.broadcast_to(p * n, out.shape))
    assert not srng.binomial((50,), 0, 0.5).eval().any()
    assert not srng.poisson((50,), 0.0).eval().any()
    assert (srng.normal((50,), 3.0, 0.0).eval() == 3).all()
    assert (srng.uniform((50,), 2.0, 2.0).eval() == 2).all()
    assert not srng.exponential((5,), 0.0).eval().any()
    assert (srng.gumbel((5,), 1.0, 0.0).eval() == 1).all()
    assert not srng.gamma((5,), 0.0).eval().any()
    assert not srng.gamma((5,), 2.0, 0.0).eval().any()
    assert (srng.gamma((5,), 1e-3).eval() < 1e-3).any()
    assert srng.gamma((50,), 1e300).eval() == pytest.approx(1e300)
    assert (srng.random_integers((50,), 4, 4).eval() == 4).all()
    assert (srng.choice((50,), 3, p=[0.0, 1.0, 0.0]).eval() == 1).all()
    assert srng.multinomial((5,), 9, [0.0, 1.0, 0.0]).eval().tolist() == [[0, 9, 0]] * 5
    assert srng.multinomial((5,), [0, 1, 2, 3, 4], [1.0]).eval().ravel().tolist() == [0, 1, 2, 3, 4]
    small = srng.beta((2000,), 1e-3, 1e-3).eval()  # both gamma variates are too small for floats
    assert np.isfinite(small).all()
    assert small.mean() == pytest.approx(0.5, abs=0.05)


BAD = [
    ("binomial", {"p": -0.1}),
    ("binomial", {"p": 1.1}),
    ("binomial", {"p": np.nan}),
    ("binomial", {"p": 1.5, "n": 8}),
    ("binomial", {"n": -1}),
    ("bernoulli", {"p": 2.0}),
    ("poisson", {"lam": -1.0}),
    ("poisson", {"lam": np.inf}),
    ("poisson", {"lam": 1e300}),
    ("normal", {"std": -1.0}),
    ("normal", {"std": np.nan}),
    ("truncated_normal", {"std": -1.0}),
    ("exponential", {"scale": -1.0}),
    ("gumbel", {"scale": -1.0}),
    ("gamma", {"shape": -1.0}),
    ("gamma", {"shape": np.inf}),
    ("gamma", {"scale": -1.0}),
    ("beta", {"a": 0.0}),
    ("beta", {"b": -1.0}),
]


@pytest.mark.parametrize(("name", "given"), BAD)
def test_wrong_parameters(name, given):
    """Known ones fail when the graph is built, others when the function runs, with the same words."""
    ((key, value),) = [(k, v) for k, v in given.items() if k == "n" or len(given) == 1 or k == "p"][:1]
    with pytest.raises(ParameterError) as early:
        getattr(RandomStreams(1), name)((3,), **given)
    assert early.value.op == name
    variable = (T.lvector if key == "n" else T.dvector)(key)
    srng = RandomStreams(1)
    f = tg.function([variable], getattr(srng, name)((3,), **{**given, key: variable}))
    before = srng.get_state()
    good = np.array([1, 1, value if key != "n" else -1])
    with pytest.raises(ParameterError) as late:
        f(good)
    assert late.value.problem == early.value.problem
    assert late.value.expected == early.value.expected
    np.testing.assert_array_equal(srng.get_state(), before)
    assert isinstance(late.value, ValueError)


def test_wrong_weights():
    srng = RandomStreams(1)
    p, k = T.vector("p"), T.lscalar("k")
    several = [
        tg.function([p], srng.multinomial((2,), 1, p)),
        tg.function([p], srng.multinomial((2,), 5, p)),
        tg.function([p], srng.choice((2,), 2, p=p)),
    ]
    for f in several:
        f([0.5, 0.5])
        for wrong in ([0.5, 0.6], [0.4, 0.4], [1.5, -0.5], [np.nan, 1.0], [np.inf, 0.0]):
            with pytest.raises(ParameterError):
                f(wrong)
        with pytest.raises(ShapeError):
            f([])
    f = tg.function([p, k], srng.multinomial_wo_replacement(n=k, pvals=p))
    assert sorted(f([0.5, 0.0, 3.0], 2)) == [0, 2]
    for weights, n in (([0.5, 0.0, 3.0], 3), ([0.5, 1.0], 3), ([1.0, -1.0], 1), ([np.nan, 1.0], 1)):
        with pytest.raises(ParameterError):
            f(weights, n)
    with pytest.raises(ParameterError):
        srng.choice((3,), 2, replace=False).eval()
    with pytest.raises(ParameterError):
        srng.random_integers((2,), 3, 2).eval()


def test_single_precision_probabilities_may_be_rounded():
    weights = np.random.default_rng(0).random((3, 1000)).astype("float32")
    p = T.fmatrix("p")
    f = tg.function([p], RandomStreams(1).multinomial(pvals=p))
    assert f(weights / weights.sum(axis=1, keepdims=True)).sum(axis=1).tolist() == [1, 1, 1]


# --- choosing and orders ------------------------------------------------------------------------------------------


def test_choice():
    srng = RandomStreams(1)
    assert srng.choice().eval().shape == ()
    assert set(srng.choice((200,), a=[10, 20, 30]).eval()) == {10, 20, 30}
    assert srng.choice((2,), a=[0.5, 1.5]).dtype == "float64"
    assert sorted(srng.choice((2, 3), 6, replace=False).eval().ravel()) == list(range(6))
    assert srng.choice((11, 8), 10, 1).eval().shape == (11, 8)
    n = T.lscalar("n")
    f = tg.function([n], srng.choice((n,), n + 1, replace=False))
    assert len(set(f(9).tolist())) == 9
    x = draw(lambda s: s.choice((N,), 5, True, p=np.array([0.5, 0, 0, 0, 0.5])))
    assert set(x) == {0, 4}


def test_choice_for_each_row():
    srng = MRG_RandomStreams(1)
    p = np.array([[0.98, 0.01, 0.01], [0.01, 0.49, 0.5]])
    x = srng.choice(size=2, p=p, replace=False).eval()
    assert x.shape == (2, 2)
    assert (x[:, 0] != x[:, 1]).all()
    assert srng.choice(p=p, replace=False).eval().shape == (2, 1)
    many = tg.function([], srng.choice(size=N, p=p))()
    assert fits(_chi_square(many[0], stats.rv_discrete(values=(range(3), p[0]))))
    assert fits(_chi_square(many[1], stats.rv_discrete(values=(range(3), p[1]))))
    assert set(srng.choice((100,), p=[0.0, 0.5, 0.5]).eval()) == {1, 2}
    assert srng.multinomial_wo_replacement(n=2, pvals=p.astype("float32")).eval().shape == (2, 2)


def test_permutation_of_entries():
    x = draw(lambda s: s.permutation(n=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])))
    assert sorted(map(tuple, x)) == [(1, 2), (3, 4), (5, 6)]
    n = T.lscalar("n")
    f = tg.function([n], RandomStreams(1).permutation(n=n, dtype="int32"))
    assert sorted(f(6)) == list(range(6))
    assert (f(50) != f(50)).any()


def test_shuffle_row_elements():
    m = T.matrix("m")
    shuffled = RandomStreams(1).shuffle_row_elements(m)
    f = tg.function([m], [shuffled, shuffled.permutation])
    value = np.arange(60.0).reshape(3, 20)
    a, order = f(value)
    np.testing.assert_array_equal(np.take_along_axis(value, order, 1), a)
    np.testing.assert_array_equal(np.sort(a, axis=1), value)
    assert (np.diff(order, axis=0) != 0).any()
    assert (f(value)[0] != a).any()
    weights = np.random.default_rng(1).random((3, 20))
    g = tg.function([m], [tg.grad((shuffled * weights).sum(), m), shuffled.permutation])
    gradient, order = g(value)
    np.testing.assert_array_equal(np.take_along_axis(gradient, order, 1), weights)


def test_multinomial_of_theano():
    """The forms that programs use: rows of probabilities, and one draw from each."""
    p = T.matrix("p")
    f = tg.function([p], MRG_RandomStreams(7).multinomial(pvals=p))
    value = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert f(value).tolist() == value.tolist()
    n = T.lvector("n")
    g = tg.function([n, p], RandomStreams(7).multinomial(n=n, pvals=p))
    assert g([3, 4], value).sum(axis=1).tolist() == [3, 4]
    assert RandomStreams(1).multinomial().eval().sum() == 1
    assert RandomStreams(1).multinomial((4, 4), 1, [0.1] * 10).eval().shape == (4, 4, 10)
    assert RandomStreams(1).multinomial((10, 1, -1), 2, np.full((1, 5, 3), 1 / 3)).eval().shape == (10, 1, 5, 3)


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


# --- idioms of programs -------------------------------------------------------------------------------------------


@BOTH
def test_dropout(streams):
    x = T.fmatrix("x")
    srng = streams(np.random.RandomState(1).randint(999999))
    mask = srng.binomial(n=1, p=0.8, size=x.shape, dtype="float32")
    cost = (x * mask / np.float32(0.8)).sum()
    f = tg.function([x], [cost, tg.grad(cost, x), mask])
    value = np.ones((100, 50), "float32")
    _, gradient, drawn = f(value)
    np.testing.assert_allclose(gradient, drawn / np.float32(0.8))
    assert drawn.mean() == pytest.approx(0.8, abs=0.02)
    assert (f(value)[2] != drawn).any()


def test_gibbs_sampling():
    """A restricted Boltzmann machine's chain, as tutorials write it."""
    rng = np.random.RandomState(0)
    w = tg.shared(rng.normal(size=(6, 4)), "w")
    srng = RandomStreams(rng.randint(2**30))

    def gibbs(v):
        h_mean = T.nnet.sigmoid(T.dot(v, w))
        h = srng.binomial(size=h_mean.shape, n=1, p=h_mean, dtype=tg.config.floatX)
        v_mean = T.nnet.sigmoid(T.dot(h, w.T))
        return srng.binomial(size=v_mean.shape, n=1, p=v_mean, dtype=tg.config.floatX)

    v = T.matrix("v")
    chain, updates = tg.scan(gibbs, outputs_info=[v], n_steps=5)
    cost = T.mean(T.dot(v, w).sum(axis=1)) - T.mean(T.dot(chain[-1], w).sum(axis=1))
    gradient = tg.grad(cost, w, consider_constant=[chain[-1]])
    updates[w] = w - 0.1 * gradient
    f = tg.function([v], chain, updates=updates)
    first, second = f(np.ones((3, 6))), f(np.ones((3, 6)))
    assert set(np.unique(first)) == {0.0, 1.0}
    assert (first != second).any()


def test_huge_samples_need_little_beside_themselves():
    x = draw(lambda s: s.gamma((1_500_000,), 0.7, dtype="float32"))
    assert x.mean(dtype="float64") == pytest.approx(0.7, rel=0.01)
