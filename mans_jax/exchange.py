"""Rows of tables that are cut over a mesh, brought from the devices that have them to those that ask for them."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from mans_jax.sharding import ALONG_BOTH, DATA, ENTITY, cut_of

_SHARES = (1.25, 3.0)
"""For how many times its even share of a device's questions a shard has room, before there is room for all of them.

Negatives are drawn evenly; the entities of real triples are not, where ids go by frequency: of those of FB15k-237 the
first eighth has 2.8 times its share.
"""


def from_shards(
    mesh: Mesh, look: Callable, tables: PyTree, frozen: PyTree, rest: PyTree, ids: Sequence[Int[Array, '...']]
) -> list:
    """Within a program: what a function makes of some rows of tables, each row looked at by the shard that has it.

    Every device asks the shards of its place along the data axis for the rows of its own examples, and gets what `look`
    returns for them: no more is moved, and each row is looked at where it is asked for and nowhere else. Gradients go
    back the same way. Where examples are not dealt out along the entity axis, all shards are asked for the same rows,
    and add up what they have of them.

    Args:
        mesh: where the tables lie.
        look: (rows of the tables [N, W], rows of the frozen ones, rest) -> arrays [N, W'].
        tables: arrays [E, W], cut by row.
        frozen: likewise, but no gradient is taken of them.
        rest: arrays that all have.
        ids: several arrays of rows, each cut as `split_batch` cuts it.

    Returns:
        What `look` returns for each array of ids, [..., W'], cut as the ids are.
    """
    cuts = [cut_of(x, mesh) for x in ids]
    # Looked at together, those that all have would differ from device to device as far as the compiler can tell.
    found = {}
    # In order of mention, for a set's is another in every process, and all must compile one program.
    for cut in dict.fromkeys(cuts):
        group = [x for x, its in zip(ids, cuts, strict=True) if its == cut]
        bring = _exchanged if cut == PartitionSpec(ALONG_BOTH) else _added_up
        found[cut] = iter(_together(partial(bring, mesh, look), tables, frozen, rest, group, mesh, cut))
    return [next(found[cut]) for cut in cuts]


def _together(bring, tables, frozen, rest, ids, mesh, cut):
    """Has several arrays of ids brought as one, each device's parts of them behind each other."""

    def join(*ids):
        return jnp.concatenate([x.reshape(-1) for x in ids])

    def split(found, *ids):
        ends = np.cumsum([x.size for x in ids])
        return tuple(
            jax.tree.map(lambda x, i=i, end=end: x[end - i.size : end].reshape(*i.shape, -1), found)
            for i, end in zip(ids, ends.tolist(), strict=True)
        )

    on_device = partial(jax.shard_map, mesh=mesh, in_specs=cut, out_specs=cut)
    found = bring(tables, frozen, rest, on_device(join)(*ids), cut)
    return on_device(split)(found, *ids)


def _added_up(mesh, look, tables, frozen, rest, ids, cut):
    def of_shard(tables, frozen, rest, ids):
        num_rows = rows_of_shard((tables, frozen))
        place = ids - jax.lax.axis_index(ENTITY) * num_rows
        is_own = (place >= 0) & (place < num_rows)
        place = jnp.where(is_own, place, 0)

        def of_all(x):
            # Of booleans there is no sum.
            own = jnp.where(is_own[:, None], x.astype(jnp.int32) if x.dtype == bool else x, 0)
            return jax.lax.psum(own, ENTITY).astype(x.dtype)

        return jax.tree.map(of_all, look(*jax.tree.map(lambda x: x[place], (tables, frozen)), rest))

    by_row, everywhere = PartitionSpec(ENTITY), PartitionSpec()
    in_specs = (by_row, by_row, everywhere, cut)
    return jax.shard_map(of_shard, mesh=mesh, in_specs=in_specs, out_specs=cut)(tables, frozen, rest, ids)


def _exchanged(mesh, look, tables, frozen, rest, ids, cut):
    by_row, everywhere = PartitionSpec(ENTITY), PartitionSpec()
    on_device = partial(jax.shard_map, mesh=mesh, check_vma=False)
    in_specs = (by_row, by_row, everywhere, cut)
    num_shards = mesh.shape[ENTITY]

    @jax.custom_vjp
    def bring(tables, rest, frozen, ids):
        def of_device(tables, frozen, rest, ids):
            num_rows = rows_of_shard((tables, frozen))
            return with_room(num_shards, num_rows, ids, lambda room: look_up(room, tables, frozen, rest))

        return on_device(of_device, in_specs=in_specs, out_specs=cut)(tables, frozen, rest, ids)

    def look_up(room, tables, frozen, rest):
        asked = room.ask()
        return room.answer(look(*jax.tree.map(lambda x: x[asked], (tables, frozen)), rest))

    def forward(tables, rest, frozen, ids):
        return bring(tables, rest, frozen, ids), (tables, rest, frozen, ids)

    def backward(inputs, gradient):
        def of_device(tables, frozen, rest, ids, gradient):
            def pull_back(room):
                # Rows are found once more, which is little beside keeping what every room would need.
                found, pull = jax.vjp(lambda tables, rest: look_up(room, tables, frozen, rest), tables, rest)
                return pull(_float0_where_no_float(found, gradient))

            of_tables, of_rest = with_room(num_shards, rows_of_shard((tables, frozen)), ids, pull_back)
            return jax.lax.psum(of_tables, DATA), jax.lax.psum(of_rest, ALONG_BOTH)

        tables, rest, frozen, ids = inputs
        pulled = on_device(of_device, in_specs=(*in_specs, cut), out_specs=(by_row, everywhere))
        return *pulled(tables, frozen, rest, ids, _zeros_where_no_float(gradient)), None, None

    bring.defvjp(forward, backward)
    return bring(tables, rest, frozen, ids)


class Room(NamedTuple):
    """Within a device: what it asks the shards for, with room for so many questions to each.

    Attributes:
        size: how many questions it has room for, to each shard.
        num_shards: n, how many shards there are.
        num_rows: how many rows of the tables each has.
        ids: int32[L], what is asked for.
        owner: int32[L], of which shard.
        place: int32[L], where the question stands among those to that shard.
    """

    size: int
    num_shards: int
    num_rows: int
    ids: Int[Array, ' L']
    owner: Int[Array, ' L']
    place: Int[Array, ' L']

    def ask(self, nothing: int = 0) -> Int[Array, 'N']:
        """The rows that this shard is asked for, with `nothing` in what room is left over."""
        questions = jnp.full((self.num_shards, self.size), nothing, self.ids.dtype)
        questions = questions.at[self.owner, self.place].set(self.ids - self.owner * self.num_rows)
        return _to_others(questions).reshape(-1)

    def answer(self, answers: PyTree) -> PyTree:
        """What each question was answered, [L, W], of this shard's answers to those that it was asked, [N, W]."""
        back = jax.tree.map(lambda x: _to_others(x.reshape(self.num_shards, self.size, -1)), answers)
        return jax.tree.map(lambda x: x[self.owner, self.place], back)

    def tell(self, values: Float[Array, 'L W']) -> Float[Array, 'N W']:
        """What goes with the questions, in the order of `ask`; zeros with those that are none."""
        parts = jnp.zeros((self.num_shards, self.size, values.shape[1]), values.dtype)
        return _to_others(parts.at[self.owner, self.place].set(values)).reshape(-1, values.shape[1])


def with_room(num_shards: int, num_rows: int, ids: Int[Array, ' L'], run: Callable[[Room], PyTree]) -> PyTree:
    """Within a device: runs something with the least room that all devices' questions fit in.

    Args:
        num_shards: n.
        num_rows: of a shard.
        ids: what this device asks for.
        run: its results have the same shapes whatever the room.
    """
    owner = ids // num_rows
    is_of = owner[:, None] == jnp.arange(num_shards)
    place = jnp.sum(jnp.where(is_of, jnp.cumsum(is_of, axis=0, dtype=jnp.int32), 0), axis=1) - 1
    sizes = rooms(ids.shape[0], num_shards)
    most = jax.lax.pmax(jnp.max(place) + 1, ALONG_BOTH)
    # The same for all devices, since they have to meet in what they do next.
    which = jnp.sum(most > jnp.array(sizes[:-1], jnp.int32))
    cases = [partial(run, Room(size, num_shards, num_rows, ids, owner, place)) for size in sizes]
    return jax.lax.switch(which, cases)


def rows_of_shard(tables: PyTree) -> int:
    """Within a device: how many rows of tables it has."""
    return jax.tree.leaves(tables)[0].shape[0]


def rooms(number: int, num_shards: int) -> tuple[int, ...]:
    """For how many of a device's questions each shard may have room, rising; the last is for all of them."""
    mean = number / num_shards
    # Six standard deviations of what falls to a shard by chance: one step in many millions needs the next room for it.
    fitting = {math.ceil(share * mean + 6 * math.sqrt(mean)) for share in _SHARES}
    return (*sorted(room for room in fitting if room < number), number)


def _to_others(x):
    """[n, room, ...] for each of n shards to what each of them has for this one."""
    return jax.lax.all_to_all(x, ENTITY, split_axis=0, concat_axis=0, tiled=True)


def _zeros_where_no_float(gradient):
    return jax.tree.map(lambda x: jnp.zeros(x.shape, bool) if x.dtype == jax.dtypes.float0 else x, gradient)


def _float0_where_no_float(found, gradient):
    return jax.tree.map(
        lambda x, g: g if jnp.issubdtype(x.dtype, jnp.floating) else np.zeros(x.shape, jax.dtypes.float0),
        found,
        gradient,
    )
