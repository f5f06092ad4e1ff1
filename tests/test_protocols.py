"""Standings under every protocol against brute force, on random graphs with ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax import protocols, ranking
from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.protocols import FILTERED, PROTOCOLS, RAW, TYPE_CONSTRAINED, SeenWithRelation
from tests.graphs import quick_programs

E, R = 9, 3
_count = jax.jit(protocols.count_by_protocol)


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


def everything(rng):
    """All triples in a random order."""
    return rng.permutation(np.stack(np.unravel_index(np.arange(E * R * E), (E, R, E)), axis=-1))


def brute_force(scores, triple, side, protocol, train, known):
    """(better, tied, others) of one target, a candidate at a time."""
    target, counts = triple[2 * side], [0, 0, 0]
    for entity in range(E):
        other = list(triple)
        other[2 * side] = entity
        if entity == target or (protocol != RAW and tuple(other) in known):
            continue
        if protocol == TYPE_CONSTRAINED and not any(row[1] == triple[1] and row[2 * side] == entity for row in train):
            continue
        difference = scores[tuple(other)] - scores[tuple(triple)]
        counts = [counts[0] + (difference > 0), counts[1] + (difference == 0), counts[2] + 1]
    return counts


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_train=st.integers(0, 60),
    known_targets=st.booleans(),
    num_values=st.sampled_from([1, 3, 50]),
)
def test_standings_equal_brute_force(seed, num_train, known_targets, num_values):
    rng = np.random.default_rng(seed)
    rows = everything(rng)
    triples, train = rows[:12], rows[12 : 12 + num_train]
    known = np.concatenate([train, triples]) if known_targets else train
    scores = rng.integers(0, num_values, (E, R, E)) - 1.5
    index = KnownTriples.build(known.reshape(-1, 3), num_entities=E, num_relations=R)
    # One size of the index, so that one program serves every example.
    index = padded(index)
    seen = SeenWithRelation.build(train, num_entities=E, num_relations=R)
    blocks, position = ranking.pack(triples, 24, 24)
    block = jax.tree.map(lambda x: jnp.asarray(x[0]), blocks)
    side, kept, relation = (np.asarray(ids) for ids in block.queries)
    of_query = np.where((side == TAIL)[:, None], scores[kept, relation], scores[:, relation, kept].T)
    found = _count(of_query.astype(np.float32), block, index, seen.mask(side, relation))
    assert found.bad_query == -1
    train, known = train.tolist(), set(map(tuple, known.tolist()))
    for place, column in zip(position[0].tolist(), np.stack(found.standing).T.tolist(), strict=True):
        if place >= 0:
            of_side, i = divmod(place, len(triples))
            for p, protocol in enumerate(PROTOCOLS):
                want = brute_force(scores, triples[i].tolist(), of_side, protocol, train, known)
                assert column[p] == want, (protocol, of_side, triples[i])


def padded(index):
    """The index with arrays, and bounds, as large as any that the test makes."""
    sizes = {'query_relation': 2 * E * R + 1, 'answer_start': 2 * E * R + 1, 'answers': 200, 'unknown_below': 200}

    def pad(name):
        array = getattr(index, name)
        return jnp.pad(array, (0, sizes[name] - len(array)), mode='edge')

    return index.replace(**{name: pad(name) for name in sizes}, max_queries=R, max_answers=E)


def test_the_filtered_protocol_is_that_of_ranking():
    rng = np.random.default_rng(3)
    rows = everything(rng)
    triples, known = rows[:40], rows[:120]
    index = KnownTriples.build(known, num_entities=E, num_relations=R)
    block = jax.tree.map(lambda x: jnp.asarray(x[0]), ranking.pack(triples)[0])
    scores = jnp.asarray(rng.integers(0, 5, (128, E)), jnp.float32)
    want = jax.jit(ranking.count_better)(scores, block, index)
    found = _count(scores, block, index, np.ones((128, E), bool))
    for p in (PROTOCOLS.index(FILTERED), PROTOCOLS.index(TYPE_CONSTRAINED)):
        np.testing.assert_array_equal(found.standing.better[p], want.better)
        np.testing.assert_array_equal(found.standing.tied[p], want.tied)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_found(value):
    index = KnownTriples.build(np.zeros((1, 3), int), num_entities=E, num_relations=R)
    block = jax.tree.map(lambda x: jnp.asarray(x[0]), ranking.pack(np.array([[1, 1, 2]]))[0])
    scores = jnp.zeros((128, E)).at[3, 4].set(value)
    found = _count(scores, block, index, np.zeros((128, E), bool))
    assert (found.bad_query, found.bad_entity) == (3, 4)


def test_seen_with_relation_by_a_second_formula(make_triples):
    train = make_triples(1, E, R, 30)
    seen = SeenWithRelation.build(train, num_entities=E, num_relations=R)
    for side in (HEAD, TAIL):
        want = np.array([[e in train[train[:, 1] == r][:, 2 * side] for e in range(E)] for r in range(R)])
        np.testing.assert_array_equal(seen.mask(np.full(R, side), np.arange(R)), want)
        relation, entity = (ids.ravel() for ids in np.mgrid[:R, :E])
        np.testing.assert_array_equal(seen.contains(side, relation, entity), want.ravel())


def test_nothing_seen():
    seen = SeenWithRelation.build(np.zeros((0, 3), int), num_entities=E, num_relations=R)
    assert not seen.mask(np.array([HEAD, TAIL]), np.array([0, 2])).any()
    assert not seen.contains(TAIL, np.array([1]), np.array([2])).any()
