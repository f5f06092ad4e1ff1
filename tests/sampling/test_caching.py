"""NSCaching: rows of distinct non-answers that rise in score, drawn from uniformly, renewed by softmax of scores."""

import itertools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import View, nscaching
from mans_jax.sampling.caching import distinct_below, is_first
from tests.graphs import quick_programs

E, R, N1, N2 = 12, 2, 3, 4
LOWEST_P = 1e-4


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def rows():
    """Distinct triples of which some query has seven answers, and many have one."""
    rng = np.random.default_rng(0)
    found = [(head, 0, tail) for head, tail in rng.integers(0, E, (20, 2))]
    found += [(5, 1, tail) for tail in range(7)]
    return np.unique(np.array(found, np.int32), axis=0)


@pytest.fixture(scope='module')
def known(rows):
    return KnownTriples.build(rows, num_entities=E, num_relations=R)


def view_of(table):
    """A view whose scores are table[side, kept, entity]."""

    def scores(table, positives, corruption):
        kept = jnp.where(corruption.side == HEAD, positives.tail[:, None], positives.head[:, None])
        return table[corruption.side, kept, corruption.entity]

    return View(parameters=table, scores_fn=scores)


@pytest.fixture(scope='module')
def table():
    return jnp.asarray(np.random.default_rng(1).normal(size=(2, E, E)), jnp.float32)


def queries_of(known):
    """(side, kept, relation, answers) of every query, in the order of their numbers."""
    starts, answer_start = np.asarray(known.query_start), np.asarray(known.answer_start)
    for anchor in range(2 * E):
        for query in range(starts[anchor], starts[anchor + 1]):
            answers = np.asarray(known.answers)[answer_start[query] : answer_start[query + 1]]
            yield anchor // E, anchor % E, int(known.query_relation[query]), set(answers.tolist())


def assert_rows_are_sets_of_non_answers(cache, known):
    for row, (*_, answers) in zip(np.asarray(cache)[:-1], queries_of(known), strict=True):
        assert len(set(row.tolist())) == N1 and not answers & set(row.tolist())
    assert len(set(np.asarray(cache)[-1].tolist())) == N1
    assert np.min(cache) >= 0 and np.max(cache) < E


def counts_of(sets):
    """How often each set occurs among rows int[draws, N]."""
    return Counter(tuple(sorted(entities)) for entities in np.asarray(sets).tolist())


def assert_alike(sets, possible):
    counts = counts_of(sets)
    assert set(counts) <= set(possible)
    assert len(possible) == 1 or stats.chisquare([counts[s] for s in possible]).pvalue > LOWEST_P


def run(sampler, state, positives, view, steps, seed=0):
    """States after each step, and the corruptions."""

    def step(state, key):
        corruption, state = sampler.sample(state, key, positives, view)
        return state, (state, corruption)

    return jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[1])(
        state, jax.random.split(jax.random.key(seed), steps)
    )


def test_first_rows_are_any_set_of_non_answers_alike(known):
    init = jax.jit(jax.vmap(nscaching(known, cache_size=N1).init))
    caches = np.asarray(init(jax.random.split(jax.random.key(0), 2000)))
    for row, (*_, answers) in enumerate(queries_of(known)):
        possible = list(itertools.combinations(sorted(set(range(E)) - answers), N1))
        assert_alike(caches[:, row], possible)


