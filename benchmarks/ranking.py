"""Times filtered link prediction with the four-term score on a graph's whole test split, after compilation.

    python benchmarks/ranking.py --data=FOLDER --score=transe_l1

Without --data the graph is a random one with 12,842 entities and 9,903 test triples, as DB15K has.
"""

import argparse
import dataclasses
import resource
import time

import jax
import machine
import numpy as np
from training_step import random_graph, with_random_features

from mans_jax.data import load_graph
from mans_jax.graph import KnownTriples
from mans_jax.models import frozen_variables, init_params, model_for
from mans_jax.ranking import block_sizes, pack
from mans_jax.scoring import SCORES
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.tasks.link_prediction_by_blocks import candidates_at_once


def main():
    """Prints times, and the operations that exact scores need against the machine's rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='a graph folder; its splits are taken as published')
    parser.add_argument('--score', choices=SCORES, default='transe_l1')
    parser.add_argument('--dim', type=int, default=128)
    parser.add_argument('--width', type=int, default=384, help='feature width F')
    parser.add_argument('--repeats', type=int, default=5)
    arguments = parser.parse_args()
    if arguments.data:
        graph = with_random_features(load_graph(arguments.data, splits='published')[0], arguments.width)
    else:
        graph = random_graph(arguments.width, num_triples=82521)
        graph = dataclasses.replace(graph, test=graph.train[-9903:])
    model = model_for(graph, SCORES[arguments.score], dim=arguments.dim, normalize=True)
    params, frozen = init_params(model, jax.random.key(0)), frozen_variables(graph)
    triples = np.concatenate([graph.train, graph.valid, graph.test])
    known = KnownTriples.build(triples, num_entities=graph.num_entities, num_relations=graph.num_relations)
    times = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        predict_links(model, params, frozen, graph, graph.test, known)
        times.append(time.perf_counter() - start)
    median, (least, most) = machine.median_and_spread(times[1:])
    room = candidates_at_once(model)
    blocks, _ = pack(graph.test, *block_sizes(room))
    num_queries = blocks.queries.kept.size
    # Where not all are candidates at once, they are gone through twice.
    comparisons = 4 * num_queries * graph.num_entities * arguments.dim * (1 if room == graph.num_entities else 2)
    print(machine.describe())
    print(
        f'{arguments.score}, D={arguments.dim}: {len(graph.test):,} triples, both sides, {graph.num_entities:,} '
        f'entities in {median:.2f} s (median of {len(times) - 1}; {least:.2f} to {most:.2f}); the first run, with '
        f'compilation, {times[0]:.2f} s'
    )
    print(
        f'{num_queries:,} query rows (distinct, padded) for {2 * len(graph.test):,} ranks; {comparisons / 1e9:.0f} G '
        f'coordinate comparisons, {comparisons / median / 1e9:.0f} G/s'
    )
    print(f'peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB')


if __name__ == '__main__':
    main()
