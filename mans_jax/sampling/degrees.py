"""Intruders by how often the graph names them."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int

from mans_jax.graph import TAIL, KnownTriples, count_below
from mans_jax.sampling.corruption import Corruption, Sampler, stateless
from mans_jax.sampling.pools import describe_queries
from mans_jax.sampling.sides import BERNOULLI, check_negatives_exist, draw_queries, head_probability

TOTAL = 1 << 30
"""Of all weights: whole numbers, so that sums of them are exact and no rounding leads to a known answer."""


@struct.dataclass
class Weights:
    """How likely each entity is to intrude, as running sums.

    Attributes:
        upto: int32[E + 1], the weights of the entities below each id, and of all.
        unknown_below: int32[2N + 1], for each of `KnownTriples.answers`, the weights of the entities below it that are
            not answers of the same query; the last one is padding.
    """

    upto: Int[Array, 'E_plus_1']
    unknown_below: Int[Array, 'twoN_plus_1']

    @classmethod
    def build(cls, known: KnownTriples, weight: np.ndarray) -> 'Weights':
        """From float[E] weights, of which what counts is their relation to each other.

        Each becomes a multiple of 1 / TOTAL of their sum: E of about the same size are E / 2^31 off at most, 7e-6 of
        themselves for 15,000. One above 0 stays above 0.

        Raises:
            ValueError: a weight is negative or not finite.
        """
        weight = np.asarray(weight, dtype=np.float64)
        if not (np.isfinite(weight).all() and np.isfinite(weight.sum()) and weight.min(initial=0) >= 0):
            raise ValueError('weights must be finite and at least 0')
        # What rounding up may add stays within an int32.
        share = weight / (weight.sum() or 1)
        whole = np.where(weight > 0, np.maximum(np.rint(share * TOTAL), 1), 0).astype(np.int64)
        upto = np.concatenate([[0], np.cumsum(whole)])
        start = np.asarray(known.answer_start)
        answer = np.asarray(known.answers)[: start[-1]]
        before = np.concatenate([[0], np.cumsum(whole[answer])])
        in_query = before[:-1] - np.repeat(before[start[:-1]], np.diff(start))
        return cls(
            jnp.asarray(upto, jnp.int32),
            jnp.asarray(np.append(upto[answer] - in_query, 0), jnp.int32),
        )


def degree_weights(known: KnownTriples, exponent: float | int) -> Weights:
    """degree^exponent, the degree of an entity being the number of distinct triples that it is head or tail of.

    An entity without a triple has weight 0, whatever the exponent.

    Raises:
        ValueError: the largest degree to that power is no finite number.
    """
    side, kept, _ = describe_queries(known)
    count = np.diff(np.asarray(known.answer_start))
    degree = np.bincount(kept, weights=count, minlength=known.num_entities)
    # A triple of an entity with itself is counted at both of its ends.
    loops = np.repeat(kept, count) == np.asarray(known.answers)[: count.sum()]
    degree -= np.bincount(np.repeat(kept, count)[loops & (np.repeat(side, count) == TAIL)], minlength=len(degree))
    with np.errstate(over='ignore'):
        weight = np.where(degree > 0, np.maximum(degree, 1) ** exponent, 0)
    if not np.isfinite(weight.sum()):
        raise ValueError(f'exponent is {exponent}, and a degree to that power is no number: choose one near 1')
    return Weights.build(known, weight)


def degree_weighted(
    known: KnownTriples, weights: Weights, num_negatives: int = 1, *, sides: str = BERNOULLI
) -> Sampler:
    """Draws from a query's non-answers, each with a probability in proportion to its weight.

    With degree^0.75 this is the noise of "Distributed Representations of Words and Phrases and their Compositionality",
    Mikolov et al., 2013 (arXiv 1310.4546), over entities in place of words. Where every entity with a weight is an
    answer, all non-answers are equally likely.

    Args:
        known: the triples that must never be drawn as negatives.
        weights: from `degree_weights(known, exponent)`, or any others from `Weights.build`.
        num_negatives: K.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or some query is answered by every entity.
    """
    check_negatives_exist(known)
    probability_of_head = head_probability(known, sides)
    num_entities, most = known.num_entities, known.max_answers

    def of_answers(start, number):
        """The weights of the first answers of queries."""
        last = start + number - 1
        return jnp.where(number > 0, weights.upto[known.answers[last] + 1] - weights.unknown_below[last], 0)

    def draw(key, positives, view):
        side_key, entity_key = jax.random.split(key)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        start, count = queries.start, queries.count
        left = weights.upto[-1] - of_answers(start, count)
        index = _draw_below(entity_key, jnp.where(left > 0, left, num_entities - count))
        skipped = count_below(weights.unknown_below, start, count, index + 1, most)
        target = index + of_answers(start, skipped)
        entity = count_below(weights.upto, 1, num_entities, target + 1, num_entities)
        entity = jnp.where(left > 0, entity, known.unknown(start, count, index))
        return Corruption(entity, queries.side, jnp.ones((*entity.shape, 1), bool))

    return stateless(draw)


def _draw_below(key, bound):
    """Whole numbers in [0, bound): the upper half of a random word times the bound, any range 2^-32 off at most.

    `jax.random.randint` takes remainders of 32 bits, which for bounds near 2^30 favours some ranges by a quarter.
    """
    bits, bound = jax.random.bits(key, bound.shape, jnp.uint32), bound.astype(jnp.uint32)
    # Of 16 bits each, so that their products fit into a word; `jax.lax.mulhi` is newer than the oldest JAX served.
    high, low = bits >> 16, bits & 0xFFFF
    upper, lower = bound >> 16, bound & 0xFFFF
    middle = high * lower + (low * lower >> 16)
    carried = low * upper + (middle & 0xFFFF)
    return (high * upper + (middle >> 16) + (carried >> 16)).astype(jnp.int32)
