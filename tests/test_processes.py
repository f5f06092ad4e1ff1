"""Training by two processes of two devices each: agreed, killed, resumed, and refused where they cannot."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from mans_jax.errors import InputError
from mans_jax.processes import join
from mans_jax.runs import load_run
from tests.graphs import quick_programs, short_recipe, write_openke, write_recipe

ROOT = pathlib.Path(__file__).parent.parent
LIMIT = 240
"""Seconds after which a process that ought to end counts as hanging."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('localhost', 0))
        return listener.getsockname()[1]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_openke(tmp_path_factory.mktemp('graph'), num_entities=42)


@pytest.fixture(scope='module')
def start(programs):
    """(arguments of each process) -> the processes, started; all are killed in the end."""
    with quick_programs(programs):
        environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2'}
    environment['PYTHONPATH'] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    started = []

    def start(*of_each, num_processes=2):
        address = ['--coordinator', f'localhost:{free_port()}', '--num_processes', str(num_processes)]
        for process_id, arguments in enumerate(of_each):
            several = [*address, '--process_id', str(process_id)] if num_processes > 1 else []
            command = [sys.executable, '-m', 'mans_jax.train', *map(str, arguments), *several]
            pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
            started.append(subprocess.Popen(command, env=environment, cwd=ROOT, **pipes))
        return started[-len(of_each) :]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def last_line(process) -> str:
    """What a process that was refused said last."""
    _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 1 and 'Traceback' not in stderr, stderr
    return stderr.splitlines()[-1]


def results_of(workdir) -> dict:
    return json.loads((workdir / 'results.json').read_text())


def smooth_recipe(folder, **overrides):
    """Of a loss without kinks: another order of sums is all that tells devices apart, and it stays as small."""
    fields = {'optimizer': 'sgd', 'learning_rate': 0.5, 'score': 'transe_l2', 'loss': 'softplus'}
    return short_recipe(folder, **(fields | overrides))


def assert_the_same_run(found, wanted):
    """Whether two workdirs hold the same losses, metrics and parameters, up to the order of sums."""
    lines = [[json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()] for run in (found, wanted)]
    numbers = [[(line['step'], line['split'], line.get('loss', line.get('mrr'))) for line in run] for run in lines]
    assert [number[:2] for number in numbers[0]] == [number[:2] for number in numbers[1]], 'written twice or lost'
    np.testing.assert_allclose(*([number[2] for number in run] for run in numbers), rtol=1e-5)
    results = [{name: results_of(run)[name] for name in ('step', 'valid', 'test')} for run in (found, wanted)]
    params = [load_run(run)[1].params for run in (found, wanted)]
    for of_both in (results, params):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), *of_both)


