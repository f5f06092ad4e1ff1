"""How the time of a step, of a ranking and of a draw of negatives changes with sizes and devices, one at a time.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --only entities devices --entities 10000 100000 1000000

prints a Markdown table for each size that varies, a row as soon as it is measured: times by the clock and of the
processor, the median and the quartiles over turns; the operations and the bytes of it, and how much of the time they
would take at this machine's rates, whichever takes longer. Those of a step and a draw are what the compiler counts of
one device's program; those of a ranking follow from the sizes. All else is as in BASE; there are no features.

A step has a row-sparse optimiser, so that it does not pass over the table. Several devices are simulated, along the
axis `entity` of a mesh, and share the cores of this machine: that table says what dealing the work out costs, not what
is gained by it. Every row is measured in a process of its own, which tells its peak memory. A row that would need more
than `--memory` is left out.
"""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time

import jax
import numpy as np

from mans_jax.ranking import block_sizes

BASE = {'entities': 100_000, 'num_negatives': 64, 'dim': 64, 'batch_size': 1024, 'devices': 1}

SERIES = {
    'entities': (10_000, 100_000, 1_000_000, 10_000_000),
    'num_negatives': (1, 16, 64, 256),
    'dim': (32, 64, 128, 256),
    'batch_size': (256, 1024, 4096),
    'devices': (1, 2, 4, 8),
}

STEP, DRAW, RANKING = 'step', 'draw', 'ranking'
KINDS = {
    'entities': (STEP, DRAW, RANKING),
    'num_negatives': (STEP, DRAW),
    'dim': (STEP, RANKING),
    'batch_size': (STEP, DRAW),
    'devices': (STEP,),
}
"""What is measured where a size varies."""

RANKED, STEPS = 128, 32
"""The triples that are ranked on both sides, and the steps of a turn."""


def main():
    """Prints the tables, or measures one row where it is run by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=tuple(SERIES), default=tuple(SERIES), help='what is to vary')
    for name, values in SERIES.items():
        parser.add_argument(f'--{name}', type=int, nargs='+', default=values, help=f'else {values}')
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--memory', type=float, default=_physical_memory() / 2, help='GB that a row may need')
    parser.add_argument('--row', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(json.loads(arguments.row))))
        return
    import machine

    rates = machine.Rates.measure()
    print(f'{machine.describe(rates)}; load {os.getloadavg()[0]:.1f}')
    print(', '.join(f'{name} {value:,}' for name, value in BASE.items()) + ' where nothing else is said')
    for name in arguments.only:
        for kind in KINDS[name]:
            heading(name, kind)
            for value in getattr(arguments, name):
                job = {**BASE, name: value, 'kind': kind, 'turns': arguments.turns}
                job['mesh'] = f'entity={value}' if name == 'devices' else ''
                print(f'| {value:,} | {row(job, arguments.memory, rates)} |', flush=True)
    print(f'\nload {os.getloadavg()[0]:.1f}')


def heading(name, kind):
    """Prints the beginning of a table."""
    what = {STEP: 'a step', DRAW: 'a draw of negatives', RANKING: f'ranking {RANKED} triples'}[kind]
    print(
        f'\n| {name} | {what}, clock | processor time | million operations | MB | at the rates | peak memory |\n'
        '|---|---|---|---|---|---|---|'
    )


def row(job, memory, rates):
    """The cells of a job, measured in a process of its own."""
    from turns import quartiles

    needed = gigabytes(job)
    if needed > memory:
        return f'left out: about {needed:.0f} GB | | | | |'
    done = subprocess.run([sys.executable, __file__, '--row', json.dumps(job)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return f'failed with exit code {done.returncode} | | | | |'
    found = json.loads(done.stdout.splitlines()[-1])
    clock, processor = (1000 * np.array(found['times']).T).tolist()
    least = max(rates.least(found['operations'], found['bytes']))
    return (
        f'{quartiles(clock, "ms")} | {quartiles(processor, "ms")} | {found["operations"] / 1e6:,.0f} | '
        f'{found["bytes"] / 1e6:,.0f} | {100000 * least / np.median(clock):.0f} % | {found["memory"]:.1f} GB'
    )


def gigabytes(job):
    """About what a job needs: the table, its slots and what making them takes; scores of some queries; 1 GB for all."""
    table = 4 * job['entities'] * job['dim']
    candidates = min(job['entities'], 1 << 18)
    scores = 2 * 4 * block_sizes(candidates)[0] * candidates if job['kind'] == RANKING else 0
    examples = 12 * 4 * job['batch_size'] * job['num_negatives'] * job['dim'] if job['kind'] == STEP else 0
    return 1 + (4 * table + scores + examples) / 1e9


def measure(job):
    """The times float[turns, 2] in seconds, operations, bytes and peak memory in GB of a job."""
    if job['mesh']:
        jax.config.update('jax_platforms', 'cpu')
        jax.config.update('jax_num_cpu_devices', job['devices'])
    # Arrays are made where this is imported, after which the number of devices is fixed.
    from table_size import random_graph

    from mans_jax.config import Config

    config = Config(
        data='random',
        optimizer='sparse_adagrad',
        learning_rate=1e-3,
        num_negatives=job['num_negatives'],
        batch_size=job['batch_size'],
        dim=job['dim'],
        mesh=job['mesh'],
    ).validate()
    graph = random_graph(job['entities'])
    times, (operations, bytes_moved) = {STEP: of_steps, DRAW: of_draws, RANKING: of_rankings}[job['kind']](
        graph, config, job['turns']
    )
    # In KiB on Linux, in bytes elsewhere.
    unit = 2**10 if sys.platform == 'linux' else 1
    memory = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    return {'times': times, 'operations': operations, 'bytes': bytes_moved, 'memory': memory}


def of_steps(graph, config, turns):
    """Times and costs of a step."""
    import machine
    from timed_training import Training

    training = Training(graph, config, STEPS)
    return [training.run() for _ in range(turns)], machine.counted(training.compiled)


def of_draws(graph, config, turns):
    """Times and costs of a draw of negatives for a batch."""
    import machine

    from mans_jax.graph import Triple
    from mans_jax.sampling import View
    from mans_jax.training_step import sampler_of, training_data

    data = training_data(config, graph)
    positives = Triple(*(ids[: config.batch_size] for ids in jax.tree.leaves(data.triples)))

    @jax.jit
    def draw(data, positives, key):
        return sampler_of(config, data).sample((), key, positives, View())

    compiled = draw.lower(data, positives, jax.random.key(0)).compile()
    return _times(lambda: compiled(data, positives, jax.random.key(0)), turns), machine.counted(compiled)


def of_rankings(graph, config, turns):
    """Times and costs of ranking some triples on both sides."""
    from timed_ranking import Ranking

    ranking = Ranking(dataclasses.replace(graph, test=graph.train[:RANKED]), config)
    return [ranking.run() for _ in range(turns)], ranking.counted()


def _times(function, turns):
    """Seconds of calls, by the clock and of the processor, after one that is not counted."""
    times = []
    for _ in range(turns + 1):
        start, used = time.perf_counter(), time.process_time()
        jax.block_until_ready(function())
        times.append((time.perf_counter() - start, time.process_time() - used))
    return times[1:]


def _physical_memory():
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9


if __name__ == '__main__':
    main()
