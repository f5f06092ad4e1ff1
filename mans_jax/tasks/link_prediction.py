"""Filtered link prediction: the rank of the true head and of the true tail among all entities."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding
from mans_jax.protocols import SeenWithRelation, Standing, count_by_protocol
from mans_jax.ranking import count_better, pack, rank_metrics, ranks


class TripleCounts(NamedTuple):
    """The result for N triples, from which every rank and metric follows.

    Attributes:
        better: int64[2, N], candidates that score higher; the first row for the head, the second for the tail.
        tied: int64[2, N], other candidates that score the same.
    """

    better: np.ndarray
    tied: np.ndarray


class NonFiniteScore(InputError):
    """A score is NaN or infinite, so no rank means anything."""


def predict_links(
    model: MultiModalEmbedding,
    params: dict,
    frozen: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> TripleCounts:
    """Ranks the head and the tail of triples among all entities; compiles once for a model, whatever the triples.

    Args:
        model: the model that scores.
        params: its parameters.
        frozen: its features, from `frozen_variables`.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        progress: wraps the sequence of blocks, for a progress bar.

    Returns:
        TripleCounts, in the order of `triples`.

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    variables = {PARAMS: params, FROZEN: frozen}
    candidates = _embed_candidates(model, variables)

    def rank(block):
        counts = _rank_block(model, variables, candidates, known, block)
        return (counts.better, counts.tied), counts.bad_query, counts.bad_entity

    return TripleCounts(*over_blocks(rank, graph, triples, progress))


def stand_by_protocol(
    model: MultiModalEmbedding,
    params: dict,
    frozen: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Standing:
    """Where the head and the tail of triples stand under each of PROTOCOLS, in one pass; see `predict_links`.

    Returns:
        Standing of int64[3, 2, N], by protocol and by side; type-constrained candidates are those that the graph's
        train triples have on that side of the relation.

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    variables = {PARAMS: params, FROZEN: frozen}
    candidates = _embed_candidates(model, variables)
    seen = SeenWithRelation.build(graph.train, num_entities=graph.num_entities, num_relations=graph.num_relations)

    def rank(block):
        mask = seen.mask(block.queries.side, block.queries.relation)
        return _rank_block_by_protocol(model, variables, candidates, known, block, mask)

    return Standing(*over_blocks(rank, graph, triples, progress))


def over_blocks(rank: Callable, graph: KnowledgeGraph, triples: np.ndarray, progress=iter) -> tuple[np.ndarray, ...]:
    """Ranks both sides of triples, a block of `mans_jax.ranking.pack` at a time.

    Args:
        rank: Block -> (arrays int[..., T], bad query, bad candidate), as `mans_jax.protocols.Counts`.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail).
        progress: wraps the sequence of blocks.

    Returns:
        For each of the arrays int64[..., 2, N], in the order of `triples`.

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    blocks, position = pack(triples)
    found = None
    for index in progress(range(len(position))):
        block = jax.tree.map(lambda x, index=index: x[index], blocks)
        arrays, bad_query, bad_entity = jax.device_get(rank(block))
        if bad_query >= 0:
            _raise_non_finite(graph, block, bad_query, bad_entity)
        if found is None:
            found = [np.zeros((*array.shape[:-1], 2 * len(triples)), dtype=np.int64) for array in arrays]
        real = position[index] >= 0
        for all_of_them, array in zip(found, arrays, strict=True):
            all_of_them[..., position[index][real]] = array[..., real]
    return tuple(array.reshape(*array.shape[:-1], 2, -1) for array in found)


def link_prediction_metrics(counts: TripleCounts, ties: str = 'realistic') -> dict:
    """Metrics over both sides together, and of each side.

    Args:
        counts: from `predict_links`.
        ties: one of `mans_jax.ranking.TIES`.

    Returns:
        {'mrr', 'mean_rank', 'hits_at_1', 'hits_at_3', 'hits_at_10', 'head': {...}, 'tail': {...}, 'triples': N}.
    """
    by_side = ranks(counts.better, counts.tied, ties)
    return {
        **rank_metrics(by_side),
        'head': rank_metrics(by_side[HEAD]),
        'tail': rank_metrics(by_side[TAIL]),
        'triples': by_side.shape[1],
    }


@partial(jax.jit, static_argnames='model')
def _embed_candidates(model, variables):
    return model.apply(variables, method=model.candidates)


@partial(jax.jit, static_argnames='model')
def _rank_block(model, variables, candidates, known, block):
    scores = model.apply(variables, block.queries, candidates, method=model.score_candidates)
    return count_better(scores, block, known)


@partial(jax.jit, static_argnames='model')
def _rank_block_by_protocol(model, variables, candidates, known, block, seen):
    scores = model.apply(variables, block.queries, candidates, method=model.score_candidates)
    return count_by_protocol(scores, block, known, seen)


def _raise_non_finite(graph, block, bad_query, bad_entity):
    side, kept, relation = (int(ids[bad_query]) for ids in block.queries)
    candidate = graph.entities[bad_entity]
    kept, relation = graph.entities[kept], graph.relations[relation]
    head, tail = (candidate, kept) if side == HEAD else (kept, candidate)
    raise NonFiniteScore(
        f'the score of ({head}, {relation}, {tail}) is not finite: the training has diverged; '
        f'lower config.learning_rate, or look at the gradient norms in metrics.jsonl'
    )
