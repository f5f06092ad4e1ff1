"""Tests of `load_graph`: the layouts it tells apart, the features it joins, the presence it derives."""

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mans_jax import data
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph

NAN = np.nan


def openke_folder(folder: Path) -> Path:
    """Entities a to e: train names a and b, valid c, test d, and nothing names e."""
    folder.mkdir()
    (folder / 'entity2id.txt').write_text('5\na 0\nb 1\nc 2\nd 3\ne 4\n')
    (folder / 'relation2id.txt').write_text('2\nr 0\ns 1\n')
    (folder / 'train2id.txt').write_text('3\n0 1 1\n1 0 0\n0 1 1\n')
    (folder / 'valid2id.txt').write_text('2\n0 1 1\n0 2 0\n')
    (folder / 'test2id.txt').write_text('1\n3 0 0\n')
    return folder


def tsv_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / 'train.txt').write_text('a\tr\tb\nb\tr\ta\n')
    (folder / 'valid.tsv').write_text('a\tr\tc\n')
    (folder / 'test.txt').write_text('c\tr\ta\n')
    return folder


def embedded_graph() -> KnowledgeGraph:
    """Stands for the digits: entities x, y, z with pixels for y and z, and train names x and y."""
    return KnowledgeGraph(
        name='digits',
        entities=('x', 'y', 'z'),
        relations=('r',),
        train=np.array([[0, 0, 1]], np.int32),
        valid=np.array([[1, 0, 2]], np.int32),
        test=np.array([[2, 0, 1]], np.int32),
        features={'pixels': np.array([[0, 0], [1, 2], [3, 4]], np.float32)},
        present=np.array([[True, False], [True, True], [False, True]]),
    )


@pytest.fixture
def digits(monkeypatch):
    module = types.ModuleType('mans_jax.data.digits')
    module.load = embedded_graph
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(data, 'digits', module, raising=False)


def save(path: Path, rows) -> str:
    np.save(path, np.array(rows, np.float16))
    return str(path)


def test_an_openke_folder_becomes_a_clean_graph(tmp_path):
    graph, report = data.load_graph(str(openke_folder(tmp_path / 'small')))
    assert graph.name == 'small'
    assert graph.entities == ('a', 'b', 'c', 'd', 'e') and graph.relations == ('r', 's')
    assert graph.train.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert graph.valid.tolist() == [[0, 0, 2]]
    assert graph.test.tolist() == [[3, 0, 0]]
    assert graph.modalities == ('structure',) and graph.present.tolist() == [[True]] * 5
    assert report.line() == 'train: 2 of 3 lines kept (1 repeated); valid: 1 of 2 lines kept (1 in train)'


def test_as_published_keeps_every_line_and_counts_the_same(tmp_path):
    folder = openke_folder(tmp_path / 'small')
    graph, report = data.load_graph(folder, splits='published')
    assert [len(graph.split(name)) for name in ('train', 'valid', 'test')] == [3, 2, 1]
    assert report.train.distinct == 2 and report.valid.in_train == 1


def test_a_tsv_folder_is_told_by_its_train_file(tmp_path):
    graph, report = data.load_graph(tsv_folder(tmp_path / 'labelled'))
    assert graph.name == 'labelled' and graph.entities == ('a', 'b', 'c')
    assert graph.test.tolist() == [[2, 0, 0]]
    assert report.line() == ''


def test_openke_wins_where_a_folder_has_both_layouts(tmp_path):
    folder = openke_folder(tmp_path / 'both')
    (folder / 'train.txt').write_text('other\tr\ta\n')
    assert 'other' not in data.load_graph(folder)[0].entities


def test_presence_follows_training_and_features(tmp_path):
    folder = openke_folder(tmp_path / 'small')
    files = {
        'visual': save(tmp_path / 'v.npy', [[NAN], [2], [3], [NAN], [NAN]]),
        'text': save(tmp_path / 't.npy', [[NAN], [2], [NAN], [4], [NAN]]),
        'audio': '',
        'numeric': None,
    }
    graph, _ = data.load_graph(folder, files)
    assert graph.modalities == ('structure', 'visual', 'text')
    assert graph.present.dtype == bool
    assert graph.present.tolist() == [
        [True, False, False],  # a: in train, no feature
        [True, True, True],
        [False, True, False],  # c: only in valid, judged by its picture alone
        [False, False, True],
        [True, False, False],  # e: nowhere and nothing, so the learned row stays
    ]
    assert graph.features['visual'].tolist() == [[0], [2], [3], [0], [0]]
    published, _ = data.load_graph(folder, files, splits='published')
    assert published.present[:, 0].all()
    np.testing.assert_array_equal(published.present[:, 1:], graph.present[:, 1:])


