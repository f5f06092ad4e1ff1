"""Filtered link prediction where no device has all entities: blocks of candidates are fetched, ranked and forgotten."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.candidates import Candidates, score_blocks
from mans_jax.fusion import Views
from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.ranking import Counts, block_sizes, count_around, first_not_finite, pack, strike_out
from mans_jax.tasks.link_prediction import TripleCounts, count_blockwise

ENTITIES_PER_BLOCK = 1 << 16
"""With D=128 and two modalities, candidates of 67 MB."""


def predict_links_by_blocks(
    model: MultiModalEmbedding,
    variables_of: Callable[[np.ndarray, int], dict],
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
    room: int = ENTITIES_PER_BLOCK,
) -> TripleCounts:
    """`predict_links` with the entities taken from `variables_of`, a block after the other.

    The candidates are gone through twice: for the scores of the targets, and to be compared with these.

    Args:
        model: the model that scores.
        variables_of: (ids int[<= C], C) -> what a model of these C entities alone is applied to; what it has beyond
            the ids does not matter.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        progress: wraps the sequence of blocks, for a progress bar.
        room: C.
    """
    room = min(room, model.num_entities)
    part = model.clone(num_entities=room)
    blocks, position = pack(triples, *block_sizes(room))
    blocks = [jax.tree.map(lambda x, index=index: x[index], blocks) for index in range(len(position))]
    queries = [_embed_queries(model, variables_of, block) for block in blocks]
    scores = [jnp.zeros(block.target.shape) for block in blocks]
    counts = [Counts(*jnp.zeros((2, *block.target.shape), jnp.int32), jnp.int32(-1), jnp.int32(-1)) for block in blocks]
    firsts = range(0, model.num_entities, room)
    for turn in progress(range(2 * len(firsts))):
        is_second, place = divmod(turn, len(firsts))
        first = firsts[place]
        entities = np.arange(first, min(first + room, model.num_entities))
        candidates = _embed_candidates(part, variables_of(entities, room))
        for i, (block, asked) in enumerate(zip(blocks, queries, strict=True)):
            arguments = part, asked, candidates, block, first
            if is_second:
                counts[i] = _count(*arguments, known, scores[i], counts[i])
            else:
                scores[i] = _score_targets(*arguments, scores[i])

    counted = iter(counts)

    def take(block):
        found = next(counted)
        return TripleCounts(found.better, found.tied), found.bad_query, found.bad_entity

    return count_blockwise(take, graph, triples, num_candidates=room)


def _embed_queries(model, variables_of, block) -> Views:
    side, kept, relation = block.queries
    return _query(model.clone(num_entities=len(kept)), variables_of(kept, len(kept)), side, relation)


@partial(jax.jit, static_argnames='model')
def _query(model, variables, side, relation):
    return model.apply(variables, side, jnp.arange(side.shape[0]), relation, method=model.query)


@partial(jax.jit, static_argnames='model')
def _embed_candidates(model, variables) -> Candidates:
    return model.apply(variables, method=model.candidates)


def _scores(part, queries, candidates):
    return score_blocks(part.score, queries, candidates)[:, : part.num_entities]


def _own(scores, block, first):
    """Which targets are among the candidates, and their scores."""
    place = block.target - first
    is_own = (place >= 0) & (place < scores.shape[1])
    return is_own, scores[block.query, jnp.where(is_own, place, 0)]


@partial(jax.jit, static_argnames='part')
def _score_targets(part, queries, candidates, block, first, found):
    is_own, score = _own(_scores(part, queries, candidates), block, first)
    return jnp.where(is_own, score, found)


@partial(jax.jit, static_argnames='part')
def _count(part, queries, candidates, block, first, known, target_score, before) -> Counts:
    """`ranking.count_better` of the candidates from `first` on, added to those before."""
    scores = _scores(part, queries, candidates)
    real = first + jnp.arange(part.num_entities) < known.num_entities
    bad_query, bad_entity = first_not_finite(jnp.where(real, scores, 0))
    scores = strike_out(jnp.where(real, scores, -jnp.inf), known, *known.find(*block.queries), first)
    is_own, own = _own(scores, block, first)
    itself = is_own & (own > -jnp.inf)

    better, tied = count_around(scores, block.query, target_score)
    is_first_bad = (bad_query >= 0) & ((before.bad_query < 0) | (bad_query < before.bad_query))
    return Counts(
        before.better + better,
        before.tied + tied - itself,
        jnp.where(is_first_bad, bad_query, before.bad_query),
        jnp.where(is_first_bad, first + bad_entity, before.bad_entity),
    )
