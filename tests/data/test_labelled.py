"""Tests of labelled triples: what is written is read, and what is wrong is named with its place."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.data import labelled
from mans_jax.errors import InputError

SPLITS = ('train', 'valid', 'test')
LABEL = st.text(st.characters(codec='utf-8', exclude_characters='\n\r\t\ufeff'), min_size=1, max_size=6)
ROWS = st.lists(st.tuples(LABEL, LABEL, LABEL), min_size=1, max_size=20)


def write(folder: Path, **texts) -> Path:
    good = {'train': 'a\tr\tb\nb\ts\tc\n', 'valid': 'a\ts\tc\n', 'test': 'b\tr\tc\n'}
    for split, text in (good | texts).items():
        if text is not None:
            (folder / f'{split}.tsv').write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries({split: ROWS for split in SPLITS}),
    st.sampled_from(['.tsv', '.txt']),
    st.sampled_from(['\n', '\r\n']),
    st.booleans(),
)
def test_what_is_written_is_read(triples, suffix, line_end, ended):
    with tempfile.TemporaryDirectory() as name:
        for split, rows in triples.items():
            text = line_end.join('\t'.join(row) for row in rows) + line_end * ended
            (Path(name) / f'{split}{suffix}').write_bytes(text.encode())
        entities, relations, read = labelled.read(name)
    every = [row for split in SPLITS for row in triples[split]]
    seen_entities, seen_relations = [], []
    for head, relation, tail in every:
        for label, seen in ((head, seen_entities), (relation, seen_relations), (tail, seen_entities)):
            if label not in seen:
                seen.append(label)
    assert entities == tuple(seen_entities)
    assert relations == tuple(seen_relations)
    assert tuple(read) == SPLITS
    for split, rows in triples.items():
        assert read[split].dtype == np.int32
        assert [(entities[h], relations[r], entities[t]) for h, r, t in read[split]] == rows


def test_ids_follow_the_first_appearance(tmp_path):
    entities, relations, triples = labelled.read(write(tmp_path, test='new\tr\ta\n'))
    assert entities == ('a', 'b', 'c', 'new')
    assert relations == ('r', 's')
    assert {split: rows.tolist() for split, rows in triples.items()} == {
        'train': [[0, 0, 1], [1, 1, 2]],
        'valid': [[0, 1, 2]],
        'test': [[3, 0, 0]],
    }


@pytest.mark.parametrize(
    ('split', 'text', 'message'),
    [
        ('train', '', '{path}: no triple'),
        ('valid', '', '{path}: no triple'),
        ('test', '\n\r\n', '{path}: no triple'),
        ('train', 'a\tr\tb\na\tr\n', r"{path}, line 2: 'a\tr' has 2 columns separated by tabs"),
        ('train', 'a\tr\tb\tx\na\tr\n', r"{path}, line 1: 'a\tr\tb\tx' has 4 columns"),
        ('train', 'a\tr\na\tr\tb\tx\n', r"{path}, line 1: 'a\tr' has 2 columns"),
        ('train', 'a r b\n', "{path}, line 1: 'a r b' has 1 columns"),
        ('valid', 'a\tr\tb\n\na\tr\tb\n', "{path}, line 2: '' has 1 columns"),
        ('test', 'a\tr\tb\na\t\tb\n', r"{path}, line 2: 'a\t\tb' has an empty label"),
        ('test', 'a\tr\t\n', r"{path}, line 1: 'a\tr\t' has an empty label"),
        ('test', b'a\tr\tb\n\xe4\tr\tb\n', '{path}, line 2: byte 0xe4 is not UTF-8'),
        ('valid', None, '{folder}: no valid triples; looked for valid.tsv or valid.txt'),
    ],
)
def test_bad_input_is_one_line_with_the_place(tmp_path, split, text, message):
    write(tmp_path, **{split: text})
    with pytest.raises(InputError) as error:
        labelled.read(tmp_path)
    assert str(error.value).startswith(message.format(path=tmp_path / f'{split}.tsv', folder=tmp_path))
    assert '\n' not in str(error.value)


def test_two_files_for_one_split_are_refused(tmp_path):
    write(tmp_path)
    (tmp_path / 'test.txt').write_text('a\tr\tb\n')
    with pytest.raises(InputError, match=r'test\.tsv and test\.txt both exist'):
        labelled.read(tmp_path)
