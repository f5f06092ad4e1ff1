"""Which entities a target competes with: all of them, those that are no known answers, or those of the right kind.

A protocol decides about candidates, never about scores: a candidate that it leaves out has minus infinity in the
target's row. One array of scores then serves every protocol.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.ranking import Block, first_not_finite, strike_out

FILTERED, RAW, TYPE_CONSTRAINED = 'filtered', 'raw', 'type_constrained'
PROTOCOLS = (FILTERED, RAW, TYPE_CONSTRAINED)
"""The candidates beside the target: all entities but known answers; all entities; of the filtered ones those that train
has seen with the relation, on the side that is asked for."""


class Standing(NamedTuple):
    """Where targets stand among their candidates, int32[..., T] each.

    Attributes:
        better: candidates that score higher.
        tied: other candidates that score the same.
        others: all candidates besides the target.
    """

    better: Int[Array, '... T']
    tied: Int[Array, '... T']
    others: Int[Array, '... T']


class Counts(NamedTuple):
    """The standings of a block, and the first score that is not finite.

    Attributes:
        standing: Standing of int32[rankings, T].
        bad_query: int32[], the first query with a score that is not finite, or -1.
        bad_entity: int32[], the candidate that has it.
    """

    standing: Standing
    bad_query: Int[Array, '']
    bad_entity: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class SeenWithRelation:
    """The entities that stand with a relation on one side, as sorted segments of one array, on the host.

    Attributes:
        start: int64[2R + 1]; those on side s of relation r are `entities[start[s * R + r] : start[s * R + r + 1]]`.
        entities: int64[...], ascending within each segment.
        num_entities: E.
    """

    start: np.ndarray
    entities: np.ndarray
    num_entities: int

    @classmethod
    def build(cls, triples: np.ndarray, *, num_entities: int, num_relations: int) -> 'SeenWithRelation':
        """Indexes int[N, 3] rows of (head, relation, tail), as a rule those of train."""
        head, relation, tail = np.asarray(triples, dtype=np.int64).reshape(-1, 3).T
        segment = np.concatenate([HEAD * num_relations + relation, TAIL * num_relations + relation])
        segment, entities = np.divmod(
            np.unique(segment * num_entities + np.concatenate([head, tail])), max(num_entities, 1)
        )
        return cls(np.searchsorted(segment, np.arange(2 * num_relations + 1)), entities, num_entities)

    def mask(self, side: np.ndarray, relation: np.ndarray) -> np.ndarray:
        """Whether each entity has been seen there, bool[Q, E] from int[Q] each."""
        num_relations = (len(self.start) - 1) // 2
        segments, row = np.unique(np.asarray(side, dtype=np.int64) * num_relations + relation, return_inverse=True)
        seen = np.zeros((len(segments), self.num_entities), dtype=bool)
        for i, segment in enumerate(segments):
            seen[i, self.entities[self.start[segment] : self.start[segment + 1]]] = True
        return seen[row]

    def contains(self, side: int, relation: np.ndarray, entity: np.ndarray) -> np.ndarray:
        """Whether each entity has been seen on a side of the relation, bool[N] from int[N] each."""
        num_relations = (len(self.start) - 1) // 2
        segments = np.repeat(np.arange(2 * num_relations), np.diff(self.start))
        wanted = (side * num_relations + np.asarray(relation, dtype=np.int64)) * self.num_entities + entity
        return np.isin(wanted, segments * self.num_entities + self.entities)


def stand(scores: Float[Array, 'Q E'], candidates: Sequence[Float[Array, 'Q E']], block: Block) -> Standing:
    """Compares each target with its candidates, in any number of rankings at once.

    Args:
        scores: finite plausibility of every entity, the targets' own.
        candidates: for each ranking the same scores, minus infinity where an entity is no candidate; whether a target
            is one of its own candidates makes no difference.
        block: the queries and their targets.

    Returns:
        Standing of int32[rankings, T].
    """

    # One array after the other: a reduction over their stack is three times slower on a CPU.
    def count(query_and_score):
        query, score = query_and_score
        rows = [array[query] for array in candidates]
        return [
            jnp.stack([jnp.sum(compare(row, score), dtype=jnp.int32) for row in rows])
            for compare in (jnp.greater, jnp.equal)
        ]

    better, tied = jax.lax.map(count, (block.query, scores[block.query, block.target]))
    number = jnp.stack([jnp.sum(array > -jnp.inf, axis=1, dtype=jnp.int32)[block.query] for array in candidates])
    itself = jnp.stack([array[block.query, block.target] > -jnp.inf for array in candidates]).astype(jnp.int32)
    return Standing(better.T, tied.T - itself, number - itself)


def count_by_protocol(
    scores: Float[Array, 'Q E'], block: Block, known: KnownTriples, seen: Bool[Array, 'Q E']
) -> Counts:
    """Where targets stand under each of PROTOCOLS, from one array of scores.

    Args:
        scores: plausibility of every entity as the answer of each of the block's queries.
        block: the queries and their targets.
        known: the triples to filter by.
        seen: from `SeenWithRelation.mask`.

    Returns:
        Counts, with Standing of int32[3, T] in the order of PROTOCOLS.
    """
    filtered = strike_out(scores, block.queries, known)
    candidates = (filtered, scores, jnp.where(seen, filtered, -jnp.inf))
    return Counts(stand(scores, candidates, block), *first_not_finite(scores))
