"""Negatives from a file: what is written is read, and what is wrong is named with its place."""

import numpy as np
import pytest

from mans_jax.data import negatives
from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph

NAMES = ('a', 'b', 'c c', 'd')


@pytest.fixture
def graph():
    train = np.array([(0, 0, 1), (2, 1, 3), (0, 0, 2)], np.int32)
    return KnowledgeGraph('small', NAMES, ('r', 's'), train, train[:0], train[:0], {}, np.ones((4, 1), bool))


def write(folder, text):
    (folder / 'negatives.tsv').write_text(text)
    return folder / 'negatives.tsv'


WANT = [((0, 0, 1), TAIL, 3), ((0, 0, 1), TAIL, 0), ((2, 1, 3), HEAD, 1), ((0, 0, 1), HEAD, 2)]


@pytest.mark.parametrize(
    ('keys', 'text'),
    [
        ('label', 'a\tr\tb\ttail\td\ta\nc c\ts\td\thead\tb\na\tr\tb\thead\tc c\n'),
        ('id', '0\t0\t1\ttail\t3\t0\n2\t1\t3\thead\t1\n0\t0\t1\thead\t2\n'),
    ],
)
def test_what_is_written_is_read(tmp_path, graph, keys, text):
    triples, side, entity = negatives.read(write(tmp_path, text), graph, keys)
    assert [(tuple(row), s, e) for row, s, e in zip(triples.tolist(), side, entity, strict=True)] == WANT


EXPECTED = 'expected "head<TAB>relation<TAB>tail<TAB>side<TAB>negative<TAB>..."'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a\tr\tb\ttail\n', f", line 1: 'a\\tr\\tb\\ttail' has 4 columns separated by tabs, {EXPECTED}"),
        ('a\tr\tb\ttail\td\t\n', f", line 1: 'a\\tr\\tb\\ttail\\td\\t' has an empty column, {EXPECTED}"),
        (
            'a\tr\tb\ttail\td\na\tr\tb\ttail\ty\n',
            ", line 2: column 5, 'y', is no entity of the graph: correct it, or set keys='id' where it is an id",
        ),
        (
            'a\tq\tb\ttail\td\n',
            ", line 1: column 2, 'q', is no relation of the graph: correct it, or set keys='id' where it is an id",
        ),
        ('a\tr\tb\tleft\td\n', ", line 1: the side is 'left', but must be 'head' or 'tail'"),
        (
            'a\tr\tb\ttail\td\na\ts\tb\ttail\td\n',
            ', line 2: (a, s, b) is not a train triple, and only those have negatives: leave the line out',
        ),
        (
            'c c\ts\td\thead\tb\na\tr\tb\ttail\td\tc c\n',
            ", line 2: 'c c' is no negative, as (a, r, c c) is in train: leave it out",
        ),
        (
            'a\tr\tb\ttail\tb\tc c\n',
            ", line 1: 'b' is no negative, as (a, r, b) is in train: leave it out (2 such in the file)",
        ),
        ('', ': no negative in it; a line is "head<TAB>relation<TAB>tail<TAB>side<TAB>negative<TAB>..."'),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, graph, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        negatives.read(path, graph)
    assert str(error.value) == f'{path}{message}'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0\t0\t1\ttail\t4\n', ", line 1: column 5, '4', is no entity of the graph: name entity ids, 0 to 3"),
        ('0\t2\t1\ttail\t3\n', ", line 1: column 2, '2', is no relation of the graph: name relation ids, 0 to 1"),
        ('a\t0\t1\ttail\t3\n', ", line 1: column 1, 'a', is no entity of the graph: name entity ids, 0 to 3"),
    ],
)
def test_ids_that_are_none_are_named(tmp_path, graph, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        negatives.read(path, graph, 'id')
    assert str(error.value) == f'{path}{message}'


def test_a_missing_file_and_keys_that_are_none_are_named(tmp_path, graph):
    with pytest.raises(InputError, match='none.tsv: no such file'):
        negatives.read(tmp_path / 'none.tsv', graph)
    with pytest.raises(ValueError, match="keys must be 'label' or 'id', not 'name'"):
        negatives.read(tmp_path / 'none.tsv', graph, 'name')
