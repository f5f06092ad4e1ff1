"""Supplied negatives: which ones are used how often, and what positives without any get."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import Supplied, supplied
from tests.draws import LOWEST_P, answers, check_sides, counts_by_query, draw_many, p_value, uniform_over

E = 14
GIVEN = {
    (0, 0, 5): [(TAIL, 7), (HEAD, 3), (TAIL, 8), (TAIL, 9)],
    (2, 1, 2): [(TAIL, 1)],
    (5, 0, 0): [(HEAD, 1), (HEAD, 2), (HEAD, 1)],
}


@pytest.fixture(scope='module')
def rows():
    rng = np.random.default_rng(8)
    rows = {tuple(row) for row in rng.integers(0, [6, 2, 6], (40, 3)).tolist()}
    return np.array(sorted(rows | set(GIVEN)))


@pytest.fixture(scope='module')
def known(rows):
    return KnownTriples.build(rows, num_entities=E)


@pytest.fixture(scope='module')
def table(known):
    # In an order in which the negatives of one triple do not stand together.
    flat = sorted((i, row, side, entity) for row, own in GIVEN.items() for i, (side, entity) in enumerate(own))
    return Supplied.build(known, *(np.array(column) for column in list(zip(*flat, strict=True))[1:]))


def test_all_are_used_when_there_are_k_of_them_and_in_turns_where_there_are_fewer_or_more(known, table):
    positives = Triple.from_rows(jnp.asarray(list(GIVEN)))
    drawn = draw_many(supplied(known, table, 4), positives, 300)
    for b, own in enumerate(GIVEN.values()):
        for entities, sides in zip(drawn.entity[:, b].tolist(), drawn.side[:, b].tolist(), strict=True):
            got = list(zip(sides, entities, strict=True))
            assert any(got == [own[(first + k) % len(own)] for k in range(4)] for first in range(len(own)))
    assert drawn.replaced.all() and drawn.weight is None and drawn.side.dtype == np.int8
    firsts = draw_many(supplied(known, table, 1), positives, 2000).entity[:, 0, 0]
    counts = [int((firsts == entity).sum()) for entity in (7, 3, 8, 9)]
    assert sum(counts) == 2000 and stats.chisquare(counts).pvalue > LOWEST_P


def test_a_positive_without_any_has_uniform_ones(rows, known, table):
    without = np.array([row for row in rows.tolist() if tuple(row) not in GIVEN])
    positives = Triple.from_rows(jnp.asarray(without))
    drawn = draw_many(supplied(known, table, 2, sides='uniform'), positives, 1500)
    check_sides(without, drawn, lambda relation: 0.5)

    def distribution(*query):
        return uniform_over(set(range(E)) - answers(rows, *query), E)

    assert p_value(counts_by_query(without, drawn, E), distribution) > LOWEST_P


def test_a_positive_that_is_not_known_has_uniform_ones(known, table):
    # The place of (0, 0, 13) would be that of a known triple's answer.
    positives = Triple.from_rows(jnp.asarray([(0, 0, 13), (0, 0, 4), (13, 1, 13), (5, 0, 1)]))
    drawn = draw_many(supplied(known, table, 2), positives, 500)
    assert all(len(np.unique(drawn.entity[:, b])) > 8 for b in range(4))


def test_what_makes_no_sense_is_refused(known, table):
    with pytest.raises(ValueError, match=r'negatives are supplied for \(0, 0, 13\), which is not a known triple'):
        Supplied.build(known, np.array([(0, 0, 5), (0, 0, 13)]), np.array([0, 0]), np.array([1, 1]))
    with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
        supplied(known, table, sides='both')
