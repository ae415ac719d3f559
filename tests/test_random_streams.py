"""Random streams: states, independence, shapes and dtypes, parameters, and what programs do with them."""

import math
import pickle

import numpy as np
import pytest
from scipy import stats

import tinygraph as tg
import tinygraph.tensor as T
from tests.test_random import BOTH, N, chi_square, draw, fits
from tinygraph.errors import DtypeError, ShapeError
from tinygraph.graph import toposort
from tinygraph.ops.layout import SumTo
from tinygraph.ops.samplers import ParameterError
from tinygraph.sandbox.rng_mrg import MRG_RandomStreams
from tinygraph.tensor.shared_randomstreams import RandomStreams

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
    before = g()
    np.testing.assert_array_equal(tg.function([], rv_n)(), before)
    assert (g() != before).all()  # that one moved the stream on


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


def test_arguments_of_mrg_streams():
    srng = MRG_RandomStreams()
    assert srng.uniform((2, 2), 0.0, 1.0, 2, "float32", 5, target="cpu").dtype == "float32"
    assert srng.normal((2, 2), 0.0, 1.0, 2, "float32", 5, True).dtype == "float32"
    assert srng.truncated_normal((2, 2), 0.0, 1.0, 2, "float32", nstreams=5).dtype == "float32"
    assert srng.binomial((2, 2), 1, 0.5, 2, "int8", 5).dtype == "int8"
    assert srng.multinomial(None, 1, [0.5, 0.5], None, "float32", 5).dtype == "float32"
    assert srng.multinomial_wo_replacement(None, 1, [0.5, 0.5], None, "int32", 5).dtype == "int32"
    assert srng.choice(1, None, False, [[0.5, 0.5]], None, "int32", 5).dtype == "int32"
    same = [MRG_RandomStreams(12345).uniform((4,)), MRG_RandomStreams().uniform((4,))]
    np.testing.assert_array_equal(*tg.function([], same)())


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
    assert not any(isinstance(node.op, SumTo) for node in toposort([g]))  # the mask has the shape of x


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
    ("binomial", "p", -0.1, {}),
    ("binomial", "p", 1.1, {}),
    ("binomial", "p", np.nan, {}),
    ("binomial", "p", 1.5, {"n": 8}),
    ("binomial", "n", -1, {}),
    ("bernoulli", "p", 2.0, {}),
    ("poisson", "lam", -1.0, {}),
    ("poisson", "lam", np.inf, {}),
    ("poisson", "lam", 1e300, {}),
    ("normal", "std", -1.0, {}),
    ("normal", "std", np.nan, {}),
    ("truncated_normal", "std", -1.0, {}),
    ("exponential", "scale", -1.0, {}),
    ("gumbel", "scale", -1.0, {}),
    ("gamma", "shape", -1.0, {}),
    ("gamma", "shape", np.inf, {}),
    ("gamma", "scale", -1.0, {}),
    ("beta", "a", 0.0, {}),
    ("beta", "b", -1.0, {}),
]


@pytest.mark.parametrize(("name", "key", "value", "others"), BAD)
def test_wrong_parameters(name, key, value, others):
    """Known ones fail when the graph is built, others when the function runs, with the same words."""
    with pytest.raises(ParameterError) as early:
        getattr(RandomStreams(1), name)((3,), **others, **{key: value})
    assert early.value.op == name
    variable = (T.lvector if key == "n" else T.dvector)(key)
    srng = RandomStreams(1)
    f = tg.function([variable], getattr(srng, name)((3,), **others, **{key: variable}))
    before = srng.get_state()
    with pytest.raises(ParameterError) as late:
        f([1, 1, value])
    assert late.value.problem == early.value.problem
    assert late.value.expected == early.value.expected
    assert isinstance(late.value, ValueError)
    np.testing.assert_array_equal(srng.get_state(), before)


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
    assert fits(chi_square(many[0], stats.rv_discrete(values=(range(3), p[0]))))
    assert fits(chi_square(many[1], stats.rv_discrete(values=(range(3), p[1]))))
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
