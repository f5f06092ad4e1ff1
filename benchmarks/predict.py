"""Times predictions: loading a run of DB15K's size or larger, and the ten best answers of 1,000 queries.

    python benchmarks/predict.py --entities=15000
    python benchmarks/predict.py --workdir=RUN

Without --workdir a run is made first, in a folder that is removed: random triples and features, one epoch. Loading and
the first answers, with their compilation, are timed in a process of their own, as a user has them.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
from training_step import random_graph

from mans_jax.config import Config
from mans_jax.prediction.predictor import QUERIES_PER_BLOCK, Predictor
from mans_jax.training import train_and_evaluate


def main():
    """Prints times, and the comparisons that exact scores need against the machine's rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workdir', help='a trained run')
    parser.add_argument('--entities', type=int, default=15000)
    parser.add_argument('--width', type=int, default=384, help='feature width F')
    parser.add_argument('--queries', type=int, default=1000)
    parser.add_argument('--top', type=int, default=10)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--fresh', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fresh:
        report_fresh(arguments)
        return
    print(machine.describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.workdir:
            arguments.workdir = make_run(Path(folder), arguments.entities, arguments.width)
        (Path(arguments.workdir) / 'calibration.json').unlink(missing_ok=True)
        # The first one calibrates, the second one finds that done.
        for _ in range(2):
            options = [f'--{name}={getattr(arguments, name)}' for name in ('workdir', 'queries', 'top')]
            subprocess.run([sys.executable, __file__, '--fresh', *options], check=True)
        report_warm(arguments)


def make_run(folder, num_entities, width):
    """Trains a run of one epoch on a random graph, written as OpenKE has it; returns its workdir."""
    graph = random_graph(width, num_entities=num_entities)
    for name, labels in (('entity', graph.entities), ('relation', graph.relations)):
        write_counted(folder / f'{name}2id.txt', [f'{name}_{label}\t{i}' for i, label in enumerate(labels)])
    rows = np.unique(graph.train, axis=0)
    rows = np.random.default_rng(0).permutation(rows)[:, [0, 2, 1]]
    for name, part in zip(('valid', 'test', 'train'), np.split(rows, [8000, 16000]), strict=True):
        write_counted(folder / f'{name}2id.txt', [' '.join(map(str, row)) for row in part])
    np.save(folder / 'random.npy', graph.features['random'])
    config = Config(data=str(folder), features={'random': str(folder / 'random.npy')}, num_epochs=1, evaluate_every=0)
    train_and_evaluate(config.validate(), folder / 'run')
    return folder / 'run'


def write_counted(path, lines):
    """Writes a file of OpenKE: the number of lines, then the lines."""
    path.write_text('\n'.join([str(len(lines)), *lines]) + '\n')


def queries_of(predictor, number):
    """Columns (entity, relation) of a number of test triples, the tails of which are asked for."""
    rows = np.resize(predictor.run.graph.test, (number, 3))
    return rows[:, 0], rows[:, 1]


def clocked(function):
    """What a function returns, with the seconds and the processor seconds that it took."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - start, time.process_time() - start_cpu


def report_fresh(arguments):
    """Times what happens once in a process."""
    predictor, loading, loading_cpu = clocked(lambda: Predictor.load(arguments.workdir))
    is_calibrated = (predictor.workdir / 'calibration.json').exists()
    _, curves, curves_cpu = clocked(lambda: predictor.calibrations)
    columns = queries_of(predictor, arguments.queries)
    _, first, first_cpu = clocked(lambda: predictor.tails(*columns, arguments.top))
    print(
        f'fresh process: loading {loading:.2f} s (processor {loading_cpu:.2f}); '
        f'{"reading the calibration" if is_calibrated else "calibrating"} {curves:.2f} s ({curves_cpu:.2f}); '
        f'the first {arguments.queries:,} queries, with compilation, {first:.2f} s ({first_cpu:.2f}); '
        f'peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB',
        flush=True,
    )


def report_warm(arguments):
    """Times what happens again and again."""
    predictor = Predictor.load(arguments.workdir)
    entities, relations = queries_of(predictor, arguments.queries)
    graph, model = predictor.run.graph, predictor.run.model
    num_rows = -(-arguments.queries // QUERIES_PER_BLOCK) * QUERIES_PER_BLOCK
    pairs = len(graph.modalities) ** 2
    comparisons = pairs * num_rows * graph.num_entities * model.dim
    streamed = num_rows // QUERIES_PER_BLOCK * predictor.candidates.columns.nbytes
    print(
        f'{arguments.queries:,} queries, the best {arguments.top} of {graph.num_entities:,} entities, '
        f'{len(graph.modalities)} modalities, D={model.dim}, {predictor.run.config.score}:'
    )
    for name, novel in (('all', False), ('novel', True)):
        predictor.tails(entities, relations, arguments.top, novel=novel)
        measured = [
            clocked(lambda novel=novel: predictor.tails(entities, relations, arguments.top, novel=novel))[1:]
            for _ in range(arguments.repeats)
        ]
        median, (least, most) = machine.median_and_spread([seconds for seconds, _ in measured])
        processor, _ = machine.median_and_spread([seconds for _, seconds in measured])
        print(
            f'  {name}: {median:.3f} s (median of {arguments.repeats}; {least:.3f} to {most:.3f}), processor '
            f'{processor:.3f} s; {comparisons / 1e9:.1f} G comparisons of coordinates, '
            f'{comparisons / median / 1e9:.1f} G/s; '
            f'{streamed / 1e9:.2f} GB of candidates read, {streamed / median / 1e9:.1f} GB/s'
        )


if __name__ == '__main__':
    main()
