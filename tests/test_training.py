"""A run: whatever stops it, it ends as if nothing had; what it tests, keeps, refuses and how often it compiles."""

import dataclasses
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import runs, training
from mans_jax.checkpoints import Checkpoints
from mans_jax.errors import InputError
from mans_jax.run_log import RunLog
from mans_jax.training import Interrupted, train_and_evaluate
from tests.graphs import quick_programs, short_recipe, write_openke, write_recipe

STEPS = 16
"""Steps of an epoch of the small graph."""

STATELESS = {
    'mans_a': {'strategy': 'mans_a', 'marks': 'per_sample'},
    'mans_t': {'strategy': 'mans_t', 'share': 0.3},
    'with_replacement': {'with_replacement': True},
}

RECIPES = STATELESS | {
    'nscaching': {'sampler': 'nscaching(cache_size=4, candidates=4)', 'strategy': 'mans_a', 'marks': 'per_sample'},
    'kbgan': {'sampler': 'kbgan(candidates=4)', 'loss': 'self_adversarial'},
}


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_openke(tmp_path_factory.mktemp('graph'))


@pytest.fixture(scope='module')
def _programs():
    """(loop, state) of the recipes of this module."""
    return {}


@pytest.fixture
def loops(_programs, monkeypatch):
    """Runs of one recipe share their compiled loop, and look every 5 steps whether they should stop.

    Returns a list for functions that are called, without arguments, before every call of the loop.
    """
    make_loop, init_state, before_call = training.make_training_loop, runs.init_state, []

    def program_of(config):
        other = ('data', 'features', 'evaluate_every', 'patience', 'checkpoint_every', 'keep_checkpoints')
        key = [(name, value) for name, value in dataclasses.asdict(config).items() if name not in other]
        return _programs.setdefault(str(key), {})

    def make_once(model, config, steps_per_epoch):
        program = program_of(config)
        loop = program['loop'] = program.get('loop') or make_loop(model, config, steps_per_epoch)

        def train_steps(state, data, num_steps):
            # A call of no steps compiles, and takes none.
            for function in before_call if num_steps else ():
                function()
            return loop.train_steps(state, data, num_steps)

        return loop._replace(train_steps=train_steps)

    def init_for_program(model, config, data):
        state = init_state(model, config, data)
        # The functions that a state holds are another run's, so that JAX knows its program again.
        like = program_of(config).setdefault('like', state)
        return state.replace(apply_fn=like.apply_fn, tx=like.tx)

    monkeypatch.setattr(training, 'make_training_loop', make_once)
    monkeypatch.setattr(runs, 'init_state', init_for_program)
    monkeypatch.setattr(training, '_STEPS_PER_CALL', 5)
    return before_call


def bits_of(tree) -> dict[str, bytes]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def metrics_of(workdir) -> list[dict]:
    """The lines of metrics.jsonl without the one number that depends on the clock."""
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    assert all(('triples_per_second' in line) == (line['split'] == 'train') for line in lines)
    return [{name: value for name, value in line.items() if name != 'triples_per_second'} for line in lines]


def outcome(workdir, like) -> dict:
    """All that a run leaves behind and that must not depend on how often it was interrupted."""
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        last, best = checkpoints.latest_step(), checkpoints.best_step()
        return {
            'last': (last, bits_of(checkpoints.restore(last, like)), checkpoints.read_record(last)),
            'best': (best, best is not None and bits_of(checkpoints.restore(best, like))),
            'metrics': metrics_of(workdir),
            'results': (workdir / 'results.json').read_bytes(),
            'config': (workdir / 'config.json').read_bytes(),
        }


@pytest.fixture(scope='module')
def _references():
    return {}


