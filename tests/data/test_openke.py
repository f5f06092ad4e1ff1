"""Tests of OpenKE folders: what is written is read, and what is wrong is named with its place."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.data import openke
from mans_jax.errors import InputError

SPLITS = ('train', 'valid', 'test')

GOOD = {
    'entity2id.txt': '3\nada lovelace\t0\nlondon 1\nMünchen  2\n',
    'relation2id.txt': '2\nborn in\t0\nknows 1\n',
    'train2id.txt': '2\n0 1 0\n2\t0\t1\n',
    'valid2id.txt': '1\n0 2 1\n',
    'test2id.txt': '1\n1 2 1\n',
}

LABEL = st.text(st.characters(codec='utf-8', exclude_characters='\n\r\t'), min_size=1, max_size=12).filter(
    lambda label: label == label.strip(' ')
)


def write(folder: Path, **changes) -> Path:
    """The good folder with some files changed, or left out where None."""
    for name, text in (GOOD | {f'{stem}.txt': text for stem, text in changes.items()}).items():
        if text is not None:
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def real(name: str) -> Path:
    if 'MANS_DATA' not in os.environ:
        pytest.skip('set MANS_DATA to the folder of the real graphs (db15k, fb15k-237, ...) to run this test')
    return Path(os.environ['MANS_DATA']) / name


@st.composite
def graphs(draw):
    entities = draw(st.lists(LABEL, min_size=1, max_size=8, unique=True))
    relations = draw(st.lists(LABEL, min_size=1, max_size=4, unique=True))
    entity, relation = st.integers(0, len(entities) - 1), st.integers(0, len(relations) - 1)
    rows = st.lists(st.tuples(entity, relation, entity), min_size=1, max_size=20)
    return entities, relations, {split: draw(rows) for split in SPLITS}


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from([' ', '\t', '  ']), st.sampled_from(['\n', '\r\n']), st.booleans(), st.randoms())
def test_what_is_written_is_read(graph, separator, line_end, ended, random):
    entities, relations, triples = graph

    def file(rows):
        return (line_end.join([str(len(rows)), *rows]) + line_end * ended).encode()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, labels in (('entity2id', entities), ('relation2id', relations)):
            rows = [f'{label}{separator}{i}' for i, label in enumerate(labels)]
            random.shuffle(rows)
            (folder / f'{stem}.txt').write_bytes(file(rows))
        for split, rows in triples.items():
            (folder / f'{split}2id.txt').write_bytes(file([separator.join(map(str, (h, t, r))) for h, r, t in rows]))
        read_entities, read_relations, read_triples = openke.read(folder)
    assert read_entities == tuple(entities)
    assert read_relations == tuple(relations)
    assert tuple(read_triples) == SPLITS
    for split, rows in triples.items():
        assert read_triples[split].dtype == np.int32
        assert read_triples[split].tolist() == [list(row) for row in rows]


def test_columns_are_reordered_and_labels_trimmed(tmp_path):
    entities, relations, triples = openke.read(write(tmp_path))
    assert entities == ('ada lovelace', 'london', 'München')
    assert relations == ('born in', 'knows')
    assert triples['train'].tolist() == [[0, 0, 1], [2, 1, 0]]


@pytest.mark.parametrize(
    ('stem', 'text', 'message'),
    [
        ('entity2id', '', '{path}: the file is empty'),
        ('train2id', '', '{path}: the file is empty'),
        ('train2id', '0 1 0\n', "{path}, line 1: '0 1 0' is not the number of lines that follow"),
        ('train2id', '-1\n', "{path}, line 1: '-1' is not the number"),
        ('train2id', '3\n0 1 0\n0 1 0\n', '{path}, line 1: announces 3 lines, but 2 follow'),
        ('test2id', '1\n0 1 0\n0 1 0\n', '{path}, line 1: announces 1 lines, but 2 follow'),
        ('entity2id', '4\na 0\nb 1\nc 2\n', '{path}, line 1: announces 4 lines, but 3 follow'),
        ('train2id', '0\n', '{path}: the file holds nothing'),
        ('valid2id', '0\n', '{path}: the file holds nothing'),
        ('test2id', '0\n\n', '{path}: the file holds nothing'),
        ('relation2id', '0\n', '{path}: the file holds nothing'),
        ('train2id', '2\n0 1 0\n0 1\n', "{path}, line 3: '0 1' is not three ids"),
        ('train2id', '2\n0 1 0 0\n0 1\n', "{path}, line 2: '0 1 0 0' is not three ids"),
        ('train2id', '2\n0 1\n0 0 1 0\n', "{path}, line 2: '0 1' is not three ids"),
        ('train2id', '2\n0 1 0\n0 1 0.0\n', "{path}, line 3: '0 1 0.0' is not three ids"),
        ('train2id', '2\n0 1 0\n0 x 0\n', "{path}, line 3: '0 x 0' is not three ids"),
        ('train2id', '2\n0 1 0\n0 1_0 0\n', "{path}, line 3: '0 1_0 0' is not three ids"),
        ('train2id', '2\n0 ١ 0\n0 1 0\n', "{path}, line 2: '0 ١ 0' is not three ids"),
        ('train2id', '2\n0 -1 0\n0 1 0\n', "{path}, line 2: '0 -1 0' is not three ids"),
        ('train2id', '3\n0 1 0\n\n0 1 0\n', "{path}, line 3: '' is not three ids"),
        ('train2id', '1\n0 1 99999999999999999999\n', "{path}, line 2: '0 1 99999999999999999999' is not three"),
        ('train2id', '2\r\n0 1 0\r\n0 x 0\r\n', "{path}, line 3: '0 x 0' is not three ids"),
        ('train2id', '2\n0 1 0\n3 1 0\n', '{path}, line 3: head id 3 is not in [0, 3), the ids of entity2id.txt'),
        ('train2id', '2\n0 7 0\n3 1 0\n', '{path}, line 2: tail id 7 is not in [0, 3), the ids of entity2id.txt'),
        ('test2id', '1\n0 1 2\n', '{path}, line 2: relation id 2 is not in [0, 2), the ids of relation2id.txt'),
        ('test2id', '1\n0 4294967296 1\n', '{path}, line 2: tail id 4294967296 is not in [0, 3)'),
        ('entity2id', '3\na 0\nb\nc 2\n', "{path}, line 3: 'b' is not a label and its id"),
        ('entity2id', '3\na 0\n1\nc 2\n', "{path}, line 3: '1' is not a label and its id"),
        ('entity2id', '3\na 0\n 1\nc 2\n', "{path}, line 3: ' 1' is not a label and its id"),
        ('entity2id', '3\na 0\nb 1.0\nc 2\n', "{path}, line 3: 'b 1.0' is not a label and its id"),
        ('entity2id', '3\na 0\nb -1\nc 2\n', "{path}, line 3: 'b -1' is not a label and its id"),
        ('entity2id', '4\na 0\n\nb 1\nc 2\n', "{path}, line 3: '' is not a label and its id"),
        ('entity2id', '3\na 0\nb 2\nc 2\n', '{path}, line 4: id 2 is already taken in line 3'),
        ('entity2id', '3\na 0\nb 1\nc 3\n', '{path}, line 4: id 3 is not in [0, 3), the number of lines; ids count'),
        ('entity2id', '3\na 1\nb 2\nc 3\n', '{path}, line 4: id 3 is not in [0, 3)'),
        ('relation2id', '2\na 1\na 0\n', "{path}, line 3: label 'a' is already in line 2"),
        ('entity2id', '3\na 0\nb 1\n  b 2\n', "{path}, line 4: label 'b' is already in line 3"),
        ('entity2id', b'3\na 0\nb\xff 1\nc 2\n', '{path}, line 3: byte 0xff is not UTF-8'),
        ('train2id', b'1\n0 1 0\xff\n', '{path}, line 2: byte 0xff is not UTF-8'),
        ('valid2id', None, '{path}: no such file'),
        ('relation2id', None, '{path}: no such file'),
    ],
)
def test_bad_input_is_one_line_with_the_place(tmp_path, stem, text, message):
    write(tmp_path, **{stem: text})
    with pytest.raises(InputError) as error:
        openke.read(tmp_path)
    assert str(error.value).startswith(message.format(path=tmp_path / f'{stem}.txt'))
    assert '\n' not in str(error.value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 60), st.integers(0, 5), st.text('0129 \t\n\r-x.', max_size=4))
def test_a_damaged_file_is_refused_or_obeys_every_promise(name, position, length, patch):
    damaged = GOOD[name][:position] + patch + GOOD[name][position + length :]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), **{name.removesuffix('.txt'): damaged})
        try:
            entities, relations, triples = openke.read(folder)
        except InputError as error:
            assert '\n' not in str(error)
            assert str(error).startswith(f'{folder}/')
            return
    assert len(set(entities)) == len(entities) > 0 and all(entities)
    assert len(set(relations)) == len(relations) > 0 and all(relations)
    bound = [len(entities), len(relations), len(entities)]
    for rows in triples.values():
        assert len(rows) and (rows >= 0).all() and (rows < bound).all()


@pytest.mark.parametrize('name', ['db15k', 'db15k-adamf', 'fb15k-237', 'mkg-w', 'mkg-y'])
def test_real_graphs_agree_with_a_plain_reading(name):
    folder = real(name)
    entities, relations, triples = openke.read(folder)
    for stem, labels in (('entity2id', entities), ('relation2id', relations)):
        rows = (folder / f'{stem}.txt').read_text().split('\n')[1:]
        plain = {int(label_id): label for label, label_id in (row.rsplit(None, 1) for row in rows if row)}
        assert labels == tuple(plain[i] for i in range(len(plain)))
    for split, rows in triples.items():
        plain = np.loadtxt(folder / f'{split}2id.txt', dtype=np.int32, skiprows=1)
        np.testing.assert_array_equal(rows[:, [0, 2, 1]], plain)


def test_fb15k_237_is_read_in_under_a_second():
    folder = real('fb15k-237')
    # Processor time: other work on the machine is not the reader's.
    start = time.process_time()
    openke.read(folder)
    assert time.process_time() - start < 1.0


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_what_write_writes_is_read(graph):
    entities, relations, triples = graph
    arrays = {split: np.array(rows, np.int32) for split, rows in triples.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / 'new' / 'graph'
        openke.write(folder, entities, relations, arrays)
        read_entities, read_relations, read_triples = openke.read(folder)
    assert read_entities == tuple(entities)
    assert read_relations == tuple(relations)
    for split, rows in arrays.items():
        np.testing.assert_array_equal(read_triples[split], rows)


@pytest.mark.parametrize('label', ['', ' ', 'a ', '\ta', 'a\nb'])
def test_a_label_that_would_be_read_as_another_is_not_written(tmp_path, label):
    triples = {split: np.array([[0, 0, 0]]) for split in SPLITS}
    for entities, relations, place in ((['x', label], ['r'], 'entity 1'), (['x'], [label], 'relation 0')):
        with pytest.raises(InputError, match=f'^{place}: the label ') as error:
            openke.write(tmp_path / 'new', entities, relations, triples)
        assert '\n' not in str(error.value)
        assert not (tmp_path / 'new').exists()


def test_nothing_is_overwritten(tmp_path):
    triples = {split: np.array([[0, 0, 0]]) for split in SPLITS}
    (tmp_path / 'file').write_text('mine')
    for folder, message in (
        (tmp_path, 'the folder is not empty; name a new one'),
        (tmp_path / 'file', 'is a file, not a folder'),
        (tmp_path / 'file' / 'below', 'cannot be written'),
    ):
        with pytest.raises(InputError) as error:
            openke.write(folder, ['x'], ['r'], triples)
        assert str(error.value).startswith(f'{folder}: {message}')
    assert [path.name for path in tmp_path.iterdir()] == ['file']
    assert (tmp_path / 'file').read_text() == 'mine'
