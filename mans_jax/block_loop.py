"""The loop of training steps by blocks: what the steps of the next block name is fetched while those of this one run.

Which triples and which negatives a step takes follows from the seed and the step alone, so they can be drawn ahead:
first without anything that is learnt, for the ids, and again in the step itself, for what becomes of them there.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mans_jax.config import Config
from mans_jax.graph import Triple
from mans_jax.host_memory import Fetcher, Named
from mans_jax.models import MultiModalEmbedding, init_params
from mans_jax.optim import distinct_rows
from mans_jax.training_step import (
    TrainingData,
    TrainingLoop,
    TrainState,
    draw_batch,
    make_training_loop,
    sampler_of,
    shuffled,
    step_keys,
    view_of,
)


def make_block_loop(
    model: MultiModalEmbedding, config: Config, steps_per_epoch: int, fetcher: Fetcher, steps_per_block: int
) -> TrainingLoop:
    """As `make_training_loop`, for features that stay on the host.

    Args:
        model: the model.
        config: the recipe.
        steps_per_epoch: steps after which the training set is shuffled anew.
        fetcher: of the features.
        steps_per_block: S, for how many steps rows are fetched together.
    """
    loop = make_training_loop(model, config, steps_per_epoch)
    draw = _drawing(model, config, steps_per_epoch, steps_per_block)
    order_of = jax.jit(lambda data, step: shuffled(data, step // steps_per_epoch))

    def train_steps(state: TrainState, data: TrainingData, num_steps: int) -> TrainState:
        first = int(state.step)
        order = order_of(data, first)

        def draw_from(done):
            return draw(data, order, first + done, min(max(num_steps - done, 1), steps_per_block))

        # Without steps there is still something to compile.
        drawn, named = draw_from(0)
        frozen = fetcher.fetch(named)
        for done in range(0, max(num_steps, 1), steps_per_block):
            now, positives = data.replace(frozen=frozen), drawn
            count = min(num_steps - done, steps_per_block)
            if done + steps_per_block < num_steps:
                # Before the steps, for a device does one thing after the other; and both are only begun here.
                drawn, named = draw_from(done + steps_per_block)
                state = loop.train_steps(state, now, count, positives)
                frozen = fetcher.fetch(named)
            else:
                state = loop.train_steps(state, now, count, positives)
        return state

    def next_norms(state: TrainState, data: TrainingData):
        drawn, named = draw(data, order_of(data, state.step), state.step, 1)
        return loop.next_norms(state, data.replace(frozen=fetcher.fetch(named)), drawn)

    return TrainingLoop(train_steps, next_norms)


def _drawing(model, config, steps_per_epoch, steps_per_block) -> Callable:
    """(data, order, first step, number of steps) -> the positives of so many steps, [S, B], and all that they name."""

    @jax.jit
    def draw(data: TrainingData, order: Int[Array, 'N'], first, num_steps) -> tuple[Triple, Named]:
        sampler = sampler_of(config, data)

        def of_step(place):
            # Steps that are too many name what the last one does.
            step = first + jnp.minimum(place, num_steps - 1)
            batch_key, sample_key = step_keys(data, step)
            positives = draw_batch(config, data.triples, order, step % steps_per_epoch, batch_key)
            params_key, state_key = jax.random.split(jax.random.key(0))
            # What a negative is decided by but its ids is not asked for, and so not computed.
            view = view_of(model, init_params(model, params_key), data.frozen, jnp.float32(0))
            corruption, _ = sampler.sample(sampler.init(state_key), sample_key, positives, view)
            return positives, corruption.intruders()

        positives, entity = jax.lax.map(of_step, jnp.arange(steps_per_block))
        ids = jnp.concatenate([ids.ravel() for ids in (positives.head, positives.tail, entity)])
        rows = distinct_rows(jnp.zeros(model.num_entities, jnp.int32), ids).rows
        place = jnp.full(model.num_entities, rows.shape[0], jnp.int32)
        return positives, Named(rows, place.at[rows].set(jnp.arange(rows.shape[0]), mode='drop'))

    return draw
