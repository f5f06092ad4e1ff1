"""A training of which some steps at a time are timed."""

import time

import jax

from mans_jax.models import model_for
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, training_data


class Training:
    """A training that goes on for some steps whenever it is asked to.

    Attributes:
        config: the validated recipe.
        model: the model.
        data: what a step reads.
        state: what it has come to.
        tables_seconds: how long `data` took to be made.
    """

    def __init__(self, graph, config, steps):
        """Compiles it and lets it begin with so many steps, as many as each `run` takes."""
        self.steps, self.config = steps, config.validate()
        self.model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=config.normalize)
        start = time.perf_counter()
        self.data = jax.block_until_ready(training_data(config, graph))
        self.tables_seconds = time.perf_counter() - start
        self.state = init_state(self.model, config, self.data)
        # Never to the end of an epoch, so that every run does the same work.
        loop = make_training_loop(self.model, config, steps_per_epoch=10**6)
        self.compiled = loop.train_steps.lower(self.state, self.data, self.steps).compile()
        self.run()

    def run(self):
        """Seconds of a step, by the clock and of processor time."""
        start, used = time.perf_counter(), time.process_time()
        self.state = jax.block_until_ready(self.compiled(self.state, self.data, self.steps))
        return (time.perf_counter() - start) / self.steps, (time.process_time() - used) / self.steps
