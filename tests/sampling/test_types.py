"""Relation-typed negatives: only heads, or tails, of the relation, all of them alike, by plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import HEAD, KnownTriples, Triple
from mans_jax.sampling import View, relation_pools, relation_typed
from tests.draws import LOWEST_P, answers, check_sides, counts_by_query, draw_many, p_value, uniform_over

E = 12


@pytest.fixture(scope='module')
def rows():
    """Relation 0 between two halves, 1 anywhere, 2 from one head to one tail, 3 from every head to one tail."""
    rng = np.random.default_rng(0)
    rows = [(h, 0, 6 + t) for h in range(6) for t in range(6) if rng.random() < 0.4]
    rows += [(h, 1, t) for h in range(E) for t in range(E) if rng.random() < 0.2]
    rows += [(3, 2, 9)] + [(h, 3, 0) for h in range(E - 1)]
    return np.array(rows)


def pool(rows, side, head, relation, tail):
    """What is left of the relation's heads or tails, or of all entities where nothing is."""
    known = answers(rows, side, head, relation, tail)
    typed = {row[0] if side == HEAD else row[2] for row in rows.tolist() if row[1] == relation}
    return typed - known or set(range(E)) - known


def test_every_entity_of_the_type_that_is_no_answer_is_equally_likely(rows):
    known = KnownTriples.build(rows, num_entities=E)
    sampler = relation_typed(known, relation_pools(known), 3)
    drawn = draw_many(sampler, Triple.from_rows(jnp.asarray(rows)), 3000)
    assert drawn.entity.shape == drawn.side.shape == (3000, len(rows), 3) and drawn.replaced.all()
    counts = counts_by_query(rows, drawn, E)
    assert p_value(counts, lambda *query: uniform_over(pool(rows, *query), E)) > LOWEST_P
    # All non-answers alike would be another distribution.
    typed = {query: pool(rows, *query) for query in counts}
    assert any(len(members) < E - len(answers(rows, *query)) for query, members in typed.items())


def test_where_no_entity_of_the_type_is_left_any_non_answer_is_drawn(rows):
    known = KnownTriples.build(rows, num_entities=E)
    positives = Triple.from_rows(jnp.asarray([(3, 2, 9), (0, 3, 0)]))
    drawn = draw_many(relation_typed(known, relation_pools(known), 5, sides='uniform'), positives, 400)
    assert set(drawn.entity[:, 0][drawn.side[:, 0] == HEAD]) == set(range(E)) - {3}
    assert set(drawn.entity[:, 1][drawn.side[:, 1] == HEAD]) == {E - 1}
    assert set(drawn.entity[:, 1][drawn.side[:, 1] != HEAD]) == set(range(1, E))


def test_sides_are_drawn_as_asked(rows):
    known = KnownTriples.build(rows, num_entities=E)
    positives, pools = Triple.from_rows(jnp.asarray(rows)), relation_pools(known)

    def tails_share(relation):
        heads, tails = (len({row[i] for row in rows.tolist() if row[1] == relation}) for i in (0, 2))
        return tails / (heads + tails)

    check_sides(rows, draw_many(relation_typed(known, pools, 2), positives, 500), tails_share)
    check_sides(rows, draw_many(relation_typed(known, pools, 2, sides='uniform'), positives, 500), lambda r: 0.5)


def test_positives_that_are_not_known_and_relations_without_a_triple_have_negatives(rows):
    known = KnownTriples.build(rows, num_entities=E, num_relations=5)
    everything = np.stack(np.meshgrid(*map(np.arange, (E, 5, E)), indexing='ij'), axis=-1).reshape(-1, 3)
    positives = Triple.from_rows(jnp.asarray(everything))
    sampler = relation_typed(known, relation_pools(known), 20)
    corruption, _ = jax.jit(sampler.sample)((), jax.random.key(0), positives, View())
    assert not np.any(known.contains(corruption.apply(positives)))
    entity = np.asarray(corruption.entity)
    assert entity.min() >= 0 and entity.max() < E
    assert set(entity[everything[:, 1] == 4].ravel()) == set(range(E))


def test_what_makes_no_sense_is_refused(rows):
    known = KnownTriples.build(rows, num_entities=E)
    with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
        relation_typed(known, relation_pools(known), sides='both')
    full = KnownTriples.build([(0, 0, tail) for tail in range(E)], num_entities=E)
    with pytest.raises(ValueError, match=f'all {E} entities'):
        relation_typed(full, relation_pools(full))
