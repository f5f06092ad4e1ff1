"""Times every breakdown of link prediction beside plain link prediction, in turn, on a trained run's test split.

python benchmarks/breakdowns.py --workdir=RUN
"""

import argparse
import statistics
import time

import machine

from mans_jax.models import FROZEN, PARAMS
from mans_jax.runs import load_run
from mans_jax.tasks.breakdowns import link_prediction_breakdowns
from mans_jax.tasks.link_prediction import link_prediction_metrics, predict_links
from mans_jax.tasks.protocols import rank_links


def main():
    """Prints the medians of wall clock and processor time, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workdir', required=True)
    parser.add_argument('--repeats', type=int, default=5)
    arguments = parser.parse_args()
    run, state = load_run(arguments.workdir)
    graph, known, frozen = run.graph, run.known, run.data.frozen

    def plain():
        link_prediction_metrics(predict_links(run.model, state.params, frozen, graph, graph.test, known))

    def everything():
        tallies = rank_links(run.model, {PARAMS: state.params, FROZEN: frozen}, graph, graph.test, known)
        link_prediction_breakdowns(tallies, graph, graph.test)

    times = {plain: [], everything: []}
    for _ in range(arguments.repeats + 1):
        for judge in times:
            wall, processor = time.perf_counter(), time.process_time()
            judge()
            times[judge].append((time.perf_counter() - wall, time.process_time() - processor))
    print(machine.describe())
    print(f'{graph.name}: {len(graph.test):,} triples, {arguments.repeats} times each after the first')
    medians = {judge: [statistics.median(x) for x in zip(*found[1:], strict=True)] for judge, found in times.items()}
    for judge, (wall, processor) in medians.items():
        print(f'{judge.__name__}: {wall:.2f} s, processor time {processor:.2f} s')
    ratios = [b / a for a, b in zip(medians[plain], medians[everything], strict=True)]
    print(f'ratio {ratios[0]:.2f}, of processor time {ratios[1]:.2f}')


if __name__ == '__main__':
    main()
