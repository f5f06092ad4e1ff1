"""Intruders from around the kept entity: structure-aware negatives.

See "Structure Aware Negative Sampling in Knowledge Graphs", Ahrabian et al., 2020 (arXiv 2009.11355). A is the
adjacency of the train triples, whatever their relation and in both directions; a triple of an entity with itself is a
loop.
"""

import sys

import numpy as np
from tqdm import tqdm

from mans_jax.graph import KnownTriples
from mans_jax.sampling.bit_rows import MOST_BYTES, WORD, BitRows
from mans_jax.sampling.corruption import Sampler
from mans_jax.sampling.pools import Pools, Segments, describe_queries, distinct, draw_from_pools
from mans_jax.sampling.sides import BERNOULLI

EXACT, RANDOM_WALK = 'uniform', 'random_walk'
VARIANTS = (EXACT, RANDOM_WALK)

_BLOCK_BYTES = 1 << 25
"""How much of a table is worked on at once, on the host."""


def sans(known: KnownTriples, pools: Pools, num_negatives: int = 1, *, sides: str = BERNOULLI) -> Sampler:
    """Replaces an entity by one from around the entity that is kept: close by, but no known answer.

    Uniform over what `neighbourhoods` or `walk_ends` found around the kept entity and does not answer the query; over
    all non-answers where nothing is left. The published code takes head and tail side by turns, which is
    `sides='uniform'`; it redraws known answers, which comes to the same distribution.

    Args:
        known: the triples that must never be drawn as negatives.
        pools: from `neighbourhoods(known, ...)` (uniform SANS) or `walk_ends(known, ...)` (RW-SANS).
        num_negatives: K.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or some query is answered by every entity.
    """
    return draw_from_pools(known, pools, lambda positives: (positives.tail, positives.head), num_negatives, sides=sides)


def neighbourhoods(known: KnownTriples, hops: int) -> Pools:
    """Around each entity, the support of A^k + A^(k-1): the ends of walks of k or of k - 1 hops, k being `hops`.

    Such a set may hold most of all entities, so it is kept as bits: 3/16 E^2 bytes for all of them, 42 MB for 15,000
    entities, whatever k; from 65,536 entities on E^2 / 4.

    Raises:
        ValueError: `hops` is below 1, or the bits do not fit into 1 GiB.
    """
    _check_hops(hops)
    num_entities = known.num_entities
    num_words = -(-num_entities // WORD)
    if num_entities * num_words * WORD // 8 > MOST_BYTES:
        raise ValueError(
            f'the neighbourhoods of {num_entities} entities take {num_entities * num_words * WORD / 8 / 2**30:.1f} GiB '
            f"as bits, more than 1 GiB: set variant='{RANDOM_WALK}'"
        )
    every = np.arange(num_entities)
    words = np.zeros((num_entities, num_words), np.uint32)
    words[every, every // WORD] = np.uint32(1) << (every % WORD).astype(np.uint32)
    neighbours = _neighbours(known)
    before = words
    for hop in range(hops):
        before, words = words, _step(words, *neighbours, name=f'hop {hop + 1} of {hops}')
    return Pools.build(known, BitRows.build(words | before), describe_queries(known)[1])


def walk_ends(known: KnownTriples, hops: int, walks: int, seed: int = 0) -> Pools:
    """Around each entity, the distinct ends of `walks` random walks of k hops from it, k being `hops`.

    At most 4 E x walks bytes: 60 MB for 15,000 entities and 1,000 walks, mostly far less, as many walks end alike. How
    many walks end at an entity does not count, as in the published code. There, each walk but the first one begins its
    hops among the neighbours of where the last one ended; here, each begins at the entity, as the paper has it.

    Args:
        known: the triples that are walked along.
        hops: k.
        walks: from each entity.
        seed: of the walks.

    Raises:
        ValueError: `hops` or `walks` is below 1, or the ends do not fit into 1 GiB.
    """
    _check_hops(hops)
    if walks < 1:
        raise ValueError(f'walks is {walks}, but must be at least 1')
    start, neighbour = _neighbours(known)
    degree, num_entities = np.diff(start), known.num_entities
    walkers = np.flatnonzero(degree)
    rng, ends, found = np.random.default_rng(seed), [np.empty(0, np.int64)], 0
    block = max(1, _BLOCK_BYTES // (8 * walks))
    for first in _bar(range(0, len(walkers), block), f'{walks} walks of {hops} hops'):
        origin = np.repeat(walkers[first : first + block], walks)
        place = origin
        for _ in range(hops):
            place = neighbour[start[place] + (rng.random(len(place)) * degree[place]).astype(np.int64)]
        ends.append(distinct(origin * num_entities + place))
        found += len(ends[-1])
        if 4 * found > MOST_BYTES:
            raise ValueError(
                f'the ends of {walks} walks from {num_entities} entities take more than 1 GiB: lower walks'
            )
    group, entity = np.divmod(np.concatenate(ends), num_entities)
    sets = Segments.build(group, entity, num_entities, num_entities)
    return Pools.build(known, sets, describe_queries(known)[1])


def _neighbours(known):
    """The neighbours of each entity as sorted segments on the host: start int64[E + 1] and entities."""
    kept = np.repeat(describe_queries(known)[1], np.diff(np.asarray(known.answer_start)))
    answer = np.asarray(known.answers)[: len(kept)]
    sets = Segments.build(kept, answer, known.num_entities, known.num_entities)
    return np.asarray(sets.start).astype(np.int64), np.asarray(sets.member)[:-1].astype(np.int64)


def _step(words, start, neighbour, name):
    """What the neighbours of each entity reach together, uint32[E, W]."""
    reached = np.zeros_like(words)
    having = np.flatnonzero(np.diff(start))
    # Entities with neighbours, as many at once as have a block's worth of rows to be put together.
    block = start[having] // max(1, _BLOCK_BYTES // words[:1].nbytes)
    for rows in _bar(np.split(having, np.flatnonzero(np.diff(block)) + 1), name):
        if len(rows):
            first, end = start[rows[0]], start[rows[-1] + 1]
            reached[rows] = np.bitwise_or.reduceat(words[neighbour[first:end]], start[rows] - first, axis=0)
    return reached


def _check_hops(hops):
    if hops < 1:
        raise ValueError(f'hops is {hops}, but must be at least 1')


def _bar(items, name):
    return tqdm(items, desc=name, disable=not sys.stderr.isatty(), leave=False)
