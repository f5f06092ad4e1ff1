"""Labels to ids, millions at a time."""

from typing import NamedTuple

import numpy as np

_WORD = 8
_KEEP = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], dtype=np.uint64)
"""The mask that keeps the first `size` bytes of a little-endian word."""

_LABELS = 1 << 14
"""How many are hashed at once: their words and hashes fit into a core's own cache."""

_FACTORS = np.array([[0x9E3779B97F4A7C15], [0xC2B2AE3D27D4EB4F]], dtype=np.uint64)
"""Odd, so that a multiplication modulo 2**64 loses nothing, and without a pattern."""


class Spans(NamedTuple):
    """Labels as parts of a text.

    Attributes:
        text: UTF-8.
        start: int64[...], where each label starts.
        end: int64[...], where it ends.
    """

    text: bytes
    start: np.ndarray
    end: np.ndarray

    def columns(self, columns) -> 'Spans':
        """The same of some columns, row by row in one line."""
        return Spans(self.text, self.start[:, columns].ravel(), self.end[:, columns].ravel())


def spans(labels: list[str]) -> Spans:
    """Lays labels out as rows of three."""
    encoded = [label.encode() for label in labels]
    end = np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)))
    start = np.concatenate([[0], end[:-1]])
    return Spans(b''.join(encoded), start.reshape(-1, 3), end.reshape(-1, 3))


class Collision(Exception):
    """Two labels have the same hash: begin again with another seed."""


class LabelIds:
    """Numbers labels in the order in which they first appear.

    A dict does the same, label by label. Hashing and sorting a block of labels by NumPy takes less than half the time,
    as a dict of millions of labels waits for memory at each of them.

    Attributes:
        labels: the labels so far; the position is the id.
    """

    def __init__(self, seed: int = 0):
        """Starts without a label; `seed` chooses the hash."""
        self.labels: list[str] = []
        self._seed = seed
        # Of each label, in ascending order of the hash: the hash, a second one, and the id.
        self._hash, self._check = np.empty((2, 0), dtype=np.uint64)
        self._id = np.empty(0, dtype=np.int32)

    def number(self, block: Spans) -> np.ndarray:
        """The ids of labels, int32[N], those of new ones included.

        Args:
            block: N labels, flat.

        Raises:
            Collision: two labels cannot be told apart by their hash; happens once in millions of graphs.
        """
        hashes, checks = _hashes(block, self._seed)
        distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        check = checks[first]
        # Equal hashes are taken for equal labels; a second, independent hash tells if they are not.
        if (check[inverse] != checks).any():
            raise Collision
        at = np.searchsorted(self._hash, distinct)
        known = at < len(self._hash)
        known[known] = self._hash[at[known]] == distinct[known]
        if (self._check[at[known]] != check[known]).any():
            raise Collision
        ids = np.empty(len(distinct), dtype=np.int32)
        ids[known] = self._id[at[known]]
        new = np.flatnonzero(~known)
        in_order = new[np.argsort(first[new])]
        ids[in_order] = len(self.labels) + np.arange(len(new))
        places = zip(block.start[first[in_order]].tolist(), block.end[first[in_order]].tolist(), strict=True)
        self.labels.extend([block.text[start:end].decode() for start, end in places])
        self._merge(distinct[new], check[new], ids[new])
        return ids[inverse]

    def _merge(self, hashes, checks, ids):
        # Two ascending runs, which a stable sort merges in one pass.
        order = np.argsort(merged := np.concatenate([self._hash, hashes]), kind='stable')
        self._hash = merged[order]
        self._check = np.concatenate([self._check, checks])[order]
        self._id = np.concatenate([self._id, ids])[order]


def _hashes(block: Spans, seed: int) -> np.ndarray:
    """Two hashes uint64[2, N] of each label, by `_FACTORS`: its words are mixed in by multiplication and shift."""
    words = np.ndarray((len(block.text) + 1,), '<u8', buffer=block.text + bytes(_WORD), strides=(1,))
    hashes = np.empty((len(_FACTORS), len(block.start)), dtype=np.uint64)
    for first in range(0, len(block.start), _LABELS):
        part = slice(first, first + _LABELS)
        _hash(words, block.start[part], block.end[part], seed, hashes[:, part])
    return hashes


def _hash(words: np.ndarray, start: np.ndarray, end: np.ndarray, seed: int, hashes: np.ndarray) -> None:
    """Fills uint64[2, N]."""
    length = end - start
    hashes[:] = (length.astype(np.uint64) + np.uint64(seed)) * _FACTORS
    shortest = int(length.min())
    for offset in range(0, int(length.max()), _WORD):
        # While every label has a whole word here, no choice of labels is needed, which costs more than the hashing.
        left = length - offset
        longer = slice(None) if offset + _WORD <= shortest else np.flatnonzero(left > 0)
        word = words[start[longer] + offset]
        if offset + _WORD > shortest:
            word &= _KEEP[np.minimum(left[longer], _WORD)]
        mixed = (hashes[:, longer] ^ word) * _FACTORS
        hashes[:, longer] = mixed ^ (mixed >> np.uint64(32))