def test_rows_stay_sets_of_non_answers_and_rise_in_score(known, rows, table):
    sampler = nscaching(known, 2, cache_size=N1, candidates=N2)
    first = sampler.init(jax.random.key(3))
    assert_rows_are_sets_of_non_answers(first, known)
    states, corruptions = run(sampler, first, Triple.from_rows(jnp.asarray(rows)), view_of(8 * table), 40)
    for state in states:
        assert_rows_are_sets_of_non_answers(state, known)
    assert not np.any(jax.vmap(lambda c: known.contains(c.apply(Triple.from_rows(jnp.asarray(rows)))))(corruptions))

    scores = np.asarray(table)
    queries = list(queries_of(known))

    def mean_score(cache):
        return np.mean([scores[s, k, row] for row, (s, k, *_) in zip(np.asarray(cache)[:-1], queries, strict=True)])

    means = [mean_score(cache) for cache in (first, states[4], states[-1])]
    others = [np.sort(scores[s, k, sorted(set(range(E)) - answers)]) for s, k, _, answers in queries]
    best = np.mean([of_query[-N1:] for of_query in others])
    assert means[0] < means[1] - 0.3 and means[1] < means[2] + 0.1
    assert means[2] > means[0] + 0.8 * (best - means[0])


def test_a_negative_is_drawn_uniformly_from_the_row_of_its_side_before_it_is_renewed(known, rows, table):
    sampler = nscaching(known, 4, cache_size=N1, candidates=N2)
    state, positives = sampler.init(jax.random.key(5)), Triple.from_rows(jnp.asarray(rows))
    draw = jax.jit(jax.vmap(lambda key: sampler.sample(state, key, positives, view_of(table))[0]))
    drawn = jax.device_get(draw(jax.random.split(jax.random.key(6), 1000)))
    for b, (head, relation, tail) in enumerate(rows):
        for side, kept in ((HEAD, tail), (TAIL, head)):
            row = np.asarray(state)[int(known.find_query(side, kept, relation)[0])]
            counts = np.bincount(drawn.entity[:, b][drawn.side[:, b] == side], minlength=E)
            assert set(np.flatnonzero(counts)) == set(row.tolist())
            assert stats.chisquare(counts[row]).pvalue > LOWEST_P


def test_sides_are_those_of_bernoulli(known, rows, table):
    sampler = nscaching(known, 50, cache_size=N1, candidates=N2)
    positives = Triple.from_rows(jnp.asarray(rows))
    drawn, _ = jax.jit(sampler.sample)(sampler.init(jax.random.key(0)), jax.random.key(1), positives, view_of(table))
    for relation in range(R):
        of_relation = [(h, t) for h, r, t in rows if r == relation]
        heads, tails = (len({pair[i] for pair in of_relation}) for i in (0, 1))
        at_head = np.asarray(drawn.side)[rows[:, 1] == relation] == HEAD
        assert stats.binomtest(int(at_head.sum()), at_head.size, tails / (heads + tails)).pvalue > LOWEST_P


def test_a_new_row_is_a_draw_without_replacement_by_softmax_of_the_scores():
    """One query without a known answer left in its row's way: E = 5, a row of 2, and one more candidate."""
    known = KnownTriples.build(np.array([[0, 0, 4]]), num_entities=5)
    sampler = nscaching(known, 1, cache_size=2, candidates=1)
    table = jnp.asarray(np.random.default_rng(2).normal(size=(2, 5, 5)), jnp.float32)
    positives = Triple.from_rows(jnp.array([[0, 0, 4]]))
    row = int(known.find_query(TAIL, 0, 0)[0])
    state = sampler.init(jax.random.key(0)).at[row].set(jnp.array([3, 1]))
    keys = jax.random.split(jax.random.key(1), 20000)
    renewed = jax.jit(jax.vmap(lambda key: sampler.sample(state, key, positives, view_of(table))[1][row]))(keys)
    weight = np.exp(np.asarray(table, np.float64)[TAIL, 0])
    want = Counter()
    for candidate in range(4):  # The four non-answers are equally likely, and 3 and 1 are no news.
        pool = {3, 1, candidate}
        total = sum(weight[e] for e in pool)
        for first, second in itertools.permutations(pool, 2):
            chance = weight[first] / total * weight[second] / (total - weight[first])
            want[min(first, second), max(first, second)] += chance / 4
    counts = counts_of(renewed)
    assert set(counts) == set(want)
    assert stats.chisquare([counts[s] for s in want], [20000 * want[s] for s in want]).pvalue > LOWEST_P


