"""Tests of relations that give each other away, against a count by hand over sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.data import overlaps

ENTITY, RELATION = st.integers(0, 4), st.integers(0, 3)
TRIPLES = st.lists(st.tuples(ENTITY, RELATION, ENTITY), min_size=1, max_size=60, unique=True)


def array(rows):
    return np.array(rows, dtype=np.int32).reshape(-1, 3)


def find(train, valid, test, threshold=0.8, min_shared=1, relations='abcd'):
    new = {'train': array(train), 'valid': array(valid), 'test': array(test)}
    return overlaps.find(new, tuple(relations), threshold=threshold, min_shared=min_shared)


def by_hand(train, valid, test, threshold, min_shared):
    """The overlaps by (kind, first, second), and which triples of valid and of test are trivial."""

    def pairs(rows, relation, reverse=False):
        return {(t, h) if reverse else (h, t) for h, r, t in rows if r == relation and h != t}

    every, found = [*train, *valid, *test], {}
    trivial = {'valid': set(), 'test': set()}
    for reverse in (False, True):
        for premise in range(4):
            for conclusion in range(4):
                given, implied = pairs(every, premise), pairs(every, conclusion, reverse)
                if premise == conclusion and not reverse or not given & implied:
                    continue
                if len(given & implied) < min_shared or len(given & implied) < threshold * len(given):
                    continue
                first, second = sorted((premise, conclusion))
                kind = ('symmetric' if first == second else 'inverse') if reverse else 'parallel'
                shared = len(pairs(every, first) & pairs(every, second, reverse))
                shares = tuple(shared / len(pairs(every, r)) for r in (first, second))
                follow = found.setdefault((kind, 'abcd'[first], 'abcd'[second]), (shared, *shares, set()))[3]
                for split, rows in (('valid', valid), ('test', test)):
                    implied = pairs(train, premise, reverse)
                    hits = {i for i, (h, r, t) in enumerate(rows) if r == conclusion and h != t and (h, t) in implied}
                    trivial[split] |= hits
                    if split == 'test':
                        follow |= hits
    return {key: (*numbers, len(follow)) for key, (*numbers, follow) in found.items()}, trivial


@settings(max_examples=200, deadline=None)
@given(TRIPLES, st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.integers(1, 3))
def test_overlaps_are_those_of_a_count_by_hand(triples, one, other, threshold, min_shared):
    cuts = sorted(int(share * len(triples)) for share in (one, other))
    train, valid, test = triples[: cuts[0]], triples[cuts[0] : cuts[1]], triples[cuts[1] :]
    found, trivial = find(train, valid, test, threshold, min_shared)
    expected, expected_trivial = by_hand(train, valid, test, threshold, min_shared)
    numbers = {
        (x.kind, x.first, x.second): (x.shared, x.share_of_first, x.share_of_second, x.trivial_test) for x in found
    }
    assert numbers == expected
    assert len(found) == len(expected)
    for split, rows in (('valid', valid), ('test', test)):
        assert trivial[split].shape == (len(rows),)
        assert set(np.flatnonzero(trivial[split]).tolist()) == expected_trivial[split]


def test_a_rule_is_read_one_way_only():
    # All of a's pairs are reversed among b's, but b has many more: a tells of b, b does not tell of a.
    a = [(0, 0, 1), (2, 0, 3)]
    b = [(1, 1, 0), (3, 1, 2), (4, 1, 5), (6, 1, 7), (5, 1, 6)]
    found, trivial = find([*a[:1], *b[1:]], [], [a[1], b[0]])
    (overlap,) = found
    assert (overlap.kind, overlap.first, overlap.second) == ('inverse', 'a', 'b')
    assert (overlap.shared, overlap.share_of_first, overlap.share_of_second) == (2, 1.0, 0.4)
    assert trivial['test'].tolist() == [False, True]
    assert overlap.trivial_test == 1


def test_the_overlap_that_makes_most_test_triples_trivial_comes_first():
    symmetric = [(0, 0, 1), (1, 0, 0), (2, 0, 3), (3, 0, 2)]
    parallel = [(5, 1, 6), (5, 2, 6)]
    found, _ = find(symmetric, [], parallel)
    assert [x.kind for x in found] == ['symmetric', 'parallel']
    found, _ = find([*symmetric, parallel[0]], [], parallel[1:])
    assert [x.kind for x in found] == ['parallel', 'symmetric']


@pytest.mark.parametrize('loops', [[(0, 0, 0)], [(0, 0, 0), (0, 1, 0)]])
def test_loops_have_no_direction_and_do_not_count(loops):
    found, trivial = find(loops, [], [(0, 2, 0), (1, 2, 2)])
    assert found == ()
    assert not trivial['test'].any()


def test_ids_near_the_end_of_int32_are_told_apart():
    top = 2**31 - 1
    found, trivial = find([(top, 0, top - 1)], [], [(top - 1, 0, top), (top - 1, 1, top - 1)])
    assert [(x.kind, x.shared) for x in found] == [('symmetric', 2)]
    assert trivial['test'].tolist() == [True, False]
