"""Tests of `python -m mans_jax.features`: what it writes, interrupted or not, and how it refuses."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors
from sklearn.datasets import load_digits

from mans_jax.data import load_graph
from tests.small_models import SIZE, vit_config, write_image_model, write_text_model

ROOT = Path(__file__).resolve().parents[1]

needs_models = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('sentence_transformers', 'torch', 'PIL')),
    reason="needs sentence-transformers and Pillow: pip install '.[features]'",
)


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


# Imports once what takes seconds, then does each command line in a process of its own. `kill_in` stops that by SIGKILL
# when it has written the half of a result; `absent` are libraries that it cannot import.
SERVER = """
import contextlib, json, os, runpy, signal, sys, traceback, warnings
import mans_jax.encoders.image, mans_jax.encoders.text
from mans_jax.encoders import journal

with contextlib.suppress(ImportError):
    import PIL.ImageOps, sentence_transformers, transformers
    from transformers import AutoImageProcessor, AutoModel

warnings.filterwarnings('ignore', message='.*fork', category=DeprecationWarning)
warnings.filterwarnings('ignore', message='os.fork', category=RuntimeWarning)

def killing(write, left):
    def write_or_die(file, start, result):
        nonlocal left
        write(file, start, result)
        left -= 1
        if left <= 0:
            file.truncate(start + (file.tell() - start) // 2)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return write_or_die

def run(folder, arguments, kill_in, absent):
    os.chdir(folder)
    for fd, name in ((1, 'stdout'), (2, 'stderr')):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
    for name in absent:
        for module in [m for m in sys.modules if m == name or m.startswith(name + '.')]:
            del sys.modules[module]
        sys.modules[name] = None
    if kill_in:
        journal._write = killing(journal._write, kill_in)
    sys.argv = ['mans_jax.features', *arguments]
    try:
        runpy.run_module('mans_jax.features', run_name='__main__', alter_sys=True)
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 70

print('ready', flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        code = run(*json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope='module')
def server():
    paths = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
    environment = {**os.environ, 'PYTHONPATH': paths, 'JAX_PLATFORMS': 'cpu', 'HF_HUB_OFFLINE': '1', 'PYTHONUTF8': '1'}
    process = subprocess.Popen(
        [sys.executable, '-c', SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == 'ready\n'
    yield process
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    process.stdout.close()


@pytest.fixture
def run(server, tmp_path):
    """(*arguments, cwd, kill_in, absent) -> Done: what the command line does in a folder."""

    def run(*arguments, cwd=tmp_path, kill_in=0, absent=()):
        server.stdin.write(json.dumps([str(cwd), [*map(str, arguments)], kill_in, absent]) + '\n')
        server.stdin.flush()
        code = int(server.stdout.readline())
        done = Done(code, *((cwd / name).read_text(encoding='utf-8') for name in ('stdout', 'stderr')))
        for name in ('stdout', 'stderr'):
            (cwd / name).unlink()
        return done

    return run


@pytest.fixture(scope='module')
def text_model(tmp_path_factory):
    return write_text_model(tmp_path_factory.mktemp('text'))


@pytest.fixture(scope='module')
def image_model(tmp_path_factory):
    import torch
    from transformers import ViTModel

    torch.manual_seed(0)
    return write_image_model(tmp_path_factory.mktemp('image'), ViTModel(vit_config()))


@pytest.fixture
def graph(tmp_path):
    """Entities a, b, c, d, e and a table of their texts, of which d has none; f is no entity."""
    folder = tmp_path / 'graph'
    folder.mkdir()
    for split, text in (('train', 'a\tr\tb\nc\tr\td\nd\tr\te\n'), ('valid', 'a\tr\td\n'), ('test', 'b\tr\tc\n')):
        (folder / f'{split}.tsv').write_text(text)
    (tmp_path / 'texts.tsv').write_text(
        'f\tsome\tmore\ne\tletter e\t\nd\t\t\nc\tc\tthree\nb\tb\t\na\tlong text\tof a\n'
    )
    return folder


def content(path):
    """The labels, the features and the provenance in a file."""
    with safetensors.safe_open(path, 'numpy') as file:
        metadata = {name: json.loads(value) for name, value in file.metadata().items()}
        return metadata['labels'], file.get_tensor('features'), metadata['provenance']


@needs_models
def test_texts_to_features_that_training_takes(run, graph, text_model, tmp_path):
    arguments = ['--input=texts.tsv', '--output=text.safetensors', f'--model={text_model}', '--graph=graph']
    done = run('text', *arguments, '--dtype=float16')
    assert (done.code, done.stdout.splitlines()) == (
        0,
        [
            f'text.safetensors: 4 of 5 entities, {SIZE} features each',
            'use it with --config.features.text=text.safetensors',
        ],
    )
    log = [line.partition('] ')[2] for line in done.stderr.splitlines()]
    assert log == [
        "texts.tsv: 1 entities have no text: 'd'",
        "texts.tsv: 1 of 5 labels are no entity and left out: 'f'; 1 of 5 entities have no row: 'd'",
    ]
    labels, features, provenance = content(tmp_path / 'text.safetensors')
    assert labels == ['a', 'b', 'c', 'e'] and features.dtype == np.float16
    assert provenance['command'] == ['python', '-m', 'mans_jax.features', 'text', *arguments, '--dtype=float16']
    assert provenance['skipped'] == {'without_text': 1, 'not_in_graph': 1}
    assert provenance['model'] == str(text_model) and provenance['dtype'] == 'float16'
    loaded, _ = load_graph(graph, {'text': str(tmp_path / 'text.safetensors')})
    assert loaded.present[:, 1].tolist() == [True, True, True, False, True]
    np.testing.assert_array_equal(loaded.features['text'][:3], features[:3])
    assert not (tmp_path / 'text.safetensors.partial').exists()


@pytest.fixture
def images(tmp_path):
    from PIL import Image

    for i, picture in enumerate(load_digits().images[:8]):
        folder = tmp_path / 'images' / f'digit {i // 3}'
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((picture * 15.9).astype(np.uint8)).save(folder / f'{i}.png')
    (tmp_path / 'images' / 'digit 0' / '1.png').write_bytes(b'no image')
    return tmp_path / 'images'


@needs_models
@pytest.mark.parametrize('kind', ['text', 'image'])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(run, graph, images, text_model, image_model, tmp_path, kind):
    source, model = {'text': ('texts.tsv', text_model), 'image': ('images', image_model)}[kind]
    folders = [tmp_path / name for name in ('whole', 'killed')]
    for folder in folders:
        folder.mkdir()
        (folder / source).symlink_to(tmp_path / source)
    arguments = [kind, f'--input={source}', '--output=x.safetensors', f'--model={model}', '--batch_size=2']
    whole = run(*arguments, cwd=folders[0])
    killed = run(*arguments, cwd=folders[1], kill_in=3)
    assert (whole.code, killed.code) == (0, -9), (whole.stderr, killed.stderr)
    assert not (folders[1] / 'x.safetensors').exists()
    resumed = run(*arguments, cwd=folders[1])
    assert (resumed.code, resumed.stdout) == (0, whole.stdout)
    number = {'text': 5, 'image': 8}[kind]
    assert f'x.safetensors.partial: 4 of {number} are done, going on behind them' in resumed.stderr
    whole, resumed = ((folder / 'x.safetensors').read_bytes() for folder in folders)
    assert whole == resumed
    assert sorted(path.name for path in folders[1].iterdir()) == sorted([source, 'x.safetensors'])


@needs_models
def test_a_killed_run_starts_over_when_something_has_changed(run, graph, text_model, tmp_path):
    arguments = ['text', '--input=texts.tsv', '--output=x.safetensors', f'--model={text_model}', '--batch_size=2']
    assert run(*arguments, kill_in=2).code == -9
    with (tmp_path / 'texts.tsv').open('a') as file:
        file.write('g\tone\tmore\n')
    done = run(*arguments[:-1], '--batch_size=1', '--separator=; ', kill_in=3)
    changed = 'batch_size, input, separator'
    assert f'x.safetensors.partial: begun with another {changed}; starting over' in done.stderr
    # The type of the numbers is no matter of what is done already.
    done = run(*arguments[:-1], '--batch_size=1', '--separator=; ', '--dtype=float16')
    assert done.code == 0 and '2 of 6 are done, going on behind them' in done.stderr


@needs_models
def test_images_to_features(run, images, image_model, tmp_path):
    done = run('image', '--input=images', '--output=x.safetensors', f'--model={image_model}')
    assert (done.code, done.stdout.splitlines()[0]) == (0, f'x.safetensors: 3 entities, {SIZE} features each')
    assert done.stderr.endswith("images: 1 of 8 images are left out: 'digit 0/1.png' (not an image)\n")
    labels, features, provenance = content(tmp_path / 'x.safetensors')
    assert labels == ['digit 0', 'digit 1', 'digit 2'] and features.shape == (3, SIZE)
    assert provenance['skipped']['broken'] == {'digit 0/1.png': 'not an image'}


def test_numeric_facts_to_features(run, graph, tmp_path):
    facts = ''.join(f'{label}\theight\t{i}\n' for i, label in enumerate(['x', 'e', 'a']))
    (tmp_path / 'facts.tsv').write_text(facts + 'a\tage\t3\na\theight\ttall\n')
    done = run('numeric', '--input=facts.tsv', '--output=x.safetensors', '--graph=graph', '--min_entities=2')
    assert (done.code, done.stdout.splitlines()[0]) == (0, 'x.safetensors: 2 of 5 entities, 2 features each')
    labels, features, provenance = content(tmp_path / 'x.safetensors')
    assert labels == ['a', 'e'] and features[:, 1].tolist() == [1, 1]
    assert provenance['attributes'] == ['height']
    assert provenance['skipped'] == {'rare_attributes': {'age': 1}, 'without_number': 1, 'not_in_graph': 1}
    assert "facts.tsv: 1 attributes of fewer than 2 entities are left out: 'age'" in done.stderr
    assert "facts.tsv: 1 values are no number and left out: 'tall' in line 5" in done.stderr


def refusal(done):
    """The line that says what is wrong, behind 'error: '."""
    assert done.code == 1 and done.stdout == '', done
    last = done.stderr.splitlines()[-1]
    assert last.startswith('error: ') and 'Traceback' not in done.stderr, done.stderr
    return last.removeprefix('error: ')


PLACES = ['--input=texts.tsv', '--output=x.safetensors']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'no command given; there are text, image, numeric; see --help'),
        (PLACES, 'no command given; there are text, image, numeric; see --help'),
        (['txt', *PLACES], "'txt' is not a command; did you mean 'text'? There are text, image, numeric"),
        (['video'], "'video' is not a command; there are text, image, numeric"),
        (['text', 'image', *PLACES], "'image' is not a flag: write --FLAG=VALUE"),
        (['text', '--output=x.safetensors'], '--input is missing; see --help'),
        (['text', '--input=texts.tsv'], '--output is missing; see --help'),
        (['text', *PLACES], '--model is missing; see --help'),
        (['image', *PLACES], '--model is missing; see --help'),
        ([*PLACES, 'text', '--index=x'], "--index is not a flag of 'text' but of image; leave it out"),
        (['image', '--keys=id', *PLACES], "--keys is not a flag of 'image' but of text; leave it out"),
        (['image', '--separator= ', *PLACES], "--separator is not a flag of 'image' but of text; leave it out"),
        (['text', '--min_entities=3'], "--min_entities is not a flag of 'text' but of numeric; leave it out"),
        (['numeric', '--model=x'], "--model is not a flag of 'numeric' but of text and image; leave it out"),
        (['numeric', '--batch_size=32'], "--batch_size is not a flag of 'numeric' but of text and image; leave it out"),
        (['text', '--modl=x'], "Unknown command line flag 'modl'. Did you mean: model ?"),
        (['text', '--batch_size=0'], 'flag --batch_size=0: '),
        (['text', '--dtype=int8'], 'flag --dtype=int8: value should be one of <float32|float16>'),
        (['text', '--keys=id', '--model=x', *PLACES], '--keys=id: --graph is missing, whose entities the ids are'),
        (['text', '--input=texts.tsv', '--output=x.npy'], '--output=x.npy: the name must end in .safetensors'),
        (['numeric', '--graph=nowhere', *PLACES], 'nowhere: no such file or folder'),
        (['text', '--model=x', '--input=no.tsv', PLACES[1]], 'no.tsv: no such file'),
        (['image', '--model=x', '--input=no', PLACES[1]], 'no: no such folder'),
        (['image', '--model=x', '--input=graph', PLACES[1]], 'graph: no images in its folders'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_bad_input_is_one_line(run, graph, arguments, message):
    assert refusal(run(*arguments)).startswith(message)
    assert not graph.with_name('x.safetensors').exists()


@pytest.mark.parametrize('kind', ['text', 'image'])
def test_a_missing_library_names_the_extra(run, graph, tmp_path, kind):
    (tmp_path / 'images' / 'a').mkdir(parents=True)
    (tmp_path / 'images' / 'a' / '1.png').touch()
    source, library = {'text': ('texts.tsv', 'sentence_transformers'), 'image': ('images', 'transformers')}[kind]
    done = run(kind, f'--input={source}', PLACES[1], '--model=x', absent=[library])
    assert refusal(done) == f"{library} is needed for this: pip install '.[features]'"


@needs_models
def test_a_model_that_cannot_be_loaded(run, graph):
    said = refusal(run('text', *PLACES, '--model=nobody/nothing'))
    assert said.startswith('--model=nobody/nothing: cannot be loaded (')
    with contextlib.suppress(FileNotFoundError):
        assert not any((graph.parent / 'x.safetensors.partial').iterdir())


def test_the_process_that_nobody_forked(graph, tmp_path):
    paths = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
    environment = {**os.environ, 'PYTHONPATH': paths, 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-m', 'mans_jax.features', *PLACES, 'txt']
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert refusal(Done(done.returncode, done.stdout, done.stderr)).startswith("'txt' is not a command")
