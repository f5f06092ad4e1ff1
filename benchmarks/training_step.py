"""Times training steps of the MANS paper's recipe on a graph of DB15K's size, after compilation.

    python benchmarks/training_step.py --width=384 --strategy=mans_a

Features are random: their values do not change the time. `--data=FOLDER` takes the triples of a real graph.
"""

import argparse
import resource
import time

import jax
import machine
import numpy as np

from mans_jax.config import Config
from mans_jax.data import load_graph
from mans_jax.graph import KnowledgeGraph
from mans_jax.models import model_for
from mans_jax.samplers import STRATEGIES
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, training_data


def random_graph(width, num_entities=12842, num_relations=279, num_triples=72618):
    """A graph of DB15K's size with hubs, and one random feature matrix."""
    rng = np.random.default_rng(0)
    entities = (num_entities * rng.random((num_triples, 2)) ** 2).astype(np.int32)
    triples = np.stack([entities[:, 0], rng.integers(0, num_relations, num_triples), entities[:, 1]], axis=1)
    return with_random_features(
        KnowledgeGraph(
            name='random',
            entities=tuple(map(str, range(num_entities))),
            relations=tuple(map(str, range(num_relations))),
            train=triples.astype(np.int32),
            valid=triples[:1],
            test=triples[:1],
            features={},
            present=np.ones((num_entities, 1), bool),
        ),
        width,
    )


def with_random_features(graph, width):
    """The graph with a random feature of a width for every entity."""
    features = np.random.default_rng(1).standard_normal((graph.num_entities, width), dtype=np.float32)
    present = np.ones((graph.num_entities, 2), bool)
    fields = {name: getattr(graph, name) for name in ('name', 'entities', 'relations', 'train', 'valid', 'test')}
    return KnowledgeGraph(**fields, features={'random': features}, present=present)


def main():
    """Prints the times, and the step's operations and bytes against the machine's rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--width', type=int, default=384, help='feature width F')
    parser.add_argument('--strategy', choices=STRATEGIES, default='normal')
    parser.add_argument('--num_negatives', type=int, default=1)
    parser.add_argument('--batch_size', type=int, default=181)
    parser.add_argument('--steps', type=int, default=400)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--data', help='a graph folder instead of random triples')
    arguments = parser.parse_args()
    if arguments.data:
        graph = with_random_features(load_graph(arguments.data)[0], arguments.width)
    else:
        graph = random_graph(arguments.width)
    config = Config(
        data=graph.name,
        strategy=arguments.strategy,
        num_negatives=arguments.num_negatives,
        batch_size=arguments.batch_size,
    )
    model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=config.normalize)
    data = training_data(config, graph)
    state = init_state(model, config, data)
    start = time.perf_counter()
    # Never to the end of an epoch, so that every repeat does the same work.
    loop = make_training_loop(model, config, steps_per_epoch=10**6)
    compiled = loop.train_steps.lower(state, data, arguments.steps).compile()
    print(f'compiled in {time.perf_counter() - start:.1f} s')
    times = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        state = jax.block_until_ready(compiled(state, data, arguments.steps))
        times.append(time.perf_counter() - start)
    report(arguments, model, state, compiled, times[1:])


def report(arguments, model, state, compiled, times):
    """Prints times beside the least time that the machine's rates allow."""
    median, (least, most) = machine.median_and_spread(times)
    rows = arguments.batch_size * (2 + arguments.num_negatives)
    flops = 2 * 2 * rows * arguments.width * model.dim
    num_params = sum(x.size for x in jax.tree.leaves(state.params))
    # Dense Adam reads parameter, both moments and gradient, and writes the first three and a zeroed gradient.
    data_bytes = 4 * (8 * num_params + rows * arguments.width)
    matmul, stream = machine.matmul_rate(), machine.stream_rate()
    floor = flops / matmul + data_bytes / stream
    print(machine.describe())
    print(
        f'{arguments.strategy}, F={arguments.width}, B={arguments.batch_size}, K={arguments.num_negatives}, '
        f'D={model.dim}: {arguments.steps} steps in {median:.2f} s (median of {len(times)}; {least:.2f} to {most:.2f})'
    )
    print(
        f'a step: {1000 * median / arguments.steps:.2f} ms; projections {flops / 1e6:.0f} MFLOP = '
        f'{1000 * flops / matmul:.2f} ms at the matmul rate; Adam and features {data_bytes / 1e6:.0f} MB = '
        f'{1000 * data_bytes / stream:.2f} ms at the stream rate; together '
        f'{100 * floor * arguments.steps / median:.0f} % of the time'
    )
    print(f'compiler counts {compiled.cost_analysis().get("flops", float("nan")) / 1e6:.0f} MFLOP a step')
    print(f'peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB')


if __name__ == '__main__':
    main()
