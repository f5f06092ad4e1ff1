"""Tests of interrupted work: it goes on where it was, and only if it is the same work."""

import os

import numpy as np
import pytest

from mans_jax.encoders import journal
from mans_jax.errors import InputError

BATCHES = [['a', 'b'], ['c', 'd'], ['e']]
SETTINGS = {'model': 'x', 'batch_size': 2, 'separator': '\ud83d'}


class Encoder:
    """Encodes an item by its letter, except that 'd' is broken; counts its calls and stops before one of them."""

    def __init__(self, stop_before=None):
        self.calls, self.stop_before = [], stop_before

    def __call__(self, batch):
        if len(self.calls) == self.stop_before:
            raise KeyboardInterrupt
        self.calls.append(batch)
        values = [[ord(item), 0.1 * ord(item)] for item in batch if item != 'd']
        return journal.Batch(np.array(values, dtype=np.float32), {'d': 'broken «d»'} if 'd' in batch else {})


def run(folder, encode, settings=SETTINGS):
    return [(batch.values.tolist(), batch.notes) for batch in journal.run(folder, settings, BATCHES, encode)]


@pytest.fixture
def expected(tmp_path):
    return run(tmp_path / 'expected', Encoder())


def stopped(folder, after, settings=SETTINGS):
    with pytest.raises(KeyboardInterrupt):
        run(folder, Encoder(stop_before=after), settings)
    return folder


@pytest.mark.parametrize('after', [0, 1, 2])
def test_only_what_is_missing_is_done(tmp_path, expected, after, caplog):
    folder, encode = stopped(tmp_path / 'x', after), Encoder()
    caplog.set_level('INFO', logger='absl')
    assert run(folder, encode) == expected
    assert encode.calls == BATCHES[after:]
    done = {1: 2, 2: 4}.get(after)
    assert caplog.messages == ([f'{folder}: {done} of 5 are done, going on behind them'] if done else [])
    again = Encoder()
    assert run(folder, again) == expected and again.calls == []


@pytest.mark.parametrize('size', [-1, -9, -20])
def test_a_record_that_was_cut_off_is_done_again(tmp_path, expected, size):
    folder, encode = stopped(tmp_path / 'x', 2), Encoder()
    path = folder / 'batches'
    path.write_bytes(path.read_bytes()[:size])
    assert run(folder, encode) == expected
    assert encode.calls == BATCHES[1:]


@pytest.mark.parametrize('place', [0, 5, 9, 13, -1])
def test_damaged_records_are_done_again(tmp_path, expected, place):
    run(folder := tmp_path / 'x', Encoder())
    path = folder / 'batches'
    data = bytearray(path.read_bytes())
    data[place] ^= 0x80
    path.write_bytes(data)
    encode = Encoder()
    assert run(folder, encode) == expected
    assert encode.calls == (BATCHES[2:] if place < 0 else BATCHES)
    assert path.read_bytes() == (tmp_path / 'expected' / 'batches').read_bytes()


def test_other_settings_start_over_and_are_named(tmp_path, expected, caplog):
    folder, encode = stopped(tmp_path / 'x', 2, SETTINGS | {'batch_size': 3, 'old': None, 'device': 'cpu'}), Encoder()
    assert run(folder, encode) == expected
    assert encode.calls == BATCHES
    assert caplog.messages == [f'{folder}: begun with another batch_size, device; starting over']
    assert run(folder, again := Encoder()) == expected and again.calls == []


def test_settings_that_were_cut_off_start_over(tmp_path, expected):
    folder, encode = stopped(tmp_path / 'x', 2), Encoder()
    (folder / 'settings.json').write_text('{"model"')
    assert run(folder, encode) == expected
    assert encode.calls == BATCHES


def test_a_batch_without_a_result(tmp_path):
    def encode(_):
        return journal.Batch(np.zeros((0, 0), np.float32), {})

    assert run(tmp_path / 'x', encode) == run(tmp_path / 'x', None) == [([], {})] * 3


def test_clear_takes_it_away(tmp_path):
    run(tmp_path / 'x', Encoder())
    journal.clear(tmp_path / 'x')
    journal.clear(tmp_path / 'x')
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / 'x').touch()
    with pytest.raises(InputError) as error:
        run(tmp_path / 'x', Encoder())
    cure = 'free space or choose another place, then do the same again'
    assert str(error.value) == f'{tmp_path / "x"}: cannot be written (File exists); {cure}'


def test_what_the_work_itself_raises_is_left_as_it_is(tmp_path):
    def encode(_):
        raise OSError('not about the folder')

    with pytest.raises(OSError, match='^not about the folder$'):
        run(tmp_path / 'x', encode)
