"""The command line on bad input: one line on stderr, exit code 1, no traceback, and nothing written is lost."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mans_jax import command_line
from mans_jax.samplers import STRATEGIES
from mans_jax.scoring import SCORES
from tests.graphs import short_recipe, write_openke, write_recipe
from tests.processes import ENVIRONMENT, Done, command_line_of, refusal


@pytest.fixture(scope='module')
def train(tmp_path_factory):
    """(*arguments, largest_file in bytes) -> Done: what `python -m mans_jax.train` does."""
    with command_line_of('mans_jax.train', 'mans_jax.training', tmp_path_factory.getbasetemp() / 'programs') as run:
        yield run


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    return write_openke(tmp_path_factory.mktemp('graph'))


@pytest.fixture
def folder(graph, tmp_path):
    """A graph of one's own, to spoil."""
    return shutil.copytree(graph, tmp_path / 'graph')


@pytest.fixture
def recipe(folder, tmp_path):
    """A recipe for it, with a modality that has no file."""
    features = {'visual': str(folder / 'visual.npy'), 'text': ''}
    return write_recipe(tmp_path / 'recipe.py', short_recipe(folder, features=features, with_replacement=True))


# The flags.


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--config is missing; see --help'),
        (['--workdir=WORK'], '--config is missing; see --help'),
        (['--config=RECIPE'], '--workdir is missing; see --help'),
        (['--config=nowhere.py', '--workdir=WORK'], '--config=nowhere.py: no such file; the recipes .* in configs/'),
        (['--config=nowhere.py:mans_a', '--workdir=WORK'], '--config=nowhere.py: no such file'),
        (['--config', 'nowhere.py', '--workdir=WORK'], '--config=nowhere.py: no such file'),
        (['--config=', '--workdir=WORK'], '--config=: no such file'),
        (['--config=RECIPE', '--wrkdir=WORK'], "Unknown command line flag 'wrkdir'. Did you mean: workdir"),
        (['--config=RECIPE', '--workdir=WORK', 'digits'], "'digits' is not a flag: write --FLAG=VALUE"),
        (['RECIPE'], "'RECIPE' is not a flag"),
        (
            ['--config=RECIPE', '--config.lerning_rate=1', '--workdir=WORK'],
            "--config.lerning_rate: the recipe has no such field; did you mean 'learning_rate'",
        ),
        (
            ['--config=RECIPE', '--config.features.txt=F', '--workdir=WORK'],
            "--config.features.txt: the recipe has no such field; did you mean 'text'",
        ),
        (['--config=RECIPE', '--config.dim=8.5', '--workdir=WORK'], '--config.dim=8.5'),
        (['--config=RECIPE', '--config.margin=big', '--workdir=WORK'], '--config.margin=big'),
        (['--config=RECIPE', '--config.normalize=3', '--workdir=WORK'], '--config.normalize=3'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_flags_that_cannot_be_used(train, recipe, tmp_path, arguments, message):
    arguments = [a.replace('RECIPE', str(recipe)).replace('WORK', str(tmp_path / 'run')) for a in arguments]
    found = refusal(train(*arguments))
    assert re.match('(flag )?' + message.replace('RECIPE', str(recipe)), found), found
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('field', 'message'),
    [
        ('score=transe_l3', rf"config.score: 'transe_l3' .* did you mean 'transe_l[12]'\? Known: {', '.join(SCORES)}"),
        ('sampler=bernouli', "config.sampler: 'bernouli' .* did you mean 'bernoulli'? Known: uniform, bernoulli"),
        ('loss=hinge', "config.loss: 'hinge' .*Known: margin_ranking, softplus, self_adversarial"),
        ('optimizer=adamw', "config.optimizer: 'adamw' .* did you mean 'adam'? Known: adam, adagrad, sgd"),
        ('ties=random', "config.ties: 'random' .*Known: realistic, optimistic, pessimistic"),
        ('learning_rate=-1', 'config.learning_rate is -1.0, but must be above 0'),
        ('share=2', 'config.share is 2.0, but is a share between 0 and 1'),
        ('seed=99999999999999999999', 'config.seed is 99999999999999999999, but must be below'),
        ('data=', 'config.data is empty'),
        ('batch_size=257', 'config.batch_size is 257, but graph has only 256 train triples'),
        ('features.structure=F', '--config.features.structure: the recipe has no such field'),
    ],
)
def test_settings_that_cannot_be_used(train, recipe, tmp_path, field, message):
    found = refusal(train(f'--config={recipe}', f'--config.{field}', f'--workdir={tmp_path / "run"}'))
    assert re.match(message.replace("'? ", "'\\? "), found), found


def test_an_unknown_strategy_is_refused_with_the_list(train, recipe, tmp_path):
    found = refusal(train(f'--config={recipe}:mans_b', f'--workdir={tmp_path / "run"}'))
    assert found.startswith("config.strategy: 'mans_b' is not a known name; did you mean 'mans_")
    assert found.endswith(f'Known: {", ".join(STRATEGIES)}')


