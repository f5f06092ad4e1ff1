"""The loop of training steps by blocks: what the steps of the next block name is fetched while those of this one run.

Which triples and which negatives a step takes follows from the seed and the step alone, so they can be drawn ahead.
Where only features stay on the host, that is for the ids, and the step draws again; else what was drawn is passed on.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.config import Config
from mans_jax.graph import Triple
from mans_jax.host_memory import Host, Named, host_device, put_rows, with_rows
from mans_jax.models import MultiModalEmbedding, init_params
from mans_jax.optim import distinct_rows
from mans_jax.sampling import View
from mans_jax.sharding import on_all
from mans_jax.training_step import (
    Drawn,
    TrainingData,
    TrainingLoop,
    TrainState,
    draw_batch,
    drawer_of,
    make_training_loop,
    progress_of,
    sampler_of,
    shuffled,
    step_keys,
    view_of,
)


class _Block(NamedTuple):
    """Some steps, as far as they can be prepared without the parameters that they begin with."""

    count: int
    drawn: Drawn
    data: TrainingData
    rows: np.ndarray | None


def make_block_loop(model: MultiModalEmbedding, config: Config, steps_per_epoch: int, host: Host) -> TrainingLoop:
    """As `make_training_loop`, where something stays on the host.

    Args:
        model: the model.
        config: the recipe.
        steps_per_epoch: steps after which the training set is shuffled anew.
        host: what stays there.
    """
    room = min(host.steps_per_block * (2 * config.batch_size + host.num_negatives), model.num_entities)
    loop = make_training_loop(model.clone(num_entities=room) if host.table else model, config, steps_per_epoch)
    draw = _drawing(model, config, steps_per_epoch, host)
    order_of = jax.jit(lambda data, step: shuffled(data, step // steps_per_epoch))

    def begin(data: TrainingData, first: int, num_steps: int) -> Iterator[tuple]:
        """Has the draws of all blocks begun, one each time it is asked: (number of steps, Drawn, Named)."""
        if host.stream:
            data = jax.device_put(data.replace(frozen={'present': host.present}), host_device())
        order = None if host.stream else order_of(data, first)
        # Without steps there is still something to compile.
        for done in range(0, max(num_steps, 1), host.steps_per_block):
            count = min(max(num_steps - done, 1), host.steps_per_block)
            if host.stream:
                order = _filled(host.stream.take(int(data.seed), first + done, count), host.steps_per_block)
            drawn, named = draw(data, order, first + done, count)
            yield min(count, num_steps), drawn, named

    def fetch(data, count, drawn, named) -> _Block:
        if host.table:
            rows = np.asarray(named.rows)
            rows = rows[rows < model.num_entities]
            frozen = host.fetcher.part(rows, room)
        else:
            rows, frozen = None, host.fetcher.fetch(named) if host.fetcher else data.frozen
        if drawn.corruption is not None:
            drawn = on_all(drawn, model.mesh) if model.mesh else jax.device_put(drawn, jax.local_devices()[0])
            data = data.replace(triples=None, known=None, tables=None)
        return _Block(count, drawn, data.replace(frozen=frozen), rows)

    def run(state, block):
        part = with_rows(state, block.rows, room) if host.table else state
        stepped = loop.train_steps(part, block.data, block.count, block.drawn)
        return part, stepped

    def train_steps(state: TrainState, data: TrainingData, num_steps: int) -> TrainState:
        begun = begin(data, int(state.step), num_steps)
        block = fetch(data, *next(begun))
        while block is not None:
            # Begun before the steps, for a device does one thing after the other.
            coming = next(begun, None)
            _, stepped = run(state, block)
            following = fetch(data, *coming) if coming else None
            state = put_rows(state, stepped, block.rows) if host.table else stepped
            block = following
        return state

    def next_norms(state: TrainState, data: TrainingData):
        block = fetch(data, *next(begin(data, int(state.step), 1)))
        part = with_rows(state, block.rows, room) if host.table else state
        return loop.next_norms(part, block.data, block.drawn)

    return TrainingLoop(train_steps, next_norms)


def _filled(batches: np.ndarray, steps: int) -> Triple:
    """Batches int32[<= steps, B, 3] as a Triple of int32[steps, B], the last one repeated."""
    return Triple.from_rows(batches[np.minimum(np.arange(steps), len(batches) - 1)])


def _drawing(model, config, steps_per_epoch, host) -> Callable:
    """(data, order or batches, first step, number of steps) -> what they take, Drawn, and all that they name, Named.

    With a table on the host, the entities in Drawn are numbered by their places in Named.
    """
    passed_on, total_steps = host.table or host.stream is not None, config.num_epochs * steps_per_epoch

    def draw_step(data, order, sampler, step, place):
        batch_key, sample_key = step_keys(data, step)
        if host.stream:
            positives = jax.tree.map(lambda ids: ids[place], order)
        else:
            positives = draw_batch(config, data.triples, order, step % steps_per_epoch, batch_key)
        params_key, state_key = jax.random.split(jax.random.key(0))
        if passed_on:
            view = View(progress=progress_of(step, total_steps))
        else:
            # What a negative is decided by but its ids is not asked for, and so not computed.
            view = view_of(model, init_params(model, params_key), data.frozen, jnp.float32(0))
        return Drawn(positives, sampler.sample(sampler.init(state_key), sample_key, positives, view)[0])

    @jax.jit
    def draw(data: TrainingData, order, first, num_steps) -> tuple[Drawn, Named]:
        sampler = (drawer_of if passed_on else sampler_of)(config, data)

        def of_step(place):
            # Steps that are too many name what the last one does.
            place = jnp.minimum(place, num_steps - 1)
            drawn = draw_step(data, order, sampler, first + place, place)
            return drawn if passed_on else Drawn(drawn.positives), drawn.corruption.intruders()

        drawn, entity = jax.lax.map(of_step, jnp.arange(host.steps_per_block))
        ids = jnp.concatenate([ids.ravel() for ids in (drawn.positives.head, drawn.positives.tail, entity)])
        rows = distinct_rows(jnp.zeros(model.num_entities, jnp.int32), ids).rows
        place = jnp.full(model.num_entities, rows.shape[0], jnp.int32)
        place = place.at[rows].set(jnp.arange(rows.shape[0], dtype=jnp.int32), mode='drop')
        return _numbered(drawn, place) if host.table else drawn, Named(rows, place)

    return draw


def _numbered(drawn, place) -> Drawn:
    positives, corruption = drawn
    positives = positives.replace(head=place[positives.head], tail=place[positives.tail])
    return Drawn(positives, corruption.replace(entity=place[corruption.entity]))
