"""Link prediction under three protocols on a mesh, every shard ranking the entities that it has."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.ranking import strike_out
from mans_jax.tasks.link_prediction_on_mesh import (
    count_around_targets,
    count_by_shard,
    embed_candidates_on_mesh,
    rows_of_shard,
)
from mans_jax.tasks.protocols import PROTOCOLS, Tally, seen_with_relation
from mans_jax.tasks.query_blocks import count_blockwise


def rank_links_on_mesh(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Tally]:
    """`rank_links` for variables that `sharding.place` has put on the mesh of the model."""
    candidates = embed_candidates_on_mesh(model, variables)
    seen = jnp.asarray(seen_with_relation(graph))

    def count(block):
        return _tally_block(model, variables, candidates, known, seen, block)

    tallies = count_blockwise(count, graph, triples, progress, rows_of_shard(model))
    return {protocol: tallies[protocol] for protocol in PROTOCOLS}


@partial(jax.jit, static_argnames='model')
def _tally_block(model, variables, candidates, known, seen, block):
    def count(shard, known, block, seen):
        filtered = strike_out(shard.scores, known, *known.find(*block.queries), shard.first)
        entity = shard.first + jnp.arange(shard.scores.shape[1])
        byte = seen[block.queries.side, block.queries.relation].at[:, entity // 8].get(mode='clip')
        allowed = (byte >> (7 - entity % 8).astype(jnp.uint8)) & 1 > 0
        variants = (filtered, shard.scores, jnp.where(allowed, filtered, -jnp.inf))
        counts = [Tally(*count_around_targets(shard, scores, block)) for scores in variants]
        return dict(zip(PROTOCOLS, counts, strict=True))

    return count_by_shard(model, variables, candidates, known, block, count, seen)
