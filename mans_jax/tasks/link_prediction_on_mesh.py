"""Filtered link prediction on a mesh: every shard ranks the entities that it has, and only numbers are added up."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from mans_jax.candidates import Candidates, score_blocks
from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding
from mans_jax.ranking import Counts, count_around, first_not_finite, strike_out
from mans_jax.sharding import ENTITY, padded, table_specs
from mans_jax.tasks.query_blocks import TripleCounts, count_blockwise

_NOWHERE = np.iinfo(np.int32).max


class Shard(NamedTuple):
    """What one shard has to do with a block of queries and targets; entities are numbered from its first on.

    Attributes:
        scores: float32[Q, C], of its entities as the answer of each query; minus infinity in the padding.
        first: int32[], the id of the first of them.
        place: int32[T], where a target stands among them, or 0.
        is_own: bool[T], whether it does.
        target_score: float32[T], the score of each target, whichever shard has it.
    """

    scores: Float[Array, 'Q C']
    first: Int[Array, '']
    place: Int[Array, 'T']
    is_own: Bool[Array, 'T']
    target_score: Float[Array, 'T']


def predict_links_on_mesh(
    model: MultiModalEmbedding,
    params: dict,
    frozen: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> TripleCounts:
    """`predict_links` for parameters and features that `sharding.place` has put on the mesh of the model.

    The shards along the data axis, which have the same entities, do the same.
    """
    variables = {PARAMS: params, FROZEN: frozen}
    candidates = embed_candidates_on_mesh(model, variables)

    def count(block):
        counts = _rank_block(model, variables, candidates, known, block)
        return TripleCounts(counts.better, counts.tied), counts.bad_query, counts.bad_entity

    return count_blockwise(count, graph, triples, progress, rows_of_shard(model))


@partial(jax.jit, static_argnames='model')
def embed_candidates_on_mesh(model: MultiModalEmbedding, variables: dict) -> Candidates:
    """`embed_candidates` by shard: blocks of a shard's entities, the last of them padded, stand beside the next's."""
    own = model.clone(num_entities=rows_of_shard(model), mesh=None)

    def embed(variables):
        return own.apply(variables, method=own.candidates)

    specs = table_specs(variables)
    return jax.shard_map(embed, mesh=model.mesh, in_specs=(specs,), out_specs=PartitionSpec(ENTITY))(variables)


def rows_of_shard(model: MultiModalEmbedding) -> int:
    """How many entities a shard has, the padding among them."""
    return padded(model.num_entities, model.mesh) // model.mesh.shape[ENTITY]


def count_by_shard(model, variables, candidates, known, block, count: Callable, *others):
    """Within a program: has every shard score its candidates and count among them.

    Args:
        model: the model, on a mesh.
        variables: its parameters and features.
        candidates: from `embed_candidates_on_mesh`.
        known: the triples to filter by.
        block: the queries and their targets.
        count: (Shard, known, block, the others) -> a pytree of numbers, to be added up over shards.
        others: arrays that `count` wants to see.

    Returns:
        (the pytree; the first query with a score that is not finite, or -1; the first such candidate).
    """
    queries = model.apply(variables, *block.queries, method=model.query)
    num_rows = rows_of_shard(model)

    def of_shard(queries, candidates, known, block, *others):
        first = jax.lax.axis_index(ENTITY) * num_rows
        scores = score_blocks(model.score, queries, candidates)[:, :num_rows]
        real = first + jnp.arange(num_rows) < model.num_entities
        bad = _first_bad(*first_not_finite(jnp.where(real, scores, 0)), first)
        shard = _shard(jnp.where(real, scores, -jnp.inf), first, block)
        return jax.lax.psum(count(shard, known, block, *others), ENTITY), *bad

    everywhere = PartitionSpec()
    in_specs = (everywhere, PartitionSpec(ENTITY), *[everywhere] * (2 + len(others)))
    return jax.shard_map(of_shard, mesh=model.mesh, in_specs=in_specs, out_specs=everywhere, check_vma=False)(
        queries, candidates, known, block, *others
    )


def count_around_targets(shard: Shard, scores: Float[Array, 'Q C'], block) -> tuple[Array, Array, Array]:
    """Counts a shard's candidates around each target, under one version of its scores.

    Args:
        shard: the shard.
        scores: its scores, minus infinity where an entity is no candidate.
        block: the queries and their T targets.

    Returns:
        (those that score higher, other ones that score the same, their queries' candidates without the target
        itself), int32[T] each.
    """
    better, tied = count_around(scores, block.query, shard.target_score)
    itself = shard.is_own & (scores[block.query, shard.place] > -jnp.inf)
    candidates = jnp.sum(scores > -jnp.inf, axis=1, dtype=jnp.int32)[block.query]
    return better, tied - itself, candidates - itself


@partial(jax.jit, static_argnames='model')
def _rank_block(model, variables, candidates, known, block) -> Counts:
    def count(shard, known, block):
        left = strike_out(shard.scores, known, *known.find(*block.queries), shard.first)
        return count_around_targets(shard, left, block)[:2]

    (better, tied), *bad = count_by_shard(model, variables, candidates, known, block, count)
    return Counts(better, tied, *bad)


def _shard(scores, first, block) -> Shard:
    place = block.target - first
    is_own = (place >= 0) & (place < scores.shape[1])
    place = jnp.where(is_own, place, 0)
    # One shard has a target, and its score goes to all as it is: zeros are added to it.
    target_score = jax.lax.psum(jnp.where(is_own, scores[block.query, place], 0), ENTITY)
    return Shard(scores, first, place, is_own, target_score)


def _first_bad(query, entity, first):
    """The first query of any shard with a score that is not finite, or -1, and the first such candidate."""
    query, entity = (jnp.where(query < 0, _NOWHERE, x).astype(jnp.int32) for x in (query, entity + first))
    lowest = jax.lax.pmin(query, ENTITY)
    entity = jax.lax.pmin(jnp.where(query == lowest, entity, _NOWHERE), ENTITY)
    return jnp.where(lowest == _NOWHERE, -1, lowest), entity
