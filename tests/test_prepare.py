"""Tests of the command line that prepares published graphs."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

from mans_jax.data import openke, prepared, published
from mans_jax.errors import InputError
from mans_jax.prepare import prepare
from tests.published_graphs import write_like

ROOT = pathlib.Path(__file__).resolve().parents[1]

TENSORFLOW = "raise AssertionError('somebody imports TensorFlow')\n"


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return write_like('mkg_y', tmp_path_factory.mktemp('source'))


@pytest.fixture
def run(tmp_path):
    """Runs Python with arguments, where importing TensorFlow is possible and an error."""
    (tmp_path / 'modules').mkdir()
    (tmp_path / 'modules' / 'tensorflow.py').write_text(TENSORFLOW)
    paths = f'{tmp_path / "modules"}{os.pathsep}{ROOT}'
    environment = {**os.environ, 'PYTHONPATH': paths, 'TFDS_DATA_DIR': str(tmp_path / 'default')}

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_prepare_ends_with_what_it_made_and_how_to_use_it(run, source, tmp_path):
    done = run('-m', 'mans_jax.prepare', '--dataset=mkg_y', f'--source={source}')
    assert done.returncode == 0, done.stderr
    sizes = '15,000 entities, 28 relations, 21,310 train, 2,665 valid, 2,663 test triples'
    assert done.stdout.splitlines()[-2:] == [f'mkg_y: {sizes}', 'use it with --config.data=tfds:mkg_y']
    # Nothing of what TensorFlow Datasets says by itself.
    said = 'entity2id.txt, relation2id.txt, train2id.txt, valid2id.txt, test2id.txt'
    assert done.stderr == f'warning: {source}: not byte for byte as published: {said}\n'
    assert len(done.stdout.splitlines()) == 2
    load = "from mans_jax.data import load_graph; print(load_graph('tfds:mkg_y', splits='published')[0].train.shape)"
    assert run('-c', load).stdout == '(21310, 3)\n'


@pytest.fixture(scope='module')
def source_with_facts(tmp_path_factory):
    """A folder like DB15K's, with two of the three files that MMKG adds."""
    folder = write_like('db15k', tmp_path_factory.mktemp('facts'), label='<{what}_{i}>')
    numbers = '<entity_7> <born> "1946-05-16"^^<d> .\n<nobody> <born> "1"^^<d> .\n<entity_7> <x> "?"^^<d> .\n'
    (folder / 'DB15K_NumericalTriples.txt').write_text(numbers)
    (folder / 'DB15K_ImageIndex.txt').write_text('<entity_7>\tDBIMG1\n<entity_8>\tDBIMG2\n')
    return folder


def test_facts_stand_beside_the_prepared_graph(run, source_with_facts, tmp_path):
    arguments = ['-m', 'mans_jax.prepare', '--dataset=db15k', f'--data_dir={tmp_path / "data"}']
    done = run(*arguments, f'--source={source_with_facts}')
    assert done.returncode == 0, done.stderr
    folder = prepared.locate('db15k', tmp_path / 'data')
    lines = done.stdout.splitlines()
    assert lines[1:] == [
        f'facts about its entities in {folder}/facts:',
        '  numeric.tsv: 1 lines "entity<TAB>attribute<TAB>value"; 1 about entities that the graph lacks left out; '
        '1 without a number left out: "?"^^<d> in line 3',
        '  images.tsv: 2 lines "entity<TAB>image"',
        f'use it with --config.data={folder}',
    ]
    assert (folder / 'facts' / 'numeric.tsv').read_text() == '<entity_7>\t<born>\t1946.0516\n'
    assert {name: path for name, (path, _) in prepared.facts(folder).items()} == {
        'numeric': folder / 'facts' / 'numeric.tsv',
        'images': folder / 'facts' / 'images.tsv',
    }
    # Asked again, it says the same.
    assert run(*arguments).stdout.splitlines()[1:] == lines


def test_a_source_without_facts_says_what_it_lacks(run, source_with_facts, tmp_path):
    folder = shutil.copytree(source_with_facts, tmp_path / 'source')
    for path in folder.glob('DB15K_*'):
        path.unlink()
    done = run('-m', 'mans_jax.prepare', '--dataset=db15k', f'--source={folder}')
    names = 'DB15K_NumericalTriples.txt, DB15K_ImageIndex.txt, DB15K_SameAsLink.txt'
    made = prepared.locate('db15k', tmp_path / 'default')
    cure = f'add them, delete {made} and prepare it again'
    assert done.stdout.splitlines()[1] == (
        f'no facts about its entities: {names} did not stand beside its files; {cure}'
    )
    assert prepared.facts(made) == {}


