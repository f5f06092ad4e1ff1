"""One training step, and the loop of steps that runs on the device without the host."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training import train_state
from jaxtyping import Array, Int, PyTree

from mans_jax.config import Config
from mans_jax.graph import KnownTriples, Triple
from mans_jax.losses import LOSSES
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding, init_params
from mans_jax.optim import OPTIMIZERS
from mans_jax.sampling import SAMPLERS, STRATEGIES, Sampler, View


class TrainState(train_state.TrainState):
    """Everything that a step changes; with the config and the data, all that a resume needs.

    Attributes:
        sampler_state: what the negative sampler remembers.
        totals: the running epoch's sums of 'loss' and 'virtual_share' over its steps, and 'gradient_norm' and
            'update_norm' of its last step.
    """

    sampler_state: PyTree
    totals: dict[str, Array]


@struct.dataclass
class TrainingData:
    """What a step reads and never changes.

    Attributes:
        triples: Triple of int32[N], the training set.
        known: the triples that negatives are filtered by.
        frozen: features and presence, from `models.frozen_variables`.
    """

    triples: Triple
    known: KnownTriples
    frozen: dict


def make_sampler(config: Config, data: TrainingData) -> Sampler:
    """The negative sampler that a config describes: virtual negatives take all modalities but structure."""
    base = SAMPLERS[config.sampler](data.known, config.num_negatives)
    present = data.frozen['present']
    replace = jnp.arange(present.shape[1]) > 0
    options = {'share': config.share, 'marks': config.marks, 'where_cross_is_closer': config.where_cross_is_closer}
    return STRATEGIES[config.strategy](base, replace, present, **options)


def init_state(model: MultiModalEmbedding, config: Config, data: TrainingData) -> TrainState:
    """The state before the first step, which the config's seed decides."""
    params_key, sampler_key, _, _ = _named_keys(config)
    return TrainState.create(
        apply_fn=model.apply,
        params=init_params(model, params_key),
        tx=OPTIMIZERS[config.optimizer](config.learning_rate),
        sampler_state=make_sampler(config, data).init(sampler_key),
        totals={name: jnp.zeros(()) for name in ('loss', 'virtual_share', 'gradient_norm', 'update_norm')},
    ).replace(step=jnp.zeros((), jnp.int32))


def make_train_steps(model: MultiModalEmbedding, config: Config, steps_per_epoch: int) -> Callable:
    """Makes the jitted loop over training steps.

    Args:
        model: the model.
        config: the recipe.
        steps_per_epoch: steps after which the training set is shuffled anew.

    Returns:
        train_steps(state, data, num_steps) -> state, compiled once for any number of steps. The given state's buffers
        are reused. The steps must end before or at the end of the running epoch. Which calls the steps are spread
        over makes no difference to any bit of the result.
    """
    total_steps = config.num_epochs * steps_per_epoch
    loss_of = LOSSES[config.loss](config.margin, config.temperature)
    _, _, order_key, steps_key = _named_keys(config)

    def train_step(state: TrainState, data: TrainingData, sampler: Sampler, order: Int[Array, 'N']) -> TrainState:
        batch_key, sample_key = jax.random.split(jax.random.fold_in(steps_key, state.step))
        positives = _draw_batch(config, data.triples, order, state.step % steps_per_epoch, batch_key)

        def pair_scores(params, positives, corruption):
            return model.apply({PARAMS: params, FROZEN: data.frozen}, positives, corruption, method=model.score_pairs)

        view = View(progress=state.step / total_steps, parameters=state.params, pair_scores_fn=pair_scores)
        corruption, sampler_state = sampler.sample(state.sampler_state, sample_key, positives, view)

        def loss_fn(params):
            variables = {PARAMS: params, FROZEN: data.frozen}
            positive, negative = model.apply(variables, positives, corruption, method=model.score_batch)
            return loss_of(positive, negative)

        loss, gradients = jax.value_and_grad(loss_fn)(state.params)
        totals = _add_to_totals(state, gradients, loss, jnp.mean(corruption.virtual()), steps_per_epoch)
        return state.apply_gradients(grads=gradients, sampler_state=sampler_state, totals=totals)

    @partial(jax.jit, donate_argnums=0)
    def train_steps(state: TrainState, data: TrainingData, num_steps) -> TrainState:
        sampler = make_sampler(config, data)
        num_triples = data.triples.head.shape[0]
        order = jax.random.permutation(jax.random.fold_in(order_key, state.step // steps_per_epoch), num_triples)
        # A loop with a traced bound, unlike a scan, is one program for a whole epoch and for a part of one.
        return jax.lax.fori_loop(0, num_steps, lambda _, state: train_step(state, data, sampler, order), state)

    return train_steps


def _draw_batch(config, triples, order, step_in_epoch, key) -> Triple:
    if config.with_replacement:
        index = jax.random.randint(key, (config.batch_size,), 0, order.shape[0])
    else:
        index = jax.lax.dynamic_slice_in_dim(order, step_in_epoch * config.batch_size, config.batch_size)
    return jax.tree.map(lambda ids: ids[index], triples)


def _add_to_totals(state, gradients, loss, virtual_share, steps_per_epoch):
    """Adds a step to the epoch's totals, which start anew with the first step of an epoch.

    The norms read every parameter's gradient and update once more, so only the last step of an epoch computes them.
    """

    def norms():
        updates, _ = state.tx.update(gradients, state.opt_state, state.params)
        return optax.global_norm(gradients), optax.global_norm(updates)

    is_first = state.step % steps_per_epoch == 0
    is_last = state.step % steps_per_epoch == steps_per_epoch - 1
    gradient_norm, update_norm = jax.lax.cond(is_last, norms, lambda: (jnp.zeros(()), jnp.zeros(())))
    before = jax.tree.map(lambda total: jnp.where(is_first, 0, total), state.totals)
    return {
        'loss': before['loss'] + loss,
        'virtual_share': before['virtual_share'] + virtual_share,
        'gradient_norm': gradient_norm,
        'update_norm': update_norm,
    }


def _named_keys(config):
    """The keys of parameters, sampler state, order of the triples and steps."""
    return jax.random.split(jax.random.key(config.seed), 4)