@pytest.fixture
def reference(folder, loops, _references, tmp_path_factory):
    """(name of a recipe) -> (config, workdir, outcome) of a run that nobody interrupts."""

    def run(name):
        if name not in _references:
            config, workdir = short_recipe(folder, **RECIPES[name]), tmp_path_factory.mktemp(name)
            state = train_and_evaluate(config, workdir)
            _references[name] = config, workdir, outcome(workdir, state)
        return _references[name]

    return run


# Stopped by SIGTERM: everything is saved.


@pytest.mark.parametrize(
    'name',
    [
        'mans_a',
        'nscaching',
        *(pytest.param(name, marks=pytest.mark.slow) for name in ('mans_t', 'with_replacement', 'kbgan')),
    ],
)
def test_a_run_that_sigterm_stops_again_and_again_ends_as_an_undisturbed_one(reference, loops, tmp_path, name):
    config, _, expected = reference(name)
    rng, stops = random.Random(0), []
    while True:
        calls_left = rng.randint(1, 3)

        def stop_soon():
            nonlocal calls_left
            calls_left -= 1
            if calls_left == 0 and len(stops) < 4:
                os.kill(os.getpid(), signal.SIGTERM)

        loops[:] = [stop_soon]
        try:
            state = train_and_evaluate(config, tmp_path)
            break
        except Interrupted as stop:
            stops.append(int(str(stop).split(' at step ')[1].split()[0]))
    assert len(stops) == 4 and any(step % STEPS for step in stops), 'never stopped within an epoch: no test'
    assert stops == sorted(set(stops)), 'a run went back'
    assert outcome(tmp_path, state) == expected


def test_sigterm_is_handled_only_while_training(reference, loops, tmp_path):
    config, *_ = reference('mans_a')
    handlers = []
    loops[:] = [lambda: handlers.append(signal.getsignal(signal.SIGTERM))]
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        train_and_evaluate(config, tmp_path)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN and signal.SIG_IGN not in handlers
    finally:
        signal.signal(signal.SIGTERM, before)


# Killed: only what is on disk is left.


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.fixture
def kill_after(loops, monkeypatch):
    """(n) -> the run is killed at the n-th of its events: a call of the loop, a metrics line, a save, a JSON file."""
    left = [0]

    def tick():
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def hook(owner, name, before):
        original = getattr(owner, name)

        def hooked(*arguments, **options):
            if before:
                tick()
            result = original(*arguments, **options)
            if not before:
                tick()
            return result

        monkeypatch.setattr(owner, name, hooked)

    hook(RunLog, 'write', before=False)
    hook(Checkpoints, 'save', before=True)
    hook(training, 'write_json', before=True)
    hook(training, 'write_json', before=False)
    loops[:] = [tick]
    return lambda n: left.__setitem__(0, n)


@pytest.mark.parametrize('name', RECIPES)
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(reference, kill_after, tmp_path, name):
    config, _, expected = reference(name)
    rng, kills = random.Random(0), 0
    while True:
        kill_after(rng.randint(1, 12) if kills < 6 else 0)
        try:
            state = train_and_evaluate(config, tmp_path)
            break
        except Killed:
            kills += 1
            metrics = tmp_path / 'metrics.jsonl'
            if metrics.exists() and rng.random() < 0.5:
                with metrics.open('a') as file:
                    file.write('{"step": 1000, "epoch"')
    assert kills >= 3
    assert outcome(tmp_path, state) == expected


def test_a_run_that_is_killed_before_its_results_writes_them_when_run_again(reference, tmp_path):
    config, workdir, expected = reference('mans_a')
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'results.json').unlink()
    state = train_and_evaluate(config, tmp_path)
    assert outcome(tmp_path, state) == expected


# Real processes.


