"""Which side of a positive each of its negatives corrupts, and what is known of the query that is left."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple

BERNOULLI, UNIFORM = 'bernoulli', 'uniform'
SIDES = (BERNOULLI, UNIFORM)
"""The side is the head with probability tph / (tph + hpt), see `head_probability`, or with probability 1/2."""


class Queries(NamedTuple):
    """The queries of K negatives for each of B positives: the kept entity and the relation, asked for the other side.

    Attributes:
        at_head: bool[B, K], whether the intruder takes the head's place.
        start: int32[B, K], where the known answers of the query stand, as from `KnownTriples.find`.
        count: int32[B, K], how many they are.
    """

    at_head: Bool[Array, 'B K']
    start: Int[Array, 'B K']
    count: Int[Array, 'B K']

    @property
    def side(self) -> Int[Array, 'B K']:
        """HEAD or TAIL, int8[B, K]."""
        return jnp.where(self.at_head, HEAD, TAIL).astype(jnp.int8)

    def choose(self, for_head: Array, for_tail: Array) -> Array:
        """Of what each positive has for either side, [B], what each of its negatives needs, [B, K]."""
        return jnp.where(self.at_head, for_head[:, None], for_tail[:, None])


def draw_sides(
    key: Array, probability_of_head: Float[Array, 'R'], positives: Triple, num_negatives: int
) -> Int[Array, 'B K']:
    """The side that each negative takes, int8[B, K]: HEAD with the probability of its relation."""
    shape = (positives.head.shape[0], num_negatives)
    at_head = jax.random.bernoulli(key, probability_of_head[positives.relation][:, None], shape)
    return jnp.where(at_head, HEAD, TAIL).astype(jnp.int8)


def draw_queries(
    key: Array, known: KnownTriples, positives: Triple, num_negatives: int, head_probability: Float[Array, 'R']
) -> Queries:
    """Draws the side of every negative independently.

    Args:
        key: a PRNG key, consumed.
        known: the triples that negatives are filtered by.
        positives: Triple of int32[B].
        num_negatives: K.
        head_probability: float[R], with which the head of a triple of a relation is corrupted.
    """
    at_head = draw_sides(key, head_probability, positives, num_negatives) == HEAD
    # Two look-ups a positive, however many negatives it has.
    from_tail = known.find(HEAD, positives.tail, positives.relation)
    from_head = known.find(TAIL, positives.head, positives.relation)
    start, count = (jnp.where(at_head, a[:, None], b[:, None]) for a, b in zip(from_tail, from_head, strict=True))
    return Queries(at_head, start, count)


def head_probability(known: KnownTriples, sides: str = BERNOULLI) -> Float[Array, 'R']:
    """With which probability the head of a relation's triples is corrupted, float32[R].

    With sides 'bernoulli' it is tph / (tph + hpt), where tph is the mean number of tails of a relation's (head,
    relation) and hpt that of heads of a (relation, tail), and 1/2 for a relation without a triple. With 'uniform' it is
    1/2. See "Knowledge Graph Embedding by Translating on Hyperplanes", Wang et al., 2014.

    Raises:
        ValueError: `sides` is neither.
    """
    if sides not in SIDES:
        raise ValueError(f"sides must be '{BERNOULLI}' or '{UNIFORM}', not {sides!r}")
    if sides == UNIFORM:
        return jnp.full((known.num_relations,), 0.5)
    num_queries = known.query_relation.shape[0] - 1
    num_head_queries = known.query_start[known.num_entities]
    asks_for_tail = (jnp.arange(num_queries) >= num_head_queries).astype(jnp.int32)
    relation = known.query_relation[:-1]
    # Both means have the relation's number of triples above the bar, so only the numbers of queries are left:
    # tph / (tph + hpt) = (1 / heads) / (1 / heads + 1 / tails) = tails / (heads + tails).
    heads = jnp.bincount(relation, weights=asks_for_tail, length=known.num_relations)
    tails = jnp.bincount(relation, weights=1 - asks_for_tail, length=known.num_relations)
    return jnp.where(heads + tails > 0, tails / jnp.maximum(heads + tails, 1), 0.5).astype(jnp.float32)


def check_negatives_exist(known: KnownTriples) -> None:
    """Raises a ValueError where some query is answered by every entity, so that it has no negative."""
    if known.max_answers >= known.num_entities:
        raise ValueError(f'a query has all {known.num_entities} entities as its answers, so no negative exists for it')
