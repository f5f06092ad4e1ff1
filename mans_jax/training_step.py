"""One training step, and the loop of steps that runs on the device without the host."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training import train_state
from jaxtyping import Array, Float, Int, PyTree, UInt

from mans_jax.compiling import compiled
from mans_jax.config import Config
from mans_jax.graph import KnowledgeGraph, KnownTriples, Triple
from mans_jax.losses import LOSSES, WITH_MARGIN, excuse_substitutes
from mans_jax.models import FROZEN, OFFSETS, PARAMS, MultiModalEmbedding, fetched, frozen_variables, init_params
from mans_jax.objectives import OBJECTIVES
from mans_jax.optim import ENTITY, OPTIMIZERS, RowSparse, apply_row_updates, distinct_rows, take_rows
from mans_jax.optim_on_mesh import on_mesh
from mans_jax.samplers import Inputs, around_drawn, build_tables, make_sampler, modalities_to_replace, what_draws
from mans_jax.sampling import Corruption, Sampler, View
from mans_jax.scoring import SCORES
from mans_jax.sharding import entity_rows, settle, split_batch


class TrainState(train_state.TrainState):
    """Everything that a step changes; with the config and the data, all that a resume needs.

    Attributes:
        sampler_state: what the negative sampler remembers.
        totals: sums over the running epoch's steps of the 'loss' and the 'virtual_share' of negatives.
    """

    sampler_state: PyTree
    totals: dict[str, Array]


@struct.dataclass
class TrainingData:
    """What a step reads and never changes.

    Attributes:
        triples: Triple of int32[N], the training set.
        known: the triples that negatives are filtered by.
        frozen: features and presence, from `models.frozen_variables`; of features on the host, those of some entities,
            see `host_memory.Fetcher`.
        tables: what the sampler looks up, from `samplers.build_tables`.
        seed: uint32[], what everything random is drawn from. Data and no setting, so that one program serves all seeds.
    """

    triples: Triple
    known: KnownTriples
    frozen: dict
    tables: PyTree
    seed: UInt[Array, '']


def training_data(config: Config, graph: KnowledgeGraph, frozen: dict | None = None) -> TrainingData:
    """What the training of a config reads of a graph, on the device; of streamed triples, a first batch in their place.

    Args:
        config: the recipe.
        graph: the graph.
        frozen: what stands for its features, where they are not to be put on the device.

    Raises:
        NotServable: the graph cannot serve the config's sampler.
        InputError: an option of it has a value that makes no sense.
    """
    sizes = {'num_entities': graph.num_entities, 'num_relations': graph.num_relations}
    return TrainingData(
        triples=Triple.from_rows(
            jnp.asarray(graph.train[: config.batch_size] if config.stream_triples else graph.train)
        ),
        known=KnownTriples.build(graph.train, **sizes),
        frozen=frozen_variables(graph, config.absent, config.precision) if frozen is None else frozen,
        tables=build_tables(config.sampler_text(), graph),
        seed=jnp.uint32(config.seed),
    )


def sampler_of(config: Config, data: TrainingData) -> Sampler:
    """The negative sampler that a config describes.

    Raises:
        ValueError: an option of it has a value that makes no sense.
    """
    return make_sampler(config.sampler_text(), _inputs(config, data), data.tables)


def drawer_of(config: Config, data: TrainingData) -> Sampler:
    """The part of that sampler that draws; what judges by the model around it is left to the step."""
    text, tables = what_draws(config.sampler_text(), data.tables)
    return make_sampler(text, _inputs(config, data), tables)


def _inputs(config, data) -> Inputs:
    present = data.frozen['present']
    if data.known is not None:
        present = entity_rows(data.frozen, data.known.num_entities)['present']
    return Inputs(
        known=data.known,
        present=None if config.exchange_absent else present,
        replace=modalities_to_replace(present.shape[1]),
        num_negatives=config.num_negatives,
        dim=config.dim,
        relation_width=SCORES[config.score].relation_width(config.dim),
    )


def check_sampler(model: MultiModalEmbedding, config: Config, data: TrainingData, *, ahead: bool = False) -> Corruption:
    """Lets the sampler draw for a batch, in shapes alone: nothing is compiled.

    Args:
        model: the model.
        config: the recipe.
        data: what it trains on.
        ahead: whether the part that draws must do so without the model.

    Returns:
        The shapes of what it draws.

    Raises:
        ValueError: an option of it has a value that makes no sense, or it cannot serve this model and batch.
    """
    sampler = drawer_of(config, data) if ahead else sampler_of(config, data)

    def draw(key):
        params_key, state_key, sample_key = jax.random.split(key, 3)
        positives = jax.tree.map(lambda ids: ids[: config.batch_size], data.triples)
        view = view_of(model, init_params(model, params_key), data.frozen, jnp.float32(0))
        view = View(progress=view.progress) if ahead else view
        return sampler.sample(sampler.init(state_key), sample_key, positives, view)

    return jax.eval_shape(draw, jax.random.key(0))[0]


def init_state(model: MultiModalEmbedding, config: Config, data: TrainingData) -> TrainState:
    """The state before the first step, which the seed decides."""
    keys = _named_keys(data.seed)
    return TrainState.create(
        apply_fn=model.apply,
        params=init_params(model.clone(mesh=None), keys.params),
        tx=_optimizer(config.optimizer, config.learning_rate),
        sampler_state=sampler_of(config, data).init(keys.sampler),
        totals={name: jnp.zeros(()) for name in ('loss', 'virtual_share')},
    ).replace(step=jnp.zeros((), jnp.int32))


@functools.cache
def _optimizer(name, learning_rate):
    """One for all states: functions that do the same are others to JAX where they are made anew."""
    return OPTIMIZERS[name](learning_rate)


def view_of(model: MultiModalEmbedding, params: dict, frozen: dict, progress: Float[Array, '']) -> View:
    """What a sampler may know of a model in training; a function that none asks for costs nothing."""

    def applied(method):
        return lambda params, *arguments: model.apply({PARAMS: params, FROZEN: frozen}, *arguments, method=method)

    return View(
        progress=progress,
        parameters=params,
        scores_fn=applied(model.score_negatives),
        pair_scores_fn=applied(model.score_pairs),
        entity_vectors_fn=applied(lambda module, entities: module.embed(entities).vectors),
        relation_vectors_fn=applied(model.relations),
        query_vectors_fn=applied(lambda module, *query: module.query(*query).vectors),
    )


class Drawn(NamedTuple):
    """What S steps take that was drawn before.

    Attributes:
        positives: Triple of int32[S, B].
        corruption: [S, B, K], from `drawer_of`; `data` then needs no triples, neither to draw nor to filter by. None
            where the steps draw their negatives themselves.
    """

    positives: Triple
    corruption: Corruption | None = None


class TrainingLoop(NamedTuple):
    """The jitted functions of a training run, each compiled once.

    Attributes:
        train_steps: (state, data, num_steps) -> state. The given state's buffers are reused. The steps must end before
            or at the end of the running epoch; over which calls they are spread changes no bit of the result.
        next_norms: (state, data) -> (gradient norm, update norm) of the step that comes next, which is not taken.
            Within the loop they would cost every step one more pass over all parameters.

    Both also take `Drawn`, where the batches of the steps to come were drawn before. Inside a jit of one's own,
    `inspect.unwrap` takes the compilation off, see `compiling`.
    """

    train_steps: Callable
    next_norms: Callable


def make_training_loop(model: MultiModalEmbedding, config: Config, steps_per_epoch: int) -> TrainingLoop:
    """Makes the training step and the loop over it.

    Args:
        model: the model.
        config: the recipe.
        steps_per_epoch: steps after which the training set is shuffled anew.
    """
    total_steps = config.num_epochs * steps_per_epoch
    optimizer, mesh = _optimizer(config.optimizer, config.learning_rate), model.mesh
    is_row_sparse, rule = isinstance(optimizer, RowSparse), _rule_of(optimizer, mesh)

    def draws_of(state: TrainState, data: TrainingData, drawn: Drawn | None) -> Callable:
        """(step, how many steps of this call were before it, key of the batch) -> its positives and the sampler."""
        if drawn is None:
            order, sampler = shuffled(data, state.step // steps_per_epoch), sampler_of(config, data)
            return lambda step, place, key: (
                draw_batch(config, data.triples, order, step % steps_per_epoch, key),
                sampler,
            )
        if drawn.corruption is None:
            sampler = sampler_of(config, data)
            return lambda step, place, key: (jax.tree.map(lambda ids: ids[place], drawn.positives), sampler)

        def draws(step, place, key):
            positives, corruption = jax.tree.map(lambda x: x[place], tuple(drawn))
            return positives, around_drawn(config.sampler_text(), _inputs(config, data), corruption)

        return draws

    def differentiate(state: TrainState, data: TrainingData, draws: Callable, place, last) -> _Found:
        """One step's gradients, and what else it found out."""
        batch_key, sample_key = step_keys(data, state.step)
        positives, sampler = draws(state.step, place, batch_key)
        positives = split_batch(positives, mesh)

        seen_by, params, rows = _Seen(model, data.frozen), state.params, ()

        if config.loss in OBJECTIVES:
            objective = OBJECTIVES[config.loss](config.non_fact_weight)
            sampler_state, virtual_share = state.sampler_state, jnp.zeros(())

            def loss_fn(params):
                return objective(model, seen_by.variables(params), data.known, positives)

        else:
            now = seen_by.variables(state.params)
            view = view_of(model, now[PARAMS], now[FROZEN], progress_of(state.step, total_steps))
            corruption, sampler_state = sampler.sample(state.sampler_state, sample_key, positives, view)
            (method, loss_of), virtual_share = _scores_and_loss(config), corruption.virtual()
            if is_row_sparse and mesh is None:
                named, positives, corruption, last = _renumber(last, positives, corruption)
                seen_by, params = seen_by.at_rows(named), {**params, ENTITY: take_rows(params[ENTITY], named)}
                rows = (named,)
            elif is_row_sparse:
                asked = positives.head, positives.tail, _intruders(corruption)
                offsets = tuple(jnp.zeros((*ids.shape, model.dim)) for ids in asked)
                seen_by, params, rows = seen_by._replace(table=params[ENTITY]), {**params, ENTITY: offsets}, (asked,)

            def loss_fn(params):
                scores = seen_by.model.apply(seen_by.variables(params), positives, corruption, method=method)
                return loss_of(*scores, corruption.weight, corruption.margin_scale)

        loss, gradients = jax.value_and_grad(loss_fn)(params)
        sums = {'loss': loss, 'virtual_share': jnp.mean(virtual_share)}
        return _Found(gradients, rows, sampler_state, sums, last)

    def train_step(place, carried, data, draws):
        state, last = carried
        found = differentiate(state, data, draws, place, last)
        is_first = state.step % steps_per_epoch == 0
        totals = jax.tree.map(lambda total, x: jnp.where(is_first, 0, total) + x, state.totals, found.sums)
        params, opt_state = rule.update(found.gradients, state.opt_state, state.params, *found.rows)
        stepped = state.replace(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            sampler_state=found.sampler_state,
            totals=totals,
        )
        return settle(stepped, mesh), found.last

    def unseen():
        return jnp.zeros(model.num_entities if is_row_sparse and mesh is None else 0, jnp.int32)

    def train_steps(state: TrainState, data: TrainingData, num_steps, drawn: Drawn | None = None) -> TrainState:
        step = functools.partial(train_step, data=data, draws=draws_of(state, data, drawn))
        # A loop with a traced bound, unlike a scan, is one program for a whole epoch and for a part of one.
        return jax.lax.fori_loop(0, num_steps, step, (state, unseen()))[0]

    def next_norms(state: TrainState, data: TrainingData, drawn: Drawn | None = None):
        found = differentiate(state, data, draws_of(state, data, drawn), 0, unseen())
        return rule.norms(found.gradients, state.opt_state, state.params, *found.rows)

    return TrainingLoop(compiled(train_steps, donate_argnums=0), compiled(next_norms))