class Child:
    """`python -m mans_jax.train` on a graph with 1,200 steps an epoch, so that SIGTERM stops within one."""

    def __init__(self, recipe, workdir):
        command = [sys.executable, '-m', 'mans_jax.train', f'--config={recipe}', f'--workdir={workdir}']
        environment = {
            **os.environ,
            'PYTHONPATH': os.pathsep.join(filter(None, sys.path)),
            # Who is killed shall only read the programs that others have kept.
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '1e9',
        }
        # Into files: a pipe that nobody reads would stop the child.
        self.output, self.errors = workdir.with_suffix('.out'), workdir.with_suffix('.err')
        with self.output.open('w') as output, self.errors.open('w') as errors:
            self.process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)

    def wait_for(self, path, lines=0):
        deadline = time.monotonic() + 120
        while not (path.exists() and (not lines or path.read_text().count('\n') >= lines)):
            assert self.process.poll() is None and time.monotonic() < deadline, self.errors.read_text()
            time.sleep(0.02)

    def wait(self) -> int:
        return self.process.wait(timeout=180)


@pytest.fixture(scope='module')
def many_steps(tmp_path_factory):
    """(recipe file, config, outcome of an undisturbed run) for a graph with 1,200 steps an epoch."""
    folder = write_openke(tmp_path_factory.mktemp('many'), num_entities=60, num_relations=25)
    config = short_recipe(
        folder, batch_size=1, num_epochs=6, evaluate_every=3, strategy='mans_a', marks='per_sample', learning_rate=1e-3
    )
    workdir = tmp_path_factory.mktemp('undisturbed')
    state = train_and_evaluate(config, workdir)
    return write_recipe(folder / 'recipe.py', config), state, outcome(workdir, state)


def test_a_process_that_sigterm_stops_twice_ends_as_an_undisturbed_one(many_steps, tmp_path):
    recipe, like, expected = many_steps
    workdir, rng = tmp_path / 'run', random.Random(1)
    metrics = workdir / 'metrics.jsonl'
    for _ in range(2):
        # One line more than there are: a process that has only just begun does not yet listen.
        lines = 1 + (metrics.read_text().count('\n') if metrics.exists() else 0)
        child = Child(recipe, workdir)
        child.wait_for(metrics, lines)
        time.sleep(rng.uniform(0.1, 0.4))
        child.process.send_signal(signal.SIGTERM)
        assert child.wait() == 128 + signal.SIGTERM, child.errors.read_text()
        text = child.output.read_text()
        assert text.startswith('stopped by SIGTERM at step ') and text.endswith('; the same command goes on\n')
        assert (workdir / 'checkpoints' / text.split()[5]).is_dir() and not (workdir / 'results.json').exists()
    child = Child(recipe, workdir)
    assert child.wait() == 0, child.errors.read_text()
    assert f'resuming {workdir} at step {text.split()[5]} of 7200' in child.errors.read_text()
    assert outcome(workdir, like) == expected


def test_a_process_that_sigkill_ends_twice_ends_as_an_undisturbed_one(many_steps, tmp_path):
    recipe, like, expected = many_steps
    workdir, rng = tmp_path / 'run', random.Random(2)
    for lines in (0, 3):
        child = Child(recipe, workdir)
        child.wait_for(workdir / 'metrics.jsonl', lines)
        time.sleep(rng.uniform(0, 0.3))
        child.process.kill()
        assert child.wait() == -signal.SIGKILL, child.errors.read_text()
    child = Child(recipe, workdir)
    assert child.wait() == 0, child.errors.read_text()
    assert outcome(workdir, like) == expected


# Going on.


def test_a_finished_run_that_is_run_again_only_tests(reference, loops, tmp_path):
    config, workdir, expected = reference('mans_a')
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    calls = []
    loops[:] = [lambda: calls.append(1)]
    state = train_and_evaluate(config, tmp_path)
    assert not calls and outcome(tmp_path, state) == expected


def test_more_epochs_train_on(reference, folder, loops, tmp_path):
    config, _, expected = reference('mans_a')
    train_and_evaluate(short_recipe(folder, **RECIPES['mans_a'], num_epochs=2), tmp_path)
    calls = []
    loops[:] = [lambda: calls.append(1)]
    state = train_and_evaluate(config, tmp_path)
    assert len(calls) == 2 * 4, 'epochs of 5 + 5 + 5 + 1 steps'
    assert outcome(tmp_path, state) == expected


