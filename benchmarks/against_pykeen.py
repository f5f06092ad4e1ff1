"""Times training steps and ranking against PyKEEN, in turns in the same run, at the same work.

    python -m venv ENV
    ENV/bin/python -m pip install torch --index-url https://download.pytorch.org/whl/cpu
    ENV/bin/python -m pip install pykeen
    python benchmarks/against_pykeen.py --pykeen=ENV/bin/python

Both train TransE with L1 distances, D=128 and dense Adam, without features, with a margin ranking loss and Bernoulli's
choice of the side, as many steps a turn as an epoch has. Ours always leaves known triples out of the negatives; PyKEEN
does so in one column (its default filter, which may let some through or drop some) and does not in another. Each does
what it does by default: PyKEEN sets the length of all entity vectors to 1 after a step, ours divides those of a batch
by their length. A turn of PyKEEN is a part of its own training loop, SLCWATrainingLoop, with its own loader.

The graph is a synthetic one of DB15K's size; `--data=FOLDER` takes another. Both use the threads that the processor
affinity of this command allows: `taskset --cpu-list 0 python ...` compares them on one core, where processor time means
something even if others use the machine.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import jax
import machine
import numpy as np
from timed_training import Training
from turns import Worker, in_turns, table

from mans_jax.config import Config
from mans_jax.data import load_graph
from mans_jax.graph import KnownTriples
from mans_jax.models import frozen_variables, init_params, model_for
from mans_jax.scoring import SCORES
from mans_jax.tasks.link_prediction import predict_links

LEARNING_RATE, MARGIN = 1e-3, 12.0


def main():
    """Prints a table of steps and one of rankings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pykeen', required=True, help='the python of an environment that has PyKEEN')
    parser.add_argument('--data', default='synthetic:entities=12842,relations=279,triples=99028,modalities=0')
    parser.add_argument('--dim', type=int, default=128)
    parser.add_argument('--batches', nargs='+', default=('181x1', '1024x64'), help='positives x negatives of each')
    parser.add_argument('--steps', type=int, help='of a turn; without it as many as an epoch has')
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--rank_batch', type=int, default=32, help='triples that PyKEEN ranks at a time; 0: no ranking')
    arguments = parser.parse_args()
    graph = load_graph(arguments.data, splits='published')[0]
    rates = machine.Rates.measure()
    print(f'{machine.describe(rates)}; load {os.getloadavg()[0]:.1f}')
    print(f'{graph.num_entities:,} entities, {graph.num_relations} relations, {len(graph.train):,} triples')
    with tempfile.TemporaryDirectory() as folder:
        graph_file = Path(folder) / 'graph.npz'
        splits = {name: graph.split(name) for name in ('train', 'valid', 'test')}
        np.savez(graph_file, num_entities=graph.num_entities, num_relations=graph.num_relations, **splits)
        for text in arguments.batches:
            print('\n' + compare_steps(arguments, rates, graph, graph_file, *map(int, text.split('x'))), flush=True)
        if arguments.rank_batch:
            print('\n' + compare_ranking(arguments, graph, graph_file))
    print(f'\nload {os.getloadavg()[0]:.1f}')


def compare_steps(arguments, rates, graph, graph_file, batch_size, num_negatives):
    """The table of a batch size and a number of negatives."""
    steps = arguments.steps or len(graph.train) // batch_size
    settings = {'batch_size': batch_size, 'num_negatives': num_negatives, 'dim': arguments.dim}
    settings |= {'learning_rate': LEARNING_RATE, 'margin': MARGIN}
    config = Config(data=graph.name, score='transe_l1', optimizer='adam', **settings)
    ours = Training(graph, config, steps)
    with contextlib.ExitStack() as stack:
        contestants = {'mans_jax': lambda: np.multiply(ours.run(), 1000)}
        for name, filtered in (('PyKEEN, filtered', True), ('PyKEEN, not filtered', False)):
            job = {**settings, 'steps': steps, 'filtered': filtered}
            worker = stack.enter_context(Worker(arguments.pykeen, 'pykeen_worker.py', graph_file, json.dumps(job)))
            contestants[name] = lambda worker=worker: 1000 / steps * worker.run()
        times = in_turns(contestants, arguments.turns)
    costs = machine.counted(ours.compiled)
    title = (
        f'A step, B={batch_size}, K={num_negatives}, D={arguments.dim}: {arguments.turns} turns of {steps} steps, '
        f'{worker.about["threads"]} threads, PyKEEN {worker.about["pykeen"]}, torch {worker.about["torch"]}. Ours: '
        f'{machine.described(costs, rates)}'
    )
    return f'{title}\n\n{table(times, "ms", "a step")}'


def compare_ranking(arguments, graph, graph_file):
    """The table of the filtered ranking of test."""
    model = model_for(graph, SCORES['transe_l1'], dim=arguments.dim, normalize=True)
    params, frozen = init_params(model, jax.random.key(0)), frozen_variables(graph)
    triples = np.concatenate([graph.train, graph.valid, graph.test])

    def rank():
        began = time.perf_counter(), time.process_time()
        # PyKEEN's evaluator indexes the known triples in each call, too.
        known = KnownTriples.build(triples, num_entities=graph.num_entities, num_relations=graph.num_relations)
        predict_links(model, params, frozen, graph, graph.test, known)
        return np.subtract((time.perf_counter(), time.process_time()), began)

    rank()
    job = {'dim': arguments.dim, 'margin': MARGIN, 'rank_batch': arguments.rank_batch}
    with Worker(arguments.pykeen, 'pykeen_worker.py', graph_file, json.dumps(job)) as worker:
        turns = min(arguments.turns, 3)
        times = in_turns({'mans_jax': rank, 'PyKEEN': worker.run}, turns)
    return (
        f'Ranking {len(graph.test):,} test triples, both sides, filtered, D={arguments.dim}, {turns} turns\n\n'
        f'{table(times, "s", "all")}'
    )


if __name__ == '__main__':
    main()
