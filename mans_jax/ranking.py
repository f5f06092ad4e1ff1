"""Exact filtered ranks, a block of queries at a time.

A rank compares the score of a target, the entity that answers a query, with the scores of all entities that are not
known answers. Everything is counted on one array of scores: targets and known answers are read and struck out where
they stand in it, so rounding can never put an entity before itself, and no mask of E x queries is made.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mans_jax import devices
from mans_jax.graph import HEAD, TAIL, KnownTriples

QUERIES_PER_BLOCK, TARGETS_PER_BLOCK = 128, 256
"""Defaults of `pack`: at 4 bytes a score, a block of 128 queries over 15,000 entities is 8 MB."""

_SCORES_PER_BLOCK, _FEWEST_QUERIES = 1 << 24, 8
"""Where a block has more queries than the fewest, its scores are at most so many, 64 MB; a few copies are made of them.
Those of the fewest queries take 32 bytes an entity, where a table of D=64 takes 256."""

_TIMES_ELSEWHERE = 32
"""How many times as many queries a GPU or TPU is given at once, and four times as many scores."""


class Queries(NamedTuple):
    """Questions (?, relation, kept) for side HEAD and (kept, relation, ?) for side TAIL, int32[...] each."""

    side: Int[Array, '...']
    kept: Int[Array, '...']
    relation: Int[Array, '...']


class Block(NamedTuple):
    """Distinct queries and the targets to be ranked under them, padded to a fixed size.

    Attributes:
        queries: Queries of int32[Q].
        query: int32[T], which of the queries a target answers.
        target: int32[T], entity ids.
    """

    queries: Queries
    query: Int[Array, 'T']
    target: Int[Array, 'T']


class Counts(NamedTuple):
    """What stands between a target and the first place.

    Attributes:
        better: int32[T], candidates that score higher.
        tied: int32[T], other candidates that score the same.
        bad_query: int32[], the first query with a score that is not finite, or -1.
        bad_entity: int32[], the candidate that has it.
    """

    better: Int[Array, 'T']
    tied: Int[Array, 'T']
    bad_query: Int[Array, '']
    bad_entity: Int[Array, '']


def count_better(scores: Float[Array, 'Q E'], block: Block, known: KnownTriples) -> Counts:
    """Counts, for each target, the candidates with a higher and with the same score, known answers left out.

    Args:
        scores: plausibility of every entity as the answer of each of the block's queries.
        block: the queries and their targets.
        known: the triples to filter by; whether it holds the targets themselves makes no difference.

    Returns:
        Counts.
    """
    bad_query, bad_entity = first_not_finite(scores)
    target_score = scores[block.query, block.target]
    scores = strike_out(scores, known, *known.find(*block.queries))
    # A target that is not known is still in its row, level with itself.
    itself = (scores[block.query, block.target] > -jnp.inf).astype(jnp.int32)

    better, tied = count_around(scores, block.query, target_score)
    return Counts(better, tied - itself, bad_query, bad_entity)


def count_around(
    scores: Float[Array, 'Q C'], query: Int[Array, 'T'], target_score: Float[Array, 'T']
) -> tuple[Int[Array, 'T'], Int[Array, 'T']]:
    """How many scores of a target's query are higher than the target's, and how many the same, int32[T] each."""

    def count(query_and_score):
        query, score = query_and_score
        return jnp.sum(scores[query] > score, dtype=jnp.int32), jnp.sum(scores[query] == score, dtype=jnp.int32)

    # One by one, a row of scores is read where it is in the cache.
    count_all = partial(jax.lax.map, count) if devices.on_cpu() else jax.vmap(count)
    return count_all((query, target_score))


def first_not_finite(scores: Float[Array, 'Q E']) -> tuple[Int[Array, ''], Int[Array, '']]:
    """The query and the candidate of the first score that is not finite, int32[] each; the query is -1 for none."""
    # By row first: a search for the place in all of them takes several times as long.
    is_bad = ~jnp.all(jnp.isfinite(scores), axis=1)
    query = jnp.argmax(is_bad)
    return jnp.where(jnp.any(is_bad), query, -1), jnp.argmin(jnp.isfinite(scores[query]))


def strike_out(
    scores: Float[Array, 'Q C'], known: KnownTriples, start: Int[Array, 'Q'], count: Int[Array, 'Q'], first=0
) -> Float[Array, 'Q C']:
    """Sets the scores of known answers to minus infinity, walking through the flat list of (query, answer).

    Args:
        scores: plausibility of the C entities from `first` on as the answer of each of Q queries.
        known: the index that holds the answers.
        start: where the answers of each query begin in `known.answers`, from `known.find`.
        count: how many there are; those that are not among the C entities change nothing.
        first: the id of the first of the C entities, int32[].
    """
    end, at_once = jnp.cumsum(count), devices.answers_at_once()

    def strike(step, scores):
        position = step * at_once + jnp.arange(at_once)
        # No binary search: it needs to know Q, which may be symbolic where a function is exported.
        row = jnp.sum(end <= position[:, None], axis=1)
        answer = known.answers.at[start[row] + position - (end - count)[row]].get(mode='clip')
        # Past the end of the list, `row` is out of range and the update is dropped. So is an answer that is not among
        # the C; a negative place would count from the end.
        column = jnp.where(answer < first, scores.shape[1], answer - first)
        return scores.at[row, column].set(-jnp.inf, mode='drop')

    return jax.lax.fori_loop(0, -(-end[-1] // at_once), strike, scores)


def block_sizes(num_candidates: int) -> tuple[int, int]:
    """How many queries and targets to pack together: as by default, or fewer where the candidates are many."""
    most, scores = QUERIES_PER_BLOCK, _SCORES_PER_BLOCK
    if not devices.on_cpu():
        most, scores = _TIMES_ELSEWHERE * most, 4 * scores
    fitting = max(_FEWEST_QUERIES, scores // num_candidates)
    num_queries = min(most, 1 << (fitting.bit_length() - 1))
    return num_queries, num_queries * TARGETS_PER_BLOCK // QUERIES_PER_BLOCK


def pack(
    triples: np.ndarray, num_queries: int = QUERIES_PER_BLOCK, num_targets: int = TARGETS_PER_BLOCK
) -> tuple[Block, np.ndarray]:
    """Packs both sides of triples into blocks in which every query is scored once, whatever number of answers it has.

    Args:
        triples: int[N, 3] rows of (head, relation, tail).
        num_queries: Q, distinct queries a block.
        num_targets: T, targets a block.

    Returns:
        A Block of stacked numpy arrays [blocks, ...], and int64[blocks, T]: the position of each target in the
        flattened [2, N] array of (side, triple), or -1 for padding.
    """
    head, relation, tail = np.asarray(triples, dtype=np.int64).T
    kept, target = np.stack([tail, head]), np.stack([head, tail])
    side = np.broadcast_to(np.array([[HEAD], [TAIL]]), kept.shape)
    columns = np.stack([side.ravel(), kept.ravel(), np.tile(relation, 2)])
    # One number a query: sorted several times as fast as three.
    number = np.ravel_multi_index(columns, columns.max(axis=1) + 1)
    order = np.argsort(number)
    columns, target, number = columns[:, order], target.ravel()[order], number[order]
    is_new = np.append(True, number[1:] != number[:-1])

    blocks = []
    for start, stop in _cut(is_new, num_queries, num_targets):
        new = is_new[start:stop].copy()
        new[0] = True
        queries = np.resize(columns[:, start:stop][:, new].T, (num_queries, 3)).T
        padding = num_targets - (stop - start)
        blocks.append(
            (
                queries,
                np.pad(np.cumsum(new) - 1, (0, padding)),
                np.pad(target[start:stop], (0, padding)),
                np.pad(order[start:stop], (0, padding), constant_values=-1),
            )
        )
    queries, query, target, position = (np.stack(arrays) for arrays in zip(*blocks, strict=True))
    side, kept, relation = (queries[:, i].astype(np.int32) for i in range(3))
    return Block(Queries(side, kept, relation), query.astype(np.int32), target.astype(np.int32)), position


def _cut(is_new, num_queries, num_targets):
    """Where blocks of at most so many distinct queries and targets start and stop."""
    query = np.cumsum(is_new)
    start = 0
    while start < len(query):
        stop = min(start + num_targets, int(np.searchsorted(query, query[start] + num_queries)))
        yield start, stop
        start = stop


TIES = ('realistic', 'optimistic', 'pessimistic')
"""How a target is placed among candidates of equal score: in the middle of them, before or behind them."""


def ranks(better: np.ndarray, tied: np.ndarray, ties: str = 'realistic') -> np.ndarray:
    """Ranks from counts: 1 + better, plus half, none or all of the tied candidates.

    The realistic rank is the mean of the optimistic and the pessimistic one. See "On the Ambiguity of Rank-Based
    Evaluation of Entity Alignment or Link Prediction Methods", Berrendorf et al., 2020 (arXiv 2002.06914).

    Args:
        better: int[...].
        tied: int[...].
        ties: one of TIES.

    Returns:
        float64[...], 1 is best.
    """
    share = {'realistic': 0.5, 'optimistic': 0.0, 'pessimistic': 1.0}[ties]
    return 1.0 + better + share * tied


def rank_metrics(ranks: np.ndarray) -> dict[str, float]:
    """Mean rank, mean reciprocal rank and the shares of ranks up to 1, 3 and 10.

    Args:
        ranks: float[...], all of them counted alike.

    Returns:
        {'mrr', 'mean_rank', 'hits_at_1', 'hits_at_3', 'hits_at_10'}.
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    hits = {f'hits_at_{k}': float(np.mean(ranks <= k)) for k in (1, 3, 10)}
    return {'mrr': float(np.mean(1 / ranks)), 'mean_rank': float(np.mean(ranks)), **hits}
