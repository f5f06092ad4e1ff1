"""Relation prediction: the rank of the true relation between a head and a tail among all relations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.blocks import padded, relation_scores
from mans_jax.errors import NotServable, not_finite
from mans_jax.graph import KnowledgeGraph, KnownTriples, Triple
from mans_jax.models import MultiModalEmbedding
from mans_jax.rank_statistics import estimate, rank_columns
from mans_jax.tasks.protocols import Tally

_TRIPLES_PER_BLOCK = 128


def predict_relations(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    modality: int | None = None,
) -> Tally:
    """Ranks the relation of triples among those that make no other known triple of the same head and tail.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        modality: the one that head and tail are seen through, which both must have; None for all.

    Returns:
        Tally of int64[N].

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    through = np.ones(len(graph.modalities), bool) if modality is None else np.arange(len(graph.modalities)) == modality
    parts = []
    for block, real in padded(np.asarray(triples, dtype=np.int32), _TRIPLES_PER_BLOCK):
        counts, bad = jax.device_get(_tally_block(model, variables, Triple.from_rows(block), known, through))
        if bad.any():
            row, relation = np.argwhere(bad)[0]
            raise not_finite(graph.describe(np.array([block[row, 0], relation, block[row, 2]])))
        parts.append(Tally(*(x[:real].astype(np.int64) for x in counts)))
    return Tally(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def relation_prediction(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    ties: str = 'realistic',
    seed: int = 0,
) -> dict:
    """Relation prediction through all modalities together, and through each alone.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph.
        triples: int[N, 3], those that are judged.
        known: the triples to filter by.
        ties: one of `mans_jax.ranking.TIES`.
        seed: of the bootstrap intervals.

    Returns:
        {'all': result, modality: result for each}, as in `Estimate.describe`; the triples of a modality are those whose
        head and tail both have it, and a modality without one is None.

    Raises:
        NotServable: there is one relation, so that nothing can be mistaken.
    """
    if graph.num_relations < 2:
        raise NotServable(f'{graph.name} has a single relation, which nothing can be mistaken for')

    def result(rows, modality):
        if not len(rows):
            return None
        tally = predict_relations(model, variables, graph, rows, known, modality)
        return estimate(rank_columns(*tally, ties), seed).describe()

    found = {'all': result(triples, None)}
    for m, name in enumerate(graph.modalities if graph.features else ()):
        found[name] = result(triples[graph.present[triples[:, [0, 2]], m].all(axis=1)], m)
    return found


@partial(jax.jit, static_argnames='model')
def _tally_block(model, variables, triples, known, through):
    scores = relation_scores(model, variables, triples.head, triples.tail, through)
    bad = ~jnp.isfinite(scores)
    every = jnp.arange(scores.shape[1])
    head, relation, tail = jnp.broadcast_arrays(triples.head[:, None], every, triples.tail[:, None])
    other = (relation != triples.relation[:, None]) & ~known.contains(Triple(head, relation, tail))
    target = jnp.take_along_axis(scores, triples.relation[:, None], axis=1)
    counts = (other & (scores > target), other & (scores == target), other)
    return Tally(*(jnp.sum(x, axis=1, dtype=jnp.int32) for x in counts)), bad
