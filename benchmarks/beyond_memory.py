"""Times training steps with features, or the entity table too, on the host against all on the device, in turns.

    python benchmarks/beyond_memory.py
    python benchmarks/beyond_memory.py --entities=1000000 --gb=2 --only_host

writes features of --entities x --width random numbers to a file that stays mapped, and allows the device --gb, which
must be less than all of it takes; with less than the entity table takes, that stays on the host, too. It prints a
step's time by the clock and its processor time, the median and the quartiles over the turns, the median quotient to the
first, and what is on the device between two calls. With --only_host nothing is put there whole, so that the graph may
be larger than that. Triples are random: a batch names more different entities than those of a real graph do.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import jax
import machine
import numpy as np
from table_size import quartiles, random_graph

from mans_jax.config import Config
from mans_jax.runs import first_state, make_run
from mans_jax.training import programs_of


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--entities', type=int, default=200_000)
    parser.add_argument('--width', type=int, default=768)
    parser.add_argument('--gb', type=float, default=0.6, help='what the device is allowed')
    parser.add_argument('--only_host', action='store_true')
    parser.add_argument('--stream', action='store_true', help='the triples, in the training with things on the host')
    parser.add_argument('--optimizer', default='lazy_adam')
    parser.add_argument('--strategy', default='mans_a')
    parser.add_argument('--batch_size', type=int, default=1024)
    parser.add_argument('--num_negatives', type=int, default=8)
    parser.add_argument('--dim', type=int, default=128)
    parser.add_argument('--steps', type=int, default=32, help='of a turn')
    parser.add_argument('--turns', type=int, default=7)
    parser.add_argument('--folder', help='where the features are written, else where temporary files are')
    arguments = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        compare(arguments, with_mapped_features(arguments, Path(folder) / 'features.npy'))


def compare(arguments, graph):
    """Trains with both in turns and prints what they took."""
    limits = (
        {'on the host': arguments.gb} if arguments.only_host else {'on the device': 0.0, 'on the host': arguments.gb}
    )
    trainings = [Training(arguments, graph, limit) for limit in limits.values()]
    turns = []
    for turn in range(arguments.turns):
        # Each first as often as the others: what else the machine does then slows all of them.
        order = np.roll(range(len(trainings)), turn)
        times = {place: trainings[place].run() for place in order}
        turns.append([times[place] for place in range(len(trainings))])
    turns = np.array(turns)
    features = sum(rows.nbytes for rows in graph.features.values())
    print(
        f'\n{arguments.optimizer}, {arguments.strategy}, B={arguments.batch_size}, K={arguments.num_negatives}, '
        f'D={arguments.dim}, {arguments.entities:,} entities with {features / 1e9:.2f} GB of features, {arguments.gb} '
        f'GB allowed, {arguments.turns} turns of {arguments.steps} steps, load {os.getloadavg()[0]:.1f}\n'
    )
    print('| what does not fit | steps a block | on the device | a step, clock | processor time | to the first: both |')
    print('|---|---|---|---|---|---|')
    for place, name in enumerate(limits):
        training = trainings[place]
        cells = [quartiles(1000 * turns[:, place, kind], '.0f', ' ms') for kind in range(2)]
        cells.append(', '.join(quartiles(turns[:, place, kind] / turns[:, 0, kind], '.2f', '') for kind in range(2)))
        steps = training.run_of.host.steps_per_block if training.run_of.host else '-'
        print(f'| {name} | {steps} | {training.gb():.2f} GB | {" | ".join(cells)} |')


class Training:
    """A training that goes on for some steps whenever it is asked to."""

    def __init__(self, arguments, graph, limit):
        """Compiles it and lets it begin."""
        config = Config(
            data=graph.name,
            optimizer=arguments.optimizer,
            strategy=arguments.strategy,
            learning_rate=1e-3,
            num_negatives=arguments.num_negatives,
            batch_size=arguments.batch_size,
            dim=arguments.dim,
            device_memory_gb=limit,
            stream_triples=arguments.stream and limit > 0,
        ).validate()
        self.steps, self.run_of = arguments.steps, make_run(config, graph)
        self.program = programs_of(self.run_of)([0])
        self.state = first_state(self.run_of)
        self.run()

    def run(self):
        """Seconds of a step, by the clock and of processor time."""
        # Never across the end of an epoch, so that every turn does the same work.
        left = self.run_of.steps_per_epoch - int(self.state.step) % self.run_of.steps_per_epoch
        if left < self.steps:
            self.state = self.program.train_steps(self.state, left)
        start, used = time.perf_counter(), time.process_time()
        self.state = jax.block_until_ready(self.program.train_steps(self.state, self.steps))
        return (time.perf_counter() - start) / self.steps, (time.process_time() - used) / self.steps

    def gb(self):
        """What its state and its data take between two calls."""
        data = self.run_of.data
        # With its triples, a training draws its negatives on the host.
        seen = data.frozen if self.run_of.host and self.run_of.host.stream else data
        leaves = jax.tree.leaves((self.state.params, self.state.opt_state, seen))
        return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, jax.Array)) / 1e9


def with_mapped_features(arguments, path):
    """A random graph whose features stay in a file."""
    graph, rng = random_graph(arguments.entities), np.random.default_rng(0)
    shape = (arguments.entities, arguments.width)
    features = np.lib.format.open_memmap(path, mode='w+', dtype=np.float32, shape=shape)
    for start in range(0, len(features), 10_000):
        features[start : start + 10_000] = rng.standard_normal(features[start : start + 10_000].shape, np.float32)
    features.flush()
    present = np.ones((arguments.entities, 2), bool)
    return graph.__class__(**{**vars(graph), 'features': {'visual': np.load(path, mmap_mode='r')}, 'present': present})


if __name__ == '__main__':
    main()
