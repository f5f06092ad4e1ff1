"""Intruders that a whole batch shares: the entities of its own positives, or a pool drawn once for all of them."""

import jax
import jax.numpy as jnp

from mans_jax.graph import KnownTriples
from mans_jax.sampling.corruption import Corruption, Sampler, stateless
from mans_jax.sampling.sides import BERNOULLI, draw_queries, head_probability


def in_batch(known: KnownTriples, num_negatives: int = 1, *, sides: str = BERNOULLI) -> Sampler:
    """Replaces a head by the head, a tail by the tail, of another positive of the batch.

    Which one is drawn uniformly, with replacement. So an entity intrudes as often as triples name it on that side.
    Negatives that are known triples have weight 0 and are not replaced: this is what the field does, where known
    answers are masked in the loss ("SimKGC: Simple Contrastive Knowledge Graph Completion with Pre-trained Language
    Models", Wang et al., 2022, arXiv 2203.02167); `fallback(in_batch(...), uniform(...))` replaces them. Older systems
    leave out the positive itself alone
    ("PyTorch-BigGraph: A Large-scale Graph Embedding System", Lerer et al., 2019, arXiv 1903.12287).

    Args:
        known: the triples that must never count as negatives.
        num_negatives: K; it may be more than B.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them; when it samples, the batch is a single positive.
    """
    probability_of_head = head_probability(known, sides)

    def draw(key, positives, view):
        batch_size = positives.head.shape[0]
        if batch_size < 2:
            raise ValueError('in_batch needs the entities of other positives, but the batch has one: raise batch_size')
        side_key, other_key = jax.random.split(key)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        step = jax.random.randint(other_key, queries.start.shape, 1, batch_size)
        other = (jnp.arange(batch_size)[:, None] + step) % batch_size
        entity = jnp.where(queries.at_head, positives.head[other], positives.tail[other])
        return _without_known(known, queries, entity)

    return stateless(draw)


def shared_pool(known: KnownTriples, num_negatives: int = 1, *, pool: int = 0, sides: str = BERNOULLI) -> Sampler:
    """Draws P entities uniformly once a batch; every positive takes K of them, in a row from a random place on.

    With P = K all positives have the same negatives, as the chunks of "DGL-KE: Training Knowledge Graph Embeddings at
    Scale", Zheng et al., 2020 (arXiv 2004.08532), whose code does not filter. An entity may stand in the pool twice.
    Negatives that are known triples have weight 0, as in `in_batch`.

    Args:
        known: the triples that must never count as negatives.
        num_negatives: K.
        pool: P, at least K; 0 stands for K.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or `pool` is smaller than K.
    """
    size = pool or num_negatives
    if size < num_negatives:
        raise ValueError(f'pool is {pool}, but each positive takes num_negatives={num_negatives} of it: raise it')
    probability_of_head = head_probability(known, sides)

    def draw(key, positives, view):
        side_key, pool_key, place_key = jax.random.split(key, 3)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        shared = jax.random.randint(pool_key, (size,), 0, known.num_entities)
        first = jax.random.randint(place_key, (positives.head.shape[0], 1), 0, size)
        return _without_known(known, queries, shared[(first + jnp.arange(num_negatives)) % size])

    return stateless(draw)


def chunk_pool(known: KnownTriples, num_negatives: int = 1, *, chunk: int = 0, sides: str = BERNOULLI) -> Sampler:
    """Draws K entities uniformly for every C positives, each of which has all of them, on one side.

    A step then reads C times fewer rows than with `uniform`, and compares C x K pairs as a matrix product where the
    score has such a form. These are the chunks of "PyTorch-BigGraph: A Large-scale Graph Embedding System", Lerer et
    al., 2019 (arXiv 1903.12287), and of DGL-KE, whose code draws one side for a whole batch. An entity may be drawn
    twice. Negatives that are known triples have weight 0, as in `in_batch`.

    Args:
        known: the triples that must never count as negatives.
        num_negatives: K.
        chunk: C, which divides B; 0 stands for B.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or `chunk` is negative; when it samples, `chunk` does not divide B.
    """
    if chunk < 0:
        raise ValueError(f'chunk is {chunk}, but is a number of positives: 0 stands for the whole batch')
    probability_of_head = head_probability(known, sides)

    def draw(key, positives, view):
        batch_size = positives.head.shape[0]
        size = chunk or batch_size
        if batch_size % size:
            raise ValueError(f'chunk is {size}, but the batch has {batch_size} positives: choose a divisor of that')
        side_key, entity_key = jax.random.split(key)
        # One side a positive, whatever number of negatives: the look-ups are made once, too.
        queries = draw_queries(side_key, known, positives, 1, probability_of_head)
        entity = jax.random.randint(entity_key, (batch_size // size, num_negatives), 0, known.num_entities)
        entity = jnp.repeat(entity, size, axis=0)
        return _without_known(known, queries, entity).replace(chunk=size)

    return stateless(draw)


def _without_known(known, queries, entity):
    """A corruption in which known triples have weight 0."""
    weight = ~known.answered(queries.start, queries.count, entity)
    side = jnp.broadcast_to(queries.side, entity.shape)
    return Corruption(entity, side, jnp.ones((*entity.shape, 1), bool), weight.astype(jnp.float32))
