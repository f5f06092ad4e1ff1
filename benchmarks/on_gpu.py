"""Everything that is asked of one GPU, measured in one call of some minutes.

    python benchmarks/on_gpu.py
    python benchmarks/on_gpu.py --quick

The graphs are random ones of the right sizes. It needs JAX, Flax, Optax, Orbax, chex, jaxtyping and NumPy, and neither
ml_collections nor tqdm, see stand_ins.py. `--quick` takes tiny sizes, to try the script itself on any machine: its
numbers mean nothing.

A row says how long a step or a ranking takes, what follows from it beside what was asked, and which shares of this
device's measured bandwidth and of its float32 matmul rate that is. Bytes and operations of a step are those that the
compiler counts; those of a ranking follow from the sizes. What fails is said in its row, and the rest goes on.
"""

import argparse
import dataclasses
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import machine
import numpy as np
import stand_ins  # noqa: F401 - before what imports mans_jax
from timed_ranking import Ranking
from timed_training import Training
from training_step import random_graph

from mans_jax.config import Config

SHARED_NEGATIVES = ('chunk_pool', 'shared_pool')
"""The samplers whose K negatives are those of the whole batch: compared as a matrix product, and one by one."""

SAMPLERS = (
    'uniform',
    'mans_v(bernoulli)',
    'mans_a(bernoulli)',
    'relation_typed',
    'degree_weighted',
    'sans(hops=3)',
    'in_batch',
    'chunk_pool',
    'shared_pool',
    'nscaching',
    'eans',
)
"""Those whose steps are timed against steps with `bernoulli`."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is done; the defaults are what is asked."""

    shrink: int = 1
    steps: int = 2000  # Of a run of the paper's recipe.
    many_steps: int = 100  # Of a run with many negatives.
    turns: int = 5

    def of(self, number):
        """A size divided by `shrink`."""
        return max(number // self.shrink, min(number, 20))

    def graph(self, num_entities, num_relations, num_train, num_test=1, width=None):
        """A random graph with hubs; without features where there is no width."""
        graph = random_graph(width or 1, *map(self.of, (num_entities, num_relations, num_train + num_test)))
        if width is None:
            graph = dataclasses.replace(graph, features={}, present=graph.present[:, :1])
        num_test = self.of(num_test)
        return dataclasses.replace(graph, train=graph.train[:-num_test], test=graph.train[-num_test:])


QUICK = Size(shrink=50, steps=4, many_steps=2, turns=2)


def main():
    """Prints the table; the exit code is 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='tiny sizes, to try the script')
    parser.add_argument('--only', nargs='+', choices=tuple(MEASURES), default=tuple(MEASURES))
    arguments = parser.parse_args()
    size, failed, begun = QUICK if arguments.quick else Size(), False, time.perf_counter()
    rows = [row for name in arguments.only for row in MEASURES[name](size)]
    # Compiling takes a hundred times as long as what is timed, and one core a program.
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(row.make) for row in rows]
    compiled = time.perf_counter() - begun
    rates = machine.Rates.measure()
    print(f'{machine.describe(rates)}; load {os.getloadavg()[0]:.1f}')
    print(f'bfloat16 matmul {machine.matmul_rate(jnp.bfloat16) / 1e12:.1f} TFLOP/s; {_gpu()}')
    print(f'{len(rows)} programs compiled in {compiled:.0f} s\n')
    print('| what | time | so | asked | of the bandwidth | of the matmul rate |\n|---|---|---|---|---|---|')
    for row, future in zip(rows, made, strict=True):
        try:
            print(f'| {row.what} | {_cells(row, future.result(), rates)} |', flush=True)
        except Exception as error:  # Out of memory, say: the others are to be measured all the same.
            failed = True
            why = f'{type(error).__name__}: {str(error).splitlines()[0][:200]}'
            print(f'| {row.what} | failed: {why} | | | | |', flush=True)
    print(f'\n{time.perf_counter() - begun:.0f} s in all')
    sys.exit(failed)


class Row(NamedTuple):
    """What is measured: made, with all that is to be compiled, before anything is timed.

    Attributes:
        what: it is.
        make: () -> what is timed.
        time: (that) -> milliseconds float[turns].
        follows: (milliseconds) -> what follows from their median, as text.
        asked: what was asked of it, as text.
        costs: (what is timed) -> (operations, bytes).
    """

    what: str
    make: Callable
    time: Callable
    follows: Callable
    asked: str
    costs: Callable


def paper_run(size):
    """The MANS paper's recipe on DB15K: B=181, K=1, D=128, 4096-wide features, dense Adam, 400,000 steps."""
    graph = size.graph(12_842, 279, 72_618, width=4096)
    for strategy, precision in (('normal', 'float32'), ('mans_a', 'float32'), ('normal', 'bfloat16')):
        config = Config(data='random', strategy=strategy, precision=precision, batch_size=size.of(181))
        yield Row(
            f'a step of the paper on DB15K, {_sizes(config)}, F=4096, `{strategy}`, {precision}',
            partial(Training, graph, config, size.steps),
            partial(_timed, turns=size.turns),
            lambda times: f'1000 epochs in {400 * np.median(times):.0f} s',
            'at most 60 s',
            _counted,
        )


def shared_negatives(size):
    """FB15k, D=400, B=1024, 200 negatives that a batch shares."""
    graph = size.graph(14_951, 1_345, 483_142)
    settings = {'num_negatives': size.of(200), 'batch_size': size.of(1024)}
    settings |= {'dim': 400, 'margin': 20.0, 'learning_rate': 0.1}
    for sampler in SHARED_NEGATIVES:
        for score in ('transe_l2', 'distmult'):
            for optimizer in ('sparse_adagrad', 'adagrad'):
                config = Config(data='random', sampler=sampler, score=score, optimizer=optimizer, **settings)
                yield Row(
                    f'a step on FB15k, {score}, {_sizes(config)}, `{sampler}`, {optimizer}',
                    partial(Training, graph, config, size.many_steps),
                    partial(_timed, turns=size.turns),
                    lambda times, batch=config.batch_size: f'{batch / np.median(times) / 1000:.2f} M positives/s',
                    'at least 1.5 M/s',
                    _counted,
                )


def rankings(size):
    """The filtered tests of FB15k-237 at D=50 with DistMult, and of DB15K at D=128 with the four-term score."""
    for what, graph, settings, asked in (
        ('FB15k-237, DistMult, D=50', size.graph(14_541, 237, 272_115, 20_466), {'score': 'distmult', 'dim': 50}, 30),
        ('DB15K, four terms, F=384, D=128', size.graph(12_842, 279, 72_618, 9_903, width=384), {}, None),
    ):
        number = len(graph.test)
        yield Row(
            f'the filtered test of {what}, {number:,} triples',
            partial(Ranking, graph, Config(data='random', **settings)),
            partial(_timed, turns=size.turns),
            lambda times, number=number: f'{number / np.median(times):.0f} k triples/s',
            f'at most {asked} ms' if asked else '',
            Ranking.counted,
        )


def samplers(size):
    """What samplers add to a step with `bernoulli`: B=1024, K=64, D=200, F=384, 15,000 entities."""
    graph = size.graph(15_000, 200, 100_000, width=384)
    settings = {'num_negatives': size.of(64), 'batch_size': size.of(1024), 'dim': 200}
    baseline_config = Config(data='random', sampler='bernoulli', **settings)
    baseline = functools.cache(partial(Training, graph, baseline_config, size.many_steps))
    what = 'a step with `{}`, ' + _sizes(baseline_config) + ', F=384'
    time_all = partial(_timed, turns=size.turns)
    yield Row(what.format('bernoulli'), baseline, time_all, lambda times: '', '', _counted)
    for sampler in SAMPLERS:
        pairs = []

        def timed(training, pairs=pairs):
            pairs += [(_milliseconds(baseline()), _milliseconds(training)) for _ in range(size.turns)]
            return np.array(pairs)[:, 1]

        def follows(times, pairs=pairs):
            return f'{100 * (np.median([own / other for other, own in pairs]) - 1):+.1f} % to `bernoulli`'

        make = partial(Training, graph, dataclasses.replace(baseline_config, sampler=sampler), size.many_steps)
        yield Row(what.format(sampler), make, timed, follows, '', _counted)


MEASURES = {
    'paper_run': paper_run,
    'shared_negatives': shared_negatives,
    'rankings': rankings,
    'samplers': samplers,
}


def _timed(thing, turns):
    return np.array([_milliseconds(thing) for _ in range(turns)])


def _milliseconds(thing):
    return 1000 * thing.run()[0]


def _counted(training):
    return machine.counted(training.compiled)


def _sizes(config):
    return f'B={config.batch_size}, K={config.num_negatives}, D={config.dim}'


def _cells(row, made, rates):
    milliseconds = row.time(made)
    median, (least, most) = machine.median_and_spread(list(milliseconds))
    of_operations, of_bytes = (100_000 * seconds / median for seconds in rates.least(*row.costs(made)))
    return (
        f'{median:.3f} ms ({least:.3f} to {most:.3f}) | {row.follows(milliseconds)} | {row.asked} | '
        f'{of_bytes:.0f} % | {of_operations:.0f} %'
    )


def _gpu():
    """What the driver says of the GPU, if there is one."""
    command = ['nvidia-smi', '--query-gpu=name,driver_version,clocks.sm,utilization.gpu', '--format=csv,noheader']
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return 'no GPU'


if __name__ == '__main__':
    main()
