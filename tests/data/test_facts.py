"""Tests of the tables of facts that a collection adds to a graph."""

import pytest

from mans_jax.data import facts, mmkg
from mans_jax.data.published import GRAPHS
from mans_jax.errors import InputError

FILES = tuple(GRAPHS['db15k'].facts)


def source(folder):
    (folder / 'DB15K_NumericalTriples.txt').write_text(
        '<a> <height> "2.5"^^<d> .\n<é> <born> "19##-##-##"^^<d> .\n<é> <height> "1"^^<d> .\n<z> <height> "3"^^<d> .\n',
        encoding='utf-8',
    )
    (folder / 'DB15K_ImageIndex.txt').write_text('<a>\tDBIMG1\n<a>\tDBIMG2\n', encoding='utf-8')
    (folder / 'DB15K_SameAsLink.txt').write_text('/m/1 <SameAs> <a> .\n', encoding='utf-8')
    return folder


def test_facts_of_the_graphs_entities_alone(tmp_path):
    tables = facts.read(source(tmp_path), FILES, ['<a>', '<é>', '<b>'])
    assert {name: table.rows for name, table in tables.items()} == {
        'numeric': (('<a>', '<height>', 2.5), ('<é>', '<height>', 1.0)),
        'images': (('<a>', 'DBIMG1'), ('<a>', 'DBIMG2')),
        'same_as': (('<a>', '/m/1'),),
    }
    assert facts.describe('numeric', tables['numeric'].counts()) == (
        'numeric.tsv: 2 lines "entity<TAB>attribute<TAB>value"; 1 about entities that the graph lacks left out; '
        '1 without a number left out: "19##-##-##"^^<d> in line 2'
    )
    assert facts.describe('images', tables['images'].counts()) == 'images.tsv: 2 lines "entity<TAB>image"'


def test_every_published_file_of_facts_has_a_table():
    for graph in GRAPHS.values():
        for file in graph.facts:
            assert [name for ending, name in facts.NAMES.items() if file.endswith(ending)], file
    assert facts.COLUMNS.keys() == set(facts.NAMES.values())


def test_what_is_written_is_read_again(tmp_path):
    tables = facts.read(source(tmp_path), FILES, ['<a>', '<é>'])
    facts.write(tmp_path / 'new' / 'facts', tables)
    assert tuple(mmkg.read_numeric(tmp_path / 'new' / 'facts' / 'numeric.tsv')[0]) == tables['numeric'].rows
    assert tuple(mmkg.read_images(tmp_path / 'new' / 'facts' / 'images.tsv')) == tables['images'].rows
    assert (tmp_path / 'new' / 'facts' / 'same_as.tsv').read_bytes() == b'<a>\t/m/1\n'


def test_what_is_not_there_is_no_table_and_no_folder(tmp_path):
    assert facts.read(tmp_path, FILES, ['<a>']) == {}
    facts.write(tmp_path / 'facts', {})
    assert not (tmp_path / 'facts').exists()


def test_facts_of_another_graph_are_refused(tmp_path):
    source(tmp_path)
    with pytest.raises(InputError) as error:
        facts.read(tmp_path, FILES, ['/m/1'])
    cure = "no fact about an entity of the graph; remove it, or give the graph's own"
    assert str(error.value) == f'{tmp_path / "DB15K_NumericalTriples.txt"}: {cure}'


def test_a_file_without_any_number_is_refused_for_that_reason(tmp_path):
    path = tmp_path / 'DB15K_NumericalTriples.txt'
    path.write_text('<a>\t<born>\t19##-##-##\n<a>\t<died>\tlate\n')
    with pytest.raises(InputError) as error:
        facts.read(tmp_path, FILES, ['<a>'])
    assert str(error.value) == f'{path}: none of its 2 values is a number; remove it, or give the whole file'
