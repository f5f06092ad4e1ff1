"""A trained run extended: whole or not at all, resumable, and it finds what was added."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from mans_jax import extend as command
from mans_jax.checkpoints import Checkpoints
from mans_jax.errors import InputError
from mans_jax.extension import extend
from mans_jax.runs import load_run
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.training import train_and_evaluate
from tests.graphs import quick_programs, short_recipe, write_openke

E, R = 40, 8
NEW = ('entity_between', 'entity_far')


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """A run of 40 epochs on a circle of 40 entities; entity i is related by r to the one r + 1 places further."""
    folder = write_openke(tmp_path_factory.mktemp('graph'))
    workdir = tmp_path_factory.mktemp('runs') / 'run'
    train_and_evaluate(short_recipe(folder, num_epochs=40, evaluate_every=20), workdir)
    return workdir


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Triples and features of two entities that stand where entities 7 and 21 do."""
    folder = tmp_path_factory.mktemp('files')
    lines = [f'{NEW[0]}\trelation_{r}\tentity_{(7 + r + 1) % E}' for r in range(R - 1)]
    (folder / 'new.tsv').write_text('\n'.join(lines) + '\n')
    angle = 2 * np.pi * np.array([[7.0], [21.0]]) / E * np.arange(1, 4)
    values = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    path = folder / 'visual.safetensors'
    safetensors.numpy.save_file({'features': values}, path, metadata={'labels': json.dumps(NEW)})
    return str(folder / 'new.tsv'), {'visual': str(path)}


