"""Seeds that train together: each as if it were alone, whatever stops them, and whatever becomes of the others."""

import dataclasses
import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import training
from mans_jax.checkpoints import Checkpoints
from mans_jax.errors import Diverged, InputError
from mans_jax.run_log import RunLog
from mans_jax.runs import load_run, prepare_run
from mans_jax.training import judge, train_and_evaluate, train_seeds
from tests.graphs import quick_programs, short_recipe, write_openke

STEPS = 16
"""Steps of an epoch of the small graph."""

SEEDS = (0, 1, 5)


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = write_openke(tmp_path_factory.mktemp('graph'))
    return prepare_run(short_recipe(folder, strategy='mans_h', evaluate_every=1))


@pytest.fixture(scope='module')
def program_of(run):
    """One for all tests, so that each size is compiled once."""
    return training.programs_of(run)


@pytest.fixture(autouse=True)
def _stops_within_an_epoch(monkeypatch):
    monkeypatch.setattr(training, '_STEPS_PER_CALL', 5)


def folders(path, seeds=SEEDS) -> dict:
    found = {seed: path / f'seed_{seed}' for seed in seeds}
    for folder in found.values():
        folder.mkdir(parents=True, exist_ok=True)
    return found


def bits_of(tree) -> dict[str, bytes]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def metrics_of(workdir) -> list[dict]:
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != 'triples_per_second'} for line in lines]


def outcome(member) -> dict:
    """All that a seed leaves behind and that must not depend on how often it was interrupted."""
    state, results, counts = judge(member.run, member.workdir)
    with Checkpoints(member.workdir / 'checkpoints') as checkpoints:
        last = checkpoints.latest_step()
        last_bits = bits_of(checkpoints.restore(last, state))
    return {
        'tested': (int(state.step), bits_of(state)),
        'last': (last, last_bits),
        'results': results,
        'ranks': [counts.better.tolist(), counts.tied.tolist()],
        'metrics': metrics_of(member.workdir),
        'config': (member.workdir / 'config.json').read_text(),
        'progress': dataclasses.asdict(member.progress),
    }


@pytest.fixture(scope='module')
def undisturbed(run, program_of, tmp_path_factory):
    """The outcome by seed of three that train together."""
    members = train_seeds(run, folders(tmp_path_factory.mktemp('undisturbed')), program_of)
    return {member.run.config.seed: outcome(member) for member in members}


def test_seeds_together_are_what_each_is_alone(run, undisturbed, tmp_path):
    for seed in SEEDS:
        config = dataclasses.replace(run.config, seed=seed)
        alone = train_and_evaluate(config, tmp_path / str(seed))
        found = undisturbed[seed]
        assert json.loads(found['config'])['seed'] == seed
        assert found['results']['step'] == int(alone.step)
        for name, value in alone.params.items():
            of_all = np.frombuffer(found['tested'][1][f".params['{name}']"], np.float32).reshape(value.shape)
            np.testing.assert_allclose(of_all, value, rtol=1e-3, atol=1e-4, err_msg=name)
        own, together = metrics_of(tmp_path / str(seed)), found['metrics']
        assert [(line['step'], line['split']) for line in own] == [(line['step'], line['split']) for line in together]
        for line, other in zip(own, together, strict=True):
            for name in set(line) & {'loss', 'virtual_share', 'gradient_norm', 'update_norm', 'mrr'}:
                assert other[name] == pytest.approx(line[name], rel=1e-3), name
    starts = [undisturbed[seed]['metrics'][0]['loss'] for seed in SEEDS]
    assert len(set(starts)) == len(SEEDS), 'seeds are one and the same'


def test_a_seed_leaves_an_ordinary_run(run, program_of, tmp_path):
    member = train_seeds(run, folders(tmp_path), program_of)[1]
    loaded, state = load_run(member.workdir)
    assert loaded.config == dataclasses.replace(run.config, seed=SEEDS[1])
    assert bits_of(state) == outcome(member)['tested'][1]
    names = {path.name for path in member.workdir.iterdir()}
    assert names == {'checkpoints', 'config.json', 'events', 'metrics.jsonl', 'provenance.json'}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.fixture
def kill_after(monkeypatch):
    """(n) -> the process is killed at the n-th of its events: a metrics line, the begin or the end of a save."""
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
    hook(Checkpoints, 'save', before=False)
    return lambda n: left.__setitem__(0, n)


def test_seeds_that_are_killed_again_and_again_end_as_undisturbed_ones(
    run, program_of, undisturbed, kill_after, tmp_path
):
    rng, kills = random.Random(0), 0
    while True:
        # An epoch has 6 lines and 3 saves: some have saved a step and others not.
        kill_after(rng.randint(7, 16) if kills < 5 else 0)
        try:
            members = train_seeds(run, folders(tmp_path), program_of)
            break
        except Killed:
            kills += 1
    assert kills >= 3
    assert {member.run.config.seed: outcome(member) for member in members} == undisturbed