def everything_in(workdir) -> dict:
    return {str(path): path.read_bytes() for path in workdir.rglob('*') if path.is_file()}


@pytest.mark.parametrize('change', [{'dim': 16}, {'seed': 1}, {'batch_size': 15}, {'features': {}}])
def test_a_resume_with_another_config_is_refused_and_touches_nothing(reference, folder, change):
    _, workdir, _ = reference('with_replacement')
    before = everything_in(workdir)
    with pytest.raises(InputError, match=f'^config.{next(iter(change))} is ') as error:
        train_and_evaluate(short_recipe(folder, **RECIPES['with_replacement'], **change), workdir)
    assert str(workdir) in str(error.value) and '\n' not in str(error.value)
    assert everything_in(workdir) == before


def test_a_resume_with_changed_files_is_refused_and_touches_nothing(loops, tmp_path):
    folder, workdir = write_openke(tmp_path / 'graph'), tmp_path / 'run'
    config = short_recipe(folder, **RECIPES['with_replacement'])
    train_and_evaluate(config, workdir)
    before = everything_in(workdir)
    features = np.load(folder / 'visual.npy')
    features[3, 2] += 0.5
    swapped = (folder / 'test2id.txt').read_text().splitlines()
    swapped[1:3] = swapped[2:0:-1]
    renamed = (folder / 'relation2id.txt').read_text().replace('relation_3', 'relation_x')
    for name, change in {
        'visual.npy': lambda path: np.save(path, features),
        'test2id.txt': lambda path: path.write_text('\n'.join(swapped) + '\n'),
        'relation2id.txt': lambda path: path.write_text(renamed),
    }.items():
        whole = (folder / name).read_bytes()
        change(folder / name)
        with pytest.raises(InputError, match='^config.data or config.features: the files are not those') as error:
            train_and_evaluate(config, workdir)
        assert '\n' not in str(error.value) and everything_in(workdir) == before
        (folder / name).write_bytes(whole)
    train_and_evaluate(config, workdir)


# Validation, early stopping, and the state that is tested.


@pytest.fixture
def planned(monkeypatch):
    """(MRRs) -> validation finds these, one after the other, and then the last for ever; test finds 0.5."""

    def plan(*mrrs):
        left = list(mrrs)

        def evaluate(run, state, split):
            return {'mrr': 0.5 if split == 'test' else left.pop(0) if len(left) > 1 else left[0]}

        monkeypatch.setattr(training, 'evaluate', evaluate)

    return plan


def patient(folder, **overrides):
    """Validates after each of 4 epochs, and stops after two without a better MRR."""
    return short_recipe(folder, **RECIPES['with_replacement'], evaluate_every=1, patience=2, **overrides)


def test_training_stops_when_valid_gets_no_better(folder, loops, planned, tmp_path):
    planned(0.3, 0.2, 0.3, 0.9)
    state = train_and_evaluate(patient(folder), tmp_path)
    found = [(line['epoch'], line['mrr']) for line in metrics_of(tmp_path) if line['split'] == 'valid']
    assert found == [(1, 0.3), (2, 0.2), (3, 0.3)], 'level with the best is no better'
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['step'] == state.step and results['step'] in (STEPS, 3 * STEPS), 'the best of equals'


def test_the_best_state_is_tested_and_is_the_one_of_its_step(folder, loops, planned, tmp_path):
    planned(0.1, 0.3, 0.2, 0.1)
    best = train_and_evaluate(patient(folder, keep_checkpoints=1), tmp_path / 'best')
    assert best.step == 2 * STEPS
    assert {path.name for path in (tmp_path / 'best' / 'checkpoints').iterdir()} == {'32', '64'}, (
        'the best and the last'
    )
    # The same run, of which that step is not the best.
    planned(0.3, 0.2, 0.1)
    other = train_and_evaluate(patient(folder, keep_checkpoints=3), tmp_path / 'other')
    assert other.step == STEPS
    with Checkpoints(tmp_path / 'other' / 'checkpoints') as checkpoints:
        assert bits_of(checkpoints.restore(2 * STEPS, other)) == bits_of(best) != bits_of(other)


