"""Sets of entities as rows of bits, for sets that hold a good part of all entities."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int, UInt

from mans_jax.graph import count_below

WORD = 32
"""Bits in a word."""

MOST_BYTES = 1 << 30
"""The largest table that is made."""


@struct.dataclass
class BitRows:
    """G sets of entities, one bit an entity: 1/8 of a byte for each of the E entities, and half as much for counts.

    Attributes:
        words: uint32[G * W], W words a set; bit b of word w stands for entity WORD * w + b.
        before: uint16[G * W], or uint32 where E is above 65,535: how many members stand in the words before.
        sizes: int32[G].
        num_words: W.
    """

    words: UInt[Array, 'T']
    before: UInt[Array, 'T']
    sizes: Int[Array, 'G']
    num_words: int = struct.field(pytree_node=False)

    @classmethod
    def build(cls, words: np.ndarray) -> 'BitRows':
        """The sets of uint32[G, W] rows, made on the host."""
        counts = np.bitwise_count(words).astype(np.uint32)
        before = np.cumsum(counts, axis=1, dtype=np.uint32) - counts
        narrow = np.uint16 if WORD * words.shape[1] <= 1 << 16 else np.uint32
        return cls(
            jnp.asarray(words.ravel()),
            jnp.asarray(before.astype(narrow).ravel()),
            jnp.asarray(counts.sum(axis=1), jnp.int32),
            words.shape[1],
        )

    def size(self, group) -> Int[Array, '...']:
        """How many entities sets have."""
        return self.sizes[group]

    def at(self, group, index) -> Int[Array, '...']:
        """The entities that stand at an index in sets, in ascending order."""
        first = group * self.num_words
        # Of the words that begin at or before the member, the last one holds it.
        word = count_below(self.before, first + 1, self.num_words - 1, index + 1, self.num_words - 1)
        bits, left = self.words[first + word], index - self.before[first + word].astype(jnp.int32)
        return word * WORD + _nth_bit(bits, left)

    def locate(self, group: np.ndarray, entity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many members are below entities, and whether these are members; on the host, int[N] and bool[N]."""
        place, bit = np.divmod(entity, WORD)
        place = place + group.astype(np.int64) * self.num_words
        bits, bit = np.asarray(self.words)[place], bit.astype(np.uint32)
        below = bits & ((np.uint32(1) << bit) - np.uint32(1))
        return np.asarray(self.before)[place].astype(np.int64) + np.bitwise_count(below), (bits >> bit) & 1 == 1


def _nth_bit(bits, n):
    """The position of the set bit of a word that has n set ones below it; halves what is left of the word each time."""
    position = jnp.zeros_like(n)
    for half in (16, 8, 4, 2, 1):
        lower = bits & np.uint32((1 << half) - 1)
        count = jax.lax.population_count(lower).astype(jnp.int32)
        above = n >= count
        bits, n = jnp.where(above, bits >> half, lower), jnp.where(above, n - count, n)
        position = jnp.where(above, position + half, position)
    return position
