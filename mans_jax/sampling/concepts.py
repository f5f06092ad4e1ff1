"""Intruders by concept: entities that share the true one's concepts, or that pointedly do not.

See "CAKE: A Scalable Commonsense-Aware Framework For Multi-View Knowledge Graph Completion", Niu et al., 2022 (arXiv
2202.13785), which calls this CANS.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int
from tqdm import tqdm

from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.sampling.bit_rows import MOST_BYTES, WORD, BitRows
from mans_jax.sampling.corruption import Corruption, Sampler, stateless
from mans_jax.sampling.pools import describe_queries
from mans_jax.sampling.sides import BERNOULLI, check_negatives_exist, draw_queries, head_probability

UNIQUE_BELOW = 1.5
"""A side of a relation is unique where a query for it has fewer answers than this in the mean."""


@struct.dataclass
class ConceptPools:
    """What an entity may be replaced by, for every entity, relation and side that the known triples have.

    Attributes:
        sets: G different pools.
        pool: int32[2N + 1], the number of the pool of the entity that a query keeps, at the query's place in
            `KnownTriples.answers`; the last one is padding.
    """

    sets: BitRows
    pool: Int[Array, 'twoN_plus_1']


def concept_pools(known: KnownTriples, entity: np.ndarray, concept: np.ndarray) -> ConceptPools:
    """Puts the pools together on the host.

    On a unique side of a relation (1-1 or 1-N for heads, 1-1 or N-1 for tails) the pool of an entity is every entity
    that has one of its concepts, or, where it has none, one of the relation's. On the other side it is every entity
    that has one of the relation's concepts that the entity lacks. A relation's concepts on a side are those of the
    entities that it has there. The pools are kept as bits, equal ones once: 3/16 E bytes each, 120 MB for FB15k-237
    with 89 concepts, 6.5 of them an entity.

    The published code takes N-1 and N-N in place of 1-1 and N-1 for what is unique in the tail, and then never finds
    the tail's own concepts, as it looks a number up among texts. Here both sides are treated as in the paper.

    Args:
        known: the train triples.
        entity: int[T], which entity has a concept.
        concept: int[T], which one it has, 0 and up.

    Raises:
        ValueError: the pools do not fit into 1 GiB.
    """
    num_concepts, num_words = int(concept.max(initial=-1)) + 1, -(-known.num_entities // WORD)
    has = np.zeros((known.num_entities, -(-num_concepts // 8)), np.uint8)
    np.bitwise_or.at(has, (entity, concept // 8), (128 >> concept % 8).astype(np.uint8))
    wanted, number_of = _wanted_concepts(known, has)
    size = (num_concepts + len(wanted)) * num_words * WORD // 8
    if size > MOST_BYTES:
        what = f'{len(wanted)} pools from {num_concepts} concepts take {size / 2**30:.1f} GiB as bits'
        raise ValueError(f'{what}, more than 1 GiB: leave rare concepts out')
    members = np.zeros((num_concepts, num_words), np.uint32)
    np.bitwise_or.at(members, (concept, entity // WORD), np.uint32(1) << (entity % WORD).astype(np.uint32))
    # One at least, so that a gather has something to read.
    words = np.zeros((max(len(wanted), 1), num_words), np.uint32)
    for row, key in enumerate(tqdm(wanted, desc='pools', disable=not sys.stderr.isatty(), leave=False)):
        chosen = np.unpackbits(np.frombuffer(key, np.uint8), count=num_concepts)
        np.bitwise_or.reduce(members[chosen.astype(bool)], axis=0, out=words[row])
    count = np.diff(np.asarray(known.answer_start))
    return ConceptPools(BitRows.build(words), jnp.asarray(np.append(np.repeat(number_of, count), 0), jnp.int32))


def cans(known: KnownTriples, pools: ConceptPools, num_negatives: int = 1, *, sides: str = BERNOULLI) -> Sampler:
    """Draws from the pool of the entity that is replaced; what it does not give is drawn uniformly.

    As in the published code: at most as many negatives as the pool has members are drawn from it, with replacement;
    those that are known triples, and all further ones, are replaced by uniform draws from the query's non-answers. That
    code takes head and tail side by turns, which is `sides='uniform'`.

    Args:
        known: the triples that must never be drawn as negatives.
        pools: from `concept_pools(known, ...)`.
        num_negatives: K.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or some query is answered by every entity.
    """
    check_negatives_exist(known)
    probability_of_head = head_probability(known, sides)

    def pool_of(side, replaced, relation):
        """The pool of an entity where it stands on a side, and its size."""
        # An entity that is a head in a known triple is kept by a query for tails.
        start, count = known.find(TAIL if side == HEAD else HEAD, replaced, relation)
        pool = pools.pool[start]
        return pool, jnp.where(count > 0, pools.sets.size(pool), 0)

    def draw(key, positives, view):
        side_key, pool_key, uniform_key = jax.random.split(key, 3)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        of_head = pool_of(HEAD, positives.head, positives.relation)
        of_tail = pool_of(TAIL, positives.tail, positives.relation)
        pool, size = (queries.choose(a, b) for a, b in zip(of_head, of_tail, strict=True))
        at_head = queries.at_head.astype(jnp.int32)
        number = jnp.where(queries.at_head, jnp.cumsum(at_head, axis=1), jnp.cumsum(1 - at_head, axis=1))
        entity = pools.sets.at(pool, jax.random.randint(pool_key, pool.shape, 0, jnp.maximum(size, 1)))
        taken = (number <= size) & ~known.answered(queries.start, queries.count, entity)
        index = jax.random.randint(uniform_key, pool.shape, 0, known.num_entities - queries.count)
        entity = jnp.where(taken, entity, known.unknown(queries.start, queries.count, index))
        return Corruption(entity, queries.side, jnp.ones((*entity.shape, 1), bool))

    return stateless(draw)


def _wanted_concepts(known, has):
    """The different sets of concepts that pools are made of, as packed bits, and the number of each query's, int[P].

    A query is that of the entity that it keeps, which stands on the side that the query does not ask for.
    """
    asked, kept, relation = describe_queries(known)
    key = asked * known.num_relations + relation
    num_queries = np.bincount(key, minlength=2 * known.num_relations)
    num_answers = np.bincount(key, weights=np.diff(np.asarray(known.answer_start)), minlength=2 * known.num_relations)
    numbers, number_of = {}, np.empty(len(kept), np.int64)
    for queries in np.split(np.argsort(key, kind='stable'), np.cumsum(num_queries)[:-1]):
        if not len(queries):
            continue
        own = has[kept[queries]]
        of_relation = np.bitwise_or.reduce(own, axis=0)
        # The queries of this relation that ask for the side on which these entities stand.
        side = (TAIL if asked[queries[0]] == HEAD else HEAD) * known.num_relations + relation[queries[0]]
        if num_answers[side] < UNIQUE_BELOW * num_queries[side]:
            wanted = np.where(own.any(axis=1, keepdims=True), own, of_relation)
        else:
            wanted = of_relation & ~own
        for query, concepts in zip(queries.tolist(), wanted, strict=True):
            number_of[query] = numbers.setdefault(concepts.tobytes(), len(numbers))
    return list(numbers), number_of
