"""The k best answers of queries on a mesh: every shard has its own best, of which the best are taken."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from mans_jax.candidates import Candidates
from mans_jax.graph import KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.prediction.top_k import Top, best_of
from mans_jax.ranking import Queries
from mans_jax.sharding import ENTITY
from mans_jax.tasks.link_prediction_on_mesh import rows_of_shard


@partial(jax.jit, static_argnames=('model', 'k'))
def top_answers_on_mesh(
    model: MultiModalEmbedding,
    variables: dict,
    candidates: Candidates,
    queries: Queries,
    k: int,
    known: KnownTriples,
    novel=False,
) -> Top:
    """`top_answers` for variables that `sharding.place` has put on the mesh of the model.

    Between shards go k ids and scores of each.

    Args:
        model: the model, on a mesh.
        variables: its parameters and features.
        candidates: from `embed_candidates_on_mesh`.
        queries: Queries of int32[Q].
        k: how many answers, at most E.
        known: the triples that may be left out.
        novel: whether they are.
    """
    views = model.apply(variables, *queries, method=model.query)
    start, count = known.find(*queries)
    left_out = start, jnp.where(novel, count, 0)
    num_rows = rows_of_shard(model)

    def of_shard(views, candidates, known, left_out):
        first = jax.lax.axis_index(ENTITY) * num_rows
        own = best_of(model.score, views, candidates, k, known, left_out, first, num_rows)
        every = jax.lax.all_gather(own, ENTITY)
        # Shards stand in the order of their ids: of equals `top_k` takes the first.
        score, place = jax.lax.top_k(jnp.concatenate(every.score, axis=1), k)
        entity = jnp.take_along_axis(jnp.concatenate(every.entity, axis=1), place, axis=1)
        worst = jnp.argmax(every.bad_query >= 0)
        return Top(
            entity=jnp.where(score > -jnp.inf, entity, model.num_entities),
            score=score,
            bad_query=every.bad_query[worst],
            bad_entity=every.bad_entity[worst],
        )

    everywhere = PartitionSpec()
    in_specs = (everywhere, PartitionSpec(ENTITY), everywhere, everywhere)
    return jax.shard_map(of_shard, mesh=model.mesh, in_specs=in_specs, out_specs=everywhere, check_vma=False)(
        views, candidates, known, left_out
    )
