"""Filtered link prediction: the rank of the true head and of the true tail among all entities."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, PARAMS, Candidates, MultiModalEmbedding
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


def not_finite(triple: str) -> NonFiniteScore:
    """The error of a triple, given as text, whose score is not finite."""
    return NonFiniteScore(
        f'the score of {triple} is not finite: the training has diverged; '
        f'lower config.learning_rate, or look at the gradient norms in metrics.jsonl'
    )


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
    candidates = embed_candidates(model, variables)
    blocks, position = pack(triples)
    better, tied = np.zeros((2, 2 * len(triples)), dtype=np.int64)
    for index in progress(range(len(position))):
        block = jax.tree.map(lambda x, index=index: x[index], blocks)
        counts = jax.device_get(_rank_block(model, variables, candidates, known, block))
        if counts.bad_query >= 0:
            _raise_non_finite(graph, block, counts)
        real = position[index] >= 0
        better[position[index][real]], tied[position[index][real]] = counts.better[real], counts.tied[real]
    return TripleCounts(better.reshape(2, -1), tied.reshape(2, -1))


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


def _raise_non_finite(graph, block, counts):
    side, kept, relation = (int(ids[counts.bad_query]) for ids in block.queries)
    candidate = graph.entities[counts.bad_entity]
    kept, relation = graph.entities[kept], graph.relations[relation]
    head, tail = (candidate, kept) if side == HEAD else (kept, candidate)
    raise not_finite(f'({head}, {relation}, {tail})')
