"""Streamed triples: each once an epoch, mixed, and from any step on the same."""

import sys

import numpy as np
import pytest

from mans_jax import streaming
from mans_jax.errors import InputError
from mans_jax.streaming import TripleStream

SIZE = 4


@pytest.fixture
def make(monkeypatch):
    """(number of triples) -> their stream, three blocks a window; triple i is (i, i, i)."""
    pytest.importorskip('grain', reason='grain is not installed; the extra streaming has it')
    monkeypatch.setattr(streaming, 'BLOCKS_PER_WINDOW', 3)
    return lambda number: TripleStream(np.repeat(np.arange(number, dtype=np.int32)[:, None], 3, axis=1), SIZE)


def test_an_epoch_takes_every_triple_once_in_an_order_of_its_own(make):
    stream = make(40)
    epochs = [stream.take(0, 10 * epoch, 10)[..., 0] for epoch in range(3)]
    for epoch in epochs:
        assert epoch.shape == (10, SIZE) and sorted(epoch.ravel()) == list(range(40))
        # A batch is not one block of neighbours: those of its window are mixed.
        assert np.mean(np.ptp(epoch, axis=1) >= SIZE) > 0.7
    assert not any(np.array_equal(epochs[i], epochs[i - 1]) for i in range(3))


def test_what_does_not_fill_a_batch_is_left_out_by_another_epoch(make):
    stream = make(43)
    left_out = [set(range(43)) - set(stream.take(0, 10 * epoch, 10)[..., 0].ravel().tolist()) for epoch in range(4)]
    assert all(len(rest) == 3 for rest in left_out) and len(set.union(*left_out)) > 3


@pytest.mark.parametrize('first', [0, 2, 3, 9, 10, 17, 25])
def test_from_any_step_on_the_batches_are_the_same(make, first):
    whole = make(43).take(5, 0, 30)
    assert whole.dtype == np.int32
    stream = make(43)
    np.testing.assert_array_equal(stream.take(5, first, 3), whole[first : first + 3])
    np.testing.assert_array_equal(stream.take(5, first + 3, 2), whole[first + 3 : first + 5])
    assert not np.array_equal(stream.take(6, first, 3), whole[first : first + 3])


def test_fewer_triples_than_a_window_has_are_streamed_too(make):
    assert make(5).take(0, 7, 2).shape == (2, SIZE, 3)


def test_grain_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'grain', None)
    with pytest.raises(InputError) as error:
        TripleStream(np.zeros((8, 3), np.int32), SIZE)
    assert str(error.value) == "grain is needed for this: pip install '.[streaming]'"
