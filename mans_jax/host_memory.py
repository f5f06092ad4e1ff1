"""What stays in the host's memory where the device has too little of it, and what is fetched from there.

The device is given the rows that some entities name and a map from their ids to these rows, so that whatever reads
features by id reads the same numbers as if all of them were there.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.models import FROZEN, LEFT_OUT, MEAN, PARAMS, MultiModalEmbedding
from mans_jax.optim import ENTITY
from mans_jax.projection import FLOAT32, project
from mans_jax.streaming import TripleStream
from mans_jax.training_step import TrainState

_ENTITIES_PER_BLOCK = 8192
"""Of how many entities the features are projected together where all of them are."""


def without_features(graph: KnowledgeGraph) -> dict:
    """What a model is frozen with while nothing is fetched: every feature that is read is NaN."""
    features = {name: jnp.zeros((1, rows.shape[1])) for name, rows in graph.features.items()}
    place = jnp.ones(graph.num_entities, jnp.int32)
    return {'features': features, 'present': jnp.asarray(graph.present), 'place': place}


class Named(NamedTuple):
    """Entities that are named by what comes next, on the device.

    Attributes:
        rows: int32[U], each of them once, in any order, and numbers from E on.
        place: int32[E], where in `rows` each entity stands; U for one that does not.
    """

    rows: Int[Array, 'U']
    place: Int[Array, 'E']


class Fetcher:
    """Features on the host, in memory or mapped from a file, and what stands for those that are missing."""

    def __init__(self, graph: KnowledgeGraph, absent: str = LEFT_OUT, precision: str = FLOAT32):
        """Args: the graph, one of `models.ABSENT`, and one of `models.PRECISIONS`, in which features are put there."""
        self._precision = precision
        self._features, self._present = graph.features, graph.present
        self._on_device = jnp.asarray(graph.present)
        self._instead = {
            name: _mean(rows, graph.present[:, m])
            for m, (name, rows) in enumerate(graph.features.items(), start=1)
            if absent == MEAN and not graph.present[:, m].all()
        }

    def rows(self, entities: np.ndarray, room: int | None = None) -> dict[str, np.ndarray]:
        """The features of entities, [room, F] by modality, zeros in what room is left over."""
        found = {}
        for m, (name, matrix) in enumerate(self._features.items(), start=1):
            block = np.empty((room or len(entities), matrix.shape[1]), np.float32)
            # With a mode, NumPy writes into the block without one more copy.
            np.take(matrix, entities, axis=0, out=block[: len(entities)], mode='clip')
            block[len(entities) :] = 0
            if name in self._instead:
                block[: len(entities)][~self._present[entities, m]] = self._instead[name]
            found[name] = block.astype(self._precision, copy=False)
        return found

    def part(self, entities: np.ndarray, room: int) -> dict:
        """What a model of these entities alone is frozen with; the others of `room` have nothing."""
        present = np.zeros((room, self._present.shape[1]), bool)
        present[: len(entities)] = self._present[entities]
        return {'features': jax.device_put(self.rows(entities, room)), 'present': jnp.asarray(present)}

    def fetch(self, named: Named) -> dict:
        """What a model is frozen with that reads the features of no other entities."""
        rows = np.asarray(named.rows)
        features = self.rows(rows[rows < len(self._present)], len(rows))
        return {
            'features': jax.device_put(features),
            'present': self._on_device,
            'place': jax.device_put(named.place, jax.local_devices()[0]),
        }


class Host(NamedTuple):
    """What of a training stays on the host.

    Attributes:
        steps_per_block: for how many steps things are fetched together.
        fetcher: of features, or None where all of them are on the device.
        table: whether the entity table stays, with what the optimiser keeps for it: as NumPy arrays in the state.
        stream: of the train triples, or None where they are on the device.
        num_negatives: of a batch, all together, those that a chunk shares once.
        present: bool[E, M], which modalities the entities have.
    """

    steps_per_block: int
    num_negatives: int
    present: np.ndarray
    fetcher: Fetcher | None = None
    table: bool = False
    stream: TripleStream | None = None


def host_device() -> jax.Device:
    """The CPU, where triples that stay on the host are drawn from."""
    return jax.local_devices(backend='cpu')[0]


def _mean(rows, has) -> np.ndarray:
    """The mean of the rows that are there, in float64 and without a copy of them all."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _ENTITIES_PER_BLOCK):
        part = slice(start, start + _ENTITIES_PER_BLOCK)
        total += rows[part][has[part]].sum(axis=0, dtype=np.float64)
    return (total / max(has.sum(), 1)).astype(np.float32)


