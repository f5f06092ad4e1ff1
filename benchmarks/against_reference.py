"""Times training steps of the MANS paper's recipe against the code published with it, in turns in the same run.

    git clone https://github.com/zjukg/MANS CHECKOUT
    cd CHECKOUT/mmns && g++ base/Base.cpp -fPIC -shared -o release/Base.so -pthread -O3 -march=native
    python benchmarks/against_reference.py --reference=CHECKOUT --data=CHECKOUT/benchmarks/DB15K

Both train on the triples of the folder with random features, which take as long as real ones: the four-term score of
TransE with L1 distances, D=128, Bernoulli's filtered negatives, dense Adam over the tables and the projection. The
other code runs in a process of its own, its trainer and loader as its run.py sets them up, but on the CPU; it needs
PyTorch and tqdm, which another environment may have (`--python`). The features are frozen there as they are here.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import machine
import numpy as np
from timed_training import Training
from training_step import with_random_features
from turns import Worker, in_turns, table

from mans_jax.config import Config
from mans_jax.data import load_graph


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--reference', required=True, help='a checkout of the code published with MANS')
    parser.add_argument('--data', required=True, help='a graph folder in the OpenKE layout')
    parser.add_argument('--python', default=sys.executable, help='one that has PyTorch')
    parser.add_argument('--width', type=int, default=4096, help='feature width F')
    parser.add_argument('--batch_size', type=int, default=181)
    parser.add_argument('--num_negatives', type=int, default=1)
    parser.add_argument('--steps', type=int, default=100, help='of a turn')
    parser.add_argument('--turns', type=int, default=7)
    arguments = parser.parse_args()
    graph = with_random_features(load_graph(arguments.data, splits='published')[0], arguments.width)
    config = Config(data=graph.name, batch_size=arguments.batch_size, num_negatives=arguments.num_negatives)
    rates = machine.Rates.measure()
    print(f'{machine.describe(rates)}; load {os.getloadavg()[0]:.1f}')
    ours = Training(graph, config, arguments.steps)
    job = {name: getattr(arguments, name) for name in ('width', 'batch_size', 'num_negatives', 'steps')}
    job |= {name: getattr(config, name) for name in ('dim', 'margin', 'learning_rate')}
    folders = [str(Path(path).resolve()) for path in (arguments.reference, arguments.data)]
    with Worker(arguments.python, 'reference_worker.py', *folders, json.dumps(job)) as reference:
        contestants = {
            'mans_jax': lambda: np.multiply(1000, ours.run()),
            'reference': lambda: 1000 / arguments.steps * reference.run(),
        }
        times = in_turns(contestants, arguments.turns)
    print(
        f'A step, F={arguments.width}, B={config.batch_size}, K={config.num_negatives}, D={config.dim}: '
        f'{arguments.turns} turns of {arguments.steps} steps, {reference.about["threads"]} threads, torch '
        f'{reference.about["torch"]}. Ours: {machine.described(machine.counted(ours.compiled), rates)}\n\n'
        f'{table(times, "ms", "a step")}\n\nload {os.getloadavg()[0]:.1f}'
    )


if __name__ == '__main__':
    main()
