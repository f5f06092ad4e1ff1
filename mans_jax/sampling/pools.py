"""Sets of entities that intruders are drawn from, one set a group of queries, without a known answer among them.

Nothing here rejects: where in its set each known answer stands is counted on the host, once for a graph, so that an
index among the members that are no answers is turned into an entity by a fixed number of halvings.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int

from mans_jax.graph import KnownTriples, Triple, count_below
from mans_jax.sampling.bit_rows import BitRows
from mans_jax.sampling.corruption import Corruption, Sampler, stateless
from mans_jax.sampling.sides import BERNOULLI, check_negatives_exist, draw_queries, head_probability


@struct.dataclass
class Segments:
    """G sets of entities as sorted segments of one array: 4 bytes a member.

    Attributes:
        start: int32[G + 1]; set g is `member[start[g] : start[g + 1]]`.
        member: int32[T + 1], ascending within each set; the last one is padding.
    """

    start: Int[Array, 'G_plus_1']
    member: Int[Array, 'T']

    @classmethod
    def build(cls, group: np.ndarray, entity: np.ndarray, num_groups: int, num_entities: int) -> 'Segments':
        """The sets of pairs (group, entity), int[T] each; a pair may come twice."""
        group, entity = np.divmod(distinct(group.astype(np.int64) * num_entities + entity), num_entities)
        start = np.searchsorted(group, np.arange(num_groups + 1))
        # One more element than there are members, so that a gather has something to read.
        return cls(*(jnp.asarray(a, jnp.int32) for a in (start, np.append(entity, 0))))

    def size(self, group) -> Int[Array, '...']:
        """How many entities sets have."""
        return self.start[group + 1] - self.start[group]

    def at(self, group, index) -> Int[Array, '...']:
        """The entities that stand at an index in sets, in ascending order."""
        return self.member[self.start[group] + index]

    def locate(self, group: np.ndarray, entity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many members are below entities, and whether these are members; on the host, int[N] and bool[N]."""
        start, member = np.asarray(self.start), np.asarray(self.member)[:-1]
        bound = int(max(member.max(initial=0), entity.max(initial=0))) + 1
        keys = np.repeat(np.arange(len(start) - 1), np.diff(start)) * bound + member
        wanted = group.astype(np.int64) * bound + entity
        position = np.searchsorted(keys, wanted)
        return position - start[group], np.append(keys, -1)[position] == wanted


@struct.dataclass
class Pools:
    """For every query, the entities of a set that do not answer it.

    Attributes:
        sets: G sets of entities.
        known_start: int32[2N + 2]; of the answers before position p in `KnownTriples.answers`, this many stand in the
            set of their query.
        allowed_below: int32[T + 1], for each of those, how many members that are no answers are below it; the last one
            is padding.
        max_known: the most answers that any query has in its set.
    """

    sets: Segments | BitRows
    known_start: Int[Array, 'N']
    allowed_below: Int[Array, 'T']
    max_known: int = struct.field(pytree_node=False)

    @classmethod
    def build(cls, known: KnownTriples, sets: Segments | BitRows, group: np.ndarray) -> 'Pools':
        """Counts on the host what drawing needs.

        Args:
            known: P queries and their answers.
            sets: G sets.
            group: int[P], the set of each query.
        """
        count = np.diff(np.asarray(known.answer_start))
        answer = np.asarray(known.answers)[: count.sum()]
        below, is_member = sets.locate(np.repeat(group, count), answer)
        known_start = np.concatenate([[0], np.cumsum(is_member)])
        first = known_start[np.asarray(known.answer_start)]
        rank = np.arange(known_start[-1]) - np.repeat(first[:-1], np.diff(first))
        return cls(
            sets,
            jnp.asarray(np.append(known_start, known_start[-1]), jnp.int32),
            jnp.asarray(np.append(below[is_member] - rank, 0), jnp.int32),
            int(np.diff(first).max(initial=0)),
        )

    def size(self, group, start, count) -> Int[Array, '...']:
        """How many members of a set do not answer a query.

        Args:
            group: the number of the set, int32[...].
            start: from `KnownTriples.find`, int32[...].
            count: from `KnownTriples.find`, int32[...]; the three broadcast.
        """
        return self.sets.size(group) - (self.known_start[start + count] - self.known_start[start])

    def at(self, group, start, count, index) -> Int[Array, '...']:
        """The entity that stands at `index` among the members of a set that do not answer a query, int32[...].

        Args:
            group: as for `size`.
            start: as for `size`.
            count: as for `size`.
            index: int32[...], below what `size` says.
        """
        first = self.known_start[start]
        skipped = count_below(
            self.allowed_below, first, self.known_start[start + count] - first, index + 1, self.max_known
        )
        return self.sets.at(group, index + skipped)


def draw_from_pools(
    known: KnownTriples,
    pools: Pools,
    groups: Callable[[Triple], tuple[Int[Array, 'B'], Int[Array, 'B']]],
    num_negatives: int = 1,
    *,
    sides: str = BERNOULLI,
) -> Sampler:
    """Draws uniformly from the set of each query without its answers; from all non-answers where nothing is left.

    Args:
        known: the triples that must never be drawn as negatives.
        pools: made from the same `known`.
        groups: (positives) -> the numbers of the sets that a new head and a new tail are drawn from, int32[B] each.
        num_negatives: K.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or some query is answered by every entity.
    """
    check_negatives_exist(known)
    probability_of_head = head_probability(known, sides)

    def draw(key, positives, view):
        side_key, entity_key = jax.random.split(key)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        group = queries.choose(*groups(positives))
        size = pools.size(group, queries.start, queries.count)
        bound = jnp.where(size > 0, size, known.num_entities - queries.count)
        index = jax.random.randint(entity_key, size.shape, 0, bound)
        entity = jnp.where(
            size > 0,
            pools.at(group, queries.start, queries.count, index),
            known.unknown(queries.start, queries.count, index),
        )
        return Corruption(entity, queries.side, jnp.ones((*size.shape, 1), bool))

    return stateless(draw)


def distinct(values: np.ndarray) -> np.ndarray:
    """What `numpy.unique` returns, which for tens of millions of whole numbers takes ten times as long."""
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


def describe_queries(known: KnownTriples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The P queries on the host, int[P] each: the side that they ask for, the entity that they keep, their relation."""
    anchor = np.repeat(np.arange(2 * known.num_entities), np.diff(np.asarray(known.query_start)))
    return *np.divmod(anchor, known.num_entities), np.asarray(known.query_relation)[:-1]
