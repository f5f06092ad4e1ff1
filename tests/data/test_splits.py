"""Tests of duplicate and leaked triples: what is kept, what is counted, what is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.data import splits
from mans_jax.errors import InputError

SPLITS = ('train', 'valid', 'test')
IDS = st.integers(0, 2)
ROWS = st.lists(st.tuples(IDS, IDS, IDS), min_size=1, max_size=30)
TRIPLES = st.fixed_dictionaries({split: ROWS for split in SPLITS})


def arrays(triples):
    return {split: np.array(rows, dtype=np.int32).reshape(-1, 3) for split, rows in triples.items()}


def tuples(rows):
    return [tuple(row) for row in rows.tolist()]


@settings(max_examples=300, deadline=None)
@given(TRIPLES)
def test_clean_keeps_the_first_of_each_triple_in_its_order(triples):
    train, test = set(triples['train']), set(triples['test'])
    expected = {
        'train': list(dict.fromkeys(triples['train'])),
        'valid': [row for row in dict.fromkeys(triples['valid']) if row not in train | test],
        'test': [row for row in dict.fromkeys(triples['test']) if row not in train],
    }
    empty = [name for name, rows in expected.items() if not rows]
    if empty:
        with pytest.raises(InputError, match=f'^{empty[0]}: no triple is left'):
            splits.clean(arrays(triples))
        return
    kept, report = splits.clean(arrays(triples))
    assert tuple(kept) == SPLITS
    for name, rows in expected.items():
        assert tuples(kept[name]) == rows
        assert kept[name].dtype == np.int32
        assert getattr(report, name).kept == len(rows)


@settings(max_examples=300, deadline=None)
@given(TRIPLES)
def test_as_published_keeps_everything_and_counts_it(triples):
    kept, report = splits.as_published(arrays(triples))
    train, valid, test = (triples[name] for name in SPLITS)
    for name, rows in triples.items():
        assert tuples(kept[name]) == rows
        assert getattr(report, name).lines == getattr(report, name).kept == len(rows)
        assert getattr(report, name).distinct == len(set(rows))
    for name, rows in (('valid', valid), ('test', test)):
        assert getattr(report, name).in_train == len(set(rows) & set(train))
        assert getattr(report, name).in_train_lines == sum(row in train for row in rows)
    assert report.valid.in_test == len(set(valid) & set(test))
    assert report.valid.in_test_lines == sum(row in test for row in valid)
    for counts in (report.train, report.test):
        assert counts.in_test == counts.in_test_lines == 0
    assert report.train.in_train == report.train.in_train_lines == 0


def test_ids_near_the_end_of_int32_are_told_apart():
    top = 2**31 - 1
    train = [(top, top, top), (top, top - 1, top), (top - 1, top, top), (top, top, top - 1), (top, top, top)]
    kept, _ = splits.clean(arrays({'train': train, 'valid': [(0, 0, 1)], 'test': [(0, 1, 0)]}))
    assert tuples(kept['train']) == train[:4]


def test_line_says_what_is_wrong_and_nothing_else():
    triples = {
        'train': [(0, 0, 1), (0, 0, 1), (1, 0, 2)],
        'valid': [(0, 0, 1), (2, 0, 2), (2, 0, 1)],
        'test': [(2, 0, 2)],
    }
    assert splits.clean(arrays(triples))[1].line() == (
        'train: 2 of 3 lines kept (1 repeated); valid: 1 of 3 lines kept (1 in train, 1 in test)'
    )
    assert splits.as_published(arrays(triples))[1].line() == (
        'train: 3 of 3 lines kept (1 repeated); valid: 3 of 3 lines kept (1 in train, 1 in test)'
    )
    spotless = {'train': [(0, 0, 1)], 'valid': [(0, 0, 2)], 'test': [(0, 0, 0)]}
    assert splits.clean(arrays(spotless))[1].line() == ''


def test_a_split_that_cleaning_empties_is_refused_with_the_reason():
    triples = arrays({'train': [(0, 0, 1)], 'valid': [(0, 0, 2)], 'test': [(0, 0, 1), (0, 0, 1)]})
    with pytest.raises(InputError) as error:
        splits.clean(triples)
    assert str(error.value) == (
        'test: no triple is left, of 1 distinct ones 1 stand in train, 0 in test; '
        "give others or keep these with splits='published'"
    )
