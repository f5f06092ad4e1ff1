"""What a run leaves besides checkpoints: metrics that read as if it was never interrupted, and how to repeat it."""

import errno
import json
import os
import pathlib
import struct
import time

import pytest
from tensorboardX.proto import event_pb2

from mans_jax.errors import InputError
from mans_jax.run_log import RunLog, provenance, write_json, write_text


def lines_of(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def events_of(workdir) -> list[event_pb2.Event]:
    """TensorBoard's records, file by file: length, its checksum, the event, its checksum."""
    events = []
    for path in sorted((workdir / 'events').iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, start = path.read_bytes(), 0
        while start < len(data):
            (length,) = struct.unpack_from('<Q', data, start)
            events.append(event_pb2.Event.FromString(data[start + 12 : start + 12 + length]))
            start += 16 + length
    return events


def write_steps(workdir, steps, resumed_step=0):
    with RunLog(workdir, resumed_step=resumed_step) as log:
        for step in steps:
            log.write(step, step // 10, 'train', {'loss': 1 / step})


def test_a_line_has_step_epoch_split_and_metrics(tmp_path):
    with RunLog(tmp_path, resumed_step=0) as log:
        log.write(30, 3, 'valid', {'mrr': 0.1, 'head': {'mrr': 0.25}})
        # At once: whoever watches the file, or kills the process, finds it.
        assert lines_of(tmp_path) == [{'step': 30, 'epoch': 3, 'split': 'valid', 'mrr': 0.1, 'head': {'mrr': 0.25}}]


def test_floats_come_back_with_every_bit(tmp_path):
    with RunLog(tmp_path, resumed_step=0) as log:
        log.write(1, 1, 'train', {'loss': 0.1 + 0.2})
    assert lines_of(tmp_path)[0]['loss'] == 0.1 + 0.2


def test_events_hold_the_same_numbers_by_flat_names(tmp_path):
    with RunLog(tmp_path, resumed_step=0) as log:
        log.write(30, 3, 'valid', {'mrr': 0.5, 'head': {'mrr': 0.25}})
    scalars = {(v.tag, e.step): v.simple_value for e in events_of(tmp_path) for v in e.summary.value}
    assert scalars == {('valid/mrr', 30): 0.5, ('valid/head/mrr', 30): 0.25}


def test_a_resumed_log_goes_on(tmp_path):
    write_steps(tmp_path, [10, 20])
    write_steps(tmp_path, [30, 40], resumed_step=20)
    assert [line['step'] for line in lines_of(tmp_path)] == [10, 20, 30, 40]


def test_lines_past_the_resumed_step_are_taken_back(tmp_path):
    write_steps(tmp_path, [10, 20, 30, 40])
    whole = (tmp_path / 'metrics.jsonl').read_text()
    write_steps(tmp_path, [30, 40], resumed_step=25)
    assert (tmp_path / 'metrics.jsonl').read_text() == whole


@pytest.mark.parametrize('half', ['{', '{"step": 30, "ep', '{"step": 30}'])
def test_half_a_last_line_is_taken_back(tmp_path, half):
    write_steps(tmp_path, [10, 20])
    whole = (tmp_path / 'metrics.jsonl').read_bytes()
    (tmp_path / 'metrics.jsonl').write_bytes(whole + half.encode())
    write_steps(tmp_path, [], resumed_step=20)
    assert (tmp_path / 'metrics.jsonl').read_bytes() == whole


def test_a_run_from_the_start_begins_a_new_log(tmp_path):
    write_steps(tmp_path, [10, 20])
    write_steps(tmp_path, [5])
    assert [line['step'] for line in lines_of(tmp_path)] == [5]


def test_a_log_that_was_lost_does_not_stop_a_resume(tmp_path):
    write_steps(tmp_path, [30], resumed_step=20)
    assert [line['step'] for line in lines_of(tmp_path)] == [30]


def test_tensorboard_is_told_what_a_resume_takes_back(tmp_path):
    write_steps(tmp_path, [10, 20, 30])
    time.sleep(1.1)  # The second is part of the file's name.
    write_steps(tmp_path, [30], resumed_step=20)
    starts = [e.step for e in events_of(tmp_path) if e.HasField('session_log')]
    assert starts == [1, 21]


@pytest.fixture
def full_disk(monkeypatch):
    """From its call on, no file takes another byte."""

    def fill():
        def full(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for name in ('write_text', 'write_bytes'):
            monkeypatch.setattr(pathlib.Path, name, full)

    return fill


def test_a_full_disk_leaves_the_old_file(tmp_path, full_disk):
    write_json(tmp_path / 'a.json', {'a': 1})
    write_steps(tmp_path, [10, 20])
    whole = (tmp_path / 'metrics.jsonl').read_text()
    full_disk()
    for attempt in (
        lambda: write_json(tmp_path / 'a.json', {'a': 2}),
        lambda: write_text(tmp_path / 'b.txt', 'b'),
        lambda: RunLog(tmp_path, resumed_step=10),
    ):
        with pytest.raises(InputError, match=r'cannot be written \(No space left on device\); free space') as error:
            attempt()
        assert '\n' not in str(error.value)
    assert json.loads((tmp_path / 'a.json').read_text()) == {'a': 1}
    assert (tmp_path / 'metrics.jsonl').read_text() == whole


def test_a_line_that_cannot_be_written_is_told_once(tmp_path):
    # A disk that is always full, as Linux has one.
    with open('/dev/full', 'a') as full, pytest.raises(InputError, match='cannot be written .No space left') as error:
        with RunLog(tmp_path, resumed_step=0) as log:
            log._lines.close()
            log._lines = full
            log.write(1, 1, 'train', {'loss': 1.0})
    assert '\n' not in str(error.value)


def test_json_is_replaced_whole(tmp_path):
    for value in range(3):
        write_json(tmp_path / 'a.json', {'a': value})
        assert json.loads((tmp_path / 'a.json').read_text()) == {'a': value}
        assert [path.name for path in tmp_path.iterdir()] == ['a.json']


def test_provenance_names_what_a_run_depends_on(make_graph):
    graph = make_graph(0)
    found = json.loads(json.dumps(provenance(graph)))
    assert found['graph_checksum'] == graph.checksum() and found['graph'] == graph.name
    assert found['versions'].keys() >= {'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'orbax-checkpoint'}
    assert all(version for name, version in found['versions'].items() if name != 'mans_jax')
    assert 'cpu' in found['device'] or 'gpu' in found['device'] or 'tpu' in found['device']
    assert found['command'] and found['python'] and 'git_revision' in found
