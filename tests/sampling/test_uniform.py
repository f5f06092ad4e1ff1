"""Base samplers by invariant and by distribution: never a known triple, every non-answer alike, sides as stated.

Seeds are fixed and a p-value must exceed 1e-4, so a sampler that is right passes for good.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import View, bernoulli, uniform

E, R = 9, 3
DRAWS = 4000
LOWEST_P = 1e-4


def tails_per_head(triples, relation):
    """Of a relation's triples, the mean number of tails that a head has."""
    rows = [(head, tail) for head, r, tail in triples if r == relation]
    return len(rows) / len({head for head, _ in rows})


def heads_per_tail(triples, relation):
    return tails_per_head([(tail, r, head) for head, r, tail in triples], relation)


def always_half(triples, relation):
    return 0.5


def by_answers(triples, relation):
    tph, hpt = tails_per_head(triples, relation), heads_per_tail(triples, relation)
    return tph / (tph + hpt)


UNIFORM = {'uniform': uniform, 'bernoulli': bernoulli}

HEAD_PROBABILITY = {'uniform': always_half, 'bernoulli': by_answers}
"""Name in UNIFORM -> (triples, relation) -> with which probability the head is corrupted."""

every_sampler = pytest.mark.parametrize('name', HEAD_PROBABILITY)
every_k = pytest.mark.parametrize('num_negatives', [1, 3])


@pytest.fixture(scope='module')
def triples():
    """Relation 0 leads many heads to few tails, relation 1 is dense, relation 2 leads few heads to many tails."""
    rng = np.random.default_rng(0)
    rows = [(head, 0, head % 2) for head in range(8)]
    rows += [(head, 1, tail) for head in range(E) for tail in range(E) if rng.random() < 0.6]
    rows += [(head, 2, tail) for head in (0, 3) for tail in range(7) if (head + tail) % 3]
    # Eight of nine entities answer (7, 1, ?).
    rows += [(7, 1, tail) for tail in range(8)]
    return sorted(set(rows))


@pytest.fixture(scope='module')
def draw(triples):
    """(name, K) -> positives int[B, 3], and the entities and sides of DRAWS draws, [draws, B, K]; drawn once."""
    drawn = {}

    def draw_once(name, num_negatives):
        if (name, num_negatives) not in drawn:
            positives = Triple.from_rows(jnp.asarray(triples))
            sampler = UNIFORM[name](KnownTriples.build(positives, num_entities=E), num_negatives)
            keys = jax.random.split(jax.random.key(num_negatives), DRAWS)
            sample = jax.jit(jax.vmap(lambda key: sampler.sample((), key, positives, View())[0]))
            drawn[name, num_negatives] = jax.device_get(sample(keys))
        return np.array(triples), drawn[name, num_negatives]

    return draw_once


def counts_by_query(positives, corruption):
    """How often each entity was drawn for each query (side, kept, relation): {query: int[E]}."""
    counts = {}
    for b, (head, relation, tail) in enumerate(positives.tolist()):
        for side, kept in ((HEAD, tail), (TAIL, head)):
            drawn = corruption.entity[:, b][corruption.side[:, b] == side]
            count = np.bincount(drawn.ravel(), minlength=E)
            counts[side, kept, relation] = counts.get((side, kept, relation), 0) + count
    return counts


def non_answers(triples, side, kept, relation):
    known = set(map(tuple, triples))
    return [e for e in range(E) if ((e, relation, kept) if side == HEAD else (kept, relation, e)) not in known]


@every_sampler
@every_k
def test_shapes_and_types(draw, name, num_negatives):
    positives, corruption = draw(name, num_negatives)
    shape = (DRAWS, len(positives), num_negatives)
    assert corruption.entity.shape == corruption.side.shape == corruption.replaced.shape[:-1] == shape
    assert (corruption.entity.dtype, corruption.side.dtype, corruption.replaced.dtype) == (np.int32, np.int8, np.bool_)
    assert np.all(corruption.replaced)


@every_sampler
@every_k
def test_never_a_known_triple(draw, triples, name, num_negatives):
    positives, corruption = draw(name, num_negatives)
    for query, count in counts_by_query(positives, corruption).items():
        drawn = set(np.flatnonzero(count).tolist())
        assert drawn <= set(non_answers(triples, *query)), query
    assert set(np.unique(corruption.side)) == {HEAD, TAIL}


@every_sampler
@every_k
def test_every_non_answer_is_equally_likely(draw, triples, name, num_negatives):
    positives, corruption = draw(name, num_negatives)
    statistic = freedom = 0
    for query, count in counts_by_query(positives, corruption).items():
        observed = count[non_answers(triples, *query)]
        if len(observed) > 1 and observed.sum():
            statistic += stats.chisquare(observed).statistic
            freedom += len(observed) - 1
    assert freedom > 100
    assert stats.chi2.sf(statistic, freedom) > LOWEST_P


@every_sampler
@every_k
def test_sides_have_the_stated_probabilities(draw, triples, name, num_negatives):
    positives, corruption = draw(name, num_negatives)
    for relation in range(R):
        of_relation = corruption.side[:, positives[:, 1] == relation]
        for k in range(num_negatives):
            at_head, number = int(np.sum(of_relation[..., k] == HEAD)), of_relation[..., k].size
            want = HEAD_PROBABILITY[name](triples, relation)
            assert stats.binomtest(at_head, number, want).pvalue > LOWEST_P, (relation, k)


