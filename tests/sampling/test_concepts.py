"""Negatives by concept: pools against plain loops over concepts, draws against what the pools and the filter leave."""

import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import HEAD, KnownTriples, Triple
from mans_jax.sampling import cans, concept_pools
from tests.draws import LOWEST_P, answers, counts_by_query, draw_many, p_value

E = 36


@pytest.fixture(scope='module')
def rows():
    """Relation 0 is 1-N, 1 is N-1, 2 is N-N, 3 is 1-1; 4 has no entity with a concept; entity 35 has no triple."""
    rng = np.random.default_rng(4)
    rows = [(h, 0, 6 * h + t) for h in range(5) for t in range(5)] + [
        (6 * t + h, 1, t) for t in range(5) for h in range(4)
    ]
    rows += [(h, 2, t) for h in range(9) for t in range(9, 30) if rng.random() < 0.2]
    return np.array(sorted({*rows, (5, 4, 10), *((i, 3, i + 1) for i in range(30, 34))}))


@pytest.fixture(scope='module')
def concepts():
    """{entity: its concepts}, of ten; every fifth entity has none."""
    rng = np.random.default_rng(5)
    return {e: set(rng.integers(0, 10, rng.integers(1, 4)).tolist()) if e % 5 else set() for e in range(E)}


@pytest.fixture(scope='module')
def known(rows):
    return KnownTriples.build(rows, num_entities=E)


def pools_of(known, concepts):
    pairs = np.array([(e, c) for e, own in concepts.items() for c in own])
    return concept_pools(known, *pairs.T)


def pool(rows, concepts, side, head, relation, tail):
    """Members of the pool of a triple's head or tail, by loops."""
    here, there, true = (0, 2, head) if side == HEAD else (2, 0, tail)
    of_relation = [row for row in rows.tolist() if row[1] == relation]
    answers_a_query = len(of_relation) / len({row[there] for row in of_relation})
    on_side = set().union(*(concepts[row[here]] for row in of_relation))
    wanted = (concepts[true] or on_side) if answers_a_query < 1.5 else on_side - concepts[true]
    return {e for e in range(E) if concepts[e] & wanted}


def test_relations_are_of_all_four_kinds(rows):
    kinds = set()
    for relation in range(4):
        of_relation = rows[rows[:, 1] == relation]
        kinds.add(tuple(len(of_relation) / len(np.unique(of_relation[:, i])) < 1.5 for i in (0, 2)))
    assert len(kinds) == 4


def test_a_first_negative_comes_from_the_pool_or_where_it_is_known_from_anywhere(rows, known, concepts):
    drawn = draw_many(cans(known, pools_of(known, concepts)), Triple.from_rows(jnp.asarray(rows)), 6000)
    sizes = set()

    def distribution(*query):
        members, known_answers = pool(rows, concepts, *query), answers(rows, *query)
        sizes.add(len(members))
        missed = len(members & known_answers) / len(members) if members else 1
        want = np.full(E, missed / (E - len(known_answers)))
        want[sorted(members)] += 1 / max(len(members), 1)
        want[sorted(known_answers)] = 0
        return want

    assert drawn.replaced.all()
    assert p_value(counts_by_query(rows, drawn, E), distribution) > LOWEST_P
    assert 0 in sizes and len(sizes) > 5


def test_no_more_negatives_come_from_a_pool_than_it_has_members(rows, known):
    # Entity 4 alone has concept 0 and is no answer; entity 30 has it too and is the true head of (30, 3, 31).
    concepts = {e: {0} if e in (4, 30) else {1} for e in range(E)}
    positives = Triple.from_rows(jnp.asarray([(30, 3, 31)]))
    drawn = draw_many(cans(known, pools_of(known, concepts), 8, sides='uniform'), positives, 3000)
    heads = [entity[side == HEAD] for entity, side in zip(drawn.entity[:, 0], drawn.side[:, 0], strict=True)]
    first, second, third = ([h[i] for h in heads if len(h) > i] for i in range(3))
    # Half of the draws from the pool are the true head, which is replaced by one of the other 35.
    for entities, want in ((first, 0.5 + 0.5 / 35), (second, 0.5 + 0.5 / 35), (third, 1 / 35)):
        share = np.mean(np.array(entities) == 4)
        assert abs(share - want) < 4 * np.sqrt(want * (1 - want) / len(entities))
    assert 30 not in np.concatenate(heads)


def test_positives_that_are_not_known_have_uniform_negatives(rows, known, concepts):
    positives = Triple.from_rows(jnp.asarray([(35, 0, 34)]))
    drawn = draw_many(cans(known, pools_of(known, concepts), 2), positives, 500)
    assert set(np.unique(drawn.entity)) == set(range(E))
    empty = KnownTriples.build(np.zeros((0, 3), int), num_entities=E, num_relations=1)
    drawn = draw_many(cans(empty, pools_of(empty, concepts), 2), positives, 500)
    assert set(np.unique(drawn.entity)) == set(range(E))


def test_what_makes_no_sense_is_refused(known, concepts, monkeypatch):
    with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
        cans(known, pools_of(known, concepts), sides='both')
    monkeypatch.setattr('mans_jax.sampling.concepts.MOST_BYTES', 100)
    with pytest.raises(
        ValueError, match='pools from 10 concepts take .* GiB as bits, more than 1 GiB: leave rare conc'
    ):
        pools_of(known, concepts)