def test_facts_that_are_none_leave_nothing(run, source_with_facts, tmp_path):
    folder = shutil.copytree(source_with_facts, tmp_path / 'source')
    (folder / 'DB15K_ImageIndex.txt').write_text('<entity_7>\tDBIMG1\n<entity_8> DBIMG2\n')
    done = run('-m', 'mans_jax.prepare', '--dataset=db15k', f'--source={folder}')
    message = '\'<entity_8> DBIMG2\' is not "entity<TAB>image"'
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == f'error: {folder}/DB15K_ImageIndex.txt, line 2: {message}\n'
    assert not (tmp_path / 'default').exists()


def test_bad_input_is_one_line(run, source, tmp_path):
    done = run('-m', 'mans_jax.prepare', '--dataset=mkg_w', f'--source={source}', f'--data_dir={tmp_path / "x"}')
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith(f'error: {source}: 15,000, 28, ') and done.stderr.count('\n') == 1
    assert not (tmp_path / 'x').exists()


BUILD = """
from absl import app
from tensorflow_datasets.scripts.cli import build, cli_utils

app.run(lambda args: args.execute(), flags_parser=cli_utils.make_flags_parser(build.Args, description='tfds build'))
"""


def test_tfds_build_makes_the_same(run, source_with_facts, tmp_path):
    # Not through the command itself, all of whose other parts it imports, and they need TensorFlow.
    builder = ROOT / 'mans_jax' / 'data' / 'knowledge_graphs'
    options = ['--config=db15k', f'--manual_dir={source_with_facts}', f'--data_dir={tmp_path / "built"}']
    done = run('-c', BUILD, builder, *options)
    assert done.returncode == 0, done.stderr
    built = prepared.locate('db15k', tmp_path / 'built')
    made = prepare('db15k', source_with_facts, tmp_path / 'made')
    contents = [
        {path.name: path.read_bytes() for path in folder.rglob('*') if path.is_file()} for folder in (built, made)
    ]
    for content in contents:
        content.pop('dataset_info.json')  # It names the module of the builder, which differs.
    assert contents[0] == contents[1] and 'numeric.tsv' in contents[0] and len(contents[0]) > 6


def test_an_archive_is_a_source(source, tmp_path):
    with tarfile.open(tmp_path / 'mkg-y.tar.gz', 'w:gz') as archive:
        archive.add(source, 'MKG-Y')
    folder = prepare('mkg_y', tmp_path / 'mkg-y.tar.gz', tmp_path / 'data')
    assert prepared.read(folder)[1:3] == openke.read(source)[:2]


def test_an_archive_of_something_else_is_refused(tmp_path):
    (tmp_path / 'photo').write_text('no graph')
    with tarfile.open(tmp_path / 'photos.tar', 'w') as archive:
        archive.add(tmp_path / 'photo', 'photos/photo')
    with pytest.raises(InputError, match='photos.tar: 0 folders with files of mkg_y in it; it must have one$'):
        prepare('mkg_y', tmp_path / 'photos.tar', tmp_path / 'data')


def test_a_name_that_no_published_graph_has_is_refused(source, tmp_path):
    with pytest.raises(InputError, match="^'mkgw' is not a published graph; there are db15k, "):
        prepare('mkgw', source, tmp_path / 'data')


def test_a_source_that_lacks_a_file_leaves_nothing(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / 'source')
    (folder / 'relation2id.txt').unlink()
    with pytest.raises(InputError, match=f'^{folder}: relation2id.txt not there; '):
        prepare('mkg_y', folder, tmp_path / 'data')
    assert not (tmp_path / 'data').exists()


def test_without_a_source_the_graph_is_downloaded(source, tmp_path, monkeypatch):
    asked = []

    def fetch(name, folder):
        asked.append((name, folder))
        return shutil.copytree(source, folder)

    monkeypatch.setattr(published, 'fetch', fetch)
    folder = prepare('mkg_y', None, tmp_path)
    assert asked == [('mkg_y', tmp_path / 'downloads' / 'mkg_y')]
    assert prepared.read(folder)[1:3] == openke.read(source)[:2]


def test_a_place_that_cannot_be_written_is_said(source, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='file: cannot be written'):
        prepare('mkg_y', source, tmp_path / 'file')
