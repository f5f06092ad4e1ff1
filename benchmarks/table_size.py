"""Times training steps with a row-sparse optimiser on small and large entity tables, in turns in the same run.

    python benchmarks/table_size.py
    python benchmarks/table_size.py --optimizer=adam --entities 100000 1000000

prints for each number of entities a step's time by the clock and its processor time, the median and the quartiles over
the turns, and the median quotient to the first. There are no features, and triples are random: a batch names about as
many different entities however large the table is. Five million entities at D=256 with lazy Adam take 16 GB.
"""

import argparse
import os
import time

import jax
import machine
import numpy as np

from mans_jax.config import Config
from mans_jax.graph import KnowledgeGraph
from mans_jax.models import model_for
from mans_jax.optim import OPTIMIZERS
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, training_data


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--optimizer', choices=tuple(OPTIMIZERS), default='lazy_adam')
    parser.add_argument(
        '--entities', type=int, nargs='+', default=(100_000, 5_000_000), help='the first is compared to'
    )
    parser.add_argument('--batch_size', type=int, default=1024)
    parser.add_argument('--num_negatives', type=int, default=64)
    parser.add_argument('--dim', type=int, default=256)
    parser.add_argument('--steps', type=int, default=16, help='of a turn')
    parser.add_argument('--turns', type=int, default=9)
    arguments = parser.parse_args()
    print(machine.describe())
    trainings = [Training(arguments, number) for number in arguments.entities]
    # In turns, each first as often as the others: what else the machine does then slows all of them.
    turns = []
    for turn in range(arguments.turns):
        shift = turn % len(trainings)
        order = [*range(shift, len(trainings)), *range(shift)]
        times = {place: trainings[place].run() for place in order}
        turns.append([times[place] for place in range(len(trainings))])
    turns = np.array(turns)
    print(
        f'\n{arguments.optimizer}, B={arguments.batch_size}, K={arguments.num_negatives}, D={arguments.dim}, no '
        f'features, {arguments.turns} turns of {arguments.steps} steps, load {os.getloadavg()[0]:.1f}\n'
    )
    print('| entities | a step, clock | processor time | to the first: clock | processor |\n|---|---|---|---|---|')
    for place, number in enumerate(arguments.entities):
        cells = [quartiles(1000 * turns[:, place, kind], '.0f', ' ms') for kind in range(2)]
        cells += [quartiles(turns[:, place, kind] / turns[:, 0, kind], '.2f', '') for kind in range(2)]
        print(f'| {number:,} | {" | ".join(cells)} |')


class Training:
    """A training that goes on for some steps whenever it is asked to."""

    def __init__(self, arguments, num_entities):
        """Compiles it and lets it begin."""
        self.steps = arguments.steps
        graph = random_graph(num_entities)
        config = Config(
            data=graph.name,
            optimizer=arguments.optimizer,
            learning_rate=1e-3,
            num_negatives=arguments.num_negatives,
            batch_size=arguments.batch_size,
            dim=arguments.dim,
        ).validate()
        model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=config.normalize)
        self.data = training_data(config, graph)
        self.state = init_state(model, config, self.data)
        # Never to the end of an epoch, so that every turn does the same work.
        loop = make_training_loop(model, config, steps_per_epoch=10**6)
        self.compiled = loop.train_steps.lower(self.state, self.data, self.steps).compile()
        self.run()

    def run(self):
        """Seconds of a step, by the clock and of processor time."""
        start, used = time.perf_counter(), time.process_time()
        self.state = jax.block_until_ready(self.compiled(self.state, self.data, self.steps))
        return (time.perf_counter() - start) / self.steps, (time.process_time() - used) / self.steps


def random_graph(num_entities, num_relations=100, num_triples=200_000):
    """A graph without features. Its labels, which a step does not read, are one text."""
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, size, num_triples) for size in (num_entities, num_relations, num_entities)]
    triples = np.stack(columns, axis=1).astype(np.int32)
    return KnowledgeGraph(
        name='random',
        entities=('entity',) * num_entities,
        relations=('relation',) * num_relations,
        train=triples,
        valid=triples[:1],
        test=triples[:1],
        features={},
        present=np.ones((num_entities, 1), bool),
    )


def quartiles(values, form, unit):
    """The median, and in brackets the quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return f'{median:{form}}{unit} ({low:{form}} to {high:{form}})'


if __name__ == '__main__':
    main()