def bits_of(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def last_state(workdir):
    run, state = load_run(workdir)
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        return bits_of(checkpoints.restore(checkpoints.latest_step(), state))


def test_a_run_is_extended_and_trained_on(workdir, files, tmp_path):
    before = contents(workdir)
    extend(workdir, tmp_path / 'more', triples=files[0], features=files[1], epochs=2)
    assert contents(workdir) == before
    (old, state), (new, _) = load_run(workdir), load_run(tmp_path / 'more')
    epochs = int(state.step) // old.steps_per_epoch
    assert new.graph.entities == (*old.graph.entities, *NEW)
    assert new.config == dataclasses.replace(
        old.config, data=new.config.data, features=new.config.features, num_epochs=epochs + 2
    )
    said = json.loads((tmp_path / 'more' / 'extension.json').read_text())
    assert said['added'] == {
        'entities': 2,
        'rows_estimated': 1,
        'known': 0,
        'triples': {'train': 7, 'valid': 0, 'test': 0},
    }
    lines = [json.loads(line) for line in (tmp_path / 'more' / 'metrics.jsonl').read_text().splitlines()]
    assert [line['epoch'] for line in lines if line['split'] == 'train'] == [epochs + 1, epochs + 2]
    assert set(json.loads((tmp_path / 'more' / 'results.json').read_text())) >= {'valid', 'test'}


def test_without_training_the_new_entity_is_found_by_what_was_not_said(workdir, files, tmp_path):
    """Relations that were not added are ranked far above chance, and nearly as well as old entities' test triples."""
    extend(workdir, tmp_path / 'more', triples=files[0], features=files[1], epochs=0)
    run, state = load_run(tmp_path / 'more')
    asked = np.array([[E, R - 1, (7 + R) % E], *([E + 1, r, 22 + r] for r in range(R))])

    def places(triples):
        return predict_links(run.model, state.params, run.data.frozen, run.graph, triples, run.known).better

    assert np.mean(places(asked)) < min(1.5 * np.mean(places(run.graph.test)), E / 4)
    assert int(state.step) == run.total_steps
    assert [path.name for path in tmp_path.iterdir()] == ['more']


def test_a_call_that_was_stopped_goes_on_where_it_was(workdir, files, tmp_path):
    for folder, calls in (('once', [3]), ('twice', [1, 3]), ('again', [3, None]), ('fewer', [3, 1])):
        for epochs in calls:
            extend(workdir, tmp_path / folder, triples=files[0], features=files[1], epochs=epochs)
    states = [last_state(tmp_path / folder) for folder in ('once', 'twice', 'again', 'fewer')]
    assert states[0] == states[1] == states[2] == states[3]
    configs = [json.loads((tmp_path / folder / 'config.json').read_text()) for folder in ('once', 'fewer')]
    assert configs[0]['num_epochs'] == configs[1]['num_epochs'], 'the config tells of fewer epochs than there were'


def test_folders_of_others_are_not_touched_and_none_is_left(workdir, files, tmp_path, monkeypatch):
    (tmp_path / 'more.partial').mkdir()
    (tmp_path / 'more.partial' / 'thesis.txt').write_text('all of it')
    extend(workdir, tmp_path / 'more', triples=files[0], features=files[1], epochs=0)
    assert contents(tmp_path / 'more.partial') == {'thesis.txt': b'all of it'}

    def fail(*_):
        raise InputError(f'{next(tmp_path.glob("other.*.partial"))}/graph: cannot be read')

    monkeypatch.setattr('mans_jax.extension.prepare_run', fail)
    said = refusal(workdir, tmp_path / 'other', triples=files[0], features=files[1])
    assert said == f'{tmp_path / "other"}/graph: cannot be read'
    monkeypatch.setattr('mans_jax.extension.prepare_run', lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extend(workdir, tmp_path / 'other', triples=files[0], features=files[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['more', 'more.partial']


def test_a_run_within_its_first_epoch_and_a_file_in_the_way_are_refused(workdir, files, tmp_path, monkeypatch):
    run, state = load_run(workdir)
    (tmp_path / 'file').write_text('')
    said = refusal(workdir, tmp_path / 'file', triples=files[0], features=files[1])
    assert said == f'{tmp_path / "file"}: is a file, not a folder; name another --new_workdir'
    young = state.replace(step=run.steps_per_epoch - 1)
    monkeypatch.setattr('mans_jax.extension.load_run', lambda _: (run, young))
    said = refusal(workdir, tmp_path / 'more', triples=files[0], features=files[1], epochs=0)
    assert said == f'{workdir}: the run has not been trained for an epoch yet; train it on, then extend it'


def test_an_extended_run_is_extended_again(workdir, files, tmp_path):
    extend(workdir, tmp_path / 'one', triples=files[0], features={}, epochs=0)
    assert load_run(tmp_path / 'one')[0].graph.entities[E:] == NEW[:1]
    extend(tmp_path / 'one', tmp_path / 'two', triples=None, features=files[1], epochs=0)
    assert load_run(tmp_path / 'two')[0].graph.entities[E:] == NEW


def refusal(*arguments, **options):
    with pytest.raises(InputError) as error:
        extend(*arguments, **options)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_what_cannot_be_extended_is_refused_and_nothing_is_left(workdir, files, tmp_path):
    triples, features = files
    said = refusal(tmp_path / 'none', tmp_path / 'more', triples=triples, features=features)
    assert said == f'{tmp_path / "none"}: no run in this folder, as it has no config.json; name the --workdir of one'
    said = refusal(workdir, tmp_path / 'more', triples=str(tmp_path / 'x.tsv'), features={})
    assert said == f'{tmp_path / "x.tsv"}: no such file or folder'
    (tmp_path / 'x.tsv').write_text('entity_1\trelated\tentity_2\n')
    said = refusal(workdir, tmp_path / 'more', triples=str(tmp_path / 'x.tsv'), features={})
    assert said.startswith(f"{tmp_path / 'x.tsv'}: relation 'related', as in (entity_1, related, entity_2) is not one")
    assert [path.name for path in tmp_path.iterdir()] == ['x.tsv']


def test_a_folder_that_holds_something_else_is_left_alone(workdir, files, tmp_path):
    triples, features = files
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thesis.txt').write_text('all of it')
    said = refusal(workdir, tmp_path / 'full', triples=triples, features=features)
    assert said == f'{tmp_path / "full"}: holds something else than an extended run; name another --new_workdir'
    assert contents(tmp_path / 'full') == {'thesis.txt': b'all of it'}
    extend(workdir, tmp_path / 'more', triples=triples, features=features, epochs=0)
    before = contents(tmp_path / 'more')
    said = refusal(workdir, tmp_path / 'more', triples=triples, features={})
    assert said.startswith(f'{tmp_path / "more"}: was extended with other features, ')
    assert contents(tmp_path / 'more') == before


def test_a_run_that_has_lost_its_checkpoints_or_graph_is_refused(workdir, files, tmp_path):
    triples, features = files
    config = json.loads((workdir / 'config.json').read_text())
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'config.json').write_text(json.dumps(config))
    said = refusal(tmp_path / 'run', tmp_path / 'more', triples=triples, features=features)
    assert said == f'{tmp_path / "run"}: no checkpoint of this run is there; train it first'
    (tmp_path / 'run' / 'config.json').write_text(json.dumps({**config, 'from_the_future': 1}))
    said = refusal(tmp_path / 'run', tmp_path / 'more', triples=triples, features=features)
    assert said.startswith(f"{tmp_path / 'run' / 'config.json'}: 'from_the_future' is not a known field; ")
    (tmp_path / 'run' / 'config.json').write_text('{')
    said = refusal(tmp_path / 'run', tmp_path / 'more', triples=triples, features=features)
    assert said.startswith(f'{tmp_path / "run" / "config.json"}: cannot be read (')
    other = write_openke(tmp_path / 'other', seed=1)
    (tmp_path / 'run' / 'config.json').write_text(json.dumps({**config, 'data': str(other)}))
    (tmp_path / 'run' / 'checkpoints').symlink_to(workdir / 'checkpoints')
    said = refusal(tmp_path / 'run', tmp_path / 'more', triples=triples, features=features)
    assert said.startswith('config.data or config.features: the files are not those that the run in ')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--workdir is missing; see --help'),
        (['--workdir=run'], '--triples and --features are missing: name a file with what shall be added'),
        (['--workdir=run', '--features=text'], '--features=text: not of the form NAME=FILE'),
        (['--workdir=nowhere', '--triples=x.tsv'], 'x.tsv: no such file or folder'),
        (['--workdir=run', '--triples=x', '--epochs=-1'], 'flag --epochs=-1'),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(arguments, message, tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    root = Path(command.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, '-m', 'mans_jax.extend', *arguments],
        cwd=tmp_path,
        env={'PYTHONPATH': f'{root}', 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith('error: ') and message in done.stderr and done.stderr.count('\n') == 1
