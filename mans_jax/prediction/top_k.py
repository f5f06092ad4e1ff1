"""The k best answers of queries, streamed over blocks of entities."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mans_jax.candidates import Candidates, score_blocks
from mans_jax.fusion import Views
from mans_jax.graph import KnownTriples
from mans_jax.prediction.embedded import Embedded, make_queries
from mans_jax.ranking import Queries, strike_out
from mans_jax.scoring import ScoreFunction


class Top(NamedTuple):
    """The best answers of Q queries, best first; of equal scores the entity with the lower id comes first.

    Attributes:
        entity: int32[Q, k], ids; E where fewer than k answers are left.
        score: float32[Q, k], minus infinity there.
        bad_query: int32[], a query with a score that is not finite, or -1.
        bad_entity: int32[], a candidate that has it.
    """

    entity: Int[Array, 'Q k']
    score: Float[Array, 'Q k']
    bad_query: Int[Array, '']
    bad_entity: Int[Array, '']


@partial(jax.jit, static_argnames=('score', 'k'))
def top_answers(
    score: ScoreFunction, embedded: Embedded, queries: Queries, k: int, known: KnownTriples, novel=False
) -> Top:
    """The k entities that score highest as answers of each query.

    Exact: what a stable sort of all E scores in descending order begins with. The best so far are merged with a block
    of C candidates at a time, or with as many blocks as hold k where that is more, so that memory grows with
    Q x (k + C) and not with Q x E, and time does not grow with E x k.

    Args:
        score: the score function.
        embedded: all entities, in blocks of C, and relations.
        queries: Queries of int32[Q]; where a function is exported, Q may be symbolic.
        k: how many answers, at most E.
        known: the triples that may be left out, of the same E entities.
        novel: whether they are, bool[]; one program serves both.

    Returns:
        Top.
    """
    start, count = known.find(*queries)
    left_out = start, jnp.where(novel, count, 0)
    views = make_queries(score, embedded, queries)
    best = best_of(score, views, embedded.entities, k, known, left_out, 0, known.num_entities)
    # A struck out candidate may stand among the last places of a query with fewer than k answers.
    return best._replace(entity=jnp.where(best.score > -jnp.inf, best.entity, known.num_entities))


def best_of(
    score: ScoreFunction,
    views: Views,
    candidates: Candidates,
    k: int,
    known: KnownTriples,
    left_out,
    first_id,
    size: int,
) -> Top:
    """`top_answers` among some entities; where there are fewer than k, what is left has a score of minus infinity.

    Args:
        score: the score function.
        views: of the queries, Views[Q, M, D].
        candidates: the entities, in blocks of C.
        k: how many answers.
        known: the triples that may be left out, of E entities.
        left_out: (start, count) of those of each query in `known`, int32[Q] each.
        first_id: the id of the first of the entities, those that follow having the ids that follow.
        size: how many there are, without what fills up the last block.
    """
    num_queries, (num_blocks, *_, columns) = views.present.shape[0], candidates.columns.shape
    num_entities, (start, count) = known.num_entities, left_out
    at_once = min(-(-k // columns), num_blocks)
    width = min(at_once * columns, size)

    def merge(best, first_block):
        # The last blocks are fewer: those before them are taken once more, and not counted.
        start_block = jnp.minimum(first_block, num_blocks - at_once)
        blocks = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start_block, at_once), candidates)
        place = start_block * columns + jnp.arange(width)
        first, entity = first_id + start_block * columns, first_id + place
        scores = score_blocks(score, views, blocks)[:, :width]
        is_entity = (place >= first_block * columns) & (place < size) & (entity < num_entities)
        bad = ~jnp.isfinite(scores) & is_entity
        # Minus zero would count as less than zero.
        scores = jnp.where(is_entity, jnp.where(scores == 0, 0.0, scores), -jnp.inf)
        # Of the known answers, only those among these candidates.
        before = known.below(start, count, first)
        within = known.below(start, count, first + width) - before
        scores = strike_out(scores, known, start + before, within, first)
        # What has come before stands in front, and has the lower ids: of equals `top_k` takes the first.
        pool = jnp.concatenate([best.score, scores], axis=1)
        entities = jnp.concatenate([best.entity, jnp.broadcast_to(entity, scores.shape)], axis=1)
        best_score, place = jax.lax.top_k(pool, k)
        query, column = jnp.divmod(jnp.argmax(bad), width)
        is_new = jnp.any(bad) & (best.bad_query < 0)
        return Top(
            entity=jnp.take_along_axis(entities, place, axis=1),
            score=best_score,
            bad_query=jnp.where(is_new, query, best.bad_query),
            bad_entity=jnp.where(is_new, first + column, best.bad_entity),
        ), None

    nothing = Top(
        entity=jnp.full((num_queries, k), num_entities, jnp.int32),
        score=jnp.full((num_queries, k), -jnp.inf, jnp.float32),
        bad_query=jnp.int32(-1),
        bad_entity=jnp.int32(-1),
    )
    return jax.lax.scan(merge, nothing, jnp.arange(0, num_blocks, at_once, dtype=jnp.int32))[0]