def test_embedded_features_are_kept_replaced_or_dropped(tmp_path, digits):
    kept, _ = data.load_graph('digits', {'pixels': 'embedded'})
    assert kept.checksum() == embedded_graph().checksum()
    dropped, _ = data.load_graph('digits')
    assert dropped.modalities == ('structure',) and dropped.present.all()
    both, _ = data.load_graph('digits', {'text': save(tmp_path / 't.npy', [[1], [1], [NAN]]), 'pixels': 'embedded'})
    assert both.modalities == ('structure', 'text', 'pixels')
    assert both.present.tolist() == [[True, True, False], [True, True, True], [False, False, True]]


def test_embedded_features_that_do_not_exist_are_refused(tmp_path, digits):
    with pytest.raises(InputError, match=r"^features\.text: 'embedded' names no feature \(embedded here: pixels\)"):
        data.load_graph('digits', {'text': 'embedded'})
    with pytest.raises(InputError, match='this graph embeds none'):
        data.load_graph(openke_folder(tmp_path / 'small'), {'text': 'embedded'})


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('', '^data: no graph given'),
        ('{folder}/absent', "/absent: no such file or folder; .*, 'digits', 'synthetic:...' or 'tfds:NAME'$"),
        ('fb15k', '^fb15k: .*; the published graph is tfds:fb15k, once mans_jax.prepare has prepared it$'),
        ('{folder}/train2id.txt', '/train2id.txt: a file of an OpenKE folder, without labels; name the folder, /'),
        ('{folder}/file', '/file: the ending tells no format of triples; '),
        ('{folder}/empty', r'/empty: no graph in this folder; looked for entity2id\.txt .* train\.tsv, train\.txt'),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path, source, message):
    (tmp_path / 'file').touch()
    (tmp_path / 'train2id.txt').write_text('1\n0 1 0\n')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match=message):
        data.load_graph(source.format(folder=tmp_path))


def test_arguments_without_meaning_are_refused(tmp_path):
    folder = openke_folder(tmp_path / 'small')
    with pytest.raises(InputError, match="^splits: 'raw' is not one of clean, published$"):
        data.load_graph(folder, splits='raw')
    with pytest.raises(InputError, match=r'^features\.structure: the name of the learned modality'):
        data.load_graph(folder, {'structure': 'x.npy'})
    with pytest.raises(InputError, match='x.npy: 4 rows for 5 entities'):
        data.load_graph(folder, {'text': save(tmp_path / 'x.npy', [[1]] * 4)})


def test_a_split_that_cleaning_empties_names_the_graph(tmp_path):
    folder = openke_folder(tmp_path / 'small')
    (folder / 'test2id.txt').write_text('1\n0 1 1\n')
    with pytest.raises(InputError, match=f'^{folder}: test: no triple is left'):
        data.load_graph(folder)
    assert len(data.load_graph(folder, splits='published')[0].test) == 1


def spotless(*sizes):
    return {split: (n, n, 0, 0, 0, 0, n) for split, n in zip(('train', 'valid', 'test'), sizes, strict=True)}


# Lines, distinct, distinct in train, lines in train, distinct in test, lines in test, kept.
REAL = {
    'db15k': {
        'train': (79222, 72618, 0, 0, 0, 0, 72618),
        'valid': (9903, 9756, 1412, 1482, 254, 276, 8215),
        'test': (9903, 9767, 1403, 1466, 0, 0, 8364),
    },
    'db15k-adamf': {
        'train': (79222, 79222, 0, 0, 0, 0, 79222),
        'valid': (9904, 7481, 6584, 8719, 824, 1105, 73),
        'test': (9902, 9902, 0, 0, 0, 0, 9902),
    },
    'fb15k-237': spotless(272115, 17535, 20466),
    'mkg-y': spotless(21310, 2665, 2663),
    'mkg-w': spotless(34196, 4276, 4274),
}


@pytest.mark.parametrize('name', REAL)
def test_real_graphs_hold_what_is_known_of_them(name):
    if 'MANS_DATA' not in os.environ:
        pytest.skip('set MANS_DATA to the folder of the real graphs (db15k, fb15k-237, ...) to run this test')
    folder = Path(os.environ['MANS_DATA']) / name
    text = folder.with_name(name.removesuffix('-adamf')) / 'text_minilm.npy'
    graph, report = data.load_graph(folder, {'text': str(text) if name != 'mkg-w' else None})
    for split, expected in REAL[name].items():
        c = getattr(report, split)
        counts = (c.lines, c.distinct, c.in_train, c.in_train_lines, c.in_test, c.in_test_lines, c.kept)
        assert counts == expected
        assert len(graph.split(split)) == c.kept
    if name == 'fb15k-237':
        assert (~graph.present[:, 1]).sum() == 26
        assert graph.present.any(axis=1).all()