def test_patience_is_remembered_over_a_kill_and_a_stopped_run_stays_stopped(folder, kill_after, planned, tmp_path):
    planned(0.3, 0.2, 0.2, 0.9)
    # Two ticks for a JSON file; then, for an epoch, 4 calls, 2 lines and a save: in the third epoch.
    kill_after(2 + 2 * 7 + 3)
    with pytest.raises(Killed):
        train_and_evaluate(patient(folder), tmp_path)
    for _ in range(2):
        assert train_and_evaluate(patient(folder), tmp_path).step == STEPS
        assert [line['epoch'] for line in metrics_of(tmp_path)] == [1, 1, 2, 2, 3, 3]


def test_without_validation_the_last_state_is_tested(folder, loops, planned, tmp_path):
    planned(0.1)
    config = short_recipe(folder, **RECIPES['with_replacement'], evaluate_every=0, patience=1, checkpoint_every=3)
    state = train_and_evaluate(config, tmp_path)
    assert state.step == 4 * STEPS and json.loads((tmp_path / 'results.json').read_text())['step'] == 4 * STEPS
    assert {line['split'] for line in metrics_of(tmp_path)} == {'train'}
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        assert checkpoints.best_step() is None and checkpoints.latest_step() == 4 * STEPS
    assert sorted(path.name for path in (tmp_path / 'checkpoints').iterdir()) == ['48', '64'], 'every 3 epochs and last'


def test_the_best_of_a_real_run_is_the_one_that_metrics_name(reference):
    *_, expected = reference('mans_a')
    valid = {line['step']: line for line in expected['metrics'] if line['split'] == 'valid'}
    assert list(valid) == [2 * STEPS, 4 * STEPS]
    results = json.loads(expected['results'])
    assert results['step'] == expected['best'][0] == max(valid, key=lambda step: valid[step]['mrr'])
    assert results['valid'] == {k: v for k, v in valid[results['step']].items() if k not in ('step', 'epoch', 'split')}
    assert results['test']['triples'] == results['valid']['triples'] == 32
    for split in ('valid', 'test'):
        both, sides = results[split], (results[split]['head'], results[split]['tail'])
        for name in ('mrr', 'mean_rank', 'hits_at_1', 'hits_at_3', 'hits_at_10'):
            assert both[name] == pytest.approx(np.mean([side[name] for side in sides]))
        assert 0 < both['mrr'] <= 1 and both['hits_at_1'] <= both['hits_at_3'] <= both['hits_at_10']


def test_metrics_tell_what_the_strategy_and_the_step_do(reference):
    shares = {}
    for name in STATELESS:
        _, _, expected = reference(name)
        train = [line for line in expected['metrics'] if line['split'] == 'train']
        assert [(line['step'], line['epoch']) for line in train] == [(STEPS * e, e) for e in range(1, 5)]
        assert train[-1]['loss'] < 0.8 * train[0]['loss']
        assert all(line['gradient_norm'] > 0 and line['update_norm'] > 0 for line in train)
        shares[name] = [line['virtual_share'] for line in train]
    # 0.3 of 64 steps: the first 20 are virtual.
    assert shares['mans_t'] == [1, 0.25, 0, 0] and shares['with_replacement'] == [0, 0, 0, 0]
    assert all(0 < share < 1 for share in shares['mans_a'])


# How it runs.


