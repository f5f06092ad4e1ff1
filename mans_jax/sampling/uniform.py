"""Samplers that draw every non-answer of a query with the same probability."""

import jax
import jax.numpy as jnp

from mans_jax.graph import KnownTriples
from mans_jax.sampling.corruption import Corruption, Sampler, stateless
from mans_jax.sampling.sides import BERNOULLI, UNIFORM, check_negatives_exist, draw_queries, head_probability


def uniform(known: KnownTriples, num_negatives: int = 1) -> Sampler:
    """Corrupts head or tail, each with probability 1/2, by an entity drawn uniformly from the query's non-answers.

    See "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013.

    Args:
        known: the triples that must never be drawn as negatives.
        num_negatives: K.

    Raises:
        ValueError: some query is answered by every entity, so that it has no negative.
    """
    return _draw_unknown(known, num_negatives, UNIFORM)


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
    return _draw_unknown(known, num_negatives, BERNOULLI)


def _draw_unknown(known, num_negatives, sides):
    check_negatives_exist(known)
    probability_of_head = head_probability(known, sides)

    def draw(key, positives, view):
        side_key, entity_key = jax.random.split(key)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        index = jax.random.randint(entity_key, queries.start.shape, 0, known.num_entities - queries.count)
        entity = known.unknown(queries.start, queries.count, index)
        return Corruption(entity, queries.side, jnp.ones((*entity.shape, 1), bool))

    return stateless(draw)
