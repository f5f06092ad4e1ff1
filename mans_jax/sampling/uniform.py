"""Samplers that draw every non-answer of a query with the same probability."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, stateless


def uniform(known: KnownTriples, num_negatives: int = 1) -> Sampler:
    """Corrupts head or tail, each with probability 1/2, by an entity drawn uniformly from the query's non-answers.

    See "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013.

    Args:
        known: the triples that must never be drawn as negatives.
        num_negatives: K.

    Raises:
        ValueError: some query is answered by every entity, so that it has no negative.
    """
    return _draw_unknown(known, num_negatives, jnp.full((known.num_relations,), 0.5))


def bernoulli(known: KnownTriples, num_negatives: int = 1) -> Sampler:
    """Like `uniform`, but corrupts the side on which a random entity is less likely to be an answer.

    The head is corrupted with probability tph / (tph + hpt), where tph is the mean number of tails of a relation's
    (head, relation) and hpt that of heads of a (relation, tail).
    See "Knowledge Graph Embedding by Translating on Hyperplanes", Wang et al., 2014.

    Args:
        known: the triples that must never be drawn as negatives, and that the relations' means are taken over.
        num_negatives: K.

    Raises:
        ValueError: some query is answered by every entity, so that it has no negative.
    """
    return _draw_unknown(known, num_negatives, head_probability(known))


def head_probability(known: KnownTriples) -> Float[Array, 'R']:
    """tph / (tph + hpt) for each relation, float32[R]; 1/2 for a relation without a triple."""
    num_queries = known.query_relation.shape[0] - 1
    num_head_queries = known.query_start[known.num_entities]
    asks_for_tail = (jnp.arange(num_queries) >= num_head_queries).astype(jnp.int32)
    relation = known.query_relation[:-1]
    # Both means have the relation's number of triples above the bar, so only the numbers of queries are left:
    # tph / (tph + hpt) = (1 / heads) / (1 / heads + 1 / tails) = tails / (heads + tails).
    heads = jnp.bincount(relation, weights=asks_for_tail, length=known.num_relations)
    tails = jnp.bincount(relation, weights=1 - asks_for_tail, length=known.num_relations)
    return jnp.where(heads + tails > 0, tails / jnp.maximum(heads + tails, 1), 0.5).astype(jnp.float32)


def draw_sides(
    key: Array, probability_of_head: Float[Array, 'R'], positives: Triple, num_negatives: int
) -> Int[Array, 'B K']:
    """The side that each negative takes, int8[B, K]: HEAD with the probability of its relation."""
    shape = (positives.head.shape[0], num_negatives)
    at_head = jax.random.bernoulli(key, probability_of_head[positives.relation][:, None], shape)
    return jnp.where(at_head, HEAD, TAIL).astype(jnp.int8)


def check_negatives_exist(known: KnownTriples) -> None:
    """Raises ValueError where some query is answered by every entity."""
    if known.max_answers >= known.num_entities:
        raise ValueError(f'a query has all {known.num_entities} entities as its answers, so no negative exists for it')


def _draw_unknown(known, num_negatives, probability_of_head):
    check_negatives_exist(known)

    def draw(key, positives, view):
        side_key, entity_key = jax.random.split(key)
        side = draw_sides(side_key, probability_of_head, positives, num_negatives)
        # Two look-ups a positive, however many negatives it has.
        from_tail = known.find(HEAD, positives.tail, positives.relation)
        from_head = known.find(TAIL, positives.head, positives.relation)
        answers = zip(from_tail, from_head, strict=True)
        start, count = (jnp.where(side == HEAD, a[:, None], b[:, None]) for a, b in answers)
        index = jax.random.randint(entity_key, side.shape, 0, known.num_entities - count)
        return Corruption(known.unknown(start, count, index), side, jnp.ones((*side.shape, 1), bool))

    return stateless(draw)