def test_it_compiles_once_however_often_it_validates(folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, '_STEPS_PER_CALL', 5)
    # A width that no other test has: in one process, runs of one size share what ranks.
    config = short_recipe(folder, dim=10, evaluate_every=1, num_epochs=3, keep_checkpoints=3)
    # Another state than the last is tested.
    monkeypatch.setattr(Checkpoints, 'best_step', lambda self: STEPS)
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        train_and_evaluate(config, tmp_path)
    compiled = [r.getMessage().split(' in ')[0] for r in caplog.records if 'Finished XLA comp' in r.getMessage()]
    for name in ('train_steps', 'next_norms', '_rank_block', 'embed_candidates'):
        assert compiled.count(f'Finished XLA compilation of jit({name})') == 1, name


def test_it_runs_in_a_thread_that_is_not_the_main_one(reference, tmp_path):
    config, _, expected = reference('mans_a')
    states = []
    thread = threading.Thread(target=lambda: states.append(train_and_evaluate(config, str(tmp_path))))
    thread.start()
    thread.join(timeout=120)
    assert outcome(tmp_path, states[0]) == expected


@pytest.mark.parametrize(('spoilt_call', 'what'), [(6, 'the loss is nan'), (8, 'the gradient norm is nan')])
def test_a_run_that_diverges_says_what_to_do_and_keeps_what_is_sound(
    reference, loops, tmp_path, monkeypatch, spoilt_call, what
):
    """Parameters are lost within the second epoch, or with its last step."""
    config, _, expected = reference('with_replacement')
    make, calls = training.make_training_loop, []

    def make_spoilt(*arguments):
        loop = make(*arguments)

        def train_steps(state, data, num_steps):
            state = loop.train_steps(state, data, num_steps)
            calls.extend([1] * bool(num_steps))
            if num_steps and len(calls) == spoilt_call:
                state = state.replace(params=jax.tree.map(lambda table: table * jnp.nan, state.params))
            return state

        return loop._replace(train_steps=train_steps)

    with monkeypatch.context() as patch:
        patch.setattr(training, 'make_training_loop', make_spoilt)
        with pytest.raises(
            InputError, match=f'{what} at step 32: the training has diverged; lower config.learn'
        ) as error:
            train_and_evaluate(config, tmp_path)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'results.json').exists()
    assert json.loads((tmp_path / 'failure.json').read_text()) == {'step': 2 * STEPS, 'why': str(error.value)}
    assert [path.name for path in (tmp_path / 'checkpoints').iterdir()] == [str(STEPS)]
    # What is kept is whole: from there the run ends as if this had not been.
    assert outcome(tmp_path, train_and_evaluate(config, tmp_path)) == expected
    assert not (tmp_path / 'failure.json').exists()


@pytest.mark.parametrize('place', ['workdir', 'checkpoints', 'events', 'metrics.jsonl', 'config.json'])
def test_something_else_in_the_place_of_a_file_is_told(reference, tmp_path, place):
    config, *_ = reference('with_replacement')
    workdir = tmp_path / 'run'
    if place == 'workdir':
        workdir.write_text('mine')
    elif place in ('checkpoints', 'events'):
        workdir.mkdir()
        (workdir / place).write_text('mine')
    else:
        (workdir / place / 'mine').mkdir(parents=True)
    before = everything_in(tmp_path)
    with pytest.raises(InputError, match=f'{workdir}') as error:
        train_and_evaluate(config, workdir)
    assert '\n' not in str(error.value)
    assert before.items() <= everything_in(tmp_path).items()


def test_a_workdir_is_made_with_its_parents_and_may_be_relative(reference, tmp_path, monkeypatch):
    config, *_ = reference('mans_a')
    monkeypatch.chdir(tmp_path)
    train_and_evaluate(config, pathlib.Path('a') / 'b')
    names = {path.name for path in (tmp_path / 'a' / 'b').iterdir()}
    assert names == {'checkpoints', 'config.json', 'events', 'metrics.jsonl', 'provenance.json', 'results.json'}
