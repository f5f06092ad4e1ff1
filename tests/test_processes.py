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

import pytest

from mans_jax.errors import InputError
from mans_jax.processes import join
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


def test_killed_processes_are_resumed_by_one(folder, start, tmp_path):
    recipe = write_recipe(tmp_path / 'recipe.py', short_recipe(folder, num_epochs=40, optimizer='sgd'))
    one = [f'--config={recipe}', f'--workdir={tmp_path / "undisturbed"}']
    two = [f'--config={recipe}', f'--workdir={tmp_path / "run"}', '--config.mesh=data=2,entity=2']
    (alone,) = start(one, num_processes=1)
    first, second = start(two, two)
    saved = tmp_path / 'run' / 'checkpoints'
    end = time.monotonic() + LIMIT
    while not (saved.is_dir() and any(path.name.isdigit() for path in saved.iterdir())):
        assert first.poll() is None and time.monotonic() < end, first.communicate()
        time.sleep(0.01)
    second.kill()
    lost = last_line(first)
    assert re.fullmatch(
        r'error: process 0 has lost another process \(.*\); the same commands, in all processes, .*', lost
    )
    steps = sorted(int(path.name) for path in saved.iterdir() if path.name.isdigit())
    assert steps and steps[-1] < 40 * 16, 'nothing was left to resume'
    (resumed,) = start(two[:2], num_processes=1)
    for process in (alone, resumed):
        _, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, stderr
    assert re.search(rf'resuming .* at step {steps[-1]} of 640', stderr)
    found, wanted = (results_of(tmp_path / name) for name in ('run', 'undisturbed'))
    assert found['step'] == wanted['step']
    for name in ('mrr', 'hits_at_10', 'mean_rank'):
        assert found['test'][name] == pytest.approx(wanted['test'][name], rel=1e-2), name
    lines = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
    assert [line['epoch'] for line in lines if line['split'] == 'train'] == list(range(1, 41)), 'written twice or lost'


def test_two_processes_end_as_one_and_the_first_alone_reports(folder, start, tmp_path):
    recipe = write_recipe(tmp_path / 'recipe.py', short_recipe(folder, optimizer='sgd'))
    one = [f'--config={recipe}', f'--workdir={tmp_path / "one"}']
    two = [f'--config={recipe}', f'--workdir={tmp_path / "two"}', '--config.mesh=entity=4']
    processes = [*start(two, two), *start(one, num_processes=1)]
    said = [process.communicate(timeout=LIMIT) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    # Gloo, which adds up between processes on CPUs, prints by itself.
    printed = [[line for line in stdout.splitlines() if '[Gloo]' not in line] for stdout, _ in said]
    assert printed[0][0].split()[0] == 'mrr'
    assert printed[1] == [], 'only process 0 prints'
    found, wanted = (results_of(tmp_path / name)['test'] for name in ('two', 'one'))
    assert found['mrr'] == pytest.approx(wanted['mrr'], rel=1e-2)


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
