"""Tests of `python -m mans_jax.audit`: what it prints, what it writes, how it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mans_jax.data import load_graph
from mans_jax.data.audit import audit
from mans_jax.prepare import prepare
from tests.published_graphs import write_like

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments, cwd):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu', 'PYTHONUTF8': '1'}
    command = [sys.executable, '-m', 'mans_jax.audit', *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def leaking(tmp_path):
    """A TSV folder with labels that are not ASCII, duplicates, leaks, and features with a missing row."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'leaking'
    folder.mkdir()
    rows = [f'é{h}\tr{r}\té{t}\n' for h, r, t in rng.integers(0, [30, 3, 30], size=(200, 3))]
    (folder / 'train.tsv').write_text(''.join([*rows[:150], *rows[:5]]), encoding='utf-8')
    (folder / 'valid.tsv').write_text(''.join(rows[140:170]), encoding='utf-8')
    (folder / 'test.tsv').write_text(''.join([*rows[145:150], *rows[165:]]), encoding='utf-8')
    matrix = rng.normal(size=(30, 4)).astype(np.float32)
    matrix[3] = np.nan
    np.save(tmp_path / 'text.npy', matrix)
    return folder


def test_table_json_and_clean_folder(leaking, tmp_path):
    clean = tmp_path / 'new' / 'clean'
    done = run(
        f'--graph={leaking}', f'--features=text={tmp_path / "text.npy"}', '--json=audit.json',
        f'--write_clean={clean}', '--seed=3', cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('leaking: 30 entities, 3 relations')
    assert 'stand in train' in done.stdout and '--write_clean=DIR' in done.stdout
    content = json.loads((tmp_path / 'audit.json').read_text(encoding='utf-8'))
    graph, report = load_graph(leaking, {'text': str(tmp_path / 'text.npy')}, splits='published')
    assert content['splits']['test']['in_train_lines'] == report.test.in_train_lines > 0
    assert content['modalities'][1]['entities'] == 29
    assert content['degrees']['hubs'][0][0].startswith('é')
    assert content['problems'][0].keys() == {'what', 'cure'}
    # The folder has the same ids, is read by load_graph and has no fault that cleaning could take away.
    written, _ = load_graph(clean, {'text': str(tmp_path / 'text.npy')}, splits='published')
    assert (written.entities, written.relations) == (graph.entities, graph.relations)
    assert {split: len(written.split(split)) for split in ('train', 'valid', 'test')} == {
        split: content['clean'][split] for split in ('train', 'valid', 'test')
    }
    assert audit(written).splits.line() == ''
    assert f'{clean}: {len(written.train):,} train' in done.stdout
    again = run(f'--graph={clean}', '--json', f'--write_clean={clean}', cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr == f'error: {clean}: the folder is not empty; name a new one\n'


def test_json_without_a_file_is_all_of_stdout(tmp_path):
    done = run('--graph=digits', '--features', 'pixels=embedded', '--json', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    content = json.loads(done.stdout)
    assert content['entities'] == 1807
    assert [modality['name'] for modality in content['modalities']] == ['structure', 'pixels']
    assert list(tmp_path.iterdir()) == []


def test_a_graph_by_name(tmp_path, monkeypatch):
    prepare('mkg_y', write_like('mkg_y', tmp_path / 'source'), tmp_path / 'data')
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'data'))
    done = run('--graph=tfds:mkg_y', f'--write_clean={tmp_path / "clean"}', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('mkg_y: 15,000 entities, 28 relations')
    assert load_graph(tmp_path / 'clean')[0].entities == load_graph('tfds:mkg_y')[0].entities
    name = 'synthetic:entities=200,relations=3,triples=150,modalities=1'
    done = run(f'--graph={name}', '--features=view=embedded', '--json', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ("error: features.view: 'embedded' names no feature (embedded here: view_1); give a file\n")
    done = run(f'--graph={name}', '--features=view_1=embedded', '--json', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    content = json.loads(done.stdout)
    assert (content['entities'], content['modalities'][1]['name']) == (200, 'view_1')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--graph is missing'),
        (['--graph=nowhere'], 'nowhere: no such file or folder'),
        (['--graph=digits', '--features=text'], '--features=text: not of the form NAME=FILE'),
        (['--graph=digits', '--features=a=x.npy', '--features=a=y.npy'], "--features=a=y.npy: 'a' is already x.npy"),
        (['--graph=leaking', '--features=text=wrong.npy'], 'wrong.npy: 29 rows for 30 entities'),
        (['--graph=leaking', '--json=nowhere/audit.json'], 'nowhere/audit.json: cannot be written (No such file'),
        (['--graph=leaking', '--write_clean=text.npy/clean'], 'text.npy/clean: cannot be written (Not a directory)'),
        (['--graph=leaking', '--seed=-1'], 'flag --seed=-1'),
    ],
)
def test_bad_input_is_one_line(leaking, tmp_path, arguments, message):
    np.save(tmp_path / 'wrong.npy', np.zeros((29, 4), np.float32))
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.startswith(f'error: {message}'), done.stderr
    assert done.stderr.count('\n') == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path):
    """As `| head` does: here it closes the pipe before the first line."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-m', 'mans_jax.audit', '--graph=digits']
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, 'w') as stdout:
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 141 and 'Traceback' not in done.stderr and 'BrokenPipe' not in done.stderr
