"""Negatives that a batch shares: whose entities they are, how likely each is, and that known triples do not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, KnownTriples, Triple
from mans_jax.sampling import View, chunk_pool, in_batch, shared_pool
from tests.draws import LOWEST_P, answers, check_sides, counts_by_query, draw_many, p_value

E = 15


@pytest.fixture(scope='module')
def rows():
    """Distinct triples among entities 0 to 9; the first ones are the batch."""
    rng = np.random.default_rng(2)
    rows = np.unique(rng.integers(0, [10, 2, 10], (80, 3)), axis=0)
    return rng.permutation(rows)


def check_weights(rows, batch, drawn):
    """Exactly the known triples have weight 0; returns how many do."""
    for b, row in enumerate(batch.tolist()):
        for side in (0, 1):
            at = drawn.side[:, b] == side
            is_known = np.isin(drawn.entity[:, b][at], list(answers(rows, side, *row)))
            np.testing.assert_array_equal(drawn.weight[:, b][at], np.where(is_known, 0, 1))
    return int((drawn.weight == 0).sum())


def test_in_batch_draws_the_same_side_of_the_others_alike(rows):
    known, batch = KnownTriples.build(rows, num_entities=E), rows[:12]
    drawn = draw_many(in_batch(known, 3), Triple.from_rows(jnp.asarray(batch)), 4000)
    assert drawn.entity.shape == drawn.weight.shape == (4000, 12, 3) and drawn.replaced.all()

    def distribution(side, *row):
        others = [r[0] if side == HEAD else r[2] for r in batch.tolist() if r != list(row)]
        return np.bincount(others, minlength=E) / len(others)

    assert p_value(counts_by_query(batch, drawn, E), distribution) > LOWEST_P
    assert 0 < check_weights(rows, batch, drawn) < drawn.weight.size
    tails = {relation: len({tuple(row[1:]) for row in rows.tolist() if row[1] == relation}) for relation in (0, 1)}
    heads = {relation: len({tuple(row[:2]) for row in rows.tolist() if row[1] == relation}) for relation in (0, 1)}
    check_sides(batch, drawn, lambda relation: tails[relation] / (tails[relation] + heads[relation]))


def test_in_batch_serves_more_negatives_than_positives_and_refuses_a_single_positive(rows):
    known = KnownTriples.build(rows, num_entities=E)
    sampler = in_batch(known, 7, sides='uniform')
    drawn = draw_many(sampler, Triple.from_rows(jnp.asarray(rows[:2])), 50)
    assert drawn.entity.shape == (50, 2, 7)
    # There is one other positive.
    for b in (0, 1):
        assert set(drawn.entity[:, b][drawn.side[:, b] == HEAD]) == {rows[1 - b, 0]}
    with pytest.raises(ValueError, match='the batch has one: raise batch_size'):
        sampler.sample((), jax.random.key(0), Triple.from_rows(jnp.asarray(rows[:1])), View())


def test_a_pool_of_k_is_the_same_for_every_positive_and_uniform(rows):
    known, batch = KnownTriples.build(rows, num_entities=E), rows[:5]
    drawn = draw_many(shared_pool(known, 4, sides='uniform'), Triple.from_rows(jnp.asarray(batch)), 4000)
    pools = np.sort(drawn.entity, axis=-1)
    assert (pools == pools[:, :1]).all()
    # Each slot of each pool is uniform over all entities, and each positive has it at any place.
    assert stats.chisquare(np.bincount(pools[:, 0].ravel(), minlength=E)).pvalue > LOWEST_P
    assert stats.chisquare(np.bincount(drawn.entity[:, 1, 2], minlength=E)).pvalue > LOWEST_P
    assert check_weights(rows, batch, drawn)


def test_a_larger_pool_is_shared_in_parts(rows):
    known, batch = KnownTriples.build(rows, num_entities=1000), np.repeat(rows[:8], 8, axis=0)
    drawn = draw_many(shared_pool(known, 4, pool=9), Triple.from_rows(jnp.asarray(batch)), 50)
    distinct = [len(np.unique(entity)) for entity in drawn.entity]
    assert max(distinct) == 9 and min(distinct) >= 7
    assert all(len(np.unique(entity[0])) >= 3 for entity in drawn.entity)
    # Of one batch, every member of the pool comes as often as any other.
    alike = draw_many(shared_pool(known, 4, pool=9), Triple.from_rows(jnp.asarray(np.repeat(rows[:1], 4000, 0))), 1)
    _, counts = np.unique(alike.entity[0, :, 0], return_counts=True)
    assert len(counts) == 9 and stats.chisquare(counts).pvalue > LOWEST_P


@pytest.mark.parametrize('chunk', [4, 0])
def test_a_chunk_has_the_same_negatives_each_positive_on_one_side(rows, chunk):
    known, batch = KnownTriples.build(rows, num_entities=E), rows[:12]
    drawn = draw_many(chunk_pool(known, 3, chunk=chunk), Triple.from_rows(jnp.asarray(batch)), 3000)
    assert drawn.chunk == (chunk or 12) and drawn.entity.shape == drawn.side.shape == (3000, 12, 3)
    of_chunks = drawn.entity.reshape(3000, -1, drawn.chunk, 3)
    assert (of_chunks == of_chunks[:, :, :1]).all() and drawn.replaced.all()
    # Chunks are drawn apart, and every slot of each is uniform.
    for chunk_of in of_chunks[:, :, 0].swapaxes(0, 1):
        pairs = np.bincount(chunk_of[:, 0] * E + chunk_of[:, 2], minlength=E * E)
        assert stats.chisquare(pairs).pvalue > LOWEST_P
    if chunk:
        pairs = np.bincount(of_chunks[:, 0, 0, 0] * E + of_chunks[:, 1, 0, 0], minlength=E * E)
        assert stats.chisquare(pairs).pvalue > LOWEST_P
    assert (drawn.side == drawn.side[..., :1]).all()
    assert 0 < check_weights(rows, batch, drawn) < drawn.weight.size
    tails = {relation: len({tuple(row[1:]) for row in rows.tolist() if row[1] == relation}) for relation in (0, 1)}
    heads = {relation: len({tuple(row[:2]) for row in rows.tolist() if row[1] == relation}) for relation in (0, 1)}
    one_of_k = jax.tree.map(lambda x: x[:, :, :1], drawn)
    check_sides(batch, one_of_k, lambda relation: tails[relation] / (tails[relation] + heads[relation]))


def test_intruders_are_listed_once_a_chunk(rows):
    known, positives = KnownTriples.build(rows, num_entities=E), Triple.from_rows(jnp.asarray(rows[:12]))
    corruption, _ = chunk_pool(known, 3, chunk=4).sample((), jax.random.key(0), positives, View())
    np.testing.assert_array_equal(corruption.intruders(), corruption.entity[jnp.array([0, 4, 8])].ravel())
    np.testing.assert_array_equal(corruption.replace(chunk=None).intruders(), corruption.entity.ravel())


def test_what_makes_no_sense_is_refused(rows):
    known = KnownTriples.build(rows, num_entities=E)
    with pytest.raises(ValueError, match='pool is 3, but each positive takes num_negatives=4 of it: raise it'):
        shared_pool(known, 4, pool=3)
    with pytest.raises(ValueError, match='chunk is -1, but is a number of positives: 0 stands for the whole batch'):
        chunk_pool(known, 4, chunk=-1)
    with pytest.raises(ValueError, match='chunk is 5, but the batch has 12 positives: choose a divisor of that'):
        chunk_pool(known, 4, chunk=5).sample((), jax.random.key(0), Triple.from_rows(jnp.asarray(rows[:12])), View())
    for make in (in_batch, shared_pool, chunk_pool):
        with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
            make(known, sides='both')
