"""What entities and relations are called on the page."""

import numpy as np
import pytest

from mans_jax.data import load_graph
from mans_jax.errors import InputError
from mans_jax.reporting.names import read_names, short_names
from tests.graphs import write_openke


def test_addresses_are_shortened_and_other_labels_stay():
    labels = [
        '<http://dbpedia.org/resource/New_York>',
        'https://w3.org/ns#type',
        'http://a.b/ns/type',
        '/m/02_7',
        'a_b',
    ]
    assert short_names(labels) == ['New York', 'ns#type', 'ns/type', '/m/02_7', 'a_b']


def test_as_many_parts_as_tell_addresses_apart():
    labels = ['http://x.y/a/b/c', 'http://x.y/z/b/c', 'http://x.y/q/c', 'http://x.y/d']
    assert short_names(labels) == ['a/b/c', 'z/b/c', 'q/c', 'd']


@pytest.mark.parametrize(
    'labels',
    [
        ['http://x.y/a', 'https://x.y/a', '<http://x.y/a>'],
        ['a', 'http://x.y/a'],
        ['http://x.y/a_b', 'http://x.y/a b'],
        ['http://x.y/a_b', 'a b'],
    ],
)
def test_no_two_labels_have_one_name(labels):
    names = short_names(labels)
    assert len(set(names)) == len(labels), names


def test_names_and_descriptions_of_a_folder(tmp_path):
    folder = write_openke(tmp_path / 'graph')
    graph, _ = load_graph(folder)
    plain = read_names(str(folder), graph)
    assert list(plain.entities) == list(graph.entities) and set(plain.descriptions) == {''}
    (folder / 'entity_text.tsv').write_text('3\tThree\tafter two\n5\t\tonly text\n')
    names = read_names(str(folder), graph)
    assert names.entities[3] == 'Three' and names.entities[5] == 'entity_5' and names.entities[4] == 'entity_4'
    assert names.descriptions[3:6] == ['after two', '', 'only text']
    assert list(names.relations) == list(graph.relations)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('40\tname\ttext', "'40' is no entity id from 0 to 39"),
        ('-1\tname\ttext', "'-1' is no entity id from 0 to 39"),
        ('x\tname\ttext', "'x' is no entity id from 0 to 39"),
        ('1\tname', '2 columns where id, name and description are wanted'),
        ('1\ta\tb\tc', '4 columns where id, name and description are wanted'),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    folder = write_openke(tmp_path / 'graph')
    graph, _ = load_graph(folder)
    (folder / 'entity_text.tsv').write_text(f'0\tZero\t\n{line}\n')
    with pytest.raises(InputError) as refused:
        read_names(str(folder), graph)
    assert str(refused.value) == f'{folder}/entity_text.tsv, line 2: {message}'


def test_a_graph_of_no_folder_has_its_labels():
    graph, _ = load_graph('digits')
    names = read_names('digits', graph)
    assert names.entities[:2] == ['number_0', 'number_1'] and len(names.descriptions) == np.shape(graph.present)[0]
