"""The files of the projector, read as TensorBoard reads them."""

import dataclasses
import re
import sys

import numpy as np
import pytest

from mans_jax.errors import InputError
from mans_jax.exporting import pictures, projector
from tests.exporting.conftest import ODD, cells, unescaped

POINTS = 200


@pytest.fixture(scope='module')
def folder(tmp_path_factory, missing):
    folder = tmp_path_factory.mktemp('projector')
    projector.write(folder, missing, None, POINTS, 0)
    return folder


def config_of(folder):
    """{tensor name: (vectors float[N, D], {column: values})}, and the text of each entry."""
    found = {}
    for entry in re.findall(r'embeddings \{\n(.*?)\n\}', (folder / 'projector_config.pbtxt').read_text(), re.DOTALL):
        name, vectors, table = (
            re.search(rf'^  {key}: "(.*)"$', entry, re.MULTILINE)[1]
            for key in ('tensor_name', 'tensor_path', 'metadata_path')
        )
        heading, *rows = cells(folder / table)
        columns = dict(zip(heading, zip(*rows, strict=True), strict=True))
        vectors = np.loadtxt(folder / vectors, delimiter='\t', ndmin=2)
        assert [int(x) for x in re.findall(r'tensor_shape: (\d+)', entry)] == list(vectors.shape)
        found[name] = (vectors, columns, entry)
    return found


def test_every_modality_all_of_them_and_relations(folder, missing):
    graph, found = missing.run.graph, config_of(folder)
    names = [f'entities by {name}' for name in ('all modalities', *graph.modalities)]
    assert list(found) == [*names, 'relations']
    sample = projector.draw_sample(600, POINTS, 0)
    for m, name in enumerate(graph.modalities):
        vectors, columns, _ = found[f'entities by {name}']
        ids = np.array(columns['id'], int)
        assert ids.tolist() == [e for e in sample if graph.present[e, m]]
        np.testing.assert_allclose(vectors, missing.vectors[ids, m], rtol=1e-6)
        assert [unescaped(label) for label in columns['label']] == [graph.entities[e] for e in ids]
        assert set(columns['modality']) == {name}
        for n, other in enumerate(graph.modalities):
            assert [has == 'true' for has in columns[f'has_{other}']] == graph.present[ids, n].tolist()
        degree = [int((graph.train[:, [0, 2]] == e).sum()) for e in ids]
        assert [int(x) for x in columns['train_triples']] == degree
    together, columns, _ = found[names[0]]
    parts = [found[name] for name in names[1:]]
    np.testing.assert_array_equal(together, np.concatenate([vectors for vectors, _, _ in parts]))
    assert columns['modality'] == sum((columns['modality'] for _, columns, _ in parts), ())
    vectors, columns, entry = found['relations']
    np.testing.assert_allclose(vectors, missing.relations, rtol=1e-6)
    assert columns['label'] == ('r\\t0', 'r 1', 'r 2') and 'sprite' not in entry
    assert [int(x) for x in columns['train_triples']] == np.bincount(graph.train[:, 1], minlength=3).tolist()


def test_a_sample_is_that_of_its_seed(tmp_path, missing):
    sample = projector.draw_sample(600, POINTS, 0)
    assert len(set(sample.tolist())) == POINTS and sorted(sample) == sample.tolist()
    assert projector.draw_sample(600, POINTS, 0).tolist() == sample.tolist()
    assert projector.draw_sample(600, POINTS, 1).tolist() != sample.tolist()
    for points in (0, 600, 1000):
        assert projector.draw_sample(600, points, 0).tolist() == list(range(600))
    said = projector.write(tmp_path, missing, None, 0, 0)
    assert said['entities'] == 600 and said['sprite_tile'] is None
    labels = [unescaped(x) for _, columns, _ in config_of(tmp_path).values() for x in columns['label']]
    assert set(ODD) <= set(labels)


def test_one_modality_is_not_shown_twice(tmp_path, missing):
    graph = missing.run.graph
    plain = dataclasses.replace(graph, features={}, present=np.ones((600, 1), bool))
    blocks = missing.embedded.entities
    entities = type(blocks)(blocks.columns[:, :1], np.ones_like(blocks.present[:, :1]))
    run = dataclasses.replace(missing.run, graph=plain)
    trained = dataclasses.replace(missing, run=run, embedded=missing.embedded._replace(entities=entities))
    projector.write(tmp_path, trained, None, 0, 0)
    assert list(config_of(tmp_path)) == ['entities by structure', 'relations']


def test_no_name_of_a_modality_leads_out_of_the_folder(tmp_path, missing):
    graph = missing.run.graph
    image, text = graph.features.values()
    named = dataclasses.replace(graph, features={'../out': image, 'a "b"\\c': text})
    trained = dataclasses.replace(missing, run=dataclasses.replace(missing.run, graph=named))
    (tmp_path / 'in').mkdir()
    projector.write(tmp_path / 'in', trained, None, 50, 0)
    assert [path.name for path in tmp_path.iterdir()] == ['in']
    text = (tmp_path / 'in' / 'projector_config.pbtxt').read_text()
    assert 'tensor_name: "entities by a \\"b\\"\\\\c"' in text and 'tensor_path: "1____out.tsv"' in text


def test_more_points_than_tensorboard_loads_are_said(tmp_path, missing, monkeypatch, caplog):
    projector.write(tmp_path, missing, None, 0, 0)
    assert 'the projector loads only' not in caplog.text
    monkeypatch.setattr(projector, 'SHOWN', 1000)
    said = projector.write(tmp_path, missing, None, 0, 0)
    points = said['tensors']['entities by all modalities'][0]
    assert points > 1000
    assert f'the projector loads only the first 1000 of {points} points; give --points=N' in caplog.text


def test_vectors_of_one_dimension_are_refused(tmp_path, make_trained):
    with pytest.raises(InputError, match='^config.dim is 1, but the projector shows vectors of two dimensions or more'):
        projector.write(tmp_path, make_trained('missing', dim=1)[0], None, 0, 0)


def test_pictures_without_pillow_name_the_extra(monkeypatch):
    for name in ('PIL', 'PIL.Image'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as error:
        pictures.of_digits()
    assert str(error.value) == "pillow is needed for this export: pip install '.[export]'"
