"""Which negatives become virtual, and in which modalities, against plain counts in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import HEAD, KnownTriples, Triple
from mans_jax.sampling import (
    Corruption,
    View,
    bernoulli,
    mans_a,
    mans_h,
    mans_t,
    mans_v,
    stateless,
)
from tests.strategies import around

E = 30


def mark_first(number, batch_size, num_negatives):
    """The first negative of every positive, then every second one, until `number` are marked."""
    marks = np.zeros((num_negatives, batch_size), bool)
    marks.ravel()[:number] = True
    return marks.T


def selected(pairs, where_cross_is_closer):
    """Mean score over the off-diagonal against mean score over the diagonal, by loops."""
    num_modalities = pairs.shape[-1]
    result = np.zeros(pairs.shape[:2], bool)
    for index in np.ndindex(result.shape):
        uni = [pairs[index][m, m] for m in range(num_modalities)]
        cross = [pairs[index][m, n] for m in range(num_modalities) for n in range(num_modalities) if m != n]
        mean_cross = np.mean(cross) if cross else 0.0
        result[index] = mean_cross > np.mean(uni) if where_cross_is_closer else mean_cross < np.mean(uni)
    return result


def none(case):
    return np.zeros(case.shape, bool)


def every(case):
    return np.ones(case.shape, bool)


def while_below(case):
    return np.full(case.shape, np.float32(case.progress) < np.float32(case.share))


def first_share(case):
    batch_size, num_negatives = case.shape
    return mark_first(int(num_negatives * case.share * batch_size), batch_size, num_negatives)


def by_scores(case):
    marked = selected(case.pairs, case.where_cross_is_closer)
    return marked if case.marks == 'per_sample' else mark_first(marked.sum(), *case.shape)


VIRTUAL = {'normal': none, 'mans_v': every, 'mans_t': while_below, 'mans_h': first_share, 'mans_a': by_scores}
"""Name of a strategy -> which negatives it makes virtual where nothing is absent, bool[B, K] from a Case."""

every_strategy = pytest.mark.parametrize('name', VIRTUAL)


class Case:
    """A batch with a fixed corruption, and everything that a strategy may look at."""

    marks, where_cross_is_closer = 'per_sample', True

    def __init__(self, batch_size=6, num_negatives=2, num_modalities=2, *, share=0.3, progress=0.0, seed=0):
        rng = np.random.default_rng(seed)
        self.shape = (batch_size, num_negatives)
        self.share, self.progress, self.num_modalities = share, progress, num_modalities
        self.positives = Triple.from_rows(jnp.asarray(rng.integers(0, E, (batch_size, 3)), jnp.int32))
        self.corruption = Corruption(
            jnp.asarray(rng.integers(0, E, self.shape), jnp.int32),
            jnp.asarray(rng.integers(0, 2, self.shape), jnp.int8),
            jnp.ones((*self.shape, 1), bool),
        )
        self.pairs = -rng.random((*self.shape, num_modalities, num_modalities)).astype(np.float32)
        self.replace = np.arange(num_modalities) > 0
        self.base = stateless(lambda key, positives, view: self.corruption)

    def view(self):
        return View(
            progress=jnp.float32(self.progress),
            parameters=jnp.asarray(self.pairs),
            pair_scores_fn=lambda pairs, positives, corruption: pairs,
        )

    def options(self):
        return {'share': self.share, 'marks': self.marks, 'where_cross_is_closer': self.where_cross_is_closer}

    def run(self, name, present=None, base=None):
        sampler = around(name, base or self.base, self.replace.tolist(), present, **self.options())
        return jax.device_get(jax.jit(sampler.sample)((), jax.random.key(0), self.positives, self.view())[0])

    def want(self, name):
        """replaced bool[B, K, M]: all but structure where virtual, everything elsewhere."""
        # Where there is nothing to exchange but everything, or nothing at all, a negative is a normal one.
        virtual = VIRTUAL[name](self) & self.replace.any()
        return np.where(virtual[..., None], self.replace, True)


def assert_replaces(got, want):
    np.testing.assert_array_equal(np.broadcast_to(got.replaced, want.shape), want)
    np.testing.assert_array_equal(got.virtual(), ~want.all(axis=-1))


@every_strategy
@pytest.mark.parametrize('num_modalities', [1, 2, 3, 4])
@pytest.mark.parametrize('num_negatives', [1, 3])
def test_marks_any_number_of_modalities_and_negatives(name, num_modalities, num_negatives):
    case = Case(7, num_negatives, num_modalities, share=0.5, progress=0.2)
    got = case.run(name)
    assert_replaces(got, case.want(name))
    # Intruder and side are the base's; structure stays in every virtual negative and only there.
    np.testing.assert_array_equal(got.entity, case.corruption.entity)
    np.testing.assert_array_equal(got.side, case.corruption.side)
    structure = np.broadcast_to(got.replaced, (7, num_negatives, num_modalities))[..., 0]
    if num_modalities > 1:
        np.testing.assert_array_equal(structure, ~VIRTUAL[name](case))


@pytest.mark.parametrize(('batch_size', 'num_negatives'), [(10, 1), (7, 3), (1, 4)])
@pytest.mark.parametrize('share', [0.0, 0.1, 0.3, 0.55, 1.0])
def test_mans_h_marks_exactly_its_share(batch_size, num_negatives, share):
    case = Case(batch_size, num_negatives, share=share)
    got = case.run('mans_h')
    virtual = got.virtual()
    assert virtual.sum() == int(num_negatives * share * batch_size)
    # First negatives first: no positive has two before every one has one.
    per_positive = virtual.sum(axis=1)
    assert per_positive.max() - per_positive.min() <= 1
    assert_replaces(got, case.want('mans_h'))


@pytest.mark.parametrize('share', [0.3, 0.5, 1 / 3])
def test_mans_t_switches_exactly_at_its_share(share):
    case = Case(share=share)
    at = np.float32(share)
    sampler = mans_t(case.base, jnp.asarray(case.replace), share=share)
    sample = jax.jit(sampler.sample)

    def share_of_virtual(progress):
        corruption, _ = sample((), jax.random.key(0), case.positives, View(progress=jnp.float32(progress)))
        return float(np.mean(corruption.virtual()))

    just_below = np.nextafter(at, np.float32(0))
    assert [share_of_virtual(p) for p in (0, just_below, at, 0.99)] == [1, 1, 0, 0]


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_mans_t_takes_all_or_nothing(share):
    case = Case(share=share, progress=0.999 * share)
    assert np.all(case.run('mans_t').virtual() == (share == 1))


@pytest.mark.parametrize('marks', ['count', 'per_sample'])
@pytest.mark.parametrize('where_cross_is_closer', [True, False])
@pytest.mark.parametrize(('num_negatives', 'num_modalities'), [(1, 2), (3, 2), (2, 3)])
def test_mans_a_equals_a_plain_count(marks, where_cross_is_closer, num_negatives, num_modalities):
    case = Case(20, num_negatives, num_modalities, seed=1)
    case.marks, case.where_cross_is_closer = marks, where_cross_is_closer
    number = selected(case.pairs, where_cross_is_closer).sum()
    assert 0 < number < 20 * num_negatives
    got = case.run('mans_a')
    assert got.virtual().sum() == number
    assert_replaces(got, case.want('mans_a'))


def test_mans_a_directions_are_complements_and_ties_are_neither():
    case = Case(20, 2, seed=2)
    case.pairs[0, 0] = -0.5
    towards = case.run('mans_a').virtual()
    case.where_cross_is_closer = False
    away = case.run('mans_a').virtual()
    assert not towards[0, 0] and not away[0, 0]
    np.testing.assert_array_equal((towards ^ away).ravel()[1:], True)


def test_mans_a_scores_the_base_s_corruption():
    case = Case()
    seen = []

    def pair_scores(pairs, positives, corruption):
        seen.append((positives, corruption))
        return pairs

    view = case.view().replace(pair_scores_fn=pair_scores)
    mans_a(case.base, jnp.asarray(case.replace)).sample((), jax.random.key(0), case.positives, view)
    ((positives, corruption),) = seen
    assert jax.tree.all(jax.tree.map(np.array_equal, positives, case.positives))
    assert jax.tree.all(jax.tree.map(np.array_equal, corruption, case.corruption))


@every_strategy
def test_a_modality_is_exchanged_only_between_entities_that_have_it(name):
    case = Case(40, 3, 4, share=0.5, seed=3)
    present = np.random.default_rng(4).random((E, 4)) < 0.8
    present[:, 0] = True
    got = case.run(name, jnp.asarray(present))
    asked = VIRTUAL[name](case)
    numbers = set()
    for b, k in np.ndindex(case.shape):
        head, tail = int(case.positives.head[b]), int(case.positives.tail[b])
        original = head if got.side[b, k] == HEAD else tail
        both = present[original] & present[got.entity[b, k]] & case.replace
        want = both if asked[b, k] and both.any() else np.ones(4, bool)
        np.testing.assert_array_equal(np.broadcast_to(got.replaced[b, k], 4), want)
        numbers.add(int(both.sum()))
    # Nothing, something and everything to exchange have all occurred.
    assert numbers == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ('name', 'view', 'missing'),
    [('mans_t', View(), 'progress'), ('mans_a', View(progress=jnp.float32(0)), 'pair_scores_fn')],
)
def test_a_view_without_what_is_asked_for_is_refused(name, view, missing):
    case = Case()
    sampler = around(name, case.base, case.replace.tolist(), None, **case.options())
    with pytest.raises(ValueError, match=rf'looks at {missing}, .*View\({missing}='):
        sampler.sample((), jax.random.key(0), case.positives, view)


def test_an_empty_view_is_enough_where_nothing_is_asked_for():
    case = Case()
    for name in ('normal', 'mans_v', 'mans_h'):
        sampler = around(name, case.base, case.replace.tolist(), None, **case.options())
        corruption, _ = sampler.sample((), jax.random.key(0), case.positives, View())
        assert bool(corruption.virtual().any()) == (name != 'normal')


def test_unknown_marks_are_refused():
    with pytest.raises(ValueError, match="'count' or 'per_sample', not 'counts'"):
        mans_a(Case().base, [False, True], marks='counts')


def test_strategies_compose():
    """An outer one marks among what an inner one left, and never gives back what the inner one kept."""
    case = Case(10, 1, 3, share=0.5)
    inner = mans_h(case.base, [False, True, True], share=0.5)
    outer = mans_v(inner, [True, True, False])
    corruption, _ = jax.jit(outer.sample)((), jax.random.key(0), case.positives, View())
    want = np.where(np.arange(10)[:, None, None] < 5, [False, True, False], [True, True, False])
    np.testing.assert_array_equal(corruption.replaced, want)


def test_composition_never_leaves_the_positive_itself():
    case = Case(10, 1, 2)
    outer = mans_v(mans_h(case.base, [False, True], share=0.5), [True, False])
    corruption, _ = jax.jit(outer.sample)((), jax.random.key(0), case.positives, View())
    want = np.where(np.arange(10)[:, None, None] < 5, [False, True], [True, False])
    np.testing.assert_array_equal(corruption.replaced, want)


def random_case(num_negatives=2):
    """A random base sampler, and scores that depend on what it drew."""
    rng = np.random.default_rng(0)
    rows = np.unique(rng.integers(0, [E, 2, E], (60, 3)), axis=0)
    known = KnownTriples.build(rows, num_entities=E)
    table = jnp.asarray(rng.normal(size=(E, 2, 2)), jnp.float32)
    view = View(
        progress=jnp.float32(0.1),
        parameters=table,
        pair_scores_fn=lambda table, positives, c: table[c.entity] + table[positives.head][:, None],
    )
    options = {'share': 0.3, 'marks': 'per_sample', 'where_cross_is_closer': True}

    def make(name):
        return around(name, bernoulli(known, num_negatives), [False, True], None, **options)

    return known, Triple.from_rows(jnp.asarray(rows[:8])), view, make


@every_strategy
def test_same_key_same_draw_under_jit_vmap_and_scan_and_never_a_known_triple(name):
    known, positives, view, make = random_case()
    sampler = make(name)

    def run(keys, more_positives):
        def step(state, key):
            corruption, state = sampler.sample(state, key, positives, view)
            return state, corruption

        mapped = jax.vmap(lambda key, p: sampler.sample((), key, p, view)[0])(keys, more_positives)
        _, scanned = jax.lax.scan(step, sampler.init(jax.random.key(1)), jax.random.clone(keys))
        return mapped, scanned, jax.vmap(lambda c: known.contains(c.apply(positives)))(mapped)

    num_draws = 200
    many = jax.tree.map(lambda ids: jnp.broadcast_to(ids, (num_draws, 8)), positives)
    mapped, scanned, is_known = jax.device_get(jax.jit(run)(jax.random.split(jax.random.key(3), num_draws), many))
    assert jax.tree.all(jax.tree.map(np.array_equal, mapped, scanned))
    assert not np.any(is_known)
    assert len(np.unique(mapped.entity)) > E // 2
    # Intruders and sides are what the base alone draws with these keys.
    alone = drawn_by_the_base(num_draws)
    np.testing.assert_array_equal(mapped.entity, alone.entity)
    np.testing.assert_array_equal(mapped.side, alone.side)


@functools.cache
def drawn_by_the_base(num_draws):
    _, positives, view, make = random_case()
    sample = jax.jit(jax.vmap(lambda key: make('normal').sample((), key, positives, view)[0]))
    return jax.device_get(sample(jax.random.split(jax.random.key(3), num_draws)))


@every_strategy
def test_no_gradient_flows_from_a_sampler(name):
    case = Case(10, 2)
    case.pairs[:] = np.random.default_rng(1).normal(size=case.pairs.shape)
    sampler = around(name, case.base, case.replace.tolist(), None, **case.options())

    def loss(pairs, sampled_from):
        view = case.view().replace(parameters=sampled_from)
        corruption, _ = sampler.sample((), jax.random.key(0), case.positives, view)
        return jnp.sum(jnp.where(corruption.replaced, pairs[..., 0], 0) ** 2)

    gradient, through_sampler = jax.jit(jax.grad(loss, argnums=(0, 1)))(case.pairs, case.pairs)
    assert np.any(gradient) and np.all(np.isfinite(gradient))
    assert not np.any(through_sampler)
