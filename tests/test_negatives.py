"""Filtered corruptions: only the named side changes, never to a known triple, every non-answer alike."""

import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.negatives import corrupt

E, R = 12, 3


@pytest.mark.parametrize('seed', range(5))
def test_only_the_named_side_changes_and_never_to_a_known_triple(make_triples, seed):
    rng = np.random.default_rng(seed)
    rows = make_triples(seed, E, R, 100)
    known = KnownTriples.build(rows[: 20 * seed], num_entities=E, num_relations=R)
    sides = rng.integers(HEAD, TAIL + 1, len(rows))
    negative, exists = corrupt(rows, sides, known, seed)
    assert exists.all() and negative.dtype == np.int32
    assert (negative[:, 1] == rows[:, 1]).all()
    kept = np.where(sides == HEAD, 2, 0)
    every = np.arange(len(rows))
    assert (negative[every, kept] == rows[every, kept]).all()
    assert not {tuple(row) for row in negative.tolist()} & {tuple(row) for row in rows[: 20 * seed].tolist()}
    again, _ = corrupt(rows, sides, known, seed)
    other, _ = corrupt(rows, sides, known, seed + 1)
    assert (again == negative).all() and (other != negative).any()


@pytest.mark.parametrize('side', [HEAD, TAIL])
def test_every_entity_that_makes_no_known_triple_is_equally_likely(side):
    known_answers = [0, 3, 4, 11]
    rows = np.array([(e, 1, 5) if side == HEAD else (5, 1, e) for e in known_answers])
    known = KnownTriples.build(np.concatenate([rows, [(2, 0, 2), (6, 2, 1)]]), num_entities=E, num_relations=R)
    drawn, _ = corrupt(np.repeat(rows[:1], 8000, axis=0), np.full(8000, side), known, seed=0)
    counts = np.bincount(drawn[:, 0 if side == HEAD else 2], minlength=E)
    others = [e for e in range(E) if e not in known_answers]
    assert counts[known_answers].sum() == 0
    assert stats.chisquare(counts[others]).pvalue > 0.001


def test_where_every_entity_is_an_answer_no_corruption_exists():
    rows = np.array([(5, 1, e) for e in range(E)])
    known = KnownTriples.build(rows, num_entities=E, num_relations=R)
    negative, exists = corrupt(rows[:2], np.array([TAIL, HEAD]), known, seed=0)
    assert exists.tolist() == [False, True]
    assert negative[0].tolist() == rows[0].tolist() and negative[1].tolist() != rows[1].tolist()
