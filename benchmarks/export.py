"""Times an export, and its queries beside those in process.

    python benchmarks/export.py --entities=15000
    python benchmarks/export.py --workdir=RUN

Without --workdir a run is made first, as `benchmarks/predict.py` does. Each format is exported in a process of its own,
as a user does. Queries alternate in one process: the exported program, read from its file, and the function that it was
made from, with the same vectors.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import machine
import numpy as np
from jax import export
from predict import clocked, make_run

from mans_jax.exporting import trained
from mans_jax.exporting.exports import FORMATS, Settings, export_run
from mans_jax.graph import TAIL, Triple
from mans_jax.prediction.embedded import score_triples
from mans_jax.prediction.top_k import top_answers
from mans_jax.ranking import Queries


def main():
    """Prints times, memory and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workdir', help='a trained run')
    parser.add_argument('--entities', type=int, default=15000)
    parser.add_argument('--width', type=int, default=384, help='feature width F')
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 128, 1000], help='queries at once')
    parser.add_argument('--top', type=int, default=100)
    parser.add_argument('--repeats', type=int, default=21)
    parser.add_argument('--fresh', help=argparse.SUPPRESS)
    parser.add_argument('--output', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fresh:
        report_fresh(arguments)
        return
    print(machine.describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if not arguments.workdir:
            arguments.workdir = make_run(folder, arguments.entities, arguments.width)
        for name in FORMATS:
            options = [f'--workdir={arguments.workdir}', f'--top={arguments.top}', f'--output={folder / name}']
            subprocess.run([sys.executable, __file__, f'--fresh={name}', *options], check=True)
        report_queries(arguments, folder / 'program' / 'program')


def report_fresh(arguments):
    """Times the export of one format, from reading the run to the last file."""
    settings = Settings(formats=(arguments.fresh,), top=arguments.top if arguments.fresh == 'program' else None)
    manifest, seconds, processor = clocked(lambda: export_run(arguments.workdir, Path(arguments.output), settings))
    print(
        f'{arguments.fresh}: {seconds:.2f} s (processor {processor:.2f}), '
        f'{sum(file["bytes"] for file in manifest["files"].values()) / 1e6:.1f} MB, '
        f'peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB',
        flush=True,
    )


def report_queries(arguments, folder):
    """Times scores and queries, exported and in process by turns."""
    run = trained.load(arguments.workdir)
    graph, known, score = run.run.graph, run.run.known, run.run.model.score
    arrays = jax.device_put(dict(np.load(folder / 'arrays.npz')))
    files = {name: (folder / f'{name}.jax_export').read_bytes() for name in ('score', 'tails')}
    exported = {name: jax.jit(export.deserialize(bytearray(file)).call) for name, file in files.items()}
    score_in_process = jax.jit(score_triples, static_argnums=0)

    def answer_in_process(queries, novel):
        return top_answers(score, run.embedded, queries, arguments.top, known, novel)[:2]

    for number in arguments.batches:
        rows = np.resize(graph.test, (number, 3)).astype(np.int32)
        queries = Queries(np.full(number, TAIL, np.int32), rows[:, 0], rows[:, 1])
        for novel in (False, True):
            compare(
                f'{number:,} queries, the best {arguments.top}{", novel" if novel else ""}',
                partial(exported['tails'], arrays, rows[:, :2], novel),
                partial(answer_in_process, queries, novel),
                arguments.repeats,
            )
        compare(
            f'{number:,} scores',
            partial(exported['score'], arrays, rows),
            partial(score_in_process, score, run.embedded, Triple.from_rows(rows)),
            arguments.repeats,
        )


def compare(what, exported, in_process, repeats):
    """Prints the times of two functions that are called by turns, and the ratio; the results must be the same."""
    for found, want in zip(jax.tree.leaves(exported()), jax.tree.leaves(in_process()), strict=True):
        np.testing.assert_array_equal(found, want)
    times = [
        [clocked(lambda run=run: jax.block_until_ready(run()))[1:] for run in pair]
        for pair in [(exported, in_process), (in_process, exported)] * (repeats // 2 + 1)
    ]
    # Whoever comes second may find the caches warm, so that both come first as often.
    pairs = np.array([pair if i % 2 == 0 else pair[::-1] for i, pair in enumerate(times)])
    (wall, wall_in_process), (processor, processor_in_process) = np.median(pairs, axis=0).T
    ratios = pairs[:, 0, 0] / pairs[:, 1, 0]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(
        f'{what}: exported {wall:.4f} s (processor {processor:.4f}), in process {wall_in_process:.4f} s '
        f'({processor_in_process:.4f}); ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f}) of {len(pairs)} pairs',
        flush=True,
    )


if __name__ == '__main__':
    main()