def test_virtual_negatives_need_a_modality(train, recipe, tmp_path):
    arguments = [f'--config={recipe}:mans_v', '--config.features.visual=', f'--workdir={tmp_path / "run"}']
    found = refusal(train(*arguments))
    assert re.match("config.strategy is 'mans_v', but .* without any modality .* --config.features.NAME=FILE", found)


# The graph.


def rewrite(path, line, text):
    """Replaces a line of a file, counted from 1, by another, or by none."""
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text('\n'.join(lines) + '\n')


def change_features(path, change):
    np.save(path, change(np.load(path).astype(np.float32)))


def with_value(index, value):
    def change(rows):
        rows[index] = value
        return rows

    return change


SPOILT = {
    'no folder': (lambda folder: shutil.rmtree(folder), 'FOLDER: no such file or folder'),
    'no graph in the folder': (
        lambda folder: [path.unlink() for path in folder.glob('*2id.txt')],
        'FOLDER: no graph in this folder',
    ),
    'no train': (lambda folder: (folder / 'train2id.txt').unlink(), 'FOLDER/train2id.txt: no such file'),
    'no test': (lambda folder: (folder / 'test2id.txt').unlink(), 'FOLDER/test2id.txt: no such file'),
    'count': (lambda folder: rewrite(folder / 'valid2id.txt', 1, '33'), 'FOLDER/valid2id.txt.* 33 .*32'),
    'a line too few': (lambda folder: rewrite(folder / 'train2id.txt', 4, None), 'FOLDER/train2id.txt.*256.*255'),
    'two columns': (lambda folder: rewrite(folder / 'test2id.txt', 5, '1 2'), "FOLDER/test2id.txt, line 5: '1 2'"),
    'a word': (lambda folder: rewrite(folder / 'train2id.txt', 9, '1 x 2'), "FOLDER/train2id.txt, line 9: '1 x 2'"),
    'entity id': (
        lambda folder: rewrite(folder / 'train2id.txt', 3, '1 40 0'),
        r'FOLDER/train2id.txt, line 3: tail id 40 is not in \[0, 40\)',
    ),
    'relation id': (
        lambda folder: rewrite(folder / 'valid2id.txt', 33, '1 4 8'),
        r'FOLDER/valid2id.txt, line 33: relation id 8 is not in \[0, 8\)',
    ),
    'empty split': (lambda folder: (folder / 'valid2id.txt').write_text('0\n'), 'FOLDER/valid2id.txt: .*nothing'),
    'empty file': (lambda folder: (folder / 'test2id.txt').write_text(''), 'FOLDER/test2id.txt'),
    'nothing but leaks': (
        lambda folder: (folder / 'test2id.txt').write_text(
            '1\n' + (folder / 'train2id.txt').read_text().splitlines()[1] + '\n'
        ),
        "FOLDER: test: no triple is left.*splits='published'",
    ),
    'rows': (
        lambda folder: change_features(folder / 'visual.npy', lambda rows: rows[1:]),
        'FOLDER/visual.npy: 39 rows for 40 entities',
    ),
    'infinite': (
        lambda folder: change_features(folder / 'visual.npy', with_value((7, 2), np.inf)),
        'FOLDER/visual.npy: row 7, column 2: inf is infinite',
    ),
    'no usable row': (
        lambda folder: change_features(folder / 'visual.npy', with_value((slice(None), 0), np.nan)),
        'FOLDER/visual.npy: no usable row',
    ),
    'objects': (
        lambda folder: np.save(folder / 'visual.npy', np.array([{}], dtype=object), allow_pickle=True),
        'FOLDER/visual.npy: ',
    ),
    'no features': (lambda folder: (folder / 'visual.npy').unlink(), 'FOLDER/visual.npy: no such file'),
    'half the features': (
        lambda folder: (folder / 'visual.npy').write_bytes((folder / 'visual.npy').read_bytes()[:200]),
        'FOLDER/visual.npy: not a whole .npy file',
    ),
    'no negatives': (
        lambda folder: (folder / 'train2id.txt').write_text('40\n' + ''.join(f'0 {tail} 0\n' for tail in range(40))),
        'graph: .*all 40 entities',
    ),
}


@pytest.mark.parametrize('fault', SPOILT)
def test_graphs_that_cannot_be_used(train, recipe, folder, tmp_path, fault):
    spoil, message = SPOILT[fault]
    spoil(folder)
    found = refusal(train(f'--config={recipe}', f'--workdir={tmp_path / "run"}'))
    assert re.match(message.replace('FOLDER', re.escape(str(folder))), found), found
    assert not list((tmp_path / 'run').iterdir()), 'something was written'


# The workdir.


@pytest.mark.parametrize('below', ['', 'run', 'a/b/run'])
def test_a_workdir_that_cannot_be_written(train, recipe, tmp_path, below):
    (tmp_path / 'file').write_text('mine')
    workdir = tmp_path / 'file' / below
    found = refusal(train(f'--config={recipe}', f'--workdir={workdir}'))
    assert re.match(f'--workdir={workdir} cannot be written: .*; choose another folder', found), found
    assert (tmp_path / 'file').read_text() == 'mine'