def test_seeds_that_are_done_are_not_trained_again(run, program_of, undisturbed, tmp_path, monkeypatch):
    train_seeds(run, folders(tmp_path), program_of)
    monkeypatch.setattr(training, '_end_epoch', None)
    members = train_seeds(run, folders(tmp_path), program_of)
    assert {member.run.config.seed: outcome(member) for member in members} == undisturbed


def test_a_resume_of_another_seed_is_refused_and_touches_nothing(run, program_of, tmp_path):
    found = folders(tmp_path)
    train_seeds(run, found, program_of)
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    with pytest.raises(InputError, match=f'^config.seed is 7, but the run in {found[5]} has 5: ') as error:
        train_seeds(run, {0: found[0], 1: found[1], 7: found[5]}, program_of)
    assert '\n' not in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()} == before


# What becomes of one, and not of the others.


def test_patience_is_each_seeds_own(run, program_of, undisturbed, tmp_path, monkeypatch):
    plans = {0: [0.3, 0.2, 0.1, 0.9], 1: [0.1, 0.2, 0.3, 0.4], 5: [0.2, 0.3, 0.3, 0.9]}
    evaluations = []

    def evaluate(run, state, split):
        evaluations.append((run.config.seed, int(state.step) // STEPS))
        return {'mrr': plans[run.config.seed][int(state.step) // STEPS - 1]}

    monkeypatch.setattr(training, 'evaluate', evaluate)
    patient = dataclasses.replace(run, config=dataclasses.replace(run.config, patience=2))
    members = train_seeds(patient, folders(tmp_path), program_of)
    assert evaluations == [(0, 1), (1, 1), (5, 1), (0, 2), (1, 2), (5, 2), (0, 3), (1, 3), (5, 3), (1, 4), (5, 4)]
    assert [member.progress.best_mrr for member in members] == [0.3, 0.4, 0.9]
    assert [len(metrics_of(member.workdir)) for member in members] == [6, 8, 8]
    states = [judge(member.run, member.workdir)[0] for member in members]
    assert [int(state.step) // STEPS for state in states] == [1, 4, 4]
    # The last of one that went on is what it is where none stops.
    assert bits_of(states[1]) == undisturbed[1]['last'][1]


def spoil(program_of, place, epoch):
    """The programs, with parameters of one seed lost in an epoch."""

    def spoilt_program_of(seeds):
        program = program_of(seeds)

        def train_steps(states, num_steps):
            states = program.train_steps(states, num_steps)
            if num_steps and int(states.step) == epoch * STEPS - 1:
                spoilt = jax.tree.map(lambda table: table.at[place].multiply(jnp.nan), states.params)
                states = states.replace(params=spoilt)
            return states

        return program._replace(train_steps=train_steps)

    return spoilt_program_of


def test_a_seed_that_diverges_leaves_the_others_as_they_are(run, program_of, undisturbed, tmp_path, kill_after):
    spoilt = spoil(program_of, 1, epoch=2)
    # Killed after that, and resumed.
    kill_after(6 + 3 * 2 + 5 + 2)
    with pytest.raises(Killed):
        train_seeds(run, folders(tmp_path), spoilt)
    kill_after(0)
    first, failed, third = train_seeds(run, folders(tmp_path), spoilt)
    assert outcome(first) == undisturbed[0] and outcome(third) == undisturbed[5]
    why = f'the loss is nan at step {2 * STEPS}: the training has diverged; lower config.learning_rate and choose '
    assert isinstance(failed.failure, Diverged) and str(failed.failure).startswith(why)
    assert json.loads((failed.workdir / 'failure.json').read_text()) == {
        'step': 2 * STEPS,
        'why': str(failed.failure),
    }
    assert [line['step'] for line in metrics_of(failed.workdir)] == [STEPS, STEPS]


def test_when_all_have_diverged_the_training_ends(run, program_of, tmp_path):
    spoilt = spoil(program_of, slice(None), epoch=2)
    members = train_seeds(run, folders(tmp_path), spoilt)
    assert all(member.failure for member in members)
    assert all(not (member.workdir / 'checkpoints' / str(3 * STEPS)).exists() for member in members)


def test_groups_of_one_size_are_one_program(run, tmp_path, caplog):
    program_of = training.programs_of(run)
    train_seeds(run, folders(tmp_path, (0, 1)), program_of)
    with caplog.at_level('WARNING'), jax.log_compiles():
        train_seeds(run, folders(tmp_path, (2, 3)), program_of)
    compiled = [record.getMessage() for record in caplog.records if 'Finished XLA comp' in record.getMessage()]
    assert not [text for text in compiled if any(name in text for name in ('train_steps', 'next_norms', '_rank_'))]
