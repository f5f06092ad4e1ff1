"""Ranks against brute force over random graphs with ties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import ranking
from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.ranking import TIES

E, R = 10, 2


def optimistic(scores, target):
    return 1 + sum(score > target for score in scores)


def pessimistic(scores, target):
    return 1 + sum(score >= target for score in scores)


def realistic(scores, target):
    return (optimistic(scores, target) + pessimistic(scores, target)) / 2


BRUTE_FORCE = {'realistic': realistic, 'optimistic': optimistic, 'pessimistic': pessimistic}
"""Name in TIES -> rank of a target's score among the scores of the other candidates, its own left out."""


def brute_force_ranks(scores, triples, known, ties):
    """Ranks [2, N] from scores [E, R, E], one candidate at a time."""
    known = set(map(tuple, np.asarray(known).tolist()))
    ranks = np.zeros((2, len(triples)))
    for i, (head, relation, tail) in enumerate(np.asarray(triples).tolist()):
        heads = [scores[e, relation, tail] for e in range(E) if e != head and (e, relation, tail) not in known]
        tails = [scores[head, relation, e] for e in range(E) if e != tail and (head, relation, e) not in known]
        target = scores[head, relation, tail]
        ranks[HEAD, i], ranks[TAIL, i] = BRUTE_FORCE[ties](heads, target), BRUTE_FORCE[ties](tails, target)
    return ranks


def rows_of(scores, queries):
    side, kept, relation = queries
    return np.where((side == TAIL)[:, None], scores[kept, relation], scores[:, relation, kept].T).astype(np.float32)


def count(scores, triples, known, **sizes):
    """(better, tied), int[2N] each, through pack and count_better."""
    blocks, position = ranking.pack(triples, **sizes)
    index = KnownTriples.build(known, num_entities=E, num_relations=R)
    better, tied = np.full((2, 2 * len(triples)), -1)
    count_better = jax.jit(ranking.count_better)
    for i, places in enumerate(position):
        block = jax.tree.map(lambda x, i=i: x[i], blocks)
        counts = count_better(rows_of(scores, block.queries), jax.tree.map(jnp.asarray, block), index)
        assert counts.bad_query == -1
        real = places >= 0
        better[places[real]], tied[places[real]] = counts.better[real], counts.tied[real]
    assert np.all(better >= 0) and np.all(tied >= 0)
    return better, tied


@functools.cache
def counted_case(seed, num_known, known_targets, num_queries, num_targets):
    """Random triples, known triples, scores with many ties, and what was counted; once for all tie policies."""
    rng = np.random.default_rng(seed)
    everything = rng.permutation(np.stack(np.unravel_index(np.arange(E * R * E), (E, R, E)), axis=-1))
    triples, known = everything[:25], everything[25 : 25 + num_known]
    if known_targets:
        known = np.concatenate([known, triples])
    # Four values for ten entities: most targets are tied.
    scores = rng.integers(0, 4, (E, R, E)) - 1.5
    return triples, known, scores, *count(scores, triples, known, num_queries=num_queries, num_targets=num_targets)


@pytest.mark.parametrize('ties', BRUTE_FORCE)
@pytest.mark.parametrize(
    ('seed', 'num_known', 'known_targets', 'num_queries', 'num_targets'),
    [
        (0, 60, True, 128, 256),
        (1, 60, False, 3, 4),
        (2, 140, True, 1, 1),
        (3, 10, False, 2, 40),
        (4, 0, False, 40, 3),
        (5, 0, True, 4, 5),
    ],
)
def test_ranks_equal_brute_force(ties, seed, num_known, known_targets, num_queries, num_targets):
    triples, known, scores, better, tied = counted_case(seed, num_known, known_targets, num_queries, num_targets)
    got = ranking.ranks(better, tied, ties).reshape(2, -1)
    np.testing.assert_array_equal(got, brute_force_ranks(scores, triples, known, ties))
    assert tied.max() > 0


def test_more_known_answers_than_one_step_strikes_out():
    """The walk through the flat list of known answers takes several steps."""
    num_entities = 700
    known = [(0, 0, tail) for tail in range(num_entities) if tail % 7] + [(1, 0, tail) for tail in range(0, 700, 2)]
    known += [(2, 0, tail) for tail in range(1, 700)]
    triples = np.array([(0, 0, 350), (1, 0, 351), (2, 0, 0), (2, 0, 5)])
    index = KnownTriples.build(known, num_entities=num_entities)
    blocks, position = ranking.pack(triples)
    block = jax.tree.map(lambda x: jnp.asarray(x[0]), blocks)
    scores = np.random.default_rng(0).permutation(128 * num_entities).reshape(128, num_entities).astype(np.float32)
    counts = jax.jit(ranking.count_better)(scores, block, index)
    known = set(known)
    for place, better in zip(position[0], counts.better.tolist(), strict=True):
        if place < len(triples):
            continue
        head, _, target = triples[place - len(triples)].tolist()
        row = scores[int(block.query[list(position[0]).index(place)])]
        want = sum(row[e] > row[target] for e in range(num_entities) if (head, 0, e) not in known)
        assert better == want