@pytest.fixture(scope='module')
def finished(train, graph, tmp_path_factory):
    """(recipe, workdir) of a finished run with all of its 4 checkpoints, of 500 KB each."""
    place = tmp_path_factory.mktemp('finished')
    config = short_recipe(graph, dim=1024, with_replacement=True, keep_checkpoints=4)
    recipe = write_recipe(place / 'recipe.py', config)
    done = train(f'--config={recipe}', f'--workdir={place / "run"}')
    assert done.code == 0, done.stderr
    return recipe, place / 'run'


@pytest.fixture
def half_done(finished, tmp_path):
    """(recipe, workdir): like `finished`, but killed after two of the four epochs."""
    recipe, workdir = finished
    shutil.copytree(workdir, tmp_path / 'run')
    for name in ('checkpoints/48', 'checkpoints/64', 'results.json'):
        path = tmp_path / 'run' / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return recipe, tmp_path / 'run'


def test_a_damaged_checkpoint(train, half_done):
    recipe, workdir = half_done
    largest = max((workdir / 'checkpoints' / '32' / 'state').rglob('*'), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-100])
    found = refusal(train(f'--config={recipe}', f'--workdir={workdir}'))
    assert found.startswith(f'{workdir}/checkpoints/32: the checkpoint is damaged')
    assert found.endswith('delete this folder to fall back to step 16')


def test_another_programs_checkpoint(train, half_done):
    recipe, workdir = half_done
    (workdir / 'checkpoints' / '32' / 'record' / 'metadata').write_text('{"format": "mine"}')
    found = refusal(train(f'--config={recipe}', f'--workdir={workdir}'))
    assert found.startswith(f'{workdir}/checkpoints/32: another program wrote this checkpoint')


def test_a_resume_with_another_recipe(train, half_done):
    recipe, workdir = half_done
    found = refusal(train(f'--config={recipe}', '--config.margin=3', f'--workdir={workdir}'))
    assert found == f'config.margin is 3.0, but the run in {workdir} has 4.0: set it back, or choose another --workdir'


def test_a_disk_that_fills_costs_nothing_but_time(train, half_done, finished):
    recipe, workdir = half_done
    arguments = [f'--config={recipe}', f'--workdir={workdir}']
    for largest_file, place in ((300, 'config.json'), (1500, 'metrics.jsonl')):
        found = refusal(train(*arguments, largest_file=largest_file))
        assert re.match(rf'{workdir}/{place}: cannot be written \(File too large\); free space', found), found
    assert refusal(train(*arguments, largest_file=100_000)) == (
        f'{workdir}/checkpoints: a checkpoint could not be written (File too large); step 32 is the last one. '
        'Free space or choose another folder, then resume'
    )
    done = train(*arguments)
    assert done.code == 0 and f'resuming {workdir} at step 32 of 64' in done.stderr
    assert (workdir / 'results.json').read_bytes() == (finished[1] / 'results.json').read_bytes()


def test_training_that_diverges(train, recipe, tmp_path):
    arguments = ['--config.learning_rate=1e38', '--config.normalize=false', f'--workdir={tmp_path / "run"}']
    found = refusal(train(f'--config={recipe}', *arguments))
    assert re.match('the .* is (nan|inf) at step 16: the training has diverged; lower config.learning_rate', found)


# The same in processes that nobody forked.


@pytest.mark.parametrize('fault', ['flag', 'field', 'line'])
def test_a_process_of_its_own_ends_the_same_way(recipe, folder, tmp_path, fault):
    rewrite(folder / 'train2id.txt', 7, '1 2')
    arguments = {
        'flag': [f'--workdir={tmp_path}'],
        'field': [f'--config={recipe}', '--config.batchsize=3', f'--workdir={tmp_path}'],
        'line': ['--config', str(recipe), '--workdir', str(tmp_path / 'run')],
    }[fault]
    command = [sys.executable, '-m', 'mans_jax.train', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, timeout=120)
    assert {
        'flag': '--config is missing; see --help',
        'field': "--config.batchsize: the recipe has no such field; did you mean 'batch_size'?",
        'line': f'{folder}/train2id.txt, line 7: \'1 2\' is not three ids "head tail relation"',
    }[fault] == refusal(Done(done.returncode, done.stdout, done.stderr))


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full on this machine')
@pytest.mark.parametrize('size', [10, 100_000])
def test_output_that_a_full_disk_does_not_take_is_told_in_a_line(size):
    code = f"from mans_jax import command_line; command_line.run(lambda _: print('x' * {size}))"
    with open('/dev/full', 'w') as full:
        environment = {**os.environ, **ENVIRONMENT}
        done = subprocess.run(
            [sys.executable, '-c', code], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert done.returncode == 1
    assert done.stderr == 'error: there is no room for what is printed (No space left on device)\n'


def test_two_modalities_of_one_name_are_refused(capsys):
    arguments = ['train', '--config=x.py', '--config.features.text=a.npy', '--config.features.text=b.npy']
    with pytest.raises(SystemExit) as stop:
        command_line._parse(arguments)
    assert stop.value.code == 1
    assert capsys.readouterr().err == 'error: --config.features.text is given 2 times: a modality has one file\n'
