"""Filtered link prediction: the rank of the true head and of the true tail among all entities."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import numpy as np

from mans_jax.candidates import Candidates
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding
from mans_jax.ranking import count_better, rank_metrics, ranks
from mans_jax.tasks.link_prediction_by_blocks import candidates_at_once, parts_of, predict_links_by_blocks
from mans_jax.tasks.query_blocks import TripleCounts, count_blockwise


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
    room = candidates_at_once(model)
    if room < model.num_entities:
        return predict_links_by_blocks(model, parts_of(model, variables, room), graph, triples, known, progress)
    candidates = embed_candidates(model, variables)

    def count(block):
        counts = _rank_block(model, variables, candidates, known, block)
        return TripleCounts(counts.better, counts.tied), counts.bad_query, counts.bad_entity

    return count_blockwise(count, graph, triples, progress)


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
def embed_candidates(model: MultiModalEmbedding, variables: dict) -> Candidates:
    """`model.candidates`, compiled: all entities in blocks of columns."""
    return model.apply(variables, method=model.candidates)


@partial(jax.jit, static_argnames='model')
def _rank_block(model, variables, candidates, known, block):
    scores = model.apply(variables, block.queries, candidates, method=model.score_candidates)
    return count_better(scores, block, known)