@pytest.mark.parametrize('victim', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_processes_are_resumed_by_one(folder, start, tmp_path, victim):
    recipe = write_recipe(tmp_path / 'recipe.py', smooth_recipe(folder, num_epochs=40))
    one = [f'--config={recipe}', f'--workdir={tmp_path / "undisturbed"}']
    two = [f'--config={recipe}', f'--workdir={tmp_path / "run"}', '--config.mesh=data=2,entity=2']
    (alone,) = start(one, num_processes=1)
    both = start(two, two)
    saved = tmp_path / 'run' / 'checkpoints'
    end = time.monotonic() + LIMIT
    while not (saved.is_dir() and any(path.name.isdigit() for path in saved.iterdir())):
        assert both[0].poll() is None and time.monotonic() < end, both[0].communicate()
        time.sleep(0.01)
    both[victim].kill()
    assert re.fullmatch(
        rf'error: process {1 - victim} has lost another process \(.*\); the same commands, in all processes, go on at '
        'the last checkpoint',
        last_line(both[1 - victim]),
    )
    steps = sorted(int(path.name) for path in saved.iterdir() if path.name.isdigit())
    assert steps and steps[-1] < 40 * 16, 'nothing was left to resume'
    (resumed,) = start(two[:2], num_processes=1)
    for process in (alone, resumed):
        _, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, stderr
    assert re.search(rf'resuming .* at step {steps[-1]} of 640', stderr)
    assert_the_same_run(tmp_path / 'run', tmp_path / 'undisturbed')


@pytest.mark.parametrize(
    ('fields', 'mesh'),
    [
        ({}, 'entity=4'),
        ({'sampler': 'chunk_pool', 'optimizer': 'sparse_sgd'}, 'data=2,entity=2'),
        pytest.param({'stream_triples': True}, 'data=2,entity=2', marks=pytest.mark.slow),
    ],
    ids=['bernoulli', 'chunk_pool', 'streamed'],
)
def test_two_processes_end_as_one_and_the_first_alone_reports(folder, start, tmp_path, fields, mesh):
    if fields.get('stream_triples'):
        pytest.importorskip('grain', reason='grain is not installed; the extra streaming has it')
    recipe = write_recipe(tmp_path / 'recipe.py', smooth_recipe(folder, **fields))
    one = [f'--config={recipe}', f'--workdir={tmp_path / "one"}']
    two = [f'--config={recipe}', f'--workdir={tmp_path / "two"}', f'--config.mesh={mesh}']
    processes = [*start(two, two), *start(one, num_processes=1)]
    said = [process.communicate(timeout=LIMIT) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    # Gloo, which adds up between processes on CPUs, prints by itself, from several threads: its lines, and those that
    # they get into, may be broken anywhere. It has no word of ours.
    first, second, alone = (stdout for stdout, _ in said)
    columns = alone.splitlines()[0].split()
    assert columns[0] == 'mrr' and all(column in first for column in columns)
    assert not any(column in second for column in columns), 'only process 0 prints'
    assert_the_same_run(tmp_path / 'two', tmp_path / 'one')


def test_a_port_that_is_taken_is_named():
    with socket.socket() as listener:
        listener.bind(('', 0))
        listener.listen()
        address = f'localhost:{listener.getsockname()[1]}'
        with pytest.raises(InputError) as error:
            join(address, 2, 0, timeout_s=2)
    assert str(error.value) == (
        f'--coordinator={address}: process 0 cannot listen on port {address[10:]} (Address already in use); choose '
        'another port'
    )


def test_processes_with_different_configs_are_refused(folder, start, tmp_path):
    recipe = write_recipe(tmp_path / 'recipe.py', short_recipe(folder))
    common = [f'--config={recipe}', f'--workdir={tmp_path / "run"}', '--config.mesh=entity=4']
    for process in start(common, [*common, '--config.learning_rate=0.5']):
        assert last_line(process) == (
            'error: config.learning_rate is not the same in process 1 as in process 0: start all processes with the '
            'same flags, on the same files'
        )
    assert not (tmp_path / 'run' / 'config.json').exists()


def test_processes_with_different_data_are_refused(folder, start, tmp_path):
    other = write_openke(tmp_path / 'other', num_entities=42, seed=1)
    recipes = [
        write_recipe(tmp_path / f'recipe_{i}.py', short_recipe(path, mesh='entity=4'))
        for i, path in enumerate((folder, other))
    ]
    for process in start(*([f'--config={recipe}', f'--workdir={tmp_path / "run"}'] for recipe in recipes)):
        assert last_line(process).startswith(
            'error: the graph of config.data and config.features is not the same in process 1 as in process 0: '
        )


def test_a_coordinator_that_does_not_answer_is_waited_for_no_longer_than_said():
    address = f'localhost:{free_port()}'
    with pytest.raises(InputError) as error:
        join(address, 2, 1, timeout_s=2)
    said = str(error.value)
    assert re.fullmatch(
        rf'--coordinator={address}: no answer within 2 s \(Connection refused\); start process 0 there, or correct the '
        'address',
        said,
    )


def test_a_process_that_does_not_come_is_waited_for_no_longer_than_said(folder, start, tmp_path):
    recipe = write_recipe(tmp_path / 'recipe.py', short_recipe(folder, mesh='entity=4'))
    (waiting,) = start([f'--config={recipe}', f'--workdir={tmp_path / "run"}', '--start_timeout_s=5'])
    assert re.fullmatch(
        r'error: --coordinator=localhost:\d+: the processes did not come together within 5 s; start all of them, with '
        'the same --coordinator and --num_processes',
        last_line(waiting),
    )


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (('somewhere', 2, 0), "--coordinator=somewhere: not of the form HOST:PORT, nor 'auto'"),
        (('a:1', None, 0), '--num_processes is missing beside --coordinator=a:1'),
        (('a:1', 2, None), '--process_id is missing beside --coordinator=a:1'),
        (('a:1', 2, 2), '--process_id=2, but with --num_processes=2 they are below that'),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(InputError) as error:
        join(*arguments, timeout_s=1)
    assert str(error.value) == said
