"""Row-sparse optimisers on a mesh: every shard updates the rows that it has, and nothing of the table is moved."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

from mans_jax.optim import RowSparse, apply_row_updates
from mans_jax.sharding import ENTITY, table_specs


def update_on_mesh(optimizer: RowSparse, mesh: Mesh, num_entities: int) -> Callable:
    """`optimizer.update` for tables that `sharding.place` has put on a mesh, of that many entities.

    Gradients and rows are the same everywhere. Of the table, a shard's updates are zero where a row is another's; they
    stand one below the other, float32[shards x U, D].
    """

    def of_shard(gradients, state, params, rows):
        return optimizer.update(gradients, state, params, _own(rows, params[ENTITY], num_entities))

    def update(gradients, state, params, rows):
        everywhere = jax.tree.map(lambda _: PartitionSpec(), gradients)
        in_specs = (everywhere, table_specs(state), table_specs(params), PartitionSpec())
        out_specs = (table_specs(params), table_specs(state))
        return _by_shard(mesh, of_shard, in_specs, out_specs)(gradients, state, params, rows)

    return update


def apply_row_updates_on_mesh(mesh: Mesh, num_entities: int) -> Callable:
    """`optim.apply_row_updates` for what the function of `update_on_mesh` has made."""

    def of_shard(params, updates, rows):
        return apply_row_updates(params, updates, _own(rows, params[ENTITY], num_entities))

    def apply(params, updates, rows):
        specs = table_specs(params)
        return _by_shard(mesh, of_shard, (specs, specs, PartitionSpec()), specs)(params, updates, rows)

    return apply


def _own(rows: Int[Array, 'U'], table, num_entities) -> Int[Array, 'U']:
    """The rows by their place in a shard's part of the table; those of others stand beyond it, each by itself."""
    first = jax.lax.axis_index(ENTITY) * table.shape[0]
    # Not what follows the last entity either, which may be the padding of the last shard.
    is_own = (rows >= first) & (rows < jnp.minimum(first + table.shape[0], num_entities))
    return jnp.where(is_own, rows - first, table.shape[0] + jnp.arange(rows.shape[0], dtype=rows.dtype))


def _by_shard(mesh, function, in_specs, out_specs):
    # Along the data axis all do the same, of which the check of what varies knows nothing.
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
