"""What a sampler costs: triples that are scored, parameters and memory of its own, and time."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mans_jax.objectives import OBJECTIVES
from mans_jax.runs import Run, with_seed
from mans_jax.training import programs_of
from mans_jax.training_step import init_state, sampler_of, view_of

_FIRST_MOMENT = 'mu'
"""The name by which Optax keeps, for each parameter that Adam trains, the mean of its gradients."""

_STEPS_PER_CALL = 100


class Costs(NamedTuple):
    """What a step and the sampler of a run take.

    Attributes:
        triples_per_step: that the model scores: positives, negatives, what the sampler asks it for, and both ways round
            whether an intruder may stand for what it replaces, where that is learned. Read off the traced step, so that
            what a sampler does only now and then counts every time, and work of the sampler's own that is no score of
            the model does not.
        parameters: that the sampler trains, told by the moments that its Adam has of them.
        state_bytes: what it remembers, its parameters and their optimiser included.
        table_bytes: what it looks up, besides the known triples that every sampler has.
    """

    triples_per_step: int
    parameters: int
    state_bytes: int
    table_bytes: int


def costs_of(run: Run) -> Costs:
    """Counts without training or compiling anything."""
    scored = _scored_by_objective(run) if run.config.loss in OBJECTIVES else _scored_with_sampler(run)
    state = jax.eval_shape(lambda: init_state(run.model, run.config, run.data))
    moments = [moment for _, moment in optax.tree.get_all_with_path(state.sampler_state, _FIRST_MOMENT)]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(moments))
    return Costs(scored, parameters, _bytes(state.sampler_state), _bytes(run.data.tables))


def seconds_of_a_step(run: Run, seeds: Sequence[int], at_least: float) -> float:
    """Measures the time of a step for each of the seeds that train together, after compilation.

    Args:
        run: the run.
        seeds: S of them.
        at_least: seconds to go on for.
    """
    program = programs_of(run)(seeds)
    runs = [with_seed(run, seed) for seed in seeds]
    states = program.join([init_state(own.model, own.config, own.data) for own in runs])
    states, steps, seconds = jax.block_until_ready(program.train_steps(states, 0)), 0, 0.0
    while seconds < at_least:
        number = min(_STEPS_PER_CALL, run.steps_per_epoch - steps % run.steps_per_epoch)
        began = time.perf_counter()
        states = jax.block_until_ready(program.train_steps(states, number))
        seconds, steps = seconds + time.perf_counter() - began, steps + number
    return seconds / steps / len(seeds)


def bytes_of_a_seed(run: Run) -> int:
    """The memory of what a seed trains: parameters, optimiser and sampler."""
    return _bytes(jax.eval_shape(lambda: init_state(run.model, run.config, run.data)))


def _scored_by_objective(run) -> int:
    """Of a loss that takes no negatives: all entities on both sides, or the facts alone where the rest is closed."""
    both_sides = 2 * run.graph.num_entities
    return run.config.batch_size * (1 if run.config.loss == 'non_sampling' else both_sides)


def _scored_with_sampler(run) -> int:
    scored, batch_size = [], run.config.batch_size

    def counting(score):
        def count(parameters, positives, corruption):
            scored.append(math.prod(corruption.entity.shape))
            return score(parameters, positives, corruption)

        return count

    def draw(key):
        state = init_state(run.model, run.config, run.data)
        positives = jax.tree.map(lambda ids: ids[:batch_size], run.data.triples)
        view = view_of(run.model, state.params, run.data.frozen, jnp.float32(0))
        view = view.replace(scores_fn=counting(view.scores_fn), pair_scores_fn=counting(view.pair_scores_fn))
        return sampler_of(run.config, run.data).sample(state.sampler_state, key, positives, view)[0]

    corruption = jax.eval_shape(draw, jax.random.key(0))
    of_a_negative = 3 if run.model.substitutes else 1
    return batch_size + of_a_negative * math.prod(corruption.entity.shape) + sum(scored)


def _bytes(tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
