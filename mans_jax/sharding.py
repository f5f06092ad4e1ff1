"""Where arrays lie on many devices: a mesh of 'data' x 'entity', entity tables by row, batches by example.

Rows are dealt out evenly, so that tables are padded where the entities do not divide. The padding is never seen: no id
leads to it, a model that knows of its mesh leaves it out where it looks at all entities, and a checkpoint is restored
with as many rows as its reader has.
"""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from mans_jax.errors import InputError

DATA, ENTITY = 'data', 'entity'
"""The axes of a mesh: batches are cut along the first, entity tables along the second."""

ALONG_BOTH = (DATA, ENTITY)
"""What examples are dealt out along, where they divide."""

_WITH_ENTITY_ROWS = ('entity', 'features', 'present')
"""What a dict calls an array, or holds arrays under, that has a row an entity: also in the optimiser's copy of it."""


_OF_SAMPLER = ('sampler_state', 'tables')
"""What a sampler remembers and looks up has names and sizes of its own, and is on every device."""


def parse_mesh(text: str) -> tuple[int, int] | None:
    """The sizes (data, entity) that a text like 'data=2,entity=4' gives; an axis that it leaves out has 1.

    Returns:
        The sizes, or None for an empty text: one device, and nothing is sharded.

    Raises:
        InputError: the text is of another form.
    """
    if not text:
        return None
    sizes = {}
    for part in text.split(','):
        found = re.fullmatch(rf'\s*({DATA}|{ENTITY})\s*=\s*([1-9]\d*)\s*', part)
        if not found or found[1] in sizes:
            raise InputError(f"config.mesh is {text!r}, but must be of the form 'data=2,entity=4'")
        sizes[found[1]] = int(found[2])
    return sizes.get(DATA, 1), sizes.get(ENTITY, 1)


def check_batch(text: str, batch_size: int) -> None:
    """Refuses a batch that the data axis of a mesh does not divide.

    Raises:
        InputError: it does not, or the text is no mesh.
    """
    sizes = parse_mesh(text)
    if sizes and batch_size % sizes[0]:
        raise InputError(
            f'config.batch_size is {batch_size}, but config.mesh is {text!r}: choose a multiple of {sizes[0]}'
        )


def make_mesh(text: str) -> Mesh | None:
    """The mesh of all devices, of all processes, that a text describes; None for an empty text.

    Raises:
        InputError: the devices are more or fewer than it has places.
    """
    sizes = parse_mesh(text)
    if sizes is None:
        if jax.process_count() > 1:
            raise InputError(
                f'config.mesh is empty, but there are {jax.process_count()} processes: set it so that it has '
                f'{jax.device_count()} places, as in entity={jax.device_count()}'
            )
        return None
    if sizes[0] * sizes[1] != jax.device_count():
        raise InputError(
            f'config.mesh is {text!r}, which has {sizes[0] * sizes[1]} places, but there are {jax.device_count()} '
            f'devices: choose sizes whose product is {jax.device_count()}'
        )
    return jax.make_mesh(sizes, (DATA, ENTITY), axis_types=(AxisType.Auto, AxisType.Auto))


def padded(num_entities: int, mesh: Mesh | None) -> int:
    """The rows of a table on a mesh, all shards together."""
    return num_entities if mesh is None else num_entities + -num_entities % mesh.shape[ENTITY]


def entity_rows(tree: PyTree, num_entities: int) -> PyTree:
    """The tree without the padding of its entity tables; as it is, where there is none."""
    return _map(tree, lambda x: x[:num_entities], lambda x: x)


def pad_rows(tree: PyTree, mesh: Mesh) -> PyTree:
    """The tree with rows of zeros added to its entity tables, until the entity axis divides them."""

    def pad(x):
        missing = padded(x.shape[0], mesh) - x.shape[0]
        return jnp.pad(x, ((0, missing),) + ((0, 0),) * (x.ndim - 1)) if missing else x

    return _map(tree, pad, lambda x: x)


def shardings(tree: PyTree, mesh: Mesh) -> PyTree:
    """By leaf: entity tables cut by row over the entity axis, all else on every device."""
    by_row, everywhere = NamedSharding(mesh, PartitionSpec(ENTITY)), NamedSharding(mesh, PartitionSpec())
    return _map(tree, lambda _: by_row, lambda _: everywhere)


def table_specs(tree: PyTree) -> PyTree:
    """By leaf, the axis that it is cut along: for a program that is written for one shard."""
    return _map(tree, lambda _: PartitionSpec(ENTITY), lambda _: PartitionSpec())


def place(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays that every process has whole, put on a mesh: a device gets its rows and no others."""

    def put(x, sharding):
        host = np.asarray(x)
        missing = padded(len(host), mesh) - len(host) if sharding.spec else 0
        shape = (len(host) + missing, *host.shape[1:]) if missing else host.shape

        def part(index):
            rows = host[index]
            # A slice past the end is short, which is where the padding is.
            wanted = tuple(len(range(*cut.indices(size))) for cut, size in zip(index, shape, strict=True))
            short = [(0, want - have) for want, have in zip(wanted, rows.shape, strict=True)]
            return np.pad(rows, short) if short else rows

        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(put, tree, shardings(tree, mesh))


def on_all(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays that every process has whole, put on every device of a mesh."""

    def put(x):
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, NamedSharding(mesh, PartitionSpec()), lambda index: host[index])

    return jax.tree.map(put, tree)


def split_batch(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Within a program: arrays with an axis of examples in front, dealt out to all devices of a mesh.

    Where they do not divide, they are dealt out along the data axis alone, and devices along the other do the same.
    """
    if mesh is None:
        return tree
    places = jax.tree.map(lambda x: NamedSharding(mesh, cut_of(x, mesh)), tree)
    return jax.lax.with_sharding_constraint(tree, places)


def cut_of(x: Array, mesh: Mesh) -> PartitionSpec:
    """How `split_batch` deals out the examples of an array: along both axes, along the data axis, or all to all."""
    for along in (ALONG_BOTH, (DATA,)):
        if x.ndim and x.shape[0] % math.prod(mesh.shape[axis] for axis in along) == 0:
            return PartitionSpec(along)
    return PartitionSpec()


def settle(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Within a program: a tree kept where `place` would put it."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, shardings(tree, mesh))


def _map(tree, with_entity_rows, without):
    def choose(path, leaf):
        names = {getattr(key, 'key', getattr(key, 'name', None)) for key in path}
        by_row = names.intersection(_WITH_ENTITY_ROWS) and not names.intersection(_OF_SAMPLER)
        return (with_entity_rows if by_row else without)(leaf)

    return jax.tree_util.tree_map_with_path(choose, tree)
