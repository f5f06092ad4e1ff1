"""The curves of metrics.jsonl."""

import json

import pytest

from mans_jax.errors import InputError, NotServable
from mans_jax.reporting.curves import MOST_POINTS, TRAIN, VALID, read_curves


def write(path, lines, end='\n'):
    path.write_text('\n'.join(lines) + end)
    return path


def epoch(number, split='train', **metrics):
    return json.dumps({'step': number, 'epoch': number, 'split': split, **metrics})


def test_train_and_valid_are_told_apart_and_a_value_that_is_not_there_is_none(tmp_path):
    lines = [
        epoch(1, loss=1.2345678, virtual_share=0.5),
        epoch(2, loss=float('nan')),
        epoch(2, 'valid', mrr=0.25, head={'mrr': 0.2}, triples=3),
    ]
    curves = read_curves(write(tmp_path / 'metrics.jsonl', lines))
    assert set(curves.train) == {'epoch', *TRAIN} and set(curves.valid) == {'epoch', *VALID}
    assert curves.train['epoch'] == [1, 2] and curves.train['loss'] == [1.2346, None]
    assert curves.train['virtual_share'] == [0.5, None] and curves.train['gradient_norm'] == [None, None]
    assert curves.valid['epoch'] == [2] and curves.valid['mrr'] == [0.25] and curves.every == 1


def test_a_last_line_that_a_killed_process_left_is_no_line(tmp_path):
    lines = [epoch(1, loss=2.0), '{"step": 2, "epo']
    assert read_curves(write(tmp_path / 'metrics.jsonl', lines, end='')).train['epoch'] == [1]


@pytest.mark.parametrize(
    ('number', 'every', 'points'), [(MOST_POINTS, 1, MOST_POINTS), (MOST_POINTS + 1, 2, 1001), (5000, 3, 1668)]
)
def test_long_curves_are_thinned_and_keep_their_last_epoch(tmp_path, number, every, points):
    curves = read_curves(write(tmp_path / 'metrics.jsonl', [epoch(i + 1, loss=1.0) for i in range(number)]))
    assert curves.every == every and len(curves.train['epoch']) == points == len(curves.train['loss'])
    assert curves.train['epoch'][:2] == [1, 1 + every] and curves.train['epoch'][-1] == number


@pytest.mark.parametrize('text', ['', '{"unfinished'])
def test_no_epoch_is_a_reason_and_no_error(tmp_path, text):
    (tmp_path / 'metrics.jsonl').write_text(text)
    with pytest.raises(NotServable, match='^metrics.jsonl of this run has no epoch in it$'):
        read_curves(tmp_path / 'metrics.jsonl')
    with pytest.raises(NotServable, match='^other.jsonl is not in the folder of this run, and nothing else tells how'):
        read_curves(tmp_path / 'other.jsonl')


@pytest.mark.parametrize(
    'line',
    ['{"epoch": 2, "split": "train", ', '[]', '3', '{"split": "train"}', '{"epoch": 2, "split": "dev"}']
    + ['{"epoch": "two", "split": "train"}', '{"epoch": 2, "split": "train", "loss": "low"}', ''],
)
def test_a_line_that_is_none_is_named(tmp_path, line):
    path = write(tmp_path / 'metrics.jsonl', [epoch(1, loss=1.0), line, epoch(3, loss=1.0)])
    with pytest.raises(InputError) as refused:
        read_curves(path)
    said = str(refused.value)
    assert said.startswith(f'{path}, line 2: ')
    assert said.endswith(' is not the metrics of an epoch; take the line out, or the whole file')


def test_what_cannot_be_read_is_said_in_a_line(tmp_path):
    (tmp_path / 'metrics.jsonl').write_bytes(b'\xff\n')
    for path in (tmp_path / 'metrics.jsonl', tmp_path):
        with pytest.raises(InputError, match='cannot be read .*; restore it, or take it away$'):
            read_curves(path)
