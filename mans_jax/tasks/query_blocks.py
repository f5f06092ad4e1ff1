"""Counting around the targets of triples, a block of queries at a time."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np

from mans_jax.errors import not_finite
from mans_jax.graph import HEAD, KnowledgeGraph
from mans_jax.ranking import block_sizes, pack


class TripleCounts(NamedTuple):
    """The result for N triples, from which every rank and metric follows.

    Attributes:
        better: int64[2, N], candidates that score higher; the first row for the head, the second for the tail.
        tied: int64[2, N], other candidates that score the same.
    """

    better: np.ndarray
    tied: np.ndarray


def count_blockwise(
    count: Callable,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    progress: Callable[[Iterable], Iterable] = iter,
    num_candidates: int | None = None,
):
    """Counts something for the head and the tail of triples, a block of queries at a time.

    Args:
        count: Block -> (a pytree of int[..., T], bad query int[], bad entity int[]); the last two name a score that is
            not finite, or are -1.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail).
        progress: wraps the sequence of blocks, for a progress bar.
        num_candidates: how many a device scores at a time, by default all entities; the more, the fewer queries are
            in a block, so that memory does not grow with it.

    Returns:
        The pytree as int64[..., 2, N], in the order of `triples`: first for the heads, then for the tails.

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    blocks, position = pack(triples, *block_sizes(num_candidates or graph.num_entities))
    results, pending = [], None

    def fetch(block, found):
        counts, bad_query, bad_entity = jax.device_get(found)
        if bad_query >= 0:
            _raise_non_finite(graph, block, bad_query, bad_entity)
        results.append(counts)

    for index in progress(range(len(position))):
        block = jax.tree.map(lambda x, index=index: x[index], blocks)
        found = count(block)
        # While the device is at a block, the host brings in the one before.
        if pending:
            fetch(*pending)
        pending = block, found
    fetch(*pending)

    def arrange(*counts):
        joined, real = np.concatenate(counts, axis=-1), position.ravel() >= 0
        arranged = np.zeros((*joined.shape[:-1], 2 * len(triples)), dtype=np.int64)
        arranged[..., position.ravel()[real]] = joined[..., real]
        return arranged.reshape(*joined.shape[:-1], 2, len(triples))

    return jax.tree.map(arrange, *results)


def _raise_non_finite(graph, block, bad_query, bad_entity):
    side, kept, relation = (int(ids[bad_query]) for ids in block.queries)
    candidate = graph.entities[bad_entity]
    kept, relation = graph.entities[kept], graph.relations[relation]
    head, tail = (candidate, kept) if side == HEAD else (kept, candidate)
    raise not_finite(f'({head}, {relation}, {tail})')
