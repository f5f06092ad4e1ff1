"""A run: what its config makes of a graph, and what its workdir keeps of the training."""

import dataclasses
import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from mans_jax.checkpoints import Checkpoints
from mans_jax.config import Config, from_fields
from mans_jax.data import load_graph
from mans_jax.errors import InputError, NotServable
from mans_jax.graph import KnowledgeGraph, KnownTriples
from mans_jax.host_memory import Fetcher, Host, host_device, on_host, project_all, without_features
from mans_jax.host_plan import steps_per_block, what_stays
from mans_jax.models import MultiModalEmbedding, frozen_variables, model_for
from mans_jax.samplers import NORMAL
from mans_jax.scoring import SCORES
from mans_jax.sharding import entity_rows, make_mesh, pad_rows, place, shardings
from mans_jax.streaming import TripleStream
from mans_jax.training_step import TrainingData, TrainState, check_sampler, init_state, training_data


@dataclasses.dataclass(frozen=True)
class Run:
    """The fixed parts of a run, made from its config."""

    config: Config
    graph: KnowledgeGraph
    model: MultiModalEmbedding
    data: TrainingData
    known: KnownTriples
    steps_per_epoch: int
    # What of it stays on the host, where anything does.
    host: Host | None = None

    @property
    def total_steps(self) -> int:
        """Steps from the first to the last."""
        return self.steps_per_epoch * self.config.num_epochs

    def frozen(self, params: dict) -> dict:
        """What the model with these parameters is frozen with, for all entities."""
        if self.host is None or self.host.fetcher is None:
            return self.data.frozen
        return project_all(self.model, params, self.host.fetcher, self.data.frozen['present'])


def prepare_run(config: Config) -> Run:
    """Reads the graph of a config and makes the run of it.

    Raises:
        InputError: the files cannot be used, or the config does not fit them.
    """
    graph, report = load_graph(
        config.data,
        config.features,
        splits=config.splits,
        ratios=config.split_ratios,
        mapped=bool(config.device_memory_gb),
    )
    modalities = ', '.join(graph.modalities)
    logging.info('%s: %d entities seen through %s', graph.name, graph.num_entities, modalities)
    if report.line():
        logging.warning('%s: %s', graph.name, report.line())
    return make_run(config, graph)


def make_run(config: Config, graph: KnowledgeGraph) -> Run:
    """The model and the device's data for a graph.

    Raises:
        NotServable: the graph cannot serve the config.
        InputError: an option of the config's sampler makes no sense, or features stay on the host and it or the loss
            cannot go without them.
    """
    if config.batch_size > len(graph.train):
        raise NotServable(
            f'config.batch_size is {config.batch_size}, but {graph.name} has only {len(graph.train)} train triples'
        )
    if not graph.features and config.sampler_text().exchanges_modalities():
        field = 'sampler' if config.strategy == NORMAL else 'strategy'
        raise NotServable(
            f'config.{field} is {getattr(config, field)!r}, but {config.data} is read without any modality beside '
            f'structure: add one with --config.features.NAME=FILE, or set config.strategy to normal'
        )
    model = model_for(
        graph,
        SCORES[config.score],
        dim=config.dim,
        normalize=config.normalize,
        absent=config.absent,
        precision=config.precision,
        substitutes=config.substitution_weight > 0,
    )
    stays = what_stays(config, graph, model)
    with jax.default_device(host_device() if stays.triples else None):
        data = training_data(config, graph, without_features(graph) if stays.features or stays.triples else None)
    if stays.triples and not stays.features:
        data = data.replace(frozen=frozen_variables(graph, config.absent, config.precision))
    if data.known.max_answers >= graph.num_entities:
        raise NotServable(
            f'{graph.name}: some entity and relation of train are answered by all {graph.num_entities} entities, so '
            f'that no negative can be drawn; leave that relation out'
        )
    try:
        drawn = check_sampler(model, config, data)
    except ValueError as error:
        raise InputError(f'config.sampler is {config.sampler!r}: {error}') from None
    with jax.default_device(host_device() if stays.triples else None):
        known = KnownTriples.build(
            np.concatenate([graph.train, graph.valid, graph.test]),
            num_entities=graph.num_entities,
            num_relations=graph.num_relations,
        )
    return Run(
        config=config,
        graph=graph,
        model=model,
        data=data,
        known=known,
        steps_per_epoch=len(graph.train) // config.batch_size,
        host=_host_of(config, graph, model, data, stays, drawn) if any(stays[:3]) else None,
    )


def _host_of(config, graph, model, data, stays, drawn) -> Host:
    if stays.table or stays.triples:
        try:
            check_sampler(model, config, data, ahead=True)
        except ValueError:
            raise InputError(
                f'config.sampler is {config.sampler!r}, which looks at the model before it has drawn, but {stays.why}: '
                f'take another sampler, or {stays.cure}'
            ) from None
    num_negatives = drawn.entity.size // (drawn.chunk or 1)
    return Host(
        steps_per_block=steps_per_block(config, graph, model, stays, num_negatives),
        num_negatives=num_negatives,
        fetcher=Fetcher(graph, config.absent, config.precision) if stays.features else None,
        table=stays.table,
        stream=TripleStream(graph.train, config.batch_size) if stays.triples else None,
        present=graph.present,
    )


def with_seed(run: Run, seed: int) -> Run:
    """The same run with another seed."""
    config = dataclasses.replace(run.config, seed=seed)
    return dataclasses.replace(run, config=config, data=run.data.replace(seed=np.uint32(seed)))


