"""Intruders that somebody else has chosen."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int

from mans_jax.graph import TAIL, KnownTriples
from mans_jax.sampling.corruption import Corruption, Sampler, stateless
from mans_jax.sampling.pools import describe_queries
from mans_jax.sampling.sides import BERNOULLI, check_negatives_exist, draw_queries, head_probability


@struct.dataclass
class Supplied:
    """The negatives of known triples, in the order in which they were given.

    Attributes:
        start: int32[2N + 2]; those of the triple whose tail stands at position p of `KnownTriples.answers` are
            `start[p] : start[p + 1]`.
        entity: int32[T + 1], the intruders; the last one is padding, here and below.
        side: int8[T + 1], HEAD or TAIL, the side that each takes.
    """

    start: Int[Array, 'N']
    entity: Int[Array, 'T']
    side: Int[Array, 'T']

    @classmethod
    def build(cls, known: KnownTriples, triples: np.ndarray, side: np.ndarray, entity: np.ndarray) -> 'Supplied':
        """Sorts negatives by their positives, on the host.

        Args:
            known: the train triples.
            triples: int[T, 3] rows of (head, relation, tail), the positive of each negative.
            side: int[T], HEAD or TAIL.
            entity: int[T].

        Raises:
            ValueError: a row is not known.
        """
        asked, kept, relation = describe_queries(known)
        count = np.diff(np.asarray(known.answer_start))
        query = (asked * known.num_entities + kept) * known.num_relations + relation
        keys = np.repeat(query, count) * known.num_entities + np.asarray(known.answers)[: count.sum()]
        head, relation, tail = np.asarray(triples, np.int64).reshape(-1, 3).T
        wanted = (TAIL * known.num_entities + head) * known.num_relations + relation
        wanted = wanted * known.num_entities + tail
        position = np.searchsorted(keys, wanted)
        unknown = np.append(keys, -1)[position] != wanted
        if unknown.any():
            row = tuple(np.asarray(triples)[unknown.argmax()].tolist())
            raise ValueError(f'negatives are supplied for {row}, which is not a known triple')
        order = np.argsort(position, kind='stable')
        start = np.searchsorted(position[order], np.arange(len(keys) + 2))
        return cls(
            jnp.asarray(start, jnp.int32),
            jnp.asarray(np.append(np.asarray(entity)[order], 0), jnp.int32),
            jnp.asarray(np.append(np.asarray(side)[order], 0), jnp.int8),
        )


def supplied(known: KnownTriples, negatives: Supplied, num_negatives: int = 1, *, sides: str = BERNOULLI) -> Sampler:
    """Takes K of a positive's supplied negatives, in the order in which they were given, from a random one on.

    So with K of them all are used in every step, with fewer some come twice, with more each is as likely as any other.
    They are not filtered. A positive for which none is supplied has uniform ones, filtered.

    Args:
        known: the triples that negatives were supplied for, and that the uniform ones never are.
        negatives: from `Supplied.build(known, ...)`.
        num_negatives: K.
        sides: one of `sides.SIDES`, of the uniform ones.

    Raises:
        ValueError: `sides` is none of them, or some query is answered by every entity.
    """
    check_negatives_exist(known)
    probability_of_head = head_probability(known, sides)

    def draw(key, positives, view):
        side_key, entity_key, first_key = jax.random.split(key, 3)
        start, count = known.find(TAIL, positives.head, positives.relation)
        position = start + known.below(start, count, positives.tail)
        begin = negatives.start[position]
        number = jnp.where(known.answered(start, count, positives.tail), negatives.start[position + 1] - begin, 0)
        first = jax.random.randint(first_key, number.shape, 0, jnp.maximum(number, 1))
        step = first[:, None] + jnp.arange(num_negatives)
        place = begin[:, None] + step % jnp.maximum(number, 1)[:, None]
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        index = jax.random.randint(entity_key, queries.start.shape, 0, known.num_entities - queries.count)
        has = number[:, None] > 0
        entity = jnp.where(has, negatives.entity[place], known.unknown(queries.start, queries.count, index))
        side = jnp.where(has, negatives.side[place], queries.side)
        return Corruption(entity, side, jnp.ones((*entity.shape, 1), bool))

    return stateless(draw)
