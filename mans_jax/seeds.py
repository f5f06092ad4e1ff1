"""Seeds of one run in one program: their states as one, in which every array has an axis of seeds in front."""

import inspect
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.compiling import compiled
from mans_jax.training_step import TrainingData, TrainingLoop


class SeedsProgram(NamedTuple):
    """What is done with the states of S seeds that train together. One seed is an ordinary run, without the axis.

    Their step is one number and not S, so that what a step decides by it, it decides for all of them.

    Attributes:
        join: [the state of each seed] -> states; all of them count as at the step of the first.
        train_steps: (states, num_steps) -> states, as `TrainingLoop.train_steps`.
        next_norms: states -> [(gradient norm, update norm) of each seed], as `TrainingLoop.next_norms`.
        state_of: (states, place) -> the state of one seed.
    """

    join: Callable
    train_steps: Callable
    next_norms: Callable
    state_of: Callable


def seeds_programs(loop: TrainingLoop, data: TrainingData) -> Callable[[Iterable[int]], SeedsProgram]:
    """Trains seeds of a run together, by vmap, or a single one as it is; compiles once for each number of seeds.

    Args:
        loop: of the run.
        data: of the run; its own seed does not matter.

    Returns:
        A function of the seeds, S different ones.
    """
    of_data = jax.tree.map(lambda _: None, data).replace(seed=0)

    def axes_of(states):
        return jax.tree.map(lambda _: 0, states).replace(step=None)

    def train_steps(states, data, num_steps):
        axes = axes_of(states)
        train_steps = inspect.unwrap(loop.train_steps)
        return jax.vmap(train_steps, in_axes=(axes, of_data, None), out_axes=axes)(states, data, num_steps)

    def next_norms(states, data):
        next_norms = inspect.unwrap(loop.next_norms)
        return jnp.stack(jax.vmap(next_norms, in_axes=(axes_of(states), of_data))(states, data), axis=1)

    def state_of(states, place):
        own = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, place, keepdims=False), states.replace(step=()))
        return own.replace(step=states.step)

    compiled_steps, compiled_norms = compiled(train_steps, donate_argnums=0), compiled(next_norms)
    compiled_state_of = jax.jit(state_of)

    def program_of(seeds):
        seeds = np.asarray(list(seeds), np.uint32)  # On no device: on a mesh, each process has its own.
        if len(seeds) == 1:
            own = data.replace(seed=seeds[0])
            return SeedsProgram(
                join=lambda states: states[0],
                train_steps=lambda state, num_steps: loop.train_steps(state, own, num_steps),
                next_norms=lambda state: [loop.next_norms(state, own)],
                state_of=lambda state, place: state,
            )
        of_all = data.replace(seed=seeds)
        return SeedsProgram(
            join=_join,
            train_steps=lambda states, num_steps: compiled_steps(states, of_all, num_steps),
            next_norms=lambda states: jax.device_get(compiled_norms(states, of_all)),
            state_of=compiled_state_of,
        )

    return program_of


def _join(states):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states).replace(step=states[0].step)
