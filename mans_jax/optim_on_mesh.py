"""Row-sparse optimisers on a mesh: gradients of rows go where the rows are, and every shard updates its own."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from mans_jax import devices
from mans_jax.exchange import Room, with_room
from mans_jax.optim import ENTITY, OTHERS, RowSparse, add_to_rows, others
from mans_jax.sharding import ALONG_BOTH, DATA, cut_of, table_specs
from mans_jax.sharding import ENTITY as ENTITY_AXIS


class _Sums(NamedTuple):
    """A shard's rows that have a gradient, each once, in ascending order, and then what is none.

    Attributes:
        rows: int32[U]; numbers from the shard's number of rows on are none.
        gradient: float32[U, D], zero for those.
        count: int32[], how many rows there are.
    """

    rows: Int[Array, 'U']
    gradient: Float[Array, 'U D']
    count: Int[Array, '']


class OnMesh(NamedTuple):
    """A row-sparse optimiser for tables that `sharding.place` has put on a mesh.

    Both functions take (gradients, state, params, ids). Of the table, gradients are float32[..., D] for each of several
    arrays of ids, int32[...], all of which are cut as `split_batch` cuts them. A row counts as named where it is asked
    for, as on one device, whatever its gradient.

    Attributes:
        update: returns (params, state) after a step.
        norms: returns the norms of the gradients and of the updates, float32[] each; nothing of the table is copied.
    """

    update: Callable
    norms: Callable


def on_mesh(optimizer: RowSparse, mesh: Mesh) -> OnMesh:
    """What an optimiser does on a mesh."""

    def by_shard(do, gradients, state, params, ids, out_specs):
        cuts = [cut_of(x, mesh) for x in ids]

        def of_device(gradients, slots, table, ids):
            return do(optimizer, _sums(mesh, cuts, ids, gradients, table.shape[0]), slots, table)

        in_specs = tuple(cuts), _specs(state), PartitionSpec(ENTITY_AXIS), tuple(cuts)
        # Along the data axis all do the same in the end, of which the check of what varies knows nothing.
        on_device = jax.shard_map(of_device, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
        return on_device(tuple(gradients[ENTITY]), state[ENTITY], params[ENTITY], ids)

    def update(gradients, state, params, ids):
        out_specs = PartitionSpec(ENTITY_AXIS), _specs(state)
        table, slots = by_shard(_update_rows, gradients, state, params, ids, out_specs)
        updates, of_others = optimizer.update_others(others(gradients), state[OTHERS], others(params))
        params = {ENTITY: table, **optax.apply_updates(others(params), updates)}
        return params, {ENTITY: slots, OTHERS: of_others}

    def norms(gradients, state, params, ids):
        of_rows = by_shard(_squares, gradients, state, params, ids, PartitionSpec())
        updates, _ = optimizer.update_others(others(gradients), state[OTHERS], others(params))
        of_others = [optax.tree.norm(x, squared=True) for x in (others(gradients), updates)]
        return tuple(jnp.sqrt(a + b) for a, b in zip(of_rows, of_others, strict=True))

    return OnMesh(update, norms)


def _specs(state):
    return table_specs({ENTITY: state[ENTITY]})[ENTITY]


def _sums(mesh: Mesh, cuts: Sequence[PartitionSpec], ids, gradients, num_rows: int) -> _Sums:
    """Within a device: the gradients of this shard's rows, of whatever device's examples."""
    num_shards, dim = mesh.shape[ENTITY_AXIS], gradients[0].shape[-1]
    dealt = [i for i, cut in enumerate(cuts) if cut == PartitionSpec(ALONG_BOTH)]
    known = [_of_own(cuts[i], ids[i], num_rows, gradients[i]) for i in range(len(ids)) if i not in dealt]
    asked = jnp.concatenate([ids[i].reshape(-1) for i in dealt]) if dealt else None
    told = jnp.concatenate([gradients[i].reshape(-1, dim) for i in dealt]) if dealt else None
    # All that the shards of a place along the data axis may be asked for, of all places.
    most = (num_shards * asked.shape[0] if dealt else 0) + sum(rows.shape[0] for rows, _ in known)
    most = min(most * mesh.shape[DATA], num_rows)

    def add_up(room: Room | None) -> _Sums:
        parts = known + ([(room.ask(nothing=num_rows), room.tell(told))] if room is not None else [])
        rows, values = (jnp.concatenate(x) for x in zip(*parts, strict=True))
        if mesh.shape[DATA] > 1:
            rows, values = (jax.lax.all_gather(x, DATA, tiled=True) for x in (rows, values))
        return _by_row(rows, values, num_rows, most)

    return with_room(num_shards, num_rows, asked, add_up) if dealt else add_up(None)


def _of_own(cut, ids, num_rows, gradient):
    """(rows, gradient [N, D]) of what all shards were asked for alike: of another's rows, none."""
    ids = ids.reshape(-1) - jax.lax.axis_index(ENTITY_AXIS) * num_rows
    is_own = (ids >= 0) & (ids < num_rows)
    if cut == PartitionSpec():
        # All have all of it, of which one along the data axis speaks.
        is_own &= jax.lax.axis_index(DATA) == 0
    return jnp.where(is_own, ids, num_rows), gradient.reshape(ids.shape[0], -1)


