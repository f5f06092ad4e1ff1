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
from absl import logging
from jaxtyping import Array, Float, Int

from mans_jax.config import Config
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph
from mans_jax.models import FLOAT32, LEFT_OUT, MEAN, MultiModalEmbedding, init_params, project
from mans_jax.objectives import OBJECTIVES
from mans_jax.optim import OPTIMIZERS

_ENTITIES_PER_BLOCK = 8192
"""Of how many entities the features are projected together where all of them are."""

_MOST_STEPS_PER_BLOCK = 64


def features_stay(config: Config, graph: KnowledgeGraph, model: MultiModalEmbedding) -> bool:
    """Whether a run has to leave its features on the host, to keep to `config.device_memory_gb`.

    Raises:
        InputError: it has to, but what it trains with needs all of them in every step.
    """
    limit = 1e9 * config.device_memory_gb
    features = 4 * graph.num_entities * _width(graph)
    if not limit or not features or _beside_features(config, graph, model) + features <= limit:
        return False
    why = f'the features of {graph.name}, {_gb(features)}, stay on the host (config.device_memory_gb is {limit / 1e9})'
    if config.loss in OBJECTIVES:
        raise InputError(
            f'config.loss is {config.loss!r}, which reads all entities, but {why}: take another loss, or raise '
            f'device_memory_gb'
        )
    learners = config.sampler_text().learners()
    if learners:
        raise InputError(
            f'config.sampler is {config.sampler!r}, where nobody can tell ahead what {learners[0]} will draw, but '
            f'{why}: take another sampler, or raise device_memory_gb'
        )
    logging.info('%s', why)
    return True


def steps_per_block(config: Config, graph: KnowledgeGraph, model: MultiModalEmbedding, num_negatives: int) -> int:
    """For how many steps the features are fetched together, as many as there is room for.

    There are the rows of the steps that run, those of the next ones, and a copy of those of one step.

    Args:
        config: the recipe.
        graph: the graph.
        model: the model.
        num_negatives: of a batch, all together.

    Raises:
        InputError: there is no room for one step.
    """
    beside = _beside_features(config, graph, model)
    room, step = 1e9 * config.device_memory_gb - beside, 4 * (2 * config.batch_size + num_negatives) * _width(graph)
    steps = int((room / step - 1) / 2)
    if steps < 1:
        raise InputError(
            f'config.device_memory_gb is {config.device_memory_gb}, but needs to be {_gb(beside + 3 * step)} at least: '
            f'{_gb(beside)} for tables and triples and {_gb(3 * step)} for the features of steps; raise it, or lower '
            f'batch_size, num_negatives or dim'
        )
    return min(steps, _MOST_STEPS_PER_BLOCK)


def _width(graph) -> int:
    """Of all features together."""
    return sum(rows.shape[1] for rows in graph.features.values())


def _beside_features(config, graph, model) -> int:
    """Bytes of parameters, what the optimiser keeps for them, triples and their index, at most."""

    def parameters():
        params = init_params(model, jax.random.key(0))
        return params, OPTIMIZERS[config.optimizer](config.learning_rate).init(params)

    tables = sum(4 * x.size for x in jax.tree.leaves(jax.eval_shape(parameters)))
    # A triple itself, and in each of two queries an answer, what stands below it, a relation and a start.
    return tables + len(graph.train) * (12 + 2 * 16) + graph.num_entities * (8 + 4 + graph.present.shape[1])


def _gb(size) -> str:
    return f'{size / 1e9:.3g} GB'


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
        """The features of entities, float32[room, F] by modality, zeros in what room is left over."""
        found = {}
        for m, (name, matrix) in enumerate(self._features.items(), start=1):
            block = np.empty((room or len(entities), matrix.shape[1]), np.float32)
            # With a mode, NumPy writes into the block without one more copy.
            np.take(matrix, entities, axis=0, out=block[: len(entities)], mode='clip')
            block[len(entities) :] = 0
            if name in self._instead:
                block[: len(entities)][~self._present[entities, m]] = self._instead[name]
            found[name] = block
        return found

    def fetch(self, named: Named) -> dict:
        """What a model is frozen with that reads the features of no other entities."""
        rows = np.asarray(named.rows)
        features = self.rows(rows[rows < len(self._present)], len(rows))
        features = {name: jax.device_put(block.astype(self._precision, copy=False)) for name, block in features.items()}
        return {'features': features, 'present': self._on_device, 'place': named.place}


def _mean(rows, has) -> np.ndarray:
    """The mean of the rows that are there, in float64 and without a copy of them all."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _ENTITIES_PER_BLOCK):
        part = slice(start, start + _ENTITIES_PER_BLOCK)
        total += rows[part][has[part]].sum(axis=0, dtype=np.float64)
    return (total / max(has.sum(), 1)).astype(np.float32)


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
        name: project(rows.astype(model.precision), params[f'{name}_kernel'], params[f'{name}_bias'], model.precision)
        for name, rows in features.items()
    }