def _scores_and_loss(config) -> tuple[str, Callable]:
    """Which method of the model scores a batch, and the loss of what it returns, weights and shares of the margin."""
    loss = LOSSES[config.loss](config.margin, config.temperature)
    if not config.substitution_weight:
        return 'score_batch', loss
    return 'score_batch_and_substitutes', functools.partial(
        excuse_substitutes,
        loss,
        margin=config.margin if config.loss in WITH_MARGIN else 0.0,
        substitution_weight=config.substitution_weight,
        substitution_share=config.substitution_share,
    )


class _Found(NamedTuple):
    """What a step finds out: with a RowSparse optimiser the gradients of the entity table are those of `rows[0]`.

    That is int32[U], or on a mesh several arrays of ids.
    """

    gradients: dict
    rows: tuple
    sampler_state: PyTree
    sums: dict[str, Array]
    last: Int[Array, 'E']


class _Seen(NamedTuple):
    """The model with what it is frozen with, of all entities or of some; or with a table that offsets are added to."""

    model: MultiModalEmbedding
    frozen: dict
    table: Array | None = None

    def variables(self, params):
        if self.table is None:
            return {PARAMS: params, FROZEN: self.frozen}
        table, offsets = {**params, ENTITY: self.table}, {'entity': params[ENTITY]}
        return {PARAMS: table, FROZEN: self.frozen, OFFSETS: offsets}

    def at_rows(self, rows) -> '_Seen':
        """Of so many entities, which are numbered by their place in `rows`."""
        model = self.model.clone(num_entities=rows.shape[0], mesh=None)
        if 'place' not in self.frozen:
            return _Seen(model, take_rows(self.frozen, rows))
        # What is no row must not read as one that was not fetched.
        place = self.frozen['place'].at[rows].get(mode='fill', fill_value=0)
        features = {name: fetched(x, place) for name, x in self.frozen['features'].items()}
        return _Seen(model, {'features': features, 'present': take_rows(self.frozen['present'], rows)})


