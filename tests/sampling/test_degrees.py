"""Degree-weighted negatives: probabilities in proportion to degree^exponent, by plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import KnownTriples, Triple
from mans_jax.sampling import View, degree_weighted, degree_weights
from mans_jax.sampling.degrees import TOTAL, Weights, _draw_below
from tests.draws import LOWEST_P, answers, counts_by_query, draw_many, p_value, uniform_over

E = 12


@pytest.fixture(scope='module')
def rows():
    """Degrees between 1 and about 20; entity 11 has none, and every entity with a degree answers (?, 2, 0)."""
    rng = np.random.default_rng(1)
    rows = [(h, r, t) for h in range(11) for r in range(2) for t in range(h, 11) if rng.random() < (t + 1) / 14]
    return np.array(sorted({*rows, (4, 0, 4), (5, 1, 5)} | {(h, 2, 0) for h in range(11)}))


def degrees(rows):
    return np.array([len({tuple(row) for row in rows.tolist() if e in (row[0], row[2])}) for e in range(E)])


@pytest.mark.parametrize('exponent', [0.75, 0.0, 2.0])
def test_non_answers_are_drawn_in_proportion_to_a_power_of_their_degree(rows, exponent):
    known = KnownTriples.build(rows, num_entities=E)
    sampler = degree_weighted(known, degree_weights(known, exponent), 3)
    drawn = draw_many(sampler, Triple.from_rows(jnp.asarray(rows)), 2000)
    degree = degrees(rows)
    power = np.where(degree > 0, np.maximum(degree, 1.0) ** exponent, 0)

    def distribution(*query):
        known_answers = answers(rows, *query)
        weight = np.where(np.isin(np.arange(E), list(known_answers)), 0, power)
        return weight / weight.sum() if weight.any() else uniform_over(set(range(E)) - known_answers, E)

    counts = counts_by_query(rows, drawn, E)
    assert p_value(counts, distribution) > LOWEST_P
    other = power**1.2 if exponent else degree**0.1

    def skewed(*query):
        weight = np.where(distribution(*query) > 0, other, 0)
        return weight / weight.sum() if weight.any() else distribution(*query)

    assert p_value(counts, skewed) < LOWEST_P


def test_where_every_entity_with_a_degree_is_an_answer_the_others_are_drawn(rows):
    known = KnownTriples.build(rows, num_entities=E)
    sampler = degree_weighted(known, degree_weights(known, 0.75), 4)
    positives = Triple.from_rows(jnp.asarray([(3, 2, 0)]))
    drawn = draw_many(sampler, positives, 300)
    assert set(drawn.entity[drawn.side == 0]) == {11}
    assert 11 not in drawn.entity[drawn.side == 1]


def test_weights_add_up_exactly_and_none_is_lost():
    known = KnownTriples.build([(0, 0, 1), (0, 0, 3), (2, 0, 3)], num_entities=6)
    weight = np.array([1, 1e-12, 3, 0, 0.5, 7])
    weights = Weights.build(known, weight)
    each = np.diff(np.asarray(weights.upto))
    assert abs(each.sum() - TOTAL) <= 6 and each[3] == 0 and each[1] == 1
    np.testing.assert_allclose(each / TOTAL, weight / weight.sum(), atol=1 / TOTAL)
    # The two answers of (0, 0, ?) are 1 and 3: below the second are entities 0 and 2, not 1.
    start, count = known.find(1, 0, 0)
    below = np.asarray(weights.unknown_below)[int(start) : int(start + count)]
    assert below.tolist() == [each[0], each[0] + each[2]]


def test_a_large_graph_never_yields_a_known_triple(make_triples):
    rows = make_triples(0, 3000, 5, 20000)
    known = KnownTriples.build(rows, num_entities=3000)
    positives = Triple.from_rows(jnp.asarray(rows[:2000]))
    sampler = degree_weighted(known, degree_weights(known, 0.75), 50)
    corruption, _ = jax.jit(sampler.sample)((), jax.random.key(0), positives, View())
    assert not np.any(known.contains(corruption.apply(positives)))
    assert 0 <= corruption.entity.min() and corruption.entity.max() < 3000


def test_large_bounds_are_drawn_below_as_64_bits_would_have_it():
    bound = np.random.default_rng(0).integers(1, TOTAL + 15000, 10000)
    bits = np.asarray(jax.random.bits(jax.random.key(3), bound.shape, jnp.uint32)).astype(np.uint64)
    got = jax.jit(_draw_below)(jax.random.key(3), jnp.asarray(bound, jnp.int32))
    np.testing.assert_array_equal(got, (bits * bound.astype(np.uint64)) >> np.uint64(32))


def test_a_graph_without_triples_has_only_negatives():
    known = KnownTriples.build(np.zeros((0, 3), int), num_entities=E, num_relations=1)
    positives = Triple(*(jnp.zeros(200, jnp.int32) for _ in range(3)))
    drawn = draw_many(degree_weighted(known, degree_weights(known, 0.75), 1), positives, 3)
    assert set(np.unique(drawn.entity)) == set(range(E))


@pytest.mark.parametrize('wrong', [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(wrong):
    known = KnownTriples.build([(0, 0, 1)], num_entities=3)
    with pytest.raises(ValueError, match='weights must be finite and at least 0'):
        Weights.build(known, np.array([1, wrong, 2]))


def test_what_makes_no_sense_is_refused(rows):
    known = KnownTriples.build(rows, num_entities=E)
    with pytest.raises(ValueError, match='exponent is 1e\\+300, and a degree to that power is no number'):
        degree_weights(known, 1e300)
    with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
        degree_weighted(known, degree_weights(known, 1), sides='both')
