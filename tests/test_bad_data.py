"""Bad data, given to command lines as a user would: exit code 1 and exactly one line that says what to do."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy

from tests.graphs import short_recipe, write_openke, write_recipe
from tests.published_graphs import write_like

ROOT = Path(__file__).resolve().parents[1]
LABELS = ['a', 'b', 'שלום', 'é', 'e e', 'f']
MATRIX = np.arange(18, dtype=np.float32).reshape(6, 3) + 1

# Every case is a process of its own, forked where the libraries, which take a second, are imported already.
RUN_ALL = """
import json, os, runpy, sys, tempfile, traceback
import jax, h5py, pyarrow.parquet
import mans_jax.data.audit

def run(module, arguments, outputs):
    for fd, output in enumerate(outputs, start=1):
        os.dup2(output.fileno(), fd)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name='__main__', alter_sys=True)
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
    return 70

done = {}
for name, (module, arguments) in json.load(sys.stdin).items():
    outputs = [tempfile.TemporaryFile() for _ in range(2)]
    child = os.fork()
    if not child:
        code = run(module, arguments, outputs)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for output in outputs:
        output.seek(0)
    done[name] = [code, *(output.read().decode() for output in outputs)]
json.dump(done, sys.stdout)
"""


class Bomb:
    """Unpickling one leaves a file behind."""

    def __reduce__(self):
        return (Path.touch, (Path('bomb'),))


def save(form, matrix=MATRIX, labels=None):
    """A maker of a feature file: a matrix, perhaps with labels."""

    def make(path):
        path = path.with_suffix(form)
        if form == '.npz':
            np.savez(path, features=matrix, **({} if labels is None else {'labels': np.array(labels)}))
        elif form == '.h5':
            with h5py.File(path, 'w') as file:
                file['features'] = matrix
                file['labels'] = labels
        elif form == '.npy':
            np.save(path, matrix, allow_pickle=True)
        elif form == '.safetensors':
            safetensors.numpy.save_file({'features': matrix}, path, metadata={'labels': json.dumps(labels)})
        else:
            pa.parquet.write_table(pa.table({'label': labels, 'vector': list(matrix)}), path)
        return path

    return make


def vectors(form):
    """A maker of a feature file with a vector a label, of different widths."""

    def make(path):
        path, named = path.with_suffix(form), {'a': MATRIX[0], 'é': MATRIX[1][:2]}
        if form == '.npz':
            np.savez(path, **named)
        elif form == '.h5':
            with h5py.File(path, 'w') as file:
                file.update(named)
        elif form == '.safetensors':
            safetensors.numpy.save_file({name: row.copy() for name, row in named.items()}, path)
        else:
            pa.parquet.write_table(pa.table({'label': list(named), 'vector': list(named.values())}), path)
        return path

    return make


def beside(text):
    """A maker of a .npy with labels in a text file beside it."""

    def make(path):
        path.with_suffix('.labels.txt').write_bytes(text)
        return save('.npy')(path)

    return make


def linked(path):
    path = path.with_suffix('.h5')
    with h5py.File(path, 'w') as file:
        file['features'] = h5py.ExternalLink('/etc/hosts', 'x')
    return path


def raw(form, data):
    def make(path):
        path.with_suffix(form).write_bytes(data)
        return path.with_suffix(form)

    return make


TWICE = ['a', 'b', 'é', 'f', 'a', 'e e']
FEATURES = {
    'rows of another graph': (
        save('.npy', MATRIX[:5]),
        'FILE: 5 rows for 6 entities; store one row an entity id, NaN where an entity has none, or the labels of the '
        'rows',
    ),
    'labels of another graph': (
        save('.npz', labels=['/m/1', '/m/2', '/m/3', '/m/4', '/m/5', '/m/6']),
        "FILE: none of its 6 labels is an entity, so it is another graph's: the file has '/m/1', '/m/2', '/m/3', ...; "
        "the graph has 'a', 'b', 'שלום', ...",
    ),
    'a label twice, beside': (
        beside('\n'.join(TWICE).encode()),
        "STEM.labels.txt: label 'a' twice, in lines 1 and 5; keep one",
    ),
    'too few labels': (beside(b'a\nb\n'), 'STEM.labels.txt: 2 labels for the 6 rows of FILE'),
    'labels in Latin-1': (
        beside('a\nb\né\n'.encode('latin-1')),
        'STEM.labels.txt, line 3: byte 0xe9 is not UTF-8; save the file as UTF-8',
    ),
    'labels in Latin-1 within': (
        save('.h5', labels=[x.encode('latin-1') for x in TWICE]),
        "FILE: the label of row 2 (counted from 0), b'\\xe9', is not UTF-8; store labels as UTF-8",
    ),
    'an array of objects': (
        save('.npy', np.array([Bomb()], dtype=object)),
        "FILE: not a whole .npy file of numbers (Array can't be memory-mapped: Python objects in dtype.); write it "
        'with numpy.save',
    ),
    'a pickle': (
        raw('.pkl', pickle.dumps({'a': Bomb()})),
        'FILE: the ending tells no format of features; known: .npy, .npz, .safetensors, .parquet, .h5, .hdf5, .pt, '
        '.pth; python -m mans_jax.features makes them of texts, images and numbers',
    ),
    'a link out of the folder': (linked, "FILE: 'features' lies in another file, /etc/hosts; store it in this one"),
    'no file': (lambda path: path.with_suffix('.npy'), 'FILE: no such file'),
    **{
        f'a label twice in {form}': (
            save(form, labels=TWICE),
            "FILE: label 'a' twice, in rows 0 and 4 (counted from 0); keep one",
        )
        for form in ('.npz', '.h5', '.safetensors', '.parquet')
    },
    **{
        f'mixed widths in {form}': (
            vectors(form),
            "FILE: 'a' has 3 features, 'é' has 2; one width is needed",
        )
        for form in ('.npz', '.h5', '.safetensors', '.parquet')
    },
}


def graph(folder, suffix='.tsv', more=b''):
    """A folder of labelled triples over LABELS, in order; `more` stands at the end of train."""
    folder.mkdir(parents=True)
    rows = [(LABELS[i % 6], f'r{i % 2}', LABELS[(i + 1) % 6]) for i in range(12)]
    separator = {'.tsv': '\t', '.csv': ','}[suffix]
    for split, part in (('train', rows), ('valid', [('a', 'r0', 'f')]), ('test', [('b', 'r0', 'f')])):
        text = ''.join(separator.join(row) + '\n' for row in part)
        (folder / f'{split}{suffix}').write_bytes(text.encode() + (more if split == 'train' else b''))
    return folder


def openke(folder, **changes):
    """An OpenKE folder in which some files hold something else, or are not there (None)."""
    write_openke(folder)
    for name, change in changes.items():
        path = folder / f'{name}2id.txt'
        path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))
    return folder


GRAPHS = {
    'a byte that is not UTF-8': (
        lambda folder: graph(folder, more=b'a\tr0\t\xe9\n'),
        'FOLDER/train.tsv, line 13: byte 0xe9 is not UTF-8; save the file as UTF-8',
    ),
    'a tab in a label': (
        lambda folder: graph(folder, more=b'a\tr0\tb\tc\n'),
        "FOLDER/train.tsv, line 13: 'a\\tr0\\tb\\tc' has 4 columns separated by tabs, expected "
        '"head<TAB>relation<TAB>tail"',
    ),
    'right to left': (
        lambda folder: graph(folder, more='שלום\tr0\n'.encode()),
        "FOLDER/train.tsv, line 13: 'שלום\\tr0' has 2 columns separated by tabs, expected "
        '"head<TAB>relation<TAB>tail"',
    ),
    'a mark that turns what follows': (
        lambda folder: graph(folder, more='a\u202eb\tr0\n'.encode()),
        "FOLDER/train.tsv, line 13: 'a\\u202eb\\tr0' has 2 columns separated by tabs, expected "
        '"head<TAB>relation<TAB>tail"',
    ),
    'an empty label': (
        lambda folder: graph(folder, more=b'a\t\tb\n'),
        'FOLDER/train.tsv, line 13: \'a\\t\\tb\' has an empty label, expected "head<TAB>relation<TAB>tail"',
    ),
    'a quote in a label': (
        lambda folder: graph(folder, '.csv', more=b'a,r0,"b"c\n'),
        "FOLDER/train.csv, line 13: not a row of CSV (',' expected after '\"'); double the quotes in a label",
    ),
    'one file is missing': (
        lambda folder: openke(folder, relation=None),
        'FOLDER/relation2id.txt: no such file',
    ),
    'an entity twice': (
        lambda folder: openke(folder, entity=lambda text: text.replace(b'entity_7\t', b'entity_3\t')),
        "FOLDER/entity2id.txt, line 9: label 'entity_3' is already in line 5; a label must have one id",
    ),
    'an id twice': (
        lambda folder: openke(folder, entity=lambda text: text.replace(b'entity_7\t7', b'entity_7\t3')),
        'FOLDER/entity2id.txt, line 9: id 3 is already taken in line 5',
    ),
}


def source(folder, missing=()):
    write_like('mkg_y', folder)
    for name in missing:
        (folder / name).unlink()
    return folder


def archive(form, member):
    def make(path):
        path = path.with_name(path.name + form)
        if form == '.zip':
            with zipfile.ZipFile(path, 'w') as opened:
                opened.writestr(member, '1\na 0\n')
        else:
            with tarfile.open(path, 'w:gz') as opened:
                member_info = tarfile.TarInfo(member)
                member_info.size = 1
                opened.addfile(member_info, io.BytesIO(b'1'))
        return path

    return make


FIVE = 'entity2id.txt, relation2id.txt, train2id.txt, valid2id.txt, test2id.txt'
SOURCES = {
    'one file is missing': (
        lambda folder: source(folder, ['relation2id.txt']),
        f'FILE: relation2id.txt not there; mkg_y is read from {FIVE}',
    ),
    'two files are missing': (
        lambda folder: source(folder, ['train2id.txt', 'test2id.txt']),
        f'FILE: train2id.txt, test2id.txt not there; mkg_y is read from {FIVE}',
    ),
    'no folder': (lambda folder: folder, f'FILE: no such folder; mkg_y is read from one with {FIVE}'),
    'an empty name': (
        lambda folder: '',
        '--source is empty; name a folder or an archive, or leave it out to download the graph',
    ),
    'no archive': (
        raw('.zip', b'hello'),
        'FILE: not a whole zip or tar archive (file could not be opened successfully); fetch it again',
    ),
    **{
        f'{member} in {form}': (
            archive(form, member),
            f'FILE: member {member!r} leaves the folder; nothing was extracted',
        )
        for form in ('.zip', '.tar.gz')
        for member in ('../entity2id.txt', '/etc/entity2id.txt', 'mkg-y/../../entity2id.txt')
    },
}


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """What every case ended with: name -> (exit code, stdout, stderr, the message expected)."""
    place = tmp_path_factory.mktemp('cases')
    good, commands, expected = graph(place / 'good'), {}, {}
    for i, (case, (make, message)) in enumerate(FEATURES.items()):
        path = place / f'f{i}'
        file = make(path)
        commands[f'features: {case}'] = ('mans_jax.audit', [f'--graph={good}', f'--features=text={file}'])
        expected[f'features: {case}'] = message.replace('FILE', str(file)).replace('STEM', str(path))
    for i, (case, (make, message)) in enumerate(GRAPHS.items()):
        folder = make(place / f'g{i}')
        commands[f'graph: {case}'] = ('mans_jax.audit', [f'--graph={folder}'])
        expected[f'graph: {case}'] = message.replace('FOLDER', str(folder))
    for i, (case, (make, message)) in enumerate(SOURCES.items()):
        file = make(place / f's{i}')
        arguments = ['--dataset=mkg_y', f'--source={file}', f'--data_dir={place / "data"}']
        commands[f'source: {case}'] = ('mans_jax.prepare', arguments)
        expected[f'source: {case}'] = message.replace('FILE', str(file))
    commands |= two_of_one_name(good, place)
    for name in ('apart', 'joined'):
        expected[f'train: two of one name, {name}'] = '--config.features.text is given 2 times: a modality has one file'
    expected['audit: two of one name'] = "--features=text=y.npy: 'text' is already x.npy; give each modality a name"
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu', 'PYTHONUTF8': '1'}
    finished = subprocess.run(
        [sys.executable, '-c', RUN_ALL],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        env=environment,
        cwd=place,
        check=True,
    )
    assert not (place / 'data').exists() and not (place / 'bomb').exists()
    return {name: (*ended, expected[name]) for name, ended in json.loads(finished.stdout).items()}


def two_of_one_name(good, place):
    """Commands that give one modality two files."""
    recipe = write_recipe(place / 'recipe.py', short_recipe(write_openke(place / 'trained')))
    start = [f'--config={recipe}', f'--workdir={place / "run"}']
    name = '--config.features.text'
    return {
        'audit: two of one name': (
            'mans_jax.audit',
            [f'--graph={good}', '--features=text=x.npy', '--features', 'text=y.npy'],
        ),
        'train: two of one name, joined': ('mans_jax.train', [*start, f'{name}=x.npy', f'{name}=y.npy']),
        'train: two of one name, apart': ('mans_jax.train', [*start, name, 'x.npy', name, 'y.npy']),
    }


@pytest.mark.parametrize(
    'case',
    [
        *(f'features: {case}' for case in FEATURES),
        *(f'graph: {case}' for case in GRAPHS),
        *(f'source: {case}' for case in SOURCES),
        'audit: two of one name',
        'train: two of one name, joined',
        'train: two of one name, apart',
    ],
)
def test_one_line_says_what_to_do(done, case):
    code, stdout, stderr, message = done[case]
    assert (code, stdout, stderr) == (1, '', f'error: {message}\n')


def test_labels_of_any_kind_pass_through(tmp_path):
    folder = graph(tmp_path / 'graph', '.csv', more='"tab\there",r0,"quote "" and, comma"\nمرحبا,r0,a\n'.encode())
    labels = [*LABELS, 'tab\there', 'quote " and, comma', 'مرحبا']
    np.savez(tmp_path / 'x.npz', features=np.ones((9, 2), np.float32), labels=np.array(labels[::-1]))
    command = [sys.executable, '-m', 'mans_jax.audit', f'--graph={folder}', '--features=text=x.npz']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu', 'PYTHONUTF8': '1'}
    options = {'capture_output': True, 'text': True, 'env': environment, 'cwd': tmp_path}
    finished = subprocess.run([*command, '--write_clean=clean', '--json=audit.json'], **options)
    assert (finished.returncode, finished.stderr) == (0, '')
    assert 'graph: 9 entities' in finished.stdout
    written = (tmp_path / 'clean' / 'entity2id.txt').read_text(encoding='utf-8')
    assert written == '9\n' + ''.join(f'{label}\t{i}\n' for i, label in enumerate(labels))
    # The folder that was written is a graph with these labels again: the features find every entity.
    shutil.rmtree(folder)
    (tmp_path / 'clean').rename(folder)
    finished = subprocess.run(command, **options)
    assert (finished.returncode, finished.stderr) == (0, '')