def _intruders(corruption):
    """Those that a chunk shares only once, [B, K] or [B / chunk, K], as a model asks for them."""
    return corruption.intruders().reshape(-1, corruption.entity.shape[1])


def _renumber(last, positives, corruption):
    """The distinct entities of a batch, and the batch with each entity's place among them in place of its id."""
    batch_size = positives.head.shape[0]
    ids = jnp.concatenate([positives.head, positives.tail, corruption.intruders()])
    found = distinct_rows(last, ids)
    head, tail, entity = jnp.split(found.place, [batch_size, 2 * batch_size])
    entity = jnp.repeat(entity.reshape(-1, corruption.entity.shape[1]), corruption.chunk or 1, axis=0)
    return found.rows, Triple(head, positives.relation, tail), corruption.replace(entity=entity), found.last


class _Rule(NamedTuple):
    """How gradients change parameters; both functions take (gradients, state, params, *rows of `_Found`).

    Attributes:
        update: returns (params, state).
        norms: returns the norms of the gradients and of the updates.
    """

    update: Callable
    norms: Callable


def _rule_of(optimizer, mesh) -> _Rule:
    is_row_sparse = isinstance(optimizer, RowSparse)
    if is_row_sparse and mesh is not None:
        return _Rule(*on_mesh(optimizer, mesh))
    apply = apply_row_updates if is_row_sparse else optax.apply_updates

    def update(gradients, state, params, *rows):
        updates, state = optimizer.update(gradients, state, params, *rows)
        return apply(params, updates, *rows), state

    def norms(gradients, state, params, *rows):
        updates, _ = optimizer.update(gradients, state, params, *rows)
        return optax.tree.norm(gradients), optax.tree.norm(updates)

    return _Rule(update, norms)


