"""What of a run stays on the host: by what the device is allowed, and by what the run can go without."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from absl import logging

from mans_jax.config import Config
from mans_jax.errors import InputError
from mans_jax.graph import KnowledgeGraph
from mans_jax.models import MultiModalEmbedding, init_params
from mans_jax.objectives import OBJECTIVES
from mans_jax.optim import OPTIMIZERS, ROW_SPARSE

_MOST_STEPS_PER_BLOCK = 64


class Stays(NamedTuple):
    """What has to stay on the host, so that a run keeps to `config.device_memory_gb` and to `config.stream_triples`.

    Attributes:
        features: whether they stay.
        table: whether the entity table and what the optimiser keeps for it stay; features then do, too.
        triples: whether those of train and their index stay.
        why: for messages.
        cure: likewise.
    """

    features: bool
    table: bool
    triples: bool
    why: str = ''
    cure: str = ''


def what_stays(config: Config, graph: KnowledgeGraph, model: MultiModalEmbedding) -> Stays:
    """Which parts of a run stay on the host: what does not fit, the features before the table.

    Raises:
        InputError: something has to stay that the run needs as a whole in every step.
    """
    limit, sizes = 1e9 * config.device_memory_gb, _sizes(config, graph, model)
    table = 0 < limit < sizes.others + sizes.table
    features = table or 0 < limit < sizes.others + sizes.table + sizes.features
    if table:
        why = f'the entity table of {graph.name}, {_gb(sizes.table)}, stays on the host'
    elif features:
        why = f'the features of {graph.name}, {_gb(sizes.features)}, stay on the host'
    elif config.stream_triples:
        why = f'the triples of {graph.name} stay on the host'
    else:
        return Stays(False, False, False)
    field = 'device_memory_gb' if features else 'stream_triples'
    cure = 'raise device_memory_gb' if features else 'set stream_triples to False'
    why += f' (config.{field} is {getattr(config, field)})'
    stays = Stays(features, table, config.stream_triples, why, cure)
    logging.info('%s', why)
    _check(config, stays)
    return stays


def _check(config: Config, stays: Stays) -> None:
    why, cure = stays.why, stays.cure
    if config.loss in OBJECTIVES:
        raise InputError(
            f'config.loss is {config.loss!r}, which reads all entities, but {why}: take another loss, or {cure}'
        )
    learners = config.sampler_text().learners()
    if learners:
        raise InputError(
            f'config.sampler is {config.sampler!r}, where nobody can tell ahead what {learners[0]} will draw, but '
            f'{why}: take another sampler, or {cure}'
        )
    if stays.table and config.optimizer not in ROW_SPARSE:
        raise InputError(
            f'config.optimizer is {config.optimizer!r}, which moves all rows in every step, but {why}: take one of '
            f'{", ".join(ROW_SPARSE)}, or {cure}'
        )
    if stays.triples and config.with_replacement:
        raise InputError(
            f'config.with_replacement is True, but {why}, where an epoch takes each of them once: set it to False, or '
            f'set stream_triples to False'
        )


def steps_per_block(
    config: Config, graph: KnowledgeGraph, model: MultiModalEmbedding, stays: Stays, num_negatives: int
) -> int:
    """For how many steps things are fetched together, as many as there is room for.

    There are the rows of the steps that run, those of the next ones, and a copy of those of one step.

    Args:
        config: the recipe.
        graph: the graph.
        model: the model.
        stays: from `what_stays`.
        num_negatives: of a batch, all together, those that a chunk shares once.

    Raises:
        InputError: there is no room for one step.
    """
    if not stays.features:
        return _MOST_STEPS_PER_BLOCK
    sizes = _sizes(config, graph, model)
    beside = sizes.others + (0 if stays.table else sizes.table)
    row = (sizes.features + (sizes.table if stays.table else 0)) / graph.num_entities
    room, step = 1e9 * config.device_memory_gb - beside, (2 * config.batch_size + num_negatives) * row
    steps = int((room / step - 1) / 2)
    if steps < 1:
        rest = 'triples' if stays.table else 'tables and triples'
        what = 'rows' if stays.table else 'features'
        raise InputError(
            f'config.device_memory_gb is {config.device_memory_gb}, but needs to be {_gb(beside + 3 * step)} at least: '
            f'{_gb(beside)} for {rest} and {_gb(3 * step)} for the {what} of steps; raise it, or lower batch_size, '
            f'num_negatives or dim'
        )
    return min(steps, _MOST_STEPS_PER_BLOCK)


class _Sizes(NamedTuple):
    """Bytes, at most, of features, of the entity table with its slots, and of all else that is on the device."""

    features: int
    table: int
    others: int


def _sizes(config, graph, model) -> _Sizes:
    def parameters():
        params = init_params(model, jax.random.key(0))
        return params, OPTIMIZERS[config.optimizer](config.learning_rate).init(params)

    leaves = jax.tree.leaves(jax.eval_shape(parameters))
    table = 4 * sum(x.size for x in leaves if x.shape[:1] == (graph.num_entities,))
    # A triple itself, and in each of two queries an answer, what stands below it, a relation and a start.
    triples = 0 if config.stream_triples else len(graph.train) * (12 + 2 * 16) + 8 * graph.num_entities
    places = graph.num_entities * (4 + graph.present.shape[1])
    features = sum(jnp.dtype(config.precision).itemsize * rows.size for rows in graph.features.values())
    return _Sizes(features, table, 4 * sum(x.size for x in leaves) - table + triples + places)


def _gb(size) -> str:
    return f'{size / 1e9:.3g} GB'
