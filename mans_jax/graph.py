"""Triples, the graph on the host, and the device index of known triples that exact filtering rests on."""

import dataclasses
import hashlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int

from mans_jax import devices

HEAD, TAIL = 0, 1
"""The side of a triple that a query asks for, a corruption replaces and a rank is about."""

STRUCTURE = 'structure'
"""The name of modality 0, the learned row of an entity."""


@struct.dataclass
class Triple:
    """Facts (head, relation, tail), each an int32 array of ids, all three of one shape."""

    head: Int[Array, '...']
    relation: Int[Array, '...']
    tail: Int[Array, '...']

    @classmethod
    def from_rows(cls, rows) -> 'Triple':
        """Splits int[..., 3] rows of (head, relation, tail) ids."""
        return cls(rows[..., 0], rows[..., 1], rows[..., 2])


@dataclasses.dataclass(frozen=True)
class KnowledgeGraph:
    """A graph on the host: what the readers in `mans_jax.data` make and everything else starts from.

    Attributes:
        name: a short name for logs.
        entities: E labels; the position is the id.
        relations: R labels; the position is the id.
        train: int32[N, 3] rows of (head, relation, tail) ids.
        valid: like train.
        test: like train.
        features: modality name to float32[E, F]; a row without data is all zeros and marked absent in `present`.
        present: bool[E, M], whether an entity has modality m; column 0 is structure, then `features` in order.
    """

    name: str
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    features: Mapping[str, np.ndarray]
    present: np.ndarray

    @property
    def num_entities(self) -> int:
        """E."""
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        """R."""
        return len(self.relations)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The M modality names, structure first."""
        return (STRUCTURE, *self.features)

    def split(self, name: str) -> np.ndarray:
        """The triples int32[N, 3] of 'train', 'valid' or 'test'."""
        return {'train': self.train, 'valid': self.valid, 'test': self.test}[name]

    def describe(self, triple: np.ndarray) -> str:
        """A triple of ids as '(head label, relation label, tail label)'."""
        head, relation, tail = (int(i) for i in triple)
        return f'({self.entities[head]}, {self.relations[relation]}, {self.entities[tail]})'

    def checksum(self) -> str:
        """SHA-256 over labels, splits, features and presence, in hexadecimal; equal graphs give equal sums."""
        digest = hashlib.sha256()
        for labels in (self.entities, self.relations, self.modalities):
            digest.update('\n'.join(labels).encode() + b'\0')
        for array in (self.train, self.valid, self.test, *self.features.values(), self.present):
            digest.update(f'{array.dtype}{array.shape}'.encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@struct.dataclass
class KnownTriples:
    """The answers of every query (side, kept entity, relation), as sorted segments of one array.

    The index behind exact filtering, in sampling and in ranking. A pytree of int32 arrays: it passes through jit, and
    no step of it needs rejection, hashing or a mask of E entities. With P distinct queries and N distinct triples:

    Attributes:
        query_start: int32[2E + 1]; the queries that keep entity e and ask for side s are
            `query_start[s * E + e] : query_start[s * E + e + 1]`.
        query_relation: int32[P + 1], ascending within each kept entity; the last one is padding, here and below.
        answer_start: int32[P + 1]; query p is answered by `answers[answer_start[p] : answer_start[p + 1]]`.
        answers: int32[2N + 1], ascending within each query.
        unknown_below: int32[2N + 1], how many entities below an answer are not answers of the same query.
        num_entities: E.
        num_relations: R.
        max_queries: the most queries that any entity keeps.
        max_answers: the most answers that any query has.
    """

    query_start: Int[Array, 'twoE_plus_1']
    query_relation: Int[Array, 'P_plus_1']
    answer_start: Int[Array, 'P_plus_1']
    answers: Int[Array, 'twoN_plus_1']
    unknown_below: Int[Array, 'twoN_plus_1']
    num_entities: int = struct.field(pytree_node=False)
    num_relations: int = struct.field(pytree_node=False)
    max_queries: int = struct.field(pytree_node=False)
    max_answers: int = struct.field(pytree_node=False)

    @classmethod
    def build(cls, triples, *, num_entities: int, num_relations: int | None = None) -> 'KnownTriples':
        """Indexes triples on the host, duplicates counted once.

        Args:
            triples: int[N, 3] rows of (head, relation, tail) ids, or a `Triple` of int[N].
            num_entities: E.
            num_relations: R; by default one more than the largest relation id.

        Raises:
            ValueError: an id is negative or not below E or R.
        """
        if isinstance(triples, Triple):
            triples = np.stack([triples.head, triples.relation, triples.tail], axis=-1)
        head, relation, tail = np.asarray(triples, dtype=np.int64).reshape(-1, 3).T
        if num_relations is None:
            num_relations = int(relation.max(initial=-1)) + 1
        for what, ids, bound in (('entity', (head, tail), num_entities), ('relation', (relation,), num_relations)):
            for values in ids:
                if values.size and (values.min() < 0 or values.max() >= bound):
                    wrong = values[(values < 0) | (values >= bound)][0]
                    raise ValueError(f'{what} id {wrong} is not in [0, {bound})')
        kept = np.concatenate([tail + HEAD * num_entities, head + TAIL * num_entities])
        answer = np.concatenate([head, tail])
        query = kept * num_relations + np.concatenate([relation, relation])
        query, answer = np.divmod(np.unique(query * num_entities + answer), num_entities)
        queries, start = np.unique(query, return_index=True)
        kept, relation = np.divmod(queries, max(num_relations, 1))
        query_start = np.searchsorted(kept, np.arange(2 * num_entities + 1))
        answer_start = np.append(start, len(answer))
        count = np.diff(answer_start)
        rank_in_query = np.arange(len(answer)) - np.repeat(start, count)
        # One more element than there are values, so that a gather has something to read in an empty index.
        relation, answer, unknown_below = (np.append(a, 0) for a in (relation, answer, answer - rank_in_query))
        arrays = (query_start, relation, answer_start, answer, unknown_below)
        return cls(
            *(jnp.asarray(a, dtype=jnp.int32) for a in arrays),
            num_entities=num_entities,
            num_relations=num_relations,
            max_queries=int(np.diff(query_start).max(initial=0)),
            max_answers=int(count.max(initial=0)),
        )

    def find(self, side, kept, relation) -> tuple[Int[Array, '...'], Int[Array, '...']]:
        """Where the answers of queries stand in `answers`.

        Args:
            side: HEAD or TAIL, the side asked for; int[...].
            kept: the entity on the other side, int[...].
            relation: int[...]; the three broadcast.

        Returns:
            (start, count), int32[...] each; a query without a known answer has count 0.
        """
        query, found = self.find_query(side, kept, relation)
        start, stop = self.answer_start.at[query].get(mode='clip'), self.answer_start.at[query + 1].get(mode='clip')
        return start, jnp.where(found, stop - start, 0)

    def find_query(self, side, kept, relation) -> tuple[Int[Array, '...'], Bool[Array, '...']]:
        """The numbers of queries, which stand in the order of (side, kept entity, relation).

        Args:
            side: HEAD or TAIL, the side asked for; int[...].
            kept: the entity on the other side, int[...].
            relation: int[...]; the three broadcast.

        Returns:
            (query int32[...], known bool[...]); a query without a known answer has no number.
        """
        # A corruption's side is int8, in which the anchor would overflow.
        side = jnp.asarray(side, dtype=jnp.int32)
        side, kept, relation = jnp.broadcast_arrays(side, kept, relation)
        anchor = side * self.num_entities + kept
        first, end = self.query_start[anchor], self.query_start[anchor + 1]
        query = first + count_below(self.query_relation, first, end - first, relation, self.max_queries)
        return query, (query < end) & (self.query_relation[query] == relation)

    def contains(self, triples: Triple) -> Bool[Array, '...']:
        """Whether each triple is known; bool of the triples' shape."""
        return self.answered(*self.find(TAIL, triples.head, triples.relation), triples.tail)

    def answered(self, start, count, entity) -> Bool[Array, '...']:
        """Whether entities answer queries.

        Args:
            start: from `find`, int32[...].
            count: from `find`, int32[...].
            entity: int32[...]; the three broadcast.
        """
        position = start + self.below(start, count, entity)
        return (position < start + count) & (self.answers[position] == entity)

    def answers_among(self, start, count, entities: Int[Array, 'C']) -> Bool[Array, 'Q C']:
        """Which of C distinct entities, the same for all queries, are known answers.

        Walks through the flat list of (query, answer), so that it costs what there are answers, not Q x C.

        Args:
            start: from `find`, int32[Q].
            count: from `find`, int32[Q].
            entities: ids, all different.
        """
        column = jnp.full(self.num_entities, entities.shape[0]).at[entities].set(jnp.arange(entities.shape[0]))
        end, at_once = jnp.cumsum(count), devices.answers_at_once()

        def mark(step, marks):
            position = step * at_once + jnp.arange(at_once)
            row = jnp.searchsorted(end, position, side='right')
            answer = self.answers.at[start[row] + position - (end - count)[row]].get(mode='clip')
            # Past the end of the list the row is out of range, of another entity the column: the update is dropped.
            return marks.at[row, column[answer]].set(True, mode='drop')

        marks = jnp.zeros((start.shape[0], entities.shape[0]), bool)
        return jax.lax.fori_loop(0, -(-end[-1] // at_once), mark, marks)

    def below(self, start, count, bound) -> Int[Array, '...']:
        """How many answers of a query are entities with an id below `bound`; they stand first in its segment.

        Args:
            start: from `find`, int32[...].
            count: from `find`, int32[...].
            bound: int32[...]; the three broadcast.
        """
        return count_below(self.answers, start, count, bound, self.max_answers)

    def unknown(self, start, count, index) -> Int[Array, '...']:
        """The entity that stands at `index` among those that do not answer a query, in ascending order.

        With index uniform in [0, E - count), every non-answer is equally likely: filtering without rejection.

        Args:
            start: from `find`, int32[...].
            count: from `find`, int32[...].
            index: int32[...] in [0, E - count); the three broadcast.

        Returns:
            Entity ids, int32[...].
        """
        return index + count_below(self.unknown_below, start, count, index + 1, self.max_answers)


def count_below(values, start, count, bound, max_count: int) -> Int[Array, '...']:
    """How many of the ascending `values[start : start + count]` are below `bound`, by a fixed number of halvings.

    Args:
        values: int[N].
        start: int32[...].
        count: int32[...].
        bound: int32[...]; the three broadcast.
        max_count: the most that any `count` is.
    """
    start, count, bound = jnp.broadcast_arrays(start, count, bound)
    low, high = jnp.zeros_like(count), count

    def halve(_, low_high):
        low, high = low_high
        middle = (low + high) // 2
        below = (low < high) & (values.at[start + middle].get(mode='clip') < bound)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    # A device with kernels to start runs one for all rounds sooner than one for each.
    low, _ = jax.lax.fori_loop(0, max_count.bit_length(), halve, (low, high), unroll=not devices.on_cpu())
    return low