def progress_of(step: Int[Array, ''], total_steps: int) -> Float[Array, '']:
    """The share of the training that is done."""
    # A division by a constant is compiled to a product with its rounded inverse: step 30 of 100 would be below 0.3.
    return step / jax.lax.optimization_barrier(jnp.float32(total_steps))


def shuffled(data: TrainingData, epoch: Int[Array, '']) -> Int[Array, 'N']:
    """The order of the training set in an epoch."""
    key = jax.random.fold_in(_named_keys(data.seed).order, epoch)
    return jax.random.permutation(key, data.triples.head.shape[0])


def step_keys(data: TrainingData, step: Int[Array, '']) -> tuple[Array, Array]:
    """The keys that a step draws its batch and its negatives with."""
    return tuple(jax.random.split(jax.random.fold_in(_named_keys(data.seed).steps, step)))


def draw_batch(config: Config, triples: Triple, order: Int[Array, 'N'], step_in_epoch: Int[Array, ''], key) -> Triple:
    """The positives of a step, Triple of int32[B]."""
    if config.with_replacement:
        index = jax.random.randint(key, (config.batch_size,), 0, order.shape[0])
    else:
        index = jax.lax.dynamic_slice_in_dim(order, step_in_epoch * config.batch_size, config.batch_size)
    return jax.tree.map(lambda ids: ids[index], triples)


class _Keys(NamedTuple):
    """What is drawn with a key of its own."""

    params: Array
    sampler: Array
    order: Array
    steps: Array


def _named_keys(seed) -> _Keys:
    return _Keys(*jax.random.split(jax.random.key(seed), len(_Keys._fields)))
