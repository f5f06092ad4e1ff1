"""A training of which some steps at a time are timed."""

import time

import jax

from mans_jax.runs import first_state, make_run, on_mesh
from mans_jax.training_step import make_training_loop


class Training:
    """A training that goes on for some steps whenever it is asked to.

    Attributes:
        config: the validated recipe.
        compiled: the program of so many steps.
    """

    def __init__(self, graph, config, steps):
        """Compiles it and lets it begin with so many steps, as many as each `run` takes."""
        self.config = config.validate()
        run = on_mesh(make_run(self.config, graph))
        self.steps, self._data, self._state = steps, run.data, first_state(run)
        # Never to the end of an epoch, so that every run does the same work.
        loop = make_training_loop(run.model, run.config, steps_per_epoch=10**6)
        self.compiled = loop.train_steps.lower(self._state, self._data, steps).compile()
        self.run()

    def run(self):
        """Seconds of a step, by the clock and of processor time."""
        start, used = time.perf_counter(), time.process_time()
        self._state = jax.block_until_ready(self.compiled(self._state, self._data, self.steps))
        return (time.perf_counter() - start) / self.steps, (time.process_time() - used) / self.steps
