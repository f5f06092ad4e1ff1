"""Times training steps with each sampler against steps with `bernoulli`, in turns in the same run.

    python benchmarks/samplers.py
    python benchmarks/samplers.py --samplers 'sans(hops=3)' 'mans_a(bernoulli)' eans

prints a Markdown table: what a sampler adds to a step, the median over pairs of runs of the quotient of their times and
its quartiles, by the clock and by processor time (of use where others share the machine); the sampler by itself, from
the state that it has come to and from its first one, in which EANS clusters (it does so every 1000 steps); the bytes of
its tables and of its state, and the time that the tables take to be made. `bernoulli` against itself shows what is
noise. `--data=FOLDER` takes the triples of a real graph. Concepts and negatives for `cans` and `from_file` are made up.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import machine
import numpy as np
from training_step import random_graph, with_random_features

from mans_jax.config import Config
from mans_jax.data import load_graph
from mans_jax.graph import Triple
from mans_jax.models import model_for
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, sampler_of, training_data, view_of

BASELINE = 'bernoulli'

SAMPLERS = (
    BASELINE,
    'uniform',
    'mans_v(bernoulli)',
    'mans_t(bernoulli)',
    'mans_h(bernoulli)',
    'mans_a(bernoulli)',
    'relation_typed',
    'degree_weighted',
    'sans(hops=3)',
    "sans(variant='random_walk', hops=3, walks=1000)",
    "cans(concepts='concepts.tsv')",
    'in_batch',
    'shared_pool',
    'eans',
    "from_file(negatives='negatives.tsv', keys='id')",
    'mixture(bernoulli, in_batch)',
    'fallback(in_batch, uniform)',
)


def main():
    """Prints the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--samplers', nargs='+', default=SAMPLERS, help='texts as in config.sampler')
    parser.add_argument('--batch_size', type=int, default=1024)
    parser.add_argument('--num_negatives', type=int, default=64)
    parser.add_argument('--dim', type=int, default=200)
    parser.add_argument('--entities', type=int, default=15_000)
    parser.add_argument('--triples', type=int, default=100_000)
    parser.add_argument('--width', type=int, default=384, help='F of the random feature')
    parser.add_argument('--steps', type=int, default=2, help='of a run')
    parser.add_argument('--pairs', type=int, default=15, help='of runs')
    parser.add_argument('--data', help='a graph folder instead of random triples')
    arguments = parser.parse_args()
    print(machine.describe(), f'; load {os.getloadavg()[0]:.1f}', sep='')
    if arguments.data:
        graph = with_random_features(load_graph(arguments.data)[0], arguments.width)
    else:
        graph = random_graph(arguments.width, arguments.entities, 200, arguments.triples)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_files(graph)
        baseline = Training(arguments, graph, BASELINE)
        first = np.median([baseline.run()[0] for _ in range(5)])
        print(
            f'a step with {BASELINE}: {1000 * first:.0f} ms, B={arguments.batch_size}, K={arguments.num_negatives}, '
            f'D={arguments.dim}, F={arguments.width}, {graph.num_entities} entities, {len(graph.train)} triples\n'
        )
        print(
            '| sampler | a step, clock (quartiles) | processor time (quartiles) | alone | from its first state | '
            'tables | made in | state |\n|---|---|---|---|---|---|---|---|'
        )
        for text in arguments.samplers:
            print(row(arguments, graph, baseline, text), flush=True)
    print(f'\nload {os.getloadavg()[0]:.1f}')


def row(arguments, graph, baseline, text):
    """The line of one sampler."""
    other = Training(arguments, graph, text)
    quotients = []
    for i in range(arguments.pairs):
        # Each goes first as often as the other.
        pair = [run.run() for run in ((baseline, other) if i % 2 else (other, baseline))]
        one, two = pair if i % 2 else pair[::-1]
        quotients.append(np.divide(two, one))
    clock, processor = (quartiles(column) for column in np.transpose(quotients))
    later, first = other.alone()
    megabytes = [f'{bytes_of(tree) / 1e6:.1f} MB' for tree in (other.data.tables, other.state.sampler_state)]
    return (
        f'| `{text}` | {clock} | {processor} | {1000 * later:.1f} ms | {1000 * first:.1f} ms | {megabytes[0]} | '
        f'{other.tables_seconds:.1f} s | {megabytes[1]} |'
    )


class Training:
    """A training that goes on for some steps whenever it is asked to."""

    def __init__(self, arguments, graph, text):
        """Compiles it and lets it begin."""
        self.steps = arguments.steps
        self.config = Config(
            data=graph.name,
            sampler=text,
            num_negatives=arguments.num_negatives,
            batch_size=arguments.batch_size,
            dim=arguments.dim,
        ).validate()
        config = self.config
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

    def alone(self):
        """Seconds of a draw by itself, from the state that the sampler has come to, and from its first one."""
        sampler = sampler_of(self.config, self.data)
        positives = Triple(*(ids[: self.config.batch_size] for ids in jax.tree.leaves(self.data.triples)))

        @jax.jit
        def draw(state, params, data):
            view = view_of(self.model, params, data.frozen, jnp.float32(0.1))
            return sampler_of(self.config, data).sample(state, jax.random.key(0), positives, view)

        states = self.state.sampler_state, sampler.init(jax.random.key(0))
        times = [machine.timed(draw, state, self.state.params, self.data) for state in states]
        return [machine.median_and_spread(seconds)[0] for seconds in times]


def quartiles(quotients):
    """What is added in per cent: the median, and in brackets the quartiles."""
    low, median, high = np.percentile(100 * (np.asarray(quotients) - 1), [25, 50, 75])
    return f'{median:+.1f} % ({low:+.1f} to {high:+.1f})'


def bytes_of(tree):
    """Of all arrays in it."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def write_files(graph):
    """Writes concepts, six of 89 an entity, and 64 negatives for every other triple, into the working directory."""
    rng = np.random.default_rng(0)
    concepts = rng.integers(0, 89, (graph.num_entities, 6))
    lines = (f'{label}\t{c}\n' for label, own in zip(graph.entities, concepts, strict=True) for c in own)
    Path('concepts.tsv').write_text(''.join(lines))
    known = set(map(tuple, graph.train.tolist()))
    with Path('negatives.tsv').open('w') as file:
        for head, relation, tail in graph.train[::2].tolist():
            drawn = rng.integers(0, graph.num_entities, 64).tolist()
            drawn = [entity for entity in drawn if (head, relation, entity) not in known]
            file.write('\t'.join(map(str, [head, relation, tail, 'tail', *drawn])) + '\n')


if __name__ == '__main__':
    main()