def on_mesh(run: Run) -> Run:
    """The same run with its data on the mesh of its config, of which its model knows; the run itself without one.

    Raises:
        InputError: the devices do not fill the mesh.
    """
    mesh = make_mesh(run.config.mesh)
    if mesh is None:
        return run
    model = run.model.clone(mesh=mesh)
    if run.host:
        # Triples and what is drawn from stay where they are.
        return dataclasses.replace(run, model=model, data=run.data.replace(frozen=place(run.data.frozen, mesh)))
    return dataclasses.replace(run, model=model, data=place(run.data, mesh), known=place(run.known, mesh))


def first_state(run: Run) -> TrainState:
    """The state before the first step, on the device or on the mesh of the run; no device makes more than its part."""
    if run.host and run.host.table:
        with jax.default_device(host_device()):
            state = on_host(init_state(run.model, run.config, run.data))
        device = jax.local_devices()[0]
        return jax.tree.map(lambda x: x if isinstance(x, np.ndarray) else jax.device_put(x, device), state)
    mesh = run.model.mesh
    if mesh is None:
        # On its device as a restored state is: to JAX, one that has no place of its own is another program's.
        return jax.device_put(init_state(run.model, run.config, run.data), jax.local_devices()[0])

    def make(data):
        return pad_rows(init_state(run.model, run.config, data), mesh)

    places = shardings(jax.eval_shape(make, run.data), mesh)
    return jax.jit(make, out_shardings=places)(run.data)


def state_like(run: Run) -> TrainState:
    """The shapes of a state of the run, and where its arrays go."""
    if run.host and run.host.table:
        return on_host(jax.eval_shape(lambda: init_state(run.model, run.config, run.data)))
    mesh = run.model.mesh
    if mesh is None:
        return jax.eval_shape(lambda: init_state(run.model, run.config, run.data))
    like = jax.eval_shape(lambda data: pad_rows(init_state(run.model, run.config, data), mesh), run.data)
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), like, shardings(like, mesh)
    )


def load_run(workdir, mesh: str = '') -> tuple[Run, TrainState]:
    """A trained run as it was tested: its graph, model and the best state on valid, or the last one.

    Args:
        workdir: the folder of the run.
        mesh: on which it is read, whatever it was trained on, as `Config.mesh`; by default on one device.

    Raises:
        InputError: there is no run or no whole checkpoint in it, it is a newer version's, the files of its graph are
            not those that it was trained on, or the devices do not fill the mesh.
    """
    workdir = Path(workdir)
    config = dataclasses.replace(_with_paths_of_then(read_config(workdir), workdir), mesh=mesh)
    if mesh:
        # Of what one device would leave on the host, each of several has its share.
        config = dataclasses.replace(config, device_memory_gb=0.0, stream_triples=False)
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        step = _tested_step(config, checkpoints)
        if step is None:
            raise InputError(f'{workdir}: no checkpoint of this run is there; train it first')
        run = on_mesh(prepare_run(config))
        check_graph(run.graph, checkpoints.read_record(step)['graph'], workdir)
        # It is trained no more: what its parameters make of features that stay on the host is made once.
        state = jax.tree.map(jnp.asarray, restore_tested(run, checkpoints))
        return dataclasses.replace(run, data=run.data.replace(frozen=run.frozen(state.params))), state


def restore_tested(run: Run, checkpoints: Checkpoints) -> TrainState:
    """The state that is tested: the best on valid, or the last one where nothing was validated.

    Raises:
        InputError: as `Checkpoints.restore`.
    """
    step = _tested_step(run.config, checkpoints)
    return checkpoints.restore(step, state_like(run), num_entities=run.graph.num_entities)


def _tested_step(config, checkpoints) -> int | None:
    step = checkpoints.best_step() if config.evaluate_every else None
    return checkpoints.latest_step() if step is None else step


def parameters_digest(params: dict, num_entities: int) -> str:
    """What tells trained parameters from others, in a file beside them; the same on every mesh."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(entity_rows(jax.tree.map(np.asarray, params), num_entities)):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:16]


def read_config(workdir: Path) -> Config:
    """The config that a run was made with.

    Raises:
        InputError: the folder holds no run, or one of a newer version.
    """
    path = workdir / 'config.json'
    try:
        fields = dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise InputError(
            f'{workdir}: no run in this folder, as it has no config.json; name the --workdir of one'
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path}: cannot be read ({error})') from None
    return from_fields(fields, str(path))


def _with_paths_of_then(config: Config, workdir: Path) -> Config:
    """The config with relative paths that lead nowhere from here taken from the folder that the run was begun in."""
    try:
        folder = Path(json.loads((workdir / 'provenance.json').read_text())['folder'])
    except (OSError, ValueError, TypeError, KeyError):
        return config  # Of before that was written down, or a copy without it.

    def found(path):
        return str(folder / path) if not Path(path).exists() and (folder / path).exists() else path

    features = {name: found(path) for name, path in config.features.items()}
    return dataclasses.replace(config, data=found(config.data), features=features)


def check_graph(graph: KnowledgeGraph, checksum: str, workdir: Path) -> None:
    """Refuses a graph that is not the one a run was trained on.

    Raises:
        InputError: its checksum is another.
    """
    found = graph.checksum()
    if found != checksum:
        raise InputError(
            f'config.data or config.features: the files are not those that the run in {workdir} began with '
            f'(checksum {found[:12]}, then {checksum[:12]}): restore them, or choose another --workdir'
        )
