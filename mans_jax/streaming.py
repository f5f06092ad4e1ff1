"""Train triples that stay on the host and come in shuffled blocks, read ahead by Grain.

The training set is cut into blocks of B triples as they stand, from a random one on, anew in every epoch. Grain gives
the blocks in random order and reads so many of them together as make a window; within a window all triples are
shuffled, and it is cut into batches. Which triples a step takes follows from the seed and the step alone.
"""

from collections.abc import Iterator

import numpy as np

from mans_jax.data.extras import import_for_streaming

BLOCKS_PER_WINDOW = 64
"""How many batches are shuffled with each other: 786 KB at 1,024 triples a batch."""

_WINDOWS_AHEAD = 2


class TripleStream:
    """The batches of a training, from any step on."""

    def __init__(self, triples: np.ndarray, batch_size: int):
        """Args: the training set int32[N, 3], in memory or mapped from a file, and B.

        Raises:
            InputError: Grain is not installed.
        """
        self._grain = import_for_streaming('grain')
        self._triples, self._batch_size = triples, batch_size
        self._per_epoch = len(triples) // batch_size
        self._windows_per_epoch = -(-self._per_epoch // BLOCKS_PER_WINDOW)
        self._next, self._batches = None, iter(())

    def take(self, seed: int, first: int, number: int) -> np.ndarray:
        """The batches of so many steps from step `first` on, int32[number, B, 3].

        Where `first` is the step after the last one that was taken, reading goes on; else it begins anew.
        """
        if self._next != (seed, first):
            self._batches = self._from(seed, first)
        batches = np.stack([next(self._batches) for _ in range(number)])
        self._next = seed, first + number
        return batches

    def _from(self, seed, step) -> Iterator[np.ndarray]:
        """All batches from a step on, without an end."""
        epoch, in_epoch = divmod(step, self._per_epoch)
        window, passed_over = divmod(in_epoch, BLOCKS_PER_WINDOW)
        first = epoch * self._windows_per_epoch + window
        blocks = self._grain.MapDataset.range(self._per_epoch).shuffle(seed=seed).batch(BLOCKS_PER_WINDOW).repeat()
        windows = blocks.map_with_index(lambda index, ids: self._read(seed, index, ids))
        options = self._grain.ReadOptions(num_threads=1, prefetch_buffer_size=_WINDOWS_AHEAD)
        for batches in windows[first:].to_iter_dataset(options):
            yield from batches[passed_over:]
            passed_over = 0

    def _read(self, seed, window, blocks) -> np.ndarray:
        """The batches of a window, int32[at most BLOCKS_PER_WINDOW, B, 3]."""
        number, size = len(self._triples), self._batch_size
        start = np.random.default_rng((seed, window // self._windows_per_epoch, 0)).integers(number)
        rows = (start + blocks[:, None] * size + np.arange(size)).ravel() % number
        return np.random.default_rng((seed, window, 1)).permutation(self._triples[rows]).reshape(-1, size, 3)
