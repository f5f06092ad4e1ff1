"""New entities and triples: numbered after those of the graph, written so that the whole is read back."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from mans_jax.data import additions, load_graph, openke
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph


@pytest.fixture
def graph(tmp_path):
    return KnowledgeGraph(
        name='small',
        entities=('a', 'b', 'c'),
        relations=('r', 'knows'),
        train=np.array([[0, 0, 1], [1, 1, 2]], np.int32),
        valid=np.array([[0, 1, 2]], np.int32),
        test=np.array([[2, 0, 0]], np.int32),
        features={'text': np.array([[1, 2], [0, 0], [3, 4]], np.float32), 'image': np.ones((3, 1), np.float32)},
        present=np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool),
    )


def write(path, text):
    path.write_text(text)
    return str(path)


def save(path, labels, values, name='features'):
    import json

    safetensors.numpy.save_file({name: np.asarray(values, np.float32)}, path, metadata={'labels': json.dumps(labels)})
    return str(path)


def refusal(*arguments):
    with pytest.raises(InputError) as error:
        additions.read(*arguments)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_file_goes_to_train_and_new_labels_get_the_next_ids(graph, tmp_path):
    rows = 'new\tknows\ta\na\tr\tb\nz\tr\tnew\nnew\tknows\ta\n'
    added = additions.read(graph, write(tmp_path / 'x.tsv', rows), {})
    assert added.entities == ('new', 'z')
    assert added.triples['train'].tolist() == [[3, 1, 0], [4, 0, 3]]
    assert added.triples['train'].dtype == np.int32
    assert len(added.triples['valid']) == len(added.triples['test']) == 0
    # One stands in train already, one comes twice.
    assert added.known == 2
    assert np.isnan(added.features['text']).all() and added.features['text'].shape == (2, 2)


def test_a_folder_adds_to_each_split_in_either_layout(graph, tmp_path):
    labelled, ids = tmp_path / 'labelled', tmp_path / 'ids'
    labelled.mkdir()
    for name, line in (('train', 'n\tr\ta'), ('valid', 'n\tknows\tb'), ('test', 'c\tr\ta')):
        write(labelled / f'{name}.tsv', line + '\n')
    # The same with ids that are not the graph's.
    splits = {'train': [[0, 1, 1]], 'valid': [[0, 0, 2]], 'test': [[3, 1, 1]]}
    splits = {name: np.array(rows) for name, rows in splits.items()}
    openke.write(ids, ['n', 'a', 'b', 'c'], ['knows', 'r'], splits)
    for folder in (labelled, ids):
        added = additions.read(graph, str(folder), {})
        assert added.entities == ('n',) and added.known == 1
        got = {name: rows.tolist() for name, rows in added.triples.items()}
        assert got == {'train': [[3, 0, 0]], 'valid': [[3, 1, 1]], 'test': []}


def test_features_name_new_entities_too(graph, tmp_path):
    triples = write(tmp_path / 'x.tsv', 'new\tr\ta\n')
    text = save(tmp_path / 'text.safetensors', ['c', 'other', 'new'], [[9, 9], [5, 6], [7, 8]])
    added = additions.read(graph, triples, {'text': text})
    assert added.entities == ('new', 'other')
    assert added.features['text'].tolist() == [[7, 8], [5, 6]]
    assert np.isnan(added.features['image']).all()
    alone = additions.read(graph, None, {'text': text})
    assert alone.entities == ('other', 'new') and alone.known == 0


def test_labels_of_the_graph_that_have_the_modality_are_passed_over_without_a_word(graph, tmp_path, caplog):
    triples = write(tmp_path / 'x.tsv', 'new\tr\ta\n')
    text = save(tmp_path / 'text.safetensors', ['c', 'new'], [[9, 9], [7, 8]])
    with caplog.at_level('WARNING', logger='absl'):
        additions.read(graph, triples, {'text': text})
    assert caplog.messages == []


def test_what_features_do_not_bring_or_bring_alone_is_told(graph, tmp_path, caplog):
    text = save(tmp_path / 'text.safetensors', ['b', 'new'], [[9, 9], [7, 8]])
    with caplog.at_level('WARNING', logger='absl'):
        added = additions.read(graph, None, {'text': text})
    assert added.entities == ('new',)
    assert caplog.messages == [
        f"{text}: 1 entities of the run had no text and stay without: 'b'",
        "1 new entities stand in no new triple: 'new'",
    ]


def test_what_is_written_is_read_back_with_what_the_graph_had(graph, tmp_path):
    triples = write(tmp_path / 'x.tsv', 'new\tr\ta\n')
    text = save(tmp_path / 'text.safetensors', ['new'], [[7, 8]])
    added = additions.read(graph, triples, {'text': text})
    folder = tmp_path / 'whole'
    files = additions.write(graph, added, folder)
    whole, _ = load_graph(folder, {name: str(folder / file) for name, file in files.items()})
    assert whole.entities == ('a', 'b', 'c', 'new') and whole.relations == graph.relations
    for name in ('train', 'valid', 'test'):
        np.testing.assert_array_equal(whole.split(name), np.concatenate([graph.split(name), added.triples[name]]))
    assert whole.features['text'].tolist() == [[1, 2], [0, 0], [3, 4], [7, 8]]
    assert whole.features['image'].tolist() == [[1], [1], [1], [0]]
    assert whole.present[:, 1:].tolist() == [[True, True], [False, True], [True, True], [True, False]]


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        (
            'new\tknow\ta',
            "relation 'know', as in (new, know, a) is not one of the 2 of small; did you mean 'knows'? "
            'a new relation needs a new training',
        ),
        (
            'new\tx1\ta\nnew\tx2\ta',
            "relation 'x1', as in (new, x1, a) is not one of the 2 of small (nor 1 others); "
            'a new relation needs a new training',
        ),
        ('a\tr\tb', 'nothing new, small has all of it already'),
        ('a\tr', "line 1: 'a\\tr' has 2 columns separated by tabs"),
    ],
)
def test_triples_that_cannot_be_added_are_refused(graph, tmp_path, line, message):
    path = write(tmp_path / 'x.tsv', line + '\n')
    assert message in refusal(graph, path, {})
    assert refusal(graph, path, {}).startswith(path)


def test_features_that_cannot_be_added_are_refused(graph, tmp_path):
    triples = write(tmp_path / 'x.tsv', 'new\tr\ta\n')
    path = save(tmp_path / 'x.safetensors', ['new'], [[1, 2, 3]])
    assert refusal(graph, triples, {'text': path}) == f"{path}: 3 features an entity, but the run has 2 of 'text'"
    said = refusal(graph, triples, {'sound': path})
    assert said == f"--features=sound={path}: the run has no modality 'sound'; it has text, image"
    bare = dataclasses.replace(graph, features={}, present=graph.present[:, :1])
    assert refusal(bare, triples, {'text': path}).endswith("no modality 'text'; it has none beside structure")
    old = save(tmp_path / 'old.safetensors', ['a', 'b'], [[1, 2], [3, 4]])
    assert refusal(graph, triples, {'text': old}) == (
        f'{old}: none of its labels is one of the 1 new entities; leave the file out'
    )
    np.save(tmp_path / 'x.npy', np.ones((1, 2), np.float32))
    said = refusal(graph, triples, {'text': str(tmp_path / 'x.npy')})
    assert said.startswith(f'{tmp_path / "x.npy"}: no labels, by which new entities are told from those of the run; ')