@every_sampler
def test_negatives_are_independent_of_each_other(draw, name):
    """Of one positive among its K, and of one positive and the next."""
    _, corruption = draw(name, 3)
    # Side and entity together, the number of an outcome.
    outcome = corruption.side.astype(int) * E + corruption.entity
    for first, second in ((outcome[:, 10, 0], outcome[:, 10, 1]), (outcome[:, 12, 0], outcome[:, 13, 0])):
        table = np.zeros((2 * E, 2 * E))
        np.add.at(table, (first, second), 1)
        table = table[table.any(axis=1)][:, table.any(axis=0)]
        assert min(table.shape) > 2
        assert stats.chi2_contingency(table).pvalue > LOWEST_P


@every_sampler
def test_chi_square_would_notice_a_skew(draw, triples, name):
    """The test above has teeth: one entity in twenty moved to its neighbour is found."""
    positives, corruption = draw(name, 1)
    rng = np.random.default_rng(0)
    statistic = freedom = 0
    for query, count in counts_by_query(positives, corruption).items():
        observed = count[non_answers(triples, *query)]
        if len(observed) > 1 and observed.sum():
            moved = rng.binomial(observed[0], 0.05)
            observed[:2] += [-moved, moved]
            statistic += stats.chisquare(observed).statistic
            freedom += len(observed) - 1
    assert stats.chi2.sf(statistic, freedom) < LOWEST_P


@every_sampler
def test_same_key_same_draw_under_jit_vmap_and_scan(triples, name):
    positives = Triple.from_rows(jnp.asarray(triples))
    sampler = UNIFORM[name](KnownTriples.build(positives, num_entities=E), 3)

    def keys():
        return jax.random.split(jax.random.key(5), 4)

    def sample(key):
        return sampler.sample((), key, positives, View())[0]

    # The library's own mapping, over keys; each draw by itself; and one after the other with the state carried on.
    mapped = jax.jit(jax.vmap(sample))(keys())
    jitted = jax.jit(sample)
    one_by_one = [jitted(key) for key in keys()]
    _, scanned = jax.jit(partial(jax.lax.scan, lambda state, key: sampler.sample(state, key, positives, View())[::-1]))(
        sampler.init(jax.random.key(0)), keys()
    )
    mapped, scanned, one_by_one = jax.device_get((mapped, scanned, one_by_one))
    for i, alone in enumerate(one_by_one):
        for many in (mapped, scanned):
            assert jax.tree.all(jax.tree.map(lambda a, b, i=i: np.array_equal(a, b[i]), alone, many))
    assert len({draw.entity.tobytes() for draw in one_by_one}) == 4


@every_sampler
def test_vmap_over_positives(triples, name):
    positives = Triple.from_rows(jnp.asarray(triples[:6]).reshape(3, 2, 3))
    known = KnownTriples.build(np.array(triples), num_entities=E)
    sampler = UNIFORM[name](known, 4)
    keys = jax.random.split(jax.random.key(0), 3)

    def sample(key, positives):
        corruption, _ = sampler.sample((), key, positives, View())
        return corruption, known.contains(corruption.apply(positives))

    corruption, is_known = jax.jit(jax.vmap(sample))(keys, positives)
    assert corruption.entity.shape == is_known.shape == (3, 2, 4)
    assert not np.any(is_known)


@every_sampler
def test_positives_that_are_not_known_and_relations_without_a_triple(triples, name):
    known = KnownTriples.build(np.array(triples), num_entities=E, num_relations=R + 1)
    everything = np.stack(np.meshgrid(*map(np.arange, (E, R + 1, E)), indexing='ij'), axis=-1).reshape(-1, 3)
    positives = Triple.from_rows(jnp.asarray(everything))
    corruption, _ = jax.jit(UNIFORM[name](known, 40).sample)((), jax.random.key(0), positives, View())
    assert not np.any(jax.jit(lambda c: known.contains(c.apply(positives)))(corruption))
    entity, side = jax.device_get((corruption.entity, corruption.side))
    assert np.all((entity >= 0) & (entity < E))
    unseen = everything[:, 1] == R
    assert set(np.unique(entity[unseen])) == set(range(E))
    assert stats.binomtest(int(np.sum(side[unseen] == HEAD)), side[unseen].size, 0.5).pvalue > LOWEST_P


@every_sampler
def test_a_graph_without_triples_has_only_negatives(name):
    known = KnownTriples.build(np.zeros((0, 3), int), num_entities=E, num_relations=1)
    positives = Triple(*(jnp.zeros(500, jnp.int32) for _ in range(3)))
    corruption, _ = jax.jit(UNIFORM[name](known, 1).sample)((), jax.random.key(0), positives, View())
    assert set(np.unique(corruption.entity)) == set(range(E))


@every_sampler
def test_a_query_without_a_negative_is_refused(name):
    known = KnownTriples.build([(0, 0, tail) for tail in range(E)], num_entities=E)
    with pytest.raises(ValueError, match=f'all {E} entities'):
        UNIFORM[name](known, 1)
