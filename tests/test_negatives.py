"""Filtered corruptions: only the named side changes, never to a known triple, every non-answer alike."""

import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.negatives import corrupt, corrupt_relation

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


@pytest.mark.parametrize('rows_at_once', [7, 4096])
def test_every_relation_that_makes_no_known_triple_is_equally_likely(monkeypatch, rows_at_once):
    monkeypatch.setattr('mans_jax.negatives._ROWS_AT_ONCE', rows_at_once)
    rows = np.array([(5, 1, 3), (5, 4, 3), (3, 0, 5), (0, 0, 0), (11, 5, 11)])
    known = KnownTriples.build(rows, num_entities=E, num_relations=6)
    drawn, exists = corrupt_relation(np.repeat(rows[:1], 8000, axis=0), known, seed=0)
    assert exists.all() and drawn.dtype == np.int32
    assert (drawn[:, [0, 2]] == rows[0, [0, 2]]).all()
    counts = np.bincount(drawn[:, 1], minlength=6)
    assert not counts[[1, 4]].any()
    assert stats.chisquare(counts[[0, 2, 3, 5]]).pvalue > 0.001


@pytest.mark.parametrize('seed', range(3))
def test_a_corrupted_relation_never_makes_a_known_triple(make_triples, seed):
    rows = make_triples(seed, E, R, 100)
    known = KnownTriples.build(rows, num_entities=E, num_relations=R)
    negative, exists = corrupt_relation(rows, known, seed)
    facts = {tuple(row) for row in rows.tolist()}
    for row, found, there in zip(rows.tolist(), negative.tolist(), exists, strict=True):
        others = [r for r in range(R) if (row[0], r, row[2]) not in facts]
        assert there == bool(others) and (found[1] in others if others else found == row)


def test_where_every_relation_makes_a_known_triple_no_corruption_exists():
    rows = np.array([(5, r, 3) for r in range(R)])
    known = KnownTriples.build(rows, num_entities=E, num_relations=R)
    negative, exists = corrupt_relation(rows, known, seed=0)
    assert not exists.any() and (negative == rows).all()
