"""A pre-trained generator from the vectors of a run: what is there is read, what does not fit is named."""

import json

import numpy as np
import pytest
import safetensors.numpy

from mans_jax.data import generators
from mans_jax.errors import InputError


@pytest.fixture
def graph(make_graph):
    return make_graph(2, num_entities=12, num_relations=3, number=30)


def write(folder, name, column, labels, width=4, score='distmult'):
    rows = np.random.default_rng(len(labels)).normal(size=(len(labels), width)).astype(np.float32)
    metadata = {'labels': json.dumps(labels), 'score': score}
    safetensors.numpy.save_file({column: rows, 'has_it': rows[:, 0] > 0}, folder / f'{name}.safetensors', metadata)
    return rows


def write_both(folder, graph, **relations):
    """Entities in another order, with one that the graph has not."""
    labels = ['stranger', *graph.entities[::-1]]
    entity = write(folder, 'entities', 'vector_structure', labels)
    return entity, write(folder, 'relations', 'vector', list(graph.relations), **relations)


def test_rows_are_found_by_their_labels(tmp_path, graph):
    entity, relation = write_both(tmp_path, graph)
    found = generators.read(tmp_path, graph, 'distmult')
    np.testing.assert_array_equal(found['entity'], entity[:0:-1])
    np.testing.assert_array_equal(found['relation'], relation)


def test_what_an_export_writes_is_read(tmp_path, graph):
    """With a row of NaN for an entity that was never trained, which a generator has no use for."""
    for library in ('pyarrow', 'safetensors'):
        pytest.importorskip(library)
    from mans_jax.exporting import vectors

    labels = {'entities': graph.entities, 'relations': graph.relations}
    rows = {name: np.ones((len(of), 4), np.float32) for name, of in labels.items()}
    there = {name: np.arange(len(of)) > 0 for name, of in labels.items()}
    there['relations'][:] = True
    for name, column in (('entities', 'vector_structure'), ('relations', 'vector')):
        columns = {column: (rows[name], there[name])}
        vectors._write_both(tmp_path / name, labels[name], columns, {}, {'score': 'complex'})
    found = generators.read(tmp_path, graph, 'complex')
    assert found['entity'].sum(axis=1).tolist() == [0] + [4] * 11 and np.all(found['relation'] == 1)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path, graph):
    def refusal(score='distmult'):
        with pytest.raises(InputError) as error:
            generators.read(tmp_path, graph, score)
        return str(error.value)

    entities, relations = tmp_path / 'entities.safetensors', tmp_path / 'relations.safetensors'
    assert refusal() == f'{entities}: no such file; name the folder vectors/ of an export'
    write_both(tmp_path, graph)
    assert refusal('complex') == f'{entities}: its run has the score distmult, but the generator is complex'
    write_both(tmp_path, graph, width=6)
    both = 'its vectors are 6 wide, those of entities 4: take the two files of one run'
    assert refusal() == f'{relations}: {both}'
    write(tmp_path, 'relations', 'vector', [graph.relations[0], 'y'])
    missing = f"2 of 3 are not there: '{graph.relations[1]}', '{graph.relations[2]}'"
    assert refusal() == f"{relations}: another graph's relations: {missing}"
    write(tmp_path, 'entities', 'vector_image', list(graph.entities))
    assert refusal().startswith(f'{entities}: not the vector_structure of an exported run (')
    entities.write_bytes(b'nothing')
    assert refusal().startswith(f'{entities}: not the vector_structure of an exported run (')
