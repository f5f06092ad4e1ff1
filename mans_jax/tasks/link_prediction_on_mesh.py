"""Filtered link prediction on a mesh: every shard ranks the entities that it has, and only numbers are added up."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, PARAMS, Candidates, MultiModalEmbedding, score_blocks
from mans_jax.ranking import Counts, first_not_finite, strike_out
from mans_jax.sharding import ENTITY, entity_rows, table_specs
from mans_jax.tasks.link_prediction import TripleCounts, count_blockwise

_NOWHERE = np.iinfo(np.int32).max


def predict_links_on_mesh(
    mesh: Mesh,
    model: MultiModalEmbedding,
    params: dict,
    frozen: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> TripleCounts:
    """`predict_links` for parameters and features that `sharding.place` has put on a mesh.

    The shards along the data axis, which have the same entities, do the same.
    """
    variables = {PARAMS: params, FROZEN: frozen}
    candidates = _embed_candidates(mesh, model, variables)

    def count(block):
        counts = _rank_block(mesh, model, variables, candidates, known, block)
        return TripleCounts(counts.better, counts.tied), counts.bad_query, counts.bad_entity

    return count_blockwise(count, graph, triples, progress)


def _model_of_shard(model, mesh):
    """The model for the rows that a shard has, the padding among them."""
    return model.clone(num_entities=-(-model.num_entities // mesh.shape[ENTITY]))


@partial(jax.jit, static_argnames=('mesh', 'model'))
def _embed_candidates(mesh, model, variables) -> Candidates:
    own = _model_of_shard(model, mesh)

    def embed(variables):
        return own.apply(variables, method=own.candidates)

    specs = table_specs(variables)
    return jax.shard_map(embed, mesh=mesh, in_specs=(specs,), out_specs=PartitionSpec(ENTITY))(variables)


@partial(jax.jit, static_argnames=('mesh', 'model'))
def _rank_block(mesh, model, variables, candidates, known, block) -> Counts:
    whole = entity_rows(variables, model.num_entities)
    queries = model.apply(whole, *block.queries, method=model.query)
    num_rows = _model_of_shard(model, mesh).num_entities

    def rank(queries, candidates, known, block):
        first = jax.lax.axis_index(ENTITY) * num_rows
        scores = score_blocks(model.score, queries, candidates)[:, :num_rows]
        real = first + jnp.arange(num_rows) < model.num_entities
        bad = _first_bad(*first_not_finite(jnp.where(real, scores, 0)), first)
        return _count(jnp.where(real, scores, -jnp.inf), block, known, first, bad)

    everywhere = PartitionSpec()
    in_specs = (everywhere, PartitionSpec(ENTITY), everywhere, everywhere)
    return jax.shard_map(rank, mesh=mesh, in_specs=in_specs, out_specs=everywhere, check_vma=False)(
        queries, candidates, known, block
    )


def _first_bad(query, entity, first):
    """The first query of any shard with a score that is not finite, or -1, and the first such candidate."""
    query, entity = (jnp.where(query < 0, _NOWHERE, x).astype(jnp.int32) for x in (query, entity + first))
    lowest = jax.lax.pmin(query, ENTITY)
    entity = jax.lax.pmin(jnp.where(query == lowest, entity, _NOWHERE), ENTITY)
    return jnp.where(lowest == _NOWHERE, -1, lowest), entity


def _count(scores, block, known, first, bad) -> Counts:
    """`ranking.count_better` for the candidates of one shard, `first` being the id of the first of them."""
    place = block.target - first
    is_own = (place >= 0) & (place < scores.shape[1])

    def of_target(scores):
        return scores[block.query, jnp.where(is_own, place, 0)]

    # One shard has a target, and its score goes to all as it is: zeros are added to it.
    target_score = jax.lax.psum(jnp.where(is_own, of_target(scores), 0), ENTITY)
    scores = strike_out(scores, known, *known.find(*block.queries), first)
    itself = is_own & (of_target(scores) > -jnp.inf)

    def count(query_and_score):
        query, score = query_and_score
        return jnp.sum(scores[query] > score, dtype=jnp.int32), jnp.sum(scores[query] == score, dtype=jnp.int32)

    better, tied = jax.lax.map(count, (block.query, target_score))
    better, tied = jax.lax.psum((better, tied - itself), ENTITY)
    return Counts(better, tied, *bad)