def test_of_positives_with_one_query_the_first_renews_its_row_and_other_rows_stay(known, table):
    sampler = nscaching(known, 1, cache_size=N1, candidates=N2)
    state, sample = sampler.init(jax.random.key(0)), jax.jit(sampler.sample)

    def after(*tails):
        positives = Triple.from_rows(jnp.array([[5, 1, tail] for tail in tails]))
        return np.asarray(sample(state, jax.random.key(1), positives, view_of(table))[1])

    shared = int(known.find_query(TAIL, 5, 1)[0])
    asked = {shared} | {int(known.find_query(HEAD, tail, 1)[0]) for tail in (0, 1, 2)}
    changed = set(np.flatnonzero(np.any(after(0, 1, 2) != np.asarray(state), axis=1)).tolist())
    assert changed <= asked and shared in changed
    # Whichever the second and the third are, the first has decided about the row that they share.
    np.testing.assert_array_equal(after(0, 1, 2)[shared], after(0, 3, 4)[shared])


def test_a_query_that_is_not_known_draws_from_the_last_row(known, table):
    sampler = nscaching(known, 5, cache_size=N1, candidates=N2)
    state = sampler.init(jax.random.key(0))
    stranger = Triple.from_rows(jnp.array([[11, 1, 11]]))
    assert not any(bool(known.find_query(side, 11, 1)[1]) for side in (HEAD, TAIL))
    corruption, after = jax.jit(sampler.sample)(state, jax.random.key(1), stranger, view_of(table))
    assert set(np.asarray(corruption.entity).ravel().tolist()) <= set(np.asarray(state)[-1].tolist())
    np.testing.assert_array_equal(after[:-1], state[:-1])
    assert_rows_are_sets_of_non_answers(after, known)


def test_vmap_over_seeds_equals_single_runs(known, rows, table):
    sampler = nscaching(known, 3, cache_size=N1, candidates=N2)
    positives = Triple.from_rows(jnp.asarray(rows))

    def train(seed):
        def step(state, i):
            key = jax.random.fold_in(jax.random.key(seed + 9), i)
            return sampler.sample(state, key, positives, view_of(table))[::-1]

        return jax.lax.scan(step, sampler.init(jax.random.key(seed)), jnp.arange(4))

    together = jax.jit(jax.vmap(train))(jnp.arange(3))
    for seed in range(3):
        alone = jax.jit(train)(seed)
        assert jax.tree.all(jax.tree.map(lambda a, b, seed=seed: np.array_equal(a[seed], b), together, alone))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'cache_size': 6}, 'cache_size is 6, but a query has only 5 entities that do not answer it'),
        ({'cache_size': 0}, 'cache_size and candidates must be at least 1, not 0 and 30'),
        ({'cache_size': 2, 'candidates': 0}, 'cache_size and candidates must be at least 1, not 2 and 0'),
    ],
)
def test_impossible_sizes_are_refused(known, options, message):
    with pytest.raises(ValueError, match=message):
        nscaching(known, **options)


def test_a_view_without_scores_is_refused(known, rows):
    sampler = nscaching(known, cache_size=N1)
    with pytest.raises(ValueError, match=r'looks at scores_fn, .*View\(scores_fn='):
        sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), Triple.from_rows(jnp.asarray(rows)), View())


@pytest.mark.parametrize(('bound', 'number'), [(3, 3), (4, 1), (5, 3)])
def test_distinct_below_draws_every_set_alike(bound, number):
    drawn = distinct_below(jax.random.key(0), jnp.full(6000, bound), number)
    assert_alike(drawn, list(itertools.combinations(range(bound), number)))


def test_is_first():
    assert is_first(jnp.array([2, 0, 2, 1, 0, 2]), 3).tolist() == [True, True, False, True, False, False]