@pytest.mark.parametrize(('num_queries', 'num_targets'), [(1, 1), (2, 3), (5, 2), (3, 100), (128, 256)])
def test_pack_is_a_permutation_of_both_sides(make_triples, num_queries, num_targets):
    triples = make_triples(0, E, R, 50)
    # One query with many answers, spread over blocks where they are small; and a triple that comes twice.
    triples = np.concatenate([triples, [(1, 0, e) for e in range(E)], triples[:1]])
    blocks, position = ranking.pack(triples, num_queries, num_targets)
    real = position >= 0
    assert sorted(position[real].tolist()) == list(range(2 * len(triples)))
    assert blocks.target.shape == blocks.query.shape == position.shape == (len(position), num_targets)
    assert all(ids.shape == (len(position), num_queries) for ids in blocks.queries)
    assert all(ids.dtype == np.int32 for ids in (*blocks.queries, blocks.query, blocks.target))
    for i, t in zip(*np.nonzero(real), strict=True):
        side, row = divmod(int(position[i, t]), len(triples))
        head, relation, tail = triples[row]
        query = tuple(int(ids[i, blocks.query[i, t]]) for ids in blocks.queries)
        assert query == ((HEAD, tail, relation) if side == HEAD else (TAIL, head, relation))
        assert blocks.target[i, t] == (head if side == HEAD else tail)


def test_pack_scores_a_query_once_in_a_block(make_triples):
    triples = make_triples(0, E, R, 50)
    blocks, position = ranking.pack(triples)
    used = {int(q) for q in blocks.query[position >= 0]}
    distinct = {(HEAD, t, r) for _, r, t in triples.tolist()} | {(TAIL, h, r) for h, r, _ in triples.tolist()}
    assert len(position) == 1
    assert len(used) == len(distinct)


def test_scores_of_a_block_have_a_bound_whatever_the_candidates():
    assert ranking.block_sizes(15_000) == (ranking.QUERIES_PER_BLOCK, ranking.TARGETS_PER_BLOCK)
    for num_candidates in (10, 100_000, 131_073, 1_000_000, 2_000_000, 2_200_000, 90_000_000):
        num_queries, num_targets = ranking.block_sizes(num_candidates)
        assert num_queries * num_candidates <= 2**24 or num_queries == 8
        # No smaller than it must be.
        assert num_queries == ranking.QUERIES_PER_BLOCK or 2 * num_queries * num_candidates > 2**24
        assert num_targets == 2 * num_queries


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_the_first_score_that_is_not_finite_is_reported(value):
    """NaN compares false with everything, so it would rank first unseen."""
    triples = np.array([(0, 0, 1), (2, 1, 3)])
    blocks, _ = ranking.pack(triples, num_queries=4, num_targets=4)
    block = jax.tree.map(lambda x: jnp.asarray(x[0]), blocks)
    # Even where it stands at a known answer, which is struck out.
    known = KnownTriples.build([(0, 0, 1), (2, 1, 3)], num_entities=E)
    scores = np.zeros((4, E), np.float32)
    scores[2, 7] = scores[3, 1] = value
    counts = jax.jit(ranking.count_better)(scores, block, known)
    assert (counts.bad_query, counts.bad_entity) == (2, 7)
    scores[2, 7] = 0
    counts = jax.jit(ranking.count_better)(scores, block, known)
    assert (counts.bad_query, counts.bad_entity) == (3, 1)


def test_rank_policies_by_hand():
    better, tied = np.array([[0, 3], [1, 0]]), np.array([[0, 2], [3, 9]])
    assert ranking.ranks(better, tied).tolist() == ranking.ranks(better, tied, 'realistic').tolist()
    assert ranking.ranks(better, tied, 'optimistic').tolist() == [[1, 4], [2, 1]]
    assert ranking.ranks(better, tied, 'pessimistic').tolist() == [[1, 6], [5, 10]]
    assert ranking.ranks(better, tied, 'realistic').tolist() == [[1, 5], [3.5, 5.5]]
    with pytest.raises(KeyError):
        ranking.ranks(better, tied, 'hopeful')


def test_a_constant_score_ranks_in_the_middle():
    triples = np.array([(0, 0, 1)])
    better, tied = count(np.zeros((E, R, E)), triples, triples)
    assert {ties: float(ranking.ranks(better, tied, ties)[TAIL]) for ties in TIES} == {
        'realistic': (1 + E) / 2,
        'optimistic': 1,
        'pessimistic': E,
    }


def test_rank_metrics_by_hand():
    metrics = ranking.rank_metrics(np.array([[1, 2], [3, 3.5], [10, 11]]))
    assert metrics == pytest.approx(
        {
            'mrr': (1 + 1 / 2 + 1 / 3 + 1 / 3.5 + 1 / 10 + 1 / 11) / 6,
            'mean_rank': 30.5 / 6,
            'hits_at_1': 1 / 6,
            'hits_at_3': 3 / 6,
            'hits_at_10': 5 / 6,
        }
    )
