"""Tests of which rows are made: restricted to a graph's entities and in their order."""

from pathlib import Path

import pytest

from mans_jax.encoders.rows import select
from mans_jax.errors import InputError

PATH = Path('texts.tsv')


def test_without_a_graph_all_rows_stay():
    assert select(PATH, ['b', 'a'], None).tolist() == [0, 1]


def test_rows_follow_the_ids_and_the_rest_is_counted_and_named(caplog):
    assert select(PATH, ['c', 'unknown', 'a'], ['a', 'b', 'c']).tolist() == [2, 0]
    said = "1 of 3 labels are no entity and left out: 'unknown'; 1 of 3 entities have no row: 'b'"
    assert caplog.messages == [f'texts.tsv: {said}']


def test_a_complete_table_is_no_cause_for_words(caplog):
    assert select(PATH, ['b', 'a'], ['a', 'b']).tolist() == [1, 0]
    assert caplog.messages == []


def test_another_graphs_labels_are_refused():
    with pytest.raises(InputError, match="^texts.tsv: none of its 1 labels is an entity, so it is another graph's: "):
        select(PATH, ['x'], ['a'])
