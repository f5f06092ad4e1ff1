"""Tests of prepared graphs: what is written comes back, and what is damaged is told."""

import json
import shutil

import numpy as np
import pytest

from mans_jax.data import load_graph, openke, prepared
from mans_jax.errors import InputError
from mans_jax.prepare import prepare
from tests.published_graphs import write_like


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return write_like('mkg_y', tmp_path_factory.mktemp('source'))


@pytest.fixture(scope='module')
def data_dir(source, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp('data_dir')
    assert prepare('mkg_y', source, data_dir) == prepared.locate('mkg_y', data_dir)
    return data_dir


@pytest.fixture
def damaged(data_dir, tmp_path):
    """A copy of the prepared graph, for tests that damage it."""
    return shutil.copytree(prepared.locate('mkg_y', data_dir), tmp_path / 'copy')


def test_a_prepared_graph_is_the_one_that_was_given(source, data_dir):
    name, *found = prepared.read(prepared.locate('mkg_y', data_dir))
    entities, relations, triples = openke.read(source)
    assert name == 'mkg_y' and found[:2] == [entities, relations]
    for split, rows in triples.items():
        assert found[2][split].dtype == np.int32 and np.array_equal(found[2][split], rows)
    # Train fills a record and a part of the next.
    assert len(triples['train']) > 1 << 14


def test_load_graph_takes_the_folder_or_the_name(source, data_dir, monkeypatch):
    expected, report = load_graph(source)
    for given in (prepared.locate('mkg_y', data_dir), 'tfds:mkg_y'):
        monkeypatch.setenv('TFDS_DATA_DIR', str(data_dir))
        graph, again = load_graph(given)
        assert graph.name == 'mkg_y' and graph.checksum() == expected.checksum() and again == report


def test_what_is_not_prepared_is_told_how_to_be(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    with pytest.raises(InputError, match=f'^tfds:mkg_w: not prepared in {tmp_path}.*mans_jax.prepare --dataset=mkg_w$'):
        load_graph('tfds:mkg_w')
    with pytest.raises(InputError, match='^tfds:mkg-w: not a published graph; there are db15k, '):
        load_graph('tfds:mkg-w')
    monkeypatch.delenv('TFDS_DATA_DIR')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert prepared.locate('mkg_w') == tmp_path / 'tensorflow_datasets' / 'knowledge_graphs' / 'mkg_w' / '1.0.0'


def cut_records(folder):
    path = next(folder.glob('*train*'))
    path.write_bytes(path.read_bytes()[: 1 << 16])


def flip_records(folder):
    path = next(folder.glob('*train*'))
    data = bytearray(path.read_bytes())
    data[1 << 16 : (1 << 16) + 50_000] = bytes(50_000)
    path.write_bytes(data)


def remove_records(folder):
    next(folder.glob('*test*')).unlink()


def swap_splits(folder):
    valid, train = (next(folder.glob(f'*{split}*')) for split in ('valid', 'train'))
    shutil.copy(valid, train)


def change_metadata(**changes):
    def change(folder):
        path = folder / 'metadata.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def empty_metadata(folder):
    (folder / 'metadata.json').write_text('{}')


def cut_info(folder):
    path = folder / 'dataset_info.json'
    path.write_text(path.read_text()[:-20])


@pytest.mark.parametrize(
    'damage',
    [
        cut_records,
        flip_records,
        remove_records,
        swap_splits,
        change_metadata(entities=['only', 'two']),
        change_metadata(relations=['one']),
        empty_metadata,
        cut_info,
    ],
)
def test_damage_is_one_line_with_a_cure(damaged, damage):
    prepared.read(damaged)
    damage(damaged)
    with pytest.raises(
        InputError, match=f'^{damaged}: cannot be read .*; delete the folder and prepare the graph again$'
    ):
        prepared.read(damaged)


def test_another_dataset_is_refused(damaged):
    path = damaged / 'dataset_info.json'
    path.write_text(path.read_text().replace('"knowledge_graphs"', '"mnist"'))
    with pytest.raises(InputError, match=f'^{damaged}: the dataset mnist/mkg_y/1.0.0, not a graph of knowledge_graphs'):
        prepared.read(damaged)
