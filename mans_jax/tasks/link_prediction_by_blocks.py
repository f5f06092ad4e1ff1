"""Filtered link prediction where not all entities are candidates at once: blocks are laid out, ranked and forgotten."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax import devices
from mans_jax.candidates import Candidates, score_blocks
from mans_jax.fusion import Views
from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.ranking import Block, Counts, Queries, block_sizes, count_around, first_not_finite, pack, strike_out
from mans_jax.tasks.query_blocks import TripleCounts, count_blockwise

_NUMBERS_OF_QUERIES = 1 << 26
"""So many numbers the vectors of queries may have that are ranked together, 256 MB: the next ones are then ranked, for
which all candidates are gone through once more."""


class Parts(NamedTuple):
    """What is seen of a model's entities at a time.

    Attributes:
        room: C, how many are candidates together.
        candidates: (id of the first) -> Candidates, C of them from it on; those beyond the last entity do not matter.
        queries: (Queries of Q) -> Views[Q, M, D], as of `model.query`.
    """

    room: int
    candidates: Callable[[int], Candidates]
    queries: Callable[[Queries], Views]


def candidates_at_once(model: MultiModalEmbedding) -> int:
    """How many entities to lay out as candidates together: all, while that takes no more than 256 MB on a CPU.

    Else so many that it takes 64 MB. Elsewhere it is 16 times as much.
    """
    each = model.dim * (1 + len(model.feature_widths))
    times = 1 if devices.on_cpu() else 16
    if model.num_entities * each <= times << 26:
        return model.num_entities
    return max((times << 24) // each, 1)


def fetched_at_once(model: MultiModalEmbedding) -> int:
    """How many entities to bring from the host together: so many that their rows, features too, take 64 MB."""
    each = model.dim + sum(width for _, width in model.feature_widths)
    return min(max((1 << 24) // each, 1), model.num_entities)


def parts_of(model: MultiModalEmbedding, variables: dict, room: int) -> Parts:
    """Parts of a model whose tables are on the device; C of them are copied at a time."""
    return Parts(
        room,
        lambda first: _lay_out(model, variables, jnp.int32(first), room),
        lambda queries: _query(model, variables, *queries),
    )


def parts_from_host(model: MultiModalEmbedding, variables_of: Callable[[np.ndarray, int], dict], room: int) -> Parts:
    """Parts of a model whose tables are on the host.

    Args:
        model: the model.
        variables_of: (ids int[<= N], N) -> what a model of N entities, the first of them these, is applied to.
        room: C.
    """
    part = model.clone(num_entities=room)

    def candidates(first):
        ids = np.arange(first, min(first + room, model.num_entities))
        return _lay_out(part, variables_of(ids, room), jnp.int32(0), room)

    def queries(queries):
        side, kept, relation = queries
        of_kept = model.clone(num_entities=len(kept))
        return _query(of_kept, variables_of(kept, len(kept)), side, np.arange(len(kept), dtype=np.int32), relation)

    return Parts(room, candidates, queries)


def predict_links_by_blocks(
    model: MultiModalEmbedding,
    parts: Parts,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> TripleCounts:
    """`predict_links` in memory that grows neither with the entities nor with the triples.

    The candidates are gone through twice, for the scores of the targets and to be compared with these; or more often,
    where there are so many queries that their vectors take more than 256 MB.

    Args:
        model: the model that scores.
        parts: how its entities are seen.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        progress: wraps the sequence of blocks, for a progress bar.
    """
    blocks, position = pack(triples, *block_sizes(parts.room))
    blocks = [jax.tree.map(lambda x, index=index: x[index], blocks) for index in range(len(position))]
    each = blocks[0].queries.kept.size * model.dim * (1 + len(model.feature_widths))
    together = max(_NUMBERS_OF_QUERIES // each, 1)
    groups = [blocks[start : start + together] for start in range(0, len(blocks), together)]
    firsts = range(0, model.num_entities, parts.room)
    turns = iter(progress(range(len(groups) * 2 * len(firsts))))
    # A group is ranked when the first of its blocks is asked for.
    counted = (counts for group in groups for counts in _rank(model, parts, known, group, firsts, turns))

    def take(block):
        found = next(counted)
        return TripleCounts(found.better, found.tied), found.bad_query, found.bad_entity

    counts = count_blockwise(take, graph, triples, num_candidates=parts.room)
    next(turns, None)
    return counts


def _rank(model, parts, known, blocks, firsts, turns) -> list[Counts]:
    """The counts of some blocks of queries; a turn is taken for every look at a block of candidates."""
    queries = [parts.queries(block.queries) for block in blocks]
    scores = [jnp.zeros(block.target.shape) for block in blocks]
    counts = [Counts(*jnp.zeros((2, *block.target.shape), jnp.int32), jnp.int32(-1), jnp.int32(-1)) for block in blocks]
    before = None
    for is_second in (False, True):
        for first, _ in zip(firsts, turns, strict=False):
            candidates = parts.candidates(first)
            for i, (block, asked) in enumerate(zip(blocks, queries, strict=True)):
                arguments = model.score, parts.room, asked, candidates, block, first
                if is_second:
                    counts[i] = _count(*arguments, known, scores[i], counts[i])
                else:
                    scores[i] = _score_targets(*arguments, scores[i])
            # One block of candidates is laid out while another is ranked, and no more of them.
            jax.block_until_ready(before)
            before = counts[-1] if is_second else scores[-1]
    return jax.device_get(counts)


@partial(jax.jit, static_argnames='model')
def _query(model, variables, side, kept, relation) -> Views:
    return model.apply(variables, side, kept, relation, method=model.query)


@partial(jax.jit, static_argnames=('model', 'room'))
def _lay_out(model, variables, first, room) -> Candidates:
    return model.apply(variables, first, room, method=model.some_candidates)


def _scores(score, room, queries, candidates):
    return score_blocks(score, queries, candidates)[:, :room]


def _own(scores, block, first):
    """Which targets are among the candidates, and their scores."""
    place = block.target - first
    is_own = (place >= 0) & (place < scores.shape[1])
    return is_own, scores[block.query, jnp.where(is_own, place, 0)]


@partial(jax.jit, static_argnames=('score', 'room'))
def _score_targets(score, room, queries, candidates, block: Block, first, found):
    is_own, of_target = _own(_scores(score, room, queries, candidates), block, first)
    return jnp.where(is_own, of_target, found)


@partial(jax.jit, static_argnames=('score', 'room'))
def _count(score, room, queries, candidates, block: Block, first, known, target_score, before) -> Counts:
    """`ranking.count_better` of the candidates from `first` on, added to those before."""
    scores = _scores(score, room, queries, candidates)
    real = first + jnp.arange(room) < known.num_entities
    bad_query, bad_entity = first_not_finite(jnp.where(real, scores, 0))
    scores = strike_out(jnp.where(real, scores, -jnp.inf), known, *known.find(*block.queries), first)
    is_own, own = _own(scores, block, first)
    better, tied = count_around(scores, block.query, target_score)
    # However another program may have rounded its score: the target is not before itself, nor level with itself.
    better, tied = better - (is_own & (own > target_score)), tied - (is_own & (own == target_score))
    is_first_bad = (bad_query >= 0) & ((before.bad_query < 0) | (bad_query < before.bad_query))
    return Counts(
        before.better + better,
        before.tied + tied,
        jnp.where(is_first_bad, bad_query, before.bad_query),
        jnp.where(is_first_bad, first + bad_entity, before.bad_entity),
    )
