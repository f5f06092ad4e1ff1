"""Vectors as other libraries read them, against the scores of the model."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from mans_jax.blocks import score_rows
from mans_jax.exporting import vectors
from mans_jax.models import FROZEN, PARAMS
from tests.exporting.conftest import ODD, assert_same

NAMES = ('structure', 'image', 'text')


@pytest.fixture(scope='module')
def folder(tmp_path_factory, missing):
    folder = tmp_path_factory.mktemp('vectors')
    vectors.write(folder, missing)
    return folder


def metadata_of(path):
    if path.suffix == '.parquet':
        return {name.decode(): value.decode() for name, value in parquet.read_schema(path).metadata.items()}
    with safe_open(path, 'np') as file:
        return file.metadata()


def test_both_forms_say_the_same(folder, missing):
    for name, labels in (('entities', missing.run.graph.entities), ('relations', missing.run.graph.relations)):
        arrays, table = load_file(folder / f'{name}.safetensors'), parquet.read_table(folder / f'{name}.parquet')
        assert table['id'].to_pylist() == list(range(len(labels)))
        assert tuple(table['label'].to_pylist()) == labels
        assert tuple(json.loads(metadata_of(folder / f'{name}.safetensors')['labels'])) == labels
        assert set(table.column_names) == {'id', 'label', *arrays}
        for column, array in arrays.items():
            if array.ndim == 1:
                assert table[column].to_pylist() == array.tolist()
                continue
            nothing = np.full(array.shape[1], np.nan, np.float32)
            rows = [nothing if row is None else np.float32(row) for row in table[column].to_pylist()]
            assert_same(np.stack(rows), array)
    assert labels[0] == 'r\t0' and ODD[0] in missing.run.graph.entities


def test_what_is_not_scored_is_marked(folder, missing):
    arrays, present = load_file(folder / 'entities.safetensors'), missing.run.graph.present
    assert not present.all(axis=0).any() and present.any(axis=0).all()
    for m, name in enumerate(NAMES):
        assert arrays[f'has_{name}'].tolist() == present[:, m].tolist()
        lacking = np.isnan(arrays[f'vector_{name}'])
        assert_same(lacking, np.broadcast_to(~present[:, [m]], lacking.shape))
        np.testing.assert_allclose(np.linalg.norm(arrays[f'vector_{name}'][present[:, m]], axis=1), 1, rtol=1e-5)


def test_a_stand_in_is_the_vector_of_who_lacks_the_modality(tmp_path, make_trained):
    trained, _ = make_trained('missing', absent='learned')
    vectors.write(tmp_path, trained)
    arrays, has = load_file(tmp_path / 'entities.safetensors'), trained.run.graph.present[:, 1]
    assert np.isfinite(arrays['vector_image']).all() and arrays['has_image'].tolist() == has.tolist()
    assert len(np.unique(arrays['vector_image'][~has], axis=0)) == 1


@pytest.mark.parametrize('fields', [{}, {'normalize': False, 'score': 'distmult'}])
def test_scores_follow_from_the_vectors(tmp_path, make_trained, fields):
    trained, params = make_trained('missing', **fields)
    vectors.write(tmp_path, trained)
    run = trained.run
    entities, relation = (load_file(tmp_path / f'{name}.safetensors') for name in ('entities', 'relations'))
    rows = np.random.default_rng(0).integers(0, [600, 3, 600], (50, 3))
    want = score_rows(run.model, {PARAMS: params, FROZEN: run.data.frozen}, run.graph, rows)
    for (head, r, tail), score in zip(rows, want, strict=True):
        heads, tails = (
            [v for v in (entities[f'vector_{name}'][entity] for name in NAMES) if not np.isnan(v).any()]
            for entity in (head, tail)
        )
        r = relation['vector'][r]
        pairs = [(h * r * t).sum() if fields else -np.abs(h + r - t).sum() for h in heads for t in tails]
        assert score == pytest.approx(9 * np.mean(pairs), rel=1e-4)


def test_files_tell_what_they_are_and_where_they_come_from(folder, missing):
    record = missing.record()
    for path in folder.iterdir():
        metadata = metadata_of(path)
        assert {name: metadata[name] for name in record} == {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in record.items()
        }
    assert {name: record[name] for name in ('run', 'step', 'score', 'dim', 'modalities', 'mans_jax')} == {
        'run': 'trained',
        'step': 7,
        'score': 'transe_l1',
        'dim': 8,
        'modalities': list(NAMES),
        'mans_jax': '0.1.0',
    }
    assert (
        record['entity_vectors'].endswith('divided by its Euclidean norm') and 'structure' in record['entity_vectors']
    )


def test_angles_are_called_angles(make_trained):
    trained, _ = make_trained('missing', score='rotate', normalize=False)
    assert trained.relations.shape == (3, 4)
    assert trained.record()['relation_vectors'] == 'one for all modalities: angles in radians'
    assert 'norm' not in trained.record()['entity_vectors']