def with_rows(state: TrainState, rows: np.ndarray, room: int) -> TrainState:
    """A state on the device with the rows of these entities in place of a whole table on the host.

    Args:
        state: whose entity table, with what a RowSparse optimiser keeps for it, is NumPy arrays.
        rows: ids, all different.
        room: how many rows the table on the device shall have; zeros are added.
    """

    def take(whole):
        part = np.zeros((room, *whole.shape[1:]), whole.dtype)
        np.take(whole, rows, axis=0, out=part[: len(rows)], mode='clip')
        return jax.device_put(part)

    return _with_table(state, state, lambda whole, _: take(whole))


def put_rows(state: TrainState, stepped: TrainState, rows: np.ndarray) -> TrainState:
    """What the steps have made of `with_rows`, written back into the whole table, in place."""

    def put(whole, part):
        whole[rows] = np.asarray(part)[: len(rows)]
        return whole

    return _with_table(stepped, state, put, stepped)


def _with_table(into, state, change, other=None) -> TrainState:
    """A state with `change` of the leaves of the entity table, and of those of another one's."""
    other = state if other is None else other
    return into.replace(
        params={**into.params, ENTITY: change(state.params[ENTITY], other.params[ENTITY])},
        opt_state={
            **into.opt_state,
            ENTITY: jax.tree.map(change, state.opt_state[ENTITY], other.opt_state[ENTITY]),
        },
    )


def on_host(state: TrainState) -> TrainState:
    """A state, or its shapes, with the entity table and what a RowSparse optimiser keeps for it in arrays of NumPy."""

    def take(whole, _):
        return np.array(whole) if isinstance(whole, jax.Array) else np.empty(whole.shape, whole.dtype)

    return _with_table(state, state, take)


def variables_of(params: dict, fetcher: Fetcher, entities: np.ndarray, room: int) -> dict:
    """What a model of these entities alone is applied to, where the whole table is on the host.

    Args:
        params: with the whole entity table, a NumPy array.
        fetcher: of the features.
        entities: ids int[<= room].
        room: how many rows there shall be; zeros are added.
    """
    table = np.zeros((room, params[ENTITY].shape[1]), np.float32)
    table[: len(entities)] = params[ENTITY][entities]
    return {PARAMS: {**params, ENTITY: jnp.asarray(table)}, FROZEN: fetcher.part(entities, room)}


def known_of(graph: KnowledgeGraph, triples: np.ndarray) -> KnownTriples:
    """The index of those triples of all splits that answer a query which some triples ask, for their ranks alone."""
    rows = np.concatenate([graph.train, graph.valid, graph.test])
    asked = np.zeros(len(rows), bool)
    for kept in (0, 2):
        keys, wanted = (x[:, kept].astype(np.int64) * graph.num_relations + x[:, 1] for x in (rows, triples))
        asked |= np.isin(keys, wanted)
    return KnownTriples.build(rows[asked], num_entities=graph.num_entities, num_relations=graph.num_relations)


def project_all(model: MultiModalEmbedding, params: dict, fetcher: Fetcher, present: Array) -> dict:
    """What a model with these parameters, and no others, can be frozen with in place of its features.

    Every feature row is multiplied once, a block of entities at a time, and only the products, [E, D] by modality, are
    kept on the device.
    """
    blocks = []
    for start in range(0, model.num_entities, _ENTITIES_PER_BLOCK):
        rows = np.arange(start, min(start + _ENTITIES_PER_BLOCK, model.num_entities))
        blocks.append(_project(model, params, fetcher.rows(rows, min(_ENTITIES_PER_BLOCK, model.num_entities))))
    projected = jax.tree.map(lambda *parts: jnp.concatenate(parts)[: model.num_entities], *blocks)
    return {'projected': projected, 'present': present}


@partial(jax.jit, static_argnames='model')
def _project(model, params: Mapping[str, Float[Array, '...']], features: Mapping[str, Float[Array, 'U F']]) -> dict:
    return {
        name: project(rows, params[f'{name}_kernel'], params[f'{name}_bias'], model.precision)
        for name, rows in features.items()
    }
