"""Cross-modal link prediction: the head seen through one modality and the tail through another."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.errors import NotServable
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.rank_statistics import estimate, rank_columns
from mans_jax.ranking import first_not_finite, strike_out
from mans_jax.tasks.link_prediction import embed_candidates
from mans_jax.tasks.protocols import Tally, tally_targets
from mans_jax.tasks.query_blocks import count_blockwise


def rank_across(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Tally:
    """Ranks the head and the tail of triples by every pair of modalities alone, in one pass over the queries.

    Candidates are the entities that have the modality they are seen through and are no known answers. What is counted
    for a triple whose head or tail lacks its modality means nothing.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph, whose `present` says who has what.
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        progress: wraps the sequence of blocks, for a progress bar.

    Returns:
        Tally of int64[M, M, 2, N]: by modality of the head, then of the tail; first for the heads, then for the tails.

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    candidates, present = embed_candidates(model, variables), jnp.asarray(graph.present)

    def count(block):
        return _tally_block(model, variables, candidates, known, present, block)

    counts = count_blockwise(count, graph, triples, progress)
    num = len(graph.modalities)
    kept_first = [x.reshape(num, num, 2, -1) for x in counts]
    # For tails the kept entity is the head, for heads it is the tail.
    by_side = [np.stack([x[:, :, HEAD].swapaxes(0, 1), x[:, :, TAIL]], axis=2) for x in kept_first]
    return Tally(*by_side)


def cross_modal(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    ties: str = 'realistic',
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Link prediction by each pair of modalities, a pair of equal ones being a modality alone.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph.
        triples: int[N, 3], those that are judged.
        known: the triples to filter by.
        ties: one of `mans_jax.ranking.TIES`.
        seed: of the bootstrap intervals.
        progress: wraps the sequence of blocks, for a progress bar.

    Returns:
        Modality of the head -> modality of the tail -> result of both sides as in `Estimate.describe`, with 'head' and
        'tail'; over the triples whose head and tail have these modalities, None where there are none.

    Raises:
        NotServable: the graph has no modality but structure.
    """
    if not graph.features:
        raise NotServable(f'{graph.name} is read without any modality beside structure, so that there is no pair')
    tallies = rank_across(model, variables, graph, triples, known, progress)
    has_head, has_tail = (graph.present[triples[:, column]] for column in (0, 2))
    result = {}
    for a, of_head in enumerate(graph.modalities):
        result[of_head] = {}
        for b, of_tail in enumerate(graph.modalities):
            rows = has_head[:, a] & has_tail[:, b]
            columns = rank_columns(*(x[a, b][:, rows] for x in tallies), ties).swapaxes(0, 1)
            result[of_head][of_tail] = _describe(columns, seed) if rows.any() else None
    return result


def _describe(columns, seed):
    found = estimate(columns, seed)
    sides = {name: found.map(lambda x, s=side: x[..., s, :]).describe() for name, side in (('head', 0), ('tail', 1))}
    return found.map(lambda x: x.mean(axis=-2)).describe() | sides


@partial(jax.jit, static_argnames='model')
def _tally_block(model, variables, candidates, known, present, block):
    queries = model.apply(variables, *block.queries, method=model.query).vectors
    start, count = known.find(*block.queries)
    num_queries, num = queries.shape[:2]

    def tally_pair(pair):
        kept, other = pair
        query = queries[:, kept]
        scores = jax.lax.map(lambda columns: model.score.compare_all(query, columns), candidates.columns[:, other])
        scores = jnp.moveaxis(scores, 0, 1).reshape(num_queries, -1)[:, : model.num_entities]
        # Whoever lacks a modality is neither asked nor an answer: only the others need a finite score.
        asked = present[block.queries.kept, kept][:, None] & present[:, other]
        bad = first_not_finite(jnp.where(asked, scores, 0.0))
        left = strike_out(jnp.where(present[:, other], scores, -jnp.inf), known, start, count)
        return tally_targets((left,), scores[block.query, block.target], block)[0], *bad

    pairs = jnp.stack(jnp.meshgrid(jnp.arange(num), jnp.arange(num), indexing='ij')).reshape(2, -1)
    tallies, bad_query, bad_entity = jax.lax.map(tally_pair, (pairs[0], pairs[1]))
    first = jnp.argmax(bad_query >= 0)
    return tallies, bad_query[first], bad_entity[first]
