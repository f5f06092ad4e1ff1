"""The shipped digits recipe, shrunk: one command from nothing to the printed table, and what it leaves behind."""

import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys

import pytest
from tensorboardX.proto import event_pb2

from mans_jax.data import load_graph

ROOT = pathlib.Path(__file__).parent.parent
METRICS = ('mrr', 'hits_at_1', 'hits_at_3', 'hits_at_10', 'mean_rank')

WITHOUT_TENSORFLOW = """
import runpy, sys
try:
    runpy.run_module('mans_jax.train', run_name='__main__', alter_sys=True)
finally:
    loaded = [name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'torch')]
    assert not loaded, loaded
"""


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """(finished process, workdir) of 2 epochs of the recipe, with its normal settings but these."""
    workdir = tmp_path_factory.mktemp('end_to_end') / 'run'
    arguments = ['--config=configs/digits.py:mans_a', '--config.num_epochs=2', '--config.evaluate_every=1']
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_TENSORFLOW, *arguments, '--config.marks=per_sample', f'--workdir={workdir}'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done, workdir


@pytest.fixture(scope='module')
def results(run):
    return json.loads((run[1] / 'results.json').read_text())


@pytest.fixture(scope='module')
def metrics(run):
    return [json.loads(line) for line in (run[1] / 'metrics.jsonl').read_text().splitlines()]


@pytest.fixture(scope='module')
def digits():
    return load_graph('digits', {'pixels': 'embedded'})[0]


def test_it_leaves_what_it_should_and_nothing_else(run):
    _, workdir = run
    names = {path.name for path in workdir.iterdir()}
    assert names == {'checkpoints', 'config.json', 'events', 'metrics.jsonl', 'provenance.json', 'results.json'}


def test_stderr_is_a_log_and_no_progress_bar(run):
    lines = run[0].stderr.splitlines()
    assert all(re.match('[IW][0-9]{4} ', line) for line in lines), run[0].stderr
    assert '\r' not in run[0].stderr and not any('orbax' in line for line in lines)


def test_results_hold_every_metric_of_both_splits_and_sides(results, digits):
    for split in ('valid', 'test'):
        assert results[split]['triples'] == len(digits.split(split))
        for found in _with_sides(results[split]):
            assert 0 < found['hits_at_1'] <= found['hits_at_3'] <= found['hits_at_10'] <= 1
            assert found['hits_at_1'] < found['mrr'] < 1 <= found['mean_rank'] <= digits.num_entities
        for name in METRICS:
            sides = (results[split]['head'][name] + results[split]['tail'][name]) / 2
            assert results[split][name] == pytest.approx(sides)


def test_two_epochs_already_read_numbers_off_images(results):
    # By chance, the mean of 1 / rank among 1,807 entities is 0.0045.
    assert results['test']['tail']['mrr'] > 0.2
    assert results['test']['mrr'] > 0.05


def test_the_table_is_that_of_the_results(run, results):
    heading, *rows = run[0].stdout.splitlines()
    assert heading.split() == [*METRICS, 'triples']
    assert [row[:12].strip() for row in rows] == ['valid', 'head side', 'tail side', 'test', 'head side', 'tail side']
    expected = [found for split in ('valid', 'test') for found in _with_sides(results[split])]
    for row, metrics in zip(rows, expected, strict=True):
        numbers = [float(text.replace(',', '')) for text in row[12:].split()]
        assert numbers[:5] == pytest.approx([metrics[name] for name in METRICS], abs=0.051)
        assert numbers[:4] == pytest.approx([metrics[name] for name in METRICS[:4]], abs=0.000051)


def _with_sides(found):
    return found, found['head'], found['tail']


def test_metrics_are_a_line_an_epoch_and_an_evaluation(metrics, digits, results):
    assert [(line['epoch'], line['split']) for line in metrics] == [(e, s) for e in (1, 2) for s in ('train', 'valid')]
    steps = {line['epoch']: line['step'] for line in metrics}
    assert steps[2] == 2 * steps[1] == 2 * (len(digits.train) // 64)
    train, valid = metrics[0::2], metrics[1::2]
    for line in train:
        assert all(math.isfinite(line[name]) for name in ('loss', 'gradient_norm', 'update_norm'))
        assert 0 < line['virtual_share'] < 1 and line['triples_per_second'] > 0
    assert train[1]['loss'] < train[0]['loss']
    best = max(valid, key=lambda line: line['mrr'])
    assert results['step'] == best['step']
    assert results['valid'] == {name: value for name, value in best.items() if name not in ('step', 'epoch', 'split')}


def test_tensorboard_shows_the_same_numbers(run, metrics):
    (path,) = (run[1] / 'events').iterdir()
    data, start, found = path.read_bytes(), 0, {}
    while start < len(data):
        # Length, its checksum, the event, its checksum.
        (length,) = struct.unpack_from('<Q', data, start)
        event = event_pb2.Event.FromString(data[start + 12 : start + 12 + length])
        found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
        start += 16 + length
    flat = {}
    for line in metrics:
        groups = {'': line, 'head/': line.get('head', {}), 'tail/': line.get('tail', {})}
        for prefix, group in groups.items():
            for name, value in group.items():
                if isinstance(value, (int, float)) and name not in ('step', 'epoch'):
                    flat[f'{line["split"]}/{prefix}{name}', line['step']] = value
    assert found == pytest.approx(flat, rel=1e-6)


def test_config_and_provenance_say_how_to_repeat_it(run, digits):
    config = json.loads((run[1] / 'config.json').read_text())
    assert (config['data'], config['strategy'], config['marks'], config['num_epochs']) == (
        'digits',
        'mans_a',
        'per_sample',
        2,
    )
    assert config['features'] == {'pixels': 'embedded'}
    provenance = json.loads((run[1] / 'provenance.json').read_text())
    assert provenance['graph_checksum'] == digits.checksum()
    assert '--config=configs/digits.py:mans_a' in provenance['command']
    assert provenance['versions']['jax'] and provenance['python'] == '.'.join(map(str, sys.version_info[:3]))
    git = subprocess.run(['git', '-C', str(ROOT), 'rev-parse', 'HEAD'], capture_output=True, text=True)
    if git.returncode == 0:
        assert re.fullmatch('[0-9a-f]{40}[+]?', provenance['git_revision'])
    else:
        assert provenance['git_revision'] is None


def test_the_last_and_the_best_checkpoint_are_there(run, results):
    steps = {int(path.name) for path in (run[1] / 'checkpoints').iterdir()}
    last = json.loads((run[1] / 'metrics.jsonl').read_text().splitlines()[-1])['step']
    assert {results['step'], last} <= steps
