"""Times a training step with many negatives: each positive's own, and those that a chunk of positives shares.

    python benchmarks/many_negatives.py --width=384 --score=transe_l1

In turns, on a graph of DB15K's size: `bernoulli`, `chunk_pool` with chunks of 64 positives, and the latter in bfloat16.
"""

import argparse
import dataclasses

import machine
from timed_training import Training
from training_step import random_graph
from turns import in_turns, table

from mans_jax.config import Config
from mans_jax.models import PRECISIONS
from mans_jax.scoring import SCORES


def main():
    """Prints a table and what the compiler counts of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--width', type=int, default=384, help='feature width F; 0 for no feature')
    parser.add_argument('--score', choices=SCORES, default='transe_l1')
    parser.add_argument('--num_negatives', type=int, default=64)
    parser.add_argument('--batch_size', type=int, default=1024)
    parser.add_argument('--chunk', type=int, default=64)
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--turns', type=int, default=7)
    arguments = parser.parse_args()
    graph = random_graph(arguments.width or 1)
    if not arguments.width:
        graph = dataclasses.replace(graph, features={}, present=graph.present[:, :1])
    fields = {name: getattr(arguments, name) for name in ('score', 'num_negatives', 'batch_size')}
    shared = f'chunk_pool(chunk={arguments.chunk})'
    recipes = {'bernoulli': {'sampler': 'bernoulli'}}
    recipes |= {f'{shared}, {precision}': {'sampler': shared, 'precision': precision} for precision in PRECISIONS}
    trainings = {
        name: Training(graph, Config(data=graph.name, **fields, **recipe), arguments.steps)
        for name, recipe in recipes.items()
    }
    print(machine.describe())
    times = in_turns({name: training.run for name, training in trainings.items()}, arguments.turns)
    times = {name: 1000 * rows for name, rows in times.items()}
    print(table(times, 'ms', f'{arguments.score}, F={arguments.width}'))
    for name, training in trainings.items():
        counted = training.compiled.cost_analysis()
        print(f'{name}: {counted["flops"] / 1e6:.0f} MFLOP, {counted["bytes accessed"] / 1e6:.0f} MB a step')


if __name__ == '__main__':
    main()