def _by_row(rows, values, num_rows, most) -> _Sums:
    """Values added up by row; a row from `num_rows` on is none. There are at most so many that differ."""
    order = jnp.argsort(rows)
    rows = rows[order]
    is_row = rows < num_rows
    is_new = jnp.append(True, rows[1:] != rows[:-1]) & is_row
    # What is none is beyond all that there may be, and dropped.
    place = jnp.where(is_row, jnp.cumsum(is_new, dtype=jnp.int32) - 1, most)
    none = num_rows + jnp.arange(most, dtype=rows.dtype)
    sums = jnp.zeros((most, values.shape[1]), values.dtype).at[place].add(values[order], mode='drop')
    return _Sums(none.at[place].set(rows, mode='drop'), sums, jnp.sum(is_new, dtype=jnp.int32))


def _update_rows(optimizer, sums: _Sums, slots, table):
    """A shard's table and slots after a step."""

    def update_some(turn, carried):
        table, slots = carried
        rows, gradient = _some(sums, turn, table.shape[0])
        updates, slots = optimizer.update_rows(gradient, slots, table, rows)
        return add_to_rows(table, updates, rows), slots

    return jax.lax.fori_loop(0, _turns(sums), update_some, (table, slots))


def _squares(optimizer, sums: _Sums, slots, table):
    """The squared norms of all shards' gradients and updates."""

    def add_some(turn, square):
        rows, gradient = _some(sums, turn, table.shape[0])
        updates, _ = optimizer.update_rows(gradient, slots, table, rows)
        return square + jnp.sum(jnp.square(updates))

    of_updates = jax.lax.fori_loop(0, _turns(sums), add_some, jnp.zeros(()))
    return jax.lax.psum((jnp.sum(jnp.square(sums.gradient)), of_updates), ENTITY_AXIS)


def _turns(sums):
    return -(-sums.count // _at_once(sums))


def _at_once(sums):
    return min(sums.rows.shape[0], devices.rows_at_once())


def _some(sums, turn, num_rows):
    """The rows of a turn, and their gradients."""
    most, at_once = sums.rows.shape[0], _at_once(sums)
    # The last rows are fewer: those before them come once more, and are none.
    first = jnp.minimum(turn * at_once, most - at_once)
    rows, gradient = (jax.lax.dynamic_slice_in_dim(x, first, at_once) for x in (sums.rows, sums.gradient))
    place = jnp.arange(at_once)
    return jnp.where(first + place < turn * at_once, num_rows + most + place, rows), gradient
